"""Delivery of a pair: what both applications get, and that every row of both tables happens in some story."""

from typing import Literal

import msgspec
import pytest

from bellwire.core.effects import ApplyPauli, MeasureQubit, Publish, ReleaseQubit
from bellwire.core.errors import LocalMisuse, PeerViolation
from bellwire.core.facts import Corrected
from bellwire.core.machine import Step
from bellwire.core.messages import (
    Commit,
    Inquiry,
    Offer,
    OfferAnswer,
    Settled,
)
from bellwire.core.notices import PlanInstalled, ViewWanted
from bellwire.core.plans import PurificationPlan
from bellwire.transport.alarms import Alarms
from bellwire.transport.delivery_states import HEAD_ROWS, TAIL_ROWS
from bellwire.transport.transitions import Transitions
from tests.transport.bench import MS, REQUEST, Bench, Tell, check_quiet, network, plan_of
from tests.transport.scenarios import SCENARIOS, ends, offer
from tests.transport.test_delivery_chaos import play


@pytest.mark.parametrize("name", SCENARIOS)
def test_story(name: str) -> None:
    SCENARIOS[name]()


def test_every_row_of_both_tables_happens_in_the_stories_or_in_chaos() -> None:
    wanted = {("head", *row) for row in HEAD_ROWS} | {("tail", *row) for row in TAIL_ROWS}
    fired: set[tuple[str, str, str]] = set()
    for scenario in SCENARIOS.values():
        bench = scenario()
        for node in bench.nodes.values():
            bench.note_rows(node)
        fired |= bench.fired
    for seed in range(4):
        fired |= play("keep", seed, wanted=25, crashes=4).fired
        fired |= play("measure", seed, wanted=25, crashes=4).fired
    assert not wanted - fired


@pytest.mark.parametrize("frame", [0, 1, 2, 3])
def test_a_kept_pair_is_corrected_once_at_the_tail_and_handed_over_in_frame_zero(frame: int) -> None:
    orders: list[tuple[str, object]] = []
    bench = Bench()
    perform = bench.perform
    bench.perform = lambda node, effect: (orders.append((node.name, effect)), perform(node, effect))[1]  # type: ignore[method-assign]  # a tap
    bench.born(1, frame=frame)
    bench.run(1_000 * MS)
    check_quiet(bench)
    corrections = [(name, each.pauli) for name, each in orders if isinstance(each, ApplyPauli)]
    assert corrections == ([] if frame == 0 else [("bob", frame)])
    for node in (bench.alice, bench.bob):
        (record,) = node.delivery.records(REQUEST)
        assert (record.number, record.frame, record.state) == (1, 0, "settled")
        released = [each for name, each in orders if name == node.name and isinstance(each, ReleaseQubit)]
        assert [(each.slot, each.tag) for each in released] == [(0, 1)]
    assert bench.said("bob", OfferAnswer)[0].frame == frame
    facts = [fact for _, each in orders if isinstance(each, Publish) for fact in each.batch.facts]
    assert [fact.pauli for fact in facts if isinstance(fact, Corrected)] == ([] if frame == 0 else [frame])


def test_without_physical_correction_the_frame_is_handed_over_in_software() -> None:
    bench = Bench(settings=network(correct_frames=False))
    bench.ended = lambda node, effect: pytest.fail(f"{node} got {effect}")
    bench.born(1, frame=3)
    bench.run(1_000 * MS)
    check_quiet(bench)
    assert [node.delivery.records(REQUEST)[0].frame for node in bench.nodes.values()] == [3, 3]


@pytest.mark.parametrize("head_side", [0, 1])
def test_measured_pairs_free_both_memories_before_anything_is_negotiated(head_side: int) -> None:
    bench = Bench("measure", settings=network(head_side=head_side))
    bench.loss = lambda index, send: isinstance(send.message, Offer)
    bench.born(1, frame=2)
    bench.run(5 * MS)
    assert [node.slots.slot(0).state for node in bench.nodes.values()] == ["free", "free"]
    bench.loss = None
    bench.run(1_000 * MS)
    check_quiet(bench)
    for node in bench.nodes.values():
        (record,) = node.delivery.records(REQUEST)
        assert (record.frame, record.state, record.bit) == (2, "settled", 0)


@pytest.mark.parametrize("mode", ["keep", "measure"])
@pytest.mark.parametrize("ahead", [("alice",), ("bob",)], ids=["head ahead", "tail ahead"])
def test_a_newer_plan_with_rounds_does_not_strand_a_pair_that_the_other_end_used_without(
    ahead: tuple[str, ...], mode: Literal["keep", "measure"]
) -> None:
    """The tail measured at once, and the head, with rounds in its plan, kept its half until the cutoff."""
    bench = Bench(mode)
    for name in ahead:
        refine(bench, name)
    bench.born(1)
    bench.run(1_000 * MS)
    if (mode, ahead) == ("keep", ("alice",)):  # nobody has used it: it waits for its rounds
        assert bench.numbers(bench.alice) == bench.numbers(bench.bob) == []
        return
    check_quiet(bench)
    assert bench.numbers(bench.alice) == bench.numbers(bench.bob) == [1]
    assert [node.slots.slot(0).state for node in bench.nodes.values()] == ["free", "free"]


@pytest.mark.parametrize("mode", ["keep", "measure"])
def test_a_pair_waits_for_its_rounds_when_both_plans_want_some(mode: Literal["keep", "measure"]) -> None:
    bench = Bench(mode)
    for name in ("alice", "bob"):
        refine(bench, name)
    bench.born(1)
    bench.run(1_000 * MS)
    assert bench.numbers(bench.alice) == bench.numbers(bench.bob) == []
    assert [node.slots.slot(0).state for node in bench.nodes.values()] == ["held", "held"]


def refine(bench: Bench, name: str) -> None:
    """A newer plan of a node wants a round before pairs are delivered."""
    partner = "bob" if name == "alice" else "alice"
    rounds = PurificationPlan(request=REQUEST, tree=0, partner=partner, rounds=1)
    plan = msgspec.structs.replace(plan_of(name, bench.mode, 2), purifications=(rounds,))
    bench.step(bench.nodes[name], Tell((PlanInstalled(plan=plan),)))


def test_no_more_pairs_are_committed_than_were_asked_for_and_the_rest_is_withdrawn() -> None:
    bench = Bench(wanted=2)
    for lane in range(4):
        bench.born(1, lane=lane)
    bench.run(1_000 * MS)
    check_quiet(bench)
    assert bench.numbers(bench.alice) == [1, 2]
    assert all(slot.state == "free" for node in bench.nodes.values() for slot in node.slots.slots())
    assert len(bench.said("alice", Offer)) == 2


def test_a_waiting_pair_takes_the_place_of_an_offer_that_failed() -> None:
    bench = Bench(wanted=1)
    bench.ended = lambda node, effect: "failed" if effect.operation == 1 else "done"  # type: ignore[union-attr]  # a Pauli
    bench.born(1, frame=1, lane=0)
    bench.born(1, frame=0, lane=1)
    bench.run(1_000 * MS)
    check_quiet(bench)
    assert bench.numbers(bench.alice) == [1]
    assert bench.alice.delivery.records(REQUEST)[0].head_end.lane == 1


def test_reports_say_what_was_delivered_and_when() -> None:
    bench = Bench(wanted=None)
    bench.born(1, lane=0)
    bench.run(500 * MS)
    bench.born(2, lane=1)
    bench.run(1_000 * MS)
    for node in bench.nodes.values():
        first, second = node.named("pair_delivered")
        assert first.fields["latency_ns"] is None
        assert second.fields["latency_ns"] == 500 * MS
        assert second.fields["age_ns"] == 2 * MS
        assert (second.fields["number"], second.fields["slot"], second.fields["fidelity"]) == (2, 1, 1.0)
    assert len(bench.alice.named("pair_settled")) == 2
    assert [report.number for report in bench.alice.feeder.reported] == [1, 2]
    assert bench.bob.feeder.reported == [], "only the source counts for its request"


def test_the_commit_is_said_only_when_the_record_is_durable() -> None:
    bench = Bench()
    bench.born(1)
    while not bench.said("alice", Commit):
        assert not bench.alice.used
        bench.run(bench.now_ns + 1_000)
    assert len(bench.alice.store) == 1
    assert len(bench.alice.used) == 1


def test_offers_of_a_node_that_is_not_the_source_are_a_violation() -> None:
    bench = Bench()
    with pytest.raises(PeerViolation, match="not its request"):
        bench.hear("alice", offer(bench))


def test_a_settlement_without_a_commit_is_a_violation() -> None:
    bench = Bench()
    with pytest.raises(PeerViolation, match="settled cannot happen in state absent"):
        bench.hear("alice", Settled(request=REQUEST, head_end=ends(bench)[0], void=False))


def test_an_offer_in_another_mode_than_planned_is_refused() -> None:
    bench = Bench("measure")
    bench.hear("bob", offer(bench, "keep"))
    assert bench.said("bob", OfferAnswer)[0].reason == "mode"


def test_what_a_table_lacks_is_an_error() -> None:
    table = Transitions("lamp", {("off", "pressed"): "on"})
    assert table.after("off", "pressed") == "on"
    with pytest.raises(LocalMisuse, match="lamp: pressed cannot happen in state on"):
        table.after("on", "pressed")


def test_a_moved_alarm_rings_once_at_its_new_time() -> None:
    alarms: Alarms[str] = Alarms()
    alarms.set("a", 10)
    alarms.set("b", 20)
    alarms.set("a", 30)
    alarms.set("c", 5)
    alarms.clear("c")
    assert alarms.earliest_ns() == 20
    assert alarms.take_due(29) == ["b"]
    assert alarms.take_due(30) == ["a"]
    assert alarms.earliest_ns() is None


def test_no_measurement_is_ordered_for_pairs_that_nobody_wants() -> None:
    bench = Bench("measure", wanted=1)
    measured: list[str] = []
    bench.ended = lambda node, effect: (
        (measured.append(node), "done")[1] if isinstance(effect, MeasureQubit) else "done"
    )
    for lane in range(4):
        bench.born(1, lane=lane)
    bench.run(10_000 * MS)
    check_quiet(bench)
    assert measured.count("alice") == 1


def test_a_lost_answer_is_given_again_to_the_repeated_offer() -> None:
    bench = Bench()
    bench.loss = lambda index, send: (
        isinstance(send.message, Inquiry)
        or (isinstance(send.message, OfferAnswer) and len(bench.said("bob", OfferAnswer)) == 1)
    )
    bench.born(1)
    bench.run(1_000 * MS)
    check_quiet(bench)
    assert bench.numbers(bench.alice) == [1]
    assert len(bench.said("bob", OfferAnswer)) == 2


def test_a_restart_of_the_head_costs_a_kept_pair_but_not_a_measured_one() -> None:
    for mode, numbers in (("keep", []), ("measure", [1])):
        bench = Bench(mode)  # type: ignore[arg-type]  # a Mode
        bench.loss = lambda index, send: isinstance(send.message, Commit)
        bench.born(1, frame=1)
        bench.run(100 * MS)
        bench.stop(bench.alice, "after_write", 100 * MS)
        bench.run(150 * MS)
        bench.loss = None
        bench.run(2_000 * MS)
        check_quiet(bench)
        assert bench.numbers(bench.alice) == bench.numbers(bench.bob) == numbers


def test_a_view_older_than_the_question_decides_nothing_and_is_asked_for_again() -> None:
    bench = Bench()
    handover = bench.alice.delivery.handover
    step = Step("alice")
    early, late = bench.end(7, bench.alice), bench.end(8, bench.alice)
    step.now_ns = 5
    handover.look(step, early)
    step.now_ns = 9
    handover.look(step, late)
    step.notices.clear()
    assert handover.take_looks(step, 6) == [early]
    assert list(step.notices) == [ViewWanted(purpose="delivery", request=None)]
    assert handover.take_looks(step, 9) == [late]
