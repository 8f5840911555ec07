"""A pair on its way to the applications, as the head and as the tail remember it.

Owns the two records of volatile state. Refuses behaviour: head.py and tail.py move them.
"""

from dataclasses import dataclass, field
from typing import Literal

from bellwire.core.bell import Walsh
from bellwire.core.ids import End, NodeId, RequestId
from bellwire.core.link_words import Basis
from bellwire.transport.delivery_groups import Tails
from bellwire.transport.delivery_records import DeliveryRecord


@dataclass(slots=True)
class HeadPair:
    """One pair between the first offer and the tail's settlement."""

    request: RequestId
    peer: NodeId
    mode: Literal["keep", "measure"]
    head_end: End
    tail_end: End
    state: str
    slot: int | None  # None: restored from a record, the qubit is gone
    started_ns: int
    frame: int | None  # before correction, as seen here; None: not final yet
    walsh: Walsh
    born_ns: int
    tail_frame: int | None = None  # of the tail's answer
    tail_frame_differs: bool = False  # some tail of a group sees another frame than this node does
    basis: Basis | None = None  # of the measurement; None: kept
    bit: int | None = None
    record: DeliveryRecord | None = None
    void: bool = False  # the qubit of this side was lost after the decision
    repeats: int = 0
    others: Tails = ()  # further tails of a state of three and more
    frames: dict[NodeId, int] | None = None  # of its tails before correction, as seen here; None: a pair
    silent: set[NodeId] = field(default_factory=set[NodeId])  # tails of a group that owe a word

    @property
    def tails(self) -> Tails:
        """All tails with their ends; of a pair the one."""
        return ((self.peer, self.tail_end), *self.others)

    @property
    def asked(self) -> Tails:
        """Tails that owe a word: of a pair always the one."""
        return self.tails if not self.others else tuple(each for each in self.tails if each[0] in self.silent)

    @property
    def qubit_here(self) -> bool:
        """True while this node still has to end its qubit."""
        return self.state == "measuring" or (self.mode == "keep" and self.state in ("offered", "answered"))


@dataclass(slots=True)
class TailPair:
    """One pair between the head's first word (or the own measurement) and its record."""

    request: RequestId
    peer: NodeId
    mode: Literal["keep", "measure"]
    head_end: End
    tail_end: End
    state: str
    started_ns: int
    slot: int | None = None
    frame: int | None = None  # before correction, as seen here; None: not known here
    pauli: int = 0  # that the correction applies
    hadamard: bool = False  # gate before the correction: this node is a vertex of a graph that turns last
    grouped: bool = False  # end of a state of three and more: `frame` is that of this tail alone
    basis: Basis | None = None  # of the measurement; None: kept
    bit: int | None = None
    record: DeliveryRecord | None = None
    offered: bool = False  # an offer came while measuring
    unwanted: bool = False  # aborted while a device order was under way
    qubit_here: bool = False  # this node still has to end its qubit
    void: bool = False  # the pair does not count
