#!/usr/bin/env python3
"""page.py PAGE.md VERSION [PROGRAM]: prints a man page.

The pages are Markdown, so that they can be read in the repository too. What they use of it, and
all that is understood here: headings, paragraphs, lists, tables, blocks indented by four, and
within a line `code`, *a word to replace*, **strong** and [links](to). A table becomes a list, as
a terminal has no room for its columns. Between <!-- settings --> and <!-- end --> stands what
PROGRAM says of its settings by --settings-man.
"""

import re
import subprocess
import sys

SECTIONS = {"1": "User commands", "5": "File formats", "8": "System administration"}
INLINE = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*|\*([^*]+)\*|\[([^\]]+)\]\(([^)]+)\)")


def plain(text):
    """A hyphen that can be copied, and no escapes."""
    return text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")


def line(text):
    """A line that is no request."""
    return "\\&" + text if text.startswith((".", "'")) else text


def inline(text):
    out, at = "", 0
    for found in INLINE.finditer(text):
        out += plain(text[at : found.start()])
        at = found.end()
        code, strong, replaced, link, target = found.groups()
        if link is not None:
            out += inline(link) + (f" <{plain(target)}>" if "://" in target else "")
        elif replaced is not None:
            out += f"\\fI{plain(replaced)}\\fR"
        else:
            out += f"\\fB{plain(code or strong)}\\fR"
    return line(out + plain(text[at:]))


def cells(row):
    """Of a table: | is \\| within a cell."""
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row.strip()[1:-1])]


def table(rows):
    """The first cell is what is spoken of. Of the others each says its column's name, but for one
    without a name, "meaning", and the only other one."""
    names, out = cells(rows[0]), []
    for row in rows[2:]:
        first, *others = cells(row)
        out += [".TP", inline(first) or "\\&"]
        said = [
            inline(cell if len(others) == 1 or name in ("", "meaning") else f"{name}: {cell}")
            for name, cell in zip(names[1:], others)
            if cell
        ]
        out += [item for text in said for item in (text, ".br")][:-1]
    return out


def blocks(lines):
    """Yields (kind, lines) of each block."""
    at = 0
    while at < len(lines):
        first = lines[at]
        if not first.strip():
            at += 1
            continue
        if first.startswith("<!-- settings"):
            end = next(i for i in range(at, len(lines)) if lines[i] == "<!-- end -->")
            yield "settings", []
            at = end + 1
            continue
        if first.startswith("<!--"):
            at += 1
            continue
        kind = (
            "heading" if first.startswith("#")
            else "table" if first.startswith("|")
            else "code" if first.startswith("    ")
            else "item" if re.match(r"(-|\d+\.) ", first)
            else "paragraph"
        )
        end = at + 1
        while end < len(lines) and kind != "heading":
            following = lines[end]
            if kind == "code":
                # A blank line stays in it where more of it comes.
                if not following.strip():
                    rest = [other for other in lines[end:] if other.strip()]
                    if not rest or not rest[0].startswith("    "):
                        break
                elif not following.startswith("    "):
                    break
            elif not following.strip() or (kind == "item" and re.match(r"(-|\d+\.) ", following)):
                break
            end += 1
        yield kind, lines[at:end]
        at = end


def roff(text, version, settings):
    lines = text.splitlines()
    name, section = re.fullmatch(r"# (\S+)\((\d)\)", lines[0]).groups()
    out = [f'.TH {name.upper()} {section} "" "Holdfast {version}" "{SECTIONS[section]}"']
    for kind, block in blocks(lines[1:]):
        if kind == "heading":
            level, title = re.fullmatch(r"(#+) (.*)", block[0]).groups()
            # Of "NAME" programs read what they list the page under, so that it has no markup.
            out.append(f".SH {inline(title.upper())}" if len(level) == 2 else f".SS {inline(title)}")
        elif kind == "paragraph" and out[-1] == ".SH NAME":
            out.append(plain(" ".join(block)))
        elif kind == "paragraph":
            out += ([] if out[-1].startswith(".S") else [".PP"]) + [inline(" ".join(block))]
        elif kind == "item":
            mark = re.match(r"(-|\d+\.) +", block[0])
            sign = "\\(bu" if mark[1] == "-" else mark[1]
            out += [f".IP {sign} 3", inline(" ".join([block[0][mark.end() :]] + [part.strip() for part in block[1:]]))]
        elif kind == "code":
            out += [".PP", ".RS 4", ".nf"] + [line(plain(part[4:])) for part in block] + [".fi", ".RE"]
        elif kind == "table":
            out += table(block)
        else:
            out += settings.splitlines()
    return "\n".join(out) + "\n"


def main():
    page, version, *program = sys.argv[1:]
    settings = ""
    if program:
        settings = subprocess.run([program[0], "--settings-man"], check=True, capture_output=True, text=True).stdout
    with open(page, encoding="ascii") as file:
        sys.stdout.write(roff(file.read(), version, settings))


main()
