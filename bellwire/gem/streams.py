"""Streams of facts: each author's facts in its own order, once each, and what is missing.

Owns sequence numbers, facts held behind a hole, watermarks, and the node's memory of its own facts. Refuses
the meaning of facts (`fold.py`) and messages (`protocols.py`).
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from bellwire.core.errors import LocalMisuse
from bellwire.core.facts import Born, Fact, ends_named
from bellwire.core.ids import End, NodeId, RequestId
from bellwire.core.messages import FactBatch

FACTS_KEPT = 100_000
"""Own facts that a node remembers for those who missed them."""

FACTS_HELD = 10_000
"""Facts of one author that may wait behind a hole; more are dropped, counted, and asked for again."""

CHUNK_FACTS = 256
CHUNK_BYTES = 32 * 1024
"""Limits of one batch in an answer (architecture.md section 9)."""

Watermarks = dict[NodeId, tuple[int, int]]
"""Author -> (incarnation, number of the last fact folded): the name of a set of facts."""


class Stream:
    """One author's facts as a replica receives them."""

    __slots__ = ("held", "incarnation", "next")

    def __init__(self, incarnation: int) -> None:
        self.incarnation = incarnation
        self.next = 1  # number of the next fact in order
        self.held: dict[int, Fact] = {}  # by number, all above next


class Streams:
    """All authors' streams at one replica.

    Counters: `repeated` (facts offered again), `stale` (batches of an older incarnation), `skipped` (facts
    that their author no longer remembers), `dropped` (facts that did not fit behind a hole).
    """

    def __init__(self) -> None:
        self.authors: dict[NodeId, Stream] = {}
        self.repeated = 0
        self.stale = 0
        self.skipped = 0
        self.dropped = 0

    def offer(
        self, author: NodeId, incarnation: int, first: int, facts: Sequence[Fact], base: int = 1
    ) -> Sequence[Fact]:
        """Take consecutive facts from number `first` on; returns those that are now in order.

        A higher incarnation starts a new stream; what was held of the old one is gone. `base` above the next
        number means that the author has forgotten what lies between: the stream goes on from there.
        """
        stream = self.authors.get(author)
        if stream is None or incarnation > stream.incarnation:
            stream = self.authors[author] = Stream(incarnation)
        elif incarnation < stream.incarnation:
            self.stale += 1
            return ()
        if base > stream.next:
            self._skip(stream, base)
        expected = stream.next
        if first == expected and not stream.held:
            stream.next = expected + len(facts)
            return facts
        ready = _drain(stream)
        for number, fact in enumerate(facts, first):
            if number == stream.next:
                # At once: what fills the hole must not need room behind it.
                stream.next += 1
                ready.append(fact)
                ready += _drain(stream)
            elif number < stream.next or number in stream.held:
                self.repeated += 1
            elif len(stream.held) >= FACTS_HELD:
                self.dropped += 1
            else:
                stream.held[number] = fact
        return ready

    def reached(self, author: NodeId, incarnation: int, number: int) -> bool:
        """True when this fact has been handed out, or never will be because its incarnation is over."""
        stream = self.authors.get(author)
        if stream is None or stream.incarnation < incarnation:
            return False
        return stream.incarnation > incarnation or stream.next > number

    def next_number(self, author: NodeId, incarnation: int) -> int:
        """The number to ask this author for."""
        stream = self.authors.get(author)
        return stream.next if stream is not None and stream.incarnation == incarnation else 1

    def incarnation(self, author: NodeId) -> int | None:
        """The incarnation whose facts are taken now; None before any."""
        stream = self.authors.get(author)
        return None if stream is None else stream.incarnation

    def hole(self, author: NodeId) -> int | None:
        """The first missing number when facts wait behind a hole; None when nothing waits."""
        stream = self.authors.get(author)
        return stream.next if stream is not None and stream.held else None

    def watermarks(self) -> Watermarks:
        """How far each author's facts have been folded."""
        return {author: (stream.incarnation, stream.next - 1) for author, stream in self.authors.items()}

    def _skip(self, stream: Stream, base: int) -> None:
        self.skipped += base - stream.next
        stream.next = base
        stream.held = {number: fact for number, fact in stream.held.items() if number >= base}


def _drain(stream: Stream) -> list[Fact]:
    ready: list[Fact] = []
    number = stream.next
    held = stream.held
    while number in held:
        ready.append(held.pop(number))
        number += 1
    stream.next = number
    return ready


class OwnStream:
    """The node's own numbered facts of this incarnation, the latest `FACTS_KEPT` of them remembered.

    remembering=False for hosts that keep the authors' logs themselves (virtual time).
    """

    __slots__ = ("_encoder", "_facts", "incarnation", "last", "remembering")

    def __init__(self, *, remembering: bool = True) -> None:
        self.incarnation = 0  # 0: not started
        self.last = 0
        self.remembering = remembering
        self._facts: dict[int, Fact] = {}
        self._encoder = msgspec.msgpack.Encoder()

    @property
    def base(self) -> int:
        """The oldest number that can still be asked for; 1 where the host keeps the log."""
        return self.last + 1 - len(self._facts) if self.remembering else 1

    def begin(self, incarnation: int) -> None:
        """Start the stream of a new incarnation.

        Raises:
            LocalMisuse: not higher than the one before.
        """
        if incarnation <= self.incarnation:
            raise LocalMisuse(f"incarnation {incarnation} began after {self.incarnation}: it must be higher")
        self.incarnation = incarnation
        self.last = 0
        self._facts.clear()

    def add(self, fact: Fact) -> int:
        """Number a fact."""
        if self.incarnation == 0:
            raise LocalMisuse(f"{type(fact).__name__} was authored before Started: no incarnation yet")
        self.last += 1
        if self.remembering:
            self._facts[self.last] = fact
            if len(self._facts) > FACTS_KEPT:
                del self._facts[self.last - FACTS_KEPT]
        return self.last

    def remembered(self, number: int) -> Fact:
        """An own fact of `base` or above."""
        return self._facts[number]

    def about(self, request: RequestId, since_ns: int, through: int) -> tuple[list[int], list[Fact]]:
        """Remembered facts about ends that were born for a request at this time or later, up to number
        `through`; numbers and facts."""
        ends: set[End] = set()
        numbers: list[int] = []
        facts: list[Fact] = []
        for number in range(self.base, through + 1):
            fact = self._facts[number]
            if type(fact) is Born and fact.request == request and fact.at_ns >= since_ns:
                ends.add(fact.end)
            if not ends.isdisjoint(ends_named(fact)):
                numbers.append(number)
                facts.append(fact)
        return numbers, facts

    def about_end(self, end: End, born: Mapping[End, int], through: int) -> tuple[list[int], list[Fact]]:
        """Remembered facts up to number `through` about an own end, and about ends that it was joined with;
        numbers and facts. `born`: the number of the birth of each end; of an end without, nothing."""
        ends = {end}
        chosen: dict[int, Fact] = {}
        # Again as long as what became of an end names another one, which may have been born before.
        looked_at: set[End] = set()
        while new := {one for one in ends - looked_at if one in born}:
            looked_at |= ends
            for number in range(max(min(born[one] for one in new), self.base), through + 1):
                fact = self._facts[number]
                named = ends_named(fact)
                if not ends.isdisjoint(named):
                    ends.update(named)
                    chosen[number] = fact
        return sorted(chosen), [chosen[number] for number in sorted(chosen)]

    def chunks(self, first: int) -> Iterator[FactBatch]:
        """Remembered facts from `first` on, in batches of at most CHUNK_FACTS and about CHUNK_BYTES."""
        base = self.base
        start = max(first, base) if self.remembering else self.last + 1
        facts = (self._facts[number] for number in range(start, self.last + 1))
        return self.in_batches(facts, start, base)

    def in_batches(self, facts: Iterator[Fact], first: int, base: int) -> Iterator[FactBatch]:
        """Facts that follow one another, cut to size; `first` and `base` by the numbers of who reads them."""
        chunk: list[Fact] = []
        size = 0
        for fact in facts:
            more = len(self._encoder.encode(fact))
            if chunk and (len(chunk) == CHUNK_FACTS or size + more > CHUNK_BYTES):
                yield FactBatch(incarnation=self.incarnation, first=first, facts=tuple(chunk), base=base)
                first += len(chunk)
                chunk, size = [], 0
            chunk.append(fact)
            size += more
        if chunk:
            yield FactBatch(incarnation=self.incarnation, first=first, facts=tuple(chunk), base=base)
