"""The base of emulators, met by plain sockets: power, log, pace, faces, and the lines it can have."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import zmq
import zmq.asyncio

from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.instrument_emulator import (
    REQUESTS_LOGGED,
    REQUESTS_WAITING_MAX,
    InstrumentEmulator,
)
from bellwire.simulator_backend.devices.lines import TcpLine, TerminalLine, ZmqReplyLine
from tests.simulator_backend.devices.lamps import LONG_S, SHORT_S, Caller, Lamp, TwoFaced, call


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


def lamp_of(emulator: InstrumentEmulator) -> Any:
    return emulator.model


# -- power, log, pace ---------------------------------------------------------------------------------------


async def test_power_off_resets_connections_and_power_on_brings_the_defaults_back(
    emulator: InstrumentEmulator, caller: Caller
) -> None:
    caller.say(b"level 9\r\n")
    assert await caller.ask() == b"level is 9\r\n"
    before = lamp_of(emulator)
    await emulator.power_cycle()
    assert before.powered == [True, False]
    with pytest.raises(ConnectionError):
        await caller.whatever_comes()
    again = await call(emulator)  # at the same port
    assert await again.ask() == b"level is 3\r\n"
    again.writer.close()


async def test_without_power_nobody_is_served_and_starting_twice_is_harmless(
    emulator: InstrumentEmulator,
) -> None:
    model = emulator.model
    await emulator.start()
    assert emulator.model is model
    await emulator.stop()
    await emulator.stop()
    with pytest.raises(ConnectionRefusedError):
        await call(emulator)


async def test_the_log_tells_queries_from_changes_in_their_order(
    emulator: InstrumentEmulator, caller: Caller
) -> None:
    caller.say(b"level 5\r\nlevel?\r\n")
    await caller.line()
    assert [(one.request, one.changes, one.line) for one in emulator.log] == [
        (b"level 5", True, 0),
        (b"level?", False, 0),
    ]
    assert emulator.log[0].at_ns <= emulator.log[1].at_ns
    assert emulator.log.maxlen == REQUESTS_LOGGED


async def test_requests_in_pieces_and_in_one_piece_are_the_same(caller: Caller) -> None:
    for octet in b"lev", b"el 7\r", b"\nlev", b"el?\r\n":
        caller.say(octet)
        await asyncio.sleep(0)
    assert await caller.line() == b"level is 7\r\n"


async def test_the_delay_of_an_answer_follows_the_pace() -> None:
    quick = InstrumentEmulator("lamp", Lamp, [TcpLine()], pace=0.0)
    slow = InstrumentEmulator("lamp", Lamp, [TcpLine()], pace=1.0)
    await quick.start()
    await slow.start()
    callers = [await call(quick), await call(slow)]
    asked = [asyncio.create_task(one.ask(b"slow?")) for one in callers]
    done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    assert done == {asked[0]}  # half a second is far off
    assert await asked[1] == b"level is 3\r\n"
    for one in callers:
        one.writer.close()
    await quick.stop()
    await slow.stop()


async def test_an_overlong_request_is_dropped_as_the_device_drops_it(
    emulator: InstrumentEmulator, caller: Caller
) -> None:
    caller.say(b"x" * 600)
    assert await caller.whatever_comes() == b""
    assert lamp_of(emulator).overlong_lines == 1
    assert await caller.ask() == b"level is 3\r\n"


async def test_the_input_buffer_of_a_device_is_finite(emulator: InstrumentEmulator, caller: Caller) -> None:
    emulator.set_fault(Fault.HANG, delay_s=2 * SHORT_S, times=1)
    caller.say(b"level?\r\n" * 3 * REQUESTS_WAITING_MAX)
    heard = await caller.line()
    while more := await caller.whatever_comes():
        heard += more
    answered = heard.count(b"\r\n")
    assert REQUESTS_WAITING_MAX <= answered <= REQUESTS_WAITING_MAX + 1  # one may have left the buffer


# -- lines --------------------------------------------------------------------------------------------------


async def test_each_port_of_a_device_has_its_own_dialect_and_what_it_says_by_itself() -> None:
    emulator = InstrumentEmulator("lamp", TwoFaced, [TcpLine(), TcpLine()])
    await emulator.start()
    control, news = await call(emulator), await call(emulator, 1)
    assert await news.line() == b"lamp at your service\r\n"
    assert await news.line() == b"3\r\n"
    control.say(b"level 8\r\n")
    for _ in range(200):
        if await news.line() == b"8\r\n":
            break
    else:
        raise AssertionError("the news did not come")
    news.say(b"hello\r\n")
    while await news.line() != b"what?\r\n":
        pass
    assert [(one.request, one.line) for one in emulator.log] == [(b"level 8", 0), (b"hello", 1)]
    for one in (control, news):
        one.writer.close()
    await emulator.stop()


async def test_a_client_gets_its_own_answers_and_nobody_elses(emulator: InstrumentEmulator) -> None:
    first, second = await call(emulator), await call(emulator)
    first.say(b"level 1\r\nlevel?\r\n")
    assert await first.line() == b"level is 1\r\n"
    assert await second.whatever_comes() == b""
    assert await second.ask() == b"level is 1\r\n"
    for one in (first, second):
        one.writer.close()


async def test_a_serial_line_is_a_link_that_hangs_up_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "lamp"
    emulator = InstrumentEmulator("lamp", Lamp, [TerminalLine(path)])
    await emulator.start()
    before = path.readlink()
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    os.write(descriptor, b"level?\r\n")
    assert await _read(descriptor) == b"level is 3\r\n"
    emulator.set_fault(Fault.FIN, times=1)
    os.write(descriptor, b"level?\r\n")
    with pytest.raises(OSError, match=r"Input/output error|no more"):
        await _read(descriptor)
    os.close(descriptor)
    for _ in range(200):
        if path.is_symlink():
            break
        await asyncio.sleep(0.01)
    again = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    os.write(again, b"level?\r\n")
    assert await _read(again) == b"level is 3\r\n"
    os.close(again)
    await emulator.stop()
    assert not path.is_symlink()
    assert str(before).startswith("/dev/pts/")


async def _read(descriptor: int) -> bytes:
    """What comes; raises OSError when the line has hung up."""
    for _ in range(500):
        try:
            octets = os.read(descriptor, 1000)
        except BlockingIOError:
            await asyncio.sleep(0.01)
            continue
        if not octets:
            raise OSError("no more")
        return octets
    raise AssertionError("nothing came")


class ZmqLamp(Lamp):
    """Messages without terminators."""

    terminator = b""

    def split(self, buffer: bytearray) -> list[bytes]:
        request = bytes(buffer)
        buffer.clear()
        return [request]


async def test_a_zeromq_port_answers_each_message_with_one_and_is_silent_when_it_shall_be() -> None:
    line = ZmqReplyLine()
    emulator = InstrumentEmulator("lamp", ZmqLamp, [line])
    await emulator.start()
    client = zmq.asyncio.Context.instance().socket(zmq.REQ)
    client.setsockopt(zmq.LINGER, 0)
    client.connect(f"tcp://127.0.0.1:{line.port}")
    await client.send(b"level?")
    assert await asyncio.wait_for(client.recv(), LONG_S) == b"level is 3"
    emulator.set_fault(Fault.DOUBLE_REPLY, times=1)  # it has nothing to send before the next request
    await client.send(b"ok 5")
    assert await asyncio.wait_for(client.recv(), LONG_S) == b"done"
    emulator.set_fault(Fault.SILENT, times=1)
    await client.send(b"level?")
    assert not await client.poll(int(1000 * SHORT_S))
    other = zmq.asyncio.Context.instance().socket(zmq.REQ)
    other.setsockopt(zmq.LINGER, 0)
    other.connect(f"tcp://127.0.0.1:{line.port}")
    await other.send(b"level?")  # a silent answer to one client does not block the other
    assert await asyncio.wait_for(other.recv(), LONG_S) == b"level is 5"
    client.close()
    other.close()
    await emulator.stop()
