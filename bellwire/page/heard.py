"""The latest words of all agents, each with the time at which it came.

Owns keeping them: an answer stays, and grows old, while its agent is silent. Refuses asking (gathering.py)
and meaning.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bellwire.core.ids import NodeId

Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Word:
    """One answer and when it came (unix ns)."""

    answer: Any
    at_ns: int


@dataclass(frozen=True, slots=True)
class Look:
    """What one round of questions brought; None: that agent did not answer, or was not asked."""

    at_ns: int  # unix time at its end
    monotonic_ns: int
    status: Mapping[NodeId, Answer | None]
    links: Mapping[NodeId, Answer | None] = field(default_factory=dict)
    ledgers: Mapping[NodeId, Answer | None] = field(default_factory=dict)
    devices: Mapping[NodeId, Sequence[Answer] | None] = field(default_factory=dict)
    schedules: Mapping[NodeId, Answer | None] = field(default_factory=dict)


class Heard:
    """All agents of a lab, as last heard."""

    def __init__(self) -> None:
        self.at_ns = 0  # of the latest look
        self.silent: dict[
            NodeId, int
        ] = {}  # since when (unix ns), of agents that did not answer the last look
        self.status: dict[NodeId, Word] = {}
        self.links: dict[NodeId, Word] = {}
        self.ledgers: dict[NodeId, Word] = {}
        self.devices: dict[NodeId, Word] = {}
        self.schedules: dict[NodeId, Word] = {}
        self.monotonic_offset_ns = 0  # unix time minus monotonic time, of this computer

    def take(self, look: Look) -> None:
        """The next look."""
        self.at_ns = look.at_ns
        self.monotonic_offset_ns = look.at_ns - look.monotonic_ns
        for node, answer in look.status.items():
            if answer is None:
                self.silent.setdefault(node, look.at_ns)
            else:
                self.silent.pop(node, None)
        for kept, told in (
            (self.status, look.status),
            (self.links, look.links),
            (self.ledgers, look.ledgers),
            (self.devices, look.devices),
            (self.schedules, look.schedules),
        ):
            kept.update({node: Word(one, look.at_ns) for node, one in told.items() if one is not None})

    def unix_ns(self, monotonic_ns: int) -> int:
        """When something was, that an agent of this computer has told by its monotonic clock."""
        return monotonic_ns + self.monotonic_offset_ns
