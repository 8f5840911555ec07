"""Announcements, quantum pings, and nodes that come and go, in virtual time with whole nodes."""

import json
from dataclasses import replace
from functools import partial
from itertools import pairwise
from random import Random
from typing import Any

import msgspec
import pytest
from scipy.stats import binom

from bellwire.core.effects import Report
from bellwire.core.events import LeaveAsked
from bellwire.core.settings import TopologySettings
from bellwire.core.units import NS_PER_S
from bellwire.labs import Lab, build_lab, load_lab
from bellwire.labs.models import LabFile
from bellwire.link_layer.estimation.ping import PingTest
from bellwire.link_layer.quantum_ping import QuantumPing, readout_contrast, stated_fidelity
from bellwire.planner.map_document import disagreements, map_document
from bellwire.planner.network_map import NetworkMap
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost
from bellwire.simulator_backend.pings import ping
from bellwire.simulator_backend.world_changes import changed
from tests.physics.links_of_two import LinkCase, closed_form, lab_of

ATTEMPTS = {"lanes": 2, "length_km": 5}


def two_ways() -> dict[str, Any]:
    """alice - north - bob, and the slower alice - south - bob."""

    def link(nodes: list[str], success_probability: float) -> dict[str, Any]:
        attempt = {"period_us": 1000, "success_probability": success_probability, "fidelity": 0.95}
        return {"nodes": nodes, "attempt": attempt, **ATTEMPTS}

    return {
        "lab": "two_ways",
        "seed": 1,
        "topology": {"announce": True},
        "nodes": {
            name: {"role": "end" if name in ("alice", "bob") else "repeater"}
            for name in ("alice", "north", "south", "bob")
        },
        "links": {
            "alice-north": link(["alice", "north"], 0.07),
            "north-bob": link(["north", "bob"], 0.07),
            "alice-south": link(["alice", "south"], 0.05),
            "south-bob": link(["south", "bob"], 0.05),
        },
        "requests": [{"id": "stream", "from": "alice", "to": "bob", "duration_s": 20}],
    }


GOOD = LinkCase(architecture="double_click", km=(5, 5), visibility=0.98)
NOISY = LinkCase(architecture="double_click", km=(5, 5), visibility=0.7, dark=1e-3)


class Town:
    """The lab with two ways, and what was reported."""

    def __init__(self, absent: tuple[str, ...] = ()) -> None:
        self.lab = build_lab(LabFile.model_validate_json(json.dumps(two_ways())))
        self.reports: list[tuple[int, str, Report]] = []
        self.host = VirtualHost(self.lab, 1, partial(compute_plan, self.lab.network))
        self.host.reports.append(lambda now_ns, node, report: self.reports.append((now_ns, node, report)))
        self.host.start(absent)

    def run(self, until_s: float) -> None:
        self.host.run(round(until_s * NS_PER_S))

    def maps(self) -> dict[str, dict[str, Any]]:
        return {
            name: map_document(map_of(self.host, name), name, self.host.clock.now_ns)
            for name in self.host.machines
        }

    def named(self, name: str, node: str = "alice") -> list[tuple[int, dict[str, Any]]]:
        return [
            (now_ns, report.fields)
            for now_ns, at, report in self.reports
            if report.name == name and at == node
        ]

    def states(self, link: str) -> set[str]:
        return {document["links"][link]["state"] for document in self.maps().values()}


def map_of(host: VirtualHost, name: str) -> NetworkMap:
    known = host.machines[name].network_map  # type: ignore[attr-defined]
    assert isinstance(known, NetworkMap)
    return known


def test_nodes_in_virtual_time_agree_on_one_map_within_the_slowest_delay() -> None:
    town = Town()
    slowest_ns = max(max(row.values()) for row in town.lab.network.delays_ns.values())
    town.host.run(slowest_ns + 1)
    maps = town.maps()
    assert disagreements(maps) == []
    assert all(document["missing"] == [] for document in maps.values())
    assert len(maps["alice"]["links"]) == 4


def test_a_lab_in_virtual_time_announces_nothing_unless_its_file_says_so() -> None:
    assert load_lab("lab_configs/two_node_link.yaml").network.topology is None
    assert load_lab("lab_configs/two_node_link.yaml", live=True).network.topology is not None


# ---- coming and going


def test_a_repeater_that_leaves_hands_its_request_over_before_anybody_judges_it_lost() -> None:
    town = Town()
    town.run(5.0)
    (route,) = [fields["route"] for _, fields in town.named("plan_installed")]
    assert route == "alice north bob"
    town.host.tell_at(5 * NS_PER_S, "north", LeaveAsked(reason="new coating"))
    town.run(5.05)
    assert town.states("alice-north") == {"down"}
    assert {one["nodes"]["north"]["state"] for one in town.maps().values()} == {"left"}
    # Its process ends a second later; a restart follows at 12 s.
    town.host.clock.at(6 * NS_PER_S, 0, town.host.crash, "north", 6 * NS_PER_S)
    town.run(11.0)
    installed = [(now_ns, fields["route"]) for now_ns, fields in town.named("plan_installed")]
    assert installed[-1][1] == "alice south bob"
    assert installed[-1][0] < 6.5 * NS_PER_S, "silence is judged 1.5 s after 6 s"
    given_ns = [now_ns for now_ns, fields in town.named("pair_delivered")]
    pauses_ns = [after - before for before, after in pairwise(given_ns)]
    assert max(pauses_ns) < 2.5 * NS_PER_S
    assert given_ns[-1] > 10.5 * NS_PER_S
    town.run(13.0)
    assert disagreements(town.maps()) == []
    assert town.states("alice-north") == {"unverified"}
    assert town.maps()["bob"]["nodes"]["north"]["incarnation"] == 2


def test_an_end_node_that_leaves_ends_its_requests_with_a_reason_at_both_ends_of_them() -> None:
    town = Town()
    town.run(3.0)
    town.host.tell_at(3 * NS_PER_S, "bob", LeaveAsked(reason="goes home"))
    town.run(3.2)
    last_ns, status = town.named("request_status")[-1]
    assert (status["status"], status["error_message"]) == ("failed", "bob left the network: goes home")
    assert last_ns < 3.1 * NS_PER_S
    town.run(5.0)
    for name in ("alice", "north"):
        slots = town.host.machines[name].slots.slots()  # type: ignore[attr-defined]
        assert {slot.state for slot in slots} == {"free"}, name


def test_a_node_that_starts_late_is_found_and_used() -> None:
    """bob, for whom the request is, begins after 4 s."""
    town = Town(absent=("bob",))
    town.host.join_at(4 * NS_PER_S, "bob")
    town.run(3.9)
    assert town.maps()["alice"]["missing"] == ["bob"]
    assert town.states("north-bob") == {"half_announced"}
    assert town.named("pair_delivered") == []
    town.run(10.0)
    assert disagreements(town.maps()) == []
    assert town.states("north-bob") == {"unverified"}
    assert len(town.named("pair_delivered")) > 50


# ---- quantum ping


class Pinged:
    """Two nodes with one link, announced, and pings of it."""

    def __init__(self, case: LinkCase, seed: int, **options: Any) -> None:
        lab: Lab = lab_of(case, lanes=4, **options)
        network = msgspec.structs.replace(lab.network, topology=TopologySettings())
        self.lab = replace(lab, network=network)
        (self.link,) = network.links.values()
        self.host = VirtualHost(self.lab, seed, partial(compute_plan, network))
        self.host.start()
        self.chance = Random(seed)

    def ping(self, test: PingTest, within_s: float = 30.0, origin: str = "ann") -> QuantumPing:
        asked = QuantumPing(network=self.lab.network, link=self.link, origin=origin, test=test)
        bases = iter(lambda: self.chance.randrange(3), None)
        ping(self.host, asked, bases, round(within_s * NS_PER_S))
        return asked

    def settle(self) -> None:
        self.host.run(self.host.clock.now_ns + NS_PER_S)

    def seen(self, name: str) -> tuple[str, dict[str, Any]]:
        self.settle()
        document = map_document(map_of(self.host, name), name, self.host.clock.now_ns)
        link = document["links"][self.link.link]
        return link["state"], link["verification"]


def test_a_ping_verifies_a_good_link_and_finds_one_that_has_become_noisy() -> None:
    town = Pinged(GOOD, 5)
    fidelity = stated_fidelity(town.link)
    assert fidelity == pytest.approx(closed_form(GOOD)[1], abs=1e-3)
    first = town.ping(PingTest(fidelity=fidelity))
    assert first.verdict == "yes"
    assert first.counts.tests == sum(one.tests for one in first.counts.bases)
    for name in town.lab.network.nodes:  # the station too
        state, verification = town.seen(name)
        assert state == "verified"
        assert verification["pairs"] == first.counts.tests
        assert verification["age_s"] >= 1.0
    # White noise of 40 %: F becomes 0.6 F + 0.1.
    noisy = changed(town.lab.world()[0][0], 1.0, 0.4)
    town.host.change_link_at(town.host.clock.now_ns, town.link.link, outcomes=noisy[0].outcomes)
    second = town.ping(PingTest(fidelity=fidelity), origin="bob")
    assert second.verdict == "no"
    low, high = second.test.interval(second.errors, second.counts.tests)
    assert low <= 0.6 * fidelity + 0.1 <= high
    assert {town.seen(name)[0] for name in town.lab.network.nodes} == {"degraded"}
    town.host.change_link_at(
        town.host.clock.now_ns, town.link.link, outcomes=town.lab.world()[0][0].physics[0].outcomes
    )
    assert town.ping(PingTest(fidelity=fidelity)).verdict == "yes"
    assert {town.seen(name)[0] for name in town.lab.network.nodes} == {"verified"}


def test_a_link_that_gives_nothing_is_a_no_after_its_time_and_the_ping_leaves_nothing_behind() -> None:
    town = Pinged(GOOD, 6)
    town.host.change_link_at(0, town.link.link, success_probability=0.0)
    asked = town.ping(PingTest(fidelity=0.9), within_s=2.0)
    assert (asked.verdict, asked.counts.tests) == ("no", 0)
    assert asked.reason.startswith("0 pairs in 2 s, at least ")
    assert town.seen("bob")[0] == "degraded"
    town.host.change_link_at(town.host.clock.now_ns, town.link.link, success_probability=0.1)
    again = town.ping(PingTest(fidelity=0.9))
    assert again.verdict == "yes", "the CREATEs of the first one stand in nobody's way"


def test_a_ping_with_too_little_time_says_that_it_does_not_know() -> None:
    town = Pinged(GOOD, 7)
    asked = town.ping(PingTest(fidelity=0.9), within_s=0.001)
    assert asked.verdict == "undecided"
    assert town.seen("ann")[0] == "unverified"


def test_pings_err_as_often_as_their_test_says() -> None:
    """40 pings that want what the noisy link gives, and 40 that want more by the margin.

    The number of answers of a kind among 40 lies within the middle 99.9 % of the binomial law with the exact
    chance: each of the four checks has a false alarm of 0.1 % at most, and the seed is fixed."""
    fidelity = closed_form(NOISY)[1]
    assert 0.6 < fidelity < 0.849
    for wanted in (fidelity, fidelity + 0.15):
        test = PingTest(fidelity=wanted, false_no=0.2, false_yes=0.2, round_pairs=6)
        town = Pinged(NOISY, 8)
        verdicts = [town.ping(test).verdict for _ in range(40)]
        chances = test.chances(fidelity)
        for verdict, chance in (("yes", chances.yes), ("no", chances.no)):
            count = verdicts.count(verdict)
            assert binom.ppf(0.0005, 40, chance) <= count <= binom.ppf(0.9995, 40, chance), (wanted, verdict)


def test_errors_of_readout_are_taken_off() -> None:
    memory = {
        "t1_s": None,
        "t2_s": None,
        "readout_fidelity": 0.9,
        "gate_fidelity": 1,
        "single_gate_fidelity": 1,
    }
    town = Pinged(GOOD, 9, memory=memory)
    contrast = readout_contrast(town.lab.network, town.link)
    assert contrast == pytest.approx(0.64)
    blind = PingTest(fidelity=0.95, margin=0.15, pairs_max=960)
    seeing = PingTest(fidelity=0.95, margin=0.15, pairs_max=960, contrast=contrast)
    assert town.ping(blind).verdict == "no"
    assert town.ping(seeing).verdict == "yes"
