"""The host of one machine: one asyncio loop that feeds it events and carries out what it orders.

Owns the order of work (one event at a time, effects at once, one timer), the boundary where errors are sorted
by whose fault they are, and what is recorded. Refuses protocol knowledge: nothing here looks into a message
or a report.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import structlog

from bellwire import __version__
from bellwire.core.effects import AnswerLink, Effect, Persist, Publish, Report, Send
from bellwire.core.errors import LocalMisuse, PeerViolation
from bellwire.core.events import (
    Event,
    OutboxChanged,
    PeerChanged,
    Persisted,
    Received,
    Record,
    Started,
    TimerFired,
)
from bellwire.core.ids import NodeId
from bellwire.core.instrument_messages import InstrumentMessage, InstrumentWord
from bellwire.core.link_words import LinkAnswer
from bellwire.core.machine import Machine
from bellwire.core.messages import SCHEMA_VERSION, BusMessage
from bellwire.runtime.clock import DeadlineTimer, LiveClock
from bellwire.runtime.health import Health
from bellwire.runtime.liveness import PeerState
from bellwire.runtime.network import Network
from bellwire.runtime.store import RecordStore, StoreFault
from bellwire.runtime.trace import AgentTrace

WAITING_EVENTS_MAX = 10_000
"""Events that arise within one step and wait for their turn; more mean a loop between machine and host."""
METRICS_S = 1.0
FLUSH_S = 0.25
ALWAYS_NS = 1 << 63
EXIT_MISUSE = 70
EXIT_STORE = 74
EXIT_LEFT = 75
"""Exit codes of a node process: internal error, input/output error, left in order until it is started again
(sysexits.h: software, I/O, temporary failure)."""


class DeviceOrders(Protocol):
    """Who carries out device orders (bindings.py)."""

    def carry_out(self, order: Effect) -> None:
        """Begin a device order; its end comes back as an event."""
        ...


class Desk(Protocol):
    """Who answers questions about instruments, beside the machine (desk.py)."""

    @property
    def console(self) -> NodeId:
        """Whose questions they are."""
        ...

    def take(self, incarnation: int, message: InstrumentMessage) -> None:
        """From the console."""
        ...

    def on_console(self, state: PeerState, incarnation: int | None) -> None:
        """The opinion about the console has changed."""
        ...

    def status(self) -> dict[str, Any]:
        """Who holds what, ready for JSON."""
        ...


class NoDevices:
    """A node without instruments: device orders are counted, and nothing ever comes of them."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def carry_out(self, order: Effect) -> None:
        """Count the order."""
        self._health.count("order_without_device", order=type(order).__name__)


class Agent:
    """Runs one machine live. Create, attach the network and the devices, `start`, wait for `ended`."""

    def __init__(
        self,
        name: NodeId,
        incarnation: int,
        machine: Machine,
        clock: LiveClock,
        health: Health,
        trace: AgentTrace,
    ) -> None:
        self.name = name
        self.incarnation = incarnation
        self.machine = machine
        self.health = health
        self.trace = trace
        self.network: Network | None = None
        self.devices: DeviceOrders = NoDevices(health)
        self.desk: Desk | None = None
        self.store: RecordStore | None = None
        self.on_step: list[Callable[[int, Event, Sequence[Effect]], None]] = []
        self.on_report: list[Callable[[int, Report], None]] = []
        self.on_answer: list[Callable[[int, LinkAnswer], None]] = []
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.steps = 0
        self.step_ns_max = 0
        self._clock = clock
        self._timer = DeadlineTimer(clock, self._on_deadline)
        self._waiting: deque[Event] = deque()
        self._busy = False
        self._closed = False
        self._outbox_full = False
        self._handles: list[asyncio.TimerHandle] = []
        self._log = structlog.get_logger().bind(node=name, incarnation=incarnation)

    # ---- life

    def start(self, records: tuple[Record, ...] = (), seed: int = 0) -> None:
        """Tell the machine that it lives, and begin to keep time. `seed`: 64 bits, new in every life."""
        loop = asyncio.get_running_loop()
        self.feed(Started(incarnation=self.incarnation, records=records, seed=seed))
        self._handles = [loop.call_later(METRICS_S, self._measure), loop.call_later(FLUSH_S, self._flush)]

    def stop(self, exit_code: int = 0) -> None:
        """End in order: nothing is fed any more, files are closed, `ended` gets the exit code."""
        if self._closed:
            return
        self._closed = True
        for handle in self._handles:
            handle.cancel()
        self._timer.set(None)
        self._waiting.clear()
        if self.network is not None:
            self.network.close()
        if self.store is not None:
            self.store.close()
        try:
            self.trace.close(self.ledger())
        except StoreFault as fault:
            self._log.error("trace_not_closed", problem=str(fault))
            exit_code = exit_code or EXIT_STORE
        if not self.ended.done():
            self.ended.set_result(exit_code)

    def ledger(self) -> dict[str, Any] | None:
        """Digest and watermarks of the machine's replica; None for machines without one (stations)."""
        replica = getattr(self.machine, "replica", None)
        if replica is None:
            return None
        marks = {author: list(mark) for author, mark in replica.watermarks().items()}
        # What was forgotten when is a matter of memory, not of the view: forget all of it before comparing.
        replica.fold.forget(ALWAYS_NS)
        return {"digest": replica.fold.digest(), "watermarks": marks}

    # ---- events in

    def feed(self, event: Event) -> None:
        """Give an event to the machine. One that arises during a step waits until the step is over."""
        if self._closed:
            return
        self._waiting.append(event)
        if len(self._waiting) > WAITING_EVENTS_MAX:
            self._end_by_misuse(event, f"more than {WAITING_EVENTS_MAX} events wait within one step")
            return
        if self._busy:
            return
        self._busy = True
        try:
            while self._waiting and not self._closed:
                self._step(self._waiting.popleft())
        finally:
            self._busy = False
        if self._closed:
            return
        if self.network is not None:
            self.network.flush()
        self._timer.set(self.machine.next_deadline_ns)

    def on_message(self, source: NodeId, incarnation: int, message: BusMessage) -> None:
        """From the network. Instruments are the console's, and everything else is not: raises
        PeerViolation.
        """
        from_console = self.desk is not None and source == self.desk.console
        if isinstance(message, InstrumentWord):
            if self.desk is None or not from_console:
                self.health.count("instrument_message_refused", source=source, message=type(message).__name__)
                raise PeerViolation(source, f"{type(message).__name__} is for the console to send")
            self.desk.take(incarnation, message)
            return
        if from_console:
            raise PeerViolation(source, f"the console has no {type(message).__name__} for a machine")
        self.feed(Received(source=source, incarnation=incarnation, message=message))

    def on_peer(self, peer: NodeId, state: PeerState, incarnation: int | None) -> None:
        """From the network. The machine hears nothing of the console."""
        if self.desk is not None and peer == self.desk.console:
            self.desk.on_console(state, incarnation)
            return
        self.feed(PeerChanged(peer=peer, state=state, incarnation=incarnation))

    def on_stored(self, tokens: list[int]) -> None:
        """From the store, in the loop."""
        for token in tokens:
            self.feed(Persisted(token=token))

    def on_store_fault(self, fault: StoreFault) -> None:
        """From the store, in the loop: without a disk no promise can be kept, so the agent ends."""
        self._log.error("store_fault", problem=str(fault))
        self.health.tell("store_fault", problem=str(fault))
        self.stop(EXIT_STORE)

    def _on_deadline(self) -> None:
        self.feed(TimerFired())

    # ---- one step

    def _step(self, event: Event) -> None:
        now_ns = self._clock.now_ns()
        try:
            effects = self.machine.handle(now_ns, event)
        except PeerViolation as violation:
            # The machine refused it before it changed anything; the next message is another matter.
            self.health.tell("peer_violation", peer=violation.peer, detail=violation.detail)
            self._log.warning("peer_violation", peer=violation.peer, detail=violation.detail)
            return
        except LocalMisuse as misuse:
            self._end_by_misuse(event, str(misuse))
            return
        self.steps += 1
        self.trace.step(now_ns, event, effects)
        for follower in self.on_step:
            follower(now_ns, event, effects)
        for effect in effects:
            try:
                self._carry_out(now_ns, effect)
            except LocalMisuse as misuse:
                self._end_by_misuse(event, str(misuse))
                return
            except StoreFault as fault:
                self.on_store_fault(fault)
                return
        self.step_ns_max = max(self.step_ns_max, self._clock.now_ns() - now_ns)

    def _carry_out(self, now_ns: int, effect: Effect) -> None:
        match effect:
            case Send() if effect.to == self.name:  # to another part of this node: after this step
                self.feed(Received(source=self.name, incarnation=self.incarnation, message=effect.message))
            case Send():
                if self.network is not None:
                    self.network.send(effect)
            case Publish():
                self.trace.published(effect)
                if self.network is not None:
                    self.network.publish(effect)
            case Persist():
                if self.store is None:
                    raise LocalMisuse(f"{self.name}: a record to persist, and no store")
                self.store.write(effect.token, effect.record)
            case Report():
                self.trace.reported(now_ns, effect)
                self._log.info(
                    effect.name,
                    request=effect.request,
                    **{f"_{k}" if k in _RESERVED else k: v for k, v in effect.fields.items()},
                )
                for listener in self.on_report:
                    listener(now_ns, effect)
            case AnswerLink():
                self.trace.answered(now_ns, effect.answer)
                self._log.info(
                    "link_answered", answer=type(effect.answer).__name__, create=effect.answer.create
                )
                for told in self.on_answer:
                    told(now_ns, effect.answer)
            case _:
                self.devices.carry_out(effect)

    def on_unforeseen(self, problem: str) -> None:
        """An exception that nobody foresaw reached the loop; the machine can be trusted no more."""
        if not self._closed:
            self._end_by_misuse(None, problem)

    def _end_by_misuse(self, event: Event | None, problem: str) -> None:
        try:
            where = str(self.trace.misuse(self._clock.now_ns(), event, problem))
        except StoreFault as fault:
            where = f"not written: {fault}"
        self._log.error("local_misuse", problem=problem, event_type=type(event).__name__, trail=where)
        self.health.tell("local_misuse", problem=problem)
        self.stop(EXIT_MISUSE)

    # ---- the record

    def _measure(self) -> None:
        self._handles[0] = asyncio.get_running_loop().call_later(METRICS_S, self._measure)
        self.trace.metrics(self._clock.now_ns(), self.status())
        self.step_ns_max = 0

    def _flush(self) -> None:
        self._handles[1] = asyncio.get_running_loop().call_later(FLUSH_S, self._flush)
        full = bool(self._congested())
        if full is not self._outbox_full:
            self._outbox_full = full
            self.health.count("outbox_full" if full else "outbox_below_mark")
            self.feed(OutboxChanged(full=full))
        try:
            self.trace.flush()
        except StoreFault as fault:
            self.on_store_fault(fault)

    def _congested(self) -> list[NodeId]:
        """Nodes whose outbox is above its mark; the console's is no reason to open fewer windows."""
        if self.network is None:
            return []
        return [name for name in self.network.congested if self.desk is None or name != self.desk.console]

    def status(self) -> dict[str, Any]:
        """Numbers of this process, ready for JSON."""
        network, desk = self.network, self.desk
        peers = {} if network is None else {n: p.liveness.state for n, p in network.peers.items()}
        console: dict[str, Any] = {}
        if desk is not None:
            console = {"console": {"state": peers.pop(desk.console, None)} | desk.status()}
        return {
            "node": self.name,
            "incarnation": self.incarnation,
            "steps": self.steps,
            "step_ns_max": self.step_ns_max,
            "clock_steps_back": self._clock.steps_back,
            "congested": self._congested(),
            "frames_received": network.frames_received if network is not None else 0,
            "peers": peers,
            **console,
            "health": dict(self.health.counts),
        }

    def versions(self) -> dict[str, Any]:
        """What this process and its peers speak, ready for JSON."""
        peers = {} if self.network is None else self.network.peers
        console = None if self.desk is None else self.desk.console
        return {
            "software": __version__,
            "schema": SCHEMA_VERSION,
            "peer_versions": {
                name: peer.version.told(peer.liveness.incarnation)
                for name, peer in peers.items()
                if name != console
            },
        }


_RESERVED = frozenset({"event", "request", "node", "incarnation", "level", "timestamp", "lab", "version"})
"""Names that a log line has already; a report's field of that name gets a leading underscore."""
