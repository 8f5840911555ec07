"""The stack paper's default network and chains of its links, as labs (algorithms.md 0.2, 0.3 and 8.5).

Owns the way from the paper's few numbers to a lab file: random places and edges, one bank of memories a node
that all its links share, one lane a link, requests on the routes of the best fixed trees. Refuses policies:
requests get the mode they are asked for, and whoever compares modes replaces it.

A link is in textbook form. An attempt takes max(t_g + d/c, 2 t_g), since a node's generations serve two sides
at a time, and succeeds with p_g^2 exp(-d/L_att) p_ob where p_ob = p_b / 2.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from bellwire.core.errors import ConfigError
from bellwire.core.ids import NodeId
from bellwire.labs.lab import Lab, build_lab
from bellwire.labs.models import LabFile
from bellwire.planner.capacity import Residual
from bellwire.planner.methods import plan_pair
from bellwire.planner.requests import PairRequest
from bellwire.planner.sources.waxman import draw_pairs, waxman
from bellwire.planner.structures import route_of
from bellwire.planner.topology import (
    ATTENUATION_LENGTH_KM,
    FIBRE_KM_PER_S,
    GATE_FLIP,
    GENERATION_PROBABILITY,
    GENERATION_S,
    MEMORIES,
    STORAGE_HZ,
    SWAP_PROBABILITY,
    SWAP_S,
    Node,
    Topology,
)

DURATION_S: Final = 100.0
"""Simulated time of one data point of the paper."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperNetwork:
    """The numbers that the paper varies, with its defaults, and two seeds.

    density: share of all pairs of nodes that are linked. distance_km: least and greatest straight distance of
    source and destination, None: of any two nodes, all pairs equally likely. hops: least and greatest number
    of links of a route, None: any; pairs of other routes are drawn again. seed: of places and edges.
    pairs_seed: of the requests' ends, None: as `seed`.
    """

    nodes: int = 100
    density: float = 0.1
    side_km: float = 100.0
    swap_success: float = SWAP_PROBABILITY
    distance_km: tuple[float, float] | None = (10.0, 30.0)
    memories: int = MEMORIES
    requests: int = 1
    hops: tuple[int, int] | None = None
    seed: int = 1
    pairs_seed: int | None = None

    def topology(self) -> Topology:
        """The network as planners see it."""
        node = Node(name="any", swap_probability=self.swap_success, memories=self.memories)
        return waxman(self.nodes, self.density, self.side_km, self.seed, node=node)


def paper_lab(
    network: PaperNetwork,
    *,
    mode: str = "swap_asap",
    duration_s: float = DURATION_S,
    topology: Topology | None = None,
    routes: Sequence[tuple[NodeId, ...]] | None = None,
) -> Lab:
    """The paper's network with its requests, which are called r0, r1 and so on and want pairs to the end.

    topology, routes: those of the network, where they were made before.

    Raises:
        NoPlan: the network has fewer pairs of nodes than wanted.
        ConfigError: a value outside its range.
    """
    topology = network.topology() if topology is None else topology
    routes = draw_routes(network, topology) if routes is None else routes
    lengths_km = {link.ends: link.length_km for link in topology.links.values()}
    return build_lab(
        _file(
            f"paper_{network.nodes}_nodes_{network.density:g}_{network.seed}",
            dict.fromkeys(topology.nodes, (network.swap_success, network.memories)),
            lengths_km,
            routes,
            mode,
            duration_s,
        )
    )


def draw_routes(network: PaperNetwork, topology: Topology) -> list[tuple[NodeId, ...]]:
    """Pairs of nodes as far apart as wanted, each with the route of its best fixed tree on an idle network.

    Raises:
        NoPlan: the network has too few such pairs.
        ConfigError: no pair is as many hops apart as wanted.
    """
    seed = network.seed if network.pairs_seed is None else network.pairs_seed
    if network.hops is None:
        pairs = draw_pairs(topology, network.requests, seed, network.distance_km)
        return [best_route(topology, *pair) for pair in pairs]
    least, most = network.hops
    found: list[tuple[NodeId, ...]] = []
    drawn: set[tuple[NodeId, NodeId]] = set()
    for attempt in range(PAIRS_TRIED_MAX):
        (pair,) = draw_pairs(topology, 1, seed * PAIRS_TRIED_MAX + attempt, network.distance_km)
        if pair in drawn:
            continue
        drawn.add(pair)
        route = best_route(topology, *pair)
        if least <= len(route) - 1 <= most:
            found.append(route)
            if len(found) == network.requests:
                return found
    raise ConfigError(
        f"{len(found)} of {network.requests} routes of {least} to {most} hops found among {PAIRS_TRIED_MAX} "
        "pairs of nodes: widen distance_km or hops"
    )


PAIRS_TRIED_MAX: Final = 200
"""Pairs of nodes looked at for routes of a wanted number of hops."""


def best_route(topology: Topology, source: NodeId, destination: NodeId) -> tuple[NodeId, ...]:
    """The route of the fixed tree of least latency (algorithms.md 1.4). Raises NoPlan where there is none."""
    plan = plan_pair(Residual(topology), PairRequest(request="route", source=source, destination=destination))
    route = route_of(plan.tree)
    return route if route[0] == source else route[::-1]


def chain_lab(
    lengths_km: Sequence[float],
    *,
    mode: str = "swap_asap",
    duration_s: float = DURATION_S,
    swap_success: float = SWAP_PROBABILITY,
    memories: int = MEMORIES,
) -> Lab:
    """A chain of links of these lengths, nodes c0, c1 and so on, with one request r0 from end to end."""
    nodes = [f"c{index:02d}" for index in range(len(lengths_km) + 1)]
    return build_lab(
        _file(
            f"paper_chain_{len(lengths_km)}_hops",
            dict.fromkeys(nodes, (swap_success, memories)),
            dict(zip(itertools.pairwise(nodes), lengths_km, strict=True)),
            [tuple(nodes)],
            mode,
            duration_s,
        )
    )


def attempt_s(length_km: float) -> float:
    """Seconds from one attempt of a link to the next."""
    return max(GENERATION_S + length_km / FIBRE_KM_PER_S, 2.0 * GENERATION_S)


def success_probability(length_km: float, swap_success: float = SWAP_PROBABILITY) -> float:
    """Of one attempt of a link."""
    return GENERATION_PROBABILITY**2 * math.exp(-length_km / ATTENUATION_LENGTH_KM) * swap_success / 2.0


def _file(
    name: str,
    nodes: dict[NodeId, tuple[float, int]],
    lengths_km: dict[tuple[NodeId, NodeId], float],
    routes: Sequence[tuple[NodeId, ...]],
    mode: str,
    duration_s: float,
) -> LabFile:
    """nodes: (swap success, memories) by name."""
    ends = {end for route in routes for end in (route[0], route[-1])}
    return LabFile.model_validate(
        {
            "lab": name,
            "correct_frames": False,
            "nodes": {
                node: {"role": "end" if node in ends else "repeater", "memory": _memory(*numbers)}
                for node, numbers in nodes.items()
            },
            "links": {
                f"{a}-{b}": {
                    "nodes": (a, b),
                    "length_km": length_km,
                    "attempt": _attempt(length_km, nodes[a][0]),
                }
                for (a, b), length_km in lengths_km.items()
            },
            "requests": tuple(
                {
                    "id": f"r{index}",
                    "from": route[0],
                    "to": route[-1],
                    "route": route,
                    "mode": mode,
                    "duration_s": duration_s,
                    "deadline_s": 2.0 * duration_s,
                    "consumption": "measure",
                }
                for index, route in enumerate(routes)
            ),
            # Short frames: what a paced link makes is spread evenly over the time in which it makes a pair.
            "limits": {"turn_ms": 0.0, "schedule_step_ms": 1.0},
        }
    )


def _memory(swap_success: float, memories: int) -> dict[str, Any]:
    return {
        "t1_s": None,
        "t2_s": None,
        "depolarising_time_s": 1.0 / STORAGE_HZ,
        "gate_fidelity": 1.0,
        "single_gate_fidelity": 1.0,
        "readout_fidelity": 1.0,
        "phase_flip": GATE_FLIP,
        "bsm_success_probability": swap_success,
        "bsm_duration_us": SWAP_S * 1e6,
        "bank": memories,
    }


def _attempt(length_km: float, swap_success: float) -> dict[str, Any]:
    return {
        "period_us": round(attempt_s(length_km) * 1e6, 3),
        "success_probability": success_probability(length_km, swap_success),
    }
