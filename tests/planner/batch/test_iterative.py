"""Iterative batches: closed forms on a line and a diamond, stop rules, caps, weights, exact bookkeeping.

Owns the tests of batch/iterative.py, leftover.py and slowing.py.
"""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.errors import ConfigError
from bellwire.planner.assessment import PairPlan, assess
from bellwire.planner.batch.batch_plan import BatchPlan
from bellwire.planner.batch.iterative import plan_batch
from bellwire.planner.batch.leftover import Leftover
from bellwire.planner.batch.slowing import slowed
from bellwire.planner.capacity import NoPlan, Residual, Use
from bellwire.planner.methods import METHODS, plan_pair
from bellwire.planner.requests import Limits, Options, PairRequest
from bellwire.planner.structures import LinkLeaf, StoredLeaf, leaves, retimed, route_of, throttled
from bellwire.planner.topology import Node, Topology
from tests.planner.batch.small_networks import (
    T_LINK_S,
    diamond,
    line,
    overspent,
    two_hops_hz,
    wanted,
)
from tests.planner.single.brute_force import networks

OBJECTIVES = ("total", "fair", "priority")


def rates(plan: BatchPlan) -> dict[str, float]:
    return {share.request: share.rate_hz for share in plan.shares}


def routes(plan: BatchPlan) -> list[str]:
    return ["".join(route_of(tree.tree)) for share in plan.shares for tree in share.trees]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_line_gets_one_tree_because_its_middle_is_spent(objective: str) -> None:
    found = plan_batch(Residual(line(10.0, 10.0)), [wanted("r", "A", "C")], objective)  # type: ignore[arg-type]
    assert routes(found) == ["ABC"]
    assert found.total_rate_hz == pytest.approx(35.04213, abs=5e-6)


def test_the_second_tree_of_a_diamond_runs_over_the_other_side_on_what_the_ends_have_left() -> None:
    found = plan_batch(Residual(diamond(memories=2)), [wanted("r", "A", "B")])
    assert routes(found) == ["ARB", "ASB"]
    first, second = (tree.rate_hz for tree in found.shares[0].trees)
    assert first == pytest.approx(two_hops_hz(), rel=1e-9)
    assert second == pytest.approx(two_hops_hz(2.0 * T_LINK_S), rel=1e-9)  # half of the half that is left


def test_with_usage_quanta_the_diamond_makes_exactly_twice_the_line() -> None:
    found = plan_batch(
        Residual(diamond()), [wanted("r", "A", "B")], "total", "dp-usage", Options(quantum=0.5)
    )
    assert routes(found) == ["ARB", "ASB"]
    assert found.total_rate_hz == pytest.approx(2.0 * two_hops_hz(), rel=1e-9)


def test_each_tree_over_one_link_has_half_of_what_is_left_until_the_stop_rule_of_the_objective() -> None:
    """1, 1/2, 1/4, ...: the seventh tree has 1/64 < 2 % of the first; the fifth adds 1/30 < 5 %."""
    request = [wanted("r", "A", "B")]
    for objective, count in (("total", 6), ("fair", 4), ("priority", 4)):
        found = plan_batch(Residual(line(10.0)), request, objective)  # type: ignore[arg-type]
        made = [tree.rate_hz for tree in found.shares[0].trees]
        assert made == pytest.approx([0.5**k / T_LINK_S for k in range(count)], rel=1e-9)


def test_requests_take_turns_until_a_tree_adds_less_than_5_percent() -> None:
    """1, 1/2, 1/4, then 1/8, 1/16, 1/32 of the first; only the third still gains 5 %, by 1/64."""
    asked = [wanted(name, "A", "B") for name in ("one", "two", "three")]
    found = rates(plan_batch(Residual(line(10.0)), asked, "fair"))
    parts = {"one": 1 + 1 / 8, "two": 1 / 2 + 1 / 16, "three": 1 / 4 + 1 / 32 + 1 / 64}
    assert found == pytest.approx({name: part / T_LINK_S for name, part in parts.items()}, rel=1e-9)


def test_who_is_furthest_behind_its_weight_gets_the_next_tree() -> None:
    """heavy 1, light 1/2, heavy 1/4 and 1/8; then 1/16 is < 5 % of heavy's, and light gets 1/16 and 1/32."""
    asked = [wanted("light", "A", "B"), wanted("heavy", "A", "B", weight=3.0)]
    found = plan_batch(Residual(line(10.0)), list(reversed(asked)), "priority")
    parts = {"heavy": 1 + 1 / 4 + 1 / 8, "light": 1 / 2 + 1 / 16 + 1 / 32}
    assert rates(found) == pytest.approx({name: part / T_LINK_S for name, part in parts.items()}, rel=1e-9)


def test_a_weight_decides_who_is_first_when_the_total_counts() -> None:
    short, long = wanted("short", "A", "B"), wanted("long", "A", "C", weight=10.0)
    topology = line(10.0, 10.0)
    plain = plan_batch(Residual(topology), [short, replace(long, weight=1.0)], allow_unserved=True)
    assert plain.shares[0].trees[0].rate_hz == pytest.approx(1.0 / T_LINK_S, rel=1e-9)
    weighted = plan_batch(Residual(topology), [short, long], allow_unserved=True)
    assert rates(weighted)["long"] == pytest.approx(two_hops_hz(), rel=1e-9)
    assert list(weighted.unserved) == ["short"]  # the long one took all that B has


def test_a_tree_takes_two_memories_of_an_inner_node_and_one_of_an_end() -> None:
    found = plan_batch(Residual(line(10.0, 10.0)), [wanted("r", "A", "C")])
    assert dict(found.use.memories) == {"A": 1, "B": 2, "C": 1}


def test_a_node_left_with_one_memory_swaps_for_nobody_but_still_is_an_end() -> None:
    few = line(10.0, 10.0, memories=3)
    first = wanted("first", "A", "C", rate_hz=1.0)
    with pytest.raises(NoPlan, match="request second: beside the other requests it gets nothing"):
        plan_batch(Residual(few), [first, wanted("second", "A", "C", rate_hz=1.0)], "fair")
    with_an_end = plan_batch(Residual(few), [first, wanted("second", "A", "B", rate_hz=1.0)], "fair")
    assert dict(with_an_end.use.memories) == {"A": 2, "B": 3, "C": 1}
    enough = line(10.0, 10.0, memories=4)
    both = plan_batch(Residual(enough), [first, wanted("second", "A", "C", rate_hz=1.0)], "fair")
    assert both.use.memories["B"] == 4


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_request_gets_no_more_than_it_asks_for_and_the_rest_is_free(objective: str) -> None:
    asked = [wanted("r", "A", "B", rate_hz=200.0)]
    found = plan_batch(Residual(line(10.0)), asked, objective)  # type: ignore[arg-type]
    made = [tree.rate_hz for tree in found.shares[0].trees]
    assert made == pytest.approx([1.0 / T_LINK_S, 0.5 / T_LINK_S, 200.0 - 1.5 / T_LINK_S], abs=1e-6)
    assert sum(found.use.links_hz.values()) == pytest.approx(200.0, rel=1e-9)


def test_of_equally_fast_trees_the_next_goes_to_who_has_fewest() -> None:
    found = plan_batch(Residual(line(10.0)), [wanted("one", "A", "B"), wanted("two", "B", "A")])
    assert [len(share.trees) for share in found.shares] == [3, 3]


def test_a_small_request_is_served_beside_a_fast_one() -> None:
    """0.1/s is far below 2 % of 132/s; the rule is about slow trees, not about modest wishes."""
    asked = [wanted("fast", "A", "B", rate_hz=132.0), wanted("small", "A", "B", rate_hz=0.1)]
    found = plan_batch(Residual(line(10.0)), asked)
    assert rates(found) == pytest.approx({"fast": 132.0, "small": 0.1}, rel=1e-9)


def test_a_slow_wish_does_not_break_the_age_limit() -> None:
    """One pair a minute would let qubits wait for minutes: the tree is as slow as 1 s of age allows."""
    found = plan_batch(Residual(line(10.0, 10.0)), [wanted("r", "A", "C", rate_hz=1 / 60, age_s=1.0)])
    tree = found.shares[0].trees[0]
    assert max(tree.ages_s) == pytest.approx(1.0, rel=1e-6)
    assert max(tree.ages_s) < 1.0
    assert 1 / 60 < tree.rate_hz < two_hops_hz()


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"route"}))
@pytest.mark.parametrize("factor", [1.01, 1.3, 7.0])
def test_a_slowed_tree_has_the_wanted_latency_and_takes_no_more_than_before(
    method: str, factor: float
) -> None:
    residual = Residual(line(10.0, 5.0, 7.0))
    for options in (Options(), Options(waiting="exponential"), Options(throttle=False)):
        plan = plan_pair(residual, wanted("r", "A", "D"), method, options)
        found = slowed(plan, residual, factor * plan.latency_s, Limits())
        assert found.latency_s == pytest.approx(factor * plan.latency_s, rel=1e-12)
        assert found.tree.latency_s == found.latency_s
        for pair, rate_hz in found.use.links_hz.items():
            assert rate_hz <= plan.use.links_hz[pair] * (1.0 + 1e-9)


def test_a_plan_is_never_made_faster() -> None:
    residual = Residual(line(10.0, 10.0))
    plan = plan_pair(residual, wanted("r", "A", "C"))
    assert slowed(plan, residual, plan.latency_s / 2.0, Limits()) is plan


def test_slow_trees_are_left_out_of_the_total_and_the_reason_says_who_would_serve_them() -> None:
    topology = line(1.0, 10.0, 10.0, 10.0, 10.0)
    asked = [wanted("near", "A", "B"), wanted("far", "B", "F")]
    with pytest.raises(NoPlan, match=r"request far: .* less than 2% of the first .* objective \"fair\""):
        plan_batch(Residual(topology), asked)
    found = plan_batch(Residual(topology), asked, allow_unserved=True)
    assert list(rates(found)) == ["near"]
    assert list(found.unserved) == ["far"]
    assert found.min_rate_hz == 0.0


def test_every_request_may_have_a_method_of_its_own() -> None:
    asked = [wanted("one", "A", "B", rate_hz=1.0), wanted("two", "B", "C", rate_hz=1.0)]
    found = plan_batch(Residual(line(10.0, 10.0)), asked, "fair", {"two": "balanced"})
    assert [share.trees[0].method for share in found.shares] == ["dp", "balanced"]
    assert found.method == "iterative balanced, dp"


def test_the_number_of_trees_of_a_request_can_be_limited() -> None:
    asked = [wanted("one", "A", "B"), wanted("two", "A", "B")]
    found = plan_batch(Residual(line(10.0)), asked, "fair", trees_max={"one": 1})
    assert len(found.shares[0].trees) == 1
    assert len(found.shares[1].trees) > 1


def test_batches_do_not_count_on_stored_pairs_which_one_attempt_spends() -> None:
    kept = StoredLeaf("A", "C", "kept", (1.0, 0.0, 0.0, 0.0), 0.0, 1.0)
    asked = replace(wanted("r", "A", "C"), stored=(kept,))
    found = plan_batch(Residual(line(10.0, 10.0)), [asked])
    assert found.use.stored == ()
    assert found.total_rate_hz == pytest.approx(two_hops_hz(), rel=1e-9)


def test_the_listener_hears_of_every_tree() -> None:
    heard: list[tuple[int, str]] = []
    asked = [wanted("one", "A", "B", rate_hz=1.0), wanted("two", "A", "B", rate_hz=1.0)]
    plan_batch(Residual(line(10.0)), asked, "fair", progress=lambda count, name: heard.append((count, name)))
    assert heard == [(1, "one"), (2, "two")]


@pytest.mark.parametrize(
    ("requests", "arguments", "words"),
    [
        ([wanted("r", "A", "B"), wanted("r", "B", "C")], {}, 'two requests are called "r"'),
        ([wanted("r", "A", "Z")], {}, 'unknown node "Z"'),
        ([wanted("good", "A", "B"), wanted("far", "A", "D")], {}, "request far: no route between A and D"),
        ([wanted("r", "A", "C", fidelity=0.9999)], {}, "request r: .*fidelity 0.9999 is not reached"),
        ([wanted("r", "A", "B")], {"objective": "fare"}, 'unknown objective "fare" .*"fair"'),
        ([wanted("r", "A", "B")], {"method": "balance"}, 'unknown planning method "balance" .*"balanced"'),
        ([wanted("r", "A", "B")], {"method": {"q": "dp"}}, 'unknown request "q"'),
        ([wanted("r", "A", "B")], {"options": Options(avoid=frozenset({"Q"}))}, 'unknown node "Q"'),
    ],
)
def test_what_a_batch_cannot_have_is_one_clear_sentence_and_takes_nothing(
    requests: list[PairRequest], arguments: dict[str, object], words: str
) -> None:
    chain = line(10.0, 10.0)
    residual = Residual(Topology.of((*chain.nodes.values(), Node(name="D")), chain.links.values()))
    with pytest.raises(ConfigError, match=words):
        plan_batch(residual, requests, **arguments)  # type: ignore[arg-type]
    assert residual.taken == {}


def test_a_node_without_capacity_serves_nobody() -> None:
    chain = line(10.0, 10.0)
    idle = replace(chain.nodes["B"], attempts_hz=0.0)
    topology = Topology.of((chain.nodes["A"], idle, chain.nodes["C"]), chain.links.values())
    with pytest.raises(NoPlan, match="request r: no route between A and C is left"):
        plan_batch(Residual(topology), [wanted("r", "A", "C")])


def test_no_requests_are_no_trees() -> None:
    found = plan_batch(Residual(line(10.0)), [])
    assert found.shares == ()
    assert found.total_rate_hz == 0.0


# --- properties ------------------------------------------------------------------------------------------


@st.composite
def batches(draw: st.DrawFn) -> tuple[Topology, list[PairRequest]]:
    """A small network and up to five requests on it, some with rates, weights and limits."""
    topology = draw(networks(6))
    names = sorted(topology.nodes)
    requests = []
    for index in range(draw(st.integers(1, 5))):
        a, b = draw(st.lists(st.sampled_from(names), min_size=2, max_size=2, unique=True))
        requests.append(
            wanted(
                f"r{index}",
                a,
                b,
                rate_hz=draw(st.none() | st.floats(0.01, 500.0)),
                weight=draw(st.sampled_from([0.1, 1.0, 4.0])),
                age_s=draw(st.sampled_from([60.0, 0.1])),
                fidelity=draw(st.none() | st.sampled_from([0.5, 0.9])),
            )
        )
    return topology, requests


def numbers(residual: Residual) -> list[float]:
    topology = residual.topology
    return [
        *(residual.used_hz(pair) for pair in topology.links),
        *(residual.used_attempts_hz(name) for name in topology.nodes),
        *(residual.used_memories(name) for name in topology.nodes),
    ]


@settings(deadline=None, derandomize=True, max_examples=180)
@given(batches(), st.sampled_from(OBJECTIVES), st.sampled_from(["dp", "balanced", "caleffi"]), st.booleans())
def test_what_a_batch_takes_fits_and_giving_it_back_leaves_the_very_numbers(
    case: tuple[Topology, list[PairRequest]], objective: str, method: str, throttle: bool
) -> None:
    topology, requests = case
    residual = Residual(topology)
    options = Options(throttle=throttle)
    first = plan_batch(residual, requests, objective, method, options, allow_unserved=True)  # type: ignore[arg-type]
    assert {share.request for share in first.shares} | set(first.unserved) == {r.request for r in requests}
    residual.claim("first", first.use)
    before = numbers(residual)
    second = plan_batch(residual, requests, objective, method, options, allow_unserved=True)  # type: ignore[arg-type]
    residual.claim("second", second.use)
    trees: list[PairPlan] = [
        tree for plan in (first, second) for share in plan.shares for tree in share.trees
    ]
    assert overspent(topology, trees) == []
    one_by_one = Residual(topology)
    for index, tree in enumerate(trees):
        one_by_one.claim(str(index), tree.use)
    residual.give_back("second")
    assert numbers(residual) == before
    residual.give_back("first")
    assert numbers(residual) == numbers(Residual(topology))


@settings(deadline=None, derandomize=True, max_examples=150)
@given(batches(), st.sampled_from(OBJECTIVES))
def test_nobody_gets_more_than_it_asked_for_unless_slower_breaks_its_limits(
    case: tuple[Topology, list[PairRequest]], objective: str
) -> None:
    topology, requests = case
    found = plan_batch(Residual(topology), requests, objective, allow_unserved=True)  # type: ignore[arg-type]
    asked = {request.request: request for request in requests}
    for share in found.shares:
        request = asked[share.request]
        assert share.fidelity >= (request.limits.fidelity or 0.0)
        if request.rate_hz is None or share.rate_hz <= request.rate_hz * (1.0 + 1e-9):
            continue
        last = share.trees[-1]
        slower = throttled(last.tree, topology, last.latency_s * (1.0 + 1e-6))
        with pytest.raises(NoPlan):
            assess(slower, Residual(topology), "dp", request.limits)


def plainly(topology: Topology, requests: list[PairRequest]) -> dict[str, list[float]]:
    """The loop of 1.5 as it is printed: every pair's best tree anew in every round. Rates by request."""
    residual = Leftover(topology)
    made: dict[str, list[float]] = {request.request: [] for request in requests}
    first_hz = None
    while True:
        found: list[tuple[float, PairRequest, PairPlan]] = []
        for request in requests:
            try:
                plan = plan_pair(residual, request)
            except NoPlan:
                continue
            found.append((plan.rate_hz, request, plan))
        if not found:
            return made
        fastest_hz = max(each[0] for each in found)
        equals = [each for each in found if each[0] >= fastest_hz * (1.0 - 1e-9)]
        best = min(equals, key=lambda each: len(made[each[1].request]))
        first_hz = best[0] if first_hz is None else first_hz
        if best[0] < 0.02 * first_hz:
            return made
        residual.claim(str(len(residual.taken)), best[2].use)
        made[best[1].request].append(best[0])


@pytest.mark.slow
@settings(deadline=None, derandomize=True, max_examples=150)
@given(batches())
def test_the_total_is_that_of_the_printed_loop_although_most_searches_are_spared(
    case: tuple[Topology, list[PairRequest]],
) -> None:
    topology, requests = case
    free = [replace(request, rate_hz=None, weight=1.0) for request in requests]
    found = plan_batch(Residual(topology), free, allow_unserved=True)
    made = {share.request: [tree.rate_hz for tree in share.trees] for share in found.shares}
    plain = plainly(topology, free)
    assert made.keys() == {name for name, speeds in plain.items() if speeds}
    for name, speeds in made.items():
        assert speeds == pytest.approx(plain[name], rel=1e-9)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(batches(), st.sampled_from(OBJECTIVES))
def test_the_same_batch_is_planned_the_same_way(
    case: tuple[Topology, list[PairRequest]], objective: str
) -> None:
    topology, requests = case
    one, two = (
        plan_batch(Residual(topology), requests, objective, allow_unserved=True)  # type: ignore[arg-type]
        for _ in range(2)
    )
    assert one == two


def test_shares_of_what_is_left_never_sum_to_more_than_that() -> None:
    topology = line(10.0)
    book = Leftover(topology)
    book.claim("first", Use(links_hz={}, attempts_hz={"A": 15_000.0}, memories={}))
    assert book.attempts_hz("A", 0.5) == pytest.approx(2_500.0)
    assert Residual(topology, book.taken).attempts_hz("A", 0.5) == 0.0  # 1.1: what is sold, off the half
    assert book.attempts_hz("A") == Residual(topology, book.taken).attempts_hz("A") == pytest.approx(5_000.0)
    other = book.copy()
    other.claim("second", Use(links_hz={}, attempts_hz={"A": 5_000.0}, memories={}))
    assert book.attempts_hz("A") == pytest.approx(5_000.0)
    assert other.attempts_hz("A", 0.5) == 0.0


def test_a_stretched_tree_makes_pairs_no_later_than_it_promises() -> None:
    residual = Residual(line(10.0, 10.0, 10.0))
    plan = plan_pair(residual, wanted("r", "A", "D"), "dp", Options(waiting="exponential"))
    found = slowed(plan, residual, 3.0 * plan.latency_s, Limits())
    assert retimed(found.tree, residual.topology, "exponential").latency_s <= found.latency_s
    slower = [leaf.latency_s for leaf in leaves(found.tree) if isinstance(leaf, LinkLeaf)]
    before = [leaf.latency_s for leaf in leaves(plan.tree) if isinstance(leaf, LinkLeaf)]
    assert slower == pytest.approx([3.0 * each for each in before], rel=1e-12)
    assert math.isclose(found.latency_s, 3.0 * plan.latency_s)
