"""One request of every kind in virtual time, with everything that really runs: each ends as its terms say.

The shipped lab has a fast way of poor pairs and a slow one of good pairs. The seed is fixed. Rates: a request
with one lane of 12 pairs/s reserved for a threshold of 5 pairs/s falls short of it over 50 pairs with a
probability below 1e-9 (a Poisson count of 50 in the time for 120).
"""

from dataclasses import replace
from typing import Any

import pytest

from bellwire.core.events import RequestCancelled
from bellwire.core.plans import EntanglementRequest
from bellwire.core.units import NS_PER_S, ns_from_s
from bellwire.labs import Lab, load_lab
from bellwire.simulator_backend.simulation import simulate
from tests.simulation.requested import Run

LAB = "lab_configs/request_kinds.yaml"


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    lab = load_lab(LAB)
    return simulate(lab, 30.0, lab.seed)


def test_every_request_of_the_lab_file_ends_as_it_says(report: dict[str, Any]) -> None:
    requests = report["requests"]
    assert {name: one["status"] for name, one in requests.items()} == dict.fromkeys(requests, "completed")
    assert {name: one["delivered"] for name, one in requests.items() if name != "both"} == {
        "number": 50,
        "best-fidelity": 50,
        "best-rate": 50,
        "line": 3,
        "circuit": 4,
    }
    assert requests["both"]["delivered"] > 25
    assert {one["frame_errors"] for one in requests.values()} == {0}
    assert requests["best-fidelity"]["rate_hz"] > 5.0


def test_the_true_fidelity_of_a_circuit_s_pairs_is_seen_at_their_use(report: dict[str, Any]) -> None:
    circuit = report["requests"]["circuit"]
    assert circuit["pairs_in_order"] == 4
    assert 0.5 < circuit["fidelity_true_mean"] < 0.98


def alone(*requests: EntanglementRequest) -> Lab:
    return replace(load_lab(LAB), requests=requests)


def pairs(request_id: str, **terms: Any) -> EntanglementRequest:
    return EntanglementRequest(request_id=request_id, target_nodes=("alice", "bob"), **terms)


def trees(run: Run, request: str) -> list[str]:
    return [fields["tree"] for _, _, fields in run.of("plan_active", request)]


def words(run: Run, request: str) -> list[str]:
    return [fields["admission"] for _, _, fields in run.of("request_admission", request)]


def test_each_kind_takes_the_way_that_is_best_for_it() -> None:
    run = Run(
        alone(
            pairs("number", count=20),
            pairs("best-fidelity", count=20, rate_threshold_hz=5.0),
            pairs("best-rate", count=20, fidelity_threshold=0.9),
            pairs("fast", count=20, rate_threshold_hz=100.0),
        )
    ).until(10.0)
    assert trees(run, "number")[0] == "(alice bob)"
    assert trees(run, "best-fidelity")[0] == "((alice hub) (hub bob))"
    assert trees(run, "best-rate")[0] == "((alice hub) (hub bob))"
    assert trees(run, "fast")[0] == "(alice bob)"


def test_a_standing_request_is_complete_when_it_is_withdrawn_and_others_get_its_lanes() -> None:
    """`late` wants a rate for which there is no room while `standing` runs; `never` does not wait."""
    most_hz = 150.0
    run = Run(
        alone(
            pairs("standing", until_cancelled=True, rate_threshold_hz=most_hz),
            pairs("late", count=20, rate_threshold_hz=most_hz),
            pairs("never", count=20, rate_threshold_hz=most_hz, when_full="reject"),
            pairs("short", count=20, rate_threshold_hz=most_hz, queue_ns=2 * NS_PER_S),
        )
    )
    run.host.tell_at(ns_from_s(5.0), "alice", RequestCancelled(request="standing"))
    run.until(4.0)
    assert words(run, "standing") == ["accepted"]
    assert words(run, "late") == ["queued"]
    assert words(run, "never") == ["rejected"]
    assert words(run, "short") == ["queued", "rejected"]
    (rejected,) = run.of("request_admission", "never")
    assert "no room for rate 150/s" in rejected[2]["reason"]
    assert 0.0 < rejected[2]["offer_rate_hz"] < most_hz
    run.until(30.0)
    standing = run.of("request_status", "standing")[-1][2]
    assert (standing["status"], standing["error_message"]) == ("completed", None)
    assert standing["generated_count"] > 100
    assert words(run, "late") == ["queued", "accepted"]
    late = run.of("request_status", "late")[-1][2]
    assert (late["status"], late["generated_count"]) == ("completed", 20)
    short = run.of("request_status", "short")[-1][2]
    assert short["status"] == "failed"
    assert short["error_message"].startswith("waited 2 s for room: no room for rate 150/s")


def test_what_was_offered_is_accepted_when_it_is_asked_for() -> None:
    standing = pairs("standing", until_cancelled=True, rate_threshold_hz=150.0)
    never = pairs("never", count=20, rate_threshold_hz=150.0, when_full="reject")
    run = Run(alone(standing, never)).until(3.0)
    (rejected,) = [fields for _, _, fields in run.of("request_admission", "never")]
    modest = pairs(
        "modest",
        count=20,
        rate_threshold_hz=rejected["offer_rate_hz"],
        fidelity_threshold=rejected["offer_fidelity"],
        when_full="reject",
    )
    run = Run(alone(standing, modest)).until(3.0)
    assert words(run, "modest") == ["accepted"]
