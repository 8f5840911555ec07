"""DOT text that a parser of the language accepts, with every step and every line between steps.

Owns the tests of reports/graphviz.py, and a small reader of the part of DOT that it writes.
"""

import re
from typing import NamedTuple

import pytest
from hypothesis import given, settings

from bellwire.planner.assessment import assess
from bellwire.planner.batch.methods import BatchChoice, plan_many
from bellwire.planner.capacity import Residual
from bellwire.planner.methods import plan_pair
from bellwire.planner.multipartite.methods import plan_ghz
from bellwire.planner.reports.any_plan import dot_of
from bellwire.planner.reports.branches import Branch, tree_branch
from bellwire.planner.reports.graphviz import quoted
from bellwire.planner.requests import PairRequest
from bellwire.planner.structures import Tree
from bellwire.planner.topology import Node, Topology, link_between
from tests.planner.reports.trees import line, planned_trees
from tests.planner.single.test_exact import asked, chain

TOKEN = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|(->)|([A-Za-z_][A-Za-z0-9_]*|-?\d+(?:\.\d+)?)|([{}\[\];,=]))')
"""Strings, arrows, identifiers and numerals, signs: the lexical rules of the DOT language."""


class Drawing(NamedTuple):
    labels: dict[str, str]
    edges: set[tuple[str, str]]
    clusters: list[str]


def parsed(text: str) -> Drawing:
    """Read a digraph by the grammar: statements are attributes, nodes, edges and subgraphs."""
    tokens: list[str] = []
    place = 0
    while text[place:].strip():
        found = TOKEN.match(text, place)
        assert found is not None, f"no DOT: {text[place : place + 40]!r}"
        tokens.append(next(group for group in found.groups() if group is not None))
        place = found.end()
    drawing = Drawing({}, set(), [])
    assert tokens[:3] == ["digraph", "plan", "{"]
    assert _statements(tokens, 3, drawing) == len(tokens)
    return drawing


def _statements(tokens: list[str], place: int, drawing: Drawing) -> int:
    while tokens[place] != "}":
        word = tokens[place]
        if word == "subgraph":
            assert tokens[place + 2] == "{"
            drawing.clusters.append(tokens[place + 1])
            place = _statements(tokens, place + 3, drawing)
            continue
        if tokens[place + 1] == "->":
            drawing.edges.add((word, tokens[place + 2]))
            place += 3
        elif tokens[place + 1] == "=":
            place += 3
        else:
            attributes, place = _attributes(tokens, place + 1)
            if word not in ("graph", "node", "edge"):
                drawing.labels[word] = attributes["label"]
        assert tokens[place] == ";"
        place += 1
    return place + 1


def _attributes(tokens: list[str], place: int) -> tuple[dict[str, str], int]:
    assert tokens[place] == "["
    found: dict[str, str] = {}
    place += 1
    while True:
        assert tokens[place + 1] == "="
        found[tokens[place]] = tokens[place + 2]
        place += 3
        if tokens[place] == "]":
            return found, place + 1
        assert tokens[place] == ","
        place += 1


def _count(branch: Branch) -> int:
    return 1 + sum(_count(child) for child in branch.below)


def test_a_chain_is_drawn_with_its_swaps_above_its_links() -> None:
    topology = chain(10.0, 10.0, 10.0)
    drawing = parsed(dot_of(plan_pair(Residual(topology), asked("A", "D")), topology))
    swaps = [label for label in drawing.labels.values() if label.startswith('"swap at')]
    links = [label for label in drawing.labels.values() if label.startswith('"link')]
    assert (len(swaps), len(links), len(drawing.edges)) == (2, 3, 4)
    assert any(r"A – D\n107.3 ms, F " in label for label in swaps)


@given(planned_trees())
@settings(max_examples=60, derandomize=True, deadline=None)
def test_every_tree_is_a_tree_in_dot(case: tuple[Topology, Tree]) -> None:
    topology, tree = case
    drawing = parsed(dot_of(assess(tree, Residual(topology), "made by hand"), topology))
    assert len(drawing.labels) == _count(tree_branch(tree, topology))
    assert len(drawing.edges) == len(drawing.labels) - 1
    below = [end for _, end in drawing.edges]
    assert len(set(below)) == len(below)
    assert {end for edge in drawing.edges for end in edge} <= drawing.labels.keys()


def test_a_batch_has_a_frame_for_each_request() -> None:
    topology = line(3)
    requests = [
        PairRequest(request="long", source="n0", destination="n3", rate_hz=20.0),
        PairRequest(request="short", source="n1", destination="n2", rate_hz=50.0),
    ]
    plan = plan_many(Residual(topology), requests, choice=BatchChoice(objective="fair"))
    drawing = parsed(dot_of(plan, topology))
    assert len(drawing.clusters) == 2
    trees = sum(len(share.trees) for share in plan.shares)
    assert len(drawing.labels) - len(drawing.edges) == trees


def test_a_ghz_plan_hangs_its_pairs_below_its_fusions() -> None:
    topology = chain(10.0, 10.0)
    drawing = parsed(dot_of(plan_ghz(Residual(topology), "ghz", ("A", "B", "C")), topology))
    assert any("fuse and stay at B" in label for label in drawing.labels.values())
    assert len(drawing.labels) == 5


@pytest.mark.parametrize("name", ['the "lab"', "back\\slash", "a; b -> c }", "Zürich"])
def test_names_with_signs_of_the_language_stay_inside_their_strings(name: str) -> None:
    nodes = [Node(name="A"), Node(name=name), Node(name="B")]
    topology = Topology.of(
        nodes, [link_between(nodes[0], nodes[1], 5.0), link_between(nodes[1], nodes[2], 5.0)]
    )
    drawing = parsed(dot_of(plan_pair(Residual(topology), asked("A", "B")), topology))
    assert len(drawing.labels) == 3
    assert any(quoted(name)[1:-1] in label for label in drawing.labels.values())
