"""Turns X-Y-X before a measurement: exact chances with qutip's rotations, and the same bits in both forms.

Seeds are fixed. Angles are steps of 2 pi / 256, as in the link service's words.
"""

import random
import warnings
from collections.abc import Iterator
from math import exp, sqrt, tau

import numpy as np
import pytest

from bellwire.core import bell
from bellwire.core.bell import Bell
from bellwire.simulator_backend.chance import Chance
from bellwire.simulator_backend.world import HeraldOutcome, LinkTruth, MemoryTruth, World
from bellwire.simulator_backend.world_gates import cluster_of
from bellwire.simulator_backend.world_pairs import Rotation

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "matplotlib not found")  # its plots are not asked for here
    import qutip

STATE: Bell = (0.8, 0.1, 0.07, 0.03)
READOUT, SINGLE, T1, T2 = 0.93, 0.98, 2_000_000, 1_500_000
OBSERVABLES = {"X": qutip.sigmax(), "Y": qutip.sigmay(), "Z": qutip.sigmaz()}
BELLS = [
    qutip.tensor(qutip.qeye(2), pauli) * qutip.bell_state("00")
    for pauli in (qutip.qeye(2), qutip.sigmaz(), qutip.sigmax(), qutip.sigmay())
]


class Scripted(Chance):
    """Measurements give what the script says, in order; all else is drawn."""

    __slots__ = ("_numbers",)

    def __init__(self, *numbers: float) -> None:
        super().__init__(1)
        self._numbers: Iterator[float] = iter(numbers)

    def uniform(self, *key: int | str) -> float:
        return next(self._numbers) if key[0] == "measure" else super().uniform(*key)


def with_a_pair(frame: int, seed: int = 1, state: Bell = STATE) -> tuple[World, int]:
    link = LinkTruth(
        name="L", nodes=("a", "b"), period_ns=1_000, success_probability=1.0, lanes=1, click_delay_ns=400,
        outcomes=(HeraldOutcome(1, 1.0, bell.permute(state, 2)),),
    )  # fmt: skip
    memories = [
        MemoryTruth(
            node=node, slots=1, t1_ns=T1, t2_ns=T2, readout_fidelity=READOUT, single_gate_fidelity=SINGLE
        )
        for node in "ab"
    ]
    world = World([link], memories, seed)
    for node in "ab":
        planned = world.arm(node, 0, "L", 0, 1, 0, 0, 9, 0)
    assert planned is not None
    world.realise(planned, planned.at_ns)
    pair = world._slot("a", 0).pair
    assert pair is not None
    pair.frame = frame
    return world, planned.at_ns


def observable(basis: str, rotation: Rotation) -> np.ndarray:
    """The observable before the turns, with the noise of turns and readout as a weight."""
    x, y, z = (step * tau / 256 for step in rotation)
    turns = (
        (-0.5j * z * qutip.sigmax()).expm()
        * (-0.5j * y * qutip.sigmay()).expm()
        * (-0.5j * x * qutip.sigmax()).expm()
    )
    weight = (2 * READOUT - 1) * SINGLE ** sum(step != 0 for step in rotation)
    return np.asarray((weight * (turns.dag() * OBSERVABLES[basis] * turns)).full())


def correlation(frame: int, ages: tuple[int, int], observables: list[np.ndarray]) -> float:
    """Mean product of the two reported signs."""
    absolute = bell.permute(STATE, frame)
    rho = sum(absolute[i] * BELLS[i].proj() for i in range(4)).full()
    for qubit, age in enumerate(ages):
        bit, phase = (1 - exp(-age / T1)) / 4, (1 - exp(-age / T2)) / 2
        weights = (1 - bit - phase, phase - bit, bit, bit)
        parts = (qutip.qeye(2), qutip.sigmaz(), qutip.sigmax(), qutip.sigmay())
        kraus = [
            (qutip.tensor(part, qutip.qeye(2)) if qubit == 0 else qutip.tensor(qutip.qeye(2), part)).full()
            for part in parts
        ]
        rho = sum(weight * one @ rho @ one.conj().T for weight, one in zip(weights, kraus, strict=True))
    return float(np.trace(np.kron(*observables) @ rho).real)


@pytest.mark.parametrize("frame", range(4))
def test_turned_measurements_correlate_as_the_rotations_of_quantum_mechanics_say(frame: int) -> None:
    """60 random choices of bases and turns; the second bit changes exactly at its chance given the first."""
    rng = random.Random(frame)
    for _ in range(60):
        bases = [rng.choice("XYZ") for _ in "ab"]
        turns: list[Rotation] = [
            (rng.choice([0, 32, rng.randrange(256)]), rng.choice([0, rng.randrange(256)]), rng.randrange(256))
            for _ in "ab"
        ]
        ages = (rng.randrange(300_000), rng.randrange(300_000))
        mean = correlation(frame, ages, [observable(*one) for one in zip(bases, turns, strict=True)])
        order = rng.sample((0, 1), 2)
        for first_bit in (0, 1):
            zero = (1 + (-1) ** first_bit * mean) / 2
            for uniform, expected in ((zero - 1e-9, 0), (zero + 1e-9, 1)):
                world, born_ns = with_a_pair(frame)
                world._chance = Scripted(0.25 + 0.5 * first_bit, uniform)
                bits = [
                    world.measure("ab"[side], 0, bases[side], born_ns + ages[side], turns[side])
                    for side in order
                ]
                assert bits == [first_bit, expected]


def test_the_chsh_bases_are_turns_about_y_by_224_and_by_32_steps() -> None:
    """Z+45 = (Z + X)/sqrt 2 is read in Z after (0, 224, 0), Z-45 = (Z - X)/sqrt 2 after (0, 32, 0)."""
    plus, minus = observable("Z", (0, 224, 0)), observable("Z", (0, 32, 0))
    weight = (2 * READOUT - 1) * SINGLE
    x, z = (np.asarray(OBSERVABLES[basis].full()) for basis in "XZ")
    assert plus == pytest.approx(weight * (z + x) / sqrt(2), abs=1e-12)
    assert minus == pytest.approx(weight * (z - x) / sqrt(2), abs=1e-12)


def test_fast_pairs_and_clusters_report_the_same_bits_after_turns() -> None:
    """400 pairs; one of the twins is a cluster from the beginning."""
    ones = 0
    for seed in range(400):
        rng = random.Random(seed)
        twins = [with_a_pair(seed % 4, seed) for _ in range(2)]
        slow, born_ns = twins[1]
        cluster_of(slow._slot("a", 0), born_ns)
        deeds = [
            (node, rng.choice("XYZ"), (rng.randrange(256), rng.choice([0, 64]), rng.randrange(256)))
            for node in rng.sample("ab", 2)
        ]
        wait_ns = rng.randrange(300_000)
        bits = [
            [world.measure(node, 0, basis, born_ns + wait_ns, turns) for node, basis, turns in deeds]
            for world, _ in twins
        ]
        assert bits[0] == bits[1], (seed, deeds)
        ones += sum(bits[0])
        assert [world.occupied("a") for world, _ in twins] == [(), ()]
    assert 320 < ones < 480


def test_no_turn_is_no_gate() -> None:
    """A measurement without turns, or with whole turns, has no noise of one-qubit gates: equal chances."""
    for rotation in ((0, 0, 0), (256, 0, 512)):
        world, born_ns = with_a_pair(0, state=(1.0, 0.0, 0.0, 0.0))
        zero = (1 + (2 * READOUT - 1) ** 2) / 2
        for uniform, expected in ((zero - 1e-9, 0), (zero + 1e-9, 1)):
            world, born_ns = with_a_pair(0, state=(1.0, 0.0, 0.0, 0.0))
            world._chance = Scripted(0.1, uniform)
            bits = [world.measure(node, 0, "Z", born_ns, rotation) for node in "ab"]
            assert bits == [0, expected]
