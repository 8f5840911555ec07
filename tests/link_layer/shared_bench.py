"""A bench for several links whose nodes share memories: machines, a bad classical channel, and hardware.

Owns the topology, the queue of undelivered messages, what the hardware is armed for, and the invariants that
are looked at whenever the hardware attempts. Hardware tells both ends directly. One seed replays one history.
"""

import heapq
import random
from collections import Counter
from collections.abc import Mapping

import msgspec

from bellwire.core.effects import Effect, Send, StartAttempts, StopAttempts
from bellwire.core.events import Event, Heralded, PeerChanged, Received, Started, TimerFired
from bellwire.core.notices import LinkRequested, LinkWithdrawn
from bellwire.core.plans import LinkPlan
from bellwire.core.settings import LinkSettings, NetworkSettings, NodeSettings
from bellwire.link_layer.arbiter import rivals_at
from bellwire.link_layer.link_end import LinkEnd
from bellwire.link_layer.service import LinkService
from bellwire.node.routing import NodeMachine
from bellwire.node.slots import SlotTable
from tests.link_layer.bench import MS, PERIOD_NS, Channel, Sink, link_network

TURN_NS = 2 * MS
TURNS = 12
GUARD_NS = MS // 4
LEASE_NS = 200 * MS


def sharing_network(
    links: Mapping[str, tuple[str, str]],
    *,
    banks: Mapping[str, int],
    emitters: Mapping[str, int] | None = None,
    lanes: int = 1,
    turns: int = TURNS,
    turn_ns: int = TURN_NS,
    delay_ns: int = 50_000,
) -> NetworkSettings:
    """Links by name with their nodes. `banks`: slots of nodes that share them; others have a slot a lane."""
    pattern = link_network(station=False, delay_ns=delay_ns)
    names = sorted({node for nodes in links.values() for node in nodes})
    used = {name: banks.get(name, 0) for name in names}
    memory = pattern.nodes["a"].memory
    assert memory is not None
    made: dict[str, LinkSettings] = {}
    for link, nodes in links.items():
        slots: list[tuple[int, ...]] = []
        for node in nodes:
            if node in banks:
                slots.append(tuple(range(banks[node])))
            else:
                slots.append(tuple(range(used[node], used[node] + lanes)))
                used[node] += lanes
        one, other = (node in banks for node in nodes)
        made[link] = msgspec.structs.replace(
            pattern.links["a-b"],
            link=link,
            nodes=nodes,
            lanes=lanes,
            slots=(slots[0], slots[1]),
            shared=(one, other),
            turn_ns=turn_ns,
            turns=turns,
            turn_guard_ns=GUARD_NS if turn_ns else 0,
            lease_ns=LEASE_NS,
        )
    some = emitters or {}
    nodes_made = {
        name: NodeSettings(
            name=name,
            role="end",
            memory=msgspec.structs.replace(memory, slots=used[name], emitters=some.get(name)),
            links=tuple(link for link, nodes in links.items() if name in nodes),
        )
        for name in names
    }
    delays = {one: {two: 0 if one == two else delay_ns for two in names} for one in names}
    return NetworkSettings(nodes=nodes_made, links=made, delays_ns=delays)


def star(leaves: int, **how: object) -> NetworkSettings:
    """A hub with leaves; the hub is side 0 of every second link."""
    links = {
        f"l{number}": ("hub", f"n{number}") if number % 2 else (f"n{number}", "hub")
        for number in range(leaves)
    }
    return sharing_network(links, **how)  # type: ignore[arg-type]  # passed on as they are


def ring(nodes: int, **how: object) -> NetworkSettings:
    """Nodes in a ring, all of which share their memories."""
    links = {f"l{number}": (f"n{number}", f"n{(number + 1) % nodes}") for number in range(nodes)}
    return sharing_network(links, banks={f"n{number}": 2 for number in range(nodes)}, **how)  # type: ignore[arg-type]


class SharedBench:
    """Runs the machines of a network."""

    def __init__(
        self,
        network: NetworkSettings,
        seed: int,
        *,
        channel: Channel | None = None,
        held_for_ns: int = MS // 2,
        success_probability: float = 0.05,
    ) -> None:
        self.network = network
        self.random = random.Random(seed)
        self.channel = channel or Channel()
        self.now_ns = 0
        self.machines: dict[str, NodeMachine] = {}
        self.services: dict[str, LinkService] = {}
        self.slots: dict[str, SlotTable] = {}
        self.sinks: dict[str, list[Sink]] = {name: [] for name in network.nodes}
        self.heralds: Counter[str] = Counter()
        self.attempted: Counter[str] = Counter()  # joint attempts of a link
        self.in_vain: Counter[str] = Counter()  # attempts of one end alone, at a node that shares memories
        self._success = success_probability
        self._held_for_ns = held_for_ns
        self._rivals = {name: rivals_at(network, name) for name in network.nodes}
        self._incarnations = dict.fromkeys(network.nodes, 0)
        self._armed: dict[tuple[str, str, int], StartAttempts] = {}
        self._generations: dict[tuple[str, int], int] = {}  # of the latest order for each slot
        self._timers: dict[str, int | None] = {}
        self._order = 0
        self._due: list[tuple[int, int, int, str, Event | None]] = []
        for name in network.nodes:
            self.boot(name)
        for name in network.links:
            self._push(PERIOD_NS, 3, name, None)

    # ---- machines

    def boot(self, node: str) -> None:
        """Start or restart a node; its peers are told of the new incarnation."""
        self._incarnations[node] += 1
        self.slots[node] = SlotTable(self.network, node)
        self.sinks[node].append(Sink(self.slots[node], self._held_for_ns))
        self.services[node] = LinkService(self.network, node, self.slots[node])
        self.machines[node] = NodeMachine(node, [self.services[node], self.sinks[node][-1]])
        self._armed = {key: order for key, order in self._armed.items() if key[0] != node}
        self._generations = {key: used for key, used in self._generations.items() if key[0] != node}
        self._timers[node] = None
        self.tell(node, Started(incarnation=self._incarnations[node]))
        if self._incarnations[node] > 1:
            for peer in self.network.nodes:
                if peer != node:
                    changed = PeerChanged(peer=node, state="up", incarnation=self._incarnations[node])
                    self.tell(peer, changed)

    def end(self, node: str, link: str) -> LinkEnd:
        return self.services[node].ends[link]

    def ends(self, link: str) -> tuple[LinkEnd, LinkEnd]:
        one, other = self.network.links[link].nodes
        return self.end(one, link), self.end(other, link)

    def want(self, link: str, *, weight: int = 1, background: bool = False, request: str = "") -> None:
        """Both ends learn at about the same time that a request wants pairs of a link."""
        for side, node in enumerate(self.network.links[link].nodes):
            plan = LinkPlan(
                request=request or f"r-{link}",
                tree=0,
                link=link,
                partner=self.network.links[link].nodes[1 - side],
                rate_hz=1.0,
                lanes=0,
                weight=weight,
                fidelity_min=None,
                background=background,
            )
            self._notice(node, LinkRequested(plan=plan))

    def drop(self, link: str, request: str = "") -> None:
        for node in self.network.links[link].nodes:
            self._notice(node, LinkWithdrawn(request=request or f"r-{link}", link=link))

    def _notice(self, node: str, notice: LinkRequested | LinkWithdrawn) -> None:
        self.machines[node]._step.tell(notice)
        self.tell(node, TimerFired())

    def tell(self, node: str, event: Event) -> None:
        machine = self.machines[node]
        for effect in machine.handle(self.now_ns, event):
            self._execute(node, effect)
        deadline_ns = machine.next_deadline_ns
        planned_ns = self._timers[node]
        if deadline_ns is not None and (planned_ns is None or deadline_ns < planned_ns):
            self._timers[node] = deadline_ns
            self._push(deadline_ns, 2, node, TimerFired())

    def _push(self, at_ns: int, priority: int, name: str, event: Event | None) -> None:
        self._order += 1
        heapq.heappush(self._due, (max(at_ns, self.now_ns), priority, self._order, name, event))

    def _execute(self, node: str, effect: Effect) -> None:
        if isinstance(effect, Send):
            if self.random.random() < self.channel.loss:
                return
            for _ in range(2 if self.random.random() < self.channel.copies else 1):
                late_ns = self.random.randint(0, self.channel.jitter_ns)
                received = Received(source=node, incarnation=self._incarnations[node], message=effect.message)
                at_ns = self.now_ns + self.network.delay_ns(node, effect.to) + late_ns
                self._push(at_ns, 1, effect.to, received)
        elif isinstance(effect, StartAttempts):
            place = (node, effect.link, effect.lane)
            generation = self._generations.get((node, effect.slot))
            if generation != effect.generation or place in self._armed:
                self._armed[place] = effect
            self._generations[node, effect.slot] = effect.generation
        elif isinstance(effect, StopAttempts):
            for key in [
                key for key in self._armed if key[0] == node and self._armed[key].slot == effect.slot
            ]:
                del self._armed[key]

    # ---- hardware

    def _attempts_now(self, node: str, link: str, lane: int) -> StartAttempts | None:
        """The order under which an end makes the attempt that ends now."""
        order = self._armed.get((node, link, lane))
        if order is None:
            return None
        attempt = (self.now_ns - order.epoch_ns) // PERIOD_NS - 1
        return order if order.first <= attempt <= order.last else None

    def _hardware(self, link: LinkSettings) -> None:
        """At the end of each attempt: lanes that attempted at both ends may have succeeded."""
        at_work = False
        for lane in range(link.lanes):
            orders = [self._attempts_now(node, link.link, lane) for node in link.nodes]
            at_work |= any(order is not None for order in orders)
            left, right = orders
            if left is None or right is None or left.run != right.run:
                for node, order in zip(link.nodes, orders, strict=True):
                    if order is not None and link.shared[link.nodes.index(node)]:
                        self.in_vain[link.link] += 1
                continue
            self.attempted[link.link] += 1
            if self.random.random() < self._success:
                attempt = (self.now_ns - left.epoch_ns) // PERIOD_NS - 1
                self._herald(link, lane, left.run, attempt, left.epoch_ns)
        if at_work:
            self._look(link)
        self._push(self.now_ns + PERIOD_NS, 3, link.link, None)

    def _herald(self, link: LinkSettings, lane: int, run: int, attempt: int, epoch_ns: int) -> None:
        self.heralds[link.link] += 1
        event = Heralded(
            link=link.link,
            run=run,
            attempt=attempt,
            lane=lane,
            code=self.random.choice((1, 2)),
            at_ns=epoch_ns + attempt * PERIOD_NS + link.click_delay_ns,
            sigma_ns=0,
        )
        for node, delay_ns in zip(link.nodes, link.herald_delay_ns, strict=True):
            del self._armed[node, link.link, lane]
            self._push(event.at_ns + delay_ns, 0, node, event)

    def _look(self, link: LinkSettings) -> None:
        """Invariants of every node that shares memories, while a link attempts."""
        for node in link.nodes:
            ours = any(self._attempts_now(node, link.link, lane) is not None for lane in range(link.lanes))
            for rival in self._rivals[node].get(link.link, ()):
                other = self.network.links[rival]
                for lane in range(other.lanes):
                    assert not ours or self._attempts_now(node, rival, lane) is None, (
                        f"{node}: {link.link} and {rival} attempt at {self.now_ns} ns"
                    )
            memory = self.network.nodes[node].memory
            assert memory is not None
            at_work = sum(slot.state == "attempting" for slot in self.slots[node].slots())
            assert memory.emitters is None or at_work <= memory.emitters
            orders = [order for key, order in self._armed.items() if key[0] == node]
            assert len({order.slot for order in orders}) == len(orders), f"{node}: one slot on two lanes"

    def granted(self, node: str) -> dict[str, set[int]]:
        """Turns of each link that a node's windows give it from now on."""
        found: dict[str, set[int]] = {}
        for link, end in self.services[node].ends.items():
            found[link] = set()
            for segment in end.book.segments() if end.book.run is not None else ():
                if end.book.decided_ns(segment.last) > self.now_ns:
                    found[link].update(segment.granted)
        return found

    def in_force(self, link: str) -> tuple[int, ...]:
        """Turns that the newest window of side 0 gives a link, () without one."""
        book = self.ends(link)[0].book
        return book.windows[-1].granted if book.windows else ()

    # ---- time

    def run(self, until_ns: int) -> None:
        """Work off everything that is due."""
        while self._due and self._due[0][0] <= until_ns:
            self.now_ns, _, _, name, event = heapq.heappop(self._due)
            if event is None:
                self._hardware(self.network.links[name])
            elif isinstance(event, TimerFired):
                if self._timers[name] == self.now_ns:
                    self._timers[name] = None
                    self.tell(name, event)
            else:
                self.tell(name, event)
        self.now_ns = until_ns

    def counted(self, counter: str) -> int:
        """A counter, summed over all ends."""
        return sum(
            end.counters[counter] for service in self.services.values() for end in service.ends.values()
        )
