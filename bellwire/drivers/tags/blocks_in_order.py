"""A stream of blocks as every counter reads it: in order, epoch by epoch, in pieces that fit the cache.

Owns the checks of blocks, the losses between and within them, and the cutting. Because blocks are cut into
pieces here anyway, no counter can depend on how they were cut before. Refuses to sort: a block that is not in
order is a fault of its maker.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

import numpy as np

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.time_tags import TagBlock

if TYPE_CHECKING:
    from numpy.typing import NDArray

PIECE_TAGS: Final = 1 << 16
"""Tags of a piece: times, channels and what is made of them stay within a second-level cache of 2 MB."""

PIECE_PS: Final = 1 << 51
"""Span of a piece, 38 minutes: differences within a piece and a delay are exact as float64."""

DELAY_MAX_PS: Final = 1 << 50
"""Delays, windows and ranges, 19 minutes either way."""

TIME_MAX_PS: Final = 1 << 61
"""Times, 27 days of ps from zero: sums with delays stay within int64."""


class TagCounter(ABC):
    """What all counters of a stream have in common; `take` is how they are fed.

    A result covers what was taken so far as though the stream ended there. Until the first block and beyond
    the last nothing is known, as within a loss.
    """

    def __init__(self) -> None:
        self._epoch: int | None = None  # before the first block
        self._known_ps = 0
        self._span_ps = 0

    def take(self, block: TagBlock) -> None:
        """Count one block more; its arrays are not kept.

        What lies between two blocks of an epoch is lost. A block of another epoch starts anew: its time has
        nothing to do with the time before. Raises LocalMisuse for a block that goes back in time, or whose
        tags are not in order and within [start_ps, stop_ps); the counter is of no use after that.
        """
        _check(block)
        if block.epoch != self._epoch:
            self._begin(block.start_ps)
            self._epoch, self._known_ps = block.epoch, block.start_ps
        elif block.start_ps < self._known_ps:
            raise LocalMisuse(f"a block from {block.start_ps} ps follows one up to {self._known_ps} ps")
        elif block.start_ps > self._known_ps:
            self._lose(self._known_ps, block.start_ps)
        for start, stop in block.lost:
            clipped = max(start, block.start_ps), min(stop, block.stop_ps)
            if clipped[0] < clipped[1]:
                self._lose(*clipped)
        self._span_ps += block.stop_ps - self._known_ps
        times, channels, count = block.time_ps, block.channel, len(block.time_ps)
        first = 0
        while first < count:
            start_ps = int(times[first])
            if start_ps - self._known_ps > PIECE_PS:
                self._advance(times[:0], channels[:0], start_ps)
            past = min(first + PIECE_TAGS, count)
            if int(times[past - 1]) - start_ps > PIECE_PS:
                past = first + int(np.searchsorted(times[first:past], start_ps + PIECE_PS, side="right"))
            if past < count and times[past] < times[past - 1]:
                raise LocalMisuse("a block whose times are not in order: sort them before")
            self._known_ps = int(times[past]) if past < count else block.stop_ps
            self._advance(
                np.ascontiguousarray(times[first:past]),
                np.ascontiguousarray(channels[first:past]),
                self._known_ps,
            )
            first = past
        if count == 0:
            self._known_ps = block.stop_ps
            self._advance(times, channels, block.stop_ps)

    @abstractmethod
    def _begin(self, start_ps: int) -> None:
        """An epoch begins; nothing is known before `start_ps`. `_known_ps` is still that of the last one."""

    @abstractmethod
    def _lose(self, start_ps: int, stop_ps: int) -> None:
        """Tags may be missing in [start_ps, stop_ps), which lies after all that is known so far."""

    @abstractmethod
    def _advance(self, times: NDArray[np.int64], channels: NDArray[np.int16], known_ps: int) -> None:
        """The next tags. All before `known_ps` have come with them; of those at it, some may have."""


def check_delays(*delays_ps: int) -> None:
    """Raises LocalMisuse for a delay, window or range beyond DELAY_MAX_PS."""
    for delay_ps in delays_ps:
        if abs(delay_ps) > DELAY_MAX_PS:
            raise LocalMisuse(f"{delay_ps} ps is beyond {DELAY_MAX_PS} ps: take the whole part off the times")


def _check(block: TagBlock) -> None:
    if block.stop_ps < block.start_ps:
        raise LocalMisuse(
            f"a block from {block.start_ps} ps to {block.stop_ps} ps: its end is before its start"
        )
    if max(-block.start_ps, block.stop_ps) > TIME_MAX_PS:
        raise LocalMisuse(f"a block from {block.start_ps} to {block.stop_ps} ps is beyond {TIME_MAX_PS} ps")
    if len(block.time_ps) != len(block.channel):
        raise LocalMisuse(f"{len(block.time_ps)} times and {len(block.channel)} channels in one block")
    if block.time_ps.dtype != np.int64 or block.channel.dtype != np.int16:
        raise LocalMisuse(
            f"times of {block.time_ps.dtype} and channels of {block.channel.dtype}: int64 and int16"
        )
    if len(block.time_ps) and not (block.start_ps <= block.time_ps[0] and block.time_ps[-1] < block.stop_ps):
        raise LocalMisuse(
            f"tags from {block.time_ps[0]} to {block.time_ps[-1]} ps in a block"
            f" of [{block.start_ps}, {block.stop_ps}) ps"
        )
