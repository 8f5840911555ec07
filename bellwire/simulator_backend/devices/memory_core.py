"""The quantum-memory controller behind its registers: mailbox, slots, arms with fences, dead-man lease, ring.

Owns the volatile state of one powered controller; a power cycle makes a new core. Sans I/O: time is passed
in, later work is given to `schedule`. Physics is the World's; this file only says when it is asked. Refuses
operations on slots that hold nothing, because real controllers know which slot they loaded.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.frames import Bound, Lost, MemoryEvent, MemoryWords
from bellwire.drivers.framing import Status
from bellwire.drivers.memory_words import (
    ARGUMENTS,
    ARGUMENTS_OF,
    AXES,
    BASES,
    BELL_FAILED,
    LEASE_EXPIRED,
    Operation,
    OperationState,
    Reason,
    SlotState,
    angle_of,
)
from bellwire.drivers.regmap import load_map
from bellwire.simulator_backend.devices.event_ring import EventRing, RingEntry
from bellwire.simulator_backend.devices.operation_durations import OperationDurations
from bellwire.simulator_backend.devices.register_file import RegisterFile
from bellwire.simulator_backend.devices.world_port import TruthLog, WorldPort
from bellwire.simulator_backend.world_words import Click, PlannedClick

SECOND_NS = 1_000_000_000
RING_LOG2 = 10
OPERATIONS_KEPT = 1024
MAILBOX_DEPTH = 64
DEFAULT_LEASE_MS = 1000


@dataclass(frozen=True, slots=True)
class _Arm:
    port: int
    link: str
    lane: int
    run_short: int
    epoch_ns: int
    first: int
    last: int


@dataclass(slots=True)
class _Slot:
    state: SlotState = SlotState.EMPTY
    arm: _Arm | None = None


class _Refused(Exception):
    """An operation that ends in failed; carries the reason word."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.name)
        self.reason = reason


class MemoryCore:
    """One powered controller of `node`; `ports` maps port numbers to the World's links."""

    def __init__(
        self,
        *,
        node: str,
        world: WorldPort,
        ports: Mapping[int, str],
        slots: int,
        serial_number: int,
        boot_count: int,
        boot_ns: int,
        schedule: Callable[[int, Callable[[int], None]], None],
        planned: Callable[[PlannedClick], None],
        truth_log: TruthLog | None = None,
        durations: OperationDurations | None = None,
        identity: int | None = None,
        ring_log2: int = RING_LOG2,
    ) -> None:
        self.registers = RegisterFile(load_map("memory_controller"))
        self.ring = EventRing(1 << ring_log2)
        self.boot_count = boot_count
        self.now_ns = boot_ns
        self.alive = True
        self.changed: Callable[[], None] = lambda: None
        self._node = node
        self._world = world
        self._ports = dict(ports)
        self._slots = [_Slot() for _ in range(slots)]
        self._schedule = schedule
        self._planned = planned
        self._truth_log = truth_log
        self._durations = durations or OperationDurations()
        self._heard_ns = boot_ns
        self._fence = 0
        self._last_operation = 0
        self._lost_count = 0
        self._ends: OrderedDict[int, tuple[OperationState, int]] = OrderedDict()
        self._queue: deque[tuple[int, Operation, tuple[int, ...]]] = deque()
        self._busy = False
        self._wire(serial_number, identity)

    def _wire(self, serial_number: int, identity: int | None) -> None:
        registers, register_map = self.registers, self.registers.map
        caps = register_map["CAPS"].fields
        registers.put("ID", register_map.identity if identity is None else identity)
        registers.put("ABI", register_map.abi)
        registers.put("MAP_HASH", register_map.hash)
        registers.put("BUILD", 1)
        sizes = {
            "slots": len(self._slots),
            "ports": register_map["PORT_PERIOD"].count,
            "ring_log2": self.ring.depth.bit_length() - 1,
        }
        registers.put("CAPS", sum(caps[name].place(value) for name, value in sizes.items()))
        registers.put("TICK_FS", 8_000_000)
        registers.put("SERIAL", serial_number)
        registers.put("BOOT_COUNT", self.boot_count)
        registers.put("TIME_EPOCH", self.boot_count & 0xFFFF)
        registers.put("LEASE_MS", DEFAULT_LEASE_MS)
        status = register_map["STATUS"].fields
        registers.readers.update(
            {
                "STATUS": lambda _: (
                    status["ref_locked"].place(1) | status["operations_pending"].place(self._pending())
                ),
                "PPS_COUNT": lambda _: self.now_ns // SECOND_NS,
                "FENCE": lambda _: self._fence,
                "LAST_OPERATION": lambda _: self._last_operation,
                "OP_STATE": lambda _: int(self._end_of_query()[0]),
                "OP_RESULT": lambda _: self._end_of_query()[1],
                "SLOT": self._slot_word,
                "EV_WR": lambda _: self.ring.next,
                "EV_RD": lambda _: self.ring.oldest,
                "EV_LEVEL": lambda _: len(self.ring),
                "LOST": lambda _: self._lost_count,
            }
        )

    def _pending(self) -> int:
        return len(self._queue) + int(self._busy)

    def _slot_word(self, slot: int) -> int:
        if slot >= len(self._slots):
            return 0
        fields, entry = self.registers.map["SLOT"].fields, self._slots[slot]
        word = fields["state"].place(entry.state)
        if entry.arm is not None:
            word |= fields["port"].place(entry.arm.port) | fields["lane"].place(entry.arm.lane)
        return word

    # -- time and lease -------------------------------------------------------------------------------------

    def heard(self, now_ns: int) -> None:
        """A valid frame renews the dead-man lease."""
        self._heard_ns = now_ns

    def set_now(self, now_ns: int) -> None:
        """Time goes on; an expired lease disarms every armed slot, held qubits stay."""
        self.now_ns = max(self.now_ns, now_ns)
        lease_ns = self.registers.value("LEASE_MS") * 1_000_000
        if self.now_ns - self._heard_ns <= lease_ns:
            return
        for number, slot in enumerate(self._slots):
            if slot.state is SlotState.ARMED:
                self._world.disarm(self._node, number, self.now_ns)
                self._empty(number)
                self.registers.raise_sticky("STICKY", "lease_expired")
                self._push(MemoryWords(MemoryEvent.DISARMED, slot=number, result=LEASE_EXPIRED))

    # -- mailbox --------------------------------------------------------------------------------------------

    def write_block(self, address: int, words: tuple[int, ...]) -> Status | None:
        """A write that starts at OP_ID posts an operation."""
        if address != self.registers.map["OP_ID"].address:
            return None
        if len(words) < 2 or words[0] == 0 or len(words) > 2 + ARGUMENTS:
            return Status.RANGE
        operation = words[0]
        if operation in self._ends:
            state, result = self._ends[operation]
            if state is not OperationState.PENDING:
                self._tell_end(operation, state, result)  # answered from the store, never carried out twice
            return Status.OK
        if operation <= self._last_operation:
            return Status.RANGE
        if self._pending() >= MAILBOX_DEPTH:
            return Status.BUSY
        try:
            code = Operation(words[1])
        except ValueError:
            return Status.RANGE
        if len(words) - 2 != ARGUMENTS_OF[code]:
            return Status.RANGE
        self._last_operation = operation
        self._ends[operation] = (OperationState.PENDING, 0)
        while len(self._ends) > OPERATIONS_KEPT:
            self._ends.popitem(last=False)
        self._queue.append((operation, code, words[2:]))
        self._start_next()
        return Status.OK

    def _start_next(self) -> None:
        while self._queue and not self._busy:
            operation, code, arguments = self._queue.popleft()
            duration_ns = self._durations.of(code)
            if duration_ns:
                self._busy = True
                self._schedule(
                    self.now_ns + duration_ns, partial(self._finish_later, operation, code, arguments)
                )
            else:
                self._finish(operation, code, arguments)

    def _finish_later(self, operation: int, code: Operation, arguments: tuple[int, ...], now_ns: int) -> None:
        if not self.alive:
            return
        self.set_now(now_ns)
        self._busy = False
        self._finish(operation, code, arguments)
        self._start_next()
        self.changed()

    def _finish(self, operation: int, code: Operation, arguments: tuple[int, ...]) -> None:
        try:
            state, result = OperationState.DONE, self._execute(code, arguments)
        except _Refused as refusal:
            state, result = OperationState.FAILED, int(refusal.reason)
        except LocalMisuse:
            # The World refuses what no hardware could do (a gate on a qubit that is not there).
            state, result = OperationState.FAILED, int(Reason.REFUSED_BY_HARDWARE)
        self._ends[operation] = (state, result)
        self._tell_end(operation, state, result)

    def _tell_end(self, operation: int, state: OperationState, result: int) -> None:
        self._push(MemoryWords(MemoryEvent.OPERATION, slot=int(state), operation=operation, result=result))

    def _end_of_query(self) -> tuple[OperationState, int]:
        operation = self.registers.value("OP_QUERY")
        if operation in self._ends:
            return self._ends[operation]
        seen = 0 < operation <= self._last_operation
        return (OperationState.FORGOTTEN if seen else OperationState.NEVER_SEEN), 0

    # -- operations -----------------------------------------------------------------------------------------

    def _execute(self, code: Operation, arguments: tuple[int, ...]) -> int:
        world, node, now_ns = self._world, self._node, self.now_ns
        slot = self._number(arguments[0])
        match code:
            case Operation.ARM:
                self._arm(slot, arguments)
            case Operation.DISARM:
                if self._slots[slot].state is SlotState.ARMED:
                    world.disarm(node, slot, now_ns)
                    self._empty(slot)
            case Operation.INITIALISE:
                world.initialise(node, slot, now_ns)
                self._slots[slot] = _Slot(SlotState.INITIALISED)
            case Operation.HADAMARD:
                world.gate(node, self._loaded(slot), "h", 0.0, now_ns)
            case Operation.ROTATION:
                axis = self._choice(AXES, arguments[1])
                world.gate(node, self._loaded(slot), f"r{axis}", angle_of(arguments[2]), now_ns)
            case Operation.PAULI:
                if arguments[1] > 3:
                    raise _Refused(Reason.BAD_ARGUMENT)
                self._log_truth(self._loaded(slot), f"pauli_{arguments[1]}", 0)
                world.apply_pauli(node, slot, arguments[1], now_ns)
            case Operation.CNOT:
                world.cnot(node, self._loaded(slot), self._loaded(self._other(slot, arguments[1])), now_ns)
            case Operation.CZ:
                world.cz(node, self._loaded(slot), self._loaded(self._other(slot, arguments[1])), now_ns)
            case Operation.BELL:
                a, b = self._loaded(slot), self._loaded(self._other(slot, arguments[1]))
                outcome = world.measure_bell(node, a, b, now_ns)
                self._empty(a)
                self._empty(b)
                return BELL_FAILED if outcome is None else outcome
            case Operation.MEASURE:
                basis = self._choice(BASES, arguments[1])
                self._log_truth(self._loaded(slot), f"measure_{basis}", 0)
                bit = world.measure(node, slot, basis, now_ns)
                self._empty(slot)
                return bit
            case Operation.RELEASE:
                self._log_truth(slot, "release", arguments[1])
                world.release(node, slot, now_ns)
                self._empty(slot)
        return 0

    def _arm(self, slot: int, arguments: tuple[int, ...]) -> None:
        _, port, lane, run_short, epoch_s, *wide = arguments
        first, last, fence = (wide[k] | wide[k + 1] << 32 for k in (0, 2, 4))
        if fence < self._fence:
            raise _Refused(Reason.FENCED)
        self._fence = fence
        if self.registers.value("LEASE_MS") == 0:
            raise _Refused(Reason.NO_LEASE)
        link = self._ports.get(port)
        if (
            link is None
            or port >= self.registers.map["PORT_PERIOD"].count
            or not self.registers.value("PORT_PERIOD", port)
        ):
            raise _Refused(Reason.PORT_NOT_CONFIGURED)
        arm = _Arm(port, link, lane, run_short, epoch_s * SECOND_NS, first, last)
        entry = self._slots[slot]
        if entry.state is SlotState.HELD:
            raise _Refused(Reason.SLOT_IN_USE)
        self._arm_in_world(slot, arm)

    def _arm_in_world(self, slot: int, arm: _Arm) -> None:
        planned = self._world.arm(
            self._node,
            slot,
            arm.link,
            arm.lane,
            arm.run_short,
            arm.epoch_ns,
            arm.first,
            arm.last,
            self.now_ns,
        )
        # A lane has one slot per side: the newer replaces the older.
        for number, other in enumerate(self._slots):
            armed = other.arm if other.state is SlotState.ARMED and number != slot else None
            if armed is not None and (armed.link, armed.lane) == (arm.link, arm.lane):
                self._empty(number)
        self._slots[slot] = _Slot(SlotState.ARMED, arm)
        if planned is not None:
            self._planned(planned)

    # -- clicks ---------------------------------------------------------------------------------------------

    def herald(self, click: Click, slot: int, now_ns: int) -> None:
        """The herald pin fired for the attempt that this slot made: freeze it and tell the host."""
        self.set_now(now_ns)
        arm = self._slots[slot].arm
        if arm is None or self._slots[slot].state is not SlotState.ARMED:
            return
        self._slots[slot].state = SlotState.HELD
        stamp_s, sub_ns = divmod(click.at_ns, SECOND_NS)
        words = MemoryWords(
            MemoryEvent.HELD, slot, arm.port, click.lane, click.run, click.attempt, stamp_s, sub_ns
        )
        self._push(words)
        self.changed()

    def no_herald(self, slot: int, now_ns: int) -> None:
        """The pair was made but no pin fired (station without power, light outside the window): the next
        attempt
        overwrites it."""
        self.set_now(now_ns)
        arm = self._slots[slot].arm
        if arm is not None and self._slots[slot].state is SlotState.ARMED:
            self._arm_in_world(slot, arm)

    # -- ring -----------------------------------------------------------------------------------------------

    def _push(self, words: MemoryWords) -> None:
        if not self.ring.push(RingEntry(0, self.boot_count & 0xFFFF, words.pack())):
            self._lost_count += 1
            self.registers.raise_sticky("STICKY", "lost")

    def take_lost(self) -> list[Lost]:
        """This device has no attempt ranges; the count in the bound tells of dropped records."""
        return []

    def bound(self, first_unsent: int) -> Bound:
        """A sign of life that tells where the stream stands; no attempts are decided here."""
        second, sub_ns = divmod(self.now_ns, SECOND_NS)
        epoch = self.boot_count & 0xFFFF
        return Bound(
            0,
            epoch,
            None,
            min(first_unsent, self.ring.next),
            self._lost_count,
            self.boot_count,
            second,
            sub_ns,
        )

    # -- small checks ---------------------------------------------------------------------------------------

    def _number(self, slot: int) -> int:
        if slot >= len(self._slots):
            raise _Refused(Reason.BAD_ARGUMENT)
        return slot

    def _other(self, slot: int, other: int) -> int:
        if self._number(other) == slot:
            raise _Refused(Reason.BAD_ARGUMENT)
        return other

    def _loaded(self, slot: int) -> int:
        if self._slots[slot].state not in (SlotState.HELD, SlotState.INITIALISED):
            raise _Refused(Reason.EMPTY_SLOT)
        return slot

    @staticmethod
    def _choice(words: tuple[str, ...], index: int) -> str:
        if index >= len(words):
            raise _Refused(Reason.BAD_ARGUMENT)
        return words[index]

    def _empty(self, slot: int) -> None:
        self._slots[slot] = _Slot()

    def _log_truth(self, slot: int, operation: str, tag: int) -> None:
        if self._truth_log is not None:
            truth = self._world.truth(self._node, slot, self.now_ns)
            self._truth_log(self._node, slot, operation, self.now_ns, truth, tag)
