"""Each fault of an emulated instrument is really on the wire, and what it did is what it says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bellwire.core.errors import LocalMisuse
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.lines import TcpLine
from tests.simulator_backend.devices.lamps import LONG_S, SHORT_S, Caller, Lamp, call, call_again


@pytest.fixture
async def emulator() -> AsyncIterator[InstrumentEmulator]:
    lamp = InstrumentEmulator("lamp", Lamp, [TcpLine()])
    await lamp.start()
    yield lamp
    await lamp.stop()


@pytest.fixture
async def caller(emulator: InstrumentEmulator) -> AsyncIterator[Caller]:
    one = await call(emulator)
    yield one
    one.writer.close()


@pytest.mark.parametrize(
    ("fault", "heard"),
    [
        (Fault.HALF_REPLY, b"level is 3\r\n"[:6]),
        (Fault.DOUBLE_REPLY, b"level is 3\r\nlevel is 3\r\n"),
        (Fault.UNSOLICITED, b"ding\r\nlevel is 3\r\n"),
        (Fault.DROPPED_BYTE, b"level s 3\r\n"),
        (Fault.BAD_CRC, b"level hs 3\r\n"),
        (Fault.SILENT, b""),
        (Fault.LOST_FRAME, b""),
    ],
)
async def test_a_fault_is_on_the_wire_once_and_gone(
    emulator: InstrumentEmulator, caller: Caller, fault: Fault, heard: bytes
) -> None:
    emulator.set_fault(fault, times=1)
    caller.say(b"level?\r\n")
    assert await caller.whatever_comes() == heard
    assert await caller.ask() == b"level is 3\r\n"


async def test_garbage_is_as_long_as_the_reply_and_none_of_it(
    emulator: InstrumentEmulator, caller: Caller
) -> None:
    emulator.set_fault(Fault.GARBAGE, times=1)
    caller.say(b"level?\r\n")
    heard = await caller.whatever_comes()
    assert len(heard) == len(b"level is 3\r\n")
    assert heard != b"level is 3\r\n"
    assert b"\n" not in heard


async def test_a_late_reply_comes_and_holds_the_next_one_up(
    emulator: InstrumentEmulator, caller: Caller
) -> None:
    emulator.set_fault(Fault.LATE_REPLY, delay_s=2 * SHORT_S, times=1)
    caller.say(b"level?\r\n")
    assert await caller.whatever_comes() == b""
    caller.say(b"level 8\r\nlevel?\r\n")
    assert [await caller.line(), await caller.line()] == [b"level is 3\r\n", b"level is 8\r\n"]


async def test_a_hanging_device_answers_everything_afterwards_with_what_is_true_then(
    emulator: InstrumentEmulator, caller: Caller
) -> None:
    emulator.set_fault(Fault.HANG, delay_s=2 * SHORT_S, times=1)
    caller.say(b"level?\r\nlevel 4\r\nlevel?\r\n")
    assert await caller.whatever_comes() == b""
    assert [await caller.line(), await caller.line()] == [b"level is 3\r\n", b"level is 4\r\n"]


@pytest.mark.parametrize("order", [b"level 9", b"ok 9"])
async def test_an_ignored_set_is_acknowledged_as_if_it_were_done(
    emulator: InstrumentEmulator, caller: Caller, order: bytes
) -> None:
    emulator.set_fault(Fault.IGNORED_SET)
    caller.say(order + b"\r\nlevel?\r\n")
    if order.startswith(b"ok"):
        assert await caller.line() == b"done\r\n"
    assert await caller.line() == b"level is 3\r\n"
    emulator.clear_fault(Fault.IGNORED_SET)
    caller.say(order + b"\r\nlevel?\r\n")
    if order.startswith(b"ok"):
        assert await caller.line() == b"done\r\n"
    assert await caller.line() == b"level is 9\r\n"


async def test_a_lost_request_is_not_carried_out_and_not_in_the_log(
    emulator: InstrumentEmulator, caller: Caller
) -> None:
    emulator.set_fault(Fault.LOST_FRAME, times=1)
    caller.say(b"level 9\r\nlevel?\r\n")
    assert await caller.line() == b"level is 3\r\n"
    assert [one.request for one in emulator.log] == [b"level?"]


async def test_a_silent_device_carries_out_what_it_does_not_answer(
    emulator: InstrumentEmulator, caller: Caller
) -> None:
    emulator.set_fault(Fault.SILENT)
    caller.say(b"ok 6\r\n")
    assert await caller.whatever_comes() == b""
    emulator.clear_fault()
    assert await caller.ask() == b"level is 6\r\n"


async def test_a_restart_forgets_before_it_answers(emulator: InstrumentEmulator, caller: Caller) -> None:
    caller.say(b"level 9\r\n")
    assert await caller.ask() == b"level is 9\r\n"
    emulator.set_fault(Fault.RESTART, times=1)
    assert await caller.ask() == b"level is 3\r\n"


async def test_an_ended_connection_is_an_end_of_stream_or_a_reset(emulator: InstrumentEmulator) -> None:
    first = await call(emulator)
    emulator.set_fault(Fault.FIN, times=1)
    first.say(b"level?\r\n")
    assert await asyncio.wait_for(first.reader.read(), LONG_S) == b""
    second = await call(emulator)
    emulator.set_fault(Fault.RST, times=1)
    second.say(b"level?\r\n")
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(second.reader.read(), LONG_S)
    third = await call(emulator)
    assert await third.ask() == b"level is 3\r\n"
    for one in (first, second, third):
        one.writer.close()


async def test_a_refused_port_is_refused_until_it_is_cleared(
    emulator: InstrumentEmulator, caller: Caller
) -> None:
    emulator.set_fault(Fault.REFUSED)
    with pytest.raises(ConnectionError):
        await caller.whatever_comes()
    with pytest.raises(ConnectionRefusedError):
        await call(emulator)
    emulator.clear_fault()
    again = await call_again(emulator)
    assert await again.ask() == b"level is 3\r\n"
    again.writer.close()


async def test_a_fault_of_the_device_outlives_its_restart_and_ends_when_cleared(
    emulator: InstrumentEmulator, caller: Caller
) -> None:
    emulator.set_fault(Fault.DRIFT)
    assert await caller.ask() == b"hot\r\n"
    emulator.set_fault(Fault.RESTART, times=1)
    assert await caller.ask() == b"hot\r\n"
    emulator.clear_fault(Fault.DRIFT)
    assert await caller.ask() == b"level is 3\r\n"


async def test_a_fault_that_the_device_cannot_have_is_refused_and_stays_off(
    emulator: InstrumentEmulator, caller: Caller
) -> None:
    with pytest.raises(LocalMisuse, match="a lamp has no overflow"):
        emulator.set_fault(Fault.OVERFLOW)
    assert not emulator.faults.is_on(Fault.OVERFLOW)
    await emulator.power_cycle()  # nor does it come back with the power
    assert emulator.model is not None


async def test_a_rate_strikes_that_share_of_occasions(emulator: InstrumentEmulator, caller: Caller) -> None:
    """400 requests at a rate of 0.3 with a fixed seed: 120 lost, within 5 standard errors (9.2 each)."""
    emulator.set_fault(Fault.LOST_FRAME, rate=0.3)
    caller.say(b"level?\r\n" * 400)
    heard = 0
    while piece := await caller.whatever_comes():
        heard += piece.count(b"\r\n")
    assert abs((400 - heard) - 120) < 46
