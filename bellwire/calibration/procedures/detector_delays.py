"""How much later one detector of a receiver tags than another: electrical delays (procedure 2, step 1).

Every detector of one receiver with every detector of the other has a peak of its own; its place is the
difference of two delays, so that one fit of all peaks gives all delays but for a common one, which is the
clock's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bellwire.calibration.bench import LinkBench, Receiver
from bellwire.calibration.estimates.likelihood import NoEstimate
from bellwire.calibration.estimates.peak import Peak, fit_peak
from bellwire.calibration.pairing import Together, has_one_delay, paired
from bellwire.calibration.procedure import Finding, Unfit, unique
from bellwire.calibration.procedures import light, pictures
from bellwire.calibration.records import Check, Quantity
from bellwire.calibration.work import Work
from bellwire.drivers.tags.pairs import pair_indices

REACH_PS = 4000
BIN_PS = 20
RESIDUAL_MAX_PS = 10.0
RESIDUAL_SIGMAS_MAX = 5.0
"""Peaks that do not fit one delay for each detector: swapped channels, or light that goes two ways."""

Places = Mapping[tuple[str, str], Peak]


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorDelays:
    """`record_s`: for the clock. `windows`, `window_s`: of tags whose delays are looked at."""

    record_s: float = 3.0
    windows: int = 4
    window_s: float = 1.0
    name: str = "detector_delays"
    meaning: str = "electrical delays of the detectors of each receiver against each other"
    needs: tuple[str, ...] = ("clock",)
    valid_for_s: float = 7 * 24 * 3600.0

    def obstacle(self, bench: LinkBench) -> str | None:
        return has_one_delay(bench)

    def instruments(self, bench: LinkBench) -> tuple[str, ...]:
        return unique(*light.instruments_of(bench), *(one.tagger for one in bench.receivers))

    async def run(self, work: Work) -> Finding:
        await light.lighten(work)
        edges = np.arange(-REACH_PS, REACH_PS + BIN_PS, BIN_PS)
        counts: dict[tuple[str, str], np.ndarray[tuple[int, ...], np.dtype[np.int64]]] = {}
        first, second = work.bench.receivers
        async with paired(work) as pairing:
            work.tell("finding the clock", 0.1)
            await pairing.lock(self.record_s)
            for index in range(self.windows):
                together = await pairing.window(self.window_s)
                work.tell("collecting pair delays", 0.2 + 0.7 * (index + 1) / self.windows)
                for one in first.labels:
                    for other in second.labels:
                        new = _histogram(together, one, other, edges)
                        counts[one, other] = counts.get((one, other), 0) + new
        peaks: dict[tuple[str, str], Peak] = {}
        for pair, histogram in counts.items():
            try:
                peaks[pair] = fit_peak(edges, histogram)
            except NoEstimate:
                continue  # polarisations that exclude each other have no peak, and others have
        known = _known(work, first), _known(work, second)
        return _finding(work, first, second, peaks, known)


def _histogram(
    together: Together, one: str, other: str, edges: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    first, second = together.first[one], together.second[other]
    here, there = pair_indices(first, second, -REACH_PS, REACH_PS)
    return np.histogram(second[there] - first[here], edges)[0]


def _known(work: Work, receiver: Receiver) -> dict[str, float]:
    """Corrections that the tags had already when the peaks were seen."""
    found = {
        one: work.quantity("detector_delays", f"correction_ps.{receiver.name}.{one}")
        for one in receiver.labels
    }
    return {label: 0.0 if one is None else round(one.value) for label, one in found.items()}


def _finding(
    work: Work,
    first: Receiver,
    second: Receiver,
    peaks: Places,
    known: tuple[dict[str, float], dict[str, float]],
) -> Finding:
    unknowns = [(first.name, label) for label in first.labels[1:]]
    unknowns += [(second.name, label) for label in second.labels[1:]]
    values, covariance, residuals = _solved(first, second, unknowns, peaks)
    quantities: dict[str, Quantity] = {}
    for receiver, before in ((first, known[0]), (second, known[1])):
        for label in receiver.labels:
            name = f"correction_ps.{receiver.name}.{label}"
            if (receiver.name, label) in unknowns:
                place = unknowns.index((receiver.name, label))
                found = before[label] - float(values[place])
                quantities[name] = Quantity(found, float(np.sqrt(covariance[place, place])), "ps")
            else:
                quantities[name] = Quantity(before[label], 0.0, "ps")
    sigmas = {pair: peak.centre.sigma for pair, peak in peaks.items()}
    weight = sum(1.0 / sigma**2 for sigma in sigmas.values())
    squares = sum((off / sigmas[pair]) ** 2 for pair, off in residuals.items())
    worst = max(abs(off) / sigmas[pair] for pair, off in residuals.items())
    return Finding(
        quantities=quantities,
        checks=(
            Check("residual of the pairs", (squares / weight) ** 0.5, None, RESIDUAL_MAX_PS, "ps"),
            Check("largest residual over its error", worst, None, RESIDUAL_SIGMAS_MAX, "sigma"),
        ),
        draw=pictures.bars(
            {name.removeprefix("correction_ps."): one for name, one in quantities.items()},
            title=f"Corrections of the detectors of {work.bench.link}",
            label="added to its tags (ps)",
        ),
    )


def _solved(
    first: Receiver, second: Receiver, unknowns: list[tuple[str, str]], peaks: Places
) -> tuple[NDArray[np.float64], NDArray[np.float64], dict[tuple[str, str], float]]:
    """Delays of `unknowns` by weighted least squares, their covariance, and what each peak is off by."""
    rows, places, sigmas = [], [], []
    for (one, other), peak in peaks.items():
        row = np.zeros(len(unknowns) + 1)
        row[-1] = 1.0  # the common delay, which is the clock's
        if (first.name, one) in unknowns:
            row[unknowns.index((first.name, one))] = -1.0
        if (second.name, other) in unknowns:
            row[unknowns.index((second.name, other))] = 1.0
        rows.append(row)
        places.append(peak.centre.value)
        sigmas.append(peak.centre.sigma)
    design, measured, sigma = np.array(rows), np.array(places), np.array(sigmas)
    if len(rows) == 0 or np.linalg.matrix_rank(design) < len(unknowns) + 1:
        seen = ", ".join(f"{one}-{other}" for one, other in peaks) or "none"
        raise Unfit(f"too few pairs of detectors show a peak ({seen}): count longer, or look at the paddles")
    weighted = design / sigma[:, None]
    covariance = np.asarray(np.linalg.inv(weighted.T @ weighted), np.float64)
    solution = covariance @ weighted.T @ (measured / sigma)
    off = {pair: float(one) for pair, one in zip(peaks, measured - design @ solution, strict=True)}
    return solution[:-1], covariance[:-1, :-1], off
