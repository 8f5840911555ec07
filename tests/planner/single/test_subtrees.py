"""What the search of limited.py knows of a subtree: lines against finished trees, and who serves for whom.

Owns the tests of single/subtrees.py.
"""

import math
from dataclasses import replace

import pytest

from bellwire.planner.assessment import max_age_s, outlook
from bellwire.planner.capacity import Residual
from bellwire.planner.requests import Options
from bellwire.planner.single.subtrees import Line, Piece, Subtree, joined, mirrored, planted
from bellwire.planner.structures import LinkLeaf, StoredLeaf, Tree, throttled, turned
from bellwire.planner.topology import Topology, link_between
from tests.planner.single.test_exact import chain

START_S = 2.0
BASE = Subtree(
    LinkLeaf("A", "B", START_S),
    nodes=0b011,
    leaves=2,
    left_quanta=2,
    right_quanta=2,
    left_age=Line(1.0, 0.5),
    right_age=Line(1.0, 0.5),
    inner_ages=(Line(1.0, 0.75),),
    losses=(Line(0.5, 0.25), Line(0.5, 0.25), Line(0.5, 0.25)),
    latency_max_s=10.0,
)


def steeper(line: Line) -> Line:
    """The same value at START_S, more beyond it."""
    return Line(line.at - 0.5 * START_S, line.slope + 0.5)


WORSE = {
    "a leaf more": replace(BASE, leaves=3),
    "another node": replace(BASE, nodes=0b111),
    "more of its left node": replace(BASE, left_quanta=3),
    "more of its right node": replace(BASE, right_quanta=3),
    "an older left qubit": replace(BASE, left_age=Line(1.25, 0.5)),
    "an older right qubit": replace(BASE, right_age=Line(1.25, 0.5)),
    "an older inner qubit": replace(BASE, inner_ages=(Line(1.25, 0.75),)),
    "a left qubit that ages faster": replace(BASE, left_age=steeper(BASE.left_age)),
    "an inner qubit that ages faster": replace(BASE, inner_ages=(steeper(BASE.inner_ages[0]),)),
    "more loss": replace(BASE, losses=(Line(0.5, 0.25), Line(0.5, 0.25), Line(0.625, 0.25))),
    "loss that grows faster": replace(BASE, losses=(steeper(BASE.losses[0]), *BASE.losses[1:])),
    "stored pairs that die sooner": replace(BASE, latency_max_s=9.0),
}


@pytest.mark.parametrize("worse", WORSE.values(), ids=WORSE)
def test_a_subtree_that_is_worse_in_anything_serves_for_no_other(worse: Subtree) -> None:
    assert not worse.serves_instead_of(BASE, throttles=True)
    assert BASE.serves_instead_of(worse, throttles=True)


def test_a_faster_subtree_serves_for_a_slower_one_only_where_links_are_throttled() -> None:
    slower = replace(BASE, tree=LinkLeaf("A", "B", 2.0 * START_S))
    assert BASE.serves_instead_of(slower, throttles=True)
    assert not BASE.serves_instead_of(slower, throttles=False)
    assert BASE.serves_instead_of(BASE, throttles=False)


def test_an_inner_qubit_may_be_as_old_as_any_qubit_of_the_other() -> None:
    other = replace(BASE, left_age=Line(3.0, 0.9), inner_ages=())
    assert BASE.serves_instead_of(other, throttles=True)


def forgetful() -> Topology:
    """Four links of unequal fidelity between nodes that forget at different rates."""
    line = chain(10.0, 5.0, 20.0, 1.0)
    nodes = {
        name: replace(node, decay_hz=(float(index), 2.0 * index, 0.5 * index))
        for index, (name, node) in enumerate(line.nodes.items())
    }
    links = [
        link_between(nodes[a], nodes[b], link.length_km, fidelity=0.99 - 0.01 * index)
        for index, ((a, b), link) in enumerate(line.links.items())
    ]
    return Topology.of(nodes.values(), links)


@pytest.mark.parametrize("throttle", [True, False])
@pytest.mark.parametrize("slower", [1.0, 1.7])
def test_lines_give_what_the_finished_tree_has(throttle: bool, slower: float) -> None:
    """Ages and eigenvalues of ((AB, BC), (CD, DE)) at its least latency and at a longer one."""
    topology = forgetful()
    residual, options = Residual(topology), Options(throttle=throttle)
    leaf = {
        pair: planted(residual, Piece(LinkLeaf(*pair, residual.link_latency_s(link)), 1, 1), lossy=True)
        for pair, link in topology.links.items()
    }
    left = joined(residual, leaf["A", "B"], leaf["B", "C"], options)
    right = joined(residual, leaf["C", "D"], leaf["D", "E"], options)
    whole = joined(residual, left, right, options)
    latency_s = whole.latency_s * (slower if throttle else 1.0)
    tree: Tree = throttled(whole.tree, topology, latency_s) if throttle else whole.tree
    seen = outlook(tree, topology)
    assert whole.left_age.of(latency_s) == pytest.approx(seen.left_age_s, rel=1e-12)
    assert whole.right_age.of(latency_s) == pytest.approx(seen.right_age_s, rel=1e-12)
    assert whole.oldest_s(latency_s) == pytest.approx(max_age_s(tree, topology), rel=1e-12)
    fidelity = (1.0 + math.fsum(math.exp(-loss.of(latency_s)) for loss in whole.losses)) / 4.0
    assert fidelity == pytest.approx(seen.state[0], rel=1e-12)
    assert (whole.leaves, whole.nodes) == (4, 0b11111)


def test_a_stored_pair_bounds_the_latency_that_it_lives_to_see() -> None:
    """It waits T p_b - t_b - t_c for its sibling, so T may be (life + t_b + t_c)/p_b."""
    topology = chain(10.0, 10.0)
    residual = Residual(topology)
    stored = StoredLeaf("B", "C", "kept", (1.0, 0.0, 0.0, 0.0), 0.0, 0.05)
    link = LinkLeaf("A", "B", residual.link_latency_s(topology.links["A", "B"]))
    whole = joined(
        residual,
        planted(residual, Piece(link, 1, 1), lossy=False),
        planted(residual, Piece(stored, 0, 0), lossy=False),
        Options(),
    )
    assert whole.latency_max_s == pytest.approx((0.05 + 10e-6 + 50e-6) / 0.4, rel=1e-12)
    assert (whole.left_quanta, whole.right_quanta) == (1, 0)


def test_a_mirrored_subtree_is_the_same_read_from_the_other_end() -> None:
    uneven = replace(BASE, left_quanta=1, left_age=Line(0.5, 0.5))
    other = mirrored(uneven)
    assert other.tree == turned(uneven.tree)
    assert (other.left_quanta, other.right_quanta) == (2, 1)
    assert (other.left_age, other.right_age) == (uneven.right_age, uneven.left_age)
    assert mirrored(other) == uneven
