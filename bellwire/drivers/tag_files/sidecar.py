"""The JSON document that stands beside a file of tags, or inside it, and says what the tags mean.

Owns its form, which is kept as `bellwire tags 1`. Refuses documents of another form, and a file that has
become shorter than its sidecar says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec

from bellwire.core.errors import ConfigError
from bellwire.drivers.tag_files.damage import DamagedTagFile
from bellwire.drivers.tag_files.description import ChannelNote, Description, Interval, Span
from bellwire.drivers.tag_files.records import size_of

FORM = "bellwire tags 1"
SUFFIX = ".json"
UNIT = "ps"
READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A description with what it says of its file: size, SHA-256, and whether it says so."""

    description: Description
    size_bytes: int | None
    sha256: str | None
    reference_period_ps: int | None


class _SpanDocument(msgspec.Struct, forbid_unknown_fields=True):
    epoch: int
    start_ps: int
    stop_ps: int
    tags: int
    lost: list[Interval] = []


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    """Every key of the document. A gap is a stretch without coverage or with losses."""

    form: str
    format: str
    unit: str = UNIT
    resolution_ps: str = "1"
    device: str | None = None
    serial_number: str | None = None
    firmware: str | None = None
    clock_source: str | None = None
    clock_locked: bool | None = None
    pps_utc: list[tuple[int, str]] = []
    software: str | None = None
    software_version: str | None = None
    software_commit: str | None = None
    created_at: str | None = None
    comment: str | None = None
    channels: list[ChannelNote] = []
    spans: list[_SpanDocument] | None = None
    notes: list[str] = []
    reference_period_ps: int | None = None
    size_bytes: int | None = None
    sha256: str | None = None


def beside(path: Path) -> Path:
    """Where the sidecar of a file is."""
    return path.with_name(path.name + SUFFIX)


def told(description: Description) -> dict[str, Any]:
    """A description as the keys of the document."""
    return {
        "form": FORM,
        "unit": UNIT,
        **asdict(description),
        "resolution_ps": str(description.resolution_ps),
    }


def written(
    description: Description, *, size_bytes: int, sha256: str, reference_period_ps: int | None
) -> bytes:
    """The sidecar of a file that is complete."""
    document = told(description) | {"size_bytes": size_bytes, "sha256": sha256}
    if reference_period_ps is not None:
        document["reference_period_ps"] = reference_period_ps
    return json.dumps(document, indent=1).encode() + b"\n"


def read(document: bytes, *, where: str) -> Sidecar:
    """A document. Raises ConfigError when it has another form."""
    try:
        found = msgspec.json.decode(document, type=_Document)
        resolution_ps = Fraction(found.resolution_ps)
    except (msgspec.DecodeError, ValueError, ZeroDivisionError) as error:
        raise ConfigError(f"no description of tags: {error}", where=where) from None
    if found.form != FORM or found.unit != UNIT or resolution_ps <= 0:
        raise ConfigError(
            f"a description of form {found.form!r} in {found.unit!r} with resolution {found.resolution_ps};"
            f" {FORM!r} in {UNIT!r} is known",
            where=where,
        )
    spans = None if found.spans is None else tuple(_span(one) for one in found.spans)
    own: Mapping[str, Any] = {
        field.name: getattr(found, field.name)
        for field in fields(Description)
        if field.name not in ("resolution_ps", "spans", "channels", "pps_utc", "notes")
    }
    description = Description(
        **own,
        resolution_ps=resolution_ps,
        spans=spans,
        channels=tuple(found.channels),
        pps_utc=tuple(found.pps_utc),
        notes=tuple(found.notes),
    )
    return Sidecar(description, found.size_bytes, found.sha256, found.reference_period_ps)


def _span(one: _SpanDocument) -> Span:
    return Span(
        epoch=one.epoch, start_ps=one.start_ps, stop_ps=one.stop_ps, tags=one.tags, lost=tuple(one.lost)
    )


def refuse_foreign(place: Path) -> None:
    """Raises ConfigError when something else than a sidecar stands where one is to be written."""
    if place.exists():
        try:
            read(place.read_bytes(), where=str(place))
        except ConfigError:
            problem = "stands where the sidecar would be, and is none: move it away"
            raise ConfigError(problem, where=str(place)) from None


def find(path: Path, format_name: str, *, salvage: bool) -> Sidecar | None:
    """The sidecar of a file, when it has one that is about this format.

    Raises ConfigError for an unreadable one, DamagedTagFile when the file is shorter than it says.
    """
    place = beside(path)
    if not place.is_file():
        return None
    found = read(place.read_bytes(), where=str(place))
    if found.description.format != format_name:
        return None
    size = size_of(path)
    if found.size_bytes is not None and size < found.size_bytes:
        if not salvage:
            raise DamagedTagFile(
                path,
                size,
                f"the file ends, but had {found.size_bytes} bytes when {place.name} was written",
                "--salvage takes what is there",
            )
        note = f"{found.size_bytes - size} bytes are missing at the end"
        cut = replace(found.description, spans=None, notes=(*found.description.notes, note))
        return replace(found, description=cut)
    return found


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def described(found: Sidecar | None, otherwise: Description) -> Description:
    """What the sidecar says, with the notes of the reader; else what the reader found."""
    if found is None:
        return otherwise
    notes = dict.fromkeys((*found.description.notes, *otherwise.notes))
    return replace(found.description, notes=tuple(notes))


def channel_of(found: Sidecar | None) -> ChannelNote | None:
    """The only channel that a sidecar names."""
    if found is None or len(found.description.channels) != 1:
        return None
    return found.description.channels[0]
