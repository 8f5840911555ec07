"""The choice of the operating point, success probabilities from waits, and what an estimate promises."""

import numpy as np
import pytest

from bellwire.core.bell import eigenvalues, to_walsh, werner
from bellwire.core.errors import LocalMisuse
from bellwire.core.settings import EstimationSettings, HeraldEstimate, LinkSettings, OperatingPoint
from bellwire.link_layer.estimation.beliefs import Calibration
from bellwire.link_layer.estimation.operating_point import Candidate, chosen_point
from bellwire.link_layer.estimation.success import WAITS_KEPT_MAX, SuccessCount
from bellwire.link_layer.estimation.unit import FidelityEstimation
from tests.link_layer.bench import link_network

DIM, MIDDLE, BRIGHT = (
    Candidate(0.95, 0.95, 1e-4, 0),
    Candidate(0.90, 0.90, 3e-4, 0),
    Candidate(0.80, 0.80, 9e-4, 0),
)
POINTS = (DIM, MIDDLE, BRIGHT)


@pytest.mark.parametrize(("wanted", "chosen"), [(0.93, 0), (0.90, 1), (0.85, 1), (0.80, 2), (0.3, 2)])
def test_the_fastest_point_that_gives_the_fidelity_is_taken(wanted: float, chosen: int) -> None:
    assert chosen_point(POINTS, wanted, None) == chosen


def test_when_no_point_gives_the_fidelity_the_best_one_is_taken() -> None:
    assert chosen_point(POINTS, 0.99, None) == 0
    assert chosen_point(POINTS, 0.99, 2) == 0


def test_when_nobody_asks_for_a_fidelity_the_first_point_serves() -> None:
    assert chosen_point(POINTS, None, 2) == 0


def test_a_good_enough_point_in_force_gives_way_only_to_a_clearly_faster_one() -> None:
    slightly = (Candidate(0.95, 0.95, 1.00e-4, 900), Candidate(0.94, 0.94, 1.05e-4, 900))
    assert chosen_point(slightly, 0.90, 0) == 0
    assert chosen_point(slightly, 0.90, None) == 1
    clearly = (Candidate(0.95, 0.95, 1.00e-4, 900), Candidate(0.94, 0.94, 1.2e-4, 900))
    assert chosen_point(clearly, 0.90, 0) == 1


def test_an_estimate_that_wavers_around_the_minimum_changes_the_point_once() -> None:
    """The bright point is measured at 0.90 +- 0.004 when 0.90 is asked for."""
    present: int | None = None
    changes = -1
    for wave in (0.002, -0.002, 0.004, -0.004, 0.003, -0.003, 0.004):
        points = (Candidate(0.95, 0.95, 1e-4, 0), Candidate(0.90 + wave, 0.90 + wave, 3e-4, 900))
        chosen = chosen_point(points, 0.90, present)
        changes += chosen != present
        present = chosen
    assert changes <= 1
    assert present == 0


def test_where_none_is_good_enough_the_point_that_may_be_best_is_looked_at_long_enough() -> None:
    other = Candidate(0.88, 0.902, 3e-4, 5000)
    assert chosen_point((Candidate(0.80, 0.93, 1e-4, 300), other), 0.95, 1) == 0
    assert chosen_point((Candidate(0.70, 0.86, 1e-4, 300), other), 0.95, 0) == 0, "too few tests to leave it"
    assert chosen_point((Candidate(0.80, 0.86, 1e-4, 700), other), 0.95, 0) == 1
    assert chosen_point((Candidate(0.80, 0.89, 1e-4, 700), other), 0.95, 0) == 0, "hardly better"
    assert chosen_point((Candidate(0.80, 0.89, 1e-4, 700), other), 0.95, 1) == 1


def test_success_probability_from_waits_has_the_stated_error() -> None:
    """400 links of 100 waits at p = 0.02: mean within 4 standard errors of p, spread within 15 %."""
    chance = np.random.default_rng(4)
    estimates: list[float] = []
    errors: list[float] = []
    for _ in range(400):
        count = SuccessCount()
        for wait in chance.geometric(0.02, size=100).tolist():
            count.add(wait)
        found = count.estimate()
        assert found is not None
        estimates.append(found[0])
        errors.append(found[1])
    spread = float(np.std(estimates))
    assert abs(np.mean(estimates) - 0.02) < 4.0 * spread / 20.0
    assert np.mean(errors) == pytest.approx(spread, rel=0.15)


def test_few_waits_say_nothing_and_old_ones_are_forgotten() -> None:
    count = SuccessCount()
    for _ in range(7):
        count.add(50)
    assert count.estimate() is None
    for _ in range(2 * WAITS_KEPT_MAX):
        count.add(10)
    assert count.waits < WAITS_KEPT_MAX
    found = count.estimate()
    assert found is not None
    assert found[0] == pytest.approx(0.1, rel=0.01)


# ---- the unit


def point(name: str, success: float, fidelity: float) -> OperatingPoint:
    walsh = to_walsh(werner(fidelity))
    heralds = tuple(
        HeraldEstimate(code=code, frame=code + 1, signs=walsh.signs, cost=walsh.cost) for code in (1, 2)
    )
    return OperatingPoint(name=name, success_probability=success, heralds=heralds, settings={})


def link_of(*points: OperatingPoint) -> LinkSettings:
    base = link_network(station=True).links["a-b"]
    fields = {name: getattr(base, name) for name in base.__struct_fields__}
    return LinkSettings(
        **(fields | {"points": points, "test_share": 0.1, "estimation": EstimationSettings()})
    )


def unit_of(*points: OperatingPoint, readout: float = 1.0) -> FidelityEstimation:
    return FidelityEstimation(link_of(*points), ((0, 0, 0), (0, 0, 0)), (readout, readout))


def feed(unit: FidelityEstimation, number: int, fidelity: float, tests: int, seed: int = 1) -> None:
    """Test rounds of a Werner state, in both frames of the link and the three bases in turn."""
    chance = np.random.default_rng(seed)
    values = eigenvalues(werner(fidelity))
    for test in range(tests):
        basis, frame = test % 3, 2 + test % 2
        parity = (frame & 1, frame >> 1, 1 ^ (frame & 1) ^ (frame >> 1))[basis]
        one = int(chance.integers(2))
        error = int(chance.random() < (1.0 - values[basis]) / 2.0)
        unit.tested(number, frame, basis, (one, one ^ parity ^ error), (0, 0), 1000 + test)
        if test % 64 == 63:
            unit.settled(number, 1000 + test)
    unit.settled(number, 1000 + tests)


def test_before_any_test_figures_and_births_are_those_of_the_lab_file() -> None:
    dim = point("dim", 1e-4, 0.95)
    unit = unit_of(dim, point("bright", 4e-4, 0.85))
    first, second = unit.figures()
    assert (first.name, first.tested, first.measured, first.at_ns) == ("dim", 0, 0, 0)
    assert first.fidelity_low == first.fidelity_high == first.fidelity == pytest.approx(0.95)
    assert (second.success_probability, second.success_error) == (4e-4, 0.0)
    assert unit.estimate(0, 2) is dim.heralds[1]
    assert unit.best_fidelity() == pytest.approx(0.95)
    assert unit.estimated_at_ns(0) == 0


def test_births_follow_the_tests_and_keep_the_frame_of_their_code() -> None:
    unit = unit_of(point("only", 1e-4, 0.95))
    feed(unit, 0, 0.85, 6000)
    for code in (1, 2):
        found = unit.estimate(0, code)
        assert (found.code, found.frame) == (code, code + 1)
    (figures,) = unit.figures()
    assert 300 < figures.tested < 6000, "a drift from the table was noticed; tests before it are forgotten"
    assert figures.fidelity_low < 0.85 < figures.fidelity_high
    assert figures.fidelity == pytest.approx(0.85, abs=0.02)
    assert figures.at_ns == unit.estimated_at_ns(0) > 0
    assert unit.best_fidelity() == figures.fidelity_low


def test_a_point_that_turns_out_worse_than_its_table_gives_way_to_another() -> None:
    unit = unit_of(point("dim", 1e-4, 0.95), point("bright", 4e-4, 0.90))
    assert unit.point_for(0.88, None) == 1
    feed(unit, 1, 0.82, 3000)
    assert unit.point_for(0.88, 1) == 0
    assert unit.point_for(0.97, 0) == 0
    assert unit.best_fidelity() == pytest.approx(0.95), "the other point's table is not in doubt"


def test_a_link_that_turns_out_better_than_its_table_promises_more() -> None:
    unit = unit_of(point("only", 1e-4, 0.85))
    feed(unit, 0, 0.95, 6000)
    assert 0.93 < unit.best_fidelity() < 0.95


def test_each_herald_code_has_an_estimate_of_its_own_once_enough_of_its_pairs_were_tested() -> None:
    """Psi+ is good and Psi- is not, which no table says: 4000 tests of each."""
    unit = unit_of(point("only", 1e-4, 0.90))
    chance = np.random.default_rng(8)
    for test in range(8000):
        basis, frame = test % 3, 2 + (test // 3) % 2
        parity = (frame & 1, frame >> 1, 1 ^ (frame & 1) ^ (frame >> 1))[basis]
        error = int(chance.random() < (0.02 if frame == 2 else 0.12))
        unit.tested(0, frame, basis, (0, parity ^ error), (0, 0), test)
    unit.settled(0, 8000)
    good, bad = (unit.estimate(0, code) for code in (1, 2))
    assert good.cost[0] < bad.cost[0]
    unit_cost = 1 << 56
    assert good.cost[1] / unit_cost == pytest.approx(-np.log(0.96), abs=0.02)
    assert bad.cost[1] / unit_cost == pytest.approx(-np.log(0.76), abs=0.06)


def test_a_test_that_waited_too_long_does_not_count() -> None:
    fast = (1 << 56) // 1000  # e-fold in a microsecond
    unit = FidelityEstimation(link_of(point("only", 1e-4, 0.9)), ((fast,) * 3, (0, 0, 0)), (1.0, 1.0))
    assert unit.tested(0, 2, 0, (0, 0), (100, 0), 1)[0]
    assert not unit.tested(0, 2, 0, (0, 0), (10_000, 0), 1)[0]
    assert unit.points[0].tally.tests == 1


def test_a_calibration_replaces_table_and_tests_and_restores_the_trust() -> None:
    unit = unit_of(point("only", 1e-4, 0.95))
    feed(unit, 0, 0.85, 3000)
    assert not unit.points[0].trusted
    unit.calibrate(0, Calibration(0.91, 0.004, 5000), 6000)
    (figures,) = unit.figures()
    assert figures.tested == 0
    assert figures.fidelity == pytest.approx(0.91, abs=0.003)
    assert figures.fidelity_low == pytest.approx(figures.fidelity - 0.00784, abs=1e-6)
    assert figures.at_ns == 5000
    assert unit.points[0].trusted
    assert unit.best_fidelity() == pytest.approx(0.91, abs=0.003)


def test_a_calibration_without_an_error_is_refused() -> None:
    with pytest.raises(LocalMisuse, match="error above 0"):
        unit_of(point("only", 1e-4, 0.95)).calibrate(0, Calibration(0.9, 0.0, 0), 0)
