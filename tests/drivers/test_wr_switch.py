"""The White Rabbit switch: driver and emulated agent on a UDP port, and the agent by its datagrams."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyasn1.codec.ber import decoder, encoder
from pysnmp.proto.api import v2c

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.drivers import snmp_words
from bellwire.drivers.datagram_transport import datagrams
from bellwire.drivers.faults import DeviceError, Disconnected, IdentityRefused, LinkTimeout
from bellwire.drivers.instrument import Backoff, Condition
from bellwire.drivers.readings import Quality
from bellwire.drivers.roles import ClockReference
from bellwire.drivers.session import SessionSettings
from bellwire.drivers.snmp_words import BadSnmp, ObjectId, SnmpAnswer, answer, get_request
from bellwire.drivers.wr_objects import PTP_ENTRY, SWITCH, Servo, ServoState, Version
from bellwire.drivers.wr_switch import WrSwitch
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.faults import OF_THE_DEVICE, Fault
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.snmp_agent import SnmpAgent
from bellwire.simulator_backend.devices.wr_switch_emulator import (
    DELTAS_PS,
    FIBRE_M,
    RUNAWAY_PS_PER_S,
    WANDER_PS,
    WrSwitchModel,
    make,
)

QUICK = SessionSettings(timeout_s=0.15, quiet_s=0.0005)
RETRY = Backoff(first_s=0.01, longest_s=0.05, refused_s=0.05)
PACE = 0.01
S = 10**9


@pytest.fixture
async def emulator() -> AsyncIterator[InstrumentEmulator]:
    switch = make(EmulatorOrder(name="clock", address="udp://127.0.0.1:0", pace=PACE))
    await switch.start()
    yield switch
    await switch.stop()


@pytest.fixture
async def driver(emulator: InstrumentEmulator) -> AsyncIterator[WrSwitch]:
    switch = driver_of(emulator)
    yield switch
    await switch.close()


def port_of(emulator: InstrumentEmulator) -> int:
    port = getattr(emulator.lines[0], "port", None)
    assert isinstance(port, int)
    return port


def driver_of(emulator: InstrumentEmulator, serial_number: str | None = "WRS-0042") -> WrSwitch:
    return WrSwitch(
        "clock",
        f"udp://127.0.0.1:{port_of(emulator)}",
        serial_number=serial_number,
        settings=QUICK,
        backoff=RETRY,
        probe_s=0.02,
        pace=PACE,
    )


def model_of(emulator: InstrumentEmulator) -> WrSwitchModel:
    assert isinstance(emulator.model, WrSwitchModel)
    return emulator.model


# -- driver -------------------------------------------------------------------------------------------------


async def test_the_clock_is_locked_and_its_round_trip_is_that_of_the_fibre(driver: WrSwitch) -> None:
    """5 km of fibre with index 1.4688, out and back, and the delays of both ends."""
    identity = await driver.connect()
    assert (identity.model, identity.serial_number, identity.firmware) == ("WRS", "WRS-0042", "v6.1")
    assert isinstance(driver, ClockReference)
    clock = await driver.read_clock()
    assert clock.locked
    assert 0 <= clock.offset_ps <= sum(amplitude for amplitude, _ in WANDER_PS)
    fibre_ps = 2e12 * FIBRE_M * 1.4688 / 299_792_458
    assert clock.round_trip_ps == pytest.approx(fibre_ps + sum(DELTAS_PS), abs=1)
    assert await driver.read_link_length_m() == pytest.approx(FIBRE_M, abs=1)
    assert await driver.read_servo_state() == "TRACK_PHASE"


async def test_a_servo_that_stopped_shows_its_last_state_and_is_called_stale(
    driver: WrSwitch, emulator: InstrumentEmulator
) -> None:
    await driver.connect()
    before = (await driver.read_clock()).updates
    await asyncio.sleep(6 * PACE)  # the agent reads the servo every 5 s
    assert (await driver.read_clock()).updates > before
    assert (await driver.read_parameter("locked")).quality is Quality.GOOD
    model_of(emulator).stopped = True
    await driver.read_clock()
    await asyncio.sleep(6 * PACE)
    await driver.read_clock()
    await asyncio.sleep(13 * PACE)
    reading = await driver.read_parameter("offset_ps")
    assert reading.quality is Quality.STALE
    assert await driver.read_servo_state() == "TRACK_PHASE"
    assert not (await driver.read_clock()).locked
    model_of(emulator).stopped = False
    await asyncio.sleep(6 * PACE)
    assert (await driver.read_clock()).locked
    assert (await driver.read_parameter("locked")).quality is Quality.GOOD


async def test_two_looks_within_the_period_of_the_agent_do_not_make_a_clock_stale(driver: WrSwitch) -> None:
    await driver.connect()
    driver._pace = 1.0
    looks = [await driver.read_clock() for _ in range(3)]
    assert all(look.locked for look in looks)


async def test_a_lost_lock_is_told(driver: WrSwitch, emulator: InstrumentEmulator) -> None:
    await driver.connect()
    emulator.set_fault(Fault.DRIFT)
    assert not (await driver.read_clock()).locked
    assert await driver.read_servo_state() == "SYNC_PHASE"
    emulator.clear_fault(Fault.DRIFT)
    assert (await driver.read_clock()).locked


async def test_a_lost_datagram_is_asked_for_again_and_a_late_one_is_passed_over(
    driver: WrSwitch, emulator: InstrumentEmulator
) -> None:
    await driver.connect()
    emulator.set_fault(Fault.LOST_FRAME, times=1)
    assert (await driver.read_clock()).locked
    assert driver.repeated_requests >= 1
    emulator.set_fault(Fault.LATE_REPLY, delay_s=0.2, times=1)
    assert await driver.read_servo_state() == "TRACK_PHASE"
    emulator.set_fault(Fault.DRIFT)
    assert not (await driver.read_clock()).locked


@pytest.mark.parametrize(
    "fault", [Fault.HALF_REPLY, Fault.DROPPED_BYTE, Fault.GARBAGE, Fault.BAD_CRC, Fault.FIN, Fault.RST]
)
async def test_a_damaged_datagram_costs_one_try(
    driver: WrSwitch, emulator: InstrumentEmulator, fault: Fault
) -> None:
    await driver.connect()
    emulator.set_fault(fault, times=1)
    assert await driver.read_servo_state() == "TRACK_PHASE"
    assert driver.repeated_requests >= 1


@pytest.mark.parametrize("fault", [Fault.UNSOLICITED, Fault.DOUBLE_REPLY])
async def test_datagrams_that_answer_nothing_are_passed_over(
    driver: WrSwitch, emulator: InstrumentEmulator, fault: Fault
) -> None:
    await driver.connect()
    emulator.set_fault(fault)
    for _ in range(5):
        assert await driver.read_servo_state() == "TRACK_PHASE"
    assert driver.repeated_requests == 0


async def test_an_agent_that_stays_silent_ends_in_a_timeout_and_comes_back(
    driver: WrSwitch, emulator: InstrumentEmulator
) -> None:
    task = asyncio.create_task(driver.supervise())
    await driver.wait_for(Condition.READY, 5)
    emulator.set_fault(Fault.SILENT)
    await driver.wait_for(Condition.DESYNC, 5)
    assert "read community" in driver.state.reason
    emulator.clear_fault()
    await driver.wait_for(Condition.READY, 5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_port_that_nobody_listens_at_is_told_at_once(emulator: InstrumentEmulator) -> None:
    driver = driver_of(emulator)
    await emulator.stop()
    with pytest.raises(Disconnected, match="Connection refused"):
        await driver.connect()


async def test_another_switch_at_the_same_address_is_noticed(
    driver: WrSwitch, emulator: InstrumentEmulator
) -> None:
    with pytest.raises(IdentityRefused, match="WRS-0043"):
        await driver_of(emulator, "WRS-0043").connect()
    await driver.connect()
    other = WrSwitchModel(serial_number="WRS-0099", pace=PACE)
    emulator.model = other
    with pytest.raises(IdentityRefused, match="WRS-0099"):
        await driver.read_clock()


async def test_an_agent_of_something_else_is_refused(emulator: InstrumentEmulator) -> None:
    model_of(emulator)._agent = SnmpAgent({(1, 3, 6, 1, 2, 1, 1, 1, 0): lambda: v2c.OctetString(b"a router")})
    with pytest.raises(IdentityRefused, match="without WR-SWITCH-MIB"):
        await driver_of(emulator).connect()


async def test_a_switch_without_a_servo_says_what_to_look_at(
    driver: WrSwitch, emulator: InstrumentEmulator
) -> None:
    await driver.connect()
    objects = model_of(emulator)._agent._objects
    assert isinstance(objects, dict)
    del objects[Servo.ROUND_TRIP_PS.object_id]
    with pytest.raises(DeviceError, match="no ROUND_TRIP_PS of a servo"):
        await driver.read_clock()


@pytest.mark.parametrize("told", [(1 << 64) - 7, 7])
async def test_an_offset_of_an_older_release_keeps_its_sign(
    driver: WrSwitch, emulator: InstrumentEmulator, told: int
) -> None:
    await driver.connect()
    await driver.read_clock()
    model_of(emulator)._read_at_ns = 1 << 62
    model_of(emulator)._row[Servo.CLOCK_OFFSET_PS] = v2c.Counter64(told)
    assert await driver.read_offset_ps() == (7 if told == 7 else -7)


@pytest.mark.parametrize("address", ["/dev/ttyUSB0", "TCPIP::192.0.2.1::5025::SOCKET", "udp://host:99999"])
async def test_an_address_that_is_no_place_is_a_mistake_of_the_file(address: str) -> None:
    with pytest.raises(ConfigError):
        await WrSwitch("clock", address).connect()


async def test_without_pysnmp_the_file_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snmp_words.importlib.util, "find_spec", lambda name: None)  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match=r"bellwire\[instruments\]"):
        await WrSwitch("clock", "udp://127.0.0.1").connect()


async def test_nothing_is_ever_set(driver: WrSwitch, emulator: InstrumentEmulator) -> None:
    await driver.connect()
    await driver.safe_state()
    for parameter in driver.parameters:
        assert parameter.write is None
        await driver.read_parameter(parameter.name)
    assert emulator.log
    assert not any(logged.changes for logged in emulator.log)


# -- words --------------------------------------------------------------------------------------------------


def test_a_get_has_the_bytes_of_the_standard() -> None:
    """By hand from RFC 1901, RFC 3416 and the basic encoding rules of X.690."""
    expected = (
        "30 29 02 01 01 04 06 70 75 62 6c 69 63 a0 1c 02 02 12 34 02 01 00 02 01 00"
        "30 10 30 0e 06 0a 2b 06 01 04 01 60 64 06 03 01 05 00"
    )
    assert get_request(0x1234, "public", [(*SWITCH, 6, 3, 1)]) == bytes.fromhex(expected)


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=80))
def test_bytes_that_are_no_answer_are_refused_and_nothing_else_happens(octets: bytes) -> None:
    with pytest.raises(BadSnmp):
        answer(octets)
    assert SnmpAgent({}).answer(octets) is None


@settings(derandomize=True, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 10_000), st.integers(1, 255)), min_size=1, max_size=3
    )
)
def test_a_damaged_answer_is_an_answer_or_refused(damages: list[tuple[int, int, int]]) -> None:
    octets = bytearray(told(WrSwitchModel(), [Servo.UPDATES.object_id, Version.SOFTWARE.object_id]))
    for kind, place, change in damages:
        at = place % max(1, len(octets))
        if kind == 0:
            octets[at : at + 1] = bytes([octets[at] ^ change]) if octets else b""
        elif kind == 1:
            del octets[at : at + 1]
        else:
            del octets[at:]
    try:
        found = answer(bytes(octets))
    except BadSnmp:
        return
    assert isinstance(found, SnmpAnswer)


def test_only_the_answer_with_the_number_of_the_request_is_taken() -> None:
    switch = WrSwitchModel()
    octets = {}
    for number in (41, 42):
        (only,) = switch.execute(get_request(number, "public", [Servo.UPDATES.object_id]), 0)
        octets[number] = len(only.octets).to_bytes(2, "big") + only.octets
    take = WrSwitch("clock", "udp://127.0.0.1")._answer_to(42)
    assert take(octets[41]) is None
    assert take(b"\0\3abc" + octets[41] + octets[42]) == (octets[42][2:], b"")


def test_datagrams_stay_apart_even_when_they_are_empty() -> None:
    assert datagrams(b"\0\3abc\0\0\0\1d") == [b"abc", b"", b"d"]


# -- emulator -----------------------------------------------------------------------------------------------


def told(model: WrSwitchModel, objects: list[ObjectId], now_ns: int = 0) -> bytes:
    (only,) = model.execute(get_request(1, "public", objects), now_ns)
    return only.octets


def servo(model: WrSwitchModel, column: Servo, now_ns: int) -> Any:
    ((_, value),) = answer(told(model, [column.object_id], now_ns)).values
    return value


def test_the_agent_reads_the_servo_every_five_seconds() -> None:
    switch = WrSwitchModel()
    seen = [servo(switch, Servo.UPDATES, round(k * 0.5 * S)) for k in range(30)]
    assert [one for one in seen if one != 0][:1] == [5]
    assert sorted(set(seen)) == [0, 5, 10]
    assert [seen.count(one) for one in (0, 5, 10)] == [10, 10, 10]


def test_the_offset_wanders_within_its_bounds_and_runs_away_without_lock() -> None:
    """The bound is the sum of the amplitudes; the standard deviation of a sum of incommensurable sines is
    the root of half the sum of their squares, found here within 15 % over 2,000 looks 5 s apart.
    """
    switch = WrSwitchModel(seed=3)
    bound_ps = sum(amplitude for amplitude, _ in WANDER_PS)
    seen = [servo(switch, Servo.CLOCK_OFFSET_PS, 5 * k * S) for k in range(2_000)]
    assert max(seen) <= bound_ps
    rms_ps = math.sqrt(sum(one**2 for one in seen) / len(seen))
    assert rms_ps == pytest.approx(math.sqrt(sum(a**2 for a, _ in WANDER_PS) / 2), rel=0.15)
    start_ns = 10_000 * S
    switch.afflict(Fault.DRIFT, True, start_ns)
    assert servo(switch, Servo.STATE, start_ns) == b"SYNC_PHASE"
    away_ps = servo(switch, Servo.CLOCK_OFFSET_PS, start_ns + 100 * S)
    assert away_ps == pytest.approx(100 * RUNAWAY_PS_PER_S, abs=bound_ps + 1)
    assert servo(switch, Servo.PHASE_TRACKING, start_ns + 100 * S) == 1
    assert servo(switch, Servo.STATE_ERRORS, start_ns + 100 * S) == 1


def test_each_state_has_the_number_of_the_mib() -> None:
    """wrsPtpServoStateN of WR-SWITCH-MIB: uninitialized 0, syncNsec 1, syncSec 2, syncPhase 3, trackPhase 4,
    waitOffsetStable 5, standardPTP 99.
    """
    assert [state.value for state in ServoState] == [0, 1, 2, 3, 4, 5, 99]
    assert servo(WrSwitchModel(), Servo.STATE_NUMBER, 0) == 4
    assert Servo.UPDATES.object_id == (1, 3, 6, 1, 4, 1, 96, 100, 7, 5, 1, 15, 1)


def request(kind: type, objects: list[ObjectId], community: bytes = b"public", version: int = 1) -> bytes:
    pdu = kind()
    api = v2c.apiBulkPDU if kind is v2c.GetBulkRequestPDU else v2c.apiPDU
    api.set_defaults(pdu)
    api.set_varbinds(pdu, [(one, v2c.Null("")) for one in objects])
    message = v2c.Message()
    v2c.apiMessage.set_defaults(message)
    message.setComponentByPosition(0, version)
    v2c.apiMessage.set_community(message, community)
    v2c.apiMessage.set_pdu(message, pdu)
    return bytes(encoder.encode(message))


def test_a_walk_meets_every_object_once_in_order_and_ends() -> None:
    switch = WrSwitchModel()
    name: ObjectId = (1, 3)
    met: list[ObjectId] = []
    while True:
        (only,) = switch.execute(request(v2c.GetNextRequestPDU, [name]), 0)
        ((found, value),) = answer(only.octets).values
        if value is None:
            break
        met.append(found)
        name = found
    assert met == sorted(set(met))
    assert {one for one in met if one[: len(PTP_ENTRY)] == PTP_ENTRY} == {c.object_id for c in Servo}
    (bulk,) = switch.execute(request(v2c.GetBulkRequestPDU, [PTP_ENTRY]), 0)
    assert [one for one, _ in answer(bulk.octets).values] == [c.object_id for c in list(Servo)[:10]]


def test_a_set_is_refused_and_counted_as_a_change() -> None:
    switch = WrSwitchModel()
    order = request(v2c.SetRequestPDU, [Servo.UPDATES.object_id])
    assert switch.changes(order)
    (only,) = switch.execute(order, 0)
    assert (answer(only.octets).error, answer(only.octets).error_index) == (17, 1)
    assert not switch.changes(request(v2c.GetRequestPDU, [Servo.UPDATES.object_id]))


def test_another_community_and_another_version_are_not_answered() -> None:
    switch = WrSwitchModel()
    objects = [Servo.UPDATES.object_id]
    assert switch.execute(request(v2c.GetRequestPDU, objects, b"private"), 0) == []
    assert switch.execute(request(v2c.GetRequestPDU, objects, version=0), 0) == []
    assert len(switch.execute(request(v2c.GetRequestPDU, objects), 0)) == 1


def test_what_does_not_exist_is_told_apart_from_a_missing_row() -> None:
    octets = told(WrSwitchModel(), [(*PTP_ENTRY, 15, 2), (1, 3, 9)])
    message, _ = decoder.decode(octets, asn1Spec=v2c.Message())
    values = [value for _, value in v2c.apiPDU.get_varbinds(v2c.apiMessage.get_pdu(message))]
    assert [type(value) for value in values] == [v2c.NoSuchInstance, v2c.NoSuchObject]


async def test_the_agent_answers_on_its_port_whoever_asks(emulator: InstrumentEmulator) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(2):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            client.connect(("127.0.0.1", port_of(emulator)))
            await loop.sock_sendall(client, get_request(9, "public", [Version.SERIAL_NUMBER.object_id]))
            octets = await asyncio.wait_for(loop.sock_recv(client, 4096), 5)
        assert answer(octets).values == ((Version.SERIAL_NUMBER.object_id, b"WRS-0042"),)


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault not in (*OF_THE_DEVICE, Fault.REFUSED)])
async def test_every_fault_is_survived_or_ends_in_a_timeout_and_in_recovery(
    driver: WrSwitch, emulator: InstrumentEmulator, fault: Fault
) -> None:
    driver._settings_of_session = SessionSettings(timeout_s=0.05, quiet_s=0.0005)
    await driver.connect()
    emulator.set_fault(fault, delay_s=0.06)
    with contextlib.suppress(LinkTimeout):
        assert (await driver.read_clock()).locked
    emulator.clear_fault()
    await driver.close()
    driver._settings_of_session = QUICK
    await driver.connect()
    assert (await driver.read_clock()).locked


@pytest.mark.parametrize("fault", [Fault.OVERFLOW, Fault.INTERLOCK])
async def test_a_fault_that_a_switch_cannot_have_is_refused(
    emulator: InstrumentEmulator, fault: Fault
) -> None:
    with pytest.raises(LocalMisuse, match=f"has no {fault.value}"):
        emulator.set_fault(fault)
