"""The temperature at which a source makes most light: coarse over the range, then fine (procedures 4, 6).

Singles are enough for it, so that it can be done before any clock is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from bellwire.calibration.bench import LinkBench
from bellwire.calibration.estimates.oven import PhaseMatching, next_temperatures, phase_matching
from bellwire.calibration.procedure import Finding, Unfit, unique
from bellwire.calibration.procedures import light, pictures
from bellwire.calibration.records import Check
from bellwire.calibration.work import Work

ROUNDS_MAX = 8
COARSE_ROUNDS = 2
STILL_MIN = 7
SETTLED_SIGMA_K = 0.015
"""How far a crystal that counts as settled still is from where it was told to be."""


POISSON = "reduced deviance"
SCATTER_MAX = 0.03
"""Rms distance of the points from the curve, over its maximum: a shape that is none is farther away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OvenScan:
    """`reach_k`: how far from the usual temperature to look. `window_s`: of the count at each temperature.

    `tolerance_c`: how near the crystal must come at last, no finer than its controller reads; `coarse_c`: in
    the first rounds, where counts belong to the temperature that is read, not to the one that was asked for.
    """

    reach_k: float = 7.0
    fwhm_k: float = 2.0
    window_s: float = 0.25
    points: int = 7
    coarse_c: float = 0.25
    tolerance_c: float = 0.06
    within_s: float = 120.0
    goal_k: float = 0.03
    resolution_k: float = 0.1
    name: str = "oven_scan"
    meaning: str = "phase matching of the source's crystal against its temperature"
    needs: tuple[str, ...] = ("darks",)
    valid_for_s: float = 7 * 24 * 3600.0

    def obstacle(self, bench: LinkBench) -> str | None:
        return (
            None if bench.source is not None and bench.source.oven is not None else "no source with an oven"
        )

    def instruments(self, bench: LinkBench) -> tuple[str, ...]:
        assert bench.source is not None
        return unique(*light.parts_of(bench.source), *(one.tagger for one in bench.receivers))

    async def run(self, work: Work) -> Finding:
        source = work.bench.source
        assert source is not None
        assert source.oven is not None
        oven = source.oven
        start_c = source.usual_temperature_c
        if start_c is None:
            start_c = await work.read_number(oven.setpoint)
        low_c = max(start_c - self.reach_k, -273.15 if oven.setpoint.low is None else oven.setpoint.low)
        high_c = min(start_c + self.reach_k, 1000.0 if oven.setpoint.high is None else oven.setpoint.high)
        await light.lighten(work)
        temperatures: list[float] = []
        counts: list[float] = []
        settled: list[bool] = []
        for index in range(ROUNDS_MAX):
            wanted = next_temperatures(
                temperatures,
                counts,
                low_c,
                high_c,
                self.fwhm_k,
                sigma_goal_k=self.goal_k,
                points=self.points,
                resolution_k=self.resolution_k,
            )
            if not wanted:
                break
            near_c = self.coarse_c if index < COARSE_ROUNDS else self.tolerance_c
            for temperature_c in sorted(wanted):  # upwards: ovens cool slowly
                before_c = await work.heat(oven, temperature_c, tolerance_c=near_c, within_s=self.within_s)
                counts.append(await self._light(work))
                # A controller shows tenths; an oven that stands still is where it was told to be.
                still = near_c <= self.tolerance_c
                after_c = await work.read_number(oven.reading)
                temperatures.append(temperature_c if still else (before_c + after_c) / 2)
                settled.append(still)
                work.tell("scanning the crystal", None, temperature_c=temperatures[-1], counts=counts[-1])
        else:
            raise Unfit(f"no maximum was pinned down in {ROUNDS_MAX} rounds of {low_c:g} to {high_c:g} C")
        # Points taken on the move find the maximum; where it is exactly is told by those that were settled.
        used = np.array(settled) if sum(settled) >= STILL_MIN else np.ones(len(counts), np.bool_)
        at, seen = np.array(temperatures)[used], np.array(counts)[used]
        order = np.argsort(at, kind="stable")
        best = phase_matching(at[order], seen[order], self.fwhm_k)
        finding = self._finding(work, best, temperatures, counts)
        setpoint_c = finding.settings[oven.setpoint]
        assert isinstance(setpoint_c, float)
        work.tell("bringing the crystal to its best temperature", 0.95, temperature_c=setpoint_c)
        await work.heat(oven, setpoint_c, tolerance_c=self.tolerance_c, within_s=self.within_s)
        return finding

    def _finding(
        self, work: Work, best: PhaseMatching, temperatures: list[float], counts: list[float]
    ) -> Finding:
        source = work.bench.source
        assert source is not None
        assert source.oven is not None
        step = self.resolution_k
        # A crystal is never quite where it was told to be, which scatters counts by more than counting does.
        scale = max(1.0, best.goodness.reduced) ** 0.5
        setpoint_c = round(round(best.temperature.value / step) * step, 6)
        return Finding(
            quantities={
                "temperature_c": replace(
                    best.temperature,
                    sigma=math.hypot(best.temperature.sigma * scale, SETTLED_SIGMA_K),
                    low=None,
                    high=None,
                ),
                "fwhm_k": best.fwhm,
                "counts_at_maximum": best.amplitude,
            },
            checks=(
                *(one for one in best.checks(hold_k=max(0.05, step / 2)) if one.quantity != POISSON),
                Check("scatter about the curve", _scatter(best), None, SCATTER_MAX),
            ),
            settings={source.oven.setpoint: setpoint_c, source.oven.heating: True},
            arrays={"temperature_c": np.array(temperatures), "counts": np.array(counts)},
            draw=pictures.curve(best.curve, title=f"Phase matching, {work.bench.link}"),
        )

    async def _light(self, work: Work) -> float:
        """Counts of all detectors in one window."""
        total = 0
        for receiver in work.bench.receivers:
            counted = await work.count(receiver, self.window_s)
            total += sum(counted.singles.get(channel, 0) for channel in receiver.channels)
        return float(total)


def _scatter(best: PhaseMatching) -> float:
    expected = np.interp(best.curve.x, best.curve.fine_x, best.curve.fitted)
    return float(np.sqrt(np.mean((best.curve.measured - expected) ** 2)) / best.curve.fitted.max())
