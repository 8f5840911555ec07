"""What a fusion writes into its facts about the gates that turned a qubit before."""

from math import exp

import msgspec
import pytest

from bellwire.core.bell import COST_UNIT_PER_NEPER
from bellwire.swapping.fusion_noise import fusion_noise
from tests.node.networks import chain

GATE = 0.98
"""Weight of the perfect gate of one qubit: it scales <X>, <Y> and <Z> by that (algorithms.md 11.6)."""


@pytest.mark.parametrize("turns", [0, 1, 2])
def test_gates_before_a_fusion_scale_all_three_directions_of_either_qubit(turns: int) -> None:
    memory = chain().nodes["r"].memory
    assert memory is not None
    noise = fusion_noise(msgspec.structs.replace(memory, single_gate_fidelity=GATE))
    told = (noise.kept_after(turns), noise.measured_after((7, 11, 13), 1_000, turns))
    plain = (noise.kept_after(0), noise.measured_after((7, 11, 13), 1_000, 0))
    for cost, before in zip(told, plain, strict=True):
        scaled = [exp((b - a) / COST_UNIT_PER_NEPER) for a, b in zip(cost, before, strict=True)]
        assert scaled == pytest.approx([GATE**turns] * 3, abs=1e-9)
