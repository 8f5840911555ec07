"""The score of a swap: immediate benefit, opportunity loss, memory relief (stack paper, algorithm 2).

Owns the forms A, B, B' and D of algorithms.md 8. Refuses offline values (planner/segment_values.py) and
choice among candidates (policies.py).

All forms read the table of the plan: T, V, U and W of segments, in seconds. They are pure, cost some twenty
operations, and do not depend on the unit of time. A score at or below zero means: wait.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, inf
from typing import Protocol

from bellwire.core.plans import RouteTable
from bellwire.core.units import NS_PER_S
from bellwire.swapping.candidates import Held, Segment, Situation
from bellwire.swapping.cutoffs import Cutoffs
from bellwire.swapping.ratings import ends_route, table_of


class Form(Protocol):
    """A rating by score. Whatever ends the route is swapped; anything else only with a score above zero."""

    __slots__ = ()

    def rate(self, seen: Situation, left: Held, right: Held) -> float | None:
        """The score; infinite where the route ends, None where it says: wait."""
        table = table_of(seen)
        if ends_route(table, left, right):
            return inf
        score = self.score(seen, table, left, right)
        return score if score > 0.0 else None

    def score(self, seen: Situation, table: RouteTable, left: Held, right: Held) -> float:
        """Benefit less losses."""
        ...


def _ages_s(seen: Situation, left: Held, right: Held) -> tuple[float, float]:
    return left.age_ns(seen.now_ns) / NS_PER_S, right.age_ns(seen.now_ns) / NS_PER_S


def _share_left(age_s: float, cutoff_s: float) -> float:
    return min(1.0, max(0.0, 1.0 - age_s / cutoff_s))


@dataclass(frozen=True, slots=True)
class ScoreD(Form):
    """Form D: worth in the context of the route, lost to age and to waiting (8.5, recommended).

    score = gain p U(x,y) life(max age) - (loss(a) + loss(b)) (1 - occupancy occ^power)
    loss(e) = U(e) life(e) clip(1 - idle(e) / (patience W(e)), 0, 1)
    life    = clip(1 - age/cutoff, 0, 1)^alpha
    """

    gain: float
    alpha: float
    patience: float
    occupancy: float
    occupancy_power: float
    cutoffs: Cutoffs

    def score(self, seen: Situation, table: RouteTable, left: Held, right: Held) -> float:
        """The formula above, in units of what the whole route is worth."""
        now_ns, here, cutoff_s = seen.now_ns, table.position, self.cutoffs.root_s(table)
        age_l, age_r = _ages_s(seen, left, right)
        life: float = _share_left(max(age_l, age_r), cutoff_s) ** self.alpha
        benefit = self.gain * table.swap_probability * table.of(table.worth_s, left.far, right.far) * life
        loss = self._loss(table, left.far, here, age_l, left.idle_ns(now_ns) / NS_PER_S, cutoff_s)
        loss += self._loss(table, here, right.far, age_r, right.idle_ns(now_ns) / NS_PER_S, cutoff_s)
        relief: float = 1.0 - self.occupancy * seen.occupancy**self.occupancy_power
        return (benefit - loss * relief) / table.value_s[0][-1]

    def _loss(self, table: RouteTable, x: int, y: int, age_s: float, idle_s: float, cutoff_s: float) -> float:
        worth = table.of(table.worth_s, x, y)
        if worth == 0.0:
            return 0.0
        life: float = _share_left(age_s, cutoff_s) ** self.alpha
        if self.patience > 0.0:
            life *= _share_left(idle_s, self.patience * table.of(table.partner_s, x, y))
        return worth * life


@dataclass(frozen=True, slots=True)
class ScoreB(Form):
    """Forms B and B': p V(product) against V of what is consumed; B' takes U for V (8.2)."""

    in_context: bool  # B'
    gain: float
    alpha: float
    occupancy: float
    cutoffs: Cutoffs

    def score(self, seen: Situation, table: RouteTable, left: Held, right: Held) -> float:
        """Value of the product less that of what it consumes, in units of the whole route's."""
        rows = table.worth_s if self.in_context else table.value_s
        here = table.position
        age_l, age_r = _ages_s(seen, left, right)
        # The product is measured against the target's cutoff, as in the prototype of 8.2.
        new: float = _share_left(max(age_l, age_r), self.cutoffs.root_s(table)) ** self.alpha
        kept: float = table.of(rows, left.far, here) * (
            _share_left(age_l, self.cutoffs.segment_s(table, left.far, here)) ** self.alpha
        )
        kept += table.of(rows, here, right.far) * (
            _share_left(age_r, self.cutoffs.segment_s(table, here, right.far)) ** self.alpha
        )
        benefit = self.gain * table.swap_probability * table.of(rows, left.far, right.far) * new
        return (benefit - kept * (1.0 - self.occupancy * seen.occupancy)) / table.value_s[0][-1]


@dataclass(frozen=True, slots=True)
class ScoreA(Form):
    """Form A: three terms, IB - beta OL + gamma MR (8.1, with its alpha = 1).

    IB = p T(x,y)/T_root fresh(max age); OL sums, over partners that are not there yet, the chance that they
    come in time times what they would bring; MR is the occupancy of the node's memory. A partner is the one
    in the default tree, or a link beside the pair: a tree of another order, which counts `off_plan` as much.
    """

    opportunity: float
    relief: float
    off_plan: float
    cutoffs: Cutoffs

    def score(self, seen: Situation, table: RouteTable, left: Held, right: Held) -> float:
        """IB - beta OL + gamma MR."""
        return (
            self.benefit(seen, left, right)
            - self.opportunity * self.opportunity_loss(seen, left, right)
            + self.relief * seen.occupancy
        )

    def benefit(self, seen: Situation, left: Held, right: Held) -> float:
        """Immediate benefit, 0..1."""
        table = table_of(seen)
        age_s = max(_ages_s(seen, left, right))
        fresh = _share_left(age_s, self.cutoffs.segment_s(table, left.far, right.far))
        return table.swap_probability * table.of(table.latency_s, left.far, right.far) / table.root_s * fresh

    def opportunity_loss(self, seen: Situation, left: Held, right: Held) -> float:
        """What the two pairs could have become with partners that the route does not have yet, 0 or more."""
        here = table_of(seen).position
        there = {(one.far, here) for one in seen.left} | {(here, one.far) for one in seen.right}
        there.update(seen.present)
        age_l, age_r = _ages_s(seen, left, right)
        return self._lost(seen, there, (left.far, here), age_l) + self._lost(
            seen, there, (here, right.far), age_r
        )

    def _lost(self, seen: Situation, there: set[Segment], pair: Segment, age_s: float) -> float:
        table = table_of(seen)
        left_s = max(0.0, self.cutoffs.segment_s(table, *pair) - age_s)
        total = 0.0
        for partner, planned in _partners(table, pair):
            if partner in there:
                continue
            arrives = 1.0 - exp(-left_s / table.of(table.latency_s, *partner))
            product = (min(pair[0], partner[0]), max(pair[1], partner[1]))
            brings = table.swap_probability * table.of(table.latency_s, *product) / table.root_s
            total += arrives * brings * (1.0 if planned else self.off_plan)
        return total


def _partners(table: RouteTable, pair: Segment) -> Iterator[tuple[Segment, bool]]:
    """What a pair may be swapped with, at either of its ends, and whether the default tree does so."""
    x, y = pair
    sibling: Segment | None = None
    for i, at, j in table.tree:
        if pair == (i, at):
            sibling = (at, j)
        elif pair == (at, j):
            sibling = (i, at)
    if sibling is not None:
        yield sibling, True
    for link in ((x - 1, x), (y, y + 1)):
        if link[0] >= 0 and link[1] <= table.hops and link != sibling:
            yield link, False
