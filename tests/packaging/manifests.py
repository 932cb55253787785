#!/usr/bin/env python3
"""manifests.py ROOT HOLDFAST: what tools/packaging/container says to Kubernetes, Compose and in the image
is what the daemon understands: variables and their values, port, paths, and how long a stop takes."""

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import yaml

root, holdfast = Path(sys.argv[1]), sys.argv[2]
folder = root / "tools/packaging/container"
failed = []


def check(holds, what):
    if not holds:
        print("FAILED:", what)
        failed.append(what)


def load(name):
    return list(yaml.safe_load_all((folder / name).read_text()))


def image():
    spec = importlib.util.spec_from_file_location("image", folder / "image.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def in_force(variables):
    """As --print-config has them."""
    said = subprocess.run(
        [holdfast, "--print-config"], env=variables, capture_output=True, text=True, timeout=60, check=False
    )
    check(said.returncode == 0, f"{variables}: {said.stderr.strip()}")
    check("warning" not in said.stdout, f"{variables}: {said.stdout}")
    return dict(re.findall(r"(?m)^#? ?(\w+) = (\S+)", said.stdout))


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h)", text.strip('"')).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit]


def check_variables(variables, token_file, place):
    """Returns the settings that they make, on top of the image's."""
    rows = subprocess.run([holdfast, "--settings-table"], capture_output=True, text=True, check=True).stdout
    known = set(re.findall(r"(?m)^\| `(\w+)`", rows))
    check(len(known) > 30, "few settings are known")
    for name in variables:
        check(name in known, f"{place}: {name} is no setting")
    return in_force({**variables, **({"API_TOKEN_FILE": token_file} if "API_TOKEN_FILE" in variables else {})})


def check_kubernetes(image_variables, state, user, version, token_file):
    service, workload = load("kubernetes.yaml")
    pod = workload["spec"]["template"]
    spec, (container,) = pod["spec"], pod["spec"]["containers"]
    variables = {entry["name"]: entry["value"] for entry in container["env"]}
    settings = check_variables({**image_variables, **variables}, token_file, "kubernetes.yaml")
    (port,) = container["ports"]
    check(container["image"] == f"holdfast:{version}", "kubernetes.yaml: the image's version")
    check(str(port["containerPort"]) == settings["port"], "kubernetes.yaml: containerPort")
    check(service["spec"]["ports"][0]["targetPort"] == port["name"], "kubernetes.yaml: the service's port")
    check(service["spec"]["selector"].items() <= pod["metadata"]["labels"].items(), "kubernetes.yaml: labels")
    check(workload["spec"]["selector"]["matchLabels"] == service["spec"]["selector"], "kubernetes.yaml: selectors")
    notes = pod["metadata"]["annotations"]
    check(notes["prometheus.io/port"] == settings["port"], "kubernetes.yaml: where Prometheus asks")
    probes = [container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
    for probe in probes:
        check(probe["port"] == port["name"], "kubernetes.yaml: a probe's port")
    check([probe["path"] for probe in probes] == ["/livez", "/livez", "/readyz"], "kubernetes.yaml: the probes' paths")
    # Of the manual: a stop takes REQUEST_DEADLINE and 13 s at most.
    stop = seconds(settings["request_deadline"]) + 13 + container["lifecycle"]["preStop"]["sleep"]["seconds"]
    check(spec["terminationGracePeriodSeconds"] > stop, f"kubernetes.yaml: a stop may take {stop} s")
    secured = spec["securityContext"]
    check(secured["runAsNonRoot"] is True and f"{secured['runAsUser']}:{secured['runAsGroup']}" == user,
          "kubernetes.yaml: the user is the image's")
    check(secured["fsGroup"] == secured["runAsGroup"], "kubernetes.yaml: the volume's group")
    check(container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}
    }, "kubernetes.yaml: the container's rights")
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    check(mounts["state"] == state, "kubernetes.yaml: the volume's place")
    check(variables["API_TOKEN_FILE"].startswith(mounts["secret"] + "/"), "kubernetes.yaml: the token's place")
    made = {claim["metadata"]["name"] for claim in workload["spec"]["volumeClaimTemplates"]}
    check(set(mounts) == made | {volume["name"] for volume in spec["volumes"]}, "kubernetes.yaml: volumes")
    memory = re.fullmatch(r"(\d+)Mi", container["resources"]["limits"]["memory"])
    check(int(memory[1]) // 4 >= 64, "kubernetes.yaml: memory for MEMORY_LIMIT's default")
    return [probe["path"] for probe in probes] + [notes["prometheus.io/path"]]


def check_compose(image_variables, state, version, token_file):
    (compose,) = load("compose.yaml")
    service = compose["services"]["holdfast"]
    settings = check_variables({**image_variables, **service["environment"]}, token_file, "compose.yaml")
    check(service["image"] == f"holdfast:{version}", "compose.yaml: the image's version")
    check(service["ports"] == [f"127.0.0.1:3000:{settings['port']}"], "compose.yaml: ports")
    check(service["volumes"] == [f"state:{state}"] and "state" in compose["volumes"], "compose.yaml: the volume")
    check(set(service["secrets"]) == set(compose["secrets"]), "compose.yaml: secrets")
    check(service["environment"]["API_TOKEN_FILE"] == f"/run/secrets/{service['secrets'][0]}", "compose.yaml: the token")
    check(service["read_only"] is True and service["cap_drop"] == ["ALL"], "compose.yaml: the container's rights")
    check(seconds(service["stop_grace_period"]) > seconds(settings["request_deadline"]) + 13, "compose.yaml: a stop")


def check_paths(paths):
    """Of a daemon that has nothing to do."""
    daemon = subprocess.Popen(
        [holdfast, "--port", "0", "--bind", "127.0.0.1", "--store-path", "off", "--admin-socket", "off"],
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )
    try:
        port = None
        for line in daemon.stderr:
            found = re.search(r'"event":"listening".*"port":(\d+)', line)
            if found:
                port = found[1]
                break
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for path in sorted(set(paths)):
            with opener.open(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
                check(answer.status == 200, f"{path} is {answer.status}")
    finally:
        daemon.terminate()
        daemon.communicate()


def main():
    version = re.search(r"(?m)^  version: '(.*)',", (root / "meson.build").read_text())[1]
    made = image()
    with tempfile.TemporaryDirectory() as name:
        token_file = os.path.join(name, "token")
        Path(token_file).write_text("a-token\n")
        check_variables({key: value for key, value in made.ENVIRONMENT.items() if key != "PATH"}, token_file, "image.py")
        variables = {key: value for key, value in made.ENVIRONMENT.items() if key != "PATH"}
        paths = check_kubernetes(variables, made.STATE, made.USER, version, token_file)
        check_compose(variables, made.STATE, version, token_file)
    check_paths(paths)
    sys.exit(1 if failed else 0)


main()
