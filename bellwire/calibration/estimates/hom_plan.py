"""What to expect of a Hong-Ou-Mandel scan, and where to measure.

Owns the plan of procedure 3: points, order, expected width, and the limits on the visibility. Refuses fits.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from bellwire.calibration.estimates.likelihood import Floats
from bellwire.core.errors import LocalMisuse

SPEED_MM_PER_PS: Final = 0.299792458
POINTS_MIN: Final = 20
COUNTS_PER_POINT_MIN: Final = 400


def coherence_time_ps(wavelength_nm: float, bandwidth_nm: float) -> float:
    """Intensity FWHM of a transform-limited Gaussian: 0.44 lambda^2/(c dlambda), 35 ps for 0.1 nm at 1550."""
    if not (wavelength_nm > 0.0 and bandwidth_nm > 0.0):
        raise LocalMisuse(f"wavelength {wavelength_nm} nm and bandwidth {bandwidth_nm} nm must be above 0")
    exact = 2.0 * math.log(2.0) / math.pi  # 0.4413, the time-bandwidth product of a Gaussian
    return exact * wavelength_nm**2 / bandwidth_nm * 1e-6 / SPEED_MM_PER_PS


def gaussian_dip_fwhm_ps(coherence_ps: float, other_coherence_ps: float | None = None) -> float:
    """Dip FWHM of two independent pure photons: sqrt(t_1^2 + t_2^2), sqrt(2) t_c when they are equal.

    The fit's sigma is this over 2.3548, 0.60 t_c.
    """
    return math.hypot(coherence_ps, coherence_ps if other_coherence_ps is None else other_coherence_ps)


def exponential_dip_fwhm(lifetime: float) -> float:
    """Dip FWHM of two photons that decay with the same intensity lifetime: exp(-|tau|/T), 2 ln 2 T."""
    return 2.0 * math.log(2.0) * lifetime


def splitter_visibility_max(reflectivity: float, transmissivity: float) -> float:
    """V_max = 2RT/(R^2 + T^2) of a splitter of power reflectivity R and transmissivity T."""
    if not (reflectivity > 0.0 and transmissivity > 0.0):
        raise LocalMisuse(f"R = {reflectivity} and T = {transmissivity} must be above 0")
    return 2.0 * reflectivity * transmissivity / (reflectivity**2 + transmissivity**2)


def dwell_s(coincidence_rate_hz: float, counts_per_point: int = COUNTS_PER_POINT_MIN) -> float:
    """Dwell per point for the planned counts outside the dip."""
    if not coincidence_rate_hz > 0.0:
        raise LocalMisuse(
            f"a coincidence rate of {coincidence_rate_hz} per s never gives {counts_per_point} counts"
        )
    return counts_per_point / coincidence_rate_hz


def scan_points(
    centre: float, fwhm: float, generator: np.random.Generator, *, points: int = 31, widths: float = 3.0
) -> Floats:
    """Delays over +-`widths` FWHM around `centre`, closer together inside the dip, in random order.

    Half of the points lie within one FWHM of the centre: they carry the visibility; the outer half the level.
    Random order keeps a drift of the rate from looking like a dip.
    """
    if points < POINTS_MIN:
        raise LocalMisuse(f"{points} points are too few for a dip, {POINTS_MIN} are needed")
    if not (fwhm > 0.0 and widths > 1.0):
        raise LocalMisuse(f"FWHM {fwhm} must be above 0 and the range of {widths} widths above 1")
    share = np.linspace(-1.0, 1.0, points)
    inner = np.abs(share) <= 0.5
    outward = np.sign(share) * (1.0 + (np.abs(share) - 0.5) / 0.5 * (widths - 1.0))
    return np.asarray(generator.permutation(centre + fwhm * np.where(inner, 2.0 * share, outward)))
