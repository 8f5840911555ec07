"""What one agent has delivered since its process began, by kind of request: counts and histograms.

Owns the counting of reports. Refuses request ids: their number has no bound, and a metric's labels must have
one. Only the head of a pair counts it, so that the sum over all nodes counts each pair once.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from bellwire.core.effects import Report
from bellwire.core.machine import Machine
from bellwire.core.plans import sequence_of
from bellwire.node.machines import QuantumNode
from bellwire.transport.request_lives import Life

FIDELITY_BOUNDS: Final = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 0.99, 1.0)
AGE_BOUNDS_S: Final = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
COUNTED: Final = {
    "pair_settled": "settled",
    "pair_void": "void",
    "corrective_action": "corrections",
    "plan_failed": "plans_failed",
    "request_refused": "requests_refused",
}
"""Reports that are only counted, and under which name."""


class Histogram:
    """Counts of values up to each bound, and their sum."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """One value; a bound itself counts as below it."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def told(self) -> dict[str, Any]:
        """Ready for JSON: counts of each interval, the last one above all bounds."""
        return {"bounds": list(self._bounds), "counts": list(self._counts), "sum": self._sum}


class DeliveryTally:
    """See the module. `on_report` is one of the agent's listeners."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._counts: dict[str, Counter[str]] = {}
        self._fidelities: dict[str, Histogram] = {}
        self._ages: dict[str, Histogram] = {}

    def on_report(self, _now_ns: int, report: Report) -> None:
        """A report was made."""
        kind = self.kind(report.request)
        fields = report.fields
        if report.name == "pair_delivered" and fields.get("role") == "head":
            self._count(kind, "delivered")
            fidelity, age_ns = fields.get("fidelity"), fields.get("age_ns")
            if isinstance(fidelity, int | float):
                self._fidelities.setdefault(kind, Histogram(FIDELITY_BOUNDS)).add(float(fidelity))
            if isinstance(age_ns, int | float):
                self._ages.setdefault(kind, Histogram(AGE_BOUNDS_S)).add(age_ns / 1e9)
        elif report.name in COUNTED and fields.get("role", "head") == "head":
            self._count(kind, COUNTED[report.name])

    def kind(self, request: str | None) -> str:
        """bipartite, ghz, graph, sequence; link for a report without request, other where it is not known."""
        if request is None:
            return "link"
        lives = self._lives()
        life = lives.get(request)
        if life is None:
            return "sequence" if sequence_of(request) in lives and "/" in request else "other"
        if life.request.entanglement_sequence:
            return "sequence"
        return str(life.request.entanglement_type)

    def told(self) -> dict[str, dict[str, Any]]:
        """By kind: counts, `fidelity` and `age_s`, ready for JSON."""
        return {
            kind: {
                "counts": dict(counts),
                "fidelity": None if kind not in self._fidelities else self._fidelities[kind].told(),
                "age_s": None if kind not in self._ages else self._ages[kind].told(),
            }
            for kind, counts in self._counts.items()
        }

    def request_states(self) -> list[tuple[str, str, int]]:
        """(kind, state, how many requests submitted here are in it)."""
        found = Counter((self.kind(name), life.state) for name, life in self._lives().items())
        return [(kind, state, count) for (kind, state), count in sorted(found.items())]

    def _count(self, kind: str, name: str) -> None:
        self._counts.setdefault(kind, Counter())[name] += 1

    def _lives(self) -> Mapping[str, Life]:
        machine = self._machine
        processing = machine.requests if isinstance(machine, QuantumNode) else None
        return {} if processing is None else processing.lives
