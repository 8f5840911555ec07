"""Ratings of two ends that could be swapped: the simple policies (stack paper IV-E).

Owns the rating type and one small object for each policy. Refuses tables of names (policies.py) and score
forms (scores.py).

A rating is a number, the higher the sooner, or None: these two are not to be swapped now. Ratings lie in
-1..1, so that weighted sums of them mean something; what ends the route is rated highest of all.
"""

from math import inf
from typing import NamedTuple, Protocol

from bellwire.core.plans import RouteTable
from bellwire.core.units import NS_PER_S
from bellwire.swapping.candidates import Held, Situation


class Rating(Protocol):
    """One way to rate candidates. Pure."""

    def rate(self, seen: Situation, left: Held, right: Held) -> float | None:
        """How good it is to swap these two now."""
        ...


def table_of(seen: Situation) -> RouteTable:
    """The offline values of the plan; the planner gives them wherever a mode needs them."""
    table = seen.plan.table
    assert table is not None
    return table


def ends_route(table: RouteTable, left: Held, right: Held) -> bool:
    """The product would join source and destination."""
    return left.far == 0 and right.far == table.hops


class Oldest(NamedTuple):
    """The pair of ends with the oldest constituent: nothing is left to expire."""

    sign: float = 1.0  # -1: youngest first

    def rate(self, seen: Situation, left: Held, right: Held) -> float | None:
        table = table_of(seen)
        if ends_route(table, left, right):
            return inf
        age_s = max(left.age_ns(seen.now_ns), right.age_ns(seen.now_ns)) / NS_PER_S
        return self.sign * age_s / (age_s + table.root_s)


class LongestHop(NamedTuple):
    """The product that spans most links."""

    sign: float = 1.0  # -1: shortest first

    def rate(self, seen: Situation, left: Held, right: Held) -> float | None:
        table = table_of(seen)
        if ends_route(table, left, right):
            return inf
        return self.sign * (right.far - left.far) / table.hops


class Planned(NamedTuple):
    """Only children of this node's place in the default tree; all alike."""

    def rate(self, seen: Situation, left: Held, right: Held) -> float | None:
        plan = seen.plan
        if plan.route[left.far] == plan.left_partner and plan.route[right.far] == plan.right_partner:
            return 1.0
        return None


class Anything(NamedTuple):
    """Whatever is there; all alike."""

    def rate(self, seen: Situation, left: Held, right: Held) -> float | None:
        return 1.0
