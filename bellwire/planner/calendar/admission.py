"""Which requests a frame can serve, and in which slots.

Owns the step from a wanted rate to slots on every link of a route, first come first served, and the search
for an order of requests that serves more. Refuses predictions: what a route makes in a window comes in as
figures (labs/schedule.py takes them from the planner), and so do the resources of links.

All links of a route have the same slots, as far as they can attempt at the same time; a pair of one link then
finds its partners, and no link fills with pairs of one request while the next fills with those of another.
Links that share memories attempt in phases, one slot after the other.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import LinkId, RequestId
from bellwire.planner.calendar.bookings import Booking, Calendar, Kind, Refused, Wish
from bellwire.planner.calendar.frames import Frame, LinkNeed, Window, windows_of

CALIBRATION: Final = "calibration"
"""Holder of windows in which a link is calibrated."""

EXCHANGES_MAX: Final = 64
"""Orders of requests that are tried beyond the fixed ones."""


class Route(NamedTuple):
    """What a request needs and what a route brings."""

    request: RequestId
    rate_hz: float  # wanted; 0: none is, see fill_rest
    phases: tuple[tuple[LinkId, ...], ...]  # links that attempt together; one phase where nothing is shared
    pairs_hz: float  # one phase: pairs per second while a window lasts
    lost_ns: int  # one phase: of each window, in which no pair comes yet or any more
    pairs_per_round: float = 0.0  # several phases: of one slot for each phase

    def pairs_in(self, frame: Frame, window: Window) -> float:
        """Expected pairs of a window, of one phase."""
        return self.pairs_hz * max(0, window.slots * frame.slot_ns - self.lost_ns) / 1e9

    @property
    def links(self) -> tuple[LinkId, ...]:
        """All links, phase by phase."""
        return tuple(link for phase in self.phases for link in phase)


class Admitted(NamedTuple):
    """A request that the frame serves."""

    request: RequestId
    rate_hz: float  # promised, not below what was wanted
    slots: Mapping[LinkId, tuple[int, ...]]


class Refusal(NamedTuple):
    """A request that the frame does not serve, and why."""

    request: RequestId
    reason: str


class Outcome(NamedTuple):
    """A frame with everything in it."""

    calendar: Calendar
    admitted: tuple[Admitted, ...]  # in the order in which they were asked for
    refused: tuple[Refusal, ...]

    @property
    def worth(self) -> tuple[int, float]:
        """By which outcomes compare: requests served, then the sum of the rates promised to them."""
        return len(self.admitted), sum(one.rate_hz for one in self.admitted)


class Schedule(NamedTuple):
    """What is given beside the requests."""

    frame: Frame
    needs: Mapping[LinkId, LinkNeed]
    calibrations: Mapping[LinkId, tuple[int, ...]]  # slots in which a link is left to its calibration
    owner: str


def with_calibrations(schedule: Schedule) -> Calendar:
    """A calendar in which nothing but the calibrations stands. Raises LocalMisuse when two of them need the
    same resource at the same time."""
    calendar = Calendar(schedule.owner)
    for link in sorted(schedule.calibrations):
        for window in windows_of(schedule.calibrations[link]):
            refused = calendar.book(_wish(schedule, CALIBRATION, link, window), 0)
            if isinstance(refused, Refused):
                raise LocalMisuse(f"calibration of {link}: {refused}")
    return calendar


def first_come(schedule: Schedule, routes: Sequence[Route], beside: Iterable[Wish] = ()) -> Outcome:
    """Requests in the order given, each in the earliest slots that are left. `beside`: bookings that others
    have made, which stay as they are."""
    calendar = with_calibrations(schedule)
    for wish in beside:
        if isinstance(refused := calendar.book(wish, 0), Refused):
            raise LocalMisuse(f"{wish.holder} on {wish.link}: {refused}")
    admitted: list[Admitted] = []
    refusals: list[Refusal] = []
    for route in routes:
        found = admit(schedule, calendar, route)
        if isinstance(found, Refusal):
            refusals.append(found)
        else:
            admitted.append(found)
    return Outcome(calendar, tuple(admitted), tuple(refusals))


def best_order(schedule: Schedule, routes: Sequence[Route], beside: Sequence[Wish] = ()) -> Outcome:
    """The best of several orders, and never worse than first come first served, which is one of them.

    Orders: as they came; by slots times links that a request needs, the least first (a request that blocks
    little is served before one that blocks much); by the fewest links; then whoever was refused is moved to
    the front as long as that serves more, at most EXCHANGES_MAX times.
    """
    served = _in_order_of(schedule, routes, beside)
    best_routes = list(routes)
    best = served(best_routes)
    for key in (_burden_of(schedule), _hops):
        order = sorted(routes, key=lambda route: (key(route), route.request))
        outcome = served(order)
        if outcome.worth > best.worth:
            best, best_routes = outcome, order
    tried = 0
    moved = True
    while moved and best.refused and tried < EXCHANGES_MAX:
        moved = False
        for refusal in best.refused:
            tried += 1
            (first,) = (route for route in routes if route.request == refusal.request)
            order = [first, *(route for route in best_routes if route is not first)]
            outcome = served(order)
            if outcome.worth > best.worth:
                best, best_routes, moved = outcome, order, True
                break
            if tried >= EXCHANGES_MAX:
                break
    return best


def _in_order_of(
    schedule: Schedule, routes: Sequence[Route], beside: Sequence[Wish]
) -> Callable[[Sequence[Route]], Outcome]:
    came = {route.request: place for place, route in enumerate(routes)}

    def served(order: Sequence[Route]) -> Outcome:
        outcome = first_come(schedule, order, beside)
        return outcome._replace(
            admitted=tuple(sorted(outcome.admitted, key=lambda one: came[one.request])),
            refused=tuple(sorted(outcome.refused, key=lambda one: came[one.request])),
        )

    return served


def _burden_of(schedule: Schedule) -> Callable[[Route], float]:
    def burden(route: Route) -> float:
        needed = slots_needed(schedule.frame, route)
        return float(schedule.frame.slots + 1 if needed is None else needed) * len(route.links)

    return burden


def _hops(route: Route) -> float:
    return float(len(route.links))


def slots_needed(frame: Frame, route: Route) -> int | None:
    """Slots of one link in one window, or rounds, with which a request alone has its rate; None: all slots
    are too few."""
    wanted = route.rate_hz * frame.cycle_ns / 1e9
    if len(route.phases) > 1:
        rounds = -(-wanted // route.pairs_per_round) if route.pairs_per_round > 0 else float("inf")
        return int(rounds) if rounds * len(route.phases) <= frame.slots else None
    for slots in range(1, frame.slots + 1):
        if route.pairs_in(frame, Window(0, slots)) >= wanted:
            return slots
    return None


def admit(schedule: Schedule, calendar: Calendar, route: Route) -> Admitted | Refusal:
    """Book slots for a request, all or none."""
    if slots_needed(schedule.frame, route) is None:
        return Refusal(route.request, _too_fast(schedule.frame, route))
    chosen = (
        _in_phases(schedule, calendar, route)
        if len(route.phases) > 1
        else _at_once(schedule, calendar, route)
    )
    if isinstance(chosen, Refusal):
        return chosen
    pairs, slots = chosen
    wishes = [
        _wish(schedule, route.request, link, window) for link in slots for window in windows_of(slots[link])
    ]
    booked = calendar.book_all(wishes, 0)
    if isinstance(booked, Refused):
        raise LocalMisuse(f"{route.request}: slots that were free are taken: {booked}")
    return Admitted(route.request, pairs / (schedule.frame.cycle_ns / 1e9), slots)


Chosen = tuple[float, Mapping[LinkId, tuple[int, ...]]]
"""Pairs in a cycle, and the slots of each link."""


def _at_once(schedule: Schedule, calendar: Calendar, route: Route) -> Chosen | Refusal:
    frame = schedule.frame
    wanted = route.rate_hz * frame.cycle_ns / 1e9
    free = [slot for slot in range(frame.slots) if _free(schedule, calendar, route.links, slot)]
    pairs, taken = 0.0, list[Window]()
    # One window that is just long enough, else the longest ones: each window costs its start and its end.
    for window in windows_of(free):
        if (least := _shortest(frame, route, window, wanted)) is not None:
            return route.pairs_in(frame, least), _same_slots(route, [least])
    for window in sorted(windows_of(free), key=lambda one: (-one.slots, one.first)):
        least = _shortest(frame, route, window, wanted - pairs) or window
        taken.append(least)
        pairs += route.pairs_in(frame, least)
        if pairs >= wanted:
            return pairs, _same_slots(route, taken)
    return Refusal(route.request, _no_room(schedule, calendar, route, pairs / (frame.cycle_ns / 1e9)))


def _shortest(frame: Frame, route: Route, within: Window, wanted: float) -> Window | None:
    for slots in range(1, within.slots + 1):
        if route.pairs_in(frame, shorter := Window(within.first, slots)) >= wanted:
            return shorter
    return None


def _same_slots(route: Route, windows: Sequence[Window]) -> dict[LinkId, tuple[int, ...]]:
    slots = sorted(slot for one in windows for slot in range(one.first, one.first + one.slots))
    return dict.fromkeys(route.links, tuple(slots))


def _in_phases(schedule: Schedule, calendar: Calendar, route: Route) -> Chosen | Refusal:
    frame = schedule.frame
    needed = slots_needed(frame, route)
    assert needed is not None
    slots: dict[LinkId, list[int]] = {link: [] for link in route.links}
    rounds, start = 0, 0
    while rounds < needed and start + len(route.phases) <= frame.slots:
        steps = [(phase, start + index) for index, phase in enumerate(route.phases)]
        if all(_free(schedule, calendar, phase, slot) for phase, slot in steps):
            for phase, slot in steps:
                for link in phase:
                    slots[link].append(slot)
            rounds += 1
            start += len(route.phases)
        else:
            start += 1
    made = rounds * route.pairs_per_round
    if rounds < needed:
        return Refusal(route.request, _no_room(schedule, calendar, route, made / (frame.cycle_ns / 1e9)))
    return made, {link: tuple(each) for link, each in slots.items()}


def _free(schedule: Schedule, calendar: Calendar, links: Sequence[LinkId], slot: int) -> bool:
    return all(calendar.in_the_way(_wish(schedule, "", link, Window(slot, 1)), 0) is None for link in links)


def _wish(schedule: Schedule, holder: str, link: LinkId, window: Window) -> Wish:
    from_ns, to_ns = schedule.frame.span_ns(window)
    kind: Kind = "calibration" if holder == CALIBRATION else "attempts"
    return Wish(holder, schedule.needs[link].claims, from_ns, to_ns, link=link, kind=kind)


def fill_rest(schedule: Schedule, calendar: Calendar, routes: Sequence[Route]) -> tuple[Admitted, ...]:
    """Requests without a rate get the slots that are left, in one phase: the next one whoever has fewest."""
    taken: dict[RequestId, list[int]] = {route.request: [] for route in routes if len(route.phases) == 1}
    by_name = {route.request: route for route in routes}
    for slot in range(schedule.frame.slots):
        for request in sorted(taken, key=lambda name: (len(taken[name]), name)):
            if _free(schedule, calendar, by_name[request].links, slot):
                taken[request].append(slot)
                wishes = [_wish(schedule, request, link, Window(slot, 1)) for link in by_name[request].links]
                if isinstance(refused := calendar.book_all(wishes, 0), Refused):
                    raise LocalMisuse(f"{request}: a slot that was free is taken: {refused}")
    found: list[Admitted] = []
    for request, slots in taken.items():
        if slots:
            route = by_name[request]
            pairs = sum(route.pairs_in(schedule.frame, window) for window in windows_of(slots))
            granted = dict.fromkeys(route.links, tuple(slots))
            found.append(Admitted(request, pairs / (schedule.frame.cycle_ns / 1e9), granted))
    return tuple(found)


# ---- words


def _too_fast(frame: Frame, route: Route) -> str:
    if len(route.phases) > 1:
        most = frame.slots // len(route.phases) * route.pairs_per_round
    else:
        most = route.pairs_in(frame, Window(0, frame.slots))
    return (
        f"rate {route.rate_hz:g}/s cannot be reached: all {frame.slots} slots of a cycle give "
        f"{most / (frame.cycle_ns / 1e9):.4g}/s"
    )


def _no_room(schedule: Schedule, calendar: Calendar, route: Route, left_hz: float) -> str:
    """Names the link with the fewest free slots and who holds the others."""

    def free_slots(link: LinkId) -> int:
        return sum(_free(schedule, calendar, (link,), slot) for slot in range(schedule.frame.slots))

    scarce = min(route.links, key=lambda link: (free_slots(link), link))
    holders = sorted(
        {
            refused.holder
            for slot in range(schedule.frame.slots)
            if (refused := calendar.in_the_way(_wish(schedule, "", scarce, Window(slot, 1)), 0)) is not None
        }
    )
    held = f", the others are held by {', '.join(holders)}" if holders else ""
    return (
        f"rate {route.rate_hz:g}/s does not fit beside the others: what is left gives {left_hz:.4g}/s; "
        f"link {scarce} has {free_slots(scarce)} of {schedule.frame.slots} slots free{held}"
    )


# ---- properties that every outcome has


def faults_of(schedule: Schedule, outcome: Outcome) -> list[str]:
    """What is wrong with an outcome: none of these lines may ever appear.

    Looks at the calendar alone, not at how it was made: resources granted twice, windows too short for an
    attempt of every lane, attempts in calibration windows, promises below what was wanted.
    """
    faults: list[str] = []
    by_resource: dict[str, list[Booking]] = {}
    for booking in outcome.calendar:
        for claim in booking.wish.claims:
            by_resource.setdefault(claim.resource, []).append(booking)
    for resource, bookings in sorted(by_resource.items()):
        bookings.sort(key=lambda one: one.wish.from_ns)
        settings = [
            next(claim.setting for claim in one.wish.claims if claim.resource == resource) for one in bookings
        ]
        for (one, first), (other, second) in pairwise(zip(bookings, settings, strict=True)):
            if other.wish.from_ns < one.wish.to_ns and (first is None or first != second):
                faults.append(f"{resource} is granted to {one.wish.holder} and {other.wish.holder} at once")
    for booking in outcome.calendar:
        wish = booking.wish
        if wish.link is not None and wish.kind == "attempts":
            if wish.to_ns - wish.from_ns < schedule.needs[wish.link].least_ns:
                faults.append(f"{wish.link} has {wish.to_ns - wish.from_ns} ns for {wish.holder}")
            for slot in schedule.calibrations.get(wish.link, ()):
                from_ns, to_ns = schedule.frame.span_ns(Window(slot, 1))
                if wish.from_ns < to_ns and from_ns < wish.to_ns:
                    faults.append(f"{wish.holder} attempts on {wish.link} in its calibration slot {slot}")
    return faults
