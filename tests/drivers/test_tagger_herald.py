"""The analyser on a tagger's tags: runs, losses, seconds, and what makes it not ready.

The tagger here is a list of blocks; emulated taggers stand in tests/hosts/test_live_tagger.py.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.drivers.faults import DeviceError, Disconnected
from bellwire.drivers.herald_fpga import HeraldRecord
from bellwire.drivers.herald_settings import HeraldSettings, settings_for_travel
from bellwire.drivers.instrument import Condition, Identity, InstrumentState
from bellwire.drivers.tagger_herald import StreamingTagger, TaggerHerald, TaggerInputs
from bellwire.drivers.time_tags import Counts, TagBlock
from bellwire.runtime.herald_analyser import HeraldAnalyser

SECOND_PS = 10**12
SECOND_NS = 10**9
EPOCH_S = 1000
PERIOD_NS = 250_000_000
TRAVEL_NS = 25_000
PPS, LEFT, RIGHT = 4, 1, 2
INPUTS = TaggerInputs(pps_channel=PPS, channels={0: LEFT, 2: RIGHT}, delays_ps={2: 3_000})
SETTINGS = settings_for_travel(PERIOD_NS, 1, TRAVEL_NS, architecture="single_click")


@dataclass
class ListedTagger:
    """A tagger of four channels whose time begins at unix second 997 and runs 20 ppm fast. Implements the
    role as far as the analyser uses it."""

    name: str = "tagger"
    condition: Condition = Condition.READY
    channels: tuple[int, ...] = (1, 2, 3, 4)
    blocks: asyncio.Queue[TagBlock | Exception] = field(default_factory=asyncio.Queue[TagBlock | Exception])
    now_ns: int = 0
    identity: Identity | None = field(default_factory=lambda: Identity("lister", "77", "1.0"))
    rate: float = 1 + 20e-6
    origin_s: int = EPOCH_S - 3
    epoch: int = 0
    streams: int = 0

    @property
    def state(self) -> InstrumentState:
        return InstrumentState(self.name, self.condition, "as the test says", 0, None)

    async def tags(self) -> AsyncGenerator[TagBlock, None]:
        self.streams += 1
        try:
            while True:
                block = await self.blocks.get()
                try:
                    if isinstance(block, Exception):
                        raise block
                    yield block
                finally:
                    self.blocks.task_done()  # the reader has come back for the next one
        finally:
            self.streams -= 1

    async def set_threshold_mv(self, channel: int, level_mv: float) -> None:
        raise LocalMisuse("not here")

    async def read_threshold_mv(self, channel: int) -> float:
        raise LocalMisuse("not here")

    async def set_delay_ps(self, channel: int, delay_ps: int) -> None:
        raise LocalMisuse("not here")

    async def read_delay_ps(self, channel: int) -> int:
        raise LocalMisuse("not here")

    async def count(self, window_s: float) -> Counts:
        raise LocalMisuse("not here")

    def own_ps(self, unix_ps: int) -> int:
        return round((unix_ps - self.origin_s * SECOND_PS) * self.rate)

    def tell(
        self,
        start_s: float,
        stop_s: float,
        tags: list[tuple[float, int]] | None = None,
        *,
        pps: bool = True,
        lost: tuple[tuple[float, float], ...] = (),
    ) -> None:
        """A block of [start, stop) unix seconds, with clicks (unix ps, channel), 30 ms after its end."""
        start_ps, stop_ps = round(start_s * SECOND_PS), round(stop_s * SECOND_PS)
        found = [(self.own_ps(round(at)), channel) for at, channel in tags or []]
        if pps:
            first = -(-start_ps // SECOND_PS)
            found += [
                (self.own_ps(second * SECOND_PS), PPS)
                for second in range(first, first + 9)
                if start_ps <= second * SECOND_PS < stop_ps
            ]
        found.sort()
        spans = tuple((self.own_ps(round(a * SECOND_PS)), self.own_ps(round(b * SECOND_PS))) for a, b in lost)
        self.now_ns = stop_ps // 1000 + 30_000_000
        self.blocks.put_nowait(
            TagBlock(
                self.epoch,
                self.own_ps(start_ps),
                self.own_ps(stop_ps),
                np.array([at for at, _ in found], np.int64),
                np.array([channel for _, channel in found], np.int16),
                spans,
            )
        )


@dataclass
class Heard:
    tagger: ListedTagger
    analyser: TaggerHerald
    told: list[tuple[object, ...]] = field(default_factory=list[tuple[object, ...]])
    records: list[HeraldRecord] = field(default_factory=list[HeraldRecord])

    async def worked(self) -> None:
        """Until every block has been taken."""
        await self.tagger.blocks.join()


def arrives_ps(attempt: int, *, late_ps: int = 0) -> int:
    """When the light of an attempt comes, unix ps."""
    return EPOCH_S * SECOND_PS + (attempt * PERIOD_NS + TRAVEL_NS) * 1000 + late_ps


@asynccontextmanager
async def analyser_of(
    tagger: ListedTagger, inputs: TaggerInputs = INPUTS, settings: HeraldSettings = SETTINGS
) -> AsyncIterator[Heard]:
    """Supervised; the tagger has told two seconds before the epoch."""
    analyser = TaggerHerald("mid-herald", tagger, inputs, clock=lambda: tagger.now_ns)
    heard = Heard(tagger, analyser)

    def note(record: HeraldRecord) -> None:
        heard.records.append(record)
        heard.told.append(("herald", record.sub_attempt, record.outcome))

    analyser.on_record = note
    analyser.on_lost = lambda run, first, last, count: heard.told.append(("lost", first, last, count))
    analyser.on_bound = lambda run, to: heard.told.append(("bound", to))
    await analyser.configure(settings)
    tagger.tell(EPOCH_S - 2.5, EPOCH_S - 0.9)
    task = asyncio.get_running_loop().create_task(analyser.supervise())
    try:
        await analyser.wait_for(Condition.READY, 5.0)
        yield heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert tagger.streams == 0


def test_it_is_an_analyser_and_its_tagger_a_streaming_one() -> None:
    tagger = ListedTagger()
    assert isinstance(tagger, StreamingTagger)
    analyser: HeraldAnalyser = TaggerHerald("a", tagger, INPUTS)
    assert analyser.name == "a"


async def test_clicks_become_records_with_the_unix_time_of_their_attempts_edge() -> None:
    async with analyser_of(ListedTagger()) as heard:
        await heard.analyser.start_run(7, EPOCH_S)
        clicks: list[tuple[float, int]] = [
            (arrives_ps(1), LEFT),
            (arrives_ps(4, late_ps=3_000), RIGHT),
            (arrives_ps(6), 3),  # a channel that is not wired
            (arrives_ps(7) + 40_000_000, LEFT),  # background
        ]
        heard.tagger.tell(EPOCH_S - 0.9, EPOCH_S + 2.2, clicks)
        await heard.worked()
    assert heard.told == [
        ("herald", 1, 1),
        ("bound", 3),
        ("herald", 4, 2),
        ("bound", 7),
        ("bound", 8),
    ]
    one = heard.records[0]
    assert one.run_short == 7
    assert one.stamp_ns == EPOCH_S * SECOND_NS + PERIOD_NS + SETTINGS.start_delay_ns
    assert one.confidence is not None
    assert 0.9 < one.confidence < 1
    assert (heard.analyser.counters.succeeded, heard.analyser.counters.failed) == (2, 7)
    assert heard.analyser.rates is not None
    assert sum(heard.analyser.rates.beside) == 1


async def test_a_lost_interval_makes_its_attempts_unknown_and_no_others() -> None:
    async with analyser_of(ListedTagger()) as heard:
        await heard.analyser.start_run(7, EPOCH_S)
        clicks: list[tuple[float, int]] = [(arrives_ps(2), LEFT), (arrives_ps(3), LEFT)]
        heard.tagger.tell(EPOCH_S - 0.9, EPOCH_S + 0.9, clicks, lost=((EPOCH_S + 0.26, EPOCH_S + 0.51),))
        await heard.worked()
    assert heard.told == [("herald", 3, 1), ("lost", 2, 2, 1), ("bound", 3)]
    assert (heard.analyser.counters.unknown, heard.analyser.counters.failed) == (1, 2)


async def test_a_missing_pps_makes_attempts_unknown_until_the_next_one() -> None:
    async with analyser_of(ListedTagger()) as heard:
        await heard.analyser.start_run(7, EPOCH_S)
        heard.tagger.tell(EPOCH_S - 0.9, EPOCH_S + 0.8, [(arrives_ps(3), LEFT)])
        heard.tagger.tell(EPOCH_S + 0.8, EPOCH_S + 1.8, [(arrives_ps(6), LEFT)], pps=False)
        await heard.worked()
        assert heard.told[-1] == ("bound", 3)
        heard.tagger.tell(EPOCH_S + 1.8, EPOCH_S + 2.9, [(arrives_ps(9), LEFT)])
        await heard.worked()
        assert heard.analyser.pps.edges_missing == 1
    assert heard.told[2:] == [("herald", 9, 1), ("lost", 4, 7, 4), ("bound", 11)]


async def test_a_new_epoch_of_the_tagger_makes_attempts_unknown_until_two_seconds_are_labelled() -> None:
    tagger = ListedTagger()
    async with analyser_of(tagger) as heard:
        await heard.analyser.start_run(7, EPOCH_S)
        tagger.tell(EPOCH_S - 0.9, EPOCH_S + 0.8)
        await heard.worked()
        tagger.epoch, tagger.origin_s = 1, EPOCH_S - 1000  # its time begins anew
        tagger.tell(EPOCH_S + 0.9, EPOCH_S + 3.6, [(arrives_ps(5), LEFT), (arrives_ps(13), LEFT)])
        await heard.worked()
    # Seconds 1001 and 1002 are the two; attempt 8 begins with the second of them.
    assert heard.told == [
        ("bound", 3),
        ("lost", 4, 7, 4),
        ("bound", 11),
        ("herald", 13, 1),
        ("bound", 14),
    ]
    assert heard.analyser.counters.unknown == 4


async def test_a_run_in_the_past_or_without_configuration_is_refused() -> None:
    tagger = ListedTagger()
    with pytest.raises(LocalMisuse, match="configure"):
        await TaggerHerald("a", tagger, INPUTS).start_run(1, EPOCH_S)
    async with analyser_of(tagger) as heard:
        with pytest.raises(DeviceError, match="past"):
            await heard.analyser.start_run(1, EPOCH_S - 1)


async def test_stopping_ends_a_run_and_another_keeps_the_rates() -> None:
    async with analyser_of(ListedTagger()) as heard:
        await heard.analyser.start_run(7, EPOCH_S)
        heard.tagger.tell(EPOCH_S - 0.9, EPOCH_S + 0.9)
        await heard.worked()
        await heard.analyser.safe_state()
        before = list(heard.told)
        heard.tagger.tell(EPOCH_S + 0.9, EPOCH_S + 1.4)
        await heard.worked()
        assert heard.told == before
        await heard.analyser.start_run(8, EPOCH_S + 2)
        assert heard.analyser.rates is not None
        assert heard.analyser.rates.attempts == 4


async def test_without_a_pps_it_is_not_ready_and_says_why() -> None:
    tagger = ListedTagger()
    analyser = TaggerHerald("mid-herald", tagger, INPUTS, clock=lambda: tagger.now_ns)
    await analyser.configure(SETTINGS)
    for second in range(7):
        tagger.tell(EPOCH_S + second, EPOCH_S + second + 1, pps=False)
    task = asyncio.get_running_loop().create_task(analyser.supervise())
    try:
        state = await analyser.wait_for(Condition.LOST, 5.0)
        assert "no believable PPS on channel 4" in state.reason
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_signal_that_is_no_pps_is_said_to_be_none() -> None:
    tagger = ListedTagger()
    analyser = TaggerHerald("mid-herald", tagger, INPUTS, clock=lambda: tagger.now_ns)
    tagger.tell(EPOCH_S, EPOCH_S + 1, [(EPOCH_S * SECOND_PS + n * 10**9, PPS) for n in range(200)])
    task = asyncio.get_running_loop().create_task(analyser.supervise())
    try:
        state = await analyser.wait_for(Condition.LOST, 5.0)
        assert "200 edges" in state.reason or "201 edges" in state.reason
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_tagger_that_is_not_ready_is_named() -> None:
    tagger = ListedTagger(condition=Condition.DESYNC)
    with pytest.raises(Disconnected, match="tagger tagger is desync: as the test says"):
        await TaggerHerald("a", tagger, INPUTS).connect()


async def test_a_fault_of_the_stream_is_the_analysers_and_the_run_goes_on_after_it() -> None:
    tagger = ListedTagger()
    async with analyser_of(tagger) as heard:
        await heard.analyser.start_run(7, EPOCH_S)
        tagger.tell(EPOCH_S - 0.9, EPOCH_S + 0.8)
        tagger.blocks.put_nowait(DeviceError("tagger", "its buffers have overflowed"))
        await heard.analyser.wait_for(Condition.LOST, 5.0)
        assert "overflowed" in heard.analyser.state.reason
        tagger.tell(EPOCH_S + 0.9, EPOCH_S + 3.1, [(arrives_ps(9), LEFT)])
        await heard.analyser.wait_for(Condition.READY, 5.0)
        await heard.worked()
    assert ("lost", 4, 7, 4) in heard.told
    assert ("herald", 9, 1) in heard.told


@pytest.mark.parametrize(
    ("inputs", "problem"),
    [
        (TaggerInputs(pps_channel=4, channels={0: 1}, delays_ps={}), "the link needs"),
        (TaggerInputs(pps_channel=1, channels={0: 1, 2: 2}, delays_ps={}), "two signals"),
    ],
)
async def test_a_wiring_that_cannot_serve_the_link_is_refused(inputs: TaggerInputs, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        await TaggerHerald("a", ListedTagger(), inputs).configure(SETTINGS)


async def test_a_channel_that_the_tagger_does_not_have_is_refused() -> None:
    wrong = TaggerInputs(pps_channel=9, channels={0: 1, 2: 2}, delays_ps={})
    with pytest.raises(ConfigError, match=r"not \[9\]"):
        await TaggerHerald("a", ListedTagger(), wrong).connect()


async def test_a_large_block_is_matched_beside_the_loop_and_says_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted: list[int] = []
    real = asyncio.to_thread

    async def noted(work: Callable[..., object], *arguments: object) -> object:
        counted.append(1)
        return await real(work, *arguments)

    monkeypatch.setattr("bellwire.drivers.tagger_herald.asyncio.to_thread", noted)
    async with analyser_of(ListedTagger()) as heard:
        await heard.analyser.start_run(7, EPOCH_S)
        background: list[tuple[float, int]] = [
            (EPOCH_S * SECOND_PS + 10**9 + n * 10**6, LEFT) for n in range(30_000)
        ]
        heard.tagger.tell(EPOCH_S - 0.9, EPOCH_S + 0.9, [*background, (arrives_ps(1), LEFT)])
        await heard.worked()
    assert counted == [1]
    assert heard.told == [("herald", 1, 1), ("bound", 3)]
