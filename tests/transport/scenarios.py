"""Small stories of delivery in which every row of both tables happens, each with what must come of it."""

from collections.abc import Callable
from typing import Final, Literal

from bellwire.core.ids import End
from bellwire.core.messages import (
    Aborted,
    Commit,
    Inquiry,
    Offer,
    OfferAnswer,
    Settled,
)
from bellwire.core.notices import MemoryLost, PlanRemoved
from tests.transport.bench import DEVICE_NS, HOP_NS, MS, REQUEST, Bench, Tell, check_quiet, network

Mode = Literal["keep", "measure"]
LATER_NS: Final = 30_000 * MS


def ends(bench: Bench, attempt: int = 1) -> tuple[End, End]:
    return bench.end(attempt, bench.alice), bench.end(attempt, bench.bob)


def answer(bench: Bench, accepted: bool, reason: str = "", frame: int | None = 0) -> OfferAnswer:
    return OfferAnswer(
        request=REQUEST, head_end=ends(bench)[0], accepted=accepted, frame=frame, reason=reason
    )


def commit(bench: Bench, void: bool = False) -> Commit:
    head_end, tail_end = ends(bench)
    return Commit(
        request=REQUEST,
        head_end=head_end,
        tail_end=tail_end,
        number=1,
        frame=0,
        signs=0,
        cost=(0, 0, 0),
        at_ns=bench.now_ns,
        born_ns=0,
        void=void,
    )


def offer(bench: Bench, mode: Mode = "keep") -> Offer:
    head_end, tail_end = ends(bench)
    return Offer(request=REQUEST, head_end=head_end, tail_end=tail_end, mode=mode)


def aborted(bench: Bench) -> Aborted:
    return Aborted(request=REQUEST, head_end=ends(bench)[0])


def inquiry(bench: Bench) -> Inquiry:
    return Inquiry(request=REQUEST, head_end=ends(bench)[0])


def settled(bench: Bench, void: bool = False) -> Settled:
    return Settled(request=REQUEST, head_end=ends(bench)[0], void=void)


def hear_all_answers(bench: Bench) -> None:
    """Everything that an old channel may still bring to the head."""
    bench.hear("alice", answer(bench, True))
    bench.hear("alice", answer(bench, False, "dead"))
    bench.hear("alice", answer(bench, False, "not_yet"))
    bench.hear("alice", inquiry(bench))


def deaf(bench: Bench, *kinds: type) -> None:
    """Lose every message of these kinds."""
    bench.loss = lambda index, send: isinstance(send.message, kinds)


def finish(bench: Bench, numbers: list[int]) -> Bench:
    bench.loss = None
    bench.run(bench.now_ns + LATER_NS)
    check_quiet(bench)
    assert bench.numbers(bench.alice) == numbers
    return bench


def head_hears_old_news_in_every_state() -> Bench:
    bench = Bench()
    hear_all_answers(bench)
    assert bench.said("alice", Aborted), "without a record the head must say that nothing will happen"
    bench.born(1)
    bench.run(bench.now_ns + 2 * HOP_NS)  # the answer is there, the record is being written
    assert bench.alice.delivery.head.pairs[ends(bench)[0]].state == "recording"
    hear_all_answers(bench)
    assert not bench.said("alice", Commit), "no commit before the record is durable"
    deaf(bench, Settled)
    bench.run(bench.now_ns + MS)
    hear_all_answers(bench)
    bench.loss = None
    bench.run(bench.now_ns + 1_000 * MS)
    hear_all_answers(bench)
    bench.hear("alice", settled(bench))
    return finish(bench, [1])


def head_learns_late_that_a_settled_pair_was_lost() -> Bench:
    bench = Bench()
    bench.born(1)
    bench.run(1_000 * MS)
    assert bench.numbers(bench.alice) == [1]
    bench.hear("alice", settled(bench, void=True))
    hear_all_answers(bench)
    bench.hear("alice", settled(bench))
    bench.hear("alice", settled(bench, void=True))
    assert bench.numbers(bench.alice) == []
    bench.hear("bob", commit(bench, void=True))
    bench.run(bench.now_ns + 100 * MS)
    bench.hear("bob", commit(bench, void=True))
    bench.hear("bob", offer(bench))
    bench.hear("bob", aborted(bench))
    return finish(bench, [])


def restarted_head_ignores_a_settlement_of_its_void_commit() -> Bench:
    bench = Bench()
    deaf(bench, Settled)
    bench.born(1)
    bench.run(10 * MS)
    bench.stop(bench.alice, "after_write", 10 * MS)
    bench.run(25 * MS)
    bench.hear("alice", settled(bench))
    assert bench.numbers(bench.alice) == []
    return finish(bench, [])


def head_waits_for_the_frame() -> Bench:
    bench = Bench(settings=network(head_side=1))
    bench.hold_facts("alice")
    bench.born(1, frame=3)
    bench.run(100 * MS)
    head = bench.alice.delivery.head.pairs[ends(bench)[0]]
    assert head.state == "answered", "the half that carries the frame is not yet seen"
    hear_all_answers(bench)
    bench.run(bench.now_ns + 5 * MS)
    assert bench.said("bob", OfferAnswer)[0].frame == 3
    bench.pass_facts()
    finish(bench, [1])
    assert bench.alice.delivery.records(REQUEST)[0].frame == 0
    return bench


def head_gives_up_without_the_frame() -> Bench:
    bench = Bench(settings=network(head_side=1))
    bench.hold_facts("alice")
    bench.born(1, frame=3)
    bench.run(3_000 * MS)
    assert not bench.alice.delivery.head.pairs
    bench.pass_facts()
    return finish(bench, [])


def plan_ends_while_the_head_waits_for_the_frame() -> Bench:
    bench = Bench(settings=network(head_side=1))
    bench.hold_facts("alice")
    bench.born(1)
    bench.run(100 * MS)
    bench.step(bench.alice, Tell((PlanRemoved(request=REQUEST, version=1),)))
    assert bench.alice.slots.slot(0).state == "free"
    bench.pass_facts()
    return finish(bench, [])


def memory_is_lost_while_the_head_waits_for_the_frame() -> Bench:
    bench = Bench(settings=network(head_side=1))
    bench.hold_facts("alice")
    bench.born(1)
    bench.run(100 * MS)
    bench.step(bench.alice, Tell((MemoryLost(reason="reset"),)))
    assert bench.alice.slots.slot(0).state == "lost"
    bench.pass_facts()
    return finish(bench, [])


def frames_that_differ_are_never_delivered() -> Bench:
    bench = Bench()
    deaf(bench, Offer)
    bench.born(1, frame=1)
    bench.run(5 * MS)
    bench.hear("alice", answer(bench, True, frame=2))
    assert bench.alice.delivery.head.frame_mismatches == 1
    assert bench.alice.named("frame_mismatch")[0].fields["tail"] == 2
    return finish(bench, [])


def frames_that_differ_are_never_delivered_when_measured() -> Bench:
    bench = Bench("measure")
    deaf(bench, Offer)
    bench.born(1, frame=1)
    bench.run(5 * MS)
    bench.hear("alice", answer(bench, True, frame=2))
    assert bench.alice.delivery.head.frame_mismatches == 1
    return finish(bench, [])


def tail_refuses() -> Bench:
    bench = Bench()
    deaf(bench, Offer)
    bench.born(1)
    bench.run(5 * MS)
    bench.hear("alice", answer(bench, False, "correction_failed"))
    assert bench.alice.named("offer_refused")[0].fields["reason"] == "correction_failed"
    assert bench.alice.slots.slot(0).state == "free"
    return finish(bench, [])


def tail_learns_of_the_pair_after_the_offer() -> Bench:
    bench = Bench()
    bench.step(bench.bob, Tell((PlanRemoved(request=REQUEST, version=1),)))
    bench.born(1, who="alice")
    bench.run(150 * MS)
    assert bench.said("bob", OfferAnswer)[0].reason == "not_yet", "the plan is not there yet"
    bench.install(bench.bob)
    bench.run(350 * MS)
    assert len(bench.said("bob", OfferAnswer)) == 1, "now the pair is not there yet"
    bench.born(1, who="bob")
    return finish(bench, [1])


def tail_measures_after_the_offer() -> Bench:
    bench = Bench("measure")
    bench.born(1, who="alice")
    bench.run(100 * MS)
    bench.born(1, who="bob")
    return finish(bench, [1])


def tail_is_offered_while_measuring() -> Bench:
    bench = Bench("measure")
    bench.born(1)
    bench.run(bench.now_ns + HOP_NS)
    bench.born(2, who="bob", lane=1)
    pair = next(iter(bench.bob.delivery.tail.pairs.values()))
    assert pair.state in ("measuring", "measured")
    head_end = bench.end(2, bench.alice, 1)
    tail_end = bench.end(2, bench.bob, 1)
    bench.hear("bob", Offer(request=REQUEST, head_end=head_end, tail_end=tail_end, mode="measure"))
    assert bench.bob.delivery.tail.pairs[head_end].offered
    bench.run(bench.now_ns + DEVICE_NS)
    assert bench.bob.delivery.tail.pairs[head_end].state == "accepted"
    return finish(bench, [1])


def head_gives_up_while_the_tail_measures() -> Bench:
    bench = Bench("measure")
    bench.born(1, who="bob")
    bench.hear("bob", offer(bench, "measure"))
    bench.hear("bob", aborted(bench))
    bench.run(bench.now_ns + MS)
    assert bench.bob.delivery.tail.pairs[ends(bench)[0]].state == "measured"
    bench.hear("bob", aborted(bench))
    assert not bench.bob.delivery.tail.pairs
    return finish(bench, [])


def measurement_fails_at(name: str) -> Callable[[], Bench]:
    def scenario() -> Bench:
        bench = Bench("measure")
        bench.ended = lambda node, effect: "unknown" if node == name else "done"
        bench.born(1)
        bench.run(5_000 * MS)
        assert bench.nodes[name].slots.slot(0).state == "free"
        return finish(bench, [])

    return scenario


def memory_is_lost_while_measuring() -> Bench:
    bench = Bench("measure")
    bench.born(1)
    for node in (bench.alice, bench.bob):
        bench.run(bench.now_ns + (HOP_NS if node is bench.bob else 0))
        if node is bench.bob:
            bench.born(2, who="bob", lane=1)
        bench.step(node, Tell((MemoryLost(reason="reset"),)))
        assert any(slot.state == "lost" for slot in node.slots.slots())
    return finish(bench, [])


def memory_is_lost_while_offered() -> Bench:
    bench = Bench()
    deaf(bench, Commit, OfferAnswer)
    bench.born(1)
    bench.run(2 * HOP_NS)
    assert bench.bob.delivery.tail.pairs[ends(bench)[0]].state == "accepted"
    for node in (bench.alice, bench.bob):
        bench.step(node, Tell((MemoryLost(reason="reset"),)))
        assert node.slots.slot(0).state == "lost"
    return finish(bench, [])


def memory_is_lost_while_recording() -> Bench:
    bench = Bench()
    bench.born(1)
    bench.run(2 * HOP_NS)
    assert bench.alice.delivery.head.pairs[ends(bench)[0]].state == "recording"
    bench.step(bench.alice, Tell((MemoryLost(reason="reset"),)))
    finish(bench, [])
    assert [record.state for record in bench.bob.delivery.records(REQUEST)] == ["void"]
    return bench


def memory_is_lost_while_the_tail_records() -> Bench:
    bench = Bench()
    deaf(bench, Settled)
    bench.born(1)
    while not bench.said("alice", Commit):
        bench.run(bench.now_ns + 10_000)
    bench.run(bench.now_ns + HOP_NS)
    pair = bench.bob.delivery.tail.pairs[ends(bench)[0]]
    assert pair.state == "recording"
    bench.hear("bob", commit(bench))
    bench.hear("bob", offer(bench))
    bench.hear("bob", aborted(bench))
    bench.step(bench.bob, Tell((MemoryLost(reason="reset"),)))
    finish(bench, [])
    assert bench.alice.named("pair_void")
    assert bench.bob.named("pair_void")
    return bench


def correction_fails() -> Bench:
    bench = Bench()
    bench.ended = lambda node, effect: "failed"
    bench.born(1, frame=2)
    bench.run(100 * MS)
    assert bench.said("bob", OfferAnswer)[0].reason == "correction_failed"
    return finish(bench, [])


def head_gives_up_while_the_tail_corrects() -> Bench:
    bench = Bench()
    bench.born(1, frame=2)
    bench.run(HOP_NS)
    assert bench.bob.delivery.tail.pairs[ends(bench)[0]].state == "correcting"
    bench.hear("bob", offer(bench))
    bench.hear("bob", aborted(bench))
    finish(bench, [])
    assert not bench.said("bob", OfferAnswer) or not bench.said("bob", OfferAnswer)[0].accepted
    return bench


def memory_is_lost_while_the_tail_corrects() -> Bench:
    bench = Bench()
    bench.born(1, frame=2)
    bench.run(HOP_NS)
    bench.step(bench.bob, Tell((MemoryLost(reason="reset"),)))
    assert bench.bob.slots.slot(0).state == "lost"
    return finish(bench, [])


def plan_ends_with_offers_open() -> Bench:
    bench = Bench()
    deaf(bench, OfferAnswer)
    bench.born(1, who="alice")
    bench.run(10 * MS)
    assert bench.bob.delivery.tail.pairs[ends(bench)[0]].state == "asked"
    for node in (bench.alice, bench.bob):
        bench.step(node, Tell((PlanRemoved(request=REQUEST, version=1),)))
        assert not node.delivery.tail.pairs
        assert not node.delivery.head.pairs
    assert bench.alice.slots.slot(0).state == "free"
    return finish(bench, [])


def plan_ends_while_the_head_measures() -> Bench:
    bench = Bench("measure")
    bench.born(1)
    bench.step(bench.alice, Tell((PlanRemoved(request=REQUEST, version=1),)))
    bench.run(bench.now_ns + MS)
    assert not bench.alice.delivery.head.pairs
    return finish(bench, [])


def commit_comes_to_a_tail_that_only_remembers_the_offer() -> Bench:
    bench = Bench()
    bench.hear("bob", offer(bench))
    bench.hear("bob", commit(bench))
    bench.run(bench.now_ns + MS)
    assert [record.state for record in bench.bob.delivery.records(REQUEST)] == ["void"]
    assert bench.said("bob", Settled)[0].void
    bench.note_rows(bench.bob)
    return bench


def tail_hears_old_news_after_the_end() -> Bench:
    bench = Bench()
    bench.hear("bob", aborted(bench))
    bench.born(1)
    bench.run(1_000 * MS)
    bench.hear("bob", aborted(bench))
    bench.hear("bob", offer(bench))
    bench.hear("bob", commit(bench))
    assert [each.void for each in bench.said("bob", Settled)] == [False, False]
    return finish(bench, [1])


def everything_the_head_says_is_lost() -> Bench:
    bench = Bench()
    deaf(bench, Commit, Aborted)
    bench.born(1)
    bench.run(1_000 * MS)
    assert len(bench.said("bob", Inquiry)) >= 3
    bench.run(4_000 * MS)
    assert bench.bob.slots.slot(0).state == "free", "past its deadline the tail gives up the qubit"
    assert bench.numbers(bench.alice) == [1]
    finish(bench, [])
    assert [record.state for record in bench.alice.delivery.records(REQUEST)] == ["void"]
    return bench


def tail_never_answers() -> Bench:
    bench = Bench("measure", wanted=None)
    deaf(bench, Offer, OfferAnswer)
    bench.born(1)
    bench.run(3_000 * MS)
    assert not bench.alice.delivery.head.pairs
    assert not bench.bob.delivery.tail.pairs, "measured ends without an offer are forgotten"
    deaf(bench, OfferAnswer)
    bench.born(2, lane=1)
    bench.run(5_500 * MS)
    return finish(bench, [])


def chain_dies_while_offered() -> Bench:
    bench = Bench()
    deaf(bench, Offer)
    bench.born(1)
    bench.run(10 * MS)
    bench.hear("bob", aborted(bench))
    bench.step(bench.bob, Tell((PlanRemoved(request=REQUEST, version=1),)))
    bench.run(bench.now_ns + 10 * MS)
    assert not bench.alice.delivery.head.pairs, "the tail's release is known: the offer is over"
    return finish(bench, [])


SCENARIOS: Final[dict[str, Callable[[], Bench]]] = {
    scenario.__name__: scenario
    for scenario in (
        head_hears_old_news_in_every_state,
        head_learns_late_that_a_settled_pair_was_lost,
        restarted_head_ignores_a_settlement_of_its_void_commit,
        head_waits_for_the_frame,
        head_gives_up_without_the_frame,
        plan_ends_while_the_head_waits_for_the_frame,
        memory_is_lost_while_the_head_waits_for_the_frame,
        frames_that_differ_are_never_delivered,
        frames_that_differ_are_never_delivered_when_measured,
        tail_refuses,
        tail_learns_of_the_pair_after_the_offer,
        tail_measures_after_the_offer,
        tail_is_offered_while_measuring,
        head_gives_up_while_the_tail_measures,
        memory_is_lost_while_measuring,
        memory_is_lost_while_offered,
        memory_is_lost_while_recording,
        memory_is_lost_while_the_tail_records,
        correction_fails,
        head_gives_up_while_the_tail_corrects,
        memory_is_lost_while_the_tail_corrects,
        plan_ends_with_offers_open,
        plan_ends_while_the_head_measures,
        commit_comes_to_a_tail_that_only_remembers_the_offer,
        tail_hears_old_news_after_the_end,
        everything_the_head_says_is_lost,
        tail_never_answers,
        chain_dies_while_offered,
    )
} | {
    "measurement_fails_at_the_head": measurement_fails_at("alice"),
    "measurement_fails_at_the_tail": measurement_fails_at("bob"),
}
