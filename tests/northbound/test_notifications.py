"""The stream of notifications: its form, where it begins and ends, and who may stay."""

import secrets
import threading

import httpx
import pytest

from bellwire.client import AsyncClient, Client, RequestTerms, Unauthenticated
from tests.northbound.conftest import Tokens
from tests.northbound.serving import RunningLab, Served, token

ENDS = ["alice", "bob"]


@pytest.fixture
def ended(client: Client) -> str:
    """A request that has ended."""
    name = f"told-{secrets.token_hex(4)}"
    client.submit(RequestTerms(request_id=name, target_nodes=ENDS, count=2))
    client.wait(name, within_s=120)
    return name


def test_a_notification_is_exactly_the_four_fields_of_the_paper(
    server: Served, tokens: Tokens, client: Client, ended: str
) -> None:
    newest = client.health().notifications
    with server.call(tokens.viewer) as plain:
        answer = plain.get("/v1/notifications", params={"request_id": ended, "after": 0, "until": newest})
    assert answer.headers["content-type"].startswith("text/event-stream")
    *_, last, empty = answer.text.split("\n\n")
    assert empty == ""
    lines = last.split("\n")
    assert lines[0] == "event: request_status"
    told = f'"request_id": "{ended}", "status": "completed", "generated_count": 2, "error_message": null'
    assert lines[1] == f"data: {{{told}}}"
    assert lines[2].startswith("id: ")


def test_reports_come_only_to_those_who_want_them_and_in_the_same_order(client: Client, ended: str) -> None:
    newest = client.health().notifications
    plain = list(client.notifications(ended, after=0, until=newest))
    all_of_it = list(client.notifications(ended, after=0, until=newest, reports=True))
    assert {event.kind for event in plain} == {"request_status"}
    assert [event for event in all_of_it if event.kind == "request_status"] == plain
    reports = [event for event in all_of_it if event.kind == "report"]
    assert "plan_active" in {event.body["name"] for event in reports}
    assert {event.body["request_id"] for event in reports} == {ended}
    assert all(event.notification is None for event in reports)


def test_a_stream_without_a_beginning_tells_only_what_comes_from_now_on(
    server: Served, tokens: Tokens, client: Client, ended: str
) -> None:
    name = f"next-{secrets.token_hex(4)}"
    first: list[str] = []
    with Client(server.url, tokens.viewer) as watching:
        events = watching.notifications()
        open_before = client.health().streams
        reading = threading.Thread(target=lambda: first.append(next(events).body["request_id"]))
        reading.start()
        while client.health().streams <= open_before and reading.is_alive():
            pass
        client.submit(RequestTerms(request_id=name, target_nodes=ENDS, count=1))
        reading.join(timeout=120)
    assert first == [name]
    client.wait(name, within_s=120)


def test_a_stream_ends_when_its_token_is_revoked(server: Served, lab: RunningLab, tokens: Tokens) -> None:
    kept = token(lab.state, "leaving", "viewer")
    with Client(server.url, kept) as leaving, Client(server.url, tokens.admin) as admin:
        events = leaving.notifications(after=0)
        next(events)
        admin.revoke_token(kept.split("_")[1])
        with pytest.raises(Unauthenticated):
            for _ in events:
                pass


def test_a_number_that_was_never_given_begins_with_what_comes(client: Client, ended: str) -> None:
    """After a state folder was lost, clients remember higher numbers than there are."""
    newest = client.health().notifications
    assert list(client.notifications(ended, after=newest + 1000, until=newest)) == []


def test_more_streams_than_there_may_be_are_refused(alone: Served) -> None:
    mine = token(alone.state, "many", "viewer")
    with alone.call(mine, limits=httpx.Limits(max_connections=100)) as plain:
        opened: list[httpx.Response] = []
        try:
            for _ in range(64):
                opened.append(plain.send(plain.build_request("GET", "/v1/notifications"), stream=True))
            assert {one.status_code for one in opened} == {200}
            refused = plain.get("/v1/notifications")
            assert (refused.status_code, refused.json()["type"]) == (503, "/v1/problems/overloaded")
        finally:
            for one in opened:
                one.close()


async def test_the_asynchronous_client_reads_the_same_events(
    server: Served, tokens: Tokens, client: Client, ended: str
) -> None:
    newest = client.health().notifications
    expected = list(client.notifications(ended, after=0, until=newest))
    async with AsyncClient(server.url, tokens.viewer) as other:
        found = [event async for event in other.notifications(ended, after=0, until=newest)]
    assert found == expected
    assert found
