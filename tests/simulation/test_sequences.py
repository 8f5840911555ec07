"""Pairs for a distributed circuit, in virtual time with everything that really runs: batch after batch, each
whole before it is used, and no pair older than memories allow.

Seeds are fixed, and what is asserted holds for every seed: order, counts and ages, not rates.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from bellwire.core.effects import Report
from bellwire.core.events import RequestCancelled
from bellwire.core.ids import NodeId
from bellwire.core.plans import EntanglementRequest, SequencePair
from bellwire.core.units import NS_PER_S, ns_from_s
from bellwire.labs import Crash, Lab, Scenario
from bellwire.node.machines import QuantumNode
from bellwire.planner.plans import compute_plan
from bellwire.planner.sequence_batches import divide, hold_s
from bellwire.simulator_backend.host import VirtualHost
from tests.simulation.ghz_labs import STAR, tree_lab

PAIRS = (("p1", "a", "b"), ("p2", "b", "c"), ("p3", "c", "a"), ("p4", "a", "b"), ("p5", "a", "b"))


def circuit(scenario: Scenario | None = None, **terms: Any) -> Lab:
    """a, b and c around a relay, and a circuit that consumes five pairs between them."""
    given: dict[str, Any] = {
        "request_id": "q",
        "target_nodes": ("a", "b", "c"),
        "entanglement_sequence": tuple(
            SequencePair(pair_id=name, nodes=(one, other)) for name, one, other in PAIRS
        ),
    }
    lab = tree_lab(STAR, ("a", "b", "c"))
    return replace(lab, requests=(EntanglementRequest(**(given | terms)),), scenario=scenario or Scenario())


class Run:
    """A lab with one sequence, and what all nodes have reported of it."""

    def __init__(self, lab: Lab, seed: int = 1) -> None:
        self.lab = lab
        self.host = VirtualHost(lab, seed, partial(compute_plan, lab.network))
        self.reports: list[tuple[int, NodeId, Report]] = []
        self.host.reports.append(lambda now_ns, node, report: self.reports.append((now_ns, node, report)))
        self.host.start()

    def until(self, at_s: float) -> "Run":
        self.host.run(ns_from_s(at_s))
        return self

    def of(self, name: str, request: str = "q") -> list[tuple[int, NodeId, dict[str, Any]]]:
        return [
            (at_ns, node, dict(report.fields))
            for at_ns, node, report in self.reports
            if report.name == name and report.request == request
        ]

    @property
    def status(self) -> tuple[Any, ...]:
        fields = self.of("request_status")[-1][2]
        return fields["status"], fields["generated_count"], fields["error_message"]

    def consumed(self) -> dict[str, list[tuple[NodeId, int]]]:
        """Of each pair, who has used it in which round."""
        used: dict[str, list[tuple[NodeId, int]]] = {}
        for _, node, fields in self.of("pair_consumed"):
            used.setdefault(fields["pair_id"], []).append((node, fields["round"]))
        return used

    def batches(self) -> list[list[str]]:
        return [fields["pairs"].split() for _, _, fields in self.of("batch_done")]

    def kept(self) -> int:
        """Qubits that wait for their use."""
        return sum(
            len(machine.sequences.parts.kept)
            for machine in self.host.machines.values()
            if isinstance(machine, QuantumNode) and machine.sequences is not None
        )


def test_a_circuit_gets_its_pairs_batch_by_batch_in_order_and_is_complete_then() -> None:
    run = Run(circuit()).until(30.0)
    assert run.status == ("completed", 5, None)
    assert [name for batch in run.batches() for name in batch] == [name for name, _, _ in PAIRS]
    assert {name: sorted(node for node, _ in uses) for name, uses in run.consumed().items()} == {
        name: sorted((one, other)) for name, one, other in PAIRS
    }
    assert run.kept() == 0
    begun = [(at_ns, fields["round"]) for at_ns, _, fields in run.of("batch_begun")]
    done = [(at_ns, fields["round"]) for at_ns, _, fields in run.of("batch_done")]
    assert all(later[0] >= sooner[0] for sooner, later in zip(done, begun[1:], strict=False))
