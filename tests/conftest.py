"""What all tests share: hypothesis profiles, which of them are long or live, and how a test hands a measured
table to the README.

Owns no fixture that knows a room of bellwire; those live beside the tests of the room.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# `fast` repeats the same examples on every run, so that red is red for everybody; `proofs` searches anew.
settings.register_profile(
    "fast", max_examples=50, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("proofs", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))

TESTS = Path(__file__).parent
LONG = frozenset(
    line
    for line in (TESTS / "long_tests.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
)
LIVE = ("hosts", "runtime", "northbound", "page", "api")
"""Folders of tests that start processes and wait for them."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what `make test` leaves to `make long`, and what starts processes."""
    if item.nodeid.partition("[")[0] in LONG:
        item.add_marker(pytest.mark.long)
    if item.path.relative_to(TESTS).parts[0] in LIVE or "live" in item.path.name:
        item.add_marker(pytest.mark.live)


FiguresRecorder = Callable[[str, str, Sequence[Mapping[str, object]]], None]


@pytest.fixture
def record_figures() -> FiguresRecorder:
    """Hand a table to README: `record_figures(name, title, rows)`, rows as mappings of column to value.

    Written to bench/results/NAME.json by `make proofs` only; under `make test` the table is dropped, because
    a shortened run must not overwrite a measured figure.
    """

    def write(name: str, title: str, rows: Sequence[Mapping[str, object]]) -> None:
        folder = os.environ.get("BELLWIRE_RESULTS")
        if folder is None:
            return
        table = {"title": title, "command": "make proofs", "rows": [dict(row) for row in rows]}
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / f"{name}.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")

    return write
