"""Drift of a fidelity: two cumulative sums of log-likelihood ratios over the outcomes of tests (Page 1954).

Owns the sums, their limits, and the counts since each sum was last zero, which is where a drift began when
the sum reaches its limit. Refuses what follows (point_estimate.py).

One sum waits for a fall of the fidelity by `drift`, spread evenly over the three bases, the other for a rise.
The limits follow from the false alarms that are allowed: on average one in `false_alarm_tests` tests for each
of the two sums, by Siegmund's approximation (Sequential Analysis, 1985) for a sum of log-likelihood
ratios of mean m0 < 0 without and m1 > 0 with the drift and standard deviation s0,

    tests to a false alarm  (exp(x) - x - 1)/|m0|,   tests to notice  (exp(-x) + x - 1)/m1,
    x = limit + 1.166 s0.

With the defaults (drift 0.03, one false alarm in 50 000 tests) a Werner state's fall by 0.03 is noticed on
average within 340, 870, 1360 and 2370 tests from fidelities 0.99, 0.95, 0.90 and 0.75, in 95 of 100 cases
within 740, 1850, 2910 and 5160 tests. That is for tests of full contrast (counts.py); at a contrast of 0.97
it takes 690, 1150 and 1600 tests from 0.99, 0.95 and 0.90, and 1470, 2440 and 3430 for 95 of 100 cases
(tests/link_layer/test_estimation_drift.py: exact Markov chain, and drawn).
"""

from dataclasses import dataclass, field
from math import exp, log, sqrt
from typing import Final, Literal

from bellwire.core.bell import Eigenvalues
from bellwire.link_layer.estimation.counts import Tally

EIGENVALUE_MAX: Final = 0.996
"""A reference is never taken to be better, or its first error would weigh without bounds."""

OVERSHOOT: Final = 1.166
"""Siegmund's correction for sums that jump over their bounds, in standard deviations of one step."""

LIMIT_MIN: Final = 1.0
"""A limit below would call single errors a drift."""

Direction = Literal["fall", "rise"]


def shifted(values: Eigenvalues, change: float) -> Eigenvalues:
    """The eigenvalues after a change of the fidelity by `change`, spread evenly over the bases.

    An eigenvalue rises at most half of the way to one.
    """
    step = 4.0 * change / 3.0
    one, two, three = (max(-EIGENVALUE_MAX, min(value + step, (1.0 + value) / 2.0)) for value in values)
    return (one, two, three)


def ratio(value: float, other: float, contrast: float, error: bool) -> float:
    """Log-likelihood ratio of one test's outcome: eigenvalue `other` against eigenvalue `value`."""
    if error:
        return log((1.0 - other * contrast) / (1.0 - value * contrast))
    return log((1.0 + other * contrast) / (1.0 + value * contrast))


class Steps:
    """Mean and spread of one step of a sum: a test in a basis drawn evenly."""

    def __init__(self, values: Eigenvalues, other: Eigenvalues, contrast: float, *, drifted: bool) -> None:
        """`drifted`: outcomes follow `other`, else `values`."""
        first = second = 0.0
        for value, changed in zip(values, other, strict=True):
            wrong = (1.0 - (changed if drifted else value) * contrast) / 2.0
            for chance, error in ((wrong, True), (1.0 - wrong, False)):
                each = ratio(value, changed, contrast, error)
                first += chance * each / 3.0
                second += chance * each * each / 3.0
        self.mean = first
        self.deviation = sqrt(max(0.0, second - first * first))


def limit_for(values: Eigenvalues, other: Eigenvalues, contrast: float, false_alarm_tests: float) -> float:
    """The limit of a sum whose false alarms come on average once in so many tests of that contrast."""
    steps = Steps(values, other, contrast, drifted=False)
    wanted = false_alarm_tests * -steps.mean
    low, high = 0.0, 64.0
    for _ in range(60):
        middle = (low + high) / 2.0
        if exp(middle) - middle - 1.0 < wanted:
            low = middle
        else:
            high = middle
    return max(LIMIT_MIN, low - OVERSHOOT * steps.deviation)


def noticed_after(values: Eigenvalues, other: Eigenvalues, contrast: float, limit: float) -> float:
    """Mean number of tests from the drift to its alarm, by the approximation above."""
    reach = limit + OVERSHOOT * Steps(values, other, contrast, drifted=False).deviation
    return (exp(-reach) + reach - 1.0) / Steps(values, other, contrast, drifted=True).mean


@dataclass(slots=True)
class _Sum:
    direction: Direction
    change: float
    other: Eigenvalues = (0.0, 0.0, 0.0)
    limit: float = 0.0
    value: float = 0.0
    since: Tally = field(default_factory=Tally)  # tests since the sum was zero


class DriftWatch:
    """Both sums of one operating point."""

    def __init__(self, drift: float, false_alarm_tests: int) -> None:
        """drift: of the fidelity, above zero."""
        self.reference: Eigenvalues | None = None  # None: nothing to compare with yet
        self._false_alarm_tests = false_alarm_tests
        self._sums = (_Sum("fall", -drift), _Sum("rise", drift))

    @property
    def quiet(self) -> bool:
        """True when neither sum is half of the way to its limit: a moment to take a new reference."""
        return all(one.value < one.limit / 2.0 for one in self._sums)

    def suspected(self) -> Tally:
        """Tests since the sum that is nearer to its limit was last zero."""
        return max(self._sums, key=lambda one: one.value / one.limit if one.limit else 0.0).since

    def refer(self, values: Eigenvalues, contrast: float) -> None:
        """Compare with this state from now on; tests have about this contrast. The sums stay as they are."""
        one, two, three = (max(-EIGENVALUE_MAX, min(EIGENVALUE_MAX, value)) for value in values)
        self.reference = (one, two, three)
        for each in self._sums:
            each.other = shifted(self.reference, each.change)
            each.limit = limit_for(self.reference, each.other, contrast, self._false_alarm_tests)

    def restart(self) -> None:
        """Forget both sums and the reference."""
        self.reference = None
        for each in self._sums:
            each.value = 0.0
            each.since = Tally()

    def add(self, frame: int, basis: int, error: bool, contrast: float) -> tuple[Direction, Tally] | None:
        """One test. Returns a drift when it is noticed: its direction, and the tests since it began."""
        if self.reference is None:
            return None
        for each in self._sums:
            each.value += ratio(self.reference[basis], each.other[basis], contrast, error)
            if each.value <= 0.0:
                each.value = 0.0
                each.since.clear()
                continue
            each.since.add(frame, basis, error, contrast)
            if each.value >= each.limit:
                return (each.direction, each.since)
        return None
