"""A lab that is played by a child process: it comes up, plays nothing that is real, and always ends."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from bellwire.api import ConfigError, DeviceFault, emulated_lab, open_lab, reach
from tests.api.small_lab import LAB, PLATE, TurnPlate

PATIENCE_S = 60.0

SCRIPT = """
import os, signal, sys
import psutil
from bellwire.api import emulated_lab

lab = emulated_lab(sys.argv[1], bring_up=False, quiet=True)
(child,) = [one for one in psutil.Process().children(recursive=True) if "emulate" in one.cmdline()]
print(child.pid, flush=True)
if sys.argv[2] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "small.yaml"
    made.write_text(LAB, encoding="utf-8")
    return made


def test_an_emulated_lab_is_brought_up_measured_and_keeps_records_where_it_is_told_to(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(psutil.Process().children())  # another test's worker of joblib stays for the next one
    with emulated_lab(path, state=tmp_path / "state", quiet=True) as lab:
        assert lab["pump"].read("emission") is True
        assert lab["oven"].read("temperature_max_c") == 90.0
        assert lab.link().run(TurnPlate()).passed
        folder = lab.state
    assert folder == (tmp_path / "state").absolute()
    monkeypatch.setattr(reach, "CONNECT_S", 0.1)
    with open_lab(path, state=folder, direct=True, only=["bob-plate"]) as lab:  # nothing answers any more
        assert lab.link().calibrations()["turn_plate"].passed
        with pytest.raises(DeviceFault, match="bob-plate: not connected"):
            lab["bob-plate"].read(PLATE)
    assert set(psutil.Process().children()) <= before


@pytest.mark.parametrize("end", ["killed", "ended"])
def test_the_emulation_ends_with_the_script_that_began_it_however_that_ends(path: Path, end: str) -> None:
    with tempfile.TemporaryDirectory(prefix="bw") as place:  # sockets may have paths of some 100 letters
        _ends_with_its_script(path, Path(place), end)


def _ends_with_its_script(path: Path, tmp_path: Path, end: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path), end],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == (0 if end == "ended" else -9), done.stderr
    child = int(done.stdout)
    if psutil.pid_exists(child):
        assert end == "killed"
        psutil.Process(child).wait(PATIENCE_S)
    left = list(tmp_path.glob("bellwire-*"))
    assert (left == []) is (end == "ended")  # a killed script cannot remove its folder


def test_a_real_instrument_is_never_played(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('address: "pty:bob-plate", emulated: true', "address: /dev/ttyUSB0"))
    with pytest.raises(ConfigError, match="bob-plate are real instruments: use open_lab"):
        emulated_lab(path)


def test_a_lab_file_that_is_wrong_is_said_to_be_so_before_anything_starts(path: Path) -> None:
    path.write_text(LAB.replace("thorlabs_mpc320", "thorlabs_mpc321"), encoding="utf-8")
    with pytest.raises(ConfigError, match="thorlabs_mpc321"):
        emulated_lab(path)
