"""One step: notices first-in first-out, to the end, and never without end."""

import pytest

from bellwire.core.effects import Send
from bellwire.core.errors import LocalMisuse
from bellwire.core.machine import NOTICES_PER_STEP_MAX, Handler, Step, run_notices
from bellwire.core.messages import Watermark
from bellwire.core.notices import MemoryLost, MemoryReady, SlotFreed


def step_of(count: int) -> Step:
    step = Step("n")
    for slot in range(count):
        step.tell(SlotFreed(slot=slot))
    return step


def test_notices_are_handled_in_the_order_in_which_they_were_told() -> None:
    step = step_of(2)
    heard: list[object] = []

    def freed(step: Step, notice: SlotFreed) -> None:
        heard.append(notice.slot)
        if notice.slot == 0:
            step.tell(MemoryReady())

    def ready(step: Step, notice: MemoryReady) -> None:
        heard.append("ready")

    run_notices(step, {SlotFreed: (freed,), MemoryReady: (ready,)})
    assert heard == [0, 1, "ready"]
    assert not step.notices


def test_all_takers_of_a_notice_hear_it_in_the_order_of_the_table() -> None:
    heard: list[str] = []
    takers: tuple[Handler, ...] = (lambda step, notice: heard.append("one"), lambda s, n: heard.append("two"))
    run_notices(step_of(1), {SlotFreed: takers})
    assert heard == ["one", "two"]


def test_as_many_notices_as_allowed_pass_and_one_more_is_our_bug() -> None:
    run_notices(step_of(NOTICES_PER_STEP_MAX), {SlotFreed: ()})
    step = step_of(NOTICES_PER_STEP_MAX + 1)
    with pytest.raises(LocalMisuse, match=f"n: more than {NOTICES_PER_STEP_MAX} notices in one step"):
        run_notices(step, {SlotFreed: ()})
    assert not step.notices


def test_a_loop_between_parts_is_reported_with_the_trail_of_the_last_notices() -> None:
    step = step_of(1)
    takers: dict[type, tuple[Handler, ...]] = {
        SlotFreed: (lambda step, notice: step.tell(MemoryReady()),),
        MemoryReady: (lambda step, notice: step.tell(SlotFreed(slot=0)),),
    }
    with pytest.raises(LocalMisuse, match=r"last: (SlotFreed MemoryReady )+SlotFreed$"):
        run_notices(step, takers)


def test_a_node_may_be_allowed_more_for_its_slots() -> None:
    step = step_of(NOTICES_PER_STEP_MAX + 4)
    step.notices_max += 4
    run_notices(step, {SlotFreed: ()})


def test_a_notice_that_nobody_takes_is_our_bug_by_name() -> None:
    step = Step("n")
    step.tell(MemoryLost(reason="reset"))
    with pytest.raises(LocalMisuse, match="n: nobody takes MemoryLost"):
        run_notices(step, {})


def test_operations_are_numbered_from_one_and_never_twice() -> None:
    step = Step("n")
    assert [step.operation() for _ in range(3)] == [1, 2, 3]


def test_a_message_is_an_order_like_any_other() -> None:
    step = Step("n")
    mark = Watermark(incarnation=1, last=2)
    step.send("peer", mark)
    step.send("peer", mark, "digest")
    assert step.effects == [
        Send(to="peer", message=mark, urgency="control"),
        Send(to="peer", message=mark, urgency="digest"),
    ]
