"""Net-SNMP's commands, and pysnmp's manager in a process of its own, read the emulated switch."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from bellwire.drivers.wr_objects import PTP_ENTRY, SWITCH, Servo, Version
from bellwire.simulator_backend.devices.emulators import EmulatorOrder, make_emulator
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from tests.judges.conftest import Peer

pytestmark = pytest.mark.judge

DEADLINE_S = 20
ROW = ".1.3.6.1.4.1.96.100.7.5.1"


@pytest.fixture
async def emulator() -> AsyncIterator[InstrumentEmulator]:
    switch = make_emulator("white_rabbit_switch", EmulatorOrder(name="clock", address="udp://127.0.0.1:0"))
    await switch.start()
    yield switch
    await switch.stop()


def port_of(emulator: InstrumentEmulator) -> int:
    port = getattr(emulator.lines[0], "port", None)
    assert isinstance(port, int)
    return port


async def net_snmp(emulator: InstrumentEmulator, command: str, *arguments: str) -> tuple[int, list[str], str]:
    """Exit code, lines and complaints of a command of Net-SNMP; `-m ""` reads no MIB, `-On` shows numbers."""
    process = await asyncio.create_subprocess_exec(
        *(command, "-v2c", "-cpublic", "-On", "-m", "", "-t2", "-r1", f"udp:127.0.0.1:{port_of(emulator)}"),
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, complaints = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    assert process.returncode is not None
    return process.returncode, printed.decode().strip().splitlines(), complaints.decode()


async def test_snmpget_reads_the_servo_in_the_types_of_the_mib(emulator: InstrumentEmulator) -> None:
    """Round trip: 10 km * 1.4688 / c = 48,993,894 ps of fibre, and 899,000 ps of both ends."""
    columns = (Servo.STATE, Servo.STATE_NUMBER, Servo.ROUND_TRIP_PS, Servo.LINK_LENGTH_M, Servo.UPDATES)
    code, lines, _ = await net_snmp(emulator, "snmpget", *(f"{ROW}.{column.value}.1" for column in columns))
    assert code == 0
    assert lines == [
        f'{ROW}.6.1 = STRING: "TRACK_PHASE"',
        f"{ROW}.7.1 = INTEGER: 4",
        f"{ROW}.13.1 = Counter64: 49892894",
        f"{ROW}.14.1 = Gauge32: 4999",
        f"{ROW}.15.1 = Counter32: 0",
    ]


async def test_snmpget_sees_a_lost_lock(emulator: InstrumentEmulator) -> None:
    emulator.set_fault(Fault.DRIFT)
    code, lines, _ = await net_snmp(emulator, "snmpget", f"{ROW}.6.1")
    assert (code, lines) == (0, [f'{ROW}.6.1 = STRING: "SYNC_PHASE"'])


@pytest.mark.parametrize("command", ["snmpwalk", "snmpbulkwalk"])
async def test_a_walk_meets_the_versions_and_every_column(emulator: InstrumentEmulator, command: str) -> None:
    code, lines, _ = await net_snmp(emulator, command, ".1.3.6.1.4.1.96")
    assert code == 0
    assert "No more variables left" in lines.pop()  # nothing follows in this agent
    names = [line.split(" = ")[0] for line in lines]
    expected = [version.object_id for version in Version] + [column.object_id for column in Servo]
    assert names == ["." + ".".join(map(str, one)) for one in expected]


async def test_snmpset_is_refused_and_another_community_hears_nothing(emulator: InstrumentEmulator) -> None:
    code, lines, complaints = await net_snmp(emulator, "snmpset", f"{ROW}.15.1", "u", "7")
    assert (code, lines) == (2, [])
    assert "notWritable" in complaints
    assert emulator.log[-1].changes
    code, lines, complaints = await net_snmp(emulator, "snmpget", "-cprivate", "-t0.5", "-r0", f"{ROW}.15.1")
    assert (code, lines) == (1, [])
    assert "Timeout" in complaints


async def test_pysnmp_walks_in_bulk(peer: Peer, emulator: InstrumentEmulator) -> None:
    seen = json.loads(await peer("pysnmp_client.py", port_of(emulator)))
    assert set(map(str, seen["trouble"])) == {"None", "0"}
    assert seen["types"] == ["OctetString", "Integer", "Counter64", "Counter32"]
    assert seen["state"] == ["TRACK_PHASE", 4]
    below = ".".join(map(str, SWITCH))
    assert all(name.startswith(below) for name in seen["walk"])
    row = ".".join(map(str, PTP_ENTRY))
    assert sum(name.startswith(row + ".") for name in seen["walk"]) == len(Servo)
