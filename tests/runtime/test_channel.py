"""The channel without sockets: order, credit, acknowledgement, resending."""

import random

from bellwire.runtime.channel import (
    CREDIT_BYTES,
    CREDIT_FRAMES,
    RESEND_MAX_NS,
    RESEND_NS,
    InChannel,
    OutChannel,
)


def test_a_lossy_repeating_wire_still_delivers_everything_once_and_in_order() -> None:
    chance = random.Random(7)
    out, back = OutChannel(), InChannel()
    delivered: list[bytes] = []
    now_ns, sent = 0, 0
    losses = duplicates = 0
    while len(delivered) < 5_000:
        now_ns += 1_000_000
        wire: list[tuple[int, bytes]] = []
        while sent < 5_000 and out.has_credit():
            payload = sent.to_bytes(4, "big")
            wire.append((out.push(payload, now_ns), payload))
            sent += 1
        if out.resend_due(now_ns):
            wire += list(out.pending())
        for seq, payload in wire:
            copies = chance.choices((0, 1, 2), (0.02, 0.96, 0.02))[0]
            losses += copies == 0
            duplicates += copies == 2
            for _ in range(copies):
                if back.accept(seq) == "deliver":
                    delivered.append(payload)
        if chance.random() < 0.9:  # acknowledgements may be lost as well
            assert out.acknowledge(back.last, now_ns)
    assert delivered == [number.to_bytes(4, "big") for number in range(5_000)]
    assert losses >= 50
    assert duplicates >= 50


def test_credit_ends_at_its_frames_or_its_bytes() -> None:
    frames, octets = OutChannel(), OutChannel()
    for _ in range(CREDIT_FRAMES):
        assert frames.has_credit()
        frames.push(b"x", 0)
    assert not frames.has_credit()
    octets.push(b"x" * (CREDIT_BYTES - 1), 0)
    assert octets.has_credit()
    octets.push(b"x", 0)
    assert not octets.has_credit()
    assert octets.acknowledge(1, 0)
    assert octets.has_credit()
    assert octets.bytes_in_flight == 1


def test_an_acknowledgement_of_what_was_never_sent_is_refused() -> None:
    out = OutChannel()
    out.push(b"x", 0)
    assert not out.acknowledge(2, 0)
    assert out.frames_in_flight == 1


def test_resending_waits_twice_as_long_each_time_up_to_a_limit() -> None:
    out = OutChannel()
    out.push(b"x", 0)
    now_ns, waits = 0, []
    while len(waits) < 8:
        began_ns = now_ns
        while not out.resend_due(now_ns):
            now_ns += 10_000_000
        waits.append(now_ns - began_ns)
    assert waits[:4] == [RESEND_NS, 2 * RESEND_NS, 4 * RESEND_NS, 8 * RESEND_NS]
    assert max(waits) == RESEND_MAX_NS
