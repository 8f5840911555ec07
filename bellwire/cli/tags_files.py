"""`bellwire tags convert` and `bellwire tags info`: files of time tags from format to format, and what is in
one.

Owns the two commands. Refuses formats (bellwire.drivers.tag_files).
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bellwire.cli.exits import UNSUCCESSFUL
from bellwire.cli.places import JsonOption, near
from bellwire.cli.tags_options import (
    PS_PER_S,
    ChannelOption,
    ChannelsOption,
    EpochOption,
    FileArgument,
    FromOption,
    ReferenceOption,
    SalvageOption,
    UnitOption,
    channel_number,
    fraction,
    numbers,
    opened,
    pairs,
    picoseconds,
    salvaged,
)
from bellwire.core.errors import ConfigError

if TYPE_CHECKING:
    from bellwire.cli.show import Cell
    from bellwire.drivers.tag_files.formats import TagFormat
    from bellwire.drivers.tag_files.source import TagSource
    from bellwire.drivers.tag_files.survey import Survey

GAPS_SHOWN = 10
SUFFIXES = {".h5": "photon_hdf5", ".hdf5": "photon_hdf5", ".bin": "idq", ".a1": "a1"}
"""Of an output, where `--to` is not given; other suffixes are those of their formats."""


def convert(
    file: FileArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New file; with --chunk a new folder.")],
    to: Annotated[
        str | None, typer.Option("--to", metavar="FORMAT", help="Default: as the suffix of OUT says.")
    ] = None,
    from_format: FromOption = None,
    channels: ChannelsOption = None,
    rename: Annotated[
        list[str] | None, typer.Option("--rename", metavar="OLD=NEW", help="Another number for a channel.")
    ] = None,
    epoch: EpochOption = None,
    chunk_s: Annotated[
        float | None, typer.Option("--chunk", metavar="SECONDS", help="One file for each stretch of time.")
    ] = None,
    resolution_ps: Annotated[
        str | None,
        typer.Option("--resolution-ps", metavar="PS", help="Of PTU and Photon-HDF5; default: kept."),
    ] = None,
    channel: ChannelOption = None,
    reference_period_ps: ReferenceOption = None,
    unit_ps: UnitOption = None,
    salvage: SalvageOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write the tags of a file in another format, and a sidecar that says what they mean.

    Existing files are never replaced, and nothing half written stays behind.
    """
    from bellwire.cli.tags_progress import reading
    from bellwire.drivers.tag_files.converting import Choice
    from bellwire.drivers.tag_files.converting import convert as converted
    from bellwire.drivers.tag_files.description import WriteSettings
    from bellwire.drivers.tag_files.writing import TagWriter

    target = _target(out, to)
    source = opened(
        file,
        from_format,
        channel=channel,
        reference_period_ps=reference_period_ps,
        unit_ps=unit_ps,
        salvage=salvage,
    )
    renamed = pairs(rename, "--rename")
    for number in renamed.values():
        channel_number(number, "--rename")
    choice = Choice(
        channels=None if channels is None else numbers(channels, "--channels"), epoch=epoch, renamed=renamed
    )
    settings = WriteSettings(
        resolution_ps=None if resolution_ps is None else fraction(resolution_ps, "--resolution-ps"),
        reference_period_ps=reference_period_ps if target.name == "idq_pairs" else None,
        original=file,
    )
    chunk_ps = None if chunk_s is None else picoseconds(chunk_s, "--chunk")
    described = choice.described(source.description)
    with (
        reading(f"{near(file)} to {target.name}") as advanced,
        TagWriter(out, target, described, settings, chunk_ps=chunk_ps) as writer,
    ):
        tags = converted(source, writer, choice, advanced)
    notes = salvaged(source)
    document = {
        "from": source.description.format,
        "to": target.name,
        "tags": tags,
        "files": [
            {
                "path": str(one.path),
                "tags": one.tags,
                "size_bytes": one.size_bytes,
                "sha256": one.sha256,
            }
            for one in writer.written
        ],
        "lost": writer.losses,
        "notes": notes,
    }
    if as_json:
        typer.echo(json.dumps(document))
        return
    size = sum(one.size_bytes for one in writer.written)
    files = near(out) if chunk_ps is None else f"{len(writer.written)} files in {near(out)}"
    per_tag = f", {size / tags:.2f} bytes per tag" if tags else ""
    typer.echo(f"{tags} tags from {source.description.format} to {target.name}: {files}{per_tag}")
    for line in writer.losses:
        typer.echo(f"not kept: {line}")
    for line in source.description.notes:
        typer.echo(f"note: {line}")


def _target(out: Path, name: str | None) -> "TagFormat":
    from bellwire.core.registry import lookup
    from bellwire.drivers.tag_files.formats import FORMATS, WRITABLE

    if name is not None and name in FORMATS and name not in WRITABLE:
        raise ConfigError(f"{name} can be read, not written; written are {', '.join(WRITABLE)}")
    if name is None:
        suffixes = {one.suffix: one.name for one in reversed(WRITABLE.values())} | SUFFIXES
        name = suffixes.get(out.suffix.lower())
        if name is None:
            raise ConfigError(
                f"no format has this suffix: name one of {', '.join(WRITABLE)} by --to", where=str(out)
            )
    return lookup("format", name, WRITABLE)


def info(
    file: FileArgument,
    from_format: FromOption = None,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Compare with the checksum of the sidecar; exit code 1 if it differs."),
    ] = False,
    channel: ChannelOption = None,
    reference_period_ps: ReferenceOption = None,
    unit_ps: UnitOption = None,
    salvage: SalvageOption = False,
    as_json: JsonOption = False,
) -> None:
    """Tell the format, channels, rates, epochs and gaps of a file."""
    from bellwire.cli.tags_progress import reading
    from bellwire.drivers.tag_files.survey import survey

    source = opened(
        file,
        from_format,
        channel=channel,
        reference_period_ps=reference_period_ps,
        unit_ps=unit_ps,
        salvage=salvage,
    )
    checksum = _checksum(file) if verify else None
    with reading(near(file)) as advanced:
        found = survey(source, advanced)
    document = _told(source, found) | {"notes": salvaged(source), "checksum": checksum}
    if as_json:
        typer.echo(json.dumps(document))
    else:
        _show(document)
    if checksum == "differs":
        typer.echo(f"{file}: its content is not that of which the sidecar holds the checksum", err=True)
        raise typer.Exit(UNSUCCESSFUL)


def _checksum(file: Path) -> str:
    from bellwire.drivers.tag_files import sidecar

    place = sidecar.beside(file)
    if not place.is_file():
        raise ConfigError("--verify needs the sidecar with its checksum", where=str(place))
    expected = sidecar.read(place.read_bytes(), where=str(place)).sha256
    if expected is None:
        raise ConfigError("the sidecar holds no checksum", where=str(place))
    return "agrees" if sidecar.sha256_of(file) == expected else "differs"


def _told(source: "TagSource", found: "Survey") -> dict[str, Any]:
    from bellwire.drivers.tag_files.survey import lost_of

    description = source.description
    notes = {note.number: note for note in description.channels}
    return {
        "file": str(source.path),
        "format": description.format,
        "resolution_ps": float(description.resolution_ps),
        "device": description.device,
        "serial_number": description.serial_number,
        "firmware": description.firmware,
        "clock_source": description.clock_source,
        "clock_locked": description.clock_locked,
        "pps_utc": [list(one) for one in description.pps_utc],
        "software": description.software,
        "software_version": description.software_version,
        "created_at": description.created_at,
        "comment": description.comment,
        "tags": found.tags,
        "covered_s": found.covered_ps / PS_PER_S,
        "lost_s": found.lost_ps / PS_PER_S,
        "channels": [
            {
                "channel": number,
                "label": notes[number].label if number in notes else None,
                "detector": notes[number].detector if number in notes else None,
                "tags": count,
                "rate_hz": found.rate_hz(number),
            }
            for number, count in found.counts.items()
        ],
        "epochs": [
            {
                "epoch": span.epoch,
                "start_ps": span.start_ps,
                "stop_ps": span.stop_ps,
                "tags": span.tags,
                "lost_ps": lost_of(span),
                "gaps_ps": [list(gap) for gap in span.lost],
            }
            for span in found.spans
        ],
    }


def _show(document: dict[str, Any]) -> None:
    from bellwire.cli import show

    said = [document["device"], document["serial_number"], document["software"], document["created_at"]]
    origin = ", ".join(text for text in said if text)
    channels: list[list[Cell]] = [
        [one["channel"], one["label"], one["detector"], one["tags"], one["rate_hz"]]
        for one in document["channels"]
    ]
    epochs: list[list[Cell]] = [
        [
            one["epoch"],
            one["start_ps"] / PS_PER_S,
            (one["stop_ps"] - one["start_ps"]) / PS_PER_S,
            one["tags"],
            len(one["gaps_ps"]),
            one["lost_ps"] / PS_PER_S,
        ]
        for one in document["epochs"]
    ]
    show.write(
        f"{near(Path(document['file']))}: {document['format']}, unit {document['resolution_ps']:g} ps"
        + (f", {origin}" if origin else ""),
        f"{document['tags']} tags in {document['covered_s']:.6g} s, of which {document['lost_s']:.3g} s are"
        " uncertain",
        show.table("Channels", ["channel", "label", "detector", "tags", "tags/s"], channels),
        show.table("Epochs", ["epoch", "from s", "length s", "tags", "gaps", "lost s"], epochs),
        *_gap_lines(document["epochs"]),
        *(f"note: {line}" for line in document["notes"]),
        *([f"checksum: {document['checksum']}"] if document["checksum"] else []),
    )


def _gap_lines(epochs: list[dict[str, Any]]) -> list[str]:
    gaps = [(one["epoch"], *gap) for one in epochs for gap in one["gaps_ps"]]
    lines = [f"gap in epoch {epoch}: {start} to {stop} ps" for epoch, start, stop in gaps[:GAPS_SHOWN]]
    if len(gaps) > GAPS_SHOWN:
        lines.append(f"and {len(gaps) - GAPS_SHOWN} gaps more, which --json tells")
    return lines
