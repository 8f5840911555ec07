"""The Qubitekk QES2: driver and emulator on a pseudo-terminal, and the emulator by its lines."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from bellwire.core.errors import DeviceFault, LocalMisuse
from bellwire.drivers.faults import DeviceError, LinkTimeout, ProtocolFault
from bellwire.drivers.instrument import Backoff, Condition
from bellwire.drivers.qes2 import BAUD_RATES, Qes2
from bellwire.drivers.readings import Quality
from bellwire.drivers.roles import CurrentLaser, Oven
from bellwire.drivers.session import SessionSettings
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.qes2_emulator import (
    CRYSTAL_S,
    ORDER_S,
    ROOM_C,
    SLOPE_MW_PER_MA,
    THRESHOLD_MA,
    Qes2Model,
    make,
    setpoint_c,
)
from bellwire.simulator_backend.devices.surroundings import Alone, Wiring
from tests.drivers.conftest import eventually

QUICK = SessionSettings(timeout_s=0.2, quiet_s=0.0005)
RETRY = Backoff(first_s=0.01, longest_s=0.05, refused_s=0.05)
PACE = 0.01
S = 10**9


@pytest.fixture
def table() -> Alone:
    return Alone()


@pytest.fixture
async def emulator(tmp_path: Path, table: Alone) -> AsyncIterator[InstrumentEmulator]:
    source = make(order_of(tmp_path, table))
    await source.start()
    yield source
    await source.stop()


@pytest.fixture
async def driver(emulator: InstrumentEmulator, tmp_path: Path) -> AsyncIterator[Qes2]:
    source = driver_at(tmp_path)
    yield source
    await source.close()


def order_of(tmp_path: Path, table: Alone) -> EmulatorOrder:
    return EmulatorOrder(name="source", address=str(tmp_path / "source"), wiring=Wiring(table), pace=PACE)


def driver_at(tmp_path: Path, pace: float = PACE) -> Qes2:
    return Qes2(
        "source",
        str(tmp_path / "source"),
        serial_number="PL-2024-017",
        settings=QUICK,
        backoff=RETRY,
        probe_s=0.03,
        pace=pace,
    )


def model_of(emulator: InstrumentEmulator) -> Qes2Model:
    assert isinstance(emulator.model, Qes2Model)
    return emulator.model


# -- baud rate ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("baud_rate", BAUD_RATES)
async def test_the_baud_rate_is_found_by_asking_for_the_firmware(tmp_path: Path, baud_rate: int) -> None:
    emulator = make(order_of(tmp_path, Alone()), baud_rate=baud_rate)
    await emulator.start()
    driver = driver_at(tmp_path)
    identity = await driver.connect()
    assert (identity.model, identity.firmware) == ("QES2", "QES v2.4")
    await driver.close()
    emulator.log.clear()
    await driver.connect()  # at once at the rate that was right
    assert [logged.request for logged in emulator.log][:2] == [b"FIRM?", b"FIRM?"]
    await driver.close()
    await emulator.stop()


async def test_what_came_at_a_wrong_rate_spoils_only_the_first_question(tmp_path: Path) -> None:
    emulator = make(order_of(tmp_path, Alone()), baud_rate=19_200)
    await emulator.start()
    driver = driver_at(tmp_path)
    await driver.connect()
    at_wrong_rate = bytes(octet | 0x80 for octet in b"FIRM?\r\n")
    assert emulator.log[0].request == 2 * at_wrong_rate + b"FIRM?"
    assert emulator.log[1].request == b"FIRM?"
    await driver.close()
    await emulator.stop()


async def test_a_box_that_answers_at_no_rate_is_told_with_all_rates(tmp_path: Path) -> None:
    emulator = make(order_of(tmp_path, Alone()), baud_rate=38_400)
    await emulator.start()
    with pytest.raises(LinkTimeout, match="115200, 19200, 9600 baud"):
        await driver_at(tmp_path).connect()
    assert list(emulator.log) == []
    await emulator.stop()


async def test_nonsense_while_the_rate_is_sought_is_told_as_what_came(
    driver: Qes2, emulator: InstrumentEmulator
) -> None:
    """ "No firmware told" would send the operator to the cable, while the box talks too much."""
    emulator.set_fault(Fault.DOUBLE_REPLY)
    with pytest.raises(ProtocolFault, match="more than one reply to b'FIRM"):
        await driver.connect()
    emulator.clear_fault()
    assert (await driver.connect()).firmware == "QES v2.4"


# -- driver -------------------------------------------------------------------------------------------------


async def test_connecting_asks_until_a_shift_by_one_would_show(
    driver: Qes2, emulator: InstrumentEmulator
) -> None:
    identity = await driver.connect()
    assert identity.serial_number == "PL-2024-017"
    assert [logged.request for logged in emulator.log] == [b"FIRM?", b"FIRM?", b"HORC?", b"PLST?", b"PLID?"]


async def test_the_world_gets_the_light_and_the_crystal(driver: Qes2, table: Alone) -> None:
    await driver.connect()
    assert isinstance(driver, CurrentLaser)
    assert not isinstance(driver, Oven)
    await driver.set_current_ma(80)
    assert table.values["pump_mw"] == 0.0
    assert await driver.read_current_ma() == 0.0
    await driver.set_emission(True)
    assert table.values["pump_mw"] == pytest.approx(SLOPE_MW_PER_MA * (80 - THRESHOLD_MA))
    assert await driver.read_current_ma() == 80.0
    await driver.set_current_ma(100)
    assert table.values["current_ma"] == 100.0
    await driver.set_temperature_setpoint(15_000)
    await eventually(lambda: abs(table.values["temperature_c"] - setpoint_c(15_000)) < 0.01, "the crystal")
    assert await driver.read_temperature_c() == pytest.approx(setpoint_c(15_000), abs=0.02)
    assert await driver.read_regulation() == "heating"
    await driver.set_temperature_setpoint(50_000)
    assert await driver.read_regulation() == "cooling"
    await driver.set_emission(False)
    assert (table.values["pump_mw"], table.values["current_ma"]) == (0.0, 0.0)


async def test_power_and_current_are_not_wished_for_together(driver: Qes2) -> None:
    await driver.connect()
    await driver.set_power_steps(4_000)
    assert await driver.read_power_steps() == 4_000
    await driver.configure({"power_steps": 2_000})
    with pytest.raises(LocalMisuse, match="current_ma or power_steps, not both"):
        await driver.configure({"current_ma": 50})
    await driver.set_emission(True)
    assert await driver.read_current_ma() == 45.0


@pytest.mark.parametrize(
    ("method", "value", "limits"),
    [
        ("set_current_ma", 19.9, "20 to 120 mA"),
        ("set_current_ma", 120.5, "20 to 120 mA"),
        ("set_current_ma", math.nan, "20 to 120 mA"),
        ("set_power_steps", 8_001, "0 to 8000 steps"),
        ("set_power_steps", -1, "0 to 8000 steps"),
        ("set_temperature_setpoint", 9_999, "10000 to 50000 steps"),
        ("set_temperature_setpoint", 50_001, "10000 to 50000 steps"),
    ],
)
async def test_what_is_out_of_range_is_never_sent(
    driver: Qes2, emulator: InstrumentEmulator, method: str, value: float, limits: str
) -> None:
    await driver.connect()
    asked = len(emulator.log)
    with pytest.raises(LocalMisuse, match=f"outside {limits}"):
        await getattr(driver, method)(value)
    assert len(emulator.log) == asked


async def test_orders_that_are_silently_ignored_are_told(driver: Qes2, emulator: InstrumentEmulator) -> None:
    await driver.connect()
    emulator.set_fault(Fault.IGNORED_SET)
    with pytest.raises(DeviceError, match="set point was set to 12000 but reads 35000"):
        await driver.set_temperature_setpoint(12_000)
    with pytest.raises(DeviceError, match="emission was set to True but reads False"):
        await driver.set_emission(True)
    with pytest.raises(DeviceError, match="power in steps was set to 100 but reads 0"):
        await driver.set_power_steps(100)


async def test_a_laser_that_lights_with_another_current_is_put_out(
    driver: Qes2, emulator: InstrumentEmulator
) -> None:
    """While it was dark there was nothing to compare: the order may have been lost."""
    await driver.connect()
    emulator.set_fault(Fault.IGNORED_SET, times=1)
    await driver.set_current_ma(90)
    with pytest.raises(DeviceError, match="current was set to 90 but reads 20"):
        await driver.set_emission(True)
    assert not model_of(emulator).lit
    assert emulator.log[-2].request == b":PLOF"


async def test_a_faulty_temperature_control_makes_doubtful_degrees_and_forbids_light(
    driver: Qes2, emulator: InstrumentEmulator
) -> None:
    await driver.connect()
    assert (await driver.read_parameter("temperature_c")).quality is Quality.GOOD
    emulator.set_fault(Fault.INTERLOCK)
    assert (await driver.read_parameter("fault")).value is True
    assert (await driver.read_parameter("temperature_c")).quality is Quality.SUSPECT
    with pytest.raises(DeviceError, match="FAUL"):
        await driver.set_emission(True)
    assert b":PLON" not in [logged.request for logged in emulator.log]


async def test_a_laser_that_the_box_put_out_stays_out_until_asked_for_anew(
    driver: Qes2, emulator: InstrumentEmulator
) -> None:
    reasons: list[str] = []
    driver._on_state = lambda state: reasons.append(state.reason)
    await driver.configure({"temperature_setpoint": 20_000, "current_ma": 60, "emission": True})
    task = asyncio.create_task(driver.supervise())
    await driver.wait_for(Condition.READY, 5)
    assert model_of(emulator).lit
    emulator.set_fault(Fault.INTERLOCK)
    await eventually(lambda: any("put its laser out" in one for one in reasons), "the reason")
    emulator.clear_fault(Fault.INTERLOCK)
    await driver.wait_for(Condition.READY, 5)
    await asyncio.sleep(0.1)  # three looks
    assert not model_of(emulator).lit
    await driver.configure({"emission": True})
    assert model_of(emulator).lit
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_light_that_somebody_else_made_where_none_is_wished_is_put_out(
    driver: Qes2, emulator: InstrumentEmulator
) -> None:
    await driver.configure({"emission": False})
    task = asyncio.create_task(driver.supervise())
    await driver.wait_for(Condition.READY, 5)
    emulator.log.clear()
    model_of(emulator).lit = True
    await eventually(lambda: not model_of(emulator).lit, "the dark")
    assert [logged.request for logged in emulator.log if logged.changes] == [b":PLOF"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_a_restart_forgot_is_asserted_again_crystal_first(
    driver: Qes2, emulator: InstrumentEmulator
) -> None:
    await driver.configure({"emission": True, "current_ma": 60, "temperature_setpoint": 20_000})
    task = asyncio.create_task(driver.supervise())
    await driver.wait_for(Condition.READY, 5)
    before = emulator.model
    emulator.set_fault(Fault.RESTART, times=1)
    await eventually(lambda: emulator.model is not before, "the restart")
    emulator.log.clear()
    await eventually(lambda: model_of(emulator).lit, "the light again")
    orders = [logged.request for logged in emulator.log if logged.changes]
    assert orders == [b":SETT 20000", b":PLDC 60", b":PLON"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_safe_state_is_dark_and_stays_so_over_a_power_cycle(
    driver: Qes2, emulator: InstrumentEmulator, table: Alone
) -> None:
    await driver.configure({"temperature_setpoint": 20_000, "current_ma": 60, "emission": True})
    task = asyncio.create_task(driver.supervise())
    await driver.wait_for(Condition.READY, 5)
    await driver.safe_state()
    assert not model_of(emulator).lit
    await emulator.power_cycle()
    await eventually(lambda: model_of(emulator).setpoint == 20_000, "the crystal again")
    await driver.wait_for(Condition.READY, 5)
    assert not model_of(emulator).lit
    assert table.values["pump_mw"] == 0.0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(
    ("question", "answer", "what"),
    [
        ("HORC?", "X", "not H or C"),
        ("PLST?", "1", "not APC or OFF"),
        ("FAUL?", "2", "not 0 or 1"),
        ("SETP?", "20.5", "not a whole number"),
        ("TEMP?", "warm", "not a number"),
    ],
)
async def test_an_answer_of_another_shape_puts_the_line_out_of_step(
    driver: Qes2,
    emulator: InstrumentEmulator,
    monkeypatch: pytest.MonkeyPatch,
    question: str,
    answer: str,
    what: str,
) -> None:
    methods = {
        "HORC?": driver.read_regulation,
        "PLST?": driver.read_emission,
        "FAUL?": driver.read_fault,
        "SETP?": driver.read_temperature_setpoint,
        "TEMP?": driver.read_temperature_c,
    }
    await driver.connect()
    true_reply = Qes2Model.reply
    monkeypatch.setattr(
        Qes2Model,
        "reply",
        lambda self, line, now_ns: answer if line == question else true_reply(self, line, now_ns),
    )
    with pytest.raises(ProtocolFault, match=what):
        await methods[question]()
    with pytest.raises(DeviceFault):
        await driver.read_power_steps()


async def test_a_number_that_comes_after_reopening_is_not_taken_for_a_firmware(
    driver: Qes2, emulator: InstrumentEmulator
) -> None:
    """At opening any line with a digit is a firmware; the questions after it tell that it was not."""
    await driver.connect()
    emulator.set_fault(Fault.LATE_REPLY, delay_s=1.5 * QUICK.timeout_s, times=1)
    with pytest.raises(LinkTimeout):
        await driver.read_power_steps()
    await driver.close()
    # Whether the firmware follows the number at once or later; a busy computer may ask after both.
    with suppress(ProtocolFault):
        await driver.connect()
    task = asyncio.create_task(driver.supervise())
    await driver.wait_for(Condition.READY, 5)
    assert driver.identity is not None
    assert driver.identity.firmware == "QES v2.4"
    assert await driver.read_temperature_setpoint() == 35_000
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


# -- emulator -----------------------------------------------------------------------------------------------


def test_the_crystal_settles_exponentially() -> None:
    table = Alone()
    box = Qes2Model(Wiring(table))
    box.power_on(0)
    box.execute(b":SETT 10000", 0)
    box.tick(round(CRYSTAL_S * S))
    expected_c = 50.0 + (ROOM_C - 50.0) * math.exp(-1)
    assert table.values["temperature_c"] == pytest.approx(expected_c)
    assert box.reply("TEMP?", round(CRYSTAL_S * S)) == f"{expected_c:.2f}"


def test_orders_are_silent_and_keep_the_box_busy() -> None:
    box = Qes2Model(Wiring(Alone()))
    [busy] = box.execute(b":SETT 20000", 0)
    assert (busy.octets, busy.after_s) == (b"", ORDER_S)
    [told] = box.execute(b"setp?", 0)
    assert told.octets == b"20000\r\n"
    assert [answer.octets for answer in box.execute(b"NONSENSE?", 0)] == [b""]


@pytest.mark.parametrize(
    "order",
    [":SETT 9999", ":SETT 50001", ":SETT warm", ":PLDC 19", ":PLDC 121", ":PLSD 8001", ":PLSD -1", ":SETT"],
)
def test_orders_out_of_range_change_nothing(order: str) -> None:
    box = Qes2Model(Wiring(Alone()))
    before = (box.setpoint, box.current_set_ma)
    assert box.reply(order, 0) is None
    assert (box.setpoint, box.current_set_ma) == before


def test_a_drifting_crystal_leaves_its_sensor_behind() -> None:
    table = Alone()
    box = Qes2Model(Wiring(table))
    box.power_on(0)
    box.afflict(Fault.DRIFT, True, 100 * S)
    box.tick(120 * S)
    assert box.reply("TEMP?", 120 * S) == "25.00"
    assert table.values["temperature_c"] == pytest.approx(26.0, abs=0.01)
    with pytest.raises(LocalMisuse, match="QES2 has no overflow"):
        box.afflict(Fault.OVERFLOW, True, 120 * S)
