"""The Thorlabs TC200: driver and emulator on a pseudo-terminal, and the emulator by its lines."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.faults import DeviceError, LinkTimeout, ProtocolFault
from bellwire.drivers.instrument import Backoff, Condition
from bellwire.drivers.roles import Oven
from bellwire.drivers.session import SessionSettings
from bellwire.drivers.tc200 import Tc200
from bellwire.simulator_backend.devices.device_model import Answer
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.surroundings import Alone, Wiring
from bellwire.simulator_backend.devices.tc200_emulator import (
    COOLING_TIME_S,
    DRIFT_C_PER_S,
    HEATING_TIME_S,
    ROOM_C,
    Tc200Model,
    make,
)
from tests.drivers.conftest import eventually

QUICK = SessionSettings(timeout_s=0.2, quiet_s=0.0005)
RETRY = Backoff(first_s=0.01, longest_s=0.05, refused_s=0.05)
S = 10**9


@pytest.fixture
def table() -> Alone:
    return Alone()


@pytest.fixture
async def emulator(tmp_path: Path, table: Alone) -> AsyncIterator[InstrumentEmulator]:
    order = EmulatorOrder(name="oven", address=str(tmp_path / "oven"), wiring=Wiring(table), pace=0.1)
    oven = make(order)
    await oven.start()
    yield oven
    await oven.stop()


@pytest.fixture
async def driver(emulator: InstrumentEmulator, tmp_path: Path) -> AsyncIterator[Tc200]:
    oven = Tc200("oven", str(tmp_path / "oven"), settings=QUICK, backoff=RETRY, probe_s=0.03)
    yield oven
    await oven.close()


def model_of(emulator: InstrumentEmulator) -> Tc200Model:
    assert isinstance(emulator.model, Tc200Model)
    return emulator.model


def requests(emulator: InstrumentEmulator) -> list[bytes]:
    return [logged.request for logged in emulator.log]


# -- driver -------------------------------------------------------------------------------------------------


async def test_an_oven_is_set_heated_and_felt_by_the_world(
    driver: Tc200, emulator: InstrumentEmulator, table: Alone
) -> None:
    identity = await driver.connect()
    assert (identity.model, identity.serial_number, identity.firmware) == ("TC200", "", "2.1.0")
    assert isinstance(driver, Oven)
    await driver.set_temperature_c(37.4)
    assert await driver.read_temperature_set_c() == pytest.approx(37.4)
    assert table.values["temperature_c"] == pytest.approx(ROOM_C)
    await driver.set_heating(True)
    await eventually(lambda: table.values["temperature_c"] > ROOM_C + 0.5, "the warmth")
    assert await driver.read_temperature_c() == pytest.approx(model_of(emulator).temperature_c, abs=0.5)


async def test_the_switch_that_only_toggles_is_pressed_only_when_it_must_be(
    driver: Tc200, emulator: InstrumentEmulator
) -> None:
    await driver.connect()
    await driver.set_heating(False)
    assert requests(emulator).count(b"ens") == 0
    await driver.set_heating(True)
    await driver.set_heating(True)
    assert requests(emulator).count(b"ens") == 1
    assert model_of(emulator).heating
    await driver.set_heating(False)
    assert requests(emulator).count(b"ens") == 2
    assert not model_of(emulator).heating


async def test_a_press_that_did_nothing_is_told_and_not_repeated(
    driver: Tc200, emulator: InstrumentEmulator
) -> None:
    await driver.connect()
    emulator.set_fault(Fault.IGNORED_SET)
    with pytest.raises(DeviceError, match="heater output was set to True but reads False"):
        await driver.set_heating(True)
    assert requests(emulator).count(b"ens") == 1


async def test_a_press_whose_answer_was_lost_is_not_repeated_but_looked_at(
    driver: Tc200, emulator: InstrumentEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    await driver.connect()
    carry_out = model_of(emulator).execute

    def losing_the_answer_to_a_press(request: bytes, now_ns: int) -> list[Answer]:
        if request == b"ens":
            emulator.set_fault(Fault.SILENT, times=1)
        return carry_out(request, now_ns)

    monkeypatch.setattr(emulator.model, "execute", losing_the_answer_to_a_press)
    with pytest.raises(LinkTimeout, match="no whole reply to b'ens"):
        await driver.set_heating(True)
    assert model_of(emulator).heating
    await driver.close()
    await driver.connect()
    await driver.set_heating(True)
    assert model_of(emulator).heating
    assert requests(emulator).count(b"ens") == 1


@pytest.mark.parametrize("temperature_c", [19.9, 200.1, -5.0, math.nan, math.inf])
async def test_what_the_oven_cannot_reach_is_refused_before_it_is_sent(
    driver: Tc200, emulator: InstrumentEmulator, temperature_c: float
) -> None:
    await driver.connect()
    before = len(emulator.log)
    with pytest.raises(LocalMisuse, match="outside 20 to 200 C"):
        await driver.set_temperature_c(temperature_c)
    assert len(emulator.log) == before


async def test_the_controller_s_own_limit_is_told_in_its_words(driver: Tc200) -> None:
    await driver.connect()
    await driver.set_temperature_max_c(60.0)
    with pytest.raises(DeviceError, match=r"'tset=70\.0' refused: CMD_ARG_RANGE_ERR"):
        await driver.set_temperature_c(70.0)
    await driver.set_temperature_c(59.9)
    assert await driver.read_temperature_set_c() == pytest.approx(59.9)


async def test_the_power_limit_is_set_and_read_back(driver: Tc200, emulator: InstrumentEmulator) -> None:
    await driver.connect()
    await driver.set_power_max_w(7.25)
    assert model_of(emulator).settings["pmax"] == pytest.approx(7.2, abs=0.051)
    with pytest.raises(LocalMisuse, match=r"outside 0\.1 to 18 W"):
        await driver.set_power_max_w(18.5)


async def test_limits_are_asserted_before_the_temperature_and_the_heater_last(
    driver: Tc200, emulator: InstrumentEmulator
) -> None:
    await driver.configure(
        {"heating": True, "temperature_set_c": 55.0, "temperature_max_c": 60.0, "power_max_w": 9.0}
    )
    task = asyncio.create_task(driver.supervise())
    await driver.wait_for(Condition.READY, 5)
    changes = [logged.request for logged in emulator.log if logged.changes]
    assert changes == [b"pmax=9.0", b"tmax=60.0", b"tset=55.0", b"ens"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_sensor_that_came_off_is_told_instead_of_a_temperature(
    driver: Tc200, emulator: InstrumentEmulator
) -> None:
    await driver.connect()
    await driver.set_heating(True)
    emulator.set_fault(Fault.INTERLOCK)
    with pytest.raises(DeviceError, match="sensor alarm: check the sensor"):
        await driver.read_temperature_c()
    assert not await driver.read_heating()
    emulator.clear_fault(Fault.INTERLOCK)
    assert await driver.read_temperature_c() == pytest.approx(ROOM_C, abs=5)
    assert not await driver.read_heating()


async def test_safe_is_off_and_stays_off_over_a_power_cycle(
    driver: Tc200, emulator: InstrumentEmulator
) -> None:
    await driver.configure({"temperature_set_c": 45.0, "heating": True})
    task = asyncio.create_task(driver.supervise())
    await driver.wait_for(Condition.READY, 5)
    await driver.safe_state()
    assert not model_of(emulator).heating
    before = emulator.model
    await emulator.power_cycle()
    assert emulator.model is not before
    await eventually(lambda: model_of(emulator).settings["tset"] == 45.0, "the configuration again")
    await driver.wait_for(Condition.READY, 5)
    assert not model_of(emulator).heating
    await driver.configure({"heating": True})
    assert model_of(emulator).heating
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_answer_with_the_echo_of_another_question_is_not_taken(
    driver: Tc200, emulator: InstrumentEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sensor's temperature would pass for a set temperature, but for its echo."""
    await driver.connect()
    carry_out = model_of(emulator).execute
    monkeypatch.setattr(emulator.model, "execute", lambda request, now_ns: carry_out(b"tact?", now_ns))
    with pytest.raises(ProtocolFault, match=r"'tset\?' was echoed as 'tact\?'"):
        await driver.read_temperature_set_c()
    assert driver.session is not None
    assert not driver.session.is_open


async def test_a_drifting_oven_tells_what_its_sensor_feels_and_the_world_feels_another(
    driver: Tc200, emulator: InstrumentEmulator, table: Alone
) -> None:
    """The crystal drifts away from the sensor: nothing on the line shows it, only the light does."""
    await driver.connect()
    emulator.set_fault(Fault.DRIFT)
    await eventually(lambda: table.values["temperature_c"] > ROOM_C + 0.002, "the drift")
    assert await driver.read_temperature_c() == pytest.approx(ROOM_C, abs=0.06)


# -- emulator -----------------------------------------------------------------------------------------------


def said(model: Tc200Model, line: bytes, now_ns: int = 0) -> bytes:
    (answer,) = model.execute(line, now_ns)
    return answer.octets


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (b"id?", b"id?\rTHORLABS TC200 VERSION 2.1.0\r> "),
        (b"*idn?", b"*idn?\rTHORLABS TC200 VERSION 2.1.0\r> "),
        (b"tset?", b"tset?\r25.0 Celsius\r> "),
        (b"tact?", b"tact?\r23.0 C\r> "),
        (b"stat?", b"stat?\r14 > "),
        (b"pid?", b"pid?\r125 10 0\r> "),
        (b"pmax?", b"pmax?\r18.0\r> "),
        (b"tset=40", b"tset=40\r> "),
        (b"tset=19.9", b"tset=19.9\rCMD_ARG_RANGE_ERR\r> "),
        (b"tset=hot", b"tset=hot\rCMD_NOT_DEFINED\r> "),
        (b"PMAX?", b"PMAX?\rCMD_NOT_DEFINED\r> "),
        (b"*IDN?", b"*IDN?\rCMD_NOT_DEFINED\r> "),
        (b"ens=1", b"ens=1\rCMD_NOT_DEFINED\r> "),
        (b"", b"\r> "),
    ],
)
def test_every_line_is_echoed_and_ends_in_the_prompt(line: bytes, answer: bytes) -> None:
    assert said(Tc200Model(Wiring(Alone())), line) == answer


def test_several_lines_of_the_configuration_come_before_one_prompt() -> None:
    answer = said(Tc200Model(Wiring(Alone())), b"config?")
    assert answer.count(b"> ") == 1
    assert answer.split(b"\r")[1:-1] == [b"NORMAL MODE", b"PTC100", b"CELSIUS", b"TSET 25.0"]


def test_the_status_shows_output_sensor_unit_and_alarm() -> None:
    oven = Tc200Model(Wiring(Alone()))
    assert said(oven, b"ens") == b"ens\r> "
    assert said(oven, b"stat?") == b"stat?\r15 > "
    oven.afflict(Fault.INTERLOCK, True, 0)
    assert said(oven, b"stat?") == b"stat?\r54 > "
    said(oven, b"ens")  # an alarm keeps the output off
    assert said(oven, b"stat?") == b"stat?\r54 > "


def test_the_crystal_follows_the_first_order_law_up_and_down() -> None:
    table = Alone()
    oven = Tc200Model(Wiring(table))
    said(oven, b"tset=63.0")
    said(oven, b"ens")
    for step in range(1, 11):  # in steps or at once: the same
        oven.tick(round(step * HEATING_TIME_S * S / 10))
    top_c = 63.0 + (ROOM_C - 63.0) * math.exp(-1)
    assert table.values["temperature_c"] == pytest.approx(top_c, abs=1e-6)
    off_ns = round(HEATING_TIME_S * S)
    said(oven, b"ens", off_ns)
    oven.tick(off_ns + round(COOLING_TIME_S * S))
    assert table.values["temperature_c"] == pytest.approx(ROOM_C + (top_c - ROOM_C) * math.exp(-1), abs=1e-6)


def test_drift_grows_while_it_is_on_and_stays_when_it_ends() -> None:
    table = Alone()
    oven = Tc200Model(Wiring(table))
    oven.tick(0)
    oven.afflict(Fault.DRIFT, True, 0)
    oven.tick(10 * S)
    oven.afflict(Fault.DRIFT, False, 10 * S)
    oven.tick(20 * S)
    assert table.values["temperature_c"] == pytest.approx(ROOM_C + 10 * DRIFT_C_PER_S)


def test_other_faults_are_none_of_an_oven() -> None:
    with pytest.raises(LocalMisuse, match="a TC200 has no overflow"):
        Tc200Model(Wiring(Alone())).afflict(Fault.OVERFLOW, True, 0)


def test_a_line_that_is_too_long_is_dropped_and_the_next_is_understood() -> None:
    oven = Tc200Model(Wiring(Alone()))
    buffer = bytearray(b"x" * 65)
    assert oven.split(buffer) == []
    buffer += b"tset?\r"
    assert oven.split(buffer) == [b"tset?"]
    buffer += b"tset?"
    assert oven.split(buffer) == []
    buffer += b"\rstat?\r"
    assert oven.split(buffer) == [b"tset?", b"stat?"]


def test_power_off_leaves_the_crystal_to_the_room() -> None:
    table = Alone()
    oven = Tc200Model(Wiring(table))
    said(oven, b"tset=100.0")
    said(oven, b"ens")
    oven.tick(20 * S)
    assert table.values["temperature_c"] > 99
    oven.power_off(21 * S)
    assert table.values["temperature_c"] == ROOM_C
