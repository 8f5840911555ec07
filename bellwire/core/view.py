"""What parts may see of the ledger and of the memory slots: typed windows, no mechanism.

Owns row types and the protocols LedgerView (read only) and SlotBook (the only way to change a slot).
Implemented by `bellwire.gem` and `bellwire.node`.
"""

from collections.abc import Collection, Iterator
from typing import Literal, NamedTuple, Protocol

from bellwire.core.bell import Walsh
from bellwire.core.ids import End, LinkId, NodeId, QubitId, RequestId


class Entanglement(NamedTuple):
    """A row of the GEM: the paper's entry plus frame, hops and state. Both halves of every constituent are
    born."""

    end_nodes: tuple[NodeId, NodeId]
    request: RequestId | None
    created_ns: int  # birth of the oldest constituent
    age_ns: int
    fidelity: float  # estimate as of the query
    usage: str  # intended usage: "request/tree", or "unassigned"
    memories: tuple[QubitId, QubitId]
    ends: tuple[End, End]
    frame: int
    hops: int
    state: Walsh  # estimated state relative to the frame, as of the query


class Chain(Protocol):
    """The group of ends that one end belongs to, as a replica sees it."""

    frame: int
    dead: bool
    taken: bool  # an outer half was delivered; both of its facts are known
    oldest_ns: int
    claimed_ns: int  # when a pair of it came out of store, 0: none did; policies count its age from then
    request: RequestId | None
    tree: int
    hops: int


class LedgerView(Protocol):
    """Read access to one replica."""

    def far_end(self, end: End) -> End | None:
        """The other end of the chain, or None when this end is unknown, has ended, or is one of three."""
        ...

    def far_owner(self, end: End) -> NodeId | None:
        """The owner of the far end: known from the link map even before its half is born."""
        ...

    def members(self, end: End) -> tuple[End, ...]:
        """All ends of the group of an end, that end first; a pair's two, or those of a GHZ state."""
        ...

    def turned(self, end: End, other: End) -> int:
        """Pauli 0 or 2 that `other` needs so that its X error is that of `end`, both of one group."""
        ...

    def signs(self, end: End, centres: Collection[End]) -> dict[End, int]:
        """For all ends of the group of `end`: 1 where its graph state needs a Z, else 0; empty for a pair.

        centres: ends that no further Hadamard gate turns; all others are leaves that one still will.
        """
        ...

    def chain(self, end: End) -> Chain | None:
        """The chain of an end, or None when the end is unknown or already ended."""
        ...

    def complete(self, end: End) -> bool:
        """True when the chain is alive and both of its outer halves are born (then it is a row of the
        view)."""
        ...

    def rounds(self, end: End) -> int:
        """Rounds of purification that the pair of this end has passed since its last swap."""
        ...

    def judged(self, end: End, far: End) -> int:
        """Rounds in the latest passed verdict that the owner of `end` wrote about it, if that was about its
        pair with `far`; 0: none is known, or it was about another pair."""
        ...

    def state(self, end: End, now_ns: int) -> Walsh:
        """Estimated state relative to the frame, decayed to now. Needs a known end."""
        ...

    def available(self, now_ns: int) -> Iterator[Entanglement]:
        """All rows: the list of available pairs of the paper's second GEM interface."""
        ...


SlotState = Literal["free", "attempting", "held", "measuring", "locked", "offered", "resting", "lost"]
"""free -> attempting -> held -> measuring | locked | offered -> free; `resting` waits for the end of a round,
`lost` until the instrument is back."""


class SlotView(Protocol):
    """One memory slot as parts see it."""

    index: int
    state: SlotState
    generation: int
    link: LinkId  # that it serves; of a bank: that it served last
    lane: int
    end: End | None  # None unless the slot holds a born qubit
    request: RequestId | None
    tree: int
    born_ns: int  # from when its estimate counts (herald or last purification); meaningless without an end


class SlotBook(Protocol):
    """The one owner of qubits of a node. Every illegal change raises LocalMisuse."""

    @property
    def changes(self) -> int:
        """Grows with every change of a slot."""
        ...

    def slot(self, index: int) -> SlotView: ...

    def of_lane(self, link: LinkId, lane: int) -> SlotView | None:
        """The slot that serves a lane; of a bank: that attempts on it, None: none does."""
        ...

    def of_link(self, link: LinkId) -> tuple[SlotView, ...]:
        """The slots that a link may use: its own, or those of a bank."""
        ...

    def holding(self, end: End) -> SlotView | None:
        """The slot that holds this end in any state, or None."""
        ...

    def slots(self) -> tuple[SlotView, ...]: ...

    def attempt(self, index: int) -> int:
        """free -> attempting; returns the new generation."""
        ...

    def attempt_on(self, link: LinkId, lane: int) -> SlotView | None:
        """free -> attempting: the lane's own slot, or any of a bank. None: no slot is free, or every emitter
        of the node is at work."""
        ...

    def stand_down(self, index: int) -> None:
        """attempting -> free."""
        ...

    def hold(self, index: int, end: End, request: RequestId | None, tree: int, born_ns: int) -> None:
        """attempting -> held."""
        ...

    def measure(self, index: int) -> None:
        """held -> measuring."""
        ...

    def offer(self, index: int) -> None:
        """held -> offered."""
        ...

    def lock(self, index: int) -> None:
        """held -> locked: the qubit takes part in a purification."""
        ...

    def unlock(self, index: int, born_ns: int) -> None:
        """locked -> held: the purification is over and the qubit stays; its estimate counts from
        `born_ns`."""
        ...

    def bind(self, index: int, request: RequestId | None, tree: int) -> None:
        """held, same state: the qubit serves another request from now on."""
        ...

    def rest(self, index: int) -> None:
        """measuring -> resting."""
        ...

    def free(self, index: int) -> None:
        """any state but free -> free."""
        ...

    def lose(self, index: int) -> None:
        """any state -> lost: the instrument forgot the qubit."""
        ...
