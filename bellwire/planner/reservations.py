"""What the plans in force take of one node, and whether another plan fits beside them.

Owns the node's own account: lanes and weights on its links, slots of a bank that several of them share, and
stored pairs. Refuses leases and messages (messaging.py) and any opinion about other nodes: each node judges
its own capacity, so nothing is ever sold twice, whoever plans at the same time.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from bellwire.core.ids import End, LinkId, NodeId, RequestId
from bellwire.core.plans import WEIGHTS_MAX, LinkPlan, LinkRoom, NodePlan
from bellwire.core.settings import NetworkSettings
from bellwire.core.view import SlotBook


class Lack(NamedTuple):
    """Why a plan does not fit, and where a link is too full, what is left of each of its links."""

    reason: str
    room: tuple[LinkRoom, ...]  # empty: room is not what is missing


class Bank(NamedTuple):
    """Memory slots that several links of a node share: a lane that is reserved is a slot of the bank."""

    links: tuple[LinkId, ...]
    slots: int
    in_turns: bool  # attempts give their slots back between turns: those who share need none of their own

    def taken(self, parts: Iterable[LinkPlan]) -> int:
        """Slots that parts of plans on its links count on: reserved lanes, and without turns one for each
        side of a request that shares (link_layer/bank_sides.py)."""
        return sum(part.lanes or (not self.in_turns) for part in parts)


def banks_at(network: NetworkSettings, node: NodeId) -> dict[LinkId, Bank]:
    """The bank of each link of a node whose slots are a bank there."""
    banked: dict[tuple[tuple[int, ...], bool], list[LinkId]] = {}
    for name in network.nodes[node].links:
        link = network.links[name]
        if node in link.nodes and link.shared[link.nodes.index(node)]:
            key = (link.slots[link.nodes.index(node)], link.turn_ns > 0)
            banked.setdefault(key, []).append(name)
    return {
        name: Bank(tuple(links), len(slots), in_turns)
        for (slots, in_turns), links in banked.items()
        for name in links
    }


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
    banks: Mapping[LinkId, Bank] = field(default_factory=dict[LinkId, Bank])  # of links that share slots

    def on(self, link: LinkId, besides: RequestId | None = None) -> Iterator[LinkPlan]:
        """Parts of plans in force on a link, those of one request left out. What uses idle resources only
        takes nothing from anybody, and is not counted."""
        for request, plan in self.plans.items():
            if request != besides:
                yield from (part for part in plan.links if part.link == link and not part.background)

    def room(self, link: LinkId, besides: RequestId | None = None) -> LinkRoom:
        """What a link has left beside the plans of other requests.

        As long as some of them share, one lane stays unreserved for them; of a bank one slot, whichever of
        its links they share. Where links do not take turns, each side of each plan has a slot of the bank, or
        requests that cross could wait for one another for ever.
        """
        parts = list(self.on(link, besides))
        free = self.lanes[link] - sum(part.lanes for part in parts)
        sharing = sum(part.weight for part in parts if part.lanes == 0)
        lanes = free - (sharing > 0)
        bank = self.banks.get(link)
        if bank is not None:
            free = min(free, self._unreserved(bank, besides))
            lanes = min(lanes, self._left_of(bank, besides))
        return LinkRoom(
            link=link,
            lanes=max(0, lanes),
            weight=WEIGHTS_MAX - sharing if free > 0 else 0,
        )

    def _unreserved(self, bank: Bank, besides: RequestId | None) -> int:
        return bank.slots - bank.taken(part for link in bank.links for part in self.on(link, besides))

    def _left_of(self, bank: Bank, besides: RequestId | None) -> int:
        """Slots of a bank that can still be reserved."""
        sharing = bank.in_turns and any(
            part.lanes == 0 for link in bank.links for part in self.on(link, besides)
        )
        return max(0, self._unreserved(bank, besides) - sharing)

    def lack(self, plan: NodePlan) -> Lack | None:
        """The first thing that is missing for a plan in place of its request's older version, or None."""
        wanted_links = [part for part in plan.links if not part.background]
        rooms = {part.link: self.room(part.link, plan.request) for part in wanted_links}
        for link, room in rooms.items():
            lanes = sum(part.lanes for part in plan.links if part.link == link)
            weight = sum(part.weight for part in plan.links if part.link == link)
            missing = lack_of(link, self.lanes[link], room, lanes, weight)
            if missing is not None:
                return Lack(missing, tuple(rooms.values()))
        return self._lack_in_banks(plan, rooms) or self._lack_of_stored(plan)

    def _lack_in_banks(self, plan: NodePlan, rooms: Mapping[LinkId, LinkRoom]) -> Lack | None:
        """A plan that takes slots of one bank for several links: does it get them all?"""
        for bank in dict.fromkeys(self.banks[link] for link in rooms if link in self.banks):
            parts = [part for part in plan.links if part.link in bank.links]
            wanted, left = bank.taken(parts), self._left_of(bank, plan.request)
            if wanted > left:
                links = sorted({part.link for part in parts})
                sharing = frozenset() if bank.in_turns else frozenset(links)
                # What is left is told in equal parts, or the next plan would ask for the same again.
                told = {link: min(rooms[link].lanes, left // len(links)) for link in links}
                return Lack(
                    f"the bank of links {', '.join(links)} has {left} of {bank.slots} slots left, "
                    f"the plan needs {wanted}",
                    tuple(
                        LinkRoom(
                            link=link,
                            lanes=told.get(link, room.lanes),
                            weight=0 if link in sharing else room.weight,
                        )
                        for link, room in rooms.items()
                    ),
                )
        return None

    def _lack_of_stored(self, plan: NodePlan) -> Lack | None:
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
