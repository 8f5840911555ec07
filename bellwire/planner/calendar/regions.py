"""Who decides about which slots: one node, or a node for each region.

Owns the division of the work. Requests over links of several owners are decided first, by the one named owner
of everything that crosses regions; then each owner of a region decides about requests within it, beside those
bookings and without asking another region. Two regions never meet, because a resource that links of two
owners need makes all these links the business of the named owner.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import LinkId, NodeId
from bellwire.planner.calendar.admission import (
    Admitted,
    Outcome,
    Refusal,
    Route,
    Schedule,
    with_calibrations,
)
from bellwire.planner.calendar.bookings import Calendar, Refused, Wish
from bellwire.planner.calendar.frames import LinkNeed
from bellwire.planner.calendar.orders import Order


class Decided(NamedTuple):
    """A schedule of all owners, and who decided what."""

    outcome: Outcome
    owners: Mapping[str, NodeId]  # of each request


def with_owners(needs: Mapping[LinkId, LinkNeed], owner: NodeId) -> dict[LinkId, LinkNeed]:
    """Links with the owners that they can have: all links that share a resource have one, if need be the
    named one."""
    found = dict(needs)
    changed = True
    while changed:
        changed = False
        owners: dict[str, set[NodeId]] = {}
        for need in found.values():
            for claim in need.claims:
                owners.setdefault(claim.resource, set()).add(need.owner)
        for link, need in found.items():
            if need.owner != owner and any(len(owners[claim.resource]) > 1 for claim in need.claims):
                found[link] = need._replace(owner=owner)
                changed = True
    return found


def decide(schedule: Schedule, routes: Sequence[Route], order: Order) -> Decided:
    """The outcome of all owners. Each gets its requests in the order in which they came."""
    owners = {route.request: _owner_of(schedule, route) for route in routes}
    beside: list[Wish] = []
    admitted: list[Admitted] = []
    refused: list[Refusal] = []
    for owner in dict.fromkeys((schedule.owner, *(need.owner for need in schedule.needs.values()))):
        own = [route for route in routes if owners[route.request] == owner]
        # What the named owner has booked stands; of other regions nothing is known, and nothing matters.
        outcome = order(schedule._replace(owner=owner), own, _of_named(beside, schedule, owner))
        admitted += outcome.admitted
        refused += outcome.refused
        theirs = {route.request for route in own}
        beside += [one.wish for one in outcome.calendar if one.wish.holder in theirs]
    came = {route.request: place for place, route in enumerate(routes)}
    calendar = _joined(schedule, beside)
    return Decided(
        Outcome(
            calendar,
            tuple(sorted(admitted, key=lambda one: came[one.request])),
            tuple(sorted(refused, key=lambda one: came[one.request])),
        ),
        owners,
    )


def _owner_of(schedule: Schedule, route: Route) -> NodeId:
    owners = {schedule.needs[link].owner for link in route.links}
    return owners.pop() if len(owners) == 1 else schedule.owner


def _of_named(beside: Sequence[Wish], schedule: Schedule, owner: NodeId) -> list[Wish]:
    """Bookings on links of this owner; they can only be the named owner's."""
    return [wish for wish in beside if wish.link is not None and schedule.needs[wish.link].owner == owner]


def _joined(schedule: Schedule, wishes: Sequence[Wish]) -> Calendar:
    calendar = with_calibrations(schedule)
    for wish in wishes:
        if isinstance(refused := calendar.book(wish, 0), Refused):
            raise LocalMisuse(f"two owners granted the same: {wish.holder} on {wish.link}: {refused}")
    return calendar
