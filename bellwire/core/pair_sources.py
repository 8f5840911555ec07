"""Closed forms of links whose photons never meet: one node sends and one stores, or a source feeds both.

Owns the chance of a herald and the Bell-diagonal state behind it for sender-receiver links and for midpoint
SPDC sources (algorithms.md 11.4). Refuses links whose photons meet (photonics.py), time-keeping, chance and
memories.

Both have one herald code, 1 = Psi+: which Bell state a stored photon stands for is a choice of its encoding.
"""

from math import exp, expm1, log1p

from bellwire.core.bell import Bell, permute, werner
from bellwire.core.errors import LocalMisuse
from bellwire.core.photonics import (
    CODE_PSI_PLUS,
    HeraldOutcome,
    HeraldPhysics,
    herald_index,
    require_unit_interval,
)


def sender_receiver(
    signal_probability: float, dark_probability: float, intrinsic_fidelity: float
) -> HeraldPhysics:
    """One photon from the sender's memory into the receiver's (algorithms.md 11.4).

    signal_probability: s = p_g exp(-d/L_att) eta_det, emission to the receiver's herald, 0..1.
    dark_probability: p_d, the receiver's herald fires without a photon, per attempt. intrinsic_fidelity: of a
    pair whose photon was stored, 0.25..1, the rest spread evenly.

    A herald comes with the photon, or in its absence from a dark count: p = s + (1 - s) p_d. A dark herald
    leaves two qubits that know nothing of each other, a quarter of each Bell state. At p_d = 0 this is the
    published form.

    Raises:
        LocalMisuse: an argument outside its range, or no possible herald.
    """
    require_unit_interval(signal_probability=signal_probability, dark_probability=dark_probability)
    _require_fidelity(intrinsic_fidelity)
    dark = (1.0 - signal_probability) * dark_probability
    success = signal_probability + dark
    if success <= 0.0:
        raise LocalMisuse("no photon and no dark count can reach the receiver: the link can never herald")
    good = werner(intrinsic_fidelity)
    a, b, c, d = ((signal_probability * good[index] + dark / 4.0) / success for index in range(4))
    return _one_code(success, (a, b, c, d))


def midpoint_source(
    mean_pair_number: float,
    efficiency_a: float,
    efficiency_b: float,
    background_a: float,
    background_b: float,
    intrinsic_error: float,
    *,
    schmidt_number: float = 1.0,
) -> HeraldPhysics:
    """A pulsed SPDC pair source between two heralded memories (algorithms.md 11.4).

    mean_pair_number: mu = 2 lambda pairs per attempt, above 0. efficiency_a, efficiency_b: from the source to
    a memory's own herald, 0..1. background_a, background_b: Y, a memory heralds without a photon, per
    attempt. intrinsic_error: e_d, share of wrong correlations of a single pair, 0..0.5. schmidt_number: K
    spectral modes that share the pairs, 1 or more; the published form is that of K = 1.

    Success is that both memories herald. Several photons of one arm are told from one by nobody: the memory
    keeps one of them at random. The state is Werner with w = 1 - 2E, E the mean error of two bases.

    Raises:
        LocalMisuse: an argument outside its range, or no possible herald.
    """
    require_unit_interval(
        efficiency_a=efficiency_a,
        efficiency_b=efficiency_b,
        background_a=background_a,
        background_b=background_b,
    )
    if not 0.0 < mean_pair_number < float("inf"):
        raise LocalMisuse(f"mean_pair_number = {mean_pair_number} must be a finite number above 0")
    if not 0.0 <= intrinsic_error <= 0.5:
        raise LocalMisuse(f"intrinsic_error = {intrinsic_error} is outside 0..0.5")
    if not schmidt_number >= 1.0:
        raise LocalMisuse(f"schmidt_number = {schmidt_number} must be 1 or more")
    lam = mean_pair_number / (2.0 * schmidt_number)
    # Q of 11.4 is a small difference of numbers near one. Written as P(A) P(B) plus what the common pairs
    # add, every term is positive, and weak sources keep all their digits. Modes are independent: what is the
    # chance of silence in one is its K-th power in all.
    in_a, in_b, product = efficiency_a * lam, efficiency_b * lam, efficiency_a * efficiency_b * lam
    apart = schmidt_number * (log1p(in_a) + log1p(in_b))  # -ln of silence, if no pairs were common
    more = schmidt_number * log1p(product * (1.0 + lam) / (1.0 + in_a + in_b - product))
    both_silent_more = exp(-2.0 * apart) * expm1(2.0 * more)
    success = _heralds(in_a, background_a, schmidt_number) * _heralds(in_b, background_b, schmidt_number)
    success += (1.0 - background_a) * (1.0 - background_b) * both_silent_more
    if success <= 0.0:
        raise LocalMisuse(
            "no photon and no background can herald at both memories: the link can never herald"
        )
    error_free = 4.0 * (0.5 - intrinsic_error) * exp(-apart) * expm1(more)
    w = min(1.0, error_free / success)
    return _one_code(success, werner((1.0 + 3.0 * w) / 4.0))


def _heralds(photons: float, background: float, schmidt_number: float) -> float:
    """1 - (1 - Y)/(1 + eta lambda)^2K: one memory heralds, whatever the other does."""
    silent = -2.0 * schmidt_number * log1p(photons)
    return -expm1(silent) + background * (1.0 + expm1(silent))


def _require_fidelity(intrinsic_fidelity: float) -> None:
    if not 0.25 <= intrinsic_fidelity <= 1.0:
        raise LocalMisuse(f"intrinsic_fidelity = {intrinsic_fidelity} is outside 0.25..1")


def _one_code(success: float, relative: Bell) -> HeraldPhysics:
    state = permute(relative, herald_index(CODE_PSI_PLUS))
    return HeraldPhysics(success, (HeraldOutcome(CODE_PSI_PLUS, 1.0, state),))
