"""Bell-diagonal maps against the worked numbers of algorithms.md, and the integer form against itself."""

from fractions import Fraction
from itertools import product
from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellwire.core import bell
from bellwire.core.bell import COST_MAX, PERFECT, Walsh
from bellwire.core.errors import LocalMisuse

A = (0.9, 0.05, 0.03, 0.02)
B = (0.85, 0.08, 0.05, 0.02)


def near(expected: tuple[float, ...], tolerance: float = 5e-11) -> object:
    """The tables give ten digits; half a unit of the last one is the tolerance."""
    return pytest.approx(expected, abs=tolerance, rel=0)


def test_a_swap_gives_the_published_vector_and_the_werner_rule() -> None:
    assert bell.xor_convolve(A, B) == near((0.7709, 0.1161, 0.0731, 0.0399))
    joined = bell.xor_convolve(bell.werner(0.9), bell.werner(0.85))
    assert joined == near(bell.werner(0.77))


def test_a_noisy_swap_gives_the_published_vector() -> None:
    expected = (0.7472874368, 0.1243873632, 0.0830901632, 0.0452350368)
    assert bell.noisy_bsm(A, B, 0.98, 0.99) == near(expected)


@pytest.mark.parametrize(("links", "expected"), [(2, 0.9033333), (4, 0.8191259), (8, 0.6818724)])
def test_a_chain_of_werner_links_has_the_published_fidelity(links: int, expected: float) -> None:
    state = bell.werner(0.95)
    for _ in range(links - 1):
        state = bell.xor_convolve(state, bell.werner(0.95))
    assert bell.fidelity(state) == pytest.approx(expected, abs=5e-8)


def test_storage_gives_the_published_vectors() -> None:
    t1, t2, t = 10.0, 1.0, 0.3
    one = bell.t1_t2_twirled(A, t, t1, t2)
    assert one == near((0.7831979888, 0.1535025013, 0.0353538461, 0.0279456638))
    both = bell.t1_t2_twirled(one, t, t1, t2)
    assert both == near((0.6951419654, 0.2286520747, 0.0408470381, 0.0353589218))
    exact = bell.amplitude_damp_both(A, t, t1, t2)
    assert exact == near((0.6953603320, 0.2288704413, 0.0406286715, 0.0351405551))
    mixed = bell.depolarise(bell.depolarise(A, exp(-t)), exp(-t))
    assert mixed == near((0.6067275635, 0.1402376728, 0.1292614401, 0.1237733237))


def test_dephasing_is_t1_t2_without_relaxation() -> None:
    assert bell.dephase(A, 0.3, 1.0) == near(bell.t1_t2_twirled(A, 0.3, 1e15, 1.0), 1e-12)


def test_purification_gives_the_published_numbers() -> None:
    equal = bell.bbpssw(0.8, 0.8)
    assert (equal.success_probability, equal.state[0]) == near((0.768888889, 0.838150289), 5e-10)
    unequal = bell.bbpssw(0.9, 0.7)
    assert (unequal.success_probability, unequal.state[0]) == near((0.76, 0.833333333), 5e-10)
    plain = bell.recurrence(A, B)
    assert plain.success_probability == pytest.approx(0.887, abs=1e-12)
    assert plain.state == near((0.8669673055, 0.1290868095, 0.0021420519, 0.0018038331))
    rotated = bell.dejmps(A, B)
    assert rotated.success_probability == pytest.approx(0.8108, abs=1e-12)
    assert rotated.state == near((0.9440059201, 0.0431672422, 0.0067834238, 0.0060434139))


@pytest.mark.parametrize("fixed", [0.25, 0.5, 1.0])
def test_bbpssw_leaves_its_fixed_points(fixed: float) -> None:
    assert bell.bbpssw(fixed, fixed).state[0] == pytest.approx(fixed, abs=1e-12)


def test_twirled_recurrence_of_werner_states_is_bbpssw() -> None:
    plain, twirled = bell.recurrence(bell.werner(0.9), bell.werner(0.7)), bell.bbpssw(0.9, 0.7)
    assert plain.success_probability == pytest.approx(twirled.success_probability, abs=1e-12)
    assert plain.state[0] == pytest.approx(twirled.state[0], abs=1e-12)


def test_noisy_recurrence_succeeds_with_the_published_probability() -> None:
    g1, g2, m1, m2 = 0.98, 0.97, 0.99, 0.96
    gates, right = g1 * g2, m1 * m2 + (1 - m1) * (1 - m2)
    wrong = 1 - right
    agree = (A[0] + A[1]) * (B[0] + B[1]) + (A[2] + A[3]) * (B[2] + B[3])
    expected = 0.5 + gates * wrong + gates * agree * (right - wrong) - gates / 2
    noisy = bell.recurrence(A, B, gate_fidelities=(g1, g2), readout_fidelities=(m1, m2))
    assert noisy.success_probability == pytest.approx(expected, abs=1e-12)
    assert sum(noisy.state) == pytest.approx(1.0, abs=1e-12)


def test_a_purification_that_can_never_succeed_is_refused() -> None:
    with pytest.raises(LocalMisuse):
        bell.recurrence((1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0))


@pytest.mark.parametrize(("one", "other"), list(product(range(4), range(4))))
def test_permuting_by_two_paulis_is_permuting_by_their_xor(one: int, other: int) -> None:
    assert bell.permute(bell.permute(A, one), other) == bell.permute(A, one ^ other)
    assert bell.xor_convolve(bell.permute(A, one), bell.permute(B, other)) == near(
        bell.permute(bell.xor_convolve(A, B), one ^ other), 1e-15
    )


@pytest.mark.parametrize("call", [lambda: bell.werner(1.1), lambda: bell.t1_t2_twirled(A, 1.0, 1.0, 2.1)])
def test_impossible_physics_is_refused(call: object) -> None:
    with pytest.raises(LocalMisuse):
        call()  # type: ignore[operator]


# --- integer form ----------------------------------------------------------------------------------------

costs = st.one_of(st.integers(0, 1 << 58), st.integers(0, COST_MAX), st.just(COST_MAX))


@st.composite
def walshes(draw: st.DrawFn) -> Walsh:
    cost = (draw(costs), draw(costs), draw(costs))
    signs = draw(st.integers(0, 7))
    return Walsh(sum(1 << k for k in range(3) if signs >> k & 1 and cost[k] < COST_MAX), cost)


@st.composite
def probabilities(draw: st.DrawFn) -> bell.Bell:
    weights = [draw(st.integers(0, 1000)) for _ in range(4)]
    total = sum(weights) or 1
    first, second, third = (w / total for w in weights[:3])
    return (first, second, third, 1.0 - first - second - third) if sum(weights) else (1.0, 0.0, 0.0, 0.0)


@given(walshes(), walshes(), walshes())
def test_joining_is_associative_and_commutative_to_the_last_bit(a: Walsh, b: Walsh, c: Walsh) -> None:
    assert bell.join(a, b) == bell.join(b, a)
    assert bell.join(bell.join(a, b), c) == bell.join(a, bell.join(b, c))
    assert bell.join(a, PERFECT) == a


@given(walshes(), walshes(), st.lists(st.integers(0, 1 << 40), min_size=1, max_size=5))
def test_decay_in_any_split_and_order_around_joins_is_identical(
    a: Walsh, b: Walsh, durations: list[int]
) -> None:
    rates = bell.decay_rates(10**9, 10**8, 10**10)
    whole = bell.decay(bell.join(a, b), rates, sum(durations))
    for first_count in range(len(durations) + 1):
        left, right = a, b
        for duration in durations[:first_count]:
            left = bell.decay(left, rates, duration)
        for duration in durations[first_count:]:
            right = bell.decay(right, rates, duration)
        assert bell.join(right, left) == whole


@given(probabilities(), probabilities())
def test_the_integer_form_follows_the_float_form(a: bell.Bell, b: bell.Bell) -> None:
    assert bell.from_walsh(bell.to_walsh(a)) == near(a, 1e-13)
    joined = bell.join(bell.to_walsh(a), bell.to_walsh(b))
    assert bell.from_walsh(joined) == near(bell.xor_convolve(a, b), 1e-13)
    assert bell.fidelity_of(joined) == pytest.approx(bell.from_walsh(joined)[0], abs=1e-15)


def test_decay_rates_follow_the_float_form() -> None:
    t1, t2, mixing, t = 10**7, 4 * 10**6, 3 * 10**8, 1_234_567
    aged = bell.decay(bell.to_walsh(A), bell.decay_rates(t1, t2, mixing), t)
    expected = bell.depolarise(bell.t1_t2_twirled(A, t, t1, t2), exp(-t / mixing))
    # each of the rates is rounded by at most half of 2**-56 per ns: 1.2e6 ns x 7e-18 x two rates
    assert bell.from_walsh(aged) == near(expected, 2e-11)


def test_absent_coherence_times_mean_no_such_process() -> None:
    assert bell.decay_rates(None, None, None) == (0, 0, 0)
    assert bell.decay_rates(None, 1000, None)[1] == 0
    relaxing = bell.decay_rates(1000, None, None)
    assert relaxing == bell.decay_rates(1000, 2000, None)


def test_a_rate_keeps_six_digits_even_for_a_hundred_seconds() -> None:
    rate = bell.decay_rates(None, None, 100 * 10**9)[0]
    assert abs(Fraction(rate) / Fraction(bell.COST_UNIT_PER_NEPER, 100 * 10**9) - 1) < Fraction(1, 10**6)


def test_zero_stays_zero_and_forgets_its_sign() -> None:
    dead = bell.to_walsh((0.25, 0.25, 0.25, 0.25))
    assert dead == Walsh(0, (COST_MAX, COST_MAX, COST_MAX))
    negative = bell.to_walsh((0.0, 1.0, 0.0, 0.0))
    assert negative == Walsh(0b101, (0, 0, 0))
    assert bell.join(dead, negative) == dead
    assert bell.decay(negative, (COST_MAX, 1, 0), 5) == Walsh(0b100, (COST_MAX, 5, 0))


def test_a_noisy_bsm_joins_as_its_cost() -> None:
    chain = bell.join(bell.join(bell.to_walsh(A), bell.to_walsh(B)), bell.bsm_cost(0.98, 0.99))
    assert bell.from_walsh(chain) == near((0.7472874368, 0.1243873632, 0.0830901632, 0.0452350368))
    assert bell.bsm_cost(1.0, 1.0) == PERFECT


@pytest.mark.parametrize("state", [(0.5, 0.5, 0.5, 0.0), (1.1, -0.1, 0.0, 0.0)])
def test_what_is_no_state_has_no_integer_form(state: bell.Bell) -> None:
    with pytest.raises(LocalMisuse):
        bell.to_walsh(state)


def test_time_does_not_run_backwards() -> None:
    with pytest.raises(LocalMisuse):
        bell.decay(PERFECT, (1, 1, 1), -1)
    with pytest.raises(LocalMisuse):
        bell.decay_rates(10, 21, None)
    with pytest.raises(LocalMisuse):
        bell.decay_rates(0, None, None)
