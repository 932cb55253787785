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
. tools/lib/packages.sh
. tools/lib/common.sh
. tools/lib/peers.sh

all_cases='hot uniform zipf big close conns1000 two-workers'
cases=$all_cases
servers='holdfast haproxy nginx varnish ceiling'
base=holdfast
rounds=5 seconds=5 keys=100000 big_keys=1000000
server_core=0 load_core=1
build=${BUILD_DIR:-build}
out=

usage() {
  cat <<EOF
usage: tools/bench/hits.sh [options]
  --rounds N     turns for each server, at least 5 for numbers to quote  $rounds
  --seconds N    length of a turn                                         $seconds
  --cases LIST   of: ${all_cases// /,}
  --only LIST    of: ${servers// /,}
  --base NAME    server the ratios are of                                 $base
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
EOF
}

while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}"; continue ;;
    --*) [ $# -ge 2 ] || die "$1 needs a value" ;;
  esac
  case $1 in
    --rounds) rounds=$2 ;;
    --seconds) seconds=$2 ;;
    --cases) cases=${2//,/ } ;;
    --only) servers=${2//,/ } ;;
    --base) base=$2 ;;
    --keys) keys=$2 ;;
    --big-keys) big_keys=$2 ;;
    --cores) server_core=${2%,*} load_core=${2#*,} ;;
    --build) build=$2 ;;
    --out) out=$2 ;;
    *) die "unknown option $1 (--help lists them)" ;;
  esac
  shift 2
done
for number in "$rounds" "$seconds" "$keys" "$big_keys"; do
  [[ $number =~ ^[1-9][0-9]*$ ]] || die "not a whole number above 0: $number"
done
for name in $cases; do [[ " $all_cases " == *" $name "* ]] || die "unknown case $name"; done
for name in $servers; do
  [[ $name =~ ^(holdfast|haproxy|nginx|varnish|ceiling)$ ]] || die "unknown server $name"
done
[[ " $servers " == *" $base "* ]] || base=${servers%% *}
[ "$big_keys" -le 16777216 ] || die "at most 16777216 keys"

install_peers "${bench_packages[@]}"

holdfast=$build/src/holdfast
flaky_upstream=$build/tools/flaky-upstream/flaky-upstream
ceiling=$build/tools/bench/bench-ceiling
[ -x "$flaky_upstream" ] || die "$flaky_upstream is missing: build first (meson setup $build && ninja -C $build)"
[[ " $servers " != *" holdfast "* || -x $holdfast ]] || die "$holdfast is missing: build first"
[[ " $servers " != *" ceiling "* || -x $ceiling ]] || die "$ceiling is missing: build first"
[ "$(nproc)" -ge 2 ] || die "needs two cores: one for the server, one for the load"
taskset -c "$server_core,$load_core" true 2>/dev/null || die "no such cores: $server_core,$load_core"
# 1000 connections on either side; the hard limit is all we may have.
ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"

work=$(mktemp -d)
cleanup() {
  if [ -n "${upstream_pid:-}" ]; then kill -CONT "$upstream_pid" 2>/dev/null || true; fi
  end_own
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
results=${out:-$work/results}
printf 'case\tround\tserver\trequests_per_s\tcpu_us\tp50_us\tp99_us\tresident_kib\terrors\n' >"$results"
problems=0

# ---- The servers ------------------------------------------------------------
# start_NAME PORT WORKERS CASE DIR: sets started_pid. $pin runs them on their core.

start_holdfast() {
  local memory=1GiB
  if [ "$3" = big ]; then memory=64MiB; fi
  env API_URL="http://127.0.0.1:$upstream_port" API_TOKEN=bench PORT="$1" BIND=127.0.0.1 \
    WORKERS="$2" CACHE_TTL=24h MEMORY_LIMIT=$memory STORE_PATH="$4/holdfast.db" \
    "${pin[@]}" "$holdfast" >"$4/log" 2>&1 &
  started_pid=$!
}

start_nginx() {
  cat >"$4/nginx.conf" <<EOF
daemon off;
$([ "$(id -u)" -ne 0 ] || echo 'user root;')
worker_processes $2;
worker_rlimit_nofile 65536;
pid $4/pid;
error_log stderr crit;
events { worker_connections 8192; multi_accept on; }
http {
  access_log off;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  keepalive_timeout 300s;
  open_file_cache max=200000 inactive=1h;
  open_file_cache_valid 1h;
  client_body_temp_path $4/t1; proxy_temp_path $4/t2; fastcgi_temp_path $4/t3;
  uwsgi_temp_path $4/t4; scgi_temp_path $4/t5;
  proxy_cache_path $4/cache levels=1:2 keys_zone=answers:256m max_size=20g inactive=24h
                   use_temp_path=off;
  upstream origin { server 127.0.0.1:$upstream_port; keepalive 64; }
  server {
    listen 127.0.0.1:$1 reuseport backlog=4096;
    location /lookup/ {
      proxy_pass http://origin/geoip/;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Authorization "Bearer bench";
      proxy_cache answers;
      proxy_cache_key \$uri;
      proxy_cache_valid 200 24h;
      proxy_cache_lock on;
    }
  }
}
EOF
  "${pin[@]}" nginx -e stderr -p "$4" -c "$4/nginx.conf" >"$4/log" 2>&1 &
  started_pid=$!
}

# HAProxy takes all its cache's memory at start: some 2.5 KB for a key is ample.
start_haproxy() {
  cat >"$4/haproxy.cfg" <<EOF
global
  nbthread $2
  maxconn 4000
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 30s
  timeout http-keep-alive 300s
cache answers
  total-max-size $((32 + case_keys / 400))
  max-object-size 4096
  max-age 86400
frontend clients
  bind 127.0.0.1:$1 backlog 4096 shards by-thread
  http-request cache-use answers
  http-response set-header Cache-Control max-age=86400
  http-response cache-store answers
  default_backend origin
backend origin
  http-request replace-path /lookup/(.*) /geoip/\\1
  http-request set-header Authorization "Bearer bench"
  http-response set-header Cache-Control max-age=86400
  http-reuse always
  server origin 127.0.0.1:$upstream_port
EOF
  "${pin[@]}" haproxy -db -f "$4/haproxy.cfg" >"$4/log" 2>&1 &
  started_pid=$!
}

start_varnish() {
  local storage=malloc,1G
  if [ "$3" = big ]; then storage=file,$4/storage,8G; fi
  cat >"$4/holdfast.vcl" <<EOF
vcl 4.1;
backend origin { .host = "127.0.0.1"; .port = "$upstream_port"; }
sub vcl_backend_fetch {
  set bereq.url = regsub(bereq.url, "^/lookup/", "/geoip/");
  set bereq.http.Authorization = "Bearer bench";
}
sub vcl_backend_response { set beresp.ttl = 24h; }
EOF
  "${pin[@]}" varnishd -F -j none -n "$4/work" -a "127.0.0.1:$1" -f "$4/holdfast.vcl" -T none \
    -s "$storage" -p "thread_pools=$2" -p listen_depth=4096 >"$4/log" 2>&1 &
  started_pid=$!
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

# PID -> it and all below it.
process_tree() {
  cat /proc/[0-9]*/stat 2>/dev/null | awk -v root="$1" '
    { pid = $1; sub(/^.*\) /, ""); parent[pid] = $2 }
    END { for (pid in parent) {
            for (p = pid; p in parent && p != root; p = parent[p]);
            if (p == root) print pid } }'
}

# User and system time of a process and all below it, in clock ticks.
cpu_ticks() {
  local pid
  for pid in $(process_tree "$1"); do
    sed 's/^.*) //' "/proc/$pid/stat" 2>/dev/null || true
  done | awk '{ ticks += $12 + $13 } END { print ticks + 0 }'
}

# Pages shared by several of its processes count once (PSS), as far as the
# kernel tells.
resident_kib() {
  local pid
  for pid in $(process_tree "$1"); do
    { grep '^Pss:' "/proc/$pid/smaps_rollup" || grep '^VmRSS:' "/proc/$pid/status"; } 2>/dev/null || true
  done | awk '{ kib += $2 } END { print kib + 0 }'
}

# SERVER KEYS: asks for every key once.
fill() {
  local filler
  rm -f "$work/filled"
  "${load[@]}" wrk -t1 -c32 -d3600s -s tools/bench/keys.lua "$(url "$1" 0)" -- fill "$2" "$work/filled" \
    >"$work/fill.log" 2>&1 &
  filler=$!
  own "$filler"
  wait_for "$filler" 3500 test -e "$work/filled" || { end "$filler" INT; return 1; }
  end "$filler" INT
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

# CASE ROUND SERVER: one turn.
measure() {
  local before after requests micros p50 p99 status sockets name
  before=$(cpu_ticks "${pids[$3]}")
  "${load[@]}" wrk "-t$load_threads" "-c$connections" "-d${seconds}s" --timeout 5s "${wrk_fields[@]}" \
    -s tools/bench/keys.lua "$(url "$3" 0)" -- "$distribution" "$case_keys" "$2" >"$work/wrk.log" 2>&1 || true
  after=$(cpu_ticks "${pids[$3]}")
  read -r name requests micros p50 p99 status sockets \
    <<<"$(grep '^RESULT' "$work/wrk.log" || echo RESULT 0 1 0 0 0 1)"
  awk -v OFS='\t' -v case_name="$1" -v round="$2" -v server="$3" -v requests="$requests" \
    -v micros="$micros" -v ticks="$((after - before))" -v hz="$(getconf CLK_TCK)" -v p50="$p50" \
    -v p99="$p99" -v kib="$(resident_kib "${pids[$3]}")" -v errors="$((status + sockets))" 'BEGIN {
      print case_name, round, server, sprintf("%.0f", requests / micros * 1e6),
        sprintf("%.2f", requests ? ticks / hz * 1e6 / requests : 0), p50, p99, kib, errors }' >>"$results"
}

# CASE: the table of its turns. Ratios are of medians; what is in brackets are
# the smallest and largest ratio of one round.
report() {
  awk -F '\t' -v case_name="$1" -v base="$base" '
    function median(values, n,  i, j, t, sorted) {
      for (i = 1; i <= n; i++) sorted[i] = values[i]
      for (i = 2; i <= n; i++) {
        t = sorted[i]
        for (j = i - 1; j > 0 && sorted[j] > t; j--) sorted[j + 1] = sorted[j]
        sorted[j + 1] = t
      }
      least = sorted[1]; most = sorted[n]
      return n % 2 ? sorted[(n + 1) / 2] : (sorted[n / 2] + sorted[n / 2 + 1]) / 2
    }
    function of(server, field,  i, values) {
      for (i = 1; i <= turns[server]; i++) values[i] = value[server, field, i]
      return median(values, turns[server])
    }
    NR > 1 && $1 == case_name {
      if (!($3 in turns)) order[++servers] = $3
      n = ++turns[$3]
      for (field = 4; field <= 8; field++) value[$3, field, n] = $field
      errors[$3] += $9
    }
    END {
      printf "%-10s %9s  %-17s %8s %8s %8s %9s   %s\n", "server", "req/s", "(min-max)", "us CPU", \
        "p50 ms", "p99 ms", "resident", base "/it: req/s, CPU per request"
      for (s = 1; s <= servers; s++) {
        server = order[s]
        rate = of(server, 4); spread = "(" least "-" most ")"
        cpu = of(server, 5)
        printf "%-10s %9d  %-17s %8.2f %8.3f %8.3f %5.0f MiB", server, rate, spread, cpu, \
          of(server, 6) / 1000, of(server, 7) / 1000, of(server, 8) / 1024
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

say "$(uname -sr), $(awk -F ': ' '/^model name/ { print $2; exit }' /proc/cpuinfo), $(nproc) cores;" \
  "$rounds rounds of $seconds s; server on core $server_core, load on core $load_core"

for case_name in $cases; do
  pin=(taskset -c "$server_core") load=(taskset -c "$load_core")
  workers=1 load_threads=1 connections=32 distribution=hot case_keys=1 wrk_fields=()
  running=$servers
  case $case_name in
    uniform | zipf) distribution=$case_name case_keys=$keys ;;
    big)
      distribution=uniform case_keys=$big_keys
      running=$(printf '%s\n' "$servers" | tr ' ' '\n' | grep -vxE 'haproxy|ceiling' | tr '\n' ' ')
      ;;
    close) wrk_fields=(-H 'Connection: close') ;;
    conns1000) connections=1000 ;;
    two-workers) pin=() load=() workers=2 load_threads=2 ;;
  esac
  printf '\n%s: %d key(s), %d connections, %d worker(s)\n' "$case_name" "$case_keys" "$connections" "$workers"

  start_upstream "$work/upstream" --token bench
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
  for name in $ready; do
    "${load[@]}" wrk "-t$load_threads" "-c$connections" -d1s "${wrk_fields[@]}" \
      -s tools/bench/keys.lua "$(url "$name" 0)" -- "$distribution" "$case_keys" 0 >/dev/null 2>&1 || true
  done
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
