"""Policies are pure functions of candidates."""

from collections.abc import Sequence

import pytest

from bellwire.node.slots import Slot
from bellwire.swapping.candidates import Held, Situation
from bellwire.swapping.policies import policy_of
from tests.swapping.bench import end_of, swap_plan

ROUTE = ("w", "x", "r", "y", "z")
HERE = 2


def held(number: int, far: str, link: str) -> Held:
    slot = Slot(number, link, 0)
    slot.end = end_of(link, number)
    found = Held(slot, slot.end, 0)
    found.far = ROUTE.index(far)
    found.known = True
    return found


def left(*far: str) -> list[Held]:
    return [held(number, name, "a-r") for number, name in enumerate(far, 1)]


def right(*far: str) -> list[Held]:
    return [held(number, name, "r-b") for number, name in enumerate(far, 11)]


def seen(one: Sequence[Held], other: Sequence[Held]) -> Situation:
    plan = swap_plan(left_partner="x", right_partner="y", route=ROUTE)
    return Situation(plan, one, other, 0.5, 9)


def test_swap_asap_takes_the_oldest_of_each_side() -> None:
    one, other = left("w", "x", "x"), right("y", "z", "z")
    assert policy_of("swap_asap").choose(seen(one, other)) == (one[0], other[0])


@pytest.mark.parametrize("mode", ["swap_asap", "fixed_tree", "fixed_tree(links=full)"])
@pytest.mark.parametrize(("one", "other"), [((), ("y",)), (("x",), ()), ((), ())])
def test_every_policy_waits_while_a_side_is_empty(
    mode: str, one: tuple[str, ...], other: tuple[str, ...]
) -> None:
    assert policy_of(mode).choose(seen(left(*one), right(*other))) is None


def test_the_fixed_tree_takes_the_oldest_pair_that_is_a_child_and_passes_over_the_others() -> None:
    one, other = left("w", "x", "x"), right("z", "y", "y")
    assert policy_of("fixed_tree").choose(seen(one, other)) == (one[1], other[1])


def test_the_fixed_tree_waits_until_both_children_are_there() -> None:
    for one, other in ((("x",), ("z",)), (("w",), ("y",)), (("w",), ("z",))):
        assert policy_of("fixed_tree").choose(seen(left(*one), right(*other))) is None


def test_only_swap_asap_reads_no_ledger() -> None:
    assert [policy_of(mode).needs_view for mode in ("swap_asap", "fixed_tree", "score", "oldest")] == [
        False,
        True,
        True,
        True,
    ]
