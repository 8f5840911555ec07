"""Effects: orders that a machine gives to its host. The only way out of a machine.

Owns the effect types. Device orders carry an operation number and end in exactly one event (done, failed,
unknown).
"""

from typing import Literal

from bellwire.core.events import Record
from bellwire.core.ids import LinkId, NodeId, RequestId, SwitchId
from bellwire.core.link_words import LinkAnswer
from bellwire.core.messages import FactBatch, Message
from bellwire.core.record import TaggedWord, Word

Urgency = Literal["outcome", "delivery", "control", "facts", "digest"]
"""Classes of the outbox, most urgent first (architecture.md section 3, back-pressure)."""


class Send(TaggedWord, frozen=True, kw_only=True):
    """Send a message to one peer. `urgency` orders the outbox (architecture.md section 3, back-pressure)."""

    to: NodeId
    message: Message
    urgency: Urgency


class Recipient(Word, frozen=True, kw_only=True):
    """Who is sent facts, by which numbers: a node that hears only of its routes has a count of its own."""

    node: NodeId
    first: int  # number of the first fact of the batch in this node's stream
    base: int  # the oldest number of it that is still remembered


class Publish(TaggedWord, frozen=True, kw_only=True):
    """Send new facts of this node to replicas; `urgent_to` must have them before any later Send."""

    batch: FactBatch  # as numbered by the author
    urgent_to: tuple[NodeId, ...]
    audience: tuple[Recipient, ...] | None = None  # None: every replica, by the author's own numbers
    again: bool = False  # the facts, not all consecutive, were published before, to others

    def addressed(self, recipient: Recipient) -> FactBatch:
        """The batch as one of the audience is sent it."""
        batch = self.batch
        return FactBatch(
            incarnation=batch.incarnation, first=recipient.first, facts=batch.facts, base=recipient.base
        )


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
    point: int = 0  # operating point; attempts of two sides at different points meet nothing


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
    rotation: tuple[int, int, int] = (0, 0, 0)  # X-Y-X in units of 2 pi / 256, before the measurement


class PrepareQubit(TaggedWord, frozen=True, kw_only=True):
    """Prepare |0> in one slot and turn it; ends with QubitPrepared."""

    operation: int
    slot: int
    turns: tuple[int, int, int]  # X-Y-X in units of 2 pi / 256
    within_ns: int


class PurifyPair(TaggedWord, frozen=True, kw_only=True):
    """The local half of a purification round; ends with PairPurified.

    Both qubits are first brought to the frame of Phi+ by the given Paulis (one end of a pair only); DEJMPS
    turns both about X by +pi/2 (side 0) or -pi/2 (side 1); then CNOT from `kept_slot` to `measured_slot` and
    a Z measurement of the latter.
    """

    operation: int
    kept_slot: int
    measured_slot: int
    kept_pauli: int  # Pauli index 0..3 applied first, 0: nothing
    measured_pauli: int
    scheme: Literal["dejmps", "bbpssw"]
    side: int  # of the link: 0 or 1
    within_ns: int


class FuseQubits(TaggedWord, frozen=True, kw_only=True):
    """CNOT from `kept_slot` to `measured_slot`, then Z of the latter; ends with QubitsFused.

    On failure both qubits are gone.
    """

    operation: int
    kept_slot: int
    measured_slot: int
    within_ns: int


class ApplyPauli(TaggedWord, frozen=True, kw_only=True):
    """Apply Pauli 0..3 (I, Z, X, Y) to a slot; ends with PauliApplied."""

    operation: int
    slot: int
    pauli: int
    within_ns: int
    hadamard: bool = False  # a Hadamard gate first: this qubit becomes a leaf of a star graph


class ReleaseQubit(TaggedWord, frozen=True, kw_only=True):
    """The slot's qubit is no longer wanted; the device forgets it."""

    slot: int
    tag: int  # delivery number for the instrument's own log, 0: not delivered


class SetSwitch(TaggedWord, frozen=True, kw_only=True):
    """Bring an optical switch of this node to a setting of the lab file; ends with SwitchSet."""

    operation: int
    switch: SwitchId
    setting: str
    fence: int  # orders with a lower fence than one seen are refused
    within_ns: int


class CheckDark(TaggedWord, frozen=True, kw_only=True):
    """Look that a settled switch lets through what its setting says, and no light; ends with DarkChecked."""

    operation: int
    switch: SwitchId
    setting: str
    fence: int
    within_ns: int


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


class AnswerLink(TaggedWord, frozen=True, kw_only=True):
    """Tell the user of the link service at this node."""

    answer: LinkAnswer


Effect = (
    Send
    | Publish
    | StartAttempts
    | StopAttempts
    | StartRun
    | MeasureBell
    | MeasureQubit
    | PrepareQubit
    | PurifyPair
    | FuseQubits
    | ApplyPauli
    | ReleaseQubit
    | SetSwitch
    | CheckDark
    | Persist
    | Report
    | AnswerLink
)
