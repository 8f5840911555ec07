"""Finer pairs for a GHZ state that would else miss its fidelity.

Owns the fidelities that pairs should have, one attempt after the other. Refuses to make pairs.
"""

from collections.abc import Callable
from typing import Final

from bellwire.planner.capacity import FidelityMissed, NoPlan
from bellwire.planner.multipartite.ghz_finishing import GhzFidelityMissed
from bellwire.planner.multipartite.ghz_request import GhzRequest
from bellwire.planner.multipartite.values import MultipartitePlan
from bellwire.planner.requests import Options

FLOORS_MAX: Final = 8
"""Fidelities of pairs that are tried when pairs as they come are not good enough."""


def with_finer_pairs(
    request: GhzRequest, options: Options, attempt: Callable[[float | None], MultipartitePlan]
) -> MultipartitePlan:
    """The plan of the first attempt that reaches the wanted fidelity.

    attempt: plans with pairs of a fidelity, at least; None: as they come. The first floor would do if pairs
    were all that is lost and there were as few as can be; each further one is lacking a quarter less. Without
    throttling pairs are not purified.

    Raises:
        NoPlan: none does; the text says the best fidelity of all attempts.
    """
    try:
        return attempt(None)
    except FidelityMissed as missed:
        wanted = request.limits.fidelity
        if wanted is None or not wanted < 1.0 or not options.throttles:
            raise
        best = missed
    floor = wanted ** (1.0 / (len(request.members) - 1))
    for _ in range(FLOORS_MAX):
        try:
            return attempt(floor)
        except NoPlan as reason:
            if isinstance(reason, GhzFidelityMissed) and reason.fidelity > _reached(best):
                best = reason
        floor = 1.0 - 0.75 * (1.0 - floor)
    raise best


def _reached(missed: FidelityMissed) -> float:
    return missed.fidelity if isinstance(missed, GhzFidelityMissed) else 0.0
