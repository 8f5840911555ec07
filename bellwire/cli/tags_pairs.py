"""`bellwire tags coincidences` and `bellwire tags correlate`: what belongs together in a file of time tags.

Owns the two commands. Refuses counting (bellwire.drivers.tags), which leaves out what a loss touches.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from bellwire.api.extras import study_extra
from bellwire.cli.places import JsonOption, near
from bellwire.cli.tags_options import (
    PS_PER_S,
    EpochOption,
    FileArgument,
    FromOption,
    PlotOption,
    ReferenceOption,
    SalvageOption,
    UnitOption,
    channel_number,
    numbers,
    opened,
    pairs,
    salvaged,
)
from bellwire.core.errors import ConfigError, LocalMisuse

if TYPE_CHECKING:
    from bellwire.cli.show import Cell
    from bellwire.drivers.tag_files.source import TagSource
    from bellwire.drivers.tags.coincidences import Coincidences
    from bellwire.drivers.tags.histograms import DelayHistogram
    from bellwire.drivers.time_tags import TagBlock

BINS_MAX = 2_000_000
DelayOption = Annotated[
    list[str] | None,
    typer.Option("--delay", metavar="CHANNEL=PS", help="Added to the times of a channel; may be repeated."),
]
Made = TypeVar("Made")


def coincidences(
    file: FileArgument,
    pattern: Annotated[
        list[str],
        typer.Option("--pattern", metavar="A,B[,C]", help="Channels that click together; repeat it."),
    ],
    window_ps: Annotated[
        int, typer.Option("--window-ps", metavar="PS", min=0, help="Full width; partners within half of it.")
    ] = 1000,
    delay: DelayOption = None,
    epoch: EpochOption = None,
    from_format: FromOption = None,
    reference_period_ps: ReferenceOption = None,
    unit_ps: UnitOption = None,
    salvage: SalvageOption = False,
    as_json: JsonOption = False,
) -> None:
    """Count coincidences of patterns of channels, and the accidentals among those of two."""
    patterns = [_pattern(text) for text in pattern]
    delays = pairs(delay, "--delay")
    StreamedCoincidences = _engine("coincidences").StreamedCoincidences
    counter = _made(lambda: StreamedCoincidences(patterns, window_ps, _of(patterns, delays)))
    source = opened(
        file, from_format, reference_period_ps=reference_period_ps, unit_ps=unit_ps, salvage=salvage
    )
    _take_all(source, counter.take, epoch)
    found: Coincidences = counter.result()
    document = {
        "file": str(file),
        "window_ps": window_ps,
        "width_ps": found.width_ps,
        "delays_ps": {str(channel): value for channel, value in delays.items()},
        "live_s": found.live_ps / PS_PER_S,
        "discarded_s": found.discarded_ps / PS_PER_S,
        "singles": {str(channel): count for channel, count in found.singles.items()},
        "patterns": [_told(found, one) for one in dict.fromkeys(patterns)],
        "notes": salvaged(source),
    }
    typer.echo(json.dumps(document)) if as_json else _show(near(file), document)


def _pattern(text: str) -> tuple[int, ...]:
    found = numbers(text, "--pattern")
    if len(found) < 2 or len(set(found)) != len(found):
        raise ConfigError(f'--pattern "{text}": two or more different channels, such as 1,2')
    return found


def _of(patterns: list[tuple[int, ...]], delays: dict[int, int]) -> dict[int, int]:
    """The delays of channels that are in a pattern. Raises ConfigError for others."""
    known = {channel for pattern in patterns for channel in pattern}
    for channel in delays:
        if channel not in known:
            raise ConfigError(f"--delay {channel}={delays[channel]}: channel {channel} is in no pattern")
    return delays


def _told(found: "Coincidences", pattern: tuple[int, ...]) -> dict[str, Any]:
    from bellwire.drivers.tags.corrections import accidentals_of_singles

    count = found.coincidences[pattern]
    told: dict[str, Any] = {
        "pattern": list(pattern),
        "coincidences": count,
        "combinations": found.combinations[pattern],
        "rate_hz": count / found.live_ps * PS_PER_S if found.live_ps else None,
        "accidentals": None,
        "accidentals_sigma": None,
    }
    if len(pattern) == 2 and found.live_ps:
        first, second = (found.singles[channel] for channel in pattern)
        expected = accidentals_of_singles(first, second, found.width_ps, found.live_ps)
        told |= {"accidentals": expected.value, "accidentals_sigma": expected.sigma}
    return told


def _show(name: str, document: dict[str, Any]) -> None:
    from bellwire.cli import show

    rows: list[list[Cell]] = [
        [
            ",".join(map(str, one["pattern"])),
            one["coincidences"],
            one["combinations"],
            one["rate_hz"],
            one["accidentals"],
        ]
        for one in document["patterns"]
    ]
    singles: list[list[Cell]] = [[int(channel), count] for channel, count in document["singles"].items()]
    show.write(
        f"{name}: {document['live_s']:.6g} s counted, {document['discarded_s']:.3g} s left out for losses and"
        f" edges; window {document['window_ps']} ps",
        show.table(
            "Coincidences", ["pattern", "coincidences", "combinations", "per second", "accidentals"], rows
        ),
        show.table("Singles", ["channel", "tags"], singles),
        *(f"note: {line}" for line in document["notes"]),
    )


def correlate(
    file: FileArgument,
    start: Annotated[int, typer.Option("--start", metavar="CHANNEL", help="Delays count from its tags.")],
    stop: Annotated[int, typer.Option("--stop", metavar="CHANNEL", help="To the tags of this.")],
    bin_ps: Annotated[int, typer.Option("--bin-ps", metavar="PS", min=1, help="Width of a bin.")] = 100,
    range_ps: Annotated[
        int, typer.Option("--range-ps", metavar="PS", min=1, help="Delays up to so much on either side.")
    ] = 50_000,
    centre_ps: Annotated[
        int, typer.Option("--centre-ps", metavar="PS", help="The delay in the middle of the range.")
    ] = 0,
    delay: DelayOption = None,
    epoch: EpochOption = None,
    plot: PlotOption = None,
    from_format: FromOption = None,
    reference_period_ps: ReferenceOption = None,
    unit_ps: UnitOption = None,
    salvage: SalvageOption = False,
    as_json: JsonOption = False,
) -> None:
    """Histogram of the delays between all tags of two channels, with a fit of its peak."""
    for channel in (start, stop):
        channel_number(channel, "--start, --stop")
    delays = _of([(start, stop)], pairs(delay, "--delay"))
    half = -(-range_ps // bin_ps)
    if 2 * half > BINS_MAX:
        raise ConfigError(f"{2 * half} bins are too many, {BINS_MAX} is the limit: take wider ones")
    engine = _engine("histograms")
    bins = _made(lambda: engine.Bins(centre_ps - half * bin_ps, bin_ps, 2 * half))
    counter = _made(lambda: engine.StreamedCorrelation(start, stop, bins, delays))
    source = opened(
        file, from_format, reference_period_ps=reference_period_ps, unit_ps=unit_ps, salvage=salvage
    )
    _take_all(source, counter.take, epoch)
    found: DelayHistogram = counter.result()
    with study_extra():
        from bellwire.cli.tags_peak import peak_of, told_peak

        peak = peak_of(found.bins.edges_ps, found.counts)
    if plot is not None:
        from bellwire.cli.tags_plots import draw_histogram

        middles = found.bins.edges_ps[:-1] + (bin_ps - 1) / 2
        title = f"{near(file)}, channels {start} and {stop}"
        fitted = None if peak is None else peak.fitted.tolist()
        draw_histogram(plot, title, middles.tolist(), found.counts.tolist(), fitted)
    document = {
        "file": str(file),
        "start": start,
        "stop": stop,
        "bin_ps": bin_ps,
        "lo_ps": found.bins.lo_ps,
        "counts": found.counts.tolist(),
        "starts": found.starts,
        "stops": found.stops,
        "live_s": found.live_ps / PS_PER_S,
        "discarded_s": found.discarded_ps / PS_PER_S,
        "peak": None if peak is None else told_peak(peak),
        "notes": salvaged(source),
    }
    if as_json:
        typer.echo(json.dumps(document))
    else:
        _show_correlation(near(file), document)


def _show_correlation(name: str, document: dict[str, Any]) -> None:
    from bellwire.cli import show

    peak = document["peak"]
    if peak is None:
        lines = ["no peak: no bin stands above the background by more than chance would allow"]
    else:
        lines = [
            f"peak at {peak['at_ps']:.1f} +- {peak['at_sigma_ps']:.1f} ps, FWHM {peak['fwhm_ps']:.1f} ps"
            f" (sigma {peak['sigma_ps']:.1f} +- {peak['sigma_sigma_ps']:.1f} ps)",
            f"pairs in it: {peak['pairs']:.0f} +- {peak['pairs_sigma']:.0f}, background"
            f" {peak['background_per_bin']:.3g} per bin",
        ]
    high_ps = document["lo_ps"] + document["bin_ps"] * len(document["counts"])
    show.write(
        f"{name}: delays from channel {document['start']} to {document['stop']}, {document['lo_ps']} to"
        f" {high_ps} ps in bins of {document['bin_ps']} ps",
        f"{sum(document['counts'])} pairs of {document['starts']} starts and {document['stops']} stops in"
        f" {document['live_s']:.6g} s; {document['discarded_s']:.3g} s left out for losses and edges",
        *lines,
        *(f"note: {line}" for line in document["notes"]),
    )


def _engine(module: str) -> Any:
    """A module of the engine, which needs numba. Raises ConfigError without it."""
    import importlib

    with study_extra():
        return importlib.import_module(f"bellwire.drivers.tags.{module}")


def _made(make: Callable[[], Made]) -> Made:
    try:
        return make()
    except LocalMisuse as problem:  # what was typed is wrong, not the program
        raise ConfigError(str(problem)) from problem


def _take_all(source: "TagSource", take: "Callable[[TagBlock], None]", epoch: int | None) -> None:
    from bellwire.cli.tags_progress import reading

    with reading(near(source.path)) as advanced:
        for block in from_zero(source, epoch):
            take(block)
            advanced(source.fraction)


def from_zero(source: "TagSource", epoch: int | None) -> "Iterator[TagBlock]":
    """Blocks whose times count from the beginning of their epoch: only differences matter here, and taggers
    that have run for weeks have long times.
    """
    origins: dict[int, int] = {}
    for block in source.blocks():
        if epoch is None or block.epoch == epoch:
            origin = origins.setdefault(block.epoch, block.start_ps)
            yield replace(
                block,
                start_ps=block.start_ps - origin,
                stop_ps=block.stop_ps - origin,
                time_ps=block.time_ps - origin,
                lost=tuple((a - origin, b - origin) for a, b in block.lost),
            )
