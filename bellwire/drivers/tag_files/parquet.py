"""The native format: Parquet with delta-packed times, which keeps everything that a block says.

Owns the columns `time_ps` and `channel`, and the description in the key-value metadata. A folder of such
files is read as one. Refuses to guess at other columns.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from bellwire.core.errors import ConfigError
from bellwire.drivers.tag_files import sidecar
from bellwire.drivers.tag_files.damage import DamagedTagFile, library
from bellwire.drivers.tag_files.description import Description, ReadSettings, Span
from bellwire.drivers.tag_files.records import size_of
from bellwire.drivers.tag_files.source import CHUNK_TAGS, Chunk, Cutter, as_channels
from bellwire.drivers.time_tags import TagBlock

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "parquet"
MAGIC = b"PAR1"
KEY = b"bellwire"
ROWS = 1 << 18
"""Rows of a group: what is held in memory before it is written."""
TIME, CHANNEL = "time_ps", "channel"


def looks_like(path: Path) -> bool:
    """Whether a file begins as Parquet files do."""
    with path.open("rb") as file:
        return file.read(4) == MAGIC


class ParquetSource:
    """An opened file."""

    def __init__(self, path: Path, settings: ReadSettings) -> None:
        self.path = path
        self.fraction = 0.0
        self.troubles: list[str] = []
        self._salvage = settings.salvage
        self._arrow = library("pyarrow", "pyarrow", where=str(path))
        self._parquet = library("pyarrow.parquet", "pyarrow", where=str(path))
        with self._opened() as file:
            names = file.schema_arrow.names
            if TIME not in names or CHANNEL not in names:
                columns = ", ".join(names)
                raise ConfigError(
                    f"its columns are {columns}: tags need {TIME} and {CHANNEL}", where=str(path)
                )
            for name in (TIME, CHANNEL):
                kind = file.schema_arrow.field(name).type
                if not self._arrow.types.is_signed_integer(kind) and kind != self._arrow.uint8():
                    raise ConfigError(f"column {name} is {kind}: signed integers are needed", where=str(path))
            found = (file.schema_arrow.metadata or {}).get(KEY) or (file.metadata.metadata or {}).get(KEY)
            self._rows = int(file.metadata.num_rows)
        self.description = Description(format=NAME)
        if found is not None:
            self.description = sidecar.read(found, where=str(path)).description
        spans = self.description.spans
        if spans is not None and sum(span.tags for span in spans) != self._rows:
            raise DamagedTagFile(path, None, f"{self._rows} rows do not fit its description")

    def _opened(self) -> Any:
        try:
            return self._parquet.ParquetFile(self.path, page_checksum_verification=True)
        except (self._arrow.ArrowException, OSError, ValueError) as error:
            size = size_of(self.path)
            problem = f"the table of contents at the end is missing or damaged ({_first(error)})"
            raise DamagedTagFile(self.path, size, problem) from None

    def blocks(self, tags_max: int = CHUNK_TAGS) -> Iterator[TagBlock]:
        self.troubles.clear()
        self.fraction = 0.0
        pieces = _Pieces(self._pieces(tags_max))
        for span in self.description.spans or (None,):
            cutter = Cutter(self.path, span, None, self._salvage, self.troubles)
            yield from cutter.blocks(self._chunks(pieces, span))
            if self.troubles:
                return
        self.fraction = 1.0

    def _chunks(self, pieces: _Pieces, span: Span | None) -> Iterator[Chunk]:
        left = self._rows if span is None else span.tags
        while left > 0:
            row, times, channels = pieces.take(left)
            left -= len(times)
            self.fraction = (row + len(times)) / max(self._rows, 1)
            yield Chunk(times, channels, lambda tag: None, self.fraction)

    def _pieces(self, tags_max: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int16]]]:
        with self._opened() as file:
            for group in range(file.num_row_groups):
                try:
                    for batch in file.iter_batches(tags_max, row_groups=[group], columns=[TIME, CHANNEL]):
                        yield (
                            batch.column(TIME).to_numpy(zero_copy_only=False).astype(np.int64),
                            as_channels(batch.column(CHANNEL).to_numpy(zero_copy_only=False), self.path),
                        )
                except (self._arrow.ArrowException, OSError) as error:
                    at = int(file.metadata.row_group(group).column(0).data_page_offset)
                    saved = f"--salvage takes the {group * ROWS} tags before, or a few more"
                    raise DamagedTagFile(self.path, at, f"damaged ({_first(error)})", saved) from None


class _Pieces:
    """Pieces of any size, taken in portions."""

    def __init__(self, pieces: Iterator[tuple[NDArray[np.int64], NDArray[np.int16]]]) -> None:
        self._pieces = pieces
        self._times = np.empty(0, np.int64)
        self._channels = np.empty(0, np.int16)
        self._row = 0

    def take(self, rows_max: int) -> tuple[int, NDArray[np.int64], NDArray[np.int16]]:
        """The number of the first row, and some rows, at least one. There must be more."""
        while len(self._times) == 0:
            self._times, self._channels = next(self._pieces)
        times, channels, row = self._times[:rows_max], self._channels[:rows_max], self._row
        self._times, self._channels = self._times[rows_max:], self._channels[rows_max:]
        self._row += len(times)
        return row, times, channels


class FolderSource:
    """A folder of chunk files, in the order of their epochs and times."""

    def __init__(self, path: Path, settings: ReadSettings) -> None:
        self.path = path
        self.troubles: list[str] = []
        files = sorted(path.glob("*.parquet"))
        if not files:
            raise ConfigError("the folder has no *.parquet files of tags", where=str(path))
        self._sources = [ParquetSource(file, settings) for file in files]
        self._sources.sort(key=_first_moment)
        for before, after in itertools.pairwise(self._sources):
            _refuse_overlap(before, after)
        spans = [span for source in self._sources for span in source.description.spans or ()]
        self.description = replace(self._sources[0].description, spans=tuple(spans))
        self._done = 0
        self._size = sum(size_of(file) for file in files)

    @property
    def fraction(self) -> float:
        return self._done / max(self._size, 1)

    def blocks(self, tags_max: int = CHUNK_TAGS) -> Iterator[TagBlock]:
        self.troubles.clear()
        self._done = 0
        for source in self._sources:
            yield from source.blocks(tags_max)
            self.troubles += source.troubles
            self._done += size_of(source.path)


def _first_moment(source: ParquetSource) -> tuple[int, int]:
    spans = source.description.spans
    if not spans:
        raise ConfigError(
            "no description of its tags: a folder is read only when every file has one",
            where=str(source.path),
        )
    return spans[0].epoch, spans[0].start_ps


def _refuse_overlap(before: ParquetSource, after: ParquetSource) -> None:
    earlier, later = before.description.spans, after.description.spans
    assert earlier, "sorted by them"
    assert later, "sorted by them"
    last, first = earlier[-1], later[0]
    if first.epoch == last.epoch and first.start_ps < last.stop_ps:
        raise ConfigError(
            f"begins at {first.start_ps} ps, before the end of {before.path.name} at {last.stop_ps} ps: the"
            " folder holds tags of different runs",
            where=str(after.path),
        )


def _first(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


class ParquetEncoder:
    """Writes groups of ROWS tags; the description goes into the metadata at the end."""

    def __init__(self, file: BinaryIO, description: Description, *, where: str) -> None:
        self._arrow = library("pyarrow", "pyarrow", where=where)
        parquet = library("pyarrow.parquet", "pyarrow", where=where)
        self._description = description
        self._schema = self._arrow.schema(
            [
                self._arrow.field(TIME, self._arrow.int64(), nullable=False),
                self._arrow.field(CHANNEL, self._arrow.int16(), nullable=False),
            ]
        )
        self._writer = parquet.ParquetWriter(
            self._arrow.PythonFile(file, mode="w"),
            self._schema,
            compression="zstd",
            use_dictionary=[CHANNEL],
            column_encoding={TIME: "DELTA_BINARY_PACKED"},
            write_page_checksum=True,
        )
        self._held: list[TagBlock] = []
        self._rows = 0

    def put(self, block: TagBlock) -> None:
        self._held.append(block)
        self._rows += len(block.time_ps)
        if self._rows >= ROWS:
            times, channels = self._joined()
            whole = len(times) // ROWS * ROWS
            for first in range(0, whole, ROWS):
                self._write(times[first : first + ROWS], channels[first : first + ROWS])
            rest = TagBlock(block.epoch, 0, 0, times[whole:].copy(), channels[whole:].copy())
            self._held, self._rows = [rest], len(times) - whole

    def _joined(self) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
        return (
            np.concatenate([block.time_ps for block in self._held]),
            np.concatenate([block.channel for block in self._held]),
        )

    def _write(self, times: NDArray[np.int64], channels: NDArray[np.int16]) -> None:
        columns = [
            self._arrow.array(times, self._arrow.int64()),
            self._arrow.array(channels, self._arrow.int16()),
        ]
        self._writer.write_table(
            self._arrow.Table.from_arrays(columns, schema=self._schema), row_group_size=ROWS
        )

    def finish(self, spans: Sequence[Span]) -> tuple[str, ...]:
        if self._held and self._rows:
            self._write(*self._joined())
        document = sidecar.told(replace(self._description, spans=tuple(spans)))
        self._writer.add_key_value_metadata({KEY: json.dumps(document).encode()})
        self._writer.close()
        return ()

    def abandon(self) -> None:
        self._writer.close()
