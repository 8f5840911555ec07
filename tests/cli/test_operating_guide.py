"""What docs/operating.md tells operators to call exists, and its table of exit codes is the program's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bellwire.cli.exits import INTERRUPTED, UNSUCCESSFUL, WRONG_INPUT
from bellwire.cli.main import app
from bellwire.runtime.agent import EXIT_MISUSE, EXIT_STORE

TEXT = (Path(__file__).parents[2] / "docs" / "operating.md").read_text(encoding="utf-8")
COMMANDS = sorted(
    {
        tuple(found.split())
        for found in re.findall(r"\bbellwire ((?:config |keys )?[a-z]+)\b", TEXT)
        if found.split()[0] not in ("bellwire", "is")
    }
)


def test_the_guide_names_the_commands_of_operators() -> None:
    named = {" ".join(one) for one in COMMANDS}
    assert {"doctor", "backup", "restore", "restart", "status", "units", "config apply"} <= named


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_of_the_guide_exists(words: tuple[str, ...]) -> None:
    assert CliRunner().invoke(app, [*words, "--help"]).exit_code == 0


def test_the_options_of_the_guide_are_those_of_its_commands() -> None:
    known = "".join(CliRunner().invoke(app, [*words, "--help"]).output for words in COMMANDS)
    ours = re.sub(r"^    sudo .*$", "", TEXT, flags=re.MULTILINE)
    named = set(re.findall(r"--[a-z][a-z-]+", ours))
    assert {name for name in named if name not in known} == set()


def test_exit_codes_are_the_programs() -> None:
    codes = {
        int(code) for row in re.findall(r"^\| ([\d, ]+) \|", TEXT, re.MULTILINE) for code in row.split(",")
    }
    assert codes == {0, UNSUCCESSFUL, WRONG_INPUT, EXIT_MISUSE, EXIT_STORE, INTERRUPTED}
