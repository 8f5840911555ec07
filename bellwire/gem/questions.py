"""Questions for missed facts: asked at once, repeated while unanswered, ended by the answer.

Owns which authors are asked for what, and when again. Refuses facts themselves (`streams.py`).
"""

from bellwire.core.ids import NodeId
from bellwire.core.machine import Step
from bellwire.core.messages import FactsWanted
from bellwire.gem.streams import Streams


class Question:
    """Facts of one author that are known to exist, or may, and have not come."""

    __slots__ = ("again_ns", "first", "incarnation", "last")

    def __init__(self, incarnation: int, last: int) -> None:
        self.incarnation = incarnation
        self.last = last  # the highest number that is known to exist
        self.first = 0  # the number asked for
        self.again_ns = 0


class Questions:
    """At most one open question per author. A question is open until facts up to `last` have come."""

    def __init__(self, streams: Streams, interval_ns: int) -> None:
        self._streams = streams
        self._interval_ns = interval_ns
        self._open: dict[NodeId, Question] = {}

    def deadline_ns(self) -> int | None:
        """When the first question is to be repeated; None when none is open."""
        return min(question.again_ns for question in self._open.values()) if self._open else None

    def ask(self, step: Step, author: NodeId, incarnation: int) -> None:
        """A peer came up: ask for everything that follows what is known of it, at least its first fact."""
        self._open_up(step, author, incarnation, max(1, self._streams.next_number(author, incarnation) - 1))
        if author not in self._open:
            # Nothing is known to be missing, but the peer may have written while it was away.
            step.send(author, self._wanted(author, incarnation), "control")

    def heard(self, step: Step, author: NodeId, incarnation: int, last: int) -> None:
        """A fact of this number exists; ask if it, or one before it, has not come in order."""
        self._open_up(step, author, incarnation, last)

    def closed(self, step: Step, author: NodeId, incarnation: int, last: int) -> None:
        """The author says where its stream ends now: ask at once for the rest if the last answer helped.

        After an answer that brought nothing the interval is waited for; else a batch that is refused here
        would be asked for again and again as fast as the channel goes.
        """
        question = self._open.get(author)
        if question is not None and question.incarnation == incarnation:
            question.last = max(question.last, last)
            if self._streams.next_number(author, incarnation) > question.first:
                del self._open[author]
        self._open_up(step, author, incarnation, last)

    def repeat(self, step: Step) -> None:
        """Ask again what is due."""
        for author, question in list(self._open.items()):
            if question.again_ns <= step.now_ns:
                self._send(step, author, question)

    def drop(self, author: NodeId) -> None:
        """The author is judged lost: stop asking; `ask` begins anew when it is back."""
        self._open.pop(author, None)

    def _open_up(self, step: Step, author: NodeId, incarnation: int, last: int) -> None:
        known = self._streams.incarnation(author)
        if known is not None and incarnation < known:
            return
        question = self._open.get(author)
        if question is not None and incarnation >= question.incarnation:
            if incarnation > question.incarnation:
                question = None
            else:
                question.last = max(question.last, last)
                last = question.last
        elif question is not None:
            return
        if self._streams.reached(author, incarnation, last):
            self._open.pop(author, None)
        elif question is None:
            question = self._open[author] = Question(incarnation, last)
            self._send(step, author, question)

    def _send(self, step: Step, author: NodeId, question: Question) -> None:
        question.again_ns = step.now_ns + self._interval_ns
        question.first = self._streams.next_number(author, question.incarnation)
        step.send(author, self._wanted(author, question.incarnation), "control")

    def _wanted(self, author: NodeId, incarnation: int) -> FactsWanted:
        return FactsWanted(incarnation=incarnation, first=self._streams.next_number(author, incarnation))
