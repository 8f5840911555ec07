"""The WebSQ: driver and emulator on loopback sockets, and the emulator by its bytes."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bellwire.core.errors import DeviceFault, LocalMisuse
from bellwire.drivers.addresses import Place
from bellwire.drivers.faults import DeviceError, Disconnected, LinkTimeout, ProtocolFault
from bellwire.drivers.instrument import Backoff, Condition
from bellwire.drivers.roles import SinglePhotonDetectors
from bellwire.drivers.session import SessionSettings
from bellwire.drivers.websq import WebSq
from bellwire.drivers.websq_counts import counts_of_next_period
from bellwire.drivers.websq_words import COUNTS_ABOVE, encode, glued, objects_of
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.surroundings import Alone, Wiring
from bellwire.simulator_backend.devices.websq_detectors import (
    NOISE_HZ,
    NOISE_MV,
    PULSE_MV_PER_UA,
    WebSqDetectors,
    noise_crossings_hz,
)
from bellwire.simulator_backend.devices.websq_emulator import WebSqModel, make
from tests.drivers.conftest import eventually

QUICK = SessionSettings(timeout_s=0.2, reply_bytes_max=1 << 18, quiet_s=0.0005)
RETRY = Backoff(first_s=0.01, longest_s=0.05, refused_s=0.05)
RATES_HZ = {"1": 200_000.0, "2": 50_000.0}
S = 10**9


class Cryostat(Alone):
    """Dark counts that grow by e with each microampere, from 1 Hz at 10 uA; above 20 uA a detector latches
    until its bias is gone.
    """

    def turn(self, knob: str, value: float, now_ns: int) -> None:
        super().turn(knob, value, now_ns)
        number = knob.partition(".")[2]
        if value > 20.0:
            self.values[f"latched.{number}"] = 1.0
        elif value == 0.0:
            self.values[f"latched.{number}"] = 0.0
        self.values[f"rate_hz.{number}"] = math.exp(value - 10.0) if value > 0 else 0.0


@pytest.fixture
def table() -> Cryostat:
    return Cryostat(rates_hz=RATES_HZ, seed=3)


@pytest.fixture
async def emulator(table: Cryostat) -> AsyncIterator[InstrumentEmulator]:
    names = {f"bias_ua.{k}": f"bias_ua.{k}" for k in range(1, 5)}
    order = EmulatorOrder(name="sq", address="tcp://127.0.0.1:0", wiring=Wiring(table, names), pace=0.1)
    websq = make(order)
    await websq.start()
    yield websq
    await websq.stop()


def port_of(emulator: InstrumentEmulator, line: int = 0) -> int:
    port = getattr(emulator.lines[line], "port", None)
    assert isinstance(port, int)
    return port


def driver_of(emulator: InstrumentEmulator) -> WebSq:
    address = f"tcp://127.0.0.1:{port_of(emulator)}"
    return WebSq("sq", address, settings=QUICK, backoff=RETRY, probe_s=0.02, pace=0.1)


def model_of(emulator: InstrumentEmulator) -> WebSqModel:
    assert isinstance(emulator.model, WebSqModel)
    return emulator.model


@pytest.fixture
async def driver(emulator: InstrumentEmulator) -> AsyncIterator[WebSq]:
    websq = driver_of(emulator)
    await websq.connect()
    yield websq
    await websq.close()


# -- words --------------------------------------------------------------------------------------------------


def test_objects_are_found_glued_spaced_and_cut() -> None:
    assert glued('{"a": 1}{"b": "}{"} \n{"c": [') == ([{"a": 1}, {"b": "}{"}], '{"c": [')
    assert objects_of(encode({"a": 1}, {"b": 2})[:-1]) == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize("text", ["hello", '{"a":}', '{"a": 1} 7', "[" * 5, '{"a": ' * 5000])
def test_what_is_no_object_is_refused_or_waited_for(text: str) -> None:
    try:
        objects, rest = glued(text)
    except ValueError:
        return
    assert objects == []
    assert rest == text  # more of it may still come
    assert text.count("{") > text.count("}")


# -- dialect ------------------------------------------------------------------------------------------------


async def raw(port: int, *requests: str) -> list[dict[str, Any]]:
    """What the control port says to requests, up to the end of its first message."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write("".join(requests).encode())
    said = await asyncio.wait_for(reader.readuntil(b"\x17"), 2.0)
    writer.close()
    await writer.wait_closed()
    return objects_of(said[:-1])


async def test_a_dump_is_one_message_of_glued_objects(emulator: InstrumentEmulator) -> None:
    said = await raw(port_of(emulator), '{"request": "labelProps", "value": "None"}')
    values = {one["label"]: one["value"] for one in said}
    assert values["NumberOfDetectors"]["value"] == 4
    assert values["BiasCurrent"]["value"] == [10.0] * 4
    assert values["BiasCurrent"]["unit"] == "uA"


async def test_a_change_by_one_client_is_told_to_all(emulator: InstrumentEmulator) -> None:
    listener, end = await asyncio.open_connection("127.0.0.1", port_of(emulator))
    await raw(port_of(emulator), json.dumps({"command": "DetectorEnable", "label": "x", "value": True}))
    told = objects_of((await asyncio.wait_for(listener.readuntil(b"\x17"), 2.0))[:-1])
    assert told == [{"label": "DetectorEnable", "value": True}]
    end.close()
    await end.wait_closed()


@pytest.mark.parametrize(
    "request_text",
    [
        '{"command": "SetAllBiasCurrents", "value": [1, 2]}',
        '{"command": "SetAllBiasCurrents", "value": [500, 0, 0, 0]}',
        '{"command": "SetMeasurementPeriod", "value": 1}',
        '{"command": "SetMeasurementPeriod", "value": Infinity}',
        '{"command": "NoSuchThing", "value": 1}',
        '{"request": ["BiasVoltage"]}',
        "garbage",
    ],
)
async def test_what_is_refused_is_told_by_a_label_of_errors(
    emulator: InstrumentEmulator, request_text: str
) -> None:
    (said,) = await raw(port_of(emulator), request_text)
    assert "Error" in said["label"]
    assert model_of(emulator).detectors.bias_ua == [10.0] * 4


async def test_the_driver_plays_detectors_and_finds_how_many_there_are(driver: WebSq) -> None:
    assert isinstance(driver, SinglePhotonDetectors)
    assert list(driver.channels) == [1, 2, 3, 4]
    assert len(WebSq("other", "127.0.0.1").channels) == 8
    assert "bias_ua.4" in {one.name for one in driver.parameters}
    assert "bias_ua.5" not in {one.name for one in driver.parameters}
    assert "bias_ua.5" in {one.name for one in WebSq.parameters}
    with pytest.raises(LocalMisuse, match="only 1 to 4"):
        await driver.read_bias_ua(5)


async def test_connecting_and_reading_everything_sends_no_command(
    driver: WebSq, emulator: InstrumentEmulator
) -> None:
    for parameter in driver.parameters:
        await driver.read_parameter(parameter.name)
    assert not [logged.request for logged in emulator.log if logged.changes]


async def test_one_bias_current_leaves_the_others(driver: WebSq, table: Cryostat) -> None:
    await driver.set_enabled(True)
    await asyncio.gather(driver.set_bias_ua(2, 17.5), driver.set_bias_ua(3, 12.25))
    assert [await driver.read_bias_ua(channel) for channel in driver.channels] == [10.0, 17.5, 12.25, 10.0]
    assert [table.values[f"bias_ua.{channel}"] for channel in driver.channels] == [10.0, 17.5, 12.25, 10.0]
    await driver.set_enabled(False)
    assert [table.values[f"bias_ua.{channel}"] for channel in driver.channels] == [0.0] * 4


async def test_values_out_of_range_are_not_sent(driver: WebSq, emulator: InstrumentEmulator) -> None:
    for refused in (
        driver.set_bias_ua(1, 91.0),
        driver.set_bias_ua(1, float("nan")),
        driver.set_trigger_mv(1, 600.0),
        driver.set_period_ms(5),
    ):
        with pytest.raises(LocalMisuse, match="outside"):
            await refused
    assert not [logged for logged in emulator.log if logged.changes]


async def test_an_ignored_set_is_noticed_by_its_read_back(
    driver: WebSq, emulator: InstrumentEmulator
) -> None:
    emulator.set_fault(Fault.IGNORED_SET)
    with pytest.raises(DeviceError, match="InptMeasurementPeriod was set to 20 but reads 50"):
        await driver.set_period_ms(20)


async def test_an_error_that_the_controller_tells_ends_the_set(
    driver: WebSq, emulator: InstrumentEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    detectors = model_of(emulator).detectors
    monkeypatch.setattr(detectors, "fits", lambda row, limits: False)
    with pytest.raises(DeviceError, match="ErrorMessage"):
        await driver.set_trigger_mv(1, 30.0)
    assert "SetAllTriggerLevels" in await driver.read_error()


async def test_news_between_question_and_answer_are_not_taken_for_it(
    driver: WebSq, emulator: InstrumentEmulator
) -> None:
    emulator.set_fault(Fault.UNSOLICITED)
    for _ in range(5):
        assert await driver.read_period_ms() == 50
        assert await driver.read_bias_voltage_mv(1) == 0.0


# -- counts -------------------------------------------------------------------------------------------------


async def test_rates_are_those_of_the_light(driver: WebSq) -> None:
    await driver.set_period_ms(100)
    await driver.set_enabled(True)
    rates = await driver.read_rates_hz()
    # 20000 and 5000 counts expected in a period; 5 standard deviations: false alarm below 1e-6 each.
    assert abs(rates[1] - 200_000) < 5 * math.sqrt(200_000 / 0.1)
    assert abs(rates[2] - 50_000) < 5 * math.sqrt(50_000 / 0.1)
    assert rates[3] == rates[4] == 0.0


async def test_counts_are_of_a_period_that_began_after_the_question(
    driver: WebSq, emulator: InstrumentEmulator
) -> None:
    await driver.set_period_ms(100)
    await driver.set_enabled(True)
    await driver.set_enabled(False)
    assert (await driver.read_rates_hz())[1] == 0.0


async def test_the_second_line_is_taken_because_the_first_ends_an_older_period() -> None:
    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"0.0,9,9\n1.0,1,2\n2.0,")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(count, "127.0.0.1", 0) as server:
        at = Place("127.0.0.1", server.sockets[0].getsockname()[1])
        assert await counts_of_next_period("sq", at, QUICK, period_s=0.01, detectors=2) == [1, 2]


def test_clicks_count_under_the_settings_of_their_time() -> None:
    table = Alone(rates_hz=RATES_HZ, seed=7)
    detectors = WebSqDetectors(Wiring(table), 1, seed=1)
    detectors.begin(0)
    detectors.enable(True, S // 10)
    detectors.set_trigger([1000.0], S // 2)
    detectors.set_bias([10.0], 6 * S // 10)
    assert detectors.end(S) == [len(table.tags(["1"], S // 10, S // 2)[0])]
    assert detectors.end(2 * S) == [0]
    detectors.set_trigger([50.0], 2 * S)
    detectors.set_bias([0.0], 2 * S + S // 4)
    assert detectors.end(3 * S) == [len(table.tags(["1"], 2 * S, 2 * S + S // 4)[0])]


def test_counts_of_a_period_are_the_tags_of_that_period() -> None:
    table = Alone(rates_hz=RATES_HZ, seed=7)
    detectors = WebSqDetectors(Wiring(table), 2, seed=1)
    detectors.enable(True, 0)
    for start_ns in range(0, S, S // 10):
        stop_ns = start_ns + S // 10
        for index, channel in enumerate(("1", "2")):
            assert detectors.counts(start_ns, stop_ns)[index] == len(
                table.tags([channel], start_ns, stop_ns)[0]
            )


def test_a_level_in_the_noise_counts_noise_and_one_above_the_pulses_counts_nothing() -> None:
    detectors = WebSqDetectors(Wiring(Alone(rates_hz=RATES_HZ, seed=7)), 2, seed=1)
    detectors.enable(True, 0)
    detectors.trigger_mv = [5 * NOISE_MV, 10 * PULSE_MV_PER_UA + 10 * NOISE_MV]
    noise, nothing = detectors.counts(0, S)
    # Rice: f0 exp(-25/2) = 373 Hz of noise on 200000 clicks; 5 standard deviations, false alarm below 1e-6.
    expected = 200_000 + NOISE_HZ * math.exp(-12.5)
    assert noise_crossings_hz(5 * NOISE_MV) == pytest.approx(NOISE_HZ * math.exp(-12.5))
    assert abs(noise - expected) < 5 * math.sqrt(expected)
    assert nothing == 0


def test_a_level_at_the_height_of_the_pulses_loses_half_of_them() -> None:
    detectors = WebSqDetectors(Wiring(Alone(rates_hz=RATES_HZ, seed=7)), 1, seed=1)
    detectors.enable(True, 0)
    detectors.trigger_mv = [10.0 * PULSE_MV_PER_UA]
    clicks = len(Alone(rates_hz=RATES_HZ, seed=7).tags(["1"], 0, S)[0])
    # Binomial with 1/2: 5 standard deviations, false alarm below 1e-6.
    assert abs(detectors.counts(0, S)[0] - clicks / 2) < 5 * math.sqrt(clicks) / 2


async def test_a_silent_counts_port_ends_in_a_timeout_and_the_control_goes_on(
    driver: WebSq, emulator: InstrumentEmulator
) -> None:
    await driver.set_period_ms(10)
    emulator.set_fault(Fault.SILENT)
    with pytest.raises(LinkTimeout):
        await driver._next_counts(period_s=0.01)
    emulator.clear_fault()
    assert await driver.read_period_ms() == 10


@pytest.mark.parametrize(
    "line", [b"1.0,1,2,3\n", b"1.0,1,2,3,x\n", b"1.0,1,2,3,-4\n", b"<html>\n", b"1" * 9000]
)
async def test_a_line_that_is_no_counts_is_refused(line: bytes) -> None:
    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"0.0,9,9,9,9\n" + line)
        await reader.read()
        writer.close()

    async with await asyncio.start_server(count, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        driver = WebSq("sq", f"127.0.0.1:{port - COUNTS_ABOVE}", settings=QUICK)
        driver._channels = (1, 2, 3, 4)
        with pytest.raises(ProtocolFault):
            await driver._next_counts(period_s=0.01)


# -- latching and calibration -------------------------------------------------------------------------------


async def test_a_latched_detector_shows_a_high_voltage_until_its_bias_was_off(driver: WebSq) -> None:
    await driver.set_enabled(True)
    assert await driver.read_bias_voltage_mv(1) == pytest.approx(1.0)
    await driver.set_bias_ua(1, 25.0)
    await driver.set_bias_ua(1, 15.0)
    assert await driver.read_bias_voltage_mv(1) == pytest.approx(150.0)
    await driver.set_enabled(False)
    await driver.set_enabled(True)
    assert await driver.read_bias_voltage_mv(1) == pytest.approx(1.5)


async def test_the_search_finds_the_bias_of_the_wanted_dark_counts(
    driver: WebSq, emulator: InstrumentEmulator
) -> None:
    await driver.configure({"bias_ua.1": 5.0})
    await driver.set_period_ms(1000)
    found = await driver.calibrate_bias([20, 1, 1_000_000, 0], within_s=10.0)
    # Dark rate exp(I - 10) Hz: 20 Hz at 12.99 uA, 1 Hz at 10 uA; the third latches first, above 20 uA.
    assert found == {1: 12.5, 2: 10.0, 3: 20.0, 4: 0.0}
    assert model_of(emulator).detectors.bias_ua == [12.5, 10.0, 20.0, 0.0]
    await driver._probe()  # what was found is what is wanted now, not what was configured before


async def test_a_search_that_does_not_end_is_given_up(driver: WebSq, emulator: InstrumentEmulator) -> None:
    with pytest.raises(LocalMisuse, match="4 detectors"):
        await driver.calibrate_bias([1])
    emulator.set_fault(Fault.IGNORED_SET)
    model_of(emulator)._calibrated_at_ns = 1 << 62
    with pytest.raises(DeviceError):
        await driver.calibrate_bias([5, 5, 5, 5], within_s=0.5)
    emulator.clear_fault()
    driver._pace = 0.0
    with pytest.raises(LinkTimeout, match="did not end"):
        await driver.calibrate_bias([5, 5, 5, 5], within_s=0.5)


# -- faults and recovery ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault.SILENT, LinkTimeout),
        (Fault.GARBAGE, LinkTimeout),
        (Fault.FIN, Disconnected),
        (Fault.RST, Disconnected),
    ],
)
async def test_a_fault_of_the_line_has_its_name(
    driver: WebSq, emulator: InstrumentEmulator, fault: Fault, expected: type[DeviceFault]
) -> None:
    emulator.set_fault(fault)
    with pytest.raises(expected):
        await driver.read_period_ms()
    assert driver.session is not None
    assert not driver.session.is_open


async def test_after_a_restart_levels_and_bias_are_asserted_before_the_detectors_are_enabled(
    emulator: InstrumentEmulator,
) -> None:
    driver = driver_of(emulator)
    await driver.configure({"enabled": True, "bias_ua.2": 15.0, "trigger_mv.2": 40.0, "period_ms": 20})
    watching = asyncio.ensure_future(driver.supervise())
    await eventually(lambda: driver.state.condition is Condition.READY, "first configuration")
    before = emulator.model
    emulator.set_fault(Fault.RESTART, times=1)
    await eventually(lambda: emulator.model is not before, "the restart")
    await eventually(lambda: model_of(emulator).detectors.enabled, "asserted again")
    detectors = model_of(emulator).detectors
    assert (detectors.bias_ua[1], detectors.trigger_mv[1]) == (15.0, 40.0)
    commands = [json.loads(logged.request)["command"] for logged in emulator.log if logged.changes]
    assert commands[-4:] == [
        "SetMeasurementPeriod",
        "SetAllTriggerLevels",
        "SetAllBiasCurrents",
        "DetectorEnable",
    ]
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_safe_state_takes_the_bias_away_and_keeps_it_so(
    emulator: InstrumentEmulator, table: Cryostat
) -> None:
    driver = driver_of(emulator)
    await driver.configure({"enabled": True})
    watching = asyncio.ensure_future(driver.supervise())
    await eventually(lambda: driver.state.condition is Condition.READY, "connected")
    assert table.values["bias_ua.1"] == 10.0
    await driver.safe_state()
    assert table.values["bias_ua.1"] == 0.0
    await emulator.power_cycle()
    await eventually(lambda: driver.state.condition is not Condition.READY, "loss noticed")
    await eventually(lambda: driver.state.condition is Condition.READY, "back")
    assert not model_of(emulator).detectors.enabled
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
