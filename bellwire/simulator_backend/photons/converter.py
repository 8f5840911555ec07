"""A quantum frequency converter: efficiency and noise against pump power, oven and filter.

Owns its hidden truth (procedures.md section 6). Refuses the laws themselves (laws.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np

from bellwire.simulator_backend.photons.elements import Drift, Gauge, Knob, Passage
from bellwire.simulator_backend.photons.jones import IDENTITY
from bellwire.simulator_backend.photons.laws import conversion_efficiency, passband, phase_matching
from bellwire.simulator_backend.photons.passive import OneWay


@dataclass(frozen=True, slots=True, kw_only=True)
class Converter(OneWay):
    """Adds a pump photon to what comes, or takes one off. Defaults after Strassmann 2019 (arXiv 1902.02728):
    580 to 1541 nm, 67 % inside the crystal and 46 % of the device at 250 mW.

    output_nm: of light that comes at input_nm; other light stays as far from it in frequency as it was. None:
    whatever comes is converted to output_nm. best_pump_mw, peak_efficiency: inside the crystal.
    device_efficiency: coupling and filter at its centre.
    noise_hz, noise_hz_per_mw: photons at the output, d + alpha P, in the passband of the filter.
    best_oven_c, oven_fwhm_k: phase matching. filter_nm, filter_fwhm_nm: passband behind the crystal.
    pump_mw, oven_c, filter_start_nm: settings at the start (None: the filter stands at output_nm).
    """

    output_nm: float = 1541.0
    input_nm: float | None = None
    best_pump_mw: float = 250.0
    peak_efficiency: float = 0.67
    device_efficiency: float = 0.69
    noise_hz: float = 10.0
    noise_hz_per_mw: float = 2.0
    best_oven_c: float = 50.0
    oven_fwhm_k: float = 1.5
    filter_fwhm_nm: float = 0.5
    pump_mw: float = 250.0
    oven_c: float = 50.0
    filter_start_nm: float | None = None

    def knobs(self) -> tuple[Knob, ...]:
        start_nm = self.output_nm if self.filter_start_nm is None else self.filter_start_nm
        return (
            Knob("pump_mw", "mW", "pump power in the crystal", self.pump_mw, 0.0, 5_000.0),
            Knob("oven_c", "degC", "temperature of the crystal", self.oven_c, 0.0, 200.0),
            Knob("filter_nm", "nm", "centre of the filter behind the crystal", start_nm, 300.0, 2500.0),
        )

    def gauges(self) -> tuple[Gauge, ...]:
        return (
            Gauge("efficiency", "", "of the whole device", hidden=True),
            Gauge("noise_hz", "Hz", "noise photons at the output", hidden=True),
        )

    def converted_nm(self, wavelength_nm: float) -> float | None:
        """Wavelength of converted light; None: no light has the energy that would be left."""
        if self.input_nm is None:
            return self.output_nm
        per_nm = 1.0 / wavelength_nm - 1.0 / self.input_nm + 1.0 / self.output_nm
        return 1.0 / per_nm if per_nm > 0.0 else None

    def efficiency(self, settings: Mapping[str, float], wavelength_nm: float | None = None) -> float:
        """From a photon at the input to a converted one at the output, 0..1.

        wavelength_nm: of the converted light; None: output_nm.
        """
        converted_nm = self.output_nm if wavelength_nm is None else wavelength_nm
        return (
            conversion_efficiency(settings["pump_mw"], self.best_pump_mw, self.peak_efficiency)
            * phase_matching(settings["oven_c"] - self.best_oven_c, self.oven_fwhm_k)
            * self.device_efficiency
            * passband(converted_nm - settings["filter_nm"], self.filter_fwhm_nm)
        )

    def noise_rate_hz(self, settings: Mapping[str, float]) -> float:
        """Noise photons at the output: n = d + alpha P. The noise is broad, so that the filter's place does
        not change it."""
        return self.noise_hz + self.noise_hz_per_mw * settings["pump_mw"]

    def passages(
        self, entered: str, wavelength_nm: float, settings: Mapping[str, float], drift: Drift
    ) -> tuple[Passage, ...]:
        converted_nm = self.converted_nm(wavelength_nm)
        if converted_nm is None:
            return ()
        jones = np.asarray(sqrt(self.efficiency(settings, converted_nm)) * IDENTITY, dtype=np.complex128)
        return (Passage("out", jones, 0.0, converted_nm),)
