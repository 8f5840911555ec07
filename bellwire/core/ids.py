"""Names of things that several nodes must agree on without asking each other.

Owns the identifiers of qubits, link pairs and their ends. Refuses randomness: every name follows from facts
that both sides already know (architecture.md section 4).
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

NodeId = str
LinkId = str
RequestId = str
SwitchId = str


class QubitId(NamedTuple):
    """One use of one memory slot; the incarnation keeps names unique across restarts of a node."""

    node: NodeId
    incarnation: int
    slot: int
    generation: int


class PairId(NamedTuple):
    """A link-level entangled pair: lane `lane` of attempt `attempt` in run `run` of a link succeeded."""

    link: LinkId
    run: int
    attempt: int
    lane: int


class End(NamedTuple):
    """One half of a link pair. Side 0 and 1 are the two nodes of the link in the order of the lab file."""

    link: LinkId
    run: int
    attempt: int
    lane: int
    side: int

    @property
    def pair(self) -> PairId:
        """The link pair that this is a half of."""
        return PairId(self.link, self.run, self.attempt, self.lane)

    @property
    def partner(self) -> "End":
        """The other half of the same link pair."""
        return End(self.link, self.run, self.attempt, self.lane, 1 - self.side)

    def __str__(self) -> str:
        return f"{self.link}/{self.run}.{self.attempt}.{self.lane}:{self.side}"

    @classmethod
    def from_text(cls, text: str) -> "End":
        """The end that `str` has written so. Raises ValueError for any other text."""
        pair, _, side = text.rpartition(":")
        link, _, numbers = pair.rpartition("/")
        run, attempt, lane = numbers.split(".")
        return cls(link, int(run), int(attempt), int(lane), int(side))


_FIVE: type[tuple[LinkId | int, ...]] = tuple
end_of: Callable[[tuple[LinkId, int, int, int, int]], End] = partial(_FIVE.__new__, End)
"""An end from its five parts in order: faster than End(...), which every new pair would feel."""


RUNS_PER_INCARNATION = 1 << 20
"""A run number is incarnation * RUNS_PER_INCARNATION + counter: durable because the incarnation is."""


def run_number(incarnation: int, counter: int) -> int:
    """The name of the `counter`-th run that a node started in this incarnation (64 bits on the wire)."""
    return incarnation * RUNS_PER_INCARNATION + counter


def incarnation_of(run: int) -> int:
    """The incarnation in which a run was started; 0 for numbers that name none."""
    return run // RUNS_PER_INCARNATION
