"""Plans as people read them.

Owns the tests of reports/text.py, branches.py and consumption_order.py.
"""

import pytest
from hypothesis import given, settings

from bellwire.planner.batch.batch_latency import planned_latency
from bellwire.planner.batch.consumption import Consumption, in_total_order
from bellwire.planner.batch.methods import BatchChoice, plan_many
from bellwire.planner.capacity import Residual
from bellwire.planner.methods import plan_pair
from bellwire.planner.multipartite.graph_target import TargetGraph
from bellwire.planner.multipartite.methods import plan_ghz, plan_graph
from bellwire.planner.reports.any_plan import text_of
from bellwire.planner.reports.branches import Branch, tree_branch
from bellwire.planner.reports.consumption_order import order_document, order_of, order_text
from bellwire.planner.reports.text import drawn, table
from bellwire.planner.requests import PairRequest
from bellwire.planner.structures import LinkLeaf, PurifyNode, StoredLeaf, SwapNode, Tree, purified, swapped
from bellwire.planner.topology import Topology
from tests.planner.reports.trees import line, planned_trees
from tests.planner.single.test_exact import asked, chain


def test_a_plan_for_one_pair_reads_from_its_promises_to_what_it_takes() -> None:
    topology = chain(10.0, 10.0)
    text = text_of(plan_pair(Residual(topology), asked("A", "C")), topology)
    assert text == (
        "A to C by dp: 28.54 ms per pair (35.04 pairs/s), fidelity 0.9899, success per round 0.4, 2 leaves\n"
        "route A - B - C; a delivered pair is 3.87 ms old at A, 3.87 ms at C\n"
        "\n"
        "swap at B       A – C  28.54 ms  F 0.9899\n"
        "├─ link, 10 km  A – B   7.57 ms  F 1.0000\n"
        "└─ link, 10 km  B – C   7.57 ms  F 1.0000\n"
        "\n"
        "node  memories            attempts\n"
        "A       1 of 5  10000/s of 20000/s\n"
        "B       2 of 5  20000/s of 20000/s\n"
        "C       1 of 5  10000/s of 20000/s\n"
        "\n"
        "link               pairs\n"
        "A - B  132.1/s of 1144/s\n"
        "B - C  132.1/s of 1144/s\n"
    )


def test_rounds_over_alike_pairs_are_one_row_and_stored_pairs_say_how_long_they_live() -> None:
    topology = line(2)
    leaf = LinkLeaf("n0", "n1", 0.01)
    once = purified(topology, leaf, leaf, 0.9, scheme="dejmps", pumping=False)
    twice = purified(topology, once, once, 0.9, scheme="dejmps", pumping=False)
    kept = StoredLeaf("n1", "n2", "east/1.2.3", (0.9, 0.1, 0.0, 0.0), 0.1, 10.0)
    lines = drawn([tree_branch(swapped(topology, twice, kept), topology)])
    assert [row.partition(" n0 – ")[0].partition(" n1 – ")[0].rstrip() for row in lines] == [
        "swap at n1",
        "├─ 2 rounds of dejmps (recurrence)",
        "│  └─ 4 × link, 10 km",
        "└─ stored east/1.2.3, 100 ms old, lives 10 s",
    ]
    assert lines[3].endswith("at once  F 0.9000")


def test_rounds_over_different_pairs_show_each_of_them() -> None:
    topology = line(1)
    fast, slow = LinkLeaf("n0", "n1", 0.01), LinkLeaf("n0", "n1", 0.02)
    tree = purified(topology, fast, slow, 0.9, scheme="bbpssw", pumping=True)
    branch = tree_branch(tree, topology)
    assert branch.what == "1 round of bbpssw (pumping)"
    assert [child.time for child in branch.below] == ["10 ms", "20 ms"]


@given(planned_trees())
@settings(max_examples=60, derandomize=True, deadline=None)
def test_every_step_of_a_tree_has_its_row(case: tuple[Topology, Tree]) -> None:
    topology, tree = case
    branch = tree_branch(tree, topology)
    assert _leaves(branch) == _leaf_count(tree)
    rows = drawn([branch])
    assert len(rows) == _rows(branch)
    if not isinstance(tree, StoredLeaf):
        assert branch.time in rows[0]


def _leaves(branch: Branch) -> int:
    return branch.times * (sum(_leaves(child) for child in branch.below) if branch.below else 1)


def _rows(branch: Branch) -> int:
    return 1 + sum(_rows(child) for child in branch.below)


def _leaf_count(tree: Tree) -> int:
    match tree:
        case SwapNode():
            return _leaf_count(tree.one) + _leaf_count(tree.other)
        case PurifyNode():
            return _leaf_count(tree.kept) + _leaf_count(tree.measured)
        case _:
            return 1


def test_a_batch_has_a_row_for_each_request_and_a_tree_for_each_tree() -> None:
    topology = line(3)
    requests = [
        PairRequest(request="long", source="n0", destination="n3", rate_hz=20.0),
        PairRequest(request="short", source="n1", destination="n2", rate_hz=50.0),
    ]
    plan = plan_many(Residual(topology), requests, choice=BatchChoice(objective="fair"))
    text = text_of(plan, topology)
    assert text.startswith("2 requests by iterative dp (fair): 70 pairs/s in all, least 20/s\n")
    assert "long     n0    n3" in text
    for share in plan.shares:
        for index in range(len(share.trees)):
            assert f"{share.request}, tree {index + 1} of {len(share.trees)}: " in text


def test_a_batch_names_those_who_get_nothing() -> None:
    topology = chain(10.0, 10.0, memories=2)
    requests = [PairRequest(request=name, source="A", destination="C") for name in ("first", "second")]
    choice = BatchChoice(objective="fair", allow_unserved=True)
    text = text_of(plan_many(Residual(topology), requests, choice=choice), topology)
    assert "second gets nothing: " in text


def test_a_ghz_plan_says_who_fuses_who_stays_and_who_must_hear_of_a_failure() -> None:
    topology = chain(10.0, 10.0)
    text = text_of(plan_ghz(Residual(topology), "ghz", ("A", "B", "C")), topology)
    assert text.startswith("GHZ state of 3 by ghz-steiner: 28.54 ms per state")
    assert "members A, B, C" in text
    assert "fuse and stay at B" in text
    heard = next(row for row in text.splitlines() if row.endswith("A, C"))
    assert heard.startswith("fuse and stay at B")


def test_a_graph_plan_names_vertices_and_edges() -> None:
    topology = chain(10.0, 10.0)
    target = TargetGraph({"a": "A", "b": "B", "c": "C"}, (("a", "b"), ("b", "c")))
    text = text_of(plan_graph(Residual(topology), "graph", target), topology)
    assert "vertices a at A, b at B, c at C" in text
    assert "edges a-b, b-c" in text


def test_figures_stand_to_the_right_of_their_column() -> None:
    assert table(("name", "value"), [["a", "5/s"], ["long", "10000/s"]]) == [
        "name    value",
        "a         5/s",
        "long  10000/s",
    ]


def test_an_order_of_consumption_lists_its_batches_and_their_sum() -> None:
    topology = chain(10.0, 10.0)
    pairs = (("A", "B"), ("B", "C"), ("A", "C"))
    latency_s = planned_latency(topology, pairs)
    consumption = Consumption(pairs=pairs, latency_s=latency_s, age_s=1.0, execution_s=0.01)
    order = order_of("total", consumption, in_total_order(consumption))
    assert order.total_s == pytest.approx(consumption.total_s(order.batches))
    text = order_text(order)
    assert text.startswith(f"3 pairs in {len(order.batches)} batches (total order), ")
    found = order_document(order)
    assert isinstance(found["batches"], list)
    positions = [each["positions"] for each in found["batches"] if isinstance(each, dict)]
    assert [position for batch in positions if isinstance(batch, list) for position in batch] == [1, 2, 3]
