#!/bin/bash
# Starts the container image as an engine would, beside an upstream of which half of the attempts go
# wrong, and proves what README.md in tools/packaging says of it: not root, nothing to write but the
# volume, no capabilities, settings by the environment, what the control group allows, its own
# health check, test-ips.sh at 100 %, a stop that drains, and a store that outlives it. umoci reads the
# image, runc runs it. On demand, as root, and no part of tools/test.sh.
# shellcheck disable=SC2317  # check() calls the functions
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/../.."
. tools/lib/packages.sh
. tools/lib/common.sh

build=build image=''
usage() {
  cat <<EOF_USAGE
usage: sudo tests/releases/container.sh [options]
  --image FILE  of tools/packaging/container.sh (build/container/*.oci.tar)
  --build DIR   where flaky-upstream is built (build)
EOF_USAGE
}
read_options 'image:image:text build:build:text' "$@"
[ "$(id -u)" -eq 0 ] || die 'needs root'
install_packages runc umoci skopeo curl || die 'packages could not be installed'
[ -n "$image" ] || image=$(find build/container -name '*.oci.tar' | sort | tail -n 1)
[ -f "$image" ] || die 'no image; tools/packaging/container.sh makes one'
flaky_upstream=$build/tools/flaky-upstream/flaky-upstream
[ -x "$flaky_upstream" ] || die "no $flaky_upstream; build it first"
version=$(sed -n "s/^  version: '\(.*\)',/\1/p" meson.build)

make_work
failed='' name=holdfast-$$
check() {
  if "${@:2}" >"$work/said" 2>&1; then
    printf 'ok: %s\n' "$1"
  else
    printf 'FAILED: %s\n' "$1"
    tail -n 20 "$work/said"
    failed=yes
  fi
}
not() { ! "$@"; }
is() { [ "$1" = "$2" ] || { printf '"%s" instead of "%s"\n' "$1" "$2"; return 1; }; }

mkdir "$work/layout" "$work/state"
tar -C "$work/layout" -xf "$image"
umoci unpack --image "$work/layout:$version" "$work/bundle" >"$work/umoci" 2>&1 || { cat "$work/umoci"; die 'umoci cannot read it'; }
for format in oci-archive docker-archive; do
  check "skopeo reads it as $format" skopeo inspect --config "$format:$image"
done
check 'docker is told how to check its health' grep -q '"Test": *\["CMD","/usr/bin/holdfast"' \
  <(skopeo inspect --raw --config "docker-archive:$image" | tr -d '\n')
chown 65532:65532 "$work/state"

port=$(free_port)
start_upstream "$work/upstream" --faults mixed=0.5

# What an engine is told with --read-only, --cap-drop=ALL, --network=host, --memory, --cpus and -v.
# shellcheck disable=SC2016
python3 - "$work/bundle/config.json" "$work/state" "$port" "http://127.0.0.1:$upstream_port" <<'END'
import json, sys
path, state, port, upstream = sys.argv[1:]
with open(path) as file:
    config = json.load(file)
process, linux = config["process"], config["linux"]
process["terminal"] = False
process["capabilities"] = {kind: [] for kind in process["capabilities"]}
process.pop("rlimits", None)  # an own limit may not be above ours
process["env"] += [f"PORT={port}", f"API_URL={upstream}", "LOG_LEVEL=info"]
config["root"]["readonly"] = True
linux["namespaces"] = [space for space in linux["namespaces"] if space["type"] != "network"]
# Of the control groups the daemon sees its own, as with every engine.
linux["resources"] = {"memory": {"limit": 160 << 20}, "cpu": {"quota": 100000, "period": 100000}}
config["mounts"] = [mount for mount in config["mounts"] if mount["destination"] != "/var/lib/holdfast"]
config["mounts"].append(
    {"destination": "/var/lib/holdfast", "type": "bind", "source": state, "options": ["rbind", "rw"]}
)
with open(path, "w") as file:
    json.dump(config, file)
END

engine=(runc --root "$work/engine")
in_container() { "${engine[@]}" exec "$name" /usr/bin/holdfast "$@"; }
container='' container_log=''
start() {
  container_log=$work/log-$1
  "${engine[@]}" run --bundle "$work/bundle" "$name" >"$container_log" 2>&1 </dev/null &
  container=$!
  own "$container"
  wait_for "$container" 60 answers_200 "http://127.0.0.1:$port/readyz" || {
    tail -n 20 "$container_log"
    die 'it does not start'
  }
  pid=$("${engine[@]}" state "$name" | sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' | head -n 1)
}
# Sets ended to how it ended.
stop() {
  ended=0
  "${engine[@]}" kill "$name" TERM
  wait "$container" || ended=$?
}
process_has() { is "$(sed -n "s/^$1:[[:space:]]*//p" "/proc/$pid/status" | xargs)" "$2"; }
refuses_writes() {
  local folder
  for folder in / /usr/bin /etc /etc/holdfast /run /tmp; do
    if nsenter --target "$pid" --mount --root="/proc/$pid/root" /usr/bin/env true 2>/dev/null; then
      echo 'there are programs in it'
      return 1
    fi
    if (: >"/proc/$pid/root$folder/written") 2>/dev/null; then
      echo "$folder can be written"
      return 1
    fi
  done
}
in_force() { is "$(sed -n "s/^$1 = \([^ ]*\).*/\1/p" "$work/settings")" "$2"; }
lookups() { ./test-ips.sh --url "http://127.0.0.1:$port" --concurrency 20; }
health() { curl -fsS --noproxy '*' "http://127.0.0.1:$port$1"; }

start first
check 'its user has no name outside' process_has Uid '65532 65532 65532 65532'
check 'it is the first process' is "$(awk '/^NSpid:/ { print $NF }' "/proc/$pid/status")" 1
check 'no capabilities' process_has CapBnd 0000000000000000
check 'nothing can be written but its volume' refuses_writes
check '/livez' health /livez
check '/readyz' health /readyz
check 'its health check' in_container admin status
in_container --print-config >"$work/settings" 2>&1 || true
check 'memory by the control group: a quarter of 160 MiB' in_force memory_limit '"40MiB"'
check 'workers by the control group' in_force workers 1
check 'no warning at the start' not grep -E '"level":"(warn|error)"' <(head -n 3 "$container_log")
check 'test-ips.sh: 100 % are 200' lookups
stop
check 'SIGTERM: it drains and ends with 0' is "$ended" 0
check 'and says so' grep -q '"event":"stopped"' "$container_log"

# Without an upstream: what is stored is in the volume.
end "$upstream_pid"
start second
check 'another one with the same volume answers without the upstream' lookups
stop
check 'it ends with 0 again' is "$ended" 0
check 'the store is its own' is "$(stat -c '%u %a' "$work/state/holdfast.db")" '65532 600'
[ -z "$failed" ]
