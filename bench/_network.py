"""A random network for W2, the same for everybody who asks with the same seed.

Owns the drawing: nodes in a square, short edges more likely than long ones, requests between nodes 3 to 5
hops apart on their shortest paths. The form is that of `bellwire.labs.lab_from_w2`.
"""

import heapq
import math
import random
from typing import Any

SIDE_KM = 100.0
REACH = 0.06
"""Decay length of an edge's likelihood, in diagonals of the square."""


def draw_network(nodes: int, edges: int, requests: int, seed: int) -> dict[str, Any]:
    """A connected network with exactly `edges` edges: a shortest spanning tree, the rest by likelihood."""
    chance = random.Random(seed)
    places = [(chance.uniform(0, SIDE_KM), chance.uniform(0, SIDE_KM)) for _ in range(nodes)]
    length = {(a, b): math.dist(places[a], places[b]) for a in range(nodes) for b in range(a + 1, nodes)}
    chosen = _spanning_tree(nodes, length)
    reach_km = REACH * SIDE_KM * math.sqrt(2)
    # Sampling without replacement by weight: the smallest exponential waiting times win.
    waiting = {pair: chance.expovariate(math.exp(-far_km / reach_km)) for pair, far_km in length.items()}
    for pair in sorted(waiting, key=lambda one: waiting[one]):
        if len(chosen) == edges:
            break
        chosen.setdefault(pair)
    neighbours: list[list[int]] = [[] for _ in range(nodes)]
    for a, b in chosen:
        neighbours[a].append(b)
        neighbours[b].append(a)
    names = [f"n{index:03d}" for index in range(nodes)]
    wanted: list[dict[str, Any]] = []
    while len(wanted) < requests:
        source, target = chance.sample(range(nodes), 2)
        path = _shortest_path(neighbours, source, target)
        if 4 <= len(path) <= 6:
            route = [names[index] for index in path]
            wanted.append({"src": route[0], "dst": route[-1], "path": route})
    return {
        "nodes": [
            {"name": name, "x_km": round(x, 2), "y_km": round(y, 2)}
            for name, (x, y) in zip(names, places, strict=True)
        ],
        "edges": [[names[a], names[b]] for a, b in chosen],
        "requests": wanted,
        "model": {
            "link_length_km": 10,
            "p_attempt": 0.01,
            "attempt_period_s": 50e-6,
            "memory_pairs_per_request_per_link": 2,
            "swap_success": 0.5,
        },
    }


def _spanning_tree(nodes: int, length: dict[tuple[int, int], float]) -> dict[tuple[int, int], None]:
    """Prim's shortest spanning tree, as ordered edges."""
    tree: dict[tuple[int, int], None] = {}
    reached = {0}
    heap = [(length[0, other], (0, other)) for other in range(1, nodes)]
    heapq.heapify(heap)
    while len(reached) < nodes:
        _, (a, b) = heapq.heappop(heap)
        new = b if a in reached else a
        if new in reached:
            continue
        reached.add(new)
        tree[a, b] = None
        for other in range(nodes):
            if other not in reached:
                pair = (min(new, other), max(new, other))
                heapq.heappush(heap, (length[pair], pair))
    return tree


def _shortest_path(neighbours: list[list[int]], source: int, target: int) -> list[int]:
    """Fewest hops, neighbours in the order in which they were chosen."""
    came_from = {source: source}
    edge = [source]
    while target not in came_from:
        following: list[int] = []
        for node in edge:
            for other in neighbours[node]:
                if other not in came_from:
                    came_from[other] = node
                    following.append(other)
        edge = following
    path = [target]
    while path[-1] != source:
        path.append(came_from[path[-1]])
    return path[::-1]
