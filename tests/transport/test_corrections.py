"""The ladder as a pure decision: the worked logs of algorithms.md section 9, floors, trades, releases."""

from typing import Any

import msgspec
import pytest

from bellwire.core.settings import MonitorSettings
from bellwire.transport.corrections import Decision, Seen, Standing, decide
from bellwire.transport.corrections_terms import Term
from bellwire.transport.corrections_window import Durations, Window

S = 1_000_000_000
RULES = MonitorSettings()


def terms(rate_hz: float | None = None, fidelity: float | None = None) -> Standing:
    return Standing(
        rate=None if rate_hz is None else Term(asked=rate_hz, now=rate_hz),
        fidelity=None if fidelity is None else Term(asked=fidelity, now=fidelity),
    )


def seen(rate_hz: float, fidelity: float | None = 0.9) -> Seen:
    """A window of 100 s, so that tenths of a pair per second are whole pairs."""
    pairs = round(100 * rate_hz)
    return Seen(pairs, 100 * S, fidelity if pairs else None)


def story(standing: Standing, *windows: Seen, rules: MonitorSettings = RULES) -> list[Decision]:
    """What follows from one window after another."""
    decisions: list[Decision] = []
    for number, window in enumerate(windows):
        decisions.append(decide(standing, window, rules, (number + 1) * S))
        standing = decisions[-1].standing
    return decisions


def actions(decisions: list[Decision]) -> list[str]:
    return [decision.action for decision in decisions]


# ---- the worked logs of section 9


def test_the_first_worked_log_replans_adjusts_twice_and_goes_on() -> None:
    decisions = story(terms(10.0), seen(6.0), seen(7.0), seen(8.5), seen(8.7))
    assert actions(decisions) == ["replan", "adjust_rate", "adjust_rate", "continue"]
    wanted = [decision.standing.rate.now for decision in decisions if decision.standing.rate is not None]
    assert wanted == pytest.approx([10.0, 9.0, 8.1, 8.1])
    assert [decision.percent for decision in decisions] == [None, -10.0, -10.0, None]
    assert [decision.standing.retries for decision in decisions] == [1, 2, 3, 0]
    assert decisions[2].reason == "8.5 pairs/s of 9 pairs/s wanted"


def test_the_second_worked_log_is_six_actions_and_the_end() -> None:
    decisions = story(terms(10.0), *[seen(1.0)] * 6)
    assert actions(decisions) == ["replan", "adjust_rate", "adjust_rate", "suspend", "replan", "terminate"]
    assert decisions[-1].reason == "1 pairs/s of 8.1 pairs/s wanted, after 5 corrective actions"


def test_a_shortfall_within_the_tolerance_is_none() -> None:
    below, within = story(terms(10.0), seen(9.49)), story(terms(10.0), seen(9.5))
    assert (actions(below), actions(within)) == (["replan"], ["continue"])
    below, within = story(terms(None, 0.8), seen(5.0, 0.7599)), story(terms(None, 0.8), seen(5.0, 0.7601))
    assert (actions(below), actions(within)) == (["replan"], ["continue"])


# ---- which threshold is adjusted


def adjusted(standing: Standing, window: Seen, rules: MonitorSettings = RULES) -> Decision:
    """The second rung."""
    return decide(msgspec.structs.replace(standing, retries=1), window, rules, S)


@pytest.mark.parametrize(
    ("rate_hz", "fidelity", "action"),
    [
        (5.0, 0.70, "adjust_rate"),  # 50 % against 12.5 %
        (9.0, 0.60, "adjust_fidelity"),  # 10 % against 25 %
        (9.0, 0.80, "adjust_rate"),
        (10.0, 0.70, "adjust_fidelity"),
    ],
)
def test_the_threshold_with_the_larger_relative_shortfall_is_lowered(
    rate_hz: float, fidelity: float, action: str
) -> None:
    decision = adjusted(terms(10.0, 0.8), seen(rate_hz, fidelity))
    assert (decision.action, decision.percent) == (action, -10.0)


def test_fidelity_that_is_plentiful_buys_rate() -> None:
    assert adjusted(terms(10.0, 0.7), seen(5.0, 0.92)).action == "adjust_fidelity"  # 0.92 > 1.3 x 0.7
    assert adjusted(terms(10.0, 0.7), seen(5.0, 0.90)).action == "adjust_rate"
    floor = terms(10.0, 0.55)  # 0.495 would not be above 1/2
    assert adjusted(floor, seen(5.0, 0.92)).action == "adjust_rate"


def test_a_request_without_a_rate_falls_short_when_no_pair_comes_at_all() -> None:
    decisions = story(terms(None, 0.8), *[seen(0.0)] * 3)
    assert actions(decisions) == ["replan", "adjust_fidelity", "adjust_fidelity"]
    assert decisions[0].reason == "no pair in 100 s"
    assert actions(story(terms(None, 0.8), seen(0.01))) == ["continue"]


def test_a_request_without_thresholds_never_falls_short() -> None:
    assert actions(story(Standing(rate=None, fidelity=None), seen(0.0))) == ["continue"]


# ---- floors


def test_where_nothing_can_be_lowered_the_next_other_rung_is_taken() -> None:
    decisions = story(terms(None, 0.55), *[seen(1.0, 0.4)] * 4)
    assert actions(decisions) == ["replan", "suspend", "replan", "terminate"]
    assert [decision.standing.retries for decision in decisions] == [1, 4, 5, 6]


def test_a_threshold_is_never_lowered_by_more_than_the_whole_reduction() -> None:
    rules = msgspec.structs.replace(RULES, ladder=("adjust",) * 20, change=0.3)
    decisions = story(terms(10.0), *[seen(1.0)] * 4, rules=rules)
    assert actions(decisions) == ["adjust_rate", "adjust_rate", "terminate", "terminate"]
    wanted = [decision.standing.rate.now for decision in decisions if decision.standing.rate is not None]
    assert wanted == pytest.approx([7.0, 5.0, 5.0, 5.0])
    assert decisions[1].percent == pytest.approx(-28.571429)


# ---- release


def test_a_threshold_that_is_exceeded_by_over_30_percent_is_lowered_until_half_is_left() -> None:
    decisions = story(terms(10.0), *[seen(20.0)] * 9)
    assert actions(decisions) == ["adjust_rate"] * 7 + ["continue"] * 2
    rate = decisions[-1].standing.rate
    assert rate is not None
    assert rate.now == pytest.approx(5.0)
    assert decisions[0].reason == "20 pairs/s exceeds 10 pairs/s by more than 30 %"
    assert actions(story(terms(10.0), seen(13.0))) == ["continue"]


def test_a_fidelity_is_released_only_while_it_stays_above_one_half() -> None:
    decisions = story(terms(None, 0.6), *[seen(1.0, 0.95)] * 3)
    assert actions(decisions) == ["adjust_fidelity", "continue", "continue"]
    fidelity = decisions[-1].standing.fidelity
    assert fidelity is not None
    assert fidelity.now == pytest.approx(0.54)


def test_a_release_that_costs_what_was_asked_for_is_taken_back_once_and_for_all() -> None:
    decisions = story(terms(10.0), seen(14.0), seen(9.4), seen(14.0), seen(14.0))
    assert actions(decisions) == ["adjust_rate", "adjust_rate", "continue", "continue"]
    assert [decision.percent for decision in decisions[:2]] == pytest.approx([-10.0, 11.111111])
    rate = decisions[-1].standing.rate
    assert rate is not None
    assert rate == Term(asked=10.0, now=10.0, needed=True)


def test_success_resets_the_ladder_and_exceeding_counts_as_success() -> None:
    decisions = story(terms(10.0), seen(1.0), seen(1.0), seen(15.0), seen(1.0))
    assert actions(decisions)[-1] == "replan"


# ---- recovery


def lowered_twice() -> Standing:
    return story(terms(10.0), *[seen(6.0)] * 3)[-1].standing


def test_a_lowered_threshold_comes_back_when_conditions_have_recovered_for_two_checks() -> None:
    decisions = story(lowered_twice(), *[seen(10.0)] * 6)
    raises = ["continue", "adjust_rate"] * 3
    assert actions(decisions) == raises
    wanted = [decision.standing.rate.now for decision in decisions if decision.standing.rate is not None]
    assert wanted == pytest.approx([8.1, 8.91, 8.91, 9.801, 9.801, 10.0])
    assert [decision.percent for decision in decisions[1::2]] == pytest.approx([10.0, 10.0, 2.030405])
    final = decisions[-1].standing.rate
    assert final == Term(asked=10.0, now=10.0)


def test_one_good_check_or_two_with_a_bad_one_between_raise_nothing() -> None:
    decisions = story(lowered_twice(), seen(10.0), seen(8.0), seen(10.0), seen(8.0))
    assert actions(decisions) == ["continue"] * 4
    decisions = story(lowered_twice(), seen(10.0), seen(1.0), seen(10.0))
    assert actions(decisions)[2] == "continue"


def test_a_conceded_threshold_is_not_released_further_before_it_is_back() -> None:
    decisions = story(lowered_twice(), *[seen(20.0)] * 6)
    assert all(decision.percent is None or decision.percent > 0 for decision in decisions)


# ---- the window


def window_of(**changes: Any) -> tuple[Window, Durations, MonitorSettings]:
    rules = msgspec.structs.replace(RULES, duration_least_ns=0, **changes)
    return Window(0), Durations.of(rules, latency_ns=S), rules


def test_durations_follow_the_latency_of_the_plan_but_are_no_less_than_the_least() -> None:
    assert Durations.of(RULES, latency_ns=S) == Durations(5 * S, 10 * S, 50 * S, 100 * S)
    assert Durations.of(RULES, latency_ns=1000) == Durations(2 * S, 4 * S, 20 * S, 40 * S)
    fixed = msgspec.structs.replace(RULES, duration_min_ns=S)
    assert Durations.of(fixed, latency_ns=77 * S).least == S


def test_either_enough_pairs_or_enough_time_suffices() -> None:
    window, durations, rules = window_of()
    standing = terms(10.0)
    assert window.due_ns(standing, durations, rules) == 5 * S
    for number in range(19):
        window.add(number + 1, 0.9)
    assert window.due_ns(standing, durations, rules) == 5 * S
    window.add(20, 0.9)
    assert window.due_ns(standing, durations, rules) == 0


def test_nothing_is_judged_within_the_cool_down_or_a_suspension() -> None:
    window, durations, rules = window_of()
    for number in range(30):
        window.add(number + 1, 0.9)
    acted = msgspec.structs.replace(terms(10.0), acted_ns=3 * S)
    assert window.due_ns(acted, durations, rules) == 13 * S
    asleep = msgspec.structs.replace(acted, resumes_ns=40 * S)
    assert window.due_ns(asleep, durations, rules) == 40 * S
    window.begin(40 * S)
    assert window.due_ns(asleep, durations, rules) == 45 * S, "one window after the suspension"


def test_pairs_of_before_and_pairs_of_a_suspension_count_for_nothing() -> None:
    window, durations, _ = window_of()
    window.add(S, 0.5)
    window.begin(10 * S)
    window.add(9 * S, 0.5)
    window.add(10 * S, 0.5)
    window.add(11 * S, 0.9)
    assert window.seen(20 * S, durations) == Seen(1, 10 * S, 0.9)


def test_a_check_rests_on_pairs_that_the_one_before_had_not_seen() -> None:
    window, durations, rules = window_of()
    for number in range(30):
        window.add(number + 1, 0.9)
    window.checked_ns = 7 * S
    assert window.due_ns(terms(10.0), durations, rules) == 12 * S


def test_the_window_slides_and_forgets() -> None:
    window, durations, _ = window_of(memory_durations=2.0)
    for second in range(1, 101):
        window.add(second * S, second / 100)
    found = window.seen(100 * S, durations)
    assert found == Seen(10, 10 * S, pytest.approx(0.955))
    many = Window(0)
    for number in range(1, 3001):
        many.add(number, 0.9)
    assert many.seen(3000, durations).pairs == 1000
    assert many.seen(3000, durations).rate_hz == pytest.approx(1e9)
