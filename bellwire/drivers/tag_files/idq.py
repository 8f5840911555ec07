"""Tags of an ID Quantique Time Controller as DataLinkTarget saves them: one channel in a file.

Owns the two forms: u64 times in ps, and pairs (u64 time since a pulse of the reference, u64 number of that
pulse). Refuses to write several channels into one file. The form knows neither channel nor period: both
stand in the sidecar, or are given. (ID Quantique, ID1000 Time Controller, Data Link Target.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from bellwire.core.errors import ConfigError
from bellwire.drivers.tag_files import sidecar
from bellwire.drivers.tag_files.damage import DamagedTagFile
from bellwire.drivers.tag_files.description import ChannelNote, Description, ReadSettings, Span, WriteSettings
from bellwire.drivers.tag_files.records import RecordFile, in_order, words_of
from bellwire.drivers.tag_files.source import Chunk, ChunkSource
from bellwire.drivers.tag_files.ticks import TIME_PS_MAX
from bellwire.drivers.time_tags import TagBlock

if TYPE_CHECKING:
    from numpy.typing import NDArray

TIMES, PAIRS = "idq", "idq_pairs"
DEVICE = "ID Quantique Time Controller"
CHANNEL = 1
"""Taken for a file that does not say."""


def looks_like_times(path: Path) -> bool:
    """Whether the words at the beginning of a file are times in order."""
    words = words_of(RecordFile(path, 8).beginning())[:, 0]
    return len(words) > 0 and int(words.max()) < TIME_PS_MAX and in_order(words)


def looks_like_pairs(path: Path) -> bool:
    """Whether they are pairs: the second numbers never fall, and where they stay, times do not."""
    words = words_of(RecordFile(path, 16).beginning())
    if len(words) == 0 or int(words.max()) >= TIME_PS_MAX:
        return False
    time, number = words[:, 0], words[:, 1]
    same = number[1:] == number[:-1]
    return in_order(number) and bool(np.all(time[1:][same] >= time[:-1][same]))


def open_times(path: Path, settings: ReadSettings) -> ChunkSource:
    """A file of times. Raises ConfigError, DamagedTagFile."""
    return _open(path, settings, TIMES, 8)


def open_pairs(path: Path, settings: ReadSettings) -> ChunkSource:
    """A file of pairs. Raises ConfigError without the period of the reference, DamagedTagFile."""
    return _open(path, settings, PAIRS, 16)


def _open(path: Path, settings: ReadSettings, name: str, size: int) -> ChunkSource:
    found = sidecar.find(path, name, salvage=settings.salvage)
    records = RecordFile(path, size)
    notes = records.checked(settings.salvage)
    channel = settings.channel
    if channel is None and (known := sidecar.channel_of(found)) is not None:
        channel = known.number
    if channel is None:
        channel = CHANNEL
        notes.append(f"the file does not name its channel: {CHANNEL} was taken (--channel)")
    period_ps = settings.reference_period_ps
    if period_ps is None and found is not None:
        period_ps = found.reference_period_ps
    if name == PAIRS and (period_ps is None or period_ps <= 0):
        raise ConfigError(
            "these tags count from pulses of a reference: give their period with --reference-period-ps",
            where=str(path),
        )
    plain = Description(
        format=name, device=DEVICE, channels=(ChannelNote(number=channel),), notes=tuple(notes)
    )

    def chunks(tags_max: int) -> Iterator[Chunk]:
        for first, piece in records.pieces(tags_max):
            words = words_of(piece)
            times = _times(path, records, first, words, period_ps if name == PAIRS else None)
            yield Chunk(
                times,
                np.full(len(times), channel, np.int16),
                records.place(first),
                (first + len(times)) / max(records.present, 1),
            )

    return ChunkSource(path, sidecar.described(found, plain), chunks, settings, starts_at_ps=0)


def _times(
    path: Path, records: RecordFile, first: int, words: NDArray[np.uint64], period_ps: int | None
) -> NDArray[np.int64]:
    limit = TIME_PS_MAX if period_ps is None else TIME_PS_MAX // 2
    wrong = words[:, 0] > limit
    if period_ps is not None:
        wrong |= words[:, 1] > limit // period_ps
    if bool(wrong.any()):
        record = int(np.argmax(wrong))
        raise DamagedTagFile(
            path,
            records.offset(first + record),
            f"{' '.join(map(str, words[record]))} is no time of a tag",
            "--salvage takes what stands before",
        )
    times = words[:, 0].astype(np.int64)
    return times if period_ps is None else times + words[:, 1].astype(np.int64) * period_ps


class IdqEncoder:
    """Writes times, or pairs when there is a period of a reference."""

    def __init__(
        self, file: BinaryIO, description: Description, settings: WriteSettings, *, where: str
    ) -> None:
        self._file = file
        self._where = where
        self._period_ps = settings.reference_period_ps if description.format == PAIRS else None
        self._channel: int | None = None
        if description.format == PAIRS and not self._period_ps:
            raise ConfigError("pairs need the period of a reference: --reference-period-ps", where=where)

    def put(self, block: TagBlock) -> None:
        if len(block.time_ps) == 0:
            return
        channel = int(block.channel[0]) if self._channel is None else self._channel
        others = np.unique(block.channel[block.channel != channel])
        if len(others):
            raise ConfigError(
                f"this format holds one channel, and there are {channel} and {int(others[0])}: choose with"
                f" --channels {channel}",
                where=self._where,
            )
        if int(block.time_ps[0]) < 0:
            raise ConfigError(
                f"a tag at {int(block.time_ps[0])} ps: this format counts from 0", where=self._where
            )
        self._channel = channel
        if self._period_ps is None:
            words = block.time_ps.astype("<u8")
        else:
            number, time = np.divmod(block.time_ps, self._period_ps)
            words = np.stack([time, number], axis=1).astype("<u8")
        self._file.write(words.tobytes())

    def finish(self, spans: Sequence[Span]) -> tuple[str, ...]:
        return ()

    def abandon(self) -> None:
        pass
