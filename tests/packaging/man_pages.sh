#!/bin/bash
# man_pages.sh FOLDER: the man pages are roff without a complaint, and have every flag that
# --help has: those of settings in holdfast.toml(5), all others in the program's page. They and
# --help name each other.
set -euo pipefail
failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

complain() {
  echo "$*"
  failed=1
}

for page in holdfast.8 holdfast.toml.5 cache-warm.1; do
  groff -man -Tascii -ww -P-cbu -rLL=100n "$1/$page" >"$work/$page" 2>"$work/complaints"
  if [ -s "$work/complaints" ]; then
    cat "$work/complaints"
    failed=1
  fi
  grep -q '^SEE ALSO' "$work/$page" || complain "$page has no SEE ALSO"
  for other in holdfast.8 holdfast.toml.5 cache-warm.1; do
    name="${other%.*}(${other##*.})"
    [ "$other" = "$page" ] || sed -n '/^SEE ALSO/,$p' "$work/$page" | grep -qF "$name" ||
      complain "$page does not name $name"
  done
done
for page in holdfast.8 cache-warm.1; do
  grep -q 'EXIT STATUS' "$work/$page" || complain "$page has no EXIT STATUS"
done

# PAGE LEAST: it has every flag on standard input, which are LEAST or more.
has_flags() {
  cat >"$work/flags"
  [ "$(wc -l <"$work/flags")" -ge "$2" ] || complain "few flags for $1"
  while read -r flag; do
    grep -qE -- "(^|[ ,(])$flag([] =,[]|\$)" "$work/$1" || complain "$1 does not have $flag"
  done <"$work/flags"
}
flags_of() { "$@" --help | grep -oE -- '--[a-z][a-z0-9-]+' | sort -u; }

"$HOLDFAST" --settings-table | awk -F ' [|] ' 'NR > 2 { print $2 }' | tr -d '\140' | sort -u >"$work/settings"
has_flags holdfast.toml.5 30 <"$work/settings"
# What is only there to make pages is no business of their readers.
{ flags_of "$HOLDFAST"; flags_of "$HOLDFAST" check; flags_of "$HOLDFAST" explain; flags_of "$HOLDFAST" admin; flags_of "$HOLDFAST" store import; } |
  sort -u | grep -vxE -- '--settings-(man|table)' | grep -vxFf "$work/settings" >"$work/others"
has_flags holdfast.8 10 <"$work/others"
flags_of "$CACHE_WARM" >"$work/warm"
has_flags cache-warm.1 15 <"$work/warm"

"$HOLDFAST" --help | grep '^Manual: ' >"$work/named"
for name in 'holdfast(8)' 'holdfast.toml(5)'; do
  grep -qF "$name" "$work/named" || complain "--help does not name $name"
done
grep -q -- '--help' "$work/holdfast.8" || complain 'holdfast.8 does not name --help'
exit "$failed"
