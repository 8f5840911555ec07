"""What every component of a bench tells about itself: ports, knobs, gauges, and what it does to light.

Owns these words. Refuses physics: each kind of component has its own file.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from bellwire.simulator_backend.photons.jones import IDENTITY, Jones


class Knob(NamedTuple):
    """A setting that an instrument can turn.

    name: without its component, unit last. start: its value when the lab is built. low, high: the range that
    the hardware has; beyond it nothing turns.
    """

    name: str
    unit: str
    meaning: str
    start: float
    low: float
    high: float


class Gauge(NamedTuple):
    """A number that an instrument or a test can read. hidden: no instrument shows it, it is the truth."""

    name: str
    unit: str
    meaning: str
    hidden: bool = False


class Passage(NamedTuple):
    """What happens to light from one input of a component to one of its outputs.

    jones: amplitudes, loss included. delay_ps: group delay. wavelength_nm: of the light afterwards.
    """

    output: str
    jones: Jones
    delay_ps: float
    wavelength_nm: float


class Drift(NamedTuple):
    """What the surroundings do to a component at one moment. warming_k: above its mean temperature.
    turn: of the polarisation since the lab was built."""

    warming_k: float = 0.0
    turn: Jones = IDENTITY


class Plain:
    """Base of components: no knobs and no gauges but those that a component names."""

    __slots__ = ()

    def knobs(self) -> tuple[Knob, ...]:
        return ()

    def gauges(self) -> tuple[Gauge, ...]:
        return ()


class Component(Protocol):
    """A thing on the bench. `inputs` and `outputs` are names of its ports."""

    @property
    def inputs(self) -> tuple[str, ...]: ...
    @property
    def outputs(self) -> tuple[str, ...]: ...
    def knobs(self) -> tuple[Knob, ...]: ...
    def gauges(self) -> tuple[Gauge, ...]: ...


class PassiveComponent(Component, Protocol):
    """A component through which light goes."""

    def passages(
        self, entered: str, wavelength_nm: float, settings: Mapping[str, float], drift: Drift
    ) -> tuple[Passage, ...]:
        """Where light of that wavelength goes that enters at port `entered`; absent outputs: nowhere."""
        ...
