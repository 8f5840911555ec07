"""From decoded records to blocks: order, coverage and losses of a file, whatever its format.

Owns the cut between blocks: tags of equal time stay together, and stray markers find their place. Refuses
unsorted tags, and tells where they stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bellwire.core.errors import ConfigError
from bellwire.drivers.tag_files.damage import DamagedTagFile, UnsortedTags
from bellwire.drivers.tag_files.description import Description, Interval, ReadSettings, Span
from bellwire.drivers.time_tags import TagBlock

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK_TAGS = 1 << 17
LONG_BEFORE_PS = -(1 << 62)
STRAY_PS = 1_000_000
"""How far markers of coarse clocks may stand out of order."""


class TagSource(Protocol):
    """An opened file. `blocks` may be called again and begins anew; nothing stays open between."""

    @property
    def path(self) -> Path: ...
    @property
    def description(self) -> Description: ...
    @property
    def fraction(self) -> float:
        """How much of the file the last `blocks` has read, 0 to 1."""
        ...

    @property
    def troubles(self) -> list[str]:
        """What salvage has left out, known when `blocks` has ended."""
        ...

    def blocks(self, tags_max: int = CHUNK_TAGS) -> Iterator[TagBlock]:
        """The tags in order, about `tags_max` in a block. Raises DamagedTagFile."""
        ...


@dataclass(frozen=True, slots=True)
class Chunk:
    """Decoded records. `offset`: byte of the record of tag i. `done`: how much of the file was read, 0 to
    1. `stray`: True for tags of a coarse clock, which may stand out of order; None: there never are any.
    `lost`: found on the way.
    """

    time_ps: NDArray[np.int64]
    channel: NDArray[np.int16]
    offset: Callable[[int], int | None]
    done: float
    stray: NDArray[np.bool_] | None = None
    lost: tuple[Interval, ...] = ()


class ChunkSource:
    """A file whose records are decoded chunk by chunk, in one epoch.

    `chunks(tags_max)` decodes. `starts_at_ps`: beginning of the coverage; None: the first tag.
    """

    def __init__(
        self,
        path: Path,
        description: Description,
        chunks: Callable[[int], Iterator[Chunk]],
        settings: ReadSettings,
        *,
        starts_at_ps: int | None = None,
    ) -> None:
        self.path = path
        self.description = description
        self.fraction = 0.0
        self.troubles: list[str] = []
        self._chunks = chunks
        self._settings = settings
        self._starts_at_ps = starts_at_ps

    def blocks(self, tags_max: int = CHUNK_TAGS) -> Iterator[TagBlock]:
        self.troubles.clear()
        spans = self.description.spans
        span = spans[0] if spans else None
        yield from Cutter(self.path, span, self._starts_at_ps, self._settings.salvage, self.troubles).blocks(
            self._watched(tags_max)
        )

    def _watched(self, tags_max: int) -> Iterator[Chunk]:
        self.fraction = 0.0
        for chunk in self._chunks(tags_max):
            self.fraction = chunk.done
            yield chunk
        self.fraction = 1.0


def as_channels(numbers: NDArray[np.generic], path: Path) -> NDArray[np.int16]:
    """Numbers of channels. Raises ConfigError beyond 16 bits, where they would become others."""
    found = np.asarray(numbers, np.int64)
    limits = np.iinfo(np.int16)
    wrong = (found < limits.min) | (found > limits.max)
    if bool(wrong.any()):
        number = int(found[np.argmax(wrong)])
        raise ConfigError(f"channel {number} is beyond {limits.min} to {limits.max}", where=str(path))
    return found.astype(np.int16)


class Cutter:
    """Cuts the chunks of one span into blocks."""

    def __init__(
        self,
        path: Path,
        span: Span | None,
        starts_at_ps: int | None,
        salvage: bool,
        troubles: list[str],
    ) -> None:
        self._path = path
        self._span = span
        self._epoch = 0 if span is None else span.epoch
        self._edge_ps = starts_at_ps if span is None else span.start_ps
        self._lost: list[Interval] = [] if span is None else list(span.lost)
        self._salvage = salvage
        self._troubles = troubles
        self._times = np.empty(0, np.int64)
        self._channels = np.empty(0, np.int16)
        self._stray = np.empty(0, np.bool_)

    def blocks(self, chunks: Iterable[Chunk]) -> Iterator[TagBlock]:
        whole = True
        try:
            for chunk in chunks:
                slack_ps = 0 if chunk.stray is None else STRAY_PS
                self._take(chunk)
                if len(self._times):
                    cut = int(np.searchsorted(self._times, self._times[-1] - slack_ps, side="left"))
                    if cut:
                        yield self._block(cut, int(self._times[cut - 1]) + 1)
        except DamagedTagFile as damage:
            if not self._salvage:
                raise
            self._troubles.append(f"left out what stands behind the damage: {damage}")
            whole = False
        last_ps = int(self._times[-1]) + 1 if len(self._times) else self._edge_ps
        stop_ps = last_ps if self._span is None or not whole else max(self._span.stop_ps, last_ps or 0)
        if stop_ps is not None and (len(self._times) or stop_ps > (self._edge_ps or 0)):
            yield self._block(len(self._times), stop_ps)

    def _take(self, chunk: Chunk) -> None:
        held = len(self._times)
        times = np.concatenate([self._times, chunk.time_ps])
        channels = np.concatenate([self._channels, chunk.channel])
        stray = np.zeros(len(chunk.time_ps), np.bool_) if chunk.stray is None else chunk.stray
        stray = np.concatenate([self._stray, stray])
        self._lost += chunk.lost
        wrong = self._first_wrong(times, stray)
        good = len(times) if wrong is None else wrong
        self._times, self._channels, self._stray = times[:good], channels[:good], stray[:good]
        if bool(np.any(np.diff(self._times) < 0)):
            order = np.argsort(self._times, kind="stable")
            self._times, self._channels = self._times[order], self._channels[order]
            self._stray = self._stray[order]
        if wrong is not None:  # what stands before is good, and is handed over when the rest is given up
            before_ps = int(times[wrong - 1]) if wrong else int(self._edge_ps or 0)
            raise UnsortedTags(self._path, chunk.offset(max(wrong - held, 0)), int(times[wrong]), before_ps)

    def _first_wrong(self, times: NDArray[np.int64], stray: NDArray[np.bool_]) -> int | None:
        """Index of the first tag that stands out of order, a stray one by more than it may."""
        if len(times) == 0:
            return None
        # a stray marker that is early does not make the tags behind it late
        before = np.maximum.accumulate(np.where(stray, LONG_BEFORE_PS, times))
        wrong = times < before - np.where(stray, STRAY_PS, 0) if stray.any() else times < before
        if self._edge_ps is not None:
            wrong |= times < self._edge_ps
        return int(np.argmax(wrong)) if bool(wrong.any()) else None

    def _block(self, cut: int, stop_ps: int) -> TagBlock:
        start_ps = self._edge_ps
        if start_ps is None:
            start_ps = int(self._times[0])
        lost = [(max(a, start_ps), min(b, stop_ps)) for a, b in self._lost if a < stop_ps and b > start_ps]
        self._lost = [(a, b) for a, b in self._lost if b > stop_ps]
        block = TagBlock(
            self._epoch, start_ps, stop_ps, self._times[:cut], self._channels[:cut], tuple(sorted(lost))
        )
        self._times, self._channels = self._times[cut:], self._channels[cut:]
        self._stray = self._stray[cut:]
        self._edge_ps = stop_ps
        return block
