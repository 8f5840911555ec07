"""Delivery records: what each end durably knows about delivered pairs.

Owns the record type, its bytes and the counts over it. Refuses protocol: it is told what to write and forgets
nothing (architecture.md section 6: the record is never given up).
"""

from typing import Literal

import msgspec

from bellwire.core.bell import Cost, Walsh, fidelity_of
from bellwire.core.events import Record
from bellwire.core.ids import End, NodeId, RequestId
from bellwire.core.link_words import Basis
from bellwire.core.messages import Commit
from bellwire.core.record import TaggedWord


class DeliveryRecord(TaggedWord, frozen=True):
    """One delivered pair as one end knows it."""

    request: RequestId
    role: Literal["head", "tail"]
    peer: NodeId  # the other end node
    mode: Literal["keep", "measure"]
    number: int  # from 1, given by the head; void pairs use up a number
    head_end: End
    tail_end: End
    frame: int  # Pauli index 0..3 as handed over, after any physical correction
    signs: int  # estimated state at commit, relative to the frame
    cost: Cost
    fidelity: float  # of that state
    at_ns: int  # when the head decided
    born_ns: int  # creation time of the oldest constituent
    state: Literal["committed", "settled", "void"]
    bit: int | None  # this end's outcome; None: kept, or void
    others: tuple[tuple[NodeId, End], ...] = ()  # at the head: further tails of a state of three and more
    basis: Basis | None = None  # in which this end measured; None: kept


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[DeliveryRecord] = msgspec.msgpack.Decoder(DeliveryRecord)


def to_record(record: DeliveryRecord) -> Record:
    """The durable form; a later record of the same pair replaces this one."""
    key = f"{record.request}|{record.role}|{record.head_end}"
    return Record(kind="delivery", key=key, body=_encoder.encode(record))


def from_record(record: Record) -> DeliveryRecord:
    """The delivery in a durable record. Raises msgspec.ValidationError for anything else."""
    return _decoder.decode(record.body)


def commit_of(record: DeliveryRecord, tail_end: End | None = None) -> Commit:
    """What the head says about its record. tail_end: of the tail that it says it to; None: of the first."""
    return Commit(
        request=record.request,
        head_end=record.head_end,
        tail_end=record.tail_end if tail_end is None else tail_end,
        number=record.number,
        frame=record.frame,
        signs=record.signs,
        cost=record.cost,
        at_ns=record.at_ns,
        born_ns=record.born_ns,
        void=record.state == "void",
    )


def from_commit(
    commit: Commit,
    peer: NodeId,
    mode: Literal["keep", "measure"],
    bit: int | None,
    basis: Basis | None = None,
) -> DeliveryRecord:
    """The tail's record of what the head said. `bit`: the tail's own outcome, in `basis`."""
    return DeliveryRecord(
        request=commit.request,
        role="tail",
        peer=peer,
        mode=mode,
        number=commit.number,
        head_end=commit.head_end,
        tail_end=commit.tail_end,
        frame=commit.frame,
        signs=commit.signs,
        cost=commit.cost,
        fidelity=fidelity_of(Walsh(commit.signs, commit.cost)),
        at_ns=commit.at_ns,
        born_ns=commit.born_ns,
        state="committed",
        bit=bit,
        basis=basis,
    )


class DeliveryBook:
    """All delivery records of a node, with running counts per request."""

    def __init__(self) -> None:
        self._by_request: dict[RequestId, dict[End, DeliveryRecord]] = {}
        self._settled: dict[RequestId, int] = {}
        self._standing: dict[RequestId, int] = {}
        self._last_number: dict[RequestId, int] = {}
        self._at_ns: dict[RequestId, int] = {}

    def write(self, record: DeliveryRecord) -> None:
        """Add a record, or replace the older one of the same pair."""
        request = record.request
        pairs = self._by_request.setdefault(request, {})
        before = pairs.get(record.head_end)
        if before is not None:
            self._count(before, -1)
        pairs[record.head_end] = record
        self._count(record, 1)
        self._last_number[request] = max(self._last_number.get(request, 0), record.number)

    def _count(self, record: DeliveryRecord, sign: int) -> None:
        if record.state == "settled":
            self._settled[record.request] = self._settled.get(record.request, 0) + sign
        if record.state != "void":
            self._standing[record.request] = self._standing.get(record.request, 0) + sign

    def get(self, request: RequestId, head_end: End) -> DeliveryRecord | None:
        """The record of a pair, or None when this node never wrote one."""
        return self._by_request.get(request, {}).get(head_end)

    def next_number(self, request: RequestId) -> int:
        """A fresh number, once per life of the process; one whose record was lost is given again."""
        number = self._last_number.get(request, 0) + 1
        self._last_number[request] = number
        return number

    def since_previous_ns(self, request: RequestId, at_ns: int) -> int | None:
        """Time since the delivery reported before this one; None: it is the first of this life."""
        previous = self._at_ns.get(request)
        self._at_ns[request] = at_ns
        return None if previous is None else at_ns - previous

    def records(self, request: RequestId) -> tuple[DeliveryRecord, ...]:
        """All records of a request by number, void ones included."""
        return tuple(sorted(self._by_request.get(request, {}).values(), key=lambda record: record.number))

    def settled_count(self, request: RequestId) -> int:
        """Pairs that both ends have durably recorded and that count."""
        return self._settled.get(request, 0)

    def standing_count(self, request: RequestId) -> int:
        """Pairs committed or settled, not void."""
        return self._standing.get(request, 0)
