"""The equipment of a machine beyond the instruments that make pairs: lasers, ovens, detectors, delay lines.

Owns the sections and the settings that they become. Refuses drivers' tables: whether a driver has a
parameter is asked by crosscheck.py.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr

from bellwire.core.ids import NodeId
from bellwire.labs.sections import Name, Section

SettingValue = StrictBool | StrictInt | StrictFloat | StrictStr


class Equipment(Section):
    """One instrument, as its driver knows it. A real one is addressed as its maker says; `pty:NAME` is
    emulated.
    """

    driver: str
    address: str
    serial_number: int | str | None = None  # None: any instrument of the right kind is accepted
    emulated: bool = False
    settings: dict[str, SettingValue] = Field(
        default_factory=dict
    )  # parameters that are asserted at each connection
    # the heralds of a station count only while it is ready
    vital: bool = True
    # emulated only: which knob, gauge or channel of `optics` stands for a word of the device
    wiring: dict[str, str] = Field(default_factory=dict)


class PairSource(Section):
    """A photon-pair source of a pump laser and an oven."""

    kind: Literal["pair_source"]
    pump: Name
    oven: Name
    pump_value: float  # in the unit of the pump: mW, or mA of a current laser
    crystal_temperature_c: float


class Converter(Section):
    """A frequency converter of a pump laser, an amplifier perhaps, and an oven."""

    kind: Literal["frequency_converter"]
    pump: Name
    amplifier: Name | None = None
    oven: Name
    pump_value: float  # of the last stage: mW, or mA where it is set by its current
    seed_mw: float | None = None  # of the pump where an amplifier follows; null: as it is
    crystal_temperature_c: float


class AnalyserOptics(Section):
    """What stands around a heralding station's electronics."""

    kind: Literal["bsa_station"]
    detectors: Name
    tagger: Name | None = None
    delay: Name | None = None
    polarization: tuple[Name, ...] = ()
    switch: Name | None = None


Composite = PairSource | Converter | AnalyserOptics


@dataclass(frozen=True, slots=True, kw_only=True)
class EquipmentSettings:
    """One piece of equipment as hosts get it."""

    owner: NodeId
    name: str
    driver: str
    address: str
    serial_number: str | None
    emulated: bool
    vital: bool
    settings: Mapping[str, bool | int | float | str] = field(
        default_factory=dict[str, bool | int | float | str]
    )
    wiring: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def full_name(self) -> str:
        """The name that is unique in the lab."""
        return f"{self.owner}-{self.name}"


def equipment_settings(owner: NodeId, sections: Mapping[str, Equipment]) -> Iterator[EquipmentSettings]:
    """The equipment of one machine."""
    for name, section in sections.items():
        number = section.serial_number
        yield EquipmentSettings(
            owner=owner,
            name=name,
            driver=section.driver,
            address=section.address,
            serial_number=None if number is None else str(number),
            emulated=section.emulated,
            vital=section.vital,
            settings=dict(section.settings),
            wiring=dict(section.wiring),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CompositeSettings:
    """Several pieces of equipment that are one thing. `parts`: names of equipment by place; `values`: what
    the thing is set to, in the units of their keys.
    """

    owner: NodeId
    name: str
    kind: Literal["pair_source", "frequency_converter", "bsa_station"]
    parts: Mapping[str, tuple[str, ...]]
    values: Mapping[str, float]


def parts_of(composite: Composite) -> dict[str, tuple[str, ...]]:
    """Names of the equipment in each place of a composite; places that are empty are left out."""
    found: dict[str, tuple[str | None, ...]]
    match composite:
        case PairSource():
            found = {"pump": (composite.pump,), "oven": (composite.oven,)}
        case Converter():
            found = {
                "pump": (composite.pump,),
                "amplifier": (composite.amplifier,),
                "oven": (composite.oven,),
            }
        case AnalyserOptics():
            found = {
                "detectors": (composite.detectors,),
                "tagger": (composite.tagger,),
                "delay": (composite.delay,),
                "polarization": composite.polarization,
                "switch": (composite.switch,),
            }
    present = {part: tuple(name for name in names if name is not None) for part, names in found.items()}
    return {part: names for part, names in present.items() if names}


def composite_settings(owner: NodeId, sections: Mapping[str, Composite]) -> Iterator[CompositeSettings]:
    """The composites of one machine."""
    for name, section in sections.items():
        match section:
            case PairSource():
                values = {
                    "pump_value": section.pump_value,
                    "crystal_temperature_c": section.crystal_temperature_c,
                }
            case Converter():
                values = {
                    "pump_value": section.pump_value,
                    "crystal_temperature_c": section.crystal_temperature_c,
                }
                if section.seed_mw is not None:
                    values["seed_mw"] = section.seed_mw
            case AnalyserOptics():
                values = {}
        yield CompositeSettings(
            owner=owner, name=name, kind=section.kind, parts=parts_of(section), values=values
        )
