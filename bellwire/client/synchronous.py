"""The client for scripts and notebooks: every call returns when its answer is there.

Owns `Client`. asynchronous.py is the same, word for word, with `await`; what is sent and how answers are read
stands in calls.py.
"""

import ssl
import time
from collections.abc import Iterator, Sequence
from typing import Self, TypeVar

import httpx
from httpx_sse import EventSource

from bellwire.client import calls, words
from bellwire.client.calls import Call
from bellwire.client.errors import error_of
from bellwire.client.events import FINAL, Event, event_of, not_answered, patience_s
from bellwire.client.retrying import Retries, worth_it

T = TypeVar("T")


class Client:
    """The API of one server. A context manager; closes its connections at the end."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout_s: float = 10.0,
        retries: Retries | None = None,
        verify: ssl.SSLContext | bool = True,
    ) -> None:
        """url: such as "http://127.0.0.1:8470". verify: of the server's certificate."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s, verify=verify)
        self._caller = (retries or Retries()).caller()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # ---- the lab

    def lab(self) -> words.Lab:
        """The lab behind the server."""
        return self._do(calls.lab())

    def nodes(self) -> list[words.Node]:
        """All nodes and heralding stations."""
        return self._do(calls.nodes())

    def node(self, name: str) -> words.Node:
        """One of them."""
        return self._do(calls.node(name))

    def links(self) -> list[words.Link]:
        """All elementary links."""
        return self._do(calls.links())

    def link(self, name: str) -> words.Link:
        """One of them."""
        return self._do(calls.link(name))

    def topology(self) -> words.Topology:
        """The map of the network as each agent sees it, and where they disagree."""
        return self._do(calls.topology())

    def calibrations(self, link: str, *, history: bool = False) -> words.LinkCalibrations:
        """What procedures have found out about a link; with `history` earlier runs too."""
        return self._do(calls.calibrations(link, history))

    def health(self) -> words.Health:
        """The server and the lab behind it."""
        return self._do(calls.health())

    # ---- requests

    def submit(self, terms: words.RequestTerms, *, idempotency_key: str | None = None) -> words.Request:
        """Ask for entanglement. A key of your own makes the submission one and the same over restarts."""
        return self._do(calls.submit(terms, idempotency_key))

    def request(self, request_id: str) -> words.Request:
        """One request, as its source tells it now."""
        return self._do(calls.request(request_id))

    def requests(
        self, states: Sequence[str] = (), *, source: str | None = None, page: int = 100
    ) -> Iterator[words.Request]:
        """All requests, the newest first, `page` of them at a time."""
        cursor: str | None = None
        while True:
            found = self._do(calls.requests(states, source, page, cursor))
            yield from found.items
            if (cursor := found.next) is None:
                return

    def cancel(self, request_id: str) -> words.Request:
        """Withdraw a request."""
        return self._do(calls.cancel(request_id))

    def replan(self, request_id: str) -> words.Request:
        """Have a request planned anew."""
        return self._do(calls.replan(request_id))

    def suspend(self, request_id: str, for_s: float) -> words.Request:
        """Have a request pause; it goes on by itself after so many seconds."""
        return self._do(calls.suspend(request_id, for_s))

    def resume(self, request_id: str) -> words.Request:
        """Have a suspended request go on now."""
        return self._do(calls.resume(request_id))

    def pairs(self, request_id: str, *, node: str | None = None, page: int = 500) -> Iterator[words.Pair]:
        """Pairs delivered so far, by the records of an end node (None: of the source)."""
        cursor: str | None = None
        while True:
            found = self._do(calls.pairs(request_id, node, page, cursor))
            yield from found.items
            if (cursor := found.next) is None:
                return

    def wait(self, request_id: str, within_s: float | None = None) -> words.Request:
        """Wait for the end of a request. Raises TimeoutError when it does not come in time."""
        found = self.request(request_id)
        if found.status in FINAL:
            return found
        give_up_s = None if within_s is None else time.monotonic() + within_s
        for event in self._events(request_id, False, 0, None, give_up_s):
            told = event.notification
            if told is not None and told.status in FINAL:
                return self.request(request_id)
        raise AssertionError("a stream without an end has ended")

    # ---- notifications

    def notifications(
        self,
        request_id: str | None = None,
        *,
        reports: bool = False,
        after: int | None = None,
        until: int | None = None,
    ) -> Iterator[Event]:
        """Events as they happen, without end; a broken connection is taken up where it broke.

        after: number of the last event that was seen; None: from now on, 0: all that are kept. until: number
        of the event with which to end.
        """
        return self._events(request_id, reports, after, until, None)

    # ---- tokens

    def tokens(self) -> list[words.Token]:
        """All tokens, without their secrets."""
        return self._do(calls.tokens())

    def revoke_token(self, token_id: str) -> words.Token:
        """Let a token open nothing any more."""
        return self._do(calls.revoke_token(token_id))

    # ---- sending

    def _do(self, call: Call[T]) -> T:
        return call.read(self._caller(worth_it(call.repeatable), self._send, call))

    def _send(self, call: Call[T]) -> bytes:
        try:
            answer = self._http.request(
                call.method, call.path, params=call.params, headers=call.headers, content=call.body
            )
        except httpx.TransportError as problem:
            raise not_answered(call, problem) from problem
        if answer.is_error:
            raise error_of(answer.status_code, answer.headers, answer.content)
        return answer.content

    def _events(
        self,
        request_id: str | None,
        reports: bool,
        after: int | None,
        until: int | None,
        give_up_s: float | None,
    ) -> Iterator[Event]:
        whole = False
        while not (whole and until is not None):
            call = calls.notifications(request_id, reports, after, until)
            stream = self._caller(worth_it(True), self._open, call, patience_s(give_up_s))
            try:
                for sent in EventSource(stream).iter_sse():
                    if (event := event_of(sent)) is not None:
                        after = event.number
                        yield event
                    patience_s(give_up_s)
                whole = True
            except httpx.TransportError:
                whole = False  # it is taken up again behind the last event
            finally:
                stream.close()

    def _open(self, call: Call[None], silent_s: float) -> httpx.Response:
        asked = self._http.build_request(
            call.method,
            call.path,
            params=call.params,
            headers=call.headers,
            timeout=httpx.Timeout(self._http.timeout.connect, read=silent_s),
        )
        try:
            answer = self._http.send(asked, stream=True)
            if answer.is_error:
                raise error_of(answer.status_code, answer.headers, answer.read())
        except httpx.TransportError as problem:
            raise not_answered(call, problem) from problem
        return answer
