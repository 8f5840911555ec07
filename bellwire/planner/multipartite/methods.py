"""The tables of planning methods for GHZ states and graph states: names, and where the code stands.

Owns the tables, their entry point and the way from a name to a plan. Refuses algorithms: each has a file of
its own, loaded when its name is used.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from typing import Final

from bellwire.core.ids import NodeId
from bellwire.core.registry import lookup
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.multipartite.ghz_request import GhzRequest
from bellwire.planner.multipartite.graph_target import GraphRequest, Shape, TargetGraph
from bellwire.planner.multipartite.values import MultipartitePlan
from bellwire.planner.requests import Limits, Options

GhzMethod = Callable[[Residual, GhzRequest, Options], MultipartitePlan]
"""(what is left of the network, request, options) -> plan. Raises NoPlan with the reason. Takes nothing: the
caller claims the plan's use."""

GraphMethod = Callable[[Residual, GraphRequest, Options], MultipartitePlan]
"""The same for graph states."""

ENTRY_POINTS: Final = "bellwire.planner_multipartite_methods"
"""Group of entry points by which other packages add methods. Names that begin with "ghz" are for GHZ states,
names that begin with "graph" for graph states."""

DEFAULT_GHZ_METHOD: Final = "ghz-steiner"

GHZ_METHODS: Final[dict[str, str]] = {
    "ghz-retain": "bellwire.planner.multipartite.ghz_retain:plan",
    "ghz-steiner": "bellwire.planner.multipartite.ghz_steiner:plan",
    "ghz-star": "bellwire.planner.multipartite.ghz_star:plan",
}
"""Methods of this package for GHZ states: name -> module:function."""

GRAPH_METHODS: Final[dict[str, str]] = {
    "graph-path": "bellwire.planner.multipartite.graph_tree:plan_path",
    "graph-tree": "bellwire.planner.multipartite.graph_tree:plan_tree",
    "graph-pieces": "bellwire.planner.multipartite.graph_pieces:plan",
    "graph-lp": "bellwire.planner.multipartite.graph_lp:plan",
}
"""Methods of this package for graph states: name -> module:function."""

GRAPH_METHODS_OF_SHAPE: Final[dict[Shape, tuple[str, ...]]] = {
    "path": ("graph-path", "graph-pieces"),
    "tree": ("graph-tree", "graph-pieces"),
    "general": ("graph-pieces",),
}
"""The methods that are tried when none is named; the fastest plan is taken."""


def known_ghz_methods() -> dict[str, str]:
    """All methods for GHZ states, those of other packages included; the table here wins."""
    return _added("ghz") | GHZ_METHODS


def plan_ghz(
    residual: Residual,
    request_id: str,
    members: Sequence[NodeId],
    method: str = DEFAULT_GHZ_METHOD,
    options: Options | None = None,
    limits: Limits | None = None,
) -> MultipartitePlan:
    """A plan for GHZ states of some nodes on what is left of a network.

    Raises:
        NoPlan: there is none, or the members are fewer than two or not distinct; the text says why.
        ConfigError: an unknown node or method.
    """
    request = GhzRequest(request=request_id, members=tuple(members), limits=limits or Limits())
    request.check(residual.topology)
    options = Options() if options is None else options
    options.check(residual.topology)
    module, _, function = lookup("GHZ method", method, known_ghz_methods()).partition(":")
    act: GhzMethod = getattr(import_module(module), function)
    return act(residual, request, options)


def known_graph_methods() -> dict[str, str]:
    """All methods for graph states, those of other packages included; the table here wins."""
    return _added("graph") | GRAPH_METHODS


def plan_graph(
    residual: Residual,
    request_id: str,
    target: TargetGraph,
    method: str | None = None,
    options: Options | None = None,
    limits: Limits | None = None,
) -> MultipartitePlan:
    """A plan for graph states on what is left of a network.

    method: None: all that suit the shape of the target are tried, and the fastest plan is taken.

    Raises:
        NoPlan: there is none; the text says why.
        ConfigError: an unknown node or method.
    """
    request = GraphRequest(request=request_id, target=target, limits=limits or Limits())
    request.check(residual.topology)
    options = Options() if options is None else options
    options.check(residual.topology)
    found: list[MultipartitePlan] = []
    reasons: list[NoPlan] = []
    for name in GRAPH_METHODS_OF_SHAPE[target.shape] if method is None else (method,):
        module, _, function = lookup("graph-state method", name, known_graph_methods()).partition(":")
        act: GraphMethod = getattr(import_module(module), function)
        try:
            found.append(act(residual, request, options))
        except NoPlan as reason:
            reasons.append(reason)
    if not found:
        raise reasons[0]
    return min(found, key=lambda plan: plan.latency_s)


def _added(prefix: str) -> dict[str, str]:
    return {
        point.name: point.value for point in entry_points(group=ENTRY_POINTS) if point.name.startswith(prefix)
    }
