"""Requests whose link pairs are purified, in virtual time with everything that really runs.

The World conditions its states on what was measured, and it shares decay and noise with what the lab file
says; so the ledger's estimate of every single pair must equal the truth, not only the mean of many. Counts
are compared with the closed form of independent rounds within 4 standard errors (6e-5 by chance for each).
"""

from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from math import sqrt
from typing import Any

import pytest

from bellwire.core.bell import Purified, from_walsh
from bellwire.core.effects import Effect, Report
from bellwire.core.events import Event
from bellwire.core.ids import End
from bellwire.core.plans import RequestPlan
from bellwire.core.purification import ladder, pairs_per_product, pumps
from bellwire.core.units import NS_PER_S
from bellwire.core.view import Entanglement
from bellwire.labs import Lab, Scenario, build_lab
from bellwire.labs.models import LabFile
from bellwire.node.machines import QuantumNode
from bellwire.planner.lane_times import link_state
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost
from bellwire.simulator_backend.world import PairTruth
from tests.simulation.faulty import History, crash, faulty_lab

SIGMAS = 4.0

NOISY = {
    "t1_s": 4.0,
    "t2_s": 0.5,
    "gate_fidelity": 0.97,
    "single_gate_fidelity": 0.995,
    "readout_fidelity": 0.98,
}
"""Waiting, gates and reading all cost something that can be seen."""

PERFECT: dict[str, Any] = {
    "t1_s": None,
    "t2_s": None,
    "gate_fidelity": 1,
    "single_gate_fidelity": 1,
    "readout_fidelity": 1,
    "bsm_duration_us": 0,
}


def lab_of(
    memory: dict[str, Any],
    *,
    lanes: int,
    nodes: tuple[str, ...] = ("ann", "bob"),
    emission: float = 0.8,
    arm_km: float = 5.0,
    period_us: float = 200.0,
    **request: Any,
) -> Lab:
    """A chain of heralded links whose pairs lack a twentieth each by visibility and by dark counts."""
    links = {}
    stations = {}
    for left, right in pairwise(nodes):
        station = f"mid-{left}"
        stations[station] = {
            "detectors": {"efficiency": 0.9, "visibility": 0.9, "window_ns": 10, "dark_rate_hz": 1e6}
        }
        links[f"{left}-{right}"] = {
            "nodes": (left, right),
            "station": station,
            "fibre_km": (arm_km, arm_km),
            "lanes": lanes,
            "attempt_period_us": period_us,
        }
    emitting = {"emission_efficiency": emission, "conversion_efficiency": 0.9}
    asked = {
        "id": "r",
        "from": nodes[0],
        "to": nodes[-1],
        "count": 100_000,
        "consumption": "keep",
        "deadline_s": 600,
    }
    document = {
        "lab": "purified",
        "nodes": {
            name: {
                "role": "end" if name in (nodes[0], nodes[-1]) else "repeater",
                "memory": {**emitting, **memory},
            }
            for name in nodes
        },
        "stations": stations,
        "links": links,
        "requests": (asked | request,),
    }
    return build_lab(LabFile.model_validate(document), live=False)


@dataclass(slots=True)
class Known:
    """One pair that a node's ledger lists as available, at the first moment at which it does."""

    row: Entanglement
    truth: PairTruth


@dataclass(slots=True)
class Seen:
    """What the first node of a lab knows of its pairs, beside what they are."""

    node: str
    host: VirtualHost | None = None
    pairs: dict[tuple[End, End], Known] = field(default_factory=dict)
    reports: list[Report] = field(default_factory=list)

    def watch(self, now_ns: int, node: str, event: Event, effects: list[Effect]) -> None:
        if node != self.node:
            return
        machine = self.machine(node)
        machine.replica.refresh(now_ns)
        for row in machine.replica.fold.available(now_ns):
            held = (machine.slots.holding(end) for end in row.ends)
            slot = next((one for one in held if one is not None), None)
            if row.ends not in self.pairs and slot is not None and self.host is not None:
                truth = self.host.world.truth(node, slot.index, now_ns)
                if truth is not None and set(truth.ends) == set(row.ends):
                    self.pairs[row.ends] = Known(row, truth)

    def report(self, now_ns: int, node: str, report: Report) -> None:
        if report.name == "link_purification":
            self.reports.append(report)

    def machine(self, node: str) -> QuantumNode:
        assert self.host is not None
        machine = self.host.machines[node]
        assert isinstance(machine, QuantumNode)
        return machine

    def counters(self, node: str, link: str = "ann-bob") -> dict[str, int]:
        return self.machine(node).links.ends[link].counters

    @property
    def fidelity(self) -> float:
        """Mean true fidelity."""
        return sum(known.truth.fidelity for known in self.pairs.values()) / len(self.pairs)


def run(lab: Lab, seed: int, seconds: float, *, watched: bool = True) -> Seen:
    seen = Seen(lab.requests[0].target_nodes[0])
    compute = partial(compute_plan, lab.network)
    seen.host = VirtualHost(lab, seed, compute, watch=seen.watch if watched else None)
    seen.host.reports.append(seen.report)
    seen.host.start()
    seen.host.run(round(seconds * NS_PER_S))
    return seen


def rungs_of(lab: Lab, rounds: int, *, pumping: bool) -> tuple[Purified, ...]:
    """The ladder of the lab's link, while nobody waits."""
    one, other = (lab.network.nodes[name].memory for name in ("ann", "bob"))
    assert one is not None
    assert other is not None
    fresh = link_state(lab.network.links["ann-bob"])
    return ladder(fresh, rounds, pumping=pumping, memories=(one, other))


KINDS = pytest.mark.parametrize(
    ("rounds", "lanes"), [(1, 4), (2, 4), (2, 2)], ids=["one", "recurrence", "pumping"]
)


@KINDS
def test_what_the_ledger_says_of_each_purified_pair_is_what_it_is(rounds: int, lanes: int) -> None:
    seen = run(lab_of(NOISY, lanes=lanes, link_purification=rounds), 3, 0.8)
    assert len(seen.pairs) > 40
    for known in seen.pairs.values():
        assert known.truth.frame == known.row.frame == 0
        assert from_walsh(known.row.state) == pytest.approx(known.truth.state, abs=1e-9)
    fresh = run(lab_of(NOISY, lanes=lanes), 3, 0.3)
    assert seen.fidelity > fresh.fidelity + 0.01


def test_the_age_of_a_purified_pair_counts_from_its_oldest_constituent() -> None:
    seen = run(lab_of(NOISY, lanes=2, link_purification=1), 5, 0.5)
    ages_ns = [known.row.age_ns for known in seen.pairs.values()]
    link = seen.machine("ann").network.links["ann-bob"]
    # The older pair of a round waited for at least one attempt of the other lane, and on average for 1/p.
    mean_wait_ns = link.period_ns / link.success_probability
    assert min(ages_ns) > link.herald_delay_ns[0]
    assert sum(ages_ns) / len(ages_ns) > 0.7 * mean_wait_ns


@KINDS
def test_rates_and_success_are_those_of_the_closed_form(rounds: int, lanes: int) -> None:
    # Some fifty attempts a pair and short ways: what a lane waits for its next attempt is a small part.
    short: dict[str, Any] = {"emission": 0.25, "arm_km": 0.5, "period_us": 20.0}
    lab = lab_of(PERFECT, lanes=lanes, link_purification=rounds, **short)
    seconds = 1.2 if rounds == 1 else 2.4
    seen = run(lab, 4, seconds, watched=False)
    counted = seen.counters("ann")
    rungs = rungs_of(lab, rounds, pumping=pumps(False, rounds, lanes))
    chance = rungs[0].success_probability
    tried = counted["purification_passed"] + counted["purification_failed"]
    made = counted["purification_handed_up"]
    assert made > 500
    if rounds == 1:
        share = counted["purification_passed"] / tried
        assert abs(share - chance) < SIGMAS * sqrt(chance * (1 - chance) / tried)
    # Products of a Markov chain of fresh pairs: their number spreads no more than that of the pairs, so that
    # 1/sqrt(made) bounds the relative error of a rate.
    plan = compute_plan(lab.network, lab.requests[0], 1)
    assert isinstance(plan, RequestPlan)
    assert abs(made / seconds / plan.rate_hz - 1.0) < SIGMAS / sqrt(made)
    assert plan.fidelity == pytest.approx(rungs[-1].state[0], abs=1e-9)
    cost = counted["purification_taken"] / made
    expected = pairs_per_product(rungs, pumping=pumps(False, rounds, lanes))
    assert abs(cost / expected - 1.0) < SIGMAS * sqrt(2.0 / made)


def test_the_plans_fidelity_counts_the_waiting_for_the_second_pair() -> None:
    lab = lab_of(NOISY, lanes=4, link_purification=2)
    seen = run(lab, 6, 1.5)
    plan = compute_plan(lab.network, lab.requests[0], 1)
    assert isinstance(plan, RequestPlan)
    assert abs(plan.fidelity - seen.fidelity) < 0.003


def test_purified_link_pairs_are_swapped_like_any_other() -> None:
    names = ("ann", "rex", "bob")
    seen = run(lab_of(NOISY, lanes=4, nodes=names, link_purification=1), 8, 0.6)
    long = [known for known in seen.pairs.values() if known.row.hops == 2]
    assert len(long) > 30
    for known in long:
        assert known.truth.frame == known.row.frame
        assert from_walsh(known.row.state) == pytest.approx(known.truth.state, abs=1e-9)
    plain = run(lab_of(NOISY, lanes=4, nodes=names), 8, 0.3)
    swapped = [known.truth.fidelity for known in plain.pairs.values() if known.row.hops == 2]
    purified = [known.truth.fidelity for known in long]
    assert sum(purified) / len(purified) > sum(swapped) / len(swapped) + 0.01


def test_when_the_request_is_served_both_ends_tell_what_its_rounds_cost() -> None:
    lab = lab_of(NOISY, lanes=4, link_purification=1, count=25)
    seen = run(lab, 9, 5.0)
    assert len(seen.reports) == 2
    for report in seen.reports:
        ends = {name: int(report.fields[name] or 0) for name in ("handed_up", "spent", "failed", "given_up")}
        assert report.fields["taken"] == sum(ends.values())
        assert ends["handed_up"] >= 25
    for node in ("ann", "bob"):
        machine = seen.machine(node)
        assert not machine.links.ends["ann-bob"].purification.pool.pairs
        assert {slot.state for slot in machine.slots.slots()} == {"free"}


BAD_NETWORK = Scenario(
    message_loss_probability=0.08, duplicate_probability=0.1, delay_jitter_ns=2_000_000, reorder=True
)


@pytest.mark.parametrize(
    ("rounds", "scenario"),
    [
        (1, BAD_NETWORK),
        (2, BAD_NETWORK),
        (1, Scenario(message_loss_probability=0.05, crashes=(crash("relay", 700, 900),))),
        (
            2,
            Scenario(
                message_loss_probability=0.05, crashes=(crash("alice", 800, 900), crash("bob", 2200, 300))
            ),
        ),
    ],
    ids=["bad-network", "bad-network-two-rounds", "repeater-crashes", "ends-crash"],
)
def test_a_request_of_purified_pairs_is_served_over_a_bad_network(rounds: int, scenario: Scenario) -> None:
    """Equal lists at both ends, frames as in the World, no qubit left behind (tests/simulation/faulty.py)."""
    lab = faulty_lab(scenario, 12, link_purification=rounds, fidelity_threshold=None)
    history = History(lab, 1)
    history.finish()
    assert history.check() == 12
    for name in ("alice", "relay", "bob"):
        for end in history.node(name).links.ends.values():
            assert not end.purification.pool.pairs
