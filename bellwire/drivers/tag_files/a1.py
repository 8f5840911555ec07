"""The `a1` files of S-Fifteen's timestamp cards: 54 bits of time in 1/256 ns, 10 bits of which inputs fired.

Owns both orders of words: a plain little endian u64, and the legacy one with its high half first. Bit n of
the pattern is channel n + 1; an event without any is channel 0. Refuses times beyond 54 bits. (S-Fifteen
Instruments, TDC2 user guide; the same layout is read by fpfind.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from bellwire.core.errors import ConfigError
from bellwire.drivers.tag_files import sidecar
from bellwire.drivers.tag_files.description import Description, ReadSettings, Span
from bellwire.drivers.tag_files.records import RecordFile, in_order, words_of
from bellwire.drivers.tag_files.source import Chunk, ChunkSource
from bellwire.drivers.tag_files.ticks import rounding_ps, to_ps, to_ticks
from bellwire.drivers.time_tags import TagBlock

if TYPE_CHECKING:
    from numpy.typing import NDArray

PLAIN, LEGACY = "a1", "a1_legacy"
RESOLUTION_PS = Fraction(1000, 256)
PATTERN_BITS = 10
TIME_BITS = 54
PATTERNS_LIKELY = 16
"""Cards have four inputs: more patterns than their combinations are hardly from a card."""


def looks_like(path: Path, name: str) -> bool:
    """Whether the beginning of a file has times in order and few patterns."""
    words = _ordered(words_of(RecordFile(path, 8).beginning())[:, 0], name)
    patterns = words & np.uint64((1 << PATTERN_BITS) - 1)
    times = words >> np.uint64(PATTERN_BITS)
    # an event without any input is rare: a card writes it when nothing else has come for long
    common = 2 * int(np.count_nonzero(patterns)) > len(words)
    return common and len(np.unique(patterns)) <= PATTERNS_LIKELY and in_order(times)


def open_a1(path: Path, settings: ReadSettings, name: str) -> ChunkSource:
    """A file of one of the two orders. Raises DamagedTagFile."""
    found = sidecar.find(path, name, salvage=settings.salvage)
    records = RecordFile(path, 8)
    notes = records.checked(settings.salvage)
    plain = Description(
        format=name, resolution_ps=RESOLUTION_PS, device="S-Fifteen timestamp card", notes=tuple(notes)
    )

    def chunks(tags_max: int) -> Iterator[Chunk]:
        for first, piece in records.pieces(tags_max):
            words = _ordered(words_of(piece)[:, 0], name)
            times, channels, record = _tags_of(words)
            yield Chunk(
                to_ps(times, RESOLUTION_PS),
                channels,
                records.place(first, record),
                (first + len(words)) / max(records.present, 1),
            )

    return ChunkSource(path, sidecar.described(found, plain), chunks, settings)


def _ordered(words: NDArray[np.uint64], name: str) -> NDArray[np.uint64]:
    return words if name == PLAIN else (words << np.uint64(32)) | (words >> np.uint64(32))


def _tags_of(
    words: NDArray[np.uint64],
) -> tuple[NDArray[np.int64], NDArray[np.int16], NDArray[np.int64]]:
    """Ticks, channels and record of each tag; the channels of one event rise."""
    pattern = (words & np.uint64((1 << PATTERN_BITS) - 1)).astype(np.int64)
    fired = (pattern[:, None] >> np.arange(PATTERN_BITS)) & 1 == 1
    fired = np.concatenate([pattern[:, None] == 0, fired], axis=1)
    record, channel = np.nonzero(fired)
    ticks = (words >> np.uint64(PATTERN_BITS)).astype(np.int64)
    return ticks[record], channel.astype(np.int16), record


class A1Encoder:
    """Tags of one tick become one event. Tags that an event has already are left out, and told."""

    def __init__(self, file: BinaryIO, description: Description, *, where: str) -> None:
        self._file = file
        self._name = description.format
        self._where = where
        self._held_tick: int | None = None
        self._held_pattern = 0
        self._doubles = 0
        self._rounded_ps = 0

    def put(self, block: TagBlock) -> None:
        if len(block.time_ps) == 0:
            return
        low, high = int(block.channel.min()), int(block.channel.max())
        if low < 0 or high > PATTERN_BITS:
            raise ConfigError(
                f"channel {low if low < 0 else high}: this format has 1 to {PATTERN_BITS}, and 0 for none;"
                " give it another number with --rename",
                where=self._where,
            )
        ticks = to_ticks(block.time_ps, RESOLUTION_PS)
        if int(ticks[0]) < 0 or int(ticks[-1]) >> TIME_BITS:
            raise ConfigError(
                f"tags from {int(block.time_ps[0])} to {int(block.time_ps[-1])} ps: this format has 0 to"
                f" {(1 << TIME_BITS) * RESOLUTION_PS.numerator // RESOLUTION_PS.denominator} ps",
                where=self._where,
            )
        self._rounded_ps = max(self._rounded_ps, int(rounding_ps(block.time_ps, ticks, RESOLUTION_PS).max()))
        self._put_events(ticks, block.channel)

    def _put_events(self, ticks: NDArray[np.int64], channels: NDArray[np.int16]) -> None:
        bits = np.where(channels > 0, np.left_shift(1, np.maximum(channels, 1).astype(np.int64) - 1), 0)
        if self._held_tick is not None:
            ticks = np.concatenate([[self._held_tick], ticks])
            bits = np.concatenate([[self._held_pattern], bits])
        events, first = np.unique(ticks, return_index=True)
        patterns = np.bitwise_or.reduceat(bits, first)
        several = int(np.bitwise_count(bits).sum() + np.count_nonzero(bits == 0))
        single = int(np.bitwise_count(patterns).sum() + np.count_nonzero(patterns == 0))
        self._doubles += several - single
        self._held_tick, self._held_pattern = int(events[-1]), int(patterns[-1])
        self._write(events[:-1], patterns[:-1])

    def _write(self, events: NDArray[np.int64], patterns: NDArray[np.int64]) -> None:
        words = (events.astype(np.uint64) << np.uint64(PATTERN_BITS)) | patterns.astype(np.uint64)
        self._file.write(_ordered(words, self._name).astype("<u8").tobytes())

    def finish(self, spans: Sequence[Span]) -> tuple[str, ...]:
        if self._held_tick is not None:
            self._write(np.array([self._held_tick]), np.array([self._held_pattern]))
        told: list[str] = []
        if self._rounded_ps:
            told.append(f"times were rounded to {float(RESOLUTION_PS):g} ps, by up to {self._rounded_ps} ps")
        if self._doubles:
            told.append(
                f"{self._doubles} tags were left out: an event names a channel once, and 0 with no other"
            )
        return tuple(told)

    def abandon(self) -> None:
        pass
