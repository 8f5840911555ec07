"""The FPGA as a time tagger: tags against the photons that fell on its inputs, and what is lost is stated."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bellwire.core.errors import LocalMisuse
from bellwire.drivers import roles
from bellwire.drivers.faults import IdentityRefused
from bellwire.drivers.fpga_tagger import FpgaTagger
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

RATES_HZ = {INPUTS[0]: 4000.0, INPUTS[1]: 2000.0, INPUTS[3]: 500.0}
DEAD_NS = 40


@dataclass(frozen=True)
class SlowOrder(EmulatorOrder):
    """An instrument whose time goes more slowly than the host's, so that the host is never late for it."""

    slower: int = 1
    since_ns: int = field(default_factory=time.time_ns)

    def now_ns(self) -> int:
        return self.since_ns + (time.time_ns() - self.since_ns) // self.slower


@pytest.fixture
async def emulator(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[InstrumentEmulator]:
    order = SlowOrder(
        name="tagger",
        address="pty:tagger",
        serial_number="31",
        device_dir=tmp_path,
        wiring=Wiring(Alone(rates_hz=RATES_HZ, seed=4)),
        slower=getattr(request, "param", 1),
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


@pytest.mark.parametrize("emulator", [8], indirect=True)
async def test_every_photon_that_the_dead_time_lets_through_is_tagged_once(
    tagger: FpgaTagger, emulator: InstrumentEmulator
) -> None:
    """On a board whose time goes slowly: a host that is later than the board's ring holds would lose tags."""
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
    for _ in range(100):  # a host that reads too late has losses of its own: there is room again, so they end
        if not block.lost:
            break
        block = await anext(stream)
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
