"""What the planner is asked for, and how it may look for it.

Owns `PairRequest`, `Limits` and `Options`, checked when they are made. Refuses answers.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from bellwire.core.ids import NodeId
from bellwire.planner.capacity import NoPlan
from bellwire.planner.structures import Scheme, StoredLeaf, Waiting
from bellwire.planner.topology import Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a tree must keep. age_s: tau_dec. leaves: links at most. fidelity: at delivery, at least."""

    age_s: float = 60.0
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
    """Pairs between two nodes, as the planner is asked for them."""

    request: str
    source: NodeId
    destination: NodeId
    limits: Limits = field(default_factory=Limits)
    weight: float = 1.0  # priority: share of the objective, above 0
    rate_hz: float | None = None  # no more than this is wanted; None: as much as there is
    stored: tuple[StoredLeaf, ...] = ()  # pairs of the ledger that the tree may use

    def __post_init__(self) -> None:
        if self.source == self.destination:
            raise NoPlan(f"request {self.request}: {self.source} needs no entanglement with itself")
        if not (math.isfinite(self.weight) and self.weight > 0.0):
            raise NoPlan(f"request {self.request}: weight {self.weight:g} must be finite and above 0")
        if self.rate_hz is not None and not (math.isfinite(self.rate_hz) and self.rate_hz > 0.0):
            raise NoPlan(f"request {self.request}: rate {self.rate_hz:g}/s must be finite and above 0")

    def check(self, topology: Topology) -> None:
        """Both nodes exist. Raises ConfigError with the nearest known name."""
        topology.node(self.source)
        topology.node(self.destination)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How methods search. Defaults are those of algorithms.md; each method reads what concerns it."""

    waiting: Waiting = "three_halves"
    throttle: bool = True
    quantum: float = 0.2  # step of capacity shares in the programme with usage (1.4)
    scheme: Scheme = "dejmps"  # map of purification rounds
    rounds: int = 2  # purification rounds per level at most
    fidelity_step: float = 1e-3  # grid of the Pareto search (2.2)
    route: tuple[NodeId, ...] | None = None  # the only route that may be used
    avoid: frozenset[NodeId] = frozenset()  # nodes that a plan must not touch

    def __post_init__(self) -> None:
        if not 0.0 < self.quantum <= 1.0 or abs(1.0 / self.quantum - round(1.0 / self.quantum)) > 1e-9:
            raise NoPlan(f"quantum {self.quantum:g} does not divide 1")
        if self.rounds < 0:
            raise NoPlan(f"purification rounds {self.rounds} must be 0 or more")
        if not 0.0 < self.fidelity_step < 1.0:
            raise NoPlan(f"fidelity step {self.fidelity_step:g} is outside 0..1")

    @property
    def throttles(self) -> bool:
        """Links are slowed to what the root needs. Only under the rule of 3/2, which takes both children of a
        swap as equally fast: unequal exponential ones wait less, and their links cannot make up for it."""
        return self.throttle and self.waiting == "three_halves"


def check_requests(requests: Iterable[PairRequest], topology: Topology) -> None:
    """Every request names known nodes and has its own id. Raises ConfigError for the first that does not."""
    seen: set[str] = set()
    for request in requests:
        if request.request in seen:
            raise NoPlan(f'two requests are called "{request.request}"')
        seen.add(request.request)
        request.check(topology)
