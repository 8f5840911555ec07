"""What a request for GHZ states may ask for, at its source and in a lab file, and what its nodes are told."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bellwire.labs import load_lab
from bellwire.labs.problems import LabProblems
from bellwire.planner.plans import compute_plan
from bellwire.transport.request_records import fault_of
from tests.simulation.ghz_labs import COMB, tree_lab

LAB = tree_lab(COMB, ("a", "b", "c", "d"))
(REQUEST,) = LAB.requests

FILE = """
lab: star
nodes:
  a: {role: end}
  b: {role: end}
  c: {role: end}
  r: {role: repeater}
links:
  ar: {nodes: [a, r], attempt: {period_us: 100, success_probability: 0.1, fidelity: 0.98}}
  br: {nodes: [b, r], attempt: {period_us: 100, success_probability: 0.1, fidelity: 0.98}}
  cr: {nodes: [c, r], attempt: {period_us: 100, success_probability: 0.1, fidelity: 0.98}}
requests:
  - {id: ghz, from: a, ghz_with: [b], to: c, count: 5}
"""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"target_nodes": ("a", "b")}, "three different members or more"),
        ({"target_nodes": ("a", "b", "a")}, "three different members or more"),
        ({"target_nodes": ("b", "a", "c")}, "submit at the first"),
        ({"target_nodes": ("a", "r", "b")}, "r is a repeater"),
        ({"target_nodes": ("a", "x", "b")}, r"unknown nodes \['x'\]"),
        ({"consumption": "measure"}, "keep their qubits"),
        ({"rounds": True}, "are for pairs"),
        ({"link_purification": 1}, "are for pairs"),
        ({"edges": (("a", "b"),)}, "edges are for graph states"),
        ({"entanglement_type": "graph"}, "without edges"),
        ({"entanglement_type": "graph", "edges": (("a", "b"), ("b", "c"), ("c", "a"))}, "leaves d apart"),
        ({"target_nodes": tuple("abcdefg")}, "at most 6 are possible"),
    ],
)
def test_a_request_that_no_ghz_state_can_serve_is_refused_with_the_reason(
    change: dict[str, Any], said: str
) -> None:
    assert fault_of(REQUEST, LAB.network, "a") is None
    fault = fault_of(msgspec.structs.replace(REQUEST, **change), LAB.network, "a")
    assert fault is not None
    assert re.search(said, fault)


def test_a_lab_file_may_ask_for_ghz_states(tmp_path: Path) -> None:
    path = tmp_path / "star.yaml"
    path.write_text(FILE, encoding="utf-8")
    (request,) = load_lab(path).requests
    assert request.target_nodes == ("a", "b", "c")
    assert request.entanglement_type == "ghz"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("ghz_with: [b]", "ghz_with: [bb]", 'unknown node "bb"'),
        ("ghz_with: [b]", "ghz_with: [r]", '"r" is a repeater; members are end nodes'),
        ("ghz_with: [b]", "ghz_with: [a]", "names a member twice"),
        ("count: 5", "count: 5, consumption: measure", "GHZ states are kept"),
        ("ghz_with: [b]", "graph: [[a, b], [a, c], [b, c]]", "a-b a-c b-c has a cycle"),
        ("ghz_with: [b]", "graph: [[a, b]]", "leaves c apart"),
        ("ghz_with: [b]", "ghz_with: [b, d, e, f, g]", "7 members; at most 6 are possible"),
        ("ghz_with: [b]", "graph: [[a, b], [a, cc], [a, c]]", 'unknown node "cc"'),
        ("ghz_with: [b]", "ghz_with: [b], graph: [[a, b], [a, c]]", "two kinds of states; give one"),
    ],
)
def test_a_lab_file_that_asks_for_an_impossible_ghz_state_is_told_where(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    path = tmp_path / "star.yaml"
    path.write_text(FILE.replace(old, new), encoding="utf-8")
    with pytest.raises(LabProblems, match=re.escape(said)):
        load_lab(path)


def test_every_node_of_a_tree_gets_its_links_and_is_told_whether_it_stays() -> None:
    plan = compute_plan(LAB.network, REQUEST, 1)
    assert not isinstance(plan, str)
    assert set(plan.nodes) == {"a", "b", "c", "d", "r", "s"}
    for name, part in plan.nodes.items():
        assert part.fusion is not None
        assert part.fusion.members == ("a", "b", "c", "d")
        assert part.fusion.retains is (name in "abcd")
        assert set(part.fusion.branches) == {link.link for link in part.links}
        assert part.role == {"a": "source", "r": "inner", "s": "inner"}.get(name, "destination")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"generation_mode": "oldest"}, "swap_asap, score, fixed_tree"),
        ({"fidelity_threshold": 0.999}, "0.999"),
    ],
)
def test_a_plan_that_cannot_be_says_why(changes: dict[str, Any], said: str) -> None:
    lab = tree_lab(COMB, ("a", "b", "c", "d"), noisy=True)
    found = compute_plan(lab.network, msgspec.structs.replace(REQUEST, **changes), 1)
    assert isinstance(found, str)
    assert said in found


def test_a_fixed_order_names_one_join_less_than_the_tree_has_links() -> None:
    plan = compute_plan(LAB.network, msgspec.structs.replace(REQUEST, generation_mode="fixed_tree"), 1)
    assert not isinstance(plan, str)
    steps = [step for part in plan.nodes.values() if part.fusion for step in part.fusion.steps]
    assert len(steps) == len(COMB) - 1
