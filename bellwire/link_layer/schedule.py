"""The cyclic schedule of an attempt window: who a lane works for, as a pure function of the attempt number.

Owns weighted round robin and the binding rule. Both ends evaluate the same function of the same window, so a
herald needs no message to be bound to a request (stack paper IV-F; architecture.md section 4, Claims).
"""

from collections.abc import Mapping, Sequence
from math import gcd

from bellwire.core.ids import RequestId
from bellwire.core.messages import ScheduleEntry, Window
from bellwire.core.plans import PLACES, LinkPlan


def weighted_round_robin(shares: Sequence[tuple[ScheduleEntry, int]]) -> tuple[ScheduleEntry, ...]:
    """One cycle in which every entry appears in proportion to its weight, spread as evenly as possible.

    Smooth weighted round robin: each place goes to the entry that is furthest behind its share; ties go to
    the earlier entry, so the result depends on nothing but the argument. Weights that sum to at most PLACES
    are kept exactly; more are scaled down, and an entry always keeps at least one place.
    """
    if not shares:
        return ()
    weights = [max(1, weight) for _, weight in shares]
    divisor = gcd(*weights)
    weights = [weight // divisor for weight in weights]
    if sum(weights) > PLACES:
        scale = PLACES / sum(weights)
        weights = [max(1, int(weight * scale)) for weight in weights]
    total = sum(weights)
    behind = [0] * len(shares)
    cycle: list[ScheduleEntry] = []
    for _ in range(total):
        for index, weight in enumerate(weights):
            behind[index] += weight
        chosen = max(range(len(shares)), key=lambda index: (behind[index], -index))
        behind[chosen] -= total
        cycle.append(shares[chosen][0])
    return tuple(cycle)


def cycle_of(requests: Mapping[tuple[RequestId, int], LinkPlan]) -> tuple[ScheduleEntry, ...]:
    """The cycle for the requests (by request and tree) that want pairs; the same at any order of asking."""
    return weighted_round_robin(
        [
            (ScheduleEntry(request=request, tree=tree), plan.weight)
            for (request, tree), plan in sorted(requests.items())
        ]
    )


def entry_for(window: Window, attempt: int, lane: int) -> ScheduleEntry:
    """Which request and tree this lane works for at this attempt of the window."""
    schedule = window.schedule
    if len(schedule) == 1:
        return schedule[0]
    step = (attempt - window.first) // window.frame_attempts
    return schedule[(step + lane) % len(schedule)]


def covering(windows: Sequence[Window], attempt: int) -> Window | None:
    """The window with the highest fence that covers an attempt; a later fence rules from its first attempt
    on."""
    best: Window | None = None
    for window in windows:
        if window.first <= attempt <= window.last and (best is None or window.fence > best.fence):
            best = window
    return best
