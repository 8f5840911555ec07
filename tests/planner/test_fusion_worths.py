"""What parts of a tree of links are worth, against hand calculation and against properties of the optimum."""

from random import Random

import pytest

from bellwire.planner.fusion_worths import EDGES_MAX, Edge, worths


def chain(links: int) -> list[Edge]:
    return [(f"n{index}", f"n{index + 1}") for index in range(links)]


def even(edges: list[Edge], success: float) -> dict[int, float]:
    nodes = {node for edge in edges for node in edge}
    return worths(edges, [1.0] * len(edges), dict.fromkeys(nodes, success))


def test_worths_of_a_chain_of_four_links_are_those_worked_out_by_hand() -> None:
    """p = 0.4. V: 1, 5, 15, 25 (two pairs of two). J(1) = 1 + 0.4 * 20 + 15 = 24, J(12) = 5 + 15 = 20,
    J(123) = 1 + 15 = 16, J(23) = 1 + 0.4 * 16 + 15 = 22.4."""
    found = even(chain(4), 0.4)
    assert found[0b1111] == pytest.approx(25.0)
    assert found[0b0001] == pytest.approx(1.0)
    assert found[0b0011] == pytest.approx(5.0)
    assert found[0b0111] == pytest.approx(9.0)
    assert found[0b0110] == pytest.approx(2.6)
    assert len(found) == 10


def test_three_links_of_a_star_may_be_joined_in_any_order() -> None:
    found = even([("r", "a"), ("r", "b"), ("r", "c")], 0.5)
    for pair in (0b011, 0b101, 0b110):
        assert 0.5 * found[pair] == pytest.approx(found[0b001] + found[0b010])
        assert 0.5 * found[0b111] == pytest.approx(found[pair] + found[0b001])


def test_every_part_has_a_partner_with_which_a_join_breaks_even() -> None:
    """Else a node could hold a state that no rule lets go on. 40 random trees of 2 to 7 links."""
    for seed in range(40):
        random = Random(seed)
        size = random.randrange(2, 8)
        edges = [(f"n{random.randrange(index + 1)}", f"n{index + 1}") for index in range(size)]
        success = {f"n{index}": random.uniform(0.2, 1.0) for index in range(size + 1)}
        latencies_s = [random.uniform(0.1, 2.0) for _ in edges]
        found = worths(edges, latencies_s, success)
        nodes = {part: {n for i, e in enumerate(edges) if part >> i & 1 for n in e} for part in found}
        for part in found:
            if part == max(found):
                continue
            gains = [
                success[node] * found[part | other] - found[part] - found[other]
                for other in found
                if not part & other
                for node in nodes[part] & nodes[other]
            ]
            assert max(gains) >= -1e-9
            assert 0.0 <= found[part] <= found[max(found)] + 1e-9


def test_a_slow_link_is_worth_more_than_a_fast_one_beside_it() -> None:
    found = worths(chain(2), [5.0, 1.0], dict.fromkeys(("n0", "n1", "n2"), 0.5))
    assert found[0b01] > found[0b10]


def test_large_trees_have_no_table() -> None:
    assert even(chain(EDGES_MAX + 1), 0.5) == {}
