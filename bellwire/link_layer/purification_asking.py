"""Side 0 of link purification: which pairs go into a round, and what its two bits mean.

Owns the rounds that side 1 was asked for and the verdicts that it has not confirmed. Refuses to measure
before side 1 has: an answer with side 1's bit is the acceptance. A round without an answer within the lease
is given up at both ends; a verdict that is never confirmed is given up silently, because side 1 has then let
go by its own lease and says so.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from bellwire.core.bell import PERFECT, Walsh, to_walsh
from bellwire.core.events import PairPurified
from bellwire.core.ids import NodeId
from bellwire.core.link_messages import (
    PurifyAnswer,
    PurifyHeard,
    PurifyVerdict,
    PurifyWanted,
)
from bellwire.core.machine import Step
from bellwire.core.purification import SCHEME, Memories, Waiting, pumps, purified
from bellwire.link_layer.purification_pool import KeptBack, Key, Pool, choose
from bellwire.link_layer.uses import LinkHandler

VERDICTS_MAX: Final = 256
"""Verdicts that wait for confirmation; the oldest is forgotten and counted."""

Moments = tuple[int, int]
"""Times in ns at side 0 and at side 1."""


class Round:
    """One round that side 1 was asked for."""

    __slots__ = ("answer", "asked", "kept", "lapse_ns", "measured", "repeat_ns")

    def __init__(
        self, asked: PurifyWanted, kept: KeptBack, measured: KeptBack, repeat_ns: int, lapse_ns: int
    ) -> None:
        self.asked = asked
        self.kept = kept
        self.measured = measured
        self.repeat_ns = repeat_ns
        self.lapse_ns = lapse_ns
        self.answer: PurifyAnswer | None = None  # accepted, and the own half is being measured


class Verdict:
    """One verdict that side 1 has not confirmed."""

    __slots__ = ("lapse_ns", "message", "repeat_ns")

    def __init__(self, message: PurifyVerdict, repeat_ns: int, lapse_ns: int) -> None:
        self.message = message
        self.repeat_ns = repeat_ns
        self.lapse_ns = lapse_ns


class Asking:
    """Rounds of one link, seen from side 0."""

    def __init__(self, pool: Pool, memories: Memories, counters: dict[str, int]) -> None:
        self.rounds: dict[int, Round] = {}
        self._verdicts: OrderedDict[int, Verdict] = OrderedDict()
        self._measuring: dict[int, Round] = {}  # by operation
        self._numbers = 0
        self._pool = pool
        self._peer: NodeId = pool.link.nodes[1]
        self._memories = memories
        self._counters = counters
        counters.update(purification_lapsed=0, purification_verdicts_dropped=0)

    def on_messages(self) -> Mapping[type, LinkHandler]:
        return {PurifyAnswer: self._answered, PurifyHeard: self._heard}

    # ---- rounds

    def look(self, step: Step, key: Key) -> None:
        """Begin every round that the idle pairs of a request and tree allow."""
        pool = self._pool
        plan = pool.requests.get(key)
        if plan is None:
            return
        pumping = pumps(plan.pumping, plan.rounds, pool.room)
        while True:
            chosen = choose(pool.idle(key, step.now_ns), pumping=pumping, in_round=pool.in_round(key))
            if chosen is None:
                return
            self._ask(step, *chosen)

    def _ask(self, step: Step, kept: KeptBack, measured: KeptBack) -> None:
        pool = self._pool
        self._numbers += 1
        number = self._numbers
        wanted = PurifyWanted(
            link=pool.link.link,
            number=number,
            kept=kept.end,
            measured=measured.end,
            scheme=SCHEME,
            rounds=kept.rounds + 1,
            lease_ns=pool.lease_ns,
        )
        kept.round = measured.round = number
        now_ns = step.now_ns
        self.rounds[number] = Round(wanted, kept, measured, now_ns + pool.repeat_ns, now_ns + pool.lease_ns)
        pool.count(kept.key, "rounds")
        step.send(self._peer, wanted, "outcome")

    def _answered(self, step: Step, source: NodeId, answer: PurifyAnswer) -> None:
        """Side 1 has measured, or cannot; words about rounds that are over change nothing."""
        one = self.rounds.get(answer.number)
        if one is None or one.answer is not None or answer.kept != one.kept.end:
            return
        if not answer.accepted:
            self._refused(step, one, answer)
        elif answer.bit is None or answer.at_ns is None:
            self.rounds.pop(answer.number)
            one.measured.round = None
            self._pool.give_up(step, one.measured, tell=True)
            self._fail(step, one)
        else:
            one.answer = answer
            self._measuring[self._pool.measure(step, one.kept, one.measured, (0, 0))] = one

    def _refused(self, step: Step, one: Round, answer: PurifyAnswer) -> None:
        """Pairs of which side 1 has no half are gone; others are asked for again a little later."""
        pool = self._pool
        self._over(one)
        pool.count(one.kept.key, "refused")
        for pair in (one.kept, one.measured):
            if pair.end in answer.missing:
                pool.give_up(step, pair, tell=True)
            else:
                pair.rest_until_ns = step.now_ns + pool.repeat_ns
        self.look(step, one.kept.key)

    def purified(self, step: Step, event: PairPurified) -> None:
        """The own half of a round ended; with both bits known the round is decided."""
        one = self._measuring.pop(event.operation, None)
        if one is None:
            return
        self.rounds.pop(one.asked.number, None)
        if not self._pool.measured(step, one.kept, one.measured):
            self.look(step, one.kept.key)
            return
        answer = one.answer
        assert answer is not None
        assert answer.at_ns is not None
        if event.ended != "done" or event.bit is None or event.bit != answer.bit:
            self._fail(step, one)
        else:
            as_of_ns = (event.at_ns, answer.at_ns)
            self._pass(step, one, as_of_ns, _turns_ns((event.turned_ns, answer.turned_ns), as_of_ns))

    def _pass(self, step: Step, one: Round, as_of_ns: Moments, turned_ns: Moments) -> None:
        kept = one.kept
        lapse_ns = (as_of_ns[0] - turned_ns[0], as_of_ns[1] - turned_ns[1])
        before, beside = _waiting(kept, turned_ns), _waiting(one.measured, turned_ns)
        state = to_walsh(purified(before, beside, self._memories, lapse_ns).state)
        kept.joined(one.measured, one.asked.rounds, state, as_of_ns)
        self._pool.count(kept.key, "passed")
        plan = self._pool.requests.get(kept.key)
        complete = plan is not None and kept.rounds >= plan.rounds
        self._decide(step, one, passed=True, complete=complete, state=state)
        if complete:
            self._pool.hand_up(step, kept)
        self.look(step, kept.key)

    def _fail(self, step: Step, one: Round) -> None:
        self._decide(step, one, passed=False, complete=False, state=PERFECT)
        self._pool.fail(step, one.kept)
        self.look(step, one.kept.key)

    def _decide(self, step: Step, one: Round, *, passed: bool, complete: bool, state: Walsh) -> None:
        verdict = PurifyVerdict(
            link=one.asked.link,
            number=one.asked.number,
            kept=one.asked.kept,
            passed=passed,
            complete=complete,
            signs=state.signs,
            cost=state.cost,
        )
        now_ns = step.now_ns
        self._verdicts[verdict.number] = Verdict(
            verdict, now_ns + self._pool.repeat_ns, now_ns + self._pool.lease_ns
        )
        if len(self._verdicts) > VERDICTS_MAX:
            self._verdicts.popitem(last=False)
            self._counters["purification_verdicts_dropped"] += 1
        step.send(self._peer, verdict, "outcome")

    def _heard(self, step: Step, source: NodeId, heard: PurifyHeard) -> None:
        verdict = self._verdicts.get(heard.number)
        if verdict is not None and verdict.message.kept == heard.kept:
            del self._verdicts[heard.number]

    def _over(self, one: Round) -> None:
        """The round will not be: its pairs are idle again."""
        del self.rounds[one.asked.number]
        one.kept.round = one.measured.round = None

    # ---- what may happen in between

    def leave(self, step: Step, pair: KeptBack) -> None:
        """A pair goes away. The other one of its round is idle again, unless the own half is being
        measured."""
        one = None if pair.round is None else self.rounds.get(pair.round)
        if one is not None and one.answer is None:
            self._over(one)

    def forget(self) -> None:
        """Memory or partner are gone: no round and no verdict means anything any more."""
        self.rounds.clear()
        self._verdicts.clear()

    def forget_orders(self) -> None:
        """The memory is gone with what it was doing."""
        self._measuring.clear()

    # ---- time

    def earliest_ns(self) -> int | None:
        """When the first unanswered word is repeated, or a refused pair is asked for again."""
        due = [one.repeat_ns for one in self.rounds.values() if one.answer is None]
        due += [verdict.repeat_ns for verdict in self._verdicts.values()]
        due += [
            pair.rest_until_ns
            for pair in self._pool.pairs.values()
            if pair.rest_until_ns and pair.round is None
        ]
        return min(due, default=None)

    def on_deadline(self, step: Step) -> None:
        """Repeat what is due, and give up what nobody answers."""
        now_ns, pool = step.now_ns, self._pool
        for one in [one for one in self.rounds.values() if one.answer is None and one.repeat_ns <= now_ns]:
            if one.lapse_ns <= now_ns:
                self._over(one)
                self._counters["purification_lapsed"] += 1
                for pair in (one.kept, one.measured):
                    pool.give_up(step, pair, tell=True)
            else:
                one.repeat_ns = now_ns + pool.repeat_ns
                step.send(self._peer, one.asked, "outcome")
        for number, verdict in list(self._verdicts.items()):
            if verdict.lapse_ns <= now_ns:
                del self._verdicts[number]
                self._counters["purification_lapsed"] += 1
            elif verdict.repeat_ns <= now_ns:
                verdict.repeat_ns = now_ns + pool.repeat_ns
                step.send(self._peer, verdict.message, "outcome")
        rested = [pair for pair in pool.pairs.values() if 0 < pair.rest_until_ns <= now_ns]
        for pair in rested:
            pair.rest_until_ns = 0
        for key in dict.fromkeys(pair.key for pair in rested):
            self.look(step, key)


def _turns_ns(told_ns: tuple[int | None, int | None], as_of_ns: Moments) -> Moments:
    """When each side turned its qubits: not after its measurement, and at once with it where nobody says."""
    here_ns, there_ns = (
        end_ns if turned_ns is None else min(turned_ns, end_ns)
        for turned_ns, end_ns in zip(told_ns, as_of_ns, strict=True)
    )
    return here_ns, there_ns


def _waiting(pair: KeptBack, as_of_ns: Moments) -> Waiting:
    waited_ns = (max(0, as_of_ns[0] - pair.as_of_ns[0]), max(0, as_of_ns[1] - pair.as_of_ns[1]))
    return Waiting(pair.state, waited_ns, corrected=pair.frame != 0)
