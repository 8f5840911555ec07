"""Fusions in the World against density matrices of qutip, and their chance."""

from math import sqrt
from typing import Any

import numpy as np
import pytest
import qutip

from bellwire.core.bell import permute, werner
from bellwire.core.errors import LocalMisuse
from bellwire.core.photonics import HeraldOutcome
from bellwire.simulator_backend.world import LinkTruth, MemoryTruth, World
from bellwire.simulator_backend.world_fusions import GroupTruth

Qobj = Any
"""qutip tells no types of its operators."""

PERIOD_NS = 1_000
GATE, READOUT, FLIP = 0.95, 0.97, 0.01


def world(seed: int, success: float = 1.0, fidelity: float = 0.9, *, noisy: bool = True) -> World:
    """Three pairs a-v, v-b, v-c, all born in attempt 0; v holds slots 0, 1, 2."""
    links = [
        LinkTruth(
            name=name, nodes=nodes, period_ns=PERIOD_NS, success_probability=1.0,
            outcomes=(HeraldOutcome(1, 1.0, permute(werner(fidelity), frame)),),
            lanes=1, click_delay_ns=0,
        )
        for name, nodes, frame in (("a-v", ("a", "v"), 2), ("v-b", ("v", "b"), 3), ("v-c", ("v", "c"), 1))
    ]  # fmt: skip
    memories = [
        MemoryTruth(
            node=node, slots=3, bsm_success_probability=success,
            gate_fidelity=GATE if noisy else 1.0, readout_fidelity=READOUT if noisy else 1.0,
            phase_flip=FLIP if noisy else 0.0,
        )
        for node in "abcv"
    ]  # fmt: skip
    made = World(links, memories, seed)
    for slot, (link, far) in enumerate((("a-v", "a"), ("v-b", "b"), ("v-c", "c"))):
        made.arm("v", slot, link, 0, 1, 0, 0, 10, 0)
        planned = made.arm(far, 0, link, 0, 1, 0, 0, 10, 0)
        assert planned is not None
        assert made.realise(planned, planned.at_ns) is not None
    return made


X: Qobj = qutip.sigmax()
Z: Qobj = qutip.sigmaz()


def pauli(index: int) -> Qobj:
    return (qutip.qeye(2), Z, X, X * Z)[index]


def on(place: int, operator: Qobj) -> Qobj:
    return qutip.tensor([operator if index == place else qutip.qeye(2) for index in range(4)])


def expected(bit: int) -> Qobj:
    """Pairs (0, 1) of frame X, (2, 3) of frame Y; CNOT 1 -> 2, Z of 2 reported as `bit`; qubits 0, 1, 3."""
    pairs: list[Qobj] = []
    for frame in (2, 3):
        bell = (qutip.basis([2, 2], [0, 0]) + qutip.basis([2, 2], [1, 1])).unit()
        weights = (0.9, 0.1 / 3, 0.1 / 3, 0.1 / 3)
        states = [qutip.tensor(pauli(index ^ frame), qutip.qeye(2)) * bell for index in range(4)]
        pairs.append(sum(weight * state.proj() for weight, state in zip(weights, states, strict=True)))
    rho = qutip.tensor(*pairs)
    for place in (1, 2):
        rho = (1 - FLIP) * rho + FLIP * on(place, Z) * rho * on(place, Z)
    zero, one = qutip.basis(2, 0).proj(), qutip.basis(2, 1).proj()
    cnot = on(1, zero) + on(1, one) * on(2, X)
    rho = cnot * rho * cnot.dag()
    mixed = qutip.tensor(rho.ptrace(0), qutip.qeye(2) / 2, qutip.qeye(2) / 2, rho.ptrace(3))
    outer = rho.ptrace([0, 3])
    mixed = qutip.tensor(outer, qutip.qeye(2) / 2, qutip.qeye(2) / 2).permute([0, 2, 3, 1])
    rho = GATE * rho + (1 - GATE) * mixed
    told: Qobj = sum(
        weight * on(2, projector) * rho * on(2, projector)
        for weight, projector in ((READOUT, (zero, one)[bit]), (1 - READOUT, (one, zero)[bit]))
    )
    return told.ptrace([0, 1, 3]).unit()


@pytest.mark.parametrize("seed", range(6))
def test_a_noisy_fusion_leaves_the_density_matrix_that_qutip_finds(seed: int) -> None:
    made = world(seed)
    bit = made.fuse("v", 0, 1, 0)
    assert bit is not None
    truth = made.group_truth("v", 0, 0)
    assert truth is not None
    assert truth.nodes == ("a", "v", "b")
    np.testing.assert_allclose(truth.density, expected(bit).full(), atol=1e-12)


def test_both_bits_come_and_both_leave_ghz_states_of_all_four_after_a_second_fusion() -> None:
    """Perfect gates and pairs. X on all other qubits of the measured state for a bit of 1, frames besides."""
    bits: set[int] = set()
    for seed in range(12):
        made = world(seed, fidelity=1.0, noisy=False)
        first, second = made.fuse("v", 0, 1, 0), made.fuse("v", 0, 2, 0)
        assert first is not None
        assert second is not None
        bits |= {first, second}
        truth = made.group_truth("v", 0, 0)
        assert truth is not None
        by_node = dict(zip(truth.nodes, truth.ends, strict=True))
        # Frames: X on a-v, Y on v-b, Z on v-c. A bit reads the difference of X errors of v's two qubits.
        paulis = {by_node["a"]: 2, by_node["b"]: (first ^ 1) << 1, by_node["c"]: second << 1}
        assert truth.ghz_fidelity(paulis) == pytest.approx(1.0, abs=1e-9)
        assert truth.has_frame_zero() is (truth.ghz_fidelity() > 0.5)
    assert bits == {0, 1}


def test_a_fusion_fails_as_often_as_a_bell_measurement_and_then_both_qubits_are_gone() -> None:
    """600 worlds: four standard errors of a share of 0.4 are 0.08; false alarm 6e-5."""
    failed = 0
    for seed in range(600):
        made = world(seed, success=0.4)
        if made.fuse("v", 0, 1, 0) is None:
            failed += 1
            assert made.occupied("v") == (2,)
            assert made.occupied("a") == made.occupied("b") == (0,)
            assert made.truth("a", 0, 0) is None
        else:
            assert made.occupied("v") == (0, 2)
    assert abs(failed / 600 - 0.6) < 4 * sqrt(0.6 * 0.4 / 600)


def test_a_qubit_is_not_fused_with_itself() -> None:
    with pytest.raises(LocalMisuse, match="with itself"):
        world(1).fuse("v", 0, 0, 0)


@pytest.mark.parametrize(
    "edges", [(("a", "b"), ("b", "c")), (("b", "a"), ("a", "c")), (("c", "a"), ("c", "b"))]
)
def test_weights_of_a_graph_state_are_those_of_its_generators_signs(
    edges: tuple[tuple[str, str], ...],
) -> None:
    """Made by qutip: |+> three times, a CZ for each edge, Z on a with 0.1 and X on c with 0.2. An X is a
    Z on all neighbours."""
    place = {"a": 0, "b": 1, "c": 2}
    plus = (qutip.basis(2, 0) + qutip.basis(2, 1)).unit()
    state = qutip.tensor(plus, plus, plus)
    for one, other in edges:
        ones = [qutip.qeye(2)] * 3
        ones[place[one]] = ones[place[other]] = qutip.basis(2, 1).proj()
        state = state - 2 * qutip.tensor(*ones) * state
    rho = state.proj()
    for name, pauli_matrix, chance in (("a", qutip.sigmaz(), 0.1), ("c", qutip.sigmax(), 0.2)):
        factors = [qutip.qeye(2)] * 3
        factors[place[name]] = pauli_matrix
        error = qutip.tensor(*factors)
        rho = (1 - chance) * rho + chance * error * rho * error
    truth = GroupTruth((), ("a", "b", "c"), rho.full())
    beside_c = sum(4 >> place[x if y == "c" else y] for x, y in edges if "c" in (x, y))
    wanted = np.zeros(8)
    for first, second in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = (0.1 if first else 0.9) * (0.2 if second else 0.8)
        wanted[(4 * first) ^ (beside_c * second)] += weight
    np.testing.assert_allclose(truth.graph_weights(edges), wanted, atol=1e-12)
    fidelity, plain = truth.of_graph(edges)
    assert fidelity == pytest.approx(wanted[0])
    assert plain
    again = GroupTruth.of_parts((), truth.nodes, truth.density_parts())
    assert again.graph_weights(edges) == truth.graph_weights(edges)
