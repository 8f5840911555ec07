"""The OZ Optics ODL-650: driver and emulator on a pseudo-terminal, and the emulator by its lines."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.faults import DeviceError, LinkTimeout, ProtocolFault
from bellwire.drivers.instrument import Backoff, Condition
from bellwire.drivers.odl650 import BACKLASH_STEPS, RANGE_PS, STEP_FS, Odl650, WithoutEmptyLines, ended
from bellwire.drivers.readings import Quality
from bellwire.drivers.roles import DelayLine
from bellwire.drivers.session import Session, SessionSettings, Transport
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.odl650_emulator import (
    ANSWER_S,
    DRIFT_STEPS,
    STEPS_MAX,
    STEPS_PER_S,
    Odl650Model,
    make,
)
from bellwire.simulator_backend.devices.odl650_emulator import BACKLASH_STEPS as PLAY_STEPS
from bellwire.simulator_backend.devices.surroundings import Alone, Wiring
from tests.drivers.conftest import eventually

QUICK = SessionSettings(timeout_s=0.2, quiet_s=0.0005)
RETRY = Backoff(first_s=0.01, longest_s=0.05, refused_s=0.05)
PACE = 0.001
SOMEWHERE = 12_000


@pytest.fixture
def table() -> Alone:
    return Alone()


@pytest.fixture
async def emulator(tmp_path: Path, table: Alone) -> AsyncIterator[InstrumentEmulator]:
    order = EmulatorOrder(name="delay", address=str(tmp_path / "delay"), wiring=Wiring(table), pace=PACE)
    odl = make(order)
    await odl.start()
    yield odl
    await odl.stop()


@pytest.fixture
async def driver(emulator: InstrumentEmulator, tmp_path: Path) -> AsyncIterator[Odl650]:
    odl = Odl650(
        "delay",
        str(tmp_path / "delay"),
        serial_number="ODL-1234",
        settings=QUICK,
        backoff=RETRY,
        probe_s=0.03,
        pace=PACE,
    )
    yield odl
    await odl.close()


def model_of(emulator: InstrumentEmulator) -> Odl650Model:
    assert isinstance(emulator.model, Odl650Model)
    return emulator.model


def orders(emulator: InstrumentEmulator) -> list[bytes]:
    return [logged.request for logged in emulator.log if logged.changes]


# -- driver -------------------------------------------------------------------------------------------------


def test_a_step_is_what_the_maker_says() -> None:
    """32768 steps for 5.08 mm of path; 0.155 um, 0.52 fs, and some 650 ps in all."""
    step_um = STEP_FS * 0.299_792_458
    assert step_um == pytest.approx(0.155, rel=1e-3)
    assert round(STEP_FS, 2) == 0.52
    assert RANGE_PS[1] == pytest.approx(650, abs=0.5)


async def test_connecting_moves_nothing_and_says_that_the_position_is_unknown(
    driver: Odl650, emulator: InstrumentEmulator, table: Alone
) -> None:
    identity = await driver.connect()
    assert (identity.model, identity.serial_number, identity.firmware) == ("ODL-650", "ODL-1234", "2.1")
    assert isinstance(driver, DelayLine)
    reading = await driver.read_parameter("delay_ps")
    assert isinstance(reading.value, float)
    assert math.isnan(reading.value)
    assert reading.quality is Quality.SUSPECT
    for refused in (driver.read_delay_ps(), driver.set_delay_ps(10.0)):
        with pytest.raises(DeviceError, match="home the line first"):
            await refused
    assert orders(emulator) == []
    assert table.values["delay_ps"] == pytest.approx(SOMEWHERE * STEP_FS / 1000)


async def test_after_homing_the_light_has_the_delay_that_was_set(driver: Odl650, table: Alone) -> None:
    await driver.connect()
    await driver.home()
    assert await driver.read_homed()
    assert (await driver.read_parameter("delay_ps")).quality is Quality.GOOD
    for delay_ps in (100.0, 649.9, 7.25):
        await driver.set_delay_ps(delay_ps)
        assert table.values["delay_ps"] == pytest.approx(delay_ps, abs=STEP_FS / 2000 + 1e-9)
        assert await driver.read_delay_ps() == pytest.approx(delay_ps, abs=STEP_FS / 2000 + 1e-9)


async def test_every_position_is_approached_from_below_also_the_least(
    driver: Odl650, emulator: InstrumentEmulator, table: Alone
) -> None:
    """Drawn back directly the carriage would lag by the play of the screw."""
    assert BACKLASH_STEPS > PLAY_STEPS
    await driver.connect()
    await driver.home()
    await driver.set_delay_ps(50.0)
    emulator.log.clear()
    await driver.set_delay_ps(RANGE_PS[0])
    assert orders(emulator) == [b"S0", b"S400"]
    assert table.values["delay_ps"] == pytest.approx(RANGE_PS[0], abs=1e-9)
    emulator.log.clear()
    await driver.set_delay_ps(1.0)
    assert orders(emulator) == [b"S1934"]


@pytest.mark.parametrize("delay_ps", [0.0, -1.0, 651.0, math.nan])
async def test_what_cannot_be_approached_is_refused_before_it_is_sent(
    driver: Odl650, emulator: InstrumentEmulator, delay_ps: float
) -> None:
    await driver.connect()
    await driver.home()
    asked = len(emulator.log)
    with pytest.raises(LocalMisuse, match=r"outside 0\.206\d* to 650\.\d+ ps"):
        await driver.set_delay_ps(delay_ps)
    assert len(emulator.log) == asked


async def test_a_long_move_may_take_longer_than_any_answer(
    driver: Odl650, emulator: InstrumentEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    await driver.connect()
    await driver.home()
    steps = 300_000 / STEP_FS
    monkeypatch.setattr(
        "bellwire.simulator_backend.devices.odl650_emulator.STEPS_PER_S",
        steps * PACE / (2 * QUICK.timeout_s),
    )
    await driver.set_delay_ps(300.0)
    await driver.home()
    emulator.set_fault(Fault.LATE_REPLY, delay_s=2 * QUICK.timeout_s, times=1)
    with pytest.raises(LinkTimeout):
        await driver.read_homed()


@pytest.mark.parametrize("echo", [False, True])
async def test_it_is_understood_with_and_without_its_echo(
    driver: Odl650, emulator: InstrumentEmulator, echo: bool
) -> None:
    model_of(emulator).echo = echo
    await driver.connect()
    await driver.home()
    await driver.set_delay_ps(3.0)
    assert await driver.read_delay_ps() == pytest.approx(3.0, abs=1e-3)


@pytest.mark.parametrize("ending", [b"", b"\r\n", b"\r\n\r\n"])
async def test_it_does_not_matter_what_ends_the_line_of_done(
    driver: Odl650, monkeypatch: pytest.MonkeyPatch, ending: bytes
) -> None:
    """No public source tells; the end may even come while the next question is being asked."""
    monkeypatch.setattr(Odl650Model, "terminator", ending)
    await driver.connect()
    await driver.home()
    for _ in range(20):
        assert await driver.read_homed()


class Piecewise(Transport):
    """A line from which one piece after the other comes, whatever is asked."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)

    def open(self, timeout_s: float) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def write(self, octets: bytes) -> None:
        """Nothing to do."""

    def read_some(self, timeout_s: float) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""


async def test_an_end_of_line_that_comes_behind_its_reply_is_no_stray() -> None:
    line = Piecewise(
        b"", b"S?\r\nPos:7\r\nDone", b"\r\n", b"\r", b"\n", b"", b"\r\n", b"", b"S?\r\nPos:8\r\nDone"
    )
    session = Session("delay", WithoutEmptyLines(line), QUICK)
    await session.open()
    assert await session.exchange(b"S?\r\n", ended) == b"S?\r\nPos:7\r\nDone"
    assert await session.exchange(b"S?\r\n", ended) == b"S?\r\nPos:8\r\nDone"
    await session.close()


async def test_a_line_that_sends_nothing_but_ends_of_lines_is_not_listened_to_for_ever() -> None:
    line = Piecewise(*[b"\r\n"] * 100)
    session = Session("delay", WithoutEmptyLines(line), QUICK)
    await session.open()
    with pytest.raises(ProtocolFault, match="unsolicited bytes"):
        await session.exchange(b"S?\r\n", ended)
    await session.close()


async def test_a_refusal_is_told_at_once_and_leaves_the_line_in_step(
    driver: Odl650, emulator: InstrumentEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    await driver.connect()
    await driver.home()
    monkeypatch.setattr("bellwire.simulator_backend.devices.odl650_emulator.STEPS_MAX", 100_000)
    with pytest.raises(DeviceError, match=r"'S193\d+' refused: Error-6 \(overflow\)"):
        await driver.set_delay_ps(100.0)
    assert await driver.read_homed()


async def test_a_line_that_does_not_move_is_told(driver: Odl650, emulator: InstrumentEmulator) -> None:
    await driver.connect()
    emulator.set_fault(Fault.IGNORED_SET)
    with pytest.raises(DeviceError, match="homing ended, but the position is still unknown"):
        await driver.home()
    emulator.clear_fault()
    await driver.home()
    emulator.set_fault(Fault.IGNORED_SET)
    with pytest.raises(DeviceError, match="position in steps was set to 19338 but reads 0"):
        await driver.set_delay_ps(10.0)


async def test_the_second_of_two_replies_is_not_kept_for_the_next_question(
    driver: Odl650, emulator: InstrumentEmulator
) -> None:
    await driver.connect()
    emulator.set_fault(Fault.DOUBLE_REPLY, times=1)
    with pytest.raises(ProtocolFault, match="more than one reply"):
        await driver.read_homed()


async def test_a_power_cycle_is_followed_by_homing_only_where_a_delay_was_wished_for(
    driver: Odl650, emulator: InstrumentEmulator, table: Alone
) -> None:
    task = asyncio.create_task(driver.supervise())
    await driver.wait_for(Condition.READY, 5)
    await emulator.power_cycle()
    await eventually(lambda: driver.state.condition is not Condition.READY, "the loss")
    await driver.wait_for(Condition.READY, 5)
    assert orders(emulator) == []
    await driver.configure({"delay_ps": 20.0})
    assert orders(emulator) == [b"FH", b"S38676"]
    emulator.log.clear()
    await emulator.power_cycle()
    await eventually(lambda: abs(table.values["delay_ps"] - 20.0) < 1e-3, "the delay again")
    assert orders(emulator) == [b"FH", b"S38676"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_safe_state_stops_and_looks_whether_it_stands(
    driver: Odl650, emulator: InstrumentEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    await driver.connect()
    await driver.home()
    await driver.safe_state()
    assert orders(emulator)[-1] == b"G0"
    moving = iter(range(1000))
    monkeypatch.setattr(
        Odl650Model,
        "_content",
        lambda self, command, now_ns: f"Pos:{next(moving)}" if command == "S?" else "",
    )
    with pytest.raises(DeviceError, match="standing still"):
        await driver.safe_state()


@given(st.sampled_from(["V1\r\n", "\r\n", ""]), st.sampled_from(["Done", "Error-2\r"]), st.data())
@settings(derandomize=True, deadline=None)
def test_a_reply_ends_at_its_last_word_however_it_is_cut(
    before: str, end: str, choice: st.DataObject
) -> None:
    whole = f"{before}{'ODL650V2.1_MC' + chr(13) + chr(10) if end == 'Done' else ''}{end}".encode()
    cut = choice.draw(st.integers(0, len(whole) - 1))
    assert ended(whole[:cut]) is None
    expected = (whole.removesuffix(b"\r"), b"")
    assert ended(whole) == expected
    assert ended(whole + b"\n\r\n") == expected


# -- emulator -----------------------------------------------------------------------------------------------


def line_at(table: Alone, somewhere: int = SOMEWHERE) -> Odl650Model:
    odl = Odl650Model(Wiring(table), "ODL-1234", somewhere)
    odl.power_on(0)
    return odl


def test_replies_are_as_the_public_driver_takes_them_apart() -> None:
    """Up to Done; name, number and date stand in the second line, the position behind its colon."""
    odl = line_at(Alone())
    told = {question: odl.execute(question.encode(), 0)[0].octets.decode() for question in ("V1", "V2", "S?")}
    assert told["V1"].split("Done")[0].split("\r\n")[1].split("V")[0] == "ODL650"
    assert told["V2"].split("Done")[0].split("\r\n")[1] == "ODL-1234"
    assert "UNKNOWN" in told["S?"]
    odl.execute(b"FH", 0)
    odl.execute(b"S4321", 0)
    position = odl.execute(b"S?", 0)[0].octets.decode()
    assert int(position.split("Done")[0].split(":")[1]) == 4321


@pytest.mark.parametrize("request_line", [b"S100", b"GF", b"S1257001", b"NONSENSE", b"S-5"])
def test_what_it_refuses_ends_in_an_error_and_moves_nothing(request_line: bytes) -> None:
    table = Alone()
    odl = line_at(table)
    if request_line != b"S100" and request_line != b"GF":
        odl.execute(b"FH", 0)
    before = dict(table.values)
    octets = odl.execute(request_line, 0)[0].octets
    assert b"Error-" in octets
    assert b"Done" not in octets
    assert table.values == before


def test_a_move_takes_its_time_and_the_carriage_lags_when_drawn_back() -> None:
    table = Alone()
    odl = line_at(table)
    assert odl.execute(b"FH", 0)[0].after_s == pytest.approx(ANSWER_S + SOMEWHERE / STEPS_PER_S)
    odl.execute(b"S60000", 0)
    assert odl.execute(b"S30000", 0)[0].after_s == pytest.approx(ANSWER_S + 30_000 / STEPS_PER_S)
    assert table.values["delay_ps"] == pytest.approx((30_000 + PLAY_STEPS) * STEP_FS / 1000)
    odl.execute(b"S30100", 0)  # within the play nothing moves
    assert table.values["delay_ps"] == pytest.approx((30_000 + PLAY_STEPS) * STEP_FS / 1000)
    odl.execute(b"GF", 0)
    assert odl.steps == STEPS_MAX
    assert table.values["delay_ps"] == pytest.approx(650, abs=0.5)


def test_a_slipping_belt_is_not_known_to_the_controller() -> None:
    table = Alone()
    odl = line_at(table)
    odl.execute(b"FH", 0)
    odl.afflict(Fault.DRIFT, True, 0)
    odl.execute(b"S1000", 0)
    assert odl.steps == 1000
    assert table.values["delay_ps"] == pytest.approx((1000 + DRIFT_STEPS) * STEP_FS / 1000)
    odl.afflict(Fault.DRIFT, False, 0)
    odl.execute(b"FH", 0)
    assert table.values["delay_ps"] == 0.0
    with pytest.raises(LocalMisuse, match="no interlock"):
        odl.afflict(Fault.INTERLOCK, True, 0)
