#!/bin/bash
# A real network: Holdfast, nginx and HAProxy before a healthy upstream that is far away, spoken to over TLS,
# known by name, and reached over a wire that delays and loses packets. All at once over the same wire, each with
# an upstream of its own; what would compete for the processors goes in turns. Every content is compared with the
# right one. Exit 0 if every row shows what it must.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/../.."
. tools/bench/lib.sh

rows='' servers='holdfast nginx haproxy' rounds=1 idle=65 step=15 holdfast='' keep=''

usage() {
  cat <<EOF
usage: tools/bench/network.sh [options]
  --rows LIST      of those below, with commas; all of them without
  --servers LIST   of: ${servers// /,}
  --rounds N       $rounds
  --idle N         seconds, in the row of that name         $idle
  --step N         seconds of load after a step             $step
  --holdfast PATH  the program                              $build/src/holdfast
  --build DIR      meson build folder (BUILD_DIR)           $build
  --keep DIR       leave the servers' logs there

rows:
$(python3 -B tools/bench/network.py --list)

It takes root, network namespaces and tun.
EOF
}

read_options 'rows:rows:words servers:servers:words rounds:rounds:count idle:idle:count step:step:count
  holdfast:holdfast:text build:build:text keep:keep:text' "$@"
# shellcheck disable=SC2086
only_known server 'holdfast nginx haproxy' $servers
packages=(python3 iproute2 openssl ca-certificates)
for name in $servers; do
  if [ "$name" != holdfast ]; then packages+=("$name"); fi
done
install_without_services "${packages[@]}" || die 'packages could not be installed'
if [ -z "$holdfast" ] && [[ " $servers " == *" holdfast "* ]]; then holdfast=$(built src/holdfast); fi
if [ -n "$holdfast" ]; then
  holdfast=$(realpath -e "$holdfast") || die "no such program: $holdfast"
fi

options=(--rounds "$rounds" --idle "$idle" --step "$step" --holdfast "$holdfast" --keep "$keep")
if [ -n "$rows" ]; then read -ra chosen <<<"$rows" && options+=(--rows "${chosen[@]}"); fi
read -ra chosen <<<"$servers" && options+=(--servers "${chosen[@]}")

describe "$rounds round(s). right: 200 with the right body; requests: seen by the upstream (+ others, such as" \
  "those that keep a connection ready); breaker: times it opened."
exec python3 -B tools/bench/network.py "${options[@]}"
