#!/usr/bin/env python3
"""Makes one C++ header of the status page: page.html with style.css and script.js
put in, cut at the places where the daemon puts its data, and the fields it is sent
with. The Content-Security-Policy names style and script by their hashes, so that
nothing else can run, whatever text may find its way into the page."""
import base64
import hashlib
import pathlib
import sys

folder, output = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
page = (folder / "page.html").read_text(encoding="utf-8")
style = (folder / "style.css").read_text(encoding="utf-8")
script = (folder / "script.js").read_text(encoding="utf-8")


def once(text, marker):
    if text.count(marker) != 1:
        sys.exit(f"page.html: {marker} must be there once")
    return text.split(marker)


def source(text):
    if "</script" in text or "</style" in text or ')~~~"' in text:
        sys.exit("style.css, script.js: would end their element or the header's string")
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


policy = "; ".join([
    "default-src 'none'",
    "style-src " + source(style),
    "script-src " + source(script),
    "connect-src 'self'",
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
])
fields = (f"Content-Security-Policy: {policy}\r\nX-Content-Type-Options: nosniff\r\n"
          "Referrer-Policy: no-referrer\r\n")

page = style.join(once(page, "/*STYLE*/"))
page = script.join(once(page, "/*SCRIPT*/"))
head, rest = once(page, "<!--TABLES-->")
middle, tail = once(rest, "/*DATA*/")


def constant(name, text):
    return f'inline constexpr std::string_view {name} = R"~~~({text})~~~";\n'


output.write_text(
    "// Made by embed.py.\n#pragma once\n\n#include <string_view>\n\n"
    "namespace holdfast::status {\n\n"
    + constant("kPageHead", head)
    + constant("kPageMiddle", middle)
    + constant("kPageTail", tail)
    + "inline constexpr std::string_view kPageFields =\n    "
    + "\n    ".join('"' + line + '\\r\\n"' for line in fields.split("\r\n")[:-1])
    + ";\n\n}  // namespace holdfast::status\n",
    encoding="utf-8")
