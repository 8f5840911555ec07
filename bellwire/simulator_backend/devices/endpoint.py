"""Device side of the framed protocol: requests answered once, events pushed under credit, bounds at 20 Hz.

Owns the reply store (a repeated sequence number is answered from it and not executed again), the credit and
the send position. Sans I/O: messages in, messages out through `send`. Refuses to know what the registers do
(`DeviceCore`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from bellwire.drivers.framed_device import READ_WORDS_MAX, WRITE_WORDS_MAX
from bellwire.drivers.frames import Bound, Credit, Events, Hello, Lost
from bellwire.drivers.framing import (
    FRAME_BYTES_MAX,
    REPLY_BIT,
    FrameType,
    Message,
    Status,
    pack_words,
)
from bellwire.simulator_backend.devices.event_ring import EventRing
from bellwire.simulator_backend.devices.faults import Fault, FaultSwitches
from bellwire.simulator_backend.devices.register_file import RegisterFile

REPLIES_KEPT = 16
"""Far fewer than 256, so that a sequence number that has gone round is not taken for a repeat."""
RECORDS_PER_FRAME = 16
CREDIT_BYTES = 8


class DeviceCore(Protocol):
    """What an endpoint needs from the device behind it."""

    registers: RegisterFile
    ring: EventRing
    boot_count: int

    def heard(self, now_ns: int) -> None:
        """A valid frame came from the host."""
        ...

    def set_now(self, now_ns: int) -> None:
        """Time goes on."""
        ...

    def write_block(self, address: int, words: tuple[int, ...]) -> Status | None:
        """Carry out a write that is more than single registers (a mailbox); None when it is not one."""
        ...

    def bound(self, first_unsent: int) -> Bound:
        """The bound to send now; records from stream sequence `first_unsent` on have not left yet."""
        ...

    def tag_bound(self, first_unsent: int) -> Bound | None:
        """The same for time tags; None when the device sends none."""
        ...

    def afflict(self, fault: Fault, on: bool, now_ns: int) -> None:
        """A fault of the device itself begins or ends. Raises LocalMisuse when it has no such thing."""
        ...

    def take_lost(self) -> list[Lost]:
        """Losses not reported yet; they count as reported afterwards."""
        ...


class FramedEndpoint:
    """One end of the line, for as long as the device has power."""

    def __init__(self, core: DeviceCore, send: Callable[[Message], None], faults: FaultSwitches) -> None:
        self._core = core
        self._send = send
        self._faults = faults
        self._replies: deque[tuple[Message, Message]] = deque(maxlen=REPLIES_KEPT)
        self._granted = 0
        self._send_next = core.ring.oldest
        self._boot_count = core.boot_count
        self.executed = 0

    def receive(self, messages: list[Message], damaged: int, now_ns: int) -> None:
        """Messages from the line, after which so many damaged frames had been dropped; answers leave through
        `send` before this returns.
        """
        self._core.set_now(now_ns)
        for message in messages:
            self._core.heard(now_ns)
            self._on_message(message)
        if damaged:
            self._core.registers.raise_sticky("STICKY", "crc_err")
        self.pump()

    def pump(self) -> None:
        """Push what credit allows, and losses."""
        for lost in self._core.take_lost():
            self._send(Message(FrameType.LOST, 0, status=lost.kind, payload=lost.pack()))
        ring = self._core.ring
        self._send_next = max(self._send_next, ring.oldest)
        while self._send_next < min(ring.next, self._granted):
            first = self._send_next
            head = ring.entry(first)
            end = first
            while end < min(ring.next, self._granted, first + RECORDS_PER_FRAME):
                entry = ring.entry(end)
                if (entry.run_short, entry.time_epoch, entry.kind) != (
                    head.run_short,
                    head.time_epoch,
                    head.kind,
                ):
                    break
                end += 1
            records = tuple(ring.entry(k).record for k in range(first, end))
            payload = Events(first, head.run_short, head.time_epoch, records).pack()
            events = Message(FrameType.EVENTS, 0, count=len(records), status=head.kind, payload=payload)
            self._send(events)
            self._send_next = end

    def tick(self, now_ns: int) -> None:
        """Send a bound (10 to 100 times a second)."""
        self._core.set_now(now_ns)
        self.pump()
        for bound in (self._core.tag_bound(self._send_next), self._core.bound(self._send_next)):
            if bound is not None:
                self._send(Message(FrameType.BOUND, 0, status=bound.kind, payload=bound.pack()))

    # -- requests -------------------------------------------------------------------------------------------

    def _on_message(self, message: Message) -> None:
        if message.type == FrameType.CREDIT:
            if len(message.payload) != CREDIT_BYTES:
                return  # gateware has no way to complain about a push
            credit = Credit.unpack(message.payload)
            self._core.ring.acknowledge(credit.acknowledged)
            self._granted = max(self._granted, credit.granted)
            self._core.registers.put("CREDIT", self._granted)
            return
        for request, reply in self._replies:
            if request == message:
                self._send(reply)
                return
        status, payload = self._execute(message)
        if self._core.boot_count != self._boot_count:  # a soft reset: nothing was granted to this start
            self._boot_count = self._core.boot_count
            self._granted = 0
            self._send_next = self._core.ring.oldest
            self._replies.clear()
        kind = message.type | REPLY_BIT
        reply = Message(kind, message.seq, message.address, message.count, status, payload)
        self._replies.append((message, reply))
        self._send(reply)

    def _execute(self, message: Message) -> tuple[Status, bytes]:
        self.executed += 1
        match message.type:
            case FrameType.HELLO:
                return self._hello(message)
            case FrameType.READ | FrameType.READ_FIXED:
                return self._read(message.address, message.count, message.type == FrameType.READ_FIXED)
            case FrameType.WRITE | FrameType.WRITE_FIXED:
                if self._faults.strikes(Fault.IGNORED_SET):
                    return Status.OK, b""
                return self._write(message, message.type == FrameType.WRITE_FIXED), b""
            case FrameType.GET:
                return self._get(message)
            case _:
                return Status.BAD_TYPE, b""

    def _hello(self, message: Message) -> tuple[Status, bytes]:
        self._replies.clear()
        self._granted = 0
        ring = self._core.ring
        self._send_next = ring.oldest
        register_map = self._core.registers.map
        nonce = message.words()[0] if message.words() else 0
        hello = Hello(
            nonce,
            self._core.registers.value("ID"),
            register_map.abi,
            register_map.hash,
            self._core.boot_count,
            FRAME_BYTES_MAX,
            ring.oldest,
            ring.next,
        )
        return Status.OK, hello.pack()

    def _read(self, address: int, count: int, fixed: bool) -> tuple[Status, bytes]:
        if not 1 <= count <= READ_WORDS_MAX:
            return Status.RANGE, b""
        words: list[int] = []
        for k in range(count):
            word = self._core.registers.read(address if fixed else address + k)
            if word is None:
                return Status.BAD_ADDRESS, b""
            words.append(word)
        return Status.OK, pack_words(words)

    def _write(self, message: Message, fixed: bool) -> Status:
        words = message.words()
        if not 1 <= len(words) <= WRITE_WORDS_MAX or len(words) != message.count:
            return Status.RANGE
        addresses = [message.address if fixed else message.address + k for k in range(len(words))]
        registers = self._core.registers
        for address, word in zip(addresses, words, strict=True):
            status = registers.check(address, word)
            if status != Status.OK:
                return status  # nothing was changed yet: a refused burst is refused whole
        block = self._core.write_block(message.address, words)
        if block is not None:
            return block
        for address, word in zip(addresses, words, strict=True):
            status = registers.write(address, word)
            if status != Status.OK:
                return status
        return Status.OK

    def _get(self, message: Message) -> tuple[Status, bytes]:
        words = message.words()
        ring = self._core.ring
        if not words or not ring.oldest <= words[0] <= ring.next:
            return Status.RANGE, pack_words([ring.oldest])
        self._send_next = words[0]
        return Status.OK, b""
