"""Photon-HDF5 files: the exchange format of single-photon data, as phconvert checks it.

Owns reading of `/photon_data` and a streaming writer with the groups that the format demands. Refuses files
of several spots, and nanotimes. What the format has no place for stands in the sidecar. (Photon-HDF5 0.5,
Ingargiola et al., Biophys. J. 110, 26 (2016), and its specification.)
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bellwire.core.errors import ConfigError
from bellwire.drivers.tag_files import sidecar
from bellwire.drivers.tag_files.damage import DamagedTagFile, library
from bellwire.drivers.tag_files.description import ChannelNote, Description, ReadSettings, Span, WriteSettings
from bellwire.drivers.tag_files.hdf5_sink import PatientSink
from bellwire.drivers.tag_files.photon_hdf5_words import (
    FORMAT_NAME,
    FORMAT_URL,
    FORMAT_VERSION,
    SETUP,
    TITLES,
)
from bellwire.drivers.tag_files.records import size_of
from bellwire.drivers.tag_files.source import Chunk, ChunkSource, as_channels
from bellwire.drivers.tag_files.ticks import (
    checked,
    finer_than_ps,
    resolution_of,
    rounding_ps,
    to_ps,
    to_ticks,
)
from bellwire.drivers.time_tags import TagBlock

NAME = "photon_hdf5"
MAGIC = b"\x89HDF\r\n\x1a\n"
ROWS = 1 << 16
TIMESTAMPS, DETECTORS = "photon_data/timestamps", "photon_data/detectors"
UNIT = "photon_data/timestamps_specs/timestamps_unit"
UNKNOWN = "unknown"
NO_DETECTORS = "the file does not tell detectors: all tags have channel 0"


def looks_like(path: Path) -> bool:
    """Whether a file begins as HDF5 files do."""
    with path.open("rb") as file:
        return file.read(8) == MAGIC


def open_photon_hdf5(path: Path, settings: ReadSettings) -> ChunkSource:
    """A file with one spot. Raises ConfigError for other HDF5 files, DamagedTagFile."""
    where = str(path)
    h5py = library("h5py", "h5py", where=where)
    found = sidecar.find(path, NAME, salvage=settings.salvage)
    with _opened(h5py, path) as file:
        if TIMESTAMPS not in file or UNIT not in file:
            raise ConfigError(
                f"no Photon-HDF5 file of one spot: it has no {TIMESTAMPS} with a unit", where=where
            )
        resolution_ps = resolution_of(float(file[UNIT][()]), where=where)
        rows = len(file[TIMESTAMPS])
        has_detectors = DETECTORS in file
        if has_detectors and len(file[DETECTORS]) != rows:
            raise DamagedTagFile(path, None, f"{rows} timestamps and {len(file[DETECTORS])} detectors")
        plain = _described(file, resolution_ps, has_detectors)

    def chunks(tags_max: int) -> Iterator[Chunk]:
        with _opened(h5py, path) as file:
            for first in range(0, rows, tags_max):
                part = slice(first, min(first + tags_max, rows))
                try:
                    ticks = np.asarray(file[TIMESTAMPS][part]).astype(np.int64)
                    channel = np.asarray(file[DETECTORS][part]) if has_detectors else np.zeros(len(ticks))
                    times = to_ps(ticks, resolution_ps)
                except (OSError, OverflowError) as error:
                    at = _offset_of(file[TIMESTAMPS], first)
                    saved = f"--salvage takes the {first} tags before"
                    raise DamagedTagFile(path, at, f"damaged ({error})", saved) from None
                yield Chunk(times, as_channels(channel, path), lambda tag: None, part.stop / max(rows, 1))

    description = replace(sidecar.described(found, plain), resolution_ps=resolution_ps)
    return ChunkSource(path, description, chunks, settings)


@contextmanager
def _opened(h5py: Any, path: Path) -> Iterator[Any]:
    """The file; whatever HDF5 or a type that nobody expects there stumbles over is damage."""
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        problem = f"HDF5 cannot open it ({_first_line(error)})"
        raise DamagedTagFile(path, size_of(path), problem) from None
    with file:
        try:
            yield file
        except (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
            raise DamagedTagFile(path, None, f"HDF5 cannot read it ({_first_line(error)})") from None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _offset_of(dataset: Any, row: int) -> int | None:
    if dataset.chunks is None:
        return None
    return int(
        dataset.id.get_chunk_info_by_coord((row // dataset.chunks[0] * dataset.chunks[0],)).byte_offset
    )


def _described(file: Any, resolution_ps: Fraction, has_detectors: bool) -> Description:
    channels: tuple[ChannelNote, ...] = ()
    if "setup/detectors/id" in file:
        labels = file["setup/detectors/label"][:] if "setup/detectors/label" in file else None
        channels = tuple(
            ChannelNote(number=int(number), label=None if labels is None else _text(labels[index]))
            for index, number in enumerate(file["setup/detectors/id"][:])
        )
    return Description(
        format=NAME,
        resolution_ps=resolution_ps,
        software=_text_at(file, "provenance/software") or _text_at(file, "identity/software"),
        software_version=_text_at(file, "provenance/software_version"),
        created_at=_text_at(file, "provenance/creation_time"),
        comment=_text_at(file, "description"),
        channels=channels,
        notes=(*finer_than_ps(resolution_ps), *(() if has_detectors else (NO_DETECTORS,))),
    )


def _text_at(file: Any, name: str) -> str | None:
    return _text(file[name][()]) if name in file else None


def _text(value: Any) -> str | None:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return None if text in ("", UNKNOWN) else text


class PhotonHdf5Encoder:
    """Writes ticks of the resolution that was asked for, or that of the tags."""

    def __init__(
        self, file: BinaryIO, description: Description, settings: WriteSettings, *, where: str
    ) -> None:
        self._h5py = library("h5py", "h5py", where=where)
        self._description = description
        self._original = settings.original
        self._where = where
        self._resolution_ps = checked(settings.resolution_ps or description.resolution_ps, where=where)
        self._sink = PatientSink(file)
        self._file = self._h5py.File(self._sink, "w")
        self._times = self._growing(TIMESTAMPS, np.int64)
        self._channels = self._growing(DETECTORS, np.int16)
        self._counts: dict[int, int] = {}
        self._rows = 0
        self._rounded_ps = 0

    def _growing(self, name: str, kind: type[np.generic]) -> Any:
        return self._file.create_dataset(
            name, (0,), kind, maxshape=(None,), chunks=(ROWS,), shuffle=True, compression=1, fletcher32=True
        )

    def put(self, block: TagBlock) -> None:
        if len(block.time_ps) == 0:
            return
        ticks = to_ticks(block.time_ps, self._resolution_ps)
        rounded = rounding_ps(block.time_ps, ticks, self._resolution_ps)
        self._rounded_ps = max(self._rounded_ps, int(rounded.max()))
        numbers, counts = np.unique(block.channel, return_counts=True)
        for number, count in zip(numbers, counts, strict=True):
            self._counts[int(number)] = self._counts.get(int(number), 0) + int(count)
        first, self._rows = self._rows, self._rows + len(ticks)
        for dataset, values in ((self._times, ticks), (self._channels, block.channel)):
            dataset.resize((self._rows,))
            dataset[first:] = values
        self._sink.raise_failure()

    def finish(self, spans: Sequence[Span]) -> tuple[str, ...]:
        own = self._description
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
        numbers = sorted(self._counts)
        labels = {note.number: note.label for note in own.channels}
        name = Path(self._where).name
        covered_ps = sum(span.stop_ps - span.start_ps for span in spans)
        values: dict[str, Any] = {
            "acquisition_duration": covered_ps * 1e-12,
            "description": own.comment or "time tags",
            "format_name": FORMAT_NAME,
            "format_version": FORMAT_VERSION,
            UNIT: float(self._resolution_ps) * 1e-12,
            **SETUP,
            "setup/num_pixels": len(numbers),
            "setup/detectors/id": np.array(numbers, np.int16),
            "setup/detectors/counts": np.array([self._counts[number] for number in numbers], np.int64),
            "setup/detectors/label": np.array(
                [(labels.get(number) or str(number)).encode() for number in numbers] or [b""], "S"
            )[: len(numbers)],
            "identity/author": UNKNOWN,
            "identity/author_affiliation": UNKNOWN,
            "identity/filename": name,
            "identity/creation_time": now,
            "identity/software": "bellwire",
            "identity/software_version": _version(),
            "identity/format_name": FORMAT_NAME,
            "identity/format_version": FORMAT_VERSION,
            "identity/format_url": FORMAT_URL,
            "provenance/filename": self._original.name if self._original else UNKNOWN,
            "provenance/software": own.software or UNKNOWN,
            "provenance/software_version": own.software_version or UNKNOWN,
            "provenance/creation_time": own.created_at or UNKNOWN,
        }
        for key, value in values.items():
            self._file[key] = np.bytes_(value.encode()) if isinstance(value, str) else value
        self._file.visititems(_entitle)
        self._file.attrs["TITLE"] = np.bytes_(TITLES["/"])
        self._file.close()
        self._sink.raise_failure()
        if not self._rounded_ps:
            return ()
        unit = f"{float(self._resolution_ps):g} ps"
        return (f"times were rounded to {unit}, by up to {self._rounded_ps} ps",)

    def abandon(self) -> None:
        self._file.close()


def _entitle(name: str, node: Any) -> None:
    node.attrs["TITLE"] = np.bytes_(TITLES[f"/{name}"])
    if getattr(node, "shape", None) == () and node.dtype.kind == "S":
        node.attrs["FLAVOR"] = np.bytes_("python")  # PyTables then reads a text, not an array


def _version() -> str:
    from bellwire import __version__

    return __version__
