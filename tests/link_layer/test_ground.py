"""What the parts of a link end stand on is that of their own side."""

import msgspec
import pytest

from bellwire.core.errors import LocalMisuse
from bellwire.core.settings import NetworkSettings, NodeSettings, Timers
from bellwire.link_layer.agreement import WindowBook
from bellwire.link_layer.ground import Ground, memories_of
from bellwire.node.slots import SlotTable
from tests.link_layer.bench import MS, link_network

LIMITS_NS = {"a": 3 * MS, "b": 5 * MS}
"""Operation limits, by which the two memories are told apart."""


def unlike_network() -> NetworkSettings:
    """Two nodes with unlike memories."""
    network = link_network(station=False)
    nodes: dict[str, NodeSettings] = {}
    for name, node in network.nodes.items():
        assert node.memory is not None
        memory = msgspec.structs.replace(node.memory, operation_limit_ns=LIMITS_NS[name])
        nodes[name] = msgspec.structs.replace(node, memory=memory)
    return msgspec.structs.replace(network, nodes=nodes)


@pytest.mark.parametrize(("side", "node", "peer"), [(0, "a", "b"), (1, "b", "a")])
def test_each_side_has_its_own_node_and_memory_and_the_other_as_its_peer(
    side: int, node: str, peer: str
) -> None:
    network = unlike_network()
    link = network.links["a-b"]
    ground = Ground(
        link=link,
        side=side,
        memories=memories_of(network, link),
        timers=Timers(),
        delay_ns=network.delay_ns(node, peer),
        slots=SlotTable(network, node),
        book=WindowBook(link),
        requests={},
        counters={},
    )
    assert (ground.node, ground.peer) == (node, peer)
    assert ground.memory.operation_limit_ns == LIMITS_NS[node]


def test_a_link_that_ends_at_a_node_without_a_memory_is_a_misuse() -> None:
    network = link_network(station=False)
    nodes = dict(network.nodes, b=msgspec.structs.replace(network.nodes["b"], memory=None))
    bare = msgspec.structs.replace(network, nodes=nodes)
    with pytest.raises(LocalMisuse, match="a-b ends at a node without a memory"):
        memories_of(bare, bare.links["a-b"])
