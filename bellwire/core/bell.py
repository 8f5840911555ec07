"""Bell-diagonal states: maps on probability 4-tuples, and the exact integer form that the ledger keeps.

Owns the index convention of the whole project: Bell index 0..3 = (Phi+, Phi-, Psi+, Psi-) = Paulis
(I, Z, X, Y); bit 0 = Z, bit 1 = X; XOR of indices is the group law (algorithms.md 0.1).
Refuses chance, time-keeping and states that are not Bell-diagonal (those live in the World's clusters).

Two forms of one state:

- `Bell`, four floats that sum to one. For physics, planning and display.
- `Walsh`, the three characters of those four numbers, each as a sign bit and an integer -ln in units of
  2**-56 neper. Swap is addition and decay is rate x duration, so that any order of joining and ageing gives
  the same bits. For the ledger, where replicas fold the same facts in different orders.

`Walsh` eigenvalue k (1..3) is lambda_k = sum_i (-1)^parity(k & i) a_i: <XX>, <ZZ>, -<YY> for k = 1, 2, 3.
"""

from math import exp, log
from typing import Final, NamedTuple

from bellwire.core.errors import LocalMisuse

Bell = tuple[float, float, float, float]
"""Probabilities of (Phi+, Phi-, Psi+, Psi-): absolute, or relative to a frame when the text says so."""

Cost = tuple[int, int, int]
"""-ln|lambda_k| for k = 1, 2, 3 in units of 2**-56 neper, each in 0..COST_MAX."""

COST_UNIT_PER_NEPER: Final = 1 << 56
COST_MAX: Final = 1 << 62
"""Means lambda = 0. Costs saturate here (64 neper, 1.6e-28), far below any fidelity that can be measured."""


# --- maps on probabilities -------------------------------------------------------------------------------


def werner(fidelity_to_phi_plus: float) -> Bell:
    """The Werner state of fidelity 0..1: the rest is spread evenly over the other three Bell states."""
    if not 0.0 <= fidelity_to_phi_plus <= 1.0:
        raise LocalMisuse(f"Werner fidelity {fidelity_to_phi_plus} is outside 0..1")
    rest = (1.0 - fidelity_to_phi_plus) / 3.0
    return (fidelity_to_phi_plus, rest, rest, rest)


def fidelity(a: Bell, frame: int = 0) -> float:
    """Overlap with the Bell state whose index is `frame` (0..3)."""
    return a[frame]


def xor_convolve(a: Bell, b: Bell) -> Bell:
    """State after a perfect swap of `a` and `b`, relative to the joined frame (algorithms.md 11.6)."""
    a0, a1, a2, a3 = a
    b0, b1, b2, b3 = b
    return (
        a0 * b0 + a1 * b1 + a2 * b2 + a3 * b3,
        a0 * b1 + a1 * b0 + a2 * b3 + a3 * b2,
        a0 * b2 + a2 * b0 + a1 * b3 + a3 * b1,
        a0 * b3 + a3 * b0 + a1 * b2 + a2 * b1,
    )


Eigenvalues = tuple[float, float, float]
"""lambda_1..3 of a Bell-diagonal state: a swap multiplies two of them, decay multiplies by exp(-rate t)."""


def eigenvalues(a: Bell) -> Eigenvalues:
    """<XX>, <ZZ> and -<YY> of a state, each -1..1."""
    a0, a1, a2, a3 = a
    return (a0 - a1 + a2 - a3, a0 + a1 - a2 - a3, a0 - a1 - a2 + a3)


def from_eigenvalues(values: Eigenvalues) -> Bell:
    """The four probabilities of given eigenvalues; tiny negative rounding is cut at zero."""
    l1, l2, l3 = values
    return (
        max(0.0, (1.0 + l1 + l2 + l3) / 4.0),
        max(0.0, (1.0 - l1 + l2 - l3) / 4.0),
        max(0.0, (1.0 + l1 - l2 - l3) / 4.0),
        max(0.0, (1.0 - l1 - l2 + l3) / 4.0),
    )


def permute(a: Bell, pauli: int) -> Bell:
    """Shift by a Pauli index 0..3: absolute to relative to a frame, or back (its own inverse)."""
    return (a[pauli], a[1 ^ pauli], a[2 ^ pauli], a[3 ^ pauli])


def depolarise(a: Bell, survival: float) -> Bell:
    """One depolarising step on one qubit: kept with chance `survival` (0..1), else fully mixed (11.5)."""
    mixed = (1.0 - survival) / 4.0
    return (
        mixed + survival * a[0],
        mixed + survival * a[1],
        mixed + survival * a[2],
        mixed + survival * a[3],
    )


def pauli_channel(a: Bell, q: Bell) -> Bell:
    """Pauli channel with probabilities q = (qI, qZ, qX, qY) on one of the two qubits (11.5)."""
    return xor_convolve(a, q)


def dephase(a: Bell, t_ns: float, t2_ns: float) -> Bell:
    """Pure dephasing of one qubit for `t_ns`: qZ = (1 - exp(-t/T2))/2 (11.5)."""
    flip = (1.0 - exp(-t_ns / t2_ns)) / 2.0
    return pauli_channel(a, (1.0 - flip, flip, 0.0, 0.0))


def t1_t2_twirled(a: Bell, t_ns: float, t1_ns: float, t2_ns: float) -> Bell:
    """Relaxation and dephasing of one qubit as a Pauli channel.

    Exact for the Bell diagonal while only one of the two qubits decays (algorithms.md 11.5).

    Raises:
        LocalMisuse: T2 > 2 T1, which no qubit can have.
    """
    _check_coherence(t1_ns, t2_ns)
    bit = (1.0 - exp(-t_ns / t1_ns)) / 4.0
    phase = (1.0 - exp(-t_ns / t2_ns)) / 2.0 - bit
    return pauli_channel(a, (1.0 - 2.0 * bit - phase, phase, bit, bit))


def amplitude_damp_both(a: Bell, t_ns: float, t1_ns: float, t2_ns: float) -> Bell:
    """Both qubits decay towards |0> for `t_ns`; exact Bell diagonal, `a` absolute (algorithms.md 11.5).

    Relaxation does not commute with X, so give the absolute state, not one relative to a frame.

    Raises:
        LocalMisuse: T2 > 2 T1.
    """
    _check_coherence(t1_ns, t2_ns)
    g = 1.0 - exp(-t_ns / t1_ns)
    coherence = exp(-2.0 * t_ns / t2_ns) / 2.0
    even, odd = a[0] + a[1], a[2] + a[3]
    p00 = even / 2.0 + g * odd + g * g * even / 2.0
    p11 = (1.0 - g) ** 2 * even / 2.0
    p01 = (1.0 - g) * odd / 2.0 + (1.0 - g) * g * even / 2.0
    same, phi, psi = (p00 + p11) / 2.0, (a[0] - a[1]) * coherence, (a[2] - a[3]) * coherence
    return (same + phi, same - phi, p01 + psi, p01 - psi)


def bsm_noise(gate_fidelity: float, readout_fidelity: float, phase_flip: float = 0.0) -> Bell:
    """Distribution of the XOR between true and reported outcome of a noisy BSM (algorithms.md 11.6).

    gate_fidelity g: weight of the perfect gate, else both qubits are mixed. readout_fidelity m: per bit.
    phase_flip: probability of a Z error on each of the two qubits before the measurement.
    """
    g, m = gate_fidelity, readout_fidelity
    mixed = (1.0 - g) / 4.0
    noise = (
        g * m * m + mixed,
        g * m * (1.0 - m) + mixed,
        g * m * (1.0 - m) + mixed,
        g * (1.0 - m) ** 2 + mixed,
    )
    if phase_flip == 0.0:
        return noise
    flipped = 2.0 * phase_flip * (1.0 - phase_flip)
    return xor_convolve(noise, (1.0 - flipped, flipped, 0.0, 0.0))


def noisy_bsm(a: Bell, b: Bell, gate_fidelity: float, readout_fidelity: float) -> Bell:
    """State after a noisy swap, relative to frame_a ^ frame_b ^ reported outcome (algorithms.md 11.6)."""
    return xor_convolve(xor_convolve(a, b), bsm_noise(gate_fidelity, readout_fidelity))


def _check_coherence(t1_ns: float, t2_ns: float) -> None:
    if t1_ns <= 0 or t2_ns <= 0:
        raise LocalMisuse(f"coherence times must be above zero: T1 = {t1_ns} ns, T2 = {t2_ns} ns")
    if t2_ns > 2 * t1_ns:
        raise LocalMisuse(f"T2 = {t2_ns} ns exceeds 2 T1 = {2 * t1_ns} ns")


# --- purification ----------------------------------------------------------------------------------------


class Purified(NamedTuple):
    """Result of one purification round on two pairs: chance to keep, and the state if kept."""

    success_probability: float
    state: Bell


def bbpssw(fidelity_kept: float, fidelity_measured: float) -> Purified:
    """Bennett et al. 1996 with Werner inputs, twirled afterwards (algorithms.md 2.1)."""
    f, g = fidelity_kept, fidelity_measured
    keep = f * g + f * (1 - g) / 3 + g * (1 - f) / 3 + 5 * (1 - f) * (1 - g) / 9
    return Purified(keep, werner((f * g + (1 - f) * (1 - g) / 9) / keep))


def recurrence(
    kept: Bell,
    measured: Bell,
    *,
    gate_fidelities: tuple[float, float] = (1.0, 1.0),
    readout_fidelities: tuple[float, float] = (1.0, 1.0),
) -> Purified:
    """Bilateral CNOT kept -> measured, keep if the two Z outcomes agree; no twirl (algorithms.md 2.1).

    gate_fidelities, readout_fidelities: of the two nodes. States relative to their frames; the frame of the
    kept pair takes bit 0 of the frame of the measured pair.

    Raises:
        LocalMisuse: the outcomes can never agree (two states of opposite parity, no noise).
    """
    a0, a1, a2, a3 = kept
    b0, b1, b2, b3 = measured
    gates = gate_fidelities[0] * gate_fidelities[1]
    m1, m2 = readout_fidelities
    right = gates * (m1 * m2 + (1 - m1) * (1 - m2))
    wrong = gates - right
    floor = (1 - gates) / 8
    c0 = right * (a0 * b0 + a1 * b1) + wrong * (a0 * b2 + a1 * b3) + floor
    c1 = right * (a0 * b1 + a1 * b0) + wrong * (a0 * b3 + a1 * b2) + floor
    c2 = right * (a2 * b2 + a3 * b3) + wrong * (a2 * b0 + a3 * b1) + floor
    c3 = right * (a2 * b3 + a3 * b2) + wrong * (a2 * b1 + a3 * b0) + floor
    keep = c0 + c1 + c2 + c3
    if keep <= 0.0:
        raise LocalMisuse(f"purification of {kept} with {measured} can never succeed")
    return Purified(keep, (c0 / keep, c1 / keep, c2 / keep, c3 / keep))


def dejmps(
    kept: Bell,
    measured: Bell,
    *,
    gate_fidelities: tuple[float, float] = (1.0, 1.0),
    readout_fidelities: tuple[float, float] = (1.0, 1.0),
) -> Purified:
    """Deutsch et al. 1996: Rx(+-pi/2) at the nodes exchange components 1 and 3, then `recurrence` (2.1)."""
    return recurrence(
        (kept[0], kept[3], kept[2], kept[1]),
        (measured[0], measured[3], measured[2], measured[1]),
        gate_fidelities=gate_fidelities,
        readout_fidelities=readout_fidelities,
    )


# --- integer form of the ledger --------------------------------------------------------------------------


class Walsh(NamedTuple):
    """A Bell-diagonal state relative to its frame, in integers.

    signs: bit k-1 is set if lambda_k is negative; always clear where cost[k-1] is COST_MAX.
    cost: -ln|lambda_k| in units of 2**-56 neper, 0..COST_MAX; COST_MAX means lambda_k = 0.
    """

    signs: int
    cost: Cost


PERFECT: Final = Walsh(0, (0, 0, 0))


def _clear_zeros(signs: int, cost: Cost) -> Walsh:
    # The sign of a zero carries no physics; left in, two join orders could disagree about it.
    return Walsh(
        signs & ~((cost[0] == COST_MAX) | (cost[1] == COST_MAX) << 1 | (cost[2] == COST_MAX) << 2),
        cost,
    )


def _cost_of(eigenvalue: float) -> int:
    size = abs(eigenvalue)
    if size >= 1.0:  # rounding in the four probabilities may exceed one by an ulp
        return 0
    return min(COST_MAX, round(-log(size) * COST_UNIT_PER_NEPER)) if size > 0.0 else COST_MAX


def to_walsh(a: Bell) -> Walsh:
    """Integer form of `a` (relative to its frame). Done once, by the author of a record; never while folding.

    Raises:
        LocalMisuse: the four numbers are not probabilities that sum to one within 1e-9.
    """
    if min(a) < -1e-12 or abs(sum(a) - 1.0) > 1e-9:
        raise LocalMisuse(f"{a} is not a Bell-diagonal state: probabilities must sum to 1")
    l1, l2, l3 = eigenvalues(a)
    signs = sum(1 << bit for bit, value in enumerate((l1, l2, l3)) if value < 0.0)
    return _clear_zeros(signs, (_cost_of(l1), _cost_of(l2), _cost_of(l3)))


def _eigenvalue(walsh: Walsh, bit: int) -> float:
    cost = walsh.cost[bit]
    size = 0.0 if cost >= COST_MAX else exp(-cost / COST_UNIT_PER_NEPER)
    return -size if walsh.signs >> bit & 1 else size


def from_walsh(walsh: Walsh) -> Bell:
    """The four probabilities, for queries and display; tiny negative rounding is cut at zero."""
    return from_eigenvalues((_eigenvalue(walsh, 0), _eigenvalue(walsh, 1), _eigenvalue(walsh, 2)))


def fidelity_of(walsh: Walsh) -> float:
    """Fidelity to the state that the frame names, 0..1."""
    return max(0.0, (1.0 + _eigenvalue(walsh, 0) + _eigenvalue(walsh, 1) + _eigenvalue(walsh, 2)) / 4.0)


def join(one: Walsh, other: Walsh) -> Walsh:
    """Swap of two states, or one state through a Pauli channel. Commutative and associative to the last bit.

    Costs are never negative, therefore saturating at COST_MAX in any order gives min(sum, COST_MAX).
    """
    (p1, p2, p3), (q1, q2, q3) = one.cost, other.cost
    c1, c2, c3 = p1 + q1, p2 + q2, p3 + q3
    if c1 < COST_MAX and c2 < COST_MAX and c3 < COST_MAX:
        return Walsh(one.signs ^ other.signs, (c1, c2, c3))
    return _clear_zeros(one.signs ^ other.signs, (min(c1, COST_MAX), min(c2, COST_MAX), min(c3, COST_MAX)))


def decay(walsh: Walsh, rates: Cost, duration_ns: int) -> Walsh:
    """Storage of one qubit for `duration_ns` at `rates` (of `decay_rates`). 3 ns then 5 ns is 8 ns, exactly.

    Raises:
        LocalMisuse: a negative duration. Ageing cannot be undone, and clamping here would hide a clock fault.
    """
    if duration_ns < 0:
        raise LocalMisuse(f"decay over {duration_ns} ns: a duration cannot be negative")
    r1, r2, r3 = rates
    return join(
        walsh,
        Walsh(
            0,
            (
                min(r1 * duration_ns, COST_MAX),
                min(r2 * duration_ns, COST_MAX),
                min(r3 * duration_ns, COST_MAX),
            ),
        ),
    )


def aged(state: Bell, rates: Cost, duration_ns: int) -> Bell:
    """A state after storage of one of its qubits: `decay` for physics."""
    return from_walsh(decay(to_walsh(state), rates, duration_ns))


def decay_rates(t1_ns: int | None, t2_ns: int | None, depolarising_time_ns: int | None) -> Cost:
    """Rates of one stored qubit, in 2**-56 neper per ns, for lambda_1..3 (algorithms.md 11.5, twirled).

    t1_ns: None = no relaxation. t2_ns: None = no dephasing beyond relaxation's own (T2 = 2 T1).
    depolarising_time_ns: None = none. The three add up.

    Raises:
        LocalMisuse: a time that is not positive, or T2 > 2 T1.
    """
    for name, time_ns in (("T1", t1_ns), ("T2", t2_ns), ("depolarising time", depolarising_time_ns)):
        if time_ns is not None and time_ns <= 0:
            raise LocalMisuse(f"{name} = {time_ns} ns must be above zero")
    if t1_ns is not None and t2_ns is not None:
        _check_coherence(t1_ns, t2_ns)
    relaxing = 0 if t1_ns is None else _rate(t1_ns)
    dephasing = _rate(t2_ns) if t2_ns is not None else 0 if t1_ns is None else _rate(2 * t1_ns)
    mixing = 0 if depolarising_time_ns is None else _rate(depolarising_time_ns)
    return (dephasing + mixing, relaxing + mixing, dephasing + mixing)


def _rate(time_ns: int) -> int:
    return (COST_UNIT_PER_NEPER + time_ns // 2) // time_ns


def bsm_cost(gate_fidelity: float, readout_fidelity: float, phase_flip: float = 0.0) -> Walsh:
    """What one noisy BSM joins to a chain, relative to the reported outcome (algorithms.md 11.6)."""
    return to_walsh(bsm_noise(gate_fidelity, readout_fidelity, phase_flip))
