"""Set up `.venv` for `make`, once per change of what is required.

Owns the virtual environment: creation, installation under constraints.txt, and the stamp that makes a second
run free. Refuses an interpreter older than 3.11 or newer than 3.13, in one line. The standard library only;
the first lines stay readable for any Python 3 so that the refusal can be printed.

Usage: python3 scripts/environment.py demo|page|docs|test
"""

import sys

if not (3, 11) <= sys.version_info[:2] < (3, 14):
    found = "%d.%d" % sys.version_info[:2]  # noqa: UP031  an old interpreter must be able to parse this file
    sys.exit(
        "bellwire needs Python 3.11, 3.12 or 3.13; this is " + found + " (try: make PYTHON=python3.12 ...)"
    )

import hashlib
import json
import os
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts" if os.name == "nt" else "bin") / "python"
EXTRAS = {"demo": "", "page": "[serve,client]", "docs": "[docs]", "test": "[test,check]"}
#: The build back ends are pinned too: builds run in this environment, not in an isolated, unpinned one.
#: tinyrpc (of pulsestreamer) has no wheel on the index and is built by setuptools, which newer Pythons lack.
BUILD_TOOLS = ("hatchling", "editables", "setuptools")


def requirement_digest() -> str:
    """Digest of all that decides what gets installed; settings of linters do not count."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        pyproject = tomllib.load(file)
    parts = [
        json.dumps([pyproject["build-system"], pyproject["project"]], sort_keys=True),
        (ROOT / "constraints.txt").read_text(encoding="utf-8"),
        str(ROOT),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def stamp_of(purpose: str) -> Path:
    return VENV / f"installed-for-{purpose}"


def is_current(purpose: str, digest: str) -> bool:
    """True if this purpose, or a wider one, was installed from the same requirements."""
    wide_enough = [purpose, "test"]
    stamps = [stamp_of(name) for name in wide_enough]
    return PYTHON.exists() and any(stamp.exists() and stamp.read_text() == digest for stamp in stamps)


def create_venv() -> None:
    """Create `.venv`; an existing one of another place or with a vanished interpreter is made anew."""
    if (
        PYTHON.exists()
        and subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True).returncode == 0
    ):
        return
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], capture_output=True, text=True)
    if made.returncode != 0:
        sys.exit(
            "python3 cannot create a virtual environment (Debian: apt-get install python3-venv):\n"
            + (made.stderr or made.stdout).strip()
        )


def install(purpose: str) -> None:
    pip = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", "constraints.txt"]
    environment = dict(os.environ, PIP_NO_INPUT="1")
    for arguments in (
        list(BUILD_TOOLS),
        ["--no-build-isolation", "-e", f".{EXTRAS[purpose]}"],
    ):
        if subprocess.run([*pip, *arguments], cwd=ROOT, env=environment).returncode != 0:
            sys.exit(f"installing for `make {purpose}` failed; pip's own message stands above")


def main() -> None:
    purpose = sys.argv[1] if len(sys.argv) == 2 else ""
    if purpose not in EXTRAS:
        sys.exit(f"say what the environment is for: {' or '.join(EXTRAS)}")
    digest = requirement_digest()
    if is_current(purpose, digest):
        return
    sys.stdout.write(f"setting up .venv for `make {purpose}` (only when requirements change)\n")
    sys.stdout.flush()
    create_venv()
    install(purpose)
    stamp_of(purpose).write_text(digest)


main()
