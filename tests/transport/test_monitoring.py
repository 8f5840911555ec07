"""ExecutionMonitoring at work in the machine of a source: what it tells, keeps, forgets and remembers."""

from itertools import pairwise

import msgspec
import pytest

from bellwire.core.effects import Report
from bellwire.core.events import Record, RequestCancelled
from bellwire.core.machine import Step
from bellwire.core.notices import PlanActive, PlanRequested
from bellwire.core.plans import LinkPlan, RequestPlan
from bellwire.core.settings import MonitorSettings
from bellwire.transport.corrections import Standing
from bellwire.transport.corrections_records import restored, to_record
from bellwire.transport.corrections_terms import Term
from bellwire.transport.monitoring import ExecutionMonitoring
from bellwire.transport.request_records import RequestRecord
from bellwire.transport.request_records import to_record as request_record
from tests.transport.bench import network, plan_of
from tests.transport.monitored import LATENCY_NS, MS, SECOND, Monitored
from tests.transport.test_requests import ask

WHOLE_WINDOWS = MonitorSettings(samples_min=1000, duration_min_ns=20 * SECOND)
"""Windows of whole pairs at tenths of a pair per second, as the worked logs need them."""
QUICK = MonitorSettings(duration_least_ns=0)
T_MIN_NS = 5 * LATENCY_NS


def test_the_first_worked_log_is_replayed_from_pairs_on_the_wire_to_the_plans_that_follow() -> None:
    source = Monitored(WHOLE_WINDOWS, rate_threshold_hz=10.0)
    for duration_ns, rate_hz in ((20, 6.0), (40, 7.0), (40, 8.5), (40, 8.7)):
        source.run(duration_ns * SECOND, rate_hz)
    assert [(one.action, one.percent) for one in source.acted] == [
        ("replan", None),
        ("adjust_rate", -10.0),
        ("adjust_rate", -10.0),
    ]
    assert [one.at_ns for one in source.acted] == [20 * SECOND, 60 * SECOND, 100 * SECOND]
    wanted = [each.request.rate_threshold_hz for each in source.planner.requested]
    assert wanted == pytest.approx([10.0, 10.0, 9.0, 8.1])
    assert [each.differs for each in source.planner.requested] == [True, True, False, False]
    assert source.monitoring.standings["q"].retries == 0


def test_the_second_worked_log_is_six_actions_with_five_gaps_and_one_failure() -> None:
    source = Monitored(WHOLE_WINDOWS, rate_threshold_hz=10.0)
    source.run(1000 * SECOND, 1.0)
    assert source.actions == ["replan", "adjust_rate", "adjust_rate", "suspend", "replan", "terminate"]
    at_ns = [one.at_ns for one in source.acted]
    gaps = [(later - earlier) / SECOND for earlier, later in pairwise(at_ns)]
    assert gaps == [40, 40, 40, 200 + 20, 40], "cool-down; suspension and one window; cool-down"
    told = [(status, error) for status, _, error in source.statuses() if status != "in_progress"]
    assert told == [
        ("suspended", "1 pairs/s of 8.1 pairs/s wanted; suspended for 200 s"),
        ("failed", "1 pairs/s of 8.1 pairs/s wanted, after 5 corrective actions"),
    ]
    assert source.requests.status("q") == "failed"
    assert source.machine.next_deadline_ns is None
    assert (source.monitoring.standings, source.monitoring.watches) == ({}, {})


def test_a_suspension_ends_the_plan_and_plans_anew_when_it_is_over() -> None:
    source = Monitored(QUICK, rate_threshold_hz=10.0)
    source.run(4 * SECOND, 1.0)
    assert source.actions[-1] == "suspend"
    assert source.requests.status("q") == "suspended"
    ended, asked = len(source.planner.ended), len(source.planner.requested)
    assert ended == 1
    reports = len(source.reports)
    source.run(4 * SECOND, 1.0)
    assert len(source.reports) == reports, "nothing is told of a request that sleeps"
    source.run(2 * SECOND, 20.0)
    assert source.requests.status("q") == "in_progress"
    assert source.planner.requested[asked].differs
    assert source.statuses()[-1][0] == "in_progress"
    assert set(source.actions[4:]) <= {"adjust_rate"}, "conditions have recovered"


def test_every_action_is_reported_with_its_reason_and_the_figures_behind_it() -> None:
    source = Monitored(QUICK, rate_threshold_hz=10.0, fidelity_threshold=0.8)
    source.run(SECOND, 4.0, fidelity=0.85)
    (report,) = [one for one in source.reports if one.name == "corrective_action"]
    fields = dict(report.fields)
    assert fields.pop("fidelity") == pytest.approx(0.85)
    assert fields == {
        "action": "replan",
        "percent": None,
        "suspended_ns": None,
        "reason": "4 pairs/s of 10 pairs/s wanted",
        "number": 1,
        "retries": 1,
        "pairs": 2,
        "window_ns": T_MIN_NS,
        "rate_hz": 4.0,
        "rate_wanted_hz": 10.0,
        "rate_asked_hz": 10.0,
        "fidelity_wanted": 0.8,
        "fidelity_asked": 0.8,
    }


def test_pairs_that_are_enough_are_judged_before_the_time_is_over() -> None:
    source = Monitored(QUICK, rate_threshold_hz=1000.0)
    source.run(T_MIN_NS, 400.0)
    assert source.acted[0].at_ns == 50 * MS, "the twentieth pair"


def test_the_new_plan_is_judged_by_its_own_pairs_alone() -> None:
    source = Monitored(QUICK, rate_threshold_hz=10.0)
    source.can_plan = False
    source.run(T_MIN_NS, 1.0)
    assert source.actions == ["replan"]
    source.can_plan = True
    source.pass_time(900 * MS)  # the plan comes 900 ms late
    source.settle()
    begun_ns = source.now_ns
    source.run(10 * SECOND, 10.0)
    assert source.actions == ["replan"]
    assert source.monitoring.watches["q"].window.since_ns >= begun_ns


def test_nothing_is_judged_before_the_links_of_the_plan_can_attempt() -> None:
    live = {"start_margin_ns": 400 * MS, "whole_second": True}
    links = {name: msgspec.structs.replace(link, **live) for name, link in network().links.items()}
    monitoring = ExecutionMonitoring(msgspec.structs.replace(network(), links=links, monitor=QUICK), "alice")
    step = Step("alice")
    part = LinkPlan(
        request="q", tree=0, link="ab", partner="bob", rate_hz=10.0, lanes=1, weight=1, fidelity_min=None
    )
    node = msgspec.structs.replace(plan_of("alice", "keep"), request="q", links=(part,))
    plan = RequestPlan(
        request="q", version=1, nodes={"alice": node}, rate_hz=10.0, latency_ns=LATENCY_NS, fidelity=0.9,
        tree="(alice bob)", shape="alice-bob",
    )  # fmt: skip
    asked = PlanRequested(request=ask(rate_threshold_hz=10.0), version=1, avoid=())
    monitoring.on_notices()[PlanRequested](step, asked)
    monitoring.on_notices()[PlanActive](step, PlanActive(plan=plan))
    step.now_ns = 1_400 * MS + T_MIN_NS - 1
    monitoring.on_deadline(step)
    assert "corrective_action" not in [one.name for one in step.effects if isinstance(one, Report)]
    step.now_ns += 1
    assert monitoring.deadline_ns() == step.now_ns
    monitoring.on_deadline(step)
    assert "corrective_action" in [one.name for one in step.effects if isinstance(one, Report)]


def test_terms_that_no_plan_can_meet_are_lowered_until_one_can() -> None:
    source = Monitored(QUICK, rate_threshold_hz=10.0)
    source.can_plan = False
    source.run(2 * SECOND, 1.0)
    assert source.requests.status("q") == "planning"
    assert source.actions == ["replan", "adjust_rate"]
    source.can_plan = True
    source.run(30 * SECOND, 9.5)
    assert source.requests.status("q") == "in_progress"
    first, second, *_ = [request.rate_threshold_hz for request in source.in_force]
    assert (first, second) == (10.0, pytest.approx(8.1))


def test_requests_without_thresholds_and_labs_without_monitoring_are_never_corrected() -> None:
    plain = Monitored(QUICK)
    plain.run(60 * SECOND, 0.1)
    off = Monitored(msgspec.structs.replace(QUICK, enabled=False), rate_threshold_hz=10.0)
    off.run(60 * SECOND, 0.1)
    for source in (plain, off):
        assert source.actions == []
        assert source.requests.status("q") == "in_progress"
        assert sum(report.name == "request_progress" for report in source.reports) == 60


def test_what_is_cancelled_while_it_sleeps_is_forgotten() -> None:
    source = Monitored(QUICK, rate_threshold_hz=10.0)
    source.run(4 * SECOND, 1.0)
    assert source.requests.status("q") == "suspended"
    source.feed(RequestCancelled(request="q"))
    source.settle()
    assert source.statuses()[-1][0] == "failed"
    assert (source.monitoring.standings, source.monitoring.watches) == ({}, {})
    assert source.machine.next_deadline_ns is None


# ---- restarts


def test_a_restarted_source_goes_on_by_the_terms_and_the_rung_that_it_had_reached() -> None:
    source = Monitored(QUICK, rate_threshold_hz=10.0)
    source.run(3 * SECOND, 1.0)
    assert source.actions == ["replan", "adjust_rate", "adjust_rate"]
    before = source.monitoring.standings["q"]
    source.restart()
    source.settle()
    assert source.monitoring.standings["q"] == before
    (wanted,) = source.planner.requested
    assert wanted.request.rate_threshold_hz == pytest.approx(8.1)
    source.run(SECOND, 1.0)
    assert source.actions[3:] == ["suspend"]


def test_a_source_that_dies_while_a_request_sleeps_lets_it_sleep_for_the_rest() -> None:
    source = Monitored(QUICK, rate_threshold_hz=10.0)
    source.run(4 * SECOND, 1.0)
    resumes_ns = source.monitoring.standings["q"].resumes_ns
    assert resumes_ns is not None
    source.pass_time(SECOND)
    source.restart()
    source.settle()
    assert source.requests.status("q") == "suspended"
    asked = len(source.planner.requested)
    source.pass_time(resumes_ns - source.now_ns - 1)
    assert len(source.planner.requested) == asked
    source.pass_time(1)
    assert len(source.planner.requested) == asked + 1
    source.settle()
    source.run(3 * SECOND, 1.0)
    assert source.actions[4:] == ["replan", "terminate"]


def test_success_is_remembered_over_a_restart_too() -> None:
    source = Monitored(QUICK, rate_threshold_hz=10.0)
    source.run(2 * SECOND, 1.0)
    source.run(5 * SECOND, 10.0)
    assert source.monitoring.standings["q"].retries == 0
    source.restart()
    source.settle()
    assert source.monitoring.standings["q"].retries == 0


def test_a_standing_is_read_back_as_it_was_written_unless_its_request_is_over() -> None:
    standing = Standing(
        rate=Term(asked=10.0, now=8.1, conceded=True, stood=1),
        fidelity=Term(asked=0.8, now=0.8, needed=True),
        retries=3,
        actions=7,
        acted_ns=123,
        resumes_ns=456,
    )

    def over(outcome: str | None) -> Record:
        record = RequestRecord(
            request=ask(),
            submitted_ns=0,
            started_ns=0,
            outcome=outcome,  # type: ignore[arg-type]  # the test's word
            delivered=0,
            reason="",
        )
        return request_record(record)

    older = to_record("q", msgspec.structs.replace(standing, retries=1))
    assert restored((over(None), older, to_record("q", standing))) == {"q": standing}
    assert restored((over("failed"), to_record("q", standing))) == {}
    with pytest.raises(msgspec.DecodeError):
        restored((Record(kind="monitor", key="q", body=b"\xc1"),))


def test_a_steady_request_is_short_only_when_its_pairs_are_too_few_for_chance() -> None:
    """Ten pairs a second asked for, 20 s windows: 200 are expected, 190 tolerated, and 149 lie three standard
    errors below these."""
    for rate_hz, actions in ((7.5, []), (7.4, ["replan"])):
        source = Monitored(WHOLE_WINDOWS, rate_threshold_hz=10.0, reserved_only=True)
        source.run(21 * SECOND, rate_hz)
        assert source.actions == actions, rate_hz
        assert source.monitoring.standings["q"].steady
    impatient = Monitored(WHOLE_WINDOWS, rate_threshold_hz=10.0)
    impatient.run(21 * SECOND, 9.4)
    assert impatient.actions == ["replan"]


def test_a_steady_request_that_has_more_than_it_asked_for_keeps_its_lanes() -> None:
    source = Monitored(WHOLE_WINDOWS, rate_threshold_hz=10.0, reserved_only=True)
    source.run(200 * SECOND, 19.0)
    assert source.actions == []
    eager = Monitored(WHOLE_WINDOWS, rate_threshold_hz=10.0)
    eager.run(21 * SECOND, 19.0)
    assert eager.actions == ["adjust_rate"]


def test_a_steady_request_without_any_pair_is_planned_anew() -> None:
    source = Monitored(QUICK, rate_threshold_hz=1.0, reserved_only=True)
    source.run(T_MIN_NS + MS, 0.0)
    assert source.actions == ["replan"]
