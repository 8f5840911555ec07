"""The exact dynamic programme "50-50" for one pair, limits included: method "dp" (algorithms.md 1.3, 1.4).

Owns the order of the two searches: the fastest tree of all pairs, and, where that one breaks a limit, the
search over trees that keep them. Refuses the searches themselves (all_pairs.py, limited.py).
"""

from bellwire.core.ids import NodeId
from bellwire.planner.assessment import PairPlan
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.requests import Limits, Options, PairRequest
from bellwire.planner.single.all_pairs import AllTrees
from bellwire.planner.single.finishing import finished, why_none
from bellwire.planner.single.limited import limited_trees

METHOD = "dp"


def all_trees(residual: Residual, options: Options | None = None) -> AllTrees:
    """The fastest tree of every pair of nodes, as if each pair were alone and without limits."""
    return AllTrees(residual, Options() if options is None else options)


def plans_from(
    residual: Residual, source: NodeId, options: Options | None = None, limits: Limits | None = None
) -> dict[NodeId, PairPlan]:
    """The plan from a source to every node that can be reached within the limits, each as if it were alone.

    Destinations whose fastest tree breaks a limit are left out: a single request (`plan`) searches further.
    """
    options = Options() if options is None else options
    limits = Limits() if limits is None else limits
    residual.topology.node(source)
    trees = all_trees(residual, options)
    found: dict[NodeId, PairPlan] = {}
    for name in residual.topology.nodes:
        tree = trees.tree(source, name)
        try:
            if not trees.is_best(source, name):
                alone = PairRequest(request=name, source=source, destination=name, limits=limits)
                found[name] = _searched(residual, alone, options, None)
            elif tree is not None:
                found[name] = finished(tree, residual, options, limits)
        except NoPlan:
            continue
    return found


def plan(residual: Residual, request: PairRequest, options: Options) -> PairPlan:
    """The fastest tree of a request that keeps its limits.

    Raises:
        NoPlan: no way, no capacity, or no tree that keeps the limits; the text says which, and for a limit
            what the fastest tree has instead.
    """
    trees = AllTrees(residual, options, request.stored)
    fastest = trees.tree(request.source, request.destination)
    broken: NoPlan | None = None
    if trees.is_best(request.source, request.destination):
        if fastest is None:
            raise NoPlan(why_none(residual, request, options))
        try:
            return finished(fastest, residual, options, request.limits)
        except NoPlan as reason:
            broken = reason
    return _searched(residual, request, options, broken)


def _searched(residual: Residual, request: PairRequest, options: Options, broken: NoPlan | None) -> PairPlan:
    """The first tree of the search that keeps the limits. broken: what the fastest of all trees breaks."""
    for tree in limited_trees(residual, request, options):
        try:
            return finished(tree, residual, options, request.limits)
        except NoPlan as reason:
            broken = broken or reason
    if broken is None:
        raise NoPlan(f"{request.source}-{request.destination}: no tree keeps the limits")
    raise NoPlan(f"{broken}; no other tree keeps the limits")
