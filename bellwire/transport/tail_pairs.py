"""All pairs that a tail knows: by the head's end, by the own end, and how many wait for what.

Owns the table and its limits. Refuses decisions and messages (tail.py, tail_words.py).
"""

from typing import Final, Literal

from bellwire.core.ids import End, NodeId, RequestId
from bellwire.core.machine import Step
from bellwire.transport.delivery_pairs import TailPair
from bellwire.transport.delivery_states import TAIL_ROWS
from bellwire.transport.handover import Handover
from bellwire.transport.transitions import Transitions

ASKED_MAX: Final = 1024
"""Offers that the own ledger does not show yet; more are refused, the head asks again."""

MEASURED_MAX: Final = 4096
"""Measured ends without an offer; the oldest is forgotten beyond this."""


class TailPairs:
    """The volatile state of a tail."""

    def __init__(self, handover: Handover) -> None:
        self._handover = handover
        self.transitions = Transitions("delivery tail", TAIL_ROWS)
        self.by_head: dict[End, TailPair] = {}
        self.by_own: dict[End, TailPair] = {}
        self._measured: dict[End, None] = {}  # head ends in state measured, oldest first
        self._asked = 0

    def state(self, request: RequestId, head_end: End) -> str:
        """Of a pair, or of its record when the pair is done; "absent" when this node knows neither."""
        pair = self.by_head.get(head_end)
        if pair is not None:
            return pair.state
        record = self._handover.book.get(request, head_end)
        return "absent" if record is None else record.state

    def open(
        self,
        step: Step,
        request: RequestId,
        peer: NodeId,
        mode: Literal["keep", "measure"],
        head_end: End,
        tail_end: End,
    ) -> TailPair:
        """A pair that this node hears of, or sees, for the first time."""
        pair = TailPair(request, peer, mode, head_end, tail_end, "absent", step.now_ns)
        self.by_head[head_end] = pair
        self.by_own[tail_end] = pair
        return pair

    def move(self, pair: TailPair, happened: str) -> None:
        """Follow the table for something that happened here."""
        self.set(pair, self.transitions.after(pair.state, happened))

    def set(self, pair: TailPair, state: str) -> None:
        """Enter a state that the table gave."""
        self._asked += (state == "asked") - (pair.state == "asked")
        pair.state = state

    def no_room_for_asking(self) -> bool:
        """True while ASKED_MAX offers wait for the ledger."""
        return self._asked >= ASKED_MAX

    def note_measured(self, pair: TailPair) -> TailPair | None:
        """A measured end waits for its offer; returns the oldest when it is one too many, else None."""
        self._measured[pair.head_end] = None
        return self.by_head[next(iter(self._measured))] if len(self._measured) > MEASURED_MAX else None

    def note_offered(self, pair: TailPair) -> None:
        """The offer of a measured end has come."""
        del self._measured[pair.head_end]

    def forget(self, step: Step, pair: TailPair) -> None:
        """The pair is done or given up; a qubit that is still here ends."""
        del self.by_head[pair.head_end]
        if self.by_own.get(pair.tail_end) is pair:
            del self.by_own[pair.tail_end]
        self._measured.pop(pair.head_end, None)
        self._handover.alarms.clear(("tail", pair.head_end))
        if pair.qubit_here:
            pair.qubit_here = False
            self._handover.release(step, pair.tail_end, "dead")
