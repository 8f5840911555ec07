"""The observation window of one request: pairs as they were told, and when they are enough to judge by.

Owns the samples, the durations that follow from the plan in force, and the moments of judgement: a minimum of
samples or of duration, a cool-down between actions (algorithms.md 9). Refuses judgement (corrections.py).
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from bellwire.core.settings import MonitorSettings
from bellwire.transport.corrections import Seen, Standing

SAMPLES_MAX: Final = 1000
"""Pairs that a window holds at most; an older one counts no more, and the window begins with it."""


@dataclass(frozen=True, slots=True)
class Durations:
    """What the rules mean in time, given the expected latency of the plan in force. Nanoseconds."""

    least: int  # T_min
    cooldown: int
    suspension: int
    memory: int

    @classmethod
    def of(cls, rules: MonitorSettings, latency_ns: int) -> "Durations":
        """latency_ns: expected time per pair."""
        least = rules.duration_min_ns
        if least is None:
            least = max(rules.duration_least_ns, round(rules.duration_latencies * latency_ns))
        return cls(
            least=max(1, least),
            cooldown=round(rules.cooldown_durations * least),
            suspension=round(rules.suspension_durations * least),
            memory=max(1, round(rules.memory_durations * least)),
        )


@dataclass(slots=True)
class Window:
    """Pairs since the last action, or since the plan that followed it is in force, but no older than memory
    goes back."""

    since_ns: int
    checked_ns: int | None = None  # last judgement since then, None: none yet
    _samples: deque[tuple[int, float]] = field(default_factory=deque[tuple[int, float]])  # told at, fidelity

    def begin(self, since_ns: int) -> None:
        """Nothing told until then counts any more; the time may lie ahead."""
        self.since_ns, self.checked_ns = since_ns, None
        self._samples.clear()

    def add(self, now_ns: int, fidelity: float) -> None:
        """A pair was told."""
        if now_ns <= self.since_ns:
            return
        self._samples.append((now_ns, fidelity))
        if len(self._samples) > SAMPLES_MAX:
            self.since_ns, _ = self._samples.popleft()

    def seen(self, now_ns: int, durations: Durations) -> Seen:
        """What the window shows now."""
        self.since_ns = max(self.since_ns, now_ns - durations.memory)
        while self._samples and self._samples[0][0] <= self.since_ns:
            self._samples.popleft()
        count = len(self._samples)
        mean = sum(fidelity for _, fidelity in self._samples) / count if count else None
        return Seen(count, max(1, now_ns - self.since_ns), mean)

    def due_ns(self, standing: Standing, durations: Durations, rules: MonitorSettings) -> int:
        """When the request is to be judged, if no pair comes before. A pair may make it sooner.

        Between two checks lies T_min, so that each rests on pairs that the one before had not seen.
        """
        due_ns = self.since_ns + (0 if len(self._samples) >= rules.samples_min else durations.least)
        if self.checked_ns is not None:
            due_ns = self.checked_ns + durations.least
        if standing.acted_ns is not None:
            due_ns = max(due_ns, standing.acted_ns + durations.cooldown)
        if standing.resumes_ns is not None:
            due_ns = max(due_ns, standing.resumes_ns)
        return due_ns
