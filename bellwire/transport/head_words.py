"""What a head says to its tails, and what it remembers of the answers of several.

Owns the messages of the head's side and the account of tails that still owe a word. Refuses states: head.py
moves them. A pair has one tail, a state of three and more has several.
"""

from bellwire.core.bell import PERFECT, fidelity_of
from bellwire.core.ids import NodeId
from bellwire.core.machine import Step
from bellwire.core.messages import Aborted, Offer, OfferAnswer
from bellwire.core.view import LedgerView
from bellwire.transport.delivery_pairs import HeadPair
from bellwire.transport.delivery_records import DeliveryRecord, commit_of
from bellwire.transport.handover import Handover


def offer(step: Step, handover: Handover, pair: HeadPair) -> None:
    """Offer to every tail that has not answered, and set the time of the next word."""
    for peer, tail_end in pair.asked:
        said = Offer(request=pair.request, head_end=pair.head_end, tail_end=tail_end, mode=pair.mode)
        step.send(peer, said, "delivery")
    limit_ns = pair.started_ns + handover.timers.delivery_ns
    handover.alarms.set(("head", pair.head_end), min(step.now_ns + handover.timers.answer_ns, limit_ns))


def commit(step: Step, handover: Handover, pair: HeadPair) -> None:
    """Tell every tail that has not settled. One that stays away for hours is asked ever more rarely, but is
    never forgotten."""
    assert pair.record is not None
    for peer, tail_end in pair.asked:
        step.send(peer, commit_of(pair.record, tail_end), "delivery")
    timers = handover.timers
    wait_ns = min(timers.answer_ns << min(pair.repeats, 16), timers.delivery_ns)
    pair.repeats += 1
    handover.alarms.set(("head", pair.head_end), step.now_ns + wait_ns)


def abort(step: Step, pair: HeadPair) -> None:
    """Tell every tail that nothing comes of it."""
    for peer, _ in pair.tails:
        step.send(peer, Aborted(request=pair.request, head_end=pair.head_end), "delivery")


def still_silent(pair: HeadPair, tail: NodeId, answer: OfferAnswer) -> bool:
    """A tail of a group has accepted, and others have not yet."""
    if pair.frames is None or not answer.accepted or pair.state != "offered":
        return False
    pair.silent.discard(tail)
    pair.tail_frame_differs = pair.tail_frame_differs or answer.frame != pair.frames.get(tail)
    return bool(pair.silent)


def decided(step: Step, handover: Handover, pair: HeadPair) -> DeliveryRecord:
    """The record of a delivery on which all agree; from now on every tail owes its settlement."""
    corrected = pair.mode == "keep" and handover.settings.correct_frames
    pair.silent = {name for name, _ in pair.tails}
    return DeliveryRecord(
        request=pair.request,
        role="head",
        peer=pair.peer,
        mode=pair.mode,
        number=handover.book.next_number(pair.request),
        head_end=pair.head_end,
        tail_end=pair.tail_end,
        frame=0 if corrected or pair.frame is None else pair.frame,
        signs=pair.walsh.signs,
        cost=pair.walsh.cost,
        fidelity=fidelity_of(pair.walsh),
        at_ns=step.now_ns,
        born_ns=pair.born_ns,
        state="committed",
        bit=pair.bit,
        basis=pair.basis,
        others=pair.others,
    )


def restored(record: DeliveryRecord, now_ns: int, *, void: bool) -> HeadPair:
    """A delivery of an earlier life that not every tail has settled."""
    return HeadPair(
        request=record.request,
        peer=record.peer,
        mode=record.mode,
        head_end=record.head_end,
        tail_end=record.tail_end,
        state="absent",
        slot=None,
        started_ns=now_ns,
        frame=record.frame,
        walsh=PERFECT,
        born_ns=record.born_ns,
        bit=record.bit,
        basis=record.basis,
        record=record,
        void=void,
        others=record.others,
        silent={record.peer, *(name for name, _ in record.others)},
    )


def reaches(view: LedgerView, pair: HeadPair) -> bool:
    """The ends that were offered are still those of the state."""
    if pair.frames is None:
        return view.far_end(pair.head_end) == pair.tail_end
    return set(view.members(pair.head_end)) == {pair.head_end, *(end for _, end in pair.tails)}
