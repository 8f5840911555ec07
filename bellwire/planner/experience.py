"""What a source has learnt about a request's plans that did not work out, until it is too old to be true.

Owns the memory from which circumstances of the next plan are made: links that were refused with what was
left of them, shapes that failed, nodes that stayed silent. Refuses planning, and trust in old news: room
that was taken may be free again, so it is forgotten after a lease.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from bellwire.core.ids import LinkId, NodeId
from bellwire.core.plans import Circumstances, LinkRoom

FAILED_MAX: Final = 32
"""Shapes remembered for one request."""

FAILED_LEASES: Final = 10
"""A shape that failed is tried again when this many leases have passed, or when nothing else is left."""


@dataclass(slots=True)
class Experience:
    """News about one request. lease_ns: for how long room that was refused counts as taken."""

    lease_ns: int
    room: dict[LinkId, tuple[LinkRoom, int]] = field(default_factory=dict[LinkId, tuple[LinkRoom, int]])
    """What is left, and when that was said."""
    failed_ns: dict[str, int] = field(default_factory=dict[str, int])  # shape -> when, the oldest first
    silent: tuple[NodeId, ...] = ()  # nodes of the last plan that did not answer; told once

    def refused(self, rooms: Iterable[LinkRoom], now_ns: int) -> None:
        """A node refused a plan and said what it has left."""
        for each in rooms:
            self.room[each.link] = (each, now_ns)

    def failed(self, shape: str, now_ns: int) -> None:
        """A plan of this shape was not taken up, or stopped."""
        self.failed_ns.pop(shape, None)
        self.failed_ns[shape] = now_ns
        if len(self.failed_ns) > FAILED_MAX:
            del self.failed_ns[next(iter(self.failed_ns))]

    def circumstances(self, avoid: Iterable[NodeId], now_ns: int) -> Circumstances:
        """What the next plan should know. Nodes that were silent are named once: they may be back by then."""
        self.room = {link: known for link, known in self.room.items() if known[1] + self.lease_ns >= now_ns}
        oldest_ns = now_ns - FAILED_LEASES * self.lease_ns
        self.failed_ns = {shape: at_ns for shape, at_ns in self.failed_ns.items() if at_ns >= oldest_ns}
        silent, self.silent = self.silent, ()
        return Circumstances(
            avoid=tuple(dict.fromkeys((*avoid, *silent))),
            room=tuple(room for room, _ in self.room.values()),
            failed=tuple(self.failed_ns),
        )
