"""The quantum-memory controller behind its registers: mailbox, slots, arms with fences, dead-man lease, ring.

Owns the volatile state of one powered controller; a power cycle makes a new core. Sans I/O: time is passed
in, later work is given to `schedule`. Physics is the World's; this file only says when it is asked. Refuses
operations on slots that hold nothing, because real controllers know which slot they loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.frames import Bound, Lost, MemoryEvent, MemoryWords
from bellwire.drivers.framing import Status
from bellwire.drivers.memory_words import (
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
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.mailbox import Mailbox, OperationFailed
from bellwire.simulator_backend.devices.operation_durations import OperationDurations
from bellwire.simulator_backend.devices.register_file import RegisterFile
from bellwire.simulator_backend.devices.world_port import TruthLog, WorldPort
from bellwire.simulator_backend.world_words import Click, PairTruth, PlannedClick

if TYPE_CHECKING:
    from bellwire.simulator_backend.world_fusions import GroupTruth

SECOND_NS = 1_000_000_000
RING_LOG2 = 10
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
    point: int


@dataclass(slots=True)
class _Slot:
    state: SlotState = SlotState.EMPTY
    arm: _Arm | None = None


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
        self._mailbox = Mailbox(
            self._execute,
            self._tell_end,
            lambda: self.now_ns,
            self._later,
            durations or OperationDurations(),
        )
        self._heard_ns = boot_ns
        self._fence = 0
        self._lost_count = 0
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
                    status["ref_locked"].place(1) | status["operations_pending"].place(self._mailbox.pending)
                ),
                "PPS_COUNT": lambda _: self.now_ns // SECOND_NS,
                "FENCE": lambda _: self._fence,
                "LAST_OPERATION": lambda _: self._mailbox.last_operation,
                "OP_STATE": lambda _: int(self._mailbox.end_of(registers.value("OP_QUERY"))[0]),
                "OP_RESULT": lambda _: self._mailbox.end_of(registers.value("OP_QUERY"))[1],
                "SLOT": self._slot_word,
                "EV_WR": lambda _: self.ring.next,
                "EV_RD": lambda _: self.ring.oldest,
                "EV_LEVEL": lambda _: len(self.ring),
                "LOST": lambda _: self._lost_count,
            }
        )

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
        return self._mailbox.post(words)

    def _tell_end(self, operation: int, state: OperationState, result: int, at_ns: int) -> None:
        stamp_s, sub_ns = divmod(at_ns, SECOND_NS)
        self._push(
            MemoryWords(
                MemoryEvent.OPERATION,
                slot=int(state),
                stamp_s=stamp_s,
                stamp_sub_ns=sub_ns,
                operation=operation,
                result=result,
            )
        )

    def _later(self, duration_ns: int, callback: Callable[[], None]) -> None:
        """Schedule work of the mailbox; nothing of it happens once the power is gone."""

        def run(now_ns: int) -> None:
            if self.alive:
                self.set_now(now_ns)
                callback()
                self.changed()

        self._schedule(self.now_ns + duration_ns, run)

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
                self._log_truth(self._loaded(slot), f"rotation_{axis}", 0)
                world.gate(node, slot, f"r{axis}", angle_of(arguments[2]), now_ns)
            case Operation.PAULI:
                if arguments[1] > 3:
                    raise OperationFailed(Reason.BAD_ARGUMENT)
                self._log_truth(self._loaded(slot), f"pauli_{arguments[1]}", 0)
                world.apply_pauli(node, slot, arguments[1], now_ns)
            case Operation.CNOT:
                world.cnot(node, self._loaded(slot), self._loaded(self._other(slot, arguments[1])), now_ns)
            case Operation.CZ:
                world.cz(node, self._loaded(slot), self._loaded(self._other(slot, arguments[1])), now_ns)
            case Operation.BELL:
                a, b = self._loaded(slot), self._loaded(self._other(slot, arguments[1]))
                if self._slots[a].state is SlotState.INITIALISED:  # a teleportation uses the pair of b up
                    self._log_truth(b, "bell", 0)
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
        _, port, lane, run_short, epoch_s, *wide, point = arguments
        first, last, fence = (wide[k] | wide[k + 1] << 32 for k in (0, 2, 4))
        if fence < self._fence:
            raise OperationFailed(Reason.FENCED)
        self._fence = fence
        if self.registers.value("LEASE_MS") == 0:
            raise OperationFailed(Reason.NO_LEASE)
        link = self._ports.get(port)
        if (
            link is None
            or port >= self.registers.map["PORT_PERIOD"].count
            or not self.registers.value("PORT_PERIOD", port)
        ):
            raise OperationFailed(Reason.PORT_NOT_CONFIGURED)
        arm = _Arm(port, link, lane, run_short, epoch_s * SECOND_NS, first, last, point)
        entry = self._slots[slot]
        if entry.state is SlotState.HELD:
            raise OperationFailed(Reason.SLOT_IN_USE)
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
            arm.point,
        )
        # A lane has one attempting slot per side: the newer replaces it. What an older slot holds, it keeps.
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

    def afflict(self, fault: Fault, on: bool, now_ns: int) -> None:
        """Raises LocalMisuse: nothing but line and power goes wrong with this controller."""
        raise LocalMisuse(f"a memory controller has no fault {fault.value}")

    def tag_bound(self, first_unsent: int) -> Bound | None:
        """A memory has no time tags."""
        return None

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
            raise OperationFailed(Reason.BAD_ARGUMENT)
        return slot

    def _other(self, slot: int, other: int) -> int:
        if self._number(other) == slot:
            raise OperationFailed(Reason.BAD_ARGUMENT)
        return other

    def _loaded(self, slot: int) -> int:
        if self._slots[slot].state not in (SlotState.HELD, SlotState.INITIALISED):
            raise OperationFailed(Reason.EMPTY_SLOT)
        return slot

    @staticmethod
    def _choice(words: tuple[str, ...], index: int) -> str:
        if index >= len(words):
            raise OperationFailed(Reason.BAD_ARGUMENT)
        return words[index]

    def _empty(self, slot: int) -> None:
        self._slots[slot] = _Slot()

    def _log_truth(self, slot: int, operation: str, tag: int) -> None:
        if self._truth_log is not None:
            truth: PairTruth | GroupTruth | None = self._world.truth(self._node, slot, self.now_ns)
            if truth is None and (operation == "release" or operation.startswith("measure")):
                truth = self._world.group_truth(self._node, slot, self.now_ns)
            self._truth_log(self._node, slot, operation, self.now_ns, truth, tag)
