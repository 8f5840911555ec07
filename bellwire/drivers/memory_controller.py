"""Driver of a quantum-memory controller: slots that attempt entanglement, hold qubits, and undergo
operations.

Owns the operation mailbox: each operation has an id and ends in exactly one of done, failed
(OperationRefused), unknown (OperationUnknown). Refuses to know pairs, frames or protocols. Signs of life to
the device come from the event loop, so the device disarms itself (dead-man lease) when the agent hangs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from bellwire.core.errors import DeviceFault, LocalMisuse
from bellwire.drivers.faults import (
    DeviceError,
    DeviceRestarted,
    Disconnected,
    LinkTimeout,
    OperationRefused,
    OperationUnknown,
)
from bellwire.drivers.framed_device import FramedSettings
from bellwire.drivers.framed_instrument import FramedInstrument
from bellwire.drivers.frames import MEMORY_RECORDS_BYTES, Bound, Events, MemoryEvent, MemoryWords
from bellwire.drivers.framing import spoken
from bellwire.drivers.instrument import Backoff, InstrumentState
from bellwire.drivers.memory_words import (
    AXES,
    BASES,
    BELL_FAILED,
    Operation,
    OperationState,
    Reason,
    SlotState,
    angle_word,
    split_u64,
)

SECOND_NS = 1_000_000_000
READ_SLOTS_MAX = 64
_End = tuple[int, int, int | None]
"""State, result or reason, and the device's time."""
POST_TRIES = 3


@dataclass(frozen=True, slots=True)
class BellResult:
    """End of a Bell measurement that was carried out. `outcome` 0..3, None when it did not succeed.

    Either way both qubits are gone.
    """

    status: Literal["ok", "failed"]
    outcome: int | None


@dataclass(frozen=True, slots=True)
class Done:
    """End of an operation that was carried out. `at_ns`: unix time of the device when it was; None: its
    record went astray and the device was asked, which tells the result alone.
    """

    result: int
    at_ns: int | None


@dataclass(frozen=True, slots=True)
class SlotStatus:
    """One slot as the controller sees it; port and lane only while armed or held, else None."""

    slot: int
    state: SlotState
    port: int | None
    lane: int | None


@dataclass(frozen=True, slots=True)
class MemoryStatus:
    """Read-out of the controller. `lease_expired` is sticky until `clear_lease_expired`."""

    slots: tuple[SlotStatus, ...]
    fence: int
    last_operation: int
    operations_pending: int
    lease_expired: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySettings:
    """`port_periods_ns`: attempt period of the link at each port, by port number (the node's incident links).

    `lease_ms`: the device disarms everything after this long without a sign of life; at least three times the
    keepalive of the link.
    """

    port_periods_ns: dict[int, int]
    lease_ms: int = 1000


class MemoryController(FramedInstrument):
    """Quantum-memory controller over a serial line with the framed protocol.

    Callbacks, in the loop: `on_held(slot, port, lane, run_short, attempt, stamp_ns)` when a herald froze a
    slot (stamp = unix time of the click); `on_disarmed(slot)` when the lease ran out; `on_reset()` when the
    device lost its state: every qubit is gone, pending operations end as unknown.
    """

    model = "memory_controller"
    map_name = "memory_controller"
    record_bytes = MEMORY_RECORDS_BYTES

    def __init__(
        self,
        name: str,
        path: str,
        *,
        serial_number: str | None = None,
        framed: FramedSettings | None = None,
        backoff: Backoff | None = None,
        on_state: Callable[[InstrumentState], None] | None = None,
        operation_timeout_s: float = 2.0,
    ) -> None:
        super().__init__(
            name, path, serial_number=serial_number, framed=framed, backoff=backoff, on_state=on_state
        )
        self.on_held: Callable[[int, int, int, int, int, int], None] = lambda *_: None
        self.on_disarmed: Callable[[int], None] = lambda slot: None
        self.link.on_events = self._take_events
        self.link.on_bound = self._take_bound
        self.link.on_gap = self._take_gap
        self._lost_count: int | None = None
        self._settings: MemorySettings | None = None
        self._operation_timeout_s = operation_timeout_s
        self._next_operation: int | None = None
        self._pending: dict[int, asyncio.Future[_End]] = {}
        self._post_lock = asyncio.Lock()

    # -- configuration --------------------------------------------------------------------------------------

    async def configure(self, settings: MemorySettings) -> None:
        """Set the port table and the lease, read them back, remember them for reconnects. Ports not named are
        off.

        Raises LocalMisuse when the lease is shorter than three keepalives, DeviceError when a read-back
        differs.
        """
        keepalive_ms = self.link.settings.keepalive_s * 1000
        if settings.lease_ms < 3 * keepalive_ms:
            raise LocalMisuse(
                f"lease_ms = {settings.lease_ms} must be at least three keepalives = {3 * keepalive_ms} ms"
            )
        self._settings = settings
        await self._apply_if_open()

    def _has_configuration(self) -> bool:
        return self._settings is not None

    async def _assert_configuration(self) -> None:
        assert self._settings is not None
        ports = self.link.map["PORT_PERIOD"].count
        for port in self._settings.port_periods_ns:
            if not 0 <= port < ports:
                raise LocalMisuse(f"{self.name}: port {port} is outside 0 .. {ports - 1}")
        periods = tuple(self._settings.port_periods_ns.get(port, 0) for port in range(ports))
        address = self.link.map["PORT_PERIOD"].address
        await self.link.write_words(address, periods)
        if await self.link.read_words(address, ports) != periods:
            raise DeviceError(self.name, "the table of port periods reads back differently")
        await self._set("LEASE_MS", self._settings.lease_ms)

    def _forget(self) -> None:
        self._next_operation = None
        self._lost_count = None
        self._end_pending("the device restarted")

    def _end_pending(self, why: str) -> None:
        pending, self._pending = self._pending, {}
        for operation, ended in pending.items():
            if not ended.done():
                ended.set_exception(OperationUnknown(self.name, str(operation), why))

    # -- operations -----------------------------------------------------------------------------------------

    async def arm(
        self,
        slot: int,
        port: int,
        lane: int,
        run_short: int,
        epoch_s: int,
        first_attempt: int,
        last_attempt: int,
        fence: int,
        point: int = 0,
    ) -> None:
        """Let a slot attempt in [first_attempt, last_attempt] of a run that began at unix second `epoch_s`.

        A slot already armed for the same port, lane and run only has its range and operating point changed.
        `fence`: a token that grows with each owner of the controller; older tokens are refused. `point`:
        number of the operating point, as the link's hardware counts them. Raises LocalMisuse for a point
        below 0, OperationRefused, OperationUnknown.
        """
        if point < 0:
            raise LocalMisuse(f"{self.name}: operating point {point} is below 0")
        await self._operate(
            Operation.ARM,
            slot,
            port,
            lane,
            run_short,
            epoch_s,
            *split_u64(first_attempt),
            *split_u64(last_attempt),
            *split_u64(fence),
            point,
        )

    async def disarm(self, slot: int) -> None:
        """Stop attempting. A herald that came before has been reported by `on_held` when this returns."""
        await self._operate(Operation.DISARM, slot)

    async def initialise(self, slot: int) -> Done:
        """Prepare |0>; whatever was in the slot is lost."""
        return await self._operate(Operation.INITIALISE, slot)

    async def hadamard(self, slot: int) -> None:
        """Hadamard gate."""
        await self._operate(Operation.HADAMARD, slot)

    async def rotation(self, slot: int, axis: Literal["x", "y", "z"], angle_rad: float) -> Done:
        """Rotation about an axis by an angle (resolution 1.5 nrad)."""
        return await self._operate(Operation.ROTATION, slot, AXES.index(axis), angle_word(angle_rad))

    async def pauli(self, slot: int, index: int) -> None:
        """Pauli gate by index 0..3 = I, Z, X, Y."""
        if not 0 <= index <= 3:
            raise LocalMisuse(f"Pauli index {index} is outside 0 .. 3")
        await self._operate(Operation.PAULI, slot, index)

    async def cnot(self, control: int, target: int) -> None:
        """Controlled NOT."""
        await self._operate(Operation.CNOT, control, target)

    async def cz(self, a: int, b: int) -> None:
        """Controlled Z."""
        await self._operate(Operation.CZ, a, b)

    async def bell_measure(self, a: int, b: int) -> BellResult:
        """Bell measurement on two slots; both are empty afterwards, also when it did not succeed."""
        result = (await self._operate(Operation.BELL, a, b)).result
        return BellResult("failed", None) if result == BELL_FAILED else BellResult("ok", result)

    async def measure(self, slot: int, basis: Literal["X", "Y", "Z"]) -> int:
        """Measure in a Pauli basis: 0 for the +1, 1 for the -1 eigenstate. The slot is empty afterwards."""
        return (await self.measure_timed(slot, basis)).result

    async def measure_timed(self, slot: int, basis: Literal["X", "Y", "Z"]) -> Done:
        """The same, with the time at which the device did it."""
        return await self._operate(Operation.MEASURE, slot, BASES.index(basis))

    async def release(self, slot: int, tag: int = 0) -> None:
        """Give the slot free. `tag` (32 bits) travels with the operation for whoever records it at the
        device.
        """
        await self._operate(Operation.RELEASE, slot, tag)

    async def read_status(self) -> MemoryStatus:
        """State of all slots, fence, mailbox and lease."""
        caps = await self.link.read("CAPS")
        count = self.link.map["CAPS"].fields["slots"].extract(caps)
        register = self.link.map["SLOT"]
        words = await self.link.read_words(register.address, min(count, READ_SLOTS_MAX))
        slots: list[SlotStatus] = []
        for slot, word in enumerate(words):
            state = SlotState(register.fields["state"].extract(word))
            busy = state in (SlotState.ARMED, SlotState.HELD)
            port, lane = register.fields["port"].extract(word), register.fields["lane"].extract(word)
            slots.append(SlotStatus(slot, state, port if busy else None, lane if busy else None))
        pending = self.link.map["STATUS"].fields["operations_pending"].extract(await self.link.read("STATUS"))
        expired = self.link.map["STICKY"].fields["lease_expired"].extract(await self.link.read("STICKY"))
        return MemoryStatus(
            tuple(slots),
            await self.link.read("FENCE"),
            await self.link.read("LAST_OPERATION"),
            pending,
            bool(expired),
        )

    async def clear_lease_expired(self) -> None:
        """Clear the sticky mark that the lease ran out."""
        await self.link.write("STICKY", self.link.map["STICKY"].fields["lease_expired"].place(1))

    async def safe_state(self) -> None:
        """Every armed slot disarmed; held qubits stay."""
        for slot in (await self.read_status()).slots:
            if slot.state is SlotState.ARMED:
                await self.disarm(slot.slot)

    async def _operate(self, code: Operation, *arguments: int) -> Done:
        """Post an operation and wait for its end."""
        if not self.link.is_open:
            raise Disconnected(self.name, f"{code.name.lower()} not sent: {self.state.reason}")
        async with self._post_lock:
            if self._next_operation is None:
                self._next_operation = await self.link.read("LAST_OPERATION") + 1
            operation = self._next_operation
            self._next_operation += 1
            ended: asyncio.Future[_End] = asyncio.get_running_loop().create_future()
            self._pending[operation] = ended
            try:
                await self._post(operation, code, arguments)
            except BaseException:
                self._pending.pop(operation, None)
                raise
        try:
            state, result, at_ns = await self._wait_for_end(operation, code, ended)
        finally:
            self._pending.pop(operation, None)
        if state == OperationState.DONE:
            return Done(result, at_ns)
        if state == OperationState.FAILED:
            raise OperationRefused(self.name, code.name.lower(), spoken(Reason, result))
        if state == OperationState.NEVER_SEEN:
            raise OperationRefused(self.name, code.name.lower(), "never reached the device")
        raise OperationUnknown(
            self.name, code.name.lower(), f"the device answers state {state} for id {operation}"
        )

    async def _post(self, operation: int, code: Operation, arguments: tuple[int, ...]) -> None:
        address = self.link.map["OP_ID"].address
        try:
            for _ in range(POST_TRIES):
                try:
                    await self.link.write_words(address, (operation, int(code), *arguments))
                except LinkTimeout:
                    # Perhaps it runs: posting the same id again is harmless, the device never runs it twice.
                    if self.link.is_open:
                        continue
                return  # when all tries failed, the wait that follows asks the device by id
        except DeviceError as fault:
            raise OperationRefused(self.name, code.name.lower(), fault.detail) from fault
        except (DeviceRestarted, Disconnected) as fault:
            raise OperationUnknown(self.name, code.name.lower(), fault.detail) from fault

    async def _wait_for_end(self, operation: int, code: Operation, ended: asyncio.Future[_End]) -> _End:
        lost = asyncio.ensure_future(self.link.failed())
        waited: set[asyncio.Future[Any]] = {
            ended,
            lost,
        }  # two result types; each is read from its own name below
        try:
            while True:
                await asyncio.wait(
                    waited, timeout=self._operation_timeout_s, return_when=asyncio.FIRST_COMPLETED
                )
                if ended.done():
                    return ended.result()
                if lost.done():
                    raise OperationUnknown(self.name, code.name.lower(), lost.result().detail)
                state, result = await self._query(operation, code)
                if state != OperationState.PENDING:
                    return state, result, None
        finally:
            lost.cancel()

    async def _query(self, operation: int, code: Operation) -> tuple[int, int]:
        try:
            async with self._post_lock:
                await self.link.write("OP_QUERY", operation)
                state, result = await self.link.read_words(self.link.map["OP_STATE"].address, 2)
        except DeviceFault as fault:
            raise OperationUnknown(self.name, code.name.lower(), fault.detail) from fault
        return state, result

    async def _shut(self) -> None:
        await super()._shut()
        self._end_pending("the link was closed")

    # -- what the device pushes -----------------------------------------------------------------------------

    def _take_events(self, events: Events) -> None:
        for raw in events.records:
            words = MemoryWords.unpack(raw)
            if words.kind == MemoryEvent.HELD:
                self.on_held(
                    words.slot, words.port, words.lane, words.run_short, words.attempt, _stamp_ns(words)
                )
            elif words.kind == MemoryEvent.DISARMED:
                self.on_disarmed(words.slot)
            elif words.kind == MemoryEvent.OPERATION:
                ended = self._pending.get(words.operation)
                if ended is not None and not ended.done():
                    ended.set_result((words.slot, words.result, _stamp_ns(words)))

    def _take_bound(self, bound: Bound) -> None:
        if self._lost_count is None:
            self._lost_count = bound.lost
        elif bound.lost != self._lost_count:
            self._distrust(f"{bound.lost - self._lost_count} records were dropped by the device")

    def _take_gap(self, first: int, resumed_at: int) -> None:
        self._distrust(f"records {first} .. {resumed_at - 1} are gone")

    def _distrust(self, why: str) -> None:
        """A missing record may have been a herald: our picture of the slots is wrong, as after a restart."""
        self._picture_lost = True
        self.link.end(DeviceRestarted(self.name, why))


def _stamp_ns(words: MemoryWords) -> int:
    return words.stamp_s * SECOND_NS + words.stamp_sub_ns
