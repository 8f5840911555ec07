"""What all methods for one pair have in common: names, scale, capacity, and clear refusals.

Owns the tests of planner/methods.py and those that run through every method of its table.
"""

import math
from dataclasses import replace
from importlib.metadata import EntryPoint

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.errors import ConfigError
from bellwire.planner import methods
from bellwire.planner.assessment import PairPlan
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.methods import ENTRY_POINTS, METHODS, known_methods, method_of, plan_pair
from bellwire.planner.requests import Limits, Options, PairRequest
from bellwire.planner.structures import LinkLeaf, leaves, route_of
from bellwire.planner.topology import Node, Topology, link_between, pair_of
from tests.planner.single.brute_force import networks
from tests.planner.single.test_exact import asked, chain

EXACT = ("dp", "dp-usage", "caleffi")
"""Methods that look at every tree of their kind, so that more of anything cannot harm them."""


def options_for(method: str, topology: Topology) -> Options:
    """The route of a line for the method that needs one."""
    return Options(route=tuple(topology.nodes)) if method == "route" else Options()


def scaled(topology: Topology, factor: float) -> Topology:
    """The same network with all its times longer by a factor."""
    nodes = [
        replace(
            node,
            attempts_hz=node.attempts_hz / factor,
            generation_s=node.generation_s * factor,
            swap_s=node.swap_s * factor,
            purification_s=node.purification_s * factor,
            decay_hz=tuple(rate / factor for rate in node.decay_hz),
        )
        for node in topology.nodes.values()
    ]
    links = [
        replace(
            link,
            capacity_hz=link.capacity_hz / factor,
            attempt_s=link.attempt_s * factor,
            success_s=link.success_s * factor,
        )
        for link in topology.links.values()
    ]
    names = list(topology.nodes)
    delays_s = {pair_of(a, b): topology.delay_s(a, b) * factor for a in names for b in names if a < b}
    return Topology.of(nodes, links, delays_s=delays_s)


def fake_method(residual: Residual, request: PairRequest, options: Options) -> PairPlan:
    """A method of another package: says who it is by refusing."""
    raise NoPlan("the other package was asked")


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another package registers a method of its own, and one under a name of ours."""
    here = f"{__name__}:fake_method"
    points = [EntryPoint("theirs", here, ENTRY_POINTS), EntryPoint("dp", here, ENTRY_POINTS)]

    def entry_points(*, group: str) -> list[EntryPoint]:
        return [point for point in points if point.group == group]

    monkeypatch.setattr(methods, "entry_points", entry_points)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_the_table_is_there_and_signs_its_plan(name: str) -> None:
    topology = chain(10.0, 10.0)
    found = plan_pair(Residual(topology), asked("A", "C"), name, options_for(name, topology))
    assert found.method == name
    assert (found.source, found.destination) == ("A", "C")
    assert route_of(found.tree) == ("A", "B", "C")
    assert found.rate_hz == pytest.approx(1.0 / found.latency_s, rel=1e-12)


def test_without_a_name_the_exact_programme_is_meant() -> None:
    assert plan_pair(Residual(chain(10.0, 10.0)), asked("A", "C")).method == "dp"


@pytest.mark.parametrize(("typed", "meant"), [("balance", "balanced"), ("DP", "dp"), ("calefi", "caleffi")])
def test_an_unknown_method_is_answered_with_the_nearest_name(typed: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f'unknown planning method "{typed}".*{meant}'):
        plan_pair(Residual(chain(10.0)), asked(), typed)


@pytest.mark.usefixtures("others")
def test_methods_of_other_packages_are_found() -> None:
    assert known_methods()["theirs"].endswith(":fake_method")
    assert method_of("theirs") is not None
    with pytest.raises(NoPlan, match="the other package was asked"):
        plan_pair(Residual(chain(10.0)), asked(), "theirs")


@pytest.mark.usefixtures("others")
def test_a_name_of_our_own_cannot_be_taken_over() -> None:
    assert known_methods()["dp"] == METHODS["dp"]
    assert plan_pair(Residual(chain(10.0)), asked(), "dp").method == "dp"


@settings(deadline=None, derandomize=True, max_examples=120)
@given(
    networks(5), st.sampled_from([name for name in METHODS if name != "route"]), st.sampled_from([1e-3, 7.0])
)
def test_all_times_longer_by_a_factor_make_plans_slower_by_it(
    topology: Topology, method: str, factor: float
) -> None:
    slow = scaled(topology, factor)
    for other in list(topology.nodes)[1:]:
        quick_request = asked("A", other, age_s=100.0)
        try:
            found = plan_pair(Residual(topology), quick_request, method)
        except NoPlan:
            with pytest.raises(NoPlan):
                plan_pair(Residual(slow), asked("A", other, age_s=100.0 * factor), method)
            continue
        later = plan_pair(Residual(slow), asked("A", other, age_s=100.0 * factor), method)
        assert later.latency_s == pytest.approx(factor * found.latency_s, rel=1e-9)
        assert later.fidelity == pytest.approx(found.fidelity, rel=1e-9)
        assert later.success_probability == pytest.approx(found.success_probability, rel=1e-9)
        assert later.ages_s == pytest.approx([factor * age_s for age_s in found.ages_s], rel=1e-9)
        for name, attempts_hz in found.use.attempts_hz.items():
            assert factor * later.use.attempts_hz[name] == pytest.approx(attempts_hz, rel=1e-9)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(networks(5), st.sampled_from(EXACT), st.floats(1.0, 4.0), st.integers(0, 100))
def test_more_capacity_at_a_node_never_makes_a_pair_slower(
    topology: Topology, method: str, more: float, pick: int
) -> None:
    names = list(topology.nodes)
    chosen = topology.nodes[names[pick % len(names)]]
    richer = replace(chosen, attempts_hz=chosen.attempts_hz * more, memories=chosen.memories + 1)
    better = Topology.of(
        [richer if node is chosen else node for node in topology.nodes.values()], topology.links.values()
    )
    for other in names[1:]:
        try:
            before_s = plan_pair(Residual(topology), asked("A", other, age_s=math.inf), method).latency_s
        except NoPlan:
            continue
        after_s = plan_pair(Residual(better), asked("A", other, age_s=math.inf), method).latency_s
        assert after_s <= before_s * (1.0 + 1e-12)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "caleffi"])
def test_plans_read_the_same_from_both_ends(name: str) -> None:
    """On a line whose halves mirror each other. A walk counts its hops from the other end."""
    topology = chain(10.0, 5.0, 5.0, 10.0)
    options = options_for(name, topology)
    there = plan_pair(Residual(topology), asked("A", "E"), name, options)
    back_options = replace(options, route=options.route and tuple(reversed(options.route)))
    back = plan_pair(Residual(topology), asked("E", "A"), name, back_options)
    assert back.latency_s == pytest.approx(there.latency_s, rel=1e-12)
    assert back.fidelity == pytest.approx(there.fidelity, rel=1e-12)
    assert [leaf.latency_s for leaf in leaves(back.tree)] == pytest.approx(
        [leaf.latency_s for leaf in leaves(there.tree)], rel=1e-9
    )


@pytest.mark.parametrize("name", [name for name in METHODS if name != "route"])
@pytest.mark.parametrize(
    ("change", "request_of", "words"),
    [
        ({}, lambda: asked("A", "Z"), 'unknown node "Z"'),
        ({}, lambda: asked("A", "D"), "no route between A and D"),
        ({}, lambda: asked("A", "C", fidelity=0.9999), r"fidelity 0\.9999"),
        ({}, lambda: asked("A", "C", age_s=1e-6), "limit 1e-06 s|keeps the limits|1e-06"),
        ({"attempts_hz": 0.0}, lambda: asked("A", "C"), "no route between A and C is left"),
        ({"memories": 1}, lambda: asked("A", "C"), "no route between A and C is left"),
        ({"memories": 0}, lambda: asked("A", "B"), "B has no free memory"),
        ({"relays": False}, lambda: asked("A", "C"), "no route between A and C is left"),
        ({"swap_probability": 0.0}, lambda: asked("A", "C"), "no route between A and C is left"),
    ],
)
def test_what_cannot_be_had_is_one_clear_sentence_in_every_method(
    name: str, change: dict[str, float], request_of: object, words: str
) -> None:
    line = chain(10.0, 10.0)
    middle = replace(line.nodes["B"], **change)  # type: ignore[arg-type]
    topology = Topology.of([line.nodes["A"], middle, line.nodes["C"], Node(name="D")], line.links.values())
    residual = Residual(topology)
    with pytest.raises(ConfigError, match=words) as caught:
        plan_pair(residual, request_of(), name)  # type: ignore[operator]
    assert "\n" not in str(caught.value)
    assert residual.taken == {}


@pytest.mark.parametrize("name", [name for name in METHODS if name != "route"])
def test_a_node_to_be_avoided_is_avoided(name: str) -> None:
    """A diamond: the better way leads over B; without it, over C; without both there is none."""
    nodes = {name: Node(name=name) for name in "ABCD"}
    lengths = {("A", "B"): 5.0, ("B", "D"): 5.0, ("A", "C"): 8.0, ("C", "D"): 8.0}
    topology = Topology.of(
        nodes.values(), [link_between(nodes[a], nodes[b], km) for (a, b), km in lengths.items()]
    )
    residual, request = Residual(topology), asked("A", "D")
    assert route_of(plan_pair(residual, request, name).tree) == ("A", "B", "D")
    around = plan_pair(residual, request, name, Options(avoid=frozenset("B")))
    assert route_of(around.tree) == ("A", "C", "D")
    with pytest.raises(NoPlan, match="is left"):
        plan_pair(residual, request, name, Options(avoid=frozenset("BC")))
    with pytest.raises(NoPlan, match="D is to be avoided"):
        plan_pair(residual, request, name, Options(avoid=frozenset("D")))


@pytest.mark.parametrize("name", METHODS)
def test_a_plan_fits_beside_what_is_taken_and_can_be_given_back(name: str) -> None:
    topology = chain(10.0, 10.0)
    residual = Residual(topology)
    found = plan_pair(residual, asked("A", "C"), name, options_for(name, topology))
    assert residual.taken == {}  # planning takes nothing
    residual.claim("r", found.use)
    assert residual.give_back("r") == found.use
    again = plan_pair(residual, asked("A", "C"), name, options_for(name, topology))
    assert again == found


@pytest.mark.parametrize(
    "make",
    [
        lambda: Limits(age_s=-1.0),
        lambda: Limits(age_s=math.nan),
        lambda: Limits(leaves=0),
        lambda: Limits(fidelity=1.01),
        lambda: Limits(fidelity=math.nan),
        lambda: Node(name="A", swap_probability=1.5),
        lambda: Node(name="A", attempts_hz=-1.0),
        lambda: Node(name="A", swap_s=math.inf),
        lambda: link_between(Node(name="A"), Node(name="B"), -1.0),
        lambda: link_between(Node(name="A"), Node(name="B"), math.nan),
    ],
)
def test_negative_and_non_finite_values_never_reach_a_search(make: object) -> None:
    with pytest.raises(ConfigError):
        make()  # type: ignore[operator]


def test_a_single_link_is_the_same_plan_to_every_method_of_half_capacity() -> None:
    topology = chain(10.0)
    for name in METHODS:
        found = plan_pair(Residual(topology), asked(), name, options_for(name, topology))
        assert isinstance(found.tree, LinkLeaf)
        expected_ms = 3.784943229 if name == "dp-usage" else 7.569886459
        assert 1e3 * found.latency_s == pytest.approx(expected_ms, abs=5e-10)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_a_node_to_avoid_that_does_not_exist_is_named(method: str) -> None:
    with pytest.raises(ConfigError, match='unknown node "Q"'):
        plan_pair(Residual(chain(10.0, 10.0)), asked("A", "C"), method, Options(avoid=frozenset({"Q"})))
