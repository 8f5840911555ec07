"""Path computation: proactive, reactive, virtual, opportunistic, by name (review section 4.2.2).

Owns the table and the four ways, each a pure function of network, request and circumstances. Refuses routes
and trees themselves (routes.py, plans.py) and the making of pairs (link layer, transport/predistribution).

A *path* is what `choose` makes of a request: a tree over a route. The ways differ in what they look at
before, and in what the nodes of the route may use (core/path_words.py):

* proactive: the route that should be fastest, before any pair exists; only pairs made for it are used;
* reactive: links make pairs all the time, for nobody; the path is the one of whose links the ledger has
  pairs, or should have them soonest, and serves one pair;
* virtual: a pair in store over several links is a link of the network, and a route may lead through it;
* opportunistic: the proactive route, along which nodes swap whatever is there as soon as it can be swapped.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from bellwire.core.errors import ConfigError
from bellwire.core.modes import follows_tree, parse_mode
from bellwire.core.path_words import AUTOMATIC, PATH_TRAITS
from bellwire.core.plans import Circumstances, EntanglementRequest
from bellwire.core.registry import lookup
from bellwire.core.settings import NetworkSettings
from bellwire.planner import several_routes
from bellwire.planner.entangled_topology import EntangledTopology, patience_ns
from bellwire.planner.predistribution_routes import through_stores
from bellwire.planner.ranking import Candidate
from bellwire.planner.ways import Choice, Way, shape

Choose = Callable[[NetworkSettings, EntanglementRequest, Circumstances], Choice | str]
"""The best tree over the best route, whatever is in store (plans.py)."""

Candidates = Callable[[NetworkSettings, EntanglementRequest, Circumstances], list[Candidate] | str]
"""Routes that should reach the wanted fidelity, best first (plans.py)."""

SWAP_AT_ONCE: Final = "swap_asap"


class Path(msgspec.Struct, frozen=True, kw_only=True):
    """What a request is served by, and the terms that its plan adds to those of the request."""

    choice: Choice
    cutoff_ns: int | None  # age at which an inner node gives a pair up


PathComputation = Callable[
    [NetworkSettings, EntanglementRequest, Circumstances, Choose, Candidates], Path | str
]
"""A path, or the reason why there is none. Pure: equal arguments give equal paths at every node."""


def proactive(
    network: NetworkSettings,
    request: EntanglementRequest,
    circumstances: Circumstances,
    choose: Choose,
    candidates: Candidates,
) -> Path | str:
    """The route before any pair."""
    chosen = choose(network, request, circumstances)
    return chosen if isinstance(chosen, str) else Path(choice=chosen, cutoff_ns=request.cutoff_ns)


def through_virtual_links(
    network: NetworkSettings,
    request: EntanglementRequest,
    circumstances: Circumstances,
    choose: Choose,
    candidates: Candidates,
) -> Path | str:
    """Through a super-link with a pair where that should be faster than the plain way, else the plain way."""
    chosen = choose(network, request, circumstances)
    if isinstance(chosen, str):
        return chosen
    for steered in through_stores(network, request, circumstances, chosen):
        way = choose(network, steered, circumstances)
        if not isinstance(way, str):
            return Path(choice=way, cutoff_ns=request.cutoff_ns)
    return Path(choice=chosen, cutoff_ns=request.cutoff_ns)


def virtual(
    network: NetworkSettings,
    request: EntanglementRequest,
    circumstances: Circumstances,
    choose: Choose,
    candidates: Candidates,
) -> Path | str:
    """As above, and no other way is meant: a network without stores has no virtual links."""
    if network.stores is None or not network.stores.super_links:
        return "paths: virtual needs pairs in store: give the lab a section predistribution, or ask otherwise"
    return through_virtual_links(network, request, circumstances, choose, candidates)


def opportunistic(
    network: NetworkSettings,
    request: EntanglementRequest,
    circumstances: Circumstances,
    choose: Choose,
    candidates: Candidates,
) -> Path | str:
    """The proactive route, where no node waits for a tree: modes that follow one give way to swap_asap."""
    try:
        waits = follows_tree(request.generation_mode)
    except ConfigError as wrong:
        return wrong.problem
    at_once = msgspec.structs.replace(request, generation_mode=SWAP_AT_ONCE) if waits else request
    return proactive(network, at_once, circumstances, choose, candidates)


def reactive(
    network: NetworkSettings,
    request: EntanglementRequest,
    circumstances: Circumstances,
    choose: Choose,
    candidates: Candidates,
) -> Path | str:
    """The route whose pairs are all there, or should be soonest. It reserves nothing and promises no rate."""
    try:
        parse_mode(request.generation_mode)
    except ConfigError as wrong:
        return wrong.problem
    problem = several_routes.refusal(request) or _not_plain(request)
    if problem is not None:
        return problem
    good = candidates(network, request, circumstances)
    if isinstance(good, str):
        return good
    topology = EntangledTopology(network, request, circumstances)
    kept = [each for each in good if topology.covers(each.route)]
    if not kept:
        return (
            "paths: reactive takes pairs that links keep in store, and no route has links that all keep "
            "pairs which this request may use: give the lab "
            "predistribution: {mode: continuous, every_link: true}, with a fidelity_min no lower than that "
            "of the request"
        )
    failed = circumstances.failed

    def way_of(each: Candidate) -> Choice:
        route = each.route
        return (Way(route, route.tree, request.generation_mode, (0,) * route.hops, each.floor),)

    def rank(each: Candidate) -> tuple[int, float, int, tuple[str, ...]]:
        name = shape(way_of(each))
        later = failed.index(name) + 1 if name in failed else 0
        return later, topology.ready_s(each.route), each.route.hops, each.route.nodes

    best = min(kept, key=rank)
    cutoff_ns = patience_ns(best.route) if request.cutoff_ns is None else request.cutoff_ns
    return Path(choice=way_of(best), cutoff_ns=cutoff_ns)


def _not_plain(request: EntanglementRequest) -> str | None:
    for said, name in (
        (request.rate_threshold_hz is not None, "a wanted rate"),
        (request.routes_max > 1, "several routes"),
        (request.rounds, "textbook rounds"),
        (request.link_purification > 0 or request.purification is not None, "purification"),
    ):
        if said:
            return f"paths: reactive does not go with {name}: leave one of them out"
    return None


PATHS: Final[Mapping[str, PathComputation]] = {
    AUTOMATIC: through_virtual_links,
    "proactive": proactive,
    "reactive": reactive,
    "virtual": virtual,
    "opportunistic": opportunistic,
}
"""Ways to compute paths by the names of core/path_words.py."""

assert PATHS.keys() == PATH_TRAITS.keys()


def compute_path(
    network: NetworkSettings,
    request: EntanglementRequest,
    circumstances: Circumstances,
    choose: Choose,
    candidates: Candidates,
) -> Path | str:
    """The path of a request by the way that it asks for, or the reason why there is none."""
    try:
        way = lookup("path computation", request.paths, PATHS)
    except ConfigError as wrong:
        return wrong.problem
    return way(network, request, circumstances, choose, candidates)
