# shellcheck shell=bash
# What the scripts in tools/ and tests/ share: options, the work folder, processes that
# are ours to end, ports, waiting. Sourced by bash scripts.

own_pids=()

say() { printf '%s\n' "$*"; }

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 2
}

# ---- Options ---------------------------------------------------------------------

# read_options 'NAME:VARIABLE:KIND...' "$@": sets the variables from --NAME VALUE or
# --NAME=VALUE; usage() tells of them. KIND is
#   count   a whole number above 0
#   counts  several, with commas between; none: none
#   words   likewise, of anything
#   text    as it is
#   flag    without a value: yes
# --cores S,L is of no kind: it sets server_core and load_core. What is no option goes
# to $arguments where the table ends with "...".
arguments=()
read_options() {
  local table=$1 name entry variable kind number
  shift
  while [ $# -gt 0 ]; do
    case $1 in
      -h | --help) usage; exit 0 ;;
      --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
      [!-]*)
        [[ $table == *... ]] || die "unexpected $1 (--help lists what may be said)"
        arguments+=("$1")
        shift
        continue
        ;;
    esac
    name=${1#--} entry=
    for entry in $table ''; do
      if [ "${entry%%:*}" = "$name" ]; then break; fi
    done
    if [ -z "$entry" ] || [ "$1" != "--$name" ]; then die "unknown option $1 (--help lists them)"; fi
    IFS=: read -r name variable kind <<<"$entry"
    if [ "$kind" = flag ]; then
      printf -v "$variable" yes
      shift
      continue
    fi
    [ $# -ge 2 ] || die "$1 needs a value"
    # shellcheck disable=SC2034
    case $kind in
      cores)
        [[ $2 == *?,?* ]] || die "$1 needs two, with a comma between"
        server_core=${2%,*} load_core=${2##*,}
        ;;
      words | counts) printf -v "$variable" %s "${2//,/ }" ;;
      *) printf -v "$variable" %s "$2" ;;
    esac
    if [ "$kind" = counts ] && [ "$2" = none ]; then printf -v "$variable" %s ''; fi
    shift 2
  done
  for entry in $table; do
    IFS=: read -r name variable kind <<<"$entry"
    [[ $kind = count* ]] || continue
    [ "$kind" = counts ] || [ -n "${!variable}" ] || die "--$name needs a number"
    for number in ${!variable}; do
      [[ $number =~ ^[1-9][0-9]*$ ]] || die "--$name: not a whole number above 0: $number"
    done
  done
}

# ---- Work folder, and the end ----------------------------------------------------

work=''
work_is_kept=

# Sets $work, a new folder that goes away at the end.
make_work() { make_work_in "${TMPDIR:-/tmp}"; }
make_work_in() {
  work=$(mktemp -d "$1/holdfast-XXXXXX")
  clean_up_at_end
  work=$(realpath "$work") # TMPDIR may be relative; some of what we start is elsewhere
}

# keep_work FOLDER: the same, but the folder is one to keep.
keep_work() {
  mkdir -p "$1"
  work=$(cd "$1" && pwd)
  work_is_kept=yes
  clean_up_at_end
}

# However the script ends, what it has started ends with it.
clean_up_at_end() {
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
}

clean_up() {
  # Whoever is in a hurry and says it again would have everything left behind.
  trap '' INT TERM HUP
  # A stopped process does not end.
  if [ -n "${upstream_pid:-}" ]; then signal_own CONT "$upstream_pid"; fi
  end_own
  if [ -n "$work" ] && [ -z "$work_is_kept" ]; then rm -rf "$work"; fi
}

# ---- Processes and ports ---------------------------------------------------------

# own PID: end_own ends it at the latest.
own() { own_pids+=("$1"); }

# For processes this shell started: it reaps them as they end. Their numbers may then be
# those of other processes, which have another parent.
is_gone() {
  local stat
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
  stat=${stat##*) } # state, parent and more
  [[ $stat != ?\ $$\ * ]]
}

# signal_own SIGNAL PID: of ours or gone.
signal_own() { if ! is_gone "$2"; then kill "-$1" "$2" 2>/dev/null || true; fi; }

# end PID [SIGNAL]: ends a process of ours and reaps it; SIGKILL after ten seconds.
end() {
  local tries=0 pid kept=()
  { # the shell reports on standard error how a process ended
    signal_own "${2:-TERM}" "$1"
    until is_gone "$1" || [ "$tries" -ge 150 ]; do
      if [ $((tries += 1)) -eq 100 ]; then signal_own KILL "$1"; fi
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
  for pid in "${own_pids[@]}"; do signal_own TERM "$pid"; done
  for pid in "${own_pids[@]}"; do end "$pid"; done
}

# ---- Signs of life ---------------------------------------------------------------

# show_progress PID LABEL HOW_FAR...: what the command HOW_FAR prints, until that process has ended:
# in place on a terminal, else a line every ten seconds.
show_progress() {
  local pid=$1 label=$2 last=$SECONDS
  shift 2
  while kill -0 "$pid" 2>/dev/null; do
    if [ -t 1 ]; then
      printf '\r  %-42s %s\033[K' "$label" "$("$@")"
    elif [ $((SECONDS - last)) -ge 10 ]; then
      printf '  %-42s %s\n' "$label" "$("$@")"
      last=$SECONDS
    fi
    sleep 0.2
  done
  if [ -t 1 ]; then printf '\r\033[K'; fi
}

# with_progress LABEL HOW_FAR LOG COMMAND...: runs the command, whose standard output goes to LOG,
# and meanwhile shows what `HOW_FAR LOG` prints.
with_progress() {
  local label=$1 how_far=$2 log=$3 watcher status=0
  shift 3
  : >"$log"
  show_progress $$ "$label" "$how_far" "$log" &
  watcher=$!
  "$@" >"$log" || status=$?
  { # the shell reports on standard error how it ended
    kill "$watcher" || true
    wait "$watcher" || true
  } 2>/dev/null
  if [ -t 1 ]; then printf '\r\033[K'; fi
  return "$status"
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
