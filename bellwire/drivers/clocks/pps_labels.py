"""Which second a PPS began: labels from the network's time, and the test of the intervals between captures.

Owns what is a PPS and what is not. The host's clock names the second as long as it is within 0.4 s;
consecutive captures must then be as many seconds apart as their labels say. Refuses doubles, glitches and
captures without a second; a missing one is counted, never filled in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bellwire.core.errors import LocalMisuse

SECOND_NS: Final = 1_000_000_000
SECOND_FS: Final = 10**15
LABEL_MAX_NS: Final = 400_000_000
"""A host that is further from the second than this may name the wrong one."""


@dataclass(frozen=True, slots=True)
class PpsCapture:
    """Unix second `second` began when the counter stood at `ticks`; how long a tick is, its device says."""

    second: int
    ticks: int


@dataclass(frozen=True, slots=True)
class SiftedPps:
    """`captures` that are seconds, rising; `strange`: doubles, glitches and wrong labels; `missing`
    seconds.
    """

    captures: tuple[PpsCapture, ...]
    strange: int
    missing: int


def label_of(host_ns: int) -> int | None:
    """The second that began when the host's clock (unix ns, by NTP) showed `host_ns`; None beyond +-0.4 s."""
    second = (host_ns + SECOND_NS // 2) // SECOND_NS
    return second if abs(host_ns - second * SECOND_NS) <= LABEL_MAX_NS else None


def sift(captures: Sequence[PpsCapture], tick_fs: int, tolerance_e15: int, jitter_fs: int) -> SiftedPps:
    """Those captures that lie on one common grid of seconds, which most of them must share.

    `tolerance_e15`: the clock's rate may be off by so much. `jitter_fs`: of one capture, generously. Every
    capture is compared with every other; it stays when it agrees with more than half of them.
    """
    if tolerance_e15 < 0 or jitter_fs < 0:
        raise LocalMisuse(f"a tolerance is positive, not {tolerance_e15} e-15 or {jitter_fs} fs")
    ordered = sorted(captures, key=lambda one: (one.ticks, one.second))

    def agree(one: PpsCapture, other: PpsCapture) -> bool:
        seconds = other.second - one.second
        if seconds == 0:
            return False
        apart = (other.ticks - one.ticks) * tick_fs - seconds * SECOND_FS
        return abs(apart) <= abs(seconds) * tolerance_e15 + 2 * jitter_fs

    friends = Counter(
        {
            index: sum(agree(one, other) for other in ordered if other is not one)
            for index, one in enumerate(ordered)
        }
    )
    kept: dict[int, tuple[int, PpsCapture]] = {}
    for index, one in enumerate(ordered):
        if 2 * friends[index] < len(ordered) - 1 or friends[index] == 0:
            continue
        if one.second not in kept or friends[index] > kept[one.second][0]:
            kept[one.second] = (friends[index], one)
    found = tuple(kept[second][1] for second in sorted(kept))
    expected = found[-1].second - found[0].second + 1 if found else 0
    return SiftedPps(found, len(ordered) - len(found), expected - len(found))
