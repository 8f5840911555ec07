"""What the coordinator of an entanglement sequence and the nodes of its pairs say to each other.

Owns the messages. Refuses protocol (transport/sequences.py). Every question is repeated until it is answered,
and every answer may be given again: a round and a pair name what is talked about, once for ever.
"""

from typing import Literal

from bellwire.core.ids import RequestId
from bellwire.core.plans import EntanglementRequest
from bellwire.core.record import TaggedWord

PartState = Literal["under_way", "ready", "failed"]


class PartWanted(TaggedWord, frozen=True, kw_only=True):
    """Make this pair and keep it; or, when that was said before: how is it?"""

    request: EntanglementRequest  # with its part_of, made at the receiver


class PartTold(TaggedWord, frozen=True, kw_only=True):
    """How it is with a pair."""

    sequence: RequestId
    round: int
    pair_id: str
    state: PartState
    lasts_ns: int | None = None  # for how long it can still be used, None: it is not there
    reason: str = ""  # why it failed


class PairUse(TaggedWord, frozen=True, kw_only=True):
    """All pairs of the batch are there: use yours."""

    sequence: RequestId
    round: int
    pair_id: str


class PairUsed(TaggedWord, frozen=True, kw_only=True):
    """Whether it was used; it was not, when it is not here any more."""

    sequence: RequestId
    round: int
    pair_id: str
    used: bool


class PartsDropped(TaggedWord, frozen=True, kw_only=True):
    """Let everything go that belongs to this round of a sequence, or to an earlier one."""

    sequence: RequestId
    round: int


class PartsGone(TaggedWord, frozen=True, kw_only=True):
    """Nothing of it is left here."""

    sequence: RequestId
    round: int
