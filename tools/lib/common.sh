# shellcheck shell=bash
# What the scripts in tools/ share: processes that are ours to end, ports, waiting.
# Sourced by bash scripts.

own_pids=()

say() { printf '%s\n' "$*"; }

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 2
}

# own PID: end_own ends it at the latest.
own() { own_pids+=("$1"); }

# For processes this shell started: it reaps them as they end.
is_gone() { ! kill -0 "$1" 2>/dev/null; }

# end PID [SIGNAL]: ends a process of ours and reaps it; SIGKILL after ten seconds.
end() {
  local tries=0 pid kept=()
  { # the shell reports on standard error how a process ended
    kill "-${2:-TERM}" "$1" || true
    until is_gone "$1" || [ "$tries" -ge 150 ]; do
      if [ $((tries += 1)) -eq 100 ]; then kill -KILL "$1" || true; fi
      sleep 0.1
    done
    if is_gone "$1"; then wait "$1" || true; fi
  } 2>/dev/null
  for pid in "${own_pids[@]}"; do
    if [ "$pid" != "$1" ]; then kept+=("$pid"); fi
  done
  own_pids=("${kept[@]}")
}

end_own() {
  local pid
  for pid in "${own_pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${own_pids[@]}"; do end "$pid"; done
}

port_is_free() {
  ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && ! (exec 3<>"/dev/tcp/::1/$1") 2>/dev/null
}

# A port nobody listens at now, below the range the kernel gives to clients.
free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 10000))
    if port_is_free "$port"; then
      printf '%s\n' "$port"
      return
    fi
  done
}

# wait_for PID SECONDS COMMAND...: until the command succeeds; fails if it does
# not in time, or the process it waits for has ended.
wait_for() {
  local pid=$1 end_at=$((SECONDS + $2))
  shift 2
  until "$@" >/dev/null 2>&1; do
    if is_gone "$pid" || [ "$SECONDS" -ge "$end_at" ]; then return 1; fi
    sleep 0.05
  done
}

answers_200() {
  [ "$(curl -gs --noproxy '*' -o /dev/null -m 2 -w '%{http_code}' "$1")" = 200 ]
}

# json_number FIELD FILE: a whole number from a flat JSON object.
json_number() {
  sed -n "s/.*\"$1\"[[:space:]]*:[[:space:]]*\\([0-9][0-9]*\\).*/\\1/p" "$2" | head -n 1
}

# start_upstream LOG [OPTION...]: starts $flaky_upstream and sets upstream_pid,
# upstream_port and upstream_control. LOG gets its line with the ports; its
# standard error goes to LOG.err.
start_upstream() {
  local log=$1
  shift
  rm -f "$log"
  # shellcheck disable=SC2154
  "$flaky_upstream" --port 0 --control-port 0 "$@" >"$log" 2>"$log.err" </dev/null &
  upstream_pid=$!
  own "$upstream_pid"
  wait_for "$upstream_pid" 20 grep -q '"control_port"' "$log" ||
    die "flaky-upstream did not start: $(tail -n 3 "$log.err")"
  # shellcheck disable=SC2034
  upstream_port=$(json_number port "$log") upstream_control=$(json_number control_port "$log")
}
