"""Runs a lab file in virtual time and says what came of it, beside what the plan predicted and what the
World knows.

Owns the report of `bellwire simulate`. Refuses to touch machines: everything here is read from reports and
truth.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from bellwire.core.effects import Report
from bellwire.core.graph_states import GraphEdges, with_node_edges
from bellwire.core.ids import NodeId, RequestId
from bellwire.core.plans import sequence_of
from bellwire.core.units import NS_PER_S, ns_from_s, s_from_ns
from bellwire.node.machines import Compute, QuantumNode
from bellwire.simulator_backend.host import VirtualHost, Watch
from bellwire.simulator_backend.virtual_lab import VirtualLab
from bellwire.simulator_backend.world import PairTruth
from bellwire.simulator_backend.world_fusions import GroupTruth


@dataclass(slots=True)
class RequestOutcome:
    """What was seen of one request."""

    mode: str = ""  # generation mode that was asked for
    members: tuple[NodeId, ...] = ()  # source first, destination last
    graph: GraphEdges = ()  # of graph states
    pairs_in_order: int = 0  # of a sequence; 0: it is none
    corrected: bool = False  # pairs are brought to Phi+ physically before they are handed over
    submitted_ns: int = 0
    status: str = "unknown"
    error: str | None = None
    predicted_rate_hz: float | None = None
    predicted_fidelity: float | None = None
    measured_links: tuple[str, ...] = ()  # whose measured figures the prediction rests on
    delivered_ns: list[int] = field(default_factory=list)
    latencies_ns: list[int] = field(default_factory=list)
    fidelities: list[float] = field(default_factory=list)
    true_fidelities: list[float] = field(default_factory=list)
    frame_errors: int = 0
    voided: int = 0
    corrections: list[dict[str, Any]] = field(default_factory=list)  # corrective actions, `at_s` with each


TRUTHS_MAX: Final = 10_000
"""Pairs seen by the World that no report has named yet. The oldest is forgotten: it was measured for a test,
or for a user of a link, which no report tells."""


class Observer:
    """Listens to a virtual host and gathers outcomes."""

    def __init__(self, host: VirtualHost) -> None:
        self._host = host
        self.outcomes: dict[RequestId, RequestOutcome] = {
            request.request_id: RequestOutcome(
                mode=request.generation_mode,
                members=request.target_nodes,
                graph=with_node_edges(request).edges,
                pairs_in_order=len(request.entanglement_sequence),
                corrected=request.consumption == "keep" and host.network.correct_frames,
            )
            for request in host.lab.requests
        }
        self._sources = {request.request_id: request.target_nodes[0] for request in host.lab.requests}
        # Pairs seen by the World, not yet reported.
        self._truths: OrderedDict[frozenset[str], PairTruth] = OrderedDict()
        self._untold: dict[frozenset[str], tuple[RequestOutcome, int]] = {}  # reported, not yet seen
        self._members = {
            request.request_id: 2 if request.entanglement_sequence else len(request.target_nodes)
            for request in host.lab.requests
        }
        self._parts: dict[
            RequestId, tuple[NodeId, dict[str, Any]]
        ] = {}  # pairs of sequences before their use
        self._untold_groups: dict[str, RequestOutcome] = {}  # reported, by the head's end
        host.reports.append(self._reported)
        host.witnesses.append(self._witnessed)
        if any(size > 2 for size in self._members.values()):
            host.bindings.group_witnesses.append(self._group_witnessed)

    def _witnessed(self, now_ns: int, node: NodeId, slot: int, truth: PairTruth) -> None:
        """The first end that is used up shows the pair as it was; the report may come before or after."""
        pair = frozenset(str(end) for end in truth.ends)
        untold = self._untold.pop(pair, None)
        if untold is None:
            self._truths.setdefault(pair, truth)
            if len(self._truths) > TRUTHS_MAX:
                self._truths.popitem(last=False)
        else:
            self._compare(*untold, truth)

    def _group_witnessed(self, now_ns: int, node: NodeId, truth: GroupTruth) -> None:
        """The head's report comes just before it gives its qubit up, when all others still have theirs."""
        for end in truth.ends:
            outcome = self._untold_groups.pop(str(end), None)
            # A member whose memory has just failed has no qubit of it any more, and will say so.
            if outcome is not None and len(truth.ends) == len(outcome.members):
                if outcome.graph:
                    fidelity, plain = truth.of_graph(outcome.graph)
                else:
                    fidelity, plain = truth.ghz_fidelity(), truth.has_frame_zero()
                outcome.true_fidelities.append(fidelity)
                outcome.frame_errors += outcome.corrected and not plain

    @staticmethod
    def _compare(outcome: RequestOutcome, frame: int, truth: PairTruth) -> None:
        """A kept pair was corrected physically (frame 0); a measured one has the frame both ends hold."""
        outcome.true_fidelities.append(truth.fidelity)
        if truth.frame != (0 if outcome.corrected else frame):
            outcome.frame_errors += 1

    def _reported(self, now_ns: int, node: NodeId, report: Report) -> None:
        if report.request is None:
            return
        if report.request not in self.outcomes:
            given = report.name == "pair_delivered" and report.fields["role"] == "head"
            if given and sequence_of(report.request) in self.outcomes:
                self._parts[report.request] = (node, report.fields)
            return
        outcome = self.outcomes[report.request]
        fields = report.fields
        if report.name == "pair_delivered" and node == self._sources[report.request]:
            self._delivered(report.request, outcome, now_ns, fields)
        elif report.name in ("pair_consumed", "pair_let_go"):
            head, told = self._parts.get(str(fields["part"]), (None, fields))
            if head == node:
                del self._parts[str(fields["part"])]
                if report.name == "pair_consumed":
                    self._delivered(report.request, outcome, now_ns, told)
        elif report.name == "pair_void" and node == self._sources[report.request]:
            outcome.voided += 1
        elif report.name == "request_status":
            outcome.status = str(fields["status"])
            error = fields.get("error_message")
            outcome.error = None if error is None else str(error)
        elif report.name == "corrective_action":
            outcome.corrections.append({"at_s": s_from_ns(now_ns), **fields})
        elif report.name == "plan_failed":
            outcome.status, outcome.error = "planning", str(fields["reason"])
        elif report.name == "plan_active":
            outcome.predicted_rate_hz = float(fields["rate_hz"] or 0.0)
            outcome.predicted_fidelity = float(fields["fidelity"] or 0.0)
            outcome.measured_links = tuple(str(fields["measured_links"]).split())

    def _delivered(
        self, request: RequestId, outcome: RequestOutcome, now_ns: int, fields: dict[str, Any]
    ) -> None:
        previous_ns = outcome.delivered_ns[-1] if outcome.delivered_ns else outcome.submitted_ns
        outcome.delivered_ns.append(now_ns)
        outcome.latencies_ns.append(now_ns - previous_ns)
        outcome.fidelities.append(float(fields["fidelity"]))
        if self._members[request] > 2:
            self._untold_groups[str(fields["head_end"])] = outcome
            return
        pair = frozenset((str(fields["head_end"]), str(fields["tail_end"])))
        truth = self._truths.pop(pair, None)
        if truth is None:
            self._untold[pair] = (outcome, int(fields["frame"]))
        else:
            self._compare(outcome, int(fields["frame"]), truth)


def _quantile(values: list[int], share: float) -> float | None:
    """Linear interpolation between order statistics, in seconds; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return s_from_ns(round(ordered[below] + (ordered[above] - ordered[below]) * (place - below)))


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _planner_of(lab: VirtualLab) -> Compute:
    """The planner's answer to requests of this lab."""
    # Imported late, because a test with its own plans does not need graph libraries; and here, with the
    # library that the planner itself imports late, so that loading them is not counted as running.
    import networkx as _  # noqa: F401

    from bellwire.planner.joint_plans import planner_for

    return planner_for(lab.network, lab.requests, lab.plan_together)


def simulate(
    lab: VirtualLab,
    duration_s: float,
    seed: int,
    compute: Compute | None = None,
    *,
    watch: Watch | None = None,
    perturb: Callable[[int], int] | None = None,
) -> dict[str, Any]:
    """Run a lab for `duration_s` of virtual time; the result is ready for JSON.

    `compute` makes plans (default: the planner's), `watch` sees every step, `perturb` permutes simultaneous
    events.
    """
    if compute is None:
        compute = _planner_of(lab)
    host = VirtualHost(lab, seed, compute, watch=watch, perturb=perturb)
    observer = Observer(host)
    wall_ns, cpu_ns = time.perf_counter_ns(), time.process_time_ns()
    host.start()
    host.run(ns_from_s(duration_s))
    wall_s = (time.perf_counter_ns() - wall_ns) / NS_PER_S
    cpu_s = (time.process_time_ns() - cpu_ns) / NS_PER_S
    return {
        "lab": lab.name,
        "configuration": lab.digest,
        "duration_s": duration_s,
        "seed": seed,
        "requests": {name: _outcome(one, duration_s) for name, one in observer.outcomes.items()},
        "links": _links(host),
        "link_figures": _link_figures(host),
        "events": host.events,
        "facts": host.logs.facts,
        "fold_applications": sum(
            machine.replica.applied for machine in host.machines.values() if isinstance(machine, QuantumNode)
        ),
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "digest": host.digest.hexdigest(),
    }


def _outcome(outcome: RequestOutcome, duration_s: float) -> dict[str, Any]:
    delivered = len(outcome.delivered_ns)
    active_s = duration_s if outcome.status != "completed" else s_from_ns(outcome.delivered_ns[-1])
    return {
        "status": outcome.status,
        "error": outcome.error,
        "mode": outcome.mode,
        "members": list(outcome.members),
        **({"edges": [list(edge) for edge in outcome.graph]} if outcome.graph else {}),
        **({"pairs_in_order": outcome.pairs_in_order} if outcome.pairs_in_order else {}),
        "delivered": delivered - outcome.voided,
        "voided": outcome.voided,
        "rate_hz": (delivered - outcome.voided) / active_s if active_s else 0.0,
        "predicted_rate_hz": outcome.predicted_rate_hz,
        "measured_links": list(outcome.measured_links),
        "fidelity_mean": _mean(outcome.fidelities),
        "fidelity_true_mean": _mean(outcome.true_fidelities),
        "fidelity_predicted": outcome.predicted_fidelity,
        "frame_errors": outcome.frame_errors,
        "corrections": outcome.corrections,
        "latency_s": {
            "mean": None if not delivered else sum(outcome.latencies_ns) / delivered / NS_PER_S,
            "p50": _quantile(outcome.latencies_ns, 0.5),
            "p95": _quantile(outcome.latencies_ns, 0.95),
        },
    }


def _link_figures(host: VirtualHost) -> dict[str, list[dict[str, Any]]]:
    """What side 0 of each link has measured of it at the end, by operating point."""
    figures: dict[str, list[dict[str, Any]]] = {}
    for name, link in host.network.links.items():
        machine = host.machines.get(link.nodes[0])
        if isinstance(machine, QuantumNode):
            figures[name] = msgspec.to_builtins(machine.links.ends[name].figures())
    return figures


def _links(host: VirtualHost) -> dict[str, dict[str, int]]:
    """Herald counters of each link as its side 0 knows them, and swap counters of its inner nodes."""
    counters: dict[str, dict[str, int]] = {}
    for name, link in host.network.links.items():
        machine = host.machines.get(link.nodes[0])
        if isinstance(machine, QuantumNode):
            counters[name] = dict(machine.links.ends[name].counters)
    return counters
