"""Reserved rates, refusals and replaced plans in virtual time, with everything that really runs.

Owns whole-network tests of dispatch as a reservation; the protocol alone is in
tests/planner/test_reservations.py.
"""

from collections import defaultdict
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from bellwire.core.effects import Effect, Publish
from bellwire.core.events import Event, ReplanAsked
from bellwire.core.facts import Released
from bellwire.core.ids import NodeId
from bellwire.core.units import NS_PER_S
from bellwire.labs import Lab, Scenario, load_lab
from bellwire.node.machines import QuantumNode
from bellwire.planner.messaging import Messaging
from tests.simulation.faulty import History, crash

HUB = "lab_configs/shared_hub.yaml"


def lab_of(*requests: dict[str, Any], scenario: Scenario | None = None, file: str = HUB) -> Lab:
    """The lab of a file with other requests; each names what differs from the file's first one."""
    lab = load_lab(file)
    made = tuple(msgspec.structs.replace(lab.requests[0], **changes) for changes in requests)
    return replace(lab, requests=made, scenario=lab.scenario if scenario is None else scenario)


def rivals(first: dict[str, Any] | None = None, second: dict[str, Any] | None = None) -> Lab:
    """Two requests for 350/s over the link hub-cat, which has room for one of them."""
    rate: dict[str, Any] = {"rate_threshold_hz": 350.0}
    return lab_of(
        {"request_id": "first", "route": ("ann", "hub", "cat"), **rate, **(first or {})},
        {
            "request_id": "second",
            "target_nodes": ("ben", "cat"),
            "route": ("ben", "hub", "cat"),
            **rate,
            **(second or {}),
        },
    )


class Books:
    """Looks into the planning part of every node after each of its steps."""

    def __init__(self) -> None:
        self.history: History | None = None
        self.steps = 0
        self.fullest = 0
        self.withdrawn = 0
        self.versions: dict[tuple[NodeId, str], list[int]] = defaultdict(list)

    def __call__(self, now_ns: int, node: NodeId, event: Event, effects: list[Effect]) -> None:
        assert self.history is not None
        machine = self.history.host.machines[node]
        if not isinstance(machine, QuantumNode):
            return
        self.steps += 1
        for effect in effects:
            if isinstance(effect, Publish):
                self.withdrawn += sum(
                    isinstance(fact, Released) and fact.reason == "withdrawn" for fact in effect.batch.facts
                )
        (messaging,) = [part for part in machine.parts if isinstance(part, Messaging)]
        for link in self.history.lab.network.nodes[node].links:
            lanes = self.history.lab.network.links[link].lanes
            sold = sum(part.lanes for part in messaging.reservations.on(link))
            self.fullest = max(self.fullest, sold)
            assert sold <= lanes, f"{node} sold {sold} of {lanes} lanes of {link}"
        for request, plan in messaging.plans.items():
            seen = self.versions[node, request]
            if not seen or seen[-1] != plan.version:
                seen.append(plan.version)


def watched(lab: Lab, seed: int) -> tuple[History, Books]:
    books = Books()
    history = History(lab, seed, watch=books)
    return history, books


def rate_hz(history: History, request: str, since_s: float, until_s: float) -> tuple[float, float]:
    """Delivered pairs per second in a span of time, and the standard error of the count."""
    times = history.observer.outcomes[request].delivered_ns
    count = sum(since_s * NS_PER_S <= at_ns < until_s * NS_PER_S for at_ns in times)
    return count / (until_s - since_s), count**0.5 / (until_s - since_s)


@pytest.mark.parametrize("seed", range(2))
def test_reserved_rates_are_kept_beside_a_request_that_takes_all_it_can_get(seed: int) -> None:
    """Two sources reserve 85/s each towards cat, a third request from ann reserves one place and is idle's
    heir.

    The rates hold if no measured one is more than 4 standard errors below (false alarm 3e-5 each, 4 checks).
    """
    history, books = watched(
        lab_of(
            {"request_id": "a", "rate_threshold_hz": 85.0, "route": ("ann", "hub", "cat")},
            {
                "request_id": "b",
                "target_nodes": ("ben", "cat"),
                "rate_threshold_hz": 85.0,
                "route": ("ben", "hub", "cat"),
            },
            {"request_id": "idle", "rate_threshold_hz": None, "route": ("ann", "hub", "cat")},
        ),
        seed,
    )
    history.host.run(6 * NS_PER_S)
    for request in ("a", "b"):
        measured_hz, error_hz = rate_hz(history, request, 1.0, 6.0)
        assert measured_hz >= 85.0 - 4.0 * error_hz
    assert rate_hz(history, "idle", 1.0, 6.0)[0] > 0.0
    assert all(one.frame_errors == 0 for one in history.observer.outcomes.values())
    assert books.fullest == 2


@pytest.mark.parametrize("seed", range(3))
def test_two_that_want_one_repeater_end_on_two(seed: int) -> None:
    history, books = watched(load_lab(HUB), seed)
    history.host.run(5 * NS_PER_S)
    routes = {}
    for node, request in (("ann", "ann-cat"), ("ben", "ben-cat")):
        machine = history.node(node)
        (messaging,) = [part for part in machine.parts if isinstance(part, Messaging)]
        routes[request] = messaging.plans[request].route[1]
        measured_hz, error_hz = rate_hz(history, request, 2.0, 5.0)
        assert measured_hz >= 240.0 - 4.0 * error_hz  # false alarm 3e-5 a check, 6 checks
    assert sorted(routes.values()) == ["hub", "rim"]
    assert history.reports["plan_refused"] >= 1
    assert books.steps > 10_000


def test_a_rate_without_room_fails_at_its_deadline_and_says_what_was_missing() -> None:
    history, _ = watched(
        rivals(second={"duration_ns": None, "count": 10, "deadline_ns": 4 * NS_PER_S}),
        1,
    )
    history.host.run(5 * NS_PER_S)
    outcomes = history.observer.outcomes
    assert outcomes["first"].status == "in_progress"
    (failed,) = [one for one in outcomes.values() if one.status == "failed"]
    assert failed.error is not None
    assert failed.error.startswith("deadline of 4 s over: delivered 0 of 10; the last plan: ")
    assert "link hub-cat has " in failed.error
    assert " of 4 lanes left" in failed.error


def test_a_request_without_a_plan_says_so_and_why_while_it_waits() -> None:
    history, _ = watched(
        rivals(),
        1,
    )
    history.host.run(NS_PER_S)
    waiting = [one for one in history.observer.outcomes.values() if one.status == "planning"]
    assert len(waiting) == 1
    assert waiting[0].error is not None
    assert "lanes left" in waiting[0].error


def test_room_that_comes_back_is_used() -> None:
    history, _ = watched(
        rivals(first={"duration_ns": 2 * NS_PER_S}, second={"duration_ns": None, "count": 50}),
        2,
    )
    history.host.run(12 * NS_PER_S)
    assert {name: one.status for name, one in history.observer.outcomes.items()} == {
        "first": "completed",
        "second": "completed",
    }


BAD = {
    "message_loss_probability": 0.03,
    "duplicate_probability": 0.05,
    "delay_jitter_ns": 3_000_000,
    "reorder": True,
}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "scenario",
    [Scenario(), Scenario(**BAD), Scenario(**BAD, crashes=(crash("hub", 900, 700), crash("rim", 1900, 400)))],
    ids=["good", "bad", "crashes"],
)
def test_a_plan_replaced_again_and_again_delivers_equal_books(scenario: Scenario, seed: int) -> None:
    """Pairs in flight are used where the links stay, and released elsewhere; no node goes back a version."""
    wanted = {"request_id": "r", "rate_threshold_hz": 50.0, "consumption": "keep", "duration_ns": None}
    lab = lab_of({**wanted, "count": 400, "deadline_ns": 60 * NS_PER_S}, scenario=scenario)
    history, books = watched(lab, seed)
    for number in range(8):
        history.host.tell_at(round((0.5 + 0.22 * number) * NS_PER_S), "ann", ReplanAsked(request="r"))
    history.finish()
    assert history.statuses[0][1] == "completed"
    assert history.check() == 400
    assert all(seen == sorted(seen) for seen in books.versions.values())
    routes = {name for (name, request), seen in books.versions.items() if seen and name in ("hub", "rim")}
    assert routes == {"hub", "rim"}
    assert max(len(seen) for seen in books.versions.values()) >= 4


def test_a_replacement_costs_no_pair_that_both_plans_can_use() -> None:
    """On one route the policy changes, the links stay: nothing is withdrawn."""
    lab = lab_of(
        {"request_id": "r", "rate_threshold_hz": None, "route": ("ann", "hub", "cat"), "consumption": "keep"}
    )
    history, books = watched(lab, 3)
    for number in range(5):
        history.host.tell_at(round((1.0 + 0.3 * number) * NS_PER_S), "ann", ReplanAsked(request="r"))
    history.host.run(3 * NS_PER_S)
    assert len(books.versions["hub", "r"]) == 6
    assert books.withdrawn == 0
    undisturbed, _ = watched(lab, 3)
    undisturbed.host.run(3 * NS_PER_S)
    delivered = [each.observer.outcomes["r"].delivered_ns for each in (history, undisturbed)]
    assert delivered[0] == delivered[1]
    assert len(delivered[0]) > 1000


@pytest.mark.parametrize("seed", range(2))
def test_two_trees_side_by_side_bring_a_rate_that_no_route_has_alone(seed: int) -> None:
    history, books = watched(
        lab_of({"request_id": "r", "rate_threshold_hz": 550.0, "consumption": "keep"}), seed
    )
    history.host.run(4 * NS_PER_S)
    outcome = history.observer.outcomes["r"]
    assert outcome.status == "in_progress"
    assert {name for (name, _), seen in books.versions.items() if seen} == {"ann", "hub", "rim", "cat"}
    measured_hz, error_hz = rate_hz(history, "r", 1.0, 4.0)
    assert measured_hz >= 550.0 - 4.0 * error_hz  # false alarm 3e-5 a check, 2 checks
    assert outcome.frame_errors == 0
    assert all(history.node(name).swapping.counters["succeeded"] > 100 for name in ("hub", "rim"))


def test_nothing_to_plan_anew_is_said_and_changes_nothing() -> None:
    history, _ = watched(load_lab(HUB), 1)
    history.host.tell_at(NS_PER_S // 2, "ann", ReplanAsked(request="unheard"))
    history.host.run(NS_PER_S)
    assert history.reports["replan_refused"] == 1
