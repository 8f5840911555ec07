"""Sequences of pairs that a distributed circuit consumes: batch after batch, each whole before it is used.

Owns the coordinator's side: the division into batches, the order of their execution, and a failed batch that
is divided anew before the next one begins. Refuses the cut itself, which is handed in, the pairs
(sequence_parts.py) and the final report of the request (requests.py). A pair counts when both of its nodes
have said that they used it, and once: what counts is on record before the next batch begins.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Final, Literal

from bellwire.core.effects import Persist, Report
from bellwire.core.errors import PeerViolation
from bellwire.core.events import Persisted, Received, Started
from bellwire.core.ids import NodeId, RequestId
from bellwire.core.machine import Handler, Step
from bellwire.core.messages import Message
from bellwire.core.notices import (
    MemoryLost,
    PairKept,
    PeerRestarted,
    RequestGenerated,
    RequestNotified,
    RequestWithdrawn,
    SequenceDropped,
    SequenceTold,
    SequenceWanted,
    SlotFreed,
)
from bellwire.core.plans import EntanglementRequest, ExecutionBatch
from bellwire.core.sequence_messages import PairUse, PairUsed, PartsDropped, PartsGone, PartTold, PartWanted
from bellwire.core.settings import NetworkSettings
from bellwire.core.view import SlotBook
from bellwire.transport.alarms import Alarms
from bellwire.transport.sequence_parts import SequenceParts
from bellwire.transport.sequence_records import (
    SEQUENCE_ROWS,
    ProcessedRequest,
    Sequence,
    SequenceRecord,
    restored,
    to_record,
)
from bellwire.transport.transitions import Transitions

Divide = Callable[[EntanglementRequest, Collection[str], int | None], tuple[ExecutionBatch, ...] | str]
"""(request, pairs that are done, pairs of a batch at most) -> batches of the rest, or why there are none."""

FAILURES_MAX: Final = 8
"""Batches that may fail in a row before the sequence does."""

STALL_LATENCIES: Final = 20.0
STALL_LEAST_NS: Final = 10_000_000_000
"""A batch of several pairs that is not whole after so many expected latencies, and this long, is stalled."""

SILENCES_MAX: Final = 5
"""Questions without an answer before a node is not waited for: what it keeps ends at its limit."""


class Sequences:
    """The sequences that this node coordinates, and the pairs of any that end here."""

    def __init__(
        self,
        settings: NetworkSettings,
        node: NodeId,
        slots: SlotBook,
        divide: Divide,
        hold_ns: Callable[[EntanglementRequest], int],
    ) -> None:
        """`divide` cuts sequences into batches, `hold_ns` is the decoherence limit of a request's pairs."""
        self.settings = settings
        self.node = node
        self.divide = divide
        self.hold_ns = hold_ns
        self.transitions = Transitions("sequence", SEQUENCE_ROWS)
        self.sequences: dict[RequestId, Sequence] = {}
        self.parts = SequenceParts(node, slots, self._say)
        self._alarms: Alarms[tuple[RequestId, Literal["again", "old", "stalled"]]] = Alarms()
        self._tokens: dict[int, Sequence] = {}
        self._records: dict[RequestId, SequenceRecord] = {}

    def on_events(self) -> Mapping[type, Handler]:
        return {Started: self._on_started, Persisted: self._on_persisted}

    def on_messages(self) -> Mapping[type, Handler]:
        return {
            PartWanted: self._on_part_wanted,
            PartTold: self._on_part_told,
            PairUse: lambda step, received: self.parts.use(step, received.source, received.message),
            PairUsed: self._on_pair_used,
            PartsDropped: lambda step, received: self.parts.drop(step, received.source, received.message),
            PartsGone: self._on_parts_gone,
        }

    def on_notices(self) -> Mapping[type, Handler]:
        return {
            SequenceWanted: self._on_wanted,
            SequenceDropped: self._on_dropped,
            RequestNotified: self.parts.notified,
            PairKept: self.parts.keep,
            MemoryLost: lambda step, _: self.parts.memory_lost(step),
            PeerRestarted: self._on_peer_restarted,
        }

    def gives(self) -> frozenset[type]:
        return frozenset((SequenceTold, RequestGenerated, RequestWithdrawn, SlotFreed))

    def deadline_ns(self) -> int | None:
        due_ns = (self._alarms.earliest_ns(), self.parts.alarms.earliest_ns())
        return min((each for each in due_ns if each is not None), default=None)

    def on_deadline(self, step: Step) -> None:
        for key in self.parts.alarms.take_due(step.now_ns):
            self.parts.due(step, key)
        for request_id, kind in self._alarms.take_due(step.now_ns):
            sequence = self.sequences.get(request_id)
            if sequence is None:
                continue
            if kind == "stalled":
                self._stalled(step, sequence)
            elif kind == "old":
                self._batch_failed(step, sequence, "its first pair grew too old before the last was there")
            else:
                self._ask_again(step, sequence)

    def consumed_count(self, request: RequestId) -> int:
        """Pairs of a sequence that were consumed."""
        sequence, record = self.sequences.get(request), self._records.get(request)
        return len(sequence.done) if sequence is not None else 0 if record is None else len(record.done)

    # ---- the life of a sequence

    def _on_started(self, step: Step, event: Started) -> None:
        self._records = restored(event.records)
        self.parts.restore(event.records)

    def _on_wanted(self, step: Step, notice: SequenceWanted) -> None:
        request = notice.request
        if request.request_id in self.sequences:
            return
        allowed_ns = request.deadline_ns or self.settings.timers.request_ns
        sequence = Sequence(ProcessedRequest(request=request, batches=()), step.now_ns + allowed_ns)
        self.sequences[request.request_id] = sequence
        record = self._records.get(request.request_id)
        if record is not None:
            sequence.done, sequence.round = list(record.done), record.round
        if len(sequence.done) == len(request.entanglement_sequence):
            self._end(step, sequence, "nothing_left", "done")
        elif record is not None:
            self._move(sequence, "restored")
            self._clear(step, sequence, request.target_nodes)
            step.tell(SequenceTold(request=request.request_id, happened="begun"))
        elif self._divided(step, sequence):
            step.tell(SequenceTold(request=request.request_id, happened="begun"))

    def _divided(self, step: Step, sequence: Sequence) -> bool:
        """Cut what is left into batches and begin with the first. False: that cannot be done, it is over."""
        found = self.divide(sequence.request, sequence.done, sequence.at_most)
        if isinstance(found, str):
            self._end(step, sequence, "indivisible", "failed", found)
            return False
        sequence.processed = ProcessedRequest(request=sequence.request, batches=found)
        self._report(
            step,
            sequence,
            "sequence_divided",
            batches=" | ".join(" ".join(batch.pair_ids) for batch in found),
            expected_s=sum(batch.latency_s for batch in found),
        )
        self._move(sequence, "divided")
        self._record(step, sequence)
        return True

    def _record(self, step: Step, sequence: Sequence) -> None:
        """The next round begins when it is on record: its number is never used again."""
        sequence.round += 1
        request_id, token = sequence.request.request_id, step.operation()
        record = SequenceRecord(request=request_id, round=sequence.round, done=tuple(sequence.done))
        self._records[request_id] = record
        self._tokens[token] = sequence
        step.order(Persist(token=token, record=to_record(record)))

    def _on_persisted(self, step: Step, event: Persisted) -> None:
        sequence = self._tokens.pop(event.token, None)
        if sequence is None:
            return
        if sequence.state == "finishing":
            self._end(step, sequence, "recorded", "done")
        elif sequence.state == "recording":
            self._move(sequence, "recorded")
            pairs = sequence.processed.pairs_of(sequence.batch)
            sequence.owed = {(pair.nodes[0], pair.pair_id): None for pair in pairs}
            sequence.lasts_ns, sequence.begun_ns = {}, step.now_ns
            if len(pairs) > 1:
                patience_ns = max(STALL_LEAST_NS, int(STALL_LATENCIES * sequence.batch.latency_s * 1e9))
                self._alarms.set((sequence.request.request_id, "stalled"), step.now_ns + patience_ns)
            self._report(
                step,
                sequence,
                "batch_begun",
                pairs=" ".join(sequence.batch.pair_ids),
                expected_s=sequence.batch.latency_s,
            )
            self._ask_again(step, sequence)

    def _ask_again(self, step: Step, sequence: Sequence) -> None:
        """Say to all who owe an answer what they are to do."""
        request_id, state = sequence.request.request_id, sequence.state
        if state in ("clearing", "ending") and (sequence.tries >= SILENCES_MAX or not sequence.owed):
            self._cleared(step, sequence)
            return
        if state == "using" and sequence.tries >= SILENCES_MAX:
            silent = ", ".join(dict.fromkeys(node for node, _ in sequence.owed))
            self._batch_failed(step, sequence, f"no answer from {silent}")
            return
        sequence.tries += 1
        self._alarms.set((request_id, "again"), step.now_ns + self.settings.timers.answer_ns)
        for node, pair_id in list(sequence.owed):
            if sequence.state == state:  # an answer of this node itself may have changed it
                self._say(step, node, self._question(step, sequence, pair_id))

    def _question(self, step: Step, sequence: Sequence, pair_id: str) -> Message:
        request_id, round_ = sequence.request.request_id, sequence.round
        if sequence.state == "making":
            (pair,) = [each for each in sequence.request.entanglement_sequence if each.pair_id == pair_id]
            left_ns = max(1, sequence.deadline_ns - sequence.begun_ns)
            hold_ns = self.hold_ns(sequence.request)
            return PartWanted(request=sequence.processed.part(pair, round_, hold_ns, left_ns))
        if sequence.state == "using":
            return PairUse(sequence=request_id, round=round_, pair_id=pair_id)
        return PartsDropped(sequence=request_id, round=round_)

    def _say(self, step: Step, node: NodeId, message: Message) -> None:
        if node != self.node:
            step.send(node, message)
            return
        received = Received(source=node, incarnation=step.incarnation, message=message)
        self.on_messages()[type(message)](step, received)

    # ---- answers

    def _on_part_wanted(self, step: Step, received: Received) -> None:
        wanted = received.message
        assert isinstance(wanted, PartWanted)
        part_of = wanted.request.part_of
        if (
            part_of is None
            or part_of.coordinator != received.source
            or wanted.request.target_nodes[0] != self.node
        ):
            raise PeerViolation(
                received.source, f"wants {wanted.request.request_id}, which is not its to want"
            )
        self.parts.wanted(step, wanted)

    def _on_part_told(self, step: Step, received: Received) -> None:
        told = received.message
        assert isinstance(told, PartTold)
        sequence = self._of(told.sequence, told.round, "making")
        asked = (received.source, told.pair_id)
        if sequence is None or told.state == "under_way":
            return
        if told.state == "failed":  # one that was there may be lost
            self._batch_failed(step, sequence, f"pair {told.pair_id}: {told.reason}")
            return
        if asked not in sequence.owed:
            return
        del sequence.owed[asked]
        late_ns = self.settings.delay_ns(received.source, self.node)
        sequence.lasts_ns[told.pair_id] = step.now_ns + (told.lasts_ns or 0) - late_ns
        first_ns = min(sequence.lasts_ns.values())
        if first_ns <= step.now_ns:
            self._batch_failed(step, sequence, f"pair {told.pair_id} is too old")
            return
        self._alarms.set((told.sequence, "old"), first_ns)
        if not sequence.owed:
            self._move(sequence, "all_ready")
            self._still(told.sequence)
            sequence.tries = 0
            pairs = sequence.processed.pairs_of(sequence.batch)
            sequence.owed = {(node, pair.pair_id): None for pair in pairs for node in pair.nodes}
            self._ask_again(step, sequence)

    def _on_pair_used(self, step: Step, received: Received) -> None:
        told = received.message
        assert isinstance(told, PairUsed)
        sequence = self._of(told.sequence, told.round, "using")
        asked = (received.source, told.pair_id)
        if sequence is None or asked not in sequence.owed:
            return
        if not told.used:
            self._batch_failed(step, sequence, f"pair {told.pair_id} was gone at {received.source}")
            return
        del sequence.owed[asked]
        if sequence.owed:
            return
        self._report(
            step,
            sequence,
            "batch_done",
            pairs=" ".join(sequence.batch.pair_ids),
            seconds=(step.now_ns - sequence.begun_ns) / 1e9,
        )
        sequence.done += sequence.batch.pair_ids
        sequence.failures, sequence.reason, sequence.tries, sequence.at_most = 0, "", 0, None
        self._alarms.clear((told.sequence, "again"))
        left = sequence.processed.batches[1:]
        sequence.processed = ProcessedRequest(request=sequence.request, batches=left)
        step.tell(SequenceTold(request=told.sequence, happened="advanced"))
        if len(sequence.done) == len(sequence.request.entanglement_sequence):
            self._move(sequence, "nothing_left")
            self._record(step, sequence)
        elif left:
            self._move(sequence, "more_left")
            self._record(step, sequence)
        else:  # the rest of a long sequence was not looked at yet
            self._move(sequence, "rest_left")
            self._clear(step, sequence, ())

    def _on_parts_gone(self, step: Step, received: Received) -> None:
        told = received.message
        assert isinstance(told, PartsGone)
        sequence = self.sequences.get(told.sequence)
        if sequence is None or sequence.round != told.round or sequence.state not in ("clearing", "ending"):
            return
        sequence.owed.pop((received.source, ""), None)
        if not sequence.owed:
            self._cleared(step, sequence)

    def _on_peer_restarted(self, step: Step, notice: PeerRestarted) -> None:
        """What it kept is gone."""
        for sequence in list(self.sequences.values()):
            if sequence.state not in ("making", "using"):
                continue
            if any(notice.peer in pair.nodes for pair in sequence.processed.pairs_of(sequence.batch)):
                self._batch_failed(step, sequence, f"{notice.peer} restarted")

    def _of(self, request: RequestId, round_: int, state: str) -> Sequence | None:
        sequence = self.sequences.get(request)
        if sequence is None or sequence.round != round_ or sequence.state != state:
            return None  # heard twice or late
        return sequence

    # ---- failures and ends

    def _batch_failed(self, step: Step, sequence: Sequence, reason: str, at_most: int | None = None) -> None:
        """All of it is let go, and what is left is divided anew, into smaller batches at first."""
        sequence.failures += 1
        sequence.reason = reason
        sequence.at_most = at_most or max(1, len(sequence.batch.pair_ids) - 1)
        self._report(step, sequence, "batch_failed", pairs=" ".join(sequence.batch.pair_ids), reason=reason)
        self._move(sequence, "batch_failed")
        nodes = [node for pair in sequence.processed.pairs_of(sequence.batch) for node in pair.nodes]
        self._clear(step, sequence, nodes)

    def _stalled(self, step: Step, sequence: Sequence) -> None:
        """Kept pairs may stand in each other's way: half as many have room. Nobody has failed."""
        waited_s = (step.now_ns - sequence.begun_ns) / 1e9
        failures, half = sequence.failures, max(1, len(sequence.batch.pair_ids) // 2)
        expected_s = sequence.batch.latency_s
        self._batch_failed(
            step, sequence, f"not whole after {waited_s:.3g} s, {expected_s:.3g} s expected", half
        )
        sequence.failures = failures

    def _still(self, request: RequestId) -> None:
        """Nobody watches the making of a batch any more."""
        self._alarms.clear((request, "old"))
        self._alarms.clear((request, "stalled"))

    def _clear(self, step: Step, sequence: Sequence, nodes: Collection[NodeId]) -> None:
        self._still(sequence.request.request_id)
        sequence.tries = 0
        sequence.owed = {(node, ""): None for node in nodes}
        self._ask_again(step, sequence)

    def _cleared(self, step: Step, sequence: Sequence) -> None:
        """Nothing of the last round is left where anybody answers."""
        self._alarms.clear((sequence.request.request_id, "again"))
        sequence.tries = 0
        if sequence.state == "ending":
            self._end(step, sequence, "cleared", None)
        elif sequence.failures > FAILURES_MAX:
            reason = f"{sequence.failures} batches failed in a row, the last one: {sequence.reason}"
            self._end(step, sequence, "given_up", "failed", reason)
        else:
            self._divided(step, sequence)

    def _on_dropped(self, step: Step, notice: SequenceDropped) -> None:
        sequence = self.sequences.get(notice.request)
        if sequence is not None and sequence.state != "ending":
            self._move(sequence, "dropped")
            self._clear(step, sequence, sequence.request.target_nodes)

    def _end(
        self,
        step: Step,
        sequence: Sequence,
        happened: str,
        told: Literal["done", "failed"] | None,
        reason: str = "",
    ) -> None:
        request_id = sequence.request.request_id
        self._move(sequence, happened)
        del self.sequences[request_id]
        self._tokens = {token: each for token, each in self._tokens.items() if each is not sequence}
        if told is not None:
            step.tell(SequenceTold(request=request_id, happened=told, reason=reason))

    def _move(self, sequence: Sequence, happened: str) -> None:
        sequence.state = self.transitions.after(sequence.state, happened)

    def _report(
        self, step: Step, sequence: Sequence, name: str, **fields: str | int | float | bool | None
    ) -> None:
        told = {"round": sequence.round, "done": len(sequence.done), **fields}
        step.order(Report(name=name, request=sequence.request.request_id, fields=told))
