"""Decisions at fixed moments only: once in every attempt, after all that this attempt can bring is known.

Owns the grid of moments. Refuses timers and decisions. Links that attempt in step with each other make a
network that changes in slots; a policy for such a network decides on the state of a whole slot, and not after
each of the events that come at one instant.
"""

from typing import NamedTuple


class Pace(NamedTuple):
    """Moments lie `after_ns` after a birth, and whole periods from there."""

    period_ns: int
    after_ns: int

    def is_due(self, born_ns: int, now_ns: int) -> bool:
        """True at a moment of the grid on which `born_ns` lies."""
        return now_ns >= born_ns and (now_ns - born_ns - self.after_ns) % self.period_ns == 0

    def next_ns(self, born_ns: int, now_ns: int) -> int:
        """The first moment after now."""
        past_ns = now_ns - born_ns - self.after_ns
        return now_ns + self.period_ns - past_ns % self.period_ns
