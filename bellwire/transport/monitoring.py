"""ExecutionMonitoring: what was delivered against what was planned (stack paper, IV-B and appendix B).

Owns per-request statistics over a bounded window and their report once a second. Refuses judgement:
corrective actions are a later part of the paper's Algorithm 1.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from bellwire.core.effects import Report
from bellwire.core.ids import NodeId, RequestId
from bellwire.core.machine import Handler, Step
from bellwire.core.notices import EntanglementReported, PlanActive, PlanEnded
from bellwire.core.plans import RequestPlan
from bellwire.core.settings import NetworkSettings

WINDOW_PAIRS: Final = 1000
"""Statistics cover at most this many of the latest pairs."""

REPORT_NS: Final = 1_000_000_000


@dataclass(slots=True)
class Watch:
    """What is known about one request in progress."""

    plan: RequestPlan
    started_ns: int
    due_ns: int
    delivered: int = 0  # reported since the start of the watch
    pairs: deque[tuple[int, int, float]] = field(
        default_factory=lambda: deque[tuple[int, int, float]](maxlen=WINDOW_PAIRS)
    )  # delivered at, age (both ns), fidelity


def percentile(ordered: list[int], share: float) -> int | None:
    """The nearest-rank percentile of a sorted list, `share` in 0..1; None of an empty list."""
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class ExecutionMonitoring:
    """The monitoring part of a source."""

    def __init__(self, settings: NetworkSettings, node: NodeId) -> None:
        self.node = node
        self.watches: dict[RequestId, Watch] = {}
        self._due_ns: int | None = None  # the first of all watches, asked for in every step; None: no watch

    def on_events(self) -> Mapping[type, Handler]:
        return {}

    def on_messages(self) -> Mapping[type, Handler]:
        return {}

    def on_notices(self) -> Mapping[type, Handler]:
        return {
            PlanActive: self._on_plan_active,
            PlanEnded: self._on_plan_ended,
            EntanglementReported: self._on_entanglement,
        }

    def gives(self) -> frozenset[type]:
        return frozenset()

    def deadline_ns(self) -> int | None:
        return self._due_ns

    def on_deadline(self, step: Step) -> None:
        for request, watch in self.watches.items():
            if watch.due_ns <= step.now_ns:
                watch.due_ns = step.now_ns + REPORT_NS
                self._report(step, request, watch)
        self._set_due()

    def _set_due(self) -> None:
        self._due_ns = min((watch.due_ns for watch in self.watches.values()), default=None)

    def _on_plan_active(self, step: Step, notice: PlanActive) -> None:
        plan = notice.plan
        watch = self.watches.get(plan.request)
        if watch is None:
            self.watches[plan.request] = Watch(plan, step.now_ns, step.now_ns + REPORT_NS)
            self._set_due()
        else:
            watch.plan = plan

    def _on_plan_ended(self, step: Step, notice: PlanEnded) -> None:
        watch = self.watches.pop(notice.request, None)
        if watch is not None:
            self._set_due()
            self._report(step, notice.request, watch)

    def _on_entanglement(self, step: Step, notice: EntanglementReported) -> None:
        watch = self.watches.get(notice.request)
        if watch is not None:
            watch.delivered += 1
            watch.pairs.append((notice.timestamp_ns, notice.age_ns, notice.fidelity))

    def _report(self, step: Step, request: RequestId, watch: Watch) -> None:
        pairs = sorted(watch.pairs)
        gaps = sorted(later[0] - earlier[0] for earlier, later in pairwise(pairs))
        ages = sorted(age_ns for _, age_ns, _ in pairs)
        # The window starts with the watch until it overflows, then with its oldest pair.
        whole = watch.delivered <= WINDOW_PAIRS
        span_ns = step.now_ns - (watch.started_ns if whole else pairs[0][0])
        counted = len(pairs) if whole else len(pairs) - 1
        step.order(
            Report(
                name="request_progress",
                request=request,
                fields={
                    "delivered": watch.delivered,
                    "rate_hz": counted / (span_ns / 1e9) if span_ns > 0 else None,
                    "rate_planned_hz": watch.plan.rate_hz,
                    "fidelity": sum(pair[2] for pair in pairs) / len(pairs) if pairs else None,
                    "fidelity_planned": watch.plan.fidelity,
                    "latency_p50_ns": percentile(gaps, 0.5),
                    "latency_p95_ns": percentile(gaps, 0.95),
                    "latency_planned_ns": watch.plan.latency_ns,
                    "age_p50_ns": percentile(ages, 0.5),
                    "age_p95_ns": percentile(ages, 0.95),
                },
            )
        )
