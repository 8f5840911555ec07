"""The application layer passes on what it is told, in the paper's words, and adds nothing."""

from bellwire.applications.notification import StatusNotification
from bellwire.applications.requests import RequestGenerator
from bellwire.core.effects import Report
from bellwire.core.events import RequestCancelled, RequestSubmitted
from bellwire.core.machine import Step
from bellwire.core.notices import RequestGenerated, RequestNotified, RequestWithdrawn
from bellwire.core.plans import EntanglementRequest
from tests.transport.bench import network


def test_a_submission_and_a_cancellation_reach_the_transport_layer_unchanged() -> None:
    request = EntanglementRequest(request_id="q", target_nodes=("alice", "bob"), count=1)
    handlers = RequestGenerator(network(), "alice").on_events()
    step = Step("alice")
    handlers[RequestSubmitted](step, RequestSubmitted(request=request))
    handlers[RequestCancelled](step, RequestCancelled(request="q"))
    assert list(step.notices) == [RequestGenerated(request=request), RequestWithdrawn(request="q")]
    assert step.effects == []


def test_a_notification_becomes_a_report_with_exactly_four_fields() -> None:
    part = StatusNotification(network(), "alice")
    step = Step("alice")
    notice = RequestNotified(request_id="q", status="failed", generated_count=2, error_message="late")
    part.on_notices()[RequestNotified](step, notice)
    assert step.effects == [
        Report(
            name="request_status",
            request="q",
            fields={"request_id": "q", "status": "failed", "generated_count": 2, "error_message": "late"},
        )
    ]
