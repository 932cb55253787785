#!/bin/bash
# Runs inside the virtual machine, as root, with a systemd of its own: installs the
# package and puts the service through what the README promises. `first` is the first
# boot, `second` the one after the machine was cut off. Ends with "VM-PASSED" or
# "VM-FAILED" on the console.
set -uo pipefail
export LC_ALL=C
cd /proof || exit
failed=0
upstream=http://127.0.0.1:8000
daemon=http://127.0.0.1:3000

say() { printf 'VM: %s\n' "$*"; }
check() {
  local name=$1
  shift
  if "$@"; then say "ok: $name"; else
    say "FAILED: $name"
    failed=1
  fi
}
is() { [ "$1" = "$2" ] || { say "  got '$1', expected '$2'"; return 1; }; }
has() { grep -qF -- "$2" <<<"$1" || { say "  no '$2' in: $1"; return 1; }; }
state() { systemctl show -p "$1" --value "$2"; }
main_pid() { state MainPID holdfast.service; }
until_true() { # SECONDS COMMAND...
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.1
  done
}
answers() { [ "$(curl -s -m 5 -o /dev/null -w '%{http_code}' "$1")" = 200 ]; }
is_new_pid() { [ "$(main_pid)" != "$1" ] && [ "$(main_pid)" != 0 ] && answers "$daemon/readyz"; }
all_200() {
  ./test-ips.sh -c 8 test_ips.txt >/tmp/ips 2>&1
  local code=$?
  tail -n 3 /tmp/ips | sed 's/^/VM:   /'
  return "$code"
}
start_upstream() {
  systemd-run -q --unit=flaky-upstream /proof/flaky-upstream --token t0ken "$@"
  until_true 20 curl -s -o /dev/null "$upstream/"
}


journal_has() { has "$(journalctl -q -u holdfast.service -o cat)" "$1"; }
accepted() { curl -s "$daemon/metrics" | sed -n 's/^holdfast_connections_accepted_total //p'; }
at_least() { [ "$(accepted)" -ge "$1" ]; }

# NAME COMMAND...: while clients ask, with a connection for each request.
under_load() {
  local name=$1 load code=0
  shift
  rm -f /tmp/enough
  (for _ in $(seq 200); do
    ./test-ips.sh -c 4 test_ips.txt || exit 1
    if [ -e /tmp/enough ]; then exit 0; fi
  done) >/tmp/load 2>&1 &
  load=$!
  until_true 60 at_least $(($(accepted) + 100))
  check "$name" "$@"
  check "$name: clients asked all the while" kill -0 "$load"
  touch /tmp/enough
  wait "$load" || code=$?
  [ "$code" -eq 0 ] || tail -n 8 /tmp/load
  check "$name: no request was refused or lost, of $(($(grep -c '^Total' /tmp/load) * 1000))" \
    is "$code" 0
}

first() {
  check 'the package installs' dpkg -i /proof/holdfast.deb
  check 'nothing is enabled' is "$(systemctl is-enabled holdfast.service holdfast.socket cache-warm.timer | sort -u)" disabled
  check 'nothing runs' is "$(systemctl is-active holdfast.service holdfast.socket | sort -u)" inactive

  start_upstream --faults 500=0.3
  install -D -m 0600 /dev/stdin /etc/credstore/holdfast.api_token <<<t0ken
  echo "api_url = \"$upstream\"" >>/etc/holdfast/holdfast.toml
  check 'service and socket start' systemctl enable --now holdfast.service
  check 'ready' until_true 30 answers "$daemon/readyz"
  check 'the socket is enabled with it' is "$(systemctl is-enabled holdfast.socket)" enabled
  check 'systemd holds the socket' has "$(systemctl show -p Listen holdfast.socket)" 127.0.0.1:3000

  check 'cold, in front of 30 % faults: 1000 of 1000' all_200
  say "status: $(state StatusText holdfast.service)"
  check 'the status line' has "$(state StatusText holdfast.service)" 'serving on 3000; upstream'
  check 'the store is the unit'\''s own' test -s /var/lib/holdfast/holdfast.db
  check 'not root' has "$(ps -o user= -p "$(main_pid)")" holdfast
  check 'no capability' is "$(sed -n 's/^CapEff:\s*//p' "/proc/$(main_pid)/status")" 0000000000000000
  check 'seccomp filters' is "$(sed -n 's/^Seccomp:\s*//p' "/proc/$(main_pid)/status")" 2
  say "exposure: $(systemd-analyze security --no-pager holdfast.service | tail -n 1)"
  check 'the start time is known in the sandbox' \
    has "$(curl -s "$daemon/metrics" | grep '^holdfast_process_start_time_seconds ')" ' 1'

  local pid
  pid=$(main_pid)
  echo 'prot = 1' >>/etc/holdfast/holdfast.toml
  check 'a bad file fails the reload' is "$(systemctl reload holdfast; echo $?)" 1
  check 'and is named' journal_has 'unknown key "prot"'
  sed -i '$d' /etc/holdfast/holdfast.toml
  echo 'log_level = "debug"' >>/etc/holdfast/holdfast.toml
  check 'a good file reloads' systemctl reload holdfast.service
  check 'and is taken' until_true 20 journal_has '"changed":"log_level"'
  check 'by the same process' is "$(main_pid)" "$pid"

  sed -i '$d' /etc/holdfast/holdfast.toml
  under_load 'restart' systemctl restart holdfast.service
  check 'restarted' is_new_pid "$pid"
  pid=$(main_pid)
  under_load 'upgrade' dpkg -i /proof/holdfast.deb
  check 'upgraded' is_new_pid "$pid"
  check 'settings kept' grep -q "$upstream" /etc/holdfast/holdfast.toml

  pid=$(main_pid)
  kill -KILL "$pid"
  check 'after kill -9 systemd starts it again' until_true 30 is_new_pid "$pid"
  pid=$(main_pid)
  kill -STOP "$pid"
  check 'the watchdog ends a daemon that hangs' until_true 90 is_new_pid "$pid"
  check 'and the journal says so' journal_has 'Watchdog timeout'

  systemctl stop flaky-upstream.service
  check 'the upstream gone: 1000 of 1000' all_200
}

second() {
  check 'started at boot' until_true 60 answers "$daemon/readyz"
  check 'the machine was cut off, the upstream is gone: 1000 of 1000' all_200
  check 'the service stops in peace' systemctl stop holdfast.service
  check 'result' is "$(state Result holdfast.service)" success
  systemctl stop holdfast.socket
  dpkg --purge holdfast >/dev/null
  check 'a purge leaves nothing' is "$(ls -d /etc/holdfast /var/lib/holdfast /var/lib/private/holdfast /etc/credstore/holdfast.api_token 2>/dev/null)" ''
}

sysctl -q kernel.printk=1
"$1"
sync
if [ "$failed" -eq 0 ]; then say "VM-PASSED $1"; else say "VM-FAILED $1"; fi
