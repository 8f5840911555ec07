"""Drivers of the framed protocol when the line or the device misbehaves; one test per fault switch."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bellwire.core.errors import ConfigError, DeviceFault
from bellwire.drivers.faults import DeviceError, LinkTimeout, OperationUnknown
from bellwire.drivers.frames import Bound, Lost
from bellwire.drivers.herald_settings import HeraldSettings
from bellwire.drivers.instrument import Condition, Instrument
from bellwire.simulator_backend.devices.faults import Fault
from tests.drivers.conftest import PERIOD_NS, Lab


@asynccontextmanager
async def supervised(*drivers: Instrument) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(driver.supervise()) for driver in drivers]
    try:
        for driver in drivers:
            await driver.wait_for(Condition.READY, 5)
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_late_reply_is_not_taken_for_the_reply_to_another_request(lab: Lab) -> None:
    await lab.alice.connect()
    await lab.alice.link.write("SCRATCH", 5)
    lab.bench.set_fault("alice", Fault.LATE_REPLY, delay_s=0.12, times=1)
    assert await lab.alice.link.read("LEASE_MS") == 1000
    assert lab.alice.link.repeated_requests == 1
    assert [await lab.alice.link.read("SCRATCH") for _ in range(3)] == [5, 5, 5]


@pytest.mark.parametrize("fault", [Fault.HALF_REPLY, Fault.LOST_FRAME, Fault.BAD_CRC])
async def test_a_damaged_reply_is_asked_for_again_and_nothing_runs_twice(lab: Lab, fault: Fault) -> None:
    await lab.alice.connect()
    await lab.alice.initialise(0)
    for _ in range(3):
        lab.bench.set_fault("alice", fault, times=1)
        await lab.alice.pauli(0, 2)
        lab.bench.clear_fault("alice")
    assert await lab.alice.measure(0, "Z") == 1
    assert sum(entry[2] == "pauli_2" for entry in lab.truth_log) == 3


@pytest.mark.parametrize("fault", [Fault.DOUBLE_REPLY, Fault.UNSOLICITED])
async def test_replies_that_nobody_asked_for_are_ignored(lab: Lab, fault: Fault) -> None:
    await lab.alice.connect()
    lab.bench.set_fault("alice", fault)
    for value in range(20):
        await lab.alice.link.write("SCRATCH", value)
        assert await lab.alice.link.read("SCRATCH") == value
    assert lab.alice.link.repeated_requests == 0


async def test_a_silent_device_is_out_of_step_and_comes_back(lab: Lab) -> None:
    async with supervised(lab.alice):
        lab.bench.set_fault("alice", Fault.SILENT)
        await lab.alice.wait_for(Condition.DESYNC, 5)
        with pytest.raises(DeviceFault):
            await lab.alice.initialise(0)
        lab.bench.clear_fault("alice")
        await lab.alice.wait_for(Condition.READY, 5)
        await lab.alice.initialise(0)


async def test_replies_that_stay_away_end_in_a_timeout_and_the_link_goes_on_after_hello(lab: Lab) -> None:
    await lab.alice.connect()
    lab.bench.set_fault("alice", Fault.HALF_REPLY, times=3)
    with pytest.raises(LinkTimeout, match="HELLO"):
        await lab.alice.link.read("SCRATCH")
    assert await lab.alice.link.read("SCRATCH") == 0


@pytest.mark.parametrize("fault", [Fault.FIN, Fault.RST])
async def test_a_hang_up_is_survived_with_configuration_and_without_reset(lab: Lab, fault: Fault) -> None:
    async with supervised(lab.alice):
        await lab.configure_memory()
        states: list[Condition] = []
        lab.alice._on_state = lambda state: states.append(state.condition)
        lab.bench.set_fault("alice", fault, times=1)
        await lab.eventually(lambda: Condition.LOST in states, "the loss is told")
        await lab.alice.wait_for(Condition.READY, 5)
        assert lab.resets == []
        assert await lab.alice.link.read("PORT_PERIOD", 3) == PERIOD_NS


async def test_a_line_that_is_absent_is_absent_and_then_ready(lab: Lab) -> None:
    lab.bench.set_fault("alice", Fault.REFUSED)
    task = asyncio.create_task(lab.alice.supervise())
    await lab.eventually(lambda: "cannot open" in lab.alice.state.reason, "the reason is told")
    assert lab.alice.state.condition is Condition.ABSENT
    assert lab.alice.state.age_ns(0) is None
    lab.bench.clear_fault("alice", Fault.REFUSED)
    await lab.alice.wait_for(Condition.READY, 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_set_that_is_silently_ignored_is_found_by_the_read_back(lab: Lab) -> None:
    await lab.connect()
    lab.bench.set_fault("alice", Fault.IGNORED_SET)
    with pytest.raises(DeviceError, match="reads back differently"):
        await lab.configure_memory()
    lab.bench.set_fault("station", Fault.IGNORED_SET)
    with pytest.raises(DeviceError, match="reads"):
        await lab.configure()


async def test_a_device_that_restarts_on_a_living_line_is_noticed_and_configured_again(lab: Lab) -> None:
    async with supervised(lab.alice, lab.fpga):
        await lab.configure_memory()
        lab.bench.set_fault("alice", Fault.RESTART, times=1)
        await lab.eventually(lambda: lab.resets == ["alice"], "the reset is told")
        await lab.alice.wait_for(Condition.READY, 5)
        await lab.eventually(lambda: lab.alice.state.condition is Condition.READY, "ready")
        assert await lab.alice.link.read("PORT_PERIOD", 3) == PERIOD_NS


async def test_power_cycles_end_ready_and_configured_with_one_reset_each(lab: Lab) -> None:
    async with supervised(*lab.drivers):
        await lab.configure()
        for count in (1, 2):
            await lab.bench.power_cycle("station", 0.1)
            await lab.bench.power_cycle("alice", 0.0)
            await lab.eventually(lambda c=count: len(lab.resets) == 2 * c, "both resets are told")
            for driver in lab.drivers:
                await driver.wait_for(Condition.READY, 5)
        assert sorted(lab.resets) == ["alice", "alice", "station", "station"]
        assert await lab.fpga.link.read("PERIOD") == PERIOD_NS // 2 // 8
        assert await lab.alice.link.read("PORT_PERIOD", 3) == PERIOD_NS
        epoch_s = await lab.start_run(9)
        await lab.arm_both(0, 0, 9, epoch_s)
        await lab.eventually(lambda: len(lab.records) == 1 and len(lab.held["bob"]) == 1, "heralds again")


async def test_an_operation_cut_by_a_power_loss_ends_as_unknown(slow_lab: Lab) -> None:
    lab = slow_lab
    await lab.connect()
    await lab.alice.initialise(0)
    await lab.alice.initialise(1)
    measuring = asyncio.create_task(lab.alice.bell_measure(0, 1))
    await lab.eventually(lambda: lab.alice._pending != {}, "the operation is posted")
    await lab.bench.stop("alice")
    with pytest.raises(OperationUnknown):
        await measuring
    await lab.bench.start("alice")


async def test_heralds_come_once_and_in_order_over_a_line_that_loses_frames(lab: Lab) -> None:
    """16 heralds with 8 % of the frames lost each way and 8 % damaged.

    An exchange fails with probability 0.22; five tries and five HELLOs fail together with 3e-7, in 300
    requests with 1e-4: that is the false alarm.
    """
    for driver in lab.drivers:
        driver.link.settings = replace(driver.link.settings, tries=5)
    await lab.connect()
    await lab.configure()
    epoch_s = await lab.start_run(4)
    for name in ("station", "alice", "bob"):
        lab.bench.set_fault(name, Fault.LOST_FRAME, rate=0.08)
        lab.bench.set_fault(name, Fault.BAD_CRC, rate=0.08)
    count = 16

    async def cycle(slot: int) -> None:
        for k in range(count // 2):
            await lab.arm_both(slot, slot, 4, epoch_s)
            for name in ("alice", "bob"):
                await lab.eventually(
                    lambda n=name, k=k: sum(h[0] == slot for h in lab.held[n]) == k + 1, "held", 20
                )
            for memory in (lab.alice, lab.bob):
                await memory.release(slot)

    await asyncio.gather(cycle(0), cycle(1))
    last = max(2 * held[4] + held[2] for held in lab.held["alice"])
    await lab.eventually(lambda: bool(lab.bounds) and lab.bounds[-1][1] >= last, "the bound", 10)
    told = [2 * attempt + lane for _, _, lane, _, attempt, _ in lab.held["alice"]]
    assert len(told) == len(set(told)) == count
    assert sorted(record.sub_attempt for record in lab.records) == sorted(told)
    assert lab.losses == []
    assert lab.fpga.counters.unknown == 0
    damaged = sum(driver.link.frame_errors + driver.link.repeated_requests for driver in lab.drivers)
    assert damaged > 10


async def test_a_missing_loss_message_makes_the_interval_unknown_and_never_failed(lab: Lab) -> None:
    fpga = lab.fpga
    await lab.connect()
    await lab.configure()
    await lab.start_run(6)
    assert fpga._time_base is not None
    bound = Bound(6, fpga._time_base.epoch, 100, 0, 0, 1, 0, 0)
    fpga._take_bound(bound)
    assert (lab.losses, fpga.counters.failed) == ([], 101)
    fpga._take_bound(replace(bound, decided_to=200, lost=3))  # three losses, of which no message came
    assert lab.losses == [(6, 101, 200, 100)]
    fpga._take_bound(replace(bound, decided_to=201, lost=3))  # one more: a record may run ahead of its bound
    fpga._take_bound(replace(bound, decided_to=202, lost=3))
    fpga._take_bound(replace(bound, decided_to=203, lost=3))
    assert lab.losses[-1] == (6, 202, 202, 1)
    assert fpga.counters.unknown == 102
    fpga._take_lost(Lost(204, 205, 2, 6))
    fpga._take_bound(replace(bound, decided_to=300, lost=5))
    assert (fpga.counters.unknown, fpga.counters.failed) == (104, 101 + 1 + 95)


async def test_records_that_are_gone_for_good_make_the_memory_start_anew(lab: Lab) -> None:
    async with supervised(lab.alice):
        lab.alice.link.on_gap(3, 5)
        await lab.eventually(lambda: lab.resets == ["alice"], "the picture is given up")
        await lab.alice.wait_for(Condition.READY, 5)


def own_threads() -> int:
    """Threads besides the event loop's own pool, which grows up to its limit whenever it likes."""
    return sum(not thread.name.startswith("asyncio_") for thread in threading.enumerate())


async def test_forty_connections_leave_no_thread_and_no_file_behind(lab: Lab) -> None:
    await lab.alice.connect()
    await lab.alice.close()
    files, threads = open_files(), own_threads()
    for _ in range(40):
        await lab.alice.connect()
        await lab.alice.close()
    assert open_files() <= files
    assert own_threads() <= threads


async def test_a_configuration_that_the_device_cannot_represent_ends_the_supervision(lab: Lab) -> None:
    await lab.fpga.configure(HeraldSettings(link_period_ns=1_000_004))  # not connected: only remembered
    with pytest.raises(ConfigError, match="not a multiple of the tick"):
        await lab.fpga.supervise()
    assert lab.fpga.state.condition is Condition.REFUSED


async def test_a_configuration_given_before_the_connection_is_asserted_with_it(lab: Lab) -> None:
    await lab.configure_memory()
    async with supervised(lab.alice):
        assert await lab.alice.link.read("PORT_PERIOD", 3) == PERIOD_NS


async def test_a_supervision_that_is_cancelled_at_any_moment_leaves_the_line_free(lab: Lab) -> None:
    for steps in range(60):
        task = asyncio.create_task(lab.alice.supervise())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await lab.alice.connect()


async def test_a_restart_is_told_even_when_nothing_was_configured(lab: Lab) -> None:
    async with supervised(lab.alice):
        await lab.bench.power_cycle("alice", 0.0)
        await lab.eventually(lambda: lab.resets == ["alice"], "the reset is told")
        await lab.alice.wait_for(Condition.READY, 5)


async def test_a_run_whose_start_is_silently_ignored_is_found_by_the_read_back(lab: Lab) -> None:
    await lab.connect()
    await lab.configure()
    lab.bench.set_fault("station", Fault.IGNORED_SET)
    with pytest.raises(DeviceError, match=r"RUN_ID\[0\] was set to 5 but reads 0"):
        await lab.fpga.start_run(5, lab.next_epoch_s())


async def test_records_dropped_by_the_memory_controller_make_it_start_anew(lab: Lab) -> None:
    async with supervised(lab.alice):
        await lab.eventually(lambda: lab.alice._lost_count == 0, "the first bound")
        lab.alice._take_bound(Bound(0, 1, None, 0, 1, 1, 0, 0))
        await lab.eventually(lambda: lab.resets == ["alice"], "the picture is given up")
        await lab.alice.wait_for(Condition.READY, 5)
