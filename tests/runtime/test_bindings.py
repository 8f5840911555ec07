"""Device orders and device events: every order ends in exactly one event, names are mapped both ways."""

import asyncio
import math
from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec
import pytest

from bellwire.core.effects import (
    ApplyPauli,
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
from bellwire.core.errors import LocalMisuse
from bellwire.core.events import (
    BellMeasured,
    DeviceChanged,
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
from bellwire.core.settings import LinkSettings, NetworkSettings, NodeSettings
from bellwire.drivers.attempt_numbers import AttemptNumbers
from bellwire.drivers.faults import Disconnected, OperationRefused, OperationUnknown
from bellwire.drivers.herald_fpga import HeraldFpga, HeraldRecord
from bellwire.drivers.instrument import Condition, InstrumentState
from bellwire.drivers.memory_controller import BellResult, Done, MemoryController, MemoryStatus, SlotStatus
from bellwire.drivers.memory_words import SlotState
from bellwire.runtime.bindings import MemoryBindings, StationBindings
from bellwire.runtime.clock import LiveClock
from bellwire.runtime.device_orders import ORDERS_MAX
from bellwire.runtime.device_watch import DeviceWatch
from bellwire.runtime.health import Health
from bellwire.runtime.runs_short import ShortRuns
from tests.runtime.buses import until

SECOND_NS = 1_000_000_000


def link(name: str, a: str, b: str, lanes: int = 4) -> LinkSettings:
    return LinkSettings(
        link=name,
        nodes=(a, b),
        station="hut",
        period_ns=1_000_000,
        lanes=lanes,
        slots=(tuple(range(lanes)), tuple(range(lanes))),
        success_probability=0.01,
        heralds=(),
        click_delay_ns=50_000,
        herald_delay_ns=(0, 0),
        length_km=10.0,
    )


NETWORK = NetworkSettings(
    nodes={"relay": NodeSettings(name="relay", role="repeater", memory=None, links=("west", "east"))},
    links={"west": link("west", "alice", "relay"), "east": link("east", "relay", "bob")},
    delays_ns={},
)


class FakeMemory:
    """Answers operations by script and remembers them in order."""

    name = "fake"

    def __init__(self) -> None:
        self.passed: Callable[[str], None] = lambda name: None  # time goes on
        self.calls: list[tuple[Any, ...]] = []
        self.gates: dict[str, asyncio.Future[Any]] = {}
        self.faults: dict[str, Exception] = {}
        self.once: dict[str, Exception] = {}
        self.slots: tuple[SlotStatus, ...] = ()
        self.on_held: Callable[..., None] = lambda *_: None
        self.on_reset: Callable[[], None] = lambda: None

    async def _do(self, name: str, *arguments: Any, result: Any = None) -> Any:
        self.calls.append((name, *arguments))
        self.passed(name)
        if name in self.gates:
            await self.gates[name]
        if name in self.once:
            raise self.once.pop(name)
        if name in self.faults:
            raise self.faults[name]
        return result

    async def arm(self, *arguments: int) -> None:
        await self._do("arm", *arguments)

    async def disarm(self, slot: int) -> None:
        await self._do("disarm", slot)

    async def release(self, slot: int, tag: int = 0) -> None:
        await self._do("release", slot, tag)

    async def bell_measure(self, a: int, b: int) -> BellResult:
        return cast(BellResult, await self._do("bell", a, b, result=BellResult("ok", 3)))

    async def measure(self, slot: int, basis: str) -> int:
        return cast(int, await self._do("measure", slot, basis, result=1))

    async def measure_timed(self, slot: int, basis: str) -> Done:
        return Done(await self.measure(slot, basis), 2_000)

    async def initialise(self, slot: int) -> Done:
        await self._do("initialise", slot)
        return Done(0, 500)

    async def hadamard(self, slot: int) -> None:
        await self._do("hadamard", slot)

    async def pauli(self, slot: int, index: int) -> None:
        await self._do("pauli", slot, index)

    async def rotation(self, slot: int, axis: str, angle_rad: float) -> Done:
        await self._do("rotation", slot, axis, angle_rad)
        return Done(0, 1_000)

    async def cnot(self, control: int, target: int) -> None:
        await self._do("cnot", control, target)

    async def read_status(self) -> MemoryStatus:
        return MemoryStatus(self.slots, 0, 0, 0, False)


class Bench:
    """Memory bindings of the relay on a fake memory."""

    def __init__(self, clock: LiveClock | None = None) -> None:
        self.memory = FakeMemory()
        self.events: list[Event] = []
        self.health = Health()
        self.watch = DeviceWatch("memory", self.events.append, self.health)
        controller = cast(MemoryController, self.memory)
        self.bindings = MemoryBindings(
            NETWORK,
            "relay",
            controller,
            self.watch,
            self.events.append,
            clock or LiveClock(),
            self.health,
            incarnation=4,
        )

    async def ended(self, count: int = 1) -> list[Event]:
        await until(lambda: len(self.events) >= count, f"{count} events")
        return self.events


def arm_order(**changes: Any) -> StartAttempts:
    fields: dict[str, Any] = {
        "slot": 5,
        "generation": 1,
        "link": "east",
        "lane": 1,
        "run": (7 << 32) + 9,
        "epoch_ns": 4 * SECOND_NS,
        "first": 10,
        "last": 20,
        "fence": 3,
    }
    return StartAttempts(**(fields | changes))


async def test_attempts_are_armed_by_port_short_run_and_second_and_heralds_come_back_by_their_names() -> None:
    bench = Bench()
    bench.bindings.carry_out(arm_order())
    await until(lambda: bool(bench.memory.calls), "the arm")
    assert bench.memory.calls == [("arm", 5, 1, 1, 9, 4, 10, 20, 4, 0)]
    bench.memory.on_held(5, 1, 1, 9, 12, 4_012_000_000)
    held = QubitHeld(slot=5, link="east", run=(7 << 32) + 9, attempt=12, lane=1, at_ns=4_012_000_000)
    assert bench.events == [held]
    bench.memory.on_held(5, 1, 1, 10, 12, 1)  # a run that was never started here
    assert bench.events == [held]
    assert bench.health.counts["held_in_unknown_run"] == 1


async def test_orders_on_one_slot_are_carried_out_in_order_and_others_do_not_wait() -> None:
    bench = Bench()
    bench.memory.gates["bell"] = asyncio.get_running_loop().create_future()
    bench.bindings.carry_out(MeasureBell(operation=1, left_slot=0, right_slot=1, within_ns=SECOND_NS))
    bench.bindings.carry_out(ReleaseQubit(slot=1, tag=0))
    bench.bindings.carry_out(StopAttempts(slot=2, generation=1))
    await until(lambda: len(bench.memory.calls) == 3, "the two that may go on; a stopped slot is emptied")
    assert bench.memory.calls == [("bell", 0, 1), ("disarm", 2), ("release", 2, 0)]
    bench.memory.gates["bell"].set_result(None)
    await until(lambda: len(bench.memory.calls) == 4, "the release")
    assert bench.memory.calls[3] == ("release", 1, 0)


async def test_a_lane_is_armed_in_the_order_of_its_slots_also_when_the_first_slot_is_late() -> None:
    """Else the device would take the late slot for the newer one, and stop the slot that shall attempt."""
    bench = Bench()
    release = bench.memory.gates["release"] = asyncio.get_running_loop().create_future()
    bench.bindings.carry_out(ReleaseQubit(slot=0, tag=0))
    bench.bindings.carry_out(arm_order(slot=0))
    bench.bindings.carry_out(StopAttempts(slot=0, generation=1))
    bench.bindings.carry_out(arm_order(slot=2))
    bench.bindings.carry_out(arm_order(slot=3, lane=0))
    await until(lambda: len(bench.memory.calls) == 2, "the release, and a lane that need not wait")
    assert [call[:2] for call in bench.memory.calls] == [("release", 0), ("arm", 3)]
    release.set_result(None)
    await until(lambda: len(bench.memory.calls) == 6, "all orders")
    arms = [call[1] for call in bench.memory.calls if call[0] == "arm"]
    assert arms == [3, 0, 2]


@pytest.mark.parametrize(
    ("fault", "ended"),
    [
        (None, "done"),
        (OperationRefused("fake", "bell", "slot empty"), "failed"),
        (OperationUnknown("fake", "bell", "restarted"), "unknown"),
        (Disconnected("fake", "gone"), "unknown"),
    ],
)
async def test_every_measuring_order_ends_in_exactly_one_event(fault: Exception | None, ended: str) -> None:
    bench = Bench()
    if fault is not None:
        bench.memory.faults = dict.fromkeys(("bell", "measure", "pauli"), fault)
    bench.bindings.carry_out(MeasureBell(operation=1, left_slot=0, right_slot=1, within_ns=SECOND_NS))
    bench.bindings.carry_out(MeasureQubit(operation=2, slot=2, basis="X", tag=0, within_ns=SECOND_NS))
    bench.bindings.carry_out(ApplyPauli(operation=3, slot=3, pauli=2, within_ns=SECOND_NS))
    await bench.ended(3)
    results = {type(event): event for event in bench.events}
    bell, qubit, pauli = results[BellMeasured], results[QubitMeasured], results[PauliApplied]
    assert isinstance(bell, BellMeasured)
    assert isinstance(qubit, QubitMeasured)
    assert isinstance(pauli, PauliApplied)
    assert (bell.operation, bell.ended, bell.outcome) == (1, ended, 3 if fault is None else None)
    assert (qubit.operation, qubit.ended, qubit.bit) == (2, ended, 1 if fault is None else None)
    assert (pauli.operation, pauli.ended) == (3, ended)
    assert len(bench.events) == 3


IN_USE = OperationRefused("fake", "arm", "slot in use")


async def test_a_slot_that_should_be_empty_is_emptied_before_it_attempts() -> None:
    """A measurement without a result leaves its qubit in the memory, and no lane may die of that."""
    bench = Bench()
    bench.memory.once = {"arm": IN_USE}
    bench.bindings.carry_out(arm_order(generation=2))
    await until(lambda: len(bench.memory.calls) == 3, "the release and another arm")
    assert [call[:2] for call in bench.memory.calls] == [("arm", 5), ("release", 5), ("arm", 5)]
    assert bench.health.counts["slot_emptied_before_use"] == 1


async def test_a_slot_that_has_just_caught_a_pair_keeps_it_when_its_attempts_are_extended() -> None:
    bench = Bench()
    bench.bindings.carry_out(arm_order(generation=2))
    await until(lambda: len(bench.memory.calls) == 1, "the arm")
    bench.memory.faults = {"arm": IN_USE}
    bench.bindings.carry_out(arm_order(generation=2, last=30))
    bench.bindings.carry_out(ReleaseQubit(slot=1, tag=0))
    await until(lambda: bench.health.counts["device_order_failed_arm"] == 1, "the refusal")
    assert [call[:2] for call in bench.memory.calls if call[1] == 5] == [("arm", 5), ("arm", 5)]


async def test_an_attempt_is_armed_at_its_operating_point() -> None:
    bench = Bench()
    bench.bindings.carry_out(arm_order(point=3))
    await until(lambda: bool(bench.memory.calls), "the arm")
    assert bench.memory.calls == [("arm", 5, 1, 1, 9, 4, 10, 20, 4, 3)]


async def test_a_measurement_is_turned_about_x_y_and_x_first_and_turns_by_nothing_are_left_out() -> None:
    bench = Bench()
    for operation, rotation in enumerate([(64, 0, 192), (0, 32, 256), (0, 0, 0)]):
        order = MeasureQubit(
            operation=operation, slot=2, basis="Z", tag=0, within_ns=SECOND_NS, rotation=rotation
        )
        bench.bindings.carry_out(order)
    await bench.ended(3)
    assert bench.memory.calls == [
        ("rotation", 2, "x", pytest.approx(math.pi / 2)),
        ("rotation", 2, "x", pytest.approx(3 * math.pi / 2)),
        ("measure", 2, "Z"),
        ("rotation", 2, "y", pytest.approx(math.pi / 4)),
        ("measure", 2, "Z"),
        ("measure", 2, "Z"),
    ]
    told = [event for event in bench.events if isinstance(event, QubitMeasured)]
    assert [(event.bit, event.stamp_ns) for event in told] == [(1, 2_000)] * 3


@pytest.mark.parametrize(("turns", "stamp_ns"), [((0, 0, 0), 500), ((128, 0, 0), 1_000)])
async def test_a_state_is_prepared_when_its_last_turn_is_done_by_the_time_of_the_memory(
    turns: tuple[int, int, int], stamp_ns: int
) -> None:
    bench = Bench()
    bench.bindings.carry_out(PrepareQubit(operation=1, slot=2, turns=turns, within_ns=SECOND_NS))
    (event,) = await bench.ended()
    assert isinstance(event, QubitPrepared)
    assert (event.ended, event.stamp_ns) == ("done", stamp_ns)


def purify_order(**changes: Any) -> PurifyPair:
    fields: dict[str, Any] = {
        "operation": 8,
        "kept_slot": 0,
        "measured_slot": 1,
        "kept_pauli": 3,
        "measured_pauli": 2,
        "scheme": "dejmps",
        "side": 0,
        "within_ns": SECOND_NS,
    }
    return PurifyPair(**(fields | changes))


async def test_half_a_purification_round_is_one_order_of_paulis_turns_cnot_and_measurement() -> None:
    for side, quarter in ((0, math.pi / 2), (1, -math.pi / 2)):
        bench = Bench()
        bench.bindings.carry_out(purify_order(side=side))
        (event,) = await bench.ended()
        assert isinstance(event, PairPurified)
        assert (event.operation, event.ended, event.bit) == (8, "done", 1)
        assert bench.memory.calls == [
            ("pauli", 0, 3),
            ("pauli", 1, 2),
            ("rotation", 0, "x", pytest.approx(quarter)),
            ("rotation", 1, "x", pytest.approx(quarter)),
            ("cnot", 0, 1),
            ("measure", 1, "Z"),
        ]


async def test_a_round_without_paulis_and_turns_is_a_cnot_and_a_measurement() -> None:
    bench = Bench()
    bench.bindings.carry_out(purify_order(kept_pauli=0, measured_pauli=0, scheme="bbpssw"))
    (event,) = await bench.ended()
    assert bench.memory.calls == [("cnot", 0, 1), ("measure", 1, "Z")]
    assert isinstance(event, PairPurified)
    assert event.turned_ns is None


class StagedClock(LiveClock):
    """Stands still but for what operations take."""

    TAKES_NS: Mapping[str, int] = {"pauli": 7, "rotation": 1_000, "cnot": 40_000, "measure": 300_000}

    def __init__(self) -> None:
        super().__init__()
        self.ns = 5_000_000

    def now_ns(self) -> int:
        return self.ns

    def passed(self, name: str) -> None:
        self.ns += self.TAKES_NS.get(name, 0)


async def test_a_round_says_for_how_long_its_qubits_gathered_phase_after_their_turns() -> None:
    """The kept qubit from its turn to the end, the measured one from its turn to the gate: half of both."""
    clock = StagedClock()
    bench = Bench(clock)
    bench.memory.passed = clock.passed
    bench.bindings.carry_out(purify_order())
    (event,) = await bench.ended()
    assert isinstance(event, PairPurified)
    assert event.at_ns == clock.ns == 5_000_000 + 14 + 2_000 + 340_000
    kept_ns, measured_ns = 1_000 + 40_000 + 300_000, 40_000
    assert event.turned_ns == event.at_ns - (kept_ns + measured_ns) // 2


@pytest.mark.parametrize("stage", ["pauli", "rotation", "cnot", "measure"])
@pytest.mark.parametrize(
    ("fault", "ended"),
    [(OperationRefused("fake", "x", "slot empty"), "failed"), (Disconnected("fake", "gone"), "unknown")],
)
async def test_a_round_that_breaks_off_ends_once_and_leaves_the_measured_slot_empty(
    stage: str, fault: Exception, ended: str
) -> None:
    bench = Bench()
    bench.memory.faults[stage] = fault
    bench.bindings.carry_out(purify_order())
    bench.bindings.carry_out(arm_order(slot=1))  # waits for both
    await until(lambda: bench.memory.calls[-1:] == [("arm", 1, 1, 1, 9, 4, 10, 20, 4, 0)], "the next order")
    (event,) = bench.events
    assert isinstance(event, PairPurified)
    assert (event.ended, event.bit) == (ended, None)
    assert [call[0] for call in bench.memory.calls].count(stage) == 1
    assert bench.memory.calls[-2] == ("release", 1, 0)


def fuse_order() -> FuseQubits:
    return FuseQubits(operation=9, kept_slot=0, measured_slot=1, within_ns=SECOND_NS)


async def test_a_fusion_is_a_cnot_and_a_measurement_and_keeps_one_slot() -> None:
    bench = Bench()
    bench.bindings.carry_out(fuse_order())
    (event,) = await bench.ended()
    assert isinstance(event, QubitsFused)
    assert (event.operation, event.ended, event.bit) == (9, "done", 1)
    assert bench.memory.calls == [("cnot", 0, 1), ("measure", 1, "Z")]


@pytest.mark.parametrize("stage", ["cnot", "measure"])
@pytest.mark.parametrize(
    ("fault", "ended"),
    [(OperationRefused("fake", "x", "slot empty"), "failed"), (Disconnected("fake", "gone"), "unknown")],
)
async def test_a_fusion_that_breaks_off_ends_once_and_leaves_both_slots_empty(
    stage: str, fault: Exception, ended: str
) -> None:
    bench = Bench()
    bench.memory.faults[stage] = fault
    bench.bindings.carry_out(fuse_order())
    bench.bindings.carry_out(arm_order(slot=1))  # waits for both
    await until(lambda: bench.memory.calls[-1:] == [("arm", 1, 1, 1, 9, 4, 10, 20, 4, 0)], "the next order")
    (event,) = bench.events
    assert isinstance(event, QubitsFused)
    assert (event.ended, event.bit) == (ended, None)
    assert bench.memory.calls[-3:-1] == [("release", 0, 0), ("release", 1, 0)]


async def test_both_slots_are_busy_until_the_round_has_ended_and_a_late_round_is_unknown() -> None:
    bench = Bench()
    gate = bench.memory.gates["cnot"] = asyncio.get_running_loop().create_future()
    bench.bindings.carry_out(purify_order(within_ns=20_000_000))
    for slot in (0, 1, 2):
        bench.bindings.carry_out(ApplyPauli(operation=slot, slot=slot, pauli=1, within_ns=SECOND_NS))
    await until(lambda: ("cnot", 0, 1) in bench.memory.calls, "the gate")
    await until(lambda: ("pauli", 2, 1) in bench.memory.calls, "a slot that has no part in it")
    assert ("pauli", 0, 1) not in bench.memory.calls
    await bench.ended(4)
    ends = [event for event in bench.events if isinstance(event, PairPurified)]
    assert [(event.ended, event.bit) for event in ends] == [("unknown", None)]
    assert gate.cancelled()
    release = bench.memory.calls.index(("release", 1, 0))
    assert release < bench.memory.calls.index(("pauli", 0, 1))
    assert release < bench.memory.calls.index(("pauli", 1, 1))


async def test_a_device_that_cannot_empty_the_measured_slot_is_counted() -> None:
    bench = Bench()
    bench.memory.faults = dict.fromkeys(("cnot", "release"), Disconnected("fake", "gone"))
    bench.bindings.carry_out(purify_order())
    await until(lambda: bench.health.counts.get("device_order_not_undone") == 1, "the count")
    assert len(bench.events) == 1


async def test_an_order_without_result_in_time_is_unknown_and_a_late_result_is_not_told() -> None:
    bench = Bench()
    gate = bench.memory.gates["bell"] = asyncio.get_running_loop().create_future()
    bench.bindings.carry_out(MeasureBell(operation=1, left_slot=0, right_slot=1, within_ns=1_000_000))
    (event,) = await bench.ended()
    assert isinstance(event, BellMeasured)
    assert event.ended == "unknown"
    assert gate.cancelled()
    await bench.bindings.close()
    assert len(bench.events) == 1


@pytest.mark.parametrize("pauli", [0, 2])
async def test_a_leaf_of_a_star_graph_is_turned_before_its_pauli(pauli: int) -> None:
    bench = Bench()
    order = ApplyPauli(operation=3, slot=1, pauli=pauli, within_ns=SECOND_NS, hadamard=True)
    bench.bindings.carry_out(order)
    (event,) = await bench.ended()
    assert isinstance(event, PauliApplied)
    assert event.ended == "done"
    assert bench.memory.calls == [("hadamard", 1), *([("pauli", 1, pauli)] if pauli else [])]


async def test_too_many_orders_end_as_unknown_and_are_counted() -> None:
    bench = Bench()
    bench.memory.gates["release"] = asyncio.get_running_loop().create_future()
    for slot in range(ORDERS_MAX):
        bench.bindings.carry_out(ReleaseQubit(slot=slot, tag=0))
    bench.bindings.carry_out(ApplyPauli(operation=3, slot=0, pauli=2, within_ns=SECOND_NS))
    (event,) = await bench.ended()
    assert isinstance(event, PauliApplied)
    assert event.ended == "unknown"
    assert bench.health.counts["device_orders_full"] == 1
    await bench.bindings.close()


def state(condition: Condition) -> InstrumentState:
    return InstrumentState("fake", condition, condition.value, 0, None)


async def test_slots_of_an_earlier_life_are_emptied_before_the_memory_is_called_ready() -> None:
    bench = Bench()
    bench.memory.slots = (
        SlotStatus(0, SlotState.ARMED, 0, 0),
        SlotStatus(1, SlotState.HELD, 0, 1),
        SlotStatus(2, SlotState.EMPTY, None, None),
    )
    bench.watch.on_state(state(Condition.READY))
    (event,) = await bench.ended()
    assert bench.memory.calls == [("disarm", 0), ("release", 1, 0)]
    assert event == DeviceChanged(role="memory", ready=True, lost_state=False, reason="ready")
    bench.watch.on_state(state(Condition.LOST))
    bench.watch.on_state(state(Condition.READY))
    assert len(bench.memory.calls) == 2  # only once in a life: what is held now is ours
    assert [event.ready for event in bench.events if isinstance(event, DeviceChanged)] == [True, False, True]
    bench.memory.on_reset()
    assert bench.events[-1] == DeviceChanged(
        role="memory", ready=False, lost_state=True, reason="the device was reset"
    )


async def test_a_run_that_does_not_begin_on_a_whole_second_is_our_own_mistake() -> None:
    with pytest.raises(LocalMisuse, match="whole second"):
        Bench().bindings.carry_out(arm_order(epoch_ns=SECOND_NS + 1))
    with pytest.raises(LocalMisuse, match="cannot carry out StartRun"):
        Bench().bindings.carry_out(StartRun(link="east", run=1, epoch_ns=0, period_ns=1, lanes=1))


def test_two_runs_that_share_a_short_name_are_refused() -> None:
    runs = ShortRuns()
    assert runs.short_of("east", 5) == 5
    assert runs.short_of("west", 5 + (1 << 32)) == 5  # another link
    with pytest.raises(LocalMisuse, match="share the short run 5"):
        runs.short_of("east", 5 + (1 << 32))
    assert runs.run_of("east", 6) is None


class FakeAnalyser:
    name = "fake"

    def __init__(self) -> None:
        self.runs: list[tuple[int, int]] = []
        self.on_record: Callable[[HeraldRecord], None] = lambda record: None
        self.on_bound: Callable[[int, int], None] = lambda run, decided: None
        self.on_lost: Callable[[int, int, int, int], None] = lambda run, first, last, count: None
        self.on_reset: Callable[[], None] = lambda: None

    async def start_run(self, run_short: int, epoch_s: int) -> None:
        self.runs.append((run_short, epoch_s))


async def test_a_station_tells_attempts_and_lanes_and_only_whole_attempts_as_decided() -> None:
    analyser, events, health = FakeAnalyser(), cast(list[Event], []), Health()
    watch = DeviceWatch("station", events.append, health)
    bindings = StationBindings(
        NETWORK.links["west"], cast(HeraldFpga, analyser), watch, events.append, health
    )
    run = (3 << 32) + 8
    bindings.carry_out(StartRun(link="west", run=run, epoch_ns=9 * SECOND_NS, period_ns=1_000_000, lanes=4))
    await until(lambda: bool(analyser.runs), "the run")
    assert analyser.runs == [(8, 9)]
    analyser.on_record(HeraldRecord(8, 4 * 25 + 2, 1, 0, 9_025_550_000))
    analyser.on_bound(8, 2)
    analyser.on_bound(8, 4 * 26)
    analyser.on_lost(8, 4 * 30 + 3, 4 * 31, 2)
    analyser.on_bound(7, 100)
    assert events == [
        # Lane 2 of 4 works half a period later than the attempt begins.
        StationHeralded(link="west", run=run, attempt=25, lane=2, code=1, at_ns=9_025_050_000, sigma_ns=1),
        StationDecided(link="west", run=run, attempt=25),
        StationLost(link="west", run=run, first=30, last=31),
    ]
    assert health.counts["station_record_of_unknown_run"] == 1


async def test_a_station_that_attempts_in_slots_alone_numbers_all_periods_and_calls_pauses_decided() -> None:
    """Of ten periods, the third to fifth and the ninth are made; lanes count within each."""
    analyser, events, health = FakeAnalyser(), cast(list[Event], []), Health()
    watch = DeviceWatch("station", events.append, health)
    link = msgspec.structs.replace(NETWORK.links["west"], turn_ns=250_000_000, turns=4)
    numbers = AttemptNumbers(10, ((2, 3), (8, 1)))
    bindings = StationBindings(link, analyser, watch, events.append, health, numbers)
    order = StartRun(link="west", run=8, epoch_ns=9 * SECOND_NS, period_ns=1_000_000, lanes=4)
    bindings.carry_out(order)
    await until(lambda: bool(analyser.runs), "the run")
    analyser.on_bound(8, -1)
    analyser.on_record(HeraldRecord(8, 4 * 3 + 1, 2, 0, 9_008_300_000))
    analyser.on_bound(8, 4 * 3 - 2)
    analyser.on_bound(8, 4 * 3 - 1)
    analyser.on_lost(8, 4 * 2, 4 * 4 + 1, 10)
    assert events == [
        StationDecided(link="west", run=8, attempt=1),
        StationHeralded(link="west", run=8, attempt=8, lane=1, code=2, at_ns=9_008_050_000, sigma_ns=1),
        StationDecided(link="west", run=8, attempt=3),
        StationDecided(link="west", run=8, attempt=7),
        StationLost(link="west", run=8, first=4, last=12),
    ]


async def test_a_run_that_does_not_begin_with_a_cycle_of_slots_is_not_started_and_counted() -> None:
    analyser, events, health = FakeAnalyser(), cast(list[Event], []), Health()
    watch = DeviceWatch("station", events.append, health)
    link = msgspec.structs.replace(NETWORK.links["west"], turn_ns=500_000_000, turns=4)
    bindings = StationBindings(link, analyser, watch, events.append, health, AttemptNumbers(10, ((2, 3),)))
    bindings.carry_out(StartRun(link="west", run=8, epoch_ns=9 * SECOND_NS, period_ns=1_000_000, lanes=4))
    bindings.carry_out(StartRun(link="west", run=9, epoch_ns=10 * SECOND_NS, period_ns=1_000_000, lanes=4))
    await until(lambda: bool(analyser.runs), "the run")
    assert analyser.runs == [(9, 10)]
    assert health.counts["device_order_failed_start_run"] == 1


def test_a_machine_hears_at_once_of_an_instrument_that_is_not_ready_yet_and_once_only() -> None:
    """A run that a station ordered while its analyser came up used to be silent until its ends gave it up."""
    events, health = cast(list[Event], []), Health()
    watch = DeviceWatch("station", events.append, health)
    for condition in (Condition.CONNECTING, Condition.ABSENT, Condition.READY):
        watch.on_state(state(condition))
    assert events == [
        DeviceChanged(role="station", ready=False, lost_state=False, reason="connecting"),
        DeviceChanged(role="station", ready=True, lost_state=False, reason="ready"),
    ]
    assert health.counts["station_not_ready"] == 2
