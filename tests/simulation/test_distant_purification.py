"""Rounds of purification between the owners of longer pairs, in virtual time with all that really runs.

The World conditions its states on what was measured, so the ledger's estimate of every pair must equal the
truth after any rounds and swaps. Shares of rounds that pass are compared with the closed form of perfect
operations within 4 standard errors (6e-5 by chance).
"""

from dataclasses import replace
from itertools import pairwise
from math import sqrt
from typing import Any

import msgspec
import pytest

from bellwire.core.bell import dejmps, from_walsh, xor_convolve
from bellwire.core.units import NS_PER_S
from bellwire.labs import Scenario
from bellwire.planner.lane_times import link_state
from bellwire.planner.plans import compute_plan
from tests.simulation.faulty import History, crash, faulty_lab
from tests.simulation.test_link_purification import BAD_NETWORK, NOISY, PERFECT, SIGMAS, Seen, lab_of, run

ROUTE = ("ann", "rex", "bob")

LEVELS = pytest.mark.parametrize("words", ["1:1", "2:1", "2:2p", "1:1,2:1p"])


def seen_of(words: str | None, seconds: float, *, mode: str = "fixed_tree", **asked: Any) -> Seen:
    lab = lab_of(NOISY, lanes=4, nodes=ROUTE, purification=words, mode=mode, **asked)
    return run(lab, 3, seconds)


@LEVELS
def test_the_ledger_knows_every_pair_after_rounds_at_any_level_and_swaps(words: str) -> None:
    seen = seen_of(words, 0.25)
    counters = seen.machine("ann").purification.counters
    assert counters["passed"] > 20
    assert counters["failed"] > 5
    assert len(seen.pairs) > 100
    for known in seen.pairs.values():
        assert known.truth.frame == known.row.frame
        assert from_walsh(known.row.state) == pytest.approx(known.truth.state, abs=1e-9)


def test_purified_pairs_are_better_and_only_they_are_delivered() -> None:
    plain = seen_of(None, 0.2)
    delivered = {}
    for words in ("1:1", "2:1"):
        machine = seen_of(words, 0.3).machine("ann")
        assert machine.delivery is not None
        delivered[words] = [record.fidelity for record in machine.delivery.records("r")]
        assert len(delivered[words]) > 50
    unpurified = plain.machine("ann").delivery
    assert unpurified is not None
    before = [record.fidelity for record in unpurified.records("r")]
    mean = sum(before) / len(before)
    for found in delivered.values():
        assert sum(found) / len(found) > mean + 0.01
    assert min(delivered["2:1"]) > max(before)


@pytest.mark.parametrize("words", ["1:1", "2:1"])
def test_gain_and_yield_of_perfect_operations_are_those_of_the_closed_form(words: str) -> None:
    lab = lab_of(PERFECT, lanes=4, nodes=ROUTE, purification=words, mode="fixed_tree")
    seen = run(lab, 4, 0.5)
    fresh = link_state(lab.network.links["ann-rex"])
    rung = dejmps(fresh, fresh) if words == "1:1" else dejmps(*[xor_convolve(fresh, fresh)] * 2)
    counted = [seen.machine(name).purification.counters for name in ("ann", "bob")]
    tried = sum(each["passed"] + each["failed"] for each in counted)
    passed = sum(each["passed"] for each in counted)
    assert tried > 300
    chance = rung.success_probability
    assert abs(passed / tried - chance) < SIGMAS * sqrt(chance * (1.0 - chance) / tried)
    machine = seen.machine("ann")
    assert machine.delivery is not None
    records = machine.delivery.records("r")
    expected = rung.state if words == "2:1" else xor_convolve(rung.state, rung.state)
    assert len(records) > 100
    # Nothing decays and herald codes differ by a frame alone: every delivered pair is the same.
    for record in records:
        assert record.fidelity == pytest.approx(expected[0], abs=1e-9)


def test_adaptive_rounds_deliver_above_the_threshold_what_no_pair_reaches_without_them() -> None:
    floor = 0.75
    plain = seen_of(None, 0.2).machine("ann").delivery
    assert plain is not None
    assert all(record.fidelity < floor for record in plain.records("r"))
    seen = seen_of("adaptive", 0.3, mode="longest_hop", fidelity_min=floor)
    adaptive = seen.machine("ann").delivery
    assert adaptive is not None
    found = [record.fidelity for record in adaptive.records("r")]
    assert len(found) > 100
    # Offered above the floor; what a pair loses until both ends agree is a few one-way times of decay.
    assert min(found) > floor - 0.002


def test_adaptive_rounds_cost_nothing_where_pairs_are_good_enough() -> None:
    plain = seen_of(None, 0.3, mode="longest_hop")
    adaptive = seen_of("adaptive", 0.3, mode="longest_hop", fidelity_min=0.70)
    assert adaptive.machine("ann").purification.counters["asked"] == 0
    counts = [one.machine("ann").delivery.delivered_count("r") for one in (plain, adaptive)]  # type: ignore[union-attr]
    assert counts[1] > 0.95 * counts[0]


@pytest.mark.parametrize(
    ("nodes", "words", "lanes", "seconds"),
    [
        (ROUTE, "1:1,2:1", 3, 0.8),
        (("ann", "n1", "n2", "bob"), "2:1", 2, 0.5),
        (("ann", "n1", "n2", "n3", "bob"), "2:1,4:1", 3, 1.0),
    ],
)
def test_with_no_more_lanes_than_rounds_want_nothing_ever_stops(
    nodes: tuple[str, ...], words: str, lanes: int, seconds: float
) -> None:
    """No wait for a pair is longer than 12 mean ones: of 100 exponential waits one is by a chance of 6e-4."""
    lab = lab_of(NOISY, lanes=lanes, nodes=nodes, purification=words, mode="fixed_tree")
    fewer = lab_of(NOISY, lanes=lanes - 1, nodes=nodes, purification=words, mode="fixed_tree")
    assert isinstance(compute_plan(fewer.network, fewer.requests[0], 1), str)
    delivery = run(lab, 5, seconds, watched=False).machine("ann").delivery
    assert delivery is not None
    times_ns = sorted(record.at_ns for record in delivery.records("r"))
    assert len(times_ns) > 50
    end_ns = round(seconds * NS_PER_S)
    waits_ns = [later - earlier for earlier, later in pairwise([0, *times_ns, end_ns])]
    assert max(waits_ns) < 12 * end_ns / len(times_ns)


@pytest.mark.parametrize(("lanes", "served"), [(2, 1), (3, 1), (4, 2)])
def test_requests_with_rounds_have_the_lanes_that_these_take_or_wait_for_them(
    lanes: int, served: int
) -> None:
    """Sharing few lanes, two requests once stopped each other for good: each kept a pair, and neither
    had lanes for a second one."""
    alone = lab_of(NOISY, lanes=lanes, nodes=ROUTE, purification="2:1", mode="fixed_tree")
    other = msgspec.structs.replace(alone.requests[0], request_id="other")
    delivery = run(replace(alone, requests=(*alone.requests, other)), 3, 0.5, watched=False)
    records = delivery.machine("ann").delivery
    assert records is not None
    counts = [len(records.records(name)) for name in ("r", "other")]
    assert [count > 50 for count in counts] == [True, served == 2]


CRASHES = Scenario(
    message_loss_probability=0.05, crashes=(crash("alice", 800, 900), crash("relay", 1500, 400))
)


@pytest.mark.parametrize(
    ("words", "scenario"),
    [("1:1", BAD_NETWORK), ("2:1", BAD_NETWORK), ("2:1", CRASHES)],
    ids=["links-bad-network", "ends-bad-network", "ends-crashes"],
)
def test_both_ends_agree_or_both_let_go_over_a_bad_network(words: str, scenario: Scenario) -> None:
    """Equal lists, frames as in the World, no qubit left behind (tests/simulation/faulty.py)."""
    lab = faulty_lab(scenario, 12, purification=words, generation_mode="fixed_tree", fidelity_threshold=None)
    history = History(lab, 1)
    history.finish()
    assert history.check() == 12
    asked = taken = 0
    for name in ("alice", "relay", "bob"):
        part = history.node(name).purification
        asked += part.counters["asked"]
        taken += part.counters["taken"]
        assert not part.asking.rounds
        assert not part.answering.taken
        assert all(slot.state != "locked" for slot in history.node(name).slots.slots())
    assert asked >= taken / 2 > 3


def test_no_slot_is_locked_for_longer_than_two_leases_whatever_is_lost() -> None:
    lossy = Scenario(message_loss_probability=0.4, duplicate_probability=0.2, reorder=True)
    locks = Locks()
    history = locks.history_of(lossy, 7, 12)
    ground = history.node("alice").purification.asking._ground
    assert history.node("alice").purification.counters["asked"] > 10
    assert locks.longest_ns > ground.repeat_ns
    assert locks.longest_ns <= 2 * (ground.lease_ns + ground.limit_ns)


def test_a_restart_of_the_answerer_costs_neither_a_lease_nor_a_repeated_word() -> None:
    """Down for 20 ms again and again; a lease is 1050 ms, and an unanswered word is repeated after 50 ms."""
    restarting = Scenario(crashes=tuple(crash("bob", 250 * count, 20) for count in range(1, 15)))
    locks = Locks()
    history = locks.history_of(restarting, 1, 4)
    ground = history.node("alice").purification.asking._ground
    counters = [history.node(name).purification.counters for name in ("alice", "bob")]
    assert sum(each["restarted"] for each in counters) > 0
    assert sum(each["lapsed"] for each in counters) == 0
    assert 0 < locks.longest_ns < ground.repeat_ns


class Locks:
    """Watches how long slots of alice and bob stay locked while their pairs are purified."""

    def __init__(self) -> None:
        self.history: History | None = None
        self.longest_ns = 0
        self._since_ns: dict[tuple[str, int], tuple[int, int]] = {}

    def history_of(self, scenario: Scenario, seed: int, seconds: int) -> History:
        lab = faulty_lab(
            scenario, 400, purification="2:1", generation_mode="fixed_tree", fidelity_threshold=None
        )
        found = History(lab, seed, watch=self)
        found.host.run(seconds * NS_PER_S)
        return found

    def __call__(self, now_ns: int, node: str, event: object, effects: object) -> None:
        history = self.history
        if node not in ("alice", "bob") or history is None or node not in history.host.machines:
            return
        for slot in history.node(node).slots.slots():
            place = (node, slot.index)
            if slot.state != "locked":
                self._since_ns.pop(place, None)
                continue
            known = self._since_ns.get(place)
            if known is None or known[0] != slot.generation:  # a node that came back counts anew
                known = self._since_ns[place] = (slot.generation, now_ns)
            self.longest_ns = max(self.longest_ns, now_ns - known[1])
