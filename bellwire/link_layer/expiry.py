"""EXPIRE between the two ends of a link: a half that one end does not have is void at the other.

Owns the void pairs that the other end has not heard of, those that it called void before we heard of them,
and the question that is asked whenever a run is left: "these pairs of it I hold, or had; which do you know?"
(algorithms.md 10.2, EXPIRE and EXPIRE_ACK). Refuses to know what a pair is used for. Everything is repeated
until it is answered, so on a channel that is good again both ends agree after one repetition and a round
trip.

A pair that was used here is asked about too: whoever swapped a half away whose partner never was has made a
chain that leads nowhere longer, and its far end holds a qubit until somebody says so.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from typing import Final, NamedTuple, Protocol

from bellwire.core.ids import End, NodeId
from bellwire.core.link_messages import (
    PairsHeld,
    PairsKnown,
    PairsVoid,
    PairsVoidHeard,
)
from bellwire.core.machine import Step
from bellwire.link_layer.ground import Ground
from bellwire.link_layer.uses import LinkHandler

VOID_MAX: Final = 512
"""Void pairs that wait for the other end's word, or that the other end called void before we heard of them;
the oldest is forgotten and counted, and the ledger's age limit does the rest."""

VOID_BATCH_MAX: Final = 64
"""Void pairs in one message."""

USED_ASKED_MAX: Final = 256
"""The latest successes of a run that are asked about although nothing of them is held any more."""

USED_REPEATS_MAX: Final = 50
"""So often that question is repeated; then only pairs that are still held are asked about."""

RUNS_KEPT: Final = 8
"""Runs that were left and whose successes are remembered."""

Name = tuple[int, int]
"""(attempt, lane) of a pair within its run."""


class Successes(NamedTuple):
    """What is remembered of the successes of one run: all of them, but for attempts long ago."""

    names: Collection[Name]
    forgotten_to: int  # successes up to this attempt may have been forgotten, -1: none was

    def had(self, name: Name) -> bool:
        """True when this success may have been noted here."""
        return name[0] <= self.forgotten_to or name in self.names


NONE: Final = Successes((), -1)
"""Of a run that this end never took part in."""


class PairGone(Protocol):
    """The other end has no half of this pair: whoever has ours gives it up."""

    def __call__(self, step: Step, end: End) -> None: ...


class Expiry:
    """What the two ends tell each other about pairs that only one of them has."""

    def __init__(
        self, ground: Ground, successes: Callable[[], Successes], gone: PairGone, never_had: PairGone
    ) -> None:
        """successes: of the present run. gone: an own half is void. never_had: we say that the
        other end's half has no partner here."""
        self._link = ground.link.link
        self._side = ground.side
        self._peer = ground.peer
        self._timers = ground.timers
        self._slots = ground.slots
        self._book = ground.book
        self._counters = ground.counters
        ground.begin_counters("void", "void_forgotten")
        self._successes = successes
        self._gone = gone
        self._never_had = never_had
        # Void pairs by run and name, in the order in which they became so.
        self._untold: OrderedDict[tuple[int, int, int], None] = OrderedDict()
        self._foretold: OrderedDict[tuple[int, int, int], None] = OrderedDict()
        self._left: dict[int, Successes] = {}  # runs that were left -> their successes
        self._asked: dict[int, tuple[Name, ...]] = {}  # runs that were left -> pairs still in question
        self._repeats: dict[int, int] = {}  # how often the question about a run was repeated
        self._repeat_ns: int | None = None

    def on_messages(self) -> Mapping[type, LinkHandler]:
        return {
            PairsVoid: self._void_there,
            PairsVoidHeard: self._void_heard,
            PairsHeld: self._held_there,
            PairsKnown: self._known_there,
        }

    # ---- one pair

    def void(self, step: Step, run: int, attempt: int, lane: int) -> None:
        """We have no half of this pair (any more): the other end must hear of it."""
        self._counters["void"] += 1
        self._remember(self._untold, (run, attempt, lane))
        step.send(self._peer, PairsVoid(link=self._link, run=run, pairs=((attempt, lane),)), "outcome")
        self._repeat_soon(step)

    def void_before(self, run: int, attempt: int, lane: int) -> bool:
        """True when the other end called this pair void before we heard of it; asked once a pair."""
        return bool(self._foretold) and self._foretold.pop((run, attempt, lane), _MISSING) is None

    def _remember(self, names: "OrderedDict[tuple[int, int, int], None]", name: tuple[int, int, int]) -> None:
        names[name] = None
        if len(names) > VOID_MAX:
            names.popitem(last=False)
            self._counters["void_forgotten"] += 1

    def _void_there(self, step: Step, source: NodeId, message: PairsVoid) -> None:
        heard = PairsVoidHeard(link=self._link, run=message.run, pairs=message.pairs)
        step.send(self._peer, heard, "outcome")
        had = self._left.get(message.run)
        if had is None:
            had = self._successes() if message.run == self._book.run else NONE
        left = message.run in self._left
        for attempt, lane in message.pairs:
            if left or had.had((attempt, lane)):
                self._gone(step, End(self._link, message.run, attempt, lane, self._side))
            else:
                self._remember(self._foretold, (message.run, attempt, lane))

    def _void_heard(self, step: Step, source: NodeId, message: PairsVoidHeard) -> None:
        for attempt, lane in message.pairs:
            self._untold.pop((message.run, attempt, lane), None)
        self._rest()

    # ---- a run that is left

    def leave(self, step: Step, run: int) -> None:
        """Nothing of this run will be taken any more: ask which of its pairs the other end has as well."""
        if run in self._left:
            return
        names, forgotten_to = self._successes()
        self._left[run] = Successes(frozenset(names), forgotten_to)
        while len(self._left) > RUNS_KEPT:
            oldest = next(iter(self._left))
            del self._left[oldest]
            self._asked.pop(oldest, None)
            self._repeats.pop(oldest, None)
        asked = tuple(dict.fromkeys((*self._held(run), *sorted(names)[-USED_ASKED_MAX:])))
        if asked:
            self._asked[run] = asked
            self._repeats[run] = 0
            self._ask(step, run)

    def _held(self, run: int) -> tuple[Name, ...]:
        ends = [slot.end for slot in self._slots.slots() if slot.end is not None]
        return tuple((end.attempt, end.lane) for end in ends if end.link == self._link and end.run == run)

    def _ask(self, step: Step, run: int) -> None:
        held = set(self._held(run))
        asked = self._asked[run]
        question = PairsHeld(
            link=self._link,
            run=run,
            pairs=tuple(name for name in asked if name in held),
            used=tuple(name for name in asked if name not in held),
        )
        step.send(self._peer, question, "outcome")
        self._repeat_soon(step)

    def _held_there(self, step: Step, source: NodeId, message: PairsHeld) -> None:
        """Answered only when we have left that run too: until then its heralds may still come."""
        if message.run == self._book.run:
            return
        had = self._left.get(message.run, NONE)
        # An earlier life of this node may have had a half of a run that is older than all we know; the
        # ledger closes those by its own rule (Began).
        in_this_life = any(run <= message.run for run in self._left)
        strange = tuple(name for name in message.pairs if not had.had(name))
        used = tuple(name for name in message.used if not had.had(name))  # its owner can give nothing up
        known = PairsKnown(
            link=self._link, run=message.run, pairs=(*message.pairs, *message.used), void=strange
        )
        step.send(self._peer, known, "outcome")
        if strange or used:
            names = frozenset((*had.names, *strange, *used))
            self._left[message.run] = Successes(names, had.forgotten_to)
        if in_this_life:
            for attempt, lane in (*strange, *used):
                self._never_had(step, End(self._link, message.run, attempt, lane, self._side))
        for attempt, lane in strange:
            self._counters["void"] += 1
            self._remember(self._untold, (message.run, attempt, lane))
        if strange:
            self._repeat_soon(step)

    def _known_there(self, step: Step, source: NodeId, message: PairsKnown) -> None:
        asked = self._asked.get(message.run)
        if asked is None:
            return
        if message.void:
            heard = PairsVoidHeard(link=self._link, run=message.run, pairs=message.void)
            step.send(self._peer, heard, "outcome")
        for attempt, lane in message.void:
            self._gone(step, End(self._link, message.run, attempt, lane, self._side))
        left = tuple(name for name in asked if name not in message.pairs)
        if left:
            self._asked[message.run] = left
        else:
            del self._asked[message.run]
            self._repeats.pop(message.run, None)
        self._rest()

    # ---- time

    def _repeat_soon(self, step: Step) -> None:
        if self._repeat_ns is None:
            self._repeat_ns = step.now_ns + self._timers.answer_ns

    def _rest(self) -> None:
        if not self._untold and not self._asked:
            self._repeat_ns = None

    def deadline_ns(self) -> int | None:
        """When unanswered words are said again."""
        return self._repeat_ns

    def on_deadline(self, step: Step) -> None:
        """Say unanswered words again: void pairs, the oldest first, and questions about left runs."""
        self._repeat_ns = step.now_ns + self._timers.answer_ns
        if self._untold:
            run = next(iter(self._untold))[0]
            names = [name for name in self._untold if name[0] == run][:VOID_BATCH_MAX]
            pairs = tuple((attempt, lane) for _, attempt, lane in names)
            step.send(self._peer, PairsVoid(link=self._link, run=run, pairs=pairs), "outcome")
        for run, asked in list(self._asked.items()):
            self._repeats[run] = repeats = self._repeats.get(run, 0) + 1
            held = set(self._held(run))
            left = asked
            if repeats > USED_REPEATS_MAX:
                left = tuple(name for name in asked if name in held)
            if left:
                self._asked[run] = left
                self._ask(step, run)
            else:
                del self._asked[run]
                self._repeats.pop(run, None)
        self._rest()


_MISSING: Final = object()
