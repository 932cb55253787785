# shellcheck shell=bash
# The second boot, after the machine was killed while it wrote: what is left, with
# no upstream; then remove, install again, purge. Sourced by main.sh.
# shellcheck disable=SC2317  # check() calls the functions
# shellcheck disable=SC2154  # lib.sh has the names

nothing_set_aside() { is "$(find "$state" -name 'holdfast.db.*')" ''; }
block_is_there() { cache-warm --check --quiet --url "$daemon" - <<<"$1"; }
port_is_closed() { not code_of "$daemon/readyz"; }

check_what_is_left() {
  check 'the machine killed: started at boot' eventually 120 is_ready
  check 'the machine killed: the store is sound' holdfast store check "$store"
  check 'the machine killed: nothing was set aside' nothing_set_aside
  check 'there is no upstream' upstream_is 000
  check 'the machine killed: every address' all_200
  check 'the machine killed: what was synced' block_is_there 20.0.0.0/20
  check 'the machine killed: no fewer than were synced' stored_at_least "$(cat /var/tmp/synced)"
  check 'the timer runs soon after boot, all is there' eventually 120 warmed_by_timer 0
  check 'no error in the journal' is "$(journal | grep '"level":"error"')" ''
}

check_stop() {
  systemctl stop holdfast.socket holdfast.service
  check 'stops in peace' is "$(property holdfast.service Result) $(property holdfast.service ExecMainStatus)" 'success 0'
  check 'stopped: no user is left' not getent passwd holdfast
  check 'stopped: no runtime folder is left' not test -e /run/holdfast
}

units() { systemctl list-units --plain --no-legend "$@" 'holdfast*' 'cache-warm*'; }
check_remove() {
  systemctl start holdfast.service
  check 'started again' eventually 60 is_ready
  check 'apt removes the package' apt-get remove -y -qq holdfast
  check 'removed: nothing runs' is "$(units --state=active,activating,deactivating,failed)" ''
  check 'removed: nobody listens' port_is_closed
  check 'removed: store, settings and token are kept' \
    test -s "$store" -a -s /etc/holdfast/holdfast.toml -a -s /etc/credstore/holdfast.api_token
  check 'apt installs it again' apt-get install -y -qq /proof/next.deb
  check 'installed again: nothing runs' is "$(systemctl is-active holdfast.{service,socket} cache-warm.{service,timer} | sort -u)" inactive
  systemctl --quiet enable --now holdfast.service
  check 'installed again: every address' all_200
  check 'installed again: all from the cache' all_from_the_cache
}

left_behind() { all_files | diff /var/tmp/files-before - | sed -n 's/^> //p'; }
check_purge() {
  check 'apt purges the package, while it runs' apt-get purge -y -qq holdfast
  check 'purged: systemd knows no unit' is "$(units --all)" ''
  check 'purged: nobody listens' port_is_closed
  check 'purged: no user is left' not getent passwd holdfast
  check 'purged: nothing is left on the disk' is "$(left_behind)" ''
}

second_boot() {
  check_what_is_left
  check_stop
  check_remove
  check_purge
}
