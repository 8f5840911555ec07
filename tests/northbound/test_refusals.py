"""Every documented refusal is met on a real server, in its documented form, and changes nothing."""

import asyncio
import json
import re
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from bellwire.northbound.problems import MEDIA_TYPE, PROBLEMS
from tests.northbound.conftest import Tokens
from tests.northbound.serving import RunningLab, Served, token

TERMS = {"target_nodes": ["alice", "bob"], "count": 1}
JSON = {"Content-Type": "application/json"}


def problem(answer: httpx.Response, name: str) -> dict[str, object]:
    """The problem document; asserts that it is of this type and whole."""
    assert answer.headers["content-type"] == MEDIA_TYPE, answer.text
    told: dict[str, object] = answer.json()
    assert told["type"] == f"/v1/problems/{name}", told
    assert told["status"] == answer.status_code == PROBLEMS[name].status
    assert told["title"] == PROBLEMS[name].title
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", str(told["instance"]))
    assert told["detail"]
    return told


@pytest.fixture
def calls(server: Served, tokens: Tokens) -> Iterator[httpx.Client]:
    with server.call(tokens.operator) as made:
        yield made


# ---- who asks


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer bw_0123456789ab_" + "x" * 43},
        {"Authorization": "Bearer é".encode()},
        {"Authorization": "Basic YWxpY2U6c2VjcmV0"},
    ],
    ids=["none", "empty", "unknown", "not-ascii", "basic"],
)
def test_nobody_is_let_in_without_a_valid_token(server: Served, headers: dict[str, str | bytes]) -> None:
    with server.call() as anybody:
        answer = anybody.get("/v1/lab", headers=headers)
    problem(answer, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_token_with_another_secret_under_a_known_id_is_none(server: Served, tokens: Tokens) -> None:
    forged = tokens.admin[:-4] + ("AAAA" if tokens.admin[-4:] != "AAAA" else "BBBB")
    with server.call(forged) as made:
        problem(made.get("/v1/lab"), "unauthenticated")


def test_an_expired_token_and_a_revoked_one_open_nothing(
    server: Served, lab: RunningLab, tokens: Tokens
) -> None:
    with server.call(token(lab.state, "late", "admin", days=0.0)) as late:
        problem(late.get("/v1/lab"), "unauthenticated")
    kept = token(lab.state, "short", "viewer")
    with server.call(kept) as made, server.call(tokens.admin) as admin:
        assert made.get("/v1/lab").status_code == 200
        revoked = admin.delete(f"/v1/tokens/{kept.split('_')[1]}")
        assert (revoked.status_code, revoked.json()["revoked"]) == (200, True)
        problem(made.get("/v1/lab"), "unauthenticated")


def test_refusals_can_be_seen_in_the_health_of_the_server(server: Served, calls: httpx.Client) -> None:
    before = calls.get("/v1/health").json()["events"].get("unauthenticated", 0)
    with server.call() as anybody:
        anybody.get("/v1/lab")
    assert calls.get("/v1/health").json()["events"]["unauthenticated"] > before


BODIES = {"requests": TERMS, "suspend": {"for_s": 1.0}}


@pytest.mark.parametrize(
    ("role", "method", "path"),
    [
        ("viewer", "POST", "/v1/requests"),
        ("viewer", "POST", "/v1/requests/any/cancel"),
        ("viewer", "POST", "/v1/requests/any/replan"),
        ("viewer", "POST", "/v1/requests/any/suspend"),
        ("viewer", "POST", "/v1/requests/any/resume"),
        ("viewer", "GET", "/v1/tokens"),
        ("operator", "GET", "/v1/tokens"),
        ("operator", "DELETE", "/v1/tokens/0123456789ab"),
    ],
)
def test_a_role_does_not_do_what_is_for_a_higher_one(
    server: Served, tokens: Tokens, role: str, method: str, path: str
) -> None:
    with server.call(getattr(tokens, role)) as made:
        problem(made.request(method, path, json=BODIES.get(path.rsplit("/", 1)[-1])), "forbidden")


# ---- what is asked


@pytest.mark.parametrize(
    "path",
    [
        "/v1",
        "/v1/nowhere",
        "/v1/lab/",
        "/v1/nodes/carol",
        "/v1/links/alice-carol",
        "/v1/links/alice-carol/calibrations",
        "/v1/requests/never-made",
        "/v1/requests/never-made/pairs",
    ],
)
def test_what_does_not_exist_is_not_found(calls: httpx.Client, path: str) -> None:
    problem(calls.get(path), "not-found")


def test_another_method_is_told_which_there_are(calls: httpx.Client) -> None:
    answer = calls.put("/v1/lab")
    problem(answer, "method-not-allowed")
    assert answer.headers["allow"] == "GET"


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[" * 60_000, b'{"target_nodes": NaN', b"\xff\xfe", b'{"count": 1}}'],
    ids=["empty", "open", "deep", "nan", "not-utf8", "too-much"],
)
def test_what_is_no_json_is_refused_as_such(calls: httpx.Client, body: bytes) -> None:
    answer = calls.post("/v1/requests", content=body, headers=JSON)
    if body:
        problem(answer, "malformed-request")
    else:
        problem(answer, "invalid-request")


@pytest.mark.parametrize(
    ("change", "at"),
    [
        ({"target_nodes": ["alice"]}, "body/target_nodes"),
        ({"target_nodes": "alice"}, "body/target_nodes"),
        ({"target_nodes": ["al/ice", "bob"]}, "body/target_nodes/0"),
        ({"count": 0}, "body/count"),
        ({"count": 1 << 60}, "body/count"),
        ({"count": 1.5}, "body/count"),
        ({"fidelity_threshold": 1.5}, "body/fidelity_threshold"),
        ({"duration_s": -1.0}, "body/duration_s"),
        ({"entanglement_type": "w"}, "body/entanglement_type"),
        ({"priority": 65}, "body/priority"),
        ({"request_id": "a/b"}, "body/request_id"),
        ({"request_id": "x" * 129}, "body/request_id"),
        ({"tree": "\ud800"}, "body/tree"),
        ({"prioritee": 3}, "body/prioritee"),
    ],
)
def test_a_field_that_is_wrong_or_unknown_is_named(
    calls: httpx.Client, change: dict[str, object], at: str
) -> None:
    answer = calls.post("/v1/requests", content=json.dumps(TERMS | change), headers=JSON)
    told = problem(answer, "invalid-request")
    assert isinstance(told["errors"], list)
    assert [one["at"] for one in told["errors"]] == [at]


@pytest.mark.parametrize("key", ["", "x" * 256, "two words"])
def test_a_key_that_cannot_be_one_is_refused(calls: httpx.Client, key: str) -> None:
    answer = calls.post("/v1/requests", json=TERMS, headers={"Idempotency-Key": key})
    problem(answer, "invalid-request")


def test_another_media_type_than_json_is_no_submission(calls: httpx.Client) -> None:
    """A form in a web page can send text, and no JSON."""
    answer = calls.post("/v1/requests", content=json.dumps(TERMS), headers={"Content-Type": "text/plain"})
    problem(answer, "invalid-request")


@pytest.mark.parametrize("cursor", ["", "?", "cGFpcnM6MQ", "cmVxdWVzdHM6LTE", "é", "x" * 200])
def test_a_cursor_that_nobody_has_given_is_refused(calls: httpx.Client, cursor: str) -> None:
    problem(calls.get("/v1/requests", params={"cursor": cursor}), "malformed-request")


@pytest.mark.parametrize("number", ["abc", "-1", "1e3", "²"])
def test_a_last_event_id_that_is_no_number_is_refused(calls: httpx.Client, number: str) -> None:
    answer = calls.get("/v1/notifications", headers={"Last-Event-ID": number.encode()})
    problem(answer, "malformed-request")


def test_a_body_beyond_the_limit_is_refused_whether_it_says_its_length_or_not(calls: httpx.Client) -> None:
    large = json.dumps(TERMS | {"tree": "x" * 70_000}).encode()
    answer = calls.post("/v1/requests", content=large, headers=JSON)
    assert problem(answer, "content-too-large")["bytes_max"] == 65_536

    def in_pieces() -> Iterator[bytes]:
        yield from (large[at : at + 1000] for at in range(0, len(large), 1000))

    problem(calls.post("/v1/requests", content=in_pieces(), headers=JSON), "content-too-large")
    problem(calls.request("GET", "/v1/lab", content=large), "content-too-large")


def test_bytes_that_are_no_http_get_an_answer_and_the_server_goes_on(
    server: Served, calls: httpx.Client
) -> None:
    at = urlsplit(server.url)
    for garbage in (b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"):
        with socket.create_connection((at.hostname, at.port), timeout=30) as line:
            line.sendall(garbage + b"\r\n\r\n")
            assert line.recv(4096).startswith(b"HTTP/1.1 400")
    assert calls.get("/v1/lab").status_code == 200


# ---- how much is asked


def test_more_submissions_than_a_token_may_make_are_refused_and_say_when_to_come_again(
    alone: Served,
) -> None:
    """Twelve calls with two allowed in a second: at least one is refused unless they take six seconds."""
    with alone.call(token(alone.state, "eager", "operator")) as made:
        answers = [made.post("/v1/requests", content=b"{", headers=JSON) for _ in range(12)]
        problem(answers[0], "malformed-request")
        refused = [one for one in answers if one.status_code == 429]
        assert refused
        for one in refused:
            problem(one, "rate-limited")
            assert int(one.headers["retry-after"]) >= 1
        assert made.get("/v1/lab").status_code == 200  # only submissions are at their limit


async def test_what_comes_while_enough_submissions_are_being_taken_is_refused_at_once(
    server: Served, tokens: Tokens
) -> None:
    """Sixty at the same moment, of which eight may be at work: the ninth need not wait for its refusal."""
    bearer = {"Authorization": f"Bearer {tokens.operator}"}
    limits = httpx.Limits(max_connections=60)
    async with httpx.AsyncClient(base_url=server.url, headers=bearer, limits=limits, timeout=60) as made:
        answers = await asyncio.gather(*(made.post("/v1/requests", json=TERMS) for _ in range(60)))
        refused = [one for one in answers if one.status_code != 202]
        assert 0 < len(refused) <= 52
        for one in refused:
            problem(one, "overloaded")
            assert int(one.headers["retry-after"]) >= 1
        assert (await made.post("/v1/requests", json=TERMS)).status_code == 202


def test_guessing_tokens_is_slowed_down(alone: Served) -> None:
    """Sixty guesses of an address with ten allowed in a second: one is refused unless they take six."""
    elsewhere = httpx.HTTPTransport(local_address="127.0.0.2")
    with alone.call("bw_0123456789ab_" + "x" * 43, transport=elsewhere) as guessing:
        answers = [guessing.get("/v1/lab") for _ in range(60)]
    problem(answers[0], "unauthenticated")
    problem(next(one for one in answers if one.status_code == 429), "rate-limited")


def test_a_source_that_does_not_answer_is_a_passing_refusal(alone: Served) -> None:
    with alone.call(token(alone.state, "patient", "operator")) as made:
        for _ in range(2):
            answer = made.post("/v1/requests", json=TERMS, headers={"Idempotency-Key": "one"})
            problem(answer, "agent-silent")
            assert int(answer.headers["retry-after"]) >= 1
        health = made.get("/v1/health").json()
        assert health["status"] == "degraded"
        assert "alice does not answer" in health["reasons"]
        assert {node["answers"] for node in made.get("/v1/nodes").json()} == {False}
        assert made.get("/v1/links").json()[0]["standing"] is None


def test_without_tokens_only_programs_that_name_loopback_are_answered(alone: Served) -> None:
    """A web page that a browser on this computer has loaded names its own host."""
    with alone.call() as anybody:
        assert anybody.get("/v1/lab").status_code == 200
        for host in ("evil.example", "127.0.0.1.evil.example", "", "localhost.evil.example:80"):
            problem(anybody.get("/v1/lab", headers={"Host": host}), "misdirected-request")
        problem(anybody.get("/v1/lab", headers={"Authorization": "Bearer wrong"}), "unauthenticated")
