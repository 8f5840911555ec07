"""`bellwire sweep`: a lab file with some of its values varied, every combination run with several seeds.

Owns the command. Refuses keys, runs and pictures (bellwire.study).
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bellwire.cli.exits import UNSUCCESSFUL
from bellwire.cli.places import JsonOption, LabArgument, find_lab, near
from bellwire.cli.study_work import DaskOption, OutOption, WorkersOption, told, working

if TYPE_CHECKING:
    from bellwire.study.sweeps import Summary, Sweep

OUT = Path("bellwire_sweep")


def sweep(
    scenario: LabArgument,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=A,B", help="Values of a key, such as links.a-b.length_km=5,10."),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", metavar="N", help="Runs of each combination.")] = 5,
    duration_s: Annotated[
        float, typer.Option("--duration", metavar="SECONDS", min=0.001, help="Virtual time of each run.")
    ] = 10.0,
    workers: WorkersOption = None,
    dask: DaskOption = None,
    out: OutOption = OUT,
    as_json: JsonOption = False,
) -> None:
    """Vary values of a lab file and compare what its requests get: table, figure and JSON.

    What is finished stays in the folder: the same command goes on where it was interrupted.
    """
    with working(workers, dask) as carried_out_by:
        from bellwire.study.evaluation import write_table
        from bellwire.study.figures_sweep import draw_sweep
        from bellwire.study.sweeps import plan_sweep, run_sweep, summarise

        planned = plan_sweep(find_lab(scenario), settings or [], seeds, duration_s)
        with told() as tell:
            rows = run_sweep(planned, carried_out_by, out, tell)
    summaries = summarise(planned, rows)
    write_table(rows, out / "runs.parquet")
    left_out = draw_sweep(planned, summaries, out / "sweep.png")
    document = _document(planned, summaries, seeds, duration_s)
    (out / "sweep.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(document))
    else:
        _show(planned, summaries, out)
    if left_out:
        typer.echo(f"{left_out} lines had no room in the figure; the table has them all", err=True)
    bad = [
        f"request {one.request} with {_said(planned, one)}: {error}"
        for one in summaries
        for error in one.errors
    ]
    for line in bad:
        typer.echo(line, err=True)
    if bad:
        raise typer.Exit(UNSUCCESSFUL)


def _said(planned: "Sweep", one: "Summary") -> str:
    return ", ".join(f"{key}={value}" for key, value in zip(planned.keys, one.values, strict=True))


def _document(
    planned: "Sweep", summaries: "list[Summary]", seeds: int, duration_s: float
) -> dict[str, object]:
    from dataclasses import asdict

    return {
        "lab": planned.lab,
        "keys": list(planned.keys),
        "seeds": seeds,
        "duration_s": duration_s,
        "points": [asdict(one) for one in summaries],
    }


def _show(planned: "Sweep", summaries: "list[Summary]", out: Path) -> None:
    from bellwire.cli import show
    from bellwire.study.report import shown

    show.write(
        show.table(
            planned.lab,
            [*planned.keys, "request", "pairs/s [95 %]", "fidelity [95 %]", "latency s [95 %]"],
            [
                [*map(str, one.values), one.request, *(shown(found) for found in one.figures.values())]
                for one in summaries
            ],
        ),
        f"written: {near(out / 'sweep.json')}, runs.parquet and sweep.png beside it",
    )
