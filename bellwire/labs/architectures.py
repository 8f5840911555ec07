"""The architectures of a link, double and single click apart: what an attempt gives and how long it takes.

Owns the way from the optics in a lab file to core/photonics.py and core/pair_sources.py, as the file believes
them and as the World has them, and the times of an attempt (algorithms.md 11, stack paper IV-F). Refuses
settings and memories of nodes (optics.py).

In all four a station decides: between the arms where light meets (double and single click) or where the pair
source stands (midpoint source), at the receiving node where one node sends to the other (sender-receiver).
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

from bellwire.core.bell import Cost, aged, permute, werner
from bellwire.core.pair_sources import midpoint_source, sender_receiver
from bellwire.core.photonics import (
    CODE_PSI_PLUS,
    HeraldOutcome,
    HeraldPhysics,
    arm_efficiency,
    double_click,
    fibre_transmission,
    herald_index,
    single_click,
    window_acceptance,
    windowed_visibility,
)
from bellwire.core.units import fibre_delay_ns
from bellwire.labs.light import LinkPoint, sender_of
from bellwire.labs.models import Detectors, LabFile, Link, Memory
from bellwire.labs.storage import memory_rates

INTRINSIC_FIDELITY = 0.98
"""Of a pair whose photon was sent, stored and heralded, where the file says nothing: published transfers into
cavity memories reach 0.93 to 0.99."""


class AttemptTimes(NamedTuple):
    """Times of one attempt at a photonic link, in ns.

    click_ns: from its start to the decision at the station. herald_ns: from there to each end. One attempt is
    decided and known everywhere after click_ns + max(herald_ns).
    """

    click_ns: int
    herald_ns: tuple[int, int]

    @property
    def decided_ns(self) -> int:
        return self.click_ns + max(self.herald_ns)


def attempt_times(link: Link) -> AttemptTimes:
    """Flight of light and words of a link with optics.

    Light meets: the nearer node emits later, so that the longer arm sets the click. Sender-receiver: the
    photon's flight, then the herald's way back to the sender. Midpoint source: the photons fly to the
    memories, whose heralds meet at the source's controller (the nearer memory's is delayed), and the joint
    decision comes back: d/(2c) + d/c in all for equal arms (11.4).
    """
    assert link.fibre_km is not None
    arms_ns = (fibre_delay_ns(link.fibre_km[0]), fibre_delay_ns(link.fibre_km[1]))
    flights = 2 if link.architecture == "midpoint_source" else 1
    return AttemptTimes(flights * max(arms_ns), arms_ns)


def believed_physics(lab: LabFile, link: Link) -> tuple[HeraldPhysics, ...]:
    """Success probability and heralded states of a joint attempt of one lane, as the file says.

    One for each operating point, or one alone where there are none.
    """
    return _all_points(lab, link, _light(lab, link))


def true_physics(lab: LabFile, link: Link) -> tuple[HeraldPhysics, ...]:
    """The same as the World has it: with what `truth` of the link says otherwise."""
    light = _light(lab, link)
    if link.truth is None:
        return _all_points(lab, link, light)
    changed = {key: value for key, value in link.truth.model_dump().items() if value is not None}
    return _all_points(lab, link, replace(light, **changed))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Light:
    """What `truth` of a link may change, under the same names. None: not a matter of this architecture."""

    attenuation_db_per_km: float
    insertion_loss_db: float
    visibility: float | None = None
    dark_rate_hz: float | None = None  # None: that of each detector or memory
    phase_rms_rad: float = 0.0
    intrinsic_fidelity: float = INTRINSIC_FIDELITY
    intrinsic_error: float | None = None
    success_probability: float | None = None
    fidelity: float | None = None


def _light(lab: LabFile, link: Link) -> _Light:
    detectors = None if link.station is None else lab.stations[link.station].detectors
    return _Light(
        attenuation_db_per_km=link.attenuation_db_per_km,
        insertion_loss_db=link.insertion_loss_db,
        visibility=None if detectors is None else detectors.visibility,
        phase_rms_rad=link.phase_rms_rad,
        intrinsic_fidelity=INTRINSIC_FIDELITY if link.intrinsic_fidelity is None else link.intrinsic_fidelity,
        intrinsic_error=None if link.source is None else link.source.intrinsic_error,
        success_probability=None if link.attempt is None else link.attempt.success_probability,
        fidelity=None if link.attempt is None else link.attempt.fidelity,
    )


def _all_points(lab: LabFile, link: Link, light: _Light) -> tuple[HeraldPhysics, ...]:
    if link.attempt is not None:
        return (_textbook(light),)
    points: tuple[LinkPoint | None, ...] = link.operating_points or (None,)
    match link.architecture:
        case "double_click":
            return tuple(_double_click(lab, link, light, point) for point in points)
        case "single_click":
            return tuple(_single_click(lab, link, light, point) for point in points)
        case "sender_receiver":
            return (_sender_receiver(lab, link, light),)
        case "midpoint_source":
            return tuple(_midpoint_source(lab, link, light, point) for point in points)


def _textbook(light: _Light) -> HeraldPhysics:
    assert light.fidelity is not None
    assert light.success_probability is not None
    state = permute(werner(light.fidelity), herald_index(CODE_PSI_PLUS))
    return HeraldPhysics(light.success_probability, (HeraldOutcome(CODE_PSI_PLUS, 1.0, state),))


# ---- light meets


def _detectors(lab: LabFile, link: Link) -> Detectors:
    assert link.station is not None
    return lab.stations[link.station].detectors


def _clicking_arms(
    lab: LabFile, link: Link, light: _Light, detectors: Detectors, accepted: float
) -> tuple[float, float]:
    assert link.fibre_km is not None
    a, b = (
        arm_efficiency(
            emission=lab.nodes[node].memory.emission_efficiency,
            conversion=lab.nodes[node].memory.conversion_efficiency,
            fibre=fibre_transmission(length_km, light.attenuation_db_per_km, light.insertion_loss_db),
            detector=detectors.efficiency * accepted,
        )
        for node, length_km in zip(link.nodes, link.fibre_km, strict=True)
    )
    return a, b


def _windowed(detectors: Detectors, light: _Light, window_ns: float) -> tuple[float, float, float]:
    """Share of a photon inside the window, visibility of what is inside, dark probability of the window."""
    assert light.visibility is not None
    dark = (detectors.dark_rate_hz if light.dark_rate_hz is None else light.dark_rate_hz) * window_ns * 1e-9
    lifetime_ns = detectors.photon_lifetime_ns
    if lifetime_ns is None:
        return 1.0, light.visibility, dark
    visibility = windowed_visibility(light.visibility, window_ns, lifetime_ns)
    return window_acceptance(window_ns, lifetime_ns), visibility, dark


def _double_click(lab: LabFile, link: Link, light: _Light, point: LinkPoint | None) -> HeraldPhysics:
    detectors = _detectors(lab, link)
    window_ns = detectors.window_ns if point is None or point.window_ns is None else point.window_ns
    accepted, visibility, dark = _windowed(detectors, light, window_ns)
    arms = _clicking_arms(lab, link, light, detectors, accepted)
    return double_click(*arms, visibility, dark, detectors.number_resolving)


def _single_click(lab: LabFile, link: Link, light: _Light, point: LinkPoint | None) -> HeraldPhysics:
    detectors = _detectors(lab, link)
    alpha = link.alpha if point is None else point.alpha
    assert alpha is not None
    accepted, visibility, dark = _windowed(detectors, light, detectors.window_ns)
    arms = _clicking_arms(lab, link, light, detectors, accepted)
    return single_click(
        *alpha,
        *arms,
        visibility,
        dark,
        resolving=detectors.number_resolving,
        phase_rms_rad=light.phase_rms_rad,
    )


# ---- light is stored


def receiving_efficiency(memory: Memory) -> float:
    """From a photon in the fibre to a memory's herald: converted back, stored, noticed."""
    return memory.conversion_efficiency * memory.absorption_efficiency * memory.herald_efficiency


def _dark_herald(memory: Memory, light: _Light) -> float:
    rate_hz = memory.herald_dark_rate_hz if light.dark_rate_hz is None else light.dark_rate_hz
    return rate_hz * memory.herald_window_ns * 1e-9


def stored_qubits(lab: LabFile, link: Link) -> tuple[tuple[Cost, int], ...]:
    """Decay rates, and ns until the click, of each qubit of a link that is stored before its click."""
    assert link.fibre_km is not None
    click_ns = attempt_times(link).click_ns
    if link.architecture == "sender_receiver":
        # The sender's qubit waits for its photon; the receiver's is born with the herald.
        return ((memory_rates(lab.nodes[sender_of(link)].memory), click_ns),)
    if link.architecture == "midpoint_source":
        # Each memory holds its photon from its arrival to the click.
        return tuple(
            (memory_rates(lab.nodes[node].memory), click_ns - fibre_delay_ns(length_km))
            for node, length_km in zip(link.nodes, link.fibre_km, strict=True)
        )
    return ()


def _sender_receiver(lab: LabFile, link: Link, light: _Light) -> HeraldPhysics:
    assert link.fibre_km is not None
    side = link.nodes.index(sender_of(link))
    sender, receiver = (lab.nodes[link.nodes[each]].memory for each in (side, 1 - side))
    signal = arm_efficiency(
        emission=sender.emission_efficiency,
        conversion=sender.conversion_efficiency,
        fibre=fibre_transmission(link.fibre_km[side], light.attenuation_db_per_km, light.insertion_loss_db),
        detector=receiving_efficiency(receiver),
    )
    fresh = sender_receiver(signal, _dark_herald(receiver, light), light.intrinsic_fidelity)
    return _stored(fresh, stored_qubits(lab, link))


def _midpoint_source(lab: LabFile, link: Link, light: _Light, point: LinkPoint | None) -> HeraldPhysics:
    assert link.fibre_km is not None
    assert link.source is not None
    assert light.intrinsic_error is not None
    mean = link.source.mean_pair_number if point is None else point.mean_pair_number
    assert mean is not None
    memories = [lab.nodes[node].memory for node in link.nodes]
    arms = [
        link.source.coupling_efficiency
        * fibre_transmission(length_km, light.attenuation_db_per_km, light.insertion_loss_db)
        * receiving_efficiency(memory)
        for memory, length_km in zip(memories, link.fibre_km, strict=True)
    ]
    background = [_dark_herald(memory, light) for memory in memories]
    physics = midpoint_source(mean, arms[0], arms[1], background[0], background[1], light.intrinsic_error)
    return _stored(physics, stored_qubits(lab, link))


def _stored(physics: HeraldPhysics, waiting: tuple[tuple[Cost, int], ...]) -> HeraldPhysics:
    """The same heralds after qubits were stored for a while."""
    for rates, duration_ns in waiting:
        physics = physics._replace(
            outcomes=tuple(
                outcome._replace(state=aged(outcome.state, rates, duration_ns))
                for outcome in physics.outcomes
            )
        )
    return physics
