"""What is known of one operating point: table and calibration, tests, drift, success probability.

Owns the state of one point and when its parts are looked at again. Refuses the comparison of points
(operating_point.py) and messages.

The table is trusted until tests exclude it with TRUST_CONFIDENCE, or until a drift is noticed; from then on
only tests count, until somebody calibrates anew. On a drift all tests before its estimated beginning are
forgotten. Those from there to the alarm count at first, but they were chosen for looking bad (or good): the
interval is a wider one, of TRUST_CONFIDENCE (the distance that an alarm takes, sqrt(2 limit) standard
errors), until as many tests have followed; then they are forgotten as well, and the interval is fair again.
"""

from typing import Final, NamedTuple

from bellwire.core.bell import Eigenvalues, Walsh, eigenvalues, from_walsh, to_walsh
from bellwire.core.settings import EstimationSettings, HeraldEstimate, OperatingPoint
from bellwire.link_layer.estimation.beliefs import (
    FLAT,
    Belief,
    Calibration,
    calibrated,
    fidelity_error,
    fidelity_in,
    physical,
    updated,
)
from bellwire.link_layer.estimation.counts import Counts, Tally
from bellwire.link_layer.estimation.drift import Direction, DriftWatch
from bellwire.link_layer.estimation.intervals import Interval, fidelity_interval
from bellwire.link_layer.estimation.success import SuccessCount

FRAME_TESTS_MIN: Final = 900
"""A herald code of which so many pairs were tested has an estimate of its own; before, all codes share
one."""

TESTS_KEPT_MAX: Final = 65_536
"""Beyond this half of the tests is forgotten, so that what is slower than any drift alarm is followed."""

REFERENCE_GROWTH: Final = 3.0
"""When there are so many times the tests of the last time, and no suspicion, drift is looked for against the
newest estimate. Tests that a sum holds against the present reference have no part in the new one, or a
reference would follow a drift that is not noticed yet."""

REFERENCE_ERROR_MAX: Final = 0.25
"""Standard error of a reference in units of the drift that is watched for. Until tests reach it, the table is
the reference while it is trusted, and without one there is no watch: some 1800 tests at F = 0.93."""

LOOK_AGAIN: Final = 1.2
"""An interval is worked out anew when there are so many times the tests of the last one."""

CONFIDENCE: Final = 0.95
"""Of an interval."""

TRUST_CONFIDENCE: Final = 0.999
"""Confidence of the interval while it rests on tests that were chosen by an alarm, too. Tests that exclude a
table with this confidence end the trust in it. It is looked at some forty times while tests grow from tens
to ten thousands, therefore higher than the 0.95 of an interval."""


class Drift(NamedTuple):
    """A drift that was noticed."""

    direction: Direction
    fidelity_before: float
    fidelity_after: float
    interval: Interval  # of the fidelity after, from the tests since it began
    tests: int  # since it began


class PointEstimate:
    """One operating point of a link, as one of its ends knows it."""

    def __init__(
        self,
        point: OperatingPoint,
        settings: EstimationSettings,
        contrast: float,
        success_error: float | None = None,
    ) -> None:
        """contrast: of a test that is measured at once: what the readout of both ends leaves (counts.py).
        success_error: of the point's success probability where it was calibrated, None: it was not."""
        self.name = point.name
        self.table_success_probability = point.success_probability
        self._table_success_error = success_error or 0.0
        self.success = SuccessCount()
        self.tally = Tally()
        self._fresh: Tally | None = None  # tests since an alarm, None: those before it are forgotten
        self.trusted = True
        self.at_ns = 0  # when the newest test behind the estimate was joined; 0: as in the table
        self._settings = settings
        self._codes = {herald.code: herald.frame for herald in point.heralds}
        self._table: dict[int, Eigenvalues] = {
            herald.frame: eigenvalues(from_walsh(Walsh(herald.signs, herald.cost)))
            for herald in point.heralds
        }
        self._calibration: Calibration | None = None
        self._watch = DriftWatch(settings.drift, settings.false_alarm_tests)
        self._contrast = contrast
        self._watch.refer(self._mean_belief(0).values, contrast)
        self._reference_tests = 0
        self.heralds = {herald.code: herald for herald in point.heralds}  # what a code means now
        self._interval: Interval | None = None
        self._interval_tests = 0

    # ---- what is known

    @property
    def table_fidelity(self) -> float:
        """What the lab file, or a calibration, says: mean over the herald codes, which come equally often."""
        return fidelity_in(self._mean_belief(self.at_ns).values)

    @property
    def fidelity(self) -> float:
        """The best guess: belief and tests; mean over all codes."""
        tests = self.tally.pooled()
        if not tests.tests:
            return self.table_fidelity
        guess = fidelity_in(updated(self._belief(None, self.at_ns), tests))
        low, high = self.interval
        return min(high, max(low, guess))

    @property
    def interval(self) -> Interval:
        """95 % interval (after an alarm for a while a wider one) from tests alone; the table's value twice
        before the first test.

        As of a moment ago: it is renewed as tests grow by LOOK_AGAIN.
        """
        if self._interval is None:
            value = self.table_fidelity
            if self._calibration is None:
                return Interval(value, value)
            reach = 1.96 * self._calibration.error
            return Interval(max(0.0, value - reach), min(1.0, value + reach))
        return self._interval

    @property
    def assured_fidelity(self) -> float:
        """What may be promised: the table's value while it is trusted, or the lower end of the interval.

        The greater of the two where tests say that the link is better than its table.
        """
        if self._interval is None:
            return self.table_fidelity
        return max(self.table_fidelity, self._interval.low) if self.trusted else self._interval.low

    @property
    def success_probability(self) -> tuple[float, float]:
        """Of one attempt, with its standard error; 0.0: as modelled, nothing measured."""
        return self.success.estimate() or (self.table_success_probability, self._table_success_error)

    # ---- what is learnt

    def calibrate(self, calibration: Calibration, now_ns: int) -> None:
        """A calibration takes the place of what the file says, and what was measured before it is
        forgotten."""
        self._calibration = calibration
        self.trusted = True
        self.at_ns = calibration.at_ns
        self.tally.clear()
        self._fresh = None
        self._interval = None
        self._interval_tests = 0
        self._watch.restart()
        self._watch.refer(self._mean_belief(now_ns).values, self._contrast)
        self._reference_tests = 0
        self._renew(now_ns)

    def tested(self, frame: int, basis: int, error: bool, contrast: float, now_ns: int) -> Drift | None:
        """One test round of a pair of `frame`. `settled` must follow before the estimates are read."""
        self.tally.add(frame, basis, error, contrast)
        if self._fresh is not None:
            self._fresh.add(frame, basis, error, contrast)
        self.at_ns = now_ns
        noticed = self._watch.add(frame, basis, error, contrast)
        if noticed is not None:
            return self._drifted(*noticed, now_ns)
        return None

    def settled(self, now_ns: int) -> None:
        """A batch of tests is complete: renew the estimates."""
        if self._fresh is not None and 2 * self._fresh.tests >= self.tally.tests:
            self.tally, self._fresh = self._fresh, None
            self._interval_tests = 0
        if self.tally.tests > TESTS_KEPT_MAX:
            self.tally.halve()
            self._interval_tests = self._reference_tests = 0
        if self.tally.tests > LOOK_AGAIN * self._interval_tests:
            self._look(now_ns)
            self._refer()
        self._renew(now_ns)

    def _drifted(self, direction: Direction, since: Tally, now_ns: int) -> Drift:
        before = fidelity_in(self._watch.reference or FLAT.values)
        self.tally, self._fresh = Tally(), Tally()
        self.tally.join(since)
        self.trusted = False
        self._watch.restart()
        self._reference_tests = 0
        self._look(now_ns)
        assert self._interval is not None
        return Drift(direction, before, self.fidelity, self._interval, self.tally.tests)

    def _look(self, now_ns: int) -> None:
        """Work out the interval, and whether the tests still bear the table."""
        tests = self.tally.pooled()
        self._interval = fidelity_interval(tests, CONFIDENCE if self._fresh is None else TRUST_CONFIDENCE)
        self._interval_tests = tests.tests
        if self.trusted:
            table = fidelity_in(self._mean_belief(now_ns).values)
            if not self._interval.low <= table <= self._interval.high:
                low, high = fidelity_interval(tests, TRUST_CONFIDENCE)
                self.trusted = low <= table <= high

    def _refer(self) -> None:
        """Compare with the newest estimate from now on, if it is exact enough and nothing is suspected."""
        if self._fresh is not None:
            return
        tests = self.tally.pooled().without(self._watch.suspected().pooled())
        if tests.tests < REFERENCE_GROWTH * self._reference_tests or not self._watch.quiet:
            return
        state = eigenvalues(physical(updated(self._belief(None, self.at_ns), tests)))
        if fidelity_error(state, tests) > REFERENCE_ERROR_MAX * self._settings.drift:
            return
        self._reference_tests = tests.tests
        self._watch.refer(state, sum(one.contrast for one in tests.bases) / len(tests.bases))

    def _renew(self, now_ns: int) -> None:
        """The states that births are given from now on."""
        pooled: Counts | None = None
        for code, frame in self._codes.items():
            counts = self.tally.by_frame.get(frame)
            if counts is None or counts.tests < FRAME_TESTS_MIN:
                counts = pooled = pooled or self.tally.pooled()
            walsh = to_walsh(physical(updated(self._belief(frame, now_ns), counts)))
            self.heralds[code] = HeraldEstimate(code=code, frame=frame, signs=walsh.signs, cost=walsh.cost)

    # ---- beliefs

    def _belief(self, frame: int | None, now_ns: int) -> Belief:
        """Before any test: of one herald code, or (None) of all."""
        if not self.trusted:
            return FLAT
        return self._mean_belief(now_ns) if frame is None else self._table_belief(frame, now_ns)

    def _table_belief(self, frame: int, now_ns: int) -> Belief:
        belief = Belief(self._table[frame], float(self._settings.table_worth))
        if self._calibration is None:
            return belief
        mean = sum(fidelity_in(values) for values in self._table.values()) / len(self._table)
        return calibrated(belief, fidelity_in(belief.values) - mean, self._calibration, now_ns)

    def _mean_belief(self, now_ns: int) -> Belief:
        beliefs = [self._table_belief(frame, now_ns) for frame in self._table]
        one, two, three = (sum(belief.values[k] for belief in beliefs) / len(beliefs) for k in range(3))
        return Belief((one, two, three), beliefs[0].worth)
