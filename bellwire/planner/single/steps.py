"""What a swap or a purification round makes of two subtrees, for the Pareto search.

Owns `Ground`, which works out latency, state, ages and memories of every step. Refuses the choice among
results (pareto.py) and promises (assessment.py).
"""

import math
from collections.abc import Mapping
from typing import Final

from bellwire.core.bell import Eigenvalues, eigenvalues
from bellwire.core.ids import NodeId
from bellwire.planner.assessment import purify_waits_s, waits_s
from bellwire.planner.capacity import Residual
from bellwire.planner.requests import Options
from bellwire.planner.single.eigenvalue_rounds import decayed, fall_hz, purified_values
from bellwire.planner.single.prospects import NO_SLOPE, Leaf, Prospect, Rounded, Swapped
from bellwire.planner.structures import (
    THREE_HALVES,
    LinkLeaf,
    StoredLeaf,
    Tree,
    purified,
    purify_busy_s,
    swap_busy_s,
    swapped,
    turned,
    waiting_s,
)
from bellwire.planner.topology import Pair, pair_of

NUDGE: Final = 1e-3
"""Part of a latency by which a prospect is slowed to see how its state falls."""


class Ground:
    """What all steps of one search share: the network, its numbers by node, and the options."""

    def __init__(self, residual: Residual, options: Options) -> None:
        topology = residual.topology
        self.topology, self.options = topology, options
        self.names: list[NodeId] = list(topology.nodes)
        self._nodes = [topology.nodes[name] for name in self.names]
        self._noise = [eigenvalues(node.swap_noise) for node in self._nodes]
        self._room = [residual.memories(name) for name in self.names]
        self.decays = any(rate > 0.0 for node in self._nodes for rate in node.decay_hz)
        self._link_bits = {pair: 1 << index for index, pair in enumerate(topology.links)}
        self._busy_s: dict[tuple[int, int, int], float] = {}
        self._rounds: dict[tuple[int, int], tuple[float, float, float]] = {}

    def leaf(self, leaf: LinkLeaf | StoredLeaf, copies: int, stored: int = 0) -> Prospect:
        """A link that `copies` alike share, or a stored pair (bit `stored`)."""
        order = self.topology.order
        left, right = sorted((order[leaf.left], order[leaf.right]))
        if isinstance(leaf, StoredLeaf):
            state, age_s, latency_s, link, own = leaf.state, leaf.age_s, 0.0, 0, False
        else:
            pair: Pair = pair_of(leaf.left, leaf.right)
            made = self.topology.links[pair]
            state, age_s, own = made.state, made.success_s, True
            latency_s, link = leaf.latency_s * copies, self._link_bits[pair]
            leaf = LinkLeaf(leaf.left, leaf.right, latency_s)
        return Prospect(
            left=left,
            right=right,
            copies=copies,
            latency_s=latency_s,
            fidelity=state[0],
            values=eigenvalues(state),
            slopes=NO_SLOPE,
            rounds=0,
            leaves=1,
            hops=1,
            nodes=1 << left | 1 << right,
            links=link,
            stored=stored,
            ends_whole=False,
            memories={left: int(own), right: int(own)},
            own=(own, own),
            ages_s=(age_s, age_s, age_s),
            made=Leaf(leaf),
        )

    def swap_latency_s(self, one: Prospect, other: Prospect, at: int) -> float:
        """Eq. 1."""
        node = self._nodes[at]
        both_s = waiting_s(one.latency_s, other.latency_s, self.options.waiting)
        return (both_s + self._swap_busy_s(_far(one, at), at, _far(other, at))) / node.swap_probability

    def swap(self, one: Prospect, other: Prospect, at: int, latency_s: float) -> Prospect | None:
        """The swap of two prospects at the only node that they share; None where memories are lacking.

        latency_s: what `swap_latency_s` says.
        """
        if _far(one, at) > _far(other, at):
            one, other = other, one
        memories = self._fitting(_sum(one.memories, other.memories))
        if memories is None:
            return None
        left, right = _far(one, at), _far(other, at)
        one_s, other_s, longer_s, share = self._paces(one, other)
        wait_one_s, wait_other_s = waits_s(one_s, other_s)
        busy_s = self._swap_busy_s(left, at, right)
        a, b, noise = one.values_at(one_s), other.values_at(other_s), self._noise[at]
        values = (a[0] * b[0] * noise[0], a[1] * b[1] * noise[1], a[2] * b[2] * noise[2])
        slopes = NO_SLOPE
        if self.decays:
            near, far, ends = self._rates(left, at), self._rates(at, right), self._rates(left, right)
            values = (
                values[0] * math.exp(-near[0] * wait_one_s - far[0] * wait_other_s - ends[0] * busy_s),
                values[1] * math.exp(-near[1] * wait_one_s - far[1] * wait_other_s - ends[1] * busy_s),
                values[2] * math.exp(-near[2] * wait_one_s - far[2] * wait_other_s - ends[2] * busy_s),
            )
            if self.options.throttles and one.links | other.links:
                step_s = NUDGE * longer_s
                slower = waits_s(
                    one_s + step_s if one.links else one_s, other_s + step_s if other.links else other_s
                )
                grow_one, grow_other = (slower[0] - wait_one_s) / step_s, (slower[1] - wait_other_s) / step_s
                per_child = share * self._nodes[at].swap_probability  # dT_child/dT
                slopes = (
                    per_child * (one.slopes[0] + other.slopes[0] + near[0] * grow_one + far[0] * grow_other),
                    per_child * (one.slopes[1] + other.slopes[1] + near[1] * grow_one + far[1] * grow_other),
                    per_child * (one.slopes[2] + other.slopes[2] + near[2] * grow_one + far[2] * grow_other),
                )
        (outer_l, inner_l), (inner_r, outer_r) = _ages_from(one, left), _ages_from(other, at)
        ages_s = (outer_l + wait_one_s, inner_l + wait_one_s, inner_r + wait_other_s, outer_r + wait_other_s)
        oldest_s = max(*ages_s, one.ages_s[2], other.ages_s[2])
        swap_of = Swapped(one, other)
        own = (
            one.own[0] if one.left == left else one.own[1],
            other.own[1] if other.right == right else other.own[0],
        )
        return Prospect(
            left=left,
            right=right,
            copies=one.copies,
            latency_s=latency_s,
            fidelity=(1.0 + values[0] + values[1] + values[2]) / 4.0,
            values=values,
            slopes=slopes,
            rounds=0,
            leaves=one.leaves + other.leaves,
            hops=one.hops + other.hops,
            nodes=one.nodes | other.nodes,
            links=one.links | other.links,
            stored=one.stored | other.stored,
            ends_whole=False,
            memories=memories,
            own=own,
            ages_s=(ages_s[0], ages_s[3], oldest_s),
            made=swap_of,
        )

    def purify(self, kept: Prospect, measured: Prospect, pumping: bool, copies: int) -> Prospect | None:
        """One round on two prospects of the same ends; None where memories are lacking or it never succeeds.

        copies: among how many alike the links of the result are shared.
        """
        left, right = kept.pair
        busy_s, _, _ = self._round_figures(left, right)
        if pumping:
            kept_s, measured_s, longer_s = kept.latency_s, measured.latency_s, kept.latency_s
            both_s = kept_s + measured_s
        else:
            kept_s, measured_s, longer_s, _ = self._paces(kept, measured)
            both_s = waiting_s(kept.latency_s, measured.latency_s, self.options.waiting)
        chance, values = self._round(kept, measured, kept_s, measured_s, pumping)
        if chance <= 0.0:
            return None
        if pumping:
            beside = dict(measured.memories)
            beside[left] += kept.own[0]
            beside[right] += kept.own[1]
            memories = self._fitting(_greater(kept.memories, beside))
        else:
            memories = self._fitting(_sum(kept.memories, measured.memories))
        if memories is None:
            return None
        latency_s = (both_s + busy_s) / chance
        slopes = NO_SLOPE
        if self.decays and self.options.throttles and kept.links | measured.links:
            grow = 1.0 + NUDGE
            if pumping:
                slower_kept_s, slower_measured_s, slower_both_s = (
                    kept_s * grow,
                    measured_s * grow,
                    both_s * grow,
                )
            else:
                slower_kept_s = kept_s + NUDGE * longer_s if kept.links else kept_s
                slower_measured_s = measured_s + NUDGE * longer_s if measured.links else measured_s
                slower_both_s = waiting_s(slower_kept_s, slower_measured_s, self.options.waiting)
            lower, fallen = self._round(kept, measured, slower_kept_s, slower_measured_s, pumping)
            if lower > 0.0:
                more_s = (slower_both_s + busy_s) / lower - latency_s
                slopes = (
                    fall_hz(values[0], fallen[0], more_s),
                    fall_hz(values[1], fallen[1], more_s),
                    fall_hz(values[2], fallen[2], more_s),
                )
        wait_kept_s, wait_measured_s = purify_waits_s(kept_s, measured_s, pumping)
        left_age_s = max(kept.ages_s[0] + wait_kept_s, measured.ages_s[0] + wait_measured_s)
        right_age_s = max(kept.ages_s[1] + wait_kept_s, measured.ages_s[1] + wait_measured_s)
        return Prospect(
            left=left,
            right=right,
            copies=copies,
            latency_s=latency_s,
            fidelity=(1.0 + values[0] + values[1] + values[2]) / 4.0,
            values=values,
            slopes=slopes,
            rounds=1 + max(kept.rounds, measured.rounds),
            leaves=kept.leaves + measured.leaves,
            hops=min(kept.hops, measured.hops),
            nodes=kept.nodes | measured.nodes,
            links=kept.links | measured.links,
            stored=kept.stored | measured.stored,
            ends_whole=kept.ends_whole or measured.ends_whole or (not pumping and copies == kept.copies),
            memories=memories,
            own=kept.own,
            ages_s=(
                left_age_s,
                right_age_s,
                max(left_age_s, right_age_s, kept.ages_s[2], measured.ages_s[2]),
            ),
            made=Rounded(kept, measured, pumping, chance),
        )

    def tree(self, prospect: Prospect) -> Tree:
        """The subtree as a tree value from its left to its right end, not throttled."""
        match prospect.made:
            case Leaf(leaf):
                found: Tree = leaf
            case Swapped(one, other):
                at = (set(one.pair) & set(other.pair)).pop()
                first = self.tree(one)
                second = self.tree(other)
                first = first if first.right == self.names[at] else turned(first)
                second = second if second.left == self.names[at] else turned(second)
                found = swapped(self.topology, first, second, self.options.waiting)
            case Rounded(kept, measured, pumping, chance):
                found = purified(
                    self.topology,
                    self.tree(kept),
                    self.tree(measured),
                    chance,
                    scheme=self.options.scheme,
                    pumping=pumping,
                    waiting=self.options.waiting,
                )
        return found if found.left == self.names[prospect.left] else turned(found)

    # --- parts of a step -----------------------------------------------------------------------------------

    def _paces(self, one: Prospect, other: Prospect) -> tuple[float, float, float, float]:
        """Latencies that two parts get side by side, the longer one, and dT_child/d(T p)."""
        one_s, other_s = one.latency_s, other.latency_s
        longer_s = max(one_s, other_s)
        alone = one_s == 0.0 or other_s == 0.0
        if self.options.throttles:
            one_s = longer_s if one.links else one_s
            other_s = longer_s if other.links else other_s
        return one_s, other_s, longer_s, 1.0 if alone else 1.0 / THREE_HALVES

    def _round(
        self, kept: Prospect, measured: Prospect, kept_s: float, measured_s: float, pumping: bool
    ) -> tuple[float, Eigenvalues]:
        """Chance and result of a round on two prospects at given latencies, after its word has travelled."""
        a, b = kept.values_at(kept_s), measured.values_at(measured_s)
        left, right = kept.pair
        busy_s, gates, readouts = self._round_figures(left, right)
        if self.decays:
            rates = self._rates(left, right)
            wait_kept_s, wait_measured_s = purify_waits_s(kept_s, measured_s, pumping)
            a, b = decayed(a, rates, wait_kept_s), decayed(b, rates, wait_measured_s)
        chance, values = purified_values(a, b, self.options.scheme, gates, readouts)
        return chance, decayed(values, self._rates(left, right), busy_s) if self.decays else values

    def _rates(self, a: int, b: int) -> Eigenvalues:
        one, other = self._nodes[a].decay_hz, self._nodes[b].decay_hz
        return (one[0] + other[0], one[1] + other[1], one[2] + other[2])

    def _swap_busy_s(self, left: int, at: int, right: int) -> float:
        key = (left, at, right)
        found = self._busy_s.get(key)
        if found is None:
            found = swap_busy_s(self.topology, self.names[left], self.names[at], self.names[right])
            self._busy_s[key] = found
        return found

    def _round_figures(self, left: int, right: int) -> tuple[float, float, float]:
        """t_p + t_c, G and D of a round between two nodes."""
        found = self._rounds.get((left, right))
        if found is None:
            here, there = self._nodes[left], self._nodes[right]
            found = (
                purify_busy_s(self.topology, self.names[left], self.names[right]),
                here.gate_fidelity * there.gate_fidelity,
                (2.0 * here.readout_fidelity - 1.0) * (2.0 * there.readout_fidelity - 1.0),
            )
            self._rounds[left, right] = found
        return found

    def _fitting(self, memories: dict[int, int]) -> dict[int, int] | None:
        return memories if all(count <= self._room[node] for node, count in memories.items()) else None


def _far(prospect: Prospect, at: int) -> int:
    return prospect.left if prospect.right == at else prospect.right


def _ages_from(prospect: Prospect, end: int) -> tuple[float, float]:
    """Ages of the qubit at one end, then at the other."""
    left_s, right_s, _ = prospect.ages_s
    return (left_s, right_s) if prospect.left == end else (right_s, left_s)


def _sum(one: Mapping[int, int], other: Mapping[int, int]) -> dict[int, int]:
    found = dict(one)
    for node, count in other.items():
        found[node] = found.get(node, 0) + count
    return found


def _greater(one: Mapping[int, int], other: Mapping[int, int]) -> dict[int, int]:
    found = dict(one)
    for node, count in other.items():
        found[node] = max(found.get(node, 0), count)
    return found
