"""Every rule of graph algebra against stim, for every measurement outcome on every small random graph."""

from collections.abc import Callable, Iterable
from itertools import product

import hypothesis.strategies as st
import numpy as np
import pytest
import stim
from hypothesis import given, settings

from bellwire.core.errors import LocalMisuse
from bellwire.planner.multipartite.graph_rules import (
    Graph,
    Rule,
    complemented,
    fused,
    graph_of,
    measured_x,
    measured_y,
    measured_z,
    merged_by_bell,
    pivoted,
    renamed,
    swapped_out,
    together,
    toggled,
)

GATES = {"H": "H", "S": "S", "S_DAG": "S_DAG", "SQRT_X": "SQRT_X"}


def prepared(graph: Graph[int]) -> stim.TableauSimulator:
    """|G> by H and CZ on as many qubits as the largest vertex needs."""
    simulator = stim.TableauSimulator()
    for vertex in graph:
        simulator.h(vertex)
    for edge in graph.edges():
        simulator.cz(*edge)
    return simulator


def stabilisers(graph: Graph[int], qubits: int) -> Iterable[stim.PauliString]:
    """X on each vertex with Z on its neighbours."""
    for vertex in graph:
        word = stim.PauliString(qubits)
        word[vertex] = "X"
        for beside in graph.of(vertex):
            word[beside] = "Z"
        yield word


def forced(simulator: stim.TableauSimulator, qubit: int, wanted: bool) -> bool:
    """Z measurement with a wanted result; False where that result cannot come."""
    known: int = simulator.peek_z(qubit)
    if known:
        return (known < 0) == wanted
    simulator.postselect_z(qubit, desired_value=wanted)
    return True


def outcomes_that_hold(
    graph: Graph[int],
    rule: Rule[int],
    operate: Callable[[stim.TableauSimulator], None],
    measured: tuple[int, ...] = (),
) -> int:
    """The rule leaves its graph for every outcome of the Z measurements after `operate`; how many came."""
    came = 0
    for bits in product((False, True), repeat=len(measured)):
        simulator = prepared(graph)
        operate(simulator)
        if not all(forced(simulator, qubit, bit) for qubit, bit in zip(measured, bits, strict=True)):
            continue
        came += 1
        for gate, vertex in rule.cliffords:
            getattr(simulator, GATES[gate].lower())(vertex)
        for vertex in rule.always:
            simulator.z(vertex)
        for bit, flips in zip(bits, rule.flips, strict=True):
            for vertex in flips if bit else ():
                simulator.z(vertex)
        for word in stabilisers(rule.graph, max(graph) + 1):
            assert simulator.peek_observable_expectation(word) == 1
    return came


@st.composite
def graphs(draw: st.DrawFn, least: int = 2, most: int = 7) -> Graph[int]:
    size = draw(st.integers(least, most))
    chance = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    density = chance.uniform(0.1, 1.0)
    return graph_of(range(size), [(i, j) for i in range(size) for j in range(i) if chance.random() < density])


@settings(deadline=None, derandomize=True, max_examples=200)
@given(graphs(), st.integers(0, 6))
def test_local_complementation_is_a_local_clifford(graph: Graph[int], pick: int) -> None:
    vertex = pick % len(list(graph))
    rule = complemented(graph, vertex)
    assert outcomes_that_hold(graph, rule, lambda _: None) == 1
    assert complemented(rule.graph, vertex).graph == graph


@settings(deadline=None, derandomize=True, max_examples=200)
@given(graphs(), st.integers(0, 1000))
def test_a_pivot_is_a_hadamard_on_both_ends_of_an_edge(graph: Graph[int], pick: int) -> None:
    edges = sorted(tuple(sorted(edge)) for edge in graph.edges())
    if not edges:
        return
    a, b = edges[pick % len(edges)]
    rule = pivoted(graph, a, b)
    assert outcomes_that_hold(graph, rule, lambda _: None) == 1
    thrice = complemented(complemented(complemented(graph, a).graph, b).graph, a).graph
    assert rule.graph == thrice


@settings(deadline=None, derandomize=True, max_examples=300)
@given(graphs(), st.integers(0, 1000), st.sampled_from("XYZ"))
def test_a_measurement_deletes_its_vertex(graph: Graph[int], pick: int, basis: str) -> None:
    vertex = pick % len(list(graph))
    beside = sorted(graph.of(vertex))

    def operate(simulator: stim.TableauSimulator) -> None:
        if basis != "Z":
            (simulator.h if basis == "X" else simulator.h_yz)(vertex)

    specials = beside if basis == "X" and beside else [None]
    for special in specials:
        if basis == "X":
            rule = measured_x(graph, vertex, special)
        else:
            rule = (measured_y if basis == "Y" else measured_z)(graph, vertex)
        came = outcomes_that_hold(graph, rule, operate, (vertex,))
        assert came == (1 if basis == "X" and not beside else 2)
        assert vertex not in rule.graph


@settings(deadline=None, derandomize=True, max_examples=400)
@given(graphs(), st.integers(0, 1000), st.integers(1, 1000))
def test_a_fusion_makes_one_vertex_of_two(graph: Graph[int], pick: int, step: int) -> None:
    """Also of neighbours, and of two vertices of one graph, which closes a cycle."""
    size = len(list(graph))
    kept = pick % size
    measured = (kept + 1 + step % (size - 1)) % size

    def operate(simulator: stim.TableauSimulator) -> None:
        simulator.cx(kept, measured)

    rule = fused(graph, kept, measured)
    assert outcomes_that_hold(graph, rule, operate, (measured,)) == 2
    assert rule.graph.of(kept) == (graph.of(kept) - {measured}) ^ (graph.of(measured) - {kept})


@settings(deadline=None, derandomize=True, max_examples=200)
@given(graphs(1, 4), graphs(1, 4))
def test_fusion_of_two_graphs_adds_their_neighbours(one: Graph[int], other: Graph[int]) -> None:
    shift = len(list(one))
    moved = graph_of(
        (vertex + shift for vertex in other),
        [(a + shift, b + shift) for a, b in map(tuple, other.edges())],
    )
    both = together(one, moved)
    rule = fused(both, 0, shift)
    assert outcomes_that_hold(both, rule, lambda sim: sim.cx(0, shift), (shift,)) == 2
    assert rule.graph.of(0) == one.of(0) | moved.of(shift)


def test_a_fused_leaf_extends_a_path_and_two_leaves_join_two_paths() -> None:
    pair_and_path = graph_of(range(5), [(0, 1), (1, 2), (3, 4)])  # path 0-1-2 and pair 3-4
    longer = fused(pair_and_path, 2, 3).graph
    assert longer == graph_of((0, 1, 2, 4), [(0, 1), (1, 2), (2, 4)])
    paths = graph_of(range(6), [(0, 1), (1, 2), (3, 4), (4, 5)])
    joined = fused(paths, 2, 3).graph
    assert joined == graph_of((0, 1, 2, 4, 5), [(0, 1), (1, 2), (2, 4), (4, 5)])
    stars = graph_of(range(6), [(0, 1), (0, 2), (3, 4), (3, 5)])
    assert fused(stars, 0, 3).graph == graph_of((0, 1, 2, 4, 5), [(0, 1), (0, 2), (0, 4), (0, 5)])


def _rotated_bell(simulator: stim.TableauSimulator, one: int, other: int) -> None:
    """A Bell-state measurement with an H on its second input, up to the two Z measurements."""
    simulator.h(other)
    simulator.cx(one, other)
    simulator.h(one)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(graphs(2, 5), graphs(2, 5))
def test_a_swap_in_graph_language_joins_the_neighbours(one: Graph[int], other: Graph[int]) -> None:
    shift = len(list(one))
    moved = graph_of(
        (vertex + shift for vertex in other),
        [(a + shift, b + shift) for a, b in map(tuple, other.edges())],
    )
    both = together(one, moved)
    rule = swapped_out(both, 0, shift)
    assert outcomes_that_hold(both, rule, lambda sim: _rotated_bell(sim, 0, shift), (0, shift)) == 4
    for u in one.of(0):
        assert rule.graph.of(u) == (one.of(u) - {0}) | moved.of(shift)


def test_the_four_outcomes_of_a_swap_put_the_frames_of_the_text() -> None:
    """Section 4.3: I -> (I,I), Z -> (I,Z), X -> (Z,I), Y -> (Z,Z) on (u, w) for the Pauli on b1."""
    u, b1, b2, w = range(4)
    two_pairs = graph_of(range(4), [(u, b1), (b2, w)])
    rule = swapped_out(two_pairs, b1, b2)
    assert rule.graph == graph_of((u, w), [(u, w)])
    frames = {}
    for pauli in "IZXY":
        # the rotated basis state with this Pauli on b1 is projected on: its CZ-rotated bits are the outcome
        state = stim.TableauSimulator()
        state.h(b1)
        state.h(b2)
        state.cz(b1, b2)
        state.do_pauli_string(stim.PauliString(4) if pauli == "I" else stim.PauliString(f"_{pauli}__"))
        _rotated_bell(state, b1, b2)
        bits = (state.peek_z(b1) < 0, state.peek_z(b2) < 0)
        flipped = [vertex for bit, flips in zip(bits, rule.flips, strict=True) if bit for vertex in flips]
        frames[pauli] = ("Z" if u in flipped else "I", "Z" if w in flipped else "I")
    assert frames == {"I": ("I", "I"), "Z": ("I", "Z"), "X": ("Z", "I"), "Y": ("Z", "Z")}
    assert outcomes_that_hold(two_pairs, rule, lambda sim: _rotated_bell(sim, b1, b2), (b1, b2)) == 4


@settings(deadline=None, derandomize=True, max_examples=200)
@given(graphs(1, 4), graphs(1, 4))
def test_a_plain_bell_measurement_merges_the_neighbours_of_two_leaves(
    one: Graph[int], other: Graph[int]
) -> None:
    """The leaves are new vertices on the first vertex of each graph."""
    shift = len(list(one))
    size = shift + len(list(other))
    edges = [(a, b) for a, b in map(tuple, one.edges())]
    edges += [(a + shift, b + shift) for a, b in map(tuple, other.edges())]
    whole = graph_of(range(size + 2), [*edges, (0, size), (shift, size + 1)])

    def operate(simulator: stim.TableauSimulator) -> None:
        simulator.cx(size, size + 1)
        simulator.h(size)

    rule = merged_by_bell(whole, size, size + 1)
    assert outcomes_that_hold(whole, rule, operate, (size, size + 1)) == 4
    assert rule.graph.of(shift) == {0}
    assert rule.graph.of(0) == {shift} | one.of(0) | {each + shift for each in other.of(0)}


def test_an_edge_is_toggled_by_a_gate() -> None:
    graph = graph_of("abc", [("a", "b")])
    assert toggled(graph, [("a", "b"), ("b", "c")]) == graph_of("abc", [("b", "c")])
    assert renamed(graph, "b", "d") == graph_of("adc", [("a", "d")])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: graph_of("aa"),
        lambda: graph_of("ab", [("a", "a")]),
        lambda: graph_of("ab", [("a", "b"), ("b", "a")]),
        lambda: graph_of("ab", [("a", "c")]),
        lambda: graph_of("ab").of("c"),
        lambda: fused(graph_of("ab"), "a", "a"),
        lambda: fused(graph_of("ab"), "a", "c"),
        lambda: pivoted(graph_of("ab"), "a", "b"),
        lambda: together(graph_of("ab"), graph_of("bc")),
        lambda: toggled(graph_of("ab"), [("a", "a")]),
        lambda: renamed(graph_of("ab"), "a", "b"),
        lambda: swapped_out(graph_of("ab", [("a", "b")]), "a", "b"),
        lambda: swapped_out(graph_of("abc", [("a", "b"), ("b", "c")]), "a", "c"),
        lambda: merged_by_bell(graph_of("abc", [("a", "b"), ("b", "c")]), "a", "c"),
    ],
)
def test_a_rule_refuses_what_it_does_not_describe(wrong: Callable[[], object]) -> None:
    with pytest.raises(LocalMisuse):
        wrong()
