"""In which basis an end measures a pair, and what the bits of both ends then have to do with each other.

Owns the choice of the basis from the node's seed and the pair's name, the rotation that turns a Z measurement
into each basis, and the correlation that a Bell state gives. Refuses orders to devices.

**Bits and frames.** Bits are raw: 0 means eigenvalue +1 of the basis that the OK names, nothing is flipped
for the Bell state of the pair, which the OK tells as its frame f (0..3: Phi+, Phi-, Psi+, Psi-). The
observables are X, Y, Z, "Z+45" = (Z + X)/sqrt 2 and "Z-45" = (Z - X)/sqrt 2. For a perfect pair the mean of
(-1)^(bit + other bit) is `correlation(one, other, f)`:

    f       X X   Y Y   Z Z      all other products of X, Y, Z have mean 0
    Phi+    +1    -1    +1
    Phi-    -1    +1    +1       bit 0 of f flips X X, bit 1 flips Z Z, and each of them flips Y Y
    Psi+    +1    +1    -1
    Psi-    -1    -1    -1

so two ends that measured alike agree when they XOR their bits with `parity(basis, f)`. One end with XZ and
the other with CHSH test Bell's inequality: on Phi+ the means of X Z+45, Z Z+45 and Z Z-45 are 1/sqrt 2 and
that of X Z-45 is -1/sqrt 2, in sum 2 sqrt 2 (Clauser et al. 1969; algorithms.md 10.1).
"""

from hashlib import blake2b
from math import sqrt
from typing import Final, Literal, NamedTuple

from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import End
from bellwire.core.link_words import Basis, BasisChoice

TURN: Final = 256
"""Units of a full turn in a rotation."""

WEIGHT_WHOLE: Final = 255
"""Weights of a basis are of so many."""

BASES: Final[dict[str, tuple[Basis, ...]]] = {
    "XZ": ("X", "Z"),
    "XYZ": ("X", "Y", "Z"),
    "CHSH": ("Z+45", "Z-45"),
}
"""Random choice -> its bases in the order of their weights; the last one has the rest."""

AXES: Final[dict[Basis, tuple[float, float, float]]] = {
    "X": (1.0, 0.0, 0.0),
    "Y": (0.0, 1.0, 0.0),
    "Z": (0.0, 0.0, 1.0),
    "Z+45": (sqrt(0.5), 0.0, sqrt(0.5)),
    "Z-45": (-sqrt(0.5), 0.0, sqrt(0.5)),
}
"""Observable -> its direction on the Bloch sphere."""

_DIRECT: Final[dict[Basis, Literal["X", "Y", "Z"]]] = {"X": "X", "Y": "Y", "Z": "Z"}

# Ry(angle) turns Bloch vectors from z towards x, so a Z measurement behind it looks along (-sin, 0, cos).
_ROTATED: Final[dict[Basis, tuple[int, int, int]]] = {
    "Z+45": (0, TURN - TURN // 8, 0),
    "Z-45": (0, TURN // 8, 0),
}


class Measurement(NamedTuple):
    """How to measure: the basis that the user is told, and what the memory is ordered to do."""

    told: Basis
    basis: Literal["X", "Y", "Z"]
    rotation: tuple[int, int, int]  # X-Y-X, units of 2 pi / TURN, before the measurement


def measurement_of(choice: BasisChoice, seed: int, end: End) -> Measurement:
    """What this end measures on this pair: the same whenever it is asked, and not known to the other end.

    seed: 64 bits of chance of the node's process. A fixed rotation is told as "Z", measured after it.
    """
    if choice.random == "none":
        return Measurement("Z", "Z", choice.rotation)
    bases = BASES[choice.random]
    drawn = _drawn(seed, end)
    bounds = (choice.first, choice.first + choice.second)
    for basis, bound in zip(bases[:-1], bounds, strict=False):
        if drawn < bound:
            return measurement_in(basis)
    return measurement_in(bases[-1])


def fault_of_choice(choice: BasisChoice) -> str | None:
    """Why nobody can choose like this; None: they can."""
    first, second = choice.first, choice.second
    if not (first >= 0 and second >= 0 and first + second <= WEIGHT_WHOLE):
        return f"basis weights {first} and {second}: they must be 0 or more and {WEIGHT_WHOLE} in sum"
    if second and choice.random != "XYZ":
        return f"basis weight {second}: only three bases have a second weight"
    if any(not 0 <= angle < TURN for angle in choice.rotation):
        return f"rotation {choice.rotation}: angles are 0 to {TURN - 1}, in units of a turn / {TURN}"
    if choice.random != "none" and any(choice.rotation):
        return f"rotation {choice.rotation} with a random basis {choice.random}: give one of them"
    return None


def _drawn(seed: int, end: End) -> int:
    """Uniform in 0..254. 2**64 = 1 mod 255, so one value in 2**64 is out of balance."""
    name = f"{seed}/{end}/basis".encode()
    return int.from_bytes(blake2b(name, digest_size=8).digest(), "big") % WEIGHT_WHOLE


def measurement_in(basis: Basis) -> Measurement:
    """How to measure an observable."""
    direct = _DIRECT.get(basis)
    if direct is not None:
        return Measurement(basis, direct, (0, 0, 0))
    return Measurement(basis, "Z", _ROTATED[basis])


def correlation(one: Basis, other: Basis, frame: int) -> float:
    """Mean of (-1)^(bit + other bit) of a perfect pair in the Bell state `frame` (0..3), -1..1."""
    if not 0 <= frame <= 3:
        raise LocalMisuse(f"frame {frame} is not a Pauli index 0..3")
    sign_x = -1.0 if frame & 1 else 1.0
    sign_z = -1.0 if frame & 2 else 1.0
    (x1, y1, z1), (x2, y2, z2) = AXES[one], AXES[other]
    return sign_x * x1 * x2 - sign_x * sign_z * y1 * y2 + sign_z * z1 * z2


def parity(basis: Literal["X", "Y", "Z"], frame: int) -> int:
    """XOR of the bits of both ends of a perfect pair when both measured this basis."""
    return 0 if correlation(basis, basis, frame) > 0.0 else 1
