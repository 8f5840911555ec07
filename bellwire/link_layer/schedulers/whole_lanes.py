"""From amounts to lanes: whole lanes get owners, only what is left of the division goes round.

A lane is a pair of memories, and a pair that waits for its partner keeps it. If all lanes served everybody in
turn, the lanes of one link could fill with pairs of one request and those of the next link with pairs of
another, and both would wait for ever. So every request owns as many whole lanes as it has reserved and as it
was given of the rest; where there are too few lanes for that, they work in shifts (shifts.py). Owns that
rounding, reserved lanes, and the even cycle. Refuses to choose who gets what.
"""

from collections.abc import Sequence
from fractions import Fraction
from math import gcd, lcm

from bellwire.core.link_messages import ScheduleEntry
from bellwire.core.plans import WEIGHTS_MAX
from bellwire.link_layer.binding import RESTING
from bellwire.link_layer.schedulers.budgets import fill_classes
from bellwire.link_layer.schedulers.shifts import in_shifts
from bellwire.link_layer.schedulers.words import Demand, Lanes


def by_name(demands: Sequence[Demand]) -> list[Demand]:
    """Demands in the order of their names: what is divided does not depend on the order of asking."""
    return sorted(demands, key=lambda one: (one.entry.request, one.entry.tree))


def reserved(demand: Demand) -> int:
    """Lanes that the request has for itself; background has none."""
    return 0 if demand.plan.background else demand.plan.lanes


def lanes_for(lanes: int, classes: Sequence[Sequence[Demand]], shift: int | None = None) -> Lanes:
    """Reserved lanes first, the rest to the classes in their order (`fill_classes`).

    Whoever reserved too much in sum (which nodes do not accept) gets what is there, in the order of names.
    Somebody alone has all lanes go round to him. Whoever keeps to what is reserved has no part in the rest,
    which may be nobody's then. shift: number of the present one, None: lanes do not work in
    shifts.
    """
    demands = by_name([one for members in classes for one in members])
    if len(demands) <= 1 and not any(one.plan.reserved_only for one in demands):
        return Lanes((), tuple((one, Fraction(1)) for one in demands))
    rest = max(0, lanes - sum(reserved(one) for one in demands))
    sharing = [by_name([one for one in members if not one.plan.reserved_only]) for members in classes]
    amounts = {one.entry: amount for one, amount in fill_classes(rest, sharing)}
    owners: list[ScheduleEntry] = []
    parts: list[tuple[Demand, Fraction]] = []
    for one in demands:
        whole, part = divmod(amounts.get(one.entry, Fraction(0)), 1)
        owners += [one.entry] * (reserved(one) + whole)
        if part:
            parts.append((one, part))
    divided = Lanes(tuple(owners[:lanes]), tuple(parts) if len(owners) < lanes else ())
    return divided if shift is None else in_shifts(lanes, divided, shift)


def cycle_of(lanes: int, divided: Lanes) -> tuple[ScheduleEntry, ...]:
    """Whom the lanes that nobody owns serve in turn: nobody, where nobody has a part in them."""
    if not divided.parts:
        return (RESTING,) if 0 < len(divided.owners) < lanes else ()
    return even_cycle([(one.entry, part) for one, part in divided.parts])


def even_cycle(parts: Sequence[tuple[ScheduleEntry, Fraction]]) -> tuple[ScheduleEntry, ...]:
    """Parts as one even cycle of places."""
    scale = lcm(*(part.denominator for _, part in parts))
    return weighted_round_robin([(entry, int(part * scale)) for entry, part in parts])


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
