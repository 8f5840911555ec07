"""Streams of one author for single readers: each counts the facts that concern it, and no others.

Owns which of the author's facts each reader was sent, by the reader's own numbers. Refuses who is concerned
(`interests.py`) and messages (`publishing.py`). A reader's numbers go on for as long as the author's
incarnation lasts, hence holes, questions, digests and forgetting are those of one stream for all.
"""

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from itertools import islice

from bellwire.core.errors import LocalMisuse
from bellwire.core.ids import NodeId
from bellwire.core.messages import FactBatch
from bellwire.gem.streams import OwnStream


class ReaderStream:
    """What one reader was sent."""

    __slots__ = ("last", "numbers", "told_ns")

    def __init__(self) -> None:
        self.numbers: deque[int] = deque()  # the author's numbers of the latest facts sent, as they were
        self.last = 0  # the reader's number of the latest of them
        self.told_ns = 0  # when something was sent last

    @property
    def base(self) -> int:
        """The reader's number of the oldest fact that is remembered."""
        return self.last + 1 - len(self.numbers)


class ReaderStreams:
    """Of all readers of one author, in the order in which they were met."""

    def __init__(self, own: OwnStream) -> None:
        self._own = own
        self._streams: dict[NodeId, ReaderStream] = {}

    def clear(self) -> None:
        """A new incarnation: nobody was told anything yet."""
        self._streams.clear()

    def __contains__(self, reader: NodeId) -> bool:
        return reader in self._streams

    def __iter__(self) -> Iterator[NodeId]:
        """Everybody who was told anything in this incarnation."""
        return iter(self._streams)

    def told_ns(self, reader: NodeId) -> int:
        """When this reader was sent something last."""
        return self._streams[reader].told_ns

    def append(self, reader: NodeId, facts: Sequence[int], now_ns: int) -> tuple[int, int]:
        """Facts of these numbers of the author follow; (the reader's number of the first of them, its oldest
        remembered one)."""
        stream = self._streams.get(reader)
        if stream is None:
            stream = self._streams[reader] = ReaderStream()
        stream.told_ns = now_ns
        stream.numbers.extend(facts)
        stream.last += len(facts)
        return stream.last + 1 - len(facts), stream.base

    def forget(self) -> None:
        """What the author has forgotten need not be numbered any more."""
        oldest = self._own.base
        for stream in self._streams.values():
            numbers = stream.numbers
            while numbers and numbers[0] < oldest:
                numbers.popleft()

    def last(self, reader: NodeId) -> int:
        """How far the stream of a reader goes; 0 for who was never told anything."""
        stream = self._streams.get(reader)
        return 0 if stream is None else stream.last

    def number(self, reader: NodeId, number: int) -> int:
        """The reader's number of a fact that it was sent lately.

        Raises:
            LocalMisuse: it was not, or so long ago that it is forgotten.
        """
        stream = self._streams[reader]
        for back, sent in enumerate(reversed(stream.numbers)):
            if sent == number:
                return stream.last - back
        raise LocalMisuse(f"{reader} was never sent fact {number}")

    def sent(self, reader: NodeId) -> Collection[int]:
        """The author's numbers of what a reader was sent and is remembered."""
        stream = self._streams.get(reader)
        return () if stream is None else stream.numbers

    def chunks(self, reader: NodeId, first: int) -> Iterator[FactBatch]:
        """What a reader was sent and is remembered, from its number `first` on, cut to size."""
        stream = self._streams.get(reader)
        if stream is None:
            return iter(())
        own = self._own
        oldest = own.base
        forgotten = max((place for place, sent in enumerate(stream.numbers, 1) if sent < oldest), default=0)
        base = stream.base + forgotten
        start = max(first, base)
        numbers = islice(stream.numbers, start - stream.base, None)
        return own.in_batches((own.remembered(number) for number in numbers), start, base)
