"""Heralds of links whose photons are stored: a source in the middle, or one memory that sends.

Comparisons with counts are at 4 standard errors (false alarm 6e-5 each), seeds fixed.
"""

from dataclasses import replace
from math import exp, pi, sin, sqrt

import numpy as np
import pytest

from bellwire.core.bell import decay_rates
from bellwire.core.errors import ConfigError
from bellwire.simulator_backend.photons.converter import Converter
from bellwire.simulator_backend.photons.heralding import MidpointSourceLink, SenderReceiverLink, Waiting
from bellwire.simulator_backend.photons.passive import (
    Analyser,
    Attenuator,
    Fibre,
    Paddles,
    PolarisingSplitter,
    Switch,
)
from bellwire.simulator_backend.photons.sinks import Absorber, Detector
from bellwire.simulator_backend.photons.sources import Emitter, PairSource
from tests.simulator_backend.photons.benches import PERFECT
from tests.simulator_backend.photons.counting import S, bench_of, within


def midpoint(analysed, seed=7, **source):
    """A source between two memories, or between two analysers with detectors as good as the memories."""
    parts = {
        "source": PairSource(
            **({"period_ps": 10_000, "entangled": "psi_plus", "pump_mw": 10.0, "oven_fwhm_k": 2.0} | source)
        ),
        "fibre_a": Fibre(length_km=2.0),
        "fibre_b": Fibre(length_km=2.0, attenuation_db_per_km=0.5),
        "loss": Attenuator(),
    }
    wires = ["source.signal > fibre_a", "source.idler > loss", "loss > fibre_b"]
    if not analysed:
        parts |= {"alice": Absorber(efficiency=0.6), "bob": Absorber(efficiency=0.5)}
        return bench_of(parts, *wires, "fibre_a > alice", "fibre_b > bob", seed=seed)
    for side, efficiency, name in (("a", 0.6, "fibre_a"), ("b", 0.5, "fibre_b")):
        parts |= {
            f"plate_{side}": Analyser(),
            f"pbs_{side}": PolarisingSplitter(extinction=0.0),
        }
        for k, port in enumerate("hv"):
            parts[f"{side}{port}"] = Detector(
                channel=2 * "ab".index(side) + k, dark_hz=0.0, **(PERFECT | {"efficiency": efficiency})
            )
            wires.append(f"pbs_{side}.{port} > {side}{port}")
        wires += [f"{name} > plate_{side}", f"plate_{side} > pbs_{side}"]
    return bench_of(parts, *wires, seed=seed)


MIDPOINT = MidpointSourceLink(source="source", absorbers=("alice", "bob"))


@pytest.mark.parametrize(
    ("pump_mw", "oven_c", "schmidt", "error"),
    [(10.0, 40.0, 1.0, 0.02), (30.0, 40.0, 1.0, 0.0), (30.0, 40.8, 1.0, 0.02), (30.0, 40.0, 4.0, 0.02)],
)
def test_a_midpoint_source_heralds_what_detectors_in_place_of_the_memories_count(
    pump_mw, oven_c, schmidt, error
):
    # 0.2 s: 2e7 pulses in each of two bases. Gain Q by clicks on both sides; a side whose detectors both
    # click gets a random bit, here half of each. F = (1 + 3 w)/4, w = 1 - 2 E.
    settings = {"schmidt_number": schmidt, "intrinsic_error": error}
    truth = midpoint(False, **settings)
    bench = midpoint(True, **settings)
    for one in (truth, bench):
        one.turn("source.pump_mw", pump_mw, 0)
        one.turn("source.oven_c", oven_c, 0)
    physics = truth.heralds(MIDPOINT, 0)
    wrong = found = 0.0
    for k, plate_deg in enumerate((0.0, 22.5)):
        for side in "ab":
            bench.turn(f"plate_{side}.angle_deg", plate_deg, k * 200_000_000)
        start, stop = k * S // 5, (k + 1) * S // 5
        tags = bench.tags(start, stop)
        slots = (tags.time_ps - start + 5_000) // 10_000
        clicks = np.zeros(20_000_001, dtype=np.int8)
        np.bitwise_or.at(clicks, slots, (1 << tags.channel).astype(np.int8))
        counted = np.bincount(clicks, minlength=16)
        for pattern in range(16):
            ah, av, bh, bv = ((pattern >> bit) & 1 for bit in range(4))
            if (ah or av) and (bh or bv):
                found += counted[pattern]
                # Psi+: opposite in H/V, alike in D/A.
                mistake = float(ah == bh) if k == 0 else float(ah != bh)
                wrong += counted[pattern] * (0.5 if ah == av or bh == bv else mistake)
    within(found, 4e7 * physics.success_probability)
    qber = wrong / found
    w = (4.0 * physics.fidelity - 1.0) / 3.0
    assert abs(qber - (1.0 - w) / 2.0) < 4.0 * sqrt(qber * (1.0 - qber) / found)


def test_a_wrong_oven_lowers_the_rate_of_a_midpoint_source_and_a_wrong_pump_its_fidelity():
    bench = midpoint(False)
    best = bench.heralds(MIDPOINT, 0)
    bench.turn("source.oven_c", 41.0, 0)  # half the pairs
    cold = bench.heralds(MIDPOINT, 0)
    assert cold.success_probability == pytest.approx(best.success_probability / 2.0, rel=0.1)
    assert cold.fidelity > best.fidelity  # fewer pairs at once
    bench.turn("source.oven_c", 40.0, 0)
    bench.turn("source.pump_mw", 100.0, 0)
    bright = bench.heralds(MIDPOINT, 0)
    assert bright.success_probability > 5.0 * best.success_probability
    assert bright.fidelity < best.fidelity - 0.2
    bench.turn("source.pump_mw", 0.0, 0)
    assert bench.heralds(MIDPOINT, 0).success_probability < 1e-25


# ---- sender-receiver


def sending(**converter):
    parts = {
        "alice": Emitter(emission=0.4, period_ps=100_000_000),
        "qfc": Converter(**({"noise_hz": 0.0, "noise_hz_per_mw": 40.0} | converter)),
        "fibre": Fibre(length_km=10.0),
        "paddles": Paddles(insertion_loss_db=0.0),
        "switch": Switch(ports=2, insertion_loss_db=0.5, crosstalk_db=60.0),
        "bob": Absorber(efficiency=0.5, dark_hz=1_000.0, window_ns=200.0),
    }
    return bench_of(
        parts, "alice > qfc", "qfc > fibre", "fibre > paddles", "paddles > switch.in_1", "switch.out_1 > bob"
    )


SENDING = SenderReceiverLink(emitter="alice", absorber="bob", intrinsic_fidelity=0.97)


@pytest.mark.parametrize("pump_mw", [40.0, 150.0, 250.0, 500.0])
def test_a_sender_is_heard_through_its_converter_and_its_noise(pump_mw):
    bench = sending()
    bench.turn("qfc.pump_mw", pump_mw, 0)
    physics = bench.heralds(SENDING, 0)
    path = 10 ** (-2.5 / 10.0) * 0.5
    signal = 0.4 * 0.67 * 0.69 * sin(pi / 2.0 * sqrt(pump_mw / 250.0)) ** 2 * path
    dark = (1.0 - signal) * (1.0 - exp(-(1_000.0 + 40.0 * pump_mw * path) * 200e-9))
    assert physics.success_probability == pytest.approx(signal + dark, rel=1e-9)
    # An empty herald leaves the code's state in a quarter of all cases.
    assert physics.fidelity == pytest.approx((0.97 * signal + 0.25 * dark) / (signal + dark), rel=1e-9)


def test_a_qubit_that_waits_for_its_photon_dephases_as_its_memory_does():
    # T2 = 1 ms for 0.1 ms: coherences fall by exp(-0.1), populations stay.
    bench = sending(noise_hz_per_mw=0.0)
    fresh = bench.heralds(SENDING, 0)
    rates = decay_rates(None, 1_000_000, None)
    waited = bench.heralds(replace(SENDING, waiting=(Waiting(rates, 100_000),)), 0)
    (before,), (after,) = fresh.outcomes, waited.outcomes
    psi_plus, psi_minus = before.state[2:]
    assert waited.success_probability == fresh.success_probability
    assert after.state[2] + after.state[3] == pytest.approx(psi_plus + psi_minus)
    assert after.state[2] - after.state[3] == pytest.approx((psi_plus - psi_minus) * exp(-0.1))


def test_a_switch_turned_away_leaves_a_receiver_only_its_darks():
    bench = sending(noise_hz_per_mw=0.0)
    bench.turn("switch.route_1", 0.0, 0)
    physics = bench.heralds(SENDING, 0)
    assert physics.success_probability == pytest.approx(1.0 - exp(-1_000.0 * 200e-9))
    assert physics.fidelity == pytest.approx(0.25)


def test_a_midpoint_source_must_be_pulsed_and_entangled():
    for wrong in ({"period_ps": None}, {"entangled": None}):
        with pytest.raises(ConfigError, match="must be pulsed and entangled"):
            midpoint(False, **wrong).heralds(MIDPOINT, 0)
