"""From the optics and memories of a lab file to what the protocols are told about them.

Owns the conversion of one link and one memory: attempt period, operating points, herald states as the ledger
counts them, limits. Refuses the physics and the times of the architectures (architectures.py), cross
references, slots and delays.
"""

from math import ceil

from bellwire.core.bell import bsm_cost, permute, to_walsh
from bellwire.core.ids import LinkId
from bellwire.core.photonics import HeraldPhysics, herald_index
from bellwire.core.settings import (
    AheadSettings,
    EstimationSettings,
    HeraldEstimate,
    LinkSettings,
    MemorySettings,
    OperatingPoint,
)
from bellwire.core.units import NS_PER_US, ns_from_s
from bellwire.labs.architectures import attempt_times
from bellwire.labs.light import LinkPoint
from bellwire.labs.models import LabFile, Link, Memory
from bellwire.labs.storage import memory_rates
from bellwire.labs.switches import position

PERIOD_STEP_NS = 1_000
"""Default periods are whole microseconds a lane, so that hardware interleaves lanes on its clock."""

TEXTBOOK_SETTLE_NS = 2
"""A textbook click lies this long before the end of its attempt, so that what follows from it happens at
once and before the next attempt begins: no result depends on the order of two things of one instant."""

TEXTBOOK_CUTOFF_MARGIN_NS = 1
"""A cutoff of n attempts ends this long after the n-th click after the birth, before the next attempt."""


def herald_estimates(physics: HeraldPhysics) -> tuple[HeraldEstimate, ...]:
    """What each herald code means to the ledger: frame of the code, and the state relative to it."""
    estimates = []
    for outcome in physics.outcomes:
        frame = herald_index(outcome.code)
        walsh = to_walsh(permute(outcome.state, frame))
        estimates.append(HeraldEstimate(code=outcome.code, frame=frame, signs=walsh.signs, cost=walsh.cost))
    return tuple(estimates)


def attempt_period_ns(lab: LabFile, link: Link) -> int:
    """Attempt period of a lane.

    By default an attempt is decided and both ends know before the next begins, which then takes
    initialisation: a memory of one mode can do no better.
    """
    if link.attempt is not None:
        return round(link.attempt.period_us * NS_PER_US)
    if link.attempt_period_us is not None:
        return round(link.attempt_period_us * NS_PER_US)
    step = PERIOD_STEP_NS * link.lanes
    return max(1, ceil(shortest_period_ns(lab, link) / step)) * step


def shortest_period_ns(lab: LabFile, link: Link) -> int:
    """Time in which an attempt of a photonic link is decided and known, and the next one made ready."""
    initialise_us = max(
        (lab.nodes[node].memory.initialise_us for node in link.nodes if node in lab.nodes), default=0.0
    )
    return attempt_times(link).decided_ns + round(initialise_us * NS_PER_US)


def operating_points(link: Link, physics: tuple[HeraldPhysics, ...]) -> tuple[OperatingPoint, ...]:
    """The operating points of a link with what each gives; empty where the file names none."""
    return tuple(
        OperatingPoint(
            name=point.name,
            success_probability=one.success_probability,
            heralds=herald_estimates(one),
            settings=_setting(point),
        )
        for point, one in zip(link.operating_points, physics, strict=False)
    )


def _setting(point: LinkPoint) -> dict[str, float]:
    if point.alpha is not None:
        return {"alpha_first": point.alpha[0], "alpha_second": point.alpha[1]}
    if point.mean_pair_number is not None:
        return {"mean_pair_number": point.mean_pair_number}
    assert point.window_ns is not None
    return {"window_ns": point.window_ns}


def link_settings(
    lab: LabFile,
    name: LinkId,
    slots: tuple[tuple[int, ...], tuple[int, ...]],
    physics: tuple[HeraldPhysics, ...],
    *,
    live: bool,
    shared: tuple[bool, bool] = (False, False),
) -> LinkSettings:
    """One link as its ends and its station are told about it. `physics`: of each way in which it can be run,
    the first of which holds where nobody chooses. `shared`: the slots of an end are a bank."""
    link = lab.links[name]
    period_ns = attempt_period_ns(lab, link)
    if link.fibre_km is None:
        click_ns, herald_ns = period_ns - TEXTBOOK_SETTLE_NS, (0, 0)
        length_km = link.length_km or 0.0
    else:
        click_ns, herald_ns = attempt_times(link)
        length_km = sum(link.fibre_km)
    armed_by_pulse = live and link.station is not None
    return LinkSettings(
        link=name,
        nodes=link.nodes,
        station=link.station,
        period_ns=period_ns,
        lanes=link.lanes,
        slots=slots,
        shared=shared,
        success_probability=physics[0].success_probability,
        heralds=herald_estimates(physics[0]),
        click_delay_ns=click_ns,
        herald_delay_ns=herald_ns,
        length_km=length_km,
        lease_ns=round(lab.limits.window_lease_ms * 1e6),
        frame_ns=round(lab.limits.schedule_step_ms * 1e6),
        shift_ns=round(lab.limits.lane_shift_ms * 1e6),
        start_margin_ns=round(lab.clock.start_margin_ms * 1e6) if armed_by_pulse else 0,
        whole_second=armed_by_pulse and lab.clock.whole_second,
        reserved_for=link.reserved_for,
        test_share=link.test_share,
        estimation=EstimationSettings(**link.estimation.model_dump()),
        through=position(link.through),
        ahead=None
        if link.ahead is None
        else AheadSettings(stock_max=link.ahead.stock, age_max_ns=ns_from_s(link.ahead.age_max_s)),
        creates_max=link.creates_max,
        scheduler=link.scheduler,
        calendar=link.calendar,
        architecture="textbook" if link.fibre_km is None else link.architecture,
        points=operating_points(link, physics),
    )


def memory_settings(memory: Memory, slots: int, limit_ms: float) -> MemorySettings:
    """What a node knows about its memory of `slots` slots."""
    noise = bsm_cost(memory.gate_fidelity, memory.readout_fidelity, memory.phase_flip)
    return MemorySettings(
        slots=slots,
        rates=memory_rates(memory),
        bsm_signs=noise.signs,
        bsm_cost=noise.cost,
        phase_flip=memory.phase_flip,
        bsm_success_probability=memory.bsm_success_probability,
        operation_limit_ns=round(limit_ms * 1e6),
        own_slots=memory.own_slots,
        emitters=memory.emitters,
        bsm_duration_ns=round(memory.bsm_duration_us * NS_PER_US),
        gate_fidelity=memory.gate_fidelity,
        readout_fidelity=memory.readout_fidelity,
        single_gate_fidelity=memory.single_gate_fidelity,
    )
