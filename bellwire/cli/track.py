"""`bellwire track LAB [LINK]`: keep a calibrated link in tolerance beside its operation, over the bus.

Owns the command and what is shown of each look and action. Refuses to start agents: the lab must be up,
because they own the instruments.
"""

import getpass
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bellwire import __version__
from bellwire.api.extras import study_extra
from bellwire.cli.calibration_links import bench_of
from bellwire.cli.exits import UNSUCCESSFUL
from bellwire.cli.places import STATE, LabArgument, StateOption, find_lab
from bellwire.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bellwire.calibration.bench import LinkBench
    from bellwire.calibration.keeping import News
    from bellwire.labs import Lab

WINDOW_SHARE = 12.0
"""Looks take at most one part in so many of the time: 5 s in every 60 s."""
WINDOW_MIN_S = 0.5
VALUES_SHOWN = 3


def track(
    lab: LabArgument,
    link: Annotated[
        str | None, typer.Argument(metavar="[LINK]", help="Link of the lab; default: the only one.")
    ] = None,
    every: Annotated[
        float, typer.Option("--every", metavar="S", help="Seconds from look to look.", min=1.0)
    ] = 60.0,
    window: Annotated[
        float | None,
        typer.Option("--window", metavar="S", help="Of these, so many for looks; default: a twelfth."),
    ] = None,
    lasting: Annotated[
        float | None, typer.Option("--for", metavar="S", help="End after so long; default: Ctrl-C.", min=0.1)
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="One look of each kind, and the repair it asks.")
    ] = False,
    operator: Annotated[str, typer.Option("--operator", metavar="NAME", help="Default: your login.")] = "",
    state: StateOption = STATE,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document a line and nothing else.")
    ] = False,
) -> None:
    """Look after a link while it works: clock, detector delays, polarisation.

    Small drifts are corrected; a look that fails takes a link that must have it out of service until the
    procedures that repair it have passed. Ends with Ctrl-C, and leaves everything as it was set last.
    """
    import asyncio

    from bellwire.labs import load_lab

    if once and lasting is not None:
        raise ConfigError("--once ends by itself: leave out --for")
    length_s = max(WINDOW_MIN_S, every / WINDOW_SHARE) if window is None else window
    if not 0.0 < length_s <= every:
        raise ConfigError(f"--window {length_s:g} must lie above 0 and at most at --every {every:g}")
    loaded = load_lab(find_lab(lab), live=True)
    bench = bench_of(loaded, link)
    told: list[News] = []

    def on_news(news: "News") -> None:
        told.append(news)
        del told[:-100]
        typer.echo(json.dumps(document(news), allow_nan=False) if as_json else line(news))

    with study_extra():
        terms_operator = operator or getpass.getuser()
        try:
            asyncio.run(_run(loaded, bench, state, terms_operator, every, length_s, lasting, once, on_news))
        except KeyboardInterrupt:  # whatever was moved has gone back by now
            if not as_json:
                typer.echo("ended by Ctrl-C")
    if once and not _in_order(told):
        raise typer.Exit(UNSUCCESSFUL)


async def _run(
    lab: "Lab",
    bench: "LinkBench",
    state: Path,
    operator: str,
    every_s: float,
    length_s: float,
    lasting_s: float | None,
    once: bool,
    on_news: "Callable[[News], None]",
) -> None:
    import asyncio

    from bellwire.calibration.keeping import Keeping, looks_of
    from bellwire.calibration.keeping_grants import DutyCycle, LinkSchedule
    from bellwire.calibration.running import RunTerms
    from bellwire.calibration.store import store_in
    from bellwire.calibration.table import procedures
    from bellwire.core.units import NS_PER_S
    from bellwire.link_layer.rests import REST_MAX_NS
    from bellwire.runtime.console import Console

    terms = RunTerms(operator=operator, software=f"bellwire {__version__}")
    async with Console(lab, state) as console:

        async def rest(wanted_s: float) -> tuple[int, int]:
            granted = await console.rest(bench.link, wanted_s)
            return granted.begins_ns, granted.ends_ns

        # a single round makes every look, however long it takes
        longest_s = min(every_s if once else length_s, REST_MAX_NS / NS_PER_S)
        grant = LinkSchedule(rest, DutyCycle(every_s, longest_s))
        keeping = Keeping(
            bench,
            console,
            store_in(state),
            procedures(),
            looks_of(ahead_s=every_s),
            grant,
            terms,
            on_news=on_news,
        )
        try:
            async with asyncio.timeout(lasting_s):
                await keeping.run(1 if once else None)
        except TimeoutError:
            return


def _in_order(told: "list[News]") -> bool:
    """Whether the last that is known of every look is that it passed, and nothing was put off."""
    last = {news.procedure or news.kind.value: news for news in told if news.kind.value != "repairing"}
    return bool(last) and all(news.outcome == "passed" for news in last.values())


def line(news: "News") -> str:
    """One thing for people: when, what, how it ended, its values, and why."""
    at = datetime.fromtimestamp(news.at_ns / 1e9, UTC).astimezone().strftime("%H:%M:%S")
    what = news.procedure or news.link
    match news.kind.value:
        case "looked":
            told = f"{what:18} {news.outcome}: {_values(news)}{news.reason}"
        case "put_off":
            told = f"{what:18} put off: {news.reason}"
        case "repairing":
            told = f"{what:18} is run: {news.reason}"
        case "repaired":
            told = f"{what:18} {news.outcome or 'left out'}: {_values(news)}{news.reason}"
        case _:
            told = f"{what:18} repair held back: {news.reason}"
    return f"{at} {told}"


def _values(news: "News") -> str:
    shown = [
        f"{name} {one.value:.4g} ± {one.sigma:.2g} {one.unit}".rstrip()
        for name, one in list(news.quantities.items())[:VALUES_SHOWN]
    ]
    return f"{', '.join(shown)}; " if shown else ""


def document(news: "News") -> dict[str, Any]:
    """The same for programs."""
    return {
        "kind": news.kind.value,
        "at_ns": news.at_ns,
        "link": news.link,
        "procedure": news.procedure or None,
        "outcome": news.outcome or None,
        "reason": news.reason,
        "record": news.record_id or None,
        "quantities": {
            name: {"value": _finite(one.value), "sigma": _finite(one.sigma), "unit": one.unit}
            for name, one in news.quantities.items()
        },
        "applied": dict(news.applied),
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
