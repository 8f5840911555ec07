"""A line of four nodes as a file, and the command that plans on it, for tests of `bellwire plan`."""

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from bellwire.cli.main import app

LINE = """\
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
  <key id="l" for="edge" attr.name="length_km" attr.type="double"/>
  <graph edgedefault="undirected">
    <node id="A"/><node id="B"/><node id="C"/><node id="D"/>
    <edge source="A" target="B"><data key="l">10</data></edge>
    <edge source="B" target="C"><data key="l">10</data></edge>
    <edge source="C" target="D"><data key="l">10</data></edge>
  </graph>
</graphml>
"""
"""Three links of 10 km: all that an edge needs is its length."""

BATCH = """\
- {id: long, from: A, to: D, rate_hz: 2, priority: 2}
- {id: short, from: B, to: C, rate_hz: 20}
"""

PAIR = ("--from", "A", "--to", "D")


def bellwire(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["plan", *(str(argument) for argument in arguments)])


def line_file(folder: Path) -> Path:
    path = folder / "line.graphml"
    path.write_text(LINE, encoding="utf-8")
    return path


def batch(folder: Path, text: str) -> Path:
    path = folder / "batch.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def document(result: Result) -> Any:
    """The one JSON document of a good run."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert len(result.stdout.splitlines()) == 1
    return json.loads(result.stdout, parse_constant=refuse)


def refusal(result: Result) -> str:
    """The one line of a refused run."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return str(line)
