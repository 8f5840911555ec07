"""The sequential test of a ping: its chances against enumeration, the binomial law and Wald's formulas."""

import itertools
from math import log

import pytest
from scipy.stats import beta, binom

from bellwire.core.errors import ConfigError
from bellwire.link_layer.estimation.ping import PingTest


def test_one_round_ends_as_the_binomial_law_says() -> None:
    test = PingTest(fidelity=0.9, margin=0.2, pairs_max=60, round_pairs=60)
    verdicts = [test.verdict(errors, 60) for errors in range(61)]
    yes = max(errors for errors in range(61) if verdicts[errors] == "yes")
    no = min(errors for errors in range(61) if verdicts[errors] == "no")
    assert 0 < yes < no - 1
    for fidelity in (0.25, 0.7, 0.8, 0.9, 1.0):
        error = 2.0 / 3.0 * (1.0 - fidelity)
        chances = test.chances(fidelity)
        assert chances.yes == pytest.approx(binom.cdf(yes, 60, error), abs=1e-12)
        assert chances.no == pytest.approx(binom.sf(no - 1, 60, error), abs=1e-12)
        assert chances.pairs == pytest.approx(60.0)


def test_chances_are_the_sum_over_every_way_in_which_the_test_can_go() -> None:
    test = PingTest(fidelity=0.9, margin=0.6, pairs_max=11, round_pairs=3, contrast=0.8)
    assert test.rounds() == (3, 3, 3, 2)
    error = (1.0 - (1.0 - 4.0 / 3.0 * 0.35) * 0.8) / 2.0  # of a fidelity of 0.65
    found = {"yes": 0.0, "no": 0.0, "undecided": 0.0}
    expected = 0.0
    for bits in itertools.product((0, 1), repeat=11):
        chance = error ** sum(bits) * (1.0 - error) ** (11 - sum(bits))
        for looked in (3, 6, 9, 11):
            verdict = test.verdict(sum(bits[:looked]), looked)
            if verdict != "undecided" or looked == 11:
                found[verdict] += chance
                expected += chance * looked
                break
    assert min(found.values()) > 0.01, "every end is reached"
    chances = test.chances(0.65)
    assert (chances.yes, chances.no, chances.undecided) == pytest.approx(tuple(found.values()), abs=1e-12)
    assert chances.pairs == pytest.approx(expected)


@pytest.mark.parametrize("fidelity", [0.6, 0.8, 0.9, 0.95, 0.99])
def test_the_usual_test_keeps_its_chances_of_error_and_decides_nearly_always(fidelity: float) -> None:
    test = PingTest(fidelity=fidelity)
    good, bad = test.chances(fidelity), test.chances(test.fidelity_bad)
    # Wald: each is at most a/(1 - b) = 0.0526 without a limit on the pairs, which adds undecided ones only.
    assert good.no <= 0.05 / 0.95
    assert bad.yes <= 0.05 / 0.95
    assert good.no + bad.yes <= 0.1
    # A limit of 240 pairs is too low only for the noisiest links.
    assert max(good.undecided, bad.undecided) < (0.05 if fidelity > 0.8 else 0.2)


def test_the_expected_number_of_pairs_is_close_to_walds() -> None:
    test = PingTest(fidelity=0.9, margin=0.1, pairs_max=1_000, round_pairs=1)
    good, bad = 2.0 / 3.0 * 0.1, 2.0 / 3.0 * 0.2
    no, yes = log(0.95 / 0.05), log(0.05 / 0.95)

    def mean(error: float) -> float:
        return error * log(bad / good) + (1.0 - error) * log((1.0 - bad) / (1.0 - good))

    # Wald (1945) leaves out by how much the threshold is overshot: at most one error's worth, log 2, of 2.94.
    by_wald = (0.05 * no + 0.95 * yes) / mean(good)
    assert by_wald < test.chances(0.9).pairs < by_wald * (1.0 + log(bad / good) / no)


def test_a_better_link_is_more_often_a_yes_and_more_seldom_a_no() -> None:
    test = PingTest(fidelity=0.9)
    steps = [test.chances(0.25 + 0.75 * step / 20) for step in range(21)]
    for worse, better in itertools.pairwise(steps):
        assert better.yes >= worse.yes - 1e-12
        assert better.no <= worse.no + 1e-12
    assert steps[0].no > 0.999
    assert steps[-1].yes == pytest.approx(1.0)


def test_intervals_are_those_of_clopper_and_pearson_with_the_readout_undone() -> None:
    test = PingTest(fidelity=0.9, contrast=0.9)
    for errors, pairs in ((0, 36), (3, 40), (17, 40), (40, 40)):
        least = beta.ppf(0.025, errors, pairs - errors + 1) if errors else 0.0
        most = beta.ppf(0.975, errors + 1, pairs - errors) if errors < pairs else 1.0
        ends = [
            min(1.0, max(0.0, 1.0 - 1.5 * (1.0 - (1.0 - 2.0 * error) / 0.9) / 2.0)) for error in (most, least)
        ]
        assert test.interval(errors, pairs) == pytest.approx(tuple(ends), abs=1e-7)
        low, high = test.interval(errors, pairs)
        assert low <= test.fidelity_of(errors, pairs) <= high


@pytest.mark.parametrize("fidelity", [0.55, 0.7, 0.8, 0.88, 0.95, 0.98])
def test_stopping_early_costs_the_interval_little_of_its_confidence(fidelity: float) -> None:
    """Exactly, over all ways: of 95 % at least 92 % are left at these fidelities."""
    test = PingTest(fidelity=0.9)
    error = test.error_chance(fidelity)
    going, held, pairs = {0: 1.0}, 0.0, 0
    for size in test.rounds():
        pairs += size
        after: dict[int, float] = {}
        for errors, chance in going.items():
            for count in range(size + 1):
                after[errors + count] = after.get(errors + count, 0.0) + chance * binom.pmf(
                    count, size, error
                )
        going = {}
        for errors, chance in after.items():
            if test.verdict(errors, pairs) == "undecided" and pairs < test.pairs_max:
                going[errors] = chance
            else:
                low, high = test.interval(errors, pairs)
                held += chance * (low <= fidelity <= high)
    assert held > 0.92


@pytest.mark.parametrize(
    "changes",
    [
        {"fidelity": 1.0},
        {"fidelity": 0.3},
        {"margin": 0.0},
        {"false_no": 0.5},
        {"false_yes": 0.0},
        {"pairs_max": 0},
        {"pairs_max": 1_001},
        {"contrast": 0.0},
        {"fidelity": float("nan")},
    ],
)
def test_a_test_that_can_decide_nothing_is_refused_with_the_limit(changes: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"\d"):
        PingTest(**({"fidelity": 0.9} | changes))  # type: ignore[arg-type]
