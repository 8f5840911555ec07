"""The noise of a group as a tree: branches, fusions, Hadamard gates, and the fidelity that comes of them.

Owns the tree and the walk along it. Refuses frames (spiders.py) and who is alive (groups.py).

The leaves of the tree are the ends, its inner vertices are fusions and Hadamard gates, and each branch
carries the noise of what lies between: a pair, or a qubit's life after a gate. Costs on a branch are sums of
integers. A fusion is named by the end that was measured there, a gate by the end that it turned, so that the
tree depends on the facts alone.
"""

from collections.abc import Callable, Iterator
from math import exp
from typing import NamedTuple

from bellwire.core.bell import COST_MAX, COST_UNIT_PER_NEPER, Cost
from bellwire.core.facts import Born, Fused, Swapped
from bellwire.core.ids import End

BornOf = Callable[[End], Born | None]
"""The birth of an end that still waits; None: it has ended, or is not known."""

Weights = tuple[float, float]
"""Weight of everything beyond a branch when the near side has X error 0 or 1."""


class Turn(NamedTuple):
    """A Hadamard gate on a qubit."""

    end: End
    number: int  # gates on this qubit before it


Place = End | Turn
"""A vertex: an end that is a leaf, a fusion by the end measured there, or a gate."""


class Branch:
    """Noise between two vertices of the tree."""

    __slots__ = ("cost", "one", "other", "signs")

    def __init__(self, one: Place, other: Place, signs: int = 0, cost: Cost = (0, 0, 0)) -> None:
        self.one = one
        self.other = other
        self.signs = signs
        self.cost = cost

    def beyond(self, vertex: Place) -> Place:
        """The vertex on the other side."""
        return self.other if self.one == vertex else self.one

    def move(self, vertex: Place, to: Place) -> None:
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
        return (*sorted((self.one, self.other), key=_order), self.signs, self.cost)


class Joint:
    """Branches that meet: three at a fusion, two at a Hadamard gate. mixed_cost: -log of the weight with
    which the gate of a fusion worked."""

    __slots__ = ("branches", "mixed_cost")

    def __init__(self, branches: list[Branch], mixed_cost: int) -> None:
        self.branches = branches
        self.mixed_cost = mixed_cost


class NoiseTree:
    """Of one group."""

    __slots__ = ("joints", "leaves")

    def __init__(self, branch: Branch, one: End, other: End) -> None:
        self.leaves: dict[End, Branch] = {one: branch, other: branch}  # delivered ends stay
        self.joints: dict[Place, Joint] = {}

    def unite(self, joined: "NoiseTree") -> None:
        """Two groups are about to be joined."""
        self.leaves.update(joined.leaves)
        self.joints.update(joined.joints)

    def turn(self, end: End, turn: int, born: Born, at_ns: int) -> None:
        """A Hadamard gate on a leaf."""
        gate = Turn(end, turn)
        before = self.leaves[end]
        before.move(end, gate)
        leaf = self._leaf_after(end, gate, before, born, at_ns)
        self.joints[gate] = Joint([before, leaf], 0)

    def swap(self, left: End, right: End, fact: Swapped) -> None:
        """Two leaves were measured in the Bell basis: their branches are one."""
        one, other = self.leaves.pop(left), self.leaves.pop(right)
        far = other.beyond(right)
        one.move(left, far)
        one.add(other.signs ^ fact.signs, other.cost)
        one.add(0, fact.cost)
        if isinstance(far, End) and far in self.leaves:
            self.leaves[far] = one
        else:
            joint = self.joints[far]
            joint.branches = [one if branch is other else branch for branch in joint.branches]

    def fuse(self, kept: End, measured: End, born: Born | None, fact: Fused) -> None:
        """CNOT and Z measurement; `measured` names the joint."""
        one, other = self.leaves.pop(kept), self.leaves.pop(measured)
        one.move(kept, measured)
        one.add(0, fact.kept_cost)
        other.add(0, fact.measured_cost)
        leaf = self._leaf_after(kept, measured, one, born, fact.at_ns)
        self.joints[measured] = Joint([one, other, leaf], fact.mixed_cost)

    def _leaf_after(self, end: End, vertex: Place, before: Branch, born: Born | None, at_ns: int) -> Branch:
        """What the qubit suffered so far lies before the vertex; readers count from its birth."""
        leaf = self.leaves[end] = Branch(end, vertex)
        if born is not None:
            waited_ns = max(0, at_ns - born.at_ns)
            before.wait(born.rates, waited_ns)
            leaf.wait(born.rates, -waited_ns)
        return leaf

    def signature(self) -> str:
        """The whole tree, for digests."""
        tree = sorted(repr(branch.signature()) for branch in self._branches())
        joints = sorted(((end, joint.mixed_cost) for end, joint in self.joints.items()), key=repr)
        return f"{tree} {joints}"

    def _branches(self) -> Iterator[Branch]:
        seen: set[int] = set()
        joined = (branch for joint in self.joints.values() for branch in joint.branches)
        for branch in (*self.leaves.values(), *joined):
            if id(branch) not in seen:
                seen.add(id(branch))
                yield branch

    def fidelity(self, born_of: BornOf, now_ns: int) -> float:
        """To the state of the frame: no Z parity of a spider, and no two X errors that differ in one.

        For each spider half the sum over the two characters of its Z parity (the Fourier sum over it); X
        errors of joints are summed over by messages along the tree (transfer of weights). At a Hadamard gate
        the X error on either side is a Z of the other one's spider.
        """
        root = min(self.leaves)  # the same at every replica: sums of floats depend on their order
        plain, signed = self._weights(self.leaves[root], root, born_of, now_ns)
        found = 0.5 * (plain[0] + signed[0])
        return min(1.0, max(0.0, found))  # a peer may tell costs that no state has

    def _weights(
        self, branch: Branch, vertex: Place, born_of: BornOf, now_ns: int
    ) -> tuple[Weights, Weights]:
        """Of what lies beyond a branch, and the branch itself, as seen from `vertex`: without and with the
        sign of the Z parity."""
        values = _values(branch, born_of, now_ns)
        through = (_transfer(values, 0), _transfer(values, 1))
        far = branch.beyond(vertex)
        if isinstance(far, End) and far in self.leaves:
            return through
        joint = self.joints[far]
        beyond = [
            self._weights(beside, far, born_of, now_ns) for beside in joint.branches if beside is not branch
        ]
        if len(beyond) == 1:
            met = _beyond_gate(*beyond[0])
        else:
            one, other = beyond
            met = (_met(one[0], other[0], joint.mixed_cost, 0), _met(one[1], other[1], joint.mixed_cost, 1))
        return (_carried(through[0], met[0]), _carried(through[1], met[1]))


def _met(one: Weights, other: Weights, mixed_cost: int, phase: int) -> Weights:
    """Two branches beyond a fusion."""
    worked = _size(mixed_cost)
    mixed = 0.0 if phase else (1.0 - worked) / 4.0 * sum(one) * sum(other)
    return (worked * one[0] * other[0] + mixed, worked * one[1] * other[1] + mixed)


def _beyond_gate(plain: Weights, signed: Weights) -> tuple[Weights, Weights]:
    """A whole other spider beyond a Hadamard gate: its parity is summed over, and so is its X error, which is
    a sign on this side."""
    same, turned = plain[0] + plain[1], plain[0] - plain[1]
    signed_same, signed_turned = signed[0] + signed[1], signed[0] - signed[1]
    return (
        ((same + signed_same) / 2.0, (same - signed_same) / 2.0),
        ((turned + signed_turned) / 2.0, (turned - signed_turned) / 2.0),
    )


def _carried(through: Weights, met: Weights) -> Weights:
    equal, differ = through
    zero, flipped = met
    return (equal * zero + differ * flipped, differ * zero + equal * flipped)


def _transfer(values: tuple[float, float, float], phase: int) -> Weights:
    """Weights of equal and of different X errors at both sides of a branch, times (-1)**Z if `phase`."""
    l1, l2, l3 = values
    return ((l1 + l3) / 2.0, (l1 - l3) / 2.0) if phase else ((1.0 + l2) / 2.0, (1.0 - l2) / 2.0)


def _values(branch: Branch, born_of: BornOf, now_ns: int) -> tuple[float, float, float]:
    c1, c2, c3 = branch.cost
    for vertex in (branch.one, branch.other):
        born = born_of(vertex) if isinstance(vertex, End) else None
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


def _size(cost: int) -> float:
    """exp(-cost), 0..1; a clock that stepped back improves nothing."""
    return 0.0 if cost >= COST_MAX else exp(-max(cost, 0) / COST_UNIT_PER_NEPER)


def _order(vertex: Place) -> tuple[End, int]:
    return (vertex, -1) if isinstance(vertex, End) else (vertex.end, vertex.number)
