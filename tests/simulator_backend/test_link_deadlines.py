"""A node remembers the deadlines of its links: after every step they are what the links would say."""

import pytest

from bellwire.core.effects import Effect
from bellwire.core.events import Event, LinkCreateSubmitted
from bellwire.core.ids import NodeId
from bellwire.core.link_words import LinkCreate
from bellwire.core.units import NS_PER_MS, NS_PER_S
from bellwire.labs import Lab, Scenario
from bellwire.labs.paper_network import PaperNetwork, paper_lab
from bellwire.node.machines import QuantumNode
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost
from tests.physics.links_of_two import lab_of
from tests.simulation.faulty import crash, faulty_lab
from tests.simulation.test_link_creates import CLEAN


class Deadlines:
    """A lab run with every node's links asked anew after every step."""

    def __init__(self, lab: Lab, seed: int) -> None:
        self.host = VirtualHost(
            lab,
            seed,
            lambda request, version, avoid: compute_plan(lab.network, request, version, avoid),
            watch=self,
        )
        self.compared = 0
        self.host.start()

    def __call__(self, now_ns: int, node: NodeId, event: Event, effects: list[Effect]) -> None:
        machine = self.host.machines.get(node)
        if not isinstance(machine, QuantumNode):
            return
        told = [end.deadline_ns() for end in machine.links.ends.values()]
        anew = min((deadline for deadline in told if deadline is not None), default=None)
        assert machine.links.deadline_ns() == anew, f"{node} at {now_ns} ns after {event}"
        self.compared += anew is not None


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_links_that_share_a_bank_are_asked_again_whenever_their_deadlines_change(seed: int) -> None:
    network = PaperNetwork(nodes=14, density=0.3, distance_km=(30.0, 90.0), requests=3, seed=seed)
    run = Deadlines(paper_lab(network), seed)
    run.host.run(2 * NS_PER_S)
    assert run.compared > 300


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_links_with_stations_and_crashes_are_asked_again_whenever_their_deadlines_change(seed: int) -> None:
    scenario = Scenario(
        message_loss_probability=0.05,
        duplicate_probability=0.05,
        crashes=(crash("relay", 700, 400), crash("alice", 2600, 2000)),
    )
    run = Deadlines(faulty_lab(scenario, 60), seed)
    run.host.run(6 * NS_PER_S)
    assert run.compared > 300


def test_links_that_serve_creates_are_asked_again_whenever_their_deadlines_change() -> None:
    run = Deadlines(lab_of(CLEAN, lanes=2), 1)
    for number in range(60):
        node, partner = ("ann", "bob") if number % 2 else ("bob", "ann")
        asked = LinkCreate(create=number, partner=partner, count=2, kind="measure" if number % 3 else "keep")
        run.host.tell_at(NS_PER_S + number * 30 * NS_PER_MS, node, LinkCreateSubmitted(asked=asked))
    run.host.run(3 * NS_PER_S)
    assert run.compared > 100
