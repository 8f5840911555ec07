"""What docs/links.md shows is what the commands print, and its words are those of the code.

Owns the test of the guide to links. Outputs of live labs (marked `text`) vary and are not compared.
"""

import re
import shlex
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

from bellwire.cli.main import app
from bellwire.core.link_words import LinkErrorCode
from bellwire.link_layer.schedulers.table import SCHEDULERS
from tests.cli.test_planning_guide import fenced

TEXT = (Path(__file__).parents[2] / "docs" / "links.md").read_text(encoding="utf-8")
SHOWN = [block for block in fenced(TEXT, "") if block.startswith("$ ")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the lab of the guide, in which its commands run."""
    (tmp_path / "town.yaml").write_text(fenced(TEXT, "yaml")[0], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_guide_shows_outputs() -> None:
    assert len(SHOWN) >= 3


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("shown", SHOWN, ids=[block.splitlines()[0] for block in SHOWN])
def test_a_command_of_the_guide_prints_what_the_guide_shows(shown: str) -> None:
    command, *expected = shown.splitlines()
    result = CliRunner().invoke(app, shlex.split(command.removeprefix("$ bellwire ")))
    assert result.output.splitlines() == expected


@pytest.mark.usefixtures("folder")
def test_the_lab_of_the_guide_is_good() -> None:
    result = CliRunner().invoke(app, ["check", "town.yaml"])
    assert result.exit_code == 0, result.output


def test_the_guide_names_every_error_code_and_every_scheduler() -> None:
    named = set(re.findall(r"^\| ([A-Z]+) \|", TEXT, re.MULTILINE))
    assert named == set(get_args(LinkErrorCode))
    assert [name for name in SCHEDULERS if f"`{name}`" not in TEXT] == []


def test_every_option_that_the_guide_names_is_one_of_its_commands() -> None:
    named = set(re.findall(r"--[a-z][a-z-]*", TEXT))
    known = "".join(CliRunner().invoke(app, [command, "--help"]).output for command in ("create", "links"))
    assert {name for name in named if name not in known} == set()
