"""Where light ends: single-photon detectors, receiving memories, power meters.

Owns their hidden truths and their laws against bias. Refuses dead time, jitter and what else happens to
clicks in time (clicks.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp

from bellwire.core.errors import ConfigError
from bellwire.simulator_backend.photons.elements import Gauge, Knob, Plain
from bellwire.simulator_backend.photons.laws import bias_efficiency

USUAL_BIAS_SHARE = 0.9
"""Of the switching current: where dark_hz of a detector holds (procedures.md 7: 90 to 95 %)."""


class End(Plain):
    """Base of what has no output."""

    __slots__ = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("in",)

    @property
    def outputs(self) -> tuple[str, ...]:
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector(End):
    """A single-photon detector with its electronics. Defaults: an SNSPD (procedures.md section 7).

    efficiency: on the plateau. knee, knee_width: of the efficiency against bias, in shares of switching_ua.
    dark_hz: at 0.9 of the switching current; it grows by e for each dark_scale of that share.
    jitter_fwhm_ps: Gaussian. dead_ps: after each click, not prolonged by what comes meanwhile.
    afterpulsing: chance that a click sets off another one; afterpulse_ps: mean of its exponential delay after
    the dead time. latch_rate_hz: the detector latches when that many clicks a second came during
    latch_window_ps; also when the bias passes switching_ua. It stays silent until the bias was below
    retrap_ua. latency_ps: of its cable and electronics. channel: in the tags.
    """

    channel: int
    efficiency: float = 0.85
    switching_ua: float = 20.0
    bias_ua: float = 18.0
    knee: float = 0.7
    knee_width: float = 0.1
    dark_hz: float = 50.0
    dark_scale: float = 0.03
    jitter_fwhm_ps: float = 50.0
    dead_ps: float = 50_000.0
    afterpulsing: float = 0.0
    afterpulse_ps: float = 1_000_000.0
    latch_rate_hz: float = 15e6
    latch_window_ps: float = 1e9
    retrap_ua: float = 2.0
    latency_ps: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.channel <= 127:
            raise ConfigError(f"detector: channel {self.channel} is outside 0..127")
        if not (0.0 <= self.efficiency <= 1.0 and 0.0 <= self.afterpulsing < 1.0):
            raise ConfigError(
                f"detector: efficiency {self.efficiency}, afterpulsing {self.afterpulsing} must be in 0..1"
            )
        if min(self.dark_hz, self.jitter_fwhm_ps, self.dead_ps, self.latency_ps) < 0.0:
            raise ConfigError("detector: dark_hz, jitter_fwhm_ps, dead_ps and latency_ps must not be below 0")
        if min(self.afterpulse_ps, self.latch_rate_hz * self.latch_window_ps * 1e-12 - 1.0) <= 0.0:
            raise ConfigError("detector: afterpulse_ps above 0, and more than one click per latch_window_ps")

    def knobs(self) -> tuple[Knob, ...]:
        return (Knob("bias_ua", "uA", "bias current", self.bias_ua, 0.0, 2.0 * self.switching_ua),)

    def gauges(self) -> tuple[Gauge, ...]:
        return (
            Gauge("count_hz", "Hz", "expected click rate, dead time and afterpulses included"),
            Gauge("latched", "", "1: silent until the bias is reset"),
            Gauge("efficiency", "", "at this bias", hidden=True),
            Gauge("dark_hz", "Hz", "dark counts at this bias", hidden=True),
        )

    def present_efficiency(self, settings: Mapping[str, float]) -> float:
        """From a photon at the detector to a click, 0..1, at the present bias."""
        share = settings["bias_ua"] / self.switching_ua
        return self.efficiency * bias_efficiency(share, self.knee, self.knee_width)

    def present_dark_hz(self, settings: Mapping[str, float]) -> float:
        """Dark counts at the present bias; none without bias."""
        share = settings["bias_ua"] / self.switching_ua
        return self.dark_hz * exp((share - USUAL_BIAS_SHARE) / self.dark_scale) if share > 0.0 else 0.0

    def switches(self, settings: Mapping[str, float]) -> bool:
        """The bias alone drives it out of superconduction."""
        return settings["bias_ua"] > self.switching_ua


@dataclass(frozen=True, slots=True, kw_only=True)
class Absorber(End):
    """A memory that stores a photon and heralds it.

    efficiency: stored and noticed. dark_hz: false heralds while it listens; window_ns: how long it listens
    per attempt.
    """

    efficiency: float = 0.5
    dark_hz: float = 0.0
    window_ns: float = 100.0

    def gauges(self) -> tuple[Gauge, ...]:
        return (Gauge("photon_hz", "Hz", "photons that reach it", hidden=True),)


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerMeter(End):
    """Shows the power that reaches it. zero_w: what it shows in the dark; response: what it shows of one watt
    more, which its calibration does not know."""

    zero_w: float = 0.0
    response: float = 1.0

    def __post_init__(self) -> None:
        if not self.response > 0.0:
            raise ConfigError(f"power meter: response {self.response} must be above 0")

    def gauges(self) -> tuple[Gauge, ...]:
        return (Gauge("power_w", "W", "power on the sensor"),)
