#!/usr/bin/env python3
"""Holdfast with HTTP/2 towards its upstream and without, in turns, over a wire with distance and loss. For http2.sh,
which says more."""
import argparse
import asyncio
import pathlib
import statistics
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "network"))

import clients  # noqa: E402
import service  # noqa: E402
import stage as stages  # noqa: E402
import wire as wires  # noqa: E402

CONTENT = ('{"ip":"$1","location":"Elsewhere","postal_code":"","network_name":"","domain":"",'
           '"latitude":1.5,"longitude":-2.5}')
MODES = ("off", "auto")


class Nginx:
    """Beyond the wire; answers every lookup, in HTTP/1.1 or HTTP/2 as it is asked."""

    def __init__(self, stage):
        folder = stage.folder / "nginx"
        folder.mkdir()
        chain, key = stage.certificate
        temporary = " ".join(f"{name}_temp_path {folder}/{name};"
                             for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        self.log = folder / "access.log"
        (folder / "nginx.conf").write_text(f"""
daemon off; error_log {folder}/error.log; pid {folder}/pid; worker_processes 1;
events {{ worker_connections 1024; }}
http {{
  access_log {self.log}; {temporary}
  keepalive_requests 100000; keepalive_timeout 300s;
  server {{
    listen {wires.far(2)}:443 ssl http2;
    ssl_certificate {chain}; ssl_certificate_key {key};
    location ~ ^/geoip/(.*)$ {{ default_type application/json; return 200 '{CONTENT}'; }}
  }}
}}
""")
        self.process = subprocess.Popen(
            ["nginx", "-e", folder / "error.log", "-c", folder / "nginx.conf"],
            preexec_fn=service.child_setup(stage.wire.far))

    def requests(self, version):
        return self.log.read_text().count(f'{version}" 200')

    def close(self):
        service.end(self.process)


async def ask(port, ips, at_once):
    """(seconds, right) of each."""
    places = asyncio.Semaphore(at_once)
    clock = asyncio.get_running_loop().time

    async def one(ip):
        async with places:
            began = clock()
            status, _, content = await clients.fetch(port, f"/lookup/{ip}")
            return clock() - began, status == 200 and f'"ip":"{ip}"'.encode() in content

    return await asyncio.gather(*(one(ip) for ip in ips))


def percentile(times, share):
    return sorted(times)[int(len(times) * share)] * 1000


async def play(stage, options):
    stage.name(wires.far(2))
    nginx = Nginx(stage)
    stage.to_close.append(nginx)
    port = 3000
    for loss in options.losses:
        stage.wire.set(round_trip=options.round_trip / 1000, loss=loss / 100)
        turns = {mode: [] for mode in MODES}
        for turn in range(options.rounds):
            for mode in MODES:
                port += 1
                daemon = await stage.holdfast(options.holdfast, f"https://{stages.NAME}", port=port,
                                              upstream_http2=mode, store_path="off")
                # What is learned and connected is not what is asked here.
                await ask(port, [f"11.{turn}.0.{i}" for i in range(40)], 4)
                turns[mode].append(await ask(port, [f"11.{turn}.{i // 250 + 1}.{i % 250}"
                                                    for i in range(options.addresses)], options.at_once))
                daemon.close()
        for mode in MODES:
            answers = [answer for turn in turns[mode] for answer in turn]
            shown = []
            for share in (0.5, 0.9, 0.99):
                of_turns = [percentile([seconds for seconds, _ in turn], share) for turn in turns[mode]]
                shown.append(f"{statistics.median(of_turns):5.0f} [{min(of_turns):.0f}-{max(of_turns):.0f}]")
            right = sum(right for _, right in answers)
            print(f"loss {loss} %  {mode:4}  right {right} of {len(answers)}  p50/ms {shown[0]}  "
                  f"p90/ms {shown[1]}  p99/ms {shown[2]}", flush=True)
    print(f"requests: {nginx.requests('HTTP/1.1')} in HTTP/1.1, {nginx.requests('HTTP/2.0')} in HTTP/2")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--holdfast", required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--addresses", type=int, required=True)
    parser.add_argument("--at-once", type=int, required=True)
    parser.add_argument("--round-trip", type=float, required=True, help="milliseconds")
    parser.add_argument("--losses", type=int, nargs="+", required=True, help="per cent")
    options = parser.parse_args()
    stages.end_on_signals()
    with stages.Stage() as stage:
        asyncio.run(play(stage, options))


main()
