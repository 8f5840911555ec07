"""The driver of the heralding FPGA under a frame: pauses are no silence, and another table is another run."""

from dataclasses import replace

import pytest

from bellwire.drivers.faults import DeviceError
from bellwire.drivers.framing import FrameType
from bellwire.drivers.herald_fpga import HeraldFpga
from bellwire.drivers.herald_frames import Frame, FrameSlot
from bellwire.simulator_backend.devices.faults import Fault
from tests.drivers.desk import PERIOD_NS, SETTINGS, START_S, Desk, S, a_desk

FRAME = Frame(
    length_ns=20 * PERIOD_NS,
    slots=(
        FrameSlot(link=0, attempts=3, gap_ns=5 * PERIOD_NS),
        FrameSlot(link=0, attempts=2, gap_ns=10 * PERIOD_NS),
    ),
)
PAUSED = replace(SETTINGS, frame=FRAME, start_delay_ns=4 * PERIOD_NS)


async def click_at(desk: Desk, period: int) -> int:
    """Light so many periods after the run's second; the outcome."""
    at_ns = START_S * S + period * PERIOD_NS + 104
    desk.now_ns = max(desk.now_ns, at_ns)
    outcome = desk.core.click(at_ns, 0, 1, desk.now_ns)
    desk.endpoint.pump()
    await desk.settle()
    return outcome


async def test_bounds_go_on_through_the_pause_before_the_first_attempt_and_between_windows() -> None:
    async with a_desk() as desk:
        await desk.run(PAUSED)
        for period in (2, 4.5, 8, 10, 13.5, 18, 20, 24.5):
            await desk.wait(period)
        assert desk.bounds == [-1, -1, 0, 2, 2, 4, 4, 4, 5]
        assert desk.sums() == (6, 0, 6, 0)


async def test_nothing_is_bounded_before_the_second_of_the_run() -> None:
    async with a_desk() as desk:
        await desk.driver.configure(PAUSED)
        await desk.driver.start_run(7, START_S)
        desk.now_ns = START_S * S - 1
        await desk.tick()
        assert desk.bounds == []


async def test_without_a_frame_a_bound_that_goes_no_further_is_told_once() -> None:
    async with a_desk() as desk:
        await desk.run()
        await desk.wait(3)
        await desk.wait(3)
        assert desk.bounds == [2]


async def test_a_loss_told_within_a_pause_is_still_a_loss() -> None:
    """The record of the last attempt of a window has no room, and the word of it is lost too."""
    async with a_desk() as desk:
        await desk.run(PAUSED)
        await desk.wait(5.5)
        desk.drops = lambda message: message.type == FrameType.LOST
        desk.core.afflict(Fault.OVERFLOW, True, desk.now_ns)
        assert await click_at(desk, 6) == 1
        desk.core.afflict(Fault.OVERFLOW, False, desk.now_ns)
        await desk.wait(10)
        await desk.wait(11)
        assert desk.losses == [(2, 2)]
        assert desk.sums() == (3, 0, 2, 1)


async def test_stamps_lie_where_the_frame_has_its_attempts_and_nothing_heralds_in_a_pause() -> None:
    async with a_desk() as desk:
        await desk.run(PAUSED)
        heard = {period: await click_at(desk, period) for period in range(50)}
        made = [4, 5, 6, 12, 13, 24, 25, 26, 32, 33, 44, 45, 46]
        assert [period for period, outcome in heard.items() if outcome] == made
        assert [record.sub_attempt for record in desk.records] == list(range(len(made)))
        assert [record.stamp_ns for record in desk.records] == [START_S * S + k * PERIOD_NS for k in made]
        assert desk.driver.link.is_open


@pytest.mark.parametrize(
    ("register", "row", "value", "seen"),
    [("SLOT_GAP", 0, 6 * PERIOD_NS // 8, 3), ("SLOT", 0, 2, 2), ("SLOT", 1, 3, 5)],
    ids=["a longer pause", "one attempt less", "one attempt more"],
)
async def test_a_device_that_executes_another_table_ends_the_run_before_a_herald_is_told(
    register: str, row: int, value: int, seen: int
) -> None:
    """All numbers after the difference mean other times to the nodes than to the device."""
    async with a_desk() as desk:
        await desk.driver.configure(PAUSED)
        desk.core.registers.put(register, value, row)
        await desk.driver.start_run(7, START_S)
        desk.now_ns = START_S * S
        await desk.tick()
        for period in range(60):
            await click_at(desk, period)
        assert [record.sub_attempt for record in desk.records] == list(range(seen))
        fault = desk.driver.link._fault
        assert fault is not None
        assert isinstance(fault.result(), DeviceError)
        assert f"attempt {seen} began" in str(fault.result())


async def test_a_run_of_an_earlier_life_does_not_keep_another_schedule_out() -> None:
    """Killed with its run going on, a station comes back with slots that begin elsewhere."""
    async with a_desk() as desk:
        await desk.run(PAUSED)
        await desk.driver.close()
        desk.step_ns = PERIOD_NS // 4
        desk.driver = HeraldFpga("station", "/desk", serial_number="5", framed=desk.driver.link.settings)
        await desk.driver.connect()
        await desk.driver.configure(PAUSED)
        assert desk.core.run.is_active  # it keeps what is there already
        await desk.driver.configure(replace(PAUSED, start_delay_ns=6 * PERIOD_NS))
        assert not desk.core.run.is_active
        assert desk.core.registers.value("START_DELAY") == 6 * PERIOD_NS // 8


async def test_the_own_run_is_not_ended_for_another_schedule() -> None:
    async with a_desk() as desk:
        await desk.run(PAUSED)
        with pytest.raises(DeviceError, match="busy"):
            await desk.driver.configure(replace(PAUSED, start_delay_ns=6 * PERIOD_NS))
        assert desk.core.run.is_active


async def test_a_table_that_was_changed_in_a_run_is_not_judged_by_the_times_of_the_one_before() -> None:
    async with a_desk() as desk:
        await desk.run(PAUSED)
        assert await click_at(desk, 4) == 1
        fewer = replace(FRAME.slots[0], attempts=2, gap_ns=7 * PERIOD_NS)
        other = replace(FRAME, slots=(fewer, replace(FRAME.slots[1], gap_ns=9 * PERIOD_NS)))
        desk.step_ns = PERIOD_NS // 4
        await desk.driver.configure(replace(PAUSED, frame=other))
        assert desk.core.registers.value("SLOT_GAP", 0) == 7 * PERIOD_NS // 8
        later = (desk.now_ns - START_S * S - 4 * PERIOD_NS) // (20 * PERIOD_NS) * 20 + 24
        assert await click_at(desk, later + 9) == 1
        assert desk.driver.link.is_open
        assert len(desk.records) == 2
