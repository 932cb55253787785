#!/bin/bash
# The daemon under AddressSanitizer, UBSan and LeakSanitizer with every kind of load at
# once for a while: hits, misses, stale answers, batches, pages, faults of every kind,
# bad requests, slow readers, clients that leave, reloads, purges, token rotations
# (load.py). In rounds: after each all clients leave, and once it is warm the daemon
# must then hold as much memory and as many descriptors as after the one before. Then a
# clean stop. Exit 1 if an answer was wrong, the sanitizers spoke up, something leaked,
# or grew. On demand. --build may name a build without sanitizers.
set -euo pipefail
export LC_ALL=C PYTHONDONTWRITEBYTECODE=1
cd "$(dirname "$0")/../.."
. tools/lib/packages.sh
. tools/lib/common.sh

minutes=10 seed=1 build=${BUILD_DIR:-build}/asan
usage() {
  cat <<EOF_USAGE
usage: tests/soak/run.sh [options]
  --minutes N   how long the load lasts                      $minutes
  --seed N      of the load's choices                        $seed
  --build DIR   meson build folder, made if missing          $build
EOF_USAGE
}
read_options 'minutes:minutes:count seed:seed:count build:build:text' "$@"

install_packages "${build_packages[@]}" python3 || die 'packages could not be installed'
make_work

# As tools/test.sh builds it, so that either finds the other's.
if [ ! -f "$build/build.ninja" ]; then
  meson setup "$build" -Dwerror=true -Doptimization=1 -Ddebug=false -Dcpp_args=-g1 \
    -Db_sanitize=address,undefined -Db_lundef=false >"$work/setup" 2>&1 ||
    { tail -n 30 "$work/setup"; die 'meson setup failed'; }
fi
ninja -C "$build" src/holdfast tools/flaky-upstream/flaky-upstream >"$work/ninja" 2>&1 ||
  { grep -v '^\[' "$work/ninja" | head -n 60; die 'the build failed'; }

# Memory is judged by what the daemon holds on its heap, which this tells. RSS cannot be:
# of some 280 MiB the daemon holds 7. The rest is AddressSanitizer's: freed memory that
# its allocator keeps swings by 10 MiB within seconds, and the shadow creeps up.
g++ -std=c++20 -O1 -Wall -Wextra -Werror -fPIC -shared tests/soak/heap_probe.cpp \
  -o "$work/heap_probe.so" || die 'the heap probe does not build'

flaky_upstream=$build/tools/flaky-upstream/flaky-upstream
start_upstream "$work/upstream" --token secret --seed "$seed" --latency 2ms
port=$(free_port)
echo 'log_level = "warn"' >"$work/holdfast.toml"
echo secret >"$work/token"
# Short lifetimes and small caches: everything ages, is evicted and comes again many
# times. The quarantine is small, so that what is freed is soon used again, as it is in
# production. AddressSanitizer wants to be the first library, so that no other defines
# malloc before it; the probe does not. It is named from the work folder, as LD_PRELOAD
# ends a name at a space.
holdfast=$(realpath "$build/src/holdfast")
env --chdir="$work" HEAP_PROBE="$work/heap" LD_PRELOAD=./heap_probe.so \
  ASAN_OPTIONS=verify_asan_link_order=0:quarantine_size_mb=16:detect_stack_use_after_return=1 \
  UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
  API_URL="http://127.0.0.1:$upstream_port" API_TOKEN_FILE="$work/token" PORT="$port" BIND=127.0.0.1 \
  WORKERS=2 CACHE_TTL=3s STALE_WHILE_REVALIDATE=5s STALE_IF_ERROR=30s REQUEST_DEADLINE=3s \
  MEMORY_LIMIT=1MiB STORE_LIMIT=4MiB STORE_PATH="$work/holdfast.db" ADMIN_SOCKET="$work/admin.sock" \
  IDLE_TIMEOUT=60s HEAD_TIMEOUT=3s BODY_TIMEOUT=3s WRITE_TIMEOUT=4s PROBE_PATH=/geoip/192.0.2.1 \
  "$holdfast" --config "$work/holdfast.toml" >/dev/null 2>"$work/holdfast.err" </dev/null &
holdfast_pid=$!
own "$holdfast_pid"
wait_for "$holdfast_pid" 60 answers_200 "http://127.0.0.1:$port/readyz" ||
  die "holdfast did not become ready: $(tail -n 20 "$work/holdfast.err")"

failed=0
python3 tests/soak/load.py --port "$port" --upstream-port "$upstream_port" \
  --control "$upstream_control" --pid "$holdfast_pid" --seconds $((minutes * 60)) --seed "$seed" \
  --admin-socket "$work/admin.sock" --token secret --token-file "$work/token" \
  --config "$work/holdfast.toml" --heap-probe "$work/heap" || failed=1

kill -TERM "$holdfast_pid" 2>/dev/null || true
status=0
wait "$holdfast_pid" || status=$?
say "holdfast ended with $status"
if [ "$status" -ne 0 ] || grep -qE 'Sanitizer|runtime error' "$work/holdfast.err"; then
  failed=1
  head -n 100 "$work/holdfast.err"
fi
[ "$failed" -eq 0 ]
