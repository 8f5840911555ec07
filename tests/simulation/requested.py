"""A lab in virtual time with what was reported of its requests, for tests of whole requests."""

from functools import partial
from typing import Any

from bellwire.core.effects import Report
from bellwire.core.ids import NodeId
from bellwire.core.units import ns_from_s
from bellwire.labs import Lab
from bellwire.node.machines import QuantumNode
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost


class Run:
    """A lab whose requests are served, and what all nodes have reported of them."""

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

    def taken(self) -> int:
        """Memory slots that are held, offered or measured."""
        return sum(
            slot.state not in ("free", "attempting")
            for machine in self.host.machines.values()
            if isinstance(machine, QuantumNode)
            for slot in machine.slots.slots()
        )
