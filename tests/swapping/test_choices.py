"""Which two of several ends adaptive policies swap: ratings, ties, combinations, spares, plug-ins.

The node is in the middle of four equal links; its pairs reach positions 0, 1 on the left and 3, 4 on the
right. Ages are in milliseconds, T_root is 14.06 s.
"""

from collections.abc import Iterator, Sequence
from math import inf
from types import SimpleNamespace

import msgspec
import pytest

from bellwire.core import modes
from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.core.modes import Traits
from bellwire.node.slots import Slot
from bellwire.swapping.candidates import Held, Situation
from bellwire.swapping.cutoffs import Cutoffs, depth_of
from bellwire.swapping.policies import DEFAULT_TREE, policy_of
from tests.swapping.bench import end_of, swap_plan
from tests.swapping.tables import MS, ROUTE, table_of, uniform

NOW_NS = 100_000 * MS
Pair = tuple[int, float]
"""Far position and age."""


def ends(pairs: Sequence[Pair], link: str) -> list[Held]:
    found = []
    for number, (far, age_ms) in enumerate(sorted(pairs, key=lambda pair: -pair[1]), 1):
        slot = Slot(number, link, 0)
        held = Held(slot, end_of(link, number), NOW_NS)
        held.far, held.known = far, True
        held.oldest_ns = held.since_ns = NOW_NS - round(age_ms * MS)
        found.append(held)
    return found


def chosen(
    mode: str, left: Sequence[Pair], right: Sequence[Pair], *, occupancy: float = 0.4
) -> tuple[Pair, Pair] | None:
    plan = swap_plan(left_partner="a", right_partner="b", route=ROUTE, table=uniform(2))
    seen = Situation(plan, ends(left, "a-r"), ends(right, "r-b"), occupancy, NOW_NS)
    choice = policy_of(mode).choose(seen)
    if choice is None:
        return None
    one, other = ((held.far, held.age_ns(NOW_NS) / MS) for held in choice)
    return one, other


@pytest.mark.parametrize(
    ("mode", "pair"),
    [
        ("oldest", ((1, 90.0), (3, 50.0))),
        ("youngest", ((0, 30.0), (3, 20.0))),
        ("longest_hop", ((0, 30.0), (3, 50.0))),
        ("shortest_hop", ((1, 90.0), (3, 50.0))),
        ("swap_asap", ((1, 90.0), (3, 50.0))),
        ("fixed_tree(links=full)", None),
        ("score", None),
    ],
)
def test_every_policy_takes_what_its_name_says(mode: str, pair: tuple[Pair, Pair] | None) -> None:
    """The tree has (0,2) and (2,4), and the score waits for it too while everything is fresh."""
    assert chosen(mode, [(0, 30.0), (1, 90.0)], [(3, 50.0), (3, 20.0)]) == pair


@pytest.mark.parametrize(
    "mode", ["oldest", "youngest", "longest_hop", "shortest_hop", "score", "score(form=A)", "score(form=B)"]
)
def test_a_swap_that_joins_source_and_destination_goes_before_all_others(mode: str) -> None:
    assert chosen(mode, [(0, 1.0), (1, 90.0)], [(3, 90.0), (4, 2.0)]) == ((0, 1.0), (4, 2.0))


@pytest.mark.parametrize("mode", ["longest_hop", "shortest_hop", "oldest"])
def test_of_equals_those_that_were_born_first_are_swapped(mode: str) -> None:
    assert chosen(mode, [(1, 40.0), (1, 70.0)], [(3, 60.0), (3, 55.0)]) == ((1, 70.0), (3, 60.0))


def test_lexicographic_orders_ask_the_next_one_among_equals_only() -> None:
    left, right = [(0, 10.0), (1, 80.0)], [(3, 40.0), (3, 5.0)]
    assert chosen("longest_hop > youngest", left, right) == ((0, 10.0), (3, 5.0))
    assert chosen("longest_hop > oldest", left, right) == ((0, 10.0), (3, 40.0))
    assert chosen("shortest_hop > youngest", left, right) == ((1, 80.0), (3, 40.0))


def test_a_part_of_an_order_or_a_sum_that_says_no_says_it_for_all() -> None:
    left, right = [(1, 80.0)], [(3, 40.0)]
    assert chosen("oldest", left, right) is not None
    assert chosen("oldest > fixed_tree(links=full)", left, right) is None
    assert chosen("fixed_tree(links=full) + oldest", left, right) is None


def test_weights_decide_between_ratings() -> None:
    """longest_hop gives 3/4 against 2/4; oldest gives x/(x + T_root): .1 at 1562 ms, .5 at 14062 ms."""
    left, right = [(0, 0.0), (1, 14_062.5)], [(3, 0.0)]
    assert chosen("longest_hop + .4 * oldest", left, right) == ((0, 0.0), (3, 0.0))
    assert chosen("longest_hop + .6 * oldest", left, right) == ((1, 14_062.5), (3, 0.0))


@pytest.mark.parametrize(
    ("condition", "occupancy", "first"),
    [
        ("occupancy > 0.5", 0.6, True),
        ("occupancy > 0.5", 0.5, False),
        ("occupancy >= 0.5", 0.5, True),
        ("occupancy < 0.5", 0.5, False),
        ("occupancy <= 0.5", 0.5, True),
        ("age_s > 0.07", 0.0, True),
        ("age_s > 0.09", 0.0, False),
        ("hops < 3", 0.0, True),
        ("hops < 2", 0.0, False),
    ],
)
def test_a_condition_says_which_mode_rates(condition: str, occupancy: float, first: bool) -> None:
    """Only the first one, swap-asap, takes a pair that is not in the tree."""
    mode = f"swap_asap if {condition} else fixed_tree(links=full)"
    found = chosen(mode, [(1, 80.0)], [(3, 40.0)], occupancy=occupancy)
    assert (found is not None) == first


def test_a_mode_with_a_condition_is_looked_at_again_in_time() -> None:
    policy = policy_of("swap_asap if occupancy > 0.8 else fixed_tree")
    assert policy.adaptive
    assert policy.cutoffs.patience_s(uniform(2), 1, 2) == inf


def test_where_only_the_youngest_pair_of_a_segment_counts_the_others_are_its_spares() -> None:
    """(1,2) waited for 9 s, longer than 8 W = 8 s: it is worth nothing any more and would be swapped at once.
    But there is a younger one."""
    waited, young, right = (1, 9_000.0), (1, 1.0), [(3, 0.0)]
    assert chosen("score(candidates=youngest)", [waited], right) == (waited, (3, 0.0))
    assert chosen("score(candidates=youngest)", [waited, young], right) is None
    assert chosen("score(candidates=all)", [waited, young], right) == (waited, (3, 0.0))


# ---- limits


def test_cutoffs_are_flat_none_or_halved_with_every_level_of_the_tree() -> None:
    """8.4: 214.578, 107.289 and 53.645 ms for the balanced tree of 1.7; off it ceil(log2(H/h)) levels."""
    table = table_of(2)
    flat, none, depth = Cutoffs("flat"), Cutoffs("none"), Cutoffs("depth")
    assert flat.segment_s(table, 1, 2) == flat.segment_s(table, 0, 4) == pytest.approx(0.214578, abs=1e-6)
    assert none.segment_s(table, 0, 4) == inf
    assert [1e3 * depth.segment_s(table, *one) for one in ((0, 4), (0, 2), (2, 4), (0, 1))] == pytest.approx(
        [214.578, 107.289, 107.289, 53.645], abs=1e-3
    )
    assert [depth_of(table, *one) for one in ((1, 3), (0, 3), (1, 4), (3, 4))] == [1, 1, 1, 2]
    assert Cutoffs("flat", 1.0).segment_s(table, 0, 4) == pytest.approx(0.107289, abs=1e-6)


def test_segments_of_an_uneven_tree_count_by_their_own_depth() -> None:
    """Left-deep over four links: (0,3) is at depth 1, (0,2) at 2, links at 3, 3, 2 and 1."""
    table = msgspec.structs.replace(uniform(1), tree=((0, 3, 4), (0, 2, 3), (0, 1, 2)))
    segments = ((0, 4), (0, 3), (0, 2), (0, 1), (1, 2), (2, 3), (3, 4))
    assert [depth_of(table, *one) for one in segments] == [0, 1, 2, 3, 3, 2, 1]
    assert [depth_of(table, *one) for one in ((1, 3), (2, 4), (1, 4))] == [1, 1, 1]  # not in the tree


def test_patience_is_counted_in_latencies_of_the_partner() -> None:
    table = uniform(2)
    assert Cutoffs(discard=12.0).patience_s(table, 1, 2) == pytest.approx(12.0)
    assert Cutoffs(discard=12.0).patience_s(table, 0, 2) == pytest.approx(
        12.0 * table.of(table.latency_s, 2, 4)
    )
    assert Cutoffs(discard=0.0).patience_s(table, 1, 2) == inf


def test_limits_come_from_the_first_policy_that_has_them() -> None:
    mode = "fixed_tree > oldest(cutoff=depth, discard=3) > score(cutoff=none)"
    assert policy_of(mode).cutoffs == Cutoffs("depth", 2.0, 3.0)
    assert DEFAULT_TREE.cutoffs == policy_of("fixed_tree").cutoffs == Cutoffs("none", discard=0.0)


# ---- the table of policies


def test_what_another_part_executes_is_no_swapping_policy() -> None:
    with pytest.raises(LocalMisuse, match="not executed by swapping policies"):
        policy_of("connectionless")


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another package's policy: the product of positions nearest to a number that its option says."""

    class Nearest:
        def __init__(self, wanted: float) -> None:
            self.wanted = wanted

        def rate(self, seen: Situation, left: Held, right: Held) -> float | None:
            return -abs(right.far - left.far - self.wanted) / 10.0

    def make(options: dict[str, float]) -> Nearest:
        return Nearest(options["hops"])

    plugin = SimpleNamespace(traits=Traits(options={"hops": 2.0}), make=make)
    point = SimpleNamespace(name="nearest", load=lambda: plugin)
    monkeypatch.setattr(modes, "entry_points", lambda group: [point] if group == modes.ENTRY_POINTS else [])
    caches = (modes.parse_mode, modes._added, modes.follows_tree, modes.needs_table, policy_of)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.mark.usefixtures("added")
def test_a_policy_of_another_package_chooses_and_combines() -> None:
    left, right = [(0, 10.0), (1, 80.0)], [(3, 40.0)]
    assert chosen("nearest", left, right) == ((1, 80.0), (3, 40.0))
    assert chosen("nearest(hops=3)", left, right) == ((0, 10.0), (3, 40.0))
    assert chosen("nearest(hops=3) + 2 * oldest", left, [(3, 5e6)]) is not None
    assert not policy_of("nearest").adaptive
    assert policy_of("nearest > oldest").adaptive
    with pytest.raises(ConfigError, match='unknown generation mode "nearst"'):
        policy_of("nearst")
