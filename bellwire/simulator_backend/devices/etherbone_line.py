"""The second Ethernet port of an emulated FPGA: its registers on Etherbone, as LiteEth would give them.

Owns the socket. Serves whoever asks, like the core it plays. A read where no register is gives all ones, as a
bus error does; a write that the device refuses is lost without a word.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from bellwire.core.errors import PeerViolation
from bellwire.drivers.etherbone import Packet, Record, decode_packet, encode_packet
from bellwire.drivers.framing import Status
from bellwire.simulator_backend.devices.endpoint import DeviceCore
from bellwire.simulator_backend.devices.faults import Fault, FaultSwitches

READ_BYTES = 4096
DATAGRAMS_PER_TURN = 64
BUS_ERROR = 0xFFFF_FFFF
WORD_BYTES = 4


class EtherboneLine:
    """Registers of `core()` on a UDP port of 127.0.0.1; port 0 becomes a free one. None = no power."""

    def __init__(
        self,
        port: int,
        core: Callable[[], DeviceCore | None],
        clock: Callable[[], int],
        faults: FaultSwitches,
    ) -> None:
        self.port = port
        self.damaged_packets = 0
        self._core = core
        self._clock = clock
        self._faults = faults
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Bind the port; harmless when bound."""
        if self._socket is not None:
            return
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(("127.0.0.1", self.port))
        self.port = self._socket.getsockname()[1]
        asyncio.get_running_loop().add_reader(self._socket, self._readable)

    def close(self) -> None:
        """Unplug. Harmless when closed."""
        bound, self._socket = self._socket, None
        if bound is not None:
            asyncio.get_running_loop().remove_reader(bound)
            bound.close()

    def _readable(self) -> None:
        for _ in range(DATAGRAMS_PER_TURN):
            if self._socket is None:
                return
            try:
                datagram, peer = self._socket.recvfrom(READ_BYTES)
            except (BlockingIOError, ConnectionRefusedError):
                return
            answer = None if self._faults.strikes(Fault.LOST_FRAME) else self.answer(datagram)
            if answer is None or self._faults.strikes(Fault.SILENT) or self._faults.strikes(Fault.LOST_FRAME):
                continue
            copies = 2 if self._faults.strikes(Fault.DOUBLE_REPLY) else 1
            for _ in range(copies):
                if self._faults.strikes(Fault.LATE_REPLY):
                    delay_s = self._faults.delay_s(Fault.LATE_REPLY)
                    asyncio.get_running_loop().call_later(delay_s, self._send, answer, peer)
                else:
                    self._send(answer, peer)

    def _send(self, octets: bytes, peer: tuple[str, int]) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(octets, peer)
        except (BlockingIOError, ConnectionRefusedError):
            return  # an Ethernet loses it as well

    def answer(self, datagram: bytes) -> bytes | None:
        """Carry out a packet; the answer, None when there is none."""
        core = self._core()
        try:
            packet = decode_packet(datagram)
        except PeerViolation:
            self.damaged_packets += 1
            return None
        if core is None:
            return None
        if packet.probe:
            return encode_packet(Packet(probe_reply=True))
        core.set_now(self._clock())
        answers: list[Record] = []
        for record in packet.records:
            for k, word in enumerate(record.writes):
                self._write(core, record.write_base + WORD_BYTES * k, word)
            if record.reads:
                words = tuple(self._read(core, address) for address in record.reads)
                answers.append(Record(record.return_base, words))
        return encode_packet(Packet(tuple(answers))) if answers else None

    def _read(self, core: DeviceCore, address: int) -> int:
        word = core.registers.read(address // WORD_BYTES) if address % WORD_BYTES == 0 else None
        return BUS_ERROR if word is None else word

    def _write(self, core: DeviceCore, address: int, word: int) -> None:
        if address % WORD_BYTES == 0 and core.registers.check(address // WORD_BYTES, word) == Status.OK:
            core.registers.write(address // WORD_BYTES, word)
