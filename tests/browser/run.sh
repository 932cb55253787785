#!/bin/bash
# The status page in a real browser: installs Chromium (Debian's package) and
# playwright-core (npm, into a temporary folder), starts the daemon in front of the
# flaky upstream and runs status.mjs. On demand: it is no part of tools/test.sh, for
# the size of what it needs. With --picture it takes the README's picture instead,
# which lies here, beside what makes it.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/../.."
. tools/lib/packages.sh
. tools/lib/common.sh

build=${BUILD_DIR:-build}
shots='' picture=no
playwright=1.48.2

usage() {
  cat <<USAGE
usage: tests/browser/run.sh [--shots FOLDER] [--picture]
  --shots FOLDER   keep screenshots there, at phone and desktop width
  --picture        make tests/browser/status.png anew, in five minutes
  BUILD_DIR        meson build folder, built already ($build)
USAGE
}

read_options 'shots:shots:text picture:picture:flag' "$@"
[ -x "$build/src/holdfast" ] || die "no $build/src/holdfast: build first (tools/test.sh --quick)"
if [ -n "$shots" ]; then
  mkdir -p "$shots"
  shots=$(realpath "$shots")
fi

if [ "$picture" = yes ]; then browser_packages+=("${picture_packages[@]}"); fi
install_packages "${browser_packages[@]}" || die 'packages could not be installed'

make_work

mkdir "$work/node"
cp tests/browser/*.mjs "$work/node/"
(cd "$work/node" && npm install --no-save --no-audit --no-fund --silent "playwright-core@$playwright") ||
  die 'npm could not install playwright-core'

flaky_upstream=$build/tools/flaky-upstream/flaky-upstream
start_upstream "$work/upstream" --token t
# For the picture, lifetimes that end while it is made.
lifetime=24h
if [ "$picture" = yes ]; then lifetime=45s; fi
API_URL=http://127.0.0.1:$upstream_port API_TOKEN=t BIND=127.0.0.1 PORT=0 REQUEST_DEADLINE=3s CACHE_TTL=$lifetime \
  STORE_PATH=$work/holdfast.db "$build/src/holdfast" >"$work/holdfast.log" 2>&1 &
daemon_pid=$!
own "$daemon_pid"
wait_for "$daemon_pid" 60 grep -q '"port":' "$work/holdfast.log" ||
  die "holdfast did not start: $(tail -n 3 "$work/holdfast.log")"
port=$(json_number port "$work/holdfast.log")

browser=$(command -v chromium)
daemon=http://127.0.0.1:$port control=http://127.0.0.1:$upstream_control
if [ "$picture" = yes ]; then
  node "$work/node/picture.mjs" "$browser" "$daemon" "$control" "$work/status.png" "$shots"
  pngquant --force --strip --speed 1 --output tests/browser/status.png 128 "$work/status.png"
  say "tests/browser/status.png: $(wc -c <tests/browser/status.png) bytes"
else
  node "$work/node/status.mjs" "$browser" "$daemon" "$daemon_pid" "$control" "$shots"
fi
