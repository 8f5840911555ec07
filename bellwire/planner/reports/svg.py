"""Plans as pictures: the map with the routes, and the tree with its times, as SVG without other programs.

Owns the pages. Refuses the parts: canvas.py, map_drawing.py, tree_drawing.py.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

from bellwire.core.ids import NodeId
from bellwire.planner.assessment import PairPlan
from bellwire.planner.batch.batch_plan import BatchPlan, RequestShare
from bellwire.planner.multipartite.values import MultipartitePlan
from bellwire.planner.reports.branches import operation_branches, tree_branch
from bellwire.planner.reports.canvas import (
    ACCENT,
    COLOURS,
    FAINT,
    INK,
    QUIET,
    Box,
    Canvas,
    shortened,
    text_width,
)
from bellwire.planner.reports.map_drawing import DrawnRoute, NetworkMap, Role, draw_mark
from bellwire.planner.reports.quantities import (
    SHARE_COLUMNS,
    fidelity_text,
    rate_text,
    share_cells,
    share_text,
    time_text,
)
from bellwire.planner.reports.tree_drawing import TreeDrawing
from bellwire.planner.structures import PurifyNode, StoredLeaf, SwapNode, Tree, leaves
from bellwire.planner.topology import Topology, pair_of

MARGIN: Final = 32.0
WIDTH_MIN: Final = 920.0
HEADING: Final = 14.0
ROW: Final = 22.0

Mark = Role | Literal["other", "stored"]
MEANINGS: Final[dict[Mark, str]] = {
    "end": "source, destination",
    "member": "member",
    "swap": "swaps or fuses",
    "other": "other nodes",
    "stored": "stored pair",
}

Figures = Sequence[tuple[str, str]]


def pair_svg(plan: PairPlan, topology: Topology) -> str:
    """Map with the route, and the tree, of a plan for one pair."""
    left_s, right_s = plan.ages_s
    count = sum(1 for _ in leaves(plan.tree))
    figures = (
        ("per pair", time_text(plan.latency_s)),
        ("rate", rate_text(plan.rate_hz, " pairs")),
        ("fidelity", fidelity_text(plan.fidelity)),
        ("success per round", share_text(plan.success_probability)),
        ("age at delivery", f"{time_text(left_s)} and {time_text(right_s)}"),
    )
    subtitle = f"method {plan.method}, {count} {'leaf' if count == 1 else 'leaves'}"
    tree = TreeDrawing((tree_branch(plan.tree, topology),))
    page = _Page(f"{plan.source} to {plan.destination}", subtitle, figures, tree.width)
    roles: dict[NodeId, Role] = dict.fromkeys(_swapping(plan.tree), "swap")
    roles |= {plan.source: "end", plan.destination: "end"}
    page.heading("Route")
    routes = _routes([plan.tree])
    page.network(topology, routes, roles)
    page.legend(topology, routes, roles)
    page.heading("Tree: what happens last stands on top")
    page.tree(tree)
    return page.svg()


def batch_svg(plan: BatchPlan, topology: Topology) -> str:
    """Map with one colour per request, and the table of shares, of a plan for several requests."""
    figures = [
        ("in all", rate_text(plan.total_rate_hz, " pairs")),
        ("least", rate_text(plan.min_rate_hz, " pairs")),
    ]
    if plan.bound_hz is not None:
        figures.append(("optimum of the linear programme", rate_text(plan.bound_hz)))
    page = _Page(
        f"{len(plan.shares)} requests", f"method {plan.method}, objective {plan.objective}", figures, 0.0
    )
    routes: list[DrawnRoute] = []
    roles: dict[NodeId, Role] = {}
    for index, share in enumerate(plan.shares):
        trees = [each.tree for each in share.trees]
        routes += _routes(trees, *_look(index))
        for tree in trees:
            roles |= dict.fromkeys(_swapping(tree), "swap")
    for share in plan.shares:
        roles |= {share.source: "end", share.destination: "end"}
    page.heading("Routes")
    page.network(topology, routes, roles)
    page.legend(topology, routes, roles)
    page.heading("Shares")
    page.shares(plan.shares)
    for request, reason in plan.unserved.items():
        page.remark(f"{request} gets nothing: {reason}")
    return page.svg()


def state_svg(plan: MultipartitePlan, topology: Topology) -> str:
    """Map with members and routes of the pairs, and the operations, of a plan for a GHZ or graph state."""
    figures = (
        ("per state", time_text(plan.latency_s)),
        ("rate", rate_text(plan.rate_hz, " states")),
        ("fidelity", fidelity_text(plan.fidelity)),
        ("success per round", share_text(plan.success_probability)),
        ("oldest qubit", time_text(plan.age_s)),
    )
    if plan.kind == "ghz":
        title = f"GHZ state of {len(plan.members)}: {', '.join(plan.members)}"
        subtitle = f"method {plan.method}"
    else:
        title = "Graph state: " + ", ".join(f"{vertex} at {node}" for vertex, node in plan.vertices)
        subtitle = f"method {plan.method}, edges " + ", ".join(f"{a} – {b}" for a, b in plan.edges)
    tree = TreeDrawing(operation_branches(plan, topology, trees=False))
    page = _Page(title, subtitle, figures, tree.width)
    trees = [tree.tree for supply in plan.pairs for tree in supply.trees]
    roles: dict[NodeId, Role] = {}
    for each in trees:
        roles |= dict.fromkeys(_swapping(each), "swap")
    roles |= dict.fromkeys((operation.node for operation in plan.operations), "swap")
    roles |= dict.fromkeys(plan.members, "member")
    routes: list[DrawnRoute] = []
    for number, supply in enumerate(plan.pairs):
        routes += _routes([each.tree for each in supply.trees], *_look(number))
    page.heading("Members, and one colour for each pair")
    page.network(topology, routes, roles)
    page.legend(topology, routes, roles)
    page.heading("Operations: what happens last stands on top")
    page.tree(tree)
    return page.svg()


def _swapping(tree: Tree) -> set[NodeId]:
    match tree:
        case SwapNode():
            return {tree.at} | _swapping(tree.one) | _swapping(tree.other)
        case PurifyNode():
            return _swapping(tree.kept) | _swapping(tree.measured)
        case _:
            return set()


def _look(index: int) -> tuple[str, str | None]:
    """Colour and dashes of a request or pair; when the colours come again, they come dashed."""
    again, colour = divmod(index, len(COLOURS))
    return COLOURS[colour], (None, "10 6", "5 6")[again % 3]


def _routes(trees: Iterable[Tree], colour: str = ACCENT, dashes: str | None = None) -> list[DrawnRoute]:
    """The links and stored pairs of some trees, each once."""
    found = {
        (pair_of(leaf.left, leaf.right), isinstance(leaf, StoredLeaf)): None
        for tree in trees
        for leaf in leaves(tree)
    }
    return [DrawnRoute(pair, colour, stored, dashes) for pair, stored in found]


class _Page:
    """A page that grows downwards: heading, figures, map, tree or table."""

    def __init__(self, title: str, subtitle: str, figures: Figures, width: float) -> None:
        self._canvas = Canvas(f"{title}, {subtitle}")
        tiles = [
            max(text_width(name, 11.0), text_width(value, 16.0, bold=True)) + 28.0 for name, value in figures
        ]
        inner = max(WIDTH_MIN - 2 * MARGIN, width, sum(tiles) + 10.0 * (len(tiles) - 1))
        self._inner = inner
        self._canvas.text(MARGIN, 50.0, shortened(title, 24.0, inner, bold=True), 24.0, INK, bold=True)
        self._canvas.text(MARGIN, 72.0, shortened(subtitle, 13.0, inner), 13.0, QUIET)
        x = MARGIN
        for (name, value), tile in zip(figures, tiles, strict=True):
            self._canvas.box(Box(x, 88.0, x + tile, 136.0), "#f1f5f9", radius=8.0)
            self._canvas.text(x + 14.0, 106.0, name, 11.0, QUIET)
            self._canvas.text(x + 14.0, 126.0, value, 16.0, INK, bold=True)
            x += tile + 10.0
        self._y = 136.0

    def heading(self, text: str) -> None:
        """A small heading over what follows."""
        self._y += 36.0
        self._canvas.text(MARGIN, self._y, text, HEADING, INK, bold=True)
        self._y += 12.0

    def network(self, topology: Topology, routes: Sequence[DrawnRoute], roles: dict[NodeId, Role]) -> None:
        """The map, as wide as the page."""
        drawing = NetworkMap(topology, self._inner, routes, roles)
        drawing.draw(self._canvas, MARGIN, self._y)
        self._y += drawing.height

    def legend(self, topology: Topology, routes: Sequence[DrawnRoute], roles: dict[NodeId, Role]) -> None:
        """What the marks of this map mean."""
        used: list[Mark] = [role for role in ("end", "member", "swap") if role in roles.values()]
        if len(roles) < len(topology.nodes):
            used.append("other")
        if any(route.stored for route in routes):
            used.append("stored")
        y, x = self._y + 18.0, MARGIN + 8.0
        for mark in used:
            if mark == "stored":
                self._canvas.line([(x - 6.0, y - 4.0), (x + 6.0, y - 4.0)], ACCENT, 3.0, dashes="1 5")
            else:
                draw_mark(self._canvas, mark, x, y - 4.0, 0.75)
            words = MEANINGS[mark]
            self._canvas.text(x + 13.0, y, words, 11.0, QUIET)
            x += 13.0 + text_width(words, 11.0) + 22.0
        self._y = y

    def tree(self, drawing: TreeDrawing) -> None:
        """A tree in the middle of the page."""
        self._y += 4.0
        drawing.draw(self._canvas, MARGIN + (self._inner - drawing.width) / 2.0, self._y)
        self._y += drawing.height

    def shares(self, shares: Sequence[RequestShare]) -> None:
        """The table of a batch, a piece of the request's line before each row."""
        columns, rows = SHARE_COLUMNS, [share_cells(share) for share in shares]
        widths = [
            min(220.0, max(text_width(row[index], 12.0, bold=True) for row in (columns, *rows))) + 24.0
            for index in range(len(columns))
        ]
        self._row(columns, widths, QUIET, None)
        self._canvas.line([(MARGIN, self._y + 7.0), (MARGIN + 30.0 + sum(widths), self._y + 7.0)], FAINT, 1.0)
        self._y += 4.0
        for index, row in enumerate(rows):
            self._row(row, widths, INK, _look(index))

    def _row(
        self,
        cells: Sequence[str],
        widths: Sequence[float],
        ink: str,
        look: tuple[str, str | None] | None,
    ) -> None:
        self._y += ROW
        x = MARGIN + 30.0
        if look is not None:
            colour, dashes = look
            ends = [(MARGIN + 2.0, self._y - 4.5), (MARGIN + 18.0, self._y - 4.5)]
            self._canvas.line(ends, colour, 4.0, dashes=dashes)
        for cell, width in zip(cells, widths, strict=True):
            self._canvas.text(x, self._y, shortened(cell, 12.0, width - 16.0), 12.0, ink)
            x += width

    def remark(self, text: str) -> None:
        """A line of small print."""
        self._y += ROW
        self._canvas.text(MARGIN, self._y, shortened(text, 11.0, self._inner), 11.0, QUIET)

    def svg(self) -> str:
        """The file."""
        return self._canvas.svg(self._inner + 2 * MARGIN, self._y + MARGIN)
