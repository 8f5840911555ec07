"""All formats of tag files, by name and by what stands in a file.

Owns the table and the recognition. Refuses to trust a suffix, and to take a few bytes for what
their suffix denies. Where the content fits several formats, the sidecar decides, or whoever asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

from bellwire.core.errors import ConfigError
from bellwire.core.registry import lookup
from bellwire.drivers.tag_files import a1, idq, parquet, photon_hdf5, ptu, qutools, sidecar, swabian_files
from bellwire.drivers.tag_files.description import Description, ReadSettings, Span, WriteSettings
from bellwire.drivers.tag_files.records import size_of
from bellwire.drivers.tag_files.source import TagSource
from bellwire.drivers.time_tags import TagBlock


class Encoder(Protocol):
    """Turns blocks of one file into bytes; the blocks are in order and within one epoch if it wants so."""

    def put(self, block: TagBlock) -> None: ...

    def finish(self, spans: Sequence[Span]) -> tuple[str, ...]:
        """Complete the file; returns what of the tags it could not keep, one sentence each."""
        ...

    def abandon(self) -> None:
        """Let go of libraries; the file will be removed."""
        ...


MakeEncoder = Callable[[BinaryIO, Description, WriteSettings, str], Encoder]


@dataclass(frozen=True, slots=True, kw_only=True)
class TagFormat:
    """A format. `has_magic`: its content cannot be mistaken. `encoder` None: it is only read.

    `resolution_ps`: the only unit of time that it has; None: any. `keeps_epochs`: it holds several of them.
    """

    name: str
    meaning: str
    suffix: str
    looks_like: Callable[[Path], bool]
    open: Callable[[Path, ReadSettings], TagSource]
    encoder: MakeEncoder | None = None
    has_magic: bool = False
    resolution_ps: Fraction | None = None
    keeps_epochs: bool = False


def _a1_format(name: str, meaning: str) -> TagFormat:
    return TagFormat(
        name=name,
        meaning=meaning,
        suffix=".a1",
        looks_like=partial(a1.looks_like, name=name),
        open=partial(a1.open_a1, name=name),
        encoder=lambda file, description, settings, where: a1.A1Encoder(file, description, where=where),
        resolution_ps=a1.RESOLUTION_PS,
    )


def _idq_format(
    name: str,
    meaning: str,
    looks_like: Callable[[Path], bool],
    open_file: Callable[[Path, ReadSettings], TagSource],
) -> TagFormat:
    return TagFormat(
        name=name,
        meaning=meaning,
        suffix=".bin",
        looks_like=looks_like,
        open=open_file,
        encoder=lambda file, description, settings, where: idq.IdqEncoder(
            file, description, settings, where=where
        ),
    )


def _qutools_format(name: str, meaning: str) -> TagFormat:
    return TagFormat(
        name=name,
        meaning=meaning,
        suffix=".bin",
        looks_like=partial(qutools.looks_like, name=name),
        open=partial(qutools.open_qutools, name=name),
    )


_ALL = (
    TagFormat(
        name=parquet.NAME,
        meaning="Parquet, the native format",
        suffix=".parquet",
        looks_like=parquet.looks_like,
        open=parquet.ParquetSource,
        encoder=lambda file, description, settings, where: parquet.ParquetEncoder(
            file, description, where=where
        ),
        has_magic=True,
        keeps_epochs=True,
    ),
    TagFormat(
        name=ptu.NAME,
        meaning="PicoQuant PTU, T2 mode",
        suffix=".ptu",
        looks_like=ptu.looks_like,
        open=ptu.open_ptu,
        encoder=lambda file, description, settings, where: ptu.PtuEncoder(
            file, description, settings, where=where
        ),
        has_magic=True,
    ),
    TagFormat(
        name=photon_hdf5.NAME,
        meaning="Photon-HDF5",
        suffix=".hdf5",
        looks_like=photon_hdf5.looks_like,
        open=photon_hdf5.open_photon_hdf5,
        encoder=lambda file, description, settings, where: photon_hdf5.PhotonHdf5Encoder(
            file, description, settings, where=where
        ),
        has_magic=True,
    ),
    TagFormat(
        name=swabian_files.NAME,
        meaning="Swabian ttbin, by the maker's library",
        suffix=".ttbin",
        looks_like=swabian_files.looks_like,
        open=swabian_files.open_ttbin,
        has_magic=True,
    ),
    _idq_format(idq.TIMES, "ID Quantique, u64 times of one channel", idq.looks_like_times, idq.open_times),
    _idq_format(
        idq.PAIRS, "ID Quantique, u64 times and u64 pulse numbers", idq.looks_like_pairs, idq.open_pairs
    ),
    _qutools_format(qutools.BINARY, "qutools, 10 bytes per tag"),
    _qutools_format(qutools.COMPRESSED, "qutools, 5 bytes per tag"),
    _a1_format(a1.PLAIN, "S-Fifteen a1, u64"),
    _a1_format(a1.LEGACY, "S-Fifteen a1, high half first"),
)
FORMATS = {one.name: one for one in _ALL}
"""Every format by its name."""
WRITABLE = {name: one for name, one in FORMATS.items() if one.encoder is not None}


def format_of(path: Path) -> TagFormat:
    """The format of a file, by its content. Raises ConfigError when none or several fit."""
    if size_of(path) == 0:
        raise ConfigError("the file is empty: not even its format can be told", where=str(path))
    for one in _ALL:
        if one.has_magic and one.looks_like(path):
            return one
    place = sidecar.beside(path)
    if not place.is_file() and not _telling(path):
        _not_denied(path)
    fitting = [one for one in _ALL if not one.has_magic and one.looks_like(path)]
    names = [one.name for one in fitting]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise ConfigError(f"no known format of tags; known are {', '.join(FORMATS)}", where=str(path))
    if place.is_file():
        told = sidecar.read(place.read_bytes(), where=str(place)).description.format
        if told in names:
            return FORMATS[told]
    if _telling(path) and (likely := [name for name in PREFERRED if name in names]):
        return FORMATS[likely[0]]
    raise ConfigError(f"its content fits {' and '.join(names)}: say which with --from", where=str(path))


PREFERRED = (a1.PLAIN, a1.LEGACY, idq.TIMES, idq.PAIRS)
"""Of formats of u64 that fit a long file, the first that fits: few patterns in 10 bits are no chance."""
TELLING_BYTES = 64 * 8


def _not_denied(path: Path) -> None:
    """Refuse a few bytes under the suffix of a format that begins otherwise. Raises ConfigError."""
    for one in _ALL:
        if one.has_magic and path.suffix.lower() == one.suffix:
            problem = f"named as {one.meaning}, which its content is not: say what it is with --from"
            raise ConfigError(problem, where=str(path))


def _telling(path: Path) -> bool:
    """Whether a file is long enough that its content is no coincidence."""
    return size_of(path) >= TELLING_BYTES


def open_tags(
    path: Path, settings: ReadSettings | None = None, *, format_name: str | None = None
) -> TagSource:
    """Open a file, or a folder of native files, whatever its format; `format_name`: take it as that.

    Raises ConfigError, DamagedTagFile.
    """
    settings = ReadSettings() if settings is None else settings
    if path.is_dir():
        return parquet.FolderSource(path, settings)
    if not path.is_file():
        raise ConfigError("there is no such file", where=str(path))
    try:
        if format_name is not None:
            chosen = lookup("format", format_name, FORMATS)
            if chosen.has_magic and not chosen.looks_like(path):
                raise ConfigError(f"its content does not begin as {chosen.name} does", where=str(path))
        else:
            chosen = format_of(path)
        return chosen.open(path, settings)
    except PermissionError:
        raise ConfigError("may not be read", where=str(path)) from None
