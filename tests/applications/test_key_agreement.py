"""Secret key from pairs: sifting, Cascade, hashing and the finite-key length, against closed forms."""

import random
from math import log2, sqrt

import numpy as np
import pytest
from scipy.linalg import toeplitz

from bellwire.applications.bell_test import Trial
from bellwire.applications.key_agreement import KeyResult, agree
from bellwire.applications.key_amplification import (
    Security,
    asymptotic_share,
    binary_entropy,
    correction_efficiency,
    secret_length,
    statistical_margin,
    toeplitz_hash,
)
from bellwire.applications.key_cascade import ParityHolder, correct
from bellwire.applications.key_sifting import sift
from bellwire.core.bases import correlation
from bellwire.core.errors import LocalMisuse

SECURITY = Security()


def trials_of(count: int, error_x: float, error_z: float, seed: int) -> list[Trial]:
    """Pairs of all frames measured in X or Z by chance; those of unequal bases have bits by chance."""
    chance = random.Random(seed)
    trials = []
    for _ in range(count):
        one, other = chance.choice("XZ"), chance.choice("XZ")
        frame, bit = chance.randrange(4), chance.randrange(2)
        other_bit = chance.randrange(2)
        if one == other:
            differ = correlation(one, one, frame) < 0.0
            wrong = chance.random() < (error_x if one == "X" else error_z)
            other_bit = bit ^ differ ^ wrong
        trials.append(Trial(one, other, bit, int(other_bit), frame))
    return trials


def made(count: int, error_x: float, error_z: float, seed: int, **terms: float) -> KeyResult:
    return agree(
        sift(trials_of(count, error_x, error_z, seed)), random.Random(seed).randbytes, SECURITY, **terms
    )


def test_only_pairs_of_equal_bases_are_left_and_frames_are_mended() -> None:
    sifted = sift(trials_of(4000, 0.0, 0.0, 1))
    assert sifted.pairs == 4000
    assert sifted.test_errors == sifted.key_errors == 0
    # Binomial with p = 1/4: five standard deviations, false alarm 1e-6 for both.
    for kept in (len(sifted.key_one), len(sifted.test_one)):
        assert abs(kept - 1000) < 5.0 * sqrt(4000 * 3 / 16)


@pytest.mark.parametrize("seed", range(5))
def test_error_rates_are_those_of_the_pairs_within_their_error(seed: int) -> None:
    """20 000 pairs, ten rates, five standard deviations: false alarm 6e-6 for the whole test."""
    sifted = sift(trials_of(20_000, 0.05, 0.02, seed))
    for errors, count, rate in (
        (sifted.test_errors, len(sifted.test_one), 0.05),
        (sifted.key_errors, len(sifted.key_one), 0.02),
    ):
        assert abs(errors - count * rate) < 5.0 * sqrt(count * rate * (1.0 - rate))


@pytest.mark.parametrize(("length", "rate"), [(2000, 0.03), (10_000, 0.01), (10_000, 0.05), (10_000, 0.1)])
def test_cascade_mends_every_error_and_tells_little_more_than_it_must(length: int, rate: float) -> None:
    """Twenty strings each. Shannon's bound is f = 1; what is told is counted alike at both sides."""
    efficiencies = []
    for seed in range(20):
        chance = np.random.default_rng(seed)
        one = chance.integers(0, 2, length, dtype=np.uint8)
        other = one ^ (chance.random(length) < rate).astype(np.uint8)
        holder = ParityHolder(one, seed)
        fixed = correct(other, holder, seed, rate)
        assert np.array_equal(fixed.bits, one)
        assert fixed.disclosed == holder.disclosed
        assert fixed.mended == np.count_nonzero(one != other)
        efficiency = correction_efficiency(fixed.disclosed, length, fixed.mended / length)
        assert efficiency is not None
        efficiencies.append(efficiency)
    assert 1.0 < np.mean(efficiencies) < 1.25


def test_cascade_mends_errors_that_come_in_pairs_in_one_block() -> None:
    one = np.zeros(1000, dtype=np.uint8)
    other = one.copy()
    other[:4] = 1
    assert not correct(other, ParityHolder(one, 3), 3, 0.01).bits.any()


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 40), (40, 1), (17, 63), (64, 64), (33, 200)])
def test_the_hash_is_the_product_with_the_matrix(rows: int, columns: int) -> None:
    chance = np.random.default_rng(rows * 1000 + columns)
    bits = chance.integers(0, 2, columns, dtype=np.uint8)
    seed = chance.integers(0, 2, rows + columns - 1, dtype=np.uint8)
    matrix = toeplitz(seed[columns - 1 :], seed[columns - 1 :: -1])
    assert np.array_equal(toeplitz_hash(bits, seed, rows), matrix.astype(int) @ bits % 2)


def test_the_hash_is_exact_for_the_strings_of_a_long_run() -> None:
    """All ones: every entry of the product is as large as it can be, and its parity known."""
    length, rows = 200_000, 1000
    seed = np.ones(length + rows - 1, dtype=np.uint8)
    assert not toeplitz_hash(np.ones(length, dtype=np.uint8), seed, rows).any()
    assert toeplitz_hash(np.ones(length - 1, dtype=np.uint8), seed[1:], rows).all()


def test_a_seed_of_another_length_is_refused() -> None:
    with pytest.raises(LocalMisuse, match="seed bits"):
        toeplitz_hash(np.ones(8, dtype=np.uint8), np.ones(8, dtype=np.uint8), 4)


def test_two_strings_collide_as_rarely_as_two_universal_hashing_says() -> None:
    """4000 seeds, 6 bits: 62.5 collisions expected, at most; six standard deviations, false alarm 1e-8."""
    chance = np.random.default_rng(5)
    one, other = (chance.integers(0, 2, 50, dtype=np.uint8) for _ in range(2))
    collisions = 0
    for _ in range(4000):
        seed = chance.integers(0, 2, 55, dtype=np.uint8)
        collisions += np.array_equal(toeplitz_hash(one, seed, 6), toeplitz_hash(other, seed, 6))
    assert abs(collisions - 62.5) < 6.0 * sqrt(62.5)


def test_the_length_is_the_formula_and_tends_to_the_rate_of_a_run_without_end() -> None:
    n, k, rate, leak = 100_000, 50_000, 0.02, 16_000
    margin = sqrt((n + k) / (n * k) * (k + 1) / k * np.log(4.0 / 1e-9))
    assert statistical_margin(n, k, 1e-9) == pytest.approx(margin, rel=1e-12)
    wanted = n * (1.0 - binary_entropy(rate + margin)) - leak - log2(2.0 / (1e-18 * 1e-12))
    assert secret_length(n, k, rate, leak, SECURITY) == int(wanted)
    endless = 10**12
    share = secret_length(endless, endless, rate, int(endless * binary_entropy(rate)), SECURITY) / endless
    assert share == pytest.approx(asymptotic_share(rate, rate), rel=1e-3)
    assert asymptotic_share(0.11003, 0.11003) == pytest.approx(0.0, abs=1e-4)  # the bound of BB84


def test_a_run_makes_the_same_key_at_both_ends_of_the_length_that_theory_says() -> None:
    """60 000 pairs, three seeds. What chance makes of the length: n and k by five standard deviations, e by
    as many, each propagated; false alarm 5e-6 for the whole test."""
    for seed in range(3):
        found = made(60_000, 0.02, 0.02, seed)
        assert found.verdict == "key"
        assert np.array_equal(found.key_one, found.key_other)
        assert found.efficiency is not None
        n = k = 15_000
        leak = found.efficiency * n * binary_entropy(0.02)
        wanted = secret_length(n, k, 0.02, int(leak), SECURITY)
        spread_n = sqrt(60_000 * 3 / 16) * wanted / n
        spread_e = 2.0 * sqrt(0.02 * 0.98 / n) * n * log2(0.98 / 0.02)
        assert abs(found.length - wanted) < 5.0 * sqrt(spread_n**2 + 2.0 * spread_e**2)
        share = np.mean(found.key_one)
        assert abs(share - 0.5) < 5.0 * 0.5 / sqrt(found.length)


def test_too_few_pairs_and_too_many_errors_make_no_key_and_say_why() -> None:
    short = made(2000, 0.02, 0.02, 1)
    assert (short.verdict, short.length) == ("too short", 0)
    assert made(60_000, 0.2, 0.2, 1).verdict == "too short"
    assert made(60_000, 0.03, 0.02, 1, error_rate_max=0.01).verdict == "too many errors"


def test_an_agreed_error_rate_costs_key() -> None:
    assert 0 < made(60_000, 0.02, 0.02, 1, error_rate_max=0.04).length < made(60_000, 0.02, 0.02, 1).length


def test_strings_that_still_differ_are_found_by_the_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """A correction that stops after one pass leaves errors in even numbers."""
    from bellwire.applications import key_cascade

    monkeypatch.setattr(key_cascade, "PASSES", 1)
    monkeypatch.setattr(key_cascade, "block_lengths", lambda length, rate: [length])
    assert made(20_000, 0.03, 0.03, 2).verdict == "strings differ"


def test_a_run_without_pairs_makes_no_key() -> None:
    assert agree(sift([]), random.Random(0).randbytes, SECURITY).verdict == "too short"
