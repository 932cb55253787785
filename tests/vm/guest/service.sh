# shellcheck shell=bash
# Checks of the running service: its sandbox, what is its own, what it wrote down.
# Sourced by main.sh.
# shellcheck disable=SC2317  # check() calls the functions
# shellcheck disable=SC2154  # lib.sh has the names

# ---- Sandbox -------------------------------------------------------------------

# FIELD VALUE of the process, as the kernel says.
process_has() { is "$(sed -n "s/^$1:[[:space:]]*//p" "/proc/$(main_pid)/status")" "$2"; }
in_its_view() { nsenter --target "$(main_pid)" --mount -- "$@"; }
# FOLDER...: as root, in the daemon's view of the files.
can_write() { in_its_view touch "$1/written" && in_its_view rm "$1/written"; }
can_write_none() {
  local folder
  for folder in "$@"; do
    if can_write "$folder"; then
      printf 'can write in %s\n' "$folder"
      return 1
    fi
  done
}
own_tmp() {
  in_its_view touch /tmp/written && [ ! -e /tmp/written ] && in_its_view rm /tmp/written
}
exposed_at_most() {
  systemd-analyze security --no-pager --threshold="$2" "$1" >"$work/exposure" || {
    cat "$work/exposure"
    return 1
  }
  tail -n 1 "$work/exposure" | sed 's/[^[:print:]]//g; s/^ *//'
}
units_are_clean() {
  local said
  said=$(systemd-analyze verify --man=no /lib/systemd/system/{holdfast.service,holdfast.socket,cache-warm.service,cache-warm.timer} 2>&1) &&
    is "$said" ''
}

check_sandbox() {
  check 'systemd-analyze verify has no complaint' units_are_clean
  check 'exposure of holdfast, 1.5 at most' exposed_at_most holdfast.service 15
  check 'exposure of cache-warm, 1.5 at most' exposed_at_most cache-warm.service 15
  check 'not root' is "$(ps -o user= -p "$(main_pid)")" holdfast
  check 'no new privileges' process_has NoNewPrivs 1
  check 'no capabilities' process_has CapEff 0000000000000000
  check 'nor any to be had' process_has CapBnd 0000000000000000
  check 'system calls are filtered' process_has Seccomp 2
  check 'can write its state' can_write /var/lib/holdfast
  check 'can write nothing else' can_write_none / /etc /etc/holdfast /usr /var/lib /var/log /root /home /boot /dev/shm
  check 'has a /tmp of its own' own_tmp
  check 'sees no disk' not in_its_view test -e /dev/vda
  check 'memory is limited' is "$(cat /sys/fs/cgroup/system.slice/holdfast.service/memory.max)" $((512 << 20))
  check 'descriptors are limited' is "$(awk '/^Max open files/ { print $4 }' "/proc/$(main_pid)/limits")" 65536
}

# ---- State and runtime ---------------------------------------------------------

# OWNER MODE FILE
owned() { is "$(stat -L -c '%U %a' "$3")" "$1 $2"; }
holds_sockets() {
  local address
  for address in 127.0.0.1:3000 '[::1]:3000'; do
    ss --no-header -ltnp "src $address" | grep -F '"systemd"' || return 1
  done
}
refused_to_others() {
  local said
  if said=$(setpriv --reuid 65534 --regid 65534 --clear-groups holdfast admin status 2>&1); then return 1; fi
  grep 'Permission denied' <<<"$said"
}
check_files() {
  check 'state: its own, closed to others' owned holdfast 700 "$state"
  check 'store: its own' owned holdfast 600 "$store"
  check 'runtime folder: its own' owned holdfast 700 /run/holdfast
  check 'admin socket: its own' owned holdfast 600 /run/holdfast/admin.sock
  check 'root may use it' holdfast admin status
  check 'others may not' refused_to_others
  check 'systemd holds the sockets' holds_sockets
}

# ---- Journal -------------------------------------------------------------------

# PID...: all that these processes wrote is JSON, an event a line.
json_lines() {
  local pid lines all=0
  for pid in "$@"; do
    journalctl --quiet --boot --output cat "_PID=$pid" >"$work/lines"
    lines=$(jq -R 'fromjson | select(.ts and .level and .event) | 1' "$work/lines" | wc -l) || return 1
    is "$lines" "$(wc -l <"$work/lines")" && at_least "$lines" 1 || return 1
    all=$((all + lines))
  done
  printf '%d lines of %d processes\n' "$all" $#
}
everything_said() {
  journalctl --quiet --boot --output export -u holdfast.service -u holdfast.socket -u cache-warm.service
  systemctl show holdfast.service holdfast.socket cache-warm.service
  curl -gs "$daemon/metrics" "$daemon/status" "$daemon/status.json" "$daemon/healthz"
  holdfast admin status
  tr '\0' '\n' <"/proc/$(main_pid)/cmdline"
  tr '\0' '\n' <"/proc/$(main_pid)/environ"
  cat "$state"/*
}
# TOKEN...
tells_no_token() {
  local token
  everything_said >"$work/everything" 2>&1
  # It is all there: settings, an event, a metric, a stored body.
  for token in "$upstream" '"event":"reloaded"' holdfast_requests_total '"postal_code"'; do
    grep -qaF -- "$token" "$work/everything" || { printf 'no "%s"\n' "$token"; return 1; }
  done
  for token in "$@"; do
    if grep -aF -m 1 -- "$token" "$work/everything"; then return 1; fi
  done
  printf '%d bytes searched\n' "$(wc -c <"$work/everything")"
}
