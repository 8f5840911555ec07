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
value by a factor that depends on the bits of the pairs at one node. The pairs form a tree, so that the sum
over all bits is done from node to node, with 2**degree terms at each.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bellwire.core.bell import Eigenvalues, eigenvalues
from bellwire.core.ids import NodeId
from bellwire.planner.multipartite.ghz_trees import FusionLeaf, FusionTree, busy_s
from bellwire.planner.multipartite.values import PairSupply
from bellwire.planner.topology import Topology

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
    """E[max] by inclusion and exclusion; for equal means T (1 + 1/2 + ... + 1/n), without cancellation."""
    if not latencies_s:
        return 0.0
    if max(latencies_s) - min(latencies_s) <= 1e-12 * max(latencies_s):
        return latencies_s[0] * math.fsum(1.0 / count for count in range(1, len(latencies_s) + 1))
    terms: list[tuple[float, float]] = [(0.0, -1.0)]  # rate of the minimum, sign
    for latency in latencies_s:
        terms += [(rate + 1.0 / latency, -sign) for rate, sign in terms]
    return math.fsum(sign / rate for rate, sign in terms[1:])


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
) -> NDArray[np.float64]:
    """Sum over the bits of all pairs on the far side of the pair `above`, for both values of its bit.

    The root (above is None) returns the whole sum as one number. shape (2,) or (1,)
    """
    own = [pair for pair in beside[node] if pair != above]
    pairs = own if above is None else [*own, above]  # the bit of the pair above is the highest
    place = {pair: 1 << index for index, pair in enumerate(pairs)}
    bits: NDArray[np.int64] = np.arange(1 << len(pairs), dtype=np.int64)
    value: NDArray[np.float64] = np.ones(len(bits))
    for pair in own:
        a, b = account.ends[pair]
        below = _sum_below(account, beside, members, kind, b if a == node else a, pair)
        x, z, y = account.pairs[pair]
        below = below * (np.array([1.0, z]) if kind == 0 else np.array([x, y]))
        value *= below[(bits & place[pair] > 0).astype(np.int64)]
    for struck, (x, z, y) in account.strikes[node]:
        odd = _odd(bits, [place[pair] for pair in struck])
        value *= np.where(odd, z, 1.0) if kind == 0 else np.where(odd, y, x)
    if node not in members:
        value = np.where(_odd(bits, list(place.values())), 0.0, value)
    summed: NDArray[np.float64] = value.reshape(1 if above is None else 2, -1).sum(axis=1)
    return summed


def _odd(bits: NDArray[np.int64], places: Sequence[int]) -> NDArray[np.bool_]:
    mask = reduce(or_, places, 0)
    odd: NDArray[np.bool_] = np.bitwise_count(bits & mask) % 2 == 1
    return odd
