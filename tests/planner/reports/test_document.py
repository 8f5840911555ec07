"""Documents are strict JSON, and a reader can work out a plan's promises from them anew.

Owns the tests of reports/document.py, instruction_document.py and plain_values.py.
"""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings

from bellwire.core.ids import PairId
from bellwire.planner.assessment import PairPlan, assess
from bellwire.planner.batch.methods import BatchChoice, plan_many
from bellwire.planner.capacity import Residual
from bellwire.planner.instructions import instructions_of
from bellwire.planner.methods import METHODS, plan_pair
from bellwire.planner.multipartite.methods import plan_ghz
from bellwire.planner.reports.any_plan import document_of
from bellwire.planner.reports.plain_values import as_json
from bellwire.planner.requests import Options, PairRequest
from bellwire.planner.structures import LinkLeaf, StoredLeaf, Tree, swapped
from bellwire.planner.topology import Node, Topology, link_between
from tests.planner.reports.trees import line, planned_trees
from tests.planner.single.test_exact import asked, chain


def read(plan: Any, topology: Topology, options: Options | None = None) -> dict[str, Any]:
    """The document as another program reads it; NaN and Infinity are refused."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    text = as_json(document_of(plan, topology, options))
    found: dict[str, Any] = json.loads(text, parse_constant=refuse)
    return found


def eq1_s(node: dict[str, Any], waiting: str) -> float:
    """Eq. 1 and section 2.2 from the document alone."""
    if not node["children"]:
        return float(node["latency_s"])
    one_s, other_s = (eq1_s(child, waiting) for child in node["children"])
    in_turn = node["kind"] == "purify" and node["pumping"]
    if in_turn or one_s == 0.0 or other_s == 0.0 or waiting == "sum":
        made_s = one_s + other_s
    elif waiting == "max":
        made_s = max(one_s, other_s)
    elif waiting == "three_halves":
        made_s = 1.5 * max(one_s, other_s)
    else:
        made_s = one_s + other_s - one_s * other_s / (one_s + other_s)
    return float((made_s + node["operation_s"] + node["told_s"]) / node["operation_probability"])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("waiting", ["three_halves", "exponential"])
def test_the_tree_of_every_method_gives_the_promised_latency_by_eq_1(method: str, waiting: Any) -> None:
    topology = chain(10.0, 12.0, 8.0)
    route = ("A", "B", "C", "D") if method == "route" else None
    options = Options(waiting=waiting, route=route)
    plan = plan_pair(Residual(topology), asked("A", "D"), method, options)
    found = read(plan, topology, options)
    assert found["method"] == method
    assert eq1_s(found["tree"], found["waiting"]) == pytest.approx(found["latency_s"], rel=1e-9)
    assert found["rate_hz"] == pytest.approx(1.0 / found["latency_s"])
    assert (found["from"], found["to"], found["route"]) == ("A", "D", ["A", "B", "C", "D"])
    assert found["fidelity"] == plan.fidelity
    assert found["success_probability"] == plan.success_probability
    assert math.fsum(found["state"]) == pytest.approx(1.0)


def test_a_purified_tree_gives_the_promised_latency_by_eq_1() -> None:
    topology = chain(10.0, 10.0)
    plan = plan_pair(Residual(topology), asked("A", "C", fidelity=0.993), "past")
    found = read(plan, topology)
    assert '"kind": "purify"' in json.dumps(found["tree"])
    assert eq1_s(found["tree"], "three_halves") == pytest.approx(found["latency_s"], rel=1e-9)
    assert found["fidelity"] >= 0.993


@given(planned_trees())
@settings(max_examples=100, derandomize=True, deadline=None)
def test_every_tree_makes_a_document_whose_pairs_are_those_of_the_instructions(
    case: tuple[Topology, Tree],
) -> None:
    topology, tree = case
    plan = assess(tree, Residual(topology), "made by hand")
    found = read(plan, topology)
    if isinstance(tree, StoredLeaf):
        assert found["rate_hz"] is None
        assert found["latency_s"] == 0.0
    else:
        assert eq1_s(found["tree"], "three_halves") == pytest.approx(found["latency_s"], rel=1e-9)
    ends: dict[int, set[str]] = {}

    def walk(node: dict[str, Any]) -> None:
        ends[node["pair"]] = {node["left"], node["right"]}
        for child in node["children"]:
            walk(child)

    walk(found["tree"])
    assert sorted(ends) == list(range(1, len(ends) + 1))
    for name, told in found["instructions"].items():
        for kind in ("links", "stored", "purification"):
            for each in told[kind]:
                assert ends[each["product"]] == {name, each["partner"]}
        for swap in told["swapping"]:
            assert ends[swap["product"]] == {swap["left_partner"], swap["right_partner"]}
            assert ends[swap["left_pair"]] == {swap["left_partner"], name}


def test_use_is_told_beside_what_there_is_and_no_limit_is_null() -> None:
    topology = line(2, attempts_hz=math.inf)
    plan = assess(
        swapped(topology, LinkLeaf("n0", "n1", 0.01), LinkLeaf("n1", "n2", 0.01)), Residual(topology), "x"
    )
    found = read(plan, topology)
    nodes = {each["node"]: each for each in found["use"]["nodes"]}
    assert nodes["n1"]["memories"] == 2
    assert nodes["n1"]["of_memories"] == 1000
    assert nodes["n1"]["attempts_hz"] == pytest.approx(2 * nodes["n0"]["attempts_hz"])
    assert nodes["n1"]["of_attempts_hz"] is None
    (first, second) = found["use"]["links"]
    assert first["ends"] == ["n0", "n1"]
    assert first["rate_hz"] == pytest.approx(100.0)
    assert second["capacity_hz"] == topology.links["n1", "n2"].capacity_hz


def test_a_stored_pair_has_its_name_and_takes_no_link() -> None:
    topology = line(2)
    kept = StoredLeaf("n1", "n2", PairId("east", 5, 77, 1), (0.9, 0.1, 0.0, 0.0), 0.2, math.inf)
    plan = assess(swapped(topology, LinkLeaf("n0", "n1", 0.01), kept), Residual(topology), "x")
    found = read(plan, topology)
    leaf = found["tree"]["children"][1]
    assert (leaf["kind"], leaf["stored"], leaf["age_s"], leaf["life_s"]) == (
        "stored",
        "east/5.77.1",
        0.2,
        None,
    )
    assert found["use"]["stored"] == ["east/5.77.1"]
    assert [link["ends"] for link in found["use"]["links"]] == [["n0", "n1"]]


def test_a_batch_says_what_each_request_gets_and_what_all_get_together() -> None:
    topology = line(3)
    requests = [
        PairRequest(request="long", source="n0", destination="n3", rate_hz=20.0),
        PairRequest(request="short", source="n1", destination="n2", rate_hz=50.0),
    ]
    plan = plan_many(Residual(topology), requests, choice=BatchChoice(objective="fair"))
    found = read(plan, topology)
    assert [each["request"] for each in found["requests"]] == ["long", "short"]
    assert found["objective"] == "fair"
    assert found["rate_hz"] == pytest.approx(math.fsum(each["rate_hz"] for each in found["requests"]))
    for share in found["requests"]:
        for tree in share["trees"]:
            assert {
                "method",
                "latency_s",
                "rate_hz",
                "fidelity",
                "success_probability",
                "tree",
            } <= tree.keys()
            assert eq1_s(tree["tree"], "three_halves") == pytest.approx(tree["latency_s"], rel=1e-9)
        rates = [tree["rate_hz"] for tree in share["trees"]]
        mean = math.fsum(tree["rate_hz"] * tree["fidelity"] for tree in share["trees"]) / math.fsum(rates)
        assert share["fidelity"] == pytest.approx(mean)
    assert set(found["instructions"]) == {"n0", "n1", "n2", "n3"}
    assert found["unserved"] == {}


def test_requests_that_get_nothing_stand_in_the_document_with_the_reason() -> None:
    topology = chain(10.0, 10.0, memories=2)
    requests = [
        PairRequest(request="first", source="A", destination="C"),
        PairRequest(request="second", source="A", destination="C"),
    ]
    choice = BatchChoice(objective="fair", allow_unserved=True)
    found = read(plan_many(Residual(topology), requests, choice=choice), topology)
    assert [each["request"] for each in found["requests"]] == ["first"]
    assert list(found["unserved"]) == ["second"]
    assert found["min_rate_hz"] == 0.0


def test_a_ghz_plan_nests_its_operations_and_names_who_must_hear_of_a_failure() -> None:
    topology = chain(10.0, 10.0)
    plan = plan_ghz(Residual(topology), "ghz", ("A", "B", "C"))
    found = read(plan, topology)
    assert found["kind"] == "ghz"
    assert found["members"] == ["A", "B", "C"]
    top = found["tree"]
    assert top["at"] == "B"
    assert [child["members"] for child in top["children"]] == [["A", "B"], ["B", "C"]]
    (fusion,) = found["instructions"]["B"]["fusion"]
    assert sorted(fusion["tell"]) == ["A", "C"]
    assert found["latency_s"] == pytest.approx(28.53707e-3, abs=5e-9)


def test_instructions_in_the_document_are_all_there_are() -> None:
    topology = chain(10.0, 10.0)
    plan: PairPlan = plan_pair(Residual(topology), PairRequest(request="r", source="A", destination="C"))
    told = instructions_of(plan, topology, "A-C")
    found = read(plan, topology)["instructions"]
    assert set(found) == set(told)
    for name, node in told.items():
        assert len(found[name]["links"]) == len(node.links)
        assert len(found[name]["swapping"]) == len(node.swapping)
        for mine, theirs in zip(node.links, found[name]["links"], strict=True):
            assert (mine.partner, mine.expected.rate_hz) == (theirs["partner"], theirs["rate_hz"])
            assert theirs["number"] is None
            assert theirs["request"] == "A-C"


def test_names_of_any_letters_come_through_unchanged() -> None:
    names = ("Zürich", 'the "lab"')
    nodes = [Node(name=name) for name in names]
    topology = Topology.of(nodes, [link_between(*nodes, 10.0)])
    assert read(plan_pair(Residual(topology), asked(*names)), topology)["route"] == list(names)
