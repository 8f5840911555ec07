"""The turn that a fibre has from the beginning, against Malus and the Poincare sphere."""

from __future__ import annotations

from math import cos, pi

import numpy as np
import pytest

from bellwire.simulator_backend.photons.elements import Drift
from bellwire.simulator_backend.photons.jones import PAULIS, STATES
from bellwire.simulator_backend.photons.layout import BenchLayout, Part
from bellwire.simulator_backend.photons.optical_bench import OpticalBench
from bellwire.simulator_backend.photons.passive import Fibre, Paddles, PolarisingSplitter
from bellwire.simulator_backend.photons.sinks import PowerMeter
from bellwire.simulator_backend.photons.sources import Laser


def test_light_turns_about_the_axis_of_the_fibre_by_its_angle() -> None:
    """Stokes vectors by the formula of Rodrigues."""
    vector = np.array([0.4, -1.1, 0.7])
    (passage,) = Fibre(turn_rad=(0.4, -1.1, 0.7)).passages("in", 1550.0, {}, Drift())
    angle, axis = np.linalg.norm(vector), vector / np.linalg.norm(vector)
    for state in STATES.values():
        before = np.array([float((state.conj() @ pauli @ state).real) for pauli in PAULIS[1:]])
        after = passage.jones @ state
        found = np.array([float((after.conj() @ pauli @ after).real) for pauli in PAULIS[1:]])
        expected = (
            before * np.cos(angle)
            + np.cross(axis, before) * np.sin(angle)
            + axis * (axis @ before) * (1 - np.cos(angle))
        )
        # The vectors are told in the order of the Paulis Z, X, Y, which are a right-handed frame.
        assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("angle", [0.0, 0.5, pi / 2, pi])
def test_a_turn_about_the_diagonal_axis_moves_power_as_malus_says(angle: float) -> None:
    parts: dict[str, Part] = {
        "lamp": Laser(power_w=1.0),
        "fibre": Fibre(turn_rad=(0.0, angle, 0.0)),
        "splitter": PolarisingSplitter(extinction=0.0),
        "h": PowerMeter(),
        "v": PowerMeter(),
    }
    wires = (("lamp", "fibre"), ("fibre", "splitter"), ("splitter.h", "h"), ("splitter.v", "v"))
    bench = OpticalBench(BenchLayout(parts, wires), 1)
    assert bench.gauge("h.power_w", 0) == pytest.approx(cos(angle / 2.0) ** 2, abs=1e-12)


def test_three_paddles_undo_a_turn_that_they_can_reach() -> None:
    """A half-wave plate at 45 degrees is the turn by pi about D/A; a further one brings light back."""
    parts: dict[str, Part] = {
        "lamp": Laser(power_w=1.0),
        "fibre": Fibre(turn_rad=(0.0, pi, 0.0)),
        "plate": Paddles(retardances_waves=(0.0, 0.5, 0.0), insertion_loss_db=0.0),
        "splitter": PolarisingSplitter(extinction=0.0),
        "h": PowerMeter(),
    }
    wires = (("lamp", "fibre"), ("fibre", "plate"), ("plate", "splitter"), ("splitter.h", "h"))
    bench = OpticalBench(BenchLayout(parts, wires), 1)
    assert bench.gauge("h.power_w", 0) == pytest.approx(0.0, abs=1e-12)
    bench.turn("plate.angle_2_deg", 45.0, 0)
    assert bench.gauge("h.power_w", 0) == pytest.approx(1.0, abs=1e-12)
