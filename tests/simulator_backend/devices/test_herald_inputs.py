"""The emulated FPGA and what comes in: trigger, test pattern, fails, first hits, fine codes, tags, ring."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bellwire.drivers.frames import FirstHitsWords, HeraldFlag, RecordKind, TagFlag, TagWords
from bellwire.drivers.framing import FrameType, Status
from bellwire.drivers.herald_settings import (
    GateWindow,
    HeraldSettings,
    PulsePattern,
)
from bellwire.simulator_backend.devices import (
    herald_run,
)
from bellwire.simulator_backend.devices.herald_clock import HeraldHardware
from tests.simulator_backend.devices.wire import (
    BOOT_NS,
    COMMIT,
    PERIOD_NS,
    SETTINGS,
    START_NS,
    S,
    light,
    station,
)

TAGS = 1 << 5
IMMEDIATE = 0b0101


# -- trigger, pattern generator, fails ------------------------------


def external(wire: Any, at_ns: int, *hits: tuple[int, int]) -> None:
    """A trigger edge and hits (channel, ns after it)."""
    wire.now_ns = max(wire.now_ns, at_ns)
    wire.core.trigger(at_ns * 1000, at_ns)
    for channel, after_ns in hits:
        wire.core.hit(channel, (at_ns + after_ns) * 1000, at_ns + after_ns)


def attempts_may_begin_with_the_trigger_input() -> None:
    wire = station(settings=replace(SETTINGS, external_trigger=True))
    wire.credit(100, 0)
    edges = [START_NS + 1003, START_NS + 2500, START_NS + 2600, START_NS + 9001]
    external(wire, edges[0], (0, 79), (1, 85))  # the first one comes too early
    external(wire, edges[1], (0, 90), (1, 91))
    external(wire, edges[2], (2, 80), (3, 100))  # 100 ns after the edge before: an overrun
    external(wire, edges[3])
    wire.now_ns = START_NS + 10_000
    assert wire.tick().decided_to == 3
    assert [(r.attempt, r.outcome, r.flags) for r in wire.records()] == [
        (2, 1, HeraldFlag.OVERRUN | HeraldFlag.LOST_BEFORE)
    ]
    zero = wire.core.clock.zero_ns
    assert [record.stamp for record in wire.records()] == [edges[2] - zero]
    assert [(lost.first, lost.last) for lost in wire.lost()] == [(1, 1)]


def a_run_without_pps_begins_at_once() -> None:
    wire = station(running=False)
    assert wire.write("CTRL", IMMEDIATE) == Status.OK
    wire.now_ns += 10 * PERIOD_NS
    assert wire.status("running")
    assert wire.tick().decided_to == 9


def fails_are_recorded_when_they_are_wanted() -> None:
    wire = station(settings=replace(SETTINGS, emit_fail=True))
    wire.credit(100, 0)
    assert light(wire, 3) == 1
    wire.wait(6)
    wire.tick()
    assert sorted((r.attempt, r.outcome) for r in wire.records()) == [(k, int(k == 3)) for k in range(6)]


def fails_wait_for_light_on_its_way() -> None:
    wire = station(settings=replace(SETTINGS, emit_fail=True))
    wire.credit(100, 0)
    expected = [(START_NS + 2 * PERIOD_NS + 104, 0)]
    wire.core.expected_clicks = lambda: expected
    wire.wait(5)
    assert wire.tick().decided_to == 1
    expected.clear()
    assert wire.core.click(START_NS + 2 * PERIOD_NS + 104, 0, 1, wire.now_ns) == 1
    assert wire.tick().decided_to == 4
    assert sorted((r.attempt, r.outcome) for r in wire.records()) == [(k, int(k == 2)) for k in range(5)]


def the_pattern_generator_makes_heralds_without_light() -> None:
    pattern = PulsePattern(channels=frozenset({0, 3}), delay_ns=100)
    pins: list[tuple[int, int, int]] = []
    wire = station(settings=replace(SETTINGS, test_pattern=pattern))
    wire.core.on_pins = lambda *pin: pins.append(pin)
    wire.credit(100, 0)
    wire.wait(3)
    assert wire.tick().decided_to == 2
    assert [(r.attempt, r.outcome) for r in wire.records()] == [(0, 2), (1, 2), (2, 2)]
    origin = wire.core.run.engine.sequencer.edge_of(0).stamp
    latency = (32 + herald_run.PIN_TICKS) * 8
    assert pins == [(origin + k * PERIOD_NS + latency, 2, k % 2) for k in range(3)]
    assert [wire.read("COUNT", c) for c in range(4)] == [3, 0, 0, 3]


def an_emulator_that_cannot_keep_up_loses_attempts_and_says_which() -> None:
    settings = HeraldSettings(link_period_ns=1000, windows=(GateWindow(8, 8),), decide_ns=160, emit_fail=True)
    wire = station(settings=settings)
    wire.now_ns = START_NS + S // 10
    assert wire.tick().decided_to is None  # nothing has left
    # 256 fails fill the ring; the others had no room, or were never worked through.
    assert [(lost.first, lost.last, lost.count) for lost in wire.lost()] == [(256, 100_000, 99_745)]
    assert wire.read("LOST") == 99_745


def first_hits_are_told_beside_the_outcome() -> None:
    wire = station(settings=replace(SETTINGS, external_trigger=True, first_hits=True))
    wire.credit(100, 0)
    external(wire, START_NS + 1000, (0, 90), (1, 95), (0, 120))
    external(wire, START_NS + 2000, (2, 127))
    external(wire, START_NS + 3000)
    wire.now_ns = START_NS + 4000
    wire.tick()
    found = [FirstHitsWords.unpack(record) for record in wire.raw(RecordKind.FIRST_HITS)]
    assert found == [
        FirstHitsWords(0, 1, (90, 95, None, None)),
        FirstHitsWords(1, 0, (None, None, 127, None)),
    ]
    assert [r.attempt for r in wire.records()] == [0]


# -- inputs, fine codes, tags, ring ------------------------------


def the_last_edge_and_falling_edges_have_their_stamps() -> None:
    wire = station(settings=replace(SETTINGS, falling=frozenset({1})), running=False)
    for channel in (0, 1):
        wire.core.hit(channel, (BOOT_NS + 1000) * 1000, BOOT_NS + 1000)
    zero = wire.core.clock.zero_ns
    assert [wire.read("LAST", channel) + zero - BOOT_NS for channel in (0, 1)] == [1000, 1020]
    assert [wire.read("COUNT", channel) for channel in range(4)] == [1, 1, 0, 0]
    wire.write("CMD", 1)
    before = wire.core.now_ns
    wire.core.hit(0, (BOOT_NS + 9000) * 1000, BOOT_NS + 9000)
    wire.now_ns += 10_000
    assert [wire.read("SNAP_COUNT", channel) for channel in range(4)] == [1, 1, 0, 0]
    assert wire.read("SNAP_TIME") == wire.core.clock.ticks(before)
    wire.write("CMD", 2)
    assert wire.read("COUNT", 0) == 0


def uneven_fine_bins_show_in_the_code_density_and_are_straightened_by_the_table() -> None:
    widths = (4, 1, 1, 2, 2, 2, 2, 2)
    wire = station(hardware=HeraldHardware(fine_widths=widths), running=False)
    for step in range(1600):  # 1600 edges spread evenly over a tick of 8 ns
        at_ps = (BOOT_NS + 8 * 100 * step) * 1000 + 5 * step
        wire.core.hit(0, at_ps, at_ps // 1000)
    wire.write("FINE_ADDR", 0)
    address = wire.core.registers.map["FINE_COUNT"].address
    counts = wire.request(FrameType.READ_FIXED, address, [], 8).words()
    assert counts == tuple(100 * width for width in widths)
    wire.write("FINE_ADDR", 0)
    data = wire.core.registers.map["FINE_DATA"].address
    wire.request(FrameType.WRITE_FIXED, data, [1, 2, 3, 3, 4, 5, 6, 7])
    assert wire.request(FrameType.WRITE, data, [8]).status == Status.RANGE
    wire.write("CMD", COMMIT)
    wire.write("FINE_ADDR", 0)
    assert wire.request(FrameType.READ_FIXED, data, [], 8).words() == (1, 2, 3, 3, 4, 5, 6, 7)
    wire.now_ns += 1000
    tick_ns = (wire.now_ns - wire.core.clock.zero_ns) // 8 * 8 + wire.core.clock.zero_ns + 8
    wire.core.hit(1, tick_ns * 1000 + 1900, tick_ns + 2)
    assert wire.read("LAST", 1) == (tick_ns - wire.core.clock.zero_ns) + 1


def tags(wire: Any) -> list[TagWords]:
    return [TagWords.unpack(record) for record in wire.raw(RecordKind.TAG)]


def every_accepted_edge_is_a_tag_when_tags_are_wanted() -> None:
    wire = station(running=False)
    wire.credit(100, 0)
    at_ns = BOOT_NS + 1000
    wire.core.hit(0, at_ns * 1000, at_ns)
    wire.write("CTRL", TAGS)
    for channel, after_ns in ((0, 100), (2, 105), (0, 110), (0, 150)):  # 110 falls into the dead time of 0
        wire.core.hit(channel, (at_ns + after_ns) * 1000, at_ns + after_ns)
    zero = wire.core.clock.zero_ns
    wire.now_ns = at_ns + 200
    bound = wire.tick(RecordKind.TAG)
    assert [(t.channel, t.stamp + zero - at_ns, t.flags) for t in tags(wire)] == [
        (0, 100, 0),
        (2, 105, 0),
        (0, 150, 0),
    ]
    assert bound.decided_to == at_ns + 200 - zero - 1
    assert wire.tick().kind == RecordKind.DECISION


def lost_tags_are_told_with_their_interval() -> None:
    wire = station(running=False, ring_log2=1, settings=replace(SETTINGS, falling=frozenset({3})))
    wire.write("CTRL", TAGS)
    zero, at_ns = wire.core.clock.zero_ns, BOOT_NS + 1000
    for step in range(5):
        wire.core.hit(3, (at_ns + 100 * step) * 1000, at_ns + 100 * step)
    wire.now_ns = at_ns + 1000
    # Nothing has left yet: whoever is told this bound must not take silence for darkness.
    assert wire.tick(RecordKind.TAG).decided_to == at_ns + 20 - zero - 1
    assert [
        (one.first + zero - at_ns, one.last + zero - at_ns, one.count) for one in wire.lost(RecordKind.TAG)
    ] == [(220, 420, 3)]
    assert wire.lost() == []
    wire.credit(100, 0)
    wire.credit(100, 2)
    wire.core.hit(3, (at_ns + 2000) * 1000, at_ns + 2000)
    wire.now_ns = at_ns + 3000
    bound = wire.tick(RecordKind.TAG)
    assert bound.lost == 3
    assert [tag.flags for tag in tags(wire)] == [
        TagFlag.FALLING,
        TagFlag.FALLING,
        TagFlag.FALLING | TagFlag.LOST_BEFORE,
    ]
    assert wire.tick().lost == 0


def the_ring_can_be_read_through_its_window() -> None:
    wire = station(ring_log2=2)
    for attempt in (3, 5, 9, 11):
        light(wire, attempt)
    wire.write("EV_RD", 2)
    light(wire, 12)
    window = wire.core.registers.map["RING"].address
    words = wire.request(FrameType.READ, window, [], 16).words()
    # Records 4, (5 is empty), 2, 3 at their places modulo the depth.
    assert [words[4 * place] for place in range(4)] == [12, 0, 9, 11]
    assert wire.read("EV_LEVEL") == 3
    assert wire.core.ring.entry(2).record == b"".join(w.to_bytes(4, "little") for w in words[8:12])


DIRECTED = [
    attempts_may_begin_with_the_trigger_input,
    a_run_without_pps_begins_at_once,
    fails_are_recorded_when_they_are_wanted,
    fails_wait_for_light_on_its_way,
    the_pattern_generator_makes_heralds_without_light,
    first_hits_are_told_beside_the_outcome,
    the_last_edge_and_falling_edges_have_their_stamps,
    uneven_fine_bins_show_in_the_code_density_and_are_straightened_by_the_table,
    every_accepted_edge_is_a_tag_when_tags_are_wanted,
    lost_tags_are_told_with_their_interval,
    the_ring_can_be_read_through_its_window,
    an_emulator_that_cannot_keep_up_loses_attempts_and_says_which,
]


@pytest.mark.parametrize("case", DIRECTED, ids=lambda case: case.__name__)
def test_the_inputs_do_what_the_manual_says(case: Any) -> None:
    case()
