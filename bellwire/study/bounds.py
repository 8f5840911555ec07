"""Rates that no policy can exceed: linear programmes of one route, and of several requests on common links.

Owns the programme of a network. Refuses memory and waiting: bounds hold for unlimited memory and patience,
so there is no factor 2/3 as in plans (algorithms.md 1.6, 8.5). The programme of one route is the planner's,
which needs its duals.
"""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import lil_matrix

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.core.ids import NodeId
from bellwire.core.settings import NetworkSettings
from bellwire.planner.lane_times import link_latency_s
from bellwire.planner.route_bound import route_bound
from bellwire.study.route_model_numbers import RouteNumbers

NODES_MAX = 40
"""Nodes of a programme: there are n (n - 1) (n - 2) / 2 possible swaps."""


def bound_hz(route: RouteNumbers) -> float:
    """The bound of one route."""
    return route_bound(route.link_rates_hz, route.swap_probability).rate_hz


def bound_of_requests_hz(
    network: NetworkSettings,
    requests: Sequence[tuple[NodeId, NodeId]],
    nodes: Sequence[NodeId],
    *,
    fair: bool = False,
) -> float:
    """The greatest total rate of several requests, by all swaps among some nodes.

    nodes: those that take part; all links between them count, so it bounds every set of routes over them.
    fair: the greatest rate that every request can have at once, instead of the total.

    Raises:
        ConfigError: more than NODES_MAX nodes, or a request between other nodes.
    """
    names = sorted(set(nodes))
    if len(names) > NODES_MAX:
        raise ConfigError(f"a bound over {len(names)} nodes: {NODES_MAX} at most, name those of the routes")
    place = {name: index for index, name in enumerate(names)}
    for ends in requests:
        if not set(ends) <= set(names):
            raise ConfigError(f"request {ends[0]} to {ends[1]} is not between the nodes of the bound")
    pairs = [(a, b) for a in range(len(names)) for b in range(a + 1, len(names))]
    row = {pair: index for index, pair in enumerate(pairs)}
    made_hz = np.zeros(len(pairs))
    for link in network.links.values():
        if set(link.nodes) <= set(names):
            a, b = sorted(place[name] for name in link.nodes)
            made_hz[row[a, b]] += 1.0 / link_latency_s(link)
    swaps = [(a, at, b) for a, b in pairs for at in range(len(names)) if at not in (a, b)]
    goal = len(swaps) + len(requests)
    columns = goal + (1 if fair else 0)
    # A row: consumed - made <= made by the link. With `fair` one more row a request: level <= its rate.
    table = lil_matrix((len(pairs) + (len(requests) if fair else 0), columns))
    for column, (a, at, b) in enumerate(swaps):
        memory = network.nodes[names[at]].memory
        table[row[min(a, at), max(a, at)], column] = 1.0
        table[row[min(at, b), max(at, b)], column] = 1.0
        table[row[a, b], column] = 0.0 if memory is None else -memory.bsm_success_probability
    for index, ends in enumerate(requests):
        a, b = sorted(place[name] for name in ends)
        table[row[a, b], len(swaps) + index] = 1.0
        if fair:
            table[len(pairs) + index, len(swaps) + index] = -1.0
            table[len(pairs) + index, goal] = 1.0
    worth = np.zeros(columns)
    worth[goal if fair else slice(len(swaps), goal)] = -1.0
    limits = np.concatenate([made_hz, np.zeros(len(requests))]) if fair else made_hz
    found = linprog(worth, A_ub=table.tocsr(), b_ub=limits, method="highs")
    if not found.success:
        raise LocalMisuse(f"the bound of {len(requests)} requests has no optimum: {found.message}")
    return float(-found.fun)
