"""What the virtual host gives its machines beside protocols: seeds, users of links, a truth that drifts."""

from typing import Any

import pytest

from bellwire.core.effects import AnswerLink, Effect
from bellwire.core.events import (
    Event,
    LinkCreateCancelled,
    LinkCreateSubmitted,
    LinkQubitReleased,
    Started,
    StationHeralded,
)
from bellwire.core.ids import End, NodeId
from bellwire.core.link_words import LinkAck, LinkAnswer, LinkCreate
from bellwire.core.settings import NetworkSettings
from bellwire.labs import Lab, load_lab
from bellwire.node.routing import NodeMachine
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend import simulation
from bellwire.simulator_backend.host import VirtualHost
from bellwire.simulator_backend.world import PairTruth

MS = 1_000_000
OWN_END = End("alice-bob", 3, 14, 1, 0)


class LinkUserMachine(NodeMachine):
    """Answers a CREATE with an ACK, and does nothing else."""

    def __init__(self, node: NodeId) -> None:
        super().__init__(node, [])

    def handle(self, now_ns: int, event: Event) -> list[Effect]:
        if not isinstance(event, LinkCreateSubmitted):
            return []
        return [AnswerLink(answer=LinkAck(link="alice-bob", create=event.asked.create, queue=0, number=1))]


def make(network: NetworkSettings, node: NodeId, compute: Any, source: Any) -> NodeMachine:
    return LinkUserMachine(node)


class Watched:
    """A host of the two-node lab with every event that its machines were told."""

    def __init__(self, seed: int, **options: Any) -> None:
        lab: Lab = load_lab("lab_configs/two_node_link.yaml")
        self.told: list[tuple[int, NodeId, Event]] = []
        network = lab.network
        self.host = VirtualHost(
            lab,
            seed,
            lambda request, version, news: compute_plan(network, request, version, news),
            watch=lambda now_ns, node, event, effects: self.told.append((now_ns, node, event)),
            **options,
        )
        self.host.start()

    def seeds(self) -> dict[tuple[NodeId, int], int]:
        return {
            (node, event.incarnation): event.seed
            for _, node, event in self.told
            if isinstance(event, Started)
        }


def test_every_life_of_every_machine_has_a_seed_of_its_own_that_the_world_decides() -> None:
    seeds = []
    for world_seed in (7, 7, 8):
        watched = Watched(world_seed, make=make)
        watched.host.clock.at(5 * MS, 0, watched.host.crash, "bob", 3 * MS)
        watched.host.run(20 * MS)
        seeds.append(watched.seeds())
    assert seeds[0] == seeds[1]
    assert {("alice", 1), ("bob", 1), ("bob", 2)} <= seeds[0].keys()
    values = [*seeds[0].values(), *seeds[2].values()]
    assert len(set(values)) == len(values)
    assert all(0 < seed < 1 << 64 for seed in values)
    assert max(values) >= 1 << 60  # all 64 bits are used: 8 seeds below that have a chance of 2**-32


def test_a_user_of_a_link_acts_through_the_host_and_hears_the_answers() -> None:
    asked = LinkCreate(create=9, partner="bob", count=1)
    words: list[Event] = [
        LinkCreateSubmitted(asked=asked),
        LinkQubitReleased(end=OWN_END),
        LinkCreateCancelled(create=9),
    ]
    heard: list[tuple[int, NodeId, LinkAnswer]] = []
    watched = Watched(7, make=make)
    watched.host.answers.append(lambda now_ns, node, answer: heard.append((now_ns, node, answer)))
    silent = watched.host.digest.hexdigest()
    for number, word in enumerate(words, start=1):
        watched.host.tell_at(number * MS, "alice", word)
    watched.host.run(10 * MS)
    told = [(now_ns, event) for now_ns, node, event in watched.told if node == "alice" and event in words]
    assert told == [(number * MS, word) for number, word in enumerate(words, start=1)]
    assert heard == [(MS, "alice", LinkAck(link="alice-bob", create=9, queue=0, number=1))]
    assert watched.host.digest.hexdigest() != silent  # an answer is part of what a run is known by


def test_an_observer_forgets_the_oldest_pairs_that_no_report_ever_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(simulation, "TRUTHS_MAX", 3)
    observer = simulation.Observer(Watched(7, make=make).host)
    names = []
    for attempt in range(5):
        ends = (End("alice-bob", 1, attempt, 0, 0), End("alice-bob", 1, attempt, 0, 1))
        names.append(frozenset(str(end) for end in ends))
        truth = PairTruth(("bob", 0), 2, (1.0, 0.0, 0.0, 0.0), 1.0, ends)
        observer._witnessed(attempt, "alice", 0, truth)
    assert list(observer._truths) == names[2:]


def test_a_link_goes_dark_and_comes_back_when_its_truth_is_told_to_change() -> None:
    watched = Watched(3)
    watched.host.change_link_at(0, "alice-bob", success_probability=0.0)
    watched.host.change_link_at(1_500 * MS, "alice-bob", success_probability=0.05)
    watched.host.run(3_000 * MS)
    times = [now_ns for now_ns, _, event in watched.told if isinstance(event, StationHeralded)]
    assert len(times) >= 50
    assert min(times) > 1_500 * MS
