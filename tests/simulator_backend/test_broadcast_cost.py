"""Facts that all may read cost no event for each reader: counted, and compared with a message for each.

The brute-force network below makes one appointment for each fact and each node of the lab, and every node
reads every author; nothing else differs from the host's logs and cursors.
"""

from typing import Any

import pytest

from bellwire.core.effects import Report
from bellwire.core.ids import NodeId, RequestId
from bellwire.core.messages import FactBatch
from bellwire.core.settings import NetworkSettings
from bellwire.core.units import NS_PER_S
from bellwire.labs import Lab, build_lab
from bellwire.labs.models import LabFile
from bellwire.labs.paper_network import PaperNetwork, paper_lab
from bellwire.node.machines import QuantumNode
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.author_logs import AuthorLogs, FactReader, VisibleFacts
from bellwire.simulator_backend.clock import HARDWARE, VirtualClock
from bellwire.simulator_backend.host import VirtualHost

BEFORE_ALL = HARDWARE - 1
"""A fact that arrives is there for whatever else happens in the same nanosecond, as with a cursor."""


class Inbox(FactReader):
    """What has arrived at one node; authors are read in the order in which they were followed."""

    def __init__(self, logs: AuthorLogs, observer: NodeId) -> None:
        super().__init__(logs, observer)
        self.arrived: dict[NodeId, list[VisibleFacts]] = {}

    def follow(self, author: NodeId) -> None:
        """Every author is read anyhow."""
        self.arrived.setdefault(author, self.arrived.pop(author, []))

    def serve(self, request: RequestId) -> None:
        """Every request is read anyhow."""

    def visible(self, now_ns: int) -> list[VisibleFacts]:
        """All that has arrived since the last look."""
        found = [entry for entries in self.arrived.values() for entry in entries]
        for entries in self.arrived.values():
            entries.clear()
        self.read += len(found)
        return found


class EveryFactAMessage(AuthorLogs):
    """One appointment for each fact and node."""

    def __init__(self, network: NetworkSettings, clock: VirtualClock) -> None:
        super().__init__(network, forgetting=True)
        self._clock = clock
        self.inboxes: dict[NodeId, Inbox] = {}
        self.messages = 0

    def reader(self, observer: NodeId) -> FactReader:
        """The inbox of a node."""
        self.inboxes[observer] = Inbox(self, observer)
        return self.inboxes[observer]

    def publish(self, author: NodeId, batch: FactBatch, now_ns: int) -> None:
        """Send each fact by itself to everybody."""
        self.facts += len(batch.facts)
        for observer, inbox in self.inboxes.items():
            if observer == author:
                continue
            at_ns = now_ns + self.delay_ns(author, observer)
            for number, fact in enumerate(batch.facts, batch.first):
                entry = (author, batch.incarnation, number, (fact,))
                self._clock.at(at_ns, BEFORE_ALL, self._arrive, inbox, entry)

    def _arrive(self, inbox: Inbox, entry: VisibleFacts) -> None:
        self.messages += 1
        inbox.arrived.setdefault(entry[0], []).append(entry)


class Outcome:
    """One run: every delivery, and what it cost."""

    def __init__(self, lab: Lab, seed: int, until_ns: int, *, brute: bool = False) -> None:
        network = lab.network
        self.host = VirtualHost(
            lab, seed, lambda request, version, avoid: compute_plan(network, request, version, avoid)
        )
        if brute:
            self.host.logs = EveryFactAMessage(network, self.host.clock)
        self.deliveries: list[tuple[int, NodeId, dict[str, Any]]] = []
        self.host.reports.append(self._listen)
        self.host.start()
        self.started = self.host.events
        self.host.run(until_ns)
        self.events = self.host.events - self.started
        machines = [one for one in self.host.machines.values() if isinstance(one, QuantumNode)]
        self.folds = sum(machine.replica.applied for machine in machines)

    def _listen(self, now_ns: int, node: NodeId, report: Report) -> None:
        if report.name == "pair_delivered":
            self.deliveries.append((now_ns, node, dict(report.fields)))


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("mode", ["swap_asap", "score"])
def test_a_message_for_every_fact_and_node_gives_the_same_answers_as_logs_and_cursors(
    seed: int, mode: str
) -> None:
    lab = paper_lab(
        PaperNetwork(nodes=14, density=0.3, distance_km=(30.0, 90.0), requests=3, seed=seed), mode=mode
    )
    logs = Outcome(lab, seed, 2 * NS_PER_S)
    messages = Outcome(lab, seed, 2 * NS_PER_S, brute=True)
    assert isinstance(messages.host.logs, EveryFactAMessage)
    assert messages.host.logs.messages > 12 * logs.host.logs.facts  # of 13 each: the last are under way
    assert logs.deliveries
    assert messages.deliveries == logs.deliveries
    assert messages.host.digest.hexdigest() == logs.host.digest.hexdigest()


def chain_with_bystanders(bystanders: int) -> Lab:
    """A chain of four nodes with one request, and nodes around it that take no part."""
    memory: dict[str, Any] = {
        "t1_s": None,
        "t2_s": None,
        "bsm_success_probability": 0.5,
        "bsm_duration_us": 0.0,
    }
    attempt = {"period_us": 50.0, "success_probability": 0.01, "fidelity": 0.99}
    names = ["n0", "n1", "n2", "n3"]
    pairs = [("n0", "n1"), ("n1", "n2"), ("n2", "n3")]
    around = [f"z{index:03d}" for index in range(bystanders)]
    pairs += [(names[index % 4], name) for index, name in enumerate(around)]
    links = {f"{one}-{two}": {"nodes": (one, two), "lanes": 2, "attempt": attempt} for one, two in pairs}
    return build_lab(
        LabFile.model_validate(
            {
                "lab": f"bystanders_{bystanders}",
                "nodes": {
                    name: {"role": "end" if name in ("n0", "n3") else "repeater", "memory": memory}
                    for name in (*names, *around)
                },
                "links": links,
                "classical": {"delay_us": dict.fromkeys(links, 50.0)},
                "requests": (
                    {"id": "r", "from": "n0", "to": "n3", "duration_s": 60.0, "consumption": "measure"},
                ),
            }
        )
    )


def test_nodes_that_take_no_part_add_neither_events_nor_folds_to_a_delivered_pair() -> None:
    few, many = (Outcome(chain_with_bystanders(number), 1, NS_PER_S) for number in (6, 196))
    assert len(few.deliveries) > 100
    assert many.deliveries == few.deliveries
    assert many.events == few.events
    assert many.folds - few.folds == 190  # each node's own first fact, and nothing else


def test_what_a_delivered_pair_costs_in_events_folds_and_facts_is_bounded() -> None:
    outcome = Outcome(chain_with_bystanders(0), 1, 2 * NS_PER_S)
    pairs = len(outcome.deliveries) / 2  # each is reported at both ends
    heralds = sum(
        end.counters["heralds"]
        for machine in outcome.host.machines.values()
        if isinstance(machine, QuantumNode)
        for end in machine.links.ends.values()
    )
    heralds //= 2  # both ends hear of each
    facts = outcome.host.logs.facts
    assert pairs > 100
    # Chains of three links at half success: some ten link pairs for each that is delivered.
    assert heralds / pairs < 15
    # A link pair is born twice and ends twice; a swap is one fact that ends two halves.
    assert facts <= 4 * heralds + len(outcome.host.machines)
    assert outcome.folds <= 4 * facts  # by each of the four nodes of the route
    # Two heralds, a measurement or two with their outcomes, and word to the ends.
    assert outcome.events < 6 * heralds
