"""One instrument, one worker thread, one request in flight: what every driver's link has in common.

Owns the rules of instruments.md section 7.4: requests wait for each other; nothing may lie on the line
before a request, because it would be taken for the reply; a reply ends where its protocol says and is
bounded; after any fault the session is out of step and refuses to be used until it was closed and opened
again; a call that blocks beyond every timeout is given up and costs its thread, never the event loop.
Refuses to retry: only a driver knows what may be sent twice (`try_exchange` lets it). Knows no transport
(`Transport`) and no dialect (`Take`).
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from bellwire.core.errors import DeviceFault
from bellwire.drivers.faults import Disconnected, LinkTimeout, ProtocolFault

T = TypeVar("T")

Take = Callable[[bytes], "tuple[bytes, bytes] | None"]
"""What a reply is: from all bytes so far to (reply, rest), or None while the reply is incomplete."""


class Transport(ABC):
    """Bytes to and from one instrument. All methods block and run in the worker thread of a session.

    Raises `Disconnected` when the other end is gone; a plain OSError is taken for the same.
    """

    @abstractmethod
    def open(self, timeout_s: float) -> None:
        """Open; raises Disconnected at a refused, silent or absent place."""

    @abstractmethod
    def close(self) -> None:
        """Close; harmless when closed."""

    @abstractmethod
    def write(self, octets: bytes) -> None:
        """Send all bytes."""

    @abstractmethod
    def read_some(self, timeout_s: float) -> bytes:
        """What has come, as soon as anything has; empty when nothing came within `timeout_s`."""

    def strays(self, quiet_s: float) -> bytes:
        """What lies on the line though nobody asked for it; empty where a protocol keeps messages apart."""
        return self.read_some(quiet_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """Limits of a session.

    `quiet_s`: how long is listened behind each reply. `hang_s`: how much longer than its timeout a call may
    take before its thread is given up.
    """

    timeout_s: float = 1.0
    reply_bytes_max: int = 1 << 16
    quiet_s: float = 0.001
    hang_s: float = 2.0


class Session:
    """The line to one instrument. Not usable before `open`; after a fault `close` and `open` again.

    `on_stray`: takes what arrives outside of replies, for devices that speak unasked; it runs in the loop.
    None: such bytes are a ProtocolFault. `on_fault`: told in the loop, at once, when the session falls out of
    step.
    """

    def __init__(
        self,
        instrument: str,
        transport: Transport,
        settings: SessionSettings | None = None,
        *,
        on_stray: Callable[[bytes], None] | None = None,
        on_fault: Callable[[DeviceFault], None] | None = None,
    ) -> None:
        self.settings = settings or SessionSettings()
        self.heard_at_ns: int | None = None
        self.fault: DeviceFault | None = None
        self._instrument = instrument
        self._transport = transport
        self._on_stray = on_stray
        self._on_fault = on_fault
        self._worker: _Worker | None = None
        self._failed = asyncio.Event()
        self._lock = asyncio.Lock()
        self._rest = b""

    @property
    def is_open(self) -> bool:
        """Open, and nothing went wrong since."""
        return self._worker is not None and self.fault is None

    async def open(self) -> None:
        """Open the transport. Raises Disconnected, LinkTimeout."""
        self._worker = _Worker(self._instrument)
        self.fault, self._rest = None, b""
        self._failed.clear()
        timeout_s = self.settings.timeout_s
        await self._run(lambda: self._transport.open(timeout_s), timeout_s)

    async def close(self) -> None:
        """Close; harmless when closed. A backend that hangs keeps its thread; it is given up."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        try:
            async with asyncio.timeout(self.settings.timeout_s + self.settings.hang_s):
                # A connection that is gone cannot be closed any better.
                with contextlib.suppress(DeviceFault, OSError):
                    await worker.run(self._transport.close)
        except TimeoutError:
            pass
        finally:
            worker.end()

    async def failed(self) -> DeviceFault:
        """Wait for the fault that puts the session out of step, and return it."""
        await self._failed.wait()
        assert self.fault is not None
        return self.fault

    def give_up(self, fault: DeviceFault) -> None:
        """A reply made no sense: the session is out of step, as after a fault of its own."""
        if self.fault is None:
            self._out_of_step(fault)

    async def exchange(self, request: bytes, take: Take, *, timeout_s: float | None = None) -> bytes:
        """Send a request and return its reply.

        Raises LinkTimeout, Disconnected, ProtocolFault; the session is out of step after each of them.
        """
        allowed_s = self.settings.timeout_s if timeout_s is None else timeout_s
        return await self.call(lambda: self._exchange_blocking(request, take, allowed_s), timeout_s=allowed_s)

    async def try_exchange(
        self, request: bytes, take: Take, *, timeout_s: float | None = None
    ) -> bytes | None:
        """As `exchange`, but None when no reply came in time, and the session stays in step.

        Only for protocols whose replies name their request, so that `take` passes over a late one, and with
        `on_stray` for what comes later still. Raises Disconnected, ProtocolFault.
        """
        allowed_s = self.settings.timeout_s if timeout_s is None else timeout_s

        def work() -> bytes | None:
            try:
                return self._exchange_blocking(request, take, allowed_s)
            except LinkTimeout:
                return None

        return await self.call(work, timeout_s=allowed_s)

    async def send(self, request: bytes) -> None:
        """Send what has no reply. Raises Disconnected, ProtocolFault."""
        await self.call(lambda: self._send_blocking(request))

    async def listen(self, timeout_s: float) -> bytes:
        """What arrives by itself within `timeout_s`; empty when nothing does. Raises Disconnected."""
        return await self.call(lambda: self._listen_blocking(timeout_s), timeout_s=timeout_s)

    async def call(self, work: Callable[[], T], *, timeout_s: float | None = None) -> T:
        """Run blocking work in the thread of this session, in turn with its requests.

        `timeout_s`: how long the work should take; given up `hang_s` after. Raises what the work raises.
        """
        async with self._lock:
            return await self._run(work, self.settings.timeout_s if timeout_s is None else timeout_s)

    async def _run(self, work: Callable[[], T], timeout_s: float) -> T:
        if self._worker is None:
            raise Disconnected(self._instrument, "the session is not open")
        if self.fault is not None:
            raise self.fault
        try:
            async with asyncio.timeout(timeout_s + self.settings.hang_s):
                return await self._worker.run(work)
        except TimeoutError:
            longest_s = timeout_s + self.settings.hang_s
            hang = f"a call hangs beyond {longest_s} s; its thread is given up"
            raise self._out_of_step(LinkTimeout(self._instrument, hang)) from None
        except asyncio.CancelledError:
            # The thread goes on by itself; whatever it reads belongs to nobody.
            self._out_of_step(LinkTimeout(self._instrument, "a request was abandoned"))
            raise
        except DeviceFault as fault:
            self._out_of_step(fault)
            raise
        except OSError as error:
            gone = Disconnected(self._instrument, f"{type(error).__name__}: {error}")
            raise self._out_of_step(gone) from error

    def _out_of_step(self, fault: DeviceFault) -> DeviceFault:
        self.fault = fault
        self._failed.set()
        if self._on_fault is not None:
            self._on_fault(fault)
        return fault

    # -- in the thread --------------------------------------------------------------------------------------

    def _exchange_blocking(self, request: bytes, take: Take, timeout_s: float) -> bytes:
        self._settle_strays()
        self._transport.write(request)
        deadline = time.monotonic() + timeout_s
        buffer = b""
        while True:
            left_s = deadline - time.monotonic()
            chunk = self._transport.read_some(max(left_s, 0.0)) if left_s > 0 else b""
            if not chunk:
                raise LinkTimeout(
                    self._instrument, f"no whole reply to {request!r} in {timeout_s} s, only {buffer[-64:]!r}"
                )
            buffer += chunk
            taken = take(buffer)
            if taken is not None:
                reply, self._rest = taken
                if len(reply) <= self.settings.reply_bytes_max:
                    self._refuse_more(request)
                    self.heard_at_ns = time.monotonic_ns()
                    return reply
            if len(buffer) > self.settings.reply_bytes_max:
                raise ProtocolFault(
                    self._instrument,
                    f"the reply to {request!r} exceeds {self.settings.reply_bytes_max} bytes",
                )

    def _refuse_more(self, request: bytes) -> None:
        """Nothing may follow a reply: the first of two may be somebody else's, and only this one ours."""
        if self._on_stray is None:
            self._rest += self._transport.strays(self.settings.quiet_s)
            if self._rest:
                raise ProtocolFault(
                    self._instrument, f"more than one reply to {request!r}: {self._rest[:64]!r} follows"
                )

    def _send_blocking(self, request: bytes) -> None:
        self._settle_strays()
        self._transport.write(request)

    def _listen_blocking(self, timeout_s: float) -> bytes:
        rest, self._rest = self._rest, b""
        octets = rest or self._transport.read_some(timeout_s)
        if octets:
            self.heard_at_ns = time.monotonic_ns()
        return octets

    def _settle_strays(self) -> None:
        stray, self._rest = self._rest, b""
        # What lies there already; what comes later is met behind the reply, or before the next request.
        while chunk := self._transport.strays(0.0):
            stray += chunk
            if len(stray) > self.settings.reply_bytes_max:
                raise ProtocolFault(self._instrument, "the line does not become quiet before a request")
        if not stray:
            return
        if self._on_stray is None:
            raise ProtocolFault(self._instrument, f"unsolicited bytes before a request: {stray[:64]!r}")
        assert self._worker is not None
        self._worker.tell(self._on_stray, stray)


_Entry = tuple[Callable[[], Any], "asyncio.Future[Any]"]


class _Worker:
    """One daemon thread that carries out work in turn; a thread that hangs does not hold the program back."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._work: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        threading.Thread(target=self._forever, name=f"{name}-session", daemon=True).start()

    async def run(self, work: Callable[[], T]) -> T:
        future: asyncio.Future[T] = self._loop.create_future()
        self._work.put((work, future))
        return await future

    def tell(self, callback: Callable[[bytes], None], octets: bytes) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(callback, octets)

    def end(self) -> None:
        self._work.put(None)

    def _forever(self) -> None:
        while (entry := self._work.get()) is not None:
            work, future = entry
            try:
                result, problem = work(), None
            except Exception as error:  # handed to whoever waits for the result, not swallowed
                result, problem = None, error
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(_settle, future, result, problem)


def _settle(future: asyncio.Future[Any], result: Any, problem: Exception | None) -> None:
    if future.done():
        return  # given up or abandoned meanwhile
    if problem is None:
        future.set_result(result)
    else:
        future.set_exception(problem)
