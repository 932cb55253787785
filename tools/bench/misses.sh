#!/bin/bash
# How fast an empty cache fills, and what that costs: Holdfast beside other caches from Debian's
# packages, each on one core, in front of the same healthy upstream. They take turns, so that whatever else the machine
# does hits both. The hits' client has real-time priority where that is allowed: it
# shares its core with the upstream and the load, and is not to be kept waiting by them
# when an answer is there.
#
# Case disk: everything stored persistently, and what hits feel of it, beside nginx proxy_cache.
# A turn asks for distinct cold keys for some seconds at a fixed rate, then for some
# seconds as fast as they are answered, and counts those answers. Then the
# server is stopped, started anew and asked, with the upstream stopped, for a
# sample of what it answered: only what is on the disk counts as filled.
#
# holdfast-rt is the same with WORKER_SCHEDULING=realtime, where that is allowed.
#
# Case memory: from memory alone (nginx's cache is on a tmpfs), beside HAProxy, nginx and Varnish.
# A turn asks for distinct cold keys as fast as they are answered, after a second that does not
# count, and then, with the upstream stopped, for a sample of what was answered: it is to have been
# kept. holdfast has its log as it is by default, a line for every miss; the others write none, nor
# does holdfast-warn, which has LOG_LEVEL=warn.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/../.."
. tools/bench/lib.sh
. tools/bench/peers.sh

all_cases='disk memory'
cases=$all_cases
memory_servers='holdfast holdfast-warn haproxy nginx varnish'
rounds=5 seconds=5 hit_rate=500 paced_fill=2000
# So many keys are there to be asked for; nobody here is faster.
most_per_second=60000
sample=20

usage() {
  cat <<END
usage: tools/bench/misses.sh [options]
  --cases LIST   of: ${all_cases// /,}
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

read_options 'cases:cases:words rounds:rounds:count seconds:seconds:count hit-rate:hit_rate:count paced:paced_fill:count cores::cores
  build:build:text out:out:text' "$@"

# shellcheck disable=SC2086
only_known case "$all_cases" $cases
install_without_services "${bench_packages[@]}" || die 'packages could not be installed'
holdfast=$(built src/holdfast)
flaky_upstream=$(built tools/flaky-upstream/flaky-upstream)
bench_load=$(built tools/bench/bench-load)
need_two_cores
raise_descriptors 65536
make_work_folder "${TMPDIR:-/tmp}"
need_plain_folder
# What is to be from memory alone is on a tmpfs.
memory_work=$work
if [[ " $cases " == *" memory "* ]]; then
  memory_work=$(mktemp -d /dev/shm/holdfast-XXXXXX)
  trap 'clean_up; rm -rf "$memory_work"' EXIT
fi
pin=(taskset -c "$server_core") load=(taskset -c "$load_core")
urgent=(chrt --fifo 1)
"${urgent[@]}" true 2>/dev/null || urgent=()

# start_NAME PORT DIR: sets started_pid. DIR keeps what is stored.

start_holdfast() {
  if [ "$case_name" = memory ]; then
    start_holdfast_with "$@" STORE_PATH=off MEMORY_LIMIT=2GiB
  else
    start_holdfast_with "$@" STORE_PATH="$2/holdfast.db"
  fi
}
start_holdfast-warn() { start_holdfast_with "$@" STORE_PATH=off MEMORY_LIMIT=2GiB LOG_LEVEL=warn; }
# Its workers go before its own fetching and storing, and everything else on the core.
start_holdfast-rt() {
  start_holdfast_with "$@" STORE_PATH="$2/holdfast.db" WORKER_SCHEDULING=realtime
}
# PORT DIR SETTING...
start_holdfast_with() {
  env API_URL="http://127.0.0.1:$upstream_port" API_TOKEN=bench PORT="$1" BIND=127.0.0.1 WORKERS=1 \
    CACHE_TTL=24h HEDGE=off UPSTREAM_CONCURRENCY=64 "${@:3}" \
    "${pin[@]}" "$holdfast" >>"$2/log" 2>&1 &
  started_pid=$!
}

start_nginx() { start_nginx_at "$1" 1 "$2" off 0; }
start_haproxy() { start_haproxy_at "$1" 1 "$2" "$(((seconds + 1) * most_per_second))"; }
start_varnish() { start_varnish_at "$1" 1 "$2" malloc,2G; }

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
  "${load[@]}" "$bench_load" --network "$1" --draw once --keys "$((seconds * most_per_second))" \
    --connections 64 --seconds "$seconds" "${@:2}" "$url" >"$work/fill" 2>&1 || true
}

# NETWORK ANSWERED: sets `found` to how many of $sample keys that were answered are, with the upstream
# stopped.
count_kept() {
  local i
  found=0
  kill -STOP "$upstream_pid"
  for i in $(seq 0 $((sample - 1))); do
    # The last ones may have been under way when the load ended.
    if answers_200 "$url$(address "$1" $((i * ($2 - 64) / sample)))"; then found=$((found + 1)); fi
  done
  kill -CONT "$upstream_pid"
}

# ROUND SERVER FOLDER: starts it there, on an empty cache, and sets url.
begin_turn() {
  mkdir "$3"
  port=$(free_port)
  url=http://127.0.0.1:$port/lookup/
  "start_$2" "$port" "$3"
  own "$started_pid"
  wait_for "$started_pid" 30 answers_200 "${url}9.0.0.0" || die "$2 does not answer: $(tail -n 3 "$3/log")"
}

# SERVER NETWORK: fills as fast as can be, and sets what it answered and the ticks that took.
fill_and_count() {
  local before
  before=$(cpu_ticks "$started_pid")
  fill "$2"
  ticks=$(($(cpu_ticks "$started_pid") - before))
  answered=$(load_result "$work/fill" 1)
  [ "$answered" -gt $((2 * sample)) ] || die "$1 answered only $answered: $(tail -n 3 "$work/fill")"
}

# ROUND SERVER
disk_turn() {
  local folder=$work/$2.$1 port ticks answered found network=$((20 + $1 % 100 * 2))
  begin_turn "$1" "$2" "$folder"
  start_hits "$work/quiet"
  end_hits
  start_hits "$work/paced"
  fill "$((network + 1))" --rate "$paced_fill"
  end_hits
  start_hits "$work/busy"
  fill_and_count "$2" "$network"
  end_hits

  # What was promised to be kept: ended as a supervisor would, and started anew.
  end "$started_pid"
  "start_$2" "$port" "$folder"
  own "$started_pid"
  wait_for "$started_pid" 30 answers_200 "${url}9.0.0.0" || die "$2 does not start again"
  count_kept "$network" "$answered"
  end "$started_pid"
  rm -rf "$folder"
  awk -v OFS='\t' -v round="$1" -v server="$2" -v n="$answered" -v us="$(load_result "$work/fill" 2)" \
    -v ticks="$ticks" -v hz="$(getconf CLK_TCK)" \
    -v errors="$(load_errors "$work/fill")" -v survived="$found/$sample" \
    -v quiet="$(load_result "$work/quiet" 4)" -v paced="$(load_result "$work/paced" 4)" \
    -v busy="$(load_result "$work/busy" 4)" \
    -v hit_errors="$(($(load_errors "$work/paced") + $(load_errors "$work/busy")))" 'BEGIN {
      print round, server, sprintf("%.0f", n / us * 1e6), sprintf("%.1f", ticks / hz * 1e6 / n), \
        errors, survived, quiet, paced, busy, hit_errors }' >>"$results"
}

report_disk() {
  awk -F '\t' -v paced="$paced_fill" "$awk_median"'
    function of(server, field,  i, values) {
      for (i = 1; i <= turns[server]; i++) values[i] = value[server, field, i]
      return median(values, turns[server])
    }
    /^round/ { disk = $5 == "fill_errors"; next }
    disk {
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
}

# ROUND SERVER
memory_turn() {
  local folder=$memory_work/$2.$1 port ticks answered found network=$((20 + $1 % 100 * 2))
  begin_turn "$1" "$2" "$folder"
  seconds=1 fill "$((network + 1))"
  fill_and_count "$2" "$network"
  count_kept "$network" "$answered"
  end "$started_pid"
  rm -rf "$folder"
  awk -v OFS='\t' -v round="$1" -v server="$2" -v n="$answered" -v us="$(load_result "$work/fill" 2)" \
    -v ticks="$ticks" -v hz="$(getconf CLK_TCK)" -v p50="$(load_result "$work/fill" 3)" \
    -v p99="$(load_result "$work/fill" 4)" -v errors="$(load_errors "$work/fill")" \
    -v kept="$found/$sample" 'BEGIN {
      print round, server, sprintf("%.0f", n / us * 1e6), sprintf("%.1f", ticks / hz * 1e6 / n), p50, p99, \
        kept, errors }' >>"$results"
}

report_memory() {
  awk -F '\t' "$awk_median"'
    function of(server, field,  i, values) {
      for (i = 1; i <= turns[server]; i++) values[i] = value[server, field, i]
      return median(values, turns[server])
    }
    /^round/ { memory = $5 == "p50_us"; next }
    memory {
      n = ++turns[$2]
      for (field = 3; field <= 6; field++) value[$2, field, n] = $field
      split($7, part, "/"); kept[$2] += part[1]; asked[$2] += part[2]
      errors[$2] += $8
    }
    END {
      printf "%-13s %9s  %-15s %8s %8s %8s   %-11s %s\n", "server", "misses/s", "(min-max)", "us CPU", \
        "p50 ms", "p99 ms", "kept", "holdfast/it: misses/s, CPU; holdfast-warn/it"
      count = split("holdfast holdfast-warn haproxy nginx varnish", names, " ")
      for (s = 1; s <= count; s++) {
        server = names[s]
        rate = of(server, 3); spread = "(" least "-" most ")"
        printf "%-13s %9d  %-15s %8.1f %8.2f %8.2f   %-11s", server, rate, spread, of(server, 4), \
          of(server, 5) / 1000, of(server, 6) / 1000, kept[server] " of " asked[server]
        for (base = 1; base <= 2 && s > 2; base++) {
          for (i = 1; i <= turns[server]; i++) ratio[i] = value[names[base], 3, i] / value[server, 3, i]
          of_medians = of(names[base], 3) / rate
          median(ratio, turns[server])
          printf "%s %.2f [%.2f-%.2f], %.2f", base == 2 ? ";" : "", of_medians, least, most, \
            of(names[base], 4) / of(server, 4)
        }
        if (errors[server]) printf "   %d ERRORS", errors[server]
        printf "\n"
      }
    }' "$results"
}

describe "$rounds rounds of $seconds s; server on core $server_core, upstream and load on core $load_core"
start_upstream "$work/upstream" --token bench
taskset -acp "$load_core" "$upstream_pid" >/dev/null
: >"$results"
for case_name in $cases; do
  case $case_name in
    disk)
      printf '%s\t' round server filled_per_s cpu_us fill_errors sample_kept quiet_p99_us paced_p99_us >>"$results"
      printf 'fill_p99_us\thit_errors\n' >>"$results"
      order=(holdfast nginx)
      if [ ${#urgent[@]} -gt 0 ]; then order=(holdfast holdfast-rt nginx); fi
      ;;
    memory)
      printf 'round\tserver\tmisses_per_s\tcpu_us\tp50_us\tp99_us\tsample_kept\terrors\n' >>"$results"
      read -ra order <<<"$memory_servers"
      ;;
  esac
  printf '\n%s: distinct keys, each once, 64 connections, 1 worker\n' "$case_name"
  for round in $(seq "$rounds"); do
    for name in "${order[@]}"; do "${case_name}_turn" "$round" "$name"; done
    order=("${order[@]:1}" "${order[0]}")
  done
  "report_$case_name"
done
