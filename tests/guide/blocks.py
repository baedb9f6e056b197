"""The code in documents: fenced blocks, and the lines of commands in them."""

import glob
from dataclasses import dataclass


@dataclass
class Block:
    """A fenced block: the word behind its fence, its text, and where it is."""
    language: str
    text: str
    line: int


def documents():
    guides = sorted(glob.glob("docs/guide/*.md"))
    return ["README.md", "README.zh-CN.md", *guides, "docs/scaling.md"]


def blocks(document):
    found, inside = [], None
    with open(document) as file:
        for number, line in enumerate(file, 1):
            if line.startswith("```"):
                if inside is None:
                    inside = Block(line[3:].strip(), "", number)
                else:
                    found.append(inside)
                    inside = None
            elif inside is not None:
                inside.text += line
            elif line.startswith("    ") and not line.lstrip().startswith(("-", "*")):
                raise SystemExit(f"{document}:{number}: code needs a fence, so that it is run")
    return found


def commands(text):
    """The commands of a block: its lines, those that end in a backslash joined with the next."""
    return [line.strip() for line in text.replace("\\\n", " ").split("\n") if line.strip()]
