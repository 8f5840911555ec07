"""The calls of the API as values: what is sent, how the answer is read, and whether it may be sent again.

Owns them for both clients, so that these cannot differ. Refuses to send anything.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote

from pydantic import TypeAdapter

from bellwire.client import words

T = TypeVar("T")

JSON: Final = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One call. `repeatable`: sending it twice is the same as sending it once."""

    method: str
    path: str
    read: Callable[[bytes], T]
    repeatable: bool = True
    params: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None


def _reading(kind: Any) -> Callable[[bytes], Any]:
    return TypeAdapter(kind).validate_json


_lab = _reading(words.Lab)
_nodes = _reading(list[words.Node])
_node = _reading(words.Node)
_links = _reading(list[words.Link])
_link = _reading(words.Link)
_topology = _reading(words.Topology)
_calibrations = _reading(words.LinkCalibrations)
_request = _reading(words.Request)
_requests = _reading(words.RequestPage)
_pairs = _reading(words.PairPage)
_health = _reading(words.Health)
_tokens = _reading(list[words.Token])
_token = _reading(words.Token)


def lab() -> Call[words.Lab]:
    """The lab behind the server."""
    return Call("GET", "/v1/lab", _lab)


def nodes() -> Call[list[words.Node]]:
    """All nodes and heralding stations."""
    return Call("GET", "/v1/nodes", _nodes)


def node(name: str) -> Call[words.Node]:
    """One of them."""
    return Call("GET", f"/v1/nodes/{quote(name, safe='')}", _node)


def links() -> Call[list[words.Link]]:
    """All elementary links."""
    return Call("GET", "/v1/links", _links)


def link(name: str) -> Call[words.Link]:
    """One of them."""
    return Call("GET", f"/v1/links/{quote(name, safe='')}", _link)


def topology() -> Call[words.Topology]:
    """The map of the network as each agent sees it."""
    return Call("GET", "/v1/topology", _topology)


def calibrations(link: str, history: bool) -> Call[words.LinkCalibrations]:
    """What procedures have found out about a link."""
    path = f"/v1/links/{quote(link, safe='')}/calibrations"
    return Call("GET", path, _calibrations, params={"history": history} if history else {})


def health() -> Call[words.Health]:
    """The server and the lab behind it."""
    return Call("GET", "/v1/health", _health)


def submit(terms: words.RequestTerms, idempotency_key: str | None) -> Call[words.Request]:
    """A submission; without a key it gets one of its own, so that it may be sent again."""
    return Call(
        "POST",
        "/v1/requests",
        _request,
        headers={
            **JSON,
            "Idempotency-Key": idempotency_key or str(uuid.uuid4()),
        },
        body=terms.model_dump_json(exclude_unset=True),
    )


def request(request_id: str) -> Call[words.Request]:
    """One request."""
    return Call("GET", _path(request_id), _request)


def requests(
    states: Sequence[str], source: str | None, limit: int, cursor: str | None
) -> Call[words.RequestPage]:
    """A page of requests, the newest first."""
    params = {"limit": limit, "cursor": cursor, "source": source, "state": list(states)}
    return Call("GET", "/v1/requests", _requests, params=_given(params))


def cancel(request_id: str) -> Call[words.Request]:
    """Withdraw a request."""
    return Call("POST", f"{_path(request_id)}/cancel", _request)


def replan(request_id: str) -> Call[words.Request]:
    """Have a request planned anew."""
    return Call("POST", f"{_path(request_id)}/replan", _request, repeatable=False)


def suspend(request_id: str, for_s: float) -> Call[words.Request]:
    """Have a request pause."""
    body = words.Suspension(for_s=for_s).model_dump_json()
    path = f"{_path(request_id)}/suspend"
    return Call("POST", path, _request, repeatable=False, headers=dict(JSON), body=body)


def resume(request_id: str) -> Call[words.Request]:
    """Have a suspended request go on now."""
    return Call("POST", f"{_path(request_id)}/resume", _request, repeatable=False)


def pairs(request_id: str, node: str | None, limit: int, cursor: str | None) -> Call[words.PairPage]:
    """A page of delivered pairs."""
    params = {"node": node, "limit": limit, "cursor": cursor}
    return Call("GET", f"{_path(request_id)}/pairs", _pairs, params=_given(params))


def tokens() -> Call[list[words.Token]]:
    """All tokens, without their secrets."""
    return Call("GET", "/v1/tokens", _tokens)


def revoke_token(token_id: str) -> Call[words.Token]:
    """Let a token open nothing any more."""
    return Call("DELETE", f"/v1/tokens/{quote(token_id, safe='')}", _token)


def notifications(request_id: str | None, reports: bool, after: int | None, until: int | None) -> Call[None]:
    """A stream of events; `after` goes as Last-Event-ID."""
    params = {"request_id": request_id, "reports": reports or None, "until": until}
    headers = {"Accept": "text/event-stream"} | ({} if after is None else {"Last-Event-ID": str(after)})
    return Call("GET", "/v1/notifications", lambda _: None, params=_given(params), headers=headers)


def _path(request_id: str) -> str:
    return f"/v1/requests/{quote(request_id, safe='')}"


def _given(params: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None and value != []}
