"""`bellwire request`, `replan`, `suspend`, `resume`, `cancel`: ask a running lab for pairs, and change that.

Owns the commands. Refuses the terms (asking_terms.py) and the life of the request, which is its source's.
"""

import json
import time
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from bellwire.cli.asking_terms import DEFAULT_MODE
from bellwire.cli.exits import UNSUCCESSFUL
from bellwire.cli.places import STATE, JsonOption, LabArgument, StateOption, find_lab
from bellwire.core.errors import ConfigError

if TYPE_CHECKING:
    from bellwire.cli.picture import LabPicture
    from bellwire.core.plans import EntanglementRequest
    from bellwire.labs import Lab

POLL_S = 0.2
ADMISSION_S = 20.0
"""Wait for the word about admission of those who do not wait for the end."""


class Order(StrEnum):
    """What is known of the order in which pairs are consumed."""

    total = "total"
    partial = "partial"
    unknown = "unknown"


class WhenFull(StrEnum):
    """What to do while there is no room."""

    queue = "queue"
    reject = "reject"


class WhenUnreachable(StrEnum):
    """What to do while every way is broken."""

    wait = "wait"
    end = "end"


class Paths(StrEnum):
    """How a path is computed, by the names of core/path_words.py."""

    automatic = "automatic"
    proactive = "proactive"
    reactive = "reactive"
    virtual = "virtual"
    opportunistic = "opportunistic"


def request(
    lab: LabArgument,
    source: Annotated[
        str | None, typer.Option("--from", metavar="NODE", help="Source; the request is made here.")
    ] = None,
    target: Annotated[str | None, typer.Option("--to", metavar="NODE", help="Destination.")] = None,
    ghz: Annotated[
        str | None,
        typer.Option(
            "--ghz", metavar="A,B,C", help="GHZ states of these members instead; asked at the first."
        ),
    ] = None,
    graph: Annotated[
        str | None,
        typer.Option(
            "--graph", metavar="EDGES", help='Graph states instead, by edges: "A B, B C"; asked at the first.'
        ),
    ] = None,
    vertices: Annotated[
        str | None,
        typer.Option("--vertices", metavar="MAP", help='Nodes of the vertices of --graph: "x=A, y=B".'),
    ] = None,
    sequence: Annotated[
        str | None,
        typer.Option(
            "--sequence", metavar="PAIRS", help='Pairs p1, p2, ... that a circuit consumes: "A B, B C".'
        ),
    ] = None,
    order: Annotated[
        Order, typer.Option("--order", help="Of their consumption; unknown: pairs that share a node keep it.")
    ] = Order.total,
    after: Annotated[
        str | None,
        typer.Option("--after", metavar="PAIRS", help='Of a partial order, the earlier one first: "p1 p3".'),
    ] = None,
    hold_s: Annotated[
        float | None,
        typer.Option("--hold", metavar="SECONDS", min=0.001, help="Age up to which pairs wait for others."),
    ] = None,
    count: Annotated[int | None, typer.Option("--count", min=1, help="Number of pairs or states.")] = None,
    until_cancelled: Annotated[
        bool, typer.Option("--until-cancelled", help="It runs until `bellwire cancel`.")
    ] = False,
    duration_s: Annotated[float | None, typer.Option("--duration", metavar="SECONDS", min=0.001)] = None,
    fidelity_min: Annotated[float | None, typer.Option("--fidelity", min=0.25, max=1.0)] = None,
    rate_min_hz: Annotated[
        float | None,
        typer.Option("--rate", metavar="HZ", min=0.001, help="Pairs per second to be reserved on the way."),
    ] = None,
    reserved_only: Annotated[
        bool,
        typer.Option(
            "--reserved-only",
            help="Keep to what --rate reserves: a steady rate, whatever others do. By default what nobody "
            "has reserved is shared.",
        ),
    ] = False,
    mode: Annotated[
        str | None,
        typer.Option(
            "--mode",
            help='How pairs are swapped, as in "score(alpha=0.5)": docs/policies.md.',
            show_default=DEFAULT_MODE,
        ),
    ] = None,
    tree: Annotated[
        str | None,
        typer.Option("--tree", metavar="TREE", help='Swapping tree, and with it the route: "((a b) (b c))".'),
    ] = None,
    routes_max: Annotated[
        int,
        typer.Option("--routes", metavar="N", min=1, max=8, help="That serve it side by side, at most."),
    ] = 1,
    paths: Annotated[
        Paths, typer.Option("--paths", help="How its path is computed: docs/paths.md.")
    ] = Paths.automatic,
    tuning: Annotated[
        Path | None,
        typer.Option("--tuning", metavar="FILE", help="Mode, tree and route as `bellwire tune` wrote them."),
    ] = None,
    purification: Annotated[
        str | None,
        typer.Option(
            "--purification",
            metavar="ROUNDS",
            help='Between distant nodes: "1:1" (hops:rounds by level of the tree), "automatic", "adaptive".',
        ),
    ] = None,
    link_purification: Annotated[
        int,
        typer.Option(
            "--link-purification",
            metavar="ROUNDS",
            min=0,
            max=4,
            help="That every link pair goes through before it is used.",
        ),
    ] = 0,
    measure: Annotated[
        bool, typer.Option("--measure/--keep", help="Measure both ends as soon as the pair is known.")
    ] = False,
    weight: Annotated[
        int, typer.Option("--weight", min=1, max=64, help="Share of what others have not reserved.")
    ] = 1,
    when_full: Annotated[
        WhenFull, typer.Option("--when-full", help="Wait for room beside other requests, or be turned away.")
    ] = WhenFull.queue,
    when_unreachable: Annotated[
        WhenUnreachable,
        typer.Option("--when-unreachable", help="Wait for repair while every way is broken, or end."),
    ] = WhenUnreachable.wait,
    queue_s: Annotated[
        float | None,
        typer.Option("--queue", metavar="SECONDS", min=0.001, help="Longest wait for room."),
    ] = None,
    deadline_s: Annotated[float | None, typer.Option("--deadline", metavar="SECONDS", min=0.001)] = None,
    request_id: Annotated[
        str | None, typer.Option("--id", help="Name; the same name and content is the same request.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for its end.")] = True,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Ask a running lab for entangled pairs, for GHZ or graph states, or for a sequence of pairs."""
    import asyncio

    from bellwire.cli.asking_terms import Terms, request_of, rounds_planned
    from bellwire.labs import load_lab

    loaded = load_lab(find_lab(lab), live=True)
    terms = Terms(
        source=source,
        target=target,
        ghz=ghz,
        graph=graph,
        mode=mode,
        tree=tree,
        routes_max=routes_max,
        paths=paths.value,
        tuning=tuning,
        purification=purification,
        link_purification=link_purification,
        count=count,
        duration_s=duration_s,
        deadline_s=deadline_s,
        fidelity_min=fidelity_min,
        rate_min_hz=rate_min_hz,
        reserved_only=reserved_only,
        measure=measure,
        weight=weight,
        until_cancelled=until_cancelled,
        when_full=when_full.value,
        when_unreachable=when_unreachable.value,
        queue_s=queue_s,
        vertices=vertices,
        sequence=sequence,
        order=order.value,
        after=after,
        hold_s=hold_s,
    )
    asked = request_of(terms, loaded, request_id)
    rounds = rounds_planned(asked, loaded)
    picture = asyncio.run(_ask_for_pairs(loaded, asked, state, wait))
    if as_json:
        row = picture.rows()[asked.request_id]
        typer.echo(json.dumps({"request": asked.request_id, "purification": rounds, **row}))
    else:
        from bellwire.cli import show

        if asked.purification is not None:
            typer.echo(f"rounds of purification between distant nodes: {rounds or 'none are needed'}")
        corrections = show.corrections_table(picture.rows())
        show.write(show.request_table(picture.rows()), *([] if corrections is None else [corrections]))
    seen = picture.requests[asked.request_id]
    if wait and seen.status != "completed":
        typer.echo(f"request {asked.request_id} {seen.status}: {seen.error}", err=True)
        raise typer.Exit(UNSUCCESSFUL)


RequestArgument = Annotated[str, typer.Argument(metavar="REQUEST", help="Name of a request under way.")]
SourceOption = Annotated[
    str | None, typer.Option("--from", metavar="NODE", help="Its source; default: as in the lab file.")
]
CAN_TAKE: Final = {"suspend": ("planning", "in_progress"), "resume": ("suspended",)}
"""States in which a request can be told so; other orders it takes in any."""


def replan(
    lab: LabArgument, request_id: RequestArgument, source: SourceOption = None, state: StateOption = STATE
) -> None:
    """Have a request planned anew: another route, tree or policy. The old plan works until it is replaced."""
    at = _ordered(lab, request_id, source, state, "replan")
    typer.echo(f"{at} looks for another plan for {request_id}")


def cancel(
    lab: LabArgument, request_id: RequestArgument, source: SourceOption = None, state: StateOption = STATE
) -> None:
    """Withdraw a request. One that was to run until then is completed, any other has failed."""
    at = _ordered(lab, request_id, source, state, "cancel")
    typer.echo(f"{at} withdraws {request_id}")


def suspend(
    lab: LabArgument,
    request_id: RequestArgument,
    for_s: Annotated[
        float, typer.Option("--for", metavar="SECONDS", help="Then it goes on by itself.", min=0.001)
    ] = 600.0,
    source: SourceOption = None,
    state: StateOption = STATE,
) -> None:
    """Have a request pause: its plan ends, and it is planned anew when the time is over."""
    at = _ordered(lab, request_id, source, state, "suspend", for_s=for_s)
    typer.echo(f"{at} suspends {request_id} for {for_s:g} s")


def resume(
    lab: LabArgument, request_id: RequestArgument, source: SourceOption = None, state: StateOption = STATE
) -> None:
    """Have a suspended request go on now, whoever suspended it: a person, or its execution monitor."""
    at = _ordered(lab, request_id, source, state, "resume")
    typer.echo(f"{at} goes on with {request_id}")


def _ordered(lab: str, request_id: str, source: str | None, state: Path, order: str, **fields: float) -> str:
    """Give an order to the source of a request that can take it; returns the source. Raises ConfigError."""
    import asyncio

    from bellwire.labs import load_lab
    from bellwire.runtime.control import ask

    at = _source_of(load_lab(find_lab(lab), live=True), request_id, source)

    async def give() -> None:
        standing = (await ask(state, at, "request", request=request_id))["standing"]
        if standing is None:
            raise ConfigError(f'{at} knows no request "{request_id}": name its source with --from')
        if order in CAN_TAKE:
            if standing["state"] not in CAN_TAKE[order]:
                raise ConfigError(f"{request_id} is {standing['state']}: nothing to {order}")
            if standing["request"]["entanglement_sequence"]:
                raise ConfigError(f"{request_id} is a sequence, which cannot pause")
        await ask(state, at, order, request=request_id, **fields)

    asyncio.run(give())
    return at


def _source_of(lab: "Lab", request_id: str, named: str | None) -> str:
    """Where a request was made."""
    if named is not None:
        return named
    known = lab.request(request_id)
    if known is None:
        raise ConfigError(f'"{request_id}" is no request of the lab file: name its source with --from')
    return known.target_nodes[0]


async def _ask_for_pairs(lab: "Lab", asked: "EntanglementRequest", state: Path, wait: bool) -> "LabPicture":
    import asyncio

    import msgspec

    from bellwire.cli.picture import LabPicture
    from bellwire.runtime.control import ANSWER_S, ask

    picture = LabPicture(lab, (asked,))
    picture.submitted(time.time_ns())
    source = asked.target_nodes[0]
    # The pairs of a sequence are told by the nodes that give them away.
    after = dict.fromkeys(asked.target_nodes if asked.entanglement_sequence else (source,), 0)
    fields = msgspec.to_builtins(asked)
    answer = await ask(
        state, source, "submit", within_s=ANSWER_S + ADMISSION_S, request=fields, wait_s=ADMISSION_S
    )
    _tell_admission(asked.request_id, answer)
    told: str | None = None
    while not picture.ended():
        for node in after:
            reports = await ask(state, node, "reports", after=after[node])
            if reports:
                after[node] = reports[-1]["number"]
            picture.take([report | {"node": node} for report in reports])
        seen = picture.requests[asked.request_id]
        if seen.status == "planning" and seen.error != told:
            told = seen.error
            typer.echo(f"request {asked.request_id} waits for a plan: {told}", err=True)
        if not wait:
            break
        await asyncio.sleep(POLL_S)
    return picture


def _tell_admission(request_id: str, answer: Mapping[str, Any]) -> None:
    """Say on stderr what the source has said of the request, where it is not simply yes."""
    if answer["admission"] == "queued":
        offer = answer["offer"]
        now = "" if offer is None else f"; now {offer['rate_hz']:g} pairs/s of fidelity {offer['fidelity']:g}"
        typer.echo(f"request {request_id} waits for room: {answer['reason']}{now}", err=True)
    elif answer["admission"] == "pending":
        typer.echo(f"request {request_id}: nothing is known of its admission yet", err=True)
