"""`bellwire trace REQUEST`: the life of one pair from herald to delivery, and where a request's time went.

Owns the command and where records are looked for. Refuses to find anything out (runtime/history.py,
pair_life.py, time_shares.py) and to draw (trace_terminal.py, trace_svg.py).
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bellwire.cli.places import STATE, JsonOption, StateOption, find_lab
from bellwire.core.errors import ConfigError

if TYPE_CHECKING:
    from bellwire.runtime.recorded import Recording


def trace(
    request: Annotated[
        str, typer.Argument(metavar="REQUEST", help="Id of a request, or the beginning of one.")
    ],
    run: Annotated[
        Path | None,
        typer.Option("--run", metavar="RUN", help="Run directory, or a file of `simulate --trace`."),
    ] = None,
    lab: Annotated[
        str | None, typer.Option("--lab", metavar="LAB", help="The latest run of this lab in --state.")
    ] = None,
    pair: Annotated[
        int | None,
        typer.Option("--pair", metavar="N", min=1, help="Number of the pair; default: the latest one."),
    ] = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help="Write the picture as SVG as well.")
    ] = None,
    as_json: JsonOption = False,
    state: StateOption = STATE,
) -> None:
    """Draw one pair's life across the nodes, and say where the time of its request went."""
    from bellwire.runtime.history import history_of
    from bellwire.runtime.pair_life import deliveries, pair_life
    from bellwire.runtime.time_shares import time_shares

    place = _place(run, lab, state)
    recording = read_recording(place)
    for node, problem in recording.differing.items():
        typer.echo(f"{node}: orders are unknown from {problem}; facts and reports are shown", err=True)
    history = history_of(recording.steps)
    name = history.request_named(request)
    shares = time_shares(history, name)
    delivered = deliveries(history, name)
    if pair is None and delivered:
        pair = int(str(delivered[-1].report.fields["number"]))
    life = None if pair is None else pair_life(history, name, pair)
    if svg is not None:
        if life is None:
            raise ConfigError(f"no pair of {name} was delivered, so there is no picture for --svg")
        from bellwire.cli.trace_svg import life_svg

        _write(svg, life_svg(life))
    if as_json:
        typer.echo(json.dumps(_document(place, shares, life, recording)))
        return
    import shutil

    from bellwire.cli import show
    from bellwire.cli.trace_terminal import COLUMNS_MAX, life_parts, share_parts

    columns = shutil.get_terminal_size((COLUMNS_MAX, 24)).columns
    show.write(*share_parts(shares), *([] if life is None else ["", *life_parts(life, columns)]))


def read_recording(place: Path) -> "Recording":
    """The steps of a run directory or of a trace file.

    Raises:
        ConfigError: it is neither.
    """
    from bellwire.labs import lab_from_document
    from bellwire.runtime.node_process import machine_factory
    from bellwire.runtime.recorded import read_run, read_trace_file
    from bellwire.runtime.runs import CONFIGURATION

    if place.is_file():
        return read_trace_file(place)
    frozen = place / CONFIGURATION
    if not frozen.is_file():
        raise ConfigError(
            "neither a run directory (it has no configuration) nor a file of `bellwire simulate --trace`",
            where=str(place),
        )
    document = json.loads(frozen.read_text(encoding="utf-8"))["document"]
    lab = lab_from_document(document, path=str(frozen), live=True)
    return read_run(place, machine_factory(lab))


def latest_run(state: Path, lab: str | None) -> Path:
    """The directory of the latest run of a lab, or (None) of any.

    Raises:
        ConfigError: there is none.
    """
    from bellwire.runtime.runs import list_runs

    runs = state / "runs"
    name = None if lab is None else _lab_name(lab)
    found = [one["run"] for one in list_runs(runs) if name in (None, one["lab"])] if runs.is_dir() else []
    if not found:
        of = "" if name is None else f" of {name}"
        raise ConfigError(f"no run{of} is kept here; --state or --run says where to look", where=str(state))
    return runs / str(found[-1])


def _lab_name(lab: str) -> str:
    from bellwire.labs import load_lab

    return load_lab(find_lab(lab)).name


def _place(run: Path | None, lab: str | None, state: Path) -> Path:
    if run is not None and lab is not None:
        raise ConfigError("--run and --lab name a run both; give one of them")
    if run is None:
        return latest_run(state, lab)
    if not run.exists() and (state / "runs" / run).is_dir():
        return state / "runs" / run
    if not run.exists():
        raise ConfigError("no such run", where=str(run))
    return run


def _document(place: Path, shares: Any, life: Any, recording: "Recording") -> dict[str, Any]:
    import msgspec

    return {
        "run": place.name,
        "request": msgspec.to_builtins(shares) | {"shares": shares.shares()},
        "pair": None if life is None else msgspec.to_builtins(life),
        "orders_unknown": recording.differing,
    }


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as problem:
        raise ConfigError(f"cannot be written: {problem.strerror}", where=str(path)) from problem
