"""The best that a network could promise to a request for which there is no plan.

Owns the offer: a rate and a fidelity that were to be had together, in the room that is left as far as it is
known. Refuses plans, and the sentence that says why there is none (refusals.py). A request that asks for what
it was offered, in the same circumstances, is planned.
"""

import math
from collections.abc import Mapping
from typing import Final

import msgspec

from bellwire.core.errors import ConfigError
from bellwire.core.ids import LinkId
from bellwire.core.modes import parse_mode
from bellwire.core.plans import BestOffer, Circumstances, EntanglementRequest, LinkRoom
from bellwire.core.settings import NetworkSettings
from bellwire.planner.lanes import fewest_lanes, is_scheduled, lanes_left, rate_hz
from bellwire.planner.plans import candidates, compute_plan
from bellwire.planner.refusals import reach
from bellwire.planner.routes import Route

FIGURES: Final = 3
"""Offers are rounded down to so many figures, so that what was offered can be asked for."""


def best_offer(
    network: NetworkSettings, request: EntanglementRequest, circumstances: Circumstances
) -> BestOffer | None:
    """The highest rate at the fidelity that was asked for; where that fidelity is out of reach, the highest
    fidelity with its rate. None: nothing could be promised."""
    if request.entanglement_type != "bipartite":
        free = msgspec.structs.replace(request, rate_threshold_hz=None, fidelity_threshold=None)
        plan = compute_plan(network, free, 1, circumstances)
        return None if isinstance(plan, str) else _rounded_down(plan.rate_hz, plan.fidelity)
    try:
        parse_mode(request.generation_mode)
    except ConfigError:
        return None
    room = {each.link: each for each in circumstances.room}
    rateless = msgspec.structs.replace(request, rate_threshold_hz=None)
    kept = candidates(network, rateless, circumstances)
    if not isinstance(kept, str):
        found = [(_rate_hz(each.route, request, room), reach(each.route, request)) for each in kept]
        best = max(found)
        return _rounded_down(*best) if best[0] > 0.0 else None
    anyhow = msgspec.structs.replace(request, rate_threshold_hz=1e-9, fidelity_threshold=None)
    ranked = candidates(network, anyhow, circumstances)
    if isinstance(ranked, str):
        return None
    for each in ranked:
        made_hz = _rate_hz(each.route, request, room)
        if made_hz > 0.0:
            return _rounded_down(made_hz, reach(each.route, request))
    return None


def _rate_hz(route: Route, request: EntanglementRequest, room: Mapping[LinkId, LinkRoom]) -> float:
    """What the lanes that are left make; 0 where they are too few, or a network schedule has promised all
    that there is to promise."""
    if is_scheduled(route):
        return 0.0
    left = lanes_left(route, room)
    fewest = fewest_lanes(route, route.tree, request)
    if any(some < few for some, few in zip(left, fewest, strict=True)):
        return 0.0
    return rate_hz(route, route.tree, left)


def _rounded_down(made_hz: float, fidelity: float) -> BestOffer:
    step = 10.0 ** (math.floor(math.log10(made_hz)) + 1 - FIGURES)
    return BestOffer(
        rate_hz=float(f"{math.floor(made_hz / step * (1.0 - 1e-12)) * step:.{FIGURES + 3}g}"),
        fidelity=math.floor(fidelity * 10**FIGURES) / 10**FIGURES,
    )
