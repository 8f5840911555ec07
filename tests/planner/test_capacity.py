"""The account book: what is claimed, what is left, and that giving back leaves the very numbers from before.

Owns the tests of capacity.py.
"""

import math
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.core.ids import PairId
from bellwire.planner.capacity import NOTHING, FidelityMissed, NoPlan, Residual, Use, total_use
from bellwire.planner.topology import Link, Node, Topology

NAMES = ("A", "B", "C", "D")
LINKS = tuple(pairwise(NAMES))


def line(capacity_hz: float = 100.0, attempts_hz: float = 1000.0, memories: int = 4) -> Topology:
    """A-B-C-D, every link and node alike, q = 0.1."""
    nodes = [Node(name=name, attempts_hz=attempts_hz, memories=memories) for name in NAMES]
    links = [
        Link(ends=pair, length_km=1.0, success_probability=0.1, capacity_hz=capacity_hz, attempt_s=1e-5)
        for pair in LINKS
    ]
    return Topology.of(nodes, links)


def use(
    rate_hz: float = 0.0, attempts_hz: float = 0.0, memories: int = 0, stored: tuple[str, ...] = ()
) -> Use:
    """So much of link A-B and of node A."""
    return Use(
        links_hz={("A", "B"): rate_hz},
        attempts_hz={"A": attempts_hz},
        memories={"A": memories},
        stored=stored,
    )


class Left(NamedTuple):
    """Every number that an account book answers with."""

    links_hz: tuple[float, ...]
    nodes_hz: tuple[float, ...]
    memories: tuple[int, ...]
    rates_hz: tuple[float, ...]
    latencies_s: tuple[float, ...]


def left(residual: Residual) -> Left:
    links = residual.topology.links.values()
    return Left(
        tuple(residual.used_hz(link.ends) for link in links),
        tuple(residual.used_attempts_hz(name) for name in NAMES),
        tuple(residual.memories(name) for name in NAMES),
        tuple(residual.link_rate_hz(link, 0.7, 0.9) for link in links),
        tuple(residual.link_latency_s(link) for link in links),
    )


# Sixteen orders of magnitude: a running total would lose the small ones and keep their rounding.
rates_hz = st.floats(1e-8, 1e8)
uses = st.builds(
    Use,
    links_hz=st.dictionaries(st.sampled_from(LINKS), rates_hz, max_size=3),
    attempts_hz=st.dictionaries(st.sampled_from(NAMES), rates_hz, max_size=4),
    memories=st.dictionaries(st.sampled_from(NAMES), st.integers(0, 5), max_size=4),
)
WIDE = line(1e10, 1e10, 10**6)


@settings(deadline=None, derandomize=True, max_examples=500)
@given(st.lists(uses, max_size=6), st.lists(uses, min_size=1, max_size=6), st.data())
def test_giving_back_in_any_order_leaves_the_very_numbers_from_before(
    staying: list[Use], passing: list[Use], data: st.DataObject
) -> None:
    residual = Residual(WIDE)
    for index, each in enumerate(staying):
        residual.claim(f"staying {index}", each)
    before = left(residual)
    for index, each in enumerate(passing):
        residual.claim(f"passing {index}", each)
    for index in data.draw(st.permutations(range(len(passing)))):
        assert residual.give_back(f"passing {index}") is passing[index]
    assert left(residual) == before
    for index in data.draw(st.permutations(range(len(staying)))):
        residual.give_back(f"staying {index}")
    assert left(residual) == left(Residual(WIDE))


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.lists(uses, min_size=1, max_size=8), st.data())
def test_the_order_of_claims_changes_no_number(claimed: list[Use], data: st.DataObject) -> None:
    one, other = Residual(WIDE), Residual(WIDE)
    for index in range(len(claimed)):
        one.claim(str(index), claimed[index])
    for index in data.draw(st.permutations(range(len(claimed)))):
        other.claim(str(index), claimed[index])
    assert left(one) == left(other)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.lists(uses, max_size=8))
def test_sums_are_those_of_exact_arithmetic(claimed: list[Use]) -> None:
    residual = Residual(WIDE)
    for index, each in enumerate(claimed):
        residual.claim(str(index), each)
    together = total_use(*claimed)
    for pair in LINKS:
        exact = float(sum(Fraction(each.links_hz.get(pair, 0.0)) for each in claimed))
        assert residual.used_hz(pair) == exact
        assert together.links_hz.get(pair, 0.0) == exact
    for name in NAMES:
        exact = float(sum(Fraction(each.attempts_hz.get(name, 0.0)) for each in claimed))
        assert residual.used_attempts_hz(name) == exact
        assert together.attempts_hz.get(name, 0.0) == exact
        count = sum(each.memories.get(name, 0) for each in claimed)
        assert residual.used_memories(name) == together.memories.get(name, 0) == count


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.lists(st.tuples(st.floats(0.0, 70.0), st.floats(0.0, 700.0), st.integers(0, 3)), max_size=8))
def test_nothing_is_sold_that_is_not_there(asked: list[tuple[float, float, int]]) -> None:
    residual = Residual(line())
    for index, (rate_hz, attempts_hz, memories) in enumerate(asked):
        wanted = use(rate_hz, attempts_hz, memories)
        fits = residual.lacks(wanted) is None
        before = left(residual)
        if fits:
            residual.claim(str(index), wanted)
        else:
            with pytest.raises(NoPlan):
                residual.claim(str(index), wanted)
            assert left(residual) == before
        assert residual.used_hz(("A", "B")) <= 100.0 * (1.0 + 1e-9)
        assert residual.used_attempts_hz("A") <= 1000.0 * (1.0 + 1e-9)
        assert residual.used_memories("A") <= 4


def test_a_plan_may_take_all_there_is_and_nothing_more() -> None:
    residual = Residual(line())
    residual.claim("all", use(100.0, 1000.0, 4))
    link = residual.topology.links["A", "B"]
    assert (residual.link_rate_hz(link), residual.link_latency_s(link)) == (0.0, math.inf)
    assert (residual.memories("A"), residual.attempts_hz("A")) == (0, 0.0)
    assert residual.lacks(use(1e-3)) is not None
    assert residual.lacks(use(0.0, 1e-3)) is not None
    assert residual.lacks(use(0.0, 0.0, 1)) is not None
    assert residual.lacks(NOTHING) is None


def test_a_share_of_a_node_is_a_share_of_its_whole_and_not_of_what_is_left() -> None:
    """1.1: share (1/t_g) - used. Half of 1000/s with 200/s used is 300/s."""
    residual = Residual(line())
    residual.claim("first", use(10.0, 200.0))
    assert residual.attempts_hz("A", 0.5) == 300.0
    assert residual.attempts_hz("A", 0.1) == 0.0
    assert residual.attempts_hz("A") == 800.0
    link = residual.topology.links["A", "B"]
    assert residual.link_rate_hz(link, 0.5, 0.5) == pytest.approx(30.0)  # A gives 300/s, q = 0.1
    assert residual.link_rate_hz(link, 1.0, 0.5) == pytest.approx(50.0)  # B gives 500/s
    assert residual.link_rate_hz(link, 1.0, 1.0) == pytest.approx(80.0)  # A gives 800/s
    assert residual.link_rate_hz(link, 0.5, 1.0) == pytest.approx(30.0)
    assert residual.link_latency_s(link) == pytest.approx(1.0 / 30.0)
    residual.claim("second", use(75.0, 0.0))
    assert residual.link_rate_hz(link, 1.0, 1.0) == pytest.approx(15.0)  # the channel carries 100/s


def test_a_node_without_a_limit_leaves_the_channel_as_the_only_one() -> None:
    residual = Residual(line(attempts_hz=math.inf))
    link = residual.topology.links["A", "B"]
    residual.claim("first", use(40.0, 1e9))
    assert residual.link_rate_hz(link) == 60.0
    assert residual.attempts_hz("A", 0.0) == 0.0
    assert residual.link_rate_hz(link, 0.0, 1.0) == 0.0


def test_a_link_that_never_succeeds_has_no_rate() -> None:
    topology = line(attempts_hz=math.inf)
    dead = Link(ends=("A", "B"), length_km=1.0, success_probability=0.0, capacity_hz=9.0, attempt_s=1e-5)
    residual = Residual(Topology(topology.nodes, {**topology.links, ("A", "B"): dead}))
    assert residual.link_rate_hz(dead) == 0.0
    assert residual.link_latency_s(dead) == math.inf


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (use(90.0), "link A-B carries 100/s, of which 20/s are taken: no room for 90/s"),
        (use(0.0, 950.0), "A makes 1000 attempts/s, of which 100/s are taken: no room for 950/s"),
        (use(0.0, 0.0, 4), "A has 3 of 4 memories free, not 4"),
        (use(stored=("kept",)), "stored pair kept is reserved already"),
        (use(stored=("new", "new")), "stored pair new is wanted twice, and is one pair"),
        (Use(links_hz={("A", "D"): 1.0}, attempts_hz={}, memories={}), "there is no link A-D"),
        (Use(links_hz={}, attempts_hz={"Z": 1.0}, memories={}), "there is no node Z"),
        (Use(links_hz={}, attempts_hz={}, memories={"Z": 1}), "there is no node Z"),
    ],
)
def test_what_does_not_fit_is_named_with_its_limit(wanted: Use, words: str) -> None:
    residual = Residual(line())
    residual.claim("first", use(20.0, 100.0, 1, ("kept",)))
    assert residual.lacks(wanted) == words
    with pytest.raises(NoPlan, match="second: ") as refused:
        residual.claim("second", wanted)
    assert refused.value.problem == f"second: {words}"
    assert list(residual.taken) == ["first"]


def test_a_stored_pair_is_free_again_when_its_plan_has_gone() -> None:
    residual = Residual(line())
    pair = PairId("A-B", 1, 2, 3)
    wanted = Use(links_hz={}, attempts_hz={}, memories={}, stored=(pair,))
    residual.claim("first", wanted)
    assert residual.lacks(wanted) is not None
    residual.give_back("first")
    residual.claim("second", wanted)


def test_a_copy_can_be_tried_without_consequences() -> None:
    residual = Residual(line())
    residual.claim("first", use(20.0, 100.0, 1))
    before = left(residual)
    trial = residual.copy()
    trial.claim("trial", use(30.0, 100.0, 1))
    trial.give_back("first")
    assert left(residual) == before
    assert list(residual.taken) == ["first"]
    assert trial.used_hz(("A", "B")) == 30.0


def test_an_entry_is_made_once_and_struck_out_once() -> None:
    residual = Residual(line())
    residual.claim("first", use(20.0))
    with pytest.raises(LocalMisuse, match="plan first is entered already"):
        residual.claim("first", use(1.0))
    residual.give_back("first")
    with pytest.raises(LocalMisuse, match="plan first was never entered, or was given back before"):
        residual.give_back("first")


@pytest.mark.parametrize(
    ("links_hz", "attempts_hz", "memories"),
    [(-1.0, 0.0, 0), (math.nan, 0.0, 0), (0.0, -1.0, 0), (0.0, math.nan, 0), (0.0, 0.0, -1)],
)
def test_a_plan_that_would_give_instead_of_take_is_a_bug(
    links_hz: float, attempts_hz: float, memories: int
) -> None:
    with pytest.raises(LocalMisuse, match="less than no"):
        use(links_hz, attempts_hz, memories)


def test_a_plan_at_another_rate_takes_in_proportion_and_holds_the_same_memories() -> None:
    half = use(20.0, 100.0, 2, ("kept",)).scaled(0.5)
    assert half == use(10.0, 50.0, 2, ("kept",))


def test_what_several_plans_take_is_what_their_account_says() -> None:
    one, other = use(20.0, 100.0, 1, ("x",)), use(5.0, 50.0, 2, ("y",))
    assert total_use(one, other) == use(25.0, 150.0, 3, ("x", "y"))
    assert total_use() == NOTHING


def test_a_missing_plan_is_an_error_of_the_question_and_not_of_the_program() -> None:
    assert issubclass(NoPlan, ConfigError)
    assert issubclass(FidelityMissed, NoPlan)
