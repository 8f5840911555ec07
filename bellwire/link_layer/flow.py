"""Flow control by free memory: attempts only where the other end can take part (algorithms.md 10.2).

Owns what one end believes of the memories of the other, and the other end's knowledge of that belief, by
which it tells only what is news. Refuses slots and arming. Used where memories or emitters serve other lanes
and links too: there an attempt without a partner wastes what another lane could use. Elsewhere every lane has
a memory of its own at both ends, and attempts of one end alone cost nothing.

The bound of algorithms.md, n <= e_free / (p + sqrt(ln(1/eps) / (2 n))) attempts in flight, is for attempts
that need a memory only when they succeed. A heralded keep attempt holds its memory from its start until its
herald, whatever comes of it: p = 1, without chance, and the bound is n <= e_free. That is what is kept here;
how many attempts of a lane are in flight one after the other is set by its period.
"""

from collections.abc import Sequence

from bellwire.core.link_messages import MemoryFree

TRUST_SHARE = 4
"""What was heard is believed for lease_ns / this, then the other end is taken to have memories again: a lost
message costs no more than that."""


class Belief:
    """What an end is believed to have free for one link. Nothing known: every lane can take part."""

    def __init__(self, lanes: int, *, in_bank: bool, trust_ns: int) -> None:
        """`in_bank`: the memories of that end are a bank; else each lane has one of its own."""
        self._all = range(lanes)
        self._in_bank = in_bank
        self._trust_ns = trust_ns
        self.forget()

    def forget(self) -> None:
        """Nothing is known."""
        self._run: int | None = None
        self._attempt = -1
        self.lanes: frozenset[int] | None = None
        self.free = 0
        self._until_ns: int | None = None

    def deadline_ns(self) -> int | None:
        """When the belief is given up, if it keeps any lane from attempting."""
        return None if self.enough() else self._until_ns

    def expire(self, now_ns: int) -> bool:
        """Give up an old belief; True when that was due."""
        due = self._until_ns is not None and self._until_ns <= now_ns
        if due:
            self.forget()
        return due

    def told(self, message: MemoryFree, now_ns: int) -> None:
        """That end said so. An older word than what is believed is ignored."""
        if message.run == self._run and message.attempt < self._attempt:
            return
        self._run = message.run
        self._attempt = message.attempt
        self.lanes = frozenset(message.lanes)
        self.free = message.free
        self._until_ns = now_ns + self._trust_ns

    def born(self, run: int, attempt: int, lane: int, now_ns: int) -> None:
        """Both ends made a pair: one memory less, unless that end has counted it already."""
        if run == self._run and attempt <= self._attempt:
            return
        if self.lanes is None:
            if self._in_bank:
                return  # how many more it has is not known
            self.lanes = frozenset(self._all)
        self._run = run
        self._attempt = attempt
        self.lanes -= {lane}
        self._until_ns = now_ns + self._trust_ns

    def takes_part(self, lane: int, busy: Sequence[int]) -> bool:
        """True when that end can attempt on a lane while the lanes in `busy` attempt here."""
        if self.lanes is None or self.enough() or lane in self.lanes:
            return True
        return sum(one not in self.lanes for one in busy) < self.free

    def order(self) -> list[int]:
        """All lanes, those first on which that end is at work."""
        known = self.lanes
        if not known or len(self._all) == 1:
            return list(self._all)
        return sorted(self._all, key=lambda lane: (lane not in known, lane))

    def says(self, lanes: Sequence[int], free: int) -> bool:
        """True when these are the memories that end is believed to have. Which lanes it serves matters only
        where there are too few for all."""
        if self.enough() or len(lanes) + free >= len(self._all):
            return self.enough() and len(lanes) + free >= len(self._all)
        return frozenset(lanes) == self.lanes and free == self.free

    def enough(self) -> bool:
        """True when that end is believed to have a memory for every lane."""
        return self.lanes is None or len(self.lanes) + self.free >= len(self._all)
