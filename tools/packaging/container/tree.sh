#!/bin/sh
# tree.sh ROOT PACKAGE: makes of what mmdebstrap has extracted in ROOT the files of the image: libraries,
# authorities, time zones, and of PACKAGE, holdfast_*.deb, the programs. No shell, and no package
# manager; what is known of the packages lies where scanners look in such images.
set -eu
export LC_ALL=C
root=$1 package=$2

[ -d "$root/usr/share/ca-certificates" ]
cd "$root"
# As a configured ca-certificates would have it.
cat usr/share/ca-certificates/mozilla/*.crt >bundle.crt
# Of documents the copyrights stay.
find usr/share/doc -not -type d -not -name copyright -delete
find usr/share/doc -type d -empty -delete
mv usr/share/doc usr/share/zoneinfo usr/share/common-licenses var/lib/dpkg/status.d .
rm -rf bin sbin boot dev etc home media mnt opt proc root run srv sys tmp usr/bin usr/games usr/include \
  usr/local usr/sbin usr/share usr/src usr/lib/ssl/misc usr/lib/*/gconv var
mkdir -p usr/share var/lib/dpkg
mv doc zoneinfo common-licenses usr/share
mv status.d var/lib/dpkg
mkdir -p dev etc/holdfast etc/ssl/certs proc run sys tmp usr/bin var/lib/holdfast
mv bundle.crt etc/ssl/certs/ca-certificates.crt
cp usr/lib/os-release etc
printf 'root:x:0:0:root:/root:/usr/sbin/nologin\nholdfast:x:65532:65532:holdfast:/var/lib/holdfast:/usr/sbin/nologin\n' >etc/passwd
printf 'root:x:0:\nholdfast:x:65532:\n' >etc/group
printf 'passwd: files\ngroup: files\nhosts: files dns\n' >etc/nsswitch.conf
dpkg-deb --fsys-tarfile "$package" | tar -x ./usr/bin/holdfast ./usr/bin/cache-warm ./usr/share/doc/holdfast/copyright
chmod 1777 tmp
chown 65532:65532 var/lib/holdfast
chmod 700 var/lib/holdfast
