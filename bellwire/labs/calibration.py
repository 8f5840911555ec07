"""How a link is calibrated: which equipment plays which part, and what it becomes for procedures.

Owns the section `calibration` of a link and its `LinkBench`. Equipment and composites are named in full,
OWNER-NAME, because the instruments of one link stand at several machines. Refuses procedures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import Field, model_validator

from bellwire.calibration.bench import (
    Alignment,
    AlignmentSource,
    Arm,
    Attempts,
    ClockReference,
    Detector,
    Knob,
    LinkBench,
    MemoryPlace,
    Oven,
    Pump,
    PumpedCrystal,
    Receiver,
    References,
    Shutter,
    Standard,
    StationPlate,
)
from bellwire.core.errors import ConfigError
from bellwire.core.registry import nearest
from bellwire.drivers import load_driver
from bellwire.drivers.equipment import EQUIPMENT, Equipment
from bellwire.labs.equipment import CompositeSettings, EquipmentSettings
from bellwire.labs.sections import Count, Name, NotNegative, Positive, Section

LASER_VALUES = ("set_power_mw", "set_current_ma")


class ReceiverSection(Section):
    """The detectors of a node or station, as its tagger sees them."""

    tagger: str  # OWNER-NAME of a time tagger
    detectors: str | None = None  # OWNER-NAME of what biases them; null: their bias cannot be set
    channels: dict[Name, Count] = Field(min_length=1)  # input of the tagger, by what the detector sees
    bias_numbers: dict[Name, Count] = Field(default_factory=dict)  # at `detectors`; as of `channels`
    # bias current at which the wire ceases to superconduct, from the test sheet of each detector
    switching_ua: dict[Name, Positive] = Field(default_factory=dict)
    clock: Literal["locked", "rubidium", "oven", "quartz"] = "quartz"  # what the tagger's time comes from


class ShutterSection(Section):
    """A port of an optical switch that darkens an arm."""

    switch: str
    ingress: Count
    egress: Count


class ArmSection(Section):
    """The way of light of one node."""

    paddles: str | None = None  # OWNER-NAME of a polarisation controller
    plate: str | None = None  # OWNER-NAME of a controller one paddle of which is a half-wave plate
    plate_paddle: Count = 2
    quarter: str | None = None  # OWNER-NAME of a controller one paddle of which is a quarter-wave plate
    quarter_paddle: Count = 1
    shutter: ShutterSection | None = None
    converter: str | None = None  # OWNER-NAME of a composite


class AlignmentSourceSection(Section):
    """A pair source whose photons meet in place of those of the nodes."""

    laser: str  # OWNER-NAME of its pump
    power: Positive  # in the unit of the laser
    routes: tuple[ShutterSection, ...] = ()  # ways of a switch that bring its photons to the splitter
    period_ps: Count | None = None  # of its pulses; null: continuous


class ReferencesSection(Section):
    """A switch behind two lasers of a node, H and D, that lets one of them at a time into the arm."""

    switch: str
    h: Count  # ingress of the laser in H
    d: Count
    egress: Count


class StationPlateSection(Section):
    """A half-wave plate in front of some analysers of the station."""

    controller: str  # OWNER-NAME of a controller one paddle of which is the plate
    paddle: Count = 2
    ports: tuple[Name, ...] = Field(min_length=1)  # "left" for the detectors left_h and left_v


class StandardWaySection(ShutterSection):
    """A way of the light of known power to one input of the splitter."""

    loss_db: NotNegative = 0.0  # from the input of the switch to the splitter, by the test sheets on the way


class StandardSection(Section):
    """A laser of which a meter sees one share, and the switch another; H and V in equal parts."""

    meter: str  # OWNER-NAME of a power meter
    wavelength_nm: Positive
    attenuation_db: NotNegative  # from what the meter shows to what enters the switch
    routes: tuple[StandardWaySection, StandardWaySection]
    meter_error: Positive  # relative standard uncertainty, from the calibration of the meter
    loss_error_db: Positive  # standard uncertainty of attenuation and losses together


class AlignmentSection(Section):
    """Bright light for alignment, dark in operation."""

    source: AlignmentSourceSection | None = None
    references: dict[Name, ReferencesSection] = Field(default_factory=dict)  # by node
    plate: StationPlateSection | None = None
    standard: StandardSection | None = None


class AttemptsSection(Section):
    """When photons of the memories come."""

    period_ps: Count
    window_ps: Count


class ReferenceSection(Section):
    """What the clock of a node or station rests on: one of the two."""

    switch: str | None = None  # OWNER-NAME of a White Rabbit switch
    tagger: str | None = None  # OWNER-NAME of a tagger that has PPS on an input
    pps_channel: Count | None = None
    locked: bool = False  # the tagger's time comes from the same reference

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.switch is None) == (self.tagger is None) or (self.tagger is None) != (
            self.pps_channel is None
        ):
            raise ValueError("give switch, or tagger and pps_channel")
        return self


class LinkCalibration(Section):
    """What stands around a link; procedures that need a part which is not named do not apply to it."""

    kind: Literal["meeting", "distribution"]
    receivers: dict[Name, ReceiverSection] = Field(default_factory=dict)  # none: of its memories alone
    arms: dict[Name, ArmSection] = Field(default_factory=dict)  # by node
    source: str | None = None  # OWNER-NAME of a composite
    delay: str | None = None  # OWNER-NAME of a delay line
    alignment: AlignmentSection | None = None
    attempts: AttemptsSection | None = None
    entangled: Literal["phi_plus", "phi_minus", "psi_plus", "psi_minus"] = "phi_plus"
    references: dict[Name, ReferenceSection] = Field(default_factory=dict)  # by node or station
    # procedures without a record in force take the link out of Ready
    required: tuple[Name, ...] = ()
    # acceptance in place of the usual: "procedure.quantity": [low, high], null for no limit
    limits: dict[str, tuple[float | None, float | None]] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Parts:
    """The equipment of a lab by full name."""

    equipment: Mapping[str, EquipmentSettings]
    composites: Mapping[str, CompositeSettings]

    def driver(self, name: str) -> type[Equipment]:
        if name not in self.equipment:
            raise ConfigError(f'no equipment is called "{name}"{nearest(name, self.equipment)}')
        driver = load_driver(self.equipment[name].driver, where=name)
        if not issubclass(driver, EQUIPMENT):
            raise ConfigError(f"{self.equipment[name].driver} makes pairs and is no equipment", where=name)
        return driver

    def knob(self, name: str, methods: Iterable[str], argument: int | None = None) -> Knob:
        """The parameter that one of these methods of a role sets."""
        methods = tuple(methods)
        for parameter in self.driver(name).parameters:
            if parameter.write in methods and parameter.argument == argument:
                return Knob(name, parameter.name, parameter.unit, parameter.low, parameter.high)
        what = " or ".join(methods) + ("" if argument is None else f" {argument}")
        raise ConfigError(f"{self.equipment[name].driver} has no parameter for {what}", where=name)

    def reading(self, name: str, method: str) -> Knob:
        """The parameter that a method reads."""
        for parameter in self.driver(name).parameters:
            if parameter.read == method and parameter.argument is None:
                return Knob(name, parameter.name, parameter.unit)
        raise ConfigError(f"{self.equipment[name].driver} does not read {method}", where=name)

    def paddles(self, name: str) -> tuple[Knob, ...]:
        found = tuple(
            Knob(name, one.name, one.unit, one.low, one.high)
            for one in self.driver(name).parameters
            if one.write == "set_angle_deg"
        )
        if not found:
            raise ConfigError(f"{self.equipment[name].driver} is no polarisation controller", where=name)
        return found

    def crystal(self, name: str) -> PumpedCrystal:
        if name not in self.composites:
            raise ConfigError(f'no composite is called "{name}"{nearest(name, self.composites)}')
        composite = self.composites[name]
        lasers = [f"{composite.owner}-{one}" for one in composite.parts.get("pump", ())]
        lasers += [f"{composite.owner}-{one}" for one in composite.parts.get("amplifier", ())]
        if not lasers:
            raise ConfigError(f"a {composite.kind} has no pump", where=name)
        ovens = [f"{composite.owner}-{one}" for one in composite.parts.get("oven", ())]
        pump = Pump(
            self.knob(lasers[-1], LASER_VALUES), tuple(self.knob(one, ["set_emission"]) for one in lasers)
        )
        return PumpedCrystal(
            name,
            pump,
            self.oven(ovens[0]) if ovens else None,
            composite.values.get("pump_value"),
            composite.values.get("crystal_temperature_c"),
        )

    def lit(self, name: str) -> Pump:
        """A laser by itself."""
        return Pump(self.knob(name, LASER_VALUES), (self.knob(name, ["set_emission"]),))

    def way(self, switch: str, ingress: int, egress: int) -> Shutter:
        return Shutter(self.knob(switch, ["set_egress"], ingress), egress)

    def standard(self, section: StandardSection) -> Standard:
        ways = section.routes
        return Standard(
            power=self.reading(section.meter, "read_power_w"),
            wavelength=self.knob(section.meter, ["set_wavelength_nm"]),
            wavelength_nm=section.wavelength_nm,
            attenuation_db=section.attenuation_db,
            routes=tuple(self.way(one.switch, one.ingress, one.egress) for one in ways),
            losses_db=tuple(one.loss_db for one in ways),
            meter_error=section.meter_error,
            loss_error_db=section.loss_error_db,
        )

    def oven(self, name: str) -> Oven:
        return Oven(
            self.knob(name, ["set_temperature_c"]),
            self.knob(name, ["set_heating"]),
            self.reading(name, "read_temperature_c"),
        )


def link_bench(
    link: str,
    section: LinkCalibration,
    equipment: Iterable[EquipmentSettings],
    composites: Iterable[CompositeSettings],
    *,
    pairs_per_attempt: float | None = None,
    memories: Iterable[MemoryPlace] = (),
) -> LinkBench:
    """What procedures get. Raises ConfigError for a name or a role that is not there."""
    parts = _Parts(
        {one.full_name: one for one in equipment}, {f"{one.owner}-{one.name}": one for one in composites}
    )
    return LinkBench(
        link=link,
        kind=section.kind,
        receivers=tuple(_receiver(parts, name, one) for name, one in section.receivers.items()),
        arms=tuple(_arm(parts, node, one) for node, one in section.arms.items()),
        source=None if section.source is None else parts.crystal(section.source),
        delay=None if section.delay is None else parts.knob(section.delay, ["set_delay_ps"]),
        alignment=None if section.alignment is None else _alignment(parts, section.alignment, section.arms),
        attempts=None
        if section.attempts is None
        else Attempts(section.attempts.period_ps, section.attempts.window_ps),
        entangled=section.entangled,
        pairs_per_attempt=pairs_per_attempt,
        memories=tuple(memories),
        references=tuple(_reference(parts, name, one) for name, one in section.references.items()),
        required=section.required,
        limits=dict(section.limits),
    )


def _receiver(parts: _Parts, name: str, section: ReceiverSection) -> Receiver:
    if not hasattr(parts.driver(section.tagger), "tags"):
        raise ConfigError(f"{section.tagger} is no time tagger", where=name)
    for label in (*section.bias_numbers, *section.switching_ua):
        if label not in section.channels:
            raise ConfigError(f'no channel is called "{label}"{nearest(label, section.channels)}', where=name)
    detectors: list[Detector] = []
    for label, channel in section.channels.items():
        number = section.bias_numbers.get(label, channel)
        bias = None if section.detectors is None else parts.knob(section.detectors, ["set_bias_ua"], number)
        detectors.append(Detector(label, channel, bias, section.switching_ua.get(label)))
    return Receiver(name, section.tagger, tuple(detectors), section.clock)


def _reference(parts: _Parts, name: str, section: ReferenceSection) -> ClockReference:
    if section.switch is not None:
        if not hasattr(parts.driver(section.switch), "read_clock"):
            raise ConfigError(f"{section.switch} is no switch that shows its clock", where=name)
        return ClockReference(name, section.switch)
    assert section.tagger is not None
    if not hasattr(parts.driver(section.tagger), "tags"):
        raise ConfigError(f"{section.tagger} is no time tagger", where=name)
    return ClockReference(name, section.tagger, section.pps_channel, section.locked)


def _arm(parts: _Parts, node: str, section: ArmSection) -> Arm:
    shutter = section.shutter
    return Arm(
        node,
        paddles=() if section.paddles is None else parts.paddles(section.paddles),
        plate=None
        if section.plate is None
        else parts.knob(section.plate, ["set_angle_deg"], section.plate_paddle),
        quarter=None
        if section.quarter is None
        else parts.knob(section.quarter, ["set_angle_deg"], section.quarter_paddle),
        shutter=None if shutter is None else parts.way(shutter.switch, shutter.ingress, shutter.egress),
        converter=None if section.converter is None else parts.crystal(section.converter),
    )


def _alignment(parts: _Parts, section: AlignmentSection, arms: Iterable[str]) -> Alignment:
    source, plate = section.source, section.plate
    for node in section.references:
        if node not in arms:
            raise ConfigError(f'no arm is called "{node}"{nearest(node, arms)}', where="alignment")
    return Alignment(
        source=None
        if source is None
        else AlignmentSource(
            parts.lit(source.laser),
            source.power,
            tuple(parts.way(one.switch, one.ingress, one.egress) for one in source.routes),
            source.period_ps,
        ),
        references={
            node: References(
                parts.way(one.switch, one.h, one.egress), parts.way(one.switch, one.d, one.egress)
            )
            for node, one in section.references.items()
        },
        plate=None
        if plate is None
        else StationPlate(parts.knob(plate.controller, ["set_angle_deg"], plate.paddle), plate.ports),
        standard=None if section.standard is None else parts.standard(section.standard),
    )
