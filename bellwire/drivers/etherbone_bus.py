"""The registers of a device over Etherbone: read and written by name, and nothing else.

Owns one UDP socket and who waits for which answer. For boards whose network core is LiteEth's: records,
bounds and losses are not pushed here, they are read from the ring (RING, EV_WR, EV_RD) and its counters.
Refuses to repeat a write: Etherbone cannot say whether the first one ran. There is no refusal either: what a
device does not take shows at the read-back only.
"""

from __future__ import annotations

import asyncio
import os

from bellwire.core.errors import LocalMisuse, PeerViolation
from bellwire.drivers.etherbone import WORDS_MAX, Packet, Record, decode_packet, encode_packet
from bellwire.drivers.faults import Disconnected, IdentityRefused, LinkTimeout, ProtocolFault
from bellwire.drivers.regmap import RegisterMap

WORD_BYTES = 4


class EtherboneBus(asyncio.DatagramProtocol):
    """One device at `host`:`port`. `reply_timeout_s` for each of `tries` reads; a write has one try."""

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        register_map: RegisterMap,
        *,
        reply_timeout_s: float = 0.25,
        tries: int = 3,
    ) -> None:
        self.name = name
        self.map = register_map
        self.damaged_packets = 0
        self.repeated_reads = 0
        self._place = (host, port)
        self._reply_timeout_s = reply_timeout_s
        self._tries = tries
        self._transport: asyncio.DatagramTransport | None = None
        # Answers are told apart by the base address that they return to. It begins anywhere, so that answers
        # to somebody who had this port before are not taken for ours.
        self._tag = int.from_bytes(os.urandom(4), "big")
        self._waiting: dict[int, asyncio.Future[tuple[int, ...]]] = {}

    async def open(self) -> None:
        """Make the socket and compare identity, version and hash of the map.

        Raises Disconnected, LinkTimeout, IdentityRefused.
        """
        if self._transport is not None:
            raise LocalMisuse(f"{self.name} is already open")
        loop = asyncio.get_running_loop()
        try:
            self._transport, _ = await loop.create_datagram_endpoint(lambda: self, remote_addr=self._place)
        except OSError as error:
            place = f"{self._place[0]}:{self._place[1]}"
            raise Disconnected(self.name, f"cannot open UDP {place}: {error}") from error
        try:
            for what, register, expected in (
                ("identity", "ID", self.map.identity),
                ("register map version", "ABI", self.map.abi),
                ("register map hash", "MAP_HASH", self.map.hash),
            ):
                found = await self.read(register)
                if found != expected:
                    raise IdentityRefused(self.name, what, f"{expected:#010x}", f"{found:#010x}")
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the socket. Harmless when closed."""
        transport, self._transport = self._transport, None
        self._drop(Disconnected(self.name, "the bus was closed"))
        if transport is not None:
            transport.close()
            await asyncio.sleep(0)  # the transport closes its socket in the next turn

    async def read(self, name: str, index: int = 0) -> int:
        """Value of a register, in one burst."""
        register = self.map[name]
        return register.decode(await self.read_words(register.address_of(index), register.words))

    async def write(self, name: str, value: int, index: int = 0) -> None:
        """Set a register; nobody says whether the device took the value: read it back."""
        register = self.map[name]
        await self.write_words(register.address_of(index), register.encode(value))

    async def read_words(self, address: int, count: int, *, fixed: bool = False) -> tuple[int, ...]:
        """`count` words (1 .. 255) from a word address on, or all from it when `fixed`.

        Raises LinkTimeout after the last try, Disconnected when the host says that nobody listens.
        """
        if not 1 <= count <= WORDS_MAX:
            raise LocalMisuse(f"a read takes 1 .. {WORDS_MAX} words, not {count}")
        reads = tuple((address if fixed else address + k) * WORD_BYTES for k in range(count))
        # A fixed read moves a pointer in the device, so it must not run twice.
        for attempt in range(1 if fixed else self._tries):
            self.repeated_reads += attempt > 0
            words = await self._exchange((), reads)
            if words is not None:
                return words
        raise LinkTimeout(self.name, f"read of {count} words at {address:#05x} unanswered")

    async def write_words(self, address: int, words: tuple[int, ...], *, fixed: bool = False) -> None:
        """Write 1 .. 64 words from a word address on, or all to it when `fixed`.

        The identity is read behind them in the same packet: its answer says that the packet was carried out.
        Raises LinkTimeout when it does not come: nobody knows whether the words were written.
        """
        if not 1 <= len(words) <= 64:
            raise LocalMisuse(f"a write takes 1 .. 64 words, not {len(words)}")
        records = (
            tuple(Record(address * WORD_BYTES, (word,)) for word in words)
            if fixed
            else (Record(address * WORD_BYTES, words),)
        )
        if await self._exchange(records, (self.map["ID"].address * WORD_BYTES,)) is None:
            raise LinkTimeout(self.name, f"write of {len(words)} words at {address:#05x} has an unknown end")

    async def _exchange(self, records: tuple[Record, ...], reads: tuple[int, ...]) -> tuple[int, ...] | None:
        """One packet; the words that were read, None when no answer came in time."""
        if self._transport is None:
            raise Disconnected(self.name, "the bus is not open")
        self._tag = (self._tag + 1) & 0xFFFF_FFFF
        tag = self._tag
        waiting: asyncio.Future[tuple[int, ...]] = asyncio.get_running_loop().create_future()
        self._waiting[tag] = waiting
        packet = Packet((*records, Record(return_base=tag, reads=reads)))
        try:
            self._transport.sendto(encode_packet(packet))
            async with asyncio.timeout(self._reply_timeout_s):
                words = await waiting
        except TimeoutError:
            return None
        finally:
            del self._waiting[tag]
        if len(words) != len(reads):
            raise ProtocolFault(self.name, f"read of {len(reads)} words returned {len(words)}")
        return words

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Called by asyncio."""
        try:
            packet = decode_packet(data)
        except PeerViolation:
            self.damaged_packets += 1
            return
        for record in packet.records:
            waiting = self._waiting.get(record.write_base)
            if record.writes and waiting is not None and not waiting.done():
                waiting.set_result(record.writes)

    def error_received(self, exc: Exception) -> None:
        """Called by asyncio: the host says that nobody listens."""
        self._drop(Disconnected(self.name, f"UDP {self._place[0]}:{self._place[1]}: {exc}"))

    def _drop(self, fault: Disconnected) -> None:
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(fault)
