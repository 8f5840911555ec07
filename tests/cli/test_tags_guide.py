"""What docs/time_tags.md shows is what the commands print; its formats and options are those of the code."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bellwire.drivers.tag_files.formats import FORMATS
from tests.cli.tagging import root, run
from tests.cli.test_planning_guide import fenced

TEXT = (Path(__file__).parents[2] / "docs" / "time_tags.md").read_text(encoding="utf-8")
COMMANDS = ("convert", "info", "count", "coincidences", "correlate", "clock")
PER_TAG = re.compile(r"[\d.]+ bytes per tag")
"""What a compression makes of tags depends on the version of the library."""


def test_the_commands_of_the_guide_print_what_the_guide_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(fenced(TEXT, "python")[0], "docs/time_tags.md", "exec"), {})
    shown = [
        part for block in fenced(TEXT, "console") for part in re.split(r"^\$ ", block, flags=re.MULTILINE)
    ]
    seen = set()
    for command, *expected in (part.splitlines() for part in shown if part):
        result = CliRunner().invoke(root, shlex.split(command.removeprefix("bellwire ")))
        assert PER_TAG.sub("", result.output).splitlines() == [PER_TAG.sub("", line) for line in expected]
        seen.add(command.split()[2])
    assert seen == set(COMMANDS)


def test_the_guide_names_every_format_and_who_can_be_written() -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| yes \| (yes|no)", TEXT, re.MULTILINE)
    assert {name: writes == "yes" for name, writes in rows} == {
        name: one.encoder is not None for name, one in FORMATS.items()
    }


def test_every_option_that_the_guide_names_is_one_of_the_commands() -> None:
    named = set(re.findall(r"--[a-z][a-z-]*", TEXT))
    known = "".join(run(command, "--help").output for command in COMMANDS)
    assert {name for name in named if name not in known} == set()
