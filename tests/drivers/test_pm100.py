"""Thorlabs power meters: driver and emulator over a socket, VXI-11 and HiSLIP, and the law of the meter.

The law is compared with closed forms: photocurrent of a diode, noise of a mean, shot noise. Means and
standard deviations of n = 4000 readings with a fixed seed; limits of 5 standard errors (false alarm below
1e-6 each).
"""

from __future__ import annotations

import asyncio
import math
import statistics
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.discovery import discover, driver_of
from bellwire.drivers.faults import DeviceError, Disconnected, IdentityRefused, LinkTimeout, ProtocolFault
from bellwire.drivers.instrument import Backoff, Condition
from bellwire.drivers.pm100 import Pm100, Pm400
from bellwire.drivers.readings import Value
from bellwire.drivers.roles import PowerMeter
from bellwire.drivers.session import SessionSettings
from bellwire.drivers.visa_transport import VisaTransport
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.message_device import MessageLine
from bellwire.simulator_backend.devices.pm100_emulator import (
    DRIFT_A_PER_S,
    OFFSET_A,
    QUANTUM_EFFICIENCY,
    RANGE_NOISE,
    ZEROING_NS,
    Pm100Model,
    make,
    make_pm400,
)
from bellwire.simulator_backend.devices.surroundings import Alone, Wiring
from bellwire.testing.emulator_thread import real_address
from tests.drivers.conftest import eventually

QUICK = SessionSettings(timeout_s=0.2, quiet_s=0.0005)
RETRY = Backoff(first_s=0.01, longest_s=0.05, refused_s=0.05)
SOCKET = "TCPIP::127.0.0.1::0::SOCKET"
READINGS = 4000
S = 10**9
ELEMENTARY_C, PLANCK_J_S, LIGHT_M_PER_S = 1.602176634e-19, 6.62607015e-34, 299_792_458.0


@pytest.fixture
def table() -> Alone:
    return Alone({"power_w": 1e-3})


@pytest.fixture
async def emulator(table: Alone) -> AsyncIterator[InstrumentEmulator]:
    meter = make(EmulatorOrder(name="meter", address=SOCKET, wiring=Wiring(table), pace=0.0))
    await meter.start()
    yield meter
    await meter.stop()


def driver_at(emulator: InstrumentEmulator, serial_number: str = "P0012345") -> Pm100:
    return Pm100(
        "meter",
        real_address(SOCKET, Path(), emulator),
        serial_number=serial_number,
        settings=QUICK,
        backoff=RETRY,
        probe_s=0.03,
        pace=0.0,
    )


@pytest.fixture
async def driver(emulator: InstrumentEmulator) -> AsyncIterator[Pm100]:
    meter = driver_at(emulator)
    yield meter
    await meter.close()


def model_of(emulator: InstrumentEmulator) -> Pm100Model:
    assert isinstance(emulator.model, Pm100Model)
    return emulator.model


# -- driver -------------------------------------------------------------------------------------------------


async def test_a_meter_reads_the_power_on_its_sensor(driver: Pm100, table: Alone) -> None:
    identity = await driver.connect()
    assert (identity.model, identity.serial_number) == ("PM100D", "P0012345")
    assert isinstance(driver, PowerMeter)
    for power_w in (1e-3, 2.5e-6, 7e-9):
        table.values["power_w"] = power_w
        assert await driver.read_power_w() == pytest.approx(power_w, rel=2e-3, abs=1e-10)


async def test_every_setting_reads_back_from_the_meter(driver: Pm100, emulator: InstrumentEmulator) -> None:
    await driver.connect()
    wanted: dict[str, Value] = {
        "wavelength_nm": 1310.5,
        "averages": 300,
        "attenuation_db": -3.25,
        "range": "2",
    }
    await driver.configure(wanted)
    assert {name: (await driver.read_parameter(name)).value for name in wanted} == wanted
    assert model_of(emulator).range_a == 5e-5
    await driver.configure({"range": "auto"})
    assert model_of(emulator).auto_range


@pytest.mark.parametrize("decades", ["0", "1", "2", "3", "4", "5"])
async def test_each_range_is_known_by_its_decades_at_any_wavelength(
    driver: Pm100, emulator: InstrumentEmulator, decades: str
) -> None:
    await driver.connect()
    for wavelength_nm in (800.0, 1064.0, 1700.0):
        await driver.set_wavelength_nm(wavelength_nm)
        await driver.set_range(decades)
        assert model_of(emulator).range_a == pytest.approx(5e-3 / 10 ** int(decades))


async def test_a_reading_over_the_range_is_an_error_and_no_number(driver: Pm100) -> None:
    await driver.connect()
    await driver.set_range("3")
    with pytest.raises(DeviceError, match=r"over the range; use range auto"):
        await driver.read_power_w()
    await driver.set_range("auto")
    assert await driver.read_power_w() == pytest.approx(1e-3, rel=1e-3)


async def test_a_display_in_dbm_is_left_alone_and_the_reading_is_in_watts(
    driver: Pm100, emulator: InstrumentEmulator
) -> None:
    await driver.connect()
    model_of(emulator).query("SENS:POW:UNIT DBM")
    assert float(model_of(emulator).query("MEAS:POW?")) == pytest.approx(0.0, abs=0.01)  # 1 mW
    assert await driver.read_power_w() == pytest.approx(1e-3, rel=1e-3)
    assert model_of(emulator).unit == "DBM"


async def test_wavelengths_beyond_the_sensor_are_never_sent(
    driver: Pm100, emulator: InstrumentEmulator
) -> None:
    await driver.connect()
    for refused in (
        driver.set_wavelength_nm(799),
        driver.set_wavelength_nm(1701),
        driver.set_averages(0),
        driver.set_averages(10_001),
        driver.set_attenuation_db(61),
        driver.set_range("6"),
    ):
        with pytest.raises(LocalMisuse):
            await refused
    assert not any(logged.changes for logged in emulator.log)


async def test_zeroing_takes_darkness_away_from_later_readings(driver: Pm100, table: Alone) -> None:
    table.values["power_w"] = 0.0
    await driver.connect()
    await driver.set_averages(1000)
    per_w = QUANTUM_EFFICIENCY * ELEMENTARY_C * 1550e-9 / (PLANCK_J_S * LIGHT_M_PER_S)
    assert await driver.read_power_w() == pytest.approx(OFFSET_A / per_w, rel=0.05)
    emulated_zero_w = await driver.zero()
    assert emulated_zero_w == pytest.approx(OFFSET_A / per_w, rel=0.05)
    assert abs(await driver.read_power_w()) < 1e-12


async def test_a_zeroing_that_never_ends_is_given_up(driver: Pm100, monkeypatch: pytest.MonkeyPatch) -> None:
    await driver.connect()
    monkeypatch.setattr(Pm100Model, "is_zeroing", lambda model: True)
    with pytest.raises(LinkTimeout, match="zeroing has not ended in 30 s"):
        await driver.zero()


async def test_connecting_looks_without_emptying_the_error_queue(
    driver: Pm100, emulator: InstrumentEmulator
) -> None:
    model_of(emulator).query("BOGUS")
    await driver.connect()
    assert [logged.request for logged in emulator.log] == [b"*IDN?"]
    assert len(model_of(emulator).errors) == 1
    await driver.set_averages(3)  # and what was in it is not blamed on our set
    with pytest.raises(DeviceError, match="-113 Undefined header;BOGUS"):
        await driver._set("BOGUS")


async def test_what_others_left_in_the_error_queue_while_we_were_away_is_not_blamed_on_us(
    driver: Pm100, emulator: InstrumentEmulator
) -> None:
    await driver.connect()
    await driver.set_averages(3)
    await driver.close()
    model_of(emulator).query("BOGUS")
    await driver.connect()
    emulator.log.clear()
    await driver.set_averages(4)
    await driver.set_averages(5)  # from the second set on, the queue is looked at once for each
    polls = [logged.request for logged in emulator.log if logged.request == b"SYST:ERR?"]
    assert len(polls) == 4


async def test_a_set_that_is_silently_ignored_is_found_by_the_read_back(
    driver: Pm100, emulator: InstrumentEmulator
) -> None:
    await driver.connect()
    emulator.set_fault(Fault.IGNORED_SET)
    with pytest.raises(DeviceError, match="was set to 7 but reads 1"):
        await driver.set_averages(7)
    with pytest.raises(DeviceError, match="was set to 4 but reads auto"):
        await driver.set_range("4")


async def test_a_reading_may_take_as_long_as_its_averages(table: Alone) -> None:
    meter = make(EmulatorOrder(name="meter", address=SOCKET, wiring=Wiring(table)))
    await meter.start()
    driver = driver_at(meter)
    await driver.connect()
    await driver.set_averages(100)  # 0.3 s, longer than the timeout of the session
    assert await driver.read_power_w() == pytest.approx(1e-3, rel=1e-3)
    await driver.close()
    await meter.stop()


@pytest.mark.parametrize("kind", ["VXI-11", "HiSLIP"])
async def test_over_message_lines_a_late_reading_is_not_taken_for_the_next(kind: str, table: Alone) -> None:
    place = {"VXI-11": "TCPIP::127.0.0.1,{}::inst0::INSTR", "HiSLIP": "TCPIP::127.0.0.1::hislip0,{}::INSTR"}
    order = EmulatorOrder(name="meter", address=place[kind].format(0), wiring=Wiring(table), pace=0.0)
    meter = make_pm400(order)
    await meter.start()
    line = meter.lines[0]
    assert isinstance(line, MessageLine)
    driver = Pm400("meter", place[kind].format(line.port), settings=QUICK)
    await driver.connect()
    await driver.configure({"wavelength_nm": 810, "averages": 5})
    meter.set_fault(Fault.LATE_REPLY, delay_s=0.3, times=1)
    with pytest.raises((LinkTimeout, ProtocolFault, Disconnected)):
        await driver.read_wavelength_nm()
    await driver.close()
    await driver.connect()
    assert await driver.read_averages() == 5
    assert await driver.read_power_w() == pytest.approx(1e-3, rel=1e-2)
    await driver.close()
    await meter.stop()


async def test_another_model_and_another_unit_are_refused(
    emulator: InstrumentEmulator, driver: Pm100
) -> None:
    with pytest.raises(IdentityRefused, match="expected 'P1', found 'P0012345'"):
        await driver_at(emulator, "P1").connect()
    wrong = Pm400("meter", driver.address)
    with pytest.raises(IdentityRefused, match="expected 'PM400', found 'PM100D'"):
        await wrong.connect()


async def test_a_lost_configuration_is_asserted_again(driver: Pm100, emulator: InstrumentEmulator) -> None:
    task = asyncio.create_task(driver.supervise())
    await driver.wait_for(Condition.READY, 5)
    await driver.configure({"wavelength_nm": 1064, "averages": 50, "range": "1"})
    emulator.set_fault(Fault.RESTART, times=1)
    await eventually(lambda: model_of(emulator).range_a == 5e-4, "the range is set again")
    await driver.wait_for(Condition.READY, 5)
    assert (model_of(emulator).wavelength_nm, model_of(emulator).averages) == (1064, 50)
    await driver.safe_state()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_usb_names_mean_visa() -> None:
    driver = Pm100("meter", "USB0::0x1313::0x8078::P0012345::INSTR")
    assert isinstance(driver._transport(), VisaTransport)


def test_what_a_usb_meter_still_has_to_say_is_dropped_when_it_is_opened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []

    class Resource:
        timeout = 0.0

        def clear(self) -> None:
            calls.append("clear")

        def close(self) -> None:
            calls.append("close")

    class Manager:
        def open_resource(self, name: str, **_: Any) -> Resource:
            return Resource()

    monkeypatch.setattr("bellwire.drivers.visa_transport.pyvisa.ResourceManager", lambda _: Manager())
    monkeypatch.setattr("bellwire.drivers.visa_transport.MessageBasedResource", Resource)
    transport = VisaTransport("meter", "USB0::0x1313::0x8078::P0012345::INSTR")
    transport.open(0.1)
    transport.close()
    VisaTransport("meter", "GPIB0::5::INSTR").open(0.1)
    assert calls == ["clear", "close"]


@pytest.mark.parametrize(
    ("resource", "driver"),
    [
        ("USB0::0x1313::0x8078::P0012345::INSTR", "thorlabs_pm100"),
        ("USB0::4883::32882::P2001234::0::INSTR", "thorlabs_pm100usb"),
        ("USB0::0x0957::0x8078::MY1::INSTR", ""),
    ],
)
async def test_a_meter_on_usb_is_found_by_maker_and_product(
    monkeypatch: pytest.MonkeyPatch, resource: str, driver: str
) -> None:
    session = type("USBInstrSession", (), {"list_resources": staticmethod(lambda: [resource])})
    module = ModuleType("pyvisa_py.usb")
    monkeypatch.setattr(module, "USBInstrSession", session, raising=False)
    monkeypatch.setitem(sys.modules, "pyvisa_py.usb", module)
    found = await discover(serial_lines=False)
    assert [(one.address, one.driver) for one in found] == [(resource, driver)]


@pytest.mark.parametrize(
    ("identity", "driver"),
    [
        ("Thorlabs,PM100D,P0027168,2.7.0", "thorlabs_pm100"),
        ("THORLABS,PM100USB,P2,1.6", "thorlabs_pm100usb"),
        ("THORLABS,PM400,P5,1.0", "thorlabs_pm400"),
        ("THORLABS,PM103,M0,1.0", ""),
    ],
)
def test_a_meter_on_a_network_is_known_by_its_identity(identity: str, driver: str) -> None:
    assert driver_of(identity) == driver


# -- emulator -----------------------------------------------------------------------------------------------


def readings(model: Pm100Model, count: int = READINGS) -> list[float]:
    return [float(model.query("MEAS:POW?", number)) for number in range(count)]


def test_the_photocurrent_is_that_of_a_diode(table: Alone) -> None:
    model = Pm100Model(Wiring(table))
    model.query("AVER 10000")
    for wavelength_nm in (800, 1064, 1550):
        model.query(f"CORR:WAV {wavelength_nm}")
        per_w = QUANTUM_EFFICIENCY * ELEMENTARY_C * wavelength_nm * 1e-9 / (PLANCK_J_S * LIGHT_M_PER_S)
        assert float(model.query("MEAS:CURR?")) == pytest.approx(1e-3 * per_w, rel=1e-5)


def test_light_of_another_wavelength_is_read_wrong_by_the_ratio(table: Alone) -> None:
    table.values["wavelength_nm"] = 1550.0
    model = Pm100Model(Wiring(table))
    model.query("AVER 10000;:CORR:WAV 1310")
    assert float(model.query("MEAS:POW?")) == pytest.approx(1e-3 * 1550 / 1310, rel=1e-5)


def test_attenuation_before_the_sensor_is_added_to_the_reading(table: Alone) -> None:
    model = Pm100Model(Wiring(table))
    model.query("AVER 10000;:CORR:LOSS 10")
    assert float(model.query("MEAS:POW?")) == pytest.approx(1e-2, rel=1e-5)


@pytest.mark.parametrize("averages", [1, 4, 100])
def test_noise_falls_with_the_root_of_the_averages(table: Alone, averages: int) -> None:
    model = Pm100Model(Wiring(table), seed=averages)
    model.query(f"AVER {averages}")
    found = readings(model)
    per_w = QUANTUM_EFFICIENCY * ELEMENTARY_C * 1550e-9 / (PLANCK_J_S * LIGHT_M_PER_S)
    amplifier_a = RANGE_NOISE * 5e-3
    shot_a = math.sqrt(2 * ELEMENTARY_C * 1e-3 * per_w / (2 * 3e-3))
    sigma_w = math.hypot(amplifier_a, shot_a) / per_w / math.sqrt(averages)
    assert statistics.fmean(found) == pytest.approx(
        1e-3 + OFFSET_A / per_w, abs=5 * sigma_w / math.sqrt(READINGS)
    )
    assert statistics.stdev(found) == pytest.approx(sigma_w, rel=5 / math.sqrt(2 * READINGS))


def test_shot_noise_is_what_remains_where_the_amplifier_is_quiet(
    table: Alone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bellwire.simulator_backend.devices.pm100_emulator.RANGE_NOISE", 0.0)
    model = Pm100Model(Wiring(table), seed=9)
    model.query("CONF:CURR")
    found = [float(model.query("READ?")) for _ in range(READINGS)]
    electrons = statistics.fmean(found) * 3e-3 / ELEMENTARY_C
    assert statistics.stdev(found) / statistics.fmean(found) == pytest.approx(
        1 / math.sqrt(electrons),
        rel=5 / math.sqrt(2 * READINGS) + 1e-6,  # nine decimals are sent
    )


def test_a_reading_takes_three_milliseconds_for_each_average(table: Alone) -> None:
    model = Pm100Model(Wiring(table))
    model.query("AVER 40")
    (answer,) = model.execute(b"MEAS:POW?", 0)
    assert answer.after_s == pytest.approx(0.12)


def test_zeroing_with_light_on_the_sensor_spoils_what_follows(table: Alone) -> None:
    model = Pm100Model(Wiring(table))
    model.query("AVER 10000;:CORR:COLL:ZERO", 0)
    assert model.query("CORR:COLL:ZERO:STAT?", ZEROING_NS - 1) == "1"
    assert model.query("CORR:COLL:ZERO:STAT?", ZEROING_NS) == "0"
    table.values["power_w"] = 3e-3
    assert float(model.query("MEAS:POW?", ZEROING_NS)) == pytest.approx(2e-3, rel=1e-4)


def test_a_zeroing_that_is_aborted_leaves_the_old_zero(table: Alone) -> None:
    model = Pm100Model(Wiring(table))
    model.query("CORR:COLL:ZERO;ZERO:ABOR", 0)
    assert model.query("CORR:COLL:ZERO:STAT?", 2 * ZEROING_NS) == "0"
    assert model.zero_a == 0.0


def test_the_offset_drifts_while_the_fault_is_on_and_stays_where_it_came_to(table: Alone) -> None:
    table.values["power_w"] = 0.0
    model = Pm100Model(Wiring(table))
    model.query("CONF:CURR;:AVER 10000")
    model.afflict(Fault.DRIFT, True, 10 * S)
    model.afflict(Fault.DRIFT, False, 15 * S)
    assert float(model.query("READ?", 60 * S)) == pytest.approx(OFFSET_A + 5 * DRIFT_A_PER_S, rel=1e-3)
    with pytest.raises(LocalMisuse, match="has no overflow"):
        model.afflict(Fault.OVERFLOW, True, 0)


def test_documented_answers_are_given_as_the_maker_prints_them(table: Alone) -> None:
    model = Pm100Model(Wiring(table), model="PM400", serial_number="P5000001")
    assert model.query("*IDN?") == "Thorlabs,PM400,P5000001,2.8.0"
    assert model.query("SYST:ERR?") == '+0,"No error"'
    assert len(model.query("SYST:SENS:IDN?").split(",")) == 6
    assert float(model.query("CORR:WAV? MIN")) == 800
    assert float(model.query("corr:wavelength? max")) == 1700
    model.query("CORR:WAV 1701")
    assert model.query("SYST:ERR?").startswith("-222,")


def test_fetch_repeats_the_last_reading(table: Alone) -> None:
    model = Pm100Model(Wiring(table))
    model.query("CONF:POW;:INIT")
    first = model.query("FETC?")
    assert model.query("FETC?") == first
    assert model.query("READ?") != first


def test_less_light_than_nothing_has_no_decibels() -> None:
    model = Pm100Model(Wiring(Alone()))
    model.zero_a = 1e-9
    model.query("POW:UNIT DBM")
    assert float(model.query("MEAS:POW?")) == pytest.approx(9.91e37)
