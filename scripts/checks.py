"""Run the steps of `make test`, `make long`, `make proofs`, the quick ones first; stop at the first failure.

Owns the order of the steps, their times and the summary. Refuses to set anything up (environment.py does) and
to judge results itself: every step is a tool with its own verdict.

Usage: python scripts/checks.py test|long|proofs
"""

import json
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
REPORTS = ROOT / "build" / "reports"
RESULTS = ROOT / "bench" / "results"
#: pytest's last line, such as `12 passed, 1 skipped in 3.10s`, with or without its rule of `=`.
PYTEST_SUMMARY = re.compile(r"^(=+ )?(\d+ [a-z]+(, )?)+ in [\d.]+s( \([\d:]+\))?( =+)?$")

#: Exit code of pytest when no test was selected.
NOTHING_COLLECTED = 5


class Step(NamedTuple):
    """One tool to run: its name in the summary and its command line."""

    name: str
    command: list[str]


def tool(name: str, *arguments: str) -> list[str]:
    return [str(BIN / name), *arguments]


def pytest_step(name: str, *arguments: str) -> Step:
    report = REPORTS / f"{name}.xml"
    return Step(f"pytest ({name})", tool("pytest", "-q", f"--junitxml={report}", *arguments))


STYLED = [name for name in ("bellwire", "tests", "scripts", "bench") if (ROOT / name).is_dir()]
#: Neighbours stay with one worker, which makes what they share once; whoever is done takes work from others.
SPREAD = ("--dist", "worksteal")
Stage = Step | tuple[Step, ...]
"""What is run by itself, or side by side."""

TEST_STEPS: list[Stage] = [
    Step("ruff check", tool("ruff", "check", *STYLED)),
    Step("ruff format", tool("ruff", "format", "--check", *STYLED)),
    Step("import floors", tool("lint-imports", "--no-logo", "--no-cache")),
    # Each of these two keeps one core busy.
    (
        Step("mypy --strict", tool("mypy", "--strict", "bellwire")),
        Step("pyright", tool("pyright", "bellwire")),
    ),
    # Tests start some hundred processes: none of them should compile what another one has compiled.
    Step("compile", [sys.executable, "-m", "compileall", "-q", "-j", "0", *STYLED]),
    pytest_step("test", "-n", "auto", *SPREAD),
]
CORES = os.cpu_count() or 1
#: Tests that start processes run one after the other, or they starve each other; the other cores compute.
LONG_STEPS: list[Stage] = [
    (
        pytest_step("live", "-m", "long and live and not slow and not judge"),
        pytest_step(
            "long",
            "-n",
            str(max(1, CORES - 1)),
            *SPREAD,
            "-m",
            "long and not live and not slow and not judge",
        ),
    )
]
PROOF_STEPS: list[Stage] = [pytest_step("proofs", "-n", "auto", *SPREAD, "-m", "slow", "--durations=0")]

STEPS = {"test": TEST_STEPS, "long": LONG_STEPS, "proofs": PROOF_STEPS}


def step_environment(purpose: str) -> dict[str, str]:
    """The caller's environment, with the type checker's engine held at the version of its pinned wheel."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {
        "PYRIGHT_PYTHON_FORCE_VERSION": version("pyright"),
        "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1",
        "PYTHONUNBUFFERED": "1",
    }
    if purpose == "proofs":
        environment |= {"BELLWIRE_RESULTS": str(RESULTS), "HYPOTHESIS_PROFILE": "proofs"}
    return environment


def run(step: Step, environment: dict[str, str]) -> tuple[int, str | None]:
    """Run one step, showing what it prints as it prints it.

    Returns its exit code, and pytest's summary line where it printed one.
    """
    print(f"--- {step.name}", flush=True)
    last_summary = None
    with subprocess.Popen(
        step.command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            bare = re.sub(r"\x1b\[[0-9;]*m", "", line).strip()
            if PYTEST_SUMMARY.match(bare):
                last_summary = bare
    return process.returncode, last_summary


class Ran(NamedTuple):
    """What came of one step."""

    name: str
    code: int
    took_s: float
    summary: str | None = None


def carry_out(stage: Stage, environment: dict[str, str]) -> list[Ran]:
    """Run one step, or several side by side, whose lines come as they come."""

    def timed(step: Step) -> Ran:
        began_s = time.monotonic()
        code, summary = run(step, environment)
        return Ran(step.name, code, time.monotonic() - began_s, summary)

    if isinstance(stage, Step):
        return [timed(stage)]
    with ThreadPoolExecutor(len(stage)) as pool:
        return list(pool.map(timed, stage))


def write_proof_results(seconds: float) -> None:
    """Turn the report of the proofs into a table that README can show."""
    report = REPORTS / "proofs.xml"
    if not report.exists():
        return
    rows = []
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        bad = any(case.find(tag) is not None for tag in ("failure", "error"))
        outcome = "failed" if bad else "skipped" if case.find("skipped") is not None else "passed"
        rows.append(
            {
                "file": case.get("classname", "").replace("tests.", "", 1),
                "proof": case.get("name", "").removeprefix("test_").replace("_", " "),
                "outcome": outcome,
                "seconds": round(float(case.get("time", "0")), 1),
            }
        )
    RESULTS.mkdir(parents=True, exist_ok=True)
    table = {
        "title": "Long statistical proofs",
        "command": "make proofs",
        "note": f"{len(rows)} proofs in {seconds:.0f} s.",
        "rows": rows,
    }
    (RESULTS / "proofs.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    purpose = sys.argv[1] if len(sys.argv) == 2 else ""
    if purpose not in STEPS:
        print(f"usage: checks.py {'|'.join(STEPS)}", file=sys.stderr)
        return 2
    REPORTS.mkdir(parents=True, exist_ok=True)
    reports = ("long.xml", "live.xml") if purpose == "long" else (f"{purpose}.xml",)
    for stale in (REPORTS / name for name in (*reports, f"{purpose}.summary")):
        stale.unlink(missing_ok=True)
    environment = step_environment(purpose)
    lines: list[str] = []
    summaries: list[str] = []
    code = 0
    ran: list[Ran] = []
    for stage in STEPS[purpose]:
        ran = carry_out(stage, environment)
        for one in ran:
            if one.summary is not None:
                summaries.append(one.summary)
            verdict = "ok    " if one.code == 0 else "FAILED"
            lines.append(f"  {verdict} {one.name:<18} {one.took_s:6.1f} s")
        code = next((one.code for one in ran if one.code), 0)
        if code != 0:
            break
    if purpose == "proofs":
        write_proof_results(ran[0].took_s)
        if code == NOTHING_COLLECTED:
            print("no test is marked slow: nothing was proven, so this is a failure")
    print(f"\nmake {purpose}:\n" + "\n".join(lines), flush=True)
    if purpose == "test" and code == 0:
        code = subprocess.run([sys.executable, ROOT / "scripts" / "judges.py", "report"], cwd=ROOT).returncode
    if summaries:
        text = "\n".join(summaries)
        (REPORTS / f"{purpose}.summary").write_text(text + "\n", encoding="utf-8")
        print(text, flush=True)
    return 1 if code else 0


if __name__ == "__main__":
    sys.exit(main())
