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
from bellwire.planner.requests import Limits, Options, PairRequest
from bellwire.planner.single import exact, purified
from bellwire.planner.single.all_pairs import AllTrees
from bellwire.planner.single.finishing import why_none
from bellwire.planner.single.limited import limited_trees
from bellwire.planner.structures import Tree, leaves, turned
from bellwire.planner.topology import Pair, pair_of

ENDS: Final = "the vertices' own qubits"
"""Under which memories for the ends of pairs stand in the book while trees are chosen."""


class NoFinerPairs(NoPlan):
    """Two nodes cannot have pairs of a fidelity, though they can have pairs."""


class PairTrees:
    """The fastest tree of every pair of nodes, each as if it were alone (1.4).

    fidelity: of every pair when it is made, at least; None: any. With it, purified pairs are used where
    swapping alone does not lead there.
    """

    def __init__(self, residual: Residual, options: Options, fidelity: float | None = None) -> None:
        self.residual, self.options, self.fidelity = residual, options, fidelity
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
        fastest = self._all.tree(*pair)
        if self.fidelity is not None:
            return None if fastest is None else self._fine(pair, self.fidelity)
        if self._all.is_best(*pair):
            return fastest
        # a loop would pay for the classical words, so simple trees are searched one by one
        return next(limited_trees(self.residual, _asked(*pair), self.options), None)

    def _fine(self, pair: Pair, fidelity: float) -> Tree | None:
        request = _asked(*pair, fidelity)
        methods = (exact.plan, purified.plan) if self.options.throttles else (exact.plan,)
        for method in methods:
            try:
                return method(self.residual, request, self.options).tree
            except NoPlan:
                continue  # the next one may reach it; None says that none does
        return None

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
                if self.fidelity is not None and self._all.tree(left.node, right.node) is not None:
                    raise NoFinerPairs(
                        f"no tree makes pairs of {self.fidelity:.6g} between {left.node} and {right.node}"
                    )
                raise NoPlan(why_none(self.residual, _asked(left.node, right.node), self.options))
            found.append(part)
        return found


def _asked(a: NodeId, b: NodeId, fidelity: float | None = None) -> PairRequest:
    return PairRequest(request=f"{a}-{b}", source=a, destination=b, limits=Limits(fidelity=fidelity))


def crowded(pairs: Iterable[PairPart]) -> bool:
    """A node swaps for one pair and does something for another one, so that its attempts are not enough."""
    ends: Counter[NodeId] = Counter()
    for pair in pairs:
        ends += _qubits(pair)
    return any(ends[name] > 2 for pair in pairs for name in _inner(pair))


def _qubits(pair: PairPart) -> Counter[NodeId]:
    return Counter(name for leaf in leaves(pair.tree) for name in (leaf.left, leaf.right))


def _inner(pair: PairPart) -> set[NodeId]:
    return set(_qubits(pair)) - {pair.left.node, pair.right.node}


def apart(
    residual: Residual,
    options: Options,
    edges: Sequence[tuple[Spot, Spot]],
    own: Counter[NodeId],
    *,
    alone: bool = False,
) -> list[PairPart]:
    """The pairs of all edges, each tree chosen on the memories that the others leave; longest first.

    Every edge's two ends have their memories before any tree takes one to swap. own: further memories that
    nodes need for qubits of their own. alone: no node swaps for two pairs.

    Raises:
        NoPlan: the memories do not suffice for this choice.
    """
    ends = own + Counter(spot.node for edge in edges for spot in edge)
    first = dict(zip(edges, PairTrees(residual, options).needed(edges), strict=True))
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
        memories = _qubits(part)
        if alone:
            memories.update({name: book.memories(name) - memories[name] for name in _inner(part)})
        book.claim(f"{left.name}-{right.name}", Use(links_hz={}, attempts_hz={}, memories=dict(memories)))
    return [found[edge] for edge in edges]
