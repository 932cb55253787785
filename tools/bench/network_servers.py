"""The servers of network.py: Holdfast, nginx and HAProxy, set up as their documentation advises for an upstream
that is known by name, far away and spoken to over TLS: connections kept, its certificate checked, what failed
tried again elsewhere, ten times at most, and names looked up again where they can be."""
import asyncio
import dataclasses
import time

import clients
import service
import stage as stages
import wire as wires

PATIENCE = 15  # of clients, in seconds
MOST_SECONDS = 30  # of asking: a server that fails at each is not asked on for minutes


@dataclasses.dataclass
class Setting:
    """What a server is started for."""
    tls: bool
    port: int  # the upstream's
    holdfast: str

    @property
    def url(self):
        return f"http{'s' if self.tls else ''}://{stages.NAME}:{self.port}"


def both(one, other):
    """Counts add up; the longer time counts, and never is the longest."""
    if isinstance(one, float) or isinstance(other, float):
        return None if one is None or other is None else max(one, other)
    if isinstance(one, tuple):
        return tuple(map(sum, zip(one, other)))
    if isinstance(one, str):
        return f"{one}, {other}"
    return None if one is None else one + (other or 0)


class Server:
    def __init__(self, stage, setting, port, settings):
        self.stage, self.setting, self.port, self.settings = stage, setting, port, settings
        self.folder = stage.folder / f"{self.name}-{port}"
        self.folder.mkdir()
        self.log = self.folder / "log"
        self.process = None
        self.answers, self.asked, self.facts = [], 0, {}
        self.padding = 0
        self.upstream = self.marked = None
        self.ratio, self.ratios = 0.0, []  # upstream requests for each miss, by round

    async def start(self):
        argv, environment = self.command()
        self.process = self.stage.start(argv, self.log, **environment)
        await stages.listens(self.process, self.port, self.log)

    def stop(self):
        if self.process:
            service.end(self.process)
        self.process = None

    async def warms(self, ips, at_once=1):
        """What is asked here is not measured, but must be right."""
        answers = await clients.ask_all(self.port, ips, at_once, MOST_SECONDS, patience=PATIENCE, padding=self.padding)
        self.asked += len(ips)
        right = sum(answer.right for answer in answers)
        if right < len(ips):
            self.facts["not warm"] = self.facts.get("not warm", 0) + len(ips) - right

    def marks(self):
        """What is asked from here on is also counted by itself."""
        self.marked = (self.asked, self.upstream.tell()["requests"])

    def after(self, earlier):
        """With what came of an earlier round, if there was one. The worst time of the two."""
        if earlier:
            self.answers = earlier.answers + self.answers
            self.asked += earlier.asked
            self.ratios = earlier.ratios + [self.ratio]
            self.ratio = sum(self.ratios) / len(self.ratios)
            for name, value in earlier.facts.items():
                self.facts[name] = both(value, self.facts.get(name))
        else:
            self.ratios = [self.ratio]
        return self

    def requests_per_miss(self, requests):
        """In all, or since marks() if that is more."""
        ratio = requests / max(1, self.asked)
        if self.marked and self.asked > self.marked[0]:
            ratio = max(ratio, (requests - self.marked[1]) / (self.asked - self.marked[0]))
        return ratio

    async def asks(self, ips, at_once=1):
        answers = await clients.ask_all(self.port, ips, at_once, MOST_SECONDS, patience=PATIENCE, padding=self.padding)
        self.asked += len(answers)
        self.answers += answers

    async def asks_at_rate(self, ips, rate):
        self.asked += len(ips)
        self.answers += await clients.ask_at_rate(self.port, ips, rate, patience=PATIENCE, padding=self.padding)

    async def asks_until_back(self, ips, most_seconds, began):
        """One every quarter of a second, until eight in a row were right within a second each; when the first
        of those came, in seconds since `began`, or none."""
        tasks = []
        for number, ip in enumerate(ips):
            await asyncio.sleep(max(0, began + number / 4 - time.monotonic()))
            tasks.append(asyncio.create_task(clients.ask(self.port, ip, patience=PATIENCE)))
            last = [task.result() if task.done() else None for task in tasks[-12:]]
            good = [answer is not None and answer.right and answer.seconds < 1 for answer in last]
            if sum(good[:8]) == 8 and len(good) == 12 or time.monotonic() - began > most_seconds:
                break
        self.asked += len(tasks)
        self.answers += await asyncio.gather(*tasks)
        for first, answer in enumerate(self.answers):
            following = self.answers[first:]
            if len(following) >= 8 and all(each.right and each.seconds < 1 for each in following):
                return answer.asked_at + answer.seconds - began
        return None


class Holdfast(Server):
    name = "holdfast"

    def command(self):
        variables = {"API_URL": self.setting.url, "PORT": str(self.port), "BIND": "127.0.0.1",
                     "STORE_PATH": str(self.folder / "holdfast.db"), **self.settings}
        return [self.setting.holdfast], variables


class Nginx(Server):
    """It never asks the same server of an upstream twice for a request, so it has eleven of them. The name is
    looked up when it starts: an upstream with kept connections cannot do otherwise."""
    name = "nginx"

    def command(self):
        scheme = "https" if self.setting.tls else "http"
        tls = f"""
      proxy_ssl_server_name on;
      proxy_ssl_name {stages.NAME};
      proxy_ssl_verify on;
      proxy_ssl_verify_depth 3;
      proxy_ssl_trusted_certificate {stages.CA_BUNDLE};
      proxy_ssl_protocols TLSv1.2 TLSv1.3;""" if self.setting.tls else ""
        servers = f"    server {stages.NAME}:{self.setting.port} max_fails=0;\n" * 11
        scratch = "\n".join(f"  {kind}_temp_path {self.folder}/{kind};"
                            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        path = self.folder / "nginx.conf"
        path.write_text(f"""daemon off;
user root;
worker_processes auto;
pid {self.folder}/pid;
error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
  access_log off;
{scratch}
  proxy_cache_path {self.folder}/cache levels=1:2 keys_zone=answers:64m use_temp_path=off;
  upstream origin {{
{servers}    keepalive 64;
  }}
  server {{
    listen 127.0.0.1:{self.port} backlog=1024;
    location /lookup/ {{
      proxy_pass {scheme}://origin/geoip/;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host {stages.NAME};{tls}
      proxy_connect_timeout 2s;
      proxy_send_timeout 5s;
      proxy_read_timeout 5s;
      proxy_next_upstream error timeout invalid_header http_500 http_502 http_503 http_504 http_429;
      proxy_next_upstream_tries 11;
      proxy_next_upstream_timeout 10s;
      proxy_cache answers;
      proxy_cache_key $uri;
      proxy_cache_valid 200 1d;
      proxy_cache_use_stale error timeout updating http_500 http_502 http_503 http_504;
      proxy_cache_lock on;
    }}
  }}
}}
""")
        return ["nginx", "-e", "stderr", "-p", str(self.folder), "-c", str(path)], {}


class Haproxy(Server):
    """Names are looked up beside it, and what they said holds on while the name server is silent."""
    name = "haproxy"

    def command(self):
        tls = (f" ssl verify required ca-file {stages.CA_BUNDLE} sni str({stages.NAME}) verifyhost {stages.NAME}"
               if self.setting.tls else "")
        path = self.folder / "haproxy.cfg"
        path.write_text(f"""global
  maxconn 4000
defaults
  mode http
  timeout connect 2s
  timeout client 30s
  timeout server 5s
  timeout queue 10s
  retries 10
  retry-on all-retryable-errors 408 425
resolvers names
  nameserver far {wires.far(wires.NAME_SERVER_HOST)}:53
  resolve_retries 3
  timeout resolve 1s
  timeout retry 1s
  hold valid 5s
cache answers
  total-max-size 64
  max-object-size 8192
  max-age 86400
frontend clients
  bind 127.0.0.1:{self.port} backlog 1024
  http-request cache-use answers
  http-response set-header Cache-Control max-age=86400
  http-response cache-store answers
  default_backend origin
backend origin
  http-request replace-path /lookup/(.*) /geoip/\\1
  http-request set-header Host {stages.NAME}
  http-response set-header Cache-Control max-age=86400
  http-reuse always
  server origin {stages.NAME}:{self.setting.port}{tls} resolvers names init-addr last,libc,none
""")
        return ["haproxy", "-db", "-f", str(path)], {}


KINDS = {kind.name: kind for kind in (Holdfast, Nginx, Haproxy)}
