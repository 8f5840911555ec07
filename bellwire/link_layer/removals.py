"""Ends of items of the shared queue, told to the other end until it is heard.

Owns the removals that the other end has not heard of, their repetition and its limits. Refuses why an item
ended and what that means at the other end (queue.py).
"""

from collections import OrderedDict
from typing import Final

from bellwire.core.ids import RequestId
from bellwire.core.link_messages import QueueRemove
from bellwire.core.link_words import item_name
from bellwire.core.machine import Step
from bellwire.link_layer.ground import Ground

LEAVING_MAX: Final = 256
"""Removals that the other end has not heard of; the oldest is forgotten (counter `removals_forgotten`), and
the other end's own deadline ends its item."""

LEAVING_DOUBLINGS_MAX: Final = 6
"""The time between two words about one removal grows to at most 2 ** this times the answer time."""


class _Leaving:
    __slots__ = ("repeat_ns", "tries", "word")

    def __init__(self, word: QueueRemove, repeat_ns: int) -> None:
        self.word = word
        self.repeat_ns = repeat_ns
        self.tries = 1


class Removals:
    """What one end of a link still has to tell of items that are gone."""

    def __init__(self, ground: Ground) -> None:
        self.leaving: OrderedDict[RequestId, _Leaving] = OrderedDict()
        self._peer = ground.peer
        self._answer_ns = ground.timers.answer_ns
        self._counters = ground.counters
        ground.begin_counters("removals_forgotten")

    def tell(self, step: Step, word: QueueRemove) -> None:
        """An item ended here: the other end must hear of it."""
        name = item_name(word.origin, word.create, word.ticket)
        self.leaving[name] = _Leaving(word, step.now_ns + self._answer_ns)
        if len(self.leaving) > LEAVING_MAX:
            self.leaving.popitem(last=False)
            self._counters["removals_forgotten"] += 1
        step.send(self._peer, word)

    def heard(self, name: RequestId) -> None:
        """The other end knows."""
        self.leaving.pop(name, None)

    def clear(self) -> None:
        """The other end forgot every item by itself."""
        self.leaving.clear()

    # ---- time

    def deadline_ns(self) -> int | None:
        """When a removal is told again."""
        if not self.leaving:
            return None
        return min((leaving.repeat_ns for leaving in self.leaving.values()), default=None)

    def on_deadline(self, step: Step) -> None:
        """Tell again what is due, later each time."""
        for leaving in self.leaving.values():
            if leaving.repeat_ns <= step.now_ns:
                doublings = min(leaving.tries, LEAVING_DOUBLINGS_MAX)
                leaving.repeat_ns = step.now_ns + (self._answer_ns << doublings)
                leaving.tries += 1
                step.send(self._peer, leaving.word)
