"""Names that several nodes agree on without asking."""

from hypothesis import given
from hypothesis import strategies as st

from bellwire.core.ids import RUNS_PER_INCARNATION, End, PairId, run_number

counters = st.integers(1, RUNS_PER_INCARNATION - 1)
incarnations = st.integers(1, 2**43 - 1)


@given(incarnations, counters, counters)
def test_a_later_run_of_an_incarnation_has_a_higher_number(incarnation: int, one: int, other: int) -> None:
    assert (run_number(incarnation, one) < run_number(incarnation, other)) == (one < other)


@given(incarnations, counters, counters)
def test_every_run_after_a_restart_is_higher_than_every_run_before(
    incarnation: int, before: int, after: int
) -> None:
    assert run_number(incarnation, before) < run_number(incarnation + 1, after)


@given(incarnations, counters)
def test_a_run_number_fits_the_64_bits_of_the_wire(incarnation: int, counter: int) -> None:
    assert 0 < run_number(incarnation, counter) < 2**63


@given(st.integers(0, 2**40), st.integers(0, 63), st.integers(0, 1))
def test_both_ends_name_one_pair_and_are_each_others_partner(attempt: int, lane: int, side: int) -> None:
    end = End("a-b", 5, attempt, lane, side)
    assert end.partner != end
    assert end.partner.partner == end
    assert end.pair == end.partner.pair == PairId("a-b", 5, attempt, lane)


def test_an_end_is_written_for_people_with_its_side_last() -> None:
    assert str(End("a-b", 5, 17, 2, 1)) == "a-b/5.17.2:1"
