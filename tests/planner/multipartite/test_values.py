"""The values of plans for several nodes refuse what contradicts itself, and derive what they derive.

Owns the tests of values.py.
"""

import math
from dataclasses import replace

import pytest

from bellwire.core.bell import werner
from bellwire.core.errors import LocalMisuse
from bellwire.planner.assessment import PairPlan, assess
from bellwire.planner.capacity import Residual
from bellwire.planner.multipartite.methods import plan_ghz
from bellwire.planner.multipartite.values import (
    Correction,
    Gate,
    Measurement,
    Operation,
    PairSupply,
    Qubit,
    told_of_failure,
)
from bellwire.planner.structures import LinkLeaf, StoredLeaf
from tests.planner.single.test_exact import chain

A, V, W, B = (Qubit(0, "left", "A"), Qubit(0, "right", "V"), Qubit(1, "left", "V"), Qubit(1, "right", "B"))


def fusion(**changes: object) -> Operation:
    """A swap of two pairs at V."""
    usual: dict[str, object] = {
        "action": "fuse_discard",
        "node": "V",
        "steps": (Gate("CX", (V, W)), Measurement("Z", W), Measurement("X", V)),
        "corrections": (Correction(0, "X", B), Correction(1, "Z", A)),
        "consumes": (0, 1),
        "yields": 2,
        "members": (A, B),
        "waits_s": (0.0, 0.0),
        "busy_s": 0.0,
        "success_probability": 0.5,
        "latency_s": 0.25,
        "tell": ("A", "B"),
    }
    return Operation(**(usual | changes))  # type: ignore[arg-type]


def link_pair(latency_s: float, fidelity: float) -> PairPlan:
    topology = chain(10.0)
    topology = replace(
        topology, links={("A", "B"): replace(topology.links["A", "B"], state=werner(fidelity))}
    )
    return assess(LinkLeaf("A", "B", latency_s), Residual(topology), "link")


def test_the_corrections_of_an_operation_follow_its_outcomes() -> None:
    swap = fusion()
    assert swap.paulis((0, 0)) == ()
    assert swap.paulis((1, 0)) == (("X", B),)
    assert swap.paulis((1, 1)) == (("X", B), ("Z", A))
    with pytest.raises(LocalMisuse, match="1 outcomes for 2 measurements"):
        swap.paulis((1,))


def test_an_operation_knows_its_rate_its_owners_and_the_owners_of_its_product() -> None:
    swap = fusion()
    assert swap.rate_hz == 4.0
    assert fusion(latency_s=0.0).rate_hz == math.inf
    assert swap.owners == {"A", "V", "B"}
    assert swap.nodes == ("A", "B")
    assert told_of_failure("V", (A, V), (W, B)) == ("A", "B")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"waits_s": (0.0,)}, "2 states are consumed, with 1 waits"),
        ({"steps": (Gate("H", (A,)),), "corrections": ()}, "V cannot act on a qubit of another node"),
        ({"turns": (Gate("CX", (A, B)),)}, "act on one qubit each"),
        ({"corrections": (Correction(2, "X", B),)}, "reads outcome 2 of 2"),
        ({"tell": ("A", "V")}, "V acts and needs not be told"),
    ],
)
def test_an_operation_that_contradicts_itself_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(LocalMisuse, match=words):
        fusion(**changes)


def test_a_gate_wants_its_number_of_qubits() -> None:
    with pytest.raises(LocalMisuse, match="CZ acts on 2 qubits, not on 1"):
        Gate("CZ", (A,))


def test_a_pair_made_by_two_trees_has_their_common_rate_and_their_mean_state() -> None:
    supply = PairSupply((link_pair(0.5, 0.9), link_pair(0.25, 0.6)))
    assert supply.name == "A-B"
    assert supply.latency_s == pytest.approx(1 / 6)
    assert supply.fidelity == pytest.approx((2 * 0.9 + 4 * 0.6) / 6)
    assert sum(supply.state) == pytest.approx(1.0)
    assert supply.success_probability == 1.0
    assert supply.ages_s == pytest.approx(supply.trees[0].ages_s)


def test_a_stored_pair_is_there_at_once_and_decides_the_state() -> None:
    leaf = StoredLeaf("A", "B", "kept", werner(0.7), 0.1, 1.0)
    supply = PairSupply((link_pair(0.5, 0.9), assess(leaf, Residual(chain(10.0)), "stored")))
    assert supply.latency_s == 0.0
    assert supply.fidelity == pytest.approx(0.7)


def test_trees_between_different_nodes_are_no_pair() -> None:
    line = chain(10.0, 10.0)
    other = assess(LinkLeaf("B", "C", 1.0), Residual(line), "link")
    with pytest.raises(LocalMisuse, match="all between the same two nodes"):
        PairSupply((link_pair(0.5, 0.9), other))
    with pytest.raises(LocalMisuse, match="a pair needs trees"):
        PairSupply(())


def test_a_plan_whose_qubits_are_not_at_its_members_is_refused() -> None:
    plan = plan_ghz(Residual(chain(10.0, 10.0)), "r", ("A", "B", "C"), "ghz-steiner")
    with pytest.raises(LocalMisuse, match="the final qubits are not those of the members"):
        replace(plan, members=("A", "C", "B"))
    with pytest.raises(LocalMisuse, match="the vertices are not at the members"):
        replace(plan, vertices=(("t", "A"),))
    assert plan.pair_qubits(1) == (Qubit(1, "left", "B"), Qubit(1, "right", "C"))
    assert str(plan.pair_qubits(1)[0]) == "1/left at B"
