"""From words about purification to what each node does, and what cannot be had."""

from typing import Any

import pytest

from bellwire.core.errors import ConfigError
from bellwire.core.plans import EntanglementRequest, PurificationPlan, RequestPlan
from bellwire.planner.distant_rounds import executable, fidelity_share
from bellwire.planner.instructions import NodeInstructions, PurificationInstruction
from bellwire.planner.plans import compute_plan
from tests.node.networks import chain


def asked(**changes: Any) -> EntanglementRequest:
    fields: dict[str, Any] = {
        "request_id": "r",
        "target_nodes": ("a", "b"),
        "generation_mode": "fixed_tree",
        "count": 1,
    }
    return EntanglementRequest(**(fields | changes))


def test_both_ends_of_every_named_segment_get_the_same_rounds() -> None:
    plan = compute_plan(chain(lanes=4), asked(purification="1:1,2:2p"), 1)
    assert isinstance(plan, RequestPlan)
    found = {
        (name, each.partner): (each.rounds, each.pumping, each.fidelity_min)
        for name, node in plan.nodes.items()
        for each in node.purifications
    }
    links = [("a", "r"), ("r", "a"), ("r", "b"), ("b", "r")]
    assert found == {
        **dict.fromkeys(links, (1, False, None)),
        **dict.fromkeys([("a", "b"), ("b", "a")], (2, True, None)),
    }


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"purification": "often"}, "no level"),
        ({"purification": "1:1", "generation_mode": "swap_asap"}, "need a mode that follows it"),
        ({"purification": "adaptive", "generation_mode": "score"}, "needs a fidelity threshold"),
        ({"purification": "adaptive", "fidelity_threshold": 0.7}, "looks again"),
        (
            {
                "purification": "adaptive",
                "fidelity_threshold": 0.7,
                "generation_mode": "score",
                "consumption": "measure",
            },
            "keeps pairs",
        ),
        ({"purification": "1:2,2:2"}, "holds 4 pairs at a time, and 1:2,2:2 needs 5"),
    ],
)
def test_what_cannot_be_executed_is_refused_with_its_reason(changes: dict[str, Any], part: str) -> None:
    answer = compute_plan(chain(lanes=4), asked(**changes), 1)
    assert isinstance(answer, str)
    assert part in answer


def test_shares_of_the_segments_multiply_to_the_threshold() -> None:
    memory = chain().nodes["r"].memory
    assert memory is not None
    whole = fidelity_share(0.8, 4, (memory,) * 5)
    assert whole == pytest.approx(0.8, abs=1e-12)
    shares = [fidelity_share(0.8, hops, (memory,) * 5) for hops in (1, 2, 3, 4)]
    assert shares == sorted(shares, reverse=True)


def told(rounds: int, partner: str = "b", scheme: Any = "dejmps") -> PurificationInstruction:
    return PurificationInstruction(
        request="r",
        tree=0,
        partner=partner,
        rounds=rounds,
        pumping=False,
        scheme=scheme,
        inputs=(1, 2),
        product=3,
    )


def test_instructions_of_a_purification_augmented_tree_become_plans() -> None:
    node = NodeInstructions(node="a", purification=(told(2), told(1, "c"), told(2)))
    assert executable(node) == (
        PurificationPlan(request="r", tree=0, partner="b", rounds=2),
        PurificationPlan(request="r", tree=0, partner="c", rounds=1),
    )


def test_rounds_of_two_kinds_with_one_partner_cannot_be_executed() -> None:
    with pytest.raises(ConfigError, match="differ within tree 0"):
        executable(NodeInstructions(node="a", purification=(told(2), told(1))))
    with pytest.raises(ConfigError, match="only dejmps"):
        executable(NodeInstructions(node="a", purification=(told(1, scheme="bbpssw"),)))
