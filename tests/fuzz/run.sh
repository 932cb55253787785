#!/bin/bash
# Builds the fuzz targets with clang, libFuzzer, AddressSanitizer and UBSan and runs
# each for a while, from the seeds in corpus/. Prints for each how often it ran, what
# of the code it reached and what it found. Exit 1 if anything was found: the inputs
# are kept. On demand; tests/fuzz/meson.build has what runs with every test.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/../.."
. tools/lib/packages.sh
. tools/lib/common.sh

minutes=10 jobs=2 build=build/fuzz corpora=
all_targets=$(cd tests/fuzz/corpus && echo *)
usage() {
  cat <<EOF_USAGE
usage: tests/fuzz/run.sh [options] [TARGET...]
  --minutes N    how long each target runs             $minutes
  --jobs N       targets at a time                     $jobs
  --build DIR    meson build folder, made if missing   $build
  --corpus DIR   where inputs that reached new code are kept, and found again by the next run
  TARGET         of: $all_targets
EOF_USAGE
}
read_options 'minutes:minutes:count jobs:jobs:count build:build:text corpus:corpora:text ...' "$@"
targets=("${arguments[@]}")
for target in "${targets[@]}"; do
  [[ " $all_targets " == *" $target "* ]] || die "unknown target $target; they are: $all_targets"
done
if [ ${#targets[@]} -eq 0 ]; then read -ra targets <<<"$all_targets"; fi

install_packages "${build_packages[@]}" "${fuzz_packages[@]}" || die 'packages could not be installed'

make_work
# Of each target that runs: its name by its process.
declare -A running=()

programs=()
for target in "${targets[@]}"; do programs+=("tests/fuzz/fuzz-$target"); done
if [ ! -f "$build/build.ninja" ]; then
  # Everything with -O1, as the manual of libFuzzer advises; the targets' own sources
  # are instrumented, the libraries beside them are not.
  CC=clang CXX=clang++ meson setup "$build" --buildtype=debugoptimized -Doptimization=1 \
    >"$work/setup" 2>&1 || { tail -n 30 "$work/setup"; die 'meson setup failed'; }
fi
ninja -C "$build" "${programs[@]}" >"$work/ninja" 2>&1 ||
  { grep -v '^\[' "$work/ninja" | head -n 60; die 'the build failed'; }

findings=$build/findings
mkdir -p "$findings"
if [ -z "$corpora" ]; then corpora=$work/corpora; fi

start() {
  local target=$1 words=()
  mkdir -p "$corpora/$target"
  case $target in
    answers | http_request | reply_head | service | transport) words=(-dict=tests/fuzz/http.dict) ;;
  esac
  # A single input that takes ten seconds, or 2 GiB, is a finding.
  UBSAN_OPTIONS=print_stacktrace=1 "$build/tests/fuzz/fuzz-$target" \
    -max_total_time=$((minutes * 60)) -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -use_value_profile=1 "${words[@]}" -artifact_prefix="$findings/$target-" \
    "$corpora/$target" "tests/fuzz/corpus/$target" >"$work/$target.log" 2>&1 </dev/null &
  own $!
  running[$!]=$target
}

# stat NAME LOG: one of libFuzzer's final figures.
stat_of() { sed -n "s/^stat::$1: *//p" "$2"; }

failed=0
report() {
  local target=$1 status=$2 log=$work/$1.log edges inputs
  edges=$(grep -o ' cov: [0-9]*' "$log" | tail -n 1 | tr -dc 0-9 || true)
  inputs=$(find "$corpora/$target" -type f | wc -l)
  printf '%-14s %12s %8s %8s %8s %8s   %s\n' "$target" "$(stat_of number_of_executed_units "$log")" \
    "$(stat_of average_exec_per_sec "$log")" "$edges" "$inputs" "$(stat_of peak_rss_mb "$log")" \
    "$([ "$status" -eq 0 ] && echo none || echo "FOUND, exit $status")"
  if [ "$status" -ne 0 ]; then
    failed=1
    grep -vE '^#[0-9]+[[:space:]]' "$log" | tail -n 60
  fi
}

printf '%-14s %12s %8s %8s %8s %8s   %s\n' target executions 'per s' edges inputs 'MiB' findings
waiting=("${targets[@]}")
while [ ${#waiting[@]} -gt 0 ] || [ ${#running[@]} -gt 0 ]; do
  while [ ${#waiting[@]} -gt 0 ] && [ ${#running[@]} -lt "$jobs" ]; do
    start "${waiting[0]}"
    waiting=("${waiting[@]:1}")
  done
  status=0
  wait -n -p ended "${!running[@]}" || status=$?
  report "${running[$ended]}" "$status"
  unset "running[$ended]"
done
if [ "$failed" -ne 0 ]; then
  say "the inputs are in $findings; each goes into tests/fuzz/corpus/TARGET/ with its fix"
  exit 1
fi
