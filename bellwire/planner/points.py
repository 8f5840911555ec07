"""A link as a plan counts with it: at one operating point, with what was learnt, for its share of the time.

Owns the planner's copy of a link's settings and the floors of fidelity among which a plan may choose.
Refuses to learn (advertised.py) and to set hardware: the link's own fidelity estimation chooses the operating
point by the floors that plans bring (`LinkPlan.fidelity_min`), the fastest that keeps the highest floor.
"""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Final

import msgspec

from bellwire.core.bell import Bell, Walsh, fidelity_of, from_walsh, to_walsh
from bellwire.core.ids import NodeId
from bellwire.core.plans import LinkNews, PointNews
from bellwire.core.settings import HeraldEstimate, LinkSettings, NodeSettings, OperatingPoint

FLOORS_MAX: Final = 16
"""Floors that a plan tries at most; of more some between the lowest and the highest are left out."""

WORST_FIDELITY: Final = 0.25
"""Of a pair that is no better than noise."""

NO_ERROR: Final = 1e-12
"""A state that lacks less than this of its Bell state says nothing about how its errors are divided."""


def fidelity_at(point: OperatingPoint) -> float:
    """Mean fidelity of a fresh pair; herald codes come equally often."""
    states = [fidelity_of(Walsh(herald.signs, herald.cost)) for herald in point.heralds]
    return sum(states) / len(states)


def chosen_point(points: tuple[OperatingPoint, ...], floor: float | None) -> int:
    """The fastest point whose fidelity is not below the floor; the best one when none is; None: the first,
    which serves where nobody asks for a fidelity."""
    if floor is None:
        return 0
    good = [index for index, point in enumerate(points) if fidelity_at(point) >= floor]
    if good:
        return max(good, key=lambda index: (points[index].success_probability, -index))
    return max(range(len(points)), key=lambda index: (fidelity_at(points[index]), -index))


def fidelity_wish(link: LinkSettings, floor: float | None) -> float | None:
    """What a plan tells a link so that it takes the point that the plan counts with; None: no wish.

    In the middle between that point's fidelity and the next lower one, so that a small error of a measured
    fidelity does not move the choice.
    """
    if floor is None or len(link.points) < 2:
        return None
    fidelity = fidelity_at(link.points[chosen_point(link.points, floor)])
    lower = [each for point in link.points if (each := fidelity_at(point)) < fidelity]
    return (fidelity + max(lower, default=WORST_FIDELITY)) / 2.0


def floors(links: Iterable[LinkSettings]) -> tuple[float | None, ...]:
    """Floors of fidelity worth trying for somebody who needs one, the lowest and fastest first: any, then one
    between each two neighbours of the operating points. (None,) where no link has a choice."""
    choices = [link for link in links if len(link.points) > 1]
    if not choices:
        return (None,)
    steps = {
        (lower + higher) / 2.0
        for link in choices
        for lower, higher in pairwise(sorted({fidelity_at(point) for point in link.points}))
    }
    ordered = [WORST_FIDELITY, *sorted(steps)]
    if len(ordered) > FLOORS_MAX:
        last = len(ordered) - 1
        ordered = [ordered[place * last // (FLOORS_MAX - 1)] for place in range(FLOORS_MAX)]
    return tuple(ordered)


def as_planned(
    link: LinkSettings,
    nodes: Mapping[NodeId, NodeSettings],
    news: LinkNews | None = None,
    floor: float | None = None,
) -> LinkSettings:
    """The planner's copy of a link: the chosen operating point stands in place of the base figures, and a
    link that may attempt for a share of the time, or with fewer emitters than lanes, has a longer period.

    news: None: everything as in the lab file. A duty of 0 says that nobody wants the link now, which is no
    figure for somebody who will.
    """
    emitting = _emitting(link, nodes)
    if not link.points and news is None and not link.turn_ns and emitting == 1.0:
        return link
    told = {} if news is None else {each.point: each for each in news.points}
    points = tuple(_learnt(link.point(index), told.get(index)) for index in range(max(1, len(link.points))))
    point = points[chosen_point(points, floor)]
    duty = _duty_as_built(link, nodes)
    if news is not None and news.duty:
        duty = min(duty, news.duty)
    return msgspec.structs.replace(
        link,
        points=points if link.points else (),
        success_probability=point.success_probability,
        heralds=point.heralds,
        period_ns=round(link.period_ns / (duty * emitting)),
    )


def _emitting(link: LinkSettings, nodes: Mapping[NodeId, NodeSettings]) -> float:
    """Share of a link's lanes that may attempt at the same time, 0..1."""
    memories = [node.memory for name in link.nodes if (node := nodes.get(name)) is not None]
    fewest = min(
        (memory.emitters for memory in memories if memory is not None and memory.emitters is not None),
        default=link.lanes,
    )
    return min(1.0, fewest / link.lanes)


def _duty_as_built(link: LinkSettings, nodes: Mapping[NodeId, NodeSettings]) -> float:
    """Share of the time of a link that takes turns, when its plan is alone on the network: all turns, but a
    node that swaps gives half of them to the link on its other side. Attempts end before their turns do."""
    halved = any(
        (node := nodes.get(name)) is not None
        and node.may_relay
        and (shared or (node.memory is not None and node.memory.emitters is not None))
        for name, shared in zip(link.nodes, link.shared, strict=True)
    )
    if link.turns_granted:
        return len(link.turns_granted) / link.turns
    if not link.turn_ns or not halved or link.turns == 1:
        return 1.0
    stretch_ns = link.turns // 2 * link.turn_ns
    decided_ns = link.click_delay_ns + max(link.herald_delay_ns) + link.turn_guard_ns
    return max(link.period_ns, stretch_ns - decided_ns + link.period_ns) / (link.turns * link.turn_ns)


def _learnt(point: OperatingPoint, news: PointNews | None) -> OperatingPoint:
    if news is None:
        return point
    return msgspec.structs.replace(
        point,
        success_probability=news.success_probability,
        heralds=with_fidelity(point.heralds, news.fidelity),
    )


def with_fidelity(heralds: tuple[HeraldEstimate, ...], fidelity: float) -> tuple[HeraldEstimate, ...]:
    """The same herald codes with another mean fidelity; errors keep their proportions, and are even where
    there were none."""
    states = [from_walsh(Walsh(herald.signs, herald.cost)) for herald in heralds]
    shift = fidelity - sum(state[0] for state in states) / len(states)
    found: list[HeraldEstimate] = []
    for herald, state in zip(heralds, states, strict=True):
        walsh = to_walsh(_shifted(state, shift))
        found.append(msgspec.structs.replace(herald, signs=walsh.signs, cost=walsh.cost))
    return tuple(found)


def _shifted(state: Bell, shift: float) -> Bell:
    good = min(1.0, max(0.0, state[0] + shift))
    lacking = 1.0 - state[0]
    if lacking < NO_ERROR:
        rest = (1.0 - good) / 3.0
        return (good, rest, rest, rest)
    scale = (1.0 - good) / lacking
    return (good, state[1] * scale, state[2] * scale, state[3] * scale)
