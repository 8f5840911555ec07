"""The example of a lab's own repository works as it stands: its tests, run as its workflow runs them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

EXAMPLE = Path(__file__).parents[2] / "examples" / "lab_repository"


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_step_of_the_workflow_passes(tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    shutil.copytree(EXAMPLE, folder)
    workflow = yaml.safe_load((folder / ".github/workflows/test.yml").read_text(encoding="utf-8"))
    steps = [step["run"] for step in workflow["jobs"]["test"]["steps"] if "run" in step]
    assert re.match("pip install bellwire", steps[0])
    for step in steps[1:]:
        command = step.split()
        if command[0] == "pytest":
            assert " passed" in run(folder, "pytest", "-q", "-p", "no:cacheprovider")
        else:
            run(folder, *command)
