#!/bin/bash
# Tries tools/prometheus against the real things: promtool checks the live page,
# the configuration, the rules and their tests; then a Prometheus scrapes a daemon
# through an outage, a refused token and a killed daemon. In copies of the files a
# minute of ranges and of `for` is a second; thresholds are the real ones. Exit 0
# if every query is valid and has had data, and if the alerts fired and cleared.
# About two and a half minutes.
set -euo pipefail
export LC_ALL=C PYTHONDONTWRITEBYTECODE=1
cd "$(dirname "$0")/../.."
. tools/lib/packages.sh
. tools/lib/common.sh

build=${BUILD_DIR:-build}
keep=
usage() {
  cat <<EOF_USAGE
usage: tests/prometheus/run.sh [options]
  --build DIR   meson build folder (BUILD_DIR)   $build
  --keep DIR    keep logs, copies of the rules and Prometheus' data there
EOF_USAGE
}
read_options 'build:build:text keep:keep:text' "$@"

install_without_services "${prometheus_packages[@]}" || die 'packages could not be installed'
holdfast=$build/src/holdfast
flaky_upstream=$build/tools/flaky-upstream/flaky-upstream
for program in "$holdfast" "$flaky_upstream"; do
  [ -x "$program" ] || die "$program is missing: build first (meson setup $build && ninja -C $build)"
done

if [ -n "$keep" ]; then keep_work "$keep"; else make_work; fi
began=$SECONDS

# STEP COMMAND...: runs it; what it said is shown if it fails.
step() {
  local label=$1
  shift
  if ! "$@" >"$work/step" 2>&1; then
    printf '%4d s  FAILED  %s\n' $((SECONDS - began)) "$label"
    cat "$work/step"
    if [ -e "$work/holdfast.log" ]; then tail -n 5 "$work/holdfast.log"; fi
    exit 1
  fi
  printf '%4d s  ok      %s%s\n' $((SECONDS - began)) "$label" "$(sed -n '$s/^./: &/p' "$work/step")"
}

# ---- Without a Prometheus ------------------------------------------------------

kit=tools/prometheus
step 'rules, dashboard and runbook agree with the daemon' python3 tests/prometheus/consistent.py "$holdfast"
step 'promtool check config' promtool check config --lint-fatal $kit/prometheus.yml
step 'promtool check rules' promtool check rules --lint-fatal $kit/recording.yml $kit/alerts.yml
step 'promtool test rules' promtool test rules $kit/rules_test.yml

# ---- The real things -----------------------------------------------------------

start_holdfast() {
  env API_URL="http://127.0.0.1:$upstream_port" API_TOKEN=secret PORT="$port" BIND=127.0.0.1 WORKERS=2 \
    STORE_PATH="$work/holdfast.db" CACHE_TTL=2s REQUEST_DEADLINE=1s LOG_LEVEL=warn \
    "$holdfast" >>"$work/holdfast.log" 2>&1 </dev/null &
  holdfast_pid=$!
  own "$holdfast_pid"
  wait_for "$holdfast_pid" 30 answers_200 "http://127.0.0.1:$port/readyz" ||
    die "holdfast did not become ready: $(tail -n 3 "$work/holdfast.log")"
}

start_prometheus() {
  python3 tests/prometheus/ask.py hurry "$work/conf" "127.0.0.1:$port"
  promtool check config "$work/conf/prometheus.yml" >/dev/null
  prometheus --config.file="$work/conf/prometheus.yml" --storage.tsdb.path="$work/data" \
    --web.listen-address="127.0.0.1:$prometheus_port" >"$work/prometheus.log" 2>&1 </dev/null &
  prometheus_pid=$!
  own "$prometheus_pid"
  wait_for "$prometheus_pid" 60 answers_200 "http://127.0.0.1:$prometheus_port/-/ready" ||
    die "prometheus did not become ready: $(tail -n 3 "$work/prometheus.log")"
}

tell() { curl -gsf --noproxy '*' -m 5 -X PUT -d "$2" -o /dev/null "http://127.0.0.1:$upstream_control/$1"; }
ask() { python3 tests/prometheus/ask.py "$@"; }
check_page() {
  curl -gsf --noproxy '*' -m 5 "http://127.0.0.1:$port/metrics" >"$work/page"
  promtool check metrics <"$work/page" >"$work/complaints" 2>&1 || { cat "$work/complaints"; return 1; }
  [ ! -s "$work/complaints" ] || { cat "$work/complaints"; return 1; }
}

port=$(free_port) prometheus_port=$(free_port)
start_upstream "$work/upstream" --token secret --seed 1 --faults 500=0.05,reset=0.05 --latency 5ms \
  --latency-tail 0.1=200ms
start_holdfast
start_prometheus
export PROMETHEUS=http://127.0.0.1:$prometheus_port STATE=$work/state.json
python3 tests/prometheus/ask.py traffic "http://127.0.0.1:$port" >"$work/traffic.log" 2>&1 </dev/null &
traffic_pid=$!
own "$traffic_pid"

step 'healthy: every query is valid, all that must have data have data' ask healthy
step 'healthy: no alert fires' ask quiet
step 'promtool check metrics, on the live page' check_page

say_rubbish() { printf 'rubbish\r\n\r\n' >"/dev/tcp/127.0.0.1/$port"; }
step 'a client sends rubbish' say_rubbish
step 'the rejected request shows' ask shows 'Connections closed, requests rejected B'

tell mode down
step 'outage: the upstream is down, and clients notice' ask fires HoldfastUpstreamDown \
  HoldfastErrorBudgetBurnsFast HoldfastErrorBudgetBurns HoldfastUpstreamFailing HoldfastBreakerOpenLong
step 'outage: stale for an hour, which is a minute here' ask fires HoldfastServesStaleTooLong
step 'outage: the queries' ask look
step 'promtool check metrics, in the outage' check_page

tell mode up
step 'recovery: the pace after an outage shows' ask shows 'Pace limit A'
step 'recovery: the upstream, its breaker' ask clears HoldfastUpstreamDown HoldfastUpstreamFailing \
  HoldfastBreakerOpenLong
step 'recovery: clients get 200s, fresh ones' ask clears HoldfastErrorBudgetBurnsFast HoldfastServesStaleTooLong

tell faults 401=1
step 'token refused: fires, and is no outage' ask fires HoldfastTokenRefused
tell faults none
step 'token accepted: clears' ask clears HoldfastTokenRefused

end "$holdfast_pid" KILL
step 'daemon killed: fires' ask fires HoldfastDown
start_holdfast
step 'daemon started: clears' ask clears HoldfastDown

end "$traffic_pid"
step 'each was pending before it fired, where it has a for' ask was-pending
step 'nothing fired that had no reason to' ask never HoldfastAbsent HoldfastStoreDegraded HoldfastStoreErrors \
  HoldfastStoreLosesWrites HoldfastStoreNearLimit HoldfastMemoryTooSmall HoldfastRefusesClients \
  HoldfastLogLinesDropped HoldfastLoopStuck
step 'every query of the dashboard has had data' ask finish
end "$holdfast_pid"
printf '\nOK in %d s\n' $((SECONDS - began))
