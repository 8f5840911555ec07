"""The fusion of GHZ states at one node: gates, measurements and corrections (algorithms.md 4.1).

Owns the two rules, retain and discard, as steps that can be executed. Refuses times, noise, and the question
who fuses when (ghz_trees.py, ghz_orders.py). A pair in Phi+ is GHZ_2, so that two pairs fused with discard
are an ordinary swap. More than two states may be fused at once.
"""

from collections.abc import Sequence
from typing import NamedTuple

from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import NodeId
from bellwire.planner.multipartite.values import Correction, Gate, Measurement, Qubit, Step


class Fused(NamedTuple):
    """What the acting node does, who corrects what, and the qubits of the product."""

    steps: tuple[Step, ...]
    corrections: tuple[Correction, ...]
    members: tuple[Qubit, ...]


def fuse(states: Sequence[Sequence[Qubit]], node: NodeId, *, retain: bool) -> Fused:
    """Join GHZ states that have one qubit each at a node into one GHZ state.

    The qubit a of the first state controls a CNOT on the qubit b of each other state; b is measured in Z, and
    outcome 1 is mended by X on all other qubits of its state. With retain a stays: GHZ of sizes n and m make
    n + m - 1. Else a is measured in X, and outcome 1 is mended by Z on one qubit that remains: n + m - 2.

    Raises:
        LocalMisuse: fewer than two states, or one without exactly one qubit at the node.
    """
    if len(states) < 2:
        raise LocalMisuse(f"{node} fuses two states or more, not {len(states)}")
    control, *targets = (_own(state, node) for state in states)
    steps: list[Step] = []
    corrections: list[Correction] = []
    members = [qubit for state in states for qubit in state if retain or qubit != control]
    for outcome, (target, state) in enumerate(zip(targets, states[1:], strict=True)):
        steps += [Gate("CX", (control, target)), Measurement("Z", target)]
        corrections += [Correction(outcome, "X", qubit) for qubit in state if qubit != target]
        members.remove(target)
    if not retain:
        if not members:
            raise LocalMisuse(f"nothing would be left of the states that {node} fuses")
        steps.append(Measurement("X", control))
        corrections.append(Correction(len(targets), "Z", members[0]))
    return Fused(tuple(steps), tuple(corrections), tuple(members))


def _own(state: Sequence[Qubit], node: NodeId) -> Qubit:
    own = [qubit for qubit in state if qubit.node == node]
    if len(own) != 1:
        raise LocalMisuse(
            f"{node} owns {len(own)} qubits of a state that it shall fuse; it needs exactly one"
        )
    return own[0]
