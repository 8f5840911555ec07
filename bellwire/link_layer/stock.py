"""Continuous generation ahead of requests: pairs kept while nobody asks, and given to whoever asks next.

Owns the stock of one link end, and its level, which follows use. Both ends keep the same pairs; side 0 alone
gives them away, pair by pair, and side 1 answers with those whose halves it still has, so a pair goes to one
request at both ends or to nobody. Pairs in stock are no facts before they are given away; attempts for stock
use only what nobody else wants (`LinkPlan.background`). Refuses requests beyond one link: pre-distribution
over routes is planned above.
"""

from collections.abc import Callable, Mapping
from math import ceil
from typing import Any, Final, Protocol

from bellwire.core.bell import decay, fidelity_of
from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import End, NodeId, RequestId
from bellwire.core.link_messages import StockAssigned, StockTaken
from bellwire.core.machine import Step
from bellwire.core.plans import PRE_DISTRIBUTED, LinkPlan
from bellwire.core.settings import AheadSettings
from bellwire.link_layer.ground import Ground
from bellwire.link_layer.uses import FreshPair, LetGo, LinkHandler

SPARE: Final = 2.0
"""The level is this many times the pairs that were lately given away in one age limit."""

FADING: Final = 0.5
"""Weight of the newest period in the mean of what was given away."""

TRIES_MAX: Final = 12
"""An assignment is told so often; then its pairs are void (counter `stock_unheard`)."""

Key = tuple[RequestId, int]


class PassOn(Protocol):
    """Give a held pair to whoever wants it, as if it had just been heralded for its request."""

    def __call__(self, step: Step, pair: FreshPair) -> None: ...


class Level:
    """How many pairs are worth keeping: follows how many were given away in each age limit."""

    __slots__ = ("_given", "_mean", "_period_ns", "_until_ns", "stock_max")

    def __init__(self, ahead: AheadSettings) -> None:
        self.stock_max = ahead.stock_max
        self._period_ns = ahead.age_max_ns
        self._mean: float | None = None  # pairs given away in a period, None: no period is over
        self._given = 0
        self._until_ns: int | None = None

    def gave(self, pairs: int) -> None:
        """Pairs were given away."""
        self._given += pairs

    def wanted(self, now_ns: int) -> int:
        """Pairs that should be in stock now, 1..stock_max; all of them until the first period is over."""
        if self._until_ns is None:
            self._until_ns = now_ns + self._period_ns
        while now_ns >= self._until_ns:
            given, self._given = self._given, 0
            self._mean = given if self._mean is None else self._mean + FADING * (given - self._mean)
            self._until_ns += self._period_ns
            if self._mean < 0.5 and not self._given:  # nothing happens in any number of further periods
                self._until_ns = max(self._until_ns, now_ns + 1)
        if self._mean is None:
            return self.stock_max
        return min(self.stock_max, max(1, ceil(SPARE * self._mean)))


class _Assigned:
    __slots__ = ("ends", "key", "pairs", "repeat_ns", "tries")

    def __init__(self, key: Key, pairs: dict[End, FreshPair], repeat_ns: int) -> None:
        self.key = key
        self.ends = tuple(pairs)  # as told
        self.pairs = pairs  # those of them that are not void yet
        self.repeat_ns = repeat_ns
        self.tries = 1


class Stock:
    """A PairUse: pairs of PRE_DISTRIBUTED stay here until somebody asks for them."""

    def __init__(
        self,
        ground: Ground,
        pass_on: PassOn,
        let_go: LetGo,
        room: Callable[[LinkPlan, int], int | None],
        level_changed: Callable[[Step], None],
    ) -> None:
        """`room`: (plan, now) -> pairs that a request still takes, None: any number. `level_changed`: the
        link end looks again whether it wants pairs for stock (side 0).

        Raises:
            LocalMisuse: the link makes no pairs ahead of requests.
        """
        link = ground.link
        if link.ahead is None:
            raise LocalMisuse(f"link {link.link} makes no pairs ahead of requests")
        self.pairs: dict[End, FreshPair] = {}  # the oldest first
        self.level = Level(link.ahead)
        self._ahead = link.ahead
        self._link = link
        self._side = ground.side
        self._peer = ground.peer
        self._memories = ground.memories
        self._timers = ground.timers
        self._slots = ground.slots
        self._requests = ground.requests
        self._pass_on = pass_on
        self._let_go = let_go
        self._room = room
        self._level_changed = level_changed
        self._counters = ground.counters
        ground.begin_counters("stocked", "stock_given", "stock_aged", "stock_unheard")
        self._assigned: list[_Assigned] = []  # side 0: told to side 1, not yet answered
        self._answers: dict[tuple[Key, tuple[End, ...]], StockTaken] = {}  # side 1: given answers, a few

    def plan(self) -> LinkPlan:
        """What the stock asks of the link."""
        return LinkPlan(
            request=PRE_DISTRIBUTED,
            tree=0,
            link=self._link.link,
            partner=self._peer,
            rate_hz=0.0,
            lanes=0,
            weight=1,
            fidelity_min=None,
            background=True,
        )

    def short(self, now_ns: int) -> bool:
        """Side 0: the stock is below its level."""
        return len(self.pairs) < self.level.wanted(now_ns)

    # ---- pairs

    def wants(self, pair: FreshPair) -> bool:
        return pair.request == PRE_DISTRIBUTED

    def take(self, step: Step, pair: FreshPair) -> None:
        self._counters["stocked"] += 1
        self.pairs[pair.end] = pair
        if self._side == 0:
            self.demand_changed(step)
            self._level_changed(step)

    def demand_changed(self, step: Step) -> None:
        """Side 0: give what there is to requests that want it, the most urgent first, the youngest pairs."""
        if self._side == 1 or not self.pairs:
            return
        wanting = [plan for plan in self._requests.values() if plan.request != PRE_DISTRIBUTED]
        for plan in sorted(wanting, key=lambda one: (-one.priority, one.request, one.tree)):
            good = [pair for pair in self.pairs.values() if self._serves(pair, plan, step.now_ns)]
            good.sort(key=lambda pair: -pair.at_ns)
            room = self._room(plan, step.now_ns)
            if room is not None:
                good = good[: max(0, room - self._on_the_way((plan.request, plan.tree)))]
            if good:
                self._assign(step, (plan.request, plan.tree), good)

    def _on_the_way(self, key: Key) -> int:
        return sum(len(given.pairs) for given in self._assigned if given.key == key)

    def _serves(self, pair: FreshPair, plan: LinkPlan, now_ns: int) -> bool:
        return plan.fidelity_min is None or self.fidelity(pair, now_ns) >= plan.fidelity_min

    def fidelity(self, pair: FreshPair, now_ns: int) -> float:
        """Estimated fidelity of a pair in stock, aged in both memories until now."""
        state, waited_ns = pair.state, max(0, now_ns - pair.at_ns)
        for memory in self._memories:
            state = decay(state, memory.rates, waited_ns)
        return fidelity_of(state)

    def _assign(self, step: Step, key: Key, pairs: list[FreshPair]) -> None:
        for pair in pairs:
            del self.pairs[pair.end]
        given = _Assigned(key, {pair.end: pair for pair in pairs}, step.now_ns + self._timers.answer_ns)
        self._assigned.append(given)
        self._tell(step, given)

    def _tell(self, step: Step, given: _Assigned) -> None:
        request, tree = given.key
        word = StockAssigned(link=self._link.link, request=request, tree=tree, ends=given.ends)
        step.send(self._peer, word, "outcome")

    # ---- words

    def on_messages(self) -> Mapping[type, LinkHandler]:
        return {StockAssigned: self._assigned_there, StockTaken: self._taken}

    def on_events(self) -> Mapping[type, Callable[[Step, Any], None]]:
        return {}

    def _assigned_there(self, step: Step, source: NodeId, message: StockAssigned) -> None:
        """Side 1: those halves that are here go to the request, if it is known here; the others are void."""
        if self._side == 0:
            return
        key = (message.request, message.tree)
        answer = self._answers.get((key, message.ends))
        if answer is not None:
            step.send(self._peer, answer, "outcome")
            return
        known = key in self._requests
        taken = tuple(end for end in message.ends if known and end.partner in self.pairs)
        answer = StockTaken(
            link=self._link.link, request=message.request, tree=message.tree, ends=message.ends, taken=taken
        )
        self._answers[key, message.ends] = answer
        while len(self._answers) > TRIES_MAX:
            del self._answers[next(iter(self._answers))]
        step.send(self._peer, answer, "outcome")
        for end in message.ends:
            pair = self.pairs.pop(end.partner, None)
            if pair is None:
                continue
            if end in taken:
                self._give(step, pair, key)
            else:
                self._let_go(step, pair.end, tell=False)

    def _taken(self, step: Step, source: NodeId, message: StockTaken) -> None:
        """Side 0: the pairs that both ends have go to the request; if it is gone, they are void."""
        key = (message.request, message.tree)
        for given in self._assigned:
            if given.key == key and given.ends == message.ends:
                break
        else:
            return
        self._assigned.remove(given)
        known = key in self._requests
        for end, pair in given.pairs.items():
            if end in message.taken and known:
                self._give(step, pair, key)
            else:
                self._let_go(step, end, tell=end in message.taken)
        self._level_changed(step)

    def _give(self, step: Step, pair: FreshPair, key: Key) -> None:
        request, tree = key
        self._counters["stock_given"] += 1
        self.level.gave(1)
        self._slots.bind(pair.slot, request, tree)
        self._pass_on(step, pair._replace(request=request, tree=tree))

    # ---- ends

    def void(self, step: Step, end: End) -> bool:
        pair = self.pairs.pop(end, None)
        for given in self._assigned:
            pair = given.pairs.pop(end, None) or pair
        if pair is None:
            return False
        self._let_go(step, end, tell=False)
        self._level_changed(step)
        return True

    def lost(self, step: Step) -> None:
        for pair in self._all():
            self._slots.lose(pair.slot)
        self._forget(step)

    def peer_restarted(self, step: Step) -> None:
        self._answers.clear()
        for pair in self._all():
            self._let_go(step, pair.end, tell=False)
        self._forget(step)

    def _all(self) -> list[FreshPair]:
        return [*self.pairs.values(), *(pair for given in self._assigned for pair in given.pairs.values())]

    def _forget(self, step: Step) -> None:
        self.pairs.clear()
        self._assigned.clear()
        self._level_changed(step)

    # ---- time

    def deadline_ns(self) -> int | None:
        """When the oldest pair is too old, or an assignment is told again."""
        deadline = min((given.repeat_ns for given in self._assigned), default=None)
        if self.pairs:
            oldest = min(pair.at_ns for pair in self.pairs.values()) + self._ahead.age_max_ns
            deadline = oldest if deadline is None else min(oldest, deadline)
        return deadline

    def on_deadline(self, step: Step) -> None:
        """Give up pairs that are too old, and say again what was not answered."""
        now_ns = step.now_ns
        for end, pair in list(self.pairs.items()):
            if pair.at_ns + self._ahead.age_max_ns <= now_ns:
                del self.pairs[end]
                self._counters["stock_aged"] += 1
                self._let_go(step, end, tell=self._side == 0)
        for given in list(self._assigned):
            if given.repeat_ns > now_ns:
                continue
            if given.tries >= TRIES_MAX:
                self._assigned.remove(given)
                self._counters["stock_unheard"] += 1
                for end in given.pairs:
                    self._let_go(step, end, tell=True)
                continue
            given.tries += 1
            given.repeat_ns = now_ns + self._timers.answer_ns
            self._tell(step, given)
        if self._side == 0:
            self._level_changed(step)
