"""The link layer's LinkServiceProtocol: routes words to the ends of the node's links.

Owns one LinkEnd per incident link. Refuses knowledge of swapping, requests' purposes and hardware.
"""

from collections.abc import Mapping
from typing import Protocol

from bellwire.core.effects import Report
from bellwire.core.events import (
    DeviceChanged,
    Heralded,
    LinkCreateCancelled,
    LinkCreateSubmitted,
    LinkQubitReleased,
    LinkRestAsked,
    LinkRestGivenUp,
    OutboxChanged,
    PairPurified,
    PauliApplied,
    QubitHeld,
    QubitMeasured,
    Received,
    Started,
)
from bellwire.core.ids import LinkId, NodeId
from bellwire.core.link_messages import (
    HeraldBound,
    HeraldReport,
    HeraldUnknown,
    LinkReset,
    WindowAnswer,
    WindowClosed,
    WindowOffer,
)
from bellwire.core.machine import Handler, Step
from bellwire.core.notices import (
    EndDied,
    LinkPairReady,
    LinkRequested,
    LinkStateTold,
    LinkWithdrawn,
    MemoryLost,
    MemoryReady,
    PeerRestarted,
    ShiftOver,
    SlotFreed,
    UpdatePair,
)
from bellwire.core.settings import NetworkSettings
from bellwire.core.view import SlotBook
from bellwire.link_layer.arbiter import Arbiter
from bellwire.link_layer.creates import refuse
from bellwire.link_layer.feasibility import Refusal
from bellwire.link_layer.link_end import LinkEnd
from bellwire.link_layer.sharing import Sharing

LINK_MESSAGES = (WindowOffer, WindowAnswer, WindowClosed, LinkReset, HeraldReport, HeraldBound, HeraldUnknown)


class LinkMessage(Protocol):
    """What all messages about a link have in common."""

    @property
    def link(self) -> LinkId: ...


def _tell_state(step: Step, link: LinkId, down: str) -> None:
    step.tell(LinkStateTold(link=link, state="down" if down else "up", reason=down))


class LinkService:
    """Part of every node with a memory."""

    def __init__(self, network: NetworkSettings, node: NodeId, slots: SlotBook) -> None:
        self._slots = slots
        self.ends: dict[LinkId, LinkEnd] = {
            name: LinkEnd(network, node, network.links[name], slots) for name in network.nodes[node].links
        }
        for end in self.ends.values():
            end.state_told = _tell_state
        self._sharing: list[Sharing] = [end.sharing for end in self.ends.values() if end.sharing is not None]
        arbiter = Arbiter(network, node, self.ends, slots) if self._sharing else None
        for sharing in self._sharing:
            sharing.arbiter = arbiter
        # The deadline of an end follows from its own state, which only handlers of this part change: an end
        # that none of them touched keeps the deadline that it told last.
        self._stirred: set[LinkId] = set(self.ends)  # ends to be asked again
        self._deadlines: dict[LinkId, int] = {}  # of the ends that have any
        self._earliest_ns: int | None = None
        self._order_takers: dict[type, list[tuple[LinkId, Handler]]] = {}
        for name, end in self.ends.items():
            for use in end.uses:
                for kind, handler in use.on_events().items():
                    self._order_takers.setdefault(kind, []).append((name, handler))

    def on_events(self) -> Mapping[type, Handler]:
        return {
            Started: self._stirring(self._started),
            Heralded: self._heralded,
            QubitHeld: self._held,
            DeviceChanged: self._stirring(self._device_changed),
            OutboxChanged: self._stirring(self._outbox_changed),
            QubitMeasured: self._device_order_ended,
            PairPurified: self._device_order_ended,
            PauliApplied: self._device_order_ended,
            LinkCreateSubmitted: self._stirring(self._create_submitted),
            LinkCreateCancelled: self._stirring(self._create_cancelled),
            LinkQubitReleased: self._stirring(self._qubit_released),
            LinkRestAsked: self._stirring(self._rest_asked),
            LinkRestGivenUp: self._stirring(self._rest_given_up),
        }

    def on_messages(self) -> Mapping[type, Handler]:
        takers: dict[type, Handler] = {
            WindowOffer: self._offered,
            WindowAnswer: self._answered,
            WindowClosed: self._closed,
            LinkReset: self._reset,
            HeraldReport: self._reported,
            HeraldBound: self._bounded,
            HeraldUnknown: self._unknown,
            **{kind: self._told for end in self.ends.values() for kind in end.handlers},
        }
        return {kind: self._stirring_one(taker) for kind, taker in takers.items()}

    def on_notices(self) -> Mapping[type, Handler]:
        return {
            LinkRequested: self._requested,
            LinkWithdrawn: self._withdrawn,
            SlotFreed: self._freed,
            PeerRestarted: self._stirring(self._peer_restarted),
            MemoryReady: self._stirring(self._memory_ready),
        }

    def gives(self) -> frozenset[type]:
        return frozenset(
            {
                UpdatePair,
                LinkPairReady,
                EndDied,
                ShiftOver,
                SlotFreed,
                MemoryLost,
                MemoryReady,
                LinkRequested,
                LinkWithdrawn,
                LinkStateTold,
            }
        )

    def _stirring(self, handler: Handler) -> Handler:
        """The handler, after which every end is asked for its deadline again."""

        def stir(step: Step, word: object) -> None:
            self._stirred.update(self.ends)
            handler(step, word)

        return stir

    def _stirring_one(self, handler: Handler) -> Handler:
        """The handler of a message about one link, whose end is asked again."""

        def stir(step: Step, received: Received) -> None:
            message: LinkMessage = received.message  # type: ignore[assignment]  # every type in the table has one
            if message.link in self.ends:
                self._stirred.add(message.link)
            handler(step, received)

        return stir

    def deadline_ns(self) -> int | None:
        stirred, deadlines = self._stirred, self._deadlines
        if stirred:
            for link in stirred:
                deadline = self.ends[link].deadline_ns()
                if deadline is None:
                    deadlines.pop(link, None)
                else:
                    deadlines[link] = deadline
            stirred.clear()
            self._earliest_ns = min(deadlines.values(), default=None)
        return self._earliest_ns

    def on_deadline(self, step: Step) -> None:
        self._stirred.update(self.ends)
        for sharing in self._sharing:
            sharing.end_turn_if_over(step)  # of all links, before any of them takes what is free
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
        notices = step.notices
        for link, handler in self._order_takers.get(type(event), ()):
            said = len(notices)
            handler(step, event)
            # Whose order it was has a slot or a fact to tell of; to all others nothing has happened.
            if len(notices) != said or type(event) is not QubitMeasured:
                self._stirred.add(link)

    def _create_submitted(self, step: Step, event: LinkCreateSubmitted) -> None:
        """A user's CREATE goes to the link that leads to its partner."""
        asked = event.asked
        ends = [end for end in self.ends.values() if end.peer == asked.partner]
        if any(end.creates.queue.uses(asked.create) for end in self.ends.values()):
            reason = f"id {asked.create} is in use by a CREATE that has not ended: choose another"
            refuse(step, ends[0].settings.link if ends else None, asked.create, Refusal("CREATE", reason))
        elif not ends:
            known = ", ".join(sorted({end.peer for end in self.ends.values()}))
            reason = f"no link leads from {step.node} to {asked.partner}: choose one of {known}"
            refuse(step, None, asked.create, Refusal("CREATE", reason))
        else:
            unreserved = [end for end in ends if end.settings.reserved_for is None]
            if unreserved:
                unreserved[0].creates.submit(step, asked)
            else:
                reason = f"the link to {asked.partner} is reserved for {ends[0].settings.reserved_for}"
                refuse(step, ends[0].settings.link, asked.create, Refusal("REJECTED", reason))

    def _create_cancelled(self, step: Step, event: LinkCreateCancelled) -> None:
        """A CREATE that has ended meanwhile cannot be withdrawn any more, and was answered."""
        for end in self.ends.values():
            if end.creates.cancel(step, event.create):
                return

    def _qubit_released(self, step: Step, event: LinkQubitReleased) -> None:
        """A qubit that was taken back meanwhile is gone, and its user was told."""
        end = self.ends.get(event.end.link)
        if end is not None:
            end.creates.release(step, event.end)

    def _rest_asked(self, step: Step, event: LinkRestAsked) -> None:
        """A calibration wants a link to make no attempts for a while."""
        end = self.ends.get(event.link)
        if end is not None:
            end.rest_asked(step, event.number, event.length_ns)

    def _rest_given_up(self, step: Step, event: LinkRestGivenUp) -> None:
        """The calibration waits no longer."""
        end = self.ends.get(event.link)
        if end is not None:
            end.rest_given_up(step, event.number)

    def _started(self, step: Step, event: Started) -> None:
        """A fresh process follows no run: side 1 says so, side 0 will start a run of its own."""
        if event.incarnation > 1:
            for end in self.ends.values():
                if end.side == 1:
                    step.send(end.peer, LinkReset(link=end.settings.link, reason="restarted"))
        for end in self.ends.values():
            end.started(step)

    def _heralded(self, step: Step, event: Heralded) -> None:
        self._stirred.add(event.link)
        self.ends[event.link].heralded(step, event)

    def _held(self, step: Step, event: QubitHeld) -> None:
        self._stirred.add(event.link)
        self.ends[event.link].held(step, event.lane, event.run, event.attempt)

    def _outbox_changed(self, step: Step, event: OutboxChanged) -> None:
        """Attempt windows are the valve: running leases end by themselves, none is granted or taken
        meanwhile.
        """
        for end in self.ends.values():
            end.dialogue.valve_shut = event.full
        step.order(Report(name="attempt_windows", request=None, fields={"granted": not event.full}))

    def _device_changed(self, step: Step, event: DeviceChanged) -> None:
        if event.role != "memory":
            return
        for end in self.ends.values():
            if end.memory_ready != event.ready:
                end.memory_changed(step, ready=event.ready)
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
            self._look_beside(step, end.settings.link)

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
            end.reports.unknown(step, received.message)

    def _requested(self, step: Step, notice: LinkRequested) -> None:
        self._stirred.add(notice.plan.link)
        self.ends[notice.plan.link].want(step, notice.plan, waits=notice.waits)
        self._look_beside(step, notice.plan.link)

    def _withdrawn(self, step: Step, notice: LinkWithdrawn) -> None:
        self._stirred.add(notice.link)
        self.ends[notice.link].drop(step, notice.request)
        self._look_beside(step, notice.link)

    def _look_beside(self, step: Step, link: LinkId) -> None:
        """The shares of links that share memories with this one may have changed."""
        for end in self.ends.values():
            if end.sharing is not None and end.settings.turn_ns and end.settings.link != link:
                self._stirred.add(end.settings.link)
                end.look_at_terms(step)
                end.sharing.tell_turns(step)

    def _freed(self, step: Step, notice: SlotFreed) -> None:
        slot = self._slots.slot(notice.slot)
        if not self._sharing:
            self._stirred.add(slot.link)
            self.ends[slot.link].arm(step, slot.lane)
            return
        for link, end in self.ends.items():
            # Without a run no lane attempts, and nothing is believed of the other end.
            if end.book.run is not None and slot in self._slots.of_link(link):
                self._stirred.add(link)
                end.arm_all(step)

    def _peer_restarted(self, step: Step, notice: PeerRestarted) -> None:
        for end in self.ends.values():
            if notice.peer == end.peer:
                for use in end.uses:
                    use.peer_restarted(step)
            if end.side == 0 and end.book.run is not None and notice.peer in (end.peer, end.settings.station):
                end.renew_run(step)
