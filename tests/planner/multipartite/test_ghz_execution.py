"""GHZ plans executed: the right state for every outcome, the promised fidelity, the right people told.

Owns the proofs by stim and by density matrices. Refuses optimality (test_ghz_orders.py, test_ghz_steiner.py).
"""

import math
from dataclasses import replace
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.planner.assessment import outlook
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.methods import plan_pair
from bellwire.planner.multipartite.fusion import fuse
from bellwire.planner.multipartite.ghz_noise import mean_waits_s
from bellwire.planner.multipartite.methods import GHZ_METHODS, plan_ghz
from bellwire.planner.multipartite.values import Gate, Measurement, MultipartitePlan, Qubit
from bellwire.planner.requests import Limits, Options, PairRequest
from bellwire.planner.topology import Node, Topology, link_between
from tests.planner.multipartite.ghz_execution import (
    TableauRun,
    executed_fidelity,
    outcome_strings,
    owners_before_each_operation,
)
from tests.planner.multipartite.ghz_networks import asked_states, random_network
from tests.planner.single.test_exact import chain

METHODS = sorted(GHZ_METHODS)


def planned(topology: Topology, members: tuple[str, ...], method: str) -> MultipartitePlan | None:
    """The plan, or None when there is none."""
    try:
        return plan_ghz(Residual(topology), "r", members, method)
    except NoPlan:
        return None


def check_by_tableau(plan: MultipartitePlan) -> None:
    """Every string of outcomes leads to GHZ on the final qubits."""
    for outcomes in outcome_strings(plan):
        run = TableauRun(plan)
        run.run(outcomes)
        run.assert_ghz()


@pytest.mark.parametrize("method", METHODS)
@given(asked=asked_states())
@settings(max_examples=150, derandomize=True, deadline=None)
def test_every_outcome_of_a_plan_ends_in_the_ghz_state(
    method: str, asked: tuple[Topology, tuple[str, ...]]
) -> None:
    plan = planned(*asked, method)
    if plan is not None:
        assert plan.members == asked[1]
        check_by_tableau(plan)


@pytest.mark.parametrize("method", METHODS)
def test_of_a_hundred_fixed_networks_most_have_a_plan_and_all_plans_end_in_the_ghz_state(method: str) -> None:
    made = 0
    for seed in range(100):
        topology = random_network(seed, 6, density=0.6)
        plan = planned(topology, ("A", "B", "C", "D"), method)
        if plan is not None:
            made += 1
            check_by_tableau(plan)
    assert made >= 80


@pytest.mark.parametrize("method", METHODS)
@given(asked=asked_states())
@settings(max_examples=60, derandomize=True, deadline=None)
def test_all_owners_of_what_a_fusion_consumes_hear_of_its_failure_and_nobody_else(
    method: str, asked: tuple[Topology, tuple[str, ...]]
) -> None:
    plan = planned(*asked, method)
    if plan is not None:
        for operation, owners in zip(plan.operations, owners_before_each_operation(plan), strict=True):
            assert operation.owners == owners
            assert set(operation.tell) == owners - {operation.node}


@pytest.mark.parametrize("method", METHODS)
def test_a_failure_of_the_last_fusion_is_told_to_members_that_are_no_neighbours(method: str) -> None:
    plan = plan_ghz(Residual(chain(*[10.0] * 6)), "r", tuple("ABCDEFG"), method)
    last = plan.operations[-1]
    assert {last.node, *last.tell} == set("ABCDEFG")


@pytest.mark.parametrize("method", METHODS)
@given(asked=asked_states(6, 4, noisy=True), exponential=st.booleans())
@settings(max_examples=60, derandomize=True, deadline=None)
def test_the_promised_fidelity_is_that_of_a_density_matrix_execution(
    method: str, asked: tuple[Topology, tuple[str, ...]], exponential: bool
) -> None:
    topology, members = asked
    options = Options(waiting="exponential" if exponential else "three_halves")
    try:
        plan = plan_ghz(Residual(topology), "r", members, method, options)
    except NoPlan:
        return
    if len(plan.pairs) <= 3:  # 6 qubits
        assert plan.fidelity == pytest.approx(executed_fidelity(plan, topology), abs=1e-9)


def test_five_noisy_members_of_a_star_and_a_line_have_the_fidelity_of_their_density_matrix() -> None:
    """Four pairs, eight qubits: a hub that leaves after three fusions, and one that fuses all at once."""
    full = random_network(5, 5, noisy=True, density=1.0)
    nodes = {name: replace(node, memories=4, relays=True) for name, node in full.nodes.items()}
    hub = {pair: link for pair, link in full.links.items() if "A" in pair}
    line = {pair: full.links[pair] for pair in pairwise("ABCDE")}
    for links, members, method in (
        (hub, "BCDE", "ghz-steiner"),
        (hub, "ABCDE", "ghz-steiner"),
        (hub, "BCDE", "ghz-star"),
        (line, "ABCDE", "ghz-retain"),
        (line, "ACE", "ghz-steiner"),
    ):
        topology = Topology(nodes, links)
        plan = plan_ghz(Residual(topology), "r", tuple(members), method)
        assert len(plan.pairs) == 4
        assert plan.fidelity == pytest.approx(executed_fidelity(plan, topology), abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [3, 4])
def test_states_of_three_and_four_noisy_members_have_the_fidelity_of_their_density_matrix(
    method: str, size: int
) -> None:
    compared = []
    for seed in range(12):
        topology = random_network(seed, size, noisy=True, density=1.0)
        plan = planned(topology, tuple("ABCD"[:size]), method)
        if plan is not None:
            compared.append(plan.fidelity)
            assert plan.fidelity == pytest.approx(executed_fidelity(plan, topology), abs=1e-9)
    assert len(compared) >= 8
    assert min(compared) < 0.8  # the noise of the comparison is strong


@given(asked=asked_states(6, 2, noisy=True))
@settings(max_examples=100, derandomize=True, deadline=None)
def test_two_members_of_the_retained_method_are_an_ordinary_pair(
    asked: tuple[Topology, tuple[str, ...]],
) -> None:
    plan = planned(*asked, "ghz-retain")
    if plan is not None:
        (supply,) = plan.pairs
        assert plan.operations == ()
        assert plan.fidelity == pytest.approx(supply.fidelity, abs=1e-12)
        assert plan.latency_s == pytest.approx(supply.latency_s, rel=1e-12)
        for tree in supply.trees:
            assert outlook(tree.tree, asked[0]).state == pytest.approx(tree.state)


@given(seed=st.integers(0, 2**32 - 1), size=st.integers(3, 5))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_fusions_that_discard_between_two_members_are_swaps_number_for_number(seed: int, size: int) -> None:
    source = random_network(seed, size, noisy=True, density=1.0)
    names = list(source.nodes)
    links = {pair: source.links[pair] for pair in pairwise(names)}
    alike = {
        name: replace(node, relays=True, fusion_probability=None, fusion_s=None)
        for name, node in source.nodes.items()
    }
    # A swapping tree uses half of every node; in a fusion tree, the two ends give all they have to one link.
    halved = {
        name: replace(alike[name], attempts_hz=alike[name].attempts_hz / 2.0)
        for name in (names[0], names[-1])
    }
    fused = plan_ghz(Residual(Topology(alike | halved, links)), "r", (names[0], names[-1]), "ghz-steiner")
    request = PairRequest(request="r", source=names[0], destination=names[-1])
    swapped = plan_pair(Residual(Topology(alike, links)), request)
    assert fused.latency_s == pytest.approx(swapped.latency_s, rel=1e-12)
    assert fused.success_probability == pytest.approx(swapped.success_probability, rel=1e-12)
    if size < 5:  # 4 links may have several fastest trees
        assert fused.fidelity == pytest.approx(swapped.fidelity, abs=1e-12)
        assert fused.age_s == pytest.approx(max(swapped.ages_s), rel=1e-12)


def test_fusing_two_pairs_with_discard_is_the_gate_sequence_of_a_swap() -> None:
    a, b, c, d = (
        Qubit(0, "left", "A"),
        Qubit(0, "right", "V"),
        Qubit(1, "left", "V"),
        Qubit(1, "right", "B"),
    )
    made = fuse([(a, b), (c, d)], "V", retain=False)
    assert made.steps == (Gate("CX", (b, c)), Measurement("Z", c), Measurement("X", b))
    assert made.members == (a, d)


def test_mean_waits_are_those_of_the_last_of_independent_exponential_times() -> None:
    assert mean_waits_s([2.0, 2.0]) == pytest.approx((1.0, 1.0))
    assert mean_waits_s([1.0, 3.0]) == pytest.approx((9.0 / 4.0, 1.0 / 4.0))
    assert mean_waits_s([0.0, 3.0]) == pytest.approx((3.0, 0.0))
    one, two, three = mean_waits_s([1.0, 2.0, 3.0])
    longest = 1 + 2 + 3 - 1 / (1 + 1 / 2) - 1 / (1 + 1 / 3) - 1 / (1 / 2 + 1 / 3) + 1 / (1 + 1 / 2 + 1 / 3)
    assert (one, two, three) == pytest.approx((longest - 1, longest - 2, longest - 3))
    spread = [0.01 * 1.7**index for index in range(9)]  # beyond 8, the integral takes the place of the sum
    terms = [
        (-1.0) ** (count + 1) / sum(1 / latency for latency in some)
        for count in range(1, 10)
        for some in combinations(spread, count)
    ]
    assert mean_waits_s(spread)[0] == pytest.approx(math.fsum(terms) - spread[0], rel=1e-12)
    assert mean_waits_s([4.0] * 4) == pytest.approx([4.0 * (1 / 2 + 1 / 3 + 1 / 4)] * 4)


def test_a_hub_of_thirty_members_has_the_fidelity_of_the_closed_form() -> None:
    """Dephased pairs round a hub, no waiting noise: F = (1 + (1 - 2 p)**30)/2 for phase flips p of each pair.

    Every Z on any qubit of a GHZ state is the same error, so an even number of flips does nothing.
    """
    still = {"decay_hz": (0.0, 0.0, 0.0), "swap_noise": (1.0, 0.0, 0.0, 0.0), "memories": 40}
    hub = Node(name="hub", position_km=(0.0, 0.0), **still)  # type: ignore[arg-type]
    ends = [Node(name=f"n{index:02}", position_km=(1.0 * index, 5.0), **still) for index in range(30)]  # type: ignore[arg-type]
    links = [replace(link_between(hub, end, 5.0), state=(0.99, 0.01, 0.0, 0.0)) for end in ends]
    topology = Topology.of([hub, *ends], links)
    plan = plan_ghz(Residual(topology), "r", [end.name for end in ends], "ghz-star", limits=Limits(age_s=1e9))
    assert plan.fidelity == pytest.approx((1.0 + 0.98**30) / 2.0, abs=1e-12)
    flipped = [replace(link, state=(0.99, 0.0, 0.01, 0.0)) for link in links]
    flipping = Topology.of([hub, *ends], flipped)
    bits = plan_ghz(Residual(flipping), "r", [end.name for end in ends], "ghz-star", limits=Limits(age_s=1e9))
    assert bits.fidelity == pytest.approx(0.99**30 + 0.01**30, abs=1e-12)  # all flipped is none flipped
