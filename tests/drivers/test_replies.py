"""Where a reply ends, for every convention: however the bytes come in pieces, the reply is the same."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.drivers import replies
from bellwire.drivers.session import Take

COMMON = settings(derandomize=True, deadline=None, max_examples=200)
BODY = st.binary(max_size=40)


def fed(take: Take, pieces: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """What a session would get: the reply and the rest, after as many pieces as it takes."""
    buffer = b""
    for number, piece in enumerate(pieces):
        buffer += piece
        taken = take(buffer)
        if taken is not None:
            return taken[0], taken[1] + b"".join(pieces[number + 1 :])
    return None


@st.composite
def pieces_of(draw: st.DrawFn, octets: bytes) -> list[bytes]:
    """The bytes, cut at places by chance."""
    cuts = sorted(draw(st.sets(st.integers(0, len(octets)), max_size=6)))
    edges = [0, *cuts, len(octets)]
    return [octets[start:stop] for start, stop in pairwise(edges)]


@COMMON
@given(st.data(), BODY.filter(lambda body: b"\n" not in body), BODY)
def test_a_line_ends_at_its_terminator_in_any_pieces(data: st.DataObject, body: bytes, rest: bytes) -> None:
    pieces = data.draw(pieces_of(body + b"\n" + rest))
    assert fed(replies.line(), pieces) == (body, rest)


@COMMON
@given(st.data(), BODY.filter(lambda body: b"\r" not in body), BODY)
def test_a_terminator_of_two_bytes_may_come_in_two_pieces(
    data: st.DataObject, body: bytes, rest: bytes
) -> None:
    pieces = data.draw(pieces_of(body + b"\r\n" + rest))
    assert fed(replies.line(b"\r\n"), pieces) == (body, rest)


@COMMON
@given(st.data(), st.lists(st.binary(max_size=12).filter(lambda one: b"\n" not in one), min_size=1), BODY)
def test_as_many_lines_as_asked_for_are_one_reply(
    data: st.DataObject, bodies: list[bytes], rest: bytes
) -> None:
    whole = b"\n".join(bodies)
    pieces = data.draw(pieces_of(whole + b"\n" + rest))
    assert fed(replies.lines(len(bodies)), pieces) == (whole, rest)


@COMMON
@given(
    st.data(),
    st.lists(st.binary(max_size=12).filter(lambda one: b"\r" not in one and one.strip() != b"Done")),
    BODY,
)
def test_a_device_that_says_done_is_heard_to_its_end(
    data: st.DataObject, bodies: list[bytes], rest: bytes
) -> None:
    before = b"".join(body + b"\r\n" for body in bodies)
    pieces = data.draw(pieces_of(before + b"Done\r\n" + rest))
    assert fed(replies.last_line(b"Done"), pieces) == (before, rest)


@COMMON
@given(st.data(), BODY, BODY)
def test_a_block_is_as_long_as_its_header_says_whatever_is_in_it(
    data: st.DataObject, body: bytes, rest: bytes
) -> None:
    length = str(len(body)).encode()
    octets = b"#" + str(len(length)).encode() + length + body + b"\n" + rest
    assert fed(replies.block(), data.draw(pieces_of(octets))) == (body, rest)


@COMMON
@given(st.data(), BODY, st.integers(0, 40))
def test_a_count_of_bytes_is_neither_more_nor_less(data: st.DataObject, octets: bytes, count: int) -> None:
    taken = fed(replies.exactly(count), data.draw(pieces_of(octets)))
    assert taken == ((octets[:count], octets[count:]) if len(octets) >= count else None)


@pytest.mark.parametrize(
    ("take", "octets"),
    [
        (replies.line(), b"no end"),
        (replies.line(b"\r\n"), b"half an end\r"),
        (replies.lines(2), b"one\ntwo"),
        (replies.last_line(b"Done"), b"Pos:7\r\nDone"),
        (replies.last_line(b"Done"), b"NotDone\r\n"),
        (replies.block(), b"#2"),
        (replies.block(), b"#212short\n"),
        (replies.block(), b"#13abc"),
        (replies.prompt(b"> "), b"value\n>"),
    ],
)
def test_an_unfinished_reply_is_waited_for(take: Take, octets: bytes) -> None:
    assert take(octets) is None


def test_an_error_line_in_place_of_a_block_is_handed_on() -> None:
    assert replies.block()(b'-113,"Undefined header"\n') == (b'-113,"Undefined header"', b"")


def test_a_prompt_counts_only_at_the_end_of_what_has_come() -> None:
    assert replies.prompt(b"> ")(b"a > b\r> ") == (b"a > b\r", b"")
    assert replies.prompt(b"> ")(b"a > b") is None


def test_a_message_of_its_own_is_whole() -> None:
    assert replies.whole(b"1\n2\n") == (b"1\n2\n", b"")
