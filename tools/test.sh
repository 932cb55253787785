#!/bin/bash
# Installs, builds and tests everything. Ends with the time each step took and
# "N passed, N failed"; exit 0 if nothing failed.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."
. tools/lib/packages.sh
. tools/lib/common.sh
. tools/lib/build.sh

build=${BUILD_DIR:-build}
all_steps='packages plain format scripts dependencies package asan conformance tsan'
steps=$all_steps
filter=()

usage() {
  cat <<EOF
usage: tools/test.sh [options] [TEST...]
  --quick       packages and plain only
  --only STEP   this step alone; may be given again
  TEST          run only these tests, as \`meson test\` names them (meson test --list)

steps, in this order:
  packages      install what is missing, with apt-get
  plain         release build, warnings are errors; all tests        $build/
  format        clang-format would change nothing
  scripts       shellcheck finds nothing
  dependencies  every header the build used belongs to a package that is installed above
  package       the Debian package of what plain has compiled, and its source package; lintian is silent
  asan          the tests again, AddressSanitizer and UBSan           $build/asan/
  conformance   the public suite of HTTP caching, beside the build of asan
  tsan          the tests again, ThreadSanitizer                      $build/tsan/
EOF
}

only=''
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --quick) steps='packages plain' ;;
    --only=*) only="$only ${1#*=}" ;;
    --only) [ $# -ge 2 ] || die '--only needs a step'; only="$only $2"; shift ;;
    -*) die "unknown option $1 (--help lists them)" ;;
    *) filter+=("$1") ;;
  esac
  shift
done
if [ -n "$only" ]; then steps=$only; fi
for step in $steps; do
  [[ " $all_steps " == *" $step "* ]] || die "unknown step $step; they are: $all_steps"
done

make_work
passed=0 failed=0

# ---- Steps: each returns non-zero if it failed, and says why ------------------

step_packages() {
  install_packages "${build_packages[@]}" && install_without_services "${check_packages[@]}"
}

# FOLDER [COMMAND...]: builds all of it in the background; `finish_build` waits for that.
building='' builder=''
begin_build() {
  building=$1
  "${@:2}" ninja -C "$1" -j "$(nproc)" >"$work/ninja" 2>&1 &
  builder=$!
  own "$builder"
}

finish_build() {
  local status=0
  wait "$builder" || status=$?
  building=''
  if [ "$status" -ne 0 ]; then grep -Ev '^(\[|one by one: )' "$work/ninja" | head -n 60; fi
  grep '^one by one: ' "$work/ninja"
  return "$status"
}

# FOLDER [meson test option...]
test_in() {
  local folder=$1 status=0 counts
  shift
  rm -f "$folder/meson-logs/testlog.json"
  # Most of them wait more than they compute.
  meson test -C "$folder" --no-rebuild --print-errorlogs --num-processes $((3 * $(nproc))) "$@" "${filter[@]}" || status=$?
  # A doctest program counts as its test cases, any other test as one.
  counts=$(python3 - "$folder/meson-logs/testlog.json" <<'EOF'
import json, os, re, sys
passed = failed = 0
for line in open(sys.argv[1]) if os.path.exists(sys.argv[1]) else []:
    test = json.loads(line)
    if test["result"] == "SKIP":  # what cannot run here says why
        print("skipped:", test["name"], (test.get("stdout") or "").strip().rpartition("\n")[2], file=sys.stderr)
        continue
    good = test["result"] in ("OK", "EXPECTEDFAIL")
    cases = re.findall(r"test cases:\s*\d+\s*\|\s*(\d+) passed\s*\|\s*(\d+) failed", test.get("stdout") or "")
    ok, bad = (sum(int(c[i]) for c in cases) for i in (0, 1))
    if not cases:
        ok = int(good)
    if not good and bad == 0:  # it crashed, hung, or a sanitizer spoke up
        bad = 1
    passed, failed = passed + ok, failed + bad
print(passed, failed)
EOF
  ) || return 1
  passed=$((passed + ${counts% *})) failed=$((failed + ${counts#* }))
  # No test at all is a broken build or a mistyped name.
  if [ "$counts" = '0 0' ]; then
    say 'no test ran'
    return 1
  fi
  return "$status"
}

step_plain() {
  configure_plain "$build" && begin_build "$build" && finish_build || return
  test_in "$build"
}

# Tracked files and new ones, not what git ignores. Without git: all there are.
source_files() {
  # A clone of another owner is no reason to refuse reading its list of files.
  git -c safe.directory='*' ls-files --cached --others --exclude-standard 2>/dev/null ||
    find . -path "./$build" -prune -o -type f -print
}

step_package() {
  configure_plain "$build" && begin_build "$build" && finish_build || return
  tools/packaging/build.sh --compiled "$build" "$work/package" &&
    tools/packaging/build.sh --source "$work/package" && tests/packaging/package.sh "$work/package"
}

step_format() {
  source_files | grep -E '\.(cpp|h)$' | xargs -r clang-format --dry-run -Werror
}

step_scripts() {
  source_files | grep -E '\.sh$|^(\./)?\.ci/run$' | xargs -r shellcheck -x
}

# Asks the compiler which headers it read, dpkg whose they are, and follows the
# dependencies of the packages we install: a header from elsewhere would be
# missing on a fresh machine.
step_dependencies() {
  local choice package listed='' IFS
  if [ ! -f "$build/.ninja_deps" ]; then
    configure_plain "$build" && begin_build "$build" && finish_build || return
  fi
  for package in "${build_packages[@]}" "${check_packages[@]}"; do
    IFS='|'
    for choice in $package; do listed="$listed $choice"; done
    unset IFS
  done
  dpkg-query -W -f '${Package}\t${Pre-Depends}, ${Depends}\n' | awk -F '\t' -v listed="$listed" '
    { gsub(/\([^)]*\)|:[a-z0-9]+| /, "", $2); gsub(/\|/, ",", $2); needs[$1] = $2 }
    function take(package,  parts, n, i) {
      if ((package in taken) || !(package in needs)) return
      taken[package] = 1
      n = split(needs[package], parts, ",")
      for (i = 1; i <= n; i++) if (parts[i] != "") take(parts[i])
    }
    END { n = split(listed, first, " "); for (i = 1; i <= n; i++) take(first[i])
          for (package in taken) print package }' >"$work/reachable"
  {
    ninja -C "$build" -t deps | sed -n 's/^ *\(\/usr\/.*\)/\1/p' | while read -r path; do
      case $path in
        *..*) realpath "$path" ;;
        *) printf '%s\n' "$path" ;;
      esac
    done
    for choice in g++ meson ninja pkg-config curl git python3 clang-format shellcheck openssl; do
      PATH=/usr/bin command -v "$choice" || true
    done
  } | sort -u >"$work/used"
  [ -s "$work/used" ] || { say 'the build names no headers'; return 1; }
  # Paths of no package (an own /usr/local, say) are listed as well.
  xargs dpkg -S <"$work/used" 2>"$work/unowned" |
    sed 's/^diversion by .*//; s/: \/.*//; s/, /\n/g; s/:[a-z0-9]*$//' | sort -u >"$work/owners"
  grep -vxFf "$work/reachable" "$work/owners" | sed '/^$/d; s/^/not in tools\/lib\/packages.sh: /' >"$work/stray" || true
  sed 's/^/of no package: /' "$work/unowned" >>"$work/stray"
  cat "$work/stray"
  [ ! -s "$work/stray" ]
}

# FLAGS: can a program so instrumented run here? Sets `wrapper`. ThreadSanitizer
# of clang 14 and kernels that randomise 32 bits of a mapping's address do not go
# together; setarch -R turns that off for one program. Looking for leaks needs
# ptrace and /proc, which a bare chroot or a container may not have.
can_sanitize() {
  local tries=('' "setarch $(uname -m) -R" 'env ASAN_OPTIONS=detect_leaks=0') try
  echo 'int main() {}' >"$work/probe.cpp"
  clang++ "-fsanitize=$1" "$work/probe.cpp" -o "$work/probe" || return 1
  for try in "${tries[@]}"; do
    read -ra wrapper <<<"$try"
    if "${wrapper[@]}" "$work/probe" 2>"$work/probe.log"; then
      if [ -n "$try" ]; then say "programs with -fsanitize=$1 run here only as: $try"; fi
      return 0
    fi
  done
  say "programs with -fsanitize=$1 do not run here: $(head -n 3 "$work/probe.log")"
  if [ ! -r /proc/self/maps ]; then say 'they need /proc: mount -t proc proc /proc'; fi
  return 1
}

# NAME: begins to build build/NAME, a sanitizer's. Line numbers alone and little optimisation, by
# clang: it takes half as long as GCC, and has warnings of its own.
declare -A sanitizer=([asan]="address,undefined" [tsan]="thread")
begin_sanitized() {
  (
    compile_together clang++
    export CC=clang
    configure "$build/$1" -Doptimization=1 -Ddebug=false -Dcpp_args=-g1 "${together[@]}" \
      "-Db_sanitize=${sanitizer[$1]}" -Db_lundef=false
  ) && begin_build "$build/$1" nice
}

# NAME: build and test with a sanitizer, which has three times as long.
sanitized() {
  can_sanitize "${sanitizer[$1]}" || return 1
  if [ "$building" != "$build/$1" ]; then
    if [ -n "$building" ]; then finish_build >/dev/null || true; fi
    begin_sanitized "$1" || return 1
  fi
  finish_build || return 1
  if [ ${#wrapper[@]} -gt 0 ]; then
    test_in "$build/$1" --timeout-multiplier 3 --wrapper "${wrapper[*]}"
  else
    test_in "$build/$1" --timeout-multiplier 3
  fi
}

# The public suite waits more than it computes, so that it runs while asan is built.
conformer=''
begin_conformance() {
  if [ ! -x "$build/src/holdfast" ]; then
    configure_plain "$build" && begin_build "$build" && finish_build || return
  fi
  BUILD_DIR=$build tests/conformance/run.sh --mode both >"$work/conformance" 2>&1 &
  conformer=$!
  own "$conformer"
}

step_conformance() {
  local status=0 counts
  if [ ${#filter[@]} -gt 0 ]; then return 0; fi
  if [ -z "$conformer" ]; then begin_conformance || return; fi
  wait "$conformer" || status=$?
  cat "$work/conformance"
  # A test of the suite counts as one, and one that fails as the list says it does has passed.
  counts=$(awk '/^[0-9]+ passed, [0-9]+ failed$/ { passed += $1; failed += $3; n++ } END { if (n) print passed, failed }' \
    "$work/conformance")
  if [ -n "$counts" ]; then passed=$((passed + ${counts% *})) failed=$((failed + ${counts#* })); fi
  return "$status"
}

step_asan() { UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 sanitized asan; }

step_tsan() { TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1 sanitized tsan; }

# ---- Run them -----------------------------------------------------------------

# Sets cpu_seconds: of all this shell has waited for.
count_cpu() {
  times >"$work/times"
  cpu_seconds=$(awk 'NR == 2 { gsub(/[ms]/, " "); print int($1 * 60 + $2 + $3 * 60 + $4) }' "$work/times")
}

summary='' broken=0
count_cpu
for step in $steps; do
  printf '\n== %s %s\n' "$(date +%T)" "$step"
  began=$SECONDS began_cpu=$cpu_seconds result=ok
  if [ "$step" = asan ] && [[ " $steps " == *' conformance '* ]] && [ ${#filter[@]} -eq 0 ]; then
    begin_conformance || broken=$((broken + 1))
  fi
  "step_$step" || { result=FAILED; broken=$((broken + 1)); }
  count_cpu
  # A build counts, with all its CPU time, where its tests are.
  summary+=$(printf '  %-13s %5d s %5d s of CPU  %s' "$step" $((SECONDS - began)) $((cpu_seconds - began_cpu)) "$result")$'\n'
  # Nothing else can work without the packages.
  if [ "$step" = packages ] && [ "$result" != ok ]; then break; fi
done

printf '\n%s%d passed, %d failed\n' "$summary" "$passed" "$failed"
[ "$broken" -eq 0 ] && [ "$failed" -eq 0 ]
