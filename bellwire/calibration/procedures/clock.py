"""The clock of the second receiver against the first: found from nothing, refined, looked at for a while.

Procedure 1, steps 3 to 5. The offset is that of two streams and ends with them; what stays is the rate, the
jitter of a pair, and that the clock can be found and followed. How well it is followed is how little the
pairs of two detectors, those with the most, move against it from look to look: where they stand against those
of the others is a matter of cables and fronts, which is another procedure's to find.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from bellwire.calibration.bench import LinkBench
from bellwire.calibration.estimates.counting import poisson_rate
from bellwire.calibration.estimates.curves import FWHM_PER_SIGMA
from bellwire.calibration.pairing import Pairing, Times, Together, merged, needs_two, paired
from bellwire.calibration.procedure import Finding, unique
from bellwire.calibration.procedures import light, pictures
from bellwire.calibration.records import Check, Quantity
from bellwire.calibration.work import Work
from bellwire.drivers.tags.pairs import pair_indices

SIGNIFICANCE_MIN = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """`record_s`: of tags for the search. `looks`, `look_s`: windows in which it is followed afterwards, two
    at least."""

    record_s: float = 3.0
    looks: int = 4
    look_s: float = 0.5
    name: str = "clock"
    meaning: str = "offset and rate between the clocks of both receivers, and the jitter of a pair"
    needs: tuple[str, ...] = ("oven_scan",)
    valid_for_s: float = 3600.0

    def obstacle(self, bench: LinkBench) -> str | None:
        return needs_two(bench)

    def instruments(self, bench: LinkBench) -> tuple[str, ...]:
        return unique(*light.instruments_of(bench), *(one.tagger for one in bench.receivers))

    async def run(self, work: Work) -> Finding:
        await light.lighten(work)
        async with paired(work) as pairing:
            work.tell("searching the clock", 0.1)
            found = await pairing.lock(self.record_s)
            clock, coarse = found.clock, pairing.coarse
            assert coarse is not None
            work.tell("following the clock", 0.6, rate_e9=clock.rate_e15 / 1e6, jitter_ps=found.jitter_ps)
            looks = await self._follow(pairing)
        half_window_ps = 1.5 * FWHM_PER_SIGMA * found.jitter_ps
        reach_ps = round(3 * half_window_ps)
        here, there = _clearest(looks, round(half_window_ps))
        residuals = [_centre(_delays(look.first[here], look.second[there], reach_ps)) for look in looks]
        residual_ps = float(np.std(residuals, ddof=1))
        pairs = sum(one.all_pairs(-round(half_window_ps), round(half_window_ps)) for one in looks)
        duration_s = sum(one.duration_s for one in looks)
        return Finding(
            quantities={
                "rate_e9": Quantity(clock.rate_e15 / 1e6, clock.sigma_rate_e15 / 1e6, "ppb"),
                "jitter_ps": Quantity(found.jitter_ps, found.sigma_jitter_ps, "ps"),
                "pairs_hz": poisson_rate(pairs, duration_s),
                "residual_ps": Quantity(residual_ps, residual_ps / (2 * (len(residuals) - 1)) ** 0.5, "ps"),
                "offset_ps": Quantity(float(clock.offset_ps), float(clock.sigma_ps), "ps"),
            },
            checks=(
                Check("significance", coarse.significance, max(SIGNIFICANCE_MIN, coarse.threshold)),
                Check("residual over half the window", residual_ps / half_window_ps, None, 0.2),
            ),
            draw=pictures.histogram(
                _delays(merged(looks[-1].first), merged(looks[-1].second), reach_ps),
                title=f"Pair delays of {work.bench.link} behind the clock",
                label="delay (ps)",
            ),
        )

    async def _follow(self, pairing: Pairing) -> list[Together]:
        """Looks, one after the other, with the clock brought up to date in each."""
        found: list[Together] = []
        for _ in range(self.looks):
            found.append(await pairing.window(self.look_s))
        return found


def _centre(delays: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> float:
    """Where the middle pair lies, which accidentals on both sides do not move."""
    return float(np.median(delays)) if delays.size else float("nan")


def _clearest(looks: Sequence[Together], half_ps: int) -> tuple[str, str]:
    """The detectors, one of each receiver, with the most pairs within +-`half_ps`."""

    def pairs(names: tuple[str, str]) -> int:
        return sum(look.pairs(*names, -half_ps, half_ps) for look in looks)

    return max(product(looks[0].first, looks[0].second), key=pairs)


def _delays(first: Times, second: Times, reach_ps: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    one, other = pair_indices(first, second, -reach_ps, reach_ps)
    return second[other] - first[one]
