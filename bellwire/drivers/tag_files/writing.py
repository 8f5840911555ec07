"""Writing tags into files as they come: whole files with a sidecar each, or nothing.

Owns the order of blocks, the record of coverage and losses, and the cut into chunks by time. Refuses to
overwrite, and removes what was begun when the disk is full, at Ctrl-C, or at any other end.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import numpy as np

from bellwire import __version__
from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.drivers.tag_files import sidecar
from bellwire.drivers.tag_files.description import ChannelNote, Description, Interval, Span, WriteSettings
from bellwire.drivers.tag_files.formats import Encoder, TagFormat
from bellwire.drivers.tag_files.partial import PartialFile, no_room, refuse_existing
from bellwire.drivers.tag_files.records import size_of
from bellwire.drivers.time_tags import TagBlock


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file that is complete."""

    path: Path
    tags: int
    size_bytes: int
    sha256: str


class TagWriter:
    """Writes one file, or with `chunk_ps` a folder of them, as a context: leaving it in good order
    completes the file, leaving it by an exception removes it. Completed chunks stay.
    """

    def __init__(
        self,
        path: Path,
        tag_format: TagFormat,
        description: Description,
        settings: WriteSettings | None = None,
        *,
        chunk_ps: int | None = None,
    ) -> None:
        if tag_format.encoder is None:
            raise ConfigError(f"{tag_format.name} can be read, not written", where=str(path))
        if chunk_ps is not None and chunk_ps <= 0:
            raise LocalMisuse(f"chunks of {chunk_ps} ps: their length must be positive")
        self.written: list[WrittenFile] = []
        self.losses: list[str] = []
        self._path = path
        self._format = tag_format
        self._settings = WriteSettings() if settings is None else settings
        resolution_ps = tag_format.resolution_ps or self._settings.resolution_ps or description.resolution_ps
        self._description = replace(
            description, format=tag_format.name, resolution_ps=resolution_ps, spans=None
        )
        self._chunk_ps = chunk_ps
        self._open: _OpenFile | None = None
        self._open_chunk: tuple[int, int] | None = None
        self._end: tuple[int, int] | None = None

    def __enter__(self) -> TagWriter:
        refuse_existing(self._path)
        if self._chunk_ps is None:
            self._open = self._begin(self._path)
        else:
            self._path.mkdir()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._complete()
        finally:
            self._discard()
            if self._chunk_ps is not None and not self.written:
                self._path.rmdir()

    def put(self, block: TagBlock) -> None:
        """Write a block. Raises ConfigError for what the format cannot hold, DiskFull, LocalMisuse."""
        self._refuse_disorder(block)
        self._end = (block.epoch, block.stop_ps)
        if self._chunk_ps is None:
            self._put_into_open(block)
            return
        for part in _cut(block, self._chunk_ps):
            chunk = (part.epoch, part.start_ps // self._chunk_ps)
            if chunk != self._open_chunk:
                self._complete()
                name = f"{self._path.name}_e{chunk[0]:04d}_{chunk[1]:09d}{self._format.suffix}"
                self._open, self._open_chunk = self._begin(self._path / name), chunk
            self._put_into_open(part)

    def _refuse_disorder(self, block: TagBlock) -> None:
        times = block.time_ps
        if len(times) and not (
            block.start_ps <= int(times[0])
            and int(times[-1]) < block.stop_ps
            and bool(np.all(times[1:] >= times[:-1]))
        ):
            raise LocalMisuse(f"tags of a block from {block.start_ps} to {block.stop_ps} ps are not in order")
        if self._end is None:
            return
        epoch, end_ps = self._end
        if block.epoch == epoch and block.start_ps < end_ps:
            raise LocalMisuse(f"a block from {block.start_ps} ps follows one up to {end_ps} ps")
        if block.epoch != epoch and self._chunk_ps is None and not self._format.keeps_epochs:
            raise ConfigError(
                f"{self._format.name} holds one epoch, and there are {epoch} and {block.epoch}: choose one"
                " with --epoch",
                where=str(self._path),
            )

    def _begin(self, path: Path) -> _OpenFile:
        return _OpenFile(path, self._format, self._description, self._settings)

    def _put_into_open(self, block: TagBlock) -> None:
        assert self._open is not None
        self._open.put(block)

    def _complete(self) -> None:
        if self._open is None:
            return
        written, losses = self._open.complete()
        self.written.append(written)
        self.losses += [one for one in losses if one not in self.losses]
        self._open = None

    def _discard(self) -> None:
        if self._open is not None:
            self._open.discard()
            self._open = None


class _OpenFile:
    """One file that is being written."""

    def __init__(
        self, path: Path, tag_format: TagFormat, description: Description, settings: WriteSettings
    ) -> None:
        self._description = replace(
            description,
            software=description.software or "bellwire",
            software_version=description.software_version or (None if description.software else __version__),
        )
        self._settings = settings
        sidecar.refuse_foreign(sidecar.beside(path))
        self._partial = PartialFile(path)
        self._spans: list[Span] = []
        self._channels: set[int] = set()
        assert tag_format.encoder is not None
        try:
            self._encoder: Encoder = tag_format.encoder(
                self._partial.file, self._description, settings, str(path)
            )
        except OSError as error:
            meaning = self._meaning(error)
            self._partial.discard()
            raise meaning from None
        except BaseException:  # also Ctrl-C: no half file may stay
            self._partial.discard()
            raise

    def put(self, block: TagBlock) -> None:
        self._spans = extended(self._spans, block)
        self._channels.update(map(int, np.unique(block.channel)))
        try:
            self._encoder.put(block)
        except OSError as error:
            raise self._meaning(error) from None

    def complete(self) -> tuple[WrittenFile, tuple[str, ...]]:
        try:
            losses = self._encoder.finish(self._spans)
            self._partial.flush()
            size, digest = size_of(self._partial.place), sidecar.sha256_of(self._partial.place)
            self._write_sidecar(size, digest)
        except OSError as error:
            raise self._meaning(error) from None
        path = self._partial.final
        return WrittenFile(path, sum(span.tags for span in self._spans), size, digest), losses

    def _write_sidecar(self, size: int, digest: str) -> None:
        """Both files; the sidecar comes first, so that the tags are never there without it."""
        known = {note.number: note for note in self._description.channels}
        notes = tuple(known.get(number, ChannelNote(number=number)) for number in sorted(self._channels))
        document = sidecar.written(
            replace(self._description, spans=tuple(self._spans), channels=notes),
            size_bytes=size,
            sha256=digest,
            reference_period_ps=self._settings.reference_period_ps,
        )
        place = sidecar.beside(self._partial.final)
        place.unlink(missing_ok=True)  # without a file, it was left behind by one that never came
        beside = PartialFile(place)
        try:
            beside.file.write(document)
            beside.publish()
            try:
                self._partial.publish()
            except BaseException:
                place.unlink(missing_ok=True)
                raise
        finally:
            beside.discard()

    def _meaning(self, error: OSError) -> Exception:
        try:
            written_bytes = size_of(self._partial.place)
        except ConfigError:
            written_bytes = 0
        meaning = no_room(self._partial.final, error, written_bytes)
        return meaning or ConfigError(f"cannot be written: {error}", where=str(self._partial.final))

    def discard(self) -> None:
        try:
            # a library may fail in any way on a file that is given up
            with contextlib.suppress(Exception):
                self._encoder.abandon()
        finally:
            self._partial.discard()


def extended(spans: list[Span], block: TagBlock) -> list[Span]:
    """Spans with one more block; a gap before it within its epoch becomes a loss."""
    lost: tuple[Interval, ...] = block.lost
    if not spans or spans[-1].epoch != block.epoch:
        new = Span(
            epoch=block.epoch,
            start_ps=block.start_ps,
            stop_ps=block.stop_ps,
            tags=len(block.time_ps),
            lost=lost,
        )
        return [*spans, new]
    last = spans[-1]
    if block.start_ps > last.stop_ps:
        lost = ((last.stop_ps, block.start_ps), *lost)
    merged = list(last.lost)
    for start, stop in sorted(lost):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return [
        *spans[:-1],
        replace(last, stop_ps=block.stop_ps, tags=last.tags + len(block.time_ps), lost=tuple(merged)),
    ]


def _cut(block: TagBlock, chunk_ps: int) -> list[TagBlock]:
    """A block in pieces that each lie within one chunk."""
    if block.stop_ps <= block.start_ps:
        return [block]
    first, last = block.start_ps // chunk_ps, (block.stop_ps - 1) // chunk_ps
    parts: list[TagBlock] = []
    for number in range(first, last + 1):
        start = max(block.start_ps, number * chunk_ps)
        stop = min(block.stop_ps, (number + 1) * chunk_ps)
        low, high = np.searchsorted(block.time_ps, [start, stop])
        lost = tuple((max(a, start), min(b, stop)) for a, b in block.lost if a < stop and b > start)
        parts.append(
            TagBlock(block.epoch, start, stop, block.time_ps[low:high], block.channel[low:high], lost)
        )
    return parts
