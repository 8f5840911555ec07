"""Bins and attempts come from a product with a reciprocal: exact beside every edge of the whole range."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellwire.drivers.tags.blocks_in_order import DELAY_MAX_PS, PIECE_PS
from bellwire.drivers.tags.delay_bins import bin_delays, quotient
from bellwire.drivers.tags.gating import find_clicks

RANGE_PS = 1 << 53


@given(divisor=st.integers(1, RANGE_PS), number=st.integers(0, RANGE_PS), off=st.integers(-2, 2))
def test_a_quotient_beside_a_multiple_is_exact(divisor: int, number: int, off: int) -> None:
    value = min(max(number // divisor * divisor + off, 0), RANGE_PS - 1)
    assert quotient(np.int64(value), divisor, 1.0 / divisor) == value // divisor


def check_quotients(seed: int, cases: int) -> None:
    """Divisors of every size, values at and beside multiples, the largest multiples above all.

    Bins and attempts, both against integer division of Python.
    """
    chance = random.Random(seed)
    room = np.empty(6, np.int64)
    slots, channels = np.zeros(1 << 16, np.int64), np.zeros(5, np.int16)
    for _ in range(cases):
        divisor = chance.randrange(1, 1 << chance.randint(1, 50))
        top = RANGE_PS // divisor
        multiple = divisor * (
            chance.randint(max(0, top - 3), top) if chance.random() < 0.5 else chance.randint(0, top)
        )
        values = [min(max(multiple + off, 0), RANGE_PS - 1) for off in (-2, -1, 0, 1, 2)]
        attempts = [value // divisor for value in values]
        assert [quotient(np.int64(value), divisor, 1.0 / divisor) for value in values] == attempts
        times = np.array(values, np.int64)
        count, _, _ = find_clicks(
            times,
            channels,
            slots,
            np.zeros(1, np.int64),
            divisor,
            np.zeros((1, 1), np.int64),
            np.full((1, 1), divisor, np.uint64),
            1,
            room,
        )
        assert [int(click) >> 1 for click in room[:count]] == attempts
        counts = np.zeros(3, np.int64)
        base = max(0, attempts[0] - 1)
        bin_delays(times, base * divisor, divisor, counts)
        assert counts.tolist() == [attempts.count(base + k) for k in range(3)]


def test_bins_and_attempts_beside_multiples_are_exact_in_3000_cases() -> None:
    check_quotients(1, 3000)


@pytest.mark.slow
def test_bins_and_attempts_beside_multiples_are_exact_in_a_million_cases() -> None:
    """200,000 divisors with five values each, seed 2."""
    check_quotients(2, 200_000)


def test_no_time_that_is_handed_to_a_loop_leaves_the_range_of_the_proof() -> None:
    """From the base: a span, the silence before it, the delays, a window's end and a period."""
    assert 2 * PIECE_PS + 4 * DELAY_MAX_PS <= RANGE_PS
