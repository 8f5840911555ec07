"""The lanes of one link end: which slots attempt, since when, and what hardware has frozen.

Owns the orders to start and stop attempts and the memory of recent births. Refuses agreement: which attempts
may be made is told by the window book, and what a herald means is decided by the link end.
"""

from collections import deque
from collections.abc import Callable

from bellwire.core.effects import StartAttempts, StopAttempts
from bellwire.core.ids import End, RequestId
from bellwire.core.machine import Step
from bellwire.core.settings import LinkSettings
from bellwire.core.view import SlotBook, SlotView
from bellwire.link_layer.agreement import WindowBook
from bellwire.link_layer.expiry import Successes

BIRTHS_KEPT = 1024
"""Recent successes remembered, so that none is born twice."""


class Lanes:
    """State of every lane at this end. `moved` tells that `earliest_ns` may have changed."""

    def __init__(self, link: LinkSettings, slots: SlotBook) -> None:
        self.moved = False
        # Where memories or emitters serve other lanes and links too: may this lane start to attempt now?
        # None: every lane has its own, and always may.
        self.may_start: Callable[[int, int], bool] | None = None
        self._link = link.link
        self._lanes = range(link.lanes)
        self._slots = slots
        self._armed_from: dict[int, int] = {}  # lane -> first attempt of the present lease
        self._takes_turns = link.turn_ns > 0
        self._armed_to: dict[int, tuple[int, int]] = {}  # with turns: lane -> (last attempt, point) ordered
        self._ordered: dict[int, tuple[int, int, int, int]] = {}  # in a bank: what was ordered last, by lane
        self._waited: dict[int, int] = {}  # with turns: lane -> attempts without success in turns before
        self._period_ns = link.period_ns
        self._rested: dict[int, int] = {}  # lane that made a pair for nobody -> fence of its window
        self._epoch_ns = 0
        self._births: set[tuple[int, int]] = set()  # recent (attempt, lane) that were born
        self._births_in_order: deque[tuple[int, int]] = deque()
        self._forgotten_to = -1  # the latest attempt of a birth that was forgotten
        self._frozen: dict[int, int] = {}  # lane -> give up at: held by hardware, no report yet

    def begin_run(self) -> None:
        """A new run: nothing of the old one counts."""
        self._armed_from.clear()
        self._armed_to.clear()
        self._ordered.clear()
        self._waited.clear()
        self._rested.clear()
        self._births.clear()
        self._births_in_order.clear()
        self._forgotten_to = -1
        self._frozen.clear()
        self.moved = True

    def arm(self, step: Step, lane: int, book: WindowBook) -> None:
        """Attempt on a free slot, or extend the lease of an attempting one, as far as the book goes."""
        slot = self._slots.of_lane(self._link, lane)
        if slot is None or slot.state == "free":
            fresh = True
        elif slot.state == "attempting" and lane not in self._frozen:
            fresh = False
        else:
            return
        now = book.attempt_at(step.now_ns)
        if self._rested.get(lane) == book.fence() and book.lets_rest(lane, now):
            return
        span = book.span_from(now)
        if span is None:
            return
        first, last = span
        if self.may_start is not None:
            if first > now:
                return  # a memory that others use is taken when the turn begins, and no sooner
            if fresh:
                slot = self._slots.attempt_on(self._link, lane) if self.may_start(lane, step.now_ns) else None
                if slot is None:
                    return
        elif fresh:
            assert slot is not None
            self._slots.attempt(slot.index)
        assert slot is not None
        if fresh:
            self._armed_from[lane] = first
        point = book.point_at(first)
        if self._takes_turns:
            if not fresh and self._armed_to.get(lane) == (last, point):
                return  # looked at whenever a memory or a turn changes: most often there is nothing to order
            if point != self._armed_to.get(lane, (0, point))[1]:
                self._waited.pop(lane, None)
            self._armed_to[lane] = last, point
            self._epoch_ns = book.epoch_ns
            if first < self._armed_from[lane]:
                self._armed_from[lane] = first  # armed for a later turn before, and now for this one
        generation = slot.generation
        assert book.run is not None
        fence = book.fence()
        if self.may_start is not None:
            # A bank is looked at whenever a memory of it changes: most often there is nothing new to order.
            ordered = (generation, last, fence, point)
            if not fresh and self._ordered.get(lane) == ordered:
                return
            self._ordered[lane] = ordered
        step.order(
            StartAttempts(
                slot=slot.index,
                generation=generation,
                link=self._link,
                lane=lane,
                run=book.run,
                epoch_ns=book.epoch_ns,
                first=first,
                last=last,
                fence=fence,
                point=point,
            )
        )

    def rest(self, lane: int, book: WindowBook) -> None:
        """A lane has made a pair for nobody, so the link is known to make pairs: where nobody may use the
        lane, it attempts again from the next window on. Heralds for nobody keep agents busy."""
        self._rested[lane] = book.fence()

    def armed_by(self, lane: int, attempt: int) -> bool:
        """True when the lane's present lease began at or before this attempt."""
        first = self._armed_from.get(lane)
        return first is not None and first <= attempt

    def armed_from(self, lane: int) -> int:
        """First attempt of the lane's present lease. Raises KeyError when it never had one in this run.

        Where memories are given back between turns: as if the attempts of the turns before, without success,
        had come just before this turn. So many attempts ago the lane had its last success.
        """
        return self._armed_from[lane] - self._waited.get(lane, 0)

    def attempting_from(self, lane: int, *, frozen: bool = False) -> int | None:
        """First attempt of the present lease of a lane that attempts; None: it does not attempt now.

        frozen: one that hardware has stopped with a success counts as well.
        """
        slot = self._slots.of_lane(self._link, lane)
        if slot is None or slot.state != "attempting" or (lane in self._frozen and not frozen):
            return None
        return self._armed_from.get(lane)

    def stop(self, step: Step, lane: int) -> bool:
        """Stop attempting on a lane; False when it did not attempt."""
        self.thaw(lane)
        slot = self._slots.of_lane(self._link, lane)
        if slot is None or slot.state != "attempting":
            return False
        if lane in self._armed_to:
            begun = -((self._epoch_ns - step.now_ns) // self._period_ns)
            made = min(self._armed_to[lane][0] + 1, begun) - self._armed_from[lane]
            self._waited[lane] = self._waited.get(lane, 0) + max(0, made)
        self._slots.stand_down(slot.index)
        step.order(StopAttempts(slot=slot.index, generation=slot.generation))
        return True

    def stand_down(self, step: Step) -> None:
        """Stop every attempt; heralds already on their way will find nothing and say so."""
        for lane in self._lanes:
            self.stop(step, lane)

    def end_turn(self, step: Step) -> None:
        """Stop every attempt, but not where hardware holds what it gave and the report is on its way."""
        for lane in self._lanes:
            self.end_attempt(step, lane)

    def end_attempt(self, step: Step, lane: int) -> None:
        """Stop attempting on a lane, but not where hardware holds what it gave."""
        if lane not in self._frozen:
            self.stop(step, lane)

    def attempting(self) -> tuple[int, ...]:
        """Lanes that attempt, those with a report on its way included."""
        return tuple(
            lane
            for lane in self._lanes
            if (slot := self._slots.of_lane(self._link, lane)) is not None and slot.state == "attempting"
        )

    def memory_lost(self) -> None:
        """The memory forgot everything: slots that were attempting, or idle, are lost until it is back."""
        for lane in tuple(self._frozen):
            self.thaw(lane)
        for slot in self._slots.of_link(self._link):
            if slot.state in ("attempting", "free"):
                self._slots.lose(slot.index)

    def recover(self) -> None:
        """The memory answers: lost slots are free again."""
        for slot in self._slots.of_link(self._link):
            if slot.state == "lost":
                self._slots.free(slot.index)

    def freeze(self, lane: int, attempt: int, until_ns: int) -> None:
        """Hardware holds what this attempt gave; its report must follow by `until_ns` unless it was first."""
        if (attempt, lane) not in self._births and self._slots.of_lane(self._link, lane) is not None:
            self._frozen[lane] = until_ns
            self.moved = True

    def thaw(self, lane: int) -> None:
        """The lane waits for no report."""
        if self._frozen.pop(lane, None) is not None:
            self.moved = True

    def slot_of(self, lane: int) -> SlotView | None:
        """The slot that attempts on a lane, or holds what it gave, None: the lane has none."""
        return self._slots.of_lane(self._link, lane)

    def hold(self, lane: int, end: End, request: RequestId, tree: int, at_ns: int) -> None:
        """The lane's attempt succeeded: its slot holds the qubit."""
        self.thaw(lane)
        self._waited.pop(lane, None)
        slot = self._slots.of_lane(self._link, lane)
        assert slot is not None
        self._slots.hold(slot.index, end, request, tree, at_ns)

    def successes(self) -> Successes:
        """Successes of the present run."""
        return Successes(self._births, self._forgotten_to)

    def first_birth(self, attempt: int, lane: int) -> bool:
        """Note a success; False when it was noted before."""
        births, born = self._births, (attempt, lane)
        if born in births:
            return False
        births.add(born)
        self._births_in_order.append(born)
        if len(births) > BIRTHS_KEPT:
            oldest = self._births_in_order.popleft()
            births.remove(oldest)
            self._forgotten_to = max(self._forgotten_to, oldest[0])
        return True

    def earliest_ns(self) -> int | None:
        """When the first frozen lane is to be given up."""
        return min(self._frozen.values(), default=None)

    def overdue(self, now_ns: int) -> list[int]:
        """Frozen lanes whose report did not come."""
        return [lane for lane, until_ns in self._frozen.items() if until_ns <= now_ns]
