"""What goes wrong in a history, as a list of independent faults with their times, and lists by chance.

Owns the kinds of faults and the profiles from which lists are drawn. Refuses to make anything go wrong
(troubled_host.py). A fault can be left out of a list without changing any other: that is how failures shrink.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

from bellwire.core.ids import LinkId, NodeId
from bellwire.core.units import NS_PER_MS, NS_PER_S
from bellwire.labs import Lab

FIRST_NS: Final = 200 * NS_PER_MS
"""Faults begin after this: the first plans are made in peace, or many a history would test nothing else."""
CALM_NS: Final = 6 * NS_PER_S
"""All faults are over by then, but for what clocks have become."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageNoise:
    """For a while messages are lost, doubled, late and out of order, each by itself."""

    at_ns: int
    until_ns: int
    loss_probability: float
    duplicate_probability: float
    jitter_ns: int  # extra delay, uniform in 0..jitter
    reorder: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """No message from `sources` reaches `targets`; the way back may be open."""

    at_ns: int
    until_ns: int
    sources: tuple[NodeId, ...]
    targets: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """A node is killed, and started again with a higher incarnation."""

    at_ns: int
    node: NodeId
    down_ns: int
    forgets: bool  # its records are gone too: a new disk


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A node stands still, as under SIGSTOP; what arrives waits, instruments go on."""

    at_ns: int
    node: NodeId
    for_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSkew:
    """A node's clock is off from the beginning, and runs too fast or too slow."""

    node: NodeId
    offset_ns: int
    rate_ppb: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStep:
    """A node's clock is set. Set back, it stands still until it has caught up, as the live one does."""

    at_ns: int
    node: NodeId
    by_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderTrouble:
    """For a while device orders of a node end without a known result: the deed is done."""

    at_ns: int
    until_ns: int
    node: NodeId
    probability: float  # of each order
    ended: Literal["unknown", "late"]  # late: the instrument says nothing, and the limit of orders passes


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryReset:
    """A memory loses all its qubits and is out of work for a while; its node is told."""

    at_ns: int
    node: NodeId
    down_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTrouble:
    """For a while a link succeeds less often, with white noise in what it makes; nobody is told."""

    at_ns: int
    until_ns: int
    link: LinkId
    success_factor: float
    noise: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowDisks:
    """Every record takes this long to be written; a crash loses those on their way."""

    latency_ns: int


Fault = (
    MessageNoise
    | Cut
    | Crash
    | Pause
    | ClockSkew
    | ClockStep
    | OrderTrouble
    | MemoryReset
    | LinkTrouble
    | SlowDisks
)


def _span(chance: Random, least_ns: int, most_ns: int) -> tuple[int, int]:
    """A beginning and an end within the troubled part of a history."""
    length_ns = chance.randint(least_ns, most_ns)
    at_ns = chance.randint(FIRST_NS, CALM_NS - length_ns)
    return at_ns, at_ns + length_ns


def _noises(chance: Random, lab: Lab) -> list[Fault]:
    at_ns, until_ns = _span(chance, NS_PER_S, CALM_NS - FIRST_NS)
    return [
        MessageNoise(
            at_ns=at_ns,
            until_ns=until_ns,
            loss_probability=chance.choice((0.0, 0.02, 0.1, 0.3)),
            duplicate_probability=chance.choice((0.0, 0.05, 0.2)),
            jitter_ns=chance.choice((0, 500_000, 5_000_000, 50_000_000)),
            reorder=chance.random() < 0.5,
        )
    ]


def _cuts(chance: Random, lab: Lab) -> list[Fault]:
    """One node from all others, or one half from the other; both ways or one."""
    nodes = list(lab.network.nodes)
    chance.shuffle(nodes)
    here = tuple(nodes[: chance.choice((1, len(nodes) // 2))])
    there = tuple(nodes[len(here) :])
    at_ns, until_ns = _span(chance, 50 * NS_PER_MS, 3 * NS_PER_S)
    ways = chance.choice((((here, there),), ((there, here),), ((here, there), (there, here))))
    return [Cut(at_ns=at_ns, until_ns=until_ns, sources=one, targets=other) for one, other in ways]


def _crashes(chance: Random, lab: Lab) -> list[Fault]:
    found: list[Fault] = []
    for _ in range(chance.randint(1, 3)):
        at_ns, until_ns = _span(chance, 10_000, 2 * NS_PER_S)
        node = chance.choice(list(lab.network.nodes))
        forgets = chance.random() < 0.25
        found.append(Crash(at_ns=at_ns, node=node, down_ns=until_ns - at_ns, forgets=forgets))
    return found


def _pauses(chance: Random, lab: Lab) -> list[Fault]:
    at_ns, until_ns = _span(chance, NS_PER_MS, 2 * NS_PER_S)
    return [Pause(at_ns=at_ns, node=chance.choice(list(lab.network.nodes)), for_ns=until_ns - at_ns)]


def _clocks(chance: Random, lab: Lab) -> list[Fault]:
    """Up to a millisecond apart, 50 ppm, and a step of up to 300 ms."""
    found: list[Fault] = [
        ClockSkew(
            node=node,
            offset_ns=chance.randint(-NS_PER_MS, NS_PER_MS),
            rate_ppb=chance.randint(-50_000, 50_000),
        )
        for node in lab.network.nodes
        if chance.random() < 0.5
    ]
    if chance.random() < 0.5:
        at_ns, _ = _span(chance, 0, 0)
        by_ns = chance.randint(-300, 300) * NS_PER_MS
        found.append(ClockStep(at_ns=at_ns, node=chance.choice(list(lab.network.nodes)), by_ns=by_ns))
    return found


def _devices(chance: Random, lab: Lab) -> list[Fault]:
    memories = [name for name, node in lab.network.nodes.items() if node.memory is not None]
    at_ns, until_ns = _span(chance, 100 * NS_PER_MS, 3 * NS_PER_S)
    found: list[Fault] = [
        OrderTrouble(
            at_ns=at_ns,
            until_ns=until_ns,
            node=chance.choice(memories),
            probability=chance.choice((0.05, 0.3, 1.0)),
            ended=chance.choice(("unknown", "late")),
        )
    ]
    if chance.random() < 0.5:
        at_ns, until_ns = _span(chance, NS_PER_MS, NS_PER_S)
        found.append(MemoryReset(at_ns=at_ns, node=chance.choice(memories), down_ns=until_ns - at_ns))
    return found


def _links(chance: Random, lab: Lab) -> list[Fault]:
    at_ns, until_ns = _span(chance, 500 * NS_PER_MS, 3 * NS_PER_S)
    return [
        LinkTrouble(
            at_ns=at_ns,
            until_ns=until_ns,
            link=chance.choice(list(lab.network.links)),
            success_factor=chance.choice((0.0, 0.2, 0.5)),
            noise=chance.choice((0.0, 0.1, 0.3)),
        )
    ]


def _disks(chance: Random, lab: Lab) -> list[Fault]:
    return [SlowDisks(latency_ns=chance.choice((100_000, 3_000_000, 30_000_000)))]


Draw = Callable[[Random, Lab], list[Fault]]

PROFILES: Final[Mapping[str, tuple[Draw, ...]]] = {
    "all": (_noises, _cuts, _crashes, _pauses, _clocks, _devices, _links, _disks),
    "messages": (_noises, _disks),
    "partitions": (_cuts, _cuts, _noises),
    "crashes": (_crashes, _crashes, _disks),
    "clocks": (_clocks, _pauses),
    "devices": (_devices, _links),
    "calm": (),
}
"""Which kinds of faults a list is drawn from."""


def draw_faults(chance: Random, lab: Lab, profile: str) -> tuple[Fault, ...]:
    """Two kinds at least where the profile has as many; each further one in half of all lists."""
    kinds = list(PROFILES[profile])
    chance.shuffle(kinds)
    found: list[Fault] = []
    for number, kind in enumerate(kinds):
        if number < 2 or chance.random() < 0.5:
            found += kind(chance, lab)
    return tuple(found)
