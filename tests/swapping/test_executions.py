"""The books of one execution: what is known of held ends, and since when they count as waiting."""

from typing import Any

from bellwire.core.ids import End, NodeId
from bellwire.node.slots import Slot
from bellwire.swapping.executions import Execution
from bellwire.swapping.policies import policy_of
from tests.swapping.bench import LEFT, FakeView, swap_plan
from tests.swapping.tables import uniform

ROUTE = ("w", "a", "r", "b", "z")


class Books:
    """The execution of an adaptive plan at r, with one end on its left, held at time 10."""

    def __init__(self, mode: str = "score") -> None:
        plan = swap_plan(policy=mode, route=ROUTE, left_partner="w", right_partner="z", table=uniform(2))
        self.execution = Execution(plan, policy_of(mode))
        slot = Slot(0, "a-r", 0)
        slot.state, slot.end, slot.born_ns = "held", LEFT, 10
        self.held = self.execution.hold(slot, LEFT, 10)
        self.view = FakeView()
        self.view.knows(LEFT, "a")

    def changed(self, at_ns: int, far: NodeId) -> None:
        """Word of a change came; the ledger is not read yet."""
        self.view.owners[LEFT] = far
        self.held.known, self.held.news_ns = False, at_ns

    def read(self, now_ns: int) -> list[End]:
        view: Any = self.view
        return [held.end for held in self.execution.read(view, now_ns)]


def test_a_link_pair_is_known_without_a_look_at_the_ledger() -> None:
    books = Books()
    assert (books.held.far, books.held.known, books.held.since_ns) == (1, True, 10)
    assert books.read(20) == []


def test_a_pair_waits_from_the_word_of_its_new_far_end_however_late_the_ledger_is_read() -> None:
    """A ledger at another node answers a round trip later: a pair that counted from there would be kept
    for so much longer than its policy allows."""
    books = Books()
    books.changed(100, "w")
    assert books.read(5_000) == [LEFT]
    assert (books.held.far, books.held.since_ns) == (0, 100)
    assert books.held.idle_ns(5_000) == 4_900


def test_a_pair_whose_far_end_is_the_same_goes_on_waiting() -> None:
    books = Books()
    books.changed(100, "a")
    books.view.chains[LEFT].oldest_ns = 3
    assert books.read(200) == []
    assert (books.held.since_ns, books.held.oldest_ns) == (10, 3)


def test_a_pair_that_is_dead_or_leads_off_the_route_has_no_place_on_it() -> None:
    off, dead = Books(), Books()
    off.changed(100, "elsewhere")
    dead.changed(100, "w")
    dead.view.chains[LEFT].dead = True
    for books in (off, dead):
        books.read(100)
        assert books.held.far == -1
        assert books.execution.situation(0.0, 100).left == ()
