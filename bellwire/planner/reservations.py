"""What the plans in force take of one node, and whether another plan fits beside them.

Owns the node's own account: places in the schedules of its links, and stored pairs. Refuses leases and
messages (messaging.py) and any opinion about other nodes: each node judges its own capacity, so nothing is
ever sold twice, whoever plans at the same time.
"""

from dataclasses import dataclass
from typing import NamedTuple

from bellwire.core.ids import End, LinkId, NodeId, RequestId
from bellwire.core.plans import PLACES, LinkRoom, NodePlan
from bellwire.core.view import SlotBook


class Lack(NamedTuple):
    """Why a plan does not fit, and where places lack, what is left of each of its links."""

    reason: str
    room: tuple[LinkRoom, ...]  # empty: places are not what is missing


@dataclass(slots=True)
class Reservations:
    """The account of one node. It is summed over the plans in force, so an ended plan leaves no trace.

    plans: by request, one version each; whoever owns the leases enters and removes them.
    """

    node: NodeId
    slots: SlotBook | None  # None: a node without qubits of its own to reserve
    plans: dict[RequestId, NodePlan]

    def taken(self, link: LinkId, besides: RequestId | None = None) -> int:
        """Places of a link that plans hold, those of one request left out."""
        return sum(
            link_plan.weight
            for request, plan in self.plans.items()
            if request != besides
            for link_plan in plan.links
            if link_plan.link == link
        )

    def room(self, plan: NodePlan) -> tuple[LinkRoom, ...]:
        """What each link of a plan has left beside the plans of other requests."""
        links = dict.fromkeys(link_plan.link for link_plan in plan.links)
        return tuple(LinkRoom(link=link, places=PLACES - self.taken(link, plan.request)) for link in links)

    def lack(self, plan: NodePlan) -> Lack | None:
        """The first thing that is missing for a plan in place of its request's older version, or None."""
        wanted: dict[LinkId, int] = {}
        for link_plan in plan.links:
            wanted[link_plan.link] = wanted.get(link_plan.link, 0) + link_plan.weight
        for link, places in wanted.items():
            free = PLACES - self.taken(link, plan.request)
            if places > free:
                return Lack(
                    f"link {link} has {free} of {PLACES} places left, the plan needs {places}",
                    self.room(plan),
                )
        reserved = {
            end: request
            for request, other in self.plans.items()
            if request != plan.request
            for end in other.stored
        }
        for end in plan.stored:
            if end in reserved:
                return Lack(f"stored pair {end} is reserved for {reserved[end]}", ())
            if not self._holds(end):
                return Lack(f"stored pair {end} is not here any more", ())
        return None

    def _holds(self, end: End) -> bool:
        slot = None if self.slots is None else self.slots.holding(end)
        return slot is not None and slot.state == "held"
