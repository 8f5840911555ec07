"""Flows taken apart into trees: nothing lost, nothing used twice, circles left behind.

Owns the tests of batch/hyperflow.py and refinement.py.
"""

import math
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.bell import werner
from bellwire.core.errors import LocalMisuse
from bellwire.planner.assessment import outlook
from bellwire.planner.batch.hyperflow import FlowTree, decompose
from bellwire.planner.batch.levels import GAIN, Arc, Hypergraph, State, hypergraph
from bellwire.planner.batch.refinement import Row, refined
from bellwire.planner.batch.solvers import Flow, Objective, Solver
from bellwire.planner.capacity import Residual
from bellwire.planner.requests import Limits, Options, PairRequest
from bellwire.planner.structures import LinkLeaf, PurifyNode, SwapNode, Tree, leaves
from bellwire.planner.topology import Pair, Topology, pair_of
from tests.planner.batch.test_levels import ask, batches, network, optimum


def trees_of(graph: Hypergraph, flow: Flow, asked: list[PairRequest]) -> tuple[FlowTree, ...]:
    return decompose(graph, flow, {each.request: (each.source, each.destination) for each in asked})


def check_rates(tree: Tree, topology: Topology) -> None:
    """Latencies in a peeled tree are 1/rate, and each operation makes 2/3 of its chance of what it takes."""
    match tree:
        case SwapNode():
            below, chance = (tree.one, tree.other), topology.nodes[tree.at].swap_probability
            assert tree.one.right == tree.other.left
        case PurifyNode():
            below, chance = (tree.kept, tree.measured), tree.success_probability
            assert (tree.kept.left, tree.kept.right) == (tree.measured.left, tree.measured.right)
        case _:
            return
    for child in below:
        assert 1.0 / tree.latency_s == pytest.approx(GAIN * chance / child.latency_s, rel=1e-12)
        check_rates(child, topology)


@settings(deadline=None, derandomize=True, max_examples=150)
@given(
    batches(),
    st.sampled_from([None, 0.7, 0.9, 0.96]),
    st.sampled_from(["total", "max_min"]),
    st.sampled_from(["highs", "highs", "highs", "cbc"]),
)
def test_trees_sum_to_the_flow_and_are_feasible(
    batch: tuple[Topology, list[PairRequest]], limit: float | None, objective: Objective, solver: Solver
) -> None:
    topology, asked = batch
    asked[0] = replace(asked[0], limits=Limits(fidelity=limit))
    graph, flow = optimum(topology, asked, objective, solver, rounds=1)
    made: dict[str, float] = defaultdict(float)
    links_hz: dict[Pair, float] = defaultdict(float)
    ends = {each.request: (each.source, each.destination) for each in asked}
    for piece in trees_of(graph, flow, asked):
        assert (piece.tree.left, piece.tree.right) == ends[piece.request]
        assert piece.rate_hz == pytest.approx(1.0 / piece.tree.latency_s, rel=1e-12)
        check_rates(piece.tree, topology)
        made[piece.request] += piece.rate_hz
        for leaf in leaves(piece.tree):
            links_hz[pair_of(leaf.left, leaf.right)] += 1.0 / leaf.latency_s
    for name, states in flow.delivered_hz.items():
        assert made[name] == pytest.approx(math.fsum(states.values()), rel=1e-9)
    spent = dict.fromkeys(topology.nodes, 0.0)
    for pair, rate_hz in links_hz.items():
        link = topology.links[pair]
        assert rate_hz <= flow.links_hz[pair] * (1.0 + 1e-9)
        assert rate_hz <= link.capacity_hz * (1.0 + 1e-9)
        for name in pair:
            spent[name] += rate_hz / link.success_probability
    for name, attempts_hz in spent.items():
        assert attempts_hz <= topology.nodes[name].attempts_hz * (1.0 + 1e-9)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(batches(5), st.sampled_from([None, 0.9]), st.sampled_from(["highs", "highs", "highs", "cbc"]))
def test_no_state_gives_more_than_is_made_of_it(
    batch: tuple[Topology, list[PairRequest]], limit: float | None, solver: Solver
) -> None:
    topology, asked = batch
    asked[0] = replace(asked[0], limits=Limits(fidelity=limit))
    graph, flow = optimum(topology, asked, "total", solver, rounds=1)
    made: dict[State, float] = defaultdict(float)
    used: dict[State, float] = defaultdict(float)
    for pair, rate_hz in flow.links_hz.items():
        made[graph.generated[pair]] += rate_hz
    for arc, rate_hz in flow.arcs_hz.items():
        made[arc.product] += arc.gain * rate_hz
        for state in (arc.one, arc.other):
            if state is not None:
                used[state] += rate_hz
    for states in flow.delivered_hz.values():
        for state, rate_hz in states.items():
            used[state] += rate_hz
    whole_hz = max(made.values(), default=0.0)
    for state, rate_hz in used.items():
        assert rate_hz <= made[state] + 1e-11 * whole_hz


@settings(deadline=None, derandomize=True, max_examples=150)
@given(
    batches(5),
    st.sampled_from([0.6, 0.8, 0.88, 0.93, 0.97]),
    st.sampled_from([0.1, 0.03]),
    st.integers(0, 2),
    st.sampled_from([1.0, 0.995]),
)
def test_pairs_without_decay_have_the_fidelity_that_their_level_promises(
    batch: tuple[Topology, list[PairRequest]], limit: float, step: float, rounds: int, gate: float
) -> None:
    """The state model of plans, on Werner links and memories that keep: all levels are floors."""
    given_nodes, asked = batch[0], [replace(each, limits=Limits(fidelity=limit)) for each in batch[1]]
    nodes = [
        replace(node, decay_hz=(0.0, 0.0, 0.0), gate_fidelity=gate) for node in given_nodes.nodes.values()
    ]
    chance = np.random.default_rng(round(limit * 1e6))
    links = [
        replace(link, state=werner(float(chance.uniform(0.85, 1.0)))) for link in given_nodes.links.values()
    ]
    topology = Topology.of(nodes, links)
    graph, flow = optimum(topology, asked, rounds=rounds, steps=(step,))
    for piece in trees_of(graph, flow, asked):
        assert outlook(piece.tree, topology).state[0] >= limit - 1e-9
        assert most_rounds(piece.tree) <= rounds


def most_rounds(tree: Tree) -> int:
    """Purification rounds in a row, at most."""

    def own(node: Tree) -> int:
        return 1 + max(own(node.kept), own(node.measured)) if isinstance(node, PurifyNode) else 0

    match tree:
        case SwapNode():
            return max(most_rounds(tree.one), most_rounds(tree.other))
        case PurifyNode():
            return max(own(tree), most_rounds(tree.kept), most_rounds(tree.measured))
        case _:
            return 0


def test_the_line_of_three_links_becomes_its_two_orders() -> None:
    topology, asked = network("AR", "RS", "SB"), [ask("B", "A")]
    graph, flow = optimum(topology, asked)
    one, other = trees_of(graph, flow, asked)
    assert one.rate_hz + other.rate_hz == pytest.approx(11.50279207, abs=5e-9)
    assert one.rate_hz == pytest.approx(other.rate_hz, rel=1e-9)
    assert {tree.tree.at for tree in (one, other) if isinstance(tree.tree, SwapNode)} == {"R", "S"}


# --- flows made by hand -----------------------------------------------------------------------------------

AR, BR, AB = (State(pair_of(a, b), 0, 0) for a, b in ("AR", "BR", "AB"))
AS, RS = State(("A", "S"), 0, 0), State(("R", "S"), 0, 0)


def by_hand(links_hz: dict[State, float], arcs_hz: dict[Arc, float], made: State, rate_hz: float) -> Flow:
    return Flow(
        links_hz={state.pair: rate for state, rate in links_hz.items()},
        arcs_hz=arcs_hz,
        delivered_hz={"r": {made: rate_hz}},
        optimum_hz=rate_hz,
    )


def ground(*links: str) -> Hypergraph:
    return hypergraph(Residual(network(*links)), [ask("A", "B")], Options())


def test_a_circle_of_flow_is_left_behind() -> None:
    """A-R and R-S make A-S, A-S and S-R make A-R, and so on: a loss that an idle network can afford."""
    forth, back = Arc(AR, RS, AS, 0.25, "R"), Arc(AS, RS, AR, 0.25, "S")
    out = Arc(AR, BR, AB, 0.25, "R")
    flow = by_hand({AR: 100.0, RS: 100.0, BR: 40.0}, {forth: 32.0, back: 8.0, out: 40.0}, AB, 10.0)
    (piece,) = decompose(ground("AR", "RS", "BR"), flow, {"r": ("A", "B")})
    assert piece.rate_hz == pytest.approx(10.0, rel=1e-12)
    assert [(leaf.left, leaf.right) for leaf in leaves(piece.tree)] == [("A", "R"), ("R", "B")]


def test_a_circle_that_is_wider_than_the_way_out_is_no_trap() -> None:
    """All of A-R that a link makes is 1/s; the circle turns at 4/s beside it."""
    forth, back = Arc(AR, RS, AS, 0.5, "R"), Arc(AS, RS, AR, 0.5, "S")
    out = Arc(AR, BR, AB, 0.25, "R")
    flow = by_hand({AR: 4.0, RS: 100.0, BR: 40.0}, {forth: 4.0, back: 2.0, out: 1.0}, AB, 0.25)
    (piece,) = decompose(ground("AR", "RS", "BR"), flow, {"r": ("A", "B")})
    assert piece.rate_hz == pytest.approx(0.25, rel=1e-12)


def test_a_flow_that_comes_from_nowhere_is_refused() -> None:
    out = Arc(AR, BR, AB, 0.25, "R")
    flow = by_hand({AR: 40.0, BR: 39.9}, {out: 40.0}, AB, 10.0)
    with pytest.raises(LocalMisuse, match="of r come from no link"):
        decompose(ground("AR", "BR"), flow, {"r": ("A", "B")})


def test_two_copies_of_one_link_share_its_rate() -> None:
    rough, fine = State(("A", "B"), 1, 0), State(("A", "B"), 2, 1)
    lift = Arc(rough, rough, fine, GAIN * 0.82, None)
    graph = replace(ground("AB"), generated={("A", "B"): rough})
    flow = by_hand({rough: 100.0}, {lift: 50.0}, fine, 50.0 * GAIN * 0.82)
    (piece,) = decompose(graph, flow, {"r": ("B", "A")})
    assert isinstance(piece.tree, PurifyNode)
    assert piece.tree.success_probability == pytest.approx(0.82, rel=1e-12)
    assert [leaf.latency_s for leaf in leaves(piece.tree)] == pytest.approx([0.02, 0.02], rel=1e-12)
    assert piece.tree.kept == LinkLeaf("B", "A", piece.tree.kept.latency_s)


def test_the_widest_way_comes_first() -> None:
    """Through R 1/s can flow although its first arc is wider; through S 2/s."""
    nodes = network("AR", "RB", "AS", "SB")
    graph = hypergraph(Residual(nodes), [ask("A", "B")], Options())
    bs = State(("B", "S"), 0, 0)
    by_r, by_s = Arc(AR, BR, AB, 0.25, "R"), Arc(AS, bs, AB, 0.25, "S")
    flow = Flow(
        {AR.pair: 4.0, BR.pair: 12.0, AS.pair: 8.0, bs.pair: 8.0},
        {by_r: 4.0, by_s: 8.0},
        {"r": {AB: 3.0}},
        3.0,
    )
    first, second = decompose(graph, flow, {"r": ("A", "B")})
    assert (first.rate_hz, second.rate_hz) == pytest.approx((2.0, 1.0), rel=1e-12)
    assert isinstance(first.tree, SwapNode)
    assert first.tree.at == "S"


# --- digits -----------------------------------------------------------------------------------------------


def test_tight_rows_hold_and_loose_rows_stay_loose() -> None:
    """max x + y, x + 3 y <= 1, 3 x + y <= 1, x + y <= 2: the vertex is (1/4, 1/4)."""
    rows = [Row((0, 1), (1.0, 3.0), 1.0), Row((0, 1), (3.0, 1.0), 1.0), Row((0, 1), (1.0, 1.0), 2.0)]
    uppers = np.array([np.inf, np.inf])
    found = refined(np.array([0.25000001, 0.24999999]), uppers, rows)
    assert found == pytest.approx([0.25, 0.25], rel=1e-15)


def test_zeros_and_columns_at_their_bounds_do_not_move() -> None:
    rows = [Row((0, 1, 2), (1.0, 3.0, 7.0), 1.0)]
    found = refined(np.array([0.1, 0.30000001, 1e-12]), np.array([0.1, np.inf, np.inf]), rows)
    assert found[0] == 0.1
    assert found[1] == pytest.approx(0.3, rel=1e-15)
    assert found[2] == 0.0
