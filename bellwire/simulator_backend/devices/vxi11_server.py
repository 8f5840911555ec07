"""VXI-11 as a line of emulated instruments: core channel and abort channel.

Owns links, locks, waiting for responses, aborts. `TCPIP::127.0.0.1,PORT::inst0::INSTR` reaches it without a
portmapper. Refuses service requests by interrupt channel (device_enable_srq and create_intr_chan answer "not
supported", as instruments without them do), and every device but `inst0`.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

from bellwire.core.errors import PeerViolation
from bellwire.simulator_backend.devices.connections import Connection, ConnectionServer
from bellwire.simulator_backend.devices.message_device import MessageChannel, MessageLine
from bellwire.simulator_backend.devices.vxi11_words import (
    ABORT_PROGRAM,
    CORE_PROGRAM,
    DEVICE_ABORT,
    NULL_PROCEDURE,
    PROGRAM_VERSION,
    RPC_VERSION,
    Accepted,
    Call,
    Flag,
    Procedure,
    Reason,
    Trouble,
    XdrReader,
    accepted,
    opaque,
    parse_call,
    read_record,
    version_denied,
    words,
)

DEVICE = b"inst0"
LINKS_MAX = 32
RECEIVE_BYTES_MAX = 1 << 16
"""Of the data of one device_write, as create_link tells the client."""

RECORD_BYTES_MAX = RECEIVE_BYTES_MAX + 1024


class _Link:
    def __init__(self, number: int, connection: Connection, channel: MessageChannel) -> None:
        self.number = number
        self.connection = connection
        self.channel = channel
        self.aborted = asyncio.Event()


class Vxi11Line(MessageLine):
    """A VXI-11 instrument on TCP `port` of `host`; `open` makes 0 a free port, as it does `abort_port`."""

    def __init__(self, port: int = 0, host: str = "127.0.0.1", *, abort_port: int = 0) -> None:
        super().__init__(port, host)
        self.abort_port = abort_port
        self.core = ConnectionServer(host, self._serve_core)
        self.abort = ConnectionServer(host, self._serve_abort)
        self._links: dict[int, _Link] = {}
        self._numbers = itertools.count(1)
        self._lock = _Lock()

    async def open(self) -> None:
        if not self.core.is_open:
            self.port = await self.core.open(self.port)
            try:
                self.abort_port = await self.abort.open(self.abort_port)
            except OSError:
                await self.core.close()
                raise

    async def close(self) -> None:
        await self.core.close()
        await self.abort.close()

    @property
    def links(self) -> int:
        """How many links there are."""
        return len(self._links)

    # -- RPC ------------------------------------------------------------------------------------------------

    async def _serve_core(self, connection: Connection) -> None:
        async def work(record: bytes) -> None:
            call = parse_call(record)
            reply = _refusal(call, CORE_PROGRAM)
            connection.send(await self._core_reply(connection, call) if reply is None else reply)

        try:
            await connection.carry_out(_read, work)
        finally:
            for link in [link for link in self._links.values() if link.connection is connection]:
                self._destroy(link)

    async def _serve_abort(self, connection: Connection) -> None:
        async def work(record: bytes) -> None:
            call = parse_call(record)
            reply = _refusal(call, ABORT_PROGRAM)
            if reply is None and call.procedure not in (NULL_PROCEDURE, DEVICE_ABORT):
                reply = accepted(call.transaction, Accepted.PROCEDURE_UNAVAILABLE)
            connection.send(self._abort_reply(call) if reply is None else reply)

        await connection.carry_out(_read, work)

    async def _core_reply(self, connection: Connection, call: Call) -> bytes:
        if call.procedure == NULL_PROCEDURE:
            return accepted(call.transaction, Accepted.SUCCESS)
        procedures: dict[int, Callable[[XdrReader], Awaitable[bytes]]] = {
            Procedure.CREATE_LINK: lambda arguments: self._create_link(connection, arguments),
            Procedure.DEVICE_WRITE: self._device_write,
            Procedure.DEVICE_READ: self._device_read,
            Procedure.DEVICE_READSTB: self._device_readstb,
            Procedure.DEVICE_TRIGGER: lambda arguments: self._simple(arguments, lambda _: self.trigger()),
            Procedure.DEVICE_CLEAR: lambda arguments: self._simple(
                arguments, lambda link: link.channel.clear()
            ),
            Procedure.DEVICE_REMOTE: lambda arguments: self._simple(arguments, lambda _: None),
            Procedure.DEVICE_LOCAL: lambda arguments: self._simple(arguments, lambda _: None),
            Procedure.DEVICE_LOCK: self._device_lock,
            Procedure.DEVICE_UNLOCK: self._device_unlock,
            Procedure.DEVICE_ENABLE_SRQ: lambda _: _constant(words(Trouble.NOT_SUPPORTED)),
            Procedure.DEVICE_DOCMD: lambda _: _constant(words(Trouble.NOT_SUPPORTED) + opaque(b"")),
            Procedure.DESTROY_LINK: self._destroy_link,
            Procedure.CREATE_INTR_CHAN: lambda _: _constant(words(Trouble.NOT_SUPPORTED)),
            Procedure.DESTROY_INTR_CHAN: lambda _: _constant(words(Trouble.NO_CHANNEL)),
        }
        procedure = procedures.get(call.procedure)
        if procedure is None:
            return accepted(call.transaction, Accepted.PROCEDURE_UNAVAILABLE)
        try:
            return accepted(call.transaction, Accepted.SUCCESS, await procedure(call.arguments))
        except PeerViolation:
            return accepted(call.transaction, Accepted.GARBAGE_ARGUMENTS)

    def _abort_reply(self, call: Call) -> bytes:
        if call.procedure == NULL_PROCEDURE:
            return accepted(call.transaction, Accepted.SUCCESS)
        try:
            link = self._links.get(call.arguments.unsigned())
        except PeerViolation:
            return accepted(call.transaction, Accepted.GARBAGE_ARGUMENTS)
        if link is not None:
            link.aborted.set()
        trouble = Trouble.INVALID_LINK if link is None else Trouble.NONE
        return accepted(call.transaction, Accepted.SUCCESS, words(trouble))

    # -- procedures -----------------------------------------------------------------------------------------

    async def _create_link(self, connection: Connection, arguments: XdrReader) -> bytes:
        arguments.unsigned()  # the client's number for itself
        lock = arguments.unsigned() != 0
        lock_timeout_ms = arguments.unsigned()
        device = arguments.opaque()
        if device.lower() != DEVICE:
            return words(Trouble.NOT_ACCESSIBLE, 0, 0, 0)
        if len(self._links) >= LINKS_MAX:
            return words(Trouble.OUT_OF_RESOURCES, 0, 0, 0)
        link = _Link(next(self._numbers), connection, MessageChannel(self, connection.hang_up))
        if lock:
            trouble = await self._lock.acquire(link, lock_timeout_ms / 1000)
            if trouble is not Trouble.NONE:
                return words(trouble, 0, 0, 0)
        self._links[link.number] = link
        return words(Trouble.NONE, link.number, self.abort_port, RECEIVE_BYTES_MAX)

    async def _device_write(self, arguments: XdrReader) -> bytes:
        number = arguments.unsigned()
        arguments.unsigned()  # io_timeout: the input buffer never makes a client wait
        lock_timeout_ms = arguments.unsigned()
        flags = Flag(arguments.unsigned())
        octets = arguments.opaque()
        link, trouble = await self._usable(number, flags, lock_timeout_ms)
        if link is None:
            return words(trouble, 0)
        if len(octets) > RECEIVE_BYTES_MAX:
            return words(Trouble.PARAMETER, 0)
        link.channel.write(octets, Flag.END in flags)
        return words(Trouble.NONE, len(octets))

    async def _device_read(self, arguments: XdrReader) -> bytes:
        number, octets_max, io_timeout_ms, lock_timeout_ms = (arguments.unsigned() for _ in range(4))
        flags = Flag(arguments.unsigned())
        terminator = arguments.unsigned() & 0xFF if Flag.TERMINATOR_SET in flags else None
        link, trouble = await self._usable(number, flags, lock_timeout_ms)
        if link is None:
            return words(trouble, 0) + opaque(b"")
        awaited = link.channel.awaits_response
        chunk = link.channel.read(octets_max, terminator)
        if chunk is None:
            trouble = await _readable(link, io_timeout_ms / 1000)
            chunk = link.channel.read(octets_max, terminator) if trouble is Trouble.NONE else None
            if awaited and trouble is Trouble.IO_TIMEOUT and not link.channel.awaits_response:
                link.channel.unterminated()
        if chunk is None:
            return words(trouble or Trouble.IO_TIMEOUT, 0) + opaque(b"")
        reason = Reason(0)
        if chunk.end:
            reason |= Reason.END
        if terminator is not None and chunk.octets.endswith(terminator.to_bytes(1)):
            reason |= Reason.TERMINATOR
        if len(chunk.octets) == octets_max:
            reason |= Reason.REQUEST_COUNT
        return words(Trouble.NONE, reason) + opaque(chunk.octets)

    async def _device_readstb(self, arguments: XdrReader) -> bytes:
        link, trouble = await self._generic(arguments)
        if link is None:
            return words(trouble, 0)
        return words(Trouble.NONE, self.status_byte(link.channel.message_available))

    async def _simple(self, arguments: XdrReader, act: Callable[[_Link], None]) -> bytes:
        link, trouble = await self._generic(arguments)
        if link is not None:
            act(link)
        return words(trouble)

    async def _device_lock(self, arguments: XdrReader) -> bytes:
        link = self._links.get(arguments.unsigned())
        flags = Flag(arguments.unsigned())
        timeout_s = arguments.unsigned() / 1000
        if link is None:
            return words(Trouble.INVALID_LINK)
        return words(await self._lock.acquire(link, timeout_s if Flag.WAIT_LOCK in flags else 0.0))

    async def _device_unlock(self, arguments: XdrReader) -> bytes:
        link = self._links.get(arguments.unsigned())
        if link is None:
            return words(Trouble.INVALID_LINK)
        return words(Trouble.NONE if self._lock.release(link) else Trouble.NO_LOCK)

    async def _destroy_link(self, arguments: XdrReader) -> bytes:
        link = self._links.get(arguments.unsigned())
        if link is None:
            return words(Trouble.INVALID_LINK)
        self._destroy(link)
        return words(Trouble.NONE)

    # -- links ----------------------------------------------------------------------------------------------

    async def _generic(self, arguments: XdrReader) -> tuple[_Link | None, Trouble]:
        number = arguments.unsigned()
        flags = Flag(arguments.unsigned())
        lock_timeout_ms = arguments.unsigned()
        arguments.unsigned()  # io_timeout: nothing here waits for the device
        return await self._usable(number, flags, lock_timeout_ms)

    async def _usable(self, number: int, flags: Flag, lock_timeout_ms: int) -> tuple[_Link | None, Trouble]:
        """The link, if no other holds the lock (any longer); else None and why."""
        link = self._links.get(number)
        if link is None:
            return None, Trouble.INVALID_LINK
        link.aborted.clear()
        timeout_s = lock_timeout_ms / 1000 if Flag.WAIT_LOCK in flags else 0.0
        if not await self._lock.passes(link, timeout_s):
            return None, Trouble.ABORTED if link.aborted.is_set() else Trouble.LOCKED
        return link, Trouble.NONE

    def _destroy(self, link: _Link) -> None:
        self._links.pop(link.number, None)
        link.channel.forget_response()
        self._lock.release(link)


class _Lock:
    """The lock of the device, which one link holds at a time."""

    def __init__(self) -> None:
        self._holder: _Link | None = None
        self._changed = asyncio.Event()

    async def passes(self, link: _Link, timeout_s: float) -> bool:
        """Wait until no other link holds the lock; False when it is aborted, or not within the time."""
        if self._holder in (None, link):
            return True
        try:
            async with asyncio.timeout(timeout_s):
                while self._holder not in (None, link):
                    if not await _first(self._changed, link.aborted):
                        return False
        except TimeoutError:
            return False
        return True

    async def acquire(self, link: _Link, timeout_s: float) -> Trouble:
        """Take the lock. A link that holds it already is told that it is locked, as other servers do
        (verify).
        """
        if self._holder is link or not await self.passes(link, timeout_s):
            return Trouble.LOCKED
        self._holder = link
        return Trouble.NONE

    def release(self, link: _Link) -> bool:
        """Give the lock back; False when the link does not hold it."""
        if self._holder is not link:
            return False
        self._holder = None
        self._changed.set()
        self._changed = asyncio.Event()
        return True


async def _readable(link: _Link, timeout_s: float) -> Trouble:
    try:
        async with asyncio.timeout(timeout_s):
            if not await _first(link.channel.readable, link.aborted):
                return Trouble.ABORTED
    except TimeoutError:
        return Trouble.IO_TIMEOUT
    return Trouble.NONE


async def _first(wanted: asyncio.Event, unwanted: asyncio.Event) -> bool:
    """Wait for either; True when it was the wanted one."""
    tasks = [asyncio.ensure_future(wanted.wait()), asyncio.ensure_future(unwanted.wait())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
    return not unwanted.is_set()


def _refusal(call: Call, program: int) -> bytes | None:
    """The reply to a call that does not belong here; None: it does."""
    if call.rpc_version != RPC_VERSION:
        return version_denied(call.transaction)
    if call.program != program:
        return accepted(call.transaction, Accepted.PROGRAM_UNAVAILABLE)
    if call.version != PROGRAM_VERSION:
        return accepted(call.transaction, Accepted.PROGRAM_MISMATCH, words(PROGRAM_VERSION, PROGRAM_VERSION))
    return None


async def _constant(octets: bytes) -> bytes:
    return octets


async def _read(reader: asyncio.StreamReader) -> bytes:
    return await read_record(reader, RECORD_BYTES_MAX)
