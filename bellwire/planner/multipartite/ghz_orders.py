"""In which order the pairs of a tree are fused: the exact programme, and the balanced heuristic (4.2).

Owns both searches over one given tree of pairs. Refuses the choice of the pairs (ghz_steiner.py,
ghz_retain.py).

A node that fuses stays in the state while it is a member or has pairs left to fuse; with its last fusion a
node that is no member leaves.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import NodeId
from bellwire.planner.multipartite.ghz_trees import FusionLeaf, FusionTree, fused
from bellwire.planner.structures import Waiting, waiting_s
from bellwire.planner.topology import Topology

PARTS_MAX: Final = 3000
"""Connected parts of a tree of pairs that the exact programme looks at: a line of 76 pairs, a star of 11."""


def fusion_order(
    topology: Topology,
    pairs: Sequence[FusionLeaf],
    members: Collection[NodeId],
    waiting: Waiting = "three_halves",
) -> FusionTree:
    """The fastest fusion tree over pairs that form a tree, or a balanced one where that is too much work."""
    order = best_order if count_parts(pairs) <= PARTS_MAX else balanced_order
    return order(topology, pairs, members, waiting)


def best_order(
    topology: Topology,
    pairs: Sequence[FusionLeaf],
    members: Collection[NodeId],
    waiting: Waiting = "three_halves",
) -> FusionTree:
    """The fastest fusion tree over pairs that form a tree: dynamic programme over its connected parts.

    T of a part never falls when one of its halves gets slower, so the fastest halves make the fastest whole.

    Raises:
        LocalMisuse: more than PARTS_MAX connected parts, or the pairs form no tree.
    """
    _check_tree(pairs)
    count = count_parts(pairs)
    if count > PARTS_MAX:
        raise LocalMisuse(
            f"{count} connected parts are too many for the exact programme: {PARTS_MAX} at most"
        )
    parts = _Parts(topology, pairs, members, waiting)
    for part in parts.connected():
        parts.find(part)
    return parts.tree((1 << len(pairs)) - 1)


def count_parts(pairs: Sequence[FusionLeaf]) -> int:
    """Connected parts with one pair or more of pairs that form a tree."""
    beside = _by_node(pairs)
    count = 0

    def hanging(node: NodeId, above: FusionLeaf | None) -> int:
        """Connected sets of nodes that have this node at their top."""
        nonlocal count
        own = 1
        for pair in beside[node]:
            if pair is not above:
                own *= 1 + hanging(_far(pair, node), pair)
        count += own - 1
        return own

    hanging(pairs[0].left, None)
    return count


class _Parts:
    """Connected parts of a tree of pairs as bit sets, with the latency and the last fusion of each."""

    def __init__(
        self, topology: Topology, pairs: Sequence[FusionLeaf], members: Collection[NodeId], waiting: Waiting
    ) -> None:
        self.topology, self.pairs = topology, pairs
        self.waiting: Waiting = waiting
        self.members = set(members)
        bit = {pair.pair: 1 << index for index, pair in enumerate(pairs)}
        beside = _by_node(pairs)
        self.beside = {node: sum(bit[pair.pair] for pair in own) for node, own in beside.items()}
        self.branches = {
            node: [sum(bit[pair.pair] for pair in _branch(node, first, beside)) for first in own]
            for node, own in beside.items()
        }
        self.latency_s = {1 << index: pair.latency_s for index, pair in enumerate(pairs)}
        self.split: dict[int, tuple[NodeId, int, int]] = {}
        self._words_s: dict[tuple[NodeId, int], float] = {}

    def connected(self) -> Iterator[int]:
        """All connected parts of two pairs or more, smaller ones first."""
        size: set[int] = set(self.latency_s)
        while size:
            grown: set[int] = set()
            for part in size:
                touching = 0
                for pairs in self.beside.values():
                    if pairs & part:
                        touching |= pairs
                touching &= ~part
                while touching:
                    grown.add(part | (touching & -touching))
                    touching &= touching - 1
            yield from sorted(grown)
            size = grown

    def find(self, part: int) -> None:
        """The best last fusion of a part whose own parts are known."""
        best_s = float("inf")
        for node, ones in self._splits(part):
            chance, fusion_s = self.topology.nodes[node].p_f, self.topology.nodes[node].t_f
            self.split.setdefault(part, (node, ones[0], part ^ ones[0]))
            if chance == 0.0:
                continue
            for one in ones:
                other = part ^ one
                wait_s = waiting_s(self.latency_s[one], self.latency_s[other], self.waiting)
                if wait_s >= best_s * chance:
                    continue
                total_s = wait_s + fusion_s + max(self._told_s(node, one), self._told_s(node, other))
                if total_s < best_s * chance:
                    best_s = total_s / chance
                    self.split[part] = (node, one, other)
        self.latency_s[part] = best_s

    def tree(self, part: int) -> FusionTree:
        """The best fusion tree of a part."""
        if part not in self.split:
            return self.pairs[part.bit_length() - 1]
        node, one, other = self.split[part]
        retained = self._stays(node, part)
        return fused(
            self.topology, node, self.tree(one), self.tree(other), retained=retained, waiting=self.waiting
        )

    def _splits(self, part: int) -> Iterator[tuple[NodeId, list[int]]]:
        """Every node inside a part, with one half of every way to share its branches between two states."""
        for node, pairs in self.beside.items():
            own = pairs & part
            if own & (own - 1):
                first, *others = (part & branch for branch in self.branches[node] if part & branch)
                ones = [first]
                for branch in others:
                    ones += [one | branch for one in ones]
                yield node, ones[:-1]

    def _told_s(self, node: NodeId, part: int) -> float:
        """t_c from a node to the farthest owner of a part."""
        found = self._words_s.get((node, part))
        if found is None:
            owners = (name for name, pairs in self.beside.items() if pairs & part and self._stays(name, part))
            found = self._words_s[node, part] = self.topology.told_s(node, *owners)
        return found

    def _stays(self, node: NodeId, part: int) -> bool:
        return node in self.members or bool(self.beside[node] & ~part)


def balanced_order(
    topology: Topology,
    pairs: Sequence[FusionLeaf],
    members: Collection[NodeId],
    waiting: Waiting = "three_halves",
) -> FusionTree:
    """A fusion tree whose every fusion joins parts with numbers of pairs as equal as can be.

    Raises:
        LocalMisuse: the pairs form no tree.
    """
    _check_tree(pairs)
    needed = Counter(dict.fromkeys(members, 1))
    return _balanced(topology, list(pairs), needed, waiting)


def _balanced(
    topology: Topology, pairs: Sequence[FusionLeaf], needed: Counter[NodeId], waiting: Waiting
) -> FusionTree:
    """needed: how many reasons a node has to stay: being a member, and one for each outer fusion there."""
    if len(pairs) == 1:
        return pairs[0]
    node, one, other = min(_halves(pairs), key=lambda each: _unevenness(topology, *each))
    needed[node] += 1
    halves = [_balanced(topology, half, needed, waiting) for half in (one, other)]
    needed[node] -= 1
    return fused(topology, node, halves[0], halves[1], retained=needed[node] > 0, waiting=waiting)


def _halves(
    pairs: Sequence[FusionLeaf],
) -> Iterator[tuple[NodeId, list[FusionLeaf], list[FusionLeaf]]]:
    """For every inner node the split of its branches with the most equal numbers of pairs."""
    beside = _by_node(pairs)
    for node, own in beside.items():
        if len(own) > 1:
            branches = [_branch(node, pair, beside) for pair in own]
            chosen = _most_equal([len(branch) for branch in branches])
            one = [pair for index in chosen for pair in branches[index]]
            taken = {pair.pair for pair in one}
            yield node, one, [pair for pair in pairs if pair.pair not in taken]


def _unevenness(
    topology: Topology, node: NodeId, one: Sequence[FusionLeaf], other: Sequence[FusionLeaf]
) -> tuple[int, float, NodeId]:
    """Pairs in the greater half; among equals the nearest node, then the first name."""
    ends = {end for pair in (*one, *other) for end in pair.owners}
    return max(len(one), len(other)), topology.told_s(node, *ends), node


def _branch(
    node: NodeId, first: FusionLeaf, beside: Mapping[NodeId, Sequence[FusionLeaf]]
) -> list[FusionLeaf]:
    """All pairs that hang on a node by one of its pairs."""
    found = [first]
    open_ends = [(_far(first, node), first)]
    while open_ends:
        here, came = open_ends.pop()
        for pair in beside[here]:
            if pair is not came:
                found.append(pair)
                open_ends.append((_far(pair, here), pair))
    return found


def _most_equal(sizes: Sequence[int]) -> tuple[int, ...]:
    """Indices of sizes whose sum is as near to half of all as can be: subset sum over reachable sums."""
    reached: dict[int, tuple[int, ...]] = {0: ()}
    for index, size in enumerate(sizes):
        for total, chosen in list(reached.items()):
            reached.setdefault(total + size, (*chosen, index))
    whole = sum(sizes)
    return reached[min((total for total in reached if 0 < total < whole), key=lambda x: abs(2 * x - whole))]


def _by_node(pairs: Sequence[FusionLeaf]) -> dict[NodeId, list[FusionLeaf]]:
    beside: dict[NodeId, list[FusionLeaf]] = defaultdict(list)
    for pair in pairs:
        for node in (pair.left, pair.right):
            beside[node].append(pair)
    return beside


def _far(pair: FusionLeaf, node: NodeId) -> NodeId:
    return pair.right if pair.left == node else pair.left


def _check_tree(pairs: Sequence[FusionLeaf]) -> None:
    """Raises LocalMisuse unless the pairs are the edges of one tree."""
    joined: list[set[NodeId]] = []
    for pair in pairs:
        touched = [group for group in joined if group & pair.owners]
        if any(pair.owners <= group for group in touched):
            raise LocalMisuse(f"pair {pair.left}-{pair.right} closes a circle")
        joined = [group for group in joined if not group & pair.owners]
        joined.append(set(pair.owners).union(*touched))
    if len(joined) != 1:
        raise LocalMisuse(f"{len(pairs)} pairs form {len(joined)} trees instead of one")
