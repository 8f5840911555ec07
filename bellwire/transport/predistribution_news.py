"""StoreNewsHeard: what heads of super-links have told this node of their stores.

Owns the latest word of each store, for whoever plans here. Refuses word of anybody but the head.
"""

from collections.abc import Mapping

from bellwire.core.errors import PeerViolation
from bellwire.core.events import Received
from bellwire.core.ids import NodeId, RequestId
from bellwire.core.machine import Handler, Step
from bellwire.core.messages import StoreTold
from bellwire.core.notices import PeerRestarted
from bellwire.core.plans import StoreNews
from bellwire.core.settings import NetworkSettings


class StoreNewsHeard:
    """Part of every node that plans, where the network has stores."""

    def __init__(self, network: NetworkSettings) -> None:
        links = () if network.stores is None else network.stores.super_links
        self._heads: dict[RequestId, NodeId] = {link.request: link.route[0] for link in links}
        self._heard: dict[RequestId, tuple[int, int, int]] = {}  # incarnation, number, pairs

    def on_events(self) -> Mapping[type, Handler]:
        return {}

    def on_messages(self) -> Mapping[type, Handler]:
        return {StoreTold: self._on_told}

    def on_notices(self) -> Mapping[type, Handler]:
        return {PeerRestarted: self._on_peer_restarted}

    def gives(self) -> frozenset[type]:
        return frozenset()

    def deadline_ns(self) -> int | None:
        return None

    def on_deadline(self, step: Step) -> None:
        pass

    def news(self) -> tuple[StoreNews, ...]:
        """Every store of which something was heard, by name."""
        return tuple(
            StoreNews(super_link=name, pairs=pairs) for name, (_, _, pairs) in sorted(self._heard.items())
        )

    def _on_told(self, step: Step, received: Received) -> None:
        told = received.message
        assert isinstance(told, StoreTold)
        if self._heads.get(told.super_link) != received.source:
            raise PeerViolation(received.source, f"tells of the store {told.super_link} of another node")
        known = self._heard.get(told.super_link)
        if known is None or (received.incarnation, told.number) > known[:2]:
            self._heard[told.super_link] = (received.incarnation, told.number, told.pairs)

    def _on_peer_restarted(self, step: Step, notice: PeerRestarted) -> None:
        """What the peer had in store is gone; what it has told since is true."""
        for name, head in self._heads.items():
            known = self._heard.get(name)
            if head == notice.peer and known is not None and known[0] < notice.incarnation:
                del self._heard[name]
