"""Errors of a plan against closed forms: one link, two links in a row, a link with a reserve."""

from __future__ import annotations

from dataclasses import replace
from math import hypot

import pytest

from bellwire.core.bell import werner
from bellwire.planner.assessment import assess
from bellwire.planner.capacity import Residual
from bellwire.planner.certainty import Certainty, certainty_of
from bellwire.planner.structures import LinkLeaf, SwapNode, swapped
from bellwire.planner.topology import Link, Node, Topology

STILL = {"decay_hz": (0.0, 0.0, 0.0), "swap_noise": (1.0, 0.0, 0.0, 0.0), "swap_s": 0.0}
PERIOD_S = 1e-3


def link(a: str, b: str, chance: float, fidelity: float, **errors: float) -> Link:
    return Link(
        ends=(a, b),
        length_km=0.0,
        success_probability=chance,
        capacity_hz=chance / PERIOD_S,
        attempt_s=PERIOD_S,
        state=werner(fidelity),
        **errors,
    )


def line(*links: Link) -> Topology:
    names = sorted({name for one in links for name in one.ends})
    nodes = {
        name: Node(name=name, memories=10, attempts_hz=float("inf"), swap_probability=0.5, **STILL)  # type: ignore[arg-type]
        for name in names
    }
    return Topology(nodes, {one.ends: one for one in links})


def certainty(topology: Topology, tree: LinkLeaf | SwapNode) -> tuple[float, Certainty]:
    plan = assess(tree, Residual(topology), "made")
    return plan.rate_hz, certainty_of(plan, topology)


def leaf(one: Link) -> LinkLeaf:
    return LinkLeaf(*one.ends, latency_s=1.0 / one.capacity_hz)


def test_of_one_link_rate_and_fidelity_are_as_uncertain_as_the_link() -> None:
    one = link("a", "b", 0.004, 0.9, success_error=4e-6, fidelity_error=0.01)
    rate_hz, found = certainty(line(one), leaf(one))
    assert found.rate_hz == pytest.approx(1e-3 * rate_hz, rel=0.01)
    assert found.fidelity == pytest.approx(0.01)


def test_of_two_links_the_slower_one_makes_the_rate_and_both_the_fidelity() -> None:
    """Of Werner states F = (1 + 3 w v)/4 with w = (4F - 1)/3 of each: dF = w dF' by the other's."""
    slow = link("a", "b", 0.002, 0.9, success_error=2e-5, fidelity_error=0.01)
    fast = link("b", "c", 0.02, 0.8, success_error=2e-4, fidelity_error=0.02)
    topology = line(slow, fast)
    rate_hz, found = certainty(topology, swapped(topology, leaf(slow), leaf(fast)))
    assert found.rate_hz == pytest.approx(0.01 * rate_hz, rel=0.02)
    w, v = (4 * 0.9 - 1) / 3, (4 * 0.8 - 1) / 3
    assert found.fidelity == pytest.approx(hypot(v * 0.01, w * 0.02), rel=1e-6)


def test_a_link_with_a_reserve_leaves_the_rate_certain() -> None:
    one = link("a", "b", 0.004, 0.9, success_error=4e-4, fidelity_error=0.01)
    _, found = certainty(line(one), replace(leaf(one), latency_s=2.0 / one.capacity_hz))
    assert found.rate_hz == 0.0


def test_a_link_that_nobody_measured_leaves_a_guess() -> None:
    measured = link("a", "b", 0.002, 0.9, success_error=2e-5, fidelity_error=0.01)
    guessed = link("b", "c", 0.002, 0.9)
    topology = line(measured, guessed)
    _, found = certainty(topology, swapped(topology, leaf(measured), leaf(guessed)))
    assert found == Certainty(None, None)
