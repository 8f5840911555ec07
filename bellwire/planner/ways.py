"""Ways: trees over routes by which a request may be served, one or several side by side.

Owns what a way promises, what makes it different from another, and the pace of its links. Refuses the choice
among ways and the plans of nodes (plans.py).
"""

from dataclasses import dataclass, replace

from bellwire.core.modes import paces_links
from bellwire.core.plans import PolicyName, Prediction, shape_of
from bellwire.core.units import NS_PER_S
from bellwire.planner import refined_pace
from bellwire.planner.intervals import SwapTree, throttled
from bellwire.planner.lanes import Lanes
from bellwire.planner.predictions import Outlook, outlook
from bellwire.planner.routes import Route


@dataclass(frozen=True, slots=True)
class Way:
    """One tree over one route."""

    route: Route
    tree: SwapTree
    policy: PolicyName
    lanes: Lanes
    floor: float | None = None  # fidelity that links with several operating points should keep, None: any
    rate_hz: float | None = None  # that it is given where links are shared by plan, None: what it can make
    reserved_only: bool = False  # it has its lanes alone, and no share of the others

    @property
    def shape(self) -> str:
        """What makes it different from another way."""
        return shape_of(self.policy, self.route.nodes, self.tree.text(self.route.nodes))

    def outlook(self) -> Outlook:
        """What it brings with the lanes that it reserves; with all lanes where it reserves none."""
        lanes = self.lanes if min(self.lanes) else None
        route = self.route
        return outlook(self.tree, route.times, route.links, route.memories, lanes, route.levels)


def paced(way: Way) -> SwapTree:
    """The tree whose rates go into the plans. Adaptive policies, and trees that use their memories as
    buffers, do better with links at full speed (algorithms.md 8.5). A tree that was given a rate has it.

    Where pairs are purified these rates are what a link needs beside others, and no limit: a pair that is
    kept back silences the very lane that a slowed link attempts on, and all could come to a stop.
    """
    route = way.route
    if way.rate_hz is not None:
        slower = replace(way.tree, latency_s=max(way.tree.latency_s, 1.0 / way.rate_hz))
        return throttled(slower, route.times)
    if not paces_links(way.policy):
        return way.tree
    if not route.levels:
        return throttled(way.tree, route.times)

    def fresh_per_pair(tree: SwapTree) -> float:
        seen = outlook(tree, route.times, route.links, route.memories, None, route.levels)
        return seen.fresh_per_pair

    tree = refined_pace.retimed(way.tree, route.times, fresh_per_pair)
    return refined_pace.throttled(tree, route.times, fresh_per_pair)


Choice = tuple[Way, ...]
"""Trees that serve a request side by side; nearly always one."""


def shape(choice: Choice) -> str:
    """What makes a choice different from another: as `RequestPlan.shape`."""
    return " + ".join(way.shape for way in choice)


def prediction(choice: Choice) -> Prediction:
    """Of one tree alone on the network, or on the lanes to which it keeps; of several, each with the lanes
    that it reserves or the rate that it was given."""
    given = [way for way in choice if way.rate_hz is not None]
    if len(choice) == 1 and not given:
        (way,) = choice
        counted = way if way.reserved_only else replace(way, lanes=(0,) * way.route.hops)
        return counted.outlook().prediction(way.route.hops)
    seen = [way.outlook() for way in choice]
    rates_hz = [way.rate_hz or 1.0 / each.latency_s for way, each in zip(choice, seen, strict=True)]
    rate_hz = sum(rates_hz)
    return Prediction(
        rate_hz=rate_hz,
        latency_ns=round(NS_PER_S / rate_hz),
        fidelity=sum(each.fidelity * part for each, part in zip(seen, rates_hz, strict=True)) / rate_hz,
        hops=max(way.route.hops for way in choice),
    )
