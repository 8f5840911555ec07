"""Which graph states can be made, and what a Hadamard gate does to a Pauli."""

import pytest

from bellwire.core.star_graphs import GraphEdges, graph_fault, through_hadamard


def edges(text: str) -> GraphEdges:
    return tuple((edge[0], edge[1]) for edge in text.split())


@pytest.mark.parametrize("text", ["ab ac ad", "ba da ca"])
def test_a_star_around_the_first_member_can_be_made_however_its_edges_are_written(text: str) -> None:
    assert graph_fault("abcd", edges(text)) is None


@pytest.mark.parametrize(
    ("members", "text", "said"),
    [
        ("ab", "ab", "ask for pairs"),
        ("abc", "", "without edges"),
        ("abc", "ab ax", "edges name x"),
        ("abc", "ab bc", "the centre of this star is b: make the request there"),
        ("abcd", "ab bc cd", "the graph a-b b-c c-d is no star around a; a star can be made"),
        ("abc", "ab ac bc", "no star"),
        ("abc", "ab ab", "no star"),
        ("abc", "ab ac ca", "no star"),
        ("abcd", "ab ac", "no star"),
        ("abc", "ab aa", "no star"),
    ],
)
def test_any_other_graph_is_refused_with_what_can_be_made(members: str, text: str, said: str) -> None:
    fault = graph_fault(members, edges(text))
    assert fault is not None
    assert said in fault


def test_a_hadamard_gate_exchanges_x_and_z() -> None:
    """H X H = Z, H Z H = X, H Y H = -Y; indices are I, Z, X, Y."""
    assert [through_hadamard(pauli) for pauli in range(4)] == [0, 2, 1, 3]
