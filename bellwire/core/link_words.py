"""Words of the link service: what a user asks of one link, and what it is answered (algorithms.md 10.1).

Owns CREATE, its answers ACK, OK, ERR and EXPIRE, and the item that both ends hold of a CREATE. The draft's
bit layout is `bellwire.link_layer.draft_words`. Refuses behaviour.
"""

from typing import Literal

from bellwire.core.ids import End, LinkId, NodeId, RequestId
from bellwire.core.record import TaggedWord, Word

LinkErrorCode = Literal["UNSUPP", "CREATE", "REJECTED", "OTHER", "EXPIRE", "TIMEOUT", "NOTIME", "NORES"]
"""Why a CREATE, or a pair that was already told, failed. UNSUPP: the fidelity or the time cannot be reached.
CREATE: the CREATE itself is wrong (partner, number, unit). REJECTED: an end's queue rules refuse it. OTHER:
anything else. EXPIRE: an OK is taken back. TIMEOUT: the deadline passed. NOTIME: the other end did not answer
in time. NORES: the queue is full."""

Basis = Literal["X", "Y", "Z", "Z+45", "Z-45"]
"""Measured observable; Z+45 and Z-45 are (Z +- X)/sqrt 2, the CHSH bases."""

LinkVerdict = Literal["yes", "no", "undecided"]
"""Whether a link entangles at a stated fidelity now, by a quantum ping."""

PRIORITIES: int = 8
"""Priorities of the draft: 0..7, a higher one is served sooner."""

MEASURED_OFF = (0, 0, 0)
"""No rotation before a measurement."""


class BasisChoice(Word, frozen=True, kw_only=True):
    """How one end chooses its basis, pair by pair (RL or RR of the draft)."""

    random: Literal["none", "XZ", "XYZ", "CHSH"] = "none"
    first: int = 255  # PL1/PR1: weight of the first basis, of 255
    second: int = 0  # PL2/PR2: weight of the second basis, of 255 (three bases only)
    rotation: tuple[int, int, int] = MEASURED_OFF  # X-Y-X, units of 2 pi / 256, before a Z measurement


class LinkCreate(Word, frozen=True, kw_only=True):
    """CREATE: a user at one end of a link asks for pairs with the other end.

    Give `count` (a number of pairs), or `rate_hz` (pairs per second until the deadline).
    """

    create: int  # id that the user chose, 0..65535, unique at this node while it lives
    partner: NodeId
    purpose: int = 0  # 0..65535: queue rules accept or reject by it
    kind: Literal["keep", "measure"] = "keep"
    count: int | None = None
    rate_hz: float | None = None
    fidelity_min: float | None = None  # None: whatever the link gives
    within_ns: int | None = None  # allowed time from CREATE to the last OK, None: Timers.request_ns
    priority: int = 0  # 0..7, higher is sooner
    weight: int = 1  # share beside others of the same priority, 1..WEIGHTS_MAX
    atomic: bool = False  # all pairs in one go: for keep, all in memory together
    consecutive: bool = True  # an OK for each pair; else one at the end (for keep with all pairs in memory)
    local: BasisChoice = BasisChoice()
    remote: BasisChoice = BasisChoice()
    hold_ns: int | None = None  # a kept qubit that is not released by then is given up, None: age limit only


class LinkItem(Word, frozen=True, kw_only=True):
    """One CREATE as both ends hold it in the shared queue."""

    origin: NodeId
    asked: LinkCreate
    ticket: int  # counted by the origin: users choose an id again when the CREATE that had it has ended
    queue: int  # number of the queue: its priority class
    number: int | None  # place in the queue, given by side 0 and equal at both ends; None: asks for one
    left_ns: int  # time left to the deadline when the message was written

    @property
    def request(self) -> RequestId:
        """Under this name the item stands in windows and in the ledger."""
        return item_name(self.origin, self.asked.create, self.ticket)


def item_name(origin: NodeId, create: int, ticket: int) -> RequestId:
    """The name of a CREATE in windows, slots and ledger: no request of a user has a colon in its name."""
    return f"create:{origin}:{create}:{ticket}"


class LinkAck(TaggedWord, frozen=True, kw_only=True):
    """ACK: both ends have the CREATE in their queue."""

    link: LinkId
    create: int
    queue: int
    number: int


class LinkOkKeep(TaggedWord, frozen=True, kw_only=True):
    """OK-K: a pair is in memory."""

    link: LinkId
    origin: NodeId  # with `create` the CREATE that it is for
    create: int
    asked_here: bool  # D of the draft, inverted: this end sent the CREATE
    end: End  # with the other end's: the entanglement id
    sequence: int  # number of this pair within its CREATE, from 1; equal at both ends once told
    slot: int
    frame: int  # Pauli index 0..3 relative to Phi+
    purpose: int
    remote: NodeId
    goodness: float  # estimated fidelity at `born_ns`
    goodness_at_ns: int  # when the estimate behind it was made, 0: the lab file's value
    born_ns: int


class LinkOkMeasure(TaggedWord, frozen=True, kw_only=True):
    """OK-M: a pair was measured at this end."""

    link: LinkId
    origin: NodeId
    create: int
    asked_here: bool
    end: End
    sequence: int
    basis: Basis
    bit: int  # 0: eigenvalue +1
    frame: int  # of the pair: the bits of both ends follow from the Bell state that it names
    purpose: int
    remote: NodeId
    goodness: float
    goodness_at_ns: int
    born_ns: int


class LinkDone(TaggedWord, frozen=True, kw_only=True):
    """The CREATE has ended well: its whole number was told with OK, or the time of a rate is over."""

    link: LinkId
    origin: NodeId
    create: int
    pairs: int


class LinkErr(TaggedWord, frozen=True, kw_only=True):
    """ERR: the CREATE failed, or (EXPIRE) pairs that were told are taken back."""

    link: LinkId | None  # None: no link leads to the partner
    origin: NodeId
    create: int
    code: LinkErrorCode
    where: Literal["local", "remote"]
    reason: str  # for people
    ends: tuple[End, ...] = ()  # EXPIRE: own ends of the pairs that do not exist


LinkAnswer = LinkAck | LinkOkKeep | LinkOkMeasure | LinkDone | LinkErr
