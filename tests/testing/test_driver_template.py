"""The template of a driver fails until it is honest, and the guide's text makes it pass."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "templates" / "driver"
GUIDE = ROOT / "docs" / "write_a_driver.md"
CODE = re.compile(r"`(\w+\.py)`:\n\n```python\n(.*?)```", re.DOTALL)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A new driver, as cookiecutter makes it, with the entry points that an installation would register."""
    from cookiecutter.main import cookiecutter

    folder = Path(cookiecutter(str(TEMPLATE), no_input=True, output_dir=str(tmp_path)))
    names = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
    record = folder / "src" / f"{names['package']}-0.1.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {names['package']}\nVersion: 0.1.0\n", encoding="utf-8"
    )
    points = (folder / "pyproject.toml").read_text(encoding="utf-8")
    found = re.findall(r'\[project\.entry-points\."([\w.]+)"\]\n(\w+) = "(.*)"', points)
    assert len(found) == 2
    (record / "entry_points.txt").write_text(
        "\n".join(f"[{group}]\n{name} = {place}" for group, name, place in found), encoding="utf-8"
    )
    return folder


def suite(package: Path) -> tuple[int, str]:
    """The package's own tests, run as its author runs them."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=line", "tests"],
        cwd=package,
        env=dict(os.environ, PYTHONPATH=str(package / "src")),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_fresh_driver_fails_every_test_that_says_something_about_it(package: Path) -> None:
    code, said = suite(package)
    assert code == 1
    assert "test_the_card_says_what_is_known" in said
    assert "passed" not in said.splitlines()[-1] or int(re.findall(r"(\d+) passed", said)[0]) == 0


def test_the_guide_makes_it_pass(package: Path) -> None:
    source = package / "src" / "bellwire_acme"
    parts = CODE.findall(GUIDE.read_text(encoding="utf-8"))
    assert [name for name, _ in parts] == ["card.py", "driver.py", "emulator.py"]
    for name, text in parts:
        (source / name).write_text(text, encoding="utf-8")
    code, said = suite(package)
    assert code == 0, said


def test_a_driver_that_believes_anything_is_caught(package: Path) -> None:
    """The guide's driver without its strictness: some fault becomes a value."""
    source = package / "src" / "bellwire_acme"
    for name, text in CODE.findall(GUIDE.read_text(encoding="utf-8")):
        (source / name).write_text(text, encoding="utf-8")
    strict = (source / "driver.py").read_text(encoding="utf-8")
    careless = re.sub(r'        if unit != "dB".*?\n            raise .*?\n', "", strict)
    assert careless != strict
    (source / "driver.py").write_text(careless, encoding="utf-8")
    code, said = suite(package)
    assert code == 1
    assert "never_a_value" in said
