"""Requests over HTTP: from the submission to the pairs, on a lab with emulated instruments."""

import secrets
from math import exp

import pytest

from bellwire.client import Client, Conflict, Forbidden, NotFound, Refused, RequestTerms
from bellwire.core.bell import COST_UNIT_PER_NEPER, decay_rates
from bellwire.labs import load_lab
from tests.northbound.conftest import Tokens
from tests.northbound.serving import RunningLab, Served

ENDS = ["alice", "bob"]
FRESH = 0.97498
"""Of a pair of this lab's link when it is born."""


def fresh(what: str) -> str:
    return f"{what}-{secrets.token_hex(4)}"


def steepest_decay_hz(lab: RunningLab) -> float:
    """No eigenvalue of a stored pair decays faster."""
    _, memories = load_lab(lab.file).world()
    rates = [decay_rates(one.t1_ns, one.t2_ns, one.depolarising_time_ns) for one in memories]
    return max(map(sum, zip(*rates, strict=True))) / COST_UNIT_PER_NEPER * 1e9


def test_a_request_is_taken_served_and_its_pairs_are_read_page_by_page_at_both_ends(
    client: Client, lab: RunningLab
) -> None:
    name = fresh("served")
    taken = client.submit(RequestTerms(request_id=name, target_nodes=ENDS, count=5, consumption="measure"))
    assert (taken.request_id, taken.source, taken.status, taken.fresh) == (name, "alice", "in_progress", True)
    assert taken.terms == {"request_id": name, "target_nodes": ENDS, "count": 5, "consumption": "measure"}
    done = client.wait(name, within_s=120)
    assert (done.status, done.state, done.generated_count) == ("completed", "completed", 5)
    assert done.error_message is None
    assert done.started_at is not None
    assert done.started_at >= done.submitted_at
    here, there = list(client.pairs(name, page=2)), list(client.pairs(name, node="bob", page=500))
    assert [pair.number for pair in here] == [pair.number for pair in there]
    assert {pair.state for pair in here} == {"settled"}
    assert len(here) == 5
    for one, other in zip(here, there, strict=True):
        assert (one.peer, other.peer) == ("bob", "alice")
        assert (one.head_end, one.frame, one.fidelity) == (other.head_end, other.frame, other.fidelity)
        assert one.outcome in (0, 1)
        least = (1.0 + (4.0 * FRESH - 1.0) * exp(-steepest_decay_hz(lab) * one.age_ns / 1e9)) / 4.0
        assert least - 1e-4 < one.fidelity < FRESH + 1e-4
        assert one.age_ns > 0


def test_a_viewer_sees_pairs_without_outcomes_and_may_not_submit(
    server: Served, tokens: Tokens, client: Client
) -> None:
    name = fresh("seen")
    terms = RequestTerms(request_id=name, target_nodes=ENDS, count=2, consumption="measure")
    client.submit(terms)
    client.wait(name, within_s=120)
    with Client(server.url, tokens.viewer) as viewer:
        pairs = list(viewer.pairs(name))
        assert [pair.outcome for pair in pairs] == [None, None]
        with pytest.raises(Forbidden, match="needs the role operator"):
            viewer.submit(terms)


def test_the_same_name_and_terms_are_the_same_request_and_other_terms_a_conflict(client: Client) -> None:
    name = fresh("twice")
    terms = RequestTerms(request_id=name, target_nodes=ENDS, count=3)
    client.submit(terms)
    client.wait(name, within_s=120)
    again = client.submit(terms)
    assert (again.status, again.generated_count) == ("completed", 3)
    with pytest.raises(Conflict) as refused:
        client.submit(RequestTerms(request_id=name, target_nodes=ENDS, count=4))
    assert refused.value.kind == "request-id-taken"


def test_a_request_without_a_name_gets_one_that_tells_its_ends(client: Client) -> None:
    taken = client.submit(RequestTerms(target_nodes=ENDS, count=1))
    assert taken.request_id.startswith("alice-bob-")
    assert client.wait(taken.request_id, within_s=120).status == "completed"


def test_what_the_source_refuses_is_refused_with_its_reason_and_is_no_request(client: Client) -> None:
    name = fresh("refused")
    with pytest.raises(Refused, match="neither count nor duration given"):
        client.submit(RequestTerms(request_id=name, target_nodes=ENDS))
    with pytest.raises(NotFound):
        client.request(name)
    with pytest.raises(Refused, match="no node"):
        client.submit(RequestTerms(request_id=name, target_nodes=["nobody", "bob"], count=1))
    with pytest.raises(Refused, match="pre_distributed is the lab's own"):
        client.submit(RequestTerms(request_id="pre_distributed", target_nodes=ENDS, count=1))


def test_only_its_owner_and_admins_cancel_a_request_and_what_has_ended_stays_as_it_is(
    server: Served, tokens: Tokens, client: Client
) -> None:
    name = fresh("cancelled")
    client.submit(RequestTerms(request_id=name, target_nodes=ENDS, duration_s=600.0))
    with Client(server.url, tokens.other) as other, pytest.raises(Forbidden, match="submitted by experiment"):
        other.cancel(name)
    with Client(server.url, tokens.admin) as admin:
        ended = admin.cancel(name)
    assert (ended.state, ended.status, ended.error_message) == ("cancelled", "failed", "cancelled")
    assert client.cancel(name).state == "cancelled"
    with pytest.raises(Conflict) as refused:
        client.replan(name)
    assert refused.value.kind == "not-in-progress"
    assert refused.value.problem.model_extra is not None
    assert refused.value.problem.model_extra["state"] == "cancelled"


def test_a_request_in_progress_is_planned_anew(client: Client) -> None:
    name = fresh("replanned")
    client.submit(RequestTerms(request_id=name, target_nodes=ENDS, duration_s=600.0))
    for event in client.notifications(name, after=0):
        if event.notification is not None:
            break  # its first plan is in force
    assert client.replan(name).state == "in_progress"
    versions: list[int] = []
    for event in client.notifications(name, reports=True, after=0):
        if event.kind == "report" and event.body["name"] == "plan_active":
            versions.append(event.body["fields"]["version"])
        if len(versions) == 2:
            break
    assert versions[0] < versions[1]
    client.cancel(name)


def test_a_request_pauses_and_goes_on_when_its_owner_says_so(
    server: Served, tokens: Tokens, client: Client
) -> None:
    name = fresh("pausing")
    client.submit(RequestTerms(request_id=name, target_nodes=ENDS, duration_s=600.0))
    with Client(server.url, tokens.other) as other, pytest.raises(Forbidden, match="submitted by experiment"):
        other.suspend(name, 60.0)
    paused = client.suspend(name, 600.0)
    assert (paused.state, paused.status) == ("suspended", "suspended")
    with pytest.raises(Conflict, match="is suspended"):
        client.suspend(name, 600.0)
    assert client.resume(name).state in ("planning", "in_progress")
    with pytest.raises(Conflict, match=r"is (planning|in_progress)"):
        client.resume(name)
    client.suspend(name, 0.2)
    said: list[str | None] = []
    for event in client.notifications(name, after=0):
        if event.notification is not None and event.notification.status == "suspended":
            said.append(event.notification.error_message)
        elif event.notification is not None and len(said) == 2:
            break  # it goes on by itself
    why = "an operator wants it to pause; suspended for"
    assert said == [f"{why} 600 s", f"{why} 0.2 s"]
    client.cancel(name)
    with pytest.raises(Conflict, match="is cancelled"):
        client.suspend(name, 1.0)


def test_all_requests_are_listed_the_newest_first_in_pages_without_gap_or_repetition(client: Client) -> None:
    names = [fresh("listed") for _ in range(5)]
    for name in names:
        client.submit(RequestTerms(request_id=name, target_nodes=ENDS, count=1))
    for name in names:
        client.wait(name, within_s=120)
    found = [one.request_id for one in client.requests(page=2)]
    assert len(found) == len(set(found))
    assert [name for name in found if name in names] == names[::-1]
    assert {one.state for one in client.requests(["cancelled"])} <= {"cancelled"}
    assert set(names) <= {one.request_id for one in client.requests(["completed"], source="alice")}
    assert list(client.requests(source="bob")) == []
