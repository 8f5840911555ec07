"""The tables of planning methods for GHZ states and graph states: names, and where the code stands.

Owns the tables, their entry point and the way from a name to a GHZ plan. Refuses algorithms: each has a file
of its own, loaded when its name is used.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from typing import Final

from bellwire.core.ids import NodeId
from bellwire.core.registry import lookup
from bellwire.planner.capacity import Residual
from bellwire.planner.multipartite.ghz_request import GhzRequest
from bellwire.planner.multipartite.values import MultipartitePlan
from bellwire.planner.requests import Limits, Options

GhzMethod = Callable[[Residual, GhzRequest, Options], MultipartitePlan]
"""(what is left of the network, request, options) -> plan. Raises NoPlan with the reason. Takes nothing: the
caller claims the plan's use."""

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
    module, _, function = lookup("GHZ method", method, known_ghz_methods()).partition(":")
    act: GhzMethod = getattr(import_module(module), function)
    return act(residual, request, Options() if options is None else options)


def _added(prefix: str) -> dict[str, str]:
    return {
        point.name: point.value for point in entry_points(group=ENTRY_POINTS) if point.name.startswith(prefix)
    }
