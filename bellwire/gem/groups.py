"""Groups of three and more: GHZ and graph states as the fold remembers them, and how they grow.

Owns the record of a group and its merging by fusions and swaps. Refuses frames (spiders.py), noise
(noise_trees.py), pairs, which stay in the fast form of `records.py`, and every decision about who has ended:
that is `fold.py`. A pair of which a Hadamard gate has turned one end is a group too.

Frames and noise are sums, hence the order in which merges come does not matter (stack paper IV-E,
algorithms.md 4.1: outcome 1 is X on all other qubits of B).
"""

from bellwire.core.bell import Walsh, to_walsh, werner
from bellwire.core.errors import LocalMisuse
from bellwire.core.facts import Born, Fused, Swapped
from bellwire.core.ids import End
from bellwire.gem.noise_trees import Branch, NoiseTree
from bellwire.gem.records import ChainRecord, EndRecord
from bellwire.gem.spiders import Frames


class GroupRecord(ChainRecord):
    """Ends that fusions have joined; what it shares with a chain keeps its meaning there.

    `frame` is the parity of all Z errors (0 or 1). A group has no `x` and `y`.
    """

    __slots__ = ("frames", "members", "noise", "turns")

    def __init__(self, oldest_ns: int, frames: Frames, noise: NoiseTree) -> None:
        super().__init__(oldest_ns)
        self.frames = frames
        self.noise = noise
        self.members: dict[End, EndRecord] = {}  # ends that have not ended, born or not
        self.turns: dict[End, int] = {}  # Hadamard gates on each end that has had some

    def others(self, record: EndRecord) -> tuple[End, ...]:
        """Born ends that have not ended, but this one."""
        return tuple(
            end for end, member in self.members.items() if member is not record and member.born is not None
        )

    def complete(self) -> bool:
        """Alive, nothing delivered yet, every half known."""
        return not (self.dead or self.taken) and all(one.born is not None for one in self.members.values())

    # ---- what facts do

    def bear(self, record: EndRecord, fact: Born) -> None:
        """Noise of a half whose birth is told late: the pair it belongs to is still a branch of its own."""
        if record.end.side == 0:
            self.noise.leaves[record.end].add(fact.signs, fact.cost)

    def turn(self, end: End, pauli: int) -> None:
        """A Pauli on one end."""
        self.frames.pauli(end, pauli)
        self.frame ^= pauli & 1

    def exchange(self, record: EndRecord, at_ns: int) -> None:
        """A Hadamard gate on one end: X and Z of what was before it change places."""
        end = record.end
        if record.born is None:
            raise LocalMisuse(f"{end} was turned before it was born")
        turn = self.turns.get(end, 0)
        self.turns[end] = turn + 1
        self.frames.hadamard(end, turn)
        self.noise.turn(end, turn, record.born, at_ns)

    def leave(self, record: EndRecord) -> None:
        """The end has ended; a delivered one keeps its leaf, for the others' estimate."""
        self.members.pop(record.end, None)

    def swap(self, left: EndRecord, right: EndRecord, fact: Swapped) -> None:
        """Both ends were measured in the Bell basis; `right` belongs to the same group now."""
        self.noise.swap(left.end, right.end, fact)
        self.frames.phase(left.end, fact.outcome & 1)
        self.frame ^= fact.outcome & 1
        self._drop(left)
        self._drop(right)

    def fuse(self, kept: EndRecord, measured: EndRecord, fact: Fused) -> None:
        """CNOT and Z measurement; `measured` belongs to the same group now, and names the joint."""
        self.noise.fuse(kept.end, measured.end, kept.born, fact)
        self._drop(measured)

    def _drop(self, record: EndRecord) -> None:
        self.members.pop(record.end, None)
        self.frames.drop(record.end)

    def signature(self) -> str:
        """The whole record up to the X bits that nobody can see, for digests."""
        return f"{self.frames.signature()} {self.noise.signature()}"

    def fidelity(self, now_ns: int) -> float:
        """To the state of the frame, decayed to now."""
        return self.noise.fidelity(self._born_of, now_ns)

    def _born_of(self, end: End) -> Born | None:
        record = self.members.get(end)
        return None if record is None else record.born


def group_of(chain: ChainRecord) -> GroupRecord:
    """The group that a chain is or becomes; both of its ends get to know it."""
    if type(chain) is GroupRecord:
        return chain
    one, other = chain.x.end, chain.y.end
    noise = NoiseTree(Branch(one, other, chain.signs, chain.cost), one, other)
    group = GroupRecord(chain.oldest_ns, Frames(one, other, chain.frame), noise)
    _take_over(group, chain)
    group.frame = chain.frame & 1
    for record in (chain.x, chain.y):
        if not record.ended:
            group.members[record.end] = record
            record.chain = group
    return group


def united(one: EndRecord, other: EndRecord, bit: int) -> GroupRecord | None:
    """The groups of two measured ends as one, in which their X errors differ by `bit`; None: it was one."""
    group, joined = group_of(one.chain), group_of(other.chain)
    if group is joined:
        return None
    group.frames.unite(joined.frames, one.end, other.end, bit)
    group.noise.unite(joined.noise)
    group.turns.update(joined.turns)
    group.members.update(joined.members)
    for record in joined.members.values():
        record.chain = group
    group.frame ^= joined.frame
    group.hops += joined.hops
    group.sigma_ns += joined.sigma_ns
    if group.dated is joined.dated:
        group.oldest_ns = min(group.oldest_ns, joined.oldest_ns)
    elif joined.dated:
        group.oldest_ns = joined.oldest_ns
        group.dated = True
    group.dead = group.dead or joined.dead
    group.unannounced = group.unannounced or joined.unannounced
    group.taken = group.taken or joined.taken
    return group


def _take_over(group: GroupRecord, chain: ChainRecord) -> None:
    group.dead, group.unannounced, group.taken = chain.dead, chain.unannounced, chain.taken
    group.dated, group.sigma_ns, group.hops = chain.dated, chain.sigma_ns, chain.hops
    group.request, group.tree = chain.request, chain.tree


def group_state(group: GroupRecord, now_ns: int) -> Walsh:
    """The Werner pair of the same fidelity: three numbers cannot say more about a group."""
    return to_walsh(werner(group.fidelity(now_ns)))
