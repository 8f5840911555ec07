"""A serial line as a pseudo-terminal: published under a path, cut and brought back at will, with faults per
frame.

Owns the file descriptors, the symbolic link and the frame decoder. Refuses to know what the messages mean.
"""

from __future__ import annotations

import asyncio
import os
import tty
from pathlib import Path

from bellwire.drivers.framing import FrameDecoder, Message, encode_frame
from bellwire.simulator_backend.devices.faults import Fault, FaultSwitches
from bellwire.simulator_backend.devices.frame_line import FrameLine, Receive

OUTGOING_BYTES_MAX = 1 << 16
READ_BYTES = 4096


class PtyLine(FrameLine):
    """One pseudo-terminal; `receive` runs in the loop."""

    def __init__(self, path: Path, receive: Receive, faults: FaultSwitches) -> None:
        super().__init__(receive, faults)
        self._path = path
        self._ends: tuple[int, int] | None = None
        self._outgoing = bytearray()
        self._decoder = FrameDecoder()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_open(self) -> bool:
        """Whether the line exists."""
        return self._ends is not None

    def open(self) -> None:
        """Make the terminal and publish its name; harmless when open."""
        if self._ends is not None:
            return
        device, host = os.openpty()
        tty.setraw(host)
        os.set_blocking(device, False)
        # The host's end stays open here too: otherwise each close by the driver would hang up the device's
        # end.
        self._ends = (device, host)
        self._outgoing.clear()
        self._decoder = FrameDecoder()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(device, self._readable)
        fresh = self._path.with_name(f".{self._path.name}.{device}")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(os.ttyname(host))
        fresh.replace(self._path)  # atomic: a driver sees the old line or the new one, never none

    def close(self) -> None:
        """Hang up; the driver's end reads an end of file or an I/O error. Harmless when closed."""
        if self._ends is None or self._loop is None:
            return
        device, host = self._ends
        self._ends = None
        self._loop.remove_reader(device)
        self._loop.remove_writer(device)
        self._path.unlink(missing_ok=True)
        os.close(host)
        os.close(device)

    def _encode(self, message: Message) -> bytes:
        return encode_frame(message)

    def _write(self, octets: bytes) -> None:
        if self._ends is None or len(self._outgoing) + len(octets) > OUTGOING_BYTES_MAX:
            return  # nobody reads: a UART would have lost it as well
        self._outgoing += octets
        self._flush()

    def _flush(self) -> None:
        if self._ends is None or self._loop is None:
            return
        device = self._ends[0]
        try:
            written = os.write(device, self._outgoing) if self._outgoing else 0
        except BlockingIOError:
            written = 0
        del self._outgoing[:written]
        if self._outgoing:
            self._loop.add_writer(device, self._flush)
        else:
            self._loop.remove_writer(device)

    def _readable(self) -> None:
        if self._ends is None:
            return
        try:
            octets = os.read(self._ends[0], READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        if octets and not self._faults.strikes(Fault.LOST_FRAME):
            damaged = self._decoder.crc_errors
            messages = self._decoder.feed(octets)
            self._receive(messages, self._decoder.crc_errors - damaged)
