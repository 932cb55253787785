#!/bin/bash
# Tries what the README promises where people start: a new machine of a Debian release that
# has git and nothing else of what we need. Makes one in a folder (debootstrap, chroot), clones
# HEAD into it, and runs the two commands and the package there; then builds the source package in a
# second one, which knows nothing but that. On demand, as root, and no part of tools/test.sh: a
# release takes half an hour, and a Debian mirror.
#
# Prints a line for each step, with how long it took; exit 0 if none failed. A step that failed
# has its log's end behind it; the logs are kept in build/releases/.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/../.."
. tools/lib/packages.sh
. tools/lib/common.sh

releases='bookworm trixie'
all_steps='demo test package source'
steps=$all_steps root='' quick=''
usage() {
  cat <<EOF_USAGE
usage: sudo tests/releases/run.sh [options] RELEASE...
  RELEASE       bookworm (Debian 12) or trixie (Debian 13)
  --steps LIST  of them, in this order: ${all_steps// /,}
  --root DIR    make the machine here and keep it; one that is there already is used as it is
  --quick       without the sanitizers (tools/test.sh --quick)
EOF_USAGE
}
read_options 'steps:steps:words root:root:text quick:quick:flag ...' "$@"

[ ${#arguments[@]} -gt 0 ] || die "which release? $releases"
for release in "${arguments[@]}"; do
  [[ " $releases " == *" $release "* ]] || die "unknown release $release; they are: $releases"
done
for step in $steps; do
  [[ " $all_steps " == *" $step "* ]] || die "unknown step $step; they are: $all_steps"
done
[ -z "$root" ] || [ ${#arguments[@]} -eq 1 ] || die '--root is for one release'
[ "$(id -u)" -eq 0 ] || die 'needs root: debootstrap makes devices and files of all owners'
install_packages debootstrap git || die 'packages could not be installed'

logs=$PWD/build/releases
mkdir -p "$logs"
make_work
failed=0

# RELEASE FOLDER: a new machine, unless one is there.
make_machine() {
  if [ ! -x "$2/usr/bin/git" ]; then
    debootstrap --variant=minbase --include=git,ca-certificates "$1" "$2" >"$logs/$1-machine.log" 2>&1 || {
      tail -n 20 "$logs/$1-machine.log"
      die "debootstrap could not make $1"
    }
  fi
  # Services that come with a package are not to start: there is no systemd.
  printf '#!/bin/sh\nexit 101\n' >"$2/usr/sbin/policy-rc.d"
  chmod 755 "$2/usr/sbin/policy-rc.d"
}

# MACHINE COMMAND: in it, with processes and mounts of its own that end with it. Its root is a mount,
# without which the tests of a network could make no mounts of their own.
inside() {
  # shellcheck disable=SC2016
  unshare --mount --pid --fork --kill-child -- bash -c '
    set -e
    mount --make-rprivate /
    mount --rbind "$1" "$1"
    mount -t proc proc "$1/proc"
    mount --rbind /sys "$1/sys"
    mount --rbind /dev "$1/dev"
    cp /etc/resolv.conf "$1/etc/resolv.conf"
    exec chroot "$1" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin ${2:+"http_proxy=$2"} \
      bash -c "cd /root/holdfast && $3"' inside "$1" "${http_proxy:-}" "$2"
}

# In another machine, from the source package alone, as Debian's builders do; and to the same bytes,
# though in another folder.
# shellcheck disable=SC2016
build_from_source='set -e
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get build-dep -y -qq ./holdfast_*.dsc >/dev/null
  dpkg-source -x holdfast_*.dsc elsewhere
  cd elsewhere
  DEB_BUILD_OPTIONS="noautodbgsym parallel=$(nproc)" dpkg-buildpackage -b --no-sign
  cmp ../holdfast_*.deb /root/package/holdfast_*.deb'

run_step() {
  case $1 in
    demo) inside "$machine" 'tools/demo.sh' ;;
    test) inside "$machine" "tools/test.sh ${quick:+--quick}" ;;
    package) inside "$machine" 'tests/releases/package.sh /root/package' ;;
    source)
      rm -rf "$other/root/holdfast" "$other/root/package"
      mkdir "$other/root/holdfast"
      cp -r "$machine/root/package" "$other/root/"
      cp "$other"/root/package/*.{dsc,tar.xz} "$other/root/holdfast/"
      inside "$other" "$build_from_source"
      ;;
  esac
}

for release in "${arguments[@]}"; do
  machine=${root:-$work/$release}
  make_machine "$release" "$machine"
  if [[ " $steps " == *' source '* ]]; then
    [[ " $steps " == *' package '* ]] || [ -d "$machine/root/package" ] || die 'source is of what package has made'
    other=$work/$release-source
    cp -a "$machine" "$other"
  fi
  rm -rf "$machine/root/holdfast"
  git clone -q . "$machine/root/holdfast"
  for step in $steps; do
    began=$SECONDS result=ok
    run_step "$step" >"$logs/$release-$step.log" 2>&1 </dev/null || { result=FAILED failed=1; }
    printf '%-9s %-8s %-7s %5d s  %s\n' "$release" "$step" "$result" $((SECONDS - began)) \
      "$(grep -E '^([0-9]+ passed, [0-9]+ failed|OK.*)$' "$logs/$release-$step.log" | tail -n 1)"
    if [ "$result" != ok ]; then tail -n 40 "$logs/$release-$step.log"; fi
  done
done
exit "$failed"
