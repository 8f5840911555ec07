"""Messages of the baselines: quantum datagrams, tracks of virtual circuits, questions to a central ledger.

Owns the words of protocols that adaptive execution is compared with (algorithms.md 6.1, 6.2 and 10.5).
Refuses behaviour, which is `bellwire.baselines`.
"""

from bellwire.core.bell import Cost
from bellwire.core.ids import End, RequestId
from bellwire.core.record import TaggedWord, Word


class Datagram(TaggedWord, frozen=True, kw_only=True):
    """A quantum datagram: the pair that ends at the receiver now spans the whole way back to the source."""

    request: RequestId  # the flow
    tree: int
    sequence: int  # counted from 1 by the source
    head_end: End  # the source's half
    end: End  # the receiver's half
    frame: int  # Pauli index 0..3 of the pair, folded from heralds and measurements on the way
    started_ns: int  # when the source sent it
    marked: bool = False  # a node on the way had too many datagrams waiting (ECN)


class DatagramHeard(TaggedWord, frozen=True, kw_only=True):
    """The destination has a datagram: its pair can be used."""

    request: RequestId
    tree: int
    sequence: int
    started_ns: int  # as in the datagram
    marked: bool  # as in the datagram


class Track(TaggedWord, frozen=True, kw_only=True):
    """What became of a link pair of a circuit's end node, as far as the nodes up to the receiver know."""

    request: RequestId  # the circuit
    tree: int
    origin: End  # the half whose other end is looked for
    end: End  # the receiver's half of the pair that the origin's pair has become
    frame: int  # Pauli index 0..3, accumulated


class Expire(TaggedWord, frozen=True, kw_only=True):
    """The pair of this half was discarded on the way: its owner gives the half up."""

    request: RequestId
    tree: int
    origin: End


class ToldEnd(Word, frozen=True, kw_only=True):
    """What the centre's ledger has of one end."""

    end: End
    far: End | None  # None: one of three ends or more
    complete: bool
    dead: bool
    taken: bool
    frame: int
    oldest_ns: int
    request: RequestId | None
    tree: int
    hops: int
    signs: int  # estimated state as of the answer, Walsh signs
    cost: Cost  # the same, Walsh costs
    claimed_ns: int = 0  # when a pair of it came out of store, 0: none did


class LedgerAsked(TaggedWord, frozen=True, kw_only=True):
    """A node asks the centre before it decides about its ends. Asked again when no answer comes."""

    question: int  # the asker's own number, returned unchanged
    ends: tuple[End, ...]  # that the asker holds for the request


class LedgerTold(TaggedWord, frozen=True, kw_only=True):
    """The centre's answer. Ends that its ledger does not know are left out."""

    question: int
    as_of_ns: int
    ends: tuple[ToldEnd, ...]
