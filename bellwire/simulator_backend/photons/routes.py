"""Every way that light can take from an output of a source to where it ends.

Owns the walk along the wires at one setting of the knobs. Refuses detectors' efficiency and what photons do
when they meet: a route is what happens to light that is alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from bellwire.core.errors import LocalMisuse
from bellwire.simulator_backend.photons.clock import Clock, PulsePerSecond
from bellwire.simulator_backend.photons.elements import Drift
from bellwire.simulator_backend.photons.jones import IDENTITY, Jones
from bellwire.simulator_backend.photons.layout import Part, Port, Source
from bellwire.simulator_backend.photons.passive import BeamSplitter
from bellwire.simulator_backend.photons.sinks import Absorber, Detector, PowerMeter
from bellwire.simulator_backend.photons.sources import Emitter, Laser, PairSource

Settings: TypeAlias = Mapping[str, Mapping[str, float]]
"""Knob values by component."""

ROUTES_MAX = 256
"""Ways of one output; a bench of splitters behind splitters has 2 to the power of their number."""

DIMMEST_AMPLITUDE = 1e-8
"""Light below this (160 dB) is dropped, e.g. leaks of leaks."""


@dataclass(frozen=True, slots=True)
class Route:
    """One way from an output to a sink.

    jones: amplitudes of (H, V). delay_ps: flight. wavelength_nm: at the end. splitters: the beam splitters on
    the way, with the port of entrance.
    """

    sink: str
    jones: Jones
    delay_ps: float
    wavelength_nm: float
    splitters: tuple[Port, ...]


class Tracer:
    """Walks the wires of one bench at one setting."""

    def __init__(
        self,
        parts: Mapping[str, Part],
        joined: Mapping[Port, Port],
        settings: Settings,
        drift: Callable[[str], Drift],
    ) -> None:
        self._parts = parts
        self._joined = joined
        self._settings = settings
        self._drift = drift

    def routes(self, start: Port, wavelength_nm: float) -> list[Route]:
        """All ways from an output port. One sink may be reached by several.

        Raises:
            LocalMisuse: more than ROUTES_MAX ways.
        """
        found: list[Route] = []
        self._follow(start, Route("", IDENTITY, 0.0, wavelength_nm, ()), found)
        return found

    def _follow(self, leaving: Port, light: Route, found: list[Route]) -> None:
        arriving = self._joined.get(leaving)
        if arriving is None:
            return
        name, port = arriving
        part = self._parts[name]
        if isinstance(part, (Detector, Absorber, PowerMeter)):
            if len(found) >= ROUTES_MAX:
                raise LocalMisuse(f"more than {ROUTES_MAX} ways of light; use fewer splitters and switches")
            found.append(Route(name, light.jones, light.delay_ps, light.wavelength_nm, light.splitters))
            return
        assert not isinstance(part, (PairSource, Emitter, Laser, Clock, PulsePerSecond)), "it has no input"
        splitters = (*light.splitters, arriving) if isinstance(part, BeamSplitter) else light.splitters
        for passage in part.passages(port, light.wavelength_nm, self._settings[name], self._drift(name)):
            jones = np.asarray(passage.jones @ light.jones, dtype=np.complex128)
            if np.max(np.abs(jones)) < DIMMEST_AMPLITUDE:
                continue
            ahead = Route("", jones, light.delay_ps + passage.delay_ps, passage.wavelength_nm, splitters)
            self._follow((name, passage.output), ahead, found)


def source_outputs(source: Source, settings: Mapping[str, float]) -> dict[str, float]:
    """Wavelength in nm at each output of a source."""
    if isinstance(source, PairSource):
        return {output: source.wavelength_nm(output, settings) for output in source.outputs}
    return {"out": source.wavelength_nm}
