"""What a planner of GHZ states is asked for.

Owns `GhzRequest`, checked when it is made. Refuses answers.
"""

from dataclasses import dataclass, field

from bellwire.core.ids import NodeId
from bellwire.planner.capacity import NoPlan
from bellwire.planner.requests import Limits
from bellwire.planner.topology import Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class GhzRequest:
    """GHZ states with one qubit at each of some nodes. Two members ask for a pair in Phi+, which is GHZ_2.

    limits: age_s is about the mean age of any qubit, leaves about the links of all pairs together, fidelity
    about the state at delivery.
    """

    request: str
    members: tuple[NodeId, ...]
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if len(self.members) < 2:
            raise NoPlan(
                f"request {self.request}: a GHZ state needs 2 members or more, not {len(self.members)}"
            )
        for index, member in enumerate(self.members):
            if member in self.members[:index]:
                raise NoPlan(f"request {self.request}: {member} is a member twice; name each node once")

    def check(self, topology: Topology) -> None:
        """All members exist. Raises ConfigError with the nearest known name."""
        for member in self.members:
            topology.node(member)
