"""The time axis of a pair's life: stretched where much happens, so that a wait of seconds and a hand-over of
microseconds fit one picture.

Owns the places of times on the axis, 0 to 1, and which of them get a label. Half of the width is shared out
by time, half equally to the steps between different moments. Refuses units and letters.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise

LINEAR_SHARE = 0.5


class Axis:
    """Places of times."""

    def __init__(self, times_ns: Iterable[int]) -> None:
        """times_ns: of everything that is drawn; at least one."""
        self.times_ns: Sequence[int] = sorted(set(times_ns))
        first, last = self.times_ns[0], self.times_ns[-1]
        whole_ns, steps = last - first, len(self.times_ns) - 1
        self._places = [0.0]
        for before, after in pairwise(self.times_ns):
            width = LINEAR_SHARE * (after - before) / whole_ns + (1 - LINEAR_SHARE) / steps
            self._places.append(self._places[-1] + width)

    def place(self, at_ns: int) -> float:
        """0 at the first time, 1 at the last; times outside stand at the edges."""
        times = self.times_ns
        index = bisect_right(times, at_ns) - 1
        if index < 0:
            return 0.0
        if index >= len(times) - 1:
            return min(1.0, self._places[-1])
        share = (at_ns - times[index]) / (times[index + 1] - times[index])
        return self._places[index] + share * (self._places[index + 1] - self._places[index])

    def labelled(self, apart: float) -> list[int]:
        """Times that may have a label where labels must stand `apart` (a share of the width) at least."""
        chosen: list[int] = []
        for at_ns in self.times_ns:
            if not chosen or self.place(at_ns) - self.place(chosen[-1]) >= apart:
                chosen.append(at_ns)
        return chosen


def span_text(ns: int) -> str:
    """A time span for people, three or four digits and its unit."""
    size = abs(ns)
    for limit, factor, unit in ((1_000, 1, "ns"), (1_000_000, 1e3, "us"), (1_000_000_000, 1e6, "ms")):
        if size < limit:
            return f"{ns / factor:.4g} {unit}"
    return f"{ns / 1e9:.4g} s"
