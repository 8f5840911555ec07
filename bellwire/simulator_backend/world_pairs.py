"""Slots of memories and the fast form of what they hold: Bell-diagonal pairs that age only when touched.

Owns the representation that the virtual-time host lives on: three real eigenvalues, a frame, and per qubit
the time up to which it has aged. Plain floats, no numpy. Refuses gates outside the Pauli group (clusters.py)
and chance.
"""

from __future__ import annotations

from math import cos, exp, sin, tau
from typing import TYPE_CHECKING, Final

from bellwire.core.bell import COST_UNIT_PER_NEPER, Eigenvalues, bsm_noise, decay_rates, permute
from bellwire.core.bell import eigenvalues as eigenvalues_of
from bellwire.core.bell import from_eigenvalues as bell_of
from bellwire.core.ids import End
from bellwire.simulator_backend.world_words import MemoryTruth, PairTruth

if TYPE_CHECKING:
    from bellwire.simulator_backend.clusters import Cluster
    from bellwire.simulator_backend.world_lanes import Lane

Axis = tuple[float, float, float]
"""Direction in which a qubit is measured or polarised (x, y, z); shorter than 1 where noise has its part."""

BASES: Final[dict[str, Axis]] = {"X": (1.0, 0.0, 0.0), "Y": (0.0, 1.0, 0.0), "Z": (0.0, 0.0, 1.0)}
"""What a qubit can be measured in."""

Rotation = tuple[int, int, int]
"""Turns about X, then Y, then X, in units of 2 pi / ROTATION_STEPS."""

ROTATION_STEPS: Final = 256
UNTURNED: Final[Rotation] = (0, 0, 0)


def turned_axis(basis: str, rotation: Rotation, survival: float) -> Axis:
    """What is measured when a qubit is turned and then measured in a basis.

    survival: weight of the perfect gate in each of the turns that are made; a turn by nothing is none.
    """
    x, y, z = BASES[basis]
    first, second, third = (step * tau / ROTATION_STEPS for step in rotation)
    # The last turn acts on the observable first, in the opposite sense.
    y, z = cos(third) * y + sin(third) * z, cos(third) * z - sin(third) * y
    z, x = cos(second) * z + sin(second) * x, cos(second) * x - sin(second) * z
    y, z = cos(first) * y + sin(first) * z, cos(first) * z - sin(first) * y
    weight = survival ** sum(step % ROTATION_STEPS != 0 for step in rotation)
    return (x * weight, y * weight, z * weight)


class Memory:
    """One node's slots, with the constants of its truth worked out once."""

    __slots__ = ("bsm_eigenvalues", "bsm_noise", "flip_rate", "phase_rate", "slots", "truth")

    def __init__(self, truth: MemoryTruth) -> None:
        self.truth: Final = truth
        phase, flip, _ = decay_rates(truth.t1_ns, truth.t2_ns, truth.depolarising_time_ns)
        # The ledger's own rounded rates: a ledger with true parameters agrees with the World to the digit.
        self.phase_rate: Final = phase / COST_UNIT_PER_NEPER
        self.flip_rate: Final = flip / COST_UNIT_PER_NEPER
        self.bsm_noise: Final = bsm_noise(truth.gate_fidelity, truth.readout_fidelity, truth.phase_flip)
        self.bsm_eigenvalues: Final = eigenvalues_of(self.bsm_noise)
        self.slots: Final = tuple(Slot(self, number) for number in range(truth.slots))

    def decay(self, duration_ns: int) -> tuple[float, float]:
        """Factors on (<X>, <Y>) and on <Z> of one stored qubit; a clock that stepped back ages nothing."""
        if duration_ns <= 0:
            return (1.0, 1.0)
        return (exp(-self.phase_rate * duration_ns), exp(-self.flip_rate * duration_ns))


class Slot:
    """One memory slot: attempts on a lane, a pair's half, what a measured pair left, a cluster's qubit, a
    fresh |0>, or nothing."""

    __slots__ = (
        "cluster",
        "fresh_ns",
        "lane",
        "lane_side",
        "lone",
        "memory",
        "number",
        "pair",
        "side",
        "uses",
    )

    def __init__(self, memory: Memory, number: int) -> None:
        self.memory = memory
        self.number = number
        self.lane: Lane | None = None
        self.lane_side = 0
        self.pair: Pair | None = None
        self.side = 0
        self.lone: Lone | None = None
        self.cluster: Cluster | None = None
        self.fresh_ns: int | None = None
        self.uses = 0

    def own_end(self) -> End:
        """A name for a qubit that no herald ever named; `@` keeps it apart from the names of links."""
        return End(f"@{self.memory.truth.node}", self.uses, 0, self.number, 0)


class Pair:
    """Two qubits in a Bell-diagonal state. A slot that is None lost its qubit; the other is fully mixed."""

    __slots__ = ("eigenvalues", "ends", "frame", "since_ns", "slots")

    def __init__(self, eigenvalues: Eigenvalues, frame: int, ends: list[End], since_ns: list[int]) -> None:
        self.eigenvalues = eigenvalues
        self.frame = frame
        self.ends = ends
        self.since_ns = since_ns
        self.slots: list[Slot | None] = [None, None]

    def put(self, side: int, slot: Slot) -> None:
        """Place one half into an empty slot."""
        assert slot.pair is None, "a slot in two live pairs"
        assert slot.lone is None, "a slot in a pair and with a qubit of its own"
        assert slot.cluster is None, "a slot in a pair and in a cluster"
        self.slots[side] = slot
        slot.pair = self
        slot.side = side

    def aged(self, now_ns: int) -> Eigenvalues:
        """Eigenvalues as of `now_ns`, without touching the pair."""
        l1, l2, l3 = self.eigenvalues
        for side in (0, 1):
            slot = self.slots[side]
            if slot is not None:
                phase, flip = slot.memory.decay(now_ns - self.since_ns[side])
                l1, l2, l3 = l1 * phase, l2 * flip, l3 * phase
        return (l1, l2, l3)

    def swap(self, side: int, other: Pair, other_side: int, outcome: int, now_ns: int) -> None:
        """Bell measurement of our half `side` with the `other_side` half of another pair: we become the long
        pair.

        The new frame is frame ^ other frame ^ reported outcome. The two far qubits age later, on their own:
        storage, swaps and readout noise are all Pauli channels and commute.
        """
        near, beside = self.slots[side], other.slots[other_side]
        assert near is not None, "a swap measures qubits that exist"
        assert beside is not None, "a swap measures qubits that exist"
        memory = near.memory
        phase, flip = memory.decay(now_ns - self.since_ns[side])
        other_phase, other_flip = memory.decay(now_ns - other.since_ns[other_side])
        phase *= other_phase
        a1, a2, a3 = self.eigenvalues
        b1, b2, b3 = other.eigenvalues
        n1, n2, n3 = memory.bsm_eigenvalues
        self.eigenvalues = (a1 * b1 * n1 * phase, a2 * b2 * n2 * flip * other_flip, a3 * b3 * n3 * phase)
        self.frame ^= other.frame ^ outcome
        far_side = 1 - other_side
        far = other.slots[far_side]
        near.pair = beside.pair = None
        self.slots[side] = far
        self.ends[side] = other.ends[far_side]
        self.since_ns[side] = other.since_ns[far_side]
        if far is not None:
            assert far.pair is other, "the far slot has left its pair"
            far.pair = self
            far.side = side

    def measure(self, side: int, axis: Axis, uniform: float, now_ns: int) -> int:
        """Reported bit of a destructive measurement of our half `side` along an axis; our other half, if it
        still exists, stays behind as a `Lone` qubit that the bit says something about.

        Either bit is equally likely: each half of a Bell-diagonal state is fully mixed. The other half is
        then polarised by the correlations <XX>, <YY> and <ZZ>, as far as they are left.
        """
        near, far = self.slots[side], self.slots[1 - side]
        assert near is not None, "a measurement needs a qubit that exists"
        bit = 0 if uniform < 0.5 else 1
        near.pair = self.slots[side] = None
        if far is None:
            return bit
        l1, l2, l3 = self.eigenvalues
        phase, flip = near.memory.decay(now_ns - self.since_ns[side])
        read = 2.0 * near.memory.truth.readout_fidelity - 1.0
        if bit:
            read = -read
        x, y, z = axis
        frame = self.frame
        polarisation = (
            x * l1 * phase * (-read if frame & 1 else read),
            y * -l3 * phase * (-read if (frame ^ frame >> 1) & 1 else read),  # lambda_3 is -<YY>
            z * l2 * flip * (-read if frame >> 1 else read),
        )
        end, since_ns = self.ends[1 - side], self.since_ns[1 - side]
        far.pair = None
        # As in a cluster, the frame of the pair stays with side 0.
        far.lone = Lone(polarisation, end, frame if side == 1 else 0, since_ns)
        return bit


class Lone:
    """One qubit whose partner was measured: its polarisation (as of `since_ns`)."""

    __slots__ = ("end", "frame", "polarisation", "since_ns")

    def __init__(self, polarisation: Axis, end: End, frame: int, since_ns: int) -> None:
        self.polarisation = polarisation
        self.end = end
        self.frame = frame
        self.since_ns = since_ns

    def measure(self, near: Slot, axis: Axis, uniform: float, now_ns: int) -> int:
        """Reported bit; across the direction of polarisation both bits are equally likely."""
        near.lone = None
        phase, flip = near.memory.decay(now_ns - self.since_ns)
        read = 2.0 * near.memory.truth.readout_fidelity - 1.0
        (x, y, z), (u, v, w) = self.polarisation, axis
        mean = (x * u * phase + y * v * phase + z * w * flip) * read
        return 0 if 2.0 * uniform < 1.0 + mean else 1


def truth_of(place: Slot, now_ns: int) -> PairTruth | None:
    """The pair whose half is in a slot, as of `now_ns`; None: the partner is gone, or this is no pair."""
    pair = place.pair
    if pair is not None:
        far = pair.slots[1 - place.side]
        if far is None:
            return None
        state, frame = bell_of(pair.aged(now_ns)), pair.frame
        ends = (pair.ends[place.side], pair.ends[1 - place.side])
    else:
        mates = None if place.cluster is None else place.cluster.mates()
        if mates is None or place.cluster is None:
            return None
        near, other = mates if mates[0].slot is place else (mates[1], mates[0])
        frame = (near.frame or 0) ^ (other.frame or 0)
        relative = permute(place.cluster.bell_vector(), frame)
        aged = Pair(eigenvalues_of(relative), frame, [near.end, other.end], [near.since_ns, other.since_ns])
        aged.slots = [near.slot, other.slot]
        state, far, ends = bell_of(aged.aged(now_ns)), other.slot, (near.end, other.end)
    return PairTruth((far.memory.truth.node, far.number), frame, state, state[0], ends)
