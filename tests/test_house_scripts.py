"""The scripts behind `make` tell the truth: about judges that did not run, figures, and old interpreters."""

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
CASE = '<testcase classname="tests.judges.test_peer" name="test_{name}">{inside}</testcase>'


def script(name: str) -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / name), run_name="planted")


@pytest.fixture
def judges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The script of the judges with its reports in an empty folder."""
    functions = script("judges.py")
    monkeypatch.setitem(functions["cases_of"].__globals__, "REPORTS", tmp_path)
    return functions


def outcome(judges: dict[str, Any], folder: Path, cases: list[str], obstacle: str | None = None) -> Any:
    if cases:
        (folder / "judges.xml").write_text(
            f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>"
        )
    judge = judges["Judge"]("peer", "a thing", "judges", ["tests/judges/test_peer.py"], True)
    return judges["verdict_of"](judge, obstacle)


def test_a_judge_whose_tests_passed_has_passed(judges: dict[str, Any], tmp_path: Path) -> None:
    assert outcome(judges, tmp_path, [CASE.format(name="a", inside="")]).outcome == "passed"


def test_a_judge_with_one_failed_test_has_failed(judges: dict[str, Any], tmp_path: Path) -> None:
    cases = [CASE.format(name="a", inside=""), CASE.format(name="b", inside="<failure/>")]
    verdict = outcome(judges, tmp_path, cases)
    assert (verdict.outcome, verdict.reason) == ("FAILED", "test_b")


def test_a_judge_whose_tests_were_all_skipped_did_not_run(judges: dict[str, Any], tmp_path: Path) -> None:
    verdict = outcome(judges, tmp_path, [CASE.format(name="a", inside='<skipped message="no peer"/>')])
    assert (verdict.outcome, verdict.reason) == ("did not run", "no peer")


def test_a_judge_without_a_report_did_not_run_and_says_why(judges: dict[str, Any], tmp_path: Path) -> None:
    assert outcome(judges, tmp_path, [], "not installed: peer").reason == "not installed: peer"
    assert outcome(judges, tmp_path, []).outcome == "did not run"


def test_tests_of_a_file_with_a_longer_name_are_no_verdict(judges: dict[str, Any], tmp_path: Path) -> None:
    other = CASE.format(name="a", inside="").replace("test_peer", "test_peer_of_another")
    assert outcome(judges, tmp_path, [other]).outcome == "did not run"


@pytest.mark.parametrize(("required", "code"), [(True, 1), (False, 0)])
def test_the_summary_fails_only_when_a_required_judge_did_not_run(
    judges: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    required: bool,
    code: int,
) -> None:
    row = judges["Judge"]("peer", "a thing", "judges", ["tests/judges/test_peer.py"], required)
    monkeypatch.setitem(judges["main"].__globals__, "read_judges", lambda: [row])
    monkeypatch.setattr(sys, "argv", ["judges.py", "summary"])
    assert judges["main"]() == code
    assert "judges that did not run: peer" in capsys.readouterr().out


def test_the_listed_judges_are_well_formed(judges: dict[str, Any]) -> None:
    listed = judges["read_judges"]()
    assert listed
    assert len({judge.name for judge in listed}) == len(listed)
    assert all(judge.tests and judge.judges for judge in listed)


def test_a_figure_stands_in_readme_beside_the_command_that_made_it(tmp_path: Path) -> None:
    figures = script("render_figures.py")
    result = tmp_path / "swaps.json"
    rows = [{"hops": 3, "rate_hz": 1.23456}, {"hops": 4, "note": "slow"}]
    result.write_text(json.dumps({"title": "Rates", "command": "make bench", "rows": rows}))
    readme = f"before\n{figures['BEGIN']}\nold\n{figures['END']}\nafter\n"
    rendered = figures["rendered"](readme, [result])
    assert "**Rates** (`make bench`)" in rendered
    assert "| 3 | 1.235 | – |" in rendered
    assert "old" not in rendered
    assert rendered.startswith("before")
    assert rendered.endswith("after\n")
    assert figures["rendered"](rendered, [result]) == rendered


def test_a_figure_without_its_command_is_refused(tmp_path: Path) -> None:
    result = tmp_path / "swaps.json"
    result.write_text(json.dumps({"title": "Rates", "rows": []}))
    with pytest.raises(SystemExit, match=r"swaps\.json"):
        script("render_figures.py")["table_of"](result)


def test_an_interpreter_that_is_too_old_is_refused_in_one_line() -> None:
    # The version is planted before the script runs, as if an older interpreter had started it.
    planted = (
        "import sys, runpy; sys.version_info = (3, 9, 2, 'final', 0);"
        f"runpy.run_path({str(ROOT / 'scripts' / 'environment.py')!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-S", "-c", planted], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "bellwire needs Python 3.11, 3.12 or 3.13; this is 3.9 (try: make PYTHON=python3.12 ...)"
    ]


def test_the_constraints_pin_every_package_to_one_version() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert len(pins) > 40
    assert [pin for pin in pins if pin.count("==") != 1 or "@" in pin or "/" in pin] == []


def test_pytest_summary_lines_are_recognised() -> None:
    pattern = script("checks.py")["PYTEST_SUMMARY"]
    assert pattern.match("12 passed in 3.10s")
    assert pattern.match("============ 1 failed, 2 passed in 0.10s ============")
    assert pattern.match("3 passed, 1 skipped, 2 deselected in 61.00s (0:01:01)")
    assert not pattern.match("=========== short test summary info ===========")
    assert not pattern.match("2 passed judges")
