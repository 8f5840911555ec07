"""A node's slots with a qubit in them, and a network whose memories have one slot for applications."""

import msgspec

from bellwire.core.ids import End
from bellwire.core.settings import NetworkSettings
from bellwire.node.slots import SlotTable
from tests.transport.bench import network


def own_slot_network() -> NetworkSettings:
    """Two end nodes with slots 0 and 1 of two lanes, and slot 2 for an application's own states."""
    plain = network()
    nodes = {}
    for name, node in plain.nodes.items():
        assert node.memory is not None
        memory = msgspec.structs.replace(node.memory, slots=2, own_slots=1)
        nodes[name] = msgspec.structs.replace(node, memory=memory)
    return msgspec.structs.replace(plain, nodes=nodes)


def held_slot(slots: SlotTable, slot: int, number: int) -> None:
    """A qubit of a delivered pair, as the transport layer leaves it to an application."""
    slots.attempt(slot)
    slots.hold(slot, End("alice-bob", 1, number, slot, 0), "q", 0, 0)
    slots.offer(slot)
