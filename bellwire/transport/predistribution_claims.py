"""Claims: which request gets which pair out of store, one at a time.

Owns the wishes of plans at the head of a super-link, from when a plan begins until it ends. Refuses stores
(predistribution_store.py), slots and facts, which its owner writes.

A wish has one pair at a time. When it was lost, the next one is claimed at once. When it was used up with
success, nobody here knows what became of the product; the next pair is claimed when the ledger has had no
pair of the request over this segment for two looks, so that a request that is served takes no second pair.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from bellwire.core.facts import Fact, Released, Swapped
from bellwire.core.ids import End, NodeId, RequestId
from bellwire.core.plans import NodePlan
from bellwire.core.view import LedgerView

WishKey = tuple[RequestId, int, NodeId]
"""Request, tree, and the other end of the super-link."""

ABSENCES: int = 2
"""Looks in a row that find no pair of the request before another one is claimed."""


@dataclass(slots=True)
class Wish:
    """What a tree of a request's plan would take from a store."""

    request: RequestId
    tree: int
    tail: NodeId
    route: tuple[NodeId, ...]
    state: Literal["open", "claimed", "used"] = "open"
    end: End | None = None  # own end of the claimed pair
    look_ns: int = 0  # of a used one: when the ledger is looked at again
    absences: int = 0

    @property
    def key(self) -> WishKey:
        return (self.request, self.tree, self.tail)


class Claims:
    """All wishes at one head."""

    def __init__(self, node: NodeId, pause_ns: int) -> None:
        self.wishes: dict[WishKey, Wish] = {}  # those that came first are served first
        self._node = node
        self._pause_ns = pause_ns

    def installed(self, plan: NodePlan) -> None:
        """The plan is in force: its wishes here are those of an older version where it had the same."""
        wanted = {
            (plan.request, segment.tree, segment.tail)
            for segment in plan.from_store
            if segment.head == self._node
        }
        self.removed(plan.request, kept=wanted)
        if plan.gathers:
            # The plan is for another pair: what became of the last one is no question any more.
            for wish in self.wishes.values():
                if wish.request == plan.request and wish.state == "used":
                    wish.state = "open"
        for key in sorted(wanted - self.wishes.keys()):
            route = _route_over(plan, self._node, key[2])
            if route is not None:
                self.wishes[key] = Wish(*key, route=route)

    def removed(self, request: RequestId, kept: Iterable[WishKey] = ()) -> None:
        """The plan has ended."""
        staying = set(kept)
        for key in [key for key in self.wishes if key[0] == request and key not in staying]:
            del self.wishes[key]

    def open(self, tail: NodeId) -> Wish | None:
        """The first wish for a pair of a store."""
        for wish in self.wishes.values():
            if wish.tail == tail and wish.state == "open":
                return wish
        return None

    def happened(self, fact: Fact, now_ns: int) -> bool:
        """What became of an own end; True when a wish is open again."""
        if not isinstance(fact, Swapped | Released):
            return False
        ends = (fact.left, fact.right) if isinstance(fact, Swapped) else (fact.end,)
        good = fact.result == "ok" if isinstance(fact, Swapped) else fact.reason == "delivered"
        reopened = False
        for wish in self.wishes.values():
            if wish.end in ends and wish.state == "claimed":
                wish.end = None
                wish.state = "used" if good else "open"
                wish.look_ns, wish.absences = now_ns + self._pause_ns, 0
                reopened |= not good
        return reopened

    def deadline_ns(self) -> int | None:
        """When the ledger is looked at for a wish that was served."""
        return min((wish.look_ns for wish in self.wishes.values() if wish.state == "used"), default=None)

    def is_due(self, now_ns: int) -> bool:
        """Some wish is to be looked at."""
        deadline_ns = self.deadline_ns()
        return deadline_ns is not None and deadline_ns <= now_ns

    def look(self, view: LedgerView, now_ns: int) -> bool:
        """Whether requests still have a product of what they took; True when a wish is open again."""
        due = [one for one in self.wishes.values() if one.state == "used" and one.look_ns <= now_ns]
        reopened = False
        if not due:
            return False
        covered = _covered(view, due, self._node, now_ns)
        for wish in due:
            wish.look_ns = now_ns + self._pause_ns
            wish.absences = 0 if covered[wish.key] else wish.absences + 1
            if wish.absences >= ABSENCES:
                wish.state = "open"
                reopened = True
        return reopened


def _route_over(plan: NodePlan, head: NodeId, tail: NodeId) -> tuple[NodeId, ...] | None:
    return next((route for route in plan.routes if head in route and tail in route), None)


def _covered(view: LedgerView, due: list[Wish], head: NodeId, now_ns: int) -> Mapping[WishKey, bool]:
    """For each wish: the ledger has a pair of its request that reaches over the super-link."""
    found = dict.fromkeys((wish.key for wish in due), False)
    for row in view.available(now_ns):
        for wish in due:
            if row.request != wish.request or not set(row.end_nodes) <= set(wish.route):
                continue
            left, right = sorted(wish.route.index(name) for name in row.end_nodes)
            first, last = sorted((wish.route.index(head), wish.route.index(wish.tail)))
            if left <= first and last <= right:
                found[wish.key] = True
    return found
