"""What the two ends of a link say to each other about windows: offers and answers, closings and resets.

Owns the words of side 0 and of side 1 about runs and windows, when an offer is made anew or repeated, and the
reasons to refuse one. Refuses what a run and its windows mean for lanes and pairs (link_end.py), the rules
that windows obey (agreement.py), and what side 0 wants in them (wishes.py).
"""

from typing import Final, Protocol

from bellwire.core.errors import PeerViolation
from bellwire.core.link_messages import LinkReset, Window, WindowAnswer, WindowClosed, WindowOffer
from bellwire.core.machine import Step
from bellwire.link_layer.agreement import QueueKeeper, fault_of, refusal
from bellwire.link_layer.ground import Ground
from bellwire.link_layer.rests import Rests
from bellwire.link_layer.sharing import Sharing
from bellwire.link_layer.terms import terms_fault
from bellwire.link_layer.turns import turns_fault
from bellwire.link_layer.wishes import Wishes

REFUSED_REPEAT_SHARE: Final = 10
"""A refused offer is repeated after answer_ns / this: the other side is usually about to hear of the
request."""


class RunOwner(Protocol):
    """Whose attempts are agreed upon."""

    def run_left(self, step: Step) -> None:
        """Nothing of the present run counts from now on."""
        ...

    def run_begun(self, step: Step) -> None:
        """The window book has a new run."""
        ...

    def window_agreed(self, step: Step, window: Window) -> None:
        """Both ends have this window."""
        ...


class Dialogue:
    """Of one link end. Side 0 offers, side 1 answers; either may give up the run."""

    def __init__(self, ground: Ground, keeper: QueueKeeper, wishes: Wishes, owner: RunOwner) -> None:
        self.sharing: Sharing | None = None  # None: the link takes no turns and shares no memory
        self.rests: Rests | None = None  # set by the link end
        self.valve_shut = False  # back-pressure: no new window is granted or taken while a queue is full
        self._link = ground.link
        self._side = ground.side
        self._peer = ground.peer
        self._answer_ns = ground.timers.answer_ns
        self._delay_ns = ground.delay_ns
        self._book = ground.book
        self._requests = ground.requests
        self._counters = ground.counters
        self._keeper = keeper
        self._wishes = wishes
        self._owner = owner
        self._stale = False  # the schedule changed since the last offer

    # ---- side 0

    def look_at_terms(self, step: Step) -> None:
        """Something that the terms depend on has changed: side 0 offers others when they differ."""
        if self._side == 0 and self._requests and self._keeper.differs(self._wishes.terms(step.now_ns)):
            self._offer_anew(step)

    def look_at_point(self, step: Step) -> None:
        """Perhaps another operating point serves better now: side 0 then offers it."""
        if self._side == 0 and self._requests and self._wishes.other_point():
            self._offer_anew(step)

    def _offer_anew(self, step: Step) -> None:
        self._stale = True
        self.offer(step)

    def renew(self, step: Step) -> None:
        """Give up the present run; side 0 starts another when anybody wants pairs, side 1 asks for it."""
        if self._side == 1:
            step.send(self._peer, LinkReset(link=self._link.link, reason="attempts cannot be accounted for"))
        self._owner.run_left(step)
        if self._side == 1:
            return
        self._keeper.offered = None
        if self._requests:
            self._offer_anew(step)

    def offer(self, step: Step) -> None:
        """Side 0: offer the next window, or the same again."""
        keeper = self._keeper
        if self.valve_shut:
            keeper.repeat_at_ns = step.now_ns + self._answer_ns
            return
        held_ns = None if self.rests is None else self.rests.held_until_ns(step.now_ns)
        if self._book.run is None and held_ns is not None:
            keeper.repeat_at_ns = held_ns
            return
        if self._book.run is None:
            keeper.start_run(step.incarnation, step.now_ns)
            self._counters["runs"] += 1
            self._owner.run_begun(step)
        window = keeper.offered
        if window is None or self._stale or self._book.attempt_at(step.now_ns) > window.first + self._slack():
            if self.sharing is not None and self.sharing.without_turn(step.now_ns):
                self._counters["no_turn"] += 1
                keeper.repeat_at_ns = step.now_ns + self._answer_ns // REFUSED_REPEAT_SHARE
                return
            terms = self._wishes.terms(step.now_ns)
            attempts = self.rests.attempts() if terms.rest and self.rests is not None else None
            window = keeper.propose(terms, self._delay_ns, step.now_ns, attempts)
            self._stale = False
        keeper.repeat_at_ns = step.now_ns + self._answer_ns
        step.send(self._peer, WindowOffer(link=self._link.link, window=window))

    def _slack(self) -> int:
        """Attempts by which an offer may be late and still be repeated unchanged: a tenth of the lease."""
        return self._link.lease_ns // self._link.period_ns // 10

    def close(self, step: Step) -> None:
        """Side 0: nobody wants pairs, the run ends."""
        run = self._book.run
        if run is not None:
            closed = WindowClosed(link=self._link.link, run=run, fence=self._book.fence())
            step.send(self._peer, closed)
            if self._link.station is not None:
                step.send(self._link.station, closed)
        self._owner.run_left(step)
        self._keeper.offered = None
        self._keeper.repeat_at_ns = None

    def answered(self, step: Step, answer: WindowAnswer) -> None:
        """Side 1 answered an offer."""
        window = self._keeper.offered
        if window is None or (answer.run, answer.fence) != (window.run, window.fence):
            if self.sharing is not None:
                self.sharing.turns_told(answer)
                self.look_at_terms(step)
            return
        again = self.sharing is not None and self.sharing.answered(answer)
        if answer.accepted:
            self._keeper.agreed()
            self._owner.window_agreed(step, window)
            if self._stale or window.rest:  # what comes after a rest is agreed on in time
                self._stale = True
                self.offer(step)
            return
        self._counters["refused"] += 1
        if answer.reason in ("reset", "old run"):
            self.renew(step)
        elif again:
            self.offer(step)
        else:
            if answer.reason == "late":
                self._keeper.was_late(step.now_ns)
                self._stale = True  # the same window would come too late again
            self._keeper.repeat_at_ns = step.now_ns + self._answer_ns // REFUSED_REPEAT_SHARE

    # ---- side 1

    def offered(self, step: Step, offer: WindowOffer) -> None:
        """Side 0 proposes a window. Raises PeerViolation when it rules nothing."""
        window = offer.window
        fault = (
            fault_of(window, self._link.lanes)
            or terms_fault(window, self._link)
            or turns_fault(window, self._link)
        )
        if fault is not None:
            raise PeerViolation(self._peer, f"{offer.link}: offers {fault}")
        known = {request for request, _ in self._requests}
        reason = "congested" if self.valve_shut else refusal(self._book, window, known.__contains__)
        granted: tuple[int, ...] = ()
        if not reason and self.sharing is not None:
            reason, granted = self.sharing.judged(window)
        if not reason and window.run != self._book.run:
            self._owner.run_left(step)
            self._book.begin(window.run, window.epoch_ns)
            self._owner.run_begun(step)
        answer = WindowAnswer(
            link=offer.link,
            run=window.run,
            fence=window.fence,
            accepted=not reason,
            reason=reason,
            granted=granted,
        )
        step.send(self._peer, answer)
        if reason:
            self._counters["refused"] += 1
        else:
            self._owner.window_agreed(step, window)

    def closed(self, step: Step, closed: WindowClosed) -> None:
        """Side 0 ended the run."""
        if closed.run == self._book.run:
            self._owner.run_left(step)
