"""The head's side of delivery: the source offers, decides, records, and repeats until both have recorded.

Owns the pairs that this node offers as the source of their request. Refuses to count what the tail has not
settled, and to commit more than the request asked for. Source: architecture.md section 6; the table stands
in delivery_states.py.
"""

import msgspec

from bellwire.core.effects import Report
from bellwire.core.events import QubitMeasured, Received
from bellwire.core.ids import End, NodeId, RequestId
from bellwire.core.machine import Step
from bellwire.core.messages import (
    Aborted,
    Inquiry,
    OfferAnswer,
    Settled,
)
from bellwire.core.notices import EntanglementReported
from bellwire.core.purification import is_refined
from bellwire.core.view import LedgerView, SlotView
from bellwire.transport import head_words
from bellwire.transport.delivery_groups import SeenGroup, seen_group
from bellwire.transport.delivery_pairs import HeadPair
from bellwire.transport.delivery_records import DeliveryRecord, commit_of
from bellwire.transport.delivery_states import HEAD_ROWS
from bellwire.transport.handover import Circuit, Handover, frame_known
from bellwire.transport.transitions import Transitions


class Head:
    """All pairs that this node offers."""

    def __init__(self, handover: Handover) -> None:
        self.handover = handover
        self.transitions = Transitions("delivery head", HEAD_ROWS)
        self.pairs: dict[End, HeadPair] = {}
        self.wanted: dict[RequestId, int | None] = {}  # count of each request; None: no limit
        self.frame_mismatches = 0
        self._open: dict[RequestId, int] = {}  # pairs before their commit point
        self._operations: dict[int, HeadPair] = {}
        self._tokens: dict[int, HeadPair] = {}

    # ---- seeing a pair

    def consider(self, step: Step, view: LedgerView, circuit: Circuit | None, end: End) -> None:
        """Decide about an own end with the ledger in hand."""
        pair = self.pairs.get(end)
        if pair is not None:
            self._reconsider(step, view, pair)
            return
        if circuit is None:
            return
        slot = self.handover.held(end, circuit.request)
        chain = view.chain(end)
        if slot is None or chain is None or chain.dead:
            return
        group: SeenGroup | None = None
        if circuit.group is not None:
            group = seen_group(view, self.handover.settings, circuit.group, end)
            if group is None:
                return
            peer, tail_end = group.tails[0]
        else:
            found = view.far_end(end)
            if found is None or view.far_owner(end) != circuit.peer:
                return
            refinement = None if chain.taken else circuit.refinement  # used by the tail under an older plan
            if refinement is not None and not is_refined(view, end, refinement, step.now_ns):
                return
            peer, tail_end = circuit.peer, found
        count = self.wanted.get(circuit.request)
        standing = self.handover.book.standing_count(circuit.request)
        if count is not None and standing >= count:
            self.handover.release(step, end, "withdrawn")
            return
        if count is not None and standing + self._open.get(circuit.request, 0) >= count:
            return  # enough is on its way; looked at again when one of them fails
        known = group is not None or frame_known(view, end)
        if circuit.mode == "measure" and not known:
            # Measured earlier, nobody here could check the frame. The far half was born before we heard.
            if not self.handover.alarms.is_set(("head", end)):
                wait_ns = self.handover.settings.delay_ns(circuit.peer, self.handover.node)
                self.handover.alarms.set(("head", end), step.now_ns + wait_ns)
            return
        pair = HeadPair(
            request=circuit.request,
            peer=peer,
            mode=circuit.mode,
            head_end=end,
            tail_end=tail_end,
            state="absent",
            slot=slot.index,
            started_ns=step.now_ns,
            frame=chain.frame if known else None,
            walsh=view.state(end, step.now_ns),
            born_ns=chain.oldest_ns,
        )
        if group is not None:
            pair.others, pair.frames = group.tails[1:], group.frames
            pair.frame = group.frames[peer]
            pair.silent = {name for name, _ in group.tails}
        self.pairs[end] = pair
        self.handover.alarms.clear(("head", end))
        self._open[circuit.request] = self._open.get(circuit.request, 0) + 1
        if circuit.mode == "measure":
            self._start_measuring(step, pair, slot, circuit)
        else:
            self.handover.slots.offer(slot.index)
            self._move(pair, "seen_to_keep")
            self._offer(step, pair)

    def _start_measuring(self, step: Step, pair: HeadPair, slot: SlotView, circuit: Circuit) -> None:
        operation, pair.basis = self.handover.measure(step, slot, pair.head_end, circuit.choice)
        self._operations[operation] = pair
        self._move(pair, "seen_to_measure")

    def _reconsider(self, step: Step, view: LedgerView, pair: HeadPair) -> None:
        if pair.mode != "keep" or pair.state not in ("offered", "answered"):
            return
        chain = view.chain(pair.head_end)
        if chain is None or chain.dead or not head_words.reaches(view, pair):
            self._give_up(step, pair, "found_dead" if pair.state == "offered" else "disagreed")
            return
        if pair.frames is None and not frame_known(view, pair.head_end):
            return
        if pair.frames is not None and pair.state == "answered" and not view.complete(pair.head_end):
            self.handover.alarms.set(("head", pair.head_end), step.now_ns + self.handover.timers.answer_ns)
            return  # a tail's half is on its way: the estimate counts from it
        if pair.state == "offered":
            # Remembered at first sight: after the tail's correction the ledger shows the corrected frame.
            pair.frame = chain.frame if pair.frame is None else pair.frame
            return
        if pair.frame is None:
            corrected = self.handover.settings.correct_frames and chain.frame == 0
            pair.frame = pair.tail_frame if corrected else chain.frame
        pair.walsh = view.state(pair.head_end, step.now_ns)
        pair.born_ns = chain.oldest_ns
        self._agree(step, pair)

    # ---- the tail's word

    def on_answer(self, step: Step, received: Received) -> None:
        """OfferAnswer."""
        answer = received.message
        assert isinstance(answer, OfferAnswer)
        pair = self.pairs.get(answer.head_end)
        happened = "accepted" if answer.accepted else "not_yet" if answer.reason == "not_yet" else "refused"
        if pair is not None and head_words.still_silent(pair, received.source, answer):
            return
        before = self._state(answer.request, answer.head_end)
        following = self.transitions.after_message(received.source, before, happened)
        if not answer.accepted and before == "offered":
            step.order(
                Report(
                    name="offer_refused",
                    request=answer.request,
                    fields={"reason": answer.reason, "head_end": str(answer.head_end)},
                )
            )
        if pair is None or before != "offered":
            return
        pair.state = following
        if following == "gone":
            self._forget(step, pair)
            if pair.mode == "keep":
                self.handover.release(step, pair.head_end, "dead")
            if pair.others:
                head_words.abort(step, pair)
        elif happened == "not_yet":
            self.handover.look(step, pair.head_end)
        else:
            pair.tail_frame = answer.frame if pair.frames is None else pair.frame
            if pair.mode == "keep":
                self.handover.look(step, pair.head_end)
            else:
                self._agree(step, pair)

    def _agree(self, step: Step, pair: HeadPair) -> None:
        if pair.tail_frame_differs or (pair.tail_frame is not None and pair.tail_frame != pair.frame):
            self.frame_mismatches += 1
            self.handover.report_mismatch(step, pair.request, pair.head_end, pair.frame, pair.tail_frame)
            self._give_up(step, pair, "disagreed")
            return
        pair.record = head_words.decided(step, self.handover, pair)
        self._move(pair, "agreed")
        self.handover.alarms.clear(("head", pair.head_end))
        self._tokens[self.handover.persist(step, pair.record)] = pair

    def on_persisted(self, step: Step, token: int) -> bool:
        """The commit point. Returns False when the token is not one of ours."""
        pair = self._tokens.pop(token, None)
        if pair is None:
            return False
        record = pair.record
        assert record is not None
        self._move(pair, "persisted")
        self._open[pair.request] -= 1
        if pair.void:
            record = msgspec.structs.replace(record, state="void", bit=None)
            self.handover.report(step, "pair_void", record)
        else:
            self.handover.report_delivered(step, record, pair.slot)
            if pair.mode == "keep":
                self.handover.hand_over(step, record, pair.head_end)
        pair.record = record
        self.handover.book.write(record)
        self._commit(step, pair)
        self._look_again(step, pair.request)
        return True

    def on_settled(self, step: Step, received: Received) -> None:
        """Settled."""
        settled = received.message
        assert isinstance(settled, Settled)
        pair = self.pairs.get(settled.head_end)
        before = self._state(settled.request, settled.head_end)
        happened = "settled_void" if settled.void else "settled"
        if before == "committed" and pair is not None and pair.void and not settled.void:
            happened = "settled_too_early"
        if pair is not None and pair.others and before == "committed":
            if not self._all_settled(step, pair, received.source, void=settled.void):
                return
            happened = "settled_void" if pair.void else "settled"
        following = self.transitions.after_message(received.source, before, happened)
        if following == before:
            return
        record = self.handover.book.get(settled.request, settled.head_end)
        assert record is not None
        if pair is not None:
            del self.pairs[settled.head_end]
            self.handover.alarms.clear(("head", settled.head_end))
        if following == "settled":
            record = msgspec.structs.replace(record, state="settled")
        else:
            if record.state != "void":
                self.handover.report(step, "pair_void", record)
            record = msgspec.structs.replace(record, state="void", bit=None)
        self.handover.book.write(record)
        self.handover.persist(step, record)  # nobody waits for it: until it is durable, a restart asks again
        if following == "settled":
            self.handover.report(step, "pair_settled", record)
            step.tell(
                EntanglementReported(
                    request=record.request,
                    number=record.number,
                    timestamp_ns=record.at_ns,
                    age_ns=record.at_ns - record.born_ns,
                    fidelity=record.fidelity,
                )
            )
        else:
            self._look_again(step, record.request)

    def on_inquiry(self, step: Step, received: Received) -> None:
        """Inquiry of a tail in doubt."""
        inquiry = received.message
        assert isinstance(inquiry, Inquiry)
        pair = self.pairs.get(inquiry.head_end)
        state = self._state(inquiry.request, inquiry.head_end)
        self.transitions.after_message(received.source, state, "inquiry")
        record = self.handover.book.get(inquiry.request, inquiry.head_end)
        if record is not None:
            tail_end = dict(record.others).get(received.source)
            step.send(received.source, commit_of(record, tail_end), "delivery")
        elif state == "absent":
            aborted = Aborted(request=inquiry.request, head_end=inquiry.head_end)
            step.send(received.source, aborted, "delivery")
        elif state == "offered" and pair is not None:
            self._offer(step, pair)  # the answer got lost: ask for it again

    # ---- results and time

    def on_measured(self, step: Step, event: QubitMeasured) -> bool:
        """A measurement ended. Returns False when it is not one of ours."""
        pair = self._operations.pop(event.operation, None)
        if pair is None:
            return False
        if event.ended != "done":
            self._move(pair, "measure_failed")
            self._forget(step, pair)
            self.handover.release(step, pair.head_end, "dead")
            return True
        self.handover.measured(step, pair.head_end)
        pair.bit = event.bit
        if pair.request in self.handover.circuits:
            self._move(pair, "measured")
            self._offer(step, pair)
        else:
            self._move(pair, "measured_unwanted")
            self._forget(step, pair)
        return True

    def on_alarm(self, step: Step, head_end: End) -> None:
        """Repeat the offer or the commit, or give the offer up; or see whether the far half is known now."""
        pair = self.pairs.get(head_end)
        if pair is None:
            if self.handover.slots.holding(head_end) is not None:
                self.handover.alarms.set(("head", head_end), step.now_ns + self.handover.timers.answer_ns)
                self.handover.look(step, head_end)
        elif pair.state == "committed":
            self._commit(step, pair)
        elif step.now_ns >= pair.started_ns + self.handover.timers.delivery_ns:
            self._give_up(step, pair, "expired")
        elif pair.state == "offered":
            self._offer(step, pair)
        else:
            self.handover.alarms.set(("head", head_end), pair.started_ns + self.handover.timers.delivery_ns)
            self.handover.look(step, head_end)

    def withdraw(self, step: Step, request: RequestId) -> None:
        """The plan has ended: what is not decided will not be."""
        for pair in [pair for pair in self.pairs.values() if pair.request == request]:
            if pair.state in ("offered", "answered"):
                self._give_up(step, pair, "withdrawn")

    def on_memory_lost(self, step: Step) -> None:
        """Every qubit of ours that still existed is gone."""
        for pair in list(self.pairs.values()):
            if pair.state == "recording" and pair.mode == "keep":
                if not pair.void:
                    self._move(pair, "memory_lost")
                    pair.void = True
                    self.handover.lose(step, pair.head_end)
            elif pair.qubit_here:
                self.handover.lose(step, pair.head_end)
                self._move(pair, "memory_lost")
                self._operations = {n: other for n, other in self._operations.items() if other is not pair}
                self._forget(step, pair)
                head_words.abort(step, pair)

    def on_peer_restarted(self, step: Step, peer: NodeId) -> None:
        """A tail came back: it may have lost our commits."""
        for pair in self.pairs.values():
            if pair.state == "committed" and any(name == peer for name, _ in pair.asked):
                pair.repeats = 0
                self._commit(step, pair)

    def restore(self, step: Step, record: DeliveryRecord) -> None:
        """A commit of an earlier life that was not settled: repeat it, void when its qubit was kept here.

        Whether the application had the qubit before the crash cannot be known; void pairs do not count.
        """
        void = record.mode == "keep"
        record = msgspec.structs.replace(record, state="void") if void else record
        pair = head_words.restored(record, step.now_ns, void=void)
        self._move(pair, "restored")
        self.pairs[record.head_end] = pair
        self.handover.book.write(record)
        if void:
            self.handover.report(step, "pair_void", record)
        self._commit(step, pair)

    # ---- helpers of the above

    def _state(self, request: RequestId, head_end: End) -> str:
        pair = self.pairs.get(head_end)
        if pair is not None:
            return pair.state
        record = self.handover.book.get(request, head_end)
        return "absent" if record is None else record.state

    def _move(self, pair: HeadPair, happened: str) -> None:
        pair.state = self.transitions.after(pair.state, happened)

    def _offer(self, step: Step, pair: HeadPair) -> None:
        head_words.offer(step, self.handover, pair)

    def _commit(self, step: Step, pair: HeadPair) -> None:
        head_words.commit(step, self.handover, pair)

    def _give_up(self, step: Step, pair: HeadPair, happened: str) -> None:
        here = pair.qubit_here
        self._move(pair, happened)
        self._forget(step, pair)
        if here:
            self.handover.release(step, pair.head_end, "withdrawn" if happened == "withdrawn" else "dead")
        head_words.abort(step, pair)

    def _all_settled(self, step: Step, pair: HeadPair, tail: NodeId, *, void: bool) -> bool:
        """A tail of a group has recorded the delivery. One that lost its qubit makes it void for all: those
        that have recorded it already are told again."""
        record = pair.record
        assert record is not None
        if void and not pair.void:
            pair.void = True
            pair.record = msgspec.structs.replace(record, state="void", bit=None)
            self.handover.book.write(pair.record)
            self.handover.persist(step, pair.record)
            self.handover.report(step, "pair_void", record)
            pair.silent = {name for name, _ in pair.tails} - {tail}
            pair.repeats = 0
            self._commit(step, pair)
        elif void is pair.void:
            pair.silent.discard(tail)
        return not pair.silent

    def _forget(self, step: Step, pair: HeadPair) -> None:
        del self.pairs[pair.head_end]
        self._open[pair.request] -= 1
        self.handover.alarms.clear(("head", pair.head_end))
        self._look_again(step, pair.request)

    def _look_again(self, step: Step, request: RequestId) -> None:
        # With a limited count, held ends may have waited for this pair's fate.
        if self.wanted.get(request) is not None and request in self.handover.circuits:
            for end in self.handover.waiting(request):
                self.handover.look(step, end)
