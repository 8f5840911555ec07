"""Which operating point a link should run at: the fastest that is good enough.

Owns the choice and its hysteresis. Refuses estimates (they come in) and windows.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

FIDELITY_MARGIN: Final = 0.005
"""A measured point that is not in force must promise so much more than is asked before it is taken."""

HOPE_MARGIN: Final = 0.02
"""Where no point is good enough, the one in force gives way only to one that may be better by so much."""

HOPE_TESTS_MIN: Final = 600
"""And not before so many tests of it: soon after an alarm an estimate is poor, and a point that is left is
not tested any more."""

RATE_GAIN_MIN: Final = 1.1
"""A good enough point in force gives way only to one that is faster by this factor."""


class Candidate(NamedTuple):
    """An operating point as it is believed to be."""

    fidelity: float  # assured: the lower end of what was measured, or the table's
    hope: float  # the upper end of what was measured, or the table's
    success_probability: float
    tests: int  # behind the fidelity; 0: it does not move


def chosen_point(candidates: Sequence[Candidate], fidelity_min: float | None, present: int | None) -> int:
    """Number of the point to run at.

    fidelity_min: the highest that any request asks for; None: nobody asks, and point 0 serves, on which plans
    without a minimum are reckoned. present: the point in force, None: none is.

    Of the points that give the fidelity the fastest is taken; when none does, the one that may be best. The
    point in force keeps its place while it is good enough and none is faster by RATE_GAIN_MIN; a measured one
    that is not in force needs FIDELITY_MARGIN more than is asked, so that an estimate that wavers around the
    minimum changes the point once, not with every batch of tests.
    """
    if fidelity_min is None or len(candidates) == 1:
        return 0
    good = [
        number
        for number, one in enumerate(candidates)
        if one.fidelity >= fidelity_min + (FIDELITY_MARGIN if one.tests and number != present else 0.0)
    ]
    if not good:
        # By hope: what is known badly is looked at, until tests say that it is worse.
        best = max(range(len(candidates)), key=lambda number: (candidates[number].hope, -number))
        if present is None:
            return best
        now = candidates[present]
        stays = 0 < now.tests < HOPE_TESTS_MIN or now.hope >= candidates[best].hope - HOPE_MARGIN
        return present if stays else best
    fastest = max(good, key=lambda number: (candidates[number].success_probability, -number))
    if present is not None and present in good:
        gain = candidates[fastest].success_probability / candidates[present].success_probability
        return fastest if gain >= RATE_GAIN_MIN else present
    return fastest
