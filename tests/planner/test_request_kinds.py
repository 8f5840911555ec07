"""What a request names is kept, what it leaves open is made best; and what is offered can be had."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from bellwire.core.plans import Circumstances, EntanglementRequest, LinkRoom, RequestPlan, SequencePair
from bellwire.core.request_kinds import is_standing, kind_of
from bellwire.core.settings import NetworkSettings
from bellwire.planner.joint_plans import can_join
from bellwire.planner.lanes import lanes_for
from bellwire.planner.offers import best_offer
from bellwire.planner.plans import compute_plan, predict
from bellwire.planner.routes import candidate_routes
from bellwire.planner.usable import usable_network
from tests.planner.test_chosen_rounds import network as chain_with_lanes
from tests.planner.test_routes import asked, network, planned

FAST = {"period_us": 100, "success_probability": 0.1, "fidelity": 0.9}
GOOD = {"period_us": 100, "success_probability": 0.02, "fidelity": 0.99}


def two_ways(folder: Path) -> NetworkSettings:
    """a to z over a fast noisy link, and over a relay by slow good ones."""
    links: dict[str, Any] = {
        "az": {"nodes": ["a", "z"], "attempt": FAST},
        "ar": {"nodes": ["a", "r"], "attempt": GOOD},
        "rz": {"nodes": ["r", "z"], "attempt": GOOD},
    }
    return network(folder, links)


@pytest.mark.parametrize(
    ("terms", "kind"),
    [
        ({}, "number"),
        ({"rate_threshold_hz": 3.0}, "best_fidelity"),
        ({"fidelity_threshold": 0.8}, "best_rate"),
        ({"rate_threshold_hz": 3.0, "fidelity_threshold": 0.8}, "both"),
    ],
)
def test_the_kind_of_a_request_follows_from_its_thresholds(terms: dict[str, Any], kind: str) -> None:
    assert kind_of(asked(**terms)) == kind
    assert not is_standing(asked(**terms))


def test_of_the_routes_that_make_a_rate_the_one_of_highest_fidelity_is_taken(tmp_path: Path) -> None:
    net = two_ways(tmp_path)
    usable = usable_network(net, "r")
    routes = candidate_routes(usable, asked())
    assert not isinstance(routes, str)
    for rate_hz in (1.0, 20.0, 60.0, 200.0, 900.0):
        request = asked(rate_threshold_hz=rate_hz)
        fits = [route for route in routes if lanes_for(route, route.tree, request, {}) is not None]
        best = max(fits, key=lambda route: route.outlook.fidelity)
        assert list(planned(net, request).nodes) == list(best.nodes), rate_hz
    assert list(planned(net, asked(rate_threshold_hz=1.0)).nodes) == ["a", "r", "z"]
    assert list(planned(net, asked(rate_threshold_hz=900.0)).nodes) == ["a", "z"]
    assert list(planned(net, asked()).nodes) == ["a", "z"]


def test_above_a_fidelity_the_fastest_way_is_taken_and_both_thresholds_are_kept(tmp_path: Path) -> None:
    net = two_ways(tmp_path)
    assert list(planned(net, asked(fidelity_threshold=0.85)).nodes) == ["a", "z"]
    above = planned(net, asked(fidelity_threshold=0.95))
    assert list(above.nodes) == ["a", "r", "z"]
    both = planned(net, asked(fidelity_threshold=0.95, rate_threshold_hz=above.rate_hz * 0.9))
    assert list(both.nodes) == ["a", "r", "z"]
    refused = compute_plan(net, asked(fidelity_threshold=0.95, rate_threshold_hz=900.0), 1)
    assert isinstance(refused, str)
    assert "rate 900/s cannot be reached" in refused


def test_automatic_rounds_give_the_highest_fidelity_at_which_the_rate_is_made() -> None:
    net = chain_with_lanes(lanes=8)

    def of(rate_hz: float, rounds: str | None) -> RequestPlan | str:
        request = EntanglementRequest(
            request_id="r",
            target_nodes=("a", "b"),
            count=1,
            generation_mode="fixed_tree",
            purification=rounds,
            rate_threshold_hz=rate_hz,
        )
        return compute_plan(net, request, 1)

    plain = of(1e-3, None)
    assert isinstance(plain, RequestPlan)
    words = [None, *(f"{level}:{count}" for level in (1, 2) for count in (1, 2))]
    chosen: list[float] = []
    for share in (0.05, 0.3, 0.6, 1.0):
        rate_hz = share * plain.rate_hz
        automatic = of(rate_hz, "automatic")
        assert isinstance(automatic, RequestPlan)
        named = [plan.fidelity for each in words if isinstance(plan := of(rate_hz, each), RequestPlan)]
        assert automatic.fidelity >= max(named) - 1e-12, share
        chosen.append(automatic.fidelity)
    assert all(more >= less for more, less in itertools.pairwise(chosen))
    assert chosen[0] > chosen[-1]


def offered(net: NetworkSettings, request: EntanglementRequest, **news: Any) -> tuple[float, float]:
    offer = best_offer(net, request, Circumstances(**news))
    assert offer is not None
    return offer.rate_hz, offer.fidelity


def test_what_is_offered_can_be_had(tmp_path: Path) -> None:
    net = two_ways(tmp_path)
    unmet: tuple[dict[str, Any], ...] = (
        {"rate_threshold_hz": 5000.0},
        {"rate_threshold_hz": 900.0, "fidelity_threshold": 0.95},
        {"fidelity_threshold": 0.999},
    )
    for terms in unmet:
        request = asked(**terms)
        assert isinstance(compute_plan(net, request, 1), str)
        rate_hz, fidelity = offered(net, request)
        again = asked(rate_threshold_hz=rate_hz, fidelity_threshold=fidelity)
        assert isinstance(compute_plan(net, again, 1), RequestPlan), terms


def test_an_offer_keeps_the_fidelity_that_was_asked_for_where_it_can(tmp_path: Path) -> None:
    net = two_ways(tmp_path)
    fast = planned(net, asked())
    good = planned(net, asked(fidelity_threshold=0.95))
    rate_hz, fidelity = offered(net, asked(rate_threshold_hz=900.0, fidelity_threshold=0.95))
    assert rate_hz == pytest.approx(good.rate_hz, rel=0.01)
    assert fidelity == pytest.approx(good.fidelity, abs=1e-3)
    rate_hz, fidelity = offered(net, asked(rate_threshold_hz=5000.0))
    assert rate_hz == pytest.approx(fast.rate_hz, rel=0.01)
    rate_hz, fidelity = offered(net, asked(fidelity_threshold=0.999))
    assert fidelity == pytest.approx(good.fidelity, abs=1e-3)


def test_an_offer_counts_with_the_room_that_is_left(tmp_path: Path) -> None:
    net = two_ways(tmp_path)
    full = tuple(LinkRoom(link=link, lanes=0, weight=0) for link in ("az", "ar"))
    assert best_offer(net, asked(rate_threshold_hz=1.0), Circumstances(room=full)) is None
    rate_hz, fidelity = offered(net, asked(rate_threshold_hz=1.0), room=full[:1])
    assert fidelity > 0.95
    assert rate_hz < 200.0


def test_without_a_route_nothing_is_offered(tmp_path: Path) -> None:
    net = network(tmp_path, {"ab": {"nodes": ["a", "b"]}, "yz": {"nodes": ["y", "z"]}})
    assert best_offer(net, asked(), Circumstances()) is None


def test_a_sequence_is_planned_pair_by_pair_and_never_as_a_whole(tmp_path: Path) -> None:
    pair = SequencePair(pair_id="p1", nodes=("a", "z"))
    sequence = EntanglementRequest(request_id="q", target_nodes=("a", "z"), entanglement_sequence=(pair,))
    assert kind_of(sequence) == "sequence"
    assert not is_standing(sequence)
    assert not can_join(sequence)
    assert can_join(asked(rate_threshold_hz=3.0))
    assert not can_join(asked(rate_threshold_hz=3.0, reserved_only=True)), "a joint plan reserves no lanes"
    assert can_join(asked())
    assert isinstance(compute_plan(two_ways(tmp_path), sequence, 1), str)


def _steady(net: NetworkSettings, share: float, **terms: Any) -> tuple[RequestPlan, RequestPlan]:
    """Plans for a share of what all lanes make: of a request that has the others too, and of one that has
    not."""
    asks = {"request_id": "r", "target_nodes": ("a", "b")}
    whole = compute_plan(net, EntanglementRequest(**asks), 1)  # type: ignore[arg-type]  # a name and two nodes
    assert not isinstance(whole, str)
    terms = asks | {"rate_threshold_hz": share * whole.rate_hz} | terms
    shared = compute_plan(net, EntanglementRequest(**terms), 1)
    steady = compute_plan(net, EntanglementRequest(**terms, reserved_only=True), 1)
    assert not isinstance(shared, str)
    assert not isinstance(steady, str)
    return shared, steady


def _lanes_of(plan: RequestPlan) -> dict[str, int]:
    return {part.link: part.lanes for node in plan.nodes.values() for part in node.links}


def test_what_a_steady_request_is_told_is_what_its_own_lanes_bring() -> None:
    """More lanes than it needs stand on each link; what they would bring belongs to nobody."""
    shared, steady = _steady(chain_with_lanes(lanes=8), 0.2)
    assert 0.2 * shared.rate_hz <= steady.rate_hz < 0.5 * shared.rate_hz
    assert steady.fidelity < shared.fidelity, "pairs wait longer for each other"
    parts = [part for node in steady.nodes.values() for part in node.links]
    assert all(part.reserved_only and 0 < part.lanes < 8 for part in parts)
    assert not any(part.reserved_only for node in shared.nodes.values() for part in node.links)


def test_what_is_foreseen_of_a_steady_request_is_what_its_plan_promises() -> None:
    net = chain_with_lanes(lanes=8)
    shared, steady = _steady(net, 0.2)
    request = EntanglementRequest(
        request_id="r",
        target_nodes=("a", "b"),
        rate_threshold_hz=0.2 * shared.rate_hz,
        reserved_only=True,
    )
    foreseen = predict(net, request)
    assert not isinstance(foreseen, str)
    assert (foreseen.rate_hz, foreseen.fidelity) == (steady.rate_hz, steady.fidelity)


def test_a_steady_request_has_lanes_enough_for_its_fidelity_or_is_told_why_not() -> None:
    net = chain_with_lanes(lanes=8)
    shared, few = _steady(net, 0.2)
    between = (few.fidelity + shared.fidelity) / 2
    _, more = _steady(net, 0.2, fidelity_threshold=between)
    assert more.fidelity >= between > few.fidelity
    assert sum(_lanes_of(more).values()) > sum(_lanes_of(few).values())
    room = tuple(LinkRoom(link=link, lanes=lanes, weight=64) for link, lanes in _lanes_of(few).items())
    refused = compute_plan(
        net,
        EntanglementRequest(
            request_id="r",
            target_nodes=("a", "b"),
            rate_threshold_hz=0.2 * shared.rate_hz,
            fidelity_threshold=between,
            reserved_only=True,
        ),
        1,
        Circumstances(room=room),
    )
    assert isinstance(refused, str)
    assert "cannot be kept with reserved lanes only" in refused
