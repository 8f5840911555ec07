"""Orders that the virtual host carries out in the World: slots that change lanes, rounds, turns, points.

No machine takes part: what they would be told is collected.
"""

from typing import Any

import msgspec
import pytest

from bellwire.core import bell
from bellwire.core.effects import (
    FuseQubits,
    MeasureBell,
    MeasureQubit,
    PurifyPair,
    ReleaseQubit,
    StartAttempts,
    StopAttempts,
)
from bellwire.core.events import (
    BellMeasured,
    Event,
    Heralded,
    PairPurified,
    QubitHeld,
    QubitMeasured,
    QubitsFused,
    StationHeralded,
)
from bellwire.core.ids import NodeId
from bellwire.core.photonics import HeraldOutcome, HeraldPhysics
from bellwire.core.settings import LinkSettings, MemorySettings, NetworkSettings, NodeSettings
from bellwire.simulator_backend.bindings import VirtualBindings
from bellwire.simulator_backend.clock import VirtualClock
from bellwire.simulator_backend.world import LinkTruth, MemoryTruth, PairTruth, World

PERIOD_NS, CLICK_NS = 1_000, 400
STATE: bell.Bell = (0.9, 0.05, 0.03, 0.02)
LAST = 1 << 40


def outcomes(state: bell.Bell = STATE) -> tuple[HeraldOutcome, ...]:
    return (HeraldOutcome(2, 1.0, bell.permute(state, 3)),)


class Bench:
    """Hub with a bank of four slots that it shares between links to east and west, two lanes each."""

    def __init__(
        self, success: float = 1.0, station: str | None = None, points: tuple[HeraldPhysics, ...] = ()
    ) -> None:
        memory = MemorySettings(
            slots=4, rates=(0, 0, 0), bsm_signs=0, bsm_cost=(0, 0, 0), bsm_success_probability=1.0,
            operation_limit_ns=10**9,
        )  # fmt: skip
        self.network = NetworkSettings(
            nodes={
                name: NodeSettings(name=name, role="end", memory=memory, links=("hub-east", "hub-west"))
                for name in ("hub", "east", "west")
            },
            links={
                f"hub-{far}": LinkSettings(
                    link=f"hub-{far}", nodes=("hub", far), station=station, period_ns=PERIOD_NS, lanes=2,
                    slots=((0, 1, 2, 3), (0, 1, 2, 3)), success_probability=success, heralds=(),
                    click_delay_ns=CLICK_NS, herald_delay_ns=(0, 5_000), length_km=1.0, shared=(True, True),
                )
                for far in ("east", "west")
            },
            delays_ns={},
        )  # fmt: skip
        self.world = World(
            [
                LinkTruth(
                    name=name, nodes=link.nodes, period_ns=PERIOD_NS, success_probability=success,
                    outcomes=outcomes(), lanes=2, click_delay_ns=CLICK_NS, points=points,
                )
                for name, link in self.network.links.items()
            ],
            [MemoryTruth(node=node, slots=4) for node in self.network.nodes],
            seed=3,
        )  # fmt: skip
        self.clock = VirtualClock()
        self.told: list[tuple[NodeId, Event]] = []
        self.seen: list[tuple[NodeId, int, PairTruth | None]] = []
        self.bindings = VirtualBindings(
            self.network, self.clock, self.world, lambda *told: self.told.append(told), self._witness
        )
        self.generations: dict[tuple[NodeId, int], int] = {}

    def _witness(self, node: NodeId, slot: int, truth: PairTruth | None) -> None:
        self.seen.append((node, slot, truth))

    def start(
        self, node: str, slot: int, far: str, lane: int, *, extend: bool = False, **changes: Any
    ) -> None:
        """A new generation of the slot attempts on a lane, or (extend) goes on."""
        key = (node, slot)
        self.generations[key] = self.generations.get(key, 0) + (not extend)
        fields: dict[str, Any] = {"run": 1, "epoch_ns": 0, "first": 0, "last": LAST, "fence": 1, **changes}
        order = StartAttempts(
            slot=slot, generation=self.generations[key], link=f"hub-{far}", lane=lane, **fields
        )
        self.bindings.start_attempts(node, order)

    def stop(self, node: str, slot: int) -> None:
        self.bindings.stop_attempts(node, StopAttempts(slot=slot, generation=self.generations[node, slot]))

    def pair(self, slot: int, far: str, lane: int, *, far_slot: int | None = None) -> None:
        """A pair between the hub's slot and the far node's (the same by default)."""
        self.start("hub", slot, far, lane)
        self.start(far, slot if far_slot is None else far_slot, far, lane)
        self.clock.run(self.clock.now_ns + 2 * PERIOD_NS)
        truth = self.world.truth("hub", slot, self.clock.now_ns)
        assert truth is not None
        assert truth.ends[0][:1] + truth.ends[0][3:] == (f"hub-{far}", lane, 0)

    def kinds(self, kind: type) -> list[Any]:
        return [event for _, event in self.told if isinstance(event, kind)]


def test_a_lane_goes_on_with_another_slot_while_its_former_slot_keeps_the_pair() -> None:
    bench = Bench()
    bench.pair(0, "east", 0)
    first = bench.world.truth("hub", 0, bench.clock.now_ns)
    for slot in (2, 3):
        bench.pair(slot, "east", 0, far_slot=slot - 1)
    assert bench.world.truth("hub", 0, bench.clock.now_ns) == first
    assert bench.world.occupied("hub") == (0, 2, 3)
    attempts = [event.attempt for event in bench.kinds(Heralded)]
    assert len(set(attempts)) == 3


def test_a_slot_serves_one_link_after_the_other_and_each_herald_is_of_the_link_it_then_served() -> None:
    bench = Bench()
    for far, lane in (("east", 0), ("west", 1), ("west", 0), ("east", 1)):
        bench.pair(1, far, lane)
        now_ns = bench.clock.now_ns
        for node in ("hub", far):
            bench.bindings.release(node, ReleaseQubit(slot=1, tag=0))
        assert bench.world.truth("hub", 1, now_ns) is None
    links = [event.link for node, event in bench.told if node == "hub" and isinstance(event, Heralded)]
    assert links == ["hub-east", "hub-west", "hub-west", "hub-east"]


@pytest.mark.parametrize("stopped", [True, False], ids=["stopped first", "taken over"])
def test_a_slot_that_leaves_a_lane_in_mid_attempt_takes_no_part_in_it_any_more(stopped: bool) -> None:
    """It attempts for the west when the photon for the east clicks; the east's end is left alone."""
    bench = Bench()
    bench.start("hub", 0, "east", 0)
    bench.start("east", 0, "east", 0)
    bench.clock.run(100)  # attempt 0 has started
    if stopped:
        bench.stop("hub", 0)
    bench.start("hub", 0, "west", 1)
    bench.clock.run(800)
    assert bench.world.occupied("hub") == ()
    assert bench.world.attempting("hub") == (0,)
    assert bench.world.occupied("east") == (0,)
    assert bench.world.truth("east", 0, 800) is None
    bench.start("west", 3, "west", 1)
    bench.clock.run(3_000)
    truth = bench.world.truth("hub", 0, 3_000)
    assert truth is not None
    assert truth.far == ("west", 3)


def test_a_slot_that_caught_a_qubit_is_not_armed_again_by_an_extension_of_its_lease() -> None:
    """The extension was on its way when the click came. A new generation, on any lane, starts afresh."""
    bench = Bench()
    bench.pair(1, "east", 0)
    held = bench.world.truth("hub", 1, bench.clock.now_ns)
    bench.start("hub", 1, "east", 0, extend=True, last=LAST + 5)
    assert bench.world.truth("hub", 1, bench.clock.now_ns) == held
    bench.start("hub", 1, "west", 0)
    assert bench.world.truth("hub", 1, bench.clock.now_ns) is None
    assert bench.world.attempting("hub") == (1,)


def test_an_extension_of_one_slot_leaves_the_slots_that_the_lane_had_before_alone() -> None:
    bench = Bench(success=0.0)
    bench.start("hub", 0, "east", 0, last=9)
    bench.stop("hub", 0)
    bench.start("hub", 1, "east", 0, last=9)
    bench.start("hub", 0, "west", 0, last=9)
    bench.start("hub", 1, "east", 0, extend=True, last=99)
    bench.start("hub", 0, "west", 0, extend=True, last=99)
    assert bench.world.attempting("hub") == (0, 1)


def test_only_the_side_that_still_attempts_is_told_of_a_frozen_slot() -> None:
    bench = Bench(station="hut")
    bench.start("hub", 0, "east", 0)
    bench.start("east", 0, "east", 0)
    bench.clock.run(100)
    bench.stop("hub", 0)
    bench.start("hub", 0, "west", 0)
    bench.clock.run(20_000)
    held = [(node, event.link) for node, event in bench.told if isinstance(event, QubitHeld)]
    assert held == [("east", "hub-east")]
    assert [event.link for event in bench.kinds(StationHeralded)] == ["hub-east"]


def test_attempts_meet_at_the_operating_point_that_both_sides_were_ordered() -> None:
    bright: bell.Bell = (0.7, 0.1, 0.1, 0.1)
    bench = Bench(points=(HeraldPhysics(1.0, outcomes()), HeraldPhysics(1.0, outcomes(bright))))
    bench.start("hub", 0, "east", 0, point=1)
    bench.start("east", 0, "east", 0, point=0)
    bench.clock.run(5_000)
    assert bench.told == []
    bench.start("east", 0, "east", 0, extend=True, point=1)
    bench.clock.run(9_000)
    truth = bench.world.truth("hub", 0, 9_000)
    assert truth is not None
    assert truth.state == pytest.approx(bright, abs=1e-12)


def test_a_changed_link_gives_its_new_clicks_without_being_asked() -> None:
    bench = Bench(success=0.0)
    bench.start("hub", 0, "east", 0)
    bench.start("east", 0, "east", 0)
    bench.clock.run(5_500)
    bench.bindings.change_link("hub-east", success_probability=1.0)
    bench.clock.run(20_000)
    assert [event.attempt for event in bench.kinds(Heralded)] == [6, 6]


def purify(bench: Bench, node: str, operation: int, pauli: int = 0) -> int:
    order = PurifyPair(
        operation=operation, kept_slot=0, measured_slot=1, kept_pauli=pauli, measured_pauli=pauli,
        scheme="dejmps", side=0 if node == "hub" else 1, within_ns=10**9,
    )  # fmt: skip
    before = len(bench.told)
    bench.bindings.purify_pair(node, order)
    ((who, event),) = bench.told[before:]
    assert who == node
    assert isinstance(event, PairPurified)
    assert (event.operation, event.ended, event.at_ns) == (operation, "done", bench.clock.now_ns)
    assert event.bit in (0, 1)
    return event.bit


def test_each_half_of_a_round_ends_at_once_and_the_measured_slots_may_attempt_again() -> None:
    passed, expected = 0, bell.dejmps(STATE, STATE)
    bench = Bench()
    for number in range(40):
        for lane in (0, 1):
            bench.pair(lane, "east", lane)
        here = purify(bench, "hub", 2 * number)
        bench.start("hub", 1, "west", 0)  # between the halves
        there = purify(bench, "east", 2 * number + 1, pauli=3)
        truth = bench.world.truth("hub", 0, bench.clock.now_ns)
        assert truth is not None
        assert (truth.frame, truth.far) == (0, ("east", 0))
        if here == there:
            passed += 1
            assert truth.state == pytest.approx(expected.state, abs=1e-12)
        assert bench.world.attempting("hub") == (1,)
        bench.stop("hub", 1)
        for node in ("hub", "east"):
            bench.bindings.release(node, ReleaseQubit(slot=0, tag=0))
    assert bench.seen == []  # nobody has used a pair
    # 40 rounds that pass with 0.85: fewer than 20 have a chance of 1e-8, and the seed is fixed.
    assert 20 <= passed < 40


@pytest.mark.parametrize(
    ("turn", "correlated"), [((0, 0, 0), True), ((0, 64, 0), False), ((128, 0, 0), False)]
)
def test_a_measurement_is_turned_before_and_witnessed_as_it_was_before_the_turn(
    turn: tuple[int, int, int], correlated: bool
) -> None:
    """Psi- in Z and Z: 12 of 12 bits differ; after half a turn about X, none; a quarter about Y, some."""
    bench = Bench()
    bench.bindings.change_link("hub-east", outcomes=outcomes((1.0, 0.0, 0.0, 0.0)))
    bits = []
    for operation in range(12):
        bench.pair(0, "east", 0)
        before = bench.world.truth("hub", 0, bench.clock.now_ns)
        for node, rotation in (("hub", turn), ("east", (0, 0, 0))):
            bench.bindings.measure_qubit(
                node,
                MeasureQubit(
                    operation=operation, slot=0, basis="Z", tag=0, within_ns=10**9, rotation=rotation
                ),
            )
        assert bench.seen[-2:] == [("hub", 0, before), ("east", 0, None)]
        here, there = bench.kinds(QubitMeasured)[-2:]
        bits.append(here.bit ^ there.bit)
    if turn == (128, 0, 0):
        assert bits == [0] * 12
    elif correlated:
        assert bits == [1] * 12
    else:
        assert 0 < sum(bits) < 12


@pytest.mark.parametrize("order", [FuseQubits, MeasureBell])
def test_an_operation_within_which_the_memory_loses_its_power_leaves_nothing_and_tells_nothing(
    order: type[FuseQubits] | type[MeasureBell],
) -> None:
    bench = Bench()
    hub = bench.network.nodes["hub"]
    assert hub.memory is not None
    slow = msgspec.structs.replace(hub.memory, bsm_duration_ns=50_000)
    bench.network.nodes["hub"] = msgspec.structs.replace(hub, memory=slow)
    bench.pair(0, "east", 0)
    bench.pair(1, "west", 0)
    if order is FuseQubits:
        bench.bindings.fuse_qubits(
            "hub", FuseQubits(operation=7, kept_slot=0, measured_slot=1, within_ns=10**6)
        )
    else:
        bench.bindings.measure_bell(
            "hub", MeasureBell(operation=7, left_slot=0, right_slot=1, within_ns=10**6)
        )
    bench.bindings.power_loss("hub")
    bench.clock.run(100_000)
    node, told = bench.told[-1]
    assert isinstance(told, QubitsFused | BellMeasured)
    assert (node, told.operation, told.ended) == ("hub", 7, "unknown")
    assert bench.world.occupied("hub") == ()
