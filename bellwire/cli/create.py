"""`bellwire create`: ask the link layer of a running lab for pairs between two neighbours.

Owns the command: what may be asked is checked here before anybody is asked, then the answers are followed to
the last one. Refuses the life of the CREATE, which is the two link ends', and its answers in words
(create_words.py).
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from bellwire.cli.exits import INTERRUPTED, UNSUCCESSFUL
from bellwire.cli.places import STATE, JsonOption, LabArgument, StateOption, find_lab
from bellwire.core.errors import ConfigError
from bellwire.core.registry import lookup, nearest

if TYPE_CHECKING:
    from bellwire.cli.create_words import CreatePicture
    from bellwire.core.ids import LinkId
    from bellwire.core.link_words import BasisChoice, LinkCreate
    from bellwire.core.settings import NetworkSettings

POLL_S = 0.1

# Random choices with their weights, of 255. A fixed X or Y is a choice that always falls on it.
BASES: Final[dict[str, tuple[Literal["none", "XZ", "XYZ", "CHSH"], int, int]]] = {
    "X": ("XZ", 255, 0),
    "Y": ("XYZ", 0, 255),
    "Z": ("none", 255, 0),
    "XZ": ("XZ", 128, 0),
    "XYZ": ("XYZ", 85, 85),
    "CHSH": ("CHSH", 128, 0),
}


def create(
    lab: LabArgument,
    source: Annotated[str, typer.Argument(metavar="FROM", help="Node that asks.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="Its neighbour at the other end of a link.")],
    count: Annotated[int | None, typer.Option("--count", help="Number of pairs, 1 to 65535.")] = None,
    rate_hz: Annotated[
        float | None,
        typer.Option("--rate", metavar="HZ", help="Pairs per second, until --within-s or Ctrl-C."),
    ] = None,
    fidelity_min: Annotated[
        float | None, typer.Option("--fidelity-min", metavar="F", help="0 to 1; default: what comes.")
    ] = None,
    within_s: Annotated[
        float | None, typer.Option("--within-s", metavar="SECONDS", help="Time for all of it.")
    ] = None,
    priority: Annotated[int, typer.Option("--priority", help="0 to 7, higher is sooner.")] = 0,
    weight: Annotated[int, typer.Option("--weight", help="Share among equal priorities, 1 to 64.")] = 1,
    measure: Annotated[
        bool, typer.Option("--measure/--keep", help="Measure both ends at once, or keep both qubits.")
    ] = False,
    basis: Annotated[
        str | None, typer.Option("--basis", help="Own end: X, Y, Z, or by chance XZ, XYZ, CHSH.")
    ] = None,
    remote_basis: Annotated[
        str | None, typer.Option("--remote-basis", help="Other end; default: as --basis.")
    ] = None,
    atomic: Annotated[bool, typer.Option("--atomic", help="All pairs together or none.")] = False,
    together: Annotated[bool, typer.Option("--together", help="One answer when all pairs exist.")] = False,
    purpose: Annotated[int, typer.Option("--purpose", help="Number that queue rules look at.")] = 0,
    create_id: Annotated[int | None, typer.Option("--id", help="0 to 65535; default: one by chance.")] = None,
    hold_s: Annotated[
        float | None,
        typer.Option("--hold-s", metavar="SECONDS", help="Keep qubits so long; default: let go when told."),
    ] = None,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Ask for pairs between two neighbours, and follow the answers of their link."""
    import secrets

    from bellwire.cli.create_words import CreatePicture
    from bellwire.core.link_words import LinkCreate
    from bellwire.core.units import ns_from_s
    from bellwire.labs import load_lab

    if (count is None) == (rate_hz is None):
        raise ConfigError("give either --count (a number of pairs) or --rate (pairs per second)")
    for name, value in (("--within-s", within_s), ("--hold-s", hold_s)):
        if value is not None and not 0.0 < value < float("inf"):
            raise ConfigError(f"{name} {value:g}: give a number of seconds above 0")
    if not measure and (basis or remote_basis):
        raise ConfigError("--basis and --remote-basis go with --measure: a kept pair is not measured")
    if measure and hold_s is not None:
        raise ConfigError("--hold-s goes with --keep: of a measured pair nothing is left to hold")
    loaded = load_lab(find_lab(lab), live=True)
    link = joining(loaded.network, source, target, where=lab)
    asked = LinkCreate(
        create=secrets.randbelow(1 << 16) if create_id is None else create_id,
        partner=target,
        purpose=purpose,
        kind="measure" if measure else "keep",
        count=count,
        rate_hz=rate_hz,
        fidelity_min=fidelity_min,
        within_ns=None if within_s is None else ns_from_s(within_s),
        priority=priority,
        weight=weight,
        atomic=atomic,
        consecutive=not together,
        local=_choice(basis or "Z"),
        remote=_choice(remote_basis or basis or "Z"),
        hold_ns=None if hold_s is None else ns_from_s(hold_s),
    )
    check_asked(asked)
    picture = CreatePicture(asked, source, link)
    _run(picture, state, None if as_json else typer.echo)
    if as_json:
        typer.echo(json.dumps(picture.document()))
    if picture.status == "cancelled":
        typer.echo(f"create {asked.create} cancelled", err=True)
        raise typer.Exit(INTERRUPTED)
    if picture.status != "done":
        typer.echo(f"create {asked.create} failed: {picture.error}", err=True)
        raise typer.Exit(UNSUCCESSFUL)


def joining(network: "NetworkSettings", source: str, target: str, where: str) -> "LinkId":
    """The first link between two nodes.

    Raises:
        ConfigError: an unknown node, twice the same, or no link between them.
    """
    for name in (source, target):
        if name not in network.nodes:
            raise ConfigError(f'unknown node "{name}"{nearest(name, network.nodes)}', where=where)
    if source == target:
        raise ConfigError(f'FROM and TO are both "{source}"; a link joins two different nodes', where=where)
    for name, link in network.links.items():
        if {source, target} == set(link.nodes):
            return name
    beside = sorted({node for link in network.links.values() if source in link.nodes for node in link.nodes})
    others = ", ".join(node for node in beside if node != source) or "nobody"
    raise ConfigError(
        f"no link joins {source} and {target} (neighbours of {source}: {others}); "
        "`bellwire request` asks for pairs over several links",
        where=where,
    )


def check_asked(asked: "LinkCreate") -> None:
    """What the link layer would refuse at once whatever the link.

    Raises:
        ConfigError: with the value and the limit.
    """
    from bellwire.link_layer.feasibility import fault_of_create

    fault = fault_of_create(asked)
    if fault is not None:
        raise ConfigError(fault)


def _choice(basis: str) -> "BasisChoice":
    from bellwire.core.link_words import BasisChoice

    random, first, second = lookup("basis", basis, BASES)
    return BasisChoice(random=random, first=first, second=second)


def _run(picture: "CreatePicture", state: Path, say: Callable[[str], None] | None) -> None:
    """Follow the CREATE to its end. Ctrl-C withdraws it."""
    import asyncio

    from bellwire.runtime.control import ask

    try:
        asyncio.run(_follow(picture, state, say))
    except KeyboardInterrupt:
        picture.cancelled()
        asyncio.run(ask(state, picture.source, "cancel_create", create=picture.asked.create))


async def _follow(picture: "CreatePicture", state: Path, say: Callable[[str], None] | None) -> None:
    import asyncio

    import msgspec

    from bellwire.runtime.control import ask

    source, create_id = picture.source, picture.asked.create
    earlier = await ask(state, source, "link_answers", create=create_id)
    after = earlier[-1]["number"] if earlier else 0  # of a CREATE of the same id that is over
    await ask(state, source, "create", asked=msgspec.to_builtins(picture.asked))
    while picture.status == "waiting":
        answers = await ask(state, source, "link_answers", after=after, create=create_id)
        for one in answers:
            after = one["number"]
            for line in picture.take(one["at_ns"], one["answer"]):
                if say is not None:
                    say(line)
        for end in picture.to_release():
            await ask(state, source, "release_qubit", end=list(end))
        if picture.status == "waiting":
            await asyncio.sleep(POLL_S)
