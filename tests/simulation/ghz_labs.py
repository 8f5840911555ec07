"""Trees of links for GHZ states, noisy or perfect."""

from typing import Any

from bellwire.labs import Lab
from bellwire.labs.fusion_tree import PERFECT, Edges, fusion_tree_lab

PERIOD_US = 100.0

NOISY: dict[str, float | None] = {
    "t1_s": 2.0,
    "t2_s": 0.5,
    "gate_fidelity": 0.985,
    "single_gate_fidelity": 1.0,
    "readout_fidelity": 0.99,
    "phase_flip": 0.004,
}

STAR: Edges = (("a", "r"), ("b", "r"), ("c", "r"))
CHAIN: Edges = (("a", "b"), ("b", "c"), ("c", "d"))
COMB: Edges = (("a", "r"), ("r", "b"), ("r", "s"), ("s", "c"), ("s", "d"))


def tree_lab(edges: Edges, members: tuple[str, ...], *, noisy: bool = False, **others: Any) -> Lab:
    """See `fusion_tree_lab`; noisy: memories, gates and pairs all have their part."""
    return fusion_tree_lab(
        edges,
        members,
        memory=NOISY if noisy else PERFECT,
        pair_fidelity=0.97 if noisy else 1.0,
        period_us=PERIOD_US,
        **others,
    )
