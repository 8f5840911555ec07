"""The routing of words within a node: which part takes which event, message and notice.

Owns the order of work within a step, which parts are spared words while they are idle, and which are asked
for their deadlines afterwards. Refuses protocol knowledge: a line here that names a field of a part's state
is a fault.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from bellwire.core.effects import Effect
from bellwire.core.errors import LocalMisuse
from bellwire.core.events import Event, Received, Started, TimerFired
from bellwire.core.ids import NodeId
from bellwire.core.machine import Handler, Part, SeldomPart, Step, run_notices

NEVER_NS: Final = 1 << 63
"""Later than every deadline."""


class NodeMachine:
    """Routes events, messages and notices to parts; one event at a time, to completion."""

    def __init__(
        self,
        node: NodeId,
        parts: Sequence[Part],
        finish: Callable[[Step], None] | None = None,
        together: Iterable[Sequence[Part]] = (),
        seldom: Sequence[SeldomPart] = (),
    ) -> None:
        """`finish` runs at the end of every step, after the last notice (the GEM publishes there).
        `together`: parts that move one another's deadlines by other ways than words. `seldom`: those of the
        parts that are spared the notices of everyday while they are idle."""
        self.node = node
        self.parts = tuple(parts)
        self.next_deadline_ns: int | None = None
        self._finish = finish
        self._step = Step(node)
        self._bits = _bits_of(self.parts, together)
        self._all_parts = (1 << len(self.parts)) - 1
        self._seldom = {self.parts.index(part): part for part in seldom}
        self._idle = {place for place, part in self._seldom.items() if part.idle()}
        self._events: dict[type, tuple[Handler, ...]] = {}
        self._messages: dict[type, Handler] = {}
        self._notices: dict[type, tuple[Handler, ...]] = {}  # without those that idle parts are spared
        self._stirs: dict[type, int] = {}  # the parts that a word stirs, as bits
        self._busy = 0  # seldom parts that are not idle, as bits
        for place, part in enumerate(self.parts):
            for kind, handler in part.on_events().items():
                self._events[kind] = (*self._events.get(kind, ()), self._rousing(place, handler))
                self._stirs[kind] = self._stirs.get(kind, 0) | self._bits[place]
            for kind, handler in part.on_messages().items():
                if kind in self._messages:
                    raise LocalMisuse(f"{node}: two parts take the message {kind.__name__}")
                self._messages[kind] = self._rousing(place, handler)
                self._stirs[kind] = self._bits[place]
        self._choose_takers()
        self._deadlines = tuple(part.deadline_ns for part in self.parts)
        self._due_ns = [NEVER_NS] * len(self.parts)  # as each part said when it was last asked
        self._stirred_parts: dict[int, tuple[int, ...]] = {}  # places of the parts of these bits
        self._ask(self._all_parts)

    def _choose_takers(self) -> None:
        """Who takes which notice now. One that a part may give but nobody of this role takes falls on the
        floor, by name and on purpose."""
        notices: dict[type, tuple[int, tuple[Handler, ...]]] = {
            kind: (0, ()) for part in self.parts for kind in part.gives()
        }
        for place, part in enumerate(self.parts):
            spared = self._seldom[place].only_when_busy() if place in self._idle else ()
            for kind, handler in part.on_notices().items():
                bits, handlers = notices.get(kind, (0, ()))
                if kind not in spared:
                    taker = self._rousing(place, handler) if place in self._idle else handler
                    bits, handlers = bits | self._bits[place], (*handlers, taker)
                notices[kind] = bits, handlers
        for kind, (bits, handlers) in notices.items():
            self._notices[kind] = handlers
            self._stirs[kind] = bits
        self._busy = sum(1 << place for place in self._seldom if place not in self._idle)

    def _rousing(self, place: int, handler: Handler) -> Handler:
        """The handler of a part; one of an idle part may end its rest."""
        part = self._seldom.get(place)
        if part is None:
            return handler

        def roused(step: Step, word: Any) -> None:
            handler(step, word)
            if place in self._idle and not part.idle():
                self._idle.remove(place)
                self._choose_takers()

        return roused

    def _rest(self) -> None:
        """Parts that have become idle are spared what they are not needed for."""
        idle = {place for place, part in self._seldom.items() if part.idle()}
        if idle != self._idle:
            self._idle = idle
            self._choose_takers()

    def handle(self, now_ns: int, event: Event) -> list[Effect]:
        """Work off one event and everything that follows from it within this node."""
        step = self._step
        step.now_ns = now_ns
        step.effects = []
        # Words have no subclasses, and isinstance that says no costs five times as much with a Struct.
        if type(event) is Received:
            kind = type(event.message)
            handler = self._messages.get(kind)
            stirred = 0
            if handler is not None:
                stirred = self._stirs[kind]
                handler(step, event)
        elif type(event) is TimerFired:
            stirred = self._run_due(step)
        else:
            stirred = self._stirs.get(type(event), 0)
            if type(event) is Started:
                step.incarnation = event.incarnation
                step.seed = event.seed
                stirred = self._all_parts
            for handler in self._events.get(type(event), ()):
                handler(step, event)
        if step.notices:
            stirred |= run_notices(step, self._notices, self._stirs)
        if self._finish is not None:
            self._finish(step)
            if step.notices:
                stirred |= run_notices(step, self._notices, self._stirs)
        self._ask(stirred)
        if stirred & self._busy:
            self._rest()
        earliest_ns = min(self._due_ns, default=NEVER_NS)
        self.next_deadline_ns = earliest_ns if earliest_ns < NEVER_NS else None
        return step.effects

    def _run_due(self, step: Step) -> int:
        """Every part that is due acts, in their order; what one of them does may make a later one due.

        Returns the bits of parts whose deadlines may have moved since they were asked.
        """
        due_ns, now_ns = self._due_ns, step.now_ns
        stirred = 0
        for place, part in enumerate(self.parts):
            if stirred:
                self._ask(stirred)
                stirred = 0
            if due_ns[place] <= now_ns:
                part.on_deadline(step)
                stirred = self._bits[place] | run_notices(step, self._notices, self._stirs)
        return stirred

    def _ask(self, stirred: int) -> None:
        """Ask the parts of these bits when they are due."""
        places = self._stirred_parts.get(stirred)
        if places is None:
            places = tuple(place for place in range(len(self.parts)) if stirred >> place & 1)
            self._stirred_parts[stirred] = places
        due_ns, deadlines = self._due_ns, self._deadlines
        for place in places:
            deadline_ns = deadlines[place]()
            due_ns[place] = NEVER_NS if deadline_ns is None else deadline_ns


def _bits_of(parts: Sequence[Part], together: Iterable[Sequence[Part]]) -> tuple[int, ...]:
    """For each part its own bit, and those of the parts whose deadlines it may move."""
    bits = [1 << place for place in range(len(parts))]
    for group in together:
        places = [place for place, part in enumerate(parts) if any(part is one for one in group)]
        for place in places:
            for other in places:
                bits[place] |= 1 << other
    return tuple(bits)
