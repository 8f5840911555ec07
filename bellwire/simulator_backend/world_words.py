"""What goes into a World and what comes out of it.

Owns the records of a World's truth (links, memories) and of what it tells (planned clicks, clicks, pairs).
Refuses behaviour: these are values, checked once when they are made.
"""

from dataclasses import dataclass
from typing import NamedTuple

from bellwire.core.bell import Bell, decay_rates
from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import End
from bellwire.core.photonics import HeraldOutcome, HeraldPhysics, herald_index


class HeraldScript(NamedTuple):
    """Successes by the calendar instead of by chance, so that two hosts meet the same heralds.

    Lane l succeeds in the attempts `offsets[l] + k * every_attempts`, k = 0, 1, ..., if both sides attempt
    then.
    """

    every_attempts: int
    offsets: tuple[int, ...]

    def next_success(self, lane: int, first: int) -> int:
        """The first attempt of the script, not before `first`."""
        late = max(0, first - self.offsets[lane])
        return self.offsets[lane] + -(-late // self.every_attempts) * self.every_attempts


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTruth:
    """The hidden truth of one heralded link.

    name: link id. nodes: side 0 and side 1.
    period_ns: from the start of one attempt to the start of the next.
    success_probability: per joint attempt and lane, 0..1; 0 is a dark link that never clicks.
    outcomes: what a success can be; the states hold at the time of the click, storage until then included.
    lanes: independent attempts per period. click_delay_ns: from the start of an attempt to its click.
    script: when successes happen, for comparisons of hosts; None: chance decides.
    points: what the operating points of the hardware give, by number; empty: there is only point 0, the one
    above. With points, success_probability and outcomes stand for nothing.
    """

    name: str
    nodes: tuple[str, str]
    period_ns: int
    success_probability: float
    outcomes: tuple[HeraldOutcome, ...]
    lanes: int
    click_delay_ns: int
    script: HeraldScript | None = None
    points: tuple[HeraldPhysics, ...] = ()

    @property
    def physics(self) -> tuple[HeraldPhysics, ...]:
        """What each operating point gives, by number."""
        return self.points or (HeraldPhysics(self.success_probability, self.outcomes),)

    def __post_init__(self) -> None:
        if self.nodes[0] == self.nodes[1]:
            raise LocalMisuse(f"link {self.name} joins {self.nodes[0]} with itself")
        if self.period_ns <= 0 or self.click_delay_ns < 0 or self.lanes < 1:
            raise LocalMisuse(
                f"link {self.name}: period {self.period_ns} ns, click delay {self.click_delay_ns} ns, "
                f"{self.lanes} lanes; need > 0, >= 0, >= 1"
            )
        if self.script is not None and (
            self.script.every_attempts < 1
            or len(self.script.offsets) != self.lanes
            or min(self.script.offsets) < 0
        ):
            raise LocalMisuse(
                f"link {self.name}: {self.script} is no script for {self.lanes} lanes; needs a spacing of at "
                "least one attempt and an offset >= 0 for each lane"
            )
        for physics in self.physics:
            self._check(physics)

    def _check(self, physics: HeraldPhysics) -> None:
        success, outcomes = physics
        if not 0.0 <= success <= 1.0:
            raise LocalMisuse(f"link {self.name}: success probability {success} is outside 0..1")
        if abs(sum(outcome.share for outcome in outcomes) - 1.0) > 1e-9:
            raise LocalMisuse(f"link {self.name}: the shares of its herald outcomes do not sum to one")
        for outcome in outcomes:
            herald_index(outcome.code)
            if min(outcome.state) < -1e-12 or abs(sum(outcome.state) - 1.0) > 1e-9:
                raise LocalMisuse(f"link {self.name}: {outcome.state} is not a Bell-diagonal state")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryTruth:
    """The hidden truth of one node's memory.

    node: its name. slots: how many qubits.
    t1_ns, t2_ns, depolarising_time_ns: coherence of a stored qubit; None as in `bell.decay_rates`.
    bsm_success_probability: that a Bell measurement gives an outcome at all; a failure loses both qubits.
    gate_fidelity: weight g of the perfect two-qubit gate (BSM, CNOT, CZ), else both qubits are fully mixed
    (11.6). readout_fidelity: that one bit is read as it is. single_gate_fidelity: weight of the perfect
    one-qubit gate. phase_flip: probability of a Z error on each qubit just before a Bell measurement.
    """

    node: str
    slots: int
    t1_ns: int | None = None
    t2_ns: int | None = None
    depolarising_time_ns: int | None = None
    bsm_success_probability: float = 1.0
    gate_fidelity: float = 1.0
    readout_fidelity: float = 1.0
    single_gate_fidelity: float = 1.0
    phase_flip: float = 0.0

    def __post_init__(self) -> None:
        if self.slots < 1:
            raise LocalMisuse(f"memory of {self.node} has {self.slots} slots; it needs at least one")
        for name in (
            "bsm_success_probability",
            "gate_fidelity",
            "readout_fidelity",
            "single_gate_fidelity",
            "phase_flip",
        ):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise LocalMisuse(f"memory of {self.node}: {name} = {getattr(self, name)} is outside 0..1")
        decay_rates(self.t1_ns, self.t2_ns, self.depolarising_time_ns)


class PlannedClick(NamedTuple):
    """A promise: `World.realise` is due at `at_ns`. A later `serial` of the lane overtakes it.

    point: operating point of the attempt.
    """

    link: str
    lane: int
    run: int
    attempt: int
    at_ns: int
    serial: int
    point: int = 0


class Click(NamedTuple):
    """A heralded success at the station.

    code: 1 = Psi+, 2 = Psi-. slots: slot numbers at side 0 and side 1 that made the attempt.
    held: whether each side still keeps the qubit of that attempt (False: disarmed while the photon flew).
    """

    link: str
    lane: int
    run: int
    attempt: int
    code: int
    at_ns: int
    slots: tuple[int, int]
    held: tuple[bool, bool]


class PairTruth(NamedTuple):
    """What a perfect tracker would know of the pair whose one half is in a slot.

    far: (node, slot) of the other half. frame: XOR of herald indices, reported BSM outcomes and applied
    Paulis, carried through Clifford gates. state: Bell vector relative to that frame. fidelity: state[0].
    ends: the link-pair ends that the near and the far qubit were born as.
    """

    far: tuple[str, int]
    frame: int
    state: Bell
    fidelity: float
    ends: tuple[End, End]
