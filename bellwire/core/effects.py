"""Effects: orders that a machine gives to its host. The only way out of a machine.

Owns the effect types. Device orders carry an operation number and end in exactly one event (done, failed,
unknown).
"""

from typing import Literal

from bellwire.core.events import Record
from bellwire.core.ids import LinkId, NodeId, RequestId
from bellwire.core.messages import FactBatch, Message
from bellwire.core.record import TaggedWord

Urgency = Literal["outcome", "delivery", "control", "facts", "digest"]
"""Classes of the outbox, most urgent first (architecture.md section 3, back-pressure)."""


class Send(TaggedWord, frozen=True, kw_only=True):
    """Send a message to one peer. `urgency` orders the outbox (architecture.md section 3, back-pressure)."""

    to: NodeId
    message: Message
    urgency: Urgency


class Publish(TaggedWord, frozen=True, kw_only=True):
    """Send new facts of this node to every replica; `urgent_to` must have them before any later Send."""

    batch: FactBatch
    urgent_to: tuple[NodeId, ...]


class StartAttempts(TaggedWord, frozen=True, kw_only=True):
    """Initialise the slot and attempt by yourself from `first` to `last`, or extend a running lease."""

    slot: int
    generation: int
    link: LinkId
    lane: int
    run: int
    epoch_ns: int
    first: int
    last: int  # inclusive; the device stops by itself then
    fence: int  # orders with a lower fence than one seen are refused by the device


class StopAttempts(TaggedWord, frozen=True, kw_only=True):
    """Stop attempting on this slot and forget what it may have caught."""

    slot: int
    generation: int


class StartRun(TaggedWord, frozen=True, kw_only=True):
    """At a station: decide attempts of this run."""

    link: LinkId
    run: int
    epoch_ns: int
    period_ns: int
    lanes: int


class MeasureBell(TaggedWord, frozen=True, kw_only=True):
    """Measure two slots in the Bell basis; ends with BellMeasured."""

    operation: int
    left_slot: int
    right_slot: int
    within_ns: int


class MeasureQubit(TaggedWord, frozen=True, kw_only=True):
    """Measure one slot; ends with QubitMeasured."""

    operation: int
    slot: int
    basis: Literal["X", "Y", "Z"]
    tag: int  # delivery number for the instrument's own log, 0: none
    within_ns: int


class ApplyPauli(TaggedWord, frozen=True, kw_only=True):
    """Apply Pauli 0..3 (I, Z, X, Y) to a slot; ends with PauliApplied."""

    operation: int
    slot: int
    pauli: int
    within_ns: int


class ReleaseQubit(TaggedWord, frozen=True, kw_only=True):
    """The slot's qubit is no longer wanted; the device forgets it."""

    slot: int
    tag: int  # delivery number for the instrument's own log, 0: not delivered


class Persist(TaggedWord, frozen=True, kw_only=True):
    """Write a record to stable storage; ends with Persisted."""

    token: int
    record: Record


class Report(TaggedWord, frozen=True, kw_only=True):
    """News for people and programs outside: a named event with fields, made into logs, metrics and
    notifications."""

    name: str
    request: RequestId | None
    fields: dict[str, str | int | float | bool | None]


Effect = (
    Send
    | Publish
    | StartAttempts
    | StopAttempts
    | StartRun
    | MeasureBell
    | MeasureQubit
    | ApplyPauli
    | ReleaseQubit
    | Persist
    | Report
)
