#!/bin/bash
# one_by_one.sh COMPILER ARGUMENT...: the compiler, for meson's unity builds, in which files
# that each compile may clash (one name in two unnamed namespaces, say). Where several files do
# not compile as one, each of them is compiled by itself and `ld -r` makes one object of them:
# a clash costs seconds and never a build, and what it says of an error is of the file alone.
set -uo pipefail
shopt -s extglob

source='' output='' dependencies='' previous=''
for argument in "$@"; do
  case $previous in
    -c) source=$argument ;;
    -o) output=$argument ;;
    -MF) dependencies=$argument ;;
  esac
  previous=$argument
done
if [[ $source != *-unity+([0-9]).cpp || -z $dependencies ]]; then exec "$@"; fi

trap 'rm -f "$output.err" "$output".part*' EXIT
if "$@" 2>"$output.err"; then
  cat "$output.err" >&2
  exit 0
fi

mapfile -t files < <(sed -n 's/^#include *[<"]\(.*\)[>"]$/\1/p' "$source")
parts=()
for file in "${files[@]}"; do
  part=$output.part${#parts[@]}.o
  parts+=("$part")
  command=() previous=''
  for argument in "$@"; do
    case $previous in
      -c) argument=$file ;;
      -o) argument=$part ;;
      -MF) argument=$part.d ;;
    esac
    command+=("$argument")
    previous=$argument
  done
  "${command[@]}" || exit 1
done
if ! ld -r -o "$output" "${parts[@]}" || ! cat "${parts[@]/%/.d}" >"$dependencies"; then exit 1; fi
printf 'one by one: %s, as together they said: %s\n' "$source" \
  "$(grep -m 1 -E 'error|warning' "$output.err")" >&2
