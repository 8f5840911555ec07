"""The paper's two GEM interfaces as plain functions: one pair's entry, and what is available.

Owns the entry's fields (stack paper, appendix G, data structure). Refuses state: it only reads a ledger.
"""

from typing import TypedDict

from bellwire.core.bell import fidelity_of
from bellwire.core.facts import Began, Fact, Fused, Swapped
from bellwire.core.ids import End, NodeId, QubitId, RequestId
from bellwire.core.view import Entanglement
from bellwire.gem.ledger import Ledger, usage_of


class Entry(TypedDict):
    """One entangled pair as the paper's GEM lists it. Times in ns on the network's clock."""

    end_nodes: tuple[NodeId, NodeId]
    request: RequestId | None  # None: unassigned
    created_ns: int  # birth of the oldest constituent
    age_ns: int
    fidelity: float  # estimate, 0..1
    usage: str  # "request/tree" or "unassigned"
    memories: tuple[QubitId | None, QubitId | None]  # None: that half is not known yet, or has ended


def entry_of(ledger: Ledger, end: End, now_ns: int) -> Entry | None:
    """The entry of the pair that ends in `end`; None when `end` is unknown, ended or of a dead chain."""
    chain = ledger.chain(end)
    far = ledger.far_end(end)
    if chain is None or far is None or chain.dead:
        return None
    one, two = sorted((end, far))
    return Entry(
        end_nodes=(ledger.owner(one), ledger.owner(two)),
        request=chain.request,
        created_ns=chain.oldest_ns,
        age_ns=now_ns - chain.oldest_ns,
        fidelity=fidelity_of(ledger.state(end, now_ns)),
        usage=usage_of(chain),
        memories=(ledger.qubit(one), ledger.qubit(two)),
    )


def entries_before(ledger: Ledger, update: Fact, now_ns: int) -> tuple[Entry, ...]:
    """The entries that an update (paper: EP update notification) is about, as they stand before it is folded.

    A birth has none before; a swap or a fusion has the two pairs that it consumes.
    """
    if isinstance(update, Swapped):
        ends: tuple[End, ...] = (update.left, update.right)
    elif isinstance(update, Fused):
        ends = (update.kept, update.measured)
    elif isinstance(update, Began):
        ends = ()
    else:
        ends = (update.end,)
    found = (entry_of(ledger, end, now_ns) for end in ends)
    return tuple(entry for entry in found if entry is not None)


def available(ledger: Ledger, now_ns: int) -> list[Entanglement]:
    """The complete list of currently available entanglements, ordered by the names of their ends."""
    return ledger.rows(now_ns)
