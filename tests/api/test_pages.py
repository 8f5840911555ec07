"""The pages about calibration and Python say what there is: procedures, names, settings, and whole code."""

from __future__ import annotations

import ast
import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

import bellwire.api
from bellwire.api import Device, Lab, Link
from bellwire.calibration.table import procedures

ROOT = Path(__file__).resolve().parents[2]
PYTHON = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "procedure_docs.py"), run_name="checked")


def code_of(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)


def test_the_table_of_procedures_is_not_stale(script: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "calibration.md").read_text(encoding="utf-8")
    assert page == script["page"](), "run python scripts/procedure_docs.py"
    assert "| `darks` |" in page


def test_a_page_that_was_edited_counts_as_stale(
    script: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = tmp_path / "calibration.md"
    page.write_text(script["page"]().replace("| `darks` |", "| `dorks` |"), encoding="utf-8")
    monkeypatch.setitem(script["main"].__globals__, "PAGE", page)
    monkeypatch.setattr("sys.argv", ["procedure_docs.py", "--check"])
    assert script["main"]() == 1
    assert "is stale" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["procedure_docs.py"])
    assert script["main"]() == 0
    assert "| `darks` |" in page.read_text(encoding="utf-8")


def test_a_procedure_that_nobody_has_described_is_refused(
    script: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(script["row"].__globals__["ACCEPTS"], "darks")
    with pytest.raises(SystemExit, match="what darks accepts"):
        script["row"](procedures()["darks"], {})


def test_every_code_block_of_the_python_page_is_python_and_imports_what_there_is() -> None:
    blocks = code_of(PYTHON)
    assert len(blocks) >= 4
    for block in blocks:
        tree = compile(block, "docs/python.md", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "bellwire.api":
                assert {one.name for one in node.names} <= set(bellwire.api.__all__)


def test_every_word_of_a_lab_that_the_page_names_exists() -> None:
    for noun, kind in (("lab", Lab), ("link", Link)):
        words = set(re.findall(rf"\b{noun}\.(\w+)", PYTHON))
        assert words
        assert {word for word in words if not hasattr(kind, word)} == set()
    assert all(hasattr(Device, word) for word in re.findall(r'"\]\.(\w+)\(', PYTHON))


def test_the_procedure_of_the_page_is_the_one_that_the_notebook_runs() -> None:
    book = json.loads((ROOT / "docs" / "notebooks" / "calibrate_a_link.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in book["cells"]]
    (cell,) = [one for one in cells if "class Unpolarised" in one]
    (block,) = [one for one in code_of(PYTHON) if "class Unpolarised" in one]
    assert block.strip() == cell.strip()
