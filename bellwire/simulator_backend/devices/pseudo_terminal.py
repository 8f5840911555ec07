"""A pseudo-terminal published under a path: what every emulated serial line is made of.

Owns the descriptors, the symbolic link and what waits to be written. Refuses what the octets mean, and every
fault: those are the lines' that use it.
"""

from __future__ import annotations

import asyncio
import os
import termios
import tty
from collections.abc import Callable
from pathlib import Path

READ_BYTES = 1 << 16
BAUD_RATES = (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400)


class PseudoTerminal:
    """Open from its making, which needs a running loop, until `close`. `on_octets` runs in that loop.

    outgoing_bytes_max: what a host that does not read may leave unread; beyond it octets are lost, as a UART
    would have lost them.
    """

    def __init__(self, path: Path, on_octets: Callable[[bytes], None], *, outgoing_bytes_max: int) -> None:
        self._path = path
        self._on_octets = on_octets
        self._outgoing_bytes_max = outgoing_bytes_max
        self._outgoing = bytearray()
        self._open = True
        self._loop = asyncio.get_running_loop()
        # The host's end stays open here too: otherwise each close by a driver would hang up the device's end.
        self._device, self._host = os.openpty()
        tty.setraw(self._host)
        os.set_blocking(self._device, False)
        self._loop.add_reader(self._device, self._readable)
        fresh = path.with_name(f".{path.name}.{self._device}")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(os.ttyname(self._host))
        fresh.replace(path)  # atomic: a driver sees the old line or the new one, never none

    @property
    def is_open(self) -> bool:
        """Whether the line exists."""
        return self._open

    @property
    def host_baud_rate(self) -> int | None:
        """The rate that the host has chosen for its end of an open line; None for one without a name."""
        speed = termios.tcgetattr(self._device)[5]
        return next((rate for rate in BAUD_RATES if getattr(termios, f"B{rate}") == speed), None)

    def close(self) -> None:
        """Hang up; the driver's end reads an end of file or an I/O error. Harmless when closed."""
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._device)
        self._loop.remove_writer(self._device)
        self._path.unlink(missing_ok=True)
        os.close(self._host)
        os.close(self._device)

    def write(self, octets: bytes) -> None:
        """To the host, now or when it reads; lost when closed."""
        if self._open and len(self._outgoing) + len(octets) <= self._outgoing_bytes_max:
            self._outgoing += octets
            self._flush()

    def _flush(self) -> None:
        try:
            written = os.write(self._device, self._outgoing) if self._outgoing else 0
        except BlockingIOError:
            written = 0
        del self._outgoing[:written]
        if self._outgoing:
            self._loop.add_writer(self._device, self._flush)
        else:
            self._loop.remove_writer(self._device)

    def _readable(self) -> None:
        if not self._open:
            return
        try:
            octets = os.read(self._device, READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        if octets:
            self._on_octets(octets)
