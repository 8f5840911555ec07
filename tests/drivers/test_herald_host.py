"""The driver of the heralding FPGA when runs go wrong: what nobody can know is UNKNOWN and never a fail.

The cases of fpga.md section 11 (overflow, PPS missing, late commit, overrun, link loss, reset in a run),
worked out by hand in time that is passed in. The faults that they must notice: test_herald_host_planted.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from bellwire.core.errors import DeviceFault
from bellwire.drivers import (
    herald_fpga,
)
from bellwire.drivers.faults import DeviceError, DeviceRestarted, LinkTimeout, ProtocolFault
from bellwire.drivers.frames import HeraldWords
from bellwire.drivers.framing import FrameType
from bellwire.drivers.herald_frames import Frame, FrameSlot
from bellwire.drivers.herald_settings import GateWindow, PulsePattern
from bellwire.simulator_backend.devices.event_ring import RingEntry
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.herald_clock import HeraldHardware
from bellwire.simulator_backend.devices.herald_sequencer import Sequencer
from tests.drivers.desk import PERIOD_NS, SETTINGS, START_S, Desk, S, a_desk, is_reply


def ended_by(desk: Desk) -> DeviceFault:
    """Why the link has failed."""
    fault = desk.driver.link._fault
    assert fault is not None
    assert fault.done(), "the link goes on"
    found: DeviceFault = fault.result()
    return found


async def a_run_is_told_whole() -> None:
    async with a_desk() as desk:
        await desk.run()
        for attempt in (0, 3, 4):
            await desk.click(attempt)
        await desk.wait(10)
        assert [(r.sub_attempt, r.outcome) for r in desk.records] == [(0, 1), (3, 1), (4, 1)]
        assert [r.stamp_ns for r in desk.records] == [START_S * S + k * PERIOD_NS for k in (0, 3, 4)]
        assert desk.bounds[-1] == 9
        assert desk.sums() == (10, 3, 7, 0)
        await desk.driver.check_counters()
        desk.driver.counters.decided = 11
        with pytest.raises(DeviceError, match="host counts 11"):
            await desk.driver.check_counters()


async def records_without_room_are_unknown() -> None:
    async with a_desk(HeraldHardware(ring_log2=1)) as desk:
        await desk.run()
        desk.drops = lambda message: message.type == FrameType.EVENTS
        for attempt in (0, 1, 5):
            await desk.click(attempt)
        desk.drops = lambda message: False
        await desk.wait(8)
        await desk.wait(8)
        assert desk.losses == [(5, 5)]
        assert desk.sums() == (8, 2, 5, 1)


async def a_loss_that_nobody_heard_makes_the_interval_unknown() -> None:
    async with a_desk() as desk:
        await desk.run()
        await desk.wait(4)
        desk.drops = lambda message: message.type == FrameType.LOST
        desk.core.afflict(Fault.OVERFLOW, True, desk.now_ns)
        await desk.click(6)
        desk.core.afflict(Fault.OVERFLOW, False, desk.now_ns)
        await desk.wait(10)
        assert desk.losses == [(4, 9)]
        assert desk.sums() == (10, 0, 4, 6)


async def losses_of_a_run_before_are_not_counted_in_this_one() -> None:
    async with a_desk() as desk:
        await desk.run()
        desk.core.afflict(Fault.OVERFLOW, True, desk.now_ns)
        desk.drops = lambda message: message.type == FrameType.LOST
        at_ns = START_S * S + 3 * PERIOD_NS + 104
        desk.core.click(at_ns, 0, 1, at_ns)
        await desk.driver.start_run(8, START_S + 1)
        desk.drops = lambda message: False
        desk.driver._take_lost(herald_fpga.Lost(0, 5, 6, 7))
        assert desk.losses == []
        assert desk.driver.counters.unknown == 0


async def an_overrun_is_unknown() -> None:
    async with a_desk() as desk:
        settings = replace(SETTINGS, external_trigger=True)
        await desk.run(settings)
        for after_ns in (1000, 2000, 2100, 9000):
            desk.now_ns = START_S * S + after_ns
            desk.core.trigger(desk.now_ns * 1000, desk.now_ns)
        desk.now_ns += 5000
        await desk.tick()
        assert desk.losses == [(1, 1)]
        assert desk.sums() == (4, 0, 3, 1)


async def a_run_whose_pps_is_missing_is_told() -> None:
    async with a_desk() as desk:
        desk.core.afflict(Fault.PPS_MISSING, True, desk.now_ns)
        await desk.run()
        desk.now_ns = START_S * S + 150_000_000
        await desk.tick()
        assert desk.driver.link.is_open  # a late device is given its time
        desk.now_ns = START_S * S + 300_000_000
        await desk.tick()
        fault = ended_by(desk)
        assert isinstance(fault, DeviceError)
        assert f"the run of second {START_S} has not started" in str(fault)
        assert desk.sums() == (0, 0, 0, 0)
        assert desk.bounds == []


async def a_pps_that_is_missing_later_changes_nothing() -> None:
    async with a_desk() as desk:
        await desk.run()
        desk.core.afflict(Fault.PPS_MISSING, True, desk.now_ns)
        desk.now_ns += 3 * S
        await desk.tick()
        assert desk.driver.link.is_open
        assert desk.sums() == (3000, 0, 3000, 0)


async def a_lost_clock_makes_everything_since_the_last_bound_unknown() -> None:
    async with a_desk() as desk:
        await desk.run()
        await desk.wait(5)
        desk.drops = lambda message: message.type == FrameType.EVENTS
        await desk.click(7)
        desk.drops = lambda message: False
        desk.now_ns = START_S * S + 9 * PERIOD_NS
        desk.core.afflict(Fault.REFERENCE_LOST, True, desk.now_ns)
        await desk.tick()
        await desk.tick()
        assert isinstance(ended_by(desk), DeviceRestarted)
        assert "clock was lost" in str(ended_by(desk))
        assert desk.sums() == (9, 1, 5, 3)  # the record that was in the ring stands
        assert desk.losses == [(5, 8)]
        with pytest.raises(DeviceFault):
            await desk.driver.start_run(8, START_S + 1)


async def without_its_reference_no_run_begins() -> None:
    async with a_desk() as desk:
        await desk.driver.configure(SETTINGS)
        desk.core.afflict(Fault.REFERENCE_LOST, True, desk.now_ns)
        with pytest.raises(DeviceError, match="connect 10 MHz or configure external_reference = False"):
            await desk.driver.start_run(7, START_S)
        await desk.driver.configure(replace(SETTINGS, external_reference=False))
        await desk.driver.start_run(7, START_S)
        assert desk.core.run.is_active


async def a_reset_in_a_run_decides_nothing_more() -> None:
    async with a_desk() as desk:
        resets: list[int] = []
        desk.driver.on_reset = lambda: resets.append(desk.now_ns)
        await desk.run()
        await desk.wait(5)
        desk.now_ns += 3 * PERIOD_NS
        await desk.driver.soft_reset()
        await desk.tick()
        assert isinstance(ended_by(desk), DeviceRestarted)
        assert desk.sums() == (5, 0, 5, 0)
        await desk.driver.link.close()
        await desk.driver.connect()
        assert len(resets) == 1
        desk.now_ns += 3 * PERIOD_NS
        await desk.tick()
        assert desk.bounds[-1] == 4
        assert desk.sums() == (5, 0, 5, 0)


async def what_a_broken_link_held_back_comes_later_and_is_no_fail() -> None:
    async with a_desk() as desk:
        await desk.run()
        await desk.wait(2)
        desk.drops = lambda message: True
        await desk.click(3)
        await desk.wait(6)
        assert desk.sums() == (2, 0, 2, 0)
        desk.drops = lambda message: message.type == FrameType.EVENTS
        await desk.wait(7)  # the bound came through, the record before it did not
        assert desk.sums() == (2, 0, 2, 0)
        desk.drops = lambda message: False
        await desk.wait(8)
        await desk.wait(8)
        assert [r.sub_attempt for r in desk.records] == [3]
        assert desk.sums() == (8, 1, 7, 0)


async def records_that_are_gone_for_good_are_unknown() -> None:
    async with a_desk() as desk:
        await desk.run()
        await desk.wait(2)
        desk.drops = lambda message: message.type == FrameType.EVENTS
        await desk.click(3)
        desk.core.ring.acknowledge(1)  # as if another host had taken it
        desk.drops = lambda message: False
        await desk.wait(5)
        await desk.wait(6)
        assert desk.losses[0] == (2, 5)
        assert desk.sums()[2] == 2


async def a_run_that_began_at_another_time_is_refused() -> None:
    async with a_desk() as desk:
        await desk.run()
        engine, start = desk.core.run.engine, desk.core.run.start_stamp
        settings = engine.sequencer.settings
        for late_ns, accepted in ((8, True), (-8, True), (PERIOD_NS, False)):
            engine.sequencer = Sequencer(settings, start + late_ns)
            at_ns = desk.now_ns = START_S * S + 4 * PERIOD_NS + 104 + late_ns
            desk.core.click(at_ns, 0, 1, at_ns)
            desk.endpoint.pump()
            await desk.settle()
            assert desk.driver.link.is_open == accepted, late_ns
        assert len(desk.records) == 2  # one tick is what the capture of the PPS may be off
        assert f"attempt 4 began {PERIOD_NS} ns after its time" in str(ended_by(desk))


async def an_outcome_without_meaning_is_unknown() -> None:
    async with a_desk() as desk:
        await desk.run(replace(SETTINGS, table=(0,) * 5 + (15,) + (0,) * 250))
        await desk.click(2, outcome=15)
        await desk.wait(5)
        assert desk.losses == [(2, 2)]
        assert desk.records == []
        assert desk.sums() == (5, 0, 4, 1)


async def a_record_behind_its_bound_ends_the_link() -> None:
    async with a_desk() as desk:
        await desk.run()
        await desk.wait(5)
        epoch = desk.core.clock.epoch
        stamp = (START_S * S + 2 * PERIOD_NS) - desk.core.clock.zero_ns
        desk.core.ring.push(RingEntry(7, epoch, HeraldWords(2, 5, 1, 0, stamp).pack()))
        desk.endpoint.pump()
        await desk.settle()
        assert isinstance(ended_by(desk), ProtocolFault)
        assert desk.sums() == (5, 0, 5, 0)


async def a_late_commit_is_given_once_more() -> None:
    async with a_desk() as desk:
        await desk.run()
        other = replace(SETTINGS, windows=(GateWindow(90, 40),))
        desk.now_ns = START_S * S + 20 * PERIOD_NS
        desk.step_ns = PERIOD_NS // 4 - 3
        await desk.driver.configure(other)
        assert desk.core.registers.value("WIN_START") == 90
        desk.step_ns = 0
        boundary_ns = START_S * S + 200 * PERIOD_NS
        desk.now_ns = max(desk.now_ns, boundary_ns - 40)
        assert desk.now_ns == boundary_ns - 40
        with pytest.raises(DeviceError, match="missed its boundary twice"):
            await desk.driver.configure(SETTINGS)
        assert desk.core.registers.value("WIN_START") == 90


async def a_commit_that_was_late_once_is_in_force_in_the_end() -> None:
    async with a_desk() as desk:
        await desk.run()
        desk.now_ns = START_S * S + 20 * PERIOD_NS - 40
        commits: list[int] = []

        def step(message: Any) -> bool:
            if message.type == FrameType.WRITE and message.address == 0x011:
                commits.append(desk.now_ns)
            elif message.type == FrameType.READ and message.address == 0x012 and commits:
                desk.now_ns += PERIOD_NS // 3  # the boundary passes while the host looks
            return False

        desk.drops = step
        await desk.driver.configure(replace(SETTINGS, windows=(GateWindow(90, 40),)))
        assert len(commits) == 2
        assert desk.core.registers.value("WIN_START") == 90


async def a_repeated_request_runs_once() -> None:
    async with a_desk() as desk:
        await desk.driver.link.write("LUT_ADDR", 0)
        dropped: list[int] = []

        def drop_two_replies(message: Any) -> bool:
            if is_reply(message) and len(dropped) < 2:
                dropped.append(message.seq)
                return True
            return False

        desk.drops = drop_two_replies
        await desk.driver.link.write("LUT_DATA", 3)
        assert desk.driver.link.repeated_requests == 2
        assert await desk.driver.link.read("LUT_ADDR") == 1


async def an_answer_that_stays_away_is_followed_by_hello() -> None:
    async with a_desk() as desk:
        desk.drops = lambda message: message.type == FrameType.WRITE | 0x80
        with pytest.raises(LinkTimeout, match="yet HELLO was"):
            await desk.driver.link.write("SCRATCH", 3)
        desk.drops = lambda message: False
        assert await desk.driver.link.read("SCRATCH") == 3


async def a_set_that_was_not_kept_is_told() -> None:
    async with a_desk() as desk:
        await desk.driver.configure(SETTINGS)
        real = desk.core.registers.apply
        desk.core.registers.apply = lambda values: real({**values, ("OFFS", 2): 9})
        with pytest.raises(DeviceError, match=r"OFFS\[2\] was set to 0 but reads 9"):
            await desk.driver.configure(replace(SETTINGS, coincidence_ns=16))


async def a_table_that_was_not_kept_is_told() -> None:
    async with a_desk() as desk:
        real = desk.core.sets.apply

        def apply() -> None:
            real()
            desk.core.sets.table[200] = 3

        desk.core.sets.apply = apply
        with pytest.raises(DeviceError, match="the table LUT reads back differently"):
            await desk.driver.configure(SETTINGS)


async def a_configuration_that_is_there_already_is_not_written_again() -> None:
    async with a_desk() as desk:
        await desk.driver.configure(SETTINGS)
        desk.sent.clear()
        await desk.driver.configure(SETTINGS)
        written = {
            message.address
            for message in desk.sent
            if message.type in (FrameType.WRITE, FrameType.WRITE_FIXED)
        }
        addresses = {desk.driver.link.map[name].address for name in ("LUT_ADDR", "SCRATCH")}
        assert written == addresses


async def a_build_of_other_sizes_is_refused() -> None:
    async with a_desk() as desk:
        caps = desk.core.registers.value("CAPS")
        desk.core.registers.put("CAPS", caps ^ desk.driver.link.map["CAPS"].fields["banks"].place(3))
        with pytest.raises(DeviceError, match="a build with banks = 1, known is 2"):
            await desk.driver.configure(SETTINGS)


async def a_value_that_was_never_committed_does_not_slip_in() -> None:
    async with a_desk() as desk:
        await desk.driver.configure(SETTINGS)
        await desk.driver.link.write("WIN_LEN", 99)
        await desk.driver.configure(replace(SETTINGS, coincidence_ns=16))
        assert (desk.core.registers.value("WIN_LEN"), desk.core.registers.value("COINC")) == (48, 16)


async def frames_and_patterns_reach_the_device() -> None:
    async with a_desk(HeraldHardware(tick_fs=4_000_000, fine_bits=2)) as desk:
        settings = replace(
            SETTINGS,
            frame=Frame(
                length_ns=10 * PERIOD_NS,
                slots=(FrameSlot(link=3, attempts=2, gap_ns=4), FrameSlot(link=4, attempts=1)),
            ),
            test_pattern=PulsePattern(channels=frozenset({0, 1}), delay_ns=100),
        )
        await desk.run(settings)
        await desk.wait(20)
        await desk.wait(20)
        assert [r.sub_attempt for r in desk.records] == list(range(6))
        assert desk.sums() == (6, 6, 0, 0)
        offsets = [(r.stamp_ns - START_S * S) for r in desk.records[:4]]
        assert offsets == [0, PERIOD_NS, 2 * PERIOD_NS + 4, 10 * PERIOD_NS]
        assert await desk.driver.read_singles() == (7, 7, 0, 0) or await desk.driver.read_singles() == (
            6,
            6,
            0,
            0,
        )


async def first_hits_come_in_nanoseconds() -> None:
    async with a_desk() as desk:
        hits: list[herald_fpga.FirstHits] = []
        desk.driver.on_first_hits = hits.append
        await desk.run(replace(SETTINGS, first_hits=True))
        await desk.click(2)
        assert [(one.sub_attempt_low, one.outcome, one.times_ns) for one in hits] == [
            (2, 1, (104.0, 104.0, None, None))
        ]


CASES: list[Callable[[], Awaitable[None]]] = [
    a_run_is_told_whole,
    records_without_room_are_unknown,
    a_loss_that_nobody_heard_makes_the_interval_unknown,
    losses_of_a_run_before_are_not_counted_in_this_one,
    an_overrun_is_unknown,
    a_run_whose_pps_is_missing_is_told,
    a_pps_that_is_missing_later_changes_nothing,
    a_lost_clock_makes_everything_since_the_last_bound_unknown,
    without_its_reference_no_run_begins,
    a_reset_in_a_run_decides_nothing_more,
    what_a_broken_link_held_back_comes_later_and_is_no_fail,
    records_that_are_gone_for_good_are_unknown,
    a_run_that_began_at_another_time_is_refused,
    an_outcome_without_meaning_is_unknown,
    a_record_behind_its_bound_ends_the_link,
    a_late_commit_is_given_once_more,
    a_commit_that_was_late_once_is_in_force_in_the_end,
    a_repeated_request_runs_once,
    an_answer_that_stays_away_is_followed_by_hello,
    a_set_that_was_not_kept_is_told,
    a_table_that_was_not_kept_is_told,
    a_configuration_that_is_there_already_is_not_written_again,
    a_build_of_other_sizes_is_refused,
    a_value_that_was_never_committed_does_not_slip_in,
    frames_and_patterns_reach_the_device,
    first_hits_come_in_nanoseconds,
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_a_host_counts_as_unknown_what_nobody_can_know(case: Any) -> None:
    await case()
