"""The map of a network with routes on it.

Owns scale, links, nodes and which names are written where. Refuses places (layout.py) and what a route means.
Every node has its name as a hint; names are also written where they cover nothing, those on routes first.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from bellwire.core.ids import NodeId
from bellwire.planner.reports.canvas import ACCENT, FAINT, INK, PANEL, PAPER, QUIET, Box, Canvas
from bellwire.planner.reports.labels import FreeRoom
from bellwire.planner.reports.layout import Places, places_of
from bellwire.planner.reports.quantities import length_text
from bellwire.planner.topology import Pair, Topology

Role = Literal["end", "member", "swap"]
"""What a node does in the plan: source or destination, member of a state, or a node that swaps or fuses."""

PADDING: Final = 44.0
HEIGHT_MIN: Final = 140.0
HEIGHT_MAX: Final = 560.0
NAMES_MAX: Final = 60
"""Larger networks show the names on routes only; the others are hints."""

DOTS: Final = "2 7"
"""Pattern of a stored pair."""

NEAR: Final = (9.0, 13.0, 19.0)
FAR: Final = (*NEAR, 27.0, 38.0, 52.0, 70.0, 95.0)
LEADER: Final = 20.0
"""A name further from its node than this has a thin line to it."""


@dataclass(frozen=True, slots=True)
class DrawnRoute:
    """A link or a stored pair that a plan uses, and how it is drawn."""

    ends: Pair
    colour: str = ACCENT
    stored: bool = False
    dashes: str | None = None  # of a link; stored pairs have dots


class NetworkMap:
    """A network on a frame of a canvas."""

    def __init__(
        self,
        topology: Topology,
        width: float,
        routes: Sequence[DrawnRoute],
        roles: Mapping[NodeId, Role],
    ) -> None:
        self._topology, self._routes, self._roles = topology, routes, roles
        places, self._true = places_of(topology)
        xs, ys = zip(*places.values(), strict=True)
        self._extent = (max(xs) - min(xs), max(ys) - min(ys))
        self._corner = (min(xs), max(ys))
        self._places: Places = places
        self.width = width
        wide, high = self._extent
        wanted = (width - 2 * PADDING) * high / wide + 2 * PADDING if wide > 0.0 else HEIGHT_MAX
        self.height = min(HEIGHT_MAX, max(HEIGHT_MIN, wanted))
        small = len(places) > NAMES_MAX
        self._radius = 2.6 if len(places) > 250 else 3.4 if small else 4.6

    def draw(self, canvas: Canvas, left: float, top: float) -> None:
        """Links first, then routes, nodes, and names."""
        frame = Box(left, top, left + self.width, top + self.height)
        canvas.box(frame, PANEL, "#e2e8f0", radius=10.0)
        spots = self._spots(frame)
        room = FreeRoom(Box(left + 6.0, top + 6.0, frame.right - 6.0, frame.bottom - 6.0))
        self._draw_links(canvas, spots)
        self._draw_routes(canvas, spots, room)
        self._draw_nodes(canvas, spots, room)
        if self._true:
            self._draw_scale(canvas, frame, room)
        self._write_names(canvas, spots, room)
        if len({route.colour for route in self._routes}) == 1:
            self._write_lengths(canvas, spots, room)

    def _spots(self, frame: Box) -> Places:
        wide, high = self._extent
        inner_w, inner_h = self.width - 2 * PADDING, self.height - 2 * PADDING
        factors = [room / extent for room, extent in ((inner_w, wide), (inner_h, high)) if extent > 0.0]
        self._factor = min(factors, default=1.0)
        x0 = frame.left + (self.width - self._factor * wide) / 2.0
        y0 = frame.top + (self.height - self._factor * high) / 2.0
        return {
            name: (x0 + self._factor * (x - self._corner[0]), y0 + self._factor * (self._corner[1] - y))
            for name, (x, y) in self._places.items()
        }

    def _draw_links(self, canvas: Canvas, spots: Places) -> None:
        many = len(self._topology.links) > 200
        for a, b in self._topology.links:
            canvas.line([spots[a], spots[b]], FAINT, 0.8 if many else 1.2)

    def _draw_routes(self, canvas: Canvas, spots: Places, room: FreeRoom) -> None:
        """Routes that share a link run side by side on it; stored pairs are dashed."""
        shared: dict[Pair, list[DrawnRoute]] = {}
        for route in self._routes:
            shared.setdefault(route.ends, []).append(route)
        for (a, b), beside in shared.items():
            (x1, y1), (x2, y2) = spots[a], spots[b]
            length = math.hypot(x2 - x1, y2 - y1) or 1.0
            width = 4.0 if len(beside) == 1 else max(1.6, 3.2 - 0.2 * len(beside))
            across = (-(y2 - y1) / length * (width + 0.8), (x2 - x1) / length * (width + 0.8))
            for index, route in enumerate(beside):
                shift = index - (len(beside) - 1) / 2.0
                dx, dy = shift * across[0], shift * across[1]
                dashes = DOTS if route.stored else route.dashes
                canvas.line([(x1 + dx, y1 + dy), (x2 + dx, y2 + dy)], route.colour, width, dashes=dashes)
            room.segments.append((x1, y1, x2, y2))

    def _draw_nodes(self, canvas: Canvas, spots: Places, room: FreeRoom) -> None:
        for name, (x, y) in spots.items():
            if name not in self._roles:
                canvas.circle(x, y, self._radius, PAPER, "#94a3b8", 1.2, hint=name)
                room.take(x, y, self._radius)
        for name, role in self._roles.items():
            x, y = spots[name]
            draw_mark(canvas, role, x, y, 1.0, hint=name)
            room.take(x, y, 9.0)

    def _write_names(self, canvas: Canvas, spots: Places, room: FreeRoom) -> None:
        order = {"end": 0, "member": 0, "swap": 1}
        for name, role in sorted(self._roles.items(), key=lambda each: order[each[1]]):
            x, y = spots[name]
            bold = role != "swap"
            place = room.place(x, y, name, 13.0, FAR, bold=bold)
            if place is None:
                continue
            text_x, text_y = (place.left + place.right) / 2.0, place.bottom - 4.5
            if _apart(place, x, y) > LEADER:
                canvas.line([(x, y), _nearest(place, x, y)], QUIET, 0.8)
            canvas.text(text_x, text_y, name, 13.0, INK, anchor="middle", bold=bold, halo=True)
        if len(spots) > NAMES_MAX:
            return
        for name, (x, y) in spots.items():
            if name not in self._roles:
                place = room.place(x, y, name, 10.0, (6.0, 9.0))
                if place is not None:
                    middle = (place.left + place.right) / 2.0
                    canvas.text(middle, place.bottom - 3.5, name, 10.0, QUIET, anchor="middle", halo=True)

    def _write_lengths(self, canvas: Canvas, spots: Places, room: FreeRoom) -> None:
        for a, b in dict.fromkeys(route.ends for route in self._routes if not route.stored):
            (x1, y1), (x2, y2) = spots[a], spots[b]
            text = length_text(self._topology.links[a, b].length_km)
            place = room.place((x1 + x2) / 2.0, (y1 + y2) / 2.0, text, 10.5, (4.0, 7.0, 11.0))
            if place is not None:
                middle = (place.left + place.right) / 2.0
                canvas.text(middle, place.bottom - 3.5, text, 10.5, QUIET, anchor="middle", halo=True)

    def _draw_scale(self, canvas: Canvas, frame: Box, room: FreeRoom) -> None:
        """A bar of a round number of kilometres, about a tenth of the frame, in the freest lower corner."""
        wanted_km = self.width / 9.0 / self._factor
        power = 10.0 ** math.floor(math.log10(wanted_km))
        km = max(step * power for step in (1.0, 2.0, 5.0) if step * power <= wanted_km)
        length = km * self._factor
        spots = ((frame.right - 16.0 - length, frame.bottom - 14.0), (frame.left + 16.0, frame.bottom - 14.0))
        for x, y in spots:
            place = Box(x - 4.0, y - 20.0, x + max(length, 40.0) + 4.0, y + 6.0)
            if not any(place.meets(box) for box in room.boxes):
                room.boxes.append(place)
                canvas.line([(x, y - 3.0), (x, y), (x + length, y), (x + length, y - 3.0)], QUIET, 1.2)
                middle = x + length / 2.0
                canvas.text(middle, y - 6.0, length_text(km), 10.0, QUIET, anchor="middle")
                return


def draw_mark(
    canvas: Canvas, role: Role | Literal["other"], x: float, y: float, scale: float, hint: str = ""
) -> None:
    """The mark of a node by what it does."""
    if role == "end":
        canvas.circle(x, y, 8.0 * scale, INK, PAPER, 2.0, hint=hint)
    elif role == "member":
        canvas.circle(x, y, 9.0 * scale, PAPER, INK, 1.6, hint=hint)
        canvas.circle(x, y, 5.5 * scale, INK, hint=hint)
    elif role == "swap":
        canvas.circle(x, y, 6.5 * scale, PAPER, ACCENT, 2.6, hint=hint)
    else:
        canvas.circle(x, y, 4.6 * scale, PAPER, "#94a3b8", 1.2, hint=hint)


def _nearest(place: Box, x: float, y: float) -> tuple[float, float]:
    return (min(max(x, place.left), place.right), min(max(y, place.top), place.bottom))


def _apart(place: Box, x: float, y: float) -> float:
    near_x, near_y = _nearest(place, x, y)
    return math.hypot(x - near_x, y - near_y)
