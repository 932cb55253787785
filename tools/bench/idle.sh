#!/bin/bash
# What an idle keep-alive connection costs in the daemon's memory: resident memory with
# and without a number of connections that each made one request, over that number. The
# kernel's own buffers are not in it. Fails if it is more than 2 KiB.
set -euo pipefail
export LC_ALL=C PYTHONDONTWRITEBYTECODE=1
cd "$(dirname "$0")/../.."
. tools/bench/lib.sh

connections=5000 most=2048
usage() {
  cat <<EOF
usage: tools/bench/idle.sh [options]
  --connections N                                          $connections
  --build DIR       meson build folder (BUILD_DIR)         $build
EOF
}

read_options 'connections:connections:count build:build:text' "$@"
holdfast=$(built src/holdfast)
flaky_upstream=$(built tools/flaky-upstream/flaky-upstream)
install_packages python3 || die 'packages could not be installed'
ulimit -n $((connections + 1000)) || die "no $((connections + 1000)) descriptors are to be had"
make_work_folder "${TMPDIR:-/tmp}"

start_upstream "$work/upstream"
port=$(free_port)
env API_URL="http://127.0.0.1:$upstream_port" PORT="$port" BIND=127.0.0.1 STORE_PATH=off LOG_LEVEL=warn \
  IDLE_TIMEOUT=1h MAX_CONNECTIONS=$((2 * connections)) "$holdfast" >"$work/holdfast.log" 2>&1 </dev/null &
holdfast_pid=$!
own "$holdfast_pid"
wait_for "$holdfast_pid" 30 answers_200 "http://127.0.0.1:$port/readyz" ||
  die "holdfast did not become ready: $(tail -n 3 "$work/holdfast.log")"

python3 - "$port" "$holdfast_pid" "$connections" "$most" <<'EOF'
import socket, sys

port, pid, count, most = map(int, sys.argv[1:])

def resident():
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Rss:"))

def ask(client):
    client.sendall(b"GET /lookup/192.0.2.1 HTTP/1.1\r\nHost: idle\r\n\r\n")
    answer = client.recv(65536)
    if b" 200 OK" not in answer:
        sys.exit(f"not 200: {answer[:200]!r}")

def connect():
    client = socket.create_connection(("127.0.0.1", port))
    ask(client)
    return client

# What the first ones make the process touch is no cost of each.
first = [connect() for _ in range(64)]
before = resident()
clients = [connect() for _ in range(count)]
after = resident()
each = (after - before) / count
print(f"{count} idle connections: {before / 1048576:.1f} MiB without, {after / 1048576:.1f} MiB with them, "
      f"{each:.0f} bytes each")
for client in clients[::50]:
    ask(client)
sys.exit(0 if each <= most else f"more than {most} bytes each")
EOF
