"""Whether photons come one at a time: g2(0) of an arm behind a splitter, heralded by the other and not.

Owns procedure 4, step 6, from counts, and what several pairs at once explain of them. Refuses tags.

With N1 heralds, N12 and N13 of them with a click in either port, and both ports lit at R2 and R3 clicks/s
whatever the herald, pairs that follow each other by chance (continuous pump) leave

    N123 = N12 R3 w + N13 R2 w - N1 R2 R3 w^2

triples within a window w of the herald: one port by the twin of the herald and the other by chance, or both
by chance; a single photon never takes both. More than that is light that is no pair, crosstalk, afterpulses.
"""

from __future__ import annotations

from dataclasses import dataclass

from bellwire.calibration.estimates.counting import poisson_distance, poisson_rate, product
from bellwire.calibration.estimates.likelihood import NoEstimate
from bellwire.calibration.estimates.source_point import heralded_g2
from bellwire.calibration.records import Check, Quantity
from bellwire.core.errors import LocalMisuse

G2_MAX = 0.1
SIGMAS_MAX = 4.0


@dataclass(frozen=True, slots=True)
class HeraldedCounts:
    """Of one arm behind a splitter, within a window of full width `window_s` around heralds of the other.

    `triples`: pairs of clicks in both ports at one herald. `singles_*`: of the ports in `duration_s`.
    """

    duration_s: float
    window_s: float
    heralds: int
    with_first: int
    with_second: int
    triples: int
    singles_first: int
    singles_second: int

    def by_chance(self) -> float:
        """Triples that pairs at once explain."""
        first, second = (
            one / self.duration_s * self.window_s for one in (self.singles_first, self.singles_second)
        )
        return self.with_first * second + self.with_second * first - self.heralds * first * second


@dataclass(frozen=True, slots=True)
class HeraldedStatistics:
    """`g2`: as counted, with its exact interval. `by_pairs`: what several pairs at once leave. `excess_z`:
    triples above that, in sigma."""

    g2: Quantity
    by_pairs: Quantity
    excess_z: float

    def checks(self, name: str) -> tuple[Check, ...]:
        """The upper end below 0.1 (procedure 4), and no more than pairs explain."""
        return (
            Check(f"heralded g2(0) of {name}, upper end", self.g2.interval[1], None, G2_MAX),
            Check(
                f"triples of {name} above those of several pairs", self.excess_z, None, SIGMAS_MAX, "sigma"
            ),
        )


def heralded_statistics(counts: HeraldedCounts) -> HeraldedStatistics:
    """Raises NoEstimate without twofold coincidences."""
    if not (counts.duration_s > 0.0 and counts.window_s > 0.0):
        raise LocalMisuse("heralded counts need a duration and a window, each above 0")
    seen = heralded_g2(counts.heralds, counts.with_first, counts.with_second, counts.triples).g2
    expected = counts.by_chance()
    scale = counts.heralds / (counts.with_first * counts.with_second)
    # Both terms carry a twofold count and a single one; the smaller twofold count has most of the error.
    relative = (1.0 / counts.with_first + 1.0 / counts.with_second) ** 0.5
    variance = sum(1.0 / max(one, 1) for one in (counts.singles_first, counts.singles_second))
    return HeraldedStatistics(
        seen,
        Quantity(scale * expected, scale * expected * relative),
        poisson_distance(counts.triples, expected, relative**2 + variance),
    )


def unheralded_g2(together: int, beside: int, windows: int) -> Quantity:
    """g2 of one arm behind a splitter, averaged over the window: coincidences of both ports over those in
    `windows` windows of the same width away from it. Raises NoEstimate where there are none.
    """
    if windows < 1:
        raise LocalMisuse(f"{windows} windows to compare with: 1 or more")
    if beside == 0:
        raise NoEstimate("no coincidences away from the peak: count longer, or widen the window")
    return product([(poisson_rate(together, 1.0), 1), (poisson_rate(beside, 1.0), -1)], scale=float(windows))
