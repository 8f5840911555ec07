"""Texts on a map where they cover nothing: one free place after the other, or none.

Owns the search for free places. Refuses to draw.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import cos, pi, sin

from bellwire.planner.reports.canvas import Box, text_width

Segment = tuple[float, float, float, float]

DIRECTIONS = tuple(
    (cos(turn * pi / 8.0), sin(turn * pi / 8.0))
    for turn in (4, 12, 0, 8, 2, 6, 14, 10, 1, 3, 5, 7, 9, 11, 13, 15)
)
"""Below first, then above, right, left, and between."""


@dataclass(slots=True)
class FreeRoom:
    """What is taken on a map. Texts must stay inside `frame`, apart from `boxes` and off `segments`."""

    frame: Box
    boxes: list[Box] = field(default_factory=list[Box])
    segments: list[Segment] = field(default_factory=list[Segment])

    def take(self, x: float, y: float, radius: float) -> None:
        """A disc that no text may cover."""
        self.boxes.append(Box(x - radius, y - radius, x + radius, y + radius))

    def free(self, place: Box, gap: float = 2.0) -> bool:
        """Nothing lies there."""
        inside = (
            place.left >= self.frame.left
            and place.right <= self.frame.right
            and place.top >= self.frame.top
            and place.bottom <= self.frame.bottom
        )
        return (
            inside
            and not any(place.meets(box, gap) for box in self.boxes)
            and not any(place.crossed_by(*segment) for segment in self.segments)
        )

    def place(
        self, x: float, y: float, text: str, size: float, distances: Iterable[float], *, bold: bool = False
    ) -> Box | None:
        """A free place for a text around a point, the nearest distance first; it is taken then."""
        width, height = text_width(text, size, bold=bold), 1.25 * size
        for place in _around(x, y, width, height, distances):
            if self.free(place):
                self.boxes.append(place)
                return place
        return None


def _around(x: float, y: float, width: float, height: float, distances: Iterable[float]) -> Iterator[Box]:
    for distance in distances:
        for right, down in DIRECTIONS:
            middle_x = x + right * (distance + width / 2.0)
            middle_y = y + down * (distance + height / 2.0)
            yield Box(
                middle_x - width / 2.0,
                middle_y - height / 2.0,
                middle_x + width / 2.0,
                middle_y + height / 2.0,
            )
