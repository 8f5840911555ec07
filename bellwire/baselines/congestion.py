"""How many datagrams a source has under way: window control, rate control, or no control at all.

Owns the numbers of algorithms.md 6.1 (Bacciottini et al., arXiv 2410.08980). Refuses messages and timers: a
control is asked whether it allows another datagram, and told what came of the others.
"""

from typing import Final, Protocol

HOP_ROUND_TRIP_NS: Final = 3_000_000
"""Expected round trip before any was measured, for each hop of the route."""

GAP_FIRST_NS: Final = 48_000_000
GAP_THRESHOLD_NS: Final = 1_200_000
GAP_THRESHOLD_MAX_NS: Final = 1_024_000_000
GAP_SHRINK: Final = 1.1  # of the gap, each round trip of slow start
GROWTH_ROUND_TRIPS: Final = 4000  # K of the linear growth of the rate, in round trips
BACKOFF_ROUND_TRIPS: Final = 3  # at most one reaction to congestion in this time


class RoundTrips:
    """The smoothed round trip time, its deviation, and the time after which a datagram counts as lost."""

    def __init__(self, hops: int) -> None:
        self.mean_ns = float(HOP_ROUND_TRIP_NS * hops)
        self.deviation_ns = 0.0
        self.samples = 0

    def saw(self, sample_ns: int) -> None:
        """A datagram was acknowledged after this long. The deviation is from the mean before the sample."""
        self.deviation_ns = 0.75 * self.deviation_ns + 0.25 * abs(sample_ns - self.mean_ns)
        self.mean_ns = 0.875 * self.mean_ns + 0.125 * sample_ns
        self.samples += 1

    @property
    def timeout_ns(self) -> int:
        """Mean and four deviations."""
        return int(self.mean_ns + 4.0 * self.deviation_ns)


class Control(Protocol):
    """What a source asks before each datagram."""

    def allows(self, under_way: int, now_ns: int) -> bool:
        """Another datagram may leave now."""
        ...

    def sent(self, now_ns: int) -> None:
        """One has left."""
        ...

    def acknowledged(self, trips: RoundTrips, now_ns: int) -> None:
        """One has arrived without a mark."""
        ...

    def congested(self, trips: RoundTrips, now_ns: int) -> None:
        """A mark, or a loss that is taken for congestion."""
        ...

    def ready_ns(self) -> int | None:
        """When the control allows more by time alone; None: it does not."""
        ...


class Unlimited:
    """As many datagrams as there are pairs, or a constant window."""

    def __init__(self, window: int | None = None) -> None:
        """window: datagrams under way at most, None: memory is the only limit."""
        self._window = window

    def allows(self, under_way: int, now_ns: int) -> bool:
        return self._window is None or under_way < self._window

    def sent(self, now_ns: int) -> None:
        """Nothing to remember."""

    def acknowledged(self, trips: RoundTrips, now_ns: int) -> None:
        """Nothing to learn."""

    def congested(self, trips: RoundTrips, now_ns: int) -> None:
        """Nothing to learn."""

    def ready_ns(self) -> int | None:
        return None


class Window:
    """Slow start and linear growth of a window: one more per acknowledgement, later one more per window."""

    def __init__(self, most: int | None = None) -> None:
        """most: the window never grows beyond this, None: no bound."""
        self.size = 1.0
        self.threshold: float | None = None  # None: nothing was ever lost
        self._most = most

    def allows(self, under_way: int, now_ns: int) -> bool:
        return under_way < int(self.size)

    def sent(self, now_ns: int) -> None:
        """The datagrams under way are counted by the source."""

    def acknowledged(self, trips: RoundTrips, now_ns: int) -> None:
        slow_start = self.threshold is None or self.size < self.threshold
        grown = self.size + (1.0 if slow_start else 1.0 / self.size)
        self.size = grown if self._most is None else min(grown, float(self._most))

    def congested(self, trips: RoundTrips, now_ns: int) -> None:
        """The threshold is half of the window, which starts anew."""
        self.threshold = max(self.size / 2.0, 1.0)
        self.size = 1.0

    def ready_ns(self) -> int | None:
        return None


class Rate:
    """A gap between datagrams: geometric shrinking down to a threshold, then linear growth of the rate."""

    def __init__(self) -> None:
        self.gap_ns = float(GAP_FIRST_NS)
        self.threshold_ns = float(GAP_THRESHOLD_NS)
        self._next_ns = 0
        self._grows_ns: int | None = None  # when the next round trip is over; None: none was seen
        self._deaf_until_ns = 0

    def allows(self, under_way: int, now_ns: int) -> bool:
        return now_ns >= self._next_ns

    def sent(self, now_ns: int) -> None:
        self._next_ns = now_ns + int(self.gap_ns)

    def acknowledged(self, trips: RoundTrips, now_ns: int) -> None:
        """The gap changes once each round trip."""
        if self._grows_ns is not None and now_ns < self._grows_ns:
            return
        if self._grows_ns is not None:
            if self.gap_ns > self.threshold_ns:
                self.gap_ns /= GAP_SHRINK
            else:
                scale_ns = GROWTH_ROUND_TRIPS * trips.mean_ns
                self.gap_ns = scale_ns * self.gap_ns / (scale_ns + self.gap_ns)
        self._grows_ns = now_ns + int(trips.mean_ns)

    def congested(self, trips: RoundTrips, now_ns: int) -> None:
        if now_ns < self._deaf_until_ns:
            return
        self._deaf_until_ns = now_ns + int(BACKOFF_ROUND_TRIPS * trips.mean_ns)
        self.threshold_ns = min(4.0 * self.gap_ns, float(GAP_THRESHOLD_MAX_NS))
        self.gap_ns = max(float(GAP_FIRST_NS), 4.0 * self.threshold_ns)

    def ready_ns(self) -> int | None:
        return self._next_ns
