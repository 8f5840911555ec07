"""Every purification-augmented tree with at most one round per level, by plain enumeration of numbers.

Owns the oracle of the Pareto search: the maps of algorithms.md 2.1 on four probabilities and the latencies of
1.1 and 2.2 written out once more, over arrays of trees. Takes from the planner only the topology values.
Knows no decay and no limit of memories. Refuses speed: the number of trees squares with every level.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bellwire.planner.topology import Topology, pair_of
from tests.planner.single.brute_force import link_latency_s

Floats = NDArray[np.float64]
Bits = NDArray[np.int64]
CHUNK = 400


@dataclass(frozen=True)
class Trees:
    """Many trees between two nodes: latencies (n,), states (n, 4), nodes and links as bit sets (n,)."""

    latency_s: Floats
    state: Floats
    nodes: Bits
    links: Bits


def joined(*parts: Trees) -> Trees:
    """All of them."""
    return Trees(
        np.concatenate([each.latency_s for each in parts]),
        np.concatenate([each.state for each in parts]),
        np.concatenate([each.nodes for each in parts]),
        np.concatenate([each.links for each in parts]),
    )


class Enumeration:
    """All trees of a network that has no decay. scheme: "dejmps", "recurrence" or "bbpssw"."""

    def __init__(self, topology: Topology, scheme: str) -> None:
        assert all(rate == 0.0 for node in topology.nodes.values() for rate in node.decay_hz)
        self.topology, self.scheme = topology, scheme
        self.names = list(topology.nodes)
        self.bits = {name: 1 << index for index, name in enumerate(self.names)}
        self.link_bits = {pair: 1 << index for index, pair in enumerate(topology.links)}
        self._level = lru_cache(maxsize=None)(self._level_of)

    def best_latency_s(self, source: str, destination: str, fidelities: list[float]) -> list[float]:
        """For each wanted fidelity the least latency of all trees that have it, or inf."""
        whole = frozenset(self.names)
        best = [math.inf] * len(fidelities)

        def see(trees: Trees) -> None:
            for index, wanted in enumerate(fidelities):
                good = trees.latency_s[trees.state[:, 0] >= wanted]
                best[index] = min(best[index], float(good.min(initial=math.inf)))

        one, half = (self._base(source, destination, copies, whole) for copies in (1, 2))
        see(one)
        for rounds in (
            self._rounds(one, one, True, source, destination),
            self._rounds(half, half, False, source, destination),
        ):
            for each in rounds:
                see(each)
        ends = self.bits[source] | self.bits[destination]
        for each in self._rounds(one, one, False, source, destination, apart=ends):
            see(each)
        return best

    def fidelities(self, source: str, destination: str) -> Floats:
        """Of the trees that end with a swap or a link, sorted."""
        found: Floats = np.unique(self._base(source, destination, 1, frozenset(self.names)).state[:, 0])
        return found

    def _base(self, a: str, b: str, copies: int, allowed: frozenset[str]) -> Trees:
        """Links and swaps from a to b over allowed nodes, each with 1/copies of the capacity."""
        parts = [Trees(np.zeros(0), np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0, np.int64))]
        pair = pair_of(a, b)
        if pair in self.topology.links:
            latency_s = link_latency_s(self.topology, a, b) * copies
            if latency_s < math.inf:
                state = np.array([self.topology.links[pair].state])
                ends = np.array([self.bits[a] | self.bits[b]], np.int64)
                parts.append(
                    Trees(np.array([latency_s]), state, ends, np.array([self.link_bits[pair]], np.int64))
                )
        for at in allowed - {a, b}:
            if self.topology.nodes[at].relays and self.topology.nodes[at].swap_probability > 0.0:
                one = self._level(a, at, copies, allowed - {b})
                other = self._level(at, b, copies, allowed - {a})
                parts.append(self._swapped(one, other, a, at, b))
        return joined(*parts)

    def _level_of(self, a: str, b: str, copies: int, allowed: frozenset[str]) -> Trees:
        """The same, and each round on two of them."""
        one = self._base(a, b, copies, allowed)
        half = self._base(a, b, 2 * copies, allowed)
        return joined(one, *self._rounds(one, one, True, a, b), *self._rounds(half, half, False, a, b))

    def _swapped(self, one: Trees, other: Trees, a: str, at: str, b: str) -> Trees:
        first, second = (grid.ravel() for grid in np.indices((len(one.latency_s), len(other.latency_s))))
        fitting = one.nodes[first] & other.nodes[second] == self.bits[at]
        first, second = first[fitting], second[fitting]
        node = self.topology.nodes[at]
        told_s = max(self.topology.delay_s(at, a), self.topology.delay_s(at, b))
        both_s = 1.5 * np.maximum(one.latency_s[first], other.latency_s[second])
        state = convolved(convolved(one.state[first], other.state[second]), np.array([node.swap_noise]))
        return Trees(
            (both_s + node.swap_s + told_s) / node.swap_probability,
            state,
            one.nodes[first] | other.nodes[second],
            one.links[first] | other.links[second],
        )

    def _rounds(
        self, one: Trees, other: Trees, in_turn: bool, a: str, b: str, apart: int = 0
    ) -> Iterator[Trees]:
        """Every tree of one kept, every tree of another measured; apart: only what meets at these nodes."""
        here, there = self.topology.nodes[a], self.topology.nodes[b]
        busy_s = max(here.purification_s, there.purification_s) + self.topology.delay_s(a, b)
        for start in range(0, len(one.latency_s), CHUNK):
            rows = len(one.latency_s[start : start + CHUNK])
            kept, measured = (grid.ravel() for grid in np.indices((rows, len(other.latency_s))))
            kept = kept + start
            if apart:
                fitting = one.nodes[kept] & other.nodes[measured] == apart
                fitting &= one.links[kept] & other.links[measured] == 0
                kept, measured = kept[fitting], measured[fitting]
            chance, state = purified(
                one.state[kept],
                other.state[measured],
                self.scheme,
                here.gate_fidelity * there.gate_fidelity,
                (here.readout_fidelity, there.readout_fidelity),
            )
            t_kept, t_measured = one.latency_s[kept], other.latency_s[measured]
            made_s = t_kept + t_measured if in_turn else 1.5 * np.maximum(t_kept, t_measured)
            yield Trees(
                (made_s + busy_s) / chance,
                state,
                one.nodes[kept] | other.nodes[measured],
                one.links[kept] | other.links[measured],
            )


def convolved(a: Floats, b: Floats) -> Floats:
    """c_k = sum of a_i b_(i xor k)."""
    return np.stack([sum(a[:, i] * b[:, i ^ k] for i in range(4)) for k in range(4)], axis=1)


def purified(
    a: Floats, b: Floats, scheme: str, gates: float, readouts: tuple[float, float]
) -> tuple[Floats, Floats]:
    """The noisy recurrence as 2.1 prints it, with the rotations of DEJMPS or the twirls of BBPSSW."""
    if scheme == "dejmps":
        a, b = a[:, [0, 3, 2, 1]], b[:, [0, 3, 2, 1]]
    if scheme == "bbpssw":
        a, b = twirled(a), twirled(b)
    m1, m2 = readouts
    agree = m1 * m2 + (1 - m1) * (1 - m2)
    differ = 1 - agree
    a0, a1, a2, a3 = a.T
    b0, b1, b2, b3 = b.T
    rest = (1 - gates) / 8
    rough = np.stack(
        [
            gates * (agree * (a0 * b0 + a1 * b1) + differ * (a0 * b2 + a1 * b3)) + rest,
            gates * (agree * (a0 * b1 + a1 * b0) + differ * (a0 * b3 + a1 * b2)) + rest,
            gates * (agree * (a2 * b2 + a3 * b3) + differ * (a2 * b0 + a3 * b1)) + rest,
            gates * (agree * (a2 * b3 + a3 * b2) + differ * (a2 * b1 + a3 * b0)) + rest,
        ],
        axis=1,
    )
    chance = rough.sum(axis=1)
    state = rough / chance[:, None]
    return chance, twirled(state) if scheme == "bbpssw" else state


def twirled(a: Floats) -> Floats:
    """Werner states of the same fidelity."""
    rest = (1.0 - a[:, :1]) / 3.0
    return np.concatenate([a[:, :1], rest, rest, rest], axis=1)
