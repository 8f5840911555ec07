"""Turns: how links that share a memory bank or an emitter divide the time on the common clock.

Owns the arithmetic of turns: which stretches of time a set of granted turns gives, which attempts of a window
lie inside them, and which share of the time that is. Both ends evaluate the same functions of the same
window. Refuses to choose turns (arbiter.py) and to arm anything (turn_taker.py).

An attempt belongs to a stretch when it starts in it and is decided, with the guard, before the stretch ends:
so a memory never changes the link while a herald may still come.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from bellwire.core.errors import LocalMisuse
from bellwire.core.link_messages import Window
from bellwire.core.settings import LinkSettings

EVER: Final = 1 << 62
"""A time later than all others."""


CYCLES_COUNTED: Final = 64
"""Cycles of which attempts are counted one stretch after the other."""


class Stretch(NamedTuple):
    """Time that belongs to a link without a gap: turns that follow each other are one stretch."""

    start_ns: int
    end_ns: int


class Segment(NamedTuple):
    """Attempts that one window rules."""

    first: int
    last: int
    granted: tuple[int, ...]
    point: int = 0  # operating point


def decision_ns(link: LinkSettings) -> int:
    """From the start of an attempt until nothing of it can come any more, the guard included."""
    return link.click_delay_ns + max(link.herald_delay_ns) + link.turn_guard_ns


def check_turns(link: LinkSettings) -> None:
    """Raises LocalMisuse when no attempt fits into one turn of the link."""
    needed_ns = decision_ns(link) + link.period_ns
    if link.turn_ns and (link.turn_ns < needed_ns or link.turns < 1):
        raise LocalMisuse(
            f"link {link.link}: {link.turns} turns of {link.turn_ns} ns; an attempt, its herald and the "
            f"guard need {needed_ns} ns"
        )


def turns_fault(window: Window, link: LinkSettings) -> str | None:
    """What is wrong with the turns of a window that no honest side 0 would offer; None when nothing is."""
    granted = window.granted
    if not link.turn_ns:
        return f"turns {granted} on a link that takes no turns" if granted else None
    if not granted or list(granted) != sorted(set(granted)) or granted[0] < 0 or granted[-1] >= link.turns:
        return f"turns {granted} of a cycle of {link.turns}"
    return None


@lru_cache(maxsize=4096)
def _rows(granted: tuple[int, ...], turns: int) -> tuple[tuple[int, int], ...]:
    """(first turn, number of turns) of each row of granted turns, over the end of the cycle too."""
    rows: list[tuple[int, int]] = []
    for turn in granted:
        if rows and turn == rows[-1][0] + rows[-1][1]:
            rows[-1] = (rows[-1][0], rows[-1][1] + 1)
        else:
            rows.append((turn, 1))
    if len(rows) > 1 and rows[0][0] == 0 and sum(rows[-1]) == turns:
        rows[-1] = (rows[-1][0], rows[-1][1] + rows[0][1])
        del rows[0]
    return tuple(rows)


def stretch_from(link: LinkSettings, granted: tuple[int, ...], at_ns: int) -> Stretch:
    """The stretch of granted turns that holds this time, or the next one."""
    if not link.turn_ns or not granted or len(granted) == link.turns:
        return Stretch(-EVER, EVER)
    cycle_ns = link.turn_ns * link.turns
    begun_ns = at_ns // cycle_ns * cycle_ns
    for cycle_start_ns in (begun_ns - cycle_ns, begun_ns):
        for first, count in _rows(granted, link.turns):
            start_ns = cycle_start_ns + first * link.turn_ns
            if start_ns + count * link.turn_ns > at_ns:
                return Stretch(start_ns, start_ns + count * link.turn_ns)
    first, count = _rows(granted, link.turns)[0]
    start_ns = begun_ns + cycle_ns + first * link.turn_ns
    return Stretch(start_ns, start_ns + count * link.turn_ns)


def segments_of(windows: Sequence[Window]) -> list[Segment]:
    """What each window rules, in order of time: a later one rules from its first attempt on.

    windows: as in a book, fences and first attempts both rising. Windows that follow each other with the same
    turns and operating point are one segment. A rest ends the window before it and is no segment itself.
    """
    segments: list[Segment] = []
    for index, window in enumerate(windows):
        last = window.last
        if index + 1 < len(windows):
            last = min(last, windows[index + 1].first - 1)
        if last < window.first or window.rest:
            continue
        before = segments[-1] if segments else None
        if (
            before is not None
            and before.granted == window.granted
            and before.point == window.point
            and before.last + 1 == window.first
        ):
            segments[-1] = Segment(before.first, last, before.granted, before.point)
        else:
            segments.append(Segment(window.first, last, window.granted, window.point))
    return segments


def span_in_turns(
    link: LinkSettings, windows: Sequence[Window], epoch_ns: int, attempt: int
) -> tuple[int, int] | None:
    """First and last attempt that may be made, from `attempt` on, within one stretch; None: there is none."""
    period_ns = link.period_ns
    for segment in segments_of(windows):
        first = max(attempt, segment.first)
        while first <= segment.last:
            stretch = stretch_from(link, segment.granted, epoch_ns + first * period_ns)
            first = max(first, -((epoch_ns - stretch.start_ns) // period_ns))
            last = min(segment.last, (stretch.end_ns - decision_ns(link) - epoch_ns) // period_ns)
            if first <= last:
                return first, last
            first = max(first + 1, -((epoch_ns - stretch.end_ns) // period_ns))
    return None


def attempts_in_turns(
    link: LinkSettings, granted: tuple[int, ...], epoch_ns: int, first: int, last: int
) -> int:
    """How many attempts from `first` to `last` lie in granted turns; over many cycles to one attempt a
    stretch."""
    if last < first:
        return 0
    if not link.turn_ns or not granted or len(granted) == link.turns:
        return last - first + 1
    period_ns = link.period_ns
    if (last - first) * period_ns > CYCLES_COUNTED * link.turn_ns * link.turns:
        return round((last - first + 1) * duty_of(link, granted))
    count, at = 0, first
    while at <= last:
        stretch = stretch_from(link, granted, epoch_ns + at * period_ns)
        begin = max(at, -((epoch_ns - stretch.start_ns) // period_ns))
        end = min(last, (stretch.end_ns - decision_ns(link) - epoch_ns) // period_ns)
        count += max(0, end - begin + 1)
        at = max(at + 1, -((epoch_ns - stretch.end_ns) // period_ns))
    return count


def duty_of(link: LinkSettings, granted: tuple[int, ...]) -> float:
    """Share of the attempts of a lane that lie in granted turns, 0..1: exact up to one attempt a stretch."""
    if not link.turn_ns or not granted or len(granted) == link.turns:
        return 1.0
    usable_ns = sum(
        max(0, count * link.turn_ns - decision_ns(link) + link.period_ns)
        for _, count in _rows(granted, link.turns)
    )
    return min(1.0, usable_ns / (link.turn_ns * link.turns))
