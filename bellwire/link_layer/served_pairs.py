"""Pairs that a CREATE took, and the book of what it has: values without behaviour towards anybody.

Owns one pair's way (kept or measured, numbered, shared, told) and one item's count at one end, and makes the
words of OK from them. Refuses orders, messages and time-keeping (creates.py).
"""

from typing import Literal, TypedDict

from bellwire.core.bell import fidelity_of
from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import End, LinkId, NodeId
from bellwire.core.link_words import Basis, LinkOkKeep, LinkOkMeasure
from bellwire.core.units import NS_PER_S
from bellwire.link_layer.queue import Item
from bellwire.link_layer.uses import FreshPair

PairState = Literal["kept", "measuring", "measured", "released", "lapsed"]
"""kept: in the memory. released: given back by its user. lapsed: its time was over, as its user knows."""


class ServedPair:
    """One end's half of a pair that serves a CREATE."""

    __slots__ = (
        "basis",
        "bit",
        "fresh",
        "item",
        "sequence",
        "settled",
        "shared",
        "state",
        "told",
        "until_ns",
        "wanted",
    )

    def __init__(self, fresh: FreshPair, item: Item) -> None:
        self.fresh = fresh
        self.item = item
        self.state: PairState = "kept"
        self.sequence: int | None = None  # None: side 0 has not counted it yet
        self.shared = False  # the other end has its half too, and knows of ours
        self.settled = False  # both ends have it in full (side 0)
        self.told = False
        self.wanted = True  # False: void, but its measurement is still in flight
        self.basis: Basis | None = None  # None: kept
        self.bit: int | None = None
        self.until_ns: int | None = None  # then it is given up

    @property
    def end(self) -> End:
        """The own half."""
        return self.fresh.end


class Serving:
    """What an item has at this end."""

    __slots__ = ("counted", "ever_told", "item", "last", "live", "live_ns", "settled", "told")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.live = False  # the link attempts for it
        self.live_ns = 0  # since when
        self.last = 0  # number given last (side 0)
        self.counted = 0  # numbered pairs that are not void
        self.settled = 0  # of these, those that both ends have in full (side 0)
        self.told = 0  # of these, those that the user was told
        self.ever_told = 0

    @property
    def batched(self) -> bool:
        """True when no OK is told before all can be: not consecutive, or kept atomically."""
        asked = self.item.asked
        return not asked.consecutive or (asked.atomic and asked.kind == "keep")

    def room(self, now_ns: int) -> int:
        """Pairs that are wanted now. A rate wants one at once and then keeps its pace."""
        asked = self.item.asked
        if asked.count is not None:
            return asked.count - self.counted
        assert asked.rate_hz is not None
        due = 1 + int((now_ns - self.live_ns) * asked.rate_hz / NS_PER_S)
        return max(0, due - self.counted)

    def number(self, pair: ServedPair, sequence: int | None = None) -> int:
        """Count a pair under a number of side 0; at side 0 itself under the next one."""
        pair.sequence = self.last = self.last + 1 if sequence is None else sequence
        self.counted += 1
        return pair.sequence

    def settle(self, pair: ServedPair) -> None:
        """Both ends have a pair in full."""
        if not pair.settled:
            pair.settled = True
            self.settled += 1

    def tell(self, pair: ServedPair) -> None:
        """The user has been told of a pair."""
        pair.told = True
        self.told += 1
        self.ever_told += 1

    def void(self, pair: ServedPair) -> None:
        """A pair does not count any more; its number is not used again."""
        self.counted -= pair.sequence is not None
        self.settled -= pair.settled
        self.told -= pair.told

    def complete(self) -> bool:
        """Side 0: both ends have the whole number."""
        return self.item.asked.count is not None and self.settled >= self.item.asked.count


class OkFields(TypedDict):
    """What OK-K and OK-M say alike."""

    link: LinkId
    origin: NodeId
    create: int
    asked_here: bool
    end: End
    sequence: int
    frame: int
    purpose: int
    remote: NodeId
    goodness: float
    goodness_at_ns: int
    born_ns: int


def ok_fields(link: LinkId, remote: NodeId, pair: ServedPair, made_ns: int) -> OkFields:
    """What both say. made_ns: when the estimate was made. It is of the time of the herald; whoever uses the
    qubit later lets it age from there.

    Raises:
        LocalMisuse: the pair has no number yet.
    """
    fresh, item = pair.fresh, pair.item
    if pair.sequence is None:
        raise LocalMisuse(f"{fresh.end} has no number and cannot be told")
    return OkFields(
        link=link,
        origin=item.origin,
        create=item.asked.create,
        asked_here=item.here,
        end=fresh.end,
        sequence=pair.sequence,
        frame=fresh.frame,
        purpose=item.asked.purpose,
        remote=remote,
        goodness=fidelity_of(fresh.state),
        goodness_at_ns=made_ns,
        born_ns=fresh.at_ns,
    )


def ok_keep(link: LinkId, remote: NodeId, pair: ServedPair, made_ns: int) -> LinkOkKeep:
    """OK-K of a numbered pair. made_ns: when the estimate was made."""
    return LinkOkKeep(slot=pair.fresh.slot, **ok_fields(link, remote, pair, made_ns))


def ok_measure(link: LinkId, remote: NodeId, pair: ServedPair, made_ns: int) -> LinkOkMeasure:
    """OK-M of a numbered pair. made_ns: when the estimate was made. The bit is raw and the frame stands
    beside it (bases.py).

    Raises:
        LocalMisuse: the pair was not measured.
    """
    if pair.basis is None or pair.bit is None:
        raise LocalMisuse(f"{pair.end} is not measured and cannot be told")
    return LinkOkMeasure(basis=pair.basis, bit=pair.bit, **ok_fields(link, remote, pair, made_ns))
