"""Labs with planted faults, run to their end, and what must hold then. One seed replays one history."""

from dataclasses import replace
from typing import Any

from bellwire.core.ids import NodeId
from bellwire.core.plans import EntanglementRequest
from bellwire.core.units import NS_PER_S
from bellwire.labs import Crash, Lab, Scenario, load_lab
from bellwire.node.machines import QuantumNode
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost
from bellwire.simulator_backend.simulation import Observer

FINAL = ("completed", "failed")


def faulty_lab(
    scenario: Scenario, count: int, *, file: str = "lab_configs/three_node_repeater.yaml", **changes: Any
) -> Lab:
    """The lab of a file with one request for `count` pairs and a fault scenario."""
    lab = load_lab(file)
    request: EntanglementRequest = lab.requests[0]
    fields = {name: getattr(request, name) for name in request.__struct_fields__}
    fields.update(request_id="r", count=count, duration_ns=None, deadline_ns=60 * NS_PER_S, **changes)
    return replace(lab, requests=(EntanglementRequest(**fields),), scenario=scenario)


def crash(node: NodeId, at_ms: float, down_ms: float) -> Crash:
    return Crash(node=node, at_ns=round(at_ms * 1e6), down_ns=round(down_ms * 1e6))


class History:
    """A lab run until its request has ended and everything has drained."""

    def __init__(self, lab: Lab, seed: int, *, perturb: Any = None, watch: Any = None) -> None:
        """watch: told every step; one with an attribute `history` gets this history there first."""
        network = lab.network
        self.lab = lab
        self.host = VirtualHost(
            lab,
            seed,
            lambda request, version, news: compute_plan(network, request, version, news),
            perturb=perturb,
            watch=watch,
        )
        if watch is not None:
            watch.history = self
        self.statuses: list[tuple[int, str]] = []
        self.reports: dict[str, int] = {}
        self.observer = Observer(self.host)
        self.host.reports.append(self._listen)
        self.host.start()

    def _listen(self, now_ns: int, node: NodeId, report: Any) -> None:
        self.reports[report.name] = self.reports.get(report.name, 0) + 1
        if report.name == "request_status" and report.fields["status"] in FINAL:
            self.statuses.append((now_ns, str(report.fields["status"])))

    def finish(self, limit_s: float = 90.0, drain_s: float = 15.0) -> None:
        """Run until the request has ended, then long enough for every lease and doubt to lapse."""
        now_ns = 0
        while not self.statuses and now_ns < limit_s * NS_PER_S:
            now_ns += NS_PER_S // 5
            self.host.run(now_ns)
        assert self.statuses, f"no final status after {limit_s} s: {self.reports}"
        self.host.run(now_ns + round(drain_s * NS_PER_S))

    def node(self, name: NodeId) -> QuantumNode:
        machine = self.host.machines[name]
        assert isinstance(machine, QuantumNode)
        return machine

    def check(self) -> int:
        """What must hold in the end; returns the number of delivered pairs that count."""
        lists = {}
        for name in self.lab.requests[0].target_nodes:
            delivery = self.node(name).delivery
            assert delivery is not None
            lists[name] = [
                (record.number, record.head_end, record.tail_end, record.frame)
                for record in delivery.records("r")
                if record.state != "void"
            ]
        source, destination = lists.values()
        assert source == destination
        ends = [end for _, head, tail, _ in source for end in (head, tail)]
        assert len(ends) == len(set(ends)), "an end was delivered twice"
        assert [number for number, *_ in source] == sorted({number for number, *_ in source})
        outcome = self.observer.outcomes["r"]
        assert outcome.frame_errors == 0
        assert self.reports.get("frame_mismatch", 0) == 0
        for name, settings in self.lab.network.nodes.items():
            if settings.memory is not None:
                machine = self.node(name)
                stuck = [slot for slot in machine.slots.slots() if slot.state != "free"]
                assert not stuck, f"{name}: {stuck}"
                assert not self.host.world.occupied(name), f"{name} still holds qubits in the World"
        assert len(self.statuses) == 1, self.statuses
        return len(source)
