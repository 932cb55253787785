"""What a scenario plays on: a wire, a name server and upstreams beyond it, names and a CA that the near side
believes in, and Holdfast."""
import asyncio
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import certificates
import clients
import service
import wire as wires

NAME = "api.test"
ROOT = service.HERE.parents[1]
ADDRESSES_FILE = ROOT / "test_ips.txt"
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


def end_on_signals():
    """As an exception, so that what was begun is ended."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda number, frame: sys.exit(128 + number))


class Stage:
    """With `with`. This process is on the near side from then on."""

    def __init__(self, seed=1):
        self.seed = seed

    def __enter__(self):
        self.to_close = []
        self.temporary = tempfile.TemporaryDirectory(prefix="holdfast-network-")
        self.folder = pathlib.Path(self.temporary.name)
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exception):
        self.close()

    def _build(self):
        self.wire = self._closed_later(wires.Wire(self.seed))
        self.names = self._closed_later(service.Service(
            "name_server.py", {"bind": wires.far(wires.NAME_SERVER_HOST)}, namespace=self.wire.far))
        self.authority = certificates.Authority(self.folder, "ours")
        self.certificate = self.authority.issue(NAME)
        # Beside the machine's own, as an administrator would add one: reading all of them takes its time.
        bundle = self.folder / "bundle.pem"
        bundle.write_bytes(pathlib.Path(CA_BUNDLE).read_bytes() + self.authority.certificate.read_bytes())
        self._show("hosts", "127.0.0.1 localhost\n", "/etc/hosts")
        self._show("resolv.conf", f"nameserver {wires.far(wires.NAME_SERVER_HOST)}\n", "/etc/resolv.conf")
        self._show("nsswitch.conf", "hosts: files dns\n", "/etc/nsswitch.conf")
        wires.show(bundle, CA_BUNDLE)

    def _show(self, name, text, path):
        (self.folder / name).write_text(text)
        wires.show(self.folder / name, path)

    def _closed_later(self, part):
        self.to_close.append(part)
        return part

    def close(self):
        while self.to_close:
            self.to_close.pop().close()
        self.temporary.cleanup()

    def add_upstream(self, port, hosts=("10.77.0.2",), tls=True, **settings):
        """Beyond the wire, at those addresses."""
        settings.update(bind=list(hosts), port=port, certificate=self.certificate if tls else None)
        return self._closed_later(service.Service("upstream.py", settings, namespace=self.wire.far))

    def name(self, *addresses, ttl=60):
        self.names.tell(name=NAME, addresses=list(addresses), ttl=ttl)

    def start(self, argv, log, **environment):
        """A program on the near side, that ends with us. Of our environment it sees what sanitizers look for."""
        ours = {name: value for name, value in os.environ.items() if name == "PATH" or name.endswith("SAN_OPTIONS")}
        with open(log, "ab") as out:
            return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                    preexec_fn=service.child_setup(), env={**ours, **environment})

    async def holdfast(self, program, url, port=3000, **settings):
        """Listening."""
        daemon = Holdfast(self, program, url, port, settings)
        self.to_close.append(daemon)
        await daemon.listens()
        return daemon


class Holdfast:
    def __init__(self, stage, program, url, port, settings):
        self.port = port
        folder = stage.folder / f"holdfast-{port}"
        folder.mkdir(exist_ok=True)
        self.log = folder / "log"
        variables = {"API_URL": url, "PORT": str(port), "BIND": "127.0.0.1", "STORE_PATH": str(folder / "holdfast.db"),
                     "WORKERS": "1", **{name.upper(): str(value) for name, value in settings.items()}}
        self.process = stage.start([program], self.log, **variables)

    async def listens(self):
        await listens(self.process, self.port, self.log)

    async def breaker_openings(self):
        return int(clients.total(await clients.metrics(self.port), "holdfast_breaker_transitions_total", to="open"))

    def close(self):
        """Its exit code."""
        return service.end(self.process, 20)


async def listens(process, port, log, patience=30):
    """Returns once somebody does."""
    give_up = time.monotonic() + patience
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > give_up:
                last = pathlib.Path(log).read_text(errors="replace").strip().splitlines()[-3:]
                raise RuntimeError(f"{process.args[0]} does not listen: {' '.join(last)}") from None
            await asyncio.sleep(0.02)
