"""Delivery through every crash: whatever stops, both ends count the same pairs and use each once at most.

Cases are enumerated, not drawn: each step of head, tail or both, with the step's effects lost, its records
lost or its records written, and each delivery message lost in turn. The number of cases is asserted, so that
a shorter run of the protocol cannot quietly empty the list.
"""

from itertools import product
from typing import Literal

import pytest

from bellwire.core.effects import Send
from tests.transport.bench import MS, Bench, Crash, CrashKind, check_quiet

KINDS: tuple[CrashKind, ...] = ("before_effects", "before_write", "after_write")
SHORT_NS, LONG_NS = 300 * MS, 3_000 * MS
APART_NS = 10_000 * MS
SPARE_PAIRS = 2
"""A crash that comes late, because another one came first, may take the second pair; the third is safe."""

Mode = Literal["keep", "measure"]


def is_delivery(send: Send) -> bool:
    return send.urgency == "delivery"


def lose_nth(number: int) -> object:
    """Lose the number-th delivery message (from 0)."""
    seen = -1

    def loss(index: int, send: Send) -> bool:
        nonlocal seen
        if is_delivery(send):
            seen += 1
            return seen == number
        return False

    return loss


def play(
    mode: Mode,
    head: Crash | None = None,
    tail: Crash | None = None,
    lost: int | None = None,
    frame: int = 2,
) -> Bench:
    """One pair, faults, and spare pairs much later: the request for one pair must be served exactly."""
    bench = Bench(mode, loss=None if lost is None else lose_nth(lost))  # type: ignore[arg-type]  # a Loss
    bench.alice.crash, bench.bob.crash = head, tail
    bench.born(1, frame=frame)
    for spare in range(1, SPARE_PAIRS + 1):
        bench.run(spare * APART_NS)
        bench.born(1 + spare, frame=frame, lane=spare)
    bench.run((SPARE_PAIRS + 1) * APART_NS)
    check_quiet(bench)
    assert len(bench.numbers(bench.alice)) == 1, "one pair was asked for, and enough were there"
    return bench


def steps_of(mode: Mode) -> tuple[int, int]:
    """How many steps the two nodes take until the first pair is settled and nothing moves any more."""
    bench = Bench(mode)
    bench.born(1, frame=2)
    bench.run(1_000 * MS)
    return bench.alice.steps, bench.bob.steps


def messages_of(mode: Mode) -> int:
    bench = Bench(mode)
    bench.born(1, frame=2)
    bench.run(1_000 * MS)
    return sum(is_delivery(send) for _, send in bench.sent)


@pytest.mark.parametrize("mode", ["keep", "measure"])
def test_one_crash_of_either_end_at_any_step_leaves_equal_lists(mode: Mode) -> None:
    head_steps, tail_steps = steps_of(mode)
    cases = 0
    for kind, down_ns in product(KINDS, (SHORT_NS, LONG_NS)):
        for step in range(3, head_steps + 1):
            play(mode, head=Crash(step, kind, down_ns))
            cases += 1
        for step in range(3, tail_steps + 1):
            play(mode, tail=Crash(step, kind, down_ns))
            cases += 1
    assert cases >= 98


@pytest.mark.parametrize("mode", ["keep", "measure"])
def test_crashes_of_both_ends_at_any_two_steps_leave_equal_lists(mode: Mode) -> None:
    head_steps, tail_steps = steps_of(mode)
    cases = 0
    for head_step, tail_step in product(range(4, head_steps + 1), range(4, tail_steps + 1)):
        for head_kind, tail_kind in (("before_write", "after_write"), ("after_write", "before_write")):
            play(mode, Crash(head_step, head_kind, SHORT_NS), Crash(tail_step, tail_kind, SHORT_NS))  # type: ignore[arg-type]  # kinds
            cases += 1
    assert cases >= 98


@pytest.mark.parametrize("mode", ["keep", "measure"])
def test_a_crash_beside_the_loss_of_any_one_message_leaves_equal_lists(mode: Mode) -> None:
    head_steps, tail_steps = steps_of(mode)
    messages = messages_of(mode)
    assert messages == 4  # Offer, OfferAnswer, Commit, Settled
    cases = 0
    for lost, kind in product(range(messages), KINDS):
        play(mode, lost=lost)
        for step in range(4, head_steps + 1):
            play(mode, head=Crash(step, kind, SHORT_NS), lost=lost)
            cases += 1
        for step in range(4, tail_steps + 1):
            play(mode, tail=Crash(step, kind, SHORT_NS), lost=lost)
            cases += 1
    assert cases >= 98
