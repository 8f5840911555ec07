"""Admission: whether a request gets what it asks for, beside what is reserved for others.

Owns the verdict on a plan that failed before the request ever had one, and the words in which it is told.
Refuses the accounts, which are each node's own (planner/reservations.py), and the life cycle (requests.py). A
request is accepted when every node of a plan has accepted its part, and not before.
"""

from typing import Final, Literal

from bellwire.core.effects import Report
from bellwire.core.notices import PlanFailed
from bellwire.core.plans import BestOffer, EntanglementRequest

Admission = Literal["pending", "accepted", "queued", "rejected"]
"""What has been said to whoever asked: nothing yet, yes, wait, or no."""

Verdict = Literal["again", "later", "queue", "reject"]
"""Ask for another plan at once, or after a while; let the request wait for room; or turn it away."""

ROOM_TRIES: Final = 8
"""Plans that nodes refused for lack of room before the planner is taken to know enough of what is left."""

QUEUED_MAX: Final = 256
"""Requests that wait for room at one source; more are rejected."""


def verdict(request: EntanglementRequest, failed: PlanFailed, refusals: int, queued: int) -> Verdict:
    """What follows when a request that was never accepted gets no plan.

    refusals: plans of it that nodes have refused, this one included. queued: requests that waited before.
    """
    if failed.final:
        return "reject"
    if failed.cause == "other":
        return "later"
    if failed.cause == "room" and refusals < ROOM_TRIES:
        return "again"  # the next plan knows what is left there, and may find another way
    return "reject" if request.when_full == "reject" or queued >= QUEUED_MAX else "queue"


def refusal_text(reason: str, offer: BestOffer | None) -> str:
    """The reason with the best that could be promised instead."""
    if offer is None:
        return reason
    return f"{reason}; could be promised now: {offer.rate_hz:g} pairs/s of fidelity {offer.fidelity:g}"


def admission_report(request: str, admission: Admission, reason: str, offer: BestOffer | None) -> Report:
    """What is said to whoever asked."""
    return Report(
        name="request_admission",
        request=request,
        fields={
            "admission": admission,
            "reason": reason or None,
            "offer_rate_hz": None if offer is None else offer.rate_hz,
            "offer_fidelity": None if offer is None else offer.fidelity,
        },
    )
