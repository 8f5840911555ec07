"""RequestGenerator: the paper's entry point for applications (stack paper, appendix A).

Owns the step from what an application did to what the transport layer is told. Refuses validation, which is
the transport layer's.
"""

from collections.abc import Mapping

from bellwire.core.events import (
    ReplanAsked,
    RequestCancelled,
    RequestSubmitted,
    ResumptionAsked,
    SuspensionAsked,
)
from bellwire.core.ids import NodeId
from bellwire.core.machine import Handler, Step
from bellwire.core.notices import (
    ReplanWanted,
    RequestGenerated,
    RequestWithdrawn,
    ResumptionWanted,
    SuspensionWanted,
)
from bellwire.core.settings import NetworkSettings


class RequestGenerator:
    """The request part of the application layer."""

    def __init__(self, settings: NetworkSettings, node: NodeId) -> None:
        self.node = node

    def on_events(self) -> Mapping[type, Handler]:
        return {
            RequestSubmitted: self._on_submitted,
            RequestCancelled: self._on_cancelled,
            ReplanAsked: self._on_replan,
            SuspensionAsked: self._on_suspension,
            ResumptionAsked: self._on_resumption,
        }

    def on_messages(self) -> Mapping[type, Handler]:
        return {}

    def on_notices(self) -> Mapping[type, Handler]:
        return {}

    def gives(self) -> frozenset[type]:
        return frozenset(
            (RequestGenerated, RequestWithdrawn, ReplanWanted, SuspensionWanted, ResumptionWanted)
        )

    def deadline_ns(self) -> int | None:
        return None

    def on_deadline(self, step: Step) -> None:
        """Never due: an application's request is passed on at once."""

    def _on_submitted(self, step: Step, event: RequestSubmitted) -> None:
        step.tell(RequestGenerated(request=event.request))

    def _on_cancelled(self, step: Step, event: RequestCancelled) -> None:
        step.tell(RequestWithdrawn(request=event.request))

    def _on_replan(self, step: Step, event: ReplanAsked) -> None:
        step.tell(ReplanWanted(request=event.request))

    def _on_suspension(self, step: Step, event: SuspensionAsked) -> None:
        step.tell(SuspensionWanted(request=event.request, duration_ns=event.duration_ns))

    def _on_resumption(self, step: Step, event: ResumptionAsked) -> None:
        step.tell(ResumptionWanted(request=event.request))
