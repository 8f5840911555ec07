"""The routing of words within a node: which part takes which event, message and notice.

Owns the order of work within a step. Refuses protocol knowledge: a line here that names a field of a part's
state is a fault.
"""

from collections.abc import Callable, Sequence

from bellwire.core.effects import Effect
from bellwire.core.errors import LocalMisuse
from bellwire.core.events import Event, Received, Started, TimerFired
from bellwire.core.ids import NodeId
from bellwire.core.machine import Handler, Part, Step, run_notices


class NodeMachine:
    """Routes events, messages and notices to parts; one event at a time, to completion."""

    def __init__(
        self, node: NodeId, parts: Sequence[Part], finish: Callable[[Step], None] | None = None
    ) -> None:
        """`finish` runs at the end of every step, after the last notice (the GEM publishes there)."""
        self.node = node
        self.parts = tuple(parts)
        self.next_deadline_ns: int | None = None
        self._finish = finish
        self._step = Step(node)
        self._events: dict[type, tuple[Handler, ...]] = {}
        self._messages: dict[type, Handler] = {}
        self._notices: dict[type, tuple[Handler, ...]] = {}
        for part in self.parts:
            for kind, handler in part.on_events().items():
                self._events[kind] = (*self._events.get(kind, ()), handler)
            for kind, handler in part.on_messages().items():
                if kind in self._messages:
                    raise LocalMisuse(f"{node}: two parts take the message {kind.__name__}")
                self._messages[kind] = handler
            for kind, handler in part.on_notices().items():
                self._notices[kind] = (*self._notices.get(kind, ()), handler)
        self._close_table()
        self._deadlines = tuple(part.deadline_ns for part in self.parts)

    def _close_table(self) -> None:
        """A notice that a part may give but nobody of this role takes falls on the floor, by name and on
        purpose."""
        for part in self.parts:
            for kind in part.gives():
                self._notices.setdefault(kind, ())

    def takers(self, kind: type) -> tuple[Handler, ...]:
        """Who takes a notice, for tests of the graph."""
        return self._notices.get(kind, ())

    def handle(self, now_ns: int, event: Event) -> list[Effect]:
        """Work off one event and everything that follows from it within this node."""
        step = self._step
        step.now_ns = now_ns
        step.effects = []
        # Words have no subclasses, and isinstance that says no costs five times as much with a Struct.
        if type(event) is Received:
            handler = self._messages.get(type(event.message))
            if handler is not None:
                handler(step, event)
        elif type(event) is TimerFired:
            for part in self.parts:
                deadline = part.deadline_ns()
                if deadline is not None and deadline <= now_ns:
                    part.on_deadline(step)
                    run_notices(step, self._notices)
        else:
            if type(event) is Started:
                step.incarnation = event.incarnation
                step.seed = event.seed
            for handler in self._events.get(type(event), ()):
                handler(step, event)
        if step.notices:
            run_notices(step, self._notices)
        if self._finish is not None:
            self._finish(step)
            if step.notices:
                run_notices(step, self._notices)
        self._set_deadline()
        return step.effects

    def _set_deadline(self) -> None:
        earliest: int | None = None
        for deadline_ns in self._deadlines:
            deadline = deadline_ns()
            if deadline is not None and (earliest is None or deadline < earliest):
                earliest = deadline
        self.next_deadline_ns = earliest
