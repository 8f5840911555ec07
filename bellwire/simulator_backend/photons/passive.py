"""Components that light goes through: fibre, delay line, paddles, attenuator, filter, switch, splitters.

Owns their hidden truths and what they do to light. Refuses sources, detectors and the frequency converter.
Losses are in dB of power; a Jones matrix carries amplitudes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np

from bellwire.core.errors import ConfigError
from bellwire.core.photonics import fibre_transmission
from bellwire.core.units import LIGHT_IN_FIBRE_NS_PER_KM
from bellwire.simulator_backend.photons.elements import Drift, Gauge, Knob, Passage, Plain
from bellwire.simulator_backend.photons.jones import IDENTITY, Jones, rotation, waveplate
from bellwire.simulator_backend.photons.laws import passband

PS_PER_KM = LIGHT_IN_FIBRE_NS_PER_KM * 1_000
"""Flight of light in fibre, as the protocols count it."""


def amplitude(loss_db: float) -> float:
    """Amplitude that a loss in dB leaves."""
    return sqrt(fibre_transmission(0.0, 0.0, loss_db))


def _scaled(jones: Jones, factor: float) -> Jones:
    return np.asarray(factor * jones, dtype=np.complex128)


class OneWay(Plain):
    """Base of components with one input and one output."""

    __slots__ = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("in",)

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("out",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fibre(OneWay):
    """A fibre with the weather around it.

    attenuation_db_per_km: 0.2 at 1550 nm. drift_ps_per_km_k: delay against temperature (procedures.md 1).
    swing_k, swing_period_s: amplitude and period of its temperature about the mean, a sine from the start.
    wander_rad_per_root_s: rms turn of the polarisation about each axis in one second; 0: it stands still.
    turn_rad: turn of the polarisation when the lab is built, about the axes H/V, D/A and R/L of the Poincare
    sphere, as one vector whose length is the angle.
    """

    length_km: float = 0.0
    attenuation_db_per_km: float = 0.2
    insertion_loss_db: float = 0.0
    drift_ps_per_km_k: float = 37.0
    swing_k: float = 0.0
    swing_period_s: float = 86_400.0
    wander_rad_per_root_s: float = 0.0
    turn_rad: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if self.swing_period_s <= 0.0 or self.wander_rad_per_root_s < 0.0:
            raise ConfigError(
                f"fibre: swing_period_s {self.swing_period_s} must be above 0 and wander_rad_per_root_s "
                f"{self.wander_rad_per_root_s} not below"
            )

    def delay_ps(self, drift: Drift) -> float:
        """Flight through the fibre at its present temperature."""
        return self.length_km * (PS_PER_KM + self.drift_ps_per_km_k * drift.warming_k)

    def gauges(self) -> tuple[Gauge, ...]:
        return (
            Gauge("delay_ps", "ps", "flight through the fibre", hidden=True),
            Gauge("warming_k", "K", "temperature above its mean", hidden=True),
        )

    def passages(
        self, entered: str, wavelength_nm: float, settings: Mapping[str, float], drift: Drift
    ) -> tuple[Passage, ...]:
        left = sqrt(fibre_transmission(self.length_km, self.attenuation_db_per_km, self.insertion_loss_db))
        turn = drift.turn
        if any(self.turn_rad):
            turn = np.asarray(turn @ rotation(np.array(self.turn_rad)), dtype=np.complex128)
        return (Passage("out", _scaled(turn, left), self.delay_ps(drift), wavelength_nm),)


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayLine(OneWay):
    """A motorised optical delay. position_ps: where it stands at the start; range as of an ODL-650."""

    position_ps: float = 0.0
    range_ps: float = 650.0
    insertion_loss_db: float = 1.0

    def knobs(self) -> tuple[Knob, ...]:
        return (Knob("position_ps", "ps", "delay of the line", self.position_ps, 0.0, self.range_ps),)

    def passages(
        self, entered: str, wavelength_nm: float, settings: Mapping[str, float], drift: Drift
    ) -> tuple[Passage, ...]:
        jones = _scaled(IDENTITY, amplitude(self.insertion_loss_db))
        return (Passage("out", jones, settings["position_ps"], wavelength_nm),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paddles(OneWay):
    """A polarisation controller of three waveplates, 0..170 degrees as a Thorlabs MPC320.

    retardances_waves: of the three, in the order in which light meets them; a quarter, a half and a quarter
    wave reach every turn.
    """

    angles_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    retardances_waves: tuple[float, float, float] = (0.25, 0.5, 0.25)
    insertion_loss_db: float = 0.05

    def knobs(self) -> tuple[Knob, ...]:
        return tuple(
            Knob(f"angle_{number}_deg", "deg", f"fast axis of paddle {number}", start, 0.0, 170.0)
            for number, start in enumerate(self.angles_deg, 1)
        )

    def passages(
        self, entered: str, wavelength_nm: float, settings: Mapping[str, float], drift: Drift
    ) -> tuple[Passage, ...]:
        jones = _scaled(IDENTITY, amplitude(self.insertion_loss_db))
        for number, retardance in enumerate(self.retardances_waves, 1):
            jones = waveplate(retardance, settings[f"angle_{number}_deg"]) @ jones
        return (Passage("out", jones, 0.0, wavelength_nm),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Analyser(OneWay):
    """A half-wave plate that turns polarisation in front of a splitter: at angle a, light linear at 2a comes
    out as H. angle_deg: 0 for H/V, 22.5 for D/A."""

    angle_deg: float = 0.0
    insertion_loss_db: float = 0.0

    def knobs(self) -> tuple[Knob, ...]:
        return (Knob("angle_deg", "deg", "fast axis of the half-wave plate", self.angle_deg, 0.0, 360.0),)

    def passages(
        self, entered: str, wavelength_nm: float, settings: Mapping[str, float], drift: Drift
    ) -> tuple[Passage, ...]:
        jones = _scaled(waveplate(0.5, settings["angle_deg"]), amplitude(self.insertion_loss_db))
        return (Passage("out", jones, 0.0, wavelength_nm),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attenuator(OneWay):
    """A variable attenuator. loss_db: at the start; insertion_loss_db: what it never goes below."""

    loss_db: float = 0.0
    insertion_loss_db: float = 0.0
    range_db: float = 60.0

    def knobs(self) -> tuple[Knob, ...]:
        return (
            Knob("loss_db", "dB", "attenuation above the insertion loss", self.loss_db, 0.0, self.range_db),
        )

    def passages(
        self, entered: str, wavelength_nm: float, settings: Mapping[str, float], drift: Drift
    ) -> tuple[Passage, ...]:
        jones = _scaled(IDENTITY, amplitude(self.insertion_loss_db + settings["loss_db"]))
        return (Passage("out", jones, 0.0, wavelength_nm),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter(OneWay):
    """A tunable Gaussian bandpass. centre_nm: where it stands at the start."""

    centre_nm: float = 1550.0
    fwhm_nm: float = 0.5
    insertion_loss_db: float = 0.5

    def knobs(self) -> tuple[Knob, ...]:
        return (Knob("centre_nm", "nm", "centre of the passband", self.centre_nm, 300.0, 2500.0),)

    def passages(
        self, entered: str, wavelength_nm: float, settings: Mapping[str, float], drift: Drift
    ) -> tuple[Passage, ...]:
        passed = sqrt(passband(wavelength_nm - settings["centre_nm"], self.fwhm_nm))
        jones = _scaled(IDENTITY, passed * amplitude(self.insertion_loss_db))
        return (Passage("out", jones, 0.0, wavelength_nm),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch(Plain):
    """An optical cross-connect of `ports` inputs in_1, ... and as many outputs out_1, ...

    routes: output of each input at the start, 0: dark. crosstalk_db: below the light, what leaks from an
    input into the neighbouring outputs.
    """

    ports: int = 2
    routes: tuple[int, ...] = ()
    insertion_loss_db: float = 1.0
    crosstalk_db: float = 55.0

    def __post_init__(self) -> None:
        if self.ports < 1 or len(self.routes) > self.ports:
            raise ConfigError(f"switch of {self.ports} ports with {len(self.routes)} routes")
        if any(not 0 <= route <= self.ports for route in self.routes):
            raise ConfigError(f"switch: routes {self.routes} must lie in 0..{self.ports} (0: dark)")

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(f"in_{number}" for number in range(1, self.ports + 1))

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(f"out_{number}" for number in range(1, self.ports + 1))

    def knobs(self) -> tuple[Knob, ...]:
        start = self.routes + tuple(range(len(self.routes) + 1, self.ports + 1))
        return tuple(
            Knob(
                f"route_{number}",
                "",
                f"output of input {number}, 0: dark",
                float(route),
                0.0,
                float(self.ports),
            )
            for number, route in enumerate(start, 1)
        )

    def passages(
        self, entered: str, wavelength_nm: float, settings: Mapping[str, float], drift: Drift
    ) -> tuple[Passage, ...]:
        goal = round(settings[f"route_{entered.removeprefix('in_')}"])
        if goal == 0:
            return ()
        passages = [
            Passage(f"out_{goal}", _scaled(IDENTITY, amplitude(self.insertion_loss_db)), 0.0, wavelength_nm)
        ]
        leak = _scaled(IDENTITY, amplitude(self.insertion_loss_db + self.crosstalk_db))
        passages += [
            Passage(f"out_{near}", leak, 0.0, wavelength_nm)
            for near in (goal - 1, goal + 1)
            if 1 <= near <= self.ports
        ]
        return tuple(passages)


@dataclass(frozen=True, slots=True, kw_only=True)
class BeamSplitter(Plain):
    """A splitter with inputs a, b and outputs c, d; a goes to c with `transmittance`.

    mode_match: overlap of the two beams in space, the highest HOM visibility it lets happen. A minus sign
    stands at b to d, as unitarity wants.
    """

    transmittance: float = 0.5
    mode_match: float = 1.0
    insertion_loss_db: float = 0.0

    def __post_init__(self) -> None:
        if not (0.0 <= self.transmittance <= 1.0 and 0.0 <= self.mode_match <= 1.0):
            raise ConfigError(
                f"beam splitter: transmittance {self.transmittance} and mode_match {self.mode_match} must be "
                "in 0..1"
            )

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("a", "b")

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("c", "d")

    def passages(
        self, entered: str, wavelength_nm: float, settings: Mapping[str, float], drift: Drift
    ) -> tuple[Passage, ...]:
        left = amplitude(self.insertion_loss_db)
        through, across = left * sqrt(self.transmittance), left * sqrt(1.0 - self.transmittance)
        to_c, to_d = (through, across) if entered == "a" else (across, -through)
        return (
            Passage("c", _scaled(IDENTITY, to_c), 0.0, wavelength_nm),
            Passage("d", _scaled(IDENTITY, to_d), 0.0, wavelength_nm),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PolarisingSplitter(Plain):
    """Splits `in` into h and v. extinction: power share that leaves by the wrong port (1e-3: 30 dB)."""

    extinction: float = 1e-3
    insertion_loss_db: float = 0.0

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("in",)

    @property
    def outputs(self) -> tuple[str, ...]:
        return ("h", "v")

    def passages(
        self, entered: str, wavelength_nm: float, settings: Mapping[str, float], drift: Drift
    ) -> tuple[Passage, ...]:
        left = amplitude(self.insertion_loss_db)
        right, wrong = left * sqrt(1.0 - self.extinction), left * sqrt(self.extinction)
        return (
            Passage("h", np.diag([right, wrong]).astype(np.complex128), 0.0, wavelength_nm),
            Passage("v", np.diag([-wrong, right]).astype(np.complex128), 0.0, wavelength_nm),
        )
