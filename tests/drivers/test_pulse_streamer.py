"""The Pulse Streamer: the driver on the maker's client, and the emulator by its bytes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bellwire.core.errors import ConfigError, DeviceFault, LocalMisuse
from bellwire.drivers import pulse_streamer_words as words
from bellwire.drivers.faults import DeviceError, Disconnected, IdentityRefused, LinkTimeout, ProtocolFault
from bellwire.drivers.instrument import Backoff, Condition
from bellwire.drivers.pulse_streamer import PulseStreamer
from bellwire.drivers.readings import Quality
from bellwire.drivers.roles import PulsePlayer, TimingController
from bellwire.drivers.session import SessionSettings
from bellwire.simulator_backend.devices import pulse_player
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.lines import TcpLine
from bellwire.simulator_backend.devices.pulse_streamer_emulator import (
    SERIAL_NUMBER,
    PulseStreamerModel,
    make,
)
from bellwire.simulator_backend.devices.surroundings import Alone, Wiring
from tests.drivers.conftest import eventually

QUICK = SessionSettings(timeout_s=0.4, hang_s=0.2)
RETRY = Backoff(first_s=0.01, longest_s=0.05, refused_s=0.05)
GATE = {0: [(100, 1), (900, 0)], 3: [(500, 0), (20, 1), (480, 0)]}
S = 10**9


@pytest.fixture
def table() -> Alone:
    return Alone()


@pytest.fixture
async def emulator(table: Alone) -> AsyncIterator[InstrumentEmulator]:
    streamer = make(EmulatorOrder(name="ps", address="tcp://127.0.0.1:0", wiring=Wiring(table), pace=0.2))
    await streamer.start()
    yield streamer
    await streamer.stop()


def host_of(emulator: InstrumentEmulator) -> str:
    line = emulator.lines[0]
    assert isinstance(line, TcpLine)
    return line.host


def driver_of(emulator: InstrumentEmulator, serial_number: str | None = None) -> PulseStreamer:
    return PulseStreamer(
        "ps",
        host_of(emulator),
        serial_number=serial_number,
        settings=QUICK,
        backoff=RETRY,
        probe_s=0.03,
    )


def model_of(emulator: InstrumentEmulator) -> PulseStreamerModel:
    assert isinstance(emulator.model, PulseStreamerModel)
    return emulator.model


@pytest.fixture
async def driver(emulator: InstrumentEmulator) -> AsyncIterator[PulseStreamer]:
    streamer = driver_of(emulator)
    await streamer.connect()
    yield streamer
    await streamer.close()


async def finished(driver: PulseStreamer) -> None:
    """Look until a finite sequence has come to its end."""
    for _ in range(1000):
        if await driver.has_finished():
            return
    pytest.fail("the sequence does not end")


# -- connection ---------------------------------------------------------------------------------------------


async def test_it_plays_patterns_but_no_timing_role_and_knows_serial_number_and_firmware(
    driver: PulseStreamer,
) -> None:
    assert isinstance(driver, PulsePlayer)
    assert not isinstance(driver, TimingController)
    assert driver.identity is not None
    assert (driver.identity.serial_number, driver.identity.firmware) == (SERIAL_NUMBER, "2.1.0")


async def test_the_library_says_nothing_on_standard_output(
    driver: PulseStreamer, capfd: pytest.CaptureFixture[str]
) -> None:
    await driver.close()
    await driver.connect()
    await driver.play(GATE)
    assert capfd.readouterr() == ("", "")


def test_the_driver_is_listed_and_loaded_without_importing_the_library() -> None:
    code = (
        "import sys, bellwire.drivers.pulse_streamer; "
        "sys.exit(any(name in sys.modules for name in ('pulsestreamer', 'gevent', 'requests', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_without_the_library_the_message_says_how_to_get_it(
    emulator: InstrumentEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bellwire.drivers import pulse_streamer, pulse_streamer_library

    monkeypatch.setitem(sys.modules, "pulsestreamer", None)
    monkeypatch.setattr(pulse_streamer, "load_library", pulse_streamer_library.Library)
    with pytest.raises(ConfigError, match=r"pip install 'bellwire\[instruments\]'"):
        await driver_of(emulator).connect()


async def test_connecting_and_reading_everything_changes_nothing(
    driver: PulseStreamer, emulator: InstrumentEmulator
) -> None:
    for parameter in driver.parameters:
        await driver.read_parameter(parameter.name)
    assert len(emulator.log) > len(driver.parameters)
    assert not [logged.request for logged in emulator.log if logged.changes]


async def test_another_serial_number_is_refused(emulator: InstrumentEmulator) -> None:
    with pytest.raises(IdentityRefused, match="serial number"):
        await driver_of(emulator, serial_number="00:26:32:F0:99:99").connect()


async def test_nobody_there_is_told_at_once(emulator: InstrumentEmulator) -> None:
    driver = driver_of(emulator)
    await emulator.stop()
    with pytest.raises(Disconnected, match="refused"):
        await driver.connect()


async def test_a_port_of_ones_own_is_refused_because_the_library_cannot_have_it() -> None:
    with pytest.raises(ConfigError, match="8050"):
        await PulseStreamer("ps", "127.0.0.2:9000").connect()
    with pytest.raises(ConfigError, match=r"127\.0\.0\.2"):
        make(EmulatorOrder(name="ps", address="tcp://127.0.0.1:9000"))


# -- sequences ----------------------------------------------------------------------------------------------


async def test_what_is_played_is_what_was_asked_for(
    driver: PulseStreamer, emulator: InstrumentEmulator, table: Alone
) -> None:
    await driver.play(GATE)
    assert await driver.is_playing()
    steps = model_of(emulator).player.steps()
    assert [(int(step["duration_ns"]), int(step["mask"])) for step in steps] == [
        (100, 0b0001),
        (400, 0b0000),
        (20, 0b1000),
        (480, 0b0000),
    ]
    assert model_of(emulator).player.duration_ns() == 1000
    assert table.values["pulse_rate_hz.0"] == table.values["pulse_rate_hz.3"] == pytest.approx(1e6)
    assert table.values["pulse_rate_hz.1"] == 0.0
    await driver.stop()
    assert not await driver.is_playing()
    assert not await driver.has_sequence()
    assert table.values["pulse_rate_hz.0"] == 0.0


async def test_a_step_longer_than_a_word_is_played_in_pieces(
    driver: PulseStreamer, emulator: InstrumentEmulator
) -> None:
    ten_s = 10 * S
    await driver.play({1: [(ten_s, 1), (ten_s, 0)]})
    assert model_of(emulator).player.duration_ns() == 2 * ten_s


async def test_a_finite_sequence_finishes_by_itself(
    driver: PulseStreamer, emulator: InstrumentEmulator, table: Alone, monkeypatch: pytest.MonkeyPatch
) -> None:
    await driver.play({0: [(80 * S, 1), (20 * S, 0)]}, repeats=3)
    assert await driver.is_playing()
    assert not await driver.has_finished()
    started_ns = emulator.log[-1].at_ns
    player = model_of(emulator).player
    assert player.streams(started_ns + 290 * S)
    assert not player.streams(started_ns + 301 * S)
    monkeypatch.setattr(emulator, "_clock", lambda: started_ns + 301 * S)
    assert await driver.has_finished()
    assert not await driver.is_playing()
    await eventually(lambda: table.values["pulse_rate_hz.0"] == 0.0, "the outputs rest")


async def test_a_software_trigger_starts_what_waits_for_it(driver: PulseStreamer) -> None:
    await driver.set_trigger_start("software")
    await driver.set_trigger_rearm("manual")
    await driver.play({0: [(1000, 1), (3000, 0)]}, repeats=1)
    assert not await driver.is_playing()
    assert await driver.has_sequence()
    await driver.start_now()
    await finished(driver)
    assert (await driver.read_trigger_start(), await driver.read_trigger_rearm()) == ("software", "manual")


def test_a_sequence_waits_for_its_trigger_again_only_as_it_was_told(table: Alone) -> None:
    player = pulse_player.PulsePlayer(Wiring(table))
    player.start, player.rearm = pulse_player.Start.SOFTWARE, pulse_player.Rearm.MANUAL
    assert not player.software_trigger(0)
    player.take(words.Sequence(1, words.STEP.pack(1000, 1, 0, 0), 0, 0), 0)
    assert player.software_trigger(10)
    assert not player.software_trigger(5_000)
    assert player.arm()
    player.rearm = pulse_player.Rearm.AUTO
    assert player.software_trigger(6_000)
    assert not player.software_trigger(6_999)  # it still plays
    assert player.software_trigger(7_000)


async def test_arming_again_needs_a_sequence(driver: PulseStreamer) -> None:
    with pytest.raises(DeviceError, match="no sequence"):
        await driver.arm_again()
    await driver.play(GATE)
    await driver.arm_again()


@pytest.mark.parametrize(
    ("patterns", "repeats", "reason"),
    [
        ({}, -1, "give some of 0 to 7"),
        ({8: [(8, 1)]}, -1, "give some of 0 to 7"),
        ({0: [(8, 1)]}, 0, "for ever"),
        ({0: [(8, 2)]}, -1, "level 0 or 1"),
        ({0: [(-8, 1), (16, 0)]}, -1, "above 0 ns"),
        ({0: [(12, 1)]}, -1, "same multiple of 8 ns"),
        ({0: [(8, 1)], 1: [(16, 1)]}, -1, "same multiple of 8 ns"),
        ({0: []}, -1, "same multiple of 8 ns"),
    ],
)
async def test_what_the_instrument_would_play_otherwise_is_refused(
    driver: PulseStreamer, emulator: InstrumentEmulator, patterns: Any, repeats: int, reason: str
) -> None:
    with pytest.raises(LocalMisuse, match=reason):
        await driver.play(patterns, repeats)
    assert not [logged for logged in emulator.log if logged.changes]


async def test_clock_and_trigger_are_read_back(driver: PulseStreamer, emulator: InstrumentEmulator) -> None:
    for clock in words.CLOCKS:
        await driver.set_clock(clock)
        assert await driver.read_clock() == clock
    with pytest.raises(LocalMisuse, match="external_125_mhz"):
        await driver.set_clock("rubidium")
    emulator.set_fault(Fault.IGNORED_SET)
    with pytest.raises(DeviceError, match="clock was set to internal but reads external_10_mhz"):
        await driver.set_clock("internal")


async def test_an_underflow_is_told_and_makes_the_reading_suspect(
    driver: PulseStreamer, emulator: InstrumentEmulator
) -> None:
    await driver.play(GATE)
    emulator.set_fault(Fault.OVERFLOW)
    assert await driver.read_underflow()
    reading = await driver.read_parameter("playing")
    assert (reading.value, reading.quality) == (False, Quality.SUSPECT)
    emulator.clear_fault()
    await driver.play(GATE)
    assert (await driver.read_parameter("playing")).quality is Quality.GOOD


# -- dialect of the emulator --------------------------------------------------------------------------------


async def post(emulator: InstrumentEmulator, content: bytes, path: str = "/json-rpc") -> bytes:
    reader, writer = await asyncio.open_connection(host_of(emulator), words.RPC_PORT)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n"
    writer.write(head.encode() + content)
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 2.0)
    length = int(answer.lower().partition(b"content-length:")[2].split()[0])
    answer += await asyncio.wait_for(reader.readexactly(length), 2.0)
    writer.close()
    await writer.wait_closed()
    return answer


async def call(emulator: InstrumentEmulator, method: str, *parameters: Any) -> Any:
    asked = {"jsonrpc": "2.0", "id": 7, "method": method, "params": list(parameters)}
    answer = json.loads((await post(emulator, json.dumps(asked).encode())).partition(b"\r\n\r\n")[2])
    assert answer["id"] == 7
    return answer.get("result", answer.get("error"))


async def test_calls_that_are_unknown_or_wrong_have_the_errors_of_json_rpc(
    emulator: InstrumentEmulator,
) -> None:
    assert await call(emulator, "getSerial") == SERIAL_NUMBER
    assert (await call(emulator, "makeCoffee"))["code"] == -32601
    assert (await call(emulator, "selectClock", 3))["code"] == -32602
    assert (await call(emulator, "selectClock"))["code"] == -32602
    assert b"-32700" in await post(emulator, b"{")
    assert b"-32600" in await post(emulator, b"[1]")
    assert (await post(emulator, b"{}", "/elsewhere")).startswith(b"HTTP/1.1 404")


def message(runs: int, steps: bytes, *, command: int = words.STREAM_COMMAND, number: int = 99) -> bytes:
    pad = words.HEADER_BYTES - len(steps) % words.HEADER_BYTES
    length = words.HEADER_BYTES + len(steps) + pad
    head = words.COMMAND.pack(words.MAGIC, number, command, 0, length, 0)
    return head + words.STREAM.pack(runs, len(steps) // 9, 0, 0, 0, 0, 0, 0, 0) + steps + bytes(pad)


async def exchange(emulator: InstrumentEmulator, octets: bytes, count: int = 32) -> bytes:
    reader, writer = await asyncio.open_connection(host_of(emulator), words.BINARY_PORT)
    writer.write(octets)
    answer = await asyncio.wait_for(reader.readexactly(count), 2.0)
    writer.close()
    await writer.wait_closed()
    return answer


async def test_a_stream_is_acknowledged_with_its_number_and_an_upload_with_a_value(
    emulator: InstrumentEmulator,
) -> None:
    steps = words.STEP.pack(64, 0xFF, 0, 0) * 32  # 288 bytes: aligned already, yet padded by 32
    magic, number, code, _, further, _ = words.COMMAND.unpack(await exchange(emulator, message(-1, steps)))
    assert (magic, number, code, further) == (words.MAGIC, 99, 0, 0)
    assert model_of(emulator).player.duration_ns() == 32 * 64
    answer = await exchange(emulator, message(2, steps, command=words.UPLOAD_COMMAND), 64)
    assert words.COMMAND.unpack(answer[:32])[4] == 32
    assert words.UPLOADED.unpack(answer[32:])[0] == 0


@pytest.mark.parametrize("broken", ["magic", "command", "count"])
async def test_a_message_that_is_none_is_refused_by_its_code(
    emulator: InstrumentEmulator, broken: str
) -> None:
    octets = bytearray(message(-1, words.STEP.pack(64, 1, 0, 0)))
    octets[{"magic": 0, "command": 9, "count": 40}[broken]] ^= 0x40
    answer = words.COMMAND.unpack(await exchange(emulator, bytes(octets)))
    assert answer[1] == 99
    assert answer[2] != 0
    assert model_of(emulator).player.sequence is None


# -- faults and recovery ------------------------------------------------------------------------------------


async def test_a_refusal_is_told_and_leaves_the_connection(
    driver: PulseStreamer, emulator: InstrumentEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(model_of(emulator)._calls, "startNow", lambda wrong: 0)
    with pytest.raises(DeviceError, match="startNow"):
        await driver.start_now()
    assert driver.session is not None
    assert driver.session.is_open
    assert not await driver.is_playing()


async def test_an_error_code_of_a_sequence_is_a_refusal(
    driver: PulseStreamer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bellwire.simulator_backend.devices.pulse_streamer_emulator.sequence_of", _refuse)
    with pytest.raises(DeviceError, match="error code"):
        await driver.play(GATE)


def _refuse(octets: bytes) -> words.Sequence:
    raise ValueError("no memory")


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault.SILENT, LinkTimeout),
        (Fault.GARBAGE, DeviceFault),
        (Fault.HALF_REPLY, DeviceFault),
        (Fault.FIN, Disconnected),
        (Fault.RST, Disconnected),
    ],
)
async def test_a_fault_of_the_line_ends_a_call_in_its_name(
    driver: PulseStreamer, emulator: InstrumentEmulator, fault: Fault, expected: type[DeviceFault]
) -> None:
    emulator.set_fault(fault)
    with pytest.raises(expected):
        await driver.read_clock()
    assert driver.session is not None
    assert not driver.session.is_open


async def test_a_foreign_reply_to_a_sequence_is_not_taken_for_its_own(
    driver: PulseStreamer, emulator: InstrumentEmulator
) -> None:
    emulator.set_fault(Fault.UNSOLICITED, times=1)
    with pytest.raises(ProtocolFault, match="foreign reply"):
        await driver.play(GATE)
    assert driver.session is not None
    assert not driver.session.is_open


async def test_a_late_acknowledgement_ends_in_a_timeout_while_the_loop_goes_on(
    driver: PulseStreamer, emulator: InstrumentEmulator
) -> None:
    emulator.set_fault(Fault.HANG, delay_s=1.5, times=1)
    asked = asyncio.ensure_future(driver.play(GATE))
    turns = 0
    while not asked.done():
        await asyncio.sleep(0.01)
        turns += 1
    with pytest.raises(LinkTimeout, match="timed out"):
        await asked
    assert turns > 10


async def test_a_library_that_hangs_is_given_up(driver: PulseStreamer) -> None:
    end = threading.Event()
    with pytest.raises(LinkTimeout, match="hangs"):
        await driver._ask(lambda player: end.wait(5.0))
    end.set()
    assert driver.session is not None
    assert not driver.session.is_open


async def test_after_a_power_cycle_trigger_and_pattern_are_there_again(
    emulator: InstrumentEmulator,
) -> None:
    driver = driver_of(emulator)
    await driver.configure({"trigger_rearm": "manual"})
    watching = asyncio.ensure_future(driver.supervise())
    await eventually(lambda: driver.state.condition is Condition.READY, "first connection")
    await driver.play(GATE)
    await emulator.power_cycle()
    await eventually(lambda: model_of(emulator).player.sequence is not None, "streamed again")
    await eventually(lambda: driver.state.condition is Condition.READY, "back")
    assert await driver.is_playing()
    assert model_of(emulator).player.rearm == 1
    assert model_of(emulator).player.duration_ns() == 1000
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_a_reconnection_does_not_disturb_what_plays(
    driver: PulseStreamer, emulator: InstrumentEmulator
) -> None:
    await driver.play(GATE)
    await driver.close()
    watching = asyncio.ensure_future(driver.supervise())
    await eventually(lambda: driver.state.condition is Condition.READY, "connected again")
    assert await driver.is_playing()
    assert sum(logged.line == 1 for logged in emulator.log) == 1  # streamed once
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_safe_state_is_silence_and_stays_so_over_reconnects(emulator: InstrumentEmulator) -> None:
    driver = driver_of(emulator)
    watching = asyncio.ensure_future(driver.supervise())
    await eventually(lambda: driver.state.condition is Condition.READY, "connected")
    await driver.play(GATE)
    await driver.safe_state()
    assert not model_of(emulator).player.streams(emulator.log[-1].at_ns)
    await emulator.power_cycle()
    await eventually(lambda: driver.state.condition is not Condition.READY, "loss noticed")
    await eventually(lambda: driver.state.condition is Condition.READY, "back")
    assert model_of(emulator).player.sequence is None
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
