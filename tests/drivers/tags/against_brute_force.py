"""One random case of each counter against its definition; what quick tests and proofs have in common."""

from __future__ import annotations

from random import Random

import pytest

from bellwire.drivers.tags import blocks_in_order
from bellwire.drivers.tags.coincidences import StreamedCoincidences
from bellwire.drivers.tags.gates import Gates
from bellwire.drivers.tags.histograms import Bins, StreamedCorrelation, StreamedStartStop
from bellwire.drivers.tags.pattern_tables import Click, pattern_table
from bellwire.drivers.tags.patterns import StreamedPatterns
from tests.drivers.tags.brute_force import (
    count_attempts,
    count_coincidences,
    count_delays,
    random_stream,
)

CHANNELS = (1, 2, 3, 7)


def random_delays(chance: Random) -> dict[int, int]:
    """Mostly none; some so long that partners lie several blocks away."""
    reach = chance.choice((0, 0, 4, 25))
    return {channel: chance.randint(-reach, reach) for channel in CHANNELS if reach}


def check_coincidences(chance: Random) -> None:
    stream, delays = random_stream(chance), random_delays(chance)
    patterns = [tuple(chance.sample(CHANNELS, chance.randint(2, 4))) for _ in range(chance.randint(1, 3))]
    used = {channel for pattern in patterns for channel in pattern}
    singles = [channel for channel in CHANNELS if channel not in used and chance.random() < 0.3]
    delays = {channel: delay for channel, delay in delays.items() if channel in used or channel in singles}
    window = chance.choice((0, 1, 2, 3, 6, 11))
    counter = StreamedCoincidences(patterns, window, delays, singles=singles)
    for epoch in stream:
        for block in epoch.blocks():
            counter.take(block)
    expected = count_coincidences(stream, list(dict.fromkeys(patterns)), window, delays, singles)
    found = counter.result()
    assert found.live_ps == expected.live
    assert found.discarded_ps == expected.discarded
    assert found.singles == expected.singles
    assert found.coincidences == expected.coincidences
    assert found.combinations == expected.combinations


def check_histograms(chance: Random) -> None:
    stream = random_stream(chance)
    start, stop = chance.choice(CHANNELS), chance.choice(CHANNELS)
    delays = {c: delay for c, delay in random_delays(chance).items() if c in (start, stop)}
    lo, width, count = chance.randint(-15, 15), chance.randint(1, 7), chance.randint(1, 6)
    for first_only in (False, True):
        lo = abs(lo) if first_only else lo
        kind = StreamedStartStop if first_only else StreamedCorrelation
        counter = kind(start, stop, Bins(lo, width, count), delays)
        for epoch in stream:
            for block in epoch.blocks():
                counter.take(block)
        expected = count_delays(stream, start, stop, (lo, width, count), delays, first_only=first_only)
        found = counter.result()
        assert found.counts.tolist() == expected.counts
        assert (found.starts, found.stops, found.live_ps) == (expected.starts, expected.stops, expected.live)
        assert found.live_ps + found.discarded_ps == sum(epoch.stop - epoch.start for epoch in stream)


def check_patterns(chance: Random) -> None:
    stream = random_stream(chance)
    channels = chance.sample(CHANNELS, chance.randint(1, 4))
    delays = {c: delay for c, delay in random_delays(chance).items() if c in channels}
    period, gates = chance.randint(2, 20), chance.randint(1, 2)
    edges = sorted(chance.sample(range(period + 1), min(period + 1, 2 * gates)))
    windows = list(zip(edges[::2], edges[1::2], strict=False))
    t0 = chance.randint(-40, 40)
    weights = {place: chance.randint(0, 3) for place in ((c, g) for c in range(4) for g in range(2))}

    def rule(clicks: tuple[Click, ...], again: bool) -> str:
        return str((sum(weights[click] for click in clicks) + again) % 3)

    table = pattern_table(channels, len(windows), rule)
    counter = StreamedPatterns(
        table, Gates(period, windows, t0), delays, keep=("1",) if "1" in table.outcomes else ()
    )
    for epoch in stream:
        for block in epoch.blocks():
            counter.take(block)
    expected = count_attempts(
        stream, channels, period, windows, t0, delays, lambda clicks, again: rule(tuple(clicks), again) == "1"
    )
    found = counter.result()
    assert (found.attempts, found.discarded) == (expected.live, expected.discarded)
    patterns = {}
    for pattern, number in found.patterns.items():
        clicks, again = table.clicks(pattern)
        patterns[frozenset(clicks), again] = number
    assert patterns == dict(expected.patterns)
    outcomes = dict.fromkeys(table.outcomes, 0)
    for (clicks_of, again), number in expected.patterns.items():
        outcomes[rule(tuple(clicks_of), again) if clicks_of else "no_herald"] += number
    assert found.outcomes == outcomes
    heralds = [(part.epoch, int(attempt)) for part in counter.heralds() for attempt in part.attempt]
    assert heralds == expected.heralds


def in_small_pieces(monkeypatch: pytest.MonkeyPatch, tags: int) -> None:
    """Let the engine cut as often as it can."""
    monkeypatch.setattr(blocks_in_order, "PIECE_TAGS", tags)
