"""Transition tables: rows in plain sight, and what has no row is an error.

Owns the look-up and the record of which rows fired (tests demand all of them). Refuses side effects.
"""

from collections.abc import Mapping

from bellwire.core.errors import LocalMisuse, PeerViolation
from bellwire.core.ids import NodeId

Rows = Mapping[tuple[str, str], str]
"""(state, what happened) -> next state."""


class Transitions:
    """One table in use. `fired` holds every row that was ever taken."""

    __slots__ = ("fired", "name", "rows")

    def __init__(self, name: str, rows: Rows) -> None:
        self.name = name
        self.rows = rows
        self.fired: set[tuple[str, str]] = set()

    def after(self, state: str, happened: str) -> str:
        """The next state. Raises LocalMisuse when the table has no such row."""
        row = (state, happened)
        following = self.rows.get(row)
        if following is None:
            raise LocalMisuse(f"{self.name}: {happened} cannot happen in state {state}")
        self.fired.add(row)
        return following

    def after_message(self, peer: NodeId, state: str, happened: str) -> str:
        """The same for a message. Raises PeerViolation: that it has no row is the peer's fault."""
        if (state, happened) not in self.rows:
            raise PeerViolation(peer, f"{self.name}: {happened} cannot happen in state {state}")
        return self.after(state, happened)
