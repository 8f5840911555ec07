"""DG645 driver against its emulator on a real socket and over VXI-11; one test per fault switch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.dg645 import Channel, Delay, Dg645, TriggerSource
from bellwire.drivers.faults import DeviceError, Disconnected, IdentityRefused, LinkTimeout, ProtocolFault
from bellwire.drivers.instrument import Backoff, Condition
from bellwire.drivers.readings import Value
from bellwire.drivers.roles import TimingController
from bellwire.drivers.session import SessionSettings
from bellwire.simulator_backend.devices.dg645_emulator import Dg645Model, make
from bellwire.simulator_backend.devices.dg645_settings import Dg645Memory
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.lines import TcpLine
from bellwire.simulator_backend.devices.message_device import MessageLine
from bellwire.testing.emulator_thread import real_address
from tests.drivers.conftest import eventually

QUICK = SessionSettings(timeout_s=0.15, reply_bytes_max=256)
RETRY = Backoff(first_s=0.02, longest_s=0.05, refused_s=0.05)
SOCKET = "TCPIP::127.0.0.1::0::SOCKET"
SETTINGS: dict[str, Value] = {
    "trigger_source": "internal",
    "trigger_rate_hz": 12_345.678,
    "reference.B": "A",
    "delay_ps.A": 1_005,
    "delay_ps.B": 50_000,
    "amplitude_mv.AB": 3300,
    "offset_mv.AB": -150,
    "polarity.AB": "negative",
    "burst": True,
    "burst_count": 10,
    "burst_period_ns": 1000,
    "burst_delay_ps": 500,
}


@pytest.fixture
async def device() -> AsyncIterator[InstrumentEmulator]:
    emulator = make(EmulatorOrder(name="pulses", address=SOCKET, serial_number="s/n004321"))
    await emulator.start()
    yield emulator
    await emulator.stop()


def driver_of(device: InstrumentEmulator, serial_number: str = "004321") -> Dg645:
    place = real_address(SOCKET, Path(), device)
    return Dg645(
        "pulses", place, serial_number=serial_number, settings=QUICK, backoff=RETRY, probe_s=0.1, pace=0.0
    )


@pytest.fixture
async def driver(device: InstrumentEmulator) -> AsyncIterator[Dg645]:
    driver = driver_of(device)
    yield driver
    await driver.close()


def model_of(device: InstrumentEmulator) -> Dg645Model:
    assert isinstance(device.model, Dg645Model)
    return device.model


async def test_connecting_asks_for_the_identity_and_leaves_even_the_error_queue(
    driver: Dg645, device: InstrumentEmulator
) -> None:
    model_of(device).reply("NONSENSE", 0)
    identity = await driver.connect()
    assert (identity.model, identity.serial_number) == ("DG645", "004321")
    assert isinstance(driver, TimingController)
    assert [logged.request for logged in device.log] == [b"*IDN?"]
    assert list(model_of(device).errors) == [111]


async def test_another_serial_number_is_refused(device: InstrumentEmulator) -> None:
    driver = driver_of(device, serial_number="000001")
    with pytest.raises(IdentityRefused, match=r"expected '000001', found '004321'"):
        await driver.connect()
    assert driver.state.condition is Condition.REFUSED


async def test_another_model_is_refused() -> None:
    line = TcpLine()
    emulator = InstrumentEmulator("pulses", lambda: Dg645Model(model="DG535"), [line])
    await emulator.start()
    with pytest.raises(IdentityRefused, match="model"):
        await Dg645("pulses", f"tcp://127.0.0.1:{line.port}").connect()
    await emulator.stop()


async def test_a_configuration_reads_back_exactly(driver: Dg645, device: InstrumentEmulator) -> None:
    await driver.connect()
    await driver.configure(SETTINGS)
    assert model_of(device).delays[3] == (2, 50_000)
    assert model_of(device).numbered["LPOL"][1] == 0
    assert await driver.read_delay(Channel.A) == Delay(Channel.T0, 1_005)
    assert {name: (await driver.read_parameter(name)).value for name in SETTINGS} == SETTINGS
    await driver.trigger()
    assert model_of(device).triggers == 1
    await driver.safe_state()
    assert await driver.read_trigger_source() is TriggerSource.SINGLE_SHOT


async def test_triggers_rest_while_a_configuration_is_asserted(
    driver: Dg645, device: InstrumentEmulator
) -> None:
    await driver.connect()
    await driver.configure(SETTINGS)
    orders = [logged.request for logged in device.log if logged.changes]
    assert (orders[0], orders[-1]) == (b"TSRC 5", b"TSRC 0")


async def test_channels_may_follow_each_other_the_other_way_round_than_as_delivered(
    driver: Dg645, device: InstrumentEmulator
) -> None:
    await driver.connect()
    assert (await driver.read_reference("B"), await driver.read_reference("H")) == ("A", "G")
    await driver.configure({"reference.A": "B", "reference.B": "T0", "reference.G": "H", "reference.H": "A"})
    delays = model_of(device).delays
    assert [delays[channel][0] for channel in (2, 3, 8, 9)] == [3, 0, 9, 2]
    device.log.clear()
    await driver.configure({"reference.A": "B"})  # as it is: nothing is let go in between
    links = [logged.request.strip() for logged in device.log if logged.changes]
    assert links == [b"LINK 2,3", b"LINK 3,0", b"LINK 8,9", b"LINK 9,2"]


async def test_the_longest_burst_period_and_delay_keep_every_digit(driver: Dg645) -> None:
    await driver.connect()
    await driver.set_burst_period_ns(1_999_999_999_990)
    assert await driver.read_burst_period_ns() == 1_999_999_999_990
    await driver.set_delay(Channel.H, Delay(Channel.A, 1_999_999_999_999_995))
    assert await driver.read_delay_ps("H") == 1_999_999_999_999_995


@pytest.mark.parametrize("kind", ["VXI-11", "HiSLIP"])
async def test_it_is_driven_over_message_lines_as_over_its_socket(kind: str) -> None:
    place = {"VXI-11": "TCPIP::127.0.0.1,{}::inst0::INSTR", "HiSLIP": "TCPIP::127.0.0.1::hislip0,{}::INSTR"}
    emulator = make(EmulatorOrder(name="pulses", address=place[kind].format(0)))
    await emulator.start()
    line = emulator.lines[0]
    assert isinstance(line, MessageLine)
    driver = Dg645("pulses", place[kind].format(line.port), settings=QUICK)
    await driver.connect()
    await driver.configure(SETTINGS)
    emulator.set_fault(Fault.LATE_REPLY, delay_s=0.25, times=1)
    with pytest.raises(LinkTimeout):
        await driver.read_delay_ps("B")
    await driver.close()
    await driver.connect()
    assert await driver.read_delay_ps("A") == 1_005
    await driver.close()
    await emulator.stop()


async def test_what_the_instrument_refuses_is_named_from_its_error_queue(
    driver: Dg645, device: InstrumentEmulator
) -> None:
    await driver.connect()
    model_of(device).reply("NONSENSE", 0)  # an error of somebody else is not blamed on our set
    await driver.set_delay(Channel.B, Delay(Channel.A, 0))
    with pytest.raises(DeviceError, match="13 illegal link"):
        await driver.set_delay(Channel.A, Delay(Channel.B, 0))
    await driver.set_delay(Channel.A, Delay(Channel.T0, 5))  # the old error is not blamed on this one


async def test_what_others_left_in_the_error_queue_while_we_were_away_is_not_blamed_on_us(
    driver: Dg645, device: InstrumentEmulator
) -> None:
    await driver.connect()
    await driver.set_burst_count(3)
    await driver.close()
    model_of(device).reply("NONSENSE", 0)
    await driver.connect()
    device.log.clear()
    await driver.set_burst_count(4)
    await driver.set_burst_count(5)  # from the second set on, the queue is looked at once for each
    polls = [logged.request for logged in device.log if logged.request == b"LERR?"]
    assert len(polls) == 4


async def test_values_outside_the_ranges_are_never_sent(driver: Dg645, device: InstrumentEmulator) -> None:
    await driver.connect()
    for refused in (
        driver.set_delay(Channel.T0, Delay(Channel.T0, 0)),
        driver.set_delay(Channel.A, Delay(Channel.T0, 3)),
        driver.set_amplitude_mv("AB", 400),
        driver.set_amplitude_mv("AB", 505),
        driver.set_offset_mv("AB", 2010),
        driver.set_polarity("AB", "up"),
        driver.set_trigger_source("often"),
        driver.set_burst_count(0),
        driver.set_burst_delay_ps(-5),
        driver.set_trigger_rate_hz(2e7),
        driver.set_burst_period_ns(10),
    ):
        with pytest.raises(LocalMisuse):
            await refused
    assert [logged.request for logged in device.log] == [b"*IDN?"]


async def test_a_set_that_is_silently_ignored_is_found_by_the_read_back(
    driver: Dg645, device: InstrumentEmulator
) -> None:
    await driver.connect()
    device.set_fault(Fault.IGNORED_SET)
    with pytest.raises(DeviceError, match="but reads"):
        await driver.set_delay(Channel.A, Delay(Channel.T0, 100))


@pytest.mark.parametrize("fault", [Fault.LATE_REPLY, Fault.HALF_REPLY, Fault.SILENT, Fault.FIN])
async def test_a_missing_reply_puts_the_link_out_of_step_until_it_is_reopened(
    driver: Dg645, device: InstrumentEmulator, fault: Fault
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
    assert await driver.read_delay(Channel.B) == Delay(Channel.A, 10_000)
    assert await driver.read_delay(Channel.A) == Delay(Channel.T0, 700)


@pytest.mark.parametrize("fault", [Fault.DOUBLE_REPLY, Fault.UNSOLICITED])
async def test_a_reply_too_many_is_a_protocol_fault_and_is_not_taken_for_the_next(
    driver: Dg645, device: InstrumentEmulator, fault: Fault
) -> None:
    await driver.connect()
    device.set_fault(fault, times=1)

    async def ask_thrice() -> None:
        for _ in range(3):
            await driver.read_trigger_source()

    with pytest.raises(ProtocolFault, match=r"unsolicited|more than one reply"):
        await ask_thrice()


async def test_a_reset_connection_is_disconnected(driver: Dg645, device: InstrumentEmulator) -> None:
    await driver.connect()
    device.set_fault(Fault.RST, times=1)
    with pytest.raises((Disconnected, LinkTimeout)):
        await driver.read_trigger_source()


async def test_a_refused_port_is_disconnected_at_once(driver: Dg645, device: InstrumentEmulator) -> None:
    device.set_fault(Fault.REFUSED)
    assert device._reopening is not None
    await device._reopening  # until then the port still takes connections
    with pytest.raises(Disconnected, match="refused"):
        await driver.connect()
    assert driver.state.condition is Condition.ABSENT
    task = asyncio.create_task(driver.supervise())
    device.clear_fault()
    await driver.wait_for(Condition.READY, 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_endless_line_is_cut_at_the_limit(driver: Dg645, device: InstrumentEmulator) -> None:
    await driver.connect()
    model_of(device).identity = "x" * 5000
    with pytest.raises(ProtocolFault, match="exceeds 256 bytes"):
        await driver._ask("*IDN?")


@pytest.mark.parametrize("loss", ["power cycle", "restart with a living connection"])
async def test_a_lost_configuration_is_asserted_again(
    driver: Dg645, device: InstrumentEmulator, loss: str
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
    await eventually(
        lambda: device.model is not None and model_of(device).delays[2] == (0, 1_005),
        "the delays are set again",
    )
    await driver.wait_for(Condition.READY, 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_safe_state_survives_a_power_cycle(driver: Dg645, device: InstrumentEmulator) -> None:
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


async def test_triggers_that_were_started_or_stopped_stay_so_over_a_power_cycle(
    driver: Dg645, device: InstrumentEmulator
) -> None:
    task = asyncio.create_task(driver.supervise())
    await driver.wait_for(Condition.READY, 5)
    await driver.start_triggers()
    await device.power_cycle()
    await eventually(lambda: model_of(device).numbers["TSRC"] == 0, "the triggers run again")
    await driver.wait_for(Condition.READY, 5)
    await driver.stop_triggers()
    model_of(device).reply("TSRC 0", 0)  # somebody at the front panel
    await eventually(lambda: model_of(device).numbers["TSRC"] == 5, "the triggers rest again")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


# -- emulator -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("LAMP 1,0.49", 10),
        ("LAMP 5,1", 10),
        ("LAMP 1,x", 10),
        ("TRAT nan", 10),
        ("DLAY 2,0,1e999999999", 12),
        ("DLAY 2,0,2000.1", 12),
        ("DLAY 2,0,nan", 10),
        ("DLAY 1,0,1", 10),
        ("DLAY 2,2,0", 13),
        ("LINK 2,1", 13),
        ("DLAY 2,0", 116),
        ("TSRC", 116),
        ("BOGUS 1", 111),
        ("*TRG?", 112),
        ("SPTR?", 112),
        ("LERR 1", 113),
        ("*IDN", 113),
        ("BURC 5,5", 115),
        ("*RCL", 116),
        ("*RCL 3", 14),
        ("*SAV 10", 10),
        ("TSRC 1.5", 10),
        ("TSRC 7", 10),
        ("INHB 6", 10),
        ("BURT 2", 10),
        ("BURC 0", 10),
        ("TRAT -1", 10),
        ("SPTR 2", 10),
        ("SPDL 0,1", 10),
        ("*SRE 256", 10),
        ("*PSC 2", 10),
        ("DISP 15,2", 10),
    ],
)
def test_a_refused_command_is_silent_and_shows_in_the_error_queue(command: str, code: int) -> None:
    model = Dg645Model()
    before = (dict(model.delays), dict(model.numbers))
    assert model.reply(command, 0) is None
    assert model.reply("LERR?;LERR?", 0) == f"{code};0"
    assert (model.delays, model.numbers) == before


def test_a_rate_beyond_the_limits_is_put_to_the_limit_without_an_error() -> None:
    model = Dg645Model()
    assert model.reply("TRAT 2e7;TRAT?;TRAT 1e-9;TRAT?;LERR?", 0) == "+10000000.000000;+0.000100;0"


def test_steps_go_up_and_down_by_their_size_and_not_out_of_range() -> None:
    model = Dg645Model()
    assert model.reply("SSTR 250;SPTR 1;TRAT?;SPTR 0;SPTR 0;TRAT?", 0) == "+1250.000000;+750.000000"
    assert model.reply("SSDL 3,1e-9;SPDL 3,0;DLAY?3", 0) == "2,+0.000000009000"
    assert model.reply("SSLA 1,2;SPLA 1,1;SPLA 1,1;LAMP?1;LERR?", 0) == "+4.50;10"
    assert model.reply("PRES 2,7;SPPS 2,1;PRES?2", 0) == "8"


def test_saved_settings_and_enables_outlast_the_power_but_nothing_else_does() -> None:
    memory = Dg645Memory()
    first = Dg645Model(memory=memory)
    first.reply("TRAT 500;DLAY 2,0,1E-6;*SAV 1;TRAT 70;*PSC 0;*SRE 32;*ESE 16", 0)
    second = Dg645Model(memory=memory)
    assert second.reply("TRAT?;*SRE?;*ESE?", 0) == "+1000.000000;32;16"
    assert second.reply("*RCL 1;TRAT?;DLAY?2", 0) == "+500.000000;0,+0.000001000000"
    assert second.reply("*RCL 0;TRAT?;TSRC?;*PSC 1", 0) == "+1000.000000;5"
    assert Dg645Model(memory=memory).reply("*SRE?;*ESE?", 0) == "0;0"


def test_a_recalled_memory_is_not_changed_by_what_is_set_later() -> None:
    model = Dg645Model()
    model.reply("LAMP 1,3;*SAV 2;*RCL 2;LAMP 1,4;DLAY 3,0,1;*RCL 2", 0)
    assert model.reply("LAMP?1;DLAY?3", 0) == "+3.00;2,+0.000000010000"


def test_a_trigger_shows_in_the_status_byte_where_it_is_enabled() -> None:
    model = Dg645Model()
    assert model.reply("*CLS;*TRG;*STB?;INSE 1;*STB?;*SRE 1;*STB?", 0) == "0;1;65"
    assert model.status_byte(False, 0) & 1
    assert model.reply("INSR?;INSR?;*STB?", 0) == "1;0;0"


def test_the_error_queue_is_finite_and_says_so() -> None:
    model = Dg645Model()
    for _ in range(30):
        model.reply("BOGUS", 0)
    codes = [model.reply("LERR?", 0) for _ in range(21)]
    assert codes == ["111"] * 19 + ["254", "0"]


def test_a_delay_is_rounded_down_to_the_step_and_said_in_twelve_decimals() -> None:
    model = Dg645Model()
    model.reply("DLAY 2,0,1.000000007E-6", 0)
    assert model.reply("DLAY?2;DLAY? 2", 0) == "0,+0.000001000000;0,+0.000001000000"
    model.reply("DLAY 2,0,1.0000088E-6", 0)
    assert model.reply("DLAY?2", 0) == "0,+0.000001000005"


def test_events_tell_command_from_execution_errors_and_reading_clears_them() -> None:
    model = Dg645Model()
    assert model.reply("*ESR?", 0) == "128"
    model.reply("BOGUS", 0)
    model.reply("LAMP 1,9", 0)
    assert model.reply("*ESR?", 0) == "48"
    assert model.reply("*ESR?", 0) == "0"


def test_a_line_beyond_the_buffer_is_an_overrun() -> None:
    model = Dg645Model()
    assert model.split(bytearray(b"x" * 300)) == []
    assert model.reply("LERR?", 0) == "171"
