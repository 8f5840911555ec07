"""Pairs of sequences at one of their nodes: made when the coordinator wants them, kept until it says use.

Owns delivered qubits that wait for their use, up to their decoherence limit, and what the first node of each
pair answers about it. Refuses batches (sequences.py) and the making of pairs, which is a request like any
other. Every kept qubit ends in exactly one report: pair_consumed or pair_let_go.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from bellwire.core.effects import ReleaseQubit, Report
from bellwire.core.events import Record
from bellwire.core.ids import NodeId, RequestId
from bellwire.core.machine import Step
from bellwire.core.messages import Message
from bellwire.core.notices import PairKept, RequestGenerated, RequestNotified, RequestWithdrawn, SlotFreed
from bellwire.core.plans import EntanglementRequest
from bellwire.core.sequence_messages import (
    PairUse,
    PairUsed,
    PartsDropped,
    PartsGone,
    PartState,
    PartTold,
    PartWanted,
)
from bellwire.core.view import SlotBook
from bellwire.transport.alarms import Alarms
from bellwire.transport.request_records import newest

REMEMBERED_MAX: Final = 4096
"""Uses and dropped rounds that are remembered for those who ask again."""

Say = Callable[[Step, NodeId, Message], None]
"""Tell a node, which may be this one."""


class PartKey(NamedTuple):
    """A pair in one round of its sequence."""

    sequence: RequestId
    round: int
    pair_id: str


@dataclass(slots=True)
class Part:
    """A pair that this node makes for a coordinator."""

    request: EntanglementRequest
    coordinator: NodeId
    state: PartState = "under_way"
    reason: str = ""


class SequenceParts:
    """The node's side of all sequences."""

    def __init__(self, node: NodeId, slots: SlotBook, say: Say) -> None:
        self.node = node
        self.parts: dict[PartKey, Part] = {}
        self.kept: dict[PartKey, PairKept] = {}
        self.alarms: Alarms[PartKey] = Alarms()
        self._slots = slots
        self._say = say
        self._keys: dict[RequestId, PartKey] = {}
        self._used: OrderedDict[PartKey, None] = OrderedDict()
        self._dropped: OrderedDict[RequestId, int] = OrderedDict()  # the last round that was dropped

    def restore(self, records: Iterable[Record]) -> None:
        """Requests for pairs that an earlier life was making go on until their coordinator drops them."""
        for known in newest(records).values():
            part_of = known.request.part_of
            if part_of is not None and known.outcome is None:
                key = PartKey(part_of.request, part_of.round, part_of.pair_id)
                self.parts[key] = Part(known.request, part_of.coordinator)
                self._keys[known.request.request_id] = key

    def wanted(self, step: Step, wanted: PartWanted) -> None:
        """Make a pair, or say how it is with it."""
        part_of = wanted.request.part_of
        assert part_of is not None
        key = PartKey(part_of.request, part_of.round, part_of.pair_id)
        if self._is_dropped(key):
            return
        if key not in self.parts:
            self.parts[key] = Part(wanted.request, part_of.coordinator)
            self._keys[wanted.request.request_id] = key
            step.tell(RequestGenerated(request=wanted.request))
        self._tell(step, key)

    def notified(self, step: Step, notice: RequestNotified) -> None:
        """The request of a part has come to its end."""
        key = self._keys.get(notice.request_id)
        if key is None or notice.status not in ("completed", "failed"):
            return
        part = self.parts[key]
        if part.state != "under_way":
            return
        if notice.status == "completed" and key in self.kept:
            part.state = "ready"
        else:
            part.state = "failed"
            part.reason = notice.error_message or "its pair was lost"
        self._tell(step, key)

    def keep(self, step: Step, kept: PairKept) -> None:
        """A delivered qubit waits from now on."""
        key = PartKey(kept.part_of.request, kept.part_of.round, kept.part_of.pair_id)
        if self._is_dropped(key) or key in self.kept or step.now_ns >= kept.due_ns:
            self._free(step, kept, "pair_let_go", "not wanted any more, or too old")
            return
        self.kept[key] = kept
        self.alarms.set(key, kept.due_ns)

    def due(self, step: Step, key: PartKey) -> None:
        """A kept qubit is too old to be used. Not kept any more: another one of its batch was too old at the
        same moment, and the batch is over."""
        kept = self.kept.pop(key, None)
        if kept is None:
            return
        age_s = (step.now_ns - kept.born_ns) / 1e9
        self._free(step, kept, "pair_let_go", f"{age_s:.4g} s old, the decoherence limit")
        self._fail(step, key, f"its pair was {age_s:.4g} s old before all others were there")

    def use(self, step: Step, source: NodeId, use: PairUse) -> None:
        """Use the qubit; whoever asks again is answered as before."""
        key = PartKey(use.sequence, use.round, use.pair_id)
        kept = self.kept.pop(key, None)
        if kept is not None:
            self.alarms.clear(key)
            self._free(step, kept, "pair_consumed", "")
            self._used[key] = None
            if len(self._used) > REMEMBERED_MAX:
                self._used.popitem(last=False)
            self._forget(key)
        used = key in self._used
        answer = PairUsed(sequence=use.sequence, round=use.round, pair_id=use.pair_id, used=used)
        self._say(step, source, answer)

    def drop(self, step: Step, source: NodeId, dropped: PartsDropped) -> None:
        """Let go what belongs to a round or to those before."""
        known = self._dropped.pop(dropped.sequence, 0)
        self._dropped[dropped.sequence] = max(known, dropped.round)
        if len(self._dropped) > REMEMBERED_MAX:
            self._dropped.popitem(last=False)
        for key in [key for key in self.kept if self._is_dropped(key)]:
            self.alarms.clear(key)
            self._free(step, self.kept.pop(key), "pair_let_go", "its batch is not to be")
        for key in [key for key in self.parts if self._is_dropped(key)]:
            if self.parts[key].state == "under_way":
                step.tell(RequestWithdrawn(request=self.parts[key].request.request_id))
            self._forget(key)
        self._say(step, source, PartsGone(sequence=dropped.sequence, round=dropped.round))

    def memory_lost(self, step: Step) -> None:
        """The instrument forgot its qubits; which of them were kept here is told by what is left of them."""
        lost, self.kept = self.kept, {}
        for key, kept in lost.items():
            self.alarms.clear(key)
            self._slots.lose(kept.slot)
            self._report(step, kept, "pair_let_go", "the memory forgot it")
        for key in lost:  # the first of them may end its batch, and with it the others
            self._fail(step, key, "the memory forgot its pair")

    def _fail(self, step: Step, key: PartKey, reason: str) -> None:
        part = self.parts.get(key)
        if part is not None:
            part.state, part.reason = "failed", reason
            self._tell(step, key)

    def _tell(self, step: Step, key: PartKey) -> None:
        part, kept = self.parts[key], self.kept.get(key)
        ready = part.state == "ready" and kept is not None
        told = PartTold(
            sequence=key.sequence,
            round=key.round,
            pair_id=key.pair_id,
            state=part.state,
            lasts_ns=kept.due_ns - step.now_ns if ready and kept is not None else None,
            reason=part.reason,
        )
        self._say(step, part.coordinator, told)

    def _is_dropped(self, key: PartKey) -> bool:
        return key.round <= self._dropped.get(key.sequence, 0)

    def _forget(self, key: PartKey) -> None:
        part = self.parts.pop(key, None)
        if part is not None:
            del self._keys[part.request.request_id]

    def _free(self, step: Step, kept: PairKept, name: str, reason: str) -> None:
        step.order(ReleaseQubit(slot=kept.slot, tag=kept.number))
        self._slots.free(kept.slot)
        step.tell(SlotFreed(slot=kept.slot))
        self._report(step, kept, name, reason)

    def _report(self, step: Step, kept: PairKept, name: str, reason: str) -> None:
        step.order(
            Report(
                name=name,
                request=kept.part_of.request,
                fields={
                    "pair_id": kept.part_of.pair_id,
                    "round": kept.part_of.round,
                    "part": kept.request,
                    "age_ns": step.now_ns - kept.born_ns,
                    "reason": reason or None,
                },
            )
        )
