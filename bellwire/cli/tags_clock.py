"""`bellwire tags clock`: offset and rate between the clocks of two taggers, from pairs in their files.

Owns the command. Refuses the search itself (bellwire.drivers.clocks), and a clock that the tags do not
determine: that is an answer, with exit code 1.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bellwire.api.extras import study_extra
from bellwire.cli.exits import UNSUCCESSFUL, one_line
from bellwire.cli.places import JsonOption, near
from bellwire.cli.tags_options import (
    ReferenceOption,
    SalvageOption,
    UnitOption,
    numbers,
    opened,
    picoseconds,
)
from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.core.registry import nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bellwire.drivers.clocks.between import Record
    from bellwire.drivers.clocks.offset_search import CoarseOffset
    from bellwire.drivers.clocks.refine import RefinedOffset
    from bellwire.drivers.tag_files.source import TagSource


PPM_E15 = 10**9
PLOT_SIGMAS = 8
PLOT_BINS = 200


def clock(
    reference: Annotated[Path, typer.Argument(metavar="REFERENCE", help="Tags in whose time to speak.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Tags whose clock is looked for.")],
    oscillator: Annotated[
        str, typer.Option("--oscillator", metavar="KIND", help="Of both: locked, rubidium, oven or quartz.")
    ],
    reference_channels: Annotated[
        str | None, typer.Option("--reference-channels", metavar="A,B", help="Default: all.")
    ] = None,
    file_channels: Annotated[
        str | None, typer.Option("--file-channels", metavar="A,B", help="Default: all.")
    ] = None,
    within_s: Annotated[
        float, typer.Option("--within", metavar="SECONDS", help="The offset is expected +- so much.")
    ] = 1e-3,
    expected_ps: Annotated[
        int, typer.Option("--expected-ps", metavar="PS", help="Offset about which to look.")
    ] = 0,
    ppm: Annotated[
        float, typer.Option("--ppm", min=0.0, max=25.0, help="The rates differ by +- so many parts in 10^6.")
    ] = 0.1,
    pairs_hz: Annotated[
        float | None,
        typer.Option("--pairs-per-second", metavar="RATE", min=0.001, help="Default: 1 % of the fewer tags."),
    ] = None,
    length_s: Annotated[
        float, typer.Option("--length", metavar="SECONDS", help="How much of the beginning is used.")
    ] = 5.0,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw the delays that are left.")
    ] = None,
    reference_period_ps: ReferenceOption = None,
    unit_ps: UnitOption = None,
    salvage: SalvageOption = False,
    as_json: JsonOption = False,
) -> None:
    """Find the offset and the rate of a file's clock against another, by the pairs that both have seen.

    What is found is to be added to the file's times. Exit code 1 when the tags do not determine it.
    """
    with study_extra():
        from bellwire.drivers.clocks.between import clock_between
        from bellwire.drivers.clocks.clock_kinds import ClockKind
        from bellwire.drivers.clocks.refusals import NoTiming

    def source_of(path: Path) -> "TagSource":
        return opened(path, reference_period_ps=reference_period_ps, unit_ps=unit_ps, salvage=salvage)

    length_ps, within_ps = picoseconds(length_s, "--length"), picoseconds(within_s, "--within")
    kind = _kind(oscillator)
    stream = _beginning(source_of(file), file_channels, "--file-channels", None, length_ps)
    first_ps, last_ps = int(stream.time_ps[0]), int(stream.time_ps[-1])
    window = (first_ps + expected_ps - within_ps, last_ps + expected_ps + within_ps)
    facing = _beginning(
        source_of(reference),
        reference_channels,
        "--reference-channels",
        window,
        window[1] - window[0],
    )
    try:
        coarse, refined = clock_between(
            facing,
            stream,
            oscillator=ClockKind(kind),
            within_ps=within_ps,
            rate_within_e15=round(ppm * PPM_E15),
            expected_ps=expected_ps,
            pairs_hz=pairs_hz,
        )
    except NoTiming as refusal:
        if as_json:
            typer.echo(json.dumps({"found": False, "reason": str(refusal)}))
        else:
            typer.echo(one_line(str(refusal)), err=True)
        raise typer.Exit(UNSUCCESSFUL) from None
    except LocalMisuse as problem:  # what was typed is wrong, not the program
        raise ConfigError(str(problem)) from problem
    if plot is not None:
        _draw(plot, f"{near(file)} against {near(reference)}", facing.time_ps, stream.time_ps, refined)
    document = _told(reference, file, coarse, refined)
    typer.echo(json.dumps(document)) if as_json else _show(document)


def _kind(name: str) -> str:
    from bellwire.drivers.clocks.clock_kinds import ClockKind

    names = [kind.value for kind in ClockKind]
    if name not in names:
        raise ConfigError(f'--oscillator "{name}" is no kind of oscillator{nearest(name, names)}')
    return name


def _beginning(
    source: "TagSource", channels: str | None, option: str, window: tuple[int, int] | None, length_ps: int
) -> "Record":
    """Times of the first epoch, within a window or from the first tag on. Raises ConfigError for none."""
    import numpy as np

    from bellwire.cli.tags_progress import reading
    from bellwire.drivers.clocks.between import Record
    from bellwire.drivers.tag_files.converting import Choice, chosen

    wanted = None if channels is None else numbers(channels, option)
    parts: list[NDArray[np.int64]] = []
    epoch: int | None = None
    with reading(near(source.path)) as advanced:
        for block in chosen(source, Choice(channels=wanted)):
            if epoch is None:
                epoch = block.epoch
            if block.epoch != epoch or (window is not None and block.start_ps > window[1]):
                break
            if window is None and len(block.time_ps):
                start_ps = int(block.time_ps[0])
                window = (start_ps, start_ps + length_ps)
            if window is not None:
                low, high = np.searchsorted(block.time_ps, window)
                parts.append(block.time_ps[low:high])
            advanced(source.fraction)
    times = np.concatenate(parts) if parts else np.empty(0, np.int64)
    if len(times) < 2:
        place = "" if window is None else f" from {window[0]} to {window[1]} ps"
        raise ConfigError(
            f"{len(times)} tags of the chosen channels{place}: look at {option} and --expected-ps",
            where=str(source.path),
        )
    return Record(epoch or 0, times)


def _told(reference: Path, file: Path, coarse: "CoarseOffset", refined: "RefinedOffset") -> dict[str, Any]:
    found = refined.clock
    return {
        "found": True,
        "reference": str(reference),
        "file": str(file),
        "epoch": found.epoch,
        "reference_epoch": found.reference_epoch,
        "at_ps": found.at_ps,
        "offset_ps": found.offset_ps,
        "sigma_ps": found.sigma_ps,
        "rate_e15": found.rate_e15,
        "sigma_rate_e15": found.sigma_rate_e15,
        "valid_from_ps": found.valid_from_ps,
        "valid_until_ps": found.valid_until_ps,
        "jitter_ps": refined.jitter_ps,
        "pairs": refined.pairs,
        "significance": coarse.significance,
        "threshold": coarse.threshold,
    }


def _show(document: dict[str, Any]) -> None:
    from bellwire.cli import show

    show.write(
        f"{near(Path(document['file']))} against {near(Path(document['reference']))}: found by"
        f" {document['pairs']} pairs, {document['significance']:.1f} standard deviations where"
        f" {document['threshold']:.1f} are asked for",
        f"add {document['offset_ps']} +- {document['sigma_ps']} ps to its times at {document['at_ps']} ps",
        f"rate {document['rate_e15'] * 1e-6:.4f} +- {document['sigma_rate_e15'] * 1e-6:.4f} in 10^9; valid"
        f" from {document['valid_from_ps']} to {document['valid_until_ps']} ps",
        f"joint jitter {document['jitter_ps']} ps (standard deviation)",
    )


def _draw(
    path: Path,
    title: str,
    reference: "NDArray[np.int64]",
    stream: "NDArray[np.int64]",
    refined: "RefinedOffset",
) -> None:
    import numpy as np

    from bellwire.cli.tags_peak import peak_of
    from bellwire.cli.tags_plots import draw_histogram
    from bellwire.drivers.tags.pairs import pair_indices

    half = PLOT_SIGMAS * refined.jitter_ps
    width = max(1, 2 * half // PLOT_BINS)
    edges = np.arange(-half, half + 1, width)
    moved = refined.clock.all_to_reference(stream)
    of_stream, of_reference = pair_indices(moved, reference, int(edges[0]), int(edges[-1]) - 1)
    counts, _ = np.histogram(reference[of_reference] - moved[of_stream], edges)
    peak = peak_of(edges, counts)
    middles = edges[:-1] + (width - 1) / 2
    draw_histogram(
        path, title, middles.tolist(), counts.tolist(), None if peak is None else peak.fitted.tolist()
    )
