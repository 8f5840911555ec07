"""Forecasts of demand against "the same as in the last window", on arrivals whose law is known.

Usage: python bench/demand_forecast.py
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.planner.arrivals import DAY, KINDS, errors_of  # noqa: E402  the folder above is on the path now

HISTORIES = 40
DAYS = 14


def main() -> None:
    rows = []
    for kind in KINDS:
        found = errors_of(kind, histories=HISTORIES, windows=DAYS * DAY)
        rows.append({"arrivals": kind} | {name: round(error, 2) for name, error in found.items()})
    table = {
        "title": "Forecasts of demand: mean absolute error of one hour ahead",
        "command": "python bench/demand_forecast.py",
        "rows": rows,
        "note": f"{HISTORIES} histories of {DAYS} days each, errors over the second half of each.",
    }
    path = ROOT / "bench" / "results" / "demand_forecast.json"
    path.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
