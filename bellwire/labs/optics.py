"""From the optics and memories of a lab file to what the protocols are told about them.

Owns the conversion of one link and one memory: attempt period, click and herald times, success probability
and herald states through core/photonics.py, decay rates through core/bell.py. Refuses cross references, slots
and delays.
"""

from math import ceil

from bellwire.core.bell import Cost, bsm_cost, decay_rates, permute, to_walsh, werner
from bellwire.core.ids import LinkId
from bellwire.core.photonics import (
    CODE_PSI_PLUS,
    HeraldOutcome,
    HeraldPhysics,
    arm_efficiency,
    double_click,
    fibre_transmission,
    herald_index,
    single_click,
)
from bellwire.core.settings import HeraldEstimate, LinkSettings, MemorySettings
from bellwire.core.units import NS_PER_US, fibre_delay_ns, ns_from_s
from bellwire.labs.models import Detectors, LabFile, Link, Memory

PERIOD_STEP_NS = 1_000
"""Default periods are whole microseconds a lane, so that hardware interleaves lanes on its clock."""

TEXTBOOK_SETTLE_NS = 2
"""A textbook click lies this long before the end of its attempt, so that what follows from it happens at
once and before the next attempt begins: no result depends on the order of two things of one instant."""

TEXTBOOK_CUTOFF_MARGIN_NS = 1
"""A cutoff of n attempts ends this long after the n-th click after the birth, before the next attempt."""


def link_physics(lab: LabFile, link: Link) -> HeraldPhysics:
    """Success probability and heralded states of one joint attempt of one lane."""
    if link.attempt is not None:
        state = permute(werner(link.attempt.fidelity), herald_index(CODE_PSI_PLUS))
        return HeraldPhysics(link.attempt.success_probability, (HeraldOutcome(CODE_PSI_PLUS, 1.0, state),))
    assert link.station is not None
    assert link.fibre_km is not None
    detectors = lab.stations[link.station].detectors
    arms = [
        _arm(lab.nodes[node].memory, detectors, link, length_km)
        for node, length_km in zip(link.nodes, link.fibre_km, strict=True)
    ]
    dark = detectors.dark_rate_hz * detectors.window_ns * 1e-9
    if link.alpha is not None:
        return single_click(
            *link.alpha, arms[0], arms[1], detectors.visibility, dark, resolving=detectors.number_resolving
        )
    return double_click(arms[0], arms[1], detectors.visibility, dark, detectors.number_resolving)


def _arm(memory: Memory, detectors: Detectors, link: Link, length_km: float) -> float:
    return arm_efficiency(
        emission=memory.emission_efficiency,
        conversion=memory.conversion_efficiency,
        fibre=fibre_transmission(length_km, link.attenuation_db_per_km, link.insertion_loss_db),
        detector=detectors.efficiency,
    )


def herald_estimates(physics: HeraldPhysics) -> tuple[HeraldEstimate, ...]:
    """What each herald code means to the ledger: frame of the code, and the state relative to it."""
    estimates = []
    for outcome in physics.outcomes:
        frame = herald_index(outcome.code)
        walsh = to_walsh(permute(outcome.state, frame))
        estimates.append(HeraldEstimate(code=outcome.code, frame=frame, signs=walsh.signs, cost=walsh.cost))
    return tuple(estimates)


def attempt_period_ns(lab: LabFile, link: Link) -> int:
    """Attempt period of a lane; by default the photon's flight, the herald's way back, and initialisation."""
    if link.attempt is not None:
        return round(link.attempt.period_us * NS_PER_US)
    if link.attempt_period_us is not None:
        return round(link.attempt_period_us * NS_PER_US)
    assert link.fibre_km is not None
    initialise_us = max(lab.nodes[node].memory.initialise_us for node in link.nodes)
    busy_ns = 2 * fibre_delay_ns(max(link.fibre_km)) + round(initialise_us * NS_PER_US)
    step = PERIOD_STEP_NS * link.lanes
    return max(1, ceil(busy_ns / step)) * step


def link_settings(
    lab: LabFile,
    name: LinkId,
    slots: tuple[tuple[int, ...], tuple[int, ...]],
    physics: HeraldPhysics,
    *,
    live: bool,
) -> LinkSettings:
    """One link as its ends and its station are told about it."""
    link = lab.links[name]
    period_ns = attempt_period_ns(lab, link)
    if link.fibre_km is None:
        click_ns, herald_ns = period_ns - TEXTBOOK_SETTLE_NS, (0, 0)
        length_km = link.length_km or 0.0
    else:
        # The nearer node emits later, so that both photons meet: the longer arm sets the click.
        herald_ns = (fibre_delay_ns(link.fibre_km[0]), fibre_delay_ns(link.fibre_km[1]))
        click_ns, length_km = max(herald_ns), sum(link.fibre_km)
    armed_by_pulse = live and link.station is not None
    return LinkSettings(
        link=name,
        nodes=link.nodes,
        station=link.station,
        period_ns=period_ns,
        lanes=link.lanes,
        slots=slots,
        success_probability=physics.success_probability,
        heralds=herald_estimates(physics),
        click_delay_ns=click_ns,
        herald_delay_ns=herald_ns,
        length_km=length_km,
        lease_ns=round(lab.limits.window_lease_ms * 1e6),
        frame_ns=round(lab.limits.schedule_step_ms * 1e6),
        start_margin_ns=round(lab.clock.start_margin_ms * 1e6) if armed_by_pulse else 0,
        whole_second=armed_by_pulse and lab.clock.whole_second,
        reserved_for=link.reserved_for,
    )


def memory_times_ns(memory: Memory) -> tuple[int | None, int | None, int | None]:
    """T1, T2 and the depolarising time; None where a process is absent."""
    t1, t2, mixing = (
        None if time_s is None else max(1, ns_from_s(time_s))
        for time_s in (memory.t1_s, memory.t2_s, memory.depolarising_time_s)
    )
    return t1, t2, mixing


def memory_rates(memory: Memory) -> Cost:
    """Decay of one stored qubit, as the ledger counts it."""
    return decay_rates(*memory_times_ns(memory))


def memory_settings(memory: Memory, slots: int, limit_ms: float) -> MemorySettings:
    """What a node knows about its memory of `slots` slots."""
    noise = bsm_cost(memory.gate_fidelity, memory.readout_fidelity)
    return MemorySettings(
        slots=slots,
        rates=memory_rates(memory),
        bsm_signs=noise.signs,
        bsm_cost=noise.cost,
        bsm_success_probability=memory.bsm_success_probability,
        operation_limit_ns=round(limit_ms * 1e6),
        bsm_duration_ns=round(memory.bsm_duration_us * NS_PER_US),
    )
