#!/bin/bash
# one_by_one.sh COMMON_SH ONE_BY_ONE_SH COMPILER...: files that clash where they are compiled
# as one still make one object, which names all it was made from; a file in error fails.
set -euo pipefail
export LC_ALL=C
one_by_one=$(realpath "$2") compiler=("${@:3}")
# The sanitizers' builds have it before their compiler already.
if [ "${compiler[0]##*/}" = one_by_one.sh ]; then compiler=("${compiler[@]:1}"); fi
# shellcheck source=tools/lib/common.sh
. "$1"
make_work
cd "$work"

fail() {
  printf '%s\n' "$*"
  cat said
  exit 1
}

# compile FILE...: as meson has ninja do it. What is said is in `said`.
compile() {
  printf '#include<%s>\n' "${@/#/$work/}" >x-unity0.cpp
  "$one_by_one" "${compiler[@]}" -I. -Werror -MD -MQ x.o -MF x.o.d -o x.o -c x-unity0.cpp >said 2>&1
}

# names FILE...: as what x.o was made from.
names() {
  for file in "$@"; do grep -qF "$file" x.o.d || fail "x.o.d does not name $file"; done
}

echo 'int one();' >one.h
printf '#include "one.h"\nstatic int same() { return 1; }\nint one() { return same(); }\n' >one.cpp
printf '#include "one.h"\nstatic int same() { return 2; }\nint main() { return one() + same() - 3; }\n' >two.cpp
echo 'int three() { return 3; }' >three.cpp
echo 'int four() { return; }' >wrong.cpp

compile one.cpp three.cpp || fail 'files that go together did not compile'
[ ! -s said ] || fail 'files that go together were not compiled in silence'
names one.cpp one.h three.cpp

compile one.cpp two.cpp || fail 'files that clash did not compile'
grep -q '^one by one: x-unity0.cpp, .*same' said || fail 'it does not say why one by one'
names one.cpp two.cpp one.h
if ! "${compiler[@]}" x.o -o program || ! ./program; then fail 'their object is not both of them'; fi

if compile one.cpp wrong.cpp; then fail 'a file in error compiled'; fi
grep -q 'wrong.cpp:1' said || fail 'the error is not told'
if compile absent.cpp; then fail 'an absent file compiled'; fi
left=$(find . -name 'x.o.*' ! -name x.o.d)
[ -z "$left" ] || fail "it leaves behind: $left"
