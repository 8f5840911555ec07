"""Trees of links on which GHZ states are made, as labs: for studies and tests of fusion.

Owns the way from edges and members to a lab file. Refuses plans and policies.
"""

from collections.abc import Mapping
from typing import Any, Final

from bellwire.core.ids import NodeId
from bellwire.labs.lab import Lab, build_lab
from bellwire.labs.models import LabFile

PERFECT: Final[Mapping[str, float | None]] = {
    "t1_s": None,
    "t2_s": None,
    "gate_fidelity": 1.0,
    "single_gate_fidelity": 1.0,
    "readout_fidelity": 1.0,
}
"""A memory that forgets nothing and gates without faults."""

Edges = tuple[tuple[NodeId, NodeId], ...]


def fusion_tree_lab(
    edges: Edges,
    members: tuple[NodeId, ...],
    *,
    memory: Mapping[str, float | None] = PERFECT,
    pair_fidelity: float = 1.0,
    mode: str = "swap_asap",
    fusion_success: float = 0.5,
    fusion_us: float = 10.0,
    link_success: float = 0.1,
    period_us: float = 100.0,
    length_km: float = 1.0,
    lanes: int = 1,
    delay: str = "zero",
    star: bool = False,
    graph: Edges = (),
    duration_s: float = 5.0,
    **others: Any,
) -> Lab:
    """One request: "ghz", for states of all members; "star", for star graphs around the first of them; or
    "graph", for graph states of the given edges.

    Members are end nodes, all other nodes repeaters.

    Every link has `lanes` memories of its own at each end. delay: of classical messages, as in a lab file.
    others: further sections of the file, such as `scenario`.

    Raises:
        ConfigError: a value that no lab has.
    """
    if star:
        graph = tuple((members[0], leaf) for leaf in members[1:])
    names = dict.fromkeys(node for edge in edges for node in edge)
    memory = {**memory, "bsm_success_probability": fusion_success, "bsm_duration_us": fusion_us}
    attempt = {"period_us": period_us, "success_probability": link_success, "fidelity": pair_fidelity}
    return build_lab(
        LabFile.model_validate(
            {
                "lab": "fusion_tree",
                "description": "a tree of links for GHZ states",
                "nodes": {
                    name: {"role": "end" if name in members else "repeater", "memory": memory}
                    for name in names
                },
                "links": {
                    f"{a}-{b}": {"nodes": (a, b), "attempt": attempt, "lanes": lanes, "length_km": length_km}
                    for a, b in edges
                },
                "classical": {"delay": delay},
                "requests": (
                    {
                        "id": "star" if star else "graph" if graph else "ghz",
                        "from": members[0],
                        "ghz_with": () if graph else members[1:-1],
                        "graph": graph,
                        "to": members[-1],
                        "duration_s": duration_s,
                        "mode": mode,
                    },
                ),
                **others,
            }
        )
    )
