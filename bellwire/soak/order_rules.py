"""Rules on device orders and records: each is answered once, and none is about a slot that is empty.

Owns the orders that are open, which slots earlier orders have emptied, and which qubits may have been turned.
Refuses what the World holds (rules.py).
"""

from bellwire.core.effects import (
    ApplyPauli,
    Effect,
    FuseQubits,
    MeasureBell,
    MeasureQubit,
    Persist,
    PurifyPair,
    ReleaseQubit,
    StartAttempts,
    StopAttempts,
)
from bellwire.core.events import (
    BellMeasured,
    Event,
    PairPurified,
    PauliApplied,
    Persisted,
    QubitMeasured,
    QubitsFused,
)
from bellwire.core.ids import NodeId
from bellwire.soak.broken import Broken

_EMPTIES: dict[type[Effect], tuple[tuple[str, ...], tuple[str, ...]]] = {
    MeasureBell: (("left_slot", "right_slot"), ()),
    MeasureQubit: (("slot",), ()),
    PurifyPair: (("measured_slot",), ("kept_slot",)),
    FuseQubits: (("measured_slot",), ("kept_slot",)),
    ApplyPauli: ((), ("slot",)),
}
"""Orders with a number: the slots that each empties, and those that it needs full and leaves so."""


class OrderRules:
    """Of all nodes."""

    def __init__(self) -> None:
        self._open: dict[tuple[NodeId, str, int], tuple[int, ...]] = {}  # slots that each empties
        self._empty: set[tuple[NodeId, int]] = set()
        self._keys: dict[tuple[NodeId, int], str] = {}  # of records on their way to the disk
        self._written: set[tuple[NodeId, str]] = set()
        self._turning: dict[tuple[NodeId, int], int] = {}  # slots with a Pauli under way, or in doubt
        self._fusing: dict[
            tuple[NodeId, int], int
        ] = {}  # slots whose qubit is to stay after a fusion under way

    def begin_life(self, node: NodeId) -> None:
        """What was ordered in an earlier life is nobody's any more."""
        self._turning = {key: slot for key, slot in self._turning.items() if key[0] != node}
        self._fusing = {key: slot for key, slot in self._fusing.items() if key[0] != node}
        self._open = {key: order for key, order in self._open.items() if key[0] != node}
        self._empty = {key for key in self._empty if key[0] != node}

    def ordered(self, node: NodeId, effect: Effect) -> None:
        """An effect of a step. Raises Broken."""
        if type(effect) is StartAttempts:
            self._empty.discard((node, effect.slot))
            if self._turning:
                self._turned_anew(node, effect.slot)
        elif type(effect) is StopAttempts:
            self._empty.add((node, effect.slot))
        elif type(effect) is ReleaseQubit:
            self._use(node, effect.slot, effect, consume=True)
        elif type(effect) is Persist:
            self._open[node, "record", effect.token] = ()
            self._keys[node, effect.token] = effect.record.key
        elif isinstance(effect, (MeasureBell, MeasureQubit, PurifyPair, FuseQubits, ApplyPauli)):
            emptied, kept = _EMPTIES[type(effect)]
            for name in kept:
                self._use(node, getattr(effect, name), effect, consume=False)
            slots = tuple(int(getattr(effect, name)) for name in emptied)
            for slot in slots:
                self._use(node, slot, effect, consume=True)
            self._open[node, "order", effect.operation] = slots
            if isinstance(effect, ApplyPauli):
                self._turning[node, effect.operation] = effect.slot
            if isinstance(effect, FuseQubits):
                self._fusing[node, effect.operation] = effect.kept_slot

    def told(self, node: NodeId, event: Event) -> None:
        """The end of an order or a record. Raises Broken."""
        if isinstance(event, Persisted):
            self._answered(node, "record", event.token, event)
            self._written.add((node, self._keys.pop((node, event.token))))
        elif isinstance(event, (BellMeasured, QubitMeasured, PairPurified, QubitsFused, PauliApplied)):
            slots = self._answered(node, "order", event.operation, event)
            if event.ended == "unknown":  # they are emptied once more, to be sure
                self._empty.difference_update((node, slot) for slot in slots)
            if isinstance(event, PauliApplied) and event.ended == "done":
                self._turning.pop((node, event.operation), None)
            self._fusing.pop((node, event.operation), None)

    def is_written(self, node: NodeId, key: str) -> bool:
        """A record of this key was on the disk once."""
        return (node, key) in self._written

    def is_empty(self, node: NodeId, slot: int) -> bool:
        """An earlier order has emptied it."""
        return (node, slot) in self._empty

    def is_turning(self, node: NodeId, slot: int) -> bool:
        """A Pauli is under way there, or was perhaps applied."""
        return any(key[0] == node and turned == slot for key, turned in self._turning.items())

    def is_fusing(self, node: NodeId, slot: int) -> bool:
        """A fusion is under way that leaves the qubit there, or takes it too if it fails."""
        return any(key[0] == node and kept == slot for key, kept in self._fusing.items())

    def _answered(self, node: NodeId, kind: str, number: int, event: Event) -> tuple[int, ...]:
        slots = self._open.pop((node, kind, number), None)
        if slots is None:
            raise Broken("one answer", f"{node}: nobody waits for {event}")
        return slots

    def _use(self, node: NodeId, slot: int, order: Effect, *, consume: bool) -> None:
        if (node, slot) in self._empty:
            name = type(order).__name__
            raise Broken("empty slot", f"{name} at {node} on slot {slot}, which an earlier order has emptied")
        if consume:
            self._empty.add((node, slot))

    def _turned_anew(self, node: NodeId, slot: int) -> None:
        """The slot is prepared for another qubit: what was done to the one before is of no interest."""
        for key in [key for key, turned in self._turning.items() if key[0] == node and turned == slot]:
            del self._turning[key]
