# shellcheck shell=bash
# The Debian packages Holdfast needs, and how scripts install them. Sourced.
# a|b: whichever is installed, else the first that apt knows. `tools/test.sh
# --only packages` fails when the build uses a header of a package not listed here.

# To build the daemon and flaky-upstream, and to run the demo.
# shellcheck disable=SC2034
demo_packages=(
  g++ meson ninja-build 'pkgconf|pkg-config'
  libevent-dev libcurl4-openssl-dev libc-ares-dev libssl-dev 'libllhttp-dev|node-llhttp'
  libsimdjson-dev libsqlite3-dev libspdlog-dev prometheus-cpp-dev libmaxminddb-dev
  libsystemd-dev libxxhash-dev libexpected-dev libcli11-dev libtomlplusplus-dev nlohmann-json3-dev zlib1g-dev
  libhiredis-dev libzstd-dev
  curl
)
# To build everything.
# shellcheck disable=SC2034
build_packages=("${demo_packages[@]}" doctest-dev git)
# To fuzz (tests/fuzz/run.sh) and for the sanitizers: they, and libFuzzer, come with the
# compiler's runtime, and llvm has what turns their addresses into lines.
# shellcheck disable=SC2034
fuzz_packages=(clang libclang-rt-dev llvm)
# To make the Debian package (tools/packaging/build.sh), beside those to build. systemd tells
# where units belong.
# shellcheck disable=SC2034
package_packages=(build-essential debhelper dpkg-dev fakeroot lintian 'systemd-dev|systemd' xz-utils)
# To check: formatting, scripts, unit files (systemd-analyze; systemd need not
# run), man pages, a network between namespaces with certificates of its own, a node of a shared
# tier (its service is not to start: install_without_services).
# python3 comes with meson, but the scripts use it too.
# shellcheck disable=SC2034
check_packages=(clang-format shellcheck python3 python3-yaml systemd groff-base iproute2 openssl ca-certificates redis-server
  "${fuzz_packages[@]}" "${package_packages[@]}")
# To compare with other caches.
# shellcheck disable=SC2034
bench_packages=(nginx haproxy varnish wrk curl)
# To try the Prometheus kit (tests/prometheus/run.sh).
# shellcheck disable=SC2034
prometheus_packages=(prometheus python3 curl)

# To see the status page in a browser (tests/browser/run.sh), and to take its picture.
# Node and npm may come from elsewhere than Debian.
# shellcheck disable=SC2034
browser_packages=(chromium)
# For the public suite of HTTP caching (tests/conformance/run.sh).
# shellcheck disable=SC2034
conformance_packages=()
command -v node >/dev/null 2>&1 || conformance_packages+=(nodejs)
command -v npm >/dev/null 2>&1 || conformance_packages+=(npm)
browser_packages+=("${conformance_packages[@]}")
# shellcheck disable=SC2034
picture_packages=(pngquant)

package_installed() {
  [ "$(dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | sort -u)" = installed ]
}

# The name to install for `a|b`, or nothing if one of them is there already.
# Names of no known package come out too: apt then says which it misses.
missing_package() {
  local choice IFS='|'
  for choice in $1; do
    if package_installed "$choice"; then return; fi
  done
  for choice in $1; do
    if apt-cache show --no-all-versions "$choice" >/dev/null 2>&1; then break; fi
  done
  printf '%s\n' "$choice"
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null 2>&1; then
    sudo "$@"
  else
    printf 'need root or sudo for: %s\n' "$*" >&2
    return 1
  fi
}

# Installs what is missing; without a network that is fine as long as nothing is. Where there is
# a work folder (common.sh), it says how far it is.
install_packages() {
  local package name missing=() unresolved=()
  for package in "$@"; do
    name=$(missing_package "$package")
    if [ -n "$name" ]; then unresolved+=("$package"); fi
  done
  if [ ${#unresolved[@]} -eq 0 ]; then return 0; fi
  as_root true || return # asks for the password, where it must, before anything is written over it
  run_apt update || return
  # Which of two alternatives exists is known only now.
  for package in "${unresolved[@]}"; do missing+=("$(missing_package "$package")"); done
  printf 'installing: %s\n' "${missing[*]}"
  run_apt install -y --no-install-recommends "${missing[@]}"
}

run_apt() {
  local apt=(as_root env DEBIAN_FRONTEND=noninteractive apt-get -q) status=0
  if [ -z "${work:-}" ]; then
    "${apt[@]}" "$@" >/dev/null
    return
  fi
  with_progress "apt-get $1" apt_progress "$work/apt" "${apt[@]}" "$@" || status=$?
  if [ "$status" -ne 0 ]; then tail -n 5 "$work/apt" >&2; fi
  return "$status"
}

# LOG: what apt-get has written to it so far, in words.
apt_progress() {
  awk '
    / upgraded, .* newly installed/ { all = $1 + $3 }
    /^Need to get / { size = $4 " " $5; sub(/\/.*/, "", size) }
    /^Get:/ { fetched++ }
    /^Unpacking / { unpacked++ }
    /^Setting up / { set_up++ }
    END {
      if (unpacked) printf "%d unpacked, %d set up, of %d\n", unpacked, set_up, all
      else if (all) printf "%d of %d fetched, %s in all\n", fetched, all, size
      else if (fetched) printf "%d fetched\n", fetched
    }' "$1"
}

# Installs what is missing, without the services that Debian starts with a
# package: only our own instances, with our own settings, are to run. A policy of
# the machine's own stays as it is. In a subshell, so that its trap is its own.
install_without_services() (
  policy=/usr/sbin/policy-rc.d
  absent=()
  for package in "$@"; do
    if [ -n "$(missing_package "$package")" ]; then absent+=("$package"); fi
  done
  if [ ${#absent[@]} -eq 0 ]; then exit 0; fi
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null || exit
    trap 'as_root rm -f "$policy"' EXIT
    as_root chmod 755 "$policy" || exit
  fi
  install_packages "${absent[@]}" || exit
  # Nor are they to start when the machine does; an own policy may have started them.
  if command -v systemctl >/dev/null 2>&1; then
    now=()
    if [ -d /run/systemd/system ]; then now=(--now); fi
    for package in "${absent[@]}"; do
      if [ -e "/lib/systemd/system/$package.service" ]; then
        as_root systemctl disable --quiet "${now[@]}" "$package" || exit
      fi
    done
  fi
)
