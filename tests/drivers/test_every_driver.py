"""What holds for every driver with an emulator: growth, connecting, identity, every fault, and no stale
reply ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bellwire.core.errors import ConfigError, DeviceFault, LocalMisuse
from bellwire.drivers.faults import IdentityRefused
from bellwire.drivers.instrument import Condition
from bellwire.simulator_backend.devices.emulators import emulator_names
from bellwire.simulator_backend.devices.faults import OF_THE_DEVICE, Fault
from tests.drivers.lineup import EXPECTED, LINEUP, ROWS, Row, Served, kind_of_line, served

NAMES = [row.driver for row in ROWS]
PATIENCE_S = 20.0
CYCLES = 15
CYCLES_LONG = 1_000
GROWTH_KIB = 4_000
"""Of 1,000 cycles: a leak of one session (thread, socket, buffers) would be 50 times as much."""


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Row:
    return LINEUP[request.param]


@asynccontextmanager
async def supervised(driver: Any) -> AsyncIterator[Any]:
    """A driver with its supervising task, ready."""
    task = asyncio.get_running_loop().create_task(driver.supervise())
    try:
        await driver.wait_for(Condition.READY, PATIENCE_S)
        yield driver
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def value_of(driver: Any, parameter: str) -> Any:
    return (await driver.read_parameter(parameter)).value


def holds(driver: Any, parameter: str, wanted: Any, found: Any) -> bool:
    return bool(driver.parameter(parameter).holds(wanted, found))


def test_every_driver_with_an_emulator_stands_in_line() -> None:
    assert sorted(NAMES) == emulator_names()


# --- growth -----------------------------------------------------------------------------------------------


def opened() -> tuple[int, int, int]:
    """File descriptors, threads and tasks of this process."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir())), threading.active_count(), len(asyncio.all_tasks())


async def cycle(one: Served, times: int) -> None:
    for _ in range(times):
        driver = one.driver()
        await driver.connect()
        await driver.close()
    for _ in range(100):  # the last thread may need a moment to end
        if threading.active_count() <= 2:
            return
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("row", NAMES, indirect=True)
async def test_opening_and_closing_leaves_nothing_behind(row: Row, tmp_path: Path) -> None:
    async with served(row, tmp_path) as one:
        await cycle(one, 3)
        before = opened()
        await cycle(one, CYCLES)
        after = opened()
    assert after[0] <= before[0] + 1
    assert after[1] <= before[1] + 1
    assert after[2] <= before[2] + 1


@pytest.mark.slow
@pytest.mark.parametrize("row", NAMES, indirect=True)
async def test_a_thousand_cycles_take_no_memory(row: Row, tmp_path: Path) -> None:
    import psutil

    process = psutil.Process()
    async with served(row, tmp_path) as one:
        await cycle(one, 200)
        gc.collect()
        before = (opened(), process.memory_info().rss)
        await cycle(one, CYCLES_LONG)
        gc.collect()
        after = (opened(), process.memory_info().rss)
    assert all(now <= then + 1 for now, then in zip(after[0], before[0], strict=True))
    assert (after[1] - before[1]) / 1024 < GROWTH_KIB


# --- connecting -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", NAMES, indirect=True)
async def test_connecting_and_reading_only_ask(row: Row, tmp_path: Path) -> None:
    async with served(row, tmp_path) as one:
        driver = one.driver()
        await driver.connect()
        for parameter in driver.parameters:
            if parameter.read is not None:
                await driver.read_parameter(parameter.name)
        await driver.close()
        assert one.emulator.log
        assert [logged.request for logged in one.emulator.log if logged.changes] == []


@pytest.mark.parametrize("row", NAMES, indirect=True)
async def test_another_serial_number_is_refused_with_both_in_words(row: Row, tmp_path: Path) -> None:
    async with served(row, tmp_path) as one:
        driver = one.driver()
        found = await driver.connect()
        await driver.close()
        with pytest.raises(IdentityRefused, match="serial number") as refused:
            await one.driver(serial_number="nobody-has-this").connect()
        assert refused.value.found == found.serial_number
        if row.tells_serial:
            assert found.serial_number
            right = one.driver(serial_number=found.serial_number)
            await right.connect()
            await right.close()
        assert [logged.request for logged in one.emulator.log if logged.changes] == []


def strangers(row: Row) -> list[str]:
    """Instruments whose cables fit."""
    return [other.driver for other in ROWS if other is not row and kind_of_line(other) == kind_of_line(row)]


async def refused(row: Row, other: str, folder: Path) -> None:
    async with served(LINEUP[other], folder) as one:
        driver = one.driver_of(row)
        with pytest.raises((DeviceFault, ConfigError)):  # some have no such address
            await driver.connect()
        assert driver.state.condition is not Condition.READY


@pytest.mark.parametrize(
    ("row", "other"),
    [(row.driver, other) for row in ROWS for other in strangers(row)[:2]],
    indirect=["row"],
)
async def test_an_instrument_of_another_make_is_never_taken_for_the_right_one(
    row: Row, other: str, tmp_path: Path
) -> None:
    """A cable in the wrong socket: the driver of `row` at the instrument of `other`."""
    await refused(row, other, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("row", "other"),
    [(row.driver, other) for row in ROWS for other in strangers(row)[2:]],
    indirect=["row"],
)
async def test_no_instrument_of_any_other_make_is(row: Row, other: str, tmp_path: Path) -> None:
    await refused(row, other, tmp_path)


# --- faults -----------------------------------------------------------------------------------------------


def faults_of(row: Row) -> list[Fault]:
    return [fault for fault in EXPECTED if fault not in row.deaf_to | row.blind_to]


@pytest.mark.parametrize(
    ("row", "fault"),
    [(row.driver, fault) for row in ROWS for fault in faults_of(row)],
    indirect=["row"],
)
async def test_a_fault_ends_in_its_error_and_in_recovery(row: Row, fault: Fault, tmp_path: Path) -> None:
    async with served(row, tmp_path) as one:
        driver = one.driver()
        wanted = row.values[1] if row.setting else None
        if row.setting:
            await driver.configure({row.setting: wanted})
        async with supervised(driver):
            truth = await value_of(driver, row.reading)
            one.emulator.set_fault(fault, times=1, delay_s=2.5 * row.timeout_s)
            seen: list[DeviceFault] = []
            for _ in range(3):
                try:
                    assert await value_of(driver, row.reading) == truth
                except DeviceFault as problem:
                    seen.append(problem)
                    one.emulator.clear_fault(Fault.REFUSED)
                    await driver.wait_for(Condition.READY, PATIENCE_S)
            one.emulator.clear_fault()
            if fault not in row.unsure:
                assert bool(seen) != (fault in row.repairs), f"{fault} ended in {seen}"
            for problem in seen:
                assert isinstance(problem, EXPECTED[fault]), f"{type(problem).__name__}: {problem}"
            await driver.wait_for(Condition.READY, PATIENCE_S)
            assert await value_of(driver, row.reading) == truth
            if row.setting:
                assert holds(driver, row.setting, wanted, await value_of(driver, row.setting))


SETTABLE = [row.driver for row in ROWS if row.setting]


@pytest.mark.parametrize("row", SETTABLE, indirect=True)
async def test_a_set_that_is_silently_ignored_is_noticed(row: Row, tmp_path: Path) -> None:
    async with served(row, tmp_path) as one:
        driver = one.driver()
        await driver.configure({row.setting: row.values[0]})
        async with supervised(driver):
            lease = driver.leases.grant("test", 60.0)
            one.emulator.set_fault(Fault.IGNORED_SET)
            with pytest.raises(DeviceFault):
                await driver.write_parameter(row.setting, row.values[2], token=lease.token)
            one.emulator.clear_fault()
            await driver.wait_for(Condition.READY, PATIENCE_S)
            found = await driver.write_parameter(row.setting, row.values[2], token=lease.token)
            assert holds(driver, row.setting, row.values[2], found.value)


@pytest.mark.parametrize("row", SETTABLE, indirect=True)
async def test_defaults_after_a_restart_are_replaced_by_the_configuration(row: Row, tmp_path: Path) -> None:
    async with served(row, tmp_path) as one:
        driver = one.driver(probe_s=0.05)
        await driver.configure({row.setting: row.values[1]})
        async with supervised(driver):
            model = one.emulator.model
            one.emulator.set_fault(Fault.RESTART, times=1)
            for _ in range(400):
                await asyncio.sleep(0.02)
                if one.emulator.model is model or driver.state.condition is not Condition.READY:
                    continue
                try:
                    if holds(driver, row.setting, row.values[1], await value_of(driver, row.setting)):
                        return
                except DeviceFault:
                    continue
    raise AssertionError("the configuration did not come back")


@pytest.mark.parametrize("row", NAMES, indirect=True)
async def test_a_hanging_instrument_stalls_neither_loop_nor_neighbour(row: Row, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    async with served(row, tmp_path / "one") as one, served(row, tmp_path / "two") as two:
        hanging, well = one.driver(), two.driver()
        await hanging.connect()
        await well.connect()
        one.emulator.set_fault(Fault.SILENT)
        beats = 0

        async def beat() -> None:
            nonlocal beats
            while True:
                await asyncio.sleep(row.timeout_s / 20)
                beats += 1

        heart = asyncio.get_running_loop().create_task(beat())
        asking = asyncio.get_running_loop().create_task(hanging.read_parameter(row.reading))
        answers = 0
        while not asking.done():
            await value_of(well, row.reading)
            answers += not asking.done()
            await asyncio.sleep(0)
        with pytest.raises(DeviceFault):
            await asking
        heart.cancel()
        assert beats >= 3
        assert answers >= 3
        await hanging.close()
        await well.close()


@pytest.mark.parametrize("row", NAMES, indirect=True)
async def test_a_fault_of_the_device_comes_and_goes(row: Row, tmp_path: Path) -> None:
    async with served(row, tmp_path) as one:
        for fault in sorted(OF_THE_DEVICE):
            with contextlib.suppress(LocalMisuse):  # most devices have no such thing
                one.emulator.set_fault(fault)
            one.emulator.clear_fault()
        driver = one.driver()
        await driver.connect()
        await driver.close()


# --- no stale reply ---------------------------------------------------------------------------------------

DISTURBANCES = [
    fault for fault in EXPECTED if fault not in (Fault.REFUSED, Fault.HANG)
]  # slow ones are tried above
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.just(0)),
        st.tuples(st.just("set"), st.integers(0, 4)),
        st.tuples(st.just("fault"), st.sampled_from(DISTURBANCES)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    min_size=4,
    max_size=9,
)


async def play(row: Row, folder: Path, steps: list[tuple[str, Any]]) -> None:
    """Every value that is read was set last, or was about to be when a fault came; never one from before."""
    async with served(row, folder) as one:
        driver = one.driver()
        await driver.connect()
        default = await value_of(
            driver, row.setting
        )  # NaN where it does not know, and nothing is equal to it
        await driver.close()
        possible = {row.values[0]}
        await driver.configure({row.setting: row.values[0]})
        async with supervised(driver):
            for what, which in steps:
                try:
                    if what == "set":
                        possible = possible | {row.values[which]}
                        await driver.configure({row.setting: row.values[which]})
                        possible = {row.values[which]}
                    elif what == "fault" and which not in row.deaf_to | row.blind_to:
                        one.emulator.set_fault(which, times=1, delay_s=1.5 * row.timeout_s)
                    elif what == "restart":
                        await one.emulator.power_cycle()
                        possible = possible | {
                            default
                        }  # where no connection is lost by it, the driver asks next
                        await driver.wait_for(Condition.READY, PATIENCE_S)
                    found = await value_of(driver, row.setting)
                except DeviceFault:
                    one.emulator.clear_fault()
                    await driver.wait_for(Condition.READY, PATIENCE_S)
                    found = await value_of(driver, row.setting)
                assert any(holds(driver, row.setting, value, found) for value in possible), (
                    f"{row.setting} reads {found}, but only {possible} were asked for"
                )


def told(row: Row, folders: pytest.TempPathFactory, examples: int) -> None:
    @settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(STEPS)
    def story(steps: list[tuple[str, Any]]) -> None:
        asyncio.run(play(row, folders.mktemp("story"), steps))

    story()


@pytest.mark.parametrize("row", SETTABLE, indirect=True)
def test_no_stale_reply_is_ever_taken_for_a_new_one(
    row: Row, tmp_path_factory: pytest.TempPathFactory
) -> None:
    told(row, tmp_path_factory, 3)


@pytest.mark.slow
@pytest.mark.parametrize("row", SETTABLE, indirect=True)
def test_no_stale_reply_in_many_stories(row: Row, tmp_path_factory: pytest.TempPathFactory) -> None:
    told(row, tmp_path_factory, 40)
