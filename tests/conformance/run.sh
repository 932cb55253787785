#!/bin/bash
# HTTP caching as others see it: the public suite http-cache-tests against a route of either mode. The
# suite comes from npm, once, into the build folder. tools/test.sh runs it as the step conformance.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/../.."
. tools/lib/packages.sh
. tools/lib/common.sh

build=${BUILD_DIR:-build}
edition=0.4.5
suite='' id='' mode=rfc9111 restart=no against='' origin_port=0

usage() {
  cat <<USAGE
usage: tests/conformance/run.sh [--mode MODE] [--suite DIR] [--id ID] [--restart]
  --mode MODE      the route's: rfc9111, or resilient, of which only what is required is judged, by the
                   list accepted-resilient.txt; or both, one after the other; default rfc9111
  --suite DIR      an unpacked edition, with what it needs from npm; default $edition from npm.
                   Its list of accepted failures is accepted-NAME.txt, if there is one
  --id ID          this test alone, with every request and answer
  --restart        ends the daemon and starts it again between any two requests of a test
  --against URL    asks this cache instead, which has to stand before the suite's origin:
  --origin-port N  where that one listens
  BUILD_DIR        meson build folder, built already ($build)
USAGE
}

read_options 'mode:mode:text suite:suite:text id:id:text restart:restart:flag against:against:text origin-port:origin_port:text' "$@"
[ -z "$against" ] || [ "$restart" = no ] || die '--restart is for our own daemon'
case $mode in
  rfc9111 | resilient) modes=$mode ;;
  both) modes='rfc9111 resilient' ;;
  *) die "--mode: rfc9111, resilient or both, not $mode" ;;
esac
[ -n "$against" ] || [ -x "$build/src/holdfast" ] || die "no $build/src/holdfast: build first (tools/test.sh --quick)"

# Fetches the edition into $suite, whole or not at all. Without the packages that its own program and
# pages need: of those the client asks with node-fetch alone.
fetch_suite() {
  suite=$build/conformance/node_modules/http-cache-tests
  if [ -f "$suite/package.json" ]; then return; fi
  local npm=(timeout 120 npm --loglevel=error --logs-max=0 --fetch-retries=1 --fetch-timeout=20000) folder=$work/npm
  mkdir -p "$folder"
  # The suite after what npm installs, which takes away what it does not know.
  install_packages "${conformance_packages[@]}" >"$work/npm.log" 2>&1 && (
    cd "$folder" &&
      "${npm[@]}" install --no-save --no-audit --no-fund --ignore-scripts node-fetch@2 &&
      "${npm[@]}" pack "http-cache-tests@$edition" &&
      mkdir node_modules/http-cache-tests &&
      tar -xzf "http-cache-tests-$edition.tgz" -C node_modules/http-cache-tests --strip-components=1
  ) >"$work/npm.log" 2>&1 || return
  rm -rf "$build/conformance"
  mv "$folder" "$build/conformance"
}

make_work
if [ -z "$suite" ]; then
  if ! fetch_suite; then
    say "skipped: http-cache-tests $edition could not be fetched from npm: $(grep -im 1 err "$work/npm.log")"
    exit 0
  fi
fi
command -v node >/dev/null || install_packages "${conformance_packages[@]}" || die 'there is no node'

status=0
for one in $modes; do
  mkdir "$work/$one"
  words=(--suite "$suite" --work "$work/$one" --holdfast "$(realpath -m "$build/src/holdfast")"
    --accepted tests/conformance --id "$id" --against "$against" --origin-port "$origin_port" --mode "$one")
  if [ "$restart" = yes ]; then words+=(--restart); fi
  if [ "$mode" = both ]; then say "mode $one"; fi
  node --no-warnings tests/conformance/run.mjs "${words[@]}" &
  own $!
  wait $! || status=$?
done
exit "$status"
