"""VXI-11 word for word: reasons, locks, aborts and RPC refusals, by the RPC client of pyvisa-py."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from pyvisa_py.protocols import rpc, vxi11
from pyvisa_py.protocols.vxi11 import OP_FLAG_END, OP_FLAG_TERMCHAR_SET, OP_FLAG_WAIT_BLOCK, ErrorCodes
from pyvisa_py.protocols.vxi11 import RX_CHR as CHR
from pyvisa_py.protocols.vxi11 import RX_END as END
from pyvisa_py.protocols.vxi11 import RX_REQCNT as REQCNT
from pyvisa_py.tcpip import Vxi11CoreClient

from bellwire.simulator_backend.devices.connections import CONNECTIONS_MAX
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.vxi11_server import LINKS_MAX, RECEIVE_BYTES_MAX, Vxi11Line
from tests.simulator_backend.devices.visa_clients import meter_of, powered, until

T = TypeVar("T")
WAIT_MS = 3000
SHORT_MS = 60


class Rpc:
    """A client with one link. pyvisa-py carries no types, so its results are what its unpackers say."""

    def __init__(self, line: Vxi11Line, device: str = "inst0") -> None:
        self.client: Any = Vxi11CoreClient("127.0.0.1", line.port)
        self.error, self.link, self.abort_port, self.receive_max = self.client.create_link(1, 0, 0, device)

    def write(self, octets: bytes, flags: int = OP_FLAG_END) -> tuple[int, int]:
        answer: tuple[int, int] = self.client.device_write(self.link, WAIT_MS, 0, flags, octets)
        return answer

    def read(
        self, count: int = 1000, timeout_ms: int = WAIT_MS, terminator: str | None = None
    ) -> tuple[int, int, bytes]:
        flags, mark = (0, 0) if terminator is None else (OP_FLAG_TERMCHAR_SET, ord(terminator))
        answer: tuple[int, int, bytes] = self.client.device_read(self.link, count, timeout_ms, 0, flags, mark)
        return answer

    def ask(self, question: bytes) -> bytes:
        self.write(question)
        return self.read()[2]

    def close(self) -> None:
        self.client.close()


class Aborter:
    """The abort channel, by the general RPC client of pyvisa-py."""

    def __init__(self, port: int) -> None:
        self.client: Any = rpc.RawTCPClient(
            "127.0.0.1", vxi11.DEVICE_ASYNC_PROG, vxi11.DEVICE_ASYNC_VERS, port
        )
        self.client.packer = vxi11.Vxi11Packer()
        self.client.unpacker = vxi11.Vxi11Unpacker(b"")

    def abort(self, link: int) -> int:
        pack, unpack = self.client.packer.pack_device_link, self.client.unpacker.unpack_device_error
        answer: int = self.client.make_call(vxi11.DEVICE_ABORT, link, pack, unpack)
        return answer


async def with_link(line: Vxi11Line, use: Callable[[Rpc], T]) -> T:
    def work() -> T:
        link = Rpc(line)
        try:
            return use(link)
        finally:
            link.close()

    return await asyncio.to_thread(work)


async def test_reads_say_why_they_ended() -> None:
    def use(link: Rpc) -> list[tuple[int, int, bytes]]:
        link.write(b"*IDN?")
        answers = [link.read(8), link.read(100, terminator=","), link.read(7, terminator=","), link.read()]
        link.write(b"TRIG:SOUR?")
        return [*answers, link.read(4, terminator="\n")]

    line = Vxi11Line()
    async with powered(line):
        assert await with_link(line, use) == [
            (0, REQCNT, b"bellwire"),
            (0, CHR, b","),
            (0, CHR, b"Meter,"),
            (0, END, b"000123,1.0\n"),
            (0, REQCNT | CHR | END, b"INT\n"),
        ]


async def test_a_message_is_carried_out_when_its_end_came() -> None:
    def use(link: Rpc) -> tuple[list[tuple[int, int]], bytes]:
        return [link.write(b"TRIG:CO", 0), link.write(b"UN 9;", 0), link.write(b"COUN?")], link.read()[2]

    line = Vxi11Line()
    async with powered(line) as emulator:
        assert await with_link(line, use) == ([(0, 7), (0, 5), (0, 5)], b"9\n")
        assert len(emulator.log) == 1


async def test_what_exceeds_the_agreed_size_is_refused_and_what_exceeds_the_buffer_is_an_error() -> None:
    def use(link: Rpc) -> tuple[tuple[int, int], bytes, bytes]:
        assert link.receive_max == RECEIVE_BYTES_MAX
        refused = link.write(b"x" * (RECEIVE_BYTES_MAX + 1))
        for _ in range(20):
            link.write(b"x" * RECEIVE_BYTES_MAX, 0)
        link.write(b"x")
        return refused, link.ask(b"SYST:ERR?"), link.ask(b"SYST:ERR?")

    line = Vxi11Line()
    async with powered(line):
        assert await with_link(line, use) == (
            (ErrorCodes.parameter_error, 0),
            b'-363,"Input buffer overrun"\n',
            b'0,"No error"\n',
        )


async def test_a_trigger_reaches_the_device_and_its_refusal_the_error_queue() -> None:
    def use(link: Rpc) -> tuple[int, bytes, int]:
        first = link.client.device_trigger(link.link, 0, 0, WAIT_MS)
        error = link.ask(b"SYST:ERR?;:TRIG:SOUR BUS")
        return first, error, link.client.device_trigger(link.link, 0, 0, WAIT_MS)

    line = Vxi11Line()
    async with powered(line) as emulator:
        assert await with_link(line, use) == (0, b'-211,"Trigger ignored"\n', 0)
        assert meter_of(emulator).triggers == 1


async def test_the_status_byte_shows_a_waiting_response() -> None:
    def use(link: Rpc) -> list[tuple[int, int]]:
        link.write(b"*IDN?;*SRE 16;*OPC?")
        link.read(4)  # a part of it: the rest waits
        polls = [link.client.device_read_stb(link.link, 0, 0, WAIT_MS) for _ in range(2)]
        link.read()
        return [*polls, link.client.device_read_stb(link.link, 0, 0, WAIT_MS)]

    line = Vxi11Line()
    async with powered(line):
        assert await with_link(line, use) == [(0, 16 + 64), (0, 16), (0, 0)]


async def test_a_lock_keeps_other_links_out_until_it_is_given_back() -> None:
    def use(first: Rpc) -> list[object]:
        second = Rpc(line)
        try:
            lock, unlock = first.client.device_lock, first.client.device_unlock
            seen: list[object] = [unlock(first.link), lock(first.link, 0, 0), lock(first.link, 0, 0)]
            seen += [
                second.client.device_lock(second.link, 0, 0),
                second.write(b"TRIG:COUN 5"),
                second.read(),
            ]
            seen += [second.client.device_lock(second.link, OP_FLAG_WAIT_BLOCK, SHORT_MS)]
            seen += [first.ask(b"TRIG:COUN?"), unlock(first.link), unlock(first.link)]
            return [*seen, second.ask(b"TRIG:COUN?"), second.client.device_lock(second.link, 0, 0)]
        finally:
            second.close()

    line = Vxi11Line()
    locked = ErrorCodes.device_locked_by_another_link
    async with powered(line):
        assert await with_link(line, use) == [
            *(ErrorCodes.no_lock_held_by_this_link, 0, locked),
            *(locked, (locked, 0), (locked, 0, b""), locked),
            *(b"1\n", 0, ErrorCodes.no_lock_held_by_this_link),
            *(b"1\n", 0),
        ]


async def test_who_waits_for_a_lock_gets_it_when_the_holder_leaves() -> None:
    line = Vxi11Line()
    async with powered(line):
        holder = await asyncio.to_thread(Rpc, line)
        assert await asyncio.to_thread(holder.client.device_lock, holder.link, 0, 0) == 0
        waiter = await asyncio.to_thread(Rpc, line)
        waiting = asyncio.ensure_future(
            asyncio.to_thread(waiter.client.device_lock, waiter.link, OP_FLAG_WAIT_BLOCK, WAIT_MS)
        )
        await asyncio.sleep(
            0.05
        )  # nothing shows from outside that it waits; without the wait it would be done
        assert not waiting.done()
        holder.close()
        assert await waiting == 0
        waiter.close()
        await until(lambda: line.links == 0)


async def test_an_abort_ends_a_read_that_waits() -> None:
    line = Vxi11Line()
    async with powered(line) as emulator:
        emulator.set_fault(Fault.SILENT, times=1)
        link = await asyncio.to_thread(Rpc, line)
        await asyncio.to_thread(link.write, b"*IDN?")
        reading = asyncio.ensure_future(asyncio.to_thread(link.read))
        aborter = await asyncio.to_thread(Aborter, link.abort_port)
        assert await asyncio.to_thread(aborter.abort, link.link + 1) == ErrorCodes.invalid_link_identifier
        answer = 0
        while not reading.done():
            answer |= await asyncio.to_thread(aborter.abort, link.link)
        assert answer == 0
        assert await reading == (ErrorCodes.abort, 0, b"")
        emulator.set_fault(Fault.LATE_REPLY, delay_s=0.1, times=1)  # so that the next read waits again
        assert await asyncio.to_thread(link.ask, b"TRIG:COUN?") == b"1\n"
        aborter.client.close()
        link.close()


async def test_links_that_are_not_there_and_devices_that_are_not_there_are_refused() -> None:
    def use(link: Rpc) -> list[object]:
        other = Rpc(line, "inst7")
        other.close()
        assert link.client.destroy_link(link.link) == 0
        client, gone = link.client, link.link
        return [
            other.error,
            client.destroy_link(gone),
            link.write(b"*IDN?"),
            link.read(),
            client.device_read_stb(gone, 0, 0, WAIT_MS),
            client.device_clear(gone, 0, 0, WAIT_MS),
            client.device_lock(gone, 0, 0),
            client.device_unlock(gone),
        ]

    line = Vxi11Line()
    invalid = ErrorCodes.invalid_link_identifier
    async with powered(line) as emulator:
        assert await with_link(line, use) == [
            *(ErrorCodes.device_not_accessible, invalid, (invalid, 0), (invalid, 0, b"")),
            *((invalid, 0), invalid, invalid, invalid),
        ]
        assert not emulator.log


async def test_what_this_server_does_not_have_is_said() -> None:
    def use(link: Rpc) -> list[object]:
        client = link.client
        return [
            client.device_remote(link.link, 0, 0, WAIT_MS),
            client.device_local(link.link, 0, 0, WAIT_MS),
            client.device_enable_srq(link.link, True, b"x"),
            client.device_docmd(link.link, 0, WAIT_MS, 0, 0x020000, True, 1, b""),
            client.destroy_intr_chan(),
        ]

    line = Vxi11Line()
    unsupported = ErrorCodes.operation_not_supported
    async with powered(line):
        assert await with_link(line, use) == [
            *(0, 0, unsupported, (unsupported, b""), ErrorCodes.channel_not_established)
        ]


async def test_links_and_connections_have_a_limit() -> None:
    def use(link: Rpc) -> int:
        errors = [link.client.create_link(1, 0, 0, "inst0")[0] for _ in range(LINKS_MAX)]
        assert errors == [0] * (LINKS_MAX - 1) + [ErrorCodes.out_of_resources]
        return int(errors[-1])

    line = Vxi11Line()
    async with powered(line):
        await with_link(line, use)
        await until(lambda: line.links == 0)
        writers = [
            (await asyncio.open_connection("127.0.0.1", line.port))[1] for _ in range(CONNECTIONS_MAX + 1)
        ]
        await until(lambda: line.core.refusals == 1)
        for writer in writers:
            writer.close()


async def test_a_port_that_another_has_is_an_error_and_leaves_nothing_open() -> None:
    first = Vxi11Line()
    async with powered(first):
        for line in (Vxi11Line(first.port), Vxi11Line(abort_port=first.abort_port)):
            with pytest.raises(OSError, match="in use"):
                await line.open()
            assert not line.core.is_open
            assert not line.abort.is_open


def call(program: int, version: int, procedure: int, arguments: bytes = b"", rpc_version: int = 2) -> bytes:
    """An RPC call as RFC 5531 has it, with one fragment and transaction 7."""
    body = struct.pack(">10I", 7, 0, rpc_version, program, version, procedure, 0, 0, 0, 0) + arguments
    return struct.pack(">I", 0x8000_0000 | len(body)) + body


CORE, ABORT = 0x0607AF, 0x0607B0
ACCEPTED = (7, 1, 0, 0, 0)


@pytest.mark.parametrize(
    ("request_octets", "reply"),
    [
        (call(CORE, 1, 0), (*ACCEPTED, 0)),
        (call(100000, 2, 3), (*ACCEPTED, 1)),
        (call(CORE, 2, 10), (*ACCEPTED, 2, 1, 1)),
        (call(CORE, 1, 21), (*ACCEPTED, 3)),
        (call(CORE, 1, 10, b"\0" * 6), (*ACCEPTED, 4)),
        (call(CORE, 1, 11, struct.pack(">5I", 1, 0, 0, 8, 1 << 30)), (*ACCEPTED, 4)),
        (call(CORE, 1, 10, rpc_version=3), (7, 1, 1, 0, 2, 2)),
    ],
)
async def test_calls_that_do_not_belong_here_are_refused_as_rpc_does(
    request_octets: bytes, reply: tuple[int, ...]
) -> None:
    line = Vxi11Line()
    async with powered(line):
        reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
        cut = len(request_octets) // 2
        half = request_octets[4:cut]
        # The same call in two fragments.
        writer.write(struct.pack(">I", len(half)) + half)
        writer.write(struct.pack(">I", 0x8000_0000 | len(request_octets) - cut) + request_octets[cut:])
        octets = struct.pack(f">{len(reply)}I", *reply)
        expected = struct.pack(">I", 0x8000_0000 | len(octets)) + octets
        assert await asyncio.wait_for(reader.readexactly(len(expected)), 5) == expected
        writer.close()


@pytest.mark.parametrize(
    "octets",
    [
        struct.pack(">I", 0x8000_0000 | 1 << 24),
        struct.pack(">II", 0x8000_0004, 7),
        struct.pack(">4I", 0x8000_000C, 7, 1, 2),
        b"\0\0\0\0" * 2000,
    ],
    ids=["too long", "too short", "a reply", "fragments without end"],
)
async def test_what_is_no_call_ends_the_connection_and_is_counted(octets: bytes) -> None:
    line = Vxi11Line()
    async with powered(line):
        reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
        writer.write(octets)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        assert line.core.violations == 1
        writer.close()
        assert await with_link(line, lambda link: link.ask(b"TRIG:COUN?")) == b"1\n"
