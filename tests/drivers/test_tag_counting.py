"""Counting of tags against a count by hand, and the queue that never forgets a gap."""

from __future__ import annotations

import asyncio
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.faults import Disconnected
from bellwire.drivers.tag_counting import coincidence_times, joined, losses, tally, times_by_channel
from bellwire.drivers.tag_queue import TagQueue
from bellwire.drivers.time_tags import TagBlock

REPEATABLE = settings(derandomize=True, deadline=None, max_examples=200)


def block_of(
    tags: list[tuple[int, int]],
    stop_ps: int,
    lost: tuple[tuple[int, int], ...] = (),
    *,
    start_ps: int = 0,
    epoch: int = 0,
) -> TagBlock:
    ordered = sorted(tags)
    times = np.array([time_ps for time_ps, _ in ordered], np.int64)
    channels = np.array([channel for _, channel in ordered], np.int16)
    return TagBlock(epoch, start_ps, stop_ps, times, channels, lost)


SPANS = st.tuples(st.integers(0, 999), st.integers(1, 60)).map(lambda span: (span[0], sum(span)))
TAGS = st.lists(st.tuples(st.integers(0, 999), st.integers(1, 3)), max_size=60)


@REPEATABLE
@given(
    tags=TAGS,
    lost=st.lists(SPANS, max_size=4),
    interval_ps=st.integers(1, 400),
    window_ps=st.integers(0, 50),
)
def test_a_tally_equals_the_count_by_hand(
    tags: list[tuple[int, int]], lost: list[tuple[int, int]], interval_ps: int, window_ps: int
) -> None:
    block = block_of(tags, 1000, tuple(lost))
    half_ps = window_ps // 2
    good = [
        start
        for start in range(0, 1000 - interval_ps + 1, interval_ps)
        if not any(
            max(start, begin - half_ps) < min(start + interval_ps, end + half_ps) for begin, end in lost
        )
    ]

    def in_good(time_ps: int) -> bool:
        return any(start <= time_ps < start + interval_ps for start in good)

    def near(time_ps: int, channel: int) -> bool:
        return any(c == channel and abs(t - time_ps) <= half_ps for t, c in tags)

    singles = {channel: sum(c == channel and in_good(t) for t, c in tags) for channel in (1, 2, 3)}
    pairs = sum(c == 1 and in_good(t) and near(t, 2) for t, c in tags)
    triples = sum(c == 3 and in_good(t) and near(t, 1) and near(t, 2) for t, c in tags)
    found = tally(
        block,
        interval_ps=interval_ps,
        channels=(1, 2, 3),
        patterns=((1, 2), (3, 1, 2)),
        window_ps=window_ps,
    )
    assert found.singles == singles
    assert found.coincidences == {(1, 2): pairs, (3, 1, 2): triples}
    assert found.live_ps == len(good) * interval_ps
    assert found.live_ps + found.discarded_ps == 1000


@REPEATABLE
@given(lost=st.lists(SPANS, max_size=6), margin_ps=st.integers(0, 20))
def test_losses_cover_exactly_what_is_within_their_margin(
    lost: list[tuple[int, int]], margin_ps: int
) -> None:
    block = block_of([], 1000, tuple(lost))
    covered = np.zeros(1000, np.bool_)
    for begin, end in lost:
        covered[max(0, begin - margin_ps) : min(1000, end + margin_ps)] = True
    found = losses(block, margin_ps)
    marked = np.zeros(1000, np.bool_)
    for begin, end in found:
        assert not marked[begin:end].any()
        marked[begin:end] = True
    assert (marked == covered).all()
    assert (np.diff(found.ravel()) > 0).all()


def test_random_singles_coincide_as_often_as_poisson_says() -> None:
    # Channel 1 has a partner of rate r within w with probability 1 - exp(-r w). 200,000 tags, 4 sigma:
    # one seed in 16,000 would fail.
    chance = np.random.default_rng(5)
    span_ps, count, rate_hz, window_ps = 10**12, 200_000, 1_000_000.0, 400_000
    first = chance.integers(0, span_ps, count)
    second = chance.integers(0, span_ps, chance.poisson(rate_hz * span_ps / 1e12))
    tags = np.concatenate([first, second])
    channel = np.repeat(np.array([1, 2], np.int16), [len(first), len(second)])
    order = np.argsort(tags, kind="stable")
    block = TagBlock(0, 0, span_ps, tags[order], channel[order])
    probability = -math.expm1(-rate_hz * window_ps / 1e12)
    found = len(coincidence_times(times_by_channel(block, (1, 2)), (1, 2), window_ps))
    assert abs(found - count * probability) < 4 * math.sqrt(count * probability * (1 - probability))


def test_blocks_are_joined_with_a_loss_for_what_lies_between_them() -> None:
    one = block_of([(5, 1)], 10, ((2, 3),))
    two = block_of([(25, 2)], 30, start_ps=20)
    whole = joined([one, two])
    assert (whole.start_ps, whole.stop_ps, whole.lost) == (0, 30, ((2, 3), (10, 20)))
    assert whole.time_ps.tolist() == [5, 25]
    with pytest.raises(LocalMisuse, match="epochs 0 and 1"):
        joined([one, block_of([], 30, start_ps=20, epoch=1)])
    with pytest.raises(LocalMisuse, match="follows"):
        joined([two, one])


def test_a_pattern_that_names_a_channel_twice_is_refused() -> None:
    with pytest.raises(LocalMisuse, match="pattern"):
        coincidence_times(times_by_channel(block_of([], 10), (1,)), (1, 1), 4)


@REPEATABLE
@given(
    steps=st.lists(st.sampled_from(("put", "put", "get", "new epoch")), max_size=40),
    blocks_max=st.integers(1, 3),
)
def test_whatever_the_pace_of_the_reader_what_was_dropped_is_stated_and_nothing_else(
    steps: list[str], blocks_max: int
) -> None:
    async def scenario() -> None:
        queue = TagQueue(blocks_max)
        epoch, time_ps = 0, 0
        made: dict[int, list[int]] = {0: []}
        read: list[TagBlock] = []
        waiting = 0
        for step in steps:
            if step == "put":
                queue.put(block_of([(time_ps + 1, 1)], time_ps + 10, start_ps=time_ps, epoch=epoch))
                made[epoch].append(time_ps + 1)
                time_ps += 10
            elif step == "new epoch":
                epoch, time_ps = epoch + 1, 0
                made[epoch] = []
            elif waiting:
                read.append(await queue.get())
            waiting = len(queue._waiting)
            assert waiting <= blocks_max
        for before, after in itertools.pairwise(read):
            assert after.start_ps == (before.stop_ps if after.epoch == before.epoch else 0)
        for block in read:
            within = [one for one in made[block.epoch] if block.start_ps <= one < block.stop_ps]
            got = block.time_ps.tolist()
            stated = [one for one in within if any(begin <= one < end for begin, end in block.lost)]
            assert sorted(got + stated) == within

    asyncio.run(scenario())


async def test_a_slow_reader_finds_a_gap_where_blocks_were_dropped() -> None:
    queue = TagQueue(blocks_max=2)
    for number in range(6):
        queue.put(block_of([(10 * number + 1, 1)], 10 * number + 10, start_ps=10 * number))
    assert (queue.blocks_dropped, queue.tags_dropped) == (4, 4)
    assert [(await queue.get()).start_ps for _ in range(2)] == [0, 10]
    queue.put(block_of([(61, 1)], 70, start_ps=60))
    block = await queue.get()
    assert (block.start_ps, block.stop_ps, block.lost) == (20, 70, ((20, 60),))
    assert block.time_ps.tolist() == [61]


async def test_a_gap_of_an_old_epoch_is_not_stated_in_the_time_of_the_new_one() -> None:
    queue = TagQueue(blocks_max=1)
    queue.put(block_of([], 10))
    queue.put(block_of([], 20, start_ps=10))
    queue.put(block_of([], 10, epoch=1))
    await queue.get()
    queue.put(block_of([], 20, start_ps=10, epoch=1))
    block = await queue.get()
    assert (block.epoch, block.start_ps, block.lost) == (1, 0, ((0, 10),))


async def test_the_number_of_waiting_tags_is_bounded_but_one_block_always_passes() -> None:
    queue = TagQueue(tags_max=3)
    queue.put(block_of([(k, 1) for k in range(9)], 10))
    queue.put(block_of([(11, 1)], 20, start_ps=10))
    assert queue.tags_dropped == 1
    assert len((await queue.get()).time_ps) == 9


async def test_the_reader_gets_what_is_waiting_and_then_the_fault() -> None:
    queue = TagQueue()
    queue.put(block_of([], 10))
    queue.end(Disconnected("tagger", "gone"))
    assert (await queue.get()).stop_ps == 10
    with pytest.raises(Disconnected):
        async with asyncio.timeout(1):
            await queue.get()
