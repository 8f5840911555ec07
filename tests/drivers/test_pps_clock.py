"""Labels of seconds from PPS edges and the host clock: what is believed, and what ends the belief."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.drivers.pps_clock import SECOND_PS, PpsClock

S = SECOND_PS
NS = 1_000_000_000


def fed(edges_ps: list[int], latest_ns: list[int]) -> PpsClock:
    clock = PpsClock()
    for at_ps, told_ns in zip(edges_ps, latest_ns, strict=True):
        clock.take(at_ps, told_ns)
    return clock


def test_one_edge_is_not_enough_and_two_are() -> None:
    clock = fed([5], [100 * NS + 200_000_000])
    assert clock.second is None
    clock.take(S + 5, 101 * NS + 300_000_000)
    assert clock.second is not None
    assert clock.second.number == 101
    assert clock.second.since_ps(S + 5 + 7, 100) == S + 7


@given(
    st.integers(0, 10**15),
    st.floats(-5e-5, 5e-5),
    st.lists(st.floats(-0.05, 0.85), min_size=2, max_size=8),
    st.integers(0, 3),
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_any_delay_below_a_second_gives_the_right_label(
    start_ps: int, drift: float, lateness_s: list[float], epoch_s: int
) -> None:
    """And the rate of the tagger's crystal is taken out of times between edges, to 2 ps."""
    length_ps = S * (1 + drift)
    edges = [start_ps + round(k * length_ps) for k in range(len(lateness_s))]
    clock = fed(edges, [(50 + k) * NS + round(late * NS) for k, late in enumerate(lateness_s)])
    assert clock.second is not None
    assert clock.second.number == 50 + len(edges) - 1
    half_ps = edges[-1] + round(length_ps / 2)
    expected_ps = (clock.second.number - epoch_s) * S + S // 2
    assert abs(clock.second.since_ps(half_ps, epoch_s) - expected_ps) <= 2
    assert abs(clock.second.all_since_ps(np.array([half_ps]), epoch_s)[0] - expected_ps) <= 2


def test_a_label_that_the_future_would_have_to_explain_is_refused() -> None:
    """Two blocks were late by more than a second: the labels were one too high, and a timely edge says so."""
    clock = fed([0, S], [101 * NS + 100_000_000, 102 * NS + 100_000_000])
    assert clock.second is not None
    assert clock.second.number == 102  # truly 101
    clock.take(2 * S, 102 * NS + 50_000_000)
    assert clock.labels_refused == 1
    assert clock.second is None
    clock.take(3 * S, 103 * NS + 50_000_000)
    assert clock.second is not None
    assert clock.second.number == 103


def test_labels_that_do_not_follow_each_other_are_not_believed() -> None:
    clock = fed([0, S], [101 * NS + 950_000_000, 102 * NS + 50_000_000])
    assert clock.second is None
    assert clock.edges_strange == 1


def test_a_missing_edge_ends_what_is_known_and_the_next_one_brings_it_back() -> None:
    clock = fed([0, S], [100 * NS, 101 * NS])
    assert clock.second is not None
    assert clock.second.until_ps < 2 * S + S // 1000
    clock.take(4 * S + 3, 104 * NS)
    assert clock.second is not None
    assert (clock.second.number, clock.edges_missing) == (104, 2)


def test_an_edge_between_the_seconds_is_no_pps() -> None:
    clock = fed([0, S, S + S // 3], [100 * NS, 101 * NS, 101 * NS + NS // 3])
    assert clock.second is not None
    assert (clock.second.number, clock.edges_strange) == (101, 1)


def test_after_a_long_absence_the_labels_begin_anew() -> None:
    clock = fed([0, S, 30 * S], [100 * NS, 101 * NS, 130 * NS])
    assert clock.second is None
    clock.take(31 * S, 131 * NS)
    assert clock.second is not None
    assert clock.second.number == 131


def test_tags_that_come_much_too_late_say_nothing() -> None:
    clock = fed([0, S, 2 * S], [100 * NS, 101 * NS, 108 * NS])
    assert clock.labels_refused == 1
    assert clock.second is None


@pytest.mark.parametrize("drift", [2e-4, -2e-4])
def test_a_crystal_that_is_no_crystal_is_not_believed(drift: float) -> None:
    clock = fed([0, round(S * (1 + drift))], [100 * NS, 101 * NS])
    assert clock.second is None


@pytest.mark.parametrize("jump_ps", [300_000, -300_000])
def test_an_edge_that_jumps_is_not_believed_and_its_second_is_unknown(jump_ps: int) -> None:
    clock = fed([0, S, 2 * S + jump_ps], [100 * NS, 101 * NS, 102 * NS])
    assert clock.second is not None
    assert (clock.second.number, clock.edges_strange) == (101, 1)
    assert clock.second.until_ps < 2 * S + 300_000
    clock.take(3 * S, 103 * NS)
    assert (clock.second.number, clock.edges_missing) == (103, 1)
