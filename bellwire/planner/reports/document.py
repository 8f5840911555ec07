"""Plans as JSON documents: everything that a program may want to know of a plan, in plain values.

Owns the documents of plans and trees. Refuses files, and numbers that JSON does not have: what is infinite
or not known is null (the rate of a pair that is stored already, the attempts of a node without a limit).
Every inner node of a tree carries what its latency is made of, so that a reader can work out Eq. 1 anew.
"""

from typing import Final

from bellwire.planner.assessment import PairPlan, outlook
from bellwire.planner.batch.batch_plan import BatchPlan, RequestShare
from bellwire.planner.certainty import certainty_of
from bellwire.planner.executable_trees import words_for
from bellwire.planner.instructions import instructions_of
from bellwire.planner.multipartite.values import Gate, MultipartitePlan, Operation, PairSupply
from bellwire.planner.reports.instruction_document import instructions_document, use_document
from bellwire.planner.reports.plain_values import Document, Json, finite, mean, names_of, pair_name
from bellwire.planner.requests import Options
from bellwire.planner.structures import (
    LinkLeaf,
    PurifyNode,
    StoredLeaf,
    SwapNode,
    Tree,
    leaves,
    purify_busy_s,
    route_of,
    swap_busy_s,
)
from bellwire.planner.topology import Topology
from bellwire.planner.tree_use import attempts_per_pair

WAITINGS: Final = {"caleffi": "max", "hop-by-hop": "sum"}
"""Baselines with a rule of their own for the mean time until two pairs exist: the slower one's, or one after
the other."""


def pair_document(
    plan: PairPlan, topology: Topology, options: Options | None = None, request: str = ""
) -> Document:
    """A plan for one pair, with what every node is told."""
    options = Options() if options is None else options
    return {
        "kind": "pair",
        "request": request,
        "from": plan.source,
        "to": plan.destination,
        "waiting": WAITINGS.get(plan.method, options.waiting),
        **tree_document(plan, topology),
        **_certainty(plan, topology, options),
        "executable": _executable(plan, topology),
        "instructions": instructions_document(instructions_of(plan, topology, request)),
        "topology": _summary(topology),
    }


def _certainty(plan: PairPlan, topology: Topology, options: Options) -> Document:
    """Standard errors by calibrations of the links; null where one of them was never measured."""
    certain = certainty_of(plan, topology, options.waiting)
    return {"rate_error_hz": certain.rate_hz, "fidelity_error": certain.fidelity}


def _executable(plan: PairPlan, topology: Topology) -> Document:
    """What a request writes to have the plan executed; null and the reason where none can."""
    words, why = words_for(plan, topology)
    if words is None:
        return {"tree": None, "purification": None, "reason": why}
    return {"tree": words.tree, "purification": words.purification, "reason": None}


def tree_document(plan: PairPlan, topology: Topology) -> Document:
    """A tree and what it promises, without instructions."""
    return {
        "method": plan.method,
        "latency_s": plan.latency_s,
        "rate_hz": finite(plan.rate_hz),
        "fidelity": plan.fidelity,
        "success_probability": plan.success_probability,
        "attempts_per_pair": finite(attempts_per_pair(plan.tree, topology)),
        "state": list(plan.state),
        "ages_s": list(plan.ages_s),
        "route": list(route_of(plan.tree)),
        "leaves": sum(1 for _ in leaves(plan.tree)),
        "tree": _Numbered(topology).subtree(plan.tree),
        "use": use_document(plan.use, topology),
    }


def batch_document(plan: BatchPlan, topology: Topology, options: Options | None = None) -> Document:
    """A plan for several requests. The figures at the top are of all pairs together."""
    options = Options() if options is None else options
    total_hz = plan.total_rate_hz
    return {
        "kind": "batch",
        "method": plan.method,
        "objective": plan.objective,
        "waiting": options.waiting,
        "latency_s": finite(1.0 / total_hz) if total_hz > 0.0 else None,
        "rate_hz": finite(total_hz),
        "min_rate_hz": finite(plan.min_rate_hz),
        "bound_hz": finite(plan.bound_hz),
        "fidelity": mean((share.rate_hz, share.fidelity) for share in plan.shares),
        "success_probability": mean(
            (tree.rate_hz, tree.success_probability) for share in plan.shares for tree in share.trees
        ),
        "requests": [_share(share, topology) for share in plan.shares],
        "unserved": dict(plan.unserved),
        "decided": dict(plan.decided),
        "use": use_document(plan.use, topology),
        "instructions": instructions_document(instructions_of(plan, topology)),
        "topology": _summary(topology),
    }


def state_document(plan: MultipartitePlan, topology: Topology, options: Options | None = None) -> Document:
    """A plan for a GHZ or graph state: its pairs with their trees, and its operations in order."""
    options = Options() if options is None else options
    return {
        "kind": plan.kind,
        "request": plan.request,
        "method": plan.method,
        "waiting": options.waiting,
        "latency_s": plan.latency_s,
        "rate_hz": finite(plan.rate_hz),
        "fidelity": plan.fidelity,
        "success_probability": plan.success_probability,
        "age_s": plan.age_s,
        "members": list(plan.members),
        "qubits": [str(qubit) for qubit in plan.qubits],
        "vertices": dict(plan.vertices),
        "edges": [list(edge) for edge in plan.edges],
        "pairs": [_supply(number, supply, topology) for number, supply in enumerate(plan.pairs)],
        "operations": [_operation(operation) for operation in plan.operations],
        "tree": _fusion_tree(plan),
        "use": use_document(plan.use, topology),
        "instructions": instructions_document(instructions_of(plan, topology)),
        "topology": _summary(topology),
    }


class _Numbered:
    """Documents of subtrees, with the pair numbers that the instructions use."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._pairs = 0

    def subtree(self, tree: Tree) -> Document:
        topology = self._topology
        seen = outlook(tree, topology)
        children: list[Json] = []
        own: Document
        match tree:
            case LinkLeaf():
                link = topology.link(tree.left, tree.right)
                assert link is not None
                own = {
                    "kind": "link",
                    "link": link.link,
                    "length_km": link.length_km,
                    "attempt_probability": link.success_probability,
                    "attempt_probability_error": link.success_error,
                    "fidelity_error": link.fidelity_error,
                    "rate_hz": finite(1.0 / tree.latency_s) if tree.latency_s > 0.0 else None,
                }
            case StoredLeaf():
                own = {
                    "kind": "stored",
                    "stored": pair_name(tree.pair),
                    "age_s": tree.age_s,
                    "life_s": finite(tree.life_s),
                }
            case SwapNode():
                node = topology.nodes[tree.at]
                busy_s = swap_busy_s(topology, tree.left, tree.at, tree.right)
                children = [self.subtree(tree.one), self.subtree(tree.other)]
                own = {
                    "kind": "swap",
                    "at": tree.at,
                    "operation_probability": node.swap_probability,
                    "operation_s": node.swap_s,
                    "told_s": busy_s - node.swap_s,
                    "busy_s": busy_s,
                }
            case PurifyNode():
                own_s = max(
                    topology.nodes[tree.left].purification_s, topology.nodes[tree.right].purification_s
                )
                busy_s = purify_busy_s(topology, tree.left, tree.right)
                children = [self.subtree(tree.kept), self.subtree(tree.measured)]
                own = {
                    "kind": "purify",
                    "scheme": tree.scheme,
                    "pumping": tree.pumping,
                    "operation_probability": tree.success_probability,
                    "operation_s": own_s,
                    "told_s": busy_s - own_s,
                    "busy_s": busy_s,
                }
        self._pairs += 1
        return {
            **own,
            "pair": self._pairs,
            "left": tree.left,
            "right": tree.right,
            "latency_s": tree.latency_s,
            "fidelity": seen.state[0],
            "success_probability": seen.success_probability,
            "ages_s": [seen.left_age_s, seen.right_age_s],
            "children": children,
        }


def _share(share: RequestShare, topology: Topology) -> Document:
    return {
        "request": share.request,
        "from": share.source,
        "to": share.destination,
        "latency_s": finite(share.latency_s),
        "rate_hz": finite(share.rate_hz),
        "fidelity": share.fidelity,
        "success_probability": mean((tree.rate_hz, tree.success_probability) for tree in share.trees),
        "trees": [tree_document(tree, topology) for tree in share.trees],
    }


def _supply(number: int, supply: PairSupply, topology: Topology) -> Document:
    return {
        "pair": number,
        "left": supply.left,
        "right": supply.right,
        "latency_s": finite(supply.latency_s),
        "fidelity": supply.fidelity,
        "trees": [tree_document(tree, topology) for tree in supply.trees],
    }


def _operation(operation: Operation) -> Document:
    return {
        "action": operation.action,
        "at": operation.node,
        "consumes": list(operation.consumes),
        "yields": operation.yields,
        "members": [str(qubit) for qubit in operation.members],
        "steps": [
            {"gate": step.name, "qubits": names_of(step.qubits)}
            if isinstance(step, Gate)
            else {"measure": step.basis, "qubit": str(step.qubit)}
            for step in operation.steps
        ],
        "turns": [{"gate": turn.name, "qubits": names_of(turn.qubits)} for turn in operation.turns],
        "corrections": [
            {"outcome": each.outcome, "pauli": each.pauli, "qubit": str(each.qubit)}
            for each in operation.corrections
        ],
        "tell": list(operation.tell),
        "waits_s": list(operation.waits_s),
        "busy_s": operation.busy_s,
        "success_probability": operation.success_probability,
        "latency_s": operation.latency_s,
        "rate_hz": finite(operation.rate_hz),
    }


def _fusion_tree(plan: MultipartitePlan) -> Document:
    """Operations nested by what they consume; the last one is the root."""
    made: dict[int, Document] = {
        number: {
            "kind": "pair",
            "state": number,
            "members": [supply.left, supply.right],
            "latency_s": finite(supply.latency_s),
            "children": [],
        }
        for number, supply in enumerate(plan.pairs)
    }
    top = len(plan.pairs) - 1
    for operation in plan.operations:
        top = operation.yields
        made[top] = {
            "kind": operation.action,
            "state": top,
            "at": operation.node,
            "members": list(operation.nodes),
            "latency_s": operation.latency_s,
            "children": [made[state] for state in operation.consumes if state in made],
        }
    return made[top]


def _summary(topology: Topology) -> Document:
    return {
        "name": topology.name,
        "nodes": len(topology.nodes),
        "links": len(topology.links),
        "notes": list(topology.notes),
    }
