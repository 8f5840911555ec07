"""The schedule as a strip: who has which resource when, around now.

Owns the words and bars, and what is said where there is no schedule: the turns and calendars that the lab
file gives to single links are then shown as a table, and named as what they are. Refuses to schedule.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from bellwire.core.ids import LinkId
from bellwire.core.settings import LinkSettings
from bellwire.core.units import NS_PER_S
from bellwire.labs.schedule import NetworkSchedule
from bellwire.labs.schedule_rows import rows_of
from bellwire.page.heard import Heard
from bellwire.page.values import Row, Shown, duration_text

BEHIND_S: Final = 2.0
AHEAD_S: Final = 10.0
BARS_MAX: Final = 240
"""More are left out, and counted: the strip stays readable and the page small."""
RESOURCES_MAX: Final = 24

COLUMNS: Final = (
    ("resource", "Resource"),
    ("what", "What"),
    ("request", "For"),
    ("from", "From now"),
    ("length", "Lasts"),
)
STATIC_COLUMNS: Final = (("link", "Link"), ("way", "Shared by"), ("frames", "In turn"))
KINDS: Final[Mapping[str, str]] = {
    "attempts": "attempts",
    "calibration": "calibration",
    "guard": "guard time",
}


@dataclass(frozen=True, slots=True)
class Slot:
    """One grant."""

    resource: str
    link: LinkId | None
    kind: str
    request: str | None
    from_ns: int
    to_ns: int


@dataclass(frozen=True, slots=True)
class ScheduleView:
    """The strip, as HTML that is ours, and the same as a table."""

    sentence: str
    strip: str  # "" where there is no schedule
    columns: Sequence[tuple[str, str]]
    rows: tuple[Row, ...]


def slots_of(heard: Heard) -> list[Slot] | None:
    """The rows that agents have told, each once; None: none of them has a schedule."""
    words = [word for node, word in heard.schedules.items() if node not in heard.silent]
    if not words:
        return None
    found: dict[tuple[str, int, int], Slot] = {}
    for word in words:
        for row in word.answer["rows"]:
            slot = Slot(
                row["resource"],
                row.get("link"),
                row["kind"],
                row.get("request"),
                row["from_ns"],
                row["to_ns"],
            )
            found[slot.resource, slot.from_ns, slot.to_ns] = slot
    return sorted(found.values(), key=lambda slot: (slot.resource, slot.from_ns))


def slots_of_cycle(known: NetworkSchedule, now_ns: int) -> list[Slot]:
    """The grants around now of a schedule that comes again every cycle, counted from the clock's epoch."""
    cycle_ns = known.schedule.frame.cycle_ns
    begins_ns, ends_ns = now_ns - round(BEHIND_S * NS_PER_S), now_ns + round(AHEAD_S * NS_PER_S)
    found = [
        Slot(
            row["resource"],
            row["link"],
            row["kind"],
            row["request"],
            cycle * cycle_ns + row["from_ns"],
            cycle * cycle_ns + row["to_ns"],
        )
        for cycle in range(begins_ns // cycle_ns, ends_ns // cycle_ns + 1)
        for row in rows_of(known)
    ]
    near = [slot for slot in found if slot.to_ns > begins_ns and slot.from_ns < ends_ns]
    return sorted(near, key=lambda slot: (slot.resource, slot.from_ns))


def schedule_view(
    slots: Sequence[Slot] | None, links: Mapping[LinkId, LinkSettings], now_ns: int
) -> ScheduleView:
    """What is shown now."""
    if not slots:
        return _without(links, told=slots is not None)
    begins, ends = now_ns - round(BEHIND_S * 1e9), now_ns + round(AHEAD_S * 1e9)
    near = [slot for slot in slots if slot.to_ns > begins and slot.from_ns < ends]
    resources = list(dict.fromkeys(slot.resource for slot in slots))
    shown = near[:BARS_MAX]
    left_out = len(near) - len(shown)
    running = [slot for slot in near if slot.from_ns <= now_ns < slot.to_ns and slot.kind != "guard"]
    sentence = f"{len(resources)} resources, {len(running)} of them at work now."
    if left_out:
        sentence += f" {left_out} shorter grants are not drawn."
    if not near:
        sentence += f" Nothing is granted within {AHEAD_S:g} s of now."
    return ScheduleView(
        sentence,
        _strip(resources[:RESOURCES_MAX], shown, begins, ends, now_ns),
        COLUMNS,
        tuple(_row(slot, now_ns) for slot in shown if slot.kind != "guard")[:40],
    )


def _row(slot: Slot, now_ns: int) -> Row:
    until_s = (slot.from_ns - now_ns) / 1e9
    return Row(
        f"{slot.resource} {slot.from_ns}",
        {
            "resource": Shown(slot.resource),
            "what": Shown(KINDS.get(slot.kind, slot.kind)),
            "request": Shown(slot.request or "–"),
            "from": Shown("now" if slot.from_ns <= now_ns < slot.to_ns else duration_text(until_s)),
            "length": Shown(duration_text((slot.to_ns - slot.from_ns) / 1e9)),
        },
    )


def _strip(resources: Sequence[str], slots: Sequence[Slot], begins_ns: int, ends_ns: int, now_ns: int) -> str:
    span = ends_ns - begins_ns

    def share(at_ns: int) -> float:
        return 100.0 * min(1.0, max(0.0, (at_ns - begins_ns) / span))

    lanes = [
        f'<div class="lane"><span class="lane__name">{escape(resource)}</span><span class="lane__bars">'
        + "".join(
            _bar(slot, share(slot.from_ns), share(slot.to_ns)) for slot in slots if slot.resource == resource
        )
        + "</span></div>"
        for resource in resources
    ]
    ticks = "".join(
        f'<span class="tick" style="left:{share(now_ns + second * NS_PER_S):.2f}%">{_tick(second)}</span>'
        for second in range(0, int(AHEAD_S), 2)
    )
    return (
        '<div class="strip" aria-hidden="true">'
        f"{''.join(lanes)}"
        f'<div class="lane lane--time"><span class="lane__name"></span><span class="lane__bars">{ticks}'
        f'<span class="now" style="left:{share(now_ns):.2f}%"></span></span></div></div>'
    )


def _tick(second: int) -> str:
    return "now" if second == 0 else f"+{second} s"


def _bar(slot: Slot, left: float, right: float) -> str:
    kind = slot.kind if slot.kind in KINDS else "attempts"
    label = slot.request if kind == "attempts" and slot.request else KINDS.get(kind, kind)
    said = "" if kind == "guard" else escape(label)
    return (
        f'<span class="bar bar--{kind}" style="left:{left:.2f}%;width:{max(0.15, right - left):.2f}%" '
        f'title="{escape(label)}">{said if right - left > 6 else ""}</span>'
    )


def _without(links: Mapping[LinkId, LinkSettings], *, told: bool) -> ScheduleView:
    rows = [row for name, link in links.items() if (row := _static(name, link)) is not None]
    sentence = (
        "The network has a schedule, and nothing is in it."
        if told
        else "This lab runs without a network schedule: each link shares its lanes among requests by itself."
    )
    if rows:
        sentence += " What the lab file fixes for single links:"
    return ScheduleView(sentence, "", STATIC_COLUMNS, tuple(rows))


def _static(name: LinkId, link: LinkSettings) -> Row | None:
    if link.calendar:
        frame = duration_text(link.frame_ns / 1e9)
        return _fixed(name, f"calendar of frames of {frame}", link.calendar)
    if link.turn_ns:
        turn = duration_text(link.turn_ns / 1e9)
        return _fixed(name, f"turns of {turn}", (f"1 of {link.turns} turns",))
    return None


def _fixed(name: LinkId, way: str, frames: Iterable[Any]) -> Row:
    told = ", ".join("free" if one is None else str(one) for one in frames)
    return Row(name, {"link": Shown(name), "way": Shown(way), "frames": Shown(told)})
