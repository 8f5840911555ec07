"""Routes and plans: which way a request goes, what every node is told, and why there is sometimes no plan.

Owns the tests of planner/usable.py, routes.py and plans.py, on networks written as lab files.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from bellwire.core.plans import Circumstances, EntanglementRequest, RequestPlan
from bellwire.core.settings import NetworkSettings
from bellwire.labs import load_lab
from bellwire.planner.lane_times import link_latency_s
from bellwire.planner.plans import choose_route, compute_plan, predict
from bellwire.planner.usable import usable_network

LABS = Path(__file__).parents[2] / "lab_configs"


def network(
    folder: Path, links: dict[str, dict[str, Any]], ends: str = "a z", **memory: Any
) -> NetworkSettings:
    """A network of textbook links; nodes are named in the links, `ends` are end nodes."""
    names = sorted({name for link in links.values() for name in link["nodes"]})
    attempt = {"period_us": 100, "success_probability": 0.1, "fidelity": 0.97}
    path = folder / "net.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "lab": "net",
                "nodes": {
                    name: {
                        "role": "end" if name in ends.split() else "repeater",
                        "memory": {"t1_s": None, "t2_s": None, "bsm_duration_us": 0, **memory},
                    }
                    for name in names
                },
                "links": {name: {"attempt": attempt, **link} for name, link in links.items()},
            }
        ),
        encoding="utf-8",
    )
    return load_lab(path).network


def chain(folder: Path, names: str, **memory: Any) -> NetworkSettings:
    return network(folder, {f"{a}{b}": {"nodes": [a, b]} for a, b in pairwise(names)}, **memory)


def asked(source: str = "a", target: str = "z", **terms: Any) -> EntanglementRequest:
    return EntanglementRequest(request_id="r", target_nodes=(source, target), count=1, **terms)


def planned(net: NetworkSettings, request: EntanglementRequest) -> RequestPlan:
    plan = compute_plan(net, request, 1)
    assert isinstance(plan, RequestPlan), plan
    return plan


def refusal(net: NetworkSettings, request: EntanglementRequest, avoid: tuple[str, ...] = ()) -> str:
    reason = compute_plan(net, request, 1, Circumstances(avoid=avoid))
    assert isinstance(reason, str)
    return reason


def test_every_node_of_the_route_gets_its_part(tmp_path: Path) -> None:
    plan = planned(chain(tmp_path, "abcdz"), asked(priority=3, cutoff_ns=7, rounds=True))
    assert plan.tree == "(((a b) (b c)) ((c d) (d z)))"
    assert list(plan.nodes) == ["a", "b", "c", "d", "z"]
    assert [part.role for part in plan.nodes.values()] == ["source", "inner", "inner", "inner", "destination"]
    assert [[link.link for link in part.links] for part in plan.nodes.values()] == [
        ["ab"],
        ["ab", "bc"],
        ["bc", "cd"],
        ["cd", "dz"],
        ["dz"],
    ]
    assert [[link.partner for link in part.links] for part in plan.nodes.values()] == [
        ["b"],
        ["a", "c"],
        ["b", "d"],
        ["c", "z"],
        ["d"],
    ]
    assert {link.weight for part in plan.nodes.values() for link in part.links} == {3}
    assert plan.nodes["a"].swaps == ()
    assert plan.nodes["z"].swaps == ()
    (root,), (left,) = plan.nodes["c"].swaps, plan.nodes["b"].swaps
    assert (root.left_link, root.right_link) == ("bc", "cd")
    assert (root.left_partner, root.right_partner, root.depth) == ("a", "z", 0)
    assert (root.inner_left, root.inner_right) == (("b",), ("d",))
    assert (left.left_partner, left.right_partner, left.depth) == ("a", "c", 1)
    assert (left.inner_left, left.inner_right) == ((), ())
    assert (root.rounds, root.policy) == (True, "swap_asap")
    assert {part.cutoff_ns for part in plan.nodes.values()} == {7}
    assert {part.version for part in plan.nodes.values()} == {1}
    assert {part.lease_ns for part in plan.nodes.values()} == {3_000_000_000}


def test_the_plan_is_the_same_whoever_computes_it(tmp_path: Path) -> None:
    net = chain(tmp_path, "abcz")
    assert compute_plan(net, asked(), 4) == compute_plan(net, asked(), 4)


def test_a_direct_link_needs_no_swap(tmp_path: Path) -> None:
    plan = planned(network(tmp_path, {"az": {"nodes": ["a", "z"]}}), asked())
    assert plan.tree == "(a z)"
    assert plan.rate_hz == pytest.approx(1000, rel=1e-4)
    assert plan.fidelity == pytest.approx(0.97)
    assert all(part.swaps == () for part in plan.nodes.values())


def test_a_fixed_tree_throttles_links_and_swap_asap_does_not(tmp_path: Path) -> None:
    fast = {"attempt": {"period_us": 100, "success_probability": 0.5, "fidelity": 0.97}}
    net = network(tmp_path, {"ab": {"nodes": ["a", "b"]}, "bz": {"nodes": ["b", "z"], **fast}})
    full = planned(net, asked()).nodes["b"]
    slowed = planned(net, asked(generation_mode="fixed_tree")).nodes["b"]
    assert [link.rate_hz for link in full.links] == pytest.approx([1000, 5000], rel=1e-4)
    assert [link.rate_hz for link in slowed.links] == pytest.approx([1000, 1000], rel=1e-4)


def test_the_faster_detour_wins_over_the_slow_direct_link(tmp_path: Path) -> None:
    slow = {"attempt": {"period_us": 100, "success_probability": 0.001, "fidelity": 0.97}}
    net = network(
        tmp_path,
        {"az": {"nodes": ["a", "z"], **slow}, "ab": {"nodes": ["a", "b"]}, "bz": {"nodes": ["b", "z"]}},
    )
    assert planned(net, asked()).nodes["a"].route == ("a", "b", "z")
    # A swap costs fidelity: whoever wants more than the detour gives takes the slow link.
    assert planned(net, asked(fidelity_threshold=0.95)).nodes["a"].route == ("a", "z")


def test_fewer_swaps_win_between_equally_fast_links(tmp_path: Path) -> None:
    pairs = ("ab", "bz", "ac", "cd", "dz")
    net = network(tmp_path, {pair: {"nodes": list(pair)} for pair in pairs})
    assert planned(net, asked()).nodes["a"].route == ("a", "b", "z")


def test_a_route_in_the_request_is_obeyed(tmp_path: Path) -> None:
    pairs = ("ab", "bz", "ac", "cd", "dz")
    net = network(tmp_path, {pair: {"nodes": list(pair)} for pair in pairs})
    assert planned(net, asked(route=("a", "c", "d", "z"))).nodes["a"].route == ("a", "c", "d", "z")
    assert refusal(net, asked(route=("a", "d", "z"))) == "no usable link between a and d on the route a-d-z"


def test_silent_nodes_are_avoided(tmp_path: Path) -> None:
    pairs = ("ab", "bz", "ac", "cd", "dz")
    net = network(tmp_path, {pair: {"nodes": list(pair)} for pair in pairs})
    plan = compute_plan(net, asked(), 2, Circumstances(avoid=("b",)))
    assert isinstance(plan, RequestPlan)
    assert plan.nodes["a"].route == ("a", "c", "d", "z")
    assert refusal(net, asked(), ("b", "d")) == "no route between a and z"
    assert refusal(net, asked(), ("z",)) == "unknown or silent node z"


def test_end_nodes_do_not_relay_for_others(tmp_path: Path) -> None:
    pairs = ("ab", "bz", "ac", "cd", "dz")
    net = network(tmp_path, {pair: {"nodes": list(pair)} for pair in pairs}, ends="a b z")
    assert planned(net, asked()).nodes["a"].route == ("a", "c", "d", "z")


def test_a_silent_station_takes_its_link_away() -> None:
    net = load_lab(LABS / "three_node_repeater.yaml").network
    assert refusal(net, asked("alice", "bob"), ("west",)) == "no route between alice and bob"


def test_unconnected_nodes_have_no_route(tmp_path: Path) -> None:
    net = network(tmp_path, {"ab": {"nodes": ["a", "b"]}, "cz": {"nodes": ["c", "z"]}})
    assert refusal(net, asked()) == "no route between a and z"


def test_an_unreachable_fidelity_names_the_best_that_can_be_had(tmp_path: Path) -> None:
    reason = refusal(
        chain(tmp_path, "abz", gate_fidelity=1, readout_fidelity=1), asked(fidelity_threshold=0.97)
    )
    # Two Werner links of 0.97 swapped without waiting: F = 0.97^2 + 0.03^2 / 3 = 0.9412.
    assert reason == "fidelity 0.97 cannot be reached: at most 0.941 over a-b-z"


def test_a_cutoff_lets_a_request_hope_for_more_than_the_mean(tmp_path: Path) -> None:
    net = chain(tmp_path, "abz", t2_s=0.01, t1_s=10)
    mean = predict(net, asked())
    assert not isinstance(mean, str)
    wanted = mean.fidelity + 0.01
    assert "cannot be reached" in refusal(net, asked(fidelity_threshold=wanted))
    assert isinstance(
        compute_plan(net, asked(fidelity_threshold=wanted, cutoff_ns=1_000_000), 1), RequestPlan
    )


def test_a_rate_above_the_slowest_link_is_refused(tmp_path: Path) -> None:
    reason = refusal(chain(tmp_path, "abz"), asked(rate_threshold_hz=5000))
    assert reason == "rate 5000/s cannot be reached: a link of a-b-z makes at most 1000/s"


def test_an_unknown_mode_names_the_nearest(tmp_path: Path) -> None:
    reason = refusal(chain(tmp_path, "abz"), asked(generation_mode="swap_asp"))
    assert reason == 'unknown generation mode "swap_asp" (did you mean "swap_asap"?)'


def test_reserved_links_serve_their_request_only(tmp_path: Path) -> None:
    path = tmp_path / "lab.yaml"
    path.write_text(
        """\
lab: parallel
nodes: {a: {role: end}, z: {role: end}}
links:
  open: {nodes: [a, z], lanes: 4, attempt: {period_us: 100, success_probability: 0.1}}
  mine: {nodes: [a, z], lanes: 9, reserved_for: r, attempt: {period_us: 100, success_probability: 0.1}}
requests:
  - {id: r, from: a, to: z, count: 1}
  - {id: s, from: a, to: z, count: 1}
""",
        encoding="utf-8",
    )
    lab = load_lab(path)
    links = [planned(lab.network, request).nodes["a"].links[0].link for request in lab.requests]
    assert links == ["mine", "open"]
    slower = path.read_text(encoding="utf-8").replace("lanes: 9", "lanes: 1")
    path.write_text(slower, encoding="utf-8")
    lab = load_lab(path)
    links = [planned(lab.network, request).nodes["a"].links[0].link for request in lab.requests]
    assert links == ["mine", "open"]


def test_of_parallel_links_the_faster_is_taken(tmp_path: Path) -> None:
    net = network(tmp_path, {"one": {"nodes": ["a", "z"]}, "two": {"nodes": ["z", "a"], "lanes": 2}})
    link = usable_network(net).link("a", "z")
    assert link is not None
    assert link.link == "two"
    assert link_latency_s(link) == pytest.approx(0.0005, rel=1e-4)


@pytest.mark.parametrize(
    ("lab", "rate_hz", "tolerance"),
    [
        # Exact waiting times in attempts of 100 us (12.1); the 3/2 rule lies above them by 2, 6 and 11 %.
        ("textbook_two_segments", 1e4 / 29.47368421, 0.03),
        ("textbook_doubling_4", 1e4 / 84.817580, 0.07),
        ("textbook_doubling_8", 1e4 / 242.348372, 0.12),
        # Simulated chain of five nodes with five lanes.
        ("w1_chain_5", 130, 0.05),
    ],
)
def test_predictions_stand_near_known_rates(lab: str, rate_hz: float, tolerance: float) -> None:
    loaded = load_lab(LABS / f"{lab}.yaml")
    expected = predict(loaded.network, loaded.requests[0])
    assert not isinstance(expected, str)
    assert expected.rate_hz == pytest.approx(rate_hz, rel=tolerance)


@pytest.mark.parametrize("path", sorted(LABS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_request_of_the_shipped_labs_can_be_planned(path: Path) -> None:
    lab = load_lab(path)
    for request in lab.requests:
        if request.entanglement_sequence:
            continue  # each of its pairs has a plan of its own: tests/simulation/test_circuits.py
        plan = planned(lab.network, request)
        if request.entanglement_type != "bipartite":
            continue  # its tree of links is no route
        route = choose_route(lab.network, request)
        assert not isinstance(route, str)
        assert tuple(plan.nodes) == route.nodes
        assert sum(len(part.swaps) for part in plan.nodes.values()) == len(route.nodes) - 2
