"""What a node says of itself, made from its settings; and whether two claims about one link agree.

Owns the making and the comparing of claims, and the ranges of what may be announced. Refuses verdicts on
links (network_map.py).
"""

from math import hypot, isfinite
from typing import Final

from bellwire.core.ids import LinkId, NodeId
from bellwire.core.settings import LinkSettings, NetworkSettings
from bellwire.core.topology_messages import (
    LinkClaim,
    LinkVerification,
    MemoryClaim,
    NodeAnnounced,
    PointClaim,
)
from bellwire.planner.advertised import FILE_FIDELITY_ERROR, FILE_HERALDS
from bellwire.planner.points import fidelity_at

LINKS_MAX: Final = 64
"""Links of one node in an announcement."""

POINTS_MAX: Final = 64
"""Operating points of one link in an announcement."""

TEXT_MAX: Final = 200
"""Characters of a reason or a name in an announcement."""

SIGMAS: Final = 3.0
"""Figures of two ends that differ by more standard errors than this contradict each other. Figures that are
right, with errors that are right, do so in 0.3 % of all comparisons."""

FILE_RELATIVE_ERROR: Final = FILE_HERALDS**-0.5
"""Standard error of a success probability that nobody has calibrated, relative."""


def claim_of(link: LinkSettings) -> LinkClaim:
    """What a lab file, or the calibrations read with it, say of a link."""
    points = [link.point(index) for index in range(max(1, len(link.points)))]
    return LinkClaim(
        link=link.link,
        nodes=link.nodes,
        station=link.station,
        architecture=link.architecture,
        period_ns=link.period_ns,
        lanes=link.lanes,
        length_km=link.length_km,
        points=tuple(
            PointClaim(
                name=point.name,
                success_probability=point.success_probability,
                fidelity=fidelity_at(point),
            )
            for point in points
        ),
        success_error=link.success_error,
        fidelity_error=link.fidelity_error,
    )


def memory_of(network: NetworkSettings, node: NodeId) -> MemoryClaim | None:
    """The memory of a node as it is announced; None: a station."""
    memory = network.nodes[node].memory
    if memory is None:
        return None
    return MemoryClaim(slots=memory.slots, own_slots=memory.own_slots, emitters=memory.emitters)


def contradiction(one: LinkClaim, other: LinkClaim) -> str | None:
    """Where two claims about one link differ by more than their errors, in words; None: they agree."""
    for name in ("nodes", "station", "architecture", "period_ns", "lanes"):
        mine, theirs = getattr(one, name), getattr(other, name)
        if mine != theirs:
            return f"{name} {_said(mine)} against {_said(theirs)}"
    names = [[point.name for point in claim.points] for claim in (one, other)]
    if names[0] != names[1]:
        return f"operating points {_said(names[0])} against {_said(names[1])}"
    for mine, theirs in zip(one.points, other.points, strict=True):
        errors = [
            FILE_RELATIVE_ERROR * point.success_probability
            if claim.success_error is None
            else claim.success_error
            for claim, point in ((one, mine), (other, theirs))
        ]
        if _differ(mine.success_probability, theirs.success_probability, errors):
            return (
                f"success probability {mine.success_probability:.3g} against {theirs.success_probability:.3g}"
            )
        errors = [
            FILE_FIDELITY_ERROR if claim.fidelity_error is None else claim.fidelity_error
            for claim in (one, other)
        ]
        if _differ(mine.fidelity, theirs.fidelity, errors):
            return f"fidelity {mine.fidelity:.3f} against {theirs.fidelity:.3f}"
    return None


def fault_of(told: NodeAnnounced) -> str | None:
    """What no node can say of itself; None: it may be so."""
    if told.number < 1:
        return f"announcement number {told.number}, they are counted from 1"
    if (told.memory is None) != (told.role == "station"):
        return f"role {told.role} {'without' if told.memory is None else 'with'} a memory"
    if told.memory is not None:
        counts = (told.memory.slots, told.memory.own_slots, told.memory.emitters or 0)
        if min(counts) < 0:
            return f"a memory of {counts} slots, own slots and emitters"
    if len(told.links) > LINKS_MAX:
        return f"{len(told.links)} links, the limit is {LINKS_MAX}"
    texts = (told.region, told.software, told.leaving or "")
    if max(map(len, texts)) > TEXT_MAX:
        return f"a text of more than {TEXT_MAX} characters"
    seen: set[LinkId] = set()
    for claim in told.links:
        if told.node not in (*claim.nodes, claim.station):
            return f"link {claim.link}, which is none of its own"
        if claim.link in seen:
            return f"link {claim.link} twice"
        seen.add(claim.link)
        fault = _fault_of_link(claim)
        if fault is not None:
            return f"link {claim.link} with {fault}"
    return None


def _fault_of_link(claim: LinkClaim) -> str | None:
    if claim.nodes[0] == claim.nodes[1] or claim.station in claim.nodes:
        return f"ends {_said(claim.nodes)} and station {claim.station}"
    if claim.period_ns < 1 or claim.lanes < 1:
        return f"a period of {claim.period_ns} ns and {claim.lanes} lanes"
    if not (isfinite(claim.length_km) and claim.length_km >= 0.0):
        return f"a length of {claim.length_km} km"
    if not 1 <= len(claim.points) <= POINTS_MAX:
        return f"{len(claim.points)} operating points, outside 1..{POINTS_MAX}"
    for error in (claim.success_error, claim.fidelity_error):
        if error is not None and not (isfinite(error) and error >= 0.0):
            return f"a standard error of {error}"
    for point in claim.points:
        if not (0.0 <= point.success_probability <= 1.0 and 0.0 <= point.fidelity <= 1.0):
            return f"success probability {point.success_probability}, fidelity {point.fidelity}"
    texts = (claim.link, claim.architecture, claim.reason, *(point.name for point in claim.points))
    if max(map(len, texts)) > TEXT_MAX:
        return f"a text of more than {TEXT_MAX} characters"
    return None if claim.verification is None else _fault_of_verification(claim.verification)


def _fault_of_verification(found: LinkVerification) -> str | None:
    if not 0.0 <= found.fidelity_low <= found.fidelity <= found.fidelity_high <= 1.0:
        return f"a fidelity of {found.fidelity} in {found.fidelity_low}..{found.fidelity_high}"
    if not 0.0 <= found.fidelity_wanted <= 1.0 or found.pairs < 0:
        return f"{found.pairs} pairs measured against a fidelity of {found.fidelity_wanted}"
    return None


def _differ(one: float, other: float, errors: list[float]) -> bool:
    return abs(one - other) > SIGMAS * hypot(*errors) + 1e-12  # rounding is no contradiction


def _said(value: object) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return "none" if value is None else str(value)
