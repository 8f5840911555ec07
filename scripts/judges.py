"""Run the judges, the programs that nobody in this project wrote, and say which of them did not run and why.

Owns the reading of docs/judges.toml, the installation of what a judge needs, and the verdict. Refuses to
count a judge as run when its tests were skipped, deselected or absent: only tests that ran are a verdict.

Usage: python scripts/judges.py run      judges of `make judges` (installs Debian and npm packages when root)
       python scripts/judges.py report   judges that `make test` runs, read from its report
       python scripts/judges.py summary  both; exit 1 if one that CI requires did not run or failed
"""

import os
import shutil
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / "build" / "reports"
TARGETS = ("test", "judges")
PEERS = ROOT / ".venv-peers"
PEERS_LIST = ROOT / "scripts" / "peers.txt"
PEERS_WITHOUT_PINS = ROOT / "scripts" / "peers_without_pins.txt"
KNOWN_KEYS = {
    "name",
    "judges",
    "target",
    "tests",
    "required_in_ci",
    "commands",
    "apt",
    "npm",
    "packages",
    "paths",
}
INSTALL_LIMIT_S = 300


class Judge(NamedTuple):
    """One row of docs/judges.toml; the keys are explained there."""

    name: str
    judges: str
    target: str
    tests: list[str]
    required_in_ci: bool
    commands: Sequence[str] = ()
    apt: Sequence[str] = ()
    npm: Sequence[str] = ()
    packages: Sequence[str] = ()
    paths: Sequence[str] = ()


class Verdict(NamedTuple):
    """What became of one judge: `passed`, `FAILED` or `did not run`, with the reason."""

    judge: Judge
    outcome: str
    reason: str


def read_judges() -> list[Judge]:
    """The rows of docs/judges.toml; exits with the row's name when a key is unknown or a target wrong."""
    with (ROOT / "docs" / "judges.toml").open("rb") as file:
        rows = tomllib.load(file)["judge"]
    for row in rows:
        unknown = set(row) - KNOWN_KEYS
        if unknown or row["target"] not in TARGETS:
            sys.exit(
                f"docs/judges.toml: {row.get('name')}: unknown key or target: {unknown or row['target']}"
            )
    return [Judge(**row) for row in rows]


def prefix_of(path: str) -> str:
    """The name under which pytest's report files the tests of a file or a folder."""
    return path.removesuffix(".py").strip("/").replace("/", ".")


def cases_of(judge: Judge) -> list[ElementTree.Element]:
    targets = ("test", "long", "live") if judge.target == "test" else (judge.target,)
    reports = [report for target in targets if (report := REPORTS / f"{target}.xml").exists()]
    prefixes = [prefix_of(path) for path in judge.tests]
    return [
        case
        for report in reports
        for case in ElementTree.parse(report).getroot().iter("testcase")
        if any(f"{case.get('classname')}.".startswith(f"{prefix}.") for prefix in prefixes)
    ]


def verdict_of(judge: Judge, obstacle: str | None = None) -> Verdict:
    """Judge the judge from the report of its target; `obstacle` is a known reason why it cannot run."""
    cases = cases_of(judge)
    skips = [found for case in cases if (found := case.find("skipped")) is not None]
    bad = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    if bad:
        return Verdict(judge, "FAILED", ", ".join(sorted({case.get("name", "") for case in bad})))
    if len(cases) > len(skips):
        return Verdict(judge, "passed", f"{len(cases) - len(skips)} tests")
    if obstacle is None and skips:
        obstacle = skips[0].get("message", "skipped")
    if obstacle is None:
        absent = [path for path in judge.tests if not (ROOT / path).exists()]
        obstacle = (
            f"no such tests: {', '.join(absent)}" if absent else f"`make {judge.target}` has not run it"
        )
    return Verdict(judge, "did not run", obstacle)


def missing_commands(judge: Judge) -> list[str]:
    return [command for command in judge.commands if shutil.which(command) is None]


def missing_packages(judge: Judge) -> list[str]:
    if not judge.packages:
        return []
    python = PEERS / "bin" / "python"
    if not python.exists():
        return list(judge.packages)
    code = "import importlib.metadata as m, sys; [m.version(name) for name in sys.argv[1:]]"
    return [
        name
        for name in judge.packages
        if subprocess.run([python, "-c", code, name], capture_output=True, check=False).returncode != 0
    ]


def build_peers(judges: list[Judge]) -> str | None:
    """Make the environment of the peers, once for each content of its list; returns why it could not be made.

    It is apart from ours: their pins do not bind us, and none of their licences reaches what we ship.
    """
    if not any(judge.packages for judge in judges):
        return None
    stamp = PEERS / "made-from.txt"
    wanted = PEERS_LIST.read_text(encoding="utf-8") + PEERS_WITHOUT_PINS.read_text(encoding="utf-8")
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return None
    problem = attempt([sys.executable, "-m", "venv", str(PEERS)])
    if problem is None:
        pip = [str(PEERS / "bin" / "python"), "-m", "pip", "install", "-q"]
        problem = attempt([*pip, "-r", str(PEERS_LIST)])
        problem = problem or attempt([*pip, "--no-deps", "-r", str(PEERS_WITHOUT_PINS)])
    if problem is None:
        stamp.write_text(wanted, encoding="utf-8")
    return problem


def attempt(command: list[str]) -> str | None:
    """Run an installation step; returns None, or one line that says why it failed."""
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_LIMIT_S,
            env=environment,
            cwd=ROOT,
        )
    except subprocess.TimeoutExpired:
        return f"`{' '.join(command)}` took more than {INSTALL_LIMIT_S} s"
    if done.returncode == 0:
        return None
    last_line = ((done.stderr or done.stdout).strip().splitlines() or ["no message"])[-1]
    return f"`{' '.join(command)}` failed: {last_line}"


def missing_modules(judge: Judge) -> list[str]:
    """Its npm packages that are not in build/npm. A package may have a version: zeromq@6, @scope/name@1."""
    names = [package[0] + package[1:].partition("@")[0] for package in judge.npm]
    return [name for name in names if not (ROOT / "build" / "npm" / "node_modules" / name).is_dir()]


def obstacle_after_installing(judge: Judge, refreshed: list[bool]) -> str | None:
    """Install what the judge lacks, when we may; returns the reason why it still cannot run, or None."""
    unset = [name for name in judge.paths if not os.environ.get(name)]
    if unset:
        return f"in no registry: give its place in {', '.join(unset)}"
    absent = missing_packages(judge)
    if absent:
        return f"not in {PEERS.name}: {', '.join(absent)}"
    missing = [*missing_commands(judge), *missing_modules(judge)]
    if not missing:
        return None
    lacking = f"not installed: {', '.join(missing)}"
    reasons = [lacking]
    if judge.apt:
        if shutil.which("apt-get") is None or os.geteuid() != 0:
            reasons.append(f"as root: apt-get install {' '.join(judge.apt)}")
        else:
            if not refreshed:
                refreshed.append(True)
                attempt(["apt-get", "update", "-q"])
            reasons.append(
                attempt(["apt-get", "install", "-y", "-q", "--no-install-recommends", *judge.apt]) or ""
            )
    if judge.npm:
        if shutil.which("npm") is None:
            reasons.append("npm is not installed")
        else:
            reasons.append(attempt(["npm", "install", "--prefix", "build/npm", *judge.npm]) or "")
    still_missing = missing_commands(judge) or missing_modules(judge)
    return "; ".join(filter(None, reasons)) if still_missing else None


def table(verdicts: list[Verdict]) -> str:
    width = max((len(verdict.judge.name) for verdict in verdicts), default=0)
    return "\n".join(
        f"  {verdict.judge.name:<{width}}  {verdict.outcome:<11}  {verdict.reason}"
        f"{'  [required in CI]' if verdict.judge.required_in_ci and verdict.outcome != 'passed' else ''}"
        for verdict in verdicts
    )


def run_judges(judges: list[Judge]) -> int:
    """Install, run the tests of those that can run, print the table; exit code 1 if any of them failed."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    (REPORTS / "judges.xml").unlink(missing_ok=True)
    (REPORTS / "judges.summary").unlink(missing_ok=True)
    refreshed: list[bool] = []
    problem = build_peers(judges)
    if problem is not None:
        print(f"{PEERS.name} is not whole: {problem}", flush=True)
    obstacles = {judge.name: obstacle_after_installing(judge, refreshed) for judge in judges}
    able = [path for judge in judges if obstacles[judge.name] is None for path in judge.tests]
    present = sorted({path for path in able if (ROOT / path).exists()})
    code = 0
    if present:
        report = f"--junitxml={REPORTS / 'judges.xml'}"
        done = subprocess.run(
            [Path(sys.executable).parent / "pytest", "-q", "-m", "judge", report, *present],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        print(done.stdout, end="")
        code = done.returncode
        summary = (done.stdout.strip().splitlines() or [""])[-1]
        (REPORTS / "judges.summary").write_text(summary + "\n", encoding="utf-8")
    verdicts = [verdict_of(judge, obstacles[judge.name]) for judge in judges]
    # The reasons must outlive this process: the summary of CI reads them.
    (REPORTS / "judges.obstacles").write_text(
        "".join(f"{name}\t{reason}\n" for name, reason in obstacles.items() if reason), encoding="utf-8"
    )
    print(
        "\njudges of `make judges`:\n" + (table(verdicts) or "  none listed in docs/judges.toml"), flush=True
    )
    return 1 if code else 0


def recorded_obstacles() -> dict[str, str]:
    path = REPORTS / "judges.obstacles"
    if not path.exists():
        return {}
    return dict(line.split("\t", 1) for line in path.read_text(encoding="utf-8").splitlines())


def main() -> int:
    purpose = sys.argv[1] if len(sys.argv) == 2 else ""
    judges = read_judges()
    if purpose == "run":
        return run_judges([judge for judge in judges if judge.target == "judges"])
    if purpose == "report":
        here = [verdict_of(judge) for judge in judges if judge.target == "test"]
        elsewhere = [judge.name for judge in judges if judge.target == "judges"]
        print("\njudges:\n" + (table(here) or "  none in make test"))
        if elsewhere:
            print(f"  run by `make judges`: {', '.join(elsewhere)}")
        return 0
    if purpose == "summary":
        obstacles = recorded_obstacles()
        verdicts = [verdict_of(judge, obstacles.get(judge.name)) for judge in judges]
        print("judges:\n" + table(verdicts))
        silent = [verdict.judge.name for verdict in verdicts if verdict.outcome == "did not run"]
        print(f"judges that did not run: {', '.join(silent) or 'none'}")
        failed = [verdict for verdict in verdicts if verdict.outcome == "FAILED"]
        wanting = [v for v in verdicts if v.judge.required_in_ci and v.outcome != "passed"]
        return 1 if failed or wanting else 0
    print("usage: judges.py run|report|summary", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
