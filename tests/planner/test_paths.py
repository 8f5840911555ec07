"""Path computation by name: what each way looks at, what its plans say, and what is refused in words."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellwire.core.path_words import PATH_TRAITS
from bellwire.core.plans import (
    Circumstances,
    EntanglementRequest,
    PresentPair,
    RequestPlan,
    StoreNews,
    store_request,
)
from bellwire.labs import Lab, build_lab
from bellwire.labs.models import LabFile
from bellwire.planner.entangled_topology import EntangledTopology
from bellwire.planner.paths import PATHS
from bellwire.planner.plans import compute_plan
from bellwire.planner.routes import route_along
from bellwire.planner.usable import usable_network
from bellwire.transport.request_records import fault_of

NONE: Mapping[str, float] = MappingProxyType({})
RING = (("a", "b"), ("b", "c"), ("c", "d"), ("a", "x"), ("x", "y"), ("y", "d"))
SWAP_PROBABILITY = 0.8
KEPT = {"mode": "continuous", "every_link": True, "fidelity_min": 0.7}


def ring(stores: dict[str, Any] | None = None, *, bank: int | None = None, **slower: float) -> Lab:
    """Two ways from a to d, over b and c or over x and y. slower: success probability of a link, by name."""
    return build_lab(LabFile.model_validate(ring_document(stores, bank, slower)))


def ring_document(
    stores: dict[str, Any] | None = None, bank: int | None = None, slower: Mapping[str, float] = NONE
) -> dict[str, Any]:
    """The same as a document, for labs with requests."""
    memory = {"bsm_success_probability": SWAP_PROBABILITY, "bsm_duration_us": 0.0, "bank": bank}
    return {
        "lab": "ring",
        "nodes": {
            name: {"role": "end" if name in "ad" else "repeater", "memory": memory} for name in "abcdxy"
        },
        "links": {
            f"{one}{other}": {
                "nodes": (one, other),
                "lanes": 2,
                "attempt": {
                    "period_us": 1000.0,
                    "success_probability": slower.get(f"{one}{other}", 0.1),
                    "fidelity": 0.97,
                },
            }
            for one, other in RING
        },
        "predistribution": stores or {},
    }


def asked(paths: str, **terms: Any) -> EntanglementRequest:
    return EntanglementRequest(request_id="r", target_nodes=("a", "d"), count=1, paths=paths, **terms)


def plan(lab: Lab, request: EntanglementRequest, circumstances: Circumstances) -> RequestPlan:
    found = compute_plan(lab.network, request, 1, circumstances)
    assert isinstance(found, RequestPlan), found
    return found


def pairs(*edges: str) -> Circumstances:
    return Circumstances(pairs=tuple(PresentPair(nodes=(one, other), fidelity=0.97) for one, other in edges))


def test_every_way_has_traits_and_a_computation() -> None:
    assert PATHS.keys() == PATH_TRAITS.keys() >= {"proactive", "reactive", "virtual", "opportunistic"}


@pytest.mark.parametrize(("present", "over"), [(("ab", "bc", "cd"), "b"), (("ax", "xy", "yd"), "x")])
def test_a_reactive_path_goes_where_the_ledger_has_pairs(present: tuple[str, ...], over: str) -> None:
    found = plan(ring(KEPT), asked("reactive"), pairs(*present))
    assert found.nodes["a"].route[1] == over


def test_a_reactive_path_takes_what_is_there_before_links_that_are_faster() -> None:
    lab = ring(KEPT, ax=0.01, xy=0.01, yd=0.01)
    assert plan(lab, asked("reactive"), pairs()).nodes["a"].route == tuple("abcd")
    assert plan(lab, asked("reactive"), pairs("ax", "xy", "yd")).nodes["a"].route == tuple("axyd")


def test_a_proactive_path_is_the_same_whatever_the_ledger_has() -> None:
    lab = ring(KEPT, ax=0.01, xy=0.01, yd=0.01)
    found = plan(lab, asked("proactive"), pairs("ax", "xy", "yd"))
    assert found.nodes["a"].route == tuple("abcd")
    assert not any(part.from_store or part.gathers for part in found.nodes.values())


def test_a_reactive_plan_makes_no_pairs_and_takes_one_of_each_link_from_its_store() -> None:
    found = plan(ring(KEPT), asked("reactive"), pairs("ab", "bc", "cd"))
    for name, part in found.nodes.items():
        assert part.gathers
        assert all(link.background and link.lanes == 0 for link in part.links)
        assert {(each.head, each.tail) for each in part.from_store} == {
            edge for edge in RING if name in edge and set(edge) <= set(part.route)
        }


def test_where_the_planner_sees_no_ledger_it_believes_the_heads_of_stores() -> None:
    told = tuple(
        StoreNews(super_link=store_request(one, other), pairs=1) for one, other in ("ax", "xy", "yd")
    )
    lab = ring(KEPT, ax=0.09, xy=0.09, yd=0.09)
    assert plan(lab, asked("reactive"), Circumstances(stores=told)).nodes["a"].route == tuple("axyd")
    assert plan(lab, asked("reactive"), Circumstances()).nodes["a"].route == tuple("abcd")


def test_a_path_that_failed_lately_comes_last() -> None:
    lab = ring(KEPT)
    first = plan(lab, asked("reactive"), pairs("ab", "bc", "cd"))
    again = msgspec.structs.replace(pairs("ab", "bc", "cd"), failed=(first.shape,))
    assert plan(lab, asked("reactive"), again).nodes["a"].route == tuple("axyd")


def test_an_opportunistic_path_waits_for_no_tree() -> None:
    found = plan(ring(KEPT), asked("opportunistic", generation_mode="fixed_tree"), Circumstances())
    assert {swap.policy for part in found.nodes.values() for swap in part.swaps} == {"swap_asap"}
    assert all(part.from_store for part in found.nodes.values())
    assert not any(part.gathers for part in found.nodes.values())


def test_a_virtual_path_leads_through_a_store_that_has_a_pair() -> None:
    lab = ring({"mode": "continuous", "super_links": (("x", "d"),)}, ax=0.09, xy=0.05, yd=0.05)
    assert lab.network.stores is not None
    (super_link,) = lab.network.stores.super_links
    told = Circumstances(stores=(StoreNews(super_link=super_link.request, pairs=2),))
    assert plan(lab, asked("virtual"), told).nodes["a"].route == tuple("axyd")
    assert plan(lab, asked("virtual"), Circumstances()).nodes["a"].route == tuple("abcd")
    assert plan(lab, asked("proactive"), told).nodes["a"].route == tuple("abcd")


@pytest.mark.parametrize(
    ("stores", "request_", "words"),
    [
        (None, asked("virtual"), "predistribution"),
        (None, asked("reactive"), "every_link: true"),
        (KEPT, asked("reactive", fidelity_threshold=0.75), "fidelity_min"),
        (KEPT, asked("reactive", rate_threshold_hz=1.0), "a wanted rate"),
        (KEPT, asked("reactive", routes_max=2), "several routes"),
        (KEPT, asked("reactive", link_purification=1), "purification"),
        (KEPT, asked("soonest"), 'unknown path computation "soonest"'),
    ],
)
def test_what_a_way_cannot_do_is_refused_with_what_to_do(
    stores: dict[str, Any] | None, request_: EntanglementRequest, words: str
) -> None:
    found = compute_plan(ring(stores).network, request_, 1)
    assert isinstance(found, str)
    assert words in found


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ({"paths": "reactiv"}, 'did you mean "reactive"'),
        ({"paths": "reactive", "entanglement_type": "ghz", "target_nodes": ("a", "b", "d")}, "is for pairs"),
    ],
)
def test_a_source_refuses_ways_that_it_does_not_know(terms: dict[str, Any], words: str) -> None:
    fault = fault_of(msgspec.structs.replace(asked("reactive"), **terms), ring(KEPT).network, "a")
    assert fault is not None
    assert words in fault


def test_missing_pairs_of_equal_links_are_there_after_the_mean_of_the_slowest() -> None:
    """The mean of the greatest of k exponential times T is T (1 + 1/2 + ... + 1/k)."""
    lab = ring(KEPT)
    route = route_along(usable_network(lab.network), tuple("abcd"))
    assert not isinstance(route, str)
    words_s = route.times.delay_s(0, 3)
    for present, missing in (((), 3), (("bc",), 2), (("ab", "cd"), 1), (("ab", "bc", "cd"), 0)):
        seen = EntangledTopology(lab.network, asked("reactive"), pairs(*present))
        harmonic = sum(1.0 / (n + 1) for n in range(missing))
        wanted_s = (route.times.link_s[0] * harmonic + words_s) / SWAP_PROBABILITY**2
        assert math.isclose(seen.ready_s(route), wanted_s, rel_tol=1e-9)


@given(st.sets(st.sampled_from(["ab", "bc", "cd"])), st.sampled_from(["ab", "bc", "cd"]))
def test_one_more_pair_never_makes_a_path_later(present: set[str], more: str) -> None:
    lab = ring(KEPT, bc=0.02)
    route = route_along(usable_network(lab.network), tuple("abcd"))
    assert not isinstance(route, str)
    before = EntangledTopology(lab.network, asked("reactive"), pairs(*present)).ready_s(route)
    after = EntangledTopology(lab.network, asked("reactive"), pairs(*present, more)).ready_s(route)
    assert after <= before


def test_every_link_of_a_bank_leaves_two_memories_to_requests() -> None:
    kept = ring(KEPT, bank=6).network.stores
    assert kept is not None
    for name in "abcdxy":
        assert sum(link.target for link in kept.super_links if name in link.route) <= 4
