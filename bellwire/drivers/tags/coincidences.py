"""Coincidences of any number of channels in a stream of tags, and the singles of the same time.

Owns the definition, which is that of tag_counting.py. A coincidence of the pattern (a, b, ...) is a tag of
`a` with at least one tag of every other channel no farther than half the window from it, half the window
included: |t_b - t_a| <= window_ps // 2, delays added. Partners may be shared. A combination is one way to
choose a partner in every other channel, so that combinations of two channels are all pairs within
[-half, half]. In whole ps that window is 2 * half + 1 wide.

A time t is live when all channels are known on [t - half, t + half]; a tag of `a` counts at its own time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.tag_counting import Pattern, check_pattern
from bellwire.drivers.tags.live_times import LiveTimeCounter, Need, number
from bellwire.drivers.tags.pairs import pairs_within, with_partners

if TYPE_CHECKING:
    from bellwire.drivers.tags.live_times import Runs


@dataclass(frozen=True, slots=True)
class Coincidences:
    """Counts of `live_ps`. `width_ps`: the number of ps in the window, for rates of accidentals.

    `singles`: by channel. `coincidences`, `combinations`: by pattern, as defined above.
    """

    live_ps: int
    discarded_ps: int
    width_ps: int
    singles: Mapping[int, int]
    coincidences: Mapping[Pattern, int]
    combinations: Mapping[Pattern, int]


class StreamedCoincidences(LiveTimeCounter):
    """`take` blocks, then `result`. `delays_ps`: added to the times of a channel. `singles`: channels that
    are in no pattern. Raises LocalMisuse for a pattern of less than two channels or one twice.
    """

    def __init__(
        self,
        patterns: Iterable[Pattern],
        window_ps: int,
        delays_ps: Mapping[int, int] | None = None,
        *,
        singles: Iterable[int] = (),
    ) -> None:
        self._patterns = tuple(dict.fromkeys(tuple(pattern) for pattern in patterns))
        for pattern in self._patterns:
            check_pattern(pattern)
        if window_ps < 0:
            raise LocalMisuse(f"a coincidence window of {window_ps} ps: it cannot be negative")
        self._half_ps = window_ps // 2
        channels = {channel for pattern in self._patterns for channel in pattern} | set(singles)
        if not channels:
            raise LocalMisuse("no pattern and no channel to count")
        super().__init__([Need(one, -self._half_ps, self._half_ps) for one in channels], delays_ps)
        self._singles = np.zeros(len(self._channels), np.int64)
        self._met = dict.fromkeys(self._patterns, 0)
        self._ways = dict.fromkeys(self._patterns, 0)

    def result(self) -> Coincidences:
        """What was counted so far."""
        return Coincidences(
            self.live_ps,
            self.discarded_ps,
            2 * self._half_ps + 1,
            {channel: int(self._singles[slot]) for channel, slot in self._slot.items()},
            dict(self._met),
            dict(self._ways),
        )

    def _count(self, runs: list[Runs]) -> None:
        for slot, here in enumerate(runs):
            self._singles[slot] += number(here)
        for pattern in self._patterns:
            first = self._slot[pattern[0]]
            if runs[first]:
                self._count_pattern(pattern, first, runs[first])

    def _count_pattern(self, pattern: Pattern, first: int, runs: Runs) -> None:
        lo_ps, hi_ps = -self._half_ps, self._half_ps
        times, ways = self._live_tags(first, runs), None
        for channel in pattern[1:-1]:
            times, ways = with_partners(times, ways, self._buffers.of(self._slot[channel]), lo_ps, hi_ps)
        partners = self._buffers.of(self._slot[pattern[-1]])
        if ways is None:
            met, pairs = pairs_within(times, partners, lo_ps, hi_ps)
            self._met[pattern] += met
            self._ways[pattern] += pairs
        else:
            times, ways = with_partners(times, ways, partners, lo_ps, hi_ps)
            self._met[pattern] += len(times)
            self._ways[pattern] += int(ways.sum())
