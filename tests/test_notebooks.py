"""The notebooks of docs/ run from the first cell to the last, show what they promise, and leave nothing.

Each runs by nbclient in a process of its own, its kernel over sockets in a folder of the test. What is
asserted is what the text of a notebook says, not numbers that a busy machine could change.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest

NOTEBOOKS = Path(__file__).resolve().parent.parent / "docs" / "notebooks"
PATIENCE_S = 300
"""A notebook takes less than a minute; one that takes so long hangs."""
MARK = "BELLWIRE_NOTEBOOK"

formats: Any = nbformat  # it has no types


def read(path: Path) -> Any:
    """A notebook of the present format."""
    return formats.read(path, as_version=4)


RUN = """
import sys
import nbformat
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

name, out, connection = sys.argv[1:]
book = nbformat.read(name, 4)
kernel = KernelManager(kernel_name="python3", transport="ipc", connection_file=connection)
NotebookClient(book, km=kernel, timeout=240).execute()
nbformat.write(book, out)
"""


def executed(name: str) -> Any:
    """The notebook with its outputs; fails with the last words of a cell that does."""
    with tempfile.TemporaryDirectory(prefix="nb") as place:  # sockets may have paths of some 100 letters
        folder = Path(place)
        environment = os.environ | {"TMPDIR": place, MARK: place}
        done = subprocess.run(
            [sys.executable, "-c", RUN, NOTEBOOKS / f"{name}.ipynb", folder / "out.ipynb", folder / "kernel"],
            env=environment,
            cwd=place,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert marked(place) == []
        assert not list(folder.glob("bellwire-*")), "the emulated lab has left its folder behind"
        return read(folder / "out.ipynb")


def marked(place: str) -> list[str]:
    """Processes that a notebook has started, by their inherited environment, wherever they are by now."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == place:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:  # ended meanwhile, or somebody else's
            continue
    return found


def outputs(book: Any) -> list[str]:
    """Everything that cells showed or printed, as text; a picture is "PNG"."""
    found: list[str] = []
    for cell in book.cells:
        for one in cell.get("outputs", ()):
            if one.output_type == "stream":
                found.append(one.text)
            elif "image/png" in one.get("data", {}):
                found.append("PNG")
            elif "data" in one:
                found.append(one.data["text/plain"])
    return found


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_kept_without_outputs_and_are_valid(path: Path) -> None:
    book = read(path)
    formats.validate(book)
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    assert cells
    assert [cell for cell in cells if cell.outputs or cell.execution_count is not None] == []


def test_the_notebook_of_time_tags_finds_what_it_has_made() -> None:
    shown = outputs(executed("time_tags"))
    text = "\n".join(shown)
    assert shown.count("PNG") == 2
    assert "the same tags" in text
    assert "rounded to 3.90625 ps" in text
    assert "rate -20.0" in text  # parts in 10^9, as planted; the error is some 0.01


def test_the_notebook_of_a_link_calibrates_it_and_gives_its_instruments_back() -> None:
    """What clocks and errors are found to be is proven elsewhere; here every step must have been told."""
    shown = outputs(executed("calibrate_a_link"))
    text = "\n".join(shown)
    for passed in ("darks", "unpolarised"):
        assert f"{passed} of alice-bob passed" in text
    for told in ("clock", "window", "link_quality"):
        assert f"{told} of alice-bob" in text
    assert "gate opened by hand: without oven_scan" in text
    assert "0.0" in shown  # the plate that the own procedure has turned
