"""A link of the World: its truth, its lanes, and what its heralds can be, made ready for drawing.

Owns the change of a truth in mid run. Refuses memories and time-keeping: attempts are counted by the lanes
(world_lanes.py).
"""

from itertools import accumulate

from bellwire.core.bell import Eigenvalues, permute
from bellwire.core.bell import eigenvalues as eigenvalues_of
from bellwire.core.photonics import HeraldOutcome, HeraldPhysics, herald_index
from bellwire.simulator_backend.chance import Chance
from bellwire.simulator_backend.world_lanes import Lane
from bellwire.simulator_backend.world_words import LinkTruth, PlannedClick


def _relative(outcome: HeraldOutcome) -> Eigenvalues:
    return eigenvalues_of(permute(outcome.state, herald_index(outcome.code)))


class PointHeralds:
    """What one operating point can herald, made ready for drawing."""

    __slots__ = ("outcomes", "shares")

    def __init__(self, physics: HeraldPhysics) -> None:
        outcomes = physics.outcomes
        self.shares = tuple(accumulate(outcome.share for outcome in outcomes))[:-1]
        self.outcomes: tuple[tuple[int, int, Eigenvalues], ...] = tuple(
            (outcome.code, herald_index(outcome.code), _relative(outcome)) for outcome in outcomes
        )


class WorldLink:
    """A link's truth with its lanes, and the heralds of its operating points by number."""

    __slots__ = ("heralds", "lanes", "sides", "truth")

    def __init__(self, truth: LinkTruth, chance: Chance) -> None:
        self.truth = truth
        self.sides = {node: side for side, node in enumerate(truth.nodes)}
        self.lanes = tuple(Lane(truth, number, chance) for number in range(truth.lanes))
        self.heralds = tuple(PointHeralds(HeraldPhysics(*physics)) for physics in truth.physics)

    def change(self, truth: LinkTruth, now_ns: int) -> tuple[PlannedClick, ...]:
        """Another truth from now on; planned clicks that are newly determined by it."""
        self.truth = truth
        self.heralds = tuple(PointHeralds(HeraldPhysics(*physics)) for physics in truth.physics)
        planned = [lane.change(truth, now_ns) for lane in self.lanes]
        return tuple(one for one in planned if one is not None)
