"""A supervised station whose PPS or reference fails, on a real line in real time: told, and usable again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.faults import DeviceError
from bellwire.drivers.instrument import Condition
from bellwire.simulator_backend.devices.faults import Fault
from tests.drivers.conftest import Lab


@asynccontextmanager
async def supervised(lab: Lab) -> AsyncIterator[None]:
    task = asyncio.create_task(lab.fpga.supervise())
    try:
        await lab.fpga.wait_for(Condition.READY, 5)
        await lab.configure_station()
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_run_whose_clock_is_lost_ends_unknown_and_the_next_one_waits_for_the_clock(lab: Lab) -> None:
    async with supervised(lab):
        await lab.start_run(3)
        await lab.eventually(lambda: lab.fpga.counters.decided > 20, "the run goes on")
        lab.bench.set_fault("station", Fault.REFERENCE_LOST)
        await lab.eventually(lambda: lab.resets == ["station"], "the end of the run is told")
        sums = lab.fpga.counters
        assert sums.decided == sums.failed + sums.unknown
        assert lab.losses
        assert sums.unknown == sum(last - first + 1 for _, first, last, _ in lab.losses)
        await lab.fpga.wait_for(Condition.READY, 5)
        with pytest.raises(DeviceError, match="connect 10 MHz"):
            await lab.fpga.start_run(4, lab.next_epoch_s())
        lab.bench.clear_fault("station")
        await lab.start_run(4)
        await lab.eventually(lambda: lab.bounds[-1][0] == 4, "the next run goes on")


async def test_a_run_whose_pps_is_missing_is_given_up_and_another_may_begin(lab: Lab) -> None:
    async with supervised(lab):
        lab.bench.set_fault("station", Fault.PPS_MISSING)
        await lab.start_run(3)
        await lab.eventually(lambda: lab.resets == ["station"], "the missed start is told")
        assert lab.bounds == []
        assert lab.losses == []
        lab.bench.clear_fault("station")
        await lab.fpga.wait_for(Condition.READY, 5)
        await lab.start_run(4)
        await lab.eventually(lambda: bool(lab.bounds) and lab.bounds[-1][0] == 4, "the next run goes on")


async def test_what_is_around_the_board_lasts_over_a_power_cycle(lab: Lab) -> None:
    async with lab.bench:
        lab.bench.set_fault("station", Fault.REFERENCE_LOST)
        await lab.bench.power_cycle("station", 0.0)
        core = lab.bench.stations["station"].core
        assert core is not None
        assert not core.clock.external_present
        lab.bench.clear_fault("station")
        assert core.clock.external_present


async def test_a_fault_that_a_device_does_not_have_is_refused(lab: Lab) -> None:
    for name, fault in (("station", Fault.INTERLOCK), ("alice", Fault.PPS_MISSING)):
        with pytest.raises(LocalMisuse, match="has no fault"):
            lab.bench.set_fault(name, fault)


async def test_a_device_that_hangs_answers_when_it_comes_back(lab: Lab) -> None:
    await lab.fpga.connect()
    lab.bench.set_fault("station", Fault.HANG, delay_s=0.03, times=1)
    await lab.fpga.link.write("LUT_ADDR", 0)
    await lab.fpga.link.write("LUT_DATA", 1)
    assert await lab.fpga.link.read("LUT_ADDR") == 1


@pytest.mark.parametrize("fault", [Fault.DROPPED_BYTE, Fault.GARBAGE])
async def test_spoilt_replies_are_asked_for_again(lab: Lab, fault: Fault) -> None:
    await lab.fpga.connect()
    lab.bench.set_fault("station", fault, times=2)
    assert await lab.fpga.link.read("SERIAL") == 77
    assert lab.fpga.link.repeated_requests == 2
