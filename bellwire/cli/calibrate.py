"""`bellwire calibrate LAB [LINK] [PROCEDURE…]`: bring a link into order, step by step, over the bus.

Owns the command and what is shown meanwhile. Refuses to start agents: the lab must be up, because they own
the instruments.
"""

import difflib
import getpass
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bellwire import __version__
from bellwire.api.extras import study_extra
from bellwire.calibration.procedure_names import PROCEDURE_NAMES
from bellwire.cli.calibration_links import bench_of
from bellwire.cli.exits import UNSUCCESSFUL
from bellwire.cli.places import STATE, JsonOption, LabArgument, StateOption, find_lab
from bellwire.core.errors import ConfigError
from bellwire.core.registry import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bellwire.calibration.bench import LinkBench
    from bellwire.calibration.order import Step
    from bellwire.calibration.procedure import Procedure, Progress
    from bellwire.calibration.running import RunTerms
    from bellwire.calibration.store import CalibrationStore
    from bellwire.calibration.whole_link import Ended
    from bellwire.labs import Lab


def calibrate(
    lab: LabArgument,
    link: Annotated[
        str | None, typer.Argument(metavar="[LINK]", help="Link of the lab; default: the only one.")
    ] = None,
    chosen: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PROCEDURE…]", help="In the order in which they need each other."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every procedure that the link can have.")
    ] = False,
    due: Annotated[
        bool, typer.Option("--due", help="Of these, only those without a result in force.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    override: Annotated[
        list[str] | None,
        typer.Option("--override", metavar="PROCEDURE", help="Go on without its result; the record says so."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the order of points.", min=0)] = 1,
    operator: Annotated[str, typer.Option("--operator", metavar="NAME", help="Default: your login.")] = "",
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Measure and align a link through the agents of a lab that is up, and keep what was found.

    Results are applied only within their limits and after read-back; whatever ends a procedure, the
    instruments go back to where they were.
    """
    import asyncio

    from bellwire.labs import load_lab

    loaded = load_lab(find_lab(lab), live=True)
    if link is not None and link not in loaded.network.links and _is_rather_a_procedure(link, loaded):
        chosen = [link, *(chosen or ())]  # the only link need not be named
        link = None
    bench = bench_of(loaded, link)
    with study_extra():
        from bellwire.calibration.order import planned
        from bellwire.calibration.running import RunTerms
        from bellwire.calibration.store import store_in
        from bellwire.calibration.table import procedures

        table = procedures()
    if bool(chosen) == everything:
        names = ", ".join(table)
        raise ConfigError(f"say which procedures, or --all (the procedures are {names})")
    for name in override or ():
        if name not in table:
            raise ConfigError(f'no procedure is called "{name}"{nearest(name, table)}')
    store = store_in(state)
    now_ns = time.time_ns()
    steps = planned(bench, table, chosen or ())
    if due:
        steps = tuple(one for one in steps if store.in_force(bench.link, one.procedure.name, now_ns) is None)
    if dry_run:
        _show_plan(steps, bench, store, now_ns, as_json)
        return
    terms = RunTerms(
        operator=operator or getpass.getuser(),
        software=f"bellwire {__version__}",
        seed=seed,
        overrides=tuple(override or ()),
    )
    ended = asyncio.run(_run(loaded, steps, bench, store, table, terms, state, as_json))
    if as_json:
        typer.echo(json.dumps({"link": bench.link, "steps": [_told(one) for one in ended]}, allow_nan=False))
    if not all(one.passed for one in ended):
        raise typer.Exit(UNSUCCESSFUL)


def _is_rather_a_procedure(word: str, lab: "Lab") -> bool:
    """It is the name of a procedure, or nearer to one than to that of a link."""
    known = (*lab.network.links, *PROCEDURE_NAMES)
    return any(name in PROCEDURE_NAMES for name in difflib.get_close_matches(word, known, n=1))


async def _run(
    lab: "Lab",
    steps: "Sequence[Step]",
    bench: "LinkBench",
    store: "CalibrationStore",
    table: "Mapping[str, Procedure]",
    terms: "RunTerms",
    state: Path,
    as_json: bool,
) -> "tuple[Ended, ...]":
    from dataclasses import replace

    from bellwire.calibration.whole_link import calibrate_link
    from bellwire.runtime.console import Console

    with _watched(as_json) as (on_progress, on_end):
        async with Console(lab, state) as console:
            return await calibrate_link(
                steps, bench, console, store, table, replace(terms, on_progress=on_progress), on_end
            )


@contextmanager
def _watched(as_json: bool) -> "Iterator[tuple[Callable[[Progress], None], Callable[[Ended], None]]]":
    """A bar on stderr while a procedure runs; a line on stdout for each that has ended."""
    from rich.console import Console as Screen
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    screen = Screen(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Bars(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bars:
        task = bars.add_task("reaching the agents", total=None)

        def on_progress(progress: "Progress") -> None:
            numbers = ", ".join(f"{name} {value:.4g}" for name, value in progress.values.items())
            text = f"{progress.procedure}: {progress.sentence}" + (f" ({numbers})" if numbers else "")
            bars.update(task, description=text, total=None if progress.fraction is None else 1.0)
            if progress.fraction is not None:
                bars.update(task, completed=progress.fraction)

        def on_end(ended: "Ended") -> None:
            bars.reset(task, total=None, description="")
            if not as_json:
                typer.echo(_line(ended))

        yield on_progress, on_end


def _line(ended: "Ended") -> str:
    name = ended.step.procedure.name
    if ended.record is None:
        return f"{name:16} left out: {ended.left_out}"
    record = ended.record
    took_s = (record.ended_ns - record.started_ns) / 1e9
    return f"{name:16} {record.outcome.value} in {took_s:.1f} s: {_values(ended) or record.reason}" + (
        "" if ended.passed or not _values(ended) else f"\n{'':16} {record.reason}"
    )


VALUES_SHOWN = 4


def _values(ended: "Ended") -> str:
    assert ended.record is not None
    found = list(ended.record.quantities.items())
    told = [
        f"{name} {one.value:.5g} ± {one.sigma:.2g} {one.unit}".rstrip() for name, one in found[:VALUES_SHOWN]
    ]
    more = len(found) - VALUES_SHOWN
    return ", ".join(told) + (f" and {more} more" if more > 0 else "")


def _told(ended: "Ended") -> dict[str, Any]:
    record = ended.record
    if record is None:
        return {"procedure": ended.step.procedure.name, "left_out": ended.left_out}
    return {
        "procedure": record.procedure,
        "outcome": record.outcome.value,
        "reason": record.reason,
        "record": record.record_id,
        "quantities": {
            name: {"value": _finite(one.value), "sigma": _finite(one.sigma), "unit": one.unit}
            for name, one in record.quantities.items()
        },
        "applied": dict(record.applied),
        "plot": record.plot,
    }


def _finite(value: float) -> float | None:
    return float(value) if abs(value) < float("inf") else None


def _show_plan(
    steps: "Sequence[Step]", bench: "LinkBench", store: "CalibrationStore", now_ns: int, as_json: bool
) -> None:
    from bellwire.cli import show

    rows: list[dict[str, Any]] = []
    for step in steps:
        one = step.procedure
        known = store.in_force(bench.link, one.name, now_ns)
        rows.append(
            {
                "procedure": one.name,
                "meaning": one.meaning,
                "needs": list(one.needs),
                "instruments": [] if step.obstacle else list(one.instruments(bench)),
                "obstacle": step.obstacle,
                "in_force": known is not None,
            }
        )
    if as_json:
        typer.echo(json.dumps({"link": bench.link, "steps": rows}))
        return
    table = show.table(
        f"Calibration of {bench.link}, nothing is done",
        ["procedure", "what", "needs", "instruments", "now"],
        [
            [
                row["procedure"],
                row["meaning"],
                ", ".join(row["needs"]) or "-",
                ", ".join(row["instruments"]) or "-",
                f"left out: {row['obstacle']}"
                if row["obstacle"]
                else "in force"
                if row["in_force"]
                else "due",
            ]
            for row in rows
        ],
    )
    show.write(table)


def _standing(row: dict[str, Any]) -> str:
    if row["obstacle"]:
        return f"left out: {row['obstacle']}"
    return "in force" if row["in_force"] else "due"
