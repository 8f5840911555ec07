"""The noisy lab on which benches of fusion compare orders and graphs."""

from bellwire.labs import Lab
from bellwire.labs.fusion_tree import Edges, fusion_tree_lab

MEMORY = {
    "t1_s": None,
    "t2_s": 1.0,
    "gate_fidelity": 0.99,
    "single_gate_fidelity": 1.0,
    "readout_fidelity": 0.99,
}


def noisy_lab(links: Edges, members: tuple[str, ...], mode: str, seconds: float, *, graph: Edges = ()) -> Lab:
    """Links of 10 km, pairs of fidelity 0.98, fusions that succeed in two of five. graph: none for GHZ."""
    return fusion_tree_lab(
        links,
        members,
        memory=MEMORY,
        pair_fidelity=0.98,
        mode=mode,
        fusion_success=0.4,
        link_success=0.05,
        length_km=10.0,
        delay="fibre",
        graph=graph,
        duration_s=2.0 * seconds,
    )
