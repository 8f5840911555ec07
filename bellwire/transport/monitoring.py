"""ExecutionMonitoring: what was delivered against what was planned and asked for (stack paper, IV-B and
appendix B).

Owns per-request statistics over a bounded window with their report once a second, and the corrective actions
of requests that have thresholds: when they are judged, told and made durable. Refuses the decision itself
(corrections.py) and to act: request processing has the lower layers act, by plans.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import msgspec

from bellwire.core.effects import Persist, Report
from bellwire.core.events import Started
from bellwire.core.ids import NodeId, RequestId
from bellwire.core.machine import Handler, Step
from bellwire.core.notices import (
    CorrectiveAction,
    EntanglementReported,
    PlanActive,
    PlanEnded,
    PlanRequested,
    RequestNotified,
    ResumptionWanted,
)
from bellwire.core.plans import EntanglementRequest, RequestPlan, is_pre_distributed
from bellwire.core.settings import NetworkSettings
from bellwire.core.units import NS_PER_S
from bellwire.transport.corrections import Decision, Seen, decide
from bellwire.transport.corrections_records import Standing, in_force, restored, standing_of, to_record
from bellwire.transport.corrections_window import Durations, Window
from bellwire.transport.request_words import RESTARTED

WINDOW_PAIRS: Final = 1000
"""Statistics cover at most this many of the latest pairs."""

REPORT_NS: Final = NS_PER_S


@dataclass(slots=True)
class Watch:
    """What is known about one request in progress."""

    plan: RequestPlan
    started_ns: int
    due_ns: int  # of the next report
    window: Window
    awaited: bool = False  # a plan that an action asked for: its pairs alone are judged from then on
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
        self.rules = settings.monitor
        self.links = settings.links
        self.watches: dict[RequestId, Watch] = {}
        self.standings: dict[RequestId, Standing] = {}  # of requests with thresholds
        self._due_ns: int | None = None  # the first of all watches, asked for in every step; None: no watch

    def on_events(self) -> Mapping[type, Handler]:
        return {Started: self._on_started}

    def on_messages(self) -> Mapping[type, Handler]:
        return {}

    def on_notices(self) -> Mapping[type, Handler]:
        return {
            PlanRequested: self._on_plan_requested,
            PlanActive: self._on_plan_active,
            PlanEnded: self._on_plan_ended,
            EntanglementReported: self._on_entanglement,
            RequestNotified: self._on_notified,
            ResumptionWanted: self._on_resumption,
        }

    def gives(self) -> frozenset[type]:
        return frozenset((CorrectiveAction,))

    def deadline_ns(self) -> int | None:
        return self._due_ns

    def on_deadline(self, step: Step) -> None:
        for request, watch in list(self.watches.items()):
            if watch.due_ns <= step.now_ns:
                watch.due_ns = step.now_ns + REPORT_NS
                if not self._suspended(request, step.now_ns):
                    self._report(step, request, watch)
            standing = self.standings.get(request)
            if standing is not None and self._check_ns(watch, standing) <= step.now_ns:
                self._judge(step, request, watch, standing)
        self._set_due()

    def _set_due(self) -> None:
        due_ns = [watch.due_ns for watch in self.watches.values()]
        due_ns += [
            self._check_ns(watch, standing)
            for request, watch in self.watches.items()
            if (standing := self.standings.get(request)) is not None
        ]
        self._due_ns = min(due_ns, default=None)

    def _check_ns(self, watch: Watch, standing: Standing) -> int:
        return watch.window.due_ns(standing, self._durations(watch), self.rules)

    def _durations(self, watch: Watch) -> Durations:
        return Durations.of(self.rules, watch.plan.latency_ns)

    def _suspended(self, request: RequestId, now_ns: int) -> bool:
        standing = self.standings.get(request)
        return standing is not None and standing.resumes_ns is not None and now_ns < standing.resumes_ns

    # ---- the life of a watch

    def _on_started(self, step: Step, event: Started) -> None:
        if not self.rules.enabled:
            return
        self.standings = restored(event.records)
        for request, standing in self.standings.items():
            if standing.resumes_ns is not None and standing.resumes_ns > step.now_ns:
                step.tell(
                    CorrectiveAction(
                        request=request,
                        action="suspend",
                        percent=None,
                        suspended_ns=standing.resumes_ns - step.now_ns,
                        reason=RESTARTED,
                    )
                )

    def _on_plan_requested(self, step: Step, notice: PlanRequested) -> None:
        request = notice.request
        if self.rules.enabled and request.request_id not in self.standings:
            standing = standing_of(request)
            if standing is not None:
                self.standings[request.request_id] = standing

    def _on_plan_active(self, step: Step, notice: PlanActive) -> None:
        plan = notice.plan
        if is_pre_distributed(plan.request):
            return  # nobody waits for pairs for a store
        watch = self.watches.get(plan.request)
        begins_ns = step.now_ns + self._arming_ns(plan)
        if watch is None:
            due_ns = step.now_ns + REPORT_NS
            self.watches[plan.request] = Watch(plan, step.now_ns, due_ns, Window(begins_ns))
        else:
            watch.plan = plan
            if watch.awaited:
                watch.awaited = False
                watch.window.begin(begins_ns)
        self._set_due()

    def _arming_ns(self, plan: RequestPlan) -> int:
        """How long the links of a plan may take until their first attempt: nothing can be judged before."""
        links = {part.link: self.links[part.link] for node in plan.nodes.values() for part in node.links}
        return max(
            (
                link.start_margin_ns
                + (NS_PER_S if link.whole_second else 0)
                + (0 if link.turns_granted is None else link.turn_ns * link.turns)
                for link in links.values()
            ),
            default=0,
        )

    def _on_plan_ended(self, step: Step, notice: PlanEnded) -> None:
        """A suspended request goes on later; any other is over."""
        if self._suspended(notice.request, step.now_ns):
            return
        watch = self.watches.get(notice.request)
        if watch is not None:
            self._report(step, notice.request, watch)
        self._forget(notice.request)

    def _on_notified(self, step: Step, notice: RequestNotified) -> None:
        if notice.status in ("completed", "failed"):
            self._forget(notice.request_id)

    def _on_resumption(self, step: Step, notice: ResumptionWanted) -> None:
        """A suspension of ours ends early: the request is judged again from now on."""
        standing, watch = self.standings.get(notice.request), self.watches.get(notice.request)
        if standing is None or not self._suspended(notice.request, step.now_ns):
            return
        self.standings[notice.request] = msgspec.structs.replace(standing, resumes_ns=step.now_ns)
        self._persist(step, notice.request)
        if watch is not None:
            watch.window.begin(step.now_ns)
            self._set_due()

    def _forget(self, request: RequestId) -> None:
        self.standings.pop(request, None)
        if self.watches.pop(request, None) is not None:
            self._set_due()

    def _on_entanglement(self, step: Step, notice: EntanglementReported) -> None:
        watch = self.watches.get(notice.request)
        if watch is None:
            return
        watch.delivered += 1
        watch.pairs.append((notice.timestamp_ns, notice.age_ns, notice.fidelity))
        standing = self.standings.get(notice.request)
        if standing is not None:
            watch.window.add(step.now_ns, notice.fidelity)
            check_ns = self._check_ns(watch, standing)  # a pair can only bring it nearer
            self._due_ns = check_ns if self._due_ns is None else min(self._due_ns, check_ns)

    # ---- corrective actions

    def terms(self, request: EntanglementRequest) -> EntanglementRequest:
        """A request with the thresholds that are in force for it."""
        standing = self.standings.get(request.request_id)
        return request if standing is None else in_force(request, standing)

    def _judge(self, step: Step, request: RequestId, watch: Watch, standing: Standing) -> None:
        durations = self._durations(watch)
        seen = watch.window.seen(step.now_ns, durations)
        watch.window.checked_ns = step.now_ns
        decision = decide(standing, seen, self.rules, step.now_ns)
        after = decision.standing
        if decision.action == "suspend":
            after = msgspec.structs.replace(after, resumes_ns=step.now_ns + durations.suspension)
        self.standings[request] = after
        if decision.action == "continue":
            if after.retries != standing.retries:
                self._persist(step, request)
            return
        watch.awaited = True
        watch.window.begin(step.now_ns if after.resumes_ns is None else max(step.now_ns, after.resumes_ns))
        self._persist(step, request)
        self._report_action(step, request, decision, seen)
        step.tell(
            CorrectiveAction(
                request=request,
                action=decision.action,
                percent=decision.percent,
                suspended_ns=durations.suspension if decision.action == "suspend" else None,
                reason=decision.reason,
            )
        )

    def _persist(self, step: Step, request: RequestId) -> None:
        """Nobody waits for it: an action that a crash forgets is taken again."""
        record = to_record(request, self.standings[request])
        step.order(Persist(token=step.operation(), record=record))

    def _report_action(self, step: Step, request: RequestId, decision: Decision, seen: Seen) -> None:
        after = decision.standing
        resumes_ns = self.standings[request].resumes_ns if decision.action == "suspend" else None
        rate, fidelity = after.rate, after.fidelity
        step.order(
            Report(
                name="corrective_action",
                request=request,
                fields={
                    "action": decision.action,
                    "percent": decision.percent,
                    "suspended_ns": None if resumes_ns is None else resumes_ns - step.now_ns,
                    "reason": decision.reason,
                    "number": after.actions,
                    "retries": after.retries,
                    "pairs": seen.pairs,
                    "window_ns": seen.duration_ns,
                    "rate_hz": seen.rate_hz,
                    "rate_wanted_hz": None if rate is None else rate.now,
                    "rate_asked_hz": None if rate is None else rate.asked,
                    "fidelity": seen.fidelity,
                    "fidelity_wanted": None if fidelity is None else fidelity.now,
                    "fidelity_asked": None if fidelity is None else fidelity.asked,
                },
            )
        )

    # ---- figures

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
