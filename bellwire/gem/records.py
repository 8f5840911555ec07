"""What the fold remembers: one record per living end, one shared record per chain.

Owns the two mutable record types. Refuses rules: what a fact does to them is written in `fold.py`.

A chain is a group of two: its outer ends `x` and `y`. Both records point to the one ChainRecord, so that a
swap pops two records and joins two chains without walking anything (architecture.md section 4). Larger groups
stand in `groups.py`.
"""

from bellwire.core.bell import Cost
from bellwire.core.facts import Born, Fused, Released, Swapped
from bellwire.core.ids import End, RequestId


class EndRecord:
    """One end that is named by some fact and has not ended."""

    __slots__ = ("born", "chain", "end", "ended", "incarnation", "opener")

    def __init__(
        self, end: End, chain: "ChainRecord", opener: Born | Released | Swapped | Fused | None
    ) -> None:
        self.end = end
        self.chain = chain
        self.born: Born | None = None  # None: only the other half of the pair is known so far
        self.incarnation = 0  # of the author at birth; meaningless while born is None
        self.opener = opener  # the other half's first fact, when that came first; None: ours came first
        self.ended = False  # released while its chain lives on at the other end


class ChainRecord:
    """The group of two outer ends that a sequence of swaps has joined; satisfies core.view.Chain.

    cost is kept unsaturated: costs are never negative, so the one cut at COST_MAX when somebody reads gives
    what saturating at every join would give (core.bell.join).
    """

    __slots__ = (
        "claimed_ns",
        "cost",
        "dated",
        "dead",
        "frame",
        "hops",
        "oldest_ns",
        "request",
        "sigma_ns",
        "signs",
        "taken",
        "tree",
        "unannounced",
        "x",
        "y",
    )

    frame: int
    x: EndRecord
    y: EndRecord

    def __init__(self, oldest_ns: int) -> None:
        self.frame = 0
        self.signs = 0
        self.cost: Cost = (0, 0, 0)
        self.dead = False
        self.unannounced = False  # something killed it that sends no word to the ends
        self.taken = False  # one half was delivered; the other half is still to be
        self.oldest_ns = oldest_ns  # from halves of side 0; from the other halves only while `dated` is False
        self.dated = False  # a half of side 0 has told the birth of at least one constituent
        self.sigma_ns = 0  # sum over the constituents' halves of side 0
        self.request: RequestId | None = None
        self.tree = 0
        self.claimed_ns = 0  # latest claim of a pair in store that is part of it; 0: none is
        self.hops = 1  # link pairs joined


GONE = ChainRecord(0)
"""Where a record points after it has ended: no cycle of references survives it, and it looks dead."""
GONE.dead = True
