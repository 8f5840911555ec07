"""DG645 driver against its emulator on a real socket; one test per fault switch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.dg645 import Burst, Channel, Delay, Dg645, Dg645Settings, Output, TriggerSource
from bellwire.drivers.faults import DeviceError, Disconnected, IdentityRefused, LinkTimeout, ProtocolFault
from bellwire.drivers.instrument import Backoff, Condition
from bellwire.drivers.visa_link import LineSettings
from bellwire.simulator_backend.devices.dg645_emulator import Dg645Emulator
from bellwire.simulator_backend.devices.faults import Fault
from tests.drivers.conftest import eventually

SETTINGS = Dg645Settings(
    trigger_source=TriggerSource.INTERNAL,
    trigger_rate_hz=12_345.678,
    delays={Channel.A: Delay(Channel.T0, 1_005), Channel.B: Delay(Channel.A, 50_000)},
    amplitudes_mv={Output.AB: 3300},
    burst=Burst(count=10, period_ns=1000, delay_ps=500),
)


@pytest.fixture
async def device() -> AsyncIterator[Dg645Emulator]:
    emulator = Dg645Emulator(serial_number="004321")
    await emulator.start()
    yield emulator
    await emulator.stop()


@pytest.fixture
async def driver(device: Dg645Emulator) -> AsyncIterator[Dg645]:
    driver = Dg645(
        "pulses",
        "127.0.0.1",
        device.port,
        serial_number="004321",
        line=LineSettings(timeout_s=0.15),
        backoff=Backoff(first_s=0.02, longest_s=0.05, refused_s=0.05),
        probe_s=0.1,
    )
    yield driver
    await driver.close()


async def test_connecting_queries_identity_and_changes_nothing(driver: Dg645, device: Dg645Emulator) -> None:
    before = (dict(device.dialect.delays), dict(device.dialect.numbers), dict(device.dialect.amplitudes_mv))
    identity = await driver.connect()
    assert (identity.model, identity.serial_number) == ("DG645", "004321")
    assert (device.dialect.delays, device.dialect.numbers, device.dialect.amplitudes_mv) == before


async def test_another_serial_number_is_refused(device: Dg645Emulator) -> None:
    driver = Dg645("pulses", "127.0.0.1", device.port, serial_number="000001")
    with pytest.raises(IdentityRefused, match=r"expected '000001', found '004321'"):
        await driver.connect()
    assert driver.state.condition is Condition.REFUSED


async def test_another_model_is_refused() -> None:
    emulator = Dg645Emulator(model="DG535")
    await emulator.start()
    with pytest.raises(IdentityRefused, match="model"):
        await Dg645("pulses", "127.0.0.1", emulator.port).connect()
    await emulator.stop()


async def test_a_configuration_reads_back_exactly(driver: Dg645, device: Dg645Emulator) -> None:
    await driver.connect()
    await driver.configure(SETTINGS)
    assert device.dialect.delays[3] == (2, 50_000)
    assert await driver.read_delay(Channel.A) == Delay(Channel.T0, 1_005)
    assert await driver.read_trigger_rate_hz() == pytest.approx(12_345.678)
    assert await driver.read_amplitude_mv(Output.AB) == 3300
    assert await driver.read_burst() == SETTINGS.burst
    await driver.trigger()
    assert device.dialect.triggers == 1
    await driver.safe_state()
    assert await driver.read_trigger_source() is TriggerSource.SINGLE_SHOT


async def test_what_the_instrument_refuses_is_named_from_its_error_queue(driver: Dg645) -> None:
    await driver.connect()
    await driver.set_delay(Channel.B, Delay(Channel.A, 0))
    with pytest.raises(DeviceError, match="13 illegal link"):
        await driver.set_delay(Channel.A, Delay(Channel.B, 0))
    await driver.set_delay(Channel.A, Delay(Channel.T0, 5))  # the old error is not blamed on this one


async def test_values_outside_the_ranges_are_never_sent(driver: Dg645) -> None:
    await driver.connect()
    for refused in (
        driver.set_delay(Channel.T0, Delay(Channel.T0, 0)),
        driver.set_delay(Channel.A, Delay(Channel.T0, 3)),
        driver.set_amplitude_mv(Output.AB, 400),
        driver.set_trigger_rate_hz(2e7),
        driver.set_burst(Burst(count=1, period_ns=10)),
    ):
        with pytest.raises(LocalMisuse):
            await refused


async def test_a_set_that_is_silently_ignored_is_found_by_the_read_back(
    driver: Dg645, device: Dg645Emulator
) -> None:
    await driver.connect()
    device.set_fault(Fault.IGNORED_SET)
    with pytest.raises(DeviceError, match="but reads"):
        await driver.set_delay(Channel.A, Delay(Channel.T0, 100))


@pytest.mark.parametrize("fault", [Fault.LATE_REPLY, Fault.HALF_REPLY, Fault.SILENT, Fault.FIN])
async def test_a_missing_reply_puts_the_link_out_of_step_until_it_is_reopened(
    driver: Dg645, device: Dg645Emulator, fault: Fault
) -> None:
    await driver.connect()
    await driver.set_delay(Channel.A, Delay(Channel.T0, 700))
    device.set_fault(fault, delay_s=0.25, times=1)
    with pytest.raises((LinkTimeout, Disconnected)):
        await driver.read_delay(Channel.A)
    with pytest.raises((LinkTimeout, Disconnected)):  # no late reply may ever be read on this connection
        await driver.read_delay(Channel.B)
    await driver.close()
    await driver.connect()
    assert await driver.read_delay(Channel.B) == Delay(Channel.T0, 0)
    assert await driver.read_delay(Channel.A) == Delay(Channel.T0, 700)


@pytest.mark.parametrize("fault", [Fault.DOUBLE_REPLY, Fault.UNSOLICITED])
async def test_a_reply_too_many_is_a_protocol_fault_and_is_not_taken_for_the_next(
    driver: Dg645, device: Dg645Emulator, fault: Fault
) -> None:
    await driver.connect()
    device.set_fault(fault, times=1)

    async def ask_thrice() -> None:
        for _ in range(3):
            await driver.read_trigger_source()

    with pytest.raises(ProtocolFault, match="unsolicited"):
        await ask_thrice()


async def test_a_reset_connection_is_disconnected(driver: Dg645, device: Dg645Emulator) -> None:
    await driver.connect()
    device.set_fault(Fault.RST, times=1)
    with pytest.raises((Disconnected, LinkTimeout)):
        await driver.read_trigger_source()


async def test_a_refused_port_is_disconnected_at_once(driver: Dg645, device: Dg645Emulator) -> None:
    device.set_fault(Fault.REFUSED)
    with pytest.raises(Disconnected, match="refused"):
        await driver.connect()
    assert driver.state.condition is Condition.ABSENT
    task = asyncio.create_task(driver.supervise())
    device.clear_fault()
    await driver.wait_for(Condition.READY, 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_endless_line_is_cut_at_the_limit(driver: Dg645, device: Dg645Emulator) -> None:
    await driver.connect()
    device.dialect._identity = "x" * 5000
    with pytest.raises(ProtocolFault, match="exceeds 256 bytes"):
        await driver._query("*IDN?")


@pytest.mark.parametrize("loss", ["power cycle", "restart with a living connection"])
async def test_a_lost_configuration_is_asserted_again(
    driver: Dg645, device: Dg645Emulator, loss: str
) -> None:
    task = asyncio.create_task(driver.supervise())
    await driver.wait_for(Condition.READY, 5)
    await driver.configure(SETTINGS)
    if loss == "power cycle":
        await device.stop()
        await eventually(lambda: driver.state.condition is not Condition.READY, "the loss is noticed")
        await device.start()
    else:
        device.set_fault(Fault.RESTART, times=1)
    await eventually(lambda: device.dialect.delays[2] == (0, 1_005), "the delays are set again")
    await driver.wait_for(Condition.READY, 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_safe_state_survives_a_power_cycle(driver: Dg645, device: Dg645Emulator) -> None:
    task = asyncio.create_task(driver.supervise())
    await driver.wait_for(Condition.READY, 5)
    await driver.configure(SETTINGS)
    await driver.safe_state()
    await device.stop()
    await eventually(lambda: driver.state.condition is not Condition.READY, "the loss is noticed")
    await device.start()
    await driver.wait_for(Condition.READY, 5)
    assert await driver.read_trigger_source() is TriggerSource.SINGLE_SHOT
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
