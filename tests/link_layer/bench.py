"""A bench for one link: two LinkServices, a station, hardware that heralds, and a bad classical channel.

Owns the queue of undelivered messages and the hardware's idea of which lanes are armed. Everything is drawn
from one seeded generator, so that a failure is replayed by its seed.
"""

import heapq
import random
from dataclasses import dataclass, field

from bellwire.core.bell import PERFECT
from bellwire.core.effects import Effect, Send, StartAttempts, StartRun, StopAttempts
from bellwire.core.events import (
    Event,
    Heralded,
    PeerChanged,
    Received,
    Started,
    StationDecided,
    StationHeralded,
    TimerFired,
)
from bellwire.core.facts import Born, Released
from bellwire.core.ids import End
from bellwire.core.machine import Handler, Part, Step
from bellwire.core.notices import (
    EndDied,
    LinkPairReady,
    LinkRequested,
    LinkWithdrawn,
    PeerRestarted,
    SlotFreed,
    UpdatePair,
)
from bellwire.core.plans import LinkPlan
from bellwire.core.settings import HeraldEstimate, LinkSettings, MemorySettings, NetworkSettings, NodeSettings
from bellwire.link_layer.service import LinkService
from bellwire.link_layer.station import HeraldingStation
from bellwire.node.routing import NodeMachine
from bellwire.node.slots import SlotTable

MS = 1_000_000
PERIOD_NS = 100_000


def link_network(*, station: bool, lanes: int = 3, delay_ns: int = 50_000) -> NetworkSettings:
    """Two nodes and one link, with or without a station."""
    memory = MemorySettings(
        slots=lanes,
        rates=(0, 0, 0),
        bsm_signs=0,
        bsm_cost=(0, 0, 0),
        bsm_success_probability=1.0,
        operation_limit_ns=MS,
    )
    nodes = {name: NodeSettings(name=name, role="end", memory=memory, links=("a-b",)) for name in ("a", "b")}
    if station:
        nodes["m"] = NodeSettings(name="m", role="station", memory=None, links=("a-b",))
    slots = tuple(range(lanes))
    link = LinkSettings(
        link="a-b",
        nodes=("a", "b"),
        station="m" if station else None,
        period_ns=PERIOD_NS,
        lanes=lanes,
        slots=(slots, slots),
        success_probability=0.05,
        heralds=tuple(
            HeraldEstimate(code=code, frame=code + 1, signs=PERFECT.signs, cost=PERFECT.cost)
            for code in (1, 2)
        ),
        click_delay_ns=PERIOD_NS // 2,
        herald_delay_ns=(PERIOD_NS // 4, PERIOD_NS // 4),
        length_km=10.0,
        lease_ns=200 * MS,
        frame_ns=5 * MS,
    )
    delays = {one: {two: 0 if one == two else delay_ns for two in nodes} for one in nodes}
    return NetworkSettings(nodes=nodes, links={"a-b": link}, delays_ns=delays)


class Sink:
    """Stands for the layers above: records births, holds a pair for a while, then frees its slot."""

    def __init__(self, slots: SlotTable, held_for_ns: int) -> None:
        self.slots = slots
        self.held_for_ns = held_for_ns
        self.born: dict[End, Born] = {}
        self.released: dict[End, str] = {}
        self.ready: dict[End, tuple[str | None, int]] = {}
        self.died: list[EndDied] = []  # ends that were ours when we heard that they are dead
        self._due: list[tuple[int, int, int]] = []

    def on_events(self) -> dict[type, Handler]:
        return {PeerChanged: self._peer_changed}

    def on_messages(self) -> dict[type, Handler]:
        return {}

    def on_notices(self) -> dict[type, Handler]:
        return {UpdatePair: self._updated, LinkPairReady: self._ready, EndDied: self._died}

    def gives(self) -> frozenset[type]:
        return frozenset({SlotFreed, LinkRequested, LinkWithdrawn, PeerRestarted})

    def deadline_ns(self) -> int | None:
        return self._due[0][0] if self._due else None

    def on_deadline(self, step: Step) -> None:
        while self._due and self._due[0][0] <= step.now_ns:
            _, slot, generation = heapq.heappop(self._due)
            if self.slots.slot(slot).generation == generation and self.slots.slot(slot).state == "held":
                self.slots.free(slot)
                step.tell(SlotFreed(slot=slot))

    def _peer_changed(self, step: Step, event: PeerChanged) -> None:
        step.tell(PeerRestarted(peer=event.peer, incarnation=event.incarnation or 0))

    def _updated(self, step: Step, notice: UpdatePair) -> None:
        fact = notice.fact
        if isinstance(fact, Born):
            assert fact.end not in self.born, f"{fact.end} born twice"
            self.born[fact.end] = fact
        else:
            assert isinstance(fact, Released)
            assert fact.end in self.born
            assert fact.end not in self.released
            self.released[fact.end] = fact.reason

    def _died(self, step: Step, notice: EndDied) -> None:
        slot = self.slots.holding(notice.end)
        if slot is not None and slot.state == "held":
            self.died.append(notice)
            self.slots.free(slot.index)
            step.tell(SlotFreed(slot=slot.index))

    def _ready(self, step: Step, notice: LinkPairReady) -> None:
        self.ready[notice.end] = (notice.request, notice.tree)
        slot = self.slots.slot(notice.slot)
        heapq.heappush(self._due, (step.now_ns + self.held_for_ns, slot.index, slot.generation))


@dataclass
class Channel:
    """How bad the classical channel is."""

    loss: float = 0.0
    copies: float = 0.0
    jitter_ns: int = 0


@dataclass(order=True)
class _Due:
    at_ns: int
    priority: int
    order: int
    node: str = field(compare=False)
    event: Event | None = field(compare=False)  # None: the hardware looks at its lanes


class LinkBench:
    """Runs the machines of one link against hardware that heralds armed lanes with a probability."""

    def __init__(self, seed: int, *, station: bool, channel: Channel, held_for_ns: int = 2 * MS) -> None:
        self.random = random.Random(seed)
        self.network = self.make_network(station)
        self.link = self.network.links["a-b"]
        self.channel = channel
        self.now_ns = 0
        self.heralds = 0
        self._silent: str | None = None
        self._order = 0
        self._due: list[_Due] = []
        self._incarnations = dict.fromkeys(self.network.nodes, 0)
        self._held_for_ns = held_for_ns
        self.sinks: dict[str, list[Sink]] = {"a": [], "b": []}
        self.machines: dict[str, NodeMachine] = {}
        self.services: dict[str, LinkService] = {}
        self.station: HeraldingStation | None = None
        self._armed: dict[tuple[str, int], StartAttempts] = {}
        self._timers: dict[str, int | None] = {}
        self._run: StartRun | None = None
        for node in self.network.nodes:
            self.boot(node)
        self._push(PERIOD_NS, 3, "hardware", None)

    def make_network(self, station: bool) -> NetworkSettings:
        """What the machines are told of the network."""
        return link_network(station=station)

    def boot(self, node: str) -> None:
        """Start or restart a node; its peers are told of the new incarnation."""
        self._incarnations[node] += 1
        parts: list[Part]
        if node == "m":
            self.station = HeraldingStation(self.network, node)
            parts = [self.station]
        else:
            slots = SlotTable(self.network, node)
            self.sinks[node].append(Sink(slots, self._held_for_ns))
            self.services[node] = LinkService(self.network, node, slots)
            parts = [self.services[node], self.sinks[node][-1]]
            for key in [key for key in self._armed if key[0] == node]:
                del self._armed[key]
        self.machines[node] = NodeMachine(node, parts)
        self._timers[node] = None
        self.tell(node, Started(incarnation=self._incarnations[node]))
        if self._incarnations[node] > 1:
            for peer in self.network.nodes:
                if peer != node:
                    self.tell(peer, PeerChanged(peer=node, state="up", incarnation=self._incarnations[node]))

    def want(self, node: str, request: str, weight: int = 1, lanes: int = 0) -> None:
        """A request wants pairs, as this node is told."""
        peer = "b" if node == "a" else "a"
        plan = LinkPlan(
            request=request,
            tree=0,
            link="a-b",
            partner=peer,
            rate_hz=1.0,
            lanes=lanes,
            weight=weight,
            fidelity_min=None,
        )
        self._notice(node, LinkRequested(plan=plan))

    def drop(self, node: str, request: str) -> None:
        """A request wants nothing more."""
        self._notice(node, LinkWithdrawn(request=request, link="a-b"))

    def _notice(self, node: str, notice: LinkRequested | LinkWithdrawn) -> None:
        machine = self.machines[node]
        machine._step.tell(notice)
        self.tell(node, TimerFired())

    def tell(self, node: str, event: Event) -> None:
        """One event."""
        machine = self.machines[node]
        for effect in machine.handle(self.now_ns, event):
            self._execute(node, effect)
        deadline_ns = machine.next_deadline_ns
        planned_ns = self._timers[node]
        if deadline_ns is not None and (planned_ns is None or deadline_ns < planned_ns):
            self._timers[node] = deadline_ns
            self._push(deadline_ns, 2, node, TimerFired())

    def _push(self, at_ns: int, priority: int, node: str, event: Event | None) -> None:
        self._order += 1
        heapq.heappush(self._due, _Due(max(at_ns, self.now_ns), priority, self._order, node, event))

    def silence_station(self) -> None:
        """From now on nothing that the station says arrives."""
        self._silent = "m"

    def _execute(self, node: str, effect: Effect) -> None:
        if isinstance(effect, Send):
            if node == self._silent:
                return
            if self.random.random() < self.channel.loss:
                return
            for _ in range(2 if self.random.random() < self.channel.copies else 1):
                delay_ns = self.network.delay_ns(node, effect.to) + self.random.randint(
                    0, self.channel.jitter_ns
                )
                received = Received(source=node, incarnation=self._incarnations[node], message=effect.message)
                self._push(self.now_ns + delay_ns, 1, effect.to, received)
        elif isinstance(effect, StartAttempts):
            self._armed[node, effect.lane] = effect
        elif isinstance(effect, StopAttempts):
            for key in [
                key for key in self._armed if key[0] == node and self._armed[key].slot == effect.slot
            ]:
                del self._armed[key]
        elif isinstance(effect, StartRun):
            self._run = effect

    def _hardware(self) -> None:
        """At the end of each attempt: lanes armed at both sides for the same run may have succeeded."""
        for lane in range(self.link.lanes):
            left, right = self._armed.get(("a", lane)), self._armed.get(("b", lane))
            if left is None or right is None or left.run != right.run:
                continue
            attempt = (self.now_ns - left.epoch_ns) // PERIOD_NS - 1
            if not max(left.first, right.first) <= attempt <= min(left.last, right.last):
                continue
            if self.random.random() >= self.link.success_probability:
                continue
            self.heralds += 1
            del self._armed["a", lane], self._armed["b", lane]
            code = self.random.choice((1, 2))
            at_ns = left.epoch_ns + attempt * PERIOD_NS + self.link.click_delay_ns
            run, attempt_lane = left.run, lane
            if self.link.station is None:
                for node in ("a", "b"):
                    self.tell(
                        node,
                        Heralded(
                            link="a-b",
                            run=run,
                            attempt=attempt,
                            lane=attempt_lane,
                            code=code,
                            at_ns=at_ns,
                            sigma_ns=0,
                        ),
                    )
            elif self._run is not None and self._run.run == run:
                self.tell(
                    "m",
                    StationHeralded(
                        link="a-b",
                        run=run,
                        attempt=attempt,
                        lane=attempt_lane,
                        code=code,
                        at_ns=at_ns,
                        sigma_ns=0,
                    ),
                )
        if self._run is not None:
            decided = (self.now_ns - self._run.epoch_ns) // PERIOD_NS - 1
            if decided >= 0 and decided % 100 == 0:
                self.tell("m", StationDecided(link="a-b", run=self._run.run, attempt=decided))
        self._push(self.now_ns + PERIOD_NS, 3, "hardware", None)

    def run(self, until_ns: int) -> None:
        """Work off everything that is due."""
        while self._due and self._due[0].at_ns <= until_ns:
            due = heapq.heappop(self._due)
            self.now_ns = due.at_ns
            if due.event is None:
                self._hardware()
            elif isinstance(due.event, TimerFired):
                if self._timers[due.node] == due.at_ns:
                    self._timers[due.node] = None
                    self.tell(due.node, due.event)
            else:
                self.tell(due.node, due.event)
        self.now_ns = until_ns
