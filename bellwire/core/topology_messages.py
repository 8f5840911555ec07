"""What nodes announce of themselves, and how they find out whether their maps agree.

Owns the words of topology management (review, section 4.1). Refuses to judge them: what two ends say of one
link is compared by the map (planner/network_map.py).
"""

from typing import Literal

from bellwire.core.ids import LinkId, NodeId
from bellwire.core.link_words import LinkVerdict
from bellwire.core.record import TaggedWord, Word

LinkCondition = Literal["up", "suspect", "down", "degraded"]
"""What an end of a link believes of it. degraded: it makes pairs, but not as they should be."""


class PointClaim(Word, frozen=True, kw_only=True):
    """How fast and how good a link is at one operating point, as one end has it from its lab file or from a
    calibration."""

    name: str
    success_probability: float  # of one joint attempt of one lane
    fidelity: float  # of a fresh pair, mean over herald codes


class LinkVerification(Word, frozen=True, kw_only=True):
    """The latest quantum ping of a link (docs/topology.md)."""

    verdict: LinkVerdict
    fidelity_wanted: float
    pairs: int  # measured
    fidelity: float
    fidelity_low: float  # 95 % interval
    fidelity_high: float
    at_ns: int  # of the last pair


class LinkClaim(Word, frozen=True, kw_only=True):
    """What an end of a link, or its station, says of it."""

    link: LinkId
    nodes: tuple[NodeId, NodeId]  # side 0, side 1
    station: NodeId | None
    architecture: str
    period_ns: int
    lanes: int
    length_km: float
    points: tuple[PointClaim, ...]  # from dim to bright
    success_error: float | None  # standard error of the success probabilities, None: a lab file's guess
    fidelity_error: float | None  # likewise of the fidelities
    condition: LinkCondition = "up"
    reason: str = ""  # "" while nothing is wrong
    verification: LinkVerification | None = None  # None: never


class MemoryClaim(Word, frozen=True, kw_only=True):
    """The quantum memory of a node."""

    slots: int  # that links use
    own_slots: int  # of applications
    emitters: int | None  # slots that may attempt at the same time, None: all


class NodeAnnounced(TaggedWord, frozen=True, kw_only=True):
    """A node says what it is and what it can do. A later `number` replaces an earlier one."""

    node: NodeId  # the sender: nobody speaks for others
    number: int  # counted from 1 in each incarnation of the sender
    role: Literal["end", "repeater", "station"]
    relays: bool  # may swap for others
    region: str
    software: str  # version of bellwire
    schema: int  # of messages
    memory: MemoryClaim | None  # None at stations
    links: tuple[LinkClaim, ...]
    leaving: str | None = None  # why the node leaves, None: it stays


class AnnouncementWanted(TaggedWord, frozen=True, kw_only=True):
    """Say again what you are: your latest announcement did not arrive here."""

    number: int  # the latest of the receiver's incarnation that is known here, 0: none


class MapTold(TaggedWord, frozen=True, kw_only=True):
    """How far the sender's own announcements go, and what its map makes of everybody's."""

    number: int
    digest: str  # equal digests: equal maps
