"""A request may name its swapping tree in words, and with it its route."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.errors import ConfigError
from bellwire.core.plans import Circumstances
from bellwire.planner.intervals import RouteTimes, Shape, tree_of_shape
from bellwire.planner.plans import compute_plan
from bellwire.planner.tree_texts import NODES_MAX, read_tree
from tests.planner.test_routes import asked, chain, planned, refusal

LEFT_DEEP = "(((a b) (b c)) (c z))"
RIGHT_DEEP = "((a b) ((b c) (c z)))"


def test_the_words_of_a_tree_give_its_route_and_its_nesting() -> None:
    assert read_tree("(a b)") == (("a", "b"), 0)
    assert read_tree(LEFT_DEEP) == (("a", "b", "c", "z"), ((0, 1), 2))
    assert read_tree(" ( (a b)\n((b c) ( c  z ) ) )") == (("a", "b", "c", "z"), (0, (1, 2)))


def shapes(first: int, links: int) -> st.SearchStrategy[Shape]:
    """Every nesting of so many links from the first one on."""
    if links == 1:
        return st.just(first)
    cuts = st.integers(1, links - 1)
    return cuts.flatmap(
        lambda cut: st.tuples(shapes(first, cut), shapes(first + cut, links - cut)),
    )


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.integers(1, 9).flatmap(lambda links: st.tuples(st.just(links), shapes(0, links))))
def test_a_tree_that_was_printed_is_read_as_itself(case: tuple[int, Shape]) -> None:
    links, shape = case
    names = tuple(f"node-{position}.x" for position in range(links + 1))
    n = links + 1
    times = RouteTimes((1.0,) * links, (0.5,) * n, (0.0,) * n, lambda a, b: 0.0)
    assert read_tree(tree_of_shape(times, shape).text(names)) == (names, shape)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "a tree is one pair of parentheses, as in ((a b) (b c))"),
        ("a", "a tree is one pair of parentheses"),
        ("(a b) (b c)", "a tree is one pair of parentheses"),
        ("((a b)", '1 times ")" is missing'),
        ("(a b))", 'a ")" closes nothing'),
        ("()", "parentheses hold two nodes or two subtrees, not 0 parts"),
        ("(a b c)", "parentheses hold two nodes or two subtrees, not 3 parts"),
        ("((a b) c)", "parentheses hold two nodes or two subtrees, not one of each"),
        ("((a b) (c d))", "a-b and c-d share no node: the second subtree begins where the first one ends"),
        ("((a b) (b a))", "a comes twice"),
    ],
)
def test_what_is_no_tree_is_refused_with_its_reason(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_tree(text)
    assert refused.value.problem.startswith(f'swapping tree "{text}": ')
    assert problem in refused.value.problem


def test_a_tree_of_too_many_parts_is_not_even_read() -> None:
    with pytest.raises(ConfigError, match=f"at most {NODES_MAX} nodes"):
        read_tree("(" * 2 * NODES_MAX)


@pytest.mark.parametrize("route", [None, ("a", "b", "c", "z")])
@pytest.mark.parametrize("mode", ["fixed_tree", "fixed_tree(links=full)", "score", "swap_asap"])
def test_a_plan_follows_the_tree_of_its_request(
    tmp_path: Path, mode: str, route: tuple[str, ...] | None
) -> None:
    net = chain(tmp_path, "abcz")
    for tree, partners in ((LEFT_DEEP, ("a", "c", "a", "z")), (RIGHT_DEEP, ("a", "z", "b", "z"))):
        plan = planned(net, asked(tree=tree, route=route, generation_mode=mode))
        assert plan.tree == tree
        seen = [swap for name in "bc" for swap in plan.nodes[name].swaps]
        assert tuple(name for swap in seen for name in (swap.left_partner, swap.right_partner)) == partners
        if mode == "score":
            (table,) = {swap.table.tree for swap in seen if swap.table is not None}
            assert set(table) == {(0, 1, 2), (0, 2, 3)} or set(table) == {(1, 2, 3), (0, 1, 3)}
            assert ((0, 1, 2) in table) == (tree == LEFT_DEEP)


def test_a_tree_that_failed_is_not_replaced_by_another_one_of_the_route(tmp_path: Path) -> None:
    net = chain(tmp_path, "abcz")
    request = asked(tree=LEFT_DEEP, generation_mode="fixed_tree")
    first = planned(net, request)
    again = compute_plan(net, request, 2, Circumstances(failed=(first.shape,)))
    assert not isinstance(again, str)
    assert again.tree == LEFT_DEEP
    assert again.shape != first.shape  # another policy


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({"tree": "((a b) c)"}, 'swapping tree "((a b) c)": parentheses hold'),
        ({"tree": "((a b) (b z))"}, "no usable link between b and z on the route a-b-z"),
        ({"tree": "((a b) (b c))"}, "the way a-b-c does not lead from a to z"),
        ({"tree": LEFT_DEEP, "route": ("a", "z")}, "the swapping tree is over a-b-c-z, and the route is a-z"),
    ],
)
def test_a_tree_that_the_network_cannot_follow_is_refused_in_a_sentence(
    tmp_path: Path, terms: dict[str, Any], reason: str
) -> None:
    assert refusal(chain(tmp_path, "abcz"), asked(**terms)).startswith(reason)
