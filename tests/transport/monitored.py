"""A source whose execution monitor acts: the upper parts of alice, a planner that answers at once, and pairs
that come evenly, at whatever rate a test says.

Owns the log of corrective actions and of plans in force, which promise LATENCY_NS.
"""

from typing import Any, NamedTuple

import msgspec

from bellwire.applications.notification import StatusNotification
from bellwire.applications.requests import RequestGenerator
from bellwire.core.effects import Report
from bellwire.core.events import Started
from bellwire.core.notices import PlanActive, PlanFailed, PlanRequested
from bellwire.core.plans import EntanglementRequest, RequestPlan
from bellwire.core.settings import MonitorSettings
from bellwire.node.routing import NodeMachine
from bellwire.transport.monitoring import ExecutionMonitoring
from bellwire.transport.requests import RequestProcessing
from tests.transport.bench import MS, network
from tests.transport.test_requests import SECOND, Planner, Source, Tell, ask

LATENCY_NS = 100 * MS
FOREVER_NS = 1 << 62


class Acted(NamedTuple):
    """One corrective action as it was reported."""

    at_ns: int
    action: str
    percent: float | None
    rate_wanted_hz: float | None
    fidelity_wanted: float | None


class Monitored(Source):
    """One request "q" of alice. `can_plan`: a plan is found whenever one is asked for."""

    def __init__(self, rules: MonitorSettings, **terms: Any) -> None:
        self.rules = rules
        self.can_plan = True
        self.answered = 0
        self.in_force: list[EntanglementRequest] = []  # as planned, one for each plan that became active
        self.dated: list[tuple[int, Report]] = []  # when, what
        super().__init__()
        self.request: EntanglementRequest = ask(**({"count": 1_000_000, "deadline_ns": 10**15} | terms))
        self.submit(self.request)
        self.settle()

    def start(self) -> None:
        self.incarnation += 1
        self.writing = {}
        self.answered = 0
        self.planner = Planner()
        self.settings = msgspec.structs.replace(network(), monitor=self.rules)
        self.monitoring = ExecutionMonitoring(self.settings, "alice")
        self.requests = RequestProcessing(
            self.settings, "alice", lambda request: self.counts.get(request, 0), self.monitoring.terms
        )
        self.machine = NodeMachine(
            "alice",
            [
                self.monitoring,
                self.requests,
                RequestGenerator(self.settings, "alice"),
                StatusNotification(self.settings, "alice"),
                self.planner,
            ],
        )
        self.feed(Started(incarnation=self.incarnation, records=tuple(self.store)))

    def settle(self) -> None:
        """Records are written and the planner answers, until there is nothing more to say."""
        while self.writing or self.answered < len(self.planner.requested):
            self.write()
            while self.answered < len(self.planner.requested):
                wanted = self.planner.requested[self.answered]
                self.answered += 1
                if all(ended.version < wanted.version for ended in self.planner.ended):
                    self._answer(wanted)

    def _answer(self, wanted: PlanRequested) -> None:
        notice: PlanActive | PlanFailed = PlanFailed(
            request=wanted.request.request_id, version=wanted.version, reason="no room", final=False
        )
        if self.can_plan:
            plan = RequestPlan(
                request=wanted.request.request_id,
                version=wanted.version,
                nodes={},
                rate_hz=10.0,
                latency_ns=LATENCY_NS,
                fidelity=0.9,
                tree="(alice bob)",
                shape="alice-bob",
            )
            notice = PlanActive(plan=plan)
            self.in_force.append(wanted.request)
        self.feed(Tell((notice,)))

    def run(self, duration_ns: int, rate_hz: float, fidelity: float = 0.9) -> None:
        """Pairs come evenly, the first after one period; none comes while no plan is in force."""
        end_ns = self.now_ns + duration_ns
        period_ns = round(1e9 / rate_hz) if rate_hz else duration_ns + 1
        next_ns = self.now_ns + period_ns
        while (at_ns := min(next_ns, self._due_ns())) <= end_ns:
            self.now_ns = at_ns
            if at_ns == next_ns:
                next_ns += period_ns
                if self.requests.status("q") == "in_progress":
                    self.deliver(fidelity=fidelity)
            else:
                self.pass_time(0)
            self.settle()
        self.now_ns = end_ns

    def _due_ns(self) -> int:
        due_ns = self.machine.next_deadline_ns
        return FOREVER_NS if due_ns is None else max(due_ns, self.now_ns)

    @property
    def acted(self) -> list[Acted]:
        """Corrective actions so far."""
        return [
            Acted(at_ns, *(report.fields[name] for name in Acted._fields[1:]))  # type: ignore[arg-type]  # fields of a report are of any kind
            for at_ns, report in self.dated
            if report.name == "corrective_action"
        ]

    @property
    def actions(self) -> list[str]:
        """Their names."""
        return [one.action for one in self.acted]

    def feed(self, event: Any) -> None:
        before = len(self.reports)
        super().feed(event)
        self.dated += [(self.now_ns, one) for one in self.reports[before:]]


__all__ = ["LATENCY_NS", "MS", "SECOND", "Acted", "Monitored"]
