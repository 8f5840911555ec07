"""Time Controller driver against its emulator on ZeroMQ: inputs, counters, coincidences, histograms."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator

import pytest

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.faults import DeviceError, IdentityRefused, LinkTimeout, ProtocolFault
from bellwire.drivers.id900 import Id900, Id1000
from bellwire.drivers.instrument import Condition
from bellwire.drivers.roles import CoincidenceCounter, TimeTagger
from bellwire.labs.free_ports import free_ports
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.id900_data_link import DataLinkProgram
from bellwire.simulator_backend.devices.id900_emulator import Id900Model
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.lines import ZmqReplyLine
from bellwire.simulator_backend.devices.surroundings import Alone, Wiring
from bellwire.simulator_backend.devices.tag_stream_line import TagStreamLine
from tests.drivers.conftest import eventually
from tests.drivers.tagger_table import GRID, GRID_PS, Table, on_a_table


@pytest.fixture
async def table() -> AsyncIterator[Table]:
    """Inputs 1, 2 and 3 within 5 ns of each other, input 4 far away."""
    (port,) = free_ports(1)
    table = on_a_table(GRID, address=f"tcp://127.0.0.1:{port}")
    await table.device.start()
    yield table
    await table.driver.close()
    await table.device.stop()


async def test_connecting_only_asks(table: Table) -> None:
    identity = await table.driver.connect()
    assert (identity.model, identity.serial_number) == ("ID900", "1908029T010")
    assert not any(entry.changes for entry in table.device.log)


def test_both_models_play_their_roles() -> None:
    for driver in (Id900("tagger", "tcp://10.0.0.5"), Id1000("tagger", "tcp://10.0.0.5")):
        tagger: TimeTagger = driver
        counter: CoincidenceCounter = driver
        assert list(tagger.channels) == [1, 2, 3, 4]
        assert isinstance(counter, CoincidenceCounter)


async def test_an_id900_is_not_taken_for_an_id1000(table: Table) -> None:
    with pytest.raises(IdentityRefused, match="model"):
        await Id1000("tagger", table.driver.address).connect()
    other = Id900("tagger", table.driver.address, serial_number="0")
    with pytest.raises(IdentityRefused, match="serial number"):
        await other.connect()


async def test_inputs_read_back_what_was_set(table: Table) -> None:
    driver = table.driver
    await driver.connect()
    await driver.set_enabled(2, False)
    await driver.set_threshold_mv(2, -123.4)
    assert await driver.read_enabled(2)  # whoever sets a level wants the input
    assert await driver.read_threshold_mv(2) == pytest.approx(-123.4)
    await driver.set_edge(2, "FALLING")
    await driver.set_delay_ps(2, 1_234_567)
    await driver.set_resolution("LOWRES")
    assert await driver.read_edge(2) == "FALLING"
    assert await driver.read_delay_ps(2) == 1_234_567
    assert await driver.read_bin_width_ps() == 100
    for refused in (
        driver.set_threshold_mv(1, 2001),
        driver.set_threshold_mv(5, 100),
        driver.set_delay_ps(1, -1),
        driver.set_edge(1, "BOTH"),
        driver.count(0.0001),
        driver.set_window_ns(0),
    ):
        with pytest.raises(LocalMisuse):
            await refused


async def test_a_set_that_is_silently_ignored_is_found_by_the_read_back(table: Table) -> None:
    await table.driver.connect()
    table.device.set_fault(Fault.IGNORED_SET)
    with pytest.raises(DeviceError, match="was set to 400 but reads 1000"):
        await table.driver.set_threshold_mv(1, 400)
    with pytest.raises(DeviceError, match="integration time of INPU1 in ms was set to 50 but reads 1000"):
        await table.driver.count(0.05)


async def test_a_count_is_that_of_one_window(table: Table) -> None:
    await table.driver.connect()
    counts = await table.driver.count(0.05)
    assert counts.singles == {channel: pytest.approx(5000, abs=1) for channel in (1, 2, 3, 4)}
    assert counts.valid


async def test_counts_of_chance_have_the_rate_of_their_source() -> None:
    # 200 ms at 100 kHz: 20,000 +- 141; five sigma, two inputs: false alarm 1e-6.
    (port,) = free_ports(1)
    alone = Alone(rates_hz={"1": 100_000.0, "2": 100_000.0}, seed=3)
    table = on_a_table(alone, address=f"tcp://127.0.0.1:{port}")
    await table.device.start()
    await table.driver.connect()
    counts = await table.driver.count(0.2)
    for channel in (1, 2):
        assert abs(counts.singles[channel] - 20_000) < 5 * math.sqrt(20_000)
    await table.driver.set_window_ns(500)
    # Accidentals: r1 r2 w T = 1e10 x 5e-7 x 0.2 = 1000, each event of 2 counts at most once:
    # r2 T (1 - exp(-r1 w)) = 975. Five sigma.
    found = await table.driver.count_coincidences(0.2)
    expected = 20_000 * -math.expm1(-0.05)
    assert abs(found[1, 2] - expected) < 5 * math.sqrt(expected)
    assert found[3, 4] == 0
    await table.driver.close()
    await table.device.stop()


async def test_partners_coincide_up_to_half_the_window_and_delays_bring_them_together(table: Table) -> None:
    driver = table.driver
    await driver.connect()
    await driver.set_window_ns(7)
    assert await driver.read_window_ns() == 7
    near = await driver.count_coincidences(0.02)
    # 1 and 2 are 3 ns apart, 2 and 3 are 2 ns, 1 and 3 are 5 ns, 4 is nowhere near.
    assert {pattern for pattern, count in near.items() if count} == {(1, 2), (2, 3), (1, 2, 3)}
    assert all(abs(near[pattern] - 2000) <= 1 for pattern in ((1, 2), (2, 3), (1, 2, 3)))
    await driver.set_window_ns(4.1)
    assert {pattern for pattern, count in (await driver.count_coincidences(0.02)).items() if count} == {
        (2, 3)
    }
    for channel, delay_ps in ((1, 1_000_000), (2, 997_000), (3, 995_000)):
        await driver.set_delay_ps(channel, delay_ps)
    together = await driver.count_coincidences(0.02)
    assert all(abs(count - 2000) <= 1 for count in together.values())


async def test_wiring_the_counters_leaves_levels_edges_and_delays_as_they_were(table: Table) -> None:
    driver = table.driver
    await driver.connect()
    await driver.set_threshold_mv(1, 300)
    await driver.set_edge(2, "FALLING")
    await driver.set_enabled(4, False)
    await driver.set_delay_ps(3, 777)
    await driver.set_window_ns(2)
    assert await driver.read_threshold_mv(1) == pytest.approx(300)
    assert await driver.read_edge(2) == "FALLING"
    assert not await driver.read_enabled(4)
    assert await driver.read_delay_ps(3) == 777
    assert table.model.setting("DELA.value", 7) == 777 + 2 * 2000


async def test_coincidences_need_their_window_first(table: Table) -> None:
    await table.driver.connect()
    with pytest.raises(DeviceError, match="set coincidence_window_ns"):
        await table.driver.count_coincidences(0.01)


async def test_two_who_count_at_once_do_not_reset_each_other(table: Table) -> None:
    await table.driver.connect()
    both = await asyncio.gather(table.driver.count(0.05), table.driver.count(0.02))
    assert [counts.singles[1] for counts in both] == [pytest.approx(5000, abs=1), pytest.approx(2000, abs=1)]


async def test_a_count_of_inputs_that_want_calibration_is_not_valid(table: Table) -> None:
    driver = table.driver
    await driver.connect()
    table.device.set_fault(Fault.DRIFT)
    assert not (await driver.count(0.01)).valid
    assert await driver.read_input_error(2) == 1
    await driver.recalibrate()
    assert (await driver.count(0.01)).valid


async def test_a_histogram_has_the_distance_of_two_inputs(table: Table) -> None:
    driver = table.driver
    await driver.connect()
    counts = await driver.measure_histogram(1, 3, bin_width_ps=1000, bins=8, duration_s=0.02)
    assert counts[5] == pytest.approx(2000, abs=1)
    assert counts.sum() == counts[5]
    own = await driver.measure_histogram(
        1, 1, bin_width_ps=1000, bins=4, minimum_ps=GRID_PS - 1000, duration_s=0.02
    )
    assert own.tolist() == [0, pytest.approx(1999, abs=1), 0, 0]
    await driver.set_resolution("LOWRES")
    with pytest.raises(LocalMisuse, match="multiple of 100 ps"):
        await driver.measure_histogram(1, 3, bin_width_ps=150, bins=8, duration_s=0.02)


async def test_a_late_reply_is_never_taken_for_the_next_one(table: Table) -> None:
    driver = table.driver
    task = asyncio.create_task(driver.supervise())
    await driver.wait_for(Condition.READY, 5)
    await driver.set_delay_ps(1, 111)
    await driver.set_delay_ps(2, 222)
    table.device.set_fault(Fault.LATE_REPLY, delay_s=0.6, times=1)
    with pytest.raises(LinkTimeout):
        await driver.read_delay_ps(1)
    await eventually(lambda: driver.state.condition is not Condition.READY, "the fault is noticed")
    await driver.wait_for(Condition.READY, 5)
    assert [await driver.read_delay_ps(2) for _ in range(3)] == [222] * 3
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_batch_that_lost_a_line_is_not_taken_for_a_whole_one(table: Table) -> None:
    await table.driver.connect()
    table.device.set_fault(Fault.HALF_REPLY)
    with pytest.raises((ProtocolFault, DeviceError)):
        await table.driver.count(0.01)


async def test_a_restart_brings_the_settings_back(table: Table) -> None:
    driver = table.driver
    await driver.configure({"coincidence_window_ns": 3.0, "threshold_mv.1": 250.0, "delay_ps.2": 5000})
    task = asyncio.create_task(driver.supervise())
    await driver.wait_for(Condition.READY, 5)
    table.device.set_fault(Fault.RESTART, times=1)
    await eventually(
        lambda: (table.model.setting("DELA.value", 2), table.model.setting("INPU.threshold", 1)) == (0, 1.0),
        "the restart",
    )
    await eventually(
        lambda: (
            table.model.setting("DELA.value", 2) == 5000
            and table.model.setting("DELA.value", 6) == 8000
            and table.model.setting("INPU.threshold", 1) == 0.25
        ),
        "settings asserted again",
    )
    await driver.wait_for(Condition.READY, 5)
    assert await driver.read_window_ns() == 3
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_safe_state_is_read_back(table: Table) -> None:
    await table.driver.connect()
    await table.driver.safe_state()
    assert table.model.setting("RAW.send", 3) is False
    await table.driver.order("RAW3:SEND ON")
    table.device.set_fault(Fault.IGNORED_SET)
    with pytest.raises(DeviceError, match="after it was stopped"):
        await table.driver.safe_state()


async def test_a_licence_without_high_resolution_counts_all_the_same() -> None:
    line, program = ZmqReplyLine(), DataLinkProgram(TagStreamLine())
    device = InstrumentEmulator("tagger", lambda: Id900Model(Wiring(GRID), program, licence="MASTER"), [line])
    await device.start()
    driver = Id900("tagger", f"tcp://127.0.0.1:{line.port}")
    await driver.connect()
    assert (await driver.count(0.01)).valid
    with pytest.raises(DeviceError, match="its licence may lack it"):
        await driver.read_input_error(1)
    await driver.close()
    await device.stop()
