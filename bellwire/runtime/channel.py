"""One direction of a channel between two incarnations: order, acknowledgement, credit, resending.

Owns the sequence numbers, without sockets and without a clock of its own (`now_ns` is passed in). Refuses to
keep what arrives after a hole: the sender goes back to the last acknowledged message, which its credit keeps
near.
"""

from collections import deque
from collections.abc import Iterator
from typing import Literal

CREDIT_FRAMES = 256
CREDIT_BYTES = 64 * 1024
"""No further message enters the socket while this much is unacknowledged (architecture.md section 9). The
message that reaches the mark may exceed it, otherwise one larger than the credit could never be sent."""

RESEND_NS = 300_000_000
RESEND_MAX_NS = 4_800_000_000
"""Without progress of the acknowledgement all of it is sent again, then after twice that time, and so on."""


class OutChannel:
    """Messages from this incarnation to one incarnation of a peer."""

    def __init__(self) -> None:
        self._unacknowledged: deque[bytes] = deque()
        self._first = 1  # sequence number of the oldest unacknowledged message
        self._in_flight_bytes = 0
        self._resend_after_ns = RESEND_NS
        self._resend_at_ns: int | None = None

    @property
    def acknowledged(self) -> int:
        """Everything up to this sequence number has arrived."""
        return self._first - 1

    @property
    def frames_in_flight(self) -> int:
        """Messages sent and not yet acknowledged."""
        return len(self._unacknowledged)

    @property
    def bytes_in_flight(self) -> int:
        """Their payload bytes."""
        return self._in_flight_bytes

    def has_credit(self) -> bool:
        """True while another message may be sent."""
        return len(self._unacknowledged) < CREDIT_FRAMES and self._in_flight_bytes < CREDIT_BYTES

    def push(self, payload: bytes, now_ns: int) -> int:
        """Take a message into the channel; returns its sequence number."""
        if not self._unacknowledged:
            self._resend_after_ns = RESEND_NS
            self._resend_at_ns = now_ns + RESEND_NS
        self._unacknowledged.append(payload)
        self._in_flight_bytes += len(payload)
        return self._first + len(self._unacknowledged) - 1

    def acknowledge(self, ack: int, now_ns: int) -> bool:
        """Everything up to `ack` has arrived. Returns False for an acknowledgement of messages never sent."""
        if ack >= self._first + len(self._unacknowledged):
            return False
        if ack < self._first:
            return True
        while self._first <= ack:
            self._in_flight_bytes -= len(self._unacknowledged.popleft())
            self._first += 1
        self._resend_after_ns = RESEND_NS
        self._resend_at_ns = now_ns + RESEND_NS if self._unacknowledged else None
        return True

    def pending(self) -> Iterator[tuple[int, bytes]]:
        """Sequence number and payload of every unacknowledged message, oldest first."""
        for offset, payload in enumerate(self._unacknowledged):
            yield self._first + offset, payload

    def resend_due(self, now_ns: int) -> bool:
        """True when all pending messages should be sent again; doubles the wait for the next time."""
        if self._resend_at_ns is None or now_ns < self._resend_at_ns:
            return False
        self._resend_after_ns = min(2 * self._resend_after_ns, RESEND_MAX_NS)
        self._resend_at_ns = now_ns + self._resend_after_ns
        return True


class InChannel:
    """Messages from one incarnation of a peer to this incarnation."""

    def __init__(self) -> None:
        self.last = 0  # everything up to this sequence number was delivered
        self.unacknowledged = 0  # delivered or repeated since the last acknowledgement left

    def accept(self, seq: int) -> Literal["deliver", "duplicate", "hole"]:
        """Whether this message is next.

        A hole means that earlier ones are missing; the message is dropped.
        """
        self.unacknowledged += 1
        if seq == self.last + 1:
            self.last = seq
            return "deliver"
        return "duplicate" if seq <= self.last else "hole"
