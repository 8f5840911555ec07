"""A plan book under long random histories: nothing oversold, promises kept, versions only grow.

Owns the properties of batch/admission.py; its single decisions are in test_admission.py.
"""

from collections import Counter
from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

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
from bellwire.planner.batch.offers import same_ways
from bellwire.planner.structures import StoredLeaf, route_of
from bellwire.planner.topology import Topology
from tests.planner.batch.small_networks import crossing, diamond, grid, line, overspent, wanted
from tests.planner.single.brute_force import networks

S = 1_000_000_000
NAMES = [f"r{index}" for index in range(6)]
TINY = 1e-9
KNOWN = [line(10.0, 5.0, 10.0, memories=6), diamond(6), crossing(), crossing(), grid(), grid(memories=5)]


def inner_first(plan: RunningPlan) -> tuple[str, ...]:
    """Nodes of a plan's first route, those that swap thrice, so that more than its ends are hit."""
    route = route_of(plan.trees[0].tree)
    return (*route[1:-1] * 3, *route)


class Histories(RuleBasedStateMachine):
    """Two books that hear of the same events, and what is known of every request from their answers alone."""

    @initialize(
        topology=st.sampled_from([line(10.0, 5.0, 10.0, memories=6), diamond(6), crossing(), grid()])
        | networks(5),
        enough=st.sampled_from([0.3, 0.9]),
        wait_s=st.sampled_from([0, 0, 3]),
        every_s=st.sampled_from([0, 20]),
        tolerance=st.sampled_from([0.0, 0.05]),
        refusals_max=st.sampled_from([1, 8]),
        method=st.sampled_from(["dp", "dp", "balanced"]),
        levels=st.sampled_from([False, False, False, True]),
    )
    def begin(
        self,
        topology: Topology,
        enough: float,
        wait_s: int,
        every_s: int,
        tolerance: float,
        refusals_max: int,
        method: str,
        levels: bool,
    ) -> None:
        self.rule = AdmissionRule(
            enough=enough,
            wait_ns=wait_s * S,
            waiting_max=2,
            replan_every_ns=every_s * S,
            replan_gain=1.0,
            tolerance=tolerance,
            refusals_max=refusals_max,
            believed_ns=5 * S,
            method=method,
            batch_method="levels" if levels else "iterative",
            objective="max_min" if levels else "fair",
        )
        self.topology = topology
        self.books = (PlanBook(topology, self.rule), PlanBook(topology, self.rule))
        self.now_ns = 0
        self.versions: dict[str, int] = {}
        self.guaranteed_hz: dict[str, float] = {}
        self.running: dict[str, RunningPlan] = {}
        self.waiting: dict[str, int] = {}
        self.heard: Counter[type] = Counter()
        self.moved = 0  # plans that changed because somebody else came

    # --- events ------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.running) + len(self.waiting) < len(NAMES))
    @rule(
        start=st.integers(0, 8),
        further=st.integers(0, 8),
        rate_hz=st.none() | st.sampled_from([0.5, 5.0, 8.0, 20.0, 40.0]),
        stored=st.sampled_from([False, False, True]),
    )
    def a_request_comes(self, start: int, further: int, rate_hz: float | None, stored: bool) -> None:
        nodes = sorted(self.topology.nodes)
        a, b = nodes[start % len(nodes)], nodes[(start + 1 + further % (len(nodes) - 1)) % len(nodes)]
        name = next(each for each in NAMES if each not in self.running and each not in self.waiting)
        pair = StoredLeaf(a, b, f"{a}{b}", (1.0, 0.0, 0.0, 0.0), 0.0, 1.0)
        request = replace(wanted(name, a, b, rate_hz=rate_hz), stored=(pair,) if stored else ())
        one, other = (book.decide(request, self.now_ns) for book in self.books)
        assert one == other
        self.hear(one)
        if isinstance(one, Admitted) and rate_hz is not None:
            assert one.plan.rate_hz >= rate_hz * (1.0 - TINY)
        if isinstance(one, Refused):
            assert rate_hz is None or one.offer_hz < rate_hz

    @rule(start=st.integers(0, 8), further=st.integers(0, 8), rate_hz=st.sampled_from([3.0, 30.0]))
    @precondition(lambda self: len(self.running) + len(self.waiting) < len(NAMES))
    def another_request_comes(self, start: int, further: int, rate_hz: float) -> None:
        self.a_request_comes(start, further, rate_hz, False)

    @precondition(lambda self: self.running or self.waiting)
    @rule(which=st.integers(0, 9))
    def a_request_ends(self, which: int) -> None:
        name = self.pick([*self.running, *self.waiting], which)
        one, other = (book.end(name, self.now_ns) for book in self.books)
        assert one == other
        self.running.pop(name, None)
        self.waiting.pop(name, None)
        for decision in one:
            self.hear(decision)

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 9), take=st.booleans())
    def nodes_take_a_plan(self, which: int, take: bool) -> None:
        name = self.pick(list(self.running), which)
        plan = self.running[name]
        for book in self.books:
            book.accepted(name, plan.version, self.now_ns)
        self.running[name] = self.books[0].plans[name]
        answers = [book.opened(name, plan.version, self.now_ns) for book in self.books] if take else [(), ()]
        assert answers[0] == answers[1]
        self.running[name] = self.books[0].plans[name]
        for decision in answers[0]:
            self.hear(decision)

    @precondition(lambda self: self.running)
    @rule(
        which=st.integers(0, 9),
        where=st.integers(0, 9),
        memories=st.none() | st.integers(0, 3),
        attempts_hz=st.none() | st.sampled_from([0.0, 100.0, 5_000.0]),
        stale=st.sampled_from([False, False, True]),
    )
    def a_node_refuses(
        self, which: int, where: int, memories: int | None, attempts_hz: float | None, stale: bool
    ) -> None:
        name = self.pick(list(self.running), which)
        plan = self.running[name]
        route = inner_first(plan)
        told = Remaining(node=route[where % len(route)], memories=memories, attempts_hz=attempts_hz)
        version = plan.version - 1 if stale else plan.version
        one, other = (book.refused(name, version, told, self.now_ns) for book in self.books)
        assert one == other
        if stale:
            assert one is None
            return
        assert one is not None
        del self.running[name]
        self.hear(one)
        if isinstance(one, Admitted):
            assert one.plan.trees != plan.trees

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 9), what=st.integers(0, 9), kind=st.sampled_from(["node", "link", "none"]))
    def a_plan_fails(self, which: int, what: int, kind: str) -> None:
        name = self.pick(list(self.running), which)
        plan = self.running[name]
        nodes, links = [], []
        if kind == "node":
            route = inner_first(plan)
            nodes = [route[what % len(route)]]
        elif kind == "link":
            used = sorted(plan.trees[0].use.links_hz)
            links = [used[what % len(used)]]
        one, other = (
            book.replan_after_failure(name, self.now_ns, nodes=nodes, links=links) for book in self.books
        )
        assert one == other
        del self.running[name]
        self.hear(one)
        if isinstance(one, Kept):
            assert one.plan == plan
            assert kind == "none"
            return
        new = self.running.get(name)
        if new is None:
            return
        assert new.trees != plan.trees
        assert not any(set(nodes) & set(route_of(tree.tree)) for tree in new.trees)
        assert not any(pair in tree.use.links_hz for tree in new.trees for pair in links)
        if same_ways(new.trees, plan.trees):  # then the policy differs: links run at other speeds
            assert [tree.use.links_hz for tree in new.trees] != [tree.use.links_hz for tree in plan.trees]

    @rule(seconds=st.sampled_from([0, 1, 4, 30]))
    def time_passes(self, seconds: int) -> None:
        self.now_ns += seconds * S
        one, other = (book.due(self.now_ns) for book in self.books)
        assert one == other
        for decision in one:
            self.hear(decision)
        assert all(until_ns > self.now_ns for until_ns in self.waiting.values())

    @rule(where=st.integers(0, 9))
    def a_node_comes_back(self, where: int) -> None:
        nodes = sorted(self.topology.nodes)
        name = nodes[where % len(nodes)]
        one, other = (book.capacity_back(self.now_ns, nodes=[name]) for book in self.books)
        assert one == other
        for decision in one:
            self.hear(decision)

    @staticmethod
    def pick(names: list[str], which: int) -> str:
        """One of the names, the same for the same names in any order of their coming."""
        return sorted(names)[which % len(names)]

    # --- what the answers promise ------------------------------------------------------------------------

    def hear(self, decision: Decision) -> None:
        self.heard[type(decision)] += 1
        match decision:
            case Admitted(plan):
                self.admit(plan)
            case Waiting(name, until_ns):
                self.waiting[name] = until_ns
            case Refused(name, reason, _):
                assert name in reason
                assert name not in self.running
                self.waiting.pop(name, None)
            case Kept(plan, _):
                self.running[plan.request.request] = plan
            case Replanned(plans, changed):
                self.replan(plans, changed)

    def admit(self, plan: RunningPlan) -> None:
        name = plan.request.request
        assert plan.version > self.versions.get(name, 0)
        assert name not in self.running
        self.versions[name] = plan.version
        self.guaranteed_hz[name] = plan.guaranteed_hz
        self.running[name] = plan
        self.waiting.pop(name, None)

    def replan(self, plans: tuple[RunningPlan, ...], changed: tuple[str, ...]) -> None:
        assert self.running.keys() <= {plan.request.request for plan in plans}
        for plan in plans:
            name = plan.request.request
            old = self.running.get(name)
            if old is None:
                assert name in changed
                self.admit(plan)
                continue
            floor_hz = plan.request.rate_hz or (1.0 - self.rule.tolerance) * self.guaranteed_hz[name]
            assert plan.rate_hz >= min(floor_hz, self.guaranteed_hz[name]) * (1.0 - TINY)
            if name in changed:
                self.moved += 1
                assert plan.version > old.version
            else:
                assert plan == old
            self.versions[name] = plan.version
            self.running[name] = plan

    @precondition(lambda self: hasattr(self, "books"))
    @invariant()
    def nothing_is_oversold_and_only_those_who_run_hold_anything(self) -> None:
        for book in self.books:
            assert book.plans == self.running
            assert set(book.waiting) == set(self.waiting)
            plans = tuple(book.plans.values())
            trees = [tree for plan in plans for tree in plan.trees]
            openings = [plan.opening for plan in plans if plan.opening is not None]
            assert overspent(self.topology, trees) == []
            for name, node in self.topology.nodes.items():
                used_hz = sum(tree.use.attempts_hz.get(name, 0.0) for tree in (*trees, *openings))
                assert used_hz <= node.attempts_hz * (1.0 + TINY)
                assert sum(tree.use.memories.get(name, 0) for tree in (*trees, *openings)) <= node.memories
            keys = {plan.key for plan in plans} | {plan.opening_key for plan in plans if plan.opening}
            assert set(book.residual.taken) == keys
            stored = [pair for opening in openings for pair in opening.use.stored]
            assert len(set(stored)) == len(stored)


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=30, stateful_step_count=30, deadline=None, derandomize=True)


WEIGHTS = {"come": 10, "end": 4, "take": 2, "refuse": 3, "fail": 3, "time": 4, "back": 1}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("topology", "wait_s", "least"),
    [
        (grid(), 0, {Admitted: 30, Refused: 20, Replanned: 3, Kept: 2}),
        (crossing(), 0, {Admitted: 30, Refused: 20, Replanned: 3, Kept: 2}),
        (crossing(), 3, {Admitted: 30, Refused: 20, Waiting: 10, Kept: 2}),
    ],
)
def test_long_histories_meet_every_kind_of_decision_and_keep_every_promise(
    topology: Topology, wait_s: int, least: dict[type, int]
) -> None:
    """180 events each. What is heard is counted, so that no check passes for want of events."""
    chance = np.random.default_rng(20)
    history = Histories()
    history.begin(topology, 0.9, wait_s, 0, 0.05, 3, "dp", False)

    def number(below: int = 10) -> int:
        return int(chance.integers(below))

    kinds, weights = list(WEIGHTS), np.array(list(WEIGHTS.values()), float)
    for _ in range(180):
        kind = str(chance.choice(kinds, p=weights / weights.sum()))
        busy = len(history.running) + len(history.waiting)
        if kind == "come" and busy < len(NAMES):
            rate_hz = [None, 0.5, 3.0, 8.0, 20.0, 30.0][number(6)]
            history.a_request_comes(number(9), number(9), rate_hz, number(3) == 0)
        elif kind == "end" and busy:
            history.a_request_ends(number())
        elif kind == "take" and history.running:
            history.nodes_take_a_plan(number(), number(2) == 0)
        elif kind == "refuse" and history.running:
            memories, attempts_hz = [(None, None), (2, None), (None, 3_000.0), (1, 500.0)][number(4)]
            history.a_node_refuses(number(), number(), memories, attempts_hz, number(4) == 0)
        elif kind == "fail" and history.running:
            history.a_plan_fails(number(), number(), ["node", "link", "none"][number(3)])
        elif kind == "time":
            history.time_passes(number(7))
        elif kind == "back":
            history.a_node_comes_back(number())
        history.nothing_is_oversold_and_only_those_who_run_hold_anything()
    for kind_of, count in least.items():
        assert history.heard[kind_of] >= count
    assert history.moved > 0 or wait_s
