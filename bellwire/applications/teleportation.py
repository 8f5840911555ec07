"""Did teleported states arrive: tomography of what the destination holds, and what the pair lets one expect.

Owns the six states that are sent, the estimate of each one's Bloch vector and fidelity, and the closed form.
Refuses the teleportation itself (qubit_uses.py). Sources: Bennett et al., PRL 70, 1895 (1993); Horodecki,
Horodecki and Horodecki, PRA 60, 1888 (1999): over a pair of fidelity F the mean over all pure states, and
over these six alike, is f = (2 F + 1) / 3; without entanglement no more than 2/3 (Massar, Popescu, PRL 74,
1259 (1995)).
"""

from collections.abc import Iterable
from math import sqrt
from typing import Final, NamedTuple

from bellwire.core.bell import Bell, eigenvalues
from bellwire.core.link_words import Basis
from bellwire.core.qubit_uses import Turns

BASES: Final[tuple[Basis, ...]] = ("X", "Y", "Z")
CLASSICAL: Final = 2.0 / 3.0
"""Mean fidelity that measuring and preparing again reaches."""

Bloch = tuple[float, float, float]


class InputState(NamedTuple):
    """A state to be teleported."""

    name: str
    bloch: Bloch
    turns: Turns  # of |0>, as a memory is ordered to prepare it


# A turn by a quarter is 64 of 256. Ry(+90) turns z to x, Rx(-90) turns z to y.
STATES: Final = (
    InputState("0", (0.0, 0.0, 1.0), (0, 0, 0)),
    InputState("1", (0.0, 0.0, -1.0), (128, 0, 0)),
    InputState("+", (1.0, 0.0, 0.0), (0, 64, 0)),
    InputState("-", (-1.0, 0.0, 0.0), (0, 192, 0)),
    InputState("+i", (0.0, 1.0, 0.0), (192, 0, 0)),
    InputState("-i", (0.0, -1.0, 0.0), (64, 0, 0)),
)


class Trial(NamedTuple):
    """One teleported qubit: index of its state, and the look at it."""

    state: int
    basis: Basis
    bit: int


class StateResult(NamedTuple):
    """Tomography of one state."""

    state: InputState
    counts: tuple[int, int, int]  # looks in X, Y and Z
    bloch: Bloch
    bloch_errors: Bloch
    fidelity: float  # <psi| rho |psi> = (1 + n . r) / 2
    error: float


class Teleported(NamedTuple):
    """All states."""

    states: tuple[StateResult, ...]
    fidelity: float  # mean over the states
    error: float


def tomography(trials: Iterable[Trial]) -> Teleported | None:
    """Linear inversion, state by state; None: a state has fewer than two looks in a basis.

    The error of a mean E of n looks is sqrt((1 - E**2) / (n - 1)), with one look more against the rest.
    """
    sums: dict[tuple[int, Basis], list[int]] = {
        (state, basis): [0, 0] for state in range(len(STATES)) for basis in BASES
    }
    for trial in trials:
        place = sums[trial.state, trial.basis]
        place[0] += 1
        place[1] += 1 - 2 * trial.bit
    if min(count for count, _ in sums.values()) < 2:
        return None
    results = tuple(_of_state(number, sums) for number in range(len(STATES)))
    mean = sum(one.fidelity for one in results) / len(results)
    error = sqrt(sum(one.error**2 for one in results)) / len(results)
    return Teleported(results, mean, error)


def _of_state(number: int, sums: dict[tuple[int, Basis], list[int]]) -> StateResult:
    state = STATES[number]
    means: list[float] = []
    errors: list[float] = []
    for basis in BASES:
        count, total = sums[number, basis]
        mean = total / count
        spread = max(1.0 - mean * mean, 1.0 - (count / (count + 2)) ** 2)
        means.append(mean)
        errors.append(sqrt(spread / (count - 1)))
    overlap = sum(n * r for n, r in zip(state.bloch, means, strict=True))
    error = sqrt(sum((n * e) ** 2 for n, e in zip(state.bloch, errors, strict=True)))
    return StateResult(
        state=state,
        counts=(sums[number, "X"][0], sums[number, "Y"][0], sums[number, "Z"][0]),
        bloch=(means[0], means[1], means[2]),
        bloch_errors=(errors[0], errors[1], errors[2]),
        fidelity=(1.0 + overlap) / 2.0,
        error=error / 2.0,
    )


def mean_fidelity(pair_fidelity: float) -> float:
    """f = (2 F + 1) / 3, for perfect devices."""
    return (2.0 * pair_fidelity + 1.0) / 3.0


def expected_fidelity(state: InputState, pair: Bell, contrast: float = 1.0) -> float:
    """Of one state over a Bell-diagonal pair, given relative to its frame.

    Teleportation sends the Bloch vector (x, y, z) to (l1 x, l3 y, l2 z), l the eigenvalues of the pair: a
    Pauli channel with the pair's weights. contrast: what gates and readout leave of the vector; a noisy Bell
    measurement belongs to the pair (core/bell.bsm_noise, by `xor_convolve`).
    """
    l1, l2, l3 = eigenvalues(pair)
    x, y, z = state.bloch
    return (1.0 + contrast * (l1 * x * x + l3 * y * y + l2 * z * z)) / 2.0
