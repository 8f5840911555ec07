"""How good the GHZ state of a fusion tree is, and how old its qubits get (ADR 0008, algorithms.md 1.3, 11.5).

Owns the noise account of a fusion tree, its fidelity, mean waits and mean ages. Refuses latencies.

Model. Every pair has its Bell-diagonal state when it is made. Every state waits its mean time for the others
that it is fused with, and decays at all its owners; the `swap_noise` of the acting node strikes the measured
qubit of each CNOT just before it; the product decays at all its owners while the outcome travels. For two
pairs and discard this is, number for number, what assessment.py says of a swap.

Why it is exact at any size. The state stays GHZ-diagonal, so its fidelity is the mean of the expectation
values of the 2**n stabilisers: Z on an even set of members (kind 0), or X on all members times that (kind 1).
Carried back to the pairs, such a stabiliser asks of each pair one of II, ZZ (kind 0) or XX, YY (kind 1): one
bit per pair, and a node that has left the state needs an even number of them. Noise multiplies an expectation
value by a factor that depends on the parity of the bits of the pairs that one qubit holds. The pairs form a
tree, so that the sum over all bits is done from node to node, in time proportional to their number.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bellwire.core.bell import Eigenvalues, eigenvalues
from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import NodeId
from bellwire.planner.multipartite.ghz_trees import FusionLeaf, FusionTree, busy_s
from bellwire.planner.multipartite.values import PairSupply
from bellwire.planner.topology import Topology

EXPANDED_MAX: Final = 8
"""Unequal times of which the mean of the longest is expanded into 2**n terms."""

Floats = NDArray[np.float64]

Incident = dict[NodeId, tuple[int, ...]]
"""Owner -> numbers of the pairs of a state that had an end there."""


class GhzOutlook(NamedTuple):
    """What becomes of a fusion tree."""

    fidelity: float
    age_s: float  # mean age of the oldest qubit of the final state at delivery, by the rule of 1.3
    oldest_s: (
        float  # largest mean age that any qubit of any state reaches, those of the pairs' trees excluded
    )


@dataclass(slots=True)
class _Account:
    """Everything that strikes the pairs: per pair its own state, per node Pauli channels on a qubit there."""

    ends: dict[int, tuple[NodeId, NodeId]] = field(default_factory=dict[int, tuple[NodeId, NodeId]])
    pairs: dict[int, Eigenvalues] = field(default_factory=dict[int, Eigenvalues])
    strikes: dict[NodeId, list[tuple[tuple[int, ...], Eigenvalues]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def strike(self, node: NodeId, pairs: tuple[int, ...], factors: Eigenvalues) -> None:
        """A Pauli channel with these eigenvalues on X, Z, Y of a qubit that holds the ends of some pairs."""
        self.strikes[node].append((pairs, factors))

    def wait(self, topology: Topology, incident: Incident, wait_s: float) -> None:
        """Decay of a whole state."""
        if wait_s > 0.0:
            for node, pairs in incident.items():
                x, z, y = (math.exp(-rate * wait_s) for rate in topology.nodes[node].decay_hz)
                self.strike(node, pairs, (x, z, y))


def ghz_outlook(tree: FusionTree, supplies: Sequence[PairSupply], topology: Topology) -> GhzOutlook:
    """Fidelity and ages of the state that a fusion tree makes, with the latencies that it has.

    supplies: the plan's pairs, by the numbers of the leaves.
    """
    account = _Account()
    incident, ages_s, oldest_s = _walk(tree, supplies, topology, account)
    return GhzOutlook(_fidelity(account, incident), max(ages_s.values()), oldest_s)


def mean_waits_s(latencies_s: Sequence[float]) -> tuple[float, ...]:
    """Mean wait of each state until the last of all exists: E[max] - T for independent exponential times.

    T_2^2/(T_1 + T_2) for the first of two (1.3). A state without latency waits for all others.
    """
    longest_s = _mean_longest_s([latency for latency in latencies_s if latency > 0.0])
    return tuple(max(0.0, longest_s - latency) for latency in latencies_s)


def _mean_longest_s(latencies_s: Sequence[float]) -> float:
    """E[max] of independent exponential times: in closed form for few or equal ones, else by quadrature."""
    if not latencies_s:
        return 0.0
    if max(latencies_s) - min(latencies_s) <= 1e-12 * max(latencies_s):
        return latencies_s[0] * math.fsum(1.0 / count for count in range(1, len(latencies_s) + 1))
    if len(latencies_s) > EXPANDED_MAX:
        return _integrated_longest_s(latencies_s)
    terms: list[tuple[float, float]] = [(0.0, -1.0)]  # rate of the minimum of some, sign
    for latency in latencies_s:
        terms += [(rate + 1.0 / latency, -sign) for rate, sign in terms]
    return math.fsum(sign / rate for rate, sign in terms[1:])


def _integrated_longest_s(latencies_s: Sequence[float]) -> float:
    """E[max] as the integral of P(max > t), by Gauss-Legendre on panels that double in width."""
    means = np.array(latencies_s)
    end_s = 60.0 * float(means.max())  # beyond, less than n exp(-60) is left
    borders = [0.0, float(means.min()) / 16.0]
    while borders[-1] < end_s:
        borders.append(2.0 * borders[-1])
    nodes, weights = np.polynomial.legendre.leggauss(24)
    total = 0.0
    for start, stop in pairwise(borders):
        half = (stop - start) / 2.0
        times = start + half * (nodes + 1.0)
        # 1 - prod(1 - exp(-t/T)) without cancellation in the tail
        left = -np.expm1(np.log1p(-np.exp(-times[:, None] / means)).sum(axis=1))
        total += half * float(weights @ left)
    return total


def _walk(
    tree: FusionTree, supplies: Sequence[PairSupply], topology: Topology, account: _Account
) -> tuple[Incident, dict[NodeId, float], float]:
    """Enter the noise of a subtree; pairs and ages of each owner's qubit, and the largest age so far."""
    if isinstance(tree, FusionLeaf):
        supply = supplies[tree.pair]
        account.ends[tree.pair] = (tree.left, tree.right)
        account.pairs[tree.pair] = eigenvalues(supply.state)
        ages = dict(zip((supply.left, supply.right), supply.ages_s, strict=True))
        return {tree.left: (tree.pair,), tree.right: (tree.pair,)}, ages, max(supply.ages_s)
    incident: Incident = {}
    ages_s: dict[NodeId, float] = {}
    oldest_s = 0.0
    noise = eigenvalues(topology.nodes[tree.node].swap_noise)
    waits_s = mean_waits_s([part.latency_s for part in tree.parts])
    for index, (part, wait_s) in enumerate(zip(tree.parts, waits_s, strict=True)):
        its, its_ages_s, its_oldest_s = _walk(part, supplies, topology, account)
        account.wait(topology, its, wait_s)
        if index > 0:
            account.strike(tree.node, its[tree.node], noise)
        for node, pairs in its.items():
            incident[node] = incident.get(node, ()) + pairs
            ages_s[node] = max(ages_s.get(node, 0.0), its_ages_s[node] + wait_s)
        oldest_s = max(oldest_s, its_oldest_s, *ages_s.values())
    if not tree.retained:
        del incident[tree.node], ages_s[tree.node]
    account.wait(topology, incident, busy_s(topology, tree.node, *tree.parts))
    return incident, ages_s, oldest_s


def _fidelity(account: _Account, members: Mapping[NodeId, tuple[int, ...]]) -> float:
    beside: dict[NodeId, list[int]] = defaultdict(list)
    for pair, ends in account.ends.items():
        for node in ends:
            beside[node].append(pair)
    root = next(iter(members))
    total = 0.0
    for kind in (0, 1):
        total += float(_sum_below(account, beside, members, kind, root, None).sum())
    return min(1.0, total / 2.0 ** len(members))


def _sum_below(
    account: _Account,
    beside: Mapping[NodeId, Sequence[int]],
    members: Mapping[NodeId, tuple[int, ...]],
    kind: int,
    node: NodeId,
    above: int | None,
) -> Floats:
    """Sum over the bits of all pairs on the far side of the pair `above`, for both values of its bit.

    shape (2,); at the root, where above is None, (1,): the whole sum.

    Whatever strikes a qubit depends on the parity of the bits of the pairs that it holds, and a qubit's pairs
    only ever grow by those of another, so that two numbers per qubit are enough, whatever the degree.
    """
    held: dict[frozenset[int], Floats] = {}  # pairs of a qubit -> by parity and by the bit above
    for pair in beside[node]:
        if pair == above:
            held[frozenset((pair,))] = np.eye(2)
            continue
        a, b = account.ends[pair]
        below = _sum_below(account, beside, members, kind, b if a == node else a, pair)
        x, z, y = account.pairs[pair]
        held[frozenset((pair,))] = (below * _factors(kind, x, z, y))[:, None]
    for struck, (x, z, y) in account.strikes[node]:
        held[frozenset(struck)] = _merged(held, frozenset(struck)) * _factors(kind, x, z, y)[:, None]
    whole = _merged(held, frozenset(beside[node]))
    found: Floats = whole.sum(axis=0) if node in members else whole[0]
    return found


def _factors(kind: int, x: float, z: float, y: float) -> Floats:
    """What a channel does to the expectation value, for even and odd parity."""
    return np.array([1.0, z] if kind == 0 else [x, y])


def _merged(held: dict[frozenset[int], Floats], wanted: frozenset[int]) -> Floats:
    """Take the qubits that hold some pairs out of the table, as one: the XOR convolution of their parities.

    Raises:
        LocalMisuse: a qubit holds some of the pairs and others too.
    """
    parts = [pairs for pairs in held if pairs & wanted]
    if frozenset().union(*parts) != wanted:
        raise LocalMisuse(f"no qubit holds the pairs {sorted(wanted)} and no others")

    def convolved(one: Floats, other: Floats) -> Floats:
        return np.stack([one[0] * other[0] + one[1] * other[1], one[0] * other[1] + one[1] * other[0]])

    return reduce(convolved, [held.pop(pairs) for pairs in parts])
