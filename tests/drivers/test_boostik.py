"""The NKT BOOSTIK HPA: driver and emulator on a pseudo-terminal, and the emulator by its lines."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.boostik import Boostik
from bellwire.drivers.faults import DeviceError, IdentityRefused, LinkTimeout, ProtocolFault
from bellwire.drivers.instrument import Backoff, Condition
from bellwire.drivers.roles import CurrentLaser
from bellwire.drivers.session import SessionSettings
from bellwire.simulator_backend.devices.boostik_emulator import (
    SETTLING_S,
    SLOPE_MW_PER_MA,
    THRESHOLD_MA,
    BoostikModel,
    make,
)
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.surroundings import Alone, Wiring
from tests.drivers.conftest import eventually

QUICK = SessionSettings(timeout_s=0.2, quiet_s=0.0005)
RETRY = Backoff(first_s=0.01, longest_s=0.05, refused_s=0.05)
PACE = 0.02
S = 10**9


@pytest.fixture
def table() -> Alone:
    return Alone()


@pytest.fixture
async def emulator(tmp_path: Path, table: Alone) -> AsyncIterator[InstrumentEmulator]:
    order = EmulatorOrder(name="booster", address=str(tmp_path / "booster"), wiring=Wiring(table), pace=PACE)
    boostik = make(order)
    await boostik.start()
    yield boostik
    await boostik.stop()


@pytest.fixture
async def driver(emulator: InstrumentEmulator, tmp_path: Path) -> AsyncIterator[Boostik]:
    boostik = driver_at(tmp_path)
    yield boostik
    await boostik.close()


def driver_at(tmp_path: Path, serial_number: str | None = "H0042") -> Boostik:
    return Boostik(
        "booster",
        str(tmp_path / "booster"),
        serial_number=serial_number,
        settings=QUICK,
        backoff=RETRY,
        probe_s=0.03,
        pace=PACE,
    )


def model_of(emulator: InstrumentEmulator) -> BoostikModel:
    assert isinstance(emulator.model, BoostikModel)
    return emulator.model


# -- driver -------------------------------------------------------------------------------------------------


async def test_the_world_gets_the_power_that_the_current_makes(driver: Boostik, table: Alone) -> None:
    identity = await driver.connect()
    assert (identity.model, identity.serial_number) == ("BOOSTIK", "H0042")
    assert isinstance(driver, CurrentLaser)
    await driver.set_current_ma(1234)
    assert await driver.read_current_ma() == pytest.approx(1234)
    assert table.values["pump_mw"] == 0.0
    await driver.set_emission(True)
    goal_mw = SLOPE_MW_PER_MA * (1234 - THRESHOLD_MA)
    await eventually(lambda: abs(table.values["pump_mw"] - goal_mw) < 0.1, "the light")
    assert await driver.read_current_measured_ma() == pytest.approx(1234, abs=1)
    assert await driver.read_input_power_mw() == pytest.approx(10.0)
    assert await driver.read_diode_temperature_c() > await driver.read_ambient_temperature_c()
    await driver.set_emission(False)
    assert table.values["pump_mw"] == 0.0


async def test_a_current_that_the_amplifier_does_not_take_is_told(
    driver: Boostik, emulator: InstrumentEmulator
) -> None:
    """It answers with the old value and no error at all: that answer tells already."""
    await driver.connect()
    await driver.set_current_ma(1500)
    with pytest.raises(DeviceError, match="current was set to 5001 but reads 1500"):
        await driver.set_current_ma(5001)
    assert emulator.log[-1].request == b"ACC 5.001"
    with pytest.raises(LocalMisuse, match="outside 0 to 20000 mA"):
        await driver.set_current_ma(20_001)
    assert await driver.read_current_ma() == pytest.approx(1500)


async def test_sets_that_are_silently_ignored_are_told(driver: Boostik, emulator: InstrumentEmulator) -> None:
    await driver.connect()
    emulator.set_fault(Fault.IGNORED_SET)
    with pytest.raises(DeviceError, match="current was set to 700 but reads 0"):
        await driver.set_current_ma(700)
    with pytest.raises(DeviceError, match="output was set to True but reads False"):
        await driver.set_emission(True)


async def test_an_interlock_switches_off_until_somebody_asks_for_it_anew(
    driver: Boostik, emulator: InstrumentEmulator
) -> None:
    reasons: list[str] = []
    driver._on_state = lambda state: reasons.append(state.reason)
    await driver.configure({"current_ma": 1000, "emission": True})
    task = asyncio.create_task(driver.supervise())
    await driver.wait_for(Condition.READY, 5)
    emulator.set_fault(Fault.INTERLOCK)
    await eventually(lambda: any("switched its output off" in one for one in reasons), "the reason")
    emulator.clear_fault(Fault.INTERLOCK)
    await driver.wait_for(Condition.READY, 5)
    await asyncio.sleep(0.1)  # three looks
    assert not model_of(emulator).output
    await driver.configure({"emission": True})
    assert model_of(emulator).output
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_a_power_cycle_forgot_is_asserted_again(
    driver: Boostik, emulator: InstrumentEmulator
) -> None:
    await driver.configure({"current_ma": 1000, "emission": True})
    task = asyncio.create_task(driver.supervise())
    await driver.wait_for(Condition.READY, 5)
    before = emulator.model
    emulator.set_fault(Fault.RESTART, times=1)
    await eventually(lambda: emulator.model is not before, "the restart")
    await eventually(lambda: model_of(emulator).output, "the output again")
    assert model_of(emulator).current_set_ma == 1000
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_safe_state_is_dark_and_stays_so_over_a_power_cycle(
    driver: Boostik, emulator: InstrumentEmulator
) -> None:
    await driver.configure({"current_ma": 1000, "emission": True})
    task = asyncio.create_task(driver.supervise())
    await driver.wait_for(Condition.READY, 5)
    await driver.safe_state()
    assert not model_of(emulator).output
    await emulator.power_cycle()
    await eventually(lambda: model_of(emulator).current_set_ma == 1000, "the current again")
    await driver.wait_for(Condition.READY, 5)
    assert not model_of(emulator).output
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_number_that_came_too_late_is_not_taken_for_another(
    driver: Boostik, emulator: InstrumentEmulator
) -> None:
    """Replies do not say what they belong to: the session refuses to go on, and opening begins with the only
    question whose answer has letters.
    """
    await driver.connect()
    await driver.set_current_ma(321)
    emulator.set_fault(Fault.LATE_REPLY, delay_s=0.3, times=1)
    with pytest.raises(LinkTimeout):
        await driver.read_current_ma()
    with pytest.raises(LinkTimeout):
        await driver.read_ambient_temperature_c()
    await driver.close()
    # A busy computer finds the number and the answer in one read.
    with pytest.raises(ProtocolFault, match=r"CDI answered '0\.321'|more than one reply to b'CDI"):
        await driver.connect()
    task = asyncio.create_task(driver.supervise())
    await driver.wait_for(Condition.READY, 5)
    assert await driver.read_ambient_temperature_c() == pytest.approx(24.0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_line_that_nobody_asked_for_puts_the_session_out_of_step(
    driver: Boostik, emulator: InstrumentEmulator
) -> None:
    await driver.connect()
    emulator.set_fault(Fault.DOUBLE_REPLY, times=1)
    with pytest.raises(ProtocolFault, match="more than one reply"):
        await driver.read_ambient_temperature_c()


async def test_another_amplifier_is_refused_and_connecting_only_asks(
    emulator: InstrumentEmulator, tmp_path: Path
) -> None:
    with pytest.raises(IdentityRefused, match="H0042"):
        await driver_at(tmp_path, serial_number="H0043").connect()
    assert [logged.request for logged in emulator.log] == [b"CDI", b"ACC", b"CDO"]


# -- emulator -----------------------------------------------------------------------------------------------


def test_the_current_settles_exponentially_and_the_light_follows_above_its_threshold() -> None:
    table = Alone()
    amplifier = BoostikModel(Wiring(table))
    assert amplifier.reply("ACC 2", 0) == "2.000"
    assert amplifier.reply("CDO 1", 0) == "1"
    amplifier.tick(round(SETTLING_S * S))
    current_ma = 2000 * (1 - math.exp(-1))
    assert table.values["pump_mw"] == pytest.approx(SLOPE_MW_PER_MA * (current_ma - THRESHOLD_MA))
    assert amplifier.reply("AMC", round(SETTLING_S * S)) == f"{current_ma / 1000:.3f}"


@pytest.mark.parametrize("value", ["-0.1", "5.001", "nan", "much", "inf"])
def test_a_current_out_of_range_is_answered_with_the_old_one(value: str) -> None:
    amplifier = BoostikModel(Wiring(Alone()))
    amplifier.reply("acc 0.250", 0)
    assert amplifier.reply(f"ACC {value}", 0) == "0.250"


def test_a_command_that_it_does_not_know_is_not_answered() -> None:
    amplifier = BoostikModel(Wiring(Alone()))
    assert amplifier.execute(b"*IDN?", 0) == []
    assert not amplifier.changes(b"ACC")
    assert amplifier.changes(b"ACC 1")
