#!/bin/bash
# What keeping N responses costs: puts, reads, bytes on disk, memory, time to
# ready and eviction at the limit, for several N; and nginx's cache folder beside
# it, both filled over HTTP from the same upstream. Prints tables.
#
# Latencies are those of calls, so whatever else the machine does is in them; the
# CPU time of a put is not.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/../.."
. tools/bench/lib.sh

sizes='10000 100000 1000000'
http_sizes=100000
reads=50000
memory_mib=64
folder=${TMPDIR:-/tmp}

usage() {
  cat <<USAGE
usage: tools/bench/store.sh [options]
  --sizes LIST     how many responses           ${sizes// /,}
                   (10000000 takes 3 GB of disk and some minutes)
  --http LIST      sizes to fill over HTTP and compare with nginx, or none   $http_sizes
                   (1000000 takes 4 GB of disk for nginx's files)
  --reads N        reads to time                $reads
  --memory MIB     MEMORY_LIMIT of the daemon   $memory_mib
  --folder DIR     on the disk to be measured   $folder
  --build DIR      meson build folder           $build
USAGE
}

read_options 'sizes:sizes:counts http:http_sizes:counts reads:reads:count memory:memory_mib:count
  folder:folder:text build:build:text' "$@"
bench=$(built tools/bench/bench-store)
holdfast=$(built src/holdfast)
flaky_upstream=$(built tools/flaky-upstream/flaky-upstream)
bench_load=$(built tools/bench/bench-load)
if [ -n "$http_sizes" ]; then
  PATH=$PATH:/usr/sbin
  command -v nginx >/dev/null ||
    die "nginx is not installed, and --http compares with it (--http none leaves it out)"
fi

make_work_folder "$folder"
if [ -n "$http_sizes" ]; then need_plain_folder; fi

# value NAME FILE: from "name value" lines
value() { awk -v name="$1" '$1 == name { print $2; exit }' "$2"; }

# calculate EXPRESSION [FORMAT]
calculate() { awk "BEGIN { printf \"${2:-%.0f}\", $1 }"; }

# metric NAME PORT
metric() {
  curl -gsf --noproxy '*' -m 5 "http://127.0.0.1:$2/metrics" | awk -v name="$1" '$1 == name { printf "%.0f", $2 }'
}

resident_mib() { calculate "$(resident_kib "$1") / 1024"; }

# start_holdfast FILE API_URL: sets started_pid, started_port and ready_ms
start_holdfast() {
  local from to
  started_port=$(free_port)
  from=$(date +%s%N)
  env API_URL="$2" API_TOKEN=bench PORT="$started_port" BIND=127.0.0.1 LOG_LEVEL=warn \
    MEMORY_LIMIT="${memory_mib}MiB" STORE_LIMIT=1000GiB STORE_PATH="$1" "$holdfast" >"$work/log" 2>&1 &
  started_pid=$!
  own "$started_pid"
  until curl -gsf --noproxy '*' -m 1 -o "$work/ready" "http://127.0.0.1:$started_port/readyz"; do
    if is_gone "$started_pid"; then die "holdfast did not start: $(tail -n 3 "$work/log")"; fi
    sleep 0.005
  done
  to=$(date +%s%N)
  ready_ms=$(((to - from) / 1000000))
}

# Has the daemon brought into memory what there is room for?
is_warm() {
  local bytes entries
  bytes=$(metric holdfast_memory_bytes "$started_port")
  entries=$(metric holdfast_memory_entries "$started_port")
  [ "$bytes" -ge $((memory_mib * 1048576 * 9 / 10)) ] || [ "$entries" -ge "$1" ]
}

describe "MEMORY_LIMIT ${memory_mib}MiB"

# ---- The store alone ----------------------------------------------------------

printf '\n%10s %8s %7s %7s %8s %8s %8s %8s %7s %6s %7s %8s %8s %6s\n' \
  responses puts/s 'cpu us' commit p50us p99us absent bytes ready rss wal evict limit commit
printf '%10s %8s %7s %7s %8s %8s %8s %8s %7s %6s %7s %8s %8s %6s\n' \
  '' '' /put p99ms read read p50us /resp ms MiB MiB puts/s '%max' p99ms
first_p50='' last_p50=''
for n in $sizes; do
  file=$work/store.db
  rm -f "$work"/store.db*
  "$bench" fill "$file" "$n" >"$work/fill" || die 'the fill failed'
  "$bench" read "$file" "$n" "$reads" >"$work/read" || die 'the reads failed'
  # Nobody listens there: the daemon answers from what it has.
  start_holdfast "$file" http://127.0.0.1:9
  wait_for "$started_pid" 60 is_warm "$n" || say "the daemon did not warm up: $(tail -n 3 "$work/log")"
  rss=$(resident_mib "$started_pid")
  end "$started_pid"
  # Enough to be at the limit for long.
  more=$((n / 5 < 300000 ? n / 5 : 300000))
  "$bench" evict "$file" "$n" "$more" >"$work/evict" || say "the eviction failed"
  last_p50=$(value read_p50_us "$work/read")
  if [ -z "$first_p50" ]; then first_p50=$last_p50; fi
  printf '%10d %8.0f %7.1f %7.1f %8.1f %8.1f %8.1f %8.1f %7d %6d %7.1f %8.0f %8.1f %6.1f\n' "$n" \
    "$(value puts_per_s "$work/fill")" "$(value cpu_us_per_put "$work/fill")" \
    "$(value commit_p99_ms "$work/fill")" "$last_p50" "$(value read_p99_us "$work/read")" \
    "$(value absent_p50_us "$work/read")" "$(value bytes_per_response "$work/fill")" "$ready_ms" "$rss" \
    "$(value wal_max_mib "$work/fill")" "$(value evict_puts_per_s "$work/evict")" \
    "$(value evict_max_percent_of_limit "$work/evict")" "$(value commit_p99_ms "$work/evict")"
done
rm -f "$work"/store.db*
[ -z "$sizes" ] || say "read p50, last row over first: $(calculate "$last_p50 / $first_p50" %.2f)"
[ -n "$http_sizes" ] || exit 0

# ---- Beside nginx's cache folder, over HTTP -----------------------------------

# start_nginx DIR: sets started_pid, started_port and ready_ms
start_nginx() {
  local from to
  started_port=$(free_port)
  mkdir -p "$1"
  cat >"$1/nginx.conf" <<CONF
daemon off;
$([ "$(id -u)" -ne 0 ] || echo 'user root;')
worker_processes auto;
pid $1/pid;
error_log stderr crit;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path $1/t1; proxy_temp_path $1/t2; fastcgi_temp_path $1/t3;
  uwsgi_temp_path $1/t4; scgi_temp_path $1/t5;
  proxy_cache_path $1/cache levels=1:2 keys_zone=answers:256m max_size=100g inactive=24h
                   use_temp_path=off;
  upstream origin { server 127.0.0.1:$upstream_port; keepalive 64; }
  server {
    listen 127.0.0.1:$started_port backlog=4096;
    location = /readyz { return 200; }
    location /lookup/ {
      proxy_pass http://origin/geoip/;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Authorization "Bearer bench";
      proxy_cache answers;
      proxy_cache_key \$uri;
      proxy_cache_valid 200 24h;
    }
  }
}
CONF
  from=$(date +%s%N)
  nginx -e stderr -p "$1" -c "$1/nginx.conf" >"$work/log" 2>&1 &
  started_pid=$!
  own "$started_pid"
  wait_for "$started_pid" 20 answers_200 "http://127.0.0.1:$started_port/readyz" ||
    die "nginx did not start: $(tail -n 3 "$work/log")"
  to=$(date +%s%N)
  ready_ms=$(((to - from) / 1000000))
}

# fill_over_http KEYS: sets fill_seconds
fill_over_http() {
  local from to
  from=$(date +%s%N)
  "$bench_load" --draw once --keys "$1" --seconds 3500 "http://127.0.0.1:$started_port/lookup/" \
    >"$work/load" 2>&1 || die "not filled: $(tail -n 3 "$work/load")"
  to=$(date +%s%N)
  [ "$(load_result "$work/load" 1)-$(load_errors "$work/load")" = "$1-0" ] ||
    die "not filled: $(tail -n 3 "$work/load")"
  fill_seconds=$(calculate "($to - $from) / 1000000000" %.1f)
}

# files PATH...
files() { find "$@" -type f | wc -l; }
# disk_bytes PATH...: what the file system gave them
disk_bytes() { du -sB1 "$@" | awk '{ bytes += $1 } END { printf "%.0f", bytes }'; }

start_upstream "$work/upstream" --token bench
printf '\n%10s %-9s %8s %9s %10s %7s %8s %9s\n' responses over fill files bytes ready rss delete
printf '%10s %-9s %8s %9s %10s %7s %8s %9s\n' '' HTTP s '' /resp ms MiB s
for n in $http_sizes; do
  for server in holdfast nginx; do
    mkdir "$work/data"
    start() {
      if [ "$server" = nginx ]; then
        start_nginx "$work/data"
      else
        start_holdfast "$work/data/holdfast.db" "http://127.0.0.1:$upstream_port"
      fi
    }
    start
    fill_over_http "$n"
    end "$started_pid"
    kept=("$work/data"/holdfast.db*)
    if [ "$server" = nginx ]; then kept=("$work/data/cache"); fi
    count=$(files "${kept[@]}")
    bytes=$(disk_bytes "${kept[@]}")
    start
    # nginx reads its folder, Holdfast what memory has room for.
    sleep 5
    rss=$(resident_mib "$started_pid")
    end "$started_pid"
    from=$(date +%s%N)
    rm -rf "$work/data"
    to=$(date +%s%N)
    printf '%10d %-9s %8.1f %9d %10.0f %7d %8d %9.1f\n' "$n" "$server" "$fill_seconds" "$count" \
      "$(calculate "$bytes / $n")" "$ready_ms" "$rss" "$(calculate "($to - $from) / 1000000000" %.1f)"
  done
done
