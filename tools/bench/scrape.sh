#!/bin/bash
# What being scraped costs: cache hits per second of Holdfast without a scraper and
# with one that takes /metrics ten times a second, packed, as Prometheus does. The two
# take turns, so that whatever else the machine does hits both.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/../.."
. tools/bench/lib.sh

rounds=7 seconds=5 rate=10 connections=32

usage() {
  cat <<END
usage: tools/bench/scrape.sh [options]
  --rounds N        turns with and without, at least 7 for numbers to quote  $rounds
  --seconds N       length of a turn                                         $seconds
  --rate N          scrapes a second, where one is done in time              $rate
  --connections N   of the load; one key, one worker                         $connections
  --cores S,L       core of the server, core of the load and the scraper     $server_core,$load_core
  --build DIR       meson build folder (BUILD_DIR)                           $build
  --out FILE        keep every turn's numbers, tab-separated
END
}

read_options 'rounds:rounds:count seconds:seconds:count rate:rate:count connections:connections:count
  cores::cores build:build:text out:out:text' "$@"
[ "$rate" -le 100 ] || die 'at most 100 scrapes a second'
install_without_services wrk curl || die 'packages could not be installed'
holdfast=$(built src/holdfast)
flaky_upstream=$(built tools/flaky-upstream/flaky-upstream)
bench_load=$(built tools/bench/bench-load)
need_two_cores
make_work_folder "${TMPDIR:-/tmp}"
printf 'round\tscraped\trequests_per_s\tcpu_us\tp50_us\tp99_us\terrors\tscrapes\n' >"$results"
pin=(taskset -c "$server_core") load=(taskset -c "$load_core")

start_upstream "$work/upstream" --token bench
taskset -acp "$load_core" "$upstream_pid" >/dev/null
port=$(free_port)
base=http://127.0.0.1:$port
env API_URL="http://127.0.0.1:$upstream_port" API_TOKEN=bench PORT="$port" BIND=127.0.0.1 WORKERS=1 \
  CACHE_TTL=24h STORE_PATH="$work/holdfast.db" "${pin[@]}" "$holdfast" >"$work/log" 2>&1 &
server=$!
own "$server"
wait_for "$server" 30 answers_200 "$base/lookup/20.0.0.0" || die "holdfast does not answer: $(tail -n 3 "$work/log")"
# What is measured are hits.
kill -STOP "$upstream_pid"
answers_200 "$base/lookup/20.0.0.0" || die 'not a hit'

# ROUND yes|no: one turn, being scraped or not.
turn() {
  local before after log=$work/load.log scrapes=0 scraper
  if [ "$2" = yes ]; then
    "${load[@]}" wrk -t1 -c1 "-d${seconds}s" --timeout 5s -s tools/bench/scrape.lua "$base/metrics" -- "$rate" \
      >"$work/scraper.log" 2>&1 &
    scraper=$!
    own "$scraper"
  fi
  before=$(cpu_ticks "$server")
  "${load[@]}" "$bench_load" --connections "$connections" --seconds "$seconds" "$base/lookup/" >"$log" 2>&1 || true
  after=$(cpu_ticks "$server")
  if [ "$2" = yes ]; then
    wait "$scraper" || true
    end "$scraper"
    scrapes=$(load_result "$work/scraper.log" 1)
    [ "$(load_errors "$work/scraper.log")" -eq 0 ] || die "scrapes failed: $(tail -n 3 "$work/scraper.log")"
    [ $((scrapes * 2)) -ge $((rate * seconds)) ] || die "only $scrapes scrapes in $seconds s"
  fi
  awk -v OFS='\t' -v round="$1" -v scraped="$2" -v n="$(load_result "$log" 1)" -v us="$(load_result "$log" 2)" \
    -v ticks="$((after - before))" -v hz="$(getconf CLK_TCK)" -v p50="$(load_result "$log" 3)" \
    -v p99="$(load_result "$log" 4)" -v errors="$(load_errors "$log")" -v scrapes="$scrapes" 'BEGIN {
      print round, scraped, sprintf("%.0f", n / us * 1e6), sprintf("%.2f", n ? ticks / hz * 1e6 / n : 0),
        p50, p99, errors, scrapes }' >>"$results"
}

describe "$rounds rounds of $seconds s; server on core $server_core, load on core $load_core"
page_bytes=$(curl -gsf --noproxy '*' -m 5 --compressed -w '%{size_download}' -o /dev/null "$base/metrics")
# A short turn that does not count.
"${load[@]}" "$bench_load" --connections "$connections" --seconds 1 "$base/lookup/" >/dev/null 2>&1 || true
order=(no yes)
for round in $(seq "$rounds"); do
  for scraped in "${order[@]}"; do turn "$round" "$scraped"; done
  order=("${order[1]}" "${order[0]}")
done

awk -F '\t' -v seconds="$seconds" -v bytes="$page_bytes" "$awk_median"'
  function of(scraped, field,  i, values) {
    for (i = 1; i <= turns[scraped]; i++) values[i] = value[scraped, field, i]
    return median(values, turns[scraped])
  }
  function line(name, scraped,  rate, spread) {
    rate = of(scraped, 3); spread = "(" least "-" most ")"
    printf "%-12s %9d  %-17s %8.2f %8.3f %8.3f", name, rate, spread, of(scraped, 4), \
      of(scraped, 5) / 1000, of(scraped, 6) / 1000
    if (errors[scraped]) printf "   %d ERRORS", errors[scraped]
    printf "\n"
  }
  NR > 1 {
    n = ++turns[$2]
    for (field = 3; field <= 6; field++) value[$2, field, n] = $field
    errors[$2] += $7; scrapes += $8
  }
  END {
    printf "%-12s %9s  %-17s %8s %8s %8s\n", "", "hits/s", "(min-max)", "us CPU", "p50 ms", "p99 ms"
    line("not scraped", "no")
    line("scraped", "yes")
    for (i = 1; i <= turns["no"]; i++) ratio[i] = value["no", 3, i] ? value["yes", 3, i] / value["no", 3, i] : 0
    middle = median(ratio, turns["no"])
    printf "scraped/not, hits per second: %.3f [%.3f-%.3f by round]; %.1f scrapes/s of %.1f KiB\n", \
      middle, least, most, scrapes / turns["yes"] / seconds, bytes / 1024
    exit (errors["no"] + errors["yes"] > 0)
  }' "$results"
