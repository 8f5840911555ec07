"""The light of an emulated lab: what equipment turns reaches counts and links, as closed forms say."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bellwire.core.bell import fidelity
from bellwire.core.pair_sources import midpoint_source
from bellwire.labs import LabProblems, load_lab
from bellwire.planner.lane_times import link_state
from bellwire.simulator_backend.lab_emulation import LabEmulation
from bellwire.simulator_backend.lab_light import LabLight
from bellwire.simulator_backend.photons.description import OpticsDescription, read_optics

NS_PER_S = 10**9
LAB = """
lab: lit
nodes:
  alice: {role: end, memory: {t1_s: null, t2_s: null}}
  bob: {role: end, memory: {t1_s: null, t2_s: null}}
stations:
  middle:
    equipment:
      oven:
        driver: thorlabs_tc200
        address: "pty:oven"
        emulated: true
        wiring: {temperature_c: source.oven_c}
links:
  one:
    nodes: [alice, bob]
    station: middle
    fibre_km: [5, 5]
    attempt_period_us: 1000
    architecture: midpoint_source
    source: {mean_pair_number: 0.05}
optics:
  components:
    source:
      kind: pair_source
      period_ps: 100000
      pump_mw: 0.5
      oven_c: 40.0
      entangled: psi_plus
      intrinsic_error: 0.01
    left: {kind: fibre, length_km: 5}
    right: {kind: fibre, length_km: 5}
    alice_memory: {kind: absorber, efficiency: 0.24}
    bob_memory: {kind: absorber, efficiency: 0.24}
  wires: [[source.signal, left], [source.idler, right], [left, alice_memory], [right, bob_memory]]
  links:
    one: {kind: midpoint_source, source: source, absorbers: [alice_memory, bob_memory]}
"""
COUNTED = {
    "lamp": {"kind": "laser", "power_w": 1e-13},
    "splitter": {"kind": "beam_splitter"},
    "first": {"kind": "detector", "channel": 3, "dead_ps": 0.0, "dark_hz": 200.0},
    "second": {"kind": "detector", "channel": 5, "dead_ps": 0.0, "dark_hz": 200.0},
}
WIRES = (("lamp", "splitter.a"), ("splitter.c", "first"), ("splitter.d", "second"))


def lab_file(folder: Path, text: str = LAB) -> Path:
    path = folder / "lit.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def counting_light(seed: int = 7) -> tuple[LabLight, list[int]]:
    """A lamp on two detectors, on a clock that the test sets."""
    found, problems = read_optics(COUNTED, WIRES, {})
    assert not problems
    assert found is not None
    now = [1_000 * NS_PER_S]
    return LabLight(found, seed, _no_link, lambda: now[0]), now


def _no_link(link: str, **_: Any) -> None:
    raise AssertionError(f"{link} does not exist")


async def test_an_oven_on_its_serial_line_changes_what_the_link_heralds(tmp_path: Path) -> None:
    lab = load_lab(lab_file(tmp_path), live=True)
    async with LabEmulation(lab, tmp_path) as emulation:
        light = emulation.light
        assert light is not None
        model: Any = emulation.equipment.emulator("middle-oven").model
        assert model.temperature_c == 23.0  # cold from power-on
        arm = 0.7 * 10 ** (-0.1 * 0.2 * 5) * 0.24
        for temperature_c in (23.0, 40.0, 40.6):
            light.turn("source.oven_c", temperature_c, 0)
            # sinc^2 with a full width of 2 K at half of its height
            matched = float(np.sinc(2.0 * 1.39155738 * (temperature_c - 40.0) / 2.0 / np.pi) ** 2)
            expected = midpoint_source(0.05 * matched, arm, arm, 0.0, 0.0, 0.01)
            physics = light.physics("one")
            assert physics.success_probability == pytest.approx(expected.success_probability, rel=1e-6)
            assert physics.fidelity == pytest.approx(expected.fidelity, rel=1e-6)


async def test_the_world_hears_of_a_change_soon_and_once(tmp_path: Path) -> None:
    lab = load_lab(lab_file(tmp_path), live=True)
    description = lab.optics()
    assert description is not None
    told: list[tuple[str, float]] = []
    twice = asyncio.Event()

    def change(link: str, *, success_probability: float, outcomes: Any) -> None:
        told.append((link, success_probability))
        if len(told) == 2:
            twice.set()

    light = LabLight(description, 1, change)
    await light.start()
    assert len(told) == 1
    for temperature_c in (39.9, 39.8, 39.7, 39.6):
        light.turn("source.oven_c", temperature_c, 0)
    async with asyncio.timeout(10):
        await twice.wait()
    light.follow()
    assert len(told) == 2
    assert told[1][1] < told[0][1]
    await light.stop()


def test_two_instruments_that_count_the_same_light_count_the_same() -> None:
    light, now = counting_light()
    now[0] += NS_PER_S
    start, stop = now[0] - NS_PER_S // 2, now[0] - NS_PER_S // 4
    both_ps, which = light.tags(["first", "second"], start, stop)
    alone_ps, _ = light.tags(["second"], start, stop)
    assert np.array_equal(both_ps[which == 1], alone_ps)
    assert np.all(np.diff(both_ps) >= 0)
    assert both_ps.min() >= 0
    assert both_ps.max() < (stop - start) * 1000
    assert len(light.tags(["first"], start - 10 * NS_PER_S, start - 9 * NS_PER_S)[0]) == 0
    assert light.counters["tags_too_old"] == 1


def test_counts_are_what_the_gauge_says() -> None:
    """2 x 60 windows of 100 ms; a mean beyond 4 standard errors comes once in 16,000 tests."""
    light, now = counting_light()
    expected_hz = light.gauge("first.count_hz", now[0])
    counts: list[int] = []
    for _ in range(60):
        now[0] += NS_PER_S // 10
        counts.append(len(light.tags(["first"], now[0] - NS_PER_S // 10, now[0])[0]))
    mean_hz = 10.0 * np.mean(counts)
    assert abs(mean_hz - expected_hz) < 4.0 * np.sqrt(expected_hz / 6.0)
    light.turn("lamp.power_w", 0.0, now[0])
    assert light.gauge("first.count_hz", now[0]) == pytest.approx(200.0, rel=1e-9)


def test_a_knob_meets_its_stop_and_nobody_falls() -> None:
    light, now = counting_light()
    light.turn("first.bias_ua", 1e6, now[0])
    assert light.gauge("first.bias_ua", now[0]) == 40.0
    assert light.counters["turns_limited"] == 1
    light.turn("first.bias_ua", 18.0, now[0] - NS_PER_S)  # a clock that lags is no fault of the device
    assert light.gauge("first.bias_ua", now[0]) == 18.0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("source.oven_c}", "sorce.oven_c}"), "no knob, gauge or detector"),
        (("kind: fibre, length_km: 5", "kind: fiber, length_km: 5"), "did you mean"),
        (("length_km: 5", "length_m: 5"), "unknown key"),
        (("[right, bob_memory]", "[right, bob]"), "unknown component"),
        (("    one: {kind: midpoint_source", "    two: {kind: midpoint_source"), "unknown link"),
        (("    one: {kind: midpoint_source", "    one: {kind: sender_receiver"), "unknown key"),
        (("absorbers: [alice_memory, bob_memory]", "absorbers: [alice_memory, left]"), "not a Absorber"),
    ],
)
def test_a_wrong_description_is_a_line_of_the_file(
    tmp_path: Path, change: tuple[str, str], sentence: str
) -> None:
    assert change[0] in LAB
    with pytest.raises(LabProblems) as found:
        load_lab(lab_file(tmp_path, LAB.replace(*change)))
    assert any(sentence in line and "lit.yaml:" in line for line in found.value.lines), found.value.lines


def test_virtual_time_has_the_light_as_it_stands_at_the_start(tmp_path: Path) -> None:
    lab = load_lab(lab_file(tmp_path))
    links, _ = lab.world()
    description = lab.optics()
    assert isinstance(description, OpticsDescription)
    light = LabLight(description, 1, _no_link)
    assert links[0].success_probability == light.physics("one").success_probability
    assert links[0].success_probability != lab.network.links["one"].success_probability


def test_memories_that_wait_for_the_click_decohere_meanwhile(tmp_path: Path) -> None:
    """As the plan believes it: the light of the section is the light of the link's own keys here."""
    memory = "{conversion_efficiency: 0.5, absorption_efficiency: 0.6, herald_efficiency: 0.8, t2_s: 0.001}"
    text = LAB.replace("{t1_s: null, t2_s: null}", memory)
    text = text.replace("efficiency: 0.24}", "efficiency: 0.24, dark_hz: 50, window_ns: 50}")
    lab = load_lab(lab_file(tmp_path, text))
    links, _ = lab.world()
    believed = lab.network.links["one"]
    assert links[0].success_probability == pytest.approx(believed.success_probability, rel=1e-9)
    state = links[0].outcomes[0].state
    assert state[2] == pytest.approx(fidelity(link_state(believed), 0), rel=1e-6)
    assert state[2] < 0.95
