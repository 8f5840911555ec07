"""Patterns of clicks by attempt in a stream of tags, and the outcomes that a table gives them.

Owns validity and carry-over by attempt. An attempt is live when every gate of every channel is known in full:
no loss, no beginning and no end of an epoch touches one of them. A loss between gates costs nothing. A live
attempt is decided exactly once, when all its gates are over; one that is not live has no outcome. Hence
results do not depend on blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.tags.blocks_in_order import TagCounter, check_delays
from bellwire.drivers.tags.channel_buffers import delays_of, slots_by_channel
from bellwire.drivers.tags.gates import Gates
from bellwire.drivers.tags.gating import add_patterns, find_clicks, find_patterns
from bellwire.drivers.tags.intervals import IntervalSet
from bellwire.drivers.tags.pattern_tables import PatternTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

CLICK_MAX: Final = 1 << 62
"""Beyond every click as a number."""


@dataclass(frozen=True, slots=True)
class PatternCounts:
    """Counts of `attempts` live attempts. `discarded`: the others, from the first to the last attempt of
    each epoch that has a gate, or a part of one, within its blocks. `live_ps`, `discarded_ps`: their periods.

    `outcomes`: by name, attempts without a click among `no_herald`. `patterns`: by the bits of
    `PatternTable`, those that occurred, 0 for no click.
    """

    attempts: int
    discarded: int
    live_ps: int
    discarded_ps: int
    outcomes: Mapping[str, int]
    patterns: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Heralds:
    """Attempts in order and the index of their outcome in `PatternTable.outcomes`; shape (n,)."""

    epoch: int
    attempt: NDArray[np.int64]
    outcome: NDArray[np.uint8]


class StreamedPatterns(TagCounter):
    """`take` blocks, then `result`. `delays_ps`: added to the times of a channel.

    keep: names of outcomes whose attempts `heralds` hands over. Raises LocalMisuse.
    """

    def __init__(
        self,
        table: PatternTable,
        gates: Gates,
        delays_ps: Mapping[int, int] | None = None,
        *,
        keep: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        if len(gates.windows_ps) != table.gates:
            raise LocalMisuse(f"{len(gates.windows_ps)} gates, but the table is made for {table.gates}")
        if unknown := sorted(set(keep) - set(table.outcomes)):
            raise LocalMisuse(f"outcomes {unknown} are not among {table.outcomes}")
        self._table, self._gates, self._keep = table, gates, keep
        self._delays = delays_of(table.channels, delays_ps)
        check_delays(*self._delays)
        self._slots = slots_by_channel(table.channels)
        windows = [
            (start - delay, stop - delay) for start, stop in gates.windows_ps for delay in self._delays
        ]
        self._windows = sorted(set(windows))
        self._places = len(table.channels) * table.gates
        self._bits = max(1, (self._places - 1).bit_length())
        shape = (len(table.channels) + 1, table.gates)  # the last row: channels that nobody counts
        self._froms = np.zeros(shape, np.int64)
        self._widths = np.zeros(shape, np.uint64)
        self._froms[:-1] = [start for start, _ in gates.windows_ps]
        self._widths[:-1] = [stop - start for start, stop in gates.windows_ps]
        self._kept = np.isin(table.outcomes, keep)[table.codes]
        self._heralds: list[Heralds] = []
        self._dead = IntervalSet()
        self._clicks = self._room = np.empty(0, np.int64)
        self._base = self._next = 0
        self._counts = np.zeros(2 << self._places, np.int64)
        self._attempts = self._earlier = self._start_ps = 0

    def result(self) -> PatternCounts:
        """What was counted so far."""
        counts = self._counts.copy()
        counts[0] = self._attempts - counts.sum()
        by_code = np.zeros(len(self._table.outcomes), np.int64)
        np.add.at(by_code, self._table.codes, counts)
        discarded = self._earlier + self._in_epoch() - self._attempts
        return PatternCounts(
            self._attempts,
            discarded,
            self._attempts * self._gates.period_ps,
            discarded * self._gates.period_ps,
            {name: int(count) for name, count in zip(self._table.outcomes, by_code, strict=True)},
            {int(pattern): int(counts[pattern]) for pattern in np.flatnonzero(counts)},
        )

    def heralds(self) -> list[Heralds]:
        """The kept attempts since this was last asked, in order."""
        found, self._heralds = self._heralds, []
        return found

    def _begin(self, start_ps: int) -> None:
        self._earlier += self._in_epoch()
        self._start_ps = start_ps
        self._dead = IntervalSet()
        self._clicks = self._clicks[:0]
        self._next = self._first_after(start_ps)

    def _lose(self, start_ps: int, stop_ps: int) -> None:
        for window in self._windows:
            self._dead.add(*self._touched(start_ps, stop_ps, *window))

    def _advance(self, times: Integers, channels: NDArray[np.int16], known_ps: int) -> None:
        if len(times):
            self._find(times, channels)
        ripe = (known_ps - self._gates.t0_ps - max(stop for _, stop in self._windows)) // (
            self._gates.period_ps
        ) + 1
        if ripe > self._next:
            live = self._dead.gaps(self._next, ripe)
            self._attempts += sum(past - first for first, past in live)
            for first, past in live:
                self._decide(self._clicks[self._place(first) : self._place(past)])
            self._clicks = self._clicks[self._place(ripe) :]
            self._dead.forget(ripe)
            self._next = ripe
        self._clicks = self._clicks.copy()  # out of the room that the next piece is written to

    def _find(self, times: Integers, channels: NDArray[np.int16]) -> None:
        """Join the clicks of a piece to those that wait, all counted from one base."""
        t0_ps, period_ps = self._gates.t0_ps, self._gates.period_ps
        earliest = (int(times[0]) + min(0, *self._delays) - t0_ps) // period_ps
        base = min(self._next, earliest)
        shifts = np.array([delay - t0_ps - base * period_ps for delay in (*self._delays, 0)], np.int64)
        if len(self._room) <= len(times):
            self._room = np.empty(len(times) + 1, np.int64)
        count, ordered, sound = find_clicks(
            times,
            channels,
            self._slots,
            shifts,
            period_ps,
            self._froms,
            self._widths,
            self._bits,
            self._room,
        )
        if not sound:
            raise LocalMisuse("a block whose times are not in order: sort them before")
        clicks = self._room[:count]
        if len(self._clicks):
            waiting = self._clicks + ((self._base - base) << self._bits)
            # By attempt, as within a piece: which place of an attempt clicked first is all the same.
            ordered = ordered and (count == 0 or waiting[-1] >> self._bits <= clicks[0] >> self._bits)
            clicks = np.concatenate([waiting, clicks])
        self._clicks, self._base = clicks if ordered else np.sort(clicks), base

    def _place(self, attempt: int) -> int:
        """Where the clicks of this attempt and of later ones begin."""
        return int(np.searchsorted(self._clicks, min((attempt - self._base) << self._bits, CLICK_MAX)))

    def _decide(self, clicks: Integers) -> None:
        if len(clicks) == 0:
            return
        attempts, patterns = np.empty(len(clicks) + 1, np.int64), np.empty(len(clicks) + 1, np.int64)
        count = int(find_patterns(clicks, self._bits, self._places, attempts, patterns))
        add_patterns(patterns[:count], self._counts)
        if self._keep and self._epoch is not None:
            kept = np.flatnonzero(self._kept[patterns[:count]])
            if len(kept):
                codes = self._table.codes[patterns[kept]]
                self._heralds.append(Heralds(self._epoch, attempts[kept] + self._base, codes))

    def _touched(self, start_ps: int, stop_ps: int, window_from: int, window_to: int) -> tuple[int, int]:
        """The attempts [first, past) of which this window overlaps [start_ps, stop_ps)."""
        t0_ps, period_ps = self._gates.t0_ps, self._gates.period_ps
        return (start_ps - t0_ps - window_to) // period_ps + 1, -(
            (t0_ps + window_from - stop_ps) // period_ps
        )

    def _first_after(self, start_ps: int) -> int:
        """The first attempt none of whose windows begins before `start_ps`."""
        earliest = min(start for start, _ in self._windows)
        return -((self._gates.t0_ps + earliest - start_ps) // self._gates.period_ps)

    def _in_epoch(self) -> int:
        """How many attempts there are from the first to the last that this epoch touches."""
        if self._known_ps <= self._start_ps:
            return 0
        each = [self._touched(self._start_ps, self._known_ps, *window) for window in self._windows]
        touched = [(first, past) for first, past in each if first < past]
        if not touched:
            return 0
        return max(past for _, past in touched) - min(first for first, _ in touched)
