"""The procedure `references`: the driver of an emulated White Rabbit switch, and pulses of a tagger."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bellwire.calibration.bench import ClockReference, LinkBench, Receiver
from bellwire.calibration.direct import DirectAccess
from bellwire.calibration.procedure import Unfit
from bellwire.calibration.procedures.references import SECOND_PS, References, pulses_of
from bellwire.calibration.records import CalibrationRecord, Outcome
from bellwire.calibration.running import RunTerms, run_procedure
from bellwire.calibration.standing import standing
from bellwire.calibration.store import CalibrationStore
from bellwire.core.errors import ConfigError
from bellwire.drivers.instrument import Condition
from bellwire.drivers.wr_switch import WrSwitch
from bellwire.labs import load_lab
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.wr_switch_emulator import make

LABS = Path(__file__).parents[2] / "lab_configs"
PACE = 0.01
PATIENCE_S = 30.0
BENCH = LinkBench(
    link="alice-bob",
    kind="meeting",
    receivers=(Receiver("middle", "tagger", ()),),
    references=(ClockReference("middle", "clock"),),
    required=("references",),
)
PROCEDURE = References(apart_s=0.1)


@pytest.fixture
async def switch() -> AsyncIterator[InstrumentEmulator]:
    emulator = make(EmulatorOrder(name="clock", address="udp://127.0.0.1:0", pace=PACE))
    await emulator.start()
    yield emulator
    await emulator.stop()


@pytest.fixture
async def driver(switch: InstrumentEmulator) -> AsyncIterator[WrSwitch]:
    found = WrSwitch("clock", f"udp://127.0.0.1:{switch.lines[0].port}", pace=PACE)  # type: ignore[attr-defined]
    task = asyncio.get_running_loop().create_task(found.supervise())
    await found.wait_for(Condition.READY, PATIENCE_S)
    yield found
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def looked(driver: WrSwitch, store: CalibrationStore) -> CalibrationRecord:
    table = {PROCEDURE.name: PROCEDURE}
    return await run_procedure(PROCEDURE, BENCH, DirectAccess({"clock": driver}), store, table, RunTerms())


async def test_a_link_leaves_ready_when_the_servo_loses_track_and_returns_when_it_tracks_again(
    switch: InstrumentEmulator, driver: WrSwitch, tmp_path: Path
) -> None:
    store = CalibrationStore(tmp_path)
    first = await looked(driver, store)
    assert first.outcome is Outcome.PASSED, first.reason
    assert abs(first.quantities["offset_ps.middle"].value) < 100.0
    assert standing("alice-bob", store.decisive("alice-bob"), BENCH.required, first.ended_ns).ready

    switch.set_fault(Fault.DRIFT)
    lost = await looked(driver, store)
    assert lost.outcome is Outcome.FAILED
    assert "does not track the phase" in lost.reason
    stands = standing("alice-bob", store.decisive("alice-bob"), BENCH.required, lost.ended_ns)
    assert not stands.ready
    assert "does not track the phase" in stands.reasons[0]

    switch.clear_fault(Fault.DRIFT)
    again = await looked(driver, store)
    assert again.outcome is Outcome.PASSED, again.reason
    assert standing("alice-bob", store.decisive("alice-bob"), BENCH.required, again.ended_ns).ready


async def test_a_link_without_references_cannot_have_it(driver: WrSwitch, tmp_path: Path) -> None:
    bare = replace(BENCH, references=())
    with pytest.raises(ConfigError, match="names no references"):
        await run_procedure(
            PROCEDURE, bare, DirectAccess({"clock": driver}), CalibrationStore(tmp_path), {}, RunTerms()
        )


def edges(seconds: list[int], rate: float = 0.0, jitter_ps: float = 50.0) -> NDArray[np.int64]:
    chance = np.random.default_rng(3)
    at = 7.3e11 + np.array(seconds) * SECOND_PS * (1.0 + rate) + chance.normal(0.0, jitter_ps, len(seconds))
    return np.rint(at).astype(np.int64)


@pytest.mark.parametrize("rate", [0.0, 3e-9, -2e-6])
def test_the_interval_of_pulses_is_that_of_the_clock(rate: float) -> None:
    """Jitter of 50 ps over 10 s: some 7e-12."""
    found = pulses_of(edges(list(range(11)), rate))
    assert found.interval.value == pytest.approx(rate, abs=4e-11)
    assert (found.strange, found.missing) == (0, 0)


def test_missing_and_double_pulses_are_counted() -> None:
    good = edges([0, 1, 2, 4, 5, 6])
    double = np.sort(np.append(good, [good[1] + 40_000_000_000, good[3] + 2_000]))
    found = pulses_of(double)
    assert (found.strange, found.missing) == (2, 1)
    assert found.interval.value == pytest.approx(0.0, abs=1e-10)


def test_noise_is_no_pps() -> None:
    noise = np.sort(np.random.default_rng(4).integers(0, 10 * SECOND_PS, 40))
    with pytest.raises(Unfit, match="no PPS"):
        pulses_of(noise)
    with pytest.raises(Unfit, match="look at the cable"):
        pulses_of(np.zeros(0, np.int64))


def test_the_shipped_lab_names_the_switch_under_its_tagger() -> None:
    bench = load_lab(LABS / "optics_double_click.yaml").calibration_bench("alice-bob")
    assert bench is not None
    assert bench.references == (ClockReference("middle", "middle-clock"),)
    assert References().obstacle(bench) is None
    assert References().instruments(bench) == ("middle-clock",)


@pytest.mark.parametrize(
    ("references", "problem"),
    [
        ("{middle: {switch: middle-tagger}}", "no switch that shows its clock"),
        ("{middle: {switch: middle-clok}}", "no equipment is called"),
        ("{middle: {switch: middle-clock, tagger: middle-tagger}}", "give switch, or tagger and pps_channel"),
        ("{middle: {tagger: middle-tagger}}", "give switch, or tagger and pps_channel"),
        ("{middle: {tagger: middle-delay, pps_channel: 1}}", "is no time tagger"),
    ],
)
def test_a_wrong_reference_is_found_before_the_lab_is_up(
    references: str, problem: str, tmp_path: Path
) -> None:
    text = (LABS / "optics_double_click.yaml").read_text(encoding="utf-8")
    path = tmp_path / "lab.yaml"
    path.write_text(text.replace("{middle: {switch: middle-clock}}", references), encoding="utf-8")
    with pytest.raises(ConfigError, match=problem):
        load_lab(path)
