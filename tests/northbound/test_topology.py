"""The map of the network over the API."""

from bellwire.client import Client
from tests.northbound.serving import Served


def test_the_map_of_every_agent_is_told_and_they_agree(client: Client) -> None:
    lab = client.lab()
    topology = client.topology()
    assert set(topology.maps) == set(lab.nodes)
    assert (topology.silent, topology.left) == ([], [])
    assert topology.agree == (topology.disagreements == [])
    for name, seen in topology.maps.items():
        assert seen.seen_by == name
        assert set(seen.nodes) == set(lab.nodes)
        assert set(seen.links) == set(lab.links)
        assert seen.digest == topology.digests[name]
    link = next(iter(topology.maps["alice"].links.values()))
    assert link.nodes is not None
    assert set(link.claims) == {*link.nodes, *([link.station] if link.station else [])}
    assert topology.maps["alice"].nodes["alice"].schema_version == 9


def test_of_a_lab_that_does_not_run_every_agent_is_silent(alone: Served) -> None:
    with Client(alone.url) as made:
        topology = made.topology()
    assert topology.maps == {}
    assert set(topology.silent) >= {"alice", "bob"}
