"""The best guess of a link's state: what the lab file or a calibration says, joined with counts of tests.

Owns beliefs and their update. Refuses intervals, which rest on counts alone (intervals.py).

A belief is worth so many tests in each basis. With full contrast the update is the mean of the beta posterior
of each error probability; with less it is the least-squares estimate of lambda_k from outcomes of mean
lambda_k c and the same prior, whose mean it equals up to terms of order 1/n. A flat belief is worth two tests
at lambda = 0: every error probability is equally likely.
"""

from math import exp, inf, log, sqrt
from typing import Final, NamedTuple

from bellwire.core.bell import Bell, Eigenvalues, eigenvalues, from_eigenvalues
from bellwire.core.errors import LocalMisuse
from bellwire.link_layer.estimation.counts import Counts

CALIBRATION_HALF_LIFE_NS: Final = 3_600_000_000_000
"""A calibration is worth half as much after an hour: lasers, fibres and cavities move by then."""


class Belief(NamedTuple):
    """What is believed of a state relative to its frame, and how many tests in each basis that is worth."""

    values: Eigenvalues
    worth: float


FLAT: Final = Belief((0.0, 0.0, 0.0), 2.0)
"""Nothing is believed."""


class Calibration(NamedTuple):
    """A fidelity that was measured outside of the link service."""

    fidelity: float  # 0..1, at birth, mean over the herald codes
    error: float  # standard error, above zero
    at_ns: int  # when it was measured


def fidelity_in(values: Eigenvalues) -> float:
    """Fidelity to the state that the frame names, 0..1."""
    return min(1.0, max(0.0, (1.0 + values[0] + values[1] + values[2]) / 4.0))


def fidelity_error(values: Eigenvalues, counts: Counts) -> float:
    """Standard error of the fidelity of such a state from these tests alone; infinite where a basis has
    none."""
    variance = 0.0
    for value, one in zip(values, counts.bases, strict=True):
        if not one.tests:
            return inf
        variance += (1.0 - (value * one.contrast) ** 2) / (one.tests * one.contrast**2)
    return sqrt(variance) / 4.0


def updated(belief: Belief, counts: Counts) -> Eigenvalues:
    """Mean of each eigenvalue after the tests, -1..1; together they may fail to be a state by their
    errors."""
    one, two, three = (
        min(
            1.0,
            max(
                -1.0,
                (belief.worth * value + each.contrast * (each.tests - 2 * each.errors))
                / (belief.worth + each.tests * each.contrast**2),
            ),
        )
        for value, each in zip(belief.values, counts.bases, strict=True)
    )
    return (one, two, three)


def physical(values: Eigenvalues) -> Bell:
    """The Bell-diagonal state of that fidelity whose other probabilities are nearest in proportion.

    Estimates of three eigenvalues may leave the tetrahedron of states; probabilities below zero are cut and
    the other two of the three rescaled, so that the fidelity stays.
    """
    target = fidelity_in(values)
    return _with_fidelity(from_eigenvalues(values), target)


def _with_fidelity(state: Bell, target: float) -> Bell:
    rest = state[1] + state[2] + state[3]
    if rest <= 0.0:
        even = (1.0 - target) / 3.0
        return (target, even, even, even)
    scale = (1.0 - target) / rest
    return (target, state[1] * scale, state[2] * scale, state[3] * scale)


def worth_of(values: Eigenvalues, error: float) -> float:
    """How many tests in each basis give the fidelity of such a state this standard error, above zero."""
    spread = sum(1.0 - value * value for value in values) / 4.0  # of one test in each basis, e (1 - e) each
    # A state without any spread (fidelity 1) cannot be measured better than to the error that was given.
    return max(spread, error) / (4.0 * error**2)


def calibrated(table: Belief, shift: float, calibration: Calibration, now_ns: int) -> Belief:
    """The table's belief joined with a calibration, each by its worth.

    The calibrated state has the table's proportions of errors. It is worth the tests that give its standard
    error, and half of them for every CALIBRATION_HALF_LIFE_NS of age: an old one fades into the table. shift:
    the table's fidelity of this herald code minus that of the mean.

    Raises:
        LocalMisuse: an error that is not above zero, or a fidelity outside 0..1.
    """
    if calibration.error <= 0.0 or not 0.0 <= calibration.fidelity <= 1.0:
        raise LocalMisuse(f"calibration {calibration}: need an error above 0 and a fidelity in 0..1")
    target = min(1.0, max(0.0, calibration.fidelity + shift))
    values = eigenvalues(_with_fidelity(from_eigenvalues(table.values), target))
    age = max(0, now_ns - calibration.at_ns)
    worth = worth_of(values, calibration.error)
    worth *= exp(-log(2.0) * age / CALIBRATION_HALF_LIFE_NS)
    total = table.worth + worth
    one, two, three = (
        (table.worth * old + worth * new) / total for old, new in zip(table.values, values, strict=True)
    )
    return Belief((one, two, three), total)
