"""What happened to qubits: the half facts from which the Global Entanglement Module folds its view.

Owns the fact types. A node writes only about qubits that it owns, each end is born once and ends once, both
by its owner (architecture.md section 4). Refuses interpretation: folding is done by `bellwire.gem`.
"""

from typing import Literal

from bellwire.core.bell import Cost
from bellwire.core.ids import End, RequestId
from bellwire.core.record import TaggedWord

ReleaseReason = Literal[
    "dead",  # the chain failed elsewhere
    "cutoff",  # waited longer than its plan allows
    "delivered",  # handed to the application, or measured for it
    "unusable",  # heralded for a slot that was no longer attempting
    "partner_lost",  # the owner of the far end is judged lost
    "device_lost",  # the instrument that held the qubit was reset or vanished
    "withdrawn",  # the plan that wanted it has ended
]


class Born(TaggedWord, frozen=True, kw_only=True):
    """This end of a link pair exists. Pair attributes (state, time) count from the half of side 0."""

    end: End
    slot: int  # memory address at the owner
    generation: int  # use counter of that slot
    request: RequestId | None  # None: not bound to a request (pre-distributed)
    tree: int  # which tree of the request's plan; 0 is the first
    frame: int  # Pauli index 0..3 of the heralded Bell state relative to Phi+
    signs: int  # estimated state at birth relative to the frame, Walsh signs
    cost: Cost  # estimated state at birth, Walsh costs (2**-56 neper)
    rates: Cost  # decay of this half's own qubit (2**-56 neper per ns)
    at_ns: int  # when the herald happened; of a purified pair, when this end's last round measured
    sigma_ns: int  # its uncertainty
    oldest_ns: int | None = None  # herald of the oldest pair that went into a purified one, None: at_ns

    @property
    def since_ns(self) -> int:
        """When the oldest constituent was heralded: from then on the pair has aged."""
        return self.at_ns if self.oldest_ns is None else self.oldest_ns


class Swapped(TaggedWord, frozen=True, kw_only=True):
    """A Bell-state measurement on two own ends. It ends both; on success their far ends are joined."""

    left: End
    right: End
    result: Literal["ok", "failed", "unknown"]
    outcome: int  # reported Pauli index 0..3; 0 unless the result is ok
    signs: int  # Walsh signs of what the measurement and the waiting of both own qubits did
    cost: Cost  # the same, costs: gate and readout noise plus rates x waiting time of both own qubits
    at_ns: int


class Fused(TaggedWord, frozen=True, kw_only=True):
    """A fusion of two groups at a node that stays: CNOT from kept to measured, then Z of measured (4.1).

    It ends `measured`, and on success joins both groups into one in which `kept` stands for this node; any
    other result ends both. A node that leaves writes `Swapped`: a Bell measurement is the same CNOT, with
    Z of the one and X of the other (outcome bit 1 and bit 0).
    """

    kept: End
    measured: End
    result: Literal["ok", "failed", "unknown"]
    bit: int  # as read, 0: eigenvalue +1; 0 unless the result is ok
    kept_cost: Cost  # Walsh costs of what the gate did to the kept qubit's group
    measured_cost: Cost  # the same of the measured qubit: its waiting, the gate and the readout
    mixed_cost: int  # -log of the weight with which the gate left both qubits unmixed (2**-56 neper)
    at_ns: int


class Sacrificed(TaggedWord, frozen=True, kw_only=True):
    """This own end was measured in a round of purification for `kept`. It ends, and its pair is no more."""

    end: End
    kept: End  # own end of the pair that the round is to improve
    bit: int | None  # as read in Z, 0: eigenvalue +1; None: the order failed, or nobody knows
    at_ns: int


class Verdict(TaggedWord, frozen=True, kw_only=True):
    """The end of a round of purification, by the one of its two nodes that asked for it.

    A map that is not linear is computed once, by the author, and written as differences: the kept pair's
    state at any later time is what it would have been without the round, and these added. A round that did
    not pass kills the kept pair; its numbers are zero then.
    """

    end: End  # own end of the kept pair
    far: End  # its other end
    passed: bool
    rounds: int  # that the pair from `end` to `far` has passed, this one included
    frame: int  # Pauli index 0..3 that is added to the frame
    signs: int  # added Walsh signs
    cost: Cost  # added Walsh costs, below zero where the round has improved the pair
    oldest_ns: int  # birth of the oldest constituent of both pairs
    at_ns: int  # of the author's measurement


class Corrected(TaggedWord, frozen=True, kw_only=True):
    """A physical Pauli was applied to this own end, after a Hadamard gate or without."""

    end: End
    pauli: int  # Pauli index 0..3
    at_ns: int
    hadamard: bool = False  # a Hadamard gate came first: the end is a vertex of a graph state from then on


class Claimed(TaggedWord, frozen=True, kw_only=True):
    """The chain of this own end was in store and serves a request from now on.

    Written by the head of the super-link alone; its far owner learns of it from the ledger.
    """

    end: End
    request: RequestId
    tree: int
    at_ns: int


class Released(TaggedWord, frozen=True, kw_only=True):
    """This own end is gone. Any reason but `delivered` kills the chain it belonged to."""

    end: End
    reason: ReleaseReason
    at_ns: int


class Began(TaggedWord, frozen=True, kw_only=True):
    """The author (re)started: every older end of the author that is not listed is gone."""

    incarnation: int
    survivors: tuple[End, ...]
    at_ns: int


Fact = Born | Swapped | Fused | Sacrificed | Verdict | Corrected | Claimed | Released | Began


def ends_named(fact: Fact) -> tuple[End, ...]:
    """The ends of its author that a fact is about."""
    if type(fact) is Swapped:
        return (fact.left, fact.right)
    if type(fact) is Fused:
        return (fact.kept, fact.measured)
    if type(fact) is Born or type(fact) is Released or type(fact) is Corrected:
        return (fact.end,)
    if type(fact) is Sacrificed:
        return (fact.end, fact.kept)
    if type(fact) is Verdict or type(fact) is Claimed:
        return (fact.end,)
    assert isinstance(fact, Began)
    return fact.survivors


def ends_ended(fact: Fact) -> tuple[End, ...]:
    """The ends of its author of which nothing is left after a fact."""
    if type(fact) is Swapped:
        return (fact.left, fact.right)
    if type(fact) is Released or type(fact) is Sacrificed:
        return (fact.end,)
    if type(fact) is Fused:
        return (fact.measured,) if fact.result == "ok" else (fact.measured, fact.kept)
    return ()
