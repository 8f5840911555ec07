"""States that a calibration has the memory keep: prepared in a slot of the node's own, stored, measured.

Owns such a state from the question to the report "state_stored", which comes exactly once for each: a bit and
how long the memory says it has stored, or neither where the qubit was lost or no slot was free in time.
Refuses statistics, and slots of links. Applications that want a slot come first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bellwire.core.effects import MeasureQubit, PrepareQubit, ReleaseQubit, Report
from bellwire.core.errors import LocalMisuse
from bellwire.core.events import QubitMeasured, QubitPrepared, StorageAsked
from bellwire.core.ids import NodeId
from bellwire.core.machine import Handler, Step
from bellwire.core.notices import MemoryLost, OwnSlotFreed
from bellwire.core.own_slots import OwnSlots
from bellwire.core.settings import NetworkSettings

Stage = Literal["waiting", "preparing", "storing", "measuring"]


@dataclass(slots=True)
class _State:
    asked: StorageAsked
    due_ns: int  # while it waits for a slot: given up then; while it is stored: measured then
    stage: Stage = "waiting"
    slot: int = -1
    stamp_ns: int | None = None  # when storing began, as the memory says


class StoredStates:
    """Those of one node with a memory."""

    def __init__(self, settings: NetworkSettings, node: NodeId, own: OwnSlots) -> None:
        memory = settings.nodes[node].memory
        if memory is None:
            raise LocalMisuse(f"{node} has no memory to keep a state in")
        self._own = own
        self._limit_ns = memory.operation_limit_ns
        self._states: dict[int, _State] = {}  # by the number of the question
        self._operations: dict[int, _State] = {}

    def on_events(self) -> Mapping[type, Handler]:
        return {
            StorageAsked: self._on_asked,
            QubitPrepared: self._on_prepared,
            QubitMeasured: self._on_measured,
        }

    def on_messages(self) -> Mapping[type, Handler]:
        return {}

    def on_notices(self) -> Mapping[type, Handler]:
        return {OwnSlotFreed: self._on_slot_freed, MemoryLost: self._on_memory_lost}

    def gives(self) -> frozenset[type]:
        return frozenset((OwnSlotFreed,))

    def deadline_ns(self) -> int | None:
        timed = (one.due_ns for one in self._states.values() if one.stage in ("waiting", "storing"))
        return min(timed, default=None)

    def on_deadline(self, step: Step) -> None:
        due = [one for one in self._states.values() if one.due_ns <= step.now_ns]
        for one in due:
            if one.stage == "storing":
                self._measure(step, one)
            elif one.stage == "waiting":
                self._end(step, one, None, None)

    # ---- a life

    def _on_asked(self, step: Step, event: StorageAsked) -> None:
        if event.number in self._states:
            return
        one = self._states[event.number] = _State(event, step.now_ns + event.within_ns)
        if self._own.any_free:
            self._prepare(step, one)

    def _on_slot_freed(self, step: Step, notice: OwnSlotFreed) -> None:
        for one in self._states.values():
            if not self._own.any_free:
                return
            if one.stage == "waiting":
                self._prepare(step, one)

    def _prepare(self, step: Step, one: _State) -> None:
        one.stage, one.slot = "preparing", self._own.take()
        order = PrepareQubit(
            operation=step.operation(), slot=one.slot, turns=one.asked.turns, within_ns=self._limit_ns
        )
        self._operations[order.operation] = one
        step.order(order)

    def _done(self, step: Step, event: QubitPrepared | QubitMeasured) -> _State | None:
        """The state with which the memory did as ordered; None: it is not of here, or is lost."""
        one = self._operations.pop(event.operation, None)
        if one is not None and event.ended != "done":
            self._lose(step, one)
            return None
        return one

    def _on_prepared(self, step: Step, event: QubitPrepared) -> None:
        one = self._done(step, event)
        if one is None:
            return
        one.stage, one.stamp_ns = "storing", event.stamp_ns
        # Its age is the memory's to tell: it has waited already while the word of it was under way.
        begun_ns = step.now_ns if event.stamp_ns is None else min(event.stamp_ns, step.now_ns)
        one.due_ns = begun_ns + one.asked.storage_ns
        if one.due_ns <= step.now_ns:
            self._measure(step, one)

    def _measure(self, step: Step, one: _State) -> None:
        one.stage = "measuring"
        order = MeasureQubit(
            operation=step.operation(),
            slot=one.slot,
            basis=one.asked.basis,
            tag=0,
            within_ns=self._limit_ns,
        )
        self._operations[order.operation] = one
        step.order(order)

    def _on_measured(self, step: Step, event: QubitMeasured) -> None:
        one = self._done(step, event)
        if one is None:
            return
        begun_ns, ended_ns = one.stamp_ns, event.stamp_ns
        stored_ns = None if begun_ns is None or ended_ns is None else ended_ns - begun_ns
        self._end(step, one, event.bit, stored_ns)

    # ---- the end

    def _lose(self, step: Step, one: _State) -> None:
        """What may be left of it is let go."""
        step.order(ReleaseQubit(slot=one.slot, tag=0))
        self._end(step, one, None, None)

    def _end(self, step: Step, one: _State, bit: int | None, stored_ns: int | None) -> None:
        del self._states[one.asked.number]
        fields: dict[str, str | int | float | bool | None] = {
            "number": one.asked.number,
            "bit": bit,
            "stored_ns": stored_ns,
        }
        step.order(Report(name="state_stored", request=None, fields=fields))
        if one.slot >= 0:
            self._own.give_back(one.slot)
            step.tell(OwnSlotFreed())

    def _on_memory_lost(self, step: Step, notice: MemoryLost) -> None:
        """All that is in the memory is gone; orders that are still to end concern nobody."""
        self._operations.clear()
        for one in list(self._states.values()):
            if one.stage != "waiting":
                self._end(step, one, None, None)
