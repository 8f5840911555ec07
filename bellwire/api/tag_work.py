"""Time tags in files and in memory, for scripts: opened, written, converted, handed on block by block.

Owns what counts as tags in a call: a path, an opened file, a block, or blocks in order. Refuses formats
(bellwire.drivers.tag_files) and counting (tag_counts.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from bellwire.api.extras import study_extra
from bellwire.core.errors import ConfigError
from bellwire.core.registry import lookup
from bellwire.drivers.time_tags import TagBlock

if TYPE_CHECKING:
    from bellwire.drivers.readings import InstrumentSeen
    from bellwire.drivers.tag_files.formats import TagFormat
    from bellwire.drivers.tag_files.source import TagSource
    from bellwire.drivers.tag_files.writing import TagWriter

    Tags = str | Path | TagSource | TagBlock | Iterable[TagBlock]

OTHER_SUFFIXES: Final = {".h5": "photon_hdf5", ".hdf5": "photon_hdf5", ".bin": "idq", ".a1": "a1"}
"""Of a new file, where no format is named; others are those of their formats."""


@dataclass(frozen=True, slots=True)
class Written:
    """A file of tags that is complete. `lost`: what the format could not keep, one sentence each."""

    path: Path
    tags: int
    size_bytes: int
    lost: tuple[str, ...] = ()


def open_tags(
    path: str | Path,
    *,
    format_name: str | None = None,
    channel: int | None = None,
    reference_period_ps: int | None = None,
    unit_ps: float | str | None = None,
    salvage: bool = False,
) -> TagSource:
    """Open a file of time tags, or a folder of native ones, whatever its format.

    Nothing is read yet: `blocks()` yields TagBlocks in constant memory, `description` tells what the file
    says of itself. `format_name`: take it as this; None: as its content says. `channel`: of all tags, where
    the format has no channels. `unit_ps`: of formats that do not tell it. `salvage`: take what stands before
    damage. docs/time_tags.md lists the formats. Raises ConfigError, DamagedTagFile.

    >>> source = open_tags("run.parquet")  # doctest: +SKIP
    >>> sum(len(block.time_ps) for block in source.blocks())  # doctest: +SKIP
    200000
    """
    from bellwire.drivers.tag_files import formats
    from bellwire.drivers.tag_files.description import ReadSettings

    with study_extra():
        return formats.open_tags(
            Path(path),
            ReadSettings(
                channel=channel,
                reference_period_ps=reference_period_ps,
                resolution_ps=None if unit_ps is None else Fraction(unit_ps),
                salvage=salvage,
            ),
            format_name=format_name,
        )


def blocks_of(tags: Tags, *, epoch: int | None = None) -> Iterator[TagBlock]:
    """The blocks of a path, an opened file, one block, or blocks in order; `epoch`: only of this.

    >>> [len(block.time_ps) for block in blocks_of("run.parquet")]  # doctest: +SKIP
    [131072, 68928]
    """
    with study_extra():
        yield from (one for one in _blocks(tags) if epoch is None or one.epoch == epoch)


def _blocks(tags: Tags) -> Iterable[TagBlock]:
    if isinstance(tags, TagBlock):
        return (tags,)
    if isinstance(tags, str | Path):
        return open_tags(tags).blocks()
    opened: Any = getattr(tags, "blocks", None)
    return cast("Iterable[TagBlock]", tags if opened is None else opened())


def read_tags(tags: Tags, *, epoch: int | None = None) -> TagBlock:
    """All tags in one block in memory, losses and gaps between blocks among it; `epoch`: only of this.

    Raises ConfigError when there is none, or when several epochs have no time in common.

    >>> read_tags("run.parquet").time_ps.shape  # doctest: +SKIP
    (200000,)
    """
    from bellwire.drivers.tag_counting import joined

    blocks = list(blocks_of(tags, epoch=epoch))
    epochs = sorted({block.epoch for block in blocks})
    if len(epochs) != 1:
        what = (
            f"epochs {', '.join(map(str, epochs))} have no time in common" if epochs else "there are no tags"
        )
        raise ConfigError(f"{what}: choose an epoch, or count block by block")
    return joined(blocks)


def save_tags(
    tags: Tags,
    path: str | Path,
    *,
    to: str | None = None,
    comment: str = "",
    resolution_ps: float | str | None = None,
) -> Written:
    """Write tags into a new file with a sidecar that says what they mean; a file that exists is not replaced.

    `to`: a format of docs/time_tags.md; None: as the suffix says. Raises ConfigError for what the format
    cannot hold, DeviceFault for a disk that is full.

    >>> save_tags(lab.tags("alice-tagger", 2.0), "alice.parquet").tags  # doctest: +SKIP
    177200
    """
    with tag_file(path, to=to, comment=comment, resolution_ps=resolution_ps) as file:
        for block in blocks_of(tags):
            file.put(block)
    return file.written


def convert_tags(
    path: str | Path,
    out: str | Path,
    *,
    to: str | None = None,
    channels: Sequence[int] | None = None,
    rename: Mapping[int, int] | None = None,
    epoch: int | None = None,
    resolution_ps: float | str | None = None,
) -> Written:
    """Write the tags of a file in another format, as `bellwire tags convert` does.

    `channels`: only these; `rename`: old number to new; `epoch`: only this. `lost` of what is returned says
    what the new format could not keep.

    >>> convert_tags("run.parquet", "run.ptu").lost  # doctest: +SKIP
    ()
    """
    from bellwire.drivers.tag_files.converting import Choice, convert
    from bellwire.drivers.tag_files.description import WriteSettings
    from bellwire.drivers.tag_files.writing import TagWriter

    source = open_tags(path)
    choice = Choice(
        channels=None if channels is None else tuple(channels), epoch=epoch, renamed=dict(rename or {})
    )
    settings = WriteSettings(resolution_ps=_fraction(resolution_ps), original=Path(path))
    with study_extra():
        described = choice.described(source.description)
        with TagWriter(Path(out), _target(Path(out), to), described, settings) as writer:
            convert(source, writer, choice, lambda _: None)
    return _written(writer)


class _TagFile:
    """A file that is being written."""

    def __init__(self, writer: TagWriter) -> None:
        self._writer = writer

    def put(self, block: TagBlock) -> None:
        self._writer.put(block)

    @property
    def written(self) -> Written:
        """What became of it, once it is complete."""
        return _written(self._writer)


@contextmanager
def tag_file(
    path: str | Path,
    *,
    to: str | None = None,
    comment: str = "",
    resolution_ps: float | str | None = None,
    seen: InstrumentSeen | None = None,
) -> Iterator[_TagFile]:
    """A new file to put blocks into; it is complete when the context ends in good order, and gone if not.

    `seen`: the tagger that the tags come from.

    >>> with tag_file("both.parquet") as file:  # doctest: +SKIP
    ...     for block in blocks_of("run.ptu"):
    ...         file.put(block)
    """
    from bellwire.drivers.tag_files.description import Description, WriteSettings
    from bellwire.drivers.tag_files.writing import TagWriter

    target = _target(Path(path), to)
    described = Description(
        format=target.name,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        comment=comment or None,
    )
    if seen is not None:
        described = replace(
            described,
            device=f"{seen.name} ({seen.driver})",
            serial_number=seen.serial_number or None,
            firmware=seen.firmware or None,
        )
    settings = WriteSettings(resolution_ps=_fraction(resolution_ps))
    with study_extra(), TagWriter(Path(path), target, described, settings) as writer:
        yield _TagFile(writer)


def _target(path: Path, name: str | None) -> TagFormat:
    from bellwire.drivers.tag_files.formats import WRITABLE

    if name is None:
        suffixes = {one.suffix: one.name for one in reversed(WRITABLE.values())} | OTHER_SUFFIXES
        name = suffixes.get(path.suffix.lower())
    if name is None:
        raise ConfigError(f"no format has this suffix: name one of {', '.join(WRITABLE)}", where=str(path))
    return lookup("format that can be written", name, WRITABLE)


def _written(writer: TagWriter) -> Written:
    (one,) = writer.written
    return Written(one.path, one.tags, one.size_bytes, tuple(writer.losses))


def _fraction(value: float | str | None) -> Fraction | None:
    return None if value is None else Fraction(value)
