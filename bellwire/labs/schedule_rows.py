"""A network schedule as rows for people and pages.

Owns who has which resource from when to when, and the inventory. Refuses to decide (schedule.py) and looks.
"""

from typing import Any

from bellwire.core.ids import RequestId
from bellwire.core.settings import NetworkSettings
from bellwire.labs.schedule import NetworkSchedule
from bellwire.planner.calendar.admission import Admitted, Refusal


def rows_of(known: NetworkSchedule) -> list[dict[str, Any]]:
    """Who has which resource from when to when in a cycle, ready for JSON; a guard ends each window."""
    rows: list[dict[str, Any]] = []
    for booking in known.outcome.calendar:
        wish = booking.wish
        guard = (
            0 if wish.link is None or wish.kind != "attempts" else known.schedule.needs[wish.link].guard_ns
        )
        for claim in wish.claims:
            row = {
                "resource": claim.resource,
                "link": wish.link,
                "kind": wish.kind,
                "request": wish.holder if wish.kind == "attempts" else None,
                "from_ns": wish.from_ns,
                "to_ns": wish.to_ns - guard,
                "lease": booking.lease,
                "fence": booking.fence,
            }
            rows.append(row)
            if guard:
                rows.append(row | {"kind": "guard", "from_ns": wish.to_ns - guard, "to_ns": wish.to_ns})
    return rows


def inventory_of(known: NetworkSchedule, network: NetworkSettings) -> list[dict[str, Any]]:
    """Each resource of the lab: how many it is, how much of a cycle is taken, and by whom."""
    frame, holders = known.schedule.frame, dict[str, dict[str, int]]()
    for booking in known.outcome.calendar:
        for claim in booking.wish.claims:
            taken = holders.setdefault(claim.resource, {})
            wish = booking.wish
            taken[wish.holder] = taken.get(wish.holder, 0) + wish.to_ns - wish.from_ns
    counts = _counts(network)
    resources = dict.fromkeys(
        claim.resource for need in known.schedule.needs.values() for claim in need.claims
    )
    return [
        {
            "resource": resource,
            "count": counts.get(resource, 1),
            "taken": sum(holders.get(resource, {}).values()) / frame.cycle_ns,
            "holders": dict(sorted(holders.get(resource, {}).items())),
        }
        for resource in sorted(resources)
    ]


def _counts(network: NetworkSettings) -> dict[str, int]:
    counts = {f"lanes:{name}": link.lanes for name, link in network.links.items()}
    for name, node in network.nodes.items():
        if node.memory is not None:
            counts[f"memories:{name}"] = node.memory.slots
            counts[f"emitters:{name}"] = node.memory.emitters or node.memory.slots
    return counts


def promised(known: NetworkSchedule, request: RequestId) -> Admitted | Refusal:
    """What was decided about a request."""
    for one in known.outcome.admitted:
        if one.request == request:
            return one
    return next(one for one in known.outcome.refused if one.request == request)
