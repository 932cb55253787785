#!/bin/bash
# Cache hits per second and their cost: Holdfast beside HAProxy, nginx and
# Varnish from Debian's packages, and the ceiling (libevent, no parsing). All run
# at once in front of the same upstream, idle but for the one being measured, and
# take turns, so that whatever else the machine does hits all of them.
#
# A server is measured only after it answered a sample of the keys rightly with
# the upstream stopped: what is measured are hits.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/../.."
. tools/bench/lib.sh
. tools/bench/peers.sh

all_servers='holdfast haproxy nginx nginx-log varnish ceiling'
all_cases='hot uniform zipf big close conns1000 two-workers'
cases=$all_cases
servers=$all_servers
base=holdfast before=
rounds=5 seconds=5 keys=100000 big_keys=1000000 generator=bench-load paced_rate=20000

usage() {
  cat <<EOF
usage: tools/bench/hits.sh [options]
  --rounds N     turns for each server, at least 5 for numbers to quote  $rounds
  --seconds N    length of a turn                                         $seconds
  --cases LIST   of: ${all_cases// /,}; or browser
  --only LIST    of: ${all_servers// /,}, and holdfast-rt:
                 the same with WORKER_SCHEDULING=realtime, where that is allowed;
                 holdfast-any: with one route for any path; holdfast-http: the same in
                 mode rfc9111; holdfast-200: with the lookup among 200 routes;
                 holdfast-before: see --before
  --before DIR   build folder of an earlier commit, measured as holdfast-before
  --base NAME    server the ratios are of                                 $base
  --load NAME    bench-load or wrk; wrk has no core left before the fastest
                 servers have none, and then measures itself                $generator
  --paced N      requests/s at which another p99 is taken: where nobody is at the
                 limit, it is the server's own (bench-load only; a quarter
                 of it in close)                                             $paced_rate
  --keys N       keys of uniform and zipf                                 $keys
  --big-keys N   keys of big                                              $big_keys
  --cores S,L    core of the server under test, core of the load          $server_core,$load_core
  --build DIR    meson build folder (BUILD_DIR)                           $build
  --out FILE     keep every turn's numbers, tab-separated

cases: hot          one key, 32 connections
       uniform      --keys keys, each as likely
       zipf         --keys keys, exponent 1.0
       big          --big-keys keys, more than memory holds: Holdfast has 64 MiB and its store,
                    nginx and Varnish have their files; HAProxy has no disk and is left out
       close        one key, a new connection for every request
       conns1000    one key, 1000 connections
       two-workers  one key, two workers, threads or pools; they and the load share all cores
       browser      as uniform, asked with a dozen fields, as a browser does (bench-load only)
EOF
}

read_options 'rounds:rounds:count seconds:seconds:count cases:cases:words only:servers:words
  before:before:text base:base:text load:generator:text paced:paced_rate:count keys:keys:count big-keys:big_keys:count cores::cores build:build:text out:out:text' "$@"
# shellcheck disable=SC2086
only_known case "$all_cases browser" $cases
# shellcheck disable=SC2086
only_known server "$all_servers holdfast-rt holdfast-any holdfast-http holdfast-200 holdfast-before" $servers
if [[ " $servers " == *" holdfast-before "* ]]; then
  [ -x "$before/src/holdfast" ] || die "--before: there is no src/holdfast in '$before'"
fi
[[ " $servers " == *" $base "* ]] || base=${servers%% *}
only_known 'load generator' 'bench-load wrk' "$generator"
[ "$big_keys" -le 16777216 ] || die "at most 16777216 keys"

install_without_services "${bench_packages[@]}" || die 'packages could not be installed'

flaky_upstream=$(built tools/flaky-upstream/flaky-upstream)
if [[ " $servers " == *" holdfast"* ]]; then holdfast=$(built src/holdfast); fi
if [[ " $servers " == *" ceiling "* ]]; then ceiling=$(built tools/bench/bench-ceiling); fi
bench_load=$(built tools/bench/bench-load)
need_two_cores
# 1000 connections on either side, and for nginx a descriptor per cached file, as
# far as the machine allows.
raise_descriptors 262144
descriptors=$(ulimit -n)

make_work_folder "${TMPDIR:-/tmp}"
need_plain_folder
printf 'case\tround\tserver\trequests_per_s\tcpu_us\tp50_us\tp99_us\tpaced_p99_us\tresident_kib\terrors\n' >"$results"
problems=0

# ---- The servers ------------------------------------------------------------
# start_NAME PORT WORKERS CASE DIR: sets started_pid. $pin runs them on their core.

start_holdfast() { start_holdfast_with normal "$@"; }
start_holdfast-rt() { start_holdfast_with realtime "$@"; }
start_holdfast-before() { holdfast=$before/src/holdfast start_holdfast_with normal "$@"; }
# A content that is not looked into, from any path.
start_holdfast-any() {
  cat >"$4/any.toml" <<EOF
[upstream.api]
[[route]]
name = "any"
match = "/lookup/{path:rest}"
target = "/geoip/{path}"
validate = { json = false }
EOF
  HOLDFAST_CONFIG=$4/any.toml start_holdfast_with normal "$@"
}
# The same, and all that HTTP asks of a cache.
start_holdfast-http() {
  cat >"$4/http.toml" <<EOF
[upstream.api]
[[route]]
name = "http"
mode = "rfc9111"
match = "/lookup/{path:rest}"
target = "/geoip/{path}"
EOF
  HOLDFAST_CONFIG=$4/http.toml start_holdfast_with normal "$@"
}
start_holdfast-200() {
  local i
  {
    printf '[upstream.api]\n'
    for ((i = 0; i < 200; i++)); do
      printf '[[route]]\nname = "r%d"\nmatch = "/%s/{x:ip}"\ntarget = "/geoip/{x}"\n' \
        "$i" "$([ "$i" -eq 100 ] && echo lookup || echo "r$i")"
    done
  } >"$4/many.toml"
  HOLDFAST_CONFIG=$4/many.toml start_holdfast_with normal "$@"
}
# SCHEDULING PORT WORKERS CASE DIR
start_holdfast_with() {
  local memory=1GiB scheduling=$1
  shift
  if [ "$3" = big ]; then memory=64MiB; fi
  env API_URL="http://127.0.0.1:$upstream_port" API_TOKEN=bench PORT="$1" BIND=127.0.0.1 \
    WORKERS="$2" WORKER_SCHEDULING="$scheduling" CACHE_TTL=24h MEMORY_LIMIT=$memory STORE_PATH="$4/holdfast.db" \
    "${pin[@]}" "$holdfast" >"$4/log" 2>&1 &
  started_pid=$!
}

# A descriptor for each file that may be in its cache of them, as far as there are any.
open_files() {
  local most=$((descriptors - 4096))
  if [ "$most" -gt $((case_keys + 1000)) ]; then most=$((case_keys + 1000)); fi
  printf '%d\n' "$most"
}
start_nginx() { start_nginx_at "$1" "$2" "$4" off "$(open_files)"; }
# As Debian configures it: a line for every request, unbuffered.
start_nginx-log() { start_nginx_at "$1" "$2" "$4" "$4/access.log" "$(open_files)"; }
start_haproxy() { start_haproxy_at "$1" "$2" "$4" "$case_keys"; }
start_varnish() {
  start_varnish_at "$1" "$2" "$4" "$([ "$3" = big ] && echo "file,$4/storage,8G" || echo malloc,1G)"
}

# Sends what the base server (or whoever is there) sends for a hit.
start_ceiling() {
  local name mode=() fields=()
  if [ "$3" = close ]; then mode=(close) fields=(-H 'Connection: close'); fi
  for name in "$base" $running; do
    if [ -n "${ports[$name]:-}" ]; then break; fi
  done
  [ -n "${ports[$name]:-}" ] || die "the ceiling needs another server, whose answer it repeats"
  curl -gsi --noproxy '*' -m 5 "${fields[@]}" "$(url "$name" 0)" >"$4/answer"
  "${pin[@]}" "$ceiling" "$1" "$4/answer" "$2" "${mode[@]}" >"$4/log" 2>&1 &
  started_pid=$!
}

# ---- Looking at them --------------------------------------------------------

address() { printf '20.%d.%d.%d' $(($1 / 65536 % 256)) $(($1 / 256 % 256)) $(($1 % 256)); }
url() { printf 'http://127.0.0.1:%s/lookup/%s' "${ports[$1]}" "$(address "$2")"; }

# SERVER KEYS: asks for every key, until a whole turn brought nothing but 200.
fill() {
  local tries
  for tries in 1 2 3 4 5; do
    "${load[@]}" "$bench_load" --draw once --keys "$2" --seconds 3000 "$(url "$1" 0 | sed 's,[^/]*$,,')" \
      >"$work/load.log" 2>&1 || return 1
    [ "$(load_errors "$work/load.log")" -gt 0 ] || return 0
    say "$1: filling again ($tries): $(tail -n 1 "$work/load.log")"
  done
  return 1
}

# SERVER KEYS: are some of the keys answered rightly without the upstream?
is_right() {
  local i n answer ok=0
  for n in 0 1 2 3 4 5 6 7; do
    i=$((n * ($2 - 1) / 7))
    [ -s "$work/expected.$i" ] ||
      curl -gsf --noproxy '*' -m 5 -H 'Authorization: Bearer bench' -o "$work/expected.$i" \
        "http://127.0.0.1:$upstream_port/geoip/$(address $i)" || return 1
  done
  kill -STOP "$upstream_pid"
  for n in 0 1 2 3 4 5 6 7; do
    i=$((n * ($2 - 1) / 7))
    answer=$work/answer
    curl -gsf --noproxy '*' -m 5 -o "$answer" "$(url "$1" $i)" || { ok=1; break; }
    cmp -s "$answer" "$work/expected.$i" || { ok=1; break; }
  done
  kill -CONT "$upstream_pid"
  return $ok
}

# SERVER SECONDS SEED [OPTION...]: asks for keys as the case wants; load.log gets what
# the generator says.
ask() {
  local how=("${@:4}") url keys=$case_keys
  url=$(url "$1" 0)
  # It has one answer.
  if [ "$1" = ceiling ]; then keys=1; fi
  if [ "$generator" = wrk ]; then
    if [ "$case_name" = close ]; then how+=(-H 'Connection: close'); fi
    "${load[@]}" wrk "-t$load_threads" "-c$connections" "-d${2}s" --timeout 5s "${how[@]}" \
      -s tools/bench/keys.lua "$url" -- "$([ "$keys" -gt 1 ] && echo "$distribution" || echo hot)" "$keys" "$3"
  else
    if [ "$case_name" = close ]; then how+=(--close); fi
    if [ "$case_name" = browser ]; then how+=(--browser); fi
    "${load[@]}" "$bench_load" --threads "$load_threads" --connections "$connections" --seconds "$2" \
      --keys "$keys" --draw "$distribution" --seed "$3" "${how[@]}" "${url%/*}/"
  fi >"$work/load.log" 2>&1 || true
}

# CASE ROUND SERVER: one turn.
measure() {
  local before after requests micros errors p50 p99 paced log=$work/load.log
  before=$(cpu_ticks "${pids[$3]}")
  ask "$3" "$seconds" "$2"
  after=$(cpu_ticks "${pids[$3]}")
  requests=$(load_result "$log" 1) micros=$(load_result "$log" 2) errors=$(load_errors "$log")
  p50=$(load_result "$log" 3) p99=$(load_result "$log" 4) paced=0
  if [ "$generator" = bench-load ]; then
    ask "$3" 2 "$2" --rate "$pace"
    paced=$(load_result "$log" 4) errors=$((errors + $(load_errors "$log")))
  fi
  awk -v OFS='\t' -v requests="$requests" -v micros="$micros" -v ticks="$((after - before))" \
    -v hz="$(getconf CLK_TCK)" -v before="$1	$2	$3" -v kib="$(resident_kib "${pids[$3]}")" \
    -v behind="$p50	$p99	$paced" -v errors="$errors" 'BEGIN {
      print before, sprintf("%.0f", requests / micros * 1e6),
        sprintf("%.2f", requests ? ticks / hz * 1e6 / requests : 0), behind, kib, errors }' >>"$results"
}

# CASE: the table of its turns. Ratios are of medians; what is in brackets are
# the smallest and largest ratio of one round.
report() {
  awk -F '\t' -v case_name="$1" -v base="$base" "$awk_median"'
    function of(server, field,  i, values) {
      for (i = 1; i <= turns[server]; i++) values[i] = value[server, field, i]
      return median(values, turns[server])
    }
    NR > 1 && $1 == case_name {
      if (!($3 in turns)) order[++servers] = $3
      n = ++turns[$3]
      for (field = 4; field <= 9; field++) value[$3, field, n] = $field
      errors[$3] += $10
    }
    END {
      printf "%-10s %9s  %-17s %8s %8s %8s %8s %9s   %s\n", "server", "req/s", "(min-max)", "us CPU", \
        "p50 ms", "p99 ms", "at pace", "resident", base "/it: req/s, CPU per request"
      for (s = 1; s <= servers; s++) {
        server = order[s]
        rate = of(server, 4); spread = "(" least "-" most ")"
        cpu = of(server, 5)
        printf "%-10s %9d  %-17s %8.2f %8.3f %8.3f %8.3f %5.0f MiB", server, rate, spread, cpu, \
          of(server, 6) / 1000, of(server, 7) / 1000, of(server, 8) / 1000, of(server, 9) / 1024
        if (server != base && (base in turns) && rate > 0 && cpu > 0) {
          for (i = 1; i <= turns[server]; i++)
            ratio[i] = value[server, 4, i] > 0 ? value[base, 4, i] / value[server, 4, i] : 0
          base_rate = of(base, 4); base_cpu = of(base, 5)
          median(ratio, turns[server])
          printf "   %.2f [%.2f-%.2f], %.2f", base_rate / rate, least, most, base_cpu / cpu
        }
        if (errors[server]) printf "   %d ERRORS", errors[server]
        printf "\n"
      }
    }' "$results"
}

# ---- The runs ---------------------------------------------------------------

describe "$rounds rounds of $seconds s; server on core $server_core, load on core $load_core"

for case_name in $cases; do
  pin=(taskset -c "$server_core") load=(taskset -c "$load_core")
  workers=1 load_threads=1 connections=32 distribution=uniform case_keys=1 pace=$paced_rate
  running=$servers
  case $case_name in
    uniform | zipf) distribution=$case_name case_keys=$keys ;;
    browser) case_keys=$keys ;;
    big)
      distribution=uniform case_keys=$big_keys
      running=$(printf '%s\n' "$servers" | tr ' ' '\n' | grep -vxE 'haproxy|ceiling' | tr '\n' ' ')
      ;;
    close) pace=$((paced_rate / 4)) ;;
    conns1000) connections=1000 ;;
    two-workers) pin=() load=() workers=2 load_threads=2 ;;
  esac
  printf '\n%s: %d key(s), %d connections, %d worker(s)\n' "$case_name" "$case_keys" "$connections" "$workers"

  stated=()
  # Mode rfc9111 keeps what says for how long.
  if [[ " $running " == *" holdfast-http "* ]]; then stated=(--cache-control max-age=86400); fi
  start_upstream "$work/upstream" --token bench "${stated[@]}"
  taskset -acp "$load_core" "$upstream_pid" >/dev/null
  declare -A ports=() pids=()
  ready=
  # The ceiling last: it repeats another's answer.
  for name in ${running//ceiling/} $([[ " $running " != *" ceiling "* ]] || echo ceiling); do
    folder=$work/$case_name.$name
    mkdir "$folder"
    port=$(free_port)
    "start_$name" "$port" "$workers" "$case_name" "$folder"
    pids[$name]=$started_pid ports[$name]=$port
    own "$started_pid"
    if ! wait_for "$started_pid" 30 answers_200 "$(url "$name" 0)"; then
      say "$name: does not answer: $(tail -n 3 "$folder/log")"
    elif [ "$name" != ceiling ] && [ "$case_keys" -gt 1 ] && ! fill "$name" "$case_keys"; then
      say "$name: could not be filled"
    elif ! is_right "$name" 1 || { [ "$name" != ceiling ] && ! is_right "$name" "$case_keys"; }; then
      say "$name: a wrong answer, or not a hit; not measured"
    else
      ready="$ready $name"
      continue
    fi
    problems=$((problems + 1))
    unset "ports[$name]"
  done

  # One short turn each that does not count, then the rounds; who starts changes.
  for name in $ready; do ask "$name" 1 0; done
  for round in $(seq "$rounds"); do
    for name in $ready; do measure "$case_name" "$round" "$name"; done
    read -r first rest <<<"$ready" || true
    ready="$rest $first"
  done
  report "$case_name"

  end_own
  upstream_pid=
  rm -rf "$work/$case_name".*
done

[ "$problems" -eq 0 ] || die "$problems server(s) could not be measured"
