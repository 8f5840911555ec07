"""What a node holds for a fusion plan: own qubits of states, by which links these came, and their vertex.

Owns the account. Refuses orders, facts and choices (fusion.py, fusion_choices.py).
"""

from typing import NamedTuple

from bellwire.core.ids import End, LinkId
from bellwire.core.knots import is_due, knot_of_link
from bellwire.core.plans import FusionPlan
from bellwire.core.view import SlotBook
from bellwire.swapping.fusion_choices import HeldState


class HeldPart(NamedTuple):
    """What is known of an own qubit beside its slot."""

    links: frozenset[LinkId]  # local links by which the state came
    knot: int  # vertex of the plan to which it belongs here
    turns: int = 0  # Hadamard gates whose noise no fact has told yet


class FusionExecution:
    """One fusion plan being executed, oldest end first."""

    __slots__ = ("cutoff_ns", "look_ns", "parts", "plan")

    def __init__(self, plan: FusionPlan, cutoff_ns: int | None) -> None:
        self.plan = plan
        self.cutoff_ns = cutoff_ns
        self.parts: dict[End, HeldPart] = {}
        self.look_ns: int | None = None  # patience with states that are not worth joining ends then

    def follows(self, plan: FusionPlan) -> bool:
        """True when what is held for this plan serves another version of it."""
        return self.plan.links == plan.links and self.plan.knots == plan.knots

    def begin(self, end: End, link: LinkId, slots: SlotBook) -> None:
        """A pair of a link has come. What has ended meanwhile is forgotten: a leaf of the tree joins nothing,
        and would never look."""
        self.parts = {known: part for known, part in self.parts.items() if slots.holding(known) is not None}
        self.parts[end] = HeldPart(frozenset((link,)), knot_of_link(self.plan.knots, link))

    def join(self, kept: HeldState, measured: HeldState) -> None:
        """The first of two qubits stands for both states now."""
        self.parts[kept.end] = HeldPart(kept.links | measured.links, kept.knot)

    def turn(self, end: End) -> None:
        """The state has become part of the next vertex."""
        part = self.parts[end]
        parent = self.plan.knots[part.knot].parent
        assert parent is not None, "a vertex that stays is never turned"
        self.parts[end] = HeldPart(part.links, parent, part.turns + 1)

    def due(self, end: End) -> bool:
        """True when the state is all of a vertex that must turn into another one."""
        part = self.parts.get(end)
        return part is not None and is_due(self.plan.knots, part.knot, part.links)

    def whole(self, end: End) -> bool:
        """True when all links of this node have come together at this end."""
        part = self.parts.get(end)
        return part is not None and len(part.links) == len(self.plan.branches)

    def held(self, slots: SlotBook) -> list[HeldState]:
        """What may be joined now; ends that somebody else has ended or taken are forgotten here."""
        held: list[HeldState] = []
        for end, part in list(self.parts.items()):
            slot = slots.holding(end)
            if slot is None:
                del self.parts[end]
            elif slot.state == "held":
                held.append(HeldState(slot, end, part.links, part.knot, part.turns))
        return held
