"""Effects to instrument calls, instrument callbacks to events: the memory of a node, the analyser of a
station.

Owns the mapping of names (links to ports, 64-bit runs to the short runs of devices, lanes to sub-attempts)
and the rule that each device order ends in exactly one event. Refuses drivers' business: connecting,
identity, configuration and retries are `bellwire.drivers`. An absent instrument degrades its node, loudly; it
never stops it.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Hashable
from typing import Literal

from bellwire.core.effects import (
    ApplyPauli,
    Effect,
    FuseQubits,
    MeasureBell,
    MeasureQubit,
    PrepareQubit,
    PurifyPair,
    ReleaseQubit,
    StartAttempts,
    StartRun,
    StopAttempts,
)
from bellwire.core.errors import DeviceFault, LocalMisuse
from bellwire.core.events import (
    BellMeasured,
    Ended,
    Event,
    PairPurified,
    PauliApplied,
    QubitHeld,
    QubitMeasured,
    QubitPrepared,
    QubitsFused,
    StationDecided,
    StationHeralded,
    StationLost,
)
from bellwire.core.ids import LinkId, NodeId
from bellwire.core.settings import LinkSettings, NetworkSettings
from bellwire.core.units import NS_PER_S
from bellwire.drivers.attempt_numbers import AttemptNumbers, decided_to, lost_range, network_number
from bellwire.drivers.faults import OperationRefused
from bellwire.drivers.framing import spoken
from bellwire.drivers.herald_fpga import HeraldRecord
from bellwire.drivers.memory_controller import Done, MemoryController
from bellwire.drivers.memory_words import Reason, SlotState
from bellwire.runtime.clock import LiveClock
from bellwire.runtime.device_orders import DeviceOrderBook
from bellwire.runtime.device_watch import DeviceWatch
from bellwire.runtime.health import Health
from bellwire.runtime.herald_analyser import HeraldAnalyser
from bellwire.runtime.runs_short import ShortRuns

HERALD_SIGMA_NS = 1
"""Standard uncertainty of a station's stamp: fine bins of 1 ns (fpga.md, time base)."""
TAG_MASK = (1 << 32) - 1
IN_USE = spoken(Reason, Reason.SLOT_IN_USE)
"""The memory's word for a slot that holds a qubit."""

ROTATION_STEPS = 256
"""Steps of a full turn in `MeasureQubit.rotation`."""


class MemoryBindings:
    """The quantum memory of one node."""

    def __init__(
        self,
        network: NetworkSettings,
        node: NodeId,
        memory: MemoryController,
        watch: DeviceWatch,
        feed: Callable[[Event], None],
        clock: LiveClock,
        health: Health,
        *,
        incarnation: int = 1,
    ) -> None:
        """incarnation: of the agent; the memory refuses arms of an agent that a later one has replaced."""
        self._links: tuple[LinkId, ...] = network.nodes[node].links  # by port number
        self._incarnation = incarnation
        self._memory = memory
        self._feed = feed
        self._clock = clock
        self._health = health
        self._runs = ShortRuns()
        self._book = DeviceOrderBook(health, memory.name)
        self._generations: dict[int, int] = {}  # slot -> generation of its last order to attempt
        memory.on_held = self._on_held
        memory.on_reset = watch.on_reset
        watch.prepare = self._sweep

    def carry_out(self, order: Effect) -> None:
        """Begin a device order."""
        match order:
            case StartAttempts():
                self._start_attempts(order)
            case StopAttempts():
                self._quietly((order.slot,), "stop", lambda: self._stop(order.slot))
            case ReleaseQubit():
                self._quietly(
                    (order.slot,), "release", lambda: self._memory.release(order.slot, order.tag & TAG_MASK)
                )
            case MeasureBell():
                self._measure_bell(order)
            case MeasureQubit():
                self._measure_qubit(order)
            case PrepareQubit():
                self._prepare_qubit(order)
            case PurifyPair():
                self._purify_pair(order)
            case FuseQubits():
                self._fuse_qubits(order)
            case ApplyPauli():
                self._apply_pauli(order)
            case _:
                raise LocalMisuse(f"a node with a memory cannot carry out {type(order).__name__}")

    async def close(self) -> None:
        """End all orders; their ends are not told any more."""
        await self._book.close()

    async def _sweep(self) -> None:
        """Empty the slots that an earlier life of this agent left armed or held, their qubits unknown."""
        for slot in (await self._memory.read_status()).slots:
            if slot.state is SlotState.ARMED:
                await self._memory.disarm(slot.slot)
            elif slot.state is SlotState.HELD:
                await self._memory.release(slot.slot)
            else:
                continue
            self._health.count("slot_of_earlier_life_emptied", slot=slot.slot)

    # ---- orders without a result of their own

    def _start_attempts(self, order: StartAttempts) -> None:
        if order.epoch_ns % NS_PER_S:
            raise LocalMisuse(
                f"run {order.run} begins at {order.epoch_ns} ns: hardware is armed on whole seconds"
            )
        port = self._links.index(order.link)
        short = self._runs.short_of(order.link, order.run)
        empty = self._generations.get(order.slot) != order.generation  # as the machine believes
        self._generations[order.slot] = order.generation

        async def arm() -> None:
            await self._memory.arm(
                order.slot,
                port,
                order.lane,
                short,
                order.epoch_ns // NS_PER_S,
                order.first,
                order.last,
                # The device's fence is one for all links and tells owners apart. A window's own fence counts
                # within one run of one link: it begins at 1 in a new run, which the device would refuse.
                self._incarnation,
                order.point,
            )

        async def arm_empty() -> None:
            try:
                await arm()
            except OperationRefused as refused:
                if refused.reason != IN_USE:
                    raise
                # An order before ended without a result, and left its qubit there: nobody knows it any more.
                self._health.count("slot_emptied_before_use", slot=order.slot)
                await self._memory.release(order.slot)
                await arm()

        # A lane's arms keep their order too: the device lets the latest slot of a lane attempt.
        self._quietly((order.slot, (order.link, order.lane)), "arm", arm_empty if empty else arm)

    async def _stop(self, slot: int) -> None:
        # A disarmed slot keeps what it caught before, and a slot that holds something cannot be armed again.
        await self._memory.disarm(slot)
        await self._memory.release(slot)

    def _quietly(self, things: tuple[Hashable, ...], what: str, call: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            try:
                await call()
            except DeviceFault as fault:
                # The lease of the window bounds the damage: a slot that never attempts holds nothing.
                self._health.count(f"device_order_failed_{what}", slot=things[0], problem=str(fault))

        self._book.begin(things, run)

    # ---- orders with a result

    def _measure_bell(self, order: MeasureBell) -> None:
        def told(ended: Ended, outcome: int | None) -> BellMeasured:
            return BellMeasured(
                operation=order.operation, ended=ended, outcome=outcome, at_ns=self._clock.now_ns()
            )

        async def measure() -> BellMeasured:
            result = await self._memory.bell_measure(order.left_slot, order.right_slot)
            return told("done" if result.status == "ok" else "failed", result.outcome)

        slots = (order.left_slot, order.right_slot)
        self._to_one_end(slots, order.within_ns, measure, lambda ended: told(ended, None))

    def _measure_qubit(self, order: MeasureQubit) -> None:
        def told(ended: Ended, bit: int | None, stamp_ns: int | None = None) -> QubitMeasured:
            at_ns = self._clock.now_ns()
            return QubitMeasured(
                operation=order.operation, ended=ended, bit=bit, at_ns=at_ns, stamp_ns=stamp_ns
            )

        async def measure() -> QubitMeasured:
            await self._turn(order.slot, order.rotation)
            done = await self._memory.measure_timed(order.slot, order.basis)
            return told("done", done.result, done.at_ns)

        self._to_one_end((order.slot,), order.within_ns, measure, lambda ended: told(ended, None))

    def _prepare_qubit(self, order: PrepareQubit) -> None:
        def told(ended: Ended, stamp_ns: int | None = None) -> QubitPrepared:
            at_ns = self._clock.now_ns()
            return QubitPrepared(operation=order.operation, ended=ended, at_ns=at_ns, stamp_ns=stamp_ns)

        async def prepare() -> QubitPrepared:
            done = await self._memory.initialise(order.slot)
            return told("done", (await self._turn(order.slot, order.turns) or done).at_ns)

        self._to_one_end((order.slot,), order.within_ns, prepare, told)

    async def _turn(self, slot: int, turns: tuple[int, int, int]) -> Done | None:
        """Turns about X, Y and X, in units of a full turn / ROTATION_STEPS; the last one made."""
        axes: tuple[Literal["x", "y"], ...] = ("x", "y", "x")
        last = None
        for axis, steps in zip(axes, turns, strict=True):
            if steps % ROTATION_STEPS:
                last = await self._memory.rotation(slot, axis, steps * math.tau / ROTATION_STEPS)
        return last

    def _purify_pair(self, order: PurifyPair) -> None:
        kept, measured = order.kept_slot, order.measured_slot

        def told(ended: Ended, bit: int | None, exposed_ns: int | None = None) -> PairPurified:
            at_ns = self._clock.now_ns()
            turned_ns = None if exposed_ns is None else at_ns - exposed_ns // 2
            return PairPurified(
                operation=order.operation, ended=ended, bit=bit, at_ns=at_ns, turned_ns=turned_ns
            )

        async def purify() -> PairPurified:
            for slot, pauli in ((kept, order.kept_pauli), (measured, order.measured_pauli)):
                if pauli:
                    await self._memory.pauli(slot, pauli)
            turns_ns: list[int] = []
            if order.scheme == "dejmps":
                angle_rad = -math.pi / 2 if order.side else math.pi / 2
                for slot in (kept, measured):
                    await self._memory.rotation(slot, "x", angle_rad)
                    turns_ns.append(self._clock.now_ns())
            await self._memory.cnot(kept, measured)
            gate_ns = self._clock.now_ns()
            bit = await self._memory.measure(measured, "Z")
            if not turns_ns:
                return told("done", bit)
            # Both qubits gather phase from their turns on: the kept one until now, the measured one until the
            # gate, after which its phase means nothing.
            return told("done", bit, self._clock.now_ns() - turns_ns[0] + gate_ns - turns_ns[1])

        async def empty() -> None:
            await self._memory.release(measured)

        self._to_one_end((kept, measured), order.within_ns, purify, lambda ended: told(ended, None), empty)

    def _fuse_qubits(self, order: FuseQubits) -> None:
        kept, measured = order.kept_slot, order.measured_slot

        def told(ended: Ended, bit: int | None) -> QubitsFused:
            return QubitsFused(operation=order.operation, ended=ended, bit=bit, at_ns=self._clock.now_ns())

        async def fuse() -> QubitsFused:
            await self._memory.cnot(kept, measured)
            return told("done", await self._memory.measure(measured, "Z"))

        async def empty() -> None:
            for slot in (kept, measured):
                await self._memory.release(slot)

        self._to_one_end((kept, measured), order.within_ns, fuse, lambda ended: told(ended, None), empty)

    def _apply_pauli(self, order: ApplyPauli) -> None:
        def told(ended: Ended) -> PauliApplied:
            return PauliApplied(operation=order.operation, ended=ended, at_ns=self._clock.now_ns())

        async def apply() -> PauliApplied:
            if order.hadamard:
                await self._memory.hadamard(order.slot)
            if order.pauli or not order.hadamard:
                await self._memory.pauli(order.slot, order.pauli)
            return told("done")

        self._to_one_end((order.slot,), order.within_ns, apply, told)

    def _to_one_end(
        self,
        slots: tuple[int, ...],
        within_ns: int,
        call: Callable[[], Awaitable[Event]],
        without_result: Callable[[Ended], Event],
        undo: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`undo`: what is left to do at the device when there is no result, before the slots' next orders."""

        async def run() -> None:
            ended: Ended = "done"
            event: Event | None = None
            try:
                async with asyncio.timeout(within_ns / NS_PER_S):
                    event = await call()
            except OperationRefused as fault:
                self._health.count("device_order_refused", slots=list(slots), problem=str(fault))
                ended = "failed"
            except (DeviceFault, TimeoutError) as fault:
                self._health.count("device_order_unknown", slots=list(slots), problem=str(fault))
                ended = "unknown"
            self._feed(without_result(ended) if event is None else event)
            if event is not None or undo is None:
                return
            try:
                await undo()
            except DeviceFault as fault:
                self._health.count("device_order_not_undone", slots=list(slots), problem=str(fault))

        if not self._book.begin(slots, run):
            asyncio.get_running_loop().call_soon(self._feed, without_result("unknown"))

    # ---- events

    def _on_held(self, slot: int, port: int, lane: int, run_short: int, attempt: int, stamp_ns: int) -> None:
        link = self._links[port] if port < len(self._links) else None
        run = None if link is None else self._runs.run_of(link, run_short)
        if link is None or run is None:
            self._health.count("held_in_unknown_run", slot=slot, port=port, run_short=run_short)
            return
        self._feed(QubitHeld(slot=slot, link=link, run=run, attempt=attempt, lane=lane, at_ns=stamp_ns))


class StationBindings:
    """The analyser of one heralding station, which serves one link."""

    def __init__(
        self,
        link: LinkSettings,
        analyser: HeraldAnalyser,
        watch: DeviceWatch,
        feed: Callable[[Event], None],
        health: Health,
        numbers: AttemptNumbers | None = None,
    ) -> None:
        """numbers: which attempts of a cycle of turns the analyser makes; None: all."""
        self._link = link
        self._numbers = numbers
        self._analyser = analyser
        self._feed = feed
        self._health = health
        self._runs = ShortRuns()
        self._book = DeviceOrderBook(health, analyser.name)
        analyser.on_record = self._on_record
        analyser.on_bound = self._on_bound
        analyser.on_lost = self._on_lost
        analyser.on_reset = watch.on_reset

    def carry_out(self, order: Effect) -> None:
        """Begin a device order."""
        if not isinstance(order, StartRun):
            raise LocalMisuse(f"a station cannot carry out {type(order).__name__}")
        if order.epoch_ns % NS_PER_S:
            raise LocalMisuse(
                f"run {order.run} begins at {order.epoch_ns} ns: hardware is armed on whole seconds"
            )
        cycle_ns = self._link.turn_ns * self._link.turns
        if self._numbers is not None and order.epoch_ns % cycle_ns:
            # As if the device had refused it: the ends give the run up when the station stays silent.
            problem = f"it begins {order.epoch_ns % cycle_ns} ns after the start of a cycle of its slots"
            self._health.count("device_order_failed_start_run", run=order.run, problem=problem)
            return
        short = self._runs.short_of(order.link, order.run)

        async def start() -> None:
            try:
                await self._analyser.start_run(short, order.epoch_ns // NS_PER_S)
            except DeviceFault as fault:
                # Nothing will be decided; the ends give the run up when the station stays silent.
                self._health.count("device_order_failed_start_run", run=order.run, problem=str(fault))

        self._book.begin((0,), start)

    async def close(self) -> None:
        """End all orders."""
        await self._book.close()

    def _run(self, run_short: int) -> int | None:
        run = self._runs.run_of(self._link.link, run_short)
        if run is None:
            self._health.count("station_record_of_unknown_run", run_short=run_short)
        return run

    def _on_record(self, record: HeraldRecord) -> None:
        run = self._run(record.run_short)
        if run is None:
            return
        attempt, lane = divmod(record.sub_attempt, self._link.lanes)
        if self._numbers is not None:
            attempt = network_number(self._numbers, attempt)
        # Lanes take turns within an attempt; the network counts all of them from the attempt's beginning, as
        # the
        # memories' stamps do.
        at_ns = record.stamp_ns - lane * (self._link.period_ns // self._link.lanes)
        self._feed(
            StationHeralded(
                link=self._link.link,
                run=run,
                attempt=attempt,
                lane=lane,
                code=record.outcome,
                at_ns=at_ns,
                sigma_ns=HERALD_SIGMA_NS,
            )
        )

    def _on_bound(self, run_short: int, sub_attempt: int) -> None:
        run = self._run(run_short)
        attempt = (sub_attempt + 1) // self._link.lanes - 1  # an attempt is decided when all its lanes are
        if self._numbers is not None:
            attempt = decided_to(self._numbers, attempt)
        if run is not None and attempt >= 0:
            self._feed(StationDecided(link=self._link.link, run=run, attempt=attempt))

    def _on_lost(self, run_short: int, first: int, last: int, _count: int) -> None:
        run = self._run(run_short)
        if run is not None:
            begin, end = first // self._link.lanes, last // self._link.lanes
            if self._numbers is not None:
                begin, end = lost_range(self._numbers, begin, end)
            self._feed(StationLost(link=self._link.link, run=run, first=begin, last=end))
