"""A station owns no qubits: nobody asks it for facts, which it could never answer."""

from bellwire.core.effects import Send
from bellwire.core.events import PeerChanged, Started, TimerFired
from bellwire.core.messages import FactsWanted
from bellwire.node.machines import make_machine
from tests.node.networks import chain


def test_a_node_asks_peers_with_memories_for_their_facts_and_no_station() -> None:
    """Found on a live link: both ends asked the station again every 200 ms, for ever."""
    node = make_machine(chain(), "a", lambda request, version, news: "no plan")
    node.handle(0, Started(incarnation=1))
    asked = []
    for peer in ("r", "b", "m"):
        for effect in node.handle(1_000, PeerChanged(peer=peer, state="up", incarnation=1)):
            if isinstance(effect, Send) and isinstance(effect.message, FactsWanted):
                asked.append(effect.to)
    assert asked == ["r", "b"]
    for _ in range(20):
        assert node.next_deadline_ns is not None
        for effect in node.handle(node.next_deadline_ns, TimerFired()):
            assert not (isinstance(effect, Send) and effect.to == "m")
