"""Bytes that are no HTTP, or nearly: no answer of the server's own fault, no trace in its log, no hang.

Damaged calls, fixed seed, each on a connection of its own; some carry a valid token.
"""

import json
import re
import socket
from random import Random
from urllib.parse import urlsplit

import pytest

from tests.fuzzing import damaged
from tests.northbound.conftest import Tokens
from tests.northbound.serving import Served

WAIT_S = 0.05
"""For what the server says to a call that it may still take for half of one."""


def calls_of(token: str) -> list[bytes]:
    """Whole calls, to be damaged."""
    bearer = f"Authorization: Bearer {token}\r\nHost: lab\r\n"
    body = json.dumps({"target_nodes": ["alice", "bob"], "count": 1, "mode": "score"})
    lines = [
        f"GET /v1/requests HTTP/1.1\r\n{bearer}\r\n",
        f"GET /v1/requests/r%2f..%2f?after=3 HTTP/1.1\r\n{bearer}\r\n",
        f"POST /v1/requests HTTP/1.1\r\n{bearer}Idempotency-Key: k\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}",
        f"POST /v1/requests HTTP/1.1\r\n{bearer}Content-Type: application/json\r\nTransfer-Encoding: chunked"
        f"\r\n\r\n{len(body):x}\r\n{body}\r\n0\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
    ]
    return [line.encode() for line in lines]


def said(server: Served, octets: bytes) -> bytes:
    """What the server answers before it is silent for a moment, or hangs up."""
    at = urlsplit(server.url)
    answer = b""
    with socket.create_connection((at.hostname, at.port), timeout=30) as line:
        try:
            line.sendall(octets)
            line.settimeout(WAIT_S)
            while part := line.recv(65536):
                answer += part
        except (TimeoutError, ConnectionError):
            pass
    return answer


@pytest.mark.parametrize("cases", [300, pytest.param(5_000, marks=pytest.mark.slow)])
def test_no_bytes_bring_the_server_down_or_make_it_fail(server: Served, tokens: Tokens, cases: int) -> None:
    chance = Random(20261127)
    calls = calls_of(tokens.viewer)
    statuses: set[int] = set()
    before = server.log.read_text(encoding="utf-8", errors="replace").count("Traceback")
    for _ in range(cases):
        answer = said(server, damaged(chance, calls))
        statuses |= {int(code) for code in re.findall(rb"^HTTP/1\.[01] (\d{3})", answer, re.MULTILINE)}
    assert {code for code in statuses if code >= 500} == set()
    assert {400, 401} <= statuses  # what else comes depends on the token, which is another one in each run
    assert server.log.read_text(encoding="utf-8", errors="replace").count("Traceback") == before
    with server.call(tokens.viewer) as http:
        assert http.get("/v1/requests").status_code == 200
