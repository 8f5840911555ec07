"""Division of a link by each scheduler: shares, order, limits; arithmetic only."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.errors import ConfigError
from bellwire.core.plans import WEIGHTS_MAX
from bellwire.core.settings import LinkSettings
from bellwire.link_layer.schedulers import table
from bellwire.link_layer.schedulers.budgets import attempts_per_s, budget_lanes, fill
from bellwire.link_layer.schedulers.calendar import CYCLE_MAX, Calendar
from bellwire.link_layer.schedulers.fair_queueing import SEQUENCE_MAX, WeightedFairQueueing
from bellwire.link_layer.schedulers.round_robin import StrictPriority, WeightedRoundRobin
from bellwire.link_layer.schedulers.table import SCHEDULERS, known_schedulers, scheduler_of
from bellwire.link_layer.schedulers.whole_lanes import weighted_round_robin
from bellwire.link_layer.schedulers.words import Demand, Scheduler
from tests.link_layer.bench import link_network
from tests.link_layer.wishes import FRAMES, demand, divided, entry, lane_attempts, plan, written

LINK: LinkSettings = link_network(station=False).links["a-b"]
ROUND_ROBIN, PRIORITY, FAIR = WeightedRoundRobin(), StrictPriority(), WeightedFairQueueing()


# ---- weighted round robin


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
@settings(derandomize=True, deadline=None)
def test_every_request_gets_its_share_of_the_cycle(weights: list[int]) -> None:
    cycle = weighted_round_robin([(entry(str(index)), weight) for index, weight in enumerate(weights)])
    counts = Counter(one.request for one in cycle)
    for index, weight in enumerate(weights):
        assert counts[str(index)] * sum(weights) == weight * len(cycle)


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=20))
@settings(derandomize=True, deadline=None)
def test_huge_weights_never_starve_anybody_nor_make_a_huge_cycle(weights: list[int]) -> None:
    cycle = weighted_round_robin([(entry(str(index)), weight) for index, weight in enumerate(weights)])
    assert {one.request for one in cycle} == {str(index) for index in range(len(weights))}
    assert len(cycle) <= WEIGHTS_MAX + len(weights)


def test_places_of_a_request_are_spread_and_not_bunched() -> None:
    cycle = weighted_round_robin([(entry("a"), 3), (entry("b"), 3), (entry("c"), 1)])
    names = [one.request for one in cycle]
    assert len(names) == 7
    assert all(names[index] != names[index + 1] for index in range(6))


def robin(lanes: int, *wanted: tuple[str, int, int]) -> tuple[str, str]:
    """Of requests (name, reserved lanes, weight)."""
    return written(divided(ROUND_ROBIN, lanes, *(demand(plan(*each)) for each in wanted)))


def test_lanes_are_owned_as_reserved_then_by_weight_and_only_the_rest_goes_round() -> None:
    assert robin(4) == ("", "")
    assert robin(4, ("a", 0, 1)) == ("", "a")
    assert robin(4, ("a", 0, 1), ("b", 0, 1)) == ("aabb", "")
    assert robin(5, ("a", 0, 1), ("b", 0, 1)) == ("aabb", "ab")
    assert robin(8, ("a", 3, 1), ("b", 0, 1)) == ("aaaaabb", "ab")
    assert robin(8, ("a", 3, 1), ("b", 0, 4)) == ("aaaabbbb", "")
    assert robin(4, ("a", 2, 1), ("b", 2, 1)) == ("aabb", "")
    assert robin(1, ("a", 0, 2), ("b", 0, 1)) == ("", "aba")
    assert robin(3, ("a", 2, 1), ("b", 2, 1)) == ("aab", "")  # more than there is: no node accepts it


WANTED = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 20)), min_size=1, max_size=6)


@given(st.integers(1, 12), WANTED)
@settings(derandomize=True, deadline=None)
def test_nobody_has_fewer_lanes_than_reserved_and_the_rest_follows_the_weights(
    lanes: int, wanted: list[tuple[int, int]]
) -> None:
    plans = [plan(str(index), *each) for index, each in enumerate(wanted)]
    if sum(each.lanes for each in plans) > lanes:
        return
    shares = divided(ROUND_ROBIN, lanes, *map(demand, plans))
    owned = Counter(one.request for one in shares.owners)
    turns = Counter(one.request for one in shares.cycle)
    rest = lanes - sum(each.lanes for each in plans)
    total = sum(each.weight for each in plans)
    for each in plans:
        assert len(plans) == 1 or owned[each.request] >= each.lanes
        going_round = (lanes - len(shares.owners)) * turns[each.request] / max(1, len(shares.cycle))
        fair = each.lanes + rest * each.weight / total
        # Weights of a long cycle are rounded to its places: one place of WEIGHTS_MAX, times the lanes.
        assert owned[each.request] + going_round == pytest.approx(fair, abs=lanes * 6 / WEIGHTS_MAX)


# ---- strict priority


def test_the_highest_priority_takes_all_and_shares_it_by_weight() -> None:
    low, high = demand(plan("low", weight=9, priority=2)), demand(plan("high", priority=7))
    assert written(divided(PRIORITY, 3, low, high)) == ("highhighhigh", "")
    equal = demand(plan("also", weight=2, priority=7))
    assert written(divided(PRIORITY, 3, low, high, equal)) == ("alsoalsohigh", "")
    assert written(divided(PRIORITY, 3, low)) == ("", "low")


def test_lower_priorities_keep_what_they_have_reserved_and_have_what_budgets_leave() -> None:
    low = demand(plan("l", lanes=1, priority=0))
    assert written(divided(PRIORITY, 3, low, demand(plan("h", priority=1)))) == ("hhl", "")
    limited = demand(plan("h", priority=1, rate_hz=1.0), budget=Fraction(1, 2))
    assert written(divided(PRIORITY, 3, low, limited)) == ("ll", "hl")


# ---- background


@pytest.mark.parametrize("scheduler", [ROUND_ROBIN, PRIORITY, FAIR, Calendar(["f", None])])
def test_background_has_everything_when_nobody_else_wants_the_link(scheduler: Scheduler) -> None:
    shares = divided(scheduler, 3, demand(plan("x", background=True)), demand(plan("y", background=True)))
    had = lane_attempts(shares, 3, 0, 1199, 50)
    assert had["x"] == had["y"] == 1800


@pytest.mark.parametrize("scheduler", [ROUND_ROBIN, PRIORITY, FAIR])
@pytest.mark.parametrize("lanes", [1, 3])
def test_background_has_nothing_while_somebody_wants_all_there_is(scheduler: Scheduler, lanes: int) -> None:
    wanted = [
        demand(plan("f", priority=0)),
        demand(plan("x", lanes=1, weight=60, priority=7, background=True)),
    ]
    assert set(lane_attempts(divided(scheduler, lanes, *wanted), lanes, 0, 999, 50)) == {"f"}


@pytest.mark.parametrize("scheduler", [ROUND_ROBIN, PRIORITY, FAIR])
def test_what_is_beyond_a_rate_goes_to_whoever_has_none_then_to_background(scheduler: Scheduler) -> None:
    rated = demand(plan("r", rate_hz=1.0, weight=9, priority=1), budget=Fraction(1, 4))
    plain, background = demand(plan("p")), demand(plan("x", background=True))
    frames = FRAMES._replace(number=64)

    def had(*wanted: Demand) -> Counter[str]:
        return lane_attempts(divided(scheduler, 1, *wanted, frames=frames), 1, 0, 64 * 50 - 1, 50)

    assert had(rated, background) == {"r": 800, "x": 2400}
    assert had(rated, plain, background) == {"r": 800, "p": 2400}
    assert had(rated) == {"r": 3200}  # nobody is behind: no limit


def test_rated_requests_alone_divide_by_weight_whatever_their_rates() -> None:
    rated = [
        demand(plan("a", weight=3, rate_hz=5.0), budget=Fraction(1, 64)),
        demand(plan("b", weight=1, rate_hz=500.0), budget=Fraction(3)),
    ]
    assert written(divided(ROUND_ROBIN, 4, *rated)) == ("aaab", "")


# ---- budgets


def test_a_rate_needs_so_many_attempts_as_successes_are_rare_and_rounds_are_many() -> None:
    assert attempts_per_s(plan("r", rate_hz=10.0), LINK) == pytest.approx(200.0)  # one in twenty
    assert attempts_per_s(plan("r"), LINK) == 0.0
    rounds = msgspec.structs.replace(plan("r", rate_hz=10.0), rounds=3)
    assert attempts_per_s(rounds, LINK) == pytest.approx(8 * 200.0)
    pumping = msgspec.structs.replace(rounds, pumping=True)
    assert attempts_per_s(pumping, LINK) == pytest.approx(4 * 200.0)


def test_a_budget_is_twice_the_attempts_in_lanes_and_reserved_lanes_are_a_floor_without_one() -> None:
    # 10 kHz of attempts a lane, 500 pairs/s at most: 100 pairs/s are a fifth of a lane.
    assert budget_lanes(plan("r", rate_hz=100.0), LINK) == Fraction(26, 64)
    assert budget_lanes(plan("r", rate_hz=1e-6), LINK) == Fraction(1, 64)
    assert budget_lanes(plan("r", rate_hz=1e9), LINK) == LINK.lanes
    for without in (plan("r"), plan("r", lanes=1, rate_hz=1.0), plan("r", rate_hz=1.0, background=True)):
        assert budget_lanes(without, LINK) is None


CLAIMS = st.lists(
    st.tuples(st.integers(1, 64), st.none() | st.fractions(0, 3, max_denominator=64)), min_size=1, max_size=6
)


@given(st.fractions(0, 8, max_denominator=8), CLAIMS)
@settings(derandomize=True, deadline=None)
def test_an_amount_is_divided_max_min_fair(
    amount: Fraction, claims: list[tuple[int, Fraction | None]]
) -> None:
    """Nobody has more than his limit, nothing is left while anybody could take more, and whoever has less
    than his limit has as much, for his weight, as anybody."""
    given_parts = fill(amount, claims)
    hungry = [
        part / weight
        for part, (weight, limit) in zip(given_parts, claims, strict=True)
        if limit is None or part < limit
    ]
    for part, (weight, limit) in zip(given_parts, claims, strict=True):
        assert part >= 0
        assert limit is None or part <= limit
        assert not hungry or part / weight <= min(hungry)
    if hungry:
        assert sum(given_parts) == amount
        assert len(set(hungry)) == 1


# ---- calendar


def test_a_calendar_serves_each_request_in_its_frames_and_nobody_elsewhere() -> None:
    calendar = Calendar(["a", None, "b", "a"])
    a, b = demand(plan("a", lanes=2)), demand(plan("b", weight=9))
    assert written(divided(calendar, 2, a, b)) == ("", "a.ba")
    assert written(divided(calendar, 2, a)) == ("", "a..a")
    assert written(divided(calendar, 2, a, demand(plan("c", priority=7)))) == ("", "a..a")
    assert written(divided(calendar, 2, a, demand(plan("x", background=True)))) == ("", "axxa")
    assert written(divided(calendar, 2)) == ("", "")


def test_trees_of_one_request_take_its_frames_in_turn() -> None:
    shares = divided(Calendar(["a", None]), 1, demand(plan("a", tree=0, weight=2)), demand(plan("a", tree=1)))
    assert [(one.request, one.tree) for one in shares.cycle] == [
        ("a", 0),
        ("", 0),
        ("a", 1),
        ("", 0),
        ("a", 0),
        ("", 0),
    ]


@pytest.mark.parametrize("calendar", [(), ("a",) * (CYCLE_MAX + 1)])
def test_a_calendar_of_no_frames_or_far_too_many_is_refused(calendar: tuple[str, ...]) -> None:
    link = msgspec.structs.replace(LINK, scheduler="tdma", calendar=calendar)
    with pytest.raises(ConfigError, match=f"has {len(calendar)} frames"):
        scheduler_of(link)


# ---- the table


def test_a_wrong_name_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match=r'"strict_prioritty" \(did you mean "strict_priority"\?\)'):
        scheduler_of(msgspec.structs.replace(LINK, scheduler="strict_prioritty"))


@dataclass
class Point:
    """Stands for an installed entry point."""

    name: str
    load: Callable[[], Callable[[LinkSettings], Scheduler]]


def test_schedulers_of_other_packages_are_found_and_replace_none_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    added = [Point("mine", lambda: lambda link: PRIORITY), Point("tdma", lambda: lambda link: PRIORITY)]
    monkeypatch.setattr(table, "entry_points", lambda group: added)
    assert scheduler_of(msgspec.structs.replace(LINK, scheduler="mine")) is PRIORITY
    assert scheduler_of(msgspec.structs.replace(LINK, scheduler="tdma", calendar=("a",))) is not PRIORITY
    assert known_schedulers() == sorted({"mine", *SCHEDULERS})


# ---- what holds for all

DEMANDS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(1, 64),
        st.sampled_from([0.0, 3.0, 400.0]),
        st.integers(0, 7),
        st.booleans(),
        st.floats(1.0, 1e5),
    ),
    max_size=6,
)


def made(wanted: list[tuple[int, int, float, int, bool, float]]) -> list[Demand]:
    demands = []
    for index, (lanes, weight, rate_hz, priority, background, attempts) in enumerate(wanted):
        one = plan(str(index), lanes, weight, rate_hz=rate_hz, priority=priority, background=background)
        demands.append(demand(one, attempts=attempts, budget=budget_lanes(one, LINK)))
    return demands


@pytest.mark.parametrize("name", sorted(SCHEDULERS))
@given(lanes=st.integers(1, 6), wanted=DEMANDS, chance=st.randoms(use_true_random=False))
@settings(derandomize=True, deadline=None)
def test_any_order_of_asking_gives_one_answer_and_every_lane_a_place(
    name: str, lanes: int, wanted: list[tuple[int, int, float, int, bool, float]], chance: Random
) -> None:
    """The cycle is bounded, and so are the owners."""
    link = msgspec.structs.replace(
        LINK, lanes=lanes, scheduler=name, calendar=("0", "2", None) if name == "tdma" else ()
    )
    scheduler = scheduler_of(link)
    demands = made(wanted)
    shares = divided(scheduler, lanes, *demands)
    chance.shuffle(demands)
    assert divided(scheduler, lanes, *demands) == shares
    assert len(shares.owners) <= lanes
    assert not demands or shares.cycle or len(shares.owners) == lanes
    assert len(shares.cycle) <= max(SEQUENCE_MAX, WEIGHTS_MAX + len(demands))


@pytest.mark.parametrize("name", ["weighted_round_robin", "weighted_fair_queueing"])
@given(lanes=st.integers(1, 6), wanted=DEMANDS)
@settings(derandomize=True, deadline=None)
def test_nobody_in_the_foreground_starves(
    name: str, lanes: int, wanted: list[tuple[int, int, float, int, bool, float]]
) -> None:
    """Nobody who wants pairs is without a place, unless all lanes are reserved by others."""
    demands = [one for one in made(wanted) if not one.plan.background]
    if sum(one.plan.lanes for one in demands) >= lanes:
        return
    shares = divided(SCHEDULERS[name](LINK), lanes, *demands, frames=FRAMES._replace(number=10_000))
    served = {one.request for one in (*shares.owners, *shares.cycle)}
    if name == "weighted_fair_queueing" and len(shares.cycle) == SEQUENCE_MAX:
        return  # the turn of some lies behind the window, and they are not forgotten: test_fair_queueing.py
    assert served == {one.plan.request for one in demands}
