"""The two clients: the same words, the same answers, errors by kind, retries that repeat nothing twice."""

import asyncio
import inspect
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from bellwire import client as room
from bellwire.client import (
    AsyncClient,
    Client,
    NotAnswered,
    RateLimited,
    RequestTerms,
    Retries,
    ServerFault,
    Unauthenticated,
    Unavailable,
    errors,
)
from bellwire.northbound.problems import PROBLEMS, Problem
from tests.northbound.conftest import Tokens
from tests.northbound.serving import Served

FAST = Retries(attempts=4, wait_first_s=0.001, wait_longest_s=0.002)


class Scripted:
    """A server that gives prepared answers, one after another, and keeps what it was asked."""

    def __init__(self, *answers: tuple[int, dict[str, str], bytes] | None) -> None:
        """None: the connection is cut instead of an answer."""
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self._answers = list(answers)

    @contextmanager
    def at(self) -> Iterator[str]:
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                scripted.asked.append((self.command, self.path, dict(self.headers)))
                answer = scripted._answers.pop(0)
                if answer is None:
                    self.close_connection = True
                    return
                status, headers, body = answer
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = headers.get("Connection") == "close"

            do_GET = do_POST = _answer  # noqa: N815  the names that http.server looks for

            def log_message(self, *_: Any) -> None:
                """Tests are quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def refusal(name: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """A problem as the server sends it."""
    answer = Problem(name, "for a test", headers=headers).response()
    return answer.status_code, headers, bytes(answer.body)


LAB = (
    b'{"name":"n","description":"","digest":"d","bellwire":"9","nodes":[],"links":[],"requests_in_file":[],'
    b'"field_of_a_newer_server":1}'
)
GOOD = (200, {"Content-Type": "application/json"}, LAB)


def test_both_clients_have_the_same_words() -> None:
    def words(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(method).parameters)
            for name, method in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_") and name not in ("close", "aclose")
        }

    assert words(Client) == words(AsyncClient)
    assert len(words(Client)) > 15


async def test_both_clients_read_the_same(server: Served, tokens: Tokens) -> None:
    def read() -> list[Any]:
        with Client(server.url, tokens.admin) as one:
            return [
                one.lab(),
                one.link("alice-bob").points,
                one.node("midpoint").role,
                one.calibrations("alice-bob", history=True),
                one.tokens(),
                list(one.requests(page=1)),
                len(one.nodes()),
                len(one.links()),
            ]

    expected = await asyncio.to_thread(read)
    async with AsyncClient(server.url, tokens.admin) as other:
        found = [
            await other.lab(),
            (await other.link("alice-bob")).points,
            (await other.node("midpoint")).role,
            await other.calibrations("alice-bob", history=True),
            await other.tokens(),
            [one async for one in other.requests(page=1)],
            len(await other.nodes()),
            len(await other.links()),
        ]
    assert found[0] == expected[0]
    assert [one.request_id for one in found[5]] == [one.request_id for one in expected[5]]
    assert found[1:5] + found[6:] == expected[1:5] + expected[6:]


async def test_the_asynchronous_client_submits_waits_reads_pairs_and_cancels(
    server: Served, tokens: Tokens
) -> None:
    async with AsyncClient(server.url, tokens.operator) as client:
        taken = await client.submit(RequestTerms(target_nodes=["alice", "bob"], count=2))
        assert (await client.wait(taken.request_id, within_s=120)).generated_count == 2
        assert [pair.number async for pair in client.pairs(taken.request_id, page=1)] == [1, 2]
        endless = await client.submit(RequestTerms(target_nodes=["alice", "bob"], duration_s=600.0))
        with pytest.raises(TimeoutError):
            await client.wait(endless.request_id, within_s=0.05)
        assert (await client.cancel(endless.request_id)).state == "cancelled"


def test_waiting_has_an_end_also_while_nothing_is_told(client: Client) -> None:
    endless = client.submit(RequestTerms(target_nodes=["alice", "bob"], duration_s=600.0))
    with pytest.raises(TimeoutError):
        client.wait(endless.request_id, within_s=0.05)
    client.cancel(endless.request_id)


def test_every_problem_of_the_server_has_a_class_of_its_own_kind() -> None:
    assert set(errors.BY_KIND) == set(PROBLEMS)
    for name, kind in PROBLEMS.items():
        status, headers, body = refusal(name)
        error = errors.error_of(status, headers, body)
        assert type(error) is errors.BY_KIND[name]
        assert (error.kind, error.problem.status) == (name, kind.status)


def test_what_is_limited_or_silent_is_tried_again_and_the_answer_is_read() -> None:
    scripted = Scripted(refusal("rate-limited", **{"Retry-After": "0"}), refusal("agent-silent"), None, GOOD)
    with scripted.at() as url, Client(url, "secret", retries=FAST) as client:
        assert client.lab().bellwire == "9"
    assert len(scripted.asked) == 4
    assert {headers["Authorization"] for _, _, headers in scripted.asked} == {"Bearer secret"}


async def test_the_asynchronous_client_tries_again_too() -> None:
    scripted = Scripted(refusal("overloaded"), None, GOOD)
    with scripted.at() as url:
        async with AsyncClient(url, retries=FAST) as client:
            assert (await client.lab()).name == "n"
    assert len(scripted.asked) == 3


def test_a_submission_that_is_tried_again_has_the_same_key() -> None:
    scripted = Scripted(None, refusal("agent-silent"), refusal("request-refused"))
    with (
        scripted.at() as url,
        Client(url, retries=FAST) as client,
        pytest.raises(errors.Refused, match="for a test"),
    ):
        client.submit(RequestTerms(target_nodes=["a", "b"], count=1))
    keys = [headers["Idempotency-Key"] for _, _, headers in scripted.asked]
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_a_replan_is_sent_once_unless_it_was_refused_for_a_limit() -> None:
    scripted = Scripted(refusal("rate-limited"), None)
    with scripted.at() as url, Client(url, retries=FAST) as client, pytest.raises(NotAnswered):
        client.replan("r")
    assert len(scripted.asked) == 2
    scripted = Scripted(refusal("agent-silent"))
    with scripted.at() as url, Client(url, retries=FAST) as client, pytest.raises(Unavailable):
        client.replan("r")


def test_tries_have_an_end_and_the_last_failure_is_told() -> None:
    scripted = Scripted(*[refusal("rate-limited")] * 4)
    with scripted.at() as url, Client(url, retries=FAST) as client, pytest.raises(RateLimited):
        client.lab()
    assert len(scripted.asked) == 4


def test_what_a_retry_cannot_mend_is_not_retried() -> None:
    for name, kind in (("unauthenticated", Unauthenticated), ("internal-error", ServerFault)):
        scripted = Scripted(refusal(name))
        with scripted.at() as url, Client(url, retries=FAST) as client, pytest.raises(kind):
            client.lab()


def test_an_answer_of_something_else_is_a_fault_of_the_server() -> None:
    scripted = Scripted((502, {"Content-Type": "text/html"}, b"<h1>Bad gateway</h1>"))
    with scripted.at() as url, Client(url, retries=FAST) as client, pytest.raises(ServerFault, match="502"):
        client.lab()


def test_a_server_that_does_not_run_is_an_error_that_says_so() -> None:
    with Client("http://127.0.0.1:9", retries=FAST) as client, pytest.raises(NotAnswered, match="/v1/lab"):
        client.lab()


def test_a_broken_stream_is_taken_up_behind_the_last_event() -> None:
    def events(*numbers: int) -> bytes:
        return b"".join(b"event: report\ndata: {}\nid: %d\n\n" % number for number in numbers)

    stream = {"Content-Type": "text/event-stream"}
    cut = (200, stream | {"Content-Length": "10000", "Connection": "close"}, events(4, 5))
    scripted = Scripted((200, stream, events(3)), cut, (200, stream, events(6, 7, 8)))
    with scripted.at() as url, Client(url, retries=FAST) as client:
        found = client.notifications(after=2)
        assert [next(found).number for _ in range(5)] == [3, 4, 5, 6, 7]
        found.close()  # type: ignore[attr-defined]
    assert [headers["Last-Event-ID"] for _, _, headers in scripted.asked] == ["2", "3", "5"]


def test_the_room_offers_what_it_names_and_nothing_else() -> None:
    for name in room.__all__:
        assert getattr(room, name).__name__ == name
    with pytest.raises(AttributeError):
        room.Nothing  # noqa: B018
