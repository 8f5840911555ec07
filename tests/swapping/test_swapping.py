"""The swapping part of an inner node: what it measures, what it writes down, and what it must not touch."""

import pytest

from bellwire.core.effects import MeasureBell
from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.core.events import BellMeasured, Ended
from bellwire.core.facts import Released
from bellwire.core.messages import RoundOver
from bellwire.core.notices import (
    EndChanged,
    MemoryLost,
    PlanInstalled,
    UpdatePair,
)
from bellwire.swapping.protocols import Swapping
from tests.node.networks import BSM, MS, RATES, chain
from tests.swapping.bench import LEFT, RIGHT, SwapBench, end_of, link_plan, measuring, node_plan, states

# ---- deciding


def test_a_pair_on_each_side_is_measured_at_once_left_before_right() -> None:
    bench = SwapBench()
    bench.pair(10, "r-b", 2)
    assert bench.measuring() == []
    bench.pair(25, "a-r", 1)
    (order,) = bench.ordered(MeasureBell)
    assert (order.left_slot, order.right_slot, order.within_ns) == (2, 0, MS)
    assert states(bench) == ["measuring", "free", "measuring", "free"]


def test_pairs_are_matched_oldest_first() -> None:
    bench = SwapBench()
    bench.pair(10, "a-r", 1, lane=1)
    bench.pair(20, "a-r", 2, lane=0)
    bench.pair(30, "r-b", 3)
    assert bench.measuring() == [(3, 0)]
    bench.pair(40, "r-b", 4, lane=1)
    assert bench.measuring() == [(3, 0), (2, 1)]


def test_pairs_that_came_before_their_plan_are_taken_up_oldest_first_when_it_does() -> None:
    bench = SwapBench()
    bench.remove_plan(0)
    bench.pair(20, "a-r", 1)
    bench.pair(10, "a-r", 2, lane=1)
    bench.pair(30, "r-b", 3)
    assert bench.measuring() == []
    bench.notice(40, PlanInstalled(plan=node_plan(version=2)))
    assert bench.measuring() == [(3, 0)]


def test_pairs_of_other_requests_or_of_none_are_not_swapped() -> None:
    bench = SwapBench()
    bench.pair(10, "a-r", 1, request="other")
    bench.pair(10, "a-r", 2, lane=1, request=None)
    bench.pair(20, "r-b", 3)
    assert bench.measuring() == []


def test_a_renewed_plan_does_not_measure_again_what_is_being_measured() -> None:
    bench = measuring()
    bench.notice(30, PlanInstalled(plan=node_plan(version=2)))
    assert len(bench.measuring()) == 1


def test_a_newer_plan_uses_pairs_of_links_that_it_keeps_and_releases_the_others() -> None:
    bench = SwapBench()
    bench.pair(10, "a-r", 1)
    bench.pair(20, "a-r", 2, lane=1)
    part = node_plan(version=2, links=(link_plan("r-b", "b"),), role="source", swaps=())
    bench.notice(30, PlanInstalled(plan=part))
    assert [end.attempt for end, _ in bench.released()] == [1, 2]
    assert {reason for _, reason in bench.released()} == {"withdrawn"}
    bench.pair(40, "r-b", 3)
    bench.notice(50, PlanInstalled(plan=node_plan(version=3)))
    bench.pair(60, "a-r", 4)
    assert bench.measuring() == [(2, 0)]  # the pair of attempt 3 is still there


def test_a_node_that_swaps_no_more_forgets_the_swaps_of_the_older_plan() -> None:
    bench = SwapBench()
    bench.notice(30, PlanInstalled(plan=node_plan(version=2, role="source", swaps=())))
    bench.pair(40, "a-r", 1)
    bench.pair(50, "r-b", 2)
    assert bench.measuring() == []


def test_what_is_being_measured_is_left_alone_when_a_newer_plan_lacks_its_links() -> None:
    bench = measuring()
    bench.notice(30, PlanInstalled(plan=node_plan(version=2, links=(), role="source", swaps=())))
    assert states(bench) == ["measuring", "free", "measuring", "free"]
    assert bench.released() == []


def test_the_fixed_tree_waits_for_its_children_and_looks_again_when_a_chain_changes() -> None:
    bench = SwapBench(policy="fixed_tree")
    bench.pair(10, "a-r", 1)
    bench.view.owners[LEFT] = "elsewhere"
    bench.pair(20, "r-b", 2)
    assert bench.measuring() == []
    bench.view.owners[LEFT] = "a"
    bench.notice(30, EndChanged(end=LEFT))
    assert bench.measuring() == [(2, 0)]
    assert {view.purpose for view in bench.others.views} == {"swap:0"}


def test_a_view_that_answers_after_the_plan_has_gone_decides_nothing() -> None:
    bench = SwapBench(policy="fixed_tree")
    bench.others.answering = False
    bench.pair(10, "a-r", 1)
    bench.pair(20, "r-b", 2)
    bench.remove_plan(30)
    assert bench.measuring() == []
    assert sorted(reason for _, reason in bench.released()) == ["withdrawn", "withdrawn"]


def test_a_policy_that_nobody_wrote_is_named_with_its_neighbour() -> None:
    with pytest.raises(ConfigError, match=r'"swap_asp" \(did you mean "swap_asap"\?\)'):
        SwapBench(policy="swap_asp")


def test_a_node_without_a_memory_cannot_swap() -> None:
    network = chain()
    with pytest.raises(LocalMisuse, match="m has no memory"):
        Swapping(network, "m", SwapBench().slots)


# ---- outcomes


@pytest.mark.parametrize(
    ("ended", "result", "outcome", "counter"),
    [
        ("done", "ok", 3, "succeeded"),
        ("failed", "failed", 0, "failed"),
        ("unknown", "unknown", 0, "unknown"),
    ],
)
def test_every_outcome_is_one_fact_and_frees_both_slots(
    ended: Ended, result: str, outcome: int, counter: str
) -> None:
    bench = measuring()
    bench.measured(40, ended)
    (swap,) = bench.swaps()
    assert (swap.left, swap.right, swap.result, swap.outcome, swap.at_ns) == (
        LEFT,
        RIGHT,
        result,
        outcome,
        40,
    )
    assert states(bench) == ["free"] * 4
    assert sorted(bench.others.freed) == [0, 2]
    assert bench.given_back() == []  # the measurement consumed both qubits
    assert bench.part.counters[counter] == 1
    assert bench.released() == []


def test_the_cost_of_a_swap_is_the_measurements_noise_and_the_waiting_of_both_own_qubits_exactly() -> None:
    bench = measuring()
    bench.measured(1_040)
    (swap,) = bench.swaps()
    waiting_ns = (1_040 - 10) + (1_040 - 25)
    assert swap.cost == tuple(base + rate * waiting_ns for base, rate in zip(BSM, RATES, strict=True))
    assert swap.signs == 0


def test_an_outcome_that_is_told_twice_or_was_never_ordered_is_ignored() -> None:
    bench = measuring()
    bench.measured(40)
    bench.measured(50)
    bench.tell(60, BellMeasured(operation=99, ended="done", outcome=1, at_ns=60))
    assert len(bench.swaps()) == 1


def test_a_plan_that_ends_while_measuring_leaves_the_slots_to_the_outcome() -> None:
    bench = measuring()
    bench.pair(30, "a-r", 5, lane=1)
    bench.remove_plan(35)
    assert states(bench) == ["measuring", "free", "measuring", "free"]
    assert bench.released() == [(end_of("a-r", 5, lane=1), "withdrawn")]
    bench.measured(40)
    assert len(bench.swaps()) == 1
    assert states(bench) == ["free"] * 4


# ---- textbook rounds


def in_round() -> SwapBench:
    return measuring(rounds=True, inner_left=("p",), inner_right=("q", "s"))


def test_after_a_successful_swap_of_a_round_both_memories_rest_until_the_round_is_over() -> None:
    bench = in_round()
    bench.measured(40)
    assert states(bench) == ["resting", "free", "resting", "free"]
    assert bench.others.freed == []
    assert bench.rounds_over() == []
    bench.hear(50, RoundOver(request="other", tree=0))
    assert bench.others.freed == []
    bench.hear(60, RoundOver(request="r", tree=0))
    bench.hear(60, RoundOver(request="r", tree=0))
    assert sorted(bench.others.freed) == [0, 2]
    assert states(bench) == ["free"] * 4


@pytest.mark.parametrize("ended", ["failed", "unknown"])
def test_a_failed_swap_of_a_round_frees_its_memories_and_ends_the_round_of_all_inner_nodes_below(
    ended: Ended,
) -> None:
    bench = in_round()
    bench.measured(40, ended)
    assert states(bench) == ["free"] * 4
    assert bench.rounds_over() == ["p", "q", "s"]


def test_resting_memories_wake_when_their_plan_ends() -> None:
    bench = in_round()
    bench.measured(40)
    bench.remove_plan(50)
    assert states(bench) == ["free"] * 4
    assert sorted(bench.others.freed) == [0, 2]


def test_resting_memories_are_lost_with_the_memory_without_a_fact() -> None:
    bench = in_round()
    bench.measured(40)
    bench.notice(50, MemoryLost(reason="reset"))
    assert states(bench) == ["lost", "free", "lost", "free"]
    assert bench.released() == []


def test_a_forgotten_rest_ends_after_the_compulsory_maximum_age() -> None:
    bench = in_round()
    bench.measured(40)
    bench.wait(bench.network.timers.age_max_ns)
    assert states(bench) == ["resting", "free", "resting", "free"]
    bench.wait(bench.network.timers.age_max_ns + bench.network.timers.plan_lease_ns)
    assert states(bench) == ["free"] * 4


def test_the_sources_delivery_ends_the_round_of_every_inner_node() -> None:
    bench = SwapBench("a", role="source", swaps=(), rounds=True, routes=(("a", "r", "q", "b"),))
    for reason in ("cutoff", "delivered"):
        bench.notice(50, UpdatePair(fact=Released(end=LEFT, reason=reason, at_ns=50)))
    assert bench.rounds_over() == ["r", "q"]
