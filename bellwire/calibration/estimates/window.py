"""The coincidence window: offset, jitter and background of pair delays, and the width that tells most.

Owns procedure 10. Refuses tags: a histogram of delays comes in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bellwire.calibration.estimates.curves import Curve, peaked_bins
from bellwire.calibration.estimates.peak import Peak, fit_peak
from bellwire.calibration.records import Check, Quantity


@dataclass(frozen=True, slots=True)
class CoincidenceWindow:
    """All times in the unit of the edges. `width`: full width; `starting_width`: 3 x FWHM.

    `captured`: share of the pairs inside `width`. `accidentals`: expected inside it, in this measurement.
    `figure`: (C - A)/sqrt(C) there. `curve`: the figure against the width.
    """

    offset: Quantity
    jitter: Quantity
    background: Quantity
    width: float
    starting_width: float
    captured: float
    accidentals: Quantity
    figure: float
    bin_width: float
    peak: Peak
    curve: Curve

    def checks(self) -> tuple[Check, ...]:
        """Bins of at most a third of the jitter, a peak as of jitters, most pairs captured (procedure 10)."""
        return (
            Check("bin over jitter", self.bin_width / self.jitter.value, None, 1.0 / 3.0),
            self.peak.goodness.check(0.5, 1.5),
            Check("share of pairs in the window", self.captured, 0.75, None),
        )


def coincidence_window(edges: object, counts: object, *, unit: str = "ps") -> CoincidenceWindow:
    """Fit the histogram and take the width with the largest (C - A)/sqrt(C), at most 3 x FWHM.

    Without background the figure still rises beyond any width that matters; 3 x FWHM holds 99.96 %.
    """
    peak = fit_peak(edges, counts, unit=unit, mixed=True)
    span = np.asarray(edges, dtype=np.float64)
    bin_width = float(np.mean(np.diff(span)))
    density = peak.background.value / bin_width
    sigma, pairs = peak.sigma.value, peak.counts.value

    def captured(width: float) -> float:
        half = np.array([-width / 2.0, width / 2.0])
        return float(peaked_bins(half, 0.0, sigma, peak.kurtosis)[0])

    def figure(width: float) -> float:
        signal = pairs * captured(width)
        return signal / math.sqrt(signal + density * width)

    widest = 3.0 * peak.fwhm.value
    # The maximum is flat: steps of a thousandth of the widest window lose nothing.
    widths = widest * np.arange(1, 1001) / 1000.0
    width = float(widths[int(np.argmax([figure(float(w)) for w in widths]))])
    inside = density * width
    grid = np.linspace(0.2 * sigma, 1.3 * widest, 120)
    around = np.abs((span[:-1] + span[1:]) / 2.0 - peak.centre.value)
    measured = np.asarray(counts, dtype=np.float64)
    steps = np.linspace(sigma, 1.2 * widest, 12)
    inner = np.array([float(measured[around <= step / 2.0].sum()) for step in steps])
    net = inner - density * steps
    return CoincidenceWindow(
        peak.centre,
        peak.sigma,
        peak.background,
        width,
        widest,
        captured(width),
        Quantity(inside, inside * peak.background.sigma / max(peak.background.value, 1e-300)),
        figure(width),
        bin_width,
        peak,
        Curve(
            steps,
            net / np.sqrt(np.maximum(inner, 1.0)),
            np.ones_like(steps),
            grid,
            np.array([figure(float(value)) for value in grid]),
            f"window ({unit})",
            "(C - A) / sqrt(C)",
        ),
    )
