"""Random networks and members for the tests of GHZ states.

Owns a generator of small networks whose nodes and links are all different, noise included. Refuses oracles.
"""

from dataclasses import replace

import hypothesis.strategies as st
import numpy as np

from bellwire.planner.topology import Link, Node, Topology, link_between


def random_network(seed: int, size: int, *, noisy: bool = False, density: float = 0.5) -> Topology:
    """A network of nodes A, B, C, ... with unequal links, fusions, memories and places.

    noisy: strong, unequal decay, and arbitrary Bell-diagonal links and operations; else the defaults.
    """
    chance = np.random.default_rng(seed)
    nodes: list[Node] = []
    for index in range(size):
        x, y = (float(each) for each in chance.uniform(0.0, 40.0, 2))
        node = Node(
            name=chr(ord("A") + index),
            position_km=(x, y),
            memories=int(chance.integers(2, 7)),
            attempts_hz=float(chance.choice([5e3, 2e4, 1e6])),
            swap_probability=float(chance.choice([0.3, 0.6, 1.0])),
            fusion_probability=float(chance.choice([0.4, 0.7, 1.0])),
            fusion_s=float(chance.choice([0.0, 1e-5, 1e-3])),
            relays=bool(chance.random() < 0.9),
        )
        if noisy:
            rates = chance.uniform(0.0, 20.0, 3)
            flips = chance.dirichlet([12.0, 1.0, 1.0, 1.0])
            # a Pauli channel needs rates that keep the triangle rule; sums of three parts do
            decay_hz = (rates[0] + rates[1], rates[1] + rates[2], rates[0] + rates[2])
            node = replace(node, decay_hz=tuple(float(each) for each in decay_hz), swap_noise=_bell(flips))
        nodes.append(node)
    links: list[Link] = []
    for i in range(size):
        for j in range(i + 1, size):
            if chance.random() < density:
                link = link_between(nodes[i], nodes[j], float(chance.uniform(0.1, 30.0)))
                links.append(replace(link, state=_bell(chance.dirichlet([15.0, 1.0, 1.0, 1.0]))))
    return Topology.of(nodes, links)


def _bell(weights: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> tuple[float, float, float, float]:
    a, b, c = (float(each) for each in weights[1:])
    return (1.0 - a - b - c, a, b, c)


@st.composite
def asked_states(
    draw: st.DrawFn, most_nodes: int = 7, most_members: int = 5, *, noisy: bool = False
) -> tuple[Topology, tuple[str, ...]]:
    """A random network, and some of its nodes in any order."""
    seed = draw(st.integers(0, 2**32 - 1))
    chance = np.random.default_rng([seed, 1])  # sizes by chance: drawn ones would mostly be the smallest
    size = int(chance.integers(3, most_nodes + 1))
    topology = random_network(seed, size, noisy=noisy, density=float(chance.uniform(0.4, 1.0)))
    count = int(chance.integers(2, min(size, most_members) + 1))
    return topology, tuple(chance.permutation(sorted(topology.nodes)).tolist()[:count])
