"""What a link is worth: error rates in two bases and the fidelity that they leave (procedure 9), and how
often an attempt gives a pair, as such a link is planned (estimates/attempt_of_pairs.py)."""

from __future__ import annotations

from dataclasses import dataclass

from bellwire.calibration.bench import LinkBench
from bellwire.calibration.estimates.attempt_of_pairs import attempt_probability
from bellwire.calibration.estimates.counting import poisson_rate
from bellwire.calibration.estimates.link_quality import link_quality
from bellwire.calibration.pair_counts import (
    basis_counts,
    bell_index,
    cannot_compare,
    pair_totals,
    window_in_force,
)
from bellwire.calibration.pairing import Together, paired
from bellwire.calibration.procedure import Finding, unique
from bellwire.calibration.procedures import light, pictures
from bellwire.calibration.standing import SUCCESS_PROBABILITY
from bellwire.calibration.work import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkQualityCheck:
    """`windows`, `window_s`: of tags; `record_s`: for the clock. Nothing is moved but the light."""

    windows: int = 4
    window_s: float = 1.0
    record_s: float = 3.0
    name: str = "link_quality"
    meaning: str = "error rates in two bases, the fidelity they leave, and the success of an attempt"
    needs: tuple[str, ...] = ("clock", "window", "polarisation")
    valid_for_s: float = 3600.0

    def obstacle(self, bench: LinkBench) -> str | None:
        return cannot_compare(bench)

    def instruments(self, bench: LinkBench) -> tuple[str, ...]:
        return unique(*light.instruments_of(bench), *(one.tagger for one in bench.receivers))

    async def run(self, work: Work) -> Finding:
        await light.lighten(work)
        window = window_in_force(work)
        looks: list[Together] = []
        async with paired(work) as pairing:
            work.tell("finding the clock", 0.1)
            await pairing.lock(self.record_s)
            for index in range(self.windows):
                looks.append(await pairing.window(self.window_s))
                work.tell("counting pairs", 0.2 + 0.8 * (index + 1) / self.windows)
        counts = {basis: basis_counts(window, looks, basis) for basis in ("x", "z")}
        found = link_quality(counts["x"], counts["z"], bell_index=bell_index(work.bench.entangled))
        duration_s = sum(one.duration_s for one in looks)
        totals = pair_totals(work, window, looks)
        quantities = {f"error_{basis}": one for basis, one in found.errors.items()}
        quantities |= {f"visibility_{basis}": one for basis, one in found.visibilities.items()}
        if work.bench.pairs_per_attempt is not None:
            quantities[SUCCESS_PROBABILITY] = attempt_probability(totals, work.bench.pairs_per_attempt)
        return Finding(
            quantities=quantities
            | {
                # What two bases prove, and what plans may count on: the fidelity is not below it.
                "fidelity": found.fidelity_bound,
                "coincidences_hz": poisson_rate(totals.coincidences, duration_s),
            },
            checks=found.checks(),
            draw=pictures.bars(
                {f"error in {basis.upper()}": one for basis, one in found.errors.items()},
                title=f"Error rates of {work.bench.link}",
                label="share of wrong pairs",
                line=0.11,
            ),
        )
