"""The pace of a plan: as fast as the network lets all its pairs be together.

Owns the search for that pace. Refuses the choice of parts.

Trees of different pairs are chosen with half of every node's capacity for each of their links (1.4), as if
each pair were alone. Where pairs share nodes or links, the whole is slowed until all of them fit: for given
parts that is the fastest there is. A method that shares out the whole capacity also goes faster than half of
it allows.
"""

from typing import Final

from bellwire.planner.capacity import ROUNDING, NoPlan, Residual, Use, total_use
from bellwire.planner.multipartite.graph_parts import Part, pairs_of, slowed, stretched
from bellwire.planner.requests import Options
from bellwire.planner.tree_use import use_of

FACTOR_MAX: Final = 2.0**40
"""By which a plan is slowed at most, before it is given up."""

PRECISION: Final = 1e-12
"""Relative distance of the pace that is found from the fastest one."""


class _Pace:
    """Parts at a multiple of their own latency, which at any other pace leave rounding its room."""

    def __init__(self, part: Part, residual: Residual, options: Options, own: Use, factor: float) -> None:
        topology = residual.topology
        if options.throttles:
            self.part = slowed(part, topology, part.latency_s * factor)
        else:
            self.part = stretched(part, topology, factor, options.waiting)
        trees = [pair.tree for pair in pairs_of(self.part)]
        self.use = total_use(own, *(use_of(tree, topology) for tree in trees))
        # where operations and words alone take longer than the pace, links would need an infinite rate
        self.lack = residual.lacks(self.use if factor == 1.0 else self.use.scaled(1.0 + ROUNDING))


def fitted(part: Part, residual: Residual, options: Options, own: Use, *, whole: bool) -> tuple[Part, Use]:
    """The parts at their pace, throttled where that is asked for, and what they take.

    own: what is taken besides pairs. whole: links may be faster than half of their nodes' capacity.

    Raises:
        NoPlan: the memories do not suffice, or no rate is left at all.
    """

    def at(factor: float) -> _Pace:
        return _Pace(part, residual, options, own, factor)

    pace = at(1.0)
    memories = residual.lacks(Use(links_hz={}, attempts_hz={}, memories=pace.use.memories))
    if memories is not None:
        raise NoPlan(memories)
    if pace.lack is None and not whole:
        return pace.part, pace.use
    low, high = 1.0, 1.0
    if pace.lack is None:
        while (faster := at(low / 2.0)).lack is None:
            low, pace = low / 2.0, faster
        low, high = low / 2.0, low
    while pace.lack is not None:
        low, high = high, high * 2.0
        if high > FACTOR_MAX:
            raise NoPlan(pace.lack)
        pace = at(high)
    while high - low > PRECISION * high:
        middle = at((low + high) / 2.0)
        if middle.lack is None:
            high, pace = (low + high) / 2.0, middle
        else:
            low = (low + high) / 2.0
    return pace.part, pace.use
