"""Weighted fair queueing: bounds on the lag of every request, over whatever windows and comings and goings.

What each request has is counted attempt by attempt through the binding rule, not by the account of the
scheduler. Bounds are in lane-attempts. On one lane that goes round they are those of the literature; k lanes
go through the sequence one frame behind each other, which adds up to k (k - 1) / 2 frames.
"""

from collections import Counter
from fractions import Fraction
from math import ceil

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bellwire.core.link_messages import Window
from bellwire.core.plans import LinkPlan
from bellwire.link_layer.binding import entry_for
from bellwire.link_layer.division import Division
from bellwire.link_layer.schedulers.fair_queueing import (
    JOB_FRAMES_MAX,
    SEQUENCE_MAX,
    WeightedFairQueueing,
    after,
    served,
)
from bellwire.link_layer.schedulers.words import Frames, Key, Shares, Standing, Turn
from tests.link_layer.bench import PERIOD_NS, link_network
from tests.link_layer.wishes import demand, divided, entry, lane_attempts, plan, written

FRAME, LEASE = 10, 400
FAIR = WeightedFairQueueing()
EXACT = settings(derandomize=True, deadline=None, max_examples=60)


class Windows:
    """Side 0 of a link that agrees on one window after another, each cut where the next begins."""

    def __init__(self, lanes: int, probability: float, scheduler: str = "weighted_fair_queueing") -> None:
        link = link_network(station=False, lanes=lanes).links["a-b"]
        self.link = msgspec.structs.replace(
            link,
            scheduler=scheduler,
            frame_ns=FRAME * PERIOD_NS,
            lease_ns=LEASE * PERIOD_NS,
            success_probability=probability,
        )
        self.division = Division(self.link)
        self.had: Counter[str] = Counter()
        self.going_round = 0
        self.run = 1
        self._first = 0
        self._fence = 0

    def attempt(self, plans: list[LinkPlan], attempts: int) -> list[Counter[str]]:
        """Agree on a window and use so many of its attempts; what everybody had after each of them."""
        requests = {(one.request, one.tree): one for one in plans}
        shares = self.division.shares(requests, self.run, self._first, 0)
        self._fence += 1
        window = Window(
            run=self.run,
            epoch_ns=0,
            fence=self._fence,
            first=self._first,
            last=self._first + LEASE - 1,
            frame_attempts=FRAME,
            schedule=shares.cycle,
            owners=shares.owners,
        )
        self.division.agreed(window)
        self.going_round = max(self.going_round, self.link.lanes - len(shares.owners))
        history = []
        for attempt in range(self._first, self._first + attempts):
            for lane in range(self.link.lanes):
                bound = entry_for(window, attempt, lane)
                assert bound is not None
                self.had[bound.request] += 1
            history.append(self.had.copy())
        self._first += attempts
        return history

    def bound(self) -> int:
        """The longest job, and the frames by which lanes are behind each other."""
        unit = FRAME * self.going_round
        job = min(JOB_FRAMES_MAX, ceil(1 / self.link.success_probability / unit)) if unit else 0
        return job * unit + FRAME * self.going_round * (self.going_round - 1) // 2


def plans_of(weights: list[int]) -> list[LinkPlan]:
    return [plan(str(index), weight=weight) for index, weight in enumerate(weights)]


WEIGHTS = st.lists(st.integers(1, 12), min_size=2, max_size=5)
CUTS = st.lists(st.integers(1, LEASE // FRAME).map(FRAME.__mul__), min_size=1, max_size=6)


@given(st.integers(1, 5), st.sampled_from([0.2, 0.02]), WEIGHTS, CUTS)
@example(3, 0.2, [1, 3, 9], [10, 40])  # rounded lags made eligible ones wait
@example(4, 0.2, [2, 5], [20, 380, 10])  # the lane that goes round began in the middle of the sequence
@EXACT
def test_nobody_is_ever_further_from_a_fair_share_than_its_bound(
    lanes: int, probability: float, weights: list[int], cuts: list[int]
) -> None:
    windows = Windows(lanes, probability)
    attempts, total = 0, sum(weights)
    for cut in cuts:
        for had in windows.attempt(plans_of(weights), cut):
            attempts += 1
            for index, weight in enumerate(weights):
                fair = lanes * attempts * weight  # times the sum of weights
                assert abs(had[str(index)] * total - fair) <= windows.bound() * total


@given(WEIGHTS, st.integers(1, 8))
@EXACT
def test_over_whole_frames_of_one_lane_nobody_is_ever_a_whole_frame_ahead_or_behind(
    weights: list[int], number: int
) -> None:
    windows = Windows(1, 0.2)
    attempts = 0
    for _ in range(number):
        for had in windows.attempt(plans_of(weights), LEASE // 2):
            attempts += 1
            for index, weight in enumerate(weights):
                assert abs(had[str(index)] - Fraction(attempts * weight, sum(weights))) < FRAME


COMINGS = st.lists(
    st.tuples(st.frozensets(st.integers(2, 6)), st.integers(1, LEASE // FRAME).map(FRAME.__mul__)),
    min_size=1,
    max_size=12,
)


@given(st.tuples(st.integers(1, 9), st.integers(1, 9)), COMINGS)
@EXACT
def test_two_who_stay_are_served_by_their_weights_whoever_comes_and_goes_meanwhile(
    weights: tuple[int, int], comings: list[tuple[frozenset[int], int]]
) -> None:
    """Service over weight of the two differs by no more than what each may be ahead or behind."""
    windows = Windows(1, 0.2)
    stay = plans_of(list(weights))
    for others, cut in comings:
        guests = [plan(str(index), weight=index) for index in sorted(others)]
        for had in windows.attempt([*stay, *guests], cut):
            apart = abs(Fraction(had["0"], weights[0]) - Fraction(had["1"], weights[1]))
            assert apart <= windows.bound() * (Fraction(1, weights[0]) + Fraction(1, weights[1]))


def test_round_robin_forgets_what_was_cut_off_and_fair_queueing_makes_it_good() -> None:
    """The same 200 windows, each cut after two frames, of requests with weights 1, 1 and 2."""
    lags = {}
    for scheduler in ("weighted_round_robin", "weighted_fair_queueing"):
        windows = Windows(1, 0.2, scheduler)
        for _ in range(200):
            windows.attempt(plans_of([1, 1, 2]), FRAME * 2)
        lags[scheduler] = max(
            abs(windows.had[name] - 4000 * weight / 4) for name, weight in (("0", 1), ("1", 1), ("2", 2))
        )
    assert lags["weighted_fair_queueing"] <= windows.bound()
    assert lags["weighted_round_robin"] >= 500


def test_a_newcomer_has_its_share_from_now_on_and_no_more() -> None:
    windows = Windows(1, 0.2)
    windows.attempt(plans_of([1, 1]), 390)
    windows.attempt(plans_of([1, 1]), 390)
    before = windows.had.copy()
    for had in windows.attempt(plans_of([1, 1, 2]), LEASE):
        attempts = had.total() - before.total()
        assert abs(had["2"] - Fraction(attempts, 2)) <= windows.bound()


@given(st.lists(st.fractions(-90, 90, max_denominator=60), min_size=2, max_size=6), st.integers(0, 100))
@EXACT
def test_what_leavers_owe_or_are_owed_is_shared_by_those_who_stay(
    lags: list[Fraction], attempts: int
) -> None:
    """All but two leave. Lags of the two sum to zero again, and stand to each other, for their parts, as
    before."""
    history: dict[Key, Standing] = {(str(index), 0): Standing(lag, 0) for index, lag in enumerate(lags)}
    parts = {("0", 0): Fraction(1, 3), ("1", 0): Fraction(2, 3)}
    turns = {key: Turn(part, FRAME) for key, part in parts.items()}
    stay = after(history, turns, {("0", 0): attempts}, attempts)
    one, two = (stay[key].lag for key in parts)
    assert one + two == 0
    apart = lags[0] / Fraction(1, 3) - lags[1] / Fraction(2, 3)
    assert one / Fraction(1, 3) - two / Fraction(2, 3) == apart - 3 * attempts
    gone = {key: standing.lag for key, standing in stay.items() if key not in parts}
    assert gone == {
        (str(index), 0): lag + attempts for index, lag in enumerate(lags) if index > 1 and lag < -attempts
    }


def test_whoever_left_ahead_comes_back_ahead_unless_the_link_went_on_for_as_long() -> None:
    """A request of weight 1 beside one of weight 9 has a frame, leaves at once and comes back at once."""
    for away, served_at_once in ((0, 0), (LEASE, FRAME)):
        windows = Windows(1, 0.2)
        both, alone = plans_of([9, 1]), plans_of([9])
        while not windows.had["1"]:
            windows.attempt(both, FRAME)
        if away:
            windows.attempt(alone, away)
        before = windows.had["1"]
        windows.attempt(both, 6 * FRAME)
        assert windows.had["1"] - before == served_at_once


def test_a_new_run_goes_on_where_the_last_window_of_the_old_one_began() -> None:
    windows = Windows(1, 0.2)
    windows.attempt(plans_of([1, 1, 1]), FRAME)
    windows.attempt(plans_of([1, 1, 1]), FRAME)
    windows.run, windows._first = 2, 0
    windows.attempt(plans_of([1, 1, 1]), FRAME)
    assert windows.had == {"0": FRAME, "1": 2 * FRAME}


# ---- jobs


def test_rare_pairs_and_atomic_creates_are_due_later_in_the_measure_of_their_length() -> None:
    """Jobs of 1, 4 and (3 pairs in one go) 12 frames, of equal weights."""
    frames = Frames(attempts=10, number=240)
    one, four = demand(plan("a"), attempts=10.0), demand(plan("b"), attempts=40.0)
    atomic = demand(plan("c"), attempts=40.0, together=3)
    owners, cycle = written(divided(FAIR, 1, one, four, atomic, frames=frames))
    assert owners == ""
    assert cycle.count("a") == cycle.count("b") == cycle.count("c")
    for served_frames in range(len(cycle) + 1):
        counts = Counter(cycle[:served_frames])
        assert abs(counts["a"] - served_frames / 3) < 1
        assert 0 <= counts["b"] - counts["c"] <= 4


def test_a_job_is_no_longer_than_its_limit_and_a_sequence_no_longer_than_its_own() -> None:
    frames = Frames(attempts=10, number=10_000)
    rare = [demand(plan(name, weight=weight), attempts=1e9) for name, weight in (("a", 63), ("b", 1))]
    answer = FAIR.divide(1, rare, {}, frames)
    assert {turn.job for turn in answer.turns.values()} == {JOB_FRAMES_MAX * 10}
    assert len(answer.shares.cycle) == SEQUENCE_MAX


def test_a_sequence_ends_where_it_may_begin_anew_or_with_the_window() -> None:
    wanted = [demand(plan("a", weight=2), attempts=1.0), demand(plan("b", weight=1), attempts=1.0)]
    assert sorted(written(divided(FAIR, 1, *wanted, frames=Frames(10, 100)))[1]) == ["a", "a", "b"]
    assert len(divided(FAIR, 1, *wanted, frames=Frames(10, 2)).cycle) == 2
    ahead = {("a", 0): Standing(Fraction(-25), 0)}
    assert len(divided(FAIR, 1, *wanted, history=ahead, frames=Frames(10, 100)).cycle) == 100


def test_weight_zero_is_served_before_all_others() -> None:
    first, other = demand(plan("z", weight=0)), demand(plan("a", weight=9))
    assert written(divided(FAIR, 2, first, other)) == ("zz", "")


# ---- the account


@given(
    st.text("abc", min_size=1, max_size=7),
    st.integers(0, 2),
    st.integers(3, 5),
    st.integers(1, 9),
    st.integers(0, 300),
)
@EXACT
def test_the_account_of_a_window_is_what_the_binding_rule_gives(
    cycle: str, owned: int, lanes: int, frame: int, attempts: int
) -> None:
    shares = Shares(tuple(entry("o") for _ in range(owned)), tuple(entry(name) for name in cycle))
    counted = lane_attempts(shares, lanes, 70, 69 + attempts, frame)
    del counted["o"]
    had: dict[Key, int] = served(shares.cycle, owned, lanes, frame, attempts)
    assert {key: number for key, number in had.items() if number} == {
        (name, 0): number for name, number in counted.items()
    }


@pytest.mark.parametrize("gap", [0, 1, 250])
def test_attempts_after_a_window_ran_out_count_for_nobody(gap: int) -> None:
    windows = Windows(1, 0.2)
    windows.attempt(plans_of([1, 1]), LEASE)
    windows._first += gap
    windows.attempt(plans_of([1, 1]), FRAME)
    assert windows.had == {"0": LEASE // 2 + FRAME, "1": LEASE // 2}
