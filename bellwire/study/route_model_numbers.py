"""The numbers of one route, as its stochastic model needs them.

Owns the value and its reading from a network's settings. Refuses requests, plans and policies.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.core.ids import NodeId
from bellwire.core.settings import LinkSettings, NetworkSettings
from bellwire.core.units import s_from_ns
from bellwire.planner.intervals import RouteTimes
from bellwire.planner.lane_times import decided_periods

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RouteNumbers:
    """A route of n links, by position: nodes 0..n, links 0..n-1. Seconds.

    success: of one attempt of one lane. decided: periods from the start of an attempt until both ends know
    what it gave. memories: of each node, for both sides together. left_max, right_max: memories that one
    side may have, of each node; an inner node of a bank leaves one for the other side (algorithms.md 8.5).
    delay_s: one-way between any two nodes, (n + 1, n + 1).
    """

    nodes: tuple[NodeId, ...]
    period_s: tuple[float, ...]
    success: tuple[float, ...]
    lanes: tuple[int, ...]
    decided: tuple[int, ...]
    swap_probability: tuple[float, ...]
    swap_s: tuple[float, ...]
    memories: tuple[int, ...]
    left_max: tuple[int, ...]
    right_max: tuple[int, ...]
    delay_s: Numbers

    def __post_init__(self) -> None:
        links, nodes = len(self.period_s), len(self.period_s) + 1
        for name in ("success", "lanes", "decided"):
            if len(getattr(self, name)) != links:
                raise LocalMisuse(f"{name} of {len(getattr(self, name))} links on a route of {links}")
        for name in ("nodes", "swap_probability", "swap_s", "memories", "left_max", "right_max"):
            if len(getattr(self, name)) != nodes:
                raise LocalMisuse(f"{name} of {len(getattr(self, name))} nodes on a route of {nodes}")
        if self.delay_s.shape != (nodes, nodes):
            raise LocalMisuse(f"delays of shape {self.delay_s.shape} between {nodes} nodes")

    @property
    def hops(self) -> int:
        """Number of links."""
        return len(self.period_s)

    @property
    def link_s(self) -> tuple[float, ...]:
        """T_link of each link while memories are free."""
        return tuple(
            (1.0 / success - 1.0 + decided) * period_s / lanes
            for success, decided, period_s, lanes in zip(
                self.success, self.decided, self.period_s, self.lanes, strict=True
            )
        )

    @property
    def link_rates_hz(self) -> tuple[float, ...]:
        """Pairs per second of each link while memories are free."""
        return tuple(1.0 / link_s for link_s in self.link_s)

    @property
    def times(self) -> RouteTimes:
        """What eq. 1 needs."""
        return RouteTimes(
            link_s=self.link_s,
            swap_probability=self.swap_probability,
            swap_s=self.swap_s,
            delay_s=lambda a, b: float(self.delay_s[a, b]),
        )


def plain_route(
    link_s: Sequence[float],
    swap_probability: float,
    *,
    memories: int,
    side_max: int | None = None,
    slot_s: float | None = None,
) -> RouteNumbers:
    """A route without delays: links of these mean times, equal memories of inner nodes.

    memories: of every inner node; ends have as many for their one side as an inner node may have for one.
    side_max: of one side of an inner node, None: all but one. slot_s: length of an attempt, None: so short
    that times are exponential.

    Raises:
        ConfigError: a slot longer than a link's mean time.
    """
    side = max(1, memories - 1) if side_max is None else side_max
    period_s = min(link_s) * 1e-4 if slot_s is None else slot_s
    if period_s > min(link_s):
        raise ConfigError(f"slots of {period_s} s are longer than {min(link_s)} s, the mean time of a link")
    links, nodes = len(link_s), len(link_s) + 1
    return RouteNumbers(
        nodes=tuple(f"n{position}" for position in range(nodes)),
        period_s=(period_s,) * links,
        success=tuple(period_s / mean_s for mean_s in link_s),
        lanes=(1,) * links,
        decided=(1,) * links,
        swap_probability=(swap_probability,) * nodes,
        swap_s=(0.0,) * nodes,
        memories=(side, *(memories,) * (nodes - 2), side),
        left_max=(side,) * nodes,
        right_max=(side,) * nodes,
        delay_s=np.zeros((nodes, nodes)),
    )


def route_of(network: NetworkSettings, nodes: Sequence[NodeId]) -> RouteNumbers:
    """The numbers of a route of a network.

    Raises:
        ConfigError: neighbours without a link, or a node without memories.
    """
    links = [_link(network, a, b) for a, b in pairwise(nodes)]
    memory = [network.nodes[node].memory for node in nodes]
    if None in memory:
        raise ConfigError(
            f"{nodes[memory.index(None)]} has no memories, and a route needs them at every node"
        )
    found = [one for one in memory if one is not None]
    right = [_slots(link, node) for link, node in zip(links, nodes[:-1], strict=True)]
    left = [_slots(link, node) for link, node in zip(links, nodes[1:], strict=True)]
    sides = [(set(), right[0]), *zip(left, right[1:], strict=False), (left[-1], set())]
    both = [one | other for one, other in sides]
    # Where both sides draw on one bank, each leaves one memory to the other.
    spare = [1 if one & other else 0 for one, other in sides]
    return RouteNumbers(
        nodes=tuple(nodes),
        period_s=tuple(s_from_ns(link.period_ns) for link in links),
        success=tuple(link.success_probability * (1.0 - link.test_share) for link in links),
        lanes=tuple(link.lanes for link in links),
        decided=tuple(decided_periods(link) for link in links),
        swap_probability=tuple(one.bsm_success_probability for one in found),
        swap_s=tuple(s_from_ns(one.bsm_duration_ns) for one in found),
        memories=tuple(len(one) for one in both),
        left_max=tuple(len(one) - less for (one, _), less in zip(sides, spare, strict=True)),
        right_max=tuple(len(one) - less for (_, one), less in zip(sides, spare, strict=True)),
        delay_s=np.array(
            [[s_from_ns(network.delay_ns(a, b)) if a != b else 0.0 for b in nodes] for a in nodes]
        ),
    )


def _link(network: NetworkSettings, a: NodeId, b: NodeId) -> LinkSettings:
    found = [link for link in network.links.values() if {a, b} == set(link.nodes)]
    if not found:
        raise ConfigError(f"no link between {a} and {b}: name neighbours only, in the order of the route")
    return found[0]


def _slots(link: LinkSettings, node: NodeId) -> set[int]:
    return set(link.slots[link.nodes.index(node)])
