"""The tail's side of delivery: the destination checks, accepts, waits in doubt for the head, and records.

Owns the pairs that a head has offered or will offer to this node. Refuses to use a qubit before its record
is on stable storage, and to give a record up. Source: architecture.md section 6; the table stands in
delivery_states.py.
"""

import msgspec

from bellwire.core.effects import ApplyPauli, Report
from bellwire.core.errors import PeerViolation
from bellwire.core.events import PauliApplied, QubitMeasured, Received
from bellwire.core.facts import Corrected
from bellwire.core.ids import End, RequestId
from bellwire.core.machine import Step
from bellwire.core.messages import Aborted, Commit, Offer
from bellwire.core.notices import UpdatePair
from bellwire.core.purification import is_refined
from bellwire.core.view import LedgerView
from bellwire.transport import tail_words
from bellwire.transport.delivery_groups import SeenGroup, seen_group
from bellwire.transport.delivery_pairs import TailPair
from bellwire.transport.delivery_records import DeliveryRecord
from bellwire.transport.handover import Circuit, Handover, frame_known
from bellwire.transport.tail_pairs import TailPairs
from bellwire.transport.transitions import Transitions


class Tail:
    """All pairs that end at this node as the destination."""

    def __init__(self, handover: Handover) -> None:
        self.handover = handover
        self.table = TailPairs(handover)
        self._doubtful: set[End] = set()  # recorded in an earlier life; whether the qubit was used is unknown
        self._operations: dict[int, TailPair] = {}
        self._tokens: dict[int, TailPair] = {}

    @property
    def pairs(self) -> dict[End, TailPair]:
        """By the head's end; empty when nothing is under way."""
        return self.table.by_head

    @property
    def transitions(self) -> Transitions:
        """The table of states, with the rows that were used so far."""
        return self.table.transitions

    # ---- seeing a pair

    def consider(self, step: Step, view: LedgerView, circuit: Circuit | None, end: End) -> None:
        """Decide about an own end with the ledger in hand."""
        pair = self.table.by_own.get(end)
        if pair is not None and pair.state != "asked":
            return
        if circuit is None:
            return
        slot = self.handover.held(end, circuit.request)
        chain = view.chain(end)
        group: SeenGroup | None = None
        if circuit.group is not None:
            group = seen_group(view, self.handover.settings, circuit.group, end)
        head_end = view.far_end(end) if group is None else group.head_end
        if chain is not None and chain.dead and pair is not None:
            self._refuse(step, pair, "dead")
            return
        if slot is None or chain is None or chain.dead or head_end is None:
            return
        if group is None and (circuit.group is not None or view.far_owner(end) != circuit.peer):
            return
        if pair is None and circuit.refinement and not is_refined(view, end, circuit.refinement, step.now_ns):
            return
        known = group is not None or frame_known(view, end)
        if circuit.mode == "measure":
            if pair is not None and pair.head_end != head_end:
                return
            if pair is None:
                pair = self.table.open(step, circuit.request, circuit.peer, "measure", head_end, end)
            pair.slot = slot.index
            pair.frame = chain.frame if known else None
            pair.qubit_here = True
            operation, pair.basis = self.handover.measure(step, slot, end, circuit.choice)
            self._operations[operation] = pair
            self.table.move(pair, "seen")
            self.handover.alarms.clear(("tail", pair.head_end))
        elif pair is not None and pair.head_end == head_end and known:
            pair.slot = slot.index
            pair.frame = chain.frame if group is None else group.frames[self.handover.node]
            pair.qubit_here = True
            pair.grouped = group is not None
            pair.hadamard = circuit.group is not None and self.handover.node in circuit.group.turns_last
            self.handover.slots.offer(slot.index)
            self._accept_or_correct(step, pair)

    def _accept_or_correct(self, step: Step, pair: TailPair) -> None:
        assert pair.slot is not None
        pair.pauli = (pair.frame or 0) if self.handover.settings.correct_frames else 0
        if not (pair.pauli or pair.hadamard):
            self.table.move(pair, "shown")
            self._accept(step, pair)
            return
        operation = step.operation()
        step.order(
            ApplyPauli(
                operation=operation,
                slot=pair.slot,
                pauli=pair.pauli,
                within_ns=self.handover.operation_limit_ns,
                hadamard=pair.hadamard,
            )
        )
        self._operations[operation] = pair
        self.table.move(pair, "shown_with_frame")
        self.handover.alarms.clear(("tail", pair.head_end))

    def _accept(self, step: Step, pair: TailPair) -> None:
        pair.started_ns = step.now_ns
        tail_words.accept(step, pair)
        tail_words.doubt(step, self.handover, pair)

    # ---- the head's word

    def on_offer(self, step: Step, received: Received) -> None:
        """Offer. Raises PeerViolation when it does not come from the source of the plan."""
        offer = received.message
        assert isinstance(offer, Offer)
        circuit = self.handover.circuits.get(offer.request)
        if circuit is not None and (circuit.side != "tail" or circuit.peer != received.source):
            raise PeerViolation(received.source, f"offers for {offer.request}, which is not its request")
        pair = self.table.by_head.get(offer.head_end)
        if pair is not None and pair.tail_end != offer.tail_end:
            raise PeerViolation(received.source, f"offers {offer.head_end} for two ends of this node")
        before = self.table.state(offer.request, offer.head_end)
        if pair is None and before == "absent":
            if circuit is None or self.table.no_room_for_asking() or offer.tail_end in self.table.by_own:
                tail_words.say_no(step, received.source, offer.request, offer.head_end, "not_yet")
                return
            if circuit.mode != offer.mode:
                tail_words.say_no(step, received.source, offer.request, offer.head_end, "mode")
                return
            pair = self.table.open(
                step, offer.request, received.source, offer.mode, offer.head_end, offer.tail_end
            )
        following = self.table.transitions.after_message(received.source, before, "offer")
        if pair is None:
            return
        self.table.set(pair, following)
        if following == "asked":
            # Every repetition starts the wait anew: silence of the head ends it.
            self.handover.alarms.set(("tail", pair.head_end), step.now_ns + self.handover.timers.answer_ns)
            self.handover.look(step, pair.tail_end)
        elif following == "measuring":
            pair.offered = True
        elif before == "measured":
            self.table.note_offered(pair)
            self._accept(step, pair)
        elif following == "accepted":
            tail_words.accept(step, pair)

    def on_commit(self, step: Step, received: Received) -> None:
        """Commit: the delivery has happened. It is recorded whatever became of the own qubit."""
        commit = received.message
        assert isinstance(commit, Commit)
        before = self.table.state(commit.request, commit.head_end)
        pair = self.table.by_head.get(commit.head_end)
        record = self.handover.book.get(commit.request, commit.head_end)
        amend = before == "settled" and (commit.void or commit.head_end in self._doubtful)
        happened = "commit_void" if amend else "commit"
        following = self.table.transitions.after_message(received.source, before, happened)
        if pair is None and record is not None:
            if amend:
                pair = self.table.open(
                    step, record.request, record.peer, record.mode, record.head_end, record.tail_end
                )
                self.table.set(pair, following)
                pair.void = True
                self._write(step, pair, record)
            else:
                void = before == "void"
                tail_words.settle(step, received.source, commit.request, commit.head_end, void=void)
            return
        if pair is None:
            circuit = self.handover.circuits.get(commit.request)
            mode = "keep" if circuit is None else circuit.mode
            pair = self.table.open(
                step, commit.request, received.source, mode, commit.head_end, commit.tail_end
            )
            pair.void = True
        pair.void = pair.void or commit.void or before == "asked"
        if before == "recording":
            return  # answered when the record is durable; a void that came meanwhile is seen then
        self.table.set(pair, following)
        self.handover.alarms.clear(("tail", pair.head_end))
        self._write(step, pair, tail_words.recorded(step, self.handover, pair, commit))

    def _write(self, step: Step, pair: TailPair, record: DeliveryRecord) -> None:
        if pair.void:
            record = msgspec.structs.replace(record, state="void", bit=None)
        pair.record = record
        self._tokens[self.handover.persist(step, record)] = pair

    def on_aborted(self, step: Step, received: Received) -> None:
        """Aborted: the head will never commit this pair."""
        aborted = received.message
        assert isinstance(aborted, Aborted)
        pair = self.table.by_head.get(aborted.head_end)
        before = self.table.state(aborted.request, aborted.head_end)
        following = self.table.transitions.after_message(received.source, before, "aborted")
        if pair is None or before == "recording":
            return
        if before in ("correcting", "measuring"):
            pair.unwanted = True
            pair.offered = False
            return
        self.table.set(pair, following)
        self.table.forget(step, pair)

    def on_persisted(self, step: Step, token: int) -> bool:
        """The record is durable: the application may have the qubit. False: the token is not one of ours."""
        pair = self._tokens.pop(token, None)
        if pair is None:
            return False
        record = pair.record
        assert record is not None
        if pair.void and record.state != "void":
            self._write(step, pair, record)
            return True
        slot = pair.slot
        if pair.void:
            self.table.move(pair, "persisted_void")
            self.handover.report(step, "pair_void", record)
        else:
            self.table.move(pair, "persisted")
            record = msgspec.structs.replace(record, state="settled")
            self.handover.report_delivered(step, record, slot)
            if pair.qubit_here:
                self.handover.hand_over(step, record, pair.tail_end)
                pair.qubit_here = False
            self.handover.persist(step, record)  # nobody waits: a restart before it is durable has doubts
        self.handover.book.write(record)
        self._doubtful.discard(pair.head_end)
        self.table.forget(step, pair)
        tail_words.settle(step, pair.peer, pair.request, pair.head_end, void=pair.void)
        return True

    # ---- results and time

    def on_measured(self, step: Step, event: QubitMeasured) -> bool:
        """A measurement ended. Returns False when it is not one of ours."""
        pair = self._operations.pop(event.operation, None)
        if pair is None:
            return False
        if event.ended != "done":
            self.table.move(pair, "measure_failed")
            self.table.forget(step, pair)
            return True
        pair.bit = event.bit
        pair.qubit_here = False
        self.handover.measured(step, pair.tail_end)
        if pair.offered:
            self.table.move(pair, "measured_for_offer")
            self._accept(step, pair)
            return True
        self.table.move(pair, "measured")
        self.handover.alarms.set(("tail", pair.head_end), step.now_ns + self.handover.timers.delivery_ns)
        oldest = self.table.note_measured(pair)
        if oldest is not None:
            self._expire(step, oldest)
        return True

    def on_corrected(self, step: Step, event: PauliApplied) -> bool:
        """A physical correction ended. Returns False when it is not one of ours."""
        pair = self._operations.pop(event.operation, None)
        if pair is None:
            return False
        if event.ended != "done":
            self.table.move(pair, "correction_failed")
            self.table.forget(step, pair)
            tail_words.say_no(step, pair.peer, pair.request, pair.head_end, "correction_failed")
            return True
        corrected = Corrected(end=pair.tail_end, pauli=pair.pauli, at_ns=event.at_ns, hadamard=pair.hadamard)
        step.tell(UpdatePair(fact=corrected))
        if pair.unwanted:
            self.table.move(pair, "corrected_unwanted")
            self.table.forget(step, pair)
        else:
            self.table.move(pair, "corrected")
            self._accept(step, pair)
        return True

    def on_alarm(self, step: Step, head_end: End) -> None:
        """Refuse an offer that never showed, ask a silent head, or give the qubit up."""
        pair = self.table.by_head[head_end]
        if pair.state == "asked":
            self._refuse(step, pair, "not_yet")
        elif pair.state == "measured" or step.now_ns >= pair.started_ns + self.handover.timers.delivery_ns:
            self._expire(step, pair)
        else:
            tail_words.inquire(step, pair)
            tail_words.doubt(step, self.handover, pair)

    def _expire(self, step: Step, pair: TailPair) -> None:
        step.order(
            Report(
                name="delivery_given_up",
                request=pair.request,
                fields={"head_end": str(pair.head_end), "state": pair.state},
            )
        )
        self.table.move(pair, "expired")
        self.table.forget(step, pair)

    def on_died(self, step: Step, end: End) -> None:
        """A chain died: an offer that waits for it need not wait any longer."""
        if end in self.table.by_own:
            self.handover.look(step, end)

    def withdraw(self, step: Step, request: RequestId) -> None:
        """The plan has ended: offers that never showed are refused, accepted ones wait for their head."""
        for pair in list(self.table.by_head.values()):
            if pair.request == request and pair.state == "asked":
                self._refuse(step, pair, "withdrawn")

    def on_memory_lost(self, step: Step) -> None:
        """Every qubit of ours that still existed is gone; records stay."""
        for pair in [pair for pair in self.table.by_head.values() if pair.qubit_here]:
            self.handover.lose(step, pair.tail_end)
            pair.qubit_here = False
            recording = pair.state == "recording"
            self.table.move(pair, "memory_lost")
            if recording:
                pair.void = True
            else:
                self._operations = {n: other for n, other in self._operations.items() if other is not pair}
                self.table.forget(step, pair)

    def restore(self, record: DeliveryRecord) -> None:
        """A record of an earlier life. Without its second record, a kept pair may have lost its qubit."""
        if record.state == "committed":
            if record.mode == "keep":
                self._doubtful.add(record.head_end)
            record = msgspec.structs.replace(record, state="settled")
        self.handover.book.write(record)

    def _refuse(self, step: Step, pair: TailPair, reason: str) -> None:
        self.table.move(pair, "refused")
        self.table.forget(step, pair)
        tail_words.say_no(step, pair.peer, pair.request, pair.head_end, reason)
