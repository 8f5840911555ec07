"""What GHZ plans promise and refuse: worked numbers, capacities, limits, errors, the table of methods.

Owns the tests of methods.py, ghz_retain.py, ghz_spanning.py, ghz_pairs.py, ghz_floors.py, ghz_finishing.py.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import EntryPoint

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.bell import werner
from bellwire.core.errors import ConfigError
from bellwire.planner.assessment import assess, outlook, round_chance
from bellwire.planner.capacity import FidelityMissed, NoPlan, Residual
from bellwire.planner.multipartite import methods
from bellwire.planner.multipartite.ghz_finishing import finished
from bellwire.planner.multipartite.ghz_pairs import in_step
from bellwire.planner.multipartite.ghz_request import GhzRequest
from bellwire.planner.multipartite.ghz_spanning import spanning_trees
from bellwire.planner.multipartite.ghz_trees import FusionLeaf, fused
from bellwire.planner.multipartite.methods import GHZ_METHODS, known_ghz_methods, plan_ghz
from bellwire.planner.multipartite.values import PairSupply
from bellwire.planner.requests import Limits, Options
from bellwire.planner.single.all_pairs import AllTrees
from bellwire.planner.structures import LinkLeaf, PurifyNode, route_of
from bellwire.planner.topology import Node, Topology, link_between
from tests.planner.multipartite.ghz_execution import executed_fidelity
from tests.planner.multipartite.ghz_networks import asked_states, random_network
from tests.planner.single.test_exact import chain

METHODS = sorted(GHZ_METHODS)


@pytest.mark.parametrize("method", ["ghz-retain", "ghz-steiner"])
def test_three_members_on_a_line_take_what_a_swap_takes(method: str) -> None:
    """Worked in section 4.2: EPs of 7.569886 ms, 10 km, p_f = 0.4, t_f = 10 us, retained at the middle."""
    plan = plan_ghz(Residual(chain(10.0, 10.0)), "r", ("A", "B", "C"), method)
    assert 1e3 * plan.latency_s == pytest.approx(28.53707, abs=5e-6)
    assert [1e3 * pair.latency_s for pair in plan.pairs] == pytest.approx([7.569886] * 2, abs=5e-7)
    (fusion,) = plan.operations
    assert (fusion.action, fusion.node, fusion.tell) == ("fuse_retain", "B", ("A", "C"))
    assert plan.rate_hz == pytest.approx(1 / plan.latency_s)
    assert plan.success_probability == pytest.approx(0.4)


def test_a_star_expansion_of_the_worked_line_counts_neither_waiting_nor_words() -> None:
    plan = plan_ghz(Residual(chain(10.0, 10.0)), "r", ("A", "B", "C"), "ghz-star")
    assert plan.latency_s == pytest.approx((7.569886459e-3 + 10e-6) / 0.4, rel=1e-9)


@pytest.mark.parametrize("method", METHODS)
@given(asked=asked_states(7, 6), taken=st.floats(0.05, 0.9))
@settings(max_examples=80, derandomize=True, deadline=None)
def test_a_plan_fits_beside_what_is_taken_already(
    method: str, asked: tuple[Topology, tuple[str, ...]], taken: float
) -> None:
    topology, members = asked
    residual = Residual(topology)
    try:
        first = plan_ghz(residual, "first", members, method)
        assert residual.lacks(first.use) is None
        residual.claim("first", replace(first.use.scaled(taken), memories={}))
        second = plan_ghz(residual, "second", members, method)
    except NoPlan:
        return
    residual.claim("second", second.use)


@pytest.mark.parametrize("method", METHODS)
@given(asked=asked_states(7, 5))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_a_plan_adds_up(method: str, asked: tuple[Topology, tuple[str, ...]]) -> None:
    topology, members = asked
    try:
        plan = plan_ghz(Residual(topology), "r", members, method)
    except NoPlan:
        return
    assert plan.qubits == tuple(dict.fromkeys(plan.qubits))
    assert 0.0 < plan.fidelity <= 1.0
    chances = [each.success_probability for each in plan.operations]
    chances += [each.success_probability for each in plan.pairs]
    assert plan.success_probability == pytest.approx(math.prod(chances))
    assert [each.yields for each in plan.operations] == list(
        range(len(plan.pairs), len(plan.pairs) + len(plan.operations))
    )
    consumed = [state for each in plan.operations for state in each.consumes]
    assert sorted(consumed) == list(range(len(plan.pairs) + len(plan.operations) - 1))
    if plan.operations:
        assert plan.operations[-1].latency_s == pytest.approx(plan.latency_s, rel=1e-12)
    for name, count in plan.use.memories.items():
        assert count == sum(tree.use.memories.get(name, 0) for pair in plan.pairs for tree in pair.trees)


@pytest.mark.parametrize("method", METHODS)
def test_pairs_that_are_fused_late_are_slowed_to_what_they_are_needed_for(method: str) -> None:
    line = chain(10.0, 1.0, 10.0)
    slow = plan_ghz(Residual(line), "r", tuple("ABCD"), method)
    fast = plan_ghz(Residual(line), "r", tuple("ABCD"), method, Options(throttle=False))
    assert slow.latency_s == pytest.approx(fast.latency_s, rel=1e-9)
    for name, rate_hz in slow.use.attempts_hz.items():
        assert rate_hz <= fast.use.attempts_hz[name] * (1.0 + 1e-9)
    assert sum(slow.use.attempts_hz.values()) < 0.9 * sum(fast.use.attempts_hz.values())


def test_pairs_that_are_fused_early_get_more_of_a_shared_link() -> None:
    """A chain of members A..D and one relay that all pairs need: equal shares would be slower.

    The relay's attempts are the bottleneck; weighed by need, the pair that is fused last gives up some.
    """
    hub = Node(name="H", position_km=(0.0, 0.0), memories=12, attempts_hz=1e4)
    spots = {"A": (-3.0, 0.0), "B": (-1.0, 1.0), "C": (1.0, 1.0), "D": (3.0, 0.0)}
    ends = [Node(name=name, position_km=spot, attempts_hz=1e6) for name, spot in spots.items()]
    topology = Topology.of([hub, *ends], [link_between(hub, end, 5.0) for end in ends])
    plan = plan_ghz(Residual(topology), "r", tuple("ABCD"), "ghz-retain", Options(throttle=False))
    rates = sorted(pair.latency_s for pair in plan.pairs)
    assert rates[-1] > 2.0 * rates[0]
    assert plan.use.attempts_hz["H"] == pytest.approx(1e4, rel=1e-6)


@given(asked=asked_states(7, 6))
@settings(max_examples=100, derandomize=True, deadline=None)
def test_no_spanning_tree_of_the_members_has_a_faster_slowest_pair(
    asked: tuple[Topology, tuple[str, ...]],
) -> None:
    topology = replace(
        asked[0], nodes={name: replace(node, memories=40) for name, node in asked[0].nodes.items()}
    )
    request = GhzRequest(request="r", members=asked[1])
    try:
        found = spanning_trees(Residual(topology), request, Options())
    except NoPlan:
        return
    latency_s, order = AllTrees(Residual(topology), Options()).latency_s, topology.order
    pairs = list(itertools.combinations(asked[1], 2))
    bottlenecks = [
        max(float(latency_s[order[a], order[b]]) for a, b in tree)
        for tree in itertools.combinations(pairs, len(asked[1]) - 1)
        if _spans(tree, asked[1])
    ]
    assert max(tree.latency_s for tree in found) == pytest.approx(min(bottlenecks), rel=1e-12)


def _spans(tree: tuple[tuple[str, str], ...], members: tuple[str, ...]) -> bool:
    reached, left = {members[0]}, list(tree)
    for _ in tree:
        for a, b in left:
            if (a in reached) != (b in reached):
                reached |= {a, b}
    return reached == set(members)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_pairs_in_step_are_as_fast_as_one_tree_each_can_be(seed: int) -> None:
    topology = random_network(seed, 6, density=0.7)
    residual = Residual(topology)
    request = GhzRequest(request="r", members=tuple("ABCD"))
    try:
        trees = spanning_trees(residual, request, Options())
    except NoPlan:
        return
    weights = [1.0, 2.0, 3.0]
    supplies = in_step(residual, "r", trees, weights)
    products = [supply.latency_s * weight for supply, weight in zip(supplies, weights, strict=True)]
    assert products == pytest.approx([products[0]] * 3, rel=1e-9)
    book = residual.copy()
    for index, supply in enumerate(supplies):
        book.claim(str(index), supply.trees[0].use)
    full = [book.used_attempts_hz(name) / node.attempts_hz for name, node in topology.nodes.items()] + [
        book.used_hz(pair) / link.capacity_hz for pair, link in topology.links.items()
    ]
    assert max(full) == pytest.approx(1.0, abs=1e-6)


def test_where_memories_bind_the_next_pair_goes_another_way() -> None:
    """B has two memories; the fastest pairs B-A and B-C take both, so that D is joined to A by their link."""
    nodes = [
        Node(name=name, position_km=spot, memories=2 if name == "B" else 5)
        for name, spot in (("A", (0.0, 0.0)), ("B", (5.0, 0.0)), ("C", (10.0, 0.0)), ("D", (5.0, 6.0)))
    ]
    a, b, c, d = nodes
    links = [
        link_between(a, b, 5.0),
        link_between(b, c, 5.0),
        link_between(b, d, 6.0),
        link_between(a, d, 20.0),
    ]
    plan = plan_ghz(Residual(Topology.of(nodes, links)), "r", tuple("ABCD"), "ghz-retain")
    assert sorted(pair.name for pair in plan.pairs) == ["A-B", "A-D", "B-C"]
    assert plan.use.memories == {"A": 2, "B": 2, "C": 1, "D": 1}


def test_a_member_that_never_fuses_ends_one_pair_only() -> None:
    line = chain(10.0, 10.0, 10.0)
    c = line.nodes["C"]
    nodes = line.nodes | {"B": replace(line.nodes["B"], fusion_probability=0.0)}
    links = line.links | {("A", "C"): link_between(line.nodes["A"], c, 20.0)}
    topology = Topology(nodes, links)
    for method in METHODS:
        plan = plan_ghz(Residual(topology), "r", tuple("ABCD"), method)
        assert "B" not in {each.node for each in plan.operations}


def test_ten_members_are_planned_by_fusions_that_retain() -> None:
    plan = plan_ghz(Residual(chain(*[5.0] * 9)), "r", tuple("ABCDEFGHIJ"), "ghz-retain")
    assert len(plan.operations) == 9 - 1
    assert {each.action for each in plan.operations} == {"fuse_retain"}
    trees = [route_of(tree.tree) for pair in plan.pairs for tree in pair.trees]
    assert sorted(trees) == [tuple(pair) for pair in itertools.pairwise("ABCDEFGHIJ")]


@pytest.mark.parametrize("method", ["ghz-retain", "ghz-steiner"])
@pytest.mark.parametrize("wanted", [0.9, 0.92, 0.95])
def test_where_pairs_as_they_come_are_not_good_enough_they_are_purified(method: str, wanted: float) -> None:
    line = chain(10.0, 10.0)
    dim = {pair: replace(link, state=werner(0.95)) for pair, link in line.links.items()}
    topology = Topology(line.nodes, dim)
    options, members = Options(rounds=3), ("A", "B", "C")
    plain = plan_ghz(Residual(topology), "r", members, method, options)
    fine = plan_ghz(Residual(topology), "r", members, method, options, Limits(fidelity=wanted))
    assert plain.fidelity < wanted <= fine.fidelity
    assert fine.latency_s > plain.latency_s
    assert fine.fidelity == pytest.approx(executed_fidelity(fine, topology), abs=1e-9)
    assert fine.success_probability < plain.success_probability
    assert all(isinstance(tree.tree, PurifyNode) for pair in fine.pairs for tree in pair.trees)
    # What purification promises is what its throttled trees say when they are looked at anew.
    for pair in fine.pairs:
        for tree in pair.trees:
            seen = outlook(tree.tree, topology)
            assert tree.state == pytest.approx(seen.state, abs=1e-12)
            assert isinstance(tree.tree, PurifyNode)
            assert tree.tree.success_probability == pytest.approx(round_chance(tree.tree, topology), rel=1e-9)
    slow = Options(rounds=3, throttle=False)
    with pytest.raises(FidelityMissed, match="the best plan found has 0"):
        plan_ghz(Residual(topology), "r", members, method, slow, Limits(fidelity=wanted))


@pytest.mark.parametrize("method", ["ghz-retain", "ghz-steiner"])
def test_finer_pairs_fit_into_the_network_and_keep_the_limit(method: str) -> None:
    purified = 0
    for seed in range(30):
        topology = random_network(seed, 5, density=0.8)
        bright = {pair: replace(link, state=werner(0.93)) for pair, link in topology.links.items()}
        roomy = {name: replace(node, memories=8) for name, node in topology.nodes.items()}
        residual = Residual(Topology(roomy, bright))
        try:
            plain = plan_ghz(residual, "r", ("A", "B", "C"), method)
            wanted = (3.0 * plain.fidelity + 0.99) / 4.0
            plan = plan_ghz(residual, "r", ("A", "B", "C"), method, limits=Limits(fidelity=wanted))
        except NoPlan:
            continue
        assert plan.fidelity >= wanted
        assert residual.lacks(plan.use) is None
        purified += any(isinstance(tree.tree, PurifyNode) for pair in plan.pairs for tree in pair.trees)
    assert purified >= 10


def test_pairs_that_do_not_fit_side_by_side_make_no_plan() -> None:
    """Both links of B at the pace that each would have with all of B."""
    line = chain(10.0, 10.0)
    residual = Residual(line)
    whole_s = 3.784943229e-3
    leaves = [FusionLeaf(0, "A", "B", whole_s), FusionLeaf(1, "B", "C", whole_s)]
    tree = fused(line, "B", leaves[0], leaves[1], retained=True)
    supplies = [
        PairSupply((assess(LinkLeaf(leaf.left, leaf.right, whole_s), residual, "link"),)) for leaf in leaves
    ]
    request = GhzRequest(request="r", members=("A", "B", "C"))
    with pytest.raises(NoPlan, match=r"request r: B makes 20000 attempts/s, of which 0/s are taken"):
        finished(request, residual, Options(), "ghz-steiner", tree, supplies)


def _cut(topology: Topology) -> Topology:
    return Topology.of((*topology.nodes.values(), Node(name="Z")), topology.links.values())


def _idle(topology: Topology) -> Topology:
    nodes = topology.nodes | {"B": replace(topology.nodes["B"], attempts_hz=0.0)}
    return Topology(nodes, topology.links)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("members", "change", "limits", "words"),
    [
        (("A", "Y"), None, Limits(), 'unknown node "Y"'),
        (("A", "B", "A"), None, Limits(), "request r: A is a member twice"),
        (("A",), None, Limits(), "request r: a GHZ state needs 2 members or more, not 1"),
        ((), None, Limits(), "request r: a GHZ state needs 2 members or more, not 0"),
        (("A", "B", "Z"), _cut, Limits(), "request r: no route between . and Z: the network has no path"),
        (("A", "B", "C"), _idle, Limits(), "request r: no route between A and [BC] is left"),
        (
            ("A", "B", "C"),
            None,
            Limits(fidelity=0.9999),
            "fidelity 0.9999 is not reached: the best plan found has 0.9",
        ),
        (("A", "B", "C"), None, Limits(age_s=1e-3), r"r: a qubit waits 0\.00387 s on average, limit 0.001 s"),
        (("A", "B", "C"), None, Limits(leaves=1), "r: the plan has 2 leaves, limit 1"),
    ],
)
def test_what_cannot_be_had_is_one_clear_sentence(
    method: str,
    members: tuple[str, ...],
    change: Callable[[Topology], Topology] | None,
    limits: Limits,
    words: str,
) -> None:
    line = chain(10.0, 10.0)
    topology = line if change is None else change(line)
    with pytest.raises(ConfigError, match=words):
        plan_ghz(Residual(topology), "r", members, method, limits=limits)


@pytest.mark.parametrize("method", METHODS)
def test_a_missed_fidelity_is_told_apart_from_other_reasons(method: str) -> None:
    with pytest.raises(FidelityMissed):
        plan_ghz(Residual(chain(10.0, 10.0)), "r", tuple("ABC"), method, limits=Limits(fidelity=0.999))


@pytest.mark.parametrize("method", METHODS)
def test_nodes_to_be_avoided_and_full_memories_are_named(method: str) -> None:
    line = chain(10.0, 10.0)
    with pytest.raises(NoPlan, match="B is to be avoided"):
        plan_ghz(Residual(line), "r", tuple("ABC"), method, Options(avoid=frozenset("B")))
    full = Topology(line.nodes | {"C": replace(line.nodes["C"], memories=0)}, line.links)
    with pytest.raises(NoPlan, match="C has no free memory"):
        plan_ghz(Residual(full), "r", tuple("ABC"), method)


def test_more_than_ten_members_are_too_many_to_retain_all() -> None:
    line = chain(*[5.0] * 10)
    with pytest.raises(
        NoPlan, match="ghz-retain plans 10 members at most, not 11; ghz-steiner plans any number"
    ):
        plan_ghz(Residual(line), "r", tuple("ABCDEFGHIJK"), "ghz-retain")
    assert len(plan_ghz(Residual(line), "r", tuple("ABCDEFGHIJK"), "ghz-steiner").operations) == 9


def test_an_unknown_method_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match='did you mean "ghz-steiner"'):
        plan_ghz(Residual(chain(10.0)), "r", ("A", "B"), "ghz-stener")


def test_other_packages_add_methods_and_the_table_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    added = [
        EntryPoint("ghz-own", "theirs:plan", methods.ENTRY_POINTS),
        EntryPoint("ghz-star", "theirs:star", methods.ENTRY_POINTS),
        EntryPoint("graph-own", "theirs:graph", methods.ENTRY_POINTS),
    ]
    monkeypatch.setattr(methods, "entry_points", lambda group: added)
    assert known_ghz_methods() == {"ghz-own": "theirs:plan"} | GHZ_METHODS


@pytest.mark.parametrize("method", METHODS)
def test_a_plan_is_the_same_every_time(method: str) -> None:
    topology = random_network(8, 7, density=0.6)
    first = plan_ghz(Residual(topology), "r", tuple("ABCD"), method)
    assert plan_ghz(Residual(topology), "r", tuple("ABCD"), method) == first
