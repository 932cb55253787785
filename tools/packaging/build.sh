#!/bin/bash
# Builds the Debian package, or its source package, from the sources as they are here. The same
# sources give the same bytes, wherever they lie. README.md beside this tells more.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/../.."
. tools/lib/packages.sh
. tools/lib/common.sh

compiled='' source=''
usage() {
  cat <<EOF_USAGE
usage: tools/packaging/build.sh [options] [FOLDER]   (build/package)
  --compiled DIR  take the programs from this build folder, whose prefix is /usr, and compile nothing
  --source        make the source package (.dsc) instead
EOF_USAGE
}
read_options 'compiled:compiled:text source:source:flag ...' "$@"
[ ${#arguments[@]} -le 1 ] || die 'one folder at most'
[ -z "$compiled" ] || [ -z "$source" ] || die 'a source package has nothing compiled in it'
output=${arguments[0]:-build/package}
if [ -n "$compiled" ]; then
  compiled=$(realpath "$compiled")
  [ -x "$compiled/src/holdfast" ] || die "$compiled: nothing is compiled there"
  prefix=$(meson introspect --buildoptions "$compiled" |
    python3 -c 'import json, sys; print(*[o["value"] for o in json.load(sys.stdin) if o["name"] == "prefix"])')
  [ "$prefix" = /usr ] || die "$compiled is for $prefix: meson configure $compiled -Dprefix=/usr"
fi

# CONTROL: Build-Depends are the packages that tools/test.sh installs to build, without those that
# are for its tests and for people.
write_control() {
  local package depends=''
  for package in "${build_packages[@]}"; do
    case $package in
      g++ | doctest-dev | curl | git) ;; # g++ is build-essential
      *) depends="$depends${depends:+, }${package//|/ | }" ;;
    esac
  done
  sed "s/@BUILD_DEPENDS@/$depends/" "$1.in" >"$1"
  rm "$1.in"
}

if [ -n "$source" ]; then
  install_packages "${package_packages[@]}"
else
  install_packages "${build_packages[@]}" "${package_packages[@]}"
fi
version=$(sed -n "s/^  version: '\(.*\)',/\1/p" meson.build)
debian_version=$(dpkg-parsechangelog -l tools/packaging/debian/changelog -S Version)
[ "${debian_version%-*}" = "$version" ] || die "tools/packaging/debian/changelog is not of version $version"
SOURCE_DATE_EPOCH=$(dpkg-parsechangelog -l tools/packaging/debian/changelog -S Timestamp)
export SOURCE_DATE_EPOCH

make_work
tree=$work/holdfast-$version
mkdir "$tree"
# Tracked files and new ones, not what git ignores; without git, all there are.
{ git -c safe.directory='*' ls-files -z --cached --others --exclude-standard 2>/dev/null ||
  find . '(' -path './build*' -o -path './obj-*' -o -path ./debian ')' -type d -prune -o -type f -print0; } |
  while IFS= read -r -d '' file; do if [ -f "$file" ]; then printf '%s\0' "$file"; fi; done |
  xargs -0 cp --parents -t "$tree"
find "$tree" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
# As Debian's tools want them side by side: what upstream has, and debian/ beside it.
tar --sort=name --owner=0 --group=0 --numeric-owner --mode=u+rw,go+r,go-w,a+X --mtime="@$SOURCE_DATE_EPOCH" \
  -C "$work" -c "${tree##*/}" | xz -T1 >"$work/holdfast_$version.orig.tar.xz"
cp -r tools/packaging/debian "$tree/debian"
write_control "$tree/debian/control"

# What is to be built is built by whoever has the source package; its build dependencies are theirs.
what=(--build=binary)
if [ -n "$source" ]; then what=(--build=source --no-check-builddeps); fi
(cd "$tree" &&
  HOLDFAST_COMPILED=$compiled DEB_BUILD_OPTIONS="noautodbgsym parallel=$(nproc) ${DEB_BUILD_OPTIONS:-}" \
    dpkg-buildpackage "${what[@]}" --no-sign) >"$work/log" 2>&1 || {
  tail -n 40 "$work/log"
  exit 1
}
# Silent, or something is wrong with the package. As root, lintian says so; that is no fault.
lintian --allow-root --fail-on error,warning "$work"/holdfast_*.changes
mkdir -p "$output"
for file in "$work"/holdfast_*; do
  case $file in
    *.changes | *.buildinfo) continue ;;
    *.tar.xz) if [ -z "$source" ]; then continue; fi ;;
  esac
  cp "$file" "$output/"
  (cd "$output" && sha256sum "${file##*/}")
done
