"""What every part of one link end stands on: its link, its side, and the state that the parts share.

Owns these references, which never change. Refuses behaviour: what each part does with the slots, windows
and requests is said by the part.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import NodeId, RequestId
from bellwire.core.plans import LinkPlan
from bellwire.core.purification import Memories
from bellwire.core.settings import LinkSettings, MemorySettings, NetworkSettings, Timers
from bellwire.core.view import SlotBook
from bellwire.link_layer.agreement import WindowBook


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Of one link end. Parts that heralds pass through take what they need of it once, when they are made."""

    link: LinkSettings
    side: int  # 0: keeps the queue of the link
    memories: Memories  # of side 0 and side 1
    timers: Timers
    delay_ns: int  # one way to the other end
    slots: SlotBook  # of the node
    book: WindowBook  # windows that this end has agreed to
    requests: Mapping[tuple[RequestId, int], LinkPlan]  # who wants pairs of the link
    counters: dict[str, int]  # of the end; each part begins its own

    @property
    def memory(self) -> MemorySettings:
        """The own memory."""
        return self.memories[self.side]

    @property
    def node(self) -> NodeId:
        """The own node."""
        return self.link.nodes[self.side]

    @property
    def peer(self) -> NodeId:
        """The node of the other end."""
        return self.link.nodes[1 - self.side]

    def begin_counters(self, *names: str) -> None:
        """Counters of a part stand at 0 from the start, so that a view of the end shows them all."""
        self.counters.update(dict.fromkeys(names, 0))


def memories_of(network: NetworkSettings, link: LinkSettings) -> Memories:
    """The memories of both ends of a link.

    Raises:
        LocalMisuse: an end has none.
    """
    one, other = (network.nodes[name].memory for name in link.nodes)
    if one is None or other is None:
        raise LocalMisuse(f"{link.link} ends at a node without a memory")
    return one, other
