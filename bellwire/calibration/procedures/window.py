"""The coincidence window: how wide it should be, and what the background within it is (procedure 10)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bellwire.calibration.bench import LinkBench
from bellwire.calibration.estimates.window import coincidence_window
from bellwire.calibration.pairing import merged, needs_two, paired
from bellwire.calibration.procedure import Finding, unique
from bellwire.calibration.procedures import light, pictures
from bellwire.calibration.records import Quantity
from bellwire.calibration.work import Work
from bellwire.drivers.tags.pairs import pair_indices

REACH_SIGMAS = 20
BINS_PER_SIGMA = 3.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """`record_s`: for the clock. `windows`, `window_s`: of tags whose delays are looked at."""

    record_s: float = 3.0
    windows: int = 3
    window_s: float = 1.0
    name: str = "window"
    meaning: str = "width of the coincidence window that tells pairs from accidentals best"
    needs: tuple[str, ...] = ("clock", "detector_delays")
    valid_for_s: float = 24 * 3600.0

    def obstacle(self, bench: LinkBench) -> str | None:
        return needs_two(bench)

    def instruments(self, bench: LinkBench) -> tuple[str, ...]:
        return unique(*light.instruments_of(bench), *(one.tagger for one in bench.receivers))

    async def run(self, work: Work) -> Finding:
        await light.lighten(work)
        async with paired(work) as pairing:
            work.tell("finding the clock", 0.1)
            found = await pairing.lock(self.record_s)
            bin_ps = max(1, int(found.jitter_ps / BINS_PER_SIGMA))
            half = round(REACH_SIGMAS * found.jitter_ps / bin_ps)
            edges = bin_ps * np.arange(-half, half + 1)
            counts = np.zeros(2 * half, np.int64)
            for index in range(self.windows):
                together = await pairing.window(self.window_s)
                first, second = merged(together.first), merged(together.second)
                one, other = pair_indices(first, second, int(edges[0]), int(edges[-1]) - 1)
                counts += np.histogram(second[other] - first[one], edges)[0]
                work.tell("collecting pair delays", 0.2 + 0.7 * (index + 1) / self.windows)
        best = coincidence_window(edges, counts)
        return Finding(
            quantities={
                "offset_ps": best.offset,
                "jitter_ps": best.jitter,
                "width_ps": Quantity(best.width, 0.0, "ps"),
                "accidentals": best.accidentals,
                "captured": Quantity(best.captured, 0.0),
            },
            checks=best.checks(),
            arrays={"edges_ps": edges, "counts": counts},
            draw=pictures.curves(
                {"pair delays": best.peak.curve, "figure of merit of a width": best.curve},
                title=f"Coincidence window of {work.bench.link}",
            ),
        )
