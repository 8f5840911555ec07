"""Singles and coincidences of time tags, with every interval that overlaps a loss left out.

Owns what a coincidence of tags is and which stretches of time may be counted. Pure arithmetic on blocks
(numpy, no device, no clock). Refuses to guess: where tags may be missing nothing is counted, and the time
that was left out is told.

A coincidence of the pattern (a, b, ...) is a tag of `a` with at least one tag of every other channel of the
pattern no farther than half the window from it; partners may be shared. That is what gated counters in
hardware count, up to the choice of the first channel.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.tags.intervals import merged
from bellwire.drivers.time_tags import TagBlock

if TYPE_CHECKING:
    from numpy.typing import NDArray

Pattern = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of the intervals in which nothing was lost.

    `live_ps`: the time they cover. `discarded_ps`: the rest of the block, which says nothing.
    """

    live_ps: int
    discarded_ps: int
    singles: Mapping[int, int]
    coincidences: Mapping[Pattern, int]


def losses(block: TagBlock, margin_ps: int = 0) -> NDArray[np.int64]:
    """The losses of a block, clipped to it, joined where they touch, in order; shape (n, 2).

    Each is widened by `margin_ps` on both sides before.
    """
    clipped = (
        (max(start - margin_ps, block.start_ps), min(stop + margin_ps, block.stop_ps))
        for start, stop in block.lost
    )
    return np.array(merged(clipped), np.int64).reshape(-1, 2)


def joined(blocks: Sequence[TagBlock]) -> TagBlock:
    """One block of consecutive blocks; what lies between two of them becomes a loss.

    Raises LocalMisuse for no block, for blocks of different epochs, or out of order.
    """
    if not blocks:
        raise LocalMisuse("no block to join")
    lost: list[tuple[int, int]] = list(blocks[0].lost)
    for before, after in itertools.pairwise(blocks):
        if after.epoch != before.epoch:
            raise LocalMisuse(
                f"epochs {before.epoch} and {after.epoch} have different times: count each by itself"
            )
        if after.start_ps < before.stop_ps:
            raise LocalMisuse(f"a block from {after.start_ps} ps follows one up to {before.stop_ps} ps")
        if after.start_ps > before.stop_ps:
            lost.append((before.stop_ps, after.start_ps))
        lost += after.lost
    return TagBlock(
        blocks[0].epoch,
        blocks[0].start_ps,
        blocks[-1].stop_ps,
        np.concatenate([block.time_ps for block in blocks]),
        np.concatenate([block.channel for block in blocks]),
        tuple(lost),
    )


def times_by_channel(block: TagBlock, channels: Iterable[int]) -> dict[int, NDArray[np.int64]]:
    """The tags of each channel in ps, in order."""
    return {channel: block.time_ps[block.channel == channel] for channel in channels}


def check_pattern(pattern: Pattern) -> None:
    """Raises LocalMisuse for a pattern of less than two channels, or that names one twice."""
    if len(pattern) < 2 or len(set(pattern)) != len(pattern):
        raise LocalMisuse(f"{pattern} is no pattern of two or more different channels")


def coincidence_times(
    times: Mapping[int, NDArray[np.int64]], pattern: Pattern, window_ps: int
) -> NDArray[np.int64]:
    """When the first channel of a pattern was in coincidence with all others, losses or not; ps, in order.

    Raises LocalMisuse for a pattern of less than two channels, or that names one twice.
    """
    check_pattern(pattern)
    if window_ps < 0:
        raise LocalMisuse(f"a coincidence window of {window_ps} ps: it cannot be negative")
    half_ps = window_ps // 2
    together = times[pattern[0]]
    for channel in pattern[1:]:
        partners = times[channel]
        first = np.searchsorted(partners, together - half_ps, side="left")
        past = np.searchsorted(partners, together + half_ps, side="right")
        together = together[past > first]
    return together


def tally(
    block: TagBlock,
    *,
    interval_ps: int,
    channels: Iterable[int],
    patterns: Iterable[Pattern] = (),
    window_ps: int = 0,
) -> Tally:
    """Count a block in intervals of `interval_ps` from its start, without those that overlap a loss.

    A loss reaches half a window beyond its ends, because a partner may be missing there. What remains at
    the end of the block and is no whole interval is left out too. Raises LocalMisuse.
    """
    if interval_ps <= 0:
        raise LocalMisuse(f"an interval of {interval_ps} ps: it must be positive")
    patterns, channels = tuple(patterns), tuple(channels)
    good = _good_intervals(block, interval_ps, window_ps // 2)
    live_ps = int(good.sum()) * interval_ps
    times = times_by_channel(block, {*channels, *itertools.chain.from_iterable(patterns)})
    return Tally(
        live_ps,
        block.stop_ps - block.start_ps - live_ps,
        {channel: _within(block, times[channel], good, interval_ps) for channel in channels},
        {
            pattern: _within(block, coincidence_times(times, pattern, window_ps), good, interval_ps)
            for pattern in patterns
        },
    )


def _good_intervals(block: TagBlock, interval_ps: int, margin_ps: int) -> NDArray[np.bool_]:
    count = (block.stop_ps - block.start_ps) // interval_ps
    good = np.ones(count, np.bool_)
    for start, stop in losses(block, margin_ps):
        first = (int(start) - block.start_ps) // interval_ps
        past = -((block.start_ps - int(stop)) // interval_ps)
        good[first:past] = False
    return good


def _within(block: TagBlock, times: NDArray[np.int64], good: NDArray[np.bool_], interval_ps: int) -> int:
    """How many of the times, which are in order, lie in good intervals."""
    if len(good) == 0:
        return 0
    changes = np.flatnonzero(np.diff(good)) + 1
    first = np.concatenate([[0], changes])[good[np.concatenate([[0], changes])]]
    bounds = np.concatenate([[0], changes, [len(good)]])
    past = bounds[np.searchsorted(bounds, first, side="right")]
    edges = block.start_ps + interval_ps * np.stack([first, past])
    found = np.searchsorted(times, edges)
    return int((found[1] - found[0]).sum())
