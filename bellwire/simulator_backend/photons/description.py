"""A bench in plain words: components with their `kind`, wires, and which components make a link.

Owns the names of kinds and the reading of plain values, as a lab file has them, into the records of this
package. Refuses files: problems come back as sentences with the place inside the description.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from typing import Any, Final

from bellwire.core.errors import ConfigError
from bellwire.core.registry import nearest
from bellwire.simulator_backend.photons.clock import Clock, PulsePerSecond
from bellwire.simulator_backend.photons.converter import Converter
from bellwire.simulator_backend.photons.heralding import (
    DoubleClickLink,
    HeraldedLink,
    MidpointSourceLink,
    SenderReceiverLink,
    SingleClickLink,
)
from bellwire.simulator_backend.photons.layout import BenchLayout, Part
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

PARTS: Final[Mapping[str, type[Any]]] = {
    "pair_source": PairSource,
    "emitter": Emitter,
    "laser": Laser,
    "fibre": Fibre,
    "delay_line": DelayLine,
    "paddles": Paddles,
    "analyser": Analyser,
    "attenuator": Attenuator,
    "filter": Filter,
    "switch": Switch,
    "beam_splitter": BeamSplitter,
    "polarising_splitter": PolarisingSplitter,
    "converter": Converter,
    "detector": Detector,
    "absorber": Absorber,
    "power_meter": PowerMeter,
    "clock": Clock,
    "pps": PulsePerSecond,
}

LINKS: Final[Mapping[str, type[Any]]] = {
    "double_click": DoubleClickLink,
    "single_click": SingleClickLink,
    "sender_receiver": SenderReceiverLink,
    "midpoint_source": MidpointSourceLink,
}


@dataclass(frozen=True, slots=True)
class OpticsDescription:
    """The hidden light of a lab: the bench, and what it means to each link by name."""

    layout: BenchLayout
    links: Mapping[str, HeraldedLink]


@dataclass(frozen=True, slots=True)
class DescriptionProblem:
    """What is wrong at a place of the description."""

    place: tuple[str, ...]
    sentence: str


def read_optics(
    components: Mapping[str, Mapping[str, Any]],
    wires: tuple[tuple[str, str], ...],
    links: Mapping[str, Mapping[str, Any]],
) -> tuple[OpticsDescription | None, list[DescriptionProblem]]:
    """The description, or None with every problem that was found."""
    problems: list[DescriptionProblem] = []
    parts: dict[str, Part] = {}
    for name, fields in components.items():
        part = _read(PARTS, fields, ("components", name), problems)
        if part is not None:
            parts[name] = part
    read: dict[str, HeraldedLink] = {}
    for name, fields in links.items():
        link = _read(LINKS, fields, ("links", name), problems)
        if link is not None:
            read[name] = link
    if problems:
        return None, problems
    layout = BenchLayout(parts, wires)
    try:
        _try(layout, read)
    except ConfigError as problem:
        return None, [DescriptionProblem((), problem.problem)]
    return OpticsDescription(layout, read), []


def _try(layout: BenchLayout, links: Mapping[str, HeraldedLink]) -> None:
    from bellwire.simulator_backend.photons.optical_bench import OpticalBench

    bench = OpticalBench(layout, 0)
    for link in links.values():
        bench.heralds(link, 0)


def _read(
    kinds: Mapping[str, type[Any]],
    fields: Mapping[str, Any],
    place: tuple[str, ...],
    problems: list[DescriptionProblem],
) -> Any:
    from pydantic import TypeAdapter, ValidationError

    kind = fields.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        known = ", ".join(kinds)
        problems.append(
            DescriptionProblem(place, f'kind "{kind}" is none of {known}{nearest(str(kind), kinds)}')
        )
        return None
    rest = {key: value for key, value in fields.items() if key != "kind"}
    known_keys = [field.name for field in dataclass_fields(kinds[kind])]
    unknown = [key for key in rest if key not in known_keys]
    for key in unknown:
        sentence = f'unknown key "{key}" of a {kind}{nearest(key, known_keys)}'
        problems.append(DescriptionProblem((*place, key), sentence))
    if unknown:
        return None
    try:
        return TypeAdapter(kinds[kind]).validate_python(rest)
    except ValidationError as wrong:
        for error in wrong.errors():
            keys = tuple(str(step) for step in error["loc"])
            problems.append(DescriptionProblem((*place, *keys), error["msg"]))
    except ConfigError as wrong:
        problems.append(DescriptionProblem(place, wrong.problem))
    return None
