"""Swapping trees as text: "((a b) (b c))", as `SwapTree.text` writes them.

Owns the grammar and the tree on a route that a text means. Refuses the choice among trees (intervals.py).

    tree := "(" node node ")" | "(" tree tree ")"        the second tree begins where the first one ends
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from bellwire.core.errors import ConfigError
from bellwire.core.ids import NodeId
from bellwire.planner.intervals import Shape

NODES_MAX: Final = 256
"""Nodes of a route that a tree may name."""


class NamedTree(NamedTuple):
    """A nesting of the links of a route, which has no latency yet."""

    route: tuple[NodeId, ...]
    shape: Shape  # links are numbered along the route


@lru_cache(maxsize=256)
def read_tree(text: str) -> NamedTree:
    """The tree that a text means.

    Raises:
        ConfigError: parentheses that do not fit, subtrees that share no node, a node that comes twice, or
            more than NODES_MAX nodes.
    """
    words = _WORDS.findall(text)
    if words.count("(") >= 2 * NODES_MAX:
        raise ConfigError(f"swapping tree of {words.count('(')} parts: at most {NODES_MAX} nodes are named")
    found = _Reader(text, words).whole()
    if len(set(found.route)) < len(found.route):
        twice = next(name for name in found.route if found.route.count(name) > 1)
        raise ConfigError(f'swapping tree "{text}": {twice} comes twice')
    return found


_WORDS: Final = re.compile(r"[()]|[^\s()]+")


class _Reader:
    """One pass over the words of a tree, with the open subtrees on a stack."""

    def __init__(self, text: str, words: list[str]) -> None:
        self._text = text
        self._words = words

    def whole(self) -> NamedTree:
        open_: list[list[str | NamedTree]] = [[]]
        links = 0
        for word in self._words:
            if word == "(":
                open_.append([])
            elif word == ")":
                parts = open_.pop()
                if not open_:
                    raise self._wrong('a ")" closes nothing')
                tree = self._tree(parts, links)
                links += isinstance(tree.shape, int)
                open_[-1].append(tree)
            else:
                open_[-1].append(word)
        if len(open_) > 1:
            raise self._wrong(f'{len(open_) - 1} times ")" is missing')
        (top,) = open_
        if len(top) == 1 and isinstance(top[0], NamedTree):
            return top[0]
        raise self._wrong("a tree is one pair of parentheses, as in ((a b) (b c))")

    def _tree(self, parts: list[str | NamedTree], links: int) -> NamedTree:
        match parts:
            case [str() as one, str() as other]:
                return NamedTree((one, other), links)
            case [NamedTree() as one, NamedTree() as other]:
                if one.route[-1] != other.route[0]:
                    raise self._wrong(
                        f"{'-'.join(one.route)} and {'-'.join(other.route)} share no node: the second "
                        "subtree begins where the first one ends"
                    )
                return NamedTree(one.route + other.route[1:], (one.shape, other.shape))
            case _:
                raise self._wrong(
                    f"parentheses hold two nodes or two subtrees, not {len(parts)} parts"
                    if len(parts) != 2
                    else "parentheses hold two nodes or two subtrees, not one of each"
                )

    def _wrong(self, why: str) -> ConfigError:
        return ConfigError(f'swapping tree "{self._text}": {why}')
