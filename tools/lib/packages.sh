# shellcheck shell=bash
# The Debian packages Holdfast needs, and how scripts install them. Sourced.
# a|b: whichever is installed, else the first that apt knows. `tools/test.sh
# --only packages` fails when the build uses a header of a package not listed here.

# To build, and to run the demo.
# shellcheck disable=SC2034
build_packages=(
  g++ meson ninja-build 'pkgconf|pkg-config'
  libevent-dev libcurl4-openssl-dev 'libllhttp-dev|node-llhttp' libsimdjson-dev libsqlite3-dev
  libspdlog-dev prometheus-cpp-dev libmaxminddb-dev libsystemd-dev libxxhash-dev zlib1g-dev
  libexpected-dev libcli11-dev doctest-dev
  curl git
)
# To check: formatting, scripts. python3 comes with meson, but the scripts use it too.
# shellcheck disable=SC2034
check_packages=(clang-format shellcheck python3)
# To compare with other caches.
# shellcheck disable=SC2034
bench_packages=(nginx haproxy varnish wrk curl)

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

# Installs what is missing; without a network that is fine as long as nothing is.
install_packages() {
  local package name missing=() unresolved=()
  for package in "$@"; do
    name=$(missing_package "$package")
    if [ -n "$name" ]; then unresolved+=("$package"); fi
  done
  if [ ${#unresolved[@]} -eq 0 ]; then return 0; fi
  as_root apt-get update -qq || return
  # Which of two alternatives exists is known only now.
  for package in "${unresolved[@]}"; do missing+=("$(missing_package "$package")"); done
  printf 'installing: %s\n' "${missing[*]}"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    "${missing[@]}" >/dev/null
}
