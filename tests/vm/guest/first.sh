# shellcheck shell=bash
# The first boot: install, run, disturb, and at the end write until the machine is
# killed. Sourced by main.sh.
# shellcheck disable=SC2317  # check() calls the functions
# shellcheck disable=SC2154  # lib.sh has the names

token=first-token-4711 later_token=second-token-4712 last_token=third-token-4713
pids=()
note_pid() { pids+=("$(main_pid)"); }

# Paths of everything on the disk; what comes and goes by itself is left out.
all_files() {
  find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /var/tmp \
    -o -path /var/log -o -path /var/cache -o -path /var/lib/dpkg -o -path /var/lib/apt \) -prune -o -print | sort
}

check_installation() {
  all_files >/var/tmp/files-before
  check 'apt installs the package' apt-get install -y -qq /proof/holdfast.deb
  check 'nothing is enabled' is "$(systemctl is-enabled holdfast.service holdfast.socket cache-warm.timer | sort -u)" disabled
  check 'nothing runs' is "$(systemctl is-active holdfast.{service,socket} cache-warm.{service,timer} | sort -u)" inactive
  check 'nobody listens' not code_of "$daemon/readyz"
  check 'no user was added' not grep holdfast /etc/passwd
}

check_start() {
  check 'an upstream, 40 % of what it does goes wrong' start_upstream "$token" --faults mixed=0.4 --seed 7
  install -D -m 0600 /dev/stdin /etc/credstore/holdfast.api_token <<<"$token"
  printf 'api_url = "%s"\n' "$upstream" >>/etc/holdfast/holdfast.toml
  check 'systemctl enable --now holdfast.service' systemctl --quiet enable --now holdfast.service
  check 'ready' eventually 60 is_ready
  note_pid
  check 'the socket came with it' is "$(systemctl is-enabled holdfast.socket) $(systemctl is-active holdfast.socket)" 'enabled active'
  check 'nothing stored: every address' all_200
  check 'bodies as the upstream has them' bodies_are_right
  check 'systemctl status has a line' eventually 30 status_line
}
status_line() { property holdfast.service StatusText | grep '^serving on 3000; upstream .* 200s of '; }

check_reload() {
  local pid
  pid=$(main_pid)
  echo 'prot = 1' >>/etc/holdfast/holdfast.toml
  check 'a bad file: systemctl reload fails' not systemctl reload holdfast.service
  check 'a bad file: the journal names the mistake' journal_has 'unknown key "prot"'
  check 'a bad file: nothing else happens' is "$(main_pid) $(code_of "$daemon/readyz")" "$pid 200"
  sed -i '$d' /etc/holdfast/holdfast.toml
  echo 'log_level = "debug"' >>/etc/holdfast/holdfast.toml
  check 'a good file: systemctl reload' systemctl reload holdfast.service
  check 'a good file: the journal names what changed' eventually 30 journal_has '"changed":"log_level"'
  sed -i '$d' /etc/holdfast/holdfast.toml
  check 'a good file: back again' systemctl reload holdfast.service
  check 'reloads: the same process' is "$(main_pid)" "$pid"
}

# Each asks for addresses nobody asked for before.
check_token() {
  local pid
  # A file the daemon may read, by a group; only root may write it.
  groupadd --system holdfast-token
  install -m 0640 -g holdfast-token /dev/stdin /etc/holdfast/token <<<"$token"
  mkdir -p /etc/systemd/system/holdfast.service.d
  printf '[Service]\nSupplementaryGroups=holdfast-token\n' >/etc/systemd/system/holdfast.service.d/token.conf
  echo 'api_token_file = "/etc/holdfast/token"' >>/etc/holdfast/holdfast.toml
  systemctl daemon-reload
  check 'token in a file: restart' systemctl restart holdfast.service
  note_pid
  pid=$(main_pid)
  check 'token in a file: taken' lookup_is 21.0.0.1 200
  stop_upstream
  check 'the upstream takes another token' start_upstream "$later_token"
  check 'the old token is refused' eventually 30 lookup_is 21.0.0.2 502
  install -m 0640 -g holdfast-token /dev/stdin /etc/holdfast/token.new <<<"$later_token"
  mv /etc/holdfast/token.new /etc/holdfast/token
  check 'the new token: systemctl reload' systemctl reload holdfast.service
  check 'the new token: taken' eventually 30 lookup_is 21.0.0.3 200
  check 'the new token: by the same process' is "$(main_pid)" "$pid"

  sed -i '$d' /etc/holdfast/holdfast.toml
  rm -r /etc/systemd/system/holdfast.service.d /etc/holdfast/token
  groupdel holdfast-token
  systemctl daemon-reload
  stop_upstream
  check 'the upstream takes a third token' start_upstream "$last_token" --faults mixed=0.4 --seed 8
  install -m 0600 /dev/stdin /etc/credstore/holdfast.api_token <<<"$last_token"
  check 'token as a credential: restart' systemctl restart holdfast.service
  note_pid
  check 'token as a credential: taken' eventually 30 lookup_is 21.0.0.4 200
}

# As systemd/README.md says: only with a drop-in, else a warning.
check_scheduling() {
  local folder=/etc/systemd/system/holdfast.service.d
  echo 'worker_scheduling = "realtime"' >>/etc/holdfast/holdfast.toml
  check 'real-time workers: restart' systemctl restart holdfast.service
  note_pid
  check 'real-time workers: not allowed by the sandbox, which is told' \
    eventually 30 journal_has 'worker_scheduling=realtime is not allowed here'
  check 'real-time workers: scheduled as ever' is "$(policies_of_workers)" SCHED_OTHER
  mkdir -p "$folder"
  printf '[Service]\nLimitRTPRIO=1\nRestrictRealtime=no\nSystemCallFilter=sched_setscheduler\n' >"$folder/realtime.conf"
  systemctl daemon-reload
  check 'real-time workers: restart with the drop-in' systemctl restart holdfast.service
  note_pid
  check 'real-time workers: they are' eventually 30 workers_are SCHED_RR
  check 'real-time workers: every address' all_200
  rm -r "$folder"
  sed -i '$d' /etc/holdfast/holdfast.toml
  systemctl daemon-reload
  check 'real-time workers: and back' systemctl restart holdfast.service
  note_pid
}
policies_of_workers() {
  local task
  for task in /proc/"$(main_pid)"/task/*; do
    if [[ $(<"$task/comm") = worker-* ]]; then chrt -p "${task##*/}" | sed -n 's/.*policy: //p'; fi
  done | sort -u
}
workers_are() { is "$(policies_of_workers)" "$1"; }

ended_well() { journal | grep -c 'holdfast.service: Deactivated successfully'; }
restart_three_times() {
  local pid before
  before=$(ended_well)
  for _ in 1 2 3; do
    pid=$(main_pid)
    systemctl restart holdfast.service && eventually 60 is_new "$pid" || return 1
    note_pid
    eventually 60 accepted_at_least 100 || return 1
  done
  is "$(ended_well)" $((before + 3))
}
check_restart() { under_load 'restart three times' restart_three_times; }

upgrade() { # PID
  apt-get install -y -qq -o Dpkg::Options::=--force-confold /proof/next.deb || return 1
  eventually 60 is_new "$1" && note_pid
}
check_upgrade() {
  local pid
  pid=$(main_pid)
  cp /etc/holdfast/holdfast.toml "$work/settings"
  under_load 'upgrade' upgrade "$pid"
  check 'upgrade: the version' is "$(dpkg-query -W -f '${Version}' holdfast)" "$(dpkg-deb -f /proof/next.deb Version)"
  check 'upgrade: the new program runs' is "$(stat -L -c %i "/proc/$(main_pid)/exe")" "$(stat -c %i /usr/bin/holdfast)"
  check 'upgrade: settings are kept' cmp /etc/holdfast/holdfast.toml "$work/settings"
  check 'upgrade: still enabled' is "$(systemctl is-enabled holdfast.service holdfast.socket | sort -u)" enabled
}

check_crash() {
  local pid client
  pid=$(main_pid)
  kill -KILL "$pid"
  check 'kill -9: who asks now is answered' lookup_is 8.8.8.8 200
  check 'kill -9: systemd started another' eventually 60 is_new "$pid"
  note_pid
  check 'kill -9: every address' all_200
  check 'kill -9: all from the cache' all_from_the_cache

  pid=$(main_pid)
  kill -STOP "$pid"
  code_of "$daemon/lookup/8.8.8.8" 120 >"$work/client" &
  client=$!
  check 'stopped: the watchdog ends it, systemd starts another' eventually 120 is_new "$pid"
  note_pid
  check 'stopped: the journal says so' journal_has 'Watchdog timeout'
  wait "$client"
  check 'stopped: who asked meanwhile is answered' is "$(cat "$work/client")" 200
}

lookup_fails() { code_of "$daemon/lookup/$1" | grep '^50[234]$'; }
check_outage() {
  stop_upstream
  check 'the upstream is gone' upstream_is 000
  check 'the upstream is gone: every address' all_200
  check 'the upstream is gone: restart' systemctl restart holdfast.service
  note_pid
  check 'the upstream is gone, restarted: every address' all_200
  check 'the upstream is gone: what is not stored is an error' lookup_fails 21.0.0.5
  check 'the upstream is back' start_upstream "$last_token"
  check 'the upstream is back: what was not stored' eventually 60 lookup_is 21.0.0.5 200
}

warmed() {
  is "$(property cache-warm.service Result) $(property cache-warm.service ExecMainStatus)" 'success 0' &&
    journalctl --quiet --boot --output cat -u cache-warm.service | grep ' stored: ' | tail -n 1
}
warmed_by_timer() {
  is "$(property cache-warm.service ActiveState)" inactive &&
    at_least "$(property cache-warm.service ExecMainExitTimestampMonotonic)" $(($1 + 1)) && warmed
}
check_warming() {
  local before
  check 'no list: cache-warm.service has nothing to do' systemctl start cache-warm.service
  check 'no list: it says why' is "$(property cache-warm.service ConditionResult)" no
  cp "$list" /etc/holdfast/warm.d/addresses
  echo '22.0.0.0/24' >/etc/holdfast/warm.d/block
  check 'lists: systemctl start cache-warm.service' systemctl start cache-warm.service
  check 'lists: all are stored' warmed
  before=$(property cache-warm.service ExecMainExitTimestampMonotonic)
  check 'systemctl enable --now cache-warm.timer' systemctl --quiet enable --now cache-warm.timer
  check 'the timer runs it, as the machine is long up' eventually 90 warmed_by_timer "$before"
  check 'the timer will run it at night' eventually 30 next_run_at_night
}
next_run_at_night() { property cache-warm.timer NextElapseUSecRealtime | grep ' 03:37:00 '; }

check_journal() {
  check 'the journal has lines of JSON alone' json_lines "${pids[@]}"
  check 'nobody tells a token' tells_no_token "$token" "$later_token" "$last_token"
}

# The host kills the machine at the line after this.
write_until_the_end() {
  local before warm
  curl -gs -X PUT -d none "$control/faults" >"$work/faults"
  before=$(metric holdfast_store_entries)
  check 'a block is warmed' warm_block 20.0.0.0/20
  check 'and stored' eventually 30 stored_at_least $((before + 4096))
  metric holdfast_store_entries >/var/tmp/synced
  sync
  cache-warm --quiet --url "$daemon" - <<<'20.64.0.0/14' >"$work/warm" 2>&1 &
  warm=$!
  check 'another is being written' eventually 120 stored_at_least $((before + 4096 + 3000))
  check 'another is being written: not done yet' kill -0 "$warm"
}
warm_block() { cache-warm --quiet --url "$daemon" - <<<"$1"; }

first_boot() {
  check_installation
  check_start
  check_sandbox
  check_files
  check_reload
  check_token
  check_scheduling
  check_restart
  check_upgrade
  check_crash
  check_outage
  check_warming
  check_journal
  write_until_the_end
}
