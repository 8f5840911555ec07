"""Trees of links for GHZ and graph states, noisy or perfect, and runs under the rules of the hosts."""

from functools import partial
from typing import Any

from bellwire.labs import Lab
from bellwire.labs.fusion_tree import PERFECT, Edges, fusion_tree_lab
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost
from bellwire.soak.rules import Invariants

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


def checked_run(lab: Lab) -> Invariants:
    """The rules of the hosts, watched over 1.5 s of a lab and at its end, with what they have counted."""
    rules = Invariants(None, dead_for_ns=20_000_000)
    host = VirtualHost(lab, 1, partial(compute_plan, lab.network), watch=rules)
    rules.attach(host)
    host.start()
    host.run(1_500_000_000)
    rules.finish()
    return rules
