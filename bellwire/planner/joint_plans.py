"""The planner that a host gives its nodes: each request for itself, or those of a lab all at once.

Owns that choice, and which requests can be planned together. Refuses both ways to plan (plans.py,
executable_batches.py); the latter, which loads arrays and a solver, is imported when it is first asked for.

All nodes of a lab come to the same joint plan, since it follows from the lab file alone. A request that came
later, that has terms of its own, or whose part of the joint plan failed, is planned for itself.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Literal

from bellwire.core.plans import Circumstances, EntanglementRequest, RequestPlan
from bellwire.core.settings import NetworkSettings
from bellwire.planner.plans import compute_plan

Planner = Callable[[EntanglementRequest, int, Circumstances], RequestPlan | str]
"""What a host asks for a plan: request, version, what was learnt of the world."""

Objective = Literal["total", "max_min"]

OBJECTIVES: Final[dict[str, Objective]] = {"total": "total", "max_min": "max_min"}
"""What may be best: the sum of all rates by weight, or the least rate by weight."""


def planner_for(
    network: NetworkSettings, requests: Sequence[EntanglementRequest], together: Objective | None
) -> Planner:
    """The planner of a lab. together: what is best of all its requests' rates at once; None: nothing."""
    if together is None:
        return partial(compute_plan, network)
    return _JointPlanner(network, requests, together)


def can_join(request: EntanglementRequest) -> bool:
    """True for requests for pairs without a way or lanes of their own: the joint plan says which links they
    use, and shares them."""
    return (
        request.entanglement_type == "bipartite"
        and not request.entanglement_sequence
        and request.route is None
        and request.tree is None
        and not request.reserved_only
        and request.purification is None
        and request.link_purification == 0
        and not request.rounds
    )


class _JointPlanner:
    """Plans made at the first question, and kept."""

    def __init__(
        self, network: NetworkSettings, requests: Sequence[EntanglementRequest], objective: Objective
    ) -> None:
        self._network = network
        self._requests = {each.request_id: each for each in requests if can_join(each)}
        self._objective: Objective = objective
        self._planner: Planner | None = None

    def __call__(
        self, request: EntanglementRequest, version: int, circumstances: Circumstances
    ) -> RequestPlan | str:
        if self._requests.get(request.request_id) != request:
            return compute_plan(self._network, request, version, circumstances)
        if self._planner is None:
            self._planner = self._made()
        return self._planner(request, version, circumstances)

    def _made(self) -> Planner:
        from bellwire.planner.executable_batches import level_plan, prepared, request_plans

        requests = tuple(self._requests.values())
        batch = level_plan(self._network, requests, self._objective)
        return prepared(self._network, request_plans(self._network, requests, batch))
