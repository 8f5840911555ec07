"""The fidelity that the ledger tells of a GHZ state, against density matrices worked out here with numpy."""

from functools import reduce
from math import exp, log
from random import Random

import numpy as np
import numpy.typing as npt
import pytest

from bellwire.core.bell import COST_UNIT_PER_NEPER, Bell, Cost, bsm_cost, to_walsh
from bellwire.core.facts import Born, Fact, Fused, Swapped
from bellwire.core.ids import End, LinkId, NodeId
from bellwire.gem.fold import Fold

Matrix = npt.NDArray[np.complex128]

I2 = np.eye(2, dtype=complex)
X = np.array([[0, 1], [1, 0]], dtype=complex)
Z = np.diag([1.0, -1.0]).astype(complex)
PAULIS = (I2, Z, X, X @ Z)
BELL = [
    np.array(row, dtype=complex) / np.sqrt(2)
    for row in ([1, 0, 0, 1], [1, 0, 0, -1], [0, 1, 1, 0], [0, 1, -1, 0])
]
RATES: Cost = (
    round(0.03 * COST_UNIT_PER_NEPER),
    round(0.01 * COST_UNIT_PER_NEPER),
    round(0.03 * COST_UNIT_PER_NEPER),
)
"""Of one qubit per ns: <X> and <Y> shrink by exp(-0.03 t), <Z> by exp(-0.01 t)."""


def cost_of(*eigenvalues: float) -> Cost:
    one, two, three = (round(-log(value) * COST_UNIT_PER_NEPER) for value in eigenvalues)
    return (one, two, three)


class Qubits:
    """A density matrix over named qubits. Slow and plain."""

    def __init__(self) -> None:
        self.names: list[End] = []
        self.rho: Matrix = np.ones((1, 1), dtype=complex)
        self.since: dict[End, int] = {}

    def add(self, one: End, other: End, absolute: Bell, now: int) -> None:
        pair = sum(weight * np.outer(BELL[i], BELL[i].conj()) for i, weight in enumerate(absolute))
        self.rho = np.asarray(np.kron(self.rho, pair), dtype=np.complex128)
        self.names += [one, other]
        self.since |= {one: now, other: now}

    def on(self, operators: dict[End, Matrix]) -> Matrix:
        return reduce(
            np.kron, (operators.get(name, I2) for name in self.names), np.ones((1, 1), dtype=complex)
        )

    def channel(self, terms: list[tuple[float, dict[End, Matrix]]]) -> None:
        full = [(weight, self.on(operators)) for weight, operators in terms]
        self.rho = sum((w * k @ self.rho @ k.conj().T for w, k in full), np.zeros_like(self.rho))

    def age(self, name: End, now: int) -> None:
        phase, flip = exp(-0.03 * (now - self.since[name])), exp(-0.01 * (now - self.since[name]))
        self.since[name] = now
        weights = ((1 + 2 * phase + flip) / 4, (1 - 2 * phase + flip) / 4, (1 - flip) / 4, (1 - flip) / 4)
        self.channel([(w, {name: p}) for w, p in zip(weights, PAULIS, strict=True)])

    def flip_phase(self, name: End, chance: float) -> None:
        self.channel([(1 - chance, {}), (chance, {name: Z})])

    def cnot(self, control: End, target: End, gate: float) -> None:
        up, down = np.diag([1.0, 0.0]).astype(complex), np.diag([0.0, 1.0]).astype(complex)
        gate_matrix = self.on({control: up}) + self.on({control: down, target: X})
        self.rho = gate_matrix @ self.rho @ gate_matrix.conj().T
        mixed = [((1 - gate) / 16, {control: p, target: q}) for p in PAULIS for q in PAULIS]
        self.channel([(gate, {}), *mixed])

    def read(self, name: End, basis: str, readout: float, draw: float) -> int:
        turn = (X + Z) / np.sqrt(2) if basis == "X" else I2
        chosen: list[Matrix] = []
        for bit in (0, 1):
            bra = turn[bit : bit + 1]
            kraus = reduce(
                np.kron,
                (bra if other == name else I2 for other in self.names),
                np.ones((1, 1), dtype=complex),
            )
            chosen.append(kraus @ self.rho @ kraus.conj().T)
        told = [readout * chosen[bit] + (1 - readout) * chosen[1 - bit] for bit in (0, 1)]
        weights = [float(np.trace(each).real) for each in told]
        bit = int(draw >= weights[0])
        self.rho = told[bit] / weights[bit]
        self.names.remove(name)
        return bit

    def fidelity(self, paulis: dict[End, int]) -> float:
        ghz = np.zeros(2 ** len(self.names), dtype=complex)
        ghz[0] = ghz[-1] = 1 / np.sqrt(2)
        turned = self.on({name: PAULIS[index] for name, index in paulis.items()}) @ ghz
        return float((turned.conj() @ self.rho @ turned).real)


class Bench:
    """The same history for a fold and for density matrices."""

    gate, readout, phase = 0.93, 0.96, 0.02

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.qubits = Qubits()
        self.fold = Fold(lambda link, side: link.split("-")[side])
        self.now = 0
        self.facts: list[tuple[NodeId, Fact]] = []

    def pair(self, link: LinkId) -> tuple[End, End]:
        self.now += self.random.randrange(3)
        number = len(self.facts)
        ends = (End(link, 1, number, 0, 0), End(link, 1, number, 0, 1))
        rest = [self.random.random() for _ in range(3)]
        loss = self.random.uniform(0.05, 0.2)
        errors = [loss * part / sum(rest) for part in rest]
        relative = (1 - sum(errors), errors[0], errors[1], errors[2])
        frame = self.random.randrange(4)
        a0, a1, a2, a3 = (relative[index ^ frame] for index in range(4))
        self.qubits.add(*ends, (a0, a1, a2, a3), self.now)
        walsh = to_walsh(relative)
        for end in ends:
            born = Born(
                end=end, slot=0, generation=number, request="r", tree=0, frame=frame, signs=walsh.signs,
                cost=walsh.cost, rates=RATES, at_ns=self.now, sigma_ns=0,
            )  # fmt: skip
            self.tell(end, born)
        return ends

    def tell(self, end: End, fact: Fact) -> None:
        self.facts.append((end.link.split("-")[end.side], fact))

    def waited(self, end: End) -> int:
        return self.now - next(f.at_ns for _, f in self.facts if isinstance(f, Born) and f.end == end)

    def fuse(self, kept: End, measured: End) -> None:
        self.now += self.random.randrange(3)
        wait = self.waited(measured)
        for end in (kept, measured):
            self.qubits.age(end, self.now)
            self.qubits.flip_phase(end, self.phase)
        self.qubits.cnot(kept, measured, self.gate)
        bit = self.qubits.read(measured, "Z", self.readout, self.random.random())
        calm = 1 - 2 * self.phase
        read = 2 * self.readout - 1
        phase, flip = exp(-0.03 * wait), exp(-0.01 * wait)
        fact = Fused(
            kept=kept, measured=measured, result="ok", bit=bit, kept_cost=cost_of(calm, 1, calm),
            measured_cost=cost_of(calm * phase, read * flip, calm * read * phase),
            mixed_cost=cost_of(self.gate, 1, 1)[0], at_ns=self.now,
        )  # fmt: skip
        self.tell(kept, fact)

    def swap(self, left: End, right: End) -> None:
        self.now += self.random.randrange(3)
        waited = self.waited(left) + self.waited(right)
        for end in (left, right):
            self.qubits.age(end, self.now)
            self.qubits.flip_phase(end, self.phase)
        self.qubits.cnot(left, right, self.gate)
        draws = (self.random.random(), self.random.random())
        x = self.qubits.read(right, "Z", self.readout, draws[0])
        z = self.qubits.read(left, "X", self.readout, draws[1])
        noise = bsm_cost(self.gate, self.readout, self.phase)
        a, b, c = (n + r * waited for n, r in zip(noise.cost, RATES, strict=True))
        fact = Swapped(
            left=left, right=right, result="ok", outcome=z | x << 1, signs=0, cost=(a, b, c), at_ns=self.now
        )
        self.tell(left, fact)

    def folded(self) -> None:
        """Fold everything, authors mixed at random."""
        lines: dict[NodeId, list[Fact]] = {}
        for author, fact in self.facts:
            lines.setdefault(author, []).append(fact)
        while lines:
            author = self.random.choice(sorted(lines))
            self.fold.apply(author, 1, lines[author].pop(0))
            if not lines[author]:
                del lines[author]

    def check(self, size: int) -> float:
        """Fold everything, authors mixed at random, and compare."""
        self.now += 2
        self.folded()
        assert len(self.qubits.names) == size
        for end in self.qubits.names:
            self.qubits.age(end, self.now)
        head = self.qubits.names[0]
        assert set(self.fold.members(head)) == set(self.qubits.names)
        chain = self.fold.chain(head)
        assert chain is not None
        paulis = {
            end: self.fold.turned(head, end) if end != head else chain.frame & 1 for end in self.qubits.names
        }
        truth = self.qubits.fidelity(paulis)
        walsh = self.fold.state(head, self.now)
        told = (1 + 3 * (-1) ** (walsh.signs & 1) * exp(-walsh.cost[0] / COST_UNIT_PER_NEPER)) / 4
        assert told == pytest.approx(truth, abs=1e-9)
        return truth


@pytest.mark.parametrize("seed", range(8))
def test_a_star_of_three_pairs_is_a_ghz_state_of_four(seed: int) -> None:
    bench = Bench(seed)
    (_, a), (b, _), (c, _) = bench.pair("a-v"), bench.pair("v-b"), bench.pair("v-c")
    bench.fuse(a, b)
    bench.fuse(a, c)
    assert bench.check(4) > 0.3


@pytest.mark.parametrize("seed", range(8))
def test_fusions_at_two_nodes_commute_with_each_other(seed: int) -> None:
    bench = Bench(seed)
    (_, a), (b, c), (d, _) = bench.pair("a-v"), bench.pair("v-w"), bench.pair("w-b")
    if seed % 2:
        bench.fuse(a, b)
        bench.fuse(d, c)
    else:
        bench.fuse(c, d)
        bench.fuse(b, a)
    assert bench.check(4) > 0.3


@pytest.mark.parametrize("seed", range(8))
def test_a_relay_with_three_branches_leaves_by_a_bell_measurement(seed: int) -> None:
    bench = Bench(seed)
    (_, a), (b, _), (c, _) = bench.pair("a-v"), bench.pair("v-b"), bench.pair("v-c")
    bench.fuse(a, b)
    if seed % 2:
        bench.swap(a, c)
    else:
        bench.swap(c, a)
    assert bench.check(3) > 0.3


@pytest.mark.parametrize("seed", range(4))
def test_a_swap_on_the_way_to_a_group_joins_its_branches(seed: int) -> None:
    bench = Bench(seed)
    (_, a), (b, c), (d, _) = bench.pair("a-v"), bench.pair("v-w"), bench.pair("w-b")
    if seed % 2:
        bench.fuse(a, b)
        bench.swap(c, d)
    else:
        bench.swap(c, d)
        bench.fuse(a, b)
    assert bench.check(3) > 0.3


def test_a_fused_pair_of_pairs_has_the_frame_of_its_bit() -> None:
    """Perfect qubits: the ledger's Paulis turn what was measured into a GHZ state exactly."""
    for seed in range(20):
        bench = Bench(seed)
        bench.gate = bench.readout = 1.0
        bench.phase = 0.0
        (_, a), (b, _) = bench.pair("a-v"), bench.pair("v-b")
        bench.fuse(a, b)
        assert bench.check(3) > 0.5
