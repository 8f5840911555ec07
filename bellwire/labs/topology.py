"""The section `topology` of a lab file: whether nodes announce themselves and keep a map.

Owns the key and its conversion. Refuses what is announced (planner/announcing.py).
"""

from bellwire.core.settings import TopologySettings
from bellwire.labs.sections import Section


class Topology(Section):
    """Announcements of nodes and the map that follows from them: docs/topology.md."""

    # null: on a running lab yes; in virtual time no, where every node would tell every other one at the start
    announce: bool | None = None

    def settings(self, *, live: bool) -> TopologySettings | None:
        """What machines are told; None: nothing is announced."""
        return TopologySettings() if (live if self.announce is None else self.announce) else None
