"""One value as it is shown: its words, its tone, when it was true, and for how long it may be believed.

Owns the rule that stale looks stale everywhere: whatever has a time is judged by its age, here and, by the
same numbers, in the browser, so that a value goes on ageing when the server falls silent. Refuses colours
(palette.py) and clocks: the time is given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

MS: Final = 1_000_000
"""Nanoseconds in a millisecond: browsers count those."""


class Tone(StrEnum):
    """How something stands. Each has a sign and a word of its own; a colour is never the only one."""

    GOOD = "good"
    BUSY = "busy"  # on its way to good
    WARN = "warn"  # works, and wants to be looked at
    BAD = "bad"  # does not work
    OFF = "off"  # nothing is known, or nothing is to be known


class Quality(StrEnum):
    """How far a value may be believed."""

    GOOD = "good"
    STALE = "stale"  # it was true once
    UNKNOWN = "unknown"  # there is none


WORSE_FIRST: Final = (Tone.BAD, Tone.WARN, Tone.BUSY, Tone.OFF, Tone.GOOD)


def worst(tones: Sequence[Tone]) -> Tone:
    """The one that an operator must see first; OFF of none."""
    return next((tone for tone in WORSE_FIRST if tone in tones), Tone.OFF)


@dataclass(frozen=True, slots=True)
class Shown:
    """A value for people. `at_ns` None: it does not age. `good_for_s` None: it never becomes stale."""

    text: str | None  # None: nothing is known
    tone: Tone | None = None
    at_ns: int | None = None  # unix time at which it was true
    good_for_s: float | None = None
    suspect: bool = False  # the source itself says that it is no good value
    with_age: bool = False  # the age is said beside the value
    title: str = ""  # a longer word

    def quality(self, now_ns: int) -> Quality:
        """How far it may be believed at this moment."""
        if self.text is None:
            return Quality.UNKNOWN
        if self.suspect:
            return Quality.STALE
        if self.at_ns is None or self.good_for_s is None:
            return Quality.GOOD
        return Quality.STALE if now_ns - self.at_ns > self.good_for_s * 1e9 else Quality.GOOD

    def cell(self) -> dict[str, Any]:
        """For the browser; times in milliseconds of unix time."""
        told: dict[str, Any] = {"text": self.text}
        if self.tone is not None:
            told["tone"] = self.tone.value
        if self.at_ns is not None:
            told["at"] = self.at_ns // MS
        if self.good_for_s is not None:
            told["good_for"] = self.good_for_s
        if self.suspect:
            told["suspect"] = True
        if self.with_age:
            told["with_age"] = True
        if self.title:
            told["title"] = self.title
        return told


NOTHING: Final = Shown(None)


@dataclass(frozen=True, slots=True)
class Order:
    """A button of a row: what it orders, and of what, in words for whoever does not see the row."""

    name: str
    label: str
    spoken: str
    danger: bool = False

    def cell(self) -> dict[str, Any]:
        """For the browser."""
        return {"do": self.name, "label": self.label, "spoken": self.spoken, "danger": self.danger}


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table, by a key that stays the same while the thing lives."""

    key: str
    cells: Mapping[str, Shown | Sequence[Shown] | Sequence[float | None] | str]
    orders: Sequence[Order] = ()
    tone: Tone | None = None

    def told(self) -> dict[str, Any]:
        """For the browser."""
        cells: dict[str, Any] = {}
        for name, value in self.cells.items():
            match value:
                case Shown():
                    cells[name] = value.cell()
                case str():
                    cells[name] = {"text": value}
                case _ if value and isinstance(value[0], Shown):
                    cells[name] = {"list": [one.cell() for one in value if isinstance(one, Shown)]}
                case _:
                    cells[name] = {"line": list(value)}
        return {
            "key": self.key,
            "cells": cells,
            "orders": [order.cell() for order in self.orders],
            "tone": None if self.tone is None else self.tone.value,
        }


def duration_text(seconds: float) -> str:
    """A length of time in the unit that people would take."""
    if seconds < 0:
        return f"-{duration_text(-seconds)}"
    for limit, unit, size in ((1e-3, "µs", 1e-6), (1.0, "ms", 1e-3), (100.0, "s", 1.0)):
        if seconds < limit:
            return f"{seconds / size:.3g} {unit}"
    for limit, unit, size in ((100 * 60, "min", 60.0), (72 * 3600, "h", 3600.0)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def rate_text(rate_hz: float) -> str:
    """Events per second with three digits."""
    return f"{rate_hz:.3g}/s" if rate_hz < 999.5 else f"{rate_hz:,.0f}/s"
