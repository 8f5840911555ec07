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

EXACT_PAIRS_MAX: Final = 9
"""The exact programme looks at up to 3**pairs splits: with 9 pairs, the 10 members of ghz-retain."""


def best_order(
    topology: Topology,
    pairs: Sequence[FusionLeaf],
    members: Collection[NodeId],
    waiting: Waiting = "three_halves",
) -> FusionTree:
    """The fastest fusion tree over pairs that form a tree: dynamic programme over its connected parts.

    T of a part never falls when one of its halves gets slower, so the fastest halves make the fastest whole.

    Raises:
        LocalMisuse: more than EXACT_PAIRS_MAX pairs, or they form no tree.
    """
    if len(pairs) > EXACT_PAIRS_MAX:
        raise LocalMisuse(
            f"{len(pairs)} pairs are too many for the exact programme: {EXACT_PAIRS_MAX} at most"
        )
    _check_tree(pairs)
    parts = _Parts(topology, pairs, members, waiting)
    for part in sorted(range(1, 1 << len(pairs)), key=int.bit_count):
        parts.find(part)
    return parts.tree((1 << len(pairs)) - 1)


class _Parts:
    """Connected parts of a tree of pairs as bit sets, with the latency and the split of the best fusion."""

    def __init__(
        self, topology: Topology, pairs: Sequence[FusionLeaf], members: Collection[NodeId], waiting: Waiting
    ) -> None:
        self.topology, self.pairs = topology, pairs
        self.waiting: Waiting = waiting
        self.members = set(members)
        self.beside: dict[NodeId, int] = defaultdict(int)  # node -> its pairs
        for index, pair in enumerate(pairs):
            for node in pair.owners:
                self.beside[node] |= 1 << index
        self.latency_s = {1 << index: pair.latency_s for index, pair in enumerate(pairs)}
        self.split: dict[int, tuple[NodeId, int, int]] = {}

    def find(self, part: int) -> None:
        """The best last fusion of a part whose own parts are known; nothing when it is not connected."""
        if part in self.latency_s:
            return
        lowest, best_s = part & -part, float("inf")
        one = part
        while one := (one - 1) & part:
            other = part ^ one
            if not one & lowest or one not in self.latency_s or other not in self.latency_s:
                continue
            node = self._meeting(one, other)
            if node is None:
                continue
            self.split.setdefault(part, (node, one, other))
            chance = self.topology.nodes[node].p_f
            wait_s = waiting_s(self.latency_s[one], self.latency_s[other], self.waiting)
            if chance == 0.0 or wait_s / chance >= best_s:
                continue
            owners = self._owners(one) | self._owners(other)
            told_s = self.topology.told_s(node, *owners)
            total_s = (wait_s + self.topology.nodes[node].t_f + told_s) / chance
            if total_s < best_s:
                best_s = total_s
                self.split[part] = (node, one, other)
        if part in self.split:
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

    def _meeting(self, one: int, other: int) -> NodeId | None:
        for node, pairs in self.beside.items():
            if pairs & one and pairs & other:
                return node
        return None

    def _stays(self, node: NodeId, part: int) -> bool:
        return node in self.members or bool(self.beside[node] & ~part)

    def _owners(self, part: int) -> set[NodeId]:
        return {node for node, pairs in self.beside.items() if pairs & part and self._stays(node, part)}


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
    beside: dict[NodeId, list[FusionLeaf]] = defaultdict(list)
    for pair in pairs:
        for node in (pair.left, pair.right):
            beside[node].append(pair)
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
    open_ends = [(first.right if first.left == node else first.left, first)]
    while open_ends:
        here, came = open_ends.pop()
        for pair in beside[here]:
            if pair is not came:
                found.append(pair)
                open_ends.append((pair.right if pair.left == here else pair.left, pair))
    return found


def _most_equal(sizes: Sequence[int]) -> tuple[int, ...]:
    """Indices of sizes whose sum is as near to half of all as can be: subset sum over reachable sums."""
    reached: dict[int, tuple[int, ...]] = {0: ()}
    for index, size in enumerate(sizes):
        for total, chosen in list(reached.items()):
            reached.setdefault(total + size, (*chosen, index))
    whole = sum(sizes)
    return reached[min((total for total in reached if 0 < total < whole), key=lambda x: abs(2 * x - whole))]


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
