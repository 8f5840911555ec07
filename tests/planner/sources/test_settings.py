"""A lab as a topology: the figures of its links and memories, and the links that the live planner would use.

Owns the tests of sources/settings.py.
"""

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bellwire.core.bell import Walsh, decay, from_walsh, to_walsh, werner
from bellwire.core.settings import LinkSettings, NetworkSettings
from bellwire.labs import load_lab
from bellwire.planner.assessment import stored
from bellwire.planner.capacity import Residual
from bellwire.planner.lane_times import link_latency_s
from bellwire.planner.methods import plan_pair
from bellwire.planner.points import as_planned
from bellwire.planner.requests import PairRequest
from bellwire.planner.sources.settings import topology_of
from bellwire.planner.topology import pair_of
from bellwire.planner.usable import usable_network

LABS = sorted((Path(__file__).parents[3] / "lab_configs").glob("*.yaml"))


def lab(name: str) -> NetworkSettings:
    (path,) = (each for each in LABS if each.stem == name)
    return load_lab(path).network


def with_link(network: NetworkSettings, like: str, **changes: Any) -> NetworkSettings:
    """The network with one more link, or with a link replaced."""
    link = msgspec.structs.replace(network.links[like], **changes)
    return msgspec.structs.replace(network, links={**network.links, link.link: link})


@pytest.mark.parametrize("path", LABS, ids=lambda path: path.stem)
def test_every_lab_is_a_topology(path: Path) -> None:
    network = load_lab(path).network
    found = topology_of(network)
    assert set(found.nodes) == {name for name, node in network.nodes.items() if node.role != "station"}
    assert {pair_of(*link.nodes) for link in network.links.values()} == set(found.links)
    for a in found.nodes:
        for b in found.nodes:
            expected_s = 0.0 if a == b else network.delays_ns[a][b] / 1e9
            assert found.delay_s(a, b) == pytest.approx(expected_s, rel=1e-12, abs=0.0)


@pytest.mark.parametrize("path", LABS, ids=lambda path: path.stem)
def test_a_link_gives_exactly_what_its_lanes_give(path: Path) -> None:
    network = load_lab(path).network
    found = topology_of(network)
    residual = Residual(found)
    for link in found.links.values():
        assert link.link is not None
        # A link under a network schedule attempts in its slots only.
        own = as_planned(network.links[link.link], network.nodes)
        assert residual.link_rate_hz(link) == 1.0 / link_latency_s(own)
        assert residual.link_rate_hz(link, 0.1, 0.9) == 1.0 / link_latency_s(own)
        assert (link.success_probability, link.channels) == (own.success_probability, own.lanes)
        assert link.attempt_s == own.period_ns / 1e9
        assert link.success_s == pytest.approx((own.click_delay_ns + max(own.herald_delay_ns)) / 1e9)


@pytest.mark.parametrize("path", LABS, ids=lambda path: path.stem)
def test_qubits_decay_and_swaps_err_as_in_the_ledger(path: Path) -> None:
    """The ledger's integers against the topology's floats, after 70 ms of storage of both ends and a swap."""
    network = load_lab(path).network
    found = topology_of(network)
    for link in network.links.values():
        a, b = link.nodes
        fresh = to_walsh(werner(0.93))
        for name in (a, b):
            memory = network.nodes[name].memory
            assert memory is not None
            fresh = decay(fresh, memory.rates, 70_000_000)
        assert stored(found, a, b, werner(0.93), 0.07) == pytest.approx(from_walsh(fresh), rel=1e-9)
    for name, node in found.nodes.items():
        memory = network.nodes[name].memory
        assert memory is not None
        assert node.swap_noise == from_walsh(Walsh(memory.bsm_signs, memory.bsm_cost))
        assert (node.memories, node.swap_probability) == (memory.slots, memory.bsm_success_probability)
        assert node.swap_s == node.purification_s == memory.bsm_duration_ns / 1e9


def test_figures_of_the_chain_of_five_are_those_of_its_file() -> None:
    """100 kHz of attempts in five lanes with q = 0.01: 1000/s a link; swaps succeed half of the time."""
    found = topology_of(lab("w1_chain_5"))
    for link in found.links.values():
        assert link.capacity_hz == pytest.approx(1000.0, rel=1e-6)
        assert link.state == pytest.approx(werner(0.99), abs=1e-12)
        assert link.length_km == 10.0
    assert [node.relays for node in found.nodes.values()] == [False, True, True, True, False]
    assert {(node.attempts_hz, node.swap_probability, node.decay_hz) for node in found.nodes.values()} == {
        (math.inf, 0.5, (0.0, 0.0, 0.0))
    }
    assert found.delay_s("n0", "n4") == pytest.approx(200e-6)
    plan = plan_pair(Residual(found), PairRequest(request="r", source="n0", destination="n4"))
    assert plan.latency_s == pytest.approx(
        ((1.5e-3 + 50e-6) * 2 * 1.5 + 100e-6) * 2, rel=1e-6
    )  # Eq. 1, twice


def test_memories_of_the_three_node_lab_have_its_coherence_times() -> None:
    """T1 = 60 s and T2 = 1 s of the file, in neper per second: <XX> and <YY> at 1/T2, <ZZ> at 1/T1."""
    node = topology_of(lab("three_node_repeater")).nodes["relay"]
    assert node.decay_hz == pytest.approx((1.0, 1.0 / 60.0, 1.0), rel=1e-6)


def test_an_end_node_relays_for_nobody_and_neither_does_a_repeater_with_one_slot() -> None:
    network = lab("three_node_repeater")
    found = topology_of(network)
    assert [node.relays for node in found.nodes.values()] == [False, True, False]
    relay = network.nodes["relay"]
    assert relay.memory is not None
    narrow = msgspec.structs.replace(relay, memory=msgspec.structs.replace(relay.memory, slots=1))
    poor = msgspec.structs.replace(network, nodes={**network.nodes, "relay": narrow})
    assert not topology_of(poor).nodes["relay"].relays


def test_a_node_without_a_memory_is_there_and_holds_nothing() -> None:
    network = lab("three_node_repeater")
    bare = msgspec.structs.replace(network.nodes["relay"], memory=None)
    found = topology_of(msgspec.structs.replace(network, nodes={**network.nodes, "relay": bare}))
    assert (found.nodes["relay"].memories, found.nodes["relay"].relays) == (0, False)


def test_of_parallel_links_the_one_of_the_live_planner_stands_for_all() -> None:
    network = lab("three_node_repeater")
    faster = with_link(network, "alice-relay", link="second", success_probability=0.5)
    slower = with_link(network, "alice-relay", link="second", success_probability=1e-5)
    assert topology_of(faster).links["alice", "relay"].link == "second"
    assert topology_of(slower).links["alice", "relay"].link == "alice-relay"
    for each in (faster, slower):
        used = usable_network(each).link("alice", "relay")
        assert isinstance(used, LinkSettings)
        assert topology_of(each).links["alice", "relay"].link == used.link


def test_a_reserved_link_is_there_for_its_request_alone() -> None:
    network = with_link(lab("three_node_repeater"), "alice-relay", reserved_for="mine")
    assert ("alice", "relay") in topology_of(network, "mine").links
    assert ("alice", "relay") not in topology_of(network, "other").links
    assert ("alice", "relay") not in topology_of(network).links


def test_avoided_nodes_and_the_links_of_avoided_stations_are_left_out() -> None:
    network = lab("three_node_repeater")
    without = topology_of(network, avoid=("relay",))
    assert (list(without.nodes), list(without.links)) == (["alice", "bob"], [])
    assert without.delays_s == {("alice", "bob"): pytest.approx(200e-6)}
    station = network.links["alice-relay"].station
    assert station is not None
    assert list(topology_of(network, avoid=(station,)).links) == [("bob", "relay")]


def test_two_nodes_that_no_cable_joins_never_hear_of_each_other() -> None:
    network = lab("three_node_repeater")
    delays = {a: dict(row) for a, row in network.delays_ns.items()}
    del delays["alice"]["bob"], delays["bob"]["alice"]
    found = topology_of(msgspec.structs.replace(network, delays_ns=delays))
    assert found.delay_s("alice", "bob") == math.inf
    assert found.delay_s("alice", "relay") == pytest.approx(100e-6)
