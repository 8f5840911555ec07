"""Side 1 of link purification: measures when it is asked and holds both halves, and obeys the verdict.

Owns the wishes that wait for an own herald report, the rounds it has measured for, and what it answered.
Refuses to decide: after measuring, only the verdict "passed" keeps a pair, and without any word for the
length of the lease the kept half is let go and the other end told.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from bellwire.core.bell import Walsh
from bellwire.core.errors import PeerViolation
from bellwire.core.events import PairPurified
from bellwire.core.ids import End, NodeId
from bellwire.core.link_messages import (
    PurifyAnswer,
    PurifyHeard,
    PurifyVerdict,
    PurifyWanted,
)
from bellwire.core.machine import Step
from bellwire.core.purification import SCHEME
from bellwire.link_layer.purification_pool import KeptBack, Pool
from bellwire.link_layer.uses import LetGo, LinkHandler

WISHES_MAX: Final = 64
"""Wishes that wait for own halves; a further one is refused."""

ENDED_KEPT: Final = 512
"""Rounds that are over and remembered, so that stray copies of their words change nothing."""


Name = tuple[int, End]
"""A round: its number and side 0's half of the kept pair, whose run tells side 0's incarnation."""


class Taken:
    """One round that this side has measured for, or is measuring for."""

    __slots__ = ("answer", "kept", "lapse_ns", "measured", "wanted")

    def __init__(self, wanted: PurifyWanted, kept: KeptBack, measured: KeptBack) -> None:
        self.wanted = wanted
        self.kept = kept
        self.measured = measured
        self.answer: PurifyAnswer | None = None  # None: still measuring
        self.lapse_ns = 0  # once measured: let go when nothing is heard until then


class Wish:
    """A round that waits for own halves."""

    __slots__ = ("until_ns", "wanted")

    def __init__(self, wanted: PurifyWanted, until_ns: int) -> None:
        self.wanted = wanted
        self.until_ns = until_ns


class Answering:
    """Rounds of one link, seen from side 1."""

    def __init__(self, pool: Pool, let_go: LetGo, answer_ns: int, counters: dict[str, int]) -> None:
        """`answer_ns`: how long a wish waits for the own herald report."""
        self._pool = pool
        self._let_go = let_go
        self._patience_ns = answer_ns
        self._peer: NodeId = pool.link.nodes[0]
        self._wishes: OrderedDict[Name, Wish] = OrderedDict()
        self._taken: dict[Name, Taken] = {}
        self._measuring: dict[int, Taken] = {}  # by operation
        self._ended: OrderedDict[Name, PurifyAnswer | None] = OrderedDict()  # a refusal, None: decided
        self._counters = counters
        counters.update(purification_lapsed=0, purification_wishes_dropped=0)

    def on_messages(self) -> Mapping[type, LinkHandler]:
        return {PurifyWanted: self._wanted, PurifyVerdict: self._decided}

    # ---- wishes

    def _wanted(self, step: Step, source: NodeId, wanted: PurifyWanted) -> None:
        """Side 0 asks for a round, perhaps again."""
        for end in (wanted.kept, wanted.measured):
            if end.side != 0 or end.link != wanted.link:
                raise PeerViolation(source, f"{wanted.link}: asks to purify {end}, which is no end of side 0")
        if wanted.scheme != SCHEME or wanted.kept == wanted.measured:
            raise PeerViolation(
                source,
                f"{wanted.link}: asks for {wanted.scheme} of {wanted.kept} with "
                f"{wanted.measured}; only {SCHEME} of two pairs is done",
            )
        name = (wanted.number, wanted.kept)
        taken = self._taken.get(name)
        if taken is not None:
            if taken.answer is not None:
                taken.lapse_ns = step.now_ns + wanted.lease_ns
                step.send(self._peer, taken.answer, "outcome")
        elif name in self._ended:
            refusal = self._ended[name]
            if refusal is not None:
                step.send(self._peer, refusal, "outcome")
        elif name not in self._wishes and not self._begin(step, wanted):
            if len(self._wishes) >= WISHES_MAX:
                self._counters["purification_wishes_dropped"] += 1
                self._refuse(step, wanted)
            else:
                self._wishes[name] = Wish(wanted, step.now_ns + self._patience_ns)

    def look(self, step: Step) -> None:
        """Something was taken or is free again: begin the rounds that waited for it."""
        for name, wish in list(self._wishes.items()):
            if self._begin(step, wish.wanted):
                del self._wishes[name]

    def _begin(self, step: Step, wanted: PurifyWanted) -> bool:
        """Measure for a round if both halves are here and in no other round."""
        kept, measured = self._own(wanted.kept), self._own(wanted.measured)
        if kept is None or measured is None or kept.round is not None or measured.round is not None:
            return False
        if kept.key != measured.key or kept.rounds + 1 != wanted.rounds:
            return False
        kept.round = measured.round = wanted.number
        taken = Taken(wanted, kept, measured)
        self._taken[wanted.number, wanted.kept] = taken
        self._pool.count(kept.key, "rounds")
        self._measuring[self._pool.measure(step, kept, measured, (kept.frame, measured.frame))] = taken
        return True

    def _own(self, end: End) -> KeptBack | None:
        return self._pool.pairs.get(end.partner)

    def _refuse(self, step: Step, wanted: PurifyWanted) -> None:
        missing = tuple(end for end in (wanted.kept, wanted.measured) if self._own(end) is None)
        refusal = PurifyAnswer(
            link=wanted.link,
            number=wanted.number,
            kept=wanted.kept,
            measured=wanted.measured,
            accepted=False,
            bit=None,
            missing=missing,
        )
        self._remember((wanted.number, wanted.kept), refusal)
        step.send(self._peer, refusal, "outcome")

    def _remember(self, name: Name, refusal: PurifyAnswer | None) -> None:
        self._ended[name] = refusal
        if len(self._ended) > ENDED_KEPT:
            self._ended.popitem(last=False)

    # ---- rounds

    def purified(self, step: Step, event: PairPurified) -> None:
        """The own half of a round ended: side 0 gets the bit."""
        taken = self._measuring.pop(event.operation, None)
        if taken is None:
            return
        name = (taken.wanted.number, taken.wanted.kept)
        if not self._pool.measured(step, taken.kept, taken.measured):
            self._taken.pop(name, None)
            self._remember(name, None)
            return
        bit = event.bit if event.ended == "done" else None
        taken.answer = PurifyAnswer(
            link=taken.wanted.link,
            number=taken.wanted.number,
            kept=taken.wanted.kept,
            measured=taken.wanted.measured,
            accepted=True,
            bit=bit,
            at_ns=None if bit is None else event.at_ns,
            turned_ns=None if bit is None else event.turned_ns,
        )
        taken.lapse_ns = step.now_ns + taken.wanted.lease_ns
        step.send(self._peer, taken.answer, "outcome")

    def _decided(self, step: Step, source: NodeId, verdict: PurifyVerdict) -> None:
        """Side 0 knows both bits.

        A passed round that this side knows nothing of means that its half is gone (it restarted, or the lease
        ran out): the other end must not go on with the pair.
        """
        step.send(
            self._peer,
            PurifyHeard(link=verdict.link, number=verdict.number, kept=verdict.kept),
            "outcome",
        )
        name = (verdict.number, verdict.kept)
        taken = self._taken.get(name)
        if taken is None:
            if verdict.passed and name not in self._ended and self._own(verdict.kept) is None:
                self._remember(name, None)
                self._let_go(step, verdict.kept.partner, tell=True)
            return
        answer, kept = taken.answer, taken.kept
        if answer is None or (verdict.passed and answer.at_ns is None):
            raise PeerViolation(source, f"{verdict.link}: a verdict on {verdict.kept} without our bit")
        del self._taken[name]
        self._remember(name, None)
        if not verdict.passed:
            self._pool.fail(step, kept)
            return
        assert answer.at_ns is not None
        as_of_ns = (answer.at_ns, answer.at_ns)
        kept.joined(taken.measured, taken.wanted.rounds, Walsh(verdict.signs, verdict.cost), as_of_ns)
        self._pool.count(kept.key, "passed")
        if verdict.complete:
            self._pool.hand_up(step, kept)
        else:
            self.look(step)

    # ---- what may happen in between

    def leave(self, step: Step, pair: KeptBack) -> None:
        """A pair goes away, and with it the round that it was kept in; an order in flight ends first."""
        if pair.round is None or pair.busy:
            return
        name = (pair.round, pair.end.partner)
        if self._taken.pop(name, None) is not None:
            self._remember(name, None)

    def forget(self) -> None:
        """Memory or partner are gone: no wish and no round means anything any more."""
        for name in self._taken:
            self._remember(name, None)
        self._taken.clear()
        self._wishes.clear()

    def forget_orders(self) -> None:
        """The memory is gone with what it was doing."""
        self._measuring.clear()

    # ---- time

    def earliest_ns(self) -> int | None:
        """When a wish is refused, or a round without a verdict given up."""
        due = [wish.until_ns for wish in self._wishes.values()]
        due += [taken.lapse_ns for taken in self._taken.values() if taken.answer is not None]
        return min(due, default=None)

    def on_deadline(self, step: Step) -> None:
        """Refuse wishes whose halves did not come, and let go of what no verdict came for."""
        now_ns = step.now_ns
        for name, wish in list(self._wishes.items()):
            if wish.until_ns <= now_ns:
                del self._wishes[name]
                self._refuse(step, wish.wanted)
        for taken in [each for each in self._taken.values() if each.answer is not None]:
            if taken.lapse_ns <= now_ns:
                self._counters["purification_lapsed"] += 1
                self.leave(step, taken.kept)
                self._pool.give_up(step, taken.kept, tell=True)
