"""Streams of tags of the Time Controller through DataLinkTarget: honest about every loss."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import zmq
import zmq.asyncio

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.faults import DeviceError, Disconnected
from bellwire.drivers.id900_data_link import PairSockets
from bellwire.drivers.id900_streams import BuffersOverflowed, StreamSettings
from bellwire.drivers.instrument import Condition
from bellwire.drivers.tag_counting import joined, tally
from bellwire.drivers.tag_streaming import StreamLimits
from bellwire.drivers.time_tags import TagBlock
from bellwire.labs.free_ports import free_ports
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.id900_data_link import DataLinkProgram
from bellwire.simulator_backend.devices.surroundings import Alone
from bellwire.simulator_backend.devices.tag_stream_line import TagStreamLine
from tests.drivers.conftest import eventually
from tests.drivers.tagger_table import GRID, GRID_PS, Grid, Table, on_a_table

BRIEF = StreamSettings(
    block_ps=100_000_000_000, silence_s=0.4, limits=StreamLimits(recovery_s=3.0, restarts_max=2)
)


@pytest.fixture
async def table() -> AsyncIterator[Table]:
    """Grid events on four inputs, sub-acquisitions of 100 ms."""
    table = streaming_table(GRID)
    await table.device.start()
    await table.driver.connect()
    yield table
    await table.driver.close()
    await table.device.stop()


def streaming_table(surroundings: Grid | Alone) -> Table:
    control, data_link = free_ports(2)
    table = on_a_table(surroundings, address=f"tcp://127.0.0.1:{control},127.0.0.1:{data_link}")
    table.driver.stream_settings = BRIEF
    return table


async def blocks_of(table: Table, count: int) -> list[TagBlock]:
    found: list[TagBlock] = []
    async with aclosing(table.driver.tags()) as stream, asyncio.timeout(10):
        async for block in stream:
            found.append(block)
            if len(found) == count:
                break
    return found


@contextmanager
def data_link_client(table: Table) -> Iterator[Any]:
    """Another program that talks to the DataLinkTarget."""
    client = zmq.asyncio.Context.instance().socket(zmq.REQ)
    client.connect("tcp://" + table.driver.address.split(",")[1])
    try:
        yield client
    finally:
        client.close(linger=0)


async def command(client: Any, text: str) -> Any:
    await client.send_string(text)
    return json.loads(await asyncio.wait_for(client.recv(), 5))


async def test_blocks_follow_each_other_and_are_blind_only_in_their_dead_time(table: Table) -> None:
    blocks = await blocks_of(table, 4)
    period_ps = BRIEF.block_ps + BRIEF.dead_ps
    for number, block in enumerate(blocks):
        assert (block.epoch, block.start_ps, block.stop_ps) == (
            0,
            number * period_ps,
            (number + 1) * period_ps,
        )
        assert block.lost == ((block.stop_ps - BRIEF.dead_ps, block.stop_ps),)
        assert (np.diff(block.time_ps) >= 0).all()
    whole = joined(blocks)
    for channel, offset_ps in ((1, 0), (2, 3_000), (3, 5_000), (4, 1_000_000)):
        phases = whole.time_ps[whole.channel == channel] % GRID_PS
        assert len(phases) == pytest.approx(40_000, abs=4)
        # The beat goes through all blocks, so every block has its place in time.
        assert len(np.unique((phases - offset_ps) % GRID_PS)) == 1


async def test_tags_and_hardware_agree_on_coincidences(table: Table) -> None:
    driver = table.driver
    await driver.set_window_ns(7)
    hardware = await driver.count_coincidences(0.1)
    block = joined(await blocks_of(table, 2))
    tags = tally(
        block, interval_ps=10 * GRID_PS, channels=(1,), patterns=((1, 2), (1, 3), (2, 3)), window_ps=7000
    )
    beats = tags.live_ps // GRID_PS
    for pattern in ((1, 2), (1, 3), (2, 3)):
        expected = 1.0 if hardware[pattern] else 0.0
        assert tags.coincidences[pattern] / beats == pytest.approx(expected, abs=0.001)
    assert await driver.read_window_ns() == 7


async def test_acquisitions_of_a_crashed_client_end_when_tags_are_wanted_not_before(table: Table) -> None:
    with data_link_client(table) as client:
        (port,) = free_ports(1)
        start = f"start-stream --address 127.0.0.1 --channel 2 --stream-port {port}"
        assert await command(client, start) == {"id": "127.0.0.1:5557"}
        assert "error" in await command(client, start)
        await table.driver.close()
        await table.driver.connect()
        assert await command(client, "list") == ["127.0.0.1:5557"]
        assert len(await blocks_of(table, 1)) == 1
        assert await command(client, "list") == []
        refused = await command(client, "stop --id 127.0.0.1:5557")
        assert refused == {"error": {"description": "no acquisition with id 127.0.0.1:5557"}}


async def test_a_stream_leaves_nothing_running(table: Table) -> None:
    await blocks_of(table, 1)
    stage, *sending = await table.driver.ask("REC:STAG?", *(f"RAW{k}:SEND?" for k in (1, 2, 3, 4)))
    assert (stage, set(sending)) == ("IDLE", {"OFF"})
    assert (await table.driver.count(0.01)).valid


async def test_combiners_serve_one_at_a_time(table: Table) -> None:
    async with aclosing(table.driver.tags()) as stream:
        assert (await anext(stream)).epoch == 0
        with pytest.raises(LocalMisuse, match="its combiners carry the tags"):
            await table.driver.count_coincidences(0.01)
        with pytest.raises(LocalMisuse, match="one reader at a time"):
            await anext(table.driver.tags())
        assert (await table.driver.count(0.01)).singles[1] == pytest.approx(1000, abs=1)


async def test_a_block_in_which_tags_were_lost_says_so_whole_and_so_does_the_next(table: Table) -> None:
    async with aclosing(table.driver.tags()) as stream, asyncio.timeout(10):
        good = await anext(stream)
        assert good.lost[0][0] > good.start_ps
        table.device.set_fault(Fault.OVERFLOW)
        while (block := await anext(stream)).lost[0] != (block.start_ps, block.stop_ps):
            assert len(block.time_ps) == pytest.approx(40_000, abs=8)  # else it would have to say so
        assert len(block.time_ps) < 0.6 * len(good.time_ps)
        table.device.clear_fault(Fault.OVERFLOW)
        last_lost = block
        while (block := await anext(stream)).lost[0] == (block.start_ps, block.stop_ps):
            last_lost = block
        assert block.start_ps == last_lost.stop_ps
        assert len(block.time_ps) == pytest.approx(40_000, abs=8)
        assert block.epoch == 0


async def test_buffers_that_overflowed_for_good_end_the_stream_until_a_restart_by_hand() -> None:
    table = streaming_table(Alone(rates_hz={"1": 12_000_000.0}))
    table.driver.stream_settings = replace(BRIEF, block_ps=20_000_000_000)
    await table.device.start()
    await table.driver.connect()
    with pytest.raises(BuffersOverflowed, match="switch the instrument off and on by hand"):
        await blocks_of(table, 6)
    await table.device.power_cycle()
    await table.driver.close()
    await table.driver.connect()
    await table.driver.set_enabled(1, False)
    assert len((await blocks_of(table, 3))[-1].lost) == 1
    await table.driver.close()
    await table.device.stop()


async def test_after_a_restart_the_stream_goes_on_in_a_new_epoch(table: Table) -> None:
    driver = table.driver
    await driver.close()
    task = asyncio.create_task(driver.supervise())
    await driver.wait_for(Condition.READY, 5)
    async with aclosing(driver.tags()) as stream, asyncio.timeout(15):
        assert (await anext(stream)).epoch == 0
        await table.device.power_cycle(0.1)
        while (block := await anext(stream)).epoch == 0:
            pass
        assert block.start_ps == 0
        assert len(block.time_ps) == pytest.approx(40_000, abs=8)
        assert driver.stream_restarts >= 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_stream_whose_acquisition_somebody_stopped_starts_anew(table: Table) -> None:
    async with aclosing(table.driver.tags()) as stream, asyncio.timeout(10):
        await anext(stream)
        with data_link_client(table) as client:
            first = (await command(client, "list"))[0]
            await command(client, f"stop --id {first}")
        while (block := await anext(stream)).epoch == 0:
            pass
        assert len(block.time_ps) == pytest.approx(40_000, abs=8)


async def test_a_message_that_went_missing_never_shifts_those_after_it(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = table.device.lines[2]
    assert isinstance(streams, TagStreamLine)
    send = streams.send
    swallowed: list[bytes] = []

    def lossy(identifier: str, octets: bytes) -> bool:
        if identifier.endswith("5559") and not swallowed and len(octets):
            swallowed.append(octets)
            return True
        return send(identifier, octets)

    monkeypatch.setattr(streams, "send", lossy)
    async with aclosing(table.driver.tags()) as stream, asyncio.timeout(10):
        block = await anext(stream)
    assert swallowed
    assert block.epoch == 1
    assert table.driver.stream_restarts == 1


async def test_a_data_link_that_is_not_there_ends_the_stream_with_its_reason(table: Table) -> None:
    control = table.driver.address.split(",")[0]
    (nobody,) = free_ports(1)
    table.driver.address = f"{control},127.0.0.1:{nobody}"
    with pytest.raises(Disconnected, match=str(nobody)):
        await blocks_of(table, 1)
    table.driver.address = control
    with pytest.raises(DeviceError, match="add ,HOST:6060 to its address"):
        await blocks_of(table, 1)
    assert table.driver.state.condition is Condition.READY


async def test_a_slow_reader_loses_blocks_with_a_stated_gap_and_memory_stays_bounded(table: Table) -> None:
    driver = table.driver
    driver.stream_settings = replace(BRIEF, limits=StreamLimits(blocks_waiting_max=2))
    async with aclosing(driver.tags()) as stream, asyncio.timeout(10):
        first = await anext(stream)
        running = driver._stream
        assert running is not None
        await eventually(lambda: running.blocks >= 6, "six blocks have come")
        found = [await anext(stream) for _ in range(3)]
    assert [block.start_ps for block in found[:2]] == [first.stop_ps, found[0].stop_ps]
    gap = found[2].lost[0]
    assert gap[0] == found[1].stop_ps == found[2].start_ps
    assert gap[1] - gap[0] >= 3 * (BRIEF.block_ps + BRIEF.dead_ps)
    assert (found[2].time_ps >= gap[1]).all()
    assert driver.blocks_dropped >= 3


async def test_tags_may_be_told_against_a_reference_clock() -> None:
    table = streaming_table(Grid({"1": 2_500, "start": 0}))
    table.driver.stream_settings = replace(BRIEF, reference_period_ps=GRID_PS)
    await table.device.start()
    await table.driver.connect()
    (block,) = await blocks_of(table, 1)
    assert set((block.time_ps % GRID_PS).tolist()) == {2_500}
    assert (np.diff(block.time_ps) == GRID_PS).all()
    await table.driver.close()
    await table.device.stop()


async def test_a_reader_that_is_cancelled_costs_neither_the_line_nor_the_stream(table: Table) -> None:
    reader = asyncio.create_task(blocks_of(table, 1000))
    await eventually(lambda: table.driver._stream is not None and table.driver._stream.blocks > 0, "a block")
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    assert table.driver.state.condition is Condition.READY
    assert await table.driver.read_threshold_mv(1) == 1000
    assert len(await blocks_of(table, 1)) == 1


def test_a_stream_that_does_not_answer_is_not_waited_for_with_tags() -> None:
    (nobody,) = free_ports(1)
    sockets = PairSockets("tagger", "127.0.0.1", {1: nobody})
    with pytest.raises(Disconnected, match=f"no stream of tags at 127.0.0.1:{nobody}"):
        sockets.open(0.05)
    sockets.close()
    with pytest.raises(Disconnected, match="not open"):
        sockets.receive(0.0)


def test_a_client_that_does_not_read_costs_its_tags_and_is_told() -> None:
    program = DataLinkProgram(TagStreamLine())  # its line is closed: nobody can be served
    said = json.loads(program.carry_out("start-stream --address x --channel 1 --stream-port 1", 0))
    assert said == {"error": {"description": "cannot open stream port 1"}}
    assert "error" in json.loads(program.carry_out("start-stream --channel 9", 0))
    assert "error" in json.loads(program.carry_out('start-save --filename "a', 0))
    assert "writes no files" in program.carry_out("start-save --address x", 0)


async def test_messages_that_find_no_room_are_counted_as_errors_of_the_acquisition() -> None:
    line = TagStreamLine()
    await line.open()
    program = DataLinkProgram(line)
    (port,) = free_ports(1)
    said = json.loads(program.carry_out(f"start-stream --address x --channel 1 --stream-port {port}", 0))
    program.deliver(1, b"", 0, 5)
    status = json.loads(program.carry_out(f"status --id {said['id']}", 2 * 10**9 + 5))
    assert status["acquisitions_count"] == 1
    assert status["inactivity"] == pytest.approx(2.0)
    assert "dropped" in status["errors"][0]["description"]
    await line.close()
