"""The Prometheus kit in tools/prometheus, as its checks read it: the queries in
the dashboard and the rules, and the selectors and names in those queries."""
import json
import pathlib
import re

KIT = pathlib.Path(__file__).resolve().parents[2] / "tools" / "prometheus"
RULE_FILES = ("recording.yml", "alerts.yml")

# A metric of ours or a recorded series, and its matchers if it has any.
SELECTOR = re.compile(r'(?<![\w:"])((?:[a-z_]+:)?(?:holdfast|process)_[\w:]+|up|ALERTS)\b(\{[^}]*\})?')
DURATION = re.compile(r"(\[|\bfor: )(\d+)([mhd])\b")
SECONDS = {"m": 60, "h": 3600, "d": 86400}


def hurried(text):
    """A minute of ranges and of `for` becomes a second. The names, which have
    such durations in them as well, stay."""
    return DURATION.sub(lambda m: f"{m[1]}{int(m[2]) * SECONDS[m[3]] // 60}s", text)


def dashboard():
    return json.loads((KIT / "dashboard.json").read_text())


def panels(board):
    for panel in board["panels"]:
        yield panel
        yield from panel.get("panels", [])


def dashboard_queries(board):
    """(where, query) of all panels, annotations and variables, as Grafana would
    fill them in with everything selected."""
    found = []
    for panel in panels(board):
        for target in panel.get("targets", []):
            found.append((f"{panel['title']} {target['refId']}", target["expr"]))
    for annotation in board["annotations"]["list"]:
        found.append((f"annotation {annotation['name']}", annotation["expr"]))
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"]).groups()
            found.append((f"variable {variable['name']}", f"count by ({label}) ({selector})"))
    return [(where, filled_in(expr)) for where, expr in found]


def filled_in(expr):
    for name, value in {
        "$job": "holdfast",
        "$instance": ".*",
        "$origin": ".*",
        "$__rate_interval": "10m",
        "$__range": "30m",
    }.items():
        expr = expr.replace(name, value)
    if "$" in expr:
        raise ValueError(f"an unknown variable in {expr}")
    return expr


def selectors(expr):
    return {name + (matchers or "") for name, matchers in SELECTOR.findall(expr)}


def rule_text():
    """Both rule files, without comments and without what is said to people."""
    text = "\n".join((KIT / name).read_text() for name in RULE_FILES)
    text = re.sub(r"(?m)^\s*#.*$", "", text)
    return re.sub(r"(?m)^ {8}annotations:\n(?: {10}.*\n?)+", "", text)


def alert_names():
    return re.findall(r"(?m)^ *- alert: (\w+)$", (KIT / "alerts.yml").read_text())


def recorded_names():
    return re.findall(r"(?m)^ *- record: ([\w:]+)$", (KIT / "recording.yml").read_text())
