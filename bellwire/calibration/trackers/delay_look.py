"""One look at the delays of the detectors of both receivers beside operation: `keep_delay`.

Its record carries the corrections that are added to tags from then on (pairing.py). Moves nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from bellwire.calibration.bench import LinkBench, Receiver
from bellwire.calibration.pairing import Together, correction_in_force, has_one_delay, paired
from bellwire.calibration.procedure import Finding, Unfit, unique
from bellwire.calibration.records import Check, Quantity
from bellwire.calibration.trackers.clock_keeper import ClockKeeper
from bellwire.calibration.trackers.delay_keeper import (
    Correct,
    Delay,
    DelayKeeper,
    DelayLimits,
    MeasureAnew,
    residual_delays,
)
from bellwire.calibration.trackers.joining import joined
from bellwire.calibration.work import Work
from bellwire.drivers.clocks.pair_fit import Candidates, fit_pairs
from bellwire.drivers.clocks.refusals import NoTiming
from bellwire.drivers.tags.pairs import pair_indices

REACH_SIGMAS = 10
"""Pairs are looked for so many jitters, and the largest step, from where they should be."""


@dataclass(slots=True)
class _Kept:
    """The keeper, and the calibration that it began with."""

    record_id: str = ""
    keeper: DelayKeeper | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepDelay:
    """`look_s`: of tags; `record_s`: for a search of the clock. `ahead_s`: until the next look."""

    look_s: float = 2.0
    record_s: float = 3.0
    ahead_s: float = 60.0
    limits: DelayLimits = field(default_factory=DelayLimits)
    clock_keeper: ClockKeeper = field(default_factory=ClockKeeper)
    kept: _Kept = field(default_factory=_Kept)
    name: str = "keep_delay"
    meaning: str = "delays of the detectors, corrected ahead of their drift beside operation"
    needs: tuple[str, ...] = ("detector_delays",)
    valid_for_s: float = 3600.0

    def obstacle(self, bench: LinkBench) -> str | None:
        return has_one_delay(bench)

    def instruments(self, bench: LinkBench) -> tuple[str, ...]:
        return unique(*(one.tagger for one in bench.receivers))

    async def run(self, work: Work) -> Finding:
        first, second = work.bench.receivers
        keeper = self._keeper(work, first, second)
        applied_ps: dict[str, int] = {}
        for receiver in (first, second):
            for label in receiver.labels:
                found = correction_in_force(work, receiver.name, label)
                applied_ps[_name(receiver, label)] = 0 if found is None else round(found.value)
        async with paired(work, self.clock_keeper) as pairing:
            work.tell("looking at the delays", 0.1)
            await joined(pairing, self.record_s)
            together = await pairing.window(self.look_s)
        peaks = _peaks(together, first, second, self.clock_keeper.jitter_ps, self.limits.step_max_ps)
        names = [tuple(_name(one, label) for label in one.labels) for one in (first, second)]
        late = residual_delays(names[0], names[1], peaks)
        order = keeper.take(time.monotonic_ns(), applied_ps, late)
        if isinstance(order, MeasureAnew):
            raise Unfit(order.reason)
        work.tell(order.reason, 1.0)
        return self._finding(work, order, late)

    def _keeper(self, work: Work, first: Receiver, second: Receiver) -> DelayKeeper:
        record = work.known.get("detector_delays")
        if record is None:
            raise Unfit(f"no detector_delays are in force for {work.bench.link}: run detector_delays first")
        if self.kept.keeper is None or self.kept.record_id != record.record_id:
            calibrated = {
                _name(receiver, label): record.quantities[f"correction_ps.{_name(receiver, label)}"].value
                for receiver in (first, second)
                for label in receiver.labels
            }
            self.kept.keeper = DelayKeeper(calibrated, ahead_s=self.ahead_s, limits=self.limits)
            self.kept.record_id = record.record_id
        return self.kept.keeper

    def _finding(self, work: Work, order: Correct, late: dict[str, Delay]) -> Finding:
        worst = max(late.values(), key=lambda one: abs(one.value_ps))
        quantities = {"largest_residual_ps": Quantity(abs(worst.value_ps), worst.sigma_ps, "ps")}
        away = 0.0
        for name, correction_ps in order.corrections_ps.items():
            quantities[f"correction_ps.{name}"] = Quantity(float(correction_ps), order.sigmas_ps[name], "ps")
            calibrated = work.known["detector_delays"].quantities[f"correction_ps.{name}"].value
            away = max(away, abs(correction_ps - calibrated))
        return Finding(
            quantities=quantities,
            checks=(Check("largest drift since calibration", away, None, self.limits.total_max_ps, "ps"),),
        )


def _name(receiver: Receiver, label: str) -> str:
    return f"{receiver.name}.{label}"


def _peaks(
    together: Together, first: Receiver, second: Receiver, jitter_ps: int, step_ps: float
) -> dict[tuple[str, str], Delay]:
    """Where pairs of two detectors are, second minus first, of those that show any."""
    reach_ps = round(REACH_SIGMAS * jitter_ps + step_ps)
    found: dict[tuple[str, str], Delay] = {}
    for one in first.labels:
        for other in second.labels:
            mine, theirs = together.first[one], together.second[other]
            here, there = pair_indices(mine, theirs, -reach_ps, reach_ps)
            beside = (theirs[there] - mine[here]).astype(np.float64)
            try:
                fit = fit_pairs(
                    Candidates(0, np.zeros(beside.size), beside, reach_ps),
                    jitter_ps,
                    beside_ps=float(np.median(beside)) if beside.size else 0.0,
                    line=False,
                )
            except NoTiming:
                continue
            found[_name(first, one), _name(second, other)] = Delay(fit.beside_ps, fit.sigma_ps)
    return found
