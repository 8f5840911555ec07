"""Which swapping tree makes the pairs between two nodes.

Owns the choice of trees for many node pairs at once, alone or in view of the memories that the others need.
Refuses the search for a tree (bellwire.planner.single) and fusions.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from bellwire.core.ids import NodeId
from bellwire.planner.capacity import NoPlan, Residual, Use
from bellwire.planner.multipartite.graph_parts import PairPart, Spot
from bellwire.planner.requests import Options, PairRequest
from bellwire.planner.single.all_pairs import AllTrees
from bellwire.planner.single.finishing import why_none
from bellwire.planner.single.limited import limited_trees
from bellwire.planner.structures import Tree, leaves, turned
from bellwire.planner.topology import Pair, pair_of

ENDS: Final = "the vertices' own qubits"
"""Under which memories for the ends of pairs stand in the book while trees are chosen."""


class PairTrees:
    """The fastest tree of every pair of nodes, each as if it were alone (1.4), not throttled."""

    def __init__(self, residual: Residual, options: Options) -> None:
        self.residual, self.options = residual, options
        self._all = AllTrees(residual, options)
        self._found: dict[Pair, Tree | None] = {}

    def tree(self, a: NodeId, b: NodeId) -> Tree | None:
        """The tree from a to b; None where there is no way."""
        pair = pair_of(a, b)
        if pair not in self._found:
            self._found[pair] = self._searched(pair)
        found = self._found[pair]
        return found if found is None or found.left == a else turned(found)

    def _searched(self, pair: Pair) -> Tree | None:
        if pair not in self._all.doubtful:
            return self._all.tree(*pair)
        # a loop would pay for the classical words, so simple trees are searched one by one
        request = PairRequest(request="", source=pair[0], destination=pair[1])
        return next(limited_trees(self.residual, request, self.options), None)

    def part(self, left: Spot, right: Spot) -> PairPart | None:
        """The pair between two spots; None where there is no way."""
        tree = self.tree(left.node, right.node)
        return None if tree is None else PairPart(left, right, tree)

    def needed(self, edges: Iterable[tuple[Spot, Spot]]) -> list[PairPart]:
        """The pairs of all edges.

        Raises:
            NoPlan: two of the nodes cannot be joined; the text says why.
        """
        found: list[PairPart] = []
        for left, right in edges:
            part = self.part(left, right)
            if part is None:
                request = PairRequest(request="", source=left.node, destination=right.node)
                raise NoPlan(why_none(self.residual, request, self.options))
            found.append(part)
        return found


def apart(
    residual: Residual, options: Options, edges: Sequence[tuple[Spot, Spot]], own: Counter[NodeId]
) -> list[PairPart]:
    """The pairs of all edges, each tree chosen on the memories that the others leave; longest first.

    Every edge's two ends have their memories before any tree takes one to swap. own: further memories that
    nodes need for qubits of their own.

    Raises:
        NoPlan: the memories do not suffice for this choice.
    """
    ends = own + Counter(spot.node for edge in edges for spot in edge)
    alone = PairTrees(residual, options)
    first = dict(zip(edges, alone.needed(edges), strict=True))
    book = residual.copy()
    book.claim(ENDS, Use(links_hz={}, attempts_hz={}, memories=dict(ends)))
    found: dict[tuple[Spot, Spot], PairPart] = {}
    for left, right in sorted(edges, key=lambda edge: -first[edge].latency_s):
        book.give_back(ENDS)
        ends -= Counter((left.node, right.node))
        book.claim(ENDS, Use(links_hz={}, attempts_hz={}, memories=dict(ends)))
        part = PairTrees(book, options).part(left, right)
        if part is None:
            raise NoPlan(f"no memories are left for the pairs between {left.node} and {right.node}")
        found[left, right] = part
        memories = Counter(name for leaf in leaves(part.tree) for name in (leaf.left, leaf.right))
        book.claim(f"{left.name}-{right.name}", Use(links_hz={}, attempts_hz={}, memories=dict(memories)))
    return [found[edge] for edge in edges]
