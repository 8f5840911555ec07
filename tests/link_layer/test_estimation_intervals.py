"""The confidence interval of a fidelity from counts of test rounds: exact for few tests, drawn for many."""

from itertools import product
from math import comb

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from bellwire.link_layer.estimation.counts import Counts
from bellwire.link_layer.estimation.intervals import Interval, fidelity_interval
from bellwire.link_layer.estimation.sums_of_betas import StretchedBeta, sum_quantile

Triple = tuple[float, float, float]

LINKS: dict[str, Triple] = {
    "perfect": (0.0, 0.0, 0.0),
    "F 0.985": (0.01, 0.01, 0.01),
    "F 0.95": (1 / 30, 1 / 30, 1 / 30),
    "dephased": (0.1, 0.0, 0.1),
    "asymmetric": (0.2, 0.05, 0.15),
    "F 0.55": (0.3, 0.3, 0.3),
    "mixed": (0.5, 0.5, 0.5),
}
"""Error probabilities in X, Z and Y of Bell-diagonal states."""


def counted(tests: tuple[int, ...], errors: tuple[int, ...], contrast: float = 1.0) -> Counts:
    counts = Counts()
    for one, n, k in zip(counts.bases, tests, errors, strict=True):
        one.tests, one.errors, one.contrast_sum = n, k, contrast * n
    return counts


def seen(errors: Triple, contrast: float) -> list[float]:
    """Error probabilities as measured with that contrast."""
    return [(1.0 - (1.0 - 2.0 * error) * contrast) / 2.0 for error in errors]


class Remembered:
    """Intervals by counts; the order of the bases does not matter to them."""

    def __init__(self, tests: int, contrast: float) -> None:
        self.tests, self.contrast = tests, contrast
        self._known: dict[tuple[int, ...], Interval] = {}

    def of(self, errors: tuple[int, ...]) -> Interval:
        key = tuple(sorted(errors))
        if key not in self._known:
            self._known[key] = fidelity_interval(counted((self.tests,) * 3, key, self.contrast))
        return self._known[key]


@pytest.mark.parametrize("contrast", [1.0, 0.9])
@pytest.mark.parametrize("tests", [1, 2, 5, 11])
def test_for_few_tests_the_exact_coverage_is_never_below_95_percent(tests: int, contrast: float) -> None:
    intervals = Remembered(tests, contrast)
    for name, errors in LINKS.items():
        fidelity = 1.0 - sum(errors) / 2.0
        weights = [
            [comb(tests, k) * p**k * (1.0 - p) ** (tests - k) for k in range(tests + 1)]
            for p in seen(errors, contrast)
        ]
        covered = 0.0
        for found in product(range(tests + 1), repeat=3):
            low, high = intervals.of(found)
            if low - 1e-9 <= fidelity <= high + 1e-9:
                covered += weights[0][found[0]] * weights[1][found[1]] * weights[2][found[2]]
        assert covered >= 0.95, name


@pytest.mark.parametrize("name", ["F 0.985", "F 0.95", "dephased", "asymmetric"])
def test_for_many_tests_the_interval_covers_the_truth_in_95_of_100_links(name: str) -> None:
    """600 links of 300 tests in each basis. A coverage of 95 % fails with probability 1e-6, for each
    state."""
    errors, links, tests, contrast = LINKS[name], 600, 300, 0.96
    fidelity = 1.0 - sum(errors) / 2.0
    drawn = np.random.default_rng(11).binomial(tests, seen(errors, contrast), size=(links, 3))
    intervals = Remembered(tests, contrast)
    covered = 0
    for found in drawn.tolist():
        low, high = intervals.of(tuple(found))
        covered += low <= fidelity <= high
    assert covered >= stats.binom.ppf(1e-6, links, 0.95)


def test_tests_of_unequal_contrast_keep_the_coverage() -> None:
    """Half of the pairs waited long. 400 links, 200 tests in each basis; false alarm 1e-6."""
    errors, links, tests = LINKS["asymmetric"], 400, 200
    contrasts = np.where(np.arange(tests) < tests // 2, 0.95, 0.45)
    chances = np.array([seen(errors, float(c)) for c in contrasts])  # (tests, 3)
    fidelity = 1.0 - sum(errors) / 2.0
    random = np.random.default_rng(12)
    covered = 0
    for _ in range(links):
        found = tuple(int(k) for k in (random.random((tests, 3)) < chances).sum(axis=0))
        low, high = fidelity_interval(counted((tests,) * 3, found, float(contrasts.mean())))
        covered += low <= fidelity <= high
    assert covered >= stats.binom.ppf(1e-6, links, 0.95)


def test_the_interval_is_hardly_wider_than_that_of_a_normal_distribution() -> None:
    """A thousand tests in each basis: the price of exactness is below 8 %."""
    errors = (60, 20, 90)
    low, high = fidelity_interval(counted((1000,) * 3, errors))
    variance = sum(k / 1000 * (1 - k / 1000) / 1000 for k in errors) / 4.0
    normal = 2.0 * stats.norm.ppf(0.975) * variance**0.5
    assert normal < high - low < 1.08 * normal


def test_without_an_error_the_upper_end_is_one_and_without_tests_nothing_is_known() -> None:
    assert fidelity_interval(counted((500,) * 3, (0, 0, 0))).high == 1.0
    assert fidelity_interval(counted((500,) * 3, (0, 0, 0))).low == pytest.approx(0.9928, abs=2e-4)
    assert fidelity_interval(counted((0, 0, 0), (0, 0, 0))) == (0.0, 1.0)
    untested = fidelity_interval(counted((500, 500, 0), (0, 0, 0)))
    assert untested.low < 0.5
    assert untested.high == 1.0


def test_one_basis_alone_gives_the_interval_of_clopper_and_pearson() -> None:
    """Two bases without doubt (a million tests each, no error) leave the third's."""
    low, high = fidelity_interval(counted((40, 10**6, 10**6), (6, 0, 0)))
    assert 2.0 * (1.0 - low) == pytest.approx(stats.beta.ppf(0.975, 7, 34), abs=2e-3)
    assert 2.0 * (1.0 - high) == pytest.approx(stats.beta.ppf(0.025, 6, 35), abs=2e-3)


def convolved(parts: tuple[StretchedBeta, ...], probability: float) -> float:
    """The same quantile on a grid of 2**16 points, from scipy's distribution functions."""
    points = 1 << 16
    low = sum(part.placed(0.0) for part in parts)
    high = sum(part.placed(1.0) for part in parts)
    step = (high - low) / points
    spectrum: NDArray[np.complex128] = np.ones(points + 1, dtype=np.complex128)
    for part in parts:
        edges = (np.arange(2 * points + 1) - 0.5) * step * part.contrast
        mass = np.diff(stats.beta.cdf(edges, part.alpha, part.beta))
        spectrum *= np.fft.rfft(mass)
    total = np.cumsum(np.fft.irfft(spectrum, 2 * points))
    place = int(np.searchsorted(total, probability))
    return low + step * (place + (probability - total[place - 1]) / (total[place] - total[place - 1]) - 0.5)


@pytest.mark.parametrize(
    "parts",
    [
        ((1, 30), (3, 28), (8, 23)),
        ((1, 500), (1, 500), (1, 500)),
        ((40, 900), (2, 40), (1, 9)),
        ((300, 700), (20, 9000), (9, 2)),
    ],
)
@pytest.mark.parametrize("contrast", [1.0, 0.8])
def test_quantiles_of_a_sum_agree_with_a_quadrature(
    parts: tuple[tuple[int, int], ...], contrast: float
) -> None:
    one, two, three = (StretchedBeta(alpha, beta, contrast) for alpha, beta in parts)
    deviation = sum((part.deviation / contrast) ** 2 for part in (one, two, three)) ** 0.5
    for probability in (0.0005, 0.025, 0.5, 0.975, 0.9995):
        error = sum_quantile((one, two, three), probability) - convolved((one, two, three), probability)
        assert abs(error) < (0.02 if 0.01 < probability < 0.99 else 0.1) * deviation
