"""Arrival times of several detectors against one start: what to correct electrically, and as optical path.

Owns procedure 2, steps 1 and 2. Refuses to move anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bellwire.calibration.estimates.counting import weighted_sum
from bellwire.calibration.estimates.peak import Peak, fit_peak
from bellwire.calibration.records import Check, Quantity
from bellwire.core.errors import LocalMisuse

FREE_SPACE_MM_PER_PS: Final = 0.299792458
FIBRE_GROUP_INDEX: Final = 1.468
RESIDUAL_MAX_PS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Delays:
    """`arrivals`: peak of each detector, ps. `corrections`: to ADD to each input delay, ps, so that all peaks
    meet that of `reference`."""

    reference: str
    arrivals: Mapping[str, Peak]
    corrections: Mapping[str, Quantity]

    def checks(self, *, residual_max_ps: float = RESIDUAL_MAX_PS) -> tuple[Check, ...]:
        """Peaks coincide to 10 ps (procedure 2); of a measurement made with the corrections applied."""
        return tuple(
            Check(f"residual delay of {name}", abs(found.value), None, residual_max_ps, "ps")
            for name, found in self.corrections.items()
        )


def align(histograms: Mapping[str, tuple[object, object]], reference: str) -> Delays:
    """`histograms`: detector to (edges in ps, counts) against a common start."""
    if reference not in histograms or len(histograms) < 2:
        raise LocalMisuse(f"{reference!r} must be one of at least two detectors, given: {sorted(histograms)}")
    peaks = {name: fit_peak(edges, counts) for name, (edges, counts) in histograms.items()}
    goal = peaks[reference].centre
    corrections = {
        name: weighted_sum([(1.0, goal), (-1.0, peak.centre)], unit="ps")
        for name, peak in peaks.items()
        if name != reference
    }
    return Delays(reference, peaks, corrections)


def path_mm(delay_ps: Quantity, *, group_index: float = 1.0) -> Quantity:
    """The optical path of a delay: dL = c dt / n. 0.2998 mm/ps in free space, 0.2042 in fibre."""
    scale = FREE_SPACE_MM_PER_PS / group_index
    return weighted_sum([(scale, delay_ps)], unit="mm")


def optical_checks(
    residual: Quantity, dip_width: float, position: float, range_low: float, range_high: float
) -> tuple[Check, ...]:
    """Residual below 0.1 of the dip width; the line not within 5 % of its range ends (procedure 2)."""
    place = (position - range_low) / (range_high - range_low)
    return (
        Check("optical residual over dip width", abs(residual.value) / dip_width, None, 0.1),
        Check("place in the range of the line", place, 0.05, 0.95),
    )
