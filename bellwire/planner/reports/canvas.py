"""A sheet of SVG: lines, boxes and texts in pixels, and how wide a text is at most.

Owns the few shapes that reports draw, their colours and the text measure. Refuses layout. Coordinates grow to
the right and down; every text carries its own font size, so that a reader of the file can measure it.
"""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple
from xml.etree import ElementTree

FONT: Final = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"

INK: Final = "#0f172a"
QUIET: Final = "#64748b"
FAINT: Final = "#cbd5e1"
PAPER: Final = "#ffffff"
PANEL: Final = "#f8fafc"
ACCENT: Final = "#2563eb"

COLOURS: Final = (
    "#2563eb",
    "#d97706",
    "#059669",
    "#db2777",
    "#7c3aed",
    "#0891b2",
    "#b91c1c",
    "#4d7c0f",
    "#1e3a8a",
    "#92400e",
)
"""One per request, told apart also by eyes that do not see red and green; they come again after the last."""

Anchor = Literal["start", "middle", "end"]


class Box(NamedTuple):
    """A rectangle by its edges."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "Box", gap: float = 0.0) -> bool:
        """The two overlap, or come nearer than a gap."""
        return (
            self.left < other.right + gap
            and other.left < self.right + gap
            and self.top < other.bottom + gap
            and other.top < self.bottom + gap
        )

    def crossed_by(self, x1: float, y1: float, x2: float, y2: float) -> bool:
        """A straight line from (x1, y1) to (x2, y2) goes through the rectangle."""
        begin, end = 0.0, 1.0
        for start, step, low, high in (
            (x1, x2 - x1, self.left, self.right),
            (y1, y2 - y1, self.top, self.bottom),
        ):
            if step == 0.0:
                if not low <= start <= high:
                    return False
                continue
            enter, leave = sorted(((low - start) / step, (high - start) / step))
            begin, end = max(begin, enter), min(end, leave)
        return begin <= end


_WIDTHS: Final = {
    **dict.fromkeys("ijlI|'!.,:;", 0.34),
    **dict.fromkeys(" ·()[]-/ftr", 0.42),
    **dict.fromkeys("mMW@%—", 1.0),
    **dict.fromkeys("w→×", 0.84),
    **dict.fromkeys("ABCDGHKNOQRUVXYZ&", 0.79),
}
_OTHER: Final = 0.66
_FOREIGN: Final = 1.05
_BOLD: Final = 1.12


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """An upper bound in pixels for the usual sans-serif fonts, the wide DejaVu Sans among them."""
    ems = sum(_WIDTHS.get(letter, _OTHER if letter < "\u2e80" else _FOREIGN) for letter in text)
    return ems * size * (_BOLD if bold else 1.0)


def shortened(text: str, size: float, width: float, *, bold: bool = False) -> str:
    """The text, or as much of its beginning as fits, with an ellipsis."""
    if text_width(text, size, bold=bold) <= width:
        return text
    kept = text
    while kept and text_width(kept + "…", size, bold=bold) > width:
        kept = kept[:-1]
    return kept.rstrip() + "…"


class Canvas:
    """A picture that grows; shapes lie over those that were drawn before."""

    def __init__(self, title: str) -> None:
        """title: for screen readers and tabs."""
        self._root = ElementTree.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "font-family": FONT})
        ElementTree.SubElement(self._root, "title").text = _printable(title)

    def svg(self, width: float, height: float) -> str:
        """The whole file. It scales with its place and prints on white."""
        self._root.set("viewBox", f"0 0 {_number(width)} {_number(height)}")
        self._root.set("width", _number(width))
        self._root.set("height", _number(height))
        paper = ElementTree.Element("rect", {"width": "100%", "height": "100%", "fill": PAPER})
        self._root.insert(1, paper)
        ElementTree.indent(self._root)
        text = ElementTree.tostring(self._root, encoding="unicode")
        self._root.remove(paper)
        return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'

    def line(
        self,
        points: Sequence[tuple[float, float]],
        colour: str,
        width: float,
        *,
        dashes: str | None = None,
        opacity: float = 1.0,
    ) -> None:
        """A line through points."""
        path = " ".join(f"{_number(x)},{_number(y)}" for x, y in points)
        shape = self._shape("polyline", points=path, fill="none", stroke=colour, stroke_width=width)
        shape.set("stroke-linecap", "round")
        shape.set("stroke-linejoin", "round")
        if dashes is not None:
            shape.set("stroke-dasharray", dashes)
        if opacity < 1.0:
            shape.set("opacity", _number(opacity))

    def curve(self, x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> None:
        """A line that leaves downwards and arrives downwards."""
        middle = (y1 + y2) / 2.0
        numbers = (x1, y1, x1, middle, x2, middle, x2, y2)
        a, b, c, d, e, f, g, h = (_number(each) for each in numbers)
        path = f"M {a} {b} C {c} {d} {e} {f} {g} {h}"
        self._shape("path", d=path, fill="none", stroke=colour, stroke_width=width)

    def circle(
        self,
        x: float,
        y: float,
        radius: float,
        fill: str,
        stroke: str = "none",
        width: float = 0.0,
        hint: str = "",
    ) -> None:
        """A disc. hint: shown while the pointer rests on it."""
        shape = self._shape("circle", cx=x, cy=y, r=radius, fill=fill, stroke=stroke, stroke_width=width)
        if hint:
            ElementTree.SubElement(shape, "title").text = _printable(hint)

    def box(
        self,
        place: Box,
        fill: str,
        stroke: str = "none",
        *,
        radius: float = 0.0,
        width: float = 1.0,
        dashes: str | None = None,
    ) -> None:
        """A rectangle with round corners."""
        shape = self._shape(
            "rect",
            x=place.left,
            y=place.top,
            width=place.right - place.left,
            height=place.bottom - place.top,
            rx=radius,
            fill=fill,
            stroke=stroke,
            stroke_width=width,
        )
        if dashes is not None:
            shape.set("stroke-dasharray", dashes)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        colour: str = INK,
        *,
        anchor: Anchor = "start",
        bold: bool = False,
        halo: bool = False,
    ) -> None:
        """Letters that stand on y. halo: a white rim, for texts over lines."""
        shape = self._shape("text", x=x, y=y, font_size=size, fill=colour, text_anchor=anchor)
        if bold:
            shape.set("font-weight", "bold")
        if halo:
            shape.set("paint-order", "stroke")
            shape.set("stroke", PAPER)
            shape.set("stroke-width", "3")
            shape.set("stroke-linejoin", "round")
        shape.text = _printable(text)

    def _shape(self, kind: str, **attributes: str | float) -> ElementTree.Element:
        written = {
            name.replace("_", "-"): value if isinstance(value, str) else _number(value)
            for name, value in attributes.items()
        }
        return ElementTree.SubElement(self._root, kind, written)


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _printable(text: str) -> str:
    """XML has no control characters; names from files may."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
