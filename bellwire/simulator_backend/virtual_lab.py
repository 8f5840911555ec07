"""What a virtual host needs of a lab, whoever describes it.

Owns the protocols of a lab and its fault scenario. Refuses files: labs are read one floor higher.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

from bellwire.core.ids import LinkId, NodeId
from bellwire.core.plans import EntanglementRequest
from bellwire.core.settings import NetworkSettings
from bellwire.simulator_backend.world import LinkTruth, MemoryTruth


class PlannedCrash(Protocol):
    """A node dies and comes back with a higher incarnation."""

    @property
    def node(self) -> NodeId: ...

    @property
    def at_ns(self) -> int: ...

    @property
    def down_ns(self) -> int: ...


class PlannedLinkChange(Protocol):
    """A link is another one from a time on, relative to its truth at the start (world_changes.py)."""

    @property
    def link(self) -> LinkId: ...

    @property
    def at_ns(self) -> int: ...

    @property
    def success_factor(self) -> float: ...

    @property
    def noise(self) -> float: ...


class FaultScenario(Protocol):
    """What goes wrong on purpose."""

    @property
    def message_loss_probability(self) -> float: ...

    @property
    def duplicate_probability(self) -> float: ...

    @property
    def delay_jitter_ns(self) -> int: ...

    @property
    def reorder(self) -> bool: ...

    @property
    def crashes(self) -> Sequence[PlannedCrash]: ...

    @property
    def link_changes(self) -> Sequence[PlannedLinkChange]: ...

    @property
    def persist_latency_ns(self) -> int: ...


class VirtualLab(Protocol):
    """A lab in virtual time."""

    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str: ...

    @property
    def network(self) -> NetworkSettings: ...

    @property
    def requests(self) -> Sequence[EntanglementRequest]: ...

    @property
    def plan_together(self) -> Literal["total", "max_min"] | None:
        """What is best of all plans at once; None: each request is planned for itself."""
        ...

    @property
    def scenario(self) -> FaultScenario: ...

    def world(self) -> tuple[list[LinkTruth], list[MemoryTruth]]:
        """The hidden truth."""
        ...
