"""The pairs of CREATEs at one end of a link: kept for a user or measured at once, told, and taken back.

Owns a pair from the moment in which a CREATE takes it until its user needs it no more. A kept qubit stands
in the slot state "offered" from its birth on: it is its user's, so neither deaths nor cutoffs nor policies of
the layers above touch it. It goes when the user releases it, when `hold_ns` after its OK or the age limit of
the network is over, or by EXPIRE; a qubit that nobody was told of goes as "withdrawn" or "cutoff", and the
other end hears that the pair is void. The ledger has each pair as born and, later, released. Refuses items
and their turns (creates.py) and the words about numbers (counting.py).
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from bellwire.core.bases import measurement_of
from bellwire.core.bell import fidelity_of
from bellwire.core.effects import AnswerLink, MeasureQubit
from bellwire.core.events import QubitMeasured
from bellwire.core.facts import Released, ReleaseReason
from bellwire.core.ids import End, RequestId
from bellwire.core.link_words import LinkErr
from bellwire.core.machine import Step
from bellwire.core.notices import SlotFreed, UpdatePair
from bellwire.link_layer.births import Births
from bellwire.link_layer.counting import COUNT_TRIES_MAX, Counting, Judgement
from bellwire.link_layer.feasibility import too_poor
from bellwire.link_layer.ground import Ground
from bellwire.link_layer.lanes import Lanes
from bellwire.link_layer.queue import Item
from bellwire.link_layer.served_pairs import ServedPair, Serving, ok_keep, ok_measure
from bellwire.link_layer.uses import FreshPair

TOLD_KEPT: Final = 1024
"""Pairs that were told and have left the memory, remembered for a late word about them."""

_REASONS: Final[dict[str, str]] = {
    "dead": "the other end has no half of it",
    "withdrawn": "the other end does not say that it has its half",
    "device_lost": "the memory forgot it",
    "partner_lost": "the other end restarted",
}
"""Why a told pair is taken back, for people."""


class CreatePairs:
    """Pairs of CREATEs at one end of one link."""

    def __init__(
        self,
        ground: Ground,
        lanes: Lanes,
        births: Births,
        servings: Mapping[RequestId, Serving],
        finish: Callable[[Step, Item], None],
        estimated_at_ns: Callable[[int], int],
    ) -> None:
        """servings: the live items by name. finish: end an item that has its whole number. estimated_at_ns:
        operating point -> when the estimate of its pairs was made."""
        self._link = ground.link
        self._side = ground.side
        self._peer = ground.peer
        self._memory = ground.memory
        self._timers = ground.timers
        self._slots = ground.slots
        self._book = ground.book
        self._lanes = lanes
        self._births = births
        self._servings = servings
        self._finish = finish
        self._estimated_at_ns = estimated_at_ns
        self._counters = ground.counters
        ground.begin_counters(
            "create_surplus", "create_too_poor", "create_expired", "create_no_result", "create_aged"
        )
        self.counting = Counting(ground, self)
        self._pairs: dict[End, ServedPair] = {}
        self._measuring: dict[int, ServedPair] = {}  # operation -> pair
        self._told: OrderedDict[End, ServedPair] = OrderedDict()
        self._count_wait_ns = COUNT_TRIES_MAX * ground.timers.answer_ns

    def on_events(self) -> Mapping[type, Callable[[Step, Any], None]]:
        return {QubitMeasured: self._measured}

    # ---- fresh pairs

    def take(self, step: Step, pair: FreshPair) -> None:
        """Keep or measure it, and number it with the other end. Side 0 lets go what nobody needs any more, or
        what is worse than its user wants it, and the other end hears of it."""
        serving = self._servings[pair.request]
        if self._side == 0 and (why := self._why_not(serving, pair, step.now_ns)) is not None:
            self._counters[why] += 1
            self._births.let_go(step, pair.end, tell=True)
            return
        self._births.birth(step, pair)
        served = self._pairs[pair.end] = ServedPair(pair, serving.item)
        served.until_ns = self._age_limit_ns(served)
        if serving.item.asked.kind == "keep":
            self._slots.offer(pair.slot)
        else:
            self._measure(step, served)
        if self._side == 0:
            self.counting.count(step, pair.request, pair.end, serving.number(served))
        else:
            number = self.counting.foretold(pair.request, pair.end)
            if number is not None:
                serving.number(served, number)
            else:
                wait_ns = step.now_ns + self._count_wait_ns
                served.until_ns = wait_ns if served.until_ns is None else min(wait_ns, served.until_ns)
        self._advance(step, served)

    @staticmethod
    def _why_not(serving: Serving, pair: FreshPair, now_ns: int) -> str | None:
        """The counter of pairs that are let go for this reason; None: the CREATE takes the pair."""
        if not serving.room(now_ns):
            return "create_surplus"
        poor = too_poor(fidelity_of(pair.state), serving.item.asked)
        return "create_too_poor" if poor else None

    def _age_limit_ns(self, served: ServedPair) -> int | None:
        """When a kept qubit is too old; a measured pair does not age."""
        if served.item.asked.kind == "measure":
            return None
        return served.fresh.at_ns + self._timers.age_max_ns

    def _measure(self, step: Step, served: ServedPair) -> None:
        asked = served.item.asked
        choice = asked.local if served.item.here else asked.remote
        measurement = measurement_of(choice, step.seed, served.end)
        served.state = "measuring"
        served.basis = measurement.told
        self._slots.measure(served.fresh.slot)
        operation = step.operation()
        self._measuring[operation] = served
        step.order(
            MeasureQubit(
                operation=operation,
                slot=served.fresh.slot,
                basis=measurement.basis,
                tag=0,
                within_ns=self._memory.operation_limit_ns,
                rotation=measurement.rotation,
            )
        )

    def _measured(self, step: Step, event: QubitMeasured) -> None:
        served = self._measuring.pop(event.operation, None)
        if served is None:
            return
        served.state = "measured"
        served.bit = event.bit if event.ended == "done" else None
        usable = served.wanted and served.bit is not None
        reason: ReleaseReason = "delivered" if usable else "dead"
        step.tell(UpdatePair(fact=Released(end=served.end, reason=reason, at_ns=event.at_ns)))
        self._slots.free(served.fresh.slot)
        step.tell(SlotFreed(slot=served.fresh.slot))
        if usable:
            self._advance(step, served)
        elif served.wanted:
            self._counters["create_no_result"] += 1
            self._take_back(step, served, "dead", tell=True)

    # ---- numbers

    def numbered(self, step: Step, request: RequestId, end: End, sequence: int) -> Judgement:
        """Side 0 counts this pair."""
        served = self._pairs.get(end)
        if served is None:
            if end in self._told:
                return "kept"
            young = end.run == self._book.run and not self._lanes.successes().had((end.attempt, end.lane))
            return "unborn" if young else "void"
        serving = self._servings.get(request)
        if served.sequence is None:
            if served.item.name != request or serving is None:
                return "void"
            serving.number(served, sequence)
            served.until_ns = self._age_limit_ns(served)
        if served.state == "measuring":
            return "measuring"
        served.shared = True
        self._advance(step, served)
        return "kept"

    def shared(self, step: Step, end: End) -> None:
        """The other end has its half of a counted pair."""
        served = self._pairs.get(end)
        if served is not None:
            served.shared = True
            self._advance(step, served)

    def unheard(self, step: Step, end: End) -> None:
        """The other end does not say whether it has its half."""
        served = self._pairs.get(end)
        if served is not None:
            self._take_back(step, served, "withdrawn", tell=True)

    def _advance(self, step: Step, served: ServedPair) -> None:
        """A pair that is complete here is told, or waits for the last of its CREATE."""
        if served.sequence is None or served.state == "measuring":
            return
        if self._side == 1 and not served.shared:
            served.shared = True
            self.counting.confirm(step, served.end)
        serving = self._servings.get(served.item.name)
        if serving is not None:
            if not serving.batched:
                self._tell(step, serving, served)
            if self._side == 0 and served.shared:
                serving.settle(served)
                if serving.complete():
                    self._finish(step, served.item)
        self._put_aside(served)

    # ---- the user

    def tell_batch(self, step: Step, serving: Serving) -> None:
        """The whole number is there: one OK after the other, in the order of the numbers."""
        numbered = [pair for pair in self._of(serving.item) if pair.sequence is not None]
        for served in sorted(numbered, key=lambda pair: pair.sequence or 0):
            self._tell(step, serving, served)
            self._put_aside(served)

    def _of(self, item: Item) -> list[ServedPair]:
        return [pair for pair in self._pairs.values() if pair.item is item]

    def _tell(self, step: Step, serving: Serving, served: ServedPair) -> None:
        if served.told:
            return
        serving.tell(served)
        link, made_ns = self._link.link, self._estimated_at_ns(served.fresh.point)
        if served.item.asked.kind == "measure":
            step.order(AnswerLink(answer=ok_measure(link, self._peer, served, made_ns)))
            return
        hold_ns = served.item.asked.hold_ns
        if hold_ns is not None and served.until_ns is not None:
            served.until_ns = min(served.until_ns, step.now_ns + hold_ns)
        step.order(AnswerLink(answer=ok_keep(link, self._peer, served, made_ns)))

    def _put_aside(self, served: ServedPair) -> None:
        """What was told and holds no qubit any more needs only its name."""
        if not served.told or not served.shared or served.state in ("kept", "measuring"):
            return
        if self._pairs.pop(served.end, None) is not None:
            self._told[served.end] = served
            if len(self._told) > TOLD_KEPT:
                self._told.popitem(last=False)

    def release(self, step: Step, end: End) -> bool:
        """The user needs a told qubit no more; False when this end has none of that name."""
        served = self._pairs.get(end)
        if served is None or not served.told or served.state != "kept":
            return False
        self._give_back(step, served, "released")
        return True

    def _give_back(self, step: Step, served: ServedPair, state: Literal["released", "lapsed"]) -> None:
        """The user had the qubit: the other half is not touched by its end here."""
        served.state = state
        served.until_ns = None
        step.tell(UpdatePair(fact=Released(end=served.end, reason="delivered", at_ns=step.now_ns)))
        self._births.let_go(step, served.end, tell=False)
        self._put_aside(served)

    # ---- pairs that do not exist

    def withdraw(self, step: Step, item: Item) -> None:
        """The item is over: what was not told is let go."""
        for served in self._of(item):
            if not served.told:
                self._take_back(step, served, "withdrawn", tell=True)

    def void(self, step: Step, end: End) -> bool:
        """The other end has no half of this pair. True when it is, or was, of a CREATE."""
        served = self._pairs.get(end)
        if served is not None:
            self._take_back(step, served, "dead", tell=False)
            return True
        served = self._told.pop(end, None)
        if served is not None:
            self._uncount(served)
            self._expire(step, served, "remote", _REASONS["dead"])
            return True
        return any(pair.end == end for pair in self._measuring.values())

    def _uncount(self, served: ServedPair) -> None:
        serving = self._servings.get(served.item.name)
        if serving is not None:
            serving.void(served)

    def _take_back(
        self, step: Step, served: ServedPair, reason: ReleaseReason, *, tell: bool, lost: bool = False
    ) -> None:
        """A pair does not count any more. tell: the other end must hear of it. lost: the memory forgot it."""
        end = served.end
        del self._pairs[end]
        self.counting.forget(end)
        self._uncount(served)
        served.wanted = False  # a measurement in flight ends the qubit
        if served.state == "kept":
            step.tell(UpdatePair(fact=Released(end=end, reason=reason, at_ns=step.now_ns)))
            if lost:
                self._slots.lose(served.fresh.slot)
            else:
                self._births.let_go(step, end, tell=False)
        if tell:
            self._births.tell_void(step, end)
        if served.told:
            self._expire(step, served, "local" if tell else "remote", _REASONS[reason])

    def _expire(self, step: Step, served: ServedPair, where: Literal["local", "remote"], reason: str) -> None:
        if served.state == "lapsed":
            return  # the user knows that it is gone
        self._counters["create_expired"] += 1
        answer = LinkErr(
            link=self._link.link,
            origin=served.item.origin,
            create=served.item.asked.create,
            code="EXPIRE",
            where=where,
            reason=reason,
            ends=(served.end,),
        )
        step.order(AnswerLink(answer=answer))

    def lost(self, step: Step) -> None:
        """The memory forgot its qubits. Measurements in flight end with them."""
        for served in self._measuring.values():
            step.tell(UpdatePair(fact=Released(end=served.end, reason="device_lost", at_ns=step.now_ns)))
            self._slots.lose(served.fresh.slot)
            served.state = "measured"
            if served.wanted:
                self._take_back(step, served, "device_lost", tell=True)
        self._measuring.clear()
        for served in [pair for pair in self._pairs.values() if pair.state == "kept"]:
            self._take_back(step, served, "device_lost", tell=True, lost=True)

    def peer_restarted(self, step: Step) -> None:
        """The other end's halves of pairs that are not over are gone; measured and told ones stand."""
        self.counting.peer_restarted()
        for served in list(self._pairs.values()):
            self._take_back(step, served, "partner_lost", tell=False)
        self._told.clear()

    def idle(self) -> bool:
        """True when no pair is in anybody's hands and no word about one is awaited."""
        return not (self._pairs or self._measuring or self.counting.unheard)

    # ---- time

    def deadline_ns(self) -> int | None:
        """Numbers to tell again, and the end of the time of kept or unnumbered pairs."""
        if not self._pairs:
            return self.counting.deadline_ns()
        deadlines = [pair.until_ns for pair in self._pairs.values() if pair.until_ns is not None]
        counting_ns = self.counting.deadline_ns()
        if counting_ns is not None:
            deadlines.append(counting_ns)
        return min(deadlines, default=None)

    def on_deadline(self, step: Step) -> None:
        """Do what is due."""
        self.counting.on_deadline(step)
        for served in list(self._pairs.values()):
            if served.until_ns is None or served.until_ns > step.now_ns:
                continue
            if self._pairs.get(served.end) is not served:
                continue  # went with an atomic set
            self._counters["create_aged"] += 1
            if served.told:
                self._expire(step, served, "local", "not released in its time")
                self._give_back(step, served, "lapsed")
            else:
                self._start_over(step, served)

    def _start_over(self, step: Step, served: ServedPair) -> None:
        """A pair got too old before it could be told; an atomic set goes with it, and is made anew."""
        atomic = served.item.asked.atomic and served.item.asked.kind == "keep"
        for gone in self._of(served.item) if atomic else (served,):
            if not gone.told:
                self._take_back(step, gone, "cutoff", tell=True)
