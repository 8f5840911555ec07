"""Leases of an optical switch: one setting at a time, whoever asks, and the holder is named."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bellwire.core.plans import EntanglementRequest, NodePlan, RequestPlan
from bellwire.labs import Lab, load_lab
from bellwire.planner.messaging import Messaging
from bellwire.planner.plans import compute_plan
from bellwire.planner.switch_leases import SwitchLeases
from tests.hosts.live import LABS

LAB: Lab = load_lab(LABS / "switched_hub.yaml")


def part(request: str, other: str, version: int = 1, **terms: Any) -> NodePlan:
    """The hub's part of a plan for pairs with another node."""
    asked = EntanglementRequest(request_id=request, target_nodes=("hub", other), count=1, **terms)
    plan = compute_plan(LAB.network, asked, version)
    assert isinstance(plan, RequestPlan)
    return plan.nodes["hub"]


def test_a_plan_for_another_setting_is_refused_and_told_who_holds_the_switch() -> None:
    plans = {"r1": part("r1", "alice")}
    leases = SwitchLeases(LAB.network, "hub", plans)
    assert leases.taken(plans["r1"].links[0]) == 1
    lack = leases.lack(part("r2", "bob"))
    assert lack is not None
    assert lack.reason == (
        "link hub-bob needs switch matrix at east; r1 holds it at west under fence 1 until its plan ends"
    )
    assert [(room.link, room.lanes, room.weight) for room in lack.room] == [("hub-bob", 0, 0)]


def test_plans_for_one_setting_hold_the_switch_together_and_the_last_one_frees_it() -> None:
    plans = {"r1": part("r1", "alice"), "r2": part("r2", "alice")}
    leases = SwitchLeases(LAB.network, "hub", plans)
    assert leases.taken(plans["r1"].links[0]) == leases.taken(plans["r2"].links[0]) == 1
    del plans["r1"]
    assert leases.lack(part("r3", "bob")) is not None
    del plans["r2"]
    assert leases.lack(part("r3", "bob")) is None
    assert leases.taken(part("r3", "bob").links[0]) == 2, "another setting is a new fence"


def test_a_request_may_move_its_own_switch() -> None:
    leases = SwitchLeases(LAB.network, "hub", {"r1": part("r1", "alice")})
    assert leases.lack(part("r1", "bob", version=2)) is None


def test_a_link_that_is_down_is_refused_with_its_reason() -> None:
    down = {"hub-bob": "the change to east failed: mirror stuck"}
    leases = SwitchLeases(LAB.network, "hub", {}, down)
    lack = leases.lack(part("r2", "bob"))
    assert lack is not None
    assert lack.reason == "link hub-bob is down: the change to east failed: mirror stuck"
    assert leases.lack(part("r1", "alice")) is None


def test_only_the_node_of_the_switch_judges() -> None:
    leases = SwitchLeases(LAB.network, "bob", {"r1": part("r1", "alice")}, {"hub-bob": "dark"})
    assert leases.lack(part("r2", "bob")) is None
    assert not leases.any()


def test_the_messaging_part_of_the_hub_judges_by_its_leases() -> None:
    messaging = Messaging(LAB.network, "hub")
    messaging.plans["r1"] = part("r1", "alice")
    assert messaging.switches.lack(part("r2", "bob")) is not None


@given(st.lists(st.tuples(st.sampled_from("pqrs"), st.sampled_from(["alice", "bob", ""])), max_size=30))
def test_no_history_of_plans_holds_a_switch_at_two_settings(history: list[tuple[str, str]]) -> None:
    """ "": the request's plan ends. Fences never fall, and one fence means one setting."""
    plans: dict[str, NodePlan] = {}
    leases = SwitchLeases(LAB.network, "hub", plans)
    meaning: dict[int, str] = {}
    newest = 0
    for request, other in history:
        if not other:
            plans.pop(request, None)
            continue
        wanted = part(request, other)
        if leases.lack(wanted) is None:
            plans[request] = wanted
            fence = leases.taken(wanted.links[0])
            assert fence >= newest
            newest = fence
            assert meaning.setdefault(fence, other) == other
        assert len({plan.links[0].link for plan in plans.values()}) <= 1
