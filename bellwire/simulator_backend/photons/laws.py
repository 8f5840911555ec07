"""Laws of components that are more than a number of a data sheet: phase matching, conversion, bias, overlap.

Owns closed forms (procedures.md sections 4, 6, 7; algorithms.md 11.3). Refuses states and settings: arguments
are numbers.
"""

from math import erf, exp, log, pi, sin, sqrt
from typing import Final

from bellwire.core.errors import LocalMisuse
from bellwire.core.photonics import gaussian_visibility

LIGHT_NM_PER_PS: Final = 299_792.458
"""Speed of light in vacuum."""

PLANCK_J_S: Final = 6.626_070_15e-34
"""Planck's constant, exact by the SI."""

SINC_HALF_RAD: Final = 1.391_557_378_251_510
"""sinc^2(x) = 1/2 at this x."""


def phase_matching(offset_k: float, fwhm_k: float) -> float:
    """Conversion in a crystal that is `offset_k` off its best temperature, relative to the best: sinc^2."""
    if not fwhm_k > 0.0:
        raise LocalMisuse(f"phase matching of FWHM {fwhm_k} K; it must be above 0")
    x = 2.0 * SINC_HALF_RAD * offset_k / fwhm_k
    return 1.0 if abs(x) < 1e-9 else (sin(x) / x) ** 2


def conversion_efficiency(pump_mw: float, best_pump_mw: float, peak: float) -> float:
    """Frequency conversion peak sin^2(pi/2 sqrt(P/P_max)); beyond P_max light is converted back."""
    return peak * sin(pi / 2.0 * sqrt(max(0.0, pump_mw) / best_pump_mw)) ** 2


def passband(offset_nm: float, fwhm_nm: float) -> float:
    """Transmission of a Gaussian filter, relative to its centre."""
    return exp(-4.0 * log(2.0) * (offset_nm / fwhm_nm) ** 2)


def bias_efficiency(share: float, knee: float, width: float) -> float:
    """Internal efficiency of a nanowire at `share` of its switching current: an error function that is flat
    (the plateau) well above the knee (literature: the usual fit of count rate against bias)."""
    return (1.0 + erf((share - knee) / width)) / 2.0


def photon_rate_hz(power_w: float, wavelength_nm: float) -> float:
    """Photons per second in a beam: P lambda/(h c)."""
    return power_w * wavelength_nm / (PLANCK_J_S * LIGHT_NM_PER_PS * 1e12)


def photon_power_w(rate_hz: float, wavelength_nm: float) -> float:
    """Power of so many photons per second."""
    return rate_hz * PLANCK_J_S * LIGHT_NM_PER_PS * 1e12 / wavelength_nm


def packet_overlap(
    offset_ps: float, width_a_ps: float, width_b_ps: float, wavelength_a_nm: float, wavelength_b_nm: float
) -> float:
    """|<a|b>|^2 of two Gaussian photons of intensity rms widths a and b (algorithms.md 11.3; a width of its
    own for each by the same integral).

    Equal widths give exp(-dt^2/(4 s^2)) exp(-dw^2 s^2).
    """
    mean_square = (width_a_ps**2 + width_b_ps**2) / 2.0
    product = width_a_ps * width_b_ps
    detuning_rad_per_ps = 2.0 * pi * LIGHT_NM_PER_PS * (1.0 / wavelength_a_nm - 1.0 / wavelength_b_nm)
    # gaussian_visibility knows one width: for the delay it is the rms of both, for the detuning the product
    # over that, which is passed by scaling the detuning.
    return gaussian_visibility(
        product / mean_square,
        offset_ps,
        sqrt(mean_square),
        detuning_rad_per_ns=detuning_rad_per_ps * product / mean_square,
    )


def counted_rate_hz(
    pulse_clicks: float, period_ps: float, steady_hz: float, dead_ps: float, afterpulsing: float
) -> float:
    """Expected click rate of a detector that is blind for `dead_ps` after each click (non-paralysable).

    pulse_clicks: probability of a click per pulse without dead time; period_ps: of the pulses. steady_hz: of
    everything that comes at any time. afterpulsing: chance that a click sets off another after its dead time.
    Exact for pulses alone and for steady light alone; for both together the blind shares add up. Afterpulses
    that a real click hides are counted, which matters where the rate times their delay nears one.
    """
    raw_hz = steady_hz + (pulse_clicks / period_ps * 1e12 if pulse_clicks > 0.0 else 0.0)
    if raw_hz <= 0.0:
        return 0.0
    missed = steady_hz * dead_ps * 1e-12
    if pulse_clicks > 0.0:
        missed += pulse_clicks * int(dead_ps / period_ps)
    return raw_hz / (1.0 - afterpulsing + missed)
