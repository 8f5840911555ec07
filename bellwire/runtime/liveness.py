"""Whether a peer is there: up, suspect after 3 silent heartbeat intervals, down after 6.

Owns the verdict about one peer and its incarnation. Refuses consequences: the machine is told, and decides.
"""

from typing import Literal

SUSPECT_INTERVALS = 3
DOWN_INTERVALS = 6

PeerState = Literal["up", "suspect", "down"]


class Liveness:
    """What this process believes about one peer."""

    def __init__(self, interval_ns: int) -> None:
        self._interval_ns = interval_ns
        self._heard_ns = 0
        self.state: PeerState | None = None  # None: never heard of
        self.incarnation: int | None = None  # None: never heard of

    def heard(self, incarnation: int, now_ns: int) -> Literal["same", "risen", "begun", "ended"]:
        """A frame of this incarnation arrived.

        Returns "begun" for a new incarnation, "ended" for one that is over (its frame must be dropped),
        "risen" when the verdict returned to up, "same" otherwise.
        """
        if self.incarnation is not None and incarnation < self.incarnation:
            return "ended"
        self._heard_ns = now_ns
        if self.incarnation is None or incarnation > self.incarnation:
            self.incarnation = incarnation
            self.state = "up"
            return "begun"
        if self.state != "up":
            self.state = "up"
            return "risen"
        return "same"

    def judge(self, now_ns: int) -> PeerState | None:
        """The new verdict if silence has changed it, else None."""
        if self.state is None or self.state == "down":
            return None
        silence_ns = now_ns - self._heard_ns
        verdict: PeerState = self.state
        if silence_ns > DOWN_INTERVALS * self._interval_ns:
            verdict = "down"
        elif silence_ns > SUSPECT_INTERVALS * self._interval_ns:
            verdict = "suspect"
        if verdict == self.state:
            return None
        self.state = verdict
        return verdict
