"""RequestProcessing: one submission, one plan after another, one final report, whatever happens between."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bellwire.applications.notification import StatusNotification
from bellwire.applications.requests import RequestGenerator
from bellwire.core.effects import Persist, Report
from bellwire.core.events import (
    PeerChanged,
    Persisted,
    Record,
    ReplanAsked,
    RequestCancelled,
    RequestSubmitted,
    ResumptionAsked,
    Started,
    SuspensionAsked,
    TimerFired,
)
from bellwire.core.machine import Handler, Step
from bellwire.core.notices import (
    CorrectiveAction,
    CorrectiveActionType,
    EntanglementReported,
    LinkStateHeard,
    NodeLeaving,
    Notice,
    PeerLeft,
    PeerLost,
    PlanActive,
    PlanEnded,
    PlanFailed,
    PlanFault,
    PlanRequested,
    RouteBroken,
)
from bellwire.core.plans import BestOffer, EntanglementRequest, RequestPlan
from bellwire.node.routing import NodeMachine
from bellwire.transport.monitoring import ExecutionMonitoring
from bellwire.transport.request_records import REQUEST_ROWS
from bellwire.transport.requests import RequestProcessing
from tests.transport.bench import MS, network

SECOND = 1_000 * MS


class Tell(NamedTuple):
    notices: tuple[Notice, ...]


class Planner:
    """Takes what the planner takes, and says what a test wants said."""

    def __init__(self) -> None:
        self.requested: list[PlanRequested] = []
        self.ended: list[PlanEnded] = []

    def on_events(self) -> Mapping[type, Handler]:
        return {Tell: self._tell}

    def on_messages(self) -> Mapping[type, Handler]:
        return {}

    def on_notices(self) -> Mapping[type, Handler]:
        return {
            PlanRequested: lambda step, notice: self.requested.append(notice),
            PlanEnded: lambda step, notice: self.ended.append(notice),
        }

    def gives(self) -> frozenset[type]:
        return frozenset()

    def deadline_ns(self) -> int | None:
        return None

    def on_deadline(self, step: Step) -> None:
        pass

    def _tell(self, step: Step, event: Tell) -> None:
        for notice in event.notices:
            step.tell(notice)


class Source:
    """alice with the upper parts only; deliveries are counted by hand."""

    def __init__(self) -> None:
        self.settings = network()
        self.now_ns = 0
        self.counts: dict[str, int] = {}
        self.store: list[Record] = []
        self.writing: dict[int, Record] = {}
        self.reports: list[Report] = []
        self.fired: set[tuple[str, str]] = set()
        self.incarnation = 0
        self.start()

    def start(self) -> None:
        self.incarnation += 1
        self.writing = {}
        self.planner = Planner()
        self.requests = RequestProcessing(self.settings, "alice", lambda request: self.counts.get(request, 0))
        self.machine = NodeMachine(
            "alice",
            [
                self.requests,
                ExecutionMonitoring(self.settings, "alice"),
                RequestGenerator(self.settings, "alice"),
                StatusNotification(self.settings, "alice"),
                self.planner,
            ],
        )
        self.feed(Started(incarnation=self.incarnation, records=tuple(self.store)))

    def restart(self) -> None:
        self.fired |= self.requests.transitions.fired
        self.start()

    def feed(self, event: Any) -> None:
        for effect in self.machine.handle(self.now_ns, event):
            if isinstance(effect, Persist):
                self.writing[effect.token] = effect.record
            elif isinstance(effect, Report):
                self.reports.append(effect)
        self.fired |= self.requests.transitions.fired

    def write(self) -> None:
        """Everything under way reaches the store."""
        while self.writing:
            token = next(iter(self.writing))
            self.store.append(self.writing.pop(token))
            self.feed(Persisted(token=token))

    def pass_time(self, duration_ns: int) -> None:
        until_ns = self.now_ns + duration_ns
        while (due_ns := self.machine.next_deadline_ns) is not None and due_ns <= until_ns:
            self.now_ns = max(self.now_ns, due_ns)
            self.feed(TimerFired())
        self.now_ns = until_ns

    def submit(self, request: EntanglementRequest) -> None:
        self.feed(RequestSubmitted(request=request))

    def plan_active(self) -> None:
        wanted = self.planner.requested[-1]
        plan = RequestPlan(
            request=wanted.request.request_id,
            version=wanted.version,
            nodes={},
            rate_hz=10.0,
            latency_ns=100 * MS,
            fidelity=0.9,
            tree="(alice bob)",
            shape="alice-bob",
        )
        self.feed(Tell((PlanActive(plan=plan),)))

    def plan_failed(
        self,
        final: bool = False,
        reason: str = "relay: no answer",
        cause: PlanFault = "other",
        offer: BestOffer | None = None,
    ) -> None:
        wanted = self.planner.requested[-1]
        notice = PlanFailed(
            request=wanted.request.request_id,
            version=wanted.version,
            reason=reason,
            final=final,
            cause=cause,
            offer=offer,
        )
        self.feed(Tell((notice,)))

    def deliver(self, request: str = "q", age_ns: int = MS, fidelity: float = 0.8) -> None:
        self.counts[request] = number = self.counts.get(request, 0) + 1
        notice = EntanglementReported(
            request=request, number=number, timestamp_ns=self.now_ns, age_ns=age_ns, fidelity=fidelity
        )
        self.feed(Tell((notice,)))

    def statuses(self, request: str = "q") -> list[tuple[Any, ...]]:
        return [
            (r.fields["status"], r.fields["generated_count"], r.fields["error_message"])
            for r in self.reports
            if r.name == "request_status" and r.request == request
        ]


def ask(**changes: Any) -> EntanglementRequest:
    given: dict[str, Any] = {"request_id": "q", "target_nodes": ("alice", "bob"), "count": 3}
    return EntanglementRequest(**(given | changes))


def in_progress(request: EntanglementRequest | None = None) -> Source:
    source = Source()
    source.submit(ask() if request is None else request)
    source.write()
    source.plan_active()
    source.write()
    return source


def test_a_request_is_planned_when_it_is_durable_and_completed_when_its_count_is_settled() -> None:
    source = Source()
    source.submit(ask())
    assert source.planner.requested == []
    source.write()
    assert [wanted.request for wanted in source.planner.requested] == [ask()]
    source.plan_active()
    source.write()
    for _ in range(3):
        source.deliver()
    assert source.statuses()[-1] == ("in_progress", 2, None)
    assert [each.request for each in source.planner.ended] == ["q"]
    source.write()
    assert source.statuses()[-1] == ("completed", 3, None)
    assert source.requests.status("q") == "completed"
    assert source.machine.next_deadline_ns is None


def test_notifications_have_exactly_the_four_fields_of_the_paper() -> None:
    source = in_progress()
    (report,) = [report for report in source.reports if report.name == "request_status"]
    assert list(report.fields) == ["request_id", "status", "generated_count", "error_message"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"target_nodes": ("alice",)}, "two different nodes"),
        ({"target_nodes": ("alice", "alice")}, "two different nodes"),
        ({"target_nodes": ("alice", "bob", "carol")}, "two different nodes"),
        ({"target_nodes": ("bob", "alice")}, "submit at the first"),
        ({"target_nodes": ("alice", "zoe")}, "unknown nodes"),
        ({"route": ("alice", "zoe", "bob")}, "unknown nodes"),
        ({"route": ("bob", "alice")}, "must lead from alice to bob"),
        ({"count": None}, "neither count nor duration"),
        ({"count": 0}, "count = 0"),
        ({"duration_ns": -1}, "duration_ns = -1"),
        ({"priority": 0}, "priority = 0"),
        ({"fidelity_threshold": 1.5}, "outside 0..1"),
        ({"rate_threshold_hz": -1.0}, "negative"),
        ({"reserved_only": True}, "give that rate"),
        ({"request_id": ""}, "empty"),
    ],
)
def test_a_request_that_cannot_be_served_fails_with_its_reason(changes: dict[str, Any], words: str) -> None:
    source = Source()
    source.submit(ask(**changes))
    status, count, error = source.statuses(ask(**changes).request_id)[0]
    assert (status, count) == ("failed", 0)
    assert words in error
    assert not source.writing


def test_the_same_submission_twice_is_one_request_and_another_of_that_name_is_refused() -> None:
    source = in_progress()
    source.submit(ask())
    assert len(source.planner.requested) == 1
    source.submit(ask(count=99))
    assert [report.fields["reason"] for report in source.reports if report.name == "request_refused"] == [
        "this request_id names another request"
    ]
    assert source.requests.status("q") == "in_progress"
    for _ in range(3):
        source.deliver()
    source.write()
    source.submit(ask())
    assert source.statuses()[-2:] == [("completed", 3, None)] * 2
    assert len(source.planner.requested) == 1


def test_a_plan_that_failed_for_now_is_asked_for_again_with_a_higher_version() -> None:
    source = Source()
    source.submit(ask())
    source.write()
    versions = [source.planner.requested[-1].version]
    for _ in range(3):
        source.plan_failed()
        source.pass_time(20 * SECOND)
        versions.append(source.planner.requested[-1].version)
    assert versions == sorted(set(versions))
    source.plan_active()
    source.plan_failed()  # a lease was not renewed
    assert source.requests.status("q") == "planning"
    source.pass_time(SECOND)
    assert len(source.planner.requested) == 5


def test_a_plan_that_cannot_exist_ends_the_request_with_the_reason() -> None:
    source = Source()
    source.submit(ask())
    source.write()
    source.plan_failed(final=True, reason="no route between alice and bob")
    source.write()
    assert source.statuses() == [("failed", 0, "no route between alice and bob")]


def test_a_request_past_its_deadline_says_how_far_it_came() -> None:
    source = in_progress(ask(deadline_ns=5 * SECOND))
    source.deliver()
    source.pass_time(6 * SECOND)
    source.write()
    assert source.statuses()[-1] == ("failed", 1, "deadline of 5 s over: delivered 1 of 3")
    assert len(source.planner.ended) == 1


def test_a_request_without_a_count_is_completed_by_its_duration() -> None:
    source = in_progress(ask(count=None, duration_ns=2 * SECOND))
    source.deliver()
    source.pass_time(3 * SECOND)
    source.write()
    assert source.statuses()[-1] == ("completed", 1, None)


def test_a_cancelled_request_ends_its_plan() -> None:
    source = in_progress()
    source.feed(RequestCancelled(request="q"))
    source.feed(RequestCancelled(request="q"))
    source.write()
    assert source.statuses()[-1] == ("failed", 0, "cancelled")
    assert len(source.planner.ended) == 1


def test_progress_is_told_at_each_tenth_or_after_a_second_and_not_more_often() -> None:
    source = in_progress(ask(count=100))
    for _ in range(99):
        source.deliver()
    assert [count for _, count, _ in source.statuses()] == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]
    slow = in_progress(ask(count=1000))
    for _ in range(30):
        slow.pass_time(100 * MS)
        slow.deliver()
    assert [count for _, count, _ in slow.statuses()] == [0, 10, 20, 30]


def test_after_a_restart_an_unfinished_request_goes_on_and_a_finished_one_stays_finished() -> None:
    source = in_progress()
    source.deliver()
    before = source.planner.requested[-1].version
    source.restart()
    assert [wanted.request for wanted in source.planner.requested] == [ask()]
    assert source.planner.requested[-1].version > before
    source.deliver()
    source.deliver()  # settled by the repeated commits, before the new plan is active
    source.write()
    assert source.statuses()[-1] == ("completed", 3, None)
    source.restart()
    assert source.planner.requested == []
    assert source.requests.status("q") == "completed"


def lost(*peers: str) -> list[Tell]:
    return [Tell((PeerLost(peer=peer),)) for peer in peers]


@pytest.mark.parametrize("incarnation", [1, 2])
def test_lost_peers_are_avoided_until_they_are_back(incarnation: int) -> None:
    """Back they are, whether they had restarted or were only not heard of for a while."""
    source = Source()
    for event in lost("relay", "bob"):
        source.feed(event)
    source.submit(ask())
    source.write()
    assert source.planner.requested[-1].avoid == ("relay",)
    source.feed(PeerChanged(peer="relay", state="up", incarnation=incarnation))
    source.plan_failed()
    source.pass_time(SECOND)
    assert source.planner.requested[-1].avoid == ()
    assert not source.planner.requested[-1].strict  # a way that may work again is better than none


def broken(source: Source, reason: str = "link x is down") -> None:
    version = source.planner.requested[-1].version
    source.feed(Tell((RouteBroken(request="q", version=version, reason=reason),)))


@pytest.mark.parametrize("choice", ["wait", "end"])
def test_a_broken_route_is_left_for_another_and_the_request_goes_on(choice: str) -> None:
    source = in_progress(ask(when_unreachable=choice))
    broken(source)
    first, second = source.planner.requested
    assert second.version > first.version
    assert second.strict
    assert second.differs
    assert [each.fields["reason"] for each in source.reports if each.name == "route_broken"] == [
        "link x is down"
    ]
    source.plan_active()
    for _ in range(3):
        source.deliver()
    source.write()
    assert source.statuses()[-1] == ("completed", 3, None)


def test_a_request_that_does_not_wait_ends_when_every_way_is_broken() -> None:
    source = in_progress(ask(when_unreachable="end"))
    source.deliver()
    broken(source)
    source.plan_failed(cause="unreachable", reason="no way round link x")
    source.write()
    assert source.statuses()[-1] == ("failed", 1, "no way round link x")
    assert source.requests.status("q") == "failed"


def test_a_request_that_waits_keeps_its_plan_while_every_way_is_broken_and_says_so() -> None:
    source = in_progress()
    broken(source)
    source.plan_failed(cause="unreachable", reason="no way round link x")
    assert source.requests.status("q") == "in_progress"
    assert source.statuses()[-1] == ("suspended", 0, "no way round link x; it goes on after repair")
    source.pass_time(60 * SECOND)
    assert len(source.planner.requested) == 2  # nothing is asked in vain
    first = source.planner.requested[0]
    for _ in range(3):
        source.deliver()
    source.write()
    assert source.statuses()[-1] == ("completed", 3, None)
    assert [each.version for each in source.planner.ended] == [first.version]


def test_a_plan_that_fails_after_its_route_broke_is_replaced_like_any_other() -> None:
    """The version in force counts again once no other was found."""
    source = in_progress()
    first = source.planner.requested[0]
    broken(source)
    source.plan_failed(cause="unreachable", reason="no way round link x")
    reason = "lease not renewed by relay"
    notice = PlanFailed(request="q", version=first.version, reason=reason, final=False)
    source.feed(Tell((notice,)))
    assert source.requests.status("q") == "planning"
    source.pass_time(2 * SECOND)
    assert len(source.planner.requested) == 3


def brought_to(state: str, wish: EntanglementRequest) -> Source:
    """A source whose request is planning, queued, in progress or suspended."""
    if state in ("in_progress", "suspended"):
        source = in_progress(wish)
        if state == "suspended":
            corrected(source, "suspend")
        return source
    source = Source()
    source.submit(wish)
    source.write()
    if state == "queued":
        source.plan_failed(cause="planner")
    return source


@pytest.mark.parametrize("state", ["planning", "queued", "in_progress", "suspended"])
def test_a_request_that_does_not_wait_ends_when_a_member_is_lost(state: str) -> None:
    wish = ask(when_unreachable="end")
    source = brought_to(state, wish)
    assert source.requests.status("q") == state
    source.feed(lost("relay")[0])
    assert source.requests.status("q") == state
    source.feed(lost("bob")[0])
    source.write()
    assert source.statuses()[-1] == ("failed", 0, "bob does not answer")


def test_a_request_that_does_not_wait_is_turned_away_when_every_way_is_broken_at_its_arrival() -> None:
    source = Source()
    source.submit(ask(when_unreachable="end"))
    source.write()
    assert source.planner.requested[-1].strict
    source.plan_failed(cause="unreachable", reason="no way round link x")
    source.write()
    assert source.statuses()[-1] == ("failed", 0, "no way round link x")


NEWS = [
    LinkStateHeard(link="x", down=""),
    LinkStateHeard(link="x", down="no herald"),
    PeerLost(peer="relay"),
]


@pytest.mark.parametrize("news", NEWS, ids=lambda news: str(news)[:44])
def test_news_of_what_is_gone_or_back_is_not_waited_out(news: Notice) -> None:
    """After many failures the next try may be 16 s away; news makes it soon."""
    source = in_progress()
    for _ in range(6):
        source.plan_failed()
        source.pass_time(20 * SECOND)
    source.plan_failed()
    tries = len(source.planner.requested)
    source.feed(Tell((news,)))
    source.pass_time(SECOND)
    assert len(source.planner.requested) == tries + 1


def test_a_request_that_is_planned_anew_stays_in_progress_and_takes_the_newer_plan() -> None:
    source = in_progress()
    source.feed(ReplanAsked(request="q"))
    first, second = source.planner.requested
    assert second.version > first.version
    source.deliver()
    source.plan_active()
    assert source.requests.status("q") == "in_progress"
    assert source.planner.ended == []
    source.deliver()
    source.deliver()
    source.write()
    assert source.statuses()[-1] == ("completed", 3, None)
    assert [each.version for each in source.planner.ended] == [second.version]


def test_a_replacement_that_fails_is_tried_again_and_pairs_of_the_old_plan_count_meanwhile() -> None:
    source = in_progress()
    source.feed(ReplanAsked(request="q"))
    source.plan_failed(reason="relay: link l has 1 of 8 lanes left, the plan needs 2")
    assert source.requests.status("q") == "planning"
    source.deliver()
    source.pass_time(2 * SECOND)
    assert len(source.planner.requested) == 3
    source.plan_active()
    assert source.requests.status("q") == "in_progress"


def test_planning_anew_without_a_plan_in_force_is_refused() -> None:
    source = Source()
    source.submit(ask())
    for request in ("q", "unheard"):
        source.feed(ReplanAsked(request=request))
    assert [r.request for r in source.reports if r.name == "replan_refused"] == ["q", "unheard"]
    assert source.planner.requested == []


def test_requests_that_were_refused_together_ask_again_at_different_moments() -> None:
    moments: list[int] = []
    for name in ("one", "two", "three", "four"):
        source = in_progress(ask(request_id=name))
        source.plan_failed()
        assert source.machine.next_deadline_ns is not None
        before = len(source.planner.requested)
        while len(source.planner.requested) == before:
            source.pass_time(MS)
        moments.append(source.now_ns)
    assert len(set(moments)) == 4
    renew_ns = source.settings.timers.plan_renew_ns
    assert all(renew_ns <= moment <= 2 * renew_ns + MS for moment in moments)


def test_a_request_past_its_deadline_says_what_its_last_plan_lacked() -> None:
    source = in_progress(ask(deadline_ns=5 * SECOND))
    source.plan_failed(reason="relay: link l has 1 of 8 lanes left, the plan needs 2")
    source.pass_time(6 * SECOND)
    source.write()
    assert source.statuses()[-1] == (
        "failed",
        0,
        "deadline of 5 s over: delivered 0 of 3; "
        "the last plan: relay: link l has 1 of 8 lanes left, the plan needs 2",
    )


def test_monitoring_sets_what_happened_beside_what_was_planned() -> None:
    source = in_progress(ask(count=50))
    for _ in range(9):
        source.pass_time(100 * MS)
        source.deliver(age_ns=2 * MS, fidelity=0.75)
    source.pass_time(100 * MS)
    (report,) = [report for report in source.reports if report.name == "request_progress"]
    assert report.fields["delivered"] == 9
    assert report.fields["rate_hz"] == pytest.approx(9.0)
    assert report.fields["rate_planned_hz"] == 10.0
    assert report.fields["fidelity"] == pytest.approx(0.75)
    assert report.fields["latency_p50_ns"] == 100 * MS
    assert report.fields["age_p95_ns"] == 2 * MS
    source.feed(RequestCancelled(request="q"))
    before = len(source.reports)
    source.write()
    source.pass_time(10 * SECOND)
    assert [report.name for report in source.reports[before:]] == ["request_status"]


def corrected(source: Source, action: CorrectiveActionType) -> None:
    suspended_ns = 3 * SECOND if action == "suspend" else None
    notice = CorrectiveAction(
        request="q", action=action, percent=None, suspended_ns=suspended_ns, reason="too slow"
    )
    source.feed(Tell((notice,)))


def rows_of_corrective_actions() -> set[tuple[str, str]]:
    fired: set[tuple[str, str]] = set()
    stories: list[tuple[dict[str, Any], Callable[[Source], None]]] = [
        ({}, lambda source: source.pass_time(4 * SECOND)),
        ({"count": 1}, lambda source: source.deliver()),
        ({"count": None, "duration_ns": SECOND}, lambda source: source.pass_time(2 * SECOND)),
        ({"deadline_ns": SECOND}, lambda source: source.pass_time(2 * SECOND)),
        ({}, lambda source: source.feed(RequestCancelled(request="q"))),
    ]
    for planning in (False, True):
        source = in_progress()
        if planning:
            source.plan_failed()
        corrected(source, "terminate")
        assert source.requests.status("q") == "failed"
        fired |= source.fired
        for changes, act in stories:
            source = in_progress(ask(**changes))
            if planning:
                source.plan_failed()
            corrected(source, "suspend")
            assert source.requests.status("q") == "suspended"
            act(source)
            assert source.requests.status("q") != "suspended"
            fired |= source.fired
    return fired


@pytest.mark.parametrize("limit", [{"count": None, "duration_ns": 3 * SECOND}, {"deadline_ns": 3 * SECOND}])
def test_a_request_whose_suspension_ends_with_its_time_ends_once(limit: dict[str, Any]) -> None:
    """`bellwire soak --first 2094`: it was ended, and then resumed, and the agent gave up."""
    source = in_progress(ask(**limit))
    corrected(source, "suspend")
    source.pass_time(2 * SECOND)
    assert source.requests.status("q") == "suspended"
    source.pass_time(2 * SECOND)
    assert source.requests.status("q") in ("completed", "failed")
    source.write()
    ended = [report for report in source.reports if report.fields.get("status") in ("completed", "failed")]
    assert len(ended) == 1


@pytest.mark.parametrize("planning", [False, True])
def test_a_request_that_an_operator_suspends_sleeps_and_goes_on_by_itself(planning: bool) -> None:
    source = in_progress()
    if planning:
        source.plan_failed()
    source.feed(SuspensionAsked(request="q", duration_ns=10 * SECOND))
    assert source.requests.status("q") == "suspended"
    assert source.statuses()[-1] == ("suspended", 0, "an operator wants it to pause; suspended for 10 s")
    assert [each.request for each in source.planner.ended] == ["q"]
    plans = len(source.planner.requested)
    source.pass_time(9 * SECOND)
    assert (source.requests.status("q"), len(source.planner.requested)) == ("suspended", plans)
    source.pass_time(2 * SECOND)
    assert (source.requests.status("q"), len(source.planner.requested)) == ("planning", plans + 1)


def test_an_answer_to_a_plan_that_a_suspension_has_ended_changes_nothing() -> None:
    for answer in ("active", "failed"):
        source = in_progress()
        source.feed(ReplanAsked(request="q"))
        source.feed(SuspensionAsked(request="q", duration_ns=10 * SECOND))
        source.plan_active() if answer == "active" else source.plan_failed()
        assert source.requests.status("q") == "suspended"


def test_an_operator_ends_a_suspension_early_whoever_has_begun_it() -> None:
    for by_hand in (True, False):
        source = in_progress()
        if by_hand:
            source.feed(SuspensionAsked(request="q", duration_ns=100 * SECOND))
        else:
            corrected(source, "suspend")
        source.feed(ResumptionAsked(request="q"))
        source.feed(TimerFired())
        assert source.requests.status("q") == "planning"
        source.plan_active()
        assert source.requests.status("q") == "in_progress"


def test_what_an_operator_has_suspended_stays_so_when_its_source_restarts() -> None:
    source = in_progress()
    source.feed(SuspensionAsked(request="q", duration_ns=10 * SECOND))
    source.write()
    source.pass_time(4 * SECOND)
    source.restart()
    assert source.requests.status("q") == "suspended"
    assert source.statuses()[-1] == (
        "suspended",
        0,
        "suspended before the source restarted; suspended for 6 s",
    )
    assert source.planner.requested == []
    source.pass_time(5 * SECOND)
    assert source.planner.requested == []
    source.pass_time(2 * SECOND)
    assert source.requests.status("q") == "planning"
    source.restart()  # that suspension is over
    assert (source.requests.status("q"), len(source.planner.requested)) == ("planning", 1)


def test_what_an_operator_has_let_go_on_is_not_suspended_again_by_a_restart() -> None:
    source = in_progress()
    source.feed(SuspensionAsked(request="q", duration_ns=100 * SECOND))
    source.feed(ResumptionAsked(request="q"))
    source.write()
    source.restart()
    assert source.requests.status("q") == "planning"


def test_what_cannot_be_suspended_or_resumed_is_refused_in_words() -> None:
    source = Source()
    source.submit(ask())
    source.feed(SuspensionAsked(request="q", duration_ns=SECOND))  # not durable yet
    source.feed(SuspensionAsked(request="unheard", duration_ns=SECOND))
    source.feed(ResumptionAsked(request="q"))
    assert [(r.name, r.request) for r in source.reports if r.name.endswith("ion_refused")] == [
        ("suspension_refused", "q"),
        ("suspension_refused", "unheard"),
        ("resumption_refused", "q"),
    ]


def queued(**changes: Any) -> Source:
    source = Source()
    source.submit(ask(**changes))
    source.write()
    source.plan_failed(reason="no room", cause="planner")
    source.write()
    assert source.requests.status("q") == "queued"
    return source


def rows_of_broken_ways() -> set[tuple[str, str]]:
    fired: set[tuple[str, str]] = set()
    wish = ask(when_unreachable="end")
    for state in ("planning", "queued", "in_progress", "suspended"):
        source = brought_to(state, wish)
        source.feed(lost("bob")[0])
        fired |= source.fired
    return fired


def rows_of_admission() -> set[tuple[str, str]]:
    fired: set[tuple[str, str]] = set()
    stories: list[tuple[dict[str, Any], Callable[[Source], None], str]] = [
        ({}, lambda source: source.plan_active(), "in_progress"),
        ({}, lambda source: source.plan_failed(cause="planner"), "queued"),
        ({}, lambda source: source.plan_failed(), "queued"),
        ({}, lambda source: source.plan_failed(final=True), "failed"),
        ({"count": 1}, lambda source: source.deliver(), "completed"),
        ({"queue_ns": SECOND}, lambda source: source.pass_time(2 * SECOND), "failed"),
        ({"deadline_ns": SECOND}, lambda source: source.pass_time(2 * SECOND), "failed"),
        ({}, lambda source: source.feed(RequestCancelled(request="q")), "cancelled"),
    ]
    for changes, act, after in stories:
        source = queued(**changes)
        act(source)
        assert source.requests.status("q") == after
        fired |= source.fired
    source = queued(queue_ns=SECOND)
    source.restart()
    source.pass_time(2 * SECOND)
    assert source.requests.status("q") == "failed"
    fired |= source.fired
    source = Source()
    source.submit(ask(when_full="reject"))
    source.write()
    source.plan_failed(cause="planner")
    assert source.requests.status("q") == "failed"
    fired |= source.fired
    for story in ("in_progress", "planning", "suspended"):
        source = in_progress(ask(count=None, until_cancelled=True))
        if story == "planning":
            source.plan_failed()
        elif story == "suspended":
            corrected(source, "suspend")
        assert source.requests.status("q") == story
        source.feed(RequestCancelled(request="q"))
        assert source.requests.status("q") == "completed"
        fired |= source.fired
    return fired


def leaving(source: Source) -> None:
    source.feed(Tell((NodeLeaving(reason="moves"),)))


def rows_of_departures() -> set[tuple[str, str]]:
    fired: set[tuple[str, str]] = set()
    gone = Tell((PeerLeft(peer="bob", reason="moves"), PeerLost(peer="bob")))
    for leave in (leaving, lambda source: source.feed(gone)):
        recording = Source()
        recording.submit(ask())
        suspended = in_progress()
        corrected(suspended, "suspend")
        for source in (recording, queued(), in_progress(), suspended):
            leave(source)
            source.write()
            assert source.requests.status("q") == "failed"
            assert source.statuses()[-1][2].endswith(": moves")
            fired |= source.fired
    return fired


def test_a_node_that_leaves_ends_its_requests_and_takes_no_more() -> None:
    source = in_progress()
    leaving(source)
    source.write()
    assert source.statuses()[-1] == ("failed", 0, "alice leaves the network: moves")
    assert [ended.request for ended in source.planner.ended] == ["q"]
    source.submit(ask(request_id="later"))
    assert source.statuses("later")[-1] == ("failed", 0, "alice leaves the network: moves")


def test_a_request_that_only_leads_through_a_node_that_left_lives_on_and_avoids_it() -> None:
    source = in_progress()
    source.feed(Tell((PeerLeft(peer="relay", reason="moves"), PeerLost(peer="relay"))))
    assert source.requests.status("q") == "in_progress"
    source.feed(ReplanAsked(request="q"))
    assert source.planner.requested[-1].avoid == ("relay",)


def test_every_row_of_the_life_cycle_happens() -> None:
    fired: set[tuple[str, str]] = set()
    for story in ("cancelled", "deadline_over"):
        for depth in range(3):
            source = Source()
            source.submit(ask(deadline_ns=SECOND))
            if depth > 0:
                source.write()
            if depth > 1:
                source.plan_active()
            if story == "cancelled":
                source.feed(RequestCancelled(request="q"))
            else:
                source.pass_time(2 * SECOND)
            fired |= source.fired
    for changes in ({"count": 1}, {"count": None, "duration_ns": SECOND}):
        for replanning in (False, True):
            source = in_progress(ask(**changes))
            if replanning:
                source.restart()
            if "duration_ns" in changes:
                source.pass_time(2 * SECOND)
            else:
                source.deliver()
            fired |= source.fired
    source = in_progress()
    source.feed(ReplanAsked(request="q"))
    source.plan_active()
    fired |= source.fired
    for final in (False, True):
        source = in_progress()
        source.plan_failed(final)
        fired |= source.fired
        source = Source()
        source.submit(ask())
        source.write()
        source.plan_failed(final)
        fired |= source.fired
    fired |= rows_of_corrective_actions() | rows_of_admission() | rows_of_broken_ways() | rows_of_departures()
    assert set(REQUEST_ROWS) - fired == set()


class RequestLife(RuleBasedStateMachine):
    """Any order of plans, deliveries, crashes and time: one final report a life, and it never changes."""

    @initialize(
        count=st.integers(1, 4),
        duration=st.sampled_from([None, 5 * SECOND]),
        when_full=st.sampled_from(["queue", "reject"]),
        queue=st.sampled_from([None, 3 * SECOND]),
    )
    def begin(self, count: int, duration: int | None, when_full: str, queue: int | None) -> None:
        self.source = Source()
        self.request = ask(
            count=count,
            duration_ns=duration,
            deadline_ns=30 * SECOND,
            when_full=when_full,
            queue_ns=queue,
        )
        self.source.submit(self.request)
        self.told: list[tuple[Any, ...]] = []

    def running(self) -> bool:
        return self.source.requests.status("q") in ("planning", "queued", "in_progress")

    @rule()
    def write(self) -> None:
        self.source.write()

    @precondition(lambda self: self.source.requests.status("q") in ("planning", "queued"))
    @rule()
    def plan_becomes_active(self) -> None:
        if self.source.planner.requested:
            self.source.plan_active()

    @precondition(lambda self: self.source.requests.status("q") == "in_progress")
    @rule(found=st.booleans())
    def planned_anew(self, found: bool) -> None:
        self.source.feed(ReplanAsked(request="q"))
        if found:
            self.source.plan_active()

    @precondition(lambda self: self.running())
    @rule(final=st.booleans(), cause=st.sampled_from(("planner", "room", "other")))
    def plan_fails(self, final: bool, cause: PlanFault) -> None:
        if self.source.planner.requested:
            self.source.plan_failed(final, cause=cause)

    @precondition(lambda self: self.running())
    @rule()
    def pair_settles(self) -> None:
        self.source.deliver()

    @rule(ms=st.integers(1, 8_000))
    def time_passes(self, ms: int) -> None:
        self.source.pass_time(ms * MS)

    @rule()
    def cancel(self) -> None:
        if len(self.source.fired) > 3:  # not at once, or little else would happen
            self.source.feed(RequestCancelled(request="q"))

    @rule()
    def crash(self) -> None:
        self.source.restart()
        if self.source.requests.status("q") is None:  # not durable yet: the application submits again
            self.source.submit(self.request)

    @rule()
    def submit_again(self) -> None:
        self.source.submit(self.request)

    @invariant()
    def final_reports_never_differ_and_nothing_follows_them(self) -> None:
        final = [status for status in self.source.statuses() if status[0] in ("completed", "failed")]
        assert len(set(final)) <= 1
        if final:
            assert self.source.statuses()[-1] == final[0]
            assert self.source.requests.status("q") in ("completed", "failed", "cancelled")
            assert self.source.requests.unfinished == 0

    @invariant()
    def what_is_said_about_admission_goes_from_wait_to_yes_or_no_and_stays(self) -> None:
        said = [
            report.fields["admission"] for report in self.source.reports if report.name == "request_admission"
        ]
        last_words = [word for word in said if word != "queued"]
        assert len(set(last_words)) <= 1
        assert "queued" not in said[len(said) - len(last_words) :]
        if self.request.when_full == "reject":
            assert "queued" not in said

    @invariant()
    def a_completed_request_has_what_it_asked_for(self) -> None:
        for status, count, _ in self.source.statuses():
            if status == "completed" and self.request.duration_ns is None:
                assert count >= (self.request.count or 0)

    @invariant()
    def an_unfinished_request_always_has_a_deadline(self) -> None:
        if self.running() or self.source.requests.status("q") == "recording":
            assert self.source.machine.next_deadline_ns is not None


TestRequestLife = RequestLife.TestCase
