"""The emulated FPGA beyond the bare run: clock, PPS, reference, frames, end of a run.

Each case is worked out by hand; the faults that it must notice are in test_herald_device_planted.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.framing import FrameType, Status
from bellwire.drivers.herald_frames import Frame, FrameSlot, OutputPulse, OutputSource
from bellwire.drivers.herald_settings import (
    Bank,
    GateWindow,
    HeraldSettings,
)
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.herald_clock import HeraldHardware
from tests.simulator_backend.devices.wire import (
    BOOT_NS,
    COMMIT,
    PERIOD_NS,
    RUN,
    SETTINGS,
    START_NS,
    S,
    click,
    light,
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
]


@pytest.mark.parametrize("case", DIRECTED, ids=lambda case: case.__name__)
def test_the_device_does_what_its_manual_says(case: Any) -> None:
    case()


def test_hardware_that_cannot_be_is_refused() -> None:
    for changes in ({"fine_bits": 9}, {"ring_log2": 9}, {"fine_widths": (1, 2)}):
        with pytest.raises(LocalMisuse):
            HeraldHardware(**changes)  # type: ignore[arg-type]
