"""HiSLIP as a line of emulated instruments: synchronous and asynchronous channel, synchronized mode
(IVI-6.1 section 3.1).

Owns sessions, message numbers, the two kinds of interrupted responses, device clear, locks, status queries.
`TCPIP::127.0.0.1::hislip0,PORT::INSTR` reaches it. Refuses overlapped mode, secure connections, service
requests and every sub-address but `hislip0`.
"""

from __future__ import annotations

import itertools

from bellwire.core.errors import PeerViolation
from bellwire.simulator_backend.devices.connections import Connection, ConnectionServer
from bellwire.simulator_backend.devices.hislip_locks import HislipLocks
from bellwire.simulator_backend.devices.hislip_words import (
    FIRST_MESSAGE_ID,
    HEADER_BYTES,
    MESSAGE_BYTES_MAX,
    NO_MESSAGE_ID,
    PEER,
    PROTOCOL_VERSION,
    RELEASE,
    REMOTE_LOCAL_CODES,
    REQUEST,
    RMT_DELIVERED,
    VENDOR,
    VENDOR_KINDS,
    Fatal,
    Kind,
    Message,
    Mistake,
    pack,
    read_message,
)
from bellwire.simulator_backend.devices.message_device import (
    MESSAGE_AVAILABLE,
    OUTPUT_BYTES_MAX,
    Chunk,
    Exchange,
    MessageChannel,
    MessageLine,
    QueryError,
)

SUB_ADDRESS = b"hislip0"
SESSIONS_MAX = 16
SESSION_NUMBERS = 0x1_0000


class HislipLine(MessageLine):
    """A HiSLIP instrument on TCP `port` of `host`; 0 becomes a free port with `open`."""

    def __init__(self, port: int = 0, host: str = "127.0.0.1") -> None:
        super().__init__(port, host)
        self.server = ConnectionServer(host, self._serve, connections_max=2 * SESSIONS_MAX)
        self.locks = HislipLocks()
        self._sessions: dict[int, _Session] = {}
        self._numbers = itertools.count(1)

    async def open(self) -> None:
        if not self.server.is_open:
            self.port = await self.server.open(self.port)

    async def close(self) -> None:
        await self.server.close()

    @property
    def sessions(self) -> int:
        """How many sessions there are."""
        return len(self._sessions)

    async def _serve(self, connection: Connection) -> None:
        serving = _Serving(self, connection)
        try:
            await connection.carry_out(read_message, serving.carry_out)
        except _Told:
            raise
        except PeerViolation:
            connection.send(pack(Kind.FATAL_ERROR, Fatal.BAD_HEADER, 0, b"poorly formed message header"))
            raise
        finally:
            if serving.session is not None:
                self._end(serving.session, connection)

    def begin(self, connection: Connection) -> _Session | None:
        """A new session on its synchronous channel; None: there are too many."""
        if len(self._sessions) >= SESSIONS_MAX:
            return None
        number = next(n for n in self._numbers if n % SESSION_NUMBERS not in self._sessions) % SESSION_NUMBERS
        session = self._sessions[number] = _Session(self, number, connection)
        return session

    def join(self, number: int, connection: Connection) -> _Session | None:
        """The session gets its asynchronous channel; None: there is none that waits for it."""
        session = self._sessions.get(number)
        if session is None or session.second is not None:
            return None
        session.second = connection
        return session

    def _end(self, session: _Session, connection: Connection) -> None:
        """One channel ended, and with it the other."""
        for channel in (session.first, session.second):
            if channel is not None and channel is not connection:
                channel.hang_up(reset=False)
        if self._sessions.pop(session.number, None) is not None:
            session.channel.forget_response()
            self.locks.leave(session.number)


class _Session:
    """What one client and the server know of each other."""

    def __init__(self, line: HislipLine, number: int, first: Connection) -> None:
        self.number = number
        self.first = first
        self.second: Connection | None = None
        self.channel = MessageChannel(line, self._hang_up, self._respond)
        self.clearing = False
        self.last_message_id = FIRST_MESSAGE_ID
        self.rmt_expected = False
        """A response was sent to its end, and the client did not say yet that it has read it."""
        self.payload_bytes_max = MESSAGE_BYTES_MAX - HEADER_BYTES
        self._line = line

    def receive(self, message: Message) -> None:
        """Data, DataEnd or Trigger: the next part of a program message, or a trigger."""
        delivered = bool(message.control & RMT_DELIVERED)
        interrupted = self.channel.awaits_response
        if not interrupted and delivered is not self.rmt_expected:
            # The client goes on without having read: it learns nothing of the error but by the error queue.
            self.channel.interrupt()
        self.rmt_expected = False
        self.last_message_id = message.parameter
        if interrupted:
            self.channel.interrupt()
            self._tell_interrupted(message.parameter)
        if message.kind == Kind.TRIGGER:
            self._line.trigger()
        else:
            assert message.payload is not None
            self.channel.write(message.payload, message.kind == Kind.DATA_END, message.parameter)

    def clear(self) -> None:
        """Device clear begins: what comes on the synchronous channel until its end is not for the device."""
        self.clearing = True
        self._reset()

    def cleared(self) -> None:
        """Device clear is complete."""
        self.clearing = False
        self._reset()

    def status(self, query: Message) -> int:
        """The status byte; a response is available when the client asks about the message that it answers."""
        if query.control & RMT_DELIVERED:
            self.rmt_expected = False
        available = self.rmt_expected and query.parameter == self.last_message_id
        status = self._line.status_byte(available)
        return status | MESSAGE_AVAILABLE if available else status & ~MESSAGE_AVAILABLE

    def _reset(self) -> None:
        self.channel.clear()
        self.rmt_expected = False
        self.last_message_id = FIRST_MESSAGE_ID

    def _hang_up(self, reset: bool) -> None:
        self.first.hang_up(reset)
        if self.second is not None:
            self.second.hang_up(reset)

    def _respond(self, exchange: Exchange, chunk: Chunk) -> None:
        if self.first.unsent_octets + len(chunk.octets) > OUTPUT_BYTES_MAX:
            self.channel.forget_response()
            device = self._line.device
            if device is not None:
                device.query_error(QueryError.DEADLOCKED)
            return
        number = NO_MESSAGE_ID if exchange.number is None else exchange.number
        for start in range(0, len(chunk.octets), self.payload_bytes_max):
            part = chunk.octets[start : start + self.payload_bytes_max]
            last = chunk.end and start + len(part) == len(chunk.octets)
            self.first.send(pack(Kind.DATA_END if last else Kind.DATA, 0, number, part))
        self.rmt_expected = chunk.end

    def _tell_interrupted(self, message_id: int) -> None:
        self.first.send(pack(Kind.INTERRUPTED, 0, message_id))
        if self.second is not None:
            self.second.send(pack(Kind.ASYNC_INTERRUPTED, 0, message_id))


class _Serving:
    """One connection: which channel of which session it is shows with its first message."""

    def __init__(self, line: HislipLine, connection: Connection) -> None:
        self.session: _Session | None = None
        self._line = line
        self._connection = connection

    async def carry_out(self, message: Message) -> None:
        """One message in its turn. Raises PeerViolation at a fatal error."""
        session = self.session
        if session is None:
            self._initialize(message)
        elif session.second is None:
            self._refuse(Fatal.CHANNELS_MISSING, "the asynchronous channel is missing")
        elif message.kind == Kind.FATAL_ERROR:
            raise _Told(PEER, f"it reports the fatal error {message.control}")
        elif message.payload is None:
            self._complain(Mistake.TOO_LARGE, f"a message may have {MESSAGE_BYTES_MAX} bytes")
        elif message.kind == Kind.ERROR:
            return
        elif self._connection is session.first:
            await self._synchronous(session, message)
        else:
            await self._asynchronous(session, message)

    def _initialize(self, message: Message) -> None:
        line, connection = self._line, self._connection
        if message.kind == Kind.INITIALIZE:
            if (message.payload or SUB_ADDRESS).lower() != SUB_ADDRESS:
                self._refuse(Fatal.BAD_INITIALIZATION, f"the sub-address is {SUB_ADDRESS.decode()}")
            self.session = line.begin(connection)
            if self.session is None:
                self._refuse(Fatal.TOO_MANY_CLIENTS, f"{SESSIONS_MAX} sessions are open")
            else:
                version = PROTOCOL_VERSION << 16 | self.session.number
                connection.send(pack(Kind.INITIALIZE_RESPONSE, 0, version))
        elif message.kind == Kind.ASYNC_INITIALIZE:
            self.session = line.join(message.parameter, connection)
            if self.session is None:
                self._refuse(Fatal.BAD_INITIALIZATION, f"no session {message.parameter} waits")
            connection.send(pack(Kind.ASYNC_INITIALIZE_RESPONSE, 0, VENDOR))
        else:
            self._refuse(Fatal.BAD_INITIALIZATION, "a connection begins with Initialize or AsyncInitialize")

    async def _synchronous(self, session: _Session, message: Message) -> None:
        match message.kind:
            case Kind.DEVICE_CLEAR_COMPLETE:
                session.cleared()
                self._connection.send(pack(Kind.DEVICE_CLEAR_ACKNOWLEDGE))
            case Kind.DATA | Kind.DATA_END | Kind.TRIGGER:
                if not session.clearing:
                    await self._line.locks.pass_(session.number)
                if not session.clearing:  # it may have begun while a lock was waited for
                    session.receive(message)
            case _:
                self._complain_of_kind(message)

    async def _asynchronous(self, session: _Session, message: Message) -> None:
        send = self._connection.send
        locks = self._line.locks
        assert message.payload is not None
        match message.kind:
            case Kind.ASYNC_MAX_MESSAGE_SIZE:
                client_max = int.from_bytes(message.payload, "big")
                session.payload_bytes_max = max(1, min(client_max, MESSAGE_BYTES_MAX) - HEADER_BYTES)
                size = MESSAGE_BYTES_MAX.to_bytes(8, "big")
                send(pack(Kind.ASYNC_MAX_MESSAGE_SIZE_RESPONSE, 0, 0, size))
            case Kind.ASYNC_DEVICE_CLEAR:
                session.clear()
                send(pack(Kind.ASYNC_DEVICE_CLEAR_ACKNOWLEDGE))
            case Kind.ASYNC_STATUS_QUERY:
                send(pack(Kind.ASYNC_STATUS_RESPONSE, session.status(message)))
            case Kind.ASYNC_LOCK if message.control in (RELEASE, REQUEST):
                if message.control == RELEASE:
                    answer = locks.release(session.number)
                else:
                    timeout_s = message.parameter / 1000
                    answer = await locks.acquire(session.number, message.payload, timeout_s)
                send(pack(Kind.ASYNC_LOCK_RESPONSE, answer))
            case Kind.ASYNC_LOCK_INFO:
                send(pack(Kind.ASYNC_LOCK_INFO_RESPONSE, int(locks.is_exclusive), locks.holders))
            case Kind.ASYNC_REMOTE_LOCAL_CONTROL if message.control in REMOTE_LOCAL_CODES:
                send(pack(Kind.ASYNC_REMOTE_LOCAL_RESPONSE))
            case Kind.ASYNC_LOCK | Kind.ASYNC_REMOTE_LOCAL_CONTROL:
                self._complain(Mistake.CONTROL_CODE, f"control code {message.control} is unknown")
            case _:
                self._complain_of_kind(message)

    def _complain_of_kind(self, message: Message) -> None:
        vendor = message.kind in VENDOR_KINDS
        mistake = Mistake.VENDOR_MESSAGE if vendor else Mistake.MESSAGE_TYPE
        self._complain(mistake, f"message type {message.kind} has no place on this channel")

    def _complain(self, mistake: Mistake, text: str) -> None:
        self._connection.send(pack(Kind.ERROR, mistake, 0, text.encode()))

    def _refuse(self, fatal: Fatal, text: str) -> None:
        self._connection.send(pack(Kind.FATAL_ERROR, fatal, 0, text.encode()))
        raise _Told(PEER, text)


class _Told(PeerViolation):
    """A fatal error that the client knows already."""
