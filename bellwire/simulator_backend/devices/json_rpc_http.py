"""JSON-RPC 2.0 over HTTP/1.1, as much as an instrument serves: POST to one path, one call each.

Owns the framing of requests and responses, sans I/O. Refuses methods: the device knows them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

HEAD_BYTES_MAX = 8192
HEAD_END = b"\r\n\r\n"
LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,9})[ \t]*(?:\r\n|$)", re.IGNORECASE)
PARSE_ERROR, INVALID_REQUEST, NO_METHOD, INVALID_PARAMETERS = -32700, -32600, -32601, -32602
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"

Call = Callable[[str, Sequence[Any]], Any]


class CallRefused(Exception):
    """What a call ends with instead of a result."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def requests_of(buffer: bytearray, path: str, body_bytes_max: int) -> list[bytes]:
    """Take the bodies of complete POSTs to `path` out of a buffer; of any other request its first line."""
    found: list[bytes] = []
    while (end := buffer.find(HEAD_END)) >= 0:
        head = bytes(buffer[:end])
        length = LENGTH.search(head)
        body_bytes = 0 if length is None else int(length[1])
        if body_bytes > body_bytes_max:
            buffer.clear()
            return found
        start, stop = end + len(HEAD_END), end + len(HEAD_END) + body_bytes
        if len(buffer) < stop:
            return found
        line = head.split(b"\r\n", 1)[0]
        posted = line.startswith(f"POST {path} HTTP/1.".encode())
        found.append(bytes(buffer[start:stop]) if posted else line)
        del buffer[:stop]
    if len(buffer) > HEAD_BYTES_MAX:
        buffer.clear()
    return found


def method_of(body: bytes) -> str:
    """The method that a body calls; empty when it calls none."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    method = asked.get("method") if isinstance(asked, dict) else None
    return method if isinstance(method, str) else ""


def respond(body: bytes, call: Call) -> bytes:
    """The whole HTTP response to a body."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return NOT_FOUND if body.split(b" ", 1)[0].isalpha() else _error(None, PARSE_ERROR, "parse error")
    if not isinstance(asked, dict) or not isinstance(asked.get("method"), str):
        return _error(None, INVALID_REQUEST, "invalid request")
    parameters = asked.get("params", [])
    if not isinstance(parameters, list):
        return _error(asked.get("id"), INVALID_PARAMETERS, "give the parameters as a list")
    try:
        result = call(asked["method"], parameters)
    except CallRefused as refused:
        return _error(asked.get("id"), refused.code, str(refused))
    return _http({"jsonrpc": "2.0", "id": asked.get("id"), "result": result})


def _error(number: Any, code: int, text: str) -> bytes:
    return _http({"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": text}})


def _http(content: dict[str, Any]) -> bytes:
    body = json.dumps(content).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode("ascii") + body
