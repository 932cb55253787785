#!/bin/bash
# HTTP/2 towards the upstream beside HTTP/1.1: Holdfast with UPSTREAM_HTTP2=auto and =off, in turns, before an nginx
# that offers both, over a wire that delays and loses packets. What the setting's default follows from.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/../.."
. tools/bench/lib.sh

rounds=4 addresses=300 at_once=20 round_trip=60 losses='0 1 2'

usage() {
  cat <<EOF
usage: tools/bench/http2.sh [options]
  --rounds N       turns of each, for each loss                      $rounds
  --addresses N    new ones, in a turn                               $addresses
  --at-once N      of them                                           $at_once
  --round-trip N   milliseconds                                      $round_trip
  --losses LIST    per cent of the packets, each way; whole numbers  ${losses// /,}
  --build DIR      meson build folder (BUILD_DIR)                    $build

It takes root, network namespaces and tun.
EOF
}

read_options 'rounds:rounds:count addresses:addresses:count at-once:at_once:count round-trip:round_trip:count
  losses:losses:words build:build:text' "$@"
install_without_services python3 iproute2 openssl ca-certificates nginx || die 'packages could not be installed'
holdfast=$(realpath -e "$(built src/holdfast)")

describe "$rounds round(s), $addresses new addresses, $at_once at a time, $round_trip ms away, over TLS. right: 200;" \
  "in brackets the least and the most of a round."
read -ra chosen <<<"$losses"
exec python3 -B tools/bench/http2.py --holdfast "$holdfast" --rounds "$rounds" --addresses "$addresses" \
  --at-once "$at_once" --round-trip "$round_trip" --losses "${chosen[@]}"
