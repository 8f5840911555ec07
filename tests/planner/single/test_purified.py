"""Method "past": plans with purification keep what they promise, and fit into the network.

Owns the tests of single/purified.py; the search behind it is tested in test_pareto.py.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.bell import werner
from bellwire.core.errors import ConfigError
from bellwire.planner.capacity import FidelityMissed, NoPlan, Residual
from bellwire.planner.methods import plan_pair
from bellwire.planner.requests import Limits, Options, PairRequest
from bellwire.planner.single import exact
from bellwire.planner.single.pareto import ParetoSearch
from bellwire.planner.single.purified import front, plan
from bellwire.planner.structures import (
    LinkLeaf,
    PurifyNode,
    Scheme,
    StoredLeaf,
    SwapNode,
    Tree,
    leaves,
    retimed,
    route_of,
)
from bellwire.planner.topology import PERFECT, Link, Node, Topology, link_between, pair_of
from tests.planner import density
from tests.planner.random_trees import drawn_network
from tests.planner.single.brute_force import networks

SCHEMES: tuple[Scheme, ...] = ("dejmps", "recurrence", "bbpssw")


@st.composite
def dense(draw: st.DrawFn, most: int = 5) -> Topology:
    """Networks of three to `most` nodes, nearly always connected, whose pairs live for seconds."""
    chance = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return drawn_network(chance, int(chance.integers(3, most + 1)), 0.85, decay=0.1)


def line(*lengths_km: float, fidelity: float = 0.9, **node: object) -> Topology:
    """A line of nodes A, B, C, ... by fibre lengths."""
    names = [chr(ord("A") + index) for index in range(len(lengths_km) + 1)]
    nodes = [Node(name=name, **node) for name in names]  # type: ignore[arg-type]
    links = [
        link_between(a, b, length, fidelity=fidelity)
        for (a, b), length in zip(pairwise(nodes), lengths_km, strict=True)
    ]
    return Topology.of(nodes, links)


def asked(topology: Topology, **limits: float) -> PairRequest:
    names = list(topology.nodes)
    return PairRequest(
        request="r",
        source=names[0],
        destination=names[-1],
        limits=Limits(**limits),  # type: ignore[arg-type]
    )


def rounds_of(tree: Tree) -> Iterator[PurifyNode]:
    """All purification rounds of a tree."""
    match tree:
        case SwapNode():
            yield from rounds_of(tree.one)
            yield from rounds_of(tree.other)
        case PurifyNode():
            yield tree
            yield from rounds_of(tree.kept)
            yield from rounds_of(tree.measured)
        case _:
            return


# --- promises -----------------------------------------------------------------------------------------


@settings(deadline=None, derandomize=True, max_examples=50)
@given(dense(), st.floats(0.05, 0.4), st.sampled_from(SCHEMES), st.booleans())
def test_a_plan_has_the_fidelity_and_the_success_that_density_matrices_give_its_tree(
    topology: Topology, share: float, scheme: Scheme, throttle: bool
) -> None:
    """The limit lies between the fidelity of the fastest tree and 1; gates err, and waiting pairs decay."""
    options = Options(scheme=scheme, throttle=throttle)
    try:
        fastest = plan(Residual(topology), asked(topology), options)
        limit = fastest.fidelity + share * (1.0 - fastest.fidelity)
        found = plan(Residual(topology), asked(topology, fidelity=limit), options)
    except NoPlan:
        return
    done = density.execute(found.tree, topology)
    assert found.fidelity >= limit
    assert density.diagonal(done.state) == pytest.approx(found.state, abs=1e-9)
    assert done.success_probability == pytest.approx(found.success_probability, abs=1e-9)
    assert done.latency_s == pytest.approx(found.latency_s, rel=1e-9)
    for each in rounds_of(found.tree):
        assert density.execute(each, topology).latency_s == pytest.approx(each.latency_s, rel=1e-9)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(networks(6))
def test_without_a_fidelity_limit_it_is_the_exact_programme(topology: Topology) -> None:
    residual, request = Residual(topology), asked(topology)
    try:
        expected_s = exact.plan(residual, request, Options()).latency_s
    except NoPlan:
        with pytest.raises(NoPlan):
            plan(residual, request, Options())
        return
    assert plan(residual, request, Options()).latency_s == pytest.approx(expected_s, rel=1e-9)


@settings(deadline=None, derandomize=True, max_examples=80)
@given(dense(6), st.floats(0.0, 1.0))
def test_without_rounds_it_is_the_exact_programme_at_every_fidelity(topology: Topology, share: float) -> None:
    residual = Residual(topology)
    options = Options(rounds=0, fidelity_step=1e-9)
    best = front(residual, asked(topology), options)
    if not best:
        return
    fidelity = best[0].fidelity + share * (best[-1].fidelity - best[0].fidelity)
    request = asked(topology, fidelity=fidelity * (1.0 - 1e-12))
    expected_s = exact.plan(residual, request, options).latency_s
    assert plan(residual, request, options).latency_s == pytest.approx(expected_s, rel=1e-9)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(dense(4))
def test_a_higher_fidelity_never_takes_less_time(topology: Topology) -> None:
    residual = Residual(topology)
    before_s = 0.0
    for fidelity in (0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.96, 0.98):
        try:
            found = plan(residual, asked(topology, fidelity=fidelity), Options(rounds=1))
        except NoPlan:
            before_s = math.inf
            continue
        assert found.fidelity >= fidelity
        assert found.latency_s >= before_s * (1.0 - 1e-9)
        before_s = found.latency_s


@settings(deadline=None, derandomize=True, max_examples=40)
@given(networks(5, alike=True), st.sampled_from([1e-3, 0.1, 7.0, 1e4]))
def test_all_times_may_be_read_in_another_unit(topology: Topology, scale: float) -> None:
    """Every duration times s, every rate divided by s: latency times s, the same fidelity and tree."""
    nodes = [
        replace(
            node,
            attempts_hz=node.attempts_hz / scale,
            generation_s=node.generation_s * scale,
            swap_s=node.swap_s * scale,
            purification_s=node.purification_s * scale,
            decay_hz=(node.decay_hz[0] / scale, node.decay_hz[1] / scale, node.decay_hz[2] / scale),
        )
        for node in topology.nodes.values()
    ]
    links = [
        replace(
            link,
            capacity_hz=link.capacity_hz / scale,
            attempt_s=link.attempt_s * scale,
            success_s=link.success_s * scale,
        )
        for link in topology.links.values()
    ]
    names = list(topology.nodes)
    delays_s = {(a, b): topology.delay_s(a, b) * scale for a in names for b in names if a < b}
    other = Topology.of(nodes, links, delays_s=delays_s)
    try:
        found = plan(Residual(topology), asked(topology, fidelity=0.97, age_s=1e9), Options())
    except NoPlan:
        with pytest.raises(NoPlan):
            plan(Residual(other), asked(other, fidelity=0.97, age_s=1e9), Options())
        return
    scaled = plan(Residual(other), asked(other, fidelity=0.97, age_s=1e9), Options())
    assert scaled.latency_s == pytest.approx(found.latency_s * scale, rel=1e-9)
    assert scaled.fidelity == pytest.approx(found.fidelity, abs=1e-9)
    assert route_of(scaled.tree) == route_of(found.tree)


def test_a_coarse_step_never_touches_the_promise() -> None:
    topology = line(10.0, 5.0, 20.0, fidelity=0.93)
    exact_s = plan(Residual(topology), asked(topology, fidelity=0.9), Options(fidelity_step=1e-9)).latency_s
    for step in (1e-3, 5e-3, 2e-2):
        found = plan(Residual(topology), asked(topology, fidelity=0.9), Options(fidelity_step=step))
        assert found.fidelity >= 0.9
        assert density.diagonal(density.execute(found.tree, topology).state)[0] == pytest.approx(
            found.fidelity
        )
        assert found.latency_s >= exact_s * (1.0 - 1e-12)


# --- capacity -----------------------------------------------------------------------------------------


def moments(tree: Tree) -> Iterator[list[LinkLeaf]]:
    """Sets of links that run at the same time: all, but only one of two pairs that are made in turn."""
    match tree:
        case LinkLeaf():
            yield [tree]
        case StoredLeaf():
            yield []
        case PurifyNode(pumping=True):
            yield from moments(tree.kept)
            yield from moments(tree.measured)
        case _:
            one, other = (tree.one, tree.other) if isinstance(tree, SwapNode) else (tree.kept, tree.measured)
            for first in moments(one):
                for second in moments(other):
                    yield first + second


@settings(deadline=None, derandomize=True, max_examples=80)
@given(dense(), st.floats(0.0, 0.4), st.booleans())
def test_links_and_nodes_never_run_faster_than_they_can(
    topology: Topology, share: float, throttle: bool
) -> None:
    residual, options = Residual(topology), Options(throttle=throttle)
    try:
        fidelity = plan(residual, asked(topology), options).fidelity
        found = plan(residual, asked(topology, fidelity=fidelity + share * (1.0 - fidelity)), options)
    except NoPlan:
        return
    for moment in moments(found.tree):
        links_hz: dict[tuple[str, str], float] = {}
        attempts_hz = dict.fromkeys(topology.nodes, 0.0)
        for leaf in moment:
            link = topology.links[pair_of(leaf.left, leaf.right)]
            links_hz[link.ends] = links_hz.get(link.ends, 0.0) + 1.0 / leaf.latency_s
            for name in link.ends:
                attempts_hz[name] += 1.0 / leaf.latency_s / link.success_probability
        for pair, rate_hz in links_hz.items():
            assert rate_hz <= topology.links[pair].capacity_hz * (1.0 + 1e-9)
            assert rate_hz <= found.use.links_hz[pair] * (1.0 + 1e-9)
        for name, rate_hz in attempts_hz.items():
            assert rate_hz <= topology.nodes[name].attempts_hz * (1.0 + 1e-9)
            assert rate_hz <= found.use.attempts_hz.get(name, 0.0) * (1.0 + 1e-9)
    for name, count in found.use.memories.items():
        assert count <= topology.nodes[name].memories
    if throttle:
        assert retimed(found.tree, topology).latency_s == pytest.approx(found.latency_s, rel=1e-9)


@settings(deadline=None, derandomize=True, max_examples=15)
@given(networks(5, alike=True))
def test_plans_beside_running_ones_fit_until_nothing_is_left(topology: Topology) -> None:
    """Node memories are many, so that rates run out first."""
    nodes = [replace(node, memories=100) for node in topology.nodes.values()]
    topology = Topology.of(nodes, topology.links.values())
    residual = Residual(topology)
    request = asked(topology, fidelity=0.95)
    for index in range(6):
        try:
            found = plan(residual, request, Options())
        except NoPlan:
            break
        slower = found.use.scaled(0.4)
        residual.claim(f"r{index}", slower)
        assert all(
            residual.used_hz(pair) <= link.capacity_hz * (1 + 1e-9) for pair, link in topology.links.items()
        )


def test_purification_needs_a_second_memory_at_both_ends() -> None:
    poor, rich = line(10.0, memories=1), line(10.0, memories=2)
    with pytest.raises(FidelityMissed, match=r"has 0\.9000 at 0\.007570 s|has 0\.9000 at 0\.00757 s"):
        plan(Residual(poor), asked(poor, fidelity=0.92), Options())
    found = plan(Residual(rich), asked(rich, fidelity=0.92), Options())
    assert found.use.memories == {"A": 2, "B": 2}
    assert all(each.pumping for each in rounds_of(found.tree))


def test_pumping_is_chosen_where_pairs_share_a_link() -> None:
    """Side by side each copy has half the link: 1.5 (2 T) against T + T."""
    topology = line(10.0)
    found = plan(Residual(topology), asked(topology, fidelity=0.92), Options())
    assert [each.pumping for each in rounds_of(found.tree)] == [True]
    t_s = Residual(topology).link_latency_s(topology.links["A", "B"])
    busy_s = 10e-6 + 50e-6
    p = next(rounds_of(found.tree)).success_probability
    assert found.latency_s == pytest.approx((2.0 * t_s + busy_s) / p, rel=1e-9)


def test_side_by_side_is_chosen_where_words_are_slower_than_pairs() -> None:
    """Two swapped copies in turn wait for two words one after the other, side by side for one and a half."""
    nodes = [Node(name=name, swap_probability=1.0, memories=20, decay_hz=(0.0, 0.0, 0.0)) for name in "ABC"]
    links = [link_between(a, b, 5.0, fidelity=0.9, optical_probability=0.2) for a, b in pairwise(nodes)]
    slow = Topology.of(nodes, links, delays_s={("A", "B"): 1.0, ("B", "C"): 1.0, ("A", "C"): 1e-3})
    found = plan(Residual(slow), asked(slow, fidelity=0.83), Options(rounds=1))
    assert isinstance(found.tree, PurifyNode)
    assert not found.tree.pumping


def test_two_routes_that_meet_nowhere_run_side_by_side_at_full_capacity() -> None:
    """A diamond: 1.5 T instead of 2 T, and both ends spend all that they have."""
    nodes = [Node(name=name, decay_hz=(0.0, 0.0, 0.0)) for name in "ARSB"]
    by_name = {node.name: node for node in nodes}
    links = [link_between(by_name[a], by_name[b], 10.0, fidelity=0.95) for a, b in ("AR", "RB", "AS", "SB")]
    diamond = Topology.of(nodes, links)
    alone = plan(Residual(diamond), asked(diamond), Options())
    after = plan(Residual(diamond), asked(diamond, fidelity=alone.fidelity + 0.001), Options(rounds=1))
    tree = next((each for each in rounds_of(after.tree)), None)
    assert tree is not None
    best = front(Residual(diamond), asked(diamond), Options(rounds=1))
    beside = [each for each in best if isinstance(each.tree, PurifyNode) and not each.tree.pumping]
    assert beside
    spent = beside[0].use.attempts_hz
    assert spent["A"] == pytest.approx(diamond.nodes["A"].attempts_hz, rel=1e-9)
    assert set(beside[0].use.memories) == {"A", "R", "S", "B"}


# --- limits, stored pairs, options --------------------------------------------------------------------


@pytest.mark.parametrize("w_op", [1.0, 0.98])
@pytest.mark.parametrize("w0", [1.0, 0.95])
@pytest.mark.parametrize("w_min", [-0.1, 0.5, 0.85, 0.96, 0.99])
def test_the_longest_chain_within_a_fidelity_is_k_max_links(w_min: float, w0: float, w_op: float) -> None:
    """1.3 without ages: floor((ln w_min + ln w_op)/(ln w0 + ln w_op)); no limit if w_min <= 0."""
    longest = 16
    if w_min <= 0.0 or w0 * w_op == 1.0:
        k_max = longest
    else:
        k_max = math.floor((math.log(w_min) + math.log(w_op)) / (math.log(w0) + math.log(w_op)))
    calm = {"decay_hz": (0.0, 0.0, 0.0), "swap_noise": werner((1 + 3 * w_op) / 4), "swap_probability": 1.0}
    for links in range(1, longest + 1):
        topology = line(*[1.0] * links, fidelity=(1 + 3 * w0) / 4, **calm)
        request = asked(topology, fidelity=max(0.0, (1 + 3 * w_min) / 4), age_s=math.inf)
        if links <= k_max:
            assert plan(Residual(topology), request, Options(rounds=0)).fidelity >= (1 + 3 * w_min) / 4
        else:
            with pytest.raises(FidelityMissed):
                plan(Residual(topology), request, Options(rounds=0))


def test_ages_and_leaves_limit_purification_too() -> None:
    topology = line(10.0, 10.0, fidelity=0.93)
    residual = Residual(topology)
    free = plan(residual, asked(topology, fidelity=0.9), Options())
    count = sum(1 for _ in leaves(free.tree))
    assert count > 2
    with pytest.raises(NoPlan, match=r"fidelity 0\.9 is not reached"):
        plan(residual, asked(topology, fidelity=0.9, leaves=2), Options())
    assert plan(residual, asked(topology, fidelity=0.9, leaves=count), Options()).latency_s == free.latency_s
    assert max(free.ages_s) > 0.004
    with pytest.raises(NoPlan):
        plan(residual, asked(topology, fidelity=0.9, age_s=0.004), Options())
    with pytest.raises(NoPlan, match="on average, limit 1e-05 s"):
        plan(residual, asked(topology, age_s=1e-5), Options())


def test_a_stored_pair_is_purified_by_a_fresh_one_and_used_once() -> None:
    topology = line(10.0, fidelity=0.9)
    kept = StoredLeaf("A", "B", "kept", werner(0.9), 0.0, 10.0)
    request = replace(asked(topology, fidelity=0.92), stored=(kept,))
    found = plan(Residual(topology), request, Options())
    assert found.use.stored == ("kept",)
    assert len(list(leaves(found.tree))) == 2
    done = density.execute(found.tree, topology)
    assert density.diagonal(done.state) == pytest.approx(found.state, abs=1e-9)
    alone = plan(Residual(topology), asked(topology, fidelity=0.92), Options())
    assert found.latency_s < alone.latency_s
    two = replace(request, stored=(kept, replace(kept, pair="other")), limits=Limits(fidelity=0.95))
    best = plan(Residual(topology), two, Options())
    assert len(set(best.use.stored)) == len(best.use.stored)


def test_a_stored_pair_that_would_die_waiting_is_left_alone() -> None:
    topology = line(10.0, fidelity=0.9)
    dying = StoredLeaf("A", "B", "dying", werner(0.9), 0.0, 1e-4)
    found = plan(Residual(topology), replace(asked(topology, fidelity=0.92), stored=(dying,)), Options())
    assert found.use.stored == ()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_each_scheme_purifies_with_its_own_map(scheme: Scheme) -> None:
    topology = line(10.0, 10.0, fidelity=0.9)
    found = plan(Residual(topology), asked(topology, fidelity=0.85), Options(scheme=scheme))
    assert {each.scheme for each in rounds_of(found.tree)} == {scheme}


def test_no_level_has_more_rounds_than_allowed() -> None:
    topology = line(10.0, fidelity=0.8)
    reached = []
    for rounds in range(4):
        best = front(Residual(topology), asked(topology), Options(rounds=rounds))[-1]
        assert _depth(best.tree) == rounds
        reached.append(best.fidelity)
    assert reached == sorted(reached)
    assert len(set(reached)) == 4


def _depth(tree: Tree) -> int:
    return 1 + max(_depth(tree.kept), _depth(tree.measured)) if isinstance(tree, PurifyNode) else 0


def test_exponential_waiting_is_followed_through_rounds() -> None:
    topology = line(10.0, 5.0, fidelity=0.92)
    found = plan(Residual(topology), asked(topology, fidelity=0.88), Options(waiting="exponential"))
    assert retimed(found.tree, topology, "exponential").latency_s == pytest.approx(found.latency_s, rel=1e-9)
    done = density.execute(found.tree, topology)
    assert density.diagonal(done.state) == pytest.approx(found.state, abs=1e-9)


def test_a_given_route_and_nodes_to_avoid_are_obeyed() -> None:
    nodes = [Node(name=name) for name in "ARSB"]
    by_name = {node.name: node for node in nodes}
    links = [link_between(by_name[a], by_name[b], 10.0, fidelity=0.95) for a, b in ("AR", "RB", "AS", "SB")]
    diamond = Topology.of(nodes, links)
    request = asked(diamond, fidelity=0.93)
    for options in (Options(route=("A", "S", "B")), Options(avoid=frozenset("R"))):
        found = plan(Residual(diamond), request, options)
        assert set(found.use.memories) == {"A", "S", "B"}


# --- the front ----------------------------------------------------------------------------------------


def test_the_front_is_what_plan_answers_at_every_fidelity() -> None:
    topology = line(10.0, 5.0, fidelity=0.9)
    residual = Residual(topology)
    fine = Options(rounds=1, fidelity_step=1e-9)
    best = front(residual, asked(topology), fine)
    assert len(best) > 5
    assert best[0].latency_s == pytest.approx(exact.plan(residual, asked(topology), Options()).latency_s)
    for faster, slower in pairwise(best):
        assert slower.latency_s > faster.latency_s
        assert slower.fidelity > faster.fidelity
    for each in best:
        request = asked(topology, fidelity=each.fidelity - 1e-12)
        assert plan(residual, request, fine).latency_s == pytest.approx(each.latency_s)


def test_the_front_keeps_the_limits_of_its_request() -> None:
    topology = line(10.0, 5.0, fidelity=0.9)
    best = front(Residual(topology), asked(topology, fidelity=0.9), Options())
    assert best
    assert all(each.fidelity >= 0.9 for each in best)
    assert front(Residual(topology), asked(topology, fidelity=0.9, age_s=1e-6), Options()) == ()


# --- refusals and size --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (
            {"fidelity": 0.9999},
            r"A-C: fidelity 0\.9999 is not reached: the best that was found with 2 .* has 0\.9",
        ),
        ({"fidelity": 1.2}, r"fidelity 1\.2 is outside 0\.\.1"),
        ({"fidelity": math.nan}, r"fidelity nan is outside 0\.\.1"),
        ({"leaves": 1}, "2 leaves, limit 1"),
    ],
)
def test_what_cannot_be_had_is_one_clear_sentence(limits: dict[str, float], words: str) -> None:
    topology = line(10.0, 10.0)
    with pytest.raises(NoPlan, match=words):
        plan_pair(Residual(topology), asked(topology, **limits), "past")


def test_no_way_no_node_and_no_capacity_are_said_as_such() -> None:
    topology = line(10.0, 10.0)
    apart = Topology.of((*topology.nodes.values(), Node(name="Z")), topology.links.values())
    with pytest.raises(NoPlan, match="no route between A and Z"):
        plan_pair(Residual(apart), asked(apart), "past")
    unknown = PairRequest(request="r", source="A", destination="Q")
    with pytest.raises(ConfigError, match='unknown node "Q"'):
        plan_pair(Residual(topology), unknown, "past")
    idle = Topology.of(
        [replace(node, attempts_hz=0.0) if node.name == "B" else node for node in topology.nodes.values()],
        topology.links.values(),
    )
    with pytest.raises(NoPlan, match="no route between A and C is left"):
        plan_pair(Residual(idle), asked(idle), "past")


def test_separable_links_are_never_purified_to_entanglement() -> None:
    topology = line(10.0, fidelity=0.5)
    with pytest.raises(FidelityMissed, match=r"the fastest tree has 0\.5000 at 0\.00757 s per pair"):
        plan(Residual(topology), asked(topology, fidelity=0.6), Options())


def grid(side: int) -> Topology:
    """side x side nodes 10 km apart, links of fidelity 0.95 with a little unevenness."""
    chance = np.random.default_rng(5)
    nodes = {
        (x, y): Node(name=f"n{x}{y}", position_km=(10.0 * x, 10.0 * y))
        for x in range(side)
        for y in range(side)
    }
    links: list[Link] = []
    for (x, y), node in nodes.items():
        for there in ((x + 1, y), (x, y + 1)):
            if there in nodes:
                links.append(
                    link_between(node, nodes[there], float(chance.uniform(10.0, 12.0)), fidelity=0.95)
                )
    return Topology.of(nodes.values(), links)


@pytest.mark.parametrize(("fidelity", "steps"), [(0.7, 2_000), (0.9, 10_000), (0.95, 30_000)])
def test_fifty_nodes_need_some_thousand_steps(fidelity: float, steps: int) -> None:
    """A 7 x 7 grid, four links apart. A step takes some ten microseconds; no clock is read here."""
    topology = grid(7)
    request = PairRequest(request="r", source="n22", destination="n44", limits=Limits(fidelity=fidelity))
    search = ParetoSearch(Residual(topology), request, Options())
    first = next(each for each in search.candidates() if each.fidelity >= fidelity + 1e-4)
    assert search.steps < steps
    found = plan(Residual(topology), request, Options())
    assert found.fidelity >= fidelity
    assert found.latency_s <= first.latency_s * (1.0 + 1e-6)


def test_a_perfect_network_needs_no_purification() -> None:
    calm = {"decay_hz": (0.0, 0.0, 0.0), "swap_noise": PERFECT}
    topology = line(10.0, 10.0, 10.0, fidelity=1.0, **calm)
    found = plan(Residual(topology), asked(topology, fidelity=1.0 - 1e-12), Options())
    assert not list(rounds_of(found.tree))
    assert 1e3 * found.latency_s == pytest.approx(107.28902833, abs=1.0)
