"""Memories of a bank by side: whoever holds something leaves a memory to each side that holds nothing."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.plans import LinkPlan
from bellwire.link_layer.bank_sides import Bank, Wanting, bank_of
from bellwire.node.slots import Slot
from tests.link_layer.shared_bench import LEASE_NS, SharedBench, star

Side = tuple[str, str, int]
"""Link, request, tree."""


def part(side: Side, lanes: int = 0) -> LinkPlan:
    link, request, tree = side
    return LinkPlan(
        request=request,
        tree=tree,
        link=link,
        partner="other",
        rate_hz=1.0,
        lanes=lanes,
        weight=1,
        fidelity_min=None,
    )


def wanting(*sides: Side, lanes: int = 0) -> dict[str, Wanting]:
    """Plans by link."""
    found: dict[str, dict[tuple[str, int], LinkPlan]] = {}
    for side in sides:
        found.setdefault(side[0], {})[side[1:]] = part(side, lanes)
    return dict(found)


def bank(slots: int, held: list[Side], attempts: list[str]) -> Bank:
    return Bank(
        slots,
        slots - len(held) - len(attempts),
        {link: attempts.count(link) for link in attempts},
        {side: held.count(side) for side in held},
    )


def others(by_link: dict[str, Wanting], link: str) -> list[tuple[str, Wanting]]:
    return [(name, theirs) for name, theirs in by_link.items() if name != link]


ONE: Side = ("l", "r1", 0)
TWO: Side = ("l", "r2", 0)
FAR: Side = ("m", "r1", 0)


def test_one_request_may_hold_all_memories_but_one_on_one_side() -> None:
    both = wanting(ONE, FAR)
    assert bank(5, [ONE] * 3, []).takeable("l", both["l"], others(both, "l")) == 1
    assert bank(5, [ONE] * 4, []).takeable("l", both["l"], others(both, "l")) == 0
    assert bank(5, [ONE] * 4, []).takeable("m", both["m"], others(both, "m")) == 1


def test_a_link_that_nobody_else_is_beside_may_fill_the_bank() -> None:
    alone = wanting(ONE)
    assert bank(5, [ONE] * 4, []).takeable("l", alone["l"], []) == 1


def test_the_last_attempt_of_a_link_is_kept_for_the_request_that_holds_nothing() -> None:
    shared = wanting(ONE, TWO)
    full = bank(2, [ONE], ["l"])
    assert not full.keeps("l", ("r1", 0), shared["l"], [])
    assert full.keeps("l", ("r2", 0), shared["l"], [])
    assert bank(3, [ONE], ["l"]).keeps("l", ("r1", 0), shared["l"], [])  # a memory is free besides


def test_a_request_with_reserved_lanes_counts_on_as_many_memories() -> None:
    reserved = wanting(FAR, lanes=3) | wanting(ONE)
    assert bank(5, [], []).takeable("l", reserved["l"], others(reserved, "l")) == 2
    assert bank(5, [FAR], ["m"]).takeable("l", reserved["l"], others(reserved, "l")) == 2


def test_with_more_sides_than_memories_whoever_holds_nothing_takes_what_there_is() -> None:
    many = wanting(*(("l", f"r{number}", 0) for number in range(4)), FAR)
    assert bank(2, [], []).takeable("m", many["m"], others(many, "m")) == 1
    assert bank(2, [], []).takeable("l", many["l"], others(many, "l")) == 2


SIDES = [(link, request, tree) for link in "lmn" for request in ("r1", "r2") for tree in (0, 1)]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    some=st.sets(st.sampled_from(SIDES), min_size=1, max_size=7),
    spare=st.integers(0, 3),
    lanes=st.integers(1, 3),
    seed=st.integers(0, 10**6),
)
def test_whatever_happens_every_side_without_a_pair_can_have_an_attempt(
    some: set[Side], spare: int, lanes: int, seed: int
) -> None:
    """Links attempt, pairs are born for any of their requests, and none of them ever goes away."""
    chance, by_link = Random(seed), wanting(*some)
    slots = len(some) + spare
    held: list[Side] = []
    attempts: list[str] = []
    for _ in range(60):
        state = bank(slots, held, attempts)
        owed = sum(state.owed(link, theirs) for link, theirs in by_link.items())
        assert owed <= state.free, (held, attempts)
        link = chance.choice(sorted(by_link))
        theirs, beside = by_link[link], others(by_link, link)
        if attempts.count(link) < lanes and state.takeable(link, theirs, beside) > 0:
            attempts.append(link)
        elif link in attempts:
            side = chance.choice(sorted(theirs))
            attempts.remove(link)
            if state.keeps(link, side, theirs, beside):
                held.append((link, *side))
    # Nothing went away, so the bank fills until each side has its pair and the spare ones are gone.
    for link, theirs in by_link.items():
        for side in theirs:
            state = bank(slots, held, attempts)
            if (link, *side) not in held:
                assert link in attempts or state.takeable(link, theirs, others(by_link, link)) > 0
                if link not in attempts:
                    attempts.append(link)
                state = bank(slots, held, attempts)
                assert state.keeps(link, side, theirs, others(by_link, link))


def test_what_memories_do_is_counted_by_side_and_lost_ones_are_nobodys() -> None:
    slots = [Slot(index, "l", 0, in_bank=True) for index in range(5)]
    for slot, state in zip(slots, ("free", "attempting", "held", "measuring", "lost"), strict=True):
        slot.state = state  # type: ignore[assignment]  # one of the states
        slot.request = "r1"
    assert bank_of(slots) == Bank(5, 1, {"l": 1}, {("l", "r1", 0): 2})


@pytest.mark.parametrize("seed", range(3))
def test_pairs_of_one_request_leave_a_memory_to_the_other_request_of_the_same_link(seed: int) -> None:
    """Nobody takes the pairs: the first request would fill the bank, were there no rule."""
    bench = SharedBench(star(1, banks={"hub": 3, "n0": 3}, turn_ns=0), seed, held_for_ns=10**15)
    for request in ("r1", "r2"):
        bench.want("l0", request=request)
    bench.run(20 * LEASE_NS)
    holding = {slot.request for slot in bench.slots["hub"].slots() if slot.state == "held"}
    assert holding == {"r1", "r2"}
