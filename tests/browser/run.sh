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

while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --shots=*) shots=${1#*=} ;;
    --picture) picture=yes ;;
    --shots) [ $# -ge 2 ] || die '--shots needs a folder'; shots=$2; shift ;;
    *) die "unknown option $1 (--help lists them)" ;;
  esac
  shift
done
[ -x "$build/src/holdfast" ] || die "no $build/src/holdfast: build first (tools/test.sh --quick)"
if [ -n "$shots" ]; then
  mkdir -p "$shots"
  shots=$(realpath "$shots")
fi

if [ "$picture" = yes ]; then browser_packages+=("${picture_packages[@]}"); fi
install_packages "${browser_packages[@]}" || die 'packages could not be installed'

work=$(mktemp -d)
pids=()
cleanup() {
  if [ ${#pids[@]} -gt 0 ]; then
    kill "${pids[@]}" 2>/dev/null || true
    wait "${pids[@]}" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# FILE MEMBER: waits for the line with it and prints the number.
number_from() {
  local tries
  for tries in $(seq 600); do
    if grep -q "\"$2\":" "$1"; then
      sed -n "s/.*\"$2\":\([0-9]*\).*/\1/p" "$1" | head -n 1
      return
    fi
    sleep 0.1
  done
  cat "$1" >&2
  die "no $2 in $1 after $tries tries"
}

mkdir "$work/node"
cp tests/browser/*.mjs "$work/node/"
(cd "$work/node" && npm install --no-save --no-audit --no-fund --silent "playwright-core@$playwright") ||
  die 'npm could not install playwright-core'

"$build/tools/flaky-upstream/flaky-upstream" --port 0 --control-port 0 --token t >"$work/upstream.log" 2>&1 &
pids+=($!)
upstream=$(number_from "$work/upstream.log" port)
control=$(number_from "$work/upstream.log" control_port)
# For the picture, lifetimes that end while it is made.
lifetime=24h
if [ "$picture" = yes ]; then lifetime=45s; fi
API_URL=http://127.0.0.1:$upstream API_TOKEN=t BIND=127.0.0.1 PORT=0 REQUEST_DEADLINE=3s CACHE_TTL=$lifetime \
  STORE_PATH=$work/holdfast.db "$build/src/holdfast" >"$work/holdfast.log" 2>&1 &
daemon_pid=$!
pids+=("$daemon_pid")
port=$(number_from "$work/holdfast.log" port)

browser=$(command -v chromium)
daemon=http://127.0.0.1:$port control=http://127.0.0.1:$control
if [ "$picture" = yes ]; then
  node "$work/node/picture.mjs" "$browser" "$daemon" "$control" "$work/status.png" "$shots"
  pngquant --force --strip --speed 1 --output tests/browser/status.png 128 "$work/status.png"
  say "tests/browser/status.png: $(wc -c <tests/browser/status.png) bytes"
else
  node "$work/node/status.mjs" "$browser" "$daemon" "$daemon_pid" "$control" "$shots"
fi
