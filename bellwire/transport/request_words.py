"""What a source says of its requests: the paper's notifications, and why a deadline was missed.

Owns the wording. Refuses to decide when something is said (requests.py).
"""

from typing import Final

from bellwire.core.effects import Report
from bellwire.core.ids import RequestId
from bellwire.core.notices import PlanFailed, RequestNotified
from bellwire.core.plans import EntanglementRequest
from bellwire.transport.request_records import RequestRecord

RESTARTED: Final = "suspended before the source restarted"
"""Why a request is suspended that is read from the records of its source."""


def progress(request: RequestId, delivered: int) -> RequestNotified:
    """It goes on."""
    return RequestNotified(
        request_id=request, status="in_progress", generated_count=delivered, error_message=None
    )


def suspension(request: RequestId, delivered: int, reason: str, duration_ns: int) -> RequestNotified:
    """It pauses."""
    return RequestNotified(
        request_id=request,
        status="suspended",
        generated_count=delivered,
        error_message=f"{reason}; suspended for {duration_ns / 1e9:.3g} s",
    )


def waiting_for_repair(request: RequestId, delivered: int, reason: str) -> RequestNotified:
    """Nothing comes until something is repaired."""
    return RequestNotified(
        request_id=request,
        status="suspended",
        generated_count=delivered,
        error_message=f"{reason}; it goes on after repair",
    )


def broken(request: RequestId, version: int, reason: str) -> Report:
    """The plan in force cannot be carried out."""
    return Report(name="route_broken", request=request, fields={"version": version, "reason": reason})


def outcome(record: RequestRecord) -> RequestNotified:
    """It is over. The paper has no word for a request that was cancelled: it has failed, and says why."""
    return RequestNotified(
        request_id=record.request.request_id,
        status="completed" if record.outcome == "completed" else "failed",
        generated_count=record.delivered,
        error_message=record.reason or None,
    )


def refusal(request: RequestId, fault: str) -> RequestNotified:
    """It cannot be taken as it stands."""
    return RequestNotified(request_id=request, status="failed", generated_count=0, error_message=fault)


def refused(request: RequestId, reason: str) -> Report:
    """It is not taken, whatever is known under its name."""
    return Report(name="request_refused", request=request, fields={"reason": reason})


def plan_failure(failed: PlanFailed) -> Report:
    """A plan did not come about; it is not the end."""
    fields: dict[str, str | int | float | bool | None] = {"version": failed.version, "reason": failed.reason}
    return Report(name="plan_failed", request=failed.request, fields=fields)


def deadline_missed(request: EntanglementRequest, allowed_ns: int, delivered: int, failure: str) -> str:
    """Why it has failed at its deadline. failure: why the last plan did, "" when it did not."""
    wanted = "" if request.count is None else f" of {request.count}"
    why = f"; the last plan: {failure}" if failure else ""
    return f"deadline of {allowed_ns / 1e9:g} s over: delivered {delivered}{wanted}{why}"
