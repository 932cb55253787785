# shellcheck shell=bash
# The servers we compare Holdfast with, installed without being started. Sourced
# after packages.sh and common.sh.

# install_peers PACKAGE...: those that are missing. Sets and unsets the EXIT trap.
# Debian starts a daemon when its package is installed; only our own instances,
# with our own settings, are to run. A policy of the machine's own stays as it is.
install_peers() {
  local policy=/usr/sbin/policy-rc.d package absent=()
  for package in "$@"; do
    if [ -n "$(missing_package "$package")" ]; then absent+=("$package"); fi
  done
  if [ ${#absent[@]} -eq 0 ]; then return 0; fi
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
    trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  install_packages "${absent[@]}" || die "cannot install ${absent[*]}"
  if [ -d /run/systemd/system ]; then
    for package in "${absent[@]}"; do
      case $package in
        nginx | haproxy | varnish) as_root systemctl disable --quiet --now "$package" || true ;;
      esac
    done
  fi
  if [ -n "$(trap -p EXIT)" ]; then
    as_root rm -f "$policy"
    trap - EXIT
  fi
}
