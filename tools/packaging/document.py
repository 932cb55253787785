#!/usr/bin/env python3
"""document.py ROOT FOLDER FILE PLACE SOURCE=PLACE...: prints a file of the repository as it is
installed. Documents are installed in FOLDER, where each SOURCE has its PLACE.

In a document, a link to one of those leads there. A man page is named as one names it. Of what is not installed
only the words are left, with where it is in the sources. Elsewhere the name of a document is
replaced by where it is installed.
"""

import posixpath
import re
import sys
from pathlib import PurePosixPath

NOTE = "\nWhat has a path here and is not in this folder is in the sources.\n"


def man_page(source):
    found = re.fullmatch(r"tools/packaging/man/([\w.-]+)\.(\d)\.md", source)
    return f"{found[1]}({found[2]})" if found else None


def link(image, words, target, folder, place, places):
    if "://" in target or target.startswith("#"):
        return f"{image}[{words}]({target})"
    name, _, anchor = target.partition("#")
    source = posixpath.normpath(posixpath.join(folder, name))
    if source in places:
        to = posixpath.relpath(places[source], posixpath.dirname(place) or ".")
        return f"{image}[{words}]({to}{'#' + anchor if anchor else ''})"
    where = man_page(source) or source
    return words if where in words or where.removesuffix("/README.md") == words else f"{words} ({where})"


def main():
    root, documents, file, place, *pairs = sys.argv[1:]
    places = dict(pair.split("=", 1) for pair in pairs)
    source = PurePosixPath(posixpath.relpath(file, root))
    with open(file, encoding="utf-8") as opened:
        text = opened.read()
    if source.suffix == ".md":
        text = re.sub(
            r"(!?)\[([^\]]+)\]\(([^)\s]+)\)",
            lambda found: link(*found.groups(), str(source.parent), place, places),
            text,
        )
        text += NOTE
    else:
        for name in filter(lambda name: name.count("/") and name.endswith(".md"), places):
            text = text.replace(name, f"{documents}/{places[name]}")
    sys.stdout.write(text)


main()
