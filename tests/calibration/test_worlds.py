"""Misaligned labs: drawn alike from one seed, wrong as they come, as good as they say when knobs stand right.

Counts against closed forms are at 4 standard errors (false alarm 6e-5 each, 40 of them; seeds are fixed).
"""

from __future__ import annotations

from math import sqrt
from pathlib import Path

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from bellwire.labs import load_lab
from bellwire.simulator_backend.photons.optical_bench import OpticalBench
from bellwire.simulator_backend.photons.sinks import Detector
from tests.calibration.worlds import BestMeeting, BestPairs, Truth, best, lab_text, misaligned, pairs_at

NAMES = ("entangled_photons", "optics_double_click")
WINDOW_PS = 600.0
S = 10**12


def bench_of(folder: Path, text: str) -> OpticalBench:
    path = folder / "lab.yaml"
    path.write_text(text, encoding="utf-8")
    description = load_lab(path).optics()
    assert description is not None
    return OpticalBench(description.layout, 1)


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_is_one_world(name: str) -> None:
    text = lab_text(name)
    assert misaligned(text, 5) == misaligned(text, 5)
    assert misaligned(text, 5) != misaligned(text, 6)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_but_the_hidden_truth_is_changed(name: str) -> None:
    text = lab_text(name)
    changed, truth = misaligned(text, 5)
    before, after = yaml.safe_load(text), yaml.safe_load(changed)
    hidden = after.pop("optics")["components"]
    before.pop("optics")
    before["seed"] = 5
    assert after == before
    for component, fields in truth.components.items():
        assert fields.items() <= hidden[component].items()


def test_a_world_is_wrong_in_every_part(tmp_path: Path) -> None:
    changed, truth = misaligned(lab_text("entangled_photons"), 3)
    bench_of(tmp_path, changed)
    kinds = {
        "source",
        "alice_fibre",
        "bob_fibre",
        "alice_clock",
        "bob_clock",
        "alice_pps",
        "alice_h",
        "bob_choice",
    }
    assert kinds <= set(truth.components)
    clocks = [truth.of(f"{side}_clock", "rate_ppb") for side in ("alice", "bob")]
    assert abs(clocks[0] - clocks[1]) > 10.0
    turns = [np.linalg.norm(truth.of(f"{side}_fibre", "turn_rad")) for side in ("alice", "bob")]
    assert min(turns) > 0.1
    assert max(turns) <= 2.0 * np.pi
    _, other = misaligned(lab_text("optics_double_click"), 3)
    assert 100.0 <= other.of("middle_skew", "position_ps") <= 550.0
    assert other.of("alice_converter", "best_pump_mw") != other.of("bob_converter", "best_pump_mw")


def counted(bench: OpticalBench, truth: Truth, seconds: int) -> NDArray[np.int64]:
    """Coincidences in true time with the detectors' delays taken off and the clocks' jitter put on."""
    tags = bench.tags(0, seconds * S)
    chance = np.random.default_rng(8)
    times: dict[str, list[NDArray[np.float64]]] = {"alice": [], "bob": []}
    channel = 0
    for side, found in times.items():
        jitter_ps = truth.of(f"{side}_clock", "jitter_ps")
        for label in "hvda":
            channel += 1
            mine = tags.time_ps[tags.channel == channel] - truth.of(f"{side}_{label}", "latency_ps")
            found.append(np.sort(mine + chance.normal(0.0, jitter_ps, len(mine))))
    counts = np.zeros((4, 4), np.int64)
    for i, mine in enumerate(times["alice"]):
        for j, theirs in enumerate(times["bob"]):
            low = np.searchsorted(theirs, mine - WINDOW_PS / 2)
            counts[i, j] = int(np.sum(np.searchsorted(theirs, mine + WINDOW_PS / 2) - low))
    return counts


@pytest.mark.parametrize("seed", [1, 2])
def test_the_best_of_a_world_of_pairs_is_counted_when_knobs_stand_right(seed: int, tmp_path: Path) -> None:
    """One second of light."""
    text, truth = misaligned(lab_text("entangled_photons"), seed)
    found = best(text, truth, window_ps=WINDOW_PS)
    assert isinstance(found, BestPairs)
    bench = bench_of(tmp_path, text)
    for knob, value in found.knobs.items():
        bench.turn(knob, value, 0)
    counts = counted(bench, truth, 1)
    total = counts.sum()
    # Dead time is taken at its mean; what one click hides of the next is below a part in a thousand.
    assert abs(total - found.coincidences_hz) < 4.0 * sqrt(total) + 0.001 * total
    for basis, error in ((0, found.error_z), (1, found.error_x)):
        block = counts[2 * basis : 2 * basis + 2, 2 * basis : 2 * basis + 2]
        share = (block[0, 1] + block[1, 0]) / block.sum()
        assert abs(share - error) < 4.0 * sqrt(error / block.sum())
    intrinsic = truth.of("source", "intrinsic_error")
    assert intrinsic < found.error_z < intrinsic + 0.006
    assert intrinsic < found.error_x < intrinsic + 0.006
    assert found.chsh > 2.65
    as_it_comes = pairs_at(text, {}, window_ps=WINDOW_PS)
    assert as_it_comes.visibility < found.visibility - 0.1


@pytest.mark.parametrize("seed", range(4))
def test_no_other_setting_of_paddles_is_better_than_the_best(seed: int) -> None:
    """Three settings around the best one, and three anywhere."""
    text, truth = misaligned(lab_text("entangled_photons"), seed)
    found = best(text, truth)
    assert isinstance(found, BestPairs)
    chance = np.random.default_rng(seed)
    paddles = [knob for knob in found.knobs if "paddles" in knob]
    for k in range(6):
        tried = dict(found.knobs)
        for knob in paddles:
            near = float(np.clip(found.knobs[knob] + chance.normal(0.0, 3.0), 0.0, 170.0))
            tried[knob] = near if k % 2 else float(chance.uniform(0.0, 170.0))
        assert pairs_at(text, tried).visibility <= found.visibility + 1e-4


@pytest.mark.parametrize("seed", range(3))
def test_the_best_of_two_memories_is_near_what_their_photons_allow(seed: int, tmp_path: Path) -> None:
    text, truth = misaligned(lab_text("optics_double_click"), seed)
    found = best(text, truth)
    assert isinstance(found, BestMeeting)
    path = tmp_path / "lab.yaml"
    path.write_text(text, encoding="utf-8")
    description = load_lab(path).optics()
    assert description is not None
    bench = OpticalBench(description.layout, 1)
    link = description.links["alice-bob"]
    assert bench.heralds(link, 0).fidelity < found.fidelity - 0.1
    for knob, value in found.knobs.items():
        bench.turn(knob, value, 0)
    physics = bench.heralds(link, 0)
    assert physics.fidelity == pytest.approx(found.fidelity)
    assert physics.success_probability == pytest.approx(found.success_probability)
    coherence = [truth.of(side, "coherence") for side in ("alice", "bob")]
    whole = truth.of("middle_splitter", "mode_match") * 2.0 / (1.0 / coherence[0] + 1.0 / coherence[1])
    assert (1.0 + whole) / 2.0 - 0.012 < found.fidelity < 1.0  # a window of 10 ns makes photons purer
    for knob in ("alice_converter.pump_mw", "bob_converter.oven_c", "middle_delay.position_ps"):
        bench.turn(knob, found.knobs[knob] + 5.0, 0)
        worse = bench.heralds(link, 0)
        gain = worse.success_probability / found.success_probability - 1.0
        assert gain < 1e-3
        assert worse.fidelity < found.fidelity + 1e-4
        bench.turn(knob, found.knobs[knob], 0)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_dip_of_the_alignment_source_is_as_deep_and_where_it_is_said(seed: int, tmp_path: Path) -> None:
    """A second in the dip and a second far from it."""
    text, truth = misaligned(lab_text("optics_double_click"), seed)
    found = best(text, truth)
    assert isinstance(found, BestMeeting)
    crossed = []
    for delay_ps in (found.dip_ps, 5.0):
        bench = bench_of(tmp_path, text)
        for knob, value in {
            "middle_switch.route_1": 0.0,
            "middle_switch.route_2": 0.0,
            "middle_switch.route_3": 1.0,
            "middle_switch.route_4": 2.0,
            "middle_alignment.pump_mw": 2.0,
            "middle_delay.position_ps": delay_ps,
            "alice.excitation": 0.0,
            "bob.excitation": 0.0,
        }.items():
            bench.turn(knob, value, 0)
        tags = bench.tags(0, S)
        ports = [np.isin(tags.channel, each) for each in ((1, 2), (3, 4))]
        late = np.zeros(len(tags.time_ps))
        for channel in range(1, 5):
            late[tags.channel == channel] = truth.of(f"middle_{channel}", "latency_ps")
        at_ps = tags.time_ps - late
        one, other = (np.sort(at_ps[port]) for port in ports)
        near = np.searchsorted(other, one + 1_000.0) - np.searchsorted(other, one - 1_000.0)
        crossed.append(int(near.sum()))
    depth = 1.0 - crossed[0] / crossed[1]
    error = sqrt(crossed[0] + (crossed[0] ** 2) / crossed[1]) / crossed[1]
    assert abs(depth - found.dip_visibility) < 4.0 * error + 0.004  # two pairs in a pulse: 0.1 %


def test_detectors_have_delays_of_hundreds_of_picoseconds(tmp_path: Path) -> None:
    text, truth = misaligned(lab_text("optics_double_click"), 4)
    path = tmp_path / "lab.yaml"
    path.write_text(text, encoding="utf-8")
    description = load_lab(path).optics()
    assert description is not None
    found = [part for part in description.layout.components.values() if isinstance(part, Detector)]
    assert max(one.latency_ps for one in found) - min(one.latency_ps for one in found) > 100.0
    assert [one.latency_ps for one in found] == [truth.of(f"middle_{k}", "latency_ps") for k in range(1, 5)]
