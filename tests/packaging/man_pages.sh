#!/bin/bash
# man_pages.sh FOLDER: the man pages are roff without a complaint, and holdfast(8)
# has every flag that --help has.
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

# What is only there to print tables is no business of the page's readers.
"$HOLDFAST" --help | grep -oE -- '--[a-z][a-z-]+' | sort -u |
  grep -vxE -- '--(settings-man|settings-table|metrics-table)' >"$work/flags"
[ "$(wc -l <"$work/flags")" -gt 20 ]
while read -r flag; do
  grep -qE -- "(^|[ ,(])$flag([ ,]|\$)" "$work/holdfast.8" || {
    echo "holdfast(8) does not have $flag"
    failed=1
  }
done <"$work/flags"
exit "$failed"
