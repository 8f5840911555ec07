"""Matching of time tags against a matcher that looks at one attempt after the other.

Random cases are those of hypothesis, derandomised. Confidence is compared with the share of accidental
heralds in simulated light whose origin is known: 4 standard errors, false alarm 1 in 16 000, fixed seed.
"""

import itertools
import time
from collections.abc import Sequence
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.drivers.herald_frames import Frame
from bellwire.drivers.herald_matching import (
    HeraldMatcher,
    Matches,
    MatchSettings,
    WindowRates,
    match_settings,
)
from bellwire.drivers.herald_settings import GateWindow, HeraldSettings, settings_for_travel

DOUBLE = {0b0011: 1, 0b1100: 1, 0b1001: 2, 0b0110: 2}
SINGLE = {0b0001: 1, 0b0100: 2}


def outcomes(patterns: dict[int, int]) -> tuple[int, ...]:
    return tuple(patterns.get(mask, 0) for mask in range(16))


PLAIN = MatchSettings(
    first_ps=30, period_ps=100, window_ps=(10, 30), coincidence_ps=8, outcomes=outcomes(DOUBLE)
)

Tag = tuple[int, int]  # time, input
Stretch = tuple[int, int, list[Tag], list[tuple[int, int]]]


def arrays(tags: Sequence[Tag]) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    return np.array([at for at, _ in tags], np.int64), np.array([which for _, which in tags], np.int8)


def taken(matcher: HeraldMatcher, stretches: Sequence[Stretch]) -> list[Matches]:
    return [
        matcher.take(start, stop, *arrays(tags), lost=list(lost)) for start, stop, tags, lost in stretches
    ]


def merged(found: Sequence[Matches]) -> tuple[dict[int, int], set[int], int]:
    """Outcome by attempt, lost attempts, the last decided one."""
    heralds = {one.attempt: one.outcome for each in found for one in each.heralds}
    lost = {n for each in found for first, last in each.lost for n in range(first, last + 1)}
    return heralds, lost, found[-1].decided_to


def slowly(chosen: MatchSettings, stretches: Sequence[Stretch]) -> tuple[dict[int, int], set[int], int]:
    """The definition, one attempt after the other."""
    known_ps = stretches[-1][1]
    holes = [(-(10**9), stretches[0][0])]
    holes += [(one[1], other[0]) for one, other in itertools.pairwise(stretches)]
    holes += [span for stretch in stretches for span in stretch[3]]
    holes = [(begin, end) for begin, end in holes if begin < end]
    tags = [tag for stretch in stretches for tag in stretch[2]]
    heralds: dict[int, int] = {}
    lost: set[int] = set()
    attempt = 0
    while True:
        edge = chosen.first_ps + attempt * chosen.period_ps
        opens, closes = edge + chosen.window_ps[0], edge + chosen.window_ps[1]
        if any(closes + delay > known_ps for delay in chosen.delays_ps):
            return heralds, lost, attempt - 1
        firsts: dict[int, int] = {}
        for at, which in tags:
            corrected = at - chosen.delays_ps[which]
            if opens <= corrected < closes:
                firsts[which] = min(corrected, firsts.get(which, corrected))
        code = chosen.outcomes[sum(1 << which for which in firsts)]
        # An interval hides what lies in it; which input it would have been, nobody knows.
        if any(
            begin - max(chosen.delays_ps) < closes and end - min(chosen.delays_ps) > opens
            for begin, end in holes
        ):
            lost.add(attempt)
        elif code and max(firsts.values()) - min(firsts.values()) <= chosen.coincidence_ps:
            heralds[attempt] = code
        attempt += 1


@st.composite
def cases(draw: st.DrawFn) -> tuple[MatchSettings, list[Stretch]]:
    period = draw(st.integers(10, 60))
    length = draw(st.integers(1, period))
    opens = draw(st.integers(0, 40))
    chosen = MatchSettings(
        first_ps=draw(st.integers(0, 50)),
        period_ps=period,
        window_ps=(opens, opens + length),
        coincidence_ps=draw(st.integers(0, length)),
        delays_ps=tuple(draw(st.tuples(*[st.integers(-15, 15)] * 4))),
        outcomes=outcomes(draw(st.sampled_from([DOUBLE, SINGLE, {0b0101: 1}, {0b1000: 1}]))),
    )
    stretches: list[Stretch] = []
    start = draw(st.integers(-60, 90))
    for _ in range(draw(st.integers(1, 5))):
        stop = start + draw(st.integers(0, 400))
        places = st.tuples(st.integers(start, max(start, stop - 1)), st.integers(0, 3))
        tags = sorted(draw(st.lists(places, max_size=60))) if stop > start else []
        lost: list[tuple[int, int]] = []
        if stop > start and draw(st.booleans()):
            begin = draw(st.integers(start, stop - 1))
            lost.append((begin, draw(st.integers(begin + 1, stop))))
        stretches.append((start, stop, tags, lost))
        start = stop + draw(st.sampled_from([0, 0, 0, 7, 130]))
    return chosen, stretches


@given(cases())
@settings(max_examples=400, deadline=None, derandomize=True)
def test_outcomes_losses_and_bounds_are_those_of_the_definition(
    case: tuple[MatchSettings, list[Stretch]],
) -> None:
    chosen, stretches = case
    assert merged(taken(HeraldMatcher(chosen), stretches)) == slowly(chosen, stretches)


@given(cases(), st.lists(st.integers(0, 400), min_size=1, max_size=8))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_where_the_blocks_end_changes_nothing(
    case: tuple[MatchSettings, list[Stretch]], cuts: list[int]
) -> None:
    chosen, ((start, stop, tags, lost), *_) = case
    whole = merged(taken(HeraldMatcher(chosen), [(start, stop, tags, lost)]))
    edges = sorted({start, stop, *(start + cut for cut in cuts if start + cut < stop)})
    pieces: list[Stretch] = []
    for begin, end in itertools.pairwise(edges):
        inside = [tag for tag in tags if begin <= tag[0] < end]
        cut = [(max(a, begin), min(b, end)) for a, b in lost if a < end and b > begin]
        pieces.append((begin, end, inside, cut))
    if pieces:
        assert merged(taken(HeraldMatcher(chosen), pieces)) == whole


@pytest.mark.parametrize(
    ("at", "other", "heralds"),
    [
        (40, 48, {0: 1}),  # the first picosecond of the window, and the widest spread
        (39, 41, {}),
        (40, 49, {}),
        (59, 52, {0: 1}),  # the last picosecond
        (60, 52, {}),
    ],
)
def test_a_window_takes_its_first_picosecond_and_not_its_end(
    at: int, other: int, heralds: dict[int, int]
) -> None:
    found = taken(HeraldMatcher(PLAIN), [(0, 70, [(at, 0), (other, 1)], [])])
    assert merged(found)[0] == heralds


def test_a_click_too_many_is_no_herald_and_a_second_one_of_the_same_input_is_none() -> None:
    more = taken(HeraldMatcher(PLAIN), [(0, 70, [(45, 0), (46, 1), (47, 2)], [])])
    assert merged(more) == ({}, set(), 0)
    again = taken(HeraldMatcher(PLAIN), [(0, 70, [(45, 0), (46, 1), (58, 0)], [])])
    assert merged(again) == ({0: 1}, set(), 0)


def test_an_input_that_is_late_by_its_cable_is_put_right() -> None:
    late = MatchSettings(
        first_ps=30,
        period_ps=100,
        window_ps=(10, 30),
        coincidence_ps=8,
        delays_ps=(0, 70, 0, -20),
        outcomes=outcomes(DOUBLE),
    )
    found = taken(HeraldMatcher(late), [(0, 300, [(45, 0), (115, 1), (130, 3), (151, 0)], [])])
    assert merged(found) == ({0: 1, 1: 2}, set(), 1)


def test_an_attempt_in_whose_window_a_tag_may_be_missing_is_lost_and_not_heralded() -> None:
    found = taken(HeraldMatcher(PLAIN), [(0, 300, [(45, 0), (46, 1), (145, 0), (146, 1)], [(159, 240)])])
    assert merged(found) == ({0: 1}, {1}, 2)  # the interval ends where the window of attempt 2 begins


def test_a_loss_beside_the_windows_costs_nothing() -> None:
    found = taken(HeraldMatcher(PLAIN), [(0, 200, [(45, 0), (46, 1)], [(60, 140)])])
    assert merged(found) == ({0: 1}, set(), 1)


def test_a_stretch_that_ends_before_it_begins_is_our_own_bug() -> None:
    with pytest.raises(LocalMisuse, match="ends before it begins"):
        HeraldMatcher(PLAIN).take(10, 9, *arrays([]))


def test_settings_of_an_analyser_mean_the_same_here() -> None:
    chosen = match_settings(
        settings_for_travel(40_000, 2, 30_000, architecture="single_click"), [0, 0, 1500, 0]
    )
    assert (chosen.first_ps, chosen.period_ps) == (29_896_000, 20_000_000)
    middle_ps = chosen.first_ps + sum(chosen.window_ps) // 2
    assert middle_ps == 30_000_000
    assert chosen.outcomes == outcomes(SINGLE)
    assert chosen.delays_ps == (0, 0, 1500, 0)


@pytest.mark.parametrize(
    "changed",
    [
        {"windows": (GateWindow(0, 5), GateWindow(5, 5))},
        {"attempts_max": 5},
        {"external_trigger": True},
        {"frame": Frame(slots=(), length_ns=100)},
    ],
    ids=lambda one: next(iter(one)),
)
def test_what_only_an_fpga_does_is_refused(changed: dict[str, object]) -> None:
    wanted = HeraldSettings(link_period_ns=1000, **changed)  # type: ignore[arg-type]  # one key of several kinds
    with pytest.raises(ConfigError, match="FPGA"):
        match_settings(wanted, [0] * 4)


def test_a_window_longer_than_the_period_is_refused() -> None:
    with pytest.raises(ConfigError, match="fit into a period"):
        match_settings(HeraldSettings(link_period_ns=40), [0] * 4)


def light(
    seed: int, attempts: int, photons: Sequence[float], together: float, rates_per_ps: Sequence[float]
) -> tuple[NDArray[np.int64], NDArray[np.int8], NDArray[np.bool_]]:
    """Photons by input and attempt, pairs on inputs 0 and 1, background everywhere; and which are photons."""
    chance = np.random.default_rng(seed)
    times: list[NDArray[np.int64]] = []
    inputs: list[NDArray[np.int8]] = []
    pairs = np.flatnonzero(chance.random(attempts) < together)
    for channel, probability in enumerate(photons):
        lone = np.flatnonzero(chance.random(attempts) < probability)
        mine = np.union1d(lone, pairs) if channel < 2 and together else lone
        times.append(mine * 1000 + 100 + chance.integers(40, 60, len(mine)))
        inputs.append(np.full(len(mine), channel, np.int8))
    real = sum(map(len, times))
    for channel, rate in enumerate(rates_per_ps):
        darks = chance.integers(0, attempts * 1000, chance.poisson(rate * attempts * 1000))
        times.append(darks)
        inputs.append(np.full(len(darks), channel, np.int8))
    time_ps = np.concatenate(times)
    return time_ps, np.concatenate(inputs), np.arange(len(time_ps)) < real


@pytest.mark.parametrize(
    ("photons", "together", "background", "patterns"),
    [
        ((0.004, 0.0, 0.004, 0.0), 0.0, (1e-5, 0.0, 1e-5, 0.0), SINGLE),
        ((0.03, 0.03, 0.0, 0.0), 0.001, (1e-4, 1e-4, 0.0, 0.0), {0b0011: 1}),
    ],
    ids=["one click", "two clicks"],
)
def test_confidence_is_the_share_of_heralds_that_photons_made(
    photons: Sequence[float], together: float, background: Sequence[float], patterns: dict[int, int]
) -> None:
    """400 000 attempts; the origin of each click is known here, to the matcher it is not."""
    attempts = 400_000
    chosen = MatchSettings(
        first_ps=0, period_ps=1000, window_ps=(100, 200), coincidence_ps=100, outcomes=outcomes(patterns)
    )
    time_ps, inputs, real = light(5, attempts, photons, together, background)
    matcher = HeraldMatcher(chosen)
    heralds = [
        one
        for cut in range(0, attempts * 1000, 10_000_000)
        for mask in [(time_ps >= cut) & (time_ps < cut + 10_000_000)]
        for one in matcher.take(cut, cut + 10_000_000, time_ps[mask], inputs[mask]).heralds
    ]
    told = {one.attempt for one in heralds}
    within = (time_ps % 1000 >= 100) & (time_ps % 1000 < 200)
    # Accidental: one of the inputs of the pattern fired by background alone.
    fired = {int(n): set[int]() for n in told}
    for n, channel in zip((time_ps // 1000)[within & real], inputs[within & real], strict=True):
        if int(n) in fired:
            fired[int(n)].add(int(channel))
    wanted = 1 if patterns is SINGLE else 2
    clean = sum(len(channels) >= wanted for channels in fired.values()) / len(told)
    error = sqrt(clean * (1 - clean) / len(told))
    assert 1 - clean > 0.01  # there is something to see
    assert abs(heralds[-1].confidence - clean) <= 4 * error


def test_no_background_seen_is_no_proof_of_none() -> None:
    rates = WindowRates(window_ps=20)
    rates.attempts, rates.beside_ps = 1000.0, 80_000.0
    rates.masks[0b0001] = 10.0
    assert rates.confidence(0b0001) == pytest.approx(1 - (20 / 80_000) / 0.01, rel=1e-3)
    assert rates.confidence(0b0100) == 0.0


def test_losses_do_not_count_as_attempts_without_clicks() -> None:
    matcher = HeraldMatcher(PLAIN)
    matcher.take(0, 1000, *arrays([(45, 0), (46, 1), (545, 0), (546, 1)]), lost=[(500, 600)])
    assert matcher.rates.attempts == 9
    assert matcher.rates.masks[0b0011] == 1
    assert matcher.rates.beside_ps == 9 * 80


@pytest.mark.slow
def test_a_megacount_on_each_of_four_inputs_costs_a_fraction_of_a_core() -> None:
    """100 000 attempts a second, a tenth of each second in windows. The bound is CPU time, some seven times
    what was measured."""
    chosen = MatchSettings(
        first_ps=0,
        period_ps=10_000_000,
        window_ps=(0, 1_000_000),
        coincidence_ps=20_000,
        outcomes=outcomes(DOUBLE),
    )
    chance = np.random.default_rng(1)
    matcher = HeraldMatcher(chosen)
    blocks = []
    for begin in range(0, 10**12, 10**11):
        time_ps = np.sort(chance.integers(begin, begin + 10**11, 400_000))
        blocks.append((begin, begin + 10**11, time_ps, chance.integers(0, 4, 400_000).astype(np.int8)))
    spent_s = -time.process_time()
    decided = [matcher.take(*block).decided_to for block in blocks]
    spent_s += time.process_time()
    assert decided[-1] == 99_999
    assert spent_s < 0.9
