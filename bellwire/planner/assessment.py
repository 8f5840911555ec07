"""What a tree promises: latency, rate, ages, fidelity, success, and what it takes from the network.

Owns the walk over a tree with waits and decay (algorithms.md 1.3, 2.1, 2.2) and `PairPlan`, the value that
every method for one pair returns. Refuses the search for trees, and the counting of what they take
(tree_use.py). The model is that of the density-matrix
tests: every pair waits its mean time as if it were exact, decays at both ends while it waits and while the
outcome of the operation travels, and suffers the noise of each swap and purification round.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from bellwire.core.bell import (
    Bell,
    Eigenvalues,
    Purified,
    bbpssw,
    dejmps,
    eigenvalues,
    from_eigenvalues,
    recurrence,
)
from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import NodeId
from bellwire.planner.capacity import FidelityMissed, NoPlan, Residual, Use
from bellwire.planner.requests import Limits
from bellwire.planner.structures import (
    LinkLeaf,
    PurifyNode,
    Scheme,
    StoredLeaf,
    SwapNode,
    Tree,
    leaves,
    purify_busy_s,
    swap_busy_s,
)
from bellwire.planner.topology import Topology
from bellwire.planner.tree_use import use_of


class Outlook(NamedTuple):
    """Figures of one subtree at the moment its pair exists."""

    left_age_s: float  # mean age of the left qubit, by the rule of 1.3
    right_age_s: float
    state: Bell  # mean state, relative to its frame
    success_probability: float  # that one complete round of the subtree succeeds


@dataclass(frozen=True, slots=True, kw_only=True)
class PairPlan:
    """A tree for one pair and what it promises."""

    source: NodeId
    destination: NodeId
    tree: Tree  # throttled when `throttled` was asked for
    method: str
    latency_s: float  # mean seconds per delivered pair
    fidelity: float
    state: Bell
    success_probability: float
    ages_s: tuple[float, float]
    use: Use

    @property
    def rate_hz(self) -> float:
        """Delivered pairs per second; inf for a pair that is stored already."""
        return 1.0 / self.latency_s if self.latency_s > 0.0 else math.inf


def assess(tree: Tree, residual: Residual, method: str, limits: Limits | None = None) -> PairPlan:
    """The plan of a finished tree (throttled or not), with all its promises.

    Raises:
        NoPlan: the tree breaks a limit or takes more than is left; the text says which.
    """
    topology = residual.topology
    name = f"{tree.left}-{tree.right}"
    if not math.isfinite(tree.latency_s):
        raise NoPlan(f"{name}: the tree has no rate")
    seen = outlook(tree, topology)
    use = use_of(tree, topology)
    if limits is not None:
        oldest_s = max_age_s(tree, topology)
        if oldest_s >= limits.age_s:
            raise NoPlan(f"{name}: a qubit waits {oldest_s:.4g} s on average, limit {limits.age_s:g} s")
        count = sum(1 for _ in leaves(tree))
        if limits.leaves is not None and count > limits.leaves:
            raise NoPlan(f"{name}: the tree has {count} leaves, limit {limits.leaves}")
        if limits.fidelity is not None and seen.state[0] < limits.fidelity:
            raise FidelityMissed(
                f"{name}: fidelity {limits.fidelity:g} is not reached: {_floor(seen.state[0])}"
            )
    outlived = _outlived(tree)
    if outlived is not None:
        raise NoPlan(f"{name}: {outlived}")
    lack = residual.lacks(use)
    if lack is not None:
        raise NoPlan(f"{name}: {lack}")
    return PairPlan(
        source=tree.left,
        destination=tree.right,
        tree=tree,
        method=method,
        latency_s=tree.latency_s,
        fidelity=seen.state[0],
        state=seen.state,
        success_probability=seen.success_probability,
        ages_s=(seen.left_age_s, seen.right_age_s),
        use=use,
    )


def _outlived(tree: Tree) -> str | None:
    """Which stored pair would have to wait longer than it is expected to live, or None."""
    match tree:
        case SwapNode():
            pairs = (tree.one, tree.other)
            waits = waits_s(tree.one.latency_s, tree.other.latency_s)
        case PurifyNode():
            pairs = (tree.kept, tree.measured)
            waits = purify_waits_s(tree.kept.latency_s, tree.measured.latency_s, tree.pumping)
        case _:
            return None
    for child, wait_s in zip(pairs, waits, strict=True):
        if isinstance(child, StoredLeaf) and wait_s > child.life_s:
            return f"stored pair {child.pair} would wait {wait_s:.4g} s and lives {child.life_s:.4g} s"
        below = _outlived(child)
        if below is not None:
            return below
    return None


def outlook(tree: Tree, topology: Topology) -> Outlook:
    """Ages, state and success probability of a tree with the latencies that it has."""
    match tree:
        case LinkLeaf():
            link = topology.link(tree.left, tree.right)
            if link is None:
                raise LocalMisuse(f"a tree uses the link {tree.left}-{tree.right}, which does not exist")
            return Outlook(link.success_s, link.success_s, link.state, 1.0)
        case StoredLeaf():
            return Outlook(tree.age_s, tree.age_s, tree.state, 1.0)
        case SwapNode():
            one, other = outlook(tree.one, topology), outlook(tree.other, topology)
            wait_one_s, wait_other_s = waits_s(tree.one.latency_s, tree.other.latency_s)
            state = swapped_state(
                topology, tree.left, tree.at, tree.right, one.state, other.state, wait_one_s, wait_other_s
            )
            chance = (
                topology.nodes[tree.at].swap_probability * one.success_probability * other.success_probability
            )
            return Outlook(one.left_age_s + wait_one_s, other.right_age_s + wait_other_s, state, chance)
        case PurifyNode():
            kept, measured = outlook(tree.kept, topology), outlook(tree.measured, topology)
            wait_kept_s, wait_measured_s = purify_waits_s(
                tree.kept.latency_s, tree.measured.latency_s, tree.pumping
            )
            done = _round(tree, kept, measured, topology)
            chance = done.success_probability * kept.success_probability * measured.success_probability
            return Outlook(
                max(kept.left_age_s + wait_kept_s, measured.left_age_s + wait_measured_s),
                max(kept.right_age_s + wait_kept_s, measured.right_age_s + wait_measured_s),
                done.state,
                chance,
            )


def round_chance(tree: PurifyNode, topology: Topology) -> float:
    """p_pur of the states that the two pairs of a purification have when they meet."""
    kept, measured = outlook(tree.kept, topology), outlook(tree.measured, topology)
    return _round(tree, kept, measured, topology).success_probability


def _round(tree: PurifyNode, kept: Outlook, measured: Outlook, topology: Topology) -> Purified:
    waits = purify_waits_s(tree.kept.latency_s, tree.measured.latency_s, tree.pumping)
    return purified_state(topology, tree.left, tree.right, kept.state, measured.state, *waits, tree.scheme)


def waits_s(one_s: float, other_s: float) -> tuple[float, float]:
    """Mean wait of each of two pairs for the other: T_other^2/(T_one + T_other), T/2 when alike (1.3)."""
    total_s = one_s + other_s
    if total_s == 0.0:
        return (0.0, 0.0)
    return (other_s / total_s * other_s, one_s / total_s * one_s)


def purify_waits_s(kept_s: float, measured_s: float, pumping: bool) -> tuple[float, float]:
    """Waits of the kept and the measured pair: a pumped pair waits for the whole making of the next.

    pumping: the measured pair is none that is stored already (structures.py refuses that).
    """
    return (measured_s, 0.0) if pumping else waits_s(kept_s, measured_s)


def max_age_s(tree: Tree, topology: Topology) -> float:
    """Largest mean age that any qubit of the tree reaches, inner ones included (the test of 1.3)."""
    return _ages(tree, topology)[2]


def _ages(tree: Tree, topology: Topology) -> tuple[float, float, float]:
    match tree:
        case SwapNode():
            ll, lr, l_max = _ages(tree.one, topology)
            rl, rr, r_max = _ages(tree.other, topology)
            w_l, w_r = waits_s(tree.one.latency_s, tree.other.latency_s)
            return (ll + w_l, rr + w_r, max(l_max, r_max, ll + w_l, lr + w_l, rl + w_r, rr + w_r))
        case PurifyNode():
            ll, lr, l_max = _ages(tree.kept, topology)
            rl, rr, r_max = _ages(tree.measured, topology)
            w_l, w_r = purify_waits_s(tree.kept.latency_s, tree.measured.latency_s, tree.pumping)
            left, right = max(ll + w_l, rl + w_r), max(lr + w_l, rr + w_r)
            return (left, right, max(l_max, r_max, left, right))
        case _:
            seen = outlook(tree, topology)
            return (seen.left_age_s, seen.right_age_s, max(seen.left_age_s, seen.right_age_s))


# --- states ----------------------------------------------------------------------------------------------


def stored(topology: Topology, a: NodeId, b: NodeId, state: Bell, wait_s: float) -> Bell:
    """A pair after waiting at both its ends."""
    return from_eigenvalues(_decayed(topology, a, b, eigenvalues(state), wait_s))


def swapped_state(
    topology: Topology,
    left: NodeId,
    at: NodeId,
    right: NodeId,
    one: Bell,
    other: Bell,
    wait_one_s: float,
    wait_other_s: float,
) -> Bell:
    """State of left-right after both pairs waited, the node swapped, and its word reached the ends."""
    x = _decayed(topology, left, at, eigenvalues(one), wait_one_s)
    y = _decayed(topology, at, right, eigenvalues(other), wait_other_s)
    noise = eigenvalues(topology.nodes[at].swap_noise)
    joined = (x[0] * y[0] * noise[0], x[1] * y[1] * noise[1], x[2] * y[2] * noise[2])
    return from_eigenvalues(_decayed(topology, left, right, joined, swap_busy_s(topology, left, at, right)))


def purified_state(
    topology: Topology,
    left: NodeId,
    right: NodeId,
    kept: Bell,
    measured: Bell,
    wait_kept_s: float,
    wait_measured_s: float,
    scheme: Scheme,
) -> Purified:
    """Chance and state of one purification round after both pairs waited; the kept pair decays to its end."""
    here, there = topology.nodes[left], topology.nodes[right]
    a = stored(topology, left, right, kept, wait_kept_s)
    b = stored(topology, left, right, measured, wait_measured_s)
    done = purification(
        a,
        b,
        scheme,
        gate_fidelities=(here.gate_fidelity, there.gate_fidelity),
        readout_fidelities=(here.readout_fidelity, there.readout_fidelity),
    )
    busy_s = purify_busy_s(topology, left, right)
    return Purified(done.success_probability, stored(topology, left, right, done.state, busy_s))


def purification(
    kept: Bell,
    measured: Bell,
    scheme: Scheme,
    *,
    gate_fidelities: tuple[float, float] = (1.0, 1.0),
    readout_fidelities: tuple[float, float] = (1.0, 1.0),
) -> Purified:
    """One round of a scheme on Bell-diagonal states (2.1). BBPSSW twirls both inputs to Werner form first."""
    if scheme == "bbpssw" and gate_fidelities == (1.0, 1.0) and readout_fidelities == (1.0, 1.0):
        return bbpssw(kept[0], measured[0])
    if scheme == "bbpssw":
        rough = recurrence(
            _werner(kept[0]),
            _werner(measured[0]),
            gate_fidelities=gate_fidelities,
            readout_fidelities=readout_fidelities,
        )
        return Purified(rough.success_probability, _werner(rough.state[0]))
    act = dejmps if scheme == "dejmps" else recurrence
    return act(kept, measured, gate_fidelities=gate_fidelities, readout_fidelities=readout_fidelities)


def _werner(fidelity: float) -> Bell:
    rest = (1.0 - fidelity) / 3.0
    return (fidelity, rest, rest, rest)


def _decayed(topology: Topology, a: NodeId, b: NodeId, values: Eigenvalues, wait_s: float) -> Eigenvalues:
    if wait_s == 0.0:
        return values
    one, other = topology.nodes[a].decay_hz, topology.nodes[b].decay_hz
    return (
        values[0] * math.exp(-(one[0] + other[0]) * wait_s),
        values[1] * math.exp(-(one[1] + other[1]) * wait_s),
        values[2] * math.exp(-(one[2] + other[2]) * wait_s),
    )


def _floor(fidelity: float) -> str:
    return f"at most {math.floor(fidelity * 1e4) / 1e4:.4f}"
