"""Where light comes from: pair sources, photons of memories, lasers.

Owns their hidden truths and the laws of their output. Refuses drawing photons (the samplers) and the way of
light afterwards (routes.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Final, Literal

import numpy as np

from bellwire.core.errors import ConfigError
from bellwire.simulator_backend.photons.elements import Gauge, Knob, Plain
from bellwire.simulator_backend.photons.jones import BELL_AMPLITUDES, Jones, state_of
from bellwire.simulator_backend.photons.laws import phase_matching

BellName = Literal["phi_plus", "phi_minus", "psi_plus", "psi_minus"]
BELL_NAMES: Final[tuple[BellName, ...]] = ("phi_plus", "phi_minus", "psi_plus", "psi_minus")


class Origin(Plain):
    """Base of what has no input."""

    __slots__ = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSource(Origin):
    """Spontaneous parametric down-conversion; outputs signal and idler.

    brightness_hz_per_mw: pairs per second and mW of pump at the best temperature (procedures.md 4: 1e5..1e7).
    best_oven_c, oven_fwhm_k: phase matching. period_ps: of the pump pulses; None: continuous pump.
    schmidt_number: K >= 1, spectral modes of a pulse; one photon of a pair has purity 1/K.
    entangled: Bell state of the polarisations; None: both photons have those of `polarisations`.
    intrinsic_error: e_d of algorithms.md 11.4, share of wrong correlations, white; 0..0.5.
    coupling: of one photon into its fibre, (signal, idler). photon_rms_ps: intensity rms width of a photon.
    signal_nm, idler_nm: at the best temperature; tuning_nm_per_k: signal against temperature, the idler goes
    the other way. pulse_offset_ps: of the pulses on the bench's clock.
    """

    brightness_hz_per_mw: float = 1e6
    pump_mw: float = 1.0
    oven_c: float = 40.0
    best_oven_c: float = 40.0
    oven_fwhm_k: float = 2.0
    period_ps: int | None = None
    pulse_offset_ps: float = 0.0
    schmidt_number: float = 1.0
    entangled: BellName | None = None
    polarisations: tuple[str, str] = ("H", "H")
    intrinsic_error: float = 0.0
    coupling: tuple[float, float] = (0.7, 0.7)
    photon_rms_ps: float = 15.0
    signal_nm: float = 1550.0
    idler_nm: float = 1550.0
    tuning_nm_per_k: float = 0.05
    pump_max_mw: float = 500.0

    def __post_init__(self) -> None:
        if self.entangled is not None and self.entangled not in BELL_NAMES:
            raise ConfigError(f'pair source: entangled "{self.entangled}" is none of {", ".join(BELL_NAMES)}')
        if self.schmidt_number < 1.0 or not 0.0 <= self.intrinsic_error <= 0.5:
            raise ConfigError(
                f"pair source: schmidt_number {self.schmidt_number} must be 1 or more, intrinsic_error "
                f"{self.intrinsic_error} in 0..0.5"
            )
        if min(self.coupling) < 0.0 or max(self.coupling) > 1.0:
            raise ConfigError(f"pair source: coupling {self.coupling} must lie in 0..1")
        if self.period_ps is not None and self.period_ps < 1:
            raise ConfigError(f"pair source: period_ps {self.period_ps} must be 1 or more")
        if self.entangled is None and self.intrinsic_error > 0.0:
            raise ConfigError("pair source: intrinsic_error needs an entangled state")
        for letter in self.polarisations:
            state_of(letter)

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("signal", "idler")

    def knobs(self) -> tuple[Knob, ...]:
        return (
            Knob("pump_mw", "mW", "pump power", self.pump_mw, 0.0, self.pump_max_mw),
            Knob("oven_c", "degC", "temperature of the crystal", self.oven_c, 0.0, 200.0),
        )

    def gauges(self) -> tuple[Gauge, ...]:
        return (
            Gauge("pair_rate_hz", "Hz", "pairs that are made", hidden=True),
            Gauge("pairs_per_pulse", "", "mean pairs per pulse; 0 under a continuous pump", hidden=True),
        )

    def pair_rate_hz(self, settings: Mapping[str, float]) -> float:
        """Pairs per second."""
        matched = phase_matching(settings["oven_c"] - self.best_oven_c, self.oven_fwhm_k)
        return self.brightness_hz_per_mw * settings["pump_mw"] * matched

    def pairs_per_pulse(self, settings: Mapping[str, float]) -> float:
        """Mean pairs per pulse; 0 under a continuous pump."""
        return 0.0 if self.period_ps is None else self.pair_rate_hz(settings) * self.period_ps * 1e-12

    def wavelength_nm(self, output: str, settings: Mapping[str, float]) -> float:
        """Of the photons of one output."""
        shift_nm = self.tuning_nm_per_k * (settings["oven_c"] - self.best_oven_c)
        return self.signal_nm + shift_nm if output == "signal" else self.idler_nm - shift_nm

    def coupling_amplitude(self, output: str) -> float:
        """Amplitude of a photon in the fibre of that output."""
        return sqrt(self.coupling[0 if output == "signal" else 1])

    def amplitudes(self) -> Jones:
        """psi[i, j] of signal i and idler j in (H, V), norm one."""
        if self.entangled is not None:
            return BELL_AMPLITUDES[BELL_NAMES.index(self.entangled)]
        signal, idler = (state_of(letter) for letter in self.polarisations)
        return np.asarray(np.outer(signal, idler), dtype=np.complex128)

    def error_weights(self) -> tuple[float, float, float, float]:
        """Chances of I, Z, X, Y on the signal of a pulse: white noise of w = 1 - 2 e_d."""
        each = self.intrinsic_error / 2.0
        return (1.0 - 3.0 * each, each, each, each)


@dataclass(frozen=True, slots=True, kw_only=True)
class Emitter(Origin):
    """A memory that emits one photon per attempt, with its polarisation entangled with the qubit:
    (|0 H> + |1 V>)/sqrt 2; output `out`.

    emission: photon in the fibre per attempt, 0..1, at full excitation. polarisation: of all photons, for
    links whose qubit is the presence of a photon; None: entangled as above. lifetime_ps: of the exponential
    packet. coherence: T2/(2 T1), HOM visibility of two equal packets at no delay. period_ps: of attempts.
    """

    emission: float = 0.5
    polarisation: str | None = None
    lifetime_ps: float = 10_000.0
    coherence: float = 1.0
    period_ps: int = 10_000_000
    pulse_offset_ps: float = 0.0
    wavelength_nm: float = 1550.0

    def __post_init__(self) -> None:
        if not (0.0 <= self.emission <= 1.0 and 0.0 < self.coherence <= 1.0 and self.lifetime_ps > 0.0):
            raise ConfigError(
                f"emitter: emission {self.emission} in 0..1, coherence {self.coherence} in 0..1 and not 0, "
                f"lifetime_ps {self.lifetime_ps} above 0"
            )
        if self.polarisation is not None:
            state_of(self.polarisation)

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("out",)

    def knobs(self) -> tuple[Knob, ...]:
        return (Knob("excitation", "", "share of attempts that excite the memory", 1.0, 0.0, 1.0),)

    def states(self) -> tuple[Jones, ...]:
        """Polarisations that its photons have, in equal shares when the qubit is not looked at."""
        if self.polarisation is None:
            return (state_of("H"), state_of("V"))
        return (state_of(self.polarisation),)

    def emitted(self, settings: Mapping[str, float]) -> float:
        """Probability of a photon in the fibre per attempt."""
        return self.emission * settings["excitation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Laser(Origin):
    """Coherent light, continuous or in short pulses; output `out`. It does not interfere with photons of
    other sources."""

    power_w: float = 0.0
    power_max_w: float = 1.0
    wavelength_nm: float = 1550.0
    polarisation: str = "H"
    period_ps: int | None = None
    pulse_offset_ps: float = 0.0

    def __post_init__(self) -> None:
        state_of(self.polarisation)

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("out",)

    def knobs(self) -> tuple[Knob, ...]:
        return (Knob("power_w", "W", "mean power", self.power_w, 0.0, self.power_max_w),)
