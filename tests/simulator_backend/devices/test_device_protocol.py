"""Emulated devices byte by byte with time passed in, and proof that planted protocol faults are noticed.

The list is the second half of fpga.md section 11: losses, bounds, repeats, CRC, commits, epochs, labels.
"""

from __future__ import annotations

from typing import Any

import pytest

from bellwire.core.errors import LocalMisuse
from bellwire.drivers import framing
from bellwire.drivers.frames import Bound, Credit, Events, HeraldFlag, HeraldWords, Lost
from bellwire.drivers.framing import FrameType, Message, Status, encode_frame, pack_words
from bellwire.drivers.herald_settings import Clock, HeraldSettings, polarisation_table
from bellwire.drivers.memory_words import Operation, OperationState, Reason
from bellwire.simulator_backend.devices import (
    endpoint,
    event_ring,
    herald_core,
    mailbox,
    memory_core,
    register_file,
)
from bellwire.simulator_backend.devices.faults import FaultSwitches
from tests.simulator_backend.devices.planting import plant

S = 10**9
BOOT_NS = 1_000 * S + 123_456_784
START_NS = 1_002 * S
PERIOD_NS = 1_000_000
SETTINGS = HeraldSettings(link_period_ns=PERIOD_NS)


class Wire:
    """A host that speaks frames to a device core and sorts what comes back."""

    def __init__(self, core: Any) -> None:
        self.core = core
        self.now_ns = core.now_ns
        self.seq = 0
        self.replies: list[Message] = []
        self.pushed: list[Message] = []
        self.decoder = framing.FrameDecoder()
        self.endpoint = endpoint.FramedEndpoint(core, self._sent, FaultSwitches())
        self.request(FrameType.HELLO, 0, [1])

    def _sent(self, octets: bytes) -> None:
        for message in self.decoder.feed(octets):
            (self.replies if message.type & 0x80 else self.pushed).append(message)

    def send(self, octets: bytes) -> None:
        self.endpoint.receive(octets, self.now_ns)

    def request(self, kind: int, address: int, words: list[int], count: int | None = None) -> Message:
        self.seq = (self.seq + 1) & 0xFF
        message = Message(
            kind, self.seq, address, len(words) if count is None else count, 0, pack_words(words)
        )
        self.send(encode_frame(message))
        return self.replies[-1]

    def read(self, name: str, index: int = 0) -> int:
        register = self.core.registers.map[name]
        reply = self.request(FrameType.READ, register.address_of(index), [], register.words)
        assert reply.status == Status.OK
        return int(register.decode(reply.words()))

    def write(self, name: str, value: int, index: int = 0) -> int:
        register = self.core.registers.map[name]
        return self.request(FrameType.WRITE, register.address_of(index), list(register.encode(value))).status

    def credit(self, granted: int, acknowledged: int) -> None:
        self.send(encode_frame(Message(FrameType.CREDIT, 0, payload=Credit(granted, acknowledged).pack())))

    def tick(self) -> Bound:
        self.endpoint.tick(self.now_ns)
        return Bound.unpack(self.pushed[-1].payload)

    def records(self) -> list[HeraldWords]:
        frames = [Events.unpack(m.payload, 16) for m in self.pushed if m.type == FrameType.EVENTS]
        return [HeraldWords.unpack(record) for frame in frames for record in frame.records]

    def lost(self) -> list[Lost]:
        return [Lost.unpack(m.payload) for m in self.pushed if m.type == FrameType.LOST]


def station(ring_log2: int = 8, boot_count: int = 1, boot_ns: int = BOOT_NS, running: bool = True) -> Wire:
    core = herald_core.HeraldCore(
        serial_number=1, boot_count=boot_count, boot_ns=boot_ns, ring_log2=ring_log2
    )
    wire = Wire(core)
    for (name, index), value in SETTINGS.registers(Clock(8_000_000, 3), 4, 2).items():
        assert wire.write(name, value, index) == Status.OK
    lut = core.registers.map["LUT_DATA"].address
    table = list(polarisation_table())
    for k in range(0, 256, 16):
        wire.request(FrameType.WRITE_FIXED, lut, table[k : k + 16])
    wire.write("CMD", core.registers.map["CMD"].fields["commit"].place(1))
    if running:
        wire.write("RUN_ID", 42)
        wire.write("ARM_PPS", START_NS // S)
        assert wire.write("CTRL", 0b1001) == Status.OK
        wire.now_ns = START_NS
        wire.core.set_now(START_NS)
    return wire


def click(wire: Wire, attempt: int, after_ns: int = 104) -> int:
    wire.now_ns = max(wire.now_ns, START_NS + attempt * PERIOD_NS + after_ns)
    outcome = wire.core.click(START_NS + attempt * PERIOD_NS + after_ns, 0, 1, wire.now_ns)
    wire.endpoint.pump()
    return int(outcome)


# -- directed cases: each raises AssertionError when the device is wrong ------------------------------


def station_and_node_number_attempts_alike() -> None:
    wire = station()
    wire.credit(100, 0)
    for attempt in (0, 1, 7):
        assert click(wire, attempt) == 1
    assert [record.attempt for record in wire.records()] == [0, 1, 7]


def overflow_drops_the_newest_and_says_which() -> None:
    wire = station(ring_log2=1)
    for attempt in (3, 5, 9, 11):
        assert click(wire, attempt) == 1  # the herald pins fire whether or not the record finds room
    assert wire.records() == []
    assert [(lost.first, lost.last, lost.count, lost.run_short) for lost in wire.lost()] == [
        (9, 9, 1, 42),
        (11, 11, 1, 42),
    ]
    wire.credit(2, 0)
    assert [(r.attempt, r.flags) for r in wire.records()] == [(3, 0), (5, 0)]
    wire.credit(100, 2)
    click(wire, 20)
    click(wire, 21)
    assert [(r.attempt, r.flags) for r in wire.records()[2:]] == [(20, HeraldFlag.LOST_BEFORE), (21, 0)]
    assert wire.read("LOST") == 2
    assert wire.read("STICKY") & 1


def bounds_follow_the_decision_time() -> None:
    wire = station()
    wire.now_ns = START_NS + 4 * PERIOD_NS + SETTINGS.decide_ns - 1
    assert wire.tick().decided_to == 3
    wire.now_ns += 1
    assert wire.tick().decided_to == 4


def bounds_wait_for_records_that_have_not_left() -> None:
    wire = station()
    click(wire, 5)
    wire.now_ns = START_NS + 10 * PERIOD_NS
    assert wire.tick().decided_to == 4
    wire.credit(10, 0)
    bound = wire.tick()
    assert (bound.decided_to, bound.next_event) == (9, 1)
    assert (
        wire.pushed.index(next(m for m in wire.pushed if m.type == FrameType.EVENTS)) < len(wire.pushed) - 1
    )


def bounds_wait_for_light_on_its_way() -> None:
    wire = station()
    wire.core.expected_clicks = lambda: [(START_NS + 6 * PERIOD_NS + 104, 0)]
    wire.now_ns = START_NS + 10 * PERIOD_NS
    assert wire.tick().decided_to == 5


def a_bound_stays_where_the_run_stopped() -> None:
    wire = station()
    wire.now_ns = START_NS + 10 * PERIOD_NS
    wire.write("CTRL", 0)
    wire.now_ns = START_NS + 90 * PERIOD_NS
    assert wire.tick().decided_to == 9
    assert click(wire, 95) == 0


def the_next_run_id_is_not_put_on_the_last_run() -> None:
    wire = station()
    click(wire, 5)
    wire.now_ns = START_NS + 10 * PERIOD_NS
    wire.write("CTRL", 0)
    wire.write("RUN_ID", 43)
    wire.credit(10, 0)
    bound = wire.tick()
    assert (bound.run_short, bound.decided_to) == (42, 9)
    wire.write("ARM_PPS", START_NS // S + 1)
    wire.write("CTRL", 0b1001)
    bound = wire.tick()
    assert (bound.run_short, bound.decided_to) == (43, None)


def a_repeated_request_is_answered_and_not_executed_again() -> None:
    wire = station()
    wire.write("LUT_ADDR", 5)
    executed = wire.endpoint.executed
    lut = wire.core.registers.map["LUT_DATA"].address
    frame = encode_frame(Message(FrameType.READ_FIXED, 200, lut, 1))
    wire.send(frame)
    first = wire.replies[-1]
    wire.send(frame)
    assert wire.replies[-1] == first
    assert wire.endpoint.executed == executed + 1
    assert wire.read("LUT_ADDR") == 6


def a_damaged_write_has_no_effect() -> None:
    wire = station()
    address = wire.core.registers.map["SCRATCH"].address
    frame = bytearray(encode_frame(Message(FrameType.WRITE, 201, address, 1, 0, pack_words([0x01010101]))))
    frame[8] ^= 0x02
    wire.send(bytes(frame))
    assert wire.read("SCRATCH") == 0
    assert wire.read("STICKY") & wire.core.registers.map["STICKY"].fields["crc_err"].place(1)


def a_commit_takes_effect_whole_at_the_boundary() -> None:
    wire = station()
    wire.now_ns = START_NS + PERIOD_NS // 2
    wire.write("WIN_START", 50)
    wire.write("WIN_LEN", 60)
    wire.write("CMD", 16)
    wire.write("WIN_LEN", 999)  # meant for the next commit
    assert (wire.read("WIN_START"), wire.read("WIN_LEN")) == (80, 48)
    wire.now_ns = START_NS + PERIOD_NS
    assert (wire.read("WIN_START"), wire.read("WIN_LEN")) == (50, 60)


def a_commit_too_close_to_the_boundary_is_late_and_changes_nothing() -> None:
    wire = station()
    wire.now_ns = START_NS + PERIOD_NS - 10
    wire.write("WIN_LEN", 60)
    wire.write("CMD", 16)
    assert wire.read("STICKY") & wire.core.registers.map["STICKY"].fields["late_commit"].place(1)
    wire.now_ns = START_NS + 2 * PERIOD_NS
    assert wire.read("WIN_LEN") == 48


def a_restart_begins_a_new_time_epoch() -> None:
    epochs = [station(boot_count=count).tick().time_epoch for count in (1, 2)]
    assert epochs[0] != epochs[1]


def a_second_is_labelled_by_its_own_pps() -> None:
    wire = station()
    wire.now_ns = START_NS + 3 * S + 5
    assert wire.read("PPS_COUNT") == START_NS // S + 3
    ticks = wire.read("TIME") - wire.read("PPS_TIME")
    assert ticks * 8 == 0
    click(wire, 2000)
    wire.credit(10, 0)
    stamp = wire.records()[-1].stamp
    pps_ns = wire.read("PPS_COUNT") * S
    assert pps_ns + stamp - wire.read("PPS_TIME") * 8 == START_NS + 2000 * PERIOD_NS


def the_high_word_belongs_to_the_low_word_read_before() -> None:
    wire = station(running=False)
    address = wire.core.registers.map["TIME"].address
    wrap_ticks = 2 << 32  # the counter has passed its first wrap when the device starts
    counter_zero_ns = BOOT_NS - BOOT_NS % 8 - herald_core.COUNTER_START_NS
    wire.now_ns = counter_zero_ns + (wrap_ticks - 1) * 8
    low = wire.request(FrameType.READ, address, [], 1).words()[0]
    wire.now_ns += 8
    high = wire.request(FrameType.READ, address + 1, [], 1).words()[0]
    assert (low, high) == (0xFFFF_FFFF, 1)


def an_overrun_attempt_is_lost_and_never_a_fail() -> None:
    wire = station(running=False)
    wire.write("PERIOD", 30)  # 240 ns, before the decision at 256 ns
    wire.write("CMD", 16)
    wire.write("ARM_PPS", START_NS // S)
    wire.write("CTRL", 0b1001)
    wire.credit(10, 0)
    wire.now_ns = START_NS + 10_000
    assert wire.core.click(START_NS + 104, 0, 1, wire.now_ns) == 0
    wire.endpoint.pump()
    assert [(lost.first, lost.last, lost.count) for lost in wire.lost()] == [(0, 0, 1)]
    assert wire.records() == []


def unacknowledged_records_are_sent_again_on_request() -> None:
    wire = station()
    wire.credit(10, 0)
    for attempt in range(4):
        click(wire, attempt)
    wire.credit(10, 1)
    assert wire.request(FrameType.GET, 0, [2]).status == Status.OK
    assert [record.attempt for record in wire.records()] == [0, 1, 2, 3, 2, 3]
    gone = wire.request(FrameType.GET, 0, [0])
    assert (gone.status, gone.words()) == (Status.RANGE, (1,))


def refused_requests_say_why_and_change_nothing() -> None:
    wire = station()
    scratch = wire.core.registers.map["SCRATCH"].address
    assert wire.request(FrameType.READ, 0x3F, [], 1).status == Status.BAD_ADDRESS
    assert wire.request(FrameType.WRITE, 0, [1]).status == Status.READ_ONLY
    assert wire.request(FrameType.WRITE, scratch, [7, 8]).status == Status.READ_ONLY  # SERIAL follows SCRATCH
    assert wire.read("SCRATCH") == 0
    assert (
        wire.request(FrameType.WRITE, wire.core.registers.map["FINE_ADDR"].address, [256]).status
        == Status.RANGE
    )
    assert wire.request(0x2A, 0, []).status == Status.BAD_TYPE


DIRECTED = [
    station_and_node_number_attempts_alike,
    overflow_drops_the_newest_and_says_which,
    bounds_follow_the_decision_time,
    bounds_wait_for_records_that_have_not_left,
    bounds_wait_for_light_on_its_way,
    a_bound_stays_where_the_run_stopped,
    the_next_run_id_is_not_put_on_the_last_run,
    a_repeated_request_is_answered_and_not_executed_again,
    a_damaged_write_has_no_effect,
    a_commit_takes_effect_whole_at_the_boundary,
    a_commit_too_close_to_the_boundary_is_late_and_changes_nothing,
    a_restart_begins_a_new_time_epoch,
    a_second_is_labelled_by_its_own_pps,
    the_high_word_belongs_to_the_low_word_read_before,
    an_overrun_attempt_is_lost_and_never_a_fail,
    unacknowledged_records_are_sent_again_on_request,
    refused_requests_say_why_and_change_nothing,
]

PLANTED: dict[str, tuple[Any, str, str]] = {
    "drop oldest": (
        event_ring,
        "            return False\n",
        "            self._entries.popleft()\n            self.oldest += 1\n",
    ),
    "lost-before not set": (herald_core, "self._lost_before = True", "pass"),
    "no range message": (herald_core, "lost, self._lost = self._lost, []", "lost, self._lost = [], []"),
    "bound one attempt early": (
        herald_core,
        "return last if last >= 0 else None",
        "return last + 1 if last >= -1 else None",
    ),
    "bound before its record": (herald_core, "range(first_unsent, self.ring.next)", "range(0)"),
    "bound before its light": (herald_core, "in self.expected_clicks():", "in ():"),
    "bound goes on after stop": (
        herald_core,
        "until_ns = self.now_ns if self._stop_ns is None else self._stop_ns",
        "until_ns = self.now_ns",
    ),
    "bound of the next run too early": (
        herald_core,
        "run_short = self._run_short\n        if limit",
        "run_short = self.registers.value('RUN_ID')\n        if limit",
    ),
    "bound kept from the last run": (
        herald_core,
        "            self._decided_to = None\n            self._lost_before",
        "            self._lost_before",
    ),
    "repeat executed twice": (endpoint, "if request == message:", "if False:"),
    "write before the CRC check": (
        framing,
        "if crc16_x25(body[:-2]) != body[-2] | body[-1] << 8:",
        "if False:",
    ),
    "torn commit": (herald_core, "self.registers.snapshot_shadow()", "self.registers._shadow"),
    "late commit not told": (herald_core, 'self.registers.raise_sticky("STICKY", "late_commit")', "pass"),
    "late commit in force": (
        herald_core,
        '"late_commit")\n                return Status.OK',
        '"late_commit")',
    ),
    "epoch not incremented": (herald_core, "self.time_epoch = boot_count & 0xFFFF", "self.time_epoch = 1"),
    "PPS label off by one": (
        herald_core,
        "return self.now_ns // SECOND_NS",
        "return self.now_ns // SECOND_NS + 1",
    ),
    "attempt off by one": (
        herald_core,
        "self._golden.edge(attempt, edge)",
        "attempt += 1\n        self._golden.edge(attempt, edge)",
    ),
    "overrun not lost": (herald_core, "self._lose(result.attempt)", "pass"),
    "high word not latched": (
        register_file,
        "return self._latched.get(key, 0)",
        "return self.value(*key) >> 32",
    ),
    "refused burst half written": (
        endpoint,
        "                return status  # nothing was changed yet: a refused burst is refused whole",
        "                break",
    ),
    "resend from the wrong place": (endpoint, "self._send_next = words[0]", "self._send_next = words[0] + 1"),
}


@pytest.mark.parametrize("case", DIRECTED, ids=lambda case: case.__name__)
def test_the_device_keeps_the_protocol(case: Any) -> None:
    case()


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_noticed(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, old, new = PLANTED[fault]
    plant(monkeypatch, module, (old, new))
    noticed = 0
    for case in DIRECTED:
        try:
            case()
        except (AssertionError, IndexError, KeyError, LocalMisuse):
            noticed += 1
    assert noticed, f"no directed case noticed: {fault}"


# -- memory controller ------------------------------


class WorldWithoutPhysics:
    """Writes down what it is asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            self.calls.append((name, *arguments))
            return 0 if name == "measure" else None

        return call


def memory() -> tuple[Wire, WorldWithoutPhysics, list[tuple[int, Any]]]:
    world = WorldWithoutPhysics()
    later: list[tuple[int, Any]] = []
    core = memory_core.MemoryCore(
        node="n",
        world=world,
        ports={0: "link"},
        slots=2,
        serial_number=1,
        boot_count=1,
        boot_ns=BOOT_NS,
        schedule=lambda at_ns, callback: later.append((at_ns, callback)),
        planned=lambda planned: None,
    )
    wire = Wire(core)
    wire.write("PORT_PERIOD", PERIOD_NS)
    return wire, world, later


def post(wire: Wire, operation: int, code: Operation, *arguments: int) -> int:
    return wire.request(FrameType.WRITE, 0x50, [operation, int(code), *arguments]).status


def end_of(wire: Wire, operation: int) -> tuple[int, int]:
    wire.write("OP_QUERY", operation)
    return wire.read("OP_STATE"), wire.read("OP_RESULT")


def arm(wire: Wire, operation: int, fence: int, slot: int = 0) -> int:
    return post(wire, operation, Operation.ARM, slot, 0, 0, 1, 2000, 0, 0, 10, 0, fence, 0, 0)


def an_id_is_carried_out_once() -> None:
    wire, world, later = memory()
    for _ in range(2):
        assert post(wire, 1, Operation.INITIALISE, 0) == Status.OK
    for at_ns, callback in later:
        callback(at_ns)
    assert post(wire, 1, Operation.INITIALISE, 0) == Status.OK
    assert [call[0] for call in world.calls] == ["initialise"]
    assert end_of(wire, 1) == (OperationState.DONE, 0)
    assert end_of(wire, 2) == (OperationState.NEVER_SEEN, 0)


def operations_run_one_after_the_other() -> None:
    wire, world, later = memory()
    post(wire, 1, Operation.INITIALISE, 0)
    post(wire, 2, Operation.INITIALISE, 1)
    post(wire, 3, Operation.RELEASE, 0, 0)
    assert (len(later), world.calls) == (1, [])
    assert end_of(wire, 3)[0] == OperationState.PENDING
    while later:
        at_ns, callback = later.pop(0)
        callback(at_ns)
    assert [(call[0], call[2]) for call in world.calls if call[0] != "truth"] == [
        ("initialise", 0),
        ("initialise", 1),
        ("release", 0),
    ]


def an_older_fence_is_refused() -> None:
    wire, world, _ = memory()
    arm(wire, 1, 7)
    arm(wire, 2, 6, slot=1)
    assert end_of(wire, 2) == (OperationState.FAILED, Reason.FENCED)
    assert [call[0] for call in world.calls] == ["arm"]


def silence_disarms() -> None:
    wire, world, _ = memory()
    arm(wire, 1, 7)
    wire.now_ns += 1_000_000_000
    wire.tick()
    assert [call[0] for call in world.calls] == ["arm"]
    wire.now_ns += 1
    wire.tick()
    assert [call[0] for call in world.calls] == ["arm", "disarm"]


def no_lease_no_arm() -> None:
    wire, world, _ = memory()
    wire.write("LEASE_MS", 0)
    arm(wire, 1, 7)
    assert end_of(wire, 1) == (OperationState.FAILED, Reason.NO_LEASE)
    assert world.calls == []


MEMORY_DIRECTED = [
    an_id_is_carried_out_once,
    operations_run_one_after_the_other,
    an_older_fence_is_refused,
    silence_disarms,
    no_lease_no_arm,
]

MEMORY_PLANTED: dict[str, tuple[Any, str, str]] = {
    "id carried out again": (
        mailbox,
        "if operation in self._ends:\n            state",
        "if False:\n            state",
    ),
    "id taken again": (
        mailbox,
        "if operation in self._ends:\n            state, result = self._ends[operation]\n",
        "if operation in self._ends:\n            state, result = self._ends[operation]\n"
        "            self._queue.append((operation, Operation(words[1]), words[2:]))\n"
        "            self._start_next()\n",
    ),
    "operations overlap": (mailbox, "while self._queue and not self._busy:", "while self._queue:"),
    "fence ignored": (memory_core, "if fence < self._fence:", "if False:"),
    "lease never ends": (memory_core, "if self.now_ns - self._heard_ns <= lease_ns:", "if True:"),
    "lease ends early": (memory_core, "self._heard_ns <= lease_ns", "self._heard_ns < lease_ns"),
    "lease forgotten": (memory_core, "raise OperationFailed(Reason.NO_LEASE)", "pass"),
}


@pytest.mark.parametrize("case", MEMORY_DIRECTED, ids=lambda case: case.__name__)
def test_the_memory_controller_keeps_its_promises(case: Any) -> None:
    case()


@pytest.mark.parametrize("fault", MEMORY_PLANTED)
def test_a_fault_planted_in_the_memory_controller_is_noticed(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, old, new = MEMORY_PLANTED[fault]
    plant(monkeypatch, module, (old, new))
    noticed = 0
    for case in MEMORY_DIRECTED:
        try:
            case()
        except AssertionError:
            noticed += 1
    assert noticed, f"no directed case noticed: {fault}"
