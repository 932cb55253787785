#!/bin/bash
# Builds holdfast_*.deb from the sources as they are here, with debhelper, and has
# lintian look at it. The same sources give the same bytes, wherever they lie.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/../.."
. tools/lib/packages.sh
. tools/lib/common.sh

usage() { echo 'usage: tools/packaging/build.sh [FOLDER]   (build/package)'; }
read_options '...' "$@"
[ ${#arguments[@]} -le 1 ] || die 'one folder at most'
output=${arguments[0]:-build/package}

# CONTROL: Build-Depends are the packages that tools/test.sh installs to build.
write_control() {
  local package depends=''
  for package in "${build_packages[@]}"; do
    case $package in
      g++ | curl | git) ;; # build-essential; for people and their demo
      *) depends="$depends${depends:+, }${package//|/ | }" ;;
    esac
  done
  sed "s/@BUILD_DEPENDS@/$depends/" "$1.in" >"$1"
  rm "$1.in"
}

install_packages "${build_packages[@]}" debhelper dpkg-dev fakeroot lintian systemd
version=$(sed -n "s/^  version: '\(.*\)',/\1/p" meson.build)
[ "$(dpkg-parsechangelog -l tools/packaging/debian/changelog -S Version)" = "$version" ] ||
  die "tools/packaging/debian/changelog is not of version $version"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/holdfast"
# Tracked files and new ones, not what git ignores; without git, all there are.
{ git -c safe.directory='*' ls-files -z --cached --others --exclude-standard 2>/dev/null ||
  find . -path ./build -prune -o -type f -print0; } |
  xargs -0 cp --parents -t "$work/holdfast"
cp -r tools/packaging/debian "$work/holdfast/debian"
write_control "$work/holdfast/debian/control"

(cd "$work/holdfast" &&
  DEB_BUILD_OPTIONS="noautodbgsym parallel=$(nproc) ${DEB_BUILD_OPTIONS:-}" \
    dpkg-buildpackage --build=binary --no-sign) >"$work/log" 2>&1 || {
  tail -n 40 "$work/log"
  exit 1
}
# As root, lintian says so; that is no fault of the package.
lintian --allow-root --fail-on error "$work"/holdfast_*.changes
mkdir -p "$output"
for package in "$work"/holdfast_*.deb; do
  cp "$package" "$output/"
  sha256sum "$output/${package##*/}"
done
