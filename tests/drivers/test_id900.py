"""Time Controller driver against its emulator on ZeroMQ: dialect, counters, coincidences, histograms."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.drivers.faults import DeviceError, IdentityRefused, LinkTimeout, ProtocolFault
from bellwire.drivers.id900 import Id900, Id1000
from bellwire.drivers.id900_words import (
    bins_of,
    controller_place,
    number_of,
    picoseconds_of,
    referenced_times_of,
    times_of,
)
from bellwire.drivers.instrument import Backoff, Condition
from bellwire.drivers.roles import CoincidenceCounter, TimeTagger
from bellwire.drivers.session import SessionSettings
from bellwire.simulator_backend.devices.emulators import EmulatorOrder, make_emulator
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.id900_data_link import DataLinkProgram
from bellwire.simulator_backend.devices.id900_emulator import Id900Model
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.lines import ZmqReplyLine
from bellwire.simulator_backend.devices.surroundings import Alone, Wiring
from bellwire.simulator_backend.devices.tag_stream_line import TagStreamLine
from tests.drivers.conftest import eventually
from tests.ports import free_ports

GRID_PS = 10_000_000


@dataclass
class Grid:
    """One event each 10 us and channel, `offset_ps` after the beat."""

    offset_ps: dict[str, int] = field(default_factory=dict[str, int])

    def turn(self, knob: str, value: float, now_ns: int) -> None:
        return

    def gauge(self, name: str, now_ns: int) -> float:
        return 0.0

    def tags(
        self, channels: Sequence[str], start_ns: int, stop_ns: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
        times: list[NDArray[np.int64]] = []
        for channel in channels:
            if channel not in self.offset_ps:
                times.append(np.empty(0, np.int64))
                continue
            phase_ps = (self.offset_ps[channel] - start_ns * 1000) % GRID_PS
            times.append(np.arange(phase_ps, (stop_ns - start_ns) * 1000, GRID_PS, dtype=np.int64))
        index = np.repeat(np.arange(len(channels), dtype=np.int16), [len(part) for part in times])
        merged = np.concatenate(times)
        order = np.argsort(merged, kind="stable")
        return merged[order], index[order]


@dataclass
class Table:
    """A driver, its instrument and what the instrument sees."""

    driver: Id900
    device: InstrumentEmulator

    @property
    def model(self) -> Id900Model:
        assert isinstance(self.device.model, Id900Model)
        return self.device.model


def on_a_table(surroundings: Grid | Alone, *, address: str, timeout_s: float = 0.5) -> Table:
    order = EmulatorOrder(
        name="tagger", address=address, serial_number="1908029T010", wiring=Wiring(surroundings)
    )
    driver = Id900(
        "tagger",
        address,
        serial_number="1908029T010",
        settings=SessionSettings(timeout_s=timeout_s),
        backoff=Backoff(first_s=0.02, longest_s=0.05, refused_s=0.05),
        probe_s=0.1,
    )
    return Table(driver, make_emulator("idq_id900", order))


GRID = Grid({"1": 0, "2": 3_000, "3": 5_000, "4": 1_000_000})


@pytest.fixture
async def table() -> AsyncIterator[Table]:
    """Inputs 1, 2 and 3 within 5 ns of each other, input 4 far away."""
    (port,) = free_ports(1)
    table = on_a_table(GRID, address=f"tcp://127.0.0.1:{port}")
    await table.device.start()
    yield table
    await table.driver.close()
    await table.device.stop()


def dialect(licence: str = "MASTER-HR") -> Id900Model:
    return Id900Model(Wiring(GRID), DataLinkProgram(TagStreamLine()), licence=licence)


def say(model: Id900Model, message: str, now_ns: int = 10**18) -> str:
    (answer,) = model.execute(message.encode(), now_ns)
    return answer.octets.decode()


# -- the dialect ------------------------------------------------------------------------------------------


def test_keywords_are_taken_short_or_long_in_any_case() -> None:
    model = dialect()
    for spelling in ("INPU2:THRE", "input2:threshold", "Inpu2:Threshold"):
        say(model, f"{spelling} 0.25V")
        assert say(model, "INPUt2:THREshold?") == "0.2500V"
        say(model, "INPU2:THRE")  # without a value it takes its default
        assert say(model, "INPU2:THRE?") == "1.0000V"
    assert say(model, "INPUTS2:THRE?") == "SCPI_ERR_INVALID_CMD"


def test_a_batch_answers_a_line_for_each_query_and_chains_stay_in_their_subtree() -> None:
    model = dialect()
    say(model, "INPU3:ENAB OFF;THRE -100mV;EDGE FALLING;:DELA3:VALU 1200")
    replies = say(model, "INPU3:ENAB?;THRE?;EDGE?;:DELA3:VALU?;LINK?;:TSCO1:FIR:LINK?")
    assert replies.split("\n") == ["OFF", "-0.1000V", "FALLING", "1200TB", "INPU3", "NONE"]


def test_times_are_taken_in_units_of_the_time_base() -> None:
    model = dialect()
    assert say(model, "REC:DUR 3000 GTB") == "Value set to 3000000000000TB"
    assert say(model, "REC:DUR?;PWID?") == "3000000000000TB\n3000000000000TB"
    assert say(model, "REC:DUR 3V") == "SCPI_ERR_PARAM_TYPE"


def test_the_first_error_ends_a_message_and_a_link_to_nowhere_is_refused() -> None:
    model = dialect()
    assert say(model, "NONSENSE 1;:DELA1:VALU 7") == "SCPI_ERR_INVALID_CMD"
    assert say(model, "DELA1:VALU?") == "0TB"
    assert say(model, "DELA1:LINK INPU9") == "No connection"
    assert say(model, "HIST1:INPO:REF:LINK TSCO5") == "Value set to TSCO5"  # as older firmware spells it
    assert say(model, "HIST1:REF:LINK?") == "TSCO5"


def test_what_a_licence_lacks_is_an_unknown_command() -> None:
    assert say(dialect("MASTER"), "INPU1:HIRES:ERROR?") == "SCPI_ERR_INVALID_CMD"
    assert say(dialect("TCSPC-HR"), "TSCO6:COUN?") == "SCPI_ERR_INVALID_CMD"
    assert say(dialect("MASTER"), "DEVI:RES:BWID?") == "100"
    assert say(dialect("MASTER-HR"), "DEVI:RES:BWID?") == "1"


def test_a_cyclic_counter_shows_the_last_whole_cycle() -> None:
    model, start_ns = dialect(), 10**18
    say(model, "INPU1:COUN:INTE 10;MODE CYCL;RESE", start_ns)
    assert say(model, "INPU1:COUN?", start_ns + 9_999_999) == "0"
    assert say(model, "INPU1:COUN?", start_ns + 10_000_000) == "1000"
    assert say(model, "INPU1:COUN?", start_ns + 25_000_000) == "1000"
    say(model, "INPU1:COUN:MODE ACCU;RESE", start_ns)
    assert say(model, "INPU1:COUN?", start_ns + 25_000_000) == "2500"


def test_the_trigger_level_must_cut_the_pulses_and_the_falling_edge_comes_later() -> None:
    model, start_ns = dialect(), 10**18
    say(model, "INPU1:COUN:MODE ACCU;RESE", start_ns)
    for level, counted in (("1.9V", "1000"), ("2.0V", "0"), ("10mV", "0"), ("-0.5V", "0"), ("1V", "1000")):
        say(model, f"INPU1:THRE {level}", start_ns)
        assert say(model, "INPU1:COUN?", start_ns + 10_000_000) == counted
    say(
        model, "TSCO1:FIR:LINK INPU1;:TSCO1:WIND:ENAB ON;BEGI:LINK INPU2;:TSCO1:WIND:END:LINK INPU2", start_ns
    )
    say(model, "TSCO1:WIND:BEGI:DELA 0;:TSCO1:WIND:END:DELA 8000;:TSCO1:OPOU MUTE", start_ns)
    say(model, "TSCO1:COUN:MODE ACCU;RESE", start_ns)
    assert say(model, "TSCO1:COUN?", start_ns + 10_000_000) == "0"
    say(model, "INPU1:EDGE FALLING", start_ns)  # 10 ns later: 7 ns behind input 2
    assert say(model, "TSCO1:COUN?", start_ns + 10_000_000) == "1000"


def test_generators_give_as_many_pulses_as_they_were_told() -> None:
    model, start_ns = dialect(), 10**18
    say(model, "GEN1:ENAB ON;PPER 1000000;PNUM 30;PLAY;:TSCO1:FIR:LINK GEN1", start_ns)
    say(model, "TSCO1:COUN:MODE ACCU;RESE", start_ns)
    assert say(model, "TSCO1:COUN?", start_ns + 10_500) == "11"
    assert say(model, "TSCO1:COUN?", start_ns + 1_000_000) == "30"
    assert say(model, "GEN1:PNUM INF;PNUM?", start_ns) == "Value set to INF\nINF"


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    st.lists(
        st.sampled_from(
            (
                "INPU1:COUN?",
                ":TSCO6:WIND:BEGI:DELA",
                " 12GTB",
                " INPU2",
                " NONE",
                "RAW1:ERRORS:CLEAR",
                "REC:PLAY",
                ";",
                "?",
                " -1e400",
                " MAX",
                "#15x",
                "(",
                '"',
                "HIST1:DATA?",
                "DELA8:LINK TSCO32",
                "*IDN?",
                "\0",
            )
        )
        | st.text(max_size=4),
        max_size=8,
    ).map("".join)
)
def test_any_message_gets_one_reply_and_breaks_nothing(message: str) -> None:
    model = dialect()
    (answer,) = model.execute(message.encode("utf-8", "replace"), 10**18)
    assert answer.octets  # a request socket waits for its reply for ever
    assert say(model, "*IDN?", 10**18 + 1).startswith("IDQ,ID900,")
    program = DataLinkProgram(TagStreamLine())
    for command in (message, f"start-stream {message}", f"status {message}", f"stop --id {message}"):
        json.loads(program.carry_out(command, 0))
    assert program.carry_out("list", 0) == "[]"


# -- words --------------------------------------------------------------------------------------------------


def test_replies_carry_their_unit_or_none_and_never_another() -> None:
    assert picoseconds_of("1200TB") == 1200
    assert picoseconds_of(" 3 GTB ") == 3_000_000_000
    assert number_of("-100mV", "V") == pytest.approx(-0.1)
    assert number_of("1", "V") == 1.0
    for reply, unit in (("1200V", "TB"), ("12TB", ""), ("", "TB"), ("1.2.3", "V"), ("SCPI", "TB")):
        with pytest.raises(ValueError, match="is not"):
            number_of(reply, unit)
    with pytest.raises(ValueError, match="whole"):
        picoseconds_of("1.5TB")
    assert bins_of("[1, 2, 0]") == [1, 2, 0]
    for reply in ("{}", "[1, -2]", "[true]", "[1"):
        with pytest.raises(ValueError, match=r"list|counts|Expecting"):
            bins_of(reply)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 2**62), max_size=20), st.integers(1, 10**6))
def test_packed_tags_are_u64_alone_or_with_the_index_of_their_reference(
    values: list[int], period_ps: int
) -> None:
    ordered = sorted(values)
    assert times_of(np.array(ordered, "<u8").tobytes()).tolist() == ordered
    small = [value % period_ps for value in values]
    pairs = np.array([[tag, index] for index, tag in enumerate(small)], "<u8")
    expected = [index * period_ps + tag for index, tag in enumerate(small)]
    assert referenced_times_of(pairs.tobytes(), period_ps).tolist() == expected


def test_tags_out_of_order_or_cut_are_refused() -> None:
    with pytest.raises(ValueError, match="out of order"):
        times_of(np.array([5, 4], "<u8").tobytes())
    with pytest.raises(ValueError, match="multiple"):
        times_of(b"123")
    with pytest.raises(ValueError, match="reshape"):
        referenced_times_of(bytes(8), 5)


def test_an_address_names_the_controller_and_perhaps_a_data_link() -> None:
    alone = controller_place("tcp://10.0.0.5", instrument="tagger")
    assert (alone.controller.port, alone.data_link) == (5555, None)
    whole = controller_place("tcp://10.0.0.5:7,pc,4300", instrument="tagger")
    assert whole.data_link is not None
    assert (whole.data_link.host, whole.data_link.port, whole.stream_port) == ("pc", 6060, 4300)
    with pytest.raises(ConfigError, match="DATALINK_HOST"):
        controller_place("tcp://a,b,c", instrument="tagger")


# -- the driver ---------------------------------------------------------------------------------------------


async def test_connecting_only_asks(table: Table) -> None:
    identity = await table.driver.connect()
    assert (identity.model, identity.serial_number) == ("ID900", "1908029T010")
    assert not any(entry.changes for entry in table.device.log)


def test_both_models_play_their_roles() -> None:
    for driver in (Id900("tagger", "tcp://10.0.0.5"), Id1000("tagger", "tcp://10.0.0.5")):
        tagger: TimeTagger = driver
        counter: CoincidenceCounter = driver
        assert list(tagger.channels) == [1, 2, 3, 4]
        assert isinstance(counter, CoincidenceCounter)


async def test_an_id900_is_not_taken_for_an_id1000(table: Table) -> None:
    with pytest.raises(IdentityRefused, match="model"):
        await Id1000("tagger", table.driver.address).connect()
    other = Id900("tagger", table.driver.address, serial_number="0")
    with pytest.raises(IdentityRefused, match="serial number"):
        await other.connect()


async def test_inputs_read_back_what_was_set(table: Table) -> None:
    driver = table.driver
    await driver.connect()
    await driver.set_enabled(2, False)
    await driver.set_threshold_mv(2, -123.4)
    assert await driver.read_enabled(2)  # whoever sets a level wants the input
    assert await driver.read_threshold_mv(2) == pytest.approx(-123.4)
    await driver.set_edge(2, "FALLING")
    await driver.set_delay_ps(2, 1_234_567)
    await driver.set_resolution("LOWRES")
    assert await driver.read_edge(2) == "FALLING"
    assert await driver.read_delay_ps(2) == 1_234_567
    assert await driver.read_bin_width_ps() == 100
    for refused in (
        driver.set_threshold_mv(1, 2001),
        driver.set_threshold_mv(5, 100),
        driver.set_delay_ps(1, -1),
        driver.set_edge(1, "BOTH"),
        driver.count(0.0001),
        driver.set_window_ns(0),
    ):
        with pytest.raises(LocalMisuse):
            await refused


async def test_a_set_that_is_silently_ignored_is_found_by_the_read_back(table: Table) -> None:
    await table.driver.connect()
    table.device.set_fault(Fault.IGNORED_SET)
    with pytest.raises(DeviceError, match="was set to 400 but reads 1000"):
        await table.driver.set_threshold_mv(1, 400)
    with pytest.raises(DeviceError, match="integration time of INPU1 in ms was set to 50 but reads 1000"):
        await table.driver.count(0.05)


async def test_a_count_is_that_of_one_window(table: Table) -> None:
    await table.driver.connect()
    counts = await table.driver.count(0.05)
    assert counts.singles == {channel: pytest.approx(5000, abs=1) for channel in (1, 2, 3, 4)}
    assert counts.valid


async def test_counts_of_chance_have_the_rate_of_their_source() -> None:
    # 200 ms at 100 kHz: 20,000 +- 141; five sigma, two inputs: false alarm 1e-6.
    (port,) = free_ports(1)
    alone = Alone(rates_hz={"1": 100_000.0, "2": 100_000.0}, seed=3)
    table = on_a_table(alone, address=f"tcp://127.0.0.1:{port}")
    await table.device.start()
    await table.driver.connect()
    counts = await table.driver.count(0.2)
    for channel in (1, 2):
        assert abs(counts.singles[channel] - 20_000) < 5 * math.sqrt(20_000)
    await table.driver.set_window_ns(500)
    # Accidentals: r1 r2 w T = 1e10 x 5e-7 x 0.2 = 1000, each event of 2 counts at most once:
    # r2 T (1 - exp(-r1 w)) = 975. Five sigma.
    found = await table.driver.count_coincidences(0.2)
    expected = 20_000 * -math.expm1(-0.05)
    assert abs(found[1, 2] - expected) < 5 * math.sqrt(expected)
    assert found[3, 4] == 0
    await table.driver.close()
    await table.device.stop()


async def test_partners_coincide_up_to_half_the_window_and_delays_bring_them_together(table: Table) -> None:
    driver = table.driver
    await driver.connect()
    await driver.set_window_ns(7)
    assert await driver.read_window_ns() == 7
    near = await driver.count_coincidences(0.02)
    # 1 and 2 are 3 ns apart, 2 and 3 are 2 ns, 1 and 3 are 5 ns, 4 is nowhere near.
    assert {pattern for pattern, count in near.items() if count} == {(1, 2), (2, 3), (1, 2, 3)}
    assert all(abs(near[pattern] - 2000) <= 1 for pattern in ((1, 2), (2, 3), (1, 2, 3)))
    await driver.set_window_ns(4.1)
    assert {pattern for pattern, count in (await driver.count_coincidences(0.02)).items() if count} == {
        (2, 3)
    }
    for channel, delay_ps in ((1, 1_000_000), (2, 997_000), (3, 995_000)):
        await driver.set_delay_ps(channel, delay_ps)
    together = await driver.count_coincidences(0.02)
    assert all(abs(count - 2000) <= 1 for count in together.values())


async def test_wiring_the_counters_leaves_levels_edges_and_delays_as_they_were(table: Table) -> None:
    driver = table.driver
    await driver.connect()
    await driver.set_threshold_mv(1, 300)
    await driver.set_edge(2, "FALLING")
    await driver.set_enabled(4, False)
    await driver.set_delay_ps(3, 777)
    await driver.set_window_ns(2)
    assert await driver.read_threshold_mv(1) == pytest.approx(300)
    assert await driver.read_edge(2) == "FALLING"
    assert not await driver.read_enabled(4)
    assert await driver.read_delay_ps(3) == 777
    assert table.model.setting("DELA.value", 7) == 777 + 2 * 2000


async def test_coincidences_need_their_window_first(table: Table) -> None:
    await table.driver.connect()
    with pytest.raises(DeviceError, match="set coincidence_window_ns"):
        await table.driver.count_coincidences(0.01)


async def test_two_who_count_at_once_do_not_reset_each_other(table: Table) -> None:
    await table.driver.connect()
    both = await asyncio.gather(table.driver.count(0.05), table.driver.count(0.02))
    assert [counts.singles[1] for counts in both] == [pytest.approx(5000, abs=1), pytest.approx(2000, abs=1)]


async def test_a_count_of_inputs_that_want_calibration_is_not_valid(table: Table) -> None:
    driver = table.driver
    await driver.connect()
    table.device.set_fault(Fault.DRIFT)
    assert not (await driver.count(0.01)).valid
    assert await driver.read_input_error(2) == 1
    await driver.recalibrate()
    assert (await driver.count(0.01)).valid


async def test_a_histogram_has_the_distance_of_two_inputs(table: Table) -> None:
    driver = table.driver
    await driver.connect()
    counts = await driver.measure_histogram(1, 3, bin_width_ps=1000, bins=8, duration_s=0.02)
    assert counts[5] == pytest.approx(2000, abs=1)
    assert counts.sum() == counts[5]
    own = await driver.measure_histogram(
        1, 1, bin_width_ps=1000, bins=4, minimum_ps=GRID_PS - 1000, duration_s=0.02
    )
    assert own.tolist() == [0, pytest.approx(1999, abs=1), 0, 0]
    await driver.set_resolution("LOWRES")
    with pytest.raises(LocalMisuse, match="multiple of 100 ps"):
        await driver.measure_histogram(1, 3, bin_width_ps=150, bins=8, duration_s=0.02)


async def test_a_late_reply_is_never_taken_for_the_next_one(table: Table) -> None:
    driver = table.driver
    task = asyncio.create_task(driver.supervise())
    await driver.wait_for(Condition.READY, 5)
    await driver.set_delay_ps(1, 111)
    await driver.set_delay_ps(2, 222)
    table.device.set_fault(Fault.LATE_REPLY, delay_s=0.6, times=1)
    with pytest.raises(LinkTimeout):
        await driver.read_delay_ps(1)
    await eventually(lambda: driver.state.condition is not Condition.READY, "the fault is noticed")
    await driver.wait_for(Condition.READY, 5)
    assert [await driver.read_delay_ps(2) for _ in range(3)] == [222] * 3
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_batch_that_lost_a_line_is_not_taken_for_a_whole_one(table: Table) -> None:
    await table.driver.connect()
    table.device.set_fault(Fault.HALF_REPLY)
    with pytest.raises((ProtocolFault, DeviceError)):
        await table.driver.count(0.01)


async def test_a_restart_brings_the_settings_back(table: Table) -> None:
    driver = table.driver
    await driver.configure({"coincidence_window_ns": 3.0, "threshold_mv.1": 250.0, "delay_ps.2": 5000})
    task = asyncio.create_task(driver.supervise())
    await driver.wait_for(Condition.READY, 5)
    table.device.set_fault(Fault.RESTART, times=1)
    await eventually(
        lambda: (table.model.setting("DELA.value", 2), table.model.setting("INPU.threshold", 1)) == (0, 1.0),
        "the restart",
    )
    await eventually(
        lambda: (
            table.model.setting("DELA.value", 2) == 5000
            and table.model.setting("DELA.value", 6) == 8000
            and table.model.setting("INPU.threshold", 1) == 0.25
        ),
        "settings asserted again",
    )
    await driver.wait_for(Condition.READY, 5)
    assert await driver.read_window_ns() == 3
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_safe_state_is_read_back(table: Table) -> None:
    await table.driver.connect()
    await table.driver.safe_state()
    assert table.model.setting("RAW.send", 3) is False
    await table.driver.order("RAW3:SEND ON")
    table.device.set_fault(Fault.IGNORED_SET)
    with pytest.raises(DeviceError, match="after it was stopped"):
        await table.driver.safe_state()


async def test_a_licence_without_high_resolution_counts_all_the_same() -> None:
    line, program = ZmqReplyLine(), DataLinkProgram(TagStreamLine())
    device = InstrumentEmulator("tagger", lambda: Id900Model(Wiring(GRID), program, licence="MASTER"), [line])
    await device.start()
    driver = Id900("tagger", f"tcp://127.0.0.1:{line.port}")
    await driver.connect()
    assert (await driver.count(0.01)).valid
    with pytest.raises(DeviceError, match="its licence may lack it"):
        await driver.read_input_error(1)
    await driver.close()
    await device.stop()
