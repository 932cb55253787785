#!/bin/bash
# Makes a container image of the package: Debian's libraries that it needs, authorities, time zones,
# and nothing else. As root, with mmdebstrap and the mirror that apt uses here; no engine runs.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/../.."
. tools/lib/packages.sh
. tools/lib/common.sh

package='' compiled=''
usage() {
  cat <<EOF_USAGE
usage: sudo tools/packaging/container.sh [options] [FOLDER]   (build/container)
  --package FILE  holdfast_*.deb; without it tools/packaging/build.sh makes one
  --compiled DIR  which then takes the programs from this build folder
EOF_USAGE
}
read_options 'package:package:text compiled:compiled:text ...' "$@"
[ ${#arguments[@]} -le 1 ] || die 'one folder at most'
output=${arguments[0]:-build/container}
[ "$(id -u)" -eq 0 ] || die 'needs root: the image has files of several owners'
install_packages mmdebstrap dpkg-dev python3 || die 'packages could not be installed'

make_work
if [ -z "$package" ]; then
  tools/packaging/build.sh ${compiled:+--compiled "$compiled"} "$work/package"
  package=$(ls "$work"/package/holdfast_*.deb)
fi
package=$(realpath "$package")
version=$(dpkg-deb -f "$package" Version)
version=${version%-*}
SOURCE_DATE_EPOCH=$(dpkg-parsechangelog -l tools/packaging/debian/changelog -S Timestamp)
export SOURCE_DATE_EPOCH
# shellcheck disable=SC1091
release=$(. /etc/os-release && printf %s "$VERSION_CODENAME")

# PACKAGE: what it depends on, one after the other; of alternatives the first.
needs() { dpkg-deb -f "$1" Depends | tr , '\n' | sed -E 's/\|.*//; s/\([^)]*\)//; s/ //g' | paste -sd ,; }
# The mirror, as apt knows it here.
mapfile -t mirrors < <(grep -lsiE '^[^#]*debian' /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources})
[ ${#mirrors[@]} -gt 0 ] || die 'apt has no mirror of Debian in /etc/apt/sources.list.d'
# Nothing in it is run: packages are extracted, and not configured.
# shellcheck disable=SC2016
mmdebstrap --quiet --variant=extract --format=directory --skip=output/dev \
  --include="base-files,ca-certificates,tzdata,$(needs "$package")" \
  --extract-hook='tools/packaging/container/known.sh "$1"' "$release" "$work/tree" "${mirrors[@]}"
tools/packaging/container/tree.sh "$work/tree" "$package"
tar --sort=name --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" --format=gnu -C "$work/tree" -cf "$work/tree.tar" .
mkdir -p "$output"
image=$output/holdfast-$version.oci.tar
tools/packaging/container/image.py "$work/tree.tar" "$version" "$image"
(cd "$output" && sha256sum "${image##*/}")
