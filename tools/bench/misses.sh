#!/bin/bash
# How fast an empty cache fills, everything stored persistently, and what hits feel
# of it: Holdfast beside nginx proxy_cache from Debian's packages, each on one core,
# in front of the same upstream. They take turns, so that whatever else the machine
# does hits both. The hits' client has real-time priority where that is allowed: it
# shares its core with the upstream and the load, and is not to be kept waiting by them
# when an answer is there.
#
# A turn asks for distinct cold keys for some seconds at a fixed rate, then for some
# seconds as fast as they are answered, and counts those answers. Then the
# server is stopped, started anew and asked, with the upstream stopped, for a
# sample of what it answered: only what is on the disk counts as filled.
#
# holdfast-rt is the same with WORKER_SCHEDULING=realtime, where that is allowed.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/../.."
. tools/bench/lib.sh

rounds=5 seconds=5 hit_rate=500 paced_fill=2000

usage() {
  cat <<END
usage: tools/bench/misses.sh [options]
  --rounds N     turns for each server, at least 5 for numbers to quote  $rounds
  --seconds N    length of a fill, and of the hits without one            $seconds
  --hit-rate N   hits per second whose latency is measured                $hit_rate
  --paced N      misses per second of the fill that is not as fast as can be  $paced_fill
  --cores S,L    core of the server, core of upstream and load; S may be
                 several, such as 0-1                                     $server_core,$load_core
  --build DIR    meson build folder (BUILD_DIR)                           $build
  --out FILE     keep every turn's numbers, tab-separated
END
}

read_options 'rounds:rounds:count seconds:seconds:count hit-rate:hit_rate:count paced:paced_fill:count cores::cores
  build:build:text out:out:text' "$@"

install_without_services nginx curl || die 'packages could not be installed'
holdfast=$(built src/holdfast)
flaky_upstream=$(built tools/flaky-upstream/flaky-upstream)
bench_load=$(built tools/bench/bench-load)
need_two_cores
raise_descriptors 65536
make_work_folder "${TMPDIR:-/tmp}"
need_plain_folder
printf 'round\tserver\tfilled_per_s\tcpu_us\tfill_errors\tsample_kept\tquiet_p99_us\tpaced_p99_us\tfill_p99_us\thit_errors\n' >"$results"
pin=(taskset -c "$server_core") load=(taskset -c "$load_core")
urgent=(chrt --fifo 1)
"${urgent[@]}" true 2>/dev/null || urgent=()

# start_NAME PORT DIR: sets started_pid. DIR keeps what is stored.

start_holdfast() { start_holdfast_with normal "$@"; }
# Its workers go before its own fetching and storing, and everything else on the core.
start_holdfast-rt() { start_holdfast_with realtime "$@"; }
# SCHEDULING PORT DIR
start_holdfast_with() {
  env API_URL="http://127.0.0.1:$upstream_port" API_TOKEN=bench PORT="$2" BIND=127.0.0.1 WORKERS=1 \
    WORKER_SCHEDULING="$1" CACHE_TTL=24h HEDGE=off UPSTREAM_CONCURRENCY=64 STORE_PATH="$3/holdfast.db" \
    "${pin[@]}" "$holdfast" >>"$3/log" 2>&1 &
  started_pid=$!
}

start_nginx() {
  cat >"$2/nginx.conf" <<END
daemon off;
$([ "$(id -u)" -ne 0 ] || echo 'user root;')
worker_processes 1;
pid $2/pid;
error_log stderr crit;
events { worker_connections 4096; multi_accept on; }
http {
  access_log off;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  client_body_temp_path $2/t1; proxy_temp_path $2/t2; fastcgi_temp_path $2/t3;
  uwsgi_temp_path $2/t4; scgi_temp_path $2/t5;
  proxy_cache_path $2/cache levels=1:2 keys_zone=answers:256m max_size=20g inactive=24h
                   use_temp_path=off;
  upstream origin { server 127.0.0.1:$upstream_port; keepalive 64; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:$1 backlog=4096;
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
END
  "${pin[@]}" nginx -e stderr -p "$2" -c "$2/nginx.conf" >>"$2/log" 2>&1 &
  started_pid=$!
}

address() { printf '%d.%d.%d.%d' "$1" $(($2 / 65536 % 256)) $(($2 / 256 % 256)) $(($2 % 256)); }

# LOG: asks for one key, warm, at a steady pace, for $seconds; in the background.
start_hits() {
  "${load[@]}" "${urgent[@]}" "$bench_load" --network 9 --connections 4 --rate "$hit_rate" \
    --seconds "$seconds" "$url" >"$1" 2>&1 &
  hits_pid=$!
  own "$hits_pid"
}
end_hits() {
  wait "$hits_pid" || true
  end "$hits_pid"
}

# NETWORK [OPTION...]: asks for keys of the network, each once, for $seconds.
fill() {
  "${load[@]}" "$bench_load" --network "$1" --draw once --keys "$((seconds * 30000))" --connections 64 \
    --seconds "$seconds" "${@:2}" "$url" >"$work/fill" 2>&1 || true
}

# ROUND SERVER: one turn, on an empty store.
turn() {
  local folder=$work/$2.$1 port before after answered i survived=0 sample=20 network=$((20 + $1 % 100 * 2))
  mkdir "$folder"
  port=$(free_port)
  url=http://127.0.0.1:$port/lookup/
  "start_$2" "$port" "$folder"
  own "$started_pid"
  wait_for "$started_pid" 30 answers_200 "${url}9.0.0.0" || die "$2 does not answer: $(tail -n 3 "$folder/log")"
  start_hits "$work/quiet"
  end_hits
  start_hits "$work/paced"
  fill "$((network + 1))" --rate "$paced_fill"
  end_hits
  before=$(cpu_ticks "$started_pid")
  start_hits "$work/busy"
  fill "$network"
  end_hits
  after=$(cpu_ticks "$started_pid")
  answered=$(load_result "$work/fill" 1)
  [ "$answered" -gt $((2 * sample)) ] || die "$2 answered only $answered: $(tail -n 3 "$work/fill")"

  # What was promised to be kept: ended as a supervisor would, and started anew.
  end "$started_pid"
  "start_$2" "$port" "$folder"
  own "$started_pid"
  wait_for "$started_pid" 30 answers_200 "${url}9.0.0.0" || die "$2 does not start again"
  kill -STOP "$upstream_pid"
  for i in $(seq 0 $((sample - 1))); do
    # The last ones may have been under way when the load ended.
    if answers_200 "$url$(address "$network" $((i * (answered - 64) / sample)))"; then survived=$((survived + 1)); fi
  done
  kill -CONT "$upstream_pid"
  end "$started_pid"
  rm -rf "$folder"
  awk -v OFS='\t' -v round="$1" -v server="$2" -v n="$answered" -v us="$(load_result "$work/fill" 2)" \
    -v ticks="$((after - before))" -v hz="$(getconf CLK_TCK)" \
    -v errors="$(load_errors "$work/fill")" -v survived="$survived/$sample" \
    -v quiet="$(load_result "$work/quiet" 4)" -v paced="$(load_result "$work/paced" 4)" \
    -v busy="$(load_result "$work/busy" 4)" \
    -v hit_errors="$(($(load_errors "$work/paced") + $(load_errors "$work/busy")))" 'BEGIN {
      print round, server, sprintf("%.0f", n / us * 1e6), sprintf("%.1f", ticks / hz * 1e6 / n), \
        errors, survived, quiet, paced, busy, hit_errors }' >>"$results"
}

describe "$rounds rounds of $seconds s; server on core $server_core, upstream and load on core $load_core"
start_upstream "$work/upstream" --token bench
taskset -acp "$load_core" "$upstream_pid" >/dev/null
order=(holdfast nginx)
if [ ${#urgent[@]} -gt 0 ]; then order=(holdfast holdfast-rt nginx); fi
for round in $(seq "$rounds"); do
  for name in "${order[@]}"; do turn "$round" "$name"; done
  order=("${order[@]:1}" "${order[0]}")
done

awk -F '\t' -v paced="$paced_fill" "$awk_median"'
  function of(server, field,  i, values) {
    for (i = 1; i <= turns[server]; i++) values[i] = value[server, field, i]
    return median(values, turns[server])
  }
  NR > 1 {
    n = ++turns[$2]
    for (field = 3; field <= 10; field++) value[$2, field, n] = $field
    value[$2, 11, n] = $7 > 0 ? $8 / $7 : 0
    value[$2, 12, n] = $7 > 0 ? $9 / $7 : 0
    errors[$2] += $5 + $10
    split($6, part, "/"); survived[$2] += part[1]; asked[$2] += part[2]
  }
  END {
    printf "%-12s %9s %8s   hit p99: %9s %18s %18s   %s\n", "server", "filled/s", "us CPU", "no fill", \
      paced "/s (ratio)", "full fill (ratio)", "on disk after restart"
    count = split("holdfast holdfast-rt nginx", names, " ")
    for (i = 1; i <= count; i++) {
      s = names[i]
      if (!turns[s]) continue
      printf "%-12s %9d %8.1f            %6.2f ms %8.2f ms (%5.1f) %8.2f ms (%5.1f)   %d of %d", s, of(s, 3), \
        of(s, 4), of(s, 7) / 1000, of(s, 8) / 1000, of(s, 11), of(s, 9) / 1000, of(s, 12), survived[s], asked[s]
      if (errors[s]) printf "   %d ERRORS", errors[s]
      printf "\n"
    }
    for (i = 1; i <= turns["holdfast"]; i++) ratio[i] = value["holdfast", 3, i] / value["nginx", 3, i]
    of_medians = of("holdfast", 3) / of("nginx", 3)
    median(ratio, turns["holdfast"])
    printf "holdfast/nginx, filled per second: %.2f of medians [%.2f-%.2f by round]\n", of_medians, least, most
  }' "$results"
