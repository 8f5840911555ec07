"""Keyed chance: right distributions, no memory, the same in every process.

Seeds are fixed, so nothing here can flicker; the false-alarm probability says how surprising a failure would
have been for a correct generator when the seed was chosen.
"""

import os
import subprocess
import sys
from math import log

import pytest
from scipy import stats

from bellwire.core.errors import LocalMisuse
from bellwire.simulator_backend.chance import ATTEMPTS_MAX, Chance

FALSE_ALARM = 1e-4


def test_numbers_are_uniform() -> None:
    """Kolmogorov-Smirnov, 20,000 neighbouring keys, false alarm 1e-4."""
    chance = Chance(7)
    draws = [chance.uniform("k", i) for i in range(20_000)]
    assert stats.kstest(draws, "uniform").pvalue > FALSE_ALARM
    assert 0.0 <= min(draws) < max(draws) < 1.0


@pytest.mark.parametrize("lag", [1, 2, 16])
def test_numbers_of_neighbouring_keys_are_independent(lag: int) -> None:
    """Chi-square on an 8 x 8 grid of (u_i, u_(i + lag)), 20,000 disjoint pairs, false alarm 1e-4 each."""
    chance = Chance(8)
    counts = [0] * 64
    for i in range(20_000):
        first, second = chance.uniform("k", 2 * lag * i), chance.uniform("k", 2 * lag * i + lag)
        counts[int(8 * first) * 8 + int(8 * second)] += 1
    assert stats.chisquare(counts).pvalue > FALSE_ALARM


def test_numbers_of_neighbouring_seeds_are_independent() -> None:
    """Chi-square on an 8 x 8 grid, 20,000 pairs, false alarm 1e-4."""
    counts = [0] * 64
    for seed in range(20_000):
        counts[int(8 * Chance(2 * seed).uniform("k")) * 8 + int(8 * Chance(2 * seed + 1).uniform("k"))] += 1
    assert stats.chisquare(counts).pvalue > FALSE_ALARM


@pytest.mark.parametrize(("success", "samples"), [(0.5, 20_000), (0.03, 20_000)])
def test_waiting_times_are_geometric(success: float, samples: int) -> None:
    """Chi-square against the exact distribution in 20 bins of about equal weight, false alarm 1e-4 each."""
    chance = Chance(9)
    edges = sorted({max(1, round(log(1 - k / 20) / log(1 - success))) for k in range(1, 20)})
    counts = [0] * (len(edges) + 1)
    for i in range(samples):
        wait = chance.geometric(success, "gap", i)
        counts[sum(wait > edge for edge in edges)] += 1
    survival = [1.0, *[(1 - success) ** edge for edge in edges], 0.0]
    expected = [samples * (survival[i] - survival[i + 1]) for i in range(len(counts))]
    assert stats.chisquare(counts, expected).pvalue > FALSE_ALARM


@pytest.mark.parametrize("success", [1e-6, 1e-12])
def test_rare_success_waits_exponentially(success: float) -> None:
    """Kolmogorov-Smirnov of p x wait against the exponential, 10,000 samples, false alarm 1e-4 each."""
    chance = Chance(10)
    waits = [success * chance.geometric(success, "gap", i) for i in range(10_000)]
    assert stats.kstest(waits, "expon").pvalue > FALSE_ALARM


def test_certain_success_takes_one_attempt_and_hopeless_success_is_bounded() -> None:
    chance = Chance(11)
    assert {chance.geometric(1.0, i) for i in range(100)} == {1}
    assert chance.geometric(1e-300, "never") == ATTEMPTS_MAX
    assert chance.geometric(5e-324, "never") == ATTEMPTS_MAX


def test_a_larger_success_probability_never_waits_longer() -> None:
    chance = Chance(12)
    for i in range(200):
        waits = [chance.geometric(p, i) for p in (1e-9, 1e-3, 0.1, 0.5, 0.99, 1.0)]
        assert waits == sorted(waits, reverse=True)


def test_choices_follow_their_weights() -> None:
    """Chi-square on 20,000 draws, false alarm 1e-4; a weight of zero is never drawn."""
    chance, weights = Chance(13), (3.0, 0.0, 1.0, 6.0)
    counts = [0] * 4
    for i in range(20_000):
        counts[chance.choice4(weights, "c", i)] += 1
    assert counts[1] == 0
    expected = [20_000 * weights[i] / 10.0 for i in (0, 2, 3)]
    assert stats.chisquare([counts[0], counts[2], counts[3]], expected).pvalue > FALSE_ALARM


def test_different_keys_are_different_numbers_however_they_are_cut() -> None:
    chance = Chance(14)
    keys = [
        ("a", "bc"), ("ab", "c"), ("abc",), ("a,bc",), ("a', 'bc",), ("a", 1), ("a", "1"), (1, "a"),
        ("a", -1), (), ("",), ("", ""), (12, 3), (1, 23), (123,), ("ä",), ("\\xe4",), ("a" * 300,),
        ("a" * 301,),
    ]  # fmt: skip
    assert len({chance.uniform(*key) for key in keys}) == len(keys)
    assert len({Chance(seed).uniform("x") for seed in (0, 1, -1, 2**70)}) == 4


def test_a_draw_depends_on_nothing_but_seed_and_key() -> None:
    one, other = Chance(15), Chance(15)
    forwards = [one.uniform("k", i) for i in range(50)]
    backwards = [other.uniform("k", i) for i in reversed(range(50))]
    assert forwards == backwards[::-1] == [one.uniform("k", i) for i in range(50)]


def test_other_processes_with_other_hash_seeds_draw_the_same_numbers() -> None:
    program = (
        "from bellwire.simulator_backend.chance import Chance; c = Chance(42);"
        "print([c.uniform('gap', 'é-b', 3, i) for i in range(5)],"
        "c.geometric(1e-4, 'x'), c.choice4((1, 2, 3, 4), 'y'))"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "12345")
    }
    chance = Chance(42)
    here = [chance.uniform("gap", "é-b", 3, i) for i in range(5)]
    assert answers == {f"{here} {chance.geometric(1e-4, 'x')} {chance.choice4((1, 2, 3, 4), 'y')}\n"}


def test_numbers_are_pinned_across_versions() -> None:
    """A change of these values changes every recorded trace: it needs a new schema version."""
    assert Chance(1).uniform("gap", "a-b", 0, 1, 0) == 0.8966133654547281


@pytest.mark.parametrize("success", [0.0, -0.1, 1.1, float("nan")])
def test_impossible_probabilities_are_refused(success: float) -> None:
    with pytest.raises(LocalMisuse):
        Chance(1).geometric(success, "x")


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.0, 0.0, 0.0, 0.0), (2.0, -1.0, 0.0, 0.0)])
def test_impossible_weights_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(LocalMisuse):
        Chance(1).choice4(weights, "x")
