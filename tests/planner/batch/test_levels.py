"""The level-based optimum against the worked table and against the same programmes written for scipy.

Owns the tests of batch/levels.py, fidelity_grid.py, fidelity_needs.py and solvers.py.
"""

import math
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bellwire.core.bell import bbpssw, werner
from bellwire.planner.assessment import purification
from bellwire.planner.batch.fidelity_grid import FidelityGrid
from bellwire.planner.batch.iterative import plan_batch
from bellwire.planner.batch.levels import Hypergraph, hypergraph
from bellwire.planner.batch.solvers import Flow, Objective, Solver, solve
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.requests import Limits, Options, PairRequest
from bellwire.planner.topology import Node, Topology, link_between, pair_of
from tests.planner.batch.level_oracle import levels_optimum, plain_optimum, reachable
from tests.planner.single.brute_force import networks

SOLVERS: tuple[Solver, ...] = ("highs", "cbc")
PERFECT_GATES = ((1.0, 1.0), (1.0, 1.0))


def network(*links: str, km: float = 10.0, fidelity: float = 1.0, **node: object) -> Topology:
    """Links given by the two letters of their ends, all alike."""
    nodes = {name: Node(name=name, **node) for name in sorted({*"".join(links)})}  # type: ignore[arg-type]
    return Topology.of(
        nodes.values(), [link_between(nodes[a], nodes[b], km, fidelity=fidelity) for a, b in links]
    )


def ask(source: str, destination: str, name: str = "r", **others: object) -> PairRequest:
    return PairRequest(request=name, source=source, destination=destination, **others)  # type: ignore[arg-type]


def optimum(
    topology: Topology,
    asked: list[PairRequest],
    objective: Objective = "total",
    solver: Solver = "highs",
    rounds: int = 2,
    steps: tuple[float, ...] = (0.05,),
) -> tuple[Hypergraph, Flow]:
    """The flow, with nothing in use."""
    graph = hypergraph(Residual(topology), asked, Options(rounds=rounds), steps)
    weights = {request.request: request.weight for request in asked}
    wanted = {request.request: request.rate_hz for request in asked}
    return graph, solve(graph, weights, wanted, objective, solver)


def swaps_hz(flow: Flow) -> dict[tuple[str, str, str], float]:
    """s_xky by (x, k, y)."""
    found: dict[tuple[str, str, str], float] = {}
    for arc, rate_hz in flow.arcs_hz.items():
        assert arc.at is not None
        x, y = arc.product.pair
        found[x, arc.at, y] = rate_hz
    return found


@st.composite
def batches(draw: st.DrawFn, most: int = 6) -> tuple[Topology, list[PairRequest]]:
    """A small network and one to three requests with different pairs and weights."""
    topology = draw(networks(most))
    names = list(topology.nodes)
    pairs = [(a, b) for a in names for b in names if a < b]
    chosen = draw(st.lists(st.sampled_from(pairs), min_size=1, max_size=3, unique=True))
    weights = draw(st.lists(st.sampled_from([1.0, 0.3, 2.5]), min_size=3, max_size=3))
    return topology, [ask(a, b, f"r{index}", weight=weights[index]) for index, (a, b) in enumerate(chosen)]


# --- worked numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_line_of_two_links_has_the_optimum_of_the_worked_table(solver: Solver) -> None:
    topology = network("AR", "RB")
    _, flow = optimum(topology, [ask("A", "B")], solver=solver)
    assert flow.optimum_hz == pytest.approx(35.22730072, abs=5e-9)
    assert flow.links_hz == pytest.approx({("A", "R"): 132.1023777, ("B", "R"): 132.1023777}, abs=5e-8)
    q = topology.links["A", "R"].success_probability
    assert flow.links_hz["A", "R"] == pytest.approx(q / (2.0 * 50e-6), rel=1e-12)
    assert flow.optimum_hz == pytest.approx(2.0 / 3.0 * 0.4 * flow.links_hz["A", "R"], rel=1e-12)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_line_of_three_links_uses_both_orders_of_swaps(solver: Solver) -> None:
    _, flow = optimum(network("AR", "RS", "SB"), [ask("A", "B")], solver=solver)
    assert flow.optimum_hz == pytest.approx(11.50279207, abs=5e-9)
    assert flow.links_hz["A", "R"] == pytest.approx(102.4467, abs=5e-5)
    assert flow.links_hz["R", "S"] == pytest.approx(161.758, abs=5e-4)
    assert flow.links_hz["B", "S"] == pytest.approx(102.4467, abs=5e-5)
    found = swaps_hz(flow)
    assert found["A", "R", "S"] == pytest.approx(80.879, abs=5e-4)
    assert found["B", "S", "R"] == pytest.approx(80.879, abs=5e-4)
    assert found["A", "R", "B"] == pytest.approx(21.5677, abs=5e-5)
    assert found["A", "S", "B"] == pytest.approx(21.5677, abs=5e-5)
    assert len(found) == 4


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_diamond_carries_exactly_twice_the_line(solver: Solver) -> None:
    _, line = optimum(network("AR", "RB"), [ask("A", "B")], solver=solver)
    _, diamond = optimum(network("AR", "RB", "AS", "SB"), [ask("A", "B")], solver=solver)
    assert diamond.optimum_hz == pytest.approx(70.45460143, abs=5e-9)
    assert diamond.optimum_hz == pytest.approx(2.0 * line.optimum_hz, rel=1e-12)


def test_slow_and_long_networks_are_solved_to_the_same_digits() -> None:
    """Tolerances of a solver are absolute; here the answer is a tiny part of the links' rates."""
    names = "ABCDEFGHIJKLMNOPQ"
    links = [a + b for a, b in pairwise(names)]
    _, fast = optimum(network(*links, swap_probability=0.05), [ask("A", "Q")])
    _, slow = optimum(network(*links, swap_probability=0.05, attempts_hz=2e-2), [ask("A", "Q")])
    # capacities of the channels do not bind; the ends of the line limit it whatever its inner nodes do
    assert 0.0 < fast.optimum_hz < 1e-3
    assert slow.optimum_hz == pytest.approx(1e-6 * fast.optimum_hz, rel=1e-9)


# --- the same programme, written for scipy ----------------------------------------------------------------


@settings(deadline=None, derandomize=True, max_examples=250)
@given(batches(), st.sampled_from(["total", "max_min"]))
def test_scipy_finds_the_same_optimum(
    batch: tuple[Topology, list[PairRequest]], objective: Objective
) -> None:
    topology, asked = batch
    _, flow = optimum(topology, asked, objective)
    if any(reachable(topology, each.source, each.destination) for each in asked):
        expected = plain_optimum(topology, asked, objective == "max_min")
        assert flow.optimum_hz == pytest.approx(expected, rel=1e-7)
    else:
        assert flow.optimum_hz == 0.0


@settings(deadline=None, derandomize=True, max_examples=40)
@given(batches(5), st.sampled_from(["total", "max_min"]))
def test_cbc_finds_the_same_optimum(batch: tuple[Topology, list[PairRequest]], objective: Objective) -> None:
    topology, asked = batch
    _, one = optimum(topology, asked, objective)
    _, other = optimum(topology, asked, objective, "cbc")
    assert other.optimum_hz == pytest.approx(one.optimum_hz, rel=1e-10)  # CBC prints eight digits


@settings(deadline=None, derandomize=True, max_examples=100)
@given(batches(), st.floats(0.01, 100.0))
def test_a_wanted_rate_is_a_bound(batch: tuple[Topology, list[PairRequest]], wanted_hz: float) -> None:
    topology, asked = batch
    asked[0] = replace(asked[0], rate_hz=wanted_hz)
    _, flow = optimum(topology, asked)
    assert sum(flow.delivered_hz["r0"].values()) <= wanted_hz * (1.0 + 1e-9)
    if any(reachable(topology, each.source, each.destination) for each in asked):
        assert flow.optimum_hz == pytest.approx(plain_optimum(topology, asked), rel=1e-7)


# --- properties of the optimum ----------------------------------------------------------------------------


def without_times(topology: Topology) -> Topology:
    """t_b = t_c = 0."""
    names = list(topology.nodes)
    nodes = [replace(node, swap_s=0.0) for node in topology.nodes.values()]
    still = {pair_of(a, b): 0.0 for a in names for b in names if a < b}
    return Topology.of(nodes, topology.links.values(), delays_s=still)


@settings(deadline=None, derandomize=True, max_examples=120)
@given(batches(), st.sampled_from(["dp", "balanced"]), st.sampled_from(["total", "fair"]))
def test_no_set_of_trees_delivers_more(
    batch: tuple[Topology, list[PairRequest]], method: str, objective: str
) -> None:
    topology, asked = without_times(batch[0]), [replace(each, weight=1.0) for each in batch[1]]
    plan = plan_batch(Residual(topology), asked, objective, method, allow_unserved=True)  # type: ignore[arg-type]
    _, flow = optimum(topology, asked)
    assert plan.total_rate_hz <= flow.optimum_hz * (1.0 + 1e-9)
    _, least = optimum(topology, asked, "max_min")
    assert plan.min_rate_hz <= least.optimum_hz * (1.0 + 1e-9)


@settings(deadline=None, derandomize=True, max_examples=120)
@given(batches(), st.integers(0, 100), st.sampled_from(["total", "max_min"]))
def test_another_link_never_lowers_the_optimum(
    batch: tuple[Topology, list[PairRequest]], pick: int, objective: Objective
) -> None:
    topology, asked = batch
    names = list(topology.nodes)
    absent = [(a, b) for a in names for b in names if a < b and (a, b) not in topology.links]
    served = [each for each in asked if reachable(topology, each.source, each.destination)]
    if not absent or not served:
        return
    a, b = absent[pick % len(absent)]
    link = link_between(topology.nodes[a], topology.nodes[b], 7.0)
    more = Topology.of(topology.nodes.values(), (*topology.links.values(), link))
    before, after = optimum(topology, served, objective)[1], optimum(more, served, objective)[1]
    assert after.optimum_hz >= before.optimum_hz * (1.0 - 1e-9)


@settings(deadline=None, derandomize=True, max_examples=120)
@given(batches(), st.floats(1e-6, 1e6), st.sampled_from(["total", "max_min"]))
def test_the_optimum_scales_with_all_capacities(
    batch: tuple[Topology, list[PairRequest]], factor: float, objective: Objective
) -> None:
    topology, asked = batch
    scaled = Topology.of(
        [replace(node, attempts_hz=node.attempts_hz * factor) for node in topology.nodes.values()],
        [replace(link, capacity_hz=link.capacity_hz * factor) for link in topology.links.values()],
    )
    one, other = optimum(topology, asked, objective)[1], optimum(scaled, asked, objective)[1]
    assert other.optimum_hz == pytest.approx(factor * one.optimum_hz, rel=1e-9)


@settings(deadline=None, derandomize=True, max_examples=120)
@given(batches())
def test_the_greatest_least_rate_is_nobodys_loss(batch: tuple[Topology, list[PairRequest]]) -> None:
    topology, asked = batch
    asked = [each for each in asked if reachable(topology, each.source, each.destination)]
    if not asked:
        return
    _, flow = optimum(topology, asked, "max_min")
    assert flow.optimum_hz > 0.0
    for each in asked:
        rate_hz = sum(flow.delivered_hz[each.request].values())
        assert rate_hz / each.weight >= flow.optimum_hz * (1.0 - 1e-12)
        _, alone = optimum(topology, [each])
        assert rate_hz <= alone.optimum_hz / each.weight * (1.0 + 1e-9)


def test_who_wants_little_does_not_hold_back_the_others() -> None:
    """Bug: under max_min one request for 1/s kept all others at 1/s."""
    topology = network("AR", "RB", "CR", "RD")
    asked = [ask("A", "B", "modest", rate_hz=1.0), ask("C", "D", "eager")]
    _, flow = optimum(topology, asked, "max_min")
    rates = {name: sum(states.values()) for name, states in flow.delivered_hz.items()}
    assert rates["modest"] == pytest.approx(1.0, rel=1e-9)
    assert flow.optimum_hz == pytest.approx(1.0, rel=1e-9)
    _, both = optimum(topology, [replace(asked[0], weight=1.0), asked[1]])
    assert rates["eager"] == pytest.approx(both.optimum_hz - 1.0, rel=1e-9)
    assert rates["eager"] > 10.0


def test_small_weights_change_nothing_but_the_unit() -> None:
    """Bug: a price of 1e-7 on every pair in use outbid requests of small weight."""
    topology = network("AR", "RS", "SB")
    _, one = optimum(topology, [ask("A", "B")])
    _, other = optimum(topology, [ask("A", "B", weight=1e-9)])
    assert other.optimum_hz == pytest.approx(1e-9 * one.optimum_hz, rel=1e-12)


def test_rates_without_any_limit_are_refused() -> None:
    nodes = [Node(name=name, attempts_hz=math.inf) for name in "AB"]
    link = replace(link_between(*nodes, 10.0), capacity_hz=math.inf)
    with pytest.raises(NoPlan, match="unbounded: give each link a capacity"):
        optimum(Topology.of(nodes, [link]), [ask("A", "B")])


# --- fidelity levels --------------------------------------------------------------------------------------


def values_of(step: float, exact: Iterable[float]) -> list[float]:
    """The grid of the specification: multiples of a step above 1/4, and what stands on it exactly."""
    values = sorted({*(step * index for index in range(1, round(1.0 / step) + 1)), 1.0, *exact})
    apart = [value for value, last in zip(values, [-1.0, *values], strict=False) if value - last > 1e-12]
    return [value for value in apart if value > 0.25]


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    batches(4),
    st.sampled_from([0.55, 0.7, 0.8, 0.87, 0.93, 0.97]),
    st.sampled_from([0.1, 0.07]),
    st.integers(0, 2),
    st.booleans(),
    st.sampled_from(["total", "max_min"]),
    st.floats(0.7, 1.0),
)
def test_downgrade_arcs_and_idle_levels_add_nothing(
    batch: tuple[Topology, list[PairRequest]],
    limit: float,
    step: float,
    rounds: int,
    mixed: bool,
    objective: Objective,
    worst: float,
) -> None:
    """Our hypergraph has no downgrade arcs and only levels that can matter; the oracle has all of them."""
    topology, asked = batch
    chance = np.random.default_rng(round(worst * 1e6))
    links = [
        replace(link, state=werner(float(chance.uniform(worst, 1.0)))) for link in topology.links.values()
    ]
    topology = Topology.of(topology.nodes.values(), links)
    asked = [
        each if mixed and index else replace(each, limits=Limits(fidelity=limit))
        for index, each in enumerate(asked)
    ]
    graph, flow = optimum(topology, asked, objective, rounds=rounds, steps=(step,))
    served = [each for each in asked if graph.delivered[each.request]]
    if not served:
        assert flow.optimum_hz == 0.0
        assert levels_optimum(topology, asked, [0.25, *values_of(step, ())], rounds) == 0.0
        return
    exact = {limit, *(link.fidelity for link in topology.links.values())}
    assume(graph.rounds == rounds)
    expected = levels_optimum(
        topology, served, [0.25, *values_of(step, exact)], rounds, objective == "max_min"
    )
    assert flow.optimum_hz == pytest.approx(expected, rel=1e-7)


def test_pairs_that_only_a_round_would_lift_serve_whoever_asks_for_no_fidelity() -> None:
    """Found by a random batch: two links at full speed are 1311.85 pairs/s, and 1292.50 were promised.

    A-C, at 0.878, is of use to A-B (limit 0.8, by a swap at C) only after a round. The other request wants
    A-C as it is.
    """
    a = Node(name="A", memories=1, attempts_hz=1e6, swap_probability=0.2, swap_s=0.0)
    b = Node(name="B", memories=4, attempts_hz=1e6, swap_probability=0.6)
    c = Node(name="C", memories=3, attempts_hz=1e6, swap_probability=0.2, swap_s=1e-3)
    links = [
        replace(link_between(a, b, 9.061385527067804), state=werner(0.9007611984702679)),
        replace(link_between(a, c, 3.816069967336962), state=werner(0.8781813191039666)),
        replace(link_between(b, c, 18.50001483328949), state=werner(0.9136581053756405)),
    ]
    topology = Topology.of([a, b, c], links)
    asked = [replace(ask("A", "B"), limits=Limits(fidelity=0.8)), ask("A", "C", "plain")]
    _, flow = optimum(topology, asked, rounds=1, steps=(0.1,))
    capacities_hz = {link.ends: link.capacity_hz for link in topology.links.values()}
    assert flow.optimum_hz == pytest.approx(capacities_hz["A", "B"] + capacities_hz["A", "C"], rel=1e-9)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(batches(5), st.sampled_from(["total", "max_min"]))
def test_a_limit_below_all_fidelities_changes_nothing(
    batch: tuple[Topology, list[PairRequest]], objective: Objective
) -> None:
    topology, asked = batch
    _, free = optimum(topology, asked, objective)
    limited = [replace(each, limits=Limits(fidelity=0.4)) for each in asked]
    _, flow = optimum(topology, limited, objective, rounds=0)
    assert flow.optimum_hz == pytest.approx(free.optimum_hz, rel=1e-9)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(batches(4), st.sampled_from([0.5, 0.8, 0.9, 0.97]), st.integers(0, 2))
def test_a_fidelity_limit_never_adds_pairs_and_rounds_never_take_any(
    batch: tuple[Topology, list[PairRequest]], limit: float, rounds: int
) -> None:
    topology, asked = batch
    _, free = optimum(topology, asked)
    limited = [replace(each, limits=Limits(fidelity=limit)) for each in asked]
    _, fewer = optimum(topology, limited, rounds=rounds)
    assert fewer.optimum_hz <= free.optimum_hz * (1.0 + 1e-9)
    _, more = optimum(topology, limited, rounds=rounds + 1)
    assert more.optimum_hz >= fewer.optimum_hz * (1.0 - 1e-9)


def test_a_round_on_two_equal_pairs_consumes_two() -> None:
    """One link of fidelity 0.85: F' = 0.884146, p_pur = 0.82 (2.2), so z = (2/3) 0.82 (g/2) for g consumed:
    each of the two inputs is taken at rate s, g = 2 s, z = (2/3) p_pur s."""
    topology = network("AB", fidelity=0.85)
    request = ask("A", "B", limits=Limits(fidelity=0.88))
    graph, flow = optimum(topology, [request], rounds=1, steps=(0.005,))
    (arc,) = [arc for arc in flow.arcs_hz if arc.other is not None]
    assert arc.one == arc.other
    assert arc.gain == pytest.approx(2.0 / 3.0 * 0.82, rel=1e-12)
    assert flow.links_hz["A", "B"] == pytest.approx(264.2047554, abs=5e-8)  # q/t_g, the whole of both nodes
    assert flow.optimum_hz == pytest.approx(2.0 / 3.0 * 0.82 * 264.2047554 / 2.0, rel=1e-9)
    assert graph.fidelity_step == 0.005


def test_a_limit_that_a_link_just_keeps_is_kept_on_every_grid() -> None:
    """Bug: a link of 0.853 was rounded down to 0.85 and refused for a limit of 0.852."""
    topology = network("AB", fidelity=0.853)
    graph, flow = optimum(topology, [ask("A", "B", limits=Limits(fidelity=0.852))], rounds=0, steps=(0.1,))
    assert graph.delivered["r"]
    assert flow.optimum_hz == pytest.approx(264.2047554, abs=5e-8)


def test_requests_without_limit_keep_their_rate_beside_limited_ones() -> None:
    """Bug: one limited request made pairs below 1/2 disappear for all."""
    names = "ABCDEFG"
    links = [a + b for a, b in pairwise(names)]
    topology = network(*links, "XY", fidelity=0.8)
    far, near = ask("A", "G", "far"), ask("X", "Y", "near", limits=Limits(fidelity=0.8))
    _, alone = optimum(topology, [far])
    _, both = optimum(topology, [far, near], "total")
    assert sum(both.delivered_hz["far"].values()) == pytest.approx(alone.optimum_hz, rel=1e-9)


def test_a_hypergraph_that_grows_too_large_gets_a_coarser_grid_and_then_fewer_rounds() -> None:
    topology = network("AR", "RS", "SB", "AS", "RB", fidelity=0.93)
    asked = [ask("A", "B", limits=Limits(fidelity=0.84))]

    def graph_of(arcs_max: int) -> Hypergraph:
        return hypergraph(Residual(topology), asked, Options(rounds=2), (0.005, 0.02), arcs_max)

    fine = graph_of(100_000)
    assert (fine.fidelity_step, fine.rounds) == (0.005, 2)
    coarse = graph_of(len(fine.arcs) - 1)
    assert (coarse.fidelity_step, coarse.rounds) == (0.02, 2)
    assert len(coarse.arcs) < len(fine.arcs)
    fewer = graph_of(30)
    assert fewer.rounds < 2
    assert fewer.delivered["r"]
    with pytest.raises(NoPlan, match="more than 1 swaps could serve the fidelities"):
        graph_of(1)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    st.sampled_from([0.005, 0.03, 0.1]),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
    st.sampled_from([1.0, 0.98, 0.9]),
    st.sampled_from([1.0, 0.99, 0.95]),
)
def test_levels_promise_no_more_than_pairs_have(
    step: float, f: float, h: float, gate: float, readout: float
) -> None:
    grid = FidelityGrid(step, [0.853])
    one, other = grid.level(f), grid.level(h)
    assert grid.fidelity(one) <= max(f, 0.25) + 1e-12
    assert f - grid.fidelity(one) <= step + 1e-9 or f < 0.25 + step
    assert grid.least(0.853) == grid.level(0.853)
    w = (4 * grid.fidelity(one) - 1) / 3 * (4 * grid.fidelity(other) - 1) / 3 * 0.99
    assert grid.fidelity(grid.swapped(one, other, 0.99)) <= (1 + 3 * w) / 4 + 1e-12
    gates = ((gate, gate), (readout, readout))
    result = grid.purified(one, other, gates)
    done = purification(
        werner(grid.fidelity(one)),
        werner(grid.fidelity(other)),
        "bbpssw",
        gate_fidelities=gates[0],
        readout_fidelities=gates[1],
    )
    assert grid.fidelity(result.level) <= max(done.state[0], 0.25) + 1e-12
    assert result.success_probability == done.success_probability
    if gate == readout == 1.0:
        assert done.state[0] == pytest.approx(bbpssw(grid.fidelity(one), grid.fidelity(other)).state[0])


@settings(deadline=None, derandomize=True, max_examples=150)
@given(st.sampled_from([0.02, 0.05]), st.integers(0, 60), st.integers(0, 60), st.floats(0.7, 1.0))
def test_needed_inputs_are_the_lowest_that_do(step: float, best: int, product: int, noise: float) -> None:
    grid = FidelityGrid(step)
    best, product = best % grid.above, product % grid.above
    lowest = grid.swap_input(best, product, noise)
    assert lowest == next(
        (level for level in range(grid.above) if grid.swapped(level, best, noise) >= product), grid.above
    )
    gates = PERFECT_GATES
    for level in range(1, product):
        lifted = any(
            product <= grid.purified(max(level, other), min(level, other), gates).level > max(level, other)
            for other in range(1, best + 1)
        )
        if lifted:
            assert grid.round_input(best, product, gates) <= level


def test_pairs_of_noisy_gates_are_not_promised_the_fidelity_of_perfect_ones() -> None:
    """Bug: rounds were taken as perfect, whatever the gates of the nodes."""
    request = ask("A", "B", limits=Limits(fidelity=0.88))
    good, _ = optimum(network("AB", fidelity=0.85), [request], steps=(0.005,))
    poor, _ = optimum(network("AB", fidelity=0.85, gate_fidelity=0.95), [request], steps=(0.005,))
    assert good.delivered["r"]
    assert not poor.delivered["r"]


def test_rounds_in_a_row_are_counted() -> None:
    """A slow good link, and a fast way round that makes poor pairs: three rounds lift them, one does not."""
    nodes = {name: Node(name=name, attempts_hz=1e9, swap_probability=1.0) for name in "ABR"}
    good = replace(link_between(nodes["A"], nodes["B"], 10.0, fidelity=0.98), capacity_hz=1.0)
    poor = [
        replace(link_between(nodes[name], nodes["R"], 10.0, fidelity=0.87), capacity_hz=1000.0)
        for name in "AB"
    ]
    topology = Topology.of(nodes.values(), [good, *poor])
    asked = [ask("A", "B", limits=Limits(fidelity=0.85))]
    rates = []
    for rounds in (1, 3):
        graph, flow = optimum(topology, asked, rounds=rounds, steps=(0.01,))
        assert graph.rounds == rounds
        values = [0.25, *values_of(0.01, {0.85, 0.87, 0.98})]
        assert flow.optimum_hz == pytest.approx(levels_optimum(topology, asked, values, rounds), rel=1e-7)
        rates.append(flow.optimum_hz)
    assert rates[0] == pytest.approx(1.0, rel=1e-9)
    assert rates[1] > 10.0
