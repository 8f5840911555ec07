"""One memory bank, or one emitter, arbitrated over all links of a node.

Owns the choice of turns: which turns of the cycle a link may be granted at this node, from the shares that
the requests of the links have and from the windows that the node's other links have in force or on offer.
Where a network schedule grants turns (`LinkSettings.turns_granted`) there is no choice, only a check.
Owns the question which memories of a bank a link may take (the rule is bank_sides.py). Refuses time-keeping
(turn_taker.py), agreement (agreement.py) and any knowledge of other nodes but the static network.

No state of its own: everything is read from the ends of the links, so there is nothing that could be left
behind. A turn is never granted to two links that share memories at one node. Every link has a home: turns
that no link with which it shares memories anywhere has for a home too. Homes follow from the network alone,
so all nodes know the same ones. A link that wants pairs is never kept from its home, up to its share; so
whatever the topology, nobody starves, and nobody waits for ever for a turn (docs/adr/0012). Two links can
want the same turn beyond their homes at the same moment, be refused for each other's offers, and be told of
the same turn to try next, for ever: who was refused twice asks for its home alone.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import NamedTuple, Protocol

from bellwire.core.ids import LinkId, NodeId, RequestId
from bellwire.core.link_messages import Window
from bellwire.core.plans import LinkPlan
from bellwire.core.settings import LinkSettings, NetworkSettings
from bellwire.core.view import SlotBook
from bellwire.link_layer.agreement import QueueKeeper, WindowBook
from bellwire.link_layer.bank_sides import Bank, Wanting, bank_of


class SharingEnd(Protocol):
    """What the arbiter reads of a link end."""

    settings: LinkSettings
    requests: dict[tuple[RequestId, int], LinkPlan]
    book: WindowBook
    keeper: QueueKeeper


class Judgement(NamedTuple):
    """What side 1 says of offered turns."""

    accepted: bool
    granted: tuple[int, ...]  # that this node could grant now


def rivals_at(network: NetworkSettings, node: NodeId) -> dict[LinkId, frozenset[LinkId]]:
    """For each link that takes turns at a node: the other links that it shares memories or emitters with."""
    return _sharing_at(
        network, node, [name for name in network.nodes[node].links if network.links[name].turn_ns]
    )


def _sharing_at(
    network: NetworkSettings, node: NodeId, names: Sequence[LinkId]
) -> dict[LinkId, frozenset[LinkId]]:
    memory = network.nodes[node].memory
    links = [network.links[name] for name in names]
    rivals: dict[LinkId, frozenset[LinkId]] = {}
    for link in links:
        slots = set(_bank(link, node))
        rivals[link.link] = frozenset(
            other.link
            for other in links
            if other is not link
            and (
                (memory is not None and memory.emitters is not None)
                or not slots.isdisjoint(_bank(other, node))
            )
        )
    return rivals


def _bank(link: LinkSettings, node: NodeId) -> tuple[int, ...]:
    side = link.nodes.index(node)
    return link.slots[side] if link.shared[side] else ()


def colours_of(network: NetworkSettings) -> dict[LinkId, int]:
    """A number for each link that takes turns, different from those of all its rivals at either end."""
    rivals: dict[LinkId, set[LinkId]] = {}
    for node in network.nodes.values():
        if node.role != "station":
            for link, others in rivals_at(network, node.name).items():
                rivals.setdefault(link, set()).update(others)
    return coloured(rivals)


def coloured(rivals: Mapping[LinkId, Set[LinkId]]) -> dict[LinkId, int]:
    """Greedy colouring: for each link the lowest number that none of its rivals before it has."""
    colours: dict[LinkId, int] = {}
    for link in sorted(rivals):
        taken = {colours[other] for other in rivals[link] if other in colours}
        colours[link] = next(number for number in range(len(taken) + 1) if number not in taken)
    return colours


def homes_of(network: NetworkSettings) -> dict[LinkId, tuple[int, ...]]:
    """The home turns of each link that takes turns: a row of the cycle for each colour, all about equal."""
    colours = colours_of(network)
    count = max(colours.values(), default=0) + 1
    return {
        link: tuple(
            range(
                colour * network.links[link].turns // count, (colour + 1) * network.links[link].turns // count
            )
        )
        for link, colour in colours.items()
    }


def apportioned(total: int, weights: Mapping[LinkId, int]) -> dict[LinkId, int]:
    """`total` turns in proportion to weights, at least one each (as long as there are enough): largest
    remainders, ties to the earlier name."""
    shares = dict.fromkeys(sorted(weights)[:total], 1)
    whole = sum(weights.values())
    while sum(shares.values()) < total:
        behind = max(shares, key=lambda name: total * weights[name] / whole - shares[name])
        shares[behind] += 1
    return {name: shares.get(name, 0) for name in weights}


class Arbiter:
    """Of one node."""

    def __init__(
        self, network: NetworkSettings, node: NodeId, ends: Mapping[LinkId, SharingEnd], slots: SlotBook
    ) -> None:
        """`ends`: of all incident links."""
        self._node = node
        self._ends = ends
        self._slots = slots
        self._rivals = rivals_at(network, node)
        self._sharers = _sharing_at(network, node, network.nodes[node].links)  # with turns or without
        self._homes = homes_of(network)
        self._counted_at = -1  # changes of slots when the banks were last counted
        self._banks: dict[LinkId, Bank] = {}

    # ---- shares

    def share(self, link: LinkId) -> int:
        """Turns of the cycle that this node may grant to a link: its part by the weights of the requests
        that want it and its rivals. A link that only background requests want has what nobody else wants."""
        scheduled = self._ends[link].settings.turns_granted
        if scheduled is not None:
            return len(scheduled)
        wanting = [link, *(name for name in self._rivals[link] if self._ends[name].requests)]
        foreground = [name for name in wanting if self._foreground(name)]
        weights = {name: self._weight(name) for name in foreground or wanting}
        return apportioned(self._ends[link].settings.turns, weights).get(link, 0)

    def _foreground(self, link: LinkId) -> bool:
        """True when anybody wants the link who need not wait for idle time; also of a link that nobody wants,
        for which only a newcomer can ask."""
        plans = self._ends[link].requests.values()
        return not plans or any(not plan.background for plan in plans)

    def _weight(self, link: LinkId) -> int:
        plans = self._ends[link].requests.values()
        some = [plan for plan in plans if not plan.background] or list(plans)
        return sum(plan.weight for plan in some) or 1

    # ---- turns

    def wished(
        self, link: LinkId, now_ns: int, hint: tuple[int, ...], *, home_only: bool = False
    ) -> tuple[int, ...]:
        """Side 0: the turns to propose for a link, () when none can be had now.

        `hint`: those that side 1 could grant when it last answered, (): nothing is known. `home_only`:
        nothing that others could want, unless nothing of the home can be had.
        """
        settings = self._ends[link].settings
        if not settings.turn_ns:
            return ()
        if settings.turns_granted is not None:
            return settings.turns_granted
        free = self._free(link, now_ns)
        if home_only:
            free = free.intersection(self._homes[link]) or free
        hinted = free & frozenset(hint)
        return self._picked(link, hinted or free, ())

    def judged(self, link: LinkId, window: Window) -> Judgement:
        """Side 1: may this window have its turns, and if not, which could it have?"""
        settings = self._ends[link].settings
        if not settings.turn_ns:
            return Judgement(accepted=True, granted=())
        if settings.turns_granted is not None:
            return Judgement(window.granted == settings.turns_granted, settings.turns_granted)
        free = self._free(link, window.epoch_ns + window.first * settings.period_ns)
        granted = self._picked(link, free, window.granted)
        fits = free.issuperset(window.granted) and len(window.granted) <= self.share(link)
        return Judgement(accepted=fits, granted=granted)

    def _free(self, link: LinkId, from_ns: int) -> frozenset[int]:
        """Turns that no rival uses at or after a time, and that are no wanting rival's home."""
        free = set(range(self._ends[link].settings.turns))
        for rival in self._rivals[link]:
            for turns in self._used(self._ends[rival], from_ns):
                free.difference_update(turns)
            free.difference_update(self._kept(rival))
        return frozenset(free)

    def _used(self, end: SharingEnd, from_ns: int) -> Iterator[tuple[int, ...]]:
        book, offered = end.book, end.keeper.offered
        if book.run is None:
            return
        for segment in book.segments():
            if book.decided_ns(segment.last) > from_ns:
                yield segment.granted
        if offered is not None:
            yield offered.granted

    def _kept(self, rival: LinkId) -> tuple[int, ...]:
        """The part of a rival's home that is not taken from it: up to its share, and only while it wants
        pairs."""
        return self._homes[rival][: self.share(rival)] if self._ends[rival].requests else ()

    def _picked(self, link: LinkId, among: frozenset[int], asked: tuple[int, ...]) -> tuple[int, ...]:
        """Up to the share of the link: first of its home, then those asked for or in force, then the next
        ones after the home."""
        end = self._ends[link]
        turns, home = end.settings.turns, self._homes[link]
        present = end.book.windows[-1].granted if end.book.windows else ()
        after_home = (*range(home[0], turns), *range(home[0])) if home else range(turns)
        liked = dict.fromkeys((*home, *asked, *present, *after_home))
        return tuple(sorted([turn for turn in liked if turn in among][: self.share(link)]))

    # ---- memories

    def may_take(self, link: LinkId) -> bool:
        """True when a link may take another free memory of its bank."""
        return self.takeable(link) > 0

    def takeable(self, link: LinkId) -> int:
        """Free memories that a link may take now; of a bank, as far as others do not count on them."""
        end = self._ends[link]
        slots = self._slots.of_link(link)
        if not self._in_bank(end):
            return sum(slot.state == "free" for slot in slots)
        return self._bank(link).takeable(link, end.requests, self._wanted_beside(link))

    def may_keep(self, link: LinkId, request: RequestId, tree: int) -> bool:
        """True when a pair may keep the memory of a bank in which it was born."""
        end = self._ends[link]
        if len(end.requests) == 1 or not self._in_bank(end):
            return True  # a memory that attempts here is of no use to any other side
        bank = self._bank(link)
        return bank.keeps(link, (request, tree), end.requests, self._wanted_beside(link))

    def _bank(self, link: LinkId) -> Bank:
        """What the memories of a link's bank do now; counted again only when a slot has changed."""
        changes = self._slots.changes
        if changes != self._counted_at:
            self._counted_at = changes
            self._banks.clear()
        bank = self._banks.get(link)
        if bank is None:
            bank = self._banks[link] = bank_of(self._slots.of_link(link))
        return bank

    def _in_bank(self, end: SharingEnd) -> bool:
        return end.settings.shared[end.settings.nodes.index(self._node)]

    def _wanted_beside(self, link: LinkId) -> list[tuple[LinkId, Wanting]]:
        """Links that share the memories of a link, and are wanted."""
        ends = self._ends
        return [(name, ends[name].requests) for name in self._sharers[link] if ends[name].requests]


def turns_needed(network: NetworkSettings) -> int:
    """The fewest turns of a cycle with which every link has a home."""
    return max(colours_of(network).values(), default=0) + 1
