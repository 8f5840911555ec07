"""The link layer's LinkServiceProtocol: routes words to the ends of the node's links.

Owns one LinkEnd per incident link. Refuses knowledge of swapping, requests' purposes and hardware.
"""

from collections.abc import Mapping
from typing import Protocol

from bellwire.core.effects import Report
from bellwire.core.events import (
    DeviceChanged,
    Heralded,
    OutboxChanged,
    PairPurified,
    PauliApplied,
    QubitHeld,
    QubitMeasured,
    Received,
    Started,
)
from bellwire.core.ids import LinkId, NodeId
from bellwire.core.machine import Handler, Step
from bellwire.core.messages import (
    HeraldBound,
    HeraldReport,
    HeraldUnknown,
    LinkReset,
    WindowAnswer,
    WindowClosed,
    WindowOffer,
)
from bellwire.core.notices import (
    EndDied,
    LinkPairReady,
    LinkRequested,
    LinkWithdrawn,
    MemoryLost,
    MemoryReady,
    PeerRestarted,
    SlotFreed,
    UpdatePair,
)
from bellwire.core.settings import NetworkSettings
from bellwire.core.view import SlotBook
from bellwire.link_layer.link_end import LinkEnd

LINK_MESSAGES = (WindowOffer, WindowAnswer, WindowClosed, LinkReset, HeraldReport, HeraldBound, HeraldUnknown)


class LinkMessage(Protocol):
    """What all messages about a link have in common."""

    @property
    def link(self) -> LinkId: ...


class LinkService:
    """Part of every node with a memory."""

    def __init__(self, network: NetworkSettings, node: NodeId, slots: SlotBook) -> None:
        self._slots = slots
        self.ends: dict[LinkId, LinkEnd] = {
            name: LinkEnd(network, node, network.links[name], slots) for name in network.nodes[node].links
        }

    def on_events(self) -> Mapping[type, Handler]:
        return {
            Started: self._started,
            Heralded: self._heralded,
            QubitHeld: self._held,
            DeviceChanged: self._device_changed,
            OutboxChanged: self._outbox_changed,
            QubitMeasured: self._device_order_ended,
            PairPurified: self._device_order_ended,
            PauliApplied: self._device_order_ended,
        }

    def on_messages(self) -> Mapping[type, Handler]:
        return {
            WindowOffer: self._offered,
            WindowAnswer: self._answered,
            WindowClosed: self._closed,
            LinkReset: self._reset,
            HeraldReport: self._reported,
            HeraldBound: self._bounded,
            HeraldUnknown: self._unknown,
            **{kind: self._told for end in self.ends.values() for kind in end.handlers},
        }

    def on_notices(self) -> Mapping[type, Handler]:
        return {
            LinkRequested: self._requested,
            LinkWithdrawn: self._withdrawn,
            SlotFreed: self._freed,
            PeerRestarted: self._peer_restarted,
            MemoryReady: self._memory_ready,
        }

    def gives(self) -> frozenset[type]:
        return frozenset({UpdatePair, LinkPairReady, EndDied, SlotFreed, MemoryLost, MemoryReady})

    def deadline_ns(self) -> int | None:
        earliest: int | None = None
        for end in self.ends.values():
            deadline = end.deadline_ns()
            if deadline is not None and (earliest is None or deadline < earliest):
                earliest = deadline
        return earliest

    def on_deadline(self, step: Step) -> None:
        for end in self.ends.values():
            deadline = end.deadline_ns()
            if deadline is not None and deadline <= step.now_ns:
                end.on_deadline(step)

    def _of(self, received: Received) -> LinkEnd | None:
        """The end that a message is about, if its sender has a part in that link."""
        message = received.message
        assert isinstance(message, LINK_MESSAGES)
        end = self.ends.get(message.link)
        if end is None or received.source not in (end.peer, end.settings.station):
            return None
        return end

    def _told(self, step: Step, received: Received) -> None:
        """A message between the two ends of a link, for whoever of the end takes it."""
        message: LinkMessage = received.message  # type: ignore[assignment]  # every type in the table has one
        end = self.ends.get(message.link)
        if end is not None and received.source == end.peer:
            end.handlers[type(received.message)](step, received.source, received.message)

    def _device_order_ended(self, step: Step, event: object) -> None:
        """A device order ended; whoever gave it knows it by its operation."""
        for end in self.ends.values():
            for use in end.uses:
                handler = use.on_events().get(type(event))
                if handler is not None:
                    handler(step, event)

    def _started(self, step: Step, event: Started) -> None:
        """A fresh process follows no run: side 1 says so, side 0 will start a run of its own."""
        if event.incarnation > 1:
            for end in self.ends.values():
                if end.side == 1:
                    step.send(end.peer, LinkReset(link=end.settings.link, reason="restarted"))

    def _heralded(self, step: Step, event: Heralded) -> None:
        self.ends[event.link].heralded(step, event)

    def _held(self, step: Step, event: QubitHeld) -> None:
        self.ends[event.link].held(step, event.lane, event.run, event.attempt)

    def _outbox_changed(self, step: Step, event: OutboxChanged) -> None:
        """Attempt windows are the valve: running leases end by themselves, none is granted or taken
        meanwhile.
        """
        for end in self.ends.values():
            end.valve_shut = event.full
        step.order(Report(name="attempt_windows", request=None, fields={"granted": not event.full}))

    def _device_changed(self, step: Step, event: DeviceChanged) -> None:
        if event.role != "memory":
            return
        for end in self.ends.values():
            end.memory_ready = event.ready
            if event.lost_state:
                end.lanes.memory_lost()
                for use in end.uses:
                    use.lost(step)
        if event.lost_state:
            step.tell(MemoryLost(reason=event.reason))
        if event.ready:
            step.tell(MemoryReady())

    def _memory_ready(self, step: Step, notice: MemoryReady) -> None:
        for end in self.ends.values():
            end.memory_back(step)

    def _offered(self, step: Step, received: Received) -> None:
        end = self._of(received)
        if end is not None and end.side == 1 and isinstance(received.message, WindowOffer):
            end.offered(step, received.message)

    def _answered(self, step: Step, received: Received) -> None:
        end = self._of(received)
        if end is not None and end.side == 0 and isinstance(received.message, WindowAnswer):
            end.answered(step, received.message)

    def _closed(self, step: Step, received: Received) -> None:
        end = self._of(received)
        if end is not None and end.side == 1 and isinstance(received.message, WindowClosed):
            end.closed(step, received.message)

    def _reset(self, step: Step, received: Received) -> None:
        end = self._of(received)
        if end is not None and end.side == 0 and end.book.run is not None:
            end.renew_run(step)

    def _reported(self, step: Step, received: Received) -> None:
        end = self._of(received)
        if end is None or received.source != end.settings.station:
            return
        if isinstance(received.message, HeraldReport):
            end.reported(step, received.message)

    def _bounded(self, step: Step, received: Received) -> None:
        end = self._of(received)
        if end is None or received.source != end.settings.station:
            return
        if isinstance(received.message, HeraldBound):
            end.bounded(step, received.message)

    def _unknown(self, step: Step, received: Received) -> None:
        end = self._of(received)
        if end is None or received.source != end.settings.station:
            return
        if isinstance(received.message, HeraldUnknown):
            end.unknown(step, received.message)

    def _requested(self, step: Step, notice: LinkRequested) -> None:
        self.ends[notice.plan.link].want(step, notice.plan)

    def _withdrawn(self, step: Step, notice: LinkWithdrawn) -> None:
        self.ends[notice.link].drop(step, notice.request)

    def _freed(self, step: Step, notice: SlotFreed) -> None:
        slot = self._slots.slot(notice.slot)
        self.ends[slot.link].arm(step, slot.lane)

    def _peer_restarted(self, step: Step, notice: PeerRestarted) -> None:
        for end in self.ends.values():
            if notice.peer == end.peer:
                for use in end.uses:
                    use.peer_restarted(step)
            if end.side == 0 and end.book.run is not None and notice.peer in (end.peer, end.settings.station):
                end.renew_run(step)
