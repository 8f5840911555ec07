"""What rounds between distant nodes do to a plan's figures: closed forms, and the specification's numbers.

That machines deliver what is predicted is tests/simulation/test_predicted_purification.py.
"""

from math import log

import msgspec
import pytest

from bellwire.core.bell import COST_UNIT_PER_NEPER, fidelity_of, to_walsh, werner
from bellwire.core.purification import pairs_for
from bellwire.core.purification_words import Level
from bellwire.core.settings import MemorySettings
from bellwire.planner.intervals import RouteTimes, SwapTree, best_tree, tree_of_shape
from bellwire.planner.intervals import throttled as plainly_throttled
from bellwire.planner.predictions import ceiling, outlook
from bellwire.planner.refined_pace import retimed, throttled
from bellwire.planner.refined_streams import refined
from tests.planner.test_intervals import textbook_link


def memory(decay_hz: float = 0.0) -> MemorySettings:
    """Perfect gates; a qubit depolarises at this rate."""
    cost = round(decay_hz * 1e-9 * COST_UNIT_PER_NEPER)
    return MemorySettings(
        slots=8,
        rates=(cost, cost, cost),
        bsm_signs=0,
        bsm_cost=(0, 0, 0),
        bsm_success_probability=1.0,
        operation_limit_ns=1,
    )


PERFECT = (memory(), memory())
FRESH = to_walsh(werner(0.85))
ONE = Level(1, pumping=False)


def test_one_round_on_two_lanes_takes_the_specified_latency_and_gives_the_specified_state() -> None:
    """algorithms.md 2.2: F0 = 0.85, T0 = 1, zero times give F .884146, p_pur .82, T 1.829268.

    Two lanes that make a pair a second each are the two equal subtrees of the specification.
    """
    made = refined((0.5, 1.0), 2, 0.0, FRESH, ONE, PERFECT, 0.0)
    assert made.chances == pytest.approx((0.82,), abs=1e-9)
    assert fidelity_of(made.state) == pytest.approx(0.884146, abs=5e-7)
    assert made.latency_s == pytest.approx(1.829268, abs=5e-7)


@pytest.mark.parametrize("level", [ONE, Level(3, pumping=False), Level(2, pumping=True)])
def test_a_stream_that_kept_pairs_do_not_slow_yields_what_the_chances_leave(level: Level) -> None:
    steps_s = (0.01,) * (level.rounds + 1)
    made = refined(steps_s, 8, 0.0, FRESH, level, PERFECT, 0.0)
    assert made.latency_s == pytest.approx(0.01 * pairs_for(made.chances, pumping=level.pumping), rel=1e-9)
    assert made.fresh_per_pair == pytest.approx(made.latency_s / 0.01, rel=1e-9)


def test_a_kept_pair_decays_at_both_ends_while_it_waits_for_the_other() -> None:
    """algorithms.md 2.1: Werner pairs of 0.9 and 0.7 give p .76, F' .833333333. Here the pair of 0.7 is one
    of 0.9 that has waited for the other."""
    waited_s = 0.02
    rate_hz = log((4 * 0.9 - 1) / (4 * 0.7 - 1)) / (2.0 * waited_s)
    noisy = (memory(rate_hz), memory(rate_hz))
    made = refined((0.01, waited_s), 2, 0.0, to_walsh(werner(0.9)), ONE, noisy, 0.0)
    assert made.chances == pytest.approx((0.76,), abs=1e-6)
    assert fidelity_of(made.state) == pytest.approx(0.833333333, abs=1e-6)
    assert made.age_s == pytest.approx(waited_s, rel=1e-9)


def test_the_dialogue_costs_its_one_way_times_in_state_age_and_rate() -> None:
    delay_s = 0.001
    rate_hz = 5.0
    here = refined((0.01, 0.02), 2, 0.0, FRESH, ONE, (memory(rate_hz), memory(rate_hz)), 0.0)
    far = refined((0.01, 0.02), 2, 0.0, FRESH, ONE, (memory(rate_hz), memory(rate_hz)), delay_s)
    assert far.age_s == pytest.approx(here.age_s + 3 * delay_s, rel=1e-6)
    assert fidelity_of(far.state) < fidelity_of(here.state)
    assert here.latency_s < far.latency_s < here.latency_s + 8 * delay_s / far.chances[0]


def test_rounds_at_links_below_a_swap_and_above_it_follow_their_closed_forms() -> None:
    """Perfect memories, no delays: states are those of maps in the order of the tree."""
    links = tuple(
        msgspec.structs.replace(textbook_link(name), lanes=2, period_ns=10_000_000) for name in "lr"
    )
    memories = (memory(),) * 3
    times = RouteTimes((0.005, 0.005), (0.5,) * 3, (0.0,) * 3, lambda a, b: 0.0)
    tree = best_tree(times)
    plain = outlook(tree, times, links, memories)
    below = outlook(tree, times, links, memories, None, {1: ONE})
    above = outlook(tree, times, links, memories, None, {2: ONE})
    # Purified before the swap is better than after it (algorithms.md 2.2, last line), and either than none.
    assert plain.fidelity < above.fidelity < below.fidelity
    for seen, levels in ((below, {1: ONE}), (above, {2: ONE})):
        assert seen.fidelity == pytest.approx(ceiling(tree, links, memories, levels), rel=1e-12)
        assert seen.latency_s > 1.5 * plain.latency_s
    assert above.fresh_per_pair == pytest.approx(2.0 / (0.5 + 0.5 * _werner(plain.fidelity) ** 2))


def _werner(fidelity: float) -> float:
    return (4.0 * fidelity - 1.0) / 3.0


def test_a_throttled_tree_with_rounds_keeps_its_latency_when_read_from_the_links_up() -> None:
    """algorithms.md 1.2's property, with 2.5 fresh pairs for a pair of two links and 3 for a link's."""
    times = RouteTimes((0.01, 0.02, 0.005), (0.4,) * 4, (1e-5,) * 4, lambda a, b: abs(a - b) * 5e-5)
    tree = tree_of_shape(times, ((0, 1), 2))
    fresh = {3: 1.0, 2: 2.5, 1: 3.0}

    def needs(part: SwapTree) -> float:
        return fresh[part.right - part.left]

    whole = retimed(tree, times, needs)
    slowed = throttled(whole, times, needs)
    leaves_s = tuple(leaf.latency_s for leaf in slowed.leaves())
    assert max(own / link for own, link in zip(leaves_s, times.link_s, strict=True)) > 1.0
    assert min(own / link for own, link in zip(leaves_s, times.link_s, strict=True)) == pytest.approx(1.0)
    again = retimed(tree, RouteTimes(leaves_s, times.swap_probability, times.swap_s, times.delay_s), needs)
    assert again.latency_s == pytest.approx(whole.latency_s, rel=1e-12)
    for one, other in zip(again.swaps(), slowed.swaps(), strict=True):
        assert one[0].latency_s == pytest.approx(other[0].latency_s, rel=1e-12)


def test_without_rounds_the_pace_is_that_of_the_plain_tree() -> None:
    times = RouteTimes((0.01, 0.02, 0.005), (0.4,) * 4, (1e-5,) * 4, lambda a, b: abs(a - b) * 5e-5)
    tree = best_tree(times)
    assert throttled(retimed(tree, times, lambda _: 1.0), times, lambda _: 1.0) == plainly_throttled(
        tree, times
    )
