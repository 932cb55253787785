#!/bin/bash
# Installs, builds and tests everything. Ends with the time each step took and
# "N passed, N failed"; exit 0 if nothing failed.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."
. tools/lib/packages.sh
. tools/lib/common.sh

build=${BUILD_DIR:-build}
all_steps='packages plain format scripts dependencies asan tsan'
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
  asan          the tests again, AddressSanitizer and UBSan           $build/asan/
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
  install_packages "${build_packages[@]}" "${check_packages[@]}"
}

# FOLDER [meson option...]: configures if needed, builds all of it.
build_in() {
  local folder=$1
  shift
  if [ -f "$folder/build.ninja" ]; then
    # Rewrites the folder's settings only where they differ.
    meson configure "$folder" -Dwerror=true "$@" >"$work/setup" 2>&1
  else
    meson setup "$folder" -Dwerror=true "$@" >"$work/setup" 2>&1
  fi || { tail -n 30 "$work/setup"; return 1; }
  ninja -C "$folder" >"$work/ninja" 2>&1 || { grep -v '^\[' "$work/ninja" | head -n 60; return 1; }
}

# FOLDER [meson test option...]
test_in() {
  local folder=$1 status=0 counts
  shift
  rm -f "$folder/meson-logs/testlog.json"
  # Most of them wait more than they compute.
  meson test -C "$folder" --no-rebuild --print-errorlogs --num-processes $((2 * $(nproc))) "$@" "${filter[@]}" || status=$?
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

step_plain() { build_in "$build" && test_in "$build"; }

# Tracked files and new ones, not what git ignores. Without git: all there are.
source_files() {
  # A clone of another owner is no reason to refuse reading its list of files.
  git -c safe.directory='*' ls-files --cached --others --exclude-standard 2>/dev/null ||
    find . -path "./$build" -prune -o -type f -print
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
  if [ ! -f "$build/.ninja_deps" ]; then build_in "$build" || return 1; fi
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
# of GCC 12 and kernels that randomise 32 bits of a mapping's address do not go
# together; setarch -R turns that off for one program. Looking for leaks needs
# ptrace and /proc, which a bare chroot or a container may not have.
can_sanitize() {
  local tries=('' "setarch $(uname -m) -R" 'env ASAN_OPTIONS=detect_leaks=0') try
  echo 'int main() {}' >"$work/probe.cpp"
  g++ "-fsanitize=$1" "$work/probe.cpp" -o "$work/probe" || return 1
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

# NAME FLAGS OPTIMIZATION: build and test with a sanitizer, which has three times as long.
sanitized() {
  can_sanitize "$2" || return 1
  # Line numbers alone, little optimisation, several files at once: most of the time goes
  # to compiling, and the tests wait more than they compute.
  build_in "$build/$1" "-Doptimization=$3" -Ddebug=false -Dcpp_args=-g1 -Dunity=on -Dunity_size=8 \
    "-Db_sanitize=$2" -Db_lundef=false || return 1
  if [ ${#wrapper[@]} -gt 0 ]; then
    test_in "$build/$1" --timeout-multiplier 3 --wrapper "${wrapper[*]}"
  else
    test_in "$build/$1" --timeout-multiplier 3
  fi
}

step_asan() {
  UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 sanitized asan address,undefined 0
}

step_tsan() { TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1 sanitized tsan thread 1; }

# ---- Run them -----------------------------------------------------------------

summary='' broken=0
for step in $steps; do
  printf '\n== %s %s\n' "$(date +%T)" "$step"
  began=$SECONDS result=ok
  "step_$step" || { result=FAILED; broken=$((broken + 1)); }
  summary+=$(printf '  %-13s %5d s  %s' "$step" $((SECONDS - began)) "$result")$'\n'
  # Nothing else can work without the packages.
  if [ "$step" = packages ] && [ "$result" != ok ]; then break; fi
done

printf '\n%s%d passed, %d failed\n' "$summary" "$passed" "$failed"
[ "$broken" -eq 0 ] && [ "$failed" -eq 0 ]
