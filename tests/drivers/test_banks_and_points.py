"""Slots that change lanes, operating points and purification rounds on emulated controllers."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bellwire.core import bell
from bellwire.core.effects import MeasureQubit, PurifyPair
from bellwire.core.errors import LocalMisuse
from bellwire.core.events import Event, PairPurified, QubitMeasured
from bellwire.core.photonics import HeraldOutcome, HeraldPhysics, herald_index
from bellwire.core.settings import LinkSettings, NetworkSettings, NodeSettings
from bellwire.drivers.faults import OperationRefused
from bellwire.drivers.memory_words import SlotState
from bellwire.runtime.bindings import MemoryBindings
from bellwire.runtime.clock import LiveClock
from bellwire.runtime.device_watch import DeviceWatch
from bellwire.runtime.health import Health
from bellwire.simulator_backend.devices.equipment_bench import EquipmentBench
from bellwire.simulator_backend.emulation_process import emulation_commands
from bellwire.simulator_backend.world_fusions import GroupTruth
from tests.drivers.conftest import Lab, make_lab

STATE: bell.Bell = (0.85, 0.06, 0.05, 0.04)
BRIGHT: bell.Bell = (0.7, 0.15, 0.1, 0.05)
NS_PER_S = 10**9


def heralds(relative: bell.Bell) -> tuple[HeraldOutcome, ...]:
    return tuple(HeraldOutcome(code, 0.5, bell.permute(relative, herald_index(code))) for code in (1, 2))


@pytest.fixture
async def noisy_lab(tmp_path: Path) -> AsyncIterator[Lab]:
    """Connected and configured; pairs of STATE at point 0 and of BRIGHT at point 1."""
    points = (HeraldPhysics(0.05, heralds(STATE)), HeraldPhysics(0.2, heralds(BRIGHT)))
    lab = make_lab(tmp_path, success=0.05, durations=None, points=points)
    async with lab.bench:
        await lab.connect()
        await lab.configure()
        yield lab
        for driver in lab.drivers:
            await driver.close()


async def herald(lab: Lab, slot: int, lane: int, epoch_s: int, point: int = 0) -> None:
    """Attempt in a slot of both memories until both hold what it gave."""
    before = len(lab.held["alice"]), len(lab.held["bob"])
    await lab.arm_both(slot, lane, 7, epoch_s, point=point)
    await lab.eventually(
        lambda: len(lab.held["alice"]) > before[0] and len(lab.held["bob"]) > before[1], "a herald"
    )


async def test_a_lane_goes_on_with_another_slot_while_the_former_keeps_its_pair(noisy_lab: Lab) -> None:
    lab = noisy_lab
    epoch_s = await lab.start_run(7)
    for slot in (0, 2, 3):
        await herald(lab, slot, 0, epoch_s)
    truths = [lab.world.truth("alice", slot, lab.clock()) for slot in (0, 2, 3)]
    for slot, truth, held in zip((0, 2, 3), truths, lab.held["alice"], strict=True):
        assert truth is not None
        assert truth.far == ("bob", slot)
        assert (truth.ends[0].attempt, truth.ends[0].lane) == (held[4], 0)
    slots = (await lab.alice.read_status()).slots
    assert [one.state for one in slots] == [
        SlotState.HELD, SlotState.EMPTY, SlotState.HELD, SlotState.HELD,
    ]  # fmt: skip


async def test_an_armed_slot_that_another_one_replaces_on_its_lane_is_empty(noisy_lab: Lab) -> None:
    lab = noisy_lab
    epoch_s = lab.next_epoch_s() + 1
    await lab.alice.arm(0, 3, 1, 7, epoch_s, 0, 10**9, 1)
    await lab.alice.arm(1, 3, 1, 7, epoch_s, 0, 10**9, 1)
    slots = (await lab.alice.read_status()).slots
    assert [one.state for one in slots[:2]] == [SlotState.EMPTY, SlotState.ARMED]
    assert lab.world.attempting("alice") == (1,)


async def test_a_slot_serves_one_lane_after_another(noisy_lab: Lab) -> None:
    """Disarmed and emptied between, as a stopped attempt is; then taken over without being stopped."""
    lab = noisy_lab
    epoch_s = await lab.start_run(7)
    for lane in (0, 1):
        await herald(lab, 1, lane, epoch_s)
        for memory in (lab.alice, lab.bob):
            await memory.disarm(1)
            await memory.release(1)
    await lab.alice.arm(1, 3, 0, 7, epoch_s, 0, 10**9, 1)  # bob does not attempt on lane 0
    await herald(lab, 1, 1, epoch_s)
    assert [held[2] for held in lab.held["alice"]] == [0, 1, 1]
    assert [held[0] for held in lab.held["alice"]] == [1, 1, 1]


async def test_a_slot_that_holds_a_pair_cannot_be_armed_for_another_lane(noisy_lab: Lab) -> None:
    lab = noisy_lab
    epoch_s = await lab.start_run(7)
    await herald(lab, 0, 0, epoch_s)
    held = lab.world.truth("alice", 0, lab.clock())
    with pytest.raises(OperationRefused, match="slot in use"):
        await lab.alice.arm(0, 3, 1, 7, epoch_s, 0, 10**9, 1)
    assert held is not None
    assert lab.world.truth("alice", 0, lab.clock()) == held


async def test_memories_attempt_at_the_point_that_they_are_armed_at(noisy_lab: Lab) -> None:
    lab = noisy_lab
    epoch_s = await lab.start_run(7)
    for slot, point, expected in ((0, 1, BRIGHT), (1, 0, STATE)):
        await herald(lab, slot, 0, epoch_s, point)
        truth = lab.world.truth("bob", slot, lab.clock())
        assert truth is not None
        assert truth.state == pytest.approx(expected, abs=1e-12)


async def test_a_point_that_the_hardware_does_not_have_is_refused_by_it(noisy_lab: Lab) -> None:
    with pytest.raises(OperationRefused, match="refused by hardware"):
        await noisy_lab.alice.arm(0, 3, 0, 7, noisy_lab.next_epoch_s(), 0, 10**9, 1, 2)
    with pytest.raises(LocalMisuse, match="operating point -1 is below 0"):
        await noisy_lab.alice.arm(0, 3, 0, 7, noisy_lab.next_epoch_s(), 0, 10**9, 1, -1)


async def test_a_link_drifts_under_memories_that_attempt_and_the_pairs_tell(noisy_lab: Lab) -> None:
    """By the emulator's command, as a test with real processes would say it; dark first, then worse."""
    lab, worse = noisy_lab, (0.55, 0.2, 0.15, 0.1)
    commands = emulation_commands(lab.bench, EquipmentBench((), Path()), None, asyncio.Event())
    epoch_s = await lab.start_run(7)
    await herald(lab, 0, 0, epoch_s)
    dark = [[0.0, heralds(STATE)], [0.0, heralds(BRIGHT)]]
    await commands["change_link"]({"link": "alice-bob", "points": dark})
    await lab.arm_both(1, 1, 7, epoch_s)
    seen = len(lab.bounds)
    await lab.eventually(lambda: len(lab.bounds) > seen + 5, "attempts in the dark")
    assert len(lab.held["alice"]) == 1
    bright = [[0.3, heralds(worse)], [0.3, heralds(BRIGHT)]]
    await commands["change_link"]({"link": "alice-bob", "points": bright})
    await lab.eventually(lambda: len(lab.held["alice"]) == len(lab.held["bob"]) == 2, "a herald")
    for slot, expected in ((0, STATE), (1, worse)):
        truth = lab.world.truth("alice", slot, lab.clock())
        assert truth is not None
        assert truth.state == pytest.approx(expected, abs=1e-12)
    with pytest.raises(LocalMisuse, match="no link of the name"):
        await commands["change_link"]({"link": "nowhere", "success_probability": 0.5})


# --- orders of the live host, carried out by driver and emulator --------------------------------------------


class Node:
    """Memory bindings of one node on its emulated controller."""

    def __init__(self, lab: Lab, name: str) -> None:
        link = LinkSettings(
            link="alice-bob", nodes=("alice", "bob"), station="station", period_ns=1_000_000, lanes=2,
            slots=((0, 1), (0, 1)), success_probability=0.05, heralds=(), click_delay_ns=0,
            herald_delay_ns=(0, 0), length_km=1.0,
        )  # fmt: skip
        network = NetworkSettings(
            nodes={name: NodeSettings(name=name, role="end", memory=None, links=("alice-bob",))},
            links={"alice-bob": link},
            delays_ns={},
        )
        memory = lab.alice if name == "alice" else lab.bob
        heard = memory.on_held
        self.events: list[Event] = []
        self.health = Health()
        watch = DeviceWatch("memory", self.events.append, self.health)
        self.bindings = MemoryBindings(
            network, name, memory, watch, self.events.append, LiveClock(), self.health
        )
        memory.on_held = heard  # the tests arm by the driver


def purify_order(side: int, pauli: int) -> PurifyPair:
    return PurifyPair(
        operation=1 + side, kept_slot=0, measured_slot=1, kept_pauli=pauli % 4, measured_pauli=pauli // 4,
        scheme="dejmps", side=side, within_ns=5 * NS_PER_S,
    )  # fmt: skip


async def test_a_purification_round_by_live_orders_gives_the_pair_of_the_closed_form(noisy_lab: Lab) -> None:
    """Rounds until two have passed and at most 20; none passing has a chance below 1e-9 (p = 0.8)."""
    lab, passed, expected = noisy_lab, 0, bell.dejmps(STATE, STATE)
    nodes = [Node(lab, name) for name in ("alice", "bob")]
    epoch_s = await lab.start_run(7)
    for _ in range(20):
        for slot in (0, 1):
            await herald(lab, slot, slot, epoch_s)
        truths = [lab.world.truth("bob", slot, lab.clock()) for slot in (0, 1)]
        frames = [0 if truth is None else truth.frame for truth in truths]
        assert set(frames) <= {2, 3}
        nodes[0].bindings.carry_out(purify_order(0, 0))
        await lab.eventually(lambda: bool(nodes[0].events), "the first half")
        nodes[1].bindings.carry_out(purify_order(1, frames[0] + 4 * frames[1]))
        await lab.eventually(lambda: bool(nodes[1].events), "the second half")
        (here,), (there,) = nodes[0].events, nodes[1].events
        assert isinstance(here, PairPurified)
        assert isinstance(there, PairPurified)
        assert (here.operation, here.ended, there.operation, there.ended) == (1, "done", 2, "done")
        truth = lab.world.truth("alice", 0, lab.clock())
        assert truth is not None
        assert (truth.frame, truth.far) == (0, ("bob", 0))
        assert lab.world.occupied("alice") == lab.world.occupied("bob") == (0,)
        if here.bit == there.bit:
            passed += 1
            assert truth.state == pytest.approx(expected.state, abs=1e-9)
        for node, memory in zip(nodes, (lab.alice, lab.bob), strict=True):
            node.events.clear()
            await memory.release(0)
        if passed == 2:
            break
    assert passed == 2


async def test_a_round_without_qubits_fails_once_and_a_turned_qubit_is_read_as_turned(noisy_lab: Lab) -> None:
    lab = noisy_lab
    node = Node(lab, "alice")
    node.bindings.carry_out(purify_order(0, 0))
    await lab.eventually(lambda: bool(node.events), "the end")
    (event,) = node.events
    assert isinstance(event, PairPurified)
    assert (event.ended, event.bit) == ("failed", None)
    node.events.clear()
    for operation, rotation, expected in ((1, (128, 0, 0), 1), (2, (64, 0, 192), 0), (3, (0, 128, 0), 1)):
        await lab.alice.initialise(0)
        order = MeasureQubit(
            operation=operation, slot=0, basis="Z", tag=0, within_ns=NS_PER_S, rotation=rotation
        )
        node.bindings.carry_out(order)
        await lab.eventually(lambda: bool(node.events), "the bit")
        (measured,) = node.events
        assert isinstance(measured, QubitMeasured)
        assert (measured.ended, measured.bit) == ("done", expected)
        node.events.clear()


async def test_the_truth_of_a_turned_pair_is_logged_as_it_was_before_the_turn(noisy_lab: Lab) -> None:
    lab = noisy_lab
    node = Node(lab, "alice")
    epoch_s = await lab.start_run(7)
    await herald(lab, 0, 0, epoch_s)
    before = lab.world.truth("alice", 0, lab.clock())
    node.bindings.carry_out(
        MeasureQubit(operation=1, slot=0, basis="X", tag=0, within_ns=NS_PER_S, rotation=(0, 32, 0))
    )
    await lab.eventually(lambda: bool(node.events), "the bit")
    assert before is not None
    turned, measured = lab.truth_log
    assert (turned[2], turned[4]) == ("rotation_y", before)
    assert measured[2] == "measure_X"
    assert isinstance(measured[4], GroupTruth)  # turned off the axes, it is no Bell-diagonal pair any more
    assert measured[4].ends == before.ends
