"""Queries on the folded facts: the replica's side of the paper's second GEM interface.

Owns the records and everything that only reads them (core.view.LedgerView, rows, digest). Refuses to change a
record: that is `fold.py`.
"""

from collections.abc import Callable, Collection, Iterator
from hashlib import blake2b
from typing import NamedTuple

from bellwire.core.bell import COST_MAX, Cost, Walsh, fidelity_of
from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import End, LinkId, NodeId, QubitId
from bellwire.core.view import Chain, Entanglement
from bellwire.gem.groups import GroupRecord, group_state
from bellwire.gem.records import ChainRecord, EndRecord

ROUNDS_KEPT = 256
"""Verdicts about ends that have ended that may be remembered besides those about living ones."""


class Beginning(NamedTuple):
    """The latest (re)start of an author."""

    incarnation: int
    at_ns: int
    survivors: frozenset[End]


class Ledger:
    """Read access to one replica's records, by the name of an end; rows are chains with both halves born."""

    __slots__ = ("_owner_of", "_rounds", "began", "ends", "grouped")

    def __init__(self, owner_of: Callable[[LinkId, int], NodeId]) -> None:
        self._owner_of = owner_of
        self.ends: dict[End, EndRecord] = {}
        self._rounds: dict[End, tuple[End, int]] = {}  # author's end of a verdict -> far end, rounds
        self.began: dict[NodeId, Beginning] = {}
        self.grouped = False  # a fusion was seen: until then nothing need look for groups

    def far_end(self, end: End) -> End | None:
        """The other end of the chain; None when `end` is unknown or has ended.

        A far end that was delivered or released keeps its name here as long as `end` lives.
        """
        record = self.ends.get(end)
        return None if record is None or type(record.chain) is GroupRecord else _far(record).end

    def far_owner(self, end: End) -> NodeId | None:
        """The owner of the far end, from the link map: known before the far half is born."""
        record = self.ends.get(end)
        if record is None or type(record.chain) is GroupRecord:
            return None
        far = _far(record).end
        return self._owner_of(far.link, far.side)

    def members(self, end: End) -> tuple[End, ...]:
        """All ends of the group, delivered ones included, this one first and the others by name; none when
        the end is unknown or has ended. Of a pair: both."""
        record = self.ends.get(end)
        if record is None:
            return ()
        chain = record.chain
        if type(chain) is GroupRecord:
            return (end, *sorted(other for other in chain.noise.leaves if other != end))
        return (end, _far(record).end)

    def turned(self, end: End, other: End) -> int:
        """Pauli index that `other` needs besides the group's phase, so that its X error equals that of `end`:
        0 or 2. Needs two ends of one group."""
        chain = self.ends[end].chain
        return chain.frames.differ(end, other) << 1 if type(chain) is GroupRecord else chain.frame & 2

    def signs(self, end: End, centres: Collection[End]) -> dict[End, int]:
        """What every end of a group needs so that its state is the plain graph state: nothing (0), or Z (1).

        centres: ends that are turned by no further Hadamard gate; all others are leaves that still will be.
        Of a pair, and of an end that the ledger does not know, nothing is told.
        """
        record = self.ends.get(end)
        group = None if record is None else record.chain
        return group.frames.signs(centres) if type(group) is GroupRecord else {}

    def chain(self, end: End) -> Chain | None:
        """The chain of an end; None when the end is unknown or has ended."""
        record = self.ends.get(end)
        return None if record is None else record.chain

    def complete(self, end: End) -> bool:
        """True when the chain is alive, not taken, and both outer halves are born."""
        record = self.ends.get(end)
        return record is not None and _complete(record.chain)

    def awaited(self, end: End) -> tuple[End, ...]:
        """Ends of the chain of an end that nobody has told of yet; none of a dead chain."""
        record = self.ends.get(end)
        if record is None or record.chain.dead or record.chain.taken:
            return ()
        chain = record.chain
        halves = chain.members.values() if type(chain) is GroupRecord else (chain.x, chain.y)
        return tuple(half.end for half in halves if half.born is None and not half.ended)

    def living(self, end: End) -> bool:
        """True when the end is born and has not ended; its chain may be dead."""
        record = self.ends.get(end)
        return record is not None and record.born is not None

    def concerned(self, end: End, *, release: bool = False) -> tuple[End, NodeId] | None:
        """The far end and its owner, whom a swap or release of `end` concerns; None when that end has ended.

        release: also None when the chain is dead and whoever killed it has sent word of it.
        """
        record = self.ends.get(end)
        if record is None or (release and record.chain.dead and not record.chain.unannounced):
            return None
        if type(record.chain) is GroupRecord:
            return None
        far = _far(record)
        return None if far.ended else (far.end, self._owner_of(far.end.link, far.end.side))

    def audience(self, *ends: End) -> tuple[NodeId, ...]:
        """Owners of all ends of the groups of some ends, if one of these groups has three ends or more; of
        pairs alone none, for their two ends are told by name (`concerned`)."""
        if not self.grouped:
            return ()
        records = [self.ends[end] for end in ends if end in self.ends]
        if not any(type(record.chain) is GroupRecord for record in records):
            return ()
        found: dict[NodeId, None] = {}
        for record in records:
            chain = record.chain
            if type(chain) is GroupRecord:
                found.update((self.owner(end), None) for end in chain.members)
            else:
                found.update((self.owner(half.end), None) for half in (chain.x, chain.y))
        return tuple(found)

    def rounds(self, end: End) -> int:
        """Rounds of purification that the pair of this end has passed since its last swap; 0: unknown end.

        A verdict names both ends of its pair, and counts as long as both are still those of the chain.
        """
        if not self._rounds:
            return 0
        far = self.far_end(end)
        if far is None:
            return 0
        of_end, of_far = self._rounds.get(end), self._rounds.get(far)
        return max(
            of_end[1] if of_end is not None and of_end[0] == far else 0,
            of_far[1] if of_far is not None and of_far[0] == end else 0,
        )

    def judged(self, end: End, far: End) -> int:
        """Rounds in the latest passed verdict that the owner of `end` wrote about it, whatever became of the
        end since; 0: none is known, or it was about another pair than the one with `far`."""
        known = self._rounds.get(end)
        return 0 if known is None or known[0] != far else known[1]

    def note_rounds(self, end: End, far: End, rounds: int) -> None:
        """A verdict passed. What is remembered of ends that have ended is dropped from time to time."""
        self._rounds[end] = (far, rounds)
        if len(self._rounds) > ROUNDS_KEPT + 2 * len(self.ends):
            self._rounds = {one: known for one, known in self._rounds.items() if one in self.ends}

    def state(self, end: End, now_ns: int) -> Walsh:
        """Estimated state relative to the frame, decayed to now.

        A half whose birth lies in the future of `now_ns` has not decayed yet: its author's clock may lead
        ours by the sum of both sigmas, and a peer's clock must not be able to stop this node.

        Raises:
            LocalMisuse: the end is unknown or has ended.
        """
        record = self.ends.get(end)
        if record is None:
            raise LocalMisuse(f"{end} is not in the ledger: ask only for ends that chain() knows")
        return chain_state(record.chain, now_ns)

    def owner(self, end: End) -> NodeId:
        """The node at this end's side of its link."""
        return self._owner_of(end.link, end.side)

    def qubit(self, end: End) -> QubitId | None:
        """The memory that holds an end; None when its half is not known or the end has ended."""
        record = self.ends.get(end)
        return None if record is None else self._memory(record)

    def available(self, now_ns: int) -> Iterator[Entanglement]:
        """All rows, in the order in which this replica met them. `rows` sorts them by name. Pairs only:
        larger groups are known by their ends (`members`)."""
        for record in self.ends.values():
            chain = record.chain
            if type(chain) is GroupRecord:
                continue
            if record.end < _far(record).end and _complete(chain):
                yield self._row(record, now_ns)

    def rows(self, now_ns: int) -> list[Entanglement]:
        """All rows in the order of their ends' names: the same list at every replica with the same facts."""
        return sorted(self.available(now_ns), key=_ends_of)

    def digest(self) -> str:
        """A name for the whole state: equal facts in any order give equal digests (blake2b, 32 hex digits).

        Dead chains count by their living ends only; what no living end can see is left out.
        """
        state: list[str] = [
            f"began {author} {began.incarnation} {began.at_ns} {sorted(began.survivors)}"
            for author, began in self.began.items()
        ]
        for record in self.ends.values():
            chain = record.chain
            if chain.dead:
                if record.born is not None:
                    state.append(f"dead {_half(record)}")
            elif type(chain) is GroupRecord:
                if record.end == min(chain.members):
                    state.append(_alive_group(chain))
            elif chain.taken or record is _lower(chain):
                state.append(f"{_alive(chain)} {self.rounds(record.end)}")
        state.sort()
        return blake2b("\n".join(state).encode(), digest_size=16).hexdigest()

    def _memory(self, record: EndRecord) -> QubitId | None:
        born = record.born
        if born is None:
            return None
        owner = self._owner_of(record.end.link, record.end.side)
        return QubitId(owner, record.incarnation, born.slot, born.generation)

    def _row(self, one: EndRecord, now_ns: int) -> Entanglement:
        chain = one.chain
        two = _far(one)
        memories = (self._memory(one), self._memory(two))
        if memories[0] is None or memories[1] is None:
            raise LocalMisuse(f"a row of {one.end} needs both halves born")
        state = chain_state(chain, now_ns)
        return Entanglement(
            end_nodes=(memories[0].node, memories[1].node),
            request=chain.request,
            created_ns=chain.oldest_ns,
            age_ns=now_ns - chain.oldest_ns,
            fidelity=fidelity_of(state),
            usage=usage_of(chain),
            memories=(memories[0], memories[1]),
            ends=(one.end, two.end),
            frame=chain.frame,
            hops=chain.hops,
            state=state,
        )


def usage_of(chain: Chain) -> str:
    """The paper's intended usage: "request/tree", or "unassigned"."""
    return "unassigned" if chain.request is None else f"{chain.request}/{chain.tree}"


def chain_state(chain: ChainRecord, now_ns: int) -> Walsh:
    """The chain's estimate, decayed to now at the rates of the outer qubits that still wait; of a group the
    Werner pair of its fidelity."""
    if type(chain) is GroupRecord:
        return group_state(chain, now_ns)
    c1, c2, c3 = chain.cost
    for half in (chain.x, chain.y):
        born = half.born
        if born is not None and not half.ended:
            waited_ns = now_ns - born.at_ns
            if waited_ns > 0:
                r1, r2, r3 = born.rates
                c1 += r1 * waited_ns
                c2 += r2 * waited_ns
                c3 += r3 * waited_ns
    return _saturated(chain.signs, (c1, c2, c3))


def _saturated(signs: int, cost: Cost) -> Walsh:
    """Costs cut at COST_MAX, and at zero: a verdict may be known before all that it is a difference to."""
    c1, c2, c3 = cost
    if c1 < 0 or c2 < 0 or c3 < 0:
        c1, c2, c3 = max(c1, 0), max(c2, 0), max(c3, 0)
    if c1 >= COST_MAX:
        c1, signs = COST_MAX, signs & ~1
    if c2 >= COST_MAX:
        c2, signs = COST_MAX, signs & ~2
    if c3 >= COST_MAX:
        c3, signs = COST_MAX, signs & ~4
    return Walsh(signs, (c1, c2, c3))


def _far(record: EndRecord) -> EndRecord:
    chain = record.chain
    return chain.y if chain.x is record else chain.x


def _complete(chain: ChainRecord) -> bool:
    if type(chain) is GroupRecord:
        return chain.complete()
    return not chain.dead and not chain.taken and chain.x.born is not None and chain.y.born is not None


def _lower(chain: ChainRecord) -> EndRecord:
    return chain.x if chain.x.end < chain.y.end else chain.y


def _ends_of(row: Entanglement) -> tuple[End, End]:
    return row.ends


def _half(record: EndRecord) -> str:
    born = record.born
    if born is None:
        return f"{record.end} unborn"
    told = (record.incarnation, born.slot, born.generation, born.at_ns, born.rates)
    return f"{record.end} {'ended' if record.ended else 'living'} {told}"


def _alive_group(group: GroupRecord) -> str:
    halves = sorted(_half(member) for member in group.members.values())
    group_label = (group.request, group.tree, group.claimed_ns)
    use = (*group_label, group.hops, group.taken, group.oldest_ns, group.dated, group.sigma_ns)
    return f"group {halves} {group.frame} {group.signature()} {use}"


def _alive(chain: ChainRecord) -> str:
    halves = sorted((_half(chain.x), _half(chain.y)))
    state = _saturated(chain.signs, chain.cost)
    label = (chain.request, chain.tree, chain.claimed_ns)
    when = (chain.oldest_ns, chain.dated, chain.sigma_ns)
    use = (*label, chain.hops, chain.taken)
    return f"alive {halves} {chain.frame} {state.signs} {state.cost} {when} {use}"
