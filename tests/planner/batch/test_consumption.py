"""Consumption orders: the worked table, the programme against every segmentation, greedy and layered cuts.

Owns the tests of batch/consumption.py and batch_latency.py.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, pairwise

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.errors import ConfigError
from bellwire.planner.batch.batch_latency import PlannedLatency, planned_latency
from bellwire.planner.batch.consumption import (
    Consumption,
    Indices,
    in_layers,
    in_partial_order,
    in_total_order,
    shared_nodes,
)
from bellwire.planner.capacity import NoPlan
from bellwire.planner.requests import Limits
from bellwire.planner.topology import Node, Topology
from tests.planner.batch.small_networks import T_LINK_S, line, two_hops_hz

RATES = (1.0, 1.0, 2.0, 2.0, 1.0)
"""Of the worked example; pair k joins Ak and Bk."""


def longest_s(rates: Sequence[float]) -> Callable[[Indices], float]:
    """L(B) = E[max of independent exponentials], by inclusion and exclusion."""

    def latency_s(batch: Indices) -> float:
        return sum(
            (-1.0) ** (size + 1) / sum(rates[index] for index in some)
            for size in range(1, len(batch) + 1)
            for some in combinations(batch, size)
        )

    return latency_s


def toy(age_s: float, *, by_age: bool = False, rates: Sequence[float] = RATES) -> Consumption:
    pairs = [(f"A{index}", f"B{index}") for index in range(len(rates))]
    if not by_age:
        return Consumption(pairs=pairs, latency_s=longest_s(rates), age_s=age_s)
    return Consumption(
        pairs=pairs,
        latency_s=longest_s(rates),
        age_s=age_s,
        first_s=lambda batch: 1.0 / sum(rates[index] for index in batch),
        execution_s=0.05,
    )


@pytest.mark.parametrize(
    ("batch", "latency_s"),
    [((0, 1), 1.5), ((0, 1, 2), 1.5833), ((2, 3, 4), 1.2833), ((3, 4), 1.1667)],
)
def test_toy_batches_take_the_worked_times(batch: Indices, latency_s: float) -> None:
    assert longest_s(RATES)(batch) == pytest.approx(latency_s, abs=5e-5)


@pytest.mark.parametrize(
    ("age_s", "by_age", "batches", "total_s"),
    [
        (1.5, False, ((0, 1), (2, 3, 4)), 2.783333),
        (1.6, False, ((0, 1, 2), (3, 4)), 2.75),
        (10.0, False, ((0, 1, 2, 3, 4),), 1.926190),
        (0.5, True, ((0,), (1,), (2,), (3,), (4,)), 4.25),
        (1.5, True, ((0, 1, 2), (3, 4)), 3.0),
        (10.0, True, ((0, 1, 2, 3, 4),), 2.176190),
    ],
)
def test_the_worked_table_comes_out_to_the_printed_digits(
    age_s: float, by_age: bool, batches: tuple[Indices, ...], total_s: float
) -> None:
    consumption = toy(age_s, by_age=by_age)
    found = in_total_order(consumption)
    assert found == batches
    assert consumption.total_s(found) == pytest.approx(total_s, abs=5e-7)


@pytest.mark.parametrize("cut", [in_total_order, in_partial_order, in_layers])
def test_a_pair_that_alone_takes_longer_than_the_limit_is_named(
    cut: Callable[[Consumption], tuple[Indices, ...]],
) -> None:
    with pytest.raises(NoPlan, match=r"pair 1 of the order, A0-B0: made in 1 s, .* limit of 0.5 s"):
        cut(toy(0.5))
    with pytest.raises(NoPlan, match=r"pair 1 of the order, A0-B0: used at an age of 0.05 s"):
        cut(toy(0.01, by_age=True))


@pytest.mark.parametrize(
    ("settings_of", "words"),
    [
        (lambda: toy(math.nan), "age limit nan s must be above 0"),
        (lambda: toy(0.0), "age limit 0 s must be above 0"),
        (lambda: _with_execution(-1.0), "execution time -1 s must be finite and 0 or more"),
        (lambda: _with_execution(math.inf), "execution time inf s"),
    ],
)
def test_impossible_numbers_are_refused(settings_of: Callable[[], Consumption], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        settings_of()


def _with_execution(execution_s: float) -> Consumption:
    return Consumption(pairs=[("A", "B")], latency_s=longest_s([1.0]), age_s=1.0, execution_s=execution_s)


def segmentations(count: int) -> Iterator[tuple[Indices, ...]]:
    """Every way to cut 0..count-1 into consecutive runs."""
    for size in range(count):
        for cuts in combinations(range(1, count), size):
            edges = (0, *cuts, count)
            yield tuple(tuple(range(a, b)) for a, b in pairwise(edges))


demands = st.lists(st.floats(0.2, 5.0), min_size=1, max_size=8)


@settings(deadline=None, derandomize=True, max_examples=400)
@given(demands, st.floats(0.05, 8.0), st.booleans())
def test_no_segmentation_is_shorter_than_that_of_the_programme(
    rates: list[float], age_s: float, by_age: bool
) -> None:
    consumption = toy(age_s, by_age=by_age, rates=rates)
    good = [cuts for cuts in segmentations(len(rates)) if all(consumption.fits(batch) for batch in cuts)]
    if not all(consumption.fits((index,)) for index in range(len(rates))):
        with pytest.raises(NoPlan):
            in_total_order(consumption)
        return
    found = in_total_order(consumption)
    assert found in good
    assert consumption.total_s(found) == pytest.approx(min(map(consumption.total_s, good)), rel=1e-12)


def test_the_scan_stops_at_the_first_batch_that_does_not_fit() -> None:
    """100 pairs of which at most 3 fit: no batch of more than 4 is ever worked out."""
    asked: list[int] = []

    def latency_s(batch: Indices) -> float:
        asked.append(len(batch))
        return float(len(batch))

    pairs = [(f"A{index}", f"B{index}") for index in range(100)]
    found = in_total_order(Consumption(pairs=pairs, latency_s=latency_s, age_s=3.0))
    assert max(asked) == 4
    assert {len(batch) for batch in found} <= {1, 2, 3}


def test_nothing_to_consume_is_no_batch() -> None:
    empty = Consumption(pairs=[], latency_s=longest_s([]), age_s=1.0)
    assert in_total_order(empty) == in_partial_order(empty) == in_layers(empty) == ()


# --- partial orders --------------------------------------------------------------------------------------


def test_an_unknown_order_is_that_of_shared_nodes() -> None:
    order = shared_nodes([("A", "B"), ("C", "D"), ("B", "C"), ("A", "E")])
    assert set(order.edges) == {(0, 2), (1, 2), (0, 3)}


def test_pairs_without_shared_nodes_are_chosen_freely() -> None:
    """Rates 1, 1, 2, 2, 1 and a limit of 1.5: the first batch leaves the slowest for later."""
    found = in_partial_order(toy(1.5))
    first = found[0]
    assert longest_s(RATES)(first) <= 1.5
    assert {2, 3} <= set(first)
    assert sorted(index for batch in found for index in batch) == [0, 1, 2, 3, 4]


def test_a_chain_is_cut_as_its_order_says() -> None:
    chain: nx.DiGraph[int] = nx.DiGraph([(0, 1), (1, 2), (2, 3), (3, 4)])
    assert in_partial_order(toy(1.6), chain) == ((0, 1, 2), (3, 4))


def test_sampled_candidates_do_not_break_a_batch_into_single_pairs() -> None:
    """One in five of a chain is its head, which carries all others: then every candidate is tried."""
    chain: nx.DiGraph[int] = nx.DiGraph([(0, 1), (1, 2), (2, 3), (3, 4)])
    assert in_partial_order(toy(1.6), chain, every=5) == ((0, 1, 2), (3, 4))


@pytest.mark.parametrize("cut", [in_partial_order, in_layers])
def test_a_circular_order_is_refused(
    cut: Callable[[Consumption, "nx.DiGraph[int]"], tuple[Indices, ...]],
) -> None:
    with pytest.raises(NoPlan, match="circular: pair 0 before 1 before 2 before itself"):
        cut(toy(10.0), nx.DiGraph([(0, 1), (1, 2), (2, 0)]))
    with pytest.raises(ConfigError, match="names pair 7; there are 5"):
        cut(toy(10.0), nx.DiGraph([(0, 7)]))


@st.composite
def ordered(draw: st.DrawFn) -> tuple[Consumption, "nx.DiGraph[int]"]:
    """Demands with a random partial order; edges need not run from lower to higher numbers."""
    rates = draw(demands)
    places = draw(st.permutations(range(len(rates))))
    order: nx.DiGraph[int] = nx.DiGraph()
    order.add_nodes_from(range(len(rates)))
    for i, j in combinations(range(len(rates)), 2):
        if draw(st.integers(0, 3)) == 0:
            order.add_edge(places[i], places[j])
    slowest_s = max(longest_s(rates)((index,)) for index in range(len(rates)))
    age_s = draw(st.floats(1.0, 4.0)) * slowest_s
    by_age = draw(st.booleans())
    return toy(age_s, by_age=by_age, rates=rates), order


@settings(deadline=None, derandomize=True, max_examples=400)
@given(ordered(), st.sampled_from([1, 2, 5]), st.booleans())
def test_every_batch_fits_and_no_pair_is_consumed_before_what_it_waits_for(
    case: tuple[Consumption, "nx.DiGraph[int]"], every: int, layered: bool
) -> None:
    consumption, order = case
    found = (in_layers if layered else in_partial_order)(consumption, order, every)
    assert sorted(index for batch in found for index in batch) == list(range(len(consumption.pairs)))
    place = {index: number for number, batch in enumerate(found) for index in batch}
    assert all(place[sooner] <= place[later] for sooner, later in order.edges)
    assert all(consumption.fits(batch) for batch in found)
    alone_s = consumption.total_s((index,) for index in range(len(consumption.pairs)))
    assert consumption.total_s(found) <= alone_s * (1.0 + 1e-12)


@settings(deadline=None, derandomize=True, max_examples=150)
@given(ordered())
def test_layered_batches_cannot_be_joined_any_further(
    case: tuple[Consumption, "nx.DiGraph[int]"],
) -> None:
    consumption, order = case
    found = in_layers(consumption, order)
    for one, other in pairwise(found):
        assert not consumption.fits(tuple(sorted((*one, *other))))


def test_one_batch_of_a_layer_is_joined_with_the_one_of_the_next_layer_that_saves_most() -> None:
    """Layers {0, 1} and {2, 3}; only pairs of one kind fit together. Consecutive merging alone finds 1-2.

    Greedy cuts both layers into single pairs. Joining 0 with 3 saves more than joining 1 with 2 would.
    """
    saved_s = {(0, 3): 0.9, (1, 2): 0.1}

    def latency_s(batch: Indices) -> float:
        return float(len(batch)) - saved_s.get(batch, 0.0) if len(batch) < 3 else 99.0

    layers: nx.DiGraph[int] = nx.DiGraph([(0, 2), (0, 3), (1, 2), (1, 3)])
    pairs = [(f"A{index}", f"B{index}") for index in range(4)]
    consumption = Consumption(pairs=pairs, latency_s=latency_s, age_s=1.95)
    found = in_layers(consumption, layers)
    assert found == ((1,), (0, 3), (2,))
    assert consumption.total_s(found) == pytest.approx(3.1)


def test_joining_that_takes_longer_is_left_alone() -> None:
    """Two pairs that get into each other's way: together 2.5 s, one after the other 2 s."""
    pairs = [("A", "B"), ("A", "C")]
    slow = Consumption(pairs=pairs, latency_s=lambda batch: [0.0, 1.0, 2.5][len(batch)], age_s=10.0)
    assert in_layers(slow) == ((0,), (1,))


# --- over a real network ---------------------------------------------------------------------------------


def test_the_latency_of_a_batch_is_that_of_its_slowest_pair() -> None:
    """Links A-B and C-D of 10 km do not share a node: each gets 1 + 1/2 + 1/4 + 1/8 of its first tree."""
    topology = line(10.0, 10.0, 10.0)
    latency_s = planned_latency(topology, [("A", "B"), ("C", "D"), ("B", "A")])
    rate_hz = 1.875 / T_LINK_S
    assert latency_s(()) == 0.0
    assert latency_s((0,)) == pytest.approx(1.0 / rate_hz, rel=1e-9)
    assert latency_s((0, 1)) == pytest.approx(1.0 / rate_hz, rel=1e-9)
    assert latency_s((0, 2)) == pytest.approx(2.0 / rate_hz, rel=1e-9)  # one pair wanted twice
    total = PlannedLatency(topology=topology, pairs=[("A", "B"), ("C", "D")], joined="sum")
    assert total.latency_s((0, 1)) == pytest.approx(2.0 / rate_hz, rel=1e-9)
    assert total.first_s((0, 1)) == pytest.approx(0.5 / rate_hz, rel=1e-9)


def test_rates_of_the_programme_make_a_batch_sooner_than_trees_in_turn() -> None:
    """B serves two links: evenly by the programme, while trees in turn give half to the first."""
    topology = line(10.0, 10.0)
    pairs = [("A", "B"), ("A", "B"), ("B", "C")]
    by_turns = PlannedLatency(topology=topology, pairs=pairs)
    by_programme = PlannedLatency(topology=topology, pairs=pairs, batch_method="levels")
    assert by_programme.latency_s((0,)) == pytest.approx(T_LINK_S / 2.0, rel=1e-6)
    assert by_turns.latency_s((0,)) == pytest.approx(T_LINK_S / 1.875, rel=1e-9)
    assert by_programme.latency_s((0, 2)) == pytest.approx(T_LINK_S, rel=1e-6)  # B is shared evenly
    assert by_programme.latency_s((0, 2)) < by_turns.latency_s((0, 2))


def test_a_pair_that_gets_no_tree_beside_the_others_is_made_in_another_pass() -> None:
    """A-C takes all that B has; A-B waits for the second pass, whose latency is added."""
    topology = line(10.0, 10.0)
    latency_s = planned_latency(topology, [("A", "C"), ("A", "B")])
    assert latency_s((0, 1)) == pytest.approx(1.0 / two_hops_hz() + T_LINK_S / 1.875, rel=1e-9)


def test_an_order_over_a_real_network_is_cut_so_that_nothing_decoheres() -> None:
    topology = line(10.0, 10.0, 10.0)
    pairs = [("A", "C"), ("B", "D"), ("A", "B"), ("C", "D")]
    planned = PlannedLatency(topology=topology, pairs=pairs)
    strict = Consumption(pairs=pairs, latency_s=planned.latency_s, age_s=0.05)
    for found in (in_total_order(strict), in_partial_order(strict), in_layers(strict)):
        assert sorted(index for batch in found for index in batch) == [0, 1, 2, 3]
        assert all(planned.latency_s(batch) <= 0.05 for batch in found)
    by_age = Consumption(
        pairs=pairs, latency_s=planned.latency_s, age_s=0.05, first_s=planned.first_s, execution_s=1e-3
    )
    assert len(in_total_order(by_age)) <= len(in_total_order(strict))


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.lists(st.tuples(st.sampled_from("ABCDE"), st.sampled_from("ABCDE")), min_size=1, max_size=6))
def test_batches_over_a_line_fit_and_follow_the_order(drawn: list[tuple[str, str]]) -> None:
    pairs = [pair for pair in drawn if pair[0] != pair[1]]
    planned = PlannedLatency(topology=line(10.0, 5.0, 10.0, 5.0), pairs=pairs)
    slowest_s = max((planned.latency_s((index,)) for index in range(len(pairs))), default=1.0)
    consumption = Consumption(pairs=pairs, latency_s=planned.latency_s, age_s=1.5 * slowest_s)
    order = shared_nodes(pairs)
    for found in (in_total_order(consumption), in_partial_order(consumption), in_layers(consumption)):
        place = {index: number for number, batch in enumerate(found) for index in batch}
        assert len(place) == len(pairs)
        assert all(place[sooner] <= place[later] for sooner, later in order.edges)
        assert all(consumption.fits(batch) for batch in found)


def test_a_pair_that_the_network_cannot_make_is_named() -> None:
    chain = line(10.0, 10.0)
    topology = Topology.of((*chain.nodes.values(), Node(name="D")), chain.links.values())
    pairs = [("A", "B"), ("A", "D")]
    lost = Consumption(pairs=pairs, latency_s=planned_latency(topology, pairs), age_s=1.0)
    with pytest.raises(NoPlan, match=r"pair 2 of the order, A-D: .*no route between A and D"):
        in_total_order(lost)
    poor = planned_latency(topology, [("A", "C")], limits=Limits(fidelity=0.9999))
    with pytest.raises(NoPlan, match=r"pair A-C cannot be made: .*fidelity 0.9999 is not reached"):
        poor((0,))
    with pytest.raises(ConfigError, match='unknown node "Q"'):
        planned_latency(topology, [("A", "Q")])((0,))
