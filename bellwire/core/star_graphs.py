"""Star graphs: the graph states that are GHZ states up to a Hadamard gate at every vertex but the centre.

Owns the check that a wanted graph is one of them, and what a Hadamard gate does to a Pauli. Refuses all other
graphs: they need joins that this network does not make. Source: algorithms.md 4.3.
"""

from collections import Counter
from collections.abc import Sequence

from bellwire.core.ids import NodeId

GraphEdges = tuple[tuple[NodeId, NodeId], ...]


def graph_fault(members: Sequence[NodeId], edges: GraphEdges) -> str | None:
    """Why no graph state of these edges can be made from the first member; None: it can."""
    wanted = "a star can be made: edges from the source to every other member, and no others"
    if len(members) < 3:
        return f"{len(members)} vertices: a pair is a graph of two up to a Hadamard gate, ask for pairs"
    if not edges:
        return f"a graph state without edges is not entangled; {wanted}"
    degrees = Counter(node for edge in edges for node in edge)
    strangers = sorted(set(degrees) - set(members))
    if strangers:
        return f"edges name {', '.join(strangers)}, no member of {', '.join(members)}"
    centre = members[0]
    star = {frozenset((centre, leaf)) for leaf in members[1:]}
    found = [frozenset(edge) for edge in edges]
    if len(found) == len(star) and set(found) == star:
        return None
    hub, degree = degrees.most_common(1)[0]
    if hub != centre and len(found) == degree == len(members) - 1 and all(len(edge) == 2 for edge in found):
        return f"the centre of this star is {hub}: make the request there, with {hub} as the source"
    shown = " ".join(f"{one}-{other}" for one, other in edges)
    return f"the graph {shown} is no star around {centre}; {wanted}"


def through_hadamard(pauli: int) -> int:
    """The Pauli index 0..3 (I, Z, X, Y) that does after a Hadamard gate what `pauli` does before it."""
    return (pauli & 1) << 1 | pauli >> 1
