"""Ends that are lost without a swap: deaths, cutoffs, shifts, lost partners and lost memories."""

import pytest

from bellwire.core.notices import EndDied, MemoryLost, PeerLost, ShiftOver
from bellwire.swapping.protocols import SWEEPS_PER_LEASE
from tests.swapping.bench import LEFT, SwapBench, end_of, measuring, states

# ---- deaths


def test_the_death_of_a_held_end_releases_it_once_and_takes_it_from_the_candidates() -> None:
    bench = SwapBench()
    slot = bench.pair(10, "a-r", 1)
    bench.notice(20, EndDied(end=LEFT))
    bench.notice(20, EndDied(end=LEFT))
    assert bench.released() == [(LEFT, "dead")]
    assert bench.given_back() == [slot]
    assert bench.others.freed == [slot]
    bench.pair(30, "r-b", 2)
    assert bench.measuring() == []


@pytest.mark.parametrize("state", ["measuring", "offered"])
def test_no_news_touches_an_end_that_is_measuring_or_offered(state: str) -> None:
    bench = SwapBench(cutoff_ns=1_000)
    slot = bench.pair(10, "a-r", 1)
    if state == "measuring":
        bench.pair(10, "r-b", 2)
    else:
        bench.slots.offer(slot)
    bench.view.chains[LEFT].dead = True
    before = states(bench)
    bench.notice(20, EndDied(end=LEFT), PeerLost(peer="a"), MemoryLost(reason="reset"))
    bench.wait(10 * bench.network.timers.plan_lease_ns)  # cutoffs and sweeps
    bench.remove_plan(11 * bench.network.timers.plan_lease_ns)
    assert states(bench) == before
    assert bench.others.facts == []
    assert bench.given_back() == []


def test_a_sweep_finds_a_death_that_nobody_told_of() -> None:
    bench = SwapBench()
    bench.pair(10, "a-r", 1)
    bench.view.chains[LEFT].dead = True
    period_ns = bench.network.timers.plan_lease_ns // SWEEPS_PER_LEASE
    bench.wait(period_ns - 1)
    assert bench.released() == []
    bench.wait(period_ns)
    assert bench.released() == [(LEFT, "dead")]


def test_a_sweep_leaves_living_and_unknown_ends_alone_and_goes_on_while_there_is_a_plan() -> None:
    bench = SwapBench()
    bench.pair(10, "a-r", 1)
    bench.pair(10, "a-r", 3, lane=1)
    del bench.view.chains[end_of("a-r", 3, lane=1)]
    period_ns = bench.network.timers.plan_lease_ns // SWEEPS_PER_LEASE
    bench.wait(3 * period_ns)
    assert bench.released() == []
    assert len([view for view in bench.others.views if view.purpose == "sweep"]) == 3
    bench.remove_plan(3 * period_ns + 1)
    bench.wait(30 * period_ns)
    assert len([view for view in bench.others.views if view.purpose == "sweep"]) == 4


def test_at_an_end_node_a_dead_held_end_is_released_too() -> None:
    bench = SwapBench("a")
    end = end_of("a-r", 1)
    slot = bench.pair(10, "a-r", 1)
    bench.notice(20, EndDied(end=end))
    assert bench.given_back() == [slot]
    assert bench.released() == [(end, "dead")]


# ---- cutoffs and losses


def test_a_cutoff_runs_from_birth_and_strikes_exactly_at_its_end() -> None:
    bench = SwapBench(cutoff_ns=1_000)
    slot = bench.pair(10, "a-r", 1)
    assert bench.machine.next_deadline_ns == 1_010
    bench.wait(1_009)
    assert bench.released() == []
    bench.wait(1_010)
    assert bench.released() == [(LEFT, "cutoff")]
    assert bench.given_back() == [slot]
    assert bench.part.counters["cutoffs"] == 1


def test_without_a_cutoff_the_first_sweep_beyond_the_compulsory_maximum_age_releases() -> None:
    bench = SwapBench()
    bench.pair(10, "a-r", 1)
    bench.pair(10, "a-r", 3, lane=1, request=None)
    age_ns = bench.network.timers.age_max_ns
    bench.wait(age_ns)
    assert bench.released() == []
    bench.wait(age_ns + bench.network.timers.plan_lease_ns // SWEEPS_PER_LEASE)
    assert [reason for _, reason in bench.released()] == ["cutoff", "cutoff"]


def test_a_cutoff_of_a_pair_that_was_used_does_not_strike_its_successor_in_the_same_slot() -> None:
    bench = SwapBench(cutoff_ns=1_000)
    bench.pair(10, "a-r", 1)
    bench.pair(10, "r-b", 2)
    bench.measured(20)
    bench.pair(500, "a-r", 3)
    bench.wait(1_499)
    assert bench.released() == []
    bench.wait(1_500)
    assert bench.released() == [(end_of("a-r", 3), "cutoff")]


def test_a_lost_memory_ends_what_was_held_and_its_slots_are_lost_until_it_is_back() -> None:
    bench = SwapBench()
    bench.pair(10, "a-r", 1)
    bench.notice(20, MemoryLost(reason="reset"))
    assert bench.released() == [(LEFT, "device_lost")]
    assert bench.slots.slot(2).state == "lost"
    assert bench.given_back() == []  # the device has nothing to forget
    bench.pair(30, "r-b", 2)
    assert bench.measuring() == []


def test_a_measurement_in_flight_when_the_memory_is_lost_ends_as_unknown_by_its_own_event() -> None:
    bench = measuring()
    bench.notice(30, MemoryLost(reason="reset"))
    assert bench.others.facts == []
    bench.measured(40, "unknown")
    assert [swap.result for swap in bench.swaps()] == ["unknown"]
    assert states(bench) == ["free"] * 4


def test_a_lost_partner_costs_the_ends_that_are_shared_with_it_and_no_others() -> None:
    bench = SwapBench(policy="fixed_tree")
    bench.pair(10, "a-r", 1)
    bench.pair(10, "a-r", 3, lane=1)
    bench.view.owners[LEFT] = "z"
    bench.notice(20, PeerLost(peer="a"))
    assert bench.released() == [(end_of("a-r", 3, lane=1), "partner_lost")]
    assert bench.part.counters["lost_partners"] == 1


# ---- shifts


def test_an_end_that_waits_for_a_partner_is_given_up_when_its_shift_is_over() -> None:
    bench = SwapBench()
    slot = bench.pair(10, "a-r", 1)
    bench.notice(20, ShiftOver(end=LEFT))
    bench.notice(30, ShiftOver(end=LEFT))
    assert bench.released() == [(LEFT, "cutoff")]
    assert bench.given_back() == [slot]
    assert bench.part.counters["shifts"] == 1
    assert bench.part.counters["cutoffs"] == 0
    bench.pair(40, "r-b", 2)
    assert bench.measuring() == []


def test_the_end_of_a_shift_touches_no_end_that_is_being_measured() -> None:
    bench = measuring()
    bench.notice(30, ShiftOver(end=LEFT))
    assert states(bench) == ["measuring", "free", "measuring", "free"]
    bench.measured(40)
    assert len(bench.swaps()) == 1
    assert bench.released() == []


@pytest.mark.parametrize("node", ["a", "r"])
def test_whoever_does_not_swap_an_end_keeps_it_when_the_shift_is_over(node: str) -> None:
    """A source waits for the far half of a whole pair, and nobody but its planner gives that up."""
    bench = SwapBench(node, role="source", swaps=())
    bench.pair(10, "a-r", 1)
    bench.notice(20, ShiftOver(end=LEFT))
    assert bench.released() == []
    assert bench.part.counters["shifts"] == 0


def test_a_shift_of_a_request_without_a_plan_here_gives_nothing_up() -> None:
    bench = SwapBench()
    bench.pair(10, "a-r", 1, request="other")
    bench.notice(20, ShiftOver(end=LEFT))
    assert bench.released() == []
