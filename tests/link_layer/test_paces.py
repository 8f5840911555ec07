"""A paced plan has no more attempts than its rate needs, alone or beside others."""

import math
from fractions import Fraction
from itertools import pairwise

import pytest

from bellwire.core.plans import LinkPlan
from bellwire.labs.paper_network import attempt_s, chain_lab, success_probability
from bellwire.link_layer.binding import NOBODY
from bellwire.link_layer.schedulers.budgets import pace_lanes
from bellwire.link_layer.schedulers.fair_queueing import WeightedFairQueueing
from bellwire.link_layer.schedulers.round_robin import WeightedRoundRobin
from bellwire.link_layer.schedulers.words import Demand, Frames, ScheduleEntry, Scheduler
from bellwire.node.machines import QuantumNode
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost


def demand(name: str, pace: Fraction | None, *, lanes: int = 0, reserved_only: bool = False) -> Demand:
    entry = ScheduleEntry(request=name, tree=0)
    plan = LinkPlan(
        request=name,
        tree=0,
        link="a-b",
        partner="b",
        rate_hz=1.0,
        lanes=lanes,
        weight=1,
        fidelity_min=None,
        paced=pace is not None,
        reserved_only=reserved_only,
    )
    return Demand(entry, plan, 100.0, pace=pace)


def lanes_of(demands: list[Demand], lanes: int, scheduler: Scheduler | None = None) -> dict[str, Fraction]:
    """Mean number of lanes that serve each request, "" for nobody."""
    scheduler = WeightedRoundRobin() if scheduler is None else scheduler
    shares = scheduler.divide(lanes, demands, {}, Frames(10, 100)).shares
    found: dict[str, Fraction] = {}
    for entry in shares.owners:
        found[entry.request] = found.get(entry.request, Fraction(0)) + 1
    for entry in shares.cycle:
        part = Fraction(lanes - len(shares.owners), len(shares.cycle))
        found[entry.request] = found.get(entry.request, Fraction(0)) + part
    return found


def test_a_paced_request_alone_has_its_pace_and_nobody_has_the_rest() -> None:
    assert lanes_of([demand("r", Fraction(1, 4))], 1) == {"r": Fraction(1, 4), "": Fraction(3, 4)}
    assert lanes_of([demand("r", Fraction(5, 4))], 3) == {"r": Fraction(5, 4), "": Fraction(7, 4)}


def test_a_pace_above_what_a_request_is_given_changes_nothing() -> None:
    assert lanes_of([demand("r", Fraction(3))], 2) == {"r": Fraction(2)}
    both = [demand("r", Fraction(1)), demand("s", None)]
    assert lanes_of(both, 1) == {"r": Fraction(1, 2), "s": Fraction(1, 2)}


def test_beside_others_only_the_paced_one_is_cut() -> None:
    found = lanes_of([demand("r", Fraction(1, 4)), demand("s", None)], 2)
    assert found == {"r": Fraction(1, 4), "s": Fraction(1), "": Fraction(3, 4)}


def test_reserved_lanes_of_a_paced_request_are_cut_too() -> None:
    found = lanes_of([demand("r", Fraction(1, 2), lanes=1), demand("s", None)], 2)
    assert found["r"] == Fraction(1, 2)
    assert sum(found.values()) == 2


def test_what_nobody_is_given_is_written_as_nobody() -> None:
    cycle = WeightedRoundRobin().divide(1, [demand("r", Fraction(1, 2))], {}, Frames(10, 100)).shares.cycle
    assert set(cycle) == {ScheduleEntry(request="r", tree=0), NOBODY}


@pytest.mark.parametrize("scheduler", [WeightedRoundRobin(), WeightedFairQueueing()])
def test_whoever_keeps_to_reserved_lanes_has_these_and_no_more_alone_and_beside_others(
    scheduler: Scheduler,
) -> None:
    steady, other = demand("r", None, lanes=2, reserved_only=True), demand("s", None)
    also = demand("t", None, lanes=1, reserved_only=True)
    assert lanes_of([steady], 5, scheduler) == {"r": 2, "": 3}
    assert lanes_of([steady, other], 5, scheduler) == {"r": 2, "s": 3}
    assert lanes_of([steady, also], 5, scheduler) == {"r": 2, "t": 1, "": 2}
    assert lanes_of([steady, also], 3, scheduler) == {"r": 2, "t": 1}
    assert lanes_of([steady, demand("u", None, lanes=2)], 5, scheduler) == {"r": 2, "u": 3}


LENGTHS_KM = (10.0, 10.0, 20.0)


@pytest.mark.parametrize("seed", [1, 2])
def test_links_of_a_rate_matched_tree_make_pairs_at_the_rate_of_their_plan_and_no_faster(seed: int) -> None:
    """Three hops, 20 s: the last link stands alone beside the pair of two swapped ones and must be slowed.

    A link whose memories are always free makes pairs at the pace of its plan, one that must wait for memories
    fewer. A Poisson count is more than 4 standard errors above its mean with a probability below 6e-5.
    """
    lab = chain_lab(LENGTHS_KM, mode="fixed_tree", duration_s=60.0)
    plan = compute_plan(lab.network, lab.requests[0], 1)
    assert not isinstance(plan, str)
    host = VirtualHost(lab, seed, lambda *asked: compute_plan(lab.network, *asked))
    host.start()
    host.run(20_000_000_000)
    slowed = 0
    for (left, right), length_km in zip(
        pairwise(f"c{index:02d}" for index in range(4)), LENGTHS_KM, strict=True
    ):
        wanted_hz = next(one.rate_hz for one in plan.nodes[left].links if one.partner == right)
        full_hz = success_probability(length_km) / attempt_s(length_km)
        slowed += wanted_hz < 0.9 * full_hz
        machine = host.machines[left]
        assert isinstance(machine, QuantumNode)
        counted = machine.links.ends[f"{left}-{right}"].counters
        made = counted["heralds"] - counted["idle"] - counted["unusable"]
        pace = pace_lanes(
            next(one for one in plan.nodes[left].links if one.partner == right),
            lab.network.links[f"{left}-{right}"],
        )
        assert pace is not None
        allowed = 20.0 * full_hz * float(pace)
        assert made < allowed + 4.0 * math.sqrt(allowed)
    assert slowed == 1
