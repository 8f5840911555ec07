"""Plans for several requests at once, whatever method made them.

Owns `BatchPlan` and the share of each request. Refuses methods.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bellwire.core.ids import NodeId
from bellwire.planner.assessment import PairPlan
from bellwire.planner.capacity import Use, total_use
from bellwire.planner.requests import PairRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestShare:
    """What one request gets: trees that run side by side."""

    request: str
    source: NodeId
    destination: NodeId
    trees: tuple[PairPlan, ...]
    rate_hz: float
    fidelity: float  # mean over the pairs of all trees

    @property
    def latency_s(self) -> float:
        """Mean seconds per pair of all trees together."""
        return 1.0 / self.rate_hz if self.rate_hz > 0.0 else math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """Shares of all requests, in the order in which they were asked for."""

    method: str
    objective: str
    shares: tuple[RequestShare, ...]
    use: Use
    bound_hz: float | None = None  # optimum of the linear programme, t_b = t_c = 0; None: not worked out
    seconds: Mapping[str, float] = field(default_factory=dict[str, float])  # CPU time by part
    unserved: Mapping[str, str] = field(default_factory=dict[str, str])  # request -> why it got nothing
    decided: Mapping[str, str] = field(default_factory=dict[str, str])  # newcomer -> how a plan book took it

    @property
    def total_rate_hz(self) -> float:
        """All pairs per second."""
        return math.fsum(share.rate_hz for share in self.shares)

    @property
    def min_rate_hz(self) -> float:
        """Pairs per second of the request that gets least; 0 when one gets none."""
        return 0.0 if self.unserved else min((share.rate_hz for share in self.shares), default=0.0)


def share_of(request: PairRequest, trees: Iterable[PairPlan]) -> RequestShare:
    """The share that some trees make together."""
    plans = tuple(trees)
    rate_hz = math.fsum(plan.rate_hz for plan in plans)
    fidelity = math.fsum(plan.fidelity * plan.rate_hz for plan in plans) / rate_hz if rate_hz > 0.0 else 0.0
    return RequestShare(
        request=request.request,
        source=request.source,
        destination=request.destination,
        trees=plans,
        rate_hz=rate_hz,
        fidelity=fidelity,
    )


def use_of_shares(shares: Iterable[RequestShare]) -> Use:
    """What all trees take together."""
    return total_use(*(plan.use for share in shares for plan in share.trees))
