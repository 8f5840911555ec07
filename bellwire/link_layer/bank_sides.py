"""Memories of a bank that each side of each request can count on.

Owns the rule: which free memories a link leaves to others, and which pairs may keep the memory they were
born in. Refuses turns (arbiter.py), orders (lanes.py), and the limit to the number of sides, which nodes keep
when they accept plans (planner/reservations.py).

A side is a link with a request and a tree that want its pairs. Pairs that wait for one another must not fill
a bank: two requests that cross at two nodes could each hold what the other one waits for. So every side that
holds nothing has a memory, attempting on its link or free: whoever has one already takes no more than leaves
these. Then each tree of each request can always go on at every node as if it were alone with a memory on each
side, and trees that are alone with a memory on each side never stand still. For one request this is the side
cap of M - 1 of M memories (algorithms.md 8.5).
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bellwire.core.ids import LinkId, RequestId
from bellwire.core.plans import LinkPlan
from bellwire.core.view import SlotView

Wanting = Mapping[tuple[RequestId, int], LinkPlan]
"""Parts of plans on one link, by request and tree."""


class Bank(NamedTuple):
    """What the memories of a bank do at the moment."""

    slots: int
    free: int
    attempts: dict[LinkId, int]  # memories that attempt, by link
    held: dict[tuple[LinkId, RequestId | None, int], int]  # memories that hold something, by side

    def lacking(self, link: LinkId, wanting: Wanting) -> int:
        """Memories that sides of a link do not have yet, those that attempt for them included."""
        missing = 0
        held = self.held
        for (request, tree), plan in wanting.items():
            if plan.background:
                continue  # it has what is left, and nobody keeps a memory for it
            needs = (plan.lanes or 1) - held.get((link, request, tree), 0)
            if needs > 0:
                missing += needs
        return missing

    def owed(self, link: LinkId, wanting: Wanting) -> int:
        """Free memories that sides of a link must be able to take."""
        return max(0, self.lacking(link, wanting) - self.attempts.get(link, 0))

    def takeable(self, link: LinkId, wanting: Wanting, others: Iterable[tuple[LinkId, Wanting]]) -> int:
        """Free memories that a link may take now; others: links that share the bank and are wanted.

        Where plans were accepted for more sides than there are memories, at least one is not kept from those
        that ask, and a side that holds nothing may take what there is.
        """
        if not self.free:
            return 0
        owed = sum(self.owed(other, theirs) for other, theirs in others)
        left = min(owed, self.slots - 1)
        return max(self.free - left, min(self.free, self.owed(link, wanting)))

    def keeps(
        self,
        link: LinkId,
        side: tuple[RequestId, int],
        wanting: Wanting,
        others: Iterable[tuple[LinkId, Wanting]],
    ) -> bool:
        """True when a pair of a side may keep the memory that attempts for its link."""
        plan = wanting.get(side)
        held = self.held.get((link, *side), 0)
        if plan is None or held < (plan.lanes or 1):
            return True
        after = self.attempts.get(link, 0) - 1
        missing = self.lacking(link, wanting) - after
        if missing <= 0:
            return True  # the others of this link have their attempts all the same
        return missing + sum(self.owed(other, theirs) for other, theirs in others) <= self.free


def bank_of(slots: Iterable[SlotView]) -> Bank:
    """What the memories that a link may use do at the moment. Lost ones count for nobody."""
    count = free = 0
    attempts: dict[LinkId, int] = {}
    held: dict[tuple[LinkId, RequestId | None, int], int] = {}
    for slot in slots:
        count += 1
        if slot.state == "free":
            free += 1
        elif slot.state == "attempting":
            attempts[slot.link] = attempts.get(slot.link, 0) + 1
        elif slot.state != "lost":
            side = (slot.link, slot.request, slot.tree)
            held[side] = held.get(side, 0) + 1
    return Bank(count, free, attempts, held)
