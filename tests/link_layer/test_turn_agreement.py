"""How the ends of a link agree on turns: offers, refusals for good, and lanes that follow the windows."""

import msgspec
import pytest

from bellwire.core.effects import StartAttempts, StopAttempts
from bellwire.core.errors import PeerViolation
from bellwire.core.events import DeviceChanged
from bellwire.core.ids import End
from bellwire.core.link_messages import Window, WindowAnswer, WindowOffer
from bellwire.core.machine import Step
from bellwire.core.notices import LinkRequested, LinkWithdrawn
from bellwire.core.plans import LinkPlan
from bellwire.link_layer.agreement import TURNS, QueueKeeper, WindowBook, refusal
from bellwire.link_layer.lanes import Lanes
from bellwire.link_layer.service import LinkService
from bellwire.link_layer.terms import Terms
from bellwire.node.routing import NodeMachine
from bellwire.node.slots import SlotTable
from tests.link_layer.bench import MS, PERIOD_NS, Sink
from tests.link_layer.lone import RUN, Lone, window
from tests.link_layer.shared_bench import LEASE_NS, TURN_NS, star
from tests.link_layer.shared_bench import TURNS as CYCLE

HUB = star(3, banks={"hub": 2})  # the hub is side 1 of l0 and l2, and side 0 of l1
EVERY = tuple(range(CYCLE))
ENTRY = window(0, 1, 1, "r").schedule
IN_A_TURN = TURN_NS // PERIOD_NS  # attempts


def granting(first: int, fence: int, granted: tuple[int, ...], *, run: int = RUN) -> Window:
    last = first + LEASE_NS // PERIOD_NS - 1
    return msgspec.structs.replace(window(first, last, fence, "r", run=run), granted=granted)


class LoneHub(Lone):
    """The hub alone; the test plays its leaves."""

    def __init__(self, node: str = "hub") -> None:
        self.slots = SlotTable(HUB, node)
        self.service = LinkService(HUB, node, self.slots)
        super().__init__(node, NodeMachine(node, [self.service, Sink(self.slots, held_for_ns=10**15)]))

    def want(self, now_ns: int, link: str, *, weight: int = 1) -> None:
        plan = LinkPlan(
            request="r",
            tree=0,
            link=link,
            partner=self.service.ends[link].peer,
            rate_hz=1.0,
            lanes=0,
            weight=weight,
            fidelity_min=None,
        )
        self._notice(now_ns, LinkRequested(plan=plan))

    def drop(self, now_ns: int, link: str) -> None:
        self._notice(now_ns, LinkWithdrawn(request="r", link=link))

    def _notice(self, now_ns: int, notice: LinkRequested | LinkWithdrawn) -> None:
        self.machine._step.tell(notice)
        self.tell(now_ns, DeviceChanged(role="timing", ready=True, lost_state=False, reason=""))

    def offered(self, now_ns: int, link: str, one: Window) -> WindowAnswer:
        self.take()
        self.hear(now_ns, self.service.ends[link].peer, WindowOffer(link=link, window=one))
        (answer,) = (
            each for each in self.sent(WindowAnswer) if each.link == link and each.fence == one.fence
        )
        return answer


# ---- side 1: what a node takes and what it refuses


def test_side_1_takes_turns_that_are_free_and_tells_what_it_could_grant() -> None:
    hub = LoneHub()
    hub.want(0, "l0")
    answer = hub.offered(0, "l0", granting(0, 1, EVERY))
    assert (answer.accepted, answer.granted) == (True, EVERY)


def test_side_1_refuses_turns_that_another_link_has_and_names_those_that_are_free() -> None:
    hub = LoneHub()
    hub.want(0, "l0")
    hub.want(0, "l2")
    first = hub.offered(0, "l0", granting(0, 1, EVERY))
    assert (first.accepted, first.reason) == (False, TURNS)
    assert len(first.granted) == CYCLE // 2
    assert hub.offered(MS, "l0", granting(0, 2, first.granted)).accepted
    other = hub.offered(2 * MS, "l2", granting(0, 1, EVERY))
    assert (other.accepted, other.reason) == (False, TURNS)
    assert sorted((*first.granted, *other.granted)) == list(EVERY)
    assert hub.offered(3 * MS, "l2", granting(0, 2, other.granted)).accepted


def test_side_1_refuses_more_turns_than_the_share_of_the_link_even_if_they_are_free() -> None:
    hub = LoneHub()
    hub.want(0, "l0", weight=1)
    hub.want(0, "l2", weight=3)
    answer = hub.offered(0, "l0", granting(0, 1, (0, 1, 2, 3)))
    assert (answer.accepted, answer.granted) == (False, (0, 1, 2))


def test_a_repeated_offer_of_a_window_in_force_is_taken_again_though_shares_have_changed() -> None:
    """The answer was lost: side 0 must not believe that a window which rules here was refused."""
    hub = LoneHub()
    hub.want(0, "l0")
    one = granting(0, 1, EVERY)
    assert hub.offered(0, "l0", one).accepted
    hub.want(MS, "l2")
    assert hub.offered(2 * MS, "l0", one).accepted


def test_an_offer_that_was_refused_for_its_turns_stays_refused_when_a_late_copy_comes() -> None:
    """Side 0 has given it up and binds by none of its attempts."""
    hub = LoneHub()
    hub.want(0, "l0")
    hub.want(0, "l2")
    refused = granting(0, 1, EVERY)
    assert not hub.offered(0, "l0", refused).accepted
    hub.drop(MS, "l2")
    late = hub.offered(2 * MS, "l0", refused)
    assert (late.accepted, late.reason) == (False, TURNS)
    assert hub.offered(3 * MS, "l0", granting(0, 2, EVERY)).accepted


def test_a_run_whose_first_offer_was_refused_for_its_turns_goes_on_with_the_next_fence() -> None:
    book = WindowBook(HUB.links["l0"])
    assert refusal(book, granting(0, 2, EVERY), {"r"}.__contains__) == "reset"
    book.turned_down = (RUN, 1)
    assert refusal(book, granting(0, 2, EVERY), {"r"}.__contains__) == ""
    assert refusal(book, granting(0, 1, EVERY), {"r"}.__contains__) == TURNS
    assert refusal(book, granting(0, 2, EVERY, run=RUN + 1), {"r"}.__contains__) == "reset"


def test_side_1_tells_at_once_when_the_share_of_a_link_changes() -> None:
    hub = LoneHub()
    hub.want(0, "l0")
    assert hub.offered(0, "l0", granting(0, 1, EVERY)).accepted
    hub.take()
    hub.want(MS, "l2")
    (news,) = hub.sent(WindowAnswer, "n0")
    assert (news.link, news.fence, news.accepted, len(news.granted)) == ("l0", 1, True, CYCLE // 2)


@pytest.mark.parametrize("granted", [(), (CYCLE,), (2, 1)])
def test_turns_that_rule_nothing_are_the_peers_fault(granted: tuple[int, ...]) -> None:
    hub = LoneHub()
    hub.want(0, "l0")
    with pytest.raises(PeerViolation, match="turns"):
        hub.offered(0, "l0", granting(0, 1, granted))


# ---- side 0


def test_side_0_proposes_what_is_free_and_offers_what_side_1_could_grant() -> None:
    leaf = LoneHub("n0")
    leaf.want(0, "l0")
    (offer,) = leaf.sent(WindowOffer)
    assert offer.window.granted == EVERY
    leaf.take()
    refused = WindowAnswer(
        link="l0", run=offer.window.run, fence=1, accepted=False, reason=TURNS, granted=(4, 5)
    )
    leaf.hear(MS, "hub", refused)
    (again,) = leaf.sent(WindowOffer)
    assert (again.window.run, again.window.fence, again.window.granted) == (offer.window.run, 2, (4, 5))


def test_side_0_waits_when_side_1_can_grant_nothing() -> None:
    leaf = LoneHub("n0")
    leaf.want(0, "l0")
    (offer,) = leaf.sent(WindowOffer)
    leaf.take()
    leaf.hear(MS, "hub", WindowAnswer(link="l0", run=offer.window.run, fence=1, accepted=False, reason=TURNS))
    assert leaf.sent(WindowOffer) == []
    leaf.wait(MS + HUB.timers.answer_ns // 10)
    assert len(leaf.sent(WindowOffer)) == 1


def test_side_0_gives_turns_back_when_side_1_says_that_it_can_grant_fewer() -> None:
    leaf = LoneHub("n0")
    leaf.want(0, "l0")
    (offer,) = leaf.sent(WindowOffer)
    run = offer.window.run
    leaf.hear(MS, "hub", WindowAnswer(link="l0", run=run, fence=1, accepted=True, reason="", granted=EVERY))
    leaf.take()
    leaf.hear(
        2 * MS, "hub", WindowAnswer(link="l0", run=run, fence=1, accepted=True, reason="", granted=(0, 1))
    )
    (shrunk,) = leaf.sent(WindowOffer)
    assert (shrunk.window.fence, shrunk.window.granted) == (2, (0, 1))


def test_attempts_of_an_offer_that_was_refused_for_its_turns_are_not_in_doubt() -> None:
    """Side 1 has bound nothing by it, and will not."""
    book = WindowBook(HUB.links["l0"])
    keeper = QueueKeeper(HUB.links["l0"], book)
    keeper.start_run(1, 0)

    def terms(*granted: int) -> Terms:
        return Terms((), ENTRY, granted=granted)

    first = keeper.propose(terms(0, 1), 50_000, 0)
    keeper.agreed()
    book.add(first)
    more = keeper.propose(terms(0, 1, 2), 50_000, 10 * MS)
    assert keeper.in_doubt(more.first)
    keeper.turned_down()
    assert not keeper.in_doubt(more.first)
    same = keeper.propose(terms(0, 1), 50_000, 11 * MS)
    assert (same.first, same.fence) == (first.last + 1, more.fence + 1)
    keeper.agreed()
    book.add(same)
    assert not any(keeper.in_doubt(attempt) for attempt in (more.first, first.last, same.first))


def test_an_offer_that_was_given_up_before_the_refused_one_stays_in_doubt() -> None:
    book = WindowBook(HUB.links["l0"])
    keeper = QueueKeeper(HUB.links["l0"], book)
    keeper.start_run(1, 0)
    unanswered = keeper.propose(Terms((), ENTRY, granted=(0,)), 50_000, 0)
    keeper.propose(Terms((), ENTRY, granted=(0, 1)), 50_000, MS)
    keeper.turned_down()
    assert keeper.in_doubt(unanswered.first)


# ---- lanes


class OneEnd:
    """The lanes of one end of a link that takes turns, with a book of windows."""

    def __init__(self, node: str) -> None:
        link = HUB.links["l0"]
        self.node = node
        self.book = WindowBook(link)
        self.book.begin(RUN, 0)
        self.slots = SlotTable(HUB, node)
        self.lanes = Lanes(link, self.slots)
        if node == "hub":
            self.lanes.may_start = lambda lane, now_ns: True

    def arm(self, now_ns: int) -> list[StartAttempts]:
        step = self._step(now_ns)
        self.lanes.arm(step, 0, self.book)
        return [effect for effect in step.effects if isinstance(effect, StartAttempts)]

    def _step(self, now_ns: int) -> Step:
        step = Step(self.node)
        step.now_ns = now_ns
        return step

    def end_turn(self, now_ns: int) -> list[StopAttempts]:
        step = self._step(now_ns)
        self.lanes.end_turn(step)
        return [effect for effect in step.effects if isinstance(effect, StopAttempts)]


def test_a_lane_armed_for_a_later_turn_takes_part_in_a_sooner_one_that_a_new_window_grants() -> None:
    """Found by hypothesis: its pairs were taken for those of an older lease, and the lane fell silent."""
    leaf = OneEnd("n0")
    leaf.book.add(granting(0, 1, (3,)))
    (later,) = leaf.arm(0)
    assert later.first == 3 * IN_A_TURN
    leaf.book.add(granting(5, 2, (0, 3)))
    (sooner,) = leaf.arm(MS)
    assert (sooner.first, sooner.generation) == (MS // PERIOD_NS, later.generation)
    assert leaf.lanes.armed_by(0, sooner.first)


def test_a_memory_of_a_bank_is_taken_when_the_turn_begins_and_no_sooner() -> None:
    hub = OneEnd("hub")
    hub.book.add(granting(0, 1, (3,)))
    assert hub.arm(0) == []
    assert [slot.state for slot in hub.slots.slots()] == ["free", "free"]
    (order,) = hub.arm(3 * TURN_NS)
    assert (order.first, order.slot) == (3 * IN_A_TURN, 0)
    assert order.last < 4 * IN_A_TURN


def test_an_order_that_says_nothing_new_is_not_given() -> None:
    hub = OneEnd("hub")
    hub.book.add(granting(0, 1, (0,)))
    assert len(hub.arm(0)) == 1
    assert hub.arm(PERIOD_NS) == []
    hub.book.add(granting(3, 2, (0, 1)))
    (longer,) = hub.arm(4 * PERIOD_NS)
    assert longer.last > IN_A_TURN


def test_at_the_end_of_a_turn_memories_are_given_back_but_not_one_whose_report_is_on_its_way() -> None:
    hub = OneEnd("hub")
    hub.book.add(granting(0, 1, (0,)))
    hub.arm(0)
    hub.lanes.freeze(0, 7, until_ns=10**9)
    assert hub.end_turn(TURN_NS) == []
    assert hub.slots.slot(0).state == "attempting"
    hub.lanes.thaw(0)
    assert len(hub.end_turn(TURN_NS)) == 1
    assert hub.slots.slot(0).state == "free"


def test_a_wait_for_a_pair_counts_the_attempts_of_all_turns_since_the_last_one() -> None:
    hub = OneEnd("hub")
    hub.book.add(granting(0, 1, (0, 1, 6)))
    (first,) = hub.arm(0)
    hub.end_turn(2 * TURN_NS)
    (second,) = hub.arm(6 * TURN_NS)
    made = first.last - first.first + 1
    assert hub.lanes.armed_from(0) == second.first - made
    hub.lanes.hold(0, End("l0", RUN, second.first, 0, 1), "r", 0, 0)
    (third,) = hub.arm(6 * TURN_NS + 5 * PERIOD_NS)
    assert hub.lanes.armed_from(0) == third.first
