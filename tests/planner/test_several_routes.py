"""Several routes for one request: which go together, what they promise, and what is refused."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from bellwire.core.plans import Circumstances, EntanglementRequest, LinkRoom, RequestPlan
from bellwire.core.settings import NetworkSettings
from bellwire.labs.paper_network import PaperNetwork, paper_lab
from bellwire.planner.plans import compute_plan
from bellwire.planner.several_routes import ROUTES_MAX
from tests.planner.test_routes import network


def asked(routes_max: int, **terms: object) -> EntanglementRequest:
    wanted = EntanglementRequest(request_id="r", target_nodes=("a", "z"), count=1, routes_max=routes_max)
    return msgspec.structs.replace(wanted, **terms)


def planned(net: NetworkSettings, request: EntanglementRequest, **known: object) -> RequestPlan:
    plan = compute_plan(net, request, 1, msgspec.structs.replace(Circumstances(), **known))
    assert isinstance(plan, RequestPlan), plan
    return plan


def diamond(folder: Path, *inner: str) -> NetworkSettings:
    """Two hops from a to z over each inner node."""
    links = {f"{end}{node}": {"nodes": sorted((end, node))} for node in inner for end in "az"}
    return network(folder, links)


def routes_of(plan: RequestPlan) -> set[tuple[str, ...]]:
    return {route for node in plan.nodes.values() for route in node.routes}


def test_two_routes_over_a_diamond_promise_twice_what_one_does(tmp_path: Path) -> None:
    """Algorithms.md 1.7: the diamond is exactly twice the line."""
    net = diamond(tmp_path, "m", "n")
    one, two = planned(net, asked(1)), planned(net, asked(2))
    assert routes_of(two) == {("a", "m", "z"), ("a", "n", "z")}
    assert two.rate_hz == pytest.approx(2 * one.rate_hz)
    assert [swap.tree for name in "mn" for swap in two.nodes[name].swaps] == [0, 1]
    assert {part.tree for part in two.nodes["a"].links} == {0, 1}


def test_there_are_no_more_routes_than_wanted_and_no_more_than_exist(tmp_path: Path) -> None:
    net = diamond(tmp_path, "m", "n", "o")
    assert [len(routes_of(planned(net, asked(count)))) for count in range(1, 6)] == [1, 2, 3, 3, 3]


def test_a_route_that_brings_next_to_nothing_is_not_taken(tmp_path: Path) -> None:
    slow = {"period_us": 100, "success_probability": 0.0005}
    links = {
        "am": {"nodes": ["a", "m"]},
        "mz": {"nodes": ["m", "z"]},
        "an": {"nodes": ["a", "n"], "attempt": slow},
        "nz": {"nodes": ["n", "z"], "attempt": slow},
    }
    assert routes_of(planned(network(tmp_path, links), asked(2))) == {("a", "m", "z")}  # type: ignore[arg-type]


def test_a_link_without_room_is_in_none_of_the_routes(tmp_path: Path) -> None:
    net = diamond(tmp_path, "m", "n", "o")
    full = LinkRoom(link="an", lanes=0, weight=0)
    plan = planned(net, asked(3), room=(full,))
    assert routes_of(plan) == {("a", "m", "z"), ("a", "o", "z")}


@pytest.mark.parametrize("seed", range(1, 7))
def test_in_the_papers_network_routes_share_no_link_and_every_side_has_a_memory(seed: int) -> None:
    lab = paper_lab(PaperNetwork(seed=seed))
    request = msgspec.structs.replace(lab.requests[0], route=None, routes_max=4)
    plan = planned(lab.network, request)
    for name, node in plan.nodes.items():
        links = [part.link for part in node.links]
        assert len(set(links)) == len(links)
        memory = lab.network.nodes[name].memory
        assert memory is not None
        assert len(links) <= memory.slots
    one = planned(lab.network, msgspec.structs.replace(request, routes_max=1))
    assert plan.rate_hz > 1.1 * one.rate_hz


def test_ends_have_no_more_routes_than_memories() -> None:
    network = PaperNetwork(nodes=40, density=0.3, memories=2, seed=2)
    lab = paper_lab(network)
    request = msgspec.structs.replace(lab.requests[0], route=None, routes_max=5)
    assert len(routes_of(planned(lab.network, request))) == 2
    more = paper_lab(replace(network, memories=4))
    assert len(routes_of(planned(more.network, request))) == 4


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        (
            {"route": ("a", "m", "z")},
            "routes_max 2 does not go with a route or a tree: leave one of them out",
        ),
        ({"rate_threshold_hz": 5.0}, "routes_max 2 does not go with a wanted rate: leave one of them out"),
        ({"rounds": True}, "routes_max 2 does not go with textbook rounds: leave one of them out"),
        ({"routes_max": 0}, f"routes_max is 1 to {ROUTES_MAX}, not 0"),
        ({"routes_max": 9}, f"routes_max is 1 to {ROUTES_MAX}, not 9"),
    ],
)
def test_what_does_not_go_with_several_routes_is_refused_in_a_sentence(
    terms: dict[str, object], reason: str, tmp_path: Path
) -> None:
    net = diamond(tmp_path, "m", "n")
    assert compute_plan(net, msgspec.structs.replace(asked(2), **terms), 1) == reason
