"""The network map as a drawing, wide for a desk and tall for a phone, and the same things in words.

Owns shapes and signs: an end node is a disc, a repeater a ring, a station a small diamond; a link that works
is a whole line, one that does not is broken and carries a sign. Refuses places (places.py) and states.
Everything that comes from the lab file is escaped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import hypot
from typing import Final

from bellwire.core.ids import LinkId, NodeId
from bellwire.page.labels import Label, Spot, placed
from bellwire.page.places import Place
from bellwire.page.values import Row, Shown, Tone

WIDE: Final = (560.0, 330.0)
TALL: Final = (340.0, 460.0)
MARGIN: Final = (62.0, 40.0)
SIGNS: Final[Mapping[Tone, str]] = {Tone.BAD: "×", Tone.WARN: "!", Tone.BUSY: "…", Tone.OFF: "?"}

RADIUS: Final[Mapping[str, float]] = {"end": 11.0, "repeater": 9.0}
STATION_RADIUS: Final = 6.0
SIGN_RADIUS: Final = 10.0
RATES_MAX: Final = 40
"""With more links than this, rates stand in the table alone."""

COLUMNS: Final = (("what", "Node or link"), ("kind", "Kind"), ("state", "State"), ("reason", "Why"))


@dataclass(frozen=True, slots=True)
class NodeMark:
    """A node or station."""

    name: NodeId
    role: str
    tone: Tone
    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LinkMark:
    """A link. `label`: its rate, "" while that is not known."""

    name: LinkId
    nodes: tuple[NodeId, NodeId]
    tone: Tone
    state: str
    label: str = ""
    reason: str = ""


def draw(
    places: Mapping[NodeId, Place], nodes: Sequence[NodeMark], links: Sequence[LinkMark], *, tall: bool
) -> str:
    """The SVG. It says nothing to screen readers: the table beside it does."""
    width, height = TALL if tall else WIDE
    at = _scaled(places, width, height, tall=tall)
    height = max(y for _, y in at.values()) + MARGIN[1] if at else height
    shown = [node for node in nodes if node.name in at]
    spots = _spots(shown, links, at, (width, height))
    parts = [_link(link, at, spots.get(link.name)) for link in links]
    parts += [_node(node, at, spots.get(node.name)) for node in shown]
    return (
        f'<svg class="map map--{"tall" if tall else "wide"}" viewBox="0 0 {width:g} {height:g}" '
        f'aria-hidden="true" focusable="false">{"".join(parts)}</svg>'
    )


def map_rows(nodes: Sequence[NodeMark], links: Sequence[LinkMark]) -> list[Row]:
    """The same in words."""
    rows = [
        Row(
            f"node {node.name}",
            {
                "what": Shown(node.name),
                "kind": Shown({"end": "end node", "station": "heralding station"}.get(node.role, node.role)),
                "state": Shown(node.state, node.tone),
                "reason": Shown(node.reason or "–"),
            },
        )
        for node in nodes
    ]
    return rows + [
        Row(
            f"link {link.name}",
            {
                "what": Shown(link.name),
                "kind": Shown(f"link {link.nodes[0]} – {link.nodes[1]}"),
                "state": Shown(link.state, link.tone),
                "reason": Shown(link.reason or "–"),
            },
        )
        for link in links
    ]


def _scaled(
    places: Mapping[NodeId, Place], width: float, height: float, *, tall: bool
) -> dict[NodeId, tuple[float, float]]:
    """On the paper. A tall map is the wide one turned by a quarter, so that chains run down the page; a map
    that needs less height gets less."""
    turned = {name: (1.0 - y, x) if tall else (x, y) for name, (x, y) in places.items()}
    if not turned:
        return {}
    xs, ys = [x for x, _ in turned.values()], [y for _, y in turned.values()]
    inner_w, inner_h = width - 2 * MARGIN[0], height - 2 * MARGIN[1]
    across, down = max(xs) - min(xs), max(ys) - min(ys)
    scale_x = inner_w / across if across > 1e-9 else 0.0
    scale_y = inner_h / down if down > 1e-9 else 0.0
    if tall:
        scale_x = min(scale_x, 1.6 * inner_h)
    else:
        scale_y = min(scale_y, 1.2 * inner_w)
    left = (width - scale_x * across) / 2
    return {
        name: (left + scale_x * (x - min(xs)), MARGIN[1] + scale_y * (y - min(ys)))
        for name, (x, y) in turned.items()
    }


def _spots(
    nodes: Sequence[NodeMark],
    links: Sequence[LinkMark],
    at: Mapping[NodeId, tuple[float, float]],
    size: tuple[float, float],
) -> dict[str, Spot]:
    """Where names of nodes and rates of links stand; a rate without room has no place."""
    labels: dict[str, Label] = {}
    circles: list[tuple[tuple[float, float], float]] = []
    for node in nodes:
        radius = RADIUS.get(node.role, STATION_RADIUS)
        circles.append((at[node.name], radius))
        if node.role != "station":
            labels[node.name] = Label(_said(node.name), at[node.name], radius)
    ways = []
    for link in links:
        (x0, y0), (x1, y1) = ends = (at[link.nodes[0]], at[link.nodes[1]])
        ways.append(ends)
        middle = ((x0 + x1) / 2, (y0 + y1) / 2)
        if link.tone in SIGNS:
            circles.append((middle, SIGN_RADIUS))
        length = hypot(x1 - x0, y1 - y0)
        if link.label and length > 1e-9 and len(links) <= RATES_MAX:
            # Only its length counts: places are found anew when it needs another digit, and not before.
            normal = ((y0 - y1) / length, (x1 - x0) / length)
            labels[link.name] = Label(
                "0" * len(link.label), middle, away=normal if normal[1] < 0 else (-normal[0], -normal[1])
            )
    found = placed(tuple(labels.values()), tuple(circles), tuple(ways), size)
    return {name: spot for name, spot in zip(labels, found, strict=True) if spot is not None}


def _link(link: LinkMark, at: Mapping[NodeId, tuple[float, float]], rate: Spot | None) -> str:
    (x0, y0), (x1, y1) = (at[node] for node in link.nodes)
    said = f"{link.name}: {link.state}" + (f", {link.label}" if link.label else "")
    title = escape(f"{said}; {link.reason}" if link.reason else said)
    middle_x, middle_y = (x0 + x1) / 2, (y0 + y1) / 2
    parts = [f'<line class="way way--{link.tone}" x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"/>']
    sign = SIGNS.get(link.tone)
    if sign is not None:
        parts.append(
            f'<circle class="sign sign--{link.tone}" cx="{middle_x:.1f}" cy="{middle_y:.1f}" '
            f'r="{SIGN_RADIUS:g}"/>'
            f'<text class="sign__text" x="{middle_x:.1f}" y="{middle_y + 5:.1f}">{sign}</text>'
        )
    if rate is not None:
        parts.append(_text("rate", link.label, rate))
    return f"<g><title>{title}</title>{''.join(parts)}</g>"


def _node(node: NodeMark, at: Mapping[NodeId, tuple[float, float]], name: Spot | None) -> str:
    x, y = at[node.name]
    title = escape(f"{node.name}: {node.state}" + (f"; {node.reason}" if node.reason else ""))
    if node.role == "station":
        reach = STATION_RADIUS
        points = (
            f"{x:.1f},{y - reach:.1f} {x + reach:.1f},{y:.1f} {x:.1f},{y + reach:.1f} {x - reach:.1f},{y:.1f}"
        )
        return f'<g><title>{title}</title><polygon class="station node--{node.tone}" points="{points}"/></g>'
    shape = (
        f'<circle class="node node--{node.role} node--{node.tone}" cx="{x:.1f}" cy="{y:.1f}" '
        f'r="{RADIUS.get(node.role, STATION_RADIUS):g}"/>'
    )
    sign = SIGNS.get(node.tone)
    if sign is not None:
        shape += f'<text class="node__sign" x="{x:.1f}" y="{y + 5:.1f}">{sign}</text>'
    if name is not None:
        shape += _text("node__name", _said(node.name), name)
    return f"<g><title>{title}</title>{shape}</g>"


def _said(node: NodeId) -> str:
    return node.replace("_", " ")


def _text(kind: str, text: str, spot: Spot) -> str:
    where = f'text-anchor="{spot.anchor}" x="{spot.x:.1f}" y="{spot.y:.1f}"'
    return f'<text class="{kind}" {where}>{escape(text)}</text>'
