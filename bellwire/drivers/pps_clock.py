"""From the time of a tagger to unix time, by the edges of a PPS on one of its inputs.

Owns the label of each second and how long it may be believed. Sans I/O. Refuses to guess: the first label
needs two edges one second apart, every label must agree with the host clock as far as causality goes (no tag
arrives before it happened), and a missing edge ends what is known until the next one. An edge beside its
second is none: a time server that jumps costs attempts, never a wrong attempt number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SECOND_PS = 1_000_000_000_000
SECOND_NS = 1_000_000_000
TOLERANCE = 1e-4
"""Rate of a tagger's own crystal against the PPS; 50 ppm is common."""
WANDER = 2e-7
"""Change of that rate from one second to the next, and jitter of the PPS; a receiver's is below 100 ns."""
HOST_AHEAD_NS = 100_000_000
"""The host clock may be so far behind the PPS, or an edge seems to arrive before it happened."""
LATE_NS_MAX = 5_000_000_000
"""A tag that arrives later than this says nothing about its second."""
HOLDOVER_S = 10
"""So many missing edges in a row leave the labels believable at the next one."""


@dataclass(frozen=True, slots=True)
class Second:
    """Unix second `number` began at `at_ps` of the tagger, whose second is `length_ps` long just now."""

    number: int
    at_ps: int
    length_ps: float

    @property
    def until_ps(self) -> int:
        """The next edge must have come by then."""
        return self.at_ps + round(self.length_ps * (1 + WANDER))

    def since_ps(self, time_ps: int, epoch_s: int) -> int:
        """Picoseconds since unix second `epoch_s` of one time of the tagger."""
        passed_ps = time_ps - self.at_ps
        correction_ps = round(passed_ps * ((SECOND_PS - self.length_ps) / self.length_ps))
        return (self.number - epoch_s) * SECOND_PS + passed_ps + correction_ps

    def all_since_ps(self, time_ps: NDArray[np.int64], epoch_s: int) -> NDArray[np.int64]:
        """The same for many times, shape (n,)."""
        import numpy as np

        passed_ps = time_ps - self.at_ps
        correction = np.rint(passed_ps * ((SECOND_PS - self.length_ps) / self.length_ps)).astype(np.int64)
        found: NDArray[np.int64] = passed_ps + correction + (self.number - epoch_s) * SECOND_PS
        return found


class PpsClock:
    """The second that the last believable edge began; None while nothing is known.

    `edges_strange`: edges that were no PPS, by their distance. `edges_missing`: seconds without an edge.
    `labels_refused`: how often the host clock contradicted the labels, which then begin anew.
    """

    def __init__(self) -> None:
        self.second: Second | None = None
        self.edges_strange = 0
        self.edges_missing = 0
        self.labels_refused = 0
        self._candidate: tuple[int, int] | None = None  # time of the tagger, label

    def restart(self) -> None:
        """The time of the tagger began anew: nothing of the old one holds."""
        self.second = None
        self._candidate = None

    def take(self, time_ps: int, latest_ns: int) -> None:
        """An edge of the PPS input. `latest_ns`: unix ns by the host clock, not before the edge happened."""
        if self.second is None:
            self._begin(time_ps, latest_ns)
        else:
            self._go_on(self.second, time_ps, latest_ns)

    def _begin(self, time_ps: int, latest_ns: int) -> None:
        label = (latest_ns + HOST_AHEAD_NS) // SECOND_NS
        before, self._candidate = self._candidate, (time_ps, label)
        if before is None:
            return
        passed_ps = time_ps - before[0]
        if label != before[1] + 1 or not _is_whole(passed_ps, SECOND_PS, 1, TOLERANCE):
            self.edges_strange += 1
            return
        self.second = Second(label, time_ps, float(passed_ps))

    def _go_on(self, second: Second, time_ps: int, latest_ns: int) -> None:
        passed_ps = time_ps - second.at_ps
        seconds = round(passed_ps / second.length_ps)
        if not 1 <= seconds <= HOLDOVER_S or not _is_whole(passed_ps, second.length_ps, seconds, WANDER):
            self.edges_strange += 1
            if seconds > HOLDOVER_S:
                self.restart()
                self._begin(time_ps, latest_ns)
            return
        self.edges_missing += seconds - 1
        number = second.number + seconds
        late_ns = latest_ns - number * SECOND_NS
        if not -HOST_AHEAD_NS <= late_ns <= LATE_NS_MAX:
            self.labels_refused += 1
            self.restart()
            self._begin(time_ps, latest_ns)
            return
        self.second = Second(number, time_ps, passed_ps / seconds)


def _is_whole(passed_ps: int, length_ps: float, seconds: int, tolerance: float) -> bool:
    return abs(passed_ps - seconds * length_ps) <= tolerance * seconds * SECOND_PS
