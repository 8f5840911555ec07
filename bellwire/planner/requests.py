"""What the planner is asked for, and how it may look for it.

Owns `PairRequest`, `Limits` and `Options`, checked when they are made. Refuses answers.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, get_args

from bellwire.core.ids import NodeId
from bellwire.core.registry import lookup
from bellwire.planner.capacity import NoPlan
from bellwire.planner.structures import Scheme, StoredLeaf, Waiting
from bellwire.planner.topology import Topology, pair_of

WAITINGS: Final = {name: name for name in get_args(Waiting)}
SCHEMES: Final = {name: name for name in get_args(Scheme)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a tree must keep. age_s: tau_dec. leaves: links at most. fidelity: at delivery, at least.

    Raises:
        NoPlan: a value that no tree can have, or that is no number.
    """

    age_s: float = 60.0  # inf: pairs may grow as old as they like
    leaves: int | None = None
    fidelity: float | None = None

    def __post_init__(self) -> None:
        if not self.age_s > 0.0:
            raise NoPlan(f"age limit {self.age_s:g} s must be above 0")
        if self.leaves is not None and self.leaves < 1:
            raise NoPlan(f"a tree has at least one link, not {self.leaves}")
        if self.fidelity is not None and not 0.0 <= self.fidelity <= 1.0:
            raise NoPlan(f"fidelity {self.fidelity:g} is outside 0..1")


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRequest:
    """Pairs between two nodes, as the planner is asked for them.

    Raises:
        NoPlan: no name, one node twice, a weight or rate that is not finite and above 0, or stored pairs
            with impossible times or one name.
    """

    request: str
    source: NodeId
    destination: NodeId
    limits: Limits = field(default_factory=Limits)
    weight: float = 1.0  # priority: share of the objective, above 0
    rate_hz: float | None = None  # no more than this is wanted; None: as much as there is
    stored: tuple[StoredLeaf, ...] = ()  # pairs of the ledger that the tree may use

    def __post_init__(self) -> None:
        if not self.request.strip():
            raise NoPlan(f"the request from {self.source} to {self.destination} needs a name")
        where = f"request {self.request}"
        if not self.source or not self.destination:
            raise NoPlan(f'{where}: from "{self.source}" to "{self.destination}" are not two nodes')
        if self.source == self.destination:
            raise NoPlan(f"{where}: {self.source} needs no entanglement with itself")
        if not (math.isfinite(self.weight) and self.weight > 0.0):
            raise NoPlan(f"{where}: weight {self.weight:g} must be finite and above 0")
        if self.rate_hz is not None and not (math.isfinite(self.rate_hz) and self.rate_hz > 0.0):
            raise NoPlan(f"{where}: rate {self.rate_hz:g}/s must be finite and above 0")
        for leaf in self.stored:
            if not (math.isfinite(leaf.age_s) and leaf.age_s >= 0.0 and leaf.life_s >= 0.0):
                raise NoPlan(
                    f"{where}: stored pair {leaf.pair} is {leaf.age_s:g} s old and lives {leaf.life_s:g} s; "
                    f"neither may be below 0"
                )
        if len({leaf.pair for leaf in self.stored}) < len(self.stored):
            raise NoPlan(f"{where}: a stored pair is offered twice")

    def check(self, topology: Topology) -> None:
        """All nodes exist. Raises ConfigError with the nearest known name."""
        topology.node(self.source)
        topology.node(self.destination)
        for leaf in self.stored:
            topology.node(leaf.left)
            topology.node(leaf.right)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How methods search. Defaults are those of algorithms.md; each method reads what concerns it.

    Raises:
        NoPlan: a value outside its range. ConfigError: an unknown waiting rule or purification scheme.
    """

    waiting: Waiting = "three_halves"
    throttle: bool = True
    quantum: float = 0.2  # step of capacity shares in the programme with usage (1.4)
    scheme: Scheme = "dejmps"  # map of purification rounds
    rounds: int = 2  # purification rounds per level at most
    fidelity_step: float = 1e-3  # grid of the Pareto search (2.2)
    route: tuple[NodeId, ...] | None = None  # the only route that may be used
    avoid: frozenset[NodeId] = frozenset()  # nodes that a plan must not touch

    def __post_init__(self) -> None:
        lookup("waiting rule", self.waiting, WAITINGS)
        lookup("purification scheme", self.scheme, SCHEMES)
        if not 0.0 < self.quantum <= 1.0 or abs(1.0 / self.quantum - round(1.0 / self.quantum)) > 1e-9:
            raise NoPlan(f"quantum {self.quantum:g} does not divide 1")
        if self.rounds < 0:
            raise NoPlan(f"purification rounds {self.rounds} must be 0 or more")
        if not 0.0 < self.fidelity_step < 1.0:
            raise NoPlan(f"fidelity step {self.fidelity_step:g} is outside 0..1")
        if self.route is not None and len(self.route) < 2:
            raise NoPlan(f'route "{"-".join(self.route)}" has fewer than two nodes')

    @property
    def throttles(self) -> bool:
        """Links are slowed to what the root needs. Only under the rule of 3/2, which takes both children of a
        swap as equally fast: unequal exponential ones wait less, and their links cannot make up for it."""
        return self.throttle and self.waiting == "three_halves"

    def check(self, topology: Topology) -> None:
        """Nodes to avoid exist, and so does the route with its links, each node once.

        Raises:
            ConfigError: an unknown node, with the nearest known name.
            NoPlan: the route visits a node twice or jumps where there is no link.
        """
        for name in (*sorted(self.avoid), *(self.route or ())):
            topology.node(name)
        if self.route is None:
            return
        if len(set(self.route)) < len(self.route):
            raise NoPlan(f"route {'-'.join(self.route)} visits a node twice")
        for a, b in pairwise(self.route):
            if pair_of(a, b) not in topology.links:
                raise NoPlan(f"no link between {a} and {b} on the route {'-'.join(self.route)}")


def check_requests(requests: Iterable[PairRequest], topology: Topology) -> None:
    """Every request names known nodes and has its own id. Raises ConfigError for the first that does not."""
    seen: set[str] = set()
    for request in requests:
        if request.request in seen:
            raise NoPlan(f'two requests are called "{request.request}"')
        seen.add(request.request)
        request.check(topology)
