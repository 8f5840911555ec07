"""What the two sides of delivery share: requests known here, records, alarms, and how an own qubit ends.

Owns the circuits (requests that end at this node), the open questions to the ledger and the order in which
a qubit is given up: fact, device order, slot, news. Refuses messages: head.py and tail.py speak.
"""

from dataclasses import dataclass
from typing import Final, Literal

from bellwire.core.bases import measurement_of
from bellwire.core.effects import MeasureQubit, Persist, ReleaseQubit, Report
from bellwire.core.errors import LocalMisuse
from bellwire.core.facts import Released, ReleaseReason
from bellwire.core.ids import End, NodeId, RequestId
from bellwire.core.link_words import Basis, BasisChoice
from bellwire.core.machine import Step
from bellwire.core.notices import PairKept, QubitDelivered, SlotFreed, UpdatePair, ViewWanted
from bellwire.core.plans import PurificationPlan, SequencePart
from bellwire.core.settings import NetworkSettings
from bellwire.core.view import LedgerView, SlotBook, SlotView
from bellwire.transport.alarms import Alarms
from bellwire.transport.delivery_groups import WantedGroup
from bellwire.transport.delivery_records import DeliveryBook, DeliveryRecord, to_record

PURPOSE: Final = "delivery"

ALWAYS_Z: Final = BasisChoice()

Side = Literal["head", "tail"]


@dataclass(slots=True)
class Circuit:
    """A request that ends at this node, as its plan says."""

    request: RequestId
    version: int
    side: Side
    peer: NodeId  # the other end node
    mode: Literal["keep", "measure"]
    refinement: PurificationPlan | None = None  # of the route's own pairs, None: none
    group: WantedGroup | None = None  # the state of three and more that is wanted, None: pairs
    choice: BasisChoice = ALWAYS_Z  # how this end chooses the bases of its measurements


class Handover:
    """The common ground of both sides at one node."""

    def __init__(self, settings: NetworkSettings, node: NodeId, slots: SlotBook) -> None:
        memory = settings.nodes[node].memory
        if memory is None:
            raise LocalMisuse(f"{node} has no memory: only end nodes deliver")
        self.settings = settings
        self.timers = settings.timers
        self.node = node
        self.slots = slots
        self.operation_limit_ns = memory.operation_limit_ns
        self.circuits: dict[RequestId, Circuit] = {}
        self.used: set[RequestId] = set()  # whose kept qubits an application uses
        self.parts: dict[RequestId, tuple[SequencePart, int]] = {}  # of sequences: kept up to an age in ns
        self.book = DeliveryBook()
        self.alarms: Alarms[tuple[Side, End]] = Alarms()
        self._looks: dict[End, int] = {}
        self._asked_at_ns: int | None = None

    # ---- questions to the ledger

    def look(self, step: Step, end: End) -> None:
        """Decide about an own end as soon as the ledger can be read; many ends share one question."""
        self._looks[end] = step.now_ns
        if self._asked_at_ns != step.now_ns:
            self._asked_at_ns = step.now_ns
            step.tell(ViewWanted(purpose=PURPOSE, request=None))

    def take_looks(self, step: Step, as_of_ns: int) -> list[End]:
        """Ends to decide about, now that the ledger was read as of then; later ones are asked for again."""
        self._asked_at_ns = None
        ready = [end for end, since_ns in self._looks.items() if since_ns <= as_of_ns]
        for end in ready:
            del self._looks[end]
        for end in self._looks:
            self.look(step, end)
        return ready

    def waiting(self, request: RequestId) -> list[End]:
        """Own ends that are held for a request and have no decision yet."""
        return [
            slot.end
            for slot in self.slots.slots()
            if slot.state == "held" and slot.request == request and slot.end is not None
        ]

    # ---- own qubits

    def held(self, end: End, request: RequestId) -> SlotView | None:
        """The slot that holds this end, free to be decided about; None: others have a say, or nobody."""
        slot = self.slots.holding(end)
        if slot is None or slot.state != "held" or slot.request != request:
            return None
        return slot

    def measure(self, step: Step, slot: SlotView, end: End, choice: BasisChoice) -> tuple[int, Basis]:
        """Order the measurement of a held end; returns the operation and the basis."""
        operation = step.operation()
        measurement = measurement_of(choice, step.seed, end)
        self.slots.measure(slot.index)
        step.order(
            MeasureQubit(
                operation=operation,
                slot=slot.index,
                basis=measurement.basis,
                tag=0,
                within_ns=self.operation_limit_ns,
                rotation=measurement.rotation,
            )
        )
        return operation, measurement.told

    def release(self, step: Step, end: End, reason: ReleaseReason, tag: int = 0) -> None:
        """End an own qubit that still exists. `tag`: delivery number, 0 when it was not delivered."""
        self._end(step, end, reason, tag)

    def hand_over(self, step: Step, record: DeliveryRecord, end: End) -> None:
        """The application has a kept qubit: its own to use, or to be kept for its batch, or else let go."""
        slot, part = self.slots.holding(end), self.parts.get(record.request)
        if slot is None or (part is None and record.request not in self.used):
            self.release(step, end, "delivered", tag=record.number)
            return
        step.tell(UpdatePair(fact=Released(end=end, reason="delivered", at_ns=step.now_ns)))
        if part is not None:
            part_of, hold_ns = part
            step.tell(
                PairKept(
                    request=record.request,
                    part_of=part_of,
                    number=record.number,
                    slot=slot.index,
                    born_ns=record.born_ns,
                    due_ns=record.born_ns + hold_ns,
                )
            )
            return
        step.tell(
            QubitDelivered(
                request=record.request,
                number=record.number,
                slot=slot.index,
                frame=0 if record.role == "head" else record.frame,
            )
        )

    def measured(self, step: Step, end: End) -> None:
        """End an own qubit that its measurement consumed."""
        self._end(step, end, "delivered", None)

    def _end(self, step: Step, end: End, reason: ReleaseReason, tag: int | None) -> None:
        slot = self.slots.holding(end)
        if slot is None:
            raise LocalMisuse(f"{self.node}: {end} cannot end as {reason}: no slot holds it")
        index = slot.index
        step.tell(UpdatePair(fact=Released(end=end, reason=reason, at_ns=step.now_ns)))
        if tag is not None:
            step.order(ReleaseQubit(slot=index, tag=tag))
        self.slots.free(index)
        step.tell(SlotFreed(slot=index))

    def lose(self, step: Step, end: End) -> None:
        """The instrument forgot an own qubit that delivery had taken: the fact is ours to write."""
        slot = self.slots.holding(end)
        if slot is not None and slot.state != "lost":
            self.slots.lose(slot.index)
        step.tell(UpdatePair(fact=Released(end=end, reason="device_lost", at_ns=step.now_ns)))

    # ---- records and news for outside

    def persist(self, step: Step, record: DeliveryRecord) -> int:
        """Order a record onto stable storage; returns the token."""
        token = step.operation()
        step.order(Persist(token=token, record=to_record(record)))
        return token

    def report_delivered(self, step: Step, record: DeliveryRecord, slot: int | None) -> None:
        """Tell the outside that an application has this pair. `slot`: where it was, None: no longer known."""
        step.order(
            Report(
                name="pair_delivered",
                request=record.request,
                fields={
                    "number": record.number,
                    "head_end": str(record.head_end),
                    "tail_end": str(record.tail_end),
                    "frame": record.frame,
                    "fidelity": record.fidelity,
                    "at_ns": record.at_ns,
                    "age_ns": record.at_ns - record.born_ns,
                    "latency_ns": self.book.since_previous_ns(record.request, record.at_ns),
                    "role": record.role,
                    "slot": slot,
                    "bit": record.bit,
                    "basis": record.basis,
                },
            )
        )

    def report(self, step: Step, name: str, record: DeliveryRecord) -> None:
        """Tell the outside about a change of a delivered pair (settled, void)."""
        step.order(
            Report(
                name=name,
                request=record.request,
                fields={"number": record.number, "head_end": str(record.head_end), "role": record.role},
            )
        )

    def report_mismatch(
        self, step: Step, request: RequestId, head_end: End, head: int | None, tail: int | None
    ) -> None:
        """Tell the outside that the two ledgers disagree about a frame, which must never be."""
        step.order(
            Report(
                name="frame_mismatch",
                request=request,
                fields={"head_end": str(head_end), "head": head, "tail": tail},
            )
        )


def frame_known(view: LedgerView, end: End) -> bool:
    """True when the frame of this end's chain is final here.

    Inner halves are born before they are swapped, hence only the far half can still be missing, and it
    matters only as side 0, whose half carries the pair's attributes. A far half that was delivered, which a
    tail that measures does at once, was born before.
    """
    far, chain = view.far_end(end), view.chain(end)
    if far is None or chain is None:
        return False
    return far.side == 1 or chain.taken or view.complete(end)
