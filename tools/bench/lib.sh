# shellcheck shell=bash
# What the scripts in tools/bench share: programs, the work folder, what a process
# costs, load generators' results. Sourced by bash scripts, from the top of the project.

. tools/lib/packages.sh
. tools/lib/common.sh

# Every script has them; --cores and --out where its table of options names them.
build=${BUILD_DIR:-build}
# shellcheck disable=SC2034
server_core=0 load_core=1 out=

# only_known WHAT 'KNOWN...' WORD...
only_known() {
  local what=$1 known=" $2 " word
  shift 2
  for word in "$@"; do [[ $known == *" $word "* ]] || die "unknown $what $word"; done
}

# built PATH: the program there in the build folder.
built() {
  [ -x "$build/$1" ] || die "$build/$1 is missing: build first (meson setup $build && ninja -C $build)"
  printf '%s\n' "$build/$1"
}

need_two_cores() {
  [ "$(nproc)" -ge 2 ] || die "needs two cores: one for the server, one for the load"
  local core
  # One by one: of a list taskset takes what there is.
  for core in "$server_core" "$load_core"; do
    taskset -c "$core" true 2>/dev/null || die "no such core: $core"
  done
}

# raise_descriptors N: or as many as may be.
raise_descriptors() { ulimit -n "$1" 2>/dev/null || ulimit -n "$(ulimit -Hn)"; }

# make_work_folder PARENT: sets $work, and $results, which goes with it unless --out
# names a file.
make_work_folder() {
  make_work_in "$1"
  # shellcheck disable=SC2034
  results=${out:-$work/results}
}

# For nginx, in whose settings the work folder stands without quotes.
need_plain_folder() {
  [[ $work != *[[:space:]]* ]] || die "the work folder may have no spaces in its path, for nginx: $work"
}

# The machine, then what is said of the run.
describe() {
  say "$(uname -sr), $(awk -F ': ' '/^model name/ { print $2; exit }' /proc/cpuinfo), $(nproc) cores," \
    "load average $(cut -d ' ' -f 1-3 /proc/loadavg), $(date -u +%F); $*"
}

# ---- What a process costs -----------------------------------------------------

# PID -> it and all below it.
process_tree() {
  cat /proc/[0-9]*/stat 2>/dev/null | awk -v root="$1" '
    { pid = $1; sub(/^.*\) /, ""); parent[pid] = $2 }
    END { for (pid in parent) {
            for (p = pid; p in parent && p != root; p = parent[p]);
            if (p == root) print pid } }'
}

# User and system time of a process and all below it, in clock ticks.
cpu_ticks() {
  local pid
  for pid in $(process_tree "$1"); do
    sed 's/^.*) //' "/proc/$pid/stat" 2>/dev/null || true
  done | awk '{ ticks += $12 + $13 } END { print ticks + 0 }'
}

# Pages shared by several of its processes count once (PSS), as far as the
# kernel tells.
resident_kib() {
  local pid
  for pid in $(process_tree "$1"); do
    { grep '^Pss:' "/proc/$pid/smaps_rollup" || grep '^VmRSS:' "/proc/$pid/status"; } 2>/dev/null || true
  done | awk '{ kib += $2 } END { print kib + 0 }'
}

# ---- Results -------------------------------------------------------------------

# load_result LOG FIELD: of the line that bench-load and our wrk scripts end with: 1 requests
# (wrk's with answers that were no 2xx, bench-load's those answered rightly), 2 microseconds,
# 3 p50 and 4 p99 in microseconds, 5 answers that were no 2xx (or wrong), 6 socket errors.
# A run without one counts as one error.
load_result() {
  local line
  line=$(grep '^RESULT' "$1" || echo RESULT 0 1 0 0 0 1)
  cut -d ' ' -f "$(($2 + 1))" <<<"$line"
}
load_errors() { printf '%d' "$(($(load_result "$1" 5) + $(load_result "$1" 6)))"; }

# For awk programs: median(values, n), which also sets least and most.
# shellcheck disable=SC2034
awk_median='
  function median(values, n,  i, j, t, sorted) {
    for (i = 1; i <= n; i++) sorted[i] = values[i]
    for (i = 2; i <= n; i++) {
      t = sorted[i]
      for (j = i - 1; j > 0 && sorted[j] > t; j--) sorted[j + 1] = sorted[j]
      sorted[j + 1] = t
    }
    least = sorted[1]; most = sorted[n]
    return n % 2 ? sorted[(n + 1) / 2] : (sorted[n / 2] + sorted[n / 2 + 1]) / 2
  }'
