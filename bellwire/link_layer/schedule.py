"""Who a lane of a link works for, as a pure function of the window and the attempt number.

Owns the division of lanes among requests, weighted round robin and the binding rule. Both ends evaluate the
same function of the same window, so a herald needs no message to be bound to a request (stack paper IV-F;
architecture.md section 4, Claims).

A lane is a pair of memories, and a pair that waits for its partner keeps it. If all lanes served everybody in
turn, the lanes of one link could fill with pairs of one request and those of the next link with pairs of
another, and both would wait for ever. So every request owns as many whole lanes as it has reserved and as its
weight gives it of the rest; only what is left of the division goes round.
"""

from collections.abc import Mapping, Sequence
from math import gcd
from typing import NamedTuple

from bellwire.core.ids import RequestId
from bellwire.core.messages import ScheduleEntry, Window
from bellwire.core.plans import WEIGHTS_MAX, LinkPlan


class Shares(NamedTuple):
    """Owners of the first lanes, and the cycle that the other lanes go through together."""

    owners: tuple[ScheduleEntry, ...]
    cycle: tuple[ScheduleEntry, ...]


def shares_of(lanes: int, requests: Mapping[tuple[RequestId, int], LinkPlan]) -> Shares:
    """The division of a link among the requests (by request and tree) that want pairs; the same at any order
    of asking.

    Reserved lanes come first, the rest is divided by weight. Whoever reserved too much in sum (which nodes do
    not accept) gets what is there, in the order of names.
    """
    entries = [
        (ScheduleEntry(request=request, tree=tree), plan)
        for (request, tree), plan in sorted(requests.items())
    ]
    if len(entries) <= 1:
        return Shares((), tuple(entry for entry, _ in entries))
    total = sum(plan.weight for _, plan in entries)
    rest = max(0, lanes - sum(plan.lanes for _, plan in entries))
    owners: list[ScheduleEntry] = []
    parts: list[tuple[ScheduleEntry, int]] = []
    for entry, plan in entries:
        whole, part = divmod(rest * plan.weight, total)
        owners += [entry] * (plan.lanes + whole)
        if part:
            parts.append((entry, part))
    owners = owners[:lanes]
    return Shares(tuple(owners), weighted_round_robin(parts) if len(owners) < lanes else ())


def weighted_round_robin(shares: Sequence[tuple[ScheduleEntry, int]]) -> tuple[ScheduleEntry, ...]:
    """One cycle in which every entry appears in proportion to its weight, spread as evenly as possible.

    Smooth weighted round robin: each place goes to the entry that is furthest behind its share; ties go to
    the earlier entry, so the result depends on nothing but the argument. Weights that sum to at most
    WEIGHTS_MAX are kept exactly; more are scaled down, and an entry always keeps at least one place.
    """
    if not shares:
        return ()
    weights = [max(1, weight) for _, weight in shares]
    divisor = gcd(*weights)
    weights = [weight // divisor for weight in weights]
    if sum(weights) > WEIGHTS_MAX:
        scale = WEIGHTS_MAX / sum(weights)
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


def entry_for(window: Window, attempt: int, lane: int) -> ScheduleEntry:
    """Which request and tree this lane works for at this attempt of the window."""
    if lane < len(window.owners):
        return window.owners[lane]
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
