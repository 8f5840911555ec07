"""The entanglement-based topology: which neighbours of the network share a pair now, and how long a path of
such pairs still takes.

Owns the choice of rows of the ledger that a request may use and the order of routes by what they lack.
Refuses claims, which are the stores' (transport), and routes that no links make (routes.py).

A path is complete when every link of it has a pair. What is missing is being made on all links side by side:
k pairs of links with mean times up to T are all there after T (1 + 1/2 + ... + 1/k) at most, exactly so where
the links are alike. A path that fails in one of its swaps has to be gathered again.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from bellwire.core.ids import NodeId, RequestId
from bellwire.core.plans import Circumstances, EntanglementRequest, PresentPair, is_pre_distributed
from bellwire.core.settings import NetworkSettings
from bellwire.core.view import Entanglement
from bellwire.planner.predistribution_routes import may_use
from bellwire.planner.routes import Route

PATIENCE: Final = 4.0
"""A gathered pair waits for the rest of its path for so many times what the whole path should take. Two
requests that hold what the other one needs would else wait for ever."""

PATIENCE_MIN_S: Final = 0.01
"""At least so long: words between heads, tails and inner nodes are under way meanwhile."""

Edge = frozenset[NodeId]


def present_pairs(rows: Iterable[Entanglement], request: RequestId) -> tuple[PresentPair, ...]:
    """The pairs that a request may use: those in store that nobody has claimed, and its own."""
    return tuple(
        PresentPair(nodes=row.end_nodes, fidelity=row.fidelity)
        for row in rows
        if row.request == request or is_pre_distributed(row.request)
    )


class EntangledTopology:
    """Links of the network that keep pairs, and how many pairs each has now."""

    def __init__(
        self, network: NetworkSettings, request: EntanglementRequest, circumstances: Circumstances
    ) -> None:
        """Where the planner does not see the ledger, word of the heads of stores stands for it."""
        links = () if network.stores is None else network.stores.super_links
        kept = [link for link in links if len(link.route) == 2 and may_use(request, link)]
        self.kept: frozenset[Edge] = frozenset(frozenset(link.route) for link in kept)
        if circumstances.pairs is not None:
            self._pairs = Counter(frozenset(pair.nodes) for pair in circumstances.pairs)
        else:
            told = {each.super_link: each.pairs for each in circumstances.stores}
            self._pairs = Counter({frozenset(link.route): told.get(link.request, 0) for link in kept})

    def covers(self, route: Route) -> bool:
        """Every link of the route keeps pairs that the request may use."""
        return all(frozenset(link.nodes) in self.kept for link in route.links)

    def missing(self, route: Route) -> tuple[int, ...]:
        """Links of the route, by position, that have no pair now."""
        return tuple(n for n, link in enumerate(route.links) if not self._pairs[frozenset(link.nodes)])

    def ready_s(self, route: Route) -> float:
        """Seconds until a pair of the whole route should be there, failures of swaps included."""
        missing = self.missing(route)
        slowest_s = max((route.times.link_s[n] for n in missing), default=0.0)
        gathered_s = slowest_s * sum(1.0 / (n + 1) for n in range(len(missing)))
        swaps = range(1, len(route.nodes) - 1)
        swapped_s = sum(route.times.swap_s[n] for n in swaps)
        told_s = route.times.delay_s(0, route.hops)
        kept = 1.0
        for n in swaps:
            kept *= route.times.swap_probability[n]
        return (gathered_s + swapped_s + told_s) / kept


def patience_ns(route: Route) -> int:
    """How long a gathered pair waits for the others of its path before an inner node gives it up."""
    slowest_s = max(route.times.link_s)
    gathered_s = slowest_s * sum(1.0 / (n + 1) for n in range(route.hops))
    told_s = 2.0 * route.times.delay_s(0, route.hops) + sum(route.times.swap_s)
    return round(1e9 * max(PATIENCE_MIN_S, PATIENCE * (gathered_s + told_s)))
