"""Policies are pure functions of candidates and view."""

from typing import Any

import pytest

from bellwire.node.slots import Slot
from bellwire.swapping.policies import POLICIES, Candidates, Choice, fixed_tree, swap_asap
from tests.swapping.bench import FakeView, end_of, swap_plan


def slot_of(link: str, attempt: int) -> Slot:
    slot = Slot(attempt, link, 0)
    slot.end = end_of(link, attempt)
    return slot


LEFT = [slot_of("a-r", attempt) for attempt in (1, 2, 3)]
RIGHT = [slot_of("r-b", attempt) for attempt in (4, 5, 6)]


def view_of(**owners: str) -> FakeView:
    """`far` of slot N given as sN="owner"."""
    view = FakeView()
    for slot in LEFT + RIGHT:
        owner = owners.get(f"s{slot.index}")
        if owner is not None and slot.end is not None:
            view.knows(slot.end, owner)
    return view


def tree(left: list[Slot], right: list[Slot], view: Any) -> Choice:
    return fixed_tree(Candidates(left, right), swap_plan(left_partner="x", right_partner="y"), view, 0.5, 9)


def test_swap_asap_takes_the_oldest_of_each_side() -> None:
    assert swap_asap(Candidates(LEFT, RIGHT), swap_plan(), None, 0.0, 0) == (LEFT[0], RIGHT[0])


@pytest.mark.parametrize(("left", "right"), [([], RIGHT), (LEFT, []), ([], [])])
def test_every_policy_waits_while_a_side_is_empty(left: list[Slot], right: list[Slot]) -> None:
    view: Any = view_of(s1="x", s2="x", s3="x", s4="y", s5="y", s6="y")
    for policy in POLICIES.values():
        plan = swap_plan(left_partner="x", right_partner="y")
        assert policy.choose(Candidates(left, right), plan, view, 0.0, 0) is None


def test_the_fixed_tree_takes_the_oldest_pair_that_is_a_child_and_passes_over_the_others() -> None:
    view = view_of(s1="near", s2="x", s3="x", s4="near", s5="near", s6="y")
    assert tree(LEFT, RIGHT, view) == (LEFT[1], RIGHT[2])


def test_the_fixed_tree_waits_until_both_children_are_there() -> None:
    assert tree(LEFT, RIGHT, view_of(s1="x", s4="near")) is None
    assert tree(LEFT, RIGHT, view_of(s1="near", s4="y")) is None
    assert tree(LEFT, RIGHT, view_of(s1="y", s4="x")) is None


def test_the_fixed_tree_never_takes_a_dead_or_unknown_pair() -> None:
    view = view_of(s1="x", s2="x", s4="y")
    assert LEFT[0].end is not None
    view.chains[LEFT[0].end].dead = True
    assert tree(LEFT, RIGHT, view) == (LEFT[1], RIGHT[0])
    del view.chains[LEFT[0].end]
    assert tree(LEFT, RIGHT, view) == (LEFT[1], RIGHT[0])


def test_the_fixed_tree_waits_without_a_view_and_the_table_says_that_it_needs_one() -> None:
    assert tree(LEFT, RIGHT, None) is None
    assert {name: policy.needs_view for name, policy in POLICIES.items()} == {
        "swap_asap": False,
        "fixed_tree": True,
    }
