"""Emulated taggers on clocks of their own: windows, counts and seconds follow the clock, exactly.

The light is a comb without chance, so that every count is a number of periods.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.random import SeedSequence
from numpy.typing import NDArray

from bellwire.core.errors import ConfigError
from bellwire.drivers.frames import RecordKind, TagWords
from bellwire.labs import LabProblems, load_lab
from bellwire.labs.equipment import EquipmentSettings
from bellwire.simulator_backend.devices.cc1_emulator import Cc1Model
from bellwire.simulator_backend.devices.equipment_bench import EquipmentBench
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.herald_clock import HeraldHardware
from bellwire.simulator_backend.devices.herald_core import HeraldCore
from bellwire.simulator_backend.devices.id900_data_link import DataLinkProgram
from bellwire.simulator_backend.devices.id900_emulator import Id900Model
from bellwire.simulator_backend.devices.own_clock import CLOCKED, ByOwnClock
from bellwire.simulator_backend.devices.surroundings import Alone, Surroundings, Wiring
from bellwire.simulator_backend.devices.tag_stream_line import TagStreamLine
from bellwire.simulator_backend.photons.clock import Clock, RunningClock
from tests.simulator_backend.devices.wire import COMMIT, Wire

EPOCH_NS = 1_700_000_000_250_000_000
S = 10**9
PERIOD_PS = 1_000_000
FAST_PPB = 100_000.0
"""So fast that it shows in a count: 1e-4."""


class Comb(Alone):
    """A click each microsecond of true unix time, on every channel."""

    def tags(
        self, channels: Sequence[str], start_ns: int, stop_ns: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
        first = -(-start_ns * 1000 // PERIOD_PS)
        past = -(-stop_ns * 1000 // PERIOD_PS)
        times = np.array([k * PERIOD_PS - start_ns * 1000 for k in range(first, past)], np.int64)
        number = np.tile(np.arange(len(channels), dtype=np.int16), len(times))
        return np.repeat(times, len(channels)), number


def fast(offset_ps: int = 0) -> RunningClock:
    return RunningClock(Clock(rate_ppb=FAST_PPB, offset_ps=offset_ps), EPOCH_NS, SeedSequence(1))


@pytest.mark.parametrize("clocked", [False, True])
def test_a_time_controller_counts_for_a_second_of_its_own(clocked: bool) -> None:
    own = fast(offset_ps=2_345_678_901)

    def now(after_ns: int) -> int:
        return own.shown_ns(EPOCH_NS + after_ns) if clocked else EPOCH_NS + after_ns

    light = ByOwnClock(Comb(), own) if clocked else Comb()
    model = Id900Model(Wiring(light), DataLinkProgram(TagStreamLine()))
    model.execute(b"INPU1:COUN:MODE CYCL;INTE 1000;RESE", now(S))
    (answer,) = model.execute(b"INPU1:COUN?", now(2 * S + S // 10))
    expected = 10**6 / (1.0 + 1e-4) if clocked else 10**6
    assert abs(int(answer.octets) - expected) <= 1


def test_a_coincidence_counter_dwells_by_its_own_clock() -> None:
    own = fast()
    model = Cc1Model(Wiring(ByOwnClock(Comb(), own)))
    model.power_on(own.shown_ns(EPOCH_NS))
    model.dwell_ms = 1000
    reply = model.reply("COUN:C1?", own.shown_ns(EPOCH_NS + 3 * S)) or ""
    assert abs(int(reply.rpartition("\n")[2]) - 999_900) <= 1


def board(own: RunningClock | None, light: Surroundings | None = None) -> Wire:
    boot_ns = EPOCH_NS if own is None else own.shown_ns(EPOCH_NS)
    light = light or Alone()
    core = HeraldCore(
        serial_number=1,
        boot_count=1,
        boot_ns=boot_ns,
        hardware=HeraldHardware(fine_bits=3),
        photons=Wiring(light if own is None else ByOwnClock(light, own)),
        inputs=("one",),
        own_clock=own,
    )
    return Wire(core)


def test_an_fpga_sees_the_pps_of_true_seconds_in_its_own_ticks() -> None:
    own = fast(offset_ps=-1_400_000_000_003)
    wire = board(own)
    first = -(-EPOCH_NS // S)
    for k in range(3):
        true_ns = (first + k) * S + 400_000_000
        wire.now_ns = own.shown_ns(true_ns)
        wire.core.set_now(wire.now_ns)
        assert wire.read("PPS_COUNT") == first + k
        shown_ps = own.moment_ps(((first + k) * S - EPOCH_NS) * 1000)
        since_zero_ps = shown_ps + (EPOCH_NS - wire.core.clock.zero_ns) * 1000
        assert wire.read("PPS_TIME") == -(-since_zero_ps // 8_000)
        assert wire.status("pps_present")
    assert abs(wire.read("PPS_TICKS") - 125_000_000 * (1.0 + 1e-4)) <= 1


def test_an_fpga_knows_its_second_just_before_and_just_after_the_edge() -> None:
    own = fast(offset_ps=987_654_321_987)
    wire = board(own)
    second = EPOCH_NS // S + 2
    edge_ns = wire.core.clock.ns_of_second(second)
    assert wire.core.clock.second(edge_ns - 1) == second - 1
    assert wire.core.clock.second(edge_ns) == second
    wire.core.set_now(edge_ns + 500)
    wire.core.afflict(Fault.PPS_MISSING, True, edge_ns + 600)
    wire.now_ns = edge_ns + 2 * S
    wire.core.set_now(wire.now_ns)
    assert wire.read("PPS_COUNT") == second
    assert wire.sticky("pps_missing")


@pytest.mark.parametrize("clocked", [False, True])
def test_tags_of_an_fpga_are_the_clicks_in_its_own_time(clocked: bool) -> None:
    own = fast(offset_ps=1_000_000_000_500) if clocked else None
    wire = board(own, Comb())
    enable = wire.core.registers.map["ENABLE"].fields
    wire.write("DEAD", 5, 0)
    wire.write("ENABLE", enable["on"].place(1), 0)
    wire.write("CMD", COMMIT)
    wire.now_ns += 1_000_000
    wire.endpoint.tick(wire.now_ns)
    wire.credit(100, 0)
    wire.write("CTRL", wire.core.registers.map["CTRL"].fields["tags"].place(1))
    wire.now_ns += 20_000
    wire.tick(RecordKind.TAG)
    stamps = [TagWords.unpack(one).stamp for one in wire.raw(RecordKind.TAG)]
    assert 10 <= len(stamps) <= 21
    zero_ns = wire.core.clock.zero_ns
    for stamp in stamps:  # each stamp is the fine unit (1 ns) of a click of the comb
        at_ps = (stamp - (EPOCH_NS - zero_ns)) * 1000
        near = round((EPOCH_NS * 1000 + (at_ps if own is None else own.true_ps(at_ps))) / PERIOD_PS)
        age_ps = near * PERIOD_PS - EPOCH_NS * 1000
        shown_ps = age_ps if own is None else own.moment_ps(age_ps)
        assert 0 <= shown_ps - at_ps < 1000


def entry(driver: str, wiring: dict[str, str]) -> EquipmentSettings:
    address = (
        "pty:one" if driver in ("fpga_tagger", "qubitekk_cc1", "thorlabs_mpc320") else "tcp://127.0.0.1:0"
    )
    return EquipmentSettings(
        owner="alice",
        name="one",
        driver=driver,
        address=address,
        serial_number=None,
        emulated=True,
        vital=True,
        wiring=wiring,
    )


@pytest.mark.parametrize("driver", CLOCKED)
async def test_every_tagger_of_the_table_runs_on_its_clock(driver: str, tmp_path: Path) -> None:
    own = RunningClock(Clock(offset_ps=50 * 10**12), time.time_ns(), SeedSequence(1))
    clocks = {"quartz": own}
    bench = EquipmentBench([entry(driver, {"1": "d", "clock": "quartz"})], tmp_path, Comb(), clocks=clocks)
    emulator: Any = bench.emulator("alice-one")
    plain: Any = EquipmentBench([entry(driver, {"1": "d"})], tmp_path, Comb()).emulator("alice-one")
    ahead_s = (emulator._now() - plain._now()) / S
    assert ahead_s > 40.0  # it takes its time from the clock, the other one from the computer


def test_what_has_no_clock_refuses_one(tmp_path: Path) -> None:
    clocks = {"quartz": fast()}
    with pytest.raises(ConfigError, match="no clock of its own"):
        EquipmentBench([entry("thorlabs_mpc320", {"clock": "quartz"})], tmp_path, Comb(), clocks=clocks)
    with pytest.raises(ConfigError, match="unknown clock"):
        EquipmentBench([entry("idq_id900", {"clock": "rubidium"})], tmp_path, Comb(), clocks=clocks)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("clock: bob_clock}", "clock: bob_cloc}"), 'no clock "bob_cloc" - did you mean'),
        (("clock: bob_clock}", "clock: bob_pps}"), "no clock"),
        (
            (
                "{angle_deg.1: bob_plate.angle_1_deg, angle_deg.2: bob_plate.angle_2_deg}",
                "{clock: bob_clock}",
            ),
            "has no clock of its own",
        ),
    ],
)
def test_a_wrong_clock_is_a_line_of_the_lab_file(
    tmp_path: Path, change: tuple[str, str], sentence: str
) -> None:
    text = (Path(__file__).parents[3] / "lab_configs" / "entangled_photons.yaml").read_text(encoding="utf-8")
    assert change[0] in text
    path = tmp_path / "lab.yaml"
    path.write_text(text.replace(*change), encoding="utf-8")
    with pytest.raises(LabProblems) as found:
        load_lab(path)
    assert any(sentence.partition(" - ")[0] in line for line in found.value.lines), found.value.lines
