"""What a source may do about a request that falls short: rules on its own reports of corrective actions.

Owns these rules, written from algorithms.md section 9 and not from the monitor's code. Refuses the rest of a
history (rules.py).
"""

from collections import Counter
from collections.abc import Collection
from typing import Any, Final

from bellwire.core.ids import NodeId, RequestId
from bellwire.core.settings import MonitorSettings
from bellwire.soak.rules import Broken

ROUNDING: Final = 1e-6
CLOCK_SHARE: Final = 1e-3
"""Reports are dated by true time; a clock that runs 50 ppm wrong may act so much sooner."""


class MonitorRules:
    """Listens to reports; raises `Broken`."""

    def __init__(self, rules: MonitorSettings, set_clocks: Collection[NodeId]) -> None:
        """set_clocks: nodes whose clocks are set, which may take a cool-down for over."""
        self._rules = rules
        self._set_clocks = set_clocks
        self._acted: dict[RequestId, tuple[int, NodeId]] = {}
        self.counts: Counter[str] = Counter()

    def restarted(self, node: NodeId) -> None:
        """An action whose record was still on its way to the disk is taken again."""
        self._acted = {request: acted for request, acted in self._acted.items() if acted[1] != node}

    def __call__(self, now_ns: int, node: NodeId, report: Any) -> None:
        if report.name != "corrective_action":
            return
        request, seen = report.request, report.fields
        self.counts[f"action {seen['action']}"] += 1
        rules = self._rules
        least_ns = rules.duration_least_ns if rules.duration_min_ns is None else rules.duration_min_ns
        before = self._acted.get(request)
        self._acted[request] = (now_ns, node)
        if node not in self._set_clocks:
            if before is not None:
                cooldown_ns = rules.cooldown_durations * least_ns * (1.0 - CLOCK_SHARE)
                if now_ns - before[0] < cooldown_ns:
                    raise Broken(
                        "cool-down", f"{request}: {seen['action']} {now_ns - before[0]} ns after the last"
                    )
            if seen["pairs"] < rules.samples_min and seen["window_ns"] < least_ns:
                raise Broken("enough to judge by", f"{request}: {seen}")
        for metric in ("rate", "fidelity"):
            unit = "_hz" if metric == "rate" else ""
            wanted, asked = seen[f"{metric}_wanted{unit}"], seen[f"{metric}_asked{unit}"]
            value = seen["rate_hz"] if metric == "rate" else seen["fidelity"]
            if wanted is None:
                continue
            if not asked * (1.0 - rules.reduction_max) - ROUNDING <= wanted <= asked + ROUNDING:
                raise Broken("bounds of a threshold", f"{request}: {metric} {wanted} of {asked}")
            if seen["action"] == f"adjust_{metric}":
                self._adjusted(request, metric, seen["percent"], wanted, value)

    def _adjusted(
        self, request: RequestId, metric: str, percent: float, wanted: float, value: float | None
    ) -> None:
        rules = self._rules
        before = wanted / (1.0 + percent / 100.0)
        lowered = percent < 0.0
        if lowered and -percent > 100.0 * rules.change + ROUNDING:
            raise Broken("step of a threshold", f"{request}: {metric} by {percent} %")
        tolerance = rules.rate_tolerance if metric == "rate" else rules.fidelity_tolerance
        if not lowered and value is not None and value < before * (1.0 - tolerance - ROUNDING):
            raise Broken("raised while it falls short", f"{request}: {metric} {value} below {before}")
