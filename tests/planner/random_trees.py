"""Random trees and small networks of unlike nodes, for tests that hold promises against independent truth.

Owns the drawing of nodes, links and trees. Refuses judgement.
"""

import math
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np

from bellwire.core.bell import Bell
from bellwire.planner.structures import LinkLeaf, PurifyNode, StoredLeaf, SwapNode, Tree
from bellwire.planner.topology import Link, Node, Topology, link_between, pair_of


def drawn_state(chance: np.random.Generator, purest: float = 40.0) -> Bell:
    """A Bell-diagonal state of fidelity around 0.75 to 0.95."""
    a, b, c, d = (float(each) for each in chance.dirichlet([purest, 2.0, 2.0, 2.0]))
    return (a, b, c, 1.0 - a - b - c) if d >= 0.0 else (1.0, 0.0, 0.0, 0.0)


def drawn_decay_hz(chance: np.random.Generator) -> tuple[float, float, float]:
    """Of a memory with no noise, depolarising, dephasing, or T1 and T2 twirled (11.5); seconds to minutes."""
    rate = float(chance.uniform(0.01, 3.0))
    dephasing, relaxing = rate, rate * float(chance.uniform(0.1, 1.9))
    return (
        (0.0, 0.0, 0.0),
        (rate, rate, rate),
        (rate, 0.0, rate),
        (dephasing, relaxing, dephasing),
    )[int(chance.integers(4))]


def drawn_line(chance: np.random.Generator, hops: int) -> Topology:
    """Nodes A, B, C, ... that differ in everything that a plan can notice."""
    names = [chr(ord("A") + index) for index in range(hops + 1)]
    nodes = [
        Node(
            name=name,
            memories=64,
            swap_probability=float(chance.uniform(0.3, 1.0)),
            swap_s=float(chance.choice([0.0, 1e-5, 1e-2])),
            purification_s=float(chance.choice([0.0, 1e-5, 2e-2])),
            swap_noise=drawn_state(chance, 100.0),
            gate_fidelity=float(chance.choice([1.0, 0.99, 0.95])),
            readout_fidelity=float(chance.choice([1.0, 0.99, 0.97])),
            decay_hz=drawn_decay_hz(chance),
        )
        for name in names
    ]
    links: list[Link] = []
    for a, b in pairwise(nodes):
        plain = link_between(a, b, float(chance.uniform(1.0, 30.0)), optical_probability=0.2)
        links.append(replace(plain, state=drawn_state(chance)))
    delays_s = {
        pair_of(a, b): float(chance.choice([1e-5, 1e-3, 0.05])) for a in names for b in names if a < b
    }
    return Topology.of(nodes, links, delays_s=delays_s)


def drawn_network(chance: np.random.Generator, size: int, density: float, *, decay: float) -> Topology:
    """A small network of unlike nodes and links; words are sometimes slower than pairs.

    decay: factor of the decay rates; 0: none.
    """
    names = "ABCDEF"[:size]
    nodes = [
        Node(
            name=name,
            memories=64,
            decay_hz=_times(drawn_decay_hz(chance), decay) if decay else (0.0, 0.0, 0.0),
            swap_probability=float(chance.choice([0.3, 0.5, 1.0])),
            swap_s=float(chance.choice([0.0, 1e-5, 1e-2])),
            purification_s=float(chance.choice([0.0, 1e-2])),
            gate_fidelity=float(chance.choice([1.0, 0.99])),
            readout_fidelity=float(chance.choice([1.0, 0.99])),
            attempts_hz=float(chance.choice([5e3, 2e4, 1e6])),
        )
        for name in names
    ]
    links: list[Link] = []
    for a, b in combinations(nodes, 2):
        if chance.random() < density:
            plain = link_between(a, b, float(chance.uniform(1.0, 30.0)))
            links.append(replace(plain, state=drawn_state(chance, 60.0)))
    slow = bool(chance.random() < 0.5)
    delays_s = {
        pair: float(chance.choice([1e-5, 1e-3, 0.05 if slow else 1e-4])) for pair in combinations(names, 2)
    }
    return Topology.of(nodes, links, delays_s=delays_s)


def _times(rates_hz: tuple[float, float, float], factor: float) -> tuple[float, float, float]:
    return (rates_hz[0] * factor, rates_hz[1] * factor, rates_hz[2] * factor)


def drawn_tree(
    chance: np.random.Generator, topology: Topology, *, stored: float = 0.15, purify: float = 0.45
) -> Tree:
    """A tree over the whole line; latencies of inner nodes and their success probabilities are still 0 and 1.

    stored, purify: how often a leaf is a stored pair, and a pair is purified by another one.
    """
    names = list(topology.nodes)
    serial = iter(range(10_000))

    def grown(left: int, right: int, stored: float, depth: int) -> Tree:
        made: Tree
        if right - left == 1 and chance.random() >= stored:
            made = LinkLeaf(names[left], names[right], float(chance.uniform(0.005, 0.05)))
        elif right - left == 1:
            pair = f"kept {next(serial)}"
            made = StoredLeaf(names[left], names[right], pair, drawn_state(chance), 0.01, math.inf)
        else:
            at = int(chance.integers(left + 1, right))
            made = SwapNode(grown(left, at, stored, depth), grown(at, right, stored, depth), 0.0)
        if depth and chance.random() < purify:
            pumping = bool(chance.random() < 0.5)
            measured = grown(left, right, 0.0 if pumping else stored, depth - 1)
            scheme = ("bbpssw", "dejmps", "recurrence")[int(chance.integers(3))]
            made = PurifyNode(made, measured, scheme, pumping, 1.0, 0.0)  # type: ignore[arg-type]
        return made

    return grown(0, len(names) - 1, stored, 2)
