"""A pair's life as SVG: lanes for nodes, bars for qubits in memories, slanted arrows for messages, and below
them the estimated fidelity.

Owns coordinates and looks of the drawing. Refuses scripts, fonts and anything from elsewhere, so that the
file opens everywhere; colours differ in lightness too, and every mark has its letter.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape, quoteattr

from bellwire.cli.trace_axis import Axis, span_text
from bellwire.cli.trace_terminal import MARKS, drawn_since_ns

if TYPE_CHECKING:
    from bellwire.runtime.pair_moments import Moment, PairLife

WIDTH, LEFT, RIGHT, TOP = 1200, 110, 40, 70
LANE_HEIGHT, BAR_HEIGHT, CURVE_HEIGHT, LEGEND_LINE = 46, 9, 110, 18
MARK_RADIUS = 8
LABEL_PX = 74
LEGEND_COLUMNS = 5

FILLS: Final = {
    "herald": "#f2c14e", "birth": "#5aa9e6", "swap": "#7b2d8b", "fusion": "#7b2d8b",
    "purification": "#b05fc0", "correction": "#c8c8c8", "claim": "#9fd8cb", "release": "#d1495b",
    "offer": "#ffffff", "accept": "#ffffff", "commit": "#ffffff", "delivered": "#1b7f4d",
    "used": "#c8c8c8", "settled": "#8fd19e", "window": "#e8e8e8",
}  # fmt: skip
LIGHT_ON_DARK: Final = frozenset({"swap", "fusion", "purification", "delivered", "release"})
ARROWS: Final = {"HeraldReport": "#a67c00", "Swapped": "#7b2d8b", "Fused": "#7b2d8b", "Verdict": "#7b2d8b"}
ARROW_OTHER: Final = "#1b7f4d"


def life_svg(life: "PairLife") -> str:
    """The drawing."""
    return "\n".join(_Drawing(life).lines()) + "\n"


class _Drawing:
    """One picture; lengths in pixels."""

    def __init__(self, life: "PairLife") -> None:
        self._life = life
        since_ns = drawn_since_ns(life)
        self._moments = [one for one in life.moments if one.at_ns >= since_ns]
        received = [one.received_ns for one in life.passages if one.received_ns >= since_ns]
        self._axis = Axis([one.at_ns for one in self._moments] + received)
        self._since_ns = since_ns
        self._slots = {
            node: sorted({one.end for one in life.holdings if one.node == node}) for node in life.nodes
        }
        self._y: dict[str, int] = {}
        y = TOP + 24
        for node in life.nodes:
            self._y[node] = y
            y += LANE_HEIGHT + (BAR_HEIGHT + 3) * len(self._slots[node])
        self._curve_top = y + 6
        self._legend_top = self._curve_top + CURVE_HEIGHT + 58
        self._kinds = list(dict.fromkeys(one.kind for one in self._moments))

    def lines(self) -> Iterator[str]:
        life = self._life
        rows = -(-len(self._kinds) // LEGEND_COLUMNS)
        height = self._legend_top + (rows + 1) * LEGEND_LINE
        took = span_text(life.delivered_ns - life.heralded_ns)
        fidelity = "" if life.fidelity is None else f", fidelity {life.fidelity:.3f}"
        title = f"Pair {life.number} of {life.request}: {took} from herald to delivery{fidelity}"
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12" role="img" '
            f"aria-label={quoteattr(title)}>"
        )
        yield f"<title>{escape(title)}</title>"
        yield '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        yield 'orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="context-stroke"/></marker></defs>'
        yield f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'
        yield _text(LEFT, 26, title, size=17, weight="bold")
        yield _text(LEFT, 44, f"{' - '.join(life.links)}; the time axis is stretched where much happens")
        yield from self._ruler()
        yield from self._lanes()
        yield from self._messages()
        for place, one in self._placed():
            yield from self._mark(place, one)
        yield from self._curve()
        yield from self._legend()
        yield "</svg>"

    def _x(self, at_ns: int) -> float:
        return round(LEFT + self._axis.place(max(at_ns, self._since_ns)) * (WIDTH - LEFT - RIGHT), 1)

    def _ruler(self) -> Iterator[str]:
        bottom = self._curve_top + CURVE_HEIGHT
        for at_ns in self._axis.labelled(LABEL_PX / (WIDTH - LEFT - RIGHT)):
            x = self._x(at_ns)
            yield f'<line x1="{x}" x2="{x}" y1="{TOP}" y2="{bottom}" stroke="#e4e4e4"/>'
            yield _text(
                x, TOP - 6, span_text(at_ns - self._life.heralded_ns), anchor="middle", fill="#555555"
            )

    def _lanes(self) -> Iterator[str]:
        for node, y in self._y.items():
            yield _text(LEFT - 14, y + 4, node, anchor="end", weight="bold")
            yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke="#999999"/>'
            for place, end in enumerate(self._slots[node]):
                held = next(one for one in self._life.holdings if one.node == node and one.end == end)
                x, top = self._x(held.from_ns), y + 12 + place * (BAR_HEIGHT + 3)
                last = WIDTH - RIGHT if held.until_ns is None else self._x(held.until_ns)
                yield (
                    f'<rect x="{x}" y="{top}" width="{max(1.0, round(last - x, 1))}" height="{BAR_HEIGHT}" '
                    f'rx="2" fill="#5aa9e6" fill-opacity="0.55"><title>{escape(end)}</title></rect>'
                )
                yield _text(LEFT - 14, top + 8, f"slot {held.slot}", anchor="end", size=10, fill="#555555")

    def _messages(self) -> Iterator[str]:
        for one in self._life.passages:
            if one.sender in self._y and one.receiver in self._y and one.sent_ns >= self._since_ns:
                colour = ARROWS.get(one.kind, ARROW_OTHER)
                took = span_text(one.received_ns - one.sent_ns)
                yield (
                    f'<line x1="{self._x(one.sent_ns)}" y1="{self._y[one.sender]}" '
                    f'x2="{self._x(one.received_ns)}" y2="{self._y[one.receiver]}" stroke="{colour}" '
                    f'stroke-width="1.4" marker-end="url(#tip)"><title>{one.kind}, {took}</title></line>'
                )

    def _placed(self) -> "Iterator[tuple[float, Moment]]":
        """Marks of one lane, moved to the right where they would cover each other."""
        free: dict[str, float] = {}
        for one in self._moments:
            x = max(self._x(one.at_ns), free.get(one.node, 0.0))
            free[one.node] = x + 2 * MARK_RADIUS
            yield x, one

    def _mark(self, x: float, one: "Moment") -> Iterator[str]:
        y = self._y[one.node]
        when = span_text(one.at_ns - self._life.heralded_ns)
        yield (
            f'<g><title>{escape(f"{when}: {one.text}")}</title><circle cx="{x}" cy="{y}" r="{MARK_RADIUS}" '
            f'fill="{FILLS[one.kind]}" stroke="#333333"/>'
        )
        colour = "#ffffff" if one.kind in LIGHT_ON_DARK else "#000000"
        yield _text(x, y + 4, MARKS[one.kind], anchor="middle", size=11, fill=colour) + "</g>"

    def _curve(self) -> Iterator[str]:
        told = [(one.at_ns, one.fidelity) for one in self._moments if one.fidelity is not None]
        if not told:
            return
        low = max(0.0, min(fidelity for _, fidelity in told) - 0.02)
        high = min(1.0, max(fidelity for _, fidelity in told) + 0.02)
        bottom = self._curve_top + CURVE_HEIGHT

        def height(fidelity: float) -> float:
            return round(bottom - (fidelity - low) / (high - low) * CURVE_HEIGHT, 1)

        yield (
            f'<rect x="{LEFT}" y="{self._curve_top}" width="{WIDTH - LEFT - RIGHT}" height="{CURVE_HEIGHT}" '
            'fill="none" stroke="#bbbbbb"/>'
        )
        for value in (low, (low + high) / 2, high):
            yield _text(LEFT - 14, height(value) + 4, f"{value:.3f}", anchor="end", fill="#555555")
        middle = self._curve_top + CURVE_HEIGHT / 2
        yield (
            f'<text x="22" y="{middle}" text-anchor="middle" transform="rotate(-90 22 {middle})">'
            "estimated fidelity</text>"
        )
        joined = [one for one in self._moments if one.fidelity is not None and one.kind != "birth"]
        path = " ".join(f"{self._x(one.at_ns)},{height(one.fidelity or 0.0)}" for one in joined)
        yield f'<polyline points="{path}" fill="none" stroke="#7b2d8b" stroke-dasharray="3 3"/>'
        for at_ns, fidelity in told:
            yield (
                f'<circle cx="{self._x(at_ns)}" cy="{height(fidelity)}" r="3.5" fill="#7b2d8b">'
                f"<title>{fidelity:.4f}</title></circle>"
            )
        yield _text(LEFT, bottom + 18, "time since the oldest herald; one point for each fact about a chain")

    def _legend(self) -> Iterator[str]:
        step = (WIDTH - LEFT - RIGHT) / LEGEND_COLUMNS
        for place, kind in enumerate(self._kinds):
            x = LEFT + (place % LEGEND_COLUMNS) * step
            y = self._legend_top + (place // LEGEND_COLUMNS) * LEGEND_LINE
            yield f'<circle cx="{x}" cy="{y}" r="6" fill="{FILLS[kind]}" stroke="#333333"/>'
            yield _text(x + 12, y + 4, f"{MARKS[kind]}  {kind}")


def _text(
    x: float,
    y: float,
    words: str,
    *,
    anchor: str = "start",
    size: int = 12,
    weight: str = "normal",
    fill: str = "#000000",
) -> str:
    return (
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" '
        f'fill="{fill}">{escape(words)}</text>'
    )
