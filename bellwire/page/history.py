"""What links have done of late: heralds, fidelity and visibility, fine for minutes and coarse for half a day.

Owns the rings and their bounds, which no run outgrows. Refuses charts. A point that is not known is None, so
that a gap in what was heard is a gap in the line.
"""

from collections import deque
from dataclasses import dataclass
from statistics import fmean
from typing import Final, Literal

FINE_S: Final = 5
"""Seconds of one fine point."""
FINE_KEPT: Final = 120
COARSE_S: Final = 300
COARSE_KEPT: Final = 144
LINE_POINTS: Final = 60
"""Of the little line in the table."""

Figure = Literal["heralds_hz", "fidelity", "visibility"]
FIGURES: Final[tuple[Figure, ...]] = ("heralds_hz", "fidelity", "visibility")
Sample = tuple[float | None, float | None, float | None]
Point = tuple[int, float | None, float | None, float | None]
"""Unix milliseconds, then the figures."""


@dataclass(slots=True)
class _Bin:
    begins_s: int
    samples: list[Sample]


class Ring:
    """Means over equal stretches of time, the newest kept."""

    def __init__(self, bin_s: int, kept: int) -> None:
        self.bin_s = bin_s
        self._points: deque[Point] = deque(maxlen=kept)
        self._open: _Bin | None = None

    def add(self, at_ns: int, sample: Sample) -> None:
        """A sample; stretches in which nothing was sampled become one gap."""
        begins_s = at_ns // 1_000_000_000 // self.bin_s * self.bin_s
        if self._open is not None and begins_s != self._open.begins_s:
            self._points.append(_mean(self._open))
            if begins_s > self._open.begins_s + self.bin_s:
                self._points.append((self._open.begins_s * 1000 + self.bin_s * 1000, None, None, None))
            self._open = None
        if self._open is None:
            self._open = _Bin(begins_s, [])
        self._open.samples.append(sample)

    def points(self) -> tuple[Point, ...]:
        """The oldest first; a stretch that has not ended yet is not among them."""
        return tuple(self._points)


def _mean(one: _Bin) -> Point:
    columns = [
        [sample[number] for sample in one.samples if sample[number] is not None] for number in range(3)
    ]
    means = [fmean(value for value in column if value is not None) if column else None for column in columns]
    return (one.begins_s * 1000, means[0], means[1], means[2])


class LinkHistory:
    """Of one link."""

    def __init__(self) -> None:
        self.fine = Ring(FINE_S, FINE_KEPT)
        self.coarse = Ring(COARSE_S, COARSE_KEPT)
        self._line: deque[float | None] = deque(maxlen=LINE_POINTS)

    def add(
        self, at_ns: int, *, heralds_hz: float | None, fidelity: float | None, visibility: float | None
    ) -> None:
        """As it was at one look."""
        sample = (heralds_hz, fidelity, visibility)
        self.fine.add(at_ns, sample)
        self.coarse.add(at_ns, sample)
        self._line.append(heralds_hz)

    def line(self) -> tuple[float | None, ...]:
        """Heralds per second at the latest looks, for the little line."""
        return tuple(self._line)
