"""The binary files of qutools' quTAU and quTAG: 10 bytes or 5 bytes per tag, with or without a header.

Owns reading. Refuses to write: no instrument reads these files. 10 bytes: i64 time, u16 channel. 5 bytes: 37
bits of time and 3 of channel, whose time begins anew every 2^37 units (11 s); a silence of more than that
cannot be seen. Which end of the 40 bits holds the channel is told by the order of the times. (qutools,
header file tdcbase.h of the quTAG library.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bellwire.core.errors import ConfigError
from bellwire.drivers.tag_files import sidecar
from bellwire.drivers.tag_files.damage import DamagedTagFile
from bellwire.drivers.tag_files.description import Description, ReadSettings
from bellwire.drivers.tag_files.records import RecordFile, in_order
from bellwire.drivers.tag_files.source import Chunk, ChunkSource
from bellwire.drivers.tag_files.ticks import TIME_PS_MAX, checked, to_ps

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINARY, COMPRESSED = "qutools", "qutools_compressed"
HEADER_BYTES = 40
RESOLUTION_PS = Fraction(81)
TIME_BITS = 37
WRAP = 1 << TIME_BITS
CHANNELS_MAX = 512
"""Inputs, coincidences and markers (100 to 104, 200 to 203) have numbers below."""


@dataclass(frozen=True, slots=True)
class Layout:
    """`header`: bytes before the records. `channel_low`: of 5 bytes, the channel has the lowest bits."""

    size: int
    header: int
    channel_low: bool = False

    def raw(self, records: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Times in units, as they stand in the file, and channels."""
        if self.size == 10:
            times = np.ascontiguousarray(records[:, :8]).view("<i8")[:, 0]
            return times.astype(np.int64), np.ascontiguousarray(records[:, 8:]).view("<u2")[:, 0].astype(
                np.int64
            )
        padded = np.zeros((len(records), 8), np.uint8)
        padded[:, :5] = records
        words = padded.view("<i8")[:, 0].astype(np.int64)
        if self.channel_low:
            return words >> 3, words & 7
        return words & (WRAP - 1), words >> TIME_BITS

    def plausible(self, path: Path) -> bool:
        """Whether the beginning of a file has this layout."""
        records = RecordFile(path, self.size, self.header).beginning()
        times, channels = self.raw(records)
        if len(times) == 0 or not (self.header or records[: HEADER_BYTES // self.size].any()):
            return False  # so many zeros are an empty header
        if self.size == 10:
            return int(times.min()) >= 0 and int(channels.max()) < CHANNELS_MAX and in_order(times)
        falls = np.flatnonzero(np.diff(times) < 0)
        return len(falls) <= 1 + len(times) // 100 and bool(np.all(-np.diff(times)[falls] > WRAP // 2))


LAYOUTS = {
    BINARY: (Layout(10, 0), Layout(10, HEADER_BYTES)),
    COMPRESSED: tuple(Layout(5, header, low) for header in (0, HEADER_BYTES) for low in (False, True)),
}
"""In the order in which they are tried: bytes that can be tags are taken as tags."""
CHANNEL_VALUES = 8


def looks_like(path: Path, name: str) -> bool:
    """Whether a file has one of the layouts of a format."""
    return any(layout.plausible(path) for layout in LAYOUTS[name])


def open_qutools(path: Path, settings: ReadSettings, name: str) -> ChunkSource:
    """A file of one of the two formats. Raises ConfigError, DamagedTagFile."""
    found = sidecar.find(path, name, salvage=settings.salvage)
    layouts = [layout for layout in LAYOUTS[name] if layout.plausible(path)]
    if not layouts:
        raise ConfigError(f"its beginning is no {name}: times are not in order", where=str(path))
    layout, doubt = _chosen(path, layouts)
    records = RecordFile(path, layout.size, layout.header)
    notes = records.checked(settings.salvage)
    resolution_ps = settings.resolution_ps
    if resolution_ps is None:
        resolution_ps = RESOLUTION_PS if found is None else found.description.resolution_ps
        if found is None:
            notes.append(f"the file does not tell its unit: {RESOLUTION_PS} ps were taken (--resolution-ps)")
    notes += doubt
    plain = Description(
        format=name,
        resolution_ps=checked(resolution_ps, where=str(path)),
        device="qutools quTAU or quTAG",
        notes=tuple(notes),
    )
    unit_ps = plain.resolution_ps

    def chunks(tags_max: int) -> Iterator[Chunk]:
        turns = _Turns()
        for first, piece in records.pieces(tags_max):
            times, channels = layout.raw(piece)
            if layout.size == 5:
                times = turns.unwrapped(times)
            _refuse_wrong(path, records, first, times, channels, unit_ps)
            yield Chunk(
                to_ps(times, unit_ps),
                channels.astype(np.int16),
                records.place(first),
                (first + len(times)) / max(records.present, 1),
            )

    description = replace(sidecar.described(found, plain), resolution_ps=unit_ps)
    return ChunkSource(path, description, chunks, settings)


def _chosen(path: Path, layouts: Sequence[Layout]) -> tuple[Layout, list[str]]:
    """The layout, and what is to be said when both orders of time and channel give sorted times.

    Then either all tags have one channel, so that the lowest bits of time take all values, or the time has
    not come far, so that they are channels.
    """
    first = layouts[0]
    both = [one for one in layouts if one.header == first.header]
    if len(both) == 1:
        return first, []
    low = next(one for one in both if one.channel_low)
    _, channels = low.raw(RecordFile(path, low.size, low.header).beginning())
    chosen = first if len(np.unique(channels)) == CHANNEL_VALUES else low
    end = "lowest" if chosen.channel_low else "highest"
    return chosen, [
        f"both orders of time and channel are possible: the channel was taken from the {end} bits"
    ]


def _refuse_wrong(
    path: Path,
    records: RecordFile,
    first: int,
    times: NDArray[np.int64],
    channels: NDArray[np.int64],
    unit_ps: Fraction,
) -> None:
    wrong = (times < 0) | (times > int(TIME_PS_MAX / unit_ps) - 1) | (channels >= CHANNELS_MAX)
    if bool(wrong.any()):
        record = int(np.argmax(wrong))
        raise DamagedTagFile(
            path,
            records.offset(first + record),
            f"time {times[record]} of channel {channels[record]} is no tag",
            "--salvage takes what stands before",
        )


class _Turns:
    """Counts how often the time began anew. A fall by less than half the range is no new turn: such tags
    stay where they are and are refused as unsorted.
    """

    def __init__(self) -> None:
        self._turns = 0
        self._last: int | None = None

    def unwrapped(self, times: NDArray[np.int64]) -> NDArray[np.int64]:
        if len(times) == 0:
            return times
        before = np.concatenate([[times[0] if self._last is None else self._last], times[:-1]])
        turns = self._turns + np.cumsum(before - times > WRAP // 2)
        self._turns, self._last = int(turns[-1]), int(times[-1])
        return times + turns * WRAP
