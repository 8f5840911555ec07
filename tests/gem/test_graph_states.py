"""Graph states in the fold: signs and fidelity after Hadamard gates in the tree, against density matrices.

The members of every state here are ends of one tree of links; a gate turns an end before its node fuses it,
so that an edge of the graph lies where the gate was. Facts of different authors come in random order.
"""

from math import exp

import numpy as np
import pytest

from bellwire.core.bell import COST_UNIT_PER_NEPER
from bellwire.core.facts import Corrected
from bellwire.core.ids import End
from tests.gem.test_group_noise import Bench, X, Z

HADAMARD = (X + Z) / np.sqrt(2.0)

Edge = tuple[End, End]


class Turning(Bench):
    """With Hadamard gates, and graph states to compare with."""

    def turn(self, end: End, pauli: int = 0) -> None:
        """A gate without noise, at random times; then a Pauli."""
        self.now += self.random.randrange(3)
        self.qubits.age(end, self.now)
        self.qubits.channel([(1.0, {end: HADAMARD})])
        self.qubits.channel([(1.0, {end: (np.eye(2, dtype=complex), Z, X, X @ Z)[pauli]})])
        self.tell(end, Corrected(end=end, pauli=pauli, at_ns=self.now, hadamard=True))

    def compared(self, edges: tuple[Edge, ...], leaves: tuple[End, ...] = ()) -> float:
        """The ledger's fidelity is that of the density matrix; leaves are turned last, for the comparison."""
        self.now += 2
        self.folded()
        names = self.qubits.names
        assert set(self.fold.members(names[0])) == set(names)
        for end in names:
            self.qubits.age(end, self.now)
        walsh = self.fold.state(names[0], self.now)
        told = (1 + 3 * (-1) ** (walsh.signs & 1) * exp(-walsh.cost[0] / COST_UNIT_PER_NEPER)) / 4
        for leaf in leaves:
            self.qubits.channel([(1.0, {leaf: HADAMARD})])
        signs = self.fold.signs(names[0], frozenset(names) - set(leaves))
        vector = graph_vector(names, edges, signs)
        truth = float(np.real(vector @ self.qubits.rho @ vector))
        assert told == pytest.approx(truth, abs=1e-9)
        return truth


def graph_vector(names: list[End], edges: tuple[Edge, ...], signs: dict[End, int]) -> np.ndarray:
    """Amplitudes of prod Z**sign prod CZ |+>^n, bit i of the index (from the left) that of names[i]."""
    bits = np.array([[number >> place & 1 for place in reversed(range(len(names)))] for number in
                     range(1 << len(names))])  # fmt: skip
    place = {name: index for index, name in enumerate(names)}
    ones = sum(bits[:, place[a]] & bits[:, place[b]] for a, b in edges)
    ones = ones + sum(bits[:, place[name]] * sign for name, sign in signs.items())
    return np.asarray((-1.0) ** ones / np.sqrt(len(bits)), dtype=np.float64)


@pytest.mark.parametrize("seed", range(8))
def test_a_turned_half_of_a_pair_is_an_edge_between_two_vertices(seed: int) -> None:
    bench = Turning(seed)
    a, v = bench.pair("a-v")
    bench.turn(v, seed % 4)
    assert bench.compared(((a, v),)) > 0.6


@pytest.mark.parametrize("seed", [0, 3, 5, 6])
def test_a_path_of_four_has_the_signs_and_the_fidelity_of_its_density_matrix(seed: int) -> None:
    bench = Turning(seed)
    (a, v), (out, w), (last, b) = bench.pair("a-v"), bench.pair("v-w"), bench.pair("w-b")

    def at_v() -> None:
        bench.turn(v)
        bench.fuse(*((v, out) if seed & 2 else (out, v)))

    def at_w() -> None:
        bench.turn(w)
        bench.fuse(*((w, last) if seed & 4 else (last, w)))

    for act in (at_v, at_w) if seed & 1 else (at_w, at_v):
        act()
    middle, end = (v if seed & 2 else out), (w if seed & 4 else last)
    assert bench.compared(((a, middle), (middle, end), (end, b)), (b,)) > 0.25


@pytest.mark.parametrize("seed", range(4))
def test_edges_reach_through_relays_and_a_vertex_may_have_three(seed: int) -> None:
    """c - v - (b, d), and a before it: the edge to a goes through a relay that swaps."""
    bench = Turning(seed)
    (a, r), (s, v), (b, x) = bench.pair("a-r"), bench.pair("r-v"), bench.pair("b-v")
    if seed & 1:
        bench.swap(r, s)
        bench.turn(v)
    else:
        bench.turn(v)
        bench.swap(r, s)
    bench.fuse(v, x)
    d, y = bench.pair("d-v")
    bench.fuse(v, y)
    assert bench.compared(((a, v), (v, b), (v, d)), (b, d)) > 0.2


@pytest.mark.parametrize("seed", range(3))
def test_a_hub_that_is_no_member_may_hold_two_vertices_of_a_path(seed: int) -> None:
    """a - b - c - d around a hub: a and b meet in one vertex, c and d in another, and a turned Bell
    measurement puts the edge between them; the outer edges lie at a and d, which turn theirs."""
    bench = Turning(seed)
    (a, h1), (b, h2) = bench.pair("a-h"), bench.pair("b-h")
    bench.fuse(h2, h1)
    (c, h3), (d, h4) = bench.pair("c-h"), bench.pair("d-h")
    bench.fuse(h3, h4)
    bench.turn(h2)
    bench.swap(h2, h3)
    assert bench.compared(((a, b), (b, c), (c, d)), (a, d)) > 0.1


def test_a_qubit_that_is_turned_twice_is_as_it_was() -> None:
    bench = Turning(3)
    _, v = bench.pair("a-v")
    bench.turn(v)
    bench.turn(v)
    out, _ = bench.pair("v-b")
    bench.fuse(v, out)
    assert bench.check(3) > 0.3
