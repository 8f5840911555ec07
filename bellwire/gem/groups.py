"""Groups of three and more: GHZ states as the fold remembers them, and how they grow.

Owns the record of a group, its merging by fusions and swaps, and its fidelity. Refuses pairs, which stay in
the fast form of `records.py`, and every decision about who has ended: that is `fold.py`.

Frames. A GHZ state up to a Pauli on each qubit is told by the parity of all Z errors (`frame`, bit 0) and one
X bit for each qubit; turning all X bits over changes nothing. Both are sums, hence the order in which merges
come does not matter (stack paper IV-E, algorithms.md 4.1: outcome 1 is X on all other qubits of B).

Noise. A group is a tree. Its leaves are the ends, its joints are the fusions, and each branch carries the
noise of what lies between: a pair, or a kept qubit's life after a fusion. Costs on a branch are sums of
integers. A joint is named by the end that was measured there, so that the tree depends on the facts alone.
"""

from collections.abc import Iterator
from math import exp

import msgspec

from bellwire.core.bell import COST_MAX, COST_UNIT_PER_NEPER, Cost, Walsh, to_walsh, werner
from bellwire.core.facts import Born, Fused, Swapped
from bellwire.core.ids import End
from bellwire.gem.records import ChainRecord, EndRecord

Weights = tuple[float, float]
"""Weight of everything beyond a branch when the near side has X error 0 or 1."""


class Branch:
    """Noise between two vertices of the tree; a vertex is an end, or a joint by the end measured there."""

    __slots__ = ("cost", "one", "other", "signs")

    def __init__(self, one: End, other: End, signs: int = 0, cost: Cost = (0, 0, 0)) -> None:
        self.one = one
        self.other = other
        self.signs = signs
        self.cost = cost

    def beyond(self, vertex: End) -> End:
        """The vertex on the other side."""
        return self.other if self.one == vertex else self.one

    def move(self, vertex: End, to: End) -> None:
        """Hang one side of the branch elsewhere."""
        if self.one == vertex:
            self.one = to
        else:
            self.other = to

    def add(self, signs: int, cost: Cost) -> None:
        """More noise."""
        self.signs ^= signs
        a1, a2, a3 = self.cost
        b1, b2, b3 = cost
        self.cost = (a1 + b1, a2 + b2, a3 + b3)

    def wait(self, rates: Cost, waited_ns: int) -> None:
        """The decay of one qubit; a negative time takes back what somebody else will add."""
        r1, r2, r3 = rates
        self.add(0, (r1 * waited_ns, r2 * waited_ns, r3 * waited_ns))

    def signature(self) -> tuple[object, ...]:
        """The same for the same branch, whichever side was named first."""
        return (*sorted((self.one, self.other)), self.signs, self.cost)


class Joint:
    """One fusion: three branches meet. mixed_cost: -log of the weight with which its gate worked."""

    __slots__ = ("branches", "mixed_cost")

    def __init__(self, branches: list[Branch], mixed_cost: int) -> None:
        self.branches = branches
        self.mixed_cost = mixed_cost


class GroupRecord(ChainRecord):
    """Three ends or more that fusions have joined; what it shares with a chain keeps its meaning there.

    `frame` is the parity of all Z errors (0 or 1). A group has no `x` and `y`.
    """

    __slots__ = ("bits", "joints", "leaves", "members")

    def __init__(self, oldest_ns: int) -> None:
        super().__init__(oldest_ns)
        self.members: dict[End, EndRecord] = {}  # ends that have not ended, born or not
        self.bits: dict[End, int] = {}  # X error of each leaf, up to all of them at once
        self.leaves: dict[End, Branch] = {}  # of the members, and of ends that were delivered
        self.joints: dict[End, Joint] = {}

    def others(self, record: EndRecord) -> tuple[End, ...]:
        """Born ends that have not ended, but this one."""
        return tuple(
            end for end, member in self.members.items() if member is not record and member.born is not None
        )

    def complete(self) -> bool:
        """Alive, nothing delivered yet, every half known."""
        return not (self.dead or self.taken) and all(one.born is not None for one in self.members.values())

    def flip_between(self, one: End, other: End) -> int:
        """Whether the X errors of two ends differ (0 or 1)."""
        return self.bits[one] ^ self.bits[other]

    # ---- what facts do

    def bear(self, record: EndRecord, fact: Born) -> None:
        """Noise of a half whose birth is told late: the pair it belongs to is still a branch of its own."""
        if record.end.side == 0:
            self.leaves[record.end].add(fact.signs, fact.cost)

    def turn(self, end: End, pauli: int) -> None:
        """A Pauli on one end."""
        self.bits[end] ^= pauli >> 1
        self.frame ^= pauli & 1

    def exchange(self, record: EndRecord, at_ns: int) -> None:
        """A Hadamard gate on one end: from then on its decay has X and Z exchanged (frames are of before)."""
        self.leaves[record.end].add(0, exchange_decay(record, at_ns))

    def leave(self, record: EndRecord) -> None:
        """The end has ended; a delivered one keeps its leaf, for the others' estimate."""
        self.members.pop(record.end, None)

    def swap(self, left: EndRecord, right: EndRecord, fact: Swapped) -> None:
        """Both ends were measured in the Bell basis; `right` belongs to the same group now."""
        one, other = self.leaves.pop(left.end), self.leaves.pop(right.end)
        far = other.beyond(right.end)
        one.move(left.end, far)
        one.add(other.signs ^ fact.signs, other.cost)
        one.add(0, fact.cost)
        if far in self.leaves:
            self.leaves[far] = one
        else:
            joint = self.joints[far]
            joint.branches = [one if branch is other else branch for branch in joint.branches]
        self.frame ^= fact.outcome & 1
        self._drop(left)
        self._drop(right)

    def fuse(self, kept: EndRecord, measured: EndRecord, fact: Fused) -> None:
        """CNOT and Z measurement; `measured` belongs to the same group now, and names the joint."""
        joint = measured.end
        one, other = self.leaves.pop(kept.end), self.leaves.pop(joint)
        one.move(kept.end, joint)
        leaf = Branch(kept.end, joint)
        born = kept.born
        if born is not None:
            # What the kept qubit suffered so far lies before the joint; readers count from its birth.
            waited_ns = max(0, fact.at_ns - born.at_ns)
            one.wait(born.rates, waited_ns)
            leaf.wait(born.rates, -waited_ns)
        one.add(0, fact.kept_cost)
        other.add(0, fact.measured_cost)
        self.leaves[kept.end] = leaf
        self.joints[joint] = Joint([one, other, leaf], fact.mixed_cost)
        self._drop(measured)

    def _drop(self, record: EndRecord) -> None:
        self.members.pop(record.end, None)
        self.bits.pop(record.end, None)

    def signature(self) -> str:
        """The whole record up to the X bits that nobody can see, for digests."""
        turned = self.bits[min(self.bits)] if self.bits else 0
        bits = sorted((end, bit ^ turned) for end, bit in self.bits.items())
        tree = sorted(repr(branch.signature()) for branch in self._branches())
        joints = sorted((end, joint.mixed_cost) for end, joint in self.joints.items())
        return f"{bits} {tree} {joints}"

    def _branches(self) -> Iterator[Branch]:
        seen: set[int] = set()
        joined = (branch for joint in self.joints.values() for branch in joint.branches)
        for branch in (*self.leaves.values(), *joined):
            if id(branch) not in seen:
                seen.add(id(branch))
                yield branch

    # ---- estimate

    def fidelity(self, now_ns: int) -> float:
        """To the GHZ state of the frame: no Z parity and no two X errors that differ.

        Half the sum over the two characters s of the Z parity (the Fourier sum over it); X errors of joints
        are summed over by messages along the tree (transfer of weights).
        """
        root = min(self.leaves)  # the same at every replica: sums of floats depend on their order
        branch = self.leaves[root]
        found = 0.5 * sum(self._weights(branch, root, phase, now_ns)[0] for phase in (0, 1))
        return min(1.0, max(0.0, found))  # a peer may tell costs that no state has

    def _weights(self, branch: Branch, vertex: End, phase: int, now_ns: int) -> Weights:
        """Of what lies beyond a branch, and the branch itself, as seen from `vertex`."""
        equal, differ = _transfer(self._values(branch, now_ns), phase)
        far = branch.beyond(vertex)
        if far in self.leaves:
            return (equal, differ)
        joint = self.joints[far]
        one, other = (
            self._weights(beside, far, phase, now_ns) for beside in joint.branches if beside is not branch
        )
        worked = _size(joint.mixed_cost)
        mixed = 0.0 if phase else (1.0 - worked) / 4.0 * sum(one) * sum(other)
        zero = worked * one[0] * other[0] + mixed
        flipped = worked * one[1] * other[1] + mixed
        return (equal * zero + differ * flipped, differ * zero + equal * flipped)

    def _values(self, branch: Branch, now_ns: int) -> tuple[float, float, float]:
        c1, c2, c3 = branch.cost
        for vertex in (branch.one, branch.other):
            record = self.members.get(vertex)
            born = None if record is None else record.born
            if born is not None:
                waited_ns = now_ns - born.at_ns
                if waited_ns > 0:
                    r1, r2, r3 = born.rates
                    c1, c2, c3 = c1 + r1 * waited_ns, c2 + r2 * waited_ns, c3 + r3 * waited_ns
        signs = branch.signs
        return (
            -_size(c1) if signs & 1 else _size(c1),
            -_size(c2) if signs & 2 else _size(c2),
            -_size(c3) if signs & 4 else _size(c3),
        )


def exchange_decay(record: EndRecord, at_ns: int) -> Cost:
    """Exchange X and Z in the further decay of a born end; returns what the time before costs beyond it."""
    born = record.born
    assert born is not None
    r1, r2, r3 = born.rates
    waited_ns = max(0, at_ns - born.at_ns)
    record.born = msgspec.structs.replace(born, rates=(r2, r1, r3))
    return ((r1 - r2) * waited_ns, (r2 - r1) * waited_ns, 0)


def group_of(chain: ChainRecord) -> GroupRecord:
    """The group that a chain is or becomes; both of its ends get to know it."""
    if type(chain) is GroupRecord:
        return chain
    group = GroupRecord(chain.oldest_ns)
    _take_over(group, chain)
    group.frame = chain.frame & 1
    branch = Branch(chain.x.end, chain.y.end, chain.signs, chain.cost)
    for record, bit in ((chain.x, chain.frame >> 1), (chain.y, 0)):
        group.bits[record.end] = bit
        group.leaves[record.end] = branch
        if not record.ended:
            group.members[record.end] = record
            record.chain = group
    return group


def united(one: EndRecord, other: EndRecord, bit: int) -> GroupRecord | None:
    """The groups of two measured ends as one, in which their X errors differ by `bit`; None: it was one."""
    group, joined = group_of(one.chain), group_of(other.chain)
    if group is joined:
        return None
    flip = bit ^ group.bits[one.end] ^ joined.bits[other.end]
    group.bits.update((end, known ^ flip) for end, known in joined.bits.items())
    group.leaves.update(joined.leaves)
    group.joints.update(joined.joints)
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


def _transfer(values: tuple[float, float, float], phase: int) -> Weights:
    """Weights of equal and of different X errors at both sides of a branch, times (-1)**Z if `phase`."""
    l1, l2, l3 = values
    return ((l1 + l3) / 2.0, (l1 - l3) / 2.0) if phase else ((1.0 + l2) / 2.0, (1.0 - l2) / 2.0)


def _size(cost: int) -> float:
    """exp(-cost), 0..1; a clock that stepped back improves nothing."""
    return 0.0 if cost >= COST_MAX else exp(-max(cost, 0) / COST_UNIT_PER_NEPER)


def group_state(group: GroupRecord, now_ns: int) -> Walsh:
    """The Werner pair of the same fidelity: three numbers cannot say more about a group."""
    return to_walsh(werner(group.fidelity(now_ns)))
