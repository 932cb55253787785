#!/bin/sh
# known.sh ROOT: writes down what packages mmdebstrap extracts in ROOT, one file each, as images without
# a package manager have it.
set -eu
mkdir -p "$1/var/lib/dpkg/status.d"
for package in "$1"/var/cache/apt/archives/*.deb; do
  name=$(dpkg-deb -f "$package" Package)
  { dpkg-deb -f "$package" Package Version Architecture Source Maintainer Homepage Description; } >"$1/var/lib/dpkg/status.d/$name"
done
