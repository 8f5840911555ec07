"""What waits for one peer: a queue per class, and the backlog of facts from which batches are cut.

Owns the order in which messages leave: outcomes, deliveries, control, facts, digests; and the batching of
facts (at most 1 ms or 32 KiB), which an urgent publication cuts short. Refuses sockets and sequence numbers:
an order is chosen at the moment of sending, because credit may come late and an outcome must not wait behind
facts.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from bellwire.core.messages import FactBatch
from bellwire.runtime.health import Health

Urgency = Literal["outcome", "delivery", "control", "facts", "digest"]
URGENCIES: Final[tuple[Urgency, ...]] = ("outcome", "delivery", "control", "facts", "digest")

QUEUE_MESSAGES_MAX: Final[dict[Urgency, int]] = {
    "outcome": 8_192,
    "delivery": 4_096,
    "control": 4_096,
    "facts": 1_024,
    "digest": 16,
}
"""Above the mark the oldest of the class is dropped and counted;

every protocol above repeats what matters.
"""

FACT_BACKLOG_MAX = 65_536
"""Facts that wait for one peer; older ones are dropped, the peer sees the hole and asks the author."""
FACT_BATCH_NS = 1_000_000
FACT_BATCH_BYTES = 32 * 1024
HIGH_MARK = 0.5
"""Share of a limit above which `congested` is true and a node should open no new attempt windows."""


class EncodedBatch(msgspec.Struct, tag="FactBatch", tag_field="t", kw_only=True):
    """A FactBatch whose facts are bytes already: each fact is encoded once, not once for every peer."""

    incarnation: int
    first: int
    facts: list[msgspec.Raw]
    base: int


_encoder = msgspec.msgpack.Encoder()


def encode_facts(batch: FactBatch) -> list[bytes]:
    """The bytes of every fact of a batch, for `Outbox.put_facts` of all peers."""
    return [_encoder.encode(fact) for fact in batch.facts]


class Outbox:
    """Messages for one peer that have not entered its channel."""

    def __init__(self, health: Health, peer: str) -> None:
        self._health = health
        self._peer = peer
        self._queues: dict[Urgency, deque[bytes | int]] = {urgency: deque() for urgency in URGENCIES}
        self._facts: deque[bytes] = deque()
        self._facts_first = 1  # number of the oldest fact in the backlog
        self._facts_bytes = 0
        self._facts_incarnation = 0
        self._facts_base = 1
        self._facts_due_ns: int | None = None  # None: no backlog

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._queues.values()) + len(self._facts)

    def lengths(self) -> dict[str, int]:
        """How many messages wait, by class, and as `backlog` how many facts that are in no message yet."""
        return {urgency: len(queue) for urgency, queue in self._queues.items()} | {
            "backlog": len(self._facts)
        }

    @property
    def congested(self) -> bool:
        """Some class is above its high mark."""
        return len(self._facts) > HIGH_MARK * FACT_BACKLOG_MAX or any(
            len(queue) > HIGH_MARK * QUEUE_MESSAGES_MAX[urgency] for urgency, queue in self._queues.items()
        )

    def put(self, urgency: Urgency, payload: bytes) -> None:
        """Queue one message."""
        queue = self._queues[urgency]
        if len(queue) >= QUEUE_MESSAGES_MAX[urgency]:
            queue.popleft()
            self._health.count(f"outbox_full_{urgency}", peer=self._peer, limit=QUEUE_MESSAGES_MAX[urgency])
        queue.append(payload)

    def put_facts(self, batch: FactBatch, encoded: Sequence[bytes], now_ns: int, *, urgent: bool) -> None:
        """Queue consecutive own facts; `urgent` ones leave before every message that is put later."""
        if self._facts and (
            batch.incarnation != self._facts_incarnation
            or batch.first != self._facts_first + len(self._facts)
        ):
            # A stream never jumps within an incarnation; if it does, what waits is of no use to the peer any
            # more.
            self._health.count("fact_backlog_replaced", peer=self._peer, first=batch.first)
            self._drop_facts(len(self._facts))
        if not self._facts:
            self._facts_first = batch.first
            self._facts_incarnation = batch.incarnation
            self._facts_due_ns = now_ns + FACT_BATCH_NS
        self._facts_base = batch.base
        self._facts.extend(encoded)
        self._facts_bytes += sum(map(len, encoded))
        if len(self._facts) > FACT_BACKLOG_MAX:
            self._health.count("outbox_full_backlog", peer=self._peer, limit=FACT_BACKLOG_MAX)
            self._drop_facts(len(self._facts) - FACT_BACKLOG_MAX)
        if urgent:
            self._put_marker(batch.first + len(encoded) - 1)

    def _put_marker(self, through: int) -> None:
        # A number among the payloads means: here every fact up to this number must have left.
        self._queues["outcome"].append(through)

    def _drop_facts(self, count: int) -> None:
        for _ in range(count):
            self._facts_bytes -= len(self._facts.popleft())
        self._facts_first += count
        if not self._facts:
            self._facts_due_ns = None

    def next_due_ns(self) -> int | None:
        """When the backlog must leave although nothing else happens; None: no backlog."""
        return self._facts_due_ns

    def take(self, now_ns: int) -> bytes | None:
        """The next message to send, or None while nothing is due."""
        for urgency in ("outcome", "delivery", "control"):
            payload = self._take_from(urgency)
            if payload is not None:
                return payload
        if self._facts and (
            self._facts_bytes >= FACT_BATCH_BYTES
            or (self._facts_due_ns is not None and now_ns >= self._facts_due_ns)
        ):
            return self._cut_batch()
        return self._take_from("facts") or self._take_from("digest")

    def _take_from(self, urgency: Urgency) -> bytes | None:
        queue = self._queues[urgency]
        while queue:
            head = queue[0]
            if isinstance(head, bytes):
                queue.popleft()
                return head
            if self._facts and self._facts_first <= head:
                return self._cut_batch()
            queue.popleft()
        return None

    def _cut_batch(self) -> bytes:
        chosen: list[msgspec.Raw] = []
        size = 0
        while self._facts and (not chosen or size + len(self._facts[0]) <= FACT_BATCH_BYTES):
            fact = self._facts.popleft()
            size += len(fact)
            chosen.append(msgspec.Raw(fact))
        batch = EncodedBatch(
            incarnation=self._facts_incarnation, first=self._facts_first, facts=chosen, base=self._facts_base
        )
        self._facts_first += len(chosen)
        self._facts_bytes -= size
        if not self._facts:
            self._facts_due_ns = None
        return _encoder.encode(batch)

    def clear(self) -> int:
        """Forget everything: the incarnation it was meant for has ended. Returns how much was dropped."""
        dropped = len(self)
        for queue in self._queues.values():
            queue.clear()
        self._drop_facts(len(self._facts))
        return dropped
