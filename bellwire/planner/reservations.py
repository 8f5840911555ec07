"""What the plans in force take of one node, and whether another plan fits beside them.

Owns the node's own account: lanes and weights on its links, and stored pairs. Refuses leases and
messages (messaging.py) and any opinion about other nodes: each node judges its own capacity, so nothing is
ever sold twice, whoever plans at the same time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from bellwire.core.ids import End, LinkId, RequestId
from bellwire.core.plans import WEIGHTS_MAX, LinkPlan, LinkRoom, NodePlan
from bellwire.core.view import SlotBook


class Lack(NamedTuple):
    """Why a plan does not fit, and where a link is too full, what is left of each of its links."""

    reason: str
    room: tuple[LinkRoom, ...]  # empty: room is not what is missing


def lack_of(link: LinkId, lanes: int, room: LinkRoom, wanted: int, weight: int) -> str | None:
    """What is missing for a request that reserves `wanted` of a link's lanes (0: it shares), or None."""
    if wanted > room.lanes:
        return f"link {link} has {room.lanes} of {lanes} lanes left, the plan needs {wanted}"
    if wanted == 0 and weight > room.weight:
        why = "" if room.weight else "; all its lanes are reserved or its weights taken"
        return (
            f"link {link} has a weight of {room.weight} of {WEIGHTS_MAX} left to share, "
            f"the plan needs {weight}{why}"
        )
    return None


@dataclass(slots=True)
class Reservations:
    """The account of one node. It is summed over the plans in force, so an ended plan leaves no trace.

    plans: by request, one version each; whoever owns the leases enters and removes them.
    """

    lanes: Mapping[LinkId, int]  # of each link of the node
    slots: SlotBook | None  # None: a node without qubits of its own to reserve
    plans: Mapping[RequestId, NodePlan]

    def on(self, link: LinkId, besides: RequestId | None = None) -> Iterator[LinkPlan]:
        """Parts of plans in force on a link, those of one request left out."""
        for request, plan in self.plans.items():
            if request != besides:
                yield from (part for part in plan.links if part.link == link)

    def room(self, link: LinkId, besides: RequestId | None = None) -> LinkRoom:
        """What a link has left beside the plans of other requests.

        As long as some of them share, one lane stays unreserved for them.
        """
        parts = list(self.on(link, besides))
        free = self.lanes[link] - sum(part.lanes for part in parts)
        sharing = sum(part.weight for part in parts if part.lanes == 0)
        return LinkRoom(
            link=link,
            lanes=max(0, free - (sharing > 0)),
            weight=WEIGHTS_MAX - sharing if free > 0 else 0,
        )

    def lack(self, plan: NodePlan) -> Lack | None:
        """The first thing that is missing for a plan in place of its request's older version, or None."""
        rooms = {part.link: self.room(part.link, plan.request) for part in plan.links}
        for link, room in rooms.items():
            lanes = sum(part.lanes for part in plan.links if part.link == link)
            weight = sum(part.weight for part in plan.links if part.link == link)
            missing = lack_of(link, self.lanes[link], room, lanes, weight)
            if missing is not None:
                return Lack(missing, tuple(rooms.values()))
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
