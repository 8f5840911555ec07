"""Small groups of qubits as density matrices, for everything that leaves the Bell-diagonal world.

Owns gates, measurements in a basis and Bell measurements on up to CLUSTER_MAX qubits, with the same noise as
the fast form: two-qubit depolarising, readout flips, twirled T1/T2 (algorithms.md 2.1, 11.5, 11.6). Refuses
chance: the caller brings a uniform number. Imports numpy, therefore the World imports this file only when a
gate is asked for.

The state is a tensor of 2n axes of length 2: row axes 0..n-1, column axes n..2n-1, in the order of `members`.
"""

from __future__ import annotations

from math import cos, pi, sin, sqrt
from typing import Final

import numpy as np
import numpy.typing as npt

from bellwire.core.bell import Bell
from bellwire.core.bell import eigenvalues as eigenvalues_of
from bellwire.core.bell import from_eigenvalues as bell_of
from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import End
from bellwire.simulator_backend.world_pairs import Pair, Slot

Tensor = npt.NDArray[np.complex128]

CLUSTER_MAX: Final = 8
"""Qubits in one cluster; 2**16 complex numbers. More would be a simulation that this file is not made for."""

QUARTER_TURN_TOLERANCE: Final = 1e-9
"""A rotation this close (rad) to a multiple of pi/2 is a Clifford gate that carries the frame along."""


def _matrix(rows: list[list[complex]]) -> Tensor:
    return np.array(rows, dtype=np.complex128)


PAULIS: Final = (
    _matrix([[1, 0], [0, 1]]),
    _matrix([[1, 0], [0, -1]]),
    _matrix([[0, 1], [1, 0]]),
    _matrix([[0, -1j], [1j, 0]]),
)
_CNOT: Final = _matrix([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]])
_CZ: Final = _matrix([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, -1]])
_H: Final = _matrix([[1, 1], [1, -1]]) / sqrt(2.0)
# Rows are the bras of outcome 0 (+1) and 1 (-1).
_BASES: Final = {"X": _H, "Y": _matrix([[1, -1j], [1, 1j]]) / sqrt(2.0), "Z": PAULIS[0]}
# Row i is the Bell state of index i on (first, second) qubit.
_BELL: Final = _matrix([[1, 0, 0, 1], [1, 0, 0, -1], [0, 1, 1, 0], [0, 1, -1, 0]]) / sqrt(2.0)
_AXES: Final = {"X": 2, "Y": 3, "Z": 1}
_ROTATIONS: Final = {"rx": _AXES["X"], "ry": _AXES["Y"], "rz": _AXES["Z"]}


class Member:
    """One qubit of a cluster. frame None: no Pauli frame describes it (unknown qubit, non-Clifford gate)."""

    __slots__ = ("end", "frame", "mate", "since_ns", "slot")

    def __init__(self, slot: Slot, end: End, frame: int | None, since_ns: int) -> None:
        self.slot = slot
        self.end = end
        self.frame = frame
        self.since_ns = since_ns
        self.mate: Member | None = None


class Cluster:
    """A density matrix over `members`. Every method ages the qubits it touches to `now_ns` first."""

    __slots__ = ("members", "state")

    def __init__(self, members: list[Member], state: Tensor) -> None:
        self.members = members
        self.state = state
        for member in members:
            member.slot.pair = member.slot.lone = member.slot.fresh_ns = None
            member.slot.cluster = self

    @classmethod
    def of_slot(cls, slot: Slot, now_ns: int) -> Cluster:
        """The cluster that a slot's qubit belongs to, promoting a pair, a fresh |0> or an unknown qubit."""
        if slot.cluster is not None:
            return slot.cluster
        pair, lone = slot.pair, slot.lone
        if lone is not None:
            turned = sum(
                size * PAULIS[_AXES[axis]] for axis, size in zip("XYZ", lone.polarisation, strict=True)
            )
            state = np.asarray((PAULIS[0] + turned) / 2.0, dtype=np.complex128)
            return cls([Member(slot, lone.end, lone.frame, lone.since_ns)], state)
        if pair is None:
            if slot.fresh_ns is None:
                slot.uses += 1
                return cls([Member(slot, slot.own_end(), None, now_ns)], PAULIS[0] / 2.0)
            return cls([Member(slot, slot.own_end(), 0, slot.fresh_ns)], _matrix([[1, 0], [0, 0]]))
        if pair.slots[1 - slot.side] is None:
            end, since_ns = pair.ends[slot.side], pair.since_ns[slot.side]
            return cls([Member(slot, end, None, since_ns)], PAULIS[0] / 2.0)
        relative = bell_of(pair.eigenvalues)
        rho = sum(
            relative[i ^ pair.frame] * np.outer(_BELL[i], _BELL[i].conj()) for i in range(4)
        )  # absolute weights
        members = [
            Member(held, pair.ends[side], pair.frame if side == 0 else 0, pair.since_ns[side])
            for side, held in enumerate(pair.slots)
            if held is not None
        ]
        members[0].mate, members[1].mate = members[1], members[0]
        return cls(members, np.asarray(rho, dtype=np.complex128).reshape(2, 2, 2, 2))

    def absorb(self, other: Cluster) -> None:
        """Become the product of two clusters.

        Raises:
            LocalMisuse: more than CLUSTER_MAX qubits.
        """
        n, m = len(self.members), len(other.members)
        if n + m > CLUSTER_MAX:
            raise LocalMisuse(
                f"a gate would join {n + m} qubits in one cluster; the World holds at most {CLUSTER_MAX}"
            )
        product = np.tensordot(self.state, other.state, axes=0)
        rows = [*range(n), *range(2 * n, 2 * n + m)]
        columns = [*range(n, 2 * n), *range(2 * n + m, 2 * n + 2 * m)]
        self.state = np.transpose(product, rows + columns)
        self.members.extend(other.members)
        for member in other.members:
            member.slot.cluster = self

    # --- gates ---------------------------------------------------------------------------------------------

    def pauli(self, slot: Slot, pauli: int, survival: float, now_ns: int) -> None:
        """Apply a Pauli and count it in the frame; `survival` is the weight of the perfect gate."""
        at = self._ready(slot, now_ns)
        self._operate(PAULIS[pauli], [at])
        member = self.members[at]
        member.frame = None if member.frame is None else member.frame ^ pauli
        self._shrink(at, survival, survival)

    def gate(self, slot: Slot, name: str, angle_rad: float, survival: float, now_ns: int) -> None:
        """h, rx, ry or rz (rotation by `angle_rad`, exp(-i angle/2 sigma))."""
        at = self._ready(slot, now_ns)
        member = self.members[at]
        if name == "h":
            self._operate(_H, [at])
            member.frame = _exchange(member.frame)
        elif name in _ROTATIONS:
            axis, half = _ROTATIONS[name], angle_rad / 2.0
            self._operate(cos(half) * PAULIS[0] - 1j * sin(half) * PAULIS[axis], [at])
            turns = round(angle_rad / (pi / 2.0))
            if abs(angle_rad - turns * pi / 2.0) > QUARTER_TURN_TOLERANCE:
                member.frame = None
            elif turns % 2 and member.frame is not None:
                member.frame = _quarter_turn(member.frame, axis)
        else:
            raise LocalMisuse(f"gate {name!r} is none of h, rx, ry, rz")
        self._shrink(at, survival, survival)

    def flip_phase(self, slot: Slot, probability: float, now_ns: int) -> None:
        """A Z error with this probability."""
        self._shrink(self._ready(slot, now_ns), 1.0 - 2.0 * probability, 1.0)

    def controlled(self, name: str, control: Slot, target: Slot, survival: float, now_ns: int) -> None:
        """cnot or cz, followed by depolarising of both qubits with weight 1 - survival."""
        c, t = self._ready(control, now_ns), self._ready(target, now_ns)
        self._operate(_CNOT if name == "cnot" else _CZ, [c, t])
        one, two = self.members[c], self.members[t]
        if one.frame is None or two.frame is None:
            one.frame = two.frame = None
        elif name == "cnot":
            one.frame, two.frame = one.frame ^ (two.frame & 1), two.frame ^ (one.frame & 2)
        else:
            one.frame, two.frame = one.frame ^ (two.frame >> 1), two.frame ^ (one.frame >> 1)
        if survival < 1.0:
            kept = self.state
            self._shrink(c, 0.0, 0.0)
            self._shrink(t, 0.0, 0.0)
            self.state = survival * kept + (1.0 - survival) * self.state

    # --- measurements --------------------------------------------------------------------------------------

    def measure(self, slot: Slot, basis: str, readout_fidelity: float, uniform: float, now_ns: int) -> int:
        """Reported bit (0 = eigenvalue +1) of a destructive measurement in X, Y or Z; the qubit leaves."""
        if basis not in _BASES:
            raise LocalMisuse(f"basis {basis!r} is none of X, Y, Z")
        at = self._ready(slot, now_ns)
        self._operate(_BASES[basis], [at])
        branches = [self._slice(self.state, [at], bit) for bit in (0, 1)]
        m = readout_fidelity
        reported = [m * branches[0] + (1 - m) * branches[1], m * branches[1] + (1 - m) * branches[0]]
        bit = self._draw(reported, uniform)
        self._remove([at])
        return bit

    def measure_bell(
        self,
        first: Slot,
        second: Slot,
        noise: Bell,
        uniform: float,
        now_ns: int,
    ) -> int:
        """Reported Bell index of two members; both leave, and their mates become each other's.

        noise: distribution of the XOR between true and reported index (`bell.bsm_noise`).
        """
        a, b = self._ready(first, now_ns), self._ready(second, now_ns)
        vectors = np.tensordot(_BELL.conj().reshape(4, 2, 2), self.state, axes=([1, 2], [a, b]))
        n = len(self.members)
        columns = [n - 2 + 1 + a, n - 2 + 1 + b]
        branches: list[Tensor] = [
            np.tensordot(_BELL[i].reshape(2, 2), vectors[i], axes=([0, 1], [axis - 1 for axis in columns]))
            for i in range(4)
        ]
        mixtures = [
            sum((noise[r ^ i] * branches[i] for i in range(4)), np.zeros_like(branches[0])) for r in range(4)
        ]
        outcome = self._draw(mixtures, uniform)
        one, two = self.members[a], self.members[b]
        left, right = one.mate, two.mate
        self._remove([a, b])
        if left is not None and right is not None and left is not two:
            left.mate, right.mate = right, left
            known = left.frame is not None and one.frame is not None and two.frame is not None
            left.frame = (left.frame or 0) ^ (one.frame or 0) ^ (two.frame or 0) ^ outcome if known else None
        return outcome

    def discard(self, slot: Slot) -> None:
        """Lose a qubit: trace it out."""
        at = self._position(slot)
        self.state = self._slice(self.state, [at], 0) + self._slice(self.state, [at], 1)
        self._remove([at])

    # --- looking -------------------------------------------------------------------------------------------

    def aged(self, now_ns: int) -> Tensor:
        """The state as of now, without touching the cluster."""
        before = self.state
        for at, member in enumerate(self.members):
            self._shrink(at, *member.slot.memory.decay(now_ns - member.since_ns))
        aged, self.state = self.state, before
        return aged

    def mates(self) -> tuple[Member, Member] | None:
        """The two members, if this cluster is one pair that a Pauli frame describes."""
        if len(self.members) != 2 or self.members[0].mate is not self.members[1]:
            return None
        one, two = self.members
        return None if one.frame is None or two.frame is None else (one, two)

    def bell_vector(self) -> Bell:
        """Absolute Bell diagonal of a two-qubit cluster, as of each qubit's own time."""
        rho = self.state.reshape(4, 4)
        a0, a1, a2, a3 = (max(0.0, float(np.real(_BELL[i].conj() @ rho @ _BELL[i]))) for i in range(4))
        return (a0, a1, a2, a3)

    def demote(self) -> bool:
        """Return to the fast form if this is one pair in a Bell-diagonal state (coherences below 1e-12)."""
        mates = self.mates()
        if mates is None:
            return False
        rotated = _BELL.conj() @ self.state.reshape(4, 4) @ _BELL.T
        if np.abs(rotated - np.diag(np.diag(rotated))).max() > 1e-12:
            return False
        one, two = mates
        frame = (one.frame or 0) ^ (two.frame or 0)
        a = self.bell_vector()
        relative = (a[frame], a[1 ^ frame], a[2 ^ frame], a[3 ^ frame])
        pair = Pair(eigenvalues_of(relative), frame, [one.end, two.end], [one.since_ns, two.since_ns])
        for side, member in enumerate(mates):
            member.slot.cluster = None
            pair.put(side, member.slot)
        return True

    # --- tensor work ---------------------------------------------------------------------------------------

    def _position(self, slot: Slot) -> int:
        for index, member in enumerate(self.members):
            if member.slot is slot:
                return index
        raise LocalMisuse(f"slot {slot.number} is not in this cluster")

    def _ready(self, slot: Slot, now_ns: int) -> int:
        at = self._position(slot)
        member = self.members[at]
        phase, flip = slot.memory.decay(now_ns - member.since_ns)
        member.since_ns = max(now_ns, member.since_ns)
        self._shrink(at, phase, flip)
        return at

    def _operate(self, operator: Tensor, positions: list[int]) -> None:
        k, n = len(positions), len(self.members)
        tensor = operator.reshape((2,) * (2 * k))
        inputs = list(range(k, 2 * k))
        state = np.tensordot(tensor, self.state, axes=(inputs, positions))
        state = np.moveaxis(state, list(range(k)), positions)
        columns = [n + position for position in positions]
        state = np.tensordot(tensor.conj(), state, axes=(inputs, columns))
        self.state = np.moveaxis(state, list(range(k)), columns)

    def _shrink(self, at: int, phase: float, flip: float) -> None:
        """Pauli channel of one qubit: <X> and <Y> shrink by `phase`, <Z> by `flip`."""
        if phase == 1.0 and flip == 1.0:
            return
        state = np.moveaxis(self.state, [at, len(self.members) + at], [0, 1]).copy()
        up, down = state[0, 0].copy(), state[1, 1].copy()
        state[0, 1] *= phase
        state[1, 0] *= phase
        state[0, 0] = (1 + flip) / 2 * up + (1 - flip) / 2 * down
        state[1, 1] = (1 + flip) / 2 * down + (1 - flip) / 2 * up
        self.state = np.moveaxis(state, [0, 1], [at, len(self.members) + at])

    def _slice(self, state: Tensor, positions: list[int], bit: int) -> Tensor:
        (at,) = positions
        sliced: Tensor = np.moveaxis(state, [at, len(self.members) + at], [0, 1])[bit, bit]
        return sliced

    def _draw(self, branches: list[Tensor], uniform: float) -> int:
        """Choose a branch by its trace, keep it, normalised."""
        side = 2 ** (branches[0].ndim // 2)
        weights = [max(0.0, float(np.real(np.trace(branch.reshape(side, side))))) for branch in branches]
        left, chosen = uniform * sum(weights), 0
        for index, weight in enumerate(weights):
            if weight > 0.0:
                chosen = index
                if left < weight:
                    break
            left -= weight
        self.state = branches[chosen] / weights[chosen]
        return chosen

    def _remove(self, positions: list[int]) -> None:
        for member in [self.members[at] for at in positions]:
            member.slot.cluster = None
            if member.mate is not None and member.mate.mate is member:
                member.mate.mate = None
            self.members.remove(member)


def _exchange(frame: int | None) -> int | None:
    return None if frame is None else (frame >> 1) | (frame & 1) << 1


def _quarter_turn(frame: int, axis: int) -> int:
    # Conjugation by a quarter turn about sigma_axis fixes that Pauli and exchanges the two others.
    return frame if frame in (0, axis) else frame ^ axis
