"""A pair's life in a terminal: a lane for each node, a line for each memory, and the moments as a table.

Owns letters, marks and columns. Refuses to find anything out (runtime/pair_life.py, runtime/time_shares.py).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from bellwire.cli import show
from bellwire.cli.trace_axis import Axis, span_text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bellwire.runtime.pair_moments import Moment, PairLife
    from bellwire.runtime.time_shares import TimeShares

MARKS: Final = {
    "window": "w", "herald": "h", "birth": "b", "swap": "X", "fusion": "F", "purification": "P",
    "correction": "c", "claim": "m", "release": "r", "offer": "o", "accept": "a", "commit": "C",
    "settled": "S", "delivered": "D", "used": "u",
}  # fmt: skip
PRECEDENCE: Final = "DXFPSCaocumrbhw"
"""Where two marks of a lane fall on one column, the one named first here is drawn."""
STYLES: Final = {
    "X": "bold magenta",
    "F": "bold magenta",
    "P": "bold magenta",
    "D": "bold green",
    "S": "green",
}
COLUMNS_MIN, COLUMNS_MAX = 40, 140
LABEL_COLUMNS = 12
SHARE_COLUMNS = 40
PARTS_TOLD_MAX = 8


def life_parts(life: "PairLife", columns: int) -> "list[RenderableType]":
    """The picture and the table of one pair, `columns` wide."""
    since_ns = drawn_since_ns(life)
    state = "taken back (void)" if life.void else "delivered"
    title = (
        f"Pair {life.number} of {life.request}: {state} {span_text(life.delivered_ns - life.heralded_ns)} "
        f"after its oldest herald"
        + ("" if life.fidelity is None else f", fidelity {life.fidelity:.3f}")
        + f"; times count from that herald ({life.heralded_ns / 1e9:.6f} s)"
    )
    rows: list[list[show.Cell]] = [
        [
            f"{'-' if one.at_ns < life.heralded_ns else '+'}{span_text(abs(one.at_ns - life.heralded_ns))}",
            one.node,
            MARKS[one.kind],
            one.text,
            None if one.age_ns is None else span_text(one.age_ns),
            show.fidelity(one.fidelity),
        ]
        for one in life.moments
    ]
    passages: list[list[show.Cell]] = [
        [
            one.kind,
            f"{one.sender} > {one.receiver}",
            f"+{span_text(one.sent_ns - life.heralded_ns)}",
            span_text(one.received_ns - one.sent_ns),
        ]
        for one in life.passages
    ]
    return [
        title,
        "",
        _lanes(life, since_ns, columns),
        show.table("What happened", ["when", "node", "", "what", "age", "fidelity"], rows),
        show.table("Messages", ["message", "way", "sent", "took"], passages),
    ]


def drawn_since_ns(life: "PairLife") -> int:
    """Where the picture begins: windows granted long before the herald stand in the table only."""
    return min(one.at_ns for one in life.moments if one.kind != "window")


def _lanes(life: "PairLife", since_ns: int, columns: int) -> "RenderableType":
    from rich.text import Text

    moments = [one for one in life.moments if one.at_ns >= since_ns]
    axis = Axis([one.at_ns for one in moments] + [one.received_ns for one in life.passages])
    label = max(map(len, life.nodes)) + 2
    width = max(COLUMNS_MIN, min(columns, COLUMNS_MAX) - label - 1)

    def column(at_ns: int) -> int:
        return round(axis.place(at_ns) * (width - 1))

    lines = Text(no_wrap=True, overflow="crop")
    ruler = [" "] * (width + LABEL_COLUMNS)
    for at_ns in axis.labelled(LABEL_COLUMNS / width):
        told = f"|{span_text(at_ns - life.heralded_ns)}"
        ruler[column(at_ns) : column(at_ns) + len(told)] = told
    lines.append(" " * label + "".join(ruler)[:width].rstrip() + "\n", style="dim")
    for node in life.nodes:
        here = [one for one in moments if one.node == node]
        cells = _marked(here, ["·"] * width, column)
        lines.append(f"{node:<{label}}", style="bold")
        for cell in cells:
            lines.append(cell, style=STYLES.get(cell, "dim" if cell == "·" else ""))
        lines.append("\n")
        for held in life.holdings:
            if held.node != node:
                continue
            first = column(max(held.from_ns, since_ns))
            last = width - 1 if held.until_ns is None else column(held.until_ns)
            bar = " " * first + "[" + "=" * max(0, last - first - 1) + ("]" if held.until_ns else ">")
            lines.append(f"{f'  slot {held.slot}':<{label}}", style="dim")
            lines.append(f"{bar}\n", style="cyan")
    used = sorted({one.kind for one in moments}, key=lambda kind: PRECEDENCE.index(MARKS[kind]))
    lines.append(" " * label + "  ".join(f"{MARKS[kind]} {kind}" for kind in used), style="dim")
    return lines


def _marked(here: "list[Moment]", cells: list[str], column: Callable[[int], int]) -> list[str]:
    for one in sorted(here, key=lambda one: -PRECEDENCE.index(MARKS[one.kind])):
        cells[column(one.at_ns)] = MARKS[one.kind]
    return cells


def share_parts(shares: "TimeShares") -> "list[RenderableType]":
    """Where the time of a request went."""
    from rich.text import Text

    whole_ns = shares.ended_ns - shares.submitted_ns
    until = "until its end" if shares.ended else "until the end of the record"
    pairs = f"{shares.delivered} pairs delivered"
    head = f"{shares.request}: {shares.status}, {pairs}, {span_text(whole_ns)} {until}"
    bars: list[list[show.Cell | RenderableType]] = [
        [
            one,
            span_text(shares.waited_ns[one]),
            f"{100 * share:.1f} %",
            Text("█" * round(share * SHARE_COLUMNS), style="cyan"),
        ]
        for one, share in shares.shares().items()
        if shares.waited_ns[one]
    ]
    parts: list[RenderableType] = [head]
    if shares.error is not None:
        parts.append(f"reason: {shares.error}")
    if shares.last is not None:
        ago = span_text(shares.ended_ns - shares.last.at_ns)
        parts.append(f"last: {shares.last.text} at {shares.last.node}, {ago} before the end")
    if shares.missing_links and shares.status != "completed":
        parts.append(f"without a pair or a window at the end: {', '.join(shares.missing_links)}")
    if shares.parts:
        named = ", ".join(shares.parts[:PARTS_TOLD_MAX])
        more = ", ..." if len(shares.parts) > PARTS_TOLD_MAX else ""
        return [*parts, f"its pairs are requests of their own, to be traced one by one: {named}{more}"]
    parts += ["", show.table("It waited for", ["for", "time", "share", ""], bars)]
    return parts
