"""Batches planned by the level-based optimum: trees that fit, promises that hold, one sentence a refusal.

Owns the tests of batch/optimum.py, seating.py, executable.py and engines.py.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.bell import werner
from bellwire.core.errors import ConfigError
from bellwire.planner.assessment import outlook
from bellwire.planner.batch import engines
from bellwire.planner.batch.batch_plan import BatchPlan
from bellwire.planner.batch.optimum import plan_levels
from bellwire.planner.batch.solvers import Objective, Solver
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.methods import plan_pair
from bellwire.planner.requests import Limits, Options, PairRequest
from bellwire.planner.structures import PurifyNode, SwapNode, Tree, leaves, retimed, route_of
from bellwire.planner.topology import Node, Topology, link_between, pair_of
from tests.planner.batch.test_levels import SOLVERS, ask, batches, network, optimum


def chances_of(tree: Tree, topology: Topology) -> None:
    """Every round's p_pur is that of the states as they arrive."""
    if isinstance(tree, SwapNode):
        chances_of(tree.one, topology)
        chances_of(tree.other, topology)
    if isinstance(tree, PurifyNode):
        whole = outlook(tree, topology).success_probability
        for child in (tree.kept, tree.measured):
            whole /= outlook(child, topology).success_probability
            chances_of(child, topology)
        assert tree.success_probability == pytest.approx(whole, rel=1e-9)


@pytest.mark.slow
@settings(deadline=None, derandomize=True, max_examples=100)
@given(
    batches(5),
    st.sampled_from(["total", "max_min"]),
    st.sampled_from([None, 0.7, 0.85, 0.93]),
    st.sampled_from([0.01, 1.0]),
)
def test_executable_trees_never_exceed_any_capacity_or_break_a_limit(
    batch: tuple[Topology, list[PairRequest]], objective: Objective, limit: float | None, decay_hz: float
) -> None:
    topology, asked = batch
    nodes = [replace(node, decay_hz=(decay_hz,) * 3) for node in topology.nodes.values()]
    topology = Topology.of(nodes, topology.links.values())
    asked[0] = replace(asked[0], limits=Limits(fidelity=limit))
    residual = Residual(topology)
    options = Options(rounds=1)
    plan = plan_levels(residual, asked, objective, options=options, allow_unserved=True)
    spent = dict.fromkeys(topology.nodes, 0.0)
    held = dict.fromkeys(topology.nodes, 0)
    carried = dict.fromkeys(topology.links, 0.0)
    for share in plan.shares:
        for each in share.trees:
            if share.request == "r0" and limit is not None:
                assert outlook(each.tree, topology).state[0] >= limit
            chances_of(each.tree, topology)
            assert retimed(each.tree, topology).latency_s == pytest.approx(each.latency_s, rel=1e-9)
            for leaf in leaves(each.tree):
                pair = pair_of(leaf.left, leaf.right)
                carried[pair] += 1.0 / leaf.latency_s
                for name in pair:
                    spent[name] += 1.0 / leaf.latency_s / topology.links[pair].success_probability
                    held[name] += 1
    for pair, rate_hz in carried.items():
        assert rate_hz <= topology.links[pair].capacity_hz * (1.0 + 1e-9)
    for name, node in topology.nodes.items():
        assert spent[name] <= node.attempts_hz * (1.0 + 1e-9)
        assert held[name] <= node.memories
    assert residual.lacks(plan.use) is None
    assert {*plan.unserved, *(share.request for share in plan.shares)} == {each.request for each in asked}
    assert plan.bound_hz is not None
    if objective == "total":
        whole_hz = sum(share.rate_hz * asked[int(share.request[1:])].weight for share in plan.shares)
        assert whole_hz <= plan.bound_hz * (1.0 + 1e-9)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(batches(5), st.sampled_from(["total", "max_min"]))
def test_without_times_and_with_many_memories_the_optimum_is_delivered(
    batch: tuple[Topology, list[PairRequest]], objective: Objective
) -> None:
    names = list(batch[0].nodes)
    nodes = [replace(node, swap_s=0.0, memories=10_000) for node in batch[0].nodes.values()]
    still = {pair_of(a, b): 0.0 for a in names for b in names if a < b}
    topology = Topology.of(nodes, batch[0].links.values(), delays_s=still)
    free = Limits(age_s=math.inf)
    asked = [replace(each, limits=free) for each in batch[1]]
    plan = plan_levels(Residual(topology), asked, objective, allow_unserved=True)
    weights = {each.request: each.weight for each in asked}
    assert plan.bound_hz is not None
    if objective == "total":
        made_hz = sum(share.rate_hz * weights[share.request] for share in plan.shares)
    else:
        made_hz = min((share.rate_hz / weights[share.request] for share in plan.shares), default=0.0)
    assert made_hz == pytest.approx(plan.bound_hz, rel=1e-9)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_line_gets_a_tree_near_the_worked_optimum(solver: Solver) -> None:
    """Through the middle 35.2273/s at zero times; t_b = 10 us and no places known: T = 1/z + t_b/p_b."""
    still = {("A", "B"): 0.0, ("A", "R"): 0.0, ("B", "R"): 0.0}
    line = network("AR", "RB")
    topology = Topology.of(line.nodes.values(), line.links.values(), delays_s=still)
    plan = plan_levels(Residual(topology), [ask("B", "A")], solver=solver)
    (share,) = plan.shares
    (tree,) = share.trees
    assert (tree.source, tree.destination) == ("B", "A")
    assert tree.latency_s == pytest.approx(1.0 / 35.22730071610976 + 10e-6 / 0.4, rel=1e-9)
    assert plan.bound_hz == pytest.approx(35.22730072, abs=5e-9)
    assert plan.method == f"levels {solver}"


def test_one_long_route_beats_the_best_single_tree_by_using_both_orders() -> None:
    topology = network("AR", "RS", "SB")
    residual = Residual(topology)
    plan = plan_levels(residual, [ask("A", "B")])
    alone = plan_pair(residual, ask("A", "B"))
    assert len(plan.shares[0].trees) == 2
    assert plan.total_rate_hz > 1.1 * alone.rate_hz


def test_what_other_plans_took_is_left_alone() -> None:
    topology = network("AR", "RB")
    residual = Residual(topology)
    whole = plan_levels(residual, [ask("A", "B")])
    residual.claim("other", plan_pair(residual, ask("A", "R", "other")).use)
    rest = plan_levels(residual, [ask("A", "B")])
    assert 0.0 < rest.total_rate_hz < whole.total_rate_hz
    assert residual.lacks(rest.use) is None
    assert residual.lacks(whole.use) is not None


def test_a_channel_that_others_use_has_only_the_rest_to_give() -> None:
    nodes = {name: Node(name=name, attempts_hz=math.inf) for name in "AB"}
    link = replace(link_between(nodes["A"], nodes["B"], 10.0), capacity_hz=100.0)
    residual = Residual(Topology.of(nodes.values(), [link]))
    part = plan_levels(residual, [ask("A", "B", rate_hz=60.0)])
    assert part.total_rate_hz == pytest.approx(60.0, rel=1e-9)
    residual.claim("other", part.use)
    rest = plan_levels(residual, [ask("A", "B")])
    assert rest.bound_hz == pytest.approx(40.0, rel=1e-9)
    assert rest.total_rate_hz == pytest.approx(40.0, rel=1e-9)


def test_who_finds_no_memory_hears_where() -> None:
    """R has two memories for two requests that both swap there."""
    topology = network("AR", "BR", "CR", "DR", memories=2)
    asked = [ask("A", "B", "one"), ask("C", "D", "two")]
    plan = plan_levels(Residual(topology), asked, "max_min", allow_unserved=True)
    assert [share.request for share in plan.shares] == ["one"]
    assert plan.unserved == {"two": "C-D: R has 0 of 2 memories free, not 2"}
    with pytest.raises(NoPlan, match=r"^request two: C-D: R has 0 of 2 memories free, not 2$"):
        plan_levels(Residual(topology), asked, "max_min")


def test_who_has_another_way_leaves_the_memories_to_who_has_none() -> None:
    """The widest tree is A-R-B; it would take the two memories of R, which C-D cannot do without."""
    nodes = {name: Node(name=name, memories=2 if name == "R" else 5) for name in "ABCDRS"}
    links = [link_between(nodes[a], nodes[b], 10.0) for a, b in ("AR", "BR", "BS", "DR")]
    links.append(replace(link_between(nodes["A"], nodes["S"], 10.0), capacity_hz=30.0))
    links.append(replace(link_between(nodes["C"], nodes["R"], 10.0), capacity_hz=20.0))
    topology = Topology.of(nodes.values(), links)
    asked = [ask("A", "B", "one"), ask("C", "D", "two")]
    _, flow = optimum(topology, asked)
    rates_hz = {name: sum(states.values()) for name, states in flow.delivered_hz.items()}
    assert rates_hz["two"] == pytest.approx(2.0 / 3.0 * 0.4 * 20.0, rel=1e-9)
    assert rates_hz["one"] > 2.0 * rates_hz["two"]
    assert {arc.at for arc in flow.arcs_hz if arc.product.pair == ("A", "B")} == {"R", "S"}
    plan = plan_levels(Residual(topology), asked)
    (one,), (two,) = (share.trees for share in plan.shares)
    assert route_of(one.tree) == ("A", "S", "B")
    assert route_of(two.tree) == ("C", "R", "D")


def test_a_request_that_the_optimum_starves_is_named() -> None:
    """A-R is worth 264/s for the near request; the far one would take two of its pairs for a quarter."""
    topology = network("AR", "RB")
    asked = [ask("A", "R", "near"), ask("A", "B", "far")]
    with pytest.raises(
        NoPlan, match=r"request far: the optimum gives it nothing; another objective \(max_min\)"
    ):
        plan_levels(Residual(topology), asked)
    fair = plan_levels(Residual(topology), asked, "max_min")
    assert fair.min_rate_hz > 0.0
    assert [share.request for share in fair.shares] == ["near", "far"]


def test_a_limit_that_waiting_spoils_is_raised_until_rounds_make_up_for_it() -> None:
    """Fresh pairs keep 0.9; while one waits 1/g for the other they decay below, and a round lifts them."""
    still = {("A", "B"): 0.0, ("A", "R"): 0.0, ("B", "R"): 0.0}
    line = network("AR", "RB", fidelity=0.953, decay_hz=(0.5, 0.5, 0.5))
    topology = Topology.of(line.nodes.values(), line.links.values(), delays_s=still)
    limit = 0.899
    request = ask("A", "B", limits=Limits(fidelity=limit))
    graph, flow = optimum(topology, [request], rounds=0, steps=(0.005,))
    assert flow.optimum_hz == pytest.approx(35.22730072, abs=5e-9)  # the programme sees no waiting
    assert graph.delivered["r"]
    told: list[str] = []
    plan = plan_levels(Residual(topology), [request], told=told.append)
    assert told.count("solver") > 1
    for tree in plan.shares[0].trees:
        assert tree.fidelity >= limit
        assert any(isinstance(part, PurifyNode) for part in parts_of(tree.tree))
    assert plan.bound_hz is not None
    assert plan.bound_hz == pytest.approx(35.22730072, abs=5e-9)
    with pytest.raises(NoPlan, match=r"request r: A-B: fidelity 0\.899 is not reached: at most 0\.89"):
        plan_levels(Residual(topology), [request], options=Options(rounds=0))


def test_limits_are_raised_each_as_far_as_its_request_needs() -> None:
    """Alone, A-B needs three steps and C-D five: what A-B has gained must outlast the last steps of C-D."""
    slow, fast = (0.57, 0.57, 0.57), (0.6, 0.6, 0.6)
    nodes = {name: Node(name=name, decay_hz=slow if name in "ARB" else fast) for name in "ARBCSD"}
    links = [link_between(nodes[a], nodes[b], 10.0, fidelity=0.953) for a, b in ("AR", "RB", "CS", "SD")]
    still = {(a, b): 0.0 for a in nodes for b in nodes if a < b}
    topology = Topology.of(nodes.values(), links, delays_s=still)
    asked = [ask(a, b, a + b, limits=Limits(fidelity=0.899)) for a, b in ("AB", "CD")]
    told: list[str] = []
    plan = plan_levels(Residual(topology), asked, options=Options(rounds=1), told=told.append)
    assert told.count("solver") == 6
    assert [share.request for share in plan.shares] == ["AB", "CD"]
    for share in plan.shares:
        assert share.fidelity >= 0.899


def parts_of(tree: Tree) -> list[Tree]:
    match tree:
        case SwapNode():
            return [tree, *parts_of(tree.one), *parts_of(tree.other)]
        case PurifyNode():
            return [tree, *parts_of(tree.kept), *parts_of(tree.measured)]
        case _:
            return [tree]


# --- refusals ---------------------------------------------------------------------------------------------


def broken(**change: object) -> Topology:
    """A-R-B and a lone Z; R may lack something."""
    names = ("A", "R", "B", "Z")
    nodes = {name: Node(name=name, **(change if name == "R" else {})) for name in names}  # type: ignore[arg-type]
    links = [link_between(nodes[a], nodes[b], 10.0) for a, b in ("AR", "RB")]
    return Topology.of(nodes.values(), links)


@pytest.mark.parametrize(
    ("asked", "change", "words"),
    [
        ([("A", "Q", None)], {}, 'unknown node "Q"'),
        ([("A", "Z", None)], {}, "request r0: no route between A and Z: the network has no path of links"),
        ([("A", "B", 0.9999)], {}, "request r0: fidelity 0.9999 cannot be reached between A and B with 2"),
        ([("A", "B", None)], {"attempts_hz": 0.0}, "request r0: no route between A and B is left"),
        ([("A", "B", None)], {"memories": 1}, "request r0: no route between A and B is left"),
        ([("A", "R", None)], {"memories": 0}, "request r0: A-R: R has no free memory"),
        ([("A", "B", None)], {"swap_probability": 0.0, "relays": True}, "no route between A and B is left"),
        ([("A", "R", None), ("A", "B", 0.9999)], {}, "request r1: fidelity 0.9999 cannot be reached"),
        ([("A", "B", 0.98)], {"decay_hz": (9.0, 9.0, 9.0)}, "request r0: .*fidelity 0.98 is not reached"),
    ],
)
def test_what_cannot_be_had_is_one_clear_sentence(
    asked: list[tuple[str, str, float | None]], change: dict[str, object], words: str
) -> None:
    requests = [
        ask(a, b, f"r{index}", limits=Limits(fidelity=limit)) for index, (a, b, limit) in enumerate(asked)
    ]
    with pytest.raises(ConfigError, match=words) as refusal:
        plan_levels(Residual(broken(**change)), requests, options=Options(rounds=2))
    assert "\n" not in str(refusal.value)


def test_two_requests_of_one_name_are_refused() -> None:
    with pytest.raises(NoPlan, match='two requests are called "r"'):
        plan_levels(Residual(broken()), [ask("A", "B"), ask("A", "R")])


def test_a_node_to_be_avoided_is_named() -> None:
    with pytest.raises(NoPlan, match="request r: A-B: A is to be avoided"):
        plan_levels(Residual(broken()), [ask("A", "B")], options=Options(avoid=frozenset("A")))
    with pytest.raises(NoPlan, match="request r: no route between A and B is left"):
        plan_levels(Residual(broken()), [ask("A", "B")], options=Options(avoid=frozenset("R")))


@pytest.mark.parametrize("objective", ["total", "max_min"])
def test_who_cannot_be_served_is_listed_when_that_is_allowed(objective: Objective) -> None:
    asked = [ask("A", "Z", "lost"), ask("A", "B", "found")]
    plan = plan_levels(Residual(broken()), asked, objective, allow_unserved=True)
    assert [share.request for share in plan.shares] == ["found"]
    assert plan.unserved == {"lost": "no route between A and Z: the network has no path of links"}
    assert plan.bound_hz == pytest.approx(35.22730072, abs=5e-9)
    nobody = plan_levels(Residual(broken()), asked[:1], objective, allow_unserved=True)
    assert (nobody.shares, nobody.bound_hz) == ((), 0.0)


def test_a_missing_solver_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(engines.pulp.PULP_CBC_CMD, "pulp_cbc_path", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match=r'solver "cbc" is not installed at .*nowhere: use "highs"'):
        plan_levels(Residual(broken()), [ask("A", "B")], solver="cbc")


# --- moments, silence, files ------------------------------------------------------------------------------


def test_highs_runs_between_the_moments_that_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    made: Callable[[], Any] = engines.highspy.Highs

    class Watched:
        """HiGHS, telling when it takes a model and when it runs."""

        def __init__(self) -> None:
            self._highs = made()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._highs, name)

        def passModel(self, model: Any) -> Any:  # noqa: N802 # the name is that of HiGHS
            told.append("(takes the model)")
            return self._highs.passModel(model)

        def run(self) -> Any:
            told.append("(begins)")
            result = self._highs.run()
            told.append("(ends)")
            return result

    monkeypatch.setattr(engines.highspy, "Highs", Watched)
    plan_levels(Residual(broken()), [ask("A", "B")], told=told.append)
    assert told == [
        *("graph", "model", "(takes the model)", "solver", "(begins)", "(ends)", "answer", "trees"),
    ]


def test_cbc_runs_between_the_moments_that_say_so_and_leaves_no_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The model stands in a file when the process is about to start, and the answer when it has ended."""
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)  # ask the environment again
    monkeypatch.chdir(tmp_path)
    files: dict[str, list[str]] = {}

    def told(moment: str) -> None:
        files[moment] = sorted(each.suffix for each in tmp_path.rglob("*") if each.is_file())

    plan_levels(Residual(broken()), [ask("A", "B")], solver="cbc", told=told)
    assert list(files) == ["graph", "model", "solver", "answer", "trees"]
    assert files["model"] == []
    assert files["solver"] == [".mps"]
    assert files["answer"] == [".mps", ".sol"]
    assert files["trees"] == []
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_of_cbc_leaves_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)

    def told(moment: str) -> None:
        if moment == "solver":
            assert list(tmp_path.rglob("*.mps"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plan_levels(Residual(broken()), [ask("A", "B")], solver="cbc", told=told)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("solver", SOLVERS)
def test_solvers_print_nothing(solver: Solver, capfd: pytest.CaptureFixture[str]) -> None:
    plan_levels(Residual(broken()), [ask("A", "B")], solver=solver)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("solver", SOLVERS)
def test_one_batch_has_one_plan(solver: Solver) -> None:
    topology = network("AR", "RB", "AS", "SB", fidelity=0.95)
    asked = [ask("A", "B", limits=Limits(fidelity=0.91)), ask("A", "R", "other")]

    def planned() -> BatchPlan:
        return plan_levels(Residual(topology), asked, "max_min", solver, Options(rounds=1))

    first = planned()
    assert first == planned()
    assert len(first.shares) == 2


def test_links_of_another_kind_of_error_are_checked_at_the_end() -> None:
    """Levels take states as Werner; two links that err in different ways make less, and the plan knows."""
    line = network("AR", "RB")
    links = [
        replace(line.links["A", "R"], state=(0.9, 0.1, 0.0, 0.0)),
        replace(line.links["B", "R"], state=(0.9, 0.0, 0.1, 0.0)),
    ]
    quiet = [
        replace(node, decay_hz=(0.0, 0.0, 0.0), swap_noise=(1.0, 0.0, 0.0, 0.0))
        for node in line.nodes.values()
    ]
    topology = Topology.of(quiet, links)
    request = ask("A", "B", limits=Limits(fidelity=0.812))  # 0.9 x 0.9 = 0.81; as Werner states 0.8133
    with pytest.raises(NoPlan, match=r"fidelity 0\.812 is not reached: at most 0\.81"):
        plan_levels(Residual(topology), [request], options=Options(rounds=0))
    werners = Topology.of(quiet, [replace(link, state=werner(0.9)) for link in links])
    plan = plan_levels(Residual(werners), [request], options=Options(rounds=0))
    assert plan.shares[0].fidelity == pytest.approx(0.9 * 0.9 + 0.1 * 0.1 / 3.0, rel=1e-12)
