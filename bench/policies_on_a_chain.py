"""Pairs per second and fidelity of swapping policies on a chain of equal links, in virtual time.

    python -m bench.policies_on_a_chain 4 40 1      # links, simulated seconds, seed

Links of 10 km and the numbers of the stack paper (5 memories a node, swaps succeed with 0.4).
"""

import sys
from math import sqrt
from typing import Final

from bellwire.labs.paper_network import chain_lab
from bellwire.simulator_backend.simulation import simulate

MODES: Final = (
    "fixed_tree",
    "fixed_tree(links=full)",
    "swap_asap",
    "oldest",
    "youngest",
    "longest_hop",
    "shortest_hop",
    "score",
    "score(candidates=youngest)",
    "score(form=A)",
    "score(form=B)",
    "score(form=B')",
)


def main(hops: int, duration_s: float, seed: int) -> None:
    """One line a mode."""
    for mode in MODES:
        served = simulate(chain_lab([10.0] * hops, mode=mode, duration_s=2.0 * duration_s), duration_s, seed)
        request = served["requests"]["r0"]
        rate_hz, error_hz = request["delivered"] / duration_s, sqrt(request["delivered"]) / duration_s
        fidelity = request["fidelity_true_mean"]
        shown = "-" if fidelity is None else f"{fidelity:.4f}"
        sys.stdout.write(f"{mode:28s} {rate_hz:6.2f} +- {error_hz:.2f} /s   fidelity {shown}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
