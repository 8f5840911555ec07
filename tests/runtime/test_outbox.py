"""Classes and fact batches of an outbox."""

import msgspec

from bellwire.core.codec import decode_message
from bellwire.core.facts import Released
from bellwire.core.ids import End
from bellwire.core.messages import FactBatch
from bellwire.runtime.health import Health
from bellwire.runtime.outbox import FACT_BATCH_BYTES, FACT_BATCH_NS, Outbox, encode_facts


def batch(first: int, count: int) -> FactBatch:
    facts = tuple(
        Released(end=End("link", 1, number, 0, 0), reason="cutoff", at_ns=number)
        for number in range(first, first + count)
    )
    return FactBatch(incarnation=3, first=first, facts=facts, base=1)


def put(outbox: Outbox, facts: FactBatch, now_ns: int = 0, *, urgent: bool = False) -> None:
    outbox.put_facts(facts, encode_facts(facts), now_ns, urgent=urgent)


def test_messages_leave_by_class_and_within_a_class_in_order() -> None:
    outbox = Outbox(Health(), "b")
    for urgency in ("digest", "facts", "control", "delivery", "outcome"):
        outbox.put(urgency, f"{urgency} 1".encode())
        outbox.put(urgency, f"{urgency} 2".encode())
    taken = [outbox.take(0) for _ in range(11)]
    expected = [
        f"{u} {n}".encode() for u in ("outcome", "delivery", "control", "facts", "digest") for n in (1, 2)
    ]
    assert taken == [*expected, None]


def test_facts_wait_for_a_millisecond_and_then_leave_as_one_batch() -> None:
    outbox = Outbox(Health(), "b")
    put(outbox, batch(1, 2))
    put(outbox, batch(3, 1), 500_000)
    assert outbox.take(FACT_BATCH_NS - 1) is None
    assert outbox.next_due_ns() == FACT_BATCH_NS
    frame = outbox.take(FACT_BATCH_NS)
    assert frame is not None
    assert decode_message("a", frame) == batch(1, 3)
    assert outbox.next_due_ns() is None


def test_a_full_batch_leaves_at_once_and_no_batch_is_larger_than_its_limit() -> None:
    outbox = Outbox(Health(), "b")
    put(outbox, batch(1, 2_000))
    first = outbox.take(0)
    assert first is not None
    assert len(first) <= FACT_BATCH_BYTES + 100
    numbers = []
    frame: bytes | None = first
    while frame is not None:
        message = decode_message("a", frame)
        assert isinstance(message, FactBatch)
        numbers += list(range(message.first, message.first + len(message.facts)))
        frame = outbox.take(FACT_BATCH_NS)
    assert numbers == list(range(1, 2_001))


def test_urgent_facts_go_before_messages_put_later_and_after_outcomes_put_earlier() -> None:
    outbox = Outbox(Health(), "b")
    outbox.put("outcome", b"earlier")
    put(outbox, batch(1, 2))
    put(outbox, batch(3, 1), urgent=True)
    outbox.put("outcome", b"later")
    put(outbox, batch(4, 1))
    assert outbox.take(0) == b"earlier"
    frame = outbox.take(0)
    assert frame is not None
    assert decode_message("a", frame) == batch(1, 4)  # what came since travels along
    assert outbox.take(0) == b"later"
    assert outbox.take(0) is None


def test_the_batch_on_the_wire_is_the_message_of_the_schema_byte_for_byte() -> None:
    outbox = Outbox(Health(), "b")
    put(outbox, batch(1, 5), urgent=True)
    assert outbox.take(0) == msgspec.msgpack.encode(batch(1, 5))


def test_clearing_forgets_messages_facts_and_the_mark_of_urgent_ones() -> None:
    outbox = Outbox(Health(), "b")
    put(outbox, batch(1, 5), urgent=True)
    outbox.put("control", b"x")
    assert outbox.clear() >= 6
    assert len(outbox) == 0
    put(outbox, batch(9, 1), 7)
    assert outbox.take(7) is None
