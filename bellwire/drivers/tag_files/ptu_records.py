"""The T2 records of PicoQuant's instruments: 32 bits that are a photon, a marker, or time going round.

Owns the arithmetic of all kinds of record. Inputs are channels 1 and up as on the front, the sync input is 0,
marker inputs 1 to 4 are channels 101 to 104; of a PicoHarp the number is that of its router or input.
Refuses records that no instrument writes. (PicoQuant, PTU demos and manuals of the instruments.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PICOHARP = 0x00010203
HYDRAHARP_1 = 0x00010204
GENERIC = 0x00010207
KINDS = {
    PICOHARP: "PicoHarp",
    HYDRAHARP_1: "HydraHarp 1",
    0x01010204: "HydraHarp 2",
    0x00010205: "TimeHarp 260 N",
    0x00010206: "TimeHarp 260 P",
    GENERIC: "MultiHarp and later",
}
MARKER_BASE = 100
MARKERS = 4
INPUTS_MAX = 63
TURN_BITS = 25
TURN = 1 << TURN_BITS
TURN_HYDRAHARP_1 = 33_552_000
TURN_PICOHARP = 210_698_240
PICOHARP_INPUTS_MAX = 4
SPECIAL = 1 << 31
OVERFLOW = 63
TURNING = SPECIAL | OVERFLOW << TURN_BITS
TURNS_AT_ONCE = 127
"""Of a record that we write: some readers multiply turns in 32 bits."""
TURNS_MAX = 1 << 36
"""More turns in one piece are no measurement; the sum stays within 64 bits."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """Tags of some records: ticks, channels, number of the record of each, and which are markers.

    `turned`: ticks that have gone round after the last record. `wrong`: the first record that no instrument
    writes; what stands before it is decoded.
    """

    ticks: NDArray[np.int64]
    channel: NDArray[np.int16]
    record: NDArray[np.int64]
    is_marker: NDArray[np.bool_]
    turned: int
    wrong: int | None


def decode(words: NDArray[np.uint32], kind: int, turned: int) -> Decoded:
    """Records in order; `turned`: ticks that had gone round before the first."""
    word = words.astype(np.int64)
    split = _split_picoharp if kind == PICOHARP else _split_others
    time, channel, marker, turns, wrong = split(word, kind)
    turn = {PICOHARP: TURN_PICOHARP, HYDRAHARP_1: TURN_HYDRAHARP_1}.get(kind, TURN)
    total = np.cumsum(turns)
    wrong |= (total > TURNS_MAX) | (total < 0)
    end = int(np.argmax(wrong)) if bool(wrong.any()) else len(word)
    base = turned + total[:end] * turn
    marker = marker[:end]
    photons = np.flatnonzero((turns[:end] == 0) & (marker == 0))
    marked, line = np.nonzero((marker[:, None] >> np.arange(MARKERS)) & 1)
    record = np.concatenate([photons, marked])
    channels = np.concatenate([channel[photons], MARKER_BASE + 1 + line])
    is_marker = np.arange(len(record)) >= len(photons)
    order = np.argsort(record, kind="stable")
    record = record[order]
    return Decoded(
        base[record] + time[record],
        channels[order].astype(np.int16),
        record,
        is_marker[order],
        int(base[-1]) if end else turned,
        end if end < len(word) else None,
    )


Split = tuple[
    "NDArray[np.int64]", "NDArray[np.int64]", "NDArray[np.int64]", "NDArray[np.int64]", "NDArray[np.bool_]"
]
"""Time, channel, marker bits, number of turns and whether it is wrong, of each record."""


def _split_others(word: NDArray[np.int64], kind: int) -> Split:
    special = word >= SPECIAL
    field = (word >> TURN_BITS) & 63
    time = word & (TURN - 1)
    turning = special & (field == OVERFLOW)
    # a count of 0 is one turn: firmware of before the counts wrote it so
    counted = np.ones_like(time) if kind == HYDRAHARP_1 else np.maximum(time, 1)
    marker = np.where(special & (field >= 1) & (field < 1 << MARKERS), field, 0)
    channel = np.where(special, 0, field + 1)
    wrong = special & (field >= 1 << MARKERS) & ~turning
    return time, channel, marker, np.where(turning, counted, 0), wrong


def _split_picoharp(word: NDArray[np.int64], kind: int) -> Split:
    field = word >> 28
    time = word & ((1 << 28) - 1)
    special = field == 15
    bits = np.where(special, time & 15, 0)
    # the lowest bits of a marker's time are the marker itself
    time = np.where(special, time & ~15, time)
    turns = (special & (bits == 0)).astype(np.int64)
    return time, field, bits, turns, ~special & (field > PICOHARP_INPUTS_MAX)


def encode(ticks: NDArray[np.int64], channel: NDArray[np.int16], turned: int) -> NDArray[np.uint32]:
    """Records of the generic kind for sorted ticks, with turns between where they are needed.

    `turned`: turns that were written before. Channels must be those that `decode` gives.
    """
    missing = np.diff(ticks >> TURN_BITS, prepend=turned)
    extra = -(-missing // TURNS_AT_ONCE)
    place = np.arange(len(ticks)) + np.cumsum(extra)
    words = np.full(len(ticks) + int(extra.sum()), TURNING | TURNS_AT_ONCE, np.int64)
    before = extra > 0
    words[place[before] - 1] = TURNING | (missing[before] - (extra[before] - 1) * TURNS_AT_ONCE)
    number = channel.astype(np.int64)
    line = np.clip(number - MARKER_BASE - 1, 0, MARKERS - 1)
    field = np.where(
        number == 0,
        SPECIAL,
        np.where(
            number > MARKER_BASE,
            SPECIAL | np.left_shift(1, line) << TURN_BITS,
            (number - 1) << TURN_BITS,
        ),
    )
    words[place] = field | (ticks & (TURN - 1))
    return words.astype(np.uint32)


def turns(count: int) -> NDArray[np.uint32]:
    """Records that say so many turns and nothing else."""
    words = np.full(-(-count // TURNS_AT_ONCE), TURNING | TURNS_AT_ONCE, np.int64)
    words[-1] -= len(words) * TURNS_AT_ONCE - count
    return words.astype(np.uint32)


def can_be_written(channel: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Which channels the generic records have."""
    marker = (channel > MARKER_BASE) & (channel <= MARKER_BASE + MARKERS)
    return ((channel >= 0) & (channel <= INPUTS_MAX)) | marker
