"""What becomes of a pair that a link has just made: the contract of everybody who may take it.

Owns `FreshPair` and `PairUse`. A pair goes to the first use that wants it; when none does, it is handed up to
the layers above. Uses: test rounds, link purification, CREATEs of the link service, stock. Refuses mechanism.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from bellwire.core.bell import Walsh
from bellwire.core.ids import End, NodeId, RequestId
from bellwire.core.machine import Step


class FreshPair(NamedTuple):
    """The own half of a heralded pair. Its slot holds it, bound to the request; nobody else was told yet."""

    end: End
    slot: int
    request: RequestId
    tree: int
    frame: int  # Pauli index of the heralded Bell state relative to Phi+
    state: Walsh  # estimated, relative to the frame, at `at_ns`
    at_ns: int
    sigma_ns: int
    number: int  # of the station's report within the run, 0: told by the hardware directly
    point: int  # operating point of the attempt
    oldest_ns: int | None = None  # herald of the oldest pair that went into a purified one, None: at_ns
    armed_from: int = 0  # first attempt of the lane's lease at this end


LinkHandler = Callable[[Step, NodeId, Any], None]
"""Takes the step, the sender (the other end, or the station) and a message about this link."""


class Timed(Protocol):
    """Something with deadlines of its own."""

    def deadline_ns(self) -> int | None:
        """The earliest of its deadlines."""
        ...

    def on_deadline(self, step: Step) -> None:
        """Do what is due."""
        ...


class PairUse(Timed, Protocol):
    """One use of pairs at one end of one link. Both ends decide alike, from what both know."""

    def wants(self, pair: FreshPair) -> bool:
        """True when this use takes the pair. Must follow from the window and the pair's name alone, or from
        what both ends have agreed on before the attempt."""
        ...

    def take(self, step: Step, pair: FreshPair) -> None:
        """The pair is ours now: its slot is held, and we free it (or hand the pair up) in the end."""
        ...

    def void(self, step: Step, end: End) -> bool:
        """The other end has no half of this pair. True when the pair is, or was, ours."""
        ...

    def on_messages(self) -> Mapping[type, LinkHandler]:
        """Messages about this link that this use takes."""
        ...

    def on_events(self) -> Mapping[type, Callable[[Step, Any], None]]:
        """Ends of own device orders; events of operations that are not ours are ignored."""
        ...

    def lost(self, step: Step) -> None:
        """The memory forgot its qubits: slots of ours that hold something are lost (`SlotBook.lose`)."""
        ...

    def peer_restarted(self, step: Step) -> None:
        """The other end came back with nothing: its halves of our pairs are gone."""
        ...


class HandUp(Protocol):
    """Give a pair to the layers above: its birth becomes a fact, and who waits for it is told."""

    def __call__(self, step: Step, pair: FreshPair) -> None: ...


class LetGo(Protocol):
    """Give up an own qubit that nobody above knows of: release it, free its slot, and attempt again.

    The other end is told that the pair is void when `tell` is true.
    """

    def __call__(self, step: Step, end: End, *, tell: bool) -> None: ...
