"""Automatic purification: the plan names the rounds that its fidelity threshold needs, and no others."""

from itertools import product
from typing import Any

import msgspec
import pytest

from bellwire.core.bell import bsm_cost, decay_rates, to_walsh, werner
from bellwire.core.plans import Circumstances, EntanglementRequest, LinkRoom, RequestPlan
from bellwire.core.purification_words import Level
from bellwire.core.settings import HeraldEstimate, NetworkSettings
from bellwire.core.units import NS_PER_S
from bellwire.planner.distant_rounds import lanes_wanted, rounds_named
from bellwire.planner.plans import choose_route, compute_plan, predict
from bellwire.planner.predictions import outlook
from bellwire.planner.routes import Route
from tests.node.networks import chain


def network(lanes: int = 4, fidelity: float = 0.93) -> NetworkSettings:
    """a - r - b with link pairs and memories that leave something to be purified."""
    plain = chain(lanes=lanes, station=False)
    state = to_walsh(werner(fidelity))
    herald = HeraldEstimate(code=1, frame=2, signs=state.signs, cost=state.cost)
    swap = bsm_cost(0.98, 0.99)
    links = {
        name: msgspec.structs.replace(link, heralds=(herald,), success_probability=0.02)
        for name, link in plain.links.items()
    }
    nodes = {}
    for name, node in plain.nodes.items():
        assert node.memory is not None
        memory = msgspec.structs.replace(
            node.memory,
            rates=decay_rates(10 * NS_PER_S, NS_PER_S, None),
            bsm_signs=swap.signs,
            bsm_cost=swap.cost,
            gate_fidelity=0.99,
            readout_fidelity=0.995,
        )
        nodes[name] = msgspec.structs.replace(node, memory=memory)
    return msgspec.structs.replace(plain, links=links, nodes=nodes)


def asked(fidelity: float | None, words: str | None = "automatic", **changes: Any) -> EntanglementRequest:
    fields: dict[str, Any] = {
        "request_id": "r",
        "target_nodes": ("a", "b"),
        "generation_mode": "fixed_tree",
        "count": 1,
        "fidelity_threshold": fidelity,
        "purification": words,
    }
    return EntanglementRequest(**(fields | changes))


def planned(request: EntanglementRequest, on: NetworkSettings | None = None) -> RequestPlan:
    found = compute_plan(network() if on is None else on, request, 1)
    assert isinstance(found, RequestPlan), found
    return found


PLAIN = planned(asked(None, None)).fidelity


def test_no_rounds_are_named_where_the_threshold_needs_none() -> None:
    plan = planned(asked(PLAIN - 0.001))
    assert rounds_named(plan) is None
    assert plan == planned(asked(PLAIN - 0.001, None))


@pytest.mark.parametrize("gain", [0.001, 0.01, 0.02, 0.03, 0.04])
def test_of_all_rounds_that_keep_the_threshold_the_fastest_are_named(gain: float) -> None:
    """Against every combination, worked out here one by one."""
    wanted = PLAIN + gain
    plan = planned(asked(wanted))
    route = choose_route(network(), asked(None, None))
    assert isinstance(route, Route)
    none = (None,)
    kinds = (Level(1, False), Level(2, False), Level(2, True), Level(3, True))
    best_hz = 0.0
    for links, ends in product(none + kinds, none + kinds):
        levels = {hops: level for hops, level in ((1, links), (2, ends)) if level is not None}
        if lanes_wanted(levels, route.tree) <= 4:
            seen = outlook(route.tree, route.times, route.links, route.memories, None, levels)
            if seen.fidelity >= wanted:
                best_hz = max(best_hz, 1.0 / seen.latency_s)
    assert best_hz > 0.0
    assert plan.rate_hz == pytest.approx(best_hz, rel=1e-12)
    assert plan.fidelity >= wanted
    assert rounds_named(plan) is not None


def test_the_named_rounds_are_those_that_a_request_could_have_asked_for() -> None:
    wanted = PLAIN + 0.02
    automatic = planned(asked(wanted))
    words = rounds_named(automatic)
    assert words is not None
    assert planned(asked(wanted, words)) == automatic


def test_what_no_rounds_can_give_is_refused_with_the_best_that_they_can() -> None:
    answer = compute_plan(network(), asked(0.99), 1)
    assert isinstance(answer, str)
    assert answer.startswith("fidelity 0.99 cannot be reached: at most 0.9")
    assert "over a-r-b with rounds 1:" in answer


def test_rounds_for_which_links_have_no_lanes_are_not_named() -> None:
    """Rounds at two levels keep a pair back at each while a third is made."""
    wanted = PLAIN + 0.08
    assert rounds_named(planned(asked(wanted), network(3))) == "1:1,2:1"
    answer = compute_plan(network(2), asked(wanted), 1)
    assert isinstance(answer, str)
    assert answer.endswith("over a-r-b with rounds 2:3p")
    none = compute_plan(network(1), asked(wanted), 1)
    assert isinstance(none, str)
    assert "with rounds" not in none


def test_a_mode_that_follows_no_tree_is_told_so_when_rounds_would_be_needed() -> None:
    served = planned(asked(PLAIN - 0.001, generation_mode="swap_asap"))
    assert rounds_named(served) is None
    answer = compute_plan(network(), asked(PLAIN + 0.01, generation_mode="swap_asap"), 1)
    assert isinstance(answer, str)
    assert 'need a mode that follows the tree, not "swap_asap"' in answer


def test_without_a_threshold_there_is_nothing_to_choose_by() -> None:
    answer = compute_plan(network(), asked(None), 1)
    assert isinstance(answer, str)
    assert "needs a fidelity threshold or a rate" in answer


@pytest.mark.parametrize("words", ["1:1", "2:1", "2:2p", "1:1,2:1p"])
def test_a_plan_s_figures_count_the_rounds_that_were_asked_for(words: str) -> None:
    plan = planned(asked(None, words))
    plain = planned(asked(None, None))
    assert plan.rate_hz < 0.6 * plain.rate_hz
    assert plan.fidelity > plain.fidelity + 0.005
    expected = predict(network(), asked(None, words))
    assert not isinstance(expected, str)
    assert (expected.rate_hz, expected.fidelity) == (plan.rate_hz, plan.fidelity)


def test_rounds_that_miss_the_threshold_are_refused_before_they_are_tried() -> None:
    answer = compute_plan(network(), asked(PLAIN + 0.06, "2:1"), 1)
    assert isinstance(answer, str)
    assert "with rounds 2:1" in answer


def test_lanes_for_a_rate_are_reserved_with_the_rounds_in_mind() -> None:
    """Half of what all four lanes make: with rounds that takes more lanes than without."""
    whole_hz = planned(asked(None, "1:1")).rate_hz
    plan = planned(asked(None, "1:1", rate_threshold_hz=whole_hz / 2))
    plain = planned(asked(None, None, rate_threshold_hz=whole_hz / 2))
    reserved = [part.lanes for part in plan.nodes["r"].links]
    assert min(reserved) > max(part.lanes for part in plain.nodes["r"].links)
    answer = compute_plan(network(), asked(None, "1:1", rate_threshold_hz=whole_hz * 1.05), 1)
    assert isinstance(answer, str)
    assert "cannot be reached" in answer


@pytest.mark.parametrize(("words", "link_rounds"), [("1:1", 0), ("2:1", 0), (None, 1), (None, 0)])
def test_links_of_a_rate_matched_tree_are_slowed_only_where_no_pair_is_kept_back(
    words: str | None, link_rounds: int
) -> None:
    plan = planned(asked(None, words, link_purification=link_rounds))
    slowed = {part.paced for node in plan.nodes.values() for part in node.links}
    assert slowed == {words is None and link_rounds == 0}


def test_lanes_of_links_that_purify_are_reserved_beside_those_of_kept_pairs() -> None:
    plain, both = (
        planned(asked(None, words, link_purification=1), network(6)).nodes["r"].links
        for words in (None, "2:1")
    )
    assert [part.lanes for part in plain] == [2, 2]
    assert [part.lanes for part in both] == [3, 3]


@pytest.mark.parametrize(
    ("words", "mode", "lanes"),
    [
        (None, "fixed_tree", 0),
        ("1:1", "fixed_tree", 2),
        ("1:1,2:1", "fixed_tree", 3),
        ("adaptive", "score", 2),
    ],
)
def test_a_request_with_rounds_has_the_lanes_that_they_take_for_itself(
    words: str | None, mode: str, lanes: int
) -> None:
    plan = planned(asked(PLAIN - 0.001, words, generation_mode=mode))
    assert {part.lanes for node in plan.nodes.values() for part in node.links} == {lanes}
    left = tuple(LinkRoom(link=link, lanes=1, weight=1) for link in ("a-r", "r-b"))
    beside = compute_plan(
        network(), asked(PLAIN - 0.001, words, generation_mode=mode), 1, Circumstances(room=left)
    )
    if lanes:
        assert (
            beside
            == f"no room beside other plans: link a-r has 1 of 4 lanes left, purification needs {lanes}"
        )
    else:
        assert isinstance(beside, RequestPlan)


def test_adaptive_rounds_are_predicted_as_the_rounds_that_the_threshold_needs() -> None:
    wanted = PLAIN + 0.01
    adaptive = planned(asked(wanted, "adaptive", generation_mode="score"))
    automatic = planned(asked(wanted))
    assert rounds_named(adaptive) == "adaptive"
    assert adaptive.rate_hz == automatic.rate_hz
    assert adaptive.fidelity == automatic.fidelity >= wanted
