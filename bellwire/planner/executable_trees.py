"""What a request writes to have a planned tree executed: the tree, and the rounds of its segments.

Owns the way from a tree of links, swaps and rounds to the words of a request. Refuses trees whose rounds
have no such words: those of one level alike, all of one kind, DEJMPS only, and no stored pairs.
"""

from collections.abc import Iterator
from typing import NamedTuple

from bellwire.core.errors import ConfigError
from bellwire.core.ids import NodeId
from bellwire.core.purification_words import Level, words_of
from bellwire.planner.assessment import PairPlan
from bellwire.planner.distant_rounds import executable
from bellwire.planner.instructions import instructions_of, rounds_of
from bellwire.planner.structures import LinkLeaf, PurifyNode, StoredLeaf, SwapNode, Tree, is_simple, route_of
from bellwire.planner.topology import Topology


class ExecutableTree(NamedTuple):
    """Words of a request, for a mode that follows its tree."""

    tree: str  # "((a r) (r b))"
    purification: str | None  # "1:1", None: no rounds


def words_for(plan: PairPlan, topology: Topology) -> tuple[ExecutableTree | None, str]:
    """The words for a plan and "", or None and why no request can ask for it."""
    try:
        return executable_tree(plan, topology), ""
    except ConfigError as wrong:
        return None, wrong.problem


def executable_tree(plan: PairPlan, topology: Topology) -> ExecutableTree:
    """The words for a plan of one pair.

    Raises:
        ConfigError: what no request can ask for; the text says what.
    """
    tree = plan.tree
    if not is_simple(tree):
        raise ConfigError("a node comes twice in the tree: requests name trees over simple routes")
    for told in instructions_of(plan, topology).values():
        executable(told)
    levels: dict[int, Level | None] = {}
    for segment in _segments(tree):
        hops = len(route_of(segment)) - 1
        level = _level(segment)
        if levels.setdefault(hops, level) != level:
            raise ConfigError(
                f"pairs of {hops} link{'s' if hops > 1 else ''} get different rounds: a request names the "
                f"same for all of them"
            )
    named = {hops: level for hops, level in levels.items() if level is not None}
    return ExecutableTree(_text(tree), words_of(named) or None)


def _level(segment: Tree) -> Level | None:
    """The rounds at the top of a segment."""
    if not isinstance(segment, PurifyNode):
        return None
    found = rounds_of(segment)
    if any(isinstance(each, PurifyNode) for each in found.inputs):
        raise ConfigError(f"rounds of {segment.left} and {segment.right} are nested in more than one way")
    if len({_making(each) for each in found.inputs}) > 1:
        raise ConfigError(f"the pairs that {segment.left} and {segment.right} purify are made in two ways")
    # One round by pumping is one round of recurrence: the words for it are the shorter ones.
    return Level(found.rounds, segment.pumping and found.rounds > 1)


def _segments(tree: Tree) -> Iterator[Tree]:
    """Every segment once, with the rounds at its top; of purified pairs the first one stands for all."""
    yield tree
    below = _unrefined(tree)
    if isinstance(below, SwapNode):
        yield from _segments(below.one)
        yield from _segments(below.other)


def _unrefined(tree: Tree) -> Tree:
    while isinstance(tree, PurifyNode):
        tree = tree.kept
    return tree


def _making(tree: Tree) -> str:
    """How a pair is made, rounds included."""
    match tree:
        case PurifyNode():
            found = rounds_of(tree)
            kind = "p" if tree.pumping and found.rounds > 1 else ""
            return f"{found.rounds}{kind}[{' '.join(map(_making, found.inputs))}]"
        case SwapNode(one, other):
            return f"({_making(one)} {_making(other)})"
        case _:
            return _text(tree)


def _text(tree: Tree) -> str:
    match _unrefined(tree):
        case LinkLeaf(left, right):
            return _pair(left, right)
        case SwapNode(one, other):
            return f"({_text(one)} {_text(other)})"
        case StoredLeaf(left, right):
            raise ConfigError(f"the stored pair {left}-{right} is in the tree, and requests cannot name it")
        case PurifyNode():
            raise AssertionError("rounds were taken off")


def _pair(left: NodeId, right: NodeId) -> str:
    return f"({left} {right})"
