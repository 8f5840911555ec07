"""Tables for people: links, requests and pairs, drawn with rich.

Owns the looks of what commands print. Refuses to compute: it is given rows. Rich loads inside, because
`--help` and `--json` need none of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType

Cell = str | int | float | bool | None


def cell(value: Cell) -> str:
    """A value in a table: three significant digits, and a dash for what is absent."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def fidelity(value: float | None) -> str:
    """A fidelity with three decimals, since 0.995 and 1 are far apart."""
    return "-" if value is None else f"{value:.3f}"


def table(
    title: str,
    columns: Sequence[str],
    rows: "Iterable[Sequence[Cell | RenderableType]]",
    *,
    one_line: bool = False,
) -> "RenderableType":
    """A titled table; numbers stand to the right. one_line: in a narrow place the last column is cut."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    drawn = Table(
        header_style="",
        box=box.SIMPLE_HEAD,
        border_style="dim",
        show_edge=False,
        pad_edge=False,
        padding=(0, 1),
    )
    lines = [list(row) for row in rows]
    last = len(columns) - 1
    for index, column in enumerate(columns):
        numeric = all(_is_number(line[index]) for line in lines)
        # Rich narrows the columns that may wrap before all others.
        drawn.add_column(column, justify="right" if numeric else "left", no_wrap=one_line and index < last)
    for line in lines:
        cells = [Text(cell(value)) if isinstance(value, Cell) else value for value in line]
        for value in cells:
            if one_line and isinstance(value, Text):
                value.no_wrap, value.overflow = True, "ellipsis"
            elif isinstance(value, Text):
                value.overflow = "fold"
        drawn.add_row(*cells)
    # Rich would fold a title that is wider than its table.
    return Group(Text(title, style="bold", no_wrap=True, overflow="ellipsis"), drawn)


def _is_number(value: "Cell | RenderableType") -> bool:
    """True for what may stand in a column of numbers, an absent one among them."""
    if isinstance(value, str):
        return value == "-" or value.replace(".", "", 1).isdigit()
    return value is None or isinstance(value, (int, float))


def write(*parts: "RenderableType") -> None:
    """Print tables and sentences to stdout, as wide as they need to be when nobody looks (pipes, files)."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=False)
    if not console.is_terminal:
        console.width = 160
    with console.capture() as printed:
        for number, part in enumerate(parts):
            if number and not isinstance(part, str):
                console.print()
            console.print(part)
    text = printed.get()
    if not console.is_terminal:  # cells are filled up with blanks, which only a screen needs
        text = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
    typer.echo(text, nl=False)


def mode_name(mode: str) -> str:
    """The policies of a generation mode without their options, which may fill a line; the whole text where
    it cannot be read."""
    from bellwire.core.errors import ConfigError
    from bellwire.core.modes import parse_mode, policies_of

    try:
        return ", ".join(dict.fromkeys(part.name for part in policies_of(parse_mode(mode))))
    except ConfigError:
        return mode


def what_of(members: Sequence[str], mode: str, edges: Sequence[object] = (), pairs_in_order: int = 0) -> str:
    """How a request is served: the policy, and for GHZ and graph states and sequences their size."""
    if pairs_in_order:
        return f"sequence of {pairs_in_order}, {mode_name(mode)}"
    kind = "graph" if edges else "GHZ"
    return mode_name(mode) if len(members) < 3 else f"{kind} of {len(members)}, {mode_name(mode)}"


def request_table(requests: Mapping[str, Mapping[str, Any]]) -> "RenderableType":
    """What came of each request, beside what its plan predicted."""
    rows: list[list[Cell]] = []
    only_pairs = all(len(one["members"]) < 3 or "pairs_in_order" in one for one in requests.values())
    noun = "pairs" if only_pairs else "states"
    for name, one in requests.items():
        latency: Mapping[str, float | None] = one.get("latency_s") or {}
        rows.append(
            [
                name,
                what_of(one["members"], one["mode"], one.get("edges", ()), one.get("pairs_in_order", 0)),
                one.get("status"),
                one.get("delivered"),
                one.get("rate_hz"),
                one.get("predicted_rate_hz"),
                fidelity(one.get("fidelity_mean")),
                fidelity(one.get("fidelity_true_mean")),
                fidelity(one.get("fidelity_predicted")),
                _milliseconds(latency.get("p50")),
                _milliseconds(latency.get("p95")),
                one.get("frame_errors"),
            ]
        )
    columns = [
        "request",
        "mode",
        "status",
        noun,
        f"{noun}/s",
        "planned/s",
        "fidelity",
        "true",
        "planned fid.",
        "p50 ms",
        "p95 ms",
        "frame errors",
    ]
    return table("Requests", columns, rows)


def corrections_table(requests: Mapping[str, Mapping[str, Any]]) -> "RenderableType | None":
    """What the execution monitor did about requests that fell short; None: nothing."""
    rows: list[list[Cell]] = [
        [
            name,
            None if one["at_s"] is None else f"{one['at_s']:.1f}",
            one["action"].replace("_", " "),
            _change(one),
            one["rate_wanted_hz"],
            fidelity(one["fidelity_wanted"]),
            one["reason"],
        ]
        for name, request in requests.items()
        for one in request.get("corrections", ())
    ]
    columns = ["request", "s", "action", "by", "pairs/s wanted", "fidelity wanted", "because"]
    return table("Corrective actions (terms as they are since)", columns, rows) if rows else None


def _change(correction: Mapping[str, Any]) -> str | None:
    if correction["suspended_ns"] is not None:
        return f"{correction['suspended_ns'] / 1e9:.3g} s"
    return None if correction["percent"] is None else f"{correction['percent']:+.3g} %"


LINK_COUNTERS: Final = ("heralds", "unusable", "unknown")
"""Counters of a link with a column of their own; the others are told in words where they are not 0."""


def link_table(links: Mapping[str, Mapping[str, Any]]) -> "RenderableType":
    """Counters of each link, whatever the link layer counts."""
    return table(
        "Links",
        ["link", *LINK_COUNTERS, "also counted"],
        [
            [link, *(one.get(name) for name in LINK_COUNTERS), _also_counted(one)]
            for link, one in links.items()
        ],
    )


def _also_counted(counters: Mapping[str, Any]) -> str | None:
    words = [
        f"{name.replace('_', ' ')} {count}"
        for name, count in counters.items()
        if count and name not in LINK_COUNTERS
    ]
    return ", ".join(words) or None


def _milliseconds(value_s: float | None) -> float | None:
    return None if value_s is None else value_s * 1e3
