#!/bin/bash
# units.sh FOLDER: systemd reads every unit in FOLDER without a word of complaint,
# no service is exposed above 1.5, and both checks notice a unit that is wrong.
# shellcheck disable=SC2317  # check() calls the functions
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

check() {
  if "${@:2}"; then
    printf 'ok: %s\n' "$1"
  else
    printf 'FAILED: %s\n' "$1"
    failed=1
  fi
}

command -v systemd-analyze >/dev/null || {
  echo 'systemd-analyze is missing: tools/lib/packages.sh installs it (package systemd)'
  exit 1
}

# As installed, but for the program, which is where it was built.
cp "$1"/*.service "$1"/*.socket "$1"/*.timer "$work"
sed -i "s|$BINDIR/holdfast|\"$HOLDFAST\"|" "$work"/*.service

is_clean() {
  local said
  said=$(cd "$work" && systemd-analyze verify --man=no --recursive-errors=no "./$1" 2>&1) &&
    [ -z "$said" ] && return
  printf '%s\n' "$said"
  return 1
}
is_sandboxed() {
  (cd "$work" && systemd-analyze security --no-pager --offline=true --threshold=15 "./$1") \
    >"$work/said" 2>&1 || { cat "$work/said"; return 1; }
  tail -n 1 "$work/said"
}
not() { ! "$@" >/dev/null; }

for unit in holdfast.service holdfast.socket cache-warm.service cache-warm.timer; do
  check "$unit is clean" is_clean "$unit"
done
for unit in holdfast.service cache-warm.service; do
  check "$unit is sandboxed" is_sandboxed "$unit"
done

sed 's/^WatchdogSec=/WatchdgSec=/' "$work/holdfast.service" >"$work/mistyped.service"
check 'a mistyped key would be noticed' not is_clean mistyped.service
sed '/^ProtectSystem=/d; /^SystemCallFilter=/d; /^PrivateUsers=/d; /^CapabilityBoundingSet=/d' \
  "$work/holdfast.service" >"$work/open.service"
check 'a hole in the sandbox would be noticed' not is_sandboxed open.service

exit "$failed"
