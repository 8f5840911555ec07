"""The section `monitoring` of a lab file: when requests are judged, and what may be done about it.

Owns the keys and their conversion. Refuses judgement (transport/corrections.py).
"""

from typing import Annotated, Literal

from pydantic import Field

from bellwire.core.settings import MonitorSettings
from bellwire.core.units import ns_from_s
from bellwire.labs.sections import Count, NotNegative, Positive, Section

Share = Annotated[float, Field(ge=0, lt=1)]
RUNGS_MAX = 32


class Monitoring(Section):
    """Corrective actions of requests with a rate or a fidelity to reach: docs/monitoring.md."""

    enabled: bool = True
    samples_min: Count = 20  # so many pairs are enough to judge by
    # so long is enough to judge by (T_min), however few pairs came; null: duration_latencies
    duration_min_s: Positive | None = None
    duration_latencies: Positive = 5.0  # T_min in expected latencies of the plan in force
    # T_min is no less than this where it follows from latencies: a node that restarts, or a plan whose lease
    # lapses, must not cost a request its terms
    duration_least_s: NotNegative = 2.0
    cooldown_durations: NotNegative = 2.0  # T_min between two actions at least
    suspension_durations: Positive = 10.0  # T_min of a suspension
    memory_durations: Annotated[float, Field(ge=1)] = 20.0  # T_min after which a pair counts no more
    rate_tolerance: Share = 0.05  # shortfall that is none
    fidelity_tolerance: Share = 0.05
    excess: Positive = 0.30  # above a threshold, from which it is lowered
    change: Annotated[float, Field(gt=0, lt=1)] = 0.10  # of a threshold in one action
    reduction_max: Share = 0.50  # below what was asked for, all actions together
    recovered_checks: Count = 2  # in a row that a threshold must stand before it is raised again
    # one rung an action; above the last one the request fails
    ladder: Annotated[tuple[Literal["replan", "adjust", "suspend"], ...], Field(max_length=RUNGS_MAX)] = (
        "replan",
        "adjust",
        "adjust",
        "suspend",
        "replan",
    )

    def settings(self) -> MonitorSettings:
        """The same for machines."""
        return MonitorSettings(
            enabled=self.enabled,
            samples_min=self.samples_min,
            duration_min_ns=None if self.duration_min_s is None else ns_from_s(self.duration_min_s),
            duration_latencies=self.duration_latencies,
            duration_least_ns=ns_from_s(self.duration_least_s),
            cooldown_durations=self.cooldown_durations,
            suspension_durations=self.suspension_durations,
            memory_durations=self.memory_durations,
            rate_tolerance=self.rate_tolerance,
            fidelity_tolerance=self.fidelity_tolerance,
            excess=self.excess,
            change=self.change,
            reduction_max=self.reduction_max,
            recovered_checks=self.recovered_checks,
            ladder=self.ladder,
        )
