"""The byte codec: check values, escapes, damage."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellwire.core.errors import PeerViolation
from bellwire.drivers.frames import Bound, Credit, Events, Hello, HeraldWords, Lost, MemoryWords
from bellwire.drivers.framing import FrameDecoder, Message, crc16_x25, encode_frame

messages = st.builds(
    Message,
    type=st.integers(0, 255),
    seq=st.integers(0, 255),
    address=st.integers(0, 0xFFFF),
    count=st.integers(0, 255),
    status=st.integers(0, 255),
    payload=st.binary(max_size=300),
)


def test_the_crc_has_the_published_check_value() -> None:
    assert crc16_x25(b"123456789") == 0x906E


def test_flags_and_escapes_inside_a_message_are_escaped() -> None:
    frame = encode_frame(Message(1, 0x7E, 0x7D7E, 1, 0, b"\x7e\x7d\x7e\x7d"))
    assert frame.count(0x7E) == 2
    assert FrameDecoder().feed(frame) == [Message(1, 0x7E, 0x7D7E, 1, 0, b"\x7e\x7d\x7e\x7d")]


@given(st.lists(messages, max_size=5), st.integers(1, 40))
def test_a_stream_of_messages_survives_any_cutting(sent: list[Message], piece: int) -> None:
    octets = b"".join(encode_frame(message) for message in sent)
    decoder = FrameDecoder()
    received = [m for k in range(0, len(octets), piece) for m in decoder.feed(octets[k : k + piece])]
    assert received == sent


@given(messages, st.integers(0, 10_000), st.integers(0, 7))
def test_one_wrong_bit_never_yields_another_message(sent: Message, where: int, bit: int) -> None:
    frame = bytearray(encode_frame(sent))
    frame[where % len(frame)] ^= 1 << bit
    decoder = FrameDecoder()
    received = decoder.feed(bytes(frame)) + decoder.feed(b"\x7e")
    # A damaged flag may merge with the closing one; then nothing, or the same message, can come out.
    assert received in ([], [sent])


def test_noise_does_not_stop_the_next_frame() -> None:
    noise = random.Random(3).randbytes(10_000)
    good = Message(2, 5, 1, 1)
    decoder = FrameDecoder()
    assert decoder.feed(noise + b"\x7e" + encode_frame(good))[-1] == good
    assert decoder.crc_errors + decoder.short_frames + decoder.long_frames > 0


def test_an_endless_frame_is_dropped_and_counted() -> None:
    decoder = FrameDecoder()
    assert decoder.feed(b"\x7e" + b"a" * 10_000 + b"\x7e") == []
    assert decoder.long_frames == 1


@pytest.mark.parametrize(
    "words",
    [
        Hello(1, 2, 3, 4, 5, 6, 7, 8),
        Bound(9, 2, 2**47, 4, 5, 6, 7, 8),
        Bound(9, 2, None, 4, 5, 6, 7, 8),
        Lost(1, 2**47, 3, 4),
        Credit(7, 6),
        HeraldWords(2**48 - 1, 0xFF, 15, 15, 2**64 - 1),
        MemoryWords(1, 2, 3, 4, 5, 2**63, 7, 8, 9, 10),
    ],
)
def test_payloads_come_back_as_they_were_packed(words: Hello) -> None:
    assert type(words).unpack(words.pack()) == words


def test_events_whose_count_is_wrong_are_a_violation() -> None:
    payload = Events(0, 1, 1, (b"x" * 16, b"y" * 16)).pack()
    assert Events.unpack(payload, 16).records == (b"x" * 16, b"y" * 16)
    with pytest.raises(PeerViolation):
        Events.unpack(payload[:-1], 16)
