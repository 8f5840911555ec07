"""The import floors hold in the tree, and the contracts notice each kind of trespass when it is planted."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = [
    "core",
    "link_layer",
    "swapping",
    "baselines",
    "gem",
    "transport",
    "planner",
    "applications",
    "node",
    "drivers",
    "calibration",
    "runtime",
    "simulator_backend",
    "labs",
    "client",
    "api",
    "northbound",
    "cli",
]
PARTS = ("link_layer", "swapping", "baselines", "gem", "transport", "planner", "applications")
MACHINES = ("core", *PARTS, "node")
FORBIDDEN = [
    "asyncio",
    "time",
    "datetime",
    "random",
    "secrets",
    "uuid",
    "socket",
    "threading",
    "logging",
    "zmq",
    "pyvisa",
    "serial",
]


def plant(folder: Path, imports: dict[str, list[str]]) -> None:
    """Build an empty house under `folder` with our contracts; `imports` maps files to their import lines."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    contracts = re.search(r"^\[tool\.importlinter\].*?(?=^\[tool\.(?!importlinter)|\Z)", text, re.M | re.S)
    assert contracts is not None, "pyproject.toml holds no import contracts"
    (folder / "pyproject.toml").write_text(contracts.group(), encoding="utf-8")
    for room in ("", *ROOMS):
        (folder / "bellwire" / room).mkdir(parents=True, exist_ok=True)
        (folder / "bellwire" / room / "__init__.py").touch()
    for path, lines in imports.items():
        file = folder / "bellwire" / path
        file.parent.mkdir(exist_ok=True)
        if not (file.parent / "__init__.py").exists():
            (file.parent / "__init__.py").touch()
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def lint(folder: Path) -> tuple[int, str]:
    """Exit code and report of lint-imports run inside `folder`."""
    program = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert program is not None, "import-linter is not installed beside this interpreter"
    # lint-imports looks in its working directory first, so the planted house hides the installed one.
    done = subprocess.run(
        [program, "--no-logo", "--no-cache"], cwd=folder, capture_output=True, text=True, timeout=60
    )
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def test_the_house_stands_on_its_floors() -> None:
    code, report = lint(ROOT)
    assert code == 0, report


def test_a_house_that_imports_only_downwards_is_accepted(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "cli/main.py": ["import bellwire.labs", "import bellwire.runtime"],
            "runtime/host.py": [
                "import asyncio",
                "import zmq",
                "import bellwire.node",
                "import bellwire.drivers",
            ],
            "simulator_backend/host.py": ["import random", "import bellwire.drivers"],
            "node/joint.py": [f"import bellwire.{part}" for part in PARTS],
            "drivers/link.py": ["import serial", "import threading", "import bellwire.core"],
            "gem/fold.py": ["import bellwire.core", "import heapq"],
        },
    )
    code, report = lint(tmp_path)
    assert code == 0, report


def test_every_clock_chance_and_socket_in_a_machine_is_noticed(tmp_path: Path) -> None:
    """All eight rooms of machines times all twelve modules, planted at once and each looked for by name."""
    plant(
        tmp_path, {f"{room}/trespass.py": [f"import {module}" for module in FORBIDDEN] for room in MACHINES}
    )
    code, report = lint(tmp_path)
    assert code == 1, report
    unnoticed = [
        (room, module)
        for room in MACHINES
        for module in FORBIDDEN
        if f"bellwire.{room}.trespass -> {module} " not in report
    ]
    assert unnoticed == []


def test_a_clock_reached_through_a_second_file_is_noticed(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {"gem/fold.py": ["import bellwire.core.helper"], "core/helper.py": ["from time import time"]},
    )
    code, report = lint(tmp_path)
    assert code == 1
    assert "bellwire.gem.fold -> bellwire.core.helper" in report


@pytest.mark.parametrize(
    ("where", "line", "complaint"),
    [
        ("core/words.py", "import bellwire.gem", "core is not allowed to import bellwire.gem"),
        ("gem/fold.py", "from bellwire import swapping", "gem is not allowed to import bellwire.swapping"),
        (
            "swapping/policy.py",
            "import bellwire.link_layer",
            "swapping is not allowed to import bellwire.link_layer",
        ),
        (
            "transport/plan.py",
            "def f():\n    import bellwire.planner",
            "transport is not allowed to import bellwire.planner",
        ),
        ("planner/tree.py", "import bellwire.node", "planner is not allowed to import bellwire.node"),
        ("node/slots.py", "import bellwire.drivers", "node is not allowed to import bellwire.drivers"),
        (
            "drivers/deg.py",
            "import bellwire.link_layer",
            "drivers is not allowed to import bellwire.link_layer",
        ),
        ("drivers/deg.py", "import bellwire.node", "drivers is not allowed to import bellwire.node"),
        (
            "runtime/host.py",
            "import bellwire.simulator_backend",
            "runtime is not allowed to import bellwire.simulator",
        ),
        (
            "simulator_backend/host.py",
            "import bellwire.runtime",
            "simulator_backend is not allowed to import bellwire.r",
        ),
        (
            "calibration/fit.py",
            "import bellwire.simulator_backend",
            "calibration is not allowed to import bellwire.sim",
        ),
        ("runtime/host.py", "import bellwire.labs", "runtime is not allowed to import bellwire.labs"),
        ("attic/old.py", "import bellwire.core", "not listed as layers: - bellwire.attic"),
    ],
)
def test_an_import_against_the_floors_is_noticed(
    tmp_path: Path, where: str, line: str, complaint: str
) -> None:
    plant(tmp_path, {where: [line]})
    code, report = lint(tmp_path)
    assert code == 1, report
    assert complaint in report
