"""Trees of every kind over lines of nodes, for tests of what is said about plans.

Owns the hypothesis strategies. Refuses searches: these trees are valid, not good.
"""

from itertools import pairwise

from hypothesis import strategies as st

from bellwire.core.bell import werner
from bellwire.planner.structures import LinkLeaf, StoredLeaf, Tree, leaves, purified, swapped
from bellwire.planner.topology import Node, Topology, link_between


def line(links: int, **node: float) -> Topology:
    """n0 - n1 - ..., 10 km apart, with plenty of memories and channels."""
    properties = {"memories": 1000, "attempts_hz": 1e9, **node}
    nodes = [
        Node(name=f"n{index}", position_km=(10.0 * index, 0.0), **properties)  # type: ignore[arg-type]
        for index in range(links + 1)
    ]
    return Topology.of(nodes, [link_between(a, b, 10.0, channels=1000) for a, b in pairwise(nodes)])


@st.composite
def planned_trees(draw: st.DrawFn, stored: bool = True, purify: bool = True) -> tuple[Topology, Tree]:
    """A line of 1 to 5 links with different swap probabilities, and a tree from end to end."""
    count = draw(st.integers(1, 5))
    chances = draw(st.lists(st.sampled_from((0.25, 0.4, 0.5, 1.0)), min_size=count + 1, max_size=count + 1))
    nodes = [
        Node(
            name=f"n{index}",
            position_km=(10.0 * index, 0.0),
            memories=1000,
            attempts_hz=1e9,
            swap_probability=chance,
        )
        for index, chance in enumerate(chances)
    ]
    topology = Topology.of(nodes, [link_between(a, b, 10.0, channels=1000) for a, b in pairwise(nodes)])
    names = list(topology.nodes)
    pairs = iter(range(1000))

    def make(left: int, right: int, depth: int) -> Tree:
        if purify and depth < 3 and draw(st.integers(0, 3)) == 0:
            kept = make(left, right, depth + 1)
            measured = kept if not stored and draw(st.booleans()) else make(left, right, depth + 1)
            held = any(isinstance(leaf, StoredLeaf) for part in (kept, measured) for leaf in leaves(part))
            return purified(
                topology,
                kept,
                measured,
                draw(st.sampled_from((0.5, 0.8, 0.9))),
                scheme=draw(st.sampled_from(("bbpssw", "dejmps"))),
                pumping=not held and draw(st.booleans()),  # a stored pair cannot be made in turn
            )
        if stored and draw(st.integers(0, 5)) == 0:
            state = werner(draw(st.sampled_from((0.8, 0.95))))
            return StoredLeaf(names[left], names[right], f"s{next(pairs)}", state, 0.01, 1e6)
        if right == left + 1:
            return LinkLeaf(names[left], names[right], draw(st.sampled_from((0.002, 0.01, 0.03))))
        at = draw(st.integers(left + 1, right - 1))
        return swapped(topology, make(left, at, depth), make(at, right, depth))

    return topology, make(0, count, 0)
