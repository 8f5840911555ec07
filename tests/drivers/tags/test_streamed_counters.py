"""Every streamed counter against its definition, on small random streams cut into blocks anywhere.

The quick run repeats the same cases; `make proofs` tries three million others.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.drivers.tags.against_brute_force import (
    check_coincidences,
    check_histograms,
    check_patterns,
    in_small_pieces,
)

CHECKS = (check_coincidences, check_histograms, check_patterns)
QUICK_CASES = 700
PROOF_CASES = 100_000
PROOF_SEEDS = range(101, 111)
Check = Callable[[Random], None]


@pytest.mark.parametrize("check", CHECKS)
def test_a_counter_counts_what_its_definition_says_whatever_the_blocks(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(QUICK_CASES):
        in_small_pieces(monkeypatch, 1 + number % 5)
        run(check, f"quick {number}")


@pytest.mark.parametrize("check", CHECKS)
@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(chance=st.randoms(use_true_random=False), tags_at_once=st.integers(1, 9))
def test_no_case_that_hypothesis_finds_is_counted_otherwise(
    check: Check, chance: Random, tags_at_once: int
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        in_small_pieces(monkeypatch, tags_at_once)
        check(chance)


@pytest.mark.slow
@pytest.mark.parametrize("seed", PROOF_SEEDS)
@pytest.mark.parametrize("check", CHECKS)
def test_a_counter_counts_what_its_definition_says_in_a_million_cases(
    check: Check, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3 counters x 10 seeds x 100,000 cases, seeds "101 0" to "110 99999"."""
    for number in range(PROOF_CASES):
        in_small_pieces(monkeypatch, 1 + number % 5)
        run(check, f"{seed} {number}")


def run(check: Check, seed: str) -> None:
    """One case; a failure names its seed."""
    try:
        check(Random(seed))
    except AssertionError as failure:
        failure.add_note(f"seed {seed!r}")
        raise
