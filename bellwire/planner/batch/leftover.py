"""What earlier trees left, as a network of its own (algorithms.md 1.5: "best tree on the residual").

Owns the reading of capacity shares while a batch is planned. Refuses its own bookkeeping.

"50-50" gives half of a node to each side. Half of what? Section 1.1 takes what is sold from the half; then a
node that ends one tree at half its capacity could serve no other, though half of it is idle. Section 1.5
searches every tree on the residual network, where the whole is what is left. Both never sell anything twice:
shares of a node sum to 1.
"""

from dataclasses import dataclass

from bellwire.core.ids import NodeId
from bellwire.planner.capacity import Residual


@dataclass(slots=True)
class Leftover(Residual):
    """An account book in which a share of a node is a share of what the node has left."""

    @staticmethod
    def of(residual: Residual) -> "Leftover":
        """A book of its own with the same entries."""
        return Leftover(residual.topology, dict(residual.taken))

    def copy(self) -> "Leftover":
        """An account book of its own with the same entries, for trying things out."""
        return Leftover.of(self)

    def attempts_hz(self, name: NodeId, share: float = 1.0) -> float:
        """A share of the attempts per second that a node still has free, 0 or more."""
        left_hz = self.topology.nodes[name].attempts_hz - self.used_attempts_hz(name)
        return max(0.0, share * left_hz)
