"""Detectors and electronics of an emulated WebSQ: bias, trigger levels, counts.

Owns what is between a click of the World and a count: the bias that flows, the height of a pulse against
the trigger level, noise that crosses a level set too low, and the voltage at the bias input, by which a
latched detector is known. Whether a detector clicks, or has latched, is the World's: tags of the channel
`1`, gauges `rate_hz.1` and `latched.1`. Turns the knobs `bias_ua.1`. Refuses the dialect.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bellwire.simulator_backend.devices.surroundings import Wiring

BIAS_UA = (-90.9, 90.9)
TRIGGER_MV = (-1000.0, 1000.0)
BIAS_START_UA = 10.0
TRIGGER_START_MV = 50.0
PULSE_MV_PER_UA = 10.0
NOISE_MV = 4.0
NOISE_HZ = 1e8
COUNTER_HZ = 2e7
"""What a counter of the controller can count at most."""
LATCHED_KOHM = 10.0
SERIES_KOHM = 0.1
SEARCH_STEP_UA, SEARCH_MOST_UA = 0.5, 30.0


def noise_crossings_hz(level_mv: float) -> float:
    """How often Gaussian noise crosses a level upwards: f0 exp(-v^2/2 sigma^2) (Rice 1944)."""
    return NOISE_HZ * math.exp(-(level_mv**2) / (2 * NOISE_MV**2))


def seen_share(height_mv: float, level_mv: float) -> float:
    """Share of pulses of a height that pass a trigger level, with the noise of the amplifier on them."""
    return 0.5 * math.erfc((level_mv - height_mv) / (math.sqrt(2) * NOISE_MV))


class WebSqDetectors:
    """Detectors 1 to `count`, rows indexed from 0. Starts without bias."""

    def __init__(self, wiring: Wiring, count: int, seed: int) -> None:
        self._wiring = wiring
        self._seed = seed
        self.count = count
        self.enabled = False
        self.bias_ua = [BIAS_START_UA] * count
        self.trigger_mv = [TRIGGER_START_MV] * count
        self._begun_ns: int | None = None
        self._sums = [0] * count

    def fits(self, row: Any, limits: tuple[float, float]) -> bool:
        """Whether something is a number for each detector, within limits."""
        return (
            isinstance(row, list)
            and len(row) == self.count
            and all(isinstance(one, int | float) and not isinstance(one, bool) for one in row)
            and all(limits[0] <= one <= limits[1] for one in row)
        )

    def set_bias(self, bias_ua: Sequence[float], now_ns: int) -> None:
        """Set all bias currents; they flow while enabled."""
        self._settle(now_ns)
        self.bias_ua = [float(one) for one in bias_ua]
        self._flow(now_ns)

    def enable(self, on: bool, now_ns: int) -> None:
        """Let the bias flow, or not."""
        self._settle(now_ns)
        self.enabled = on
        self._flow(now_ns)

    def set_trigger(self, trigger_mv: Sequence[float], now_ns: int) -> None:
        """Set all trigger levels."""
        self._settle(now_ns)
        self.trigger_mv = [float(one) for one in trigger_mv]

    def begin(self, now_ns: int) -> None:
        """Count from now on."""
        self._begun_ns, self._sums = now_ns, [0] * self.count

    def end(self, now_ns: int) -> list[int]:
        """Counts since the beginning, each click under the settings of its time; and count on."""
        self._settle(now_ns)
        sums, self._sums = self._sums, [0] * self.count
        return sums

    def _settle(self, now_ns: int) -> None:
        if self._begun_ns is not None and now_ns > self._begun_ns:
            found = self.counts(self._begun_ns, now_ns)
            self._sums = [before + one for before, one in zip(self._sums, found, strict=True)]
            self._begun_ns = now_ns

    def bias_voltage_mv(self, now_ns: int) -> list[float]:
        """Voltage at each bias input: of the leads, or of a detector that is a resistor."""
        return [
            round(flowing_ua * (LATCHED_KOHM if self._latched(index, now_ns) else SERIES_KOHM), 3)
            for index, flowing_ua in enumerate(self._flowing())
        ]

    def counts(self, start_ns: int, stop_ns: int) -> list[int]:
        """Counts of each detector in [start, stop), under the present settings."""
        import numpy as np

        _, channels = self._wiring.tags([f"{k + 1}" for k in range(self.count)], start_ns, stop_ns)
        clicks = np.bincount(channels, minlength=self.count)
        chance = np.random.default_rng([self._seed, start_ns])
        period_s = (stop_ns - start_ns) / 1e9
        found: list[int] = []
        for index, flowing_ua in enumerate(self._flowing()):
            level_mv = self.trigger_mv[index]
            pulses = 0
            if flowing_ua > 0.0:
                share = seen_share(PULSE_MV_PER_UA * flowing_ua, level_mv)
                pulses = int(chance.binomial(int(clicks[index]), share))
            noise = int(chance.poisson(noise_crossings_hz(level_mv) * period_s))
            found.append(min(pulses + noise, int(COUNTER_HZ * period_s)))
        return found

    def search(self, dark_counts: Sequence[float], period_s: float, now_ns: int) -> list[float]:
        """The highest bias of each detector at which it has not more dark counts in a period; set when
        found.
        """
        found = [self._highest(index, wanted / period_s, now_ns) for index, wanted in enumerate(dark_counts)]
        self.set_bias(found, now_ns)
        return found

    def _highest(self, index: int, rate_max_hz: float, now_ns: int) -> float:
        best_ua = 0.0
        for step in range(1, int(SEARCH_MOST_UA / SEARCH_STEP_UA) + 1):
            self._wiring.turn(f"bias_ua.{index + 1}", step * SEARCH_STEP_UA, now_ns)
            if (
                self._latched(index, now_ns)
                or self._wiring.gauge(f"rate_hz.{index + 1}", now_ns) > rate_max_hz
            ):
                break
            best_ua = step * SEARCH_STEP_UA
        self._wiring.turn(f"bias_ua.{index + 1}", 0.0, now_ns)  # a detector that has latched recovers
        return best_ua

    def _latched(self, index: int, now_ns: int) -> bool:
        return self._wiring.gauge(f"latched.{index + 1}", now_ns) > 0.0

    def _flowing(self) -> list[float]:
        return [one if self.enabled else 0.0 for one in self.bias_ua]

    def _flow(self, now_ns: int) -> None:
        for index, flowing_ua in enumerate(self._flowing()):
            self._wiring.turn(f"bias_ua.{index + 1}", flowing_ua, now_ns)
