"""What a tail says to its head, and what it believes of the head's word about frames.

Owns the messages of the tail's side. Refuses states: tail.py moves them.
"""

import msgspec

from bellwire.core.ids import End, NodeId, RequestId
from bellwire.core.machine import Step
from bellwire.core.messages import Commit, Inquiry, OfferAnswer, Settled
from bellwire.transport.delivery_pairs import TailPair
from bellwire.transport.delivery_records import DeliveryRecord, from_commit
from bellwire.transport.handover import Handover


def accept(step: Step, pair: TailPair) -> None:
    """The own end is ready for delivery."""
    answer = OfferAnswer(
        request=pair.request, head_end=pair.head_end, accepted=True, frame=pair.frame, reason=""
    )
    step.send(pair.peer, answer, "delivery")


def say_no(step: Step, to: NodeId, request: RequestId, head_end: End, reason: str) -> None:
    """No, for this reason; "not_yet" asks the head to try again."""
    answer = OfferAnswer(request=request, head_end=head_end, accepted=False, frame=None, reason=reason)
    step.send(to, answer, "delivery")


def settle(step: Step, to: NodeId, request: RequestId, head_end: End, *, void: bool) -> None:
    """The record is on stable storage."""
    step.send(to, Settled(request=request, head_end=head_end, void=void), "delivery")


def inquire(step: Step, pair: TailPair) -> None:
    """The head is silent."""
    step.send(pair.peer, Inquiry(request=pair.request, head_end=pair.head_end), "delivery")


def doubt(step: Step, handover: Handover, pair: TailPair) -> None:
    """Set the time of the next inquiry, or of the end of patience."""
    limit_ns = pair.started_ns + handover.timers.delivery_ns
    handover.alarms.set(("tail", pair.head_end), min(step.now_ns + handover.timers.answer_ns, limit_ns))


def recorded(step: Step, handover: Handover, pair: TailPair, commit: Commit) -> DeliveryRecord:
    """The record of a commit. A pair has one frame, on which both sides must agree. Of a state of three and
    more each tail has a frame of its own, and the head, which can name one only, has compared them all."""
    record = from_commit(commit, pair.peer, pair.mode, pair.bit, pair.basis)
    if pair.frame is None:
        return record
    corrected = pair.mode == "keep" and handover.settings.correct_frames
    frame = 0 if corrected else pair.frame
    if pair.grouped:
        return msgspec.structs.replace(record, frame=frame)
    if not pair.void and commit.frame != frame:
        handover.report_mismatch(step, pair.request, pair.head_end, commit.frame, frame)
    return record
