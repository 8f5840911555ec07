"""One request beside running plans: each branch of the rule, refusals, failures, stored pairs.

Owns the worked cases of batch/admission.py, offers.py, anew.py, learnt.py and accounts.py; the properties
over long histories are in test_admission_histories.py.
"""

import math
from dataclasses import replace

import numpy as np
import pytest

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.planner.batch.admission import PlanBook
from bellwire.planner.batch.admission_values import (
    AdmissionRule,
    Admitted,
    Decision,
    Kept,
    Refused,
    Remaining,
    Replanned,
    RunningPlan,
    Waiting,
)
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.requests import PairRequest
from bellwire.planner.structures import StoredLeaf, SwapNode, leaves, route_of
from bellwire.planner.topology import Node, Topology, link_between, pair_of
from tests.planner.batch.small_networks import (
    T_LINK_S,
    crossing,
    diamond,
    grid,
    line,
    overspent,
    two_hops_hz,
    wanted,
)

S = 1_000_000_000
NEVER_ANEW = AdmissionRule(replan_gain=1e9)


def routes(plan: RunningPlan) -> list[str]:
    return ["".join(route_of(tree.tree)) for tree in plan.trees]


def admitted(decision: Decision | None) -> RunningPlan:
    assert isinstance(decision, Admitted), decision
    return decision.plan


def refused(decision: Decision | None) -> Refused:
    assert isinstance(decision, Refused), decision
    return decision


# --- the rule --------------------------------------------------------------------------------------------


def test_the_first_request_takes_its_best_tree_at_once() -> None:
    plan = admitted(PlanBook(diamond()).decide(wanted("r", "A", "B"), 0))
    assert routes(plan) == ["ARB"]
    assert plan.guaranteed_hz == plan.rate_hz == pytest.approx(two_hops_hz(), rel=1e-9)


def test_what_is_left_is_taken_when_it_is_enough() -> None:
    """The other side of the diamond gives half of what a request would get alone."""
    half = two_hops_hz(2.0 * T_LINK_S) / two_hops_hz()
    for enough, answer in ((half * 0.999, Admitted), (half * 1.001, Waiting)):
        book = PlanBook(diamond(), AdmissionRule(enough=enough, wait_ns=S))
        admitted(book.decide(wanted("one", "A", "B"), 0))
        decision = book.decide(wanted("two", "A", "B"), 0)
        assert isinstance(decision, answer)
    plan = book.plans["one"]
    assert plan.version == 1  # nobody who runs is touched


def test_a_request_with_a_rate_of_its_own_takes_as_many_trees_as_that_needs() -> None:
    book = PlanBook(diamond())
    plan = admitted(book.decide(wanted("r", "A", "B", rate_hz=50.0), 0))
    assert routes(plan) == ["ARB", "ASB"]
    assert plan.rate_hz == pytest.approx(50.0, rel=1e-9)


def test_a_rate_that_even_the_empty_network_lacks_is_refused_with_the_best_offer() -> None:
    book = PlanBook(line(10.0, 10.0), AdmissionRule(wait_ns=S))
    answer = refused(book.decide(wanted("r", "A", "C", rate_hz=100.0), 0))
    assert answer.offer_hz == pytest.approx(two_hops_hz(), rel=1e-9)
    assert answer.reason == (
        "request r would get at most 35.0421/s of the 100/s that it asks for even alone on the network"
    )
    assert book.plans == {}
    assert book.waiting == ()


def test_without_a_window_a_request_takes_the_little_that_is_left() -> None:
    book = PlanBook(line(10.0), replace(NEVER_ANEW, enough=1.0))
    rates = [admitted(book.decide(wanted(str(index), "A", "B"), 0)).rate_hz for index in range(4)]
    assert rates == pytest.approx([0.5**index / T_LINK_S for index in range(4)], rel=1e-9)


def test_without_a_window_a_request_whose_rate_is_not_left_is_refused_with_the_best_offer() -> None:
    book = PlanBook(line(10.0, 10.0), NEVER_ANEW)
    admitted(book.decide(wanted("one", "A", "C", rate_hz=30.0), 0))
    answer = refused(book.decide(wanted("two", "A", "C", rate_hz=10.0), 0))
    assert 0.0 < answer.offer_hz < 10.0
    assert answer.reason.endswith("of the 10/s that it asks for beside the running plans")
    assert list(book.plans) == ["one"]


def test_a_request_for_which_nothing_is_left_is_refused_with_the_reason() -> None:
    book = PlanBook(line(10.0, 10.0), NEVER_ANEW)
    admitted(book.decide(wanted("one", "A", "C"), 0))
    answer = refused(book.decide(wanted("two", "A", "C"), 0))
    assert answer.offer_hz == 0.0
    assert answer.reason.startswith("request two, beside the running plans: no route between A and C is left")


def test_requests_that_waited_for_each_other_are_planned_together() -> None:
    """old has half of the link. One after the other would get 1/2 and 1/4 of that; together both get 1/2."""
    rule = AdmissionRule(
        enough=0.9, wait_ns=5 * S, replan_gain=1e9, batch_method="levels", objective="max_min"
    )
    book = PlanBook(line(10.0), rule)
    admitted(book.decide(wanted("old", "A", "B"), 0))
    assert book.decide(wanted("one", "A", "B"), S) == Waiting("one", 6 * S)
    assert book.decide(wanted("two", "A", "B"), 3 * S) == Waiting("two", 6 * S)
    assert book.deadline_ns == 6 * S
    assert book.due(6 * S - 1) == ()
    plans = [admitted(answer) for answer in book.due(6 * S)]
    assert [plan.request.request for plan in plans] == ["one", "two"]
    assert [plan.rate_hz for plan in plans] == pytest.approx([0.5 / T_LINK_S] * 2, rel=1e-6)
    assert book.waiting == ()
    assert book.deadline_ns is None


def test_who_waits_is_served_as_soon_as_enough_comes_back() -> None:
    book = PlanBook(line(10.0, 10.0), AdmissionRule(wait_ns=5 * S))
    admitted(book.decide(wanted("old", "A", "C"), 0))
    assert book.decide(wanted("new", "A", "C"), S) == Waiting("new", 6 * S)
    (answer,) = book.end("old", 2 * S)
    assert admitted(answer).request.request == "new"
    assert book.waiting == ()
    assert book.due(6 * S) == ()


def test_nobody_joins_a_window_that_should_have_been_closed() -> None:
    book = PlanBook(line(10.0, 10.0), AdmissionRule(wait_ns=5 * S))
    admitted(book.decide(wanted("old", "A", "C"), 0))
    assert book.decide(wanted("one", "A", "C"), 0) == Waiting("one", 5 * S)
    assert book.decide(wanted("late", "A", "C"), 7 * S) == Waiting("late", 12 * S)
    assert book.deadline_ns == 5 * S


def test_who_comes_when_too_many_wait_is_decided_on_at_once() -> None:
    book = PlanBook(line(10.0, 10.0), AdmissionRule(wait_ns=S, waiting_max=1, replan_gain=1e9))
    admitted(book.decide(wanted("old", "A", "C"), 0))
    assert isinstance(book.decide(wanted("one", "A", "C"), 0), Waiting)
    refused(book.decide(wanted("two", "A", "C"), 0))


def test_of_two_that_waited_the_later_one_goes_when_both_rates_are_not_there() -> None:
    """132/s of the link are left; one tree after the other reaches 124/s of them, the programme all."""
    rule = AdmissionRule(wait_ns=S, replan_gain=1e9, batch_method="levels", objective="max_min")
    book = PlanBook(line(10.0), rule)
    admitted(book.decide(wanted("old", "A", "B", rate_hz=132.1), 0))
    for name, rate_hz in (("one", 128.0), ("two", 127.0)):
        assert isinstance(book.decide(wanted(name, "A", "B", rate_hz=rate_hz), S), Waiting)
    served, left_out = book.due(2 * S)
    assert admitted(served).request.request == "one"
    assert admitted(served).rate_hz == pytest.approx(128.0, rel=1e-9)
    assert refused(left_out).request == "two"
    assert list(book.plans) == ["old", "one"]


def test_a_rate_that_only_the_batch_method_reaches_is_not_refused_at_once() -> None:
    """Alone on the link one tree after the other reaches 248/s, the programme 264/s."""
    wish = wanted("r", "A", "B", rate_hz=260.0)
    refused(PlanBook(line(10.0)).decide(wish, 0))
    book = PlanBook(line(10.0), AdmissionRule(batch_method="levels", objective="total"))
    assert admitted(book.decide(wish, 0)).rate_hz == pytest.approx(260.0, rel=1e-9)


def test_all_is_planned_anew_when_a_newcomer_fits_only_if_others_move() -> None:
    """one runs over X, which new needs whole; one's own 8/s are also to be had over Y and Z."""
    book = PlanBook(crossing(), AdmissionRule(enough=0.9))
    one = admitted(book.decide(wanted("one", "A", "B", rate_hz=8.0), 0))
    assert routes(one) == ["AXB"]
    answer = book.decide(wanted("new", "C", "B", rate_hz=42.0), S)
    assert isinstance(answer, Replanned)
    assert answer.changed == ("one", "new")
    moved, new = answer.plans
    assert routes(moved) == ["AYZB"]
    assert moved.rate_hz >= 8.0 * (1.0 - 1e-9)
    assert moved.version > one.version
    assert moved.guaranteed_hz == one.guaranteed_hz  # the promise stays that of the admission
    assert new.rate_hz == pytest.approx(42.0, rel=1e-9)
    assert set(book.residual.taken) == {moved.key, new.key}
    assert overspent(book.topology, [*moved.trees, *new.trees]) == []


def test_a_plan_that_need_not_change_keeps_its_version() -> None:
    far = Topology.of(
        (
            *crossing().nodes.values(),
            Node(name="P", position_km=(50.0, 0.0)),
            Node(name="Q", position_km=(55.0, 0.0)),
        ),
        (*crossing().links.values(), link_between(Node(name="P"), Node(name="Q"), 5.0)),
    )
    book = PlanBook(far)
    still = admitted(book.decide(wanted("still", "P", "Q"), 0))
    admitted(book.decide(wanted("one", "A", "B", rate_hz=8.0), 0))
    answer = book.decide(wanted("new", "C", "B", rate_hz=42.0), S)
    assert isinstance(answer, Replanned)
    assert answer.changed == ("one", "new")
    assert answer.plans[0] == still


def doubled(topology: Topology) -> Topology:
    """The same network twice, without a link between the two; names of the second are small."""
    nodes = list(topology.nodes.values())
    nodes += [replace(node, name=node.name.lower()) for node in topology.nodes.values()]
    links = list(topology.links.values())
    links += [replace(link, ends=(link.ends[0].lower(), link.ends[1].lower())) for link in links]
    return Topology.of(nodes, links)


def test_a_plan_that_would_change_but_fits_as_it_is_keeps_its_version() -> None:
    """still runs round the long way since X was busy. By now X is free, but nobody gains if still moves."""
    book = PlanBook(doubled(crossing()))
    admitted(book.decide(wanted("gone", "c", "b", rate_hz=42.0), 0))
    still = admitted(book.decide(wanted("still", "a", "b", rate_hz=8.0), 0))
    assert routes(still) == ["ayzb"]
    book.end("gone", 0)
    admitted(book.decide(wanted("one", "A", "B", rate_hz=8.0), 0))
    answer = book.decide(wanted("new", "C", "B", rate_hz=42.0), S)
    assert isinstance(answer, Replanned)
    assert answer.changed == ("one", "new")
    assert answer.plans[0] == still


def test_nothing_is_planned_anew_before_its_time() -> None:
    book = PlanBook(crossing(), AdmissionRule(replan_every_ns=10 * S))
    admitted(book.decide(wanted("one", "A", "B", rate_hz=8.0), 0))
    assert isinstance(book.decide(wanted("new", "C", "B", rate_hz=42.0), S), Replanned)
    book.end("new", 2 * S)
    book.end("one", 2 * S)
    admitted(book.decide(wanted("one", "A", "B", rate_hz=8.0), 3 * S))
    refused(book.decide(wanted("new", "C", "B", rate_hz=42.0), 11 * S - 1))
    assert isinstance(book.decide(wanted("new", "C", "B", rate_hz=42.0), 11 * S), Replanned)


def test_nobody_who_runs_is_pushed_below_its_promise_for_a_newcomer() -> None:
    """one's 35/s cannot be had over Y and Z, so new gets only what X has left: less than it asks for."""
    book = PlanBook(crossing())
    one = admitted(book.decide(wanted("one", "A", "B"), 0))
    refused(book.decide(wanted("new", "C", "B", rate_hz=42.0), S))
    assert book.plans == {"one": one}


def test_the_tolerance_is_a_part_of_the_promise_and_a_rate_of_ones_own_has_none() -> None:
    floor = RunningPlan(request=wanted("r", "A", "B"), version=1, trees=(), guaranteed_hz=40.0).floor_hz(0.05)
    assert floor == pytest.approx(38.0)
    own = RunningPlan(request=wanted("r", "A", "B", rate_hz=30.0), version=1, trees=(), guaranteed_hz=30.0)
    assert own.floor_hz(0.05) == 30.0  # its own rate has no tolerance


def test_levels_plan_all_anew_as_well() -> None:
    book = PlanBook(crossing(), AdmissionRule(batch_method="levels", objective="max_min"))
    admitted(book.decide(wanted("one", "A", "B", rate_hz=7.0), 0))
    answer = book.decide(wanted("new", "C", "B", rate_hz=40.0), S)
    assert isinstance(answer, Replanned)
    trees = [tree for plan in answer.plans for tree in plan.trees]
    assert overspent(book.topology, trees) == []
    assert [plan.rate_hz for plan in answer.plans] == pytest.approx([7.0, 40.0], rel=1e-9)


# --- ends, wrong words -----------------------------------------------------------------------------------


def test_an_ended_request_holds_nothing_and_its_id_comes_back_with_a_higher_version() -> None:
    book = PlanBook(line(10.0, 10.0))
    first = admitted(book.decide(wanted("r", "A", "C"), 0))
    assert book.end("r", 1) == ()
    assert book.residual.taken == {}
    assert book.end("r", 2) == ()
    again = admitted(book.decide(wanted("r", "A", "C"), 3))
    assert again.trees == first.trees
    assert again.version > first.version


def test_an_ended_wait_is_over() -> None:
    book = PlanBook(line(10.0, 10.0), AdmissionRule(wait_ns=S))
    admitted(book.decide(wanted("old", "A", "C"), 0))
    book.decide(wanted("new", "A", "C"), 0)
    assert book.end("new", 0) == ()
    assert book.waiting == ()
    assert book.due(S) == ()


@pytest.mark.parametrize(
    ("request_of", "words"),
    [
        (lambda: wanted("r", "A", "Z"), 'unknown node "Z"'),
        (lambda: wanted("one", "A", "B"), 'two requests are called "one"'),
        (lambda: wanted("two", "A", "B"), 'two requests are called "two"'),
        (lambda: wanted("r", "A", "B", rate_hz=math.nan), "rate nan/s must be finite"),
    ],
)
def test_wrong_requests_change_nothing(request_of: object, words: str) -> None:
    book = PlanBook(line(10.0, 10.0), AdmissionRule(wait_ns=S))
    admitted(book.decide(wanted("one", "A", "C"), 0))
    assert isinstance(book.decide(wanted("two", "A", "C"), 0), Waiting)
    plans, waiting, taken = book.plans, book.waiting, book.residual.taken
    with pytest.raises(ConfigError, match=words):
        book.decide(request_of(), 1)  # type: ignore[operator]
    assert (book.plans, book.waiting, book.residual.taken) == (plans, waiting, taken)


def test_a_pair_that_nothing_joins_is_refused_at_once() -> None:
    chain = line(10.0)
    topology = Topology.of((*chain.nodes.values(), Node(name="D")), chain.links.values())
    answer = refused(PlanBook(topology, AdmissionRule(wait_ns=S)).decide(wanted("r", "A", "D"), 0))
    assert "even alone on the network: no route between A and D" in answer.reason


def test_time_that_runs_backwards_is_a_bug() -> None:
    book = PlanBook(line(10.0))
    book.due(5)
    with pytest.raises(LocalMisuse, match="4 ns after 5 ns"):
        book.due(4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"enough": 1.5}, r"enough = 1\.5 is outside 0\.\.1"),
        ({"enough": math.nan}, "enough = nan"),
        ({"tolerance": -0.1}, r"tolerance = -0\.1"),
        ({"replan_gain": 0.5}, r"replan_gain = 0\.5 must be finite and 1 or more"),
        ({"replan_gain": math.inf}, "replan_gain = inf"),
        ({"wait_ns": -1}, "wait_ns = -1 is below 0"),
        ({"refusals_max": -1}, "refusals_max = -1 is below 0"),
        ({"method": "dpp"}, 'unknown planning method "dpp"'),
        ({"batch_method": "level"}, 'unknown batch method "level" .*"levels"'),
        ({"batch_method": "levels"}, '"levels" knows no objective "fair"'),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        AdmissionRule(**arguments)  # type: ignore[arg-type]


# --- refusals --------------------------------------------------------------------------------------------


def test_a_refusal_teaches_what_is_left_and_the_next_plan_takes_another_way() -> None:
    book = PlanBook(diamond())
    plan = admitted(book.decide(wanted("r", "A", "B"), 0))
    assert routes(plan) == ["ARB"]
    other = admitted(book.refused("r", plan.version, Remaining(node="R", memories=1), 1))
    assert routes(other) == ["ASB"]
    assert other.version > plan.version
    assert list(book.residual.taken) == [other.key]


def test_a_refusal_teaches_a_lower_rate_where_there_is_no_other_way() -> None:
    book = PlanBook(line(10.0, 10.0))
    plan = admitted(book.decide(wanted("r", "A", "C"), 0))
    other = admitted(book.refused("r", plan.version, Remaining(node="B", attempts_hz=5_000.0), 1))
    assert routes(other) == ["ABC"]
    assert other.use.attempts_hz["B"] <= 5_000.0 * (1.0 + 1e-9)
    assert other.rate_hz == pytest.approx(two_hops_hz(4.0 * T_LINK_S), rel=1e-9)


def test_what_a_node_has_left_is_counted_beside_this_books_own_plans() -> None:
    book = PlanBook(line(10.0, 10.0), AdmissionRule(enough=0.0))
    kept = admitted(book.decide(wanted("kept", "A", "C", rate_hz=10.0), 0))
    plan = admitted(book.decide(wanted("r", "A", "B", rate_hz=40.0), 0))
    used = kept.use.attempts_hz["B"]
    refused(book.refused("r", plan.version, Remaining(node="B", attempts_hz=1_000.0), 1))
    assert book.residual.topology.nodes["B"].attempts_hz == pytest.approx(used + 1_000.0)
    assert book.residual.attempts_hz("B") == pytest.approx(1_000.0)


def test_memories_that_a_node_has_left_are_counted_beside_this_books_own_plans() -> None:
    book = PlanBook(line(10.0, 10.0, memories=9))
    kept = admitted(book.decide(wanted("kept", "A", "C", rate_hz=3.0), 0))
    plan = admitted(book.decide(wanted("r", "A", "C", rate_hz=3.0), 0))
    refused(book.refused("r", plan.version, Remaining(node="B", memories=1), 1))
    assert book.residual.topology.nodes["B"].memories == kept.use.memories["B"] + 1
    assert book.residual.memories("B") == 1
    assert routes(admitted(book.decide(wanted("end", "A", "B", rate_hz=3.0), 2))) == ["AB"]


def test_a_link_that_is_fuller_than_known_is_learnt_too() -> None:
    book = PlanBook(diamond(), AdmissionRule(enough=0.0))
    plan = admitted(book.decide(wanted("r", "A", "B"), 0))
    told = Remaining(node="R", links_hz=((("A", "R"), 0.0),))
    assert routes(admitted(book.refused("r", plan.version, told, 1))) == ["ASB"]


def test_a_refusal_without_a_reason_leads_to_another_way_and_at_last_to_half_the_rate() -> None:
    book = PlanBook(diamond())
    first = admitted(book.decide(wanted("r", "A", "B"), 0))
    second = admitted(book.refused("r", first.version, Remaining(node="R"), 1))
    assert routes(second) == ["ASB"]
    alone = PlanBook(line(10.0, 10.0))
    first = admitted(alone.decide(wanted("r", "A", "C"), 0))
    second = admitted(alone.refused("r", first.version, Remaining(node="B"), 1))
    assert second.rate_hz == pytest.approx(first.rate_hz / 2.0, rel=1e-9)


def test_refusals_come_to_an_end() -> None:
    book = PlanBook(line(10.0, 10.0), AdmissionRule(refusals_max=3))
    decision: Decision | None = book.decide(wanted("r", "A", "C"), 0)
    for _ in range(3):
        decision = book.refused("r", admitted(decision).version, Remaining(node="B"), 1)
    last = refused(book.refused("r", admitted(decision).version, Remaining(node="B"), 1))
    assert last.reason == "request r: 4 plans in a row were refused"
    assert book.plans == {}
    assert book.residual.taken == {}


def test_an_accepted_plan_counts_its_refusals_from_zero() -> None:
    book = PlanBook(line(10.0, 10.0), AdmissionRule(refusals_max=1))
    plan = admitted(book.decide(wanted("r", "A", "C"), 0))
    for now_ns in (1, 2, 3):
        plan = admitted(book.refused("r", plan.version, Remaining(node="B"), now_ns))
        book.accepted("r", plan.version, now_ns)


def test_a_refusal_of_an_older_version_changes_no_plan_but_teaches() -> None:
    book = PlanBook(diamond())
    first = admitted(book.decide(wanted("r", "A", "B"), 0))
    second = admitted(book.refused("r", first.version, Remaining(node="R", memories=0), 1))
    assert book.refused("r", first.version, Remaining(node="S", memories=0), 2) is None
    assert book.plans == {"r": second}
    refused(book.decide(wanted("late", "A", "B"), 3))


def test_what_was_learnt_is_forgotten_in_time_or_when_capacity_comes_back() -> None:
    rule = AdmissionRule(believed_ns=10, wait_ns=100, replan_gain=1e9)
    for event in ("time", "news"):
        book = PlanBook(line(10.0, 10.0), rule)
        plan = admitted(book.decide(wanted("r", "A", "C"), 0))
        refused(book.refused("r", plan.version, Remaining(node="B", memories=0), 1))
        assert book.deadline_ns == 11
        refused(book.decide(wanted("early", "A", "C"), 10))
        if event == "news":
            book.capacity_back(10, ["B"])
        else:
            book.due(11)
        assert book.deadline_ns is None
        admitted(book.decide(wanted("late", "A", "C"), 11))


def test_a_node_that_is_not_on_the_network_cannot_refuse() -> None:
    book = PlanBook(line(10.0))
    plan = admitted(book.decide(wanted("r", "A", "B"), 0))
    with pytest.raises(ConfigError, match='unknown node "Q"'):
        book.refused("r", plan.version, Remaining(node="Q"), 1)
    with pytest.raises(ConfigError, match="what B has left must be 0 or more"):
        Remaining(node="B", attempts_hz=math.nan)
    assert book.plans == {"r": plan}


def test_two_planners_that_sell_the_same_middle_end_without_overselling() -> None:
    """Both books sell the middle of the same line; its node takes the first and refuses the second."""
    topology = line(10.0, 10.0, memories=3)
    one, two = PlanBook(topology), PlanBook(topology)
    first = admitted(one.decide(wanted("one", "A", "C"), 0))
    second = admitted(two.decide(wanted("two", "A", "C"), 0))
    left = topology.nodes["B"].memories - first.use.memories["B"]
    answer = refused(
        two.refused("two", second.version, Remaining(node="B", memories=left, attempts_hz=0.0), 1)
    )
    assert answer.offer_hz == 0.0
    assert two.residual.taken == {}


class Nodes:
    """What the nodes of a network hold for two planners; each judges by its own capacity, and alone."""

    def __init__(self, topology: Topology) -> None:
        self.held = Residual(topology)
        self.refusals = 0

    def offer(self, book: PlanBook, decision: Decision | None, owner: str, now_ns: int) -> None:
        """Dispatch what a book decided, until every plan of it is taken or given up."""
        if isinstance(decision, Replanned):
            for key in [key for key in self.held.taken if key.startswith(f"{owner}:")]:
                if key.removeprefix(f"{owner}:") not in book.residual.taken:
                    self.held.give_back(key)
            for name in decision.changed:
                plan = book.plans.get(name)
                if plan is not None and f"{owner}:{plan.key}" not in self.held.taken:
                    self.offer(book, Admitted(plan), owner, now_ns)
        elif isinstance(decision, Admitted):
            plan = decision.plan
            full = next((name for name in plan.use.memories if self.lacks(name, plan)), None)
            if full is None:
                self.held.claim(f"{owner}:{plan.key}", plan.use)
                book.accepted(plan.request.request, plan.version, now_ns)
                return
            self.refusals += 1
            left = Remaining(
                node=full, memories=self.held.memories(full), attempts_hz=self.held.attempts_hz(full)
            )
            self.offer(book, book.refused(plan.request.request, plan.version, left, now_ns), owner, now_ns)

    def lacks(self, name: str, plan: RunningPlan) -> bool:
        return plan.use.memories[name] > self.held.memories(name) or plan.use.attempts_hz.get(
            name, 0.0
        ) > self.held.attempts_hz(name) * (1.0 + 1e-9)

    def end(self, book: PlanBook, name: str, owner: str, now_ns: int) -> None:
        plan = book.plans.get(name)
        for decision in book.end(name, now_ns):
            self.offer(book, decision, owner, now_ns)
        if plan is not None and f"{owner}:{plan.key}" in self.held.taken:
            self.held.give_back(f"{owner}:{plan.key}")


@pytest.mark.parametrize("seed", range(3))
def test_two_planners_on_one_network_never_oversell_it_and_come_to_an_end(seed: int) -> None:
    """Both decide before either dispatches; 50 pairs of requests, some of which end."""
    chance = np.random.default_rng(seed)
    topology = grid()
    books = {owner: PlanBook(topology, AdmissionRule(replan_every_ns=0)) for owner in ("one", "two")}
    nodes = Nodes(topology)
    names = sorted(topology.nodes)
    for step in range(50):
        now_ns = step * S
        decisions = {}
        for owner, book in books.items():
            a, b = (str(each) for each in chance.choice(names, 2, replace=False))
            rate_hz = [None, 3.0, 10.0][int(chance.integers(3))]
            decisions[owner] = book.decide(wanted(f"{owner}{step}", a, b, rate_hz=rate_hz), now_ns)
        for owner, decision in decisions.items():
            nodes.offer(books[owner], decision, owner, now_ns)
        for owner, book in books.items():
            if book.plans and chance.random() < 0.7:
                nodes.end(book, str(chance.choice(list(book.plans))), owner, now_ns)
            held = {key for key in nodes.held.taken if key.startswith(f"{owner}:")}
            assert held == {f"{owner}:{plan.key}" for plan in book.plans.values()}
        trees = [tree for book in books.values() for plan in book.plans.values() for tree in plan.trees]
        assert overspent(topology, trees) == []
    assert nodes.refusals >= 5


# --- failures --------------------------------------------------------------------------------------------


def test_after_the_failure_of_a_node_the_plan_goes_round_it() -> None:
    book = PlanBook(diamond())
    plan = admitted(book.decide(wanted("r", "A", "B"), 0))
    other = admitted(book.replan_after_failure("r", 1, nodes=["R"]))
    assert routes(other) == ["ASB"]
    assert other.version > plan.version
    again = refused(book.replan_after_failure("r", 2, nodes=["S"]))
    assert "no route between A and B is left" in again.reason
    assert book.plans == {}
    assert book.residual.taken == {}


def test_after_the_failure_of_a_link_the_plan_goes_round_it_however_it_is_written() -> None:
    book = PlanBook(diamond())
    admitted(book.decide(wanted("r", "A", "B"), 0))
    assert routes(admitted(book.replan_after_failure("r", 1, links=[("R", "A")]))) == ["ASB"]


def test_a_plan_that_fell_short_is_replaced_by_another_route() -> None:
    book = PlanBook(diamond())
    admitted(book.decide(wanted("r", "A", "B"), 0))
    assert routes(admitted(book.replan_after_failure("r", 1))) == ["ASB"]


def test_where_there_is_one_route_the_tree_changes() -> None:
    book = PlanBook(line(10.0, 10.0, 10.0))
    plan = admitted(book.decide(wanted("r", "A", "D"), 0))
    other = admitted(book.replan_after_failure("r", 1))
    assert routes(other) == routes(plan) == ["ABCD"]
    roots = [tree.at for tree in (plan.trees[0].tree, other.trees[0].tree) if isinstance(tree, SwapNode)]
    assert sorted(roots) == ["B", "C"]


def test_where_there_is_one_tree_the_policy_changes() -> None:
    """Two unequal links have one tree: throttled, or with the short link at full speed."""
    book = PlanBook(line(10.0, 5.0))
    plan = admitted(book.decide(wanted("r", "A", "C"), 0))
    other = admitted(book.replan_after_failure("r", 1))
    assert routes(other) == routes(plan)
    slow, fast = ([leaf.latency_s for leaf in leaves(each.trees[0].tree)] for each in (plan, other))
    assert fast[0] == pytest.approx(slow[0], rel=1e-9)
    assert fast[1] < slow[1]


def test_where_nothing_else_exists_a_plan_that_can_run_is_kept_and_says_so() -> None:
    book = PlanBook(line(10.0))
    plan = admitted(book.decide(wanted("r", "A", "B"), 0))
    answer = book.replan_after_failure("r", 1)
    assert isinstance(answer, Kept)
    assert answer.plan == plan
    assert "nothing else exists" in answer.reason
    assert book.plans == {"r": plan}
    assert list(book.residual.taken) == [plan.key]


def test_a_failed_node_is_left_alone_by_later_requests_until_it_is_back() -> None:
    book = PlanBook(diamond())
    admitted(book.decide(wanted("r", "A", "B", rate_hz=5.0), 0))
    admitted(book.replan_after_failure("r", 1, nodes=["R"]))
    assert routes(admitted(book.decide(wanted("two", "A", "B", rate_hz=5.0), 2))) == ["ASB"]
    book.capacity_back(3, nodes=["R"])
    assert routes(admitted(book.decide(wanted("three", "A", "B", rate_hz=5.0), 4))) == ["ARB"]


def test_unknown_things_cannot_fail() -> None:
    book = PlanBook(line(10.0))
    plan = admitted(book.decide(wanted("r", "A", "B"), 0))
    for act, words in (
        (lambda: book.replan_after_failure("q", 1), 'request "q" does not run'),
        (lambda: book.replan_after_failure("r", 1, nodes=["Q"]), 'unknown node "Q"'),
        (lambda: book.replan_after_failure("r", 1, links=[("A", "Q")]), "there is no link A-Q"),
        (lambda: book.capacity_back(1, nodes=["Q"]), 'unknown node "Q"'),
    ):
        with pytest.raises(NoPlan if "node" not in words else ConfigError, match=words):
            act()
    assert book.plans == {"r": plan}


# --- stored pairs ----------------------------------------------------------------------------------------


def with_stored(name: str, *pairs: tuple[str, str, str]) -> PairRequest:
    stored = tuple(StoredLeaf(a, b, pair, (1.0, 0.0, 0.0, 0.0), 0.0, 1.0) for a, b, pair in pairs)
    return replace(wanted(name, "A", "D", rate_hz=2.0), stored=stored)


def test_a_stored_pair_opens_a_plan_once_beside_its_lasting_trees() -> None:
    book = PlanBook(line(10.0, 10.0, 10.0))
    plan = admitted(book.decide(with_stored("r", ("B", "D", "kept")), 0))
    assert plan.opening is not None
    assert plan.opening.use.stored == ("kept",)
    assert plan.opening.latency_s < plan.trees[0].latency_s
    assert plan.use.stored == ()
    assert plan.rate_hz == pytest.approx(2.0, rel=1e-9)
    second = admitted(book.decide(with_stored("two", ("B", "D", "kept"), ("A", "D", "other")), 0))
    assert second.opening is not None
    assert second.opening.use.stored == ("other",)  # the first is reserved


def test_an_opening_is_over_when_its_pairs_are_spent_and_when_its_request_ends() -> None:
    book = PlanBook(line(10.0, 10.0, 10.0))
    plan = admitted(book.decide(with_stored("r", ("A", "D", "kept")), 0))
    assert set(book.residual.taken) == {plan.key, plan.opening_key}
    book.opened("r", plan.version + 1, 1)  # of another version
    assert set(book.residual.taken) == {plan.key, plan.opening_key}
    book.opened("r", plan.version, 1)
    assert set(book.residual.taken) == {plan.key}
    assert book.plans["r"].opening is None
    assert book.plans["r"].request.stored == ()
    book.end("r", 3)
    admitted(book.decide(with_stored("r", ("A", "D", "new")), 4))
    book.end("r", 5)
    assert book.residual.taken == {}


def test_planning_anew_leaves_openings_what_they_have() -> None:
    pair = StoredLeaf("A", "X", "kept", (1.0, 0.0, 0.0, 0.0), 0.0, 1.0)
    book = PlanBook(crossing())
    one = replace(wanted("one", "A", "B", rate_hz=8.0), stored=(pair,))
    opening = admitted(book.decide(one, 0)).opening
    assert opening is not None
    answer = book.decide(wanted("new", "C", "B", rate_hz=20.0), S)
    assert isinstance(answer, Replanned), answer
    assert answer.plans[0].opening == opening
    trees = [tree for plan in answer.plans for tree in plan.trees]
    taken = [*trees, opening]
    for name, node in book.topology.nodes.items():
        assert sum(tree.use.attempts_hz.get(name, 0.0) for tree in taken) <= node.attempts_hz * (1 + 1e-9)


def test_stored_pairs_at_unknown_nodes_are_refused() -> None:
    book = PlanBook(line(10.0, 10.0, 10.0))
    with pytest.raises(ConfigError, match='unknown node "Q"'):
        book.decide(with_stored("r", ("B", "Q", "kept")), 0)
    assert pair_of("B", "A") == ("A", "B")
