"""The network schedule of a lab: computed when the file is read, executed by the schedulers of its links.

Owns the way from a lab's network and requests to the figures that the calendar decides by, and from its
decision to settings of links: the turns that each is granted on the common clock, and whose each turn is.
Refuses the decision (planner/calendar) and predictions, which are the planner's. Every agent computes the
same schedule from the same file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import comb, lcm
from typing import Final

import msgspec

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.core.ids import LinkId, NodeId, RequestId
from bellwire.core.plans import EntanglementRequest
from bellwire.core.settings import LinkSettings, NetworkSettings
from bellwire.core.units import NS_PER_S, NS_PER_US
from bellwire.labs.banks import late_report_ns
from bellwire.labs.schedule_models import ScheduleSection
from bellwire.link_layer.arbiter import coloured
from bellwire.planner.calendar.admission import (
    Outcome,
    Refusal,
    Route,
    Schedule,
    fill_rest,
)
from bellwire.planner.calendar.bookings import Claim
from bellwire.planner.calendar.frames import Frame, LinkNeed, check_frame, guard_ns
from bellwire.planner.calendar.orders import order_of
from bellwire.planner.calendar.regions import decide, with_owners
from bellwire.planner.plans import choose_route
from bellwire.planner.routes import Route as PlannedRoute

STRETCH_MAX: Final = 1.25
"""An attempt period is made at most so many times as long, so that whole periods make a slot."""

START_LATENCIES: Final = 2.0
"""Mean latencies of a route over several links that a window costs until pairs come as steadily as predicted:
its links begin without pairs, and what they hold at the end of the window is given up."""

JUDGED_CYCLES: Final = 10
"""Whole cycles after which what a request gets may be judged: one window more or less is then a tenth."""

SAMPLES_ENDLESS: Final = 1 << 40
"""Pairs that nobody ever gets: how many came says nothing while they come in bunches."""

RUN_START_MAX_S: Final = 10.0
"""Hardware that is armed by a pulse per second starts on a whole second which is the start of a cycle too."""


@dataclass(frozen=True, slots=True)
class NetworkSchedule:
    """What was decided, and by what figures."""

    schedule: Schedule
    routes: tuple[Route, ...]  # of all requests that could be served at all
    outcome: Outcome
    wanted_hz: Mapping[RequestId, float]  # of all requests; 0: none
    owners: Mapping[RequestId, NodeId]  # who decided about a request


def scheduled(
    section: ScheduleSection,
    network: NetworkSettings,
    requests: tuple[EntanglementRequest, ...],
    steps_ns: Mapping[LinkId, int],
) -> tuple[NetworkSettings, tuple[EntanglementRequest, ...], NetworkSchedule]:
    """The network under its schedule, and the requests with the routes on which they have slots.

    steps_ns: of links whose hardware knows only periods that are multiples of this.

    Raises:
        ConfigError: another package's order of requests is at fault.
        LocalMisuse: values that do not go together, such as a slot shorter than the attempts of a link need.
    """
    frame = Frame(round(section.slot_ms * 1e6), section.slots)
    network = _in_whole_periods(frame, network, steps_ns)
    owner = section.owner or next(name for name, node in network.nodes.items() if node.role != "station")
    needs = with_owners(needs_of(section, network, owner), owner)
    try:
        check_frame(frame, needs)
    except ConfigError as short:
        raise LocalMisuse(f"schedule: {short.problem}") from None
    calibrations = {link: tuple(sorted(set(slots))) for link, slots in section.calibrations.items() if slots}
    schedule = Schedule(frame, needs, calibrations, owner)
    kept = 1.0 - section.margin
    routes: list[Route] = []
    refused: list[Refusal] = []
    ways: dict[RequestId, tuple[NodeId, ...]] = {}
    for request in requests:
        way = _way_of(network, request)
        if isinstance(way, str):
            refused.append(Refusal(request.request_id, way))
        else:
            ways[request.request_id] = way.nodes
            routes.append(_figures(schedule, network, request, way, kept))
    decided = decide(schedule, [route for route in routes if route.rate_hz], order_of(section.order))
    outcome = decided.outcome
    rest = fill_rest(schedule, outcome.calendar, [route for route in routes if not route.rate_hz])
    served = {one.request for one in rest}
    refused += [
        Refusal(route.request, "no slot is left for a request without a rate")
        for route in routes
        if not route.rate_hz and route.request not in served
    ]
    outcome = outcome._replace(admitted=(*outcome.admitted, *rest), refused=(*outcome.refused, *refused))
    known = NetworkSchedule(
        schedule,
        tuple(routes),
        outcome,
        {request.request_id: request.rate_threshold_hz or 0.0 for request in requests},
        {request.request_id: decided.owners.get(request.request_id, owner) for request in requests},
    )
    names = {one.request for one in outcome.admitted}
    along = tuple(
        msgspec.structs.replace(request, route=ways[request.request_id])
        if request.request_id in names
        else msgspec.structs.replace(request, when_full="reject")
        for request in requests
    )
    return _executed(schedule, outcome, network), along, known


# ---- what links need


def _in_whole_periods(
    frame: Frame, network: NetworkSettings, steps_ns: Mapping[LinkId, int]
) -> NetworkSettings:
    """Attempt periods of which a slot has a whole number: slots then begin with an attempt, for ever."""
    links: dict[LinkId, LinkSettings] = {}
    for name, link in network.links.items():
        step_ns = steps_ns.get(name, 1)
        count = max(1, frame.slot_ns // link.period_ns)
        while count > 1 and (frame.slot_ns % count or frame.slot_ns // count % step_ns):
            count -= 1
        period_ns = frame.slot_ns // count
        if period_ns > STRETCH_MAX * link.period_ns or period_ns % step_ns:
            least_ns = -(-link.period_ns // step_ns) * step_ns
            ticks = "" if step_ns == 1 else f"; periods of its station's FPGA are multiples of {step_ns} ns"
            raise LocalMisuse(
                f"schedule: slots of {frame.slot_ns / 1e6:g} ms have no whole number of attempts of {name}, "
                f"whose period of {link.period_ns / 1e3:g} us would become {period_ns / 1e3:g} us; give "
                f"slot_ms another value, such as a multiple of {least_ns / 1e3:g} us{ticks}"
            )
        # Turns that nodes would agree on among themselves mean nothing here, to predictions either.
        links[name] = msgspec.structs.replace(link, period_ns=period_ns, turn_ns=0, turns=1)
    return msgspec.structs.replace(network, links=links)


def claims_of(network: NetworkSettings, link: LinkSettings, switches: Mapping[str, str]) -> tuple[Claim, ...]:
    """The resources that a link has for itself while it attempts."""
    claims = [Claim(f"lanes:{link.link}")]
    for node, shared in zip(link.nodes, link.shared, strict=True):
        memory = network.nodes[node].memory
        if shared:
            claims.append(Claim(f"memories:{node}"))
        if memory is not None and memory.emitters is not None:
            claims.append(Claim(f"emitters:{node}"))
    if link.station is not None:
        claims.append(Claim(f"detectors:{link.station}"))
    return (*claims, *(Claim(f"switch:{name}", setting) for name, setting in sorted(switches.items())))


def needs_of(section: ScheduleSection, network: NetworkSettings, owner: NodeId) -> dict[LinkId, LinkNeed]:
    """What each link needs of the schedule; its guard covers the clocks of all links that need a resource of
    its own, and a station's report that comes later than the herald."""
    claims = {
        name: claims_of(network, link, section.switches.get(name, {})) for name, link in network.links.items()
    }

    def sigmas_ns(link: LinkSettings) -> list[float]:
        names = (*link.nodes, *((link.station,) if link.station is not None else ()))
        return [section.clock_sigmas_us.get(name, section.clock_sigma_us) * NS_PER_US for name in names]

    needs: dict[LinkId, LinkNeed] = {}
    for name, link in network.links.items():
        own = {claim.resource for claim in claims[name]}
        clocks = [
            sigma_ns
            for other, settings in network.links.items()
            if not own.isdisjoint(claim.resource for claim in claims[other])
            for sigma_ns in sigmas_ns(settings)
        ]
        regions = {network.nodes[node].region for node in link.nodes}
        region = regions.pop() if len(regions) == 1 else ""
        needs[name] = LinkNeed(
            link=name,
            nodes=link.nodes,
            claims=claims[name],
            period_ns=link.period_ns,
            decided_ns=link.click_delay_ns + max(link.herald_delay_ns),
            guard_ns=guard_ns(clocks) + late_report_ns(network, link),
            owner=section.regions.get(region, owner),
            rounds=_rounds(network, link),
        )
    return needs


def _rounds(network: NetworkSettings, link: LinkSettings) -> int:
    """Periods in which every lane attempts once."""
    memories = [network.nodes[node].memory for node in link.nodes]
    emitters = [one.emitters for one in memories if one is not None and one.emitters is not None]
    return -(-link.lanes // min(emitters, default=link.lanes))


# ---- what requests need


def _way_of(network: NetworkSettings, request: EntanglementRequest) -> PlannedRoute | str:
    """The route of a request, or why a schedule cannot serve it."""
    if request.entanglement_type != "bipartite" or request.entanglement_sequence or request.rounds:
        return "a network schedule serves requests for pairs"
    if request.routes_max > 1:
        return (
            f"a network schedule serves a request on one route; give routes_max 1, not {request.routes_max}"
        )
    return choose_route(network, msgspec.structs.replace(request, rate_threshold_hz=None))


def _figures(
    schedule: Schedule, network: NetworkSettings, request: EntanglementRequest, way: PlannedRoute, kept: float
) -> Route:
    """kept: share of the prediction that is promised."""
    names = [link.link for link in way.links]
    phases = _phases_of(schedule, names)
    rate_hz = 1.0 / way.outlook.latency_s
    lost_ns = max(schedule.needs[name].decided_ns + schedule.needs[name].guard_ns for name in names)
    if len(names) > 1:
        delays_ns = [network.delay_ns(one, other) for one, other in pairwise(way.nodes)]
        swaps_ns = [round(memory.bsm_duration_ns) for memory in way.memories[1:-1]]
        lost_ns += round(START_LATENCIES / rate_hz * NS_PER_S) + sum(delays_ns) + max(swaps_ns)
    return Route(
        request=request.request_id,
        rate_hz=request.rate_threshold_hz or 0.0,
        phases=phases,
        pairs_hz=kept * rate_hz,
        lost_ns=lost_ns,
        pairs_per_round=kept * _pairs_per_round(schedule, way) if len(phases) > 1 else 0.0,
    )


def _phases_of(schedule: Schedule, names: Sequence[LinkId]) -> tuple[tuple[LinkId, ...], ...]:
    """Links of a route that can attempt at the same time, phase by phase."""
    needed = {name: {claim.resource for claim in schedule.needs[name].claims} for name in names}
    rivals = {
        one: {other for other in names if other != one and not needed[one].isdisjoint(needed[other])}
        for one in names
    }
    colours = coloured(rivals)
    return tuple(
        tuple(name for name in names if colours[name] == colour)
        for colour in range(max(colours.values()) + 1)
    )


def _pairs_per_round(schedule: Schedule, way: PlannedRoute) -> float:
    """A lower bound of what a round of phases gives: each lane makes at most one pair in its slot, and those
    of the link that made fewest are swapped. Two memories of a bank are left to pairs that wait."""
    held: list[tuple[int, float]] = []
    success = 1.0
    for memory in way.memories[1:-1]:
        success *= memory.bsm_success_probability
    for link in way.links:
        need = schedule.needs[link.link]
        room_ns = schedule.frame.slot_ns - need.decided_ns - need.guard_ns
        attempts = max(0, room_ns // link.period_ns + 1)
        slots = [len(own) // 2 for own, shared in zip(link.slots, link.shared, strict=True) if shared]
        lanes = max(1, min(link.lanes, *slots)) if slots else link.lanes
        held.append((lanes, 1.0 - (1.0 - link.success_probability) ** attempts))
    most = min(lanes for lanes, _ in held)
    mean = 0.0
    for count in range(1, most + 1):
        chance = 1.0
        for lanes, made in held:
            chance *= _at_least(count, lanes, made)
        mean += chance
    return mean * success * min(1.0 - link.test_share for link in way.links)


def _at_least(count: int, lanes: int, made: float) -> float:
    """P(Bin(lanes, made) >= count)."""
    return sum(comb(lanes, k) * made**k * (1.0 - made) ** (lanes - k) for k in range(count, lanes + 1))


# ---- what links execute


def _executed(schedule: Schedule, outcome: Outcome, network: NetworkSettings) -> NetworkSettings:
    frame = schedule.frame
    links: dict[LinkId, LinkSettings] = {}
    for name, link in network.links.items():
        if link.whole_second and lcm(frame.cycle_ns, NS_PER_S) > RUN_START_MAX_S * NS_PER_S:
            raise LocalMisuse(
                f"schedule: a cycle of {frame.cycle_ns / 1e6:g} ms begins on a whole second only every "
                f"{lcm(frame.cycle_ns, NS_PER_S) / NS_PER_S:g} s, and {name} starts there; let slots x "
                "slot_ms divide a second or be whole seconds"
            )
        calendar: list[RequestId | None] = [None] * frame.slots
        for one in outcome.admitted:
            for slot in one.slots.get(name, ()):
                calendar[slot] = one.request
        links[name] = msgspec.structs.replace(
            link,
            scheduler="tdma",
            calendar=tuple(calendar),
            turn_ns=frame.slot_ns,
            turns=frame.slots,
            turn_guard_ns=schedule.needs[name].guard_ns,
            turns_granted=tuple(slot for slot, holder in enumerate(calendar) if holder is not None),
            frame_ns=frame.slot_ns,
        )
    # Pairs come in the request's own slots: what they say of a rate they say over whole cycles.
    monitor = msgspec.structs.replace(
        network.monitor,
        samples_min=SAMPLES_ENDLESS,
        duration_least_ns=max(network.monitor.duration_least_ns, JUDGED_CYCLES * frame.cycle_ns),
    )
    return msgspec.structs.replace(network, links=links, monitor=monitor)
