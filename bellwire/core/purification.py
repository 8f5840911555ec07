"""What rounds of purification make of pairs, with the noise of both memories.

Owns the state maths that link layer and planner share: waiting, one-qubit gates, DEJMPS, and the ladder of
rounds with its success probabilities (algorithms.md 2.1, 2.2). Refuses protocol: who measures when is told by
`bellwire.link_layer.purification`.

Frames at a link: every pair is brought to Phi+ by Paulis at side 1 before its first round, so a state
relative to the heralded frame enters DEJMPS as it is, and the kept pair leaves the round with frame 0.
Between distant nodes frames stay in software (`judged`).
"""

from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

from bellwire.core.bell import (
    Bell,
    Purified,
    Walsh,
    decay,
    dejmps,
    depolarise,
    fidelity_of,
    from_walsh,
    recurrence,
    to_walsh,
)
from bellwire.core.ids import End
from bellwire.core.plans import PurificationPlan
from bellwire.core.settings import MemorySettings
from bellwire.core.view import LedgerView

Memories = tuple[MemorySettings, MemorySettings]
"""Of side 0 and side 1 of a link."""

PURIFIED_FRAME: Final = 0
"""Pauli index of every pair that has been through a round: Phi+."""

SCHEME: Final[Literal["dejmps"]] = "dejmps"
"""Rounds of a link always turn both qubits first: errors of heralded pairs are mostly phase errors, which
plain recurrence does not see."""


class Waiting(NamedTuple):
    """A pair before a round: its state, and how long each half has waited since that was estimated."""

    state: Walsh  # relative to its frame
    waited_ns: tuple[int, int]  # at side 0 and side 1
    corrected: bool  # side 1 applies a Pauli to bring it to Phi+


def purified(
    kept: Waiting, measured: Waiting, memories: Memories, turned_for_ns: tuple[int, int] = (0, 0)
) -> Purified:
    """One round: chance that the bits agree, and the kept pair's state relative to Phi+ if they do.

    `waited_ns` of both pairs ends when each side turns its qubits, and turned_for_ns is how long each side
    then takes to measure: a phase error of that time is not one that the bits can tell. The state holds when
    each side has measured.
    """
    gates = (memories[0].gate_fidelity, memories[1].gate_fidelity)
    readouts = (memories[0].readout_fidelity, memories[1].readout_fidelity)
    one, two = _prepared(kept, memories), _prepared(measured, memories)
    if turned_for_ns == (0, 0):
        return dejmps(one, two, gate_fidelities=gates, readout_fidelities=readouts)
    one, two = (_turned(pair, memories, turned_for_ns) for pair in (one, two))
    return recurrence(one, two, gate_fidelities=gates, readout_fidelities=readouts)


def _turned(pair: Bell, memories: Memories, lapse_ns: tuple[int, int]) -> Bell:
    """The turns of a DEJMPS round exchange components 1 and 3; then the pair waits for its gate."""
    state = to_walsh((pair[0], pair[3], pair[2], pair[1]))
    for memory, one_ns in zip(memories, lapse_ns, strict=True):
        state = decay(state, memory.rates, one_ns)
    return from_walsh(state)


def _prepared(pair: Waiting, memories: Memories) -> Bell:
    """A pair as it enters the CNOTs: waiting and one-qubit gates are Pauli channels and commute."""
    state = pair.state
    for memory, waited_ns in zip(memories, pair.waited_ns, strict=True):
        state = decay(state, memory.rates, waited_ns)
    here, there = (memory.single_gate_fidelity for memory in memories)
    survival = here * there * (there if pair.corrected else 1.0)
    return depolarise(from_walsh(state), survival)


def pumps(pumping: bool, rounds: int, room: int) -> bool:
    """True when fresh pairs purify one kept pair: as asked, or because a recurrence has no room.

    room: pairs that the link can hold at a time. A recurrence of n rounds holds up to n + 1, pumping two.
    """
    return pumping or room < rounds + 1


def ladder(
    fresh: Bell, rounds: int, *, pumping: bool, memories: Memories, waited_ns: int = 0
) -> tuple[Purified, ...]:
    """What each of `rounds` rounds brings: its success probability and its state.

    fresh: mean state of a new pair relative to its frame, which is not Phi+. waited_ns: how long the kept
    pair of every round has waited for the measured one, which is new.
    """
    new = Waiting(to_walsh(fresh), (0, 0), corrected=True)
    kept = new
    rungs: list[Purified] = []
    for _ in range(rounds):
        measured = new if pumping else kept
        rung = purified(kept._replace(waited_ns=(waited_ns, waited_ns)), measured, memories)
        rungs.append(rung)
        kept = Waiting(to_walsh(rung.state), (0, 0), corrected=False)
    return tuple(rungs)


def pairs_per_product(rungs: Sequence[Purified], *, pumping: bool) -> float:
    """Mean number of fresh pairs that one purified pair costs (algorithms.md 2.2, without times).

    Recurrence: n_k = 2 n_{k-1} / p_k. Pumping: n_k = (n_{k-1} + 1) / p_k. n_0 = 1.
    """
    return pairs_for([rung.success_probability for rung in rungs], pumping=pumping)


def pairs_for(chances: Iterable[float], *, pumping: bool) -> float:
    """The same from the chance of each round."""
    pairs = 1.0
    for chance in chances:
        pairs = (pairs + 1.0 if pumping else 2.0 * pairs) / chance
    return pairs


def is_refined(view: LedgerView, end: End, plan: PurificationPlan, now_ns: int) -> bool:
    """True when the pair of an own end needs no further rounds of its plan before it is used."""
    if plan.fidelity_min is None:
        return view.rounds(end) >= plan.rounds
    return view.chain(end) is not None and fidelity_of(view.state(end, now_ns)) >= plan.fidelity_min


class Rung(NamedTuple):
    """One round on two pairs whose frames stay in software."""

    passed: bool  # the two bits are those of a round that passes
    frame: int  # Pauli index of the kept pair afterwards


def judged(frames: tuple[int, int], bits: tuple[int, int]) -> Rung:
    """What the bits of a DEJMPS round mean for a kept and a measured pair of these frames.

    The turns make f ^ 2 of a frame f with bit 0. Without errors the Z readings then differ by the X part of
    both frames, and the CNOTs pass the Z part of the measured pair's frame on to the kept one (2.1).
    """
    kept, measured = (frame ^ (frame & 1) << 1 for frame in frames)
    return Rung(bits[0] ^ bits[1] == (kept ^ measured) >> 1, kept ^ (measured & 1))
