"""What plans take from the network, and what is left (algorithms.md 1.1, 1.5).

Owns `Use`, the account of one plan, and `Residual`, the account book. Refuses trees and the choice between
plans. What was taken is kept plan by plan and summed afresh with `math.fsum`, so that giving back leaves the
very numbers that were there before, in any order.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.core.ids import NodeId, PairId
from bellwire.planner.topology import Link, Pair, Topology

ROUNDING: Final = 1e-9
"""Relative excess over a capacity that counts as rounding: a plan may fill a link to the last pair."""


class NoPlan(ConfigError):
    """What was asked cannot be had on this network; the text names the request or pair and the limit."""


class FidelityMissed(NoPlan):
    """The best that a search found falls short of the wanted fidelity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What one plan takes.

    links_hz: pairs per second of each link. attempts_hz: joint attempts per second at each node, summed over
    its links. memories: qubits held at once at each node. stored: pairs taken out of the ledger.
    """

    links_hz: Mapping[Pair, float]
    attempts_hz: Mapping[NodeId, float]
    memories: Mapping[NodeId, int]
    stored: tuple[PairId | str, ...] = ()

    def __post_init__(self) -> None:
        for of, rate_hz in (*self.links_hz.items(), *self.attempts_hz.items()):
            if not rate_hz >= 0.0:
                raise LocalMisuse(f"a plan takes {rate_hz:g}/s of {of}: nobody can take less than nothing")
        for name, count in self.memories.items():
            if count < 0:
                raise LocalMisuse(f"a plan holds {count} memories of {name}: nobody can hold less than none")

    def scaled(self, factor: float) -> "Use":
        """The use of the same plan at another rate; memories stay."""
        return Use(
            links_hz={pair: rate * factor for pair, rate in self.links_hz.items()},
            attempts_hz={name: rate * factor for name, rate in self.attempts_hz.items()},
            memories=self.memories,
            stored=self.stored,
        )


NOTHING: Final = Use(links_hz={}, attempts_hz={}, memories={})


def total_use(*uses: Use) -> Use:
    """Everything that several plans take together."""
    stored = tuple(pair for use in uses for pair in use.stored)
    memories: dict[NodeId, int] = {}
    for use in uses:
        for name, count in use.memories.items():
            memories[name] = memories.get(name, 0) + count
    links = {pair for use in uses for pair in use.links_hz}
    nodes = {name for use in uses for name in use.attempts_hz}
    return Use(
        links_hz={pair: math.fsum(use.links_hz.get(pair, 0.0) for use in uses) for pair in sorted(links)},
        attempts_hz={
            name: math.fsum(use.attempts_hz.get(name, 0.0) for use in uses) for name in sorted(nodes)
        },
        memories=memories,
        stored=stored,
    )


@dataclass(slots=True)
class Residual:
    """A topology and the plans that run on it; what is left is what they did not take."""

    topology: Topology
    taken: dict[str, Use] = field(default_factory=dict[str, Use])  # by plan key, in the order of claiming

    def copy(self) -> "Residual":
        """An account book of its own with the same entries, for trying things out."""
        return Residual(self.topology, dict(self.taken))

    def used_hz(self, pair: Pair) -> float:
        """Pairs per second that plans take from a link."""
        return math.fsum(use.links_hz.get(pair, 0.0) for use in self.taken.values())

    def used_attempts_hz(self, name: NodeId) -> float:
        """Attempts per second that plans take at a node."""
        return math.fsum(use.attempts_hz.get(name, 0.0) for use in self.taken.values())

    def used_memories(self, name: NodeId) -> int:
        """Qubits that plans hold at a node."""
        return sum(use.memories.get(name, 0) for use in self.taken.values())

    def memories(self, name: NodeId) -> int:
        """Free qubits at a node."""
        return max(0, self.topology.nodes[name].memories - self.used_memories(name))

    def attempts_hz(self, name: NodeId, share: float = 1.0) -> float:
        """Attempts per second that a share of a node still has free, 0 or more. No share of inf is none."""
        if share == 0.0:
            return 0.0
        return max(0.0, share * self.topology.nodes[name].attempts_hz - self.used_attempts_hz(name))

    def link_rate_hz(self, link: Link, share_a: float = 0.5, share_b: float = 0.5) -> float:
        """Pairs per second that a link can still give when each end spends a share of its node on it.

        min(cap_nodes, cap_channel - flow) of algorithms.md 1.1; share_a belongs to `link.ends[0]`.
        """
        a, b = link.ends
        attempts_hz = min(self.attempts_hz(a, share_a), self.attempts_hz(b, share_b))
        nodes_hz = attempts_hz * link.success_probability if link.success_probability > 0.0 else 0.0
        return max(0.0, min(nodes_hz, link.capacity_hz - self.used_hz(link.ends)))

    def link_latency_s(self, link: Link, share_a: float = 0.5, share_b: float = 0.5) -> float:
        """T_link; inf when nothing is left."""
        rate_hz = self.link_rate_hz(link, share_a, share_b)
        return 1.0 / rate_hz if rate_hz > 0.0 else math.inf

    def lacks(self, use: Use) -> str | None:
        """Why a use does not fit beside what is taken, naming the first thing that runs out, or None."""
        for pair, rate_hz in use.links_hz.items():
            link = self.topology.links.get(pair)
            if link is None:
                return f"there is no link {pair[0]}-{pair[1]}"
            if not _fits(self.used_hz(pair) + rate_hz, link.capacity_hz):
                return (
                    f"link {pair[0]}-{pair[1]} carries {link.capacity_hz:.6g}/s, of which "
                    f"{self.used_hz(pair):.6g}/s are taken: no room for {rate_hz:.6g}/s"
                )
        for name in (*use.attempts_hz, *use.memories):
            if name not in self.topology.nodes:
                return f"there is no node {name}"
        for name, rate_hz in use.attempts_hz.items():
            capacity_hz = self.topology.nodes[name].attempts_hz
            if not _fits(self.used_attempts_hz(name) + rate_hz, capacity_hz):
                return (
                    f"{name} makes {capacity_hz:.6g} attempts/s, of which "
                    f"{self.used_attempts_hz(name):.6g}/s are taken: no room for {rate_hz:.6g}/s"
                )
        for name, count in use.memories.items():
            if count > self.memories(name):
                limit = self.topology.nodes[name].memories
                return f"{name} has {self.memories(name)} of {limit} memories free, not {count}"
        reserved = {pair for each in self.taken.values() for pair in each.stored}
        for index, stored in enumerate(use.stored):
            if stored in reserved:
                return f"stored pair {stored} is reserved already"
            if stored in use.stored[:index]:
                return f"stored pair {stored} is wanted twice, and is one pair"
        return None

    def claim(self, key: str, use: Use) -> None:
        """Enter a plan. Raises NoPlan when it does not fit, LocalMisuse when the key is taken."""
        if key in self.taken:
            raise LocalMisuse(f"plan {key} is entered already")
        lack = self.lacks(use)
        if lack is not None:
            raise NoPlan(f"{key}: {lack}")
        self.taken[key] = use

    def give_back(self, key: str) -> Use:
        """Strike out a plan and return what it had. Raises LocalMisuse for an unknown key."""
        if key not in self.taken:
            raise LocalMisuse(f"plan {key} was never entered, or was given back before")
        return self.taken.pop(key)


def _fits(wanted: float, capacity: float) -> bool:
    return wanted <= capacity * (1.0 + ROUNDING)
