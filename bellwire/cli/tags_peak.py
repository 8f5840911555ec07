"""The peak of a delay histogram, for tables and pictures of time tags.

Owns the bins' limits and the curve of the picture. Refuses the fit (bellwire.calibration.estimates.peak).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bellwire.calibration.estimates.peak import Peak


@dataclass(frozen=True, slots=True)
class DrawnPeak:
    """A peak and its curve over the bins, shape (n,)."""

    peak: "Peak"
    fitted: "NDArray[np.float64]"


def peak_of(edges_ps: "NDArray[np.int64]", counts: "NDArray[np.int64]") -> DrawnPeak | None:
    """The highest peak; edges of shape (n + 1,) in whole ps, counts of shape (n,). None: there is none.

    A bin holds the whole delays from its lower edge to before its upper one, so that its true limits are
    half a ps below both.
    """
    from bellwire.calibration.estimates.curves import gaussian_bins
    from bellwire.calibration.estimates.likelihood import NoEstimate
    from bellwire.calibration.estimates.peak import MINIMUM_BINS, fit_peak

    if len(counts) < MINIMUM_BINS:
        return None
    limits = edges_ps.astype("float64") - 0.5
    try:
        found = fit_peak(limits, counts)
    except NoEstimate:
        return None
    share = gaussian_bins(limits, found.centre.value, found.sigma.value)
    return DrawnPeak(found, found.counts.value * share + found.background.value)


def told_peak(found: DrawnPeak) -> dict[str, float]:
    """A peak as JSON has it."""
    peak = found.peak
    return {
        "at_ps": float(peak.centre.value),
        "at_sigma_ps": float(peak.centre.sigma),
        "sigma_ps": float(peak.sigma.value),
        "sigma_sigma_ps": float(peak.sigma.sigma),
        "fwhm_ps": float(peak.fwhm.value),
        "pairs": float(peak.counts.value),
        "pairs_sigma": float(peak.counts.sigma),
        "background_per_bin": float(peak.background.value),
    }
