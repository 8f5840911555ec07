"""Which graph states can be asked for, and what tails do for a sign of the source."""

from itertools import product

import numpy as np
import pytest

from bellwire.core.graph_states import MEMBERS_MAX, GraphEdges, graph_fault, members_fault, tail_frames
from bellwire.simulator_backend.clusters import CLUSTER_MAX


def edges(text: str) -> GraphEdges:
    return tuple((edge[0], edge[1]) for edge in text.split())


@pytest.mark.parametrize("text", ["ab ac ad", "ba da ca", "ab bc cd", "ab bc bd", "cd cb ba", "bc bd ab"])
def test_a_tree_can_be_asked_for_however_its_edges_are_written(text: str) -> None:
    assert graph_fault("abcd", edges(text)) is None


@pytest.mark.parametrize(
    ("members", "text", "said"),
    [
        ("ab", "ab", "ask for pairs"),
        ("abc", "", "without edges"),
        ("abc", "ab ax", "edges name x"),
        ("abc", "ab ac bc", "has a cycle: 3 edges between 3 vertices"),
        ("abcd", "ab bc cd da", "leave out 1 of its edges"),
        ("abc", "ab ac ca", "names an edge twice"),
        ("abcd", "ab ac", "leaves d apart"),
        ("abcde", "ab cd de ec", "leaves c, d, e apart"),
        ("abc", "ab aa", "joins a vertex to itself"),
        ("abcdefg", "ab bc cd de ef fg", "at most 6"),
    ],
)
def test_any_other_graph_is_refused_with_what_can_be_made(members: str, text: str, said: str) -> None:
    fault = graph_fault(members, edges(text))
    assert fault is not None
    assert said in fault


def test_the_largest_state_is_the_largest_that_the_world_can_follow() -> None:
    """A relay that leaves last holds two qubits besides those of the members."""
    assert MEMBERS_MAX + 2 == CLUSTER_MAX
    assert members_fault("abcdef") is None
    assert "leave members out" in str(members_fault("abcdefg"))


PAULIS = (
    np.eye(2),
    np.diag([1.0, -1.0]),
    np.array([[0.0, 1.0], [1.0, 0.0]]),
    np.array([[0.0, 1.0], [-1.0, 0.0]]),
)


@pytest.mark.parametrize("text", ["ab ac ad", "ab bc cd", "ba bc bd", "ad dc db", "ac cb cd"])
def test_tails_mend_all_signs_and_the_source_does_nothing(text: str) -> None:
    """Vectors of 16 numbers: Paulis of b, c and d bring Z^s|G> back to |G>, for every s."""
    wanted = edges(text)
    numbers = [np.array(bits) for bits in product((0, 1), repeat=4)]
    ones = [sum(int(bits["abcd".index(x)] * bits["abcd".index(y)]) for x, y in wanted) for bits in numbers]
    graph = (-1.0) ** np.array(ones) / 4.0
    for signs in product((0, 1), repeat=4):
        moved = graph * np.array([(-1.0) ** int(bits @ np.array(signs)) for bits in numbers])
        frames = tail_frames("abcd", wanted, dict(zip("abcd", signs, strict=True)))
        operator = np.eye(1)
        for name in "abcd":
            operator = np.kron(operator, PAULIS[frames.get(name, 0)])
        assert abs(graph @ operator @ moved) == pytest.approx(1.0)
