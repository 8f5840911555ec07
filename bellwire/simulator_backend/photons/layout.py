"""The plain description of an optical bench: components by name, and which port is joined to which.

Owns the check that the description makes sense. Refuses physics and files: whoever reads a lab file builds
this record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from bellwire.core.errors import ConfigError
from bellwire.core.registry import nearest
from bellwire.simulator_backend.photons.clock import Clock, PulsePerSecond
from bellwire.simulator_backend.photons.converter import Converter
from bellwire.simulator_backend.photons.passive import (
    Analyser,
    Attenuator,
    BeamSplitter,
    DelayLine,
    Fibre,
    Filter,
    Paddles,
    PolarisingSplitter,
    Switch,
)
from bellwire.simulator_backend.photons.sinks import Absorber, Detector, PowerMeter
from bellwire.simulator_backend.photons.sources import Emitter, Laser, PairSource

Source: TypeAlias = PairSource | Emitter | Laser
Sink: TypeAlias = Detector | Absorber | PowerMeter
Passive: TypeAlias = (
    Fibre
    | DelayLine
    | Paddles
    | Analyser
    | Attenuator
    | Filter
    | Switch
    | BeamSplitter
    | PolarisingSplitter
    | Converter
)
Keeper: TypeAlias = Clock | PulsePerSecond
Part: TypeAlias = Source | Sink | Passive | Keeper
Port: TypeAlias = tuple[str, str]
"""Component and port."""


@dataclass(frozen=True, slots=True)
class BenchLayout:
    """Components by name, and wires as (from, to).

    An end of a wire is `component.port`, or `component` alone where it has one such port. An output without a
    wire loses its light; every port has at most one wire; light never returns to where it was.
    """

    components: Mapping[str, Part]
    wires: tuple[tuple[str, str], ...]

    def joined(self) -> dict[Port, Port]:
        """Input port at which light of an output port arrives.

        Raises:
            ConfigError: an unknown name, a port used twice, a loop, or two detectors of one channel.
        """
        joined: dict[Port, Port] = {}
        entered: set[Port] = set()
        for start, goal in self.wires:
            leaving, arriving = self._port(start, output=True), self._port(goal, output=False)
            if leaving in joined:
                raise ConfigError(
                    f'wires: output "{start}" is joined twice; put a splitter or switch behind it'
                )
            if arriving in entered:
                raise ConfigError(
                    f'wires: input "{goal}" is joined twice; put a splitter or switch before it'
                )
            joined[leaving] = arriving
            entered.add(arriving)
        self._refuse_loops(joined)
        self._refuse_shared_channels()
        return joined

    def _port(self, text: str, *, output: bool) -> Port:
        name, _, port = text.partition(".")
        if name not in self.components:
            raise ConfigError(f'wires: unknown component "{name}"{nearest(name, self.components)}')
        part = self.components[name]
        ports = part.outputs if output else part.inputs
        kind = "output" if output else "input"
        if not port and len(ports) == 1:
            return name, ports[0]
        if port not in ports:
            raise ConfigError(f'wires: "{name}" has no {kind} "{port}"{nearest(port, ports)}')
        return name, port

    def _refuse_loops(self, joined: Mapping[Port, Port]) -> None:
        behind: dict[str, set[str]] = {}
        for (start, _), (goal, _) in joined.items():
            behind.setdefault(start, set()).add(goal)
        done: set[str] = set()
        for name in self.components:
            _visit(name, behind, done, [])

    def _refuse_shared_channels(self) -> None:
        channels: dict[int, str] = {}
        for name, part in self.components.items():
            if isinstance(part, Detector):
                other = channels.setdefault(part.channel, name)
                if other != name:
                    raise ConfigError(f'detectors "{other}" and "{name}" both have channel {part.channel}')


def _visit(name: str, behind: Mapping[str, Iterable[str]], done: set[str], trail: list[str]) -> None:
    if name in trail:
        raise ConfigError(f"wires: light goes in a loop: {' -> '.join([*trail, name])}")
    if name in done:
        return
    for after in sorted(behind.get(name, ())):
        _visit(after, behind, done, [*trail, name])
    done.add(name)
