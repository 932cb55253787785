#!/usr/bin/env python3
"""documents.py ROOT HOLDFAST FLAKY_UPSTREAM: what README.md and the manual say is so.

- Links in every README lead to a file that is there, and to a heading in it.
- The README is one that leads: short, and the two commands come first.
- The table of settings is the program's, the defaults of a section's keys are those in force, and
  the commands have the verbs and actions that the program has.
- A block below <!-- toml --> is a settings file that --check-config takes.
- A block below <!-- run --> says what its commands print.
- The README's block for the service makes a settings file and a token file as they have to be.
- What curl prints, in a block where it is asked, has the fields and the content that are shown,
  and so has the line of the log.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

root, holdfast, flaky_upstream = Path(sys.argv[1]), *map(os.path.abspath, sys.argv[2:])
MANUAL = root / "tools/packaging/man"
MOST_LINES = 250
failed = []


def check(holds, what):
    if not holds:
        print("FAILED:", what)
        failed.append(what)


def shown(path):
    return path.relative_to(root)


def run(*words, **more):
    return subprocess.run([holdfast, *words], capture_output=True, text=True, timeout=60, **more)


def section_of(text, begin):
    """The lines between a comment that begins so and the next <!-- end -->."""
    return text.split("<!-- " + begin, 1)[1].split("-->\n", 1)[1].split("<!-- end -->")[0]


def blocks(text):
    """Yields each block that is indented by four, and the comment right above it, if any."""
    lines, comment, at = text.splitlines(), "", 0
    while at < len(lines):
        if lines[at].startswith("    "):
            block = []
            while at < len(lines) and (lines[at].startswith("    ") or not lines[at].strip()):
                block.append(lines[at][4:])
                at += 1
            yield comment, "\n".join(block).rstrip()
            comment = ""
            continue
        if lines[at].strip():
            comment = lines[at]
        at += 1


# ---- Links --------------------------------------------------------------------


def anchors(path):
    """As GitHub makes them of headings."""
    headings = re.findall(r"(?m)^#+ (.*)$", path.read_text())
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def documents():
    for folder, folders, files in os.walk(root):
        folders[:] = [
            name
            for name in folders
            if name not in (".git", "node_modules") and not (Path(folder, name) / "build.ninja").exists()
        ]
        yield from (Path(folder, name) for name in files if name.endswith(".md"))


def check_links():
    found = 0
    for document in documents():
        for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
            if "://" in target:
                continue
            found += 1
            name, _, anchor = target.partition("#")
            path = document.parent / name if name else document
            check(path.exists(), f"{shown(document)}: nothing is at {target}")
            if anchor and path.suffix == ".md" and path.exists():
                check(anchor in anchors(path), f"{shown(document)}: no heading is {target}")
    check(found > 20, "few links were found")


def check_readme():
    lines = (root / "README.md").read_text().splitlines()
    check(len(lines) < MOST_LINES, f"README.md has {len(lines)} lines; the manual is the place for what is long")
    commands = [line.split()[0] for line in lines if line.startswith("    ")]
    check(commands[:2] == ["tools/demo.sh", "tools/test.sh"], "README.md does not begin with its two commands")
    for command in re.findall(r"(?m)^    (?:sudo )?((?:tools|tests)/[\w/.-]+\.sh|\./[\w-]+\.sh)", "\n".join(lines)):
        check(os.access(root / command, os.X_OK), f"README.md: {command} is no program")


# ---- Tables -------------------------------------------------------------------


def check_settings():
    page = (MANUAL / "holdfast.toml.5.md").read_text()
    table = "".join(line + "\n" for line in section_of(page, "settings").splitlines() if line.startswith("|"))
    check(
        table == run("--settings-table").stdout,
        "the settings in holdfast.toml.5.md are not what `holdfast --settings-table` says",
    )


def check_defaults(folder):
    """Of keys whose default is one value, and that `explain` tells."""
    page = (MANUAL / "holdfast.toml.5.md").read_text()
    in_page = {}
    for section in ("upstream", "route"):
        for row in section_of(page, f"keys of {section}s").splitlines():
            found = re.match(r"\| `(\w+)` \| `([^`]+)` \| ", row)
            if found:
                in_page[section, found[1]] = found[2]
    in_force = {}
    for mode in ("resilient", "rfc9111"):
        file = folder / f"{mode}.toml"
        file.write_text(f'[upstream.a]\n[[route]]\nname = "a"\nmatch = "/a"\nmode = "{mode}"\n')
        section = ""
        for line in run("explain", "--config", str(file), "/a").stdout.splitlines():
            heading, key, value, is_default = re.fullmatch(r"(of \w+)? *(\S*) *(.*?)(  default)?", line).groups()
            section = heading[3:] if heading else section
            if section and is_default:
                in_force.setdefault((section, key), value.strip())
    both = in_page.keys() & in_force.keys()
    for key in both:
        check(in_page[key] == in_force[key], f"{key[1]}: {in_page[key]} in the manual, {in_force[key]} in force")
    check(len(both) >= 9, f"few defaults were compared: {sorted(both)}")


def check_words():
    page = (MANUAL / "holdfast.8.md").read_text()
    in_page = {
        name: set(re.findall(r"(?m)^\| `([\w-]+)`", text.split("\n### ")[0].split("\n## ")[0]))
        for name, text in (part.split("\n", 1) for part in re.split(r"(?m)^### holdfast ", page)[1:])
    }
    usage = run("admin", "--help").stdout
    check(in_page["admin"] == set(re.findall(r"(?m)^  ([a-z-]+)", usage)), "verbs of holdfast admin in holdfast.8.md")
    usage = run("store", "--help").stdout.split("Subcommands:")[1]
    check(in_page["store"] == set(re.findall(r"(?m)^  ([a-z]+)", usage)), "actions of holdfast store in holdfast.8.md")


# ---- Samples ------------------------------------------------------------------


def check_files(page, folder):
    """Leaves them as site.toml and the like, by the name of their first upstream."""
    text = page.read_text()
    count = 0
    for comment, block in blocks(text):
        if comment != "<!-- toml -->":
            continue
        count += 1
        (folder / "token").write_text("a-token\n")
        file = folder / (re.search(r"\[upstream\.(\w+)\]", block)[1] + ".toml")
        file.write_text(re.sub(r'(token_file *= *)"[^"]*"', rf'\1"{folder}/token"', block) + "\n")
        said = run("--config", str(file), "--check-config", cwd=folder)
        check(said.returncode == 0, f"{shown(page)}: {file.name}: {said.stderr.strip()}")
    check(count >= 1, f"{shown(page)} has no settings file")


def check_runs(page, folder):
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "LC_ALL": "C"}
    for comment, block in blocks(page.read_text()):
        if comment != "<!-- run -->":
            continue
        for part in re.split(r"(?m)^\$ ", block)[1:]:
            command, expected = part.split("\n", 1)
            said = subprocess.run(
                ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
            )
            check(
                said.stdout.strip() == expected.strip(),
                f"{shown(page)}: `{command}` says\n{said.stdout}{said.stderr}",
            )


def check_service(folder):
    """Its commands that write files, with a folder in the place of /etc."""
    block = next(block for _, block in blocks((root / "README.md").read_text()) if "holdfast.toml\n" in block)
    commands = [line for line in block.splitlines() if "/etc/holdfast/" in line or "/etc/credstore/" in line]
    check(len(commands) == 2, "README.md: the service's settings and token")
    etc = folder / "etc"
    settings = etc / "holdfast/holdfast.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(run("--print-example-config").stdout)
    # As they are pasted: the next line is there to be read.
    script = "\n".join(commands).replace("sudo ", "").replace("/etc/", f"{etc}/") + "\nexit 0\n"
    subprocess.run(["bash"], input=script, text=True, check=True, timeout=60)
    token = etc / "credstore/holdfast.api_token"
    check(token.read_text() == "THE-TOKEN\n" and token.stat().st_mode & 0o777 == 0o600, "README.md: the token's file")
    said = run("--config", str(settings), "--api-token-file", str(token), "--print-config", cwd=folder)
    check('api_url = ["https://api.example.net"]' in said.stdout, f"README.md: the service's settings: {said.stderr}")


def wait_for(process, pattern):
    """Reads what it says, line by line, until one is what is waited for."""
    said = ""
    for line in process.stdout:
        said += line
        found = re.search(pattern, line)
        if found:
            return found
    raise SystemExit(f"{process.args[0]} ended and did not say {pattern}:\n{said}")


def message(text):
    """Of what curl -i prints, status line, names of fields and content; of the content alone, that."""
    if not text.startswith("HTTP/"):
        return text.strip()
    head, _, content = text.replace("\r", "").partition("\n\n")
    first, *fields = head.splitlines()
    return first, [field.split(":")[0] for field in fields], content.strip()


def check_answers(page, folder):
    """Against a daemon of its own, before an upstream that does all right."""
    processes = []

    def start(*words):
        processes.append(
            subprocess.Popen(
                words, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        )
        return processes[-1]

    try:
        said = wait_for(
            start(flaky_upstream, "--port", "0", "--control-port", "0"), r'"port":(\d+)'
        )
        daemon = start(
            *(holdfast, "--api-url", f"http://127.0.0.1:{said[1]}", "--port", "0", "--bind", "127.0.0.1"),
            *("--store-path", "off", "--admin-socket", "off"),
        )
        port = wait_for(daemon, r'"event":"listening".*"port":(\d+)')[1]
        count = 0
        for _, block in blocks(page.read_text()):
            if block.startswith("$ curl"):
                command, expected = block[2:].split("\n", 1)
                command = command.replace("localhost:3000", f"127.0.0.1:{port}").replace("curl ", "curl --noproxy '*' ")
                said = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
                check(
                    message(said.stdout) == message(expected),
                    f"{shown(page)}: `{command}` says\n{said.stdout}{said.stderr}",
                )
                count += 1
            elif block.startswith('{"ts":'):
                line = wait_for(daemon, r'\{"ts":[^\n]*"event":"request"[^\n]*"cache":"miss"[^\n]*\}')[0]
                check(list(json.loads(block)) == list(json.loads(line)), f"{shown(page)}: the log says {line}")
                count += 1
        return count
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def main():
    pages = [root / "README.md", MANUAL / "holdfast.toml.5.md", MANUAL / "holdfast.8.md"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "holdfast").symlink_to(holdfast)
        check_links()
        check_readme()
        check_settings()
        check_defaults(folder)
        check_words()
        check_service(folder)
        for page in pages[:2]:
            check_files(page, folder)
        for page in pages:
            check_runs(page, folder)
        check(sum(check_answers(page, folder) for page in pages) >= 4, "few samples of answers were found")
    sys.exit(1 if failed else 0)


main()
