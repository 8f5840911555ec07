"""What a baseline protocol and the part that runs it say to each other, at one node for one tree of a plan.

Owns the own half of a pair, the place of a node on its route, and the two interfaces. Refuses protocols.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from bellwire.core.ids import End, LinkId, NodeId, RequestId
from bellwire.core.machine import Step
from bellwire.core.messages import Message


class OwnHalf(NamedTuple):
    """An own, held half of a link pair."""

    end: End
    slot: int
    frame: int  # Pauli index 0..3 of the pair as it was heralded


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a node stands on the route of a tree. None: there is nothing on that side."""

    request: RequestId
    tree: int
    source: NodeId
    destination: NodeId
    route: tuple[NodeId, ...]
    left: NodeId | None  # neighbour towards the source
    right: NodeId | None
    left_link: LinkId | None
    right_link: LinkId | None

    @property
    def hops(self) -> int:
        """Links of the route."""
        return len(self.route) - 1


class Hands(Protocol):
    """What a protocol may do to qubits."""

    def swap(self, step: Step, place: Place, left: OwnHalf, right: OwnHalf) -> None:
        """Measure both; ends with `swapped`, or never when an instrument lost them."""
        ...

    def give_up(self, step: Step, end: End) -> None:
        """End an own half that nobody wants; nothing happens when it is not held (any more)."""
        ...


class HopProtocol(Protocol):
    """A protocol at one node for one tree of a plan."""

    def pair(self, step: Step, half: OwnHalf) -> None:
        """The link layer holds a new half for this tree."""
        ...

    def gone(self, step: Step, end: End) -> None:
        """An own half has ended by other hands: dead, too old, delivered, withdrawn."""
        ...

    def swapped(self, step: Step, left: OwnHalf, right: OwnHalf, outcome: int | None) -> None:
        """A measurement ended. outcome: Pauli index 0..3, None: it failed, or nobody knows."""
        ...

    def heard(self, step: Step, source: NodeId, message: Message) -> None:
        """A message of this protocol."""
        ...

    def deadline_ns(self) -> int | None:
        """When something is due by time alone."""
        ...

    def on_deadline(self, step: Step) -> None:
        """Do what is due."""
        ...
