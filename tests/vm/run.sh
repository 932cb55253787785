#!/bin/bash
# Proves the package on a real systemd: a Debian 12 of its own, in qemu, without a
# network. On demand, as root, and no part of tools/test.sh: it takes some minutes,
# and the first time a Debian mirror. README.md here says what is checked.
#
# Boots twice. During the first boot's last check, which writes to the store, the
# machine is killed; the second boot sees what is left. Each check is a line, ok or
# FAILED; the last line counts them. Exit 0 if nothing failed.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/../.."
. tools/lib/packages.sh
. tools/lib/common.sh

build=${BUILD_DIR:-build}
package='' patience=''
usage() {
  cat <<EOF_USAGE
usage: sudo tests/vm/run.sh [options]
  --build DIR         meson build folder, built already (BUILD_DIR)   $build
  --package FILE      the package; without it tools/packaging/build.sh makes one
  --patience SECONDS  longest that one boot may take   900; 5400 without KVM
  MIRROR              Debian's; without it the one apt uses
EOF_USAGE
}
read_options 'build:build:text package:package:text patience:patience:text' "$@"

[[ $patience =~ ^([1-9][0-9]*)?$ ]] || die "--patience: not a whole number above 0: $patience"
[ "$(id -u)" -eq 0 ] || die 'needs root: debootstrap makes devices and files of all owners'
[ "$(dpkg --print-architecture)" = amd64 ] || die 'is for amd64'
flaky_upstream=$build/tools/flaky-upstream/flaky-upstream
[ -x "$flaky_upstream" ] || die "no $flaky_upstream: build first (tools/test.sh --quick)"
install_packages debootstrap qemu-system-x86 e2fsprogs || die 'packages could not be installed'

vm=$build/vm
mkdir -p "$vm"
# Two of us would share the disk.
exec 9>"$vm/lock"
flock -n 9 || die "another run uses $vm"
clean_up_at_end
began=$SECONDS

# ---- What is put into the machine ---------------------------------------------

if [ -z "$package" ]; then
  tools/packaging/build.sh "$vm/package" >"$vm/package.log" 2>&1 || {
    tail -n 20 "$vm/package.log"
    die 'the package could not be built'
  }
  package=$(find "$vm/package" -name 'holdfast_*.deb' -printf '%T@ %p\n' | sort -n | sed -n '$s/^[^ ]* //p')
fi
[ -f "$package" ] || die "no package $package"

# The same with a higher version. Its settings file differs, as it does whenever
# Holdfast gets a new setting: dpkg has to keep what the owner made of it.
next_version() {
  rm -rf "$vm/next"
  dpkg-deb --raw-extract "$package" "$vm/next"
  sed -i 's/^Version: .*/&+next/' "$vm/next/DEBIAN/control"
  echo '# One line more than the version before.' >>"$vm/next/etc/holdfast/holdfast.toml"
  dpkg-deb --root-owner-group --build "$vm/next" "$1" >/dev/null
}

# What the package depends on: packages, maybe virtual ones.
dependencies() {
  dpkg-deb -f "$package" Depends | tr , '\n' | sed 's/|.*//; s/([^)]*)//; s/ //g' | sort -u
}

# A Debian with those; kept for a week in $vm/base.img, with the kernel beside it.
make_base() {
  local root=$vm/root depends
  depends=$(dependencies)
  if [ "$(cat "$vm/base.depends" 2>/dev/null)" = "$depends" ] &&
    [ -z "$(find "$vm/base.depends" -mtime +7)" ]; then return; fi
  say 'A Debian 12, with debootstrap (the first time)'
  rm -rf --one-file-system "$root" "$vm/base.depends"
  if [ -z "${MIRROR:-}" ]; then
    # shellcheck disable=SC2016  # apt's own $(REPO_URI)
    MIRROR=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
      'Codename: bookworm' 'Component: main' | head -n 1)
  fi
  debootstrap --variant=minbase --include=systemd-sysv,dbus,libnss-systemd,linux-image-cloud-amd64 \
    bookworm "$root" ${MIRROR:+"$MIRROR"} >"$vm/base.log" 2>&1 || {
    tail -n 20 "$vm/base.log"
    die 'debootstrap failed'
  }
  # shellcheck disable=SC2086  # several words
  chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
    iproute2 procps curl jq wrk $depends >>"$vm/base.log" 2>&1 || {
    tail -n 20 "$vm/base.log"
    die 'what the package depends on could not be installed'
  }
  chroot "$root" apt-get clean
  printf 'holdfast-vm\n' >"$root/etc/hostname"
  printf '127.0.0.1 localhost holdfast-vm\n::1 localhost\n' >"$root/etc/hosts"
  mkdir "$root/proof"
  cp tests/vm/proof.service "$root/etc/systemd/system/"
  chroot "$root" systemctl --quiet enable proof.service
  cp "$root"/boot/vmlinuz-* "$vm/vmlinuz"
  cp "$root"/boot/initrd.img-* "$vm/initrd"
  rm -f "$vm/base.img"
  mke2fs -q -t ext4 -d "$root" "$vm/base.img" 3G
  rm -rf --one-file-system "$root"
  printf '%s\n' "$depends" >"$vm/base.depends"
}

# What is tested and what tests it, as a disk of its own, read-only.
make_payload() {
  local folder=$vm/payload
  rm -rf "$folder" "$vm/payload.img"
  mkdir -p "$folder/bin" "$folder/lib"
  cp "$package" "$folder/holdfast.deb"
  next_version "$folder/next.deb"
  cp test-ips.sh test_ips.txt "$folder/"
  cp -r tests/vm/guest "$folder/"
  cp "$flaky_upstream" "$folder/bin/"
  # Its libraries, save those that every Debian has.
  ldd "$flaky_upstream" | awk '$3 ~ /^\// { print $3 }' |
    grep -vE '/(libc|libm|libstdc\+\+|libgcc_s)\.so' | xargs -r cp -Lt "$folder/lib"
  mke2fs -q -t ext4 -d "$folder" "$vm/payload.img" 64M
}

# ---- Run it -------------------------------------------------------------------

# A /dev/kvm that can be opened need not work, least of all in a machine that is
# virtual itself. So: a kernel without a disk has to give up, and the machine with it.
# Without arch-capabilities, an MSR that some hosts name, but do not let us set.
kvm_cpu=host,arch-capabilities=off
kvm_works() {
  [ -w /dev/kvm ] && timeout 20 qemu-system-x86_64 -machine q35,accel=kvm -cpu "$kvm_cpu" \
    -no-user-config -nodefaults -display none -nic none -no-reboot \
    -kernel "$vm/vmlinuz" -append panic=-1 >"$vm/kvm.log" 2>&1 </dev/null 9>&-
}

# STAGE: boots until the guest says that the stage is over, then kills the machine.
boot() {
  local stage=$1 machine follower why
  : >"$vm/$stage.results"
  qemu-system-x86_64 -machine "q35,accel=$accelerator" -cpu "$cpu" -smp 2 -m 2048 \
    -no-user-config -nodefaults -display none -nic none -no-reboot \
    -kernel "$vm/vmlinuz" -initrd "$vm/initrd" \
    -append "root=/dev/vda rw console=ttyS0 quiet loglevel=3 panic=-1 systemd.show_status=no proof=$stage" \
    -drive "file=$vm/disk.img,format=raw,if=virtio" \
    -drive "file=$vm/payload.img,format=raw,if=virtio,readonly=on" \
    -serial "file:$vm/$stage.console" -serial "file:$vm/$stage.results" \
    >"$vm/$stage.qemu" 2>&1 </dev/null 9>&- &
  machine=$!
  own "$machine"
  tail -n +1 -f --pid="$machine" "$vm/$stage.results" 2>/dev/null 9>&- &
  follower=$!
  own "$follower"
  wait_for "$machine" "$patience" grep -q "^end $stage" "$vm/$stage.results" || true
  if grep -q "^end $stage" "$vm/$stage.results"; then
    end "$machine" KILL
    wait "$follower" || true
    return
  fi
  if is_gone "$machine"; then why='the machine ended'; else why="it took longer than $patience s"; fi
  end "$machine" KILL
  wait "$follower" || true
  printf 'FAILED the boot "%s" comes to its end: %s\n' "$stage" "$why" | tee -a "$vm/$stage.results"
  tail -n 20 "$vm/$stage.qemu" "$vm/$stage.console"
}

make_base
make_payload
accelerator=tcg cpu=max
if kvm_works; then accelerator=kvm cpu=$kvm_cpu; fi
if [ -z "$patience" ]; then
  if [ "$accelerator" = kvm ]; then patience=900; else patience=5400; fi
fi
cp --sparse=always "$vm/base.img" "$vm/disk.img"

rm -f "$vm"/*.results
say "First boot ($accelerator)"
boot first
if grep -q '^end first' "$vm/first.results"; then
  say 'Second boot, after the machine was killed'
  boot second
fi

passed=$(cat "$vm"/*.results | grep -c '^ok ' || true)
failed=$(cat "$vm"/*.results | grep -c '^FAILED ' || true)
printf '\n%d s\n%d passed, %d failed\n' $((SECONDS - began)) "$passed" "$failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
