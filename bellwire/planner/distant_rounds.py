"""From a request's words about purification to what each node of a plan does.

Owns purification plans of nodes, and why a request cannot have them. Refuses rounds of links before they hand
a pair up (purified_links.py), and execution (swapping/purification.py).

Rounds follow the plan's tree: each of its segments whose number of links the request names gets them, and its
two ends purify before the pair is swapped or delivered. A kept pair holds a memory on each side while others
are made, so a link needs one lane more than all levels above it keep pairs.
"""

from collections.abc import Iterable, Iterator, Mapping
from math import exp
from typing import Final

from bellwire.core.bell import COST_UNIT_PER_NEPER
from bellwire.core.errors import ConfigError
from bellwire.core.ids import NodeId
from bellwire.core.modes import follows_tree, needs_table
from bellwire.core.plans import EntanglementRequest, PurificationPlan, RequestPlan
from bellwire.core.purification_words import ADAPTIVE, AUTOMATIC, Level, levels_of, words_of
from bellwire.core.settings import LinkSettings, MemorySettings
from bellwire.planner.instructions import NodeInstructions
from bellwire.planner.intervals import SwapTree
from bellwire.planner.purified_links import lanes_needed

ADAPTIVE_ROUNDS: Final = 3
"""Rounds that one pair goes through at most where the ledger decides."""

ADAPTIVE_LANES: Final = 2
"""One holds a pair that misses its share while another makes the one that may rescue it."""


def refusal(request: EntanglementRequest) -> str | None:
    """Why the words of a request cannot be followed on any route; None when they can."""
    text = request.purification
    if text is None:
        return None
    try:
        levels_of(text)
    except ConfigError as wrong:
        return wrong.problem
    if text == AUTOMATIC:
        if request.fidelity_threshold is None and not request.rate_threshold_hz:
            return "automatic purification needs a fidelity threshold or a rate to choose rounds by"
        return None
    if text != ADAPTIVE:
        if not follows_tree(request.generation_mode):
            return f'rounds of a tree need a mode that follows it, not "{request.generation_mode}"'
        return None
    if request.fidelity_threshold is None:
        return "adaptive purification needs a fidelity threshold to decide by"
    if request.consumption != "keep":
        return "adaptive purification keeps pairs: both ends would have to decide at the same moment"
    if not needs_table(request.generation_mode):
        mode = request.generation_mode
        return f'adaptive purification needs a mode that looks again as pairs age, not "{mode}"'
    return None


def lanes_wanted(levels: Mapping[int, Level], tree: SwapTree) -> int:
    """Lanes that each link of a tree must have, so that kept pairs never leave a level without memories."""
    return 1 + max(_kept(tree, levels, link) for link in range(tree.left, tree.right))


def _kept(tree: SwapTree, levels: Mapping[int, Level], link: int) -> int:
    """Pairs that the levels above a link may keep at once on one side of it."""
    level = levels.get(tree.right - tree.left)
    own = 0 if level is None else 1 if level.pumping else level.rounds
    below = [child for child in tree.children or () if child.left <= link < child.right]
    return own + sum(_kept(child, levels, link) for child in below)


def purifications_of(
    request: EntanglementRequest,
    number: int,
    tree: SwapTree,
    nodes: tuple[NodeId, ...],
    memories: tuple[MemorySettings, ...],
    levels: Mapping[int, Level],
) -> dict[NodeId, list[PurificationPlan]]:
    """Purification plans by node, of one tree over a route. levels: rounds of its segments; where the ledger
    decides, all segments may have some."""
    found: dict[NodeId, list[PurificationPlan]] = {}
    text = request.purification
    if text is None:
        return found
    segments = _all_segments(len(nodes) - 1) if text == ADAPTIVE else _segments(tree)
    for left, right in segments:
        level = levels.get(right - left)
        floor: float | None = None
        if text == ADAPTIVE:
            level = Level(ADAPTIVE_ROUNDS, pumping=False)
            floor = fidelity_share(request.fidelity_threshold or 0.0, right - left, memories)
        if level is None:
            continue
        for node, partner in ((nodes[left], nodes[right]), (nodes[right], nodes[left])):
            found.setdefault(node, []).append(
                PurificationPlan(
                    request=request.request_id,
                    tree=number,
                    partner=partner,
                    rounds=level.rounds,
                    pumping=level.pumping,
                    fidelity_min=floor,
                )
            )
    return found


def _segments(tree: SwapTree) -> Iterator[tuple[int, int]]:
    yield tree.left, tree.right
    for child in tree.children or ():
        yield from _segments(child)


def _all_segments(hops: int) -> Iterator[tuple[int, int]]:
    return ((left, right) for left in range(hops) for right in range(left + 1, hops + 1))


def fidelity_share(threshold: float, hops: int, memories: tuple[MemorySettings, ...]) -> float:
    """Fidelity that a pair of so many links needs so that the route's pair reaches the threshold.

    Werner parameters multiply along a route, swaps included (algorithms.md 1.3); every link gets the same
    share. Waiting is not counted: a pair is looked at again when it has changed.
    """
    links = len(memories) - 1
    swaps = [_swap_weight(memory) for memory in memories[1:-1]]
    swap = 1.0
    for weight in swaps:
        swap *= weight
    wanted = (4.0 * threshold - 1.0) / 3.0
    per_link = (max(wanted, 0.0) / swap) ** (1.0 / links)
    per_swap = swap ** (1.0 / len(swaps)) if swaps else 1.0
    share: float = min(1.0, per_link**hops * per_swap ** (hops - 1))
    return (1.0 + 3.0 * share) / 4.0


def _swap_weight(memory: MemorySettings) -> float:
    """Mean Walsh eigenvalue of a Bell measurement's noise."""
    return sum(exp(-cost / COST_UNIT_PER_NEPER) for cost in memory.bsm_cost) / 3.0


def lack_of_lanes(
    request: EntanglementRequest, levels: Mapping[int, Level], tree: SwapTree, links: Iterable[LinkSettings]
) -> str | None:
    """Which link has too few lanes for the rounds of a request; None when all have enough."""
    if request.purification is None:
        return None
    beside = " beside rounds of links" if request.link_purification else ""
    for link in links:
        held, wanted = pairs_held(link), lanes_kept(request, levels, tree) + lanes_making(link, request)
        if held < wanted:
            return (
                f"{link.link} holds {held} pairs at a time, and {request.purification}{beside} needs {wanted}"
            )
    return None


def lanes_kept(request: EntanglementRequest, levels: Mapping[int, Level], tree: SwapTree) -> int:
    """Lanes of each link that pairs may hold which wait for others to be purified with; 0 without rounds."""
    if request.purification is None:
        return 0
    return (ADAPTIVE_LANES if request.purification == ADAPTIVE else lanes_wanted(levels, tree)) - 1


def lanes_making(link: LinkSettings, request: EntanglementRequest) -> int:
    """Lanes that a link must have free to make one pair: more than one where its pairs are purified before
    they are handed up."""
    return max(1, lanes_needed(link, request.link_purification))


def pairs_held(link: LinkSettings) -> int:
    """Pairs that a link can hold at a time."""
    return min(
        len(own) if shared else link.lanes for own, shared in zip(link.slots, link.shared, strict=True)
    )


def rounds_named(plan: RequestPlan) -> str | None:
    """The rounds of a plan in the words of a request; None: it has none."""
    found: dict[int, Level] = {}
    for name, node in plan.nodes.items():
        for each in node.purifications:
            if each.fidelity_min is not None:
                return ADAPTIVE
            for route in node.routes:
                if name in route and each.partner in route:
                    hops = abs(route.index(name) - route.index(each.partner))
                    found[hops] = Level(each.rounds, each.pumping)
    return words_of(found) or None


def executable(told: NodeInstructions) -> tuple[PurificationPlan, ...]:
    """Purification plans of one node of a purification-augmented swapping tree.

    Raises:
        ConfigError: two kinds of rounds with one partner, or a scheme that no memory is asked for.
    """
    found: dict[tuple[int, NodeId], PurificationPlan] = {}
    for each in told.purification:
        if each.scheme != "dejmps":
            raise ConfigError(
                f"{told.node}: {each.scheme} with {each.partner} cannot be executed, only dejmps"
            )
        plan = PurificationPlan(
            request=each.request,
            tree=each.tree,
            partner=each.partner,
            rounds=each.rounds,
            pumping=each.pumping,
        )
        known = found.setdefault((each.tree, each.partner), plan)
        if known != plan:
            raise ConfigError(
                f"{told.node}: rounds with {each.partner} differ within tree {each.tree}: {known.rounds} and "
                f"{plan.rounds}; alike pairs can be executed, nested kinds cannot"
            )
    return tuple(found.values())
