"""What a running lab shows: a live screen on a terminal, a line now and then anywhere else.

Owns layout and pace. Refuses to know a lab by itself: the picture (requests, pairs) and the status (links,
nodes) are kept by others and read here.
"""

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from bellwire.cli.lab_status import LabStatus, Standing, fusion_counts, swap_counts
from bellwire.cli.picture import LATEST_PAIRS, LabPicture, RequestPicture

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

LINE_EVERY_S = 1.0
LINE_SHARE = 0.02
"""Plain lines come once a second at first, and in long runs after this share of the time that has passed."""
SMALL_HEIGHT, SMALL_WIDTH = 16, 78
"""Below either, a terminal shows the requests and one line about links."""
WIDE = 98
"""From here on there is room for bars, stations and the names of the ends."""
VERY_WIDE = 124
"""From here on there is room for the modes of requests, too."""
BAR_WIDTH = 16
TABLE_LINES = 4
"""Title, header, rule, and the blank line before the table."""
NO_REQUEST = "no request yet; `bellwire request` makes one"
BELL_STATES = ("Φ+", "Φ−", "Ψ+", "Ψ−")  # noqa: RUF001  the minus sign belongs to the name of the state
COLOURS = {"ready": "green", "starting": "", "degraded": "yellow"}


class Screen(NamedTuple):
    """What draws the lab anew, and whether that covers the terminal, so that nobody else may write there."""

    draw: Callable[[], None]
    covers: bool


def open_screen(closing: ExitStack, picture: LabPicture, status: LabStatus, *, quiet: bool) -> Screen:
    """Open the screen that fits stdout; it is closed by `closing`. quiet: nothing is drawn at all."""
    if quiet:
        return Screen(lambda: None, covers=False)
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal or console.is_dumb_terminal:
        return Screen(PlainLines(picture, status, time.monotonic).draw, covers=False)
    from rich.live import Live

    drawing = Drawing(picture, status, console)
    live = Live(
        drawing.whole(),
        console=console,
        auto_refresh=False,
        transient=True,
        redirect_stderr=sys.stderr.isatty(),
    )
    closing.enter_context(live)
    return Screen(lambda: live.update(drawing.whole(), refresh=True), covers=True)


class PlainLines:
    """One line on stdout when something has changed, and not too often. No control characters."""

    def __init__(self, picture: LabPicture, status: LabStatus, clock: Callable[[], float]) -> None:
        """clock: seconds, monotonic."""
        self._picture = picture
        self._status = status
        self._clock = clock
        self._begun_s = clock()
        self._next_s = self._begun_s
        self._said = ""

    def draw(self) -> None:
        """Say what is new, if it is time. While the lab starts nothing is said: it may yet be refused."""
        now_s = self._clock()
        if now_s < self._next_s or not self._status.started:
            return
        requests = [_in_words(seen) for seen in self._picture.requests.values()]
        line = "; ".join([*requests, links_in_words(self._status)])
        if line == self._said:
            return
        self._said = line
        self._next_s = now_s + max(LINE_EVERY_S, LINE_SHARE * (now_s - self._begun_s))
        print(f"{now_s - self._begun_s:6.1f} s  {line}", flush=True)


def _in_words(seen: RequestPicture) -> str:
    asked = f" of {seen.request.count}" if seen.request.count is not None else ""
    rate = f", {seen.rate_hz:.1f} {seen.what}/s" if seen.rate_hz is not None else ""
    status = "" if seen.status == "in_progress" else f" ({seen.status})"
    return f"{seen.request.request_id}{status}: {_total(seen)}{asked} {seen.what}{rate}"


def _total(seen: RequestPicture) -> int:
    return seen.earlier + seen.delivered


def links_in_words(status: LabStatus) -> str:
    """All links in a few words: those that are not ready, with the reason."""
    standings = {name: status.link(name) for name in status.lab.network.links}
    others = {name: standing for name, standing in standings.items() if standing.state != "ready"}
    if not others:
        return f"{len(standings)} links ready" if len(standings) > 1 else "link ready"
    if all(standing.state == "starting" for standing in others.values()):
        return "links starting"
    return ", ".join(f"{name} {standing}" for name, standing in others.items())


class Drawing:
    """The live screen: requests, links, nodes and the latest pairs, as much as the terminal has room for."""

    def __init__(self, picture: LabPicture, status: LabStatus, console: "Console") -> None:
        self._picture = picture
        self._status = status
        self._console = console
        self._begun_s = time.monotonic()

    def whole(self) -> "RenderableType":
        """Everything, for the present size of the terminal."""
        from rich.console import Group
        from rich.text import Text

        width, height = self._console.size
        if height < SMALL_HEIGHT or width < SMALL_WIDTH:
            links = Text(links_in_words(self._status), no_wrap=True, overflow="ellipsis")
            return Group(self._progress(), links)
        lab, blank = self._picture.lab, Text("")
        troubles = self._troubles()
        parts: list[RenderableType] = [
            self._heading(),
            blank,
            self._requests(),
            blank,
            self._links(),
            *troubles,
        ]
        # Title, header, rule and a blank line for each table; the last line of the screen stays free.
        used = 2 + TABLE_LINES + len(self._picture.requests) + TABLE_LINES + len(lab.network.links)
        used += len(troubles)
        if height - used > TABLE_LINES + len(lab.addresses):
            parts += [blank, self._nodes()]
            used += TABLE_LINES + len(lab.addresses)
        rows = min(LATEST_PAIRS, height - used - TABLE_LINES - 1)
        if rows > 0 and self._picture.latest:
            parts += [blank, self._pairs(rows, wide=width >= WIDE)]
        return Group(*parts, blank)  # where a terminal shows ^C, which must not break a full line

    def _heading(self) -> "Text":
        from rich.text import Text

        since_s = time.monotonic() - self._begun_s
        what = f"  {self._phase()}, {since_s:.0f} s; Ctrl-C stops it"
        return Text.assemble(
            (self._picture.lab.name, "bold"),
            what,
            no_wrap=True,
            overflow="ellipsis",
        )

    def _phase(self) -> str:
        if not self._status.started:
            return "starting"
        return "up" if self._picture.requests and not self._picture.ended() else "up, nothing left to do"

    def _progress(self) -> "RenderableType":
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 2))
        for _ in range(3):
            grid.add_column(no_wrap=True, overflow="ellipsis")
        for name, seen in self._picture.requests.items():
            row = [Text(name, style="bold"), Text(f"{_pairs_of(seen)} {seen.what}")]
            grid.add_row(*row, *([_bar(seen)] if self._console.width > 4 * BAR_WIDTH else []))
        return grid if self._picture.requests else Text(NO_REQUEST)

    def _requests(self) -> "RenderableType":
        from rich.text import Text

        from bellwire.cli import show
        from bellwire.cli.figures import mean

        if not self._picture.requests:
            return Text(NO_REQUEST)
        rows: list[list[Any]] = []
        for name, seen in self._picture.requests.items():
            plan = seen.prediction
            rows.append(
                [
                    name,
                    _bar(seen),
                    _pairs_of(seen),
                    seen.status.replace("_", " "),
                    "-" if seen.rate_hz is None else f"{seen.rate_hz:.1f}",
                    "-" if plan is None else f"{plan.rate_hz:.1f}",
                    show.fidelity(mean(seen.fidelities)),
                    show.fidelity(None if plan is None else plan.fidelity),
                ]
            )
        only_pairs = all(seen.what == "pairs" for seen in self._picture.requests.values())
        noun = "pairs" if only_pairs else "states"
        columns = ["request", "progress", noun, "status", f"{noun}/s", "planned", "fidelity", "planned"]
        if self._console.width < WIDE:
            columns, rows = [columns[0], *columns[2:]], [[row[0], *row[2:]] for row in rows]
        elif self._console.width >= VERY_WIDE:
            columns.insert(1, "mode")
            for row, seen in zip(rows, self._picture.requests.values(), strict=True):
                asked = seen.request
                in_order = len(asked.entanglement_sequence)
                row.insert(1, show.what_of(asked.target_nodes, asked.generation_mode, asked.edges, in_order))
        return show.table("Requests", columns, rows, one_line=True)

    def _links(self) -> "RenderableType":
        from bellwire.cli import show

        rows: list[list[Any]] = []
        for name, counts in self._status.link_counts().items():
            rate_hz = self._status.herald_rate_hz(name)
            rows.append(
                [
                    name,
                    self._status.lab.network.links[name].station,
                    counts["heralds"],
                    "-" if rate_hz is None else f"{rate_hz:.1f}",
                    counts["unusable"],
                    counts["unknown"],
                    _state(self._status.link(name)),
                ]
            )
        columns = ["link", "station", "heralds", "heralds/s", "unusable halves", "unknown lanes", "state"]
        if self._console.width < WIDE:
            columns, rows = [columns[0], *columns[2:]], [[row[0], *row[2:]] for row in rows]
        return show.table("Links", columns, rows, one_line=True)

    def _troubles(self) -> "list[Text]":
        from rich.text import Text

        links = {name: self._status.link(name) for name in self._picture.lab.network.links}
        return [
            Text(f"{name} {standing}", style=COLOURS["degraded"], no_wrap=True, overflow="ellipsis")
            for name, standing in links.items()
            if standing.state == "degraded"
        ]

    def _nodes(self) -> "RenderableType":
        from rich.text import Text

        from bellwire.cli import show

        network = self._status.lab.network
        rows: list[list[Any]] = []
        for name in self._status.lab.addresses:
            told = Text()
            for text, ready in self._status.instruments(name).values():
                told.append(", " if told else "").append(text, style="" if ready else COLOURS["degraded"])
            standing = self._status.node(name)
            rows.append([name, network.nodes[name].role, _state(standing), told])
        counters = self._status.counters()
        swaps, fusions = swap_counts(counters), fusion_counts(counters)
        words = ", ".join(f"{count} {outcome}" for outcome, count in swaps.items())
        if fusions["tried"]:
            words += f"; fusions: {fusions['succeeded']} of {fusions['tried']} succeeded"
        return show.table(
            f"Nodes (swaps: {words})",
            ["node", "role", "state", "instruments"],
            rows,
            one_line=True,
        )

    def _pairs(self, rows: int, *, wide: bool) -> "RenderableType":
        from bellwire.cli import show

        columns = ["number", "frame", "fidelity", "age ms", "latency ms", "head end", "tail end"]
        lines: list[list[Any]] = []
        several = len(self._picture.requests) > 1
        for pair in list(reversed(self._picture.latest))[:rows]:
            gap_ns = pair["latency_ns"]
            lines.append(
                [
                    f"{pair['request']} {pair['number']}" if several else pair["number"],
                    f"{pair['frame']} {BELL_STATES[pair['frame']]}",
                    show.fidelity(pair["fidelity"]),
                    f"{pair['age_ns'] / 1e6:.1f}",
                    "-" if gap_ns is None else f"{gap_ns / 1e6:.1f}",
                    _short(pair["head_end"]),
                    _short(pair["tail_end"]),
                ]
            )
        if not wide:
            columns, lines = columns[:-2], [line[:-2] for line in lines]
        title = (
            "Latest pairs (fidelity as estimated; latency: since the pair before; ends: link attempt.lane)"
        )
        return show.table(title, columns, lines, one_line=True)


def _bar(seen: RequestPicture) -> "RenderableType":
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    count = seen.request.count
    if count is None:
        return Text("no end")  # it runs for a time
    return ProgressBar(total=count, completed=min(_total(seen), count), width=BAR_WIDTH)


def _pairs_of(seen: RequestPicture) -> str:
    count = seen.request.count
    return str(_total(seen)) if count is None else f"{_total(seen)} of {count}"


def _short(end: str) -> str:
    """`alice-relay/1048577.14.2:0` as `alice-relay 14.2`: the run and the side are the same for long."""
    link, _, rest = end.partition("/")
    return f"{link} {rest.partition('.')[2].partition(':')[0]}"


def _state(standing: Standing) -> "Text":
    from rich.text import Text

    return Text(standing.state, style=COLOURS[standing.state])
