"""Messages of the baselines: quantum datagrams, and the tracks of virtual circuits.

Owns the words of protocols that adaptive execution is compared with (algorithms.md 6.1 and 10.5). Refuses
behaviour, which is `bellwire.baselines`.
"""

from bellwire.core.ids import End, RequestId
from bellwire.core.record import TaggedWord


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
