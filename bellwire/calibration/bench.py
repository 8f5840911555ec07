"""What stands around a link, by its part in a calibration: receivers, arms of light, source, delay line.

Owns the description that procedures are written against: knobs with their limits instead of makes. Built
from a lab file by `bellwire.labs`, or by hand in a script. Refuses instruments: nothing is opened here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from bellwire.core.errors import LocalMisuse


@dataclass(frozen=True, slots=True)
class Knob:
    """One settable parameter of one instrument. `low`, `high`: its limits in `unit`; None: unknown."""

    instrument: str
    parameter: str
    unit: str = ""
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        return f"{self.instrument} {self.parameter}"


@dataclass(frozen=True, slots=True)
class Detector:
    """One detector as a tagger sees it.

    `label`: what light it sees, such as "h" or "left_v"; unique within its receiver. `channel`: the input of
    the tagger. `bias`: of a nanowire; None where it cannot be set. `switching_ua`: the bias current above
    which the wire of this detector is no longer superconducting, as its test sheet has it; None: unknown.
    """

    label: str
    channel: int
    bias: Knob | None = None
    switching_ua: float | None = None


@dataclass(frozen=True, slots=True)
class Receiver:
    """A tagger and the detectors on its inputs, called as the node or station it belongs to.

    `clock`: the kind of its oscillator, as of `drivers.clocks.clock_kinds`.
    """

    name: str
    tagger: str
    detectors: tuple[Detector, ...]
    clock: str = "quartz"

    def detector(self, label: str) -> Detector:
        """The detector of this label. Raises LocalMisuse."""
        for one in self.detectors:
            if one.label == label:
                return one
        raise LocalMisuse(f"{self.name} has no detector {label}, but {', '.join(self.labels)}")

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels in the order of the lab file."""
        return tuple(one.label for one in self.detectors)

    @property
    def channels(self) -> tuple[int, ...]:
        """Inputs of the tagger, in the order of the detectors."""
        return tuple(one.channel for one in self.detectors)


@dataclass(frozen=True, slots=True)
class Oven:
    """Temperature of a crystal: what is set, its heater, and where the temperature is read."""

    setpoint: Knob
    heating: Knob
    reading: Knob


@dataclass(frozen=True, slots=True)
class Pump:
    """Light that drives a source or a converter. `emission`: in the order of switching on."""

    value: Knob
    emission: tuple[Knob, ...]


@dataclass(frozen=True, slots=True)
class PumpedCrystal:
    """A pair source or a frequency converter. `name`: of the composite.

    `usual_pump`, `usual_temperature_c`: its operating point as the lab file has it, in the pump's unit.
    """

    name: str
    pump: Pump
    oven: Oven | None = None
    usual_pump: float | None = None
    usual_temperature_c: float | None = None


@dataclass(frozen=True, slots=True)
class Shutter:
    """A way to darken an arm: an egress of a switch that is set to `open_value`, or to 0."""

    knob: Knob
    open_value: int


@dataclass(frozen=True, slots=True)
class Arm:
    """The way of light between a node and the place where it is detected or made."""

    node: str
    paddles: tuple[Knob, ...] = ()
    plate: Knob | None = None
    """A half-wave plate that turns the basis in which the receiver analyses; None: none can be turned."""
    quarter: Knob | None = None
    """A quarter-wave plate before it, its axes along H and V at rest: turned by 45 degrees, the receiver
    analyses in X and Y instead of Z and X; None: there is none."""
    shutter: Shutter | None = None
    converter: PumpedCrystal | None = None


@dataclass(frozen=True, slots=True)
class AlignmentSource:
    """A pair source whose two photons meet at the splitter in place of those of the nodes.

    `power`: to be used, in the unit of its pump. `routes`: ways of the switch that bring it in, one photon of
    a pair each, by egresses that the shutters of the arms have to free before. `period_ps`: of its pulses;
    None: continuous.
    """

    pump: Pump
    power: float
    routes: tuple[Shutter, ...] = ()
    period_ps: int | None = None


@dataclass(frozen=True, slots=True)
class References:
    """Continuous light of two known polarisations that enters an arm at its node, one at a time."""

    h: Shutter
    d: Shutter


@dataclass(frozen=True, slots=True)
class StationPlate:
    """A half-wave plate in front of the analysers of some ports of a station, 0 degrees for H and V.

    `ports`: the first words of the labels of their detectors, "left" of "left_h".
    """

    knob: Knob
    ports: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standard:
    """Continuous light of measured power, half of it in H and half in V, for absolute efficiencies.

    `power`: reading of its meter in W; `wavelength`: for which the meter corrects, to be `wavelength_nm`.
    `attenuation_db`: from what the meter shows to what enters the switch. `routes`: ways of the switch to
    the inputs of the splitter, one at a time; `losses_db`: of each, from the switch to the splitter.
    `meter_error` (relative), `loss_error_db`: standard uncertainties of the meter, and of attenuation and
    losses together.
    """

    power: Knob
    wavelength: Knob
    wavelength_nm: float
    attenuation_db: float
    routes: tuple[Shutter, ...]
    losses_db: tuple[float, ...]
    meter_error: float
    loss_error_db: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """Bright light for alignment, dark in operation. `references`: by node."""

    source: AlignmentSource | None = None
    references: Mapping[str, References] = field(default_factory=dict)
    plate: StationPlate | None = None
    standard: Standard | None = None


@dataclass(frozen=True, slots=True)
class MemoryPlace:
    """The memory of a node, as far as a calibration may use it. `slots`: that no link uses. `t1_s`, `t2_s`:
    what plans rest on; None: nothing is lost that way.
    """

    node: str
    slots: int
    t1_s: float | None = None
    t2_s: float | None = None


@dataclass(frozen=True, slots=True)
class Attempts:
    """When photons of memories come: once in each `period_ps`, within `window_ps` of it."""

    period_ps: int
    window_ps: int


@dataclass(frozen=True, slots=True)
class ClockReference:
    """What a clock of the link rests on: a White Rabbit switch, or PPS on an input of a tagger.

    `name`: of the node or station. `pps_channel`: the input; None: `instrument` is a switch. `locked`: the
    tagger's own time comes from the same reference, so that a pulse must be a second of it to 1e-9.
    """

    name: str
    instrument: str
    pps_channel: int | None = None
    locked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkBench:
    """Everything around one link that a procedure may use.

    `kind`: "meeting" where light of both nodes meets at one receiver, "distribution" where a source sends
    pairs to two. `delay`: the line in the arm of one of the photons that meet. `attempts`: of memories;
    None: unknown, or none. `entangled`: the Bell state that the source is built to make. `pairs_per_attempt`:
    of the source, on average, as the link is planned; None: the lab file does not say one number. `memories`:
    of its nodes, those with slots that no link uses. `limits`: acceptance limits that the operator has set,
    by "procedure.quantity", in place of the usual ones.
    """

    link: str
    kind: str
    receivers: tuple[Receiver, ...]
    arms: tuple[Arm, ...] = ()
    source: PumpedCrystal | None = None
    delay: Knob | None = None
    alignment: Alignment | None = None
    attempts: Attempts | None = None
    entangled: str = "phi_plus"
    pairs_per_attempt: float | None = None
    memories: tuple[MemoryPlace, ...] = ()
    references: tuple[ClockReference, ...] = ()
    required: tuple[str, ...] = ()
    limits: dict[str, tuple[float | None, float | None]] = field(default_factory=dict)

    def arm(self, node: str) -> Arm:
        """The arm of a node. Raises LocalMisuse."""
        for one in self.arms:
            if one.node == node:
                return one
        raise LocalMisuse(f"{self.link} has no arm to {node}")

    @property
    def paddled_arm(self) -> Arm | None:
        """The arm whose paddles undo what both fibres do: the last that has three; None: there is none."""
        return next((one for one in reversed(self.arms) if len(one.paddles) >= 3), None)

    def knobs(self) -> Iterator[Knob]:
        """Every knob, each once."""
        seen: set[Knob] = set()
        for knob in self._all_knobs():
            if knob not in seen:
                seen.add(knob)
                yield knob

    def _all_knobs(self) -> Iterator[Knob]:
        for receiver in self.receivers:
            yield from (one.bias for one in receiver.detectors if one.bias is not None)
        crystals = [arm.converter for arm in self.arms] + [self.source]
        for crystal in crystals:
            if crystal is not None:
                yield from (crystal.pump.value, *crystal.pump.emission)
                if crystal.oven is not None:
                    yield from (crystal.oven.setpoint, crystal.oven.heating)
        for arm in self.arms:
            yield from arm.paddles
            if arm.plate is not None:
                yield arm.plate
            if arm.quarter is not None:
                yield arm.quarter
            if arm.shutter is not None:
                yield arm.shutter.knob
        if self.delay is not None:
            yield self.delay
        if self.alignment is not None:
            yield from _alignment_knobs(self.alignment)


def _alignment_knobs(alignment: Alignment) -> Iterator[Knob]:
    if alignment.source is not None:
        yield from (alignment.source.pump.value, *alignment.source.pump.emission)
        yield from (route.knob for route in alignment.source.routes)
    for one in alignment.references.values():
        yield from (one.h.knob, one.d.knob)
    if alignment.plate is not None:
        yield alignment.plate.knob
    if alignment.standard is not None:
        yield alignment.standard.wavelength
        yield from (route.knob for route in alignment.standard.routes)
