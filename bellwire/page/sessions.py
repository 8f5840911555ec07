"""Sessions of people who have shown a token: who sits at which browser, until when.

Owns them, in memory only: a server that is started anew asks everybody again. Refuses tokens (they are looked
at when a session begins, and not kept) and cookies (door.py). A session is over when its token is revoked or
has expired, at the latest after twelve hours, or when somebody signs out.
"""

import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from bellwire.northbound.tokens import Principal, TokenBook

HOURS: Final = 12
SESSIONS_MAX: Final = 256
"""The oldest makes room for the next."""


@dataclass(frozen=True, slots=True)
class Session:
    """One browser of one person."""

    principal: Principal
    ends_s: float  # monotonic


class Sessions:
    """All that are open."""

    def __init__(self, tokens: TokenBook) -> None:
        self._tokens = tokens
        self._open: OrderedDict[str, Session] = OrderedDict()

    def begin(self, token: str) -> tuple[str, Principal] | None:
        """A new session and who it is; None: the token opens nothing."""
        principal = self._tokens.principal_of(token.strip(), time.time_ns())
        if principal is None:
            return None
        while len(self._open) >= SESSIONS_MAX:
            self._open.popitem(last=False)
        session_id = secrets.token_urlsafe(32)
        self._open[session_id] = Session(principal, time.monotonic() + HOURS * 3600)
        return session_id, principal

    def principal(self, session_id: str) -> Principal | None:
        """Who sits there now; None: nobody any more."""
        session = self._open.get(session_id)
        if session is None:
            return None
        if time.monotonic() < session.ends_s and self._tokens.still_valid(session.principal, time.time_ns()):
            return session.principal
        del self._open[session_id]
        return None

    def end(self, session_id: str) -> None:
        """Sign out. Ending one that is over does nothing."""
        self._open.pop(session_id, None)
