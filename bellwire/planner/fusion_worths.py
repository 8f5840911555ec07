"""What the states on a tree of links are worth to the whole, for nodes that choose which two to join.

Owns the programme over the connected parts of a tree of links. Refuses decisions (fusion_choices.py).
It is the value table of swap scores (algorithms.md 8.2) with parts of a tree in the place of segments.

    V(S) = min over the splits of S at a node v into S1, S2 of (V(S1) + V(S2)) / p_v    V(link) = its latency
    J(S) = min over parts S' that meet S in a node v of V(S') + p_v J(S + S') + (1 - p_v) V(all)  J(all) = 0
    U(S) = V(all) - J(S)

V is what a part costs, J what is still to be spent once S is there, where a failure begins anew, and U what S
saves. Joining X and Y at v is worth while if p_v U(X + Y) is at least U(X) + U(Y): no part without a partner
for which that holds.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from bellwire.core.ids import NodeId

EDGES_MAX: Final = 10
"""Links of a tree; a star of them has 1023 parts. Larger trees have no table."""

Edge = tuple[NodeId, NodeId]

MayMeet = Callable[[int, int, NodeId], bool]
"""Whether two parts may be joined at a node; of graph states not all may."""


def worths(
    edges: Sequence[Edge],
    latencies_s: Sequence[float],
    success: Mapping[NodeId, float],
    may_meet: MayMeet | None = None,
) -> dict[int, float]:
    """U of every connected part that can be made, by the sum of 2**i over its links i; none beyond EDGES_MAX
    links. may_meet: None: all parts may be joined where they meet."""
    if len(edges) > EDGES_MAX:
        return {}
    parts = _parts(edges)
    whole = (1 << len(edges)) - 1
    meetings = [each for each in _meetings(parts) if may_meet is None or may_meet(*each)]
    cost = {1 << index: latency_s for index, latency_s in enumerate(latencies_s)}
    partners: dict[int, list[tuple[int, NodeId]]] = {}
    for one, other, node in sorted(meetings, key=lambda each: (each[0] | each[1]).bit_count()):
        # Both are smaller than their union, hence final by now.
        if one not in cost or other not in cost:
            continue
        tried = (cost[one] + cost[other]) / success[node]
        cost[one | other] = min(tried, cost.get(one | other, tried))
        partners.setdefault(one, []).append((other, node))
        partners.setdefault(other, []).append((one, node))
    left = {whole: 0.0}
    for part in sorted(cost, key=int.bit_count, reverse=True):
        if part != whole:
            left[part] = min(
                cost[other] + success[node] * left[part | other] + (1.0 - success[node]) * cost[whole]
                for other, node in partners[part]
            )
    return {part: cost[whole] - left[part] for part in sorted(cost)}


def _parts(edges: Sequence[Edge]) -> dict[int, frozenset[NodeId]]:
    """All connected parts with their nodes, grown link by link."""
    found: dict[int, frozenset[NodeId]] = {1 << index: frozenset(edge) for index, edge in enumerate(edges)}
    waiting = list(found)
    for part in waiting:
        for index, edge in enumerate(edges):
            grown = part | 1 << index
            if grown not in found and found[part].intersection(edge):
                found[grown] = found[part].union(edge)
                waiting.append(grown)
    return found


def _meetings(parts: Mapping[int, frozenset[NodeId]]) -> list[tuple[int, int, NodeId]]:
    """All two parts without a common link that meet in a node; in a tree they meet in one only."""
    found: list[tuple[int, int, NodeId]] = []
    for one, nodes in parts.items():
        for other, others in parts.items():
            if one < other and not one & other:
                shared = nodes & others
                if shared:
                    (node,) = shared
                    found.append((one, other, node))
    return found
