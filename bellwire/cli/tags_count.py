"""`bellwire tags count`: singles of each channel in intervals of equal length.

Owns the command. Intervals in which tags may be missing are marked, never counted as though they were whole.
"""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bellwire.cli.places import JsonOption, near
from bellwire.cli.tags_options import (
    PS_PER_S,
    ChannelOption,
    ChannelsOption,
    FileArgument,
    FromOption,
    PlotOption,
    ReferenceOption,
    SalvageOption,
    UnitOption,
    numbers,
    opened,
    picoseconds,
    salvaged,
)

if TYPE_CHECKING:
    from bellwire.cli.show import Cell
    from bellwire.drivers.tag_files.interval_counts import EpochCounts

ROWS_SHOWN = 40


def count(
    file: FileArgument,
    interval_s: Annotated[
        float, typer.Option("--interval", metavar="SECONDS", help="Length of an interval.")
    ] = 1.0,
    channels: ChannelsOption = None,
    plot: PlotOption = None,
    from_format: FromOption = None,
    channel: ChannelOption = None,
    reference_period_ps: ReferenceOption = None,
    unit_ps: UnitOption = None,
    salvage: SalvageOption = False,
    as_json: JsonOption = False,
) -> None:
    """Count the tags of each channel in intervals; those that overlap a loss are marked."""
    from bellwire.cli.tags_progress import reading
    from bellwire.drivers.tag_files.interval_counts import IntervalCounter

    interval_ps = picoseconds(interval_s, "--interval")
    source = opened(
        file,
        from_format,
        channel=channel,
        reference_period_ps=reference_period_ps,
        unit_ps=unit_ps,
        salvage=salvage,
    )
    counter = IntervalCounter(interval_ps, None if channels is None else numbers(channels, "--channels"))
    with reading(near(file)) as advanced:
        for block in source.blocks():
            counter.take(block)
            advanced(source.fraction)
    epochs = counter.result()
    if plot is not None:
        from bellwire.cli.tags_plots import draw_rates

        draw_rates(plot, near(file), epochs, interval_ps)
    document = {
        "file": str(file),
        "interval_s": interval_ps / PS_PER_S,
        "epochs": [_told(epoch) for epoch in epochs],
        "notes": salvaged(source),
    }
    if as_json:
        typer.echo(json.dumps(document))
    else:
        _show(near(file), epochs, interval_ps)


def _told(epoch: "EpochCounts") -> dict[str, Any]:
    return {
        "epoch": epoch.epoch,
        "start_ps": epoch.start_ps,
        "valid": epoch.valid.tolist(),
        "counts": {str(number): counts.tolist() for number, counts in epoch.singles.items()},
        "left_out_ps": epoch.left_out_ps,
    }


def _show(name: str, epochs: "list[EpochCounts]", interval_ps: int) -> None:
    from bellwire.cli import show

    channels = sorted({number for epoch in epochs for number in epoch.singles})
    rows: list[list[Cell]] = []
    for epoch in epochs:
        for index, valid in enumerate(epoch.valid[: max(0, ROWS_SHOWN - len(rows))]):
            singles = [int(epoch.singles[one][index]) if one in epoch.singles else 0 for one in channels]
            start_s = (epoch.start_ps + index * interval_ps) / PS_PER_S
            rows.append([epoch.epoch, f"{start_s:.6g}", *singles, "" if valid else "tags may be missing"])
    total = sum(len(epoch.valid) for epoch in epochs)
    more = [f"and {total - len(rows)} intervals more, which --json tells"] if total > len(rows) else []
    left_out_s = sum(epoch.left_out_ps for epoch in epochs) / PS_PER_S
    means: list[str] = []
    for number in channels:
        live = sum(int(epoch.valid.sum()) for epoch in epochs) * interval_ps / PS_PER_S
        counted = sum(
            int(epoch.singles[number][epoch.valid].sum()) for epoch in epochs if number in epoch.singles
        )
        if live:
            means.append(
                f"channel {number}: {counted / live:.6g} per second over {live:.6g} s without losses"
            )
    show.write(
        show.table(
            f"{name}, intervals of {interval_ps / PS_PER_S:g} s",
            ["epoch", "from s", *map(str, channels), ""],
            rows,
        ),
        *more,
        *means,
        f"left out at the end of epochs, no whole interval: {left_out_s:.6g} s",
    )
