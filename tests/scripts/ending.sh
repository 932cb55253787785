#!/bin/bash
# ending.sh COMMON_SH: what a script that uses it leaves behind: nothing.
set -euo pipefail
export LC_ALL=C
common=$1
# shellcheck source=tools/lib/common.sh
. "$common"
make_work
failed=0

# A script with a work folder and a process that ends when it may; it says both.
cat >"$work/script" <<'EOF'
set -euo pipefail
. "$1"
make_work
bash -c 'trap "touch \"\$2\"; until [ -e \"\$3\" ]; do sleep 0.1; done; exit" TERM; touch "$1"; while :; do sleep 0.1; done' \
  - "$work/up" "$2.asked" "$2.may" &
own $!
wait_for $! 10 test -e "$work/up"
printf '%s\n' "$! $work" >"$2"
case $3 in
  signal*) while :; do sleep 0.1; done ;;
  exit) exit 3 ;;
  fail) false ;;
esac
EOF

# WAY STATUS SIGNAL...
leaves_nothing() {
  local way=$1 expected=$2 status=0 script pid folder signal
  shift 2
  rm -f "$work/said"*
  bash "$work/script" "$common" "$work/said" "$way" &
  script=$!
  own "$script"
  wait_for "$script" 20 test -s "$work/said" || [ -s "$work/said" ] || die "$way: did not start"
  read -r pid folder <"$work/said"
  for signal in "$@"; do
    kill "-$signal" "$script"
    # Then it is cleaning up, and any further signal finds it there.
    wait_for "$script" 20 test -e "$work/said.asked" || die "$way: does not clean up"
  done
  touch "$work/said.may"
  wait "$script" || status=$?
  if [ "$status" -ne "$expected" ]; then say "$way: exit code $status, not $expected"; failed=1; fi
  if kill -KILL "$pid" 2>/dev/null; then say "$way: a process is left"; failed=1; fi
  if [ -e "$folder" ]; then say "$way: a folder is left"; rm -rf "$folder"; failed=1; fi
}

leaves_nothing exit 3
leaves_nothing fail 1
leaves_nothing signal 143 TERM
# Whoever is in a hurry.
leaves_nothing signals 143 TERM TERM HUP

# What is silent and shown as progress has its own exit code, and its words are in the log.
status=0
with_progress 'a command' tail "$work/log" bash -c 'echo said; exit 3' || status=$?
if [ "$status" -ne 3 ]; then say "with progress: exit code $status, not 3"; failed=1; fi
if [ "$(cat "$work/log")" != said ]; then say 'with progress: the log lacks what the command said'; failed=1; fi
if [ -n "$(jobs -r)" ]; then say 'with progress: a process is left'; failed=1; fi

# The number of a process that ended and was reaped may be a stranger's by now.
sleep 1000 &
stranger=$!
own "$stranger"
bash -c '. "$1"; make_work; own "$2"' - "$common" "$stranger"
if is_gone "$stranger"; then say 'a process of somebody else was ended'; failed=1; fi
exit "$failed"
