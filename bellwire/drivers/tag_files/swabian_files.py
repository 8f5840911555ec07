"""Swabian's ttbin files, read by the maker's own library; their form is not published.

Owns the way from the library's FileReader to tags, with overflows as losses. Refuses to write: nobody but the
library reads them. It needs no instrument for that, but must be installed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bellwire.drivers.swabian_library import MODULE, PACKAGE
from bellwire.drivers.swabian_stream import ERROR, OVERFLOW_END, TIME_TAG
from bellwire.drivers.tag_files.damage import DamagedTagFile, library
from bellwire.drivers.tag_files.description import Description, Interval, ReadSettings
from bellwire.drivers.tag_files.source import Chunk, ChunkSource, as_channels

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "ttbin"
MAGIC = b"SITT"
UNKNOWN_PLACE = "the maker's library does not tell where; --salvage takes what it delivers before"


def looks_like(path: Path) -> bool:
    """Whether a file begins as ttbin files do."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def open_ttbin(path: Path, settings: ReadSettings) -> ChunkSource:
    """A file, with those in which the library has continued it. Raises ConfigError, DamagedTagFile."""
    tagger: Any = library(MODULE, PACKAGE, where=str(path))
    description = _described(path, _reader(tagger, path))

    def chunks(tags_max: int) -> Iterator[Chunk]:
        reader = _reader(tagger, path)
        losses = _Losses()
        while True:
            try:
                if not reader.hasData():
                    return
                buffer = reader.getData(tags_max)
                times = np.asarray(buffer.getTimestamps(), np.int64)
                channels = np.asarray(buffer.getChannels(), np.int64)
                kinds = np.asarray(buffer.getEventTypes()).astype(np.int64)
            except (RuntimeError, ValueError) as error:
                raise DamagedTagFile(path, None, f"damaged ({error})", UNKNOWN_PLACE) from None
            if len(times) == 0:
                problem = "the maker's library says that there are more tags, and delivers none"
                raise DamagedTagFile(path, None, problem, UNKNOWN_PLACE)
            true = kinds == TIME_TAG
            yield Chunk(
                times[true],
                as_channels(channels[true], path),
                lambda tag: None,
                0.0,
                lost=losses.of(times, kinds),
            )

    return ChunkSource(path, description, chunks, settings)


def _reader(tagger: Any, path: Path) -> Any:
    try:
        return tagger.FileReader(str(path))
    except (RuntimeError, ValueError) as error:  # it answers damage with either
        raise DamagedTagFile(path, None, f"the maker's library cannot open it ({error})") from None


def _described(path: Path, reader: Any) -> Description:
    try:
        text = reader.getConfiguration()
        found = json.loads(text) if isinstance(text, str) else text
    except (RuntimeError, ValueError) as error:  # it opens anything, and fails here
        raise DamagedTagFile(path, None, f"the maker's library finds no configuration ({error})") from None
    device = found if isinstance(found, dict) else {}
    serial_number = device.get("serial")
    return Description(
        format=NAME,
        resolution_ps=Fraction(1),
        device=str(device.get("model") or "Swabian Time Tagger"),
        serial_number=None if serial_number is None else str(serial_number),
        software="Swabian TimeTagger",
    )


class _Losses:
    """Overflows from their beginning to their end, also across pieces."""

    def __init__(self) -> None:
        self._since_ps: int | None = None
        self._last_ps: int | None = None

    def of(self, times: NDArray[np.int64], kinds: NDArray[np.int64]) -> tuple[Interval, ...]:
        """The losses of a piece; one that has not ended reaches to its last event."""
        lost: list[Interval] = []
        for at in np.flatnonzero(kinds != TIME_TAG):
            time_ps, kind = int(times[at]), int(kinds[at])
            if kind == ERROR:  # the time itself was in doubt since the tag before
                before_ps = int(times[at - 1]) if at else self._last_ps
                lost.append((time_ps if before_ps is None else before_ps, time_ps + 1))
            elif kind == OVERFLOW_END:
                if self._since_ps is not None:
                    lost.append((self._since_ps, time_ps))
                self._since_ps = None
            elif self._since_ps is None:
                self._since_ps = time_ps
        if len(times):
            self._last_ps = int(times[-1])
            if self._since_ps is not None:
                lost.append((self._since_ps, self._last_ps + 1))
                self._since_ps = self._last_ps + 1
        return tuple(one for one in lost if one[1] > one[0])
