"""PTU files of PicoQuant's instruments in T2 mode: every kind of record is read, the generic one written.

Owns the way from header and records to tags and back. Refuses T3 files: they count from laser pulses.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from bellwire.core.errors import ConfigError
from bellwire.drivers.tag_files import ptu_header, sidecar
from bellwire.drivers.tag_files.damage import DamagedTagFile
from bellwire.drivers.tag_files.description import Description, ReadSettings, Span, WriteSettings
from bellwire.drivers.tag_files.ptu_records import (
    GENERIC,
    KINDS,
    TURN_BITS,
    TURNS_MAX,
    can_be_written,
    decode,
    encode,
    turns,
)
from bellwire.drivers.tag_files.records import RecordFile, size_of
from bellwire.drivers.tag_files.source import Chunk, ChunkSource
from bellwire.drivers.tag_files.ticks import checked, finer_than_ps, rounding_ps, to_ps, to_ticks
from bellwire.drivers.time_tags import TagBlock

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "ptu"
SILENCE_TURNS = 1 << 22
NOT_REACHED = "--salvage takes what stands before"


def looks_like(path: Path) -> bool:
    """Whether a file begins as PTU files do."""
    with path.open("rb") as file:
        return file.read(len(ptu_header.MAGIC)) == ptu_header.MAGIC


def open_ptu(path: Path, settings: ReadSettings) -> ChunkSource:
    """A T2 file. Raises ConfigError for other modes, DamagedTagFile."""
    where = str(path)
    found = sidecar.find(path, NAME, salvage=settings.salvage)
    header = ptu_header.read_header(path)
    mode = int(header.number(ptu_header.MODE, where=where))
    if mode != ptu_header.T2_MODE:
        raise ConfigError(f"it was taken in mode {mode}; tags are in files of mode T2", where=where)
    kind = int(header.number(ptu_header.RECORD_KIND, where=where))
    if kind not in KINDS:
        raise ConfigError(f"records of kind {kind:#010x} are no known T2 records", where=where)
    count = int(header.number(ptu_header.RECORDS, where=where))
    records = RecordFile(path, 4, header.size_bytes, count if count > 0 else None)
    notes = records.checked(settings.salvage)
    notes.append(f"records of {KINDS[kind]}")
    if count <= 0:
        notes.append("the header tells no number of records: all up to the end were taken")
    elif (behind := size_of(path) - records.offset(records.present)) > 0 and records.present == count:
        notes.append(f"{behind} bytes behind the last record were left out")
    plain = ptu_header.described(header, NAME, where=where)
    resolution_ps = plain.resolution_ps
    plain = replace(plain, notes=(*notes, *finer_than_ps(resolution_ps)))

    def chunks(tags_max: int) -> Iterator[Chunk]:
        turned = 0
        for first, piece in records.pieces(tags_max):
            decoded = decode(np.ascontiguousarray(piece).view("<u4")[:, 0], kind, turned)
            turned = decoded.turned
            try:
                times = to_ps(decoded.ticks, resolution_ps)
            except OverflowError as error:
                raise DamagedTagFile(path, records.offset(first), str(error), NOT_REACHED) from None
            yield Chunk(
                times,
                decoded.channel,
                records.place(first, decoded.record),
                (first + len(piece)) / max(records.present, 1),
                stray=decoded.is_marker,
            )
            if decoded.wrong is not None:
                offset = records.offset(first + decoded.wrong)
                raise DamagedTagFile(path, offset, "a record that no instrument writes", NOT_REACHED)

    described = sidecar.described(found, plain)
    return ChunkSource(
        path, replace(described, resolution_ps=resolution_ps), chunks, settings, starts_at_ps=0
    )


class PtuEncoder:
    """Writes generic T2 records in the resolution that was asked for, or that of the tags."""

    def __init__(
        self, file: BinaryIO, description: Description, settings: WriteSettings, *, where: str
    ) -> None:
        self._file = file
        self._where = where
        wanted_ps = settings.resolution_ps or description.resolution_ps
        self._resolution_ps = checked(wanted_ps, where=where)
        self._count_at = ptu_header.write_header(file, description, GENERIC, wanted_ps)
        self._records = 0
        self._turned = 0
        self._rounded_ps = 0

    def put(self, block: TagBlock) -> None:
        if len(block.time_ps) == 0:
            return
        possible = can_be_written(block.channel)
        if not bool(possible.all()):
            channel = int(block.channel[np.argmin(possible)])
            raise ConfigError(
                f"channel {channel}: this format has 0 (sync), 1 to 63 and 101 to 104 (markers); give it"
                " another number with --rename",
                where=self._where,
            )
        ticks = to_ticks(block.time_ps, self._resolution_ps)
        if int(ticks[0]) < 0 or int(ticks[-1]) >> TURN_BITS > TURNS_MAX:
            raise ConfigError(
                f"tags from {int(block.time_ps[0])} to {int(block.time_ps[-1])} ps: this format counts from 0"
                f" and up to {(TURNS_MAX << TURN_BITS) * float(self._resolution_ps):.3g} ps",
                where=self._where,
            )
        rounded = rounding_ps(block.time_ps, ticks, self._resolution_ps)
        self._rounded_ps = max(self._rounded_ps, int(rounded.max()))
        silences = np.flatnonzero(np.diff(ticks >> TURN_BITS, prepend=self._turned) > SILENCE_TURNS)
        for part in np.split(np.arange(len(ticks)), silences):
            if len(part):
                self._pass_silence(int(ticks[part[0]]) >> TURN_BITS)
                self._write(encode(ticks[part], block.channel[part], self._turned))
                self._turned = int(ticks[part[-1]]) >> TURN_BITS

    def _pass_silence(self, until: int) -> None:
        """Bring the turns near `until` piece by piece: a long silence is many records."""
        while until - self._turned > SILENCE_TURNS:
            self._write(turns(SILENCE_TURNS))
            self._turned += SILENCE_TURNS

    def _write(self, words: NDArray[np.uint32]) -> None:
        self._records += len(words)
        self._file.write(words.astype("<u4").tobytes())

    def finish(self, spans: Sequence[Span]) -> tuple[str, ...]:
        self._file.seek(self._count_at)
        self._file.write(struct.pack("<q", self._records))
        self._file.seek(0, 2)
        if not self._rounded_ps:
            return ()
        unit = f"{float(self._resolution_ps):g} ps"
        return (f"times were rounded to {unit}, by up to {self._rounded_ps} ps",)

    def abandon(self) -> None:
        pass
