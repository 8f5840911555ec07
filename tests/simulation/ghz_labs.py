"""Labs on which GHZ states are made: stars, chains and trees of links, noisy or perfect."""

from typing import Any

from bellwire.labs import Lab, build_lab
from bellwire.labs.models import LabFile

PERIOD_US = 100

NOISY: dict[str, Any] = {
    "t1_s": 2.0,
    "t2_s": 0.5,
    "gate_fidelity": 0.985,
    "single_gate_fidelity": 1.0,
    "readout_fidelity": 0.99,
    "phase_flip": 0.004,
}
PERFECT: dict[str, Any] = {
    "t1_s": None,
    "t2_s": None,
    "gate_fidelity": 1.0,
    "single_gate_fidelity": 1.0,
    "readout_fidelity": 1.0,
}


def tree_lab(
    edges: tuple[tuple[str, str], ...],
    members: tuple[str, ...],
    *,
    noisy: bool = False,
    mode: str = "swap_asap",
    fusion_success: float = 0.5,
    link_success: float = 0.1,
    fusion_us: float = 10.0,
    lanes: int = 1,
    delay: str = "zero",
    duration_s: float = 5.0,
    **others: Any,
) -> Lab:
    """Members are end nodes, all others repeaters; every link has lanes of its own."""
    memory = {
        **(NOISY if noisy else PERFECT),
        "bsm_success_probability": fusion_success,
        "bsm_duration_us": fusion_us,
    }
    names = dict.fromkeys(node for edge in edges for node in edge)
    attempt = {
        "period_us": PERIOD_US,
        "success_probability": link_success,
        "fidelity": 0.97 if noisy else 1.0,
    }
    return build_lab(
        LabFile.model_validate(
            {
                "lab": "ghz",
                "description": "a tree of links for GHZ states",
                "nodes": {
                    name: {"role": "end" if name in members else "repeater", "memory": memory}
                    for name in names
                },
                "links": {
                    f"{a}-{b}": {"nodes": (a, b), "attempt": attempt, "lanes": lanes, "length_km": 1.0}
                    for a, b in edges
                },
                "classical": {"delay": delay},
                "requests": (
                    {
                        "id": "ghz",
                        "from": members[0],
                        "ghz_with": members[1:-1],
                        "to": members[-1],
                        "duration_s": duration_s,
                        "mode": mode,
                    },
                ),
                **others,
            }
        )
    )


STAR = (("a", "r"), ("b", "r"), ("c", "r"))
CHAIN = (("a", "b"), ("b", "c"), ("c", "d"))
COMB = (("a", "r"), ("r", "b"), ("r", "s"), ("s", "c"), ("s", "d"))
