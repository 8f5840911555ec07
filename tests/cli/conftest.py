"""A small lab on ports of its own, and the same lab up and running."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bellwire.labs.free_ports import on_free_ports
from tests.cli.processes import PROGRAM

LABS = Path(__file__).parents[2] / "lab_configs"


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """The two-node lab on ports of its own, three pairs asked for."""
    text = (LABS / "two_node_link.yaml").read_text(encoding="utf-8").replace("count: 50", "count: 3")
    path = tmp_path / "lab.yaml"
    path.write_text(on_free_ports(text), encoding="utf-8")
    return path


@pytest.fixture
def running(lab: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`bellwire up` in the background, up and recording."""
    arguments = ["up", str(lab), "--state", str(tmp_path / "state"), "--no-submit", "--json"]
    with (tmp_path / "up.err").open("wb") as errors:
        process = subprocess.Popen([*PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        deadline = time.monotonic() + 60
        while b"is up, recording to" not in (said := (tmp_path / "up.err").read_bytes()):
            assert process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.05)
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=30)
