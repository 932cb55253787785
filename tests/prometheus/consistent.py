"""What can be checked of tools/prometheus without a Prometheus: that rules and
dashboard speak only of metrics, labels and label values that the daemon has, that
every alert is documented and tested, and that the dashboard is put together well.

usage: consistent.py HOLDFAST"""
import re
import subprocess
import sys

import kit

problems = []


def check(good, problem):
    if not good:
        problems.append(problem)


def metrics_of(holdfast):
    """Label names, with their values where those are fixed, by metric."""
    table = subprocess.run([holdfast, "--metrics-table"], check=True, capture_output=True, text=True).stdout
    metrics = {}
    for name, kind, labels in re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \|", table, re.M):
        known = {}
        for label, values in re.findall(r"(\w+)(?: \(([^)]*)\))?(?:, |$)", labels):
            known[label] = set(values.split(", ")) if values else set()
        for suffix in ("_bucket", "_count", "_sum") if kind == "histogram" else ("",):
            metrics[name + suffix] = known | ({"le": set()} if suffix == "_bucket" else {})
    return metrics


def check_selector(where, selector, metrics, recorded):
    name, _, matchers = selector.partition("{")
    if name in ("up", "ALERTS") or name in recorded:
        return
    check(name in metrics, f"{where}: the daemon exports no {name}")
    for label, value in re.findall(r'(\w+)[=!]=?~?"([^"]*)"', matchers):
        if label in ("job", "instance"):
            continue
        known = metrics.get(name, {})
        check(label in known, f"{where}: {name} has no label {label}")
        if known.get(label) and value != ".*":
            for alternative in value.split("|"):
                check(alternative in known[label], f'{where}: {name} never has {label}="{alternative}"')


def check_dashboard(board):
    ids, places = set(), {}
    source = {"type": "prometheus", "uid": "${datasource}"}
    for panel in kit.panels(board):
        title = panel["title"]
        check(panel["id"] not in ids, f"panel {title}: its id is another's too")
        ids.add(panel["id"])
        at = panel["gridPos"]
        check(at["x"] >= 0 and at["x"] + at["w"] <= 24, f"panel {title}: wider than the page")
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                check((x, y) not in places, f"panel {title}: lies on {places.get((x, y))}")
                places[x, y] = title
        if panel["type"] == "row":
            continue
        check(panel["type"] in ("stat", "timeseries", "state-timeline"), f"panel {title}: type {panel['type']}")
        check(panel["datasource"] == source, f"panel {title}: a data source of its own")
        check(panel["targets"], f"panel {title}: no query")
        references = [target["refId"] for target in panel["targets"]]
        check(len(set(references)) == len(references), f"panel {title}: two queries of one name")
        for target in panel["targets"]:
            check(target["datasource"] == source, f"panel {title}: a data source of its own")
            check('"$job"' in target["expr"] or "ALERTS" in target["expr"], f"panel {title}: not only of the chosen job")
    check(board["templating"]["list"][0]["type"] == "datasource", "the data source is not the first variable")


def check_alerts(board):
    # Quoted in an alert, a title is where to look.
    titles = {re.sub(r": \$\w+$", "", panel["title"]) for panel in kit.panels(board)}
    text = (kit.KIT / "alerts.yml").read_text()
    for quoted in re.findall(r'"([A-Z][a-z][^"\n]*)"', text):
        check(quoted in titles, f'alerts.yml speaks of a panel "{quoted}"')
    runbook = (kit.KIT / "README.md").read_text()
    tests = (kit.KIT / "rules_test.yml").read_text().split("  - name: ")
    names = kit.alert_names()
    check(len(names) == len(set(names)), "two alerts of one name")
    check(set(re.findall(r"(?m)^### (\w+)$", runbook)) == set(names), "README.md and alerts.yml name different alerts")
    for name, body in zip(names, re.split(r"(?m)^ *- alert: ", text)[1:]):
        for part in ("severity", "summary", "description", "action"):
            check(re.search(rf"(?m)^ +{part}: \S", body), f"{name}: no {part}")
        check(f"runbook: tools/prometheus/README.md#{name.lower()}\n" in body, f"{name}: no runbook")
        own = [test for test in tests if test.startswith(f"'{name}: ")]
        check(own, f"{name}: no test")
        for test in own:
            last = test.rpartition("expr: *firing")[2]
            check(f'alertname="{name}"' in test, f"{name}: never fires in its test")
            check(f'alertname="{name}"' not in last, f"{name}: never clears in its test")


def main():
    metrics = metrics_of(sys.argv[1])
    check(len(metrics) > 40, "--metrics-table was not understood")
    recorded = kit.recorded_names()
    board = kit.dashboard()
    texts = kit.dashboard_queries(board) + [("rules", kit.rule_text())]
    seen = {(where, selector) for where, text in texts for selector in kit.selectors(text)}
    check(len(seen) > 80, "queries were not understood")
    for where, selector in sorted(seen):
        check_selector(where, selector, metrics, recorded)
    read = [text for where, text in texts if where != "rules"] + [(kit.KIT / "alerts.yml").read_text()]
    for name in recorded:
        check(any(name in text for text in read), f"nobody reads {name}")
    check_dashboard(board)
    check_alerts(board)
    for problem in problems:
        print(problem)
    panels = len(list(kit.panels(board)))
    print(f"{len(seen)} selectors, {len(kit.alert_names())} alerts, {panels} panels: {len(problems)} problems")
    return 1 if problems else 0


sys.exit(main())
