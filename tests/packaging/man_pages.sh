#!/bin/bash
# man_pages.sh FOLDER: the man pages are roff without a complaint, and have every
# flag that --help has.
set -euo pipefail
failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for page in "$1/holdfast.8" "$1/cache-warm.1"; do
  groff -man -Tascii -ww -P-cbu -rLL=100n "$page" >"$work/${page##*/}" 2>"$work/complaints"
  if [ -s "$work/complaints" ]; then
    cat "$work/complaints"
    failed=1
  fi
  grep -q 'EXIT STATUS' "$work/${page##*/}"
done

# PAGE PROGRAM LEAST: the page has every flag that the program's --help has, which
# are LEAST or more.
has_flags() {
  # What is only there to print tables is no business of the page's readers.
  "$2" --help | grep -oE -- '--[a-z][a-z0-9-]+' | sort -u |
    grep -vxE -- '--(settings-man|settings-table|metrics-table)' >"$work/flags"
  [ "$(wc -l <"$work/flags")" -ge "$3" ]
  while read -r flag; do
    grep -qE -- "(^|[ ,(])$flag([] =,[]|\$)" "$work/$1" || {
      echo "$1 does not have $flag"
      failed=1
    }
  done <"$work/flags"
}
has_flags holdfast.8 "$HOLDFAST" 20
has_flags cache-warm.1 "$CACHE_WARM" 15
exit "$failed"
