"""Graphs that local Cliffords turn into each other: the orbit of a target under local complementation.

Owns the walk through the orbit and the way back. Refuses costs and plans. Two graph states that differ by
local complementations differ by gates on single qubits only, which owners apply without a word to each other
(Van den Nest, Dehaene, De Moor 2004). A complete graph, for example, is a star.
"""

from collections import deque
from typing import Final, NamedTuple

from bellwire.planner.multipartite.graph_rules import Graph
from bellwire.planner.multipartite.values import Vertex

GRAPHS_MAX: Final = 1000
"""Graphs of an orbit that are looked at, nearest first."""


class Equivalent(NamedTuple):
    """A graph and the vertices at which complementation, one after the other, leads from it to the target."""

    edges: tuple[tuple[Vertex, Vertex], ...]
    back: tuple[Vertex, ...]


def equivalents(target: Graph[Vertex], graphs_max: int = GRAPHS_MAX) -> list[Equivalent]:
    """The target itself, then other graphs of its orbit, nearest first."""
    names = list(target)
    index = {name: number for number, name in enumerate(names)}
    start = tuple(sum(1 << index[beside] for beside in target.of(name)) for name in names)
    ways: dict[tuple[int, ...], tuple[Vertex, ...]] = {start: ()}  # neighbours as bit sets
    waiting = deque(ways)
    while waiting and len(ways) < graphs_max:
        graph = waiting.popleft()
        for vertex, beside in enumerate(graph):
            if beside.bit_count() < 2:
                continue
            other = tuple(
                around ^ (beside & ~(1 << number)) if beside >> number & 1 else around
                for number, around in enumerate(graph)
            )
            if other not in ways and len(ways) < graphs_max:
                # complementation is its own inverse, so the way back begins with the last step
                ways[other] = (names[vertex], *ways[graph])
                waiting.append(other)
    return [Equivalent(_edges(graph, names), back) for graph, back in ways.items()]


def _edges(graph: tuple[int, ...], names: list[Vertex]) -> tuple[tuple[Vertex, Vertex], ...]:
    return tuple(
        (names[i], names[j])
        for i, beside in enumerate(graph)
        for j in range(i + 1, len(graph))
        if beside >> j & 1
    )
