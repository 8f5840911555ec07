"""Blocks of tags as chunks of messages: nothing is lost, invented or moved."""

from __future__ import annotations

import itertools
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellwire.core.codec import MESSAGE_BYTES_MAX, encode
from bellwire.core.instrument_messages import TagsChunk
from bellwire.drivers.faults import ProtocolFault
from bellwire.drivers.tag_counting import joined, losses
from bellwire.drivers.time_tags import TagBlock
from bellwire.runtime.console_tags import CREDIT, TagReceiver
from bellwire.runtime.tag_chunks import LOST_MAX, TAGS_MAX, UNPACKED_MAX, chunks_of, only, pack, unpack


def block_of(seed: int, tags: int, span_ps: int = 10**9, lost: tuple[tuple[int, int], ...] = ()) -> TagBlock:
    """Uniform tags of four channels; a small span has many of the same picosecond."""
    chance = np.random.default_rng(seed)
    times = np.sort(chance.integers(5, 5 + span_ps, tags))
    return TagBlock(3, 5, 5 + span_ps, times, chance.integers(1, 5, tags).astype(np.int16), lost)


def there_and_back(part: TagBlock) -> TagBlock:
    times, channels = unpack(
        pack(part.time_ps, part.channel, part.start_ps), len(part.time_ps), part.start_ps, "t"
    )
    return TagBlock(part.epoch, part.start_ps, part.stop_ps, times, channels, part.lost)


@given(
    seed=st.integers(0, 2**32),
    tags=st.integers(0, 3 * TAGS_MAX),
    span_ps=st.sampled_from([1, 3, 1000, 10**9, 10**15]),
    cuts=st.lists(st.integers(0, 1000), max_size=6),
)
def test_chunks_joined_again_are_the_block(seed: int, tags: int, span_ps: int, cuts: list[int]) -> None:
    edges = sorted(5 + span_ps * cut // 1000 for cut in cuts)
    lost = tuple(zip(edges[::2], edges[1::2], strict=False))
    block = block_of(seed, tags, span_ps, lost)
    parts = [there_and_back(part) for part in chunks_of(block)]
    assert parts[0].start_ps == block.start_ps
    assert parts[-1].stop_ps == block.stop_ps
    for before, after in itertools.pairwise(parts):
        assert before.stop_ps == after.start_ps
    for part in parts:
        assert np.all((part.time_ps >= part.start_ps) & (part.time_ps < part.stop_ps))
        assert all(part.start_ps <= begin <= end <= part.stop_ps for begin, end in part.lost)
    whole = joined(parts)
    np.testing.assert_array_equal(whole.time_ps, block.time_ps)
    np.testing.assert_array_equal(whole.channel, block.channel)
    np.testing.assert_array_equal(losses(whole), losses(block))


def test_a_chunk_stays_below_the_limit_of_a_message_whatever_is_in_it() -> None:
    """Times over the whole range do not compress; 5,000 losses are more than a chunk tells."""
    lost = tuple((10**9 * number, 10**9 * number + 7) for number in range(1, 5001))
    block = block_of(1, 2 * TAGS_MAX, 2**62, lost)
    parts = list(chunks_of(block))
    assert len(parts) >= 2
    for index, part in enumerate(parts, start=1):
        packed = pack(part.time_ps, part.channel, part.start_ps)
        chunk = TagsChunk(
            number=1,
            index=index,
            epoch=part.epoch,
            start_ps=part.start_ps,
            stop_ps=part.stop_ps,
            tags=len(part.time_ps),
            packed=packed,
            lost=part.lost,
        )
        assert len(encode(chunk)) < MESSAGE_BYTES_MAX
        assert len(part.lost) <= LOST_MAX
    told = np.concatenate([np.array(part.lost, np.int64).reshape(-1, 2) for part in parts])
    for begin, end in lost:
        assert np.any((told[:, 0] <= begin) & (told[:, 1] >= end)), "a loss was lost"


def test_only_the_channels_that_were_asked_for_are_sent() -> None:
    block = block_of(2, 1000)
    assert only(block, ()) is block
    some = only(block, (2, 4))
    assert set(some.channel.tolist()) == {2, 4}
    np.testing.assert_array_equal(some.time_ps, block.time_ps[np.isin(block.channel, (2, 4))])


@pytest.mark.parametrize(
    ("packed", "tags"),
    [
        (b"no zlib", 1),
        (zlib.compress(b"\0" * 19), 2),
        (zlib.compress(b"\0" * 21), 2),
        (zlib.compress(b"\0" * 20)[:-1], 2),
        (zlib.compress(b"\0" * 100_000_000), 3),
        (zlib.compress(b""), -1),
        (zlib.compress(b""), UNPACKED_MAX + 1),
    ],
    ids=["not packed", "too short", "too long", "cut off", "a bomb", "fewer than none", "too many"],
)
def test_bytes_that_are_not_so_many_tags_are_refused(packed: bytes, tags: int) -> None:
    with pytest.raises(ProtocolFault):
        unpack(packed, tags, 0, "alice-tagger")


def chunk_of(index: int, start_ps: int, stop_ps: int, epoch: int = 0) -> TagsChunk:
    packed = pack(np.array([start_ps], np.int64), np.array([1], np.int16), start_ps)
    return TagsChunk(
        number=1, index=index, epoch=epoch, start_ps=start_ps, stop_ps=stop_ps, tags=1, packed=packed, lost=()
    )


async def test_a_chunk_that_is_missing_is_told_as_a_loss() -> None:
    receiver = TagReceiver("t", lambda chunks: None)
    for chunk in (
        chunk_of(1, 0, 10),
        chunk_of(3, 20, 30),
        chunk_of(4, 30, 40),
        chunk_of(6, 0, 9, epoch=1),
    ):
        receiver.put(chunk)
    receiver.end()
    blocks = []
    while (block := await receiver.get()) is not None:
        blocks.append(block)
    assert [(one.start_ps, one.stop_ps, one.lost) for one in blocks] == [
        (0, 10, ()),
        (10, 30, ((10, 20),)),
        (30, 40, ()),
        (0, 9, ()),
    ]


async def test_credit_is_given_back_as_chunks_are_read_and_never_before() -> None:
    granted: list[int] = []
    receiver = TagReceiver("t", granted.append)
    for index in range(1, CREDIT + 1):
        receiver.put(chunk_of(index, 10 * index, 10 * index + 10))
    assert granted == []
    for _ in range(CREDIT):
        assert await receiver.get() is not None
    assert sum(granted) == CREDIT
