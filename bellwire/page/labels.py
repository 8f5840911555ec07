"""Where names and rates stand on a map, so that they cover neither each other nor what is drawn.

Owns the choice: every label has a few places beside its node or link, and takes the one that covers least,
one label after the other, the most confined first. Refuses shapes and texts (map_drawing.py). Widths of texts
are estimated: a drawing knows no fonts.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, Literal, NamedTuple

Point = tuple[float, float]
Anchor = Literal["start", "middle", "end"]

CHARACTER: Final = 7.3
"""Mean width of a character at 14 px, in units of the drawing."""
ASCENT: Final = 11.0
DESCENT: Final = 4.0
ROOM: Final = 2.0
"""Kept free around a text."""


class Box(NamedTuple):
    """What a text covers."""

    left: float
    top: float
    right: float
    bottom: float

    def shared_with(self, other: "Box") -> float:
        """Area that both cover."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return across * down if across > 0 and down > 0 else 0.0


class Spot(NamedTuple):
    """A place for a text: where its base line is anchored."""

    x: float
    y: float
    anchor: Anchor


class Label(NamedTuple):
    """A text with the point that it belongs to. `away`: of a link, how its normal leads, as (dx, dy); None:
    the point is a node with this radius."""

    text: str
    at: Point
    radius: float = 0.0
    away: Point | None = None


def box_of(text: str, spot: Spot) -> Box:
    """The estimated box of a text at a place, with some room."""
    width = CHARACTER * len(text)
    left = spot.x - {"start": 0.0, "middle": width / 2, "end": width}[spot.anchor]
    return Box(left - ROOM, spot.y - ASCENT - ROOM, left + width + ROOM, spot.y + DESCENT + ROOM)


@lru_cache(maxsize=32)
def placed(
    labels: tuple[Label, ...],
    circles: tuple[tuple[Point, float], ...],
    ways: tuple[tuple[Point, Point], ...],
    size: Point,
) -> tuple[Spot | None, ...]:
    """A place for each label, in their order; None for a rate that has no room.

    `circles`: centre and radius of nodes; `ways`: links from node to node; `size`: of the drawing.
    """
    solid = [Box(x - r, y - r, x + r, y + r) for (x, y), r in circles]
    order = sorted(
        range(len(labels)), key=lambda one: (labels[one].away is not None, -_crowd(labels[one], ways))
    )
    chosen: dict[int, Spot] = {}
    taken: list[Box] = []
    for one in order:
        label = labels[one]
        spots = list(_spots(label))
        costs = [
            place + _cost(box_of(label.text, spot), solid, taken, ways, size)
            for place, spot in enumerate(spots)
        ]
        best = min(range(len(spots)), key=costs.__getitem__)
        if label.away is not None and costs[best] >= NO_ROOM:
            continue
        chosen[one] = spots[best]
        taken.append(box_of(label.text, spots[best]))
    return tuple(chosen.get(one) for one in range(len(labels)))


NO_ROOM: Final = 60.0
"""A rate that would cover more than this is left out: the table beside the map has it."""


def _spots(label: Label) -> Iterator[Spot]:
    """Places beside a point, the most usual ones first."""
    x, y = label.at
    if label.away is None:
        beside, below = label.radius + 6.0, label.radius + 17.0
        yield Spot(x, y + below, "middle")
        yield Spot(x, y - label.radius - 7.0, "middle")
        yield Spot(x + beside, y + 4.0, "start")
        yield Spot(x - beside, y + 4.0, "end")
        for up in (y + below - 4.0, y - label.radius - 3.0):
            yield Spot(x + beside - 4.0, up, "start")
            yield Spot(x - beside + 4.0, up, "end")
        return
    across, down = label.away
    for sign in (1.0, -1.0):
        for far in (12.0, 20.0):
            dx, dy = sign * far * across, sign * far * down
            anchor: Anchor = "middle" if abs(across) < 0.4 else "start" if dx > 0 else "end"
            yield Spot(x + dx, y + dy + 4.0, anchor)


def _crowd(label: Label, ways: Sequence[tuple[Point, Point]]) -> int:
    return sum(label.at in way for way in ways)


def _cost(
    box: Box,
    solid: Sequence[Box],
    taken: Sequence[Box],
    ways: Sequence[tuple[Point, Point]],
    size: Point,
) -> float:
    """What a text at this place would cover; about square units, other texts and nodes counted more."""
    outside = max(0.0, -box.left, -box.top, box.right - size[0], box.bottom - size[1])
    return (
        100.0 * outside
        + 10.0 * sum(box.shared_with(other) for other in (*solid, *taken))
        + 6.0 * sum(_length_within(way, box) for way in ways)
    )


def _length_within(way: tuple[Point, Point], box: Box) -> float:
    """Length of a line within a box (Liang and Barsky 1984)."""
    (x0, y0), (x1, y1) = way
    dx, dy = x1 - x0, y1 - y0
    enters, leaves = 0.0, 1.0
    for step, room in (
        (-dx, x0 - box.left),
        (dx, box.right - x0),
        (-dy, y0 - box.top),
        (dy, box.bottom - y0),
    ):
        if step == 0.0:
            if room < 0.0:
                return 0.0
        elif step < 0.0:
            enters = max(enters, room / step)
        else:
            leaves = min(leaves, room / step)
    return float(max(0.0, leaves - enters) * (dx * dx + dy * dy) ** 0.5)
