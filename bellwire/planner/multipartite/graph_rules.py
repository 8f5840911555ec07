"""How graph states change: fusions, measurements, local Cliffords, as pure graph algebra (algorithms.md 4.3).

Owns `Graph` and the rules. Refuses nodes, times and noise. |G> = prod CZ |+>^n. A rule names the graph that
is left and what restores it: local Cliffords whatever was measured, and the vertices that get a Z for each
measured bit that is 1. With these |G'> follows up to a global phase, for every outcome.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from bellwire.core.errors import LocalMisuse

V = TypeVar("V", bound=Hashable)

Clifford = Literal["H", "S", "S_DAG", "SQRT_X"]
"""Gates of one qubit: Hadamard, diag(1, i) and its inverse, exp(-i pi/4 X)."""


@dataclass(frozen=True)
class Graph(Generic[V]):
    """A simple graph; `neighbours` holds every vertex once, also lonely ones."""

    neighbours: Mapping[V, frozenset[V]]

    def __contains__(self, vertex: V) -> bool:
        return vertex in self.neighbours

    def __iter__(self) -> Iterator[V]:
        return iter(self.neighbours)

    def of(self, vertex: V) -> frozenset[V]:
        """Neighbours of a vertex. Raises LocalMisuse where there is no such vertex."""
        found = self.neighbours.get(vertex)
        if found is None:
            raise LocalMisuse(f"{vertex!r} is no vertex of this graph")
        return found

    def edges(self) -> frozenset[frozenset[V]]:
        """All edges as sets of two."""
        return frozenset(frozenset((a, b)) for a, beside in self.neighbours.items() for b in beside)


def graph_of(vertices: Iterable[V], edges: Iterable[tuple[V, V]] = ()) -> Graph[V]:
    """A graph of vertices and edges.

    Raises:
        LocalMisuse: a vertex or an edge comes twice, an edge is a loop or ends nowhere.
    """
    found: dict[V, set[V]] = {}
    for vertex in vertices:
        if vertex in found:
            raise LocalMisuse(f"vertex {vertex!r} comes twice")
        found[vertex] = set()
    for a, b in edges:
        if a == b or a not in found or b not in found or b in found[a]:
            raise LocalMisuse(f"edge {a!r}-{b!r} is a loop, comes twice or ends nowhere")
        found[a].add(b)
        found[b].add(a)
    return Graph({vertex: frozenset(beside) for vertex, beside in found.items()})


@dataclass(frozen=True, slots=True)
class Rule(Generic[V]):
    """What an operation leaves, and what has to be done for that."""

    graph: Graph[V]
    cliffords: tuple[tuple[Clifford, V], ...] = ()  # applied first, whatever was measured
    always: frozenset[V] = frozenset()  # then a Z, whatever was measured
    flips: tuple[frozenset[V], ...] = ()  # then, for each measured bit that is 1, a Z on these


# --- without measurement ---------------------------------------------------------------------------------


def together(one: Graph[V], other: Graph[V]) -> Graph[V]:
    """Two graphs side by side. Raises LocalMisuse when they share a vertex."""
    both = set(one.neighbours) & set(other.neighbours)
    if both:
        raise LocalMisuse(f"both graphs hold {next(iter(both))!r}")
    return Graph({**one.neighbours, **other.neighbours})


def toggled(graph: Graph[V], pairs: Iterable[tuple[V, V]]) -> Graph[V]:
    """CZ on each pair: an edge where there was none, none where there was one."""
    found = {vertex: set(beside) for vertex, beside in graph.neighbours.items()}
    for a, b in pairs:
        if a == b or a not in found or b not in found:
            raise LocalMisuse(f"no edge can join {a!r} and {b!r}")
        found[a] ^= {b}
        found[b] ^= {a}
    return Graph({vertex: frozenset(beside) for vertex, beside in found.items()})


def renamed(graph: Graph[V], old: V, new: V) -> Graph[V]:
    """The same graph with one vertex under another name."""
    if old not in graph or (new in graph and new != old):
        raise LocalMisuse(f"{old!r} cannot be called {new!r}")

    def name(vertex: V) -> V:
        return new if vertex == old else vertex

    return Graph({name(v): frozenset(name(w) for w in beside) for v, beside in graph.neighbours.items()})


def complemented(graph: Graph[V], vertex: V) -> Rule[V]:
    """Local complementation: every two neighbours of a vertex are joined, or parted if they were joined."""
    beside = sorted(graph.of(vertex), key=list(graph).index)
    pairs = [(a, b) for index, a in enumerate(beside) for b in beside[index + 1 :]]
    gates: list[tuple[Clifford, V]] = [("SQRT_X", vertex), *(("S_DAG", each) for each in beside)]
    return Rule(toggled(graph, pairs), tuple(gates))


def pivoted(graph: Graph[V], a: V, b: V) -> Rule[V]:
    """Complementation along an edge: at a, at b, at a again. On a star it exchanges centre and leaf.

    H on both ends; common neighbours need a Z.
    """
    if b not in graph.of(a):
        raise LocalMisuse(f"{a!r} and {b!r} are not joined")
    common = graph.of(a) & graph.of(b)
    only_a, only_b = graph.of(a) - common - {b}, graph.of(b) - common - {a}
    groups = ((only_a, only_b), (only_a, common), (only_b, common))
    after = toggled(graph, [(u, w) for one, other in groups for u in one for w in other])

    def name(vertex: V) -> V:
        return b if vertex == a else a if vertex == b else vertex

    turned = {vertex: frozenset(map(name, after.of(name(vertex)))) for vertex in after}
    return Rule(Graph(turned), (("H", a), ("H", b)), always=common)


# --- measurements ----------------------------------------------------------------------------------------


def measured_z(graph: Graph[V], vertex: V) -> Rule[V]:
    """Z measurement: the vertex is deleted; outcome 1 puts a Z on its neighbours."""
    return Rule(_without(graph, vertex), flips=(graph.of(vertex),))


def measured_y(graph: Graph[V], vertex: V) -> Rule[V]:
    """Y measurement: local complementation at the vertex, which is then deleted."""
    beside = graph.of(vertex)
    gates: list[tuple[Clifford, V]] = [("S_DAG", each) for each in graph if each in beside]
    return Rule(_without(complemented(graph, vertex).graph, vertex), tuple(gates), flips=(beside,))


def measured_x(graph: Graph[V], vertex: V, special: V | None = None) -> Rule[V]:
    """X measurement: pivot along the edge to a chosen neighbour, then the vertex is deleted.

    special: the neighbour, by default the first. A lonely vertex is |+>: its outcome is always 0.
    """
    beside = graph.of(vertex)
    if not beside:
        return Rule(_without(graph, vertex), flips=(frozenset(),))
    special = next(each for each in graph if each in beside) if special is None else special
    pivot = pivoted(graph, vertex, special)
    return Rule(
        _without(pivot.graph, vertex),
        (("H", special),),
        always=pivot.always,
        flips=(pivot.graph.of(vertex),),
    )


# --- fusions ---------------------------------------------------------------------------------------------


def fused(graph: Graph[V], kept: V, measured: V) -> Rule[V]:
    """Fuse-retain: CNOT kept -> measured, then Z measurement: two vertices become one.

    The kept one has the neighbours that exactly one of the two had, which is all of them for two graphs side
    by side; a leaf extends its partner's graph by one vertex. Fusing inside one graph closes a cycle.
    """
    if kept == measured:
        raise LocalMisuse(f"{kept!r} cannot be fused with itself")
    mine, theirs = graph.of(kept) - {measured}, graph.of(measured) - {kept}
    joined = measured in graph.of(kept)
    left = toggled(_without(graph, measured), ((kept, each) for each in theirs))
    assert left.of(kept) == mine ^ theirs
    # (-1)^(k(k+m)) = (-1)^(k(1+m)) for kept k and outcome m, where the two were neighbours
    return Rule(
        left,
        always=frozenset({kept}) if joined else frozenset(),
        flips=(theirs | {kept} if joined else theirs,),
    )


def swapped_out(graph: Graph[V], one: V, other: V) -> Rule[V]:
    """Swap in graph language: CZ, then X measurements of both; their neighbours are joined with each other.

    That is a Bell-state measurement with an H on one input. Bits: of `one`, then of `other`. Two leaves leave
    one edge: (u, w) get (I, I), (I, Z), (Z, I), (Z, Z) for the outcomes 00, 10, 01, 11.

    Raises:
        LocalMisuse: the two are neighbours, or have a neighbour in common.
    """
    first, second = graph.of(one), graph.of(other)
    if one == other or other in first or first & second:
        raise LocalMisuse(f"{one!r} and {other!r} must belong to different parts of a graph")
    left = _without(_without(graph, one), other)
    return Rule(toggled(left, ((u, w) for u in first for w in second)), flips=(second, first))


def merged_by_bell(graph: Graph[V], one: V, other: V) -> Rule[V]:
    """A plain Bell-state measurement of two leaves: CNOT one -> other, X on `one`, Z on `other`.

    Their neighbours u and w become alike as in a GHZ state; an H on w makes it a leaf of u, which takes w's
    other neighbours. Bits: of `one` (X), then of `other` (Z).

    Raises:
        LocalMisuse: one of the two is no leaf, or they share their neighbour.
    """
    if len(graph.of(one)) != 1 or len(graph.of(other)) != 1 or graph.of(one) == graph.of(other):
        raise LocalMisuse(f"{one!r} and {other!r} must be leaves of different vertices")
    ((u,), (w,)) = graph.of(one), graph.of(other)
    if u == other or w in graph.of(u):
        raise LocalMisuse(f"{one!r} and {other!r} must belong to different parts of a graph")
    left = _without(_without(graph, one), other)
    far = left.of(w)
    moved = toggled(left, [*((w, each) for each in far), *((u, each) for each in far), (u, w)])
    return Rule(moved, (("H", w),), flips=(far | {w}, frozenset({u})))


def _without(graph: Graph[V], vertex: V) -> Graph[V]:
    gone = frozenset({vertex})
    return Graph({each: beside - gone for each, beside in graph.neighbours.items() if each != vertex})
