"""Host side of the framed protocol: requests that are awaited, events that are called back, liveness that is
kept.

Owns one port: as many requests in flight as it allows, repeats with the same sequence number (the device
answers a repeat from its store, so nothing runs twice), HELLO after the last repeat, credit, re-request of
missing records, detection of a device that restarted. Refuses to reconnect by itself (`instrument.py`) and
to know what a register or record means.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bellwire.core.errors import DeviceFault, LocalMisuse, PeerViolation
from bellwire.drivers.event_stream import EventStream
from bellwire.drivers.faults import (
    DeviceError,
    DeviceRestarted,
    Disconnected,
    IdentityRefused,
    LinkTimeout,
    ProtocolFault,
)
from bellwire.drivers.frame_port import FramePort, make_port
from bellwire.drivers.frames import Bound, Events, Hello, Lost
from bellwire.drivers.framing import REPLY_BIT, FrameType, Message, Status, pack_words, spoken
from bellwire.drivers.regmap import RegisterMap
from bellwire.drivers.request_turns import RequestTurns

WRITE_WORDS_MAX = 16
READ_WORDS_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class FramedSettings:
    """Limits of a framed link.

    `reply_timeout_s` per try, `tries` per request, `silence_s` without any valid frame ends the link (devices
    send a BOUND at 10 Hz or more), `keepalive_s` between signs of life of ours (they renew the dead-man
    lease).
    """

    baud_rate: int = 3_000_000
    reply_timeout_s: float = 0.25
    tries: int = 3
    silence_s: float = 1.5
    keepalive_s: float = 0.1


class FramedDevice:
    """A device that speaks the framed protocol. `path`: its serial line, or udp://HOST:PORT.

    Callbacks (set before `open`): `on_events`, `on_bound`, `on_lost` carry what the device pushes, in stream
    order and without repeats; `on_gap(first, resumed_at)` says that records first .. resumed_at - 1 are gone
    for good. All run in the loop that called `open`.
    """

    def __init__(
        self,
        name: str,
        path: str,
        register_map: RegisterMap,
        record_bytes: Mapping[int, int],
        settings: FramedSettings,
    ) -> None:
        self.name = name
        self.map = register_map
        self.settings = settings
        self.on_events: Callable[[Events], None] = _ignore
        self.on_bound: Callable[[Bound], None] = _ignore
        self.on_lost: Callable[[Lost], None] = _ignore
        self.on_gap: Callable[[int, int], None] = _ignore_gap
        self.restarted = False
        self.heard_at_ns: int | None = None
        self.repeated_requests = 0
        self._path = path
        self._record_bytes = record_bytes
        self._port: FramePort | None = None
        self._turns = RequestTurns(1)
        self._seq = 0
        self._waiting: dict[tuple[int, int], asyncio.Future[Message]] = {}
        self._stream: EventStream | None = None
        self._boot_count: int | None = None
        self._fault: asyncio.Future[DeviceFault] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._fetcher: asyncio.Task[None] | None = None

    # -- life -----------------------------------------------------------------------------------------------

    async def open(self) -> Hello:
        """Open the line and say HELLO; changes nothing in the hardware.

        `restarted` tells afterwards whether the device started anew since an earlier `open` of this object.
        Raises Disconnected, LinkTimeout, IdentityRefused (identity, ABI or map hash differ).
        """
        if self._port is not None:
            raise LocalMisuse(f"{self.name} is already open")
        self._fault = asyncio.get_running_loop().create_future()
        port = make_port(self.name, self._path, self.settings.baud_rate, self._on_messages, self.end)
        self._port = port
        self._turns = RequestTurns(port.window)
        try:
            await port.open()
            async with self._turns.alone():
                hello = await self._hello()
            for what, expected, found in (
                ("identity", self.map.identity, hello.identity),
                ("register map version", self.map.abi, hello.abi),
                ("register map hash", self.map.hash, hello.map_hash),
            ):
                if expected != found:
                    raise IdentityRefused(self.name, what, f"{expected:#010x}", f"{found:#010x}")
        except BaseException:
            await self.close()
            raise
        self.restarted = self._boot_count is not None and self._boot_count != hello.boot_count
        if self._stream is None or self.restarted:
            # Records from before our time belong to runs that nobody here has armed.
            self._stream = EventStream(hello.next_event)
        self._boot_count = hello.boot_count
        self._send_credit()
        self._keeper = asyncio.create_task(self._keep_alive(), name=f"{self.name}-keepalive")
        return hello

    async def close(self) -> None:
        """Close the line. Harmless when closed. Stops the signs of life, so a dead-man lease runs out."""
        for task in (self._keeper, self._fetcher):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self._keeper = self._fetcher = None
        port, self._port = self._port, None
        self._drop_requests(Disconnected(self.name, "the link was closed"))
        if port is not None:
            await port.close()

    async def failed(self) -> DeviceFault:
        """Waits until the link has failed and says why."""
        if self._fault is None:
            raise LocalMisuse(f"{self.name} was never opened")
        return await asyncio.shield(self._fault)

    @property
    def frame_errors(self) -> int:
        """Damaged frames that the host has dropped on the present connection."""
        return 0 if self._port is None else self._port.frame_errors

    def age_ns(self) -> int | None:
        """Nanoseconds since the last valid frame; None when none ever came."""
        return None if self.heard_at_ns is None else time.monotonic_ns() - self.heard_at_ns

    def end(self, fault: DeviceFault) -> None:
        """Declare the link failed, from above (a driver that saw impossible records)."""
        self._fail(fault)

    @property
    def is_open(self) -> bool:
        """Whether the line is open and has not failed."""
        return self._port is not None and self._fault is not None and not self._fault.done()

    # -- registers ------------------------------------------------------------------------------------------

    async def read(self, name: str, index: int = 0) -> int:
        """Value of a register, in one burst (so that both words of a pair belong together)."""
        register = self.map[name]
        return register.decode(await self.read_words(register.address_of(index), register.words))

    async def write(self, name: str, value: int, index: int = 0) -> None:
        """Set a register. Raises DeviceError when the device refuses, LinkTimeout when nobody knows."""
        register = self.map[name]
        await self.write_words(register.address_of(index), register.encode(value))

    async def read_words(self, address: int, count: int, *, fixed: bool = False) -> tuple[int, ...]:
        """`count` words (1 .. 64) from `address` on, or all from the same address when `fixed`."""
        if not 1 <= count <= READ_WORDS_MAX:
            raise LocalMisuse(f"a read takes 1 .. {READ_WORDS_MAX} words, not {count}")
        kind = FrameType.READ_FIXED if fixed else FrameType.READ
        reply = await self._request(kind, address, count)
        words = reply.words()
        if len(words) != count:
            raise ProtocolFault(self.name, f"read of {count} words at {address:#x} returned {len(words)}")
        return words

    async def write_words(self, address: int, words: tuple[int, ...], *, fixed: bool = False) -> None:
        """Write 1 .. 16 words from `address` on, or all to the same address when `fixed`."""
        if not 1 <= len(words) <= WRITE_WORDS_MAX:
            raise LocalMisuse(f"a write takes 1 .. {WRITE_WORDS_MAX} words, not {len(words)}")
        kind = FrameType.WRITE_FIXED if fixed else FrameType.WRITE
        await self._request(kind, address, len(words), pack_words(words))

    # -- requests -------------------------------------------------------------------------------------------

    async def _request(self, kind: FrameType, address: int, count: int, payload: bytes = b"") -> Message:
        async with self._turns.one():
            self._require_well()
            reply = await self._exchange(kind, address, count, payload)
        if reply is None:
            # HELLO empties the store of replies, so nothing else may be in flight that would be repeated.
            async with self._turns.alone():
                self._require_well()
                hello = await self._hello()
                if hello.boot_count != self._boot_count:
                    raise self._fail(DeviceRestarted(self.name, "the device started anew during a request"))
                self._send_credit()
            raise LinkTimeout(
                self.name,
                f"{kind.name} at {address:#05x} unanswered in {self.settings.tries} tries, yet HELLO was",
            )
        if reply.status != Status.OK:
            raise DeviceError(
                self.name, f"{kind.name} at {address:#05x} refused: {spoken(Status, reply.status)}"
            )
        return reply

    def _require_well(self) -> None:
        if self._fault is not None and self._fault.done():
            raise self._fault.result()  # out of step or gone until it is opened again

    async def _exchange(self, kind: FrameType, address: int, count: int, payload: bytes) -> Message | None:
        """One request with its repeats; None when all tries stayed unanswered. A turn is held."""
        self._seq = (self._seq + 1) & 0xFF
        request = Message(kind, self._seq, address, count, 0, payload)
        key = (kind | REPLY_BIT, self._seq)
        for attempt in range(self.settings.tries):
            self.repeated_requests += attempt > 0
            waiting: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
            self._waiting[key] = waiting
            try:
                self._send(request)
                async with asyncio.timeout(self.settings.reply_timeout_s):
                    return await waiting
            except TimeoutError:
                continue
            finally:
                del self._waiting[key]
        return None

    async def _hello(self) -> Hello:
        """Reset the link and learn who is there. Raises LinkTimeout, and the link has failed then."""
        nonce = int.from_bytes(os.urandom(4), "little")
        for _ in range(self.settings.tries):
            reply = await self._exchange(FrameType.HELLO, 0, 1, pack_words([nonce]))
            if reply is None:
                break
            if reply.status == Status.BUSY:
                raise self._fail(Disconnected(self.name, "the device is owned by another host"))
            try:
                hello = Hello.unpack(reply.payload)
            except PeerViolation as error:
                raise self._fail(ProtocolFault(self.name, error.detail)) from error
            if hello.nonce == nonce:
                return hello
        raise self._fail(LinkTimeout(self.name, f"no answer to HELLO in {self.settings.tries} tries"))

    def _send(self, message: Message) -> None:
        if self._port is None:
            raise Disconnected(self.name, "the link is not open")
        self._port.send(message)

    def _send_credit(self) -> None:
        if self._stream is not None:
            self._send(Message(FrameType.CREDIT, 0, payload=self._stream.credit().pack()))

    # -- what arrives ---------------------------------------------------------------------------------------

    def _on_messages(self, messages: list[Message]) -> None:
        self.heard_at_ns = time.monotonic_ns()
        try:
            for message in messages:
                self._on_message(message)
        except PeerViolation as error:
            self._fail(ProtocolFault(self.name, error.detail))
        except DeviceFault as error:
            self._fail(error)

    def _on_message(self, message: Message) -> None:
        if message.type & REPLY_BIT:
            waiting = self._waiting.get((message.type, message.seq))
            if waiting is not None and not waiting.done():
                waiting.set_result(message)
        elif self._stream is None:
            return  # pushed before HELLO was answered; it will be sent again once credit is granted
        elif message.type == FrameType.EVENTS:
            events = self._stream.take(self._unpack_events(message))
            if events is None:
                self._fetch_missing()
            elif events.records:
                self.on_events(events)
                self._send_credit()
        elif message.type == FrameType.BOUND:
            self._on_bound(Bound.unpack(message.payload, message.status), self._stream)
        elif message.type == FrameType.LOST:
            self.on_lost(Lost.unpack(message.payload, message.status))
        else:
            raise ProtocolFault(self.name, f"unknown message type {message.type:#04x}")

    def _unpack_events(self, message: Message) -> Events:
        record_bytes = self._record_bytes.get(message.status)
        if record_bytes is None:
            raise ProtocolFault(self.name, f"records of unknown kind {message.status}")
        return Events.unpack(message.payload, record_bytes, message.status)

    def _on_bound(self, bound: Bound, stream: EventStream) -> None:
        if bound.boot_count != self._boot_count:
            if self._keeper is not None:  # while opening, HELLO's own answer decides
                self._fail(DeviceRestarted(self.name, f"start {bound.boot_count}, was {self._boot_count}"))
        elif stream.covers(bound):
            self.on_bound(bound)
        else:
            self._fetch_missing()

    def _fetch_missing(self) -> None:
        if self._keeper is not None and (self._fetcher is None or self._fetcher.done()):
            self._fetcher = asyncio.create_task(self._fetch(), name=f"{self.name}-fetch")

    async def _fetch(self) -> None:
        """Ask for the records from the next expected one on (GET)."""
        assert self._stream is not None
        wanted = self._stream.expected
        async with self._turns.one():
            try:
                reply = await self._exchange(FrameType.GET, 0, 1, pack_words([wanted]))
            except DeviceFault:
                return  # the link has ended; whoever watches it knows
        if reply is not None and reply.status == Status.RANGE and reply.words():
            resumed_at = reply.words()[0]
            if self._stream.skip_to(resumed_at):
                self.on_gap(wanted, resumed_at)
                self._send_credit()

    # -- liveness -------------------------------------------------------------------------------------------

    async def _keep_alive(self) -> None:
        """Signs of life come from the event loop on purpose: a hung agent must let its lease run out."""
        while True:
            await asyncio.sleep(self.settings.keepalive_s)
            age_ns = self.age_ns()
            if age_ns is not None and age_ns > self.settings.silence_s * 1e9:
                self._fail(LinkTimeout(self.name, f"silent for {age_ns / 1e9:.2f} s"))
                return
            try:
                self._send_credit()
            except Disconnected as fault:
                self._fail(fault)
                return

    def _fail(self, fault: DeviceFault) -> DeviceFault:
        if self._fault is not None and not self._fault.done():
            self._fault.set_result(fault)
        self._drop_requests(fault)
        return fault

    def _drop_requests(self, fault: DeviceFault) -> None:
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(fault)


def _ignore(_: object) -> None:
    """Default callback."""


def _ignore_gap(_first: int, _resumed_at: int) -> None:
    """Default callback of `on_gap`."""
