"""HiSLIP word for word (IVI-6.1, synchronized mode), with the numbers of pyvisa-py's table of messages."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator

import pytest
from pyvisa_py.protocols.hislip import ERRORCODE, FATALERRORCODE, HEADER_FORMAT, HEADER_SIZE, MESSAGETYPE

from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.hislip_server import SESSIONS_MAX, HislipLine
from bellwire.simulator_backend.devices.hislip_words import MESSAGE_BYTES_MAX
from tests.simulator_backend.devices.visa_clients import DEADLINE_S, meter_of, powered, until

FIRST_ID = 0xFFFF_FF00
RMT = 1
INTERRUPTED_ERROR = b'-410,"Query INTERRUPTED"\n'

Message = tuple[str, int, int, bytes]
NAMES = {number: name for name, number in MESSAGETYPE.items()}


class Channel:
    """One TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, line: HislipLine) -> Channel:
        return cls(*await asyncio.open_connection("127.0.0.1", line.port))

    def send(self, kind: str | int, control: int = 0, parameter: int = 0, payload: bytes = b"") -> None:
        number = MESSAGETYPE[kind] if isinstance(kind, str) else kind
        self.writer.write(
            struct.pack(HEADER_FORMAT, b"HS", number, control, parameter, len(payload)) + payload
        )

    async def receive(self) -> Message:
        async with asyncio.timeout(DEADLINE_S):
            header = await self.reader.readexactly(HEADER_SIZE)
            prologue, kind, control, parameter, length = struct.unpack(HEADER_FORMAT, header)
            assert prologue == b"HS"
            return NAMES[kind], control, parameter, await self.reader.readexactly(length)

    async def ask(self, kind: str, control: int = 0, parameter: int = 0, payload: bytes = b"") -> Message:
        self.send(kind, control, parameter, payload)
        return await self.receive()

    async def ended(self) -> bool:
        async with asyncio.timeout(DEADLINE_S):
            return await self.reader.read() == b""


class Client:
    """Both channels of a session."""

    def __init__(self, first: Channel, second: Channel, number: int) -> None:
        self.first, self.second, self.number = first, second, number
        self.message_id = FIRST_ID

    def write(self, message: bytes, control: int = 0, kind: str = "DataEnd") -> int:
        """Send; the number of the message."""
        self.first.send(kind, control, self.message_id, message)
        self.message_id = (self.message_id + 2) & 0xFFFF_FFFF
        return (self.message_id - 2) & 0xFFFF_FFFF

    async def query(self, message: bytes, control: int = 0) -> bytes:
        number = self.write(message, control)
        kind, _, parameter, payload = await self.first.receive()
        assert (kind, parameter) == ("DataEnd", number)
        return payload

    def close(self) -> None:
        self.first.writer.close()
        self.second.writer.close()


async def connect(line: HislipLine) -> Client:
    """Initialize and AsyncInitialize."""
    first = await Channel.open(line)
    kind, control, parameter, payload = await first.ask("Initialize", 0, 0x0100_7878, b"hislip0")
    assert (kind, control, parameter >> 16, payload) == ("InitializeResponse", 0, 0x0100, b"")
    second = await Channel.open(line)
    kind, _, _, payload = await second.ask("AsyncInitialize", 0, parameter & 0xFFFF)
    assert (kind, payload) == ("AsyncInitializeResponse", b"")
    return Client(first, second, parameter & 0xFFFF)


@contextlib.asynccontextmanager
async def session(line: HislipLine) -> AsyncIterator[Client]:
    client = await connect(line)
    try:
        yield client
    finally:
        client.close()


# -- who interrupts whom -------------------------------------------------------------------------------------


async def test_a_message_that_overtakes_the_response_interrupts_it_on_both_channels() -> None:
    line = HislipLine()
    async with powered(line) as emulator, session(line) as client:
        emulator.set_fault(Fault.LATE_REPLY, delay_s=0.3, times=1)
        client.write(b"*IDN?")
        await until(lambda: len(emulator.log) == 1)
        second = client.write(b"TRIG:COUN?")
        assert await client.first.receive() == ("Interrupted", 0, second, b"")
        assert await client.second.receive() == ("AsyncInterrupted", 0, second, b"")
        assert await client.first.receive() == ("DataEnd", 0, second, b"1\n")
        assert await client.query(b"SYST:ERR?", RMT) == INTERRUPTED_ERROR
        assert await client.query(b"SYST:ERR?", RMT) == b'0,"No error"\n'


@pytest.mark.parametrize(
    ("control", "error"),
    [(RMT, b'0,"No error"\n'), (0, INTERRUPTED_ERROR)],
    ids=["delivered", "not delivered"],
)
async def test_a_response_that_was_sent_but_not_read_is_an_error_only_in_the_queue(
    control: int, error: bytes
) -> None:
    line = HislipLine()
    async with powered(line), session(line) as client:
        await client.query(b"*IDN?")
        assert await client.query(b"TRIG:COUN?", control) == b"1\n"  # and no Interrupted before it
        assert await client.query(b"SYST:ERR?", RMT) == error


async def test_a_client_that_says_to_have_read_what_it_never_got_is_in_error() -> None:
    line = HislipLine()
    async with powered(line), session(line) as client:
        client.write(b"TRIG:COUN 3", RMT)
        assert await client.query(b"SYST:ERR?") == INTERRUPTED_ERROR


async def test_a_message_in_parts_is_one_message_and_its_response_has_the_number_of_the_last() -> None:
    line = HislipLine()
    async with powered(line) as emulator, session(line) as client:
        client.write(b"TRIG:CO", kind="Data")
        client.write(b"UN 4;COU", kind="Data")
        assert await client.query(b"N?") == b"4\n"
        assert len(emulator.log) == 1


async def test_a_half_response_has_no_end_and_is_interrupted_by_the_next_message() -> None:
    line = HislipLine()
    async with powered(line) as emulator, session(line) as client:
        emulator.set_fault(Fault.HALF_REPLY, times=1)
        first = client.write(b"TRIG:SOUR?")
        assert await client.first.receive() == ("Data", 0, first, b"IN")
        second = client.write(b"TRIG:COUN?")
        assert await client.first.receive() == ("Interrupted", 0, second, b"")
        assert await client.first.receive() == ("DataEnd", 0, second, b"1\n")


# -- status, sizes, clear ------------------------------------------------------------------------------------


async def test_a_response_is_available_until_it_was_delivered_and_only_to_who_asks_by_its_number() -> None:
    line = HislipLine()
    async with powered(line), session(line) as client:

        async def status(control: int, parameter: int) -> int:
            kind, byte, _, _ = await client.second.ask("AsyncStatusQuery", control, parameter)
            assert kind == "AsyncStatusResponse"
            return byte

        assert await status(0, FIRST_ID) == 0
        number = client.write(b"*IDN?")
        await client.first.receive()
        assert await status(0, number) == 16
        assert await status(0, number + 2) == 0  # a message that did not arrive yet has no response
        assert await status(RMT, number) == 0
        assert await status(0, number) == 0
        assert await client.query(b"SYST:ERR?") == b'0,"No error"\n'


async def test_responses_keep_to_the_size_that_the_client_can_take() -> None:
    line = HislipLine()
    async with powered(line), session(line) as client:
        answer = await client.second.ask("AsyncMaxMsgSize", 0, 0, (HEADER_SIZE + 10).to_bytes(8, "big"))
        assert answer == ("AsyncMaxMsgSizeResponse", 0, 0, MESSAGE_BYTES_MAX.to_bytes(8, "big"))
        number = client.write(b"*IDN?")
        parts = [await client.first.receive() for _ in range(3)]
        assert [(kind, parameter) for kind, _, parameter, _ in parts] == [
            *(("Data", number), ("Data", number), ("DataEnd", number))
        ]
        assert b"".join(payload for *_, payload in parts) == b"bellwire,Meter,000123,1.0\n"


async def test_a_message_beyond_the_size_of_the_server_is_refused_and_the_session_goes_on() -> None:
    line = HislipLine()
    async with powered(line), session(line) as client:
        client.write(b"x" * (MESSAGE_BYTES_MAX + 1))
        kind, control, _, _ = await client.first.receive()
        assert (kind, control) == ("Error", ERRORCODE["Message too large"])
        assert await client.query(b"TRIG:COUN?") == b"1\n"


async def test_device_clear_drops_what_was_under_way_on_both_sides() -> None:
    line = HislipLine()
    async with powered(line) as emulator, session(line) as client:
        emulator.set_fault(Fault.SILENT, times=1)
        client.write(b"*IDN?")
        await until(lambda: len(emulator.log) == 1)
        assert await client.second.ask("AsyncDeviceClear") == ("AsyncDeviceClearAcknowledge", 0, 0, b"")
        client.write(b"TRIG:COUN 7")  # was on its way when the clear began
        assert await client.first.ask("DeviceClearComplete") == ("DeviceClearAcknowledge", 0, 0, b"")
        client.message_id = FIRST_ID
        assert await client.query(b"TRIG:COUN?;:SYST:ERR?") == b'1;0,"No error"\n'


async def test_triggers_and_remote_control_are_taken() -> None:
    line = HislipLine()
    async with powered(line) as emulator, session(line) as client:
        await client.query(b"TRIG:SOUR BUS;*OPC?")
        client.write(b"", RMT, "Trigger")
        assert await client.query(b"*OPC?") == b"1\n"
        assert meter_of(emulator).triggers == 1
        for control in range(7):
            assert (await client.second.ask("AsyncRemoteLocalControl", control))[
                0
            ] == "AsyncRemoteLocalResponse"


# -- locks ---------------------------------------------------------------------------------------------------

GRANTED, FAILED, SHARED_RELEASED, WRONG = 1, 0, 2, 3


async def lock(client: Client, key: bytes = b"", timeout_ms: int = 0) -> int:
    kind, control, _, _ = await client.second.ask("AsyncLock", 1, timeout_ms, key)
    assert kind == "AsyncLockResponse"
    return control


async def unlock(client: Client) -> int:
    return (await client.second.ask("AsyncLock", 0))[1]


async def locks(client: Client) -> tuple[int, int]:
    kind, exclusive, holders, _ = await client.second.ask("AsyncLockInfo")
    assert kind == "AsyncLockInfoResponse"
    return exclusive, holders


async def test_an_exclusive_lock_makes_the_messages_of_others_wait() -> None:
    line = HislipLine()
    async with powered(line) as emulator, session(line) as holder, session(line) as other:
        assert [await unlock(holder), await lock(holder), await lock(holder)] == [WRONG, GRANTED, WRONG]
        assert [await lock(other, timeout_ms=20), await lock(other, b"key")] == [FAILED, FAILED]
        number = other.write(b"TRIG:COUN 9;COUN?")
        assert await holder.query(b"TRIG:COUN?") == b"1\n"
        assert await locks(other) == (1, 1)  # the asynchronous channel goes on meanwhile
        assert [logged.request for logged in emulator.log] == [b"TRIG:COUN?"]
        assert await unlock(holder) == GRANTED
        assert await other.first.receive() == ("DataEnd", 0, number, b"9\n")
        assert await locks(other) == (0, 0)


async def test_a_shared_lock_is_shared_by_those_who_know_the_key() -> None:
    line = HislipLine()
    async with powered(line), session(line) as first, session(line) as second, session(line) as third:
        assert [await lock(first, b"key"), await lock(second, b"key"), await lock(third, b"other")] == [
            *(GRANTED, GRANTED, FAILED)
        ]
        assert await locks(third) == (0, 2)
        assert await second.query(b"*OPC?") == b"1\n"
        assert [await lock(third), await lock(first)] == [FAILED, GRANTED]  # on top of the shared one
        assert await locks(third) == (1, 2)
        assert [await unlock(first), await unlock(first), await unlock(first)] == [
            *(GRANTED, SHARED_RELEASED, WRONG)
        ]


@pytest.mark.parametrize("channel", ["first", "second"])
async def test_who_leaves_by_either_channel_gives_all_locks_back(channel: str) -> None:
    line = HislipLine()
    async with powered(line), session(line) as waiting:
        leaving = await connect(line)
        assert [await lock(leaving, b"key"), await lock(leaving)] == [GRANTED, GRANTED]
        asking = asyncio.ensure_future(lock(waiting, timeout_ms=5000))
        (leaving.first if channel == "first" else leaving.second).writer.close()
        assert await asking == GRANTED
        await until(lambda: line.sessions == 1)
        assert await (leaving.second if channel == "first" else leaving.first).ended()
        leaving.close()


# -- what is not the protocol --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channel", "kind", "control", "error"),
    [
        ("first", "AsyncStatusQuery", 0, "Unrecognized Message Type"),
        ("first", "StartTLS", 0, "Unrecognized Message Type"),
        ("first", 99, 0, "Unrecognized Message Type"),
        ("first", 200, 0, "Unrecognized Vendor Defined Message"),
        ("second", "DataEnd", 0, "Unrecognized Message Type"),
        ("second", "AsyncLock", 5, "Unrecognized control code"),
        ("second", "AsyncRemoteLocalControl", 7, "Unrecognized control code"),
    ],
)
async def test_messages_without_a_place_are_errors_that_end_nothing(
    channel: str, kind: str | int, control: int, error: str
) -> None:
    line = HislipLine()
    async with powered(line), session(line) as client:
        side = client.first if channel == "first" else client.second
        side.send(kind, control)
        name, code, _, _ = await side.receive()
        assert (name, code) == ("Error", ERRORCODE[error])
        side.send("Error", 0, 0, b"a client's complaint is no reason to complain")
        assert await client.query(b"TRIG:COUN?") == b"1\n"


@pytest.mark.parametrize(
    ("octets", "fatal"),
    [
        (b"XX" + bytes(14), "Poorly formed message header"),
        (struct.pack(HEADER_FORMAT, b"HS", 7, 0, FIRST_ID, 0), "Invalid Initialization sequence"),
        (struct.pack(HEADER_FORMAT, b"HS", 17, 0, 12345, 0), "Invalid Initialization sequence"),
        (
            struct.pack(HEADER_FORMAT, b"HS", 0, 0, 0x0100_7878, 7) + b"hislip9",
            "Invalid Initialization sequence",
        ),
    ],
)
async def test_what_is_no_beginning_is_fatal(octets: bytes, fatal: str) -> None:
    line = HislipLine()
    async with powered(line):
        channel = await Channel.open(line)
        channel.writer.write(octets)
        kind, control, _, _ = await channel.receive()
        assert (kind, control) == ("FatalError", FATALERRORCODE[fatal])
        assert await channel.ended()
        assert (line.server.violations, line.sessions) == (1, 0)
        channel.writer.close()


async def test_a_message_before_both_channels_stand_is_fatal() -> None:
    line = HislipLine()
    async with powered(line) as emulator:
        channel = await Channel.open(line)
        await channel.ask("Initialize", 0, 0x0100_7878, b"hislip0")
        kind, control, _, _ = await channel.ask("DataEnd", 0, FIRST_ID, b"*RST")
        assert (kind, control) == (
            "FatalError",
            FATALERRORCODE["Attempt to use connection without both channels established"],
        )
        assert await channel.ended()
        assert not emulator.log
        channel.writer.close()


async def test_a_fatal_error_of_the_client_ends_its_session() -> None:
    line = HislipLine()
    async with powered(line), session(line) as client:
        client.first.send("FatalError", 0, 0, b"I give up")
        assert await client.first.ended()
        assert await client.second.ended()
        await until(lambda: line.sessions == 0)


async def test_a_session_has_one_asynchronous_channel_and_its_number_is_its_own() -> None:
    line = HislipLine()
    async with powered(line), session(line) as first, session(line) as second:
        assert first.number != second.number
        again = await Channel.open(line)
        answer = await again.ask("AsyncInitialize", 0, first.number)
        assert answer[:2] == ("FatalError", FATALERRORCODE["Invalid Initialization sequence"])
        assert await again.ended()
        again.writer.close()
        assert await first.query(b"TRIG:COUN?") == b"1\n"


async def test_one_session_too_many_is_told_so() -> None:
    line = HislipLine()
    async with powered(line):
        waiting = [await Channel.open(line) for _ in range(SESSIONS_MAX)]
        for channel in waiting:
            assert (await channel.ask("Initialize", 0, 0x0100_7878, b"hislip0"))[0] == "InitializeResponse"
        extra = await Channel.open(line)
        kind, control, _, _ = await extra.ask("Initialize", 0, 0x0100_7878, b"hislip0")
        full = "Server refused connection due to maximum number of clients exceeded"
        assert (kind, control) == ("FatalError", FATALERRORCODE[full])
        for channel in [*waiting, extra]:
            channel.writer.close()
