"""Is a GHZ state shared: its fidelity from measured stabilisers, and the witness that the value makes.

Owns the settings, the estimate with its error, and what a density matrix lets one expect. Refuses graph
states and crowds for whose settings there is no time. Sources: Greenberger, Horne, Shimony, Zeilinger, Am. J.
Phys. 58, 1131 (1990); Bourennane et al., PRL 92, 087902 (2004); Guehne, Lu, Gao, Pan, PRA 76, 030305 (2007).

The projector on |00..0> + |11..1> is the mean of its 2**n stabilisers: half of them are products of an even
number of Z, all of which one setting (Z at all) shows, and the others are products of X and Y with an even
number of Y, with sign -1 for every two Y, each of which is a setting of its own. With P the probability that
all members agree in Z and <M> the mean signed product over the others,

    F = P / 2 + <M> / 2,

and W = 1/2 - |GHZ><GHZ| is negative only where all n are entangled with one another: F > 1/2.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from math import sqrt
from typing import TYPE_CHECKING, Final, NamedTuple

from bellwire.core.errors import ConfigError
from bellwire.core.link_words import Basis

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MEMBERS_MAX: Final = 6
"""2**(n - 1) settings and one; more members would need too many states."""

BOUND: Final = 0.5
"""Fidelity that states without entanglement of all members cannot exceed."""

Setting = tuple[Basis, ...]

_XY: Final[tuple[Basis, Basis]] = ("X", "Y")
_Z: Final[Basis] = "Z"


class Trial(NamedTuple):
    """One measured state: of each member the basis, the raw bit, and the frame that its qubit still needs."""

    bases: Setting
    bits: tuple[int, ...]
    frames: tuple[int, ...]


class Witness(NamedTuple):
    """Fidelity and what it is made of. `coherence`: mean of the signed products, `agreement`: P."""

    products: dict[Setting, tuple[int, float]]  # of each setting of X and Y: states, mean signed product
    agreement: float
    agreement_states: int
    coherence: float
    fidelity: float
    error: float

    @property
    def value(self) -> float:
        """<W> = 1/2 - F, below zero where all members are entangled."""
        return BOUND - self.fidelity

    @property
    def sigmas(self) -> float:
        """Standard errors by which the fidelity exceeds one half."""
        return (self.fidelity - BOUND) / self.error


def coherences_of(members: int) -> list[Setting]:
    """Settings of X and Y with an even number of Y."""
    settings: list[Setting] = []
    for ys in product((0, 1), repeat=members):
        if sum(ys) % 2 == 0:
            settings.append(tuple(_XY[y] for y in ys))
    return settings


def settings_of(members: int) -> tuple[Setting, ...]:
    """What to measure, state after state: every second time all Z, which has half of the weight.

    Raises:
        ConfigError: fewer than three members, or too many.
    """
    if not 3 <= members <= MEMBERS_MAX:
        raise ConfigError(f"{members} members: a GHZ witness is for 3 to {MEMBERS_MAX}")
    all_z: Setting = (_Z,) * members
    return tuple(each for setting in coherences_of(members) for each in (all_z, setting))


def witness(trials: Iterable[Trial], members: int) -> Witness | None:
    """The fidelity of a sample; None: a setting has fewer than two states.

    Errors: of P sqrt(P (1 - P) / n), of a mean product E sqrt((1 - E**2) / (n - 1)), each with one more state
    against the rest so that no error is zero; all settings are independent.
    """
    signed: dict[Setting, list[int]] = {setting: [] for setting in coherences_of(members)}
    agreed: list[bool] = []
    for trial in trials:
        bits = [
            bit ^ _flipped(basis, frame)
            for basis, bit, frame in zip(trial.bases, trial.bits, trial.frames, strict=True)
        ]
        if trial.bases in signed:
            signed[trial.bases].append(sign_of(trial.bases) * (-1) ** (sum(bits) % 2))
        else:
            agreed.append(len(set(bits)) == 1)
    if min(len(agreed), *(len(values) for values in signed.values())) < 2:
        return None
    share = sum(agreed) / len(agreed)
    safe = (sum(agreed) + 1) / (len(agreed) + 2)
    variance = safe * (1.0 - safe) / len(agreed) / 4.0
    products: dict[Setting, tuple[int, float]] = {}
    for setting, values in signed.items():
        count, mean = len(values), sum(values) / len(values)
        spread = max(1.0 - mean * mean, 1.0 - (count / (count + 2)) ** 2)
        variance += spread / (count - 1) / (2.0 * len(signed)) ** 2
        products[setting] = (count, mean)
    coherence = sum(mean for _, mean in products.values()) / len(products)
    return Witness(products, share, len(agreed), coherence, (share + coherence) / 2.0, sqrt(variance))


def sign_of(setting: Setting) -> int:
    """Of a product of X and Y as a stabiliser of the GHZ state."""
    return -1 if setting.count("Y") % 4 == 2 else 1


def _flipped(basis: Basis, frame: int) -> int:
    """1 where a Pauli 0..3 (I, Z, X, Y) turns the outcome of a basis round."""
    by_x, by_z = frame >> 1 & 1, frame & 1
    return {"X": by_z, "Y": by_x ^ by_z, "Z": by_x}.get(basis, 0)


def expected_fidelity(density: "npt.NDArray[np.complex128]", readouts: Sequence[float]) -> float:
    """What `witness` finds of a state on average. readouts: probability that each member's bit is read right.

    density: (2**n, 2**n), members in the order of `readouts`, needing no frame.
    """
    import numpy as np

    size = len(readouts)
    total = 0.0
    for setting, weight in _weights(size).items():
        operator: npt.NDArray[np.complex128] = np.ones((1, 1), dtype=np.complex128)
        for letter, readout in zip(setting, readouts, strict=True):
            matrix = np.array(_MATRICES[letter], dtype=np.complex128)
            scaled = matrix if letter == "I" else (2.0 * readout - 1.0) * matrix
            operator = np.asarray(np.kron(operator, scaled), dtype=np.complex128)
        total += weight * float(np.einsum("ij,ji->", density, operator).real)
    return total


_MATRICES: Final[Mapping[str, list[list[complex]]]] = {
    "I": [[1, 0], [0, 1]],
    "X": [[0, 1], [1, 0]],
    "Y": [[0, -1j], [1j, 0]],
    "Z": [[1, 0], [0, -1]],
}


def _weights(size: int) -> dict[tuple[str, ...], float]:
    """Signed weight of each stabiliser in the projector."""
    even = {
        tuple("Z" if bit else "I" for bit in bits): 1.0 / (1 << size)
        for bits in product((0, 1), repeat=size)
        if sum(bits) % 2 == 0
    }
    return even | {setting: sign_of(setting) / (1 << size) for setting in coherences_of(size)}
