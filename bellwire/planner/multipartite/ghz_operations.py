"""A fusion tree as operations in order of execution.

Owns the numbering of states and the way from a tree to `Operation` values. Refuses rules (fusion.py) and
times (ghz_trees.py, ghz_noise.py).
"""

from collections.abc import Sequence

from bellwire.core.ids import NodeId
from bellwire.planner.multipartite.fusion import fuse
from bellwire.planner.multipartite.ghz_noise import mean_waits_s
from bellwire.planner.multipartite.ghz_trees import FusionLeaf, FusionTree, busy_s, success_probability
from bellwire.planner.multipartite.values import Operation, Qubit, told_of_failure
from bellwire.planner.topology import Topology


def operations_of(tree: FusionTree, pairs: int, topology: Topology) -> tuple[Operation, ...]:
    """Every fusion of a tree, children before parents. pairs: how many there are; products count on."""
    done: list[Operation] = []
    _compile(tree, pairs, topology, done)
    return tuple(done)


def final_qubits(
    tree: FusionTree, operations: Sequence[Operation], members: Sequence[NodeId]
) -> tuple[Qubit, ...]:
    """The qubit of each member when all operations are done; of the pair itself where there are none."""
    left = operations[-1].members if operations else _leaf_qubits(tree)
    by_node = {qubit.node: qubit for qubit in left}
    return tuple(by_node[member] for member in members)


def _leaf_qubits(tree: FusionTree) -> tuple[Qubit, ...]:
    assert isinstance(tree, FusionLeaf)
    return (Qubit(tree.pair, "left", tree.left), Qubit(tree.pair, "right", tree.right))


def _compile(
    tree: FusionTree, pairs: int, topology: Topology, done: list[Operation]
) -> tuple[int, tuple[Qubit, ...]]:
    """Append the operations of a subtree; the number and the qubits of its state."""
    if isinstance(tree, FusionLeaf):
        return tree.pair, _leaf_qubits(tree)
    inputs = [_compile(part, pairs, topology, done) for part in tree.parts]
    states = [qubits for _, qubits in inputs]
    made = fuse(states, tree.node, retain=tree.retained)
    number = pairs + len(done)
    done.append(
        Operation(
            action="fuse_retain" if tree.retained else "fuse_discard",
            node=tree.node,
            steps=made.steps,
            corrections=made.corrections,
            consumes=tuple(state for state, _ in inputs),
            yields=number,
            members=made.members,
            waits_s=mean_waits_s([part.latency_s for part in tree.parts]),
            busy_s=busy_s(topology, tree.node, *tree.parts),
            success_probability=success_probability(topology, tree.node, tree.rule, len(tree.parts)),
            latency_s=tree.latency_s,
            tell=told_of_failure(tree.node, *states),
        )
    )
    return number, made.members
