"""The Pareto search over latency and fidelity behind purification-augmented trees (algorithms.md 2.2).

Owns the order of the search, what it drops and when it stops. Refuses steps (steps.py) and plans
(purified.py).

Prospects leave a queue by a lower bound on the latency of any tree that holds them, and are kept per pair of
nodes unless one that is kept already serves as well: no slower, no worse in fidelity and in any kind of
error, now and when slowed, with no fewer rounds left, no more memories, no other nodes and stored pairs. A
kept one is joined with all that were kept before: by swaps at a shared node, and by rounds on the same pair,
either being the measured one, in turn (pumping: all of the capacity for each) or side by side (half of it for
each, so prospects are made for 1, 2, 4 and 8 copies). Two trees between source and destination that share no
link and no inner node may stand side by side at full capacity: nobody else has use for the other half of the
ends.

Where it is exact. `options.fidelity_step` bounds what one comparison may lose, not what losses of several
levels add up to; with a tiny step the answer was the best of all trees wherever it was held against plain
enumeration. The shortcuts: a state with more of every kind of error can in corners still purify better,
since a round that catches fewer errors also dilutes fewer; what throttling costs is followed along the
tangent through rounds of purification; ages take no part in comparisons unless `by_age`; and a tree is also
dropped when ROUTES_KEPT better ones over other nodes are kept, since a loop through a node costs swaps and
hardly ever pays.
"""

import heapq
import math
from bisect import insort
from collections import defaultdict
from collections.abc import Iterator
from itertools import count
from typing import Final

from bellwire.core.bell import Eigenvalues
from bellwire.planner.capacity import Residual
from bellwire.planner.requests import Options, PairRequest
from bellwire.planner.single.openings import leaves_of, open_stored, swapping_nodes
from bellwire.planner.single.prospects import Prospect
from bellwire.planner.single.steps import Ground
from bellwire.planner.structures import THREE_HALVES, LinkLeaf, StoredLeaf

STEPS_MAX: Final = 400_000
"""Swaps and rounds before the search ends, a few seconds; 50 nodes mostly need some ten thousands."""

COPIES_MAX: Final = 8
"""Copies side by side at most, over all levels."""

ROUTES_KEPT: Final = 2
"""Better trees over other nodes that make one superfluous."""

SHAPE: Final = 10.0
"""Tolerance in four times the probability of one kind of error, in units of that in fidelity."""

SEPARABLE: Final = 0.5
"""No tree needs a pair of this fidelity or less to end above it: there is nothing in it to distil."""


class ParetoSearch:
    """One search for a request; `candidates` are its trees between source and destination."""

    def __init__(
        self, residual: Residual, request: PairRequest, options: Options, *, by_age: bool = False
    ) -> None:
        self.ground = Ground(residual, options)
        self.by_age = by_age
        self.latest_s = math.inf
        """Slower trees are not wanted any more; the caller lowers it when it has an answer."""
        self.steps = 0
        self.stopped = False
        """STEPS_MAX was reached: there may be more trees."""
        self._options, self._limits = options, request.limits
        self._rounds_max = options.rounds
        topology = residual.topology
        order = topology.order
        self._goal = tuple(sorted((order[request.source], order[request.destination])))
        self._goal_nodes = sum(1 << end for end in self._goal)
        self._more: dict[tuple[int, int], float] = {}
        swapping = swapping_nodes(residual, options)
        self._able = [name in swapping for name in topology.nodes]
        self._kept: dict[tuple[int, int, int], list[Prospect]] = defaultdict(list)
        self._beside: dict[tuple[int, int], list[Prospect]] = defaultdict(list)
        self._queue: list[tuple[float, float, int, Prospect | tuple[Prospect, Prospect, int]]] = []
        self._ticket = count()
        self._tolerance = SHAPE * options.fidelity_step
        self._useless = request.limits.fidelity is not None and request.limits.fidelity > SEPARABLE
        links = leaves_of(residual, options)
        stored = open_stored(residual, options, request.stored)
        sure = max((topology.nodes[name].swap_probability for name in swapping), default=1.0)
        waits = 1.0 if stored or options.waiting == "exponential" else THREE_HALVES
        self._growth, self._copy_growth = waits / sure, waits
        self._least_s = 0.0 if stored else min((leaf.latency_s for leaf in links.values()), default=0.0)
        neighbours: dict[int, set[int]] = defaultdict(set)
        leaves: list[LinkLeaf | StoredLeaf] = [*links.values(), *stored]
        for leaf in leaves:
            neighbours[order[leaf.left]].add(order[leaf.right])
            neighbours[order[leaf.right]].add(order[leaf.left])
        self._hops = [_hops(neighbours, goal, self._able) for goal in self._goal]
        rooms = sorted((residual.memories(name) for name in topology.nodes), reverse=True)
        copies = 1
        while copies <= COPIES_MAX and (copies == 1 or (options.rounds > 0 and copies <= rooms[1])):
            for link in links.values():
                self._offer(self.ground.leaf(link, copies))
            for index, each in enumerate(stored):
                self._offer(self.ground.leaf(each, copies, 1 << index))
            copies *= 2

    def candidates(self) -> Iterator[Prospect]:
        """Trees between source and destination, fastest first, each better in something than those before."""
        while self._queue:
            bound_s, latency_s, _, made = heapq.heappop(self._queue)
            if bound_s > self.latest_s:
                return
            prospect = made if isinstance(made, Prospect) else self.ground.swap(*made, latency_s)
            if prospect is None or not self._possible(prospect) or self._superfluous(prospect):
                continue
            if prospect.pair == self._goal and prospect.copies == 1:
                yield prospect
            if self.steps >= STEPS_MAX:
                self.stopped = True
                return
            insort(self._kept[prospect.left, prospect.right, prospect.copies], prospect, key=_unfaithful)
            if prospect.pair != self._goal:
                self._swap_all(prospect)
            if prospect.rounds < self._rounds_max:
                self._purify_all(prospect)

    # --- steps ---------------------------------------------------------------------------------------------

    def _swap_all(self, prospect: Prospect) -> None:
        for at in prospect.pair:
            if not self._able[at] or at in self._goal:
                continue
            for other in self._beside[at, prospect.copies]:
                if other.nodes & prospect.nodes != 1 << at or other.stored & prospect.stored:
                    continue
                self.steps += 1
                left, right = _far(prospect, at), _far(other, at)
                latency_s = self.ground.swap_latency_s(prospect, other, at)
                bound_s = self._bound_s(left, right, latency_s, prospect.copies, prospect.hops + other.hops)
                if (
                    bound_s < math.inf and bound_s <= self.latest_s
                ):  # its state is worked out when its turn comes; most never do
                    made = (prospect, other, at)
                    heapq.heappush(self._queue, (bound_s, latency_s, next(self._ticket), made))
            self._beside[at, prospect.copies].append(prospect)

    def _purify_all(self, prospect: Prospect) -> None:
        for other in self._kept[prospect.left, prospect.right, prospect.copies]:
            if other.rounds >= self._rounds_max or other.stored & prospect.stored:
                continue
            self._purify(prospect, other)
            if other is not prospect:
                self._purify(other, prospect)

    def _purify(self, kept: Prospect, measured: Prospect) -> None:
        copies = kept.copies
        if not measured.stored:
            self.steps += 1
            self._offer(self.ground.purify(kept, measured, True, copies))
        if copies > 1:
            self.steps += 1
            self._offer(self.ground.purify(kept, measured, False, copies // 2))
        elif self._apart(kept, measured):
            self.steps += 1
            self._offer(self.ground.purify(kept, measured, False, copies))

    def _apart(self, one: Prospect, other: Prospect) -> bool:
        """Two trees of the whole request that share neither links nor inner nodes."""
        if one.pair != self._goal or one.ends_whole or other.ends_whole:
            return False
        return one.nodes & other.nodes == 1 << one.left | 1 << one.right and not one.links & other.links

    # --- what is worth keeping -----------------------------------------------------------------------------

    def _offer(self, prospect: Prospect | None) -> None:
        if prospect is None or not self._possible(prospect):
            return
        left, right = prospect.pair
        bound_s = self._bound_s(left, right, prospect.latency_s, prospect.copies, prospect.hops)
        if bound_s < math.inf and bound_s <= self.latest_s and not self._superfluous(prospect):
            heapq.heappush(self._queue, (bound_s, prospect.latency_s, next(self._ticket), prospect))

    def _possible(self, prospect: Prospect) -> bool:
        if prospect.ages_s[2] >= self._limits.age_s:
            return False
        if self._useless and prospect.fidelity <= SEPARABLE:
            return False
        ends = 1 << prospect.left | 1 << prospect.right
        if prospect.nodes & self._goal_nodes & ~ends:
            return False
        if self._limits.leaves is None:
            return True
        more = self._hops_more(prospect.left, prospect.right)
        return prospect.leaves + prospect.copies - 1 + more <= self._limits.leaves

    def _hops_more(self, left: int, right: int) -> float:
        """Links that the rest of a route has at least; inf where there is none."""
        found = self._more.get((left, right))
        if found is None:
            source, destination = self._hops
            found = min(source[left] + destination[right], source[right] + destination[left])
            if not all(self._able[end] or end in self._goal for end in (left, right)):
                found = math.inf
            self._more[left, right] = found
        return found

    def _bound_s(self, left: int, right: int, latency_s: float, copies: int, hops: int) -> float:
        """No tree that holds such a subtree is faster: each end that is not one of the request takes a swap.

        inf where none leads on to the request at all.
        """
        more = self._hops_more(left, right)
        if more == math.inf:
            return math.inf
        swaps = (left not in self._goal) + (right not in self._goal)
        bound_s = latency_s * math.pow(self._growth, swaps) * math.pow(self._copy_growth, math.log2(copies))
        depth = math.ceil(math.log2(hops + more))
        return max(bound_s, self._least_s * math.pow(self._growth, depth))

    def _superfluous(self, prospect: Prospect) -> bool:
        """One kept prospect over no other nodes serves instead, or several over any."""
        elsewhere = 0
        least = prospect.fidelity - self._options.fidelity_step * (1.0 + 1e-9)
        for other in self._kept[prospect.left, prospect.right, prospect.copies]:
            if other.fidelity < least:  # and so are all that follow
                break
            if self._serves(other, prospect):
                if not other.nodes & ~prospect.nodes and _within(other, prospect):
                    return True
                elsewhere += 1
                if elsewhere >= ROUTES_KEPT:
                    return True
        return False

    def _serves(self, one: Prospect, other: Prospect) -> bool:
        """No worse than another prospect in all but memories and nodes, within the tolerance."""
        more_s = other.latency_s - one.latency_s
        if more_s < 0.0 or one.rounds > other.rounds or one.stored & ~other.stored:
            return False
        if not self._as_pure(one.values, other.values):
            return False
        if self._limits.leaves is not None and one.leaves > other.leaves:
            return False
        if one.ends_whole and not other.ends_whole:
            return False
        if self.by_age and any(mine > its for mine, its in zip(one.ages_s, other.ages_s, strict=True)):
            return False
        if self.ground.decays:
            if not self._as_pure(one.values_at(other.latency_s), other.values):
                return False
            slack = self._tolerance / other.latency_s if other.latency_s > 0.0 else math.inf
            return all(mine <= its + slack for mine, its in zip(one.slopes, other.slopes, strict=True))
        return True

    def _as_pure(self, one: Eigenvalues, other: Eigenvalues) -> bool:
        """Fidelity and the probability of each kind of error are no worse, within the tolerances."""
        a, b, c = one[0] - other[0], one[1] - other[1], one[2] - other[2]
        room = self._tolerance
        if a + b + c < -4.0 * self._options.fidelity_step:
            return False
        return b - a - c <= room and a - b - c <= room and c - a - b <= room  # four times Z, X, Y


def _unfaithful(prospect: Prospect) -> float:
    return -prospect.fidelity


def _far(prospect: Prospect, at: int) -> int:
    return prospect.left if prospect.right == at else prospect.right


def _within(one: Prospect, other: Prospect) -> bool:
    """One needs no more memories than another anywhere."""
    return all(count <= other.memories.get(node, 0) for node, count in one.memories.items())


def _hops(neighbours: dict[int, set[int]], goal: int, able: list[bool]) -> list[float]:
    """Fewest links from every node to a goal through nodes that can swap; inf where there is no way."""
    found = [math.inf] * len(able)
    found[goal] = 0
    edge = [goal]
    while edge:
        following: list[int] = []
        for here in edge:
            if here != goal and not able[here]:
                continue
            for there in neighbours[here]:
                if found[there] == math.inf:
                    found[there] = found[here] + 1
                    following.append(there)
        edge = following
    return found
