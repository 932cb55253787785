# shellcheck shell=bash
# What the checks share: one line for each, waiting, asking. Sourced by main.sh.
# shellcheck disable=SC2317  # check() and eventually() call the functions
# shellcheck disable=SC2034  # the other files use the names

daemon=http://127.0.0.1:3000
upstream=http://127.0.0.1:8000
control=http://127.0.0.1:8001
list=/proof/test_ips.txt
state=/var/lib/private/holdfast
store=$state/holdfast.db
work=/run/proof

# check NAME COMMAND...: a line; with it the last thing the command said, or all of
# it if the command failed.
check() {
  local name=$1
  shift
  if "$@" >"$work/said" 2>&1; then
    printf 'ok %s%s\n' "$name" "$(sed -n '$s/^./: &/p' "$work/said")"
  else
    printf 'FAILED %s\n' "$name"
    tail -n 20 "$work/said" | sed 's/^/  /'
  fi
}

is() { [ "$1" = "$2" ] || { printf 'got "%s", expected "%s"\n' "$1" "$2"; return 1; }; }
at_least() { [ "$1" -ge "$2" ] || { printf 'got %s, expected %s or more\n' "$1" "$2"; return 1; }; }
not() { ! "$@"; }

# eventually SECONDS COMMAND...: until it succeeds. What it said last is shown.
eventually() {
  local end=$((SECONDS + $1)) said
  shift
  until said=$("$@" 2>&1); do
    if [ "$SECONDS" -ge "$end" ]; then
      printf '%s\n' "$said"
      return 1
    fi
    sleep 0.1
  done
  printf '%s\n' "$said"
}

# ---- systemd -------------------------------------------------------------------

property() { systemctl show --value -p "$2" "$1"; }
main_pid() { property holdfast.service MainPID; }
is_ready() { is "$(code_of "$daemon/readyz")" 200; }
# Another process than PID runs and is ready.
is_new() {
  local pid
  pid=$(main_pid)
  [ "$pid" != 0 ] && [ "$pid" != "$1" ] && is_ready
}
# What the daemon and its reloads wrote, and what systemd wrote about the unit.
journal() { journalctl --quiet --boot --unit holdfast.service --output cat; }
journal_has() { journal | grep -F -- "$1" | tail -n 1 | grep . || { printf 'no "%s"\n' "$1"; return 1; }; }

# ---- Clients -------------------------------------------------------------------

# URL [SECONDS]: the status code, 000 without an answer.
code_of() { curl -gs -o /dev/null -m "${2:-30}" -w '%{http_code}' "$1"; }
lookup_is() { is "$(code_of "$daemon/lookup/$1")" "$2"; }

# Every address of the list, and how often which status came.
all_200() {
  local code=0
  /proof/test-ips.sh --concurrency 8 --url "$daemon" "$list" >"$work/ips" 2>&1 || code=$?
  sed -n 's/^Status \(...\): \([0-9]*\) .*/\2 x \1/p' "$work/ips" | paste -sd,
  return "$code"
}

# PREFIX FILE: the bodies for the list's addresses, one after the other.
bodies() {
  awk -v prefix="$1" '/^[0-9a-fA-F]/ { printf "url = \"%s%s\"\n", prefix, $1 }' "$list" >"$work/urls"
  curl -gsf -m 30 -w '\n' -K "$work/urls" >"$2"
}
bodies_are_right() {
  bodies "$daemon/lookup/" "$work/ours" && bodies "$control/answer?ip=" "$work/theirs" || return 1
  cmp "$work/ours" "$work/theirs" && printf '%d bodies\n' "$(grep -c '"ip"' "$work/ours")"
}

# NAME [LABEL]: the sum of a metric's series, of those with this label.
metric() {
  curl -gs -m 30 "$daemon/metrics" |
    awk -v name="$1" -v label="${2:-}" '
      ($1 == name || index($1, name "{") == 1) && index($1, label) { sum += $2 }
      END { printf "%.0f\n", sum }'
}
accepted_at_least() { at_least "$(metric holdfast_connections_accepted_total)" "$1"; }
stored_at_least() {
  local stored
  stored=$(metric holdfast_store_entries)
  at_least "$stored" "$1" && printf '%d stored\n' "$stored"
}
hits_at_least() { at_least "$(metric holdfast_requests_total 'cache="hit"')" "$1"; }

# Since it started the daemon has asked the upstream nothing, and has not been idle.
all_from_the_cache() {
  hits_at_least 1000 && is "$(metric holdfast_upstream_attempts_total)" 0 &&
    is "$(metric holdfast_requests_total 'cache="miss"')" 0
}

# NAME COMMAND...: the check NAME, while wrk asks on connections that it keeps and
# test-ips.sh on a new one for each request; then that neither met anything but 200.
under_load() {
  local name=$1 wrk ips before
  shift
  rm -f "$work/enough"
  before=$(metric holdfast_connections_accepted_total)
  wrk -t 1 -c 16 -d 1h --timeout 60s -s /proof/guest/list.lua "$daemon" -- "$list" >"$work/wrk" 2>&1 &
  wrk=$!
  until [ -e "$work/enough" ]; do
    /proof/test-ips.sh --concurrency 4 --url "$daemon" "$list" || exit
  done >"$work/load" 2>&1 &
  ips=$!
  check "$name: under load" eventually 60 accepted_at_least $((before + 300))
  check "$name" "$@"
  # A new process counts from zero.
  check "$name: still under load" eventually 60 busy
  touch "$work/enough"
  kill -INT "$wrk"
  wait "$wrk"
  check "$name: wrk, no request lost" wrk_lost_none
  check "$name: test-ips.sh, no connection refused, no request lost" ips_lost_none "$ips"
  check "$name: all from the cache" all_from_the_cache
}
busy() { accepted_at_least 300 && hits_at_least 1000; }
wrk_lost_none() {
  tail -n 1 "$work/wrk"
  grep -q '^RESULT [1-9][0-9]* requests, 0 not 2xx, 0 not connected, 0 cut, 0 timed out$' "$work/wrk"
}
ips_lost_none() {
  wait "$1" || { tail -n 8 "$work/load"; return 1; }
  printf '%d requests\n' $(($(grep -c '^Total IPs' "$work/load") * 1000))
}

# ---- The upstream --------------------------------------------------------------

# TOKEN [OPTION...]
start_upstream() {
  systemd-run --quiet --collect --unit flaky-upstream --description upstream \
    --setenv LD_LIBRARY_PATH=/proof/lib /proof/bin/flaky-upstream --token "$@" &&
    eventually 30 upstream_is 200
}
upstream_is() { is "$(code_of "$control/stats")" "$1"; }
stop_upstream() { systemctl stop flaky-upstream.service; }
