"""A bench at one moment: settings, weather, and the samplers and arms that follow from them.

Owns the settings, and what is derived from them until one changes. Refuses time-keeping of turns
(tag_stream.py) and names that a user may misspell (optical_bench.py checks those).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from numpy.random import SeedSequence

from bellwire.simulator_backend.photons.arms import Arm, arm_of
from bellwire.simulator_backend.photons.converter import Converter
from bellwire.simulator_backend.photons.elements import Drift
from bellwire.simulator_backend.photons.layout import BenchLayout, Source
from bellwire.simulator_backend.photons.passive import BeamSplitter, Fibre
from bellwire.simulator_backend.photons.routes import Route, Tracer, source_outputs
from bellwire.simulator_backend.photons.sinks import Absorber, Detector
from bellwire.simulator_backend.photons.sources import Emitter, Laser, PairSource
from bellwire.simulator_backend.photons.weather import Weather

T = TypeVar("T")


class Optics:
    """One moment of a bench. `step` is the number of the drift step that holds."""

    def __init__(self, layout: BenchLayout, seed: SeedSequence) -> None:
        self.parts = dict(layout.components)
        self._joined = layout.joined()
        self.settings: dict[str, dict[str, float]] = {
            name: {knob.name: knob.start for knob in part.knobs()} for name, part in self.parts.items()
        }
        fibres = {name: part for name, part in self.parts.items() if isinstance(part, Fibre)}
        self.weather = Weather(fibres, seed)
        self.step = 0
        self.latched: set[str] = set()
        self._derived: dict[object, object] = {}

    def detectors(self) -> dict[str, Detector]:
        """Detectors by name, in the order of the layout."""
        return {name: part for name, part in self.parts.items() if isinstance(part, Detector)}

    def sources(self) -> dict[str, Source]:
        """Sources by name."""
        return {
            name: part for name, part in self.parts.items() if isinstance(part, (PairSource, Emitter, Laser))
        }

    def turn(self, part: str, knob: str, value: float) -> None:
        """Set a knob. A detector whose bias goes below its retrapping current is no longer latched."""
        self.settings[part][knob] = value
        detector = self.parts[part]
        if isinstance(detector, Detector):
            if detector.switches(self.settings[part]):
                self.latched.add(part)
            elif self.settings[part]["bias_ua"] < detector.retrap_ua:
                self.latched.discard(part)
        self._derived.clear()

    def latch(self, detector: str) -> None:
        """It gives no clicks any more."""
        self.latched.add(detector)
        self._derived.clear()

    def at_age(self, age_ns: int) -> None:
        """Let the surroundings be those of that time after the building of the bench."""
        step = self.weather.step(age_ns)
        if step > self.step:
            self.step = step
            self._derived.clear()

    def derived(self, key: object, make: Callable[[], T]) -> T:
        """`make()`, remembered under `key` until a setting or the weather changes."""
        if key not in self._derived:
            self._derived[key] = make()
        return self._derived[key]  # type: ignore[return-value] # one key, one maker

    def drift(self, name: str) -> Drift:
        """Of a component now."""
        return self.weather.drift(name, self.step)

    def routes(self, name: str, output: str) -> list[Route]:
        """Ways of light from an output of a source or converter."""

        def trace() -> list[Route]:
            part = self.parts[name]
            if isinstance(part, Converter):
                wavelength_nm = part.output_nm
            else:
                assert isinstance(part, (PairSource, Emitter, Laser))
                wavelength_nm = source_outputs(part, self.settings[name])[output]
            return Tracer(self.parts, self._joined, self.settings, self.drift).routes(
                (name, output), wavelength_nm
            )

        return self.derived(("routes", name, output), trace)

    def efficiency(self, end: str) -> float:
        """From a photon at a detector or receiving memory to its click."""
        part = self.parts[end]
        if isinstance(part, Absorber):
            return part.efficiency
        assert isinstance(part, Detector)
        return 0.0 if end in self.latched else part.present_efficiency(self.settings[end])

    def dark_hz(self, end: str) -> float:
        """Clicks at an end with no light from sources: darks, and noise of converters that reaches it."""

        def add() -> float:
            part = self.parts[end]
            if isinstance(part, Absorber):
                dark = part.dark_hz
            else:
                assert isinstance(part, Detector)
                dark = 0.0 if end in self.latched else part.present_dark_hz(self.settings[end])
            return dark + sum(self._noise_hz(name, end) for name in self.parts)

        return self.derived(("dark", end), add)

    def _noise_hz(self, name: str, end: str) -> float:
        part = self.parts[name]
        if not isinstance(part, Converter):
            return 0.0
        noise = self.arm(name, "out").click_operator(end)
        return part.noise_rate_hz(self.settings[name]) * float(noise.trace().real) / 2.0

    def arm(self, name: str, output: str) -> Arm:
        """The light of one output, to every detector and receiving memory."""

        def make() -> Arm:
            part = self.parts[name]
            coupling = part.coupling_amplitude(output) if isinstance(part, PairSource) else 1.0
            efficiencies = {
                end: self.efficiency(end)
                for end, sink in self.parts.items()
                if isinstance(sink, (Detector, Absorber))
            }
            return arm_of(name, output, coupling, self.routes(name, output), efficiencies)

        return self.derived(("arm", name, output), make)

    def mode_match(self, splitter: str) -> float:
        """Overlap in space at a beam splitter."""
        part = self.parts[splitter]
        assert isinstance(part, BeamSplitter)
        return part.mode_match
