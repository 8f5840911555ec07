"""A sequence of pairs as its coordinator keeps it: processed request, table of states, durable record.

Owns the values. Refuses action (sequences.py).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from bellwire.core.events import Record
from bellwire.core.ids import NodeId, RequestId
from bellwire.core.plans import EntanglementRequest, ExecutionBatch, SequencePair, SequencePart
from bellwire.core.record import TaggedWord
from bellwire.transport.transitions import Rows

SEQUENCE_ROWS: Final[Rows] = {
    ("absent", "divided"): "recording",
    ("absent", "indivisible"): "failed",
    ("absent", "restored"): "clearing",  # parts of its last round may still be alive
    ("absent", "nothing_left"): "done",
    ("recording", "recorded"): "making",
    ("making", "all_ready"): "using",
    ("making", "batch_failed"): "clearing",
    ("using", "batch_failed"): "clearing",
    ("using", "more_left"): "recording",
    ("using", "rest_left"): "clearing",  # nothing to clear: the rest of a long sequence is divided now
    ("using", "nothing_left"): "finishing",
    ("finishing", "recorded"): "done",
    ("clearing", "divided"): "recording",
    ("clearing", "indivisible"): "failed",
    ("clearing", "given_up"): "failed",
    ("recording", "dropped"): "ending",
    ("making", "dropped"): "ending",
    ("using", "dropped"): "ending",
    ("finishing", "dropped"): "ending",
    ("clearing", "dropped"): "ending",
    ("ending", "cleared"): "gone",
}


class ProcessedRequest(TaggedWord, frozen=True, kw_only=True):
    """The paper's Processed Request: a request whose sequence is partitioned into execution batches."""

    request: EntanglementRequest
    batches: tuple[ExecutionBatch, ...]  # of the pairs that are left, in the order of execution

    def pairs_of(self, batch: ExecutionBatch) -> tuple[SequencePair, ...]:
        """The pairs of a batch."""
        named = {pair.pair_id: pair for pair in self.request.entanglement_sequence}
        return tuple(named[pair_id] for pair_id in batch.pair_ids)

    def part(self, pair: SequencePair, round_: int, hold_ns: int, deadline_ns: int) -> EntanglementRequest:
        """The request that makes one pair, at the first of its nodes. deadline_ns: left for it."""
        whole = self.request
        return EntanglementRequest(
            request_id=f"{whole.request_id}/{round_}/{pair.pair_id}",
            target_nodes=pair.nodes,
            generation_mode=whole.generation_mode,
            count=1,
            deadline_ns=deadline_ns,
            fidelity_threshold=whole.fidelity_threshold,
            priority=whole.priority,
            purification=whole.purification,
            link_purification=whole.link_purification,
            cutoff_ns=whole.cutoff_ns,
            hold_ns=hold_ns,
            when_unreachable=whole.when_unreachable,
            part_of=SequencePart(
                coordinator=whole.target_nodes[0],
                request=whole.request_id,
                round=round_,
                pair_id=pair.pair_id,
            ),
        )


Asked = tuple[NodeId, str]
"""A node that owes an answer, and about which pair; "" about a whole round."""


@dataclass(slots=True, eq=False)
class Sequence:
    """One sequence, as its coordinator drives it."""

    processed: ProcessedRequest
    deadline_ns: int
    state: str = "absent"
    round: int = 0
    done: list[str] = field(default_factory=list[str])
    owed: dict[Asked, None] = field(default_factory=dict[Asked, None])
    lasts_ns: dict[str, int] = field(default_factory=dict[str, int])  # pairs that are there, and until when
    tries: int = 0
    failures: int = 0  # batches in a row
    reason: str = ""  # why the last one did
    at_most: int | None = None  # pairs of the next batch, None: no limit but memories
    begun_ns: int = 0

    @property
    def request(self) -> EntanglementRequest:
        return self.processed.request

    @property
    def batch(self) -> ExecutionBatch:
        """The one under way."""
        return self.processed.batches[0]


class SequenceRecord(TaggedWord, frozen=True, kw_only=True):
    """What survives a restart of the coordinator: what was consumed, and which rounds are used up."""

    request: RequestId
    round: int  # begun last
    done: tuple[str, ...]  # pairs that were consumed, in this order


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[SequenceRecord] = msgspec.msgpack.Decoder(SequenceRecord)


def to_record(record: SequenceRecord) -> Record:
    """The durable form; a later record of the same sequence replaces this one."""
    return Record(kind="sequence", key=record.request, body=_encoder.encode(record))


def restored(records: Iterable[Record]) -> dict[RequestId, SequenceRecord]:
    """The newest record of each sequence. Raises msgspec.ValidationError for a record that is none."""
    return {each.key: _decoder.decode(each.body) for each in records if each.kind == "sequence"}
