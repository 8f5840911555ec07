"""Streams of a few tags, cut into blocks at random, and what is to be counted in them, by definition.

Plain Python, quadratic, without a line of the engine: every ps is looked at by itself.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from bellwire.drivers.time_tags import TagBlock

Tag = tuple[int, int]
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch: [start, stop), tags (time, channel) in order, losses, and where it is cut into blocks."""

    number: int
    start: int
    stop: int
    tags: tuple[Tag, ...]
    lost: tuple[Span, ...]
    cuts: tuple[int, ...]

    def known(self, time: int) -> bool:
        """Whether all tags of this ps are there."""
        return self.start <= time < self.stop and not any(a <= time < b for a, b in self.lost)

    def blocks(self) -> list[TagBlock]:
        """Its blocks, each with its part of the losses."""
        edges = [self.start, *sorted(self.cuts), self.stop]
        return [self._block(a, b) for a, b in itertools.pairwise(edges)]

    def _block(self, start: int, stop: int) -> TagBlock:
        tags = [tag for tag in self.tags if start <= tag[0] < stop]
        parts = [(max(a, start), min(b, stop)) for a, b in self.lost]
        return TagBlock(
            self.number,
            start,
            stop,
            np.array([time for time, _ in tags], np.int64),
            np.array([channel for _, channel in tags], np.int16),
            tuple(part for part in parts if part[0] < part[1]),
        )


def random_stream(chance: Random, channels: Sequence[int] = (1, 2, 3, 7)) -> list[Epoch]:
    """One or two epochs; empty channels, equal times, losses at edges and cuts anywhere are all usual."""
    return [random_epoch(chance, number, channels) for number in range(chance.choice((1, 1, 2)))]


def random_epoch(chance: Random, number: int, channels: Sequence[int]) -> Epoch:
    """One epoch of up to 60 ps around zero."""
    start = chance.randint(-30, 30)
    stop = start + chance.randint(0, 60)
    here = chance.sample(list(channels), chance.randint(1, len(channels)))
    count = chance.randint(0, 25) if stop > start else 0
    tags = sorted((chance.randrange(start, stop), chance.choice(here)) for _ in range(count))
    lost = []
    for _ in range(chance.choice((0, 0, 0, 1, 2, 3))):
        edge = chance.choice((start, stop, chance.randint(start, stop)))
        other = min(max(edge + chance.randint(-6, 6), start), stop)
        lost.append((min(edge, other), max(edge, other)))
    cuts = [chance.randint(start, stop) for _ in range(chance.choice((0, 1, 3, 8)))]
    return Epoch(number, start, stop, tuple(tags), tuple(lost), tuple(cuts))


@dataclass(frozen=True, slots=True)
class AroundTimes:
    """Singles by channel, coincidences and combinations by pattern, live ps and the rest."""

    singles: dict[int, int]
    coincidences: dict[tuple[int, ...], int]
    combinations: dict[tuple[int, ...], int]
    live: int
    discarded: int


def live_times(epoch: Epoch, needs: Iterable[tuple[int, int, int]]) -> list[int]:
    """All times for which every need (delay, lo, hi) is known."""
    needs = tuple(needs)
    far = 1 + max(abs(delay) + max(abs(lo), abs(hi)) for delay, lo, hi in needs)
    ticks = range(epoch.start - 2 * far, epoch.stop + 2 * far)
    unknown = [0, *itertools.accumulate(not epoch.known(tick) for tick in ticks)]

    def all_known(first: int, last: int) -> bool:
        return unknown[last + 1 - ticks.start] == unknown[first - ticks.start]

    return [
        time
        for time in range(epoch.start - far, epoch.stop + far)
        if all(all_known(time + lo - delay, time + hi - delay) for delay, lo, hi in needs)
    ]


def count_coincidences(
    stream: Sequence[Epoch],
    patterns: Sequence[tuple[int, ...]],
    window: int,
    delays: dict[int, int],
    singles: Sequence[int],
) -> AroundTimes:
    """By the definition in coincidences.py."""
    half = window // 2
    channels = sorted({*itertools.chain.from_iterable(patterns), *singles})
    found = AroundTimes(
        dict.fromkeys(channels, 0), dict.fromkeys(patterns, 0), dict.fromkeys(patterns, 0), 0, 0
    )
    live_sum = span = 0
    for epoch in stream:
        live = set(live_times(epoch, [(delays.get(channel, 0), -half, half) for channel in channels]))
        live_sum += len(live)
        span += epoch.stop - epoch.start
        shifted = [(time + delays.get(channel, 0), channel) for time, channel in epoch.tags]
        for time, channel in shifted:
            if channel in found.singles and time in live:
                found.singles[channel] += 1
        for pattern in patterns:
            for time, channel in shifted:
                if channel != pattern[0] or time not in live:
                    continue
                ways = 1
                for other in pattern[1:]:
                    ways *= sum(c == other and abs(t - time) <= half for t, c in shifted)
                found.combinations[pattern] += ways
                found.coincidences[pattern] += ways > 0
    return AroundTimes(found.singles, found.coincidences, found.combinations, live_sum, span - live_sum)


@dataclass(frozen=True, slots=True)
class Delays:
    """Counts by bin, singles and live ps of a histogram."""

    counts: list[int]
    starts: int
    stops: int
    live: int


def count_delays(
    stream: Sequence[Epoch],
    start: int,
    stop: int,
    bins: tuple[int, int, int],
    delays: dict[int, int],
    *,
    first_only: bool,
) -> Delays:
    """By the definition in histograms.py; bins: lo, width, count."""
    lo, width, count = bins
    counts = [0] * count
    starts = stops = live_sum = 0
    on, off = delays.get(start, 0), delays.get(stop, 0)
    for epoch in stream:
        needs = [(on, 0, 0), (off, 0, 0), (off, 0 if first_only else lo, lo + width * count - 1)]
        live = set(live_times(epoch, needs))
        live_sum += len(live)
        begins = [(t + on, n) for n, (t, c) in enumerate(epoch.tags) if c == start]
        ends = [(t + off, n) for n, (t, c) in enumerate(epoch.tags) if c == stop]
        starts += sum(time in live for time, _ in begins)
        stops += sum(time in live for time, _ in ends)
        for time, number in begins:
            if time not in live:
                continue
            found = [t - time for t, n in ends if n != number]
            if first_only:
                later = [t - time for t, n in ends if (n > number if start == stop else t >= time)]
                found = [min(later)] if later else []
            for delay in found:
                for k in range(count):
                    counts[k] += lo + k * width <= delay < lo + (k + 1) * width
    return Delays(counts, starts, stops, live_sum)


@dataclass(frozen=True, slots=True)
class Attempts:
    """Live attempts, the others, and how often which set of places (with: any of them twice) clicked."""

    live: int
    discarded: int
    patterns: Counter[tuple[frozenset[tuple[int, int]], bool]]
    heralds: list[tuple[int, int]]


def count_attempts(
    stream: Sequence[Epoch],
    channels: Sequence[int],
    period: int,
    windows: Sequence[Span],
    t0: int,
    delays: dict[int, int],
    is_herald: Callable[[frozenset[tuple[int, int]], bool], bool],
) -> Attempts:
    """By the definition in patterns.py."""
    live = discarded = 0
    patterns: Counter[tuple[frozenset[tuple[int, int]], bool]] = Counter()
    heralds = []
    for epoch in stream:
        far = (max(map(abs, delays.values()), default=0) + abs(t0) + 100) // period + 3
        touching = []
        for attempt in range(epoch.start // period - far, epoch.stop // period + far):
            ticks = [
                (tick + t0 + attempt * period - delays.get(channel, 0))
                for channel in channels
                for a, b in windows
                for tick in range(a, b)
            ]
            if any(epoch.start <= tick < epoch.stop for tick in ticks):
                touching.append(attempt)
            if not all(map(epoch.known, ticks)):
                continue
            live += 1
            discarded -= 1
            clicks: Counter[tuple[int, int]] = Counter()
            for time, channel in epoch.tags:
                phase = time + delays.get(channel, 0) - t0 - attempt * period
                for gate, (a, b) in enumerate(windows):
                    if channel in channels and a <= phase < b:
                        clicks[list(channels).index(channel), gate] += 1
            seen = frozenset(clicks), any(number > 1 for number in clicks.values())
            patterns[seen] += 1
            if clicks and is_herald(*seen):
                heralds.append((epoch.number, attempt))
        if touching:
            discarded += touching[-1] - touching[0] + 1
    return Attempts(live, discarded, patterns, heralds)
