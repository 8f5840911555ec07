"""A serial line of frames: a pseudo-terminal that is cut and brought back at will, with faults per frame.

Owns the frame decoder. Refuses to know what the messages mean.
"""

from __future__ import annotations

from pathlib import Path

from bellwire.drivers.framing import FrameDecoder, Message, encode_frame
from bellwire.simulator_backend.devices.faults import Fault, FaultSwitches
from bellwire.simulator_backend.devices.frame_line import FrameLine, Receive
from bellwire.simulator_backend.devices.pseudo_terminal import PseudoTerminal

OUTGOING_BYTES_MAX = 1 << 16


class PtyLine(FrameLine):
    """One pseudo-terminal; `receive` runs in the loop."""

    def __init__(self, path: Path, receive: Receive, faults: FaultSwitches) -> None:
        super().__init__(receive, faults)
        self._path = path
        self._terminal: PseudoTerminal | None = None
        self._decoder = FrameDecoder()

    @property
    def is_open(self) -> bool:
        """Whether the line exists."""
        return self._terminal is not None

    def open(self) -> None:
        """Make the terminal and publish its name; harmless when open."""
        if self._terminal is None:
            self._decoder = FrameDecoder()
            self._terminal = PseudoTerminal(self._path, self._read, outgoing_bytes_max=OUTGOING_BYTES_MAX)

    def close(self) -> None:
        """Hang up; the driver's end reads an end of file or an I/O error. Harmless when closed."""
        terminal, self._terminal = self._terminal, None
        if terminal is not None:
            terminal.close()

    def _encode(self, message: Message) -> bytes:
        return encode_frame(message)

    def _write(self, octets: bytes) -> None:
        if self._terminal is not None:
            self._terminal.write(octets)

    def _read(self, octets: bytes) -> None:
        if not self._faults.strikes(Fault.LOST_FRAME):
            damaged = self._decoder.crc_errors
            messages = self._decoder.feed(octets)
            self._receive(messages, self._decoder.crc_errors - damaged)
