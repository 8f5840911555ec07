"""What an outage does to the requests of a lab, in virtual time: who is affected, what becomes of them, when.

Owns the outage (a link without light, a node or a station that is gone for good), and what is seen of each
request. Refuses to judge: whether that was quick enough is for whoever asked.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from bellwire.core.effects import Report
from bellwire.core.ids import LinkId, NodeId, RequestId
from bellwire.core.plans import EntanglementRequest, RequestPlan
from bellwire.core.units import NS_PER_S
from bellwire.labs import Lab
from bellwire.node.machines import Compute, QuantumNode
from bellwire.planner.broken_routes import broken_by
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost

NEVER_NS = 1_000_000 * NS_PER_S
"""A node that is gone for good comes back after this."""

Became = Literal["went on", "re-routed", "ended", "source gone", "undecided"]


@dataclass(frozen=True, slots=True)
class Outage:
    """One thing that stops for good."""

    kind: Literal["none", "link", "node", "station"]
    name: str = ""

    def __str__(self) -> str:
        return self.kind if self.kind == "none" else f"{self.kind} {self.name}"


@dataclass(slots=True)
class Seen:
    """One request, before and after an outage."""

    request: RequestId
    source: NodeId
    affected: bool = False  # the plan in force needed what is gone
    became: Became = "went on"
    decided_ns: int | None = None  # after the outage: the new plan in force, or the end; None: neither
    beside: bool = False  # a request that was re-routed uses a link of this one now
    pair_ns: int | None = None  # after the outage: the first pair of the new plan; None: none came
    reason: str = ""  # as its user was told
    delivered_ns: list[int] = field(default_factory=list[int])

    def pairs(self, from_ns: int, to_ns: int) -> int:
        """Pairs delivered in a time."""
        return sum(from_ns <= at_ns < to_ns for at_ns in self.delivered_ns)


def outages_of(lab: Lab) -> list[Outage]:
    """Each link, each node with a memory and each station of a lab, one at a time."""
    nodes = lab.network.nodes
    return [
        *(Outage("link", name) for name in lab.network.links),
        *(Outage("node", name) for name, node in nodes.items() if node.role != "station"),
        *(Outage("station", name) for name, node in nodes.items() if node.role == "station"),
    ]


def standing(
    requests: tuple[EntanglementRequest, ...], rate_hz: float | None = None, *, steady: bool = False
) -> tuple[EntanglementRequest, ...]:
    """The same requests without an end, which end when nothing can be had any more.

    rate_hz: pairs per second that each of them reserves; None: as they ask. steady: they keep to that.
    """
    return tuple(
        msgspec.structs.replace(
            request,
            count=None,
            duration_ns=None,
            deadline_ns=None,
            until_cancelled=True,
            when_unreachable="end",
            rate_threshold_hz=request.rate_threshold_hz if rate_hz is None else rate_hz,
            reserved_only=steady,
        )
        for request in requests
    )


class Witness:
    """Listens to one virtual host.

    broken: whether a plan needs what is gone.
    """

    def __init__(self, host: VirtualHost, at_ns: int, broken: Callable[[RequestPlan], bool]) -> None:
        self.seen = {
            request.request_id: Seen(request.request_id, request.target_nodes[0])
            for request in host.lab.requests
        }
        self._host = host
        self._broken = broken
        self._at_ns = at_ns
        host.reports.append(self._reported)

    def _reported(self, now_ns: int, node: NodeId, report: Report) -> None:
        seen = None if report.request is None else self.seen.get(report.request)
        if seen is None or node != seen.source:
            return
        fields, after_ns = report.fields, now_ns - self._at_ns
        if report.name == "pair_delivered":
            seen.delivered_ns.append(now_ns)
            if seen.became == "re-routed" and seen.pair_ns is None:
                seen.pair_ns = after_ns
        elif after_ns < 0 or seen.decided_ns is not None:
            return
        elif report.name == "plan_active" and seen.became == "undecided":
            plan = plan_in_force(self._host, seen.source, seen.request)
            if plan is not None and not self._broken(plan):
                seen.became, seen.decided_ns = "re-routed", after_ns
        elif report.name == "request_status" and fields["status"] in ("completed", "failed"):
            seen.became, seen.decided_ns = "ended", after_ns
            seen.reason = str(fields["error_message"])


def plan_in_force(host: VirtualHost, source: NodeId, request: RequestId) -> RequestPlan | None:
    """The plan of a request as its source drives it; None: it has none."""
    machine = host.machines.get(source)
    if not isinstance(machine, QuantumNode) or machine.dispatch is None:
        return None
    plans = [
        each.plan
        for each in machine.dispatch.pursued()
        if each.state == "active" and each.plan is not None and each.plan.request == request
    ]
    return plans[-1] if plans else None


def live_through(
    lab: Lab, outage: Outage, seed: int, at_ns: int, after_ns: int, compute: Compute | None = None
) -> dict[RequestId, Seen]:
    """Run a lab with its requests, take one thing away at `at_ns`, and watch for `after_ns`."""
    network = lab.network
    host = VirtualHost(
        lab, seed, compute or (lambda request, version, known: compute_plan(network, request, version, known))
    )
    lost = {outage.name} if outage.kind in ("node", "station") else set[NodeId]()
    down = {outage.name: "cut"} if outage.kind == "link" else {}

    def broken(plan: RequestPlan) -> bool:
        return broken_by(plan, network.links, lost, down) is not None

    witness = Witness(host, at_ns, broken)
    host.start()
    host.run(at_ns)
    for seen in witness.seen.values():
        plan = plan_in_force(host, seen.source, seen.request)
        seen.affected = plan is not None and broken(plan)
        if outage.kind == "node" and outage.name == seen.source:
            seen.became = "source gone"
        elif seen.affected:
            seen.became = "undecided"
    if outage.kind == "link":
        host.change_link_at(at_ns, outage.name, success_probability=0.0)
    elif outage.kind != "none":
        host.crash(outage.name, NEVER_NS)
    host.run(at_ns + after_ns)
    links = {name: _links_of(plan_in_force(host, seen.source, name)) for name, seen in witness.seen.items()}
    moved = [links[name] for name, seen in witness.seen.items() if seen.became == "re-routed"]
    for name, seen in witness.seen.items():
        seen.beside = not seen.affected and any(links[name] & others for others in moved)
    return witness.seen


def _links_of(plan: RequestPlan | None) -> set[LinkId]:
    return set() if plan is None else {part.link for node in plan.nodes.values() for part in node.links}
