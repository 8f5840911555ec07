"""Write tests/long_tests.txt: the test functions that `make test` leaves to `make long`.

Owns the choice, by the times of the last runs (build/reports/test.xml, long.xml and live.xml): a function
whose cases take MOST_S together is long. Refuses to touch those that must be in every quick run (KEPT).

Usage: python scripts/long_tests.py
"""

import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / "build" / "reports"
LIST = ROOT / "tests" / "long_tests.txt"

MOST_S = 1.5
"""About four hundred functions, which take three quarters of all time."""

KEPT = (
    "tests/soak/test_histories.py::test_no_rule_breaks_under_all_faults",  # 300 histories with every change
    "tests/soak/test_found.py::test_a_history_that_once_broke_a_rule_holds",
    "tests/test_long_tests.py::test_what_is_listed_as_long_is_there",
    "tests/hosts/test_live_lab.py::test_both_ends_hold_the_pairs_and_frames_that_the_world_knows",
)

HEADING = """\
# Test functions that `make test` leaves to `make long`, because their cases take so long together.
# Written by scripts/long_tests.py from the reports of both; a new test may be added by hand until then.
"""


def function_of(case: ElementTree.Element) -> str:
    """The function of a reported case, as pytest names it, without its parameters."""
    parts = case.get("classname", "").split(".")
    for length in range(len(parts), 0, -1):
        path = "/".join(parts[:length]) + ".py"
        if (ROOT / path).is_file():
            return "::".join([path, *parts[length:], case.get("name", "").partition("[")[0]])
    raise SystemExit(
        f"build/reports: no file for {case.get('classname')}: run `make test` and `make long` anew"
    )


def long_functions(reports: list[Path]) -> list[str]:
    """Those that take MOST_S or more, by name."""
    seconds: Counter[str] = Counter()
    for report in reports:
        for case in ElementTree.parse(report).getroot().iter("testcase"):
            seconds[function_of(case)] += float(case.get("time", "0"))  # type: ignore[assignment]
    return sorted(name for name, took_s in seconds.items() if took_s >= MOST_S and name not in KEPT)


def main() -> int:
    reports = [REPORTS / f"{name}.xml" for name in ("test", "long", "live")]
    absent = [report.name for report in reports if not report.exists()]
    if absent:
        print(
            f"no {' and no '.join(absent)} in build/reports: run `make test` and `make long`", file=sys.stderr
        )
        return 1
    chosen = long_functions(reports)
    LIST.write_text(HEADING + "\n".join(chosen) + "\n", encoding="utf-8")
    print(f"{len(chosen)} functions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
