"""Pairs of two channels in memory against all differences, in both loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.tags import pairs
from bellwire.drivers.tags.pairs import count_pairs, pair_indices, pairs_within, with_partners

TIMES = st.lists(st.integers(-40, 40), max_size=30).map(lambda times: np.array(sorted(times), np.int64))
ALWAYS_DENSE, NEVER_DENSE = -1.0, 1e9


@given(
    first=TIMES,
    second=TIMES,
    lo_ps=st.integers(-30, 30),
    width_ps=st.integers(0, 30),
    seed=st.integers(0, 99),
)
def test_every_difference_within_the_window_is_a_pair_and_no_other(
    first: NDArray[np.int64], second: NDArray[np.int64], lo_ps: int, width_ps: int, seed: int
) -> None:
    hi_ps = lo_ps + width_ps
    within = [[lo_ps <= int(b) - int(a) <= hi_ps for b in second] for a in first]
    partners = [sum(row) for row in within]
    listed = [(i, j) for i, row in enumerate(within) for j, hit in enumerate(row) if hit]
    ways = np.random.default_rng(seed).integers(1, 5, len(first))
    for dense in (ALWAYS_DENSE, NEVER_DENSE):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pairs, "DENSE", dense)
            met = sum(number > 0 for number in partners)
            assert pairs_within(first, second, lo_ps, hi_ps) == (met, sum(partners))
            assert count_pairs(first, second, lo_ps + 5, hi_ps + 5, delays_ps=(3, 8)) == sum(partners)
            times, weights = with_partners(first, ways, second, lo_ps, hi_ps)
            assert times.tolist() == [int(a) for a, number in zip(first, partners, strict=True) if number]
            assert weights.tolist() == [
                int(w) * number for w, number in zip(ways, partners, strict=True) if number
            ]
            found = pair_indices(first, second, lo_ps, hi_ps)
            assert list(zip(found[0].tolist(), found[1].tolist(), strict=True)) == listed


def test_many_tags_are_counted_as_binary_search_counts_them() -> None:
    """Long enough for all blocks of ranks: 4096 tags at once."""
    chance = np.random.default_rng(3)
    for span in (10**5, 10**7):
        first, second = np.sort(chance.integers(0, span, 30_000)), np.sort(chance.integers(0, span, 20_000))
        number = np.searchsorted(second, first + 70, "right") - np.searchsorted(second, first - 30, "left")
        for dense in (ALWAYS_DENSE, NEVER_DENSE):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(pairs, "DENSE", dense)
                assert pairs_within(first, second, -30, 70) == ((number > 0).sum(), number.sum())
                times, ways = with_partners(first, None, second, -30, 70)
                assert (times == first[number > 0]).all()
                assert (ways == number[number > 0]).all()


def test_times_out_of_order_and_a_window_inside_out_are_refused() -> None:
    ordered, not_ordered = np.array([1, 2, 3]), np.array([1, 3, 2])
    for arrays in ((ordered, not_ordered), (not_ordered, ordered)):
        with pytest.raises(LocalMisuse, match="not in order"):
            count_pairs(*arrays, 0, 1)
    with pytest.raises(LocalMisuse, match="from 2 to 1 ps"):
        pair_indices(ordered, ordered, 2, 1)
