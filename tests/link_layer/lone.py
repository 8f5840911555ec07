"""One end of a link, or one station, alone: a test plays the peer, the hardware and the layers above."""

from typing import TypeVar

import msgspec

from bellwire.core.bell import Cost
from bellwire.core.effects import Effect, Send, StartAttempts, StopAttempts
from bellwire.core.events import DeviceChanged, Event, Received, StationDecided, StationHeralded, TimerFired
from bellwire.core.ids import RequestId
from bellwire.core.link_messages import (
    HeraldReport,
    ScheduleEntry,
    Window,
    WindowOffer,
    WindowOpened,
)
from bellwire.core.messages import Message
from bellwire.core.notices import LinkRequested, LinkWithdrawn, SlotFreed
from bellwire.core.plans import LinkPlan
from bellwire.core.settings import NetworkSettings, NodeSettings
from bellwire.link_layer.service import LinkService
from bellwire.link_layer.station import HeraldingStation
from bellwire.node.routing import NodeMachine
from bellwire.node.slots import SlotTable
from tests.link_layer.bench import PERIOD_NS, Sink, link_network

Kind = TypeVar("Kind")
RUN = 1 << 20


def window(
    first: int, last: int, fence: int, *requests: RequestId, run: int = RUN, frame_attempts: int = 10
) -> Window:
    """A window of a run whose attempt 0 starts at time 0."""
    return Window(
        run=run,
        epoch_ns=0,
        fence=fence,
        first=first,
        last=last,
        frame_attempts=frame_attempts,
        schedule=tuple(ScheduleEntry(request=request, tree=0) for request in requests),
    )


def report(number: int, attempt: int, *, lane: int = 0, run: int = RUN, code: int = 1) -> HeraldReport:
    """A report of the station."""
    return HeraldReport(
        link="a-b",
        run=run,
        number=number,
        attempt=attempt,
        lane=lane,
        code=code,
        at_ns=attempt * PERIOD_NS,
        sigma_ns=0,
    )


class Lone:
    """A machine and everything it ordered since the last look."""

    def __init__(self, node: str, machine: NodeMachine) -> None:
        self.node = node
        self.machine = machine
        self.effects: list[Effect] = []

    def tell(self, now_ns: int, event: Event) -> None:
        self.effects += self.machine.handle(now_ns, event)

    def hear(self, now_ns: int, source: str, message: Message) -> None:
        self.tell(now_ns, Received(source=source, incarnation=1, message=message))

    def wait(self, until_ns: int) -> None:
        """Fire every deadline up to a time, each when it is due."""
        while self.machine.next_deadline_ns is not None and self.machine.next_deadline_ns <= until_ns:
            self.tell(self.machine.next_deadline_ns, TimerFired())

    def take(self) -> list[Effect]:
        effects, self.effects = self.effects, []
        return effects

    def sent(self, kind: type[Kind], to: str | None = None) -> list[Kind]:
        """Messages of a kind since the last `take`."""
        return [
            effect.message
            for effect in self.effects
            if isinstance(effect, Send) and isinstance(effect.message, kind) and to in (None, effect.to)
        ]

    def ordered(self, kind: type[Kind]) -> list[Kind]:
        return [effect for effect in self.effects if isinstance(effect, kind)]


def decaying(network: NetworkSettings, rates: Cost) -> NetworkSettings:
    """The network with memories that forget."""
    nodes: dict[str, NodeSettings] = {}
    for name, node in network.nodes.items():
        memory = None if node.memory is None else msgspec.structs.replace(node.memory, rates=rates)
        nodes[name] = msgspec.structs.replace(node, memory=memory)
    return msgspec.structs.replace(network, nodes=nodes)


class LoneEnd(Lone):
    """An end with its slots and a sink for what it tells."""

    def __init__(self, node: str, *, station: bool, lanes: int = 3, rates: Cost = (0, 0, 0)) -> None:
        """rates: decay of both memories."""
        self.network = decaying(link_network(station=station, lanes=lanes), rates)
        self.slots = SlotTable(self.network, node)
        self.sink = Sink(self.slots, held_for_ns=10**15)
        self.service = LinkService(self.network, node, self.slots)
        self.end = self.service.ends["a-b"]
        super().__init__(node, NodeMachine(node, [self.service, self.sink]))

    def want(self, now_ns: int, request: RequestId, weight: int = 1, lanes: int = 0) -> None:
        plan = LinkPlan(
            request=request,
            tree=0,
            link="a-b",
            partner=self.end.peer,
            rate_hz=1.0,
            lanes=lanes,
            weight=weight,
            fidelity_min=None,
        )
        self._notice(now_ns, LinkRequested(plan=plan))

    def drop(self, now_ns: int, request: RequestId) -> None:
        self._notice(now_ns, LinkWithdrawn(request=request, link="a-b"))

    def freed(self, now_ns: int, slot: int) -> None:
        self.slots.free(slot)
        self._notice(now_ns, SlotFreed(slot=slot))

    def _notice(self, now_ns: int, notice: LinkRequested | LinkWithdrawn | SlotFreed) -> None:
        # As another part of the node would: within a step whose event touches nobody.
        self.machine._step.tell(notice)
        self.tell(now_ns, DeviceChanged(role="timing", ready=True, lost_state=False, reason=""))

    def offered(self, now_ns: int, one: Window) -> None:
        self.hear(now_ns, "a", WindowOffer(link="a-b", window=one))

    def states(self) -> list[str]:
        return [slot.state for slot in self.slots.slots()]

    def released(self) -> list[str]:
        return list(self.sink.released.values())

    def starts(self) -> list[StartAttempts]:
        return self.ordered(StartAttempts)

    def stops(self) -> list[StopAttempts]:
        return self.ordered(StopAttempts)


class LoneStation(Lone):
    """A station that hears both ends' windows and its analyser."""

    def __init__(self) -> None:
        network = link_network(station=True)
        self.part = HeraldingStation(network, "m")
        super().__init__("m", NodeMachine("m", [self.part]))

    def opened(self, now_ns: int, one: Window, *ends: str) -> None:
        for end in ends or ("a", "b"):
            self.hear(now_ns, end, WindowOpened(link="a-b", window=one))

    def clicked(self, now_ns: int, attempt: int, *, lane: int = 0, run: int = RUN) -> None:
        self.tell(
            now_ns,
            StationHeralded(
                link="a-b", run=run, attempt=attempt, lane=lane, code=1, at_ns=now_ns, sigma_ns=0
            ),
        )

    def decided(self, now_ns: int, attempt: int, run: int = RUN) -> None:
        self.tell(now_ns, StationDecided(link="a-b", run=run, attempt=attempt))
