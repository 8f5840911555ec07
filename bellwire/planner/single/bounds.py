"""What the way from a subtree to source and destination costs at the very least.

Owns lower bounds on links and on the loss of each eigenvalue, without any waiting, by shortest paths. Refuses
trees. They let the search of limited.py drop early what can never keep a limit.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import networkx as nx

from bellwire.core.bell import eigenvalues
from bellwire.core.ids import NodeId
from bellwire.planner.capacity import Residual
from bellwire.planner.requests import Options, PairRequest
from bellwire.planner.single.openings import may_swap
from bellwire.planner.structures import LinkLeaf, StoredLeaf


class Way(NamedTuple):
    """Least number of links and least losses that still have to be added; inf where there is no way."""

    links: float
    losses: tuple[float, float, float]

    def fidelity(self, losses: "list[float] | tuple[float, ...]") -> float:
        """Upper bound on the fidelity of a subtree of given losses when this way is added to it."""
        return (
            1.0 + math.fsum(math.exp(-one - more) for one, more in zip(losses, self.losses, strict=True))
        ) / 4.0


@dataclass(slots=True)
class _Reach:
    """Least costs from every node to one goal: links, then the loss of each eigenvalue."""

    costs: tuple[dict[NodeId, float], dict[NodeId, float], dict[NodeId, float], dict[NodeId, float]]

    def of(self, name: NodeId) -> Way:
        links, *losses = (cost.get(name, math.inf) for cost in self.costs)
        return Way(links, (losses[0], losses[1], losses[2]))


class Bounds:
    """Least costs of everything that is still missing between a subtree's ends and those of a request."""

    def __init__(
        self,
        residual: Residual,
        request: PairRequest,
        options: Options,
        leaves: Iterable[LinkLeaf | StoredLeaf],
    ) -> None:
        topology = residual.topology
        graph: nx.DiGraph[NodeId] = nx.DiGraph()
        graph.add_nodes_from(topology.nodes)
        for leaf in leaves:
            if isinstance(leaf, StoredLeaf):
                state = leaf.state
            else:
                state = topology.links[leaf.left, leaf.right].state
            own = [loss_of(value) for value in eigenvalues(state)]
            for here, there in ((leaf.left, leaf.right), (leaf.right, leaf.left)):
                # Going on from a node costs its swap; edges are written from the goal outwards.
                if may_swap(residual, here, options):
                    noise = [loss_of(value) for value in eigenvalues(topology.nodes[here].swap_noise)]
                    step = [1.0, *(link + swap for link, swap in zip(own, noise, strict=True))]
                    known = graph.get_edge_data(there, here)
                    if known is not None:
                        step = [min(one, two) for one, two in zip(step, known["cost"], strict=True)]
                    graph.add_edge(there, here, cost=step)
        self._source = _reach(graph, request.source)
        self._destination = _reach(graph, request.destination)

    def ways(self, left: NodeId, right: NodeId) -> tuple[Way, Way]:
        """The rest of the tree when `left` leads to the source, and when it leads to the destination."""
        return (
            _both(self._source.of(left), self._destination.of(right)),
            _both(self._source.of(right), self._destination.of(left)),
        )


def _reach(graph: "nx.DiGraph[NodeId]", goal: NodeId) -> _Reach:
    def lengths(index: int) -> dict[NodeId, float]:
        def weight(_here: NodeId, _there: NodeId, edge: dict[str, list[float]]) -> float | None:
            cost = edge["cost"][index]
            return cost if cost < math.inf else None  # None hides an edge

        found: dict[NodeId, float] = nx.single_source_dijkstra_path_length(graph, goal, weight=weight)
        return found

    return _Reach((lengths(0), lengths(1), lengths(2), lengths(3)))


def _both(one: Way, other: Way) -> Way:
    return Way(
        one.links + other.links,
        (
            one.losses[0] + other.losses[0],
            one.losses[1] + other.losses[1],
            one.losses[2] + other.losses[2],
        ),
    )


def loss_of(eigenvalue: float) -> float:
    """-ln of an eigenvalue; inf where it is 0 or below."""
    return -math.log(eigenvalue) if eigenvalue > 0.0 else math.inf
