"""One round of purification against density matrices, and the ladder of rounds against printed numbers."""

from functools import reduce
from itertools import product
from math import exp, pi
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bellwire.core import bell
from bellwire.core.bell import COST_UNIT_PER_NEPER, Bell, decay_rates, to_walsh, werner
from bellwire.core.purification import Waiting, ladder, pairs_per_product, pumps, purified
from bellwire.core.settings import MemorySettings

Matrix = NDArray[np.complexfloating[Any, Any]]

PAULIS: tuple[Matrix, ...] = (
    np.eye(2, dtype=np.complex128),
    np.diag([1.0 + 0j, -1.0]),
    np.array([[0, 1], [1, 0]], dtype=np.complex128),
    np.array([[0, -1j], [1j, 0]], dtype=np.complex128),
)
"""I, Z, X, Y: the order of Bell indices."""

CNOT: Matrix = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]], dtype=np.complex128)
BELL_VECTORS = tuple(
    np.kron(np.eye(2), pauli) @ np.array([1, 0, 0, 1], dtype=np.complex128) / np.sqrt(2) for pauli in PAULIS
)


def memory(**known: Any) -> MemorySettings:
    settings: dict[str, Any] = {
        "slots": 4,
        "rates": (0, 0, 0),
        "bsm_signs": 0,
        "bsm_cost": (0, 0, 0),
        "bsm_success_probability": 1.0,
        "operation_limit_ns": 1_000_000,
    }
    return MemorySettings(**{**settings, **known})


IDEAL = (memory(), memory())


# ---- an independent calculation: four qubits a1 b1 a2 b2 (kept pair first), 16 x 16


def on(qubits: tuple[int, ...], operator: Matrix) -> Matrix:
    """An operator on one or two of the four qubits, by the action on each basis state."""
    whole = np.zeros((16, 16), dtype=np.complex128)
    for column in range(16):
        bits = [column >> (3 - qubit) & 1 for qubit in range(4)]
        inside = reduce(lambda number, qubit: number * 2 + bits[qubit], qubits, 0)
        for outside in range(len(operator)):
            changed = list(bits)
            for place, qubit in enumerate(qubits):
                changed[qubit] = outside >> (len(qubits) - 1 - place) & 1
            row = reduce(lambda number, bit: number * 2 + bit, changed, 0)
            whole[row, column] += operator[outside, inside]
    return whole


def turned(rho: Matrix, operator: Matrix) -> Matrix:
    return operator @ rho @ operator.conj().T


def spoilt(rho: Matrix, qubits: tuple[int, ...], survival: float) -> Matrix:
    """Replaced by fully mixed qubits with chance 1 - survival: the mean over all Paulis on them."""
    mean = np.zeros_like(rho)
    for paulis in product(PAULIS, repeat=len(qubits)):
        one = rho
        for qubit, pauli in zip(qubits, paulis, strict=True):
            one = turned(one, on((qubit,), pauli))
        mean += one / 4 ** len(qubits)
    return survival * rho + (1 - survival) * mean


def waited(rho: Matrix, qubit: int, times_ns: tuple[int, int, int], duration_ns: int) -> Matrix:
    """Relaxation (twirled), dephasing and depolarising of one qubit, as Pauli channels (11.5)."""
    t1, t2, mixing = times_ns
    flip = (1 - exp(-duration_ns / t1)) / 4
    phase = (1 - exp(-duration_ns / t2)) / 2 - flip
    weights = (1 - 2 * flip - phase, phase, flip, flip)
    rho = sum(
        (weight * turned(rho, on((qubit,), pauli)) for weight, pauli in zip(weights, PAULIS, strict=True)),
        np.zeros_like(rho),
    )
    return spoilt(rho, (qubit,), exp(-duration_ns / mixing))


def rotation(angle: float) -> Matrix:
    turn: Matrix = np.cos(angle / 2) * PAULIS[0] - 1j * np.sin(angle / 2) * PAULIS[2]
    return turn


def simulated(
    kept: Bell,
    measured: Bell,
    frames: tuple[int, int],
    memories: tuple[MemorySettings, MemorySettings],
    times_ns: tuple[tuple[int, int, int], tuple[int, int, int]],
    waits_ns: tuple[tuple[int, int], tuple[int, int]],
    turned_for_ns: tuple[int, int] = (0, 0),
) -> tuple[float, Bell]:
    """Chance that the reported bits agree, and the diagonal of the kept pair if they do."""
    pairs = [
        sum(
            (
                weight * np.outer(BELL_VECTORS[index ^ frame], BELL_VECTORS[index ^ frame].conj())
                for index, weight in enumerate(state)
            ),
            np.zeros((4, 4), dtype=np.complex128),
        )
        for state, frame in zip((kept, measured), frames, strict=True)
    ]
    rho: Matrix = np.kron(pairs[0], pairs[1])
    for pair, first in enumerate((0, 2)):
        for side in (0, 1):
            rho = waited(rho, first + side, times_ns[side], waits_ns[pair][side])
        if frames[pair]:
            rho = turned(rho, on((first + 1,), PAULIS[frames[pair]]))
            rho = spoilt(rho, (first + 1,), memories[1].single_gate_fidelity)
    for side, angle in ((0, pi / 2), (1, -pi / 2)):
        for qubit in (side, 2 + side):
            rho = turned(rho, on((qubit,), rotation(angle)))
            rho = spoilt(rho, (qubit,), memories[side].single_gate_fidelity)
            rho = waited(rho, qubit, times_ns[side], turned_for_ns[side])
        rho = turned(rho, on((side, 2 + side), CNOT))
        rho = spoilt(rho, (side, 2 + side), memories[side].gate_fidelity)
    agreed = np.zeros((4, 4), dtype=np.complex128)
    for a, b in product((0, 1), repeat=2):
        left = rho.reshape((2,) * 8)[:, :, a, b, :, :, a, b].reshape(4, 4)
        m0, m1 = (each.readout_fidelity for each in memories)
        agreed += left * (m0 * m1 + (1 - m0) * (1 - m1) if a == b else m0 * (1 - m1) + (1 - m0) * m1)
    chance = float(np.trace(agreed).real)
    a0, a1, a2, a3 = (float((vector.conj() @ agreed @ vector).real) / chance for vector in BELL_VECTORS)
    return chance, (a0, a1, a2, a3)


KEPT: Bell = (0.9, 0.05, 0.03, 0.02)
MEASURED: Bell = (0.85, 0.08, 0.05, 0.02)


@pytest.mark.parametrize("frames", list(product(range(4), repeat=2)))
def test_a_round_equals_four_qubits_in_every_pair_of_frames(frames: tuple[int, int]) -> None:
    times = ((40_000, 9_000, 70_000), (25_000, 30_000, 50_000))
    memories = (
        memory(
            rates=decay_rates(*times[0]),
            gate_fidelity=0.98,
            readout_fidelity=0.97,
            single_gate_fidelity=0.995,
        ),
        memory(
            rates=decay_rates(*times[1]), gate_fidelity=0.95, readout_fidelity=0.99, single_gate_fidelity=0.99
        ),
    )
    waits = ((1_500, 1_200), (300, 0))
    for turned_for in ((0, 0), (400, 900)):
        chance, state = simulated(KEPT, MEASURED, frames, memories, times, waits, turned_for)
        ours = purified(
            Waiting(to_walsh(KEPT), waits[0], corrected=frames[0] != 0),
            Waiting(to_walsh(MEASURED), waits[1], corrected=frames[1] != 0),
            memories,
            turned_for,
        )
        # Rates are rounded to 2**-56 neper per ns: nothing of that is left in ten digits.
        assert ours.success_probability == pytest.approx(chance, abs=1e-10)
        assert ours.state == pytest.approx(state, abs=1e-10)


def test_without_noise_a_round_has_the_printed_numbers() -> None:
    ours = purified(
        Waiting(to_walsh(KEPT), (0, 0), corrected=True), Waiting(to_walsh(MEASURED), (0, 0), False), IDEAL
    )
    assert ours.success_probability == pytest.approx(0.8108, abs=5e-11)
    printed = (0.9440059201, 0.0431672422, 0.0067834238, 0.0060434139)  # algorithms.md 2.1, DEJMPS
    assert ours.state == pytest.approx(printed, abs=5e-11)


@given(
    st.lists(st.floats(0.01, 1.0), min_size=8, max_size=8),
    st.floats(0.0, 1.0),
    st.integers(0, 10**6),
)
def test_waiting_at_both_ends_adds_up(weights: list[float], share: float, waited_ns: int) -> None:
    """Equal memories: it does not matter which half waited."""
    kept, measured = ((*(w / sum(part) for w in part),) for part in (weights[:4], weights[4:]))
    one = memory(rates=(COST_UNIT_PER_NEPER // 10**6, COST_UNIT_PER_NEPER // 10**7, 10))
    here = round(share * waited_ns)
    k, m = to_walsh((kept[0], kept[1], kept[2], kept[3])), to_walsh((*measured,))  # type: ignore[arg-type]
    split = purified(Waiting(k, (here, waited_ns - here), True), Waiting(m, (0, 0), True), (one, one))
    whole = purified(Waiting(k, (0, waited_ns), True), Waiting(m, (0, 0), True), (one, one))
    assert split == whole


def test_recurrence_of_werner_pairs_purifies_faster_than_one_kept_pair() -> None:
    fresh = werner(0.85)
    nested = ladder(fresh, 3, pumping=False, memories=IDEAL)
    pumped = ladder(fresh, 3, pumping=True, memories=IDEAL)
    assert nested[0] == pumped[0]
    # The first round of Werner pairs has the printed chance and fidelity of 2.2: no twirl has happened yet.
    assert nested[0].success_probability == pytest.approx(0.82, abs=1e-12)
    assert nested[0].state[0] == pytest.approx(0.884146, abs=5e-7)
    # Identical pairs: p = (a0 + a3)^2 + (a1 + a2)^2 and a0' = (a0^2 + a3^2)/p, step by step.
    state = fresh
    for rung in nested:
        a, b, c, d = state
        chance = (a + d) ** 2 + (b + c) ** 2
        state = (
            (a * a + d * d) / chance,
            2 * a * d / chance,
            (b * b + c * c) / chance,
            2 * b * c / chance,
        )
        assert rung.success_probability == pytest.approx(chance, abs=1e-12)
        assert rung.state == pytest.approx(state, abs=1e-12)
    assert nested[2].state[0] > pumped[2].state[0]
    # 2 / p_1 pairs; then twice as many for recurrence, one more for pumping, over p_2.
    p = [rung.success_probability for rung in nested]
    assert pairs_per_product(nested[:2], pumping=False) == pytest.approx(4 / (p[0] * p[1]))
    q = [rung.success_probability for rung in pumped]
    assert pairs_per_product(pumped[:2], pumping=True) == pytest.approx((2 / q[0] + 1) / q[1])
    assert pairs_per_product((), pumping=False) == 1.0


def test_the_first_round_is_the_ledgers_own_map_when_nothing_waits() -> None:
    ours = ladder(KEPT, 1, pumping=False, memories=(memory(gate_fidelity=0.9), memory(readout_fidelity=0.8)))
    theirs = bell.dejmps(KEPT, KEPT, gate_fidelities=(0.9, 1.0), readout_fidelities=(1.0, 0.8))
    assert ours[0].success_probability == pytest.approx(theirs.success_probability, abs=1e-12)
    assert ours[0].state == pytest.approx(theirs.state, abs=1e-12)


@pytest.mark.parametrize(
    ("asked", "rounds", "room", "expected"),
    [
        (False, 1, 2, False),
        (False, 2, 2, True),
        (False, 2, 3, False),
        (False, 1, 1, True),
        (True, 1, 9, True),
    ],
)
def test_pumping_is_done_when_asked_or_when_a_recurrence_has_no_room(
    asked: bool, rounds: int, room: int, expected: bool
) -> None:
    assert pumps(asked, rounds, room) is expected
