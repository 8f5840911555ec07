"""The FPGA as a time tagger: tags against the photons that fell on its inputs, and what is lost is stated."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bellwire.core.errors import LocalMisuse
from bellwire.drivers import fpga_tag_stream, roles
from bellwire.drivers.device_clock import Clock
from bellwire.drivers.faults import IdentityRefused
from bellwire.drivers.fpga_tagger import FpgaTagger
from bellwire.drivers.frames import Bound, Events, Lost, RecordKind, TagWords
from bellwire.drivers.instrument import Backoff, Condition
from bellwire.drivers.time_tags import TagBlock
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.fpga_tagger_emulator import INPUTS, FpgaModel, make
from bellwire.simulator_backend.devices.framed_emulator import FramedEmulator
from bellwire.simulator_backend.devices.herald_core import HeraldCore
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.surroundings import Alone, Wiring
from bellwire.simulator_backend.devices.udp_line import UdpLine
from tests.drivers.conftest import FAST, RETRY, eventually
from tests.simulator_backend.devices.planting import assert_harmless_changes_pass, noticed_by, plant

RATES_HZ = {INPUTS[0]: 4000.0, INPUTS[1]: 2000.0, INPUTS[3]: 500.0}
DEAD_NS = 40


@pytest.fixture
async def emulator(tmp_path: Path) -> AsyncIterator[InstrumentEmulator]:
    order = EmulatorOrder(
        name="tagger",
        address="pty:tagger",
        serial_number="31",
        device_dir=tmp_path,
        wiring=Wiring(Alone(rates_hz=RATES_HZ, seed=4)),
    )
    one = make(order)
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
async def tagger(emulator: InstrumentEmulator, tmp_path: Path) -> AsyncIterator[FpgaTagger]:
    one = FpgaTagger("tagger", str(tmp_path / "tagger"), serial_number="31", framed=FAST, backoff=RETRY)
    task = asyncio.create_task(one.supervise())
    await one.wait_for(Condition.READY, 5)
    yield one
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def core_of(emulator: InstrumentEmulator) -> Any:
    assert isinstance(emulator.model, FpgaModel)
    return emulator.model.core


async def blocks_of(tagger: FpgaTagger, duration_s: float) -> list[TagBlock]:
    """Blocks that cover at least a duration."""
    found: list[TagBlock] = []
    stream = tagger.tags()
    async for block in stream:
        found.append(block)
        if block.stop_ps - found[0].start_ps >= duration_s * 1e12:
            break
    await stream.aclose()
    return found


def photons_of(emulator: InstrumentEmulator, block: TagBlock, channel: int) -> np.ndarray[Any, Any]:
    """What fell on an input in the time of a block, in the board's ps, without what its dead time hides."""
    core = core_of(emulator)
    start_ns = core.clock.zero_ns + block.start_ps // 1000
    stop_ns = core.clock.zero_ns + block.stop_ps // 1000 + 1
    # From a millisecond before: dead time reaches back.
    times, _ = core._photons.tags([INPUTS[channel - 1]], start_ns - 10**6, stop_ns)
    times = times + (start_ns - 10**6 - core.clock.zero_ns) * 1000
    kept: list[int] = []
    for at_ps in times.tolist():
        tick = at_ps // 1000
        if not kept or tick - kept[-1] >= DEAD_NS:
            kept.append(tick)
    return np.array([tick * 1000 for tick in kept if block.start_ps <= tick * 1000 < block.stop_ps])


async def test_it_has_the_role_of_a_time_tagger(tagger: FpgaTagger) -> None:
    assert isinstance(tagger, roles.TimeTagger)
    assert tagger.channels == (1, 2, 3, 4)
    with pytest.raises(LocalMisuse, match="digital"):
        await tagger.set_threshold_mv(1, 50.0)
    with pytest.raises(LocalMisuse, match="digital"):
        await tagger.read_threshold_mv(1)
    with pytest.raises(LocalMisuse, match="not 5"):
        await tagger.read_delay_ps(5)


async def test_every_photon_that_the_dead_time_lets_through_is_tagged_once(
    tagger: FpgaTagger, emulator: InstrumentEmulator
) -> None:
    blocks = await blocks_of(tagger, 0.4)
    assert all(after.start_ps == before.stop_ps for before, after in pairwise(blocks))
    assert all(block.lost == () for block in blocks)
    assert sum(len(block.time_ps) for block in blocks) > 1000
    for block in blocks:
        assert block.epoch == core_of(emulator).clock.epoch
        assert np.all(np.diff(block.time_ps) >= 0)
        for channel in tagger.channels:
            expected = photons_of(emulator, block, channel)
            assert np.array_equal(block.time_ps[block.channel == channel], expected)


async def test_delays_are_added_to_the_times_of_their_channel(
    tagger: FpgaTagger, emulator: InstrumentEmulator
) -> None:
    await tagger.set_delay_ps(2, -300_000)
    await tagger.set_delay_ps(4, 7_000_000)
    assert await tagger.read_delay_ps(2) == -300_000
    assert [reading.value for reading in [await tagger.read_parameter("delay.4")]] == [7_000_000]
    blocks = await blocks_of(tagger, 0.2)
    joined = replace(
        blocks[0],
        stop_ps=blocks[-1].stop_ps,
        time_ps=np.concatenate([block.time_ps for block in blocks]),
        channel=np.concatenate([block.channel for block in blocks]),
    )
    assert np.all(np.diff(joined.time_ps) >= 0)
    for channel, delay_ps in ((1, 0), (2, -300_000), (4, 7_000_000)):
        moved = replace(joined, start_ps=joined.start_ps - delay_ps, stop_ps=joined.stop_ps - delay_ps)
        expected = photons_of(emulator, moved, channel) + delay_ps
        assert len(expected) > 20
        assert np.array_equal(joined.time_ps[joined.channel == channel], expected)
    with pytest.raises(LocalMisuse, match="above"):
        await tagger.set_delay_ps(1, 9_000_000)


async def test_counts_are_those_of_the_window_that_the_device_has_measured(
    tagger: FpgaTagger, emulator: InstrumentEmulator
) -> None:
    """Poissonian counts of 0.3 s within 5 standard deviations: false alarm 6e-7 for each of three inputs."""
    counts = await tagger.count(0.3)
    assert counts.valid
    assert counts.window_s >= 0.3
    for index, word in enumerate(INPUTS):
        mean = RATES_HZ.get(word, 0.0) * counts.window_s
        assert abs(counts.singles[index + 1] - mean) <= 5 * mean**0.5
    assert counts.singles[3] == 0
    with pytest.raises(LocalMisuse, match="must be positive"):
        await tagger.count(0.0)


async def test_tags_without_room_are_a_stated_loss(tagger: FpgaTagger, emulator: InstrumentEmulator) -> None:
    stream = tagger.tags()
    await anext(stream)
    emulator.set_fault(Fault.OVERFLOW)
    lost = 0
    for number in range(10):
        block = await anext(stream)
        if number == 3:
            emulator.clear_fault(Fault.OVERFLOW)
        for start, stop in block.lost:
            assert block.start_ps <= start < stop <= block.stop_ps
            lost += 1
        for channel in tagger.channels:
            expected = photons_of(emulator, block, channel)
            missing = np.setdiff1d(expected, block.time_ps[block.channel == channel])
            assert all(any(a <= at < b for a, b in block.lost) for at in missing)
    assert block.lost == ()
    assert lost > 0
    await stream.aclose()


async def test_a_line_that_breaks_costs_nothing_that_is_not_stated(
    tagger: FpgaTagger, emulator: InstrumentEmulator
) -> None:
    blocks: list[TagBlock] = []
    stream = tagger.tags()
    for _ in range(3):
        blocks.append(await anext(stream))
    emulator.set_fault(Fault.FIN, times=1)
    for _ in range(8):
        blocks.append(await anext(stream))
    await stream.aclose()
    assert {block.epoch for block in blocks} == {blocks[0].epoch}
    for before, block in pairwise(blocks):
        assert block.start_ps == before.stop_ps
        for channel in tagger.channels:
            expected = photons_of(emulator, block, channel)
            missing = np.setdiff1d(expected, block.time_ps[block.channel == channel])
            assert all(any(a <= at < b for a, b in block.lost) for at in missing)


async def test_a_restart_begins_another_epoch(tagger: FpgaTagger, emulator: InstrumentEmulator) -> None:
    await tagger.configure({"dead_time": 80.0, "falling.2": True})
    stream = tagger.tags()
    first = await anext(stream)
    await emulator.power_cycle()
    while (await anext(stream)).epoch == first.epoch:
        pass
    assert await tagger.read_dead_time_ns() == 80.0
    assert await tagger.read_falling(2)
    await stream.aclose()
    await eventually(lambda: core_of(emulator).registers.value("CTRL") == 0, "the tags are switched off")


async def test_the_tags_have_one_reader(tagger: FpgaTagger) -> None:
    stream = tagger.tags()
    await anext(stream)
    with pytest.raises(LocalMisuse, match="one reader"):
        await anext(tagger.tags())
    await stream.aclose()
    await anext(tagger.tags())


async def test_the_safe_state_is_silence(tagger: FpgaTagger, emulator: InstrumentEmulator) -> None:
    stream = tagger.tags()
    await anext(stream)
    await tagger.safe_state()
    assert core_of(emulator).registers.value("CTRL") == 0
    await stream.aclose()


async def test_another_serial_number_is_refused(emulator: InstrumentEmulator, tmp_path: Path) -> None:
    other = FpgaTagger("tagger", str(tmp_path / "tagger"), serial_number="32", framed=FAST, backoff=Backoff())
    with pytest.raises(IdentityRefused, match="expected '32', found '31'"):
        await other.connect()


async def test_connecting_only_asks(emulator: InstrumentEmulator, tmp_path: Path) -> None:
    one = FpgaTagger("tagger", str(tmp_path / "tagger"), framed=FAST, backoff=RETRY)
    await one.connect()
    await one.close()
    assert emulator.log
    assert not any(entry.changes for entry in emulator.log)


async def test_tags_come_over_udp_as_well() -> None:
    wiring = Wiring(Alone(rates_hz={INPUTS[0]: 800.0, INPUTS[1]: 400.0}, seed=8))

    def make_core(boot_count: int, now_ns: int) -> HeraldCore:
        return HeraldCore(
            serial_number=31, boot_count=boot_count, boot_ns=now_ns, photons=wiring, inputs=INPUTS
        )

    board = FramedEmulator(0, make_core, lambda core: None, time.time_ns)
    board.start()
    assert isinstance(board.line, UdpLine)
    one = FpgaTagger("tagger", board.line.address, framed=FAST, backoff=RETRY)
    await one.connect()
    await one.configure({})
    blocks = await blocks_of(one, 0.3)
    await one.close()
    board.stop()
    assert all(block.lost == () for block in blocks)
    tags = sum(len(block.time_ps) for block in blocks)
    mean = 1200 * (blocks[-1].stop_ps - blocks[0].start_ps) / 1e12
    assert abs(tags - mean) <= 5 * mean**0.5  # false alarm 6e-7
    assert {int(channel) for block in blocks for channel in block.channel} == {1, 2}


# -- the stream by hand ------------------------------

CLOCK = Clock(8_000_000, 3)


def stream(*offsets: int) -> fpga_tag_stream.FpgaTagStream:
    one = fpga_tag_stream.FpgaTagStream("tagger")
    one.listen(CLOCK, offsets or (0, 0), 5)
    one.begin(1000)
    return one


def feed(one: Any, *tags: tuple[int, int], epoch: int = 5) -> None:
    records = tuple(TagWords(stamp, channel, 0).pack() for stamp, channel in tags)
    one.take_events(Events(0, 0, epoch, records, RecordKind.TAG))


def bound(one: Any, stamp: int, lost: int = 0, epoch: int = 5, kind: RecordKind = RecordKind.TAG) -> None:
    one.take_bound(Bound(0, epoch, stamp, 0, lost, 1, 0, 0, kind))


def told(one: Any) -> list[tuple[Any, ...]]:
    return [
        (b.epoch, b.start_ps, b.stop_ps, b.time_ps.tolist(), b.channel.tolist(), b.lost)
        for b in one.queue._waiting
    ]


def a_block_ends_at_its_bound() -> None:
    one = stream()
    feed(one, (990, 0), (1000, 1), (1099, 0), (1100, 1))
    assert told(one) == []
    bound(one, 1099)
    bound(one, 1199)
    assert told(one) == [
        (5, 1_000_000, 1_100_000, [1_000_000, 1_099_000], [2, 1], ()),
        (5, 1_100_000, 1_200_000, [1_100_000], [2], ()),
    ]
    assert one._tags == []


def a_bound_that_says_nothing_new_makes_no_block() -> None:
    one = stream()
    bound(one, 1099)
    bound(one, 1099)
    bound(one, 1050)
    bound(one, 2000, kind=RecordKind.DECISION)
    assert len(told(one)) == 1


def moved_tags_wait_for_those_that_overtake_them() -> None:
    one = stream(50, -20)
    feed(one, (1000, 0), (1060, 1), (1090, 1))
    bound(one, 1099)
    assert told(one) == [(5, 1_050_000, 1_080_000, [1_050_000, 1_070_000], [1, 2], ())]
    feed(one, (1100, 0), (1120, 1))
    bound(one, 1199)
    assert told(one)[1:] == [(5, 1_080_000, 1_180_000, [1_100_000, 1_150_000], [2, 1], ())]


def losses_are_cut_to_their_block_and_reach_into_the_next() -> None:
    one = stream()
    one.take_lost(Lost(900, 998, 2, 0, RecordKind.TAG))
    bound(one, 1009, lost=2)
    one.take_lost(Lost(1050, 1149, 7, 0, RecordKind.TAG))
    one.take_lost(Lost(5, 9, 5, 0, RecordKind.DECISION))
    bound(one, 1099, lost=9)
    bound(one, 1199, lost=9)
    bound(one, 1299, lost=9)
    assert [entry[5] for entry in told(one)] == [
        (),
        ((1_050_000, 1_100_000),),
        ((1_100_000, 1_150_000),),
        (),
    ]


def a_loss_that_nobody_heard_takes_the_whole_block() -> None:
    one = stream()
    bound(one, 1009, lost=3)  # from before our time
    bound(one, 1099, lost=4)
    bound(one, 1199, lost=4)
    assert [entry[5] for entry in told(one)] == [(), ((1_010_000, 1_100_000),), ()]


def records_that_are_gone_take_the_whole_block_and_what_delays_move_out_of_it() -> None:
    one = stream(0, 30)
    bound(one, 1099)
    one.take_gap()
    bound(one, 1199)
    bound(one, 1299)
    assert [entry[5] for entry in told(one)] == [
        (),
        ((1_100_000, 1_200_000),),
        ((1_200_000, 1_230_000),),
    ]


def another_epoch_begins_another_stream() -> None:
    one = stream()
    feed(one, (1050, 0))
    bound(one, 1019)
    bound(one, 1099, epoch=6)
    feed(one, (1110, 0), epoch=5)
    feed(one, (1120, 1), epoch=6)
    bound(one, 1199, epoch=6)
    assert [(entry[0], entry[1], entry[3]) for entry in told(one)] == [
        (5, 1_000_000, []),
        (6, 1_100_000, [1_120_000]),
    ]


def a_stream_goes_on_only_with_the_same_clock_delays_and_epoch() -> None:
    one = stream()
    assert one.goes_on(CLOCK, (0, 0), 5)
    assert not one.goes_on(CLOCK, (0, 1), 5)
    assert not one.goes_on(CLOCK, (0, 0), 6)
    one.forget()
    assert not one.goes_on(CLOCK, (0, 0), 5)


DIRECTED = [
    a_block_ends_at_its_bound,
    a_bound_that_says_nothing_new_makes_no_block,
    moved_tags_wait_for_those_that_overtake_them,
    losses_are_cut_to_their_block_and_reach_into_the_next,
    a_loss_that_nobody_heard_takes_the_whole_block,
    records_that_are_gone_take_the_whole_block_and_what_delays_move_out_of_it,
    another_epoch_begins_another_stream,
    a_stream_goes_on_only_with_the_same_clock_delays_and_epoch,
]

PLANTED: dict[str, tuple[str, str]] = {
    "block one unit short": ("until = bound.decided_to + 1 +", "until = bound.decided_to +"),
    "tags of before": ("if begin <= tag[0] < until", "if tag[0] < until"),
    "tags handed over twice": ("if tag[0] >= until]", "if tag[0] >= begin]"),
    "delays not waited for": ("+ 1 + min(self._offsets)\n", "+ 1\n"),
    "start too early for delays": ("self._from = start + max(self._offsets)", "self._from = start"),
    "delays forgotten": ("tag.stamp + self._offsets[tag.channel]", "tag.stamp"),
    "losses of attempts": ("if lost.kind == RecordKind.TAG:", "if True:"),
    "loss forgotten at the end of its block": ("if stop > until]", "if False]"),
    "loss told twice": ("if start < until and stop > begin", "if start < until"),
    "loss one unit short": ("+ max(self._offsets) + 1))", "+ max(self._offsets)))"),
    "unheard loss overlooked": ("if bound.lost - self._lost_heard != self._lost_told:", "if False:"),
    "gap overlooked": ("self._gap = True\n\n    def take_bound", "pass\n\n    def take_bound"),
    "gap never ends": ("            self._gap = False\n        self._close", "        self._close"),
    "gap without delays": ("until + max(self._offsets) - min(self._offsets)", "until"),
    "epochs mixed": ("or events.time_epoch != self._epoch:", "or False:"),
    "epoch of the bound ignored": ("if bound.time_epoch != self._epoch:", "if False:"),
    "bounds of attempts": ("if bound.kind != RecordKind.TAG or", "if"),
    "unsorted": ("ready = sorted(tag", "ready = list(tag"),
}


@pytest.mark.parametrize("case", DIRECTED, ids=lambda case: case.__name__)
def test_blocks_say_what_is_known(case: Any) -> None:
    case()


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_noticed(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, fpga_tag_stream, PLANTED[fault])
    assert noticed_by(DIRECTED), f"no directed case noticed: {fault}"


def test_the_module_planted_without_a_fault_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert_harmless_changes_pass(monkeypatch, fpga_tag_stream, DIRECTED)
