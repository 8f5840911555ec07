"""What graph-state planning refuses, with one clear sentence each, and how it keeps limits.

Owns refusals, limits and the choice of methods. Refuses states (test_graph_execution.py) and optimality
(test_graph_orders.py).
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations, pairwise

import pytest

from bellwire.core.errors import ConfigError
from bellwire.planner.assessment import round_chance
from bellwire.planner.capacity import FidelityMissed, NoPlan, Residual, Use
from bellwire.planner.multipartite.graph_target import TargetGraph
from bellwire.planner.multipartite.methods import GRAPH_METHODS, plan_graph
from bellwire.planner.multipartite.values import Gate, MultipartitePlan
from bellwire.planner.requests import Limits, Options
from bellwire.planner.structures import PurifyNode, SwapNode, Tree, purify_busy_s
from bellwire.planner.topology import Node, Topology, link_between
from tests.planner.multipartite.ghz_execution import outcome_strings
from tests.planner.multipartite.graph_execution import GraphRun, executed_fidelity
from tests.planner.single.test_exact import chain

LINE = {"a": "A", "b": "B", "c": "C"}
PATH = (("a", "b"), ("b", "c"))


def good_chain(hops: int, fidelity: float = 0.97, memories: int = 12) -> Topology:
    """Nodes A, B, C, ... 10 km apart, with links of a fidelity and many memories."""
    nodes = [
        Node(name=chr(ord("A") + index), position_km=(10.0 * index, 0.0), memories=memories)
        for index in range(hops + 1)
    ]
    return Topology.of(nodes, [link_between(a, b, 10.0, fidelity=fidelity) for a, b in pairwise(nodes)])


def asked(
    topology: Topology,
    places: dict[str, str],
    edges: tuple[tuple[str, str], ...],
    method: str | None = None,
    **limits: float,
) -> MultipartitePlan:
    """A plan of a target on an idle network."""
    target = TargetGraph(places, edges)
    return plan_graph(Residual(topology), "r", target, method, limits=Limits(**limits))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("places", "edges", "words"),
    [
        ({}, (), "the target graph has no vertices"),
        ({"a": "A"}, (), "all vertices are at A"),
        (
            {"a": "A", "b": "A"},
            (("a", "b"),),
            "all vertices are at A: a state inside one node needs no network",
        ),
        ({"a": "A", "b": ""}, (("a", "b"),), 'vertex "b" has no node'),
        ({"a": "A", "b": "B"}, (("a", "b"), ("b", "c")), 'edge b-c ends at vertex "c", which has no node'),
        ({"a": "A", "b": "B"}, (("a", "b"), ("b", "a")), "edge b-a comes twice"),
        ({"a": "A", "b": "B"}, (("a", "b"), ("a", "b")), "edge a-b comes twice"),
        ({"a": "A", "b": "B"}, (("a", "b"), ("b", "b")), "edge b-b joins a vertex with itself"),
        (LINE, (("a", "b"),), "not connected: no edges lead from a to c"),
        (LINE, (), "not connected: no edges lead from a to b"),
        (
            {f"v{i}": "AB"[i % 2] for i in range(19)},
            tuple((f"v{i}", f"v{i + 1}") for i in range(18)),
            "the target graph has 19 vertices, limit 18",
        ),
    ],
)
def test_a_target_that_is_no_connected_graph_is_refused(
    places: dict[str, str], edges: tuple[tuple[str, str], ...], words: str
) -> None:
    with pytest.raises(NoPlan, match=re.escape(words)):
        TargetGraph(places, edges)


def _apart() -> Topology:
    line = chain(10.0, 10.0)
    return Topology.of((*line.nodes.values(), Node(name="D")), line.links.values())


def _idle_middle() -> Topology:
    line = chain(10.0, 10.0)
    idle = replace(line.nodes["B"], attempts_hz=0.0)
    return Topology.of((line.nodes["A"], idle, line.nodes["C"]), line.links.values())


def _dead(*names: str) -> Topology:
    line = chain(10.0, 10.0)
    nodes = [
        replace(node, fusion_probability=0.0) if node.name in names else node for node in line.nodes.values()
    ]
    return Topology.of(nodes, line.links.values())


def _cramped() -> Topology:
    line = chain(10.0, 10.0)
    cramped = replace(line.nodes["B"], memories=1)
    return Topology.of((line.nodes["A"], cramped, line.nodes["C"]), line.links.values())


@pytest.mark.parametrize("method", [None, *GRAPH_METHODS])
@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda m: asked(chain(10.0, 10.0), LINE | {"c": "Z"}, PATH, m), 'unknown node "Z"'),
        (lambda m: asked(_apart(), LINE | {"c": "D"}, PATH, m), "no route between B and D"),
        (lambda m: asked(_idle_middle(), LINE, PATH, m), "no route between A and B is left"),
        (lambda m: asked(_dead("A", "B", "C"), LINE, PATH, m), "fusions at A, B, C never succeed"),
        (lambda m: asked(_cramped(), LINE, PATH, m), "B has 1 of 1 memories free, not 2"),
        (
            lambda m: asked(chain(10.0, 10.0), LINE, PATH, m, fidelity=0.99999),
            "fidelity 0.99999 is not reached",
        ),
        (lambda m: asked(chain(10.0, 10.0), LINE, PATH, m, fidelity=1.0), "fidelity 1 is not reached"),
        (
            lambda m: asked(chain(10.0, 10.0), LINE, PATH, m, age_s=1e-3),
            "waits 0.00387 s on average, limit 0.001",
        ),
        (lambda m: asked(chain(10.0, 10.0), LINE, PATH, m, leaves=1), "the plan has 2 leaves, limit 1"),
    ],
)
def test_what_cannot_be_had_is_one_clear_sentence(
    method: str | None, ask: Callable[[str | None], MultipartitePlan], words: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)) as refusal:
        ask(method)
    assert "\n" not in str(refusal.value)
    if "node" not in words:
        assert str(refusal.value).startswith("request r: ")


def test_a_node_that_is_to_be_avoided_takes_no_part() -> None:
    target = TargetGraph(LINE, PATH)
    with pytest.raises(NoPlan, match="B is to be avoided"):
        plan_graph(Residual(chain(10.0, 10.0)), "r", target, options=Options(avoid=frozenset({"B"})))


def test_a_full_network_refuses_and_takes_nothing() -> None:
    residual = Residual(chain(10.0, 10.0))
    attempts_hz = residual.topology.nodes["B"].attempts_hz
    residual.claim("all", Use(links_hz={}, attempts_hz={"B": attempts_hz}, memories={}))
    before = dict(residual.taken)
    with pytest.raises(NoPlan, match="no route between A and B is left"):
        plan_graph(residual, "r", TargetGraph(LINE, PATH))
    assert residual.taken == before


def test_methods_for_paths_and_trees_name_the_method_for_other_graphs() -> None:
    star = (("a", "b"), ("a", "c"), ("a", "d"))
    places = LINE | {"d": "D"}
    topology = chain(10.0, 10.0, 10.0)
    with pytest.raises(NoPlan, match='the target graph is no path; method "graph-tree" serves'):
        asked(topology, places, star, "graph-path")
    cycle = (("a", "b"), ("b", "c"), ("c", "d"), ("d", "a"))
    for method in ("graph-path", "graph-tree"):
        with pytest.raises(NoPlan, match='method "graph-pieces" serves'):
            asked(topology, places, cycle, method)
    with pytest.raises(ConfigError, match='"graph-peaces"'):
        asked(topology, places, cycle, "graph-peaces")


@pytest.mark.parametrize(
    ("edges", "methods"),
    [
        (PATH, ("graph-path", "graph-pieces")),
        ((("a", "b"), ("b", "c"), ("b", "d")), ("graph-tree", "graph-pieces")),
        (tuple(combinations("abcd", 2)), ("graph-pieces",)),
    ],
    ids=["path", "star", "complete"],
)
def test_without_a_method_the_plan_is_the_fastest_of_all_methods(
    edges: tuple[tuple[str, str], ...], methods: tuple[str, ...]
) -> None:
    places = {name: name.upper() for name in dict.fromkeys(name for edge in edges for name in edge)}
    topology = good_chain(5)
    found = [asked(topology, places, edges, method) for method in methods]
    chosen = asked(topology, places, edges)
    assert chosen.latency_s == min(plan.latency_s for plan in found)
    assert chosen in found


def _rounds(tree: Tree) -> Iterator[PurifyNode]:
    match tree:
        case SwapNode():
            yield from _rounds(tree.one)
            yield from _rounds(tree.other)
        case PurifyNode():
            yield tree
            yield from _rounds(tree.kept)
            yield from _rounds(tree.measured)


def test_rounds_succeed_as_often_as_the_pace_of_the_whole_plan_lets_them() -> None:
    """Memories that lose 10 % per second: the plan slows its pairs, which makes rounds succeed less often."""
    topology = good_chain(3)
    leaky = [replace(node, decay_hz=(0.1, 0.1, 0.1)) for node in topology.nodes.values()]
    topology = Topology.of(leaky, topology.links.values())
    plan = asked(topology, {"a": "A", "b": "B", "c": "D"}, PATH, fidelity=0.93)
    rounds = [each for pair in plan.pairs for each in _rounds(pair.trees[0].tree)]
    assert rounds
    for each in rounds:
        chance = round_chance(each, topology)
        assert each.success_probability == pytest.approx(chance, rel=1e-12)
        if each.pumping:
            made_s = each.kept.latency_s + each.measured.latency_s
        else:
            made_s = 1.5 * max(each.kept.latency_s, each.measured.latency_s)
        total_s = (made_s + purify_busy_s(topology, each.left, each.right)) / chance
        assert each.latency_s == pytest.approx(total_s, rel=1e-9)


@pytest.mark.parametrize("wanted", [0.88, 0.9, 0.93, 0.96])
@pytest.mark.parametrize("method", ["graph-path", "graph-pieces"])
def test_pairs_are_purified_for_a_state_that_needs_more_fidelity(method: str, wanted: float) -> None:
    """The pace of a purified pair is set by the plan above it, and p_pur follows that pace."""
    topology = good_chain(3)
    places = {"a": "A", "b": "B", "c": "C", "d": "D"}
    edges = tuple(pairwise("abcd"))
    rough = asked(topology, places, edges, method)
    plan = asked(topology, places, edges, method, fidelity=wanted)
    assert plan.fidelity >= wanted
    assert plan.fidelity == pytest.approx(executed_fidelity(plan, topology), abs=1e-9)
    assert Residual(topology).lacks(plan.use) is None
    if wanted > rough.fidelity:
        assert plan.latency_s > rough.latency_s
        assert {pair.trees[0].method for pair in plan.pairs} == {"past"}
        for pair in plan.pairs:
            tree = pair.trees[0]
            assert tree.success_probability < 1.0
            assert tree.latency_s == pytest.approx(plan.pairs[0].latency_s, rel=1.0)
    for outcomes in outcome_strings(plan):
        run = GraphRun(plan)
        run.run(outcomes)
        run.assert_graph_state()


def test_a_fidelity_beyond_all_pairs_says_what_was_found() -> None:
    with pytest.raises(
        FidelityMissed, match=r"the best plan found has 0\.\d{4}; no tree makes pairs of 0\.99"
    ):
        asked(good_chain(2), LINE, PATH, fidelity=0.9995)


def test_plans_of_one_request_are_alike_every_time() -> None:
    edges = tuple(combinations("abcd", 2))
    places = {name: name.upper() for name in "abcd"}
    assert asked(good_chain(4), places, edges) == asked(good_chain(4), places, edges)


def test_vertices_at_one_node_are_joined_inside_it() -> None:
    """The pairs a-b and c-d have no vertex in common, but b and c share a node, whose CZ takes no time."""
    topology = good_chain(2)
    places = {"a": "A", "b": "B", "c": "B", "d": "C"}
    plan = asked(topology, places, tuple(pairwise("abcd")))
    single_s = Residual(topology).link_latency_s(topology.links["A", "B"])
    assert plan.latency_s == pytest.approx(1.5 * single_s, rel=1e-12)
    assert plan.success_probability == 1.0
    assert plan.use.memories == {"A": 1, "B": 2, "C": 1}


def test_a_node_that_never_fuses_swaps_where_an_equivalent_graph_lets_it() -> None:
    """The path A-B-C is the star around A up to local Cliffords: B gives a qubit, and swaps for A-C."""
    with pytest.raises(NoPlan, match="fusions at B never succeed"):
        asked(_dead("B"), LINE, PATH, "graph-path")
    plan = asked(_dead("B"), LINE, PATH)
    assert plan.method == "graph-pieces"
    assert [operation.node for operation in plan.operations if operation.measurements] == ["A"]
    assert plan.use.memories["B"] == 3


def test_a_vertex_with_local_edges_only_is_a_qubit_of_its_node() -> None:
    topology = good_chain(1)
    plan = asked(topology, {"a": "A", "b": "B", "x": "B"}, (("a", "b"), ("b", "x")))
    assert plan.latency_s == pytest.approx(
        Residual(topology).link_latency_s(topology.links["A", "B"]), rel=1e-12
    )
    assert [qubit.side for qubit in plan.qubits] == ["left", "right", "own"]
    assert plan.use.memories == {"A": 1, "B": 2}


def test_two_pairs_meet_through_a_vertex_of_the_node_between_them() -> None:
    topology = good_chain(2)
    places = {"a": "A", "b": "B", "x": "B", "c": "B", "d": "C"}
    plan = asked(topology, places, (("a", "b"), ("b", "x"), ("x", "c"), ("c", "d")))
    (meeting,) = [operation for operation in plan.operations if len(operation.consumes) == 2]
    assert meeting.action == "entangle"
    own = plan.qubits[2]
    assert own.side == "own"
    gates = {step.qubits for step in meeting.steps if isinstance(step, Gate) and step.name == "CZ"}
    assert {frozenset(pair) for pair in gates} == {
        frozenset({plan.qubits[1], own}),
        frozenset({own, plan.qubits[3]}),
    }
    assert set(meeting.members) == set(plan.qubits)
