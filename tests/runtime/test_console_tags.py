"""Streams of tags over the bus: exact, bounded, told where a reader was too slow, and in nobody's way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from bellwire.core.errors import LocalMisuse
from bellwire.core.events import Received
from bellwire.core.instrument_messages import InstrumentMessage
from bellwire.core.messages import Watermark
from bellwire.drivers.faults import DeviceError
from bellwire.drivers.leases import LeaseLost
from bellwire.drivers.tag_counting import joined, losses
from bellwire.drivers.tag_queue import TagQueue
from bellwire.drivers.tc200 import Tc200
from bellwire.drivers.time_tags import Counts, TagBlock
from bellwire.runtime.console import Console
from bellwire.runtime.console_tags import CREDIT
from bellwire.runtime.outbox import Urgency
from tests.runtime.buses import until
from tests.runtime.desk_bench import DeskBench, desk_bench

BLOCK_PS = 10**9
TAGS = 20_000
"""Of a block: three chunks."""


def block(number: int) -> TagBlock:
    """The block of this number of a stream without gaps."""
    chance = np.random.default_rng(number)
    start_ps = number * BLOCK_PS
    times = np.sort(chance.integers(start_ps, start_ps + BLOCK_PS, TAGS))
    return TagBlock(0, start_ps, start_ps + BLOCK_PS, times, chance.integers(1, 5, TAGS).astype(np.int16))


class ScriptedTagger(Tc200):
    """A tagger whose tags come when the test says; its line is an oven's, which is of no matter here."""

    def __init__(self, name: str, address: str) -> None:
        super().__init__(name, address, pace=0.0)
        self.queue: TagQueue | None = None
        self.streams_ended = 0
        self.blocks_max = 8

    @property
    def channels(self) -> Sequence[int]:
        return (1, 2, 3, 4)

    async def set_threshold_mv(self, channel: int, level_mv: float) -> None:
        return

    async def read_threshold_mv(self, channel: int) -> float:
        return 0.0

    async def set_delay_ps(self, channel: int, delay_ps: int) -> None:
        return

    async def read_delay_ps(self, channel: int) -> int:
        return 0

    async def count(self, window_s: float) -> Counts:
        return Counts(window_s, {1: 7, 3: 11}, False, 5)

    async def tags(self) -> AsyncGenerator[TagBlock, None]:
        if self.queue is not None:
            raise LocalMisuse(f"{self.name} streams tags already: one reader at a time")
        self.queue = queue = TagQueue(self.blocks_max)
        try:
            while True:
                yield await queue.get()
        finally:
            self.queue = None
            self.streams_ended += 1

    async def streaming(self) -> TagQueue:
        """The queue of the stream that runs."""
        await until(lambda: self.queue is not None, "the stream has begun")
        assert self.queue is not None
        return self.queue


@asynccontextmanager
async def tagging(
    folder: Path, names: Sequence[str] = ("alice",)
) -> AsyncIterator[tuple[DeskBench, ScriptedTagger, Console]]:
    tagger = ScriptedTagger("alice-spare", str(folder / "state" / "devices" / "alice-spare"))
    async with desk_bench(folder, names, {"spare": tagger}) as bench, bench.console() as console:
        yield bench, tagger, console


async def test_every_tag_comes_over_as_it_was_and_the_stream_ends_when_its_time_is_covered(
    tmp_path: Path,
) -> None:
    async with tagging(tmp_path) as (bench, tagger, console):
        tagger.blocks_max = 100
        classes = urgencies(bench)
        async with console.hold(["alice-spare"], "reader") as held:
            got: list[TagBlock] = []

            async def read() -> None:
                async with aclosing(held.tags("alice-spare", 20 * BLOCK_PS / 1e12)) as blocks:
                    async for one in blocks:
                        got.append(one)

            reading = asyncio.create_task(read())
            queue = await tagger.streaming()
            for number in range(25):
                queue.put(block(number))
            await reading
            assert await held.count("alice-spare", 0.5) == Counts(0.5, {1: 7, 3: 11}, False, 5)
        sent, told = joined([block(number) for number in range(20)]), joined(got)
        assert len(got) == 60
        assert (told.start_ps, told.stop_ps, told.epoch) == (0, 20 * BLOCK_PS, 0)
        assert told.lost == ()
        np.testing.assert_array_equal(told.time_ps, sent.time_ps)
        np.testing.assert_array_equal(told.channel, sent.channel)
        assert [one.dtype.str for one in (told.time_ps, told.channel)] == ["<i8", "<i2"]
        assert tagger.streams_ended == 1
        # Chunks leave in a class that everything else overtakes; the stream's end must not overtake them.
        assert classes.pop("TagsChunk") == classes.pop("TagsEnded") == {"facts"}
        assert set(map(frozenset, classes.values())) == {frozenset({"control"})}


def urgencies(bench: DeskBench) -> dict[str, set[str]]:
    """In which classes the desk's messages leave, by type."""
    found: dict[str, set[str]] = {}
    desk = bench.agents["alice"].desk
    post = desk._post

    def noted(message: InstrumentMessage, urgency: Urgency) -> None:
        found.setdefault(type(message).__name__, set()).add(urgency)
        post(message, urgency)

    desk._post = noted
    return found


async def test_no_more_chunks_are_on_their_way_than_the_reader_has_asked_for(tmp_path: Path) -> None:
    async with (
        tagging(tmp_path) as (bench, tagger, console),
        console.hold(["alice-spare"], "idle") as held,
        aclosing(held.tags("alice-spare", 3600)) as blocks,
    ):
        first = asyncio.ensure_future(anext(blocks))
        queue = await tagger.streaming()
        for number in range(8):  # 24 chunks
            queue.put(block(number))
        await first
        (sender,) = bench.agents["alice"].desk._streams.values()
        await until(lambda: sender.chunks >= CREDIT, "the credit is used up")
        for _ in range(10):
            await held.read("alice-spare", "temperature_set_c")
        assert sender.chunks == CREDIT


async def test_a_slow_reader_is_told_what_he_lost_and_everything_else_is_exact(tmp_path: Path) -> None:
    async with tagging(tmp_path) as (bench, tagger, console):
        async with (
            console.hold(["alice-spare"], "slow") as held,
            aclosing(held.tags("alice-spare", 100 * BLOCK_PS / 1e12, (2, 3))) as blocks,
        ):
            first = asyncio.ensure_future(anext(blocks))
            queue = await tagger.streaming()
            queue.put(block(0))
            got = [await first]
            # The reader does something else, while the tagger goes on: 60 blocks, of which 8 wait there.
            outbox = bench.agents["alice"].network.peers["console"].outbox
            for number in range(1, 61):
                queue.put(block(number))
                await asyncio.sleep(0)  # whoever wants to run, runs
                assert len(outbox) <= CREDIT
            assert queue.blocks_dropped > 0
            feeding = asyncio.create_task(feed(tagger, 61, 100))
            async for one in blocks:
                got.append(one)
            await feeding
        told = joined(got)
        assert (told.start_ps, told.stop_ps) == (0, 100 * BLOCK_PS)
        lost = losses(told)
        assert len(lost) >= 1
        assert 10 * BLOCK_PS <= int(np.sum(lost[:, 1] - lost[:, 0])) <= 60 * BLOCK_PS
        sent = joined([block(number) for number in range(100)])
        kept = np.isin(sent.channel, (2, 3))
        for begin, end in lost:
            kept &= (sent.time_ps < begin) | (sent.time_ps >= end)
        np.testing.assert_array_equal(told.time_ps, sent.time_ps[kept])
        np.testing.assert_array_equal(told.channel, sent.channel[kept])


async def feed(tagger: ScriptedTagger, first: int, past: int) -> None:
    """Blocks, as the stream takes them."""
    for number in range(first, past):
        await until(lambda: tagger.queue is None or len(tagger.queue._waiting) < 4, "the stream goes on")
        if tagger.queue is None:
            return
        tagger.queue.put(block(number))


async def test_neither_orders_nor_heartbeats_nor_outcomes_wait_for_a_stream(tmp_path: Path) -> None:
    """The stream goes on until all others are through; a peer that is not heard for 0.9 s is down."""
    async with tagging(tmp_path, ("alice", "bob")) as (bench, tagger, console):
        alice, bob = bench.agents["alice"], bench.agents["bob"]
        await until(lambda: bob.network.peers["alice"].knows_us, "alice and bob know each other")
        done, chunks = asyncio.Event(), 0
        async with console.hold(["alice-spare", "alice-oven"], "busy") as held:

            async def read() -> None:
                nonlocal chunks
                async with aclosing(held.tags("alice-spare", 3600)) as blocks:
                    async for _ in blocks:
                        chunks += 1
                        if done.is_set():
                            return

            reading = asyncio.create_task(read())
            await tagger.streaming()
            feeding = asyncio.create_task(feed(tagger, 0, 10**9))
            await until(lambda: chunks > 20, "the stream is in full flow")
            for number in range(1, 21):
                alice.network.post("bob", Watermark(incarnation=1, last=number), "outcome")
                await held.read("alice-oven", "temperature_set_c")
            await until(lambda: len(bob_numbers(bench)) == 20, "bob has every outcome")
            assert bob_numbers(bench) == list(range(1, 21))
            assert not reading.done()
            done.set()
            await reading
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
        for one in (alice, bob):
            assert one.health.counts["peer_down"] == 0
            assert not any(name.startswith("outbox_full") for name in one.health.counts)
        assert console.health.counts["peer_down"] == 0
        assert console.health.counts["answer_unasked"] == 0


def bob_numbers(bench: DeskBench) -> list[int]:
    return [
        event.message.last
        for _, event in bench.agents["bob"].machine.told
        if isinstance(event, Received) and isinstance(event.message, Watermark)
    ]


async def test_a_stream_that_was_left_has_ended_in_the_tagger_and_another_may_begin(tmp_path: Path) -> None:
    async with tagging(tmp_path) as (_, tagger, console), console.hold(["alice-spare"], "reader") as held:
        for turn in range(1, 3):
            async with aclosing(held.tags("alice-spare", 3600)) as blocks:
                first = asyncio.ensure_future(anext(blocks))
                (await tagger.streaming()).put(block(7))
                assert (await first).start_ps == 7 * BLOCK_PS
                with pytest.raises(LocalMisuse, match="one reader at a time"):
                    async with aclosing(held.tags("alice-spare", 1)) as others:
                        await anext(others)
            assert tagger.streams_ended == turn


async def test_a_stream_ends_with_its_lease_at_both_ends(tmp_path: Path) -> None:
    async with tagging(tmp_path) as (bench, tagger, console):
        async with (
            console.hold(["alice-spare"], "doomed", lease_s=0.8) as held,
            aclosing(held.tags("alice-spare", 3600)) as blocks,
        ):
            first = asyncio.ensure_future(anext(blocks))
            (await tagger.streaming()).put(block(0))  # three chunks, of which one is read
            await first
            assert held._renewing is not None
            held._renewing.cancel()
            await until(lambda: tagger.streams_ended == 1, "the tagger streams no more")
            await until(lambda: not console._asked, "the console was told")
            with pytest.raises(LeaseLost, match="doomed has run out"):
                await held.count("alice-spare", 0.1)
            with pytest.raises(LeaseLost, match="doomed has run out"):
                await anext(blocks)
        assert bench.agents["alice"].desk.status() == {"holds": {}, "questions": 0}


async def test_an_agent_that_vanishes_in_the_middle_of_a_stream_is_told_at_once(tmp_path: Path) -> None:
    async with (
        tagging(tmp_path) as (bench, tagger, console),
        console.hold(["alice-spare"], "doomed", lease_s=60.0) as held,
        aclosing(held.tags("alice-spare", 3600)) as blocks,
    ):
        first = asyncio.ensure_future(anext(blocks))
        (await tagger.streaming()).put(block(0))
        await first
        bench.agents["alice"].network.close()
        with pytest.raises(LeaseLost, match="alice is down"):
            async for _ in blocks:
                pass


async def test_a_fault_of_the_tagger_comes_after_the_tags_before_it(tmp_path: Path) -> None:
    async with tagging(tmp_path) as (_, tagger, console), console.hold(["alice-spare"], "reader") as held:
        got: list[int] = []

        async def read() -> None:
            async with aclosing(held.tags("alice-spare", 3600)) as blocks:
                async for one in blocks:
                    got.append(len(one.time_ps))

        reading = asyncio.create_task(read())
        queue = await tagger.streaming()
        for number in range(4):
            queue.put(block(number))
        queue.end(DeviceError("alice-spare", "the reference clock is gone"))
        with pytest.raises(DeviceError, match="the reference clock is gone"):
            await reading
        assert sum(got) == 4 * TAGS
        # The lease has nothing to do with it.
        assert (await held.count("alice-spare", 0.1)).singles == {1: 7, 3: 11}
