"""Unions of intervals against sets of integers."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from bellwire.drivers.tags.intervals import IntervalSet, merged

SPANS = st.lists(st.tuples(st.integers(-20, 20), st.integers(-20, 20)), max_size=12)


def members(spans: list[tuple[int, int]]) -> set[int]:
    return {number for start, stop in spans for number in range(start, stop)}


@given(spans=SPANS, start=st.integers(-25, 25), stop=st.integers(-25, 25), before=st.integers(-25, 25))
def test_a_union_holds_what_its_parts_hold(
    spans: list[tuple[int, int]], start: int, stop: int, before: int
) -> None:
    union = IntervalSet()
    for span in spans:
        union.add(*span)
    joined = merged(spans)
    assert members(joined) == members(spans)
    assert all(one[1] < other[0] for one, other in itertools.pairwise(joined))
    assert len(union) == len(joined)
    union.forget(before)
    gaps = union.gaps(max(start, before), stop)
    assert members(gaps) == set(range(max(start, before), stop)) - members(spans)
    assert len(union) == sum(span[1] > before for span in joined)
