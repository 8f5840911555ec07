"""Whether a node's reference may be believed: the readings that must be good before any clock is found.

Owns the limits. Pure: it judges readings that others took. Refuses nothing by itself; it names every
reading that is not good, and a reading that nobody took is not good either unless the node has no such
thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bellwire.drivers.roles import ClockStanding

WHITE_RABBIT_MAX_PS: Final = 100
INTERVAL_MAX_E15: Final = 1_000_000
"""A PPS interval is one second within 1e-9."""
UPDATES_WRAP: Final = 1 << 32
STALE_BEYOND: Final = 1 << 31
"""An advance of more than half the counter's range is one backwards: the switch restarted."""


@dataclass(frozen=True, slots=True)
class ReferenceReadings:
    """What a node's instruments say. None: this node has no such reading.

    `pps_interval_fs`: time between two captures one second apart, on the clock under test, and only where
    that clock is locked. `white_rabbit`: two looks at the switch, the earlier first, some seconds apart.
    """

    ten_mhz_locked: bool | None = None
    pll_locked: bool | None = None
    pps_present: bool | None = None
    pps_interval_fs: int | None = None
    white_rabbit: tuple[ClockStanding, ClockStanding] | None = None


def reference_problems(readings: ReferenceReadings) -> Sequence[str]:
    """One sentence per reading that forbids to go on; empty when the reference is good.

    A node without a single reading has no reference, which is said too.
    """
    seen = (readings.ten_mhz_locked, readings.pll_locked, readings.pps_present, readings.pps_interval_fs)
    if all(one is None for one in seen) and readings.white_rabbit is None:
        return ("no reading of a reference at all: connect 10 MHz, PPS or White Rabbit",)
    problems = [
        sentence
        for good, sentence in (
            (readings.ten_mhz_locked, "10 MHz is not locked: look at its cable and level"),
            (readings.pll_locked, "the PLL is not locked: wait, then look at the 10 MHz"),
            (readings.pps_present, "no PPS arrives: look at its cable and threshold"),
        )
        if good is False
    ]
    if readings.pps_interval_fs is not None:
        away = readings.pps_interval_fs - 10**15
        if abs(away) > INTERVAL_MAX_E15:
            problems.append(f"PPS are {away} fs off one second, the limit is {INTERVAL_MAX_E15} fs")
    if readings.white_rabbit is not None:
        problems += _white_rabbit_problems(*readings.white_rabbit)
    return tuple(problems)


def _white_rabbit_problems(before: ClockStanding, now: ClockStanding) -> list[str]:
    problems = []
    if not now.locked:
        problems.append("White Rabbit does not track the phase: look at the fibre to its master")
    advance = (now.updates - before.updates) % UPDATES_WRAP
    if advance == 0:
        problems.append(f"the servo stands at {now.updates} updates: what it shows is old")
    elif advance >= STALE_BEYOND:
        problems.append(
            f"updates fell from {before.updates} to {now.updates}: the switch restarted, look again"
        )
    if abs(now.offset_ps) >= WHITE_RABBIT_MAX_PS:
        problems.append(
            f"White Rabbit is {now.offset_ps} ps off its master, the limit is {WHITE_RABBIT_MAX_PS} ps: wait"
        )
    return problems
