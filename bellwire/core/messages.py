"""Messages: what nodes say to each other. The same classes in memory, in virtual time and on the wire.

Owns the message types and the schema version. Durations in messages are durations, never absolute deadlines;
`at_ns` is a time on the network's common clock.
"""

from typing import Literal

from bellwire.core.baseline_messages import (
    Datagram,
    DatagramHeard,
    Expire,
    LedgerAsked,
    LedgerTold,
    Track,
)
from bellwire.core.bell import Cost
from bellwire.core.facts import Fact
from bellwire.core.ids import End, NodeId, RequestId
from bellwire.core.instrument_messages import InstrumentMessage
from bellwire.core.link_messages import (
    AttemptsTold,
    AttemptsWanted,
    HeraldBound,
    HeraldReport,
    HeraldUnknown,
    HeraldWanted,
    LinkAdvertised,
    LinkReset,
    MemoryFree,
    PairsChecked,
    PairsCounted,
    PairsCountedHeard,
    PairsHeld,
    PairsKnown,
    PairsVoid,
    PairsVoidHeard,
    PurifyAnswer,
    PurifyHeard,
    PurifyVerdict,
    PurifyWanted,
    QueueAdd,
    QueueAnswer,
    QueueRemove,
    QueueRemoved,
    RegionTold,
    StockAssigned,
    StockTaken,
    WindowAnswer,
    WindowClosed,
    WindowOffer,
    WindowOpened,
)
from bellwire.core.plans import (
    BestOffer,
    Circumstances,
    EntanglementRequest,
    LinkRoom,
    NodePlan,
    RequestPlan,
)
from bellwire.core.record import TaggedWord
from bellwire.core.sequence_messages import (
    PairUse,
    PairUsed,
    PartsDropped,
    PartsGone,
    PartTold,
    PartWanted,
)
from bellwire.core.topology_messages import AnnouncementWanted, MapTold, NodeAnnounced

SCHEMA_VERSION = 9
"""Agreed in the channel's greeting; peers of different versions refuse each other."""


# ---- Global Entanglement Module: streams of facts


class FactBatch(TaggedWord, frozen=True, kw_only=True):
    """Consecutive facts of the sender's own stream."""

    incarnation: int  # of the author, who is the sender
    first: int  # sequence number of the first fact, counted from 1 in each incarnation
    facts: tuple[Fact, ...]
    base: int = 1  # the oldest sequence number that the author still remembers


class FactsWanted(TaggedWord, frozen=True, kw_only=True):
    """Send me your facts of this incarnation from this number on (a hole, or a newcomer)."""

    incarnation: int
    first: int
    about: End | None = None  # an end of yours that I should have heard of, and of which I hear from now on


class Watermark(TaggedWord, frozen=True, kw_only=True):
    """Digest for anti-entropy: how far the sender's own stream goes."""

    incarnation: int
    last: int


class EndNews(TaggedWord, frozen=True, kw_only=True):
    """The chain of this end, which I believe you own, changed by fact `number` of `author`'s stream.

    A node that no longer owns the end passes the news on to the owner of the end that took its place.
    Number 0: the sender does not know by which number the receiver knows the fact, if it does; it asks.
    """

    end: End
    author: NodeId
    incarnation: int
    number: int


class GroupNews(TaggedWord, frozen=True, kw_only=True):
    """Fact `number` of the sender's stream concerns a group in which you may have a qubit: look.

    Goes to every node of a plan for more than two, because groups merge at several nodes at once and none of
    these knows all members; hence nobody passes it on.
    """

    incarnation: int
    number: int


# ---- Distributed Entanglements layer


class PlanWanted(TaggedWord, frozen=True, kw_only=True):
    """The source asks the destination to compute a plan."""

    request: EntanglementRequest
    version: int
    circumstances: Circumstances
    strict: bool = False  # a way that is known to be broken is none; else it is taken where there is no other


class PlanProposed(TaggedWord, frozen=True, kw_only=True):
    """The destination's answer: a plan, or the reason why there is none."""

    request: RequestId
    version: int
    plan: RequestPlan | None
    reason: str  # "" when there is a plan
    final: bool  # nothing would help: no plan even on an idle network
    offer: BestOffer | None = (
        None  # the best that could be promised instead, None: nothing, or there is a plan
    )
    unreachable: bool = False  # there would be a way, but it is known to be broken


class PlanInstall(TaggedWord, frozen=True, kw_only=True):
    """The source asks a node to take (or renew) its part of a plan. Idempotent."""

    plan: NodePlan


class PlanAnswer(TaggedWord, frozen=True, kw_only=True):
    """A node took the plan, or refuses it."""

    request: RequestId
    version: int
    accepted: bool
    reason: str  # "" when accepted
    room: tuple[LinkRoom, ...] = ()  # refused for lack of room: what is left of the plan's links here


class PlanWithdrawn(TaggedWord, frozen=True, kw_only=True):
    """The source ends the plan everywhere."""

    request: RequestId
    version: int


# ---- Swapping layer


class RoundOver(TaggedWord, frozen=True, kw_only=True):
    """Textbook generation: the pair that covered you is gone, your resting memories may start again."""

    request: RequestId
    tree: int


class PurificationWanted(TaggedWord, frozen=True, kw_only=True):
    """The node of lower name asks for a round on two pairs that it shares with the receiver.

    Both pairs are complete in the sender's ledger, and both of its ends are locked for `lease_ns` from now.
    """

    request: RequestId
    tree: int
    number: int  # of the sender; with `kept` it names the round
    kept: End  # ends of the sender
    measured: End
    kept_far: End  # ends of the receiver
    measured_far: End
    rounds: int  # that the kept pair will have passed
    scheme: Literal["dejmps"]
    lease_ns: int  # from sending here, from measuring there


class PurificationAnswer(TaggedWord, frozen=True, kw_only=True):
    """The receiver has measured, which is its acceptance; or it cannot."""

    number: int
    kept: End  # of the asker
    accepted: bool
    bit: int | None  # None: refused, or the order failed
    at_ns: int | None  # of the measurement
    turned_ns: int | None  # when the qubits were turned, None: at `at_ns`


# ---- Transport layer: delivery (head = the source's end)


class Offer(TaggedWord, frozen=True, kw_only=True):
    """The head offers to deliver the pair of these two ends."""

    request: RequestId
    head_end: End
    tail_end: End
    mode: Literal["keep", "measure"]


class OfferAnswer(TaggedWord, frozen=True, kw_only=True):
    """The tail's answer. The frame is the tail's own view before correction; it must equal the head's."""

    request: RequestId
    head_end: End
    accepted: bool
    frame: int | None  # None: refused, or measured before the head's half was known here
    reason: str


class Commit(TaggedWord, frozen=True, kw_only=True):
    """The head has durably recorded the delivery; repeated until Settled."""

    request: RequestId
    head_end: End
    tail_end: End
    number: int  # delivered pairs of this request are numbered from 1 by the head
    frame: int
    signs: int  # estimated state at commit, relative to the frame
    cost: Cost
    at_ns: int
    born_ns: int  # creation time of the oldest constituent
    void: bool  # the head's qubit was lost: the pair does not count


class Aborted(TaggedWord, frozen=True, kw_only=True):
    """The head has no record of this delivery: it did not and will not happen."""

    request: RequestId
    head_end: End


class Settled(TaggedWord, frozen=True, kw_only=True):
    """The tail has durably recorded the delivery; void when its qubit was lost meanwhile."""

    request: RequestId
    head_end: End
    void: bool


class Inquiry(TaggedWord, frozen=True, kw_only=True):
    """A tail in doubt asks the head what became of an accepted offer."""

    request: RequestId
    head_end: End


# ---- Transport layer


class StoreTold(TaggedWord, frozen=True, kw_only=True):
    """The head of a super-link tells planners how much it has. A later `number` replaces an earlier one."""

    super_link: RequestId
    number: int  # counted by the sender in its incarnation
    pairs: int  # in store, claimed by nobody


# ---- Application layer


class TeleportOutcome(TaggedWord, frozen=True, kw_only=True):
    """What the source of a teleportation found; the destination mends its qubit by it."""

    request: RequestId
    number: int  # of the delivery
    outcome: int | None  # Pauli index 0..3 of the Bell measurement, None: it failed, the state is lost


Message = (
    FactBatch
    | FactsWanted
    | Watermark
    | EndNews
    | GroupNews
    | WindowOffer
    | WindowAnswer
    | WindowClosed
    | LinkReset
    | WindowOpened
    | HeraldReport
    | HeraldBound
    | HeraldUnknown
    | HeraldWanted
    | MemoryFree
    | QueueAdd
    | QueueAnswer
    | QueueRemove
    | QueueRemoved
    | PairsCounted
    | PairsCountedHeard
    | PairsVoid
    | PairsVoidHeard
    | PairsHeld
    | PairsKnown
    | StockAssigned
    | StockTaken
    | PurifyWanted
    | PurifyAnswer
    | PurifyVerdict
    | PurifyHeard
    | PairsChecked
    | LinkAdvertised
    | AttemptsWanted
    | AttemptsTold
    | RegionTold
    | NodeAnnounced
    | AnnouncementWanted
    | MapTold
    | PlanWanted
    | PlanProposed
    | PlanInstall
    | PlanAnswer
    | PlanWithdrawn
    | RoundOver
    | PurificationWanted
    | PurificationAnswer
    | Offer
    | OfferAnswer
    | Commit
    | Aborted
    | Settled
    | Inquiry
    | StoreTold
    | TeleportOutcome
    | PartWanted
    | PartTold
    | PairUse
    | PairUsed
    | PartsDropped
    | PartsGone
    | Datagram
    | DatagramHeard
    | Track
    | Expire
    | LedgerAsked
    | LedgerTold
)

BusMessage = Message | InstrumentMessage
"""What a frame of the bus may carry; a machine is told a `Message` only."""
