"""Fenced blocks of the documentation: what each is, and who runs it.

Owns reading: a block is run here, checked here, run by a named test, or not run for a stated reason. Refuses
a block of commands or code about which nothing is said.

A comment on the line before a fence says what differs from "run, in order, in the folder of the page":

    <!-- file: NAME -->          written to NAME; nothing else for yaml, imported later for python
    <!-- slow -->                run by `make proofs`: it needs a live lab
    <!-- not run: REASON -->     cannot be run by a test
    <!-- run by: TESTS -->       another test runs or checks it: file::name
    <!-- part of: LAB -->        YAML merged into that lab of lab_configs, which must then be good

`<!-- page run by: TESTS -->` says it for all blocks of a page.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
DOCS: Final = ROOT / "docs"
COMMANDS: Final = frozenset({"console", "bash", "sh"})
CODE: Final = COMMANDS | {"python", "yaml"}
MARKS: Final = ("file", "slow", "not run", "run by", "part of")
_BLOCK = re.compile(
    r"(?:^ *<!-- (?P<mark>[a-z ]+?)(?:: (?P<value>[^\n]*?))? -->\n(?:\n)?)?"
    r"^(?P<indent> *)```(?P<language>\w*)\n(?P<body>.*?)^(?P=indent)```$",
    re.M | re.S,
)


@dataclass(frozen=True)
class Block:
    """One fenced block. mark: what its comment says, "" where it has none."""

    page: str
    line: int
    language: str
    body: str
    mark: str
    value: str

    @property
    def where(self) -> str:
        return f"docs/{self.page}:{self.line}"

    @property
    def has_commands(self) -> bool:
        """Commands, also where the fence names no language."""
        typed = re.search(r"^\s*(\$ |bellwire |pytest |pip |curl )", self.body, re.M) is not None
        return self.language in COMMANDS or (self.language in ("", "text") and typed)

    @property
    def must_be_accounted_for(self) -> bool:
        return self.has_commands or self.language in CODE

    @property
    def script(self) -> str:
        """What a shell runs. Of a console, the lines after `$ ` and their continuations."""
        if self.language in ("bash", "sh"):
            return self.body
        lines: list[str] = []
        goes_on = False
        for line in self.body.splitlines():
            if line.startswith("$ ") or goes_on:
                lines.append(line.removeprefix("$ "))
                goes_on = line.endswith("\\")
        return "\n".join(lines) + "\n"


def pages() -> list[str]:
    """Pages with text of people; decisions and reports show commands of their time and are not run."""
    return sorted(path.name for path in DOCS.glob("*.md"))


@lru_cache
def blocks_of(page: str) -> tuple[Block, ...]:
    """The blocks of a page, in order."""
    text = (DOCS / page).read_text(encoding="utf-8")
    whole = re.search(r"<!-- page run by: (.*?) -->", text)
    found = []
    for match in _BLOCK.finditer(text):
        mark, value = match["mark"] or "", match["value"] or ""
        if not mark and whole:
            mark, value = "run by", whole[1]
        line = text.count("\n", 0, match.start("indent")) + 1
        found.append(Block(page, line, match["language"], match["body"], mark, value))
    return tuple(found)


def all_blocks() -> list[Block]:
    return [block for page in pages() for block in blocks_of(page)]


def runs_here(block: Block) -> bool:
    """Run or written by the harness, quick or slow."""
    return block.must_be_accounted_for and block.mark in ("", "file", "slow")


def runnable_pages(*, slow: bool) -> list[str]:
    """Pages with something to run. slow: those with a block that needs a live lab."""
    wanted = []
    for page in pages():
        mine = [block for block in blocks_of(page) if runs_here(block)]
        if mine and any(block.mark == "slow" for block in mine) == slow:
            wanted.append(page)
    return wanted
