"""Admission: yes when every node has accepted, no with the best offer, or a wait for room with a limit."""

from typing import Any

import msgspec
import pytest

from bellwire.core.events import RequestCancelled
from bellwire.core.graph_states import with_node_edges
from bellwire.core.plans import BestOffer, EntanglementRequest
from bellwire.transport import admission
from bellwire.transport.admission import ROOM_TRIES
from bellwire.transport.request_records import fault_of, from_record
from tests.transport.bench import network
from tests.transport.test_requests import SECOND, Source, ask, in_progress, queued

OFFER = BestOffer(rate_hz=12.5, fidelity=0.93)


def submitted(**changes: Any) -> Source:
    source = Source()
    source.submit(ask(**changes))
    source.write()
    return source


def said(source: Source, request: str = "q") -> list[tuple[Any, ...]]:
    return [
        tuple(report.fields[key] for key in ("admission", "reason", "offer_rate_hz", "offer_fidelity"))
        for report in source.reports
        if report.name == "request_admission" and report.request == request
    ]


def recorded(source: Source) -> list[str]:
    records = [from_record(record) for record in source.store if record.kind == "request"]
    return [record.admission for record in records]


def test_a_request_is_accepted_when_its_plan_is_in_force_and_the_record_says_so() -> None:
    source = in_progress()
    assert said(source) == [("accepted", None, None, None)]
    assert recorded(source) == ["pending", "accepted"]


def test_a_request_that_does_not_wait_is_rejected_with_reason_and_best_offer() -> None:
    source = submitted(when_full="reject", rate_threshold_hz=50.0)
    source.plan_failed(reason="no room for rate 50/s", cause="planner", offer=OFFER)
    source.write()
    assert said(source) == [("rejected", "no room for rate 50/s", 12.5, 0.93)]
    assert recorded(source) == ["pending", "rejected"]
    reason = "no room for rate 50/s; could be promised now: 12.5 pairs/s of fidelity 0.93"
    assert source.statuses() == [("failed", 0, reason)]
    assert source.requests.unfinished == 0
    assert source.machine.next_deadline_ns is None


def test_what_an_idle_network_cannot_do_is_rejected_however_long_it_would_wait() -> None:
    source = submitted(fidelity_threshold=0.999)
    source.plan_failed(final=True, reason="fidelity 0.999 cannot be reached", cause="planner", offer=OFFER)
    source.write()
    assert said(source)[0][0] == "rejected"
    assert source.statuses()[-1][2].endswith("could be promised now: 12.5 pairs/s of fidelity 0.93")


def test_a_refusal_for_lack_of_room_is_asked_again_at_once_until_the_planner_knows_enough() -> None:
    source = submitted(when_full="reject")
    for refusals in range(1, ROOM_TRIES):
        source.plan_failed(reason="relay: link ar is full", cause="room")
        assert len(source.planner.requested) == refusals + 1
        assert source.requests.status("q") == "planning"
    source.plan_failed(reason="relay: link ar is full", cause="room")
    assert source.requests.status("q") == "failed"


def test_a_node_that_does_not_answer_is_no_reason_to_reject() -> None:
    source = submitted(when_full="reject")
    for _ in range(20):
        source.plan_failed()
        source.pass_time(20 * SECOND)
    assert source.requests.status("q") == "planning"
    assert said(source) == []


def test_a_queued_request_is_told_once_and_planned_again_until_there_is_room() -> None:
    source = queued()
    assert said(source) == [("queued", "no room", None, None)]
    before = len(source.planner.requested)
    for _ in range(3):
        source.pass_time(20 * SECOND)
        source.plan_failed(reason="no room", cause="planner")
    assert len(source.planner.requested) == before + 3
    source.pass_time(20 * SECOND)
    source.plan_active()
    source.write()
    assert [each[0] for each in said(source)] == ["queued", "accepted"]
    assert recorded(source) == ["pending", "queued", "accepted"]
    source.pass_time(100 * SECOND)
    assert source.requests.status("q") == "in_progress"


def test_the_wait_in_the_queue_has_a_limit_that_a_restart_does_not_lengthen() -> None:
    source = queued(queue_ns=10 * SECOND)
    source.pass_time(6 * SECOND)
    source.restart()
    source.plan_failed(reason="no room", cause="planner", offer=OFFER)
    source.pass_time(3 * SECOND)
    assert source.requests.status("q") == "queued"
    source.pass_time(2 * SECOND)
    source.write()
    assert source.statuses()[-1] == (
        "failed",
        0,
        "waited 10 s for room: no room; could be promised now: 12.5 pairs/s of fidelity 0.93",
    )
    assert [each[0] for each in said(source)] == ["queued", "rejected"]


def test_a_full_queue_rejects_newcomers_and_keeps_those_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "QUEUED_MAX", 1)
    source = queued()
    source.submit(msgspec.structs.replace(ask(), request_id="late"))
    source.write()
    source.plan_failed(reason="no room", cause="planner")
    assert source.requests.status("late") == "failed"
    source.pass_time(SECOND)
    source.plan_failed(reason="no room", cause="planner")
    assert source.requests.status("q") == "queued"


def test_a_request_that_was_accepted_is_not_judged_again() -> None:
    source = in_progress(ask(when_full="reject"))
    source.plan_failed(reason="no room", cause="planner")
    assert source.requests.status("q") == "planning"
    assert [each[0] for each in said(source)] == ["accepted"]


def test_a_standing_request_runs_until_it_is_withdrawn_and_is_then_complete() -> None:
    source = in_progress(ask(count=None, until_cancelled=True))
    for _ in range(5):
        source.deliver()
    source.pass_time(100_000 * SECOND)
    assert source.requests.status("q") == "in_progress"
    source.feed(RequestCancelled(request="q"))
    source.write()
    assert source.statuses()[-1] == ("completed", 5, None)
    source.feed(RequestCancelled(request="q"))
    assert not source.writing


def test_a_standing_request_that_never_began_is_cancelled_or_fails_when_no_plan_is_found() -> None:
    source = submitted(count=None, until_cancelled=True)
    source.feed(RequestCancelled(request="q"))
    source.write()
    assert source.statuses()[-1] == ("failed", 0, "cancelled")
    source = submitted(count=None, until_cancelled=True)
    source.pass_time(601 * SECOND)
    assert source.requests.status("q") == "failed"


GRAPH: dict[str, Any] = {
    "target_nodes": ("alice", "bob", "carol"),
    "entanglement_type": "graph",
    "edges": (("x", "y"), ("y", "z")),
    "vertices": (("x", "alice"), ("y", "bob"), ("z", "carol")),
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"until_cancelled": True}, "leave out count"),
        ({"count": None, "until_cancelled": True, "deadline_ns": 5}, "leave out count"),
        ({"queue_ns": 0}, "queue_ns = 0"),
        ({"vertices": (("x", "alice"),)}, "vertices are for graph states"),
        (GRAPH | {"vertices": (("x", "alice"), ("y", "bob"), ("y", "carol"))}, "name y twice"),
        (GRAPH | {"edges": (("x", "y"), ("y", "w"))}, "edges name w, no vertex of x, y, z"),
        (GRAPH | {"vertices": (("x", "alice"), ("y", "bob"), ("z", "bob"))}, "y, z are all at bob"),
        (GRAPH | {"target_nodes": ("alice", "bob", "dave")}, "name the same"),
    ],
)
def test_terms_that_make_no_request_are_refused_with_words(changes: dict[str, Any], words: str) -> None:
    fault = fault_of(ask(**changes), network(), "alice")
    assert fault is not None
    assert words in fault


def test_the_planner_is_asked_for_edges_between_nodes() -> None:
    request: EntanglementRequest = with_node_edges(ask(**GRAPH))
    assert request.edges == (("alice", "bob"), ("bob", "carol"))
    assert request.vertices == ()
    assert with_node_edges(ask()) == ask()
