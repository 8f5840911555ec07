"""Swapping policies: which two own ends to swap next.

Owns the policy type, the registered table and the order of candidates. A policy is a small pure function of
what it is given; it draws no chance and changes nothing (stack paper IV-E).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from bellwire.core.plans import SwapPlan
from bellwire.core.view import LedgerView, SlotView


class Candidates(NamedTuple):
    """Own held ends of one request and tree, each side oldest first."""

    left: Sequence[SlotView]  # pairs towards the source
    right: Sequence[SlotView]  # pairs towards the destination


Choice = tuple[SlotView, SlotView] | None
"""The slots to swap (left, right), or None: wait."""


class Policy(NamedTuple):
    """A named policy. `needs_view` says whether the decision reads the ledger."""

    choose: Callable[[Candidates, SwapPlan, LedgerView | None, float, int], Choice]
    needs_view: bool


def swap_asap(
    candidates: Candidates, plan: SwapPlan, view: LedgerView | None, occupancy: float, now_ns: int
) -> Choice:
    """Swap as soon as there is a pair on each side, oldest first (algorithms.md 6.3)."""
    if candidates.left and candidates.right:
        return candidates.left[0], candidates.right[0]
    return None


def fixed_tree(
    candidates: Candidates, plan: SwapPlan, view: LedgerView | None, occupancy: float, now_ns: int
) -> Choice:
    """Swap only pairs that are children of this node's place in the default tree, oldest first."""
    if view is None:
        return None
    left = _reaching(candidates.left, plan.left_partner, view)
    right = _reaching(candidates.right, plan.right_partner, view)
    return None if left is None or right is None else (left, right)


def _reaching(slots: Sequence[SlotView], partner: str, view: LedgerView) -> SlotView | None:
    """The oldest living pair whose far end belongs to `partner`."""
    for slot in slots:
        if slot.end is not None and view.far_owner(slot.end) == partner:
            chain = view.chain(slot.end)
            if chain is not None and not chain.dead:
                return slot
    return None


POLICIES: Mapping[str, Policy] = {
    "swap_asap": Policy(swap_asap, needs_view=False),
    "fixed_tree": Policy(fixed_tree, needs_view=True),
}
