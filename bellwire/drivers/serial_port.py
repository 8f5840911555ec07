"""A serial line as two threads and a loop: bytes out by a queue, messages in by `call_soon_threadsafe`.

Owns the open port, its threads and the frame decoder. Refuses to interpret messages. The agent's event loop
never waits for the line: a device that stops reading fills the bounded queue, which ends the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

import serial

from bellwire.drivers.faults import Disconnected
from bellwire.drivers.framing import FrameDecoder, Message, encode_frame

T = TypeVar("T")

WRITE_QUEUE_FRAMES = 256
READ_CHUNK_BYTES = 4096
JOIN_S = 2.0


class SerialPort:
    """One open serial line with exclusive ownership. Requests go one after the other (`window` 1).

    `on_messages` and `on_closed` run in the loop that opened the port. `on_closed` runs at most once, and not
    after `close()`.
    """

    window = 1

    def __init__(
        self,
        instrument: str,
        path: str,
        baud_rate: int,
        on_messages: Callable[[list[Message]], None],
        on_closed: Callable[[Disconnected], None],
    ) -> None:
        self._instrument = instrument
        self._path = path
        self._baud_rate = baud_rate
        self._on_messages = on_messages
        self._on_closed = on_closed
        self._serial: serial.Serial | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._outgoing: queue.Queue[bytes | None] = queue.Queue(WRITE_QUEUE_FRAMES)
        self._threads: list[threading.Thread] = []
        self._closing = False
        self.decoder = FrameDecoder()

    async def open(self) -> None:
        """Open the line and start the threads.

        Raises Disconnected when it is absent or owned by somebody else.
        """
        self._loop = asyncio.get_running_loop()
        opening = asyncio.ensure_future(asyncio.to_thread(self._open_blocking))
        try:
            self._serial = await asyncio.shield(opening)
        except asyncio.CancelledError:
            with contextlib.suppress(Disconnected):
                (await opening).close()  # or the line would stay owned by a port that nobody holds
            raise
        for target, role in ((self._read_forever, "read"), (self._write_forever, "write")):
            thread = threading.Thread(target=target, name=f"{self._instrument}-{role}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def _open_blocking(self) -> serial.Serial:
        try:
            # 50 ms only bounds how late the reading thread notices `close` where cancel_read does not exist.
            port = serial.Serial(self._path, self._baud_rate, timeout=0.05, write_timeout=1.0, exclusive=True)
            port.reset_input_buffer()
        except (serial.SerialException, OSError, ValueError) as error:
            raise Disconnected(self._instrument, f"cannot open {self._path}: {error}") from error
        return port

    @property
    def frame_errors(self) -> int:
        """Damaged frames dropped since `open`."""
        return self.decoder.crc_errors + self.decoder.short_frames + self.decoder.long_frames

    def send(self, message: Message) -> None:
        """Queue a message for the line.

        Raises Disconnected when the line is closed or the device has stopped reading.
        """
        if self._serial is None or self._closing:
            raise Disconnected(self._instrument, f"{self._path} is closed")
        try:
            self._outgoing.put_nowait(encode_frame(message))
        except queue.Full:
            raise Disconnected(
                self._instrument,
                f"{WRITE_QUEUE_FRAMES} frames wait for {self._path}: the device stopped reading",
            ) from None

    async def close(self) -> None:
        """Close the line and end the threads. Harmless when already closed."""
        self._closing = True
        port, self._serial = self._serial, None
        if port is None:
            return
        with contextlib.suppress(queue.Full):  # the writer ends by its write timeout instead
            self._outgoing.put_nowait(None)
        await asyncio.to_thread(self._close_blocking, port)

    def _close_blocking(self, port: serial.Serial) -> None:
        for thread in self._threads:
            thread.join(JOIN_S)
        with contextlib.suppress(OSError):  # a line that hung up cannot be closed any better
            port.close()

    def _read_forever(self) -> None:
        port = self._serial
        while port is not None and not self._closing:
            try:
                octets = port.read(1)
                if octets and (waiting := port.in_waiting):
                    octets += port.read(min(waiting, READ_CHUNK_BYTES))
            except (serial.SerialException, OSError, TypeError) as error:
                # TypeError: pyserial reads through a file descriptor that a concurrent close has set to None.
                self._post_closed(f"reading failed: {error}")
                return
            messages = self.decoder.feed(octets) if octets else []
            if messages and not self._post(self._deliver, messages):
                return

    def _write_forever(self) -> None:
        port = self._serial
        while port is not None and not self._closing:
            octets = self._outgoing.get()
            if octets is None:
                return
            try:
                port.write(octets)
            except (serial.SerialException, OSError, TypeError) as error:
                self._post_closed(f"writing failed: {error}")
                return

    def _deliver(self, messages: list[Message]) -> None:
        if not self._closing:
            self._on_messages(messages)

    def _post_closed(self, why: str) -> None:
        self._post(self._report_closed, Disconnected(self._instrument, f"{self._path}: {why}"))

    def _report_closed(self, fault: Disconnected) -> None:
        if not self._closing:
            self._on_closed(fault)

    def _post(self, callback: Callable[[T], None], argument: T) -> bool:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(callback, argument)
        except RuntimeError:  # the loop is closed: nobody is left to be told
            return False
        return True
