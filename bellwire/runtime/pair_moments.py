"""What a pair's life is told in: moments, qubits held, messages on their way; and the sentence for each fact.

Owns these records and the sentences. Refuses to gather anything (pair_life.py).
"""

from typing import Literal

import msgspec

from bellwire.core.facts import (
    Began,
    Born,
    Claimed,
    Corrected,
    Fact,
    Fused,
    Released,
    Sacrificed,
    Swapped,
    Verdict,
)
from bellwire.core.ids import End, LinkId, NodeId, RequestId

Kind = Literal[
    "window", "herald", "birth", "swap", "fusion", "purification", "correction", "claim", "release",
    "offer", "accept", "commit", "settled", "delivered", "used",
]  # fmt: skip
"""What a moment is about; each has its own mark in the pictures."""

PAULIS = "IZXY"


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to the pair at one node."""

    at_ns: int
    node: NodeId
    kind: Kind
    text: str
    ends: tuple[str, ...] = ()
    age_ns: int | None = None  # of the oldest constituent of the chain then; None: it is in no ledger
    fidelity: float | None = None  # estimate of that chain; None: likewise
    hops: int | None = None  # elementary pairs joined in that chain


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """A qubit of the pair in a memory slot, from its birth to its end."""

    node: NodeId
    end: str
    slot: int
    from_ns: int
    until_ns: int | None  # None: it never ended in the record


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """A message on its way from one node to another."""

    kind: str
    sender: NodeId
    receiver: NodeId
    sent_ns: int
    received_ns: int


class PairLife(msgspec.Struct, frozen=True, kw_only=True):
    """One pair of one request."""

    request: RequestId
    number: int
    nodes: tuple[NodeId, ...]  # along the chain, stations between the ends of their links
    moments: tuple[Moment, ...]  # by time
    holdings: tuple[Holding, ...]
    passages: tuple[Passage, ...]
    links: tuple[LinkId, ...]  # of the elementary pairs, along the chain
    heralded_ns: int  # the oldest constituent's herald
    delivered_ns: int
    settled_ns: int | None  # None: the record ends before
    fidelity: float | None  # as reported at delivery
    void: bool  # taken back: the qubit was lost before the commit arrived


def said(fact: Fact) -> tuple[Kind, str]:
    """What a fact is about, and its sentence."""
    match fact:
        case Born():
            where = f"slot {fact.slot}, frame {PAULIS[fact.frame]}"
            if (
                fact.oldest_ns is not None
            ):  # rounds on a link are the link layer's, which tells no facts of them
                older_ms = (fact.at_ns - fact.oldest_ns) / 1e6
                where = f"{where}; purified, its oldest pair is {older_ms:.4g} ms older"
            return "birth", f"half of {_pair(fact.end)} is born in {where}"
        case Swapped():
            joined = f"{_pair(fact.left)} and {_pair(fact.right)}"
            if fact.result == "ok":
                return "swap", f"swaps {joined}: outcome {PAULIS[fact.outcome]}"
            return "swap", f"swap of {joined}: {fact.result}"
        case Fused():
            result = f"bit {fact.bit}" if fact.result == "ok" else fact.result
            return "fusion", f"fuses {_pair(fact.measured)} into {_pair(fact.kept)}: {result}"
        case Sacrificed():
            return "purification", f"measures {_pair(fact.end)} for {_pair(fact.kept)}: bit {fact.bit}"
        case Verdict():
            word = "passed" if fact.passed else "failed"
            return "purification", f"round {fact.rounds} of {_pair(fact.end)} {word}"
        case Corrected():
            return "correction", f"applies {PAULIS[fact.pauli]} to its qubit of {_pair(fact.end)}"
        case Claimed():
            return "claim", f"claims {_pair(fact.end)} for {fact.request}"
        case Released():
            if fact.reason == "delivered":
                return "used", f"qubit of {_pair(fact.end)} handed over"
            return "release", f"releases its qubit of {_pair(fact.end)}: {fact.reason}"
        case Began():
            return "release", f"begins again as incarnation {fact.incarnation}"


def _pair(end: End) -> str:
    return f"{end.link} {end.attempt}.{end.lane}"
