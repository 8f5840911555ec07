"""The emulated FPGA beyond the bare run: clock, PPS, reference, frames, trigger, pattern, tags.

Each directed case is worked out by hand; the planted faults are what fpga.md sections 3 to 9 warn of.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.frames import FirstHitsWords, HeraldFlag, RecordKind, TagFlag, TagWords
from bellwire.drivers.framing import FrameType, Status
from bellwire.drivers.herald_frames import Frame, FrameSlot, OutputPulse, OutputSource
from bellwire.drivers.herald_settings import (
    Bank,
    GateWindow,
    HeraldSettings,
    PulsePattern,
)
from bellwire.simulator_backend.devices import (
    event_ring,
    herald_clock,
    herald_core,
    herald_engine,
    herald_records,
    herald_registers,
    herald_run,
    register_file,
)
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.herald_clock import HeraldHardware
from tests.simulator_backend.devices.planting import assert_harmless_changes_pass, noticed_by, plant
from tests.simulator_backend.devices.wire import (
    BOOT_NS,
    COMMIT,
    PERIOD_NS,
    RUN,
    SETTINGS,
    START_NS,
    S,
    click,
    station,
)

TAGS = 1 << 5
IMMEDIATE = 0b0101


# -- clock, PPS, reference ------------------------------


def another_clock_gives_the_same_times() -> None:
    """4 ns and 7.5 ns ticks, 0 and 5 fine bits: every duration comes out as it was configured."""
    for tick_fs, fine_bits, settings in (
        (4_000_000, 0, SETTINGS),
        (4_000_000, 5, SETTINGS),
        (7_500_000, 4, HeraldSettings(link_period_ns=1_500_000, decide_ns=300, dead_time_ns=45)),
    ):
        wire = station(hardware=HeraldHardware(tick_fs=tick_fs, fine_bits=fine_bits), settings=settings)
        wire.credit(100, 0)
        period_ns = settings.link_period_ns
        for attempt in (0, 3):
            for after_ns, outcome in ((79, 0), (81, 1), (127, 1), (129, 0)):
                at_ns = START_NS + (4 * attempt + after_ns % 4) * period_ns + after_ns
                assert wire.core.click(at_ns, 0, 1, at_ns) == outcome, (tick_fs, fine_bits, after_ns)
        wire.endpoint.pump()
        for record in wire.records():
            due_ns = START_NS + record.attempt * period_ns
            unit_ns = tick_fs / 1e6 / (1 << fine_bits)
            since_pps = record.stamp - (wire.core.clock.tick_of_second(START_NS // S) << fine_bits)
            assert since_pps * unit_ns == due_ns - START_NS
        assert wire.read("TICK_FS") == tick_fs


def a_missing_pps_is_told_and_its_label_is_not_given_away() -> None:
    wire = station()
    wire.now_ns = START_NS + S // 2
    wire.core.afflict(Fault.PPS_MISSING, True, wire.now_ns)
    assert not wire.sticky("pps_missing")
    wire.now_ns = START_NS + 2 * S + 5
    assert wire.sticky("pps_missing")
    assert wire.read("PPS_COUNT") == START_NS // S
    assert not wire.status("pps_present")
    assert wire.tick().now_ns == 2 * S + 5
    assert click(wire, 2500) == 1  # the counter goes on: a run needs its PPS only to begin
    wire.core.afflict(Fault.PPS_MISSING, False, wire.now_ns)
    wire.now_ns = START_NS + 4 * S
    assert wire.read("PPS_COUNT") == START_NS // S + 4
    assert wire.status("pps_present")
    assert wire.sticky("pps_missing")  # until it is cleared
    wire.write("CMD", 4)
    assert wire.read("STICKY") == 0


def a_run_whose_pps_stays_away_does_not_begin() -> None:
    wire = station(running=False)
    wire.write("ARM_PPS", START_NS // S)
    wire.core.afflict(Fault.PPS_MISSING, True, BOOT_NS)
    assert wire.write("CTRL", RUN) == Status.OK
    assert wire.status("armed")
    wire.now_ns = START_NS + S
    assert not wire.status("running")
    assert not wire.status("armed")
    assert wire.sticky("start_missed")
    assert wire.read("CTRL") & 1 == 0
    assert click(wire, 1500) == 0
    assert wire.tick().decided_to is None
    assert wire.read("START_STAMP") == 0


def a_lost_reference_ends_the_run_and_begins_an_epoch() -> None:
    wire = station(running=False)
    assert wire.write("REF_SEL", 1) == Status.OK
    before = wire.read("TIME_EPOCH")
    wire.begin()
    assert wire.write("REF_SEL", 0) == Status.BUSY
    click(wire, 3)
    wire.now_ns = START_NS + 10 * PERIOD_NS
    wire.core.afflict(Fault.REFERENCE_LOST, True, wire.now_ns)
    assert wire.read("TIME_EPOCH") == before + 1
    assert wire.sticky("ref_lost")
    assert not wire.status("ref_locked")
    assert not wire.status("running")
    assert wire.read("REF_STATUS") == 1 << 16
    wire.credit(10, 0)
    bound = wire.tick()
    assert (bound.decided_to, bound.time_epoch) == (9, before + 1)
    assert click(wire, 20) == 0
    wire.write("ARM_PPS", START_NS // S + 1)
    assert wire.write("CTRL", RUN) == Status.RANGE  # not on a clock that nobody knows
    wire.core.afflict(Fault.REFERENCE_LOST, False, wire.now_ns)
    assert wire.read("REF_STATUS") == 1 << 16 | 3
    assert wire.write("CTRL", RUN) == Status.OK


def the_own_oscillator_needs_no_reference() -> None:
    wire = station()
    before = wire.read("TIME_EPOCH")
    wire.core.afflict(Fault.REFERENCE_LOST, True, wire.now_ns)
    assert (wire.read("TIME_EPOCH"), wire.sticky("ref_lost")) == (before, False)
    assert wire.status("running")


def records_of_another_epoch_travel_in_frames_of_their_own() -> None:
    wire = station(running=False)
    wire.write("REF_SEL", 1)
    wire.begin()
    click(wire, 1)
    wire.core.afflict(Fault.REFERENCE_LOST, True, wire.now_ns)
    wire.core.afflict(Fault.REFERENCE_LOST, False, wire.now_ns)
    wire.begin(run_short=43, start_ns=START_NS + S)
    assert wire.core.click(START_NS + S + 104, 0, 1, START_NS + S + 104) == 1
    wire.credit(10, 0)
    frames = [m for m in wire.pushed if m.type == FrameType.EVENTS]
    assert [m.count for m in frames] == [1, 1]


def the_start_is_told_by_its_stamp() -> None:
    wire = station(settings=replace(SETTINGS, start_delay_ns=80))
    assert wire.read("START_STAMP") == 0  # the PPS has come, the edge of attempt 0 has not
    wire.now_ns = START_NS + 80
    stamp = wire.read("START_STAMP")
    assert stamp - wire.read("PPS_TIME") * 8 == 80


def a_soft_reset_empties_the_device_and_counts_as_a_start() -> None:
    wire = station()
    wire.credit(10, 0)
    click(wire, 1)
    wire.write("SCRATCH", 7)
    boot, epoch = wire.read("BOOT_COUNT"), wire.read("TIME_EPOCH")
    wire.write("CMD", 8)
    assert wire.read("SCRATCH") == 0
    assert wire.read("PERIOD") == 0
    assert wire.read("BOOT_COUNT") == boot + 1
    assert wire.read("TIME_EPOCH") != epoch
    bound = wire.tick()
    assert (bound.boot_count, bound.decided_to, bound.next_event) == (boot + 1, None, 0)
    assert click(wire, 5) == 0
    assert wire.read("CREDIT") == 0


def all_pairs_are_latched_together() -> None:
    wire = station(running=False)
    time, pps = (wire.core.registers.map[name].address for name in ("TIME", "PPS_TIME"))
    wire.now_ns = wire.core.clock.zero_ns + (2 << 32) * 8 + S
    wire.write("CMD", 1)
    wire.now_ns += (1 << 32) * 8
    words = [wire.request(FrameType.READ, address + 1, [], 1).words()[0] for address in (time, pps)]
    assert words == [2, 2]


# -- frames, banks, end of a run ------------------------------

FRAMED = replace(
    SETTINGS,
    frame=Frame(
        length_ns=10 * PERIOD_NS,
        slots=(
            FrameSlot(link=7, attempts=3, gap_ns=PERIOD_NS, outputs=frozenset({2})),
            FrameSlot(link=9, attempts=2, bank=1),
        ),
    ),
    second_bank=Bank(windows=(GateWindow(60, 10),), table=(0,) * 5 + (4,) + (0,) * 250),
    outputs={
        0: OutputPulse(source=OutputSource.EACH_ATTEMPT, start_ns=10, stop_ns=20),
        2: OutputPulse(source=OutputSource.SLOTS, start_ns=0, stop_ns=5, inverted=True),
    },
)


def light(wire: Any, periods: int, after_ns: int = 104) -> int:
    """The light of a success so many periods after the start, and the outcome at the pins."""
    at_ns = START_NS + periods * PERIOD_NS + after_ns
    wire.now_ns = max(wire.now_ns, at_ns)
    return int(wire.core.click(at_ns, 0, 1, at_ns))


def attempts_of_a_frame_are_numbered_and_gated_by_their_slot() -> None:
    wire = station(settings=FRAMED)
    assert [light(wire, k) for k in (0, 2)] == [1, 1]
    assert light(wire, 3) == 0  # in the gap
    assert light(wire, 4) == 0  # slot of bank 1, whose window is earlier
    assert light(wire, 4 + 10, 64) == 4
    assert (
        light(wire, 5 + 10, 64) == 0
    )  # an odd attempt fires channels 2 and 3, which are nothing in this bank
    wire.credit(10, 0)
    assert [(r.attempt, r.outcome) for r in wire.records()] == [(0, 1), (2, 1), (8, 4)]
    wire.wait(30)
    assert wire.tick().decided_to == 14
    assert wire.read("ATT_DECIDED") == 15


def outputs_follow_the_slots() -> None:
    wire = station(settings=FRAMED)
    origin = wire.core.run.engine.sequencer.edge_of(0).stamp
    found = [[(p.output, p.rise - origin, p.inverted) for p in wire.core.pulses(k)] for k in (0, 3)]
    assert found == [[(0, 10, False), (2, 0, True)], [(0, 4 * PERIOD_NS + 10, False)]]


def a_commit_waits_for_the_frame() -> None:
    wire = station(settings=FRAMED)
    wire.wait(1.5)
    wire.write("SLOT", 4 | 5 << 16, 0)
    wire.write("CMD", COMMIT)
    wire.wait(9.9)
    assert wire.status("commit_pending")
    assert wire.read("SLOT", 0) & 0xFFFF == 3
    wire.wait(10)
    assert not wire.status("commit_pending")
    assert wire.read("SLOT", 0) & 0xFFFF == 4
    assert light(wire, 13) == 1  # the fourth attempt of slot 0, of which there were three before
    wire.credit(10, 0)
    assert wire.records()[-1].attempt == 5 + 3
    wire.wait(20 - 1e-6)
    wire.write("CMD", COMMIT)
    assert wire.sticky("late_commit")


def what_the_nodes_rely_on_cannot_change_during_a_run() -> None:
    wire = station()
    for name in ("PERIOD", "LANES", "START_DELAY", "FRAME_LEN", "ATT_MAX", "RUN_ID", "ARM_PPS", "REF_SEL"):
        before = wire.read(name)
        assert wire.write(name, 1) == Status.BUSY, name
        assert wire.read(name) == before


def a_period_written_before_the_run_does_not_slip_into_it() -> None:
    wire = station(running=False)
    wire.write("PERIOD", 99)  # never committed
    wire.begin()
    wire.wait(2.5)
    wire.write("WIN_LEN", 40)
    wire.write("CMD", COMMIT)
    wire.wait(4)
    assert (wire.read("WIN_LEN"), wire.read("PERIOD")) == (40, PERIOD_NS // 8)


def a_run_ends_by_itself_after_its_last_attempt() -> None:
    wire = station(settings=replace(SETTINGS, attempts_max=(1 << 33) + 5), running=False)
    assert wire.read("ATT_MAX") == (1 << 33) + 5  # wider than a word
    wire.configure(replace(SETTINGS, attempts_max=5))
    wire.begin()
    wire.wait(4)
    assert wire.status("running")
    wire.wait(9)
    assert not wire.status("running")
    assert wire.tick().decided_to == 4
    assert wire.read("CTRL") & 1 == 0
    assert light(wire, 9) == 0


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
    another_clock_gives_the_same_times,
    a_missing_pps_is_told_and_its_label_is_not_given_away,
    a_run_whose_pps_stays_away_does_not_begin,
    a_lost_reference_ends_the_run_and_begins_an_epoch,
    the_own_oscillator_needs_no_reference,
    records_of_another_epoch_travel_in_frames_of_their_own,
    the_start_is_told_by_its_stamp,
    a_soft_reset_empties_the_device_and_counts_as_a_start,
    all_pairs_are_latched_together,
    attempts_of_a_frame_are_numbered_and_gated_by_their_slot,
    outputs_follow_the_slots,
    a_commit_waits_for_the_frame,
    what_the_nodes_rely_on_cannot_change_during_a_run,
    a_period_written_before_the_run_does_not_slip_into_it,
    a_run_ends_by_itself_after_its_last_attempt,
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
def test_the_device_does_what_its_manual_says(case: Any) -> None:
    case()


PLANTED: dict[str, tuple[Any, str, str]] = {
    # time
    "4 ns assumed": (
        herald_clock,
        "(since_fs << self.hardware.fine_bits) // self.hardware.tick_fs",
        "since_fs // 1_000_000",
    ),
    "fine bits assumed": (
        herald_clock,
        "coarse << self.hardware.fine_bits) + self.fine_table",
        "coarse << 3) + self.fine_table",
    ),
    "raw fine code taken for a linear one": (herald_clock, "+ self.fine_table[raw]", "+ raw"),
    "even bins assumed": (herald_clock, "accumulate(widths)", "accumulate((1,) * codes)"),
    "second labelled although its PPS is missing": (
        herald_clock,
        "if self.pps_came(second) or self._gap_from_s is None else self._gap_from_s - 1",
        "",
    ),
    "missing PPS not told": (herald_core, 'self.registers.raise_sticky("STICKY", "pps_missing")', "pass"),
    "run begins without its PPS": (
        herald_run,
        "came = self.armed_s is not None and self._clock.pps_came(self.armed_s)",
        "came = True",
    ),
    "missed start not told": (herald_core, 'self.registers.raise_sticky("STICKY", "start_missed")', "pass"),
    "clock loss begins no epoch": (
        herald_clock,
        "        self.lock_losses = min(self.lock_losses + 1, 0xFFFF)\n        self._begin_epoch()",
        "        self.lock_losses = min(self.lock_losses + 1, 0xFFFF)",
    ),
    "clock loss not counted": (herald_clock, "min(self.lock_losses + 1, 0xFFFF)", "self.lock_losses"),
    "clock loss not told": (herald_core, 'self.registers.raise_sticky("STICKY", "ref_lost")', "pass"),
    "run goes on without its clock": (
        herald_core,
        "            if self.run.is_active:\n                self._end_run()\n        self.clock.lose",
        "        self.clock.lose",
    ),
    "run begins on an unknown clock": (herald_core, "if not self.clock.locked or (", "if ("),
    "reference changed in a run": (
        herald_core,
        "        if self.run.is_active:\n            return Status.BUSY\n        self.clock.select",
        "        self.clock.select",
    ),
    "own oscillator loses the reference": (
        herald_clock,
        "        if not self.uses_external:\n            return False\n",
        "",
    ),
    "epochs mixed in one frame": (
        herald_records,
        "if self._ring.push(RingEntry(self.run_short, epoch, words.pack())):",
        "if self._ring.push(RingEntry(1, 1, words.pack())):",
    ),
    "start told before it": (herald_run, "begun = self.is_running or self._stop is not None", "begun = True"),
    "start delay forgotten": (herald_run, 'first_tick + registers.value("START_DELAY") <<', "first_tick <<"),
    "soft reset is no start": (
        herald_core,
        "            self.boot_count += 1\n            self._power_up()",
        "            self._power_up()",
    ),
    "latch of one pair only": (
        register_file,
        "                for index in range(register.count):\n                    self._latched",
        "                for index in range(0):\n                    self._latched",
    ),
    # frames and runs
    "frame boundary ignored by the commit": (
        herald_core,
        "boundary = self.run.engine.sequencer.next_boundary(now)",
        "boundary = now + 1000",
    ),
    "bank of a slot ignored": (
        herald_engine,
        "aside.edge(edge.attempt, edge.stamp, edge.bank)",
        "aside.edge(edge.attempt, edge.stamp)",
    ),
    "windows of the wrong bank": (
        herald_registers,
        'value("WIN_START", bank * WINDOWS + w)',
        'value("WIN_START", w)',
    ),
    "table of the wrong bank": (
        herald_registers,
        "sets.table[bank * MASKS : (bank + 1) * MASKS]",
        "sets.table[:MASKS]",
    ),
    "slot outputs lost": (herald_registers, 'outputs=fields["outputs"].extract(word)', "outputs=0"),
    "slots change without the sequencer": (herald_core, "sequencer.change(settings, boundary)", "pass"),
    "period changes in a run": (
        herald_core,
        "return Status.BUSY if self.run.is_active else Status.OK",
        "return Status.OK",
    ),
    "period slips into a run": (
        herald_core,
        "self.sets.take(without=FIXED_IN_RUN)\n",
        "self.sets.take(without=frozenset())\n",
    ),
    "run without end": (herald_core, "if decided is not None and decided + 1 >= limit:", "if False:"),
    "run ends one attempt early": (herald_core, "decided + 1 >= limit", "decided + 2 >= limit"),
    "wide register loses its high word": (
        register_file,
        "register.decode((word, before[1]) if place.part == 0 else (before[0], word))",
        "register.decode((word, 0))",
    ),
    # trigger, pattern, fails
    "overrun by the trigger taken for a fail": (
        herald_run,
        "self.records.lose_attempts(result.attempt, result.attempt)",
        "pass",
    ),
    "trigger attempts bounded early": (
        herald_engine,
        "self._decided_by_trigger = results[-1].attempt",
        "self._decided_by_trigger = results[-1].attempt + 1",
    ),
    "fails only with light": (herald_run, 'each=wanted["emit_fail"],', "each=False,"),
    "fails before light on its way": (herald_run, "limit = min(limit, edge.stamp - 1)", "pass"),
    "light judged twice": (herald_engine, "self._judged.add(edge.attempt)", "pass"),
    "skipped attempts fail": (herald_engine, "self.skipped.append((end, last.attempt))", "pass"),
    "pattern fires without being asked": (
        herald_run,
        'mask = registers.value("TEST_MASK") if wanted["self_test"] else 0',
        "mask = 1",
    ),
    "pattern fires late": (herald_engine, "edge.stamp + delay)", "edge.stamp + delay + 40)"),
    "pins one tick late": (herald_run, "PIN_TICKS = 7", "PIN_TICKS = 8"),
    "first hits of an empty attempt": (herald_run, "if first_hits and result.mask:", "if first_hits:"),
    # inputs, tags, ring
    "rising edge of a falling input": (herald_run, "+ falls * PULSE_FS", ""),
    "counters never cleared": (herald_core, "golden.counts = [0] * CHANNELS", "pass"),
    "snapshot that goes on": (herald_core, 'self.registers.put("SNAP_COUNT", count, channel)', "pass"),
    "tag of a rejected edge": (
        herald_engine,
        "if self.golden.hit(channel, stamp):",
        "if self.golden.hit(channel, stamp) or True:",
    ),
    "tag bound before its tags": (
        herald_run,
        "limit = min(limit, TagWords.unpack(entry.record).stamp - 1)",
        "pass",
    ),
    "lost tags counted as attempts": (herald_records, "self.lost_tags += 1", "self.lost_attempts += 1"),
    "lost tags told as attempts": (
        herald_records,
        "self._lose(Lost(stamp, stamp, 1, 0, RecordKind.TAG))",
        "self._lose(Lost(stamp, stamp, 1, 0))",
    ),
    "lost-before not on the tag": (herald_records, "flags |= TagFlag.LOST_BEFORE", "pass"),
    "window shows the oldest record first": (event_ring, "(place - self.oldest) % self.depth", "place"),
    "window shows what was released": (event_ring, "or sequence >= self.next:", "or False:"),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_noticed(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, old, new = PLANTED[fault]
    plant(monkeypatch, module, (old, new))
    assert noticed_by(DIRECTED), f"no directed case noticed: {fault}"


def test_hardware_that_cannot_be_is_refused() -> None:
    for changes in ({"fine_bits": 9}, {"ring_log2": 9}, {"fine_widths": (1, 2)}):
        with pytest.raises(LocalMisuse):
            HeraldHardware(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "module", sorted({module for module, _, _ in PLANTED.values()}, key=str), ids=lambda one: one.__name__
)
def test_a_module_planted_without_a_fault_passes(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_harmless_changes_pass(monkeypatch, module, DIRECTED)
