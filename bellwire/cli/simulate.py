"""`bellwire simulate LAB`: the lab's own machines in virtual time.

Owns the command and the trace file. Refuses simulation itself (simulator_backend).
"""

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from bellwire.cli.exits import UNSUCCESSFUL
from bellwire.cli.places import JsonOption, LabArgument, find_lab

if TYPE_CHECKING:
    from bellwire.core.effects import Effect
    from bellwire.core.events import Event
    from bellwire.core.ids import NodeId
    from bellwire.labs import Lab


def simulate(
    lab: LabArgument,
    duration_s: Annotated[
        float, typer.Option("--duration", metavar="SECONDS", min=0.001, help="Virtual time to run.")
    ] = 10.0,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Chance of the World; default: the lab file's.")
    ] = None,
    together: Annotated[
        str | None,
        typer.Option(
            "--together",
            metavar="OBJECTIVE",
            help="Plan all requests at once: total or max_min; default: as the lab file says.",
        ),
    ] = None,
    trace: Annotated[
        Path | None, typer.Option("--trace", metavar="FILE", help="Write every step as a line of JSON.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a lab in virtual time and report rate, latency and fidelity of its requests."""
    from bellwire.labs import load_lab
    from bellwire.simulator_backend.simulation import simulate as run

    loaded = load_lab(find_lab(lab))
    if together is not None:
        loaded = _planned_together(loaded, together)
    with ExitStack() as open_files:
        watch = None if trace is None else _tracer(open_files.enter_context(trace.open("wb")))
        report = run(loaded, duration_s, loaded.seed if seed is None else seed, watch=watch)
    if as_json:
        typer.echo(json.dumps(report))
    else:
        _show(report)
    bad = [line for name, one in report["requests"].items() for line in _bad_news(name, one)]
    for line in bad:
        typer.echo(line, err=True)
    if bad:
        raise typer.Exit(UNSUCCESSFUL)


def _planned_together(lab: "Lab", objective: str) -> "Lab":
    from dataclasses import replace

    from bellwire.core.registry import lookup
    from bellwire.planner.joint_plans import OBJECTIVES

    return replace(lab, plan_together=lookup("objective of --together", objective, OBJECTIVES))


def _tracer(file: IO[bytes]) -> "Callable[[int, NodeId, Event, list[Effect]], None]":
    import msgspec

    encode = msgspec.json.Encoder().encode

    def watch(now_ns: int, node: "NodeId", event: "Event", effects: "list[Effect]") -> None:
        file.write(encode({"now_ns": now_ns, "node": node, "event": event, "effects": effects}) + b"\n")

    return watch


def _bad_news(name: str, request: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    if request["status"] == "failed":
        lines.append(f"request {name} failed: {request['error']}")
    if request["status"] == "planning":
        lines.append(f"request {name} has no plan at the end: {request['error']}")
    if request["frame_errors"]:
        lines.append(f"request {name}: {request['frame_errors']} pairs were delivered with a wrong frame")
    return lines


def _show(report: dict[str, Any]) -> None:
    from bellwire.cli import show
    from bellwire.cli.link_tables import figures_table

    measured = figures_table(report["link_figures"])
    corrections = show.corrections_table(report["requests"])
    speed = report["duration_s"] / report["wall_s"] if report["wall_s"] > 0 else float("inf")
    show.write(
        f"{report['lab']}: {report['duration_s']:g} s of network time in {report['wall_s']:.2f} s "
        f"({speed:.1f} times real time), {report['events']} events, seed {report['seed']}, "
        f"trace digest {report['digest'][:12]}",
        show.request_table(report["requests"]),
        *([] if corrections is None else [corrections]),
        show.link_table(report["links"]),
        *([] if measured is None else [measured]),
    )
