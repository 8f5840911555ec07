"""What happened to each link pair, without times: the form in which live and virtual hosts are compared.

Owns the reduction of facts and reports to causal histories, from a run directory and from a virtual host.
Refuses judgement: two histories are handed back, tests compare them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from bellwire.core.effects import Effect, Publish, Report
from bellwire.core.events import Event
from bellwire.core.facts import Born, Corrected, Fact, Released, Swapped
from bellwire.core.ids import End, NodeId
from bellwire.core.plans import Circumstances, EntanglementRequest
from bellwire.labs import Lab
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost
from bellwire.simulator_backend.world import PairTruth
from tests.hosts.recorded import RecordedRun

Entry = tuple[Any, ...]
Delivery = tuple[frozenset[str], int]
"""Ends and frame."""


@dataclass(slots=True)
class Histories:
    """All that is compared.

    pairs: link pair -> author -> what the author said about it, in the author's order.
    deliveries: end node -> number -> ends and frame.
    """

    pairs: dict[str, dict[NodeId, list[Entry]]] = field(default_factory=dict)
    deliveries: dict[NodeId, dict[int, Delivery]] = field(default_factory=dict)

    def add(self, author: NodeId, fact: Fact) -> None:
        """One more fact of an author."""
        match fact:
            case Born():
                said: Entry = ("born", fact.end.side, fact.slot, fact.request, fact.tree, fact.frame)
                ends = (fact.end,)
            case Swapped():
                said = ("swapped", str(fact.left), str(fact.right), fact.result, fact.outcome)
                ends = (fact.left, fact.right)
            case Corrected():
                said, ends = ("corrected", fact.end.side, fact.pauli), (fact.end,)
            case Released():
                said, ends = ("released", fact.end.side, fact.reason), (fact.end,)
            case _:
                return
        for end in ends:
            self.pairs.setdefault(_pair(end), {}).setdefault(author, []).append(said)

    def swaps(self, result: str) -> int:
        """Bell measurements with that result."""
        said = {one for authors in self.pairs.values() for told in authors.values() for one in told}
        return sum(one[0] == "swapped" and one[3] == result for one in said)

    def begun_before(self, attempt: int) -> "Histories":
        """The same without the link pairs of later attempts: the end of a request cuts them off anywhere."""
        kept = {pair: told for pair, told in self.pairs.items() if int(pair.split(".")[1]) <= attempt}
        return Histories(kept, self.deliveries)

    def last_complete_attempt(self) -> int:
        """The first attempt of the delivered pair that began last; later ones may be under way."""
        return max(
            min(int(end.split(".")[1]) for end in ends)
            for delivered in self.deliveries.values()
            for ends, _ in delivered.values()
        )


def _pair(end: End) -> str:
    return str(end).rpartition(":")[0]


def live_histories(run: RecordedRun, request: str, end_nodes: Iterable[NodeId]) -> Histories:
    """From a run directory."""
    found = Histories()
    for author in run.agents:
        for _, fact in run.facts(author):
            found.add(author, fact)
    for node in end_nodes:
        found.deliveries[node] = {
            number: (pair.ends, pair.frame) for number, pair in run.delivered(node, request).items()
        }
    return found


@dataclass(slots=True)
class VirtualRun:
    """One run in virtual time."""

    histories: Histories = field(default_factory=Histories)
    delivered_ns: list[int] = field(default_factory=list)  # at the source
    fidelities: list[float] = field(default_factory=list)
    truths: dict[frozenset[str], PairTruth] = field(default_factory=dict)


def run_virtual(lab: Lab, request: EntanglementRequest, duration_ns: int) -> VirtualRun:
    """The lab's machines in virtual time with one request."""
    seen = VirtualRun()
    source = request.target_nodes[0]
    host: VirtualHost

    def watch(now_ns: int, node: NodeId, event: Event, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Publish):
                for fact in effect.batch.facts:
                    seen.histories.add(node, fact)

    def report(now_ns: int, node: NodeId, told: Report) -> None:
        if told.name == "pair_delivered" and told.request == request.request_id:
            fields: dict[str, Any] = told.fields
            ends = frozenset((fields["head_end"], fields["tail_end"]))
            seen.histories.deliveries.setdefault(node, {})[fields["number"]] = (ends, fields["frame"])
            if node == source:
                seen.delivered_ns.append(now_ns)
                seen.fidelities.append(fields["fidelity"])

    def witness(now_ns: int, node: NodeId, slot: int, truth: PairTruth) -> None:
        seen.truths.setdefault(frozenset(str(end) for end in truth.ends), truth)

    def compute(asked: EntanglementRequest, version: int, news: Circumstances) -> Any:
        return compute_plan(lab.network, asked, version, news)

    host = VirtualHost(_with_request(lab, request), lab.seed, compute, watch=watch)
    host.reports.append(report)
    host.witnesses.append(witness)
    host.start()
    host.run(duration_ns)
    return seen


def _with_request(lab: Lab, request: EntanglementRequest) -> Lab:
    return replace(lab, requests=(request,))
