"""What docs/planning.md shows is what the commands print.

Owns the test of the guide: its files are written, its commands run, and their first lines compared.
"""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bellwire.cli.main import app

GUIDE = Path(__file__).parents[2] / "docs" / "planning.md"


def fenced(text: str, kind: str) -> list[str]:
    """Fenced blocks of a language, in order."""
    found: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)
    return [body for language, body in found if language == kind]


def blocks(kind: str) -> list[str]:
    """Fenced blocks of the guide."""
    return fenced(GUIDE.read_text(encoding="utf-8"), kind)


SHOWN = [block for block in blocks("") if block.startswith("$ ")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files of the guide, in which its commands run."""
    (tmp_path / "town.graphml").write_text(blocks("xml")[0], encoding="utf-8")
    (tmp_path / "night.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
    vertices = "{vertices: {a: alice, b: bob, c: carol}, edges: [[a, b], [b, c], [c, a]]}"
    late = "[{id: test, from: hub, to: alice, rate_hz: 3}]"
    pairs = "[[alice, bob], [bob, carol], [alice, hub]]"
    text = GUIDE.read_text(encoding="utf-8")
    assert vertices in text
    assert pairs in text
    assert late in text
    (tmp_path / "late.yaml").write_text(late, encoding="utf-8")
    (tmp_path / "ring.yaml").write_text(vertices, encoding="utf-8")
    (tmp_path / "circuit.yaml").write_text(pairs, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_guide_shows_outputs() -> None:
    assert len(SHOWN) >= 5


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("shown", SHOWN, ids=[block.splitlines()[0] for block in SHOWN])
def test_a_command_of_the_guide_prints_what_the_guide_shows(shown: str) -> None:
    command, *expected = shown.splitlines()
    result = CliRunner().invoke(app, shlex.split(command.removeprefix("$ bellwire ")))
    assert result.output.splitlines()[: len(expected)] == expected


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "command", re.findall(r"^\| `bellwire (plan [^`]*)`", GUIDE.read_text("utf-8"), re.M)
)
def test_commands_in_tables_of_the_guide_work(command: str) -> None:
    result = CliRunner().invoke(app, shlex.split(command))
    assert result.exit_code == 0, result.output
