"""A test of Bell's inequality in the form of Clauser, Horne, Shimony and Holt on measured pairs.

Owns the value S with its error, and what a Bell-diagonal state lets one expect. Refuses to choose bases: the
source had X or Z, the destination (Z + X)/sqrt 2 or (Z - X)/sqrt 2 (core/bases.py). Sources: Clauser et al.,
PRL 23, 880 (1969); algorithms.md 10.1.

Each product of outcomes counts with the sign that a perfect pair of the frame would give it, so that pairs
of all four frames are one sample. S is the sum of the four means, at most 2 for any local model and
2 sqrt 2 for a perfect pair. The sample is not free of loopholes: pairs are chosen by heralds, which closes
the detection loophole, and nodes are not kept from talking, which leaves locality open.
"""

from collections.abc import Iterable
from math import sqrt
from typing import Final, NamedTuple

from bellwire.core.bases import AXES, correlation
from bellwire.core.bell import Bell, eigenvalues
from bellwire.core.link_words import Basis

SETTINGS: Final[tuple[tuple[Basis, Basis], ...]] = (
    ("X", "Z+45"),
    ("X", "Z-45"),
    ("Z", "Z+45"),
    ("Z", "Z-45"),
)
"""Bases of source and destination."""

LOCAL_BOUND: Final = 2.0


class Trial(NamedTuple):
    """One measured pair. Bits are raw; frame 0..3 is that of the pair."""

    one: Basis
    other: Basis
    bit: int
    other_bit: int
    frame: int


class Correlation(NamedTuple):
    """Mean product of one setting with its standard error."""

    pairs: int
    value: float
    error: float


class BellTest(NamedTuple):
    """S and what it is made of."""

    correlations: dict[tuple[Basis, Basis], Correlation]
    value: float
    error: float

    @property
    def sigmas(self) -> float:
        """Standard deviations by which S exceeds the bound of local models."""
        return (self.value - LOCAL_BOUND) / self.error


def bell_test(trials: Iterable[Trial]) -> BellTest | None:
    """S of a sample; None: a setting has fewer than two pairs, or a pair has bases of another test.

    The error of a mean E of n products is sqrt((1 - E**2) / (n - 1)), the sample deviation of +-1 values over
    sqrt n; those of the four settings are independent.
    """
    sums: dict[tuple[Basis, Basis], int] = dict.fromkeys(SETTINGS, 0)
    counts: dict[tuple[Basis, Basis], int] = dict.fromkeys(SETTINGS, 0)
    for trial in trials:
        setting = (trial.one, trial.other)
        if setting not in sums:
            return None
        sign = 1 if correlation(trial.one, trial.other, trial.frame) > 0.0 else -1
        sums[setting] += sign * (-1) ** (trial.bit ^ trial.other_bit)
        counts[setting] += 1
    if min(counts.values()) < 2:
        return None
    correlations: dict[tuple[Basis, Basis], Correlation] = {}
    for setting, count in counts.items():
        mean = sums[setting] / count
        # A setting in which all pairs agree is not known without error: Laplace's rule keeps one against it.
        spread = max(1.0 - mean * mean, 1.0 - (count / (count + 2)) ** 2)
        correlations[setting] = Correlation(count, mean, sqrt(spread / (count - 1)))
    value = sum(one.value for one in correlations.values())
    return BellTest(correlations, value, sqrt(sum(one.error**2 for one in correlations.values())))


def expected_product(one: Basis, other: Basis, state: Bell) -> float:
    """Mean product of two bases on a Bell-diagonal state relative to its frame, for perfect devices."""
    l1, l2, l3 = eigenvalues(state)
    (x1, y1, z1), (x2, y2, z2) = AXES[one], AXES[other]
    return l1 * x1 * x2 - l3 * y1 * y2 + l2 * z1 * z2


def expected_value(state: Bell, *, contrast: float = 1.0) -> float:
    """S of a Bell-diagonal state, given relative to its frame: sqrt 2 (<XX> + <ZZ>).

    contrast: what readout and turns leave of a product (`contrast_of`).
    """
    return contrast * sum(_sign(one, other) * expected_product(one, other, state) for one, other in SETTINGS)


def _sign(one: Basis, other: Basis) -> int:
    """Sign of a product on a perfect Phi+."""
    return 1 if correlation(one, other, 0) > 0.0 else -1


def contrast_of(readouts: tuple[float, float], gate: float = 1.0, other_gate: float = 1.0) -> float:
    """What is left of a mean product when each bit is read right with these probabilities, and the turns into
    the bases keep the qubit with `gate` and `other_gate`, else mix it fully (algorithms.md 11.6)."""
    return (2.0 * readouts[0] - 1.0) * (2.0 * readouts[1] - 1.0) * gate * other_gate
