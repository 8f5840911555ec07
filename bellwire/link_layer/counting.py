"""Which pairs count for a CREATE: both ends agree on the pairs and on their numbers.

Owns the words PairsCounted and PairsCountedHeard. Side 0 counts a pair when it takes it, in the order in
which the station's reports reach it, and tells its number; side 1 answers once its own half is there (and
measured, where the CREATE says so). So the pairs of a CREATE are the first of the link that were usable at
both ends, and no end tells its user a number that the other end would give to another pair. Refuses to know
what becomes of a pair: the owner (create_pairs.py) keeps, measures and tells.
"""

from collections import OrderedDict
from collections.abc import Mapping
from itertools import islice
from typing import Final, Literal, Protocol

from bellwire.core.errors import PeerViolation
from bellwire.core.ids import End, NodeId, RequestId
from bellwire.core.link_messages import CountedPair, PairsCounted, PairsCountedHeard
from bellwire.core.machine import Step
from bellwire.link_layer.ground import Ground
from bellwire.link_layer.uses import LinkHandler

COUNT_TRIES_MAX: Final = 12
"""A counted pair is told so often; then it is void here and at the other end (counter `count_unheard`)."""

COUNT_BATCH_MAX: Final = 64
"""Pairs in one message."""

FORETOLD_MAX: Final = 512
"""Numbers of pairs whose herald has not come yet; the oldest is forgotten and will be told again."""

Judgement = Literal["kept", "void", "unborn", "measuring"]
"""Whether the own half of a numbered pair is there; `unborn`: its herald may still come."""


class CountingOwner(Protocol):
    """Who holds the pairs that are counted."""

    def numbered(self, step: Step, request: RequestId, end: End, sequence: int) -> Judgement:
        """Side 1: the own half of this end has this number."""
        ...

    def shared(self, step: Step, end: End) -> None:
        """Side 0: the other end has its half too."""
        ...

    def void(self, step: Step, end: End) -> bool:
        """Side 0: the other end has no half."""
        ...

    def unheard(self, step: Step, end: End) -> None:
        """Side 0: the other end does not answer."""
        ...


class _Counted:
    __slots__ = ("repeat_ns", "request", "sequence", "tries")

    def __init__(self, request: RequestId, sequence: int, repeat_ns: int) -> None:
        self.request = request
        self.sequence = sequence
        self.repeat_ns = repeat_ns
        self.tries = 1


class Counting:
    """The agreement on counted pairs at one end of a link."""

    def __init__(self, ground: Ground, owner: CountingOwner) -> None:
        # Side 0: pairs of which the other end has not said that it has its half.
        self.unheard: dict[End, _Counted] = {}
        self._link = ground.link.link
        self._side = ground.side
        self._peer = ground.peer
        self._timers = ground.timers
        self._owner = owner
        self._counters = ground.counters
        ground.begin_counters("counted", "count_unheard")
        self._foretold: OrderedDict[End, tuple[RequestId, int]] = OrderedDict()

    def on_messages(self) -> Mapping[type, LinkHandler]:
        return {PairsCounted: self._counted_there, PairsCountedHeard: self._heard}

    # ---- side 0

    def count(self, step: Step, request: RequestId, end: End, sequence: int) -> None:
        """Tell the other end that this pair counts, until it is heard."""
        self._counters["counted"] += 1
        self.unheard[end] = _Counted(request, sequence, step.now_ns + self._timers.answer_ns)
        pair = CountedPair(attempt=end.attempt, lane=end.lane, sequence=sequence)
        word = PairsCounted(link=self._link, request=request, run=end.run, pairs=(pair,))
        step.send(self._peer, word, "outcome")

    def forget(self, end: End) -> None:
        """The pair is void, or nobody cares any more."""
        self.unheard.pop(end, None)
        self._foretold.pop(end, None)

    def _heard(self, step: Step, source: NodeId, message: PairsCountedHeard) -> None:
        """Raises PeerViolation when we are the side that counts nothing."""
        if self._side == 1:
            raise PeerViolation(self._peer, f"{message.link}: hears of numbers that only side 0 gives")
        for attempt, lane in message.kept:
            end = End(self._link, message.run, attempt, lane, self._side)
            if self.unheard.pop(end, None) is not None:
                self._owner.shared(step, end)
        for attempt, lane in message.void:
            self._owner.void(step, End(self._link, message.run, attempt, lane, self._side))

    # ---- side 1

    def foretold(self, request: RequestId, end: End) -> int | None:
        """The number that side 0 gave to a pair before its herald came here, asked once; None: not yet."""
        told = self._foretold.pop(end, None)
        return None if told is None or told[0] != request else told[1]

    def confirm(self, step: Step, end: End) -> None:
        """Our half of a numbered pair is there."""
        heard = PairsCountedHeard(link=self._link, run=end.run, kept=((end.attempt, end.lane),), void=())
        step.send(self._peer, heard, "outcome")

    def _counted_there(self, step: Step, source: NodeId, message: PairsCounted) -> None:
        """Raises PeerViolation when the sender is not the side that counts."""
        if self._side == 0:
            raise PeerViolation(self._peer, f"{message.link}: counts pairs, which only side 0 does")
        kept: list[tuple[int, int]] = []
        void: list[tuple[int, int]] = []
        for pair in message.pairs:
            end = End(self._link, message.run, pair.attempt, pair.lane, self._side)
            judged = self._owner.numbered(step, message.request, end, pair.sequence)
            if judged == "kept":
                kept.append((pair.attempt, pair.lane))
            elif judged == "void":
                void.append((pair.attempt, pair.lane))
            elif judged == "unborn":
                self._foretold[end] = (message.request, pair.sequence)
                if len(self._foretold) > FORETOLD_MAX:
                    self._foretold.popitem(last=False)
        if kept or void:
            heard = PairsCountedHeard(link=self._link, run=message.run, kept=tuple(kept), void=tuple(void))
            step.send(self._peer, heard, "outcome")

    # ---- both

    def peer_restarted(self) -> None:
        """Words to and from the other end's earlier life mean nothing any more."""
        self.unheard.clear()
        self._foretold.clear()

    def deadline_ns(self) -> int | None:
        """When counted pairs are told again."""
        if not self.unheard:
            return None
        return min((counted.repeat_ns for counted in self.unheard.values()), default=None)

    def on_deadline(self, step: Step) -> None:
        """Tell counted pairs again, or give them up."""
        due = [end for end, counted in self.unheard.items() if counted.repeat_ns <= step.now_ns]
        batches: dict[tuple[RequestId, int], list[CountedPair]] = {}
        for end in due:
            counted = self.unheard.get(end)
            if counted is None:
                continue  # given up with an earlier one
            if counted.tries >= COUNT_TRIES_MAX:
                del self.unheard[end]
                self._counters["count_unheard"] += 1
                self._owner.unheard(step, end)
                continue
            counted.tries += 1
            counted.repeat_ns = step.now_ns + self._timers.answer_ns
            pair = CountedPair(attempt=end.attempt, lane=end.lane, sequence=counted.sequence)
            batches.setdefault((counted.request, end.run), []).append(pair)
        for (request, run), pairs in batches.items():
            rest = iter(pairs)
            while batch := tuple(islice(rest, COUNT_BATCH_MAX)):
                word = PairsCounted(link=self._link, request=request, run=run, pairs=batch)
                step.send(self._peer, word, "outcome")
