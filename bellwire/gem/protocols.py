"""The two protocols of the GEM at one node, as two parts over one replica (stack paper, appendix G).

Owns their composition. Refuses what they do (`broadcast.py`, `update.py`).
"""

from bellwire.core.ids import NodeId
from bellwire.core.machine import Part
from bellwire.core.settings import NetworkSettings
from bellwire.gem.broadcast import Broadcast
from bellwire.gem.news import Forwarding
from bellwire.gem.publishing import Publishing, ToEverybody, ToThoseConcerned
from bellwire.gem.replica import FactSource, Replica
from bellwire.gem.update import Update


class Gem:
    """Both parts of one node over one replica: what a NodeMachine builds.

    source: None when facts come as messages; a virtual host gives its logs.
    digests: off where nothing is lost.
    """

    def __init__(
        self,
        settings: NetworkSettings,
        node: NodeId,
        source: FactSource | None = None,
        *,
        digests: bool = True,
    ) -> None:
        self.replica = Replica(settings, node, source)
        self.forwarding = Forwarding(node)
        # Logs of a virtual host choose themselves whom a fact concerns.
        kind = ToThoseConcerned if settings.ledgers == "routes" and source is None else ToEverybody
        self.publishing: Publishing = kind(settings, node, self.replica.own)
        parts = (settings, node, self.replica, self.forwarding, self.publishing)
        self.broadcast = Broadcast(*parts, digests=digests)
        self.update = Update(*parts)
        self.parts: tuple[Part, ...] = (self.broadcast, self.update)
        self.flush = self.broadcast.flush
