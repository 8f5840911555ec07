"""Registers over Etherbone: the bytes, the bus, and the emulated board behind it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.errors import LocalMisuse, PeerViolation
from bellwire.drivers.device_clock import Clock
from bellwire.drivers.etherbone import Packet, Record, decode_packet, encode_packet
from bellwire.drivers.etherbone_bus import EtherboneBus
from bellwire.drivers.faults import Disconnected, IdentityRefused, LinkTimeout
from bellwire.drivers.frames import HeraldWords
from bellwire.drivers.herald_registers import HeraldRegisters
from bellwire.drivers.herald_settings import HeraldSettings
from bellwire.drivers.regmap import load_map
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.framed_emulator import FramedEmulator
from bellwire.simulator_backend.devices.herald_core import HeraldCore

S = 10**9
SETTINGS = HeraldSettings(link_period_ns=1_000_000)
words = st.lists(st.integers(0, 2**32 - 1), max_size=20).map(tuple)
records = st.builds(
    Record,
    write_base=st.integers(0, 2**32 - 1),
    writes=words,
    return_base=st.integers(0, 2**32 - 1),
    reads=words,
)


def as_sent(record: Record) -> Record:
    """A base address without words behind it does not travel."""
    return Record(
        record.write_base if record.writes else 0,
        record.writes,
        record.return_base if record.reads else 0,
        record.reads,
    )


def test_a_packet_has_the_bytes_of_the_specification() -> None:
    """Read 0x1000 and 0x1004 to tag 7, after writing 0xCAFE to 0x18."""
    packet = Packet((Record(0x18, (0xCAFE,), 7, (0x1000, 0x1004)),))
    assert encode_packet(packet).hex(" ", 4) == (
        "4e6f1044 00000000 000f0102 00000018 0000cafe 00000007 00001000 00001004"
    )
    assert (
        encode_packet(Packet((Record(0x18, (1,)),))).hex(" ", 4)
        == "4e6f1444 00000000 000f0100 00000018 00000001"
    )
    assert encode_packet(Packet(probe=True))[2] & 0x3 == 1
    assert encode_packet(Packet(probe_reply=True))[2] & 0x3 == 2


@settings(derandomize=True, deadline=None)
@given(st.lists(records, max_size=4).map(tuple), st.booleans(), st.booleans())
def test_packets_come_back_as_they_were_sent(sent: tuple[Record, ...], probe: bool, reply: bool) -> None:
    packet = Packet(sent, probe, reply)
    assert decode_packet(encode_packet(packet)) == Packet(tuple(map(as_sent, sent)), probe, reply)


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 59))
def test_what_is_no_packet_is_a_violation_and_nothing_else(noise: bytes, cut: int) -> None:
    for octets in (noise, encode_packet(Packet((Record(1, (2, 3), 4, (5, 6)),)))[:cut]):
        try:
            decode_packet(octets)
        except PeerViolation:
            continue
        assert octets[:2] == b"\x4e\x6f"


def test_more_words_than_a_record_holds_are_our_mistake() -> None:
    with pytest.raises(LocalMisuse, match="at most 255"):
        encode_packet(Packet((Record(reads=(0,) * 256),)))


@asynccontextmanager
async def a_board(tmp_path: Path, identity: int | None = None) -> AsyncIterator[FramedEmulator[HeraldCore]]:
    def make_core(boot_count: int, now_ns: int) -> HeraldCore:
        return HeraldCore(serial_number=9, boot_count=boot_count, boot_ns=now_ns, identity=identity)

    board = FramedEmulator(tmp_path / "board", make_core, lambda core: None, time.time_ns, 0)
    board.start()
    yield board
    board.stop()


@asynccontextmanager
async def a_bus(board: FramedEmulator[HeraldCore]) -> AsyncIterator[EtherboneBus]:
    assert board.etherbone is not None
    bus = EtherboneBus(
        "board", "127.0.0.1", board.etherbone.port, load_map("herald_fpga"), reply_timeout_s=0.05
    )
    try:
        yield bus
    finally:
        await bus.close()


async def test_a_board_is_configured_and_read_through_its_ring(tmp_path: Path) -> None:
    async with a_board(tmp_path) as board, a_bus(board) as bus:
        await bus.open()
        core = board.core
        assert core is not None
        registers = HeraldRegisters(bus)
        clock, channels, windows = await registers.sizes()
        assert (clock, channels, windows) == (Clock(8_000_000, 3), 4, 2)
        values = SETTINGS.registers(clock, channels, windows)
        await registers.assert_all(values, {"LUT": SETTINGS.outcome_table(channels, windows)}, 0.001)
        await bus.write("CTRL", 0b0101)
        start = core.run._start
        assert start is not None
        edge_ns = core.clock.ns_of(start) + 1_000_000
        assert core.click(edge_ns + 104, 0, 1, edge_ns + 104) == 1
        written = await bus.read("EV_WR")
        assert written == 1
        octets = b"".join(word.to_bytes(4, "little") for word in await bus.read_words(0x1000, 4))
        assert HeraldWords.unpack(octets).attempt == 1
        await bus.write("EV_RD", written)
        assert await bus.read("EV_LEVEL") == 0


async def test_what_the_device_does_not_take_shows_at_the_read_back(tmp_path: Path) -> None:
    async with a_board(tmp_path) as board, a_bus(board) as bus:
        await bus.open()
        await bus.write("SERIAL", 8)
        assert await bus.read("SERIAL") == 9
        assert await bus.read_words(0x3F, 1) == (0xFFFF_FFFF,)


async def test_a_lost_read_is_repeated_and_a_lost_write_is_not(tmp_path: Path) -> None:
    async with a_board(tmp_path) as board, a_bus(board) as bus:
        await bus.open()
        board.set_fault(Fault.LOST_FRAME, times=1)
        assert await bus.read("SERIAL") == 9
        assert bus.repeated_reads == 1
        board.set_fault(Fault.LOST_FRAME, times=1)
        with pytest.raises(LinkTimeout, match="unknown end"):
            await bus.write("SCRATCH", 7)
        board.clear_fault()
        assert await bus.read("SCRATCH") == 0
        board.set_fault(Fault.SILENT)
        with pytest.raises(LinkTimeout, match="unanswered"):
            await bus.read("SERIAL")


@pytest.mark.parametrize("fault", [Fault.LATE_REPLY, Fault.DOUBLE_REPLY])
async def test_an_old_answer_is_not_taken_for_a_new_one(tmp_path: Path, fault: Fault) -> None:
    async with a_board(tmp_path) as board, a_bus(board) as bus:
        await bus.open()
        await bus.write("SCRATCH", 7)
        board.set_fault(fault, delay_s=0.07, times=1)
        assert await bus.read("SCRATCH") == 7
        values = [await bus.read(name) for name in ("SERIAL", "SCRATCH") * 20]
        assert values == [9, 7] * 20


async def test_another_device_is_refused(tmp_path: Path) -> None:
    async with a_board(tmp_path, identity=0x1234) as board, a_bus(board) as bus:
        with pytest.raises(IdentityRefused, match="identity"):
            await bus.open()


async def test_a_board_without_power_is_known_at_once(tmp_path: Path) -> None:
    async with a_board(tmp_path) as board, a_bus(board) as bus:
        await bus.open()
        board.stop()
        with pytest.raises((Disconnected, LinkTimeout)):
            await bus.read("SERIAL")


async def test_noise_is_counted_and_answers_nothing(tmp_path: Path) -> None:
    async with a_board(tmp_path) as board, a_bus(board) as bus:
        await bus.open()
        assert board.etherbone is not None
        assert bus._transport is not None
        bus._transport.sendto(b"noise")
        bus.datagram_received(b"noise", None)
        assert await bus.read("SERIAL") == 9
        assert (board.etherbone.damaged_packets, bus.damaged_packets) == (1, 1)


async def test_many_reads_may_be_under_way(tmp_path: Path) -> None:
    async with a_board(tmp_path) as board, a_bus(board) as bus:
        await bus.open()
        names = ["SERIAL", "ABI", "TICK_FS"] * 10
        found = await asyncio.gather(*(bus.read(name) for name in names))
        assert found == [9, load_map("herald_fpga").abi, 8_000_000] * 10
