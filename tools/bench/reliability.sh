#!/bin/bash
# What clients get while the upstream fails: Holdfast beside nginx, Varnish and
# HAProxy from Debian's packages, each set up as its documentation advises for an
# upstream like this one: ten retries of whatever it can see is wrong, timeouts of
# 2 s, stale answers where it has them. One after the other, each from its own
# start, in front of an upstream that plays the same faults for the same address.
#
# Every body is compared with the right one, which is a function of the address.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/../.."
. tools/bench/lib.sh

all_cases='half most limit flapping outage tail stale token'
cases=$all_cases
servers='holdfast nginx varnish haproxy'
rounds=1 seconds=30

usage() {
  cat <<EOF
usage: tools/bench/reliability.sh [options]
  --rounds N     turns for each server                          $rounds
  --seconds N    no request of a turn is begun later            $seconds
  --cases LIST   of: ${all_cases// /,}
  --only LIST    of: ${servers// /,}
  --build DIR    meson build folder (BUILD_DIR)                 $build
  --out FILE     keep a line for every request, tab-separated

cases, an attempt at the upstream taking 20 ms, a client waiting 15 s, where nothing else is said:
       half      nothing stored, 1000 addresses, 50 at a time; 50 % of the attempts meet one of
                 fourteen faults
       most      the same with 70 %
       limit     nothing stored, 300 addresses, 50 at a time; the upstream allows 50 requests/s
       flapping  nothing stored, 10 new addresses a second for 30 s; up 3 s, down 3 s
       outage    nothing stored, 200 new addresses a second, clients wait 10 s; the upstream hangs
                 for 15 s, then is back for 10 s
       tail      nothing stored, 300 addresses, 20 at a time; 5 % of the attempts take 5 s
       stale     1000 stored answers, past their lifetime; the upstream hangs; 8 at a time
       token     1000 stored answers, past their lifetime; the upstream says 401; 8 at a time
EOF
}

read_options 'rounds:rounds:count seconds:seconds:count cases:cases:words only:servers:words
  build:build:text out:out:text' "$@"
# shellcheck disable=SC2086
only_known case "$all_cases" $cases
# shellcheck disable=SC2086
only_known server 'holdfast haproxy nginx varnish' $servers
peers=()
for name in $servers; do
  if [ "$name" != holdfast ]; then peers+=("$name"); fi
done
install_without_services "${peers[@]}" curl python3 || die 'packages could not be installed'

flaky_upstream=$(built tools/flaky-upstream/flaky-upstream)
if [[ " $servers " == *" holdfast "* ]]; then holdfast=$(built src/holdfast); fi
# Thousands of clients may wait at once, each with a connection on either side.
raise_descriptors 20000

make_work_folder "${TMPDIR:-/tmp}"
need_plain_folder
printf 'case\tround\tserver\tresult\tms\tcame_at_ms\n' >"$results"
: >"$work/turns"

# ---- The servers ------------------------------------------------------------
# start_NAME PORT LIFETIME DIR: sets started_pid. LIFETIME in seconds.

start_holdfast() {
  env API_URL="http://127.0.0.1:$upstream_port" API_TOKEN=bench PORT="$1" BIND=127.0.0.1 \
    CACHE_TTL="$2s" STORE_PATH="$3/holdfast.db" LOG_LEVEL=warn "$holdfast" >"$3/log" 2>&1 &
  started_pid=$!
}

# nginx never asks the same server of an upstream twice for a request, so it has
# eleven of them. It looks at status and head, not at content.
start_nginx() {
  cat >"$3/nginx.conf" <<EOF
daemon off;
$([ "$(id -u)" -ne 0 ] || echo 'user root;')
worker_processes auto;
worker_rlimit_nofile 16384;
pid $3/pid;
error_log stderr crit;
events { worker_connections 8192; }
http {
  access_log off;
  client_body_temp_path $3/t1; proxy_temp_path $3/t2; fastcgi_temp_path $3/t3;
  uwsgi_temp_path $3/t4; scgi_temp_path $3/t5;
  proxy_cache_path $3/cache levels=1:2 keys_zone=answers:64m max_size=1g inactive=30d
                   use_temp_path=off;
  upstream origin {
$(for _ in 1 2 3 4 5 6 7 8 9 10 11; do printf '    server 127.0.0.1:%s max_fails=0;\n' "$upstream_port"; done)
    keepalive 64;
  }
  server {
    listen 127.0.0.1:$1 backlog=4096;
    location /lookup/ {
      proxy_pass http://origin/geoip/;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Authorization "Bearer bench";
      proxy_connect_timeout 1s;
      proxy_send_timeout 2s;
      proxy_read_timeout 2s;
      proxy_next_upstream error timeout invalid_header http_500 http_502 http_503 http_504 http_429;
      proxy_next_upstream_tries 11;
      proxy_next_upstream_timeout 10s;
      proxy_cache answers;
      proxy_cache_key \$uri;
      proxy_cache_valid 200 $2s;
      proxy_cache_use_stale error timeout invalid_header updating http_500 http_502 http_503
                            http_504 http_403 http_404 http_429;
      proxy_cache_background_update on;
      proxy_cache_lock on;
      proxy_cache_lock_age 10s;
      proxy_cache_lock_timeout 10s;
    }
  }
}
EOF
  nginx -e stderr -p "$3" -c "$3/nginx.conf" >"$3/log" 2>&1 &
  started_pid=$!
}

# Retries go by status and type; without streaming, a body that breaks off is an
# error that can be retried too. A background fetch that fails leaves what is stored.
start_varnish() {
  cat >"$3/bench.vcl" <<EOF
vcl 4.1;
backend origin {
  .host = "127.0.0.1";
  .port = "$upstream_port";
  .connect_timeout = 1s;
  .first_byte_timeout = 2s;
  .between_bytes_timeout = 2s;
}
sub vcl_backend_fetch {
  set bereq.url = regsub(bereq.url, "^/lookup/", "/geoip/");
  set bereq.http.Authorization = "Bearer bench";
}
sub vcl_backend_response {
  if (beresp.status != 200 || beresp.http.Content-Type !~ "^application/json" ||
      beresp.http.Content-Length == "0") {
    if (bereq.retries < 10 && beresp.status != 401 && beresp.status != 403 && beresp.status != 404) {
      return (retry);
    }
    if (bereq.is_bgfetch) { return (abandon); }
    if (beresp.status == 200) { return (error(502, "not an answer")); }
    set beresp.ttl = 0s;
    set beresp.uncacheable = true;
    return (deliver);
  }
  set beresp.do_stream = false;
  set beresp.ttl = $2s;
  set beresp.grace = 7d;
}
sub vcl_backend_error {
  if (bereq.retries < 10) { return (retry); }
  if (bereq.is_bgfetch) { return (abandon); }
}
EOF
  varnishd -F -j none -n "$3/work" -a "127.0.0.1:$1" -f "$3/bench.vcl" -T none -s malloc,256M \
    -p max_retries=10 -p thread_pool_max=5000 -p listen_depth=4096 >"$3/log" 2>&1 &
  started_pid=$!
}

# A cache without stale answers and without collapsing. What is no JSON is not let
# through; that cannot be retried.
start_haproxy() {
  cat >"$3/haproxy.cfg" <<EOF
global
  maxconn 8000
defaults
  mode http
  timeout connect 1s
  timeout client 30s
  timeout server 2s
  timeout queue 10s
  retries 10
  retry-on all-retryable-errors 408 425
cache answers
  total-max-size 64
  max-object-size 4096
  max-age 86400
frontend clients
  bind 127.0.0.1:$1 backlog 4096
  http-request cache-use answers
  http-response set-header Cache-Control max-age=$2
  http-response cache-store answers
  default_backend origin
backend origin
  http-request replace-path /lookup/(.*) /geoip/\\1
  http-request set-header Authorization "Bearer bench"
  http-response deny deny_status 502 unless { res.fhdr(Content-Type) -m beg application/json }
  http-response set-header Cache-Control max-age=$2
  http-reuse always
  server origin 127.0.0.1:$upstream_port
EOF
  haproxy -db -f "$3/haproxy.cfg" >"$3/log" 2>&1 &
  started_pid=$!
}

# ---- A turn -----------------------------------------------------------------

tell() {
  curl -gsf --noproxy '*' -m 10 -o /dev/null -X PUT --data-binary "$2" "http://127.0.0.1:$upstream_control/$1" ||
    die "flaky-upstream does not take $1 $2"
}

# asks FILE [OPTION...]: the clients. Their lines go to $work/asked.
asks() {
  local file=$1 clients status=0
  shift
  python3 tools/bench/lookups.py --port "$port" --control "$upstream_control" --file "$file" \
    --seconds "$seconds" "$@" >"$work/asked" 2>"$work/asked.err" &
  clients=$!
  own "$clients"
  wait "$clients" || status=$?
  end "$clients"
  [ "$status" -eq 0 ] || die "the clients failed: $(tail -n 1 "$work/asked.err")"
}

takes_connections() { ! port_is_free "$port"; }

# CASE ROUND SERVER
turn() {
  local folder=$work/$1.$2.$3 lifetime=86400 options=(--latency 20ms --seed 7) load=(--concurrency 50)
  local addresses=$work/thousand fault=() server
  case $1 in
    half) options+=(--faults mixed=0.5) ;;
    most) options+=(--faults mixed=0.7) ;;
    limit) options+=(--requests-per-second 50) addresses=$work/some ;;
    flapping) options+=(--mode flap:3s/3s) addresses=$work/some load=(--rate 10) ;;
    outage)
      options+=(--mode blackhole) addresses=$work/many
      load=(--rate 200 --timeout 10 --switch 3000 mode up)
      ;;
    tail) options+=(--latency-tail 0.05=5s) addresses=$work/some load=(--concurrency 20) ;;
    stale) lifetime=1 fault=(mode blackhole) load=(--concurrency 8) ;;
    token) lifetime=1 fault=(faults "401=1") load=(--concurrency 8) ;;
  esac
  mkdir "$folder"
  start_upstream "$folder/upstream" --token bench "${options[@]}"
  port=$(free_port)
  "start_$3" "$port" "$lifetime" "$folder"
  server=$started_pid
  own "$server"
  wait_for "$server" 30 takes_connections || die "$3 does not start: $(tail -n 3 "$folder/log")"
  if [ ${#fault[@]} -gt 0 ]; then
    asks "$addresses" --concurrency 50
    [ "$(grep -c '^ok' "$work/asked")" = "$(wc -l <"$addresses")" ] || die "$3: could not be filled"
    sleep 4 # past the lifetime
    tell reset ''
    tell "${fault[@]}"
  fi
  asks "$addresses" "${load[@]}"
  # Of an outage, what was asked while it lasted.
  if ! sed -n 's/^stats //p' "$work/asked" | grep . >"$work/stats"; then
    curl -gsf --noproxy '*' -m 10 -o "$work/stats" "http://127.0.0.1:$upstream_control/stats"
  fi
  printf '%s\t%s\t%s\t%s\n' "$1" "$3" "$(json_number requests "$work/stats")" \
    "$(json_number rate_limited "$work/stats")" >>"$work/turns"
  grep -v '^stats ' "$work/asked" | sed "s/^/$1\t$2\t$3\t/" >>"$results"
  end "$server"
  end "$upstream_pid"
  rm -rf "$folder"
}

# FRACTION, of the numbers on standard input.
percentile() {
  sort -n | awk -v q="$1" '{ value[NR] = $1 }
    END { i = int(q * NR); if (i < q * NR) i++; printf "%.0f", value[i ? i : 1] }'
}

# CASE: the table of its turns.
report() {
  local name asked right wrong attempts limited per first extra
  printf '%-9s %6s %8s %6s %6s %9s %8s %8s\n' server asked right wrong none attempts p50/ms p99/ms
  for name in $servers; do
    awk -F '\t' -v c="$1" -v s="$name" '$1 == c && $3 == s' "$results" >"$work/own"
    read -r asked right wrong <<<"$(awk -F '\t' '{ n[$4]++ }
      END { print NR, n["ok"] + 0, n["wrong"] + 0 }' "$work/own")"
    read -r attempts limited <<<"$(awk -F '\t' -v c="$1" -v s="$name" '
      $1 == c && $2 == s { a += $3; l += $4 } END { print a + 0, l + 0 }' "$work/turns")"
    extra='' per=$asked
    case $1 in
      limit) extra="429 to $limited of $attempts" ;;
      outage)
        per=$((3000 * rounds))
        first=$(awk -F '\t' '$4 == "ok" && $6 >= 0 { print $6 }' "$work/own" | sort -n | awk 'NR == 1')
        extra="back: first right answer after ${first:-?} ms"
        ;;
    esac
    awk -v name="$name" -v asked="$asked" -v right="$right" -v wrong="$wrong" -v attempts="$attempts" \
      -v per="$per" -v p50="$(cut -f 5 "$work/own" | percentile 0.5)" \
      -v p99="$(cut -f 5 "$work/own" | percentile 0.99)" -v extra="$extra" 'BEGIN {
        printf "%-9s %6d %6.1f %% %6d %6d %9.2f %8d %8d   %s\n", name, asked,
          asked ? 100 * right / asked : 0, wrong, asked - right - wrong, per ? attempts / per : 0,
          p50, p99, extra }' | sed 's/ *$//'
  done
}

# ---- The runs ---------------------------------------------------------------

# In the spelling that every server passes on as it is.
python3 -c '
import ipaddress, sys
for line in sys.stdin:
    if line.strip(): print(ipaddress.ip_address(line.strip()))
' <test_ips.txt >"$work/thousand"
head -n 300 "$work/thousand" >"$work/some"
awk 'BEGIN { for (i = 0; i < 5000; i++) printf "20.77.%d.%d\n", i / 256, i % 256 }' >"$work/many"

describe "$rounds round(s). right: 200 with the right body; wrong: 200 with another; none: no 200;" \
  "attempts: seen by the upstream, for each request asked."
for case_name in $cases; do
  printf '\n%s: %s\n' "$case_name" "$(usage | awk -v name="$case_name" '
    $1 == name { found = 1; $1 = ""; line = $0; next }
    found && /^                 / { $1 = $1; line = line " " $0; next }
    found { exit }
    END { sub(/^ +/, "", line); print line }')"
  for round in $(seq "$rounds"); do
    for name in $servers; do turn "$case_name" "$round" "$name"; done
  done
  report "$case_name"
done
