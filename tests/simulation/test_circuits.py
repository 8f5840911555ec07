"""Pairs for a distributed circuit, in virtual time with everything that really runs: batch after batch, each
whole before it is used, and no pair older than memories allow.

Seeds are fixed, and what is asserted holds for every seed: order, counts and ages, not rates.
"""

from dataclasses import replace
from typing import Any

import pytest

from bellwire.core.events import RequestCancelled
from bellwire.core.plans import EntanglementRequest, SequencePair
from bellwire.core.units import NS_PER_S, ns_from_s
from bellwire.labs import Crash, Lab, Scenario
from bellwire.planner.sequence_batches import divide, hold_s
from tests.simulation.ghz_labs import STAR, tree_lab
from tests.simulation.requested import Run

PAIRS = (("p1", "a", "b"), ("p2", "b", "c"), ("p3", "c", "a"), ("p4", "a", "b"), ("p5", "a", "b"))


def circuit(scenario: Scenario | None = None, lanes: int = 1, **terms: Any) -> Lab:
    """a, b and c around a relay, and a circuit that consumes five pairs between them."""
    given: dict[str, Any] = {
        "request_id": "q",
        "target_nodes": ("a", "b", "c"),
        "entanglement_sequence": tuple(
            SequencePair(pair_id=name, nodes=(one, other)) for name, one, other in PAIRS
        ),
    }
    lab = tree_lab(STAR, ("a", "b", "c"), lanes=lanes, link_success=0.002)
    return replace(lab, requests=(EntanglementRequest(**(given | terms)),), scenario=scenario or Scenario())


def test_a_circuit_gets_its_pairs_batch_by_batch_in_order_and_is_complete_then() -> None:
    run = Run(circuit()).until(30.0)
    assert run.status == ("completed", 5, None)
    assert [name for batch in run.batches() for name in batch] == [name for name, _, _ in PAIRS]
    assert {name: sorted(node for node, _ in uses) for name, uses in run.consumed().items()} == {
        name: sorted((one, other)) for name, one, other in PAIRS
    }
    assert run.kept() == 0
    begun = [(at_ns, fields["round"]) for at_ns, _, fields in run.of("batch_begun")]
    done = [(at_ns, fields["round"]) for at_ns, _, fields in run.of("batch_done")]
    assert all(later[0] >= sooner[0] for sooner, later in zip(done, begun[1:], strict=False))


def test_pairs_wait_for_each_other_and_for_no_longer_than_they_may() -> None:
    """Three pairs a batch at most: three memories at each end. Their ages are those at their use."""
    run = Run(circuit(lanes=3, hold_ns=2 * NS_PER_S)).until(60.0)
    assert run.status == ("completed", 5, None)
    assert max(len(batch) for batch in run.batches()) > 1
    ages = [fields["age_ns"] for _, _, fields in run.of("pair_consumed")]
    assert max(ages) < 2 * NS_PER_S
    assert [name for batch in run.batches() for name in batch] == [name for name, _, _ in PAIRS]


def test_a_limit_that_is_too_short_for_a_batch_of_many_is_met_by_smaller_ones() -> None:
    """By the plan all five pairs are there after 0.15 s; with this seed they are not within 0.2 s. What
    is left is divided anew then, and a failed batch is cleared before the next begins."""
    run = Run(circuit(lanes=5, hold_ns=ns_from_s(0.2))).until(60.0)
    assert run.status == ("completed", 5, None)
    assert next(fields["pairs"] for _, _, fields in run.of("batch_begun")) == "p1 p2 p3 p4 p5"
    assert max(len(batch) for batch in run.batches()) < 5
    assert run.of("batch_failed") != []
    begun = [fields["round"] for _, _, fields in run.of("batch_begun")]
    assert begun == list(range(1, len(begun) + 1))
    ages = [fields["age_ns"] for _, _, fields in run.of("pair_consumed")]
    assert max(ages) < ns_from_s(0.2)
    assert run.kept() == 0


@pytest.mark.parametrize("node", ["a", "b", "r"])
def test_a_node_that_restarts_costs_a_batch_and_no_pair_counts_twice(node: str) -> None:
    """a coordinates, b has pairs, r swaps. What was used in a batch that failed is used again in another
    round; what counts is one round for each pair."""
    crashes = tuple(Crash(node=node, at_ns=ns_from_s(at_s), down_ns=ns_from_s(0.1)) for at_s in (0.1, 0.5))
    run = Run(circuit(Scenario(crashes=crashes, persist_latency_ns=200_000), lanes=2)).until(60.0)
    assert run.status == ("completed", 5, None)
    done = [name for batch in run.batches() for name in batch]
    assert done == [name for name, _, _ in PAIRS]
    rounds = {
        name: {fields["round"] for _, _, fields in run.of("batch_done") if name in fields["pairs"]}
        for name in done
    }
    for name, one, other in PAIRS:
        (round_,) = rounds[name]
        assert sorted(user for user, used in run.consumed()[name] if used == round_) == sorted((one, other))
    assert run.kept() == 0


def test_over_a_channel_that_loses_and_repeats_words_the_same_holds() -> None:
    weather = Scenario(message_loss_probability=0.1, duplicate_probability=0.1, delay_jitter_ns=2_000_000)
    run = Run(circuit(weather, lanes=2), seed=3).until(120.0)
    assert run.status == ("completed", 5, None)
    assert [name for batch in run.batches() for name in batch] == [name for name, _, _ in PAIRS]
    for uses in run.consumed().values():
        assert len(set(uses)) == len(uses)
    assert run.kept() == 0


def test_a_circuit_that_is_cancelled_leaves_no_qubit_behind() -> None:
    run = Run(circuit(lanes=2))
    run.host.tell_at(ns_from_s(0.1), "a", RequestCancelled(request="q"))
    run.until(10.0)
    status, _, error = run.status
    assert (status, error) == ("failed", "cancelled")
    assert run.kept() == 0
    assert run.taken() == 0


def test_partial_orders_are_kept_and_unknown_ones_keep_the_order_of_each_node() -> None:
    after = (("p4", "p1"), ("p3", "p2"))
    run = Run(circuit(lanes=2, sequence_order="partial", sequence_after=after)).until(60.0)
    assert run.status == ("completed", 5, None)
    place = {name: n for n, batch in enumerate(run.batches()) for name in batch}
    assert all(place[sooner] <= place[later] for sooner, later in after)
    run = Run(circuit(lanes=2, sequence_order="unknown")).until(60.0)
    assert run.status == ("completed", 5, None)
    place = {name: n for n, batch in enumerate(run.batches()) for name in batch}
    nodes = {name: {one, other} for name, one, other in PAIRS}
    names = [name for name, _, _ in PAIRS]
    for index, sooner in enumerate(names):
        for later in names[index + 1 :]:
            assert place[sooner] <= place[later] or not nodes[sooner] & nodes[later]


def test_a_circuit_that_memories_cannot_keep_is_refused_with_the_pair_at_fault() -> None:
    run = Run(circuit(hold_ns=1_000)).until(5.0)
    status, count, error = run.status
    assert (status, count) == ("failed", 0)
    assert "pair 1 of the order, a-b" in error


def test_the_limit_is_that_of_the_memories_where_none_is_named() -> None:
    lab = circuit()
    assert hold_s(lab.network, lab.requests[0]) == lab.network.timers.age_max_ns / NS_PER_S
    noisy = tree_lab(STAR, ("a", "b", "c"), noisy=True)
    held_s = hold_s(noisy.network, lab.requests[0])
    # Two qubits of T2 = 0.5 s each: the worst eigenvalue of a pair falls by exp(-2 t/T2).
    assert held_s == pytest.approx(0.25, rel=1e-6)
    batches = divide(lab.network, lab.requests[0], 60.0, ("p1",), at_most=1)
    assert [batch.pair_ids for batch in batches if not isinstance(batch, str)] == [
        ("p2",),
        ("p3",),
        ("p4",),
        ("p5",),
    ]
