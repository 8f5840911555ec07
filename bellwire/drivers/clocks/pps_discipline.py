"""From the captures of a PPS to a clock: a line of the length that the oscillator allows, with sigma and
validity.

Owns the model by kind of clock: a locked one has its offset as the only unknown, one in an oven gets a line
over +-20 s, quartz over +-4 s, because a longer line follows its wander worse than a shorter one follows
the jitter of the PPS. A capture more than 5 sigma beside the line is rejected. The sigma holds what the
jitter leaves, what the oscillator wanders within the fit (from the covariance of its random walk), the step
of the counter, and the calibration of the cable. Refuses too few seconds, and whoever asks far beyond them.

PPS gives labels and attempt numbers; photons that must meet within 0.1 ns need a shared clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.clocks.clock_kinds import MODELS, ClockKind, ClockNoise
from bellwire.drivers.clocks.clock_offset import ClockOffset
from bellwire.drivers.clocks.pps_labels import SECOND_FS, PpsCapture, sift
from bellwire.drivers.clocks.refusals import NoTiming

Floats = NDArray[np.float64]

RESIDUAL_MAX: Final = 5.0
EXTRAPOLATED_S: Final = 2
"""So far beyond the last capture (and before the first) a line is believed."""
GENEROUS: Final = 10
"""Jitters that the test of intervals allows, before a line shows what is beside it."""


@dataclass(frozen=True, slots=True)
class PpsSettings:
    """What is known of one node's PPS and its clock.

    `jitter_ps` of one edge (1 sigma) and `tick_fs` of the counter that captures it; `cable_ps` is the delay
    of cable and electronics from the reference to the input, calibrated to `cable_sigma_ps`. `half_s` and
    `noise` (None: as `kind` has them) are for clocks that were measured.
    """

    kind: ClockKind
    tick_fs: int
    jitter_ps: int
    cable_ps: int = 0
    cable_sigma_ps: int = 0
    half_s: int | None = None
    noise: ClockNoise | None = None

    def __post_init__(self) -> None:
        if self.tick_fs < 1 or self.jitter_ps < 1 or self.cable_sigma_ps < 0:
            raise LocalMisuse(f"tick and jitter are positive: {self}")


@dataclass(frozen=True, slots=True)
class PpsFit:
    """The clock, and what was left out: `strange` and `missing` seconds, `rejected` beside the line.

    `residual_ps`: rms of what was kept beside the line. `used`: captures in the fit.
    """

    clock: ClockOffset
    used: int
    strange: int
    missing: int
    rejected: int
    residual_ps: int


def fit_pps(
    captures: Sequence[PpsCapture], settings: PpsSettings, *, epoch: int, second: int, count_from_s: int
) -> PpsFit:
    """The clock about unix second `second`: tagger's ps to ps since unix second `count_from_s`.

    Takes the captures within the half length of the fit on either side; half length 0 interpolates between
    `second` and the next. Raises NoTiming.
    """
    model = MODELS[settings.kind]
    half_s = model.fit_half_s if settings.half_s is None else settings.half_s
    until = second + max(half_s, 1)
    near = [one for one in captures if second - half_s <= one.second <= until]
    sifted = sift(
        near, settings.tick_fs, model.rate_limit_e15, GENEROUS * settings.jitter_ps * 1000 + settings.tick_fs
    )
    kept = list(sifted.captures)
    line = model.line or half_s == 0
    step_ps = settings.tick_fs / 1000 / sqrt(12)
    expected_ps = sqrt(settings.jitter_ps**2 + step_ps**2)
    noise = model.noise if settings.noise is None else settings.noise
    rejected = 0
    while True:
        if len(kept) < 2:
            raise NoTiming(
                f"{len(kept)} usable PPS about {second} ({sifted.strange} strange, {rejected} rejected): "
                "look at the cable, the receiver and the host's time"
            )
        fit = _Line.through(kept, settings.tick_fs, second, line)
        beside = np.abs(fit.beside_ps)
        worst = int(np.argmax(beside))
        # The wander is no outlier: what it may carry a capture away in the fit is allowed.
        allowed = sqrt(expected_ps**2 + _wander(fit.seconds, fit.seconds[worst], line, noise))
        if half_s == 0 or beside[worst] <= RESIDUAL_MAX * allowed:
            break
        del kept[worst]
        rejected += 1
    residual = float(np.sqrt(np.mean(fit.beside_ps**2)))
    clock = _as_clock(fit, kept, settings, noise, epoch, second, count_from_s)
    return PpsFit(clock, len(kept), sifted.strange, sifted.missing, rejected, round(residual))


@dataclass(frozen=True, slots=True)
class _Line:
    """`seconds` since the second asked for, shape (n,), and `beside_ps` of each capture, shape (n,).

    `middle_s` after that second the counter stood at `base_fs` + `middle_s` + `level_ps`, gaining
    `rate_ps_per_s`; without `line` that is taken as none.
    """

    seconds: Floats
    beside_ps: Floats
    base_fs: int
    middle_s: float
    level_ps: float
    rate_ps_per_s: float
    line: bool

    @classmethod
    def through(cls, kept: list[PpsCapture], tick_fs: int, second: int, line: bool) -> _Line:
        """Least squares about the first capture, where differences are exact."""
        first = kept[0]
        seconds = np.array([one.second - second for one in kept], dtype=np.float64)
        gained = np.array(
            [
                ((one.ticks - first.ticks) * tick_fs - (one.second - first.second) * SECOND_FS) / 1000
                for one in kept
            ]
        )
        middle = float(seconds.mean())
        rate = 0.0
        if line:
            away = seconds - middle
            rate = float(away @ gained / (away @ away))
        level = float(gained.mean())
        base = first.ticks * tick_fs - (first.second - second) * SECOND_FS
        return cls(seconds, gained - level - rate * (seconds - middle), base, middle, level, rate, line)


def _weights(seconds: Floats, at_s: float, line: bool) -> Floats:
    """Of each capture in the value of the fit at `at_s`."""
    weights = np.full(seconds.size, 1 / seconds.size)
    if line:
        away = seconds - seconds.mean()
        weights = weights + away * ((at_s - seconds.mean()) / (away @ away))
    return weights


def _wander(seconds: Floats, at_s: float, line: bool, noise: ClockNoise) -> float:
    """Variance in ps^2, by the oscillator's walks, of the fit at `at_s` against the clock itself there.

    Covariances about that time: min(s, t) q1 and s^2 (3 t - s) q2 / 6 (s < t) on one side, none across.
    """
    away = seconds - at_s
    s = np.minimum.outer(np.abs(away), np.abs(away))
    t = np.maximum.outer(np.abs(away), np.abs(away))
    same = np.multiply.outer(np.sign(away), np.sign(away)) > 0
    covariance = np.where(
        same, noise.offset_ps2_per_s * s + noise.rate_ps2_per_s3 * s**2 * (3 * t - s) / 6, 0.0
    )
    weights = _weights(seconds, at_s, line)
    return float(weights @ covariance @ weights)


def _as_clock(
    fit: _Line,
    kept: list[PpsCapture],
    settings: PpsSettings,
    noise: ClockNoise,
    epoch: int,
    second: int,
    count_from_s: int,
) -> ClockOffset:
    n = fit.seconds.size
    free = n - (2 if fit.line else 1)
    tick_ps = settings.tick_fs / 1000
    capture_ps2 = settings.jitter_ps**2 + tick_ps**2 / 12
    if free >= 3:  # a PPS that is worse than it was said to be shows it
        capture_ps2 = max(capture_ps2, float(fit.beside_ps @ fit.beside_ps) / free)
    variance = capture_ps2 / n + _wander(fit.seconds, fit.middle_s, fit.line, noise)
    # A locked counter captures every edge at the same place within its tick: no fit averages that away.
    variance += tick_ps**2 / 12 + settings.cable_sigma_ps**2
    rate_variance = 0.0
    if fit.line:
        away = fit.seconds - fit.middle_s
        rate_variance = capture_ps2 / float(away @ away) + noise.of_fit(float(np.ptp(away)) * 1e12)[1]
    middle_ps = round(fit.middle_s * 10**12)
    at_ps = fit.base_fs // 1000 + middle_ps + round(fit.level_ps)
    first_ps, last_ps = (one.ticks * settings.tick_fs // 1000 for one in (kept[0], kept[-1]))
    gained = fit.rate_ps_per_s
    return ClockOffset(
        epoch=epoch,
        reference_epoch=count_from_s,
        at_ps=at_ps,
        # the edge came to the input when the second was `cable_ps` old
        offset_ps=(second - count_from_s) * 10**12 + middle_ps - at_ps + settings.cable_ps,
        rate_e15=round(-gained * 1000 / (1 + gained / 1e12)),
        sigma_ps=max(1, round(sqrt(variance))),
        sigma_rate_e15=round(sqrt(rate_variance) * 1000),
        walk_fs=noise.walk_fs,
        wander_e15=noise.wander_e15,
        fitted_from_ps=min(first_ps, at_ps),
        fitted_until_ps=max(last_ps, at_ps),
        valid_from_ps=first_ps - EXTRAPOLATED_S * 10**12,
        valid_until_ps=last_ps + EXTRAPOLATED_S * 10**12,
    )
