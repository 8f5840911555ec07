"""Whom a lane of a link works for, as a pure function of the window and the attempt number.

Owns the binding rule. Both ends evaluate the same function of the same window, so a herald needs no message
to be bound to a request (stack paper IV-F; architecture.md section 4, Claims). Refuses to divide: that is
done by side 0 alone (schedulers).
"""

from collections.abc import Sequence
from typing import Final

from bellwire.core.link_messages import ScheduleEntry, Window

NOBODY: Final = ScheduleEntry(request="", tree=0)
"""A place of a cycle that serves nobody."""

RESTING: Final = ScheduleEntry(request="", tree=1)
"""The same, alone in a cycle: lanes that nobody may use, which need not attempt all the time."""


def entry_for(window: Window, attempt: int, lane: int) -> ScheduleEntry | None:
    """Which request and tree this lane works for at this attempt of the window; None: for nobody, a herald
    there is nobody's pair at both ends. Of a rest, nobody."""
    if window.rest:
        return None
    if lane < len(window.owners):
        entry = window.owners[lane]
    elif len(window.schedule) == 1:
        entry = window.schedule[0]
    elif window.anchored:
        entry = window.schedule[attempt // window.frame_attempts % len(window.schedule)]
    else:
        step = (attempt - window.first) // window.frame_attempts
        entry = window.schedule[(step + lane) % len(window.schedule)]
    return entry if entry.request else None


def lets_rest(window: Window, lane: int) -> bool:
    """True when nobody may use this lane in the whole window."""
    return lane >= len(window.owners) and window.schedule == (RESTING,)


def covering(windows: Sequence[Window], attempt: int) -> Window | None:
    """The window with the highest fence that covers an attempt; a later fence rules from its first attempt
    on."""
    best: Window | None = None
    for window in windows:
        if window.first <= attempt <= window.last and (best is None or window.fence > best.fence):
            best = window
    return best
