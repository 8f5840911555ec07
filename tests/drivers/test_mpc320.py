"""The Thorlabs MPC320: driver and emulator on a pseudo-terminal, and the emulator by its bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.apt_words import (
    ENABLED,
    AptMessage,
    Id,
    MoveTo,
    PaddleParameters,
    PaddleStatus,
    StatusBit,
    messages,
)
from bellwire.drivers.faults import DeviceError, Disconnected, IdentityRefused, LinkTimeout, ProtocolFault
from bellwire.drivers.instrument import Backoff, Condition
from bellwire.drivers.mpc320 import DEG_PER_COUNT, Mpc320
from bellwire.drivers.roles import PolarizationController
from bellwire.drivers.session import SessionSettings
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.mpc320_emulator import Mpc320Model, Paddles, make, maker
from bellwire.simulator_backend.devices.surroundings import Alone, Wiring
from tests.drivers.conftest import eventually

QUICK = SessionSettings(timeout_s=0.15, quiet_s=0.0005)
RETRY = Backoff(first_s=0.01, longest_s=0.05, refused_s=0.05)
PACE = 0.05
S = 10**9


def order_of(tmp_path: Path, table: Alone, pace: float = PACE) -> EmulatorOrder:
    return EmulatorOrder(name="mpc", address=str(tmp_path / "mpc"), wiring=Wiring(table), pace=pace)


@pytest.fixture
def table() -> Alone:
    return Alone()


@pytest.fixture
async def emulator(tmp_path: Path, table: Alone) -> AsyncIterator[InstrumentEmulator]:
    mpc = make(order_of(tmp_path, table))
    await mpc.start()
    yield mpc
    await mpc.stop()


@pytest.fixture
async def driver(emulator: InstrumentEmulator, tmp_path: Path) -> AsyncIterator[Mpc320]:
    mpc = driver_at(tmp_path)
    yield mpc
    await mpc.close()


def driver_at(tmp_path: Path, serial_number: str | None = "38000001", pace: float = PACE) -> Mpc320:
    return Mpc320(
        "mpc",
        str(tmp_path / "mpc"),
        serial_number=serial_number,
        settings=QUICK,
        backoff=RETRY,
        probe_s=0.03,
        pace=pace,
    )


def model_of(emulator: InstrumentEmulator) -> Mpc320Model:
    assert isinstance(emulator.model, Mpc320Model)
    return emulator.model


def ids(emulator: InstrumentEmulator) -> list[Id]:
    return [messages(logged.request)[0][0].message_id for logged in emulator.log]


# -- driver -------------------------------------------------------------------------------------------------


async def test_paddles_turn_to_their_angles_and_the_world_feels_it(driver: Mpc320, table: Alone) -> None:
    identity = await driver.connect()
    assert (identity.model, identity.serial_number, identity.firmware) == ("MPC320", "38000001", "1.0.4")
    assert isinstance(driver, PolarizationController)
    for paddle, angle_deg in ((1, 0.0), (2, 170.0), (3, 45.0)):
        await driver.set_angle_deg(paddle, angle_deg)
        counts = round(angle_deg * 1370 / 170)
        assert await driver.read_angle_deg(paddle) == pytest.approx(counts * 170 / 1370, abs=1e-9)
        assert table.values[f"angle_deg.{paddle}"] == pytest.approx(counts * 170 / 1370, abs=1e-9)


async def test_a_channel_is_enabled_while_it_moves_and_none_at_rest(
    driver: Mpc320, emulator: InstrumentEmulator
) -> None:
    await driver.connect()
    await driver.set_angle_deg(2, 100.0)
    sent = [messages(logged.request)[0][0] for logged in emulator.log if logged.changes]
    assert [(one.message_id, one.parameter_1) for one in sent if one.data is None] == [
        (Id.SET_CHANENABLESTATE, 2),
        (Id.SET_CHANENABLESTATE, 0),
    ]
    assert model_of(emulator).enabled_mask == 0


@pytest.mark.parametrize("long_completed", [False, True])
async def test_both_forms_of_move_completed_and_status_updates_disturb_nothing(
    tmp_path: Path, table: Alone, long_completed: bool
) -> None:
    order = order_of(tmp_path, table)
    emulator = InstrumentEmulator(
        "mpc", maker(order, long_completed=long_completed), [order.terminal()], pace=PACE
    )
    await emulator.start()
    driver = driver_at(tmp_path)
    await driver.connect()
    await driver._line().send(AptMessage(Id.HW_START_UPDATEMSGS).encoded())
    for angle_deg in (10.0, 90.0, 20.0):
        await driver.set_angle_deg(1, angle_deg)
        assert await driver.read_angle_deg(1) == pytest.approx(angle_deg, abs=DEG_PER_COUNT / 2)
        assert await driver.read_velocity_percent() == 50
    assert driver.unasked_messages >= 3
    await driver.close()
    await emulator.stop()


async def test_homing_goes_where_home_was_set(driver: Mpc320, table: Alone) -> None:
    await driver.connect()
    await driver.set_home_angle_deg(30.0)
    await driver.home()
    for paddle in driver.paddles:
        assert await driver.read_angle_deg(paddle) == pytest.approx(30.0, abs=DEG_PER_COUNT / 2)
        assert table.values[f"angle_deg.{paddle}"] == pytest.approx(30.0, abs=DEG_PER_COUNT / 2)


async def test_setting_the_velocity_keeps_home_and_jog_steps(
    driver: Mpc320, emulator: InstrumentEmulator
) -> None:
    model_of(emulator).parameters = PaddleParameters(50, 123, (7, 8, 9))
    await driver.connect()
    await driver.set_velocity_percent(80)
    assert model_of(emulator).parameters == PaddleParameters(80, 123, (7, 8, 9))


async def test_without_a_connection_nothing_is_read_moved_or_made_safe(tmp_path: Path) -> None:
    driver = driver_at(tmp_path)
    for work in (driver.read_angle_deg(1), driver.set_angle_deg(1, 5.0), driver.home(), driver.safe_state()):
        with pytest.raises(Disconnected, match="not connected"):
            await work


@pytest.mark.parametrize("angle_deg", [-0.1, 170.1])
async def test_an_angle_out_of_range_is_refused_before_it_is_sent(
    driver: Mpc320, emulator: InstrumentEmulator, angle_deg: float
) -> None:
    await driver.connect()
    with pytest.raises(LocalMisuse, match="outside 0 to 170"):
        await driver.set_angle_deg(1, angle_deg)
    with pytest.raises(LocalMisuse, match="paddle 4"):
        await driver.set_angle_deg(4, 10.0)
    with pytest.raises(LocalMisuse, match="outside 10 to 100"):
        await driver.set_velocity_percent(9)
    assert not [logged for logged in emulator.log if logged.changes]


async def test_a_move_that_is_ignored_is_told(driver: Mpc320, emulator: InstrumentEmulator) -> None:
    await driver.connect()
    real = emulator.model
    assert real is not None
    model_of(emulator)._set_in_motion = lambda message: None  # type: ignore[method-assign]
    with pytest.raises(DeviceError, match=r"paddle 1 rests at 85\.00 deg, not 19\.98 deg"):
        await driver.set_angle_deg(1, 20.0)
    assert driver.state.condition is Condition.READY
    assert model_of(emulator).enabled_mask == 0


async def test_settings_and_channels_that_are_ignored_are_told(
    driver: Mpc320, emulator: InstrumentEmulator
) -> None:
    await driver.connect()
    emulator.set_fault(Fault.IGNORED_SET)
    with pytest.raises(DeviceError, match="velocity, home and jog steps"):
        await driver.set_velocity_percent(90)
    with pytest.raises(DeviceError, match="channel 1 does not become enabled"):
        await driver.set_angle_deg(1, 20.0)


async def test_a_position_that_cannot_be_puts_the_line_out_of_step(
    driver: Mpc320, emulator: InstrumentEmulator
) -> None:
    await driver.connect()
    emulator.set_fault(Fault.BAD_CRC, times=1)
    with pytest.raises(ProtocolFault, match=r"a paddle at -?\d+ counts"):
        await driver.read_angle_deg(1)
    await driver.close()
    await driver.connect()
    assert await driver.read_angle_deg(1) == pytest.approx(85.0)


async def test_garbage_is_no_message_and_opening_again_drains_it(
    driver: Mpc320, emulator: InstrumentEmulator
) -> None:
    await driver.connect()
    emulator.set_fault(Fault.GARBAGE, times=1)
    with pytest.raises(ProtocolFault, match="no message id"):
        await driver.read_angle_deg(1)
    await driver.close()
    await driver.connect()
    assert await driver.read_angle_deg(1) == pytest.approx(85.0)


async def test_a_late_status_is_not_taken_for_the_parameters(
    driver: Mpc320, emulator: InstrumentEmulator
) -> None:
    await driver.connect()
    emulator.set_fault(Fault.LATE_REPLY, delay_s=0.2, times=1)
    with pytest.raises(LinkTimeout):
        await driver.read_angle_deg(1)
    await driver.close()
    await driver.connect()
    await asyncio.sleep(0.1)
    assert await driver.read_velocity_percent() == 50
    assert await driver.read_angle_deg(1) == pytest.approx(85.0)


async def test_a_status_of_another_paddle_is_not_taken_for_the_one_that_was_asked_for(
    driver: Mpc320, emulator: InstrumentEmulator
) -> None:
    model_of(emulator)._paddles.positions[:] = [100.0, 200.0, 300.0]
    await driver.connect()
    emulator.set_fault(Fault.UNSOLICITED)  # each time the status of paddle 1 first
    for paddle in (3, 2, 1, 2, 3):
        assert await driver.read_angle_deg(paddle) == pytest.approx(100 * paddle * DEG_PER_COUNT)
    assert driver.unasked_messages >= 4


async def test_safe_state_waits_until_a_paddle_that_coasts_rests(
    driver: Mpc320, emulator: InstrumentEmulator
) -> None:
    await driver.connect()
    model = model_of(emulator)
    model.parameters = PaddleParameters(10, 685, (1, 1, 1))
    await driver._line().send(AptMessage(Id.SET_CHANENABLESTATE, 4, ENABLED).encoded())
    await driver._line().send(AptMessage(Id.MOVE_ABSOLUTE, data=MoveTo(4, 0).encoded()).encoded())
    await eventually(lambda: bool(model._motions), "the paddle moves")

    def coast(mask: int, state: int) -> None:
        model.enabled_mask = mask

    model._enable = coast  # type: ignore[method-assign]
    await driver.safe_state()
    assert not model._motions
    assert model._paddles.positions[2] == 0


async def test_safe_state_stops_what_moves_and_disables_all_channels(
    driver: Mpc320, emulator: InstrumentEmulator
) -> None:
    await driver.connect()
    model = model_of(emulator)
    model.parameters = PaddleParameters(1, 685, (1, 1, 1))  # it would take a second
    await driver._line().send(AptMessage(Id.SET_CHANENABLESTATE, 4, ENABLED).encoded())
    await driver._line().send(AptMessage(Id.MOVE_ABSOLUTE, data=MoveTo(4, 0).encoded()).encoded())
    await eventually(lambda: bool(model._motions), "the paddle moves")
    await driver.safe_state()
    assert not model._motions
    assert model.enabled_mask == 0
    assert model._paddles.positions[2] > 0


async def test_what_a_restart_forgot_is_asserted_again(driver: Mpc320, emulator: InstrumentEmulator) -> None:
    await driver.configure({"velocity_percent": 100, "angle_deg.1": 40.0})
    task = asyncio.create_task(driver.supervise())
    await driver.wait_for(Condition.READY, 5)
    assert model_of(emulator).parameters.velocity_percent == 100
    emulator.set_fault(Fault.RESTART, times=1)
    before = emulator.model
    await eventually(lambda: emulator.model is not before, "the restart")
    await eventually(lambda: model_of(emulator).parameters.velocity_percent == 100, "the velocity again")
    await driver.wait_for(Condition.READY, 5)
    assert await driver.read_angle_deg(1) == pytest.approx(40.0, abs=DEG_PER_COUNT / 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_paddle_that_somebody_turned_by_hand_is_turned_back(
    driver: Mpc320, emulator: InstrumentEmulator
) -> None:
    await driver.configure({"angle_deg.2": 60.0})
    task = asyncio.create_task(driver.supervise())
    await driver.wait_for(Condition.READY, 5)
    positions = model_of(emulator)._paddles.positions
    positions[1] = 100.0
    await eventually(lambda: positions[1] == round(60 * 1370 / 170), "the paddle back")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_another_controller_is_refused_and_connecting_only_asks(
    emulator: InstrumentEmulator, tmp_path: Path
) -> None:
    other = driver_at(tmp_path, serial_number="38000002")
    with pytest.raises(IdentityRefused, match="38000002"):
        await other.connect()
    assert ids(emulator) == [Id.HW_REQ_INFO]


# -- emulator -----------------------------------------------------------------------------------------------


def model(pace: float = 1.0) -> Mpc320Model:
    return Mpc320Model(Wiring(Alone()), Paddles(), pace=pace)


def said(model: Mpc320Model, message: AptMessage, now_ns: int) -> list[AptMessage]:
    octets = b"".join(answer.octets for answer in model.execute(message.encoded(), now_ns))
    return messages(octets)[0]


def status(model: Mpc320Model, mask: int, now_ns: int) -> PaddleStatus:
    last = said(model, AptMessage(Id.REQ_USTATUSUPDATE, mask), now_ns)[-1]
    assert last.data is not None
    return PaddleStatus.decoded(last.data)


@pytest.mark.parametrize("percent", [10, 50, 100])
def test_a_paddle_turns_at_its_share_of_400_degrees_per_second(percent: int) -> None:
    mpc = model()
    said(mpc, AptMessage(Id.POL_SET_PARAMS, data=PaddleParameters(percent, 0, (1, 1, 1)).encoded()), 0)
    said(mpc, AptMessage(Id.SET_CHANENABLESTATE, 1, ENABLED), 0)
    said(mpc, AptMessage(Id.MOVE_ABSOLUTE, data=MoveTo(1, 0).encoded()), 0)
    turned_deg = 400 * percent / 100 * 0.1
    now = status(mpc, 1, S // 10)
    assert now.position * DEG_PER_COUNT == pytest.approx(85 - turned_deg, abs=DEG_PER_COUNT / 2 + 1e-9)
    assert now.velocity == -percent
    assert StatusBit.MOVING_REVERSE in now.bits
    ended = said(mpc, AptMessage(Id.ACK_USTATUSUPDATE), 3 * S)
    assert [one.message_id for one in ended] == [Id.MOVE_COMPLETED]
    assert (status(mpc, 1, 4 * S).position, status(mpc, 1, 5 * S).velocity) == (0, 0)


def test_enabling_one_channel_disables_the_others_and_stops_them() -> None:
    mpc = model()
    said(mpc, AptMessage(Id.SET_CHANENABLESTATE, 0b011, ENABLED), 0)
    for mask in (1, 2):
        said(mpc, AptMessage(Id.MOVE_ABSOLUTE, data=MoveTo(mask, 0).encoded()), 0)
    said(mpc, AptMessage(Id.SET_CHANENABLESTATE, 0b010, ENABLED), S // 100)
    first, second = status(mpc, 1, S // 10), status(mpc, 2, S // 10)
    assert (StatusBit.ENABLED in first.bits, StatusBit.ENABLED in second.bits) == (False, True)
    assert (first.velocity, second.velocity) == (0, -50)


def test_a_channel_that_is_not_enabled_stays_where_it_is_and_nobody_says_so() -> None:
    mpc = model()
    assert said(mpc, AptMessage(Id.MOVE_ABSOLUTE, data=MoveTo(1, 0).encoded()), 0) == []
    assert status(mpc, 1, S).position == 685


def test_of_two_polls_within_10_ms_the_second_stays_unanswered() -> None:
    mpc = model()
    poll = AptMessage(Id.REQ_USTATUSUPDATE, 1)
    assert len(said(mpc, poll, 0)) == 1
    assert said(mpc, poll, 9_999_999) == []
    assert len(said(mpc, poll, 20_000_000)) == 1
    assert len(said(mpc, AptMessage(Id.REQ_USTATUSUPDATE, 2), 20_000_001)) == 1


def test_updates_come_ten_times_a_second_until_nobody_acknowledges() -> None:
    mpc = model()
    said(mpc, AptMessage(Id.HW_START_UPDATEMSGS), 0)
    told = [len(mpc.tick(k * S // 20)) for k in range(1, 241)]
    assert set(told) == {0, 3}
    assert sum(told) == 3 * 50
    said(mpc, AptMessage(Id.ACK_USTATUSUPDATE), 13 * S)
    assert len(mpc.tick(14 * S)) == 3


def test_noise_is_drained_and_the_next_message_is_heard() -> None:
    mpc = model()
    buffer = bytearray(b"\xff\xff noise")
    assert mpc.split(buffer) == []
    assert buffer == b""
    buffer += AptMessage(Id.HW_REQ_INFO).encoded()
    assert len(mpc.split(buffer)) == 1


async def test_the_driver_keeps_ten_milliseconds_between_two_polls(tmp_path: Path, table: Alone) -> None:
    emulator = make(order_of(tmp_path, table, pace=1.0))
    await emulator.start()
    driver = driver_at(tmp_path, pace=1.0)
    await driver.connect()
    for _ in range(4):
        assert await driver.read_angle_deg(1) == pytest.approx(85.0)
    await driver.close()
    await emulator.stop()
