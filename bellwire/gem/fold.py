"""The fold: facts in, chains out, in any order that keeps each author's own order.

Owns what each kind of fact does to the records. Refuses streams, holes and repeated facts (`streams.py`), and
every decision about qubits.

The result depends on the set of facts alone. What makes that hold, rule by rule (architecture.md section 4):

- Frames, signs and costs are sums. A pair's state, time and label count from the half of side 0, its frame
  from whichever half came first; two halves that name different frames kill the chain.
- Deaths are flags that only grow: failed or unknown swaps, releases other than `delivered`, two different
  requests in one chain, a restart of an owner.
- `Began` closes the author's ends that were born before it, and those not yet born that existed by then,
  whether their other half is folded before or after it. At side 0 the run of the link tells which those are:
  it names the author's incarnation, and clocks may be wrong. At side 1 it is those whose other half was born
  before the latest `at_ns` of the author's beginnings. An author therefore never writes
  about a pair that was heralded before its own latest `Began`, except about the survivors it listed there,
  and `Released.at_ns` of a half that was never born is the time of its herald.
- A fusion joins two chains into a group (`groups.py`); what kills a chain kills the group, for all members.
- Labels form a lattice: none, then the reserved ids of pairs in store, then requests; a join takes the
  higher of two, and two different requests kill the chain. A claim is a label like any other. So a pair in
  store joins any request, and no order of facts matters (docs/adr/0023).
- A verdict adds to frame, signs and costs of its pair, as a sum like any other, and tells an age as a half of
  side 0 does. An end that was sacrificed takes its pair with it.
- A pair is forgotten when both of its ends have ended. A missing end whose partner is recorded has ended.
"""

from collections.abc import Callable
from typing import Final

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
from bellwire.core.ids import End, LinkId, NodeId, end_of, incarnation_of, run_number
from bellwire.core.plans import is_pre_distributed
from bellwire.gem.groups import GroupRecord, group_of, united
from bellwire.gem.ledger import Beginning, Ledger
from bellwire.gem.records import GONE, ChainRecord, EndRecord

NOT_BEGUN: Final = Beginning(0, -1, frozenset())
"""Of an author whose `Began` nobody told here: nothing precedes it."""


class Fold(Ledger):
    """One replica's state. `owner_of(link, side)` is the link map; it must know every link that facts name.

    Counters, for health and tests: `refused` (facts about an end that has ended, or of an older incarnation),
    `frames_differ` (halves of one pair that name different frames), `labels_differ` (joins of two requests).
    """

    __slots__ = (
        "_incarnations",
        "_latest_began_ns",
        "_latest_run",
        "frames_differ",
        "labels_differ",
        "refused",
    )

    def __init__(self, owner_of: Callable[[LinkId, int], NodeId]) -> None:
        super().__init__(owner_of)
        self._incarnations: dict[NodeId, int] = {}
        # No birth is older, and no run: both spare the look at the partner's owner.
        self._latest_began_ns = -1
        self._latest_run = 0
        self.refused = 0
        self.frames_differ = 0
        self.labels_differ = 0

    def apply(self, author: NodeId, incarnation: int, fact: Fact) -> tuple[End, ...]:
        """Fold one fact of `author`, in its author's order; each fact once.

        Returns the born and living ends whose chain changed or died by it.
        """
        if self._incarnations.get(author) != incarnation and not isinstance(fact, Began):
            return self._apply_unannounced(author, incarnation, fact)
        # Words have no subclasses, and isinstance that says no costs five times as much with a Struct.
        if type(fact) is Born:
            return self._born(incarnation, fact)
        if type(fact) is Swapped:
            return self._swapped(fact)
        if type(fact) is Released:
            return self._released(fact)
        if type(fact) is Corrected:
            return self._corrected(fact)
        if type(fact) is Fused:
            return self._fused(fact)
        if type(fact) is Sacrificed:
            return self._sacrificed(fact)
        if type(fact) is Verdict:
            return self._judged(fact)
        if type(fact) is Claimed:
            return self._claimed(fact)
        assert isinstance(fact, Began)
        return self._began(author, fact)

    def forget(self, before_ns: int) -> int:
        """Drop spent records of halves that never came, opened before `before_ns`; returns how many.

        The horizon for authors that never tell their half (architecture.md section 4, forgetting). No query
        about a born and living end can see such a record.
        """
        lost = [
            end
            for end, record in self.ends.items()
            if record.born is None
            and (record.chain.dead or record.chain.taken)
            and record.opener is not None
            and _since_ns(record.opener) < before_ns
        ]
        for end in lost:
            self._end(self.ends.pop(end))
        return len(lost)

    def _apply_unannounced(self, author: NodeId, incarnation: int, fact: Fact) -> tuple[End, ...]:
        known = self._incarnations.get(author)
        if known is not None and incarnation < known:
            self.refused += 1
            return ()
        # The author's Began was skipped: it no longer remembers it. What it held before is gone anyway.
        touched = () if known is None else self._close_older(author, frozenset())
        self._incarnations[author] = incarnation
        return touched + self.apply(author, incarnation, fact)

    def _born(self, incarnation: int, fact: Born) -> tuple[End, ...]:
        end = fact.end
        since_ns = fact.oldest_ns
        if since_ns is None:
            since_ns = fact.at_ns
        record = self.ends.get(end)
        if record is None:
            record = self._open(end, fact, since_ns)
            if record is None:
                self.refused += 1
                return ()
            record.born = fact
            record.incarnation = incarnation
            chain = record.chain
            chain.frame = fact.frame
            if end.side == 0:
                chain.signs = fact.signs
                chain.cost = fact.cost
                chain.sigma_ns = fact.sigma_ns
                chain.dated = True
                chain.request = fact.request
                chain.tree = 0 if fact.request is None else fact.tree
            return (end,)
        if record.born is not None:
            self.refused += 1
            return ()
        chain = record.chain
        opener = record.opener
        if type(chain) is GroupRecord:
            return self._born_into(chain, record, incarnation, fact, since_ns)
        if type(opener) is not Born:
            chain.frame ^= fact.frame
        elif opener.frame != fact.frame:
            chain.dead = chain.unannounced = True
            self.frames_differ += 1
        if since_ns < self._latest_began_ns or end.run < self._latest_run:
            self._close_partner(end, since_ns)
        record.born = fact
        record.incarnation = incarnation
        if end.side == 0:
            chain.signs ^= fact.signs
            a1, a2, a3 = chain.cost
            b1, b2, b3 = fact.cost
            chain.cost = (a1 + b1, a2 + b2, a3 + b3)
            chain.sigma_ns += fact.sigma_ns
            if not chain.dated or since_ns < chain.oldest_ns:
                chain.oldest_ns = since_ns
                chain.dated = True
            request = fact.request
            if request is not None:
                self._label(chain, request, fact.tree)
        elif not chain.dated and since_ns < chain.oldest_ns:
            chain.oldest_ns = since_ns
        far = chain.y if chain.x is record else chain.x
        return (end,) if far.born is None or far.ended else (end, far.end)

    def _born_into(
        self, group: GroupRecord, record: EndRecord, incarnation: int, fact: Born, since_ns: int
    ) -> tuple[End, ...]:
        """A half told after its other half was fused, or after that one's far end was."""
        opener = record.opener
        if not isinstance(opener, Born):
            group.turn(fact.end, fact.frame)
        elif opener.frame != fact.frame:
            group.dead = group.unannounced = True
            self.frames_differ += 1
        if since_ns < self._latest_began_ns or fact.end.run < self._latest_run:
            self._close_partner(fact.end, since_ns)
        record.born = fact
        record.incarnation = incarnation
        group.bear(record, fact)
        if fact.end.side == 0:
            group.sigma_ns += fact.sigma_ns
            if not group.dated or since_ns < group.oldest_ns:
                group.oldest_ns = since_ns
                group.dated = True
            if fact.request is not None:
                self._label(group, fact.request, fact.tree)
        elif not group.dated and since_ns < group.oldest_ns:
            group.oldest_ns = since_ns
        return (fact.end, *group.others(record))

    def _swapped(self, fact: Swapped) -> tuple[End, ...]:
        left = self.ends.pop(fact.left, None)
        right = self.ends.pop(fact.right, None)
        if left is None or right is None:
            left = left or self._take_unknown(fact.left, fact)
            right = right or self._take_unknown(fact.right, fact)
            if left is None or right is None:
                # One half had ended before: nothing can be joined, and the other half is spent.
                self.refused += 1
                return self._kill(left or right)
        chain = left.chain
        joined = right.chain
        if self.grouped and (type(chain) is GroupRecord or type(joined) is GroupRecord):
            return self._join_groups(left, right, fact)
        if chain is joined:
            # The two ends of one chain were measured against each other: nothing is left of it.
            left.chain = right.chain = GONE
            return ()
        x = chain.y if chain.x is left else chain.x
        y = joined.y if joined.x is right else joined.x
        chain.x = x
        chain.y = y
        right.chain = chain  # lets `joined` go without a cycle of references
        if not y.ended:
            y.chain = chain
        chain.frame ^= joined.frame ^ fact.outcome
        chain.signs ^= joined.signs ^ fact.signs
        a1, a2, a3 = chain.cost
        b1, b2, b3 = joined.cost
        c1, c2, c3 = fact.cost
        chain.cost = (a1 + b1 + c1, a2 + b2 + c2, a3 + b3 + c3)
        chain.sigma_ns += joined.sigma_ns
        chain.hops += joined.hops
        if chain.dated is joined.dated:
            if joined.oldest_ns < chain.oldest_ns:
                chain.oldest_ns = joined.oldest_ns
        elif joined.dated:
            chain.oldest_ns = joined.oldest_ns
            chain.dated = True
        request = joined.request
        if request is not None:
            self._label(chain, request, joined.tree)
        if joined.dead or fact.result != "ok":
            chain.dead = True
        if joined.unannounced:
            chain.unannounced = True
        if joined.taken:
            chain.taken = True
        if joined.claimed_ns > chain.claimed_ns:
            chain.claimed_ns = joined.claimed_ns
        if x.born is None or x.ended:
            return () if y.born is None or y.ended else (y.end,)
        return (x.end,) if y.born is None or y.ended else (x.end, y.end)

    def _fused(self, fact: Fused) -> tuple[End, ...]:
        self.grouped = True
        kept = self.ends.get(fact.kept) or self._open(fact.kept, fact, fact.at_ns)
        measured = self.ends.pop(fact.measured, None) or self._take_unknown(fact.measured, fact)
        if kept is None or measured is None or fact.result != "ok":
            self.refused += kept is None or measured is None
            self.ends.pop(fact.kept, None)
            touched = dict.fromkeys((*self._kill(kept), *self._kill(measured)))
            return tuple(end for end in touched if end in self.ends)
        return self._join_groups(kept, measured, fact)

    def _join_groups(self, one: EndRecord, other: EndRecord, fact: Swapped | Fused) -> tuple[End, ...]:
        """Two groups, pairs among them, become one; two ends of one group measured together ruin it."""
        joined = other.chain
        request, tree = joined.request, joined.tree
        claimed_ns = max(one.chain.claimed_ns, joined.claimed_ns)
        swapped = isinstance(fact, Swapped)
        group = united(one, other, _bit(fact))
        if group is None:
            ruined = one.chain
            self._end(other)
            if swapped:
                self._end(one)
            ruined.dead = True
            return _living(ruined)
        if isinstance(fact, Swapped):
            group.swap(one, other, fact)
        else:
            group.fuse(one, other, fact)
        for record in (one, other) if swapped else (other,):
            record.ended = True
            record.chain = GONE
        group.claimed_ns = claimed_ns
        if request is not None:
            self._label(group, request, tree)
        if fact.result != "ok":
            group.dead = True
        return _living(group)

    def _released(self, fact: Released) -> tuple[End, ...]:
        record = self.ends.pop(fact.end, None) or self._take_unknown(fact.end, fact)
        if record is None:
            self.refused += 1
            return ()
        if fact.reason != "delivered":
            return self._kill(record)
        chain = record.chain
        chain.taken = True
        born = record.born
        if born is not None and fact.at_ns > born.at_ns:
            # The other half's estimate keeps what this one suffered until it was used.
            waited_ns = fact.at_ns - born.at_ns
            if type(chain) is GroupRecord:
                chain.noise.leaves[fact.end].wait(born.rates, waited_ns)
            a1, a2, a3 = chain.cost
            r1, r2, r3 = born.rates
            chain.cost = (a1 + r1 * waited_ns, a2 + r2 * waited_ns, a3 + r3 * waited_ns)
        return self._end(record)

    def _corrected(self, fact: Corrected) -> tuple[End, ...]:
        record = self.ends.get(fact.end)
        if record is None or record.born is None:
            self.refused += 1
            return ()
        chain = record.chain
        if fact.hadamard and type(chain) is not GroupRecord:
            self.grouped = True
            chain = group_of(chain)  # no pair is as simple as the fast form when one end was turned
        if type(chain) is GroupRecord:
            if fact.hadamard:
                chain.exchange(record, fact.at_ns)
            chain.turn(fact.end, fact.pauli)
            return (fact.end, *chain.others(record))
        chain.frame ^= fact.pauli
        far = chain.y if chain.x is record else chain.x
        return (fact.end,) if far.born is None or far.ended else (fact.end, far.end)

    def _sacrificed(self, fact: Sacrificed) -> tuple[End, ...]:
        """The far end is told by the words of the round; if it is not, whoever looks finds the chain dead."""
        record = self.ends.pop(fact.end, None)
        if record is None or record.born is None:
            self.refused += 1
            return self._kill(record)
        record.chain.unannounced = True
        return self._kill(record)

    def _judged(self, fact: Verdict) -> tuple[End, ...]:
        record = self.ends.get(fact.end)
        if record is None or record.born is None:
            self.refused += 1
            return ()
        chain = record.chain
        if fact.passed:
            self.note_rounds(fact.end, fact.far, fact.rounds)
            if type(chain) is GroupRecord:
                chain.turn(fact.end, fact.frame)
                chain.noise.leaves[fact.end].add(fact.signs, fact.cost)
            else:
                chain.frame ^= fact.frame
                chain.signs ^= fact.signs
                a1, a2, a3 = chain.cost
                b1, b2, b3 = fact.cost
                chain.cost = (a1 + b1, a2 + b2, a3 + b3)
            if not chain.dated or fact.oldest_ns < chain.oldest_ns:
                chain.oldest_ns = fact.oldest_ns
                chain.dated = True
        else:
            chain.dead = True
        if type(chain) is GroupRecord:
            return (fact.end, *chain.others(record))
        far = chain.y if chain.x is record else chain.x
        return (fact.end,) if far.born is None or far.ended else (fact.end, far.end)

    def _claimed(self, fact: Claimed) -> tuple[End, ...]:
        record = self.ends.get(fact.end)
        if record is None or record.born is None:
            self.refused += 1
            return ()
        chain = record.chain
        chain.claimed_ns = max(chain.claimed_ns, fact.at_ns)
        self._label(chain, fact.request, fact.tree)
        if type(chain) is GroupRecord:
            return (fact.end, *chain.others(record))
        far = chain.y if chain.x is record else chain.x
        return (fact.end,) if far.born is None or far.ended else (fact.end, far.end)

    def _began(self, author: NodeId, fact: Began) -> tuple[End, ...]:
        known = self._incarnations.get(author)
        if known is not None and fact.incarnation <= known:
            self.refused += 1
            return ()
        self._incarnations[author] = fact.incarnation
        before = self.began.get(author)
        at_ns = fact.at_ns if before is None else max(before.at_ns, fact.at_ns)
        survivors = frozenset(fact.survivors)
        self.began[author] = Beginning(fact.incarnation, at_ns, survivors)
        self._latest_began_ns = max(self._latest_began_ns, at_ns)
        self._latest_run = max(self._latest_run, run_number(fact.incarnation, 0))
        return self._close_older(author, survivors)

    # ---- what several facts share

    def _open(self, end: End, fact: Born | Swapped | Released | Fused, since_ns: int) -> EndRecord | None:
        """Records of a pair that no fact has named before; None when `end` has ended already."""
        link, run, attempt, lane, side = end
        partner = end_of((link, run, attempt, lane, 1 - side))
        ends = self.ends
        if partner in ends:
            return None
        chain = ChainRecord(since_ns)
        one = EndRecord(end, chain, None)
        two = EndRecord(partner, chain, fact)
        chain.x = one
        chain.y = two
        ends[end] = one
        ends[partner] = two
        if since_ns < self._latest_began_ns or run < self._latest_run:
            self._close_partner(end, since_ns)
        return one

    def _take_unknown(self, end: End, fact: Swapped | Released | Fused) -> EndRecord | None:
        record = self._open(end, fact, fact.at_ns)
        return None if record is None else self.ends.pop(end)

    def _close_partner(self, end: End, born_ns: int) -> None:
        """Close the other half of `end` if its owner began anew after this pair was heralded."""
        partner = end.partner
        began = self.began.get(self._owner_of(partner.link, partner.side))
        if began is None or partner in began.survivors or not _preceded(partner, born_ns, began):
            return
        record = self.ends.pop(partner, None)
        if record is not None:
            record.chain.unannounced = True
            self._kill(record)

    def _close_older(self, author: NodeId, survivors: frozenset[End]) -> tuple[End, ...]:
        """Of the author's ends, all that were told of, and those that existed when it began."""
        began = self.began.get(author, NOT_BEGUN)
        closed: list[End] = []
        for end, record in self.ends.items():
            if self._owner_of(end.link, end.side) != author or end in survivors:
                continue
            opener = record.opener
            existed = opener is not None and _preceded(end, _since_ns(opener), began)
            if record.born is not None or existed:
                closed.append(end)
        touched: dict[End, None] = {}
        for end in closed:
            record = self.ends.pop(end)
            record.chain.unannounced = True
            touched.update(dict.fromkeys(self._kill(record)))
        return tuple(end for end in touched if end in self.ends)

    def _kill(self, record: EndRecord | None) -> tuple[End, ...]:
        if record is None:
            return ()
        record.chain.dead = True
        return self._end(record)

    def _end(self, record: EndRecord) -> tuple[End, ...]:
        """A popped record leaves its chain; the far end is what is touched, if it is alive."""
        chain = record.chain
        record.ended = True
        record.chain = GONE
        if type(chain) is GroupRecord:
            chain.leave(record)
            return _living(chain)
        far = chain.y if chain.x is record else chain.x
        return () if far.born is None or far.ended else (far.end,)

    def _label(self, chain: ChainRecord, request: str, tree: int) -> None:
        if chain.request is None:
            chain.request = request
            chain.tree = tree
        elif chain.request != request:
            if is_pre_distributed(request) or is_pre_distributed(chain.request):
                self._label_store(chain, request, tree)
                return
            chain.dead = chain.unannounced = True
            self.labels_differ += 1
        elif tree < chain.tree:
            chain.tree = tree  # trees of one request may join; the lowest names the product

    def _label_store(self, chain: ChainRecord, request: str, tree: int) -> None:
        """One of two different labels is that of a store: it gives way; of two, the earlier name stays."""
        known = chain.request
        assert known is not None
        stays = not is_pre_distributed(known) or (is_pre_distributed(request) and known < request)
        if not stays:
            chain.request = request
            chain.tree = tree


def _bit(fact: Swapped | Fused) -> int:
    """X part of the outcome: whether the X errors of the two measured qubits differed."""
    return fact.bit if isinstance(fact, Fused) else fact.outcome >> 1


def _living(chain: ChainRecord) -> tuple[End, ...]:
    """Born ends of a group that have not ended; none of a chain, whose two ends were measured together."""
    if type(chain) is not GroupRecord:
        return ()
    return tuple(end for end, member in chain.members.items() if member.born is not None)


def _preceded(end: End, since_ns: int, began: Beginning) -> bool:
    """Whether an end existed when its owner began: by its run where that is the owner's, or by time."""
    started_in = incarnation_of(end.run)
    if end.side == 0 and started_in:
        return started_in < began.incarnation
    return since_ns < began.at_ns


def _since_ns(opener: Born | Released | Swapped | Fused) -> int:
    """Since when a pair that this fact made known has existed."""
    return opener.since_ns if type(opener) is Born else opener.at_ns
