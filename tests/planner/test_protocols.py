"""Plan dispatch: computed at the destination, in force at every node or nowhere, renewed, ended."""

from typing import Any

import msgspec
import pytest

from bellwire.core.errors import PeerViolation
from bellwire.core.events import Received
from bellwire.core.ids import NodeId
from bellwire.core.machine import Step
from bellwire.core.messages import (
    PlanInstall,
    PlanProposed,
    PlanWanted,
    PlanWithdrawn,
)
from bellwire.core.notices import (
    LinkRequested,
    LinkWithdrawn,
    PeerRestarted,
    PlanActive,
    PlanFailed,
    PlanInstalled,
    PlanRemoved,
)
from bellwire.core.plans import (
    WEIGHTS_MAX,
    Circumstances,
    EntanglementRequest,
    LinkPlan,
    NodePlan,
    RequestPlan,
    SwapPlan,
)
from bellwire.core.settings import LinkSettings, MemorySettings, NetworkSettings, NodeSettings
from tests.planner import plan_bench
from tests.planner.plan_bench import MS, SECOND, Tell

NODES = ("alice", "relay", "spare", "bob")
LINKS = {"ar": ("alice", "relay"), "rb": ("relay", "bob"), "as": ("alice", "spare"), "sb": ("spare", "bob")}
REQUEST = EntanglementRequest(
    request_id="q", target_nodes=("alice", "bob"), count=3, consumption="measure", priority=2
)


def network() -> NetworkSettings:
    memory = MemorySettings(
        slots=2,
        rates=(0, 0, 0),
        bsm_signs=0,
        bsm_cost=(0, 0, 0),
        bsm_success_probability=1.0,
        operation_limit_ns=MS,
    )
    links = {
        name: LinkSettings(
            link=name,
            nodes=nodes,
            station=None,
            period_ns=MS,
            lanes=1,
            slots=((0,), (1,)),
            success_probability=0.1,
            heralds=(),
            click_delay_ns=0,
            herald_delay_ns=(0, 0),
            length_km=1.0,
        )
        for name, nodes in LINKS.items()
    }
    nodes = {
        name: NodeSettings(
            name=name,
            role="end" if name in ("alice", "bob") else "repeater",
            memory=memory,
            links=tuple(link for link, ends in LINKS.items() if name in ends),
        )
        for name in NODES
    }
    return NetworkSettings(nodes=nodes, links=links, delays_ns={})


def compute(request: EntanglementRequest, version: int, news: Circumstances) -> RequestPlan | str:
    """Over relay, or over spare when relay is to be avoided."""
    middle = next((name for name in ("relay", "spare") if name not in news.avoid), None)
    if middle is None:
        return "no route between alice and bob"
    left, right = ("ar", "rb") if middle == "relay" else ("as", "sb")
    route = ("alice", middle, "bob")

    def link_plan(link: str, partner: NodeId) -> LinkPlan:
        return LinkPlan(
            request=request.request_id,
            tree=0,
            link=link,
            partner=partner,
            rate_hz=1.0,
            lanes=0,
            weight=request.priority,
            fidelity_min=None,
        )

    def node_plan(node: NodeId, role: Any, links: tuple[LinkPlan, ...], swap: SwapPlan | None) -> NodePlan:
        return NodePlan(
            request=request.request_id,
            version=version,
            source="alice",
            destination="bob",
            role=role,
            routes=(route,),
            links=links,
            swaps=() if swap is None else (swap,),
            cutoff_ns=None,
            rounds=False,
            lease_ns=3 * SECOND,
        )

    swap = SwapPlan(
        request=request.request_id,
        tree=0,
        left_link=left,
        right_link=right,
        left_partner="alice",
        right_partner="bob",
        depth=0,
        policy="swap_asap",
        rounds=False,
        rate_hz=1.0,
    )
    nodes = {
        "alice": node_plan("alice", "source", (link_plan(left, middle),), None),
        middle: node_plan(middle, "inner", (link_plan(left, "alice"), link_plan(right, "bob")), swap),
        "bob": node_plan("bob", "destination", (link_plan(right, middle),), None),
    }
    return RequestPlan(
        request=request.request_id,
        version=version,
        nodes=nodes,
        rate_hz=1.0,
        latency_ns=SECOND,
        fidelity=0.9,
        tree=f"((alice {middle}) ({middle} bob))",
        shape=f"swap_asap alice-{middle}-bob",
    )


class PlanBench(plan_bench.PlanBench):
    """The four nodes of this file and their one request."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(network(), compute, seed)

    def want(self, version: int = 1, avoid: tuple[NodeId, ...] = ()) -> None:  # type: ignore[override]
        super().want(REQUEST, version, avoid)

    def end(self, version: int = 1) -> None:  # type: ignore[override]
        super().end(REQUEST, version)

    def installed(self) -> dict[NodeId, int]:  # type: ignore[override]
        return super().installed("q")


def active() -> PlanBench:
    bench = PlanBench()
    bench.want()
    bench.run(10 * MS)
    assert len(bench.heard("alice", PlanActive)) == 1
    return bench


def test_a_plan_is_computed_at_the_destination_and_in_force_at_every_node_of_the_route() -> None:
    bench = active()
    assert bench.installed() == {"alice": 1, "relay": 1, "bob": 1}
    assert len(bench.said("bob", PlanProposed)) == 1
    (report,) = [report for _, report in bench.reports if report.name == "plan_active"]
    assert (report.fields["rate_hz"], report.fields["fidelity"]) == (1.0, 0.9)
    assert [each.plan.link for each in bench.heard("relay", LinkRequested)] == ["ar", "rb"]
    for name in ("alice", "relay", "bob"):
        (installed,) = bench.heard(name, PlanInstalled)
        assert installed.plan.consumption == "measure", "the end nodes deliver as the request says"


def test_renewal_keeps_a_plan_and_tells_nobody_twice() -> None:
    bench = active()
    bench.run(20 * SECOND)
    assert bench.installed() == {"alice": 1, "relay": 1, "bob": 1}
    assert len(bench.heard("relay", PlanInstalled)) == 1
    assert len(bench.heard("alice", PlanActive)) == 1
    assert bench.heard("alice", PlanFailed) == []


def test_a_plan_without_renewal_lapses_and_its_links_are_withdrawn() -> None:
    bench = active()
    bench.down.add("alice")
    bench.run(4 * SECOND)
    assert bench.installed() == {"alice": 1}
    assert [each.link for each in bench.heard("relay", LinkWithdrawn)] == ["ar", "rb"]
    assert [each.version for each in bench.heard("bob", PlanRemoved)] == [1]
    assert {name for name, report in bench.reports if report.name == "plan_expired"} == {"relay", "bob"}


def test_an_ended_plan_is_gone_everywhere_and_an_overtaken_installation_does_not_bring_it_back() -> None:
    bench = active()
    late = bench.said("alice", PlanInstall)[0]
    bench.end()
    bench.run(10 * MS)
    assert bench.installed() == {}
    assert bench.dispatch["alice"].dispatches == {}
    bench.feed("relay", Received(source="alice", incarnation=1, message=late))
    assert bench.installed() == {}


def test_withdrawal_is_said_three_times_to_a_node_that_does_not_answer() -> None:
    bench = active()
    bench.down.add("relay")
    bench.end()
    bench.run(10 * SECOND)
    to_relay = [
        send for _, send in bench.sent if send.to == "relay" and isinstance(send.message, PlanWithdrawn)
    ]
    assert len(to_relay) == 3
    assert bench.dispatch["alice"].dispatches == {}


def test_a_silent_node_is_avoided_by_the_next_plan() -> None:
    bench = PlanBench()
    bench.down.add("relay")
    bench.want()
    bench.run(3 * SECOND)
    (failed,) = bench.heard("alice", PlanFailed)
    assert (failed.final, failed.reason) == (False, "no answer from relay")
    assert bench.installed() == {}
    bench.want(version=2)
    bench.run(10 * MS)
    assert bench.said("alice", PlanWanted)[-1].circumstances.avoid == ("relay",)
    assert bench.installed() == {"alice": 2, "spare": 2, "bob": 2}


def test_a_silent_destination_fails_the_plan_for_now() -> None:
    bench = PlanBench()
    bench.down.add("bob")
    bench.want()
    bench.run(5 * SECOND)
    assert [failed.final for failed in bench.heard("alice", PlanFailed)] == [False]
    assert len(bench.said("alice", PlanWanted)) == 5
    assert bench.machines["alice"].next_deadline_ns is None


def test_a_way_through_suspect_nodes_is_better_than_none() -> None:
    bench = PlanBench()
    bench.want(avoid=("relay", "spare"))
    bench.run(10 * MS)
    assert bench.installed() == {"alice": 1, "relay": 1, "bob": 1}


def test_no_plan_at_all_is_final_and_says_why() -> None:
    bench = PlanBench()
    bench.dispatch["bob"].compute = lambda request, version, news: "fidelity 0.99 cannot be reached"
    bench.want(avoid=("relay",))
    bench.run(10 * MS)
    (failed,) = bench.heard("alice", PlanFailed)
    assert (failed.final, failed.reason) == (True, "fidelity 0.99 cannot be reached")


def test_a_node_without_capacity_refuses_and_nothing_stays_installed() -> None:
    bench = PlanBench()
    other = msgspec.structs.replace(REQUEST, request_id="other", priority=WEIGHTS_MAX - 1)
    plan = compute(other, 1, Circumstances())
    assert isinstance(plan, RequestPlan)
    bench.feed(
        "relay", Received(source="alice", incarnation=1, message=PlanInstall(plan=plan.nodes["relay"]))
    )
    bench.want()
    bench.run(100 * MS)
    (failed,) = bench.heard("alice", PlanFailed)
    assert not failed.final
    assert failed.reason == "relay: link ar has a weight of 1 of 64 left to share, the plan needs 2"
    assert [plan.request for each in bench.messaging.values() for plan in each.plans.values()] == ["other"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"routes": (("alice", "bob"),)}, "not on the route"),
        ({"routes": ()}, "no route for relay"),
        ({"links": (("xx", "alice"),)}, "has no link xx"),
        ({"links": (("ar", "bob"),)}, "does not lead from relay to bob"),
        ({"swap": "sb"}, "no link sb to swap"),
    ],
)
def test_a_part_that_does_not_fit_the_node_is_refused(changes: dict[str, Any], words: str) -> None:
    bench = PlanBench()
    plan = compute(REQUEST, 1, Circumstances())
    assert isinstance(plan, RequestPlan)
    part = plan.nodes["relay"]
    if "links" in changes:
        ((link, partner),) = changes["links"]
        changes = {"links": (msgspec.structs.replace(part.links[0], link=link, partner=partner),)}
    elif "swap" in changes:
        changes = {"swaps": (msgspec.structs.replace(part.swaps[0], right_link=changes["swap"]),)}
    lack = bench.messaging["relay"].install(Step("relay"), msgspec.structs.replace(part, **changes))
    assert lack is not None
    assert words in lack.reason


def test_a_higher_version_replaces_a_lower_one_and_a_lower_one_is_refused() -> None:
    bench = active()
    bench.want(version=2, avoid=("relay",))
    bench.run(1 * SECOND)
    assert bench.installed() == {"alice": 2, "spare": 2, "bob": 2}
    assert [each.link for each in bench.heard("relay", LinkWithdrawn)] == ["ar", "rb"]
    old = compute(REQUEST, 1, Circumstances())
    assert isinstance(old, RequestPlan)
    lack = bench.messaging["bob"].install(Step("bob"), old.nodes["bob"])
    assert lack == ("version 1 is older than 2", ())
    other = msgspec.structs.replace(bench.messaging["bob"].plans["q"], cutoff_ns=5)
    lack = bench.messaging["bob"].install(Step("bob"), other)
    assert lack == ("version 2 is in force with other contents", ())


def test_a_higher_version_on_the_same_route_withdraws_only_links_that_it_lacks() -> None:
    bench = active()
    messaging = bench.messaging["relay"]
    part = messaging.plans["q"]
    step = Step("relay")
    newer = msgspec.structs.replace(part, version=5, links=part.links[:1])
    assert messaging.install(step, newer) is None
    assert [type(notice).__name__ for notice in step.notices] == [
        "LinkWithdrawn",
        "PlanInstalled",
        "LinkRequested",
    ]


def test_a_restarted_node_gets_its_part_again_at_once() -> None:
    bench = active()
    bench.start("relay")
    assert "relay" not in bench.installed()
    bench.feed("alice", Tell((PeerRestarted(peer="relay", incarnation=2),)))
    bench.run(2 * MS)
    assert bench.installed()["relay"] == 1


def test_a_node_that_stops_renewing_ends_the_plan_and_the_next_one_avoids_it() -> None:
    bench = active()
    bench.down.add("relay")
    bench.run(10 * SECOND)
    (failed,) = bench.heard("alice", PlanFailed)
    assert failed.reason == "lease not renewed by relay"
    bench.want(version=2)
    bench.run(10 * MS)
    assert bench.installed() == {"relay": 1, "alice": 2, "spare": 2, "bob": 2}


def test_plans_of_others_are_violations() -> None:
    bench = active()
    plan = bench.messaging["relay"].plans["q"]
    taken = msgspec.structs.replace(plan, source="bob", version=9)
    assert bench.messaging["relay"].install(Step("relay"), taken) == ("q is a request of alice", ())
    with pytest.raises(PeerViolation, match="installs a plan of alice"):
        bench.feed("relay", Received(source="bob", incarnation=1, message=PlanInstall(plan=plan)))
    with pytest.raises(PeerViolation, match="a plan of alice"):
        bench.feed(
            "relay", Received(source="bob", incarnation=1, message=PlanWithdrawn(request="q", version=1))
        )
    wanted = PlanWanted(request=REQUEST, version=9, circumstances=Circumstances())
    with pytest.raises(PeerViolation, match="between others"):
        bench.feed("bob", Received(source="relay", incarnation=1, message=wanted))


def test_over_bad_channels_a_plan_comes_into_force_and_ends_everywhere() -> None:
    for seed in range(20):
        bench = PlanBench(seed)
        version = 1
        bench.want(version)
        for _ in range(30):
            bench.run(SECOND)
            if bench.heard("alice", PlanFailed)[version - 1 :]:
                version += 1
                bench.want(version)
            elif bench.heard("alice", PlanActive):
                break
        assert bench.heard("alice", PlanActive), f"seed {seed}"
        bench.run(20 * SECOND)
        failed = len(bench.heard("alice", PlanFailed))
        assert failed < version, f"seed {seed}: an active plan was lost to renewals that were only slow"
        bench.end(version)
        bench.run(20 * SECOND)
        assert bench.installed() == {}, f"seed {seed}"
        assert bench.dispatch["alice"].dispatches == {}
        for name in NODES:
            assert len(bench.heard(name, PlanInstalled)) - len(bench.heard(name, PlanRemoved)) in (
                0,
                version - 1,
            )
