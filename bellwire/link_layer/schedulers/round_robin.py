"""Weighted round robin and strict priority: shares by weight, in one class or in several.

Owns the two schedulers that remember nothing. A window that ends within a cycle leaves whoever was late at
most one frame of a lane behind; the next window begins a new cycle.
"""

from collections.abc import Mapping, Sequence

from bellwire.link_layer.schedulers.paces import paced
from bellwire.link_layer.schedulers.whole_lanes import cycle_of, lanes_for
from bellwire.link_layer.schedulers.words import Demand, Divided, Frames, Key, Shares, Standing


class WeightedRoundRobin:
    """Every request has its share by weight; background has what nobody else wants (stack paper IV-F)."""

    remembers = False

    def classes(self, demands: Sequence[Demand]) -> list[list[Demand]]:
        """Who is served before whom: the first class first."""
        return [
            [one for one in demands if not one.plan.background],
            [one for one in demands if one.plan.background],
        ]

    def divide(
        self, lanes: int, demands: Sequence[Demand], history: Mapping[Key, Standing], frames: Frames
    ) -> Divided:
        divided = lanes_for(lanes, self.classes(demands), frames.shift)
        if any(one.pace is not None for one in demands):
            shares = paced(lanes, demands, divided)
        else:
            shares = Shares(divided.owners, cycle_of(lanes, divided))
        return Divided(shares, in_shifts=bool(divided.working))


class StrictPriority(WeightedRoundRobin):
    """Higher priorities first, by weight within one; lower ones have what is left, background comes last
    (algorithms.md 10.2).

    Reserved lanes stay with whoever reserved them, at any priority: nodes have promised them. Changed demand
    is offered at once, so a higher request rules as soon as both ends could hear of it: a round trip after it
    is wanted at both, one attempt window at most.
    """

    def classes(self, demands: Sequence[Demand]) -> list[list[Demand]]:
        foreground, background = super().classes(demands)
        levels = sorted({one.plan.priority for one in foreground}, reverse=True)
        return [
            *([one for one in foreground if one.plan.priority == level] for level in levels),
            background,
        ]
