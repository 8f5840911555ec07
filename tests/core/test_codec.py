"""The bytes of every word: there and back unchanged, and nothing else gets in."""

from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.codec import (
    MESSAGE_BYTES_MAX,
    decode_effect,
    decode_event,
    decode_message,
    encode,
)
from bellwire.core.effects import Effect
from bellwire.core.errors import PeerViolation
from bellwire.core.events import Event, TimerFired
from bellwire.core.facts import Fact
from bellwire.core.ids import End
from bellwire.core.link_messages import (
    LinkReset,
    ScheduleEntry,
    Window,
    WindowOffer,
)
from bellwire.core.messages import (
    Aborted,
    BusMessage,
    FactBatch,
    Inquiry,
)
from tests.core.words import values

END = End("a-b", 1 << 20, 7, 0, 1)


def named(kind: type) -> str:
    return kind.__name__


@settings(max_examples=12)
@pytest.mark.parametrize("kind", get_args(BusMessage), ids=named)
@given(choice=st.data())
def test_every_message_comes_back_from_its_bytes_unchanged(kind: type, choice: st.DataObject) -> None:
    word = choice.draw(values(kind))
    back = decode_message("peer", encode(word))
    assert type(back) is kind
    assert back == word


@settings(max_examples=12)
@pytest.mark.parametrize("kind", get_args(Event), ids=named)
@given(choice=st.data())
def test_every_event_comes_back_from_its_bytes_unchanged(kind: type, choice: st.DataObject) -> None:
    word = choice.draw(values(kind))
    back = decode_event(encode(word))
    assert type(back) is kind
    assert back == word


@settings(max_examples=12)
@pytest.mark.parametrize("kind", get_args(Effect), ids=named)
@given(choice=st.data())
def test_every_effect_comes_back_from_its_bytes_unchanged(kind: type, choice: st.DataObject) -> None:
    word = choice.draw(values(kind))
    back = decode_effect(encode(word))
    assert type(back) is kind
    assert back == word


@settings(max_examples=12)
@pytest.mark.parametrize("kind", get_args(Fact), ids=named)
@given(choice=st.data())
def test_every_fact_comes_back_inside_a_batch(kind: type, choice: st.DataObject) -> None:
    fact = choice.draw(values(kind))
    back = decode_message("peer", encode(FactBatch(incarnation=1, first=1, facts=(fact,))))
    assert isinstance(back, FactBatch)
    assert type(back.facts[0]) is kind
    assert back.facts[0] == fact


def test_ends_come_back_as_ends_and_not_as_plain_tuples() -> None:
    back = decode_message("peer", encode(Inquiry(request="r", head_end=END)))
    assert isinstance(back, Inquiry)
    assert type(back.head_end) is End
    assert back.head_end.partner.side == 0


@settings(max_examples=4)
@pytest.mark.parametrize("kind", get_args(BusMessage), ids=named)
@given(choice=st.data())
def test_a_message_with_a_field_of_a_later_version_is_refused(kind: type, choice: st.DataObject) -> None:
    fields: dict[str, Any] = msgspec.msgpack.decode(encode(choice.draw(values(kind))))
    fields["field_of_tomorrow"] = 1
    with pytest.raises(PeerViolation, match="field_of_tomorrow"):
        decode_message("peer", msgspec.msgpack.encode(fields))


def test_an_unknown_field_deep_inside_a_message_is_refused_too() -> None:
    entry = ScheduleEntry(request="r", tree=0)
    window = Window(run=1, epoch_ns=0, fence=1, first=0, last=9, frame_attempts=1, schedule=(entry,))
    fields: dict[str, Any] = msgspec.msgpack.decode(encode(WindowOffer(link="a-b", window=window)))
    fields["window"]["schedule"][0]["priority"] = 9
    with pytest.raises(PeerViolation, match="priority"):
        decode_message("peer", msgspec.msgpack.encode(fields))


def padded_to(size: int) -> bytes:
    spare = len(encode(LinkReset(link="a-b", reason="x" * 2**17))) - 2**17
    frame = encode(LinkReset(link="a-b", reason="x" * (size - spare)))
    assert len(frame) == size
    return frame


def test_a_message_of_exactly_the_limit_is_read_and_one_more_byte_is_refused() -> None:
    assert isinstance(decode_message("peer", padded_to(MESSAGE_BYTES_MAX)), LinkReset)
    with pytest.raises(PeerViolation, match=str(MESSAGE_BYTES_MAX)):
        decode_message("peer", padded_to(MESSAGE_BYTES_MAX + 1))


def test_every_truncation_of_a_message_is_the_peers_fault() -> None:
    frame = encode(Aborted(request="r", head_end=END))
    for size in range(len(frame)):
        with pytest.raises(PeerViolation):
            decode_message("peer", frame[:size])


@pytest.mark.parametrize(
    "word",
    [
        {"request": "r", "head_end": list(END)},  # no tag
        {"t": "Abort", "request": "r", "head_end": list(END)},  # no such tag
        {"t": "Aborted", "request": "r"},  # a field is missing
        {"t": "Aborted", "request": 7, "head_end": list(END)},
        {"t": "Aborted", "request": "r", "head_end": list(END)[:4]},
        {"t": "Aborted", "request": "r", "head_end": ["a-b", 1, 2, 3, 0.5]},
        {"t": "Watermark", "incarnation": True, "last": 1},
        ["Aborted", "r"],
        "Aborted",
        7,
        None,
    ],
    ids=repr,
)
def test_what_is_not_a_message_is_the_peers_fault_and_names_the_peer(word: Any) -> None:
    with pytest.raises(PeerViolation, match="mallory") as caught:
        decode_message("mallory", msgspec.msgpack.encode(word))
    assert caught.value.peer == "mallory"


def test_an_event_does_not_pass_for_a_message() -> None:
    with pytest.raises(PeerViolation):
        decode_message("peer", encode(TimerFired()))


@given(st.binary(max_size=64))
def test_random_bytes_are_the_peers_fault(frame: bytes) -> None:
    with pytest.raises(PeerViolation):
        decode_message("peer", frame)


NOT_TEXT = b"\x82\xa1t\xa7Aborted\xa7request\xa2\xff\xfe"
"""An `Aborted` whose request is a msgpack string that is not UTF-8."""

NESTED = b"\x82\xa1z" + b"\x91" * 100_000
"""Arrays within arrays, in the value of a field that is skipped before the tag is found."""


@pytest.mark.parametrize("frame", [NOT_TEXT, NESTED], ids=["text that is not UTF-8", "nested without end"])
def test_bytes_that_break_the_decoder_itself_are_still_the_peers_fault(frame: bytes) -> None:
    with pytest.raises(PeerViolation):
        decode_message("peer", frame)
