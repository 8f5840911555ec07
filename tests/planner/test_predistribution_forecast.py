"""Forecasts of demand against "the same as in the last window", on stated arrivals and on a replayed history.

Arrivals are Poisson in every window; seeds are fixed. Errors are mean absolute errors of one window ahead
over the second half of each history, so that every forecast has had the first half to learn from.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellwire.core.errors import LocalMisuse
from bellwire.core.plans import EntanglementRequest
from bellwire.planner.predistribution_forecast import (
    absolute_error,
    chosen,
    forecasts,
    last_window,
    next_demand,
    seasonal,
    smoothed,
)
from bellwire.transport.predistribution_history import asked_in, counts_of
from bellwire.transport.request_records import RequestRecord, to_record
from tests.planner.arrivals import DAY, errors_of

HISTORIES = 8
WINDOWS = 10 * DAY


def test_a_season_is_found_where_there_is_one() -> None:
    found = errors_of("daily", histories=HISTORIES, windows=WINDOWS)
    assert found["seasonal"] < 0.85 * found["last"]
    assert found["chosen"] < 0.9 * found["last"]


def test_smoothing_beats_the_last_window_where_only_chance_changes_it() -> None:
    """Two Poisson counts differ by sqrt(2) times what one differs from its mean: errors in the ratio 0.71,
    and more by sqrt(1 + 1/9), since the mean is known from about nine windows."""
    found = errors_of("steady", histories=HISTORIES, windows=WINDOWS)
    expected = math.sqrt((1.0 + 0.2 / 1.8) / 2.0)
    assert found["smoothed"] / found["last"] == pytest.approx(expected, rel=0.05)
    assert found["chosen"] < 0.85 * found["last"]


def test_where_the_last_window_is_the_best_forecast_the_choice_keeps_to_it() -> None:
    found = errors_of("wandering", histories=HISTORIES, windows=WINDOWS)
    assert found["last"] < found["smoothed"]
    assert found["chosen"] <= 1.05 * found["last"]


def test_smoothing_is_the_weighted_mean_of_what_was() -> None:
    counts = np.array([4.0, 0.0, 2.0])
    weights = np.array([0.8**2, 0.8, 1.0])
    assert smoothed(counts, 0.2)[-1] == pytest.approx(float(weights @ counts / weights.sum()))
    assert last_window(counts)[-1] == 2.0


def test_an_exact_season_is_foretold_exactly_but_for_the_added_half() -> None:
    counts = np.tile([100.0, 200.0, 300.0], 30)
    assert seasonal(counts, 3)[-1] == pytest.approx(100.0, rel=0.01)
    assert seasonal(counts[:-1], 3)[-1] == pytest.approx(300.0, rel=0.01)
    with pytest.raises(LocalMisuse, match="2 windows or more"):
        seasonal(counts, 1)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=60), st.integers(2, 9), st.integers(0, 59))
def test_no_forecast_sees_its_own_window(numbers: list[int], period: int, changed: int) -> None:
    counts = np.array(numbers, dtype=float)
    changed %= len(counts)
    other = counts.copy()
    other[changed:] += 17.0
    for name, forecast in {**forecasts(counts, period), "chosen": chosen(counts, period)}.items():
        after = {**forecasts(other, period), "chosen": chosen(other, period)}[name]
        assert np.array_equal(forecast[: changed + 1], after[: changed + 1], equal_nan=True), name


def recorded(
    name: str, at_ns: int, source: str, destination: str, members: tuple[str, ...] = ()
) -> RequestRecord:
    return RequestRecord(
        request=EntanglementRequest(
            request_id=name,
            target_nodes=(source, *members, destination),
            entanglement_type="ghz" if members else "bipartite",
            count=1,
        ),
        submitted_ns=at_ns,
        started_ns=None,
        outcome=None,
        delivered=0,
        reason="",
    )


def test_history_is_counted_in_whole_windows_that_end_now() -> None:
    records = [
        to_record(recorded("one", 5, "a", "b")),
        to_record(recorded("two", 95, "b", "a")),
        to_record(recorded("two", 95, "b", "a")),  # a later record of the same request
        to_record(recorded("three", 199, "a", "c")),
        to_record(recorded("ghz", 50, "a", "c", ("b",))),
        to_record(recorded("late", 200, "a", "c")),
    ]
    counts = counts_of(asked_in(records), window_ns=100, until_ns=200)
    assert {ends: list(each) for ends, each in counts.items()} == {
        ("a", "b"): [2.0, 0.0],
        ("a", "c"): [0.0, 1.0],
    }
    assert next_demand(counts) == {("a", "c"): 1.0}


def test_a_replayed_history_is_forecast_better_than_by_its_last_window() -> None:
    """Requests of two pairs, one by day and one by night, for ten days, through their durable records."""
    chance = np.random.default_rng(11)
    records = []
    for hour in range(10 * DAY):
        for ends, mean in ((("a", "b"), 6.0 * (8 <= hour % DAY < 18)), (("c", "d"), 6.0 * (hour % DAY < 6))):
            for number in range(int(chance.poisson(mean))):
                at_ns = hour * 1000 + int(chance.integers(1000))
                records.append(to_record(recorded(f"{ends}{hour}.{number}", at_ns, *ends)))
    counts = counts_of(asked_in(records), window_ns=1000, until_ns=10 * DAY * 1000)
    last = sum(absolute_error(last_window(each), each, 5 * DAY) for each in counts.values())
    ours = sum(absolute_error(chosen(each, DAY), each, 5 * DAY) for each in counts.values())
    assert ours < 0.9 * last
