"""The NKT BASIK: driver and emulator on a pseudo-terminal, and the emulator by its telegrams."""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.basik import Basik
from bellwire.drivers.faults import DeviceError, IdentityRefused, LinkTimeout
from bellwire.drivers.instrument import Backoff, Condition
from bellwire.drivers.nktp_words import HOSTS, Kind, Telegram
from bellwire.drivers.readings import Quality
from bellwire.drivers.roles import PumpLaser
from bellwire.drivers.session import SessionSettings
from bellwire.simulator_backend.devices.basik_emulator import SETTLING_S, BasikModel, make
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
    order = EmulatorOrder(name="pump", address=str(tmp_path / "pump"), wiring=Wiring(table), pace=PACE)
    basik = make(order)
    await basik.start()
    yield basik
    await basik.stop()


@pytest.fixture
async def driver(emulator: InstrumentEmulator, tmp_path: Path) -> AsyncIterator[Basik]:
    basik = driver_at(tmp_path)
    yield basik
    await basik.close()


def driver_at(tmp_path: Path, serial_number: str | None = "18370042") -> Basik:
    return Basik(
        "pump",
        str(tmp_path / "pump"),
        serial_number=serial_number,
        settings=QUICK,
        backoff=RETRY,
        probe_s=0.03,
        pace=PACE,
    )


def model_of(emulator: InstrumentEmulator) -> BasikModel:
    assert isinstance(emulator.model, BasikModel)
    return emulator.model


def asked(emulator: InstrumentEmulator) -> list[Telegram]:
    return [Telegram.decoded(logged.request) for logged in emulator.log]


# -- driver -------------------------------------------------------------------------------------------------


async def test_the_world_gets_the_power_that_was_set_while_the_laser_emits(
    driver: Basik, table: Alone
) -> None:
    identity = await driver.connect()
    assert (identity.model, identity.serial_number) == ("BASIK", "18370042")
    assert identity.firmware == "1.03 (K1x2)"
    assert isinstance(driver, PumpLaser)
    for power_mw in (25.66, 24.14, 13.10, 0.0, 500.0):
        await driver.set_power_mw(power_mw)
        assert await driver.read_power_set_mw() == pytest.approx(power_mw, abs=1e-9)
    assert (await driver.read_power_mw(), table.values["pump_mw"]) == (0.0, 0.0)
    await driver.set_power_mw(25.66)
    await driver.set_emission(True)
    await eventually(lambda: abs(table.values["pump_mw"] - 25.66) < 0.005, "the light")
    assert await driver.read_power_mw() == pytest.approx(25.66, abs=0.011)
    await driver.set_emission(False)
    assert table.values["pump_mw"] == 0.0
    await driver.set_wavelength_offset_pm(-12.3)
    assert await driver.read_wavelength_offset_pm() == pytest.approx(-12.3)
    assert await driver.read_module_temperature_c() == pytest.approx(25.4)
    assert driver.repeated_requests == 0


async def test_a_lost_request_is_sent_again_from_another_address(
    driver: Basik, emulator: InstrumentEmulator
) -> None:
    await driver.connect()
    for units in (100, 101, 102):
        emulator.set_fault(Fault.LOST_FRAME, times=1)
        await driver.set_power_mw(units / 100)
        assert model_of(emulator).power_set_units == units
    assert driver.repeated_requests >= 3


async def test_each_request_comes_from_another_address(driver: Basik, emulator: InstrumentEmulator) -> None:
    await driver.connect()
    for _ in range(len(HOSTS)):
        await driver.read_power_set_mw()
    hosts = [telegram.source for telegram in asked(emulator)][-len(HOSTS) :]
    assert sorted(hosts) == list(HOSTS)


async def test_a_late_answer_is_recognised_by_its_address_and_passed_over(
    driver: Basik, emulator: InstrumentEmulator
) -> None:
    """The laser answers the first try with what it held then; the driver gives what it holds now."""
    await driver.connect()
    model_of(emulator).power_set_units = 111
    before = len(emulator.log)
    emulator.set_fault(Fault.LATE_REPLY, delay_s=0.3, times=1)
    reading = asyncio.create_task(driver.read_power_set_mw())
    await eventually(lambda: len(emulator.log) > before, "the first try")
    model_of(emulator).power_set_units = 222
    assert await reading == pytest.approx(2.22)
    assert driver.repeated_requests >= 1
    assert len({telegram.source for telegram in asked(emulator)}) == len(emulator.log)


@settings(derandomize=True, deadline=None)
@given(st.sampled_from([161, 170, 255]), st.sampled_from([1, 2, 0x80]), st.sampled_from([0x17, 0x22, 0x30]))
def test_only_the_answer_of_this_module_to_this_host_about_this_register_is_taken(
    host: int, module: int, register: int
) -> None:
    take = Basik("pump", "/nowhere")._answer_to(170, 0x22)
    frame = Telegram(host, module, Kind.DATAGRAM, register, b"\1\0").encoded()
    right = Telegram(170, 1, Kind.DATAGRAM, 0x22, b"\2\0").encoded()
    if (host, module, register) == (170, 1, 0x22):
        assert take(frame) == (frame, b"")
    else:
        assert take(frame) is None
        assert take(frame + right + b"rest") == (right, b"rest")


@pytest.mark.parametrize("fault", [Fault.BAD_CRC, Fault.HALF_REPLY, Fault.DROPPED_BYTE, Fault.GARBAGE])
async def test_a_damaged_answer_costs_one_try(
    driver: Basik, emulator: InstrumentEmulator, fault: Fault
) -> None:
    await driver.connect()
    emulator.set_fault(fault, times=1)
    assert await driver.read_power_set_mw() == pytest.approx(10.0)
    assert driver.repeated_requests >= 1


@pytest.mark.parametrize("fault", [Fault.DOUBLE_REPLY, Fault.UNSOLICITED])
async def test_answers_to_nobody_cost_nothing(
    driver: Basik, emulator: InstrumentEmulator, fault: Fault
) -> None:
    await driver.connect()
    emulator.set_fault(fault)
    for units in range(100, 110):
        await driver.set_power_mw(units / 100)
    assert driver.repeated_requests == 0


async def test_three_tries_are_the_last(driver: Basik, emulator: InstrumentEmulator) -> None:
    await driver.connect()
    before = len(emulator.log)
    emulator.set_fault(Fault.SILENT)
    with pytest.raises(LinkTimeout, match="register 22h: no answer, 3 times"):
        await driver.read_power_set_mw()
    assert len(emulator.log) == before + 3
    with pytest.raises(LinkTimeout):
        await driver.read_power_set_mw()
    assert len(emulator.log) == before + 3


@pytest.mark.parametrize("kind", [Kind.BUSY, Kind.CRC_ERROR])
async def test_busy_and_damaged_requests_are_tried_again(
    driver: Basik, emulator: InstrumentEmulator, kind: Kind
) -> None:
    await driver.connect()
    model, answered = model_of(emulator), model_of(emulator)._answered
    refusals = [kind, kind]

    def refusing(register: object, telegram: Telegram) -> tuple[Kind, bytes]:
        return (refusals.pop(), b"") if refusals else answered(register, telegram)  # type: ignore[arg-type]

    model._answered = refusing  # type: ignore[method-assign, assignment]
    await driver.set_power_mw(12.0)
    assert model.power_set_units == 1200
    assert driver.repeated_requests >= 2


async def test_a_power_above_the_rating_is_refused_by_the_laser(driver: Basik) -> None:
    await driver.connect()
    with pytest.raises(DeviceError, match="register 22h refuses"):
        await driver.set_power_mw(500.01)
    with pytest.raises(LocalMisuse, match=r"outside 0 to 655\.35"):
        await driver.set_power_mw(655.36)
    assert await driver.read_power_set_mw() == pytest.approx(10.0)


async def test_a_set_that_is_silently_ignored_is_found_by_the_read_back(
    driver: Basik, emulator: InstrumentEmulator
) -> None:
    await driver.connect()
    emulator.set_fault(Fault.IGNORED_SET)
    with pytest.raises(DeviceError, match="set power was set to 12 but reads 10"):
        await driver.set_power_mw(12.0)


async def test_an_open_interlock_ends_emission_until_somebody_asks_for_it_anew(
    driver: Basik, emulator: InstrumentEmulator, table: Alone
) -> None:
    reasons: list[str] = []
    driver._on_state = lambda state: reasons.append(state.reason)
    await driver.configure({"power_set_mw": 20.0, "emission": True})
    task = asyncio.create_task(driver.supervise())
    await driver.wait_for(Condition.READY, 5)
    emulator.set_fault(Fault.INTERLOCK)
    assert table.values["pump_mw"] == 0.0
    await eventually(lambda: any("interlock opened" in one for one in reasons), "the reason")
    await driver.wait_for(Condition.READY, 5)
    with pytest.raises(DeviceError, match="interlock open"):
        await driver.set_emission(True)
    reading = await driver.read_parameter("error")
    assert (reading.value, reading.quality) == ("interlock open", Quality.SUSPECT)
    emulator.clear_fault(Fault.INTERLOCK)
    assert (await driver.read_parameter("error")).quality is Quality.GOOD
    await asyncio.sleep(0.1)  # three looks
    assert not model_of(emulator).emission
    await driver.configure({"emission": True})
    await eventually(lambda: table.values["pump_mw"] > 19.0, "the light")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_safe_state_is_dark_and_stays_so_over_a_restart(
    driver: Basik, emulator: InstrumentEmulator
) -> None:
    await driver.configure({"power_set_mw": 20.0, "emission": True})
    task = asyncio.create_task(driver.supervise())
    await driver.wait_for(Condition.READY, 5)
    assert model_of(emulator).emission
    await driver.safe_state()
    assert not model_of(emulator).emission
    await emulator.power_cycle()
    await eventually(lambda: model_of(emulator).power_set_units == 2000, "the power again")
    await driver.wait_for(Condition.READY, 5)
    assert not model_of(emulator).emission
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_another_laser_is_refused_and_connecting_only_asks(
    emulator: InstrumentEmulator, tmp_path: Path
) -> None:
    with pytest.raises(IdentityRefused, match="other"):
        await driver_at(tmp_path, serial_number="other").connect()
    assert {telegram.kind for telegram in asked(emulator)} == {Kind.READ}


async def test_a_module_of_another_type_is_refused(emulator: InstrumentEmulator, tmp_path: Path) -> None:
    model = model_of(emulator)
    model._modules[1] = {**model._modules[1], 0x61: model._modules[0x80][0x61]}
    with pytest.raises(IdentityRefused, match="module type 34h"):
        await driver_at(tmp_path).connect()


async def test_a_module_that_does_not_tell_its_firmware_is_taken_all_the_same(
    driver: Basik, emulator: InstrumentEmulator
) -> None:
    del model_of(emulator)._modules[1][0x64]
    assert (await driver.connect()).firmware == "unknown (K1x2)"


# -- emulator -----------------------------------------------------------------------------------------------


def answer(model: BasikModel, telegram: Telegram, now_ns: int = 0) -> Telegram:
    (only,) = model.execute(telegram.encoded(), now_ns)
    return Telegram.decoded(only.octets)


def register(model: BasikModel, number: int, now_ns: int = 0) -> bytes:
    return answer(model, Telegram(1, 161, Kind.READ, number), now_ns).data


def test_the_light_settles_exponentially_and_its_meter_says_so() -> None:
    table = Alone()
    basik = BasikModel(Wiring(table))
    answer(basik, Telegram(1, 200, Kind.WRITE, 0x22, struct.pack("<H", 4000)))
    answer(basik, Telegram(1, 200, Kind.WRITE, 0x30, b"\1"))
    basik.tick(round(SETTLING_S * S))
    expected_mw = 40.0 * (1 - math.exp(-1))
    assert table.values["pump_mw"] == pytest.approx(expected_mw)
    (units,) = struct.unpack("<H", register(basik, 0x17, round(SETTLING_S * S)))
    assert units == round(100 * expected_mw)
    (dbm,) = struct.unpack("<h", register(basik, 0xA0, round(SETTLING_S * S)))
    assert dbm == round(1000 * math.log10(40.0))


def test_a_drifting_laser_loses_power_that_its_own_meter_does_not_see() -> None:
    table = Alone()
    basik = BasikModel(Wiring(table), pace=0.0)
    answer(basik, Telegram(1, 161, Kind.WRITE, 0x30, b"\1"))
    basik.afflict(Fault.DRIFT, True, 0)
    basik.tick(10 * S)
    assert table.values["pump_mw"] == pytest.approx(10.0 * math.exp(-0.2))
    assert register(basik, 0x17, 10 * S) == struct.pack("<H", 1000)


def test_a_host_is_answered_at_the_address_that_asked() -> None:
    for host in (HOSTS[0], HOSTS[-1]):
        found = answer(BasikModel(Wiring(Alone())), Telegram(1, host, Kind.READ, 0x61))
        assert found == Telegram(host, 1, Kind.DATAGRAM, 0x61, b"\x33")


def test_what_is_unknown_or_not_allowed_is_answered_with_nack() -> None:
    basik = BasikModel(Wiring(Alone()))
    for telegram in (
        Telegram(1, 161, Kind.READ, 0xEE),
        Telegram(1, 161, Kind.WRITE, 0x61, b"\0"),
        Telegram(1, 161, Kind.WRITE, 0x30, b"\2"),
        Telegram(1, 161, Kind.SET_BITS, 0x31, b"\1"),
    ):
        assert answer(basik, telegram) == Telegram(161, 1, Kind.NACK, telegram.register)


def test_bits_are_set_cleared_and_toggled() -> None:
    basik = BasikModel(Wiring(Alone()))
    for kind, bits, expected in (
        (Kind.SET_BITS, 0x0106, 0x0106),
        (Kind.CLEAR_BITS, 0x0002, 0x0104),
        (Kind.TOGGLE_BITS, 0x0105, 0x0001),
    ):
        telegram = Telegram(1, 161, kind, 0x31, struct.pack("<H", bits))
        assert answer(basik, telegram).kind is Kind.ACK
        assert register(basik, 0x31) == struct.pack("<H", expected)


def test_a_damaged_request_is_answered_with_crcerr_and_another_address_not_at_all() -> None:
    basik = BasikModel(Wiring(Alone()))
    frame = bytearray(Telegram(1, 161, Kind.READ, 0x61).encoded())
    frame[-2] ^= 0x01
    (only,) = basik.execute(bytes(frame), 0)
    assert Telegram.decoded(only.octets) == Telegram(161, 1, Kind.CRC_ERROR, 0x61)
    assert basik.execute(Telegram(7, 161, Kind.READ, 0x61).encoded(), 0) == []
