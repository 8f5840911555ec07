"""StatusNotification: what applications are told about their requests (stack paper, appendix A).

Owns the shape of the notification: exactly the paper's four fields. Refuses to look at any state below.
"""

from collections.abc import Mapping

from bellwire.core.effects import Report
from bellwire.core.ids import NodeId
from bellwire.core.machine import Handler, Step
from bellwire.core.notices import RequestNotified
from bellwire.core.settings import NetworkSettings


class StatusNotification:
    """The notification part of the application layer."""

    def __init__(self, settings: NetworkSettings, node: NodeId) -> None:
        self.node = node

    def on_events(self) -> Mapping[type, Handler]:
        return {}

    def on_messages(self) -> Mapping[type, Handler]:
        return {}

    def on_notices(self) -> Mapping[type, Handler]:
        return {RequestNotified: self._on_notified}

    def gives(self) -> frozenset[type]:
        return frozenset()

    def deadline_ns(self) -> int | None:
        return None

    def on_deadline(self, step: Step) -> None:
        """Never due: a notification is passed on at once."""

    def _on_notified(self, step: Step, notice: RequestNotified) -> None:
        step.order(
            Report(
                name="request_status",
                request=notice.request_id,
                fields={
                    "request_id": notice.request_id,
                    "status": notice.status,
                    "generated_count": notice.generated_count,
                    "error_message": notice.error_message,
                },
            )
        )
