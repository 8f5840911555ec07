"""Words of the APT protocol: what is encoded is decoded, in pieces of any size, and known bytes stand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.drivers.apt_words import (
    AptMessage,
    Hardware,
    Id,
    MoveTo,
    PaddleParameters,
    PaddleStatus,
    StatusBit,
    UnknownMessage,
    channel_mask,
    decoded,
    messages,
)

octet = st.integers(0, 255)
word = st.integers(0, 0xFFFF)
short = st.integers(-(1 << 15), (1 << 15) - 1)
long = st.integers(-(1 << 31), (1 << 31) - 1)
short_message = st.builds(
    AptMessage, st.sampled_from(Id), octet, octet, st.none(), st.integers(0, 0x7F), octet
)
long_message = st.builds(
    AptMessage,
    st.sampled_from(Id),
    st.just(0),
    st.just(0),
    st.binary(max_size=256),
    st.integers(0, 0x7F),
    octet,
)
message = short_message | long_message


@settings(derandomize=True, deadline=None)
@given(st.lists(message, max_size=6), st.integers(1, 40))
def test_messages_that_come_in_pieces_are_the_messages_that_were_sent(
    sent: list[AptMessage], piece: int
) -> None:
    stream = b"".join(one.encoded() for one in sent)
    found: list[AptMessage] = []
    rest = b""
    for start in range(0, len(stream), piece):
        whole, rest = messages(rest + stream[start : start + piece])
        found += whole
    assert found == sent
    assert rest == b""


@settings(derandomize=True, deadline=None)
@given(message)
def test_a_message_without_its_last_byte_is_not_one_yet(one: AptMessage) -> None:
    assert decoded(one.encoded()[:-1]) is None


@settings(derandomize=True, deadline=None)
@given(word, long, short, short, st.integers(0, 0xFFFF_FFFF))
def test_a_status_keeps_its_signs(mask: int, position: int, velocity: int, current: int, bits: int) -> None:
    status = PaddleStatus(mask, position, velocity, current, StatusBit(bits))
    assert PaddleStatus.decoded(status.encoded()) == status


@settings(derandomize=True, deadline=None)
@given(word, word, st.tuples(word, word, word), long)
def test_parameters_and_moves_come_back(
    velocity: int, home: int, steps: tuple[int, int, int], at: int
) -> None:
    parameters = PaddleParameters(velocity, home, steps)
    assert PaddleParameters.decoded(parameters.encoded()) == parameters
    assert MoveTo.decoded(MoveTo(4, at).encoded()) == MoveTo(4, at)


def test_known_messages_have_the_bytes_of_the_manual() -> None:
    """Bytes by hand: little endian, 0x50 the device, 0x01 the host, bit 7 of the destination for data."""
    assert AptMessage(Id.HW_REQ_INFO).encoded() == bytes.fromhex("0500 0000 50 01")
    move = AptMessage(Id.MOVE_ABSOLUTE, data=MoveTo(channel_mask(3), 1370).encoded())
    assert move.encoded() == bytes.fromhex("5304 0600 d0 01 0400 5a050000")
    homed = bytes.fromhex("4404 0200 01 50")
    assert decoded(homed) == (AptMessage(Id.MOVE_HOMED, 2, 0, None, 0x01, 0x50), 6)


def test_both_forms_of_move_completed_are_read() -> None:
    status = PaddleStatus(1, 400, -20, 7, StatusBit.ENABLED | StatusBit.HOMED)
    short_form = AptMessage(Id.MOVE_COMPLETED, 1, destination=1, source=0x50)
    long_form = AptMessage(Id.MOVE_COMPLETED, data=status.encoded(), destination=1, source=0x50)
    assert (len(short_form.encoded()), len(long_form.encoded())) == (6, 20)
    assert messages(short_form.encoded() + long_form.encoded()) == ([short_form, long_form], b"")


def test_the_hardware_record_has_84_bytes_and_names_its_model() -> None:
    record = Hardware(38_449_564, "MPC320", (1, 2, 3), 3)
    assert len(record.encoded()) == 84
    assert record.encoded()[4:12] == b"MPC320\0\0"
    assert Hardware.decoded(record.encoded()) == record
    with pytest.raises(ValueError, match="83 bytes"):
        Hardware.decoded(record.encoded()[:-1])


@pytest.mark.parametrize("stream", [b"HELLO WORLD", bytes.fromhex("9104 ffff 81 50")])
def test_what_cannot_be_a_message_is_refused_instead_of_waited_for(stream: bytes) -> None:
    with pytest.raises(UnknownMessage):
        decoded(stream)
