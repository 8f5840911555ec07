"""What all programs of `bellwire app` share: their options, the request behind them, its run, its report.

Owns the checks before a request is made, and the common part of the answer. Refuses what a program makes of
its deliveries (app_chsh.py and those beside it).
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from bellwire.cli.exits import UNSUCCESSFUL
from bellwire.cli.places import find_lab
from bellwire.core.errors import ConfigError

if TYPE_CHECKING:
    from bellwire.core.ids import NodeId
    from bellwire.core.plans import EntanglementRequest
    from bellwire.labs import Lab
    from bellwire.simulator_backend.world_words import MemoryTruth
    from bellwire.study.application_runs import ApplicationRun

SourceOption = Annotated[
    str | None,
    typer.Option("--from", metavar="NODE", help="Source; default: that of the lab's first request."),
]
TargetOption = Annotated[
    str | None, typer.Option("--to", metavar="NODE", help="Destination; default: that of the first request.")
]
VirtualOption = Annotated[
    bool, typer.Option("--virtual", help="In virtual time, instead of on the lab that is up.")
]
SeedOption = Annotated[
    int | None, typer.Option("--seed", min=0, help="Chance of --virtual; default: the lab file's.")
]
WithinOption = Annotated[
    float, typer.Option("--within-s", metavar="SECONDS", min=0.001, help="Time for all of it.")
]

SIGMAS: Final = 5.0
"""Standard errors that a claim needs before it is made: a false alarm of 3e-7 a claim."""


class Place(NamedTuple):
    """Where a program runs."""

    lab: "Lab"
    virtual: bool
    seed: int
    state: Path
    within_s: float


def place_of(name: str, *, virtual: bool, seed: int | None, state: Path, within_s: float) -> Place:
    """The lab, read for the host that is to run it.

    Raises:
        ConfigError: a fault in the lab file, or a seed for a lab that is up.
    """
    from bellwire.labs import load_lab

    if seed is not None and not virtual:
        raise ConfigError(
            "--seed goes with --virtual: the chance of a lab that is up was chosen at its start"
        )
    lab = load_lab(find_lab(name), live=not virtual)
    return Place(lab, virtual, lab.seed if seed is None else seed, state, within_s)


def pair_ends(lab: "Lab", source: str | None, target: str | None) -> tuple["NodeId", "NodeId"]:
    """Source and destination as asked, or those of the lab's first request.

    Raises:
        ConfigError: only one is named, or none and the lab has no request.
    """
    if (source is None) != (target is None):
        raise ConfigError("give both --from and --to, or neither")
    if source is not None and target is not None:
        return source, target
    if not lab.requests:
        raise ConfigError("the lab file has no request to take the ends from: give --from and --to")
    first = lab.requests[0].target_nodes
    return first[0], first[-1]


def fresh_name(program: str) -> str:
    """A name that no earlier run has used: a request of a known name would be the old one."""
    import secrets

    return f"{program}-{secrets.token_hex(4)}"


def run(place: Place, request: "EntanglementRequest") -> "ApplicationRun":
    """Check the request against the lab, and run it to its end.

    Raises:
        ConfigError: the transport layer would refuse it, or there is no plan for it.
    """
    import asyncio

    import msgspec

    from bellwire.core.units import ns_from_s
    from bellwire.planner.plans import compute_plan
    from bellwire.study.application_runs import run_live, run_virtual
    from bellwire.transport.request_records import fault_of

    lab = place.lab
    request = msgspec.structs.replace(request, deadline_ns=ns_from_s(place.within_s))
    fault = fault_of(request, lab.network, request.target_nodes[0])
    if fault is None:
        plan = compute_plan(lab.network, request, 1)
        fault = plan if isinstance(plan, str) else None
    if fault is not None:
        raise ConfigError(fault, where=lab.name)
    if place.virtual:
        return run_virtual(lab, request, place.seed, place.within_s)
    return asyncio.run(run_live(request, place.state, place.within_s))


def memories_of(lab: "Lab", nodes: Sequence["NodeId"]) -> list["MemoryTruth"]:
    """The hidden truth about the memories of these nodes, in their order."""
    memories = {memory.node: memory for memory in lab.world()[1]}
    return [memories[node] for node in nodes]


def common_report(program: str, place: Place, ran: "ApplicationRun") -> dict[str, Any]:
    """What every program says of its run, ready for JSON."""
    deliveries = ran.deliveries
    whole = deliveries.whole()
    return {
        "application": program,
        "lab": place.lab.name,
        "virtual": place.virtual,
        "seed": place.seed if place.virtual else None,
        "request": deliveries.request.request_id,
        "members": list(deliveries.request.target_nodes),
        "status": deliveries.status if ran.over else "out of time",
        "error": deliveries.error,
        "duration_s": ran.duration_s,
        "delivered": sum(not one.void for one in deliveries.by_number.values()),
        "used": len(whole),
        "lost": sum(bool(one.lost) for one in deliveries.by_number.values()),
        "rate_hz": len(whole) / ran.duration_s if ran.duration_s else 0.0,
        "fidelity_estimated": sum(one.fidelity for one in whole) / len(whole) if whole else None,
    }


def finish(report: dict[str, Any], lines: Sequence[str], trouble: str | None, *, as_json: bool) -> None:
    """Print the report and end: with `trouble` on stderr and UNSUCCESSFUL when the claim does not hold."""
    trouble = _trouble_of_run(report) or trouble
    report = report | {"passed": trouble is None, "trouble": trouble}
    if as_json:
        typer.echo(json.dumps(report))
    else:
        where = f"in virtual time, seed {report['seed']}" if report["virtual"] else "live"
        typer.echo(
            f"{report['application']} on {report['lab']} ({where}), {' - '.join(report['members'])}: "
            f"{report['used']} of {report['delivered']} deliveries used"
            + (f", {report['lost']} lost," if report["lost"] else "")
            + f" in {report['duration_s']:.1f} s"
        )
        for line in lines:
            typer.echo(line)
    if trouble is not None:
        typer.echo(trouble, err=True)
        raise typer.Exit(UNSUCCESSFUL)


def _trouble_of_run(report: dict[str, Any]) -> str | None:
    if report["status"] == "completed":
        return None
    because = "" if report["error"] is None else f": {report['error']}"
    return f"the request ended as {report['status']}{because}"
