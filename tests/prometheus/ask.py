"""What run.sh asks of a live Prometheus, and the traffic meanwhile. Each command
waits for what it names, within a bound, and fails if that does not come.
Environment: PROMETHEUS, its base URL; STATE, a file to remember in."""
import http.client
import ipaddress
import itertools
import json
import math
import os
import pathlib
import re
import signal
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import kit

BOUND_SECONDS = 150
POLL_SECONDS = 0.5

# Nothing to show in a healthy daemon, and why; everything else must have data.
EMPTY_WHEN_HEALTHY = {
    "annotation Alerts": "no alert fires",
    "Pace limit A": "the upstream has not limited us",
    "Connections closed, requests rejected B": "no client has sent rubbish",
}


class Failure(Exception):
    pass


def api(path, **parameters):
    query = urllib.parse.urlencode(parameters)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{os.environ['PROMETHEUS']}/api/v1/{path}?{query}", timeout=30) as answer:
            body = json.load(answer)
    except urllib.error.HTTPError as error:
        raise Failure(f"{parameters.get('query', path)}: {json.load(error).get('error')}") from None
    for warning in body.get("warnings", []):
        raise Failure(f"{parameters.get('query', path)}: {warning}")
    return body["data"]


def instant(query):
    return api("query", query=query)["result"]


# As a panel asks: over a range. NaN and infinity cannot be drawn.
def has_data(query):
    now = time.time()
    result = api("query_range", query=query, start=now - 10, end=now, step=1)["result"]
    return any(math.isfinite(float(value)) for series in result for _, value in series["values"])


def wait_until(what, condition):
    end = time.monotonic() + BOUND_SECONDS
    while not (outcome := condition()):
        if time.monotonic() > end:
            raise Failure(f"not within {BOUND_SECONDS} s: {what()}")
        time.sleep(POLL_SECONDS)
    return outcome


def load_state():
    path = pathlib.Path(os.environ["STATE"])
    return json.loads(path.read_text()) if path.exists() else {"shown": [], "fired": []}


def save_state(state):
    pathlib.Path(os.environ["STATE"]).write_text(json.dumps(state))


def dashboard_queries():
    return {where: kit.hurried(query) for where, query in kit.dashboard_queries(kit.dashboard())}


def loaded_rules():
    return [rule for group in api("rules")["groups"] for rule in group["rules"]]


def firing():
    return {alert["labels"]["alertname"] for alert in api("alerts")["alerts"] if alert["state"] == "firing"}


# ---- Commands -------------------------------------------------------------------


def hurry(folder, target):
    """The kit's files with a minute as a second, for one daemon."""
    os.makedirs(folder)
    for name in kit.RULE_FILES:
        (pathlib.Path(folder) / name).write_text(kit.hurried((kit.KIT / name).read_text()))
    config = (kit.KIT / "prometheus.yml").read_text()
    changed = re.sub(r"(scrape|evaluation)_interval: 15s", r"\1_interval: 1s", config)
    changed = changed.replace("127.0.0.1:3000", target)
    if changed.count(": 1s") != 2 or target not in changed:
        raise Failure("prometheus.yml is not what this script knows how to change")
    (pathlib.Path(folder) / "prometheus.yml").write_text(changed)


def traffic(base_url):
    """Known keys again and again, and ever new ones, until terminated. What comes
    back is for the daemon's own metrics to tell."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    host = urllib.parse.urlsplit(base_url).netloc
    fresh = itertools.count(int(ipaddress.ip_address("20.0.0.1")))

    def ask_for(addresses, pause, keep=True):
        connection = http.client.HTTPConnection(host, timeout=10)
        for address in addresses:
            try:
                connection.request("GET", f"/lookup/{address}")
                connection.getresponse().read()
                if not keep:
                    connection.close()
            except (OSError, http.client.HTTPException):
                connection.close()  # the daemon is down for a while
            if stop.wait(pause):
                break
        connection.close()

    known = [f"192.0.2.{i}" for i in range(1, 31)]
    new = (ipaddress.ip_address(next(fresh)) for _ in itertools.count())
    lock = threading.Lock()

    def next_new():
        while True:
            with lock:
                yield next(new)

    threads = [threading.Thread(target=ask_for, args=(itertools.cycle(known), 0.025))]
    threads += [threading.Thread(target=ask_for, args=(next_new(), 0.2)) for _ in range(4)]
    threads += [threading.Thread(target=ask_for, args=(itertools.repeat("no-address"), 1, False))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def healthy():
    """Every query is valid, every selector selects something, and every query of
    the dashboard has data but EMPTY_WHEN_HEALTHY, which has none."""
    queries = dashboard_queries()
    rules = loaded_rules()
    if len(rules) != len(kit.alert_names()) + len(kit.recorded_names()):
        raise Failure(f"{len(rules)} rules are loaded")
    unhealthy = [f"{rule['name']}: {rule['lastError']}" for rule in rules if rule["health"] == "err"]
    if unhealthy:
        raise Failure("\n".join(unhealthy))
    for rule in rules:
        instant(rule["query"])  # valid, or api() raises

    # A matcher that matches nothing is a mistake that no other check finds.
    wanted = set()
    for query in itertools.chain(queries.values(), (rule["query"] for rule in rules)):
        wanted |= {selector for selector in kit.selectors(query) if not selector.startswith("ALERTS")}
    missing = set(queries) - set(EMPTY_WHEN_HEALTHY)

    def all_there():
        nonlocal wanted, missing
        wanted = {selector for selector in wanted if not instant(selector)}
        missing = {where for where in missing if not has_data(queries[where])}
        return not wanted and not missing

    selectors = len(wanted)
    wait_until(lambda: "\n".join(sorted(wanted | missing)), all_there)
    # Prometheus takes five seconds to its first scrape: absent, until then.
    full = set(EMPTY_WHEN_HEALTHY)

    def all_empty():
        nonlocal full
        full = {where for where in full if has_data(queries[where])}
        return not full

    wait_until(lambda: f"nothing to show in {full}, but {firing()} fire", all_empty)
    remember_shown(queries)
    print(f"{len(queries)} queries of the dashboard, {len(rules)} of rules, {selectors} selectors")


def remember_shown(queries):
    state = load_state()
    state["shown"] = sorted(set(state["shown"]) | {where for where, query in queries.items() if has_data(query)})
    save_state(state)


def quiet():
    wait_until(lambda: f"{firing()} cleared", lambda: not firing())
    state = load_state()
    state["quiet_at"] = time.time()
    save_state(state)


def fires(*names):
    missing = set(names)
    wait_until(lambda: f"{missing - firing()} fire; {firing()} do", lambda: missing <= firing())
    state = load_state()
    state["fired"] = sorted(set(state["fired"]) | missing)
    save_state(state)
    print(f"firing are {', '.join(sorted(firing()))}")


def clears(*names):
    wait_until(lambda: f"{firing() & set(names)} cleared", lambda: not firing() & set(names))


def look():
    """Every query is valid now too."""
    remember_shown(dashboard_queries())


def shows(where):
    query = dashboard_queries()[where]
    wait_until(lambda: f"data for {query}", lambda: has_data(query))
    remember_shown({where: query})


def was_pending():
    waits = {rule["name"] for rule in loaded_rules() if rule["type"] == "alerting" and rule["duration"] > 0}
    fired = set(load_state()["fired"]) & waits
    for name in fired:
        if not instant(f'count_over_time(ALERTS{{alertname="{name}",alertstate="pending"}}[1h])'):
            raise Failure(f"{name} fired without having been pending")
    print(", ".join(sorted(fired)))


def never(*names):
    """Not since all was quiet."""
    seconds = int(time.time() - load_state()["quiet_at"])
    for name in names:
        if instant(f'count_over_time(ALERTS{{alertname="{name}",alertstate="firing"}}[{seconds}s])'):
            raise Failure(f"{name} fired")


def finish():
    never_shown = set(dashboard_queries()) - set(load_state()["shown"])
    if never_shown:
        raise Failure("\n".join(sorted(never_shown)))


COMMANDS = {function.__name__.replace("_", "-"): function for function in (
    hurry, traffic, healthy, quiet, fires, clears, look, shows, was_pending, never, finish)}

try:
    COMMANDS[sys.argv[1]](*sys.argv[2:])
except Failure as failure:
    print(failure)
    sys.exit(1)
