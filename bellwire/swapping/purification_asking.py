"""The asking side of a purification between distant nodes: the one of lower name, which gives the verdict.

Owns the rounds that the other side was asked for, from the lock to the verdict. Refuses to measure before the
other side has: its answer with a bit is the acceptance. Frames and states of both pairs are read at asking,
from complete chains, and cannot change while both ends are locked; so the verdict needs the bits alone.

Both own ends are locked for at most a lease and the longest device order: without an answer within the lease,
counted from sending, both are released, because the other side may have measured. They are released at once
when the other side has restarted, or when both pairs are dead in the own ledger.
"""

from collections import OrderedDict
from typing import Final

from bellwire.core.bell import COST_MAX, Cost, Walsh, decay, to_walsh
from bellwire.core.events import PairPurified
from bellwire.core.facts import Verdict
from bellwire.core.ids import End, NodeId, RequestId
from bellwire.core.machine import Step
from bellwire.core.messages import PurificationAnswer, PurificationWanted
from bellwire.core.notices import UpdatePair
from bellwire.core.purification import SCHEME, Waiting, judged, purified
from bellwire.swapping.purification_choice import Ready
from bellwire.swapping.purification_ground import PurificationGround

REFUSALS_KEPT: Final = 256
"""Ends whose refusals are counted; those refused longest ago begin anew."""


class AskedRound:
    """One round that the partner was asked for."""

    __slots__ = (
        "answer",
        "asked_ns",
        "died",
        "incarnation",
        "kept",
        "lapse_ns",
        "measured",
        "partner",
        "repeat_ns",
        "wanted",
    )

    def __init__(
        self,
        wanted: PurificationWanted,
        partner: NodeId,
        kept: Ready,
        measured: Ready,
        asked_ns: int,
        repeat_ns: int,
    ) -> None:
        self.wanted = wanted
        self.partner = partner
        self.kept = kept
        self.measured = measured
        self.asked_ns = asked_ns
        self.repeat_ns = repeat_ns
        self.lapse_ns = asked_ns + wanted.lease_ns
        self.answer: PurificationAnswer | None = None  # accepted, and the own half is being measured
        self.incarnation = 0  # of the partner that answered
        self.died: set[End] = set()  # own ends whose chains died meanwhile


class PurificationAsking:
    """All rounds that this node has asked for."""

    def __init__(self, ground: PurificationGround) -> None:
        self._ground = ground
        self._numbers = 0
        self.rounds: dict[int, AskedRound] = {}
        self.resting: dict[End, int] = {}  # refused ends, and until when they are not asked for again
        self._refusals: OrderedDict[End, int] = OrderedDict()  # how often an end was refused
        self._measuring: dict[int, AskedRound] = {}

    def ask(
        self, step: Step, request: RequestId, tree: int, partner: NodeId, kept: Ready, measured: Ready
    ) -> None:
        """Lock two own ends and ask for a round on their pairs."""
        ground = self._ground
        self._numbers += 1
        wanted = PurificationWanted(
            request=request,
            tree=tree,
            number=self._numbers,
            kept=kept.end,
            measured=measured.end,
            kept_far=kept.far,
            measured_far=measured.far,
            rounds=kept.rounds + 1,
            scheme=SCHEME,
            lease_ns=ground.lease_ns,
        )
        ground.slots.lock(kept.slot.index)
        ground.slots.lock(measured.slot.index)
        self.rounds[wanted.number] = AskedRound(
            wanted, partner, kept, measured, step.now_ns, step.now_ns + ground.repeat_ns
        )
        ground.counters["asked"] += 1
        step.send(partner, wanted, "outcome")

    def busy_with(self, request: RequestId, tree: int, partner: NodeId) -> bool:
        """True while a pair shared with the partner is in a round of this request and tree."""
        return any(
            (one.wanted.request, one.wanted.tree, one.partner) == (request, tree, partner)
            for one in self.rounds.values()
        )

    def answered(self, step: Step, source: NodeId, incarnation: int, answer: PurificationAnswer) -> None:
        """The partner has measured, or cannot; words about rounds that are over change nothing."""
        one = self.rounds.get(answer.number)
        if one is None or one.answer is not None or one.partner != source or answer.kept != one.kept.end:
            return
        ground = self._ground
        if not answer.accepted:
            del self.rounds[answer.number]
            ground.counters["refused"] += 1
            for pair in (one.kept, one.measured):
                if pair.end in one.died:
                    ground.release(step, pair.slot, "dead")
                else:
                    self._rest(pair.end, source, step.now_ns)
                    ground.give_back(step, pair.slot)
        elif answer.bit is None or answer.at_ns is None:
            self._give_up(step, one, "unknown")
        else:
            one.answer = answer
            one.incarnation = incarnation
            self._measuring[ground.measure(step, one.kept.slot, one.measured.slot, 0)] = one

    def _rest(self, end: End, partner: NodeId, now_ns: int) -> None:
        """By when news from the partner should show why it refused; twice as long after each refusal."""
        ground = self._ground
        times = self._refusals.pop(end, 0)
        self._refusals[end] = times + 1
        if len(self._refusals) > REFUSALS_KEPT:
            self._refusals.popitem(last=False)
        first_ns = 2 * max(1, ground.network.delay_ns(partner, ground.node))
        self.resting[end] = now_ns + min(ground.repeat_ns, first_ns << min(times, 30))

    def _give_up(self, step: Step, one: AskedRound, how: str) -> None:
        """Nobody knows what became of the two pairs."""
        del self.rounds[one.wanted.number]
        self._ground.counters[how] += 1
        for pair in (one.kept, one.measured):
            self._ground.release(step, pair.slot, "dead" if how == "unknown" else "partner_lost")

    # ---- the verdict

    def purified(self, step: Step, event: PairPurified) -> None:
        """The own half of a round ended; with both bits known the round is decided."""
        one = self._measuring.pop(event.operation, None)
        if one is None:
            return
        del self.rounds[one.wanted.number]
        ground, kept, answer = self._ground, one.kept, one.answer
        assert answer is not None
        assert answer.bit is not None
        bit = event.bit if event.ended == "done" else None
        ground.sacrifice(step, one.measured.slot, kept.end, bit, event.at_ns)
        rung = None if bit is None else judged((kept.frame, one.measured.frame), (bit, answer.bit))
        if rung is not None and rung.passed and kept.end not in one.died:
            ground.counters["passed"] += 1
            step.tell(UpdatePair(fact=self._passed(one, answer, event, rung.frame)))
            ground.give_back(step, kept.slot)
            return
        ground.counters["unknown" if rung is None else "failed"] += 1
        step.tell(UpdatePair(fact=_failed(one, event.at_ns)))
        ground.release(step, kept.slot, "dead")

    def _passed(
        self, one: AskedRound, answer: PurificationAnswer, event: PairPurified, frame: int
    ) -> Verdict:
        """The map that is not linear, as differences to what the kept pair would have been at its times."""
        ground, kept, measured = self._ground, one.kept, one.measured
        memories = (ground.memory_of(ground.node), ground.memory_of(one.partner))
        assert answer.at_ns is not None
        ends_ns = (event.at_ns, answer.at_ns)
        turned_ns = tuple(
            end_ns if turn_ns is None else min(turn_ns, end_ns)
            for turn_ns, end_ns in zip((event.turned_ns, answer.turned_ns), ends_ns, strict=True)
        )
        waited_ns = (max(0, turned_ns[0] - one.asked_ns), max(0, turned_ns[1] - one.asked_ns))
        turned_for_ns = (ends_ns[0] - turned_ns[0], ends_ns[1] - turned_ns[1])
        after = to_walsh(
            purified(
                Waiting(kept.state, waited_ns, corrected=False),
                Waiting(measured.state, waited_ns, corrected=False),
                memories,
                turned_for_ns,
            ).state
        )
        before = kept.state
        for memory, end_ns in zip(memories, ends_ns, strict=True):
            before = decay(before, memory.rates, max(0, end_ns - one.asked_ns))
        return Verdict(
            end=kept.end,
            far=kept.far,
            passed=True,
            rounds=one.wanted.rounds,
            frame=frame ^ kept.frame,
            signs=after.signs ^ before.signs,
            cost=_difference(after, before),
            oldest_ns=min(kept.oldest_ns, measured.oldest_ns),
            at_ns=event.at_ns,
        )

    # ---- what may happen in between

    def died(self, step: Step, end: End) -> None:
        """The chain of an own locked end is dead, as the measured one's is once the partner has measured.
        With both dead there is nothing to wait for."""
        for one in list(self.rounds.values()):
            if end in (one.kept.end, one.measured.end):
                one.died.add(end)
                if len(one.died) == 2 and one.answer is None:
                    self._give_up(step, one, "unknown")

    def restarted(self, step: Step, peer: NodeId, incarnation: int) -> None:
        """A partner came back: the pairs that it shared are gone, whether it had measured or not."""
        for one in [one for one in self.rounds.values() if one.partner == peer]:
            if one.answer is None:
                self._give_up(step, one, "restarted")
            elif one.incarnation < incarnation:
                one.died.add(one.kept.end)

    def memory_lost(self, step: Step) -> None:
        """The memory forgot its qubits, and what it was doing."""
        for one in self.rounds.values():
            for pair in (one.kept, one.measured):
                self._ground.lose(step, pair.slot)
        self.rounds.clear()
        self._measuring.clear()

    # ---- time

    def busy(self) -> bool:
        """True while a round is open, or an end rests after a refusal."""
        return bool(self.rounds or self.resting or self._measuring)

    def earliest_ns(self) -> int | None:
        """When the first unanswered word is repeated, or a refused end may be asked for again."""
        if not self.rounds and not self.resting:
            return None
        due = [one.repeat_ns for one in self.rounds.values() if one.answer is None]
        return min((*due, *self.resting.values()), default=None)

    def on_deadline(self, step: Step) -> bool:
        """Repeat what is due, and give up what nobody answers. True when a refused end may be asked for
        again."""
        now_ns, ground = step.now_ns, self._ground
        for one in [one for one in self.rounds.values() if one.answer is None and one.repeat_ns <= now_ns]:
            if one.lapse_ns <= now_ns:
                self._give_up(step, one, "lapsed")
            else:
                one.repeat_ns = min(now_ns + ground.repeat_ns, one.lapse_ns)
                step.send(one.partner, one.wanted, "outcome")
        rested = [end for end, until_ns in self.resting.items() if until_ns <= now_ns]
        for end in rested:
            del self.resting[end]
        return bool(rested)


def _difference(after: Walsh, before: Walsh) -> Cost:
    (a1, a2, a3), (b1, b2, b3) = after.cost, before.cost
    found = (a1 - b1, a2 - b2, a3 - b3)
    assert max(map(abs, found)) <= COST_MAX
    return found


def _failed(one: AskedRound, at_ns: int) -> Verdict:
    return Verdict(
        end=one.kept.end,
        far=one.kept.far,
        passed=False,
        rounds=one.wanted.rounds,
        frame=0,
        signs=0,
        cost=(0, 0, 0),
        oldest_ns=min(one.kept.oldest_ns, one.measured.oldest_ns),
        at_ns=at_ns,
    )
