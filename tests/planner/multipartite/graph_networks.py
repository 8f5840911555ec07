"""Random target graphs on random networks for the tests of graph states.

Owns the drawing of targets: paths, trees and graphs of any shape, also with several vertices at one node.
Refuses oracles.
"""

from dataclasses import replace
from typing import Literal

import hypothesis.strategies as st
import numpy as np

from bellwire.planner.multipartite.graph_target import TargetGraph
from bellwire.planner.topology import Topology
from tests.planner.multipartite.ghz_networks import random_network

Kind = Literal["path", "tree", "general"]


def random_target(seed: int, nodes: list[str], size: int, kind: Kind, crowded: bool) -> TargetGraph:
    """A connected graph of `size` vertices. crowded: vertices may share nodes, else each has its own."""
    chance = np.random.default_rng([seed, 2])
    vertices = [f"v{index}" for index in range(size)]
    if crowded:
        places = [nodes[int(each)] for each in chance.integers(0, len(nodes), size)]
        if len(set(places)) == 1:
            places[-1] = next(node for node in nodes if node != places[0])
    else:
        places = chance.permutation(nodes).tolist()[:size]
    edges: list[tuple[str, str]] = []
    for index in range(1, size):
        before = index - 1 if kind == "path" else int(chance.integers(0, index))
        edges.append((vertices[before], vertices[index]))
    if kind == "general":
        density = chance.choice([0.0, 0.3, 0.6, 1.0])  # 1: the complete graph
        edges += [
            (vertices[i], vertices[j])
            for i in range(size)
            for j in range(i + 1, size)
            if (vertices[i], vertices[j]) not in edges and chance.random() < density
        ]
    order = chance.permutation(len(edges))
    turned = [edges[int(each)][:: 1 if chance.random() < 0.5 else -1] for each in order]
    return TargetGraph(dict(zip(vertices, places, strict=True)), tuple((a, b) for a, b in turned))


@st.composite
def asked_graphs(
    draw: st.DrawFn, kind: Kind, most: int, *, noisy: bool = False, memories: int | None = 30
) -> tuple[Topology, TargetGraph]:
    """A random network and a target on it. memories: per node; None: as the network has them, 2 to 6."""
    seed = draw(st.integers(0, 2**32 - 1))
    chance = np.random.default_rng([seed, 3])  # sizes by chance: drawn ones would mostly be the smallest
    size = int(chance.integers(2, most + 1))
    crowded = bool(chance.random() < 0.4)
    count = int(chance.integers(2 if crowded else size, max(size, 5) + 3))
    topology = random_network(seed, count, noisy=noisy, density=float(chance.uniform(0.4, 1.0)))
    if memories is not None:
        topology = with_memories(topology, memories)
    return topology, random_target(seed, list(topology.nodes), size, kind, crowded)


def with_memories(topology: Topology, memories: int) -> Topology:
    """The same network with so many memories at every node."""
    return Topology.of(
        [replace(node, memories=memories) for node in topology.nodes.values()], topology.links.values()
    )
