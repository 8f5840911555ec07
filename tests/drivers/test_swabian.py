"""Time Tagger driver against the stand-in for the maker's library."""

from __future__ import annotations

import asyncio
import math
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.drivers.faults import DeviceError, Disconnected, IdentityRefused, LinkTimeout
from bellwire.drivers.instrument import Backoff, Condition
from bellwire.drivers.roles import CoincidenceCounter, TimeTagger
from bellwire.drivers.session import SessionSettings
from bellwire.drivers.swabian import SwabianTimeTagger
from bellwire.drivers.swabian_stream import SwabianStream
from bellwire.drivers.tag_counting import joined, losses, tally
from bellwire.drivers.tag_queue import TagQueue
from bellwire.drivers.tag_streaming import StreamLimits
from bellwire.drivers.time_tags import TagBlock
from bellwire.simulator_backend.devices.surroundings import Alone, Wiring
from bellwire.simulator_backend.devices.swabian_device import SwabianDevice
from bellwire.simulator_backend.devices.swabian_standin import StandIn
from tests.drivers.conftest import eventually
from tests.drivers.tagger_table import GRID, GRID_PS

SERIAL = "2138000XYZ"
SERVER = "127.0.0.1:41101"


@pytest.fixture
def device() -> SwabianDevice:
    """Grid events on inputs 1 to 4, of which 1, 2 and 3 lie within 5 ns."""
    return SwabianDevice(Wiring(GRID), serial_number=SERIAL)


def driver_of(device: SwabianDevice, address: str = "usb", **keywords: Any) -> SwabianTimeTagger:
    keywords.setdefault("settings", SessionSettings(timeout_s=2.0, hang_s=0.5))
    driver = SwabianTimeTagger(
        "tagger",
        address,
        serial_number=SERIAL,
        backoff=Backoff(first_s=0.02, longest_s=0.05, refused_s=0.05),
        probe_s=0.05,
        library=StandIn([device], {SERVER: device}),
        **keywords,
    )
    driver.stream_limits = StreamLimits(restarts_max=2, recovery_s=3.0)
    return driver


@pytest.fixture
async def driver(device: SwabianDevice) -> AsyncIterator[SwabianTimeTagger]:
    driver = driver_of(device)
    await driver.connect()
    yield driver
    await driver.close()


async def blocks_of(driver: SwabianTimeTagger, count: int) -> list[TagBlock]:
    found: list[TagBlock] = []
    async with aclosing(driver.tags()) as stream, asyncio.timeout(10):
        async for block in stream:
            found.append(block)
            if len(found) == count:
                break
    return found


# -- opening ----------------------------------------------------------------------------------------------


async def test_the_instrument_says_who_it_is_and_which_inputs_it_has(driver: SwabianTimeTagger) -> None:
    assert driver.identity is not None
    assert (driver.identity.model, driver.identity.serial_number) == ("Time Tagger", SERIAL)
    assert list(driver.channels) == list(range(1, 9))
    assert "Swabian" not in sys.modules


def test_it_plays_its_roles(device: SwabianDevice) -> None:
    tagger: TimeTagger = driver_of(device)
    counter: CoincidenceCounter = driver_of(device)
    assert isinstance(tagger, TimeTagger)
    assert isinstance(counter, CoincidenceCounter)


async def test_the_library_is_wanted_only_when_the_instrument_is_opened() -> None:
    threads = threading.active_count()
    driver = SwabianTimeTagger("tagger", "usb")
    with pytest.raises(ConfigError, match="pip install Swabian-TimeTagger"):
        await driver.connect()
    await driver.close()
    await eventually(lambda: threading.active_count() <= threads, "no thread is left")
    with pytest.raises(ConfigError, match="HOST:PORT"):
        await SwabianTimeTagger("tagger", "serial:/dev/ttyUSB0").connect()


async def test_a_missing_library_ends_the_supervision_with_its_reason() -> None:
    driver = SwabianTimeTagger("tagger", "usb")
    with pytest.raises(ConfigError):
        await driver.supervise()
    assert driver.state.condition is Condition.REFUSED
    assert "Swabian-TimeTagger" in driver.state.reason


async def test_an_instrument_that_is_not_there_or_in_use_is_absent(device: SwabianDevice) -> None:
    device.attached = False
    driver = driver_of(device)
    with pytest.raises(Disconnected, match=f"Time Tagger with serial {SERIAL} not attached"):
        await driver.connect()
    device.attached = True
    await driver.connect()
    with pytest.raises(Disconnected, match="already in use"):
        await driver_of(device).connect()
    await driver.close()
    await driver.connect()  # who closed it gave it back
    await driver.close()


async def test_another_serial_number_behind_a_server_is_refused() -> None:
    other = SwabianDevice(Wiring(GRID), serial_number="OTHER")
    with pytest.raises(IdentityRefused, match=f"expected '{SERIAL}', found 'OTHER'"):
        await driver_of(other, f"tcp://{SERVER}").connect()
    with pytest.raises(Disconnected, match=r"Could not connect to Time Tagger server at 127.0.0.1:7\."):
        await driver_of(other, "tcp://127.0.0.1:7").connect()


async def test_a_server_keeps_the_settings_and_usb_does_not(device: SwabianDevice) -> None:
    device.set_level(1, 1.25)
    network = driver_of(device, f"tcp://{SERVER}")
    await network.connect()
    assert await network.read_threshold_mv(1) == pytest.approx(1250, abs=1.3)
    await network.close()
    usb = driver_of(device)
    await usb.connect()
    assert await usb.read_threshold_mv(1) == pytest.approx(500, abs=1.3)
    await usb.close()


# -- settings ---------------------------------------------------------------------------------------------


async def test_settings_read_back_within_the_step_of_the_converter(driver: SwabianTimeTagger) -> None:
    await driver.set_threshold_mv(3, -123.4)
    assert await driver.read_threshold_mv(3) == pytest.approx(-123.4, abs=0.7)
    await driver.set_delay_ps(3, -7)
    assert await driver.read_delay_ps(3) == -7
    await driver.set_test_signal(3, True)
    await driver.safe_state()
    assert not await driver.read_test_signal(3)
    for refused in (
        driver.set_threshold_mv(9, 0),
        driver.set_threshold_mv(1, 2501),
        driver.set_delay_ps(1, 2 * 10**12),
        driver.set_patterns("1-1"),
        driver.set_patterns("all"),
        driver.count(0.0),
    ):
        with pytest.raises(LocalMisuse):
            await refused


async def test_levels_beyond_what_the_model_can_do_are_not_sent() -> None:
    small = SwabianDevice(Wiring(GRID), serial_number=SERIAL, model="Time Tagger X")
    driver = driver_of(small)
    await driver.connect()
    with pytest.raises(LocalMisuse, match="outside -1000 to 1000 mV"):
        await driver.set_threshold_mv(1, 1500)
    await driver.close()


async def test_a_set_that_had_no_effect_is_found_by_the_read_back(
    driver: SwabianTimeTagger, device: SwabianDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "set_delay", lambda channel, delay_ps: None)
    with pytest.raises(DeviceError, match="delay in ps was set to 5 but reads 0"):
        await driver.set_delay_ps(1, 5)


async def test_what_the_library_refuses_costs_neither_line_nor_state(driver: SwabianTimeTagger) -> None:
    with pytest.raises(DeviceError, match="not available"):
        await driver.call(lambda tagger, library: tagger.getTriggerLevel(99))
    assert driver.state.condition is Condition.READY
    assert await driver.read_delay_ps(1) == 0


# -- counting ---------------------------------------------------------------------------------------------


async def test_counts_and_coincidences_are_those_of_one_window(driver: SwabianTimeTagger) -> None:
    counts = await driver.count(0.02)
    assert counts.valid
    assert counts.singles == {c: pytest.approx(2000, abs=1) if c <= 4 else 0 for c in range(1, 9)}
    await driver.set_patterns("1-2 1-3 2-3 1-2-3 1-4")
    await driver.set_window_ns(7)
    found = await driver.count_coincidences(0.02)
    assert {pattern for pattern, count in found.items() if count} == {(1, 2), (2, 3)}
    assert found[1, 2] == pytest.approx(2000, abs=1)
    await driver.set_delay_ps(1, 4_000)
    found = await driver.count_coincidences(0.02)
    assert {pattern for pattern, count in found.items() if count} == {(1, 2), (1, 3), (2, 3), (1, 2, 3)}
    assert found[1, 2, 3] == pytest.approx(2000, abs=1)


async def test_accidental_coincidences_have_the_rate_of_chance() -> None:
    # r1 r2 w T = 1e5 x 1e5 x 1e-6 x 0.2 = 2000; each event looks back for the latest of the other within
    # w/2, so 2 r T (1 - exp(-r w/2)) = 1951 are expected. Five sigma: false alarm 6e-7.
    device = SwabianDevice(Wiring(Alone(rates_hz={"1": 1e5, "2": 1e5}, seed=4)), serial_number=SERIAL)
    driver = driver_of(device)
    await driver.connect()
    await driver.set_patterns("1-2")
    await driver.set_window_ns(1000)
    found = await driver.count_coincidences(0.2)
    expected = 2 * 20_000 * -math.expm1(-0.05)
    assert abs(found[1, 2] - expected) < 5 * math.sqrt(expected)
    await driver.close()


async def test_an_overflow_makes_a_count_invalid(driver: SwabianTimeTagger, device: SwabianDevice) -> None:
    task = asyncio.create_task(driver.count(0.1))
    await asyncio.sleep(0.03)
    device.begin_overflow()
    device.end_overflow()
    assert not (await task).valid
    coincidences = asyncio.create_task(driver.count_coincidences(0.1))
    await asyncio.sleep(0.03)
    device.begin_overflow()
    device.end_overflow()
    with pytest.raises(DeviceError, match="an overflow during the count"):
        await coincidences
    assert await driver.read_overflows() == 2


async def test_the_test_signal_replaces_the_connector(driver: SwabianTimeTagger) -> None:
    await driver.set_test_signal(7, True)
    counts = await driver.count(0.02)
    assert 0.8e6 < counts.singles[7] / 0.02 < 1e6


# -- tags -------------------------------------------------------------------------------------------------


async def test_blocks_follow_each_other_without_a_gap(driver: SwabianTimeTagger) -> None:
    blocks = await blocks_of(driver, 4)
    whole = joined(blocks)
    assert not whole.lost  # consecutive blocks touch, or the hole would be a loss
    assert (np.diff(whole.time_ps) >= 0).all()
    times = whole.time_ps[whole.channel == 1]
    assert (np.diff(times) == GRID_PS).all()
    beats = (whole.stop_ps - whole.start_ps) / GRID_PS
    assert len(times) == pytest.approx(beats, abs=1)
    counted = tally(
        whole, interval_ps=10 * GRID_PS, channels=(4,), patterns=((1, 3), (1, 4)), window_ps=10_000
    )
    assert counted.coincidences[1, 3] == counted.singles[4]
    assert counted.coincidences[1, 4] == 0


async def test_an_overflow_is_a_loss_from_its_begin_to_its_end_across_blocks(
    driver: SwabianTimeTagger, device: SwabianDevice
) -> None:
    found: list[TagBlock] = []
    async with aclosing(driver.tags()) as stream, asyncio.timeout(10):
        found.append(await anext(stream))
        device.begin_overflow()
        found += [await anext(stream) for _ in range(3)]
        device.end_overflow()
        found += [await anext(stream) for _ in range(2)]
    ((begin_ps, end_ps),) = losses(joined(found))
    assert [(int(begin_ps), int(end_ps))] == device.overflows_between(0, device.now_ps())
    whole = joined(found)
    times = whole.time_ps[whole.channel == 1]
    assert not ((times >= begin_ps) & (times < end_ps)).any()
    assert (times >= end_ps).any()
    assert (np.diff(times[times < begin_ps]) == GRID_PS).all()


async def test_a_buffer_that_was_full_makes_its_whole_block_a_loss(
    driver: SwabianTimeTagger,
) -> None:
    queue = TagQueue()
    stream = SwabianStream("tagger", driver, [1, 2], queue.put, 0, tags_buffered_max=500)
    task = asyncio.create_task(stream.run())
    block = await queue.get()
    stream.stop()
    await task
    assert len(block.time_ps) == 500
    assert block.lost == ((block.start_ps, block.stop_ps),)


async def test_a_slow_reader_finds_a_stated_gap(driver: SwabianTimeTagger) -> None:
    driver.stream_limits = StreamLimits(blocks_waiting_max=2)
    async with aclosing(driver.tags()) as stream, asyncio.timeout(10):
        await anext(stream)
        running = driver._stream
        assert running is not None
        await eventually(lambda: running.blocks >= 6, "six blocks have come")
        found = [await anext(stream) for _ in range(3)]
    gap = found[2].lost[0]
    assert gap[0] == found[1].stop_ps == found[2].start_ps
    assert (found[2].time_ps >= gap[1]).all()
    assert driver.blocks_dropped >= 3


async def test_measurements_of_a_tagger_that_was_opened_anew_are_not_asked_again(
    driver: SwabianTimeTagger,
) -> None:
    before = await driver.call(lambda tagger, library: tagger)
    await driver.close()
    await driver.connect()
    with pytest.raises(Disconnected, match="opened anew"):
        await driver.call(lambda tagger, library: None, of=before)
    assert await driver.read_delay_ps(1) == 0


async def test_two_readers_of_tags_are_one_too_many(driver: SwabianTimeTagger) -> None:
    async with aclosing(driver.tags()) as stream:
        await anext(stream)
        with pytest.raises(LocalMisuse, match="one reader"):
            await anext(driver.tags())
        assert (await driver.count(0.02)).singles[1] == pytest.approx(2000, abs=1)


# -- faults -----------------------------------------------------------------------------------------------


async def test_a_cable_that_is_pulled_is_noticed_and_settings_and_stream_come_back(
    device: SwabianDevice,
) -> None:
    driver = driver_of(device)
    await driver.configure({"threshold_mv.2": 800.0, "delay_ps.2": 123})
    task = asyncio.create_task(driver.supervise())
    await driver.wait_for(Condition.READY, 5)
    async with aclosing(driver.tags()) as stream, asyncio.timeout(10):
        assert (await anext(stream)).epoch == 0
        device.attached = False
        await eventually(lambda: driver.state.condition is not Condition.READY, "the loss is noticed")
        assert "disconnected" in driver.state.reason.lower() or "not attached" in driver.state.reason
        device.attached = True
        while (block := await anext(stream)).epoch == 0:
            pass
        assert len(block.time_ps) > 0
    assert driver.stream_restarts >= 1
    assert device.level(2) == pytest.approx(0.8, abs=0.001)
    assert device.delay(2) == 123
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_server_that_is_gone_is_noticed_though_nothing_is_asked(device: SwabianDevice) -> None:
    driver = driver_of(device, f"tcp://{SERVER}")
    task = asyncio.create_task(driver.supervise())
    await driver.wait_for(Condition.READY, 5)
    device.served = False
    await eventually(lambda: "Could not connect" in driver.state.reason, "it is tried again")
    device.served = True
    await driver.wait_for(Condition.READY, 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_reset_behind_our_back_is_found_and_the_settings_come_back(device: SwabianDevice) -> None:
    driver = driver_of(device, f"tcp://{SERVER}")
    await driver.configure({"threshold_mv.2": 800.0})
    task = asyncio.create_task(driver.supervise())
    await driver.wait_for(Condition.READY, 5)
    device.reset()
    await eventually(lambda: device.level(2) > 0.79, "the level is asserted again")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_library_that_hangs_costs_its_thread_and_not_the_loop(device: SwabianDevice) -> None:
    driver = driver_of(device, settings=SessionSettings(timeout_s=0.05, hang_s=0.1))
    await driver.connect()
    release = threading.Event()
    ticks = 0

    async def clock() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.01)

    ticking = asyncio.create_task(clock())
    with pytest.raises(LinkTimeout, match="hangs"):
        await driver.call(lambda tagger, library: release.wait(10))
    assert ticks > 5
    release.set()
    ticking.cancel()
    await asyncio.gather(ticking, return_exceptions=True)
    await driver.close()


@pytest.mark.hardware
async def test_a_real_time_tagger_counts_its_own_test_signal() -> None:
    """With an instrument on USB and the maker's library: 0.8 to 1 MHz on every input, no gap in the tags."""
    driver = SwabianTimeTagger("tagger", "usb")
    await driver.connect()
    for channel in driver.channels:
        await driver.set_test_signal(channel, True)
    counts = await driver.count(1.0)
    assert all(0.7e6 < count < 1.1e6 for count in counts.singles.values())
    assert not joined(await blocks_of(driver, 10)).lost
    await driver.safe_state()
    await driver.close()
