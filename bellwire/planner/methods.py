"""The table of planning methods for one pair: names as people type them, and where the code stands.

Owns the table, its entry point and the way from a name to a plan. Refuses algorithms: each has a file of its
own, loaded when its name is used.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Final

from bellwire.core.registry import lookup
from bellwire.planner.assessment import PairPlan
from bellwire.planner.capacity import Residual
from bellwire.planner.requests import Options, PairRequest

Method = Callable[[Residual, PairRequest, Options], PairPlan]
"""(what is left of the network, request, options) -> plan. Raises NoPlan with the reason. Takes nothing: the
caller claims the plan's use."""

ENTRY_POINTS: Final = "bellwire.planner_methods"
"""Group of entry points by which other packages add methods."""

DEFAULT_METHOD: Final = "dp"

METHODS: Final[dict[str, str]] = {
    "dp": "bellwire.planner.single.exact:plan",
    "dp-usage": "bellwire.planner.single.usage:plan",
    "balanced": "bellwire.planner.single.balanced:plan",
    "route": "bellwire.planner.single.on_route:plan",
    "past": "bellwire.planner.single.purified:plan",
    "caleffi": "bellwire.planner.single.caleffi:plan",
    "hop-by-hop": "bellwire.planner.single.hop_by_hop:plan",
}
"""Methods of this package: name -> module:function."""


def known_methods() -> dict[str, str]:
    """All methods, those of other packages included; the table here wins when names collide."""
    added = {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
    return added | METHODS


def method_of(name: str) -> Method:
    """The function of a method. Raises ConfigError with the nearest known name."""
    module, _, function = lookup("planning method", name, known_methods()).partition(":")
    found: Method = getattr(import_module(module), function)
    return found


def plan_pair(
    residual: Residual, request: PairRequest, method: str = DEFAULT_METHOD, options: Options | None = None
) -> PairPlan:
    """A plan for one request on what is left of a network.

    Raises:
        NoPlan: there is none; the text says why.
        ConfigError: an unknown node or method.
    """
    request.check(residual.topology)
    options = Options() if options is None else options
    options.check(residual.topology)
    return method_of(method)(residual, request, options)
