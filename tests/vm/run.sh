#!/bin/bash
# Proves the package on a real systemd: a Debian 12 of its own, in qemu. On demand,
# as root (debootstrap), and not part of the tests: some minutes, and a mirror.
#
#   tools/packaging/build.sh && sudo tests/vm/run.sh
#
# Boots twice. The first boot installs, restarts, upgrades and kills the service
# under load; then the machine is cut off, and the second boot sees what is left.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/../.."
. tools/lib/packages.sh
. tools/lib/common.sh

work=${VM_FOLDER:-build/vm}
package=$(find build/package -name 'holdfast_*.deb' | sort | tail -n 1)
flaky_upstream=build/tools/flaky-upstream/flaky-upstream
# shellcheck disable=SC2016  # apt's own $(SITE)
mirror=${MIRROR:-$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | head -n 1)}
[ -n "$package" ] || die 'no package: run tools/packaging/build.sh'
[ -x "$flaky_upstream" ] || die 'no flaky-upstream: run tools/test.sh --quick'

install_packages debootstrap qemu-system-x86 e2fsprogs
root=$work/root
mkdir -p "$work"
if [ ! -f "$work/bootstrapped" ]; then
  rm -rf "$root"
  debootstrap --variant=minbase \
    --include=systemd-sysv,dbus,linux-image-cloud-amd64,initramfs-tools,curl,procps,iproute2 \
    bookworm "$root" "$mirror" >"$work/debootstrap.log" || { tail "$work/debootstrap.log"; exit 1; }
  touch "$work/bootstrapped"
fi

# What the package depends on; the package itself is installed inside.
cp "$package" "$root/tmp/holdfast.deb"
dpkg-deb -f "$package" Depends | sed 's/([^)]*)//g; s/,/ /g' |
  xargs chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    --no-install-recommends >"$work/apt.log" 2>&1 || { tail "$work/apt.log"; exit 1; }
rm -rf "$root/proof"
mkdir "$root/proof"
cp "$package" "$root/proof/holdfast.deb"
cp "$flaky_upstream" test-ips.sh test_ips.txt tests/vm/guest.sh "$root/proof/"
ldd "$flaky_upstream" | awk '$3 ~ /^\// { print $3 }' | xargs -r cp -nt "$root/usr/local/lib/"
chroot "$root" ldconfig
cat >"$root/etc/systemd/system/proof.service" <<'UNIT'
[Unit]
After=multi-user.target
[Service]
Type=idle
ExecStart=/bin/sh -c 'exec /proof/guest.sh $(sed "s/.*proof=\\([a-z]*\\).*/\\1/" /proc/cmdline)'
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
[Install]
WantedBy=default.target
UNIT
chroot "$root" systemctl -q enable proof.service
chroot "$root" systemctl -q mask getty@tty1.service serial-getty@ttyS0.service
rm -f "$work/disk"
mke2fs -q -t ext4 -d "$root" "$work/disk" 3G

accelerator=tcg
if [ -w /dev/kvm ]; then accelerator=kvm; fi
say "accelerator: $accelerator"

# boot STAGE: until the guest says how it went; then the machine is cut off.
boot() {
  local console=$work/$1.console machine
  rm -f "$console"
  qemu-system-x86_64 -machine q35,accel="$accelerator" -cpu max -smp 2 -m 1024 -nodefaults \
    -display none -no-reboot -serial "file:$console" -net none \
    -drive "file=$work/disk,format=raw,if=virtio,cache=writeback" \
    -kernel "$root"/boot/vmlinuz-* -initrd "$root"/boot/initrd.img-* \
    -append "root=/dev/vda rw console=ttyS0 quiet proof=$1" &
  machine=$!
  own "$machine"
  wait_for "$machine" "${VM_PATIENCE:-1800}" grep -qE 'VM-(PASSED|FAILED)' "$console" || true
  end "$machine" KILL
  grep -a '^VM' "$console" || tail -n 20 "$console"
  grep -qa "VM-PASSED $1" "$console"
}

trap end_own EXIT
boot first
boot second
say 'both boots passed'
