"""What the documentation tells people to type works, in the order of each page, from an empty folder.

Owns the running of blocks (blocks.py reads them). A quick page runs whole in `make test`; of a page with live
parts its quick blocks run in `make test`, and all of them in `make proofs`.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from bellwire.labs.load import load_lab
from tests.docs.blocks import (
    CODE,
    MARKS,
    ROOT,
    Block,
    all_blocks,
    blocks_of,
    pages,
    runnable_pages,
    runs_here,
)

QUICK_S = 120
SLOW_S = 900
NOT_RUN_MOST = 20
"""Blocks that no test runs, in all pages; whoever needs more finds a way to run some."""


def played(page: str, folder: Path, *, slow: bool) -> subprocess.CompletedProcess[str]:
    """Run the blocks of a page as one shell would; everything that they started is ended with it."""
    place = folder / "bin"
    place.mkdir()
    for name, words in (("bellwire", "-m bellwire"), ("python", ""), ("pytest", "-m pytest")):
        shim = place / name
        shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n', encoding="utf-8")
        shim.chmod(0o755)
    work = folder / "work"
    work.mkdir()
    script = ["set -eu"]
    for block in blocks_of(page):
        if not runs_here(block) or (block.mark == "slow" and not slow):
            continue
        script.append(f"echo '=== {block.where}'")
        if block.mark == "file":
            script.append(_heredoc(block.body, f"cat > '{block.value}'"))
        elif block.language == "python":
            script.append(_heredoc(block.body, "python -"))
        elif block.language == "yaml":
            yaml.safe_load(block.body)
        else:
            script.append(block.script)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BELLWIRE_")}
    environment |= {"PATH": f"{place}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    environment |= {"MPLBACKEND": "Agg", "TMPDIR": str(folder), "COLUMNS": "160"}
    with (folder / "said.txt").open("w+", encoding="utf-8") as said:
        shell = subprocess.Popen(
            ["bash", "-c", "\n".join(script)],
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = shell.wait(timeout=SLOW_S if slow else QUICK_S)
        finally:
            _end_all(shell.pid)
        said.seek(0)
        return subprocess.CompletedProcess(page, code, said.read())


def _heredoc(body: str, command: str) -> str:
    end = "END_OF_BLOCK"
    assert end not in body
    return f"{command} <<'{end}'\n{body}{end}"


def _end_all(group: int) -> None:
    """Labs that a page started in the background stop as by Ctrl-C."""
    for sign in (signal.SIGINT, signal.SIGTERM):
        try:
            os.killpg(group, sign)
        except ProcessLookupError:
            return


def told(done: subprocess.CompletedProcess[str]) -> str:
    return f"{done.args} ended with {done.returncode}:\n{done.stdout[-4000:]}"


@pytest.mark.parametrize("page", [*runnable_pages(slow=False), *runnable_pages(slow=True)])
def test_the_quick_blocks_of_a_page_work_in_their_order(page: str, tmp_path: Path) -> None:
    if not any(runs_here(block) and block.mark != "slow" for block in blocks_of(page)):
        return  # all of it is live; nothing is left out, the slow test runs the whole page
    done = played(page, tmp_path, slow=False)
    assert done.returncode == 0, told(done)


@pytest.mark.slow
@pytest.mark.parametrize("page", runnable_pages(slow=True))
def test_a_page_with_live_parts_works_from_its_first_block_to_its_last(page: str, tmp_path: Path) -> None:
    done = played(page, tmp_path, slow=True)
    assert done.returncode == 0, told(done)


@pytest.mark.parametrize(
    "block", [one for one in all_blocks() if one.mark == "part of"], ids=lambda one: one.where
)
def test_a_piece_of_a_lab_file_makes_a_good_lab_with_the_lab_that_it_is_part_of(
    block: Block, tmp_path: Path
) -> None:
    whole = yaml.safe_load((ROOT / "lab_configs" / f"{block.value}.yaml").read_text(encoding="utf-8"))
    _merge(whole, yaml.safe_load(block.body))
    (tmp_path / "tunings").symlink_to(ROOT / "lab_configs" / "tunings")
    (tmp_path / "lab.yaml").write_text(yaml.safe_dump(whole), encoding="utf-8")
    load_lab(tmp_path / "lab.yaml")


def _merge(whole: dict[str, Any], piece: dict[str, Any]) -> None:
    for key, value in piece.items():
        if isinstance(value, dict) and isinstance(whole.get(key), dict):
            _merge(whole[key], value)
        else:
            whole[key] = value


def test_every_block_of_commands_or_code_is_run_checked_or_excused() -> None:
    silent = [
        block.where
        for block in all_blocks()
        if block.must_be_accounted_for and not block.mark and block.language not in CODE
    ]
    assert silent == [], "name the language of the fence, or say who runs it"
    unknown = [(block.where, block.mark) for block in all_blocks() if block.mark and block.mark not in MARKS]
    assert unknown == []


def test_blocks_that_nobody_runs_are_listed_and_say_why(
    record_property: Callable[[str, object], None],
) -> None:
    excused = {block.where: block.value for block in all_blocks() if block.mark == "not run"}
    record_property("documentation_blocks_not_run", excused)  # stands in the report of the tests
    assert [where for where, reason in excused.items() if len(reason.split()) < 3] == []
    assert len(excused) <= NOT_RUN_MOST, "\n".join(f"{where}: {reason}" for where, reason in excused.items())


@pytest.mark.parametrize("place", sorted({one.value for one in all_blocks() if one.mark == "run by"}))
def test_the_test_that_runs_a_block_exists(place: str) -> None:
    file, _, name = place.partition("::")
    assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.M), place


def test_a_wrong_command_on_a_page_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Block("wrong.md", 3, "console", "$ bellwire chekc two_node_link\n", "", "")
    monkeypatch.setitem(globals(), "blocks_of", lambda page: (wrong,))
    done = played("wrong.md", tmp_path, slow=False)
    assert done.returncode == 2
    assert "=== docs/wrong.md:3" in done.stdout


def test_every_page_is_read() -> None:
    assert len(pages()) >= 25
    assert sum(len(blocks_of(page)) for page in pages()) >= 70
