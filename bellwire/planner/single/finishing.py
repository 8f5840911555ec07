"""What all methods for one pair do at the end, and what they say when there is no way at all.

Owns throttling with assessment, and the sentence for a pair that cannot be joined. Refuses searches.
"""

from bellwire.planner.assessment import PairPlan, assess
from bellwire.planner.capacity import Residual
from bellwire.planner.requests import Limits, Options, PairRequest
from bellwire.planner.settling import settled
from bellwire.planner.structures import Tree


def finished(
    tree: Tree, residual: Residual, options: Options, limits: Limits, method: str = "dp"
) -> PairPlan:
    """The plan of a tree, throttled where that is asked for, at the p_pur that its states then have.

    Raises:
        NoPlan: it breaks a limit or takes more than is left.
    """
    whole = settled(tree, residual.topology, throttle=options.throttles, waiting=options.waiting)
    return assess(whole, residual, method, limits)


def why_none(residual: Residual, request: PairRequest, options: Options) -> str:
    """Why no tree joins the two nodes of a request, as one sentence."""
    import networkx as nx  # slow to load, and a plan that is found does not need it

    source, destination = request.source, request.destination
    topology = residual.topology
    for name in (source, destination):
        if name in options.avoid:
            return f"{source}-{destination}: {name} is to be avoided"
    if not nx.has_path(topology.fibre_graph, source, destination):
        return f"no route between {source} and {destination}: the network has no path of links"
    for name in (source, destination):
        if not residual.memories(name):
            return f"{source}-{destination}: {name} has no free memory"
    return (
        f"no route between {source} and {destination} is left: nodes and links between them "
        f"have no capacity, cannot swap, or are to be avoided"
    )
