"""Score forms: the worked numbers of algorithms.md 8.1 and 8.2, their properties, and form D by hand.

Ages are in milliseconds, positions on the route 0..4.
"""

from math import inf

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bellwire.core.plans import RouteTable
from bellwire.swapping.candidates import Segment
from bellwire.swapping.cutoffs import Cutoffs
from bellwire.swapping.ratings import Rating
from bellwire.swapping.scores import ScoreA, ScoreB, ScoreD
from tests.swapping.tables import situation, table_of, uniform

DEPTH = Cutoffs("depth")

# ---- form A, worked numbers

R1 = ((0, 10.0), (2, 4.0))  # (A,R1) of 10 ms and (R1,R2) of 4 ms
R2 = ((1, 4.0), (3, 1.0))  # (R1,R2) of 4 ms and (R2,R3) of 1 ms


def test_a_swap_of_the_plan_at_r1_has_the_benefit_of_the_specification_and_loses_nothing() -> None:
    """8.1: IB = .09648, OL = 0 with rho = 0, or when (R2,R3) is there."""
    for form, present in (
        (ScoreA(1.0, 0.0, 0.0, DEPTH), ()),
        (ScoreA(1.0, 0.0, 0.3, DEPTH), ((2, 3),)),
    ):
        seen, left, right = situation(table_of(1), *R1, present=present)
        assert form.benefit(seen, left, right) == pytest.approx(0.09648, abs=5e-6)
        assert form.opportunity_loss(seen, left, right) == 0.0
        assert form.rate(seen, left, right) == pytest.approx(0.09648, abs=5e-6)


def test_a_missing_link_beside_it_costs_as_much_as_the_specification_says() -> None:
    """8.1: rho = .3 and (R2,R3) missing: OL = .03187, score .06460 (a difference of rounded terms)."""
    form = ScoreA(1.0, 0.0, 0.3, DEPTH)
    seen, left, right = situation(table_of(1), *R1)
    assert form.opportunity_loss(seen, left, right) == pytest.approx(0.03187, abs=5e-6)
    assert form.rate(seen, left, right) == pytest.approx(0.06460, abs=1e-5)


def test_memory_pressure_breaks_the_plan_at_r2() -> None:
    """8.1: IB = .10243, OL = .10629, IB - OL = -.00386; with gamma = .005: -.0019 at 2/5 memories (wait) and
    +.0011 at 5/5 (swap). (A,R1) is there, (R3,B) is not."""
    form, present = ScoreA(1.0, 0.005, 0.3, DEPTH), ((0, 1),)
    seen, left, right = situation(table_of(2), *R2, occupancy=0.4, present=present)
    assert form.benefit(seen, left, right) == pytest.approx(0.10243, abs=5e-6)
    assert form.opportunity_loss(seen, left, right) == pytest.approx(0.10629, abs=5e-6)
    difference = form.benefit(seen, left, right) - form.opportunity_loss(seen, left, right)
    assert difference == pytest.approx(-0.00386, abs=1e-5)  # a difference of rounded terms there
    assert difference + 0.005 * 0.4 == pytest.approx(-0.0019, abs=5e-5)
    assert form.rate(seen, left, right) is None
    full, left, right = situation(table_of(2), *R2, occupancy=1.0, present=present)
    assert form.rate(full, left, right) == pytest.approx(0.0011, abs=5e-5)


# ---- form A, properties (i) to (vi); (vii) is eligibility, see test_executions.py

AGES = st.floats(0.0, 50.0)
EVERYTHING = tuple((i, j) for i in range(5) for j in range(i + 1, 5))
CASES = st.sampled_from([(1, 0, 2), (1, 0, 3), (2, 1, 3), (2, 0, 3), (2, 1, 4), (3, 2, 4), (3, 1, 4)])


@settings(derandomize=True, deadline=None, max_examples=60)
@given(CASES, AGES, AGES)
def test_i_without_alternatives_nothing_is_lost_and_whatever_lives_is_swapped(
    case: tuple[int, int, int], age_l: float, age_r: float
) -> None:
    here, x, y = case
    form, form_free = ScoreA(1.0, 0.005, 0.3, DEPTH), ScoreA(1.0, 0.0, 0.3, DEPTH)
    seen, left, right = situation(table_of(here), (x, age_l), (y, age_r), present=EVERYTHING)
    assert form.opportunity_loss(seen, left, right) == 0.0
    expired = max(age_l, age_r) >= 1e3 * DEPTH.segment_s(table_of(here), x, y)
    assert (form_free.rate(seen, left, right) is None) == expired
    crowded, left, right = situation(
        table_of(here), (x, age_l), (y, age_r), present=EVERYTHING, occupancy=1.0
    )
    assert form.rate(crowded, left, right) is not None


@settings(derandomize=True, deadline=None, max_examples=60)
@given(CASES, AGES, AGES, st.floats(0.1, 20.0))
def test_ii_the_benefit_falls_with_the_age_of_the_product_and_ends_at_its_cutoff(
    case: tuple[int, int, int], age_l: float, age_r: float, more: float
) -> None:
    here, x, y = case
    form, table = ScoreA(1.0, 0.0, 0.3, DEPTH), table_of(here)
    cut_ms = 1e3 * DEPTH.segment_s(table, x, y)
    one = situation(table, (x, age_l), (y, age_r))
    older = situation(table, (x, max(age_l, age_r) + more), (y, age_r))
    assert form.benefit(*older) < form.benefit(*one) or form.benefit(*one) == 0.0
    assert form.benefit(*situation(table, (x, cut_ms), (y, age_r))) == pytest.approx(
        0.0, abs=1e-8
    )  # ages are whole nanoseconds


def with_rate(table: RouteTable, segment: Segment, factor: float) -> RouteTable:
    """The table with another latency of one segment."""
    rows = [list(row) for row in table.latency_s]
    rows[segment[0]][segment[1] - segment[0] - 1] *= factor
    return msgspec.structs.replace(table, latency_s=tuple(tuple(row) for row in rows))


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.floats(1.5, 50.0), AGES, AGES)
def test_iii_the_loss_grows_with_the_rate_of_the_partner_falls_with_age_and_ends_with_the_rate(
    factor: float, age_l: float, age_r: float
) -> None:
    form, table = ScoreA(1.0, 0.0, 0.3, DEPTH), table_of(2)
    assume(age_r < 50.0)

    def loss(of: RouteTable, age: float) -> float:
        seen = situation(of, (1, age_l), (3, age), present=((0, 1),))
        return form.opportunity_loss(*seen)

    assert loss(with_rate(table, (3, 4), factor), age_r) < loss(table, age_r)
    assert loss(table, age_r + 3.0) < loss(table, age_r)
    assert loss(with_rate(table, (3, 4), 1e12), age_r) == pytest.approx(0.0, abs=1e-9)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(CASES, AGES, AGES, st.floats(0.0, 0.9))
def test_iv_the_score_grows_with_occupancy(
    case: tuple[int, int, int], age_l: float, age_r: float, occupancy: float
) -> None:
    here, x, y = case
    form = ScoreA(0.0, 0.005, 0.3, DEPTH)  # beta 0, so that there is a score to compare
    scores = [
        form.rate(*situation(table_of(here), (x, age_l), (y, age_r), occupancy=part))
        for part in (occupancy, occupancy + 0.1)
    ]
    assert scores[1] is not None
    assert scores[0] is None or scores[0] < scores[1]


@settings(derandomize=True, deadline=None, max_examples=60)
@given(CASES, AGES, AGES, st.floats(0.01, 100.0), st.sampled_from(["A", "B", "B'", "D"]))
def test_v_no_form_depends_on_the_unit_of_time(
    case: tuple[int, int, int], age_l: float, age_r: float, unit: float, form: str
) -> None:
    here, x, y = case
    ratings: dict[str, Rating] = {
        "A": ScoreA(0.3, 0.005, 0.3, DEPTH),
        "B": ScoreB(False, 1.5, 0.5, 0.9, DEPTH),
        "B'": ScoreB(True, 1.5, 0.5, 0.3, DEPTH),
        "D": ScoreD(1.5, 0.2, 8.0, 0.2, 4.0, Cutoffs()),
    }
    rating = ratings[form]
    one = rating.rate(*situation(table_of(here), (x, age_l), (y, age_r), occupancy=0.4))
    other = rating.rate(
        *situation(table_of(here, unit=unit), (x, age_l), (y, age_r), occupancy=0.4, unit=unit)
    )
    # Ages are whole nanoseconds: of 0.01 ms and more that is 1e-4 of an age at most.
    if one is None or other is None:
        assert (one or 0.0) + (other or 0.0) == pytest.approx(0.0, abs=1e-4)
    else:
        assert other == pytest.approx(one, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize(
    "form",
    [
        ScoreA(1.0, 0.0, 0.3, DEPTH),
        ScoreB(False, 1.01, 0.5, 0.9, DEPTH),
        ScoreB(True, 1.1, 0.5, 0.3, DEPTH),
        ScoreD(1.1, 0.2, 8.0, 0.2, 4.0, Cutoffs()),
    ],
)
def test_vi_what_joins_source_and_destination_is_swapped_at_once(form: ScoreA | ScoreB | ScoreD) -> None:
    for left, right in (((0, 0.0), (4, 0.0)), ((0, 500.0), (4, 500.0))):
        assert form.rate(*situation(table_of(2), left, right)) == inf
        assert form.rate(*situation(table_of(1), left, right)) == inf


# ---- forms B and B'


def test_an_odd_swap_in_the_middle_breaks_even_in_form_b_and_loses_0_96_in_form_b_prime() -> None:
    """8.2: .4 x 5 - 2 = 0 by V; .4 x 2.6 - 2 = -.96 by U, here in units of V(s,d) = 25."""
    table = uniform(2)
    for one, raw in ((False, 0.0), (True, -0.96)):
        # A gain of 1 shows nothing above zero; one that just pays for it shows where zero is.
        rows = table.worth_s if one else table.value_s
        price = (table.of(rows, 1, 2) + table.of(rows, 2, 3)) / (0.4 * table.of(rows, 1, 3))
        assert 0.4 * table.of(rows, 1, 3) - 2.0 == pytest.approx(raw)
        seen = situation(table, (1, 0.0), (3, 0.0))
        assert ScoreB(one, 1.0, 0.5, 0.0, Cutoffs()).rate(*seen) is None
        assert ScoreB(one, price + 0.01, 0.5, 0.0, Cutoffs()).rate(*seen) == pytest.approx(
            0.01 * 0.4 * table.of(rows, 1, 3) / 25.0
        )


def test_age_and_memory_pressure_make_form_b_swap_off_the_plan() -> None:
    table = uniform(2)
    form = ScoreB(True, 1.1, 0.5, 0.9, Cutoffs(factor=1.0))
    assert form.rate(*situation(table, (1, 0.0), (3, 0.0), occupancy=0.2)) is None
    crowded = form.rate(*situation(table, (1, 0.0), (3, 0.0), occupancy=1.0))
    assert crowded == pytest.approx((1.1 * 0.4 * 2.6 - 2.0 * 0.1) / 25.0)


# ---- form D by hand


def test_form_d_is_the_formula_of_the_specification() -> None:
    """Uniform 4 links of 1 s: T_root = 14.0625 s, so cut = 28.125 s. At R2 a pair (1,2) of 7.03125 s (a
    quarter of the cutoff), idle for 2 s of patience 8 W = 8 s, and (2,3), fresh. U(1,3) = 2.6, U = 1 for
    links. Worked with pencil: life .8660254, loss 1.6495191, relief .97408."""
    form = ScoreD(2.0, 0.5, 8.0, 0.2, 4.0, Cutoffs())
    seen, left, right = situation(uniform(2), (1, 7031.25), (3, 0.0), occupancy=0.6, idle_ms=(2000.0, 0.0))
    life = 0.75**0.5
    loss = 1.0 * life * (1.0 - 2.0 / 8.0) + 1.0
    by_hand = (2.0 * 0.4 * 2.6 * life - loss * (1.0 - 0.2 * 0.6**4)) / 25.0
    assert by_hand == pytest.approx((2.08 * 0.8660254 - 1.6495191 * 0.97408) / 25.0, abs=1e-8)
    assert form.rate(seen, left, right) == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize(
    ("left_ms", "idle_ms", "occupancy", "swaps"),
    [
        (0.0, 0.0, 0.0, False),  # off the plan, fresh, memory free: wait
        (0.0, 0.0, 1.0, False),  # a fifth off is not enough
        (9000.0, 9000.0, 0.0, True),  # it waited for more than 8 W: worth nothing any more
        (28200.0, 0.0, 0.0, False),  # product and pair expired alike: nothing to gain
    ],
)
def test_form_d_leaves_the_plan_for_a_pair_that_waited_too_long(
    left_ms: float, idle_ms: float, occupancy: float, swaps: bool
) -> None:
    form = ScoreD(1.1, 0.2, 8.0, 0.2, 4.0, Cutoffs())
    seen = situation(uniform(2), (1, left_ms), (3, 0.0), occupancy=occupancy, idle_ms=(idle_ms, 0.0))
    assert (form.rate(*seen) is not None) == swaps


def test_form_d_swaps_fresh_pairs_of_the_plan_for_its_gain_of_a_tenth() -> None:
    form = ScoreD(1.1, 0.2, 8.0, 0.2, 4.0, Cutoffs())
    score = form.rate(*situation(uniform(1), (0, 0.0), (2, 0.0)))
    assert score == pytest.approx((1.1 * 0.4 * 5.0 - 2.0) / 25.0)
    assert ScoreD(1.0, 0.2, 8.0, 0.0, 4.0, Cutoffs()).rate(*situation(uniform(1), (0, 0.0), (2, 0.0))) in (
        None,
        pytest.approx(0.0, abs=1e-12),
    )


def test_without_patience_waiting_costs_nothing_and_without_a_cutoff_age_does_not() -> None:
    patient = ScoreD(1.1, 0.2, 0.0, 0.2, 4.0, Cutoffs())
    assert patient.rate(*situation(uniform(2), (1, 9000.0), (3, 0.0))) is None
    ageless = ScoreD(1.1, 0.2, 8.0, 0.2, 4.0, Cutoffs("none"))
    ratings = [
        ageless.rate(*situation(uniform(1), (0, age), (2, 0.0), idle_ms=(0.0, 0.0)))
        for age in (0.0, 60_000.0)
    ]
    assert ratings[0] == ratings[1] is not None
