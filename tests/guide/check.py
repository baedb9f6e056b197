#!/usr/bin/env python3
"""Runs every command and every configuration of the READMEs and of docs/guide, as they stand there.

    cargo build && tests/guide/check.py [--narrows target/debug/narrows] [DOCUMENT...]

Each document is followed from top to bottom on a machine of its own: a network namespace in which
`your.domain` leads to this machine, and another one that plays the Internet (world.py). What cannot
be run here has a stand-in, and all of them are in rules.py. A block or a command that no rule knows
is a failure, so that nothing is left out unnoticed.

Needs root, for namespaces, and curl, openssl, jq, nginx, haproxy, caddy, pebble, promtool and python3-yaml.
"""

import argparse
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import blocks
import rules
import world
from world import ROOT


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--narrows", default=f"{ROOT}/target/debug/narrows")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("documents", nargs="*")
    arguments = parser.parse_args()
    if not arguments.inside:
        command = ["unshare", "--net", "--mount", "--fork", "--kill-child", sys.executable]
        os.execvp("unshare", [*command, __file__, "--inside", *sys.argv[1:]])
    os.chdir(ROOT)
    narrows = os.path.abspath(arguments.narrows)
    for document in arguments.documents or blocks.documents():
        with world.World(narrows) as place:
            count = follow(document, place)
            print(f"{document}: {count} blocks", flush=True)


def follow(document, place):
    """From top to bottom."""
    found = blocks.blocks(document)
    for block in found:
        try:
            rules.run(block, place)
        except Exception as error:
            log = place.log_text()[-3000:]
            raise SystemExit(f"{document}:{block.line}: {error}\n{block.text}\n{log}") from error
    if os.path.basename(document).startswith("README"):
        try:
            rules.use_it(document, place)
        except Exception as error:
            raise SystemExit(f"{document}: the table of programs: {error}") from error
    return len(found)


if __name__ == "__main__":
    main()
