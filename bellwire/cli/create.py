"""`bellwire create`: ask the link layer of a running lab for pairs between two neighbours.

Owns the command: what may be asked is checked here before anybody is asked, then the answers are followed to
the last one. A kept pair is shown and let go at both ends, or nobody could use their memories. Refuses the
life of the CREATE, which is the two link ends', and its answers in words (create_words.py).
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

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
SETTLE_POLLS_MAX = 20
"""The other end is given two seconds to say that it has heard of the end."""

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


class Ends:
    """The ends of a link as the user of one CREATE: answers are read, kept qubits let go at both."""

    def __init__(self, picture: "CreatePicture", state: Path) -> None:
        from bellwire.cli.create_words import CreatePicture

        self.here = picture
        self._state = state
        asked = picture.asked
        self._pictures = {picture.source: picture}
        if asked.kind == "keep":
            self._pictures[asked.partner] = CreatePicture(asked, picture.source, picture.link)
        self._after = dict.fromkeys(self._pictures, 0)  # number of the last answer that was read

    async def submit(self) -> None:
        """Send the CREATE. Answers of an earlier one with the same id are none of ours."""
        import msgspec

        for node in self._pictures:
            earlier = await self._ask(node, "link_answers", create=self.here.asked.create)
            self._after[node] = earlier[-1]["number"] if earlier else 0
        await self._ask(self.here.source, "create", asked=msgspec.to_builtins(self.here.asked))

    async def look(self) -> list[str]:
        """New answers at the asking end in words; what is kept and not to be held is let go."""
        lines: list[str] = []
        for node, picture in self._pictures.items():
            after, create_id = self._after[node], self.here.asked.create
            for one in await self._ask(node, "link_answers", after=after, create=create_id):
                self._after[node] = one["number"]
                said = picture.take(one["at_ns"], one["answer"])
                lines += said if picture is self.here else []
            for end in picture.to_release():
                await self._ask(node, "release_qubit", end=list(end))
        return lines

    async def settle(self) -> None:
        """Wait for the last answers of the other end, for a short while: qubits that it keeps are let go."""
        import asyncio

        for _ in range(SETTLE_POLLS_MAX):
            if all(picture.status != "waiting" for picture in self._pictures.values()):
                return
            await asyncio.sleep(POLL_S)
            await self.look()

    async def withdraw(self) -> None:
        """Take the CREATE back. What it was to hold for a while has nobody to wait for: it is let go too."""
        await self._ask(self.here.source, "cancel_create", create=self.here.asked.create)
        await self.settle()
        if self.here.asked.hold_ns is not None:
            for node, picture in self._pictures.items():
                for end in picture.kept():
                    await self._ask(node, "release_qubit", end=list(end))

    async def _ask(self, node: str, do: str, **fields: Any) -> Any:
        from bellwire.runtime.control import ask

        return await ask(self._state, node, do, **fields)


def _run(picture: "CreatePicture", state: Path, say: Callable[[str], None] | None) -> None:
    """Follow the CREATE to its end. Ctrl-C withdraws it."""
    import asyncio

    ends = Ends(picture, state)
    try:
        asyncio.run(_follow(ends, say))
    except KeyboardInterrupt:
        picture.cancelled()
        asyncio.run(ends.withdraw())


async def _follow(ends: Ends, say: Callable[[str], None] | None) -> None:
    import asyncio

    await ends.submit()
    while ends.here.status == "waiting":
        for line in await ends.look():
            if say is not None:
                say(line)
        if ends.here.status == "waiting":
            await asyncio.sleep(POLL_S)
    if ends.here.acknowledged:
        await ends.settle()
