"""What survives a server that is killed: answers by Idempotency-Key, notifications, requests.

One lab of its own, because its agents are disturbed here.
"""

import signal
import time
from collections.abc import Iterator

import msgspec
import psutil
import pytest

from bellwire.client import Client, Invalid, RequestTerms
from bellwire.core.plans import EntanglementRequest
from bellwire.northbound.requests import fingerprint
from bellwire.northbound.store import FILE, ApiStore
from tests.northbound.serving import RunningLab, lab_up, served, token, until

ENDS = ["alice", "bob"]


@pytest.fixture(scope="module")
def own_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    with lab_up(tmp_path_factory.mktemp("durable")) as running:
        yield running


def test_a_key_means_one_request_over_a_server_that_was_killed(own_lab: RunningLab) -> None:
    mine, other = token(own_lab.state, "me", "operator"), token(own_lab.state, "you", "operator")
    terms, key = RequestTerms(target_nodes=ENDS, count=2), "key-of-my-program"
    with served(own_lab) as server:
        with Client(server.url, mine) as client:
            first = client.submit(terms, idempotency_key=key)
            assert client.submit(terms, idempotency_key=key) == first
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    with served(own_lab) as server, Client(server.url, mine) as client:
        assert client.submit(terms, idempotency_key=key) == first
        with server.call(mine) as plain:
            answer = plain.post(
                "/v1/requests",
                json=terms.model_dump(exclude_unset=True),
                headers={"Idempotency-Key": key},
            )
            assert (answer.status_code, answer.headers["idempotency-replayed"]) == (202, "true")
            assert answer.headers["location"] == f"/v1/requests/{first.request_id}"
        with pytest.raises(Invalid) as refused:
            client.submit(RequestTerms(target_nodes=ENDS, count=3), idempotency_key=key)
        assert refused.value.kind == "idempotency-key-reused"
        with Client(server.url, other) as stranger:  # keys belong to those who chose them
            assert stranger.submit(terms, idempotency_key=key).request_id != first.request_id
        assert client.wait(first.request_id, within_s=120).status == "completed"


@pytest.mark.slow
async def test_a_key_whose_server_died_before_the_answer_is_taken_up_with_its_name(
    own_lab: RunningLab,
) -> None:
    """The key stands in the store without an answer, as a kill between the two leaves it."""
    mine = token(own_lab.state, "me", "operator")
    store = ApiStore(own_lab.state / "northbound" / FILE)
    await store.open()
    terms = RequestTerms(target_nodes=ENDS, count=1)
    said = fingerprint(terms)
    assert await store.reserve("me", "left-over", said, "name-of-that-time", time.time_ns()) is None
    await store.close()
    with served(own_lab) as server, Client(server.url, mine) as client:
        assert client.submit(terms, idempotency_key="left-over").request_id == "name-of-that-time"


def test_notifications_are_taken_up_behind_the_last_one_over_a_killed_server(own_lab: RunningLab) -> None:
    """Every number once and in order, and the last is the end of the request."""
    mine = token(own_lab.state, "me", "operator")
    with served(own_lab) as server:
        with Client(server.url, mine) as client:
            name = client.submit(RequestTerms(target_nodes=ENDS, count=10)).request_id
            seen = [next(iter(client.notifications(name, after=0)))]
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    with served(own_lab) as server, Client(server.url, mine) as client:
        client.wait(name, within_s=120)
        for event in client.notifications(name, after=0):  # what the lab said is followed a moment later
            if dict(event.body)["status"] == "completed":
                break
        whole = _told(server.url, mine, name, None)
        rest = _told(server.url, mine, name, seen[0].number)
        assert whole[0] == (seen[0].number, dict(seen[0].body))
        assert whole[1:] == rest
        numbers = [number for number, _ in whole]
        assert numbers == sorted(set(numbers))
        assert set(whole[-1][1]) == {"request_id", "status", "generated_count", "error_message"}
        assert whole[-1][1]["status"] == "completed"
        assert whole[-1][1]["generated_count"] == 10


def _told(url: str, mine: str, name: str, after: int | None) -> list[tuple[int, dict[str, object]]]:
    with Client(url, mine) as client:
        newest = client.health().notifications
        return [
            (event.number, dict(event.body))
            for event in client.notifications(name, after=after or 0, until=newest)
        ]


@pytest.mark.slow
async def test_a_request_that_its_source_lost_is_submitted_again(own_lab: RunningLab) -> None:
    """The store has a request of this API that the source never had, and another life of the source."""
    mine = token(own_lab.state, "me", "operator")
    store = ApiStore(own_lab.state / "northbound" / FILE)
    await store.open()
    request = EntanglementRequest(request_id="lost-by-alice", target_nodes=("alice", "bob"), count=1)
    standing = {
        "request": msgspec.to_builtins(request),
        "state": "queued",
        "delivered": 0,
        "reason": None,
        "plan_failure": None,
        "admission": "pending",
        "offer": None,
        "submitted_ns": time.time_ns(),
        "started_ns": None,
    }
    await store.put_request("alice", standing, time.time_ns(), "me")
    await store.take_news("alice", 1 << 40, 0, [])
    await store.close()
    with served(own_lab) as server, Client(server.url, mine) as client:
        assert client.wait("lost-by-alice", within_s=120).status == "completed"
        assert client.health().events["request_submitted_again"] == 1


@pytest.mark.slow
def test_an_agent_that_restarts_is_followed_into_its_next_life(own_lab: RunningLab) -> None:
    mine = token(own_lab.state, "me", "operator")
    with served(own_lab) as server, Client(server.url, mine) as client:
        name = client.submit(RequestTerms(target_nodes=ENDS, duration_s=600.0)).request_id
        lives = client.node("alice").incarnation
        assert lives is not None
        _kill(own_lab, "alice")
        until(((client.node("alice").incarnation or 0) > lives for _ in iter(int, 1)), "alice lives again")
        assert client.request(name).fresh
        assert client.cancel(name).state == "cancelled"
        for event in client.notifications(name, after=0):
            if event.notification is not None and event.notification.status == "failed":
                assert event.notification.error_message == "cancelled"
                break


def _kill(lab: RunningLab, node: str) -> None:
    """Of the processes below our own lab, the one that runs this node."""
    (agent,) = (
        child
        for child in psutil.Process(lab.process.pid).children(recursive=True)
        if child.cmdline()[-1] != node and node in child.cmdline() and "node" in child.cmdline()
    )
    agent.kill()


@pytest.mark.slow
def test_one_state_folder_has_one_server(own_lab: RunningLab) -> None:
    with served(own_lab), pytest.raises(AssertionError, match="server already runs"), served(own_lab):
        pass
