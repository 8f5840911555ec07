"""Why a request gets no plan, each in one sentence that names the limit and the best that can be had.

Owns the wording. Refuses the choice itself (plans.py).
"""

from collections.abc import Mapping, Sequence

from bellwire.core.ids import LinkId
from bellwire.core.modes import follows_tree
from bellwire.core.plans import EntanglementRequest, LinkRoom
from bellwire.core.purification_words import AUTOMATIC, words_of
from bellwire.planner.lanes import (
    fewest_lanes,
    is_scheduled,
    lack_of_sharing,
    lanes_left,
    own_lanes_keep,
    rate_hz,
    slotless_link,
    whole_routes,
)
from bellwire.planner.predictions import named
from bellwire.planner.routes import Route, trees_on


def reach(route: Route, request: EntanglementRequest) -> float:
    """The fidelity that a route can promise: a cutoff trades rate for a mean nearer to the ceiling."""
    return route.ceiling if request.cutoff_ns is not None else route.outlook.fidelity


def of_fidelity(routes: Sequence[Route], request: EntanglementRequest) -> str:
    """No route reaches the fidelity."""
    best = max(routes, key=lambda route: reach(route, request))
    # Rounding up would promise what the sentence denies.
    limit = f"{int(reach(best, request) * 1000) / 1000:.3f}"
    rounds = f" with rounds {words_of(best.levels)}" if best.levels else ""
    why = ""
    if request.purification == AUTOMATIC and not follows_tree(request.generation_mode):
        why = f'; rounds of purification need a mode that follows the tree, not "{request.generation_mode}"'
    return (
        f"fidelity {request.fidelity_threshold:g} cannot be reached: at most {limit} over "
        f"{named(best.nodes)}{rounds}{why}"
    )


def of_rate(routes: Sequence[Route], request: EntanglementRequest, room: Mapping[LinkId, LinkRoom]) -> str:
    """No route has the rate, or room to share, beside what is taken."""

    def most_hz(route: Route, left: Mapping[LinkId, LinkRoom]) -> float:
        trees = trees_on(route, request.generation_mode)
        return max(rate_hz(route, tree, lanes_left(route, left)) for tree in trees)

    wanted_hz = request.rate_threshold_hz
    if is_scheduled(routes[0]):
        missing = slotless_link(routes[0], request)
        return f"the network schedule has no slot for {request.request_id} on {missing}"
    if wanted_hz:
        alone = max(routes, key=lambda route: most_hz(route, {}))
        together = _together_hz(routes, {})
        if max(most_hz(alone, {}), together[0]) < wanted_hz:
            bound_hz = 1.0 / max(alone.times.link_s)
            if together[1] > 1:
                why = f"at most {together[0]:.4g}/s over {together[1]} routes side by side"
            elif bound_hz < wanted_hz:
                why = f"a link of {named(alone.nodes)} makes at most {bound_hz:.4g}/s"
            else:
                why = f"at most {most_hz(alone, {}):.4g}/s over {named(alone.nodes)}"
            return f"rate {wanted_hz:g}/s cannot be reached: {why}"
        best = max(routes, key=lambda route: most_hz(route, room))
        left = lanes_left(best, room)
        if most_hz(best, room) >= wanted_hz and not own_lanes_keep(best, best.tree, request, left):
            return (
                f"fidelity {request.fidelity_threshold:g} cannot be kept with reserved lanes only: pairs "
                f"wait too long for each other over {named(best.nodes)}; without reserved_only they wait less"
            )
        scarce = left.index(min(left))
        return (
            f"no room for rate {wanted_hz:g}/s beside other plans: link {best.links[scarce].link} has "
            f"{left[scarce]} of {best.links[scarce].lanes} lanes left, "
            f"at most {most_hz(best, room):.4g}/s over {named(best.nodes)}"
        )
    return f"no room beside other plans: {_lack(routes[0], request, room)}"


def _lack(route: Route, request: EntanglementRequest, room: Mapping[LinkId, LinkRoom]) -> str | None:
    """What is missing on a route for a request without a rate."""
    fewest = fewest_lanes(route, route.tree, request)
    if not any(fewest):
        return lack_of_sharing(route, request, room)
    for link, some, few in zip(route.links, lanes_left(route, room), fewest, strict=True):
        if some < few:
            return f"link {link.link} has {some} of {link.lanes} lanes left, purification needs {few}"
    return None


def _together_hz(routes: Sequence[Route], room: Mapping[LinkId, LinkRoom]) -> tuple[float, int]:
    """Rate of all routes side by side, and how many they are."""
    rates_hz = [made_hz for _, _, made_hz in whole_routes(routes, room)]
    return sum(rates_hz), len(rates_hz)
