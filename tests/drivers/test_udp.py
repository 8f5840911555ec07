"""The heralding FPGA over UDP: the same driver, the same device, another codec."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bellwire.core.errors import ConfigError, DeviceFault
from bellwire.drivers.datagrams import DatagramDecoder, encode_datagrams
from bellwire.drivers.faults import Disconnected, LinkTimeout
from bellwire.drivers.framing import FrameType, Message, Status, pack_words
from bellwire.drivers.herald_fpga import HeraldFpga
from bellwire.drivers.instrument import Condition
from bellwire.drivers.udp_port import WINDOW_REQUESTS
from bellwire.labs import load_lab
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.udp_line import UdpLine
from bellwire.simulator_backend.emulation import wire
from tests.drivers.conftest import FAST, RETRY, Lab, make_lab


def address_of(lab: Lab) -> str:
    line = lab.bench.stations["station"].line
    assert isinstance(line, UdpLine)
    return line.address


@pytest.fixture
async def udp_lab(tmp_path: Path) -> AsyncIterator[Lab]:
    lab = make_lab(tmp_path, success=0.05, durations=None, udp=True)
    async with lab.bench:
        lab.fpga.link._path = address_of(lab)
        yield lab
        for driver in lab.drivers:
            await driver.close()


async def test_heralds_come_over_udp_as_they_come_over_a_serial_line(udp_lab: Lab) -> None:
    lab = udp_lab
    await lab.connect()
    await lab.configure()
    epoch_s = await lab.start_run(7)
    for lane in (0, 1):
        await lab.arm_both(lane, lane, 7, epoch_s)
    await lab.eventually(lambda: len(lab.held["alice"]) == len(lab.held["bob"]) == 2, "two heralds")
    await lab.eventually(lambda: len(lab.records) == 2, "two records")
    told = sorted(2 * attempt + lane for _, _, lane, _, attempt, _ in lab.held["alice"])
    assert sorted(record.sub_attempt for record in lab.records) == told
    await lab.eventually(lambda: bool(lab.bounds) and lab.bounds[-1][1] >= told[-1], "the bound")
    assert (lab.fpga.counters.succeeded, lab.fpga.counters.unknown) == (2, 0)
    assert lab.losses == []


async def test_eight_requests_are_in_flight_and_their_answers_share_datagrams(udp_lab: Lab) -> None:
    lab = udp_lab
    await lab.fpga.connect()
    line = lab.bench.stations["station"].line
    assert isinstance(line, UdpLine)
    sent: list[int] = []
    in_flight: list[int] = []
    write, send = line._write, lab.fpga.link._send

    def count_messages(octets: bytes) -> None:
        sent.append(len(DatagramDecoder().feed(octets)))
        write(octets)

    def count_waiting(message: Message) -> None:
        in_flight.append(len(lab.fpga.link._waiting))
        send(message)

    line._write = count_messages  # type: ignore[method-assign]
    lab.fpga.link._send = count_waiting  # type: ignore[method-assign]
    values = await asyncio.gather(*(lab.fpga.link.read("SERIAL") for _ in range(40)))
    assert values == [77] * 40
    assert max(in_flight) == WINDOW_REQUESTS
    assert max(sent) == WINDOW_REQUESTS
    assert lab.fpga.link.repeated_requests == 0


async def test_writes_run_once_on_a_net_that_loses_and_damages(udp_lab: Lab) -> None:
    """200 writes to a register that counts accesses, 10 % of the datagrams lost each way, 10 % damaged.

    A try fails with probability 0.28, five tries together with 0.0017; HELLO then helps out, and fails itself
    with the same probability: 200 * 0.0017 * 0.0017 = 6e-4 is the false alarm, and one that ends in a
    timeout is repeated here, because then nobody knows whether it ran.
    """
    lab = udp_lab
    lab.fpga.link.settings = replace(FAST, tries=5, reply_timeout_s=0.03)
    await lab.fpga.connect()
    link, unknown = lab.fpga.link, 0
    await link.write("LUT_ADDR", 0)
    lab.bench.set_fault("station", Fault.LOST_FRAME, rate=0.1)
    lab.bench.set_fault("station", Fault.BAD_CRC, rate=0.1)
    for _ in range(200):
        try:
            await link.write("LUT_DATA", 3)
        except LinkTimeout:
            unknown += 1
    lab.bench.clear_fault("station")
    ran = await link.read("LUT_ADDR")
    assert 200 - unknown <= ran <= 200
    assert link.repeated_requests > 20
    assert link.frame_errors > 5


async def test_a_device_without_power_is_known_at_once_and_comes_back(udp_lab: Lab) -> None:
    lab = udp_lab
    task = asyncio.create_task(lab.fpga.supervise())
    await lab.fpga.wait_for(Condition.READY, 5)
    await lab.bench.stop("station")
    await lab.fpga.wait_for(Condition.LOST, 5)
    assert "refused" in lab.fpga.state.reason.lower()
    await lab.bench.start("station")
    await lab.eventually(lambda: lab.resets == ["station"], "the reset is told")
    await lab.fpga.wait_for(Condition.READY, 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_device_has_one_owner_until_that_one_is_silent(udp_lab: Lab) -> None:
    lab = udp_lab
    await lab.fpga.connect()
    other = HeraldFpga("other", address_of(lab), framed=FAST, backoff=RETRY)
    with pytest.raises(Disconnected, match="owned by another host"):
        await other.connect()
    assert await lab.fpga.link.read("SERIAL") == 77
    await lab.fpga.close()
    line = lab.bench.stations["station"].line
    assert isinstance(line, UdpLine)
    line._heard_s -= 10.0  # the owner has been silent since long
    await other.connect()
    assert other.identity is not None
    await other.close()


async def test_requests_of_a_stranger_are_not_carried_out(udp_lab: Lab) -> None:
    lab = udp_lab
    await lab.fpga.connect()
    core = lab.bench.stations["station"].core
    assert core is not None
    address = lab.fpga.link.map["SCRATCH"].address
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.setblocking(False)
        write = Message(FrameType.WRITE, 1, address, 1, 0, pack_words([0xBAD]))
        hello = Message(FrameType.HELLO, 2, 0, 1, 0, pack_words([1]))
        line = lab.bench.stations["station"].line
        assert isinstance(line, UdpLine)
        for datagram in encode_datagrams([write]) + encode_datagrams([hello]) + [b"noise"]:
            stranger.sendto(datagram, (line.host, line.port))
        async with asyncio.timeout(2):
            octets = await asyncio.get_running_loop().sock_recv(stranger, 2000)
    (answer,) = DatagramDecoder().feed(octets)
    assert (answer.type, answer.seq, answer.status) == (FrameType.HELLO | 0x80, 2, Status.BUSY)
    assert core.registers.value("SCRATCH") == 0
    assert await lab.fpga.link.read("SERIAL") == 77


async def test_an_address_that_the_system_refuses_is_told() -> None:
    nowhere = HeraldFpga("nowhere", "udp://255.255.255.255:9", framed=FAST, backoff=RETRY)
    with pytest.raises(DeviceFault, match="cannot open"):
        await nowhere.connect()


def test_a_lab_may_have_its_station_on_udp(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "lab_configs" / "two_node_link.yaml").read_text()
    path = tmp_path / "lab.yaml"
    path.write_text(text.replace("pty:midpoint-herald", "udp://127.0.0.1:24660"))
    bench = wire(load_lab(path), tmp_path)
    (station,) = bench.stations.values()
    assert isinstance(station.line, UdpLine)
    assert station.line.address == "udp://127.0.0.1:24660"
    path.write_text(text.replace("pty:midpoint-herald", "udp://10.0.0.7:24660"))
    with pytest.raises(ConfigError, match=r"udp://127\.0\.0\.1:PORT"):
        wire(load_lab(path), tmp_path)
