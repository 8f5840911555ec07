"""One look at the clock between two receivers beside operation: `keep_clock`.

Goes on with the clock of the last look where the pairs are still found by it, else searches it. Moves
nothing; the light of the link is on while it works.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from bellwire.calibration.bench import LinkBench
from bellwire.calibration.estimates.counting import poisson_rate
from bellwire.calibration.estimates.curves import FWHM_PER_SIGMA
from bellwire.calibration.pairing import merged, needs_two, paired
from bellwire.calibration.procedure import Finding, unique
from bellwire.calibration.records import Check, Quantity
from bellwire.calibration.trackers.clock_keeper import ClockKeeper
from bellwire.calibration.trackers.joining import joined
from bellwire.calibration.work import Work
from bellwire.drivers.tags.pairs import pair_indices

NORMAL_MEDIAN = 1.2533141373155001
"""A median of normal values errs by so much more than their mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepClock:
    """`look_s`: of tags; `record_s`: for a search. `keeper`: knows the clock of the last look."""

    look_s: float = 1.0
    record_s: float = 3.0
    keeper: ClockKeeper = field(default_factory=ClockKeeper)
    name: str = "keep_clock"
    meaning: str = "the clock between both receivers, followed beside operation"
    needs: tuple[str, ...] = ()
    valid_for_s: float = 600.0

    def obstacle(self, bench: LinkBench) -> str | None:
        return needs_two(bench)

    def instruments(self, bench: LinkBench) -> tuple[str, ...]:
        return unique(*(one.tagger for one in bench.receivers))

    async def run(self, work: Work) -> Finding:
        async with paired(work, self.keeper) as pairing:
            work.tell("looking at the clock", 0.1)
            went_on = await joined(pairing, self.record_s)
            strayed_ps = self.keeper.strayed_ps if went_on else None
            together = await pairing.window(self.look_s)
        half_ps = round(1.5 * FWHM_PER_SIGMA * self.keeper.jitter_ps)
        first, second = merged(together.first), merged(together.second)
        here, there = pair_indices(first, second, -3 * half_ps, 3 * half_ps)
        delays = second[there] - first[here]
        inside = int(np.count_nonzero(np.abs(delays) <= half_ps))
        residual_ps = float(np.median(delays)) if delays.size else float("nan")
        error_ps = NORMAL_MEDIAN * self.keeper.jitter_ps / max(inside, 1) ** 0.5
        rate_e15, sigma_e15 = self.keeper.rate_e15
        quantities = {
            "residual_ps": Quantity(residual_ps, error_ps, "ps"),
            "rate_e9": Quantity(rate_e15 / 1e6, sigma_e15 / 1e6, "ppb"),
            "pairs_hz": poisson_rate(inside, together.duration_s),
        }
        if strayed_ps is not None:
            quantities["strayed_ps"] = Quantity(float(strayed_ps), error_ps, "ps")
        return Finding(
            quantities=quantities,
            checks=(Check("residual over half the window", abs(residual_ps) / half_ps, None, 0.2),),
        )
