"""The Qubitekk CC1: driver and emulator on a pseudo-terminal in both dialects, and what it counts."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.cc1 import COUNT_TRIES_MAX, Cc1, answered
from bellwire.drivers.faults import (
    DeviceError,
    DeviceRestarted,
    Disconnected,
    LinkTimeout,
    ProtocolFault,
)
from bellwire.drivers.instrument import Backoff, Condition
from bellwire.drivers.roles import CoincidenceCounter, TimeTagger
from bellwire.drivers.session import SessionSettings
from bellwire.simulator_backend.devices.cc1_emulator import (
    FIRMWARE,
    FIRMWARE_OLD,
    Cc1Model,
    make,
    with_partner,
)
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.surroundings import Alone, Wiring
from tests.drivers.conftest import eventually

QUICK = SessionSettings(timeout_s=0.2, quiet_s=0.0005)
RETRY = Backoff(first_s=0.01, longest_s=0.05, refused_s=0.05)
PACE = 0.1
MS = 1_000_000
RATE_HZ = 20_000.0


class Powered:
    """A counter with power, and a driver that is not connected."""

    def __init__(self, emulator: InstrumentEmulator, driver: Cc1) -> None:
        self.emulator = emulator
        self.driver = driver

    @property
    def model(self) -> Cc1Model:
        assert isinstance(self.emulator.model, Cc1Model)
        return self.emulator.model

    def requests(self) -> list[bytes]:
        return [logged.request for logged in self.emulator.log]


async def powered(tmp_path: Path, firmware: str) -> AsyncIterator[Powered]:
    table = Alone(rates_hz={"1": RATE_HZ, "2": RATE_HZ}, seed=3)
    order = EmulatorOrder(name="counter", address=str(tmp_path / "counter"), wiring=Wiring(table), pace=PACE)
    emulator = make(order, firmware=firmware)
    await emulator.start()
    driver = Cc1("counter", str(tmp_path / "counter"), settings=QUICK, backoff=RETRY, probe_s=0.03, pace=PACE)
    yield Powered(emulator, driver)
    await driver.close()
    await emulator.stop()


@pytest.fixture(params=[FIRMWARE, FIRMWARE_OLD, "quiet"])
async def either(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Powered]:
    """New and old firmware, and the new one with its acknowledgements off."""
    quiet = request.param == "quiet"
    async for one in powered(tmp_path, FIRMWARE if quiet else request.param):
        one.model.echoes = one.model.echoes and not quiet
        yield one


@pytest.fixture
async def counter(tmp_path: Path) -> AsyncIterator[Powered]:
    async for one in powered(tmp_path, FIRMWARE):
        yield one


# -- driver, in every dialect -------------------------------------------------------------------------------


async def test_what_is_set_reads_back_in_every_dialect(either: Powered) -> None:
    driver, model = either.driver, either.model
    identity = await driver.connect()
    assert (identity.model, identity.serial_number) == ("CC1", "")
    assert isinstance(driver, CoincidenceCounter)
    assert not isinstance(driver, TimeTagger)
    await driver.set_window_ns(10)
    await driver.set_delay_ns(6)
    await driver.set_gate(True)
    await driver.set_subtract(True)
    assert (model.window_ns, model.delay_ns, model.switches) == (5, 6, {"GATE": True, "SUBT": True})
    assert (await driver.read_window_ns(), await driver.read_delay_ns()) == (10.0, 6)
    assert (await driver.read_gate(), await driver.read_subtract()) == (True, True)
    await driver.set_gate(False)
    assert not await driver.read_gate()
    assert await driver.read_dwell_s() == 2.0


async def test_a_count_is_what_came_in_its_window(either: Powered) -> None:
    driver = either.driver
    await driver.connect()
    counts = await driver.count(0.1)
    assert (counts.window_s, counts.valid, set(counts.singles)) == (0.1, True, {1, 2})
    began_ns = next(logged.at_ns for logged in either.emulator.log if logged.request == b":COUN:ON")
    # What the driver got is what the World sent within its window, whose start is known to a millisecond.
    _, channel = either.model._wiring.tags(("1", "2"), began_ns, began_ns + 100 * MS)
    for number in (1, 2):
        assert counts.singles[number] == pytest.approx(int((channel == number - 1).sum()), abs=60)
    assert either.requests()[-1] == b":COUN:OFF"
    assert either.model.dwell_ms == 100
    assert not either.model.repeats


async def test_a_refused_order_is_told_in_the_counters_words(
    either: Powered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bellwire.simulator_backend.devices.cc1_emulator.WINDOW_NS_MAX", 4)
    await either.driver.connect()
    with pytest.raises(DeviceError, match=":WIND 7 refused: Unable to comply"):
        await either.driver.set_window_ns(14)
    assert await either.driver.read_window_ns() == 2.0


async def test_an_order_that_is_silently_ignored_is_told(either: Powered) -> None:
    await either.driver.connect()
    either.emulator.set_fault(Fault.IGNORED_SET)
    with pytest.raises(DeviceError, match=r"window in ns was set to 8\.0 but reads 2"):
        await either.driver.set_window_ns(8)
    with pytest.raises(DeviceError, match="GATE was set to True but reads False"):
        await either.driver.set_gate(True)
    with pytest.raises(DeviceError, match=r"dwell time in s was set to 0\.5 but reads 2"):
        await either.driver.count(0.5)


# -- driver -------------------------------------------------------------------------------------------------


async def test_connecting_asks_and_leaves_the_acknowledgements_as_they_are(counter: Powered) -> None:
    await counter.driver.connect()
    assert counter.requests() == [b"FIRM?", b"WIND?"]
    assert counter.model.echoes


@pytest.mark.parametrize(
    ("method", "value", "problem"),
    [
        ("set_window_ns", 16, "outside 0 to 14 ns"),
        ("set_window_ns", 5, "only even numbers"),
        ("set_window_ns", math.nan, "outside 0 to 14 ns"),
        ("set_delay_ns", 15, "outside 0 to 14 ns"),
        ("set_delay_ns", 3, "only even numbers"),
        ("count", 0.09, "outside 0.1 to 30 s"),
        ("count_coincidences", 31.0, "outside 0.1 to 30 s"),
    ],
)
async def test_what_is_out_of_range_is_never_sent(
    counter: Powered, method: str, value: float, problem: str
) -> None:
    await counter.driver.connect()
    asked = len(counter.emulator.log)
    with pytest.raises(LocalMisuse, match=problem):
        await getattr(counter.driver, method)(value)
    assert len(counter.emulator.log) == asked


async def test_a_count_that_the_counter_does_not_understand_is_asked_for_up_to_five_times(
    counter: Powered,
) -> None:
    await counter.driver.connect()
    counter.model.unknown_counts = COUNT_TRIES_MAX - 1
    await counter.driver.count(0.1)
    assert counter.driver.count_retries == COUNT_TRIES_MAX - 1
    counter.model.unknown_counts = COUNT_TRIES_MAX
    with pytest.raises(DeviceError, match=r"COUN:C1\? was refused 5 times"):
        await counter.driver.count(0.1)
    assert counter.model.unknown_counts == 0


async def test_an_overflow_is_no_count(counter: Powered) -> None:
    await counter.driver.connect()
    counter.emulator.set_fault(Fault.OVERFLOW)
    counts = await counter.driver.count(0.1)
    assert not counts.valid
    assert counts.singles == {1: 2**21 - 1, 2: 2**21 - 1}
    with pytest.raises(DeviceError, match="count for a shorter time"):
        await counter.driver.count_coincidences(0.1)
    counter.emulator.clear_fault(Fault.OVERFLOW)
    assert (await counter.driver.count_coincidences(0.1)).keys() == {(1, 2)}


async def test_counts_that_are_read_too_late_are_none(
    counter: Powered, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two seconds after a dwell time the next one begins by itself."""
    monkeypatch.setattr("bellwire.drivers.cc1.HOLD_S", 0.2)
    await counter.driver.connect()
    counting = asyncio.create_task(counter.driver.count(0.1))
    await eventually(
        lambda: b":COUN:ON" in counter.requests() and not counter.driver._turn.locked(), "the count"
    )
    counter.emulator.set_fault(Fault.LATE_REPLY, delay_s=0.15, times=1)
    with pytest.raises(DeviceError, match="late: count again"):
        await counting


async def test_a_count_that_somebody_left_running_is_not_taken_for_ours(counter: Powered) -> None:
    await counter.driver.connect()
    for order in (":DWEL 0.1", ":TRIG:MODE STOP", ":COUN:ON"):
        counter.model.reply(order, 0)
    counts = await counter.driver.count(0.1)
    expected = 0.1 * RATE_HZ
    assert counts.singles[1] == pytest.approx(expected, abs=5 * math.sqrt(expected))


async def test_a_line_that_is_no_echo_is_not_taken_for_an_answer(counter: Powered) -> None:
    """A foreign number before the echo: without acknowledgements it would look like the answer."""
    await counter.driver.connect()
    counter.emulator.set_fault(Fault.UNSOLICITED, times=1)
    with pytest.raises(ProtocolFault, match=r"acknowledgements are not as before|more than one reply"):
        await counter.driver.read_delay_ns()


async def test_acknowledgements_that_somebody_else_switched_are_noticed(counter: Powered) -> None:
    await counter.driver.connect()
    counter.model.echoes = False
    with pytest.raises(ProtocolFault, match="acknowledgements are not as before"):
        await counter.driver.read_window_ns()
    await counter.driver.close()
    await counter.driver.connect()
    await counter.driver.set_window_ns(2)


async def test_an_order_that_is_not_acknowledged_puts_the_line_out_of_step(counter: Powered) -> None:
    await counter.driver.connect()
    counter.emulator.set_fault(Fault.LOST_FRAME, times=1)
    with pytest.raises(LinkTimeout, match=":DELA 4 was not acknowledged"):
        await counter.driver.set_delay_ns(4)
    with pytest.raises(LinkTimeout):
        await counter.driver.read_delay_ns()


async def test_a_restart_during_a_count_leaves_no_count(counter: Powered) -> None:
    await counter.driver.connect()
    counting = asyncio.create_task(counter.driver.count(0.3))
    await eventually(lambda: b":COUN:ON" in counter.requests(), "the count")
    counter.emulator.set_fault(Fault.RESTART, times=1)
    with pytest.raises(DeviceRestarted, match="during a count"):
        await counting


async def test_a_count_does_not_go_on_in_another_connection(counter: Powered) -> None:
    await counter.driver.connect()
    counting = asyncio.create_task(counter.driver.count(0.3))
    await eventually(
        lambda: b":COUN:ON" in counter.requests() and not counter.driver._turn.locked(), "the count"
    )
    await counter.driver.close()
    await counter.driver.connect()
    with pytest.raises(Disconnected, match="lost during a count"):
        await counting


async def test_what_a_restart_forgot_is_asserted_again(counter: Powered) -> None:
    await counter.driver.configure({"coincidence_window_ns": 12, "delay_ns": 8, "gate": True})
    task = asyncio.create_task(counter.driver.supervise())
    await counter.driver.wait_for(Condition.READY, 5)
    before = counter.emulator.model
    counter.emulator.set_fault(Fault.RESTART, times=1)
    await eventually(lambda: counter.emulator.model is not before, "the restart")
    await eventually(lambda: counter.model.switches["GATE"], "the settings again")
    assert (counter.model.window_ns, counter.model.delay_ns) == (6, 8)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@given(
    st.sampled_from([b"FIRM?\nFirmware v2.010\n", b"Firmware v2.001\n"]),
    st.lists(st.integers(0, 30), max_size=4),
)
@settings(derandomize=True, deadline=None)
def test_an_answer_ends_at_the_same_place_however_it_is_cut(octets: bytes, cuts: list[int]) -> None:
    take = answered("FIRM?")
    ends = [length for length in sorted({*cuts, len(octets)}) if take(octets[:length]) is not None]
    assert min(ends) == len(octets)
    assert take(octets) == (octets.removesuffix(b"\n"), b"")


# -- emulator -----------------------------------------------------------------------------------------------


class Couples:
    """Tags of couples: each photon of input 2 comes `apart_ps` after its partner of input 1."""

    def __init__(self, apart_ps: int, every_ps: int) -> None:
        self._apart_ps, self._every_ps = apart_ps, every_ps

    def turn(self, knob: str, value: float, now_ns: int) -> None:
        raise AssertionError("a counter turns nothing")

    def gauge(self, name: str, now_ns: int) -> float:
        raise AssertionError("a counter feels nothing")

    def tags(
        self, channels: object, start_ns: int, stop_ns: int
    ) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], np.ndarray[tuple[int], np.dtype[np.int16]]]:
        one = np.arange(50_000, (stop_ns - start_ns) * 1000 - 50_000, self._every_ps, dtype=np.int64)
        at_ps = np.concatenate([one, one + self._apart_ps])
        number = np.repeat(np.array([0, 1], np.int16), len(one))
        order = np.argsort(at_ps, kind="stable")
        return at_ps[order], number[order]


@pytest.mark.parametrize(
    ("apart_ps", "delay_ns", "window_ns", "coincide"),
    [
        (8_000, 0, 7, False),
        (7_000, 0, 7, True),
        (7_001, 0, 7, False),
        (8_000, 2, 6, True),
        (8_000, 8, 0, True),
        (-3_000, 0, 3, True),
        (-3_000, 2, 4, False),
    ],
)
def test_couples_coincide_when_the_delay_brings_them_within_the_window(
    apart_ps: int, delay_ns: int, window_ns: int, coincide: bool
) -> None:
    counter = Cc1Model(Wiring(Couples(apart_ps, every_ps=1_000_000)))
    for order in (f":DELA {delay_ns}", f":WIND {window_ns}", ":DWEL 0.1", ":TRIG:MODE STOP", ":COUN:ON"):
        assert counter.reply(order, 0) == order
    couples = 100_000  # one each microsecond of 0.1 s
    assert counter.reply("COUN:C1?", 101 * MS) == f"COUN:C1?\n{couples}"
    assert counter.reply("COUN:CO?", 101 * MS) == f"COUN:CO?\n{couples if coincide else 0}"


def counted(model: Cc1Model, counter: str, now_ns: int) -> int:
    told = model.reply(f"COUN:{counter}?", now_ns)
    assert told is not None
    return int(told.rpartition("\n")[2])


def test_chance_makes_the_coincidences_that_poisson_says() -> None:
    """N1 (1 - exp(-2 w R2)) with w = 7 ns on either side, R = 200 kHz, 5 s: 2796 expected, and no more than
    4.9 standard deviations off with probability 1e-6; subtracting leaves nothing but that scatter.
    """
    rate_hz, dwell_s, width_s = 200_000.0, 5.0, 14e-9
    counter = Cc1Model(Wiring(Alone(rates_hz={"1": rate_hz, "2": rate_hz}, seed=5)))
    for order in (":WIND 7", ":DWEL 5", ":TRIG:MODE STOP", ":COUN:ON"):
        counter.reply(order, 0)
    end_ns = 5001 * MS
    ones, both = counted(counter, "C1", end_ns), counted(counter, "CO", end_ns)
    assert ones == pytest.approx(rate_hz * dwell_s, abs=4.9 * math.sqrt(rate_hz * dwell_s))
    expected = rate_hz * dwell_s * -math.expm1(-rate_hz * width_s)
    assert both == pytest.approx(expected, abs=4.9 * math.sqrt(expected))
    counter.reply(":SUBT:ON", 0)
    counter.reply(":COUN:ON", 0)
    counter._counted = (0, 0, (0, 0, 0))
    assert counted(counter, "CO", end_ns) <= 4.9 * math.sqrt(expected)


def test_a_count_is_kept_for_two_seconds_in_the_mode_stop_and_replaced_in_the_mode_cont() -> None:
    counter = Cc1Model(Wiring(Alone(rates_hz={"1": 1e5}, seed=1)))
    counter.power_on(0)
    counter.reply(":DWEL 0.1", 0)
    assert counted(counter, "C1", 99 * MS) == 0  # no dwell time is over yet
    first, second = counted(counter, "C1", 150 * MS), counted(counter, "C1", 250 * MS)
    assert first != second
    counter.reply(":TRIG:MODE STOP", 300 * MS)
    counter.reply(":COUN:ON", 300 * MS)
    assert 0 < counted(counter, "C1", 350 * MS) < counted(counter, "C1", 400 * MS)
    counter.reply(":COUN:ON", 1000 * MS)
    kept = counted(counter, "C1", 400 * MS)
    assert kept == counted(counter, "C1", 2399 * MS)
    assert counted(counter, "C1", 2401 * MS) < kept / 10  # the next has begun by itself
    assert counted(counter, "C1", 4000 * MS) != kept
    counter.reply("CLEA", 4000 * MS)
    assert counted(counter, "C1", 4000 * MS) == 0


@pytest.mark.parametrize("rate_hz", [2_090_000.0, 2_110_000.0])
def test_a_count_that_21_bits_do_not_hold_is_told_as_an_overflow(rate_hz: float) -> None:
    """10 thousand below or above 2**21 - 1, 5 standard deviations of the count or more."""
    counter = Cc1Model(Wiring(Alone(rates_hz={"1": rate_hz}, seed=2)))
    for order in (":DWEL 1", ":TRIG:MODE STOP", ":COUN:ON"):
        counter.reply(order, 0)
    found = counted(counter, "C1", 1001 * MS)
    assert (found == 3_000_000_000) == (rate_hz > 2**21)
    assert counted(counter, "C2", 1001 * MS) == 0


def test_an_open_gate_lets_nothing_through() -> None:
    counter = Cc1Model(Wiring(Alone(rates_hz={"1": 1e5}, seed=1)))
    counter.power_on(0)
    counter.reply(":GATE:ON", 0)
    assert counted(counter, "C1", 1500 * MS) == 0


def test_acknowledgements_end_after_the_order_that_ends_them() -> None:
    counter = Cc1Model(Wiring(Alone()))
    assert counter.reply(":ACKN OF", 0) == ":ACKN OF"
    assert counter.reply(":ACKN OF", 0) is None
    assert counter.reply("FIRM?", 0) == "Firmware v2.010"
    assert counter.reply(":WIND 8", 0) == "Unable to comply."
    assert counter.reply(":ACKN ON", 0) is None
    assert counter.reply("NONSENSE", 0) == "NONSENSE\nUnknown Command."


def test_the_old_firmware_has_no_acknowledgements_and_errs_about_its_unit() -> None:
    counter = Cc1Model(Wiring(Alone()), FIRMWARE_OLD)
    assert counter.reply(":ACKN OF", 0) == "Unknown Command."
    assert counter.reply(":DWEL 8", 0) is None
    assert counter.reply("DWEL?", 0) == "8000 s"
    assert counter.reply(":GATE:ON", 0) == "Unknown Command."
    assert counter.reply(":GATE 1", 0) is None
    assert counter.reply("GATE?", 0) == "1"


@given(
    st.lists(st.integers(0, 200), max_size=20).map(sorted),
    st.lists(st.integers(0, 200), max_size=20).map(sorted),
    st.integers(0, 20),
)
@settings(derandomize=True, deadline=None)
def test_partners_are_those_that_comparing_all_with_all_finds(
    one: list[int], two: list[int], within: int
) -> None:
    expected = sum(any(abs(a - b) <= within for b in two) for a in one)
    assert with_partner(np.array(one, np.int64), np.array(two, np.int64), within) == expected
