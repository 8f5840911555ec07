"""Newcomers beside running requests as one plan: taken in, taken in by planning anew, refused.

Owns the tests of batch/beside.py; the rule itself is tested with the plan book (test_admission.py).
"""

from itertools import pairwise

import pytest

from bellwire.planner.batch.admission_values import AdmissionRule
from bellwire.planner.batch.beside import plan_beside
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.requests import PairRequest
from bellwire.planner.topology import Node, Topology, link_between


def line(memories: int = 20) -> Topology:
    nodes = [
        Node(name=name, position_km=(10.0 * index, 0.0), memories=memories)
        for index, name in enumerate("ABCD")
    ]
    return Topology.of(nodes, [link_between(a, b, 10.0) for a, b in pairwise(nodes)])


def asked(name: str, ends: str, rate_hz: float | None = None) -> PairRequest:
    return PairRequest(request=name, source=ends[0], destination=ends[1], rate_hz=rate_hz)


def rule(tolerance: float = 0.05) -> AdmissionRule:
    return AdmissionRule(replan_every_ns=0, tolerance=tolerance)


def test_a_newcomer_takes_what_is_left_and_nobody_moves() -> None:
    topology = line()
    running = [asked("run", "AD", 2.0)]
    alone = plan_beside(topology, running, [], rule())
    told: list[str] = []
    found = plan_beside(topology, running, [asked("new", "AC", 3.0)], rule(), told=told.append)
    assert found.decided == {"new": "takes what is left"}
    assert [share.rate_hz for share in found.shares] == pytest.approx([2.0, 3.0], rel=1e-9)
    assert found.shares[0].trees == alone.shares[0].trees
    assert told == ["run", "new"]
    Residual(topology).claim("all", found.use)


def test_a_newcomer_that_finds_nothing_is_made_room_for_within_what_others_give() -> None:
    topology = line()
    running = [asked("run", "AD")]
    with pytest.raises(NoPlan, match="request new"):
        plan_beside(topology, running, [asked("new", "BD", 10.0)], rule())
    alone = plan_beside(topology, running, [], rule())
    found = plan_beside(topology, running, [asked("new", "BD", 10.0)], rule(tolerance=0.6))
    assert found.decided == {"new": "all planned anew, which changes run"}
    rates = {share.request: share.rate_hz for share in found.shares}
    assert rates["new"] == pytest.approx(10.0, rel=1e-9)
    assert 0.4 * alone.shares[0].rate_hz <= rates["run"] < alone.shares[0].rate_hz
    Residual(topology).claim("all", found.use)


def test_a_refused_newcomer_is_listed_only_where_that_is_asked_for() -> None:
    topology = line(memories=2)
    running = [asked("run", "AD")]
    found = plan_beside(topology, running, [asked("new", "BD")], rule(0.9), allow_unserved=True)
    assert list(found.unserved) == ["new"]
    assert found.decided == {}
    assert found.min_rate_hz == 0.0


def test_requests_that_cannot_run_already_are_an_error_of_their_own() -> None:
    topology = line(memories=2)
    with pytest.raises(NoPlan, match=r"^already running: request two"):
        plan_beside(topology, [asked("one", "AD"), asked("two", "AD")], [], rule())


def test_one_id_is_one_request_wherever_it_stands() -> None:
    with pytest.raises(NoPlan, match='two requests are called "one"'):
        plan_beside(line(), [asked("one", "AD")], [asked("one", "BD")], rule())
