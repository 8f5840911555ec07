"""The tags of a stream by channel, each shifted by its delay, as long as somebody may still ask for them.

Owns the splitting of pieces and the memory for what waits, which grows with rate times waiting time and
with nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

from bellwire.core.errors import LocalMisuse

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHANNEL_MIN: Final = -(1 << 15)
CHANNEL_MAX: Final = (1 << 15) - 1


def slots_by_channel(channels: Sequence[int]) -> NDArray[np.int64]:
    """Position of each channel in `channels`, at its number as uint16; len(channels) for all others.

    Raises LocalMisuse for a channel that is there twice or is no int16.
    """
    slots = np.full(1 << 16, len(channels), np.int64)
    for slot, channel in enumerate(channels):
        if not CHANNEL_MIN <= channel <= CHANNEL_MAX:
            raise LocalMisuse(f"channel {channel} is not within {CHANNEL_MIN} to {CHANNEL_MAX}")
        if slots[channel] != len(channels):
            raise LocalMisuse(f"channel {channel} is named twice")
        slots[channel] = slot
    return slots


def delays_of(channels: Sequence[int], delays_ps: Mapping[int, int] | None) -> list[int]:
    """The delay of each channel; 0 where none is given.

    Raises LocalMisuse for the delay of a channel that is not counted: it is misspelt.
    """
    delays_ps = delays_ps or {}
    if unknown := sorted(set(delays_ps) - set(channels)):
        raise LocalMisuse(f"delays of channels {unknown}, but only {sorted(channels)} are counted")
    return [int(delays_ps.get(channel, 0)) for channel in channels]


class ChannelBuffers:
    """Times by slot, the position of a channel in the list it was made with."""

    def __init__(self, channels: Sequence[int], delays_ps: Sequence[int]) -> None:
        self._slots = slots_by_channel(channels)
        self._delays = np.array([*delays_ps, 0], np.int64)
        self._times = np.empty((len(channels) + 1, 0), np.int64)
        self._from = np.zeros(len(channels) + 1, np.int64)
        self._past = np.zeros(len(channels) + 1, np.int64)

    def clear(self) -> None:
        """Forget all tags."""
        self._from[:] = self._past[:] = 0

    def put(self, times: NDArray[np.int64], channels: NDArray[np.int16]) -> None:
        """Append tags. Raises LocalMisuse when their times fall."""
        self._make_room(len(times))
        self._past[-1] = 0  # the last row takes the channels that nobody counts
        if _split(times, channels, self._slots, self._delays, self._times, self._past):
            raise LocalMisuse("a block whose times are not in order: sort them before")

    def of(self, slot: int) -> NDArray[np.int64]:
        """The times of one channel in ps, delay added; a view until the next `put`."""
        return self._times[slot, self._from[slot] : self._past[slot]]

    def forget(self, slot: int, before_ps: int) -> None:
        """Drop the times of one channel that are less."""
        self._from[slot] += np.searchsorted(self.of(slot), before_ps)

    def _make_room(self, count: int) -> None:
        capacity = self._times.shape[1]
        if int(self._past[:-1].max(initial=0)) + count <= capacity:
            return
        waiting = self._past - self._from
        most = int(waiting[:-1].max(initial=0))
        times = self._times
        if 2 * (most + count) > capacity:  # half of it free after each move: a tag is moved once on average
            times = np.empty((len(self._past), 2 * (most + count)), np.int64)
        for slot in range(len(self._past) - 1):
            times[slot, : waiting[slot]] = self.of(slot)
        self._times = times
        self._past[:-1] = waiting[:-1]
        self._from[:] = 0


@njit(cache=True, nogil=True)
def _split(
    times: NDArray[np.int64],
    channels: NDArray[np.int16],
    slots: NDArray[np.int64],
    delays: NDArray[np.int64],
    into: NDArray[np.int64],
    past: NDArray[np.int64],
) -> bool:
    """Append to the row of each slot, and tell whether any time is less than the one before."""
    falls = np.int64(0)
    before = times[0] if times.size else 0
    for i in range(times.size):
        time = times[i]
        slot = np.uint64(slots[np.uint16(channels[i])])
        into[slot, np.uint64(past[slot])] = time + delays[slot]
        past[slot] += 1
        falls |= np.int64(time < before)
        before = time
    return bool(falls != 0)
