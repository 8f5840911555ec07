"""A request whose terms change while its plan works: the plan is not at fault, and may stay as it is."""

import msgspec
import pytest

from bellwire.core.notices import PlanActive, PlanRequested
from bellwire.core.plans import Circumstances, EntanglementRequest, RequestPlan
from bellwire.core.units import NS_PER_S
from bellwire.labs import load_lab
from bellwire.planner.plans import compute_plan
from tests.planner.plan_bench import MS, PlanBench, Tell

LAB = load_lab("lab_configs/fading_routes.yaml")
DIRECT, AROUND = "(alice bob)", "((alice relay) (relay bob))"


def planned_with(request: EntanglementRequest) -> PlanBench:
    def compute(asked: EntanglementRequest, version: int, news: Circumstances) -> RequestPlan | str:
        return compute_plan(LAB.network, asked, version, news)

    bench = PlanBench(LAB.network, compute)
    bench.want(request, 1)
    bench.run(10 * MS)
    return bench


@pytest.mark.parametrize(("differs", "tree"), [(True, AROUND), (False, DIRECT)])
def test_only_a_plan_that_is_at_fault_must_be_left(differs: bool, tree: str) -> None:
    request = LAB.requests[0]
    bench = planned_with(request)
    asked = PlanRequested(request=request, version=2, avoid=(), differs=differs)
    bench.feed("alice", Tell((asked,)))
    bench.run(NS_PER_S)
    assert [notice.plan.tree for notice in bench.heard("alice", PlanActive)] == [DIRECT, tree]


def test_lower_terms_reserve_fewer_lanes_at_every_node_and_higher_ones_more() -> None:
    request = LAB.requests[0]
    bench = planned_with(request)
    for version, rate_hz, lanes in ((2, 42.5, 1), (3, 85.0, 2)):
        changed = msgspec.structs.replace(request, rate_threshold_hz=rate_hz)
        asked = PlanRequested(request=changed, version=version, avoid=(), differs=False)
        bench.feed("alice", Tell((asked,)))
        bench.run(NS_PER_S)
        for node in ("alice", "bob"):
            (part,) = bench.messaging[node].plans[request.request_id].links
            assert (part.link, part.lanes) == ("alice-bob", lanes)
