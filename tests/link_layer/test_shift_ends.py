"""What an end of a link says of its pairs when a shift ends: of which, when, and to whom not.

Lanes 0 and 1 have owners, lane 2 goes through the schedule. Requests named w... wait for partners.
"""

from collections.abc import Iterable

import msgspec
import pytest

from bellwire.core.ids import End
from bellwire.core.link_messages import ScheduleEntry, Window
from bellwire.core.machine import Step
from bellwire.core.notices import ShiftOver
from bellwire.core.plans import LinkPlan
from bellwire.link_layer.agreement import WindowBook
from bellwire.link_layer.ground import Ground
from bellwire.link_layer.lane_shifts import LaneShifts
from bellwire.link_layer.schedulers.words import Key
from bellwire.node.slots import SlotTable
from tests.link_layer.bench import PERIOD_NS, link_network
from tests.link_layer.lone import RUN, window

FIRST = 100
"""The first attempt of the window whose shift begins."""

DECIDED_NS = FIRST * PERIOD_NS + PERIOD_NS // 2 + PERIOD_NS // 4
"""When the herald of that attempt is here: click after half a period, a quarter on its way."""


def entry(request: str) -> ScheduleEntry:
    return ScheduleEntry(request=request, tree=0)


def shift(owners: Iterable[str], *others: str, first: int = FIRST, fence: int = 1) -> Window:
    """A window of whole lanes: whom each serves, and who goes round on the rest."""
    return msgspec.structs.replace(window(first, 1999, fence, *others), owners=tuple(map(entry, owners)))


def plan_of(request: str, *, priority: int = 0, background: bool = False) -> LinkPlan:
    return LinkPlan(
        request=request,
        tree=0,
        link="a-b",
        partner="b",
        rate_hz=0.0,
        lanes=0,
        weight=1,
        fidelity_min=None,
        priority=priority,
        background=background,
    )


class ShiftBench:
    """One end with a window book, slots, and plans of requests."""

    def __init__(self, *plans: LinkPlan) -> None:
        network = link_network(station=True)
        link = network.links["a-b"]
        memory = network.nodes["a"].memory
        assert memory is not None
        self.slots = SlotTable(network, "a")
        self.book = WindowBook(link)
        self.book.begin(RUN, 0)
        self.plans: dict[Key, LinkPlan] = {(plan.request, 0): plan for plan in plans}
        self.waiting: set[Key] = {key for key in self.plans if key[0].startswith("w")}
        self.counters: dict[str, int] = {}
        ground = Ground(
            link=link,
            side=0,
            memories=(memory, memory),
            timers=network.timers,
            delay_ns=0,
            slots=self.slots,
            book=self.book,
            requests=self.plans,
            counters=self.counters,
        )
        self.part = LaneShifts(ground, self.waiting)

    def agree(self, agreed: Window) -> None:
        self.book.add(agreed)
        self.part.look()

    def hold(self, lane: int, request: str) -> End:
        end = End("a-b", RUN, 1 + lane, lane, 0)
        slot = self.slots.of_lane("a-b", lane)
        assert slot is not None
        self.slots.attempt(slot.index)
        self.slots.hold(slot.index, end, request, 0, 0)
        return end

    def over(self, now_ns: int = DECIDED_NS) -> list[End]:
        """Ends whose shift is over by what the part says at its deadline."""
        assert self.part.deadline_ns() == now_ns
        step = Step("a")
        step.now_ns = now_ns
        self.part.on_deadline(step)
        assert self.part.deadline_ns() is None
        found = [notice for notice in step.notices if isinstance(notice, ShiftOver)]
        assert len(found) == len(step.notices)
        assert self.counters["shifts_over"] == len(found)
        return [notice.end for notice in found]


def three() -> ShiftBench:
    return ShiftBench(plan_of("w1"), plan_of("w2"), plan_of("w3"))


def test_pairs_of_whoever_rests_now_are_told_when_nothing_of_the_shift_before_can_come_any_more() -> None:
    bench = three()
    left = bench.hold(0, "w3")
    bench.agree(shift(("w1", "w2")))
    assert bench.over() == [left]


def test_pairs_of_whoever_works_on_stay_on_their_lane_and_give_up_any_other() -> None:
    bench = three()
    bench.hold(0, "w1")
    moved = bench.hold(1, "w1")
    bench.agree(shift(("w1", "w2")))
    assert bench.over() == [moved]


def test_a_pair_on_a_lane_that_goes_round_stays_with_whoever_has_a_place_there() -> None:
    bench = ShiftBench(*(plan_of(name) for name in ("w1", "w2", "w3", "w4")))
    bench.hold(2, "w3")
    bench.agree(shift(("w1", "w2"), "w3"))
    assert bench.over() == []


def test_pairs_that_wait_for_no_partner_and_ends_in_other_hands_are_left_alone() -> None:
    bench = ShiftBench(plan_of("w1"), plan_of("w2"), plan_of("w3"), plan_of("c"))
    bench.hold(0, "c")
    offered = bench.hold(1, "w3")
    slot = bench.slots.holding(offered)
    assert slot is not None
    bench.slots.offer(slot.index)
    bench.agree(shift(("w1", "w2")))
    assert bench.over() == []


def test_where_everybody_who_waits_works_there_is_no_shift() -> None:
    bench = ShiftBench(plan_of("w1"), plan_of("w2"))
    bench.hold(0, "w2")
    bench.agree(shift(("w1", "w2")))
    assert bench.part.deadline_ns() is None


@pytest.mark.parametrize(
    ("priority", "background", "begins"),
    [(1, False, True), (2, False, True), (0, False, False), (1, True, False)],
    ids=["equal", "higher", "lower", "background"],
)
def test_a_shift_is_for_requests_whose_time_it_is_as_much_as_that_of_those_who_work(
    priority: int, background: bool, begins: bool
) -> None:
    """A lower priority rests for good, and a background request takes what is left: neither has shifts."""
    resting = plan_of("w3", priority=priority, background=background)
    bench = ShiftBench(plan_of("w1", priority=1), resting)
    bench.hold(1, "w3")
    bench.agree(shift(("w1", "w1")))
    assert (bench.part.deadline_ns() == DECIDED_NS) == begins


def test_a_request_that_has_gone_before_the_shift_begins_ends_it() -> None:
    bench = three()
    bench.hold(1, "w1")
    bench.agree(shift(("w1", "w2")))
    del bench.plans["w3", 0]
    bench.waiting.discard(("w3", 0))
    assert bench.over() == []


def test_a_later_window_counts_and_a_run_that_is_over_does_not() -> None:
    bench = three()
    left = bench.hold(1, "w2")
    bench.agree(shift(("w1", "w2"), first=20))
    bench.agree(shift(("w1", "w3"), fence=2))
    assert bench.over() == [left]
    bench.agree(shift(("w2", "w3"), first=200, fence=3))
    bench.part.forget()
    assert bench.part.deadline_ns() is None


def test_a_run_that_was_closed_meanwhile_says_nothing() -> None:
    bench = three()
    bench.hold(0, "w3")
    bench.agree(shift(("w1", "w2")))
    bench.book.close()
    assert bench.over() == []
