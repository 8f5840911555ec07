"""The contract of every machine, and the step in which its parts work.

Owns `Machine`, `Part`, `Step` and the limit on notices. Refuses clocks, chance, logging and I/O: a machine
is told the time, and everything it wants done is an effect (architecture.md section 3).
"""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from bellwire.core.effects import Effect, Send, Urgency
from bellwire.core.errors import LocalMisuse
from bellwire.core.events import Event
from bellwire.core.ids import NodeId
from bellwire.core.messages import Message
from bellwire.core.notices import Notice

NOTICES_PER_STEP_MAX = 64
"""More notices than this for one event means a loop between parts: LocalMisuse with the trail. A node may
add a constant number for each of its memory slots, because one event (a lost memory, a withdrawn plan) may
touch them all."""

TRAIL_LENGTH = 8
"""Notices before the limit that the error names, besides the one that exceeded it."""


class Machine(Protocol):
    """A sans-I/O machine: one event in, orders out; deadlines handed out, never waited for."""

    next_deadline_ns: int | None

    def handle(self, now_ns: int, event: Event) -> list[Effect]: ...


class Step:
    """One event and the notices that follow from it; parts write their orders and news here."""

    __slots__ = ("effects", "incarnation", "node", "notices", "notices_max", "now_ns", "operations", "seed")

    def __init__(self, node: NodeId) -> None:
        self.node = node
        self.incarnation = 0
        self.seed = 0
        self.operations = 0
        self.notices_max = NOTICES_PER_STEP_MAX
        self.now_ns = 0
        self.effects: list[Effect] = []
        self.notices: deque[Notice] = deque()

    def order(self, effect: Effect) -> None:
        """Give an order to the host."""
        self.effects.append(effect)

    def tell(self, notice: Notice) -> None:
        """Tell the other parts of this node."""
        self.notices.append(notice)

    def send(self, to: NodeId, message: Message, urgency: Urgency = "control") -> None:
        """Order a message to a peer."""
        self.effects.append(Send(to=to, message=message, urgency=urgency))

    def operation(self) -> int:
        """A fresh operation number of this incarnation (device orders)."""
        self.operations += 1
        return self.operations


Handler = Callable[[Step, Any], None]
"""A bound method of a part that takes the step and one word of the type it is registered for."""


class Part(Protocol):
    """One protocol part of a node. Tables, not inheritance, say what it takes and gives."""

    def on_events(self) -> Mapping[type, Handler]:
        """Events this part takes, by type; each event type of a node has exactly one taker or a listed
        few."""
        ...

    def on_messages(self) -> Mapping[type, Handler]:
        """Messages this part takes, by type; the handler gets the whole `Received` event."""
        ...

    def on_notices(self) -> Mapping[type, Handler]:
        """Notices this part takes, by type."""
        ...

    def gives(self) -> frozenset[type]:
        """Notice types this part may tell."""
        ...

    def deadline_ns(self) -> int | None:
        """The earliest of this part's deadlines. Only this part's own handlers move it, and those of
        parts that the machine names together with it."""
        ...

    def on_deadline(self, step: Step) -> None:
        """Called when step.now_ns has reached deadline_ns(); handles everything that is due."""
        ...


class SeldomPart(Part, Protocol):
    """A part that few requests need: while it is idle, the machine spares it the notices of everyday."""

    def idle(self) -> bool:
        """True while nothing here could make a difference: no plan, nothing under way, no deadline."""
        ...

    def only_when_busy(self) -> frozenset[type]:
        """Notices that an idle part would do nothing about. Any other word may make it busy."""
        ...


def run_notices(
    step: Step, takers: Mapping[type, tuple[Handler, ...]], stirs: Mapping[type, int] | None = None
) -> int:
    """Work off the step's notices first-in first-out; every notice must have at least one taker.

    stirs: for each notice type the parts whose deadlines its takers may move, as bits. Returns those of all
    notices that were worked off.
    """
    notices = step.notices
    stirred = 0
    handled = 0
    trail_from = step.notices_max - TRAIL_LENGTH
    trail: list[str] = []
    while notices:
        notice = notices.popleft()
        handled += 1
        if handled > trail_from:
            trail.append(type(notice).__name__)
            if handled > step.notices_max:
                notices.clear()
                raise LocalMisuse(
                    f"{step.node}: more than {step.notices_max} notices in one step, last: {' '.join(trail)}"
                )
        handlers = takers.get(type(notice))
        if handlers is None:
            raise LocalMisuse(f"{step.node}: nobody takes {type(notice).__name__}")
        if stirs is not None:
            stirred |= stirs[type(notice)]
        for handler in handlers:
            handler(step, notice)
    return stirred
