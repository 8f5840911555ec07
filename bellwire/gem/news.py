"""Word about ends: kept until its fact has come, passed on when its end has gone.

Owns where own ended ends went, and news that came before its fact. Refuses facts: nothing is relayed, every
fact is taken from its author's stream (architecture.md section 4).
"""

from collections import OrderedDict

from bellwire.core.facts import Swapped
from bellwire.core.ids import End, NodeId
from bellwire.core.messages import EndNews
from bellwire.gem.streams import Streams

WENT_KEPT = 20_000
"""Own swapped ends whose successors are remembered. News about older ones is dropped and counted."""

NEWS_KEPT = 1_024
"""News that may wait for its fact. More is dropped and counted: the fold tells touched ends anyway."""


class Forwarding:
    """For own swapped ends: the far end that took their place, as the author saw it. Counts what it drops."""

    def __init__(self, node: NodeId) -> None:
        self._node = node
        # Ordered: in a plain dict the search for the oldest entry walks over all that were deleted before it.
        self._went: OrderedDict[End, tuple[End, NodeId]] = OrderedDict()
        self.dropped = 0

    def swapped(
        self, fact: Swapped, left: tuple[End, NodeId] | None, right: tuple[End, NodeId] | None
    ) -> None:
        """Remember a successful swap: news for its left end now concerns the far end on the right, and back.

        left, right: far ends of the two measured ends before the swap, and their owners; None: ended.
        """
        if fact.result != "ok":
            return
        if right is not None and right[0] != fact.left:
            self._went[fact.left] = right
        if left is not None and left[0] != fact.right:
            self._went[fact.right] = left
        while len(self._went) > WENT_KEPT:
            self._went.popitem(last=False)

    def onward(self, news: EndNews) -> tuple[NodeId, EndNews] | None:
        """To whom the news goes on, and about which end; None (counted) when nobody is known."""
        end = news.end
        for _ in range(len(self._went) + 1):
            went = self._went.get(end)
            if went is None:
                break
            end, owner = went
            if owner != self._node:
                passed = EndNews(
                    end=end, author=news.author, incarnation=news.incarnation, number=news.number
                )
                return owner, passed
        self.dropped += 1
        return None


class WaitingNews:
    """News whose fact has not come yet, bounded."""

    def __init__(self) -> None:
        self.news: list[EndNews] = []  # in the order in which it was kept
        self.dropped = 0

    def __len__(self) -> int:
        return len(self.news)

    def keep(self, news: EndNews) -> None:
        """Remember news until its fact comes; the same news is remembered once."""
        if news in self.news:
            return
        if len(self.news) >= NEWS_KEPT:
            self.dropped += 1
            return
        self.news.append(news)

    def ripe(self, streams: Streams) -> list[EndNews]:
        """News whose facts have come, in the order in which it was kept; forgotten here."""
        waiting: list[EndNews] = []
        ripe: list[EndNews] = []
        for news in self.news:
            come = streams.reached(news.author, news.incarnation, news.number)
            (ripe if come else waiting).append(news)
        self.news = waiting
        return ripe
